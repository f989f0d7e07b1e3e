//! One run: a random world, a random story in it, and the laws checked after every restart and at the end.

mod answers;
mod check;
mod consumers;
mod members;
mod requests;
mod restart;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use commitlog::{LogSettings, transactions::Protocol};
use parking_lot::Mutex;
use testkit::MemoryDisk;

pub use self::consumers::HeardOfClassic;
use crate::{
    Failure, Plan, Report,
    chance::{Chance, SimRandom},
    clients::{Committer, Idempotent, Told, Transactional},
    invariants::{Broken, Held, Invariant, broken},
    machine::{SimClock, SimDisk},
    model::Model,
    node::{Node, Parts},
    story::Story,
};

pub(crate) struct Run<'a> {
    plan: &'a Plan,
    chance: Chance,
    story: Story,
    model: Model,
    parts: Parts,
    disk: SimDisk,
    /// None for the moment between two lives.
    node: Option<Node>,
    /// What clients were told and have not looked at yet.
    told: Arc<Mutex<Vec<Told>>>,
    /// Requests of this life that nothing was told of yet.
    asked: usize,
    idempotent: Vec<Idempotent>,
    transactional: Vec<Transactional>,
    committers: Vec<Committer>,
    group: members::Known,
    consumers: consumers::Known,
    cluster_id: Option<String>,
    /// The disk has no room until this step.
    full_until: Option<usize>,
    topics_made: usize,
    producers_made: usize,
    /// New producers take over all transactional ids: nothing stays open.
    is_last: bool,
    counts: Counts,
}

/// What a run came to see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub acknowledged: u64,
    pub committed: u64,
    pub kills: u64,
    pub power_cuts: u64,
    pub compactions: u64,
    pub checks: u64,
}

thread_local! {
    static PANICS: std::cell::RefCell<Vec<String>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// Panics of a task end in the runtime; here they are remembered. Once for the process.
fn remember_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|panic| PANICS.with_borrow_mut(|all| all.push(panic.to_string()))));
    });
}

pub(crate) fn run(seed: u64, plan: &Plan) -> Result<Report, Failure> {
    remember_panics();
    PANICS.take();
    let mut run = Run::new(seed, plan);
    let held = catch_unwind(AssertUnwindSafe(|| run.live())).unwrap_or_else(|_| run.panicked());
    run.node = None;
    match held {
        Ok(()) => Ok(Report { seed, digest: run.digest().0, operations: run.disk.operations(), counts: run.counts }),
        Err(Broken { invariant, how }) => {
            Err(Failure { seed, step: run.story.step, invariant, how, story: run.story.last.into() })
        }
    }
}

impl<'a> Run<'a> {
    fn new(seed: u64, plan: &'a Plan) -> Self {
        let mut chance = Chance::new(seed);
        let kib = |chance: &mut Chance, sizes: &[u64]| *chance.one_of(sizes) << 10;
        let wal_file_bytes = kib(&mut chance, &[4, 8, 16, 256]);
        let settings = LogSettings {
            wal_file_bytes,
            checkpoint_bytes: wal_file_bytes * chance.one_of(&[1, 3, 6]),
            checkpoint_interval: Duration::from_secs(5),
            retention_interval: Duration::from_secs(30),
            file_delete_delay: Duration::from_secs(*chance.one_of(&[0, 1, 60])),
            compaction_map_bytes: *chance.one_of(&[24 * 4, 1 << 20]),
            // As long as it lasts: what a producer repeats after that is new.
            producer_expiry: Duration::from_secs(1_000_000_000),
            ..LogSettings::default()
        };
        let random = Arc::new(SimRandom(Mutex::new(chance.fork())));
        let parts = Parts { clock: Arc::new(SimClock::new()), random, settings };
        let disk = SimDisk::new(MemoryDisk::new(), chance.fork(), plan.lie);
        let rivals = |id: &str, protocol| Transactional {
            id: id.to_owned(),
            protocol,
            who: None,
            is_busy: false,
            transaction: None,
            joined: Default::default(),
            sequences: Default::default(),
            unsure: None,
            ending: None,
            is_adding_offset: false,
        };
        let transactional = vec![
            rivals("x", Protocol::V1),
            rivals("x", Protocol::V1),
            rivals("y", Protocol::V2),
            rivals("y", Protocol::V2),
            rivals("z", Protocol::V1),
        ];
        let committer = |group: &str| Committer {
            group: group.to_owned(),
            is_busy: false,
            next: 1,
            may_be: vec![None],
            asked: None,
        };
        let consumers = consumers::Known::new(&mut chance);
        let mut story = Story { is_told: plan.is_told, ..Story::default() };
        story.tell(format!("seed {seed}: {:?}", parts.settings));
        Self {
            plan,
            chance,
            story,
            model: Model::default(),
            parts,
            disk,
            node: None,
            told: Arc::default(),
            asked: 0,
            idempotent: Vec::new(),
            transactional,
            committers: vec![committer("a"), committer("b"), committer(members::GROUP), committer(consumers::GROUP)],
            group: members::Known::new(),
            consumers,
            cluster_id: None,
            full_until: None,
            topics_made: 0,
            producers_made: 0,
            is_last: false,
            counts: Counts::default(),
        }
    }

    fn live(&mut self) -> Held {
        self.start()?;
        for _ in 0..self.plan.steps {
            self.story.step += 1;
            self.go_on_as_consumer()?;
            self.step()?;
            let rounds = self.chance.below(4);
            self.go_on(rounds)?;
        }
        self.settle()?;
        self.check(true)?;
        self.story.tell("the end: the power goes once more");
        self.disk.stop_now();
        let luck = self.chance.next();
        self.restart(Some(luck))?;
        self.take_over();
        self.settle()?;
        self.check(true)?;
        self.rot()
    }

