//! The result of a call as JSON text. Writing a long one takes milliseconds, so that happens in the pool for long
//! computations.

use std::time::Duration;

use outrigger_compute::{blocking, run};
use outrigger_contract::Code;
use outrigger_contract::units::ByteSize;
use serde_json::value::RawValue;

use super::Answer;
use crate::error::Failure;
use crate::rendering::{self, Unwritten};

/// The last step of writing a text.
type Finish<T> = fn(String) -> Result<T, Unwritten>;

impl Answer {
    /// The value as JSON text, which can be several times as large as the result. A long text is written in the pool
    /// for long computations.
    ///
    /// # Errors
    /// The text is too large, or exceeds the memory limit of the call; or a large result did not get its turn.
    pub async fn json_text(&self) -> Result<String, Failure> {
        self.written(Ok).await
    }

    /// Like [`Self::json_text`], as a part of a larger document.
    ///
    /// # Errors
    /// Like [`Self::json_text`].
    pub async fn raw_json(&self) -> Result<Box<RawValue>, Failure> {
        self.written(|text| RawValue::from_string(text).map_err(|_| Unwritten::Misfit)).await
    }

    async fn written<T: Send + 'static>(&self, finish: Finish<T>) -> Result<T, Failure> {
        /// A text up to this size, in bytes, is written at once. Small values can have a long text.
        const SHORT: usize = 128 << 10;
        if !self.value.is_large() {
            let written = self.write(SHORT).and_then(finish);
            if !self.is_longer(&written) {
                return written.map_err(|unwritten| self.unwritten(unwritten));
            }
        }
        // Boxed: it would make the future of every call larger.
        Box::pin(self.write_in_pool(finish)).await
    }

    /// Writes a long text. Only very long ones take turns, so the others never wait for them.
    async fn write_in_pool<T: Send + 'static>(&self, finish: Finish<T>) -> Result<T, Failure> {
        /// Results up to this size and texts up to that one, in bytes, take a few milliseconds.
        const RESULT: usize = 1 << 20;
        const TEXT: usize = 4 << 20;
        const LONGEST_WAIT: Duration = Duration::from_secs(30);
        let answer = self.clone();
        let quick = async move {
            match answer.value.left_of(RESULT) {
                Some(_) => answer.write(TEXT).and_then(finish),
                // Not tried.
                None => Err(Unwritten::TooLong(0)),
            }
        };
        let written = run(true, Box::pin(quick)).await;
        if !self.is_longer(&written) {
            return written.map_err(|unwritten| self.unwritten(unwritten));
        }
        let (answer, owner) = (self.clone(), self.caller.owner());
        let writing = blocking(&owner, move || answer.write(usize::MAX).and_then(finish));
        match tokio::time::timeout(LONGEST_WAIT, writing).await {
            Ok(written) => written?.map_err(|unwritten| self.unwritten(unwritten)),
            Err(_) => {
                let name = &self.function().name;
                let message = format!("rendering the large result of `{name}` took more than {LONGEST_WAIT:?}");
                Err(Failure::new(Code::Busy, message)
                    .with_hint("the server renders many large results; try again, or return the result in parts"))
            }
        }
    }

    /// Writes the text, if it has at most `longest` bytes.
    fn write(&self, longest: usize) -> Result<String, Unwritten> {
        let Some(rendered) = self.rendered() else { return Ok("null".to_owned()) };
        // The text goes into the answer, and stays charged while the answer exists.
        rendering::text(rendered, self.account(), longest.min(self.longest_text()))
    }

    /// The limit for the text, in bytes.
    fn longest_text(&self) -> usize {
        /// How many times as large as the data the JSON can be, because of names, quotes and escapes.
        const LARGER: usize = 8;
        self.revision.manifest.limits.output.as_usize().saturating_mul(LARGER).saturating_add(64 << 10)
    }

    /// Whether the text is longer than was tried, and may be within the limit.
    fn is_longer<T>(&self, written: &Result<T, Unwritten>) -> bool {
        matches!(written, Err(Unwritten::TooLong(tried)) if *tried < self.longest_text())
    }

    fn unwritten(&self, unwritten: Unwritten) -> Failure {
        match unwritten {
            Unwritten::Memory(exceeded) => exceeded.into(),
            Unwritten::TooLong(longest) => {
                let limit = ByteSize::bytes(longest as u64);
                let message = format!("the JSON result of `{}` is larger than {limit}", self.function().name);
                Failure::new(Code::OutputLimit, message)
                    .with_hint("raise `[limits] output`, or have the function return its result in parts")
            }
            Unwritten::Misfit => Failure::internal("a validated result does not match its type"),
        }
    }
}
