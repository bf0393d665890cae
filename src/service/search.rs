//! Search: chunks by the words they hold, by the nearness of their vectors, or by both.
//!
//! TEXT finds the given words as one substring of the chunk's text, folded by
//! Unicode; VECTOR asks the index; HYBRID merges both lists by the places that
//! chunks have in them. Whatever the index says, a hit is a chunk whose rows are
//! live when the answer is made; what falls away is filled up from further down.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::time::Duration;
use std::time::Instant;

use crate::entity::chunk;
use crate::entity::document;
use crate::error::Error;
use crate::error::FieldError;
use crate::error::Result;
use crate::error::Rule;
use crate::error::Step;
use crate::filter::Filter;
use crate::filter::Scalar;
use crate::filter::Test;
use crate::index::IndexError;
use crate::index::IndexErrorKind;
use crate::index::Match;
use crate::index::VectorQuery;
use crate::json::Json;
use crate::json::Literals;
use crate::json::is_beyond_f64;
use crate::service::Ctx;
use crate::service::freshness;
use crate::service::rules;
use crate::service::rules::Check;
use crate::service::snippet;
use crate::store;
use crate::store::search::Attributes;
use crate::store::search::Read;
use crate::store::search::Scope;
use crate::store::search::Window;
use crate::store::slots;
use crate::store::sql::fold;

/// Hits, when nothing is said.
pub const DEFAULT_FIRST: i64 = 10;
/// Hits at most.
pub const MAX_FIRST: i64 = 100;
/// Milliseconds to wait, when nothing is said.
pub const DEFAULT_WAIT_MS: i64 = 5000;
/// Milliseconds to wait at most.
const MAX_WAIT_MS: i64 = 60_000;
/// How deep each list of a hybrid search is read.
const HYBRID_DEPTH: usize = 100;
/// The constant of reciprocal rank fusion: how little the first places stand out.
const FUSION: f64 = 60.0;
/// How many matches the index is asked for at most.
const MAX_TOP_K: usize = 10_000;
/// Rows of one page when a metadata filter has to look at text matches.
const TEXT_PAGE: i64 = 2000;

/// What a search compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Words with text.
    Text,
    /// The query vector with the index.
    Vector,
    /// Both; without a vector, words alone.
    #[default]
    Hybrid,
}

/// A search.
#[derive(Debug, Clone, Default)]
pub struct SearchRequest {
    /// Words; required for [`Mode::Text`] and [`Mode::Hybrid`].
    pub text: Option<String>,
    /// The query vector; required for [`Mode::Vector`].
    pub vector: Option<Vec<f32>>,
    /// What to compare.
    pub mode: Mode,
    /// How many hits: 1 to 100, or [`DEFAULT_FIRST`].
    pub first: Option<i64>,
    /// Only chunks with an embedding of this model, and only such embeddings. The records of an index do not
    /// say their model (their metadata is fixed): it is looked up for the 10,000 nearest at most, so that a rare
    /// model behind more records of others than that is missed.
    pub model: Option<String>,
    /// Only this namespace.
    pub namespace: Option<String>,
    /// Only these documents.
    pub document_ids: Option<Vec<String>>,
    /// A condition on the metadata of records.
    pub metadata: Option<Json>,
    /// Wait until the index holds everything up to this corpus revision.
    pub wait_for: Option<i64>,
    /// At most so long: 0 to 60,000, or [`DEFAULT_WAIT_MS`].
    pub wait_ms: Option<i64>,
}

/// What a search found.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchOutcome {
    /// Best first.
    pub hits: Vec<Hit>,
    /// How long it took, the waiting included.
    pub took_ms: f64,
    /// The index was asked, and had not taken in every write acknowledged before; or not the one waited for.
    pub stale: bool,
}

/// A chunk that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// The chunk, live.
    pub chunk: chunk::Model,
    /// Its document, live.
    pub document: document::Model,
    /// Its nearest embedding, when vectors were compared.
    pub embedding_id: Option<String>,
    /// What orders the hits: the text score, the vector score, or the fused one.
    pub score: f64,
    /// Its place in the list of text matches, from 1.
    pub text_rank: Option<usize>,
    /// Its place in the list of vector matches, from 1.
    pub vector_rank: Option<usize>,
    /// How often the chunk holds the words.
    pub text_score: Option<f64>,
    /// The score of the index.
    pub vector_score: Option<f64>,
    /// About 200 characters of the text, around the first match.
    pub snippet: String,
}

