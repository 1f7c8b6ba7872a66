//! The instances that are kept for the calls to come. Each thread takes those first that it has used itself: their memory is
//! in the caches of its own processor, and to fetch it from another's takes as long as a short call.

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

/// Threads that have a shelf of their own.
const SHELVES: usize = 8;

/// Idle instances between calls.
pub(super) struct Idle<T> {
    shelves: [Shelf<T>; SHELVES],
    /// How many there are, or are about to be, on all shelves.
    count: AtomicUsize,
}

/// The instances that one thread used last, in separate cache lines to avoid contention.
#[repr(align(128))]
struct Shelf<T>(Mutex<Vec<T>>);

impl<T> Default for Idle<T> {
    fn default() -> Self {
        Self { shelves: std::array::from_fn(|_| Shelf(Mutex::default())), count: AtomicUsize::new(0) }
    }
}

impl<T> Idle<T> {
    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Takes one, if there is one: that which this thread used last, or else any.
    pub(super) fn take(&self) -> Option<T> {
        if self.count() == 0 {
            return None;
        }
        let (others, own) = self.shelves.split_at(place());
        let found = own.iter().chain(others).find_map(|shelf| shelf.0.lock().pop())?;
        self.count.fetch_sub(1, Ordering::Relaxed);
        Some(found)
    }

    /// Keeps one, if there are fewer than `room`. Gives it back otherwise.
    pub(super) fn keep(&self, one: T, room: usize) -> Option<T> {
        let counted =
            self.count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| (count < room).then_some(count + 1));
        if counted.is_err() {
            return Some(one);
        }
        self.shelves[place()].0.lock().push(one);
        None
    }
}

/// The shelf of this thread.
fn place() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static PLACE: usize = NEXT.fetch_add(1, Ordering::Relaxed) % SHELVES;
    }
    PLACE.with(|place| *place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_takes_its_own_first_and_then_any() {
        let idle = Idle::default();
        assert_eq!(idle.take(), None::<u32>);
        let keep = |one| assert_eq!(idle.keep(one, 3), None);
        keep(1);
        std::thread::scope(|scope| {
            let other = scope.spawn(|| {
                keep(2);
                keep(3);
                assert_eq!(idle.keep(4, 3), Some(4), "there is no room");
                assert_eq!((idle.take(), idle.take()), (Some(3), Some(2)), "the last one first");
                keep(2);
            });
            other.join().expect("it does not panic");
        });
        assert_eq!(idle.count(), 2);
        assert_eq!((idle.take(), idle.take(), idle.take()), (Some(1), Some(2), None));
        assert_eq!(idle.count(), 0);
    }

    #[test]
    fn what_many_threads_keep_is_never_more_than_there_is_room_for() {
        const ROOM: usize = 5;
        let idle = Idle::default();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let idle = &idle;
                scope.spawn(move || {
                    for turn in 0..10_000 {
                        let one = idle.take().unwrap_or((thread, turn));
                        let _ = idle.keep(one, ROOM);
                        assert!(idle.count() <= ROOM);
                    }
                });
            }
        });
        let kept = std::iter::from_fn(|| idle.take()).count();
        assert!((1..=ROOM).contains(&kept), "{kept}");
        assert_eq!(idle.count(), 0);
    }
}
