//! One file per command.

pub mod consume;
pub mod demo;
pub mod explain;
pub mod produce;
pub mod sql;
pub mod tables;
pub mod topics;
pub mod up;
