//! What belongs to one call, shared by everything that acts on its behalf: streams, sockets and requests outlive the
//! host call that made them. An instance that is kept gets a new scope with each call.

use std::sync::Arc;

use outrigger_engine::runtime::{CallContext, HostServices, LogLevel, LogLine, Observed};
use parking_lot::Mutex;

/// The longest line and the longest field of a log line, in bytes.
pub(super) const LINE_AT_MOST: usize = 8 << 10;
const FIELDS_AT_MOST: usize = 32;
const REFUSALS_AT_MOST: usize = 8;
const NAMES_AT_MOST: usize = 32;

/// Something that was reached for without a grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// What was reached for: "open the file /etc/shadow".
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
            refusals: Vec::new(),
            pending: Default::default(),
        });
    }

    /// Ends the call: writes the last lines, and gives what was refused.
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
        let refusal = Refusal { what: what.into(), remedy };
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
    pub(super) fn log(&self, level: LogLevel, mut message: String, mut fields: Vec<(String, String)>) {
        cut(&mut message);
        fields.truncate(FIELDS_AT_MOST);
        for (name, value) in &mut fields {
            cut(name);
            cut(value);
        }
        if let Some(current) = &mut *self.current.lock() {
            current.log(LogLine { level, message, fields });
        }
    }

    /// Takes what was written to an output, and makes lines of it.
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
        match self.lines_left.checked_sub(1) {
            Some(left) => {
                self.lines_left = left;
                self.services.log(line);
            }
            None => self.observed.log_lines_dropped(1),
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

fn cut(text: &mut String) {
    if text.len() > LINE_AT_MOST {
        text.truncate(text.floor_char_boundary(LINE_AT_MOST));
        text.push('…');
    }
}
