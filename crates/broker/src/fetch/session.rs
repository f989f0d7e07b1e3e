//! Fetch sessions (KIP-227): the client says once what it reads, and hears only of what changed.
//!
//! A session is a convenience: it may be dropped at any time, and the client then starts anew.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use security::Principal;
use world::Random;

use super::{
    Found, Want,
    request::{FetchRequest, TopicKey},
};
use crate::handlers::errors;

/// A session unused for this long gives its place to a new one.
const IDLE_MAX: Duration = Duration::from_secs(120);
/// Epoch of a request that opens a session, or of one that wants none.
const OPEN: i32 = 0;
/// Most partitions in one session, and in all of them. A client that wants more asks without one.
const PARTITIONS_MAX: usize = 250_000;
const PARTITIONS_OF_ALL_MAX: usize = 1_000_000;
const NO_SESSION: i32 = -1;

/// All sessions.
pub(crate) struct Sessions {
    slots_max: usize,
    /// Makes ids: one of before a restart must not be taken for another client's of after it (`FetchSession.scala`).
    random: Arc<dyn Random>,
    slots: Mutex<HashMap<i32, Slot>>,
}

struct Slot {
    session: Arc<Mutex<Session>>,
    /// Whose it is: nobody else can use or end it.
    owner: Principal,
    partitions: usize,
    used: Duration,
}

struct Session {
    /// The request expected next carries this.
    epoch: i32,
    by_id: bool,
    partitions: Vec<Tracked>,
    index: HashMap<(TopicKey, i32), usize>,
    /// Where the next response begins, so that a busy partition cannot starve the others.
    first: usize,
}

/// A partition of a session, and what the client knows of it.
struct Tracked {
    want: Want,
    known: Option<(i64, i64)>,
}

/// What one request comes down to.
pub(super) struct Plan {
    /// Id to answer with; 0 for none.
    pub(super) session: i32,
    pub(super) wants: Vec<Want>,
    /// Only changes are told, and remembered here.
    tracked: Option<Arc<Mutex<Session>>>,
    incremental: bool,
}

impl Sessions {
    pub(crate) fn new(slots_max: usize, random: Arc<dyn Random>) -> Self {
        Self { slots_max, random, slots: Mutex::new(HashMap::new()) }
    }

    /// What this request asks for, all told. `Err`: code for the whole response.
    pub(super) fn begin(&self, request: &FetchRequest, who: &Principal, now: Duration) -> Result<Plan, i16> {
        match request.epoch {
            NO_SESSION => {
                self.close(request.session, who);
                Ok(Plan { session: 0, wants: request.wants.clone(), tracked: None, incremental: false })
            }
            OPEN => {
                self.close(request.session, who);
                Ok(self.open(request, who, now))
            }
            _ => self.go_on(request, who, now),
        }
    }

    fn close(&self, id: i32, who: &Principal) {
        let mut slots = self.slots.lock();
        if slots.get(&id).is_some_and(|slot| slot.owner == *who) {
            slots.remove(&id);
        }
    }

    fn open(&self, request: &FetchRequest, who: &Principal, now: Duration) -> Plan {
        let wants = request.wants.clone();
        let mut slots = self.slots.lock();
        if slots.len() >= self.slots_max {
            slots.retain(|_, slot| now.saturating_sub(slot.used) < IDLE_MAX);
        }
        if slots.len() >= self.slots_max || wants.is_empty() || !has_room(&slots, wants.len()) {
            return Plan { session: 0, wants, tracked: None, incremental: false };
        }
        let mut session =
            Session { epoch: 1, by_id: request.by_id, partitions: Vec::new(), index: HashMap::new(), first: 0 };
        wants.iter().cloned().for_each(|want| session.want(want));
        let session = Arc::new(Mutex::new(session));
        let id = loop {
            let id = (self.random.u64() >> 33) as i32; // What is left fits and is not negative.
            if id != 0 && !slots.contains_key(&id) {
                break id;
            }
        };
        let owner = who.clone();
        slots.insert(id, Slot { session: session.clone(), owner, partitions: wants.len(), used: now });
        Plan { session: id, wants, tracked: Some(session), incremental: false }
    }

