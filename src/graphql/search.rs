//! Search: its input, and its hits as objects of the graph.

use async_graphql::Enum;
use async_graphql::ID;
use async_graphql::InputObject;
use async_graphql::Object;

use crate::error::Error;
use crate::error::Result;
use crate::graphql::chunk::Chunk;
use crate::graphql::document::Document;
use crate::graphql::scalars::Json;
use crate::graphql::scalars::Vector;
use crate::service::Ctx;
use crate::service::search;
use crate::service::search::SearchOutcome;
use crate::service::search::SearchRequest;

/// What to look for.
#[derive(Debug, Clone, InputObject)]
pub struct SearchInput {
    /// Words to look for; required for TEXT and HYBRID.
    text: Option<String>,
    /// The query vector; required for VECTOR. HYBRID without it looks for words alone.
    vector: Option<Vector>,
    /// What to compare.
    #[graphql(default_with = "SearchMode::Hybrid")]
    mode: SearchMode,
    /// How many hits: 1 to 100.
    #[graphql(default_with = "Some(10)")]
    first: Option<i32>,
    /// Only chunks that have an embedding of this model, and only such embeddings.
    model: Option<String>,
    /// Only chunks that match.
    filter: Option<SearchFilter>,
    /// Wait until the index holds everything up to this corpus revision, at most `waitMs`.
    wait_for: Option<String>,
    /// How long to wait for `waitFor`, in milliseconds.
    #[graphql(default_with = "Some(5000)")]
    wait_ms: Option<i32>,
}

/// Which chunks; everything that is given must hold.
#[derive(Debug, Clone, Default, InputObject)]
pub struct SearchFilter {
    /// In this partition.
    namespace: Option<String>,
    /// Of these documents.
    document_ids: Option<Vec<ID>>,
    /// On the metadata of the records, in the language of the vector index:
    /// `$eq $ne $gt $gte $lt $lte $in $nin $exists $and $or`. Give it by variable: GraphQL
    /// literals cannot hold such keys.
    metadata: Option<Json>,
}

/// What a search compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "search::Mode")]
pub enum SearchMode {
    /// Words with the text of chunks.
    Text,
    /// The query vector with the vectors in the index.
    Vector,
    /// Both, merged by the places that chunks have in the two lists.
    Hybrid,
}

impl SearchInput {
    /// The request.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn request(self) -> Result<SearchRequest> {
        let Self { text, vector, mode, first, model, filter, wait_for, wait_ms } = self;
        let SearchFilter { namespace, document_ids, metadata } = filter.unwrap_or_default();
        // One revision has one spelling.
        let revision = |text: String| {
            let parsed = text.parse::<i64>().ok().filter(|revision| revision.to_string() == text);
            parsed.ok_or_else(|| Error::invalid_value("wait_for", "must be a corpus revision"))
        };
        Ok(SearchRequest {
            text,
            vector: vector.map(Vector::numbers),
            mode: mode.into(),
            first: first.map(i64::from),
            model,
            namespace,
            document_ids: document_ids.map(|ids| ids.into_iter().map(|id| id.0).collect()),
            metadata: metadata.map(Json::given),
            wait_for: wait_for.map(revision).transpose()?,
            wait_ms: wait_ms.map(i64::from),
        })
    }
}

/// What a search found.
pub struct SearchResult {
    hits: Vec<SearchHit>,
    took_ms: f64,
    stale: bool,
}

impl SearchResult {
    /// The objects of an outcome: chunks and documents of all hits are read on together.
    #[must_use]
    pub fn new(cx: &Ctx, outcome: SearchOutcome) -> Self {
        let SearchOutcome { hits, took_ms, stale } = outcome;
        let mut chunks = Vec::with_capacity(hits.len());
        let mut documents = Vec::with_capacity(hits.len());
        let mut scores = Vec::with_capacity(hits.len());
        for hit in hits {
            let search::Hit {
                chunk,
                document,
                embedding_id: _,
                score,
                text_rank,
                vector_rank,
                text_score,
                vector_score,
                snippet,
            } = hit;
            chunks.push(chunk);
            documents.push(document);
            scores.push((score, text_rank, vector_rank, text_score, vector_score, snippet));
        }
        let objects = Chunk::list(cx, chunks).into_iter().zip(Document::list(cx, documents));
        let hit = |((chunk, document), scores): ((Chunk, Document), (f64, _, _, _, _, String))| {
            let (score, text_rank, vector_rank, text_score, vector_score, snippet) = scores;
            SearchHit { chunk, document, score, text_rank, vector_rank, text_score, vector_score, snippet }
        };
        Self { hits: objects.zip(scores).map(hit).collect(), took_ms, stale }
    }
}

/// What a search found.
#[Object]
impl SearchResult {
    /// The hits, best first.
    async fn hits(&self) -> &[SearchHit] {
        &self.hits
    }

    /// How long it took, in milliseconds.
    async fn took(&self) -> f64 {
        self.took_ms
    }

    /// True when the index has not yet taken in every write acknowledged before the query.
    async fn stale(&self) -> bool {
        self.stale
    }
}

/// A chunk that was found.
pub struct SearchHit {
    chunk: Chunk,
    document: Document,
    score: f64,
    text_rank: Option<usize>,
    vector_rank: Option<usize>,
    text_score: Option<f64>,
    vector_score: Option<f64>,
    snippet: String,
}

/// A chunk that was found.
#[Object]
impl SearchHit {
    /// The chunk.
    async fn chunk(&self) -> &Chunk {
        &self.chunk
    }

    /// Its document.
    async fn document(&self) -> &Document {
        &self.document
    }

    /// What orders the hits: the text score, the vector score, or the fused one. Higher is better.
    async fn score(&self) -> f64 {
        self.score
    }

    /// Its place among the matches by words, from 1.
    async fn text_rank(&self) -> Option<usize> {
        self.text_rank
    }

    /// Its place among the matches by vector, from 1.
    async fn vector_rank(&self) -> Option<usize> {
        self.vector_rank
    }

    /// How often the chunk holds the words.
    async fn text_score(&self) -> Option<f64> {
        self.text_score
    }

    /// The score that the index gave it.
    async fn vector_score(&self) -> Option<f64> {
        self.vector_score
    }

    /// About 200 characters of the text, around the first match.
    async fn snippet(&self) -> Option<&str> {
        Some(&self.snippet)
    }
}
