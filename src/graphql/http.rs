//! `/graphql` over HTTP: POST with a JSON body, GET for what changes nothing, and the hand-over to the WebSocket.
//!
//! What is no GraphQL request at all is refused with 4xx. An operation that was
//! executed answers 200, whatever it found. One that does not fit the schema
//! answers 400 to clients that accept `application/graphql-response+json`, and
//! 200 to the others. Subscriptions are for clients that accept a form of many
//! answers, see [`stream`].

use axum::body::Body;
use axum::extract::Request as HttpRequest;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::Method;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse as _;
use axum::response::Response as HttpResponse;
use futures_util::StreamExt as _;
use serde::Serialize;
use serde::ser::SerializeMap as _;

use async_graphql::Request;
use async_graphql::Response;
use async_graphql::ServerError;
use async_graphql::Value;
use async_graphql::parser::types::OperationType;

use crate::credentials::Credentials;
use crate::error::Code;
use crate::error::Error;
use crate::graphql::edge::Edge;
use crate::graphql::edge::Prepared;
use crate::graphql::error;
use crate::graphql::media::Accepted;
use crate::graphql::media::Media;
use crate::graphql::stream;
use crate::graphql::value;
use crate::graphql::value::Malformed;
use crate::graphql::ws;
use crate::parsing;

/// Bytes of a query string.
const MAX_QUERY_STRING: usize = 65_536;

/// Which operations the transport may carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Carries {
    /// A GET changes nothing.
    Queries,
    /// Everything but subscriptions.
    All,
}

/// A refusal before execution.
struct Refusal {
    code: Code,
    message: String,
    /// Where the input was wrong, as the errors of fields tell it.
    field: Option<String>,
}

impl Refusal {
    fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), field: None }
    }

    /// The status: what cannot be read is 400 here, where REST says 422.
    fn status(&self) -> StatusCode {
        match self.code {
            Code::BadUserInput | Code::CostExceeded => StatusCode::BAD_REQUEST,
            other @ (Code::BadCursor
            | Code::CursorExpired
            | Code::NotFound
            | Code::Unauthenticated
            | Code::Forbidden
            | Code::Conflict
            | Code::PayloadTooLarge
            | Code::Unavailable
            | Code::MethodNotAllowed
            | Code::NotAcceptable
            | Code::UnsupportedMediaType
            | Code::RateLimited
            | Code::RequestTimeout
            | Code::Timeout
            | Code::Internal) => StatusCode::from_u16(other.row().status).unwrap_or(StatusCode::BAD_REQUEST),
        }
    }
}

impl From<Malformed> for Refusal {
    fn from(malformed: Malformed) -> Self {
        match malformed {
            Malformed::Request(message) => Self::new(Code::BadUserInput, message),
            Malformed::Variable { path, reason } => {
                Self { code: Code::BadUserInput, message: format!("{path}: {reason}"), field: Some(path) }
            }
        }
    }
}

/// The error of a request that was refused before execution.
#[must_use]
pub fn refused(code: Code, message: String, field: Option<String>) -> ServerError {
    let mut error = ServerError::new(message, None);
    let mut extensions = async_graphql::ErrorExtensionValues::default();
    extensions.set("code", code.row().name);
    if let Some(field) = field {
        let message = error.message.strip_prefix(&format!("{field}: ")).unwrap_or(&error.message).to_owned();
        extensions.set("fields", Value::List(vec![error::entry(field, message, "value_error")]));
    }
    error.extensions = Some(extensions);
    error::shorten(&mut error);
    error
}

/// Answers one request to `/graphql`.
pub async fn answer(State(edge): State<Edge>, request: HttpRequest) -> HttpResponse {
    let mut response = negotiate(edge, request).await;
    response.headers_mut().insert(header::VARY, header::HeaderValue::from_static("accept"));
    response
}

