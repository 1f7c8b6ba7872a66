//! Displays results. Data goes to standard output in the requested format; remarks and progress go to standard error,
//! and only on a terminal.

pub mod human;
pub mod log;
mod progress;
pub mod safe;
pub mod table;

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use outrigger_contract::text;
use serde::Serialize;

use crate::cli::GlobalOptions;
use crate::error::CliResult;

pub use progress::Progress;

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Table,
    /// JSON
    Json,
    /// YAML
    Yaml,
}

/// Where results and remarks go.
#[derive(Clone, Debug)]
pub struct Output {
    format: Format,
    quiet: bool,
}

impl Output {
    /// An output as the global options ask for it.
    #[must_use]
    pub fn new(options: &GlobalOptions) -> Self {
        Self { format: options.output.unwrap_or_default(), quiet: options.quiet }
    }

    /// The format that was asked for.
    #[must_use]
    pub const fn format(&self) -> Format {
        self.format
    }

    /// Prints a result: as data, or in words made for people.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn print<T: Serialize>(&self, value: &T, human: impl FnOnce() -> String) -> CliResult {
        let text = match self.format {
            Format::Table => safe::lines(&human()).into_owned(),
            Format::Json => text::json(&serde_json::to_string_pretty(value).map_err(io::Error::other)?).into_owned(),
            Format::Yaml => yaml(value)?,
        };
        self.write(&text)
    }

    /// Prints one of many results, each on a line of its own; in YAML as a document of its own.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn print_line<T: Serialize>(&self, value: &T, human: impl FnOnce() -> String) -> CliResult {
        let text = match self.format {
            Format::Table => safe::lines(&human()).into_owned(),
            Format::Json => text::json(&serde_json::to_string(value).map_err(io::Error::other)?).into_owned(),
            Format::Yaml => format!("---\n{}", yaml(value)?),
        };
        self.write(&text)
    }

    /// Writes a text with its colours, if enabled, and a line break. Writes nothing for an empty text.
    fn write(&self, text: &str) -> CliResult {
        if text.is_empty() {
            return Ok(());
        }
        let mut stdout = anstream::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        if !text.ends_with('\n') {
            stdout.write_all(b"\n")?;
        }
        Ok(stdout.flush()?)
    }

    /// Writes the text of a plugin unchanged. For a terminal, control characters are escaped.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn write_raw(&self, text: &str) -> CliResult {
        if io::stdout().is_terminal() {
            return self.write(&clean(text));
        }
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        if !text.ends_with('\n') {
            stdout.write_all(b"\n")?;
        }
        Ok(stdout.flush()?)
    }

    /// Says something beside the results.
    pub fn remark(&self, text: &str) {
        if !self.quiet {
            self.ask_about(text);
        }
    }

    /// Shows what a question is about, to be asked next. Unlike a remark it is never left out.
    pub fn ask_about(&self, text: &str) {
        // Standard error may be closed, which is no reason to stop.
        let _ = writeln!(anstream::stderr(), "{}", safe::lines(text));
    }

    /// Shows that something is going on, until the answer is dropped.
    #[must_use]
    pub fn spinner(&self, message: impl Into<String>) -> Progress {
        match self.shows_progress() {
            true => Progress::spinner(message.into()),
            false => Progress::none(),
        }
    }

    /// Shows how much of `length` is done, until the answer is dropped.
    #[must_use]
    pub fn bar(&self, length: u64) -> Progress {
        match self.shows_progress() {
            true => Progress::bar(length),
            false => Progress::none(),
        }
    }

    /// Shows how many bytes are done, until the answer is dropped.
    #[must_use]
    pub fn bytes_bar(&self, message: impl Into<String>) -> Progress {
        match self.shows_progress() {
            true => Progress::bytes(message.into()),
            false => Progress::none(),
        }
    }

    /// Whether the steps of long operations are shown.
    #[must_use]
    pub const fn is_quiet(&self) -> bool {
        self.quiet
    }

    fn shows_progress(&self) -> bool {
        !self.quiet && io::stderr().is_terminal()
    }
}

/// A value as YAML. If it contains characters that need escaping, all of it is written in YAML's JSON form, which can
/// escape them.
pub(crate) fn yaml<T: Serialize>(value: &T) -> io::Result<String> {
    let block = serde_saphyr::to_string(value).map_err(io::Error::other)?;
    if let Cow::Borrowed(_) = text::plain(&block) {
        return Ok(block);
    }
    let json = serde_json::to_string_pretty(value).map_err(io::Error::other)?;
    Ok(text::json_for_yaml(&json).into_owned() + "\n")
}

/// Whether help and usage errors have colours: as `--color` said for everything.
pub(crate) fn help_color() -> clap::ColorChoice {
    match anstream::ColorChoice::global() {
        anstream::ColorChoice::Never => clap::ColorChoice::Never,
        anstream::ColorChoice::Always | anstream::ColorChoice::AlwaysAnsi => clap::ColorChoice::Always,
        anstream::ColorChoice::Auto => clap::ColorChoice::Auto,
    }
}

