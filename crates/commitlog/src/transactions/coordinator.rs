//! The coordinator at work: each step durable before it is told, markers written whatever dies when, time kept.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use futures::future::{BoxFuture, join_all};
use model::{Error, ErrorKind, ProducerId, Result, TopicName, TopicPartition, error::codes::PRODUCER_EPOCH_OLD};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Mutex as Turn, Notify, OwnedMutexGuard, oneshot};
use world::{TaskKind, World};

use super::{
    TRANSACTIONS_TOPIC,
    core::{self, End, Init, Protocol, State, Transaction},
    records,
    types::{Identity, TransactionError, TransactionSettings, TransactionSummary},
};
use crate::{
    groups::{CommitRequest, GroupError, Groups, OFFSETS_TOPIC},
    log::{Append, Appended, Isolation, Log},
    own_topic,
    planted::{self, Bug},
    record::{self, BatchBuilder, Codec, Marker},
};

/// How much of the transactions' topic is read at a time when it is replayed.
const REPLAY_BYTES: usize = 4 << 20;
/// Largest block of it after decompression.
const RECORDS_BYTES_MAX: usize = 64 << 20;
/// There is one coordinator, for ever the same.
const COORDINATOR_EPOCH: i32 = 0;
/// Between two tries to write markers.
const RETRY_MIN: Duration = Duration::from_millis(20);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// Between two looks for ids that nobody has used for long.
const FORGET_INTERVAL: Duration = Duration::from_secs(600);
/// Longest transactional id: it must fit the protocol's strings.
const ID_BYTES_MAX: usize = i16::MAX as usize;

/// All transactions of a log. Cheap to share; everything it keeps is in the log.
pub struct Transactions {
    log: Arc<dyn Log>,
    groups: Arc<Groups>,
    world: World,
    settings: TransactionSettings,
    place: TopicPartition,
    /// Where groups keep their offsets.
    offsets: TopicPartition,
    ids: Mutex<BTreeMap<Arc<str>, Arc<Slot>>>,
    /// TXN-2: what each producer may write to, and its newest epoch. Read while a batch gets its offset, so that none gets one
    /// behind a marker.
    open: RwLock<BTreeMap<ProducerId, Open>>,
    /// A deadline may have come nearer.
    timers: Notify,
    me: Weak<Self>,
}

/// A transactional id. Questions about it take turns, which are held while its record is written: nobody else waits.
struct Slot {
    id: Arc<str>,
    turn: Arc<Turn<()>>,
    /// What is durable.
    now: Mutex<Option<Transaction>>,
}

type MyTurn = OwnedMutexGuard<()>;

/// A producer and the partitions that take its batches; none while it has no transaction open.
struct Open {
    epoch: i16,
    partitions: BTreeSet<TopicPartition>,
}

impl Transactions {
    pub async fn open(log: Arc<dyn Log>, groups: Arc<Groups>, world: World) -> Result<Arc<Self>> {
        Self::open_with(log, groups, TransactionSettings::default(), world).await
    }

    /// Replays the transactions' topic, ends what was decided, and starts the timers.
    pub async fn open_with(
        log: Arc<dyn Log>,
        groups: Arc<Groups>,
        settings: TransactionSettings,
        world: World,
    ) -> Result<Arc<Self>> {
        let topic = |name: &str| TopicPartition::new(TopicName::new(name).expect("a legal name"), 0);
        let (place, offsets) = (topic(TRANSACTIONS_TOPIC), topic(OFFSETS_TOPIC));
        let is_there = own_topic::update(&*log, &place.topic).await?;
        let known = if is_there { replay(&*log, &place).await? } else { BTreeMap::new() };
        let mut ids = BTreeMap::new();
        let mut open = BTreeMap::new();
        for (id, transaction) in known {
            let id: Arc<str> = id.into();
            let takes = match transaction.state {
                State::Ongoing => Open::new(&transaction),
                State::Empty | State::Prepared(_) | State::Complete(_) => Open::nothing(transaction.identity),
            };
            open.insert(transaction.identity.producer, takes);
            let slot = Slot { id: id.clone(), turn: Arc::default(), now: Mutex::new(Some(transaction)) };
            ids.insert(id, Arc::new(slot));
        }
        let transactions = Arc::new_cyclic(|me| Self {
            log,
            groups,
            world,
            settings,
            place,
            offsets,
            ids: Mutex::new(ids),
            open: RwLock::new(open),
            timers: Notify::new(),
            me: me.clone(),
        });
        transactions.finish_decided();
        transactions.world.tasks.spawn(TaskKind::Background, transactions.clone().keep_time());
        Ok(transactions)
    }

