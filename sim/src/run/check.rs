//! Reading everything, and comparing it with what clients know.

use commitlog::{Isolation, Log as _, log::Bounds};
use model::{ErrorKind, Offset, TopicName, TopicPartition};

use super::Run;
use crate::{
    clients::Spot,
    invariants::{Held, Invariant, broken},
    machine::SimDisk,
    model::{Fate, Got, Standing},
    node::Node,
};

impl Run<'_> {
    pub(super) fn place(&self, (topic, partition): Spot) -> TopicPartition {
        let name = TopicName::new(&self.model.topics[topic].name).expect("a legal name");
        TopicPartition::new(name, partition)
    }

    /// Partitions of which something is promised.
    fn spots(&self) -> Vec<Spot> {
        let there = self.model.topics.iter().enumerate().filter(|(_, topic)| topic.standing == Standing::There);
        there.flat_map(|(at, topic)| (0..topic.partitions).map(move |partition| (at, partition))).collect()
    }

    /// Reads all partitions. `is_quiet`: nothing is under way, and nothing is undecided.
    pub(super) fn check(&mut self, is_quiet: bool) -> Held {
        self.counts.checks += 1;
        // The machine does not stop while we look.
        self.disk.stop_after(None);
        self.disk.fail_after(None);
        self.check_identity()?;
        let mut read = Vec::new();
        // Committed ones first: what they see says which transactions count.
        for spot in self.spots() {
            let (bounds, committed) = self.read_all(spot, Isolation::Committed)?;
            read.push((spot, bounds, committed));
        }
        for (spot, _, committed) in read {
            let (bounds, all) = self.read_all(spot, Isolation::Uncommitted)?;
            self.model.note_bounds(spot.0, spot.1, &bounds)?;
            self.model.check_whole(spot.0, spot.1, &bounds, &all, &committed)?;
        }
        self.check_offsets()?;
        self.check_consumers()?;
        if is_quiet {
            let node = self.node.as_ref().expect("it lives");
            let places: Vec<_> = self.spots().into_iter().map(|spot| (spot, self.place(spot))).collect();
            self.model.check_transactions(self.is_last, |topic, partition| {
                let (_, place) = places.iter().find(|(spot, _)| *spot == (topic, partition))?;
                node.log.bounds(place).ok()
            })?;
        }
        self.story.tell("everything is as it should be");
        self.no_panics()
    }

    fn check_identity(&mut self) -> Held {
        let now = self.node().log.cluster_id().to_owned();
        // Until the first topic is made nothing depends on it.
        if self.model.topics.iter().any(|topic| topic.id.is_some()) {
            let was = self.cluster_id.get_or_insert_with(|| now.clone());
            if *was != now {
                return broken(Invariant::Log7, format!("the log was {was}, and is {now}"));
            }
        }
        Ok(())
    }

    /// All of a partition, and where it began and ended.
    fn read_all(&mut self, spot: Spot, isolation: Isolation) -> Held<(Bounds, Vec<Got>)> {
        let place = self.place(spot);
        let log = self.node().log.clone();
        let failed = |error: model::Error| broken(Invariant::Log1, format!("{place} cannot be read: {error}"));
        let bounds = match log.bounds(&place) {
            Ok(bounds) => bounds,
            Err(error) => return failed(error),
        };
        let mut got = Vec::new();
        let mut next = bounds.log_start;
        loop {
            let bytes = *self.chance.one_of(&[1, 300, 5000, 1 << 20]);
            let slice = match self.node().wait(log.read(&place, next, bytes, isolation)) {
                Ok(slice) => slice,
                Err(error) => return failed(error),
            };
            let aborted = (isolation == Isolation::Committed).then_some(slice.aborted);
            let before = got.len();
            self.model.read(spot.0, spot.1, (slice.records, aborted), bounds.end(isolation), &mut got)?;
            match got[before..].last() {
                Some(last) => next = last.next,
                None => break,
            }
            if next >= bounds.end(isolation) {
                break;
            }
        }
        Ok((bounds, got))
    }

    fn check_offsets(&mut self) -> Held {
        let groups = self.node().groups.clone();
        for client in &self.committers {
            let now = groups.offset(&client.group, "t0", 0).map(|committed| committed.offset);
            if !client.may_be.contains(&now) && client.asked.is_none_or(|asked| now != Some(asked)) {
                return broken(
                    Invariant::Grp1,
                    format!("the offset of group `{}` is {now:?}, not one of {:?}", client.group, client.may_be),
                );
            }
        }
        // What a transaction commits counts with it.
        let ids: Vec<_> = {
            let mut ids: Vec<_> = self.transactional.iter().map(|client| client.id.clone()).collect();
            ids.dedup();
            ids
        };
        for id in ids {
            let now = groups.offset(&format!("g{id}"), "t0", 0).map(|committed| committed.offset);
            let of_id = self.model.transactions.iter_mut().filter(|transaction| transaction.id == id);
            let (mut at_least, mut found) = (None, None);
            for transaction in of_id.filter(|transaction| transaction.offset.is_some()) {
                if transaction.fate == Fate::Committed || transaction.was_seen {
                    at_least = at_least.max(transaction.offset);
                }
                if transaction.offset == now {
                    found = Some(transaction);
                }
            }
            if let (Some(_), Some(transaction)) = (now, found) {
                if !matches!(transaction.fate, Fate::Committed | Fate::CommitAsked) {
                    let fate = transaction.fate;
                    return broken(
                        Invariant::Grp1,
                        format!("group `g{id}` shows {now:?} of a transaction that is {fate:?}"),
                    );
                }
                // It is one with its records.
                transaction.was_seen = true;
            } else if now.is_some() {
                return broken(Invariant::Grp1, format!("group `g{id}` shows {now:?}, which nobody committed"));
            }
            if now < at_least && !self.is_deciding(&id) {
                return broken(Invariant::Grp1, format!("group `g{id}` shows {now:?}, {at_least:?} was committed"));
            }
        }
        Ok(())
    }

    /// Whether markers of this id are still being written.
    pub(super) fn is_deciding(&self, id: &str) -> bool {
        let summary = self.node().transactions.describe(id);
        summary.is_some_and(|summary| summary.state.name().starts_with("Prepare"))
    }

    /// A bit of a sealed segment changes behind everybody's back: readers are told, or never come to see it.
    pub(super) fn rot(&mut self) -> Held {
        self.work(4)?;
        let memory = self.disk.memory().process_kill();
        let mut segments: Vec<_> =
            memory.files().into_iter().filter(|path| path.extension() == Some("log".as_ref())).collect();
        segments.retain(|path| path.components().any(|part| part.as_os_str().to_string_lossy().starts_with('t')));
        let is_sealed = |at: usize| segments.get(at + 1).is_some_and(|next| next.parent() == segments[at].parent());
        let sealed: Vec<_> = (0..segments.len()).filter(|at| is_sealed(*at)).map(|at| segments[at].clone()).collect();
        if sealed.is_empty() {
            return Ok(());
        }
        let path = self.chance.one_of(&sealed).clone();
        let (place, bit) = (self.chance.next() as usize, self.chance.below(8));
        let mut at = 0;
        memory.tamper(&path, |bytes| {
            if !bytes.is_empty() {
                at = place % bytes.len();
                bytes[at] ^= 1 << bit;
            }
        });
        self.story.tell(format!("bit {bit} of byte {at} of {} changes", path.display()));
        self.node = None;
        self.disk = SimDisk::new(memory, self.chance.fork(), None);
        match Node::start(&self.disk, &self.parts) {
            Ok(node) => self.node = Some(node),
            Err(error) if error.kind() == ErrorKind::Corrupt && error.to_string().contains("/log/") => return Ok(()),
            Err(error) => return broken(Invariant::Log8, format!("a start does not say what is damaged: {error}")),
        }
        for round in 0..2 {
            for spot in self.spots() {
                self.read_rotten(spot)?;
            }
            if round == 0 {
                self.work(5)?;
            }
        }
        self.no_panics()
    }

    /// Reads what may be damaged, batch by batch.
    fn read_rotten(&mut self, spot: Spot) -> Held {
        let place = self.place(spot);
        let log = self.node().log.clone();
        let Ok(bounds) = log.bounds(&place) else { return Ok(()) };
        let mut next: Offset = bounds.log_start;
        while next < bounds.high_watermark {
            let slice = match self.node().wait(log.read(&place, next, 1, Isolation::Uncommitted)) {
                Ok(slice) => slice,
                Err(error) if error.kind() == ErrorKind::Corrupt && error.to_string().contains(".log") => return Ok(()),
                Err(error) => return broken(Invariant::Log8, format!("{place} at {next}: {error}")),
            };
            let mut got = Vec::new();
            match commitlog::record::Batch::parse(&slice.records).and_then(|batch| batch.check_crc()) {
                Ok(()) => {}
                // Every client looks at checksums.
                Err(_) => return Ok(()),
            }
            if let Err(mut broken) =
                self.model.read(spot.0, spot.1, (slice.records, None), bounds.high_watermark, &mut got)
            {
                broken.invariant = Invariant::Log8;
                return Err(broken);
            }
            match got.last() {
                Some(last) if last.next > next => next = last.next,
                _ => return broken(Invariant::Log8, format!("{place}: nothing at {next}, and no error")),
            }
        }
        Ok(())
    }
}
