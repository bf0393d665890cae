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
    /// `CORPUSD_MAX_CONNECTIONS`
    pub connections: usize,
    /// `CORPUSD_HEADER_TIMEOUT_S`: for the head of a request, from its first byte on.
    pub head: Duration,
    /// `CORPUSD_IDLE_TIMEOUT_S`: for the next request of a connection.
    pub idle: Duration,
    /// `CORPUSD_BODY_TIMEOUT_S`: the longest pause in a body.
    pub body: Duration,
    /// `CORPUSD_BODY_RATE`: bytes of a body in a second that the server waits for it.
    pub body_rate: u64,
    /// `CORPUSD_WRITE_TIMEOUT_S`: for a client to take more of an answer.
    pub write: Duration,
    /// `CORPUSD_MAX_REQUESTS` that are worked on at a time.
    pub requests: usize,
    /// `CORPUSD_QUEUE_S`: how long one more waits for a place.
    pub queue: Duration,
    /// `CORPUSD_MAX_BODIES_BYTES` of all requests at a time.
    pub bodies_bytes: usize,
    /// How much one client may ask in a while.
    pub rate: RateConfig,
}

/// How much one client may ask in a while.
#[derive(Debug, Clone)]
pub struct RateConfig {
    /// `CORPUSD_RATE_POINTS` in the window, or 0 for as much as it likes.
    pub points: u64,
    /// `CORPUSD_RATE_WINDOW_S`
    pub window: Duration,
    /// `CORPUSD_RATE_LOCAL`: also for who asks from this machine without a key.
    pub local: bool,
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
        Self {
            cors: Cors::Closed,
            hosts: Vec::new(),
            slow: Duration::from_secs(5),
            connections: 16_384,
            head: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            body: Duration::from_secs(10),
            body_rate: 4_096,
            write: Duration::from_secs(60),
            requests: 128,
            queue: Duration::from_millis(100),
            bodies_bytes: 67_108_864,
            rate: RateConfig { points: 600_000, window: Duration::from_secs(60), local: false },
        }
    }
}
