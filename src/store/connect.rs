//! Opening a database: URLs in every spelling, SQLite's pragmas, and whose tables are in it.

use std::path::Path;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sea_orm::ConnectionTrait;
use sea_orm::DatabaseConnection;
use sea_orm::DbErr;
use sea_orm::SqlxPostgresConnector;
use sea_orm::SqlxSqliteConnector;
use sqlx::ConnectOptions as _;
use sqlx::Connection as _;
use sqlx::Executor as _;
use sqlx::postgres::PgConnectOptions;
use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::sqlite::SqliteJournalMode;
use sqlx::sqlite::SqlitePoolOptions;
use sqlx::sqlite::SqliteSynchronous;

use crate::clock::Clock;
use crate::config::DatabaseConfig;
use crate::store::Db;
use crate::store::Hints;
use crate::store::Statements;
use crate::store::log;
use crate::store::migrations;
use crate::store::migrations::is_known;
use crate::store::reader::Reader;
use crate::store::reader::Seats;
use crate::store::readers::Readers;
use crate::store::sql::Sql;
use crate::store::writer::Writer;

/// The oldest SQLite without the bug that corrupts a WAL database when a checkpoint races with a reset.
const LEAST_SQLITE: i32 = 3_051_003;
/// What a write-ahead log that once was larger is cut to when it begins anew.
const WAL_BYTES: &str = "67108864";

/// Which database a URL names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A file.
    Sqlite(PathBuf),
    /// A server, as a `postgresql://` URL.
    Postgres(String),
}

impl Location {
    /// Reads a URL in SQLAlchemy's spelling (three slashes relative, four absolute; drivers
    /// behind `+`) or sqlx's own (`sqlite:PATH`, `sqlite://PATH`).
    ///
    /// # Errors
    /// A sentence about what is wrong; it never repeats the URL, which may hold a password.
    pub fn parse(url: &str) -> Result<Self, String> {
        let (scheme, rest) = url.split_once(':').ok_or("must start with sqlite: or postgresql:")?;
        let base = scheme.split('+').next().unwrap_or(scheme).to_ascii_lowercase();
        match base.as_str() {
            "sqlite" => {
                let path = if let Some(path) = rest.strip_prefix("////") {
                    format!("/{path}")
                } else if let Some(path) = rest.strip_prefix("///") {
                    path.to_owned()
                } else {
                    rest.strip_prefix("//").unwrap_or(rest).to_owned()
                };
                let path = path.split('?').next().unwrap_or(&path).to_owned();
                if path.is_empty() || path == ":memory:" {
                    return Err("must name a file: a database in memory would be lost".to_owned());
                }
                Ok(Self::Sqlite(PathBuf::from(path)))
            }
            "postgres" | "postgresql" => {
                let url = format!("postgresql:{rest}");
                PgConnectOptions::from_str(&url).map_err(|_| "is not a PostgreSQL URL".to_owned())?;
                Ok(Self::Postgres(url))
            }
            _ => Err("must start with sqlite: or postgresql:".to_owned()),
        }
    }
}

/// Why a database was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL names no database.
    #[error("DATABASE_URL {0}")]
    Url(String),
    /// The tables of the FastAPI application are in it.
    #[error(
        "this database belongs to the older FastAPI application and was left untouched; \
         copy it with `corpusd adopt --from URL --to URL` and serve the copy"
    )]
    Seed,
    /// What was to be adopted is no database of the FastAPI application.
    #[error("this is no database of the older FastAPI application: it has no documents with doc_metadata")]
    NotSeed,
    /// The tables of some other application are in it.
    #[error("this database holds tables of another application and was left untouched; name an empty one")]
    Foreign,
    /// The SQLite that was linked is too old.
    #[error("SQLite {0} can corrupt a WAL database: 3.51.3 or newer is required")]
    OldSqlite(String),
    /// The index cannot be set up from its settings.
    #[error("the vector index cannot be set up: {0}")]
    Index(String),
    /// A newer version took something away that this one needs.
    #[error(
        "a newer version has migrated this database beyond what this one can use ({0}): start that version or a later one"
    )]
    Newer(String),
    /// Another line of versions has migrated it.
    #[error(
        "this database has steps that this version does not know ({unknown}) and lacks steps that it needs ({missing}): start a version that has both"
    )]
    Diverged {
        /// What this version does not know.
        unknown: String,
        /// What the database lacks.
        missing: String,
    },
    /// Anything else.
    #[error("the database cannot be opened: {}", told(.0))]
    Database(#[from] DbErr),
}

impl OpenError {
    /// The same, naming the file that it is about.
    fn of_file(self, path: &Path) -> Self {
        match self {
            Self::Database(cause) => Self::Database(DbErr::Custom(format!("{}: {}", path.display(), told(&cause)))),
            other @ (Self::Url(_)
            | Self::Seed
            | Self::NotSeed
            | Self::Foreign
            | Self::OldSqlite(_)
            | Self::Newer(_)
            | Self::Diverged { .. }
            | Self::Index(_)) => other,
        }
    }
}

