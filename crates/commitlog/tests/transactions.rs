//! The coordinator on a real log: what commits together, who is fenced, and what a power cut leaves.

use std::{collections::BTreeSet, path::Path, sync::Arc, time::Duration};

use commitlog::{
    EmbeddedLog, Log, LogSettings,
    groups::{CommitRequest, Groups, MemberRef, OffsetToCommit},
    log::wait_beyond,
    record::{BatchBuilder, Codec, Marker},
    transactions::{Identity, Protocol, TransactionError, TransactionSettings, Transactions},
};
use model::TopicPartition;
use testkit::{
    MemoryDisk,
    log_conformance::{append, batch, create, keyed_as, read_committed, tp, transactional},
};
use world::World;

struct Node {
    log: Arc<EmbeddedLog>,
    groups: Arc<Groups>,
    transactions: Arc<Transactions>,
}

async fn start(disk: &MemoryDisk) -> Node {
    let world = World { disk: Arc::new(disk.clone()), ..World::real() };
    let settings = LogSettings { wal_file_bytes: 16 << 10, checkpoint_bytes: 48 << 10, ..LogSettings::default() };
    let log = EmbeddedLog::open(Path::new("/log"), settings, world.clone()).await.expect("log");
    let groups = Groups::open(log.clone(), world.clone()).await.expect("groups");
    let transactions = Transactions::open(log.clone(), groups.clone(), world).await.expect("transactions");
    Node { log, groups, transactions }
}

impl Node {
    async fn init(&self, id: &str) -> Identity {
        self.transactions.init(id, 60_000, None).await.expect("init")
    }

    async fn add(&self, id: &str, who: Identity, at: &TopicPartition) {
        self.transactions.add(id, who, BTreeSet::from([at.clone()])).await.expect("add");
    }

    /// One record in the transaction of `who`.
    async fn write(&self, who: Identity, at: &TopicPartition, sequence: i32, value: &str) {
        let batch = transactional(who.producer, who.epoch, sequence, value);
        self.transactions.append(at, batch, who).expect("open").await.expect("append");
    }

    async fn commit_offset(&self, id: &str, who: Identity, group: &str, offset: i64) {
        self.transactions.add_offsets(id, who).await.expect("add offsets");
        let member = MemberRef { group: group.into(), generation: -1, ..MemberRef::default() };
        let offset = OffsetToCommit { topic: "from".into(), offset, leader_epoch: -1, ..OffsetToCommit::default() };
        let request = CommitRequest { who: member, offsets: vec![offset] };
        let results = self.transactions.commit_offsets(id, who, request, Protocol::V1).await.expect("open");
        assert_eq!(results, [Ok(())]);
    }

    fn offset(&self, group: &str) -> Option<i64> {
        self.groups.offset(group, "from", 0).map(|committed| committed.offset)
    }

