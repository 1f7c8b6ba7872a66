//! `outrigger call`: one question for the function's description, one call.

use std::ffi::{OsStr, OsString};

use clap::{ArgMatches, Args, Command};
use outrigger_api::{CallRequest, CallResponse, Code, FunctionDescription, FunctionRef, Platform};
use serde_json::Value as Json;

use crate::cli::{BothSides, CallArguments, CallOptions, GlobalOptions, InputOptions, STYLES};
use crate::context::Context;
use crate::error::{CliResult, usage};
use crate::flags::{Parameters, described, example};
use crate::input;
use crate::output::{Format, Output, clean, dim, duration, help_color, human, yellow};

/// Calls a function and prints its result.
///
/// # Errors
/// Wrong arguments, or a call that failed.
pub async fn run(context: &Context, arguments: CallArguments) -> CliResult {
    let CallArguments { options, words } = arguments;
    let (function, flags) = split(&words)?;
    let platform = context.platform().await?;
    let description = platform.function_describe(&function).await?;
    let Read { parameters, options, matches } = read_flags(&description, options, flags)?;
    let CallOptions { input, no_cache, details, correlation, profile } = options;
    let request = CallRequest { no_cache, correlation, profile, ..request(function, &input, &parameters, &matches)? };
    let response = {
        // Shown only for what is known to take long: a spinner for a moment would be a flicker.
        const LONG_MS: u64 = 500;
        let long = description.estimated_ms.is_some_and(|estimated| estimated >= LONG_MS);
        let _progress = long.then(|| context.output.spinner(format!("calling {}", description.summary.function)));
        tracing::debug!(function = %request.function, "calling");
        platform.call(request).await?
    };
    print(&context.output, &response, details || profile)?;
    match &response.profile {
        Some(profile) if context.output.format() == Format::Table => {
            context.output.remark(&super::profile::of_call(profile));
        }
        _ => {}
    }
    Ok(())
}

/// The call that these words ask for, to be made by somebody else later.
pub(super) async fn read(platform: &dyn Platform, input: InputOptions, words: &[OsString]) -> CliResult<CallRequest> {
    let (function, flags) = split(words)?;
    let description = platform.function_describe(&function).await?;
    let Read { parameters, options: input, matches } = read_flags(&description, input, flags)?;
    request(function, &input, &parameters, &matches)
}

/// The function's name, and the words behind it.
fn split(words: &[OsString]) -> CliResult<(FunctionRef, &[OsString])> {
    let hint = "write `outrigger call PLUGIN.FUNCTION [FLAGS]`; `outrigger functions` lists the functions";
    let Some((name, flags)) = words.split_first() else { return Err(usage("no function is named", hint)) };
    let name = name.to_string_lossy();
    if name.starts_with('-') {
        return Err(usage(format!("`{name}` comes before the name of the function"), hint));
    }
    match name.parse() {
        Ok(function) => Ok((function, flags)),
        Err(error) => Err(usage(error.to_string(), hint)),
    }
}

/// The words after the name of a function.
struct Read<O> {
    parameters: Parameters,
    /// Those before the name, and over them those behind it.
    options: O,
    matches: ArgMatches,
}

/// Reads what stands behind the name of the function, now that its types are known.
fn read_flags<O: BothSides>(description: &FunctionDescription, earlier: O, flags: &[OsString]) -> CliResult<Read<O>> {
    let empty = || Command::new("call").no_binary_name(true).styles(STYLES).max_term_width(110);
    let with_options = |command| GlobalOptions::augment_args(O::augment_args(command));
    let parameters = Parameters::new(description, &with_options(empty()))?;
    // The function's own flags first: help lists them in this order.
    let command = with_options(parameters.augment(documented(empty(), description)?));
    let matches = command.color(help_color()).try_get_matches_from(flags.iter().map(OsStr::new))?;
    let options = earlier.overlaid(O::from_arg_matches(&matches)?);
    Ok(Read { parameters, options, matches })
}

fn request(
    function: FunctionRef,
    options: &InputOptions,
    parameters: &Parameters,
    matches: &ArgMatches,
) -> CliResult<CallRequest> {
    let InputOptions { arguments, json, timeout } = options;
    let base = json.as_deref().map(|text| input::object("--json", text)).transpose()?;
    let arguments = parameters.arguments(base, arguments, matches)?;
    let milliseconds = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1);
    let timeout_ms = timeout.map(|timeout| milliseconds(timeout.as_duration()));
    Ok(CallRequest { timeout_ms, ..CallRequest::new(function, arguments) })
}

