//! A request, read whole, and the frame around every handler of this edge.
//!
//! A handler takes a [`Call`], reads its parameters and its body through a [`Form`]
//! (which gathers every flaw of the request before it says no), calls one service
//! function and dresses the outcome. [`frame`] renders what went wrong, and puts the
//! revision of a write into the answer's header.

use std::future::Future;
use std::sync::Arc;
use std::sync::OnceLock;

use axum::RequestExt as _;
use axum::body::Body;
use axum::extract::RawPathParams;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::HeaderName;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::Uri;
use axum::http::header;
use axum::http::header::AsHeaderName;
use axum::response::Response;
use bytes::Bytes;
use bytes::BytesMut;
use futures_util::StreamExt as _;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::app::App;
use crate::credentials::Credentials;
use crate::error::Error;
use crate::error::Rule;
use crate::error::Step;
use crate::json::Json;
use crate::json::JsonError;
use crate::json::Literals;
use crate::parsing;
use crate::rest::cost;
use crate::rest::error::Failure;
use crate::rest::error::Manner;
use crate::rest::fields::Flaw;
use crate::rest::fields::Read;
use crate::rest::fields::strict;
use crate::service::Ctx;
use crate::service::access::Scope;

/// The header that carries the corpus revision of a write.
pub const REVISION: &str = "x-corpus-revision";

/// What a handler gives.
pub type Outcome = Result<Response, Failure>;

/// A request, read whole; clones share it.
#[derive(Debug, Clone)]
pub struct Call {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    cx: Ctx,
    headers: HeaderMap,
    /// As the client wrote it.
    target: String,
    path: Vec<(String, String)>,
    query: Vec<(String, String)>,
    content_type: Option<String>,
    body: Bytes,
    json: OnceLock<Result<Json, JsonError>>,
}

impl Call {
    /// The context of this request.
    #[must_use]
    pub fn cx(&self) -> &Ctx {
        &self.inner.cx
    }

    /// The path parameter `name`, percent-decoded: the id of a `what`.
    ///
    /// # Errors
    /// NotFound when no row can have that id, because no database could store it.
    pub fn id(&self, name: &str, what: &'static str) -> Result<String, Failure> {
        let id = self.inner.path.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        match id {
            Some(id) if id.contains('\0') => Err(Error::not_found(what, &id).into()),
            Some(id) => Ok(id),
            None => Err(Error::internal(anyhow::anyhow!("the route has no parameter {name}")).into()),
        }
    }

    /// Begins to read parameters and body.
    #[must_use]
    pub fn form(&self) -> Form<'_> {
        Form { call: self, flaws: Vec::new() }
    }

    /// The last value of the query parameter `name`.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<&str> {
        self.inner.query.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Every value of the query parameter `name`, in order.
    #[must_use]
    pub fn query_all(&self, name: &str) -> Vec<&str> {
        self.inner.query.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
    }

    /// The header `name`, where it is one of visible characters.
    #[must_use]
    pub fn header(&self, name: impl AsHeaderName) -> Option<&str> {
        self.inner.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Every line of the header `name`, trimmed; nothing where there is none. A line that is no visible text is empty:
    /// a condition that cannot be read is there all the same.
    #[must_use]
    pub fn headers(&self, name: HeaderName) -> Option<Vec<&str>> {
        let lines = self.inner.headers.get_all(name).iter();
        let lines: Vec<&str> = lines.map(|value| value.to_str().unwrap_or_default().trim()).collect();
        (!lines.is_empty()).then_some(lines)
    }

    /// Whether the client names this media type among those it accepts.
    #[must_use]
    pub fn accepts(&self, media: &str) -> bool {
        accepts(&self.inner.headers, media)
    }

    /// A link to this list elsewhere: the same path and parameters, but for those in `set`.
    #[must_use]
    pub fn link(&self, rel: &str, set: &[(&str, String)]) -> String {
        let kept = self.inner.query.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let kept = kept.filter(|(name, _)| set.iter().all(|(other, _)| name != other));
        let set = set.iter().map(|(name, value)| (*name, value.as_str()));
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(kept.chain(set)).finish();
        format!("<{}?{query}>; rel=\"{rel}\"", self.inner.target)
    }

    /// Whether the request has a body at all.
    #[must_use]
    pub fn has_body(&self) -> bool {
        !self.inner.body.is_empty()
    }

    /// The body as JSON; text that is none, sent as something else than JSON, is a string, as in FastAPI.
    pub(super) fn json(&self) -> &Result<Json, JsonError> {
        self.inner.json.get_or_init(|| self.inner.parse())
    }

    async fn read(cx: Ctx, mut request: Request) -> Result<Self, Failure> {
        let path = match request.extract_parts::<RawPathParams>().await {
            Ok(params) => params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            // Only bytes that are no UTF-8 once decoded: no id has them.
            Err(_) => return Err(Failure::no_route()),
        };
        let query = request.uri().query().unwrap_or_default();
        let query = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let (parts, body) = request.into_parts();
        let content_type = text_of(&parts.headers, header::CONTENT_TYPE.as_str());
        let body = read_body(&parts.headers, body, cx.config().limits.body_bytes).await?;
        let target = parts.uri.path().to_owned();
        let headers = parts.headers;
        let inner = Arc::new(Inner { cx, headers, target, path, query, content_type, body, json: OnceLock::new() });
        let reader = inner.clone();
        parsing::read(inner.body.len(), move || _ = reader.json.set(reader.parse())).await?;
        Ok(Self { inner })
    }
}

