//! ETags: what a change may be made to depend on, so that nobody overwrites what they have not seen.

use http::HeaderValue;
use outrigger_api::{ApiError, ApiResult, Code, Fingerprint};

/// The state of a thing, as a short text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ETag(String);

impl ETag {
    /// From letters, digits, `-` and the like; no quotes.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Of what looks like this.
    pub fn of(fingerprint: Fingerprint) -> Self {
        Self(fingerprint.to_string())
    }

    pub fn header(&self) -> ApiResult<HeaderValue> {
        crate::endpoint::header_value(&format!("\"{}\"", self.0))
    }
}

/// The condition in `If-Match`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Demand {
    /// Nothing: the header was not sent.
    Nothing,
    /// That there is something at all.
    Something,
    /// That it is in one of these states.
    OneOf(Vec<String>),
}

impl Demand {
    /// Reads `If-Match`: `*`, or ETags in quotes with commas between them.
    ///
    /// # Errors
    /// `invalid_usage` where it is neither.
    pub fn read(header: Option<&HeaderValue>) -> ApiResult<Self> {
        let Some(header) = header else { return Ok(Self::Nothing) };
        let wrong = || {
            ApiError::new(Code::InvalidUsage, "`If-Match` is neither `*` nor an ETag")
                .with_hint("send the ETag just as it was received, with its quotes")
        };
        let text = header.to_str().map_err(|_| wrong())?.trim();
        if text == "*" {
            return Ok(Self::Something);
        }
        list(text).map(Self::OneOf).ok_or_else(wrong)
    }

    /// Holds the present state against the demand.
    ///
    /// # Errors
    /// `precondition_failed`.
    pub fn check(&self, present: &ETag) -> ApiResult<()> {
        match self {
            Self::OneOf(tags) if !tags.contains(&present.0) => Err(failed()),
            _ => Ok(()),
        }
    }

    /// The precondition of a change that may create an object. None without a condition; otherwise what is present,
    /// which is then held on to: a change by somebody else fails `*`, too. Where nothing is present, the platform
    /// refuses the change: it can tell whether there could be anything of that name.
    ///
    /// # Errors
    /// `precondition_failed`.
    pub fn expected(&self, present: Option<Fingerprint>) -> ApiResult<Option<Fingerprint>> {
        if *self == Self::Nothing {
            return Ok(None);
        }
        match present {
            Some(present) => self.check(&ETag::of(present)).map(|()| Some(present)),
            None => Ok(Some(Fingerprint::of_nothing())),
        }
    }
}

/// ETags with commas between them. There may be commas within the quotes too, so it is read from left to right. A weak
/// one matches nothing, and is left out.
fn list(mut rest: &str) -> Option<Vec<String>> {
    let mut tags = Vec::new();
    loop {
        let strong = rest.strip_prefix("W/").unwrap_or(rest);
        let (tag, after) = strong.strip_prefix('"')?.split_once('"')?;
        if !tag.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        if strong.len() == rest.len() {
            tags.push(tag.to_owned());
        }
        let after = after.trim_start();
        if after.is_empty() {
            return Some(tags);
        }
        rest = after.strip_prefix(',')?.trim_start();
    }
}

/// For a change that was made to depend on what was seen. Who was late by their own ETag is told so: there is nothing any
/// more, or somebody was quicker, after it was looked at.
pub fn stale(error: ApiError) -> ApiError {
    if error.code == Code::Conflict { failed() } else { error }
}

fn failed() -> ApiError {
    ApiError::new(
        Code::PreconditionFailed,
        "the object was changed since it was read: its ETag does not match `If-Match`",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_change_is_to_depend_on() {
        let role: outrigger_api::RoleInfo = serde_json::from_value(serde_json::json!({
            "name": "a", "description": "", "allow": [], "deny": [], "built_in": false,
        }))
        .unwrap();
        let seen = role.fingerprint();
        let one_of = |tag: String| Demand::OneOf(vec![tag]);
        let code = |demand: Demand, present| demand.expected(present).map_err(|error| error.code);
        assert_eq!(code(Demand::Nothing, None), Ok(None));
        assert_eq!(code(Demand::Nothing, Some(seen)), Ok(None));
        for demand in [Demand::Something, one_of(seen.to_string())] {
            assert_eq!(code(demand.clone(), None), Ok(Some(Fingerprint::of_nothing())));
            assert_eq!(code(demand, Some(seen)), Ok(Some(seen)));
        }
        assert_eq!(code(one_of("other".to_owned()), Some(seen)), Err(Code::PreconditionFailed));
    }

    #[test]
    fn demands() {
        let read = |text: &'static str| Demand::read(Some(&HeaderValue::from_static(text)));
        assert_eq!(Demand::read(None), Ok(Demand::Nothing));
        assert_eq!(read("*"), Ok(Demand::Something));
        assert_eq!(read("\"1\", \"2\""), Ok(Demand::OneOf(vec!["1".into(), "2".into()])));
        assert_eq!(read("\"a,b\" ,W/\"c\",\"d\""), Ok(Demand::OneOf(vec!["a,b".into(), "d".into()])));
        for wrong in ["1", "\"1\" \"2\"", "*, \"1\"", "", "\"1", "\"1\",", "w/\"1\"", "\"a\"b\"", "\"a b\""] {
            assert_eq!(read(wrong).unwrap_err().code, Code::InvalidUsage, "{wrong}");
        }
        assert_eq!(read("\"1\"").unwrap().check(&ETag::new("1")), Ok(()));
        assert_eq!(read("W/\"1\"").unwrap().check(&ETag::new("1")).unwrap_err().code, Code::PreconditionFailed);
        assert_eq!(read("\"1\"").unwrap().check(&ETag::new("2")).unwrap_err().code, Code::PreconditionFailed);
    }
}
