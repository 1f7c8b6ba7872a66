//! When a schedule makes a job. Pure: the time is passed in.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::OffsetDateTime;

use super::{JobRecord, ScheduleRecord};

/// Later than this, a job is late: the process was not there when its time came.
const LATE: time::Duration = time::Duration::minutes(1);

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

/// What becomes of jobs whose time came when no server ran.
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

/// What becomes of a schedule's job whose time comes while the one before it has not ended.
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
    /// The one before it has not ended, or too many jobs wait as it is.
    None,
}

impl Cron {
    /// The first time after this one. None where there is none, as on the 30th of February.
    #[must_use]
    pub fn after(&self, moment: OffsetDateTime) -> Option<OffsetDateTime> {
        let moment = DateTime::<Utc>::from_timestamp(moment.unix_timestamp(), moment.nanosecond())?;
        let next = self.cron.find_next_occurrence(&moment, false).ok()?;
        OffsetDateTime::from_unix_timestamp(next.timestamp()).ok()
    }
}

impl FromStr for Cron {
    type Err = InvalidCron;

    fn from_str(text: &str) -> Result<Self, InvalidCron> {
        let invalid = |reason: String| InvalidCron { text: text.to_owned(), reason };
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

/// What a look at a schedule leads to: none before its time; otherwise the schedule as it is then, with the job that it
/// makes. However many times have passed, it makes one job at most, and none where there is no room.
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
