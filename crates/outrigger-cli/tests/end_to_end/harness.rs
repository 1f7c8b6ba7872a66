//! A data directory of its own for each test, and the binary to run over it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use assert_cmd::Command;
use serde_json::Value as Json;
use tempfile::TempDir;

/// Where `cargo xtask test` put the bundled plugins.
pub(crate) fn bundled() -> PathBuf {
    let folder = std::env::var_os("OUTRIGGER_BUNDLED").map(PathBuf::from);
    let folder = folder.filter(|folder| folder.join("pricing/plugin.toml").is_file());
    folder
        .expect("OUTRIGGER_BUNDLED names no folder with the bundled plugins; run `cargo xtask test`, which builds them")
}

/// A data directory, and a folder to put things in.
pub(crate) struct Place {
    folder: TempDir,
}

/// The outcome of a run of the binary.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { folder: TempDir::new().expect("a temporary folder can be made") }
    }

    /// With a bundled plugin installed.
    pub(crate) fn with(plugin: &str) -> Self {
        let place = Self::new();
        place.run(&["plugin", "install", plugin, "--yes"]).succeeded();
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file, with the folders above it.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    }

    /// Writes the package `./hostile`, whose functions do what their names say, with more in its manifest.
    pub(crate) fn hostile(&self, more: &str) {
        self.write("hostile/hostile.wasm", outrigger_testkit::components::hostile());
        let manifest = format!(
            "name = \"hostile\"\nversion = \"1.0.0\"\ntitle = \"Hostile\"\ndescription = \"For tests.\"\n\
             [runtime]\nkind = \"wasm\"\nentry = \"hostile.wasm\"\n{more}"
        );
        self.write("hostile/plugin.toml", manifest);
    }

    /// The same, installed.
    pub(crate) fn install_hostile(&self, more: &str) {
        self.hostile(more);
        self.run(&["plugin", "install", "./hostile", "--yes"]).succeeded();
    }

    /// A package made of a bundled plugin, with more in its manifest.
    pub(crate) fn package(&self, plugin: &str, more: &str) -> String {
        let from = bundled().join(plugin);
        let manifest = std::fs::read_to_string(from.join("plugin.toml")).unwrap();
        for entry in std::fs::read_dir(&from).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                self.write(
                    &format!("{plugin}/{}", path.file_name().unwrap().to_str().unwrap()),
                    std::fs::read(&path).unwrap(),
                );
            }
        }
        self.write(&format!("{plugin}/plugin.toml"), format!("{manifest}\n{more}"));
        self.path(plugin).display().to_string()
    }

    /// The binary with nothing of the tester's own environment that would change what it does.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::cargo_bin("outrigger").unwrap();
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("OUTRIGGER_DATA", self.path("data"))
            .env("OUTRIGGER_BUNDLED", bundled())
            .env_remove("OUTRIGGER_PLUGIN_PATH")
            .env_remove("OUTRIGGER_SIGNING_KEY")
            .env_remove("NO_COLOR")
            .env_remove("CLICOLOR_FORCE");
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Outcome {
        Outcome::of(&mut self.command(arguments))
    }

    /// Runs with `-o json`, and reads what comes out.
    pub(crate) fn json(&self, arguments: &[&str]) -> Json {
        let outcome = Outcome::of(self.command(arguments).args(["-o", "json"])).succeeded();
        serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {}", outcome.stdout))
    }
}

impl Outcome {
    pub(crate) fn of(command: &mut Command) -> Self {
        let output = command.output().expect("the binary can be started");
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }

    #[track_caller]
    pub(crate) fn succeeded(self) -> Self {
        assert_eq!(self.code, 0, "{self:#?}");
        self
    }

    /// It failed with this exit code, said each of these on standard error, and gave no results.
    #[track_caller]
    pub(crate) fn failed(self, code: i32, parts: &[&str]) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        for part in parts {
            assert!(self.stderr.contains(part), "`{part}` is not in {self:#?}");
        }
        assert_eq!(self.stdout, "", "{self:#?}");
        self
    }

    #[track_caller]
    pub(crate) fn shows(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(self.stdout.contains(part), "`{part}` is not in {self:#?}");
        }
        self
    }
}

/// Whether a folder has nothing in it, or is not there.
pub(crate) fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none())
}

/// A server over a place's data directory, that is killed when the test is over, however it ends.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
    /// The administrator's, where the directory was served for the first time.
    pub(crate) key: String,
}

impl Server {
    pub(crate) fn start(place: &Place) -> Self {
        Self::start_with(place, &[])
    }

    /// With more options.
    pub(crate) fn start_with(place: &Place, options: &[&str]) -> Self {
        Self::start_logging_to(place, options, Stdio::null())
    }

    /// With its log in the file `server.log`.
    pub(crate) fn start_with_log(place: &Place, options: &[&str]) -> Self {
        let log = std::fs::File::create(place.path("server.log")).expect("a file can be made");
        Self::start_logging_to(place, options, log.into())
    }

    fn start_logging_to(place: &Place, options: &[&str], log: Stdio) -> Self {
        let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_outrigger"))
            .args(["serve", "--listen", "127.0.0.1:0", "-o", "json"])
            .args(options)
            .env("OUTRIGGER_DATA", place.path("data"))
            .env("OUTRIGGER_BUNDLED", bundled())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the binary can be started");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let told: Json = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let text = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
        Self { child, address: text("address"), key: text("administrator_key") }
    }

    /// As a power cut would: SIGKILL, which nothing can be done about.
    pub(crate) fn kill_dead(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
