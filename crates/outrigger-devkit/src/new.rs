//! A new project: a small plugin that builds, is tested and can be called at once, to be changed into what is wanted.
//!
//! Nothing that exists is touched, and nothing half written stays: the project is written in a folder of another name
//! and moved to its place when it is complete. What is written comes from a template, of which the built-in ones need
//! nothing but this program.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use outrigger_contract::manifest::PackagePath;
use outrigger_contract::{PluginName, Template, TemplateName, TemplateValues};
use outrigger_registry::{built_in_templates, render_template};

use crate::error::DevkitError;

/// The files of a project.
pub type Files = BTreeMap<PackagePath, String>;

/// The created project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    /// The plugin's name.
    pub name: PluginName,
    /// The project's folder, as it was given.
    pub folder: PathBuf,
    /// The files in it, by their paths.
    pub files: Vec<String>,
}

/// The built-in template of this name.
#[must_use]
pub fn built_in(name: &TemplateName) -> Option<&'static Template> {
    built_in_templates().iter().find(|template| template.name == *name)
}

/// The files that a built-in template makes of these values.
///
/// # Errors
/// [`DevkitError::Template`] where a value is not known or does not fit.
pub fn render(template: &Template, values: &TemplateValues) -> Result<Files, DevkitError> {
    Ok(render_template(template, values)?)
}

/// Makes the project of these files in `folder`: one that does not exist, or has nothing in it.
///
/// # Errors
/// [`DevkitError::NotEmpty`] where the folder has something in it, and [`DevkitError::Io`].
pub fn new(name: &PluginName, folder: &Path, files: &Files) -> Result<Created, DevkitError> {
    let target = std::path::absolute(folder).map_err(DevkitError::io("find", folder))?;
    let exists = exists_empty(folder)?;

    // The unfinished project is on the file system that it is moved on.
    let beside = if exists { target.as_path() } else { target.parent().unwrap_or(&target) };
    fs::create_dir_all(beside).map_err(DevkitError::io("create", beside))?;
    let staging = tempfile::Builder::new().prefix(".outrigger-new-").tempdir_in(beside);
    let staging = staging.map_err(DevkitError::io("write to", beside))?;
    // One level deeper, because a temporary folder itself can be read by its owner alone.
    let unfinished = staging.path().join(name.as_str());
    fs::create_dir(&unfinished).map_err(DevkitError::io("create", &unfinished))?;
    for (path, text) in files {
        write(&unfinished.join(path), text)?;
    }
    if exists {
        // Not replaced as a whole: it may be somebody's working directory.
        move_content(&unfinished, &target)?;
    } else {
        fs::rename(&unfinished, &target).map_err(DevkitError::io("create", &target))?;
    }
    let files = files.keys().map(ToString::to_string).collect();
    Ok(Created { name: name.clone(), folder: folder.to_path_buf(), files })
}

/// Whether there is such a folder; one that has something in it is refused.
fn exists_empty(folder: &Path) -> Result<bool, DevkitError> {
    match fs::read_dir(folder) {
        Ok(mut entries) => match entries.next() {
            None => Ok(true),
            Some(_) => Err(DevkitError::NotEmpty { path: folder.to_path_buf() }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(DevkitError::io("make a project in", folder)(error)),
    }
}

fn write(path: &Path, text: &str) -> Result<(), DevkitError> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).map_err(DevkitError::io("create", folder))?;
    fs::write(path, text).map_err(DevkitError::io("write", path))
}

/// Moves what is in one folder to another. Where one part cannot be moved, those before it are moved back.
fn move_content(from: &Path, to: &Path) -> Result<(), DevkitError> {
    let mut moved = Vec::new();
    for entry in fs::read_dir(from).map_err(DevkitError::io("read", from))? {
        let entry = entry.map_err(DevkitError::io("read", from))?;
        let target = to.join(entry.file_name());
        if let Err(error) = fs::rename(entry.path(), &target) {
            for (origin, target) in moved {
                let _ = fs::rename(target, origin);
            }
            return Err(DevkitError::io("write", target)(error));
        }
        moved.push((entry.path(), target));
    }
    Ok(())
}

