//! Where and how to listen, and who is let in.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::time::Duration;

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
