//! A disk that fails: answers are clean errors, nothing acknowledged is lost, and all is well when it works again.
//!
//! strace lets calls of a running server on its database fail, from one moment to another.

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use corpusd::emulator::Emulator;
use corpusd::emulator::Options;
use serde_json::Value;
use serde_json::json;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::support::database_url;
use crate::support::fleet::Client;
use crate::support::fleet::PATIENCE;
use crate::support::fleet::Reply;
use crate::support::fleet::emulator;
use crate::support::fleet::held;
use crate::support::fleet::serving;
use crate::support::process::Serving;
use crate::support::process::corpusd;
use crate::support::strace;
use crate::support::strace::Fault;

const WRITERS: usize = 4;
/// Writes of each writer while the disk fails.
const WRITES: usize = 25;

/// A server over a file, with its log, and the emulator behind it.
struct Site {
    folder: TempDir,
    url: String,
    emulator: Emulator,
    serving: Serving,
    client: Client,
}

impl Site {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let url = database_url(&folder).await;
        let emulator = emulator(Options::default()).await;
        let serving = Self::serve(folder.path(), &url, &emulator).await;
        let client = Client::new(&serving);
        Self { folder, url, emulator, serving, client }
    }

    async fn serve(folder: &Path, url: &str, emulator: &Emulator) -> Serving {
        let command = corpusd(folder, &["serve", "--port", "0", "--database-url", url]);
        let log = std::fs::File::options().create(true).append(true).open(folder.join("log")).expect("a log");
        Serving::start_logging(serving(command, &emulator.url(), &[("CORPUSD_AUTO_EXPORT", "true")]), log).await
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Whether an error tells nothing that is not for its reader.
    fn is_clean(&self, reply: &Reply) {
        let errors = reply.body["errors"].as_array();
        let code = errors.map_or(&reply.body["code"], |errors| &errors[0]["extensions"]["code"]);
        assert!(*code == json!("INTERNAL") || *code == json!("UNAVAILABLE"), "{reply:?}");
        let text = reply.body.to_string().to_lowercase();
        for word in [
            "sqlite",
            "corpus.db",
            "select ",
            "insert ",
            "update ",
            "i/o",
            "disk",
            "panic",
            self.folder.path().to_str().expect("UTF-8"),
        ] {
            assert!(!text.contains(word), "{reply:?}");
        }
    }
}

/// What one writer knows of its documents: the title that was acknowledged last, and those that may have come since.
type Known = BTreeMap<String, (Option<String>, Vec<Option<String>>)>;

/// How often something was done, and was not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Count {
    written: usize,
    unwritten: usize,
    unread: usize,
}

impl Count {
    fn failed(self) -> usize {
        self.unwritten + self.unread
    }
}

/// Writes and reads.
async fn work(site: &Site, name: &str, known: &mut Known, writes: usize, mut dice: fastrand::Rng) -> Count {
    let mut count = Count::default();
    for number in 0..writes {
        let title = format!("{name} {number}");
        let ids: Vec<String> = known.keys().cloned().collect();
        let old = (!ids.is_empty() && dice.u8(..3) > 0).then(|| ids[dice.usize(..ids.len())].clone());
        let (id, reply, state) = match old {
            Some(id) if dice.u8(..5) == 0 => {
                let reply = site.client.ask("DELETE", &format!("/api/documents/{id}"), None).await;
                (id, reply, None)
            }
            Some(id) => {
                let reply =
                    site.client.ask("PUT", &format!("/api/documents/{id}"), Some(&json!({ "title": title }))).await;
                (id, reply, Some(title))
            }
            None => {
                let id = format!("id {title}").replace(' ', "-");
                let query = "mutation($i: CreateDocumentInput!) { createDocument(input: $i) { document { id } } }";
                let input = json!({ "id": id, "title": title, "chunks": [{ "text": title, "embeddings": [{ "vector": [1, number] }] }] });
                let reply = site
                    .client
                    .ask("POST", "/graphql", Some(&json!({ "query": query, "variables": { "i": input } })))
                    .await;
                (id, reply, Some(title))
            }
        };
        let reply = reply.expect("the server answers");
        let (sure, perhaps) = known.entry(id).or_default();
        if reply.status == 404 {
            // It was deleted, now or before an answer that said nothing.
            assert!(sure.is_none() || perhaps.contains(&None), "{reply:?}");
        } else if reply.status < 300 && reply.body["errors"].is_null() {
            // What is deleted already is deleted without a write, also when that was told to have failed before.
            count.written += usize::from(*sure != state || perhaps.iter().any(|other| *other != state));
            (*sure, *perhaps) = (state, Vec::new());
        } else {
            site.is_clean(&reply);
            perhaps.push(state);
            count.unwritten += 1;
        }
        for path in ["/api/documents?limit=500", "/api/dashboard/overview"] {
            let reply = site.client.ask("GET", path, None).await.expect("the server answers");
            if reply.status != 200 {
                site.is_clean(&reply);
                count.unread += 1;
            }
        }
        let query =
            json!({ "query": "{ documents(first: 100) { nodes { title chunks(first: 5) { nodes { text } } } } }" });
        let reply = site.client.ask("POST", "/graphql", Some(&query)).await.expect("the server answers");
        if !reply.body["errors"].is_null() {
            site.is_clean(&reply);
            count.unread += 1;
        }
    }
    count
}

/// Whether what is there is what was acknowledged, or what was tried after that.
async fn agrees(site: &Site, known: &Known) {
    let (status, body) = site.client.send("GET", "/api/documents?limit=10000", None).await.expect("an answer");
    assert_eq!(status, 200, "{body}");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let there: BTreeMap<String, String> =
        body.as_array().expect("a list").iter().map(|row| (text(&row["id"]), text(&row["title"]))).collect();
    for (id, (sure, perhaps)) in known {
        let title = there.get(id).cloned();
        assert!(
            title == *sure || perhaps.contains(&title),
            "{id}: {title:?}, acknowledged {sure:?}, tried {perhaps:?}"
        );
    }
}