async fn negotiate(edge: Edge, request: HttpRequest) -> HttpResponse {
    let (mut parts, body) = request.into_parts();
    if parts.method == Method::GET && is_upgrade(&parts.headers) {
        return ws::answer(&edge, &mut parts);
    }
    let Some(accepted) = Accepted::of(&parts.headers) else {
        let forms =
            "Answers are application/graphql-response+json, application/json, text/event-stream or multipart/mixed";
        return tell(&Refusal::new(Code::NotAcceptable, forms), Media::Json);
    };
    let edge = match edge.admit(&Credentials::of(&parts.headers)).await {
        Ok(edge) => edge,
        Err(error) => return turn_away(&error, accepted.single()),
    };
    let read = match parts.method {
        Method::GET => {
            let request = from_query(parts.uri.query().unwrap_or_default());
            let bytes = parts.uri.query().map_or(0, str::len);
            request.map(|request| (edge.prepare(request, bytes), Carries::Queries))
        }
        Method::POST => from_body(&edge, &parts.headers, body).await.map(|read| (read, Carries::All)),
        _ => Err(Refusal::new(Code::MethodNotAllowed, "GraphQL is asked by GET or POST")),
    };
    let (prepared, carries) = match read {
        Ok(read) => read,
        Err(refusal) => return tell(&refusal, accepted.single()),
    };
    // What cannot be executed was looked at all the same.
    if let Err(error) = edge.cx().charge(prepared.as_ref().map_or(1, Prepared::points)) {
        return turn_away(&error, accepted.single());
    }
    let prepared = match prepared {
        Ok(prepared) => prepared,
        Err(error) if error::is_coded(&error, Code::Forbidden) => {
            return tell(&Refusal::new(Code::Forbidden, error.message), accepted.single());
        }
        Err(error) => return request_error(&[error], accepted.single()),
    };
    let kind = prepared.kind();
    let media = if kind == Some(OperationType::Subscription) { accepted.many() } else { accepted.single() };
    if carries == Carries::Queries && kind == Some(OperationType::Mutation) {
        return tell(&Refusal::new(Code::MethodNotAllowed, "A mutation is asked by POST"), media);
    }
    if kind == Some(OperationType::Subscription) {
        return match media {
            Media::EventStream | Media::Multipart => stream::answer(&edge, media, edge.stream(prepared)),
            Media::Json | Media::GraphQl => {
                let forms = "A subscription is asked over a WebSocket, or with an Accept of text/event-stream or multipart/mixed";
                tell(&Refusal::new(Code::NotAcceptable, forms), media)
            }
        };
    }
    let response = edge.execute(prepared).await;
    if before_execution(&response) {
        return request_error(&response.errors, media);
    }
    match media {
        Media::EventStream | Media::Multipart => stream::once(media, &Answer(&response)),
        Media::Json | Media::GraphQl => reply(StatusCode::OK, media, &Answer(&response)),
    }
}

/// Whether an operation was not executed: what it says is about the request, not about a field.
#[must_use]
pub fn before_execution(response: &Response) -> bool {
    let of_request = response.errors.iter().all(|error| error.path.is_empty());
    response.data == Value::Null && of_request && !response.errors.is_empty()
}

/// The page for trying queries: one file, which may load nothing from anywhere and talk to this server only.
pub async fn graphiql() -> impl axum::response::IntoResponse {
    const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; \
                          connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, include_str!("../../assets/graphiql.html"))
}

