//! The reading half of the door for fuzz/: startup packets, messages, parameters and the dialect, without a socket or an
//! engine.

use bytes::{Bytes, BytesMut};

use crate::{
    PgSettings,
    dialect::{self, Dialect},
    params, session,
    settings::ClientSettings,
    wire::{Frontend, Startup, next_frame, next_startup},
};

/// What the reading half needs beside the bytes.
#[derive(Default)]
pub struct Door {
    dialect: Dialect,
    settings: ClientSettings,
}

impl Door {
    /// Reads what a client sends from its first byte; returns how many messages were understood.
    pub fn read(&self, bytes: &[u8]) -> usize {
        let mut inbox = BytesMut::from(bytes);
        let mut understood = 0;
        while let Ok(Some(startup)) = next_startup(&mut inbox) {
            understood += 1;
            match startup {
                Startup::Begin { parameters, .. } => {
                    let mut settings = ClientSettings::default();
                    for (name, value) in parameters {
                        let _refused = settings.start_with(&name, &value);
                    }
                    return understood + self.messages(&mut inbox);
                }
                Startup::Tls | Startup::GssEncryption => {}
                Startup::Cancel { .. } | Startup::OtherVersion(_) => return understood,
            }
        }
        understood
    }

    fn messages(&self, inbox: &mut BytesMut) -> usize {
        let mut understood = 0;
        let mut types = Vec::new();
        while let Ok(Some(frame)) = next_frame(inbox, PgSettings::default().message_bytes_max) {
            let Ok(message) = frame.parse() else { break };
            understood += 1;
            match message {
                Frontend::Query(text) => self.statement(&text),
                Frontend::Parse(parse) => {
                    self.statement(&parse.sql);
                    types = parse.types;
                }
                Frontend::Bind(bind) => {
                    for (at, value) in bind.values.iter().enumerate() {
                        let oid = types.get(at).copied().unwrap_or(0);
                        let binary = bind.formats.get(at).or(bind.formats.first()).is_some_and(|format| *format == 1);
                        self.parameter(value.as_ref(), binary, oid);
                    }
                }
                _ => {}
            }
        }
        understood
    }

    /// What happens to a statement's text before the engine sees it.
    pub fn statement(&self, text: &str) {
        for statement in sql::statements(text).unwrap_or_default() {
            let _refused = session::command::read(statement);
        }
        let _types = (dialect::known_types(text), dialect::written_types(text));
        let _rewritten = self.dialect.rewrite(text, &self.settings);
    }

    /// Reads a parameter of the type the client gave.
    pub fn parameter(&self, value: Option<&Bytes>, binary: bool, oid: u32) {
        let _refused = params::decode(1, value, binary, oid, None);
    }
}
