//! A new project: a small plugin that builds, is tested and can be called at once, to be changed into what is wanted.
//!
//! Nothing that exists is touched, and nothing half written stays: the project is written in a folder of another name
//! and moved to its place when it is complete. The templates are in `templates/`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use outrigger_contract::PluginName;

use crate::error::DevkitError;

/// What to make.
#[derive(Clone, Debug)]
pub struct NewOptions {
    /// The plugin's name.
    pub name: PluginName,
    /// The folder to make it in: one that does not exist, or has nothing in it.
    pub folder: PathBuf,
    /// The folder of the Rust SDK. With it the project shows configuration and logging. Without it the project depends
    /// on nothing that is not published, so it builds anywhere.
    pub sdk: Option<PathBuf>,
}

/// What was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    /// The plugin's name.
    pub name: PluginName,
    /// The project's folder, as it was given.
    pub folder: PathBuf,
    /// The files in it, in the order in which to read them.
    pub files: Vec<&'static str>,
}

/// The files of a project and their templates, in the order in which to read them.
const TEMPLATES: [(&str, &str); 6] = [
    ("README.md", include_str!("../templates/README.md")),
    ("wit/world.wit", include_str!("../templates/world.wit")),
    ("src/lib.rs", include_str!("../templates/lib.rs")),
    ("plugin.toml", include_str!("../templates/plugin.toml")),
    ("Cargo.toml", include_str!("../templates/manifest.toml")),
    (".gitignore", include_str!("../templates/gitignore")),
];

/// Makes the project.
///
/// # Errors
/// [`DevkitError::NotEmpty`] where the folder has something in it, [`DevkitError::NotTheSdk`] where `sdk` is another
/// folder, and [`DevkitError::Io`].
pub fn new(options: &NewOptions) -> Result<Created, DevkitError> {
    let NewOptions { name, folder, sdk } = options;
    let sdk = sdk.as_deref().map(sdk_path).transpose()?;
    let target = std::path::absolute(folder).map_err(DevkitError::io("find", folder))?;
    let exists = exists_empty(folder)?;

    // The unfinished project is on the file system that it is moved on.
    let beside = if exists { target.as_path() } else { target.parent().unwrap_or(&target) };
    fs::create_dir_all(beside).map_err(DevkitError::io("create", beside))?;
    let staging = tempfile::Builder::new().prefix(".outrigger-new-").tempdir_in(beside);
    let staging = staging.map_err(DevkitError::io("write to", beside))?;
    // One level deeper, because a temporary folder itself can be read by its owner alone.
    let unfinished = staging.path().join(name.as_str());
    let values = Values::of(name, sdk);
    for (file, template) in TEMPLATES {
        write(&unfinished.join(file), &values.fill(template))?;
    }
    if exists {
        // Not replaced as a whole: it may be somebody's working directory.
        move_content(&unfinished, &target)?;
    } else {
        fs::rename(&unfinished, &target).map_err(DevkitError::io("create", &target))?;
    }
    let files = TEMPLATES.iter().map(|(file, _)| *file).collect();
    Ok(Created { name: name.clone(), folder: folder.clone(), files })
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
fn sdk_path(folder: &Path) -> Result<String, DevkitError> {
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

/// What a template may name, as `{{key}}`. The lines from `{{#sdk}}` or `{{^sdk}}` to `{{/sdk}}` are for projects with
/// the SDK, or without it.
struct Values {
    values: Vec<(&'static str, String)>,
    with_sdk: bool,
}

impl Values {
    fn of(name: &PluginName, sdk: Option<String>) -> Values {
        // A plugin's name may be a keyword, the name of a dependency, or have two hyphens in a row. With `plugin` behind
        // its words it is a name that Cargo, Rust and WIT all take.
        let words: Vec<_> = name.as_str().split(['-', '_']).filter(|word| !word.is_empty()).collect();
        let package = format!("{}-plugin", words.join("-"));
        let with_sdk = sdk.is_some();
        let values = vec![
            ("{{name}}", name.to_string()),
            ("{{title}}", capitalized(&words.join(" "))),
            ("{{entry}}", format!("{}.wasm", words.join("_"))),
            ("{{module}}", package.replace('-', "_")),
            ("{{package}}", package),
            ("{{sdk}}", toml::Value::String(sdk.unwrap_or_default()).to_string()),
        ];
        Values { values, with_sdk }
    }

    fn fill(&self, template: &str) -> String {
        let mut text = String::with_capacity(template.len());
        let mut shown = true;
        for line in template.lines() {
            match line {
                "{{#sdk}}" => shown = self.with_sdk,
                "{{^sdk}}" => shown = !self.with_sdk,
                "{{/sdk}}" => shown = true,
                _ if shown => text.extend([line, "\n"]),
                _ => {}
            }
        }
        self.values.iter().fold(text, |text, (key, value)| text.replace(key, value))
    }
}

fn capitalized(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(characters).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use outrigger_contract::Manifest;
    use wit_parser::Resolve;

    use super::{NewOptions, new};
    use crate::error::DevkitError;
    use crate::project::Project;
    use crate::toolchain::Target;

    fn options(name: &str, folder: &Path, sdk: Option<&Path>) -> NewOptions {
        NewOptions {
            name: name.parse().expect("a name"),
            folder: folder.to_path_buf(),
            sdk: sdk.map(Path::to_path_buf),
        }
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
            for sdk in [None, Some(sdk())] {
                let folder = place.path().join(format!("{name}-{}", sdk.is_some()));
                let created = new(&options(name, &folder, sdk)).expect(name);
                for file in created.files {
                    let text = fs::read_to_string(folder.join(file)).expect(file);
                    assert!(!text.contains("{{"), "{file}: {text}");
                }
                let project = Project::read(&folder).expect(name);
                assert_eq!((project.name.as_str(), project.target), (name, Target::Wasip1));
                let manifest = fs::read_to_string(folder.join("plugin.toml")).expect("a manifest");
                let manifest = Manifest::parse(&manifest).unwrap_or_else(|problems| panic!("{name}: {problems:?}"));
                assert_eq!(manifest.configuration.is_empty(), sdk.is_none());
                Resolve::default().push_path(folder.join("wit")).expect(name);
            }
        }
    }

    #[test]
    fn the_hints_in_the_manifest_are_a_manifest() {
        let place = tempfile::tempdir().expect("a folder");
        let folder = place.path().join("x");
        new(&options("x", &folder, None)).expect("a project");
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
        let error = new(&options("x", &taken, None)).expect_err("something is there");
        assert!(matches!(error, DevkitError::NotEmpty { .. }), "{error}");
        assert!(new(&options("x", &file, None)).is_err());
        assert!(new(&options("x", &file.join("below"), None)).is_err());
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
            new(&options("x", &folder, None)).expect("a project");
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
            let error = new(&options("x", &folder, Some(&sdk))).expect_err("it is not the SDK").to_string();
            assert!(error.contains(expected), "{error}");
            assert!(!folder.exists());
        }
    }
}
