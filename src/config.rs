//! The configuration: one tree, typed, read once and passed down by value.
//!
//! The defaults are those of [`Config::default`]; [`settings`] has the one table
//! of names, allowed values and help, and is the only way from text to this tree.

pub mod http;
pub mod limits;
pub mod server;
pub mod settings;
pub mod sync;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::config::http::HttpConfig;
pub use crate::config::limits::GraphqlLimits;
pub use crate::config::limits::Limits;
pub use crate::config::server::Anonymous;
pub use crate::config::server::ServerConfig;
pub use crate::config::sync::ReconcileConfig;
pub use crate::config::sync::SyncConfig;

/// Everything that can be set.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Where and how to listen.
    pub server: ServerConfig,
    /// Where the rows are.
    pub database: DatabaseConfig,
    /// Where the vectors go.
    pub index: IndexConfig,
    /// How the sync engine keeps time.
    pub sync: SyncConfig,
    /// What a request may ask for.
    pub limits: Limits,
    /// How the server meets its clients.
    pub http: HttpConfig,
    /// How WebSockets are served.
    pub socket: SocketConfig,
    /// Which GraphQL documents can be named instead of being sent.
    pub persisted: PersistedConfig,
    /// What is written to the log.
    pub log: LogConfig,
}

/// Which GraphQL documents can be named instead of being sent.
#[derive(Debug, Clone)]
pub struct PersistedConfig {
    /// `CORPUSD_PERSISTED_AUTOMATIC`: remember documents that were sent with their hash.
    pub automatic: bool,
    /// `CORPUSD_PERSISTED_COUNT`: how many.
    pub count: usize,
    /// `CORPUSD_PERSISTED_BYTES`: of how many bytes together.
    pub bytes: usize,
    /// `CORPUSD_TRUSTED_DOCUMENTS`: whether those of the manifest are answered, or only those.
    pub trust: Trust,
    /// `CORPUSD_TRUSTED_MANIFEST`: the file.
    pub manifest: Option<PathBuf>,
    /// What is in it, by id.
    pub documents: Arc<BTreeMap<String, String>>,
}

/// What becomes of documents that a manifest has, and of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Trust {
    /// There is no manifest.
    #[default]
    Off,
    /// Those of the manifest can be named, all others sent.
    Allow,
    /// Those of the manifest are answered, and no others.
    Only,
}

impl Trust {
    /// The name in settings.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Allow => "allow",
            Self::Only => "only",
        }
    }
}

/// What is written to the log.
#[derive(Debug, Clone)]
pub struct LogConfig {
    /// `CORPUSD_LOG`: a level, or a filter by module.
    pub filter: String,
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that sends it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Where the rows are.
#[derive(Clone)]
pub struct DatabaseConfig {
    /// `DATABASE_URL`, in SQLAlchemy's or sqlx's spelling.
    pub url: String,
    /// `DB_ECHO`: log every statement.
    pub echo: bool,
    /// Connections for reading (SQLite) or for everything (PostgreSQL).
    pub pool_size: u32,
    /// How long a request waits for a connection.
    pub acquire_timeout: Duration,
    /// `CORPUSD_STATEMENT_TIMEOUT_S`: how long PostgreSQL works on one statement of a request; zero is for ever.
    pub statement_timeout: Duration,
    /// `synchronous` of SQLite: FULL, or NORMAL (which may lose the last commits at a power cut).
    pub sqlite_full_sync: bool,
}

impl fmt::Debug for DatabaseConfig {
    /// Without what may be a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, echo, pool_size, acquire_timeout, statement_timeout, sqlite_full_sync } = self;
        f.debug_struct("DatabaseConfig")
            .field("url", &settings::redacted(url))
            .field("echo", echo)
            .field("pool_size", pool_size)
            .field("acquire_timeout", acquire_timeout)
            .field("statement_timeout", statement_timeout)
            .field("sqlite_full_sync", sqlite_full_sync)
            .finish()
    }
}

