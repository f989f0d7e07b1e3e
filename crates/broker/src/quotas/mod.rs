//! Quotas: who may use how much of the door, so that one at full speed leaves room for others.
//!
//! ```text
//! topic     key (JSON)                                value (JSON)
//! __quotas  {"user": "ann", "client-id": "<default>"} {"producer_byte_rate": 1048576.0}
//! ```
//! [`rules`] says whose limit counts, [`rate`] how long to wait. Whoever is over a limit is answered at once and told how long
//! to wait; until then nothing more is read from its connection, so those who do not listen wait, too (KIP-219).

mod rate;
mod rules;
mod told;

use std::{
    collections::HashMap,
    net::IpAddr,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use commitlog::Log;
use kafka_protocol::messages::ApiKey;
use model::{Error, QUOTAS_TOPIC, Result, error::codes};
use parking_lot::{Mutex, RwLock};
use security::store::Store;
use tokio::sync::Mutex as Turn;
use world::{Clock, World};

use self::rate::Rate;
pub(crate) use self::rules::{CLIENT, Entity, Filter, IP, Limit, Limits, Match, Reason, USER, Who};
use self::rules::{Rules, Sharers};
use crate::dispatch::{Answering, Context, Outcome};

/// Connections that would have to wait longer than this are closed at once: those that wait take the place of others.
pub(crate) const CONNECT_WAIT_MAX: Duration = Duration::from_secs(5);
/// Most entities with limits.
const ENTITIES_MAX: usize = 100_000;
/// Rates kept at once. Beyond it those that are idle are forgotten, and as long as there are none newcomers share one.
const RATES_MAX: usize = 100_000;
/// Between two looks at all of them.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// Limits, and what has been used of them.
pub(crate) struct Quotas {
    rules: RwLock<Rules>,
    /// Which limits anybody has, one bit each: nothing else is looked at for the others.
    limited: AtomicU8,
    rates: Mutex<Rates>,
    /// Changes take turns.
    turn: Turn<()>,
    store: Store,
    world: World,
}

#[derive(Default)]
struct Rates {
    of: HashMap<Meter, Rate>,
    /// When those that were idle were forgotten.
    swept: Duration,
}

/// What a rate is of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Meter {
    Of(Limit, Sharers),
    Address(IpAddr),
    /// All that there is no room for.
    Newcomers(Limit),
}

/// A change of an entity's limits: new values, and those to take away.
pub(crate) struct Change {
    pub(crate) entity: Entity,
    pub(crate) set: Limits,
    pub(crate) remove: Vec<Limit>,
}

impl Quotas {
    /// Replays what has been set.
    pub(crate) async fn open(log: Arc<dyn Log>, world: World) -> Result<Self> {
        let (store, held) = Store::open::<Entity, Limits>(log, world.clone(), QUOTAS_TOPIC).await?;
        let rules = Rules::new(held);
        let limited = AtomicU8::new(bits(&rules));
        let (rules, rates) = (RwLock::new(rules), Mutex::default());
        Ok(Self { rules, limited, rates, turn: Turn::new(()), store, world })
    }

    // ── use ──

    /// Whether anybody is limited in this: else there is nothing to measure.
    pub(crate) fn limits(&self, limit: Limit) -> bool {
        self.limited.load(Relaxed) & bit(limit) != 0
    }

    /// Counts what a client has used; how long it shall wait.
    pub(crate) fn charge(&self, limit: Limit, user: &str, client: &str, amount: f64) -> Duration {
        let Some((sharers, allowed)) = self.find(limit, user, client) else { return Duration::ZERO };
        self.measure(Meter::Of(limit, sharers), |rate, now| {
            rate.record(now, amount);
            rate.excess(now, allowed)
        })
    }

