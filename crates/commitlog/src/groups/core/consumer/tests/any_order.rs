//! The laws when clients, answers, failures and restarts come in any order.

use super::*;

#[derive(Clone, Debug)]
enum Op {
    /// A client says that it is alive (or joins); the answer may be lost.
    Beat {
        client: usize,
        lost: bool,
    },
    /// A client does what it was told last.
    Obey {
        client: usize,
    },
    Subscribe {
        client: usize,
        topics: Vec<u8>,
    },
    Leave {
        client: usize,
    },
    Crash {
        client: usize,
    },
    Topics {
        sizes: Vec<(u8, i32)>,
    },
    Pass {
        seconds: u64,
    },
    Flush {
        durable: bool,
    },
    Restart,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let client = 0usize..4;
    let sizes = proptest::collection::btree_map(0u8..3, 1i32..5, 1..4).prop_map(|sizes| sizes.into_iter().collect());
    let op = prop_oneof![
        12 => (client.clone(), proptest::bool::weighted(0.2)).prop_map(|(client, lost)| Op::Beat { client, lost }),
        8 => client.clone().prop_map(|client| Op::Obey { client }),
        2 => (client.clone(), proptest::collection::vec(0u8..3, 0..3))
            .prop_map(|(client, topics)| Op::Subscribe { client, topics }),
        1 => client.clone().prop_map(|client| Op::Leave { client }),
        1 => client.prop_map(|client| Op::Crash { client }),
        1 => sizes.prop_map(|sizes| Op::Topics { sizes }),
        2 => (0u64..30).prop_map(|seconds| Op::Pass { seconds }),
        8 => proptest::bool::weighted(0.9).prop_map(|durable| Op::Flush { durable }),
        1 => Just(Op::Restart),
    ];
    proptest::collection::vec(op, 0..120)
}

/// A client as the Java and C clients are written: it says what it owns when that changed (or when it says everything), and
/// takes up nothing new between saying so and hearing the answer: the protocol has no way to see that it did.
#[derive(Default)]
struct Client {
    id: String,
    incarnation: usize,
    epoch: i32,
    owned: Partitions,
    told: Option<Partitions>,
    topics: Vec<u8>,
    /// Says everything: it joins, or does not know what was heard.
    full: bool,
    /// What it said last that it owns.
    said: Option<Partitions>,
    said_topics: Option<Vec<u8>>,
    /// It said what it owns and has not heard since.
    unheard: bool,
    /// Waits for an answer, which will be lost or not.
    waiting: Option<(ReplyId, bool)>,
}

impl Client {
    fn request(&mut self) -> ConsumerHeartbeat {
        let is_full = self.full || self.epoch == 0;
        let owned = Some(self.owned.clone()).filter(|owned| is_full || self.said.as_ref() != Some(owned));
        self.unheard |= owned.is_some();
        if owned.is_some() {
            self.said.clone_from(&owned);
        }
        let mut request = alive(&self.id, self.epoch, owned);
        if is_full {
            request.rebalance_timeout = Some(Duration::from_secs(60));
        }
        if is_full || self.said_topics.as_ref() != Some(&self.topics) {
            request.topics = Some(self.topics.iter().copied().map(named).collect());
            self.said_topics = Some(self.topics.clone());
        }
        request
    }

    fn hear(&mut self, answer: Result<ConsumerHeartbeatAnswer, GroupError>) {
        match answer {
            Ok(answer) => {
                self.epoch = answer.epoch;
                (self.full, self.unheard) = (false, false);
                self.told = answer.assignment.or(self.told.take());
            }
            Err(GroupError::FencedMemberEpoch | GroupError::UnknownMember) => self.start_over(),
            Err(GroupError::NotAvailable) => self.full = true,
            Err(other) => panic!("a client that does all as it should was told: {other}"),
        }
    }

    fn start_over(&mut self) {
        (self.epoch, self.full, self.told) = (0, true, None);
        self.owned.clear();
        (self.said, self.unheard) = (None, false);
    }

    /// A new process: a new member id.
    fn replace(&mut self, number: usize) {
        self.incarnation += 1;
        self.id = format!("c{number}-{}", self.incarnation);
        self.waiting = None;
        self.start_over();
    }
}

