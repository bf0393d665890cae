//! What the emulator knows, and the one place where it changes.
//!
//! A write is planned without any lock, decided and logged under the writer's, and made
//! under the state's: readers wait for memory only, never for the disk. What is made was
//! logged before, so an acknowledged write survives the process.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::RwLock;
use std::sync::RwLockReadGuard;
use std::time::Duration;

use crate::clock::Clock;
use crate::emulator::call::Call;
use crate::emulator::contents::Contents;
use crate::emulator::contents::Edit;
use crate::emulator::control;
use crate::emulator::journal::Journal;
use crate::emulator::namespaces;
use crate::emulator::operation::Operation;
use crate::emulator::project::Change;
use crate::emulator::project::Due;
use crate::emulator::project::Project;
use crate::emulator::project::Spec;
use crate::emulator::read;
use crate::emulator::refusal::Kind;
use crate::emulator::refusal::Refusal;
use crate::emulator::reply::Reply;
use crate::emulator::write;

/// A write that was read and checked, and waits to be decided.
pub type Plan = Box<dyn FnOnce(&Project) -> Result<Decided, Refusal> + Send>;

/// What a write does, and its answer.
#[derive(Debug)]
pub struct Decided {
    change: Option<Change>,
    /// The namespace whose number the answer bears.
    numbered: Option<(String, String)>,
    reply: Reply,
}

impl Decided {
    /// A change of the control plane.
    #[must_use]
    pub const fn index(change: Change, reply: Reply) -> Self {
        Self { change: Some(change), numbered: None, reply }
    }

    /// An edit of a namespace, or nothing to do there.
    #[must_use]
    pub fn edit(index: String, namespace: String, edit: Option<Edit>, reply: Reply) -> Self {
        let numbered = Some((index.clone(), namespace.clone()));
        Self { change: edit.map(|edit| Change::Edit { index, namespace, edit }), numbered, reply }
    }
}

/// How a request is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Terms {
    /// Whether a read sees only what is no longer hidden.
    pub lagging: bool,
    /// How long a write stays hidden from reads that lag.
    pub due: Option<Due>,
    /// How long a new index takes to be ready.
    pub ready_after: Duration,
}

/// What the emulator knows.
#[derive(Debug)]
pub struct Backend {
    clock: Clock,
    project: RwLock<Project>,
    /// Held by who writes; without a folder there is no journal in it.
    writer: Mutex<Option<Journal>>,
}

impl Backend {
    /// In memory, or beside a journal with what it tells.
    #[must_use]
    pub fn new(clock: &Clock, project: Project, journal: Option<Journal>) -> Self {
        Self { clock: clock.clone(), project: RwLock::new(project), writer: Mutex::new(journal) }
    }

    /// What there is.
    pub fn project(&self) -> RwLockReadGuard<'_, Project> {
        self.project.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries a request out. It blocks: on the disk, and for a search over many records.
    #[must_use]
    pub fn run(&self, call: &Call, terms: Terms) -> Reply {
        let write = |plan: Result<Plan, Refusal>| plan.and_then(|plan| self.write(plan, terms));
        let outcome = match call.operation {
            Operation::ListIndexes => Ok(control::list(call, &self.project())),
            Operation::DescribeIndex => control::describe(call, &self.project()),
            Operation::CreateIndex => write(control::create(call)),
            Operation::ConfigureIndex => write(control::configure(call)),
            Operation::DeleteIndex => write(Ok(control::delete(call))),
            Operation::Upsert => write(write::upsert(call)),
            Operation::Update => write(write::update(call)),
            Operation::Delete => write(write::delete(call)),
            Operation::CreateNamespace => write(namespaces::create(call)),
            Operation::DeleteNamespace => write(Ok(namespaces::delete(call))),
            Operation::Query => self.read(call, terms, read::query),
            Operation::Fetch => self.read(call, terms, |call, _, seen| read::fetch(call, seen)),
            Operation::FetchByMetadata => self.read(call, terms, |call, _, seen| read::fetch_by_metadata(call, seen)),
            Operation::List => self.read(call, terms, |call, _, seen| read::list(call, seen)),
            Operation::Stats => self.read(call, terms, read::stats),
            Operation::ListNamespaces => self.read(call, terms, |call, _, seen| namespaces::list(call, seen)),
            Operation::DescribeNamespace => self.read(call, terms, |call, _, seen| namespaces::describe(call, seen)),
            Operation::ControlMissing | Operation::DataMissing => {
                Err(Refusal::new(Kind::Unimplemented, format!("{} is not emulated", call.path)))
            }
            Operation::Unknown => {
                Err(Refusal::new(Kind::NotFound, format!("No such route: {} {}", call.method, call.path)))
            }
        };
        outcome.unwrap_or_else(|refusal| Reply::refused(&refusal, call.operation.plane()))
    }

    fn read(
        &self,
        call: &Call,
        terms: Terms,
        how: impl FnOnce(&Call, &Spec, &Contents) -> Result<Reply, Refusal>,
    ) -> Result<Reply, Refusal> {
        let project = self.project();
        let index = project.ready(&call.index)?;
        how(call, &index.spec, index.seen(terms.lagging))
    }

    fn write(&self, plan: Plan, terms: Terms) -> Result<Reply, Refusal> {
        // Until the answer is made nobody else writes.
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let Decided { change, numbered, reply } = plan(&self.project())?;
        if let Some(change) = change {
            if let Some(journal) = writer.as_mut() {
                journal.append(&change).map_err(|error| {
                    tracing::error!(%error, "a write could not be logged, and was not made");
                    Refusal::new(Kind::Unavailable, "The write could not be stored")
                })?;
            }
            let mut project = self.project.write().unwrap_or_else(PoisonError::into_inner);
            project.apply(&change, self.clock.monotonic() + terms.ready_after, terms.due);
        }
        Ok(match numbered {
            Some((index, namespace)) => {
                let project = self.project();
                reply.written(project.indexes.get(&index).map_or(0, |index| index.contents.lsn(&namespace)))
            }
            None => reply,
        })
    }

    /// Makes an index, without a request.
    pub fn create(&self, spec: Spec) {
        let change = Change::Index(spec);
        let missing = |project: &Project| match &change {
            Change::Index(spec) => !project.indexes.contains_key(&spec.name),
            Change::Drop(_) | Change::Edit { .. } => false,
        };
        if missing(&self.project()) {
            let plan = Box::new(|_: &Project| Ok(Decided::index(change, Reply::text(201, ""))));
            if let Err(refusal) = self.write(plan, Terms::default()) {
                tracing::error!(message = refusal.message, "the index was not made");
            }
        }
    }

    /// Makes what is due visible to reads that lag, before a request to `index`.
    pub fn settle(&self, index: &str) {
        if self.project().lags() {
            let mut project = self.project.write().unwrap_or_else(PoisonError::into_inner);
            project.settle(self.clock.monotonic(), index);
        }
    }

    /// Lets every read see everything.
    pub fn reveal(&self) {
        self.project.write().unwrap_or_else(PoisonError::into_inner).reveal();
    }
}