    /// Counts `amount` if nothing has to be waited for, else says how long.
    pub(crate) fn charge_or_wait(&self, limit: Limit, user: &str, client: &str, amount: f64) -> Duration {
        let Some((sharers, allowed)) = self.find(limit, user, client) else { return Duration::ZERO };
        self.measure(Meter::Of(limit, sharers), |rate, now| {
            let wait = rate.excess(now, allowed);
            if wait.is_zero() {
                rate.record(now, amount);
            }
            wait
        })
    }

    /// The most a client could ever get at once.
    pub(crate) fn burst(&self, limit: Limit, user: &str, client: &str) -> f64 {
        self.find(limit, user, client).map_or(f64::INFINITY, |(_, allowed)| rate::burst(allowed))
    }

    /// Counts a connection; how long it shall wait before it is served.
    pub(crate) fn connect(&self, from: IpAddr) -> Duration {
        let from = from.to_canonical();
        if !self.limits(Limit::Connection) {
            return Duration::ZERO;
        }
        let Some(allowed) = self.rules.read().find_of_ip(&from.to_string()) else { return Duration::ZERO };
        self.measure(Meter::Address(from), |rate, now| {
            rate.record(now, 1.0);
            let wait = rate.excess(now, allowed);
            if wait > CONNECT_WAIT_MAX {
                // It will not be served: whoever keeps trying gets the limit, not nothing for ever.
                rate.record(now, -1.0);
            }
            wait
        })
    }

    fn find(&self, limit: Limit, user: &str, client: &str) -> Option<(Sharers, f64)> {
        if self.limits(limit) { self.rules.read().find(limit, user, client) } else { None }
    }

    fn measure(&self, meter: Meter, step: impl FnOnce(&mut Rate, Duration) -> Duration) -> Duration {
        let now = self.world.clock.monotonic();
        let mut rates = self.rates.lock();
        let Rates { of, swept } = &mut *rates;
        if of.len() >= RATES_MAX && !of.contains_key(&meter) {
            if now.saturating_sub(*swept) >= SWEEP_INTERVAL {
                *swept = now;
                of.retain(|_, rate| !rate.is_idle(now));
            }
            if of.len() >= RATES_MAX {
                let limit = match meter {
                    Meter::Of(limit, _) => limit,
                    _ => Limit::Connection,
                };
                return step(of.entry(Meter::Newcomers(limit)).or_default(), now);
            }
        }
        step(of.entry(meter).or_default(), now)
    }

    // ── rules ──

    /// Entities that a filter asks for, with their limits.
    pub(crate) fn describe(&self, filter: &Filter) -> Vec<(Entity, Limits)> {
        let rules = self.rules.read();
        let found = rules.iter().filter(|(entity, _)| filter.matches(entity));
        found.map(|(entity, limits)| (entity.clone(), limits.clone())).collect()
    }

    /// Makes a change last. What has been used stays used.
    pub(crate) async fn alter(&self, change: Change, validate_only: bool) -> Result<()> {
        let _turn = self.turn.lock().await;
        let mut limits = {
            let rules = self.rules.read();
            if rules.len() >= ENTITIES_MAX && rules.of(&change.entity).is_empty() {
                return Err(Error::new(codes::SECURITY_LIMIT, "there are too many quotas")
                    .detail(format!("{ENTITIES_MAX} users, client ids and addresses may have some")));
            }
            rules.of(&change.entity)
        };
        limits.retain(|limit, _| !change.remove.contains(limit));
        limits.extend(change.set);
        if validate_only {
            return Ok(());
        }
        let value = (!limits.is_empty()).then_some(&limits);
        self.store.write(&[(&change.entity, value)]).await?;
        let mut rules = self.rules.write();
        rules.set(change.entity, limits);
        self.limited.store(bits(&rules), Relaxed);
        Ok(())
    }
}

/// Quotas of the client.
impl Context {
    fn user(&self) -> &str {
        self.client.principal().name()
    }

