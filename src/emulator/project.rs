//! The indexes of a project, what they are, and the changes that a log can keep.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::Clock;
use crate::config::Metric;
use crate::emulator::contents::Contents;
use crate::emulator::contents::Edit;
use crate::emulator::refusal;
use crate::emulator::refusal::Refusal;

/// Which vectors an index is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Dense ones, of one dimension.
    Dense {
        /// How many numbers they have.
        dimension: u32,
        /// Whether sparse vectors may stand beside them.
        sparse: bool,
    },
    /// Sparse ones only.
    Sparse,
}

/// What an index is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// Its name.
    pub name: String,
    /// Which vectors it is made for.
    pub kind: Kind,
    /// How it compares them.
    pub metric: Metric,
    /// Where it pretends to be.
    pub cloud: String,
    /// Where it pretends to be.
    pub region: String,
    /// Whether it is protected from deletion.
    pub protected: bool,
    /// What its owner wrote on it.
    pub tags: BTreeMap<String, String>,
}

/// When an edit is seen by reads that lag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// At that time of the monotonic clock.
    At(Duration),
    /// After so many more requests to the index.
    After(u64),
}

/// What reads that lag still see, and the edits that they do not see yet.
#[derive(Debug)]
struct Past {
    contents: Contents,
    hidden: VecDeque<(Due, String, Edit)>,
}

/// An index.
#[derive(Debug)]
pub struct Index {
    /// What it is.
    pub spec: Spec,
    /// What it holds.
    pub contents: Contents,
    /// When it is ready, on the monotonic clock.
    pub ready_at: Duration,
    past: Option<Past>,
}

/// All indexes, by name.
#[derive(Debug)]
pub struct Project {
    /// Indexes by name.
    pub indexes: BTreeMap<String, Index>,
    clock: Clock,
}

/// One change that is made as a whole.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// There is such an index, empty if it is new.
    Index(Spec),
    /// There is no such index.
    Drop(String),
    /// One edit of one namespace.
    Edit {
        /// Of that index.
        index: String,
        /// Of that namespace.
        namespace: String,
        /// What changes.
        edit: Edit,
    },
}

impl Index {
    /// What reads see: as it is, or as it was for those that lag.
    #[must_use]
    pub fn seen(&self, lagging: bool) -> &Contents {
        match &self.past {
            Some(past) if lagging => &past.contents,
            Some(_) | None => &self.contents,
        }
    }

    fn apply(&mut self, namespace: &str, edit: &Edit, due: Option<Due>) -> u64 {
        // Once something is hidden, what comes after it is too: edits are seen in their order.
        if due.is_some() || self.past.is_some() {
            let past =
                self.past.get_or_insert_with(|| Past { contents: self.contents.clone(), hidden: VecDeque::new() });
            past.hidden.push_back((due.unwrap_or(Due::After(0)), namespace.to_owned(), edit.clone()));
        }
        self.contents.apply(namespace, edit)
    }

    /// Lets lagging reads see what is due.
    fn settle(&mut self, now: Duration) {
        let Some(past) = &mut self.past else { return };
        while let Some((due, namespace, edit)) = past.hidden.pop_front() {
            let is_due = match due {
                Due::At(at) => at <= now,
                Due::After(requests) => requests == 0,
            };
            if !is_due {
                past.hidden.push_front((due, namespace, edit));
                return;
            }
            past.contents.apply(&namespace, &edit);
        }
        self.past = None;
    }
}

impl Project {
    /// No index yet.
    #[must_use]
    pub const fn new(clock: Clock) -> Self {
        Self { indexes: BTreeMap::new(), clock }
    }

    /// Whether an index takes requests.
    #[must_use]
    pub fn is_ready(&self, index: &Index) -> bool {
        index.ready_at <= self.clock.monotonic()
    }

    /// The index of that name, for a request of the data plane.
    ///
    /// # Errors
    /// When there is none, or it is not ready.
    pub fn ready(&self, name: &str) -> Result<&Index, Refusal> {
        match self.indexes.get(name) {
            Some(index) if self.is_ready(index) => Ok(index),
            Some(_) => Err(Refusal::new(refusal::Kind::Unavailable, format!("Index '{name}' is not ready"))),
            None => Err(Refusal::new(refusal::Kind::NotFound, format!("Index '{name}' not found"))),
        }
    }

    /// Makes a change; gives the number that an edit has in its namespace.
    pub fn apply(&mut self, change: &Change, ready_at: Duration, due: Option<Due>) -> u64 {
        match change {
            Change::Index(spec) => {
                if let Some(index) = self.indexes.get_mut(&spec.name) {
                    index.spec.clone_from(spec);
                } else {
                    let index = Index { spec: spec.clone(), contents: Contents::default(), ready_at, past: None };
                    self.indexes.insert(spec.name.clone(), index);
                }
                0
            }
            Change::Drop(name) => {
                self.indexes.remove(name);
                0
            }
            Change::Edit { index, namespace, edit } => {
                self.indexes.get_mut(index).map_or(0, |index| index.apply(namespace, edit, due))
            }
        }
    }

    /// Whether some read would not see everything.
    #[must_use]
    pub fn lags(&self) -> bool {
        self.indexes.values().any(|index| index.past.is_some())
    }

    /// Lets lagging reads see what is due, before a request to `index` counts.
    pub fn settle(&mut self, now: Duration, index: &str) {
        for index in self.indexes.values_mut() {
            index.settle(now);
        }
        if let Some(Index { past: Some(past), .. }) = self.indexes.get_mut(index) {
            for (due, ..) in &mut past.hidden {
                if let Due::After(requests) = due {
                    *requests = requests.saturating_sub(1);
                }
            }
        }
    }

    /// Lets every read see everything.
    pub fn reveal(&mut self) {
        for index in self.indexes.values_mut() {
            index.past = None;
        }
    }
}
