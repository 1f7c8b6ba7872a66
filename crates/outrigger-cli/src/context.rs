//! The context of a command: where results go, and the platform, which is opened on demand, because much of the command
//! line works without one.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use outrigger_api::{ApiError, ApiResult, Code, Platform};
use outrigger_client::Client;
use outrigger_host::{Host, HostOptions, environment, running_server};
use tokio::sync::OnceCell;

use crate::output::Output;

/// The context of a command.
#[derive(Debug)]
pub struct Context {
    /// Where results and remarks go.
    pub output: Output,
    data: Option<PathBuf>,
    missing_data: MissingData,
    server: Option<String>,
    ca_certificate: Option<PathBuf>,
    platform: OnceCell<Arc<dyn Platform>>,
    alone: OnceLock<()>,
}

/// What is done when the data directory from the command line does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MissingData {
    Create,
    Refuse,
}

impl Context {
    /// A context over a server, over a data directory, or over the default one.
    #[must_use]
    pub fn new(output: Output, data: Option<PathBuf>, server: Option<String>) -> Self {
        Self {
            output,
            data,
            missing_data: MissingData::Create,
            server,
            ca_certificate: None,
            platform: OnceCell::new(),
            alone: OnceLock::new(),
        }
    }

    /// The same, where a data directory from the command line must exist.
    #[must_use]
    pub fn refusing_missing_data(self) -> Self {
        Self { missing_data: MissingData::Refuse, ..self }
    }

    /// The same, where the server's certificate may come from an authority whose certificate is in this file.
    #[must_use]
    pub fn trusting(self, ca_certificate: Option<PathBuf>) -> Self {
        Self { ca_certificate, ..self }
    }

    /// The data directory and what else a host needs to know.
    ///
    /// # Errors
    /// There is no default data directory.
    pub fn host_options(&self) -> ApiResult<HostOptions> {
        HostOptions::resolve(self.data.clone())
    }

    /// The platform, opened when it is first asked for: a server that was named, the server that holds the data directory,
    /// or the data directory itself.
    ///
    /// # Errors
    /// The server cannot be reached, or the data directory cannot be used.
    pub async fn platform(&self) -> ApiResult<&Arc<dyn Platform>> {
        let open = || async {
            if let Some(server) = self.named_server() {
                let key = environment::text(environment::KEY);
                let authorities = self.ca_certificate.clone().or_else(|| {
                    // It is there for all servers; one without TLS has no certificate.
                    let has_tls = server.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("https://"));
                    environment::path(environment::CA_CERTIFICATE).filter(|_| has_tls)
                });
                let client = match authorities {
                    Some(file) => Client::trusting(&server, key, &file)?,
                    None => Client::new(&server, key)?,
                };
                return Ok(Arc::new(client) as Arc<dyn Platform>);
            }
            let options = self.host_options()?;
            self.check_data(&options)?;
            Ok(match running_server(&options)? {
                Some(socket) => Arc::new(Client::on_socket(&socket)?),
                None => {
                    let host = Host::open(options).await?;
                    self.alone.get_or_init(|| ());
                    Arc::new(host.session())
                }
            })
        };
        self.platform.get_or_try_init(open).await
    }

    /// A mistyped `--data` must not look like an installation without plugins, nor leave a folder behind. The default
    /// directory, and that of the environment, are empty until something is put into them.
    fn check_data(&self, options: &HostOptions) -> ApiResult<()> {
        if self.data.is_none() || self.missing_data == MissingData::Create || !options.is_without_data() {
            return Ok(());
        }
        let message = format!("there is no Outrigger data in {}", options.data.display());
        Err(ApiError::new(Code::DataDirectory, message).with_hint(
            "check the path after `--data`; `outrigger plugin install` and `outrigger serve` create a data directory",
        ))
    }

    /// The server that was named on the command line or in the environment.
    fn named_server(&self) -> Option<String> {
        match (&self.server, &self.data) {
            (Some(server), _) => Some(server.clone()),
            // A data directory on the command line overrides the environment.
            (None, Some(_)) => None,
            (None, None) => environment::text(environment::SERVER),
        }
    }

    /// For what is done here, whatever a server does: `--server` is refused, and would else be taken to have been heeded.
    ///
    /// # Errors
    /// A server was named on the command line.
    pub fn refuse_server(&self, command: &str) -> ApiResult<()> {
        match self.server {
            None => Ok(()),
            Some(_) => Err(ApiError::new(Code::InvalidUsage, format!("`outrigger {command}` takes no `--server`"))
                .with_hint("the command works only locally; remove `--server`, or run it on the server's machine")),
        }
    }

    /// Refuses `--ca-certificate` where no server is named, which would else be taken to have been heeded.
    ///
    /// # Errors
    /// It was given for no server.
    pub fn refuse_idle_authorities(&self) -> ApiResult<()> {
        match &self.ca_certificate {
            Some(_) if !self.names_server() => {
                Err(ApiError::new(Code::InvalidUsage, "`--ca-certificate` requires `--server`")
                    .with_hint("name the server with `--server`, or remove `--ca-certificate`"))
            }
            _ => Ok(()),
        }
    }

    /// Whether the platform is that of a server somewhere, which does not see the files here.
    #[must_use]
    pub fn names_server(&self) -> bool {
        self.named_server().is_some()
    }

    /// Whether the platform, which was opened, is that of a server.
    #[must_use]
    pub fn has_server(&self) -> bool {
        self.alone.get().is_none()
    }

    /// Has the platform write what is still to be written, if it was ever opened.
    ///
    /// # Errors
    /// It could not be written.
    pub async fn close(&self) -> ApiResult<()> {
        match self.platform.get() {
            Some(platform) => platform.close().await,
            None => Ok(()),
        }
    }
}
