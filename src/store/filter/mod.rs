//! Conditions on rows as plain values, and the SQL they become.
//!
//! Every condition is true or false, never NULL: what is not there matches no
//! comparison, and `not` means exactly the rest. No condition may lead the
//! database to another index than the order's, so columns stand behind a `+`
//! where SQLite would otherwise choose by them.

pub mod metadata;

use crate::store::coverage::CoverageState;
use crate::store::embeddings;
use crate::store::slots;
use crate::store::slots::SlotState;
use crate::store::sql::Sql;
use crate::store::sql::fold;

/// Which rows, by soft deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Deleted {
    /// Those that are not deleted.
    #[default]
    Live,
    /// Only those that are.
    Deleted,
    /// Both.
    All,
}

impl Deleted {
    /// Adds the condition on `column`, after an `AND`.
    pub fn push(self, sql: &mut Sql, column: &str) {
        match self {
            Self::Live => sql.push(" AND ").push(column).push(" IS NULL"),
            Self::Deleted => sql.push(" AND ").push(column).push(" IS NOT NULL"),
            Self::All => sql,
        };
    }
}

/// A condition on a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Text {
    /// This text.
    Is(String),
    /// One of these.
    In(Vec<String>),
    /// Holds this part; upper and lower case are the same where the column has a folded form.
    Contains(String),
    /// Begins with this; upper and lower case as in [`Text::Contains`].
    StartsWith(String),
}

impl Text {
    /// Adds the condition on `column`, whose folded form is `folded`.
    fn push(&self, sql: &mut Sql, column: &str, folded: Option<&str>) {
        let part = |text: &str| if folded.is_some() { fold(text) } else { text.to_owned() };
        let searched = folded.unwrap_or(column);
        match self {
            Self::Is(text) => sql.push(column).push(" = ").bind(text.as_str()),
            Self::In(texts) => sql.is_any(column, texts),
            Self::Contains(text) => sql.contains(searched, &part(text)),
            Self::StartsWith(text) => {
                let text = part(text);
                let length = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
                sql.push("substr(").push(searched).push(", 1, CAST(").bind(length).push(" AS INTEGER)) = ").bind(text)
            }
        };
    }
}

/// A condition on a whole number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Int {
    /// This number.
    Is(i64),
    /// This or more.
    AtLeast(i64),
    /// Less than this.
    Below(i64),
}

impl Int {
    fn push(self, sql: &mut Sql, column: &str) {
        let (sign, number) = match self {
            Self::Is(number) => (" = ", number),
            Self::AtLeast(number) => (" >= ", number),
            Self::Below(number) => (" < ", number),
        };
        sql.push(column).push(sign).bind(number);
    }
}

/// A condition on a chunk, alias of its row to be given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChunkFilter {
    /// On its text; all of them.
    pub text: Vec<Text>,
    /// On its place; all of them.
    pub chunk_index: Vec<Int>,
    /// By soft deletion.
    pub deleted: Deleted,
}

impl ChunkFilter {
    /// Adds the conditions on the chunk `alias`, each after an `AND`.
    pub fn push(&self, sql: &mut Sql, alias: &str) {
        self.deleted.push(sql, &format!("{alias}.deleted_at"));
        for text in &self.text {
            sql.push(" AND ");
            text.push(sql, &format!("{alias}.text"), Some(&format!("{alias}.text_folded")));
        }
        for index in &self.chunk_index {
            sql.push(" AND ");
            index.push(sql, &format!("{alias}.chunk_index"));
        }
    }
}

/// A condition on a document `d`.
#[derive(Debug, Clone, PartialEq)]
pub enum Document {
    /// All of these; true when there is none.
    All(Vec<Document>),
    /// One of these; false when there is none.
    Any(Vec<Document>),
    /// Everything else.
    Not(Box<Document>),
    /// On its id.
    Id(Text),
    /// On its namespace.
    Namespace(Text),
    /// On its title.
    Title(Text),
    /// On its source.
    Source(Text),
    /// On the microsecond of its creation.
    CreatedAt(Int),
    /// On the microsecond of its last change.
    UpdatedAt(Int),
    /// On its metadata.
    Metadata(crate::filter::Filter),
    /// At least one chunk matches.
    AnyChunk(ChunkFilter),
    /// Its coverage is one of these.
    Sync(Vec<CoverageState>),
}

/// Documents to list.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DocumentFilter {
    /// All of these hold.
    pub conditions: Vec<Document>,
    /// By soft deletion.
    pub deleted: Deleted,
}

impl DocumentFilter {
    /// Adds the conditions, each after an `AND`; `order` is the column the list is ordered by.
    pub fn push(&self, sql: &mut Sql, target_id: i64, order: &str) {
        self.deleted.push(sql, "d.deleted_at");
        for one in &self.conditions {
            sql.push(" AND ");
            match one {
                // The index on namespaces has the order of creation and holds live documents.
                Document::Namespace(text @ Text::Is(_)) if self.deleted == Deleted::Live && order == "d.created_at" => {
                    text.push(sql, "d.namespace", None);
                }
                Document::Id(text) => text.push(sql, "d.id", None),
                Document::CreatedAt(at) if order == "d.created_at" => at.push(sql, order),
                Document::UpdatedAt(at) if order == "d.updated_at" => at.push(sql, order),
                Document::All(_)
                | Document::Any(_)
                | Document::Not(_)
                | Document::Namespace(_)
                | Document::Title(_)
                | Document::Source(_)
                | Document::CreatedAt(_)
                | Document::UpdatedAt(_)
                | Document::Metadata(_)
                | Document::AnyChunk(_)
                | Document::Sync(_) => one.push(sql, target_id),
            }
        }
    }
}

