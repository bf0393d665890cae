//! Who may ask: the host that was meant, and the page that asks.
//!
//! A browser lets every page send requests to every server, this one included. A page that made its own name point
//! here (DNS rebinding) is told by the host that it names; any other page by what the browser says of where it comes
//! from. Programs that are no browsers say nothing of the kind, and nothing is asked of them.

use std::net::IpAddr;

use axum::body::Body;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::HeaderValue;
use axum::http::Method;
use axum::http::StatusCode;
use axum::http::header;
use axum::http::uri::Authority;
use axum::response::Response;
use url::Url;

use crate::config::Config;
use crate::config::http::Cors;
use crate::error::Code;
use crate::server::refusal::Refusal;

/// What a page of another site may read beside the body.
const EXPOSED: &str =
    "x-corpus-revision, x-request-id, retry-after, link, x-total-count, etag, ratelimit, ratelimit-policy";
const METHODS: &str = "GET, HEAD, POST, PUT, DELETE";
/// How long a browser may keep the answer to a preflight, in seconds.
const PREFLIGHT_AGE: &str = "600";

/// Where a request comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asker {
    /// No page, as far as anybody says.
    Program,
    /// A page of this server.
    Own,
    /// A page of another site that may ask, and how the answer names it.
    Named(HeaderValue),
    /// Any other page.
    Foreign,
}

/// Looks at the host that a request is meant for and at the page that sends it.
///
/// # Errors
/// The refusal of a request for another host, or of one that no page of that site may send.
pub fn judge(config: &Config, request: &Request) -> Result<Asker, Refusal> {
    let meant = meant(request)?;
    if !meant.as_ref().is_none_or(|meant| serves(config, meant)) {
        let detail = "This host is not served here: CORPUSD_HOSTS names those that are";
        return Err(Refusal::new(StatusCode::FORBIDDEN, Code::Forbidden, detail));
    }
    let asker = asker(&config.http.cors, request.headers(), meant.as_ref());
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    // What is said over a WebSocket is read by whoever opened it.
    if asker == Asker::Foreign && (changes || request.headers().contains_key(header::UPGRADE)) {
        let detail = "A page of another site may not ask this: CORPUSD_CORS_ORIGINS names those that may";
        return Err(Refusal::new(StatusCode::FORBIDDEN, Code::Forbidden, detail));
    }
    Ok(asker)
}

/// The host that a request is meant for (RFC 9112, 3.2).
fn meant(request: &Request) -> Result<Option<Authority>, Refusal> {
    let unclear = Refusal::new(StatusCode::BAD_REQUEST, Code::BadUserInput, "The Host header is not one host");
    if let Some(authority) = request.uri().authority() {
        return Ok(Some(authority.clone()));
    }
    let mut lines = request.headers().get_all(header::HOST).iter();
    match (lines.next(), lines.next()) {
        (None, _) => Ok(None),
        (Some(line), None) => match Authority::try_from(line.as_bytes()) {
            Ok(authority) if !authority.as_str().contains('@') => Ok(Some(authority)),
            Ok(_) | Err(_) => Err(unclear),
        },
        (Some(_), Some(_)) => Err(unclear),
    }
}

