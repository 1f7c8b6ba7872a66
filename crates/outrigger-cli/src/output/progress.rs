//! Progress of long work, on standard error, gone without a trace once the work is done.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use outrigger_contract::text;

use super::one_line;

/// Progress that is shown while this value lives; or none.
#[derive(Debug)]
pub struct Progress(Option<ProgressBar>);

const TICK: Duration = Duration::from_millis(100);

impl Progress {
    pub(super) const fn none() -> Self {
        Self(None)
    }

    pub(super) fn spinner(message: String) -> Self {
        let bar = ProgressBar::new_spinner().with_message(shown(&message));
        bar.enable_steady_tick(TICK);
        Self(Some(bar))
    }

    pub(super) fn bar(length: u64) -> Self {
        let bar = ProgressBar::new(length);
        let template = "{bar:32.cyan/dim} {pos}/{len} {wide_msg} {eta}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("━━─"));
        }
        bar.enable_steady_tick(TICK);
        Self(Some(bar))
    }

    /// Progress in bytes, shown with done and total.
    pub(super) fn bytes(message: String) -> Self {
        let bar = ProgressBar::new(0).with_message(shown(&message));
        let template = "{bar:32.cyan/dim} {bytes}/{total_bytes} {wide_msg} {eta}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("━━─"));
        }
        bar.enable_steady_tick(TICK);
        Self(Some(bar))
    }

    /// Sets the done and the total amount.
    pub fn reach(&self, done: u64, total: u64) {
        if let Some(bar) = &self.0 {
            bar.set_length(total);
            bar.set_position(done);
        }
    }

    /// One more is done.
    pub fn advance(&self) {
        if let Some(bar) = &self.0 {
            bar.inc(1);
        }
    }

    /// Sets the current step.
    pub fn say(&self, message: impl Into<String>) {
        if let Some(bar) = &self.0 {
            bar.set_message(shown(&message.into()));
        }
    }

    /// Does something that writes to the terminal, with the progress out of its way.
    pub fn aside<T>(&self, work: impl FnOnce() -> T) -> T {
        match &self.0 {
            Some(bar) => bar.suspend(work),
            None => work(),
        }
    }
}

/// Escapes and shortens a message to one line.
fn shown(message: &str) -> String {
    const LONGEST: usize = 400;
    text::cut(&one_line(message), LONGEST).into_owned()
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
