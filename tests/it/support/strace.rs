//! strace: what a process asks of the kernel, in order, and errors in the place of answers.

use std::collections::HashMap;
use std::io::Read as _;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Child;
use tokio::process::Command;

/// The calls that [`events`] understands.
const CALLS: &str =
    "trace=openat,pwrite64,write,writev,sendto,sendmsg,ftruncate,fdatasync,fsync,unlink,unlinkat,rename";

/// Where strace is, or why a test goes without it; the reason is printed, past the capture of a passing test.
pub async fn found() -> Option<PathBuf> {
    match look().await {
        Ok(tool) => Some(tool),
        Err(reason) => {
            // There is nobody to tell when this fails.
            let _ = writeln!(std::io::stderr(), "skipped, because nothing can be traced here: {reason}");
            None
        }
    }
}

async fn look() -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let tool = std::env::split_paths(&path).map(|folder| folder.join("strace")).find(|tool| tool.is_file());
    let tool = tool.ok_or("strace is not installed")?;
    let tried = Command::new(&tool).args(["-f", "-qq", "-o", "/dev/null", "true"]).output().await;
    let tried = tried.map_err(|error| error.to_string())?;
    if tried.status.success() { Ok(tool) } else { Err(String::from_utf8_lossy(&tried.stderr).trim().to_owned()) }
}

/// Options that write the calls of a command to `log`. The command stays the child of its parent.
pub fn recording(log: &str) -> [&str; 12] {
    ["-D", "-f", "--seccomp-bpf", "-q", "-yy", "-xx", "-s", "4000000", "-o", log, "-e", CALLS]
}

/// strace at work on a running process.
pub struct Fault {
    child: Child,
    calls: tempfile::NamedTempFile,
}

impl Fault {
    /// Has calls of the process `pid` on `files` fail as `inject` says (`fdatasync:error=EIO`), from now on.
    pub async fn begin(tool: &Path, pid: u32, files: &[PathBuf], inject: &str) -> Self {
        let calls = inject.split(':').next().unwrap_or(inject);
        let mut command = Command::new(tool);
        let log = tempfile::NamedTempFile::new().expect("a file");
        command.arg("-f").arg("-o").arg(log.path()).args(["-p", &pid.to_string(), "-e", &format!("trace={calls}")]);
        command.args(["-e", &format!("inject={inject}")]);
        for file in files {
            command.arg("-P").arg(file);
        }
        // A file, because who comes and goes is told as long as it lasts.
        let mut told = tempfile::NamedTempFile::new().expect("a file");
        command.stdin(Stdio::null()).stderr(told.reopen().expect("the same")).kill_on_drop(true);
        let mut child = command.spawn().expect("strace runs");
        let mut text = String::new();
        while !text.contains(" attached") {
            assert_eq!(child.try_wait().expect("its state"), None, "strace does not trace: {text}");
            tokio::time::sleep(Duration::from_millis(10)).await;
            told.read_to_string(&mut text).expect("UTF-8");
        }
        Self { child, calls: log }
    }

    /// Lets every call through again; gives how many did not come through.
    pub async fn end(mut self) -> usize {
        let pid = self.child.id().expect("it runs").to_string();
        let sent = Command::new("kill").args(["-INT", &pid]).status().await.expect("kill runs");
        assert!(sent.success());
        self.child.wait().await.expect("it ends");
        let calls = std::fs::read_to_string(self.calls.path()).expect("the log");
        calls.lines().filter(|line| line.ends_with("(INJECTED)")).count()
    }
}

/// What a process did to files and sockets. A write counts from its beginning, a sync from its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Made(PathBuf),
    Removed(PathBuf),
    Wrote { path: PathBuf, at: usize, bytes: Vec<u8> },
    Cut { path: PathBuf, length: usize },
    SyncBegan { thread: u32, path: PathBuf },
    SyncEnded { thread: u32, path: PathBuf },
    Sent { bytes: Vec<u8> },
}

/// The events of a log of [`recording`] on files in `folder` and on connections.
pub fn events(log: &str, folder: &Path) -> Vec<Event> {
    let mut reader = Reader { folder, events: Vec::new(), begun: HashMap::new() };
    for line in log.lines() {
        reader.line(line);
    }
    reader.events
}

struct Reader<'a> {
    folder: &'a Path,
    events: Vec<Event>,
    /// The calls that others interrupted in the log, up to there.
    begun: HashMap<u32, String>,
}

