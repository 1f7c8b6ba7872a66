//! Counts connections, per address and in total, and HTTP/2 streams after the first of each connection. A connection
//! above a limit is closed before anything is read, so a client with many connections affects few others.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::endpoint::budget::{Bounds, Budget, Full, Holder, Share};

/// The interval between log lines about refused connections.
const TOLD: Duration = Duration::from_mins(1);

#[derive(Debug)]
pub struct Crowd {
    budget: Arc<Budget>,
    refused: Mutex<Refused>,
}

/// Refused connections that are not logged yet.
#[derive(Debug, Default)]
struct Refused {
    count: u64,
    told: Option<Instant>,
}

impl Crowd {
    pub fn new(all: usize, each: usize) -> Self {
        let bounds = Bounds { each: each as u64, all: all as u64 };
        Self { budget: Budget::new("connections", bounds), refused: Mutex::default() }
    }

    /// Takes a place for a connection or a stream, released on drop; none if there are too many.
    pub fn enter(&self, from: IpAddr) -> Option<Share> {
        let mut place = self.budget.share(Some(Holder::of_address(from)));
        match place.grow(1) {
            Ok(()) => Some(place),
            Err(full) => {
                self.tell(from, full);
                None
            }
        }
    }

    fn tell(&self, from: IpAddr, full: Full) {
        let mut refused = self.refused.lock();
        refused.count += 1;
        if refused.told.is_none_or(|told| told.elapsed() >= TOLD) {
            let count = std::mem::take(&mut refused.count);
            refused.told = Some(Instant::now());
            tracing::warn!(%from, limit = full.limit(), count, "connections or streams refused: too many {}", full.whose());
        }
    }
}
