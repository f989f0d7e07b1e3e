//! The end of a life and the beginning of the next one.

use std::panic::{AssertUnwindSafe, catch_unwind};

use model::{TopicName, TopicPartition};

use super::Run;
use crate::{
    invariants::{Held, Invariant, broken},
    machine::SimDisk,
    model::Standing,
    node::Node,
};

/// Starts that a machine may be stopped in before one is left alone.
const STOPS_MAX: usize = 3;

impl Run<'_> {
    /// Starts a node on what is on the disk, again and again if the machine stops meanwhile.
    pub(super) fn start(&mut self) -> Held {
        for stops in 0.. {
            if stops < STOPS_MAX && self.chance.permille(150) {
                let after = 1 + self.chance.below(60) as u64;
                self.disk.stop_after(Some(after));
            }
            let started = catch_unwind(AssertUnwindSafe(|| Node::start(&self.disk, &self.parts)));
            if !self.disk.has_stopped() {
                let node = match started {
                    Ok(Ok(node)) => node,
                    Ok(Err(error)) => {
                        self.no_panics()?;
                        return broken(Invariant::Log9, format!("the log does not open: {error}"));
                    }
                    Err(_) => return self.panicked(),
                };
                let own: Vec<_> = ["__consumer_offsets", "__transaction_state"]
                    .iter()
                    .filter_map(|name| {
                        let place = TopicPartition::new(TopicName::new(name).ok()?, 0);
                        commitlog::Log::bounds(&*node.log, &place).ok()
                    })
                    .map(|bounds| (bounds.log_start, bounds.last_stable, bounds.high_watermark))
                    .collect();
                self.node = Some(node);
                self.story.tell(format!("the node is up; its own topics begin, are decided to, end: {own:?}"));
                return self.no_panics();
            }
            drop(started);
            let luck = self.luck();
            self.story.tell(format!("the machine stopped while the node started ({luck:?})"));
            self.crash(luck);
        }
        Ok(())
    }

    /// The node is told to stop, and does; what was asked is answered or refused. Then the power may go.
    pub(super) fn close(&mut self) -> Held {
        let node = self.node();
        let closed = catch_unwind(AssertUnwindSafe(|| {
            let closed = node.wait(node.log.close());
            node.run(20);
            closed
        }));
        if self.disk.has_stopped() {
            self.story.tell("the node is told to stop, and the machine stops");
        } else {
            self.story.tell(format!("the node is told to stop: {:?}", closed.ok()));
            self.hear()?;
            self.disk.stop_now();
        }
        Ok(())
    }

    /// What a kill (no luck) or a power cut leaves is what the next life begins with.
    fn crash(&mut self, luck: Option<u64>) {
        let memory = self.disk.memory();
        let left = match luck {
            None => memory.process_kill(),
            Some(seed) => memory.power_cut(seed),
        };
        match luck {
            None => self.counts.kills += 1,
            Some(_) => self.counts.power_cuts += 1,
        }
        if luck.is_some() {
            self.model.power_lost();
        }
        self.story.digest.add(&self.disk.digest().0.to_be_bytes());
        self.disk = SimDisk::new(left, self.chance.fork(), self.plan.lie);
    }

    pub(super) fn restart(&mut self, luck: Option<u64>) -> Held {
        let how = if luck.is_some() { "power is lost" } else { "the process is killed" };
        self.story.tell(format!("{how} with {} requests under way", self.asked));
        let lost_power = luck.is_some();
        // Whatever is told from here on reaches nobody.
        let node = self.node.take();
        drop(catch_unwind(AssertUnwindSafe(|| drop(node))));
        self.told.lock().clear();
        self.asked = 0;
        self.model.stopped();
        for client in &mut self.idempotent {
            (client.is_broken, client.flying, client.is_asking) = (client.flying > 0 || client.is_broken, 0, false);
        }
        for of in 0..self.transactional.len() {
            self.transactional[of].is_busy = false;
            // It cannot know whether the offset is in: the transaction must not count.
            if self.transactional[of].is_adding_offset {
                self.abandon(of);
            }
        }
        self.group.stopped();
        self.consumers.stopped();
        for client in &mut self.committers {
            client.is_busy = false;
            if let Some(asked) = client.asked.take() {
                client.may_be.push(Some(asked));
            }
        }
        let had_room = self.full_until.take().is_none();
        if !had_room {
            self.story.tell("somebody made room");
        }
        let cuts_before = self.counts.power_cuts;
        self.crash(luck);
        self.start()?;
        self.find_topics()?;
        if lost_power || self.counts.power_cuts > cuts_before {
            self.cut_relaxed()?;
        }
        self.check(false)
    }

    /// Which of the topics whose making or deleting was not told of are there.
    fn find_topics(&mut self) -> Held {
        let log = self.node().log.clone();
        for topic in &mut self.model.topics {
            let there = commitlog::Log::topic(&*log, &topic.name);
            let is_it = there.as_ref().is_some_and(|there| topic.id.is_none_or(|id| id == there.id));
            match (topic.standing, is_it) {
                (Standing::There, false) => {
                    return broken(Invariant::Log10, format!("topic `{}` is not there any more", topic.name));
                }
                (Standing::Gone, true) if topic.id.is_some() => {
                    return broken(Invariant::Log10, format!("topic `{}` was deleted, and is back", topic.name));
                }
                (Standing::Asked, true) => {
                    topic.standing = Standing::There;
                    topic.id = there.as_ref().map(|there| there.id);
                }
                (Standing::Asked | Standing::Doomed, false) => topic.standing = Standing::Gone,
                // It was not deleted: it may be used again, but a client may have been told otherwise of its records.
                _ => {}
            }
            if let Some(there) = there.filter(|_| topic.standing == Standing::There) {
                if there.partitions < topic.partitions {
                    return broken(
                        Invariant::Log10,
                        format!("topic `{}` had {} partitions, now {}", topic.name, topic.partitions, there.partitions),
                    );
                }
                topic.partitions = there.partitions;
            }
        }
        Ok(())
    }

    /// Relaxed topics have lost what was not on disk.
    fn cut_relaxed(&mut self) -> Held {
        let log = self.node().log.clone();
        for topic in 0..self.model.topics.len() {
            if !self.model.topics[topic].is_relaxed || self.model.topics[topic].standing != Standing::There {
                continue;
            }
            for partition in 0..self.model.topics[topic].partitions {
                let place = self.place((topic, partition));
                if let Ok(bounds) = commitlog::Log::bounds(&*log, &place) {
                    self.model.cut_relaxed(topic, partition, bounds.high_watermark);
                }
            }
        }
        Ok(())
    }
}
