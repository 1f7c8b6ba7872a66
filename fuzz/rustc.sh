#!/bin/sh
# Instead of rustc for the crates of this workspace (RUSTC_WORKSPACE_WRAPPER): ours are compiled so that libFuzzer sees which
# branches an input takes. Crates of others are not, so that what is built already is used.
case "$*" in
*"--crate-name outrigger_contract "* | *"--crate-name outrigger_engine "* | *"--crate-name outrigger_registry "* | *"--crate-name fuzz_"*)
    exec "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
        -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 -Copt-level=1
    ;;
*) exec "$@" ;;
esac