    async fn values(&self, at: &TopicPartition) -> Vec<String> {
        read_committed(&*self.log, at).await.into_iter().map(|(_, value)| value).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_and_offsets_count_together_or_not_at_all() {
    let disk = MemoryDisk::new();
    let node = start(&disk).await;
    create(&*node.log, "to", 2, &[]).await;
    let (a, b) = (tp("to", 0), tp("to", 1));
    let who = node.init("copy").await;
    for (round, how) in [Marker::Commit, Marker::Abort, Marker::Commit].into_iter().enumerate() {
        for at in [&a, &b] {
            node.add("copy", who, at).await;
            node.write(who, at, round as i32, &format!("{round}")).await;
        }
        node.commit_offset("copy", who, "g", 10 + round as i64).await;
        let shown = node.offset("g");
        assert!(node.groups.is_unstable("g", "from", 0));
        assert_ne!(shown, Some(10 + round as i64), "shown only when it commits");
        node.transactions.end("copy", who, how, Protocol::V1).await.expect("end");
        assert!(!node.groups.is_unstable("g", "from", 0));
        assert_eq!(node.offset("g") == Some(10 + round as i64), how == Marker::Commit);
        // The answer to the first was lost.
        node.transactions.end("copy", who, how, Protocol::V1).await.expect("the same again");
    }
    let other = node.transactions.end("copy", who, Marker::Abort, Protocol::V1).await;
    assert_eq!(other, Err(TransactionError::StateInvalid));
    for at in [&a, &b] {
        assert_eq!(node.values(at).await, ["0", "2"]);
    }
    let outside = node.transactions.append(&a, transactional(who.producer, who.epoch, 3, "x"), who).err();
    assert_eq!(outside, Some(TransactionError::StateInvalid), "TXN-2: nothing is open");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_producer_ends_and_fences_the_old_one() {
    let node = start(&MemoryDisk::new()).await;
    create(&*node.log, "to", 1, &[]).await;
    let at = tp("to", 0);
    let old = node.init("id").await;
    node.add("id", old, &at).await;
    node.write(old, &at, 0, "old").await;
    let new = node.init("id").await;
    assert_eq!(new, Identity { producer: old.producer, epoch: old.epoch + 2 }, "one to fence, one to begin with");
    let late = transactional(old.producer, old.epoch, 1, "late");
    assert_eq!(node.transactions.append(&at, late.clone(), old).err(), Some(TransactionError::EpochOld));
    append(&*node.log, &at, late).await.expect_err("the log itself knows");
    assert_eq!(node.transactions.end("id", old, Marker::Commit, Protocol::V1).await, Err(TransactionError::Fenced));
    let partitions = BTreeSet::from([at.clone()]);
    assert_eq!(node.transactions.add("id", old, partitions).await, Err(TransactionError::Fenced));
    node.add("id", new, &at).await;
    node.write(new, &at, 0, "new").await;
    node.transactions.end("id", new, Marker::Commit, Protocol::V1).await.expect("commit");
    assert_eq!(node.values(&at).await, ["new"]);
    for (timeout, id, error) in [
        (0, "id", TransactionError::TimeoutInvalid),
        (i32::MAX, "id", TransactionError::TimeoutInvalid),
        (1, "", TransactionError::IdInvalid),
    ] {
        assert_eq!(node.transactions.init(id, timeout, None).await, Err(error));
    }
    let stranger = Identity { producer: 999, epoch: 0 };
    assert_eq!(
        node.transactions.end("nobody", stranger, Marker::Commit, Protocol::V1).await,
        Err(TransactionError::MappingInvalid)
    );
    assert_eq!(
        node.transactions.end("id", stranger, Marker::Commit, Protocol::V1).await,
        Err(TransactionError::MappingInvalid)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_takes_too_long_is_aborted_and_its_producer_fenced() {
    let node = start(&MemoryDisk::new()).await;
    create(&*node.log, "to", 1, &[]).await;
    let at = tp("to", 0);
    let who = node.transactions.init("slow", 50, None).await.expect("init");
    node.add("slow", who, &at).await;
    node.write(who, &at, 0, "x").await;
    let bounds = wait_beyond(&*node.log, &at, 0, Duration::from_secs(60)).await.expect("bounds");
    assert_eq!(bounds.last_stable, 2, "the marker came");
    assert!(node.values(&at).await.is_empty());
    assert_eq!(node.transactions.end("slow", who, Marker::Commit, Protocol::V1).await, Err(TransactionError::Fenced));
}

/// Somebody has written under the producer's id with an epoch beyond all others, while it had nothing open there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_that_refuses_a_marker_for_ever_does_not_hold_up_its_transaction() {
    let node = start(&MemoryDisk::new()).await;
    create(&*node.log, "to", 2, &[("max.message.bytes", "0")]).await;
    let at = tp("to", 0);
    let who = node.init("id").await;
    let newest = BatchBuilder::new(Codec::None).producer(who.producer, i16::MAX, 0);
    append(&*node.log, &at, keyed_as(newest, 1, &[("k", Some("v"))])).await.expect_err("too large for the topic");
    node.log.alter_topic("to", std::collections::BTreeMap::new(), false).await.expect("altered");
    let newest = BatchBuilder::new(Codec::None).producer(who.producer, i16::MAX, 0);
    append(&*node.log, &at, keyed_as(newest, 1, &[("k", Some("v"))])).await.expect("nothing is open there");
    node.add("id", who, &at).await;
    node.add("id", who, &tp("to", 1)).await;
    node.write(who, &tp("to", 1), 0, "x").await;
    let none = [("max.message.bytes".to_owned(), "0".to_owned())].into();
    node.log.alter_topic("to", none, false).await.expect("altered");
    node.transactions.end("id", who, Marker::Abort, Protocol::V1).await.expect("it ends");
    assert_eq!(
        node.log.bounds(&tp("to", 1)).expect("bounds").last_stable,
        2,
        "the marker came, whatever the topic takes"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_that_nobody_uses_are_forgotten() {
    let world = World { disk: Arc::new(MemoryDisk::new()), ..World::real() };
    let log = EmbeddedLog::open(Path::new("/log"), LogSettings::default(), world.clone()).await.expect("log");
    let groups = Groups::open(log.clone(), world.clone()).await.expect("groups");
    let settings = TransactionSettings { id_retention: Duration::ZERO, ids_max: 2, ..TransactionSettings::default() };
    let open = || Transactions::open_with(log.clone(), groups.clone(), settings.clone(), world.clone());
    let transactions = open().await.expect("transactions");
    for id in ["a", "b"] {
        transactions.init(id, 1000, None).await.expect("init");
    }
    assert_eq!(transactions.init("c", 1000, None).await, Err(TransactionError::TooMany));
    assert_eq!(transactions.list().len(), 2);
    transactions.forget_old().await;
    assert!(transactions.list().is_empty());
    transactions.init("c", 1000, None).await.expect("there is room again");
    assert_eq!(open().await.expect("transactions").list().len(), 1, "what was forgotten stays so");
}

/// TXN-1, as a stream processor would: copies with the offsets in the transaction, killed at any moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transactional_copy_survives_power_cuts() {
    for seed in 0..12u64 {
        let mut disk = MemoryDisk::new();
        let (from, to) = (tp("from", 0), tp("to", 0));
        for round in 0..6u64 {
            let node = start(&disk).await;
            if round == 0 {
                create(&*node.log, "from", 1, &[]).await;
                create(&*node.log, "to", 1, &[("segment.bytes", "4000")]).await;
                for n in 0..60 {
                    append(&*node.log, &from, batch(1, &[&format!("{n}")])).await.expect("append");
                }
            }
            let source = node.values(&from).await;
            let mut who = node.init("copy").await;
            // With the second protocol each end raises the epoch, and sequences begin again.
            let (protocol, mut begun) = (if round % 2 == 0 { Protocol::V1 } else { Protocol::V2 }, 0);
            let mut next = node.offset("g").unwrap_or(0);
            assert_eq!(node.values(&to).await, source[..next as usize], "seed {seed} round {round}");
            for (step, n) in (0..10 + (seed + round) % 3).enumerate() {
                if next as usize >= source.len() {
                    break;
                }
                node.add("copy", who, &to).await;
                node.write(who, &to, (step - begun) as i32, &source[next as usize]).await;
                node.commit_offset("copy", who, "g", next + 1).await;
                if (n + seed) % 4 == 3 {
                    who = node.transactions.end("copy", who, Marker::Abort, protocol).await.expect("abort");
                } else if n == 9 && seed % 3 == 0 {
                    // Cut while it is open.
                    break;
                } else {
                    who = node.transactions.end("copy", who, Marker::Commit, protocol).await.expect("commit");
                    next += 1;
                }
                if protocol == Protocol::V2 {
                    begun = step + 1;
                }
            }
            if seed % 2 == 0 {
                node.log.checkpoint().await.expect("checkpoint");
            }
            disk = disk.power_cut(seed * 10 + round);
        }
    }
}
