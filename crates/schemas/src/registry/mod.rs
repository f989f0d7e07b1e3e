//! The Confluent Schema Registry as a state machine.
//!
//! [`Registry::decide`] checks a [`Command`] against the state and says which records to append to `_schemas`;
//! [`Registry::apply`] is the only thing that changes the state, and takes records, whoever wrote them. A registry is
//! therefore what its topic says, nothing else. `lake::registry` is the driver.

mod answers;
mod errors;

pub use answers::*;
pub use errors::{error_code, http_status};
