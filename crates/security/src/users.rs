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
    nobody::{Look, Nobody, SALT_BYTES_OURS, Tally},
    scram::{Credential, ITERATIONS, SALT_BYTES_MAX, ScramHash, USER_BYTES_MAX, unpredictable},
    store::Store,
};

/// Most credentials that are kept.
const CREDENTIALS_MAX: usize = 100_000;
/// What [`Nobody`] makes credentials with.
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
    known: RwLock<Known>,
    /// Changes take turns, so that what is in memory is what the topic says.
    turn: Turn<()>,
    /// Makes credentials of those who do not exist. Its secret is kept, so that their salts stay over restarts: those of users do,
    /// and one that changes would tell who is none.
    nobody: Nobody,
}

/// Credentials, and what of them strangers can find out.
#[derive(Default)]
struct Known {
    credentials: BTreeMap<UserKey, Arc<Credential>>,
    looks: BTreeMap<ScramHash, Tally<Look>>,
    /// Mechanism and iterations that users' passwords in the clear are checked with.
    costs: Tally<(ScramHash, u32)>,
}

impl Known {
    /// The credential a password in the clear is checked against.
    fn any(&self, user: &str) -> Option<&Arc<Credential>> {
        let key = |mechanism| UserKey { user: user.to_owned(), mechanism };
        ScramHash::ALL.into_iter().find_map(|mechanism| self.credentials.get(&key(mechanism)))
    }

    fn cost(&self, user: &str) -> Option<(ScramHash, u32)> {
        self.any(user).map(|credential| (credential.hash, credential.iterations))
    }

    fn set(&mut self, key: UserKey, credential: Option<Credential>) {
        if let Some(cost) = self.cost(&key.user) {
            self.costs.remove(cost);
        }
        let user = key.user.clone();
        let looks = self.looks.entry(key.mechanism).or_default();
        if let Some(credential) = &credential {
            looks.add(Look::of(credential));
        }
        let before = match credential {
            Some(credential) => self.credentials.insert(key, Arc::new(credential)),
            None => self.credentials.remove(&key),
        };
        if let Some(before) = before {
            looks.remove(Look::of(&before));
        }
        if let Some(cost) = self.cost(&user) {
            self.costs.add(cost);
        }
    }
}

impl Users {
    /// Replays what is kept. `shows_salts`: strangers get to see those of users, so the secret behind all others must last.
    pub async fn open(log: Arc<dyn Log>, world: World, shows_salts: bool) -> Result<Self> {
        let (store, kept) = Store::open::<Key, Value>(log, world, USERS_TOPIC).await?;
        let (mut known, mut secret) = (Known::default(), None);
        for (key, value) in kept {
            match (key, value) {
                (Key::User(key), Value::Credential(stored)) => match stored.credential(key.mechanism) {
                    Some(credential) => known.set(key, Some(credential)),
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
        Ok(Self { store, known: RwLock::new(known), turn: Turn::new(()), nobody: Nobody::new(secret) })
    }

    pub fn find(&self, user: &str, mechanism: ScramHash) -> Option<Arc<Credential>> {
        self.known.read().credentials.get(&UserKey { user: user.to_owned(), mechanism }).cloned()
    }

    /// The credential, or one that no password fits.
    pub fn find_or_nobody(&self, user: &str, mechanism: ScramHash) -> Arc<Credential> {
        let known = self.known.read();
        let found = known.credentials.get(&UserKey { user: user.to_owned(), mechanism }).cloned();
        found.unwrap_or_else(|| Arc::new(self.nobody.credential(mechanism, user, known.looks.get(&mechanism))))
    }

    /// The credential a password in the clear is checked against, or one that no password fits.
    pub(crate) fn find_any_or_nobody(&self, user: &str) -> Arc<Credential> {
        let known = self.known.read();
        known.any(user).cloned().unwrap_or_else(|| Arc::new(self.nobody.by_password(user, &known.costs)))
    }

    /// Mechanisms and iterations of all users, by name.
    pub fn list(&self) -> BTreeMap<String, Vec<(ScramHash, u32)>> {
        let mut users: BTreeMap<String, Vec<_>> = BTreeMap::new();
        for (key, credential) in self.known.read().credentials.iter() {
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
        if self.known.read().credentials.len() + added > CREDENTIALS_MAX {
            return Err(Error::new(codes::SECURITY_LIMIT, "there are too many users")
                .detail(format!("{CREDENTIALS_MAX} credentials are kept at most")));
        }
        self.store.write(&records).await?;
        let mut known = self.known.write();
        for change in changes {
            match change {
                Change::Upsert(key, credential) => known.set(key, Some(credential)),
                Change::Delete(key) => known.set(key, None),
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
            let credential =
                Credential::from_password(mechanism, password, unpredictable(SALT_BYTES_OURS), ITERATIONS_OURS);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_strangers_can_find_out_follows_every_change() {
        let key = |user: &str, mechanism| UserKey { user: user.to_owned(), mechanism };
        let made = |hash, iterations| Some(Credential::from_salted(hash, b"", vec![7; 24], iterations));
        let (small, large) = (ScramHash::Sha256, ScramHash::Sha512);
        let mut known = Known::default();
        let mut after = |user: &str, mechanism, credential| {
            known.set(key(user, mechanism), credential);
            let looks = |hash| known.looks.get(&hash).map(|looks: &Tally<Look>| looks.list()).unwrap_or_default();
            (looks(small).len(), looks(large).len(), known.costs.list())
        };
        assert_eq!(after("ann", large, made(large, 4096)), (0, 1, vec![((large, 4096), 1)]));
        assert_eq!(after("ben", large, made(large, 4096)), (0, 1, vec![((large, 4096), 2)]));
        assert_eq!(after("ann", small, made(small, 8192)), (1, 1, vec![((small, 8192), 1), ((large, 4096), 1)]));
        assert_eq!(after("ann", small, made(small, 4096)), (1, 1, vec![((small, 4096), 1), ((large, 4096), 1)]));
        assert_eq!(after("ben", large, made(large, 8192)), (1, 2, vec![((small, 4096), 1), ((large, 8192), 1)]));
        assert_eq!(after("ann", small, None), (0, 2, vec![((large, 4096), 1), ((large, 8192), 1)]));
        assert_eq!(after("ann", small, None), (0, 2, vec![((large, 4096), 1), ((large, 8192), 1)]), "again");
        assert_eq!(after("ann", large, None), (0, 1, vec![((large, 8192), 1)]));
        assert_eq!(after("ben", large, None), (0, 0, vec![]));
    }
}
