//! Empty lists under filters. A mistyped name must not look like a plugin that was never called, so a list that is empty
//! says that it was filtered, and a filter that names nothing is noted on standard error. Names are only looked up then.

use outrigger_api::{FunctionName, FunctionQuery, HookName, PluginName};
use outrigger_contract::near;

use crate::context::Context;
use crate::output::clean;

/// The sentence for an empty list, such as `No runs.`
pub(super) fn empty(things: &str, filters: &[bool]) -> String {
    match filters.contains(&true) {
        true => format!("No {things} match these filters."),
        false => format!("No {things}."),
    }
}

/// Notes that there is no such plugin, or that it has no such function.
pub(super) async fn check_plugin(context: &Context, plugin: Option<&PluginName>, function: Option<&FunctionName>) {
    // The list was read, so an error here means that a right is missing. That is no reason to fail.
    let (Some(plugin), Ok(platform)) = (plugin, context.platform().await) else { return };
    let Ok(plugins) = platform.plugin_list().await else { return };
    let names: Vec<_> = plugins.iter().map(|known| known.name.as_str()).collect();
    if !names.contains(&plugin.as_str()) {
        remark(context, "plugin", plugin.as_str(), &names);
        return;
    }
    let Some(function) = function else { return };
    let query = FunctionQuery { plugin: Some(plugin.clone()), all: true, ..FunctionQuery::default() };
    let Ok(functions) = platform.function_list(&query).await else { return };
    let names: Vec<_> = functions.iter().map(|known| known.function.to_string()).collect();
    let wanted = format!("{plugin}.{function}");
    if !names.contains(&wanted) {
        remark(context, "function", &wanted, &names.iter().map(String::as_str).collect::<Vec<_>>());
    }
}

/// Notes that there is no such hook.
pub(super) async fn check_hook(context: &Context, hook: &HookName) {
    let Ok(platform) = context.platform().await else { return };
    let Ok(hooks) = platform.hook_list().await else { return };
    let names: Vec<_> = hooks.iter().map(|known| known.name.as_str()).collect();
    if !names.contains(&hook.as_str()) {
        remark(context, "hook", hook.as_str(), &names);
    }
}

/// Notes that there is no such schedule.
pub(super) async fn check_schedule(context: &Context, schedule: &str) {
    let Ok(platform) = context.platform().await else { return };
    let Ok(schedules) = platform.schedule_list().await else { return };
    let names: Vec<_> = schedules.iter().map(|known| known.name.as_str()).collect();
    if !names.contains(&schedule) {
        remark(context, "schedule", schedule, &names);
    }
}

/// Notes that no key has this ID, and which one has it as its name.
pub(super) async fn check_key_id(context: &Context, id: &str) {
    let Ok(platform) = context.platform().await else { return };
    let Ok(keys) = platform.key_list().await else { return };
    if keys.iter().any(|key| key.id == id) {
        return;
    }
    let advice = match keys.iter().find(|key| key.name == id) {
        Some(key) => format!("the key with this name has the ID `{}`", key.id),
        None => "`outrigger access key list` shows the IDs".to_owned(),
    };
    context.output.remark(&format!("No key has the ID `{}`; {advice}.", clean(id)));
}

fn remark(context: &Context, kind: &str, name: &str, known: &[&str]) {
    context.output.remark(&unknown(kind, name, known, context.names_server()));
}

/// A key of a server may not see every plugin.
fn unknown(kind: &str, name: &str, known: &[&str], through_key: bool) -> String {
    let shown = clean(name);
    let said = match through_key {
        true => format!("Your key can see no {kind} `{shown}`"),
        false => format!("There is no {kind} `{shown}`"),
    };
    match near::nearest(name, known.iter().copied()) {
        Some(nearest) => format!("{said}; did you mean `{nearest}`?"),
        None => format!("{said}."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_list_says_whether_it_was_filtered() {
        assert_eq!(empty("runs", &[false, false]), "No runs.");
        assert_eq!(empty("runs", &[false, true]), "No runs match these filters.");
    }

    #[test]
    fn a_filter_that_names_nothing_is_told() {
        let known = ["pricing", "os-facts"];
        assert_eq!(unknown("plugin", "pricng", &known, false), "There is no plugin `pricng`; did you mean `pricing`?");
        assert_eq!(unknown("plugin", "billing-system", &known, true), "Your key can see no plugin `billing-system`.");
    }
}
