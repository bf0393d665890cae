//! Servers as processes of their own whose target is the emulator, and what index and rows hold at the end.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use corpusd::emulator::Emulator;
use corpusd::emulator::Options;
use serde_json::Value;
use serde_json::json;
use tokio::process::Command;

use crate::support::http;
use crate::support::process::Serving;
use crate::support::process::corpusd;

/// The index and the namespace of everything here.
pub const INDEX: &str = "asktemoc";
pub const NAMESPACE: &str = "default";
/// How long something may take that must come to its end.
pub const PATIENCE: Duration = Duration::from_secs(900);
/// Short times of the engine: heartbeat, lease, timeout and doubt.
pub const BRISK: [(&str, &str); 4] = [
    ("CORPUSD_SYNC_HEARTBEAT_S", "0.3"),
    ("CORPUSD_SYNC_LEASE_S", "2"),
    ("CORPUSD_SYNC_TIMEOUT_S", "1.5"),
    ("CORPUSD_SYNC_DOUBT_S", "2.5"),
];

/// A number that a longer run may raise.
pub fn raised(name: &str, ordinary: usize) -> usize {
    std::env::var_os(name).and_then(|text| text.to_str()?.parse().ok()).unwrap_or(ordinary)
}

/// A server over `url` whose target is `emulator`.
pub async fn serve(folder: &Path, url: &str, emulator: &str, settings: &[(&str, &str)]) -> Serving {
    Serving::start(serving(corpusd(folder, &["serve", "--port", "0", "--database-url", url]), emulator, settings)).await
}

/// `command` with what such a server is told.
pub fn serving(mut command: Command, emulator: &str, settings: &[(&str, &str)]) -> Command {
    command.env("PINECONE_API_KEY", "pclocal").env("PINECONE_CONTROLLER_HOST", emulator).envs(BRISK);
    command.envs(settings.iter().copied());
    command
}

/// What a server answered.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    /// The corpus revision of what it wrote.
    pub revision: Option<i64>,
    pub body: Value,
}

/// A client of one server, for as long as that lives.
pub struct Client {
    http: reqwest::Client,
    address: String,
}

impl Client {
    pub fn new(serving: &Serving) -> Self {
        let http = http().timeout(PATIENCE).build().expect("a client");
        Self { http, address: serving.address.clone() }
    }

    /// The answer, or nothing when the server went away.
    pub async fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Option<Reply> {
        let method = method.parse().expect("a method");
        let mut request = self.http.request(method, format!("{}{path}", self.address));
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let answer = request.send().await.ok()?;
        let status = answer.status().as_u16();
        let header = answer.headers().get("x-corpus-revision").and_then(|value| value.to_str().ok()?.parse().ok());
        let text = answer.text().await.ok()?;
        let body: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        let told = body["extensions"]["corpusRevision"].as_str().and_then(|revision| revision.parse().ok());
        Some(Reply { status, revision: header.or(told), body })
    }

    /// Its status and body.
    pub async fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Option<(u16, Value)> {
        self.ask(method, path, body).await.map(|reply| (reply.status, reply.body))
    }

    pub async fn graphql(&self, query: &str) -> Value {
        let (status, answer) =
            self.send("POST", "/graphql", Some(&json!({ "query": query }))).await.expect("an answer");
        assert!(status == 200 && answer["errors"].is_null(), "{status} {answer}");
        answer["data"].clone()
    }

    pub async fn target(&self) -> Value {
        let query = "{ targets { state reason inDoubt coverage { total synced pending quarantined } } }";
        self.graphql(query).await["targets"][0].clone()
    }

    /// Waits until nothing is pending or in doubt.
    pub async fn settled(&self) {
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            let target = self.target().await;
            let coverage = &target["coverage"];
            if coverage["pending"] == 0 && target["inDoubt"] == 0 && self.removals_are_done().await {
                assert_eq!(coverage["total"], coverage["synced"], "{target}");
                return;
            }
            assert!(tokio::time::Instant::now() < end, "it does not settle: {target}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn removals_are_done(&self) -> bool {
        let open = "{ syncSlots(first: 1, filter: { state: [PENDING, IN_FLIGHT, IN_DOUBT] }) { nodes { vectorId } } }";
        self.graphql(open).await["syncSlots"]["nodes"] == json!([])
    }

    /// What the rows say: vectors and texts of live embeddings by record id.
    pub async fn rows(&self) -> BTreeMap<String, (Vec<f32>, String, String)> {
        let mut rows = BTreeMap::new();
        let mut after = Value::Null;
        loop {
            let query = format!(
                "{{ embeddings(first: 100, after: {after}) {{ pageInfo {{ hasNextPage endCursor }} \
                 nodes {{ vectorId vector chunk {{ text document {{ title }} }} }} }} }}"
            );
            let page = self.graphql(&query).await["embeddings"].clone();
            for node in page["nodes"].as_array().expect("nodes") {
                let vector = serde_json::from_value(node["vector"].clone()).expect("numbers");
                let text = |value: &Value| value.as_str().expect("a text").to_owned();
                let row = (vector, text(&node["chunk"]["text"]), text(&node["chunk"]["document"]["title"]));
                rows.insert(text(&node["vectorId"]), row);
            }
            if page["pageInfo"]["hasNextPage"] == false {
                return rows;
            }
            after = page["pageInfo"]["endCursor"].clone();
        }
    }
}

/// What the index holds, in the same form.
pub fn held(emulator: &Emulator) -> BTreeMap<String, (Vec<f32>, String, String)> {
    let records = emulator.records(INDEX, NAMESPACE);
    let text = |record: &corpusd::emulator::Record, key: &str| {
        let metadata = record.metadata.as_ref().and_then(|metadata| metadata.get(key)).and_then(|value| value.as_str());
        metadata.unwrap_or_default().to_owned()
    };
    let form = |(id, record): (&String, &std::sync::Arc<corpusd::emulator::Record>)| {
        (id.clone(), (record.values.clone(), text(record, "text"), text(record, "document_title")))
    };
    records.iter().map(form).collect()
}

pub async fn emulator(options: Options) -> Emulator {
    Emulator::start(options).await.expect("the emulator starts")
}
