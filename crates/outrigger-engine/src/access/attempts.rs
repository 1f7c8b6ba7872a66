//! Wrong keys: rate limit per address, and log lines about them.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use parking_lot::Mutex;

/// Wrong keys from one address: this many at once, and some more each second. No rate makes 256 random bits guessable;
/// the limit is for the noise, and wide enough for a team behind one address.
const BURST: NonZeroU32 = NonZeroU32::new(1_000).expect("1000 is not zero");
const INTERVAL: Duration = Duration::from_millis(50);

/// The interval between two log lines about an address. The second one has the count since the first.
const LINE_PERIOD: Duration = Duration::from_mins(1);
/// Maximum number of addresses named in the log. Wrong keys from further addresses are counted together.
const MOST_ADDRESSES: usize = 50;
/// Maximum number of addresses with a limit of their own. Further addresses share one, until some are forgotten.
const MOST_LIMITED: usize = 100_000;

/// Counts wrong keys by address.
#[derive(Debug)]
pub struct Attempts {
    clock: DefaultClock,
    limiter: DefaultKeyedRateLimiter<Option<IpAddr>>,
    reports: Mutex<Reports>,
}

impl Default for Attempts {
    fn default() -> Self {
        let quota = Quota::with_period(INTERVAL).expect("the interval is longer than nothing").allow_burst(BURST);
        let limiter = RateLimiter::keyed(quota);
        Self { clock: DefaultClock::default(), limiter, reports: Mutex::default() }
    }
}

impl Attempts {
    /// Counts a wrong key, and logs it: the first one of an address at once, those of the next minute in one line.
    /// `expired` is the name of an expired key.
    ///
    /// # Errors
    /// There were too many from this address; the time after which one more may be tried.
    pub fn failed(&self, from: Option<IpAddr>, expired: Option<&str>) -> Result<(), Duration> {
        // An IPv6 user has a whole /64. A site has a /48, which the log names.
        let site = from.map(|address| network(address, 48));
        let line = self.reports.lock().note(site, expired, Instant::now());
        line.into_iter().for_each(Line::log);
        let mut from = from.map(|address| network(address, 64));
        if self.limiter.len() >= MOST_LIMITED {
            from = Some(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
        }
        self.limiter.check_key(&from).map_err(|not_until| not_until.wait_time_from(self.clock.now()))
    }

    /// Logs the counts whose minute is over, and forgets addresses without recent wrong keys.
    pub fn tidy(&self) {
        self.limiter.retain_recent();
        self.limiter.shrink_to_fit();
        self.report(Some(Instant::now()));
    }

    /// Logs all remaining counts, at shutdown.
    pub fn close(&self) {
        self.report(None);
    }

    fn report(&self, now: Option<Instant>) {
        let lines = self.reports.lock().due(now);
        lines.into_iter().for_each(Line::log);
    }
}

/// Counts that are not logged yet.
#[derive(Debug, Default)]
struct Reports {
    of: HashMap<Option<IpAddr>, Count>,
    /// Counts of addresses that are not tracked.
    others: Option<Count>,
}

/// Wrong keys since the last line about them.
#[derive(Debug)]
struct Count {
    last_line: Instant,
    keys: u64,
    expired: Option<String>,
}

/// One line of the log.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    from: Source,
    keys: u64,
    expired: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Address(IpAddr),
    Socket,
    Others,
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Socket => f.write_str("the local socket"),
            Self::Others => f.write_str("other addresses"),
        }
    }
}

impl Line {
    fn log(self) {
        let Self { from, keys, expired } = self;
        tracing::warn!(%from, keys, expired, "refused wrong keys");
    }
}

impl Count {
    fn line(&mut self, from: Source, now: Instant) -> Line {
        self.last_line = now;
        Line { from, keys: std::mem::take(&mut self.keys), expired: self.expired.take() }
    }

    fn is_over(&self, now: Option<Instant>) -> bool {
        now.is_none_or(|now| now.duration_since(self.last_line) >= LINE_PERIOD)
    }
}

impl Reports {
    /// Counts a wrong key, and returns the line to log, if any.
    fn note(&mut self, from: Option<IpAddr>, expired: Option<&str>, now: Instant) -> Option<Line> {
        let full = self.of.len() >= MOST_ADDRESSES;
        let (source, present) = match self.of.get_mut(&from) {
            Some(count) => (source(from), Some(count)),
            None if full => (Source::Others, self.others.as_mut()),
            None => (source(from), None),
        };
        if let Some(count) = present {
            count.keys += 1;
            if expired.is_some() {
                count.expired = expired.map(str::to_owned);
            }
            return count.is_over(Some(now)).then(|| count.line(source, now));
        }
        let mut first = Count { last_line: now, keys: 1, expired: expired.map(str::to_owned) };
        let line = first.line(source, now);
        match source {
            Source::Others => self.others = Some(first),
            Source::Address(_) | Source::Socket => drop(self.of.insert(from, first)),
        }
        Some(line)
    }

