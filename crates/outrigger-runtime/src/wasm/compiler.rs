//! Compiles in a child process. Cranelift cannot be interrupted, and a failed allocation ends the process, so larger
//! components are compiled by a child with limits on CPU time and memory. The child is the same program; it reads the
//! component from standard input and writes compiled code to standard output.
//!
//! CPU time is limited, not wall-clock time: a busy machine refuses nothing that an idle one accepts.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use outrigger_contract::Code;
use outrigger_contract::units::ByteSize;
use outrigger_engine::runtime::RuntimeFault;
use rustix::process::{Resource, Rlimit, setrlimit};

use super::engine::{self, Layout};
use super::measure::Measure;

/// The first argument of a child; no command has this name.
const ARGUMENT: &str = "internal-compile";
/// The exit code of a child whose component cannot be compiled; standard error has the reason.
const INVALID: u8 = 2;
/// The exit code of a child that could not write the code.
const UNWRITTEN: u8 = 3;
/// Wall-clock time for each second of CPU time: the machine can be busy.
const PATIENCE: u32 = 3;
/// Maximum size of a child's error message, in bytes.
const LONGEST_COMPLAINT: u64 = 2_000;
/// Maximum size of stored compiled code, in bytes: this much, plus this many times the size of the component, several
/// times the usual size.
const CODE: u64 = 64 << 20;
const CODE_TIMES: u64 = 16;
const LARGEST_CODE: u64 = 2 << 30;

/// Whether this program accepts [`ARGUMENT`].
static OFFERED: AtomicBool = AtomicBool::new(false);

/// The maximum cost of compiling one component. Each component gets a part of it, by the size of its code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompileLimits {
    /// CPU time of all threads together.
    pub cpu: Duration,
    /// In bytes.
    pub memory: u64,
}

impl Default for CompileLimits {
    fn default() -> Self {
        Self { cpu: Duration::from_secs(120), memory: 4 << 30 }
    }
}

impl CompileLimits {
    /// The limits for code of this size: a multiple of the usual cost, but never above the maximum. Per MiB of code,
    /// components made from JavaScript and Python take 1 s and 30 to 45 MiB, and 3.5 s on a busy machine.
    pub(super) fn of(self, measure: &Measure) -> Self {
        let mebibytes = measure.code.div_ceil(1 << 20);
        let cpu = Duration::from_secs(5 + 8 * mebibytes);
        let memory = (384 << 20) + mebibytes * (96 << 20);
        Self { cpu: self.cpu.min(cpu), memory: self.memory.min(memory) }
    }
}

/// The limits on the size of compiled code, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CodeBound {
    usual: u64,
    /// The limit of the free disk space.
    room: u64,
}

impl CodeBound {
    /// The limits for a component of this size. None if there is not even space for the size of the component.
    pub(super) fn of(wasm: u64, room: u64) -> Option<Self> {
        let usual = CODE.saturating_add(wasm.saturating_mul(CODE_TIMES)).min(LARGEST_CODE);
        (room >= wasm).then_some(Self { usual, room })
    }

    fn bytes(self) -> u64 {
        self.usual.min(self.room)
    }

    /// The fault for code that is too large.
    fn exceeded(self) -> RuntimeFault {
        match self.room < self.usual {
            true => no_room(),
            false => {
                let message = format!("the component compiles to more than {} of code", ByteSize::bytes(self.usual));
                RuntimeFault::new(Code::CompileLimit, message)
            }
        }
    }
}

/// The fault for a full disk.
pub(super) fn no_room() -> RuntimeFault {
    RuntimeFault::new(Code::DiskFull, "not enough disk space for the component's compiled code")
}

/// Call this first in `main` of a program that compiles components in child processes. If this process is such a child,
/// it compiles, and returns the exit code of the program.
#[must_use]
pub fn compile_if_asked() -> Option<ExitCode> {
    OFFERED.store(true, Ordering::Relaxed);
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != ARGUMENT {
        return None;
    }
    Some(match child(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, complaint)) => {
            _ = write!(io::stderr(), "{complaint}");
            ExitCode::from(code)
        }
    })
}

/// The path of this program, if it can compile.
pub(super) fn this_program() -> Option<PathBuf> {
    // Even if the file was replaced since: the child must be the same build.
    OFFERED.load(Ordering::Relaxed).then(|| PathBuf::from("/proc/self/exe"))
}

/// Limits itself before anything else, then compiles.
fn child(arguments: impl Iterator<Item = OsString>) -> Result<(), (u8, String)> {
    let code = compiled(arguments).map_err(|complaint| (INVALID, complaint))?;
    let written = io::stdout().write_all(&code).and_then(|()| io::stdout().flush());
    written.map_err(|error| (UNWRITTEN, error.to_string()))
}

fn compiled(arguments: impl Iterator<Item = OsString>) -> Result<Vec<u8>, String> {
    let arguments: Vec<_> = arguments.filter_map(|argument| argument.into_string().ok()).collect();
    let [layout, cpu, memory, size] = &arguments[..] else {
        return Err("expected arguments: layout, seconds, bytes of memory, bytes of code".to_owned());
    };
    let layout = Layout::from_name(layout).ok_or("there is no such layout")?;
    let number = |text: &String| text.parse::<u64>().map_err(|error| error.to_string());
    let (cpu, memory, size) = (number(cpu)?, number(memory)?, number(size)?);
    for (resource, limit) in [
        (Resource::Cpu, cpu),
        // Limits writable memory. Address space is not limited, because the allocator reserves more than it uses.
        (Resource::Data, memory),
        (Resource::Fsize, size),
        (Resource::Core, 0),
    ] {
        // The signal of the soft limit on CPU time shows which limit was reached.
        let limit = Rlimit { current: Some(limit), maximum: Some(limit.saturating_add(5)) };
        setrlimit(resource, limit).map_err(|error| format!("a limit cannot be set: {error}"))?;
    }
    let mut wasm = Vec::new();
    io::stdin().read_to_end(&mut wasm).map_err(|error| format!("the component cannot be read: {error}"))?;
    let engine = engine::for_compiling(layout).map_err(|error| format!("{error:#}"))?;
    engine.precompile_component(&wasm).map_err(|error| format!("{error:#}"))
}

