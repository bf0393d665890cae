//! Many answers in one HTTP response: server-sent events as graphql-sse's distinct connections mode has them, and
//! `multipart/mixed` as Apollo's clients read subscriptions.
//!
//! An operation is asked for its next answer only when the connection took the last one, so a slow reader costs no
//! memory; one that goes away ends the operation. A server that stops ends the response without `complete`, so that
//! a client asks again, elsewhere.

use std::convert::Infallible;
use std::time::Duration;

use async_graphql::Response;
use axum::body::Body;
use axum::http::header;
use axum::response::IntoResponse as _;
use axum::response::Response as HttpResponse;
use futures_util::Stream;
use futures_util::StreamExt as _;
use futures_util::stream;
use serde::Serialize;

use crate::graphql::edge::Edge;
use crate::graphql::http::Answer;
use crate::graphql::http::Refused;
use crate::graphql::http::before_execution;
use crate::graphql::media::Media;

/// How often a silent connection is told that it is still there.
const ALIVE: Duration = Duration::from_secs(12);
/// What is between the parts of a multipart answer.
const BOUNDARY: &str = "graphql";
/// The last event. Browsers pass one without data over.
const COMPLETE: &str = "event: complete\ndata:\n\n";

/// One thing to tell.
enum Told {
    Answer(Box<Response>),
    /// The operation has ended.
    End,
    /// Nothing happened for a while.
    Alive,
}

/// Answers with every answer of an operation.
pub fn answer(edge: &Edge, media: Media, answers: impl Stream<Item = Response> + Send + 'static) -> HttpResponse {
    let cx = edge.cx().clone();
    // A client whose key was revoked asks again, too, and is told then.
    let stopping = async move { cx.dismissed().await };
    let told = answers.map(|response| Told::Answer(Box::new(response)));
    let told = alive(told.chain(stream::once(std::future::ready(Told::End)))).take_until(stopping);
    if media == Media::Multipart {
        // The boundary comes with each part: until it is there, a part may go on.
        let first = stream::once(std::future::ready(format!("\r\n--{BOUNDARY}")));
        let parts = told.map(|told| match told {
            Told::Answer(response) => part(&format!("{{\"payload\":{}}}", text(&response))),
            Told::Alive => part("{}"),
            Told::End => "--\r\n".to_owned(),
        });
        return (headers(media), Body::from_stream(first.chain(parts).map(Ok::<_, Infallible>))).into_response();
    }
    let events = told.map(|told| match told {
        Told::Answer(response) => next(&text(&response)),
        Told::Alive => ":\n\n".to_owned(),
        Told::End => COMPLETE.to_owned(),
    });
    (headers(media), Body::from_stream(events.map(Ok::<_, Infallible>))).into_response()
}

/// Answers with the one answer of an operation, executed or refused.
pub fn once(media: Media, answer: &impl Serialize) -> HttpResponse {
    let answer = json(answer);
    let body = if media == Media::Multipart {
        format!("\r\n--{BOUNDARY}{}--\r\n", part(&answer))
    } else {
        next(&answer) + COMPLETE
    };
    (headers(media), body).into_response()
}

/// An event that carries an answer. Stored JSON may have line breaks between its values; a field of an event has none.
fn next(json: &str) -> String {
    format!("event: next\ndata: {}\n\n", json.replace(['\n', '\r'], " "))
}

fn text(response: &Response) -> String {
    // As over the other transports, what was not executed has no data at all.
    if before_execution(response) { json(&Refused(&response.errors)) } else { json(&Answer(response)) }
}

fn json(body: &impl Serialize) -> String {
    serde_json::to_string(body).unwrap_or_else(|error| {
        tracing::error!(%error, "writing an answer");
        r#"{"errors":[{"message":"Internal Server Error"}]}"#.to_owned()
    })
}

/// The same, and a sign of life wherever nothing is told for a while.
fn alive(told: impl Stream<Item = Told> + Send + 'static) -> impl Stream<Item = Told> + Send + 'static {
    stream::unfold(Box::pin(told), |mut told| async move {
        match tokio::time::timeout(ALIVE, told.next()).await {
            Ok(next) => Some((next?, told)),
            Err(_) => Some((Told::Alive, told)),
        }
    })
}

fn part(json: &str) -> String {
    format!("\r\ncontent-type: application/json\r\n\r\n{json}\r\n--{BOUNDARY}")
}

/// A proxy must neither keep nor hold back what is told.
fn headers(media: Media) -> [(header::HeaderName, &'static str); 3] {
    let kind = match media {
        Media::Multipart => "multipart/mixed; boundary=\"graphql\"; subscriptionSpec=1.0",
        Media::EventStream | Media::Json | Media::GraphQl => Media::EventStream.name(),
    };
    let no_buffering = header::HeaderName::from_static("x-accel-buffering");
    [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache"), (no_buffering, "no")]
}
