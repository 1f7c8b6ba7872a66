//! `os-facts`: what operating system a machine runs. The contract, with every type, stands in `wit/world.wit`.

use std::fs::File;
use std::io::{self, Read as _};

use outrigger_sdk::{Check, Health, Report};

mod assignments;
mod detect;
mod family;
mod release;

mod bindings {
    #![allow(clippy::all, unreachable_pub, reason = "generated code")]
    wit_bindgen::generate!({ world: "os-facts", additional_derives: [PartialEq] });
}

use bindings::exports::outrigger::os_facts::operating_system::{DetectError, Facts, Guest, ParseError, Release};

struct Plugin;

impl Guest for Plugin {
    fn detect() -> Result<Facts, DetectError> {
        detect::detect(read_file)
    }

    fn parse(text: String) -> Result<Release, ParseError> {
        release::parse(&text)
    }
}

impl Health for Plugin {
    fn check() -> Report {
        Report::of(vec![match detect::release(read_file) {
            Ok((path, release)) if release.remarks.is_empty() => {
                Check::healthy("os-release", format!("{} by {path}", release.pretty_name))
            }
            Ok((path, release)) => {
                let count = release.remarks.len();
                Check::healthy("os-release", format!("{} by {path}, with {count} remarks", release.pretty_name))
            }
            Err(error) => Check::unhealthy("os-release", detect::describe(&error)),
        }])
    }
}

/// The content of a file, to its end: files in `/proc` say that they are empty. No more than can be used is read.
fn read_file(path: &str) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(path)?.take(assignments::LONGEST_TEXT as u64 + 1).read_to_end(&mut content)?;
    Ok(content)
}

#[cfg(target_arch = "wasm32")]
bindings::export!(Plugin with_types_in bindings);

#[cfg(target_arch = "wasm32")]
outrigger_sdk::export_health!(Plugin);

#[cfg(test)]
mod tests;