/// Where the vectors go.
#[derive(Debug, Clone)]
pub struct IndexConfig {
    /// `PINECONE_INDEX_NAME`
    pub name: String,
    /// `PINECONE_NAMESPACE`: the namespace of documents that name none.
    pub namespace: String,
    /// How the local index scores.
    pub metric: Metric,
    /// The dimension, or learned from the first vector.
    pub dimension: Option<u32>,
    /// `CORPUSD_AUTO_EXPORT`: new embeddings go to the index without being exported by hand.
    pub auto_export: bool,
    /// How Pinecone is reached, which is the index when there is a key.
    pub pinecone: PineconeConfig,
}

/// The clouds that an index can be created in.
pub const CLOUDS: [&str; 3] = ["aws", "gcp", "azure"];

/// How Pinecone is reached.
#[derive(Debug, Clone)]
pub struct PineconeConfig {
    /// `PINECONE_API_KEY`
    pub api_key: Option<Secret>,
    /// `PINECONE_CLOUD`: where an index is created.
    pub cloud: Option<String>,
    /// `PINECONE_REGION`: where in the cloud.
    pub region: Option<String>,
    /// `PINECONE_ENVIRONMENT`: an older name of the region, with the cloud at its end or without.
    pub environment: Option<String>,
    /// `PINECONE_CONTROLLER_HOST`
    pub controller_host: String,
    /// `PINECONE_INDEX_HOST`: the index itself, which is then not looked up.
    pub index_host: Option<String>,
    /// `PINECONE_API_VERSION`
    pub api_version: String,
    /// `CORPUSD_PINECONE_SHARE`: how much of the published rates is used.
    pub share: f64,
}

/// How vectors are compared. A higher score is better on every metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Metric {
    /// The cosine of the angle.
    #[default]
    Cosine,
    /// The dot product.
    Dotproduct,
    /// Distance, scored as `1 / (1 + squared distance)`.
    Euclidean,
}

impl Metric {
    /// The name in settings, in the database and on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cosine => "cosine",
            Self::Dotproduct => "dotproduct",
            Self::Euclidean => "euclidean",
        }
    }
}

/// How WebSockets are served.
#[derive(Debug, Clone)]
pub struct SocketConfig {
    /// `CORPUSD_WS_OPERATIONS`: operations of one connection at a time.
    pub operations: usize,
    /// `CORPUSD_WS_MESSAGE_BYTES`: bytes of one message of a client.
    pub message_bytes: usize,
    /// `CORPUSD_WS_INIT_S`: how long a client may take to say `connection_init`.
    pub init: Duration,
    /// `CORPUSD_WS_PING_S`: how often a client is asked whether it is there; after three times it is gone.
    pub ping: Duration,
}

impl Default for PersistedConfig {
    fn default() -> Self {
        Self {
            automatic: true,
            count: 1_000,
            bytes: 10_000_000,
            trust: Trust::Off,
            manifest: None,
            documents: Arc::default(),
        }
    }
}

impl Default for DatabaseConfig {
    fn default() -> Self {
        Self {
            url: "sqlite:///./asktemoc.db".to_owned(),
            echo: false,
            pool_size: 8,
            acquire_timeout: Duration::from_secs(10),
            statement_timeout: Duration::from_secs(30),
            sqlite_full_sync: true,
        }
    }
}

impl Default for IndexConfig {
    fn default() -> Self {
        Self {
            name: "asktemoc".to_owned(),
            namespace: "default".to_owned(),
            metric: Metric::Cosine,
            dimension: None,
            auto_export: false,
            pinecone: PineconeConfig::default(),
        }
    }
}

impl Default for PineconeConfig {
    fn default() -> Self {
        Self {
            api_key: None,
            cloud: None,
            region: None,
            environment: None,
            controller_host: "https://api.pinecone.io".to_owned(),
            index_host: None,
            api_version: "2026-04".to_owned(),
            share: 0.8,
        }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        // A migration's own lines are of interest only when one fails.
        Self { filter: "info,sea_orm_migration=warn,sqlx::postgres::notice=warn".to_owned() }
    }
}

impl Default for SocketConfig {
    fn default() -> Self {
        Self { operations: 32, message_bytes: 1_048_576, init: Duration::from_secs(10), ping: Duration::from_secs(30) }
    }
}
