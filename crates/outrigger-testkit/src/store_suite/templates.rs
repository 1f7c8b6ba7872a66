//! Templates for plugins.

use std::sync::Arc;

use outrigger_contract::TemplateVariable;
use outrigger_engine::Store;
use outrigger_engine::store::{TemplateMade, TemplateRecord};

use super::fixtures::{assert_conflict, moment, template};

fn in_revision(record: &TemplateRecord, revision: u64) -> TemplateRecord {
    TemplateRecord { made: TemplateMade { revision, ..record.made.clone() }, ..record.clone() }
}

pub async fn a_template_comes_back_as_it_was_put(store: Arc<dyn Store>) {
    let mut made = template("team");
    made.template.variables =
        vec![TemplateVariable { name: "port".to_owned(), description: "☂".to_owned(), default: "80".to_owned() }];
    made.template.files.insert("docs/ä.md".parse().expect("a path"), "“{{ name }}”\n\u{1f980}\r\n".to_owned());
    let name = made.template.name.clone();
    assert_eq!(store.template_fetch(&name).await.unwrap(), None);
    assert_eq!(store.template_put(&made).await.unwrap(), 1);
    assert_eq!(store.template_fetch(&name).await.unwrap(), Some(in_revision(&made, 1)));

    let mut changed = in_revision(&made, 1);
    changed.template.files.clear();
    changed.made.updated_at = moment(9);
    changed.made.updated_by = "key ci".to_owned();
    assert_eq!(store.template_put(&changed).await.unwrap(), 2);
    assert_eq!(store.template_fetch(&name).await.unwrap(), Some(in_revision(&changed, 2)));
    assert!(store.template_delete(&name).await.unwrap());
    assert!(!store.template_delete(&name).await.unwrap());
    assert_eq!(store.template_fetch(&name).await.unwrap(), None);
}

pub async fn templates_are_listed_by_name_without_their_files(store: Arc<dyn Store>) {
    assert_eq!(store.template_list().await.unwrap(), []);
    for name in ["c", "a", "b"] {
        store.template_put(&template(name)).await.unwrap();
    }
    let expected = ["a", "b", "c"].map(|name| in_revision(&template(name), 1).summary());
    assert_eq!(store.template_list().await.unwrap(), expected);
    assert_eq!(expected[0].size, 20);
}

pub async fn a_template_is_only_written_over_what_was_read(store: Arc<dyn Store>) {
    let made = template("team");
    assert_conflict(store.template_put(&in_revision(&made, 3)).await);
    store.template_put(&made).await.unwrap();
    assert_conflict(store.template_put(&made).await);
    assert_conflict(store.template_put(&in_revision(&made, 2)).await);
    assert_eq!(store.template_put(&in_revision(&made, 1)).await.unwrap(), 2);
    // One that was removed is not written over either.
    store.template_delete(&made.template.name).await.unwrap();
    assert_conflict(store.template_put(&in_revision(&made, 2)).await);
}

pub async fn of_many_first_templates_one_is_made(store: Arc<dyn Store>) {
    let tasks = (0..8).map(|_| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.template_put(&template("team")).await.is_ok() })
    });
    let mut made = 0;
    for task in tasks.collect::<Vec<_>>() {
        made += usize::from(task.await.expect("it does not panic"));
    }
    assert_eq!(made, 1);
}
