//! From the tail into the table.