/// A hit before its rows are read.
#[derive(Debug, Clone, Default)]
struct Found {
    chunk_id: String,
    embedding_id: Option<String>,
    score: f64,
    text: Option<(usize, f64)>,
    vector: Option<(usize, f64)>,
}

/// A search that is known to be well formed.
#[derive(Debug)]
struct Checked {
    /// Folded words, when text is to be searched.
    words: Option<String>,
    /// The query, when vectors are to be searched.
    vector: Option<Vec<f32>>,
    /// What the snippet is made around.
    around: String,
    first: usize,
    scope: Scope,
    filter: Filter,
    wait_for: Option<i64>,
    wait: Duration,
}

/// Finds chunks.
///
/// # Errors
/// [`Error::Invalid`]; [`Error::Unavailable`] when the index does not answer.
pub async fn search(cx: &Ctx, request: SearchRequest) -> Result<SearchOutcome> {
    let began = Instant::now();
    let search = checked(cx, request)?;
    let stale = wait(cx, &search).await?;
    let hits = match (&search.words, &search.vector) {
        (Some(words), None) => text(cx, &search, words).await?,
        (None, Some(vector)) => near(cx, &search, vector).await?,
        (Some(words), Some(vector)) => both(cx, &search, words, vector).await?,
        (None, None) => Vec::new(),
    };
    Ok(SearchOutcome { hits, took_ms: began.elapsed().as_secs_f64() * 1000.0, stale })
}

fn checked(cx: &Ctx, request: SearchRequest) -> Result<Checked> {
    let limits = &cx.config().limits;
    let SearchRequest { text, vector, mode, first, model, namespace, document_ids, metadata, wait_for, wait_ms } =
        request;
    let mut check = Check::default();
    let below = |name: &str| vec![Step::Field("filter".to_owned()), Step::Field(name.to_owned())];
    let first = first.unwrap_or(DEFAULT_FIRST);
    check.that("first", rules::between(first, 1, MAX_FIRST));
    let wait_ms = wait_ms.unwrap_or(DEFAULT_WAIT_MS);
    check.that("wait_ms", self::wait_ms(wait_ms));
    if let Some(wait_for) = wait_for {
        check.that("wait_for", rules::between(wait_for, 0, i64::MAX));
    }
    let words = text.as_deref().map(str::trim);
    match (mode, words) {
        (Mode::Text | Mode::Hybrid, None) => _ = check.that("text", Err(Rule::Missing)),
        (Mode::Text | Mode::Hybrid | Mode::Vector, Some(words)) => {
            let needed = mode != Mode::Vector;
            if needed || !words.is_empty() {
                check.that("text", rules::text(words, limits));
            }
        }
        (Mode::Vector, None) => {}
    }
    match (mode, &vector) {
        (Mode::Vector, None) => _ = check.that("vector", Err(Rule::Missing)),
        (Mode::Vector | Mode::Hybrid, Some(vector)) => {
            check.that("vector", rules::vector(vector, limits).and_then(|()| not_zero(vector)));
        }
        (Mode::Text, _) | (Mode::Hybrid, None) => {}
    }
    if let Some(model) = &model {
        check.that("model", rules::model(model));
    }
    let mut filter_error = |path: Vec<Step>, outcome: Result<(), Rule>| {
        if let Err(rule) = outcome {
            check.errors.push(FieldError { path, rule });
        }
    };
    if let Some(namespace) = &namespace {
        filter_error(below("namespace"), rules::namespace(namespace));
    }
    if let Some(ids) = &document_ids {
        if ids.len() > limits.batch {
            let rule = Rule::TooLong { max: limits.batch as u64, actual: ids.len() as u64 };
            filter_error(below("document_ids"), Err(rule));
        }
        for (i, id) in ids.iter().enumerate() {
            let mut path = below("document_ids");
            path.push(Step::Index(i));
            filter_error(path, rules::id(id));
        }
    }
    let filter = match metadata {
        None => Filter::All(Vec::new()),
        Some(json) => match Filter::parse(&["filter", "metadata"], &json) {
            Ok(filter) => filter,
            Err(Error::Invalid(errors)) => {
                check.errors.extend(errors);
                Filter::All(Vec::new())
            }
            Err(other) => return Err(other),
        },
    };
    let folded = words.map(fold).unwrap_or_default();
    check.finish(Checked {
        words: (mode != Mode::Vector).then(|| folded.clone()),
        vector: vector.filter(|_| mode != Mode::Text),
        around: folded,
        first: usize::try_from(first).unwrap_or(0),
        scope: Scope { namespace, document_ids, model },
        filter,
        wait_for,
        wait: Duration::from_millis(wait_ms.unsigned_abs()),
    })
}