/// Whether the server is asked under this name. Only names that were made to point here are of interest, so a server
/// that others reach answers to any address, and to any name unless it was told its own.
fn serves(config: &Config, meant: &Authority) -> bool {
    let local = config.server.host.to_canonical().is_loopback();
    let host = meant.host().trim_end_matches('.').to_ascii_lowercase();
    let named = config.http.hosts.contains(&host);
    if named || (!local && config.http.hosts.is_empty()) {
        return true;
    }
    match host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        Ok(address) => !local || address.to_canonical().is_loopback(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

fn asker(cors: &Cors, headers: &HeaderMap, meant: Option<&Authority>) -> Asker {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let origin = origins.next();
    if origins.next().is_some() {
        return Asker::Foreign;
    }
    let fetched = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    match cors {
        Cors::Any if origin.is_some() || fetched.is_some() => return Asker::Named(HeaderValue::from_static("*")),
        Cors::Origins(named) => {
            if let Some(origin) = origin
                && origin.to_str().is_ok_and(|text| named.contains(&text.to_ascii_lowercase()))
            {
                return Asker::Named(origin.clone());
            }
        }
        Cors::Any | Cors::Closed => {}
    }
    match (fetched, origin) {
        (Some(b"same-origin" | b"none"), _) => Asker::Own,
        (Some(_), _) => Asker::Foreign,
        (None, None) => Asker::Program,
        (None, Some(origin)) => {
            let own = meant.is_some_and(|meant| origin.to_str().is_ok_and(|origin| same(origin, meant)));
            if own { Asker::Own } else { Asker::Foreign }
        }
    }
}

/// Whether the page's origin is the host that it asks. Its scheme is not known here: whoever speaks TLS to the outside
/// stands in front of this server.
fn same(origin: &str, meant: &Authority) -> bool {
    let Ok(url) = Url::parse(origin) else { return false };
    let host = url.host_str().is_some_and(|host| host.eq_ignore_ascii_case(meant.host()));
    let port = match meant.port_u16() {
        None => url.port().is_none(),
        Some(port) => url.port_or_known_default() == Some(port),
    };
    host && port
}

/// Answers the question of a browser whether a page may ask; nothing when it is none, or the page may not.
#[must_use]
pub fn preflight(asker: &Asker, request: &Request) -> Option<Response> {
    let Asker::Named(_) = asker else { return None };
    let asked = request.headers().get(header::ACCESS_CONTROL_REQUEST_METHOD);
    if request.method() != Method::OPTIONS || asked.is_none() {
        return None;
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(PREFLIGHT_AGE));
    // None of them says who asks but the key, and a page that has one may send it.
    if let Some(wanted) = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    Some(response)
}

/// Tells the browser whether the page may read the answer.
pub fn tell(cors: &Cors, asker: &Asker, headers: &mut HeaderMap) {
    if matches!(cors, Cors::Origins(_)) {
        headers.append(header::VARY, HeaderValue::from_static("origin"));
    }
    if let Asker::Named(origin) = asker {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authority(text: &str) -> Authority {
        text.parse().unwrap()
    }

    #[test]
    fn a_page_is_of_this_server_when_it_has_its_host_and_port() {
        for (origin, host, own) in [
            ("http://localhost:8000", "localhost:8000", true),
            ("http://LOCALHOST:8000", "localhost:8000", true),
            ("http://localhost:8001", "localhost:8000", false),
            ("https://a.example", "a.example", true),
            ("https://a.example", "a.example:443", true),
            ("http://a.example", "a.example:443", false),
            ("https://a.example:8443", "a.example", false),
            ("https://a.example.evil", "a.example", false),
            ("http://[::1]:8000", "[::1]:8000", true),
            ("null", "localhost", false),
            ("", "localhost", false),
        ] {
            assert_eq!(same(origin, &authority(host)), own, "{origin} {host}");
        }
    }

    #[test]
    fn a_local_server_answers_to_names_of_this_machine_only() {
        let mut config = Config::default();
        config.http.hosts = vec!["corpus.lan".to_owned()];
        for (host, served) in [
            ("localhost", true),
            ("localhost:8000", true),
            ("LocalHost.", true),
            ("app.localhost:1", true),
            ("127.0.0.1:8000", true),
            ("127.1.2.3", true),
            ("[::1]:8000", true),
            ("[::ffff:127.0.0.1]", true),
            ("corpus.lan:80", true),
            ("evil.example", false),
            ("notlocalhost", false),
            ("localhost.evil.example", false),
            ("10.0.0.1", false),
            ("0.0.0.0", false),
        ] {
            assert_eq!(serves(&config, &authority(host)), served, "{host}");
        }
    }

    #[test]
    fn a_server_that_others_reach_answers_to_any_name_until_it_is_told_its_own() {
        let mut config = Config::default();
        config.server.host = "0.0.0.0".parse().unwrap();
        assert!(serves(&config, &authority("anything.example")));
        config.http.hosts = vec!["corpus.example".to_owned()];
        for (host, served) in
            [("corpus.example", true), ("10.0.0.1", true), ("[fd00::1]:80", true), ("anything.example", false)]
        {
            assert_eq!(serves(&config, &authority(host)), served, "{host}");
        }
    }
}
