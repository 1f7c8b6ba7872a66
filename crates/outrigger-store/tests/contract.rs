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
