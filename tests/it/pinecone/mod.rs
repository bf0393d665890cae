//! Pinecone as a target: the wire first, against a server that answers as a test says.

use std::sync::Arc;
use std::time::Duration;

use corpusd::config::Config;
use corpusd::config::Secret;
use corpusd::index;
use corpusd::index::IndexErrorKind;
use corpusd::index::VectorIndex;
use corpusd::index::VectorQuery;
use corpusd::index::VectorRecord;
use serde_json::json;

use crate::support::TestApp;

mod edges;
mod faults;
mod lab;
mod reconcile;
mod script;
mod wire;

/// The index of the default configuration.
const INDEX: &str = "asktemoc";
/// The key that must not be seen anywhere.
const KEY: &str = "pcsk_planted_secret";

/// An application's configuration for a service at `address`.
fn at(config: &mut Config, address: &str) {
    config.index.pinecone.api_key = Some(Secret::new(KEY));
    config.index.pinecone.controller_host = address.to_owned();
}

fn record(id: &str, values: &[f32]) -> VectorRecord {
    VectorRecord { id: id.to_owned(), values: values.to_vec(), metadata: "{\"n\":1}".to_owned() }
}

fn query(namespace: &str, vector: &[f32]) -> VectorQuery {
    VectorQuery {
        namespace: Some(namespace.to_owned()),
        vector: vector.to_vec(),
        top_k: 3,
        filter: None,
        metadata: true,
    }
}
