//! `outrigger plugin validate`: everything that is wrong with a manifest or a package, with its place. Nothing is
//! installed, and the data directory is neither needed nor touched. A server that is named looks at the package itself.

use std::fmt;
use std::path::{Path, PathBuf};

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode};
use outrigger_api::{ApiError, Code, PackageReport, PackageSource, SignatureWord};
use outrigger_contract::Manifest;
use outrigger_contract::manifest::{FILE_NAME, ManifestError, Problem};
use serde::Serialize;
use serde_json::Value as Json;

use super::{functions, signature, upload};
use crate::context::Context;
use crate::error::{CliError, CliResult, drawn};
use crate::input;
use crate::output::table::{bullets, fields, section};
use crate::output::{Format, Output, bytes, clean, count, green, safe, yellow};

/// The findings.
#[derive(Debug, Serialize)]
struct Verdict {
    path: PathBuf,
    valid: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<Json>,
    problems: Vec<Found>,
    warnings: Vec<String>,
}

/// The result of a verification, for people and for programs.
struct Signature {
    text: String,
    data: Json,
}

/// One thing that is wrong.
#[derive(Debug, Serialize)]
struct Found {
    code: Code,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    /// The path of the key in the manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// Counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
}

/// Checks a folder, an archive or a manifest.
///
/// # Errors
/// It cannot be read, or something is wrong with it, which the results then tell.
pub async fn run(context: &Context, path: &Path) -> CliResult {
    let output = &context.output;
    // A manifest that can be read as a file is read here, because here its lines can be shown.
    let manifest_path = if path.is_dir() { path.join(FILE_NAME) } else { path.to_owned() };
    let bare = path.extension().is_some_and(|extension| extension == "toml");
    if bare || manifest_path != path && manifest_path.is_file() {
        let text = input::read_text(&manifest_path)?;
        match Manifest::parse(&text) {
            Err(error) => return refuse_manifest(output, &manifest_path, &text, &error),
            Ok(manifest) if bare => return accept_manifest(output, path, &manifest),
            Ok(_) => {}
        }
    }
    match inspect(context, path).await {
        Ok(report) if report.signature.state == SignatureWord::Invalid => {
            let message = format!("the signature is {}", signature::sentence(&report.signature));
            refuse(output, path, ApiError::new(Code::SignatureInvalid, message))
        }
        Ok(report) => {
            let signed = match report.signature.state {
                // No key is trusted in a data directory that is made for this alone.
                SignatureWord::Untrusted if !context.names_server() => signature::named(&report.signature),
                _ => signature::sentence(&report.signature),
            };
            let mut data = serde_json::to_value(&report.signature).unwrap_or_default();
            if let Some(data) = data.as_object_mut().filter(|_| !context.names_server()) {
                // Nor does it say anything about where the package is to be installed.
                data.remove("accepted");
            }
            accept_package(output, path, &report, Signature { text: signed, data })
        }
        Err(CliError::Api(error)) if error.code.info().exit == outrigger_contract::code::exit::USAGE => {
            refuse(output, path, *error)
        }
        Err(error) => Err(error),
    }
}

/// Has the package read: by the server that was named, or into a data directory that is gone afterwards.
async fn inspect(context: &Context, path: &Path) -> CliResult<PackageReport> {
    if context.names_server() {
        let source = upload::reachable(context, PackageSource::Path(path.to_owned())).await?;
        let _progress = context.output.spinner("reading the package");
        return Ok(context.platform().await?.package_inspect(&source).await?);
    }
    let folder = tempfile::Builder::new()
        .prefix("outrigger-validate-")
        .tempdir()
        .map_err(|error| ApiError::new(Code::Io, format!("failed to create a temporary folder: {error}")))?;
    let scratch = Context::new(context.output.clone(), Some(folder.path().to_owned()), None);
    let _progress = context.output.spinner("reading the package");
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let inspected = scratch.platform().await?.package_inspect(&PackageSource::Path(path)).await;
    scratch.close().await?;
    Ok(inspected?)
}

fn accept_manifest(output: &Output, path: &Path, manifest: &Manifest) -> CliResult {
    let verdict = Verdict {
        path: path.to_owned(),
        valid: true,
        name: Some(manifest.name.to_string()),
        version: Some(manifest.version.to_string()),
        digest: None,
        signature: None,
        problems: Vec::new(),
        warnings: Vec::new(),
    };
    output.print(&verdict, || {
        format!("{} {} is a valid manifest of {} {}", green("✓"), path.display(), manifest.name, manifest.version)
    })
}

