//! `GET /api/status`: what the status page shows, as JSON.
//!
//! However many pages are open, the node is looked at only once in [`FRESH_FOR`]; the figures per second come from
//! comparing two looks.

mod look;

use std::{sync::Arc, time::Duration};

use axum::{
    body::Bytes,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use tokio::sync::Mutex;

pub(crate) use self::look::{group_lag, topic_totals};
use crate::app::Shared;

/// A look at the node serves everybody this long.
const FRESH_FOR: Duration = Duration::from_millis(900);

/// The last look, and what is needed to compare the next one with it.
#[derive(Default)]
pub(crate) struct Watcher(Mutex<Option<Arc<Seen>>>);

struct Seen {
    at: Duration,
    rates: look::Rates,
    json: Bytes,
}

pub(crate) async fn answer(State(app): State<Shared>) -> Response {
    // Held while looking, on purpose: whoever comes meanwhile waits for this look instead of taking their own.
    let mut last = app.watcher.0.lock().await;
    let now = app.parts.world.clock.monotonic();
    let fresh = last.as_ref().filter(|seen| now.saturating_sub(seen.at) < FRESH_FOR).cloned();
    let seen = match fresh {
        Some(seen) => seen,
        None => {
            let before = last.as_ref().map(|seen| (&seen.rates, now.saturating_sub(seen.at)));
            let (status, rates) = look::take(&app, before).await;
            let json = serde_json::to_vec(&status).expect("a status is plain structs with string keys").into();
            let seen = Arc::new(Seen { at: now, rates, json });
            *last = Some(seen.clone());
            seen
        }
    };
    ([(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")], seen.json.clone())
        .into_response()
}
