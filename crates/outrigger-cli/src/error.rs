//! How a command fails, and how that is shown: one renderer for everything, with the code, what happened and what to do
//! next. On a terminal it is drawn, elsewhere it is plain text, and with `-o json` it is the error as JSON.

use std::fmt;
use std::io::{self, IsTerminal, Write};

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme};
use outrigger_api::{ApiError, Code};
use outrigger_contract::text;
use outrigger_contract::types::json::{Fault, Faults};

use crate::output::{Format, Output, clean, human, safe, yaml};

/// The result of a command.
pub type CliResult<T = ()> = Result<T, CliError>;

/// Why a command ends early.
#[derive(Debug)]
pub enum CliError {
    /// Something failed.
    Api(Box<ApiError>),
    /// The results could not be written.
    Output(io::Error),
    /// A usage error that clap words and shows itself; or help, which is no error.
    Usage(Box<clap::Error>),
    /// Something failed that the results already tell. Only the exit code is left.
    Reported(Code),
}

impl From<ApiError> for CliError {
    fn from(error: ApiError) -> Self {
        Self::Api(Box::new(error))
    }
}

impl From<io::Error> for CliError {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<clap::Error> for CliError {
    fn from(error: clap::Error) -> Self {
        Self::Usage(Box::new(error))
    }
}

/// A usage error with advice.
pub(crate) fn usage(message: impl Into<String>, hint: impl Into<String>) -> CliError {
    ApiError::new(Code::InvalidUsage, message).with_hint(hint).into()
}

/// Shows an error on standard error, and returns the exit code.
pub fn report(error: &CliError, output: &Output) -> u8 {
    match error {
        CliError::Api(error) => {
            show(error, output);
            error.code.info().exit
        }
        // The reader of the results closed the pipe, as `head` does. That is no failure.
        CliError::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
        CliError::Output(error) => {
            let error = ApiError::new(Code::Io, format!("the results cannot be written: {error}"));
            show(&error, output);
            error.code.info().exit
        }
        CliError::Usage(error) if error.use_stderr() && output.format() != Format::Table => {
            let error = as_data(error);
            show(&error, output);
            error.code.info().exit
        }
        CliError::Usage(error) => {
            // Standard error may be closed, which must not change the exit code.
            let text = error.render().ansi().to_string();
            let text = safe::lines(&text);
            let _ = match error.use_stderr() {
                true => anstream::stderr().write_all(text.as_bytes()),
                false => anstream::stdout().write_all(text.as_bytes()),
            };
            u8::try_from(error.exit_code()).unwrap_or(2)
        }
        CliError::Reported(code) => code.info().exit,
    }
}

fn show(error: &ApiError, output: &Output) {
    let text = match output.format() {
        Format::Json => {
            let text = serde_json::to_string(error).unwrap_or_else(|_| error.message.clone()) + "\n";
            text::json(&text).into_owned()
        }
        Format::Yaml => yaml(error).unwrap_or_else(|_| clean(&error.message)),
        Format::Table if io::stderr().is_terminal() => drawn(&Report::new(error)),
        Format::Table => plain(&Report::new(error)),
    };
    // As above.
    let _ = anstream::stderr().write_all(safe::lines(&text).as_bytes());
}

/// A usage error of clap as an error of ours, for programs.
fn as_data(error: &clap::Error) -> ApiError {
    let text = error.render().to_string();
    let message = text.split("\n\nUsage:").next().unwrap_or(&text);
    let message = message.split("\n\nFor more information").next().unwrap_or(message);
    ApiError::new(Code::InvalidUsage, message.trim_start_matches("error: ").trim())
}

/// `error[code]: message`, further lines, `hint: …`.
fn plain(report: &Report) -> String {
    let mut text = format!("error[{}]: {}\n", report.code, report.message);
    for line in report.more.lines() {
        text.push_str(&format!("  {line}\n"));
    }
    if !report.hint.is_empty() {
        text.push_str(&format!("  hint: {}\n", report.hint));
    }
    text
}

/// Draws a diagnostic for a terminal.
pub(crate) fn drawn(diagnostic: &dyn Diagnostic) -> String {
    let mut text = String::new();
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode()).with_width(crate::output::width());
    match handler.render_report(&mut text, diagnostic) {
        Ok(()) => text,
        Err(fmt::Error) => format!("{diagnostic}\n"),
    }
}

/// An error, made ready to be read.
#[derive(Debug)]
struct Report {
    code: Code,
    message: String,
    /// The lines below the message.
    more: String,
    hint: String,
}

