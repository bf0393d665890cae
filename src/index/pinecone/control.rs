//! Bodies of the control plane, in both of its dialects. Pure.
//!
//! Until 2026-04 an index has a dimension and a metric of its own; from 2026-07 they
//! stand in the field `_values` of its schema. An answer is read in either, whichever
//! was asked for.

use serde::Deserialize;
use serde_json::Value;
use serde_json::json;

use crate::config::Metric;

/// The first version that creates an index from a schema.
const SCHEMAS_SINCE: &str = "2026-07";
/// The field of a schema that the vectors API writes to.
const VALUES: &str = "_values";

/// What an index is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// Its name.
    pub name: &'a str,
    /// Numbers of a vector.
    pub dimension: u32,
    /// How it compares.
    pub metric: Metric,
    /// Whose machines.
    pub cloud: &'a str,
    /// Where they are.
    pub region: &'a str,
}

/// The body that creates an index, as that version of the API takes it.
#[must_use]
pub fn create(wanted: &Wanted<'_>, version: &str) -> Vec<u8> {
    let Wanted { name, dimension, metric, cloud, region } = wanted;
    let metric = metric.name();
    let body = if version >= SCHEMAS_SINCE {
        json!({
            "name": name,
            "schema": { "fields": { VALUES: { "type": "dense_vector", "dimension": dimension, "metric": metric } } },
            "deployment": { "deployment_type": "managed", "cloud": cloud, "region": region },
            "deletion_protection": "disabled",
            "tags": { "app": "corpusd" },
        })
    } else {
        json!({
            "name": name,
            "dimension": dimension,
            "metric": metric,
            "vector_type": "dense",
            "spec": { "serverless": { "cloud": cloud, "region": region } },
            "deletion_protection": "disabled",
            "tags": { "app": "corpusd" },
        })
    };
    body.to_string().into_bytes()
}

/// An index as the control plane describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Where its data plane is, without a slash at the end and with a scheme.
    pub host: String,
    /// Numbers of a vector.
    pub dimension: Option<u32>,
    /// How it compares; nothing for a way that is not known here.
    pub metric: Option<Metric>,
    /// Whether it takes requests.
    pub ready: bool,
    /// What it is doing.
    pub state: String,
}

#[derive(Debug, Deserialize)]
struct Model {
    #[serde(default)]
    host: String,
    status: Status,
    dimension: Option<u32>,
    metric: Option<String>,
    vector_type: Option<String>,
    schema: Option<Schema>,
}

#[derive(Debug, Deserialize)]
struct Status {
    #[serde(default)]
    ready: bool,
    #[serde(default)]
    state: String,
}

#[derive(Debug, Deserialize)]
struct Schema {
    #[serde(default)]
    fields: serde_json::Map<String, Value>,
}

#[derive(Debug, Deserialize)]
struct Dense {
    dimension: Option<u32>,
    metric: Option<String>,
}

/// Reads a description; a sentence about the index where it is of a kind that is not written to here, and
/// nothing where it is no description at all.
#[must_use]
pub fn read(body: &[u8]) -> Option<Result<Description, &'static str>> {
    let model: Model = serde_json::from_slice(body).ok()?;
    let (mut dimension, mut metric) = (model.dimension, model.metric);
    if let Some(schema) = model.schema {
        let Some(values) = schema.fields.get(VALUES) else {
            return Some(Err("it is a document index, which is not supported: use an index for vectors"));
        };
        if schema.fields.keys().any(|name| name != VALUES && name != "_sparse_values") {
            return Some(Err("it is a document index, which is not supported: use an index for vectors"));
        }
        let dense: Dense = serde_json::from_value(values.clone()).ok()?;
        (dimension, metric) = (dimension.or(dense.dimension), metric.or(dense.metric));
    }
    if model.vector_type.as_deref() == Some("sparse") {
        return Some(Err("it is an index of sparse vectors, which is not supported"));
    }
    let host = model.host.trim_end_matches('/');
    let host = if host.contains("://") || host.is_empty() { host.to_owned() } else { format!("https://{host}") };
    let metric = metric.as_deref().and_then(metric_named);
    Some(Ok(Description { host, dimension, metric, ready: model.status.ready, state: model.status.state }))
}

