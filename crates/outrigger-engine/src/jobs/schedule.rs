//! When a schedule makes a job. Pure: the time is passed in.

use std::str::FromStr;

use croner::errors::CronError;
use outrigger_contract::excerpt::cut;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::{Date, Duration, Month, OffsetDateTime, Time, UtcOffset};

use super::{JobRecord, ScheduleRecord};

/// Later than this, a job is late: the process was not there when its time came.
const LATE: Duration = Duration::minutes(1);
/// Maximum length of a cron expression, in bytes. An expression that lists every second, minute and hour is shorter.
const LONGEST: usize = 1_000;
/// Maximum number of days that are checked for the next time, without those in excluded months and years. The rarest
/// day, a 29th of February on a certain day of the week, occurs within 40 years.
const MOST_DAYS: usize = 15_000;
/// The last year that an expression can name.
const LAST_YEAR: i32 = croner::YEAR_UPPER_LIMIT;

/// A cron expression in UTC: minute, hour, day of the month, month, day of the week; a sixth field in front for seconds.
#[derive(Clone, Debug)]
pub struct Cron {
    text: String,
    cron: croner::Cron,
}

/// It is not a cron expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a cron expression: {reason}")]
pub struct InvalidCron {
    pub text: String,
    pub reason: String,
}

/// The policy for times that passed while no server ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missed {
    /// They are left out.
    Skip,
    /// One is made for all of them.
    RunOnce,
}

impl Missed {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::RunOnce => "run_once",
        }
    }
}

/// The policy for a time at which the previous job has not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// It is left out.
    #[default]
    Skip,
    /// It is made all the same.
    Queue,
}

impl Overlap {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Queue => "queue",
        }
    }
}

/// Whether there is room for another job of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    Free,
    /// The previous job has not ended, or too many jobs wait.
    None,
}

impl Cron {
    /// The first time after this one. None if there is none, as on the 30th of February.
    #[must_use]
    pub fn after(&self, moment: OffsetDateTime) -> Option<OffsetDateTime> {
        self.search(moment, &mut 0).ok().flatten()
    }

    /// Like `after`; counts the days that it checks. The library would search thousands of years if nothing matches.
    fn search(&self, moment: OffsetDateTime, looked_at: &mut usize) -> Result<Option<OffsetDateTime>, CronError> {
        let first = moment.checked_to_offset(UtcOffset::UTC).and_then(|at| at.replace_nanosecond(0).ok());
        let Some(first) = first.and_then(|at| at.checked_add(Duration::SECOND)) else { return Ok(None) };
        let pattern = &self.cron.pattern;
        let (mut date, mut earliest) = (first.date(), first.time());
        while date.year() <= LAST_YEAR {
            let next = if !pattern.year_match(date.year())? {
                Date::from_calendar_date(date.year() + 1, Month::January, 1).ok()
            } else if !pattern.month_match(u8::from(date.month()).into())? {
                date.replace_day(1).ok().and_then(|date| date.checked_add(Duration::days(31))?.replace_day(1).ok())
            } else {
                *looked_at += 1;
                if pattern.day_match(date.year(), u8::from(date.month()).into(), date.day().into())?
                    && let Some(time) = self.time(earliest)
                {
                    return Ok(Some(date.with_time(time).assume_utc()));
                }
                date.next_day().filter(|_| *looked_at < MOST_DAYS)
            };
            let Some(next) = next else { break };
            (date, earliest) = (next, Time::MIDNIGHT);
        }
        Ok(None)
    }

    /// The first matching time of a day, from this one on.
    fn time(&self, earliest: Time) -> Option<Time> {
        let pattern = &self.cron.pattern;
        let (hour, minute, second) = earliest.as_hms();
        for at_hour in (hour..24).filter(|at| pattern.hour_match((*at).into()).unwrap_or(false)) {
            let first = if at_hour == hour { minute } else { 0 };
            for at_minute in (first..60).filter(|at| pattern.minute_match((*at).into()).unwrap_or(false)) {
                let mut seconds = if (at_hour, at_minute) == (hour, minute) { second..60 } else { 0..60 };
                if let Some(at_second) = seconds.find(|at| pattern.second_match((*at).into()).unwrap_or(false)) {
                    return Time::from_hms(at_hour, at_minute, at_second).ok();
                }
            }
        }
        None
    }
}

impl FromStr for Cron {
    type Err = InvalidCron;

    fn from_str(text: &str) -> Result<Self, InvalidCron> {
        // The reason can quote the text once more.
        let invalid = |reason: String| InvalidCron { text: cut(text.to_owned(), 80), reason: cut(reason, 200) };
        if text.len() > LONGEST {
            return Err(invalid(format!("it is {} bytes long; the limit is {LONGEST}", text.len())));
        }
        let cron = croner::Cron::from_str(text).map_err(|error| invalid(error.to_string()))?;
        Ok(Self { text: text.to_owned(), cron })
    }
}

impl std::fmt::Display for Cron {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.text)
    }
}

impl PartialEq for Cron {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Serialize for Cron {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Cron {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

fn due(schedule: &ScheduleRecord, now: OffsetDateTime) -> Option<OffsetDateTime> {
    schedule.next_at.filter(|due| schedule.enabled && *due <= now)
}

/// Whether a schedule's time has come.
#[must_use]
pub fn is_due(schedule: &ScheduleRecord, now: OffsetDateTime) -> bool {
    due(schedule, now).is_some()
}

/// The next step of a schedule: none before its time; otherwise the updated schedule, with the job that it makes.
/// However many times have passed, it makes one job at most, and none where there is no room.
#[must_use]
pub fn tick(schedule: &ScheduleRecord, now: OffsetDateTime, room: Room) -> Option<(ScheduleRecord, Option<JobRecord>)> {
    let due = due(schedule, now)?;
    let mut next = schedule.clone();
    next.next_at = schedule.cron.after(now);
    if schedule.missed == Missed::Skip && now - due > LATE {
        return Some((next, None));
    }
    if room == Room::None {
        next.skipped = next.skipped.saturating_add(1);
        return Some((next, None));
    }
    let mut job = JobRecord::new(schedule.task.clone(), schedule.owner.clone(), now);
    job.schedule = Some(schedule.name.clone());
    next.last_job = Some(job.id);
    Some((next, Some(job)))
}

#[cfg(test)]
mod tests;