    /// Counts what the client has used. It is not heard before the time this gives is over.
    pub(crate) fn charge(&self, limit: Limit, amount: f64) -> Duration {
        if !self.shared.quotas.limits(limit) {
            return Duration::ZERO;
        }
        self.muted(self.shared.quotas.charge(limit, self.user(), &self.client_id, amount))
    }

    /// The same, unless what was used before is too much already: then nothing is, and the client gets nothing. Even what is
    /// more than a quota ever gives at once comes this way, and is paid for afterwards.
    pub(crate) fn charge_or_wait(&self, limit: Limit, amount: f64) -> Duration {
        if !self.shared.quotas.limits(limit) {
            return Duration::ZERO;
        }
        self.muted(self.shared.quotas.charge_or_wait(limit, self.user(), &self.client_id, amount))
    }

    /// Counts partitions that are to be made or deleted. From version `refused_from` on a client is refused what is beyond its
    /// quota and hears how long to wait; older ones only wait afterwards (KIP-599).
    pub(crate) fn mutate(&self, partitions: usize, refused_from: i16) -> Result<(), Duration> {
        let amount = partitions as f64;
        if self.version < refused_from {
            self.charge(Limit::Mutation, amount);
            return Ok(());
        }
        let wait = self.charge_or_wait(Limit::Mutation, amount);
        if wait.is_zero() { Ok(()) } else { Err(wait) }
    }

    /// The most the client could ever get at once.
    pub(crate) fn quota_burst(&self, limit: Limit) -> f64 {
        self.shared.quotas.burst(limit, self.user(), &self.client_id)
    }

    fn muted(&self, wait: Duration) -> Duration {
        if !wait.is_zero() {
            self.shared.stats.throttled.fetch_add(1, Relaxed);
            self.client.mute(self.shared.world.clock.monotonic() + wait);
        }
        wait
    }

    /// Answers a request whose time counts (`request_percentage`), with what was [`Spent`] on it before.
    pub(crate) async fn timed(self, key: ApiKey, spent: Arc<Spent>, answer: Pin<Box<Answering>>) -> Outcome {
        let outcome = spent.measure(&*self.shared.world.clock, answer).await;
        let wait = self.charge(Limit::Request, spent.percent_seconds());
        match outcome {
            Outcome::Response(mut response) if !wait.is_zero() => {
                told::tell(&mut response, key, self.version, throttle_ms(wait));
                Outcome::Response(response)
            }
            outcome => outcome,
        }
    }
}

/// Time that a request takes from others: in which it computes, here or on a thread of its own, not in which it waits.
#[derive(Default)]
pub(crate) struct Spent {
    nanos: AtomicU64,
}

impl Spent {
    pub(crate) fn add(&self, time: Duration) {
        self.nanos.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    /// Does `work` and adds what it takes.
    pub(crate) async fn measure<T>(&self, clock: &dyn Clock, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        std::future::poll_fn(|cx| {
            let start = clock.monotonic();
            let polled = work.as_mut().poll(cx);
            self.add(clock.monotonic().saturating_sub(start));
            polled
        })
        .await
    }

    /// As quotas count it: a whole second of one processor is 100.
    fn percent_seconds(&self) -> f64 {
        100.0 * Duration::from_nanos(self.nanos.load(Relaxed)).as_secs_f64()
    }
}

/// Waits for a moment of the monotonic clock. The runtime's timers only say when to look at it again.
pub(crate) async fn until(clock: &dyn Clock, moment: Duration) {
    loop {
        let left = moment.saturating_sub(clock.monotonic());
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left).await;
    }
}

/// As responses say it. Parts of a millisecond count, so that nobody hears of no time and waits.
pub(crate) fn throttle_ms(wait: Duration) -> i32 {
    i32::try_from(wait.as_micros().div_ceil(1000)).unwrap_or(i32::MAX)
}

fn bit(limit: Limit) -> u8 {
    1 << limit as u8
}

fn bits(rules: &Rules) -> u8 {
    Limit::ALL.into_iter().filter(|limit| rules.limit(*limit)).map(bit).sum()
}
