//! `{{name}}`: shortens texts. What its functions take and give stands in `wit/world.wit`.

{{#sdk}}
use outrigger_sdk::{configuration, log};

{{/sdk}}
mod bindings {
    wit_bindgen::generate!({ world: "plugin", additional_derives: [PartialEq] });
}

use bindings::exports::example::{{module}}::texts::{Boundary, Guest, ShortenError, Shortened};

{{^sdk}}
const ELLIPSIS: &str = "…";

{{/sdk}}
/// The functions, as the contract has them.
pub struct Plugin;

impl Guest for Plugin {
    fn shorten(text: String, limit: u32, boundary: Option<Boundary>) -> Result<Shortened, ShortenError> {
        let boundary = boundary.unwrap_or(Boundary::Word);
{{#sdk}}
        // plugin.toml gives the default, so there is always a value.
        let ending: Option<String> = configuration::get("ending").expect("plugin.toml allows nothing but a text");
        let shortened = shorten(&text, limit, boundary, &ending.unwrap_or_default())?;
        log::info("shortened", &[("limit", &limit), ("left-out", &shortened.left_out)]);
        Ok(shortened)
{{/sdk}}
{{^sdk}}
        shorten(&text, limit, boundary, ELLIPSIS)
{{/sdk}}
    }
}

/// The work itself calls nothing of the host, so it can be tested natively.
fn shorten(text: &str, limit: u32, boundary: Boundary, ending: &str) -> Result<Shortened, ShortenError> {
    let length = count(text);
    if length <= limit {
        return Ok(Shortened { text: text.to_owned(), left_out: 0 });
    }
    let smallest = count(ending) + 1;
    if limit < smallest {
        return Err(ShortenError::LimitTooSmall(smallest));
    }
    let room = (limit - count(ending)) as usize;
    let end = text.char_indices().nth(room).map_or(text.len(), |(index, _)| index);
    let (mut kept, rest) = text.split_at(end);
    if boundary == Boundary::Word && !rest.starts_with(char::is_whitespace) {
        kept = kept.rsplit_once(char::is_whitespace).map_or(kept, |(words, _)| words);
    }
    let kept = kept.trim_end();
    Ok(Shortened { text: format!("{kept}{ending}"), left_out: length - count(kept) })
}

fn count(text: &str) -> u32 {
    u32::try_from(text.chars().count()).unwrap_or(u32::MAX)
}

// Only a component has exports; a native test has none.
#[cfg(target_arch = "wasm32")]
bindings::export!(Plugin with_types_in bindings);

#[cfg(test)]
mod tests {
    use super::{Boundary, ShortenError, shorten};

    #[track_caller]
    fn check(text: &str, limit: u32, boundary: Boundary, expected: (&str, u32)) {
        let shortened = shorten(text, limit, boundary, "…").expect("the limit is large enough");
        assert_eq!((shortened.text.as_str(), shortened.left_out), expected);
    }

    #[test]
    fn a_text_is_cut_where_it_may_be() {
        check("the quick brown fox", 19, Boundary::Word, ("the quick brown fox", 0));
        check("the quick brown fox", 13, Boundary::Word, ("the quick…", 10));
        check("the quick brown fox", 10, Boundary::Word, ("the quick…", 10));
        check("the quick brown fox", 13, Boundary::Character, ("the quick br…", 7));
        check("über-straße", 5, Boundary::Word, ("über…", 7));
    }

    #[test]
    fn a_limit_that_nothing_fits_is_refused() {
        assert_eq!(shorten("the quick brown fox", 1, Boundary::Word, "…"), Err(ShortenError::LimitTooSmall(2)));
    }
}
