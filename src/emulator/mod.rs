//! A server that speaks Pinecone's wire: control plane and data plane on one port.
//!
//! Clients of the service talk to it by changing an address: `corpusd emulate-pinecone`
//! for people, [`Emulator::start`] for tests. Search is exact, limits and refusals are
//! the service's, and what it does not have it says (501). It is a house of its own: it
//! stands beside the other edges and uses nothing of the corpus.
//!
//! What goes wrong can be asked for ([`Fault`]), and what came in can be read
//! ([`Emulator::requests`]).

mod backend;
mod call;
mod change;
mod connection;
mod contents;
mod control;
mod dialect;
mod fault;
mod faults;
mod frame;
mod journal;
mod limits;
mod meta;
mod metadata;
mod namespaces;
mod operation;
mod page;
mod plan;
mod project;
mod read;
mod record;
mod refusal;
mod reply;
mod requests;
mod route;
mod select;
mod wire;
mod write;

use std::collections::BTreeMap;
use std::fmt;
use std::future::IntoFuture as _;
use std::io;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::config::Metric;
use crate::config::Secret;
use crate::emulator::backend::Backend;
use crate::emulator::connection::Door;
use crate::emulator::connection::Peer;
use crate::emulator::frame::Inner;
use crate::emulator::frame::Server;
use crate::emulator::journal::Journal;
use crate::emulator::project::Project;

pub use crate::emulator::fault::Answer;
pub use crate::emulator::fault::Apply;
pub use crate::emulator::fault::Fault;
pub use crate::emulator::fault::Scope;
pub use crate::emulator::fault::When;
pub use crate::emulator::faults::Faults;
pub use crate::emulator::faults::Lag;
pub use crate::emulator::faults::LagBy;
pub use crate::emulator::journal::JournalError;
pub use crate::emulator::operation::Operation;
pub use crate::emulator::plan::Plan;
pub use crate::emulator::record::Record;
pub use crate::emulator::record::Sparse;
pub use crate::emulator::requests::Logged;

/// How long a stopping server waits for the answers that are under way.
const GRACE: Duration = Duration::from_secs(5);

/// How to start an emulator. The default is a free port of the loopback, in memory.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to listen; port 0 picks a free one.
    pub address: SocketAddr,
    /// The folder of a durable one.
    pub data: Option<PathBuf>,
    /// The one key that is let in; any but an empty one otherwise.
    pub api_key: Option<Secret>,
    /// Whether faults may be asked for over HTTP, and requests are written down.
    pub allow_faults: bool,
    /// What goes wrong from the beginning.
    pub plan: Plan,
    /// The time.
    pub clock: Clock,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            data: None,
            api_key: None,
            allow_faults: true,
            plan: Plan::default(),
            clock: Clock::system(),
        }
    }
}

/// Why an emulator did not start.
#[derive(Debug)]
pub enum StartError {
    /// The address cannot be had.
    Listen(SocketAddr, io::Error),
    /// The folder cannot be had.
    Data(JournalError),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(address, error) => write!(f, "cannot listen on {address}: {error}"),
            Self::Data(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for StartError {}

/// A running emulator. One that is forgotten stops accepting.
#[derive(Debug)]
pub struct Emulator {
    inner: Arc<Inner>,
    address: SocketAddr,
    closing: CancellationToken,
    tasks: TaskTracker,
}

impl Emulator {
    /// Starts one.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let Options { address, data, api_key, allow_faults, plan, clock } = options;
        let failed = |error| StartError::Listen(address, error);
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let (journal, project) = match data {
            None => (None, Project::new(clock.clone())),
            Some(folder) => {
                let (journal, project) = Journal::open(&folder, &clock).map_err(StartError::Data)?;
                (Some(journal), project)
            }
        };
        let inner = Arc::new(Inner {
            backend: Backend::new(&clock, project, journal),
            faults: Faults::new(&clock),
            requests: requests::Requests::default(),
            clock,
            api_key,
            allow_faults,
            base: (!address.ip().is_unspecified()).then(|| format!("http://{address}")),
            late: Mutex::default(),
        });
        plan.enforce(&inner.faults);
        let (closing, tasks) = (CancellationToken::new(), TaskTracker::new());
        let router = route::router(Server(inner.clone()));
        let serving = axum::serve(Door(listener), router.into_make_service_with_connect_info::<Peer>())
            .with_graceful_shutdown(closing.clone().cancelled_owned())
            .into_future();
        tasks.spawn(async move {
            if let Err(error) = serving.await {
                tracing::error!(%error, "the emulator cannot serve any more");
            }
        });
        tasks.close();
        Ok(Self { inner, address, closing, tasks })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://HOST:PORT`, the address of the control plane.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The address of an index's data plane.
    #[must_use]
    pub fn host(&self, index: &str) -> String {
        format!("{}/i/{index}", self.url())
    }

    /// What goes wrong.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.inner.faults
    }

    /// Adds a fault; gives its number.
    pub fn fault(&self, fault: Fault) -> u64 {
        self.inner.faults.add(fault)
    }

    /// Takes all faults back, and lets every read see everything.
    pub fn heal(&self) {
        self.inner.heal();
    }

    /// What came in, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<Logged> {
        self.inner.requests.all()
    }

    /// Ends when what came in fulfils `condition`.
    pub async fn until(&self, condition: impl Fn(&[Logged]) -> bool) {
        self.inner.requests.until(condition).await;
    }

    /// Forgets what came in.
    pub fn clear_requests(&self) {
        self.inner.requests.clear();
    }

    /// Lets every late write land now.
    pub fn land_late(&self) {
        self.inner.land(None);
    }

    /// How many late writes have not landed.
    #[must_use]
    pub fn late(&self) -> usize {
        self.inner.late.lock().unwrap_or_else(std::sync::PoisonError::into_inner).len()
    }

    /// What a namespace of an index really holds, whatever reads see.
    #[must_use]
    pub fn records(&self, index: &str, namespace: &str) -> BTreeMap<String, Arc<Record>> {
        let project = self.inner.backend.project();
        let index = project.indexes.get(index);
        let space = index.and_then(|index| index.contents.spaces.get(contents::namespace(Some(namespace))));
        space.map(|space| space.records.clone()).unwrap_or_default()
    }

    /// Makes a dense index, without a request; one of that name that is there stays as it is.
    pub fn create_index(&self, name: &str, dimension: u32, metric: Metric) {
        self.inner.backend.create(project::Spec {
            name: name.to_owned(),
            kind: project::Kind::Dense { dimension, sparse: metric == Metric::Dotproduct },
            metric,
            cloud: "aws".to_owned(),
            region: "us-east-1".to_owned(),
            protected: false,
            tags: BTreeMap::new(),
        });
    }

    /// Stops accepting, lets the calls go that wait by a fault, finishes what is under way and ends.
    /// Late writes that have not landed never do.
    pub async fn shutdown(self) {
        self.closing.cancel();
        self.inner.faults.clear();
        if tokio::time::timeout(GRACE, self.tasks.wait()).await.is_err() {
            tracing::warn!("some requests did not end in time and are given up");
        }
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.closing.cancel();
        self.inner.faults.release();
    }
}
