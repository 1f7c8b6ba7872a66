//! The scope of one call, shared by everything that acts on its behalf: streams, sockets and requests outlive the host
//! call that made them. An instance that is kept gets a new scope with each call.

use std::sync::Arc;

use outrigger_contract::excerpt::{cut, excerpt};
use outrigger_engine::runtime::{CallContext, HostServices, LogLevel, LogLine, Observed};
use parking_lot::Mutex;

/// The maximum length of a log line's message, in bytes, and of all its fields together, names and values.
pub(super) const LINE_AT_MOST: usize = 8 << 10;
/// The limit for all log lines of a call: this many bytes per allowed line, within these bounds.
const LOG_PER_LINE: usize = 1 << 10;
const LOG_AT_LEAST: usize = 256 << 10;
const LOG_AT_MOST: usize = 2 << 20;
/// The maximum length of a name that is looked up.
const NAME_AT_MOST: usize = 253;
const FIELDS_AT_MOST: usize = 32;
const REFUSALS_AT_MOST: usize = 8;
const NAMES_AT_MOST: usize = 32;

/// Something that was reached for without a grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The refused operation: "open the file /etc/shadow".
    pub(super) what: String,
    /// The line in `plugin.toml` that asks for it; none where nothing can allow it.
    pub(super) remedy: Option<String>,
}

/// The scope of the call that an instance runs at present.
#[derive(Debug, Default)]
pub(super) struct Scope {
    current: Mutex<Option<Current>>,
    /// Names that the instance has looked up, to tell which of them an address belongs to.
    looked_up: Mutex<Vec<String>>,
}

#[derive(Debug)]
struct Current {
    services: Arc<dyn HostServices>,
    observed: Arc<Observed>,
    lines_left: u32,
    bytes_left: usize,
    refusals: Vec<Refusal>,
    /// The line that was begun on standard output and on standard error.
    pending: [Pending; 2],
}

/// A line that has not ended yet.
#[derive(Debug, Default)]
struct Pending {
    bytes: Vec<u8>,
    /// The line was cut; what comes up to its end is dropped.
    cut: bool,
}

/// Where a plugin writes text.
#[derive(Clone, Copy, Debug)]
pub(super) enum Output {
    Standard,
    Error,
}

impl Output {
    const ALL: [Self; 2] = [Self::Standard, Self::Error];

    const fn level(self) -> LogLevel {
        match self {
            Self::Standard => LogLevel::Info,
            Self::Error => LogLevel::Warn,
        }
    }
}

impl Scope {
    /// Begins a call.
    pub(super) fn begin(&self, context: &CallContext, log_lines: u32) {
        *self.current.lock() = Some(Current {
            services: Arc::clone(&context.services),
            observed: Arc::clone(&context.observed),
            lines_left: log_lines,
            bytes_left: LOG_PER_LINE.saturating_mul(log_lines as usize).clamp(LOG_AT_LEAST, LOG_AT_MOST),
            refusals: Vec::new(),
            pending: Default::default(),
        });
    }

    /// Ends the call: writes the last lines, and returns the refusals.
    pub(super) fn end(&self) -> Vec<Refusal> {
        let Some(mut current) = self.current.lock().take() else { return Vec::new() };
        for output in Output::ALL {
            current.finish_line(output);
        }
        current.refusals
    }

    /// The services of the host; none between calls.
    pub(super) fn services(&self) -> wasmtime::Result<Arc<dyn HostServices>> {
        match &*self.current.lock() {
            Some(current) => Ok(Arc::clone(&current.services)),
            None => wasmtime::bail!("the call is over"),
        }
    }

    /// Notes something that was refused.
    pub(super) fn refuse(&self, what: impl Into<String>, remedy: Option<String>) {
        // They contain names and paths that the plugin chose.
        let refusal = Refusal { what: excerpt(what), remedy: remedy.map(excerpt) };
        if let Some(current) = &mut *self.current.lock()
            && current.refusals.len() < REFUSALS_AT_MOST
            && !current.refusals.contains(&refusal)
        {
            current.observed.violation(refusal.what.clone());
            current.refusals.push(refusal);
        }
    }

    /// Remembers a name that was looked up. Only the latest are kept.
    pub(super) fn look_up(&self, name: &str) {
        if name.len() > NAME_AT_MOST {
            return;
        }
        let mut names = self.looked_up.lock();
        names.retain(|known| known != name);
        if names.len() == NAMES_AT_MOST {
            names.remove(0);
        }
        names.push(name.to_owned());
    }

    /// The names that were looked up.
    pub(super) fn looked_up(&self) -> Vec<String> {
        self.looked_up.lock().clone()
    }

    /// Writes a line of the plugin's log.
    pub(super) fn log(&self, level: LogLevel, message: String, fields: Vec<(String, String)>) {
        if let Some(current) = &mut *self.current.lock() {
            current.log(LogLine { level, message: cut(message, LINE_AT_MOST), fields: shortened(fields) });
        }
    }

    /// Splits text written to an output into lines.
    pub(super) fn write(&self, output: Output, bytes: &[u8]) {
        let Some(current) = &mut *self.current.lock() else { return };
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ended) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            let pending = &mut current.pending[output as usize];
            if !pending.cut {
                let room = LINE_AT_MOST - pending.bytes.len();
                pending.bytes.extend_from_slice(&text[..text.len().min(room)]);
                pending.cut = text.len() > room;
            }
            if ended {
                current.end_line(output);
            }
        }
    }
}

impl Current {
    fn log(&mut self, line: LogLine) {
        let left = (self.lines_left.checked_sub(1), self.bytes_left.checked_sub(line.size()));
        let (Some(lines_left), Some(bytes_left)) = left else { return self.observed.log_lines_dropped(1) };
        (self.lines_left, self.bytes_left) = (lines_left, bytes_left);
        if !self.services.log(line) {
            self.observed.log_lines_dropped(1);
        }
    }

    fn end_line(&mut self, output: Output) {
        let pending = std::mem::take(&mut self.pending[output as usize]);
        let mut message = String::from_utf8_lossy(&pending.bytes).into_owned();
        if message.ends_with('\r') {
            message.pop();
        }
        if pending.cut {
            message.push('…');
        }
        self.log(LogLine { level: output.level(), message, fields: Vec::new() });
    }

    /// A line without a newline at the very end is a line too.
    fn finish_line(&mut self, output: Output) {
        if !self.pending[output as usize].bytes.is_empty() {
            self.end_line(output);
        }
    }
}

/// Limits the fields of a line to the maximum length of a message. The rest is truncated, with the number of omitted
/// fields at the end.
fn shortened(fields: Vec<(String, String)>) -> Vec<(String, String)> {
    let (given, mut left) = (fields.len(), LINE_AT_MOST);
    let mut kept = Vec::with_capacity(given.min(FIELDS_AT_MOST));
    for (name, value) in fields.into_iter().take(FIELDS_AT_MOST) {
        if left == 0 {
            break;
        }
        let (name, value) = (cut(name, left.min(NAME_AT_MOST)), value);
        left = left.saturating_sub(name.len());
        let value = cut(value, left);
        left = left.saturating_sub(value.len());
        kept.push((name, value));
    }
    if kept.len() < given {
        kept.push(("…".to_owned(), format!("{} more fields", given - kept.len())));
    }
    kept
}