    fn go_on(&self, request: &FetchRequest, who: &Principal, now: Duration) -> Result<Plan, i16> {
        let shared = {
            let mut slots = self.slots.lock();
            let has_room = request.wants.is_empty() || has_room(&slots, request.wants.len());
            let found = slots.get_mut(&request.session).filter(|slot| slot.owner == *who);
            let slot = found.ok_or(errors::FETCH_SESSION_ID_NOT_FOUND)?;
            if !has_room || slot.partitions + request.wants.len() > PARTITIONS_MAX {
                // The client begins anew, and hears that there is no session for so many.
                slots.remove(&request.session);
                return Err(errors::FETCH_SESSION_ID_NOT_FOUND);
            }
            slot.used = now;
            slot.session.clone()
        };
        let mut session = shared.lock();
        if session.epoch != request.epoch {
            return Err(errors::INVALID_FETCH_SESSION_EPOCH);
        }
        if session.by_id != request.by_id {
            return Err(errors::FETCH_SESSION_TOPIC_ID_ERROR);
        }
        session.epoch = if session.epoch == i32::MAX { 1 } else { session.epoch + 1 };
        request.wants.iter().cloned().for_each(|want| session.want(want));
        session.forget(&request.forgotten);
        let (wants, partitions) = (session.turn(), session.partitions.len());
        drop(session);
        if let Some(slot) = self.slots.lock().get_mut(&request.session) {
            slot.partitions = partitions;
        }
        Ok(Plan { session: request.session, wants, tracked: Some(shared), incremental: true })
    }

    /// Which partitions the response tells of, in the order of the plan; remembers what it tells.
    pub(super) fn finish(&self, plan: &Plan, found: &[Found]) -> Vec<bool> {
        let Some(session) = &plan.tracked else { return vec![true; found.len()] };
        let mut session = session.lock();
        let told = plan.wants.iter().zip(found).map(|(want, found)| {
            let now = (found.bounds.high_watermark, found.bounds.log_start);
            let Some(at) = session.index.get(&(want.topic.clone(), want.partition)).copied() else { return true };
            let tracked = &mut session.partitions[at];
            let tell = !plan.incremental || found.is_error() || !found.records.is_empty() || tracked.known != Some(now);
            // After an error the client hears of the partition again once it is well.
            tracked.known = if found.is_error() { None } else { Some(now) };
            tell
        });
        told.collect()
    }
}

fn has_room(slots: &HashMap<i32, Slot>, more: usize) -> bool {
    let held: usize = slots.values().map(|slot| slot.partitions).sum();
    more <= PARTITIONS_MAX && held + more <= PARTITIONS_OF_ALL_MAX
}

impl Session {
    fn want(&mut self, want: Want) {
        let key = (want.topic.clone(), want.partition);
        match self.index.get(&key) {
            Some(&at) => self.partitions[at].want = want,
            None => {
                self.index.insert(key, self.partitions.len());
                self.partitions.push(Tracked { want, known: None });
            }
        }
    }

    fn forget(&mut self, forgotten: &[(TopicKey, i32)]) {
        if forgotten.is_empty() {
            return;
        }
        for key in forgotten {
            self.index.remove(key);
        }
        let index = &self.index;
        self.partitions.retain(|t| index.contains_key(&(t.want.topic.clone(), t.want.partition)));
        self.index =
            self.partitions.iter().enumerate().map(|(at, t)| ((t.want.topic.clone(), t.want.partition), at)).collect();
    }

