//! The binary `outrigger`. Everything is in the library, so that the reference can be generated from it.

fn main() -> std::process::ExitCode {
    outrigger_cli::run()
}
