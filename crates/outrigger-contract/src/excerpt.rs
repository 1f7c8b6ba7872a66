//! Texts of plugins in errors, records and logs are cut where they enter: a path of megabytes is no use to a reader, and would
//! be held as often as it is passed on.

/// The longest text of a plugin that is passed on, in bytes.
pub const LONGEST: usize = 1 << 10;

/// The beginning of a text that is too long, with `…` for the rest; any other as it is.
#[must_use]
pub fn excerpt(text: impl Into<String>) -> String {
    cut(text.into(), LONGEST)
}

/// The same with another length, in bytes.
#[must_use]
pub fn cut(mut text: String, longest: usize) -> String {
    if text.len() > longest {
        text.truncate(text.floor_char_boundary(longest));
        text.push('…');
        text.shrink_to_fit();
    }
    text
}

/// The same of a text that is only borrowed: what is cut is never copied.
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
