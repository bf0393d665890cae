//! The log of a durable emulator: one file, one line for each change.
//!
//! A line is a checksum, a space and JSON. It is on the disk before the change is made
//! and answered. The file is read at start, and written anew without what no longer
//! matters. A last line that was cut by a crash is dropped: nobody was told of it. A
//! damaged line anywhere else is nothing to guess about, and refuses the start.

use std::fmt;
use std::fs;
use std::fs::File;
use std::io;
use std::io::BufWriter;
use std::io::Read as _;
use std::io::Seek as _;
use std::io::SeekFrom;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

use xxhash_rust::xxh3::xxh3_64;

use crate::clock::Clock;
use crate::emulator::change;
use crate::emulator::contents::Edit;
use crate::emulator::project::Change;
use crate::emulator::project::Project;
use crate::json::Json;
use crate::json::Literals;

/// The log.
const LOG: &str = "emulator.log";
/// The log while it is written anew.
const NEW: &str = "emulator.log.new";
/// Held by the process that has the folder.
const LOCK: &str = "emulator.lock";
/// The first line: what this is, and in which form.
const TITLE: &str = "corpusd-emulator 1\n";
/// Hexadecimal digits of a checksum.
const SUM: usize = 16;
/// Records of one line of a compacted log.
const BATCH: usize = 100;

/// Why a folder cannot be used.
#[derive(Debug)]
pub enum JournalError {
    /// Another process has it.
    Locked(PathBuf),
    /// Its log is damaged.
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// The file system says no.
    Io(PathBuf, io::Error),
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked(path) => write!(f, "{}: another process uses this folder", path.display()),
            Self::Damaged { path, line, reason } => write!(
                f,
                "{}: line {line} is damaged ({reason}); nothing was changed. Restore the file, or begin with an empty \
                 folder",
                path.display()
            ),
            Self::Io(path, error) => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl std::error::Error for JournalError {}

/// The log, open at its end.
#[derive(Debug)]
pub struct Journal {
    file: File,
    /// Where the last whole line ends.
    end: u64,
    /// A failed append that could not be taken back: what follows it could not be read.
    broken: bool,
    _lock: File,
}

impl Journal {
    /// Opens a folder, makes it if need be, and gives what its log tells.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn open(folder: &Path, clock: &Clock) -> Result<(Self, Project), JournalError> {
        let told = |path: &Path| {
            let path = path.to_owned();
            move |error| JournalError::Io(path, error)
        };
        fs::create_dir_all(folder).map_err(told(folder))?;
        let name = folder.join(LOCK);
        let lock = File::options().create(true).truncate(false).write(true).open(&name).map_err(told(&name))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(JournalError::Locked(folder.to_owned())),
            Err(fs::TryLockError::Error(error)) => return Err(JournalError::Io(name, error)),
        }
        let (path, new) = (folder.join(LOG), folder.join(NEW));
        let mut project = Project::new(clock.clone());
        match File::open(&path) {
            Ok(mut file) => {
                let mut bytes = Vec::new();
                file.read_to_end(&mut bytes).map_err(told(&path))?;
                replay(&bytes, &mut project).map_err(|(line, reason)| JournalError::Damaged {
                    path: path.clone(),
                    line,
                    reason,
                })?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(JournalError::Io(path, error)),
        }
        compact(&project, &new).map_err(told(&new))?;
        fs::rename(&new, &path).map_err(told(&path))?;
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(told(folder))?;
        let mut file = File::options().write(true).open(&path).map_err(told(&path))?;
        let end = file.seek(SeekFrom::End(0)).map_err(told(&path))?;
        Ok((Self { file, end, broken: false, _lock: lock }, project))
    }

    /// Puts a change on the disk.
    ///
    /// # Errors
    /// What the file system says; the change is not in the log then.
    pub fn append(&mut self, change: &Change) -> io::Result<()> {
        if self.broken {
            return Err(io::Error::other("an earlier failure left the log without a clean end"));
        }
        let line = line(change);
        let done = self.file.write_all(line.as_bytes()).and_then(|()| self.file.sync_data());
        match done {
            Ok(()) => {
                self.end += line.len() as u64;
                Ok(())
            }
            Err(error) => {
                self.broken = self.back().is_err();
                Err(error)
            }
        }
    }

