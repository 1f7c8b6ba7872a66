//! Both stores keep to the same contract.

mod memory {
    use outrigger_store::MemoryStore;
    use outrigger_testkit::store_suite::Fixture;

    async fn store() -> Fixture {
        Fixture::new(MemoryStore::new())
    }

    outrigger_testkit::store_contract!(store);
}

mod sqlite {
    use outrigger_store::SqliteStore;
    use outrigger_testkit::store_suite::Fixture;

    async fn store() -> Fixture {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let store = SqliteStore::open(directory.path().join("outrigger.db")).await.expect("a new database");
        Fixture::new(store).keeping(directory)
    }

    outrigger_testkit::store_contract!(store);
}

mod copies {
    use std::sync::Arc;

    use outrigger_engine::Store;
    use outrigger_engine::store::{AuditStore, StoreError};
    use outrigger_store::{MemoryStore, SqliteStore};
    use outrigger_testkit::store_suite::entry;

    #[tokio::test]
    async fn a_copy_is_one_moment_of_a_store_that_goes_on() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = |name: &str| directory.path().join(name);
        let store = Arc::new(SqliteStore::open(path("outrigger.db")).await.expect("a new database"));
        let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
        let writer = Arc::clone(&store);
        let writing = tokio::spawn(async move {
            while stopped.try_recv().is_err() {
                writer.audit_append(&[entry(1)]).await.expect("it goes on");
            }
        });
        for number in 0..5 {
            let name = format!("copy-{number}.db");
            let before = store.audit_head().await.expect("it is read").sequence;
            store.copy(&path(&name)).await.expect("it is copied");
            let after = store.audit_head().await.expect("it is read").sequence;
            let (copy, version) = SqliteStore::open_unchanged(path(&name)).await.expect("it opens");
            copy.check_unchanged().await.expect("it is whole");
            let head = copy.audit_head().await.expect("it is read").sequence;
            assert!((before..=after).contains(&head) && version > 0, "{before} {head} {after}");
            let refused = copy.audit_append(&[entry(1)]).await;
            assert!(matches!(refused, Err(StoreError::Unwritable(_))), "{refused:?}");
            copy.close().await;
            store.copy(&path(&name)).await.expect_err("there is something already");
        }
        stop.send(()).expect("it waits");
        writing.await.expect("it ends");
    }

    #[tokio::test]
    async fn what_is_in_memory_cannot_be_copied() {
        let refused = MemoryStore::new().copy("/nowhere/copy.db".as_ref()).await;
        assert!(matches!(refused, Err(StoreError::Unsupported { .. })), "{refused:?}");
    }
}
