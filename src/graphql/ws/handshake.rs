//! The opening handshake of a WebSocket (RFC 6455, 4.2).

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::HeaderName;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::Version;
use axum::http::header;
use axum::http::request::Parts;
use axum::response::IntoResponse as _;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::upgrade::OnUpgrade;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::error::Code;
use crate::graphql::http::Refused;
use crate::graphql::http::refused;

const PROTOCOL: &str = "graphql-transport-ws";
/// The one version there is.
const VERSION: HeaderValue = HeaderValue::from_static("13");

/// A handshake that can be answered.
#[derive(Debug)]
pub struct Opening {
    /// The answer.
    pub response: Response,
    /// The connection, once the answer is sent.
    pub upgrade: OnUpgrade,
    /// Whether the client speaks our protocol.
    pub agreed: bool,
}

/// Reads the handshake of a GET that asks for a WebSocket.
///
/// # Errors
/// The answer to one that is no handshake.
pub fn read(parts: &mut Parts) -> Result<Opening, Box<Response>> {
    let headers = &parts.headers;
    if headers.get(header::SEC_WEBSOCKET_VERSION) != Some(&VERSION) {
        return Err(unfit(StatusCode::UPGRADE_REQUIRED, "The version of a WebSocket is 13"));
    }
    let connection = tokens(headers, &header::CONNECTION).any(|token| token.eq_ignore_ascii_case(b"upgrade"));
    if !connection || parts.version < Version::HTTP_11 {
        return Err(unfit(StatusCode::BAD_REQUEST, "A WebSocket is asked for over HTTP/1.1 with Connection: upgrade"));
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes).unwrap_or_default();
    if STANDARD.decode(key).map(|nonce| nonce.len()) != Ok(16) {
        return Err(unfit(StatusCode::BAD_REQUEST, "Sec-WebSocket-Key must be 16 bytes in base64"));
    }
    let accept = HeaderValue::try_from(derive_accept_key(key)).unwrap_or(HeaderValue::from_static(""));
    let agreed = tokens(headers, &header::SEC_WEBSOCKET_PROTOCOL).any(|token| token == PROTOCOL.as_bytes());
    let Some(upgrade) = parts.extensions.remove::<OnUpgrade>() else {
        return Err(unfit(StatusCode::BAD_REQUEST, "This connection cannot become a WebSocket"));
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let answer = response.headers_mut();
    answer.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    answer.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    answer.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    if agreed {
        answer.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
    }
    Ok(Opening { response, upgrade, agreed })
}

/// The parts of a header that is a list.
fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    let lines = headers.get_all(name).iter();
    lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii)
}

fn unfit(status: StatusCode, sentence: &str) -> Box<Response> {
    let error = refused(Code::BadUserInput, sentence.to_owned(), None);
    let body = serde_json::to_vec(&Refused(&[error])).unwrap_or_default();
    let json = HeaderValue::from_static("application/json");
    Box::new((status, [(header::CONTENT_TYPE, json), (header::SEC_WEBSOCKET_VERSION, VERSION)], body).into_response())
}
