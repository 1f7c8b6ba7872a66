//! Checks that the component exports the functions that a manifest names.

use super::Manifest;
use super::reader::did_you_mean;
use crate::name::FunctionName;
use crate::near;
use crate::types::TypeGraph;

/// A function that the manifest names and the component does not export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownFunction {
    /// The key in the manifest, such as `functions.qoute` or `subscriptions[0].function`.
    pub key: String,
    pub message: String,
    pub hint: String,
}

/// Maximum number of unknown functions to report.
const MOST_UNKNOWN: usize = 20;

impl Manifest {
    /// The first functions that this manifest names and the component does not export. Settings for a missing function
    /// have no effect: a limit for a misspelled name limits nothing.
    #[must_use]
    pub fn unknown_functions(&self, graph: &TypeGraph) -> Vec<UnknownFunction> {
        let exported: Vec<&str> = graph.functions.iter().map(|function| function.name.as_str()).collect();
        let is_exported = |name: &FunctionName| {
            let refused = || graph.refused.iter().any(|refused| refused.name == name.as_str());
            graph.function(name.as_str()).is_some() || refused()
        };
        let unknown = |key: String, name: &FunctionName| UnknownFunction {
            key,
            message: format!("the component exports no function `{name}`"),
            hint: match did_you_mean(name.as_str(), &exported) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None if exported.is_empty() => "it exports no callable functions".to_owned(),
                None => format!("it exports {}", near::list(&exported)),
            },
        };
        let described = self.functions.keys().map(|name| (format!("functions.{name}"), name));
        let subscribed = self.subscriptions.iter().enumerate();
        let subscribed = subscribed.map(|(index, one)| (format!("subscriptions[{index}].function"), &one.function));
        let named = described.chain(subscribed).filter(|(_, name)| !is_exported(name));
        named.take(MOST_UNKNOWN).map(|(key, name)| unknown(key, name)).collect()
    }
}
