//! A request, read whole.

use std::sync::OnceLock;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header;
use bytes::Bytes;
use bytes::BytesMut;
use futures_util::StreamExt as _;
use url::form_urlencoded;

use crate::emulator::contents;
use crate::emulator::operation::Operation;
use crate::emulator::refusal::Kind;
use crate::emulator::refusal::Refusal;
use crate::json::Json;
use crate::json::Literals;

/// Bytes of a body.
pub const BODY: usize = 2 * 1024 * 1024;
/// Bytes that are read and thrown away so that a client that sent too much hears it.
const DRAIN: usize = 64 * 1024 * 1024;

/// A request, read whole.
#[derive(Debug)]
pub struct Call {
    /// What it asks for.
    pub operation: Operation,
    /// The method.
    pub method: String,
    /// The path as it was sent, without the query.
    pub path: String,
    /// The index in the path, decoded.
    pub index: String,
    /// The namespace in the path, decoded.
    pub space: String,
    /// The query, decoded.
    pub query: Vec<(String, String)>,
    /// The headers.
    pub headers: HeaderMap,
    /// Where the server says it is: what hosts of indexes begin with.
    pub base: String,
    /// The body; what is over the limit is left out.
    pub body: Bytes,
    /// How long the body was.
    pub size: usize,
    /// The body as JSON.
    pub json: OnceLock<Result<Json, Refusal>>,
}

impl Call {
    /// A header's text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// A parameter of the query; an empty one is as good as none.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        found.filter(|value| !value.is_empty())
    }

    /// The body as an object; an empty body is an empty one.
    ///
    /// # Errors
    /// When it is too large, no JSON or no object.
    pub fn object(&self) -> Result<&Json, Refusal> {
        let json = self.json.get_or_init(|| self.parse());
        json.as_ref().map_err(Clone::clone)
    }

    fn parse(&self) -> Result<Json, Refusal> {
        if self.size > BODY {
            return Err(Refusal::new(Kind::TooLarge, "Your request is larger than the maximum supported size - 2MB"));
        }
        if self.body.is_empty() {
            return Ok(Json::Object(Vec::new()));
        }
        let json = Json::parse(&self.body, Literals::Strict)
            .map_err(|error| Refusal::invalid(format!("The body is not valid JSON: {error}")))?;
        match json {
            Json::Object(_) => Ok(json),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => {
                Err(Refusal::invalid("The body must be a JSON object"))
            }
        }
    }

    /// The namespace that the request names, under its one name; for matching and for the log.
    #[must_use]
    pub fn named_space(&self) -> Option<&str> {
        match self.operation {
            Operation::Fetch | Operation::List => Some(contents::namespace(self.param("namespace"))),
            Operation::DescribeNamespace | Operation::DeleteNamespace => Some(contents::namespace(Some(&self.space))),
            Operation::Upsert
            | Operation::Update
            | Operation::Delete
            | Operation::Query
            | Operation::FetchByMetadata => {
                let body = self.object().ok()?;
                Some(contents::namespace(body.get("namespace").and_then(Json::as_str)))
            }
            Operation::ListIndexes
            | Operation::CreateIndex
            | Operation::DescribeIndex
            | Operation::ConfigureIndex
            | Operation::DeleteIndex
            | Operation::Stats
            | Operation::ListNamespaces
            | Operation::CreateNamespace
            | Operation::ControlMissing
            | Operation::DataMissing
            | Operation::Unknown => None,
        }
    }

    /// The ids of records that the request names; for matching and for the log.
    #[must_use]
    pub fn ids(&self) -> Vec<&str> {
        if self.operation == Operation::Fetch {
            return self.query.iter().filter(|(key, _)| key == "ids").map(|(_, id)| id.as_str()).collect();
        }
        let Ok(body) = self.object() else { return Vec::new() };
        let items = |key: &str| match body.get(key) {
            Some(Json::Array(items)) => items.as_slice(),
            _ => &[],
        };
        let of_vectors = items("vectors").iter().filter_map(|vector| vector.get("id"));
        let of_ids = items("ids").iter();
        of_vectors.chain(of_ids).chain(body.get("id")).filter_map(Json::as_str).collect()
    }
}

/// Reads a query string: percent and `+` decoded.
pub fn query(text: Option<&str>) -> Vec<(String, String)> {
    form_urlencoded::parse(text.unwrap_or_default().as_bytes()).into_owned().collect()
}

/// Reads a body; gives what fits, how long it was, and whether its end came.
pub async fn body(body: Body) -> (Bytes, usize, bool) {
    let mut stream = body.into_data_stream();
    let (mut kept, mut size) = (BytesMut::new(), 0);
    while let Some(part) = stream.next().await {
        let Ok(part) = part else { return (kept.freeze(), size, false) };
        size += part.len();
        if size <= BODY {
            kept.extend_from_slice(&part);
        } else if size > DRAIN {
            return (Bytes::new(), size, true);
        } else {
            kept.clear();
        }
    }
    (kept.freeze(), size, true)
}

/// The headers that the request log keeps: not the key, and nothing else that may be one.
pub fn loggable(headers: &HeaderMap) -> Vec<(String, String)> {
    let secret = ["api-key", header::AUTHORIZATION.as_str(), header::COOKIE.as_str()];
    let shown = headers.iter().filter(|(name, _)| !secret.contains(&name.as_str()));
    shown.map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())).collect()
}