/// Compiles a component in a child process, into a file.
///
/// # Errors
/// [`Code::CompileLimit`] if it exceeds a limit, [`Code::DiskFull`] if there is no space for the code,
/// [`Code::InvalidComponent`] if it cannot be compiled.
pub(super) async fn compile(
    program: &Path,
    layout: Layout,
    limits: CompileLimits,
    size: CodeBound,
    component: File,
    code: File,
) -> Result<(), RuntimeFault> {
    let internal =
        |error: io::Error| RuntimeFault::new(Code::Internal, format!("failed to run the compiler process: {error}"));
    let CompileLimits { cpu, memory } = limits;
    let seconds = cpu.as_secs().max(1);
    let mut command = tokio::process::Command::new(program);
    command.arg(ARGUMENT).arg(layout.name()).args([seconds, memory, size.bytes()].map(|number| number.to_string()));
    command.env_clear().current_dir("/").kill_on_drop(true);
    command.stdin(component).stdout(code).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(internal)?;
    let complaint = child.stderr.take();
    let run = async {
        let mut said = Vec::new();
        if let Some(stderr) = complaint {
            use tokio::io::AsyncReadExt;
            _ = stderr.take(LONGEST_COMPLAINT).read_to_end(&mut said).await;
        }
        Ok((child.wait().await?, String::from_utf8_lossy(&said).into_owned()))
    };
    let outcome = tokio::time::timeout(Duration::from_secs(seconds) * PATIENCE, run).await;
    let exceeded = |what: String| Err(RuntimeFault::new(Code::CompileLimit, format!("compiling the component {what}")));
    let (status, said): (ExitStatus, String) = match outcome {
        Ok(ended) => ended.map_err(internal)?,
        // Not a limit of the component: on an idle machine it may compile.
        Err(_) => {
            let waited = seconds * u64::from(PATIENCE);
            let message =
                format!("compiling the component did not end within {waited} seconds: the machine is too busy");
            return Err(RuntimeFault::new(Code::Busy, message));
        }
    };
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(()),
        (Some(code), _) if code == i32::from(UNWRITTEN) => Err(match () {
            () if said.contains(TOO_LARGE) => size.exceeded(),
            () if NO_ROOM.iter().any(|text| said.contains(text)) => no_room(),
            () => RuntimeFault::new(Code::Io, format!("failed to store compiled code: {said}")),
        }),
        (Some(_), _) if WANT_OF_MEMORY.iter().any(|text| said.contains(text)) => {
            exceeded(format!("takes more than {} of memory", ByteSize::bytes(memory)))
        }
        (Some(code), _) if code == i32::from(INVALID) => {
            Err(RuntimeFault::new(Code::InvalidComponent, format!("the component cannot be compiled: {said}")))
        }
        (_, Some(SIGXCPU)) => exceeded(format!("takes more than {seconds} seconds of CPU time")),
        // A failed allocation aborts the child; the system kills it if no memory is left.
        (_, Some(SIGABRT | SIGKILL | SIGSEGV | SIGBUS)) => {
            exceeded(format!("takes more than {} of memory", ByteSize::bytes(memory)))
        }
        (_, Some(SIGXFSZ)) => Err(size.exceeded()),
        _ => Err(RuntimeFault::new(Code::Internal, format!("the compiler process ended with {status}: {said}"))),
    }
}

/// Error texts of a child process that ran out of memory or could not start a thread.
const WANT_OF_MEMORY: [&str; 4] = ["os error 12", "os error 11", "ut of memory", "memory allocation"];

/// Errors of a child that cannot write: the file is too large; the disk is full, or a disk quota is used up.
const TOO_LARGE: &str = "os error 27";
const NO_ROOM: [&str; 2] = ["os error 28", "os error 122"];

const SIGABRT: i32 = 6;
const SIGBUS: i32 = 7;
const SIGKILL: i32 = 9;
const SIGSEGV: i32 = 11;
const SIGXCPU: i32 = 24;
const SIGXFSZ: i32 = 25;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s09_compiled_code_is_bounded_by_its_component_and_by_the_disk() {
        let check = |wasm: u64, room: u64, expected: Option<(u64, Code)>| {
            let bound = CodeBound::of(wasm, room);
            assert_eq!(bound.map(|bound| (bound.bytes(), bound.exceeded().code)), expected, "{wasm} {room}");
        };
        check(1 << 20, u64::MAX, Some((80 << 20, Code::CompileLimit)));
        check(128 << 20, u64::MAX, Some((2 << 30, Code::CompileLimit)));
        check(1 << 20, 5 << 20, Some((5 << 20, Code::DiskFull)));
        check(1 << 20, 1 << 19, None);
        check(u64::MAX, u64::MAX, Some((2 << 30, Code::CompileLimit)));
    }
}
