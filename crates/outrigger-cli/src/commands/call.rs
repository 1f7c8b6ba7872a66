//! `outrigger call`: one question for the function's description, one call.

use std::ffi::{OsStr, OsString};

use clap::{Args, Command, FromArgMatches};
use outrigger_api::{CallRequest, CallResponse, Code, FunctionDescription, FunctionRef, Platform};
use serde_json::Value as Json;

use crate::cli::{CallArguments, CallOptions, GlobalOptions, STYLES};
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
    let (options, request) = request(function, &description, options, flags)?;
    let response = {
        // Shown only for what is known to take long: a spinner for a moment would be a flicker.
        const LONG_MS: u64 = 500;
        let long = description.estimated_ms.is_some_and(|estimated| estimated >= LONG_MS);
        let _progress = long.then(|| context.output.spinner(format!("calling {}", description.summary.function)));
        tracing::debug!(function = %request.function, "calling");
        platform.call(request).await?
    };
    print(&context.output, &response, options.details || options.profile)?;
    match &response.profile {
        Some(profile) if context.output.format() == Format::Table => {
            context.output.remark(&super::profile::of_call(profile));
        }
        _ => {}
    }
    Ok(())
}

/// The call that options, and the words behind them, ask for.
pub(super) async fn read(platform: &dyn Platform, options: CallOptions, words: &[OsString]) -> CliResult<CallRequest> {
    let (function, flags) = split(words)?;
    let description = platform.function_describe(&function).await?;
    Ok(request(function, &description, options, flags)?.1)
}

/// The function's name, and the words behind it.
fn split(words: &[OsString]) -> CliResult<(FunctionRef, &[OsString])> {
    let hint = "write `outrigger call PLUGIN.FUNCTION [FLAGS]`; `outrigger functions` lists the functions";
    let Some((name, flags)) = words.split_first() else { return Err(usage("no function is named", hint)) };
    let name = name.to_string_lossy();
    if name.starts_with('-') {
        return Err(usage(format!("`{name}` stands before the name of the function"), hint));
    }
    match name.parse() {
        Ok(function) => Ok((function, flags)),
        Err(error) => Err(usage(error.to_string(), hint)),
    }
}

/// Adds the options of every call.
fn with_options(command: Command) -> Command {
    GlobalOptions::augment_args(CallOptions::augment_args(command))
}

/// Reads what stands behind the name of the function, now that its types are known.
fn request(
    function: FunctionRef,
    description: &FunctionDescription,
    earlier: CallOptions,
    flags: &[OsString],
) -> CliResult<(CallOptions, CallRequest)> {
    let empty = || Command::new("call").no_binary_name(true).styles(STYLES).max_term_width(110);
    let parameters = Parameters::new(description, &with_options(empty()))?;
    // The function's own flags first: help lists them in this order.
    let command = with_options(parameters.augment(documented(empty(), description)?));
    let matches = command.color(help_color()).try_get_matches_from(flags.iter().map(OsStr::new))?;
    let options = earlier.overlaid(CallOptions::from_arg_matches(&matches)?);
    let base = options.json.as_deref().map(|text| input::object("--json", text)).transpose()?;
    let arguments = parameters.arguments(base, &options.arguments, &matches)?;
    let milliseconds = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1);
    let request = CallRequest {
        timeout_ms: options.timeout.map(|timeout| milliseconds(timeout.as_duration())),
        no_cache: options.no_cache,
        correlation: options.correlation.clone(),
        profile: options.profile,
        ..CallRequest::new(function, arguments)
    };
    Ok((options, request))
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
            "Gives {}. `outrigger functions {name}` shows its types and limits.\n\nExample:\n  {}",
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
        for (words, expected) in [(&["--x", "p.f"][..], "stands before"), (&["p"][..], "does not name a function")] {
            let words: Vec<_> = words.iter().map(OsString::from).collect();
            let crate::error::CliError::Api(error) = split(&words).unwrap_err() else { panic!("an error of ours") };
            assert!(error.message.contains(expected), "{}", error.message);
        }
    }
}
