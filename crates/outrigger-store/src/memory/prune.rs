//! Selects the records to prune, as the database does: by each owner's fair share.

use std::collections::BTreeMap;

use outrigger_engine::store::{Bound, Owner, fair_shares};
use time::OffsetDateTime;

/// A record that may be pruned.
pub(super) struct Droppable {
    pub(super) owner: Owner,
    pub(super) at: OffsetDateTime,
    pub(super) size: u64,
    /// The record counts, but must stay.
    pub(super) stays: bool,
}

/// Which records stay, in order: those that are not too old, and of these the newest within each owner's fair share.
pub(super) fn kept(bound: &Bound, records: &[Droppable]) -> Vec<bool> {
    let mut kept: Vec<bool> = records.iter().map(|record| record.stays || record.at >= bound.since).collect();
    let mut oldest: Vec<usize> = (0..records.len()).collect();
    oldest.sort_by_key(|place| records[*place].at);
    for (most, weight) in [(bound.most, (|_| 1) as fn(&Droppable) -> u64), (bound.bytes, |record| record.size)] {
        let mut owned: BTreeMap<&Owner, u64> = BTreeMap::new();
        for (record, _) in records.iter().zip(&kept).filter(|(_, kept)| **kept) {
            *owned.entry(&record.owner).or_default() += weight(record);
        }
        let amounts: Vec<_> = owned.iter().map(|(owner, amount)| ((*owner).clone(), *amount)).collect();
        let shares = fair_shares(&amounts, most);
        for ((owner, amount), share) in amounts.iter().zip(shares) {
            let mut excess = amount.saturating_sub(share);
            for place in oldest.iter().filter(|place| records[**place].owner == *owner) {
                if excess > 0 && kept[*place] && !records[*place].stays {
                    excess = excess.saturating_sub(weight(&records[*place]).max(1));
                    kept[*place] = false;
                }
            }
        }
    }
    kept
}

/// Prunes records above the limits. Returns their number.
pub(super) fn prune_list<T>(records: &mut Vec<T>, bound: &Bound, droppable: impl Fn(&T) -> Droppable) -> usize {
    let kept = kept(bound, &records.iter().map(droppable).collect::<Vec<_>>());
    let (present, mut kept) = (records.len(), kept.into_iter());
    records.retain(|_| kept.next().unwrap_or(true));
    present - records.len()
}

/// The same for a map, for records that may be pruned at all.
pub(super) fn prune_map<K: Ord + Clone, V>(
    records: &mut BTreeMap<K, V>,
    bound: &Bound,
    droppable: impl Fn(&K, &V) -> Option<Droppable>,
) -> usize {
    let (keys, found): (Vec<K>, Vec<_>) =
        records.iter().filter_map(|(key, value)| Some((key.clone(), droppable(key, value)?))).unzip();
    let gone = kept(bound, &found).into_iter().zip(keys).filter(|(kept, _)| !kept);
    gone.map(|(_, key)| records.remove(&key)).filter(Option::is_some).count()
}
