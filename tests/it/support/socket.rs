//! A server on a real socket, and a client of graphql-transport-ws.

use std::net::SocketAddr;
use std::time::Duration;

use corpusd::server;
use futures_util::SinkExt as _;
use futures_util::StreamExt as _;
use serde_json::Value;
use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::MaybeTlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use crate::support::TestApp;

/// Far more than any answer takes: only a defect is this slow.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Serves the application on a free port.
#[expect(clippy::disallowed_methods, reason = "ends with the test's runtime")]
pub async fn serve(test: &TestApp) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let app = test.app.clone();
    tokio::spawn(async move {
        // Nobody asks it to stop.
        let (_asked, stop) = mpsc::channel(1);
        server::serve(app, listener, stop).await
    });
    address
}

/// A connection.
pub struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Socket {
    /// Connects with `protocol`, and says nothing yet.
    pub async fn open(address: SocketAddr, protocol: &str) -> Self {
        Self::open_with(address, protocol, None).await
    }

    /// The same with an `Authorization`.
    pub async fn open_with(address: SocketAddr, protocol: &str, authorization: Option<&str>) -> Self {
        let mut request = format!("ws://{address}/graphql").into_client_request().expect("a request");
        request.headers_mut().insert("sec-websocket-protocol", protocol.parse().expect("a header"));
        if let Some(authorization) = authorization {
            request.headers_mut().insert("authorization", authorization.parse().expect("a header"));
        }
        let (stream, _) = tokio_tungstenite::connect_async(request).await.expect("a WebSocket");
        Self { stream }
    }

    /// Connects without naming a protocol.
    pub async fn open_without_protocol(address: SocketAddr) -> Self {
        let request = format!("ws://{address}/graphql").into_client_request().expect("a request");
        let (stream, _) = tokio_tungstenite::connect_async(request).await.expect("a WebSocket");
        Self { stream }
    }

    /// Connects from a page of `origin`, if it may; else gives the status of the answer.
    pub async fn open_from(address: SocketAddr, origin: &str) -> Result<Self, u16> {
        let mut request = format!("ws://{address}/graphql").into_client_request().expect("a request");
        request.headers_mut().insert("origin", origin.parse().expect("a header"));
        match tokio_tungstenite::connect_async(request).await {
            Ok((stream, _)) => Ok(Self { stream }),
            Err(Error::Http(answer)) => Err(answer.status().as_u16()),
            Err(other) => panic!("{other}"),
        }
    }

    /// Connects and is acknowledged.
    pub async fn ready(address: SocketAddr) -> Self {
        let mut socket = Self::open(address, "graphql-transport-ws").await;
        socket.send(&json!({ "type": "connection_init" })).await;
        assert_eq!(socket.next().await, json!({ "type": "connection_ack" }));
        socket
    }

    pub async fn send(&mut self, message: &Value) {
        self.send_text(message.to_string()).await;
    }

    pub async fn send_text(&mut self, text: String) {
        self.stream.send(Message::Text(text.into())).await.expect("a message is taken");
    }

    /// Says something, whether the server is still there or not; gives whether it was.
    pub async fn try_send(&mut self, message: &Value) -> bool {
        self.stream.send(Message::Text(message.to_string().into())).await.is_ok()
    }

    /// Sends bytes that no client of WebSockets would.
    pub async fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).await.expect("bytes are taken");
    }

    /// Waits for so many pings, and answers each by waiting for the next.
    pub async fn pings(&mut self, count: usize) {
        for _ in 0..count {
            let message = tokio::time::timeout(PATIENCE, self.stream.next()).await.expect("a ping in time");
            let message = message.expect("the connection is open").expect("a frame");
            assert!(matches!(message, Message::Ping(_)), "{message:?}");
        }
    }

    /// Answers nothing, and waits until the server has gone without a word.
    pub async fn dropped(mut self) {
        let mut rest = Vec::new();
        let read = self.stream.get_mut().read_to_end(&mut rest);
        tokio::time::timeout(PATIENCE, read).await.expect("an end in time").expect("an end");
        // Close frames begin with this.
        assert!(!rest.contains(&0x88), "{rest:?}");
    }

    pub async fn subscribe(&mut self, id: &str, query: &str, variables: Value) {
        let payload = json!({ "query": query, "variables": variables });
        self.send(&json!({ "id": id, "type": "subscribe", "payload": payload })).await;
    }

    async fn message(&mut self) -> Message {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.stream.next()).await.expect("a message in time");
            let message = message.expect("the connection is open").expect("a frame");
            if !matches!(message, Message::Ping(_) | Message::Pong(_)) {
                return message;
            }
        }
    }

    /// The next message.
    pub async fn next(&mut self) -> Value {
        let message = self.message().await;
        let Message::Text(text) = message else { panic!("no text: {message:?}") };
        serde_json::from_str(&text).expect("a JSON message")
    }

    /// The data of the next message, which is an event of operation `id`.
    pub async fn event(&mut self, id: &str) -> Value {
        let message = self.next().await;
        assert_eq!((&message["type"], &message["id"]), (&json!("next"), &json!(id)), "{message}");
        message["payload"].clone()
    }

    /// Closes with this code, and gives the code of the server's answer.
    pub async fn close(&mut self, code: u16) -> u16 {
        let frame = CloseFrame { code: code.into(), reason: "done".into() };
        self.stream.send(Message::Close(Some(frame))).await.expect("a close is taken");
        self.closed().await.0
    }

    /// The code and the reason with which the server closes.
    pub async fn closed(&mut self) -> (u16, String) {
        let message = self.message().await;
        let Message::Close(Some(frame)) = message else { panic!("not closed: {message:?}") };
        (frame.code.into(), frame.reason.to_string())
    }
}