/// Works while calls on the files fail; nothing where nothing can be traced.
async fn failing(files: &[&str], inject: &str) -> Option<Count> {
    if std::env::var_os("CORPUSD_TEST_DATABASE_URL").is_some() {
        // The files of a PostgreSQL are not ours.
        return None;
    }
    let tool = strace::found().await?;
    let mut site = Site::new().await;
    let mut dice = fastrand::Rng::with_seed(20_261_124);
    let mut known: Vec<Known> = vec![Known::new(); WRITERS];
    for (name, known) in known.iter_mut().enumerate() {
        assert_eq!(work(&site, &format!("before {name}"), known, 5, dice.fork()).await.failed(), 0);
    }
    let files: Vec<PathBuf> = files.iter().map(|name| site.file(name)).collect();
    let fault = Fault::begin(&tool, site.serving.child.id().expect("it runs"), &files, inject).await;
    let forks: Vec<fastrand::Rng> = (0..WRITERS).map(|_| dice.fork()).collect();
    let writers = known.iter_mut().zip(forks).enumerate().map(|(name, (known, dice))| {
        let site = &site;
        async move { work(site, &format!("during {name}"), known, WRITES, dice).await }
    });
    let counts = futures_util::future::join_all(writers).await;
    let (status, _) = site.client.send("GET", "/health/live", None).await.expect("an answer");
    assert_eq!(status, 200);
    let (status, _) = site.client.send("GET", "/health/ready", None).await.expect("an answer");
    assert!(status == 200 || status == 503, "{status}");
    let injected = fault.end().await;
    assert!(injected > 0, "no call failed");

    // It recovers by itself.
    let end = Instant::now() + PATIENCE;
    while site.client.send("POST", "/api/documents", Some(&json!({ "title": "after" }))).await.map(|(status, _)| status)
        != Some(201)
    {
        assert!(Instant::now() < end, "it does not recover");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let (status, body) = site.client.send("GET", "/health/ready", None).await.expect("an answer");
    assert_eq!(status, 200, "{body}");
    for known in &known {
        agrees(&site, known).await;
    }
    for (name, known) in known.iter_mut().enumerate() {
        assert_eq!(work(&site, &format!("after {name}"), known, 5, dice.fork()).await.failed(), 0);
    }
    site.client.settled().await;
    let rows = site.client.rows().await;
    assert_eq!(held(&site.emulator), rows);
    assert_eq!(site.serving.stop().await.code(), Some(0));

    // And a restart finds the same.
    site.serving = Site::serve(site.folder.path(), &site.url, &site.emulator).await;
    site.client = Client::new(&site.serving);
    site.client.settled().await;
    for known in &known {
        agrees(&site, known).await;
    }
    assert_eq!(site.client.rows().await, rows);
    assert_eq!(held(&site.emulator), rows);
    assert_eq!(site.serving.stop().await.code(), Some(0));
    let conn = rusqlite::Connection::open(site.folder.path().join("corpus.db")).expect("it opens");
    let check: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("an answer");
    assert_eq!(check, "ok");
    let log = std::fs::read_to_string(site.folder.path().join("log")).expect("the log");
    assert!(!log.contains("panicked"), "{log}");
    let count = counts.into_iter().fold(Count::default(), |sum, one| Count {
        written: sum.written + one.written,
        unwritten: sum.unwritten + one.unwritten,
        unread: sum.unread + one.unread,
    });
    println!("{inject}: {injected} calls failed; {count:?}");
    Some(count)
}

const WAL: &str = "corpus.db-wal";
const FILE: &str = "corpus.db";

#[tokio::test]
async fn f36_commits_that_cannot_be_synced_are_told_and_nothing_acknowledged_is_lost() {
    let Some(count) = failing(&[WAL], "fsync:error=EIO").await else { return };
    assert!(count.unwritten > 0 && count.written == 0, "{count:?}");
}

#[tokio::test]
async fn f36_commits_that_are_now_and_then_not_synced_lose_nothing_acknowledged() {
    let Some(count) = failing(&[WAL], "fsync:error=EIO:when=2+3").await else { return };
    assert!(count.written > 0 && count.unwritten > 0, "{count:?}");
}

#[tokio::test]
async fn f36_writes_that_fail_now_and_then_are_told_and_nothing_acknowledged_is_lost() {
    let Some(count) = failing(&[WAL], "pwrite64:error=EIO:when=30+150").await else { return };
    assert!(count.written > 0 && count.unwritten > 0, "{count:?}");
}

#[tokio::test]
async fn f36_a_disk_without_room_is_told_and_nothing_acknowledged_is_lost() {
    let Some(count) = failing(&[WAL], "pwrite64:error=ENOSPC").await else { return };
    assert!(count.unwritten > 0 && count.written == 0, "{count:?}");
}

#[tokio::test]
async fn f36_a_log_that_cannot_be_moved_into_the_file_costs_no_write() {
    for inject in ["pwrite64:error=EIO", "fsync:error=EIO"] {
        let Some(count) = failing(&[FILE], inject).await else { return };
        assert_eq!(count.failed(), 0, "{count:?}");
    }
}

#[tokio::test]
async fn f36_reads_that_fail_are_told_and_nothing_acknowledged_is_lost() {
    let Some(count) = failing(&[FILE, WAL], "pread64:error=EIO:when=3+4").await else { return };
    assert!(count.unread > 0, "{count:?}");
}
