//! Added to the mutated copy of the crate: which mutant lives in this process.
//!
//! `CORPUSD_MUTANT=17` brings the 17th to life; `CORPUSD_MUTANT_COVER=file` notes which thread came by which mutant.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fs::File;
use std::io::Write as _;
use std::sync::OnceLock;

enum Mode {
    None,
    One(u32),
    Cover(File),
}

static MODE: OnceLock<Mode> = OnceLock::new();

thread_local! {
    static SEEN: RefCell<HashSet<u32>> = RefCell::default();
}

fn mode() -> Mode {
    if let Some(path) = std::env::var_os("CORPUSD_MUTANT_COVER") {
        let file = File::options().create(true).append(true).open(path).expect("the coverage can be written");
        return Mode::Cover(file);
    }
    match std::env::var("CORPUSD_MUTANT") {
        Ok(id) => Mode::One(id.parse().expect("the number of a mutant")),
        Err(_) => Mode::None,
    }
}

/// Whether this mutant lives.
pub fn is(id: u32) -> bool {
    match MODE.get_or_init(mode) {
        Mode::None => false,
        Mode::One(one) => *one == id,
        Mode::Cover(file) => {
            let new = SEEN.try_with(|seen| seen.borrow_mut().insert(id)).unwrap_or(false);
            if new {
                let thread = std::thread::current();
                let line = format!("{}\t{id}\n", thread.name().unwrap_or("?"));
                let mut file = file;
                file.write_all(line.as_bytes()).expect("the coverage can be written");
            }
            false
        }
    }
}
