//! Users and their passwords, salted (KIP-554). Records of `__users`; see [`crate::store`].

use std::{collections::BTreeMap, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use commitlog::Log;
use model::{Error, Result, USERS_TOPIC, error::codes};
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex as Turn;
use world::World;

use crate::{
    scram::{Credential, ITERATIONS, SALT_BYTES_MAX, ScramHash, USER_BYTES_MAX, unpredictable},
    store::Store,
};

/// Most credentials that are kept.
const CREDENTIALS_MAX: usize = 100_000;
/// What [`Credential::of_nobody`] is made with.
const SECRET_BYTES: usize = 32;
/// Iterations of credentials we salt ourselves.
pub const ITERATIONS_OURS: u32 = 8192;

/// Whose credential, and for which mechanism.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct UserKey {
    pub user: String,
    pub mechanism: ScramHash,
}

/// The names of what is kept in the topic of users.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
enum Key {
    User(UserKey),
    Secret { secret: Purpose },
}

/// What a secret is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Purpose {
    Nobody,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Value {
    Credential(Stored),
    Secret { bytes: String },
}

#[derive(Serialize, Deserialize)]
struct Stored {
    iterations: u32,
    salt: String,
    stored_key: String,
    server_key: String,
}

/// Something that becomes of a credential.
#[derive(Clone, Debug)]
pub enum Change {
    Upsert(UserKey, Credential),
    Delete(UserKey),
}

/// All credentials. Reading them waits for nothing.
pub struct Users {
    store: Store,
    known: RwLock<BTreeMap<UserKey, Arc<Credential>>>,
    /// Changes take turns, so that what is in memory is what the topic says.
    turn: Turn<()>,
    /// Makes credentials of those who do not exist ([`Credential::of_nobody`]). Kept, so that their salts stay over restarts: those
    /// of users do, and one that changes would tell who is none.
    secret: Vec<u8>,
}

impl Users {
    /// Replays what is kept. `shows_salts`: strangers get to see those of users, so the secret behind all others must last.
    pub async fn open(log: Arc<dyn Log>, world: World, shows_salts: bool) -> Result<Self> {
        let (store, kept) = Store::open::<Key, Value>(log, world, USERS_TOPIC).await?;
        let (mut known, mut secret) = (BTreeMap::new(), None);
        for (key, value) in kept {
            match (key, value) {
                (Key::User(key), Value::Credential(stored)) => match stored.credential(key.mechanism) {
                    Some(credential) => drop(known.insert(key, Arc::new(credential))),
                    None => tracing::warn!(user = key.user, "a credential is damaged and cannot be used"),
                },
                (Key::Secret { secret: Purpose::Nobody }, Value::Secret { bytes }) => {
                    secret = BASE64.decode(bytes).ok().filter(|secret| secret.len() == SECRET_BYTES);
                }
                (key, _) => tracing::warn!(?key, "a record of users has the value of another kind"),
            }
        }
        let secret = match secret {
            Some(secret) => secret,
            None => {
                let fresh = unpredictable(SECRET_BYTES);
                if shows_salts {
                    let value = Value::Secret { bytes: BASE64.encode(&fresh) };
                    store.write(&[(Key::Secret { secret: Purpose::Nobody }, Some(value))]).await?;
                }
                fresh
            }
        };
        Ok(Self { store, known: RwLock::new(known), turn: Turn::new(()), secret })
    }

    pub fn find(&self, user: &str, mechanism: ScramHash) -> Option<Arc<Credential>> {
        self.known.read().get(&UserKey { user: user.to_owned(), mechanism }).cloned()
    }

    /// The credential, or one that no password fits.
    pub fn find_or_nobody(&self, user: &str, mechanism: ScramHash) -> Arc<Credential> {
        self.find(user, mechanism).unwrap_or_else(|| Arc::new(Credential::of_nobody(mechanism, user, &self.secret)))
    }

