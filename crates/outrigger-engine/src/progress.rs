//! How far a call is, by its own account: `outrigger:plugin/progress → CallServices → Reporter → jobs::runner`.

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// Characters of a message that are kept.
const LONGEST_MESSAGE: usize = 500;

/// How far something is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// From 0 to 1, where that is known.
    pub fraction: Option<f64>,
    /// The current step, as text for people.
    pub message: String,
}

impl Progress {
    /// A plugin's report. An invalid fraction is left out, a fraction out of range is clamped, and a long message is
    /// truncated.
    #[must_use]
    pub fn new(fraction: Option<f64>, mut message: String) -> Self {
        if let Some((end, _)) = message.char_indices().nth(LONGEST_MESSAGE) {
            message.truncate(end);
        }
        // The rest of a message of a gigabyte would be held on to for nothing.
        message.shrink_to_fit();
        Self {
            fraction: fraction.filter(|fraction| !fraction.is_nan()).map(|fraction| fraction.clamp(0.0, 1.0)),
            message,
        }
    }
}

/// Where a call tells how far it is. Only its latest word counts.
#[derive(Clone, Debug)]
pub struct Reporter(watch::Sender<Option<Progress>>);

impl Reporter {
    /// One that has told nothing yet, and the end at which it is heard.
    #[must_use]
    pub fn new() -> (Self, watch::Receiver<Option<Progress>>) {
        let (sender, receiver) = watch::channel(None);
        (Self(sender), receiver)
    }

    pub(crate) fn tell(&self, progress: Progress) {
        self.0.send_replace(Some(progress));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(fraction: f64, expected: Option<f64>) {
        assert_eq!(Progress::new(Some(fraction), String::new()).fraction, expected, "{fraction}");
    }

    #[test]
    fn a_fraction_lies_between_nothing_and_all() {
        check(0.25, Some(0.25));
        check(-3.0, Some(0.0));
        check(f64::INFINITY, Some(1.0));
        check(f64::NAN, None);
    }

    #[test]
    fn a_long_message_is_cut_between_two_characters() {
        let kept = Progress::new(None, "ä".repeat(LONGEST_MESSAGE + 1)).message;
        assert_eq!(kept, "ä".repeat(LONGEST_MESSAGE));
        assert_eq!(Progress::new(None, "all of it".to_owned()).message, "all of it");
    }
}
