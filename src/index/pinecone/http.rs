//! One exchange over HTTP: the key, the version, a deadline, and an answer that is read to its end.
//!
//! One client, so one pool of connections. Nothing is tried again here and no redirect
//! is followed: what an exchange means is for [`answer`] and the engine to say.
//!
//! [`answer`]: crate::index::pinecone::answer

use std::error::Error as _;
use std::time::Duration;

use reqwest::Client;
use reqwest::ClientBuilder;
use reqwest::Method;
use reqwest::Response;
use reqwest::header::CONTENT_TYPE;
use reqwest::header::HeaderMap;
use reqwest::header::HeaderValue;
use reqwest::header::RETRY_AFTER;

use crate::clock::Clock;
use crate::config::Secret;
use crate::index::IndexError;
use crate::index::IndexErrorKind;
use crate::index::IndexResult;
use crate::index::pinecone::answer::Answer;
use crate::index::pinecone::retry_after;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an idle connection is kept: the service drops it after ten minutes.
const IDLE: Duration = Duration::from_secs(240);
/// Idle connections: as many as requests are under way at most.
const CONNECTIONS: usize = 16;
/// Bytes of an answer that are read at most: a page of the widest vectors fits.
const MOST: usize = 64 << 20;
/// Headers with the sequence number of a write, the newer name first.
const WRITTEN: [&str; 2] = ["x-pinecone-request-lsn", "x-pinecone-lsn-committed"];
/// Headers with the newest sequence number that a query sees.
const INDEXED: [&str; 2] = ["x-pinecone-max-indexed-lsn", "x-pinecone-lsn-reconciled"];

/// The client of one account.
pub struct Http {
    client: Client,
    key: HeaderValue,
    secret: Secret,
    version: HeaderValue,
    deadline: Duration,
    clock: Clock,
}

impl std::fmt::Debug for Http {
    /// Without the key, whatever its parts would show.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Http").field("version", &self.version).field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

impl Http {
    /// A client that sends `secret` as its key and gives every exchange so long.
    ///
    /// # Errors
    /// A sentence, when the key or the version cannot travel in a header or there can be no client at all.
    pub fn new(secret: Secret, version: &str, deadline: Duration, clock: Clock) -> Result<Self, String> {
        let mut key = HeaderValue::from_str(secret.reveal()).map_err(|_| "the API key cannot be sent".to_owned())?;
        key.set_sensitive(true);
        let version = HeaderValue::from_str(version).map_err(|_| "the API version cannot be sent".to_owned())?;
        // Somebody else in this process may have been first; then it is the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = builder(deadline).build().or_else(|error| {
            // A machine without certificates can still speak plain HTTP; TLS then fails as it connects, and says so.
            tracing::warn!(error = causes(&error), "no certificate authorities: TLS cannot be used");
            builder(deadline).tls_certs_only([]).build()
        });
        let client = client.map_err(|error| format!("no HTTP client can be made: {}", causes(&error)))?;
        Ok(Self { client, key, secret, version, deadline, clock })
    }

    /// How long one exchange may take.
    pub const fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Sends a request, with a JSON body or without one, and reads the answer.
    ///
    /// # Errors
    /// [`IndexErrorKind::NotApplied`] when nothing of it was sent, [`IndexErrorKind::InDoubt`] when no answer came,
    /// [`IndexErrorKind::TargetFault`] when the address is none.
    pub async fn exchange(&self, method: Method, url: &str, body: Option<Vec<u8>>) -> IndexResult<Answer> {
        let mut request = self.client.request(method.clone(), url);
        request = request.header("api-key", &self.key).header("x-pinecone-api-version", &self.version);
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body);
        }
        let exchange = async {
            let response = request.send().await.map_err(|error| self.failed(&error))?;
            Ok(self.read(response).await)
        };
        let answer = tokio::time::timeout(self.deadline, exchange).await.unwrap_or_else(|_| {
            Err(IndexError::new(IndexErrorKind::InDoubt, format!("no answer within {:?}", self.deadline)))
        });
        let path = url.split_once("://").map_or(url, |(_, rest)| rest).split(['?']).next().unwrap_or_default();
        match &answer {
            Ok(answer) => tracing::debug!(%method, path, answer.status, answer.request_id, "asked Pinecone"),
            Err(error) => tracing::debug!(%method, path, %error, "asked Pinecone"),
        }
        answer
    }

    /// A text that may have come from outside, as one line that may be shown: without the key, and not long.
    pub fn one_line(&self, text: &str) -> String {
        one_line(&text.replace(self.secret.reveal(), "***"))
    }

    async fn read(&self, mut response: Response) -> Answer {
        let headers = response.headers();
        let mut answer = Answer {
            status: response.status().as_u16(),
            retry_after: headers
                .get(RETRY_AFTER)
                .and_then(|value| retry_after::parse(value.to_str().ok()?, self.clock.now_us())),
            written: number(headers, WRITTEN),
            indexed: number(headers, INDEXED),
            request_id: headers
                .get("x-pinecone-request-id")
                .and_then(|id| id.to_str().ok())
                .map(|id| self.one_line(id))
                .filter(|id| id.len() <= 100),
            body: Vec::new(),
            broken: None,
        };
        loop {
            match response.chunk().await {
                Ok(Some(part)) if answer.body.len() + part.len() <= MOST => answer.body.extend_from_slice(&part),
                Ok(Some(_)) => {
                    answer.broken = Some(format!("it is longer than {MOST} bytes"));
                    return answer;
                }
                Ok(None) => return answer,
                Err(error) => {
                    answer.broken = Some(self.one_line(&causes(&error)));
                    return answer;
                }
            }
        }
    }

    fn failed(&self, error: &reqwest::Error) -> IndexError {
        let causes = self.one_line(&causes(error));
        if error.is_builder() {
            return IndexError::new(IndexErrorKind::TargetFault, format!("the address cannot be used: {causes}"));
        }
        // DNS, TCP and TLS come before the first byte of the request; after it everything is possible.
        if error.is_connect() {
            IndexError::new(IndexErrorKind::NotApplied, format!("no connection: {causes}"))
        } else {
            IndexError::new(IndexErrorKind::InDoubt, format!("no answer: {causes}"))
        }
    }
}

fn builder(deadline: Duration) -> ClientBuilder {
    Client::builder()
        .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"), "; source_tag=corpusd"))
        .http1_only()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .tcp_nodelay(true)
        .connect_timeout(CONNECT.min(deadline))
        .pool_max_idle_per_host(CONNECTIONS)
        .pool_idle_timeout(IDLE)
}

fn number(headers: &HeaderMap, names: [&str; 2]) -> Option<i64> {
    names.into_iter().find_map(|name| headers.get(name)?.to_str().ok()?.trim().parse().ok())
}

/// What an error says, and the last of its causes, which says most.
fn causes(error: &reqwest::Error) -> String {
    let mut last = None;
    let mut next = error.source();
    while let Some(cause) = next {
        last = Some(cause.to_string());
        next = cause.source();
    }
    last.unwrap_or_else(|| if error.is_timeout() { "it took too long".to_owned() } else { "it broke off".to_owned() })
}

/// Any text as one line of at most some hundred characters.
#[must_use]
pub fn one_line(text: &str) -> String {
    const CHARACTERS: usize = 400;
    let mut line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.retain(|letter| !letter.is_control());
    match line.char_indices().nth(CHARACTERS) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}