    /// The lines that are due at a time, or all lines without a time. Forgets addresses without wrong keys for a
    /// minute.
    fn due(&mut self, now: Option<Instant>) -> Vec<Line> {
        let at = now.unwrap_or_else(Instant::now);
        let mut lines = Vec::new();
        self.of.retain(|from, count| {
            let over = count.is_over(now);
            if over && count.keys > 0 {
                lines.push(count.line(source(*from), at));
                return true;
            }
            !over
        });
        if let Some(count) = self.others.as_mut().filter(|count| count.is_over(now)) {
            match count.keys {
                0 => self.others = None,
                _ => lines.push(count.line(Source::Others, at)),
            }
        }
        lines
    }
}

/// The network of an IPv6 address with this prefix length; an IPv4 address is returned unchanged.
fn network(address: IpAddr, bits: u32) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & !(u128::MAX >> bits)).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

fn source(from: Option<IpAddr>) -> Source {
    from.map_or(Source::Socket, Source::Address)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn address(number: u32) -> Option<IpAddr> {
        Some(IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + number)))
    }

    fn line(from: Source, keys: u64) -> Line {
        Line { from, keys, expired: None }
    }

    #[test]
    fn s20_an_address_has_one_line_a_minute_with_the_count() {
        let (mut reports, start) = (Reports::default(), Instant::now());
        let (at, source) = (|seconds| start + Duration::from_secs(seconds), source(address(1)));
        assert_eq!(reports.note(address(1), None, at(0)), Some(line(source, 1)), "the first one is said at once");
        for second in 1..60 {
            assert_eq!(reports.note(address(1), None, at(second)), None);
        }
        assert_eq!(reports.due(Some(at(59))), []);
        assert_eq!(reports.due(Some(at(60))), [line(source, 59)]);
        assert_eq!(reports.note(address(1), None, at(119)), None);
        assert_eq!(reports.note(address(1), None, at(120)), Some(line(source, 2)));
        assert_eq!(reports.due(Some(at(180))), []);
        assert!(reports.of.is_empty(), "a quiet address is forgotten");
    }

    #[test]
    fn s20_the_addresses_that_are_remembered_are_bounded() {
        let (mut reports, now) = (Reports::default(), Instant::now());
        let most = u32::try_from(MOST_ADDRESSES).unwrap();
        let lines = (0..most + 500).filter_map(|number| reports.note(address(number), None, now)).count();
        assert_eq!(lines, MOST_ADDRESSES + 1, "one each, and one for all the others");
        assert_eq!(reports.of.len(), MOST_ADDRESSES);
        assert_eq!(reports.due(Some(now + LINE_PERIOD)), [line(Source::Others, 499)]);
    }

    #[test]
    fn s20_a_site_with_many_networks_is_one_address_in_the_log_and_limited_in_all() {
        let attempts = Attempts::default();
        let in_site = |number: u128| IpAddr::V6(((0x2001_0db8_0001_u128 << 80) | (number << 64) | number).into());
        for number in 0..(1 << 16) {
            assert_eq!(attempts.failed(Some(in_site(number)), None), Ok(()), "each /64 has a limit of its own");
        }
        assert_eq!(attempts.reports.lock().of.len(), 1);
        let anywhere = |number: u128| IpAddr::V6(((0x2001_0db9_u128 << 96) | (number << 64)).into());
        let refused = (0..40_000).filter(|number| attempts.failed(Some(anywhere(*number)), None).is_err()).count();
        assert!(refused > 1_000, "{refused} were refused of those beyond");
        assert!(attempts.limiter.len() <= MOST_LIMITED + 1, "{}", attempts.limiter.len());
        assert!(attempts.reports.lock().of.len() <= MOST_ADDRESSES);
    }

    #[test]
    fn s20_a_process_that_ends_says_what_it_has_counted() {
        let (mut reports, now) = (Reports::default(), Instant::now());
        for number in [1, 1, 1, 2] {
            reports.note(address(number), None, now);
        }
        assert_eq!(reports.due(None), [line(source(address(1)), 2)]);
        assert_eq!(reports.due(None), []);
    }

    #[test]
    fn s20_an_expired_key_is_named_and_a_socket_too() {
        let (mut reports, now) = (Reports::default(), Instant::now());
        let first = reports.note(None, Some("ci"), now).unwrap();
        assert_eq!(first, Line { from: Source::Socket, keys: 1, expired: Some("ci".to_owned()) });
        reports.note(None, Some("ci"), now);
        reports.note(None, None, now);
        let later = reports.due(Some(now + LINE_PERIOD));
        assert_eq!(later, [Line { from: Source::Socket, keys: 2, expired: Some("ci".to_owned()) }]);
    }
}
