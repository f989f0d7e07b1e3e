use std::path::Path;

use commitlog::{EmbeddedLog, LogSettings};
use schemas::registry::error_code;

use super::*;

async fn open(dir: &Path) -> (Arc<EmbeddedLog>, Arc<RegistryStore>) {
    let world = World::real();
    let log = EmbeddedLog::open(dir, LogSettings::default(), world.clone()).await.expect("a log");
    let store = RegistryStore::open(log.clone(), world).await.expect("a registry");
    (log, store)
}

fn request(fields: &str) -> SchemaRequest {
    let schema = format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#);
    SchemaRequest { schema, ..SchemaRequest::default() }
}

const A: &str = r#"{"name":"a","type":"string"}"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_is_there_after_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let (log, store) = open(dir.path()).await;
    assert!(log.topic(SCHEMAS_TOPIC).is_none(), "made by the first write only");
    let mut changes = store.watch();
    assert_eq!(store.register("s", request(A), false).await.unwrap().id, 1);
    assert!(changes.has_changed().unwrap());
    changes.mark_unchanged();
    assert_eq!(store.register("s", request(A), false).await.unwrap().id, 1);
    let update = ConfigUpdate { compatibility: Some("full".into()), ..ConfigUpdate::default() };
    store.set_config(Some("s"), update).await.unwrap();
    let refused = store.register("s", request(r#"{"name":"b","type":"int"}"#), false).await.unwrap_err();
    assert_eq!(error_code(&refused), 409);
    drop(store);
    log.close().await.unwrap();

    let (log, store) = open(dir.path()).await;
    assert_eq!(store.versions("s", false, false).unwrap(), [1]);
    assert_eq!(store.config(Some("s"), false).unwrap().compatibility_level.as_str(), "FULL");
    assert_eq!(store.schema_by_id(1).map(|schema| schema.id), Some(1));
    assert_eq!(store.latest("s").map(|(version, _)| version), Some(1));
    log.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_writers_agree_on_ids() {
    let dir = tempfile::tempdir().expect("a directory");
    let (log, store) = open(dir.path()).await;
    let write = |n: usize| {
        let store = store.clone();
        async move {
            let fields = format!(r#"{{"name":"f{}","type":"string","default":""}}"#, n % 10);
            store.register(&format!("s{}", n % 20), request(&fields), false).await.unwrap().id
        }
    };
    let ids: std::collections::BTreeSet<i32> =
        futures::future::join_all((0..60).map(write)).await.into_iter().collect();
    assert_eq!(ids, (1..=10).collect(), "the same schema has one id wherever it is registered");
    log.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_topic_stays_small_however_often_settings_change() {
    let dir = tempfile::tempdir().expect("a directory");
    let (log, store) = open(dir.path()).await;
    store.register("s", request(A), false).await.unwrap();
    let levels = ["FULL", "NONE"];
    let set = |n: usize| {
        let update = ConfigUpdate { compatibility: Some(levels[n % 2].into()), ..ConfigUpdate::default() };
        store.set_config(Some("s"), update)
    };
    for n in 0..GARBAGE_RECORDS_MIN + 100 {
        set(n).await.unwrap();
    }
    let bounds = log.bounds(&model::TopicPartition::new(model::TopicName::new(SCHEMAS_TOPIC).unwrap(), 0)).unwrap();
    assert!(bounds.high_watermark - bounds.log_start < 200, "{bounds:?}");
    drop(store);
    log.close().await.unwrap();

    let (log, store) = open(dir.path()).await;
    assert_eq!(store.versions("s", false, false).unwrap(), [1]);
    assert_eq!(store.config(Some("s"), false).unwrap().compatibility_level.as_str(), "NONE");
    log.close().await.unwrap();
}
