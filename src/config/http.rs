//! How the server meets its clients over HTTP: whom it answers, and how long it waits for them.

use std::time::Duration;

/// How the server meets its clients.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// `CORPUSD_CORS_ORIGINS`: the pages of other sites that may ask.
    pub cors: Cors,
    /// `CORPUSD_HOSTS`: names under which the server is asked, beside those of this machine.
    pub hosts: Vec<String>,
    /// `CORPUSD_SLOW_REQUEST_S`: an answer that takes longer is told in the log.
    pub slow: Duration,
}

/// The pages of other sites that may ask.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Cors {
    /// None.
    #[default]
    Closed,
    /// Those of these origins, as a browser writes them.
    Origins(Vec<String>),
    /// All.
    Any,
}

impl Cors {
    /// As it is written in settings.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Closed => String::new(),
            Self::Origins(origins) => origins.join(","),
            Self::Any => "*".to_owned(),
        }
    }
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self { cors: Cors::Closed, hosts: Vec::new(), slow: Duration::from_secs(5) }
    }
}
