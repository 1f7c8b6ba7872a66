//! Limits as comparable amounts: limits that a manifest raises above the defaults, granted limits, and the operator's
//! ceiling.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::manifest::{InstancePolicy, Limits, Manifest};
use crate::units::{ByteSize, Span};

/// A limit that a manifest can raise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LimitKind {
    Memory,
    Timeout,
    Cpu,
    Output,
    Concurrency,
    Instances,
    LogLines,
    State,
}

impl LimitKind {
    pub const ALL: [Self; 8] = [
        Self::Memory,
        Self::Timeout,
        Self::Cpu,
        Self::Output,
        Self::Concurrency,
        Self::Instances,
        Self::LogLines,
        Self::State,
    ];

    /// Its name, as in `[limits]` of a manifest.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Timeout => "timeout",
            Self::Cpu => "cpu",
            Self::Output => "output",
            Self::Concurrency => "concurrency",
            Self::Instances => "instances",
            Self::LogLines => "log-lines",
            Self::State => "state",
        }
    }

    /// The default, which needs no approval: bytes, nanoseconds or a number.
    #[must_use]
    pub fn default_amount(self) -> u64 {
        let limits = Limits::default();
        match self {
            Self::Memory => limits.memory.as_u64(),
            Self::Timeout | Self::Cpu => nanoseconds(limits.timeout),
            Self::Output => limits.output.as_u64(),
            Self::Concurrency => limits.concurrency.get().into(),
            Self::Instances => InstancePolicy::default_instances().get().into(),
            Self::LogLines => limits.log_lines.into(),
            Self::State => limits.state.as_u64(),
        }
    }

    /// The amount in a manifest.
    fn asked(self, manifest: &Manifest) -> u64 {
        let limits = &manifest.limits;
        let timeout = || {
            let of_functions = manifest.functions.values().filter_map(|function| function.timeout);
            nanoseconds(of_functions.fold(limits.timeout, Ord::max))
        };
        match self {
            Self::Memory => limits.memory.as_u64(),
            Self::Timeout => timeout(),
            Self::Cpu => limits.cpu.map_or_else(timeout, |cpu| nanoseconds(cpu).min(timeout())),
            Self::Output => limits.output.as_u64(),
            Self::Concurrency => limits.concurrency.get().into(),
            Self::Instances => match manifest.runtime.instances {
                InstancePolicy::Fresh => 0,
                InstancePolicy::Warm { max_instances, .. } => max_instances.get().into(),
            },
            Self::LogLines => limits.log_lines.into(),
            Self::State => limits.state.as_u64(),
        }
    }

    /// An amount with its unit.
    #[must_use]
    pub fn show(self, amount: u64) -> String {
        match self {
            Self::Memory | Self::Output | Self::State => ByteSize::bytes(amount).to_string(),
            Self::Timeout | Self::Cpu => Span::new(Duration::from_nanos(amount)).to_string(),
            Self::Concurrency | Self::Instances | Self::LogLines => amount.to_string(),
        }
    }

    /// Parses the format of [`LimitKind::show`].
    fn read(self, text: &str) -> Result<u64, String> {
        let words = |error: &dyn fmt::Display| error.to_string();
        match self {
            Self::Memory | Self::Output | Self::State => {
                text.parse::<ByteSize>().map(ByteSize::as_u64).map_err(|error| words(&error))
            }
            Self::Timeout | Self::Cpu => text.parse().map(nanoseconds).map_err(|error| words(&error)),
            Self::Concurrency | Self::Instances | Self::LogLines => {
                text.parse::<u32>().map(Into::into).map_err(|_| format!("`{text}` is not a number"))
            }
        }
    }

    /// As a sentence that follows "this plugin asks to".
    fn describe(self, amount: u64) -> String {
        let (shown, default) = (self.show(amount), self.show(self.default_amount()));
        let wish = match self {
            Self::Memory => format!("use {shown} of memory in each instance"),
            Self::Timeout => format!("run for {shown} in a call"),
            Self::Cpu => format!("use {shown} of CPU time in a call"),
            Self::Output => format!("return results of {shown}"),
            Self::Concurrency => format!("run {shown} calls at once"),
            Self::Instances => format!("keep {shown} instances in memory between calls"),
            Self::LogLines => format!("write {shown} log lines in a call"),
            Self::State => format!("keep {shown} of state"),
        };
        format!("{wish} (default: {default})")
    }
}

impl FromStr for LimitKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::as_str).join(", ");
            format!("there is no limit `{}`; the limits are {names}", crate::name::shorten(text))
        })
    }
}

impl fmt::Display for LimitKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

fn nanoseconds(span: Span) -> u64 {
    u64::try_from(span.as_duration().as_nanos()).unwrap_or(u64::MAX)
}