impl Reader<'_> {
    fn line(&mut self, line: &str) {
        let (thread, call) = line.split_once(' ').expect("a thread");
        let thread: u32 = thread.parse().expect("a number");
        let call = call.trim_start();
        if call.starts_with("+++") || call.starts_with("---") {
            return;
        }
        if let Some(first) = call.strip_suffix(" <unfinished ...>") {
            self.begin(thread, first);
            self.begun.insert(thread, first.to_owned());
        } else if call.starts_with("<... ") {
            let first = self.begun.remove(&thread).expect("it began");
            let rest = call.split_once("resumed>").expect("a rest").1;
            self.end(thread, &format!("{first}{rest}"));
        } else {
            self.begin(thread, call);
            self.end(thread, call);
        }
    }

    /// A call is made.
    fn begin(&mut self, thread: u32, call: &str) {
        let (name, arguments) = call.split_once('(').expect("a call");
        let event = match name {
            "pwrite64" => self.file(arguments).map(|path| {
                let (bytes, rest) = text(arguments);
                let mut numbers = rest.trim_start_matches(", ").split([',', ')']);
                let length: usize = number(numbers.next());
                assert_eq!(length, bytes.len(), "the log holds all of it");
                Event::Wrote { path, at: number(numbers.next()), bytes }
            }),
            "write" | "writev" | "sendto" | "sendmsg" => {
                assert!(self.file(arguments).is_none(), "files are written by place: {:.200}", call);
                let connection = arguments.split_once('<').is_some_and(|(_, place)| place.starts_with("TCP"));
                connection.then(|| {
                    let (mut bytes, mut rest) = (Vec::new(), arguments);
                    while rest.contains('"') {
                        let (more, behind) = text(rest);
                        bytes.extend(more);
                        rest = behind;
                    }
                    Event::Sent { bytes }
                })
            }
            "ftruncate" => self.file(arguments).map(|path| {
                let length = arguments.rsplit_once(">, ").and_then(|(_, rest)| rest.split(')').next());
                Event::Cut { path, length: number(length) }
            }),
            "fdatasync" | "fsync" => self.file(arguments).map(|path| Event::SyncBegan { thread, path }),
            "rename" => panic!("nobody renames here: {call}"),
            _ => None,
        };
        self.events.extend(event);
    }

    /// A call has succeeded or failed.
    fn end(&mut self, thread: u32, call: &str) {
        let (call, outcome) = call.rsplit_once(" = ").expect("an outcome");
        if outcome.starts_with('-') || outcome.starts_with('?') {
            return;
        }
        let (name, arguments) = call.split_once('(').expect("a call");
        let event = match name {
            // The file, not its folder's descriptor: what came out.
            "openat" if arguments.contains("O_CREAT") => self.file(outcome).map(Event::Made),
            "fdatasync" | "fsync" => self.file(arguments).map(|path| Event::SyncEnded { thread, path }),
            "unlink" | "unlinkat" => {
                let path = PathBuf::from(String::from_utf8(text(arguments).0).expect("UTF-8"));
                path.starts_with(self.folder).then_some(Event::Removed(path))
            }
            _ => None,
        };
        self.events.extend(event);
    }

    /// The file behind the first descriptor, when it is one of the folder (or that itself) and its content matters.
    fn file(&self, arguments: &str) -> Option<PathBuf> {
        let (_, place) = arguments.split_once('<')?;
        let (place, _) = place.split_once('>')?;
        if !place.starts_with("\\x") {
            return None;
        }
        let path = PathBuf::from(String::from_utf8(unescaped(place)).expect("UTF-8"));
        path.starts_with(self.folder).then_some(path)
    }
}

fn number(text: Option<&str>) -> usize {
    text.and_then(|text| text.trim().parse().ok()).unwrap_or_else(|| panic!("a number: {text:?}"))
}

/// The first text, and what stands behind it.
fn text(arguments: &str) -> (Vec<u8>, &str) {
    let (_, rest) = arguments.split_once('"').expect("a text");
    let (inside, rest) = rest.split_once('"').expect("its end");
    assert!(!rest.starts_with("..."), "the log holds all of it");
    (unescaped(inside), rest)
}

/// `\x41\x42`
fn unescaped(text: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok()).expect("a digit");
    text.as_bytes().chunks_exact(4).map(|four| digit(four[2]) * 16 + digit(four[3])).collect()
}

#[test]
fn calls_that_others_interrupt_are_read_as_one() {
    let log = "7 pwrite64(3<\\x2f\\x66\\x2f\\x61>, \"\\x41\\x42\", 2, 512 <unfinished ...>\n\
               8 fdatasync(4<\\x2f\\x66\\x2f\\x61> <unfinished ...>\n\
               7 <... pwrite64 resumed>) = 2\n\
               9 sendto(5<TCP:[127.0.0.1:1->127.0.0.1:2]>, \"\\x43\", 1, MSG_NOSIGNAL, NULL, 0) = 1\n\
               8 <... fdatasync resumed>) = 0\n\
               8 fdatasync(4<\\x2f\\x66\\x2f\\x61>) = -1 EIO (Input/output error)\n\
               7 openat(AT_FDCWD<\\x2f\\x66>, \"\\x2f\\x66\\x2f\\x62\", O_RDWR|O_CREAT, 0644) = 6<\\x2f\\x66\\x2f\\x62>\n\
               7 +++ exited with 0 +++\n";
    let a = PathBuf::from("/f/a");
    assert_eq!(
        events(log, Path::new("/f")),
        [
            Event::Wrote { path: a.clone(), at: 512, bytes: b"AB".to_vec() },
            Event::SyncBegan { thread: 8, path: a.clone() },
            Event::Sent { bytes: b"C".to_vec() },
            Event::SyncEnded { thread: 8, path: a.clone() },
            Event::SyncBegan { thread: 8, path: a },
            Event::Made(PathBuf::from("/f/b")),
        ]
    );
}