/// What the database says; our own sentences bare.
#[must_use]
pub fn told(cause: &DbErr) -> String {
    if let DbErr::Custom(sentence) = cause { sentence.clone() } else { cause.to_string() }
}

/// Opens the database of `config`, brings its tables up to date and starts its writer.
///
/// # Errors
/// A wrong URL, a database of the older application, or what the database says.
pub async fn open(config: &DatabaseConfig, clock: &Clock) -> Result<Db, OpenError> {
    let location = Location::parse(&config.url).map_err(OpenError::Url)?;
    let file = if let Location::Sqlite(path) = &location { Some(path.clone()) } else { None };
    let opened = open_at(location, config, clock).await;
    opened.map_err(|error| if let Some(path) = file { error.of_file(&path) } else { error })
}

async fn open_at(location: Location, config: &DatabaseConfig, clock: &Clock) -> Result<Db, OpenError> {
    let statements: Arc<Statements> = Arc::default();
    let noted = |mut conn: DatabaseConnection| {
        let statements = statements.clone();
        conn.set_metric_callback(move |info| statements.note(&info.statement.sql));
        conn
    };
    let (reader, readers, writer, hints) = match location {
        Location::Sqlite(path) => {
            refuse_foreign_file(&path)?;
            let options = sqlite_options(&path, config)?;
            let write = sqlite_writer(options.clone(), config).await?;
            migrations::run(&write, clock).await?;
            let (size, patience) = (config.pool_size, config.acquire_timeout);
            let seats = Seats::new(options.pragma("query_only", "1"), size, patience, statements.clone());
            let readers = Readers::new(path, size, patience);
            (Reader::sqlite(seats), Some(Arc::new(readers)), Writer::sqlite(noted(write)), None)
        }
        Location::Postgres(url) => {
            let conn = postgres(&url, config).await?;
            refuse_foreign_schema(&conn).await?;
            migrations::run(&conn, clock).await?;
            let (conn, requests) = (noted(conn), noted(postgres_for_requests(&url, config)?));
            let reader = Reader::postgres(conn.clone(), requests, config.pool_size);
            (reader, None, Writer::Postgres(conn), Some(Hints::through(url)))
        }
    };
    let seen = log::revision(&reader).await?;
    Ok(Db::assemble(reader, readers, writer, clock.clone(), statements, seen, hints))
}

/// Asks the database for an answer, any answer.
///
/// # Errors
/// What the database says.
pub async fn ping(conn: &impl ConnectionTrait) -> Result<(), DbErr> {
    conn.execute_unprepared("SELECT 1").await.map(|_| ())
}

fn sqlite_options(path: &Path, config: &DatabaseConfig) -> Result<SqliteConnectOptions, OpenError> {
    if rusqlite::version_number() < LEAST_SQLITE {
        return Err(OpenError::OldSqlite(rusqlite::version().to_owned()));
    }
    let synchronous = if config.sqlite_full_sync { SqliteSynchronous::Full } else { SqliteSynchronous::Normal };
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(synchronous)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(5))
        .pragma("journal_size_limit", WAL_BYTES)
        .statement_cache_capacity(256);
    Ok(if config.echo { options } else { options.disable_statement_logging() })
}

async fn sqlite_writer(
    options: SqliteConnectOptions,
    config: &DatabaseConfig,
) -> Result<DatabaseConnection, OpenError> {
    let pool = SqlitePoolOptions::new()
        .min_connections(1)
        .max_connections(1)
        .acquire_timeout(config.acquire_timeout)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false);
    let write = pool.connect_with(options).await.map_err(plain_error)?;
    Ok(SqlxSqliteConnector::from_sqlx_sqlite_pool(write))
}

pub(super) async fn postgres(url: &str, config: &DatabaseConfig) -> Result<DatabaseConnection, OpenError> {
    let options = PgConnectOptions::from_str(url).map_err(conn_error)?.application_name("corpusd");
    let options = if config.echo { options } else { options.disable_statement_logging() };
    // A pool tries until its patience ends; one plain connection tells at once what is wrong.
    let first = tokio::time::timeout(config.acquire_timeout, options.connect()).await;
    let first = first.map_err(|_| conn_error(sqlx::Error::PoolTimedOut))?.map_err(|cause| {
        let place = format!("{}:{}", options.get_host(), options.get_port());
        OpenError::Database(DbErr::Custom(format!("PostgreSQL at {place}: {cause}")))
    })?;
    first.close().await.map_err(conn_error)?;
    let pool = PgPoolOptions::new()
        .max_connections(config.pool_size)
        .acquire_timeout(config.acquire_timeout)
        .connect_with(options)
        .await
        .map_err(conn_error)?;
    Ok(SqlxPostgresConnector::from_sqlx_postgres_pool(pool))
}

