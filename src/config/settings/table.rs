//! The table of settings: every name, what is allowed, and what it means.

use crate::config::Config;
use crate::config::settings::Group;
use crate::config::settings::Setting;
use crate::config::settings::Shown;
use crate::config::settings::value::COUNT;
use crate::config::settings::value::DAYS_OR_NEVER;
use crate::config::settings::value::SECONDS;
use crate::config::settings::value::SECONDS_OR_NEVER;
use crate::config::settings::value::SECONDS_OR_NONE;
use crate::config::settings::value::SWITCH;
use crate::config::settings::value::SWITCH_OR_AUTO;
use crate::config::settings::value::anonymous;
use crate::config::settings::value::api_version;
use crate::config::settings::value::bytes;
use crate::config::settings::value::cloud;
use crate::config::settings::value::count;
use crate::config::settings::value::days_or_never;
use crate::config::settings::value::days_text;
use crate::config::settings::value::filter;
use crate::config::settings::value::host;
use crate::config::settings::value::host_url;
use crate::config::settings::value::hosts;
use crate::config::settings::value::index_name;
use crate::config::settings::value::key;
use crate::config::settings::value::metric;
use crate::config::settings::value::namespace;
use crate::config::settings::value::origins;
use crate::config::settings::value::region;
use crate::config::settings::value::seconds;
use crate::config::settings::value::seconds_or_never;
use crate::config::settings::value::seconds_text;
use crate::config::settings::value::share;
use crate::config::settings::value::switch;
use crate::config::settings::value::synchronous;
use crate::config::settings::value::whole;

/// Fills a field of the tree, when the value was read.
fn put<T>(field: &mut T, value: Option<T>) -> Option<()> {
    *field = value?;
    Some(())
}

type Set = fn(&mut Config, &str) -> Option<()>;
type Get = fn(&Config) -> String;

const fn plain(
    group: Group,
    name: &'static str,
    help: &'static str,
    allowed: &'static str,
    set: Set,
    get: Get,
) -> Setting {
    Setting { name, group, help, allowed, shown: Shown::Plain, set, get }
}