impl Inner {
    fn parse(&self) -> Result<Json, JsonError> {
        let text = self.body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&self.body);
        if text.is_empty() {
            return Ok(Json::Null);
        }
        let read = Json::parse(text, Literals::Python);
        if read.is_err() && !is_json(self.content_type.as_deref()) {
            return Ok(Json::String(String::from_utf8_lossy(text).into_owned()));
        }
        // FastAPI counts characters.
        read.map_err(|error| JsonError {
            offset: String::from_utf8_lossy(&text[..error.offset.min(text.len())]).chars().count(),
            ..error
        })
    }
}

/// Whether these headers name a media type among those that are accepted.
#[must_use]
pub fn accepts(headers: &HeaderMap, media: &str) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(media));
        named && !parts.any(|part| part.strip_prefix("q=").and_then(|q| q.parse().ok()) == Some(0.0))
    })
}

fn text_of(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

fn is_json(content_type: Option<&str>) -> bool {
    let Some(content_type) = content_type else { return true };
    let media = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media.is_empty() || media == "application/json" || (media.starts_with("application/") && media.ends_with("+json"))
}

/// Reads a body of at most `limit` bytes.
///
/// What is over the limit is thrown away unread, up to a point, so that a client that
/// sends first and listens later gets its answer instead of a broken connection.
async fn read_body(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, Failure> {
    let too_large = || Error::TooLarge { detail: format!("The body is larger than {limit} bytes") };
    let announced = text_of(headers, header::CONTENT_LENGTH.as_str()).and_then(|text| text.parse::<usize>().ok());
    let over = announced.is_some_and(|length| length > limit);
    if over && headers.contains_key(header::EXPECT) {
        return Err(too_large().into());
    }
    let mut read = BytesMut::with_capacity(announced.unwrap_or(0).min(limit));
    let mut size = 0;
    let mut stream = body.into_data_stream();
    while let Some(part) = stream.next().await {
        let Ok(part) = part else {
            return Err(Error::invalid_value("body", "The body ended before its end").into());
        };
        size += part.len();
        if size <= limit && !over {
            read.extend_from_slice(&part);
        } else if size > limit.saturating_mul(8) {
            break;
        }
    }
    if over || size > limit { Err(too_large().into()) } else { Ok(read.freeze()) }
}

/// Reads parameters and body, and gathers what is wrong with them: first the query, last the body.
#[derive(Debug)]
pub struct Form<'a> {
    call: &'a Call,
    flaws: Vec<Flaw>,
}

impl Form<'_> {
    /// A query parameter that may be absent; nothing then, or when it is flawed.
    pub fn query<T>(&mut self, name: &str, read: impl Fn(&Json) -> Read<T>) -> Option<T> {
        let value = Json::String(self.call.query(name)?.to_owned());
        self.note("query", Some(name), read(&value))
    }

    /// A query parameter that must be there; nothing when it is flawed.
    pub fn query_required<T>(&mut self, name: &str, read: impl Fn(&Json) -> Read<T>) -> Option<T> {
        if self.call.query(name).is_none() {
            return self.note("query", Some(name), crate::rest::fields::flaw(Rule::Missing, &Json::Null));
        }
        self.query(name, read)
    }

    /// Every value of a query parameter as one list; nothing when there is none, or it is flawed.
    pub fn query_list<T>(&mut self, name: &str, read: impl Fn(&Json) -> Read<Vec<T>>) -> Option<Vec<T>> {
        let values = self.call.query_all(name);
        if values.is_empty() {
            return None;
        }
        let value = Json::Array(values.into_iter().map(|value| Json::String(value.to_owned())).collect());
        self.note("query", Some(name), read(&value))
    }

    /// The body, which must be there; nothing when it is flawed.
    pub fn body<T>(&mut self, read: impl Fn(&Json) -> Read<T>) -> Option<T> {
        match self.call.json() {
            Ok(Json::Null) => self.note("body", None, crate::rest::fields::flaw(Rule::Missing, &Json::Null)),
            Ok(value) => self.note("body", None, read(value)),
            Err(error) => {
                // As in FastAPI, nothing else is looked at then.
                let rule = Rule::JsonInvalid { offset: error.offset, reason: error.reason.to_owned() };
                let at = vec![Step::Field("body".to_owned()), Step::Index(error.offset)];
                self.flaws = vec![Flaw { at, rule, input: Json::Object(Vec::new()) }];
                None
            }
        }
    }

    /// The body, which may be absent; nothing then, or when it is flawed.
    pub fn body_optional<T>(&mut self, read: impl Fn(&Json) -> Read<T>) -> Option<T> {
        if matches!(self.call.json(), Ok(Json::Null)) { None } else { self.body(read) }
    }

    /// `value`, when nothing is wrong with the request.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn finish<T>(self, value: Option<T>) -> Result<T, Failure> {
        match value {
            Some(value) if self.flaws.is_empty() => Ok(value),
            None if self.flaws.is_empty() => {
                Err(Error::internal(anyhow::anyhow!("a request was refused without a flaw")).into())
            }
            _ => Err(Failure::Request(self.flaws)),
        }
    }

    fn note<T>(&mut self, part: &str, name: Option<&str>, read: Read<T>) -> Option<T> {
        match read {
            Ok(value) => Some(value),
            Err(found) => {
                self.flaws.extend(found.into_iter().map(|mut flaw| {
                    let prefix = [Some(part), name].into_iter().flatten().map(|step| Step::Field(step.to_owned()));
                    flaw.at.splice(0..0, prefix);
                    flaw
                }));
                None
            }
        }
    }
}

