//! The table of settings: every name, what is allowed, and what it means.
//!
//! A value is looked for on the command line, then in the environment, then in
//! `.env`; an empty one means the default. [`read`] turns what was found into a
//! [`Config`], or tells everything that is wrong at once. Nothing here looks
//! anything up by itself.

use std::ffi::OsString;
use std::fmt;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use crate::config::Config;
use crate::config::Metric;
use crate::config::Secret;

/// A heading of the help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the titles say it")]
pub enum Group {
    Server,
    Database,
    Index,
    Pinecone,
    Sync,
    Limits,
}

impl Group {
    /// The heading's text.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Server => "Server",
            Self::Database => "Database",
            Self::Index => "Vector index",
            Self::Pinecone => "Pinecone (a target that this version does not have)",
            Self::Sync => "Sync",
            Self::Limits => "Limits",
        }
    }
}

/// How a refused value is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    Plain,
    /// Never.
    Secret,
    /// Its scheme only, because the rest may hold a password.
    Url,
}

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// The name in the environment.
    pub name: &'static str,
    /// Where the help lists it.
    pub group: Group,
    /// What it does.
    pub help: &'static str,
    /// What a value must be, after "is not allowed: ".
    pub allowed: &'static str,
    shown: Shown,
    set: fn(&mut Config, &str) -> Option<()>,
    get: fn(&Config) -> String,
}

impl Setting {
    /// The flag on the command line; a secret has none, because command lines are public.
    #[must_use]
    pub fn flag(&self) -> Option<String> {
        if self.shown == Shown::Secret {
            return None;
        }
        Some(self.name.trim_start_matches("CORPUSD_").to_ascii_lowercase().replace('_', "-"))
    }

    /// The default, as text; empty when there is none.
    #[must_use]
    pub fn default_text(&self) -> String {
        (self.get)(&Config::default())
    }

    /// Whether it is a yes or a no.
    #[must_use]
    pub fn is_switch(&self) -> bool {
        self.allowed == SWITCH
    }

    /// What is wrong with `value`, without showing what must not be shown.
    #[must_use]
    pub fn refuse(&self, value: &str, allowed: &str) -> WrongSetting {
        let shown = match self.shown {
            Shown::Plain => value.to_owned(),
            Shown::Secret => "***".to_owned(),
            Shown::Url => redacted(value),
        };
        WrongSetting(format!("{}: \"{shown}\" is not allowed: {allowed}", self.name))
    }
}

/// A value that is not allowed, in a sentence that names the setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongSetting(String);

impl fmt::Display for WrongSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for WrongSetting {}

/// The setting of that name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

/// The configuration that `find` gives values for; what it gives nothing for keeps its default.
///
/// # Errors
/// Every value that is not allowed.
pub fn read(find: impl Fn(&Setting) -> Option<OsString>) -> Result<Config, Vec<WrongSetting>> {
    let mut config = Config::default();
    let mut wrong = Vec::new();
    for setting in SETTINGS {
        let Some(value) = find(setting).filter(|value| !value.is_empty()) else { continue };
        match value.into_string() {
            Ok(text) if (setting.set)(&mut config, text.trim()).is_some() => {}
            Ok(text) => wrong.push(setting.refuse(&text, setting.allowed)),
            Err(_) => wrong.push(WrongSetting(format!("{}: its value is no UTF-8 text", setting.name))),
        }
    }
    if wrong.is_empty() {
        check_timings(&config, &mut wrong);
    }
    if wrong.is_empty() { Ok(config) } else { Err(wrong) }
}

/// The three rules between the timings of the sync engine, and no more than these.
fn check_timings(config: &Config, wrong: &mut Vec<WrongSetting>) {
    let sync = &config.sync;
    let mut rule = |holds: bool, name: &str, allowed: String| {
        if let Some(setting) = named(name).filter(|_| !holds) {
            wrong.push(setting.refuse(&(setting.get)(config), &allowed));
        }
    };
    let (lease, timeout) = (seconds_text(sync.lease), seconds_text(sync.request_timeout));
    rule(
        sync.heartbeat.saturating_mul(2) < sync.lease,
        "CORPUSD_SYNC_HEARTBEAT_S",
        format!("twice of it must be less than CORPUSD_SYNC_LEASE_S, which is {lease}"),
    );
    rule(
        sync.request_timeout < sync.lease,
        "CORPUSD_SYNC_TIMEOUT_S",
        format!("must be less than CORPUSD_SYNC_LEASE_S, which is {lease}"),
    );
    rule(
        sync.doubt > sync.request_timeout,
        "CORPUSD_SYNC_DOUBT_S",
        format!("must be more than CORPUSD_SYNC_TIMEOUT_S, which is {timeout}"),
    );
}

