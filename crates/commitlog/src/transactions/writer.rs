//! Transactions of our own roles: outputs in several topics and the offsets of what they were made from, all or nothing, with
//! the coordinator that producers come to through the Kafka door, and with its second protocol (KIP-890).

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use futures::future::BoxFuture;
use model::{Error, PartitionId, Result, TopicPartition, error::codes};

use super::{
    coordinator::Transactions,
    core::Protocol,
    types::{Identity, TransactionError},
};
use crate::{
    groups::{CommitRequest, GroupError, MemberRef, OffsetToCommit},
    log::Appended,
    record::{BatchBuilder, Marker, add_sequence},
};

/// Between two questions to a coordinator that is still writing the markers of the transaction before.
const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_millis(500);
/// Appends that may be on their way to the disk at once. Their bytes are bounded by the log's own budget.
const PENDING_MAX: usize = 1000;

/// Writes transactions under a transactional id.
///
/// ```text
///             begin          append, add_offsets …         commit
///  open ──► idle ──────────► open ───────────────────────────────► idle      all of it counts
///             ▲                │ refused, or too slow: Abort
///             └── abort ◄──────┴── anything else                             nothing of it counts
/// ```
/// * Whoever opens an id fences the writer that had it before, and aborts what that one left open. So a role that is started
///   again, wherever it died, goes on from its committed offsets and doubles nothing.
/// * [`append`](Self::append) does not wait for the disk; [`commit`](Self::commit) does, for all of it together.
/// * A transaction that is not ended in time is aborted (`transaction.timeout.ms`); the writer hears so at its next step.
/// * A future of a method may be dropped at any time. If that was one of `commit`, it is not known whether the transaction
///   counts: call `commit` again, which decides the same thing once.
///
/// Each error says what to do: see [`WriterError`].
///
/// ```
/// # use std::{path::Path, sync::Arc, time::Duration};
/// # use commitlog::{groups::*, record::*, transactions::*, *};
/// # use model::{TopicName, TopicPartition};
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// # let world = world::World { disk: Arc::new(testkit::MemoryDisk::new()), ..world::World::real() };
/// # let log = EmbeddedLog::open(Path::new("/log"), LogSettings::default(), world.clone()).await?;
/// # let groups = Groups::open(log.clone(), world.clone()).await?;
/// # let transactions = Transactions::open(log.clone(), groups.clone(), world).await?;
/// # for name in ["orders", "totals"] { log.create_topic(TopicSpec::new(TopicName::new(name)?, 1), false).await?; }
/// let mut writer = TransactionalWriter::open(&transactions, "sum-orders", Duration::from_secs(60)).await?;
/// writer.begin().await?;
///
/// let mut batch = BatchBuilder::new(Codec::None);
/// batch.push(1_700_000_000_000, Some(b"total"), Some(b"42"), &[]);
/// writer.append(&TopicPartition::new(TopicName::new("totals")?, 0), batch).await?;
///
/// // Read in a group: its member and generation. Read by hand: the group alone, and generation −1.
/// let who = MemberRef { group: "sum-orders".into(), generation: -1, ..MemberRef::default() };
/// let read_up_to = OffsetToCommit { topic: "orders".into(), partition: 0, offset: 7, leader_epoch: -1, ..Default::default() };
/// writer.add_offsets(who, vec![read_up_to]).await?;
///
/// match writer.commit().await {
///     Ok(()) => assert_eq!(groups.offset("sum-orders", "orders", 0).map(|o| o.offset), Some(7)),
///     // Nothing of it counts: go back to the committed offsets and do it again.
///     Err(WriterError::Abort(_)) => writer.abort().await?,
///     Err(WriterError::Retry(_)) => { /* nothing is decided: call commit again */ }
///     Err(WriterError::GiveUp(error)) => return Err(error.into()),
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct TransactionalWriter {
    transactions: Arc<Transactions>,
    id: String,
    timeout: Duration,
    who: Identity,
    state: State,
    /// Something has been added: there is something to end.
    is_begun: bool,
    /// Of the next batch; they begin anew with each epoch.
    sequences: HashMap<TopicPartition, i32>,
    /// Not durable yet, oldest first.
    pending: VecDeque<BoxFuture<'static, Result<Appended>>>,
}

