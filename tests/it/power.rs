//! The power is cut: what was acknowledged is there, the file is whole, and the index knows nothing more.
//!
//! A real server on SQLite runs under strace while clients write. What it asked of the kernel is then replayed onto
//! a disk that keeps what was synced, and of the rest what the dice say ([`Disk`]); at random moments the power is
//! cut, and a corpusd of today opens what is left. Every write took a number of its own, so that the rows must be
//! exactly those of one moment, and of one that no client heard a later number than.
//!
//! `CORPUSD_POWER_CUTS` makes a longer run of it (docs/testing.md).

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use corpusd::clock::Clock;
use corpusd::config::DatabaseConfig;
use corpusd::emulator::Options;
use corpusd::store::connect;
use serde_json::json;

use crate::support::disk::Disk;
use crate::support::fleet::Client;
use crate::support::fleet::emulator;
use crate::support::fleet::raised;
use crate::support::fleet::serving;
use crate::support::process::Serving;
use crate::support::process::corpusd_under;
use crate::support::strace;
use crate::support::strace::Event;

/// Clients that write at the same time, and how much each of them does.
const WRITERS: usize = 4;
const WRITES: usize = 60;

/// What a document is: its live title, or none.
type State = Option<String>;

/// Every write by its number: the document, and what it is then.
type History = BTreeMap<i64, (String, State)>;

/// Creates, edits and deletes documents of its own.
async fn write(client: &Client, name: usize, mut dice: fastrand::Rng) -> History {
    let mut history = History::new();
    let mut live: Vec<String> = Vec::new();
    for number in 0..WRITES {
        let title = format!("w{name}n{number}");
        let pick = dice.usize(..live.len().max(1));
        let (reply, id, state) = match dice.u8(..10) {
            4..=7 if !live.is_empty() => {
                let path = format!("/api/documents/{}", live[pick]);
                let reply = client.ask("PUT", &path, Some(&json!({ "title": title }))).await;
                (reply, live[pick].clone(), Some(title))
            }
            roll @ 8..=9 if !live.is_empty() => {
                let id = live.swap_remove(pick);
                let path = format!("/api/documents/{id}?hard_delete={}", roll == 9);
                (client.ask("DELETE", &path, None).await, id, None)
            }
            _ => {
                let id = format!("id-{title}");
                let chunk = |at: usize| json!({ "chunkIndex": at, "text": format!("{title} part {at}"), "embeddings": [{ "vector": [1, at] }] });
                let query = "mutation($i: CreateDocumentInput!) { createDocument(input: $i) { document { id } } }";
                let input = json!({ "id": id, "title": title, "chunks": [chunk(0), chunk(1)] });
                let body = json!({ "query": query, "variables": { "i": input } });
                live.push(id.clone());
                (client.ask("POST", "/graphql", Some(&body)).await, id, Some(title))
            }
        };
        let reply = reply.expect("an answer");
        assert!(reply.status < 300 && reply.body["errors"].is_null(), "{reply:?}");
        history.insert(reply.revision.expect("a number"), (id, state));
    }
    history
}

/// What a server and its clients did: the calls in their order, and the writes by their numbers.
struct Recorded {
    folder: PathBuf,
    events: Vec<Event>,
    history: History,
}

async fn record(tool: &Path, synchronous: &str) -> Recorded {
    let folder = tempfile::tempdir().expect("a folder");
    let outside = tempfile::tempdir().expect("a folder");
    let log = outside.path().join("calls");
    let database = folder.path().join("corpus.db");
    let url = format!("sqlite:{}", database.display());
    let emulator = emulator(Options::default()).await;
    let options = strace::recording(log.to_str().expect("UTF-8"));
    let args = ["serve", "--port", "0", "--database-url", &url];
    let settings = [("CORPUSD_AUTO_EXPORT", "true"), ("CORPUSD_SQLITE_SYNCHRONOUS", synchronous)];
    let command = corpusd_under(tool, &options, outside.path(), &args);
    let told = std::fs::File::create(outside.path().join("told")).expect("a log");
    let serving = Serving::start_logging(serving(command, &emulator.url(), &settings), told).await;
    let pid = serving.child.id().expect("it runs");
    let client = Client::new(&serving);
    let mut dice = fastrand::Rng::with_seed(20_261_124);
    let writers = (0..WRITERS).map(|name| write(&client, name, dice.fork()));
    let history: History = futures_util::future::join_all(writers).await.into_iter().flatten().collect();
    assert_eq!(history.len(), WRITERS * WRITES, "every write has a number of its own");
    client.settled().await;
    assert_eq!(serving.stop().await.code(), Some(0));
    // Numbers of fewer than five digits are filled up.
    let ended = format!("{pid:<5} +++ exited with 0 +++\n");
    let mut calls = String::new();
    while !calls.ends_with(&ended) {
        tokio::time::sleep(Duration::from_millis(50)).await;
        calls = std::fs::read_to_string(&log).expect("the log");
    }
    let events = strace::events(&calls, folder.path());
    let synced =
        |path: &Path| events.iter().any(|event| matches!(event, Event::SyncEnded { path: of, .. } if of == path));
    assert!(synced(&database), "the log was moved into the file meanwhile");
    Recorded { folder: folder.path().to_owned(), events, history }
}

/// The numbers and titles that an answer or a request carries.
fn told<'a>(text: &'a str, before: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(before).skip(1).map(|rest| rest.split(['"', '\r']).next().unwrap_or_default())
}