    /// Something happens.
    fn step(&mut self) -> Held {
        const STEPS: [u32; 14] = [60, 120, 110, 25, 12, 3, 3, 6, 6, 5, 4, 4, 2, 2];
        match self.chance.weighted(&STEPS) {
            0 | 1 => {
                let what = self.chance.below(3);
                self.work(what)
            }
            2 => self.ask_something(),
            3 => self.work(3),
            4 => self.work(4),
            5 => self.work(5),
            6 => self.work(6),
            7 => {
                let by = *self.chance.one_of(&[1, 40, 700, 6_000, 40_000]);
                self.story.tell(format!("{by} ms pass"));
                let clock = self.parts.clock.clone();
                self.node().advance(&clock, Duration::from_millis(by));
                Ok(())
            }
            8 => {
                let after = 1 + self.chance.below(120) as u64;
                self.story.tell(format!("the machine will stop after {after} operations"));
                self.disk.stop_after(Some(after));
                Ok(())
            }
            9 if self.plan.has_faults => {
                let after = 1 + self.chance.below(40) as u64;
                self.story.tell(format!("operation {after} from here will fail"));
                self.disk.fail_after(Some(after));
                Ok(())
            }
            10 if self.plan.has_faults => {
                let room = self.chance.below(6000);
                self.story.tell(format!("the disk has room for {room} bytes"));
                let memory = self.disk.memory();
                memory.set_capacity(Some(memory.used() + room));
                self.full_until = Some(self.story.step + 5 + self.chance.below(30));
                Ok(())
            }
            11 => {
                let by = self.chance.below(7_200_000) as i64 - 3_600_000;
                self.story.tell(format!("somebody sets the clock by {by} ms"));
                self.parts.clock.jump(by);
                Ok(())
            }
            12 => self.check(false),
            13 => self.close(),
            _ => Ok(()),
        }
    }

    /// A step of one of the log's threads.
    fn work(&mut self, what: usize) -> Held {
        let steps = self.node().steps.clone();
        let name = ["write", "commit", "write and commit", "keep", "checkpoint", "compact", "retain"][what];
        let done = catch_unwind(AssertUnwindSafe(|| match what {
            0 => format!("{}", steps.write()),
            1 => format!("{}", steps.commit()),
            2 => format!("{} {}", steps.write(), steps.commit()),
            3 => format!("{}", steps.keep()),
            4 => format!("{:?}", steps.checkpoint()),
            5 => format!("{:?}", steps.compact()),
            _ => format!("{:?}", steps.retain()),
        }));
        match done {
            Ok(done) => {
                self.counts.compactions += u64::from(what == 5 && done == "Some(Ok(()))");
                self.story.tell(format!("{name}: {done}"));
            }
            Err(_) => self.story.tell(format!("{name}: the machine stopped")),
        }
        Ok(())
    }

    /// Lets tasks go on, and clients hear what they are told; a machine that has stopped is started again.
    fn go_on(&mut self, rounds: usize) -> Held {
        if !self.disk.has_stopped() {
            let node = self.node.as_ref().expect("it lives");
            if catch_unwind(AssertUnwindSafe(|| node.run(rounds))).is_err() && !self.disk.has_stopped() {
                return self.panicked();
            }
        }
        self.no_panics()?;
        if self.full_until.is_some_and(|step| self.story.step >= step) {
            self.make_room();
        }
        if self.disk.has_stopped() {
            let luck = self.luck();
            return self.restart(luck);
        }
        self.hear()
    }

    /// How the machine stops: the process is killed, or power is lost with so much luck.
    fn luck(&mut self) -> Option<u64> {
        match self.chance.below(5) {
            0 | 1 => None,
            2 => Some(0),
            _ => Some(self.chance.next() | 1),
        }
    }

    fn make_room(&mut self) {
        self.full_until = None;
        self.disk.memory().set_capacity(None);
        self.story.tell("the disk has room again");
    }

    /// Faults end; everything that was asked is answered.
    fn settle(&mut self) -> Held {
        self.disk.stop_after(None);
        self.disk.fail_after(None);
        self.make_room();
        for _ in 0..400 {
            self.story.step += 1;
            self.work(2)?;
            self.go_on(4)?;
            if self.asked == 0 && !self.end_all()? {
                return self.settle_consumers();
            }
            self.work(3)?;
            let clock = self.parts.clock.clone();
            self.node().advance(&clock, Duration::from_millis(200));
        }
        broken(Invariant::Live, format!("{} requests are not answered", self.asked))
    }

    fn node(&self) -> &Node {
        self.node.as_ref().expect("it lives")
    }

    fn no_panics(&self) -> Held {
        match PANICS.with_borrow(|all| all.first().cloned()) {
            Some(panic) => broken(Invariant::Panic, panic),
            None => Ok(()),
        }
    }

    fn panicked(&self) -> Held {
        self.no_panics()?;
        broken(Invariant::Panic, "something unwound that is no panic")
    }

    /// Of the story, and of every byte on the disk.
    fn digest(&self) -> crate::story::Digest {
        let mut digest = self.story.digest;
        digest.add(&self.disk.digest().0.to_be_bytes());
        for (path, bytes) in self.disk.memory().contents() {
            digest.add(path.as_os_str().as_encoded_bytes());
            digest.add(&bytes);
        }
        digest
    }
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.acknowledged += other.acknowledged;
        self.committed += other.committed;
        self.kills += other.kills;
        self.power_cuts += other.power_cuts;
        self.compactions += other.compactions;
        self.checks += other.checks;
    }
}
