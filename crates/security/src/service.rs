//! All of it together, as a door uses it.

use std::{collections::BTreeSet, sync::Arc};

use commitlog::Log;
use model::{ACLS_TOPIC, Error, Result, error::codes};
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex as Turn, Semaphore};
use world::{TaskKind, World};

use crate::{
    Principal, SecuritySettings,
    acl::{Acl, AclFilter, Operation, ResourceType, WILDCARD},
    audit::{Audit, Refusal},
    authorizer::{AclSet, Asker, Decision, Exceptions, Resource},
    exclusive,
    oauth::Oauth,
    store::{CHANGES_MAX, Store},
    tls::Tls,
    users::Users,
};

/// Longest name of a user.
const NAME_BYTES_MAX: usize = 256;
/// Most rules that are kept.
const ACLS_MAX: usize = 100_000;
/// Passwords in the clear that are hashed at a time: it is slow on purpose, and must not take all processors.
const HASHING_MAX: usize = 2;

/// Who is there, what they may do, and what was refused.
pub struct Security {
    pub settings: SecuritySettings,
    pub users: Users,
    pub audit: Arc<Audit>,
    pub tls: Option<Arc<Tls>>,
    pub(crate) oauth: Option<Oauth>,
    rules: RwLock<AclSet>,
    /// Changes of rules take turns.
    turn: Turn<()>,
    store: Store,
    exceptions: Exceptions,
    hashing: Arc<Semaphore>,
    world: World,
}

/// What is kept of a rule beside itself.
#[derive(Serialize, Deserialize)]
struct Made {
    since_ms: i64,
    by: String,
    /// Of a [`Key::OneWriter`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    writer: Option<String>,
}

/// The names of what is kept in the topic of rules.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
enum Key {
    Rule(Acl),
    OneWriter {
        #[serde(rename = "one_writer_of")]
        topic: String,
    },
}

impl Security {
    /// Replays users and rules, reads certificates and keys, makes the first user, and starts what looks after them.
    pub async fn open(log: Arc<dyn Log>, world: World, settings: SecuritySettings) -> Result<Arc<Self>> {
        let users = Users::open(log.clone(), world.clone(), settings.shows_salts()).await?;
        let (store, stored) = Store::open::<Key, Made>(log.clone(), world.clone(), ACLS_TOPIC).await?;
        let mut rules = AclSet::default();
        for (key, made) in stored {
            match key {
                Key::Rule(acl) => rules.insert(acl),
                Key::OneWriter { topic } => rules.set_writer(&topic, made.writer.as_deref().and_then(Principal::parse)),
            }
        }
        let mut super_users = settings.super_users.clone();
        if let Some(first) = &settings.bootstrap_user {
            users.ensure(&first.name, &first.password).await?;
            super_users.insert(Principal::user(&first.name));
        }
        let tls = settings.tls.clone().filter(|_| settings.protocol.has_tls());
        let oauth = settings.oauth.clone().filter(|_| settings.protocol.has_sasl());
        let security = Arc::new(Self {
            users,
            audit: Arc::new(Audit::new(log, world.clone())),
            tls: tls.map(|tls| Tls::load(tls, world.clone()).map(Arc::new)).transpose()?,
            oauth: match oauth {
                Some(oauth) => Some(Oauth::open(oauth, world.clone()).await?),
                None => None,
            },
            rules: RwLock::new(rules),
            turn: Turn::new(()),
            store,
            exceptions: Exceptions { super_users, allow_if_no_acl: settings.allow_if_no_acl },
            hashing: Arc::new(Semaphore::new(HASHING_MAX)),
            settings,
            world,
        });
        let tasks = &security.world.tasks;
        tasks.spawn(TaskKind::Background, security.audit.clone().keep_writing());
        if let Some(tls) = &security.tls {
            tasks.spawn(TaskKind::Background, tls.clone().keep_reloading());
        }
        if let Some(oauth) = &security.oauth {
            tasks.spawn(TaskKind::Background, oauth.keys().keep_fetching());
        }
        Ok(security)
    }

    /// Whether this is the user's password. Unknown users take as long as known ones.
    pub(crate) async fn password_fits(&self, user: &str, password: &str) -> bool {
        let credential = self.users.find_any_or_nobody(user);
        let password = password.to_owned();
        // The task keeps it, whether or not the client is still there.
        let Ok(permit) = self.hashing.clone().acquire_owned().await else { return false };
        // The task cannot panic; if the runtime goes down nobody gets in.
        tokio::task::spawn_blocking(move || {
            let fits = credential.fits(&password);
            drop(permit);
            fits
        })
        .await
        .unwrap_or(false)
    }

    // ── what is allowed ──

    /// May `who` do `operation` to the resource? Always, without an authorizer.
    pub fn authorize(&self, who: Asker<'_>, operation: Operation, on: Resource<'_>) -> Decision {
        if !self.settings.authorizer {
            return Decision::Allowed;
        }
        self.rules.read().authorize(&self.exceptions, who, operation, on)
    }

    /// May `who` do `operation` to at least one resource of this kind?
    pub fn authorize_any(&self, who: Asker<'_>, operation: Operation, kind: ResourceType) -> Decision {
        if !self.settings.authorizer {
            return Decision::Allowed;
        }
        self.rules.read().authorize_any(&self.exceptions, who, operation, kind)
    }

    pub fn refused(&self, refusal: Refusal) {
        self.audit.refused(refusal);
    }

    // ── rules ──