/// The space that plugins leave to the server and to others on a disk of this size, in bytes: 5 %, at least 32 MiB and at
/// most 256 MiB, but never more than half.
#[must_use]
pub fn disk_share(total: u64) -> u64 {
    (total / 20).clamp(32 << 20, 256 << 20).min(total / 2)
}

fn span(nanoseconds: u64) -> Span {
    Span::new(Duration::from_nanos(nanoseconds))
}

/// Amounts of some limits. Missing limits have their defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RaisedLimits(BTreeMap<LimitKind, u64>);

impl RaisedLimits {
    /// The limits that a manifest raises above the defaults.
    #[must_use]
    pub fn of(manifest: &Manifest) -> Self {
        let asked = LimitKind::ALL.into_iter().map(|kind| (kind, kind.asked(manifest)));
        Self(asked.filter(|(kind, amount)| *amount > kind.default_amount()).collect())
    }

    /// Whether no limit is raised.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn amount(&self, kind: LimitKind) -> u64 {
        self.0.get(&kind).copied().unwrap_or_else(|| kind.default_amount())
    }

    /// Those of `self` that are higher than what was granted.
    #[must_use]
    pub fn beyond(&self, granted: &Self) -> Self {
        let higher = self.0.iter().filter(|(kind, amount)| **amount > granted.amount(**kind));
        Self(higher.map(|(kind, amount)| (*kind, *amount)).collect())
    }

    /// Each as a sentence that follows "this plugin asks to".
    #[must_use]
    pub fn describe(&self) -> Vec<String> {
        self.0.iter().map(|(kind, amount)| kind.describe(*amount)).collect()
    }
}

impl Serialize for RaisedLimits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(kind, amount)| (kind.as_str(), kind.show(*amount))))
    }
}

impl<'de> Deserialize<'de> for RaisedLimits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let texts = BTreeMap::<String, String>::deserialize(deserializer)?;
        let read = |(name, text): (String, String)| -> Result<(LimitKind, u64), String> {
            let kind: LimitKind = name.parse()?;
            Ok((kind, kind.read(&text)?))
        };
        texts.into_iter().map(read).collect::<Result<_, String>>().map(Self).map_err(serde::de::Error::custom)
    }
}

/// The operator's upper bound for granted limits. A manifest above it is refused; a plugin with an older, higher grant
/// runs with the ceiling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ceiling(BTreeMap<LimitKind, u64>);

impl Default for Ceiling {
    fn default() -> Self {
        let amount = |kind| match kind {
            LimitKind::Memory | LimitKind::State => ByteSize::gib(1).as_u64(),
            LimitKind::Timeout => nanoseconds(Limits::MAX_TIMEOUT),
            LimitKind::Cpu => nanoseconds(Span::from_secs(3_600)),
            LimitKind::Output => ByteSize::mib(64).as_u64(),
            LimitKind::Concurrency => 1_000,
            LimitKind::Instances => 64,
            LimitKind::LogLines => 100_000,
        };
        Self(LimitKind::ALL.into_iter().map(|kind| (kind, amount(kind))).collect())
    }
}

/// The text is not a ceiling.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}; write limits as in `memory=512MiB,concurrency=100`")]
pub struct CeilingError {
    pub reason: String,
}

impl Ceiling {
    /// The highest amount of a limit.
    #[must_use]
    pub fn amount(&self, kind: LimitKind) -> u64 {
        self.0.get(&kind).copied().unwrap_or(u64::MAX)
    }

