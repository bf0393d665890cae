//! The configuration: one tree, typed, read once and passed down by value.
//!
//! The defaults are those of [`Config::default`]; [`settings`] has the one table
//! of names, allowed values and help, and is the only way from text to this tree.

pub mod http;
pub mod settings;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::config::http::HttpConfig;

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

/// Where and how to listen.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// `CORPUSD_HOST`
    pub host: IpAddr,
    /// `CORPUSD_PORT`; 0 picks a free one.
    pub port: u16,
    /// The status of a REST validation error: 422, or 400 where clients expect that.
    pub validation_status: u16,
    /// `CORPUSD_PRODUCTION`: what is for development is off, unless it is set itself.
    pub production: bool,
    /// `CORPUSD_INTROSPECTION`: whether GraphQL tells its schema.
    pub introspection: Option<bool>,
    /// `CORPUSD_PAGES`: whether there are pages to try things on, and the description of REST.
    pub pages: Option<bool>,
    /// `CORPUSD_SUGGESTIONS`: whether an unknown name is answered with similar ones.
    pub suggestions: Option<bool>,
    /// `CORPUSD_TIMEOUT_S`: how long a request may take, without what it waits for the index.
    pub timeout: Duration,
    /// How long a stopping server waits for what it is doing.
    pub grace: Duration,
    /// `CORPUSD_ALLOW_ANONYMOUS`: who is let in without a key.
    pub anonymous: Anonymous,
}

impl ServerConfig {
    /// Whether nobody but this machine reaches the address that is listened on.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.host.to_canonical().is_loopback()
    }
}

/// Who is let in without a key; they may do everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Anonymous {
    /// Whoever asks from this machine, where the server listens on a loopback address.
    #[default]
    Auto,
    /// Nobody.
    No,
    /// Everybody.
    Yes,
}

impl Anonymous {
    /// The name in settings.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::No => "no",
            Self::Yes => "yes",
        }
    }
}

impl ServerConfig {
    /// Whether GraphQL tells its schema.
    #[must_use]
    pub fn introspection(&self) -> bool {
        self.introspection.unwrap_or(!self.production)
    }

    /// Whether there are pages to try things on.
    #[must_use]
    pub fn pages(&self) -> bool {
        self.pages.unwrap_or(!self.production)
    }

