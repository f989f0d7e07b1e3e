//! One client's conversation, from its first packet to its last.
//!
//! ```text
//!  startup ─> ready ─┬─ Query ───────────────────> each statement in turn ─> ready          (simple.rs)
//!                    ├─ Parse/Bind/Describe/Execute … Sync ─> ready                         (extended.rs)
//!                    └─ Terminate, silence, garbage ─> closed
//! ```
//!
//! Statements are the session's own ([`command`]) or the engine's. Lakehead commits each statement by itself; a
//! transaction block is kept as a state, so that clients see what they expect, and a ROLLBACK that cannot take anything
//! back says so.

mod block;
pub(crate) mod command;
mod cursor;
mod extended;
mod perform;
mod simple;

use std::{collections::HashMap, sync::Arc, time::Duration};

use model::{Error, error::codes};
use sql::{Headings, Session, SessionOptions};
use tokio::{net::TcpStream, sync::OwnedSemaphorePermit};

use self::{block::Block, cursor::Portal, extended::Statement};
use crate::{
    cancel::CancelKey,
    connection::{Connection, Ended, Limits},
    door::Door,
    error::{place, sqlstate},
    settings::ClientSettings,
    wire::{Frontend, Startup},
};

/// Prepared statements and portals one connection may hold.
const KEPT_MAX: usize = 4096;

/// Everything that belongs to one connection.
pub(crate) struct Conversation {
    connection: Connection,
    door: Arc<Door>,
    sql: Session,
    settings: ClientSettings,
    key: CancelKey,
    block: Block,
    statements: HashMap<String, Arc<Statement>>,
    portals: HashMap<String, Portal>,
    /// After an error in the extended protocol everything up to Sync is skipped.
    skipping: bool,
}

/// Serves `stream` until it ends.
pub(crate) async fn serve(stream: TcpStream, door: Arc<Door>) {
    let mut connection = Connection::new(stream, door.settings.message_bytes_max, door.settings.idle_timeout);
    let begun = match tokio::time::timeout(door.settings.startup_timeout, begin(&mut connection, &door)).await {
        Ok(Ok(begun)) => begun,
        Ok(Err(ended)) => return farewell(connection, ended).await,
        Err(_) => return tracing::debug!("a PostgreSQL client took too long to log in"),
    };
    let Some((mut settings, _permit)) = begun else { return };

    let key = door.cancels.register(door.world.random.u64() as u32);
    settings.pid = key.pid;
    let _forget = Forget(door.clone(), key.pid);
    let sql = door.session(&settings);
    let mut conversation = Conversation {
        connection,
        door,
        sql,
        settings,
        key,
        block: Block::default(),
        statements: HashMap::new(),
        portals: HashMap::new(),
        skipping: false,
    };
    if let Err(ended) = conversation.run().await {
        farewell(conversation.connection, ended).await;
    }
}

/// Forgets who may cancel a connection once it is gone, however it went.
struct Forget(Arc<Door>, i32);

impl Drop for Forget {
    fn drop(&mut self) {
        self.0.cancels.forget(self.1);
    }
}

/// Negotiation and login. `None`: it was a request to cancel, or the client was sent away.
async fn begin(
    connection: &mut Connection,
    door: &Door,
) -> Result<Option<(ClientSettings, OwnedSemaphorePermit)>, Ended> {
    let (minor, parameters) = loop {
        match connection.startup().await? {
            Startup::Tls | Startup::GssEncryption => {
                connection.out.refuse_encryption();
                connection.flush().await?;
            }
            Startup::Cancel { pid, secret } => {
                door.cancels.cancel(pid, &secret);
                return Ok(None);
            }
            Startup::Begin { minor, parameters } => break (minor, parameters),
            Startup::OtherVersion(major) => {
                let error = Error::new(codes::PG_PROTOCOL_VIOLATION, format!("unsupported frontend protocol {major}"))
                    .detail("the server speaks protocol 3.0");
                return send_away(connection, &error).await;
            }
        }
    };
    let Ok(permit) = door.connections.clone().try_acquire_owned() else {
        let error = Error::new(codes::PG_TOO_MANY_CONNECTIONS, "sorry, too many clients already")
            .detail(format!("this door serves {} connections at once", door.settings.connections_max));
        return send_away(connection, &error).await;
    };
    let unknown: Vec<&str> = parameters.iter().map(|(k, _)| k.as_str()).filter(|k| k.starts_with("_pq_.")).collect();
    if minor > 0 || !unknown.is_empty() {
        connection.out.negotiate_version(&unknown);
    }
    let mut settings = ClientSettings::default();
    for (name, value) in &parameters {
        let set = match name.as_str() {
            "options" => options(value).try_for_each(|(name, value)| settings.start_with(&name, &value)),
            "replication" if !matches!(value.as_str(), "false" | "off" | "0" | "no") => {
                Err(crate::error::unsupported("there is no replication protocol; read topics through the Kafka door"))
            }
            _ => settings.start_with(name, value),
        };
        if let Err(error) = set {
            return send_away(connection, &error).await;
        }
    }
    Ok(Some((settings, permit)))
}

