//! Truncates text from plugins in errors, records and logs on arrival: a path of several megabytes is useless to a
//! reader, and would be copied each time it is passed on.

/// The maximum length of a text from a plugin, in bytes.
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
}