fn is_upgrade(headers: &HeaderMap) -> bool {
    headers.get(header::UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

fn from_query(query: &str) -> Result<Request, Refusal> {
    if query.len() > MAX_QUERY_STRING {
        return Err(Refusal::new(Code::PayloadTooLarge, format!("The query string is over {MAX_QUERY_STRING} bytes")));
    }
    let mut members = async_graphql::indexmap::IndexMap::new();
    for (name, text) in url::form_urlencoded::parse(query.as_bytes()) {
        let member = match &*name {
            "query" | "operationName" => Value::String(text.into_owned()),
            "variables" | "extensions" if text.is_empty() => continue,
            "variables" | "extensions" => value::value(text.as_bytes(), &name)?,
            _ => continue,
        };
        members.insert(async_graphql::Name::new(name), member);
    }
    Ok(value::from_value(Value::Object(members))?)
}

/// The inner outcome is told as an answer to the request.
async fn from_body(edge: &Edge, headers: &HeaderMap, body: Body) -> Result<Result<Prepared, ServerError>, Refusal> {
    if !is_json(headers) {
        return Err(Refusal::new(Code::UnsupportedMediaType, "The body must be application/json in UTF-8"));
    }
    let limit = edge.cx().config().limits.body_bytes;
    let too_large = || Refusal::new(Code::PayloadTooLarge, format!("The body is over {limit} bytes"));
    let told = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if told.is_some_and(|bytes| bytes > limit as u64) {
        return Err(too_large());
    }
    let mut bytes = Vec::with_capacity(usize::try_from(told.unwrap_or(0)).unwrap_or(0));
    let mut parts = body.into_data_stream();
    while let Some(part) = parts.next().await {
        let part = part.map_err(|_| Refusal::new(Code::BadUserInput, "The body ended early"))?;
        if bytes.len() + part.len() > limit {
            return Err(too_large());
        }
        bytes.extend_from_slice(&part);
    }
    let edge = edge.clone();
    let length = bytes.len();
    let read = move || value::request(&bytes).map(|request| edge.prepare(request, length));
    match parsing::read(length, read).await {
        Ok(read) => Ok(read?),
        Err(error) => {
            tracing::error!(cause = ?error, "reading a request");
            Err(Refusal::new(Code::Internal, Code::Internal.row().title))
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let text = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut parts = text.split(';').map(str::trim);
    let media = parts.next().unwrap_or_default();
    media.eq_ignore_ascii_case(Media::Json.name())
        && parts.all(|part| match part.split_once('=') {
            Some((name, value)) if name.eq_ignore_ascii_case("charset") => {
                value.trim_matches('"').eq_ignore_ascii_case("utf-8")
            }
            _ => true,
        })
}

fn tell(refusal: &Refusal, media: Media) -> HttpResponse {
    let error = refused(refusal.code, refusal.message.clone(), refusal.field.clone());
    // A stream has no status of its own for what is no GraphQL request: it has not begun.
    let single = if media == Media::GraphQl { Media::GraphQl } else { Media::Json };
    let mut response = reply(refusal.status(), single, &Refused(&[error]));
    if refusal.code == Code::MethodNotAllowed {
        let allowed = if refusal.message.starts_with("A mutation") { "POST" } else { "GET, POST" };
        response.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static(allowed));
    }
    response
}

/// Tells one who is not let in, or not yet again, in any form with the same status.
fn turn_away(error: &Error, media: Media) -> HttpResponse {
    let mut response = tell(&Refusal::new(error.code(), error.to_string()), media);
    if let Some(challenge) = error.challenge() {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static(challenge));
    }
    if let Error::RateLimited { retry_after } = error {
        response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from(retry_after.as_secs()));
    }
    response
}

/// An operation that was not executed: no `data` at all.
fn request_error(errors: &[ServerError], media: Media) -> HttpResponse {
    match media {
        Media::GraphQl => reply(not_executed(errors), media, &Refused(errors)),
        Media::Json => reply(StatusCode::OK, media, &Refused(errors)),
        Media::EventStream | Media::Multipart => stream::once(media, &Refused(errors)),
    }
}

/// The status that says why an operation was not executed: mostly that it could not be.
fn not_executed(errors: &[ServerError]) -> StatusCode {
    let coded = |code: Code| {
        let is = |error: &ServerError| error::code(error) == Some(code.row().name);
        errors.first().is_some_and(is).then(|| StatusCode::from_u16(code.row().status).ok()).flatten()
    };
    coded(Code::Timeout).or_else(|| coded(Code::Internal)).unwrap_or(StatusCode::BAD_REQUEST)
}

fn reply(status: StatusCode, media: Media, body: &impl Serialize) -> HttpResponse {
    match serde_json::to_vec(body) {
        Ok(bytes) => {
            let graphql = "application/graphql-response+json; charset=utf-8";
            let kind = if media == Media::GraphQl { graphql } else { "application/json" };
            (status, [(header::CONTENT_TYPE, kind)], bytes).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "writing an answer");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// A whole answer, errors first so that a reader of the text cannot miss them.
pub struct Answer<'a>(pub &'a Response);

impl Serialize for Answer<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if !self.0.errors.is_empty() {
            map.serialize_entry("errors", &self.0.errors)?;
        }
        map.serialize_entry("data", &self.0.data)?;
        if !self.0.extensions.is_empty() {
            map.serialize_entry("extensions", &self.0.extensions)?;
        }
        map.end()
    }
}

/// The errors of what was not executed.
pub struct Refused<'a>(pub &'a [ServerError]);

impl Serialize for Refused<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry("errors", self.0)?;
        map.end()
    }
}
