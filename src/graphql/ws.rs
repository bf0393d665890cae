//! `/graphql` over a WebSocket, in the protocol graphql-transport-ws.
//!
//! A connection is one task. It asks an operation for its next event only after
//! the last message was taken by the socket, so a slow reader costs no memory.
//! Requests are read as over HTTP: the same numbers are refused in the same words.

use std::collections::HashMap;
use std::pin::Pin;
use std::time::Duration;

use async_graphql::Request;
use async_graphql::Response;
use async_graphql::ServerError;
use async_graphql::Value;
use axum::extract::WebSocketUpgrade;
use axum::extract::ws::CloseFrame;
use axum::extract::ws::Message;
use axum::extract::ws::Utf8Bytes;
use axum::extract::ws::WebSocket;
use axum::response::Response as HttpResponse;
use futures_util::Stream;
use futures_util::StreamExt as _;
use futures_util::stream;
use futures_util::stream::AbortHandle;
use futures_util::stream::SelectAll;
use serde::Serialize;
use tokio::time::Instant;

use crate::error::Code;
use crate::graphql::edge::Edge;
use crate::graphql::http::Answer;
use crate::graphql::http::refused;
use crate::graphql::value;
use crate::graphql::value::Malformed;
use crate::json::envelope;
use crate::parsing;

const PROTOCOL: &str = "graphql-transport-ws";
/// How long a client may take to say `connection_init`.
const INIT: Duration = Duration::from_secs(10);
/// How often a client is asked whether it is still there.
const PING: Duration = Duration::from_secs(30);
/// How long a client may be silent, or take no message, before it counts as gone.
const GONE: Duration = Duration::from_secs(90);
/// How long a client may take to close after we did.
const GOODBYE: Duration = Duration::from_secs(2);
/// How many operations one connection may have.
const MAX_OPERATIONS: usize = 100;

/// Answers the upgrade and serves the connection.
pub fn answer(edge: Edge, upgrade: WebSocketUpgrade) -> HttpResponse {
    let limit = edge.cx().config().limits.body_bytes;
    upgrade.protocols([PROTOCOL]).max_message_size(limit).max_frame_size(limit).on_upgrade(move |socket| async move {
        let agreed = socket.protocol().is_some();
        let mut connection =
            Connection { edge, socket, operations: SelectAll::new(), active: HashMap::new(), count: 0 };
        let end = if agreed { connection.serve().await } else { Err(close(4406, "Subprotocol not acceptable")) };
        connection.say_goodbye(end.err()).await;
    })
}

/// Why a connection ends.
enum End {
    /// The client went away.
    Gone,
    /// The client said that it closes.
    Closed,
    /// We say why.
    Close(CloseFrame),
}

fn close(code: u16, reason: &'static str) -> End {
    End::Close(CloseFrame { code, reason: reason.into() })
}

/// An event of operation `count` under the client's id; `None` is its end.
type Event = (u64, String, Option<Response>);

struct Connection {
    edge: Edge,
    socket: WebSocket,
    operations: SelectAll<Pin<Box<dyn Stream<Item = Event> + Send>>>,
    /// The running operations by the client's id.
    active: HashMap<String, (u64, AbortHandle)>,
    count: u64,
}

/// What we send.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Told<'a> {
    ConnectionAck,
    Pong,
    Next { id: &'a str, payload: Answer<'a> },
    Error { id: &'a str, payload: &'a [ServerError] },
    Complete { id: &'a str },
}

impl Connection {
    async fn serve(&mut self) -> Result<(), End> {
        let opened = Instant::now();
        let mut heard = opened;
        let mut ready = false;
        let mut ping = tokio::time::interval_at(opened + PING, PING);
        let edge = self.edge.clone();
        loop {
            tokio::select! {
                () = edge.cx().events().closed() => return Err(close(1001, "The server is stopping")),
                message = self.socket.recv() => {
                    heard = Instant::now();
                    match message {
                        None | Some(Err(_)) => return Err(End::Gone),
                        Some(Ok(Message::Close(_))) => return Err(End::Closed),
                        Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                        Some(Ok(Message::Binary(_))) => return Err(close(4400, "Messages are text")),
                        Some(Ok(Message::Text(text))) => ready = self.message(&text, ready).await?,
                    }
                }
                Some((count, id, event)) = self.operations.next() => self.event(count, &id, event).await?,
                () = tokio::time::sleep_until(opened + INIT), if !ready => {
                    return Err(close(4408, "Connection initialisation timeout"));
                }
                _ = ping.tick() => {
                    if heard.elapsed() > GONE {
                        return Err(End::Gone);
                    }
                    self.send(Message::Ping(bytes::Bytes::new())).await?;
                }
            }
        }
    }

    /// Lets both sides close: without an answer to its close, or with a reset behind ours, a client takes the end
    /// of the connection for a failure (RFC 6455, 7.1.1).
    async fn say_goodbye(&mut self, end: Option<End>) {
        let frame = match end {
            None | Some(End::Gone) => return,
            Some(End::Closed) => None,
            Some(End::Close(frame)) => Some(frame),
        };
        let goodbye = async {
            if let Some(frame) = frame
                && self.socket.send(Message::Close(Some(frame))).await.is_err()
            {
                return;
            }
            // Reading sends the answer to a close, and takes what is still under way.
            while let Some(Ok(_)) = self.socket.recv().await {}
        };
        // A client that does not close is left.
        let _ = tokio::time::timeout(GOODBYE, goodbye).await;
    }

