//! The guides in `docs/guides` are true: their commands are run with the real binary, in order, in one shell for each
//! guide, and what a guide shows of the output is compared.
//!
//! In a guide, a block that begins with ```` ```console run ```` holds commands (`$ command`, gone on with on lines that
//! begin with `> `), each followed by as much of its output as the guide wants to show. `...` stands for any text within
//! a line, and alone for any lines. A command succeeds, unless it ends with a comment such as `# exits with 2`. A block
//! that begins with, say, ```` ```rust file=src/lib.rs ```` is written to that file before what follows it is run.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use std::fmt::Write as _;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

#[test]
fn backup_and_restore() {
    run("backup-and-restore.md");
}

#[test]
fn configuration_and_secrets() {
    run("configuration-and-secrets.md");
}

#[test]
fn first_five_minutes() {
    run("first-five-minutes.md");
}

#[test]
fn hooks_and_jobs() {
    run("hooks-and-jobs.md");
}

#[test]
fn permissions_and_limits() {
    run("permissions-and-limits.md");
}

#[test]
fn run_a_server() {
    run("run-a-server.md");
}

#[test]
fn write_a_plugin() {
    run("write-a-plugin.md");
}

/// Gives new projects the dependencies of the bundled plugins, to the last digit: those are there, and are built.
const LOCK_PROJECTS: &str = "for project in \"$WORK\"/*/Cargo.toml; do\n\
    [ ! -e \"$project\" ] || cp -n \"$CHECKOUT/plugins/Cargo.lock\" \"${project%.toml}.lock\"\n\
    done\n";

/// Ends all that the shell has started once the test lets go of the shell's input, which it does however it ends: what waits for
/// that is in one process group with them. It is none of the shell's jobs, so that the first one of the guide is `%1`.
const END_WITH_THE_TEST: &str = "exec 3<&0\n\
    { cat <&3; kill -KILL 0; } >/dev/null 2>&1 &\n\
    disown\n\
    exec 3<&-\n";

/// The steps of a guide.
#[derive(Debug, PartialEq)]
enum Step {
    WriteFile { path: String, content: String },
    Run { line: usize, command: String, exit: i32, shown: Vec<String> },
}

#[track_caller]
fn run(guide: &str) {
    let text = fs::read_to_string(repository().join("docs/guides").join(guide)).unwrap();
    let steps = read(&text);
    assert!(steps.iter().any(|step| matches!(step, Step::Run { .. })), "{guide} has no commands");
    let session = Session::of(&steps);
    for (number, step) in steps.iter().enumerate() {
        let Step::Run { line, command, exit, shown } = step else { continue };
        let (code, output) = session.outcome(number);
        assert_eq!(code, Some(*exit), "{guide}:{line}: $ {command}\n{output}");
        let found: Vec<_> = output.lines().map(str::trim_end).collect();
        let shown: Vec<_> = shown.iter().map(|line| line.trim_end()).collect();
        assert!(
            shown.is_empty() || lines_match(&shown, &found),
            "{guide}:{line}: $ {command}\nthe guide shows:\n{}\n\nthe output is:\n{output}",
            shown.join("\n")
        );
    }
}

/// One shell, with a data directory and a folder of its own.
struct Session {
    folder: TempDir,
}

impl Session {
    fn of(steps: &[Step]) -> Self {
        let session = Self { folder: TempDir::new().unwrap() };
        for part in ["work", "outputs", "files", "data"] {
            fs::create_dir(session.path(part)).unwrap();
        }
        let mut script = format!("set -o pipefail\n{END_WITH_THE_TEST}");
        for (number, step) in steps.iter().enumerate() {
            session.append(&mut script, number, step);
        }
        let script_path = session.path("script");
        fs::write(&script_path, script).unwrap();
        let mut shell = session.shell().arg(&script_path).spawn().expect("the guides need bash");
        let input = shell.stdin.take();
        let status = shell.wait().unwrap();
        drop(input);
        // A process that still writes to the folder would fail.
        let deadline = Instant::now() + Duration::from_secs(30);
        while is_running(shell.id()) {
            assert!(Instant::now() < deadline, "what the guide started is still there");
            std::thread::park_timeout(Duration::from_millis(10));
        }
        assert!(status.success(), "the shell itself failed: {status}");
        session
    }

