//! `{{ name }}`: shortens texts. What its functions take and give stands in `wit/world.wit`.

{% if sdk %}
use outrigger_sdk::{configuration, log};

{% endif %}
mod bindings {
    wit_bindgen::generate!({ world: "plugin", additional_derives: [PartialEq] });
}

use bindings::exports::example::{{ name | snake }}_plugin::texts;
use texts::{Boundary, Guest, ShortenError, Shortened};

{% if not sdk %}
const ELLIPSIS: &str = "…";

{% endif %}
/// The functions, as the contract has them.
pub struct Plugin;

impl Guest for Plugin {
    fn shorten(
        text: String,
        limit: u32,
        boundary: Option<Boundary>,
    ) -> Result<Shortened, ShortenError> {
        let boundary = boundary.unwrap_or(Boundary::Word);
{% if sdk %}
        // plugin.toml gives the default, so there is always a value.
        let ending: Option<String> =
            configuration::get("ending").expect("plugin.toml allows nothing but a text");
        let shortened = shorten(&text, limit, boundary, &ending.unwrap_or_default())?;
        log::info("shortened", &[("left-out", &shortened.left_out)]);
        Ok(shortened)
{% endif %}
{% if not sdk %}
        shorten(&text, limit, boundary, ELLIPSIS)
{% endif %}
    }
}

/// The work itself calls nothing of the host, so it can be tested natively.
fn shorten(
    text: &str,
    limit: u32,
    boundary: Boundary,
    ending: &str,
) -> Result<Shortened, ShortenError> {
    let length = count(text);
    if length <= limit {
        let text = text.to_owned();
        return Ok(Shortened { text, left_out: 0 });
    }
    let smallest = count(ending) + 1;
    if limit < smallest {
        return Err(ShortenError::LimitTooSmall(smallest));
    }
    let room = (limit - count(ending)) as usize;
    let next = text.char_indices().nth(room);
    let (mut kept, rest) = text.split_at(next.map_or(text.len(), |(index, _)| index));
    if boundary == Boundary::Word
        && !rest.starts_with(char::is_whitespace)
        && let Some((words, _)) = kept.rsplit_once(char::is_whitespace)
    {
        kept = words;
    }
    let kept = kept.trim_end();
    let left_out = length - count(kept);
    let text = format!("{kept}{ending}");
    Ok(Shortened { text, left_out })
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

    const FOX: &str = "the quick brown fox";

    #[track_caller]
    fn check(text: &str, limit: u32, boundary: Boundary, expected: &str, left_out: u32) {
        let shortened = shorten(text, limit, boundary, "…").expect("the limit is large enough");
        assert_eq!(shortened.text, expected);
        assert_eq!(shortened.left_out, left_out);
    }

    #[test]
    fn a_text_is_cut_where_it_may_be() {
        check(FOX, 19, Boundary::Word, FOX, 0);
        check(FOX, 13, Boundary::Word, "the quick…", 10);
        check(FOX, 10, Boundary::Word, "the quick…", 10);
        check(FOX, 13, Boundary::Character, "the quick br…", 7);
        check("über-straße", 5, Boundary::Word, "über…", 7);
    }

    #[test]
    fn a_limit_that_nothing_fits_is_refused() {
        let refused = shorten(FOX, 1, Boundary::Word, "…");
        assert_eq!(refused, Err(ShortenError::LimitTooSmall(2)));
    }
}
