//! Renders results as JSON text. Names of fields and cases are repeated, so the text can be a thousand times as large
//! as the value. It is limited, and charged to the call while it is written.

use std::io;

use outrigger_contract::types::json::Rendered;

use crate::account::{Account, Charge, Exceeded};

/// Why rendering failed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Unwritten {
    /// The text is longer than this limit.
    TooLong(usize),
    Memory(Exceeded),
    /// The value is not of its type.
    Misfit,
}

/// The first allocation, in bytes. It is enough for most results.
const FIRST: usize = 1 << 10;
/// The most that is allocated first for a large result, in bytes.
const FIRST_AT_MOST: usize = 256 << 10;
/// Texts up to this size, in bytes, are not charged.
const SMALL: usize = 4 << 10;

/// Writes a value as JSON text of at most `longest` bytes. The text stays charged as long as the account exists.
pub(crate) fn text(rendered: Rendered<'_>, account: &Account, longest: usize) -> Result<String, Unwritten> {
    // A call that holds nothing has a small result. Names, quotes and base64 take about half as much again as the data.
    let expected = if account.held() == 0 { FIRST } else { rendered.value.size() * 3 / 2 };
    let expected = expected.clamp(FIRST, FIRST_AT_MOST);
    let capacity = expected.min(longest);
    let charge = (capacity > SMALL).then(|| account.charge(capacity)).transpose().map_err(Unwritten::Memory)?;
    let mut text = Text { bytes: Vec::with_capacity(capacity), account, charge, longest, failed: None };
    let written = rendered.write(&mut text);
    let Text { bytes, charge, failed, .. } = text;
    if written.is_err() {
        return Err(failed.unwrap_or(Unwritten::Misfit));
    }
    if let Some(charge) = charge {
        charge.keep();
    }
    String::from_utf8(bytes).map_err(|_| Unwritten::Misfit)
}

/// Its capacity never exceeds `longest`.
struct Text<'a> {
    bytes: Vec<u8>,
    account: &'a Account,
    /// For the buffer, unless that is small.
    charge: Option<Charge>,
    longest: usize,
    failed: Option<Unwritten>,
}

impl Text<'_> {
    /// Grows the buffer to at least twice its size. The old and the new allocation exist at the same time.
    #[cold]
    fn grow(&mut self, more: usize) -> io::Result<()> {
        let (needed, had) = (self.bytes.len().saturating_add(more), self.bytes.capacity());
        if needed > self.longest {
            self.failed = Some(Unwritten::TooLong(self.longest));
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        // The last step goes to the limit, so that the two largest allocations differ by half.
        let doubled = needed.max(2 * had);
        let wanted = if doubled > self.longest / 2 { self.longest } else { doubled };
        let charge = match wanted > SMALL {
            true => Some(self.account.charge(wanted).map_err(|exceeded| {
                self.failed = Some(Unwritten::Memory(exceeded));
                io::Error::from(io::ErrorKind::OutOfMemory)
            })?),
            false => None,
        };
        self.bytes.reserve_exact(wanted - self.bytes.len());
        // Replaces that of the old allocation, which is gone now.
        self.charge = charge;
        Ok(())
    }
}

impl io::Write for Text<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes)?;
        Ok(bytes.len())
    }

    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() > self.bytes.capacity() - self.bytes.len() {
            self.grow(bytes.len())?;
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
