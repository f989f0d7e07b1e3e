//! Clients of Lakehead's own doors, as the commands need them.

pub mod http;
pub mod kafka;
pub mod login;
pub mod producer;
