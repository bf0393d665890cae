//! `corpusd health`: whether the server of this configuration is ready, for containers that have no other client.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::cli::Failure;
use crate::cli::say;
use crate::config::Config;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks the server, and fails unless it is ready.
pub async fn run(config: Config) -> Result<(), Failure> {
    // Who listens on every address is asked on its own.
    let host = match config.server.host {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        IpAddr::V4(_) | IpAddr::V6(_) => config.server.host,
    };
    let address = SocketAddr::new(host, config.server.port);
    match tokio::time::timeout(PATIENCE, status(address)).await {
        Ok(Ok(200)) => {
            say("ready");
            Ok(())
        }
        Ok(Ok(status)) => Err(Failure::Failed(format!("the server at {address} is not ready: it answers {status}"))),
        Ok(Err(error)) => Err(Failure::Failed(format!("no server at {address}: {error}"))),
        Err(_) => Err(Failure::Failed(format!("the server at {address} does not answer"))),
    }
}

/// The status of `/health/ready`: the one number of the first line.
async fn status(address: SocketAddr) -> std::io::Result<u16> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /health/ready HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(4_096).read_to_end(&mut answer).await?;
    let line = String::from_utf8_lossy(&answer);
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.ok_or_else(|| std::io::Error::other("it speaks no HTTP"))
}