fn not_zero(vector: &[f32]) -> Result<(), Rule> {
    if vector.iter().any(|number| *number != 0.0) {
        Ok(())
    } else {
        Err(Rule::Value("must not be all zero".to_owned()))
    }
}

/// Waits for the revision that was asked for, whatever is compared. True when it is not there in time, or when
/// vectors are compared and the index lags behind what is acknowledged now.
async fn wait(cx: &Ctx, search: &Checked) -> Result<bool> {
    if search.vector.is_none() && search.wait_for.is_none() {
        return Ok(false);
    }
    let current = store::log::revision(cx.read()).await?;
    let needed = search.wait_for.unwrap_or(0);
    let through = freshness::wait(cx, needed, search.wait).await?;
    Ok(through < needed || (search.vector.is_some() && through < current))
}

/// What a wait in milliseconds must be.
///
/// # Errors
/// The rule.
pub fn wait_ms(wait_ms: i64) -> std::result::Result<(), Rule> {
    rules::between(wait_ms, 0, MAX_WAIT_MS)
}

/// Whether a search that waits for the revision `wait_for`, at most `wait` milliseconds, would miss it.
///
/// # Errors
/// What the database says.
pub async fn misses(cx: &Ctx, wait_for: i64, wait: Option<i64>) -> Result<bool> {
    let wait = Duration::from_millis(wait.unwrap_or(DEFAULT_WAIT_MS).unsigned_abs());
    Ok(freshness::wait(cx, wait_for, wait).await? < wait_for)
}

async fn text(cx: &Ctx, search: &Checked, words: &str) -> Result<Vec<Hit>> {
    let mut hits = Vec::new();
    let mut passed = 0;
    // Chunks that go between the two statements are made up for from the next window.
    while hits.len() < search.first {
        let found = text_list(cx, search, words, passed, search.first - hits.len()).await?;
        let last = found.len() < search.first - hits.len();
        passed += found.len();
        let found = found.into_iter().map(|found| Found { score: found.text.map_or(0.0, |(_, score)| score), ..found });
        dress(cx, search, found.collect(), &mut hits).await?;
        if last {
            break;
        }
    }
    Ok(hits)
}

/// Text matches that the filter passes, from place `skip`, at most `count`; places count from 1.
async fn text_list(cx: &Ctx, search: &Checked, words: &str, skip: usize, count: usize) -> Result<Vec<Found>> {
    let offset = i64::try_from(skip).unwrap_or(i64::MAX);
    let limit = i64::try_from(count).unwrap_or(i64::MAX);
    let found = |place: usize, chunk_id: String, occurrences: i64| Found {
        chunk_id,
        text: Some((place + 1, count_as_score(occurrences))),
        ..Found::default()
    };
    if search.filter == Filter::All(Vec::new()) {
        let rows = store::search::text(cx.read(), words, &search.scope, Read::Ids, Window { offset, limit }).await?;
        return Ok(rows
            .into_iter()
            .zip(skip..)
            .map(|(row, place)| found(place, row.chunk_id, row.occurrences))
            .collect());
    }
    let read = if search.filter.mentions("text") { Read::AttributesAndText } else { Read::Attributes };
    let mut list = Vec::new();
    let mut offset = 0;
    let mut place = 0;
    loop {
        let window = Window { offset, limit: TEXT_PAGE };
        let rows = store::search::text(cx.read(), words, &search.scope, read, window).await?;
        let last = rows.len() < usize::try_from(TEXT_PAGE).unwrap_or(0);
        for row in rows {
            let passes =
                row.attributes.as_ref().is_some_and(|a| search.filter.matches(&record_metadata(&row.chunk_id, a)));
            if passes {
                if place >= skip {
                    list.push(found(place, row.chunk_id, row.occurrences));
                }
                place += 1;
                if list.len() == count {
                    return Ok(list);
                }
            }
        }
        if last {
            return Ok(list);
        }
        offset += TEXT_PAGE;
    }
}

#[expect(clippy::cast_precision_loss, reason = "a chunk holds fewer than 2^52 occurrences")]
const fn count_as_score(occurrences: i64) -> f64 {
    occurrences as f64
}

