//! `ETag` and `If-Match` (RFC 9110) of documents: a change that is refused unless the document is as it was read.
//!
//! The tag is the document's revision. A list of tags means any of them, `*` any revision; a weak tag, and one that
//! this server never made, matches nothing.

use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;

use crate::error::Code;
use crate::error::Error;
use crate::rest::error::Failure;
use crate::rest::extract::Call;
use crate::rest::extract::Outcome;

/// The revisions of which the document must be at one, when the request says so.
#[must_use]
pub fn expected(call: &Call) -> Option<Vec<i64>> {
    let given = call.headers(header::IF_MATCH)?;
    if given == ["*"] {
        return None;
    }
    let revision = |tag: &str| tag.trim().strip_prefix('"')?.strip_suffix('"')?.parse().ok();
    Some(given.iter().flat_map(|line| line.split(',')).filter_map(revision).collect())
}

/// What a service said, told as a failed precondition where it is one.
#[must_use]
pub fn failed(call: &Call, error: Error) -> Failure {
    if !matches!(error, Error::Conflict { .. }) || call.headers(header::IF_MATCH).is_none() {
        return error.into();
    }
    Failure::Plain {
        status: StatusCode::PRECONDITION_FAILED,
        code: Code::Conflict,
        detail: "The document is at another revision than If-Match says",
    }
}

/// An answer with the tag of the document that it shows.
///
/// # Errors
/// Those of `outcome`.
pub fn tagged(revision: i64, outcome: Outcome) -> Outcome {
    let mut response = outcome?;
    if let Ok(tag) = HeaderValue::try_from(format!("\"{revision}\"")) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    Ok(response)
}
