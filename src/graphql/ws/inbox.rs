//! What the client of a WebSocket says, message by message.
//!
//! Requests are read as over HTTP: the same numbers are refused in the same words. What is wrong within one operation
//! ends that operation, what is wrong with the connection closes it with the protocol's code.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::Mutex;

use async_graphql::Value;
use futures_util::FutureExt as _;
use futures_util::Stream;
use futures_util::StreamExt as _;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Error as SocketError;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_tungstenite::tungstenite::error::CapacityError;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use crate::config::SocketConfig;
use crate::credentials::Credentials;
use crate::error::Code;
use crate::graphql::edge::Edge;
use crate::graphql::http::refused;
use crate::graphql::value;
use crate::graphql::value::Malformed;
use crate::graphql::ws::End;
use crate::graphql::ws::Running;
use crate::graphql::ws::close;
use crate::graphql::ws::entrance;
use crate::graphql::ws::frame;
use crate::graphql::ws::lock;
use crate::graphql::ws::operation::Operation;
use crate::graphql::ws::outbox::Letter;
use crate::graphql::ws::outbox::SILENT_PINGS;
use crate::graphql::ws::stopped;
use crate::json::envelope;
use crate::parsing;
use crate::quota;
use crate::quota::Caller;

/// Bytes of an operation's id, which comes back with each of its messages.
const MAX_ID: usize = 256;

/// The half of a connection that listens.
#[derive(Debug)]
pub struct Inbox<'a> {
    /// Once it is ready, that of the one who was let in.
    edge: Edge,
    /// Those of the handshake.
    credentials: Credentials,
    post: mpsc::Sender<Letter>,
    running: &'a Mutex<Running>,
    /// How many operations there were.
    count: u64,
    /// Whether the client has said `connection_init`.
    ready: bool,
}

/// A message that was read.
struct Said {
    kind: Option<String>,
    id: Option<String>,
    payload: Result<Value, Malformed>,
    /// What is wrong with the message, where nothing better can be said.
    reason: String,
}

impl<'a> Inbox<'a> {
    /// A connection of which nothing was heard yet.
    #[must_use]
    pub const fn new(
        edge: Edge,
        credentials: Credentials,
        post: mpsc::Sender<Letter>,
        running: &'a Mutex<Running>,
    ) -> Self {
        Self { edge, credentials, post, running, count: 0, ready: false }
    }

