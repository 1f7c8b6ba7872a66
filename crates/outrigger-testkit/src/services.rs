//! Services of the host that remember what a plugin did with them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use outrigger_contract::Code;
use outrigger_engine::Account;
use outrigger_engine::correlation::CorrelationId;
use outrigger_engine::progress::Progress;
use outrigger_engine::runtime::{CallContext, CallError, Cancellation, HostServices, LogLine, Observed, StateError};
use parking_lot::Mutex;
use serde_json::{Map, Value};

/// Keeps the lines and the state in memory. A call to another plugin is answered with its arguments, and
/// `nobody.home` is not found. A hook carries in the end what it carried at first.
#[derive(Debug, Default)]
pub struct RecordingServices {
    pub lines: Mutex<Vec<LogLine>>,
    pub configuration: Arc<Map<String, Value>>,
    pub state: Mutex<BTreeMap<String, Vec<u8>>>,
    pub progress: Mutex<Vec<Progress>>,
}

impl RecordingServices {
    /// A context for one call with this long to run.
    #[must_use]
    pub fn context(self: &Arc<Self>, time: Duration) -> CallContext {
        CallContext {
            correlation: CorrelationId::new(),
            deadline: Instant::now() + time,
            cancel: Cancellation::default(),
            services: Arc::clone(self) as Arc<dyn HostServices>,
            observed: Arc::new(Observed::default()),
            account: Account::default(),
            is_nested: false,
            recording: None,
        }
    }

    /// The messages of the lines so far.
    #[must_use]
    pub fn messages(&self) -> Vec<String> {
        self.lines.lock().iter().map(|line| line.message.clone()).collect()
    }
}

#[async_trait]
impl HostServices for RecordingServices {
    fn log(&self, line: LogLine) -> bool {
        self.lines.lock().push(line);
        true
    }

    fn configuration(&self) -> Arc<Map<String, Value>> {
        Arc::clone(&self.configuration)
    }

    async fn state_get(&self, key: &str) -> Result<Option<Vec<u8>>, StateError> {
        Ok(self.state.lock().get(key).cloned())
    }

    async fn state_set(&self, key: &str, value: Vec<u8>) -> Result<(), StateError> {
        self.state.lock().insert(key.to_owned(), value);
        Ok(())
    }

    async fn state_compare_and_set(
        &self,
        key: &str,
        expected: Option<Vec<u8>>,
        value: Vec<u8>,
    ) -> Result<(), StateError> {
        let mut state = self.state.lock();
        if state.get(key) != expected.as_ref() {
            return Err(StateError::Changed);
        }
        state.insert(key.to_owned(), value);
        Ok(())
    }

    async fn state_delete(&self, key: &str) -> Result<(), StateError> {
        self.state.lock().remove(key);
        Ok(())
    }

    async fn state_keys(&self, prefix: &str, limit: u32) -> Result<Vec<String>, StateError> {
        let state = self.state.lock();
        Ok(state.keys().filter(|key| key.starts_with(prefix)).take(limit as usize).cloned().collect())
    }

    async fn call(&self, function: &str, arguments: &str) -> Result<String, CallError> {
        match function {
            "nobody.home" => Err(CallError {
                code: Code::FunctionNotFound,
                message: "there is no such function".to_owned(),
                detail: None,
            }),
            _ => Ok(arguments.to_owned()),
        }
    }

    fn progress(&self, progress: Progress) {
        self.progress.lock().push(progress);
    }

    async fn fire(&self, _: &str, payload: &str) -> Result<String, CallError> {
        Ok(payload.to_owned())
    }
}
