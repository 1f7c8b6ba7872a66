//! Hooks of the plugin's own, as `[hooks]` in its manifest declares them: others subscribe to them, and are called when
//! they are fired. Subscribers of actions and filters are waited for, within the deadline of the call that fires; those of
//! events are told in the background.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::imports::outrigger::plugin::hooks;

/// Why a hook did not reach its end.
#[derive(Debug, thiserror::Error)]
pub enum FireError {
    /// A subscriber refused it. Only a filter is refused, and whoever fires it should then leave be what it is about.
    #[error("{hook}: {message}")]
    Refused {
        /// The hook that was fired.
        hook: String,
        /// The subscriber that refused, and the reason, as text for people.
        message: String,
        /// The error value of the subscriber.
        detail: Option<serde_json::Value>,
    },
    /// A subscriber failed and takes the hook with it, or the host refused to fire it.
    #[error("{hook}: {message} ({code})")]
    Failed {
        /// The hook that was fired.
        hook: String,
        /// A stable code, such as `hook_failed`, or `invalid_input` where it cannot carry this.
        code: String,
        /// The problem.
        message: String,
    },
    /// The payload cannot be serialized as JSON.
    #[error("{hook}: what it is to carry cannot be written as JSON")]
    Payload {
        /// The hook that was to be fired.
        hook: String,
        /// Why not.
        source: serde_json::Error,
    },
    /// The filtered payload does not have the requested type.
    #[error("{hook}: what it carries in the end is not of the type that is expected")]
    Value {
        /// The hook that was fired.
        hook: String,
        /// Where it differs.
        source: serde_json::Error,
    },
}

/// Fires an action, and waits for its subscribers; or an event, of which they are told in the background.
///
/// ```ignore
/// hooks::fire("orders.placed", &order)?;
/// ```
pub fn fire<P>(hook: &str, payload: &P) -> Result<(), FireError>
where
    P: Serialize + ?Sized,
{
    carry(hook, payload).map(drop)
}

/// Fires a filter: hands a value through its subscribers, and gives back what they made of it.
///
/// ```ignore
/// let price: Price = hooks::filter("orders.priced", &price)?;
/// ```
pub fn filter<P, T>(hook: &str, payload: &P) -> Result<T, FireError>
where
    P: Serialize + ?Sized,
    T: DeserializeOwned,
{
    let value = carry(hook, payload)?;
    serde_json::from_str(&value).map_err(|source| FireError::Value { hook: hook.to_owned(), source })
}

fn carry<P>(hook: &str, payload: &P) -> Result<String, FireError>
where
    P: Serialize + ?Sized,
{
    let payload =
        serde_json::to_string(payload).map_err(|source| FireError::Payload { hook: hook.to_owned(), source })?;
    hooks::fire(hook, &payload).map_err(|error| {
        let hooks::Error { code, message, detail } = error;
        let (hook, detail) = (hook.to_owned(), detail.and_then(|text| serde_json::from_str(&text).ok()));
        match code.as_str() {
            "hook_refused" => FireError::Refused { hook, message, detail },
            _ => FireError::Failed { hook, code, message },
        }
    })
}
