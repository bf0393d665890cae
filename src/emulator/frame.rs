//! The way of a request: read whole, let in, judged by the faults, carried out, answered.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use axum::RequestExt as _;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::extract::OriginalUri;
use axum::extract::RawPathParams;
use axum::extract::Request;
use axum::http::Response;
use axum::http::header;
use bytes::Bytes;
use futures_util::stream;

use crate::clock::Clock;
use crate::config::Secret;
use crate::emulator::backend::Backend;
use crate::emulator::backend::Terms;
use crate::emulator::call;
use crate::emulator::call::Call;
use crate::emulator::connection::Peer;
use crate::emulator::fault;
use crate::emulator::fault::Answer;
use crate::emulator::fault::Apply;
use crate::emulator::faults::Faults;
use crate::emulator::faults::Lag;
use crate::emulator::faults::LagBy;
use crate::emulator::operation::Operation;
use crate::emulator::project::Due;
use crate::emulator::refusal::Kind;
use crate::emulator::refusal::Refusal;
use crate::emulator::reply::Reply;
use crate::emulator::requests::Requests;

/// Everything that requests share.
#[derive(Debug, Clone)]
pub struct Server(pub Arc<Inner>);

/// Everything that requests share.
#[derive(Debug)]
pub struct Inner {
    /// What there is.
    pub backend: Backend,
    /// What goes wrong.
    pub faults: Faults,
    /// What came in.
    pub requests: Requests,
    /// The time.
    pub clock: Clock,
    /// The one key that is let in, or any.
    pub api_key: Option<Secret>,
    /// Whether faults may be asked for over HTTP, and requests are written down.
    pub allow_faults: bool,
    /// `http://HOST:PORT`; `None` when every address is listened on, and the client knows better.
    pub base: Option<String>,
    /// Writes that will land later, and when.
    pub late: Mutex<Vec<(Duration, Arc<Call>)>>,
}

impl Inner {
    /// Lets writes land whose time has come; all of them when there is no time.
    pub fn land(&self, now: Option<Duration>) {
        loop {
            let next = {
                let mut late = self.late.lock().unwrap_or_else(PoisonError::into_inner);
                let due = late.iter().enumerate().filter(|(_, (at, _))| now.is_none_or(|now| *at <= now));
                let first = due.min_by_key(|(place, (at, _))| (*at, *place)).map(|(place, _)| place);
                first.map(|place| late.remove(place))
            };
            let Some((_, call)) = next else { return };
            let reply = self.backend.run(&call, self.terms(&call));
            tracing::debug!(path = call.path, status = reply.status, "a late write landed");
        }
    }

    /// Takes all faults back; every read sees everything. Late writes go on being late.
    pub fn heal(&self) {
        self.faults.clear();
        self.backend.reveal();
    }

    fn terms(&self, call: &Call) -> Terms {
        let (lag, ready_after, _) = self.faults.settings();
        let Some(Lag { by, operations }) = lag else { return Terms { lagging: true, due: None, ready_after } };
        let due = match by {
            LagBy::Time(by) => Due::At(self.clock.monotonic() + by),
            LagBy::Requests(requests) => Due::After(requests),
        };
        let lagging = operations.is_empty() || operations.contains(&call.operation);
        Terms { lagging, due: Some(due), ready_after }
    }

    fn lets_in(&self, call: &Call) -> bool {
        match (call.header("api-key"), &self.api_key) {
            (None, _) => false,
            (Some(given), None) => !given.is_empty(),
            (Some(given), Some(key)) => given == key.reveal(),
        }
    }

    /// What can be done without waiting for anything but the disk.
    fn carry_out(&self, call: &Call) -> Reply {
        self.land(Some(self.clock.monotonic()));
        self.backend.settle(&call.index);
        let reply = self.backend.run(call, self.terms(call));
        if reply.status == 413 && self.faults.settings().2 {
            return Reply { status: 400, ..reply };
        }
        reply
    }
}

