//! Errors as HTTP answers: `{"error":{"code","message","detail","hint"}}` and the status of the error's kind.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use model::{Error, ErrorKind, error::codes};
use serde::Serialize;

/// An [`Error`] on its way to a client.
pub(crate) struct Failure(pub(crate) Error);

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

#[derive(Serialize)]
pub(crate) struct ErrorBody<'a> {
    error: ErrorFields<'a>,
}

#[derive(Serialize)]
struct ErrorFields<'a> {
    code: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
}

/// The body that describes `error`.
pub(crate) fn body(error: &Error) -> ErrorBody<'_> {
    ErrorBody {
        error: ErrorFields {
            code: error.code().name,
            message: error.message(),
            detail: error.detail_text(),
            hint: error.hint_text(),
        },
    }
}

/// The status of `error`: its kind decides, except where HTTP has a word of its own.
fn status(error: &Error) -> StatusCode {
    if error.is(codes::HTTP_METHOD_NOT_ALLOWED) {
        StatusCode::METHOD_NOT_ALLOWED
    } else if error.is(codes::HTTP_NOT_ACCEPTABLE) {
        StatusCode::NOT_ACCEPTABLE
    } else if error.is(codes::HTTP_QUERY_TIMEOUT) {
        StatusCode::GATEWAY_TIMEOUT
    } else {
        StatusCode::from_u16(error.kind().http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let Self(error) = self;
        if matches!(error.kind(), ErrorKind::Internal | ErrorKind::Corrupt | ErrorKind::Storage) {
            tracing::error!(%error, "an HTTP request failed");
        }
        let mut response = (status(&error), Json(body(&error))).into_response();
        if error.kind() == ErrorKind::Unavailable {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
