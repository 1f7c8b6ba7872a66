//! Truncates text from plugins in errors, records and logs on arrival: a path of several megabytes is useless to a
//! reader, and would be copied each time it is passed on.

use std::fmt;

/// Maximum size of a plugin's text that is passed on, in bytes.
pub const LONGEST: usize = 1 << 10;

/// Truncates a text to the maximum length, with `…` for the rest.
#[must_use]
pub fn excerpt(text: impl Into<String>) -> String {
    cut(text.into(), LONGEST)
}

/// Truncates a text to a length in bytes.
#[must_use]
pub fn cut(mut text: String, longest: usize) -> String {
    if text.len() > longest {
        text.truncate(text.floor_char_boundary(longest));
        text.push('…');
        text.shrink_to_fit();
    }
    text
}

/// Truncates a borrowed text to a length in bytes. The rest is never copied.
#[must_use]
pub fn excerpt_of(text: &str) -> String {
    match text.len() > LONGEST {
        true => format!("{}…", &text[..text.floor_char_boundary(LONGEST)]),
        false => text.to_owned(),
    }
}

/// The display text of a value, truncated. No more than the kept part is formatted.
#[must_use]
pub fn excerpt_of_display(value: impl fmt::Display, longest: usize) -> String {
    let mut kept = Kept { text: String::new(), longest };
    // The only error is that the limit was reached.
    match fmt::write(&mut kept, format_args!("{value}")) {
        Ok(()) => kept.text,
        Err(fmt::Error) => kept.text + "…",
    }
}

struct Kept {
    text: String,
    longest: usize,
}

impl fmt::Write for Kept {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        let room = self.longest - self.text.len();
        self.text.push_str(&piece[..piece.floor_char_boundary(room)]);
        if piece.len() > room { Err(fmt::Error) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_cut_between_characters_and_gives_its_memory_back() {
        assert_eq!(excerpt("short"), "short");
        let long = "ä".repeat(1 << 20);
        let cut = excerpt(long.clone());
        assert_eq!(cut, format!("{}…", "ä".repeat(LONGEST / 2)));
        assert!(cut.capacity() < 2 * LONGEST, "{}", cut.capacity());
        assert_eq!(excerpt_of(&long), cut);
    }

    #[test]
    fn s05_no_more_is_written_out_than_is_kept() {
        struct Endless<'a>(&'a std::cell::Cell<usize>);
        impl fmt::Display for Endless<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                loop {
                    self.0.set(self.0.get() + 1);
                    f.write_str("ä")?;
                }
            }
        }
        let written = std::cell::Cell::new(0);
        assert_eq!(excerpt_of_display(Endless(&written), 9), "ääää…");
        assert_eq!(written.get(), 5);
        assert_eq!(excerpt_of_display("short", 9), "short");
    }
}