enum State {
    Idle,
    Open,
    /// Nothing but an abort is possible.
    Failed(Error),
    /// Asked to end like this, without an answer so far.
    Ending(Marker),
    Fenced,
}

/// Why a step failed, which is also what to do about it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WriterError {
    /// Nothing happened, and nothing is lost: make the same call again, after a while.
    #[error("{0}")]
    Retry(Error),
    /// The transaction will not count: call [`TransactionalWriter::abort`], go back to the committed offsets, do it again.
    #[error("{0}")]
    Abort(Error),
    /// This writer can do nothing more: it was replaced, or it is used wrongly.
    #[error("{0}")]
    GiveUp(Error),
}

impl WriterError {
    pub fn error(&self) -> &Error {
        match self {
            Self::Retry(error) | Self::Abort(error) | Self::GiveUp(error) => error,
        }
    }
}

impl From<WriterError> for Error {
    fn from(error: WriterError) -> Self {
        match error {
            WriterError::Retry(error) | WriterError::Abort(error) | WriterError::GiveUp(error) => error,
        }
    }
}

impl TransactionalWriter {
    /// Takes the id over. Aborts what its former writer left open and waits until that is done.
    pub async fn open(transactions: &Arc<Transactions>, id: &str, timeout: Duration) -> Result<Self, WriterError> {
        let who = start(transactions, id, timeout).await?;
        Ok(Self {
            transactions: transactions.clone(),
            id: id.to_owned(),
            timeout,
            who,
            state: State::Idle,
            is_begun: false,
            sequences: HashMap::new(),
            pending: VecDeque::new(),
        })
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    /// Begins a transaction. Its timeout runs from the first thing that is added to it.
    pub async fn begin(&mut self) -> Result<(), WriterError> {
        match &self.state {
            State::Idle => {}
            State::Open => return Err(self.misused("a transaction is open already: commit or abort it")),
            State::Failed(error) => return Err(WriterError::Abort(error.clone())),
            State::Ending(how) => return Err(self.undecided(*how)),
            State::Fenced => return Err(self.fenced()),
        }
        if !self.transactions.knows(&self.id) {
            // Forgotten because nothing was written for long (`transactional.id.expiration.ms`), not taken over.
            let who = start(&self.transactions, &self.id, self.timeout).await?;
            self.become_idle(who);
        }
        self.state = State::Open;
        Ok(())
    }

    /// Appends a batch of records to a partition. Its order there is that of calls; it is durable when the transaction is.
    pub async fn append(&mut self, to: &TopicPartition, batch: BatchBuilder) -> Result<(), WriterError> {
        self.check_open()?;
        if batch.is_empty() {
            return Ok(());
        }
        if to.topic.is_protected() {
            return Err(self.fail(Error::new(codes::INTERNAL_TOPIC, format!("cannot write to `{}`", to.topic))));
        }
        self.check_place(&to.topic, to.partition)?;
        self.transactions.log().writable().await;
        if self.pending.len() >= PENDING_MAX {
            self.hear_oldest().await?;
        }
        self.is_begun = true;
        let partition = BTreeSet::from([to.clone()]);
        let (transactions, id, who) = (&self.transactions, self.id.as_str(), self.who);
        let added =
            patiently(transactions, self.timeout, || transactions.add_missing(id, who, partition.clone())).await;
        if let Err(error) = added {
            return Err(self.refused(error));
        }
        let sequence = self.sequences.get(to).copied().unwrap_or(0);
        let count = i32::try_from(batch.len()).expect("a batch has at most 2^31 records");
        let batch = batch.producer(self.who.producer, self.who.epoch, sequence).transactional().build();
        match self.transactions.append(to, batch, self.who) {
            Ok(append) => {
                self.pending.push_back(append);
                self.sequences.insert(to.clone(), add_sequence(sequence, count));
                Ok(())
            }
            Err(error) => Err(self.refused(error)),
        }
    }

    /// Adds offsets of a group: they are shown when the transaction commits. The group checks that `who` is of its present
    /// generation (KIP-447), so that a reader whose partitions went to another one commits nothing for them. Readers
    /// without a group's assignment say its name and generation −1.
    pub async fn add_offsets(&mut self, who: MemberRef, offsets: Vec<OffsetToCommit>) -> Result<(), WriterError> {
        self.check_open()?;
        if offsets.is_empty() {
            return Ok(());
        }
        // Nobody keeps offsets of what is not there.
        offsets.iter().try_for_each(|offset| self.check_place(&offset.topic, offset.partition))?;
        self.is_begun = true;
        let group = who.group.clone();
        let request = CommitRequest { who, offsets };
        let (transactions, id, identity) = (&self.transactions, self.id.as_str(), self.who);
        let commit = || transactions.commit_offsets(id, identity, request.clone(), Protocol::V2);
        match patiently(transactions, self.timeout, commit).await {
            Err(error) => Err(self.refused(error)),
            Ok(results) => match results.into_iter().find_map(Result::err) {
                None => Ok(()),
                Some(refusal) => {
                    let error = Error::new(codes::TRANSACTION_ABORTED, format!("group `{group}` refused the offsets"));
                    Err(self.fail(error.detail(refusal.to_string()).hint(after(refusal))))
                }
            },
        }
    }

    /// Everything since [`begin`](Self::begin) counts from now on, and is on disk; committed readers see it.
    pub async fn commit(&mut self) -> Result<(), WriterError> {
        match &self.state {
            State::Ending(Marker::Commit) => {}
            State::Ending(how) => return Err(self.undecided(*how)),
            State::Idle => return Err(self.misused("no transaction is open: begin one")),
            _ => self.check_open()?,
        }
        while !self.pending.is_empty() {
            self.hear_oldest().await?;
        }
        self.end(Marker::Commit).await
    }

    /// Nothing since [`begin`](Self::begin) counts. Does nothing if nothing is open.
    pub async fn abort(&mut self) -> Result<(), WriterError> {
        match &self.state {
            State::Idle => return Ok(()),
            State::Fenced => return Err(self.fenced()),
            State::Ending(Marker::Commit) => return Err(self.undecided(Marker::Commit)),
            State::Open | State::Failed(_) | State::Ending(Marker::Abort) => {}
        }
        while let Some(oldest) = self.pending.front_mut() {
            // It does not matter any more whether it could be written.
            let _aborted = oldest.await;
            self.pending.pop_front();
        }
        self.end(Marker::Abort).await
    }

    // ── the machine ──

    async fn end(&mut self, how: Marker) -> Result<(), WriterError> {
        if !self.is_begun {
            self.state = State::Idle;
            return Ok(());
        }
        self.state = State::Ending(how);
        let (transactions, id, who) = (&self.transactions, self.id.as_str(), self.who);
        let end = || transactions.end(id, who, how, Protocol::V2);
        match patiently(transactions, self.timeout, end).await {
            Ok(who) => {
                self.become_idle(who);
                Ok(())
            }
            Err(TransactionError::NotAvailable | TransactionError::Concurrent) => Err(self.undecided(how)),
            Err(error) => Err(self.refused(error)),
        }
    }

    fn become_idle(&mut self, who: Identity) {
        self.who = who;
        self.is_begun = false;
        self.sequences.clear();
        self.state = State::Idle;
    }

    /// Waits for the oldest append. One that failed takes the transaction with it.
    async fn hear_oldest(&mut self) -> Result<(), WriterError> {
        let Some(oldest) = self.pending.front_mut() else { return Ok(()) };
        let appended = oldest.await;
        self.pending.pop_front();
        appended.map(drop).map_err(|error| self.fail(error))
    }

    fn check_open(&self) -> Result<(), WriterError> {
        match &self.state {
            State::Open => Ok(()),
            State::Idle => Err(self.misused("no transaction is open: begin one")),
            State::Failed(error) => Err(WriterError::Abort(error.clone())),
            State::Ending(how) => Err(self.undecided(*how)),
            State::Fenced => Err(self.fenced()),
        }
    }

    fn check_place(&mut self, topic: &str, partition: PartitionId) -> Result<(), WriterError> {
        let found = self.transactions.log().topic(topic);
        match found.is_some_and(|topic| (0..topic.partitions).contains(&partition)) {
            true => Ok(()),
            false => {
                Err(self.fail(Error::new(codes::TOPIC_NOT_FOUND, format!("there is no partition {topic}-{partition}"))))
            }
        }
    }

    /// The coordinator said no. Before the end it cannot be told from that whether somebody else has the id or the
    /// transaction took too long; the end tells, and lets the latter go on.
    fn refused(&mut self, error: TransactionError) -> WriterError {
        let is_ending = matches!(self.state, State::Ending(_));
        let is_slow = match error {
            TransactionError::Fenced if is_ending => return self.become_fenced(),
            TransactionError::MappingInvalid | TransactionError::IdNotFound => return self.become_fenced(),
            TransactionError::Fenced | TransactionError::EpochOld | TransactionError::StateInvalid => true,
            _ => false,
        };
        let message = format!("the transaction of `{}` is over", self.id);
        let failed = Error::new(codes::TRANSACTION_ABORTED, message).hint("abort it and do its work again");
        self.fail(match is_slow {
            true => failed.detail("it took longer than its timeout, or another writer has taken over"),
            false => failed.detail(error.to_string()),
        })
    }

    fn become_fenced(&mut self) -> WriterError {
        self.state = State::Fenced;
        self.pending.clear();
        self.fenced()
    }

    fn fail(&mut self, error: Error) -> WriterError {
        self.state = State::Failed(error.clone());
        WriterError::Abort(error)
    }

    fn misused(&self, why: &'static str) -> WriterError {
        let error = Error::new(codes::TRANSACTION_MISUSED, format!("the writer of `{}` was used wrongly", self.id));
        WriterError::GiveUp(error.detail(why))
    }

    fn undecided(&self, how: Marker) -> WriterError {
        let (wanted, again) = match how {
            Marker::Commit => ("committed", "call `commit` again"),
            Marker::Abort => ("aborted", "call `abort` again"),
        };
        let message = format!("the transaction of `{}` could not be {wanted} yet", self.id);
        WriterError::Retry(Error::new(codes::TRANSACTION_UNDECIDED, message).hint(again))
    }

    fn fenced(&self) -> WriterError {
        let message = format!("another writer has taken over `{}`", self.id);
        WriterError::GiveUp(Error::new(codes::TRANSACTION_FENCED, message).hint("stop this one"))
    }
}

async fn start(transactions: &Arc<Transactions>, id: &str, timeout: Duration) -> Result<Identity, WriterError> {
    let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    // The markers of what the former writer left open take as long as the disk does.
    let patience = transactions.settings().timeout_max;
    let init = || transactions.init(id, timeout_ms, None);
    patiently(transactions, patience, init).await.map_err(|error| {
        let message = format!("cannot write transactions as `{id}`");
        match error {
            TransactionError::NotAvailable | TransactionError::Concurrent => WriterError::Retry(
                Error::new(codes::TRANSACTION_UNDECIDED, message).detail(error.to_string()).hint("try again"),
            ),
            error => WriterError::GiveUp(Error::new(codes::TRANSACTION_MISUSED, message).detail(error.to_string())),
        }
    })
}

/// Asks again while the coordinator is busy with the same id.
async fn patiently<T, F>(
    transactions: &Transactions,
    patience: Duration,
    mut ask: impl FnMut() -> F,
) -> Result<T, TransactionError>
where
    F: Future<Output = Result<T, TransactionError>>,
{
    let (clock, tasks) = (&transactions.world().clock, &transactions.world().tasks);
    let until = clock.monotonic().saturating_add(patience);
    let mut pause = PAUSE_MIN;
    loop {
        match ask().await {
            Err(TransactionError::Concurrent) if clock.monotonic() < until => {}
            result => return result,
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => pause = (2 * pause).min(PAUSE_MAX),
            () = tasks.stopping() => return Err(TransactionError::Concurrent),
        }
    }
}

/// What to do after a group refused offsets, besides aborting.
fn after(refusal: GroupError) -> &'static str {
    match refusal {
        GroupError::IllegalGeneration | GroupError::StaleMemberEpoch | GroupError::RebalanceInProgress => {
            "abort, then go on with the partitions the group assigns now"
        }
        GroupError::UnknownMember | GroupError::FencedInstanceId | GroupError::FencedMemberEpoch => {
            "abort, then join the group again"
        }
        GroupError::NotAvailable => "abort, then try again after a while",
        _ => "abort: the same offsets will be refused again",
    }
}
