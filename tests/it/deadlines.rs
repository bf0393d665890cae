//! Requests that take too long, or whose client has gone: they are told so, and what they read ends.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use corpusd::error::Error;
use corpusd::service::Ctx;
use corpusd::store::connect::Location;
use corpusd::store::read;
use corpusd::store::sql::Sql;
use futures_util::future::join_all;
use sea_orm::ConnectionTrait as _;
use sea_orm::DbBackend;
use serde_json::Value;
use serde_json::json;

use crate::support::Answer;
use crate::support::TestApp;
use crate::support::rows;

const DOCUMENTS: &str = "{ documents { totalCount } search(input: { text: \"a\", mode: TEXT }) { stale } }";

/// Far longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);

/// A statement that does not end.
fn endless(cx: &Ctx) -> Sql {
    let mut sql = Sql::new(cx.read());
    sql.push(if sql.is_postgres() {
        "SELECT count(*) FROM documents WHERE pg_sleep(3600) IS NULL"
    } else {
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n CROSS JOIN documents"
    });
    sql
}

/// An application whose only connections are taken for as long as `work` lasts.
async fn while_taken<T>(test: &TestApp, work: impl Future<Output = T>) -> T {
    let (plain, graph) = (test.cx().for_request(), test.cx().for_request());
    tokio::select! {
        biased;
        end = endless(&plain).one(plain.read()) => panic!("{end:?}"),
        end = read::number(graph.db(), endless(&graph)) => panic!("{end:?}"),
        done = work => done,
    }
}

async fn small(timeout: Duration, statement: Duration) -> TestApp {
    let test = TestApp::with(|config| {
        config.database.pool_size = 1;
        config.database.statement_timeout = statement;
        config.server.timeout = timeout;
    })
    .await;
    corpusd::service::documents::create(test.cx(), rows::document("d")).await.expect("created");
    test
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_given_up_and_says_so() {
    let test = small(Duration::from_millis(200), LONG).await;
    let ask = |accept: &'static str| {
        let body = json!({ "query": DOCUMENTS }).to_string();
        let request = Request::post("/graphql").header("content-type", "application/json").header("accept", accept);
        test.send_request(request.body(Body::from(body)).expect("a request"))
    };
    let told = |answer: &Answer| {
        let error = &answer.json()["errors"][0];
        (error["extensions"]["code"].clone(), error["message"].clone(), answer.json().get("data").cloned())
    };
    let sentence = "The operation took longer than 0.2 s and was given up";
    while_taken(&test, async {
        for (accept, status) in [("application/json", 200), ("application/graphql-response+json", 504)] {
            let late = ask(accept).await;
            assert_eq!(late.status, status, "{}", late.text);
            assert_eq!(told(&late), (json!("TIMEOUT"), json!(sentence), None));
        }
        let late = test.rest("GET", "/api/documents", None).await;
        assert_eq!((late.status, &late.json()["code"]), (504, &json!("TIMEOUT")), "{}", late.text);
    })
    .await;
}

#[tokio::test]
async fn what_a_client_reads_that_has_gone_ends() {
    let test = small(LONG, Duration::from_secs(1)).await;
    // The only connections are busy, until those who wait for them go away.
    while_taken(&test, std::future::ready(())).await;
    for _ in 0..3 {
        while_taken(&test, tokio::task::yield_now()).await;
        let answer = test.graphql(DOCUMENTS, Value::Null).await;
        assert_eq!(answer["errors"], Value::Null, "{answer}");
    }
    let Ok(Location::Sqlite(path)) = Location::parse(&test.cx().config().database.url) else { return };
    // Nobody reads any more: the log can be cut, which no reader lets happen that is still at its beginning.
    corpusd::service::documents::create(test.cx(), rows::document("e")).await.expect("created");
    let conn = rusqlite::Connection::open(path).expect("the file");
    conn.busy_timeout(Duration::from_secs(30)).expect("set");
    let busy: i64 = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).expect("a checkpoint");
    assert_eq!(busy, 0);
}

#[tokio::test]
async fn one_request_leaves_connections_to_the_others() {
    let test = TestApp::with(|config| config.database.pool_size = 4).await;
    corpusd::service::documents::create(test.cx(), rows::document("d")).await.expect("created");
    let cx = test.cx().for_request();
    // As many as a document may have root fields, by each of the two ways to read.
    let plain = join_all((0..20).map(|_| endless(&cx).one(cx.read())));
    let graph = join_all((0..20).map(|_| read::number(cx.db(), endless(&cx))));
    tokio::select! {
        biased;
        ends = plain => panic!("{ends:?}"),
        ends = graph => panic!("{ends:?}"),
        answer = test.graphql(DOCUMENTS, Value::Null) => assert_eq!(answer["errors"], Value::Null, "{answer}"),
    }
}

#[tokio::test]
async fn postgresql_ends_a_statement_of_a_request_that_takes_too_long() {
    let test = small(LONG, Duration::from_secs(1)).await;
    if test.cx().read().get_database_backend() != DbBackend::Postgres {
        return;
    }
    let cx = test.cx().for_request();
    let late = endless(&cx).one(cx.read()).await.map_err(Error::from);
    assert!(matches!(late, Err(Error::Timeout)), "{late:?}");
}
