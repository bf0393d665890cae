//! The ceiling: what a handler could do that knows the question and nothing else.

use std::fmt::Write as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;

use axum::Router;
use axum::extract::Query;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use corpusd::json::write_string;
use corpusd::store::vector::from_bytes;
use rusqlite::Connection;
use rusqlite::OpenFlags;

/// Connections that wait for work.
#[derive(Clone)]
struct Pool {
    file: Arc<PathBuf>,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Pool {
    async fn answer(
        self,
        work: impl FnOnce(&Connection, &mut String) -> rusqlite::Result<()> + Send + 'static,
    ) -> String {
        let done = tokio::task::spawn_blocking(move || {
            let idle = self.idle.lock().expect("no panic").pop();
            let conn = idle.unwrap_or_else(|| {
                Connection::open_with_flags(&*self.file, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("the database opens")
            });
            let mut out = String::with_capacity(1 << 18);
            out.push_str("{\"data\":");
            work(&conn, &mut out).expect("the statements run");
            out.push('}');
            self.idle.lock().expect("no panic").push(conn);
            out
        });
        done.await.expect("no panic")
    }
}

/// The ceiling's routes, over the database `file`.
pub fn router(file: &Path) -> Router {
    let pool = Pool { file: Arc::new(file.to_owned()), idle: Arc::default() };
    Router::new()
        .route("/q1", get(|State(pool): State<Pool>| async { json(pool.answer(q1).await) }))
        .route("/q2", get(|State(pool): State<Pool>| async { json(pool.answer(q2).await) }))
        .route(
            "/q3",
            get(|State(pool): State<Pool>, Query(key): Query<Key>| async {
                json(pool.answer(move |c, o| q3(c, o, &key)).await)
            }),
        )
        .route(
            "/q4",
            get(|State(pool): State<Pool>, Query(key): Query<Key>| async {
                json(pool.answer(move |c, o| q4(c, o, &key)).await)
            }),
        )
        .with_state(pool)
}

#[derive(serde::Deserialize)]
struct Key {
    id: String,
    #[serde(default)]
    created_at: i64,
}

fn json(body: String) -> impl axum::response::IntoResponse {
    ([(CONTENT_TYPE, "application/json")], body)
}

const DOCUMENTS: &str = "SELECT id, title FROM documents WHERE deleted_at IS NULL ORDER BY created_at, id LIMIT ?1";
const CHUNKS: &str = "SELECT id, chunk_index, text FROM chunks WHERE document_id = ?1 AND deleted_at IS NULL \
                      ORDER BY chunk_index, created_at, id LIMIT 10";
const EMBEDDINGS: &str = "SELECT e.id, e.model, s.acked_rev = s.want_rev AND s.want = 'present' FROM embeddings e \
     LEFT JOIN sync_slots s ON s.target_id = 1 AND s.namespace = 'default' AND s.vector_id = e.vector_id \
     WHERE e.chunk_id = ?1 ORDER BY e.created_at, e.id LIMIT 20";
const VECTORS: &str = "SELECT id, vector FROM embeddings WHERE chunk_id = ?1 ORDER BY created_at, id LIMIT 20";

fn comma(out: &mut String, first: &mut bool) {
    if !std::mem::take(first) {
        out.push(',');
    }
}

fn q1(conn: &Connection, out: &mut String) -> rusqlite::Result<()> {
    let (mut documents, mut chunks, mut embeddings) =
        (conn.prepare_cached(DOCUMENTS)?, conn.prepare_cached(CHUNKS)?, conn.prepare_cached(EMBEDDINGS)?);
    out.push_str("{\"documents\":{\"nodes\":[");
    let mut first_document = true;
    let mut rows = documents.query([20])?;
    while let Some(row) = rows.next()? {
        comma(out, &mut first_document);
        let id = row.get_ref(0)?.as_str()?;
        out.push_str("{\"id\":");
        write_string(id, out);
        out.push_str(",\"title\":");
        write_string(row.get_ref(1)?.as_str()?, out);
        out.push_str(",\"chunks\":{\"nodes\":[");
        let mut first_chunk = true;
        let mut below = chunks.query([id])?;
        while let Some(row) = below.next()? {
            comma(out, &mut first_chunk);
            let id = row.get_ref(0)?.as_str()?;
            out.push_str("{\"id\":");
            write_string(id, out);
            let _ = write!(out, ",\"chunkIndex\":{},\"text\":", row.get_ref(1)?.as_i64()?);
            write_string(row.get_ref(2)?.as_str()?, out);
            out.push_str(",\"embeddings\":[");
            let mut first_embedding = true;
            let mut below = embeddings.query([id])?;
            while let Some(row) = below.next()? {
                comma(out, &mut first_embedding);
                out.push_str("{\"id\":");
                write_string(row.get_ref(0)?.as_str()?, out);
                out.push_str(",\"model\":");
                write_string(row.get_ref(1)?.as_str()?, out);
                let synced = row.get_ref(2)?.as_i64_or_null()?.unwrap_or(0) == 1;
                let _ = write!(out, ",\"isSynced\":{synced}}}");
            }
            out.push_str("]}");
        }
        out.push_str("]}}");
    }
    out.push_str("]}}");
    Ok(())
}

fn q2(conn: &Connection, out: &mut String) -> rusqlite::Result<()> {
    let (mut documents, mut chunks, mut vectors) =
        (conn.prepare_cached(DOCUMENTS)?, conn.prepare_cached(CHUNKS)?, conn.prepare_cached(VECTORS)?);
    out.push_str("{\"documents\":{\"nodes\":[");
    let mut first_document = true;
    let mut rows = documents.query([2])?;
    while let Some(row) = rows.next()? {
        comma(out, &mut first_document);
        let id = row.get_ref(0)?.as_str()?;
        out.push_str("{\"id\":");
        write_string(id, out);
        out.push_str(",\"chunks\":{\"nodes\":[");
        let mut first_chunk = true;
        let mut below = chunks.query([id])?;
        while let Some(row) = below.next()? {
            comma(out, &mut first_chunk);
            let id = row.get_ref(0)?.as_str()?;
            out.push_str("{\"id\":");
            write_string(id, out);
            out.push_str(",\"embeddings\":[");
            let mut first_embedding = true;
            let mut below = vectors.query([id])?;
            while let Some(row) = below.next()? {
                comma(out, &mut first_embedding);
                out.push_str("{\"id\":");
                write_string(row.get_ref(0)?.as_str()?, out);
                out.push_str(",\"vector\":[");
                for (place, number) in from_bytes(row.get_ref(1)?.as_blob()?).into_iter().enumerate() {
                    let gap = if place > 0 { "," } else { "" };
                    let _ = write!(out, "{gap}{number}");
                }
                out.push_str("]}");
            }
            out.push_str("]}");
        }
        out.push_str("]}}");
    }
    out.push_str("]}}");
    Ok(())
}

fn q3(conn: &Connection, out: &mut String, key: &Key) -> rusqlite::Result<()> {
    let mut document = conn
        .prepare_cached("SELECT id, title, source, created_at FROM documents WHERE id = ?1 AND deleted_at IS NULL")?;
    let mut rows = document.query([&key.id])?;
    let row = rows.next()?.expect("the document");
    out.push_str("{\"document\":{\"id\":");
    write_string(row.get_ref(0)?.as_str()?, out);
    out.push_str(",\"title\":");
    write_string(row.get_ref(1)?.as_str()?, out);
    out.push_str(",\"source\":");
    write_string(row.get_ref(2)?.as_str()?, out);
    let _ = write!(out, ",\"createdAt\":\"{}\"}}}}", corpusd::clock::rfc3339(row.get_ref(3)?.as_i64()?));
    Ok(())
}

fn q4(conn: &Connection, out: &mut String, key: &Key) -> rusqlite::Result<()> {
    let mut page = conn.prepare_cached(
        "SELECT id, title FROM documents WHERE deleted_at IS NULL AND namespace = 'default' AND (created_at, id) > (?1, ?2) \
         ORDER BY created_at, id LIMIT 21",
    )?;
    let mut rows = page.query((key.created_at, &key.id))?;
    out.push_str("{\"documents\":{\"nodes\":[");
    let (mut first, mut count) = (true, 0);
    while let Some(row) = rows.next()? {
        count += 1;
        if count > 20 {
            break;
        }
        comma(out, &mut first);
        out.push_str("{\"id\":");
        write_string(row.get_ref(0)?.as_str()?, out);
        out.push_str(",\"title\":");
        write_string(row.get_ref(1)?.as_str()?, out);
        out.push('}');
    }
    let _ = write!(out, "],\"pageInfo\":{{\"hasNextPage\":{}}}}}}}", count > 20);
    Ok(())
}
