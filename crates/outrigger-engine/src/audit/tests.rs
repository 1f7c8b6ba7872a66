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
    }
}

fn chain(resources: &[String]) -> Vec<AuditRecord> {
    let mut head = Head::EMPTY;
    let mut records = Vec::new();
    for resource in resources {
        let record = append(head, &entry(resource)).unwrap();
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
    let record = append(Head::EMPTY, &entry).unwrap();
    assert_eq!((record.sequence, record.entry().unwrap()), (1, entry));
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
