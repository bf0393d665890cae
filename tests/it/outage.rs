//! What a target that is away costs those who use the API.

use std::net::SocketAddr;
use std::time::Duration;

use corpusd::emulator::Emulator;
use corpusd::emulator::Options;
use serde_json::Value;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::support::database_url;
use crate::support::fleet::Client;
use crate::support::fleet::emulator;
use crate::support::fleet::held;
use crate::support::fleet::raised;
use crate::support::fleet::serve;

/// Clients at one time.
const CLIENTS: usize = 4;
/// What a client does between two requests: nothing, so that requests find a server that is not saturated.
const THINKS: Duration = Duration::from_millis(20);

/// How the target is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    Up,
    Refusing,
    Silent,
}

/// Does one request of the mix and gives its kind.
async fn ask(client: &Client, known: &mut Vec<String>, number: usize, dice: &mut fastrand::Rng) -> &'static str {
    let graphql = |query: String, variables: Value| json!({ "query": query, "variables": variables });
    let id = known[dice.usize(..known.len())].clone();
    let title = format!("title {number}");
    let (kind, reply) = match dice.u8(..10) {
        0..=1 => ("read REST", client.ask("GET", &format!("/api/documents/{id}"), None).await),
        2 => ("read REST", client.ask("GET", &format!("/api/documents/{id}/chunks"), None).await),
        3..=4 => {
            let query = "query($id: ID!) { document(id: $id) { title chunks(first: 10) { nodes { text embeddings(first: 2) { id vector } } } } }";
            (
                "read GraphQL",
                client.ask("POST", "/graphql", Some(&graphql(query.to_owned(), json!({ "id": id })))).await,
            )
        }
        5 => {
            let query =
                format!("{{ search(input: {{ text: \"{number}\", mode: TEXT, first: 10 }}) {{ hits {{ score }} }} }}");
            ("search TEXT", client.ask("POST", "/graphql", Some(&graphql(query, Value::Null))).await)
        }
        6..=7 => {
            ("write REST", client.ask("PUT", &format!("/api/documents/{id}"), Some(&json!({ "title": title }))).await)
        }
        _ => {
            let query = "mutation($i: CreateDocumentInput!) { createDocument(input: $i) { document { id } } }";
            let chunk = |at: usize| json!({ "chunkIndex": at, "text": format!("{title} {at}"), "embeddings": [{ "vector": [1, at] }] });
            let input = json!({ "title": title, "chunks": [chunk(0), chunk(1), chunk(2)] });
            let reply = client.ask("POST", "/graphql", Some(&graphql(query.to_owned(), json!({ "i": input })))).await;
            let made = reply.as_ref().and_then(|reply| reply.body["data"]["createDocument"]["document"]["id"].as_str());
            known.extend(made.map(str::to_owned));
            ("write GraphQL", reply)
        }
    };
    let reply = reply.expect("an answer");
    assert!(reply.status < 300 && reply.body["errors"].is_null(), "{reply:?}");
    kind
}

