//! Groups on a real log: durable, bounded, and gone with their topics.

use std::{path::Path, sync::Arc, time::Duration};

use commitlog::{
    Log, TopicSpec,
    embedded::{EmbeddedLog, LogSettings},
    groups::{CommitRequest, Groups, JoinRequest, MemberRef, OFFSETS_TOPIC, OffsetToCommit, SyncRequest},
};
use model::{TopicName, TopicPartition};
use testkit::log_conformance::read_keyed;
use world::World;

struct Node {
    log: Arc<EmbeddedLog>,
    groups: Arc<Groups>,
    world: World,
}

impl Node {
    async fn start(dir: &Path) -> Self {
        let world = World::real();
        let log = EmbeddedLog::open(dir, LogSettings::default(), world.clone()).await.expect("log opens");
        let groups = Groups::open(log.clone(), world.clone()).await.expect("groups open");
        Self { log, groups, world }
    }

    async fn stop(self) {
        assert!(self.world.tasks.stop(Duration::from_secs(10)).await, "all tasks end");
        self.log.close().await.expect("log closes");
    }

    /// The topic `t`.
    async fn create(&self, partitions: i32) {
        let spec = TopicSpec::new(TopicName::new("t").expect("legal"), partitions);
        self.log.create_topic(spec, false).await.expect("made");
    }

    async fn commit(&self, group: &str, partition: i32, offset: i64) {
        let who = MemberRef { group: group.into(), generation: -1, ..MemberRef::default() };
        let offsets = vec![OffsetToCommit { topic: "t".into(), partition, offset, ..OffsetToCommit::default() }];
        let results = self.groups.commit(CommitRequest { who, offsets }).await;
        assert_eq!(results, [Ok(())]);
    }

    /// Records in the offsets topic.
    async fn records(&self) -> usize {
        let place = TopicPartition::new(TopicName::new(OFFSETS_TOPIC).expect("legal"), 0);
        read_keyed(&*self.log, &place, 0).await.len()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_offsets_topic_stays_bounded_and_is_replayed_whole() {
    let dir = tempfile::tempdir().expect("directory");
    let node = Node::start(dir.path()).await;
    node.create(20).await;
    node.commit("g", 0, 0).await;
    let mut settings = node.log.topic(OFFSETS_TOPIC).expect("made").overrides.clone();
    assert_eq!(settings.get("cleanup.policy").map(String::as_str), Some("compact"));
    settings.insert("segment.bytes".to_owned(), "8192".to_owned());
    node.log.alter_topic(OFFSETS_TOPIC, settings, false).await.expect("smaller segments");
    for round in 0..100 {
        let commits = (0..20).map(|partition| node.commit("g", partition, round));
        futures::future::join_all(commits).await;
    }
    node.log.compact().await.expect("compact");
    assert!(node.records().await < 150, "{} records for 20 offsets", node.records().await);
    node.stop().await;

    let node = Node::start(dir.path()).await;
    let offsets = node.groups.offsets("g");
    assert_eq!(offsets.len(), 20);
    assert!(offsets.values().all(|o| o.offset == 99));
    node.stop().await;
}

/// What an older version left, which did not compact, is replayed and compacted from then on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offsets_topic_of_an_older_version_is_taken_over() {
    let dir = tempfile::tempdir().expect("directory");
    let node = Node::start(dir.path()).await;
    let old = TopicSpec::new(TopicName::new(OFFSETS_TOPIC).expect("legal"), 1)
        .with("retention.ms", "-1")
        .with("retention.bytes", "-1")
        .with("segment.bytes", "16777216");
    node.log.create_topic(old, false).await.expect("made");
    node.create(1).await;
    node.commit("g", 0, 7).await;
    node.stop().await;
    let node = Node::start(dir.path()).await;
    assert!(node.log.topic(OFFSETS_TOPIC).expect("there").config.cleanup.compact);
    assert_eq!(node.groups.offset("g", "t", 0).map(|o| o.offset), Some(7));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offsets_of_a_deleted_topic_are_forgotten() {
    let dir = tempfile::tempdir().expect("directory");
    let node = Node::start(dir.path()).await;
    node.create(1).await;
    tokio::time::sleep(Duration::from_millis(50)).await; // the groups hear of it
    node.commit("g", 0, 7).await;
    node.log.delete_topic("t").await.expect("deleted");
    let gone = async {
        while !node.groups.list().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone).await.expect("forgotten");
    node.stop().await;
}

/// The topic went, and the node before its offsets did: one made anew under the name begins where it begins.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offsets_of_a_topic_that_went_unseen_are_forgotten_at_the_next_start() {
    let dir = tempfile::tempdir().expect("directory");
    let node = Node::start(dir.path()).await;
    node.create(1).await;
    node.commit("g", 0, 7).await;
    node.stop().await;
    let log = EmbeddedLog::open(dir.path(), LogSettings::default(), World::real()).await.expect("log opens");
    log.delete_topic("t").await.expect("deleted");
    log.close().await.expect("closes");
    drop(log);
    let node = Node::start(dir.path()).await;
    node.create(1).await;
    let gone = async {
        while node.groups.offset("g", "t", 0).is_some() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone).await.expect("forgotten");
    node.stop().await;
}

/// What the node says of others' records must be on disk, whatever it acknowledges of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_of_our_own_wait_for_the_disk_whatever_the_settings_say() {
    let dir = tempfile::tempdir().expect("directory");
    let settings = LogSettings { unsafe_ack_before_fsync: true, ..LogSettings::default() };
    let world = World::real();
    let log = EmbeddedLog::open(dir.path(), settings, world.clone()).await.expect("log opens");
    let groups = Groups::open(log.clone(), world.clone()).await.expect("groups open");
    let node = Node { log, groups, world };
    node.create(1).await;
    node.commit("g", 0, 7).await;
    assert!(node.log.topic("t").expect("made").config.unsafe_ack_before_fsync);
    assert!(!node.log.topic(OFFSETS_TOPIC).expect("made").config.unsafe_ack_before_fsync);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_keeps_its_place_over_a_restart() {
    let dir = tempfile::tempdir().expect("directory");
    let node = Node::start(dir.path()).await;
    let wish = JoinRequest {
        group: "g".into(),
        session_timeout: Duration::from_secs(10),
        rebalance_timeout: Duration::from_secs(10),
        protocol_type: "consumer".into(),
        protocols: vec![("range".into(), bytes::Bytes::new())],
        ..JoinRequest::default()
    };
    let joined = node.groups.join(wish).await;
    assert_eq!(joined.error, None);
    let who = MemberRef { group: "g".into(), member: joined.member.clone(), instance: None, generation: 1 };
    let assignments = vec![(joined.member, bytes::Bytes::from_static(b"all"))];
    let synced = node.groups.sync(SyncRequest { who: who.clone(), assignments, ..SyncRequest::default() }).await;
    assert_eq!(synced.assignment, "all");
    node.stop().await;

    let node = Node::start(dir.path()).await;
    assert_eq!(node.groups.heartbeat(who.clone()).await, Ok(()));
    let synced = node.groups.sync(SyncRequest { who, ..SyncRequest::default() }).await;
    assert_eq!(synced.assignment, "all");
    node.stop().await;
}
