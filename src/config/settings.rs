//! Settings: how a value that somebody wrote down becomes a field of the tree, or is refused.
//!
//! A value is looked for on the command line, then in the environment, then in
//! `.env`; an empty one means the default. [`read`] turns what was found into a
//! [`Config`], or tells everything that is wrong at once. Nothing here looks
//! anything up by itself. Every name is in [`table`], what a value may be in [`value`].

pub mod table;
pub mod value;

use std::ffi::OsString;
use std::fmt;

use crate::config::Config;
use crate::config::settings::table::SETTINGS;
use crate::config::settings::value::SWITCH;
use crate::config::settings::value::SWITCH_OR_AUTO;
use crate::config::settings::value::seconds_text;

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
    GraphQl,
    Socket,
    Persisted,
}

impl Group {
    /// The heading's text.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Server => "Server",
            Self::Database => "Database",
            Self::Index => "Vector index",
            Self::Pinecone => "Pinecone (the vector index, when PINECONE_API_KEY is set)",
            Self::Sync => "Sync",
            Self::Limits => "Limits",
            Self::GraphQl => "Limits of a GraphQL request",
            Self::Socket => "WebSocket",
            Self::Persisted => "GraphQL documents that clients name instead of sending them",
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

    /// Whether it is a yes or a no, so that its flag alone says yes.
    #[must_use]
    pub fn is_switch(&self) -> bool {
        [SWITCH, SWITCH_OR_AUTO].contains(&self.allowed)
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::Secret;

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
            ("PINECONE_API_VERSION", "latest"),
            ("PINECONE_CLOUD", "Aws"),
            ("PINECONE_ENVIRONMENT", "gcp-starter"),
            ("CORPUSD_PINECONE_SHARE", "0"),
            ("CORPUSD_CORS_ORIGINS", "https://a.example,*"),
            ("CORPUSD_CORS_ORIGINS", "a.example"),
            ("CORPUSD_CORS_ORIGINS", "https://a.example/path"),
            ("CORPUSD_HOSTS", "a.example:80"),
            ("CORPUSD_HOSTS", "a.example,,b.example"),
            ("CORPUSD_ALLOW_ANONYMOUS", "perhaps"),
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
        assert_eq!((config.server.port, config.index.pinecone.api_key), (8000, None));
        let config = with(&[("PINECONE_API_KEY", " pcsk_123\n")]).unwrap();
        assert_eq!(config.index.pinecone.api_key.as_ref().map(Secret::reveal), Some("pcsk_123"));
        assert!(!format!("{config:?}").contains("pcsk_123"));
        for wrong in ["pcsk 123", "pcsk_\u{e9}", "pcsk_\u{7f}"] {
            let told = with(&[("PINECONE_API_KEY", wrong)]).unwrap_err();
            assert!(told.len() == 1 && told[0].starts_with("PINECONE_API_KEY: \"***\" is not allowed"), "{told:?}");
        }
    }

    #[test]
    fn a_host_is_https_unless_it_says_otherwise() {
        for (given, host) in [
            ("api.example.com", "https://api.example.com"),
            ("http://127.0.0.1:8/", "http://127.0.0.1:8"),
            ("https://h/i/one/", "https://h/i/one"),
        ] {
            let config = with(&[("PINECONE_CONTROLLER_HOST", given), ("PINECONE_INDEX_HOST", given)]).unwrap();
            assert_eq!(config.index.pinecone.controller_host, host);
            assert_eq!(config.index.pinecone.index_host.as_deref(), Some(host));
        }
        for wrong in ["ftp://h", "http://", "a b", "http://h/?q=1", "https://u:p@h"] {
            assert_eq!(with(&[("PINECONE_INDEX_HOST", wrong)]).unwrap_err().len(), 1, "{wrong}");
        }
    }

    #[test]
    fn origins_and_hosts_are_compared_as_browsers_write_them() {
        let config = with(&[
            ("CORPUSD_CORS_ORIGINS", "HTTPS://A.example:443/, http://b.example:8080,tauri://localhost"),
            ("CORPUSD_HOSTS", "Corpus.Example., ::1,10.0.0.1"),
        ])
        .unwrap();
        assert_eq!(config.http.cors.text(), "https://a.example,http://b.example:8080,tauri://localhost");
        assert_eq!(config.http.hosts, ["corpus.example", "[::1]", "10.0.0.1"]);
        assert_eq!(with(&[("CORPUSD_CORS_ORIGINS", "*")]).unwrap().http.cors, crate::config::http::Cors::Any);
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
