//! The house: nothing points upwards or sideways.

use std::fs;
use std::path::Path;
use std::path::PathBuf;

/// The floors, lowest first; modules of one floor do not know each other.
const FLOORS: [&[&str]; 9] = [
    &[
        "entity",
        "config",
        "credentials",
        "capacity",
        "error",
        "clock",
        "json",
        "filter",
        "lexical",
        "metrics",
        "parsing",
        "quota",
        "text",
        "telemetry",
    ],
    &["store"],
    &["index"],
    &["service"],
    &["sync"],
    &["app"],
    &["graphql", "rest", "emulator"],
    &["server"],
    &["cli", "main", "lib"],
];

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder is read") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_module_uses_only_lower_floors() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    assert!(files.len() > 10, "the sources were found");
    let mut wrong = Vec::new();
    for file in files {
        let inside = file.strip_prefix(&root).expect("below src").with_extension("");
        let module = inside.iter().next().and_then(|part| part.to_str()).expect("a module").to_owned();
        let own = floor(&module).unwrap_or_else(|| panic!("{module} has no floor"));
        let text = fs::read_to_string(&file).expect("a source");
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            assert!(!line.contains("use crate::{"), "{}:{}: one module a line", file.display(), number + 1);
            for path in line.split("crate::").skip(1) {
                let used: String = path.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let allowed = match floor(&used) {
                    Some(floor) => used == module || floor < own || (floor == 0 && own == 0),
                    None => panic!("{}:{}: crate::{used} has no floor", file.display(), number + 1),
                };
                if !allowed {
                    wrong.push(format!("{}:{}: {module} uses {used}", file.display(), number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
