//! The keys that tokens are signed with (RFC 7517), from a file or a URL, fetched again by time and when one is missing.

use std::{sync::Arc, time::Duration};

use model::{Error, Result, error::codes};
use parking_lot::Mutex;
use world::World;

use crate::{
    Jwks, http,
    jwt::{Algorithm, Key},
    tls,
};

/// Most keys taken from one list.
const KEYS_MAX: usize = 100;
/// Between two fetches because a token names a key we do not have: anybody can make such tokens.
const AGAIN: Duration = Duration::from_secs(10);

pub(crate) struct Keys {
    from: Jwks,
    refresh: Duration,
    world: World,
    now: Mutex<Arc<Vec<Key>>>,
    /// When they were last asked for. Held while they are.
    asked: tokio::sync::Mutex<Option<Duration>>,
}

impl Keys {
    /// A file must be there and right; a URL may be down when the node starts.
    pub(crate) async fn load(from: Jwks, refresh: Duration, world: World) -> Result<Self> {
        let is_file = matches!(from, Jwks::File(_));
        let keys = Self { from, refresh, world, now: Mutex::default(), asked: tokio::sync::Mutex::default() };
        match keys.fetch().await {
            Err(error) if is_file => return Err(error),
            Err(error) => tracing::warn!(%error, "the keys of tokens are not there yet; asked for again"),
            Ok(()) => {}
        }
        Ok(keys)
    }

    /// The key for a token of this kind, if it is known or can be got. A token that names none gets the only one there is.
    pub(crate) async fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<(Arc<Vec<Key>>, usize)> {
        let look = || {
            let keys = self.now.lock().clone();
            let at = match id {
                Some(_) => keys.iter().position(|key| key.id.as_deref() == id && key.checks(algorithm)),
                None => (keys.len() == 1 && keys[0].checks(algorithm)).then_some(0),
            };
            at.map(|at| (keys, at))
        };
        if let Some(found) = look() {
            return Some(found);
        }
        let mut asked = self.asked.lock().await;
        let now = self.world.clock.monotonic();
        if asked.is_none_or(|last| now.saturating_sub(last) >= AGAIN) {
            *asked = Some(now);
            if let Err(error) = self.fetch().await {
                tracing::warn!(%error, "the keys of tokens could not be got");
            }
        }
        look()
    }

    async fn fetch(&self) -> Result<()> {
        let invalid = |from: String, why: String| {
            Error::new(codes::CERTIFICATE_INVALID, format!("the keys of tokens at `{from}` cannot be used")).detail(why)
        };
        let (from, bytes) = match &self.from {
            Jwks::File(path) => (path.display().to_string(), tls::read_file(&self.world, path)?),
            Jwks::Url(url) => (url.clone(), http::get(url).await.map_err(|why| invalid(url.clone(), why))?.to_vec()),
        };
        let keys = parse(&bytes).map_err(|why| invalid(from, why.to_owned()))?;
        *self.now.lock() = Arc::new(keys);
        Ok(())
    }

    pub(crate) async fn keep_fetching(self: Arc<Self>) {
        let every = match self.from {
            Jwks::File(_) => tls::LOOK.min(self.refresh),
            Jwks::Url(_) => self.refresh,
        };
        let mut failing = String::new();
        loop {
            tokio::select! {
                () = tokio::time::sleep(every) => {}
                () = self.world.tasks.stopping() => return,
            }
            match self.fetch().await {
                Ok(()) => failing.clear(),
                Err(error) if error.to_string() == failing => {}
                Err(error) => {
                    tracing::error!(%error, "changed keys of tokens cannot be used; those read before stay in use");
                    failing = error.to_string();
                }
            }
        }
    }
}

/// Keys of kinds we do not know are passed over (RFC 7517, section 5); symmetric ones are, too, since whoever can check with
/// them can sign.
pub(crate) fn parse(bytes: &[u8]) -> Result<Vec<Key>, &'static str> {
    let set: serde_json::Value = serde_json::from_slice(bytes).map_err(|_| "it is not JSON")?;
    let all = set.get("keys").and_then(|keys| keys.as_array()).ok_or("it has no list `keys`")?;
    let keys: Vec<_> = all.iter().take(KEYS_MAX).filter_map(Key::parse).collect();
    if keys.is_empty() { Err("none of its keys can be used") } else { Ok(keys) }
}
