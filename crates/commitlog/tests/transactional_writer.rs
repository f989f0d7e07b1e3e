//! Transactions of our own roles: what counts together, who is fenced, what each error lets one do, and what a power cut leaves.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use commitlog::{
    EmbeddedLog, Isolation, Log, LogSettings,
    groups::{Groups, JoinRequest, MemberRef, OffsetToCommit, SyncRequest},
    log::wait_beyond,
    record::{BatchBuilder, Codec},
    transactions::{TransactionSettings, TransactionalWriter, Transactions, WriterError},
};
use model::{TopicPartition, error::codes};
use proptest::prelude::*;
use testkit::{
    Fault, MemoryDisk,
    log_conformance::{create, read_committed, tp},
};
use tokio::task::{JoinError, JoinSet};
use world::World;

const MINUTE: Duration = Duration::from_secs(60);

struct Node {
    log: Arc<EmbeddedLog>,
    groups: Arc<Groups>,
    transactions: Arc<Transactions>,
    world: World,
}

async fn start(disk: &MemoryDisk) -> Node {
    start_with(disk, TransactionSettings::default()).await
}

async fn start_with(disk: &MemoryDisk, settings: TransactionSettings) -> Node {
    let world = World { disk: Arc::new(disk.clone()), ..World::real() };
    let log_settings = LogSettings { wal_file_bytes: 16 << 10, checkpoint_bytes: 48 << 10, ..LogSettings::default() };
    let log = EmbeddedLog::open(Path::new("/log"), log_settings, world.clone()).await.expect("log");
    let groups = Groups::open(log.clone(), world.clone()).await.expect("groups");
    let transactions = Transactions::open_with(log.clone(), groups.clone(), settings, world.clone());
    let transactions = transactions.await.expect("transactions");
    if log.topic("from").is_none() {
        create(&*log, "from", 1, &[]).await;
    }
    Node { log, groups, transactions, world }
}

impl Node {
    async fn writer(&self, id: &str) -> TransactionalWriter {
        TransactionalWriter::open(&self.transactions, id, MINUTE).await.expect("opens")
    }

    fn offset(&self, group: &str) -> Option<i64> {
        self.groups.offset(group, "from", 0).map(|committed| committed.offset)
    }

    async fn values(&self, at: &TopicPartition) -> Vec<String> {
        read_committed(&*self.log, at).await.into_iter().map(|(_, value)| value).collect()
    }
}

fn batch(values: &[String]) -> BatchBuilder {
    let mut batch = BatchBuilder::new(Codec::None);
    for value in values {
        batch.push(1, None, Some(value.as_bytes()), &[]);
    }
    batch
}

fn one(value: &str) -> BatchBuilder {
    batch(&[value.to_owned()])
}

fn outside(group: &str) -> MemberRef {
    MemberRef { group: group.into(), generation: -1, ..MemberRef::default() }
}

fn up_to(offset: i64) -> Vec<OffsetToCommit> {
    vec![OffsetToCommit { topic: "from".into(), offset, leader_epoch: -1, ..OffsetToCommit::default() }]
}

fn is_abort(result: Result<(), WriterError>) -> bool {
    matches!(result, Err(WriterError::Abort(_)))
}

