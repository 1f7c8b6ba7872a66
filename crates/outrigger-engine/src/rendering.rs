//! Renders results as JSON text. Names of fields and cases are repeated, so the text can be a thousand times as large
//! as the value. It is limited, and charged to the call while it is written.

use std::io;

use outrigger_contract::types::json::Rendered;

use crate::account::{Charge, Exceeded};

/// Why rendering failed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Unwritten {
    /// The text is longer than this limit.
    TooLong(usize),
    Memory(Exceeded),
    /// The value is not of its type.
    Misfit,
}

/// Writes a value as JSON text of at most `longest` bytes.
pub(crate) fn text(rendered: &Rendered<'_>, charge: &mut Charge, longest: usize) -> Result<String, Unwritten> {
    // Names and quotes usually take as much space as the data; growing in small steps would take longer.
    let expected = (2 * rendered.value.size() + 16).min(longest);
    let mut text = Text { bytes: Vec::new(), charge, longest, failed: None };
    text.reserve(expected).map_err(|()| text.why())?;
    match serde_json::to_writer(&mut text, rendered) {
        Ok(()) => String::from_utf8(text.bytes).map_err(|_| Unwritten::Misfit),
        Err(_) => Err(text.why()),
    }
}

struct Text<'a> {
    bytes: Vec<u8>,
    charge: &'a mut Charge,
    longest: usize,
    failed: Option<Unwritten>,
}

impl Text<'_> {
    fn why(&self) -> Unwritten {
        self.failed.unwrap_or(Unwritten::Misfit)
    }

    /// Grows the buffer. The old and the new allocation exist at the same time.
    fn reserve(&mut self, more: usize) -> Result<(), ()> {
        let (length, had) = (self.bytes.len(), self.bytes.capacity());
        if length + more <= had {
            return Ok(());
        }
        let wanted = (length + more).max((2 * had).min(self.longest));
        self.charge.grow(wanted).map_err(|exceeded| self.failed = Some(Unwritten::Memory(exceeded)))?;
        self.bytes.reserve_exact(wanted - length);
        self.charge.shrink(had);
        Ok(())
    }
}

impl io::Write for Text<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.longest {
            self.failed = Some(Unwritten::TooLong(self.longest));
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.reserve(bytes.len()).map_err(|()| io::Error::from(io::ErrorKind::OutOfMemory))?;
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
