use proptest::prelude::*;

use super::*;

fn entry(resource: &str) -> AuditEntry {
    AuditEntry {
        at: OffsetDateTime::UNIX_EPOCH,
        actor: "local".to_owned(),
        key: None,
        action: "plugin_create".to_owned(),
        resource: resource.to_owned(),
        allowed: true,
        decision: None,
        stage: Stage::Done,
        code: None,
        revision: None,
        before: None,
        after: Some(serde_json::json!({"version": "1.0.0"})),
        correlation: CorrelationId::new(),
        calls: Vec::new(),
        until: None,
        prunable: false,
    }
}

fn chain(resources: &[String]) -> Vec<AuditRecord> {
    let mut head = Head::EMPTY;
    let mut records = Vec::new();
    for resource in resources {
        let record = append(head, head.sequence + 1, &entry(resource)).unwrap();
        head = verify(head, &record).unwrap();
        records.push(record);
    }
    records
}

fn check(records: &[AuditRecord]) -> Result<Head, BrokenChain> {
    records.iter().try_fold(Head::EMPTY, verify)
}

#[test]
fn an_entry_comes_back_as_it_was_written() {
    let entry = entry("pricing");
    let record = append(Head::EMPTY, 1, &entry).unwrap();
    assert_eq!((record.sequence, record.entry().unwrap()), (1, entry));
}

#[test]
fn s17_a_refusal_that_was_pruned_leaves_the_chain_whole() {
    let links = ["a", "b", "c"].map(entry);
    let refusal = AuditEntry { allowed: false, prunable: true, ..entry("refused") };
    let mut head = Head::EMPTY;
    let mut records = Vec::new();
    for (sequence, entry) in (1..).zip([&links[0], &refusal, &refusal, &links[1], &refusal, &links[2], &refusal]) {
        let record = append(head, sequence, entry).unwrap();
        head = verify(head, &record).unwrap();
        records.push(record);
    }
    assert_eq!((check(&records), head.sequence), (Ok(head), 6), "the end is the last link");
    for pruned in [&[1][..], &[2], &[4], &[6], &[1, 2, 4, 6]] {
        let kept: Vec<_> = (0..).zip(&records).filter(|(at, _)| !pruned.contains(at)).collect();
        let kept: Vec<_> = kept.into_iter().map(|(_, record)| record.clone()).collect();
        assert_eq!(check(&kept), Ok(head), "without {pruned:?}");
    }
    // No chained record can be removed; no refusal can be changed, moved, or made from a chained record.
    for gone in [0, 3] {
        let mut kept = records.clone();
        kept.remove(gone);
        assert!(matches!(check(&kept), Err(BrokenChain::Gap { .. })), "without {gone}: {:?}", check(&kept));
    }
    for at in 0..records.len() {
        let mut changed = records.clone();
        changed[at].text = changed[at].text.replace("local", "other");
        assert!(check(&changed).is_err(), "{at} changed");
    }
    let mut moved = records.clone();
    moved.swap(2, 4);
    (moved[2].sequence, moved[4].sequence) = (3, 5);
    assert!(check(&moved).is_err());
    let mut hidden = records.clone();
    hidden[3].text = hidden[3].text.replace('}', ",\"prunable\":true}");
    assert!(check(&hidden).is_err());
}

proptest! {
    #[test]
    fn one_changed_byte_is_found(
        resources in prop::collection::vec("[a-z.]{1,12}", 1..8),
        place in any::<prop::sample::Index>(),
        byte in any::<prop::sample::Index>(),
        bit in 0..7_u8,
    ) {
        let mut records = chain(&resources);
        let at = place.index(records.len());
        let mut text = std::mem::take(&mut records[at].text).into_bytes();
        let byte = byte.index(text.len());
        text[byte] ^= 1 << bit;
        records[at].text = String::from_utf8_lossy(&text).into_owned();
        prop_assert!(check(&records).is_err());
    }

    #[test]
    fn a_record_that_is_left_out_moved_or_put_in_is_found(
        resources in prop::collection::vec("[a-z.]{1,12}", 2..8),
        place in any::<prop::sample::Index>(),
    ) {
        let records = chain(&resources);
        let at = place.index(records.len() - 1);
        let mut without = records.clone();
        without.remove(at);
        prop_assert!(check(&without).is_err());
        let mut swapped = records.clone();
        swapped.swap(at, at + 1);
        prop_assert!(check(&swapped).is_err());
        let mut twice = records.clone();
        twice.insert(at, records[at].clone());
        prop_assert!(check(&twice).is_err());
        prop_assert!(check(&records).is_ok());
    }
}
