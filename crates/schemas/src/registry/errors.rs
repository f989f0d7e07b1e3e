//! Our codes as Confluent's `error_code`s.

use model::{Error, ErrorKind, error::codes};

/// The `error_code` of a registry answer: HTTP status, or status × 100 + n.
pub fn error_code(error: &Error) -> u32 {
    let table = [
        (codes::SUBJECT_NOT_FOUND, 40401),
        (codes::VERSION_NOT_FOUND, 40402),
        (codes::REGISTERED_SCHEMA_NOT_FOUND, 40403),
        (codes::SUBJECT_SOFT_DELETED, 40404),
        (codes::SUBJECT_NOT_SOFT_DELETED, 40405),
        (codes::VERSION_SOFT_DELETED, 40406),
        (codes::VERSION_NOT_SOFT_DELETED, 40407),
        (codes::SUBJECT_CONFIG_NOT_FOUND, 40408),
        (codes::SUBJECT_MODE_NOT_FOUND, 40409),
        (codes::HTTP_METHOD_NOT_ALLOWED, 405),
        (codes::SCHEMA_INCOMPATIBLE, 409),
        (codes::SCHEMA_INVALID, 42201),
        (codes::VERSION_INVALID, 42202),
        (codes::COMPATIBILITY_LEVEL_INVALID, 42203),
        (codes::REGISTRY_MODE_INVALID, 42204),
        (codes::REGISTRY_OPERATION_REFUSED, 42205),
        (codes::REGISTRY_NOT_KEPT, 42205),
        (codes::SCHEMA_REFERENCED, 42206),
        (codes::REGISTRY_FULL, 42207),
        (codes::SUBJECT_INVALID, 42208),
        (codes::REGISTRY_TIMEOUT, 50001),
    ];
    table.iter().find(|(code, _)| error.is(code)).map_or_else(
        || match error.kind() {
            ErrorKind::Timeout => 50002,
            kind if kind.http_status() >= 500 => 50001,
            kind => u32::from(kind.http_status()),
        },
        |&(_, number)| number,
    )
}

/// The HTTP status that goes with [`error_code`].
pub fn http_status(error: &Error) -> u16 {
    let code = error_code(error);
    let status = if code >= 1000 { code / 100 } else { code };
    u16::try_from(status).expect("a status has three digits")
}
