//! One file and one function per role.

pub(crate) mod broker;
pub(crate) mod gateway;
pub(crate) mod pg;
pub(crate) mod stores;
