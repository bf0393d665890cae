//! The inputs that narrow and order lists, and what they become.

use async_graphql::Enum;
use async_graphql::ID;
use async_graphql::InputObject;

use crate::error::Error;
use crate::error::Result;
use crate::filter::Filter;
use crate::graphql::coverage::CoverageState;
use crate::graphql::scalars::DateTime;
use crate::graphql::scalars::Json;
use crate::graphql::slot::SlotState;
use crate::graphql::sync_job::SyncJobKind;
use crate::graphql::sync_job::SyncJobState;
use crate::service::jobs::JobState;
use crate::store::filter;
use crate::store::filter::Deleted;
use crate::store::filter::Int;
use crate::store::filter::Text;
use crate::store::graph::documents;

/// How deep `and`, `or` and `not` may nest.
const MAX_DEPTH: usize = 16;
/// How many conditions a filter may have, those on metadata and empty branches included.
const MAX_CONDITIONS: usize = 256;
/// How many values all lists of a filter may have together.
const MAX_VALUES: usize = 1000;

/// What of a filter was seen so far.
#[derive(Default)]
struct Size {
    conditions: usize,
    values: usize,
}

impl Size {
    fn conditions(&mut self, more: usize) -> Result<()> {
        self.conditions += more;
        if self.conditions > MAX_CONDITIONS {
            return Err(Error::invalid_value("filter", format!("must not have more than {MAX_CONDITIONS} conditions")));
        }
        Ok(())
    }

    fn texts(&mut self, texts: &[Text]) -> Result<()> {
        let lengths = texts.iter().map(|text| match text {
            Text::In(values) => values.len(),
            Text::Is(_) | Text::Contains(_) | Text::StartsWith(_) => 0,
        });
        self.values(lengths.sum())?;
        self.conditions(texts.len())
    }

    fn values(&mut self, more: usize) -> Result<()> {
        self.values += more;
        if self.values > MAX_VALUES {
            return Err(Error::invalid_value(
                "filter",
                format!("the lists of a filter must not have more than {MAX_VALUES} values"),
            ));
        }
        Ok(())
    }
}

/// A condition on a text; everything that is given must hold.
#[derive(Debug, Clone, Default, InputObject)]
pub struct StringFilter {
    /// Exactly this.
    eq: Option<String>,
    /// One of these.
    #[graphql(name = "in")]
    any: Option<Vec<String>>,
    /// Holds this part. Titles, sources and texts are searched without regard to case.
    contains: Option<String>,
    /// Begins with this; case as in `contains`.
    starts_with: Option<String>,
}

impl StringFilter {
    fn conditions(self, at: &str) -> Result<Vec<Text>> {
        let Self { eq, any, contains, starts_with } = self;
        let mut all = Vec::new();
        all.extend(compared(at, "eq", eq)?.map(Text::Is));
        for (place, text) in any.iter().flatten().enumerate() {
            comparable(|| format!("{at}.in.{place}"), text)?;
        }
        all.extend(any.map(Text::In));
        all.extend(compared(at, "contains", contains)?.map(Text::Contains));
        all.extend(compared(at, "startsWith", starts_with)?.map(Text::StartsWith));
        Ok(all)
    }
}

/// A condition on a time; everything that is given must hold.
#[derive(Debug, Clone, Copy, Default, InputObject)]
pub struct DateTimeFilter {
    /// At this time or later.
    gte: Option<DateTime>,
    /// Before this time.
    lt: Option<DateTime>,
}

impl DateTimeFilter {
    fn conditions(self) -> impl Iterator<Item = Int> {
        let gte = self.gte.map(|at| Int::AtLeast(at.0));
        gte.into_iter().chain(self.lt.map(|at| Int::Below(at.0)))
    }
}

/// A condition on a whole number; everything that is given must hold.
#[derive(Debug, Clone, Copy, Default, InputObject)]
pub struct IntFilter {
    /// Exactly this.
    eq: Option<i32>,
    /// This or more.
    gte: Option<i32>,
    /// Less than this.
    lt: Option<i32>,
}

impl IntFilter {
    fn conditions(self) -> Vec<Int> {
        let mut all = Vec::new();
        all.extend(self.eq.map(|number| Int::Is(i64::from(number))));
        all.extend(self.gte.map(|number| Int::AtLeast(i64::from(number))));
        all.extend(self.lt.map(|number| Int::Below(i64::from(number))));
        all
    }
}

/// Which rows, by soft deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "Deleted")]
pub enum DeletedFilter {
    /// Those that are not deleted.
    Live,
    /// Only those that are.
    Deleted,
    /// Both.
    All,
}

/// Which chunks; everything that is given must hold.
#[derive(Debug, Clone, Default, InputObject)]
pub struct ChunkFilter {
    /// On the passage.
    text: Option<StringFilter>,
    /// On the place in reading order.
    chunk_index: Option<IntFilter>,
    /// By soft deletion. Default: LIVE.
    deleted: Option<DeletedFilter>,
}

