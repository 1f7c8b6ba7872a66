//! `outrigger serve`: serves the data directory over HTTP until it is stopped.

use std::io::ErrorKind;
use std::sync::Arc;

use outrigger_api::{ApiError, Code, Door, NewKey, Visit};
use outrigger_host::{Host, ServerWork, WebhookOptions, check_key_file};
use outrigger_server::{Drained, ServeError, ServerOptions, TlsFiles, serve};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::cli::ServeArguments;
use crate::context::Context;
use crate::error::{CliError, CliResult};
use crate::output::{Format, count, yellow};
use crate::run::Interrupts;

/// Serves until it is stopped.
///
/// # Errors
/// The data directory is in use, or the address cannot be listened at.
pub async fn run(context: &Context, arguments: ServeArguments) -> CliResult {
    context.refuse_server("serve")?;
    for contradiction in arguments.contradictions() {
        context.output.remark(&format!("{} {contradiction}", yellow("warning:")));
    }
    raise_file_descriptors(arguments.connections);
    let backups =
        arguments.backups.as_ref().map(|folder| std::path::absolute(folder).unwrap_or_else(|_| folder.clone()));
    let webhooks = WebhookOptions { networks: arguments.webhook_network.clone().into(), ..WebhookOptions::default() };
    let (retention, ceiling, quotas) = (arguments.retention(), arguments.ceiling.clone(), arguments.quotas());
    let reserve = Some(arguments.reserve.as_u64());
    let private_key = arguments.tls_key.clone();
    let work =
        ServerWork { retention, ceiling, quotas, webhooks, backups, private_key, reserve, ..ServerWork::default() };
    let ServeArguments { listen, tls_certificate, tls_key, drain, body_limit, .. } = arguments;
    let mut interrupts = Interrupts::new()?;
    let host = Host::open_alone_with(context.host_options()?, work).await?;
    if let Some(key) = &tls_key {
        check_key_file(key)?;
    }
    let tls = tls_certificate.zip(tls_key).map(|(certificate, key)| TlsFiles { certificate, key });
    let scheme = if tls.is_some() { "https" } else { "http" };
    let options = ServerOptions {
        socket: Some(host.socket().to_owned()),
        tls,
        drain: drain.as_duration(),
        body_limit: body_limit.as_usize(),
        bodies_per_key: arguments.bodies_per_key.as_usize(),
        bodies_total: arguments.bodies_total.as_usize(),
        connections: arguments.connections,
        connections_per_address: arguments.connections_per_address,
        ..ServerOptions::new(listen)
    };
    let stop = CancellationToken::new();
    let running = serve(options, Arc::new(host.clone()), stop.clone()).await.map_err(refused)?;
    // Only now: a key that was made and not shown would be of no use to anybody.
    let first = host.first_key().await?;
    announce(context, &format!("{scheme}://{}", running.address()), first.as_ref())?;
    interrupts.next().await;
    context.output.remark("stopping after the running requests; press Ctrl-C again to stop at once");
    stop.cancel();
    let drained = tokio::select! {
        drained = running.ended() => drained,
        () = interrupts.next() => Drained { cut_off: 0 },
    };
    host.local(Visit::default()).close().await?;
    match drained.cut_off {
        0 => Ok(()),
        cut_off => Err(ApiError::new(
            Code::DeadlineExceeded,
            format!("{} did not finish in time and were closed", count(cut_off, "connection")),
        )
        .with_hint("`--drain TIME` sets a longer time")
        .into()),
    }
}

/// Raises the limit on open files to its maximum. The usual 1,024 are fewer than the accepted connections, and the
/// plugins' files come on top.
fn raise_file_descriptors(connections: usize) {
    use rustix::process::{Resource, getrlimit, setrlimit};

    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "failed to raise the limit on open files");
    }
    let open_files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    // Plugins can use half of the open files.
    if open_files / 2 < connections as u64 {
        tracing::warn!(
            open_files,
            connections,
            "the limit on open files is too low for `--connections`; raise `ulimit -Hn`"
        );
    }
}

fn announce(context: &Context, address: &str, first: Option<&NewKey>) -> CliResult {
    let key = first.map(|first| first.key.as_str());
    // One line, so that a program that started this one can read it as soon as it is there.
    if context.output.format() != Format::Table {
        return context.output.print_line(&json!({"address": address, "administrator_key": key}), String::new);
    }
    let mut text = format!("Listening on {address}\n");
    if let Some(key) = key {
        text = format!("{text}Administrator key: {key}\n");
        context.output.remark("Keep this key safe: it is not shown again. `outrigger access key create` makes others.");
    }
    context.output.write_raw(&text)
}

fn refused(error: ServeError) -> CliError {
    let hint = match error {
        ServeError::Pem { .. } => {
            "`--tls-certificate` and `--tls-key` name files in PEM: the chain, and the private key"
        }
        ServeError::Tls { .. } => {
            "`--tls-key` names the key of the first certificate in the file of `--tls-certificate`"
        }
        ServeError::Listen { ref source, .. } if source.kind() == ErrorKind::AddrInUse => {
            "another program listens there; choose another port with `--listen ADDRESS:PORT`"
        }
        ServeError::Listen { ref source, .. } if source.kind() == ErrorKind::AddrNotAvailable => {
            "this machine has no such address; name one of its own with `--listen ADDRESS:PORT`"
        }
        ServeError::Socket { .. } => "the socket is in the data directory; `--data DIR` names another one",
        _ => "`--listen ADDRESS:PORT` names another address; port 0 takes a free one",
    };
    ApiError::caused(Code::Io, &error, Some(hint.to_owned())).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_cannot_be_listened_at_comes_with_its_own_advice() {
        let check = |kind: ErrorKind, part: &str| {
            let address = std::net::SocketAddr::from(([127, 0, 0, 1], 7070));
            let CliError::Api(error) = refused(ServeError::Listen { address, source: kind.into() }) else {
                panic!("an error of ours")
            };
            assert!(error.hint.contains(part), "{}", error.hint);
        };
        check(ErrorKind::AddrInUse, "another program listens there");
        check(ErrorKind::AddrNotAvailable, "this machine has no such address");
        check(ErrorKind::PermissionDenied, "names another address");
    }
}
