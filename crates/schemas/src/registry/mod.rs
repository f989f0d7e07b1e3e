//! The Confluent Schema Registry as a state machine.
//!
//! The methods that change something (`register`, `delete_subject`, …) check the request against the state and give a
//! [`Decision`]: the answer, and the records to append to `_schemas` before it may be sent. [`Registry::apply`] is the
//! only thing that changes the state, and takes records, whoever wrote them. A registry is therefore what its topic
//! says, nothing else. `lake::registry` is the driver.
//!
//! Vocabulary: a *subject* has *versions*; each version is a schema, known everywhere by its global *id*. The same
//! schema under two subjects has one id. A soft delete hides a version, a permanent one removes it; ids are never used
//! again.

mod answers;
mod check;
mod decide;
mod errors;
mod read;
mod record;
mod state;

pub use self::{
    answers::*,
    decide::Decision,
    errors::{error_code, http_status},
    record::Record,
    state::Registry,
};

#[cfg(test)]
mod tests;