    /// The credential a password in the clear is checked against.
    pub(crate) fn find_any_or_nobody(&self, user: &str) -> Arc<Credential> {
        let found = ScramHash::ALL.into_iter().find_map(|hash| self.find(user, hash));
        found.unwrap_or_else(|| self.find_or_nobody(user, ScramHash::Sha256))
    }

    /// Mechanisms and iterations of all users, by name.
    pub fn list(&self) -> BTreeMap<String, Vec<(ScramHash, u32)>> {
        let mut users: BTreeMap<String, Vec<_>> = BTreeMap::new();
        for (key, credential) in self.known.read().iter() {
            users.entry(key.user.clone()).or_default().push((key.mechanism, credential.iterations));
        }
        users
    }

    /// Makes the changes last, all or none. Taking away what is not there changes nothing.
    pub async fn apply(&self, changes: Vec<Change>) -> Result<()> {
        let _turn = self.turn.lock().await;
        let records = changes.iter().map(|change| match change {
            Change::Upsert(key, credential) => (key, Some(Stored::of(credential))),
            Change::Delete(key) => (key, None),
        });
        let records: Vec<_> = records.collect();
        let added = records.iter().filter(|(_, value)| value.is_some()).count();
        if self.known.read().len() + added > CREDENTIALS_MAX {
            return Err(Error::new(codes::SECURITY_LIMIT, "there are too many users")
                .detail(format!("{CREDENTIALS_MAX} credentials are kept at most")));
        }
        self.store.write(&records).await?;
        let mut known = self.known.write();
        for change in changes {
            match change {
                Change::Upsert(key, credential) => drop(known.insert(key, Arc::new(credential))),
                Change::Delete(key) => drop(known.remove(&key)),
            }
        }
        Ok(())
    }

    /// Makes a user with this password unless there is one of that name.
    pub async fn ensure(&self, user: &str, password: &str) -> Result<()> {
        if ScramHash::ALL.into_iter().any(|hash| self.find(user, hash).is_some()) {
            return Ok(());
        }
        check(user, ITERATIONS_OURS, 1)?;
        if password.is_empty() {
            return Err(Error::new(codes::CREDENTIAL_INVALID, "the first user's password is empty"));
        }
        let upsert = |mechanism: ScramHash| {
            let credential = Credential::from_password(mechanism, password, unpredictable(24), ITERATIONS_OURS);
            Change::Upsert(UserKey { user: user.to_owned(), mechanism }, credential)
        };
        tracing::info!(user, "the first user is made");
        self.apply(ScramHash::ALL.into_iter().map(upsert).collect()).await
    }
}

/// Whether such a credential may be kept.
pub fn check(user: &str, iterations: u32, salt_bytes: usize) -> Result<()> {
    let why = if user.is_empty() || user.len() > USER_BYTES_MAX {
        "a user's name has 1 to 256 bytes"
    } else if iterations < *ITERATIONS.start() {
        "too few iterations: at least 4096"
    } else if iterations > *ITERATIONS.end() {
        "too many iterations: at most 16384"
    } else if !(1..=SALT_BYTES_MAX).contains(&salt_bytes) {
        "a salt has 1 to 1024 bytes"
    } else {
        return Ok(());
    };
    Err(Error::new(codes::CREDENTIAL_INVALID, "the credential cannot be kept").detail(why))
}

impl Stored {
    fn of(credential: &Credential) -> Self {
        Self {
            iterations: credential.iterations,
            salt: BASE64.encode(&credential.salt),
            stored_key: BASE64.encode(&credential.stored_key),
            server_key: BASE64.encode(&credential.server_key),
        }
    }

    fn credential(&self, hash: ScramHash) -> Option<Credential> {
        let bytes = |text: &str| BASE64.decode(text).ok();
        let credential = Credential {
            hash,
            iterations: self.iterations,
            salt: bytes(&self.salt)?,
            stored_key: bytes(&self.stored_key)?,
            server_key: bytes(&self.server_key)?,
        };
        let keys = [&credential.stored_key, &credential.server_key];
        keys.iter().all(|key| key.len() == hash.bytes()).then_some(credential)
    }
}