impl Report {
    /// Takes out of the message what the detail can show better.
    fn new(error: &ApiError) -> Self {
        let ApiError { code, message, hint, detail, retry_after_ms: _ } = error;
        let (message, more) = match detail {
            Some(detail) => spread(message, detail),
            None => match message.split_once('\n') {
                Some((first, rest)) => (first.to_owned(), rest.to_owned()),
                None => (message.clone(), String::new()),
            },
        };
        let (message, more, hint) = (shown(&message), shown(&more), shown(hint));
        // The general advice on an error value is to look at it, and here it is.
        let seen = *code == Code::FunctionFailed && detail.is_some() && hint == code.info().help;
        Self { code: *code, message, more, hint: if seen { String::new() } else { hint } }
    }
}

/// The text of an error, which may quote a plugin or a server.
fn shown(text: &str) -> String {
    const LONGEST: usize = 32 << 10;
    clean(&text::cut(text, LONGEST))
}

/// Splits a message that ends with its detail on one line into the message and the detail on several.
fn spread(message: &str, detail: &serde_json::Value) -> (String, String) {
    if let Ok(faults) = serde_json::from_value::<Vec<Fault>>(detail.clone()) {
        let faults = Faults(faults);
        return match message.strip_suffix(&format!(": {faults}")) {
            Some(head) => {
                let lines: Vec<_> = faults.0.iter().map(|fault| format!("• {fault}")).collect();
                (head.to_owned(), lines.join("\n"))
            }
            None => (message.to_owned(), String::new()),
        };
    }
    match message.strip_suffix(&format!(": {detail}")) {
        Some(head) => (head.to_owned(), human::text(detail)),
        None => (message.to_owned(), String::new()),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)?;
        if !self.more.is_empty() {
            write!(formatter, "\n{}", self.more)?;
        }
        Ok(())
    }
}

impl std::error::Error for Report {}

impl Diagnostic for Report {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.code))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        (!self.hint.is_empty()).then(|| Box::new(&self.hint) as Box<dyn fmt::Display>)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn error(code: Code, message: &str, detail: Option<serde_json::Value>) -> ApiError {
        ApiError { detail, ..ApiError::new(code, message).with_hint("do this") }
    }

    fn check(error: &ApiError, expected: &str) {
        assert_eq!(plain(&Report::new(error)), expected);
    }

    #[test]
    fn s10_an_error_shows_what_would_drive_the_terminal() {
        check(
            &error(Code::FunctionFailed, "a\u{1b}[2Jb\u{202e}", None),
            "error[function_failed]: a\\u{1b}[2Jb\\u{202e}\n  hint: do this\n",
        );
        let detail = json!({"\u{9b}tag": "x\u{200b}y\r"});
        check(
            &error(Code::FunctionFailed, &format!("it failed: {detail}"), Some(detail)),
            "error[function_failed]: it failed\n  \\u{9b}tag: x\\u{200b}y\\r\n  hint: do this\n",
        );
        let drawn = drawn(&Report::new(&error(Code::Internal, "a\u{1b}]0;title\u{7}", None)));
        assert!(!drawn.contains('\u{7}') && !drawn.contains("\u{1b}]"), "{drawn:?}");
    }

    #[test]
    fn a_plain_error_has_code_message_and_hint() {
        check(
            &error(Code::PluginNotFound, "no plugin `x` is installed", None),
            "error[plugin_not_found]: no plugin `x` is installed\n  hint: do this\n",
        );
    }

    #[test]
    fn faults_stand_on_lines_of_their_own() {
        let detail = json!([{"path": "/a", "message": "is wrong"}, {"path": "", "message": "`b` is missing"}]);
        check(
            &error(Code::InvalidInput, "the arguments do not fit: /a: is wrong; `b` is missing", Some(detail)),
            "error[invalid_input]: the arguments do not fit\n  • /a: is wrong\n  • `b` is missing\n  hint: do this\n",
        );
    }

    #[test]
    fn an_error_value_is_spread_out() {
        let detail = json!({"tag": "unknown-service", "val": "x"});
        check(
            &error(Code::FunctionFailed, &format!("the function failed: {detail}"), Some(detail)),
            "error[function_failed]: the function failed\n  tag: unknown-service\n  val: x\n  hint: do this\n",
        );
        let detail = json!(7);
        let general = ApiError { detail: Some(detail), ..ApiError::new(Code::FunctionFailed, "it failed: 7") };
        check(&general, "error[function_failed]: it failed\n  7\n");
        check(
            &error(Code::FunctionFailed, "no such service", Some(json!("no such service"))),
            "error[function_failed]: no such service\n  hint: do this\n",
        );
    }

    #[test]
    fn a_drawn_error_has_all_of_it_too() {
        let text = drawn(&Report::new(&error(Code::RateLimited, "used up", None)));
        assert!(["rate_limited", "used up", "do this"].iter().all(|part| text.contains(part)), "{text}");
    }
}
