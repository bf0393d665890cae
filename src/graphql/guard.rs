//! What a document may cost before anybody works on it.
//!
//! Parsing nests as deep as the text does, and several rules of validation unfold
//! every fragment at every spread: both are bounded here, in time linear in the
//! text. First the text's size and nesting, see [`text`], then, on the parsed
//! [`document`], what it holds and what it unfolds to. A document that passes is
//! cheap to validate.

pub mod document;
pub mod text;

use async_graphql::Pos;
use async_graphql::ServerError;

use crate::graphql::error;

/// What has a limit, and the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// What is limited, as `extensions.of` names it: `depth`.
    pub of: &'static str,
    /// The most of it.
    pub most: u64,
}

/// Why a document is not looked at any further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    /// A sentence.
    pub message: String,
    /// Where, when it is at one place.
    pub at: Option<Pos>,
    /// The limit it is over, when it is over one.
    pub over: Option<Limit>,
    /// What it would cost, when that was reckoned.
    pub cost: Option<u64>,
}

impl Flaw {
    /// A document that breaks a rule.
    #[must_use]
    pub const fn new(message: String, at: Option<Pos>) -> Self {
        Self { message, at, over: None, cost: None }
    }

    /// A document that is over a limit.
    #[must_use]
    pub fn over(of: &'static str, most: impl TryInto<u64>, message: String, at: Option<Pos>) -> Self {
        let over = Some(Limit { of, most: most.try_into().unwrap_or(u64::MAX) });
        Self { over, ..Self::new(message, at) }
    }

    /// The error that tells it, with the code `code`.
    #[must_use]
    pub fn told(self, code: &str) -> ServerError {
        let mut told = ServerError::new(self.message, self.at);
        let extensions = told.extensions.get_or_insert_default();
        extensions.set("code", code);
        if let Some(Limit { of, most }) = self.over {
            extensions.set("of", of);
            extensions.set("limit", most);
        }
        if let Some(cost) = self.cost {
            extensions.set("cost", cost);
        }
        error::shorten(&mut told);
        told
    }
}