/// `-c name=value` and `--name=value`, as in `PGOPTIONS`.
fn options(text: &str) -> impl Iterator<Item = (String, String)> {
    let mut words = text.split_whitespace().peekable();
    std::iter::from_fn(move || {
        loop {
            let word = words.next()?;
            let assignment =
                match word.strip_prefix("--").or_else(|| word.strip_prefix("-c").filter(|rest| !rest.is_empty())) {
                    Some(rest) => rest,
                    None if word == "-c" => words.next()?,
                    None => continue,
                };
            if let Some((name, value)) = assignment.split_once('=') {
                return Some((name.replace('-', "_"), value.to_owned()));
            }
        }
    })
}

async fn send_away<T>(connection: &mut Connection, error: &Error) -> Result<Option<T>, Ended> {
    connection.out.error("FATAL", sqlstate(error), error, None);
    connection.flush().await?;
    Ok(None)
}

/// Tells a client why it is disconnected, if it still listens.
async fn farewell(mut connection: Connection, ended: Ended) {
    let error = match ended {
        Ended::Closed => return,
        Ended::Idle => Error::new(codes::PG_IDLE, "terminating connection because it was idle for too long"),
        Ended::Malformed(why) => {
            tracing::debug!(%why, "a PostgreSQL client broke the protocol");
            Error::new(codes::PG_PROTOCOL_VIOLATION, "these bytes are not PostgreSQL's protocol")
                .detail(why.to_string())
        }
    };
    connection.out.error("FATAL", sqlstate(&error), &error, None);
    let patience = Duration::from_secs(1);
    if !matches!(tokio::time::timeout(patience, connection.flush()).await, Ok(Ok(()))) {
        tracing::debug!("a disconnected PostgreSQL client did not hear why");
    }
}

impl Conversation {
    async fn run(&mut self) -> Result<(), Ended> {
        let out = &mut self.connection.out;
        out.authentication_ok();
        for (name, value) in self.settings.reported() {
            out.parameter_status(name, value);
        }
        out.backend_key(self.key.pid, &self.key.secret.to_be_bytes());
        self.ready();
        loop {
            let message = self.connection.receive().await?;
            if self.skipping && !matches!(message, Frontend::Sync | Frontend::Terminate) {
                continue;
            }
            match message {
                Frontend::Query(sql) => self.simple(&sql).await?,
                Frontend::Parse(parse) => self.parse(parse).await?,
                Frontend::Bind(bind) => self.bind(bind),
                Frontend::Describe(target) => self.describe(target),
                Frontend::Execute { portal, rows_max } => self.execute(&portal, rows_max).await?,
                Frontend::Close(target) => self.close(target),
                Frontend::Flush => self.connection.flush().await?,
                Frontend::Sync => self.sync(),
                Frontend::Terminate => return self.connection.flush().await,
                // A COPY we did not ask for, or its rest after an error: the protocol says to ignore it.
                Frontend::CopyData(_) | Frontend::CopyDone | Frontend::CopyFail(_) => {}
            }
        }
    }

    fn ready(&mut self) {
        self.connection.out.ready_for_query(self.block.status());
    }

    fn limits(&self) -> Limits {
        Limits::new(self.key.cancelled.clone(), self.settings.statement_timeout)
    }

    /// Sends `error`; a transaction block fails with it. `text` is the statement as the client sent it, after `before`
    /// characters of others, if the place of the error is in it.
    fn fail(&mut self, error: &Error, text: Option<(&str, usize)>) {
        self.block.fail();
        let place = text.and_then(|(text, before)| place(error, text).map(|(at, detail)| (before + at, detail)));
        let place = place.as_ref().map(|(at, detail)| (*at, detail.as_str()));
        self.connection.out.error("ERROR", sqlstate(error), error, place);
    }

    /// The engine's session anew, after the place where names are looked up changed.
    fn renew_session(&mut self) {
        self.sql = self.door.session(&self.settings);
    }
}

impl Door {
    fn session(&self, settings: &ClientSettings) -> Session {
        let path = settings.get("search_path").unwrap_or_default();
        let namespace = path
            .split(',')
            .map(|s| s.trim().trim_matches('"'))
            .find(|s| !s.is_empty() && *s != "$user" && *s != "pg_catalog");
        self.engine.session(SessionOptions {
            namespace: namespace.unwrap_or(model::TableName::DEFAULT_NAMESPACE).to_owned(),
            client: settings.get("application_name").filter(|name| !name.is_empty()).unwrap_or("pg").to_owned(),
            headings: Headings::Postgres,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn startup_options_are_settings() {
        let read: Vec<_> = options("-c statement_timeout=5s --search-path=raw -csearch_path=x junk").collect();
        let expected = [("statement_timeout", "5s"), ("search_path", "raw"), ("search_path", "x")];
        assert_eq!(read, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
    }
}