/// Help for one function.
fn documented(command: Command, description: &FunctionDescription) -> CliResult<Command> {
    let name = description.summary.function.to_string();
    let function = described(description)?;
    let about = match description.description.trim() {
        "" => description.summary.title.clone(),
        text => without_parameter_list(text, function.params.iter().map(|param| param.name.as_str())),
    };
    let example = example::command_line(&description.types, &name, function);
    let result = description.summary.signature.split_once(" -> ").map_or("nothing", |(_, result)| result).to_owned();
    Ok(command
        .bin_name(format!("outrigger call {name}"))
        .override_usage(format!("outrigger call {name} [FLAGS] [OPTIONS]"))
        .about(clean(&about))
        .after_help(format!(
            "Returns {}. `outrigger functions {name}` shows its types and limits.\n\nExample:\n  {}",
            clean(&result),
            clean(&example)
        )))
}

/// Documentation without the list of parameters at its end, where that list has become the help of the flags.
fn without_parameter_list<'a>(text: &str, names: impl Iterator<Item = &'a str>) -> String {
    let openings: Vec<_> = names.map(|name| format!("- `{name}`")).collect();
    let mut inside = false;
    let kept = text.lines().filter(|line| {
        let starts = openings.iter().any(|opening| line.trim_start().starts_with(opening.as_str()));
        // A line that goes on with an item is indented.
        inside = starts || (inside && line.starts_with(' '));
        !inside
    });
    kept.collect::<Vec<_>>().join("\n").trim().to_owned()
}

fn print(output: &Output, response: &CallResponse, details: bool) -> CliResult {
    match (output.format(), details) {
        (Format::Table, _) => match &response.result.to_value() {
            Json::Null => {}
            Json::String(text) => output.write_raw(text)?,
            result => output.print(result, || human::text(result))?,
        },
        // As a value, so that it is indented like the rest, and can be YAML.
        (_, true) => output.print(&serde_json::to_value(response).map_err(std::io::Error::other)?, String::new)?,
        (_, false) => output.print(&response.result.to_value(), String::new)?,
    }
    for warning in &response.warnings {
        output.remark(&format!("{} {}", yellow(&format!("warning[{}]:", warning.code)), clean(&warning.message)));
    }
    if details && output.format() == Format::Table {
        output.remark(&dim(&detail_line(response)));
    }
    Ok(())
}

/// `took 1.2 ms · cache miss · version 1.0.0 · …`
fn detail_line(response: &CallResponse) -> String {
    let CallResponse {
        result: _,
        cache,
        duration_us,
        attempts,
        correlation,
        version,
        revision,
        warnings: _,
        profile: _,
    } = response;
    let tried = match attempts {
        0 | 1 => String::new(),
        _ => format!(" · {attempts} attempts"),
    };
    let revision =
        revision.parse::<outrigger_contract::Digest>().map_or_else(|_| revision.clone(), |digest| digest.short());
    format!(
        "{} · cache {cache}{tried} · version {version} ({revision}) · correlation {correlation}",
        duration(*duration_us)
    )
}

/// One line for a failure in a list of many.
pub(crate) fn failure_line(code: Code, message: &str) -> String {
    format!("{code}: {}", crate::output::one_line(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_parameters_is_taken_out_of_the_documentation() {
        let text = "Quotes.\n\n- `a`: first\n  goes on\n- `b`: second\n\nMore.\n- another";
        assert_eq!(without_parameter_list(text, ["a", "b"].into_iter()), "Quotes.\n\n\nMore.\n- another");
    }

    #[test]
    fn a_flag_before_the_function_is_pointed_out() {
        for (words, expected) in [(&["--x", "p.f"][..], "comes before"), (&["p"][..], "does not name a function")] {
            let words: Vec<_> = words.iter().map(OsString::from).collect();
            let crate::error::CliError::Api(error) = split(&words).unwrap_err() else { panic!("an error of ours") };
            assert!(error.message.contains(expected), "{}", error.message);
        }
    }
}