/// What is left of a database: the number of its last write, and its documents.
#[derive(Debug)]
struct Left {
    revision: i64,
    documents: BTreeMap<String, String>,
}

/// Opens what is left, as a server does, and looks at all of it.
async fn open(files: &BTreeMap<PathBuf, Vec<u8>>) -> Left {
    let folder = tempfile::tempdir().expect("a folder");
    for (path, content) in files {
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
        // Shared memory is made anew by whoever opens first.
        if !name.ends_with("-shm") {
            std::fs::write(folder.path().join(name), content).expect("written");
        }
    }
    let file = folder.path().join("corpus.db");
    let config =
        DatabaseConfig { url: format!("sqlite:{}", file.display()), pool_size: 1, ..DatabaseConfig::default() };
    connect::open(&config, &Clock::system()).await.expect("it opens").close().await;
    let conn = rusqlite::Connection::open(file).expect("it opens");
    let check: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("an answer");
    assert_eq!(check, "ok");
    let count = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, i64>(0)).expect("a number");
    assert_eq!(count("SELECT count(*) FROM pragma_foreign_key_check"), 0);
    let halves = "SELECT count(*) FROM documents d WHERE 2 <> (SELECT count(*) FROM chunks c \
                  JOIN embeddings e ON e.chunk_id = c.id WHERE c.document_id = d.id)";
    assert_eq!(count(halves), 0, "a document without its chunks");
    let unwanted = "SELECT count(*) FROM embeddings e JOIN documents d ON d.id = e.document_id \
                    LEFT JOIN sync_slots s ON s.embedding_id = e.id \
                    WHERE (d.deleted_at IS NULL) <> COALESCE(s.want = 'present', FALSE)";
    assert_eq!(count(unwanted), 0, "a write without what it means for the index");
    let mut live = conn.prepare("SELECT id, title FROM documents WHERE deleted_at IS NULL").expect("a query");
    let documents = live.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).and_then(Iterator::collect).expect("rows");
    Left { revision: count("SELECT rev FROM corpus_clock"), documents }
}

/// Cuts the power at so many moments, and gives how often a write was lost that a client had an answer to.
async fn cut(recorded: &Recorded, cuts: usize) -> usize {
    let mut dice = fastrand::Rng::with_seed(20_261_125);
    let answers: Vec<usize> = (0..recorded.events.len())
        .filter(|&at| matches!(&recorded.events[at], Event::Sent { bytes } if bytes.starts_with(b"HTTP/1.1 2")))
        .collect();
    // Half of them right after an answer, where a server that lies would be caught.
    let mut moments: Vec<usize> = (0..cuts)
        .map(
            |cut| if cut % 2 == 0 { dice.usize(..recorded.events.len()) } else { answers[dice.usize(..answers.len())] },
        )
        .collect();
    moments.sort_unstable();
    let (mut disk, mut acknowledged, mut titles) = (Disk::new(&recorded.folder), 0, Vec::new());
    let mut lost = 0;
    let mut moments = moments.into_iter().peekable();
    for (at, event) in recorded.events.iter().enumerate() {
        disk.follow(event);
        if let Event::Sent { bytes } = event {
            let text = String::from_utf8_lossy(bytes);
            let numbers = told(&text, "x-corpus-revision: ").chain(told(&text, "\"corpusRevision\":\""));
            acknowledged = numbers.map(|number| number.parse().expect("a number")).fold(acknowledged, i64::max);
            titles.extend(told(&text, "\"document_title\":\"").map(str::to_owned));
        }
        while moments.next_if_eq(&at).is_some() {
            let kept = [0.0, 0.3, 0.9, 1.0][dice.usize(..4)];
            let left = open(&disk.after_a_cut(&mut dice, kept)).await;
            let mut expected: BTreeMap<String, String> = BTreeMap::new();
            for (id, state) in recorded.history.range(..=left.revision).map(|(_, write)| write) {
                match state {
                    Some(title) => expected.insert(id.clone(), title.clone()),
                    None => expected.remove(id),
                };
            }
            assert_eq!(left.documents, expected, "the rows of revision {} at call {at}", left.revision);
            let numbered = |title: &String| {
                recorded.history.iter().find(|(_, (_, state))| state.as_ref() == Some(title)).map(|(number, _)| *number)
            };
            let sent = titles.iter().map(|title| numbered(title).expect("a title of ours")).max().unwrap_or_default();
            lost += usize::from(left.revision < acknowledged.max(sent));
        }
    }
    assert!(acknowledged > 0 && !titles.is_empty(), "answers and requests were seen");
    lost
}

#[tokio::test]
async fn f38_after_a_power_cut_every_acknowledged_write_is_there_and_the_index_knows_no_more() {
    let Some(tool) = ours().await else { return };
    let recorded = record(&tool, "FULL").await;
    assert_eq!(cut(&recorded, raised("CORPUSD_POWER_CUTS", 40)).await, 0);
}

/// It can fail: what is not synced is lost, although the file stays whole.
#[tokio::test]
async fn f38_without_full_synchronisation_a_power_cut_loses_acknowledged_writes_but_never_the_file() {
    let Some(tool) = ours().await else { return };
    let recorded = record(&tool, "NORMAL").await;
    assert!(cut(&recorded, 40).await > 0);
}

/// strace, where the database under test is SQLite: PostgreSQL has tests of its own for this.
async fn ours() -> Option<PathBuf> {
    if std::env::var_os("CORPUSD_TEST_DATABASE_URL").is_some() {
        return None;
    }
    strace::found().await
}