    /// A step that does not end as the guide says ends the session.
    fn append(&self, script: &mut String, number: usize, step: &Step) {
        match step {
            Step::WriteFile { path, content } => {
                let staged = self.path("files").join(number.to_string());
                fs::write(&staged, content).unwrap();
                let target = self.path("work").join(path);
                writeln!(script, "mkdir -p '{}'", target.parent().unwrap().display()).unwrap();
                writeln!(script, "cp '{}' '{}'", staged.display(), target.display()).unwrap();
            }
            Step::Run { command, exit, .. } => {
                let output = self.path("outputs").join(number.to_string());
                let output = output.display();
                writeln!(script, "{{ {command}\n}} >'{output}' 2>&1 </dev/null\ncode=$?").unwrap();
                writeln!(script, "echo $code >'{output}.code'\n[ $code = {exit} ] || exit 0").unwrap();
                script.push_str(LOCK_PROJECTS);
            }
        }
    }

    fn shell(&self) -> Command {
        let binary = Path::new(env!("CARGO_BIN_EXE_outrigger"));
        let program_folder = binary.parent().unwrap();
        let search = std::env::var("PATH").unwrap_or_default();
        let mut shell = Command::new("bash");
        shell
            .process_group(0)
            .stdin(Stdio::piped())
            .current_dir(self.path("work"))
            .env("PATH", format!("{}:{search}", program_folder.display()))
            .env("XDG_DATA_HOME", self.path("data"))
            .env("OUTRIGGER_BUNDLED", bundled())
            .env("WORK", self.path("work"))
            .env("CHECKOUT", repository())
            .env("CARGO_NET_OFFLINE", "true")
            .env("CARGO_TERM_COLOR", "never")
            .env_remove("OUTRIGGER_CA_CERTIFICATE")
            .env_remove("OUTRIGGER_DATA")
            .env_remove("OUTRIGGER_PLUGIN_PATH")
            .env_remove("OUTRIGGER_PROFILE")
            .env_remove("OUTRIGGER_SECRET_KEY")
            .env_remove("OUTRIGGER_SECRET_KEY_FILE")
            .env_remove("OUTRIGGER_SECRET_KEYRING")
            .env_remove("OUTRIGGER_SERVER")
            .env_remove("OUTRIGGER_SIGNING_KEY")
            .env_remove("NO_COLOR")
            .env_remove("CLICOLOR_FORCE");
        if std::env::var_os("CARGO_TARGET_DIR").is_none() {
            shell.env("CARGO_TARGET_DIR", program_folder.parent().unwrap());
        }
        shell
    }

