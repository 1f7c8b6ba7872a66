//! A bound on what a foreign library reads on its own account: the table of contents of a zip, the headers between two
//! files of a tar. Without it, a small archive could make these libraries fill the memory.

use std::cell::Cell;
use std::io::{self, Read, Seek, SeekFrom};
use std::rc::Rc;

/// The remaining number of bytes to read. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Allowance {
    left: Rc<Cell<Option<u64>>>,
}

impl Allowance {
    pub(super) fn of(bytes: u64) -> Self {
        Self { left: Rc::new(Cell::new(Some(bytes))) }
    }

    /// So many bytes may be read from now on.
    pub(super) fn renew(&self, bytes: u64) {
        self.left.set(Some(bytes));
    }

    /// Reading is not bound any more: what follows was measured in another way.
    pub(super) fn lift(&self) {
        self.left.set(None);
    }

    /// All that was allowed has been read.
    pub(super) fn is_spent(&self) -> bool {
        self.left.get() == Some(0)
    }
}

/// A reader that stops when its allowance is spent.
#[derive(Debug)]
pub(super) struct Metered<R> {
    inner: R,
    allowance: Allowance,
}

impl<R> Metered<R> {
    pub(super) fn new(inner: R, allowance: &Allowance) -> Self {
        Self { inner, allowance: allowance.clone() }
    }
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(left) = self.allowance.left.get() else { return self.inner.read(buffer) };
        if left == 0 && !buffer.is_empty() {
            return Err(io::Error::other("there is more to read between the files than a package needs"));
        }
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.inner.read(&mut buffer[..most])?;
        self.allowance.left.set(Some(left - read as u64));
        Ok(read)
    }
}

impl<R: Seek> Seek for Metered<R> {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.inner.seek(position)
    }
}
