//! What went wrong, as a REST body.
//!
//! `{"detail": "Document not found", "code": "NOT_FOUND"}`; FastAPI's list under
//! `detail` for broken rules; RFC 9457 for a client that accepts `application/problem+json`.

use axum::http::HeaderMap;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::Response;

use crate::error::Code;
use crate::error::Error;
use crate::error::FieldError;
use crate::error::Step;
use crate::json::Json;
use crate::rest::extract;
use crate::rest::fields::Flaw;
use crate::rest::fields::MOST_FLAWS;
use crate::rest::fields::strict;
use crate::rest::fields::told;
use crate::service::Ctx;

/// The header that names a request whose failure is in the log.
pub const REQUEST_ID: &str = "x-request-id";
/// The media type of RFC 9457.
const PROBLEM: &str = "application/problem+json";

/// Why a request of this edge was not done.
#[derive(Debug)]
pub enum Failure {
    /// A service function said so.
    Service(Error),
    /// The request itself is flawed.
    Request(Vec<Flaw>),
    /// A status and a sentence that the documented contract names.
    Plain {
        /// The status.
        status: StatusCode,
        /// The kind.
        code: Code,
        /// The sentence.
        detail: &'static str,
    },
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Service(error)
    }
}

/// How a client wants its errors.
#[derive(Debug)]
pub struct Manner {
    problem: bool,
    invalid: StatusCode,
}

impl Manner {
    /// As the request's headers and the configuration say.
    #[must_use]
    pub fn of(headers: &HeaderMap, cx: &Ctx) -> Self {
        let invalid = StatusCode::from_u16(cx.config().server.validation_status);
        Self {
            problem: extract::accepts(headers, PROBLEM),
            invalid: invalid.unwrap_or(StatusCode::UNPROCESSABLE_ENTITY),
        }
    }
}

impl Failure {
    /// No such route.
    #[must_use]
    pub const fn no_route() -> Self {
        Self::Plain { status: StatusCode::NOT_FOUND, code: Code::NotFound, detail: "Not Found" }
    }

    /// No such method on this route.
    #[must_use]
    pub const fn no_method() -> Self {
        let status = StatusCode::METHOD_NOT_ALLOWED;
        Self::Plain { status, code: Code::MethodNotAllowed, detail: "Method Not Allowed" }
    }

    /// Something is not there, and the contract has a sentence of its own for it.
    #[must_use]
    pub const fn not_found(detail: &'static str) -> Self {
        Self::Plain { status: StatusCode::NOT_FOUND, code: Code::NotFound, detail }
    }

    /// Bad input that the contract answers with 400 and a sentence.
    #[must_use]
    pub const fn bad_request(detail: &'static str) -> Self {
        Self::Plain { status: StatusCode::BAD_REQUEST, code: Code::BadUserInput, detail }
    }

    /// The answer; `body` is what the request held, for the inputs that a service refused.
    #[must_use]
    pub fn respond(self, manner: &Manner, body: Option<&Json>) -> Response {
        let error = match self {
            Self::Plain { status, code, detail } => {
                return render(manner, status, code, detail.to_owned(), None, Vec::new());
            }
            Self::Request(flaws) => return refuse(manner, flaws),
            Self::Service(Error::Invalid(fields)) => {
                return refuse(manner, fields.into_iter().map(|field| located(field, body)).collect());
            }
            Self::Service(error) => error,
        };
        let code = error.code();
        let status = StatusCode::from_u16(code.row().status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut more = Vec::new();
        let mut wait = None;
        if let Error::Unavailable { retry_after, job_id, .. } = &error {
            wait = retry_after.map(|after| after.as_millis().div_ceil(1000).max(1));
            more.extend(job_id.clone().map(|id| ("job_id", Json::String(id))));
        }
        let mut response = render(manner, status, code, error.to_string(), None, more);
        if let Some(seconds) = wait.and_then(|seconds| u64::try_from(seconds).ok()) {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Error::RateLimited { retry_after } = &error {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(retry_after.as_secs()));
        }
        if let Some(challenge) = error.challenge() {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if let Error::Internal(cause) = &error {
            tracing::error!("{cause:#}");
        }
        response
    }
}

/// A service's flaw at its place in the request.
fn located(field: FieldError, body: Option<&Json>) -> Flaw {
    let mut at = vec![Step::Field("body".to_owned())];
    let mut value = body;
    for (depth, step) in field.path.into_iter().enumerate() {
        let next = match (&step, value) {
            (Step::Field(name), Some(Json::Object(_))) => value.and_then(|value| value.get(name)),
            (Step::Index(index), Some(Json::Array(items))) => items.get(*index),
            // The body is the bare list that the command has in a field.
            (Step::Field(_), Some(Json::Array(_))) if depth == 0 => continue,
            _ => None,
        };
        at.push(step);
        value = next;
    }
    Flaw { at, rule: field.rule, input: value.map_or(Json::Null, told) }
}

fn refuse(manner: &Manner, mut flaws: Vec<Flaw>) -> Response {
    flaws.truncate(MOST_FLAWS);
    let sentence: Vec<String> = flaws.iter().map(|flaw| format!("{}: {}", dotted(&flaw.at), flaw.rule)).collect();
    let list = Json::Array(flaws.into_iter().map(item).collect());
    render(manner, manner.invalid, Code::BadUserInput, sentence.join("; "), Some(list), Vec::new())
}

fn dotted(at: &[Step]) -> String {
    FieldError { path: at.to_vec(), rule: crate::error::Rule::Missing }.field()
}

fn text(text: &str) -> Json {
    Json::String(text.to_owned())
}

fn object(entries: Vec<(&str, Json)>) -> Json {
    Json::Object(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// One flaw in Pydantic's shape.
fn item(flaw: Flaw) -> Json {
    let loc = flaw.at.into_iter().map(|step| match step {
        Step::Field(name) => Json::String(name),
        Step::Index(index) => Json::Number(index.to_string()),
    });
    let mut entries = vec![
        ("type", text(flaw.rule.kind())),
        ("loc", Json::Array(loc.collect())),
        ("msg", Json::String(flaw.rule.to_string())),
        ("input", strict(flaw.input, &Json::String)),
    ];
    entries.extend(flaw.rule.context().map(|context| ("ctx", context)));
    object(entries)
}

fn render(
    manner: &Manner,
    status: StatusCode,
    code: Code,
    sentence: String,
    list: Option<Json>,
    more: Vec<(&str, Json)>,
) -> Response {
    let row = code.row();
    let (content_type, mut entries) = if manner.problem {
        let mut entries = vec![
            ("type", Json::String(format!("urn:corpusd:problem:{}", row.name.to_ascii_lowercase().replace('_', "-")))),
            ("title", text(row.title)),
            ("status", Json::Number(status.as_u16().to_string())),
            ("detail", Json::String(sentence)),
            ("code", text(row.name)),
        ];
        entries.extend(list.map(|list| ("errors", list)));
        (PROBLEM, entries)
    } else {
        let detail = list.unwrap_or(Json::String(sentence));
        ("application/json", vec![("detail", detail), ("code", text(row.name))])
    };
    entries.extend(more);
    extract::raw(status, content_type, object(entries).to_string())
}