/// What requests took, each with its kind and how the target was.
type Times = Vec<(&'static str, Target, Duration)>;

/// Works for so long, and notes what each request took.
async fn work(clients: &[Client], known: &mut [Vec<String>], target: Target, span: Duration, times: &mut Times) {
    let end = Instant::now() + span;
    let workers = clients.iter().zip(known).map(|(client, known)| async move {
        let (mut dice, mut times) = (fastrand::Rng::new(), Times::new());
        while Instant::now() < end {
            let begin = Instant::now();
            let number = dice.usize(..100_000);
            let kind = ask(client, known, number, &mut dice).await;
            times.push((kind, target, begin.elapsed()));
            tokio::time::sleep(THINKS).await;
        }
        times
    });
    times.extend(futures_util::future::join_all(workers).await.into_iter().flatten());
}

fn at(times: &[Duration], hundredth: usize) -> Duration {
    times[(times.len() * hundredth / 100).min(times.len() - 1)]
}

/// For docs/testing.md: `CORPUSD_OUTAGE_S=60 cargo test --test it outage -- --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures, and asserts no time"]
async fn how_long_requests_take_while_the_target_is_away() {
    let folder = tempfile::tempdir().unwrap();
    let data = tempfile::tempdir().unwrap();
    let url = database_url(&folder).await;
    let options = |address: SocketAddr| Options { address, data: Some(data.path().to_owned()), ..Options::default() };
    let mut up: Option<Emulator> = Some(emulator(options(SocketAddr::from(([127, 0, 0, 1], 0)))).await);
    let place = up.as_ref().expect("it is up").url();
    let address: SocketAddr = place.trim_start_matches("http://").parse().expect("an address");
    let settings = [
        ("CORPUSD_AUTO_EXPORT", "true"),
        ("CORPUSD_SYNC_TIMEOUT_S", "5"),
        ("CORPUSD_SYNC_LEASE_S", "15"),
        ("CORPUSD_SYNC_DOUBT_S", "10"),
    ];
    let serving = serve(folder.path(), &url, &place, &settings).await;
    let clients: Vec<Client> = (0..CLIENTS).map(|_| Client::new(&serving)).collect();
    let mut known = Vec::new();
    for client in &clients {
        let mut own = Vec::new();
        for number in 0..50 {
            let (_, made) = client
                .send("POST", "/api/documents", Some(&json!({ "title": format!("first {number}") })))
                .await
                .expect("an answer");
            own.push(made["id"].as_str().expect("an id").to_owned());
        }
        known.push(own);
    }
    let span = Duration::from_secs(raised("CORPUSD_OUTAGE_S", 10) as u64);
    let mut times = Times::new();
    // Once without being counted.
    work(&clients, &mut known, Target::Up, Duration::from_secs(3), &mut Times::new()).await;
    for round in 0..raised("CORPUSD_OUTAGE_ROUNDS", 2) {
        for target in [Target::Up, Target::Refusing, Target::Up, Target::Silent] {
            if target == Target::Up {
                if up.is_none() {
                    up = Some(emulator(options(address)).await);
                }
                // The backlog of the outage before is no part of what is measured.
                clients[0].settled().await;
            } else if let Some(up) = up.take() {
                up.shutdown().await;
            }
            let mut silent = JoinSet::new();
            if target == Target::Silent {
                let listener = TcpListener::bind(address).await.expect("the address is free");
                silent.spawn(async move {
                    let mut open = Vec::new();
                    while let Ok((stream, _)) = listener.accept().await {
                        open.push(stream);
                    }
                });
            }
            work(&clients, &mut known, target, span, &mut times).await;
            println!("round {round}, {target:?}: {}", clients[0].target().await);
            silent.shutdown().await;
        }
    }
    let begin = Instant::now();
    let up = emulator(options(address)).await;
    let behind = clients[0].target().await;
    clients[0].settled().await;
    println!("{behind} drained in {:?}", begin.elapsed());
    assert_eq!(held(&up), clients[0].rows().await);
    for kind in ["read REST", "read GraphQL", "search TEXT", "write REST", "write GraphQL"] {
        let mut base = None;
        for target in [Target::Up, Target::Refusing, Target::Silent] {
            let mut own: Vec<Duration> = times
                .iter()
                .filter(|(what, how, _)| (*what, *how) == (kind, target))
                .map(|(_, _, took)| *took)
                .collect();
            own.sort_unstable();
            let (p50, p99) = (at(&own, 50), at(&own, 99));
            let (b50, b99) = *base.get_or_insert((p50, p99));
            let ratio = |now: Duration, base: Duration| now.as_secs_f64() / base.as_secs_f64();
            println!(
                "{kind:<14} {:<9} {:>6} requests, p50 {p50:>10.2?} ({:.2}), p99 {p99:>10.2?} ({:.2})",
                format!("{target:?}"),
                own.len(),
                ratio(p50, b50),
                ratio(p99, b99)
            );
        }
    }
    assert_eq!(serving.stop().await.code(), Some(0));
}
