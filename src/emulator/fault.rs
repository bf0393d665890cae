//! A fault: which calls it meets, how often it happens, and what becomes of them.
//!
//! It says two things that are independent, as they are in a network: whether the
//! request is applied (now, never, or later), and what the client hears (its answer,
//! another one, half of it, a reset, nothing).

use std::time::Duration;

use crate::emulator::call::Call;
use crate::emulator::contents;
use crate::emulator::operation::Operation;
use crate::emulator::refusal;
use crate::emulator::reply::JSON;
use crate::emulator::reply::Reply;

/// Which calls a fault meets: those that fulfil all that is set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scope {
    /// One of these operations; empty for any.
    pub operations: Vec<Operation>,
    /// The index of that name.
    pub index: Option<String>,
    /// The namespace of that name.
    pub namespace: Option<String>,
    /// That path, or those that begin with what stands before a final `*`.
    pub path: Option<String>,
    /// A call that names one of these ids; empty for any.
    pub ids: Vec<String>,
}

/// How often a fault happens to the calls that it meets.
#[derive(Debug, Clone, PartialEq)]
pub enum When {
    /// To the next ones.
    Calls {
        /// So many are let through before.
        skip: u64,
        /// So many times; `None` for ever.
        times: Option<u64>,
    },
    /// To each with this probability.
    Chance {
        /// From 0 to 1.
        probability: f64,
        /// The same seed meets the same calls.
        seed: u64,
    },
    /// To those that come faster than a bucket of tokens fills.
    Over {
        /// Tokens of a second.
        per_second: f64,
        /// Tokens that the bucket holds.
        burst: f64,
        /// Whether the answer says when to ask again.
        retry_after: bool,
    },
}

/// Whether a request is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Apply {
    /// Before it is answered.
    Now,
    /// Not at all.
    Never,
    /// So much later, whatever the client heard.
    Late(Duration),
}

/// What the client hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The request's own answer.
    Own,
    /// The first half of its own answer, and the end of the connection.
    Truncated,
    /// This.
    Canned(Reply),
    /// This status, with a body in the dress of the plane that was asked.
    Status {
        /// The HTTP status.
        status: u16,
        /// Headers beside it.
        headers: Vec<(String, String)>,
    },
    /// A reset of the connection.
    Reset,
    /// Nothing, until the faults are cleared or the client goes away.
    Stall,
}

/// A fault.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// Which calls it meets.
    pub scope: Scope,
    /// How often it happens.
    pub when: When,
    /// How long the call waits before anything else.
    pub delay: Duration,
    /// Whether the request is applied; `None` for what goes with the answer.
    pub apply: Option<Apply>,
    /// What the client hears.
    pub answer: Answer,
}

impl Fault {
    /// The next call of any operation.
    #[must_use]
    pub fn any() -> Self {
        Self {
            scope: Scope::default(),
            when: When::Calls { skip: 0, times: Some(1) },
            delay: Duration::ZERO,
            apply: None,
            answer: Answer::Own,
        }
    }

    /// The next call of `operation`.
    #[must_use]
    pub fn on(operation: Operation) -> Self {
        let mut fault = Self::any();
        fault.scope.operations.push(operation);
        fault
    }

    /// Also calls of `operation`.
    #[must_use]
    pub fn or_on(mut self, operation: Operation) -> Self {
        self.scope.operations.push(operation);
        self
    }

    /// Only calls to that index.
    #[must_use]
    pub fn index(mut self, name: &str) -> Self {
        self.scope.index = Some(name.to_owned());
        self
    }

    /// Only calls that name that namespace.
    #[must_use]
    pub fn namespace(mut self, name: &str) -> Self {
        self.scope.namespace = Some(name.to_owned());
        self
    }

