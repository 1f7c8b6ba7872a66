//! Decides which runs are stored individually. Runs above a rate are merged into one run per minute and kind, with a
//! count. Statistics and usage stay exact at any rate, and calls cannot fill the disk.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use outrigger_contract::{Code, FunctionName, PluginName};
use time::OffsetDateTime;

use crate::correlation::CorrelationId;
use crate::quota::Bucket;
use crate::store::{CacheOutcome, Owner, RunRecord, RunSum};

/// The rates up to which runs are stored individually: burst and rate per minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunSampling {
    /// For one function, caller and outcome.
    pub function: Rate,
    /// For all functions of a plugin and one caller, and for all calls that one plugin makes.
    pub account: Rate,
    /// For all calls of one caller that are refused before they reach a plugin.
    pub refused: Rate,
}

/// Burst and rate per minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub burst: u64,
    pub per_minute: u64,
}

impl RunSampling {
    pub const DEFAULT: Self = Self {
        function: Rate { burst: 1_000, per_minute: 60 },
        account: Rate { burst: 1_500, per_minute: 120 },
        refused: Rate { burst: 200, per_minute: 30 },
    };
}

impl Default for RunSampling {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// A run costs one token for each this many bytes.
const UNIT: u64 = 512;
/// Maximum number of kinds of runs for one account and source (such as a plugin and its caller) in a minute. Further
/// kinds are counted as one.
const MOST_KINDS: usize = 64;
/// The maximum number of buckets. Above it, full buckets are forgotten.
const MOST_BUCKETS: usize = 20_000;
/// The name under which runs of further kinds are counted.
const OTHERS: &str = "other";
/// Sources: calls that are refused before they reach a plugin, and calls made by a plugin.
const REFUSED: &str = "refused";
const CALLS: &str = "calls";

/// The kind of a run: runs of the same kind are merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kind<'a> {
    plugin: &'a PluginName,
    function: &'a FunctionName,
    caller: &'a str,
    code: Option<&'static str>,
    cache: CacheOutcome,
    found: bool,
}

/// The kind with its minute.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct SumKey {
    minute: i64,
    plugin: PluginName,
    function: FunctionName,
    caller: String,
    code: Option<&'static str>,
    cache: CacheOutcome,
}

/// Decides which runs are stored individually. Not shared: it belongs to the writing task.
#[derive(Debug)]
pub(super) struct Sampler {
    options: RunSampling,
    functions: HashMap<String, Bucket>,
    accounts: HashMap<String, Bucket>,
    /// The ids of merged runs.
    sums: HashMap<SumKey, CorrelationId>,
    /// The number of kinds of each owner in a minute.
    kinds: HashMap<(i64, Owner), usize>,
    /// The number of runs that were only counted.
    pub(super) summed: u64,
}

impl Sampler {
    pub(super) fn new(options: RunSampling) -> Self {
        Self {
            options,
            functions: HashMap::new(),
            accounts: HashMap::new(),
            sums: HashMap::new(),
            kinds: HashMap::new(),
            summed: 0,
        }
    }

    /// Removes runs above the rates from a batch, and returns the merged runs that replace them.
    pub(super) fn sample(&mut self, runs: &mut Vec<RunRecord>, now: Instant) -> Vec<RunRecord> {
        self.tidy(now);
        let mut counted = vec![false; runs.len()];
        {
            let mut kinds: BTreeMap<Kind<'_>, Vec<usize>> = BTreeMap::new();
            for (place, run) in runs.iter().enumerate() {
                kinds.entry(Kind::of(run)).or_default().push(place);
            }
            for places in kinds.values() {
                self.choose(runs, places, &mut counted, now);
            }
        }
        if !counted.contains(&true) {
            return Vec::new();
        }
        let mut sums: BTreeMap<CorrelationId, RunRecord> = BTreeMap::new();
        let mut place = 0;
        runs.retain(|run| {
            let keep = !counted[place];
            place += 1;
            if !keep {
                self.count(&mut sums, run);
            }
            keep
        });
        self.tidy_sums();
        sums.into_values().collect()
    }

    /// Takes tokens for runs of one kind.
    fn choose(&mut self, runs: &[RunRecord], places: &[usize], counted: &mut [bool], now: Instant) {
        let Some(first) = places.first().map(|place| &runs[*place]) else { return };
        let owner = owner(first);
        let refused = owner.source == REFUSED;
        let account = format!("{} by {}", owner.account, owner.source);
        let of = if refused { self.options.refused } else { self.options.account };
        let account = self.accounts.entry(account).or_insert_with(|| Bucket::new(of.burst, of.per_minute, now));
        let mut function = (!refused).then(|| {
            let Kind { plugin, function, caller, code, .. } = Kind::of(first);
            let name = format!("{plugin}.{function} by {caller}: {}", code.unwrap_or_default());
            let of = self.options.function;
            self.functions.entry(name).or_insert_with(|| Bucket::new(of.burst, of.per_minute, now))
        });
        for place in places {
            let units = runs[*place].size().div_ceil(UNIT);
            let room = function.as_mut().is_none_or(|bucket| bucket.has(units, now)) && account.has(units, now);
            if room {
                // Both have it.
                let _ = account.take(units, now);
                if let Some(bucket) = &mut function {
                    let _ = bucket.take(units, now);
                }
            }
            counted[*place] = !room;
        }
    }

