use std::num::NonZeroU32;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::{ByteSize, Rate, Span};

#[track_caller]
fn check_size(text: &str, expected: Result<u64, &str>) {
    let read = text.parse::<ByteSize>().map(ByteSize::as_u64).map_err(|error| error.to_string());
    assert_eq!(read, expected.map_err(str::to_owned));
}

#[test]
fn sizes() {
    check_size("64MiB", Ok(64 << 20));
    check_size("4 MB", Ok(4_000_000));
    check_size("1.5 gib", Ok(3 << 29));
    check_size("0", Ok(0));
    check_size("18446744073709551615", Ok(u64::MAX));
    check_size("18446744073709551616", Err("`18446744073709551616` is too large"));
    check_size("0.3B", Err("`0.3B` is more precise than a byte"));
    let wrong = |value: &str| {
        format!(
            "`{value}` is not a size; write a number and a unit (B, KiB, MiB, GiB, TiB, KB, MB, GB, TB), for example `64MiB`"
        )
    };
    for text in ["", "MiB", "64M", "-1", "1..2B", "1.MiB", "64 MiB extra", "٣"] {
        check_size(text, Err(&wrong(text)));
    }
}

#[track_caller]
fn check_span(text: &str, expected: Option<Duration>) {
    assert_eq!(text.parse::<Span>().map(Span::as_duration).ok(), expected, "{text}");
}

#[test]
fn spans() {
    check_span("30s", Some(Duration::from_secs(30)));
    check_span("5m", Some(Duration::from_secs(300)));
    check_span("1h30m", Some(Duration::from_secs(5_400)));
    check_span("1h 30m", Some(Duration::from_secs(5_400)));
    check_span("250ms", Some(Duration::from_millis(250)));
    check_span("1.5s", Some(Duration::from_millis(1_500)));
    check_span("2", Some(Duration::from_secs(2)));
    check_span("0", Some(Duration::ZERO));
    for text in ["", "s", "30m1h", "1m1m", "1m30", "5 minutes", "-1s", "1M", "0.1ns", "99999999999999999999999d"] {
        check_span(text, None);
    }
}

#[test]
fn rates() {
    let rate: Rate = "100/1m".parse().unwrap();
    assert_eq!((rate.calls().get(), rate.per(), rate.burst().get()), (100, Span::from_secs(60), 100));
    assert_eq!(rate.interval(), Duration::from_millis(600));
    assert_eq!("10/s".parse::<Rate>().unwrap().per(), Span::from_secs(1));
    for text in ["100", "x/1m", "0/1m", "5/0s", "5/", "-1/s"] {
        assert!(text.parse::<Rate>().is_err(), "{text}");
    }
    let table: Rate = serde_json::from_value(json!({ "calls": 100, "per": "1m", "burst": 20 })).unwrap();
    assert_eq!(table.burst().get(), 20);
    assert_eq!(serde_json::to_value(table).unwrap(), json!({ "calls": 100, "per": "1m", "burst": 20 }));
    assert!(serde_json::from_value::<Rate>(json!({ "calls": 1, "per": "1m", "brust": 2 })).is_err());
}

#[test]
fn amounts_are_shown_in_their_largest_exact_unit() {
    assert_eq!(ByteSize::mib(64).to_string(), "64MiB");
    assert_eq!(ByteSize::bytes(4_000_000).to_string(), "4MB");
    assert_eq!(ByteSize::bytes(1_025).to_string(), "1025B");
    assert_eq!(ByteSize::bytes(0).to_string(), "0B");
    assert_eq!(Span::from_secs(90_000).to_string(), "1d1h");
    assert_eq!(Span::from_millis(1_500).to_string(), "1s500ms");
    assert_eq!(Span::ZERO.to_string(), "0s");
}

proptest! {
    #[test]
    fn what_is_written_reads_back_the_same(bytes: u64, seconds: u64, nanoseconds in 0..1_000_000_000_u32) {
        let size = ByteSize::bytes(bytes);
        prop_assert_eq!(size.to_string().parse::<ByteSize>(), Ok(size));
        prop_assert_eq!(serde_json::from_value::<ByteSize>(json!(size)).unwrap(), size);
        prop_assert_eq!(serde_json::from_value::<ByteSize>(json!(bytes)).unwrap(), size);
        let span = Span::new(Duration::new(seconds, nanoseconds));
        prop_assert_eq!(span.to_string().parse::<Span>(), Ok(span));
        prop_assert_eq!(serde_json::from_value::<Span>(json!(span)).unwrap(), span);
    }

    #[test]
    fn rates_read_back_the_same(calls in 1..=u32::MAX, millis in 1..u64::MAX / 2, burst: Option<u32>) {
        let burst = burst.and_then(NonZeroU32::new);
        let rate = Rate::new(NonZeroU32::new(calls).unwrap(), Span::from_millis(millis), burst).unwrap();
        prop_assert_eq!(serde_json::from_value::<Rate>(serde_json::to_value(rate).unwrap()).unwrap(), rate);
    }

    #[test]
    fn reading_never_panics(text in "\\PC{0,40}|[0-9.]{0,40}[a-zA-Z ]{0,4}[0-9]{0,30}") {
        let _ = text.parse::<ByteSize>();
        let _ = text.parse::<Span>();
        let _ = text.parse::<Rate>();
    }
}

#[test]
fn s03_long_amounts_are_refused_in_short() {
    let mega = |text: &str| text.repeat(5_000_000 / text.len());
    for text in [
        mega("1"),
        mega("0"),
        mega(" "),
        format!("0.{}s", mega("0")),
        mega("1d "),
        mega("1/"),
        format!("1{}", mega("x")),
    ] {
        let refused = [
            text.parse::<ByteSize>().err().map(|error| error.to_string()),
            text.parse::<Span>().err().map(|error| error.to_string()),
            text.parse::<Rate>().err().map(|error| error.to_string()),
        ];
        assert!(refused.iter().flatten().all(|error| error.len() < 400), "{}", &text[..10]);
        assert!(refused.iter().flatten().count() >= 2, "{}", &text[..10]);
    }
    for number in ["1e1000000000".to_owned(), "1e308".to_owned(), format!("1{}", "0".repeat(1_000_000))] {
        assert!(serde_json::from_str::<Span>(&number).is_err(), "{}", &number[..4]);
        assert!(serde_json::from_str::<ByteSize>(&number).is_err(), "{}", &number[..4]);
    }
}

#[test]
fn a_size_for_people_is_rounded_up() {
    for (bytes, expected) in [
        (0, "0B"),
        (1_000, "1KB"),
        (1_023, "1023B"),
        (1 << 10, "1KiB"),
        ((1 << 20) + 1, "1.1MiB"),
        (8 << 20, "8MiB"),
        (3 << 29, "1.5GiB"),
        (u64::MAX, "16777216TiB"),
    ] {
        assert_eq!(ByteSize::bytes(bytes).rounded(), expected, "{bytes}");
    }
}
