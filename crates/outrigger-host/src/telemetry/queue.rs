//! Spans that wait to be sent. There is room for so many; what comes when there is none is counted and dropped.

use std::collections::VecDeque;

use outrigger_api::TracedRequest;
use outrigger_engine::trace::TracedCall;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// The queue.
#[derive(Debug)]
pub(super) struct Queue {
    /// Spans that may wait.
    room: usize,
    /// Spans that are sent at once.
    batch: usize,
    state: Mutex<State>,
    /// There are enough spans for a batch.
    pub(super) full: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Item>,
    spans: usize,
    dropped: u64,
}

/// The source of one or more spans. It is serialized when it is sent, not during the call.
#[derive(Debug)]
pub(super) enum Item {
    Call(Box<TracedCall>),
    Request(Box<TracedRequest>),
}

impl Item {
    fn spans(&self) -> usize {
        match self {
            Self::Call(call) => 1 + call.spans.len(),
            Self::Request(_) => 1,
        }
    }
}

/// A batch taken from the queue.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) items: Vec<Item>,
    pub(super) spans: usize,
    /// Spans for which there was no room since the last batch.
    pub(super) dropped: u64,
}

impl Queue {
    pub(super) fn new(room: usize, batch: usize) -> Self {
        Self { room, batch, state: Mutex::default(), full: Notify::new() }
    }

    /// Adds spans, if there is room.
    pub(super) fn push(&self, item: Item) {
        let spans = item.spans();
        let state = &mut *self.state.lock();
        if state.spans + spans > self.room {
            state.dropped += spans as u64;
            return;
        }
        state.waiting.push_back(item);
        let before = state.spans;
        state.spans += spans;
        if before < self.batch && state.spans >= self.batch {
            self.full.notify_one();
        }
    }

    /// Takes as many as are sent at once; at least one item, where there is any.
    pub(super) fn take(&self) -> Batch {
        let state = &mut *self.state.lock();
        let mut batch = Batch { items: Vec::new(), spans: 0, dropped: std::mem::take(&mut state.dropped) };
        while let Some(item) = state.waiting.pop_front() {
            batch.spans += item.spans();
            batch.items.push(item);
            if batch.spans >= self.batch {
                break;
            }
        }
        state.spans -= batch.spans;
        batch
    }
}

#[cfg(test)]
mod tests {
    use std::num::{NonZeroU64, NonZeroU128};

    use outrigger_api::TraceContext;

    use super::*;

    fn request() -> Item {
        let context = TraceContext { trace: NonZeroU128::MIN, span: NonZeroU64::MIN, sampled: true };
        Item::Request(Box::new(TracedRequest {
            context,
            parent: None,
            correlation: ulid::Ulid::new(),
            method: "GET".to_owned(),
            route: "/",
            status: 200,
            started_at: time::OffsetDateTime::UNIX_EPOCH,
            duration: std::time::Duration::ZERO,
        }))
    }

    #[test]
    fn what_finds_no_room_is_counted_and_dropped() {
        let queue = Queue::new(5, 2);
        for _ in 0..9 {
            queue.push(request());
        }
        let first = queue.take();
        assert_eq!((first.items.len(), first.spans, first.dropped), (2, 2, 4));
        queue.push(request());
        let sizes: Vec<_> = (0..3).map(|_| queue.take()).map(|batch| (batch.items.len(), batch.dropped)).collect();
        assert_eq!(sizes, [(2, 0), (2, 0), (0, 0)]);
    }
}