fn is_fenced(result: Result<(), WriterError>) -> bool {
    matches!(result, Err(WriterError::GiveUp(error)) if error.is(codes::TRANSACTION_FENCED))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outputs_in_several_topics_and_offsets_count_together_or_not_at_all() {
    let node = start(&MemoryDisk::new()).await;
    create(&*node.log, "a", 2, &[]).await;
    create(&*node.log, "b", 1, &[]).await;
    let outputs = [tp("a", 0), tp("a", 1), tp("b", 0)];
    let mut writer = node.writer("w").await;
    for round in 0..6 {
        writer.begin().await.expect("begins");
        for at in &outputs {
            writer.append(at, batch(&[format!("{round}"), format!("{round}")])).await.expect("appends");
            writer.append(at, one(&format!("{round}"))).await.expect("appends");
        }
        writer.add_offsets(outside("g"), up_to(10 + round)).await.expect("adds");
        assert_ne!(node.offset("g"), Some(10 + round), "shown when it commits");
        if round % 3 == 1 {
            writer.abort().await.expect("aborts");
        } else {
            writer.commit().await.expect("commits");
        }
        assert_eq!(node.offset("g") == Some(10 + round), round % 3 != 1);
    }
    for at in &outputs {
        assert_eq!(node.values(at).await, ["0", "0", "0", "2", "2", "2", "3", "3", "3", "5", "5", "5"]);
    }
    // A transaction in which nothing happened.
    writer.begin().await.expect("begins");
    writer.commit().await.expect("commits");
    writer.abort().await.expect("there is nothing to abort");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_writer_of_the_same_id_fences_the_first_whatever_it_is_doing() {
    let node = start(&MemoryDisk::new()).await;
    create(&*node.log, "to", 1, &[]).await;
    let at = tp("to", 0);
    for step in 0..5 {
        let mut first = node.writer("only-one").await;
        first.begin().await.expect("begins");
        if step > 0 {
            first.append(&at, one("lost")).await.expect("appends");
        }
        if step > 1 {
            first.add_offsets(outside("g"), up_to(5)).await.expect("adds");
        }
        let mut second = node.writer("only-one").await;
        match step {
            0 => assert!(is_abort(first.append(&at, one("lost")).await)),
            1 | 2 => assert!(is_fenced(first.commit().await)),
            3 => assert!(is_fenced(first.abort().await)),
            _ => assert!(is_abort(first.add_offsets(outside("g"), up_to(6)).await)),
        }
        assert!(is_fenced(first.abort().await), "it hears so at the latest when it aborts (step {step})");
        assert!(is_fenced(first.begin().await) && is_fenced(first.commit().await));
        second.begin().await.expect("begins");
        second.append(&at, one("kept")).await.expect("appends");
        second.commit().await.expect("commits");
    }
    assert_eq!(node.values(&at).await, ["kept"; 5]);
    assert_eq!(node.offset("g"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_is_too_slow_hears_so_and_can_go_on() {
    let node = start(&MemoryDisk::new()).await;
    create(&*node.log, "to", 1, &[]).await;
    let at = tp("to", 0);
    let mut slow =
        TransactionalWriter::open(&node.transactions, "slow", Duration::from_millis(50)).await.expect("opens");
    let mut end = 0;
    for step in 0..3 {
        slow.begin().await.expect("begins");
        slow.append(&at, one("late")).await.expect("appends");
        end = wait_beyond(&*node.log, &at, end, MINUTE).await.expect("the coordinator aborts it").last_stable;
        match step {
            0 => assert!(is_abort(slow.commit().await)),
            1 => assert!(is_abort(slow.append(&at, one("later")).await)),
            _ => {}
        }
        slow.abort().await.expect("aborts");
    }
    assert!(node.values(&at).await.is_empty());
    slow.begin().await.expect("begins");
    slow.append(&at, one("in time")).await.expect("appends");
    slow.commit().await.expect("commits");
    assert_eq!(node.values(&at).await, ["in time"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offsets_are_taken_from_the_present_generation_only() {
    let node = start(&MemoryDisk::new()).await;
    create(&*node.log, "to", 1, &[]).await;
    let join = || async {
        let request = JoinRequest {
            group: "g".into(),
            session_timeout: Duration::from_secs(10),
            rebalance_timeout: Duration::from_secs(10),
            protocol_type: "consumer".into(),
            protocols: vec![("range".into(), Bytes::new())],
            ..JoinRequest::default()
        };
        let joined = node.groups.join(request).await;
        assert_eq!(joined.error, None);
        let who = MemberRef {
            group: "g".into(),
            member: joined.member,
            generation: joined.generation,
            ..MemberRef::default()
        };
        let assignments = vec![(who.member.clone(), Bytes::from_static(b"all"))];
        let synced = node.groups.sync(SyncRequest { who: who.clone(), assignments, ..SyncRequest::default() }).await;
        assert_eq!(synced.error, None);
        who
    };
    let first = join().await;
    let mut writer = node.writer("w").await;
    let at = tp("to", 0);
    let attempt = async |writer: &mut TransactionalWriter, who: &MemberRef, value: &str, offset| {
        writer.begin().await.expect("begins");
        writer.append(&at, one(value)).await.expect("appends");
        let added = writer.add_offsets(who.clone(), up_to(offset)).await;
        let Err(error) = added else { return writer.commit().await };
        assert!(is_abort(writer.commit().await), "what was refused takes the transaction with it");
        writer.abort().await.expect("aborts");
        Err(error)
    };
    attempt(&mut writer, &first, "mine", 1).await.expect("the member of the generation");
    let stale = MemberRef { generation: first.generation - 1, ..first.clone() };
    let stranger = MemberRef { member: "x".into(), ..first.clone() };
    for who in [&stale, &stranger, &outside("")] {
        let error = attempt(&mut writer, who, "not mine", 9).await.expect_err("refused");
        assert!(error.error().is(codes::TRANSACTION_ABORTED) && error.error().hint_text().is_some(), "{error}");
    }
    let left = node.groups.leave("g", vec![commitlog::groups::Leaver { member: first.member.clone(), instance: None }]);
    assert_eq!(left.await, [Ok(())]);
    let second = join().await;
    attempt(&mut writer, &first, "not mine any more", 9).await.expect_err("refused");
    attempt(&mut writer, &second, "mine", 2).await.expect("the member of the generation");
    assert_eq!((node.offset("g"), node.values(&at).await), (Some(2), vec!["mine".to_owned(); 2]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_that_fails_takes_the_transaction_with_it() {
    let node = start(&MemoryDisk::new()).await;
    create(&*node.log, "to", 1, &[("max.message.bytes", "1000")]).await;
    let at = tp("to", 0);
    let mut writer = node.writer("w").await;
    for bad in [at.clone(), tp("to", 1), tp("nowhere", 0), tp("__consumer_offsets", 0)] {
        writer.begin().await.expect("begins");
        writer.append(&at, one("good")).await.expect("appends");
        let large = one(&"x".repeat(2000));
        let appended = writer.append(&bad, large).await;
        assert!(appended.is_ok() || is_abort(appended));
        assert!(is_abort(writer.commit().await));
        assert!(is_abort(writer.begin().await), "it is not over before it is aborted");
        writer.abort().await.expect("aborts");
    }
    writer.begin().await.expect("begins");
    let nowhere = OffsetToCommit { topic: "nowhere".into(), ..OffsetToCommit::default() };
    assert!(is_abort(writer.add_offsets(outside("g"), vec![nowhere]).await), "they would be gone after the next start");
    writer.abort().await.expect("aborts");
    writer.begin().await.expect("begins");
    writer.append(&at, one("good")).await.expect("appends");
    writer.commit().await.expect("commits");
    assert_eq!(node.values(&at).await, ["good"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_disk_is_full_the_same_call_is_made_again() {
    let disk = MemoryDisk::new();
    let node = start(&disk).await;
    create(&*node.log, "to", 1, &[]).await;
    let at = tp("to", 0);
    let mut writer = node.writer("w").await;
    for (how, full) in [("commit", true), ("abort", true), ("commit", false)] {
        writer.begin().await.expect("begins");
        writer.append(&at, one(how)).await.expect("appends");
        writer.add_offsets(outside("g"), up_to(1)).await.expect("adds");
        if how == "commit" && full {
            // Until it is on disk, so that what fails is the decision.
            let end = node.log.bounds(&at).expect("bounds").log_end;
            while node.log.bounds(&at).expect("bounds").high_watermark < end {
                tokio::task::yield_now().await;
            }
        }
        disk.set_fault(full.then_some(Fault::Full));
        let end = async |writer: &mut TransactionalWriter| match how {
            "commit" => writer.commit().await,
            _ => writer.abort().await,
        };
        let mut ended = end(&mut writer).await;
        if matches!(ended, Err(WriterError::Retry(_))) {
            disk.set_fault(None);
            ended = end(&mut writer).await;
        }
        disk.set_fault(None);
        ended.expect("ended in the end");
    }
    assert_eq!(node.values(&at).await, ["commit", "commit"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_nobody_waited_for_can_be_asked_again() {
    let node = start(&MemoryDisk::new()).await;
    create(&*node.log, "to", 1, &[]).await;
    let at = tp("to", 0);
    let mut writer = node.writer("w").await;
    for round in 0..40u64 {
        writer.begin().await.expect("begins");
        writer.append(&at, one(&format!("{round}"))).await.expect("appends");
        let patience = Duration::from_micros(round * 20);
        if tokio::time::timeout(patience, writer.commit()).await.is_err() {
            match writer.abort().await {
                // It was dropped while the appends were still on their way: nobody has asked for a decision.
                Ok(()) => {
                    writer.begin().await.expect("begins");
                    writer.append(&at, one(&format!("{round}"))).await.expect("appends");
                    writer.commit().await.expect("commits");
                }
                Err(WriterError::Retry(_)) => writer.commit().await.expect("the same again"),
                Err(error) => panic!("{error}"),
            }
        }
    }
    assert_eq!(node.values(&at).await, (0..40).map(|round| round.to_string()).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn misuse_is_named_and_harms_nothing() {
    let settings = TransactionSettings { id_retention: Duration::ZERO, ..TransactionSettings::default() };
    let node = start_with(&MemoryDisk::new(), settings).await;
    create(&*node.log, "to", 1, &[]).await;
    let at = tp("to", 0);
    let is_misuse = |result: Result<(), WriterError>| matches!(result, Err(WriterError::GiveUp(e)) if e.is(codes::TRANSACTION_MISUSED));
    for (id, timeout) in [("", MINUTE), ("w", Duration::ZERO), ("w", 60 * MINUTE)] {
        assert!(is_misuse(TransactionalWriter::open(&node.transactions, id, timeout).await.map(drop)));
    }
    let mut writer = node.writer("w").await;
    assert!(is_misuse(writer.append(&at, one("x")).await));
    assert!(is_misuse(writer.add_offsets(outside("g"), up_to(1)).await));
    assert!(is_misuse(writer.commit().await));
    writer.begin().await.expect("begins");
    assert!(is_misuse(writer.begin().await));
    writer.append(&at, BatchBuilder::new(Codec::None)).await.expect("nothing to append");
    writer.append(&at, one("x")).await.expect("appends");
    writer.commit().await.expect("commits");
    // An id that was not used for long is forgotten; its writer goes on all the same.
    node.transactions.forget_old().await;
    assert!(node.transactions.list().is_empty());
    writer.begin().await.expect("begins");
    writer.append(&at, one("y")).await.expect("appends");
    writer.commit().await.expect("commits");
    assert_eq!(node.values(&at).await, ["x", "y"]);
}

// ── power cuts ──

/// Records each transaction writes to each of its outputs.
const EACH: usize = 3;
const OUTPUTS: usize = 3;

fn output(number: usize) -> TopicPartition {
    [tp("a", 0), tp("a", 1), tp("b", 0)][number].clone()
}

/// Makes transaction after transaction from the committed offset on, until something fails for good.
async fn work(node: &Node, aborts: u64) -> Result<(), WriterError> {
    let mut writer = TransactionalWriter::open(&node.transactions, "copy", MINUTE).await?;
    let mut next = node.offset("g").unwrap_or(0);
    for turn in 0.. {
        writer.begin().await?;
        for part in 0..OUTPUTS {
            let values: Vec<_> = (0..EACH).map(|n| format!("{next}.{n}")).collect();
            // In one batch or in several.
            for values in values.chunks(1 + (turn as usize + part) % EACH) {
                writer.append(&output(part), batch(values)).await?;
            }
        }
        writer.add_offsets(outside("g"), up_to(next + 1)).await?;
        if aborts > 0 && turn % aborts == aborts - 1 {
            writer.abort().await?;
        } else {
            writer.commit().await?;
            next += 1;
        }
        if turn > 40 {
            break;
        }
    }
    Ok(())
}

/// Committed readers see a transaction's records in a partition together, whenever they look.
async fn watch(log: Arc<EmbeddedLog>) {
    loop {
        for part in 0..OUTPUTS {
            let at = output(part);
            let (mut seen, mut next): (BTreeMap<String, usize>, _) = (BTreeMap::new(), 0);
            // A read ends with its segment at the latest, and that may be in the middle of a transaction.
            loop {
                let Ok(slice) = log.read(&at, next, usize::MAX, Isolation::Committed).await else { return };
                if slice.records.is_empty() {
                    break;
                }
                for batch in slice.batches() {
                    let (batch, is_hidden) = batch.expect("a batch");
                    next = batch.header.next_offset();
                    if is_hidden {
                        continue;
                    }
                    let block = batch.decompress(1 << 20).expect("records");
                    for record in commitlog::record::Records::new(&batch.header, &block) {
                        let value = String::from_utf8(record.expect("a record").value.expect("a value").to_vec());
                        let value = value.expect("text");
                        let (transaction, _) = value.split_once('.').expect("number and part");
                        *seen.entry(transaction.to_owned()).or_default() += 1;
                    }
                }
            }
            assert!(seen.values().all(|count| *count == EACH), "half a transaction in {at}: {seen:?}");
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn outputs_and_offsets_agree(node: &Node) {
    // Whoever opens the id waits until what was decided has its markers.
    node.writer("copy").await;
    let done = node.offset("g").unwrap_or(0);
    let expected: Vec<_> = (0..done).flat_map(|t| (0..EACH).map(move |n| format!("{t}.{n}"))).collect();
    for part in 0..OUTPUTS {
        assert_eq!(node.values(&output(part)).await, expected, "{} against offset {done}", output(part));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// TXN-1 for our own roles: power is cut after any number of changes to the disk, again and again.
    #[test]
    fn outputs_and_offsets_are_both_there_or_neither_after_power_cuts(
        cuts in proptest::collection::vec((0u64..400, any::<u64>(), 0u64..5), 1..6),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.expect("runtime").block_on(async {
            let mut disk = MemoryDisk::new();
            let node = start(&disk).await;
            create(&*node.log, "a", 2, &[("segment.bytes", "4000")]).await;
            create(&*node.log, "b", 1, &[]).await;
            node.world.tasks.stop(MINUTE).await;
            node.log.close().await.expect("closes");
            for (changes, seed, aborts) in cuts {
                disk = disk.power_cut(seed);
                let node = start(&disk).await;
                outputs_and_offsets_agree(&node).await;
                disk.stop_after(changes);
                let mut watchers = JoinSet::new();
                watchers.spawn(watch(node.log.clone()));
                let worked = tokio::time::timeout(Duration::from_secs(5), work(&node, aborts)).await;
                if let Ok(worked) = worked {
                    assert!(worked.is_ok() || disk.has_stopped(), "{worked:?}");
                }
                // Ends by itself only once the disk is gone.
                watchers.abort_all();
                while let Some(ended) = watchers.join_next().await {
                    assert!(ended.as_ref().map_or_else(JoinError::is_cancelled, |()| true), "{ended:?}");
                }
                node.world.tasks.stop(Duration::from_millis(100)).await;
            }
            let node = start(&disk.power_cut(0)).await;
            outputs_and_offsets_agree(&node).await;
        });
    }
}
