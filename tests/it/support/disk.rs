//! What a disk may hold after the power was cut.
//!
//! A file holds what it held at the end of its last sync, and of each 512-byte sector that was written since, the
//! first few of those writes: a sector is written out whole, and as it was at some moment. A name is there when its
//! folder was synced after it was made; of later changes of names the first few are.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::path::Path;
use std::path::PathBuf;

use crate::support::strace::Event;

const SECTOR: usize = 512;

/// A change of a file that was not synced.
#[derive(Debug, Clone)]
enum Change {
    Wrote { at: usize, bytes: Vec<u8> },
    Cut(usize),
}

#[derive(Debug, Default)]
struct File {
    durable: Vec<u8>,
    open: Vec<Change>,
}

/// A change of a name that was not synced: the file it now has, or none.
type Named = (PathBuf, Option<usize>);

/// A folder and its files, as programs see them and as they are on the disk.
#[derive(Debug)]
pub struct Disk {
    folder: PathBuf,
    files: Vec<File>,
    names: BTreeMap<PathBuf, usize>,
    durable: BTreeMap<PathBuf, usize>,
    open: Vec<Named>,
    /// How much of what was open when its sync began, by thread and path.
    syncing: HashMap<(u32, PathBuf), usize>,
}

impl Disk {
    /// An empty folder that is there for good.
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            files: Vec::new(),
            names: BTreeMap::new(),
            durable: BTreeMap::new(),
            open: Vec::new(),
            syncing: HashMap::new(),
        }
    }

    /// Takes note of what a program did.
    pub fn follow(&mut self, event: &Event) {
        match event {
            Event::Made(path) => {
                if !self.names.contains_key(path) {
                    self.files.push(File::default());
                    self.name(path, Some(self.files.len() - 1));
                }
            }
            Event::Removed(path) => self.name(path, None),
            Event::Wrote { path, at, bytes } => self.change(path, Change::Wrote { at: *at, bytes: bytes.clone() }),
            Event::Cut { path, length } => self.change(path, Change::Cut(*length)),
            Event::SyncBegan { thread, path } => {
                let open = if *path == self.folder { self.open.len() } else { self.file(path).open.len() };
                self.syncing.insert((*thread, path.clone()), open);
            }
            Event::SyncEnded { thread, path } => {
                let done = self.syncing.remove(&(*thread, path.clone())).expect("it began");
                self.synced(path, done);
            }
            Event::Sent { .. } => {}
        }
    }

    fn name(&mut self, path: &Path, file: Option<usize>) {
        match file {
            Some(file) => self.names.insert(path.to_owned(), file),
            None => self.names.remove(path),
        };
        self.open.push((path.to_owned(), file));
    }

    fn file(&mut self, path: &Path) -> &mut File {
        let file = *self.names.get(path).unwrap_or_else(|| panic!("nobody made {}", path.display()));
        &mut self.files[file]
    }

    fn change(&mut self, path: &Path, change: Change) {
        self.file(path).open.push(change);
    }

    /// The first `done` open changes are on the disk.
    fn synced(&mut self, path: &Path, done: usize) {
        if *path == self.folder {
            for (path, file) in self.open.drain(..done) {
                rename(&mut self.durable, path, file);
            }
        } else {
            let file = self.file(path);
            for change in file.open.drain(..done) {
                change.apply(&mut file.durable);
            }
        }
        for ((_, other), open) in &mut self.syncing {
            if *other == path {
                *open = open.saturating_sub(done);
            }
        }
    }

    /// The files after a cut of the power now; a write that was not synced is there as a whole with probability
    /// `kept`, and else perhaps.
    pub fn after_a_cut(&self, dice: &mut fastrand::Rng, kept: f64) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut names = self.durable.clone();
        let renamed = if dice.f64() < kept { self.open.len() } else { dice.usize(..=self.open.len()) };
        for (path, file) in &self.open[..renamed] {
            rename(&mut names, path.clone(), *file);
        }
        names.into_iter().map(|(path, file)| (path, self.files[file].after_a_cut(dice, kept))).collect()
    }
}