    /// Takes what comes until the connection ends.
    pub async fn listen(mut self, stream: impl Stream<Item = Result<Message, SocketError>> + Unpin) -> End {
        match self.hear(stream).await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    fn config(&self) -> &SocketConfig {
        &self.edge.cx().config().socket
    }

    async fn hear(
        &mut self,
        mut stream: impl Stream<Item = Result<Message, SocketError>> + Unpin,
    ) -> Result<Infallible, End> {
        let opened = Instant::now();
        let mut heard = opened;
        let mut stopping = false;
        let mut lapsed = std::future::pending().boxed();
        loop {
            // Who is there answers our pings.
            let silence = self.config().ping.saturating_mul(SILENT_PINGS);
            let until = if self.ready { heard + silence } else { opened + self.config().init };
            let message = tokio::select! {
                () = self.edge.cx().events().closed(), if !stopping => {
                    stopping = true;
                    let mut running = lock(self.running);
                    running.stopping = true;
                    if running.operations.is_empty() {
                        return Err(stopped());
                    }
                    continue;
                }
                lapse = &mut lapsed => return Err(entrance::left(lapse)),
                message = tokio::time::timeout_at(until, stream.next()) => message,
            };
            let Ok(message) = message else {
                let end = if self.ready { End::Gone } else { close(4408, "Connection initialisation timeout") };
                return Err(end);
            };
            heard = Instant::now();
            match message {
                None => return Err(End::Gone),
                Some(Err(error)) => return Err(self.broken(&error)),
                Some(Ok(Message::Close(_))) => return Err(End::Closed),
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Binary(_))) => return Err(close(4400, "Invalid message: messages are text")),
                Some(Ok(Message::Text(text))) => {
                    let was_ready = self.ready;
                    self.message(&text).await?;
                    if self.ready && !was_ready {
                        lapsed = self.edge.cx().lapsed();
                    }
                }
            }
        }
    }

    /// The end of a connection on which something came that is no message.
    fn broken(&self, error: &SocketError) -> End {
        match error {
            SocketError::Utf8(_) => End::Broken(frame(1007, "A message is no UTF-8")),
            SocketError::Capacity(CapacityError::MessageTooLong { .. }) => {
                let limit = self.config().message_bytes;
                End::Broken(frame(1009, &format!("A message has at most {limit} bytes")))
            }
            SocketError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => End::Gone,
            SocketError::Protocol(_) => End::Broken(frame(1002, "This is not the protocol of WebSockets")),
            SocketError::ConnectionClosed
            | SocketError::AlreadyClosed
            | SocketError::Io(_)
            | SocketError::Tls(_)
            | SocketError::Capacity(_)
            | SocketError::WriteBufferFull(_)
            | SocketError::AttackAttempt
            | SocketError::Url(_)
            | SocketError::Http(_)
            | SocketError::HttpFormat(_) => End::Gone,
        }
    }

    async fn reply(&self, text: String) -> Result<(), End> {
        self.post.send(Letter::Reply(text)).await.map_err(|_| End::Gone)
    }

    async fn read(text: &Utf8Bytes) -> Result<Said, End> {
        let whole = text.clone();
        let read = parsing::read(text.len(), move || value::value(whole.as_bytes(), "")).await;
        let read = read.map_err(|error| {
            tracing::error!(cause = ?error, "reading a message");
            close(1011, Code::Internal.row().title)
        })?;
        let mut reason = "Invalid message".to_owned();
        let (kind, id, payload) = match read {
            Ok(Value::Object(mut members)) => {
                let mut text_of = |name: &str| match members.swap_remove(name) {
                    Some(Value::String(text)) => Some(text),
                    _ => None,
                };
                (text_of("type"), text_of("id"), Ok(members.swap_remove("payload").unwrap_or_default()))
            }
            // What is wrong within one operation is not about the connection: its envelope is read again.
            Err(malformed) => {
                if let Malformed::Request(told) = &malformed {
                    reason = format!("Invalid message: {told}");
                }
                let [kind, id] = envelope::strings_of(text.as_bytes(), ["type", "id"]).unwrap_or_default();
                (kind, id, Err(malformed))
            }
            Ok(_) => (None, None, Err(Malformed::Request("A message is an object".to_owned()))),
        };
        Ok(Said { kind, id, payload, reason })
    }

    async fn message(&mut self, text: &Utf8Bytes) -> Result<(), End> {
        let Said { kind, id, payload, reason } = Self::read(text).await?;
        let plain = matches!(payload, Ok(Value::Null | Value::Object(_)));
        match (kind.as_deref(), id) {
            (Some("connection_init"), None) if self.ready => Err(close(4429, "Too many initialisation requests")),
            (Some("connection_init"), None) if plain => {
                let credentials = self.credentials.or(entrance::offered(&payload.unwrap_or_default()));
                let admitted = self.edge.admit(&credentials).await;
                self.edge = admitted.map_err(|error| entrance::turned_away(&error))?;
                self.ready = true;
                self.reply(r#"{"type":"connection_ack"}"#.to_owned()).await
            }
            (Some("ping"), None) if plain => self.reply(r#"{"type":"pong"}"#.to_owned()).await,
            (Some("pong"), None) if plain => Ok(()),
            (Some("subscribe"), Some(_)) if !self.ready => Err(close(4401, "Unauthorized")),
            (Some("subscribe"), Some(id)) if !id.is_empty() && id.len() <= MAX_ID => {
                self.subscribe(id, text.len(), payload).await
            }
            (Some("complete"), Some(id)) => {
                let mut running = lock(self.running);
                running.operations.remove(&*id);
                if running.stopping && running.operations.is_empty() { Err(stopped()) } else { Ok(()) }
            }
            _ => Err(close(4400, &reason)),
        }
    }

    /// Begins an operation that came in so many bytes.
    async fn subscribe(&mut self, id: String, bytes: usize, payload: Result<Value, Malformed>) -> Result<(), End> {
        let most = self.config().operations;
        let number = self.count;
        self.count += 1;
        let id: Arc<str> = id.into();
        {
            let mut running = lock(self.running);
            if running.stopping {
                // The client will ask again, elsewhere.
                return Ok(());
            }
            if running.operations.contains_key(&id) {
                return Err(close(4409, &format!("Subscriber for {id} already exists")));
            }
            if running.operations.len() < most {
                let (edge, post) = (self.edge.clone(), self.post.clone());
                let operation = Operation { edge, number, id: id.clone(), post };
                let caller = quota::caller().unwrap_or_else(|| Caller::at(None));
                let run = quota::within(caller, operation.run(bytes, payload.and_then(value::from_value)));
                let task = self.edge.cx().tasks().spawn(run.in_current_span());
                // Known before its first message can be told.
                running.operations.insert(id, (number, AbortOnDropHandle::new(task)));
                return Ok(());
            }
        }
        let sentence = format!("At most {most} operations at a time on one connection");
        let error = refused(Code::BadUserInput, sentence, None);
        self.reply(json!({ "type": "error", "id": &*id, "payload": [error] }).to_string()).await
    }
}
