//! S1: an export of many vectors to Pinecone over HTTP, to a target that answers at once and to the emulator.
//!
//! The one that answers at once reads a request to its end and counts its records; the emulator keeps them, and
//! has every one of them at the end. The published rates are out of the way.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::Uri;
use corpusd::app::App;
use corpusd::clock::Clock;
use corpusd::config::Config;
use corpusd::config::Secret;
use corpusd::emulator::Emulator;
use corpusd::emulator::Options;
use corpusd::service::chunks::NewChunk;
use corpusd::service::documents;
use corpusd::service::documents::NewDocument;
use corpusd::service::embeddings::NewEmbedding;
use corpusd::service::jobs;
use corpusd::service::jobs::Scope;

use crate::memory;
use crate::serve;

/// Chunks of one document.
const CHUNKS: usize = 500;

/// Exports `count` vectors of each width to both targets.
pub async fn all(count: usize) {
    for width in [256, 1536] {
        let taken = Arc::new(AtomicUsize::new(0));
        let sink = format!("http://{}", serve(at_once(width, taken.clone())).await);
        export(&format!("{width} numbers, a target that answers at once"), &sink, width, count).await;
        assert_eq!(taken.load(Ordering::SeqCst), count, "every record was sent once");
        let emulator = Emulator::start(Options::default()).await.expect("the emulator starts");
        export(&format!("{width} numbers, the emulator"), &emulator.url(), width, count).await;
        assert_eq!(emulator.records("asktemoc", "default").len(), count, "every record is there");
        emulator.shutdown().await;
    }
}

async fn export(what: &str, address: &str, width: usize, count: usize) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let app = filled(&folder.path().join("export.db"), address, width, count).await;
    let idle = memory::resident();
    memory::forget_peak();
    let took = send(&app, count).await;
    let more = memory::peak().saturating_sub(idle) >> 20;
    #[expect(clippy::cast_precision_loss, reason = "a count")]
    let rate = count as f64 / took.as_secs_f64();
    println!("| S1, {count} vectors of {what} | {rate:.0}/s | | | {more} MiB more memory |");
    app.close().await;
}

/// An application whose index is at `address`, with `count` records that nobody sent yet.
pub async fn filled(file: &Path, address: &str, width: usize, count: usize) -> App {
    let mut config = Config::default();
    config.database.url = format!("sqlite:{}", file.display());
    config.index.pinecone.api_key = Some(Secret::new("any"));
    config.index.pinecone.controller_host = address.to_owned();
    config.index.pinecone.share = 1000.0;
    let app = App::open(config, &Clock::system()).await.expect("the application opens");
    for first in (0..count).step_by(CHUNKS) {
        let new = document(first, count.min(first + CHUNKS), width);
        documents::create(app.cx(), new).await.expect("a document");
    }
    app
}

/// Exports everything; gives how long it took.
pub async fn send(app: &App, count: usize) -> Duration {
    let (job, _) = jobs::start(app.cx(), Scope::Unsynced).await.expect("a job");
    let start = Instant::now();
    app.sync().run_until_idle().await.expect("the engine works");
    let took = start.elapsed();
    let job = jobs::get(app.cx(), &job.id).await.expect("the job");
    assert_eq!(job.upserted, i64::try_from(count).expect("a count"), "{job:?}");
    took
}

fn document(first: usize, end: usize, width: usize) -> NewDocument {
    let chunks = (first..end).map(|seed| {
        let mut random = fastrand::Rng::with_seed(seed as u64);
        let vector = (0..width).map(|_| (random.f32() * 2.0 - 1.0) * 0.05).collect();
        let embeddings = vec![NewEmbedding { vector, ..NewEmbedding::default() }];
        NewChunk { text: format!("Passage {seed} of a corpus that is exported"), embeddings, ..NewChunk::default() }
    });
    NewDocument { title: "Exported".to_owned(), chunks: chunks.collect(), ..NewDocument::default() }
}

/// A service that has the index and takes everything without keeping it.
fn at_once(width: usize, taken: Arc<AtomicUsize>) -> Router {
    // The whole limit of the service is more than axum's.
    let limit = DefaultBodyLimit::max(4 << 20);
    Router::new().fallback(take).with_state((width, taken)).layer(limit)
}

async fn take(
    State((width, taken)): State<(usize, Arc<AtomicUsize>)>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> String {
    match uri.path() {
        "/vectors/upsert" => {
            let needle = b"\"values\":";
            let count = body.windows(needle.len()).filter(|window| window == needle).count();
            taken.fetch_add(count, Ordering::SeqCst);
            format!("{{\"upsertedCount\":{count}}}")
        }
        "/query" => "{\"matches\":[]}".to_owned(),
        _ => {
            let host = headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or_default();
            format!(
                "{{\"name\":\"asktemoc\",\"dimension\":{width},\"metric\":\"cosine\",\"host\":\"http://{host}\",\
                 \"status\":{{\"ready\":true,\"state\":\"Ready\"}}}}"
            )
        }
    }
}
