//! WASI 0.2 as `wasmtime-wasi` implements it, one interface after the other: each call says of which interface it is, in
//! case somebody wants to know where the time goes. Interfaces that are granted more finely are in [`super::files`] and
//! [`super::sockets`].

use wasmtime::component::{HasData, Linker, ResourceTable};
use wasmtime_wasi::cli::{WasiCli, WasiCliView as _};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView as _};
use wasmtime_wasi::p2::bindings::{self, cli, clocks, io, random, sockets};
use wasmtime_wasi::random::{WasiRandom, WasiRandomView as _};
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsView as _};
use wasmtime_wasi_http::p2::bindings::{self as http_bindings, http};
use wasmtime_wasi_http::{WasiHttp, WasiHttpView as _};

use super::state::State;

struct HasTable;

impl HasData for HasTable {
    type Data<'a> = &'a mut ResourceTable;
}

/// Offers these interfaces.
pub(super) fn add_to_linker(l: &mut Linker<State>) -> wasmtime::Result<()> {
    io::error::add_to_linker::<_, HasTable>(l, |state| &mut state.called("wasi:io/error").table)?;
    io::poll::add_to_linker::<_, HasTable>(l, |state| &mut state.called("wasi:io/poll").table)?;
    io::streams::add_to_linker::<_, HasTable>(l, |state| &mut state.called("wasi:io/streams").table)?;

    clocks::wall_clock::add_to_linker::<_, WasiClocks>(l, |state| state.called("wasi:clocks/wall-clock").clocks())?;
    clocks::monotonic_clock::add_to_linker::<_, WasiClocks>(l, |state| {
        state.called("wasi:clocks/monotonic-clock").clocks()
    })?;

    random::random::add_to_linker::<_, WasiRandom>(l, |state| state.called("wasi:random/random").random())?;
    random::insecure::add_to_linker::<_, WasiRandom>(l, |state| state.called("wasi:random/insecure").random())?;
    random::insecure_seed::add_to_linker::<_, WasiRandom>(l, |state| {
        state.called("wasi:random/insecure-seed").random()
    })?;

    cli::exit::add_to_linker::<_, WasiCli>(l, |state| state.called("wasi:cli/exit").cli())?;
    cli::environment::add_to_linker::<_, WasiCli>(l, |state| state.called("wasi:cli/environment").cli())?;
    cli::stdin::add_to_linker::<_, WasiCli>(l, |state| state.called("wasi:cli/stdin").cli())?;
    cli::stdout::add_to_linker::<_, WasiCli>(l, |state| state.called("wasi:cli/stdout").cli())?;
    cli::stderr::add_to_linker::<_, WasiCli>(l, |state| state.called("wasi:cli/stderr").cli())?;
    cli::terminal_input::add_to_linker::<_, WasiCli>(l, |state| state.called("wasi:cli/terminal-input").cli())?;
    cli::terminal_output::add_to_linker::<_, WasiCli>(l, |state| state.called("wasi:cli/terminal-output").cli())?;
    cli::terminal_stdin::add_to_linker::<_, WasiCli>(l, |state| state.called("wasi:cli/terminal-stdin").cli())?;
    cli::terminal_stdout::add_to_linker::<_, WasiCli>(l, |state| state.called("wasi:cli/terminal-stdout").cli())?;
    cli::terminal_stderr::add_to_linker::<_, WasiCli>(l, |state| state.called("wasi:cli/terminal-stderr").cli())?;

    let options = bindings::LinkOptions::default();
    sockets::tcp::add_to_linker::<_, WasiSockets>(l, |state| state.called("wasi:sockets/tcp").sockets())?;
    sockets::udp::add_to_linker::<_, WasiSockets>(l, |state| state.called("wasi:sockets/udp").sockets())?;
    sockets::instance_network::add_to_linker::<_, WasiSockets>(l, |state| {
        state.called("wasi:sockets/instance-network").sockets()
    })?;
    sockets::network::add_to_linker::<_, WasiSockets>(l, &(&options).into(), |state| {
        state.called("wasi:sockets/network").sockets()
    })?;

    let options = http_bindings::LinkOptions::default();
    http::outgoing_handler::add_to_linker::<_, WasiHttp>(l, |state| state.called("wasi:http/outgoing-handler").http())?;
    http::types::add_to_linker::<_, WasiHttp>(l, &options.into(), |state| state.called("wasi:http/types").http())
}
