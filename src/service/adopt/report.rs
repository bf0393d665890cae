//! What an adoption copied, and every row that did not come over as it was.

use std::fmt;

use crate::service::adopt::cells;
use crate::service::rules;
use crate::store::seed::Cell;
use crate::store::seed::Row;
use crate::store::seed::Table;

/// Rows of one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    /// How many came over.
    pub copied: u64,
    /// How many there were.
    pub of: u64,
}

/// A row that was left out, or that came over with a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// `document`, `chunk` or `embedding`.
    pub kind: &'static str,
    /// Its id in the source.
    pub id: String,
    /// Whether it came over.
    pub copied: bool,
    /// What is the matter.
    pub reason: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = if self.copied { "copied, but" } else { "not copied:" };
        write!(f, "{} {:?} {outcome} {}", self.kind, self.id, self.reason)
    }
}

/// What an adoption did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Documents.
    pub documents: Count,
    /// Chunks.
    pub chunks: Count,
    /// Embeddings.
    pub embeddings: Count,
    /// Every row that did not come over as it was, in the order of reading.
    pub findings: Vec<Finding>,
}

impl Report {
    pub(super) fn notes(&mut self, table: Table, row: &Row) -> Notes<'_> {
        let kind = match table {
            Table::Documents => "document",
            Table::Chunks => "chunk",
            Table::Embeddings => "embedding",
        };
        Notes { kind, id: cells::plain(row.cell(0)), changes: Vec::new(), findings: &mut self.findings }
    }
}

/// What is found while one row is read.
pub(super) struct Notes<'a> {
    kind: &'static str,
    id: String,
    changes: Vec<String>,
    findings: &'a mut Vec<Finding>,
}

impl Notes<'_> {
    fn finding(&mut self, copied: bool, reason: String) {
        self.findings.push(Finding { kind: self.kind, id: self.id.clone(), copied, reason });
    }

    /// The row cannot come.
    pub(super) fn left_out(&mut self, reason: impl Into<String>) {
        self.finding(false, reason.into());
    }

    /// The row comes with a change.
    pub(super) fn changed(&mut self, reason: impl Into<String>) {
        self.changes.push(reason.into());
    }

    /// The row came, as `id`.
    pub(super) fn copied(mut self, id: &str) {
        if id != self.id {
            self.changes.insert(0, format!("its id is now {id:?}"));
        }
        for reason in std::mem::take(&mut self.changes) {
            self.finding(true, reason);
        }
    }

    /// The row's id, when the corpus can hold it.
    pub(super) fn id(&mut self, row: &Row, column: usize) -> Option<String> {
        match row.cell(column) {
            Cell::Text(id) => match rules::id(id) {
                Ok(()) => Some(id.clone()),
                Err(rule) => {
                    self.changed(format!("its id {rule}"));
                    None
                }
            },
            Cell::Null | Cell::Broken(_) => {
                self.changed("its id is no text");
                None
            }
        }
    }

    /// Says that another kind has this id; always false, so that the id is not kept.
    pub(super) fn clash(&mut self, who: &str) -> bool {
        self.changed(format!("{who} has its id"));
        false
    }

    /// A text, `None` when there is none.
    pub(super) fn optional_text(&mut self, row: &Row, column: usize, name: &str) -> Option<String> {
        let text = match row.cell(column) {
            Cell::Null => return None,
            Cell::Text(text) => text.clone(),
            Cell::Broken(text) => {
                self.changed(format!("its {name} is no UTF-8: what cannot be read became U+FFFD"));
                text.clone()
            }
        };
        if text.contains('\0') {
            self.changed(format!("its {name} holds U+0000, which became U+FFFD"));
            return Some(text.replace('\0', "\u{fffd}"));
        }
        Some(text)
    }

    /// A text that must be there.
    pub(super) fn text(&mut self, row: &Row, column: usize, name: &str) -> Option<String> {
        let text = self.optional_text(row, column, name);
        if text.is_none() {
            self.changed(format!("its {name} is null: it became empty"));
        }
        text
    }

    /// A place in reading order that fits.
    pub(super) fn chunk_index(&mut self, row: &Row, column: usize) -> i64 {
        let text = cells::plain(row.cell(column));
        let index = text.parse::<i128>().ok();
        let fitting = index.unwrap_or(0).clamp(0, i128::from(rules::MAX_CHUNK_INDEX));
        if index != Some(fitting) {
            self.changed(format!("its chunk_index {text:?} became {fitting}"));
        }
        i64::try_from(fitting).unwrap_or(0)
    }

    /// Metadata as compact JSON of an object.
    pub(super) fn metadata(&mut self, row: &Row, column: usize) -> Option<String> {
        let (metadata, changes) = cells::metadata(row.cell(column));
        self.changes.extend(changes);
        metadata
    }

    /// A yes or no; null counts as no.
    pub(super) fn switch(&mut self, row: &Row, column: usize, name: &str, no: &str) -> bool {
        let text = cells::plain(row.cell(column));
        match text.as_str() {
            "1" | "true" => true,
            "0" | "false" => false,
            "" => {
                self.changed(format!("its {name} is null: taken as {no}"));
                false
            }
            _ => {
                self.changed(format!("its {name} is {text:?}: taken as {no}"));
                false
            }
        }
    }

    /// `created_at` and `updated_at`, which stand in for each other when one is missing.
    pub(super) fn times(&mut self, row: &Row, column: usize, now_us: i64) -> (i64, i64) {
        let mut read = |column: usize, name: &str| match row.cell(column) {
            Cell::Null => None,
            Cell::Text(text) | Cell::Broken(text) => {
                let time = cells::time(text);
                if time.is_none() {
                    self.changed(format!("its {name} {text:?} is no time"));
                }
                time
            }
        };
        let (created, updated) = (read(column, "created_at"), read(column + 1, "updated_at"));
        match (created, updated) {
            (Some(created), Some(updated)) => (created, updated),
            (Some(created), None) => {
                self.changed("updated_at is missing: taken from created_at");
                (created, created)
            }
            (None, Some(updated)) => {
                self.changed("created_at is missing: taken from updated_at");
                (updated, updated)
            }
            (None, None) => {
                self.changed("created_at and updated_at are missing: taken from the time of the adoption");
                (now_us, now_us)
            }
        }
    }
}
