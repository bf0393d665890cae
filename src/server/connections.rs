//! Who is connected: how many at a time, and each for as long as it may stay.
//!
//! A connection more than there are seats for is served from a few spare ones, where it is told at once that there
//! are too many, and health is still answered; those that find no spare one wait in the system's queue.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::pin::pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::body::Bytes;
use axum::extract::ConnectInfo;
use hyper::body::Frame;
use hyper::body::Incoming;
use hyper::body::SizeHint;
use hyper::server::conn::http1;
use hyper::service::Service as _;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::server::line::Line;
use crate::server::line::Patience;
use crate::server::line::Pulse;
use crate::server::line::Request;
use crate::service::Ctx;

/// Connections that are told that there are too many.
const SPARE: usize = 64;
/// Bytes of a request's head: a query string of GraphQL, and headers.
const HEAD: usize = 131_072;
/// How long to wait when the system gives no connection: something has to be closed first.
const BREATH: Duration = Duration::from_millis(100);
/// Files that are open beside connections.
const OTHER_FILES: usize = 256;

/// A request that came over a connection that is one too many.
#[derive(Debug, Clone, Copy)]
pub struct Crowded;

/// Accepts connections until `closing`; each is a task that the context knows, and ends with what is under way on it.
pub async fn serve(listener: TcpListener, router: Router, cx: Ctx, closing: CancellationToken) {
    let config = &cx.config().http;
    let seats = Arc::new(Semaphore::new(seats(config.connections)));
    let spare = Arc::new(Semaphore::new(SPARE));
    let patience = Patience { head: config.head, idle: config.idle, write: config.write };
    loop {
        let (stream, peer) = tokio::select! {
            accepted = accept(&listener) => accepted,
            () = closing.cancelled() => break,
        };
        let (seat, crowded) = tokio::select! {
            biased;
            Ok(seat) = seats.clone().acquire_owned() => (seat, None),
            Ok(seat) = spare.clone().acquire_owned() => (seat, Some(Crowded)),
            () = closing.cancelled() => break,
        };
        let connection = Connection { stream, peer, seat, crowded, patience, tasks: cx.tasks().clone() };
        cx.tasks().spawn(connection.serve(router.clone(), closing.clone()));
    }
}

/// As many connections as were asked for, or as the process can have open.
fn seats(wanted: usize) -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let files = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    let most = files.map_or(usize::MAX, |files| files.saturating_sub(OTHER_FILES).max(files / 2));
    if most < wanted {
        tracing::info!(
            connections = most,
            "fewer connections than CORPUSD_MAX_CONNECTIONS: the process may not open more files"
        );
    }
    wanted.min(most).min(Semaphore::MAX_PERMITS)
}

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) if is_of_connection(&error) => {}
            Err(error) => {
                tracing::error!(%error, "no connection can be accepted");
                tokio::time::sleep(BREATH).await;
            }
        }
    }
}

/// Whether the client went away before it was accepted.
fn is_of_connection(error: &io::Error) -> bool {
    use io::ErrorKind::ConnectionAborted;
    use io::ErrorKind::ConnectionRefused;
    use io::ErrorKind::ConnectionReset;
    [ConnectionAborted, ConnectionRefused, ConnectionReset].contains(&error.kind())
}

struct Connection {
    stream: TcpStream,
    peer: SocketAddr,
    seat: OwnedSemaphorePermit,
    crowded: Option<Crowded>,
    patience: Patience,
    tasks: TaskTracker,
}

impl Connection {
    async fn serve(self, router: Router, closing: CancellationToken) {
        let Self { stream, peer, seat, crowded, patience, tasks } = self;
        // Answers are written whole, and events are small.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection keeps its delay");
        }
        let pulse = Pulse::new(patience);
        let line = Line::new(stream, pulse.clone(), seat, tasks, closing.clone());
        let router = TowerToHyperService::new(router);
        let service = service_fn(|mut request: hyper::Request<Incoming>| {
            let under_way = pulse.begin();
            request.extensions_mut().insert(ConnectInfo(peer));
            if let Some(crowded) = crowded {
                request.extensions_mut().insert(crowded);
            }
            let answer = router.call(request);
            async move { Ok::<_, Infallible>(answer.await?.map(|body| Answer { body, _under_way: under_way })) }
        });
        let mut builder = http1::Builder::new();
        builder.max_header_size(HEAD).keep_alive(crowded.is_none());
        let mut served = pin!(builder.serve_connection(TokioIo::new(line), service).with_upgrades());
        let mut stopped = pin!(pulse.stopped());
        let mut ending = false;
        loop {
            tokio::select! {
                ended = &mut served => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "a connection broke");
                    }
                    return;
                }
                () = &mut stopped => {
                    tracing::debug!("a client let its connection wait too long");
                    return;
                }
                () = closing.cancelled(), if !ending => {
                    ending = true;
                    served.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

/// The body of an answer; with its last byte the request has ended.
struct Answer {
    body: Body,
    _under_way: Request,
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
