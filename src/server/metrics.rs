//! `/metrics`: what this process counted, and what the database says of the sync, in OpenMetrics' text form.

use std::fs;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse as _;
use axum::response::Response;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode_eof;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use prometheus_client::registry::Unit;

use crate::credentials::Credentials;
use crate::error::Result;
use crate::metrics;
use crate::rest::error::Failure;
use crate::rest::error::Manner;
use crate::service::Ctx;
use crate::service::access::Scope;
use crate::service::targets;

/// The media type of the text (OpenMetrics 1.0).
const TEXT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A target and one of its states.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfTarget {
    target: String,
    state: &'static str,
}

/// A target.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Target {
    target: String,
}

/// A state.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InState {
    state: &'static str,
}

/// Tells everything. Where the database does not answer, what it would have told is left out, and `corpusd_database_up` is 0.
/// Who asks needs what reading needs.
pub async fn tell(State(cx): State<Ctx>, headers: HeaderMap) -> Response {
    let admitted = cx.admit(&Credentials::of(&headers)).await;
    let cx = match admitted.and_then(|cx| cx.principal().require(Scope::Read, "GET /metrics").map(|()| cx)) {
        Ok(cx) => cx,
        Err(error) => return Failure::from(error).respond(&Manner::of(&headers, &cx), None),
    };
    let mut text = String::new();
    cx.metrics().write(&mut text);
    let mut now = Registry::with_prefix("corpusd");
    let answers = match sync(&cx, &mut now).await {
        Ok(()) => 1,
        Err(error) => {
            tracing::warn!(%error, "the database did not answer a question for metrics");
            0
        }
    };
    now.register("database_up", "Whether the database answered", ConstGauge::<i64>::new(answers));
    pool(&cx, &mut now);
    let version = [("version", env!("CARGO_PKG_VERSION")), ("database", cx.db().kind())];
    now.register("build", "This server", Info::new(version));
    metrics::write(&now, &mut text);
    let mut own = Registry::with_prefix("process");
    process(&mut own);
    metrics::write(&own, &mut text);
    if let Err(error) = encode_eof(&mut text) {
        tracing::error!(%error, "writing metrics");
    }
    (StatusCode::OK, [(header::CONTENT_TYPE, TEXT)], text).into_response()
}

/// How far each target is in step, and what waits.
async fn sync(cx: &Ctx, registry: &mut Registry) -> Result<()> {
    let targets = targets::list(cx).await?;
    let queue = targets::queue(cx).await?;
    let (states, waiting) = (Family::<OfTarget, Gauge>::default(), Family::<OfTarget, Gauge>::default());
    let (through, lag) =
        (Family::<Target, Gauge>::default(), Family::<Target, Gauge<f64, std::sync::atomic::AtomicU64>>::default());
    for told in targets {
        let target = told.row.name;
        for state in ["active", "paused", "unreachable"] {
            let of = OfTarget { target: target.clone(), state };
            states.get_or_create(&of).set(i64::from(told.row.state == state));
        }
        let counts = [("in_doubt", told.fresh.through.in_doubt)].into_iter();
        let own = queue.iter().filter(|queued| queued.target_id == told.row.id);
        let own = own.flat_map(|queued| [("open", queued.open), ("quarantined", queued.quarantined)]);
        for (state, count) in counts.chain(own) {
            waiting.get_or_create(&OfTarget { target: target.clone(), state }).set(count);
        }
        let of = Target { target };
        through.get_or_create(&of).set(told.fresh.through.revision);
        lag.get_or_create(&of).set(told.fresh.lag_seconds);
    }
    registry.register("corpus_revision", "The newest change of the corpus", ConstGauge::new(cx.db().seen_revision()));
    registry.register("target_state", "1 for the state that a target is in", states);
    registry.register("sync_records", "Records that are not settled, by state", waiting);
    registry.register("synced_through_revision", "Every change up to this one is in the index", through);
    registry.register_with_unit("sync_lag", "Age of the oldest change that is not in the index", Unit::Seconds, lag);
    Ok(())
}

fn pool(cx: &Ctx, registry: &mut Registry) {
    let (size, idle) = cx.db().connections();
    let connections = Family::<InState, Gauge>::default();
    for (state, count) in [("open", size), ("idle", idle)] {
        connections.get_or_create(&InState { state }).set(i64::from(count));
    }
    registry.register("database_connections", "Connections of the pool for reading", connections);
}

/// What the system says of this process; nothing where there is no `/proc`.
fn process(registry: &mut Registry) -> Option<()> {
    /// Ticks of a second in `/proc`: the same on every Linux that runs this.
    const TICKS: f64 = 100.0;
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let resident: i64 = resident.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    registry.register("resident_memory_bytes", "Memory", ConstGauge::new(resident * 1024));
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // Behind the name, which may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
    let cpu = prometheus_client::metrics::counter::ConstCounter::new((ticks(11)? + ticks(12)?) / TICKS);
    registry.register("cpu_seconds", "Time of the processors", cpu);
    let open = i64::try_from(fs::read_dir("/proc/self/fd").ok()?.count()).ok()?;
    registry.register("open_fds", "Open files and connections", ConstGauge::new(open));
    Some(())
}
