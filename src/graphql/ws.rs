//! `/graphql` over a WebSocket, in the protocol graphql-transport-ws.
//!
//! A connection has two halves that do not wait for each other: the [`inbox`] takes what the client says, the
//! [`outbox`] tells it what there is to tell. Each operation is a task of its own (see [`operation`]), so that a slow
//! one holds up no other, and the way from them to the client is short and bounded: who does not read costs little
//! memory, and is given up after three pings.

pub mod entrance;
pub mod handshake;
pub mod inbox;
pub mod operation;
pub mod outbox;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use axum::http::request::Parts;
use axum::response::Response as HttpResponse;
use futures_util::SinkExt as _;
use futures_util::StreamExt as _;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use crate::credentials::Credentials;
use crate::graphql::edge::Edge;
use crate::graphql::ws::inbox::Inbox;
use crate::quota;
use crate::quota::Caller;

/// How long a client may take to close after we did.
const GOODBYE: Duration = Duration::from_secs(2);
/// Messages that wait for the client, beside the one that each operation may hold.
const WAITING: usize = 8;
/// Bytes that are read at once. Most clients say little, and there are many of them.
const READ: usize = 8_192;
/// The longest reason of a close frame (RFC 6455, 5.5).
const MAX_REASON: usize = 123;

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Answers the request for a WebSocket, and serves the connection.
pub fn answer(edge: &Edge, parts: &mut Parts) -> HttpResponse {
    let opening = match handshake::read(parts) {
        Ok(opening) => opening,
        Err(refusal) => return *refusal,
    };
    let agreed = opening.agreed;
    let connection = {
        let (edge, credentials) = (edge.clone(), Credentials::of(&parts.headers));
        async move {
            match opening.upgrade.await {
                Ok(upgraded) => serve(&edge, credentials, upgraded, agreed).await,
                Err(error) => tracing::debug!(%error, "a connection did not become a WebSocket"),
            }
        }
    };
    let caller = quota::caller().unwrap_or_else(|| Caller::at(None));
    edge.cx().tasks().spawn(quota::within(caller, connection).in_current_span());
    opening.response
}

/// Why a connection ends.
#[derive(Debug)]
pub enum End {
    /// The client went away.
    Gone,
    /// The client said that it closes.
    Closed,
    /// We say why.
    Close(CloseFrame),
    /// What came was no WebSocket message: we say why, and can read no more.
    Broken(CloseFrame),
}

/// A frame that says why, in as many bytes as it may have.
fn frame(code: u16, reason: &str) -> CloseFrame {
    let end = reason.floor_char_boundary(MAX_REASON);
    CloseFrame { code: code.into(), reason: Utf8Bytes::from(&reason[..end]) }
}

fn close(code: u16, reason: &str) -> End {
    End::Close(frame(code, reason))
}

/// What runs on one connection.
#[derive(Debug, Default)]
pub struct Running {
    /// By the client's id: our number of it, and its task, which ends with this.
    operations: HashMap<Arc<str>, (u64, AbortOnDropHandle<()>)>,
    /// The server stops: nothing begins any more, and the connection ends with the last operation.
    stopping: bool,
}

fn lock(running: &Mutex<Running>) -> MutexGuard<'_, Running> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The end of a connection whose server stops.
fn stopped() -> End {
    close(1001, "The server is stopping")
}

async fn serve(edge: &Edge, credentials: Credentials, upgraded: Upgraded, agreed: bool) {
    let limit = edge.cx().config().socket.message_bytes;
    let config = WebSocketConfig::default()
        .read_buffer_size(READ)
        .write_buffer_size(0)
        .max_message_size(Some(limit))
        .max_frame_size(Some(limit));
    let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
    let end =
        if agreed { converse(edge, credentials, &mut socket).await } else { close(4406, "Subprotocol not acceptable") };
    // A client that does not close is left.
    let _ = tokio::time::timeout(GOODBYE, say_goodbye(socket, end)).await;
}

async fn converse(edge: &Edge, credentials: Credentials, socket: &mut Socket) -> End {
    let (sink, stream) = socket.split();
    let (post, letters) = mpsc::channel(WAITING);
    let running = Mutex::default();
    tokio::select! {
        end = Inbox::new(edge.clone(), credentials, post, &running).listen(stream) => end,
        end = outbox::tell(sink, letters, &running, edge.cx().config().socket.ping) => end,
    }
}

/// Lets both sides close: without an answer to its close, or with a reset behind ours, a client takes the end of the
/// connection for a failure (RFC 6455, 7.1.1).
async fn say_goodbye(mut socket: Socket, end: End) {
    let (frame, readable) = match end {
        End::Gone => return,
        End::Closed => (None, true),
        End::Close(frame) => (Some(frame), true),
        End::Broken(frame) => (Some(frame), false),
    };
    if let Some(frame) = frame
        && socket.send(Message::Close(Some(frame))).await.is_err()
    {
        return;
    }
    if readable {
        // Reading sends the answer to a close, and takes what is still under way.
        while let Some(Ok(_)) = socket.next().await {}
        return;
    }
    let mut raw = socket.into_inner();
    let mut unread = [0; READ];
    if raw.shutdown().await.is_ok() {
        while raw.read(&mut unread).await.is_ok_and(|bytes| bytes > 0) {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_cut_between_characters() {
        assert_eq!(frame(4400, "short").reason.as_str(), "short");
        let long = frame(4400, &"é".repeat(100));
        assert_eq!(long.reason.as_str(), "é".repeat(61));
        assert_eq!(frame(4400, &"a".repeat(124)).reason.len(), 123);
    }
}
