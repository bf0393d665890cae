//! A copy of a SQLite file while it is in use.
//!
//! `VACUUM INTO` reads one moment of the file and keeps no writer waiting (SQLite, "VACUUM", section 3). SQLite does
//! not sync what it writes there, and a copy that nobody has looked at is no backup: the copy is checked, synced, and
//! only then bears its name.

use std::fs;
use std::fs::File;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::OpenFlags;

/// How long the copy waits for another process that has the file to itself.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why there is no backup. What was begun is taken away.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Nothing is written over.
    #[error("{0} is there already: a backup is never written over")]
    Exists(String),
    /// There is nothing to copy.
    #[error("{0} is not there")]
    Missing(String),
    /// The copy is not what it should be.
    #[error("the copy is damaged: {0}")]
    Damaged(String),
    /// What SQLite says.
    #[error("the database cannot be copied: {0}")]
    Database(#[from] rusqlite::Error),
    /// What the file system says.
    #[error("the copy cannot be written: {0}")]
    File(#[from] io::Error),
}

/// What a backup holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backup {
    /// Everything up to this corpus revision.
    pub revision: i64,
    /// Documents, soft-deleted ones too.
    pub documents: i64,
    /// Chunks, soft-deleted ones too.
    pub chunks: i64,
    /// Embeddings.
    pub embeddings: i64,
    /// Bytes of the file.
    pub bytes: u64,
}

/// Copies the SQLite file `source` to `target`, which must not be there, as it is at one moment. Blocks.
///
/// # Errors
/// See [`BackupError`]; nothing bears the name of `target` then.
pub fn copy(source: &Path, target: &Path) -> Result<Backup, BackupError> {
    if target.exists() {
        return Err(BackupError::Exists(target.display().to_string()));
    }
    if !source.is_file() {
        return Err(BackupError::Missing(source.display().to_string()));
    }
    let part = beside(target);
    // It may be anybody's, or what is left of a backup that was killed: whoever knows removes it.
    if part.exists() {
        return Err(BackupError::Exists(part.display().to_string()));
    }
    let copied = into(source, &part).and_then(|()| {
        let backup = checked(&part)?;
        File::open(&part)?.sync_all()?;
        // Unlike a rename, this fails when somebody was faster.
        fs::hard_link(&part, target)?;
        Ok(backup)
    });
    let _ = fs::remove_file(&part);
    let backup = copied?;
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    File::open(folder)?.sync_all()?;
    Ok(backup)
}

/// Where the copy is while it is made.
fn beside(target: &Path) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(".part");
    PathBuf::from(name)
}

fn into(source: &Path, part: &Path) -> Result<(), BackupError> {
    // Not read-only: a reader of a file in WAL mode may have to make its shared memory.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(source, flags)?;
    connection.busy_timeout(PATIENCE)?;
    let name = part.to_str().ok_or_else(|| io::Error::other("its name must be UTF-8"))?;
    connection.execute("VACUUM INTO ?1", [name])?;
    Ok(())
}

fn checked(part: &Path) -> Result<Backup, BackupError> {
    let connection = Connection::open_with_flags(part, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let found: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if found != "ok" {
        return Err(BackupError::Damaged(found));
    }
    let loose: i64 = connection.query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0))?;
    if loose > 0 {
        return Err(BackupError::Damaged(format!("{loose} rows point to rows that are not there")));
    }
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get(0));
    Ok(Backup {
        revision: number("SELECT rev FROM corpus_clock WHERE id = 1")?,
        documents: number("SELECT count(*) FROM documents")?,
        chunks: number("SELECT count(*) FROM chunks")?,
        embeddings: number("SELECT count(*) FROM embeddings")?,
        bytes: fs::metadata(part)?.len(),
    })
}