/// Whether the user can be asked: questions are shown on standard error and answered on standard input.
#[must_use]
pub fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// The width of the terminal on standard error, in characters; 100 if there is none.
pub(crate) fn width() -> usize {
    comfy_table::Table::new().use_stderr().width().map_or(100, usize::from).clamp(40, 140)
}

/// Escapes the control characters and invisible characters of untrusted text.
#[must_use]
pub fn clean(text: &str) -> String {
    text::plain(text).into_owned()
}

/// The same on one line.
#[must_use]
pub fn one_line(text: &str) -> String {
    clean(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn styled(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

pub(crate) fn bold(text: &str) -> String {
    styled(Style::new().bold(), text)
}

pub(crate) fn dim(text: &str) -> String {
    styled(Style::new().dimmed(), text)
}

pub(crate) fn green(text: &str) -> String {
    styled(AnsiColor::Green.on_default(), text)
}

pub(crate) fn yellow(text: &str) -> String {
    styled(AnsiColor::Yellow.on_default(), text)
}

pub(crate) fn red(text: &str) -> String {
    styled(AnsiColor::Red.on_default(), text)
}

/// A length of time in microseconds, for people: three digits and a unit.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub fn duration(microseconds: u64) -> String {
    match microseconds {
        0..1_000 => format!("{microseconds} µs"),
        1_000..10_000 => format!("{:.2} ms", microseconds as f64 / 1e3),
        10_000..100_000 => format!("{:.1} ms", microseconds as f64 / 1e3),
        100_000..1_000_000 => format!("{:.0} ms", microseconds as f64 / 1e3),
        1_000_000..10_000_000 => format!("{:.2} s", microseconds as f64 / 1e6),
        10_000_000..3_600_000_000 => format!("{:.1} s", microseconds as f64 / 1e6),
        _ => format!("{:.1} h", microseconds as f64 / 3.6e9),
    }
}

/// A number of bytes, for people.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
pub fn bytes(count: u64) -> String {
    match count {
        0..1_024 => format!("{count} B"),
        1_024..1_048_576 => format!("{:.1} KiB", count as f64 / 1024.0),
        _ => format!("{:.1} MiB", count as f64 / 1_048_576.0),
    }
}

/// A moment, to the second, in UTC.
#[must_use]
pub fn moment(at: time::OffsetDateTime) -> String {
    let format = time::macros::format_description!("[year]-[month]-[day] [hour]:[minute]:[second]Z");
    // The latest representable times cannot be converted to UTC.
    let at = at.checked_to_offset(time::UtcOffset::UTC).unwrap_or(at);
    at.format(format).unwrap_or_else(|_| at.to_string())
}

/// A text truncated to the width of the terminal, after `used` characters; all of it if there is no terminal.
#[must_use]
pub fn shortened(text: String, used: usize) -> String {
    let room = match io::stdout().is_terminal() {
        true => width().saturating_sub(used).max(20),
        false => return text,
    };
    match text.char_indices().nth(room) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// `1 file`, `2 files`.
#[must_use]
pub fn count(number: usize, singular: &str) -> String {
    match number {
        1 => format!("1 {singular}"),
        _ => format!("{number} {singular}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_three_digits() {
        for (microseconds, expected) in [
            (7, "7 µs"),
            (1_234, "1.23 ms"),
            (12_345, "12.3 ms"),
            (123_456, "123 ms"),
            (61_000_000, "61.0 s"),
            (3_599_900_000, "3599.9 s"),
            (123_456_000_000, "34.3 h"),
        ] {
            assert_eq!(duration(microseconds), expected);
        }
    }

    #[test]
    fn s03_every_moment_that_can_be_written_is_shown() {
        let check = |at: time::OffsetDateTime, expected: &str| assert_eq!(moment(at), expected);
        check(time::macros::datetime!(2026-11-29 12:00:00 +02:00), "2026-11-29 10:00:00Z");
        check(time::macros::datetime!(9999-12-31 23:59:59 -23:59), "9999-12-31 23:59:59Z");
    }

    #[test]
    fn s10_a_text_cannot_drive_a_terminal() {
        assert_eq!(clean("a\u{1b}[31mb\r\u{7}\n\tc"), "a\\u{1b}[31mb\\r\\u{7}\n\tc");
        assert_eq!(one_line(" a\n b\u{202e} "), "a b\\u{202e}");
    }

    #[test]
    fn s10_yaml_says_the_same_whatever_is_in_it() {
        for text in ["plain", "a\nb", "\u{9b}31m", "gpj\u{202e}", "\u{e0041} - : \u{2028}"] {
            let value = serde_json::json!({"a": [text, {"b": text}]});
            let written = yaml(&value).unwrap();
            assert!(!written.chars().any(|c| c != '\n' && text::is_misleading(c)), "{written}");
            assert_eq!(serde_saphyr::from_str::<serde_json::Value>(&written).unwrap(), value, "{written}");
        }
    }
}
