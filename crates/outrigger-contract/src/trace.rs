//! The place of a request or a call in a trace, as W3C Trace Context writes it in the header `traceparent`.

use std::fmt;
use std::num::{NonZeroU64, NonZeroU128};
use std::str::FromStr;

/// A trace, one span of it, and whether anybody keeps it. Written `00-TRACE-SPAN-FLAGS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceContext {
    /// The trace.
    pub trace: NonZeroU128,
    /// The span of it below which whoever gets this goes on.
    pub span: NonZeroU64,
    /// The trace is sampled.
    pub sampled: bool,
}

/// A text that is no `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid `traceparent`: expected `00-`, 32 hexadecimal digits, `-`, 16 digits, `-`, 2 digits, and no id of all \
     zeros"
)]
pub struct TraceContextError;

const SAMPLED: u8 = 1;

impl FromStr for TraceContext {
    type Err = TraceContextError;

    /// Reads this version and, as far as it is known, any later one.
    fn from_str(text: &str) -> Result<Self, TraceContextError> {
        let mut parts = text.split('-');
        let mut part = |digits: usize| {
            let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            parts.next().filter(|part| part.len() == digits && part.bytes().all(is_digit)).ok_or(TraceContextError)
        };
        let (version, trace, span, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
        let more = parts.next().is_some();
        if version == "ff" || (version == "00" && more) {
            return Err(TraceContextError);
        }
        let id = |_| TraceContextError;
        let trace = u128::from_str_radix(trace, 16).map_err(id)?;
        let span = u64::from_str_radix(span, 16).map_err(id)?;
        let flags = u8::from_str_radix(flags, 16).map_err(id)?;
        Ok(Self {
            trace: NonZeroU128::new(trace).ok_or(TraceContextError)?,
            span: NonZeroU64::new(span).ok_or(TraceContextError)?,
            sampled: flags & SAMPLED != 0,
        })
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, u8::from(self.sampled))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EXAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_header_is_read_and_written_again() {
        let context: TraceContext = EXAMPLE.parse().unwrap();
        assert!(context.sampled);
        assert_eq!(context.to_string(), EXAMPLE);
        let unsampled: TraceContext = EXAMPLE.replace("-01", "-00").parse().unwrap();
        assert!(!unsampled.sampled);
    }

    #[test]
    fn later_versions_may_say_more_and_this_one_may_not() {
        let more = format!("{EXAMPLE}-what-ever");
        assert!(more.replacen("00", "cc", 1).parse::<TraceContext>().is_ok());
        for wrong in [
            more,
            EXAMPLE.replacen("00", "ff", 1),
            EXAMPLE.to_uppercase(),
            EXAMPLE.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            EXAMPLE.replace("00f067aa0ba902b7", &"0".repeat(16)),
            EXAMPLE.replace("-01", ""),
            EXAMPLE.replace("-01", "-+1"),
            String::new(),
        ] {
            assert_eq!(wrong.parse::<TraceContext>(), Err(TraceContextError), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,80}") {
            let _ = text.parse::<TraceContext>();
        }

        #[test]
        fn what_is_written_is_read(trace in 1_u128.., span in 1_u64.., sampled: bool) {
            let context =
                TraceContext { trace: trace.try_into().unwrap(), span: span.try_into().unwrap(), sampled };
            prop_assert_eq!(context.to_string().parse(), Ok(context));
        }
    }
}
