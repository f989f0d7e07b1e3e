//! The PostgreSQL protocol, version 3 (PostgreSQL 17 documentation, chapter 55): bytes to messages and back.
//!
//! Reading is ours rather than a library's because these bytes come from anyone: every length is checked before it is
//! used, nothing is allocated for bytes that have not arrived, and no input panics (the property tests beside the parser
//! try). The types a message can have:
//!
//! ```text
//!  startup   [length][80877103]                      SSLRequest  → 'N'
//!            [length][80877104]                      GSSENCRequest → 'N'
//!            [length][80877102][pid][secret]         CancelRequest
//!            [length][3.x]{name \0 value \0} \0      StartupMessage
//!  then      [type][length][body]                    length counts itself, not the type
//! ```

mod backend;
mod frontend;

pub(crate) use backend::{Backend, Column, TransactionStatus};
pub(crate) use frontend::{Bind, Frontend, Malformed, Parse, Startup, Target, next_frame, next_startup};