/// What an operation needs.
#[derive(Debug, Clone, Copy)]
pub struct Guard {
    /// The scope of a key.
    pub scope: Scope,
    /// The operation's method.
    pub method: &'static str,
    /// The operation's path.
    pub path: &'static str,
}

impl Guard {
    /// Lets in who may, and has points for a page of so many rows.
    async fn admit(self, cx: &Ctx, credentials: &Credentials, limit: Option<u64>) -> Result<Ctx, Error> {
        let cx = cx.admit(credentials).await?;
        cx.principal().require(self.scope, &format!("{} {}", self.method, self.path))?;
        cx.charge(cost::of(self.method, self.path, limit, cx.config().limits.rest_page))?;
        Ok(cx)
    }
}

/// What the query parameter `limit` says.
fn limit(uri: &Uri) -> Option<u64> {
    let query = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    query.filter(|(name, _)| name == "limit").last()?.1.parse().ok()
}

/// Lets in who may, reads the request, runs the handler, renders its failure, and tells the revision it committed.
pub async fn frame<F>(app: App, guard: Option<Guard>, request: Request, handler: impl FnOnce(Call) -> F) -> Response
where
    F: Future<Output = Outcome>,
{
    let manner = Manner::of(request.headers(), app.cx());
    let cx = match guard {
        None => app.cx().for_request(),
        Some(guard) => match guard.admit(app.cx(), &Credentials::of(request.headers()), limit(request.uri())).await {
            Ok(cx) => cx,
            Err(error) => return Failure::from(error).respond(&manner, None),
        },
    };
    let mut response = match Call::read(cx.clone(), request).await {
        Err(failure) => failure.respond(&manner, None),
        Ok(call) => {
            let done = cx.deadline().within(cx.config().server.timeout, handler(call.clone())).await;
            let done = done.unwrap_or_else(|late| Err(late.into()));
            done.unwrap_or_else(|failure| failure.respond(&manner, call.json().as_ref().ok()))
        }
    };
    if let Some(revision) = cx.committed() {
        response.headers_mut().insert(REVISION, HeaderValue::from(revision));
    }
    response
}

/// A JSON answer.
///
/// # Errors
/// None that a body of ours can cause.
pub fn json(status: StatusCode, body: &impl Serialize) -> Outcome {
    let body = serde_json::to_vec(body).map_err(Error::internal)?;
    Ok(raw(status, "application/json", body))
}

/// Stored JSON as a part of an answer, byte for byte; Python's bare words, which only adopted rows can hold, as null.
#[must_use]
pub fn stored_json(text: &str) -> Option<Box<RawValue>> {
    let strict = match RawValue::from_string(text.to_owned()) {
        Ok(raw) => return Some(raw),
        Err(_) => strict(Json::parse(text.as_bytes(), Literals::Python).ok()?, &|_| Json::Null),
    };
    RawValue::from_string(strict.to_string()).ok()
}

/// The answer without a body.
#[must_use]
pub fn no_content() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// An answer from finished bytes.
pub fn raw(status: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
