//! The interfaces of `outrigger:plugin` that a component may import, on top of the engine's services.

use outrigger_contract::types::json::{TreeBound, members_size, tree_size};
use outrigger_engine::Charge;
use outrigger_engine::hooks::LONGEST_CARRIED;
use outrigger_engine::progress::Progress;
use outrigger_engine::runtime::{CallError, LogLevel, StateError};

use super::state::State;

mod bindings {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "imports",
        imports: {
            "outrigger:plugin/logging": trappable,
            "outrigger:plugin/configuration": trappable,
            "outrigger:plugin/progress": trappable,
            default: async | trappable,
        },
    });
}

use bindings::outrigger::plugin::{calls, configuration, hooks, logging, progress, state};
use wasmtime::component::{HasSelf, Linker};

/// Offers all of them.
pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    logging::add_to_linker::<_, HasSelf<State>>(linker, |state| state.called("outrigger:plugin/logging"))?;
    configuration::add_to_linker::<_, HasSelf<State>>(linker, |state| state.called("outrigger:plugin/configuration"))?;
    state::add_to_linker::<_, HasSelf<State>>(linker, |state| state.called("outrigger:plugin/state"))?;
    calls::add_to_linker::<_, HasSelf<State>>(linker, |state| state.called("outrigger:plugin/calls"))?;
    progress::add_to_linker::<_, HasSelf<State>>(linker, |state| state.called("outrigger:plugin/progress"))?;
    hooks::add_to_linker::<_, HasSelf<State>>(linker, |state| state.called("outrigger:plugin/hooks"))
}

/// Copies of the payload during a firing: as fired, as changed by filters, and as passed to a subscriber.
const COPIES: usize = 3;

impl State {
    /// Charges the memory of a host call to the call, while the host call runs.
    fn hold(&self, bytes: usize) -> wasmtime::Result<Charge> {
        Ok(self.call.account.charge(bytes)?)
    }
}

impl logging::Host for State {
    fn log(&mut self, level: logging::Level, message: String, fields: Vec<(String, String)>) -> wasmtime::Result<()> {
        let level = match level {
            logging::Level::Trace => LogLevel::Trace,
            logging::Level::Debug => LogLevel::Debug,
            logging::Level::Info => LogLevel::Info,
            logging::Level::Warn => LogLevel::Warn,
            logging::Level::Error => LogLevel::Error,
        };
        let pairs: usize =
            fields.iter().map(|(name, value)| size_of::<(String, String)>() + name.len() + value.len()).sum();
        let _held = self.hold(message.len() + pairs)?;
        self.scope.log(level, message, fields);
        Ok(())
    }
}

impl configuration::Host for State {
    fn get(&mut self, key: String) -> wasmtime::Result<Option<String>> {
        let configuration = self.scope.services()?.configuration();
        let Some(value) = configuration.get(&key) else { return Ok(None) };
        let _held = self.hold(2 * tree_size(value))?;
        Ok(Some(value.to_string()))
    }

    fn all(&mut self) -> wasmtime::Result<String> {
        let configuration = self.scope.services()?.configuration();
        let _held = self.hold(2 * members_size(&configuration))?;
        Ok(serde_json::to_string(&*configuration)?)
    }
}

impl From<StateError> for state::Error {
    fn from(error: StateError) -> Self {
        match error {
            StateError::InvalidKey(reason) => Self::InvalidKey(reason),
            StateError::TooLarge(reason) => Self::TooLarge(reason),
            StateError::Changed => Self::Changed,
            StateError::Unavailable(reason) => Self::Unavailable(reason),
        }
    }
}

impl state::Host for State {
    async fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<Vec<u8>>, state::Error>> {
        let mut held = self.hold(key.len())?;
        let value = self.scope.services()?.state_get(&key).await;
        held.grow(value.as_ref().map_or(0, |value| value.as_ref().map_or(0, Vec::len)))?;
        Ok(value.map_err(Into::into))
    }

    async fn set(&mut self, key: String, value: Vec<u8>) -> wasmtime::Result<Result<(), state::Error>> {
        let _held = self.hold(key.len() + 2 * value.len())?;
        Ok(self.scope.services()?.state_set(&key, value).await.map_err(Into::into))
    }

    async fn compare_and_set(
        &mut self,
        key: String,
        expected: Option<Vec<u8>>,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), state::Error>> {
        let _held = self.hold(key.len() + 2 * value.len() + 2 * expected.as_ref().map_or(0, Vec::len))?;
        Ok(self.scope.services()?.state_compare_and_set(&key, expected, value).await.map_err(Into::into))
    }

    async fn delete(&mut self, key: String) -> wasmtime::Result<Result<(), state::Error>> {
        let _held = self.hold(key.len())?;
        Ok(self.scope.services()?.state_delete(&key).await.map_err(Into::into))
    }

    async fn keys(&mut self, prefix: String, limit: u32) -> wasmtime::Result<Result<Vec<String>, state::Error>> {
        let mut held = self.hold(prefix.len())?;
        let keys = self.scope.services()?.state_keys(&prefix, limit).await;
        held.grow(keys.as_ref().map_or(0, |keys| keys.iter().map(|key| key.len() + size_of::<String>()).sum()))?;
        Ok(keys.map_err(Into::into))
    }
}

impl calls::Host for State {
    async fn call(&mut self, function: String, arguments: String) -> wasmtime::Result<Result<String, calls::Error>> {
        // The text, and the copy of it that the call is made with.
        let mut held = self.hold(function.len() + 2 * arguments.len())?;
        let result = self.scope.services()?.call(&function, &arguments).await;
        held.grow(result.as_ref().map_or(0, String::len))?;
        Ok(result.map_err(|CallError { code, message, detail }| calls::Error {
            code: code.as_str().to_owned(),
            message,
            detail,
        }))
    }
}

impl progress::Host for State {
    fn report(&mut self, fraction: Option<f64>, message: String) -> wasmtime::Result<()> {
        self.scope.services()?.progress(Progress::new(fraction, message));
        Ok(())
    }
}

impl hooks::Host for State {
    async fn fire(&mut self, hook: String, payload: String) -> wasmtime::Result<Result<String, hooks::Error>> {
        // Longer payloads are refused before they are parsed.
        let tree = if payload.len() > LONGEST_CARRIED { 0 } else { TreeBound::of(&payload) };
        let mut held = self.hold(hook.len() + 2 * payload.len() + COPIES * tree)?;
        let result = self.scope.services()?.fire(&hook, &payload).await;
        held.grow(result.as_ref().map_or(0, String::len))?;
        Ok(result.map_err(|CallError { code, message, detail }| hooks::Error {
            code: code.as_str().to_owned(),
            message,
            detail,
        }))
    }
}
