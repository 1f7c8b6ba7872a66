//! Whole numbers that are written with a fraction: to JSON Schema, and to senders that know one kind of number only,
//! `44.0` is the integer 44.

/// The largest number up to which every whole one can be told from its neighbours.
const SURE: f64 = 9_007_199_254_740_991.0;

/// A JSON text with whole numbers written as integers. None if they are already.
pub fn written_whole(json: &[u8]) -> Option<Vec<u8>> {
    let mut written = Vec::with_capacity(json.len());
    let (mut changed, mut quoted, mut place) = (false, false, 0);
    while let Some(&byte) = json.get(place) {
        let length = match byte {
            b'\\' if quoted => 2,
            b'-' | b'0'..=b'9' if !quoted => json[place..].iter().take_while(|byte| is_of_number(**byte)).count(),
            _ => 1,
        };
        quoted ^= byte == b'"';
        let piece = &json[place..json.len().min(place + length)];
        match whole(piece) {
            Some(number) => {
                written.extend_from_slice(number.to_string().as_bytes());
                changed = true;
            }
            None => written.extend_from_slice(piece),
        }
        place += length;
    }
    changed.then_some(written)
}

const fn is_of_number(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')
}

fn whole(piece: &[u8]) -> Option<i64> {
    if piece.len() < 3 || !piece.iter().any(|byte| matches!(byte, b'.' | b'e' | b'E')) {
        return None;
    }
    let number: f64 = std::str::from_utf8(piece).ok()?.parse().ok()?;
    #[expect(clippy::cast_possible_truncation, reason = "it is whole, and not too large")]
    (number.fract() == 0.0 && number.abs() <= SURE).then_some(number as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_written_as_such_and_nothing_else_is_touched() {
        let check = |text: &str, expected: Option<&str>| {
            let written = written_whole(text.as_bytes()).map(|text| String::from_utf8(text).unwrap());
            assert_eq!(written.as_deref(), expected, "{text}");
        };
        check(r#"{"a": 44.0, "b": [-1.50e1, 1E2,0.0]}"#, Some(r#"{"a": 44, "b": [-15, 100,0]}"#));
        check(r#"{"44.0": "1.0 \" 2.0 \\", "c": 3.0}"#, Some(r#"{"44.0": "1.0 \" 2.0 \\", "c": 3}"#));
        for same in ["44", "-1", "1.5", "1e300", "1e-3", "9007199254740993.0", "\"1.0\"", "[]", "\"\\", "{\"a\": true}"]
        {
            check(same, None);
        }
    }
}