/// The pool that requests read from: the server ends a statement of it that takes too long.
fn postgres_for_requests(url: &str, config: &DatabaseConfig) -> Result<DatabaseConnection, OpenError> {
    let options = PgConnectOptions::from_str(url).map_err(conn_error)?.application_name("corpusd");
    let options = if config.echo { options } else { options.disable_statement_logging() };
    // Zero is never, to PostgreSQL as well.
    let bound = format!("SET statement_timeout = {}", config.statement_timeout.as_millis());
    let pool = PgPoolOptions::new()
        .max_connections(config.pool_size)
        .acquire_timeout(config.acquire_timeout)
        .after_connect(move |conn, _| {
            let bound = bound.clone();
            Box::pin(async move { conn.execute(sqlx::AssertSqlSafe(bound)).await.map(|_| ()) })
        })
        .connect_lazy_with(options);
    Ok(SqlxPostgresConnector::from_sqlx_postgres_pool(pool))
}

fn plain_error(cause: impl std::fmt::Display) -> OpenError {
    OpenError::Database(DbErr::Custom(cause.to_string()))
}

fn conn_error(cause: sqlx::Error) -> OpenError {
    OpenError::Database(DbErr::Conn(sea_orm::RuntimeErr::SqlxError(cause.into())))
}

/// Looks into a SQLite file, without touching it, for the tables of another application.
fn refuse_foreign_file(path: &Path) -> Result<(), OpenError> {
    if !path.exists() {
        return Ok(());
    }
    let look = || {
        let conn = read_untouched(path)?;
        let count = |query: &str| conn.query_row(query, [], |row| row.get::<_, i64>(0));
        let seed = count("SELECT count(*) FROM pragma_table_info('documents') WHERE name = 'doc_metadata'")?;
        let ours = count("SELECT count(*) FROM sqlite_schema WHERE name IN ('corpus_clock', 'corpusd_lease')")?;
        let tables = count("SELECT count(*) FROM sqlite_schema WHERE type = 'table'")?;
        Ok::<_, rusqlite::Error>((seed > 0, ours == 0 && tables > 0))
    };
    match look() {
        Ok((true, _)) => Err(OpenError::Seed),
        Ok((false, true)) => Err(OpenError::Foreign),
        Ok((false, false)) => Ok(()),
        Err(cause) => Err(plain_error(cause)),
    }
}

/// A SQLite connection that leaves nothing beside the file: no journal, no shared memory, no lock.
///
/// A file with a write-ahead log beside it is opened in the ordinary read-only way,
/// because its newest rows are in that log.
///
/// # Errors
/// What SQLite says.
pub fn read_untouched(path: &Path) -> rusqlite::Result<rusqlite::Connection> {
    let mut beside = path.as_os_str().to_owned();
    beside.push("-wal");
    let mode = if Path::new(&beside).exists() { "mode=ro" } else { "mode=ro&immutable=1" };
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => uri.push(char::from(*byte)),
            other => uri.push_str(&format!("%{other:02X}")),
        }
    }
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY
        | rusqlite::OpenFlags::SQLITE_OPEN_NO_MUTEX
        | rusqlite::OpenFlags::SQLITE_OPEN_URI;
    rusqlite::Connection::open_with_flags(format!("{uri}?{mode}"), flags)
}

/// Whether the tables of the older application are in a PostgreSQL schema.
pub(super) async fn is_seed(conn: &impl ConnectionTrait) -> Result<bool, DbErr> {
    let mut sql = Sql::new(conn);
    sql.push(
        "SELECT 1 FROM information_schema.columns WHERE table_schema = current_schema() \
         AND table_name = 'documents' AND column_name = 'doc_metadata'",
    );
    Ok(sql.one(conn).await?.is_some())
}

/// Refuses a schema with tables of our names that are not ours.
async fn refuse_foreign_schema(conn: &DatabaseConnection) -> Result<(), OpenError> {
    if is_seed(conn).await? {
        return Err(OpenError::Seed);
    }
    let ours = is_known(conn, "corpus_clock").await? || is_known(conn, "corpusd_lease").await?;
    for table in ["documents", "chunks", "embeddings"] {
        if !ours && is_known(conn, table).await? {
            return Err(OpenError::Foreign);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_in_every_spelling() {
        let sqlite = |path: &str| Ok(Location::Sqlite(PathBuf::from(path)));
        for (url, location) in [
            ("sqlite:///./asktemoc.db", sqlite("./asktemoc.db")),
            ("sqlite:////var/lib/a.db", sqlite("/var/lib/a.db")),
            ("sqlite+pysqlite:///a.db", sqlite("a.db")),
            ("sqlite:a.db", sqlite("a.db")),
            ("sqlite:/var/a.db", sqlite("/var/a.db")),
            ("sqlite://a.db?mode=rwc", sqlite("a.db")),
            ("postgresql+psycopg2://u:p@h/db", Ok(Location::Postgres("postgresql://u:p@h/db".to_owned()))),
            ("postgres://h/db", Ok(Location::Postgres("postgresql://h/db".to_owned()))),
        ] {
            assert_eq!(Location::parse(url), location, "{url}");
        }
        for url in ["mysql://h/db", "a.db", "sqlite://", "sqlite:///:memory:"] {
            assert!(Location::parse(url).is_err(), "{url}");
        }
    }
}