    /// Adds a run to the merged run of its kind and minute.
    fn count(&mut self, sums: &mut BTreeMap<CorrelationId, RunRecord>, run: &RunRecord) {
        self.summed += 1;
        let minute = minute(run.started_at);
        let mut key = SumKey {
            minute,
            plugin: run.plugin.clone(),
            function: run.function.clone(),
            caller: run.caller.clone(),
            code: run.code.map(Code::as_str),
            cache: run.cache,
        };
        let mut folded = None;
        if !self.sums.contains_key(&key) {
            let owner = owner(run);
            // The calling hook or function is no longer distinguished either.
            let caller = if matches!(&*owner.source, REFUSED | CALLS) { &owner.account } else { &owner.source }.clone();
            let kinds = self.kinds.entry((minute, owner)).or_default();
            if *kinds >= MOST_KINDS {
                let other: FunctionName = OTHERS.parse().expect("it is a name");
                if run.digest.is_none() {
                    key.plugin = OTHERS.parse().expect("it is a name");
                }
                (key.function, key.caller) = (other, caller);
                folded = Some((key.plugin.clone(), key.function.clone(), key.caller.clone()));
            }
            *kinds += 1;
        }
        let id = *self.sums.entry(key).or_insert(run.id);
        let sum = sums.entry(id).or_insert_with(|| {
            let itself = || (run.plugin.clone(), run.function.clone(), run.caller.clone());
            let (plugin, function, caller) = folded.unwrap_or_else(itself);
            let sum = Some(RunSum { calls: 0, max_us: 0 });
            RunRecord { id, plugin, function, caller, duration_us: 0, attempts: 0, sum, ..run.clone() }
        });
        sum.duration_us = sum.duration_us.saturating_add(run.duration_us);
        sum.attempts = sum.attempts.saturating_add(run.attempts.max(1));
        if let Some(sum) = &mut sum.sum {
            sum.calls += 1;
            sum.max_us = sum.max_us.max(run.duration_us);
        }
    }

    fn tidy(&mut self, now: Instant) {
        for buckets in [&mut self.functions, &mut self.accounts] {
            if buckets.len() > MOST_BUCKETS {
                buckets.retain(|_, bucket| !bucket.is_full(now));
            }
        }
    }

    /// Forgets past minutes. A call that ends later starts a new merged run for its minute.
    fn tidy_sums(&mut self) {
        let oldest = minute(OffsetDateTime::now_utc()) - 2;
        self.sums.retain(|key, _| key.minute >= oldest);
        self.kinds.retain(|(minute, _), _| *minute >= oldest);
    }
}

/// The owner of a run's rate: all calls made by a plugin share one rate.
fn owner(run: &RunRecord) -> Owner {
    let owner = run.owner();
    match owner.source.starts_with("calls ") {
        true => Owner { source: CALLS.to_owned(), ..owner },
        false => owner,
    }
}

impl<'a> Kind<'a> {
    fn of(run: &'a RunRecord) -> Self {
        let RunRecord { plugin, function, caller, code, cache, digest, .. } = run;
        Self { plugin, function, caller, code: code.map(Code::as_str), cache: *cache, found: digest.is_some() }
    }
}

