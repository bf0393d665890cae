//! The answer to a request that is refused before either edge sees it, in the form of the edge it was meant for.

use axum::http::HeaderMap;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::Uri;
use axum::http::header;
use axum::response::IntoResponse as _;
use axum::response::Response;
use serde_json::json;

use crate::error::Code;
use crate::rest::error::Failure;
use crate::rest::error::Manner;
use crate::service::Ctx;

/// The media type of GraphQL answers whose status says something.
const GRAPHQL: &str = "application/graphql-response+json";

/// Why a request goes no further.
#[derive(Debug, Clone, Copy)]
pub struct Refusal {
    status: StatusCode,
    code: Code,
    detail: &'static str,
    /// In how many seconds to ask again.
    retry_after: Option<u64>,
}

/// Marks an answer that is no failure of the server: it has more to do than it can, and the log says that elsewhere.
#[derive(Debug, Clone, Copy)]
pub struct Expected;

/// In which form a client wants its answers.
#[derive(Debug, Clone)]
pub struct Form {
    graphql: bool,
    accept: Option<HeaderValue>,
}

impl Form {
    /// As the path and the headers of a request say.
    #[must_use]
    pub fn of(uri: &Uri, headers: &HeaderMap) -> Self {
        Self { graphql: uri.path() == "/graphql", accept: headers.get(header::ACCEPT).cloned() }
    }
}

impl Refusal {
    /// A refusal in one sentence.
    #[must_use]
    pub const fn new(status: StatusCode, code: Code, detail: &'static str) -> Self {
        Self { status, code, detail, retry_after: None }
    }

    /// The same for a client that may ask again after so many seconds.
    #[must_use]
    pub const fn retry_after(self, seconds: u64) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    /// The answer.
    #[must_use]
    pub fn respond(self, form: &Form, cx: &Ctx) -> Response {
        let Self { status, code, detail, retry_after } = self;
        let mut response = if form.graphql {
            let new = form.accept.as_ref().and_then(|accept| accept.to_str().ok()).is_some_and(|a| a.contains(GRAPHQL));
            let kind = if new { "application/graphql-response+json; charset=utf-8" } else { "application/json" };
            let error = json!({ "message": detail, "extensions": { "code": code.row().name } });
            let body = json!({ "errors": [error] }).to_string();
            (status, [(header::CONTENT_TYPE, kind)], body).into_response()
        } else {
            let headers = form.accept.iter().map(|accept| (header::ACCEPT, accept.clone())).collect();
            Failure::Plain { status, code, detail }.respond(&Manner::of(&headers, cx), None)
        };
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            response.extensions_mut().insert(Expected);
        }
        response
    }
}
