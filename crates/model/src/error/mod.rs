//! One error for people and for every protocol.
//!
//! An [`Error`] says what could not be done (`message`), why (`detail`) and what to do next (`hint`). Its [`Code`]
//! (`LHnnnn`) is stable, has a help page (`lakehead explain LHnnnn`) and fixes the [`ErrorKind`], which alone decides the
//! HTTP status, the Kafka error code, the SQLSTATE and whether trying again can help.

pub mod codes;
mod kind;

use std::{borrow::Cow, fmt};

pub use kind::ErrorKind;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A stable error code with its help page. All of them are in [`codes`].
#[derive(Debug, PartialEq, Eq)]
pub struct Code {
    /// `LH` and four digits.
    pub name: &'static str,
    pub kind: ErrorKind,
    /// One line: what this error is.
    pub title: &'static str,
    /// What causes it and what to do, as shown by `lakehead explain`.
    pub help: &'static str,
}

/// What could not be done, why, and what to do next.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    code: &'static Code,
    message: Cow<'static, str>,
    detail: Option<Cow<'static, str>>,
    hint: Option<Cow<'static, str>>,
}

impl Error {
    /// `message` is one clause in lower case without a full stop: `could not commit table `orders``.
    pub fn new(code: &'static Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner { code, message: message.into(), detail: None, hint: None }))
    }

    /// The cause: `snapshot 42 was replaced by 43`.
    pub fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// The next step: `retry: the writer rebases on its own`.
    pub fn hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// A failure of the disk or the object store, with the path or operation in `message`.
    pub fn io(message: impl Into<Cow<'static, str>>, error: &std::io::Error) -> Self {
        let code = match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => codes::DISK_FULL,
            _ => codes::STORAGE_FAILED,
        };
        Self::new(code, message).detail(error.to_string())
    }

    /// Something that cannot happen unless Lakehead itself is wrong.
    pub fn internal(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(codes::INTERNAL, message)
    }

    pub fn code(&self) -> &'static Code {
        self.0.code
    }

    pub fn kind(&self) -> ErrorKind {
        self.0.code.kind
    }

    pub fn message(&self) -> &str {
        &self.0.message
    }

    pub fn detail_text(&self) -> Option<&str> {
        self.0.detail.as_deref()
    }

    pub fn hint_text(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    pub fn is(&self, code: &'static Code) -> bool {
        self.0.code == code
    }
}

impl fmt::Display for Error {
    /// `LH0412: could not …: cause (next step)`, on one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code.name, self.0.message)?;
        if let Some(detail) = &self.0.detail {
            write!(f, ": {detail}")?;
        }
        if let Some(hint) = &self.0.hint {
            write!(f, " ({hint})")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {}
