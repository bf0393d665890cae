//! An answer, before it is HTTP.

use axum::body::Body;
use axum::http::HeaderName;
use axum::http::HeaderValue;
use axum::http::Response;
use axum::http::StatusCode;
use axum::http::header;
use bytes::Bytes;

use crate::emulator::operation::Plane;
use crate::emulator::refusal::Refusal;
use crate::json::Json;

/// The media type of JSON.
pub const JSON: &str = "application/json";

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// Headers, beside the type of the body.
    pub headers: Vec<(String, String)>,
    /// The type of the body.
    pub content_type: String,
    /// The body.
    pub body: Bytes,
}

impl Reply {
    /// A body of JSON.
    #[must_use]
    pub fn json(status: u16, body: &Json) -> Self {
        Self { status, headers: Vec::new(), content_type: JSON.to_owned(), body: body.to_string().into() }
    }

    /// A body of text.
    #[must_use]
    pub fn text(status: u16, body: &'static str) -> Self {
        let content_type = "text/plain; charset=utf-8".to_owned();
        Self { status, headers: Vec::new(), content_type, body: Bytes::from_static(body.as_bytes()) }
    }

    /// A refusal in the dress of `plane`.
    #[must_use]
    pub fn refused(refusal: &Refusal, plane: Plane) -> Self {
        Self::json(refusal.status(), &refusal.body(plane))
    }

    /// The same with one more header.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same under the sequence number of a write.
    #[must_use]
    pub fn written(self, lsn: u64) -> Self {
        let lsn = lsn.to_string();
        self.with("x-pinecone-request-lsn", &lsn).with("x-pinecone-lsn-committed", &lsn)
    }

    /// The same with the sequence number up to which a read saw the namespace.
    #[must_use]
    pub fn seen(self, lsn: u64) -> Self {
        let lsn = lsn.to_string();
        self.with("x-pinecone-max-indexed-lsn", &lsn).with("x-pinecone-lsn-reconciled", &lsn)
    }

    /// The answer with another body in place of its own.
    #[must_use]
    pub fn response(self, body: Body) -> Response<Body> {
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let own = [(header::CONTENT_TYPE.to_string(), self.content_type)];
        let has_type = !self.body.is_empty();
        for (name, value) in own.into_iter().filter(|_| has_type).chain(self.headers) {
            if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) {
                response.headers_mut().append(name, value);
            }
        }
        response
    }
}
