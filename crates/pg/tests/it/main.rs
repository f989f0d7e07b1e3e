//! The door as clients meet it: their messages over a socket, against a node's worth of SQL.

mod catalog;
mod client;
mod node;
mod statements;
