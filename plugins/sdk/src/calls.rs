//! Calls to functions of other plugins. They need the permission `plugins` in the manifest, and take the same path as
//! any call: validation, limits, cache, record. They end with the deadline of the call that makes them.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::imports::outrigger::plugin::calls;

/// Why a call did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The host refused the call, or the function failed.
    #[error("{function}: {message} ({code})")]
    Failed {
        /// The function that was called.
        function: String,
        /// A stable code, such as `rate_limited` or `function_failed`.
        code: String,
        /// The problem.
        message: String,
        /// For `function_failed`: the error value of the function.
        detail: Option<serde_json::Value>,
    },
    /// The arguments cannot be written as a JSON object.
    #[error("{function}: the arguments cannot be written as JSON")]
    Arguments {
        /// The function that was to be called.
        function: String,
        /// Why not.
        source: serde_json::Error,
    },
    /// The result is not of the type asked for.
    #[error("{function}: the result is not of the type that the caller expects")]
    Result {
        /// The function that was called.
        function: String,
        /// Where it differs.
        source: serde_json::Error,
    },
}

/// Calls `function`, written `plugin.function`. `arguments` is a struct or a map with a field for each parameter, named
/// as in the function's schema.
///
/// ```ignore
/// #[derive(serde::Serialize)]
/// struct Arguments<'a> { service: &'a str, quantity: u64 }
///
/// let quotation: Quotation = calls::call("pricing.quote", &Arguments { service: "compute-small", quantity: 730 })?;
/// ```
pub fn call<A, T>(function: &str, arguments: &A) -> Result<T, CallError>
where
    A: Serialize + ?Sized,
    T: DeserializeOwned,
{
    let arguments = serde_json::to_string(arguments)
        .map_err(|source| CallError::Arguments { function: function.to_owned(), source })?;
    let result = calls::call(function, &arguments).map_err(|error| {
        let calls::Error { code, message, detail } = error;
        let detail = detail.and_then(|text| serde_json::from_str(&text).ok());
        CallError::Failed { function: function.to_owned(), code, message, detail }
    })?;
    serde_json::from_str(&result).map_err(|source| CallError::Result { function: function.to_owned(), source })
}
