//! What is told to the client of a WebSocket, one message after the other.
//!
//! A long message goes out in fragments: the buffer of a connection never shrinks, and a client that asked for
//! megabytes once would cost them for as long as it stays.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use axum::body::Bytes;
use futures_util::Sink;
use futures_util::SinkExt as _;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio::time::MissedTickBehavior;
use tokio_tungstenite::tungstenite::Error as SocketError;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::Data;
use tokio_tungstenite::tungstenite::protocol::frame::coding::OpCode;

use crate::graphql::ws::End;
use crate::graphql::ws::Running;
use crate::graphql::ws::lock;
use crate::graphql::ws::operation::Step;
use crate::graphql::ws::stopped;

/// Bytes of one fragment.
const FRAGMENT: usize = 65_536;
/// A client that takes nothing, or says nothing, for so many pings is gone.
pub const SILENT_PINGS: u32 = 3;

/// What there is to tell.
#[derive(Debug)]
pub enum Letter {
    /// About the connection.
    Reply(String),
    /// About the operation of this number and id.
    Of(u64, Arc<str>, Step),
}

/// Tells what comes until the connection ends; asks the client every `ping` whether it is there.
pub async fn tell<S>(sink: S, mut letters: mpsc::Receiver<Letter>, running: &Mutex<Running>, ping: Duration) -> End
where
    S: Sink<Message, Error = SocketError> + Unpin,
{
    let mut line = Line { sink, patience: ping.saturating_mul(SILENT_PINGS) };
    let mut beat = tokio::time::interval_at(Instant::now() + ping, ping);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let told = tokio::select! {
            _ = beat.tick() => line.send(Message::Ping(Bytes::new())).await,
            Some(letter) = letters.recv() => match letter {
                Letter::Reply(text) => line.text(text).await,
                Letter::Of(number, id, step) => match due(running, number, &id, step) {
                    Some(text) => line.text(text).await,
                    None => Ok(()),
                },
            },
        };
        if let Err(end) = told {
            return end;
        }
        let running = lock(running);
        if running.stopping && running.operations.is_empty() {
            return stopped();
        }
    }
}

/// The message of a step, unless the client has completed the operation meanwhile, and perhaps begun another under
/// the same id.
fn due(running: &Mutex<Running>, number: u64, id: &str, step: Step) -> Option<String> {
    let mut running = lock(running);
    if running.operations.get(id).is_none_or(|(own, _)| *own != number) {
        return None;
    }
    match step {
        Step::Next(text) => Some(text),
        Step::Last(text) => {
            running.operations.remove(id);
            Some(text)
        }
        Step::Stopped => {
            running.operations.remove(id);
            None
        }
    }
}

struct Line<S> {
    sink: S,
    /// How long the client may take for what is sent at once.
    patience: Duration,
}

impl<S: Sink<Message, Error = SocketError> + Unpin> Line<S> {
    async fn send(&mut self, message: Message) -> Result<(), End> {
        match tokio::time::timeout(self.patience, self.sink.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(End::Gone),
        }
    }

    async fn text(&mut self, text: String) -> Result<(), End> {
        if text.len() <= FRAGMENT {
            return self.send(Message::Text(text.into())).await;
        }
        let whole = Bytes::from(text);
        let mut at = 0;
        while at < whole.len() {
            let end = whole.len().min(at + FRAGMENT);
            let kind = if at == 0 { Data::Text } else { Data::Continue };
            let frame = Frame::message(whole.slice(at..end), OpCode::Data(kind), end == whole.len());
            self.send(Message::Frame(frame)).await?;
            at = end;
        }
        Ok(())
    }
}