/// What the record of a chunk would have as metadata: the document's over the chunk's, reserved keys over both.
fn record_metadata(chunk_id: &str, of: &Attributes) -> Json {
    let mut entries = BTreeMap::new();
    let mut put = |key: &str, value: Json| _ = entries.insert(key.to_owned(), value);
    for metadata in [&of.chunk_metadata, &of.document_metadata].into_iter().flatten() {
        if let Ok(Json::Object(given)) = Json::parse(metadata.as_bytes(), Literals::Python) {
            for (key, value) in given {
                match value {
                    Json::Null => {}
                    Json::Array(items) if items.iter().all(|item| item.as_str().is_some()) => {
                        put(&key, Json::Array(items))
                    }
                    Json::Array(_) | Json::Object(_) => put(&key, Json::String(value.to_string())),
                    Json::Number(digits) if is_beyond_f64(&digits) => put(&key, Json::String(digits)),
                    Json::Bool(_) | Json::Number(_) | Json::String(_) => put(&key, value),
                }
            }
        }
    }
    put("chunk_id", Json::String(chunk_id.to_owned()));
    put("document_id", Json::String(of.document_id.clone()));
    put("document_title", Json::String(of.document_title.clone()));
    put("document_source", Json::String(of.document_source.clone().unwrap_or_default()));
    put("chunk_index", Json::Number(of.chunk_index.to_string()));
    put("created_at", Json::String(crate::clock::naive_iso(of.created_at)));
    if let Some(text) = &of.text {
        put("text", Json::String(text.clone()));
    }
    Json::Object(entries.into_iter().collect())
}

async fn near(cx: &Ctx, search: &Checked, vector: &[f32]) -> Result<Vec<Hit>> {
    let mut hits = Vec::new();
    // Some more than asked for: embeddings of one chunk are one hit, and rows may be gone.
    let mut wanted = search.first + search.first / 2 + 5;
    loop {
        let (found, exhausted) = vector_list(cx, search, vector, wanted).await?;
        hits.clear();
        let found =
            found.into_iter().map(|found| Found { score: found.vector.map_or(0.0, |(_, score)| score), ..found });
        dress(cx, search, found.collect(), &mut hits).await?;
        if exhausted || hits.len() >= search.first {
            return Ok(hits);
        }
        wanted *= 4;
    }
}

/// The chunks of the nearest records, each once, until there are `count`; and whether there are no more.
async fn vector_list(cx: &Ctx, search: &Checked, vector: &[f32], count: usize) -> Result<(Vec<Found>, bool)> {
    let filter = match &search.scope.document_ids {
        None => search.filter.clone(),
        Some(ids) => {
            let ids = ids.iter().cloned().map(Scalar::Text).collect();
            search.filter.clone().and(Filter::Field { name: "document_id".to_owned(), test: Test::In(ids) })
        }
    };
    let mut top_k = count;
    loop {
        let query = VectorQuery {
            namespace: search.scope.namespace.clone(),
            vector: vector.to_vec(),
            top_k,
            filter: Some(filter.clone()).filter(|filter| *filter != Filter::All(Vec::new())),
            metadata: false,
        };
        let matches = matches(cx, query, search.scope.document_ids.as_deref()).await?;
        let exhausted = matches.len() < top_k || top_k >= MAX_TOP_K;
        let ids: Vec<&str> = matches.iter().map(|found| found.id.as_str()).collect();
        let live = store::search::embeddings(cx.read(), &ids, &search.scope).await?;
        let live: HashMap<(&str, &str), &store::search::LiveEmbedding> =
            live.iter().map(|row| ((row.namespace.as_str(), row.vector_id.as_str()), row)).collect();
        let mut list: Vec<Found> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for found in &matches {
            let Some(row) = live.get(&(found.namespace.as_str(), found.id.as_str())) else { continue };
            if seen.insert(row.chunk_id.as_str()) {
                list.push(Found {
                    chunk_id: row.chunk_id.clone(),
                    embedding_id: Some(row.id.clone()),
                    vector: Some((list.len() + 1, f64::from(found.score))),
                    ..Found::default()
                });
            }
        }
        if exhausted || list.len() >= count {
            list.truncate(count);
            return Ok((list, exhausted));
        }
        top_k = (top_k * 4).min(MAX_TOP_K);
    }
}

