//! An emulator of Pinecone's API on a real socket, and a plain client of it.

use std::time::Duration;

use corpusd::clock::Clock;
use corpusd::emulator::Emulator;
use corpusd::emulator::Options;
use reqwest::Client;
use serde_json::Value;
use serde_json::json;

use crate::support::Answer;
use crate::support::START_US;
use crate::support::http;

/// An emulator under a frozen clock, and a client that sends a key and no version.
pub struct Bench {
    pub emulator: Emulator,
    pub clock: Clock,
    client: Client,
}

impl Bench {
    /// In memory.
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// With options that `change` made from the default ones.
    pub async fn with(change: impl FnOnce(&mut Options)) -> Self {
        let clock = Clock::frozen(START_US);
        let mut options = Options { clock: clock.clone(), ..Options::default() };
        change(&mut options);
        let emulator = Emulator::start(options).await.expect("the emulator starts");
        let client = http().timeout(Duration::from_secs(20)).build().expect("a client");
        Self { emulator, clock, client }
    }

    /// With an empty index `kb` of three dimensions.
    pub async fn with_index(metric: &str) -> Self {
        let bench = Self::new().await;
        bench.create("kb", 3, metric).await;
        bench
    }

    /// Makes an index over the wire.
    pub async fn create(&self, name: &str, dimension: u32, metric: &str) {
        let body = json!({
            "name": name, "dimension": dimension, "metric": metric,
            "spec": {"serverless": {"cloud": "aws", "region": "us-east-1"}},
        });
        let made = self.post("/indexes", &body).await;
        assert_eq!(made.status, 201, "{}", made.text);
    }

    /// A request with a key, these headers and a body.
    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<Vec<u8>>) -> Answer {
        self.try_send(method, path, headers, body).await.unwrap_or_else(|error| panic!("{method} {path}: {error:?}"))
    }

    /// The same, which may fail on the way.
    pub async fn try_send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> reqwest::Result<Answer> {
        let method = method.parse().expect("a method");
        let mut request = self.client.request(method, format!("{}{path}", self.emulator.url()));
        if !headers.iter().any(|(name, _)| *name == "api-key") {
            request = request.header("api-key", "pclocal");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Answer { status, headers, text: response.text().await? })
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], None).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, &[], Some(body.to_string().into_bytes())).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], None).await
    }

    /// A request to the data plane of `kb`.
    pub async fn kb(&self, path: &str, body: &Value) -> Answer {
        self.post(&format!("/i/kb{path}"), body).await
    }

    /// The same, which may fail on the way.
    pub async fn try_kb(&self, path: &str, body: &Value) -> reqwest::Result<Answer> {
        self.try_send("POST", &format!("/i/kb{path}"), &[], Some(body.to_string().into_bytes())).await
    }

    /// Writes records into `kb`; what comes back must be a yes.
    pub async fn upsert(&self, namespace: &str, vectors: Value) -> Answer {
        let answer = self.kb("/vectors/upsert", &json!({"namespace": namespace, "vectors": vectors})).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer
    }

    /// The ids of the matches of a query of `kb`, best first.
    pub async fn matches(&self, body: &Value) -> Vec<String> {
        let answer = self.kb("/query", body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let matches = answer.json()["matches"].as_array().expect("matches").clone();
        matches.iter().map(|found| found["id"].as_str().expect("an id").to_owned()).collect()
    }

    /// The ids of a page of `kb`.
    pub async fn listed(&self, query: &str) -> Vec<String> {
        let answer = self.get(&format!("/i/kb/vectors/list?{query}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let vectors = answer.json()["vectors"].as_array().expect("vectors").clone();
        vectors.iter().map(|vector| vector["id"].as_str().expect("an id").to_owned()).collect()
    }
}