    async fn send(&mut self, message: Message) -> Result<(), End> {
        match tokio::time::timeout(GONE, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(End::Gone),
        }
    }

    async fn tell(&mut self, told: &Told<'_>) -> Result<(), End> {
        match serde_json::to_string(told) {
            Ok(text) => self.send(Message::Text(text.into())).await,
            Err(error) => {
                tracing::error!(%error, "writing a message");
                Err(close(1011, "Internal Server Error"))
            }
        }
    }

    /// Takes one message; gives whether the connection is initialised after it.
    async fn message(&mut self, text: &Utf8Bytes, ready: bool) -> Result<bool, End> {
        let whole = text.clone();
        let read = parsing::read(text.len(), move || value::value(whole.as_bytes(), "")).await;
        let read = read.map_err(|error| {
            tracing::error!(cause = ?error, "reading a message");
            close(1011, "Internal Server Error")
        })?;
        // What is wrong within one operation is not about the connection: its envelope is read again.
        let mut reason = "Invalid message".to_owned();
        let (kind, id, payload) = match read {
            Ok(Value::Object(mut members)) => {
                let mut text_of = |name: &str| match members.swap_remove(name) {
                    Some(Value::String(text)) => Some(text),
                    _ => None,
                };
                (text_of("type"), text_of("id"), Ok(members.swap_remove("payload").unwrap_or_default()))
            }
            Err(malformed) => {
                if let Malformed::Request(told) = &malformed {
                    reason = format!("Invalid message: {told}");
                }
                let [kind, id] = envelope::strings_of(text.as_bytes(), ["type", "id"]).unwrap_or_default();
                (kind, id, Err(malformed))
            }
            Ok(_) => (None, None, Err(Malformed::Request("A message is an object".to_owned()))),
        };
        match (kind.as_deref(), id) {
            (Some("connection_init"), None) if ready => Err(close(4429, "Too many initialisation requests")),
            (Some("connection_init"), None) => {
                self.tell(&Told::ConnectionAck).await?;
                Ok(true)
            }
            (Some("ping"), None) => {
                self.tell(&Told::Pong).await?;
                Ok(ready)
            }
            (Some("pong"), None) => Ok(ready),
            (Some("subscribe"), Some(_)) if !ready => Err(close(4401, "Unauthorized")),
            (Some("subscribe"), Some(id)) => {
                if self.active.contains_key(&id) {
                    let reason = format!("Subscriber for {} already exists", id.chars().take(40).collect::<String>());
                    return Err(End::Close(CloseFrame { code: 4409, reason: reason.into() }));
                }
                self.subscribe(id, text.len(), payload.and_then(value::from_value)).await?;
                Ok(ready)
            }
            (Some("complete"), Some(id)) => {
                if let Some((_, handle)) = self.active.remove(&id) {
                    handle.abort();
                }
                Ok(ready)
            }
            // Our sentences about JSON are short, as a reason has to be.
            _ => Err(End::Close(CloseFrame { code: 4400, reason: reason.into() })),
        }
    }

    /// Begins an operation that came in so many bytes.
    async fn subscribe(&mut self, id: String, bytes: usize, request: Result<Request, Malformed>) -> Result<(), End> {
        let prepared = match request {
            Ok(_) if self.active.len() >= MAX_OPERATIONS => {
                let sentence = format!("At most {MAX_OPERATIONS} operations at a time on one connection");
                Err(refused(Code::BadUserInput, sentence, None))
            }
            Ok(request) => {
                let edge = self.edge.clone();
                let prepared = parsing::read(bytes, move || edge.prepare(request, bytes)).await;
                prepared.unwrap_or_else(|error| {
                    tracing::error!(cause = ?error, "reading a request");
                    Err(refused(Code::Internal, Code::Internal.row().title.to_owned(), None))
                })
            }
            Err(Malformed::Request(message)) => Err(refused(Code::BadUserInput, message, None)),
            Err(Malformed::Variable { path, reason }) => {
                let path = path.strip_prefix("payload.").unwrap_or(&path).to_owned();
                Err(refused(Code::BadUserInput, format!("{path}: {reason}"), Some(path)))
            }
        };
        let prepared = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return self.tell(&Told::Error { id: &id, payload: &[error] }).await,
        };
        self.count += 1;
        let count = self.count;
        let (events, handle) = stream::abortable(self.edge.stream(prepared));
        let end = stream::once(std::future::ready(None));
        let own = id.clone();
        self.operations.push(Box::pin(events.map(Some).chain(end).map(move |event| (count, own.clone(), event))));
        self.active.insert(id, (count, handle));
        Ok(())
    }

    async fn event(&mut self, count: u64, id: &str, event: Option<Response>) -> Result<(), End> {
        // The client has completed it, and perhaps begun another under the same id.
        if self.active.get(id).is_none_or(|(own, _)| *own != count) {
            return Ok(());
        }
        match event {
            None => {
                self.active.remove(id);
                self.tell(&Told::Complete { id }).await
            }
            // Refused before execution: an error ends the operation.
            Some(response)
                if response.data == Value::Null && response.errors.iter().any(|error| error.path.is_empty()) =>
            {
                if let Some((_, handle)) = self.active.remove(id) {
                    handle.abort();
                }
                self.tell(&Told::Error { id, payload: &response.errors }).await
            }
            Some(response) => self.tell(&Told::Next { id, payload: Answer(&response) }).await,
        }
    }
}