/// The path of the SDK as it stands in `Cargo.toml`.
///
/// # Errors
/// [`DevkitError::NotTheSdk`] where `folder` is another one.
pub fn sdk_path(folder: &Path) -> Result<String, DevkitError> {
    let not_the_sdk = |reason: String| DevkitError::NotTheSdk { path: folder.to_path_buf(), reason };
    let manifest = fs::read_to_string(folder.join("Cargo.toml"))
        .map_err(|error| not_the_sdk(format!("its Cargo.toml cannot be read: {error}")))?;
    let manifest: toml::Table =
        manifest.parse().map_err(|error| not_the_sdk(format!("its Cargo.toml is wrong: {error}")))?;
    let package = manifest.get("package").and_then(|package| package.get("name")).and_then(toml::Value::as_str);
    if package != Some("outrigger-sdk") {
        return Err(not_the_sdk(format!("its package is `{}`, not `outrigger-sdk`", package.unwrap_or_default())));
    }
    let folder = folder.canonicalize().map_err(DevkitError::io("find", folder))?;
    match folder.to_str() {
        Some(path) => Ok(path.to_owned()),
        None => Err(not_the_sdk("its path is not UTF-8, so Cargo.toml cannot have it".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use outrigger_contract::{Manifest, TemplateValues};
    use wit_parser::Resolve;

    use super::{Created, built_in, new, render, sdk_path};
    use crate::error::DevkitError;
    use crate::project::Project;
    use crate::toolchain::Target;

    /// A project made as `outrigger dev new` makes it.
    fn make(template: &str, name: &str, folder: &Path, sdk: Option<&Path>) -> Result<Created, DevkitError> {
        let template = built_in(&template.parse().expect("a name")).expect("it is built in");
        let mut values = TemplateValues::new(name.parse().expect("a name"));
        if let Some(sdk) = sdk {
            values.variables.insert("sdk".to_owned(), sdk_path(sdk)?);
        }
        new(&values.name, folder, &render(template, &values)?)
    }

    fn sdk() -> &'static Path {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugins/sdk"))
    }

    fn entries(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("a folder");
        let mut names: Vec<_> =
            entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect();
        names.sort();
        names
    }

    #[test]
    fn any_name_makes_a_project_that_can_be_read() {
        let place = tempfile::tempdir().expect("a folder");
        let longest = "a".repeat(64);
        for name in ["disk-report", "match", "std", "loop", "wit-bindgen", "a--b_", "s3-2x", &longest] {
            for (template, sdk) in [("rust", None), ("rust", Some(sdk())), ("rust-service", None)] {
                let folder = place.path().join(format!("{name}-{template}-{}", sdk.is_some()));
                let created = make(template, name, &folder, sdk).expect(name);
                for file in created.files {
                    let text = fs::read_to_string(folder.join(&file)).expect(&file);
                    assert!(!text.contains("{{") && !text.contains("{%"), "{file}: {text}");
                }
                let project = Project::read(&folder).expect(name);
                assert_eq!((project.name.as_str(), project.target), (name, Target::Wasip1));
                let manifest = fs::read_to_string(folder.join("plugin.toml")).expect("a manifest");
                let manifest = Manifest::parse(&manifest).unwrap_or_else(|problems| panic!("{name}: {problems:?}"));
                assert_eq!(manifest.configuration.is_empty(), template == "rust" && sdk.is_none());
                assert_eq!(manifest.subscriptions.is_empty(), template == "rust");
                Resolve::default().push_path(folder.join("wit")).expect(name);
            }
        }
    }

    #[test]
    fn words_that_need_quotes_get_them() {
        for template in ["rust", "rust-service"] {
            let template = built_in(&template.parse().expect("a name")).expect("it is built in");
            let mut values = TemplateValues::new("x".parse().expect("a name"));
            values.title = Some("The \"X\" \\ Y".to_owned());
            values.description = Some("Does 'x' and {{ y }}.".to_owned());
            values.author = Some("Ada <ada@example.org>".to_owned());
            let files = render(template, &values).expect("it renders");
            let manifest = Manifest::parse(&files[&"plugin.toml".parse().expect("a path")]).expect("a manifest");
            assert_eq!(Some(manifest.title), values.title);
            assert_eq!(Some(manifest.description), values.description);
            assert_eq!(manifest.authors, [values.author.expect("it was given")]);
        }
    }

    #[test]
    fn the_hints_in_the_manifest_are_a_manifest() {
        let place = tempfile::tempdir().expect("a folder");
        let folder = place.path().join("x");
        make("rust", "x", &folder, None).expect("a project");
        let text = fs::read_to_string(folder.join("plugin.toml")).expect("a manifest");
        let is_hint = |line: &&str| line.starts_with('[') || line.contains(" = ");
        let all: Vec<_> = text.lines().map(|line| line.strip_prefix("# ").filter(is_hint).unwrap_or(line)).collect();
        let manifest = Manifest::parse(&all.join("\n")).unwrap_or_else(|problems| panic!("{problems:?}"));
        assert!(!manifest.configuration.is_empty());
        assert!(!manifest.permissions.is_empty());
        // They show the defaults.
        assert_eq!(manifest.limits, Manifest::parse(&text).expect("a manifest").limits);
    }

    #[test]
    fn nothing_is_overwritten() {
        let place = tempfile::tempdir().expect("a folder");
        let taken = place.path().join("taken");
        fs::create_dir(&taken).expect("made");
        fs::write(taken.join("notes"), "mine").expect("written");
        let file = place.path().join("file");
        fs::write(&file, "mine").expect("written");
        let error = make("rust", "x", &taken, None).expect_err("something is there");
        assert!(matches!(error, DevkitError::NotEmpty { .. }), "{error}");
        assert!(make("rust", "x", &file, None).is_err());
        assert!(make("rust", "x", &file.join("below"), None).is_err());
        assert_eq!(
            (entries(place.path()), entries(&taken)),
            (vec!["file".into(), "taken".into()], vec!["notes".into()])
        );
    }

    #[test]
    fn an_empty_folder_is_filled_and_a_missing_one_is_made() {
        let place = tempfile::tempdir().expect("a folder");
        let expected = [".gitignore", "Cargo.toml", "README.md", "plugin.toml", "src", "wit"];
        for folder in [place.path().to_path_buf(), place.path().join("src/new/deeper")] {
            make("rust", "x", &folder, None).expect("a project");
            assert_eq!(entries(&folder), expected);
        }
        assert_eq!(entries(&place.path().join("src/new")), ["deeper"]);
    }

    #[test]
    fn another_folder_is_not_taken_for_the_sdk() {
        let place = tempfile::tempdir().expect("a folder");
        let folder = place.path().join("x");
        let cases = [
            (place.path().join("absent"), "its Cargo.toml cannot be read"),
            (sdk().join("../pricing"), "its package is `outrigger-pricing`"),
        ];
        for (sdk, expected) in cases {
            let error = make("rust", "x", &folder, Some(&sdk)).expect_err("it is not the SDK").to_string();
            assert!(error.contains(expected), "{error}");
            assert!(!folder.exists());
        }
    }
}
