//! `corpusd import`: text and Markdown files become documents.

use std::collections::HashSet;
use std::path::Component;
use std::path::Path;
use std::path::PathBuf;

use clap::Arg;
use clap::ArgAction;
use clap::ArgMatches;
use clap::Command;

use crate::app::App;
use crate::cli::Failure;
use crate::cli::export;
use crate::cli::progress::Progress;
use crate::cli::say;
use crate::clock::Clock;
use crate::config::Config;
use crate::service::import;
use crate::service::import::Import;
use crate::service::import::Outcome;
use crate::text;
use crate::text::Format;

/// The command's arguments.
pub fn command() -> Command {
    Command::new("import")
        .about("Makes documents of text and Markdown files: paragraphs become chunks, with vectors of the built-in embedder")
        .long_about(
            "Makes a document of each UTF-8 file that ends in .txt, .md or .markdown. Its id is the path of the file, \
             relative to the current folder; its paragraphs become chunks, with vectors of the built-in lexical embedder \
             (lexical-256: for trying things out, it knows words and not meanings). A file that did not change changes \
             nothing, a changed file updates its document, and chunks whose text is still there stay as they are.",
        )
        .arg(
            Arg::new("paths")
                .required(true)
                .num_args(1..)
                .value_name("PATH")
                .value_parser(clap::value_parser!(PathBuf))
                .help("Files, or folders that are looked through"),
        )
        .arg(
            Arg::new("export")
                .long("export")
                .action(ArgAction::SetTrue)
                .help("Also send the vectors to the index, and wait until they are there"),
        )
}

/// What became of the files.
#[derive(Debug, Default)]
struct Tally {
    new: usize,
    updated: usize,
    unchanged: usize,
    skipped: usize,
    failed: usize,
}

/// Imports, and prints one line about it.
pub async fn run(matches: &ArgMatches, config: Config) -> Result<(), Failure> {
    let here = std::env::current_dir().map_err(|error| Failure::Failed(format!("no current folder: {error}")))?;
    let mut found = Found::default();
    for path in matches.get_many::<PathBuf>("paths").into_iter().flatten() {
        found.look(path, true);
    }
    let app = App::open(config, &Clock::system()).await?;
    let outcome = import_all(&app, &here, found, matches.get_flag("export")).await;
    app.close().await;
    let tally = outcome?;
    let Tally { new, updated, unchanged, skipped, failed } = tally;
    say(&format!("{new} new, {updated} updated, {unchanged} unchanged, {skipped} skipped, {failed} failed"));
    if failed > 0 { Err(Failure::Failed(format!("{failed} of the files could not be imported"))) } else { Ok(()) }
}

async fn import_all(app: &App, here: &Path, found: Found, export: bool) -> Result<Tally, Failure> {
    let mut tally = Tally { skipped: found.skipped.len(), failed: found.failed.len(), ..Tally::default() };
    let total = found.files.len() as u64;
    let mut progress = Progress::new("importing", total);
    for line in found.skipped.iter().chain(&found.failed) {
        progress.note(line);
    }
    let mut seen = HashSet::new();
    let mut ids = Vec::new();
    for (done, path) in (1..).zip(&found.files) {
        match file(app, here, path, &mut seen).await {
            Ok(None) => {}
            Ok(Some((id, outcome))) => {
                ids.push(id);
                match outcome {
                    Outcome::Created => tally.new += 1,
                    Outcome::Updated => tally.updated += 1,
                    Outcome::Unchanged => tally.unchanged += 1,
                }
            }
            Err(reason) => {
                tally.failed += 1;
                progress.note(&format!("failed: {}: {reason}", path.display()));
            }
        }
        progress.at(done, total);
    }
    progress.end();
    if export {
        let (written, refused) = export::documents(app, &ids).await?;
        say(&format!("exported {written} embeddings, {refused} refused"));
    }
    Ok(tally)
}