    /// Takes back what was written behind the last whole line.
    fn back(&mut self) -> io::Result<()> {
        self.file.set_len(self.end)?;
        self.file.seek(SeekFrom::Start(self.end))?;
        self.file.sync_data()
    }
}

fn line(change: &Change) -> String {
    let json = change::write(change).to_string();
    format!("{:0SUM$x} {json}\n", xxh3_64(json.as_bytes()))
}

/// Makes the changes of a log; the number and the flaw of the first line that cannot be read.
fn replay(bytes: &[u8], project: &mut Project) -> Result<(), (usize, String)> {
    // A crash may cut the first line as well.
    if TITLE.as_bytes().starts_with(bytes) {
        return Ok(());
    }
    let Some(mut rest) = bytes.strip_prefix(TITLE.as_bytes()) else {
        return Err((1, "this is no log of the emulator, or of another version".to_owned()));
    };
    let mut number = 1;
    while !rest.is_empty() {
        number += 1;
        let end = rest.iter().position(|byte| *byte == b'\n');
        let (line, after) = end.map_or((rest, &[][..]), |end| (&rest[..end], &rest[end + 1..]));
        match read_line(line) {
            Ok(change) if end.is_some() => {
                project.apply(&change, std::time::Duration::ZERO, None);
            }
            Err(reason) if !after.is_empty() => return Err((number, reason.to_owned())),
            Ok(_) | Err(_) => tracing::warn!(line = number, "the last write did not reach the disk whole: dropped"),
        }
        rest = after;
    }
    Ok(())
}

fn read_line(line: &[u8]) -> Result<Change, &'static str> {
    let (sum, json) = line.split_at_checked(SUM).ok_or("it is too short")?;
    let json = json.strip_prefix(b" ").ok_or("it has no checksum")?;
    let sum = std::str::from_utf8(sum).ok().and_then(|sum| u64::from_str_radix(sum, 16).ok());
    if sum != Some(xxh3_64(json)) {
        return Err("its checksum is another");
    }
    let json = Json::parse(json, Literals::Strict).map_err(|_| "it is no JSON")?;
    change::read(&json).ok_or("it is no change that this version knows")
}

/// Writes the shortest log that tells of `project`.
fn compact(project: &Project, path: &Path) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    file.write_all(TITLE.as_bytes())?;
    for (name, index) in &project.indexes {
        file.write_all(line(&Change::Index(index.spec.clone())).as_bytes())?;
        let mut put = |namespace: &str, edit: Edit| {
            let change = Change::Edit { index: name.clone(), namespace: namespace.to_owned(), edit };
            file.write_all(line(&change).as_bytes())
        };
        for (namespace, space) in &index.contents.spaces {
            put(namespace, Edit::Open { schema: space.schema.clone() })?;
            let records: Vec<_> = space.records.iter().collect();
            for records in records.chunks(BATCH) {
                let records = records.iter().map(|(id, record)| ((*id).clone(), (*record).clone()));
                put(namespace, Edit::Put(records.collect()))?;
            }
        }
        for (namespace, seen) in &index.contents.lsns {
            put(namespace, Edit::Count(*seen))?;
        }
    }
    let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_written_is_refused_and_nothing_is_written_behind_it() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let lock = File::open("/dev/null").unwrap();
        let mut journal = Journal { file: full, end: 0, broken: false, _lock: lock };
        let change = Change::Drop("kb".to_owned());
        assert_eq!(journal.append(&change).unwrap_err().kind(), io::ErrorKind::StorageFull);
        // The file could not be cut back either, so its end is not known.
        assert!(journal.append(&change).unwrap_err().to_string().contains("without a clean end"));
    }

    #[test]
    fn a_failed_append_leaves_the_log_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, _) = Journal::open(folder.path(), &Clock::frozen(0)).unwrap();
        journal.append(&Change::Drop("one".to_owned())).unwrap();
        let path = folder.path().join(LOG);
        let before = fs::read(&path).unwrap();
        // As if a write had stopped half-way.
        journal.file.write_all(b"half a li").unwrap();
        journal.back().unwrap();
        assert_eq!(fs::read(&path).unwrap(), before);
        journal.append(&Change::Drop("two".to_owned())).unwrap();
        let mut project = Project::new(Clock::frozen(0));
        assert_eq!(replay(&fs::read(&path).unwrap(), &mut project), Ok(()));
    }
}
