//! From Iceberg's, Parquet's and Arrow's errors to ours.

use std::{error::Error as StdError, fmt::Display};

use model::{Error, error::codes};

/// Stored table files that cannot be understood.
pub(crate) fn corrupt(message: String, cause: impl Display) -> Error {
    Error::new(codes::TABLE_CORRUPT, message).detail(cause.to_string())
}

/// Rows that do not fit the table, or cannot be encoded.
pub(crate) fn unwritable(message: String, cause: impl Display) -> Error {
    Error::new(codes::ROWS_UNWRITABLE, message).detail(cause.to_string())
}

/// What a library refuses although the request was checked before.
pub(crate) fn internal(message: String, cause: impl Display) -> Error {
    Error::internal(message).detail(cause.to_string())
}

/// An error of a library that may have one of ours (a full disk, a missing file) inside.
pub(crate) fn unwrap_or(cause: &(dyn StdError + 'static), otherwise: impl FnOnce() -> Error) -> Error {
    let mut next = Some(cause);
    while let Some(error) = next {
        if let Some(ours) = error.downcast_ref::<Error>() {
            return ours.clone();
        }
        next = error.source();
    }
    otherwise()
}
