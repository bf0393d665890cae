//! One operation of a WebSocket, in a task of its own.
//!
//! It is asked for its next answer when the last one was taken over, so that whatever the client does, an operation
//! holds one answer. A query or a mutation is finished when the server stops; a subscription ends without `complete`,
//! so that the client asks again, elsewhere.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;

use async_graphql::Request;
use async_graphql::Response;
use async_graphql::ServerError;
use async_graphql::parser::types::OperationType;
use futures_util::FutureExt as _;
use futures_util::StreamExt as _;
use serde::Serialize;
use tokio::sync::mpsc;

use crate::capacity;
use crate::capacity::Place;
use crate::error::Code;
use crate::graphql::edge::Edge;
use crate::graphql::edge::Prepared;
use crate::graphql::http::Answer;
use crate::graphql::http::before_execution;
use crate::graphql::http::refused;
use crate::graphql::value::Malformed;
use crate::graphql::ws::outbox::Letter;
use crate::parsing;

/// What an operation has to tell.
#[derive(Debug)]
pub enum Step {
    /// An answer.
    Next(String),
    /// The message that ends it.
    Last(String),
    /// It has ended because the server stops.
    Stopped,
}

/// A message about an operation.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Told<'a> {
    Next { id: &'a str, payload: Answer<'a> },
    Error { id: &'a str, payload: &'a [ServerError] },
    Complete { id: &'a str },
}

/// An operation and the way to its client.
#[derive(Debug)]
pub struct Operation {
    /// What it is executed over.
    pub edge: Edge,
    /// Our number of it.
    pub number: u64,
    /// The client's name of it.
    pub id: Arc<str>,
    /// Where its messages go.
    pub post: mpsc::Sender<Letter>,
}

impl Operation {
    /// Runs the operation that came in so many bytes, to its end.
    pub async fn run(self, bytes: usize, request: Result<Request, Malformed>) {
        if AssertUnwindSafe(self.execute(bytes, request)).catch_unwind().await.is_err() {
            self.fail(refused(Code::Internal, Code::Internal.row().title.to_owned(), None)).await;
        }
    }

    async fn execute(&self, bytes: usize, request: Result<Request, Malformed>) {
        let prepared = self.prepare(bytes, request).await;
        // What cannot be executed was looked at all the same.
        if let Err(error) = self.edge.cx().charge(prepared.as_ref().map_or(1, Prepared::points)) {
            return self.fail(refused(error.code(), error.to_string(), None)).await;
        }
        let prepared = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return self.fail(error).await,
        };
        if prepared.kind() == Some(OperationType::Subscription) {
            return self.follow(prepared).await;
        }
        let place = Place::new(self.edge.cx().capacity());
        if place.enter().await.is_err() {
            return self.fail(refused(Code::Unavailable, capacity::BUSY.to_owned(), None)).await;
        }
        let answer = capacity::within(place, self.edge.execute(prepared)).await;
        if self.tell(&answer).await {
            self.complete().await;
        }
    }

    async fn prepare(&self, bytes: usize, request: Result<Request, Malformed>) -> Result<Prepared, ServerError> {
        let request = request.map_err(malformed)?;
        let edge = self.edge.clone();
        let prepared = parsing::read(bytes, move || edge.prepare(request, bytes)).await;
        prepared.unwrap_or_else(|error| {
            tracing::error!(cause = ?error, "reading a request");
            Err(refused(Code::Internal, Code::Internal.row().title.to_owned(), None))
        })
    }

    async fn follow(&self, prepared: Prepared) {
        let mut answers = pin!(self.edge.stream(prepared));
        let mut stopping = pin!(self.edge.cx().events().closed());
        loop {
            let answer = tokio::select! {
                () = &mut stopping => return self.send(Step::Stopped).await,
                answer = answers.next() => answer,
            };
            match answer {
                None => return self.complete().await,
                Some(answer) => {
                    if !self.tell(&answer).await {
                        return;
                    }
                }
            }
        }
    }

    /// Tells an answer; gives whether the operation goes on. What was not executed is told as an error, which ends it.
    async fn tell(&self, answer: &Response) -> bool {
        if before_execution(answer) {
            self.error(&answer.errors).await;
            return false;
        }
        let text = json(&Told::Next { id: &self.id, payload: Answer(answer) });
        let goes_on = text.is_ok();
        let step = text.map_or_else(|()| Step::Last(self.broken()), Step::Next);
        self.send(step).await;
        goes_on
    }

    async fn fail(&self, error: ServerError) {
        self.error(&[error]).await;
    }

    async fn error(&self, errors: &[ServerError]) {
        let text = json(&Told::Error { id: &self.id, payload: errors });
        self.send(Step::Last(text.unwrap_or_else(|()| self.broken()))).await;
    }

    async fn complete(&self) {
        let text = json(&Told::Complete { id: &self.id });
        self.send(Step::Last(text.unwrap_or_else(|()| self.broken()))).await;
    }

    async fn send(&self, step: Step) {
        // Nobody takes it once the connection is gone, and this task is ended then.
        let _ = self.post.send(Letter::Of(self.number, self.id.clone(), step)).await;
    }

    /// What is told when an answer cannot be written, which no answer of ours causes.
    fn broken(&self) -> String {
        let payload = [serde_json::json!({ "message": Code::Internal.row().title })];
        serde_json::json!({ "type": "error", "id": &*self.id, "payload": payload }).to_string()
    }
}

fn json(told: &Told<'_>) -> Result<String, ()> {
    serde_json::to_string(told).map_err(|error| tracing::error!(%error, "writing a message"))
}

/// The error of an operation whose request cannot be read.
fn malformed(malformed: Malformed) -> ServerError {
    match malformed {
        Malformed::Request(message) => refused(Code::BadUserInput, message, None),
        Malformed::Variable { path, reason } => {
            let path = path.strip_prefix("payload.").unwrap_or(&path).to_owned();
            refused(Code::BadUserInput, format!("{path}: {reason}"), Some(path))
        }
    }
}