    /// The highest wall clock of a call.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        Duration::from_nanos(self.amount(LimitKind::Timeout))
    }

    /// Sets limits from a text such as `memory=512MiB,concurrency=100`; the other limits are unchanged.
    ///
    /// # Errors
    /// The limit is unknown, or its amount is invalid.
    pub fn set(&mut self, text: &str) -> Result<(), CeilingError> {
        let wrong = |reason: String| CeilingError { reason };
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let Some((name, amount)) = part.split_once('=') else {
                return Err(wrong(format!("`{}` has no value", crate::name::shorten(part))));
            };
            let kind: LimitKind = name.trim().parse().map_err(wrong)?;
            let amount = kind.read(amount.trim()).map_err(wrong)?;
            let least = match kind {
                LimitKind::Memory => Limits::MIN_MEMORY.as_u64(),
                LimitKind::Timeout | LimitKind::Cpu => nanoseconds(Span::from_millis(1)),
                LimitKind::Output | LimitKind::Concurrency | LimitKind::Instances => 1,
                LimitKind::LogLines | LimitKind::State => 0,
            };
            if amount < least {
                return Err(wrong(format!("`{kind}` must be at least {}", kind.show(least))));
            }
            self.0.insert(kind, amount);
        }
        Ok(())
    }

    /// The limits of a manifest above the ceiling, one sentence each with limit, amount and ceiling.
    #[must_use]
    pub fn exceeded_by(&self, manifest: &Manifest) -> Vec<String> {
        let RaisedLimits(raised) = RaisedLimits::of(manifest);
        let exceeds = |(kind, amount): &(LimitKind, u64)| {
            // Without a `cpu` limit, a plugin may compute until its timeout or the ceiling.
            let is_implied = *kind == LimitKind::Cpu && manifest.limits.cpu.is_none();
            *amount > self.amount(*kind) && !is_implied
        };
        let exceeded = raised.into_iter().filter(exceeds);
        exceeded
            .map(|(kind, amount)| {
                format!("`{kind}` of {} is above the ceiling of {}", kind.show(amount), kind.show(self.amount(kind)))
            })
            .collect()
    }

    /// Lowers the limits of a manifest to the ceiling. Returns one sentence for each lowered limit.
    pub fn cap(&self, manifest: &mut Manifest) -> Vec<String> {
        let capped = LimitKind::ALL.into_iter().filter_map(|kind| {
            let (asked, ceiling) = (kind.asked(manifest), self.amount(kind));
            let lowered = || format!("`{kind}` is {} instead of {}", kind.show(ceiling), kind.show(asked));
            (asked > ceiling).then(lowered)
        });
        let capped = capped.collect();
        let computing = LimitKind::Cpu.asked(manifest);
        let number = |kind| u32::try_from(self.amount(kind)).unwrap_or(u32::MAX);
        let positive = |kind| NonZeroU32::new(number(kind)).unwrap_or(NonZeroU32::MIN);
        let bytes = |kind, present: ByteSize| present.min(ByteSize::bytes(self.amount(kind)));
        let time = |kind, present: Span| present.min(span(self.amount(kind)));
        let Limits { memory, timeout, cpu, output, concurrency, log_lines, state } = &mut manifest.limits;
        *memory = bytes(LimitKind::Memory, *memory);
        *timeout = time(LimitKind::Timeout, *timeout);
        *output = bytes(LimitKind::Output, *output);
        *concurrency = (*concurrency).min(positive(LimitKind::Concurrency));
        *log_lines = (*log_lines).min(number(LimitKind::LogLines));
        *state = bytes(LimitKind::State, *state);
        // A caller can extend the timeout of a call, but not its CPU time.
        *cpu = Some(span(computing.min(self.amount(LimitKind::Cpu))));
        for function in manifest.functions.values_mut() {
            function.timeout = function.timeout.map(|timeout| time(LimitKind::Timeout, timeout));
            function.concurrency = function.concurrency.map(|limit| limit.min(positive(LimitKind::Concurrency)));
        }
        if let InstancePolicy::Warm { max_instances, .. } = &mut manifest.runtime.instances {
            *max_instances = (*max_instances).min(positive(LimitKind::Instances));
        }
        capped
    }
}

