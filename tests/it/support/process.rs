//! The real binary in a folder of its own.

use std::path::Path;
use std::process::ExitStatus;
use std::process::Output;
use std::process::Stdio;

use tokio::io::AsyncBufReadExt as _;
use tokio::io::AsyncReadExt as _;
use tokio::io::BufReader;
use tokio::process::Child;
use tokio::process::Command;

use crate::support::http;

/// Where it was built.
const BINARY: &str = env!("CARGO_BIN_EXE_corpusd");

/// The binary, in `folder`, without any setting of the machine it runs on; killed when forgotten.
pub fn corpusd(folder: &Path, args: &[&str]) -> Command {
    alone(Command::new(BINARY), folder, args)
}

/// The binary under a tool that runs it with `options` of its own.
pub fn corpusd_under(tool: &Path, options: &[&str], folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(tool);
    command.args(options).arg(BINARY);
    alone(command, folder, args)
}

fn alone(mut command: Command, folder: &Path, args: &[&str]) -> Command {
    command.args(args).current_dir(folder).env_clear().stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Runs it to its end.
pub async fn run(folder: &Path, args: &[&str]) -> Output {
    corpusd(folder, args).output().await.expect("the binary runs")
}

/// Makes a named pipe that nobody writes to.
pub async fn pipe(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status().await.expect("mkfifo runs");
    assert!(made.success());
}

/// A server that said where it listens.
pub struct Serving {
    pub child: Child,
    /// `http://127.0.0.1:PORT`
    pub address: String,
    /// What it printed before that.
    pub printed: Vec<String>,
}

impl Serving {
    /// Starts `command` and waits for its listening line.
    pub async fn start(mut command: Command) -> Self {
        Self::started(command.stderr(Stdio::piped())).await
    }

    /// The same, writing its log to a file: a pipe that nobody reads runs full.
    pub async fn start_logging(mut command: Command, log: std::fs::File) -> Self {
        Self::started(command.stderr(log)).await
    }

    async fn started(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the binary starts");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let mut printed = Vec::new();
        while let Some(line) = lines.next_line().await.expect("UTF-8") {
            if let Some(address) = line.strip_prefix("listening on ") {
                return Self { child, address: address.to_owned(), printed };
            }
            printed.push(line);
        }
        let mut told = String::new();
        if let Some(mut log) = child.stderr.take() {
            log.read_to_string(&mut told).await.expect("UTF-8");
        }
        panic!("it ended before it listened: {told}");
    }

    /// `corpusd serve` on a free port over the database `url`.
    pub async fn serve(folder: &Path, url: &str) -> Self {
        Self::start(corpusd(folder, &["serve", "--port", "0", "--database-url", url])).await
    }

    /// The status and body of a GET.
    pub async fn get(&self, path: &str) -> (u16, String) {
        let client = http().build().expect("a client");
        let answer = client.get(format!("{}{path}", self.address)).send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("a body"))
    }

    /// Sends SIGTERM, as a process supervisor does.
    pub async fn terminate(&self) {
        let pid = self.child.id().expect("it runs").to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().await.expect("kill runs");
        assert!(sent.success());
    }

    /// Sends SIGTERM and waits for the end.
    pub async fn stop(mut self) -> ExitStatus {
        self.terminate().await;
        self.child.wait().await.expect("it ends")
    }
}