struct World {
    bench: Bench,
    clients: Vec<Client>,
}

impl World {
    fn new() -> Self {
        let mut bench = Bench::new(&[(0, 3), (1, 4)]);
        bench.hold = true;
        let mut clients: Vec<Client> = (0..4).map(|_| Client { topics: vec![0, 1], ..Client::default() }).collect();
        clients.iter_mut().enumerate().for_each(|(number, client)| client.replace(number));
        Self { bench, clients }
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Beat { client, lost } if self.clients[client].waiting.is_none() => {
                let request = self.clients[client].request();
                let reply = self.bench.put_beat(request);
                self.clients[client].waiting = Some((reply, lost));
            }
            Op::Beat { .. } => {}
            Op::Obey { client } => {
                let client = &mut self.clients[client];
                if let Some(told) = client.told.as_ref().filter(|_| !client.unheard) {
                    client.owned.clone_from(told);
                }
            }
            Op::Subscribe { client, topics } => {
                self.clients[client].topics = topics;
            }
            Op::Leave { client } => {
                let request = alive(&self.clients[client].id, -1, None);
                self.bench.put_beat(request);
                self.clients[client].replace(client);
            }
            Op::Crash { client } => self.clients[client].replace(client),
            Op::Topics { sizes } => self.bench.see(&sizes),
            Op::Pass { seconds } => self.bench.pass(Duration::from_secs(seconds)),
            Op::Flush { durable } => self.bench.flush(durable),
            Op::Restart => {
                self.bench.restart();
                for client in &mut self.clients {
                    client.full |= client.waiting.take().is_some();
                }
            }
        }
        self.deliver();
        self.check();
    }

    fn deliver(&mut self) {
        for client in &mut self.clients {
            let Some((reply, lost)) = client.waiting else { continue };
            let Some(Answer::ConsumerHeartbeat(answer)) = self.bench.answers.remove(&reply) else { continue };
            client.waiting = None;
            if lost {
                client.full = true;
            } else {
                client.hear(answer);
            }
        }
    }

    /// What clients really hold, of those the coordinator has not given up: no partition twice.
    fn check(&self) {
        let consumer = self.bench.core.groups.get(GROUP).and_then(|g| g.consumer.as_ref());
        let mut owners: BTreeMap<_, &str> = BTreeMap::new();
        for client in &self.clients {
            let Some(member) = consumer.and_then(|c| c.members.get(client.id.as_str())) else { continue };
            for place in &client.owned {
                let other = owners.insert(*place, &client.id);
                assert_eq!(other, None, "{place:?} is read by two: {} is the other", client.id);
                assert!(member.progress.holds(place), "{} reads what is not known to be its own", client.id);
            }
        }
    }

    /// No more trouble: everybody gets where it shall be.
    fn settle(&mut self) {
        for _ in 0..30 {
            self.apply(Op::Flush { durable: true });
            for client in 0..self.clients.len() {
                self.apply(Op::Beat { client, lost: false });
                self.apply(Op::Flush { durable: true });
                self.apply(Op::Obey { client });
            }
            self.apply(Op::Pass { seconds: 5 });
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn no_partition_is_read_by_two_and_when_quiet_each_is_read_by_one(ops in ops()) {
        let mut world = World::new();
        for op in ops {
            world.apply(op);
        }
        world.settle();
        prop_assert_eq!(world.bench.state(), "Stable");
        let mut read = Partitions::new();
        for client in &world.clients {
            prop_assert!(client.owned.iter().all(|place| read.insert(*place)));
        }
        let wanted = |name: &Arc<str>| world.clients.iter().any(|c| c.topics.iter().any(|t| named(*t) == *name));
        let topics = world.bench.topics.iter().filter(|(name, _)| wanted(name));
        let all: Partitions = topics.flat_map(|(_, (id, size))| (0..*size).map(move |p| (*id, p))).collect();
        prop_assert_eq!(read, all);
        // And all of it is in the log.
        let before = world.bench.core.describe_consumer(GROUP);
        world.bench.restart();
        prop_assert_eq!(world.bench.core.describe_consumer(GROUP), before);
    }
}