    /// The exit code, none for a command that was not reached, and the output.
    fn outcome(&self, number: usize) -> (Option<i32>, String) {
        let read = |name: String| fs::read_to_string(self.path("outputs").join(name)).unwrap_or_default();
        (read(format!("{number}.code")).trim().parse().ok(), read(number.to_string()))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Whether any process of a group runs. One that has ended does not, also where nobody has asked yet how it ended.
fn is_running(group: u32) -> bool {
    let group = group.to_string();
    let is_one = |stat: &str| {
        // Behind the name, which may hold anything, stand the state, the parent, and the group.
        let mut fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields).split(' ');
        !matches!(fields.next(), Some("Z" | "X")) && fields.nth(1) == Some(&*group)
    };
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.filter_map(|process| fs::read_to_string(process.path().join("stat")).ok()).any(|stat| is_one(&stat))
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// Where `cargo xtask test` put the bundled plugins.
fn bundled() -> PathBuf {
    let folder = std::env::var_os("OUTRIGGER_BUNDLED").map(PathBuf::from);
    let folder = folder.filter(|folder| folder.join("pricing/plugin.toml").is_file());
    folder
        .expect("OUTRIGGER_BUNDLED names no folder with the bundled plugins; run `cargo xtask test`, which builds them")
}

/// The steps in a guide.
fn read(guide: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut lines = guide.lines().enumerate();
    while let Some((_, line)) = lines.next() {
        let Some(info) = line.strip_prefix("```").filter(|info| !info.is_empty()) else { continue };
        let block: Vec<_> = lines.by_ref().take_while(|(_, line)| *line != "```").collect();
        if info == "console run" {
            read_commands(&block, &mut steps);
        } else if let Some((_, path)) = info.split_once(" file=") {
            let content = block.iter().map(|(_, line)| format!("{line}\n")).collect();
            steps.push(Step::WriteFile { path: path.to_owned(), content });
        }
    }
    steps
}

fn read_commands(block: &[(usize, &str)], steps: &mut Vec<Step>) {
    for (index, line) in block {
        if let Some(text) = line.strip_prefix("$ ") {
            let (command, exit) = match text.split_once("# exits with ") {
                Some((command, exit)) => (command.trim_end(), exit.trim().parse().unwrap()),
                None => (text, 0),
            };
            steps.push(Step::Run { line: index + 1, command: command.to_owned(), exit, shown: Vec::new() });
            continue;
        }
        let Some(Step::Run { command, shown, .. }) = steps.last_mut() else {
            panic!("line {}: a block of commands begins with `$ `", index + 1);
        };
        match line.strip_prefix("> ") {
            Some(more) => *command = format!("{command}\n{more}"),
            None => shown.push((*line).to_owned()),
        }
    }
}

/// Whether lines are as shown, where `...` alone stands for any number of them.
fn lines_match(shown: &[&str], found: &[&str]) -> bool {
    match (shown.split_first(), found.split_first()) {
        (None, None) => true,
        (Some((&"...", rest)), _) => (0..=found.len()).any(|skipped| lines_match(rest, &found[skipped..])),
        (Some((line, shown)), Some((first, found))) => line_matches(line, first) && lines_match(shown, found),
        _ => false,
    }
}

/// Whether a line is as shown, where `...` stands for any text.
fn line_matches(shown: &str, found: &str) -> bool {
    let Some((start, rest)) = shown.split_once("...") else { return shown == found };
    let Some(found) = found.strip_prefix(start) else { return false };
    (0..=found.len()).filter(|place| found.is_char_boundary(*place)).any(|place| line_matches(rest, &found[place..]))
}

#[test]
fn nothing_outlives_its_guide() {
    assert!(Path::new("/proc/self/cmdline").exists(), "there is no way to see here what runs");
    let step = |command: &str| Step::Run { line: 1, command: command.to_owned(), exit: 0, shown: Vec::new() };
    let steps = [step("sleep 1000 & echo $! > sleeper"), step("jobs"), step("false"), step("kill %1")];
    let session = Session::of(&steps);
    assert!(session.outcome(1).1.starts_with("[1]"), "{:?}", session.outcome(1));
    assert_eq!((session.outcome(2).0, session.outcome(3).0), (Some(1), None), "it ended early");
    let sleeper = fs::read_to_string(session.path("work/sleeper")).unwrap();
    // One that has ended has no command line, also where nobody has asked yet how it ended.
    let command_line = Path::new("/proc").join(sleeper.trim()).join("cmdline");
    let deadline = Instant::now() + Duration::from_secs(10);
    while fs::read(&command_line).is_ok_and(|line| !line.is_empty()) {
        assert!(Instant::now() < deadline, "process {sleeper} is still there");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

#[test]
fn guides_are_read() {
    let guide = "Text.\n\n```toml file=a/b.toml\nx = 1\n```\n\n```console\n$ not run\n```\n\n\
        ```console run\n$ echo a \\\n> b\na ... b\n...\n$ false  # exits with 1\n```\n";
    let run = |line, command: &str, exit, shown: &[&str]| Step::Run {
        line,
        command: command.to_owned(),
        exit,
        shown: shown.iter().map(|line| (*line).to_owned()).collect(),
    };
    let expected = [
        Step::WriteFile { path: "a/b.toml".to_owned(), content: "x = 1\n".to_owned() },
        run(12, "echo a \\\nb", 0, &["a ... b", "..."]),
        run(16, "false", 1, &[]),
    ];
    assert_eq!(read(guide), expected);
}

#[test]
fn outputs_are_compared() {
    let check = |shown: &[&str], found: &[&str], expected: bool| {
        assert_eq!(lines_match(shown, found), expected, "{shown:?} {found:?}");
    };
    check(&["a"], &["a"], true);
    check(&["a"], &["a", "b"], false);
    check(&["a", "..."], &["a", "b", "c"], true);
    check(&["...", "c"], &["a", "b", "c"], true);
    check(&["...", "b"], &["a", "b", "c"], false);
    check(&["took ... ms"], &["took 3.5 ms"], true);
    check(&["took ... ms ..."], &["took 3.5 s"], false);
    check(&["..."], &[], true);
}
