//! Groups on a real log: durable, bounded, and gone with their topics.

use std::{path::Path, sync::Arc, time::Duration};

use commitlog::{
    Log, TopicSpec,
    embedded::{EmbeddedLog, LogSettings},
    groups::{
        CommitRequest, GroupSettings, Groups, JoinRequest, MemberRef, OFFSETS_TOPIC, OffsetToCommit, SyncRequest,
    },
};
use model::{TopicName, TopicPartition};
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
        let settings = GroupSettings { snapshot_after_records: 200, ..GroupSettings::default() };
        let groups = Groups::open_with(log.clone(), settings, world.clone()).await.expect("groups open");
        Self { log, groups, world }
    }

    async fn stop(self) {
        assert!(self.world.tasks.stop(Duration::from_secs(10)).await, "all tasks end");
        self.log.close().await.expect("log closes");
    }

    async fn commit(&self, group: &str, partition: i32, offset: i64) {
        let who = MemberRef { group: group.into(), generation: -1, ..MemberRef::default() };
        let offsets = vec![OffsetToCommit { topic: "t".into(), partition, offset, ..OffsetToCommit::default() }];
        let results = self.groups.commit(CommitRequest { who, offsets }).await;
        assert_eq!(results, [Ok(())]);
    }

    /// Records in the offsets topic.
    fn records(&self) -> i64 {
        let place = TopicPartition::new(TopicName::new(OFFSETS_TOPIC).expect("legal"), 0);
        let bounds = self.log.bounds(&place).expect("exists");
        bounds.high_watermark - bounds.log_start
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_offsets_topic_stays_bounded_and_is_replayed_whole() {
    let dir = tempfile::tempdir().expect("directory");
    let node = Node::start(dir.path()).await;
    for round in 0..100 {
        let commits = (0..20).map(|partition| node.commit("g", partition, round));
        futures::future::join_all(commits).await;
    }
    assert!(node.records() < 500, "{} records for 20 offsets", node.records());
    node.stop().await;

    let node = Node::start(dir.path()).await;
    let offsets = node.groups.offsets("g");
    assert_eq!(offsets.len(), 20);
    assert!(offsets.values().all(|o| o.offset == 99));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offsets_of_a_deleted_topic_are_forgotten() {
    let dir = tempfile::tempdir().expect("directory");
    let node = Node::start(dir.path()).await;
    node.log.create_topic(TopicSpec::new(TopicName::new("t").expect("legal"), 1), false).await.expect("made");
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
