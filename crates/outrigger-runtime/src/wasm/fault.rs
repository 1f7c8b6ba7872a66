//! How a call fails: from what wasmtime and the limits report to one coded error that says what to do.

use outrigger_contract::excerpt::excerpt_of;
use outrigger_contract::{Code, PluginName};
use outrigger_engine::Exceeded;
use outrigger_engine::runtime::RuntimeFault;
use wasmtime::{PoolConcurrencyLimitError, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use super::abi::AbiError;
use super::limits::{INSTANCES_AT_MOST, MEMORIES_AT_MOST, Shortage, Stopped, TABLES_AT_MOST};
use super::scope::Refusal;

/// Functions of the plugin that are named where it trapped.
const FRAMES_AT_MOST: usize = 6;
/// The maximum length of a function's name in messages, in bytes.
const LONGEST_NAME: usize = 200;

/// The applied limits, for messages.
#[derive(Clone, Debug)]
pub(super) struct Applied {
    pub(super) memory: String,
    pub(super) cpu: std::time::Duration,
    pub(super) output: String,
    pub(super) took: std::time::Duration,
}

/// The fault behind an error of wasmtime, before what was refused is looked at.
pub(super) fn of_error(
    plugin: &PluginName,
    error: &wasmtime::Error,
    shortage: Option<Shortage>,
    applied: &Applied,
) -> RuntimeFault {
    if let Some(shortage) = shortage {
        return of_shortage(plugin, shortage, applied);
    }
    if let Some(exceeded) = error.downcast_ref::<Exceeded>() {
        return (*exceeded).into();
    }
    if let Some(stopped) = error.downcast_ref::<Stopped>() {
        return of_stopped(plugin, *stopped, applied);
    }
    if let Some(abi) = error.downcast_ref::<AbiError>() {
        return of_abi(plugin, abi, applied);
    }
    if let Some(I32Exit(status)) = error.downcast_ref() {
        return RuntimeFault::new(Code::Trapped, format!("{plugin} ended itself with exit status {status}"));
    }
    // Wasmtime reports the limits that it counts itself only as text.
    if error.root_cause().to_string().starts_with("resource limit exceeded") {
        return RuntimeFault::new(
            Code::MemoryLimit,
            format!(
                "{plugin} exceeds the limits for one instance: {INSTANCES_AT_MOST} core instances, {TABLES_AT_MOST} \
                 tables, \
                 {MEMORIES_AT_MOST} memories"
            ),
        );
    }
    if error.is::<PoolConcurrencyLimitError>() {
        return of_shortage(plugin, Shortage::Slots, applied);
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => RuntimeFault::new(
            Code::StackOverflow,
            format!("the call stack of {plugin} overflowed{}; look for endless recursion", frames(error)),
        ),
        _ => RuntimeFault::new(Code::Trapped, format!("{plugin} stopped: {}{}", reason(error), frames(error))),
    }
}

/// A plugin that was refused memory has failed for that, however it took it.
pub(super) fn of_shortage(plugin: &PluginName, shortage: Shortage, applied: &Applied) -> RuntimeFault {
    let limit = match shortage {
        Shortage::Limit => &applied.memory,
        Shortage::Account(exceeded) => return exceeded.into(),
        Shortage::Slots => {
            let message = format!("no free slot for another instance of {plugin}; try again, or lower `concurrency`");
            return RuntimeFault::new(Code::Busy, message);
        }
    };
    RuntimeFault::new(
        Code::MemoryLimit,
        format!(
            "{plugin} wanted more memory than the {limit} it may have; raise `[limits] memory` if it needs more, or \
             the operator's ceiling if that lowers it"
        ),
    )
}

fn of_stopped(plugin: &PluginName, stopped: Stopped, applied: &Applied) -> RuntimeFault {
    match stopped {
        Stopped::Deadline => RuntimeFault::new(
            Code::DeadlineExceeded,
            format!("{plugin} did not answer before its deadline; it was stopped after {:.1?}", applied.took),
        ),
        Stopped::Cancelled => {
            RuntimeFault::new(Code::Cancelled, format!("the call was cancelled after {:.1?}", applied.took))
        }
        // The exceeded limit was reported before.
        Stopped::Memory => {
            RuntimeFault::new(Code::HostMemoryLimit, format!("{plugin} reached its server memory limit"))
        }
        Stopped::Cpu => RuntimeFault::new(
            Code::CpuLimit,
            format!("{plugin} exceeded its CPU time limit of {:?}; raise `[limits] cpu` if it needs more", applied.cpu),
        ),
    }
}

fn of_abi(plugin: &PluginName, error: &AbiError, applied: &Applied) -> RuntimeFault {
    match error {
        AbiError::TooLarge => RuntimeFault::new(
            Code::OutputLimit,
            format!(
                "the result of {plugin} is far above its limit of {}; raise `[limits] output`, or return it in parts",
                applied.output
            ),
        ),
        AbiError::Memory(exceeded) => (*exceeded).into(),
        AbiError::Malformed(_) => RuntimeFault::new(
            Code::InvalidOutput,
            format!("{plugin} gave a result that breaks the rules of the component model: {error}"),
        ),
        AbiError::Mismatch(_) => RuntimeFault::new(
            Code::Internal,
            format!("the published types of {plugin} are not those of its component: {error}; install it again"),
        ),
    }
}

/// Something was refused, and then the call failed: most likely that is why, and in any case worth knowing.
pub(super) fn after_refusals(plugin: &PluginName, fault: RuntimeFault, refusals: &[Refusal]) -> RuntimeFault {
    if refusals.is_empty() || !matches!(fault.code, Code::Trapped | Code::FunctionFailed) {
        return fault;
    }
    let whats: Vec<&str> = refusals.iter().map(|refusal| refusal.what.as_str()).collect();
    let mut message = format!("{plugin} was not permitted to {}", whats.join(", nor to "));
    let remedies: Vec<&str> = refusals.iter().filter_map(|refusal| refusal.remedy.as_deref()).collect();
    if !remedies.is_empty() {
        message.push_str("; to ask for it, add to `[permissions]` in its plugin.toml: ");
        message.push_str(&remedies.join(" and "));
    }
    message.push_str(". Its last output: ");
    message.push_str(&fault.message);
    RuntimeFault { error_value: fault.error_value, ..RuntimeFault::new(Code::PermissionDenied, message) }
}

/// The innermost cause, in one line.
fn reason(error: &wasmtime::Error) -> String {
    let cause = error.root_cause().to_string();
    let text = cause.strip_prefix("wasm trap: ").unwrap_or(&cause);
    match error.downcast_ref::<Trap>() {
        Some(Trap::UnreachableCodeReached) => format!("{text} (a panic or an abort; see its log)"),
        _ => excerpt_of(text.lines().next().unwrap_or("no reason was given")),
    }
}

/// The functions that were running, innermost first.
fn frames(error: &wasmtime::Error) -> String {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else { return String::new() };
    let mut names: Vec<&str> = backtrace.frames().iter().filter_map(|frame| frame.func_name()).collect();
    names.dedup();
    names.truncate(FRAMES_AT_MOST);
    let names: Vec<&str> = names.into_iter().map(|name| rustc_demangled(shortened(name))).collect();
    if names.is_empty() { String::new() } else { format!(", in {}", names.join(" ← ")) }
}

/// Truncates a name, which can be as long as the component.
fn shortened(name: &str) -> &str {
    &name[..name.floor_char_boundary(LONGEST_NAME)]
}

/// Symbol names of Rust end in a hash that says nothing to people.
fn rustc_demangled(name: &str) -> &str {
    match name.rsplit_once("::h") {
        Some((head, hash)) if hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) => head,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_memory_limit_can_be_that_of_the_manifest_or_of_the_operator() {
        let plugin = "hungry".parse().expect("a name");
        let [memory, output] = ["64MiB", "4MiB"].map(str::to_owned);
        let (cpu, took) = (std::time::Duration::ZERO, std::time::Duration::ZERO);
        let fault = of_shortage(&plugin, Shortage::Limit, &Applied { memory, cpu, output, took });
        assert_eq!(fault.code, Code::MemoryLimit);
        for part in ["64MiB it may have", "raise `[limits] memory`", "or the operator's ceiling"] {
            assert!(fault.message.contains(part), "{}", fault.message);
        }
    }
}