fn accept_package(output: &Output, path: &Path, report: &PackageReport, signature: Signature) -> CliResult {
    let PackageReport { manifest, digest, size, files, permissions, offered, refused, warnings, .. } = report;
    let verdict = Verdict {
        path: path.to_owned(),
        valid: true,
        name: Some(manifest.name.to_string()),
        version: Some(manifest.version.to_string()),
        digest: Some(digest.clone()),
        signature: Some(signature.data),
        problems: Vec::new(),
        warnings: warnings.clone(),
    };
    output.print(&verdict, || {
        let mut text = format!("{} {} {} is a valid package\n", green("✓"), manifest.name, manifest.version);
        let contents = format!("{}, {}", count(*files as usize, "file"), bytes(*size));
        text.push_str(&fields(&[("Contents", contents), ("Digest", digest.clone()), ("Signature", signature.text)]));
        text.push_str(&section("Functions", &functions::offered(offered)));
        text.push_str(&section("Exports that cannot be called", &bullets(refused)));
        text.push_str(&section("Requested permissions", &bullets(permissions)));
        for warning in warnings {
            text.push_str(&format!("\n{} {}", yellow("warning:"), clean(warning)));
        }
        text
    })
}

fn refuse(output: &Output, path: &Path, error: ApiError) -> CliResult {
    if output.format() == Format::Table {
        return Err(error.into());
    }
    let code = error.code;
    let found = Found { code, message: error.message, hint: Some(error.hint), key: None, line: None, column: None };
    print_refusal(output, path, vec![found])?;
    Err(CliError::Reported(code))
}

fn refuse_manifest(output: &Output, path: &Path, text: &str, error: &ManifestError) -> CliResult {
    let problems = error.problems();
    if output.format() == Format::Table {
        // Problems are errors, and errors go to standard error.
        let shown: String = match std::io::IsTerminal::is_terminal(&std::io::stderr()) {
            true => problems.iter().map(|problem| drawn(&Snippet::new(path, text, problem))).collect(),
            false => problems.iter().map(|problem| plain(path, problem)).collect(),
        };
        let summary = format!("{} has {}", path.display(), count(problems.len(), "problem"));
        // Standard output may be closed, which must not change the exit code.
        let told = format!("{shown}{summary}\n");
        let _ = std::io::Write::write_all(&mut anstream::stderr(), safe::lines(&told).as_bytes());
    } else {
        let found = problems.iter().map(|problem| Found {
            code: Code::InvalidManifest,
            message: problem.message.clone(),
            hint: problem.hint.clone(),
            key: Some(problem.key.clone()).filter(|key| !key.is_empty()),
            line: problem.place.as_ref().map(|place| place.line),
            column: problem.place.as_ref().map(|place| place.column),
        });
        print_refusal(output, path, found.collect())?;
    }
    Err(CliError::Reported(Code::InvalidManifest))
}

fn print_refusal(output: &Output, path: &Path, problems: Vec<Found>) -> CliResult {
    let verdict = Verdict {
        path: path.to_owned(),
        valid: false,
        name: None,
        version: None,
        digest: None,
        signature: None,
        problems,
        warnings: Vec::new(),
    };
    output.print(&verdict, String::new)
}

/// `path:line:column: key: message`, as compilers write it and editors read it.
fn plain(path: &Path, problem: &Problem) -> String {
    let Problem { place, key, message, hint } = problem;
    let mut text = path.display().to_string();
    if let Some(place) = place {
        text.push_str(&format!(":{}:{}", place.line, place.column));
    }
    if !key.is_empty() {
        text.push_str(&format!(": `{}`", clean(key)));
    }
    text.push_str(&format!(": {}\n", clean(message)));
    if let Some(hint) = hint {
        text.push_str(&format!("  hint: {}\n", clean(hint)));
    }
    text
}

/// A problem with the lines of the manifest around it.
#[derive(Debug)]
struct Snippet<'a> {
    problem: &'a Problem,
    source: NamedSource<String>,
}

impl<'a> Snippet<'a> {
    fn new(path: &Path, text: &str, problem: &'a Problem) -> Self {
        Self { problem, source: NamedSource::new(path.display().to_string(), text.to_owned()) }
    }
}

impl fmt::Display for Snippet<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.problem.key.is_empty() {
            write!(formatter, "`{}`: ", clean(&self.problem.key))?;
        }
        formatter.write_str(&clean(&self.problem.message))
    }
}

impl std::error::Error for Snippet<'_> {}

impl Diagnostic for Snippet<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(Code::InvalidManifest))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.problem.hint.as_ref().map(|hint| Box::new(hint) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.problem.place.as_ref().map(|_| &self.source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let place = self.problem.place.as_ref()?;
        Some(Box::new(std::iter::once(LabeledSpan::underline(place.span.clone()))))
    }
}
