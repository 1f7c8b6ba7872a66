//! Options that every command has.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, ValueEnum, ValueHint};

use crate::output::Format;

/// Options of every command.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Global options")]
pub struct GlobalOptions {
    /// How to print results [default: table]
    #[arg(short, long, global = true, value_name = "FORMAT", value_enum, hide_possible_values = false)]
    pub output: Option<Format>,
    /// The data directory [default: $OUTRIGGER_DATA, else ~/.local/share/outrigger]
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub data: Option<PathBuf>,
    /// Use a server instead, such as https://ops.example.com [default: $OUTRIGGER_SERVER]; the key is $OUTRIGGER_KEY
    #[arg(long, global = true, value_name = "URL", value_hint = ValueHint::Url, conflicts_with = "data")]
    pub server: Option<String>,
    /// PEM file with certificate authorities to trust for the server, besides the system's [default:
    /// $OUTRIGGER_CA_CERTIFICATE]
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "data")]
    pub ca_certificate: Option<PathBuf>,
    /// When to use colours [default: auto, which is on a terminal, unless NO_COLOR is set]
    #[arg(long, global = true, value_name = "WHEN", value_enum)]
    pub color: Option<ColorChoice>,
    /// Log to standard error; -vv for more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// Print only results and errors, no progress and no notes
    #[arg(short, long, global = true)]
    pub quiet: bool,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    Auto,
    Always,
    Never,
}

impl From<ColorChoice> for anstream::ColorChoice {
    fn from(choice: ColorChoice) -> Self {
        match choice {
            ColorChoice::Auto => Self::Auto,
            ColorChoice::Always => Self::Always,
            ColorChoice::Never => Self::Never,
        }
    }
}

/// A command line of nothing but global options.
#[derive(Parser)]
#[command(no_binary_name = true, disable_help_flag = true)]
struct Only {
    #[command(flatten)]
    global: GlobalOptions,
}

impl GlobalOptions {
    /// Finds the global options among options that are not known yet, such as the flags of a function, which are known
    /// only after the data directory is opened. Malformed options are left to the full parser.
    #[must_use]
    pub fn scan(words: &[OsString]) -> Self {
        let mut found = Vec::new();
        let mut words = words.iter().peekable();
        while let Some(word) = words.next() {
            match kind(word) {
                Word::End => break,
                Word::Other => {}
                Word::Complete => found.push(word.clone()),
                Word::WithValue => {
                    if let Some(value) = words.next() {
                        found.extend([word.clone(), value.clone()]);
                    }
                }
            }
        }
        Only::try_parse_from(found).map(|only| only.global).unwrap_or_default()
    }

    /// Merges these options with later ones, which override them.
    #[must_use]
    pub fn overlaid(self, later: Self) -> Self {
        let Self { output, data, server, ca_certificate, color, verbose, quiet } = later;
        Self {
            output: output.or(self.output),
            data: data.or(self.data),
            server: server.or(self.server),
            ca_certificate: ca_certificate.or(self.ca_certificate),
            color: color.or(self.color),
            verbose: verbose.max(self.verbose),
            quiet: quiet || self.quiet,
        }
    }
}

/// The kind of a command line word in the search for global options.
enum Word {
    /// A global option, complete with its value.
    Complete,
    /// A global option whose value is the next word.
    WithValue,
    /// The words after it are not options.
    End,
    Other,
}

fn kind(word: &OsStr) -> Word {
    const LONG: [&str; 5] = ["--output", "--data", "--server", "--ca-certificate", "--color"];
    const BYTES: [&str; 3] = ["--data=", "--server=", "--ca-certificate="];
    let Some(text) = word.to_str() else {
        return match BYTES.iter().any(|option| word.to_string_lossy().starts_with(option)) {
            true => Word::Complete,
            false => Word::Other,
        };
    };
    match text {
        "--" => Word::End,
        "-o" => Word::WithValue,
        _ if LONG.contains(&text) => Word::WithValue,
        "--verbose" | "--quiet" => Word::Complete,
        _ if LONG.iter().any(|long| text.strip_prefix(long).is_some_and(|rest| rest.starts_with('='))) => {
            Word::Complete
        }
        _ => match text.strip_prefix('-') {
            Some(letters) if letters.starts_with('o') => Word::Complete,
            Some(letters) if !letters.is_empty() && letters.bytes().all(|b| b == b'v' || b == b'q') => Word::Complete,
            _ => Word::Other,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(text: &str) -> GlobalOptions {
        GlobalOptions::scan(&text.split(' ').map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn global_options_are_found_among_unknown_flags() {
        let found = scan("--bucket-name x --data /d -ojson --versioning -vv --tags output=yaml -q");
        let expected = GlobalOptions {
            output: Some(Format::Json),
            data: Some("/d".into()),
            server: None,
            ca_certificate: None,
            color: None,
            verbose: 2,
            quiet: true,
        };
        assert_eq!(found, expected);
        assert_eq!(scan("--data=/d --color=never").data, Some("/d".into()));
        assert_eq!(scan("--x 1 --ca-certificate /c").ca_certificate, Some("/c".into()));
        assert_eq!(scan("--ca-certificate=/c --x").ca_certificate, Some("/c".into()));
        assert_eq!(scan("--x 1 -- --data /d"), GlobalOptions::default());
        assert_eq!(scan("--data"), GlobalOptions::default());
    }

    #[test]
    fn later_options_win() {
        let merged = scan("-o json -v").overlaid(scan("-o yaml"));
        assert_eq!((merged.output, merged.verbose), (Some(Format::Yaml), 1));
    }
}