    /// All partitions, each time beginning with another.
    fn turn(&mut self) -> Vec<Want> {
        if self.partitions.is_empty() {
            return Vec::new();
        }
        self.first = (self.first + 1) % self.partitions.len();
        let (before, after) = self.partitions.split_at(self.first);
        after.iter().chain(before).map(|t| t.want.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use commitlog::{Bounds, Isolation};

    use super::*;

    fn request(session: i32, epoch: i32, partitions: &[i32]) -> FetchRequest {
        let want = |p: &i32| Want {
            topic: TopicKey::Name("t".into()),
            partition: *p,
            offset: 0,
            bytes_max: 1,
            leader_epoch: -1,
        };
        FetchRequest {
            max_wait_ms: 0,
            min_bytes: 1,
            max_bytes: 1,
            isolation: Some(Isolation::Uncommitted),
            session,
            epoch,
            by_id: false,
            wants: partitions.iter().map(want).collect(),
            forgotten: Vec::new(),
        }
    }

    fn found(high_watermark: i64, records: &'static [u8]) -> Found {
        let bounds = Bounds {
            log_start: 0,
            last_stable: high_watermark,
            high_watermark,
            log_end: high_watermark,
            leader_epoch: 0,
        };
        Found { error: 0, bounds, records: Bytes::from_static(records), aborted: Vec::new(), place: None }
    }

    fn who() -> Principal {
        Principal::user("ann")
    }

    fn sessions(slots_max: usize) -> Sessions {
        Sessions::new(slots_max, Arc::new(world::SystemRandom))
    }

    const NOW: Duration = Duration::from_secs(1);

    #[test]
    fn only_changes_are_told_after_the_first_response() {
        let sessions = sessions(10);
        let plan = sessions.begin(&request(0, 0, &[0, 1]), &who(), NOW).expect("opens");
        assert_ne!(plan.session, 0);
        assert_eq!(sessions.finish(&plan, &[found(0, b""), found(5, b"x")]), [true, true]);
        let again = |epoch, partitions: &[i32]| sessions.begin(&request(plan.session, epoch, partitions), &who(), NOW);

        let second = again(1, &[]).expect("goes on");
        assert_eq!(second.wants.len(), 2);
        assert_eq!(second.wants[0].partition, 1, "another partition is first");
        assert_eq!(sessions.finish(&second, &[found(5, b""), found(0, b"")]), [false, false]);
        let third = again(2, &[]).expect("goes on");
        assert_eq!(third.wants[0].partition, 0);
        assert_eq!(sessions.finish(&third, &[found(1, b""), found(5, b"")]), [true, false], "a moved end is told");
        let fourth = again(3, &[]).expect("goes on");
        assert_eq!(sessions.finish(&fourth, &[Found::failed(3, super::super::NOWHERE), found(1, b"")]), [true, false]);
        let fifth = again(4, &[]).expect("goes on");
        assert_eq!(
            sessions.finish(&fifth, &[found(1, b""), found(5, b"")]),
            [false, true],
            "well again after an error"
        );
    }

    #[test]
    fn strange_ids_and_epochs_are_refused() {
        let sessions = sessions(1);
        let plan = sessions.begin(&request(0, 0, &[0]), &who(), NOW).expect("opens");
        let refused = |session, epoch| sessions.begin(&request(session, epoch, &[]), &who(), NOW).err();
        assert_eq!(refused(plan.session + 1, 1), Some(errors::FETCH_SESSION_ID_NOT_FOUND));
        assert_eq!(refused(plan.session, 2), Some(errors::INVALID_FETCH_SESSION_EPOCH));
        let mut by_id = request(plan.session, 1, &[]);
        by_id.by_id = true;
        assert_eq!(sessions.begin(&by_id, &who(), NOW).err(), Some(errors::FETCH_SESSION_TOPIC_ID_ERROR));
        let full = sessions.begin(&request(0, 0, &[0]), &who(), NOW).expect("no room, no session, still an answer");
        assert_eq!((full.session, full.wants.len()), (0, 1));
        let later = sessions.begin(&request(0, 0, &[0]), &who(), NOW + IDLE_MAX).expect("the idle one makes room");
        assert_ne!(later.session, 0);
        sessions.begin(&request(later.session, -1, &[0]), &who(), NOW).expect("closing is always allowed");
        assert_eq!(refused(later.session, 1), Some(errors::FETCH_SESSION_ID_NOT_FOUND));
    }

    #[test]
    fn nobody_uses_or_ends_anothers_session() {
        let sessions = sessions(10);
        let plan = sessions.begin(&request(0, 0, &[0]), &who(), NOW).expect("opens");
        let other = Principal::user("eve");
        let refused = sessions.begin(&request(plan.session, 1, &[]), &other, NOW).err();
        assert_eq!(refused, Some(errors::FETCH_SESSION_ID_NOT_FOUND));
        sessions.begin(&request(plan.session, -1, &[0]), &other, NOW).expect("answered, and nothing is closed");
        sessions.begin(&request(plan.session, 1, &[]), &who(), NOW).expect("goes on");
    }

    #[test]
    fn a_session_of_before_a_restart_is_nobodys_after_it() {
        let before = sessions(10).begin(&request(0, 0, &[0]), &who(), NOW).expect("opens");
        let restarted = sessions(10);
        restarted.begin(&request(0, 0, &[1]), &who(), NOW).expect("somebody else was faster");
        let refused = restarted.begin(&request(before.session, 1, &[]), &who(), NOW).err();
        assert_eq!(refused, Some(errors::FETCH_SESSION_ID_NOT_FOUND));
    }

    #[test]
    fn sessions_hold_no_more_than_so_many_partitions() {
        let sessions = sessions(10);
        let many: Vec<i32> = (0..200_000).collect();
        let plan = sessions.begin(&request(0, 0, &many), &who(), NOW).expect("opens");
        let more: Vec<i32> = (200_000..260_000).collect();
        let refused = sessions.begin(&request(plan.session, 1, &more), &who(), NOW).err();
        assert_eq!(refused, Some(errors::FETCH_SESSION_ID_NOT_FOUND));
        for _ in 0..5 {
            assert_ne!(sessions.begin(&request(0, 0, &many), &who(), NOW).expect("opens").session, 0);
        }
        let beyond = sessions.begin(&request(0, 0, &many), &who(), NOW).expect("answered");
        assert_eq!((beyond.session, beyond.wants.len()), (0, many.len()), "without a session");
    }

    #[test]
    fn forgotten_partitions_are_not_read() {
        let sessions = sessions(1);
        let plan = sessions.begin(&request(0, 0, &[0, 1, 2]), &who(), NOW).expect("opens");
        let mut forget = request(plan.session, 1, &[3]);
        forget.forgotten = vec![(TopicKey::Name("t".into()), 1)];
        let plan = sessions.begin(&forget, &who(), NOW).expect("goes on");
        let mut partitions: Vec<_> = plan.wants.iter().map(|w| w.partition).collect();
        partitions.sort_unstable();
        assert_eq!(partitions, [0, 2, 3]);
    }
}