/// Refuses a configuration that asks for a target this version does not have.
///
/// # Errors
/// When a Pinecone key is set.
pub fn check_target(config: &Config) -> Result<(), WrongSetting> {
    match (&config.index.pinecone.api_key, named("PINECONE_API_KEY")) {
        (Some(_), Some(setting)) => Err(setting.refuse("", setting.allowed)),
        (_, _) => Ok(()),
    }
}

/// The path of a SQLite URL, only the scheme of any other: the rest may hold a password.
#[must_use]
pub fn redacted(url: &str) -> String {
    match url.split_once(':') {
        Some((scheme, _)) if scheme == "sqlite" || scheme.starts_with("sqlite+") => url.to_owned(),
        Some((scheme, rest))
            if rest.starts_with("//") && scheme.chars().all(|c| c.is_ascii_alphanumeric() || c == '+') =>
        {
            format!("{scheme}://***")
        }
        _ => "***".to_owned(),
    }
}

const SWITCH: &str = "true or false";
const SECONDS: &str = "a number of seconds, above 0 and at most 1000000";
const COUNT: &str = "a whole number from 1 to 1000000000";

fn whole<T: FromStr + PartialOrd>(text: &str, range: &RangeInclusive<T>) -> Option<T> {
    text.parse().ok().filter(|number| range.contains(number))
}

fn count<T: FromStr + PartialOrd + From<u32>>(text: &str) -> Option<T> {
    whole(text, &(T::from(1)..=T::from(1_000_000_000)))
}

fn bytes(text: &str) -> Option<usize> {
    whole(text, &(1..=1_000_000_000))
}

fn switch(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}

fn seconds(text: &str) -> Option<Duration> {
    let number: f64 = text.parse().ok()?;
    let duration = if number > 0.0 && number <= 1e6 { Duration::try_from_secs_f64(number).ok()? } else { return None };
    (!duration.is_zero()).then_some(duration)
}

fn seconds_text(duration: Duration) -> String {
    duration.as_secs_f64().to_string()
}

fn host(text: &str) -> Option<IpAddr> {
    if text.eq_ignore_ascii_case("localhost") { Some(Ipv4Addr::LOCALHOST.into()) } else { text.parse().ok() }
}

fn synchronous(text: &str) -> Option<bool> {
    match text.to_ascii_uppercase().as_str() {
        "FULL" => Some(true),
        "NORMAL" => Some(false),
        _ => None,
    }
}

fn filter(text: &str) -> Option<String> {
    tracing_subscriber::EnvFilter::builder().parse(text).ok()?;
    Some(text.to_owned())
}

fn index_name(text: &str) -> Option<String> {
    let fine = text.len() <= 45 && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    fine.then(|| text.to_owned())
}

fn namespace(text: &str) -> Option<String> {
    let fine = text.len() <= 512 && text.chars().all(|c| c.is_ascii() && !c.is_control()) && text != "__default__";
    fine.then(|| text.to_owned())
}

fn web_address(text: &str) -> Option<String> {
    let fine = url::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
    fine.then(|| text.to_owned())
}

fn metric(text: &str) -> Option<Metric> {
    [Metric::Cosine, Metric::Dotproduct, Metric::Euclidean].into_iter().find(|metric| metric.name() == text)
}

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
        "CORPUSD_GRACE_S",
        "How long a stopping server waits for requests under way",
        SECONDS,
        |c, v| put(&mut c.server.grace, seconds(v)),
        |c| seconds_text(c.server.grace),
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
        "Connections: for reading on SQLite, for everything on PostgreSQL",
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
        "How the local index compares vectors",
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
            "The key of the Pinecone target; must not be set",
            "the Pinecone target is not part of this version yet; \
             unset the variable (or set it to nothing) to run with the local index",
            |c, v| put(&mut c.index.pinecone.api_key, Some(Some(Secret::new(v)))),
            |_| String::new(),
        )
    },
    plain(
        Group::Pinecone,
        "PINECONE_ENVIRONMENT",
        "The region of an index that has to be created",
        "a region's name",
        |c, v| put(&mut c.index.pinecone.environment, Some(v.to_owned())),
        |c| c.index.pinecone.environment.clone(),
    ),
    Setting {
        shown: Shown::Url,
        ..plain(
            Group::Pinecone,
            "PINECONE_CONTROLLER_HOST",
            "Where indexes are listed and created",
            "an http or https URL",
            |c, v| put(&mut c.index.pinecone.controller_host, web_address(v)),
            |c| c.index.pinecone.controller_host.clone(),
        )
    },
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
];