/// Handles a request to `operation`.
pub async fn serve(server: Server, operation: Operation, request: Request) -> Response<Body> {
    let Some((call, peer)) = receive(&server.0, operation, request).await else {
        // Nobody waits for this.
        return Response::new(Body::empty());
    };
    let (call, inner) = (Arc::new(call), server.0.clone());
    // A fault that is taken back lets the calls go that wait by it.
    let released = inner.faults.released();
    tokio::pin!(released);
    let begun = {
        let (call, worker) = (call.clone(), inner.clone());
        blocking(move || {
            let verdict = worker.lets_in(&call).then(|| worker.faults.judge(&call));
            let fault = verdict.as_ref().and_then(|verdict| verdict.fault);
            let number = worker.allow_faults.then(|| worker.requests.add(&call, worker.clock.now_us(), fault));
            (verdict, number)
        })
    };
    let Some((verdict, number)) = begun.await else { return broken(&inner, operation) };
    let answered = |status| {
        if let Some(number) = number {
            inner.requests.answered(number, status);
        }
    };
    let Some(verdict) = verdict else {
        answered(401);
        return finish(&inner, Reply::text(401, "Unauthorized"));
    };
    let mut let_go = false;
    if !verdict.delay.is_zero() {
        tokio::select! {
            () = tokio::time::sleep(verdict.delay) => {}
            () = &mut released => let_go = true,
        }
    }
    let own = match verdict.apply {
        Apply::Now => {
            let (call, worker) = (call.clone(), inner.clone());
            match blocking(move || worker.carry_out(&call)).await {
                Some(reply) => Some(reply),
                None => return broken(&inner, operation),
            }
        }
        Apply::Never => None,
        Apply::Late(by) => {
            let at = inner.clock.monotonic() + by;
            inner.late.lock().unwrap_or_else(PoisonError::into_inner).push((at, call.clone()));
            None
        }
    };
    let reply = match verdict.answer {
        Answer::Own | Answer::Truncated => own.unwrap_or_else(|| fault::injected(&call, 504, &[])),
        Answer::Canned(ref reply) => reply.clone(),
        Answer::Status { status, ref headers } => fault::injected(&call, status, headers),
        Answer::Reset => return reset(&peer),
        Answer::Stall => {
            if !let_go {
                released.await;
            }
            return reset(&peer);
        }
    };
    answered(reply.status);
    if verdict.answer == Answer::Truncated { truncated(&inner, reply) } else { finish(&inner, reply) }
}

/// Runs what blocks; `None` when it panicked.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Some(done),
        Err(error) => {
            tracing::error!(%error, "a request ended badly");
            None
        }
    }
}

fn broken(inner: &Inner, operation: Operation) -> Response<Body> {
    finish(inner, Reply::refused(&Refusal::new(Kind::Internal, "Internal error"), operation.plane()))
}

/// Reads a request; `None` when it does not come to its end.
async fn receive(inner: &Inner, operation: Operation, mut request: Request) -> Option<(Call, Peer)> {
    let ConnectInfo(peer) = request.extract_parts::<ConnectInfo<Peer>>().await.ok()?;
    let params = request.extract_parts::<RawPathParams>().await.ok();
    let param = |name: &str| {
        let found = params.iter().flatten().find(|(key, _)| *key == name);
        found.map_or_else(String::new, |(_, value)| value.to_owned())
    };
    let (index, space) = (param("index"), param("namespace"));
    // The nested router has taken its part away from the other one.
    let uri = request.extensions().get::<OriginalUri>().map_or_else(|| request.uri().clone(), |uri| uri.0.clone());
    let (parts, body) = request.into_parts();
    let (body, size, whole) = call::body(body).await;
    let host = || parts.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("127.0.0.1");
    let base = inner.base.clone().unwrap_or_else(|| format!("http://{}", host()));
    let call = Call {
        operation,
        method: parts.method.to_string(),
        path: uri.path().to_owned(),
        index,
        space,
        query: call::query(uri.query()),
        base,
        headers: parts.headers,
        body,
        size,
        json: std::sync::OnceLock::new(),
    };
    whole.then_some((call, peer))
}

fn finish(inner: &Inner, reply: Reply) -> Response<Body> {
    let body = reply.body.clone();
    reply.with("x-pinecone-request-id", &inner.clock.new_id()).response(Body::from(body))
}

/// The first half of a body that says it is whole.
fn truncated(inner: &Inner, reply: Reply) -> Response<Body> {
    let half: Bytes = reply.body.slice(..reply.body.len() / 2);
    let length = reply.body.len();
    let parts = stream::unfold(Some(half), |half| async move {
        match half {
            Some(half) if !half.is_empty() => Some((Ok(half), Some(Bytes::new()))),
            // What went before is sent only while the end is waited for.
            _ => {
                tokio::task::yield_now().await;
                Some((Err(std::io::Error::from(std::io::ErrorKind::ConnectionAborted)), None))
            }
        }
    });
    let reply = reply.with("content-length", &length.to_string()).with("x-pinecone-request-id", &inner.clock.new_id());
    reply.response(Body::from_stream(parts))
}

/// Any answer at all: the connection is reset before its first byte.
fn reset(peer: &Peer) -> Response<Body> {
    peer.cut();
    Response::new(Body::empty())
}