    pub fn settings(&self) -> &TransactionSettings {
        &self.settings
    }

    // ── producers ──

    /// A producer starts: gives it its identity, ends what its predecessor left open and fences it. `claims`: who it was, if it
    /// only wants a new epoch.
    pub async fn init(
        &self,
        id: &str,
        timeout_ms: i32,
        claims: Option<Identity>,
    ) -> Result<Identity, TransactionError> {
        if id.is_empty() || id.len() > ID_BYTES_MAX {
            return Err(TransactionError::IdInvalid);
        }
        let longest = i32::try_from(self.settings.timeout_max.as_millis()).unwrap_or(i32::MAX);
        if !(1..=longest).contains(&timeout_ms) {
            return Err(TransactionError::TimeoutInvalid);
        }
        let (slot, mut turn) = loop {
            let slot = self.slot_or_new(id)?;
            let turn = self.turn(&slot).await?;
            // While it waited the id may have been forgotten, and its slot with it.
            if self.ids.lock().get(id).is_some_and(|now| Arc::ptr_eq(now, &slot)) {
                break (slot, turn);
            }
        };
        loop {
            let current = slot.now.lock().clone();
            let fresh = match core::needs_new_id(current.as_ref()) {
                true => self.fresh().await?,
                false => -1,
            };
            match core::init(current.as_ref(), claims, timeout_ms, fresh, self.now())? {
                Init::Again(identity) => return Ok(identity),
                Init::Become(next) => {
                    let identity = next.identity;
                    self.become_durable(&slot, next).await?;
                    self.closed(current.map(|current| current.identity), identity);
                    return Ok(identity);
                }
                Init::AbortFirst(aborting) => turn = self.decide(&slot, turn, aborting).await?,
            }
        }
    }

    /// Partitions join the transaction of `id`.
    pub async fn add(
        &self,
        id: &str,
        who: Identity,
        partitions: BTreeSet<TopicPartition>,
    ) -> Result<(), TransactionError> {
        let slot = self.slot(id)?;
        let _turn = self.turn(&slot).await?;
        let current = slot.now.lock().clone().ok_or(TransactionError::MappingInvalid)?;
        let Some(next) = core::add(&current, who, &partitions, self.now())? else { return Ok(()) };
        if next.partitions.len() > self.settings.partitions_max {
            return Err(TransactionError::TooMany);
        }
        let open = Open::new(&next);
        self.become_durable(&slot, next).await?;
        self.open.write().insert(who.producer, open);
        self.timers.notify_one();
        Ok(())
    }

    /// The offsets of groups join the transaction of `id`.
    pub async fn add_offsets(&self, id: &str, who: Identity) -> Result<(), TransactionError> {
        self.add(id, who, BTreeSet::from([self.offsets.clone()])).await
    }

    /// Whether `producer` is the one of `id`.
    pub fn is_of(&self, id: &str, producer: ProducerId) -> bool {
        let slot = self.ids.lock().get(id).cloned();
        slot.is_some_and(|slot| slot.now.lock().as_ref().is_some_and(|now| now.identity.producer == producer))
    }

    /// Whether `producer` belongs to a transactional id: then it writes in transactions only.
    pub fn is_transactional(&self, producer: ProducerId) -> bool {
        self.open.read().contains_key(&producer)
    }

