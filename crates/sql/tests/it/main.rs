//! SQL end to end: a real log, lake, catalog and tables in a directory of their own, no doors.

mod compat;
mod concurrent;
mod files;
mod fixture;
mod fuzz;
mod guards;
mod idioms;
mod joins;
mod meanings;
mod queries;
mod safety;
mod tables;
mod topics;
mod values;