    /// Only calls that name one of these ids.
    #[must_use]
    pub fn ids<'a>(mut self, ids: impl IntoIterator<Item = &'a str>) -> Self {
        self.scope.ids.extend(ids.into_iter().map(str::to_owned));
        self
    }

    /// So many times.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        let skip = if let When::Calls { skip, .. } = self.when { skip } else { 0 };
        self.when = When::Calls { skip, times: Some(times) };
        self
    }

    /// Every time.
    #[must_use]
    pub fn always(mut self) -> Self {
        let skip = if let When::Calls { skip, .. } = self.when { skip } else { 0 };
        self.when = When::Calls { skip, times: None };
        self
    }

    /// After so many calls.
    #[must_use]
    pub fn skip(mut self, skip: u64) -> Self {
        let times = if let When::Calls { times, .. } = self.when { times } else { Some(1) };
        self.when = When::Calls { skip, times };
        self
    }

    /// With a probability from 0 to 1; the same seed meets the same calls.
    #[must_use]
    pub fn chance(mut self, probability: f64, seed: u64) -> Self {
        self.when = When::Chance { probability, seed };
        self
    }

    /// To calls that come faster: 429, with or without the time to ask again.
    #[must_use]
    pub fn over(mut self, per_second: f64, burst: f64, retry_after: bool) -> Self {
        self.when = When::Over { per_second, burst, retry_after };
        self.status(429)
    }

    /// The call waits first.
    #[must_use]
    pub const fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Answers with a status; the request is not applied.
    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.answer = Answer::Status { status, headers: Vec::new() };
        self
    }

    /// One more header of that answer.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let Answer::Status { headers, .. } | Answer::Canned(Reply { headers, .. }) = &mut self.answer {
            headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// Answers with a body of one's own; the request is not applied.
    #[must_use]
    pub fn body(mut self, content_type: &str, body: &str) -> Self {
        if let Answer::Status { status, headers } = self.answer {
            let (content_type, body) = (content_type.to_owned(), body.to_owned().into());
            self.answer = Answer::Canned(Reply { status, headers, content_type, body });
        }
        self
    }

    /// Answers with a page of HTML, as a proxy would; the request is not applied.
    #[must_use]
    pub fn html(self, status: u16) -> Self {
        const PAGE: &str = "<html><head><title>Bad gateway</title></head><body><h1>Bad gateway</h1></body></html>";
        self.status(status).body("text/html", PAGE)
    }

    /// Resets the connection; the request is not applied.
    #[must_use]
    pub fn reset(mut self) -> Self {
        self.answer = Answer::Reset;
        self
    }

    /// Never answers; the request is not applied.
    #[must_use]
    pub fn stall(mut self) -> Self {
        self.answer = Answer::Stall;
        self
    }

    /// Answers with the first half; the request is applied.
    #[must_use]
    pub fn truncated(mut self) -> Self {
        self.answer = Answer::Truncated;
        self
    }

    /// The request is applied all the same, before the client hears anything.
    #[must_use]
    pub const fn applied(mut self) -> Self {
        self.apply = Some(Apply::Now);
        self
    }

    /// The request is applied so much later.
    #[must_use]
    pub const fn late(mut self, by: Duration) -> Self {
        self.apply = Some(Apply::Late(by));
        self
    }

    /// Whether the request is applied.
    #[must_use]
    pub fn applies(&self) -> Apply {
        self.apply.unwrap_or(match self.answer {
            Answer::Own | Answer::Truncated => Apply::Now,
            Answer::Canned(_) | Answer::Status { .. } | Answer::Reset | Answer::Stall => Apply::Never,
        })
    }

    /// Whether it is a fault of this call.
    #[must_use]
    pub fn meets(&self, call: &Call) -> bool {
        let Scope { operations, index, namespace, path, ids } = &self.scope;
        let at = |wanted: &str| match wanted.strip_suffix('*') {
            Some(start) => call.path.starts_with(start),
            None => call.path == wanted,
        };
        (operations.is_empty() || operations.contains(&call.operation))
            && index.as_ref().is_none_or(|index| *index == call.index)
            && path.as_deref().is_none_or(at)
            && namespace.as_deref().is_none_or(|name| call.named_space() == Some(contents::namespace(Some(name))))
            && (ids.is_empty() || call.ids().iter().any(|id| ids.iter().any(|own| own == id)))
    }
}

/// The reply of an injected status.
#[must_use]
pub fn injected(call: &Call, status: u16, headers: &[(String, String)]) -> Reply {
    let body = refusal::body_of(call.operation.plane(), status, "An injected fault");
    let body = if status == 204 { bytes::Bytes::new() } else { body.to_string().into() };
    Reply { status, headers: headers.to_vec(), content_type: JSON.to_owned(), body }
}
