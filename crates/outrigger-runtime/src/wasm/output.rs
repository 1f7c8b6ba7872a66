//! Standard output and standard error of a plugin, which become lines of its log.

use std::sync::Arc;

use bytes::Bytes;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

use super::scope::{LINE_AT_MOST, Output, Scope};

/// One of the two outputs of an instance.
#[derive(Clone, Debug)]
pub(super) struct Lines {
    pub(super) scope: Arc<Scope>,
    pub(super) output: Output,
}

impl IsTerminal for Lines {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Lines {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        // Only WASI 0.3 asks for it, which is not offered.
        Box::new(tokio::io::sink())
    }
}

/// Taking text never blocks, so the stream is always ready.
impl OutputStream for Lines {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        // Splitting text into lines cannot be interrupted.
        if bytes.len() > LINE_AT_MOST {
            return Err(StreamError::trap("wrote more bytes than `check-write` allowed"));
        }
        self.scope.write(self.output, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(LINE_AT_MOST)
    }
}

#[async_trait::async_trait]
impl Pollable for Lines {
    async fn ready(&mut self) {}
}