    /// Whether the partition is in the open transaction of `who`, and so will get its marker.
    pub fn has_open(&self, who: Identity, at: &TopicPartition) -> bool {
        check_open(&self.open.read(), who, at).is_ok()
    }

    /// As [`Self::add`], of those that are not in it yet: what writers of the second protocol do before each write (KIP-890).
    /// Waits for the disk once per partition and transaction.
    pub async fn add_missing(
        &self,
        id: &str,
        who: Identity,
        mut partitions: BTreeSet<TopicPartition>,
    ) -> Result<(), TransactionError> {
        if let Some(open) = self.open.read().get(&who.producer)
            && open.epoch == who.epoch
        {
            partitions.retain(|partition| !open.partitions.contains(partition));
        }
        if partitions.is_empty() { Ok(()) } else { self.add(id, who, partitions).await }
    }

    /// Commits or aborts. On return the decision is durable, and its markers are unless the disk refuses them for the moment.
    /// Returns who the producer is from now on.
    pub async fn end(
        &self,
        id: &str,
        who: Identity,
        how: Marker,
        protocol: Protocol,
    ) -> Result<Identity, TransactionError> {
        let slot = self.slot(id)?;
        let turn = self.turn(&slot).await?;
        let current = slot.now.lock().clone().ok_or(TransactionError::MappingInvalid)?;
        let fresh = match protocol == Protocol::V2 && core::needs_new_id(Some(&current)) {
            true => self.fresh().await?,
            false => -1,
        };
        match core::end(&current, who, how, protocol, fresh, self.now())? {
            End::Already(identity) => Ok(identity),
            End::Prepare(decided) => {
                let identity = core::complete(&decided, how, self.now()).identity;
                match self.decide(&slot, turn, decided).await {
                    Ok(_) | Err(TransactionError::Concurrent) => Ok(identity),
                    Err(error) => Err(error),
                }
            }
        }
    }

