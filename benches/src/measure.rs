//! How a time is taken: contenders take turns in short rounds, so that whatever else happens on the machine happens to
//! all of them; the first rounds warm up and are thrown away.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use async_trait::async_trait;

/// How long to measure for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    Quick,
    Full,
}

impl Effort {
    /// One of two numbers.
    pub fn pick(self, quick: usize, full: usize) -> usize {
        match self {
            Self::Quick => quick,
            Self::Full => full,
        }
    }
}

/// Someone who makes calls.
#[async_trait]
pub trait Contender: Send + Sync {
    /// What the report calls it.
    fn name(&self) -> &'static str;

    /// Makes `calls` calls one after the other and answers with the time of each; calls [`breathe`] in between.
    async fn calls(&self, calls: usize) -> Result<Vec<Duration>>;

    /// Finishes what the calls left to be done in the background, so that it is not done at another's expense.
    async fn settle(&self) {}
}

/// Lets other tasks have their turn now and then, outside of any time. Not after each call: a task that yields moves to
/// another core, and what would be measured then is that.
pub async fn breathe(call: usize) {
    if call % 16 == 15 {
        tokio::task::yield_now().await;
    }
}

/// Rounds, and calls in each.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub rounds: usize,
    pub calls: usize,
}

const WARM_UP_ROUNDS: usize = 3;

/// All times of one contender, in ascending order.
#[derive(Clone, Debug)]
pub struct Series {
    pub name: &'static str,
    sorted: Vec<Duration>,
    /// From the first call of a round to the last, over all rounds.
    wall: Duration,
}

impl Series {
    /// Of times that were taken one after the other.
    pub fn of(name: &'static str, mut times: Vec<Duration>) -> Self {
        let wall = times.iter().sum();
        times.sort_unstable();
        Self { name, sorted: times, wall }
    }

    pub fn median(&self) -> Duration {
        self.quantile(0.5)
    }

    pub fn p99(&self) -> Duration {
        self.quantile(0.99)
    }

    pub fn longest(&self) -> Duration {
        self.sorted.last().copied().unwrap_or_default()
    }

    /// The time that this part of the calls did not exceed.
    fn quantile(&self, part: f64) -> Duration {
        let rank = (self.sorted.len() as f64 * part).ceil() as usize;
        self.sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }

    pub fn calls(&self) -> usize {
        self.sorted.len()
    }

    pub fn per_second(&self) -> f64 {
        self.sorted.len() as f64 / self.wall.as_secs_f64()
    }
}

/// Has the contenders take turns, each with so many tasks at once.
pub async fn take_turns(contenders: &[Arc<dyn Contender>], tasks: usize, plan: Plan) -> Result<Vec<Series>> {
    let mut series: Vec<_> =
        contenders.iter().map(|it| Series { name: it.name(), sorted: Vec::new(), wall: Duration::ZERO }).collect();
    for round in 0..plan.rounds + WARM_UP_ROUNDS {
        for (contender, series) in contenders.iter().zip(&mut series) {
            let (times, wall) = play(contender, tasks, plan.calls).await?;
            contender.settle().await;
            if round >= WARM_UP_ROUNDS {
                series.sorted.extend(times);
                series.wall += wall;
            }
        }
    }
    for series in &mut series {
        series.sorted.sort_unstable();
    }
    Ok(series)
}

async fn play(contender: &Arc<dyn Contender>, tasks: usize, calls: usize) -> Result<(Vec<Duration>, Duration)> {
    let started = Instant::now();
    let running: Vec<_> = (0..tasks)
        .map(|_| {
            let contender = Arc::clone(contender);
            tokio::spawn(async move { contender.calls(calls.div_ceil(tasks)).await })
        })
        .collect();
    let mut times = Vec::with_capacity(calls);
    for task in running {
        times.extend(task.await.context("a task ended early")?.with_context(|| contender.name())?);
    }
    Ok((times, started.elapsed()))
}

/// Calls in a row, with all that they leave to be done in the background: calls in each second.
pub async fn sustained(contender: &Arc<dyn Contender>, tasks: usize, calls: usize) -> Result<f64> {
    let started = Instant::now();
    let (times, _) = play(contender, tasks, calls).await?;
    contender.settle().await;
    Ok(times.len() as f64 / started.elapsed().as_secs_f64())
}