    /// The rules that a filter means, in order, with what stands for topics that have one writer.
    pub fn acls(&self, filter: &AclFilter) -> Vec<Acl> {
        let rules = self.rules.read();
        let shown: BTreeSet<Acl> = rules.iter().cloned().chain(exclusive::shown(&rules)).collect();
        shown.into_iter().filter(|acl| filter.matches(acl)).collect()
    }

    /// Makes rules last, all or none; those that exist already stay. Every one of them was [checked](Acl::check).
    pub async fn create_acls(&self, acls: Vec<Acl>, by: &Principal) -> Result<()> {
        let _turn = self.turn.lock().await;
        let fresh: Vec<Acl> = {
            let rules = self.rules.read();
            let fresh: BTreeSet<_> = acls.into_iter().filter(|acl| !rules.contains(acl)).collect();
            if rules.len() + fresh.len() > ACLS_MAX {
                return Err(Error::new(codes::SECURITY_LIMIT, "there are too many rules")
                    .detail(format!("{ACLS_MAX} are kept at most")));
            }
            fresh.into_iter().collect()
        };
        let now = self.world.clock.now_ms();
        let made = |acl: &Acl| (acl.clone(), Some(Made { since_ms: now, by: by.as_str().to_owned(), writer: None }));
        self.store.write(&fresh.iter().map(made).collect::<Vec<_>>()).await?;
        let mut rules = self.rules.write();
        fresh.into_iter().for_each(|acl| rules.insert(acl));
        Ok(())
    }

    /// Takes away the rules that each filter means, all or none, and says which they were. A rule counts once for each filter that
    /// means it: what is answered is bounded, too.
    pub async fn delete_acls(&self, filters: &[AclFilter]) -> Result<Vec<Vec<Acl>>> {
        let _turn = self.turn.lock().await;
        let found: Vec<Vec<Acl>> = {
            let rules = self.rules.read();
            let mut room = CHANGES_MAX;
            let means = |filter: &AclFilter| {
                let found = rules.iter().filter(|acl| filter.matches(acl)).take(room + 1);
                let found: Vec<Acl> = found.cloned().collect();
                room = room.checked_sub(found.len()).ok_or_else(|| {
                    Error::new(codes::SECURITY_LIMIT, "the filters mean too many rules")
                        .detail(format!("{CHANGES_MAX} can be taken away at once"))
                        .hint("take them away in several requests")
                })?;
                Ok(found)
            };
            filters.iter().map(means).collect::<Result<_>>()?
        };
        let gone: BTreeSet<&Acl> = found.iter().flatten().collect();
        let changes: Vec<(&Acl, Option<Made>)> = gone.iter().map(|acl| (*acl, None)).collect();
        self.store.write(&changes).await?;
        let mut rules = self.rules.write();
        gone.iter().for_each(|acl| rules.remove(acl));
        Ok(found)
    }

    // ── topics with one writer ──

    /// Makes `writer` the only one who may write to the topic (`GRANT WRITE ON TOPIC t TO user EXCLUSIVE`); in force and durable on
    /// return. The caller has asked whether `by` may make rules.
    pub async fn grant_exclusive(&self, topic: &str, writer: &Principal, by: &Principal) -> Result<()> {
        let no = |why: String| {
            Error::new(codes::ONE_WRITER, format!("`{writer}` cannot be the only writer of `{topic}`")).detail(why)
        };
        if !self.settings.authorizer {
            return Err(no("there is no authorizer: the rule would be kept and not obeyed".to_owned())
                .hint("set `authorizer = true` below `[kafka_security]`"));
        }
        model::TopicName::new(topic)?;
        let name = writer.name();
        if name == WILDCARD || name.len() > NAME_BYTES_MAX {
            return Err(no("it is a user of 1 to 256 bytes, and not everybody".to_owned()));
        }
        let _turn = self.turn.lock().await;
        {
            let rules = self.rules.read();
            match rules.writers().get(topic) {
                Some(now) if now == writer => return Ok(()),
                Some(now) => {
                    return Err(no(format!("the topic has `{now}` as its only writer")).hint("take that away first"));
                }
                None if rules.writers().len() >= ACLS_MAX => {
                    return Err(Error::new(codes::SECURITY_LIMIT, "there are too many topics with one writer")
                        .detail(format!("{ACLS_MAX} are kept at most")));
                }
                None => {}
            }
        }
        let made = Made {
            since_ms: self.world.clock.now_ms(),
            by: by.as_str().to_owned(),
            writer: Some(writer.as_str().to_owned()),
        };
        self.store.write(&[(Key::OneWriter { topic: topic.to_owned() }, Some(made))]).await?;
        self.rules.write().set_writer(topic, Some(writer.clone()));
        Ok(())
    }

    /// Whoever other rules allow may write again. Who the writer was, if there was one.
    pub async fn revoke_exclusive(&self, topic: &str) -> Result<Option<Principal>> {
        let _turn = self.turn.lock().await;
        let Some(writer) = self.exclusive_writer(topic) else { return Ok(None) };
        self.store.write(&[(Key::OneWriter { topic: topic.to_owned() }, None::<Made>)]).await?;
        self.rules.write().set_writer(topic, None);
        Ok(Some(writer))
    }

    /// The only one who may write to the topic now: without an authorizer no rule is obeyed, and this one waits for it.
    pub fn writer_in_force(&self, topic: &str) -> Option<Principal> {
        self.exclusive_writer(topic).filter(|_| self.settings.authorizer)
    }

    /// The only one who may write to the topic, if there is one.
    pub fn exclusive_writer(&self, topic: &str) -> Option<Principal> {
        self.rules.read().writers().get(topic).cloned()
    }
}