impl ChunkFilter {
    /// The condition.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn condition(self) -> Result<filter::ChunkFilter> {
        self.sized("filter", &mut Size::default())
    }

    fn sized(self, at: &str, size: &mut Size) -> Result<filter::ChunkFilter> {
        let text = self.text.map(|text| text.conditions(&format!("{at}.text"))).transpose()?;
        let made = filter::ChunkFilter {
            text: text.unwrap_or_default(),
            chunk_index: self.chunk_index.map(IntFilter::conditions).unwrap_or_default(),
            deleted: self.deleted.map(Into::into).unwrap_or_default(),
        };
        size.texts(&made.text)?;
        size.conditions(made.chunk_index.len() + 1)?;
        Ok(made)
    }
}

/// Which documents; everything that is given must hold.
#[derive(Debug, Clone, Default, InputObject)]
pub struct DocumentFilter {
    /// On the partition.
    namespace: Option<StringFilter>,
    /// All of these hold.
    and: Option<Vec<DocumentFilter>>,
    /// At least one of these holds; none does when the list is empty.
    or: Option<Vec<DocumentFilter>>,
    /// This does not hold.
    not: Option<Box<DocumentFilter>>,
    /// On the id.
    id: Option<StringFilter>,
    /// On the title.
    title: Option<StringFilter>,
    /// On the source; a document without one matches nothing here.
    source: Option<StringFilter>,
    /// On the time of creation.
    created_at: Option<DateTimeFilter>,
    /// On the time of the last change.
    updated_at: Option<DateTimeFilter>,
    /// On the metadata, in the language of the vector index: `$eq $ne $gt $gte $lt $lte $in $nin $exists $and $or`.
    /// Give it by variable: GraphQL literals cannot hold such keys.
    metadata: Option<Json>,
    /// At least one chunk matches; live ones unless its filter says otherwise.
    any_chunk: Option<ChunkFilter>,
    /// The coverage is one of these.
    sync: Option<Vec<CoverageState>>,
    /// By soft deletion, at the top level of the filter only. Default: LIVE.
    deleted: Option<DeletedFilter>,
}

impl DocumentFilter {
    /// The condition.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn condition(mut self) -> Result<filter::DocumentFilter> {
        let deleted = self.deleted.take().map(Into::into).unwrap_or_default();
        Ok(filter::DocumentFilter { conditions: self.nested("filter", 0, &mut Size::default())?, deleted })
    }

    /// The conditions, all of which must hold; `at` is the path of this filter.
    fn nested(self, at: &str, depth: usize, size: &mut Size) -> Result<Vec<filter::Document>> {
        use filter::Document;

        let Self {
            namespace,
            and,
            or,
            not,
            id,
            title,
            source,
            created_at,
            updated_at,
            metadata,
            any_chunk,
            sync,
            deleted,
        } = self;
        if deleted.is_some() {
            let sentence = "stands at the top level of a filter only";
            return Err(Error::invalid_value(&format!("{at}.deleted"), sentence));
        }
        if depth > MAX_DEPTH {
            return Err(Error::invalid_value("filter", format!("must not nest deeper than {MAX_DEPTH}")));
        }
        let mut all = Vec::new();
        let mut texts = |field: &str, given: Option<StringFilter>, make: fn(Text) -> Document| -> Result<()> {
            if let Some(given) = given {
                let conditions = given.conditions(&format!("{at}.{field}"))?;
                size.texts(&conditions)?;
                all.extend(conditions.into_iter().map(make));
            }
            Ok(())
        };
        texts("id", id, Document::Id)?;
        texts("namespace", namespace, Document::Namespace)?;
        texts("title", title, Document::Title)?;
        texts("source", source, Document::Source)?;
        size.conditions(usize::from(created_at.is_some()) + usize::from(updated_at.is_some()))?;
        all.extend(created_at.into_iter().flat_map(DateTimeFilter::conditions).map(Document::CreatedAt));
        all.extend(updated_at.into_iter().flat_map(DateTimeFilter::conditions).map(Document::UpdatedAt));
        if let Some(metadata) = metadata {
            let path: Vec<&str> = at.split('.').chain(["metadata"]).collect();
            let metadata = Filter::parse(&path, &metadata.given())?;
            size.conditions(metadata.size())?;
            all.push(Document::Metadata(metadata));
        }
        if let Some(chunk) = any_chunk {
            all.push(Document::AnyChunk(chunk.sized(&format!("{at}.anyChunk"), size)?));
        }
        if let Some(states) = sync {
            size.values(states.len())?;
            size.conditions(1)?;
            all.push(Document::Sync(states.into_iter().map(Into::into).collect()));
        }
        let empty = all.is_empty() && [&and, &or].iter().all(|list| list.as_ref().is_none_or(Vec::is_empty));
        size.conditions(usize::from(empty && not.is_none() && depth > 0))?;
        let mut each = |name: &str, list: Vec<Self>| {
            let nested = list
                .into_iter()
                .enumerate()
                .map(|(place, one)| one.nested(&format!("{at}.{name}.{place}"), depth + 1, size).map(Document::All));
            nested.collect::<Result<Vec<_>>>()
        };
        if let Some(and) = and {
            all.extend(each("and", and)?);
        }
        if let Some(or) = or {
            all.push(Document::Any(each("or", or)?));
        }
        if let Some(not) = not {
            let not = not.nested(&format!("{at}.not"), depth + 1, size)?;
            all.push(Document::Not(Box::new(Document::All(not))));
        }
        Ok(all)
    }
}

