//! Why a request is refused, in the two dresses that the service has.
//!
//! The control plane names its codes (`{"status":404,"error":{"code":"NOT_FOUND",…}}`),
//! the data plane numbers them as gRPC does (`{"code":5,"message":…,"details":[]}`).

use crate::emulator::operation::Plane;
use crate::emulator::wire::object;
use crate::emulator::wire::text;
use crate::emulator::wire::whole;
use crate::json::Json;

/// The kind of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Something in the request breaks a rule.
    Invalid,
    /// A message that is longer than any may be, as gRPC says it.
    OutOfRange,
    /// A body that is longer than any may be.
    TooLarge,
    /// A body of the control plane that has not the shape of one.
    Unprocessable,
    /// No key, or another.
    Unauthenticated,
    /// Protected.
    Forbidden,
    /// As many as there may be.
    Quota,
    /// No such thing.
    NotFound,
    /// There already.
    Exists,
    /// Too often.
    Exhausted,
    /// Not part of this server.
    Unimplemented,
    /// A defect.
    Internal,
    /// Not now.
    Unavailable,
    /// Not in time.
    Deadline,
}

/// How a [`Kind`] is shown.
struct Row {
    /// The HTTP status.
    status: u16,
    /// gRPC's number.
    number: u8,
    /// The control plane's name.
    name: &'static str,
}

impl Kind {
    const ALL: [Self; 14] = [
        Self::Invalid,
        Self::OutOfRange,
        Self::TooLarge,
        Self::Unprocessable,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::Quota,
        Self::NotFound,
        Self::Exists,
        Self::Exhausted,
        Self::Unimplemented,
        Self::Internal,
        Self::Unavailable,
        Self::Deadline,
    ];

    const fn row(self) -> Row {
        let (status, number, name) = match self {
            Self::Invalid => (400, 3, "INVALID_ARGUMENT"),
            Self::OutOfRange => (400, 11, "OUT_OF_RANGE"),
            Self::TooLarge => (413, 11, "OUT_OF_RANGE"),
            Self::Unprocessable => (422, 3, "UNPROCESSABLE_ENTITY"),
            Self::Unauthenticated => (401, 16, "UNAUTHENTICATED"),
            Self::Forbidden => (403, 7, "FORBIDDEN"),
            Self::Quota => (403, 7, "QUOTA_EXCEEDED"),
            Self::NotFound => (404, 5, "NOT_FOUND"),
            Self::Exists => (409, 6, "ALREADY_EXISTS"),
            Self::Exhausted => (429, 8, "RESOURCE_EXHAUSTED"),
            Self::Unimplemented => (501, 12, "UNIMPLEMENTED"),
            Self::Internal => (500, 13, "INTERNAL"),
            Self::Unavailable => (503, 14, "UNAVAILABLE"),
            Self::Deadline => (504, 4, "DEADLINE_EXCEEDED"),
        };
        Row { status, number, name }
    }

    /// The kind that is shown with `status`; what has none of its own is unknown to both planes.
    #[must_use]
    pub fn of(status: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.row().status == status)
    }
}

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Which kind that is.
    pub kind: Kind,
    /// One sentence for the caller.
    pub message: String,
}

impl Refusal {
    /// A refusal of that kind.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// Something in the request breaks a rule.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, message)
    }

    /// The HTTP status.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.kind.row().status
    }

    /// The body, as `plane` dresses it.
    #[must_use]
    pub fn body(&self, plane: Plane) -> Json {
        let row = self.kind.row();
        dress(plane, row.status, row.number, row.name, &self.message)
    }
}

/// A body for any status, as `plane` dresses it.
#[must_use]
pub fn body_of(plane: Plane, status: u16, message: &str) -> Json {
    match Kind::of(status) {
        Some(kind) => Refusal::new(kind, message).body(plane),
        None => dress(plane, status, 2, "UNKNOWN", message),
    }
}

fn dress(plane: Plane, status: u16, number: u8, name: &str, message: &str) -> Json {
    match plane {
        Plane::Control => {
            object([("status", whole(status)), ("error", object([("code", text(name)), ("message", text(message))]))])
        }
        Plane::Data => {
            object([("code", whole(number)), ("message", text(message)), ("details", Json::Array(Vec::new()))])
        }
    }
}
