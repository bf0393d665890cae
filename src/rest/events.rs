//! `/api/events`: what changed, in commit order, as pages or as server-sent events.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use futures_util::Stream;
use futures_util::StreamExt as _;
use futures_util::stream;
use serde::Serialize;
use utoipa::ToSchema;

use crate::clock::naive_iso;
use crate::error::Error;
use crate::error::Result;
use crate::rest::extract::Call;
use crate::rest::extract::Outcome;
use crate::rest::extract::json;
use crate::rest::extract::raw;
use crate::rest::fields::any;
use crate::rest::fields::integer;
use crate::rest::fields::string;
use crate::service::events;
use crate::service::events::CorpusEvent;
use crate::service::rules;
use crate::service::search;

/// Events of a page that does not say how many, and of any.
const EVENTS: (i64, i64) = (100, 1_000);
/// How often a silent connection is told that it is still there.
const ALIVE: Duration = Duration::from_secs(12);
/// The media type of a stream.
const EVENT_STREAM: &str = "text/event-stream";

/// One change of the corpus.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CorpusEvent)]
pub struct EventOut {
    /// Where to go on from: give it as `after`.
    cursor: String,
    /// What happened: `DOCUMENT_CREATED`, `CHUNK_UPDATED`, `EMBEDDING_SYNCED`, …
    kind: &'static str,
    /// To which row.
    id: String,
    /// Below (or being) which document.
    document_id: String,
    #[schema(pattern = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?$")]
    at: String,
}

impl From<CorpusEvent> for EventOut {
    fn from(event: CorpusEvent) -> Self {
        let CorpusEvent { cursor, kind, id, document_id, at_ms } = event;
        Self { cursor, kind: kind.name(), id, document_id, at: naive_iso(at_ms.saturating_mul(1000)) }
    }
}

/// A page of changes.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CorpusEvents)]
pub struct EventsOut {
    events: Vec<EventOut>,
    /// Where the next page begins: give it as `after`.
    cursor: String,
}

/// Follow what changes.
#[utoipa::path(
    get, path = "/api/events", tag = "events", operation_id = "list_events",
    params(
        ("after" = Option<String>, Query, description = "The cursor of an event already seen, or of a page; from now on without it. `Last-Event-ID` does as well"),
        ("limit" = Option<u64>, Query, description = "Events of a page at most (100)", minimum = 1, maximum = 1000),
        ("wait_ms" = Option<u64>, Query, description = "How long the first event of a page is waited for (0)", minimum = 0, maximum = 60000),
    ),
    responses(
        (status = 200, description = "A page; or, with `Accept: text/event-stream`, every event as it happens: its cursor is the `id`, its kind the `event`", content(
            (EventsOut = "application/json"), (String = "text/event-stream"),
        )),
        (status = 410, description = "What came after that cursor is kept no longer: read the corpus anew", body = crate::rest::openapi::Refusal),
    ),
)]
pub async fn list(call: Call) -> Outcome {
    let mut form = call.form();
    let after = form.query("after", string(any));
    let limit = form.query("limit", integer(|count| rules::between(count, 1, EVENTS.1))).unwrap_or(EVENTS.0);
    let wait = form.query("wait_ms", integer(search::wait_ms)).unwrap_or_default();
    let (after, limit, wait) = form.finish(Some((after, limit, wait)))?;
    // A browser that connects again tells it there, and has the old address.
    let after = call.header("last-event-id").map(str::to_owned).or(after);
    if call.accepts(EVENT_STREAM) {
        let told = events::corpus(call.cx(), after.as_deref()).await?;
        return Ok(streamed(&call, told));
    }
    let limit = usize::try_from(limit).unwrap_or(1);
    let wait = Duration::from_millis(wait.unsigned_abs());
    let events::Batch { events, cursor } = tokio::select! {
        batch = events::batch(call.cx(), after.as_deref(), limit, wait) => batch?,
        lapse = call.cx().lapsed() => return Err(lapse.error().into()),
    };
    json(StatusCode::OK, &EventsOut { events: events.into_iter().map(EventOut::from).collect(), cursor })
}

/// The next event is asked for when the connection took the last one: a slow reader costs no memory.
fn streamed(call: &Call, told: impl Stream<Item = Result<CorpusEvent>> + Send + 'static) -> axum::response::Response {
    let cx = call.cx().clone();
    let stopping = async move { cx.dismissed().await };
    let told = stream::unfold(Box::pin(told), |mut told| async move {
        let text = match tokio::time::timeout(ALIVE, told.next()).await {
            Ok(event) => text(event?),
            Err(_) => ":\n\n".to_owned(),
        };
        Some((Ok::<_, Infallible>(text), told))
    });
    // At once, so that the headers are on their way.
    let begin = stream::once(std::future::ready(Ok(":\n\n".to_owned())));
    let body = Body::from_stream(begin.chain(told).take_until(stopping));
    let mut response = raw(StatusCode::OK, EVENT_STREAM, body);
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// An event of the stream; an error is its last one.
fn text(event: Result<CorpusEvent>) -> String {
    match event {
        Ok(event) => {
            let event = EventOut::from(event);
            // Texts and nothing else: it has a JSON form.
            let body = serde_json::to_string(&event).unwrap_or_default();
            format!("id: {}\nevent: {}\ndata: {body}\n\n", event.cursor, event.kind)
        }
        Err(error) => {
            if let Error::Internal(cause) = &error {
                tracing::error!("{cause:#}");
            }
            let body = serde_json::json!({ "detail": error.to_string(), "code": error.code().row().name });
            format!("event: error\ndata: {body}\n\n")
        }
    }
}