/// Every setting, in the order of the help.
pub const SETTINGS: &[Setting] = &[
    plain(
        Group::Server,
        "CORPUSD_HOST",
        "The address to listen on",
        "an IP address, or localhost",
        |c, v| put(&mut c.server.host, host(v)),
        |c| c.server.host.to_string(),
    ),
    plain(
        Group::Server,
        "CORPUSD_PORT",
        "The port to listen on; 0 picks a free one",
        "a whole number from 0 to 65535",
        |c, v| put(&mut c.server.port, v.parse().ok()),
        |c| c.server.port.to_string(),
    ),
    plain(
        Group::Server,
        "CORPUSD_ALLOW_ANONYMOUS",
        "Who may do everything without an API key: everybody (yes), nobody (no), or whoever asks from this machine while the address is a loopback one (auto); behind a proxy on this machine say no",
        SWITCH_OR_AUTO,
        |c, v| put(&mut c.server.anonymous, anonymous(v)),
        |c| c.server.anonymous.name().to_owned(),
    ),
    plain(
        Group::Server,
        "CORPUSD_PRODUCTION",
        "Turn off what is for development: introspection, pages and suggestions",
        SWITCH,
        |c, v| put(&mut c.server.production, switch(v)),
        |c| c.server.production.to_string(),
    ),
    plain(
        Group::Server,
        "CORPUSD_INTROSPECTION",
        "Let GraphQL tell its schema; not with CORPUSD_PRODUCTION unless this says so",
        SWITCH,
        |c, v| put(&mut c.server.introspection, switch(v).map(Some)),
        |c| c.server.introspection.map(|on| on.to_string()).unwrap_or_default(),
    ),
    plain(
        Group::Server,
        "CORPUSD_PAGES",
        "Serve /graphiql, /docs and /openapi.json; not with CORPUSD_PRODUCTION unless this says so",
        SWITCH,
        |c, v| put(&mut c.server.pages, switch(v).map(Some)),
        |c| c.server.pages.map(|on| on.to_string()).unwrap_or_default(),
    ),
    plain(
        Group::Server,
        "CORPUSD_SUGGESTIONS",
        "Answer an unknown name with similar ones; not with CORPUSD_PRODUCTION unless this says so",
        SWITCH,
        |c, v| put(&mut c.server.suggestions, switch(v).map(Some)),
        |c| c.server.suggestions.map(|on| on.to_string()).unwrap_or_default(),
    ),
    plain(
        Group::Server,
        "CORPUSD_TIMEOUT_S",
        "How long a request may take; what it waits for the index does not count, and subscriptions have no end",
        SECONDS,
        |c, v| put(&mut c.server.timeout, seconds(v)),
        |c| seconds_text(c.server.timeout),
    ),
    plain(
        Group::Server,
        "CORPUSD_GRACE_S",
        "How long a stopping server waits for requests under way",
        SECONDS,
        |c, v| put(&mut c.server.grace, seconds(v)),
        |c| seconds_text(c.server.grace),
    ),
    plain(
        Group::Server,
        "CORPUSD_HOSTS",
        "Names under which the server is asked; one that listens on a loopback address answers to names of this machine only, and to these",
        "names of hosts without ports, with commas between them",
        |c, v| put(&mut c.http.hosts, hosts(v)),
        |c| c.http.hosts.join(","),
    ),
    plain(
        Group::Server,
        "CORPUSD_CORS_ORIGINS",
        "Origins of web pages that may ask from elsewhere; none when not set",
        "origins such as https://app.example.com, with commas between them, or *",
        |c, v| put(&mut c.http.cors, origins(v)),
        |c| c.http.cors.text(),
    ),
    plain(
        Group::Server,
        "CORPUSD_SLOW_REQUEST_S",
        "How long an answer may take before the log tells of it",
        SECONDS,
        |c, v| put(&mut c.http.slow, seconds(v)),
        |c| seconds_text(c.http.slow),
    ),
    plain(
        Group::Server,
        "CORPUSD_VALIDATION_STATUS",
        "The status of a REST validation error: FastAPI's 422, or the 400 of the older API document",
        "422 or 400",
        |c, v| put(&mut c.server.validation_status, v.parse().ok().filter(|status| matches!(status, 400 | 422))),
        |c| c.server.validation_status.to_string(),
    ),
    plain(
        Group::Server,
        "CORPUSD_LOG",
        "What is logged, on standard error",
        "off, error, warn, info, debug or trace, or a filter by module such as info,corpusd=debug",
        |c, v| put(&mut c.log.filter, filter(v)),
        |c| c.log.filter.clone(),
    ),
    plain(
        Group::Limits,
        "CORPUSD_MAX_CONNECTIONS",
        "Connections at a time; one more is told so, and served health only",
        "a whole number from 1 to 1000000",
        |c, v| put(&mut c.http.connections, whole(v, &(1..=1_000_000))),
        |c| c.http.connections.to_string(),
    ),
    plain(
        Group::Limits,
        "CORPUSD_HEADER_TIMEOUT_S",
        "How long the head of a request may take, from its first byte on",
        SECONDS,
        |c, v| put(&mut c.http.head, seconds(v)),
        |c| seconds_text(c.http.head),
    ),
    plain(
        Group::Limits,
        "CORPUSD_IDLE_TIMEOUT_S",
        "How long a connection may wait for its next request",
        SECONDS,
        |c, v| put(&mut c.http.idle, seconds(v)),
        |c| seconds_text(c.http.idle),
    ),
    plain(
        Group::Limits,
        "CORPUSD_BODY_TIMEOUT_S",
        "How long a body may pause",
        SECONDS,
        |c, v| put(&mut c.http.body, seconds(v)),
        |c| seconds_text(c.http.body),
    ),
    plain(
        Group::Limits,
        "CORPUSD_BODY_RATE",
        "Bytes of a body that must come in each second that it is waited for",
        COUNT,
        |c, v| put(&mut c.http.body_rate, count(v)),
        |c| c.http.body_rate.to_string(),
    ),
    plain(
        Group::Limits,
        "CORPUSD_WRITE_TIMEOUT_S",
        "How long a client may take nothing of its answer",
        SECONDS,
        |c, v| put(&mut c.http.write, seconds(v)),
        |c| seconds_text(c.http.write),
    ),
    plain(
        Group::Limits,
        "CORPUSD_MAX_REQUESTS",
        "Requests that are worked on at a time; those that only wait for something do not count",
        "a whole number from 1 to 1000000",
        |c, v| put(&mut c.http.requests, whole(v, &(1..=1_000_000))),
        |c| c.http.requests.to_string(),
    ),
    plain(
        Group::Limits,
        "CORPUSD_QUEUE_S",
        "How long one request more waits before it is turned away",
        SECONDS,
        |c, v| put(&mut c.http.queue, seconds(v)),
        |c| seconds_text(c.http.queue),
    ),
    plain(
        Group::Limits,
        "CORPUSD_RATE_POINTS",
        "Points that one client may ask for in CORPUSD_RATE_WINDOW_S, by key or else by address: see docs/http.md; 0 for any",
        "a whole number from 0 to 1000000000000",
        |c, v| put(&mut c.http.rate.points, whole(v, &(0..=1_000_000_000_000))),
        |c| c.http.rate.points.to_string(),
    ),
    plain(
        Group::Limits,
        "CORPUSD_RATE_WINDOW_S",
        "In how long a client that has asked for all of its points has all of them again",
        SECONDS,
        |c, v| put(&mut c.http.rate.window, seconds(v)),
        |c| seconds_text(c.http.rate.window),
    ),
    plain(
        Group::Limits,
        "CORPUSD_RATE_LOCAL",
        "Limit also who asks from this machine without a key",
        SWITCH,
        |c, v| put(&mut c.http.rate.local, switch(v)),
        |c| c.http.rate.local.to_string(),
    ),
    plain(
        Group::Limits,
        "CORPUSD_MAX_BODIES_BYTES",
        "Bytes of the bodies of all requests at a time",
        COUNT,
        |c, v| put(&mut c.http.bodies_bytes, bytes(v)),
        |c| c.http.bodies_bytes.to_string(),
    ),
    plain(
        Group::Socket,
        "CORPUSD_WS_OPERATIONS",
        "Operations of one connection at a time",
        "a whole number from 1 to 10000",
        |c, v| put(&mut c.socket.operations, whole(v, &(1..=10_000))),
        |c| c.socket.operations.to_string(),
    ),
    plain(
        Group::Socket,
        "CORPUSD_WS_MESSAGE_BYTES",
        "Bytes of one message of a client",
        COUNT,
        |c, v| put(&mut c.socket.message_bytes, bytes(v)),
        |c| c.socket.message_bytes.to_string(),
    ),
    plain(
        Group::Socket,
        "CORPUSD_WS_INIT_S",
        "How long a client may take to say connection_init",
        SECONDS,
        |c, v| put(&mut c.socket.init, seconds(v)),
        |c| seconds_text(c.socket.init),
    ),
    plain(
        Group::Socket,
        "CORPUSD_WS_PING_S",
        "How often a client is asked whether it is there; who says or takes nothing for three times as long is gone",
        SECONDS,
        |c, v| put(&mut c.socket.ping, seconds(v)),
        |c| seconds_text(c.socket.ping),
    ),
    Setting {
        shown: Shown::Url,
        ..plain(
            Group::Database,
            "DATABASE_URL",
            "The database, in SQLAlchemy's or sqlx's spelling; a SQLite file is created",
            "a URL of a SQLite file or a PostgreSQL database",
            |c, v| put(&mut c.database.url, Some(v.to_owned())),
            |c| c.database.url.clone(),
        )
    },
    plain(
        Group::Database,
        "DB_ECHO",
        "Log every statement",
        SWITCH,
        |c, v| put(&mut c.database.echo, switch(v)),
        |c| c.database.echo.to_string(),
    ),
    plain(
        Group::Database,
        "CORPUSD_POOL_SIZE",
        "Connections for what requests read; on PostgreSQL as many more for writing and for the engine",
        "a whole number from 1 to 1000",
        |c, v| put(&mut c.database.pool_size, whole(v, &(1..=1000))),
        |c| c.database.pool_size.to_string(),
    ),
    plain(
        Group::Database,
        "CORPUSD_POOL_TIMEOUT_S",
        "How long a request waits for a connection",
        SECONDS,
        |c, v| put(&mut c.database.acquire_timeout, seconds(v)),
        |c| seconds_text(c.database.acquire_timeout),
    ),
    plain(
        Group::Database,
        "CORPUSD_STATEMENT_TIMEOUT_S",
        "How long PostgreSQL works on one statement of a request; on SQLite a statement ends with its request",
        SECONDS_OR_NEVER,
        |c, v| put(&mut c.database.statement_timeout, seconds_or_never(v)),
        |c| seconds_text(c.database.statement_timeout),
    ),
    plain(
        Group::Database,
        "CORPUSD_SQLITE_SYNCHRONOUS",
        "FULL, or NORMAL, which is faster and may lose the last commits at a power cut",
        "FULL or NORMAL",
        |c, v| put(&mut c.database.sqlite_full_sync, synchronous(v)),
        |c| if c.database.sqlite_full_sync { "FULL" } else { "NORMAL" }.to_owned(),
    ),
    plain(
        Group::Index,
        "CORPUSD_AUTO_EXPORT",
        "Send new embeddings to the index by themselves; else they are held until they are exported",
        SWITCH,
        |c, v| put(&mut c.index.auto_export, switch(v)),
        |c| c.index.auto_export.to_string(),
    ),
    plain(
        Group::Index,
        "CORPUSD_METRIC",
        "How the index compares vectors; one that exists already must do the same",
        "cosine, dotproduct or euclidean",
        |c, v| put(&mut c.index.metric, metric(v)),
        |c| c.index.metric.name().to_owned(),
    ),
    plain(
        Group::Index,
        "CORPUSD_DIMENSION",
        "Numbers of a vector in the index; learned from the first vector when not set",
        "a whole number from 1 to 20000",
        |c, v| put(&mut c.index.dimension, whole(v, &(1..=20_000)).map(Some)),
        |c| c.index.dimension.map(|dimension| dimension.to_string()).unwrap_or_default(),
    ),
    plain(
        Group::Index,
        "PINECONE_INDEX_NAME",
        "The name of the index",
        "1 to 45 lower-case letters, digits and hyphens",
        |c, v| put(&mut c.index.name, index_name(v)),
        |c| c.index.name.clone(),
    ),
    plain(
        Group::Index,
        "PINECONE_NAMESPACE",
        "The namespace of documents that name none",
        "1 to 512 ASCII characters without control characters, and not __default__",
        |c, v| put(&mut c.index.namespace, namespace(v)),
        |c| c.index.namespace.clone(),
    ),
    Setting {
        shown: Shown::Secret,
        ..plain(
            Group::Pinecone,
            "PINECONE_API_KEY",
            "The key of a Pinecone project: with it the vector index is Pinecone's, without it the local one",
            "visible ASCII characters",
            |c, v| put(&mut c.index.pinecone.api_key, key(v).map(Some)),
            |_| String::new(),
        )
    },
    plain(
        Group::Pinecone,
        "PINECONE_CLOUD",
        "The cloud of an index that has to be created; told from the region when not set",
        "aws, gcp or azure",
        |c, v| put(&mut c.index.pinecone.cloud, cloud(v).map(Some)),
        |c| c.index.pinecone.cloud.clone().unwrap_or_default(),
    ),
    plain(
        Group::Pinecone,
        "PINECONE_REGION",
        "The region of an index that has to be created; us-east-1 when neither this nor PINECONE_ENVIRONMENT is set",
        "a region's name, such as us-east-1",
        |c, v| put(&mut c.index.pinecone.region, region(v).map(Some)),
        |c| c.index.pinecone.region.clone().unwrap_or_default(),
    ),
    plain(
        Group::Pinecone,
        "PINECONE_ENVIRONMENT",
        "An older name of PINECONE_REGION, where the cloud may stand at the end",
        "a region's name, such as us-east-1 or us-east-1-aws; gcp-starter is no more",
        |c, v| put(&mut c.index.pinecone.environment, region(v).map(Some)),
        |c| c.index.pinecone.environment.clone().unwrap_or_default(),
    ),
    Setting {
        shown: Shown::Url,
        ..plain(
            Group::Pinecone,
            "PINECONE_CONTROLLER_HOST",
            "Where indexes are described and created; https when it names no scheme",
            "a host, or an http or https URL",
            |c, v| put(&mut c.index.pinecone.controller_host, host_url(v)),
            |c| c.index.pinecone.controller_host.clone(),
        )
    },
    Setting {
        shown: Shown::Url,
        ..plain(
            Group::Pinecone,
            "PINECONE_INDEX_HOST",
            "The host of the index itself, which is then neither looked up nor created",
            "a host, or an http or https URL",
            |c, v| put(&mut c.index.pinecone.index_host, host_url(v).map(Some)),
            |c| c.index.pinecone.index_host.clone().unwrap_or_default(),
        )
    },
    plain(
        Group::Pinecone,
        "PINECONE_API_VERSION",
        "The version of Pinecone's API that is asked for",
        "a year and a month, such as 2026-04",
        |c, v| put(&mut c.index.pinecone.api_version, api_version(v)),
        |c| c.index.pinecone.api_version.clone(),
    ),
    plain(
        Group::Pinecone,
        "CORPUSD_PINECONE_SHARE",
        "The share of Pinecone's published rates that one server uses; less for each of several",
        "a number from 0.01 to 1000",
        |c, v| put(&mut c.index.pinecone.share, share(v)),
        |c| c.index.pinecone.share.to_string(),
    ),
    plain(
        Group::Sync,
        "CORPUSD_EXPORT_WAIT_S",
        "How long a REST export waits for its job, which then goes on",
        SECONDS,
        |c, v| put(&mut c.sync.export_wait, seconds(v)),
        |c| seconds_text(c.sync.export_wait),
    ),
    plain(
        Group::Sync,
        "CORPUSD_SYNC_HEARTBEAT_S",
        "How often a process says that it lives",
        SECONDS,
        |c, v| put(&mut c.sync.heartbeat, seconds(v)),
        |c| seconds_text(c.sync.heartbeat),
    ),
    plain(
        Group::Sync,
        "CORPUSD_SYNC_LEASE_S",
        "How long a silent process keeps its work; more than two heartbeats",
        SECONDS,
        |c, v| put(&mut c.sync.lease, seconds(v)),
        |c| seconds_text(c.sync.lease),
    ),
    plain(
        Group::Sync,
        "CORPUSD_SYNC_TIMEOUT_S",
        "How long one request to the index may take; less than the lease",
        SECONDS,
        |c, v| put(&mut c.sync.request_timeout, seconds(v)),
        |c| seconds_text(c.sync.request_timeout),
    ),
    plain(
        Group::Sync,
        "CORPUSD_SYNC_DOUBT_S",
        "How long an unanswered request may still be applied; more than the timeout",
        SECONDS,
        |c, v| put(&mut c.sync.doubt, seconds(v)),
        |c| seconds_text(c.sync.doubt),
    ),
    plain(
        Group::Sync,
        "CORPUSD_SYNC_POLL_S",
        "How often the engine looks for work without being woken",
        SECONDS,
        |c, v| put(&mut c.sync.poll, seconds(v)),
        |c| seconds_text(c.sync.poll),
    ),
    plain(
        Group::Sync,
        "CORPUSD_SYNC_CLAIM_SIZE",
        "How many records the engine takes at once",
        "a whole number from 1 to 10000",
        |c, v| put(&mut c.sync.claim_size, whole(v, &(1..=10_000))),
        |c| c.sync.claim_size.to_string(),
    ),
    plain(
        Group::Sync,
        "CORPUSD_RECONCILE_ROWS_S",
        "How often the records that should be in the index are compared with the rows, so that rows written by other programs are found",
        SECONDS_OR_NEVER,
        |c, v| put(&mut c.sync.reconcile.rows, seconds_or_never(v)),
        |c| seconds_text(c.sync.reconcile.rows),
    ),
    plain(
        Group::Sync,
        "CORPUSD_RECONCILE_COUNT_S",
        "How often the index is asked how many records it has; the third difference in a row starts a full check",
        SECONDS_OR_NEVER,
        |c, v| put(&mut c.sync.reconcile.count, seconds_or_never(v)),
        |c| seconds_text(c.sync.reconcile.count),
    ),
    plain(
        Group::Sync,
        "CORPUSD_RECONCILE_FULL_S",
        "How often every record of the index is compared with the rows, and mended",
        SECONDS_OR_NEVER,
        |c, v| put(&mut c.sync.reconcile.full, seconds_or_never(v)),
        |c| seconds_text(c.sync.reconcile.full),
    ),
    plain(
        Group::Sync,
        "CORPUSD_PURGE_AFTER_DAYS",
        "How long ago a document or a chunk must have been soft-deleted to be removed for good; looked at every hour",
        DAYS_OR_NEVER,
        |c, v| put(&mut c.sync.purge_after, days_or_never(v)),
        |c| days_text(c.sync.purge_after),
    ),
    plain(
        Group::Sync,
        "CORPUSD_RECONCILE_SETTLED_S",
        "How long ago a record must have been written to be compared; more than the index takes to show a write",
        SECONDS_OR_NONE,
        |c, v| put(&mut c.sync.reconcile.settled, seconds_or_never(v)),
        |c| seconds_text(c.sync.reconcile.settled),
    ),
    plain(
        Group::Limits,
        "CORPUSD_MAX_BODY_BYTES",
        "Bytes of a request body",
        COUNT,
        |c, v| put(&mut c.limits.body_bytes, bytes(v)),
        |c| c.limits.body_bytes.to_string(),
    ),
    plain(
        Group::Limits,
        "CORPUSD_MAX_TEXT_BYTES",
        "Bytes of a chunk's text",
        COUNT,
        |c, v| put(&mut c.limits.text_bytes, bytes(v)),
        |c| c.limits.text_bytes.to_string(),
    ),
    plain(
        Group::Limits,
        "CORPUSD_MAX_METADATA_BYTES",
        "Bytes of one metadata object",
        COUNT,
        |c, v| put(&mut c.limits.metadata_bytes, bytes(v)),
        |c| c.limits.metadata_bytes.to_string(),
    ),
    plain(
        Group::Limits,
        "CORPUSD_MAX_BATCH",
        "Items of one batch",
        COUNT,
        |c, v| put(&mut c.limits.batch, bytes(v)),
        |c| c.limits.batch.to_string(),
    ),
    plain(
        Group::Limits,
        "CORPUSD_MAX_DIMENSION",
        "Numbers of one vector",
        "a whole number from 1 to 20000",
        |c, v| put(&mut c.limits.dimension, whole(v, &(1..=20_000))),
        |c| c.limits.dimension.to_string(),
    ),
    plain(
        Group::Limits,
        "CORPUSD_MAX_REST_PAGE",
        "Rows of one REST page; a greater limit is cut to this",
        COUNT,
        |c, v| put(&mut c.limits.rest_page, count(v)),
        |c| c.limits.rest_page.to_string(),
    ),
    plain(
        Group::Limits,
        "CORPUSD_MAX_GRAPHQL_PAGE",
        "Rows of one GraphQL page",
        COUNT,
        |c, v| put(&mut c.limits.graphql_page, count(v)),
        |c| c.limits.graphql_page.to_string(),
    ),
    plain(
        Group::GraphQl,
        "CORPUSD_GRAPHQL_BYTES",
        "Bytes of a document; values belong into variables",
        COUNT,
        |c, v| put(&mut c.limits.graphql.bytes, bytes(v)),
        |c| c.limits.graphql.bytes.to_string(),
    ),
    plain(
        Group::GraphQl,
        "CORPUSD_GRAPHQL_TOKENS",
        "Tokens of a document: names, numbers, strings and punctuation",
        "a whole number from 1 to 100000",
        |c, v| put(&mut c.limits.graphql.tokens, whole(v, &(1..=100_000))),
        |c| c.limits.graphql.tokens.to_string(),
    ),
    plain(
        Group::GraphQl,
        "CORPUSD_GRAPHQL_OPERATIONS",
        "Operations of a document",
        COUNT,
        |c, v| put(&mut c.limits.graphql.operations, bytes(v)),
        |c| c.limits.graphql.operations.to_string(),
    ),
    plain(
        Group::GraphQl,
        "CORPUSD_GRAPHQL_FRAGMENTS",
        "Fragments that a document defines",
        COUNT,
        |c, v| put(&mut c.limits.graphql.fragments, bytes(v)),
        |c| c.limits.graphql.fragments.to_string(),
    ),
    plain(
        Group::GraphQl,
        "CORPUSD_GRAPHQL_VARIABLES",
        "Variables that a document declares",
        COUNT,
        |c, v| put(&mut c.limits.graphql.variables, bytes(v)),
        |c| c.limits.graphql.variables.to_string(),
    ),
    plain(
        Group::GraphQl,
        "CORPUSD_GRAPHQL_DIRECTIVES",
        "Directives of a document, as they are written",
        COUNT,
        |c, v| put(&mut c.limits.graphql.directives, bytes(v)),
        |c| c.limits.graphql.directives.to_string(),
    ),
    plain(
        Group::GraphQl,
        "CORPUSD_GRAPHQL_ALIASES",
        "Aliases of a document, as they are written",
        COUNT,
        |c, v| put(&mut c.limits.graphql.aliases, bytes(v)),
        |c| c.limits.graphql.aliases.to_string(),
    ),
    plain(
        Group::GraphQl,
        "CORPUSD_GRAPHQL_ROOT_FIELDS",
        "Root fields of one operation, fragments unfolded",
        COUNT,
        |c, v| put(&mut c.limits.graphql.root_fields, count(v)),
        |c| c.limits.graphql.root_fields.to_string(),
    ),
    plain(
        Group::GraphQl,
        "CORPUSD_GRAPHQL_SELECTIONS",
        "Selections of a document, fragments unfolded",
        "a whole number from 1 to 100000",
        |c, v| put(&mut c.limits.graphql.selections, whole(v, &(1..=100_000))),
        |c| c.limits.graphql.selections.to_string(),
    ),
    plain(
        Group::GraphQl,
        "CORPUSD_GRAPHQL_DEPTH",
        "How deep fields may nest, fragments unfolded; an introspection has bounds of its own",
        "a whole number from 1 to 32",
        |c, v| put(&mut c.limits.graphql.depth, whole(v, &(1..=32))),
        |c| c.limits.graphql.depth.to_string(),
    ),
    plain(
        Group::GraphQl,
        "CORPUSD_GRAPHQL_COST",
        "Points that one operation may cost: see docs/limits.md",
        COUNT,
        |c, v| put(&mut c.limits.graphql.cost, count(v)),
        |c| c.limits.graphql.cost.to_string(),
    ),
    plain(
        Group::GraphQl,
        "CORPUSD_GRAPHQL_VALUES",
        "Values of an operation's arguments, those of variables and below lists as often as they are read",
        COUNT,
        |c, v| put(&mut c.limits.graphql.values, count(v)),
        |c| c.limits.graphql.values.to_string(),
    ),
    plain(
        Group::GraphQl,
        "CORPUSD_GRAPHQL_ERRORS",
        "Errors that one answer tells",
        COUNT,
        |c, v| put(&mut c.limits.graphql.errors, bytes(v)),
        |c| c.limits.graphql.errors.to_string(),
    ),
];
