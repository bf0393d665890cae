//! What this process counts, for Prometheus.
//!
//! Labels are few and ours: routes by their pattern, never a path that somebody sent.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode_registry;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Seconds of the buckets: from an answer out of memory to one that was waited for.
const SECONDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 20.0];

/// One kind of HTTP answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    method: &'static str,
    route: String,
    status: u16,
}

/// One kind of HTTP request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Asked {
    method: &'static str,
    route: String,
}

/// One kind of GraphQL answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Operation {
    kind: &'static str,
    code: String,
}

/// One kind of call to the index.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Call {
    call: &'static str,
}

/// How calls of one kind ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    call: &'static str,
    outcome: &'static str,
}

/// Counters and histograms of this process, from its start.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<Answered, Counter>,
    request_seconds: Family<Asked, Histogram>,
    under_way: Gauge,
    operations: Family<Operation, Counter>,
    calls: Family<Outcome, Counter>,
    call_seconds: Family<Call, Histogram>,
}

fn histogram() -> Histogram {
    Histogram::new(SECONDS)
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("corpusd");
        let requests = Family::default();
        registry.register("http_requests", "Answers over HTTP, by route and status", requests.clone());
        let request_seconds = Family::new_with_constructor(histogram as fn() -> Histogram);
        registry.register(
            "http_request_duration_seconds",
            "From a request's head to the head of its answer",
            request_seconds.clone(),
        );
        let under_way = Gauge::default();
        registry.register("http_requests_in_flight", "Requests whose answer has not begun", under_way.clone());
        let operations = Family::default();
        registry.register(
            "graphql_answers",
            "Answers of GraphQL over every transport, by the kind of operation and the code of the first error",
            operations.clone(),
        );
        let calls = Family::default();
        registry.register("index_calls", "Calls to the vector index, by how they ended", calls.clone());
        let call_seconds = Family::new_with_constructor(histogram as fn() -> Histogram);
        registry.register("index_call_duration_seconds", "How long the vector index took", call_seconds.clone());
        Self { registry, requests, request_seconds, under_way, operations, calls, call_seconds }
    }
}

/// The methods that have a label of their own: a client may send any word.
fn known(method: &str) -> &'static str {
    ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"].into_iter().find(|known| *known == method).unwrap_or("other")
}

impl Metrics {
    /// A request is under way until what this gives is dropped.
    #[must_use]
    pub fn begin(&self) -> UnderWay {
        self.under_way.inc();
        UnderWay(self.under_way.clone())
    }

    /// A request to the route of that pattern was answered.
    pub fn answered(&self, method: &str, route: &str, status: u16, took: Duration) {
        let (method, route) = (known(method), route.to_owned());
        self.request_seconds.get_or_create(&Asked { method, route: route.clone() }).observe(took.as_secs_f64());
        self.requests.get_or_create(&Answered { method, route, status }).inc();
    }

    /// An operation of that kind was answered: with the code of its first error, or `OK`.
    pub fn operation(&self, kind: &'static str, code: &str) {
        self.operations.get_or_create(&Operation { kind, code: code.to_owned() }).inc();
    }

    /// A call to the index ended.
    pub fn called(&self, call: &'static str, outcome: &'static str, took: Duration) {
        self.call_seconds.get_or_create(&Call { call }).observe(took.as_secs_f64());
        self.calls.get_or_create(&Outcome { call, outcome }).inc();
    }

    /// Writes everything in OpenMetrics' text form, without its end.
    pub fn write(&self, out: &mut String) {
        write(&self.registry, out);
    }
}

/// Writes what a registry has, without the end of the text.
pub fn write(registry: &Registry, out: &mut String) {
    // A text takes everything.
    if let Err(error) = encode_registry(out, registry) {
        tracing::error!(%error, "writing metrics");
    }
}

/// A request that is under way.
#[derive(Debug)]
pub struct UnderWay(Gauge);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.dec();
    }
}