impl Document {
    fn push(&self, sql: &mut Sql, target_id: i64) {
        // SQLite uses no index for `+column`; PostgreSQL weighs costs and has no such sign for texts.
        let column = |sql: &Sql, name: &str| if sql.is_postgres() { format!("d.{name}") } else { format!("+d.{name}") };
        match self {
            Self::All(all) => list(sql, all, " AND ", "TRUE", target_id),
            Self::Any(any) => list(sql, any, " OR ", "FALSE", target_id),
            Self::Not(one) => {
                sql.push("NOT (");
                one.push(sql, target_id);
                sql.push(")");
            }
            Self::Id(text) => text.push(sql, &column(sql, "id"), None),
            Self::Namespace(text) => text.push(sql, &column(sql, "namespace"), None),
            Self::Title(text) => text.push(sql, &column(sql, "title"), Some("d.title_folded")),
            Self::Source(text) => {
                sql.push("(d.source IS NOT NULL AND ");
                text.push(sql, "d.source", Some("d.source_folded"));
                sql.push(")");
            }
            Self::CreatedAt(at) => at.push(sql, &column(sql, "created_at")),
            Self::UpdatedAt(at) => at.push(sql, &column(sql, "updated_at")),
            Self::Metadata(filter) => metadata::push(sql, filter, "d.metadata"),
            Self::AnyChunk(filter) => {
                sql.push("EXISTS (SELECT 1 FROM chunks y WHERE y.document_id = d.id");
                filter.push(sql, "y");
                sql.push(")");
            }
            Self::Sync(states) => coverage(sql, states, target_id),
        }
    }
}

fn list(sql: &mut Sql, conditions: &[Document], sign: &str, none: &str, target_id: i64) {
    if conditions.is_empty() {
        sql.push(none);
        return;
    }
    sql.push("(");
    for (i, one) in conditions.iter().enumerate() {
        if i > 0 {
            sql.push(sign);
        }
        one.push(sql, target_id);
    }
    sql.push(")");
}

/// Counts a document's live embeddings and those of them that are synced; what is below a deleted document is not live.
fn coverage(sql: &mut Sql, states: &[CoverageState], target_id: i64) {
    sql.push(
        "CASE WHEN d.deleted_at IS NOT NULL THEN 'EMPTY' ELSE (SELECT CASE WHEN count(*) = 0 THEN 'EMPTY' \
         WHEN sum(y.synced) = 0 THEN 'UNSYNCED' WHEN sum(y.synced) = count(*) THEN 'SYNCED' ELSE 'PARTIAL' END \
         FROM (SELECT CASE WHEN ",
    );
    sql.push(&embeddings::synced()).push(
        " THEN 1 ELSE 0 END AS synced FROM embeddings e JOIN chunks c ON c.id = e.chunk_id AND c.deleted_at IS NULL \
         LEFT JOIN sync_slots s ON s.target_id = ",
    );
    sql.bind(target_id).push(
        " AND s.namespace = d.namespace AND s.vector_id = e.vector_id LEFT JOIN sync_targets t ON t.id = s.target_id \
         WHERE e.document_id = d.id) y) END",
    );
    let names: Vec<&str> = states.iter().map(|state| name(*state)).collect();
    sql.is_any("", &names);
}

const fn name(state: CoverageState) -> &'static str {
    match state {
        CoverageState::Empty => "EMPTY",
        CoverageState::Unsynced => "UNSYNCED",
        CoverageState::Partial => "PARTIAL",
        CoverageState::Synced => "SYNCED",
    }
}

/// Embeddings to list: only those whose chunk and document are live.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EmbeddingFilter {
    /// Below this document.
    pub document_id: Option<String>,
    /// Of this chunk.
    pub chunk_id: Option<String>,
    /// Made by this model.
    pub model: Option<String>,
    /// Whether the index holds the current form.
    pub synced: Option<bool>,
    /// Where the record stands.
    pub state: Option<SlotState>,
}

impl EmbeddingFilter {
    /// Adds the conditions on `e`, `s` and `t`, each after an `AND`.
    pub fn push(&self, sql: &mut Sql) {
        // An embedding of one chunk is below one document: the narrower of the two leads.
        let plus = if sql.is_postgres() { "" } else { "+" };
        match (&self.chunk_id, &self.document_id) {
            (Some(chunk), document) => {
                sql.push(" AND e.chunk_id = ").bind(chunk.as_str());
                if let Some(document) = document {
                    sql.push(" AND ").push(plus).push("e.document_id = ").bind(document.as_str());
                }
            }
            (None, Some(document)) => {
                sql.push(" AND e.document_id = ").bind(document.as_str());
            }
            (None, None) => {}
        }
        if let Some(model) = &self.model {
            sql.push(" AND e.model = ").bind(model.as_str());
        }
        if let Some(synced) = self.synced {
            sql.push(if synced { " AND " } else { " AND NOT " }).push(&embeddings::synced());
        }
        if let Some(state) = self.state {
            sql.push(" AND ").push(slots::EMBEDDING_STATE).push(" = ").bind(state.name());
        }
    }
}

/// Slots to list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SlotFilter {
    /// In one of these states.
    pub states: Option<Vec<SlotState>>,
    /// Of this document.
    pub document_id: Option<String>,
}

/// Jobs to list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JobFilter {
    /// In one of these states, as stored.
    pub states: Option<Vec<&'static str>>,
    /// Of this kind, as stored.
    pub kind: Option<&'static str>,
}
