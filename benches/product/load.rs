//! A load generator that costs little beside what it measures: raw requests over
//! keep-alive connections, answers read by their content length.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

/// The bytes of a GET.
pub fn get_request(host: SocketAddr, path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n").into_bytes()
}

/// The bytes of a GraphQL POST.
pub fn graphql_request(host: SocketAddr, query: &str, variables: &str) -> Vec<u8> {
    let query = serde_json::Value::from(query).to_string();
    let body = format!("{{\"query\":{query},\"variables\":{variables}}}");
    format!(
        "POST /graphql HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// One GraphQL request, its answer as JSON.
pub async fn post(host: SocketAddr, query: &str, variables: &str) -> serde_json::Value {
    let request = graphql_request(host, query, variables);
    serde_json::from_str(&once(host, &request).await).expect("JSON")
}

/// One request on a connection of its own; the body of a 2xx answer.
pub async fn once(host: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(host).await.expect("the server listens");
    let mut buffer = Vec::new();
    let body = exchange(&mut stream, request, &mut buffer).await;
    String::from_utf8(buffer[body..].to_vec()).expect("UTF-8")
}

/// Requests a second over `connections` for about `time`.
pub async fn run(host: SocketAddr, request: &[u8], connections: usize, time: Duration) -> f64 {
    let done = Arc::new(AtomicU64::new(0));
    let start = Instant::now();
    let clients = (0..connections).map(|_| {
        let (done, request) = (done.clone(), request.to_vec());
        async move {
            let mut stream = TcpStream::connect(host).await.expect("the server listens");
            let mut buffer = Vec::new();
            while start.elapsed() < time {
                exchange(&mut stream, &request, &mut buffer).await;
                done.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    futures_util::future::join_all(clients).await;
    done.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64()
}

/// Sends a request and reads its whole answer into `buffer`; gives where the body starts.
async fn exchange(stream: &mut TcpStream, request: &[u8], buffer: &mut Vec<u8>) -> usize {
    stream.write_all(request).await.expect("the request is sent");
    buffer.clear();
    loop {
        let read = stream.read_buf(buffer).await.expect("an answer");
        assert!(read > 0, "the server closed the connection");
        let Some(head) = buffer.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let text = std::str::from_utf8(&buffer[..head]).expect("ASCII");
        assert!(text.starts_with("HTTP/1.1 2"), "{text}: {}", String::from_utf8_lossy(&buffer[head..]));
        let length = text
            .lines()
            .find_map(|line| {
                line.to_ascii_lowercase().strip_prefix("content-length:").map(str::trim).map(str::to_owned)
            })
            .and_then(|length| length.parse::<usize>().ok())
            .expect("a content length");
        let body = head + 4;
        while buffer.len() < body + length {
            assert!(stream.read_buf(buffer).await.expect("a body") > 0, "cut body");
        }
        return body;
    }
}
