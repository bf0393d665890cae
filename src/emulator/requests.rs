//! The request log: what came in, in order, so that a test can count and compare.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use tokio::sync::watch;
use xxhash_rust::xxh3::xxh3_64;

use crate::emulator::call;
use crate::emulator::call::Call;
use crate::emulator::operation::Operation;

/// Requests that are remembered.
const KEPT: usize = 100_000;
/// Bytes that they may take together, about.
const BYTES: usize = 32 << 20;
/// Bytes that a request takes beside its texts.
const FRAME: usize = 256;

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// Its number, from 1.
    pub number: u64,
    /// When it came, in microseconds since 1970.
    pub at_us: i64,
    /// What it asked for.
    pub operation: Operation,
    /// The method.
    pub method: String,
    /// The path as it was sent.
    pub path: String,
    /// The index it was for.
    pub index: String,
    /// The namespace it named.
    pub namespace: Option<String>,
    /// Its headers, without the key.
    pub headers: Vec<(String, String)>,
    /// The ids of records that it named, in their order.
    pub ids: Vec<String>,
    /// How long its body was.
    pub bytes: usize,
    /// A hash of the body.
    pub hash: u64,
    /// The number of the fault that met it.
    pub fault: Option<u64>,
    /// The status of its answer; `None` until it is answered, and when it never is.
    pub status: Option<u16>,
}

impl Logged {
    /// How much memory it takes, about.
    fn weight(&self) -> usize {
        let text = |text: &String| text.len() + size_of::<String>();
        let headers: usize = self.headers.iter().map(|(name, value)| text(name) + text(value)).sum();
        let ids: usize = self.ids.iter().map(text).sum();
        let rest = self.method.len() + self.path.len() + self.index.len();
        FRAME + rest + self.namespace.as_ref().map_or(0, String::len) + headers + ids
    }
}

#[derive(Debug, Default)]
struct Kept {
    count: u64,
    kept: VecDeque<Logged>,
    bytes: usize,
}

/// The request log.
#[derive(Debug, Default)]
pub struct Requests {
    kept: Mutex<Kept>,
    /// Counts its changes.
    changed: watch::Sender<u64>,
}

impl Requests {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a request down; gives its number.
    pub fn add(&self, call: &Call, at_us: i64, fault: Option<u64>) -> u64 {
        let mut logged = Logged {
            number: 0,
            at_us,
            operation: call.operation,
            method: call.method.clone(),
            path: call.path.clone(),
            index: call.index.clone(),
            namespace: call.named_space().map(str::to_owned),
            headers: call::loggable(&call.headers),
            ids: call.ids().into_iter().map(str::to_owned).collect(),
            bytes: call.size,
            hash: xxh3_64(&call.body),
            fault,
            status: None,
        };
        let mut inner = self.kept();
        inner.count += 1;
        let number = inner.count;
        logged.number = number;
        inner.bytes += logged.weight();
        inner.kept.push_back(logged);
        while (inner.kept.len() > KEPT || inner.bytes > BYTES)
            && let Some(oldest) = inner.kept.pop_front()
        {
            inner.bytes -= oldest.weight();
        }
        drop(inner);
        self.changed.send_modify(|times| *times += 1);
        number
    }

    /// Writes down how a request was answered.
    pub fn answered(&self, number: u64, status: u16) {
        let mut inner = self.kept();
        // Numbers are dense.
        let first = inner.kept.front().map_or(0, |first| first.number);
        let place = number.checked_sub(first).and_then(|place| usize::try_from(place).ok());
        if let Some(logged) = place.and_then(|place| inner.kept.get_mut(place)) {
            logged.status = Some(status);
        }
        drop(inner);
        self.changed.send_modify(|times| *times += 1);
    }

    /// Ends when the log fulfils `condition`.
    pub async fn until(&self, condition: impl Fn(&[Logged]) -> bool) {
        let mut changed = self.changed.subscribe();
        loop {
            changed.mark_unchanged();
            if condition(&self.all()) || changed.changed().await.is_err() {
                return;
            }
        }
    }

    /// All that are remembered, oldest first.
    #[must_use]
    pub fn all(&self) -> Vec<Logged> {
        self.kept().kept.iter().cloned().collect()
    }

    /// Forgets them; the numbers go on.
    pub fn clear(&self) {
        let mut inner = self.kept();
        inner.kept.clear();
        inner.bytes = 0;
    }
}
