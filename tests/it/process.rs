//! The real binary: what it prints, when it stops, with which exit code.

use std::path::Path;
use std::process::Output;

use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;

use crate::support::database_url;
use crate::support::process::Serving;
use crate::support::process::corpusd;
use crate::support::process::pipe;
use crate::support::process::run;

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .expect("the folder is read")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn it_says_where_it_listens_is_healthy_and_ends_well_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let serving = Serving::serve(folder.path(), &database_url(&folder).await).await;
    assert!(serving.address.starts_with("http://127.0.0.1:"), "{}", serving.address);
    assert_eq!(serving.get("/health/live").await, (200, r#"{"status":"live"}"#.to_owned()));
    assert_eq!(serving.get("/health/ready").await, (200, r#"{"status":"ready"}"#.to_owned()));
    assert_eq!(serving.stop().await.code(), Some(0));
}

#[tokio::test]
async fn with_nothing_set_it_makes_the_documented_file_in_the_current_folder() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = corpusd(folder.path(), &["serve"]);
    command.env("CORPUSD_PORT", "0");
    let serving = Serving::start(command).await;
    assert!(names(folder.path()).contains(&"asktemoc.db".to_owned()));
    assert_eq!(serving.stop().await.code(), Some(0));
    assert!(!names(folder.path()).iter().any(|name| name.ends_with("-wal")), "{:?}", names(folder.path()));
}

#[tokio::test]
async fn wrong_usage_ends_with_2_and_help_with_0() {
    let folder = tempfile::tempdir().unwrap();
    for args in [&["no-such-command"][..], &[], &["serve", "--no-such-flag"], &["serve", "--port", "abc"]] {
        let output = run(folder.path(), args).await;
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{args:?}");
    }
    for args in [&["--help"][..], &["--version"], &["serve", "--help"], &["migrate", "--version"]] {
        let output = run(folder.path(), args).await;
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert!(!output.stdout.is_empty(), "{args:?}");
    }
    assert_eq!(names(folder.path()), [""; 0]);
}

#[tokio::test]
async fn wrong_values_are_all_named_and_no_secret_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(".env"), "DB_ECHO=perhaps\nCORPUSD_PORT=70000\n").unwrap();
    let mut command = corpusd(folder.path(), &["serve", "--metric", "manhattan"]);
    command.env("CORPUSD_PORT", "abc");
    let output = command.output().await.unwrap();
    assert_eq!(output.status.code(), Some(2));
    for line in [
        "CORPUSD_PORT: \"abc\" is not allowed: a whole number from 0 to 65535",
        "DB_ECHO: \"perhaps\" is not allowed: true or false",
        "CORPUSD_METRIC: \"manhattan\" is not allowed: cosine, dotproduct or euclidean",
    ] {
        assert!(told(&output).contains(line), "{}", told(&output));
    }
    std::fs::remove_file(folder.path().join(".env")).unwrap();
    for (name, value, told_of) in [
        ("PINECONE_API_KEY", "pcsk_secret and more", "visible ASCII characters"),
        ("DATABASE_URL", "mysql://user:pcsk_secret@host/db", "mysql://***"),
        ("DATABASE_URL", "user:pcsk_secret@host/db", "***"),
    ] {
        let output = corpusd(folder.path(), &["serve"]).env(name, value).output().await.unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", told(&output));
        assert!(told(&output).contains(&format!("{name}: \"")) && told(&output).contains(told_of), "{}", told(&output));
        assert!(!told(&output).contains("pcsk_secret"));
    }
    assert_eq!(names(folder.path()), [""; 0]);
}

