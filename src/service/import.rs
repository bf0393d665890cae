//! Importing a text: a document whose chunks and vectors are made here.
//!
//! The text is the truth. Importing it again changes nothing; a changed text
//! changes its document in one transaction, in which chunks whose text is still
//! there stay as they are, so that their records are not sent again.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_128;

use crate::config::Limits;
use crate::entity::chunk;
use crate::entity::document;
use crate::error::Error;
use crate::error::Result;
use crate::lexical;
use crate::service::Ctx;
use crate::service::chunks::Batch;
use crate::service::chunks::NewChunk;
use crate::service::documents;
use crate::service::embeddings::NewEmbedding;
use crate::service::ids::Claims;
use crate::service::rules;
use crate::service::rules::Check;
use crate::store;
use crate::store::Tx;
use crate::store::imports;
use crate::store::log::Change;
use crate::store::log::ChangeKind;
use crate::store::slots::Extent;
use crate::store::sql::fold;
use crate::text;
use crate::text::Format;

/// Part of every hash: raised when chunking or embedding changes, so that texts are imported anew.
const VERSION: u32 = 1;

/// A text to import.
#[derive(Debug, Clone)]
pub struct Import {
    /// The id of its document.
    pub id: String,
    /// The document's title.
    pub title: String,
    /// Where the text came from.
    pub source: String,
    /// What it is written in.
    pub format: Format,
    /// The text.
    pub text: String,
}

/// What an import did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Made the document.
    Created,
    /// Changed it.
    Updated,
    /// Found it as it should be.
    Unchanged,
}

impl Import {
    fn hash(&self) -> String {
        let all = format!("{VERSION}\n{:?}\n{}\n{}\n{}", self.format, self.title, self.source, self.text);
        format!("{:032x}", xxh3_128(all.as_bytes()))
    }

    const fn format_name(&self) -> &'static str {
        match self.format {
            Format::Markdown => "markdown",
            Format::Plain => "text",
        }
    }

    fn check(&self, chunks: &[NewChunk], limits: &Limits) -> Check {
        let mut check = Check::default();
        check.that("id", rules::id(&self.id));
        check.that("title", rules::title(&self.title));
        check.that("source", rules::source(&self.source));
        for chunk in chunks {
            check.that("text", rules::text(&chunk.text, limits));
        }
        check
    }
}

/// The chunks of a text with their vectors, at their places.
fn chunks_of(import: &Import) -> Vec<NewChunk> {
    let chunk = |(place, text): (usize, String)| NewChunk {
        chunk_index: i64::try_from(place).ok(),
        embeddings: vec![NewEmbedding {
            vector: lexical::embed(&text),
            model: Some(lexical::MODEL.to_owned()),
            ..NewEmbedding::default()
        }],
        text,
        ..NewChunk::default()
    };
    text::chunks(&import.text, import.format).into_iter().enumerate().map(chunk).collect()
}

/// Brings a text into the corpus, or its document up to date.
///
/// # Errors
/// [`Error::Invalid`]; [`Error::Conflict`] when the id belongs to a document that was
/// deleted or not imported.
pub async fn put(cx: &Ctx, import: Import) -> Result<Outcome> {
    let hash = import.hash();
    // The usual case, and it writes nothing.
    if let Some(row) = store::documents::find(cx.read(), &import.id).await?
        && imports::find(cx.read(), &row).await?.as_ref() == Some(&hash)
    {
        return Ok(Outcome::Unchanged);
    }
    let chunks = chunks_of(&import);
    import.check(&chunks, &cx.config().limits).finish(())?;
    let work = Arc::new(Work {
        held: !cx.config().index.auto_export,
        namespace: cx.config().index.namespace.clone(),
        target: cx.target_id(),
        cx: cx.clone(),
        import,
        hash,
        chunks,
    });
    cx.write(move |tx| {
        let work = work.clone();
        Box::pin(async move { work.put(tx).await })
    })
    .await
}

/// The embeddings of imported documents that the index does not hold as they are now.
///
/// # Errors
/// What the database says.
pub async fn unsynced(cx: &Ctx, document_ids: &[String]) -> Result<Vec<String>> {
    Ok(imports::unsynced(cx.read(), cx.target_id(), document_ids).await?)
}

/// Whether the corpus has documents, and none of these ids is among them.
///
/// # Errors
/// What the database says.
pub async fn holds_only_others(cx: &Ctx, document_ids: &[String]) -> Result<bool> {
    for id in document_ids {
        if store::documents::find_with_deleted(cx.read(), id).await?.is_some() {
            return Ok(false);
        }
    }
    Ok(imports::count_documents(cx.read()).await? > 0)
}

