//! Files as streams.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use rustix::io::{ReadWriteFlags, pwritev2};
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult};
use wasmtime_wasi::runtime::{AbortOnDropJoinHandle, spawn};

use super::space;
use super::work::{Handle, Work};

/// The maximum size of one read or write.
pub(super) const CHUNK: usize = 64 << 10;
/// The size of the read-ahead when a plugin polls before reading.
const AHEAD: usize = 4 << 10;

type Task<T> = AbortOnDropJoinHandle<T>;

/// Reads up to `length` bytes, [`CHUNK`] at most. None at the end of the file.
pub(super) fn read_at(file: &File, length: usize, offset: u64) -> io::Result<BytesMut> {
    let mut buffer = BytesMut::zeroed(length.min(CHUNK));
    loop {
        match file.read_at(&mut buffer, offset) {
            Ok(count) => {
                buffer.truncate(count);
                return Ok(buffer);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Reads a file from an offset.
pub(super) struct Reader {
    file: Arc<Handle>,
    work: Arc<Work>,
    position: u64,
    state: Reading,
}

enum Reading {
    Idle,
    Waiting(Task<Reading>),
    Ready(Bytes),
    Failed(wasmtime::Error),
    Ended,
}

impl Reader {
    pub(super) fn new(file: Arc<Handle>, work: Arc<Work>, position: u64) -> Self {
        Self { file, work, position, state: Reading::Idle }
    }

    fn fetch(&self, length: usize) -> BoxFuture<'static, Reading> {
        let (file, work, position) = (Arc::clone(&self.file), Arc::clone(&self.work), self.position);
        Box::pin(async move {
            match work.run(move || read_at(&file, length, position)).await {
                Ok(Ok(bytes)) if bytes.is_empty() => Reading::Ended,
                Ok(Ok(bytes)) => Reading::Ready(bytes.freeze()),
                Ok(Err(error)) => Reading::Failed(error.into()),
                Err(error) => Reading::Failed(error),
            }
        })
    }
}

#[async_trait::async_trait]
impl InputStream for Reader {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        match &mut self.state {
            Reading::Idle if size > 0 => self.state = Reading::Waiting(spawn(self.fetch(size))),
            Reading::Idle | Reading::Waiting(_) => {}
            Reading::Ready(bytes) => {
                let taken = bytes.split_to(size.min(bytes.len()));
                if bytes.is_empty() {
                    self.state = Reading::Idle;
                }
                self.position += taken.len() as u64;
                return Ok(taken);
            }
            Reading::Failed(_) => {
                if let Reading::Failed(error) = std::mem::replace(&mut self.state, Reading::Ended) {
                    return Err(StreamError::LastOperationFailed(error));
                }
            }
            Reading::Ended => return Err(StreamError::Closed),
        }
        Ok(Bytes::new())
    }

    /// Without a separate task.
    async fn blocking_read(&mut self, size: usize) -> StreamResult<Bytes> {
        if let Reading::Waiting(task) = &mut self.state {
            self.state = task.await;
        }
        if let Reading::Idle = self.state
            && size > 0
        {
            self.state = self.fetch(size).await;
        }
        self.read(size)
    }
}

#[async_trait::async_trait]
impl Pollable for Reader {
    async fn ready(&mut self) {
        if let Reading::Idle = self.state {
            self.state = Reading::Waiting(spawn(self.fetch(AHEAD)));
        }
        if let Reading::Waiting(task) = &mut self.state {
            self.state = task.await;
        }
    }
}

/// The write position.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    At(u64),
    End,
}

/// Writes to a file.
pub(super) struct Writer {
    file: Arc<Handle>,
    work: Arc<Work>,
    place: Place,
    state: Writing,
}

enum Writing {
    Ready,
    Waiting(Task<Result<usize, wasmtime::Error>>),
    Failed(wasmtime::Error),
    Closed,
}

impl Writer {
    pub(super) fn new(file: Arc<Handle>, work: Arc<Work>, place: Place) -> Self {
        Self { file, work, place, state: Writing::Ready }
    }

    fn store(&self, bytes: Bytes) -> BoxFuture<'static, Result<usize, wasmtime::Error>> {
        let (file, work, place) = (Arc::clone(&self.file), Arc::clone(&self.work), self.place);
        Box::pin(async move { Ok(work.run(move || write_all(&file, &bytes, place)).await??) })
    }

    fn conclude(&mut self, outcome: Result<usize, wasmtime::Error>) {
        self.state = match outcome {
            Ok(written) => {
                if let Place::At(position) = &mut self.place {
                    *position += written as u64;
                }
                Writing::Ready
            }
            Err(error) => Writing::Failed(error),
        };
    }

    /// Returns the stored error, once.
    fn check(&mut self) -> StreamResult<()> {
        match &self.state {
            Writing::Ready | Writing::Waiting(_) => Ok(()),
            Writing::Closed => Err(StreamError::Closed),
            Writing::Failed(_) => match std::mem::replace(&mut self.state, Writing::Closed) {
                Writing::Failed(error) => Err(StreamError::LastOperationFailed(error)),
                _ => Err(StreamError::Closed),
            },
        }
    }
}

fn write_all(file: &File, bytes: &[u8], place: Place) -> io::Result<usize> {
    space::check(file, bytes.len() as u64)?;
    match place {
        Place::At(position) => {
            file.write_all_at(bytes, position)?;
            Ok(bytes.len())
        }
        Place::End => {
            let mut written = 0;
            while written < bytes.len() {
                let rest = [io::IoSlice::new(&bytes[written..])];
                written += pwritev2(file, &rest, 0, ReadWriteFlags::APPEND)?;
            }
            Ok(written)
        }
    }
}

#[async_trait::async_trait]
impl OutputStream for Writer {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.check()?;
        if bytes.len() > CHUNK || !matches!(self.state, Writing::Ready) {
            return Err(StreamError::trap("wrote more bytes than `check-write` allowed"));
        }
        self.state = Writing::Waiting(spawn(self.store(bytes)));
        Ok(())
    }

    /// Without a separate task.
    async fn blocking_write_and_flush(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.ready().await;
        self.check()?;
        let outcome = self.store(bytes).await;
        self.conclude(outcome);
        self.check()
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.check()
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.check()?;
        Ok(if matches!(self.state, Writing::Ready) { CHUNK } else { 0 })
    }
}

#[async_trait::async_trait]
impl Pollable for Writer {
    async fn ready(&mut self) {
        if let Writing::Waiting(task) = &mut self.state {
            let outcome = task.await;
            self.conclude(outcome);
        }
    }
}