impl File {
    fn after_a_cut(&self, dice: &mut fastrand::Rng, kept: f64) -> Vec<u8> {
        let mut writes: BTreeMap<usize, usize> = BTreeMap::new();
        for piece in self.open.iter().flat_map(Change::sectors) {
            *writes.entry(piece.at / SECTOR).or_default() += 1;
        }
        // Of each sector the first so many.
        for count in writes.values_mut() {
            *count = if dice.f64() < kept { *count } else { dice.usize(..=*count) };
        }
        let mut content = self.durable.clone();
        for change in &self.open {
            match change {
                Change::Cut(_) => {
                    if dice.f64() < kept.max(0.5) {
                        change.apply(&mut content);
                    }
                }
                Change::Wrote { .. } => {
                    for piece in change.sectors() {
                        let left = writes.get_mut(&(piece.at / SECTOR)).expect("it was counted");
                        if *left > 0 {
                            *left -= 1;
                            write(&mut content, piece.at, piece.bytes);
                        }
                    }
                }
            }
        }
        content
    }
}

/// The part of a write that lies in one sector.
struct Piece<'a> {
    at: usize,
    bytes: &'a [u8],
}

impl Change {
    fn sectors(&self) -> Vec<Piece<'_>> {
        let Self::Wrote { at, bytes } = self else { return Vec::new() };
        let mut pieces = Vec::new();
        let mut from = 0;
        while from < bytes.len() {
            let to = bytes.len().min(from + SECTOR - (at + from) % SECTOR);
            pieces.push(Piece { at: at + from, bytes: &bytes[from..to] });
            from = to;
        }
        pieces
    }

    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Wrote { at, bytes } => write(content, *at, bytes),
            Self::Cut(length) => content.resize(*length, 0),
        }
    }
}

fn write(content: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let end = at + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[at..end].copy_from_slice(bytes);
}

fn rename(names: &mut BTreeMap<PathBuf, usize>, path: PathBuf, file: Option<usize>) {
    match file {
        Some(file) => names.insert(path, file),
        None => names.remove(&path),
    };
}

#[test]
fn what_was_synced_is_there_and_of_the_rest_any_part() {
    let path = PathBuf::from("/f/a");
    let wrote = |at: usize, byte: u8, length: usize| Event::Wrote { path: path.clone(), at, bytes: vec![byte; length] };
    let mut disk = Disk::new(Path::new("/f"));
    let sync = |disk: &mut Disk, path: &Path| {
        disk.follow(&Event::SyncBegan { thread: 1, path: path.to_owned() });
        disk.follow(&Event::SyncEnded { thread: 1, path: path.to_owned() });
    };
    let mut dice = fastrand::Rng::with_seed(1);
    disk.follow(&Event::Made(path.clone()));
    disk.follow(&wrote(0, 1, 1000));
    sync(&mut disk, &path);
    let named = (0..50).filter(|_| disk.after_a_cut(&mut dice, 0.0).contains_key(&path)).count();
    assert!(named > 0 && named < 50, "its folder was not synced: {named}");
    sync(&mut disk, Path::new("/f"));
    disk.follow(&Event::SyncBegan { thread: 1, path: path.clone() });
    disk.follow(&wrote(500, 2, 100));
    disk.follow(&wrote(500, 3, 100));
    // It began before both writes.
    disk.follow(&Event::SyncEnded { thread: 1, path: path.clone() });
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..200 {
        let content = disk.after_a_cut(&mut dice, 0.0).remove(&path).unwrap();
        assert_eq!((content.len(), content[499], content[600]), (1000, 1, 1));
        assert_eq!((content[500], content[512]), (content[511], content[599]));
        seen.insert((content[500], content[512]));
    }
    assert_eq!(seen.len(), 9, "each of two sectors in each of three states: {seen:?}");
    sync(&mut disk, &path);
    disk.follow(&Event::Cut { path: path.clone(), length: 550 });
    let lengths: std::collections::BTreeSet<usize> =
        (0..50).map(|_| disk.after_a_cut(&mut dice, 0.0)[&path].len()).collect();
    assert_eq!(lengths.into_iter().collect::<Vec<_>>(), [550, 1000]);
    assert_eq!(disk.after_a_cut(&mut dice, 1.0)[&path][520], 3);
}
