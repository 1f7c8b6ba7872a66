//! Holds the templates that `aws-s3-template` makes to cfn-lint: one for every combination of its options.
//!
//! Thousands of templates take minutes to lint. What has passed is remembered by the digest of all templates and of the
//! linter, so that only a change of either is linted again.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use sha2::{Digest as _, Sha256};

use crate::{plugins_cargo, run, say, target_directory, tools};

const LINTER: &str = "cfn-lint==1.58.0";
const SCRIPT: &str = include_str!("cfn_lint.py");

/// Makes all templates and lints them. Answers how many there are.
pub fn check(repository: &Path) -> Result<usize> {
    let folder = target_directory(repository).join("templates");
    let _ = std::fs::remove_dir_all(&folder);
    run(plugins_cargo(repository)
        .args(["run", "--quiet", "--package", "outrigger-aws-s3-template", "--example", "combinations", "--"])
        .arg(&folder))?;
    let mut templates: Vec<_> = std::fs::read_dir(&folder)
        .with_context(|| format!("{} could not be read", folder.display()))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    templates.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    templates.sort();
    ensure!(!templates.is_empty(), "no templates were made");
    let passed = tools::cache()?.join("cfn-lint").join(digest(&templates)?);
    if passed.is_file() {
        say("these very templates have passed cfn-lint before");
        return Ok(templates.len());
    }
    let python = install()?.join("python");
    run(Command::new(python).args(["-c", SCRIPT]).arg(&folder).stdout(std::io::stderr()))?;
    std::fs::create_dir_all(passed.parent().context("a cache has a folder")?)?;
    std::fs::write(&passed, "").with_context(|| format!("{} could not be written", passed.display()))?;
    Ok(templates.len())
}

/// The folder of programs of the Python environment that has cfn-lint.
pub fn install() -> Result<PathBuf> {
    tools::python("cfn-lint", &[LINTER])
}

fn digest(templates: &[PathBuf]) -> Result<String> {
    let mut hasher = Sha256::new();
    hasher.update(LINTER);
    hasher.update(SCRIPT);
    for template in templates {
        let text = std::fs::read(template).with_context(|| format!("{} could not be read", template.display()))?;
        hasher.update(text.len().to_le_bytes());
        hasher.update(text);
    }
    Ok(hex::encode(hasher.finalize()))
}