/// The metric of that name.
#[must_use]
pub fn metric_named(name: &str) -> Option<Metric> {
    [Metric::Cosine, Metric::Dotproduct, Metric::Euclidean].into_iter().find(|metric| metric.name() == name)
}

/// Whether an index in this state will never become ready by itself.
#[must_use]
pub fn is_lost(state: &str) -> bool {
    matches!(state, "InitializationFailed" | "Terminating" | "Disabled")
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: Wanted<'_> =
        Wanted { name: "corpus-a", dimension: 384, metric: Metric::Cosine, cloud: "aws", region: "us-east-1" };

    #[test]
    fn an_index_is_created_in_the_dialect_of_the_version() {
        let body = |version| serde_json::from_slice::<Value>(&create(&WANTED, version)).unwrap();
        for version in ["2025-04", "2025-10", "2026-04"] {
            assert_eq!(
                body(version),
                json!({"name":"corpus-a","dimension":384,"metric":"cosine","vector_type":"dense",
                    "deletion_protection":"disabled","tags":{"app":"corpusd"},
                    "spec":{"serverless":{"cloud":"aws","region":"us-east-1"}}})
            );
        }
        for version in ["2026-07", "2027-01"] {
            assert_eq!(
                body(version),
                json!({"name":"corpus-a",
                    "schema":{"fields":{"_values":{"type":"dense_vector","dimension":384,"metric":"cosine"}}},
                    "deployment":{"deployment_type":"managed","cloud":"aws","region":"us-east-1"},
                    "deletion_protection":"disabled","tags":{"app":"corpusd"}})
            );
        }
    }

    #[test]
    fn an_index_is_read_in_both_dialects() {
        let classic = br#"{"name":"corpus-a","dimension":384,"metric":"cosine","vector_type":"dense",
            "host":"corpus-a-ab12.svc.aped-1.pinecone.io","status":{"ready":true,"state":"Ready"},
            "spec":{"serverless":{"cloud":"aws","region":"us-east-1","read_capacity":{"mode":"OnDemand"}}}}"#;
        let schema = br#"{"name":"corpus-a","host":"corpus-a-ab12.svc.aped-1.pinecone.io","tags":null,
            "status":{"ready":true,"state":"Ready"},"deployment":{"deployment_type":"managed"},
            "schema":{"fields":{"_values":{"type":"dense_vector","dimension":384,"metric":"cosine"}}}}"#;
        let expected = Description {
            host: "https://corpus-a-ab12.svc.aped-1.pinecone.io".to_owned(),
            dimension: Some(384),
            metric: Some(Metric::Cosine),
            ready: true,
            state: "Ready".to_owned(),
        };
        assert_eq!(read(classic), Some(Ok(expected.clone())));
        assert_eq!(read(schema), Some(Ok(expected)));
    }

    #[test]
    fn what_cannot_be_written_to_is_told_apart_from_what_is_no_index() {
        for body in [
            r#"{"status":{"ready":true},"host":"h","schema":{"fields":{"title":{"type":"string"}}}}"#,
            r#"{"status":{"ready":true},"host":"h","schema":{"fields":{"_values":{},"title":{"type":"string"}}}}"#,
            r#"{"status":{"ready":true},"host":"h","metric":"dotproduct","vector_type":"sparse"}"#,
        ] {
            assert!(read(body.as_bytes()).unwrap().unwrap_err().contains("not supported"), "{body}");
        }
        for body in ["", "<html>", "{}", r#"{"indexes":[]}"#] {
            assert_eq!(read(body.as_bytes()), None, "{body}");
        }
        let young = read(br#"{"status":{"ready":false,"state":"Initializing"},"host":"http://127.0.0.1:1/i/a/"}"#);
        let young = young.unwrap().unwrap();
        assert_eq!((young.host.as_str(), young.ready), ("http://127.0.0.1:1/i/a", false));
        assert!(is_lost("InitializationFailed") && !is_lost("Initializing") && !is_lost("SomethingNew"));
    }
}