#[cfg(test)]
mod tests {
    use super::*;

    fn with(values: &[(&str, &str)]) -> Result<Config, Vec<String>> {
        read(|setting| values.iter().find(|(name, _)| *name == setting.name).map(|(_, value)| OsString::from(value)))
            .map_err(|wrong| wrong.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn every_default_is_an_allowed_value_of_its_setting() {
        for setting in SETTINGS.iter().filter(|setting| !setting.default_text().is_empty()) {
            let mut config = Config::default();
            assert_eq!((setting.set)(&mut config, &setting.default_text()), Some(()), "{}", setting.name);
            assert_eq!((setting.get)(&config), setting.default_text(), "{}", setting.name);
        }
    }

    #[test]
    fn names_and_flags_are_unique() {
        let mut names: Vec<String> = SETTINGS.iter().map(|setting| setting.name.to_owned()).collect();
        names.extend(SETTINGS.iter().filter_map(Setting::flag));
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    fn a_wrong_value_names_the_variable_what_it_was_and_what_is_allowed() {
        assert_eq!(
            with(&[("CORPUSD_PORT", "abc"), ("DB_ECHO", "perhaps"), ("CORPUSD_METRIC", "cosine")]).unwrap_err(),
            [
                "CORPUSD_PORT: \"abc\" is not allowed: a whole number from 0 to 65535",
                "DB_ECHO: \"perhaps\" is not allowed: true or false",
            ]
        );
        for (name, value) in [
            ("CORPUSD_PORT", "65536"),
            ("CORPUSD_PORT", "-1"),
            ("CORPUSD_SYNC_LEASE_S", "NaN"),
            ("CORPUSD_SYNC_LEASE_S", "inf"),
            ("CORPUSD_SYNC_POLL_S", "0"),
            ("CORPUSD_MAX_BATCH", "0"),
            ("CORPUSD_SQLITE_SYNCHRONOUS", "OFF"),
            ("PINECONE_NAMESPACE", "__default__"),
            ("CORPUSD_VALIDATION_STATUS", "500"),
        ] {
            let wrong = with(&[(name, value)]).unwrap_err();
            assert!(wrong.len() == 1 && wrong[0].starts_with(&format!("{name}: \"{value}\"")), "{wrong:?}");
        }
    }

    #[test]
    fn the_timings_are_checked_together_and_only_by_their_three_rules() {
        for (name, value) in
            [("CORPUSD_SYNC_HEARTBEAT_S", "15"), ("CORPUSD_SYNC_TIMEOUT_S", "30"), ("CORPUSD_SYNC_DOUBT_S", "20")]
        {
            let wrong = with(&[(name, value)]).unwrap_err();
            assert!(wrong.len() == 1 && wrong[0].starts_with(&format!("{name}: \"{value}\"")), "{wrong:?}");
        }
        let tight = with(&[
            ("CORPUSD_SYNC_HEARTBEAT_S", "0.01"),
            ("CORPUSD_SYNC_LEASE_S", "0.05"),
            ("CORPUSD_SYNC_TIMEOUT_S", "0.02"),
            ("CORPUSD_SYNC_DOUBT_S", "0.03"),
        ]);
        assert_eq!(tight.unwrap().sync.lease, Duration::from_millis(50));
    }

    #[test]
    fn an_empty_value_is_the_default_and_a_key_is_never_shown() {
        let config = with(&[("CORPUSD_PORT", ""), ("PINECONE_API_KEY", "")]).unwrap();
        assert_eq!(config.server.port, 8000);
        assert_eq!(check_target(&config), Ok(()));
        let config = with(&[("PINECONE_API_KEY", "pcsk_123")]).unwrap();
        let told = check_target(&config).unwrap_err().to_string();
        assert!(told.starts_with("PINECONE_API_KEY: \"***\" is not allowed: the Pinecone target"), "{told}");
        assert!(!format!("{config:?}").contains("pcsk_123"));
    }

    #[test]
    fn a_url_is_shown_without_what_may_be_a_password() {
        for (url, shown) in [
            ("postgresql://u:secret@h/db", "postgresql://***"),
            ("u:secret@h/db", "***"),
            ("//u:secret@h", "***"),
            ("secret", "***"),
            ("sqlite:///a.db", "sqlite:///a.db"),
        ] {
            assert_eq!(redacted(url), shown);
        }
    }
}
