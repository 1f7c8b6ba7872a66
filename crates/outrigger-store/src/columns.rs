//! How values stand in columns. Only 64-bit integers, text and bytes are used, because all databases agree on those.

use std::fmt::Display;
use std::str::FromStr;

use outrigger_engine::runtime::LogLevel;
use outrigger_engine::store::{CacheOutcome, StoreError};
use serde::Serialize;
use serde::de::value::{Error, StrDeserializer};
use serde::de::{Deserialize, DeserializeOwned, IntoDeserializer};
use time::OffsetDateTime;

/// A moment as nanoseconds since 1970. Moments before 1677 and after 2262 are moved to those years.
pub(crate) fn from_time(at: OffsetDateTime) -> i64 {
    let nanoseconds = at.unix_timestamp_nanos();
    i64::try_from(nanoseconds).unwrap_or(if nanoseconds < 0 { i64::MIN } else { i64::MAX })
}

/// The moment behind [`from_time`], in UTC.
pub(crate) fn to_time(nanoseconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(nanoseconds.into())
        .expect("64 bits of nanoseconds reach from 1677 to 2262, which is in range")
}

/// A count; one that is too large for the column becomes the largest.
pub(crate) fn from_count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The count behind [`from_count`].
pub(crate) fn to_count(what: impl Display, count: i64) -> Result<u64, StoreError> {
    u64::try_from(count).map_err(|_| corrupt(what, format_args!("the count {count} is below zero")))
}

/// A small count, such as that of attempts.
pub(crate) fn to_small_count(what: impl Display, count: i64) -> Result<u32, StoreError> {
    u32::try_from(count).map_err(|_| corrupt(what, format_args!("{count} is not a small count")))
}

/// A name, version, digest or other value that is written as one text.
pub(crate) fn parse<T>(what: impl Display, text: &str) -> Result<T, StoreError>
where
    T: FromStr<Err: Display>,
{
    text.parse().map_err(|error| corrupt(what, error))
}

/// A word of an enum that serde knows by name.
pub(crate) fn to_word<'de, T: Deserialize<'de>>(what: impl Display, word: &'de str) -> Result<T, StoreError> {
    let word: StrDeserializer<'de, Error> = word.into_deserializer();
    T::deserialize(word).map_err(|error| corrupt(what, error))
}

/// A document as JSON text. Text and not the database's own JSON type, which would sort the keys.
pub(crate) fn from_document<T: Serialize + ?Sized>(what: impl Display, document: &T) -> Result<String, StoreError> {
    serde_json::to_string(document).map_err(|error| corrupt(what, error))
}

/// The document behind [`from_document`].
pub(crate) fn to_document<T: DeserializeOwned>(what: impl Display, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| corrupt(what, error))
}

/// A level as a number, so that `level >= ?` means "this level or above".
pub(crate) const fn from_level(level: LogLevel) -> i64 {
    match level {
        LogLevel::Trace => 0,
        LogLevel::Debug => 1,
        LogLevel::Info => 2,
        LogLevel::Warn => 3,
        LogLevel::Error => 4,
    }
}

/// The level behind [`from_level`].
pub(crate) fn to_level(what: impl Display, level: i64) -> Result<LogLevel, StoreError> {
    Ok(match level {
        0 => LogLevel::Trace,
        1 => LogLevel::Debug,
        2 => LogLevel::Info,
        3 => LogLevel::Warn,
        4 => LogLevel::Error,
        _ => return Err(corrupt(what, format_args!("there is no log level {level}"))),
    })
}

/// The cache status, as the word that serde reads.
pub(crate) const fn from_cache(outcome: CacheOutcome) -> &'static str {
    match outcome {
        CacheOutcome::Bypass => "bypass",
        CacheOutcome::Miss => "miss",
        CacheOutcome::Hit => "hit",
        CacheOutcome::Shared => "shared",
    }
}

/// A SHA-256.
pub(crate) fn to_hash(what: impl Display, bytes: &[u8]) -> Result<[u8; 32], StoreError> {
    bytes.try_into().map_err(|_| corrupt(what, format_args!("its hash has {} bytes instead of 32", bytes.len())))
}

/// Short texts that hold no line break, one a line.
pub(crate) fn to_lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

/// A text as it is searched: without regard to the case of letters. By way of upper case, because letters such as `ς`
/// and `σ` differ only in lower case.
pub(crate) fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

/// The folded message for [`crate::dialect::contains`]; none if the database can fold it itself.
pub(crate) fn folded(message: &str) -> Option<String> {
    (!message.is_ascii()).then(|| fold(message))
}

/// A record that was read and makes no sense.
pub(crate) fn corrupt(what: impl Display, reason: impl Display) -> StoreError {
    StoreError::Corrupt { what: what.to_string(), reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn times_keep_their_nanoseconds_and_stay_in_range() {
        let check = |at: OffsetDateTime, expected: OffsetDateTime| assert_eq!(to_time(from_time(at)), expected);
        check(datetime!(2026-11-21 03:50:00.123456789 UTC), datetime!(2026-11-21 03:50:00.123456789 UTC));
        check(datetime!(2026-11-21 05:50:00 +2), datetime!(2026-11-21 03:50:00 UTC));
        check(datetime!(1969-12-31 23:59:59.999999999 UTC), datetime!(1969-12-31 23:59:59.999999999 UTC));
        check(datetime!(9999-12-31 23:59:59 UTC), to_time(i64::MAX));
        check(datetime!(0001-01-01 00:00:00 UTC), to_time(i64::MIN));
    }

    #[test]
    fn words_are_those_that_serde_writes() {
        for outcome in [CacheOutcome::Bypass, CacheOutcome::Miss, CacheOutcome::Hit, CacheOutcome::Shared] {
            assert_eq!(to_word::<CacheOutcome>("a run", from_cache(outcome)).expect("a word"), outcome);
        }
        let error = to_word::<CacheOutcome>("the run 1", "lost").expect_err("no such word").to_string();
        assert!(error.starts_with("the run 1 cannot be read: unknown variant `lost`"), "{error}");
    }

    #[test]
    fn levels_are_ordered() {
        let levels = [LogLevel::Trace, LogLevel::Debug, LogLevel::Info, LogLevel::Warn, LogLevel::Error];
        for (number, level) in levels.into_iter().enumerate() {
            assert_eq!(from_level(level), i64::try_from(number).expect("small"));
            assert_eq!(to_level("a line", from_level(level)).expect("a level"), level);
        }
        assert!(to_level("a line", 5).is_err());
    }

    #[test]
    fn folding_forgets_case_in_every_script() {
        let check = |left: &str, right: &str| assert_eq!(fold(left), fold(right), "{left} and {right}");
        check("Timeout", "tIMEOUT");
        check("ÜBERTRAGUNG", "Übertragung");
        check("ΟΔΥΣΣΕΥΣ", "Οδυσσευς");
        check("straße", "STRASSE");
        check("\u{212a}elvin", "kelvin");
        assert_eq!(folded("plain"), None);
        assert_eq!(folded("Ärger").as_deref(), Some("ärger"));
    }
}