    /// Appends a batch of the open transaction of `who`. Its order is that of calls, as for [`Log::append`].
    pub fn append(
        &self,
        to: &TopicPartition,
        batch: Bytes,
        who: Identity,
    ) -> Result<BoxFuture<'static, Result<Appended>>, TransactionError> {
        let open = self.open.read();
        check_open(&open, who, to)?;
        Ok(self.log.append(to, batch, Append::default()))
    }

    /// Commits offsets of a group in the open transaction of `who`. With the first protocol they have been announced by
    /// [`Self::add_offsets`]; with the second this does it.
    pub async fn commit_offsets(
        &self,
        id: &str,
        who: Identity,
        request: CommitRequest,
        protocol: Protocol,
    ) -> Result<Vec<Result<(), GroupError>>, TransactionError> {
        if protocol == Protocol::V2 {
            self.add_offsets(id, who).await?;
        }
        let slot = self.slot(id)?;
        let identity = slot.now.lock().as_ref().map(|transaction| transaction.identity);
        match identity {
            Some(identity) if identity == who => {}
            Some(identity) if identity.producer == who.producer => return Err(TransactionError::EpochOld),
            _ => return Err(TransactionError::MappingInvalid),
        }
        self.groups.ready().await.map_err(|error| not_available(&error))?;
        let results = {
            let open = self.open.read();
            check_open(&open, who, &self.offsets)?;
            self.groups.commit_in_transaction(request, who)
        };
        Ok(results.await)
    }

    // ── admins ──

    /// All transactional ids, by name.
    pub fn list(&self) -> Vec<TransactionSummary> {
        let slots: Vec<_> = self.ids.lock().values().cloned().collect();
        let mut all: Vec<_> = slots
            .iter()
            .filter_map(|slot| slot.now.lock().as_ref().map(|now| TransactionSummary::new(&slot.id, now)))
            .collect();
        all.sort_by(|a, b| a.id.cmp(&b.id));
        all
    }

    pub fn describe(&self, id: &str) -> Option<TransactionSummary> {
        let slot = self.ids.lock().get(id)?.clone();
        slot.now.lock().as_ref().map(|now| TransactionSummary::new(&slot.id, now))
    }

    // ── for writers of our own ──

    pub(super) fn knows(&self, id: &str) -> bool {
        self.ids.lock().contains_key(id)
    }

    pub(super) fn log(&self) -> &dyn Log {
        &*self.log
    }

    pub(super) fn world(&self) -> &World {
        &self.world
    }

    // ── the machine ──

    fn now(&self) -> i64 {
        self.world.clock.now_ms()
    }

    async fn fresh(&self) -> Result<ProducerId, TransactionError> {
        self.log.new_producer_id().await.map_err(|error| not_available(&error))
    }

    fn slot(&self, id: &str) -> Result<Arc<Slot>, TransactionError> {
        if id.is_empty() {
            return Err(TransactionError::IdInvalid);
        }
        self.ids.lock().get(id).cloned().ok_or(TransactionError::MappingInvalid)
    }

    fn slot_or_new(&self, id: &str) -> Result<Arc<Slot>, TransactionError> {
        let mut ids = self.ids.lock();
        if let Some(slot) = ids.get(id) {
            return Ok(slot.clone());
        }
        if ids.len() >= self.settings.ids_max {
            return Err(TransactionError::TooMany);
        }
        let id: Arc<str> = id.into();
        let slot = Arc::new(Slot { id: id.clone(), turn: Arc::default(), now: Mutex::default() });
        ids.insert(id, slot.clone());
        Ok(slot)
    }

    async fn turn(&self, slot: &Slot) -> Result<MyTurn, TransactionError> {
        let turn = tokio::time::timeout(self.settings.patience, slot.turn.clone().lock_owned()).await;
        turn.map_err(|_| TransactionError::Concurrent)
    }

    /// Writes what a transaction becomes; it is so once that is durable.
    async fn become_durable(&self, slot: &Slot, next: Transaction) -> Result<(), TransactionError> {
        let write = async {
            own_topic::ensure(&*self.log, &self.place.topic).await?;
            self.write(&slot.id, Some(&next)).await
        };
        write.await.map_err(|error| not_available(&error))?;
        *slot.now.lock() = Some(next);
        Ok(())
    }

    async fn write(&self, id: &str, transaction: Option<&Transaction>) -> Result<()> {
        let mut batch = BatchBuilder::new(Codec::None);
        let value = transaction.map(records::value);
        batch.push(self.now(), Some(&records::key(id)), value.as_deref(), &[]);
        self.log.append(&self.place, batch.build(), Append { internal: true }).await.map(drop)
    }

    /// Makes a decision durable, then writes its markers. Gives the turn back when all is complete; if that takes long it goes
    /// on by itself, and `Concurrent` says so.
    async fn decide(&self, slot: &Arc<Slot>, turn: MyTurn, decided: Transaction) -> Result<MyTurn, TransactionError> {
        // TXN-2: from here on no batch is taken.
        let producer = decided.identity.producer;
        let taken = self.open.write().insert(producer, Open::nothing(decided.identity));
        if let Err(error) = self.become_durable(slot, decided.clone()).await {
            let mut open = self.open.write();
            match taken {
                Some(taken) => open.insert(producer, taken),
                None => open.remove(&producer),
            };
            return Err(error);
        }
        let me = self.me.upgrade().expect("somebody calls it");
        let (done, turn_back) = oneshot::channel();
        me.spawn_finish(slot.clone(), turn, decided, done);
        match tokio::time::timeout(self.settings.patience, turn_back).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => Err(TransactionError::Concurrent),
        }
    }

    fn spawn_finish(
        self: Arc<Self>,
        slot: Arc<Slot>,
        turn: MyTurn,
        decided: Transaction,
        done: oneshot::Sender<MyTurn>,
    ) {
        let tasks = self.world.tasks.clone();
        tasks.spawn(TaskKind::Background, async move {
            if self.finish(&slot, &decided).await {
                // Whoever asked may have lost patience: then the turn ends here.
                let _gone = done.send(turn);
            }
        });
    }

    /// Writes the markers of a decision until all partitions have theirs. False: the node stops first, and the next one goes on.
    async fn finish(&self, slot: &Slot, decided: &Transaction) -> bool {
        let State::Prepared(how) = decided.state else { return true };
        let mut left: Vec<TopicPartition> = decided.partitions.iter().cloned().collect();
        let mut pause = RETRY_MIN;
        loop {
            left = self.write_markers(left, decided.identity, how).await;
            if left.is_empty() {
                let complete = core::complete(decided, how, self.now());
                let identity = complete.identity;
                if self.become_durable(slot, complete).await.is_ok() {
                    self.closed(Some(decided.identity), identity);
                    return true;
                }
            }
            tokio::select! {
                biased;
                () = self.world.tasks.stopping() => return false,
                () = tokio::time::sleep(pause) => pause = (2 * pause).min(RETRY_MAX),
            }
        }
    }

    /// A producer has no transaction open; `before` it may have been somebody else.
    fn closed(&self, before: Option<Identity>, who: Identity) {
        let mut open = self.open.write();
        if let Some(before) = before.filter(|before| before.producer != who.producer) {
            open.remove(&before.producer);
        }
        open.insert(who.producer, Open::nothing(who));
    }

    /// Those that could not be written.
    async fn write_markers(&self, to: Vec<TopicPartition>, who: Identity, how: Marker) -> Vec<TopicPartition> {
        let batch = how.batch(who.producer, who.epoch, COORDINATOR_EPOCH, self.now());
        let write = |at: TopicPartition| {
            let batch = batch.clone();
            async move {
                let written = if at == self.offsets {
                    self.groups.end_transaction(who, how, COORDINATOR_EPOCH).await
                } else {
                    self.log.append(&at, batch, Append { internal: true }).await.map(drop)
                };
                match written {
                    Ok(()) => None,
                    // Deleted: there is nothing left to end.
                    Err(error) if error.kind() == ErrorKind::TopicNotFound => None,
                    // A newer epoch is noted only where nothing is open.
                    Err(error) if error.is(PRODUCER_EPOCH_OLD) => None,
                    Err(error) => {
                        tracing::warn!(partition = %at, %error, "the marker of a transaction could not be written");
                        Some(at)
                    }
                }
            }
        };
        join_all(to.into_iter().map(write)).await.into_iter().flatten().collect()
    }

    /// After a start: decisions whose markers may be missing.
    fn finish_decided(self: &Arc<Self>) {
        for slot in self.ids.lock().values() {
            let Some(decided) = slot.now.lock().clone().filter(|now| matches!(now.state, State::Prepared(_))) else {
                continue;
            };
            let turn = slot.turn.clone().try_lock_owned().expect("nobody knows of it yet");
            self.clone().spawn_finish(slot.clone(), turn, decided, oneshot::channel().0);
        }
    }

    /// Aborts what takes too long, and forgets ids that nobody uses.
    async fn keep_time(self: Arc<Self>) {
        loop {
            let deadline = |slot: &Arc<Slot>| slot.now.lock().as_ref().and_then(core::deadline_ms);
            let deadline = self.ids.lock().values().filter_map(deadline).min();
            let left = deadline.map_or(i64::MAX, |at| at.saturating_sub(self.now()));
            // Not at once: one that is over and at work is looked at again.
            let wait = Duration::from_millis(u64::try_from(left).unwrap_or(0)).clamp(RETRY_MIN, FORGET_INTERVAL);
            tokio::select! {
                biased;
                () = self.world.tasks.stopping() => return,
                () = tokio::time::sleep(wait) => {}
                () = self.timers.notified() => continue,
            }
            self.look_after_all().await;
        }
    }

    /// Forgets ids that nobody has used for as long as the settings say, now instead of when it is due.
    pub async fn forget_old(&self) {
        self.look_after_all().await;
    }

    async fn look_after_all(&self) {
        let slots: Vec<_> = self.ids.lock().values().cloned().collect();
        for slot in slots {
            if let Err(error) = self.look_after(&slot).await {
                tracing::warn!(id = %slot.id, %error, "a transaction that is over could not be ended; tried again");
                tokio::time::sleep(RETRY_MIN).await;
            }
        }
    }

    async fn look_after(&self, slot: &Arc<Slot>) -> Result<(), TransactionError> {
        let is_over = |now: &Transaction| core::deadline_ms(now).is_some_and(|at| at <= self.now());
        let retention = i64::try_from(self.settings.id_retention.as_millis()).unwrap_or(i64::MAX);
        let is_old = |now: &Transaction| {
            matches!(now.state, State::Empty | State::Complete(_))
                && self.now().saturating_sub(now.updated_ms) >= retention
        };
        if !slot.now.lock().as_ref().is_none_or(|now| is_over(now) || is_old(now)) {
            return Ok(());
        }
        // Its producer is at work: then it is not over, or will be found so next time.
        let Ok(turn) = slot.turn.clone().try_lock_owned() else { return Ok(()) };
        let Some(now) = slot.now.lock().clone() else {
            // Whoever began it failed.
            self.ids.lock().remove(&slot.id);
            return Ok(());
        };
        if is_over(&now) {
            tracing::info!(id = %slot.id, "a transaction took too long and is aborted");
            self.decide(slot, turn, core::abort(&now, self.now())).await?;
        } else if is_old(&now) {
            self.write(&slot.id, None).await.map_err(|error| not_available(&error))?;
            *slot.now.lock() = None;
            self.ids.lock().remove(&slot.id);
            self.open.write().remove(&now.identity.producer);
        }
        Ok(())
    }
}

