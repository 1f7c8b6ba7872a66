//! Answers in memory. All owners share the room: if it is full, the owner that has most gives up its oldest. So nobody
//! displaces the answers of others that have less.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Kept;

const KEPT_FOR: Duration = Duration::from_hours(24);
/// For all answers, in bytes.
const MOST: usize = 32 << 20;
/// For each answer besides its body, in bytes.
const OVERHEAD: usize = 512;

type Place = [u8; 32];

/// The answers of all owners.
#[derive(Debug, Default)]
pub(super) struct Answers {
    of: HashMap<String, Owned>,
    bytes: usize,
}

/// The answers of one owner.
#[derive(Debug, Default)]
struct Owned {
    kept: HashMap<Place, Arc<Kept>>,
    /// Oldest first.
    order: VecDeque<(Instant, Place)>,
    bytes: usize,
}

impl Answers {
    pub(super) fn get(&mut self, owner: &str, place: &Place, now: Instant) -> Option<Arc<Kept>> {
        self.expire(now);
        self.of.get(owner)?.kept.get(place).cloned()
    }

    pub(super) fn keep(&mut self, owner: &str, place: Place, answer: Arc<Kept>, now: Instant) {
        self.expire(now);
        let size = size(&answer);
        let owned = self.of.entry(owner.to_owned()).or_default();
        if owned.kept.contains_key(&place) {
            return;
        }
        owned.kept.insert(place, answer);
        owned.order.push_back((now, place));
        owned.bytes += size;
        self.bytes += size;
        while self.bytes > MOST {
            let Some(largest) = self.of.values_mut().max_by_key(|owned| owned.bytes) else { return };
            self.bytes -= largest.drop_oldest();
        }
    }

    fn expire(&mut self, now: Instant) {
        let bytes = &mut self.bytes;
        self.of.retain(|_, owned| {
            while owned.order.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) >= KEPT_FOR) {
                *bytes -= owned.drop_oldest();
            }
            !owned.order.is_empty()
        });
    }
}

impl Owned {
    /// Returns its size.
    fn drop_oldest(&mut self) -> usize {
        let oldest = self.order.pop_front().and_then(|(_, place)| self.kept.remove(&place));
        let size = oldest.map_or(0, |answer| size(&answer));
        self.bytes -= size;
        size
    }
}

fn size(answer: &Kept) -> usize {
    answer.answered.body.len() + OVERHEAD
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;
    use crate::endpoint::answer::{Answered, JSON};

    fn place(number: u32) -> Place {
        let mut place = [0; 32];
        place[..4].copy_from_slice(&number.to_be_bytes());
        place
    }

    fn answer(bytes: usize) -> Arc<Kept> {
        Arc::new(Kept { body: [0; 32], answered: Answered::new(StatusCode::OK, JSON, vec![b' '; bytes]) })
    }

    const MIB: usize = 1 << 20;

    #[test]
    fn s06_one_owner_does_not_displace_the_answers_of_another() {
        let (mut answers, now) = (Answers::default(), Instant::now());
        let kept = |answers: &mut Answers, owner: &str, numbers: std::ops::Range<u32>| {
            numbers.filter(|number| answers.get(owner, &place(*number), now).is_some()).count()
        };
        let flood = |answers: &mut Answers, numbers: std::ops::Range<u32>| {
            for number in numbers {
                answers.keep("loud", place(number), answer(MIB), now);
                // Often used ones have no advantage.
                (0..20).for_each(|_| drop(answers.get("loud", &place(number), now)));
            }
        };
        flood(&mut answers, 0..100);
        assert_eq!(kept(&mut answers, "loud", 0..100), 31, "alone, it has all of the room");
        for number in 1_000..1_010 {
            answers.keep("quiet", place(number), answer(MIB), now);
        }
        assert_eq!(kept(&mut answers, "quiet", 1_000..1_010), 10, "each was admitted");
        flood(&mut answers, 100..200);
        assert_eq!(kept(&mut answers, "quiet", 1_000..1_010), 10, "and stays");
        assert_eq!(kept(&mut answers, "loud", 179..200), 21, "the newest are left");
        // One that is larger than the room leaves the others.
        answers.keep("loud", place(300), answer(MOST), now);
        assert_eq!((kept(&mut answers, "loud", 0..301), kept(&mut answers, "quiet", 1_000..1_010)), (0, 10));
        assert!(answers.bytes <= MOST && answers.of.values().map(|owned| owned.bytes).sum::<usize>() == answers.bytes);
    }

    #[test]
    fn answers_are_kept_for_a_day() {
        let (mut answers, now) = (Answers::default(), Instant::now());
        answers.keep("one", place(1), answer(10), now);
        answers.keep("one", place(2), answer(10), now + KEPT_FOR / 2);
        assert!(answers.get("one", &place(1), now + KEPT_FOR / 2).is_some());
        assert!(answers.get("other", &place(1), now).is_none(), "it is another's");
        assert!(answers.get("one", &place(1), now + KEPT_FOR).is_none());
        assert!(answers.get("one", &place(2), now + KEPT_FOR).is_some());
        assert!(answers.get("one", &place(2), now + 2 * KEPT_FOR).is_none());
        assert_eq!((answers.bytes, answers.of.len()), (0, 0));
    }
}
