//! Names of exported functions: their own name if it is unique in the component, otherwise as much of their interface
//! before it as tells them apart. See `docs/adr/0006-names-of-functions.md`.

use std::collections::{HashMap, HashSet};

use super::{Offered, Refused};
use crate::FunctionName;
use crate::name::shorten;

/// A name for each function, or why it cannot have one. The names are valid [`FunctionName`]s and differ.
pub(super) fn choose(offered: &[Offered<'_>]) -> Vec<Result<String, Refused>> {
    let forms: Vec<_> = offered.iter().map(|one| forms(one.interface.as_deref(), &one.function.name)).collect();
    let mut chosen = vec![0; forms.len()];
    loop {
        let mut uses: HashMap<&str, usize> = HashMap::new();
        for (forms, chosen) in forms.iter().zip(&chosen) {
            *uses.entry(&forms[*chosen]).or_default() += 1;
        }
        let mut changed = false;
        for (forms, chosen) in forms.iter().zip(&mut chosen) {
            if uses[forms[*chosen].as_str()] > 1 && *chosen + 1 < forms.len() {
                *chosen += 1;
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
    let mut taken = HashSet::new();
    forms.into_iter().zip(chosen).map(|(mut forms, chosen)| accept(forms.swap_remove(chosen), &mut taken)).collect()
}

fn accept(name: String, taken: &mut HashSet<String>) -> Result<String, Refused> {
    let refused = |reason: String| Err(Refused { name: shorten(&name), reason });
    // The functions of resources have names like `[method]counter.get`; they are refused later, for what they are.
    if let (false, Err(error)) = (name.starts_with('['), name.parse::<FunctionName>()) {
        return refused(error.to_string());
    }
    match taken.insert(name.clone()) {
        true => Ok(name),
        false => refused("another function has the same name".to_owned()),
    }
}

/// The names that a function may have, the shortest first.
fn forms(interface: Option<&str>, function: &str) -> Vec<String> {
    let mut forms = vec![function.to_owned()];
    let Some(interface) = interface else { return forms };
    forms.push(format!("{}.{function}", short_interface(interface)));
    let (path, version) = interface.split_once('@').unwrap_or((interface, ""));
    if let Some((package, name)) = path.split_once('/') {
        let package = package.replace(':', ".");
        forms.push(format!("{package}.{name}.{function}"));
        if !version.is_empty() {
            forms.push(format!("{package}.{name}.{}.{function}", version.replace('+', "-")));
        }
    }
    forms
}

/// `acme:pricing/quotes@1.0.0` → `quotes`.
pub(super) fn short_interface(name: &str) -> &str {
    let name = name.split('@').next().unwrap_or(name);
    name.rsplit('/').next().unwrap_or(name)
}
