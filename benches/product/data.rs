//! Set A, and the writes that are measured against a bare transaction.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use std::time::Instant;

use corpusd::app::App;
use corpusd::service::chunks::NewChunk;
use corpusd::service::documents;
use corpusd::service::documents::NewDocument;
use corpusd::service::embeddings::NewEmbedding;
use corpusd::store::vector::to_bytes;

use crate::load;
use crate::median;

/// Numbers of a vector.
pub const DIMENSION: usize = 1536;
/// Chunks of a document.
const CHUNKS: usize = 20;
/// About 500 characters, as a passage has.
const PASSAGE: &str =
    "The tide turns twice a day, and with it everything that lives between the marks of high and low water: ";

/// A vector made from `seed` alone: numbers between -1 and 1 with a few digits.
pub fn vector(seed: u64) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..DIMENSION).map(|_| (random.f32() * 2.0 - 1.0) * 0.05).collect()
}

fn passage(seed: usize) -> String {
    format!("{seed} {}", PASSAGE.repeat(4 + seed % 3))
}

fn document(seed: usize) -> NewDocument {
    let chunks = (0..CHUNKS)
        .map(|place| NewChunk {
            text: passage(seed * CHUNKS + place),
            embeddings: vec![NewEmbedding {
                vector: vector((seed * CHUNKS + place) as u64),
                model: Some("text-embedding-ada-002".to_owned()),
                ..NewEmbedding::default()
            }],
            ..NewChunk::default()
        })
        .collect();
    NewDocument {
        title: format!("Document {seed}"),
        source: Some(format!("bench/{seed}.txt")),
        chunks,
        ..NewDocument::default()
    }
}

/// Creates `count` documents.
pub async fn fill(app: &App, count: usize) {
    for seed in 0..count {
        documents::create(app.cx(), document(seed)).await.expect("a document is created");
    }
}

/// The id of one document.
pub fn some_id(file: &Path) -> String {
    let conn = rusqlite::Connection::open(file).expect("the database opens");
    conn.query_row("SELECT id FROM documents ORDER BY created_at, id LIMIT 1 OFFSET 7", [], |row| row.get(0))
        .expect("a row")
}

/// Sort key and id of the twentieth document, behind which Q4 reads.
pub fn twentieth(file: &Path) -> (i64, String) {
    let conn = rusqlite::Connection::open(file).expect("the database opens");
    conn.query_row("SELECT created_at, id FROM documents ORDER BY created_at, id LIMIT 1 OFFSET 19", [], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })
    .expect("a row")
}

/// W1: one document with its chunks and vectors in one mutation, by one client and by many.
pub async fn writes(_app: &App, corpusd: SocketAddr, time: Duration, connections: usize) {
    let chunks: Vec<serde_json::Value> = (0..CHUNKS)
        .map(|place| {
            serde_json::json!({ "text": passage(place), "embeddings": [{ "vector": vector(place as u64), "model": "m" }] })
        })
        .collect();
    let variables = serde_json::json!({ "input": { "title": "Written", "chunks": chunks } }).to_string();
    let mutation = "mutation($input: CreateDocumentInput!) { createDocument(input: $input) { document { id } } }";
    let request = load::graphql_request(corpusd, mutation, &variables);
    let answer = load::once(corpusd, &request).await;
    assert!(!answer.contains("\"errors\""), "{answer}");
    let (mut one, mut many, mut bare) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..3 {
        one.push(load::run(corpusd, &request, 1, time).await);
        bare.push(bare_transactions(time));
        many.push(load::run(corpusd, &request, connections, time).await);
    }
    let (one, many, bare) = (median(one), median(many), median(bare));
    println!("| W1, 1 client | {one:.0}/s | {bare:.0}/s | {:.2} | {} |", one / bare, request.len());
    println!("| W1, {connections} clients | {many:.0}/s | {bare:.0}/s | {:.2} | {} |", many / bare, request.len());
}

/// The same rows in bare transactions of the same durability, a second.
fn bare_transactions(time: Duration) -> f64 {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut conn = rusqlite::Connection::open(folder.path().join("bare.db")).expect("a database");
    conn.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
         CREATE TABLE documents (id TEXT PRIMARY KEY, title TEXT, created_at INTEGER);
         CREATE INDEX documents_created ON documents (created_at, id);
         CREATE TABLE chunks (id TEXT PRIMARY KEY, document_id TEXT, chunk_index INTEGER, text TEXT, created_at INTEGER);
         CREATE INDEX chunks_order ON chunks (document_id, chunk_index, id);
         CREATE TABLE embeddings (id TEXT PRIMARY KEY, chunk_id TEXT, model TEXT, created_at INTEGER, vector BLOB);
         CREATE INDEX embeddings_chunk ON embeddings (chunk_id, created_at, id);",
    )
    .expect("tables");
    let vectors: Vec<Vec<u8>> = (0..CHUNKS).map(|place| to_bytes(&vector(place as u64))).collect();
    let start = Instant::now();
    let mut done = 0;
    while start.elapsed() < time {
        let tx = conn.transaction().expect("a transaction");
        {
            let mut chunk = tx.prepare_cached("INSERT INTO chunks VALUES (?, ?, ?, ?, ?)").expect("a statement");
            let mut embedding =
                tx.prepare_cached("INSERT INTO embeddings VALUES (?, ?, ?, ?, ?)").expect("a statement");
            let document = format!("019abcde-0000-7000-8000-{done:012}");
            tx.execute("INSERT INTO documents VALUES (?, 'Written', ?)", (&document, done)).expect("a row");
            for (place, vector) in vectors.iter().enumerate() {
                let id = format!("{document}-{place}");
                chunk.execute((&id, &document, place as i64, passage(place), done)).expect("a row");
                embedding.execute((&id, &id, "m", done, vector)).expect("a row");
            }
        }
        tx.commit().expect("a commit");
        done += 1;
    }
    done as f64 / start.elapsed().as_secs_f64()
}