/// One import, ready to be written, as often as the database asks for.
#[derive(Debug)]
struct Work {
    cx: Ctx,
    import: Import,
    hash: String,
    chunks: Vec<NewChunk>,
    namespace: String,
    target: i64,
    held: bool,
}

impl Work {
    async fn put(&self, tx: &Tx) -> Result<Outcome> {
        let Some(row) = store::documents::lock(tx, &self.import.id).await? else {
            self.create(tx).await?;
            return Ok(Outcome::Created);
        };
        if row.deleted_at.is_some() {
            return Err(Error::conflict("its document was deleted: restore it, or delete it for good"));
        }
        match imports::find(tx, &row).await? {
            None => Err(Error::conflict("its id belongs to a document that was not imported")),
            Some(hash) if hash == self.hash => Ok(Outcome::Unchanged),
            Some(_) => {
                self.update(tx, row).await?;
                Ok(Outcome::Updated)
            }
        }
    }

    async fn create(&self, tx: &Tx) -> Result<()> {
        let import = &self.import;
        let mut claims = Claims::default();
        claims.id("id", &import.id);
        claims.check(tx, None).await?;
        let row = document::Model {
            id: import.id.clone(),
            namespace: self.namespace.clone(),
            title: import.title.clone(),
            source: Some(import.source.clone()),
            metadata: Some(format!("{{\"format\":\"{}\"}}", import.format_name())),
            revision: 1,
            created_at: tx.now_us(),
            updated_at: tx.now_us(),
            deleted_at: None,
            title_folded: fold(&import.title),
            source_folded: fold(&import.source),
        };
        store::documents::insert(tx, &row)
            .await
            .map_err(|error| store::constraint(error, "id: already taken", (documents::WHAT, &row.id)))?;
        self.insert(tx, self.chunks.clone()).await?;
        imports::remember(tx, &row, &self.hash).await?;
        tx.record(Change::new(ChangeKind::DocumentCreated, &row.id, &row.id));
        Ok(())
    }

    async fn insert(&self, tx: &Tx, chunks: Vec<NewChunk>) -> Result<()> {
        let batch = Batch::new(self.cx.db().clock(), chunks, self.held);
        batch.insert(tx, self.target, &self.import.id, None).await?;
        Ok(())
    }

    async fn update(&self, tx: &Tx, row: document::Model) -> Result<()> {
        let mut there: HashMap<String, VecDeque<chunk::Model>> = HashMap::new();
        for chunk in imports::live_chunks(tx, &row.id).await? {
            there.entry(chunk.text.clone()).or_default().push_back(chunk);
        }
        let (mut new, mut touched) = (Vec::new(), Vec::new());
        for wanted in &self.chunks {
            let Some(kept) = there.get_mut(&wanted.text).and_then(VecDeque::pop_front) else {
                new.push(wanted.clone());
                continue;
            };
            let chunk_index = wanted.chunk_index.unwrap_or(kept.chunk_index);
            if chunk_index != kept.chunk_index {
                touched.extend(store::embeddings::ids_of_chunk(tx, &kept.id).await?);
                let moved = chunk::Model { chunk_index, updated_at: tx.now_us(), ..kept };
                store::chunks::update(tx, &moved).await?;
            }
        }
        for gone in there.into_values().flatten() {
            touched.extend(store::embeddings::ids_of_chunk(tx, &gone.id).await?);
            store::chunks::delete(tx, &gone.id).await?;
        }
        self.insert(tx, new).await?;
        let retitled = row.title != self.import.title || row.source.as_ref() != Some(&self.import.source);
        let next = document::Model {
            title: self.import.title.clone(),
            title_folded: fold(&self.import.title),
            source: Some(self.import.source.clone()),
            source_folded: fold(&self.import.source),
            revision: row.revision + 1,
            updated_at: tx.now_us(),
            ..row
        };
        store::documents::update(tx, &next).await?;
        imports::remember(tx, &next, &self.hash).await?;
        if retitled {
            store::slots::touch(tx, self.target, &next.id, Extent::Document).await?;
        } else if !touched.is_empty() {
            store::slots::touch(tx, self.target, &next.id, Extent::Embeddings(&touched)).await?;
        }
        tx.record(Change::new(ChangeKind::DocumentUpdated, &next.id, &next.id));
        Ok(())
    }
}
