//! From text to statements.
//!
//! [`split`] cuts a script at its semicolons, [`parse`] turns each piece into a [`Statement`]: our own statements are read
//! here, everything else by sqlparser with our [`Dialect`]. Whatever is wrong with the text becomes an error with a line, a
//! column and a caret, never a panic and never a stack overflow ([`depth`]).

mod columns;
mod depth;
mod dialect;
mod front;
mod place;
mod split;
mod statement;
#[cfg(test)]
mod tests;

pub(crate) use columns::{ColumnRole, Declared};
pub(crate) use depth::{check as check_depth, with_stack};
pub(crate) use dialect::DIALECT;
pub(crate) use front::{Parsed, VERSION_FUNCTION, expression, literal_text, parse};
pub(crate) use place::{caret, parser_error};
pub(crate) use split::{Piece, after_as, split};
pub(crate) use statement::{CreateTable, DeclareStream, Dropped, Name, Show, Statement};
