//! The benchmark of the product: `cargo bench --bench product`.
//!
//! Makes set A (1,000 documents x 20 chunks x 1 embedding of 1,536 numbers) from a
//! fixed seed, starts corpusd and a hand-written ceiling on ports of their own,
//! checks that both give the same answers, and only then times them, in turns, so
//! that a noisy machine is noisy for both. The ceiling is an axum handler that
//! knows the question, runs prepared statements through rusqlite on a blocking
//! thread and writes the answer straight into one buffer.
//!
//! Options (after `--`): `--documents N` (default 1000), `--seconds S` of each
//! measured turn (default 3), `--index N` vectors of V1 (default 20000), `--export N`
//! vectors of S1 (default 10000), `--equal N` records that are compared (default 100000).
//! The memory that is told is of the whole process, with the target it sends to.

mod ceiling;
mod data;
mod equal;
mod export;
mod load;
mod memory;
mod vectors;

use std::time::Duration;

use corpusd::app::App;
use corpusd::clock::Clock;
use corpusd::config::Config;
use corpusd::server;

/// Connections of every measured turn.
const CONNECTIONS: usize = 16;
/// Turns of each side; the median counts.
const TURNS: usize = 3;

const Q1: &str = "{ documents(first: 20) { nodes { id title chunks(first: 10) { nodes { id chunkIndex text \
                  embeddings { id model isSynced } } } } } }";
const Q2: &str = "{ documents(first: 2) { nodes { id chunks(first: 10) { nodes { id embeddings { id vector } } } } } }";
const Q3: &str = "query($id: ID!) { document(id: $id) { id title source createdAt } }";
const Q4: &str = "query($after: String) { documents(first: 20, after: $after, filter: { namespace: { eq: \"default\" } }, \
                  orderBy: { field: CREATED_AT, direction: ASC }) { nodes { id title } pageInfo { hasNextPage } } }";
const FIRST_PAGE: &str = "{ documents(first: 20) { pageInfo { endCursor } } }";

struct Options {
    documents: usize,
    turn: Duration,
    index: usize,
    export: usize,
    equal: usize,
}

impl Options {
    fn parse() -> Self {
        let mut options =
            Self { documents: 1000, turn: Duration::from_secs(3), index: 20_000, export: 10_000, equal: 100_000 };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut number = || words.next().and_then(|text| text.parse::<usize>().ok()).expect("a number follows");
            match word.as_str() {
                "--documents" => options.documents = number(),
                "--seconds" => options.turn = Duration::from_secs(number() as u64),
                "--index" => options.index = number(),
                "--export" => options.export = number(),
                "--equal" => options.equal = number(),
                // `cargo bench` adds `--bench`.
                _ => {}
            }
        }
        options
    }
}

#[tokio::main]
async fn main() {
    let options = Options::parse();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("bench.db");
    let mut config = Config::default();
    config.database.url = format!("sqlite:{}", file.display());
    let app = App::open(config, &Clock::system()).await.expect("the application opens");
    println!("making {} documents …", options.documents);
    data::fill(&app, options.documents).await;

    let corpusd = serve(server::router(app.clone())).await;
    let ceiling = serve(ceiling::router(&file)).await;
    let id = data::some_id(&file);
    let cursor = load::post(corpusd, FIRST_PAGE, "{}").await;
    let cursor = cursor["data"]["documents"]["pageInfo"]["endCursor"].as_str().expect("a cursor").to_owned();

    println!("| what | corpusd | ceiling | ratio | bytes |");
    println!("|---|---:|---:|---:|---:|");
    let by_id = format!("{{\"id\":\"{id}\"}}");
    let behind = format!("{{\"after\":\"{cursor}\"}}");
    let last = data::twentieth(&file);
    let rows: [(&str, &str, &str, String); 4] = [
        ("Q1", Q1, "{}", "/q1".to_owned()),
        ("Q2", Q2, "{}", "/q2".to_owned()),
        ("Q3", Q3, &by_id, format!("/q3?id={id}")),
        ("Q4", Q4, &behind, format!("/q4?created_at={}&id={}", last.0, last.1)),
    ];
    for (name, query, variables, path) in rows {
        let mine = load::graphql_request(corpusd, query, variables);
        let bare = load::get_request(ceiling, &path);
        same_answer(name, &load::once(corpusd, &mine).await, &load::once(ceiling, &bare).await);
        compare(name, (corpusd, &mine), (ceiling, &bare), options.turn).await;
    }
    let rest = load::get_request(corpusd, &format!("/api/documents/{id}"));
    let bare = load::get_request(ceiling, &format!("/q3?id={id}"));
    compare("Q3 by REST", (corpusd, &rest), (ceiling, &bare), options.turn).await;

    data::writes(&app, corpusd, options.turn, CONNECTIONS).await;
    vectors::search(options.index).await;
    export::all(options.export).await;
    equal::measure(options.equal).await;
    app.close().await;
}

async fn serve(router: axum::Router) -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    #[expect(clippy::disallowed_methods, reason = "ends with the process")]
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

fn same_answer(name: &str, mine: &str, bare: &str) {
    let mine: serde_json::Value = serde_json::from_str(mine).expect("JSON");
    let bare: serde_json::Value = serde_json::from_str(bare).expect("JSON");
    assert!(mine.get("errors").is_none(), "{name}: {mine}");
    assert_eq!(mine["data"], bare["data"], "{name}: both give the same answer");
}

type Side<'a> = (std::net::SocketAddr, &'a [u8]);

async fn compare(name: &str, mine: Side<'_>, bare: Side<'_>, turn: Duration) {
    let bytes = load::once(mine.0, mine.1).await.len();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        ours.push(load::run(mine.0, mine.1, CONNECTIONS, turn).await);
        theirs.push(load::run(bare.0, bare.1, CONNECTIONS, turn).await);
    }
    let (ours, theirs) = (median(ours), median(theirs));
    println!("| {name} | {ours:.0}/s | {theirs:.0}/s | {:.2} | {bytes} |", ours / theirs);
}

/// The middle one.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