#[tokio::test]
async fn a_database_that_does_not_answer_ends_it_with_1_and_without_the_password() {
    let folder = tempfile::tempdir().unwrap();
    let url = "postgresql://somebody:pcsk_secret@127.0.0.1:1/db";
    let output = run(folder.path(), &["serve", "--port", "0", "--pool-timeout-s", "1", "--database-url", url]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(told(&output).contains("the database cannot be opened"), "{}", told(&output));
    assert!(!told(&output).contains("pcsk_secret"));
}

#[tokio::test]
async fn a_database_of_the_older_application_is_refused_untouched() {
    for name in ["seed-asktemoc.db", "seed-asktemoc-odd.db"] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("asktemoc.db");
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
        std::fs::copy(&fixture, &file).unwrap();
        for command in ["serve", "migrate"] {
            let output = corpusd(folder.path(), &[command]).env("CORPUSD_PORT", "0").output().await.unwrap();
            assert_eq!(output.status.code(), Some(1));
            assert!(told(&output).contains("corpusd adopt --from"), "{}", told(&output));
        }
        assert_eq!(std::fs::read(&file).unwrap(), std::fs::read(&fixture).unwrap());
        assert_eq!(names(folder.path()), ["asktemoc.db"]);
    }
}

#[tokio::test]
async fn a_database_of_another_application_is_refused_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("asktemoc.db");
    rusqlite::Connection::open(&file).unwrap().execute_batch("CREATE TABLE albums (id INTEGER)").unwrap();
    let before = std::fs::read(&file).unwrap();
    let output = run(folder.path(), &["serve", "--port", "0"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(told(&output).contains("another application"), "{}", told(&output));
    assert_eq!(std::fs::read(&file).unwrap(), before);
    assert_eq!(names(folder.path()), ["asktemoc.db"]);
}

#[tokio::test]
async fn a_taken_port_ends_it_with_1_before_the_database_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = run(folder.path(), &["serve", "--port", &port]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(told(&output).contains("cannot listen on"), "{}", told(&output));
    assert_eq!(names(folder.path()), [""; 0]);
}

#[tokio::test]
async fn migrate_brings_the_tables_and_does_it_again() {
    let folder = tempfile::tempdir().unwrap();
    let url = database_url(&folder).await;
    for _ in 0..2 {
        let output = run(folder.path(), &["migrate", "--database-url", &url]).await;
        assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    }
}

/// A request whose body the server is waiting for, and what is missing of it.
async fn half_a_request(serving: &Serving) -> (tokio::net::TcpStream, &'static str) {
    let (first, rest) = (r#"{"title""#, r#": "in flight"}"#);
    (half_a_post(serving, "/api/documents", first, rest).await, rest)
}

/// A POST of `first` and `rest`, of which the server has the first part.
async fn half_a_post(serving: &Serving, path: &str, first: &str, rest: &str) -> tokio::net::TcpStream {
    let host = serving.address.trim_start_matches("http://");
    let mut stream = tokio::net::TcpStream::connect(host).await.expect("it listens");
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\nexpect: 100-continue\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n",
        first.len() + rest.len()
    );
    stream.write_all(head.as_bytes()).await.expect("it reads");
    // The answer to `expect` comes when the handler begins to read.
    let mut told = [0; 25];
    stream.read_exact(&mut told).await.expect("it answers");
    assert!(told.starts_with(b"HTTP/1.1 100 Continue"), "{}", String::from_utf8_lossy(&told));
    stream.write_all(first.as_bytes()).await.expect("it reads");
    stream
}

/// Asks it to stop, and waits until it takes no new connections.
async fn begin_to_stop(serving: &Serving) {
    serving.terminate().await;
    let host = serving.address.trim_start_matches("http://");
    while tokio::net::TcpStream::connect(host).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_request_under_way_is_finished_before_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let url = database_url(&folder).await;
    let mut serving = Serving::serve(folder.path(), &url).await;
    let (mut stream, rest) = half_a_request(&serving).await;
    begin_to_stop(&serving).await;
    stream.write_all(rest.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 201 Created"), "{answer}");
    assert_eq!(serving.child.wait().await.unwrap().code(), Some(0));
    let again = Serving::serve(folder.path(), &url).await;
    assert!(again.get("/api/documents").await.1.contains("in flight"));
    assert_eq!(again.stop().await.code(), Some(0));
}

#[tokio::test]
async fn a_search_that_waits_is_answered_when_the_server_stops() {
    let folder = tempfile::tempdir().unwrap();
    let mut serving = Serving::serve(folder.path(), &database_url(&folder).await).await;
    let query =
        r#"{"query":"{ search(input: {mode: TEXT, text: \"h\", waitFor: \"9999999\", waitMs: 60000}) { stale } }"}"#;
    let mut waiting = Vec::new();
    for (path, body) in [("/graphql", query), ("/api/pinecone/search?wait_for=9999999&wait_ms=60000", "[1, 0]")] {
        let (first, rest) = body.split_at(2);
        waiting.push((half_a_post(&serving, path, first, rest).await, rest));
    }
    begin_to_stop(&serving).await;
    for (mut stream, rest) in waiting {
        stream.write_all(rest.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.contains(r#""stale":true"#), "{answer}");
    }
    assert_eq!(serving.child.wait().await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn a_database_that_is_not_named_is_no_other_database() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &["migrate", "--database-url", ""]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(told(&output).contains("--database-url: must not be empty"), "{}", told(&output));
    let output = corpusd(folder.path(), &["migrate"]).env("DATABASE_URL", "").output().await.unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(told(&output).contains("DATABASE_URL: must not be empty"), "{}", told(&output));
    assert_eq!(names(folder.path()), [""; 0]);
}

#[tokio::test]
async fn an_env_file_that_cannot_be_read_says_where() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(".env");
    for (text, line) in [
        (&b"DB_ECHO=true\nPINECONE_API_KEY=\"pcsk_secret\n"[..], ".env: line 2 opens a quote that is not closed"),
        (b"DB_ECHO=true\n\nPINECONE_API_KEY=pcsk_\xff\n", ".env: line 3 is no UTF-8"),
        (b"# pcsk_secret\nwhat is this\n", ".env: line 2 is not of the form NAME=value"),
    ] {
        std::fs::write(&file, text).unwrap();
        let output = run(folder.path(), &["migrate"]).await;
        assert_eq!(output.status.code(), Some(2));
        assert!(told(&output).contains(line) && !told(&output).contains("pcsk_"), "{}", told(&output));
    }
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    let output = run(folder.path(), &["migrate"]).await;
    assert!(told(&output).contains(".env is a folder"), "{}", told(&output));
    std::fs::remove_dir(&file).unwrap();
    pipe(&file).await;
    let output = run(folder.path(), &["migrate"]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(told(&output).contains(".env is no regular file"), "{}", told(&output));
    assert_eq!(names(folder.path()), [".env"]);
}

#[tokio::test]
async fn a_file_that_is_no_database_is_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("notes.db"), "no database, and longer than the head of one. ".repeat(20))
        .unwrap();
    let output = run(folder.path(), &["migrate", "--database-url", "sqlite:///notes.db"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(told(&output).contains("notes.db: ") && !told(&output).contains("Custom Error"), "{}", told(&output));
    let output = run(folder.path(), &["migrate", "--database-url", "sqlite:///none/new.db"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(told(&output).contains("none/new.db: ") && !told(&output).contains("Custom Error"), "{}", told(&output));
}

#[tokio::test]
async fn health_tells_whether_a_server_is_ready() {
    let folder = tempfile::tempdir().unwrap();
    let url = database_url(&folder).await;
    let serving = Serving::start(corpusd(folder.path(), &["serve", "--port", "0", "--database-url", &url])).await;
    let port = serving.address.rsplit(':').next().unwrap().to_owned();
    let asked = async || corpusd(folder.path(), &["health", "--port", &port]).output().await.unwrap();
    let output = asked().await;
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), b"ready\n".as_slice()), "{}", told(&output));
    assert_eq!(serving.stop().await.code(), Some(0));
    let output = asked().await;
    assert_eq!(output.status.code(), Some(1));
    assert!(told(&output).contains("no server at"), "{}", told(&output));
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut serving = Serving::serve(folder.path(), &database_url(&folder).await).await;
    let (_stream, _rest) = half_a_request(&serving).await;
    begin_to_stop(&serving).await;
    serving.terminate().await;
    assert_eq!(serving.child.wait().await.unwrap().code(), Some(1));
}
