//! Who somebody is: Kafka's `User:name`.

use std::{fmt, sync::Arc};

/// A kind and a name, as rules name them (`org.apache.kafka.common.security.auth.KafkaPrincipal`). Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Principal(Arc<str>);

impl Principal {
    /// In rules: everybody.
    pub const EVERYBODY: &'static str = "User:*";

    /// Somebody whose name was proved, or told by nobody ([`Principal::anonymous`]).
    pub fn user(name: &str) -> Self {
        Self(format!("User:{name}").into())
    }

    /// Whoever comes through a door that does not ask.
    pub fn anonymous() -> Self {
        Self::user("ANONYMOUS")
    }

    /// `kind:name` as rules and settings give it.
    pub fn parse(text: &str) -> Option<Self> {
        text.split_once(':').filter(|(kind, name)| !kind.is_empty() && !name.is_empty()).map(|_| Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Without the kind.
    pub fn name(&self) -> &str {
        self.0.split_once(':').map_or(&self.0, |(_, name)| name)
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