/// The best matches, best first. An index that searches one namespace at a time is asked for each of ours.
async fn matches(cx: &Ctx, query: VectorQuery, documents: Option<&[String]>) -> Result<Vec<Match>> {
    let Some(most) = cx.index().limits().query_namespaces.filter(|_| query.namespace.is_none()) else {
        // The local index reads from the same database.
        let _turn = cx.read().turn().await?;
        return cx.index().query(query).await.map_err(refused);
    };
    let namespaces = match documents {
        Some(ids) => store::search::namespaces_of(cx.read(), ids, most + 1).await?,
        None => slots::namespaces(cx.read(), cx.target_id(), most + 1).await?,
    };
    if namespaces.len() > most {
        let path = ["filter", "namespace"].map(|name| Step::Field(name.to_owned())).to_vec();
        let rule = Rule::Value(format!("must be given: the index searches at most {most} namespaces together"));
        return Err(Error::Invalid(vec![FieldError { path, rule }]));
    }
    let one = |namespace| cx.index().query(VectorQuery { namespace: Some(namespace), ..query.clone() });
    let found = futures_util::future::try_join_all(namespaces.into_iter().map(one)).await.map_err(refused)?;
    let mut merged: Vec<Match> = found.into_iter().flatten().collect();
    merged.sort_by(|a, b| {
        b.score.total_cmp(&a.score).then_with(|| a.id.cmp(&b.id)).then_with(|| a.namespace.cmp(&b.namespace))
    });
    merged.truncate(query.top_k);
    Ok(merged)
}

/// An index that does not search: because of the query, or for reasons of its own.
#[must_use]
pub fn refused(error: IndexError) -> Error {
    match error.kind {
        IndexErrorKind::Rejected | IndexErrorKind::TooLarge => Error::invalid_value("vector", error.detail),
        IndexErrorKind::NotApplied
        | IndexErrorKind::RateLimited
        | IndexErrorKind::InDoubt
        | IndexErrorKind::TargetFault => Error::Unavailable {
            detail: "The vector index does not answer".to_owned(),
            retry_after: error.retry_after,
            job_id: None,
        },
    }
}

/// Both lists, merged by reciprocal ranks.
async fn both(cx: &Ctx, search: &Checked, words: &str, vector: &[f32]) -> Result<Vec<Hit>> {
    let depth = HYBRID_DEPTH.max(2 * search.first);
    let (near, _) = vector_list(cx, search, vector, depth).await?;
    let mut fused = text_list(cx, search, words, 0, depth).await?;
    let places: HashMap<String, usize> =
        fused.iter().enumerate().map(|(place, found)| (found.chunk_id.clone(), place)).collect();
    for found in near {
        match places.get(&found.chunk_id) {
            Some(place) => {
                fused[*place].vector = found.vector;
                fused[*place].embedding_id = found.embedding_id;
            }
            None => fused.push(found),
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "ranks are small")]
    for found in &mut fused {
        let ranks = [found.text, found.vector].into_iter().flatten();
        found.score = ranks.map(|(rank, _)| 1.0 / (FUSION + rank as f64)).sum();
    }
    let best = |found: &Found| [found.text, found.vector].into_iter().flatten().map(|(rank, _)| rank).min();
    fused.sort_by(|a, b| {
        b.score.total_cmp(&a.score).then_with(|| best(a).cmp(&best(b))).then_with(|| a.chunk_id.cmp(&b.chunk_id))
    });
    let mut hits = Vec::new();
    dress(cx, search, fused, &mut hits).await?;
    Ok(hits)
}

/// Adds hits for what was found, in its order, until there are enough; chunks that are not live are passed over.
async fn dress(cx: &Ctx, search: &Checked, found: Vec<Found>, hits: &mut Vec<Hit>) -> Result<()> {
    for part in found.chunks(search.first) {
        if hits.len() >= search.first {
            return Ok(());
        }
        let ids: Vec<&str> = part.iter().map(|found| found.chunk_id.as_str()).collect();
        let rows = store::search::rows(cx.read(), &ids).await?;
        let mut rows: HashMap<String, _> = rows.into_iter().map(|row| (row.0.id.clone(), row)).collect();
        for found in part {
            let Some((chunk, document)) = rows.remove(&found.chunk_id) else { continue };
            if hits.len() < search.first {
                hits.push(Hit {
                    snippet: snippet::around(&chunk.text, &chunk.text_folded, &search.around),
                    chunk,
                    document,
                    embedding_id: found.embedding_id.clone(),
                    score: found.score,
                    text_rank: found.text.map(|(rank, _)| rank),
                    vector_rank: found.vector.map(|(rank, _)| rank),
                    text_score: found.text.map(|(_, score)| score),
                    vector_score: found.vector.map(|(_, score)| score),
                });
            }
        }
    }
    Ok(())
}
