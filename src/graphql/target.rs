//! Targets: the vector indexes; and the server itself.

use async_graphql::Enum;
use async_graphql::Object;
use async_graphql::SimpleObject;

use crate::entity::sync_target;
use crate::error::Result;
use crate::graphql::coverage::SyncCoverage;
use crate::graphql::level::At;
use crate::graphql::level::Memo;
use crate::graphql::level::Row;
use crate::graphql::scalars::DateTime;
use crate::index;
use crate::service::Ctx;
use crate::service::targets;
use crate::store::slots;
use crate::store::slots::SyncedThrough;

/// What a level of targets remembers.
#[derive(Default)]
pub struct TargetMemo {
    through: Memo<i64, SyncedThrough>,
}

impl Row for sync_target::Model {
    type Memo = TargetMemo;
}

/// A vector index that the corpus is kept in step with.
pub struct Target(pub At<sync_target::Model>);

impl Target {
    async fn through(&self) -> Result<SyncedThrough> {
        let (level, id) = (&self.0.level, self.0.id);
        level.memo.through.get(id, || async { Ok(slots::synced_through(level.cx.read(), id).await?) }).await
    }

    /// Whether this is the index that the server talks to.
    fn is_served(&self) -> bool {
        self.0.id == self.0.level.cx.target_id()
    }
}

/// A vector index that the corpus is kept in step with.
#[Object]
impl Target {
    /// Its name here.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// What it is.
    async fn kind(&self) -> TargetKind {
        if self.0.kind == "pinecone" { TargetKind::Pinecone } else { TargetKind::Local }
    }

    /// The index's own name.
    async fn index(&self) -> &str {
        &self.0.level.cx.config().index.name
    }

    /// The namespace of documents that name none.
    async fn namespace(&self) -> &str {
        &self.0.level.cx.config().index.namespace
    }

    /// How many numbers its vectors have; null until the first one, unless it was set.
    async fn dimension(&self) -> Option<i64> {
        targets::dimension(&self.0.level.cx, &self.0)
    }

    /// How it compares vectors: `cosine`, `dotproduct` or `euclidean`.
    async fn metric(&self) -> &str {
        &self.0.metric
    }

    /// Whether it is written to.
    async fn state(&self) -> TargetState {
        match self.0.state.as_str() {
            "paused" => TargetState::Paused,
            "unreachable" => TargetState::Unreachable,
            _ => TargetState::Active,
        }
    }

    /// Why it is not.
    async fn reason(&self) -> Option<&str> {
        self.0.reason.as_deref()
    }

    /// Every change up to this corpus revision is in the index.
    async fn synced_through(&self) -> Result<String> {
        Ok(self.through().await?.revision.to_string())
    }

    /// Age of the oldest change that is not in the index, in seconds; 0 when there is none.
    async fn lag_seconds(&self) -> Result<f64> {
        Ok(self.through().await?.lag_seconds(self.0.level.cx.db().clock().now_ms()))
    }

    /// Records that an earlier request may still change.
    async fn in_doubt(&self) -> Result<i64> {
        Ok(self.through().await?.in_doubt)
    }

    /// How much of the corpus it holds.
    async fn coverage(&self) -> Result<SyncCoverage> {
        Ok(slots::coverage(self.0.level.cx.read(), self.0.id).await?.into())
    }

    /// Asked of the index itself; null when it does not answer.
    async fn stats(&self) -> Option<IndexStats> {
        if !self.is_served() {
            return None;
        }
        match self.0.level.cx.index().stats().await {
            Ok(stats) => Some(stats.into()),
            Err(error) => {
                tracing::warn!(%error, "the index did not tell its statistics");
                None
            }
        }
    }
}

/// What kind of index a target is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum TargetKind {
    /// The index inside this server.
    Local,
    /// A Pinecone index.
    Pinecone,
}

/// Whether a target is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum TargetState {
    /// It is.
    Active,
    /// Not until its settings are mended.
    Paused,
    /// It does not answer; tried again by itself.
    Unreachable,
}

/// What an index says of itself.
#[derive(Debug, Clone, SimpleObject)]
pub struct IndexStats {
    /// How many numbers its vectors have; 0 until it is known.
    dimension: i64,
    /// How many records it holds in all namespaces.
    total_vector_count: u64,
    /// From 0 to 1; 0 where it has no meaning.
    index_fullness: f64,
    /// By namespace.
    namespaces: Vec<NamespaceStats>,
}

/// How many records a namespace of the index holds.
#[derive(Debug, Clone, SimpleObject)]
pub struct NamespaceStats {
    /// The namespace.
    name: String,
    /// How many records it holds.
    vector_count: u64,
}

impl From<index::IndexStats> for IndexStats {
    fn from(stats: index::IndexStats) -> Self {
        Self {
            dimension: i64::from(stats.dimension),
            total_vector_count: stats.namespaces.iter().map(|(_, count)| count).sum(),
            index_fullness: stats.fullness,
            namespaces: stats
                .namespaces
                .into_iter()
                .map(|(name, vector_count)| NamespaceStats { name, vector_count })
                .collect(),
        }
    }
}

/// This server.
#[derive(Debug, Clone, SimpleObject)]
pub struct Server {
    /// `corpusd`
    name: &'static str,
    /// Its version.
    version: &'static str,
    /// The database behind it: `sqlite` or `postgresql`.
    database: &'static str,
    /// When it was started.
    started_at: DateTime,
}

impl Server {
    /// The server behind `cx`.
    #[must_use]
    pub fn new(cx: &Ctx) -> Self {
        Self {
            name: env!("CARGO_PKG_NAME"),
            version: env!("CARGO_PKG_VERSION"),
            database: cx.db().kind(),
            started_at: DateTime(cx.started_us()),
        }
    }
}
