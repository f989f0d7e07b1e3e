//! What clients make of what they are told.

use commitlog::{Appended, Isolation, groups::GroupError, record::Marker, transactions::TransactionError};
use model::ErrorKind;

use super::Run;
use crate::{
    clients::{Refusal, Told, Writer},
    invariants::{Held, Invariant, broken},
    model::{Fate, Standing},
};

/// Of a thousand answers so many are lost on their way.
const LOST: u64 = 50;

impl Run<'_> {
    /// Looks at all answers that have come.
    pub(super) fn hear(&mut self) -> Held {
        let told = std::mem::take(&mut *self.told.lock());
        for told in told {
            self.asked -= 1;
            let is_lost = self.chance.permille(LOST);
            self.hear_one(told, is_lost)?;
        }
        Ok(())
    }

    fn hear_one(&mut self, told: Told, is_lost: bool) -> Held {
        match told {
            Told::Appended { by, batch, is_late, result } => self.appended(by, batch, is_late, result, is_lost),
            Told::ProducerId { number, result } => {
                self.story.tell(format!("producer {number} is {result:?}"));
                if let Ok(id) = result
                    && !self.model.producer_ids.insert(id)
                {
                    return broken(Invariant::Log7, format!("producer id {id} was given twice"));
                }
                if let Some(client) = self.idempotent.iter_mut().find(|client| client.number == number) {
                    client.is_asking = false;
                    client.id = result.ok().filter(|_| !is_lost);
                    client.next_sequence = 0;
                }
                Ok(())
            }
            Told::Started { of, newest, result } => {
                let id = self.transactional[of].id.clone();
                self.story.tell(format!("producer {of} of `{id}` is {result:?}{}", lost(is_lost)));
                self.transactional[of].is_busy = false;
                let Ok(who) = result else { return Ok(()) };
                if newest.is_some_and(|newest| (who.producer, who.epoch) <= (newest.producer, newest.epoch)) {
                    return broken(Invariant::Txn3, format!("`{id}` was {newest:?}, a start gave it {who:?}"));
                }
                if is_lost {
                    return Ok(());
                }
                self.is_told(&id, who);
                self.abandon(of);
                self.transactional[of].who = Some(who);
                Ok(())
            }
            Told::Joined { of, is_late, spot, result } => {
                self.story.tell(format!("producer {of} joined {spot:?}: {result:?}{}", lost(is_lost)));
                self.transactional[of].is_busy = false;
                match result {
                    Ok(()) if is_late => self.taken_from_replaced(of, "partitions were added"),
                    Ok(()) if is_lost => Ok(()),
                    Ok(()) => {
                        self.transactional[of].joined.insert(spot);
                        Ok(())
                    }
                    Err(error) => self.refused_by_coordinator(of, error),
                }
            }
            Told::OffsetAdded { of, is_late, transaction, offset, result } => {
                self.story.tell(format!("offset {offset} of transaction {transaction}: {result:?}"));
                let client = &mut self.transactional[of];
                (client.is_busy, client.is_adding_offset) = (false, false);
                match result {
                    Ok(()) if is_late => self.taken_from_replaced(of, "an offset was committed"),
                    Ok(()) => Ok(()),
                    // Whether it counts it cannot know: it aborts, or dies.
                    Err(_) => {
                        self.abandon(of);
                        Ok(())
                    }
                }
            }
            Told::Ended { of, is_late, how, result } => self.ended(of, is_late, how, result, is_lost),
            Told::JoinedGroup { of, life, before, answer } => self.joined_group(of, life, before, answer),
            Told::SyncedGroup { of, life, generation, answer } => self.synced_group(of, life, generation, answer),
            Told::Beaten { of, life, is_over, result } => self.beaten(of, life, is_over, result),
            Told::LeftGroup { of, life, name, result } => {
                self.left_group(of, life, name, result);
                Ok(())
            }
            Told::Alive { of, life, sent, answer } => self.told_alive(of, life, sent, answer, is_lost),
            Told::OfClassic { of, life, heard } => self.told_as_classic(of, life, heard, is_lost),
            Told::GhostBeaten { name, epoch, result } => self.ghost_beaten(&name, epoch, result),
            Told::LeftAsConsumer { name, result } => {
                self.left_as_consumer(name, result);
                Ok(())
            }
            Told::LeftAsClassic { name, result } => {
                self.left_as_classic(name, result);
                Ok(())
            }
            Told::Committed { of, offset, is_over, result } => {
                self.story.tell(format!("group {of} committed {offset}: {result:?}{}", lost(is_lost)));
                let client = &mut self.committers[of];
                (client.is_busy, client.asked) = (false, None);
                match result {
                    Ok(()) if is_over => {
                        let group = &client.group;
                        return broken(Invariant::Grp2, format!("group `{group}` took {offset} from one that is over"));
                    }
                    _ if is_lost => client.may_be.push(Some(offset)),
                    Ok(()) => client.may_be = vec![Some(offset)],
                    // Its record could not be written, and may be back after a crash.
                    Err(GroupError::NotAvailable) => client.may_be.push(Some(offset)),
                    Err(_) => {}
                }
                Ok(())
            }
            Told::Made { topic, result } => {
                self.story.tell(format!("topic {topic} was made: {result:?}"));
                let model = &mut self.model.topics[topic];
                match result {
                    Ok(id) => (model.standing, model.id) = (Standing::There, Some(id)),
                    // After a failure of the disk nobody knows.
                    Err(_) => model.standing = Standing::Doomed,
                }
                Ok(())
            }
            Told::Deleted { topic, result } => {
                self.story.tell(format!("topic {topic} was deleted: {result:?}"));
                if result.is_ok() {
                    self.model.topics[topic].standing = Standing::Gone;
                }
                Ok(())
            }
            Told::Grown { topic, total, result } => {
                self.story.tell(format!("topic {topic} has {total} partitions: {result:?}"));
                if result.is_ok() {
                    let partitions = &mut self.model.topics[topic].partitions;
                    *partitions = total.max(*partitions);
                }
                Ok(())
            }
            Told::Changed { topic, result } => {
                self.story.tell(format!("topic {topic} was changed: {result:?}"));
                Ok(())
            }
            Told::RecordsDeleted { spot, result } => {
                self.story.tell(format!("records of {spot:?} deleted: {result:?}"));
                let part = self.model.topics[spot.0].parts.entry(spot.1).or_default();
                if let Ok(to) = result {
                    part.deleted_to = part.deleted_to.max(to.min(part.delete_asked));
                }
                Ok(())
            }
            Told::Read { spot, is_committed, result } => {
                let Ok(slice) = result else { return Ok(()) };
                if self.model.topics[spot.0].standing != Standing::There {
                    return Ok(());
                }
                self.model.note_bounds_of_read(spot.0, spot.1, &slice.bounds)?;
                let isolation = if is_committed { Isolation::Committed } else { Isolation::Uncommitted };
                let (end, aborted) = (slice.bounds.end(isolation), is_committed.then_some(slice.aborted));
                let mut got = Vec::new();
                self.model.read(spot.0, spot.1, (slice.records, aborted), end, &mut got)?;
                self.story.tell(format!("{} batches of {spot:?} were read", got.len()));
                Ok(())
            }
        }
    }

    fn appended(
        &mut self,
        by: Writer,
        batch: usize,
        is_late: bool,
        result: Result<Appended, Refusal>,
        is_lost: bool,
    ) -> Held {
        let line = match &result {
            Ok(appended) => format!("at {}{}", appended.base_offset, if appended.duplicate { ", again" } else { "" }),
            Err(refusal) => format!("{refusal:?}"),
        };
        self.story.tell(format!("batch {batch}: {line}{}", lost(is_lost)));
        let sent = &mut self.model.batches[batch];
        sent.flying -= 1;
        let topic = sent.topic;
        let is_there = self.model.topics[topic].standing == Standing::There;
        match &result {
            Ok(_) if is_late => {
                if let Writer::Transactional(of) = by {
                    return self.taken_from_replaced(of, "a batch was appended");
                }
            }
            Ok(_) if is_lost => self.model.batches[batch].is_unknown = true,
            Ok(appended) => {
                self.counts.acknowledged += 1;
                if is_there {
                    self.model.acknowledged(batch, appended.base_offset)?;
                }
            }
            Err(Refusal::Log(error)) if error.kind() == ErrorKind::OutcomeUnknown => {
                self.model.batches[batch].is_unknown = true;
            }
            Err(_) => self.model.batches[batch].is_refused = true,
        }
        let is_done = result.is_ok() && !is_lost;
        match by {
            Writer::Plain => Ok(()),
            Writer::Idempotent(id) => self.appended_idempotently(id, batch, is_done, result),
            Writer::Transactional(of) => self.appended_in_transaction(of, batch, is_done, result),
        }
    }

    fn appended_idempotently(
        &mut self,
        id: usize,
        batch: usize,
        is_done: bool,
        result: Result<Appended, Refusal>,
    ) -> Held {
        let Some(client) = self.idempotent.iter_mut().find(|client| client.id == Some(id as i64)) else {
            return Ok(());
        };
        client.flying -= 1;
        if is_done {
            client.queue.retain(|other| *other != batch);
            return Ok(());
        }
        let is_first = client.queue.front() == Some(&batch);
        if client.queue.contains(&batch) {
            client.is_broken = true;
        }
        let Err(Refusal::Log(error)) = result else { return Ok(()) };
        let topic = &self.model.topics[client.spot.0];
        match error.kind() {
            // Nothing of its own was on the way before it: the log has lost count.
            ErrorKind::OutOfOrderSequence | ErrorKind::InvalidProducerEpoch | ErrorKind::DuplicateSequence
                if is_first && topic.standing == Standing::There && !topic.is_relaxed =>
            {
                broken(Invariant::Log4, format!("producer {id}'s next batch {batch} is refused: {error}"))
            }
            ErrorKind::OutOfOrderSequence if is_first && topic.is_relaxed => {
                self.idempotent.retain(|client| client.id != Some(id as i64));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn appended_in_transaction(
        &mut self,
        of: usize,
        batch: usize,
        is_done: bool,
        result: Result<Appended, Refusal>,
    ) -> Held {
        let (spot, count) = {
            let sent = &self.model.batches[batch];
            ((sent.topic, sent.partition), sent.records.len() as i32)
        };
        let client = &mut self.transactional[of];
        client.is_busy = false;
        if client.unsure != Some(batch) {
            return Ok(());
        }
        if is_done {
            client.unsure = None;
            *client.sequences.entry(spot).or_default() += count;
            return Ok(());
        }
        match result {
            Err(Refusal::Transaction(error)) => self.refused_by_coordinator(of, error),
            Err(Refusal::Log(error)) => match error.kind() {
                ErrorKind::Storage
                | ErrorKind::OutcomeUnknown
                | ErrorKind::DiskFull
                | ErrorKind::Unavailable
                | ErrorKind::LimitExceeded => Ok(()),
                _ => {
                    self.abandon(of);
                    Ok(())
                }
            },
            Ok(_) => Ok(()),
        }
    }

    fn ended(
        &mut self,
        of: usize,
        is_late: bool,
        how: Marker,
        result: Result<commitlog::transactions::Identity, TransactionError>,
        is_lost: bool,
    ) -> Held {
        let client = &mut self.transactional[of];
        client.is_busy = false;
        let transaction = client.transaction.expect("it has begun");
        self.story.tell(format!("transaction {transaction} ended, {how:?}: {result:?}{}", lost(is_lost)));
        match result {
            Ok(_) if is_late => self.taken_from_replaced(of, "its transaction was ended"),
            Ok(_) if is_lost => Ok(()),
            Ok(who) => {
                let client = &mut self.transactional[of];
                if client.who != Some(who) {
                    client.sequences.clear();
                }
                client.who = Some(who);
                (client.transaction, client.ending) = (None, None);
                client.joined.clear();
                let id = client.id.clone();
                self.is_told(&id, who);
                self.model.transactions[transaction].fate = match how {
                    Marker::Commit => Fate::Committed,
                    Marker::Abort => Fate::Aborted,
                };
                self.counts.committed += u64::from(how == Marker::Commit);
                Ok(())
            }
            Err(error) => self.refused_by_coordinator(of, error),
        }
    }

    /// Asks again later, or begins anew.
    fn refused_by_coordinator(&mut self, of: usize, error: TransactionError) -> Held {
        if !matches!(error, TransactionError::Concurrent | TransactionError::NotAvailable) {
            self.abandon(of);
        }
        Ok(())
    }

    fn taken_from_replaced(&mut self, of: usize, what: &str) -> Held {
        let client = &self.transactional[of];
        let newest = self.model.newest.get(&client.id);
        broken(Invariant::Txn2, format!("{what} by {:?} of `{}`, which is {newest:?}", client.who, client.id))
    }

    /// Somebody was told to be this.
    fn is_told(&mut self, id: &str, who: commitlog::transactions::Identity) {
        let newest = self.model.newest.entry(id.to_owned()).or_insert(who);
        if (newest.producer, newest.epoch) < (who.producer, who.epoch) {
            *newest = who;
        }
    }

    /// All producers with transactional ids are replaced, which ends what they have open.
    pub(super) fn take_over(&mut self) {
        self.transactional.dedup_by(|a, b| a.id == b.id);
        for of in 0..self.transactional.len() {
            self.abandon(of);
        }
        self.is_last = true;
    }

    /// Clients finish what they have begun. False: all have.
    pub(super) fn end_all(&mut self) -> Held<bool> {
        let mut is_busy = false;
        for of in 0..self.idempotent.len() {
            let client = &self.idempotent[of];
            let is_there = self.model.topics[client.spot.0].standing == Standing::There;
            if !client.queue.is_empty() && is_there {
                is_busy = true;
                self.write_idempotently_again(of);
            }
        }
        for of in 0..self.transactional.len() {
            let client = &self.transactional[of];
            if client.ending.is_some() || (self.is_last && client.who.is_none()) {
                is_busy = true;
                self.go_on_with_transaction(of);
            }
        }
        let deciding = ["x", "y", "z"].iter().any(|id| self.is_deciding(id));
        Ok(is_busy || deciding)
    }
}

fn lost(is_lost: bool) -> &'static str {
    if is_lost { " (the answer is lost)" } else { "" }
}