    /// Whether an unknown name is answered with similar ones.
    #[must_use]
    pub fn suggestions(&self) -> bool {
        self.suggestions.unwrap_or(!self.production)
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

/// How the sync engine keeps time. See sync.md 4.2 for what the numbers mean.
#[derive(Debug, Clone)]
pub struct SyncConfig {
    /// `CORPUSD_SYNC_HEARTBEAT_S`
    pub heartbeat: Duration,
    /// `CORPUSD_SYNC_LEASE_S`
    pub lease: Duration,
    /// `CORPUSD_SYNC_TIMEOUT_S`: the whole exchange of one request to the target.
    pub request_timeout: Duration,
    /// `CORPUSD_SYNC_DOUBT_S`: how long an unanswered request may still land.
    pub doubt: Duration,
    /// How often a worker looks for due slots without being woken.
    pub poll: Duration,
    /// Slots of one claim.
    pub claim_size: u32,
    /// `CORPUSD_EXPORT_WAIT_S`: how long a REST export waits for its job.
    pub export_wait: Duration,
    /// How long a stop waits for the answers of requests to the target that are under way.
    pub stop_wait: Duration,
    /// When the index is compared with the rows.
    pub reconcile: ReconcileConfig,
    /// `CORPUSD_PURGE_AFTER_DAYS`: rows that were soft-deleted so long ago are removed for good; zero is never.
    pub purge_after: Duration,
}

/// When the index is compared with the rows by itself; zero is never.
#[derive(Debug, Clone)]
pub struct ReconcileConfig {
    /// `CORPUSD_RECONCILE_ROWS_S`: slots with rows.
    pub rows: Duration,
    /// `CORPUSD_RECONCILE_COUNT_S`: numbers of records.
    pub count: Duration,
    /// `CORPUSD_RECONCILE_FULL_S`: every record.
    pub full: Duration,
    /// `CORPUSD_RECONCILE_SETTLED_S`: a record that was written later than so long ago is passed over.
    pub settled: Duration,
}

/// What a request may ask for.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of a request body.
    pub body_bytes: usize,
    /// Bytes of a chunk's text.
    pub text_bytes: usize,
    /// Bytes of one metadata object.
    pub metadata_bytes: usize,
    /// Items of one batch.
    pub batch: usize,
    /// Numbers of one vector.
    pub dimension: usize,
    /// Rows of one REST page.
    pub rest_page: u64,
    /// Rows of one GraphQL page.
    pub graphql_page: u64,
    /// What a GraphQL document may be.
    pub graphql: GraphqlLimits,
}

/// What a GraphQL document may be, before and after it is parsed, and what may come of it.
#[derive(Debug, Clone)]
pub struct GraphqlLimits {
    /// `CORPUSD_GRAPHQL_BYTES` of its text.
    pub bytes: usize,
    /// `CORPUSD_GRAPHQL_TOKENS` of its text.
    pub tokens: usize,
    /// `CORPUSD_GRAPHQL_OPERATIONS`
    pub operations: usize,
    /// `CORPUSD_GRAPHQL_FRAGMENTS` that it defines.
    pub fragments: usize,
    /// `CORPUSD_GRAPHQL_VARIABLES` that it declares.
    pub variables: usize,
    /// `CORPUSD_GRAPHQL_DIRECTIVES`, as they are written.
    pub directives: usize,
    /// `CORPUSD_GRAPHQL_ALIASES`, as they are written.
    pub aliases: usize,
    /// `CORPUSD_GRAPHQL_ROOT_FIELDS` of one operation, fragments unfolded.
    pub root_fields: u64,
    /// `CORPUSD_GRAPHQL_SELECTIONS` of all operations, fragments unfolded.
    pub selections: u64,
    /// `CORPUSD_GRAPHQL_DEPTH`: how deep fields nest, fragments unfolded.
    pub depth: u32,
    /// `CORPUSD_GRAPHQL_COST`: points of one operation.
    pub cost: u64,
    /// `CORPUSD_GRAPHQL_VALUES`: values of its arguments, as often as they are read.
    pub values: u64,
    /// `CORPUSD_GRAPHQL_ERRORS` that one answer tells.
    pub errors: usize,
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

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 8000,
            validation_status: 422,
            production: false,
            introspection: None,
            pages: None,
            suggestions: None,
            timeout: Duration::from_secs(30),
            grace: Duration::from_secs(25),
            anonymous: Anonymous::Auto,
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

impl Default for SyncConfig {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(5),
            lease: Duration::from_secs(30),
            request_timeout: Duration::from_secs(20),
            doubt: Duration::from_secs(120),
            poll: Duration::from_secs(1),
            claim_size: 500,
            export_wait: Duration::from_secs(600),
            stop_wait: Duration::from_secs(2),
            reconcile: ReconcileConfig::default(),
            purge_after: Duration::ZERO,
        }
    }
}

impl Default for ReconcileConfig {
    fn default() -> Self {
        Self {
            rows: Duration::from_secs(3_600),
            count: Duration::from_secs(900),
            full: Duration::from_secs(86_400),
            settled: Duration::from_secs(600),
        }
    }
}

impl Default for SocketConfig {
    fn default() -> Self {
        Self { operations: 32, message_bytes: 1_048_576, init: Duration::from_secs(10), ping: Duration::from_secs(30) }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 10_000_000,
            text_bytes: 1_000_000,
            metadata_bytes: 65_536,
            batch: 1000,
            dimension: 20_000,
            rest_page: 10_000,
            graphql_page: 100,
            graphql: GraphqlLimits::default(),
        }
    }
}

impl Default for GraphqlLimits {
    fn default() -> Self {
        Self {
            bytes: 65_536,
            tokens: 4_000,
            operations: 10,
            fragments: 50,
            variables: 100,
            directives: 50,
            aliases: 50,
            root_fields: 20,
            selections: 2_000,
            depth: 12,
            cost: 10_000,
            values: 2_000_000,
            errors: 20,
        }
    }
}
