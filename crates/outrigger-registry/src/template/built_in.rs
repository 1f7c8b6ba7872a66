//! The templates that are always there, from `templates/`.

use std::sync::LazyLock;

use outrigger_contract::{Template, TemplateVariable};

/// Services of the host, as a project without the SDK needs them.
const CONTRACT: &str = include_str!("../../../../wit/plugin.wit");

/// A file and its text.
macro_rules! files {
    ($folder:literal $($path:literal $file:literal)*) => {
        [$(($path, include_str!(concat!("../../templates/", $folder, "/", $file)))),*]
    };
}

static BUILT_IN: LazyLock<Vec<Template>> = LazyLock::new(|| {
    let rust = files! { "rust"
        ".gitignore" "gitignore"
        "Cargo.toml" "manifest.toml"
        "README.md" "README.md"
        "plugin.toml" "plugin.toml"
        "src/lib.rs" "lib.rs"
        "wit/world.wit" "world.wit"
    };
    let service = files! { "rust-service"
        "Cargo.toml" "manifest.toml"
        "README.md" "README.md"
        "plugin.toml" "plugin.toml"
        "src/lib.rs" "lib.rs"
        "wit/world.wit" "world.wit"
    };
    // Their common files.
    let service = service.into_iter().chain([rust[0], ("wit/deps/outrigger.wit", CONTRACT)]);
    let sdk = TemplateVariable {
        name: "sdk".to_owned(),
        description: "The folder of the Rust SDK; with it the plugin has configuration and log lines".to_owned(),
        default: String::new(),
    };
    vec![
        template("rust", "A typed function with a test, in Rust", vec![sdk], rust),
        template(
            "rust-service",
            "A plugin in Rust that is called when something happens: configuration, state, health and hooks",
            Vec::new(),
            service,
        ),
    ]
});

/// The templates that are always there and cannot be changed, by name.
#[must_use]
pub fn built_in_templates() -> &'static [Template] {
    &BUILT_IN
}

fn template(
    name: &str,
    description: &str,
    variables: Vec<TemplateVariable>,
    files: impl IntoIterator<Item = (&'static str, &'static str)>,
) -> Template {
    let file = |(path, text): (&str, &str)| (path.parse().expect("a path"), text.to_owned());
    Template {
        name: name.parse().expect("a name"),
        description: description.to_owned(),
        runtime: "wasm".to_owned(),
        language: "rust".to_owned(),
        variables,
        files: files.into_iter().map(file).collect(),
    }
}
