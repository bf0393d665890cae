//! The way of every request, around both edges: it gets an id, is judged by where it comes from, and leaves with the
//! headers that every answer has and a line in the log.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::extract::MatchedPath;
use axum::extract::Request;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::HeaderName;
use axum::http::HeaderValue;
use axum::http::Method;
use axum::http::StatusCode;
use axum::http::Uri;
use axum::http::header;
use axum::middleware::Next;
use axum::response::Response;
use futures_util::FutureExt as _;
use hyper::body::Body as _;
use tokio::time::Instant;
use tracing::Instrument as _;

use crate::capacity;
use crate::capacity::Full;
use crate::capacity::Place;
use crate::config::http::RateConfig;
use crate::error::Code;
use crate::quota;
use crate::quota::Caller;
use crate::quota::Left;
use crate::rest::error::REQUEST_ID;
use crate::server::body::Paced;
use crate::server::connections::Crowded;
use crate::server::refusal::Expected;
use crate::server::refusal::Form;
use crate::server::refusal::Refusal;
use crate::server::site;
use crate::server::site::Asker;
use crate::service::Ctx;

/// Characters of a request id that a client may choose.
const MAX_ID: usize = 128;
/// Characters of a path in the log.
const MAX_PATH: usize = 200;
/// For what is no page: nothing of it is run, shown or framed, wherever a browser is made to open it. Pages bring
/// their own.
const POLICY: &str = "default-src 'none'; frame-ancestors 'none'";

/// What every answer says to a browser.
const HARDENING: [(HeaderName, &str); 3] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Takes one request from its head to the head of its answer.
pub async fn pass(State(cx): State<Ctx>, mut request: Request, next: Next) -> Response {
    let id = identify(&cx, request.headers_mut());
    let span = tracing::error_span!("request", id = id.to_str().unwrap_or_default());
    let mut response = answer(&cx, request, next).instrument(span).await;
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, id);
    for (name, value) in HARDENING {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if !headers.contains_key(header::CONTENT_SECURITY_POLICY) {
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    }
    response
}

/// The id that the client gave, or a new one; the edges find it in the headers.
fn identify(cx: &Ctx, headers: &mut HeaderMap) -> HeaderValue {
    let given = headers.get(REQUEST_ID).filter(|id| {
        let bytes = id.as_bytes();
        (1..=MAX_ID).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic)
    });
    if let Some(id) = given {
        return id.clone();
    }
    let id = HeaderValue::try_from(cx.db().clock().new_id()).unwrap_or(HeaderValue::from_static("none"));
    headers.insert(REQUEST_ID, id.clone());
    id
}

async fn answer(cx: &Ctx, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().trim_end_matches('/').to_owned());
    let under_way = cx.metrics().begin();
    let config = cx.config();
    let judged = site::judge(config, &request);
    let asker = judged.as_ref().map_or(Asker::Foreign, Clone::clone);
    let mut response = match judged {
        Err(refusal) => refusal.respond(&Form::of(&uri, request.headers()), cx),
        Ok(asker) => match site::preflight(&asker, &request) {
            Some(answer) => answer,
            None => handle(cx, request, next).await,
        },
    };
    site::tell(&config.http.cors, &asker, response.headers_mut());
    drop(under_way);
    let route = route.as_deref().unwrap_or("other");
    cx.metrics().answered(method.as_str(), route, response.status().as_u16(), begun.elapsed());
    let expected = response.extensions().get::<Expected>().is_some();
    log(cx, &method, &uri, response.status(), begun, expected);
    response
}

/// Hands the request to its edge, if there is a place for it.
async fn handle(cx: &Ctx, request: Request, next: Next) -> Response {
    if request.uri().path().starts_with("/health/") {
        return next.run(request).await;
    }
    let form = Form::of(request.uri(), request.headers());
    if request.extensions().get::<Crowded>().is_some() {
        let detail = "The server has as many connections as it can: ask again in a moment";
        return leaving(busy(detail).respond(&form, cx));
    }
    let place = Place::new(cx.capacity());
    let request = if request.body().is_end_stream() {
        // Told below.
        let _ = place.enter().await;
        request
    } else {
        request.map(|body| Body::new(Paced::new(body, place.clone(), &cx.config().http)))
    };
    let caller = Caller::at(request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip()));
    let mut response = match place.refused() {
        None => {
            let answered = capacity::within(place.clone(), execute(cx, &form, request, next));
            Some(quota::within(caller.clone(), answered).await)
        }
        Some(_) => None,
    };
    if let (Some(left), Some(response)) = (caller.left(), &mut response) {
        tell_left(&cx.config().http.rate, left, response.headers_mut());
    }
    match (place.refused(), response) {
        (None, Some(response)) => response,
        (Some(Full::Places), _) | (None, None) => busy(capacity::BUSY).respond(&form, cx),
        (Some(Full::Room), _) => leaving(busy(capacity::BUSY).respond(&form, cx)),
        (Some(Full::Slow), _) => {
            let refusal = Refusal::new(StatusCode::REQUEST_TIMEOUT, Code::RequestTimeout, "The body comes too slowly");
            leaving(refusal.respond(&form, cx))
        }
    }
}

/// What the client has left (draft-ietf-httpapi-ratelimit-headers).
fn tell_left(rate: &RateConfig, left: Left, headers: &mut HeaderMap) {
    let policy = format!("\"points\";q={};w={}", rate.points, rate.window.as_secs_f64().ceil());
    let now = format!("\"points\";r={};t={}", left.points, left.full_in_s);
    for (name, value) in [("ratelimit-policy", policy), ("ratelimit", now)] {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
}

/// A defect in an edge is no end of the connection.
async fn execute(cx: &Ctx, form: &Form, request: Request, next: Next) -> Response {
    AssertUnwindSafe(next.run(request)).catch_unwind().await.unwrap_or_else(|_| {
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, Code::Internal, "Internal Server Error").respond(form, cx)
    })
}

fn busy(detail: &'static str) -> Refusal {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, detail).retry_after(1)
}

/// The last answer on its connection.
fn leaving(mut response: Response) -> Response {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// One line for each request: in front where it failed or was slow. What stands behind the path may be a secret.
fn log(cx: &Ctx, method: &Method, uri: &Uri, status: StatusCode, begun: Instant, expected: bool) {
    let took = begun.elapsed();
    let path = uri.path();
    let path = &path[..path.floor_char_boundary(MAX_PATH)];
    let (status, ms) = (status.as_u16(), u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
    if status >= 500 && !expected {
        tracing::warn!(%method, path, status, ms, "a request failed");
    } else if took > cx.config().http.slow {
        tracing::warn!(%method, path, status, ms, "a request was slow");
    } else {
        tracing::debug!(%method, path, status, ms, "answered");
    }
}
