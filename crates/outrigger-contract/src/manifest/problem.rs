//! Problems in a manifest, with places and hints.

use std::fmt;
use std::ops::Range;

use super::reader::Problems;
use crate::units::ByteSize;

/// All that is wrong with one manifest, in the order of the text. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestError {
    problems: Vec<Problem>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it stands; `None` when the manifest was not read from a text.
    pub place: Option<Place>,
    /// The path of the key, as in `functions.quote.cache` or `permissions.http[0]`. Empty for the whole manifest.
    pub key: String,
    /// The problem.
    pub message: String,
    /// A hint for the fix.
    pub hint: Option<String>,
}

/// A place in the text of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
    /// In bytes of the text.
    pub span: Range<usize>,
}

impl ManifestError {
    /// The problems, at least one, in the order of the text.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    pub(super) fn too_long(max: usize) -> Self {
        let problem = Problem {
            place: None,
            key: String::new(),
            message: format!("the manifest is longer than {}", ByteSize::bytes(max as u64)),
            hint: Some("move long texts into a README file of the package".to_owned()),
        };
        Self { problems: vec![problem] }
    }

    pub(super) fn too_many_values() -> Self {
        let problem = Problem {
            place: None,
            key: String::new(),
            message: "the manifest has too many tables and values".to_owned(),
            hint: Some("remove what the plugin does not need, or move data into a file of the package".to_owned()),
        };
        Self { problems: vec![problem] }
    }

    /// It cannot be read now, whatever is in it.
    pub(super) fn unreadable(reason: impl fmt::Display) -> Self {
        let message = format!("the manifest cannot be read: {reason}");
        Self { problems: vec![Problem { place: None, key: String::new(), message, hint: None }] }
    }

    pub(super) fn from_syntax(text: &str, errors: &[toml::de::Error]) -> Self {
        /// A broken text can give rise to an error a line; the first ones are the ones to mend.
        const SHOWN: usize = 10;
        let mut errors: Vec<_> = errors.iter().collect();
        errors.sort_by_key(|error| error.span().map_or(0, |span| span.start));
        let problems = errors.into_iter().take(SHOWN).map(|error| Problem {
            place: error.span().map(|span| Place::of(text, span)),
            key: String::new(),
            message: format!("this is not TOML: {}", error.message()),
            hint: None,
        });
        Self { problems: problems.collect() }
    }

    pub(super) fn from_problems(text: &str, problems: Problems) -> Self {
        let (mut found, more) = problems.into_found();
        found.sort_by_key(|problem| problem.span.as_ref().map_or(0, |span| span.start));
        let problems = found.into_iter().map(|problem| Problem {
            place: problem.span.map(|span| Place::of(text, span)),
            key: problem.key,
            message: problem.message,
            hint: problem.hint,
        });
        let more = (more > 0).then(|| Problem {
            place: None,
            key: String::new(),
            message: format!("{more} more problems are not shown"),
            hint: None,
        });
        Self { problems: problems.chain(more).collect() }
    }
}

impl Place {
    fn of(text: &str, span: Range<usize>) -> Self {
        let before = &text[..text.floor_char_boundary(span.start)];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self { line: before.matches('\n').count() + 1, column: before[line_start..].chars().count() + 1, span }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Place { line, column, .. }) = &self.place {
            write!(formatter, "line {line}, column {column}: ")?;
        }
        if !self.key.is_empty() {
            write!(formatter, "`{}`: ", self.key)?;
        }
        formatter.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(formatter, "; {hint}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for ManifestError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                formatter.write_str("\n")?;
            }
            problem.fmt(formatter)?;
        }
        Ok(())
    }
}

impl std::error::Error for ManifestError {}
