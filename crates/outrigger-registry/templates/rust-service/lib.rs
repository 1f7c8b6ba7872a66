//! `{{ name }}`: remembers what happened to plugins. What its functions take and give stands in `wit/world.wit`.

mod bindings {
    wit_bindgen::generate!({ world: "plugin", additional_derives: [PartialEq], generate_all });
}

use bindings::exports::example::{{ name | snake }}_plugin::events::{Event, Failure, Guest};
use bindings::exports::outrigger::plugin::health;
use bindings::outrigger::plugin::{configuration, logging, state};

/// The functions, as the contract has them.
pub struct Plugin;

/// Where the events are kept in the plugin's state, one a line.
const EVENTS: &str = "events";

impl Guest for Plugin {
    fn note(event: Event) -> Result<u32, Failure> {
        // plugin.toml gives the default and allows nothing but a whole number, which is JSON as it stands.
        let keep = configuration::get("keep").and_then(|text| text.parse().ok()).unwrap_or(20);
        loop {
            let before = state::get(EVENTS).map_err(forgetful)?;
            let after = added(before.as_deref().unwrap_or_default(), &line(&event), keep);
            match state::compare_and_set(EVENTS, before.as_deref(), after.as_bytes()) {
                // Another call wrote first. What it wrote is read, so that nothing is lost.
                Err(state::Error::Changed) => {}
                Err(error) => return Err(forgetful(error)),
                Ok(()) => {
                    let fields = [("plugin".to_owned(), event.plugin)];
                    logging::log(logging::Level::Info, "written down", &fields);
                    return Ok(after.lines().count() as u32);
                }
            }
        }
    }

    fn latest() -> Result<Vec<String>, Failure> {
        let kept = state::get(EVENTS).map_err(forgetful)?.unwrap_or_default();
        Ok(String::from_utf8_lossy(&kept).lines().map(str::to_owned).collect())
    }
}

/// `outrigger plugin health {{ name }}` asks this.
impl health::Guest for Plugin {
    fn check() -> health::Report {
        let (status, message) = match state::get(EVENTS) {
            Ok(_) => (health::Status::Healthy, None),
            Err(error) => (health::Status::Unhealthy, Some(format!("{error:?}"))),
        };
        let check = health::NamedCheck { name: "state".to_owned(), status, message };
        health::Report { status, checks: vec![check] }
    }
}

fn forgetful(error: state::Error) -> Failure {
    Failure::Forgetful(format!("{error:?}"))
}

/// The work itself calls nothing of the host, so it can be tested natively.
fn added(before: &[u8], line: &str, keep: usize) -> String {
    let before = String::from_utf8_lossy(before);
    let lines: Vec<_> = before.lines().chain([line]).collect();
    let skipped = lines.len().saturating_sub(keep);
    lines[skipped..].iter().map(|line| format!("{line}\n")).collect()
}

fn line(event: &Event) -> String {
    let Event { plugin, version, digest: _, reason } = event;
    match reason {
        Some(reason) => format!("{plugin} {version}: {}", reason.replace('\n', " ")),
        None => format!("{plugin} {version}"),
    }
}

// Only a component has exports; a native test has none.
#[cfg(target_arch = "wasm32")]
bindings::export!(Plugin with_types_in bindings);

#[cfg(test)]
mod tests {
    use super::{Event, added, line};

    #[test]
    fn only_the_latest_are_kept() {
        let one = added(b"", "one", 2);
        let two = added(one.as_bytes(), "two", 2);
        assert_eq!(two, "one\ntwo\n");
        assert_eq!(added(two.as_bytes(), "three", 2), "two\nthree\n");
    }

    #[test]
    fn an_event_is_one_line() {
        let event = Event {
            plugin: "pricing".to_owned(),
            version: "1.0.0".to_owned(),
            digest: "sha256:00".to_owned(),
            reason: Some("it\nfailed".to_owned()),
        };
        assert_eq!(line(&event), "pricing 1.0.0: it failed");
    }
}
