#!/bin/sh
# Replaces rustc for the crates of this workspace (RUSTC_WORKSPACE_WRAPPER): they are compiled with coverage for
# libFuzzer. Dependencies are not, so that existing builds are reused.
case "$*" in
*"--crate-name outrigger_contract "* | *"--crate-name outrigger_engine "* | *"--crate-name outrigger_registry "* | *"--crate-name fuzz_"*)
    exec "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
        -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 -Copt-level=1
    ;;
*) exec "$@" ;;
esac