/// How documents are ordered; the id decides between equals.
#[derive(Debug, Clone, Copy, InputObject)]
pub struct DocumentOrder {
    /// By what.
    #[graphql(default_with = "DocumentOrderField::CreatedAt")]
    pub field: DocumentOrderField,
    /// From which end.
    #[graphql(default_with = "OrderDirection::Asc")]
    pub direction: OrderDirection,
}

impl Default for DocumentOrder {
    fn default() -> Self {
        Self { field: DocumentOrderField::CreatedAt, direction: OrderDirection::Asc }
    }
}

/// What documents can be ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "documents::OrderField")]
pub enum DocumentOrderField {
    /// The time of creation.
    CreatedAt,
    /// The time of the last change.
    UpdatedAt,
    /// The title, byte by byte.
    Title,
}

/// From which end a list is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum OrderDirection {
    /// The least first.
    Asc,
    /// The greatest first.
    Desc,
}

/// Which embeddings; everything that is given must hold. Embeddings of deleted chunks and documents are left out.
#[derive(Debug, Clone, Default, InputObject)]
pub struct EmbeddingFilter {
    /// Below this document.
    document_id: Option<ID>,
    /// Of this chunk.
    chunk_id: Option<ID>,
    /// Made by this model.
    model: Option<String>,
    /// Whether the vector index holds the current form.
    synced: Option<bool>,
    /// Where the record stands.
    state: Option<SlotState>,
}

impl EmbeddingFilter {
    /// The condition.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a text with U+0000.
    pub fn condition(self) -> Result<filter::EmbeddingFilter> {
        let Self { document_id, chunk_id, model, synced, state } = self;
        Ok(filter::EmbeddingFilter {
            document_id: compared("filter", "documentId", document_id.map(|id| id.0))?,
            chunk_id: compared("filter", "chunkId", chunk_id.map(|id| id.0))?,
            model: compared("filter", "model", model)?,
            synced,
            state: state.map(Into::into),
        })
    }
}

/// A text that rows are compared with: PostgreSQL cannot even be asked for U+0000.
fn comparable(path: impl Fn() -> String, text: &str) -> Result<()> {
    if text.contains('\0') { Err(Error::invalid_value(&path(), "must not contain U+0000")) } else { Ok(()) }
}

/// The text of the field `name` below `at`, when there is one.
fn compared(at: &str, name: &str, text: Option<String>) -> Result<Option<String>> {
    text.iter().try_for_each(|text| comparable(|| format!("{at}.{name}"), text))?;
    Ok(text)
}

/// The list of the field `state` of a filter.
fn states<T>(given: Option<Vec<T>>) -> Result<Option<Vec<T>>> {
    if given.as_ref().is_some_and(|list| list.len() > MAX_VALUES) {
        let sentence = format!("must not have more than {MAX_VALUES} values");
        return Err(Error::invalid_value("filter.state", sentence));
    }
    Ok(given)
}

/// Which records; everything that is given must hold.
#[derive(Debug, Clone, Default, InputObject)]
pub struct SyncSlotFilter {
    /// In one of these states.
    state: Option<Vec<SlotState>>,
    /// Of this document.
    document_id: Option<ID>,
}

impl SyncSlotFilter {
    /// The condition.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an id with U+0000, or a list that is too long.
    pub fn condition(self) -> Result<filter::SlotFilter> {
        Ok(filter::SlotFilter {
            states: states(self.state)?.map(|states| states.into_iter().map(Into::into).collect()),
            document_id: compared("filter", "documentId", self.document_id.map(|id| id.0))?,
        })
    }
}

/// Which jobs; everything that is given must hold.
#[derive(Debug, Clone, Default, InputObject)]
pub struct SyncJobFilter {
    /// In one of these states.
    state: Option<Vec<SyncJobState>>,
    /// Of this kind.
    kind: Option<SyncJobKind>,
}

impl SyncJobFilter {
    /// The condition.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a list that is too long.
    pub fn condition(self) -> Result<filter::JobFilter> {
        let states = states(self.state)?;
        Ok(filter::JobFilter {
            states: states.map(|states| states.into_iter().map(|state| JobState::from(state).name()).collect()),
            kind: self.kind.map(SyncJobKind::name),
        })
    }
}