fn minute(at: OffsetDateTime) -> i64 {
    at.unix_timestamp().div_euclid(60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(function: &str, caller: &str, code: Option<Code>) -> RunRecord {
        RunRecord {
            id: CorrelationId::new(),
            correlation: CorrelationId::new(),
            plugin: "demo".parse().unwrap(),
            function: function.parse().unwrap(),
            digest: code.is_none().then(|| outrigger_contract::Digest::of(b"x")),
            caller: caller.to_owned(),
            started_at: OffsetDateTime::now_utc(),
            duration_us: 10,
            code,
            message: None,
            cache: CacheOutcome::Bypass,
            attempts: 1,
            sum: None,
        }
    }

    fn options(function: u64, account: u64, refused: u64) -> RunSampling {
        let rate = |burst| Rate { burst, per_minute: 1 };
        RunSampling { function: rate(function), account: rate(account), refused: rate(refused) }
    }

    /// Samples batches, and returns the individual runs and the merged runs, added up by id.
    fn sampled(options: RunSampling, batches: Vec<Vec<RunRecord>>) -> (Vec<RunRecord>, Vec<RunRecord>) {
        let (mut sampler, now) = (Sampler::new(options), Instant::now());
        let (mut kept, mut sums): (Vec<RunRecord>, BTreeMap<CorrelationId, RunRecord>) = (Vec::new(), BTreeMap::new());
        for mut runs in batches {
            for sum in sampler.sample(&mut runs, now) {
                match sums.get_mut(&sum.id).and_then(|present| present.sum.as_mut()) {
                    Some(present) => present.calls += sum.calls(),
                    None => drop(sums.insert(sum.id, sum)),
                }
            }
            kept.extend(runs);
        }
        (kept, sums.into_values().collect())
    }

    fn total(kept: &[RunRecord], sums: &[RunRecord]) -> u64 {
        kept.iter().chain(sums).map(RunRecord::calls).sum()
    }

    #[test]
    fn s06_runs_beyond_the_rate_are_counted_in_one_a_minute() {
        let batches = (0..50).map(|_| (0..200).map(|_| run("echo", "local", None)).collect()).collect();
        let (kept, sums) = sampled(options(100, 150, 10), batches);
        assert_eq!((kept.len(), total(&kept, &sums)), (100, 10_000));
        assert!(sums.len() <= 2, "one for each minute that the test touched: {}", sums.len());
        assert!(sums.iter().all(|sum| sum.max_us() == 10));
    }

    #[test]
    fn s06_a_busy_function_leaves_room_for_a_quiet_one() {
        let mut runs: Vec<_> = (0..1_000).map(|_| run("busy", "local", None)).collect();
        runs.push(run("quiet", "local", None));
        runs.push(run("busy", "key other", None));
        let (kept, sums) = sampled(options(100, 150, 10), vec![runs]);
        assert_eq!((kept.len(), total(&kept, &sums)), (102, 1_002));
        assert!(kept.iter().any(|run| run.function.as_str() == "quiet"));
        assert!(kept.iter().any(|run| run.caller == "key other"));
    }

    #[test]
    fn s17_refused_runs_of_a_key_are_few_whatever_they_name() {
        let refused = |number: u64| RunRecord {
            plugin: format!("p{number}").parse().unwrap(),
            ..run("f", "key bad", Some(Code::Forbidden))
        };
        let (kept, sums) = sampled(options(100, 150, 10), vec![(0..5_000).map(refused).collect()]);
        assert_eq!((kept.len(), total(&kept, &sums)), (10, 5_000));
        assert!(sums.len() <= 2 * (MOST_KINDS + 1), "{}", sums.len());
    }

    #[test]
    fn s06_many_kinds_of_one_caller_blur_nothing_of_another() {
        let loud = |number: u64| run(&format!("f{number}"), "key loud", None);
        let mut runs: Vec<_> = (0..5_000).map(|number| loud(number % 500)).collect();
        runs.extend((0..3).map(|_| run("f1", "key quiet", None)));
        let (kept, sums) = sampled(options(1, 1, 1), vec![runs]);
        assert_eq!(total(&kept, &sums), 5_003, "each is counted");
        let quiet = kept.iter().chain(&sums).filter(|run| run.caller == "key quiet");
        assert!(quiet.map(|run| run.function.as_str()).all(|function| function == "f1"), "{sums:#?}");
    }

    #[test]
    fn s06_a_plugin_that_calls_names_at_random_makes_few_runs_and_owners() {
        let called = |number: u64| RunRecord {
            plugin: format!("p{number}").parse().unwrap(),
            digest: None,
            ..run("f", &format!("plugin bad.f{}", number % 300), Some(Code::PluginNotFound))
        };
        let (kept, sums) = sampled(options(100, 150, 10), vec![(0..5_000).map(called).collect()]);
        assert_eq!((kept.len(), total(&kept, &sums)), (10, 5_000));
        assert!(sums.len() <= 2 * (MOST_KINDS + 1), "{}", sums.len());
        let owners: std::collections::BTreeSet<_> = kept.iter().chain(&sums).map(RunRecord::owner).collect();
        assert_eq!(owners.len(), 1, "{owners:?}");
    }

    #[test]
    fn s06_what_plugins_call_is_charged_to_them() {
        let called = |number: u64| RunRecord {
            plugin: format!("victim{number}").parse().unwrap(),
            ..run("f", "plugin bad.loop", None)
        };
        let mut runs: Vec<_> = (0..2_000).map(called).collect();
        runs.push(RunRecord { plugin: "victim1".parse().unwrap(), ..run("f", "local", None) });
        let (kept, sums) = sampled(options(100, 150, 10), vec![runs]);
        assert_eq!((kept.len(), total(&kept, &sums)), (151, 2_001));
    }

    #[test]
    fn s06_long_messages_take_more_of_the_rate() {
        let long = RunRecord { message: Some("x".repeat(5_120)), ..run("f", "local", Some(Code::Trapped)) };
        let long = RunRecord { digest: Some(outrigger_contract::Digest::of(b"x")), ..long };
        let runs = (0..100).map(|_| RunRecord { id: CorrelationId::new(), ..long.clone() }).collect();
        let (kept, _) = sampled(options(110, 200, 10), vec![runs]);
        assert_eq!(kept.len(), 10);
    }
}
