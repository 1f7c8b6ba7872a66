//! Which of our crates may use which. The table is the architecture; a crate that reaches past it fails the check.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::cargo;

/// Left may use right, nothing else. Dev-dependencies are free: tests may reach anywhere.
const ALLOWED: &[(&str, &[&str])] = &[
    ("outrigger-compute", &[]),
    ("outrigger-contract", &[]),
    ("outrigger-engine", &["outrigger-compute", "outrigger-contract"]),
    ("outrigger-registry", &["outrigger-contract"]),
    ("outrigger-api", &["outrigger-contract"]),
    ("outrigger-network", &["outrigger-contract"]),
    ("outrigger-runtime", &["outrigger-compute", "outrigger-contract", "outrigger-engine", "outrigger-network"]),
    ("outrigger-store", &["outrigger-compute", "outrigger-contract", "outrigger-engine"]),
    ("outrigger-devkit", &["outrigger-contract", "outrigger-registry"]),
    (
        "outrigger-host",
        &[
            "outrigger-api",
            "outrigger-compute",
            "outrigger-contract",
            "outrigger-engine",
            "outrigger-network",
            "outrigger-registry",
            "outrigger-runtime",
            "outrigger-store",
        ],
    ),
    ("outrigger-client", &["outrigger-api", "outrigger-contract"]),
    (
        "outrigger-cli",
        &[
            "outrigger-api",
            "outrigger-client",
            "outrigger-contract",
            "outrigger-devkit",
            "outrigger-host",
            "outrigger-server",
        ],
    ),
    ("outrigger-server", &["outrigger-api", "outrigger-compute"]),
    ("outrigger-testkit", &["outrigger-contract", "outrigger-engine"]),
    ("outrigger-hostile", &["outrigger-testkit"]),
    ("outrigger-fuzz", &["outrigger-contract", "outrigger-engine", "outrigger-registry"]),
    ("xtask", &["outrigger-devkit"]),
];

/// Dependencies that only these crates may name.
const OWNED: &[(&str, &[&str])] = &[
    ("wasmtime", &["outrigger-runtime"]),
    ("wasmtime-wasi", &["outrigger-runtime"]),
    ("wasmtime-wasi-http", &["outrigger-runtime"]),
    ("sea-orm", &["outrigger-store"]),
    ("sqlx", &["outrigger-store"]),
    ("clap", &["outrigger-cli"]),
    ("moka", &["outrigger-engine", "outrigger-server"]),
    ("governor", &["outrigger-engine"]),
    ("cel", &["outrigger-engine"]),
    ("croner", &["outrigger-engine"]),
    ("minijinja", &["outrigger-registry"]),
    ("axum", &["outrigger-server"]),
    ("reqwest", &["outrigger-client", "outrigger-host", "outrigger-hostile"]),
    ("opentelemetry-proto", &["outrigger-host"]),
    ("prost", &["outrigger-host"]),
];

pub fn check(repository: &Path) -> Result<()> {
    let output = cargo(repository)
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .output()
        .context("`cargo metadata` could not be started")?;
    ensure!(output.status.success(), "`cargo metadata`: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let uses = uses(&metadata);
    let allowed: BTreeMap<_, _> = ALLOWED.iter().copied().collect();
    let mut faults = Vec::new();
    for (package, dependencies) in &uses {
        let Some(allowed) = allowed.get(package.as_str()) else {
            faults.push(format!("{package} is not in the table of allowed dependencies"));
            continue;
        };
        for dependency in dependencies.iter().filter(|name| uses.contains_key(*name)) {
            if !allowed.contains(&dependency.as_str()) {
                faults.push(format!("{package} must not use {dependency}"));
            }
        }
        for (library, owners) in OWNED {
            let exempt = owners.contains(&package.as_str()) || package == "xtask";
            if !exempt && dependencies.contains(*library) {
                faults.push(format!("{package} must not name {library}: that is for {}", owners.join(", ")));
            }
        }
    }
    ensure!(faults.is_empty(), "{}", faults.join("\n"));
    Ok(())
}

/// Package → what it names as a normal or build dependency.
fn uses(metadata: &serde_json::Value) -> BTreeMap<String, BTreeSet<String>> {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let packages = metadata["packages"].as_array().into_iter().flatten();
    packages
        .map(|package| {
            let dependencies = package["dependencies"].as_array().into_iter().flatten();
            let normal = dependencies.filter(|dependency| dependency["kind"] != "dev");
            (text(&package["name"]), normal.map(|dependency| text(&dependency["name"])).collect())
        })
        .collect()
}