impl fmt::Display for Ceiling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (kind, amount)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{kind}={}", kind.show(*amount))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(more: &str) -> Manifest {
        let text = format!(
            "name = \"x\"\nversion = \"1.0.0\"\ntitle = \"x\"\ndescription = \"x\"\n[runtime]\nkind = \"wasm\"\n\
             entry = \"x.wasm\"\n{more}"
        );
        Manifest::parse(&text).unwrap_or_else(|error| panic!("{error}"))
    }

    fn check(more: &str, expected: &[&str]) {
        assert_eq!(RaisedLimits::of(&manifest(more)).describe(), expected, "{more}");
    }

    #[test]
    fn s08_what_is_raised_above_the_defaults_is_asked_for() {
        check("", &[]);
        check("[limits]\nmemory = \"64MiB\"\ntimeout = \"5s\"\nlog-lines = 10\n", &[]);
        check("[limits]\nmemory = \"4GiB\"\n", &["use 4GiB of memory in each instance (default: 64MiB)"]);
        check(
            "[limits]\ntimeout = \"1m\"\n",
            &["run for 1m in a call (default: 5s)", "use 1m of CPU time in a call (default: 5s)"],
        );
        check("[limits]\ntimeout = \"1m\"\ncpu = \"2s\"\n", &["run for 1m in a call (default: 5s)"]);
        check("[limits]\ncpu = \"1d\"\n", &[]);
        check("[limits]\noutput = \"1GiB\"\n", &["return results of 1GiB (default: 4MiB)"]);
        check("[limits]\nconcurrency = 10000\n", &["run 10000 calls at once (default: 16)"]);
        check("[limits]\nlog-lines = 1000000\n", &["write 1000000 log lines in a call (default: 1000)"]);
        check("[limits]\nstate = \"16GiB\"\n", &["keep 16GiB of state (default: 1MiB)"]);
        check("instances = \"warm\"\n", &[]);
        check(
            "instances = { warm = { max-instances = 1000 } }\n",
            &["keep 1000 instances in memory between calls (default: 4)"],
        );
        check("[limits]\ncpu = \"1s\"\n[functions.f]\ntimeout = \"1h\"\n", &["run for 1h in a call (default: 5s)"]);
    }

    #[test]
    fn s08_what_was_granted_covers_as_much_and_no_more() {
        let of = |more: &str| RaisedLimits::of(&manifest(more));
        let granted = of("[limits]\nmemory = \"128MiB\"\nconcurrency = 20\n");
        let stored: RaisedLimits =
            serde_json::from_value(serde_json::to_value(&granted).expect("JSON")).expect("it is read back");
        assert_eq!(stored, granted);
        assert!(of("[limits]\nmemory = \"100MiB\"\nconcurrency = 20\n").beyond(&stored).is_empty());
        let beyond = of("[limits]\nmemory = \"256MiB\"\nconcurrency = 20\nstate = \"17MiB\"\n").beyond(&stored);
        let shown = beyond.describe().join("; ");
        assert_eq!(
            shown,
            "use 256MiB of memory in each instance (default: 64MiB); keep 17MiB of state (default: 1MiB)"
        );
    }

    #[test]
    fn s08_a_ceiling_refuses_what_is_above_it_and_caps_what_was_granted_before() {
        let mut ceiling = Ceiling::default();
        let more = "instances = { warm = { max-instances = 50 } }\n[limits]\nmemory = \"4GiB\"\ntimeout = \"2h\"\n\
                    concurrency = 100\n[functions.f]\ntimeout = \"3h\"\nconcurrency = 100\n";
        let mut asked = manifest(more);
        assert_eq!(ceiling.exceeded_by(&asked), ["`memory` of 4GiB is above the ceiling of 1GiB"]);
        ceiling.set("memory=32MiB, concurrency=10,timeout=1h,instances=2").expect("it is one");
        ceiling.set("cpu=30s").expect("it is one");
        let shown =
            "memory=32MiB,timeout=1h,cpu=30s,output=64MiB,concurrency=10,instances=2,log-lines=100000,state=1GiB";
        assert_eq!(ceiling.to_string(), shown);
        // Defaults above the ceiling are capped, not refused.
        assert!(ceiling.exceeded_by(&manifest("")).is_empty());
        assert_eq!(ceiling.exceeded_by(&asked).len(), 4);
        let capped = ceiling.cap(&mut asked);
        assert_eq!(capped[0], "`memory` is 32MiB instead of 4GiB");
        assert_eq!(capped.len(), 5, "{capped:?}");
        let function = asked.functions.values().next().expect("there is one");
        assert_eq!((function.timeout, function.concurrency), (Some(Span::from_secs(3_600)), NonZeroU32::new(10)));
        assert_eq!(asked.limits.cpu, Some(Span::from_secs(30)));
        assert!(
            matches!(asked.runtime.instances, InstancePolicy::Warm { max_instances, .. } if max_instances.get() == 2)
        );
        assert!(ceiling.cap(&mut asked).is_empty());
    }

    #[test]
    fn s08_a_plugin_computes_for_no_longer_than_its_own_timeouts() {
        let cpu = |more: &str| {
            let mut manifest = manifest(more);
            Ceiling::default().cap(&mut manifest);
            manifest.limits.cpu.expect("it is always limited")
        };
        assert_eq!(cpu(""), Span::from_secs(5));
        assert_eq!(cpu("[limits]\ntimeout = \"9s\"\n[functions.f]\ntimeout = \"7s\"\n"), Span::from_secs(9));
        assert_eq!(cpu("[functions.f]\ntimeout = \"7s\"\n"), Span::from_secs(7));
        assert_eq!(cpu("[limits]\ncpu = \"2s\"\n"), Span::from_secs(2));
        assert_eq!(cpu("[limits]\ncpu = \"1h\"\n"), Span::from_secs(5));
    }

    #[test]
    fn s08_a_text_that_is_not_a_ceiling_is_refused_with_what_is_wrong() {
        for (text, part) in [
            ("memry=1GiB", "there is no limit `memry`"),
            ("memory", "`memory` has no value"),
            ("memory=big", "`big` is not a size"),
            ("concurrency=0", "`concurrency` must be at least 1"),
            ("memory=1KiB", "`memory` must be at least 64KiB"),
            ("timeout=-1s", "is not a duration"),
        ] {
            let error = Ceiling::default().set(text).expect_err(text).to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