impl Open {
    fn nothing(who: Identity) -> Self {
        Self { epoch: who.epoch, partitions: BTreeSet::new() }
    }

    fn new(transaction: &Transaction) -> Self {
        Self { epoch: transaction.identity.epoch, partitions: transaction.partitions.iter().cloned().collect() }
    }
}

fn check_open(open: &BTreeMap<ProducerId, Open>, who: Identity, to: &TopicPartition) -> Result<(), TransactionError> {
    let open = open.get(&who.producer).ok_or(TransactionError::StateInvalid)?;
    if open.epoch != who.epoch && !planted::is(Bug::OldEpochTaken) {
        Err(TransactionError::EpochOld)
    } else if !open.partitions.contains(to) {
        Err(TransactionError::StateInvalid)
    } else {
        Ok(())
    }
}

fn not_available(error: &Error) -> TransactionError {
    tracing::warn!(%error, "the transaction coordinator could not write");
    TransactionError::NotAvailable
}

/// What the topic says of each id.
async fn replay(log: &dyn Log, place: &TopicPartition) -> Result<BTreeMap<String, Transaction>> {
    let mut known = BTreeMap::new();
    let mut next = log.bounds(place)?.log_start;
    let mut unknown = 0;
    loop {
        let slice = log.read(place, next, REPLAY_BYTES, Isolation::Uncommitted).await?;
        if slice.records.is_empty() {
            break;
        }
        for batch in record::batches(slice.records) {
            let batch = batch?;
            let block = batch.decompress(RECORDS_BYTES_MAX)?;
            for line in record::Records::new(&batch.header, &block) {
                let line = line?;
                let id = records::parse_key(line.key.unwrap_or_default());
                match (id, line.value.map(records::parse_value)) {
                    (Some(id), None) => drop(known.remove(&id)),
                    (Some(id), Some(Some(transaction))) => drop(known.insert(id, transaction)),
                    _ => unknown += 1,
                }
            }
            next = next.max(batch.header.next_offset());
        }
    }
    if unknown > 0 {
        tracing::warn!(unknown, "records of the transactions' topic that are not understood");
    }
    Ok(known)
}
