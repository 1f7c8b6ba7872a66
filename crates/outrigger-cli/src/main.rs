//! The binary `outrigger`. Everything is in the library, so that the reference can be generated from it.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    outrigger_cli::run()
}