/// Imports one file; nothing when it was named twice.
async fn file(
    app: &App,
    here: &Path,
    path: &Path,
    seen: &mut HashSet<String>,
) -> Result<Option<(String, Outcome)>, String> {
    let id = id_of(here, path).ok_or("its path is no UTF-8")?;
    if !seen.insert(id.clone()) {
        return Ok(None);
    }
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    let text =
        String::from_utf8(bytes).map_err(|error| format!("no UTF-8 at byte {}", error.utf8_error().valid_up_to()))?;
    let format = format_of(path).ok_or("no text or Markdown")?;
    let heading = match format {
        Format::Markdown => text::title(&text),
        Format::Plain => None,
    };
    let title = heading.or_else(|| Some(path.file_stem()?.to_str()?.to_owned())).unwrap_or_else(|| id.clone());
    let title = title.chars().take(255).collect();
    let import = Import { source: id.chars().take(512).collect(), id: id.clone(), title, format, text };
    match import::put(app.cx(), import).await {
        Ok(outcome) => Ok(Some((id, outcome))),
        Err(error) => Err(Failure::from(error).to_string()),
    }
}

/// The id of a file's document: its path below the current folder, else from the root; with `/`, without `.` and `..`.
fn id_of(here: &Path, path: &Path) -> Option<String> {
    let mut whole = PathBuf::new();
    for part in here.join(path).components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                whole.pop();
            }
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => whole.push(part),
        }
    }
    let own = whole.strip_prefix(here).unwrap_or(&whole);
    let parts: Option<Vec<&str>> = own
        .components()
        .filter(|part| !matches!(part, Component::RootDir))
        .map(|part| part.as_os_str().to_str())
        .collect();
    let id = parts?.join("/");
    Some(if own.is_absolute() { format!("/{id}") } else { id })
}

fn format_of(path: &Path) -> Option<Format> {
    match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
        "md" | "markdown" => Some(Format::Markdown),
        "txt" => Some(Format::Plain),
        _ => None,
    }
}

/// What was found below the paths.
#[derive(Debug, Default)]
struct Found {
    files: Vec<PathBuf>,
    skipped: Vec<String>,
    failed: Vec<String>,
}

impl Found {
    /// Looks at a path, and below it; links to folders are followed only when they were named.
    fn look(&mut self, path: &Path, named: bool) {
        let kind = if named { path.metadata() } else { path.symlink_metadata() };
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        match kind {
            Err(error) => self.failed.push(format!("failed: {}: {error}", path.display())),
            Ok(_) if hidden && !named => self.skipped.push(format!("skipped: {}: hidden", path.display())),
            Ok(kind) if kind.is_dir() => self.look_below(path),
            Ok(kind) if kind.is_symlink() && path.is_dir() => {
                self.skipped.push(format!("skipped: {}: a link to a folder", path.display()));
            }
            Ok(_) if format_of(path).is_none() => {
                self.skipped.push(format!("skipped: {}: no .txt, .md or .markdown", path.display()));
            }
            // What is behind a link counts; a pipe would be waited for without end.
            Ok(_) => match path.metadata() {
                Ok(kind) if kind.is_file() => self.files.push(path.to_owned()),
                Ok(_) => self.failed.push(format!("failed: {}: no regular file", path.display())),
                Err(error) => self.failed.push(format!("failed: {}: {error}", path.display())),
            },
        }
    }

    fn look_below(&mut self, folder: &Path) {
        let entries = std::fs::read_dir(folder).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
        match entries {
            Err(error) => self.failed.push(format!("failed: {}: {error}", folder.display())),
            Ok(entries) => {
                let mut paths: Vec<PathBuf> = entries.iter().map(std::fs::DirEntry::path).collect();
                paths.sort();
                for path in paths {
                    self.look(&path, false);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_the_path_below_the_current_folder() {
        let here = Path::new("/home/me/texts");
        for (path, id) in [
            ("a.md", "a.md"),
            ("./b/../c/d.txt", "c/d.txt"),
            ("/home/me/texts/c/d.txt", "c/d.txt"),
            ("../other/e.md", "/home/me/other/e.md"),
        ] {
            assert_eq!(id_of(here, Path::new(path)).as_deref(), Some(id), "{path}");
        }
    }
}
