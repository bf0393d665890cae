//! Query, fetch, list and stats: exact, over what the reader may see.

use std::ops::Bound;
use std::sync::Arc;

use crate::config::Metric;
use crate::emulator::call::Call;
use crate::emulator::contents;
use crate::emulator::contents::Contents;
use crate::emulator::contents::Space;
use crate::emulator::limits;
use crate::emulator::page;
use crate::emulator::page::Page;
use crate::emulator::project::Kind;
use crate::emulator::project::Spec;
use crate::emulator::record;
use crate::emulator::record::Record;
use crate::emulator::record::Sparse;
use crate::emulator::refusal;
use crate::emulator::refusal::Refusal;
use crate::emulator::reply::Reply;
use crate::emulator::select;
use crate::emulator::wire;
use crate::emulator::wire::object;
use crate::emulator::wire::text;
use crate::emulator::wire::whole;
use crate::emulator::write;
use crate::index::local::best::Best;
use crate::index::local::metric;
use crate::json::Json;

/// The answer, unless it is longer than one may be.
fn bounded(body: &Json) -> Result<Reply, Refusal> {
    let reply = Reply::json(200, body);
    if reply.body.len() > limits::ANSWER {
        return Err(Refusal::new(
            refusal::Kind::OutOfRange,
            format!(
                "message length too large: found {} bytes, the limit is: {} bytes",
                reply.body.len(),
                limits::ANSWER
            ),
        ));
    }
    Ok(reply)
}

/// What a read costs: nothing here, so the least that the service counts.
fn usage(units: usize) -> (String, Json) {
    ("usage".to_owned(), object([("readUnits", whole(units.max(1)))]))
}

fn named(namespace: &str) -> (String, Json) {
    ("namespace".to_owned(), text(namespace))
}

/// The vectors that a query looks for.
struct Wanted {
    values: Vec<f32>,
    sparse: Option<Sparse>,
}

/// `POST /query`
///
/// # Errors
/// What is wrong with it.
pub fn query(call: &Call, spec: &Spec, seen: &Contents) -> Result<Reply, Refusal> {
    let body = call.object()?;
    let namespace = write::namespace(body)?;
    let Some(top_k) = wire::integer(body, "topK")? else {
        return Err(Refusal::invalid("A query must have topK"));
    };
    let top_k = usize::try_from(top_k)
        .ok()
        .filter(|_| (1..=limits::TOP_K).contains(&top_k))
        .ok_or_else(|| Refusal::invalid(format!("topK must be between 1 and {}, but got {top_k}", limits::TOP_K)))?;
    let filter = select::optional(body)?;
    let with_values = wire::boolean(body, "includeValues")?.unwrap_or(false);
    let with_metadata = wire::boolean(body, "includeMetadata")?.unwrap_or(false);
    let space = seen.spaces.get(&namespace);
    let wanted = wanted(body, spec, space)?;
    let candidates: Vec<(&String, &Arc<Record>)> = match (&wanted, space) {
        (Some(_), Some(space)) => {
            let records = space.records.iter();
            records.filter(|(_, record)| filter.as_ref().is_none_or(|filter| select::matches(filter, record))).collect()
        }
        _ => Vec::new(),
    };
    let mut best = Best::new(top_k);
    for (place, (_, record)) in candidates.iter().enumerate() {
        if let (Some(wanted), Ok(place)) = (&wanted, u32::try_from(place))
            && let Some(score) = score(spec.metric, wanted, record)
        {
            // The least distance is the best one.
            let key = if spec.metric == Metric::Euclidean { -score } else { score };
            best.offer(f64::from(key), (0, place));
        }
    }
    let mut kept = best.kept();
    kept.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let matches = kept.into_iter().filter_map(|(key, (_, place))| {
        let (id, record) = candidates.get(usize::try_from(place).ok()?)?;
        #[expect(clippy::cast_possible_truncation, reason = "it was an f32")]
        let score = if spec.metric == Metric::Euclidean { -key } else { key } as f32;
        let mut entries = record::write(id, record, with_values, with_metadata);
        entries.insert(1, ("score".to_owned(), wire::single(score)));
        Some(Json::Object(entries))
    });
    let matches = Json::Array(matches.collect());
    let nothing = ("results".to_owned(), Json::Array(Vec::new()));
    let lsn = seen.lsn(&namespace);
    let body = Json::Object(vec![nothing, ("matches".to_owned(), matches), named(&namespace), usage(1)]);
    Ok(bounded(&body)?.seen(lsn))
}

/// What a query looks for; `None` when it names a record that is not there.
fn wanted(body: &Json, spec: &Spec, space: Option<&Space>) -> Result<Option<Wanted>, Refusal> {
    let values = record::dense("vector", wire::field(body, "vector"))?;
    let sparse = record::sparse("sparseVector", wire::field(body, "sparseVector"))?;
    match wire::string(body, "id")?.filter(|id| !id.is_empty()) {
        Some(_) if values.is_some() || sparse.is_some() => {
            Err(Refusal::invalid("A query must have an id or a vector, not both"))
        }
        Some(id) => {
            record::check_id(id)?;
            let record = space.and_then(|space| space.records.get(id));
            Ok(record.map(|record| Wanted { values: record.values.clone(), sparse: record.sparse.clone() }))
        }
        None if values.is_none() && sparse.is_none() => Err(Refusal::invalid("A query must have an id or a vector")),
        None => {
            let values = values.unwrap_or_default();
            write::check_dense(spec, &values)?;
            write::check_sparse(spec, sparse.as_ref())?;
            if values.is_empty() && matches!(spec.kind, Kind::Dense { .. }) {
                return Err(Refusal::invalid("A query of a dense index must have a dense vector"));
            }
            Ok(Some(Wanted { values, sparse }))
        }
    }
}

/// The score of a record; one that has nothing in common with a sparse query has none.
fn score(metric: Metric, wanted: &Wanted, record: &Record) -> Option<f32> {
    let sparse = match (&wanted.sparse, &record.sparse) {
        (Some(wanted), Some(own)) => wanted.dot(own),
        _ => 0.0,
    };
    if wanted.values.is_empty() {
        return (sparse != 0.0).then(|| metric::narrow(sparse));
    }
    Some(match metric {
        Metric::Dotproduct => metric::narrow(metric::dot(&wanted.values, &record.values) + sparse),
        Metric::Cosine => metric::score(Metric::Cosine, &wanted.values, &record.values),
        Metric::Euclidean => metric::narrow(metric::squared_distance(&wanted.values, &record.values)),
    })
}

/// Records by id, as an object.
fn by_id<'a>(records: impl Iterator<Item = (&'a String, &'a Arc<Record>)>) -> Json {
    let entries = records.map(|(id, record)| (id.clone(), Json::Object(record::write(id, record, true, true))));
    Json::Object(entries.collect())
}

/// `GET /vectors/fetch`
///
/// # Errors
/// What is wrong with it.
pub fn fetch(call: &Call, seen: &Contents) -> Result<Reply, Refusal> {
    let namespace = param_namespace(call)?;
    let mut ids = call.ids();
    if ids.is_empty() {
        return Err(Refusal::invalid("A fetch must have at least one id"));
    }
    if ids.len() > limits::IDS {
        return Err(Refusal::invalid(format!(
            "A fetch must not have more than {} ids, but got {} of them",
            limits::IDS,
            ids.len()
        )));
    }
    ids.iter().try_for_each(|id| record::check_id(id))?;
    ids.sort_unstable();
    ids.dedup();
    let space = seen.spaces.get(namespace);
    let found = ids.iter().filter_map(|id| space?.records.get_key_value(*id));
    let vectors = by_id(found);
    bounded(&Json::Object(vec![("vectors".to_owned(), vectors), named(namespace), usage(ids.len().div_ceil(10))]))
}

/// `POST /vectors/fetch_by_metadata`
///
/// # Errors
/// What is wrong with it.
pub fn fetch_by_metadata(call: &Call, seen: &Contents) -> Result<Reply, Refusal> {
    let body = call.object()?;
    let namespace = write::namespace(body)?;
    let Some(filter) = select::filter(body, "Fetch")? else {
        return Err(Refusal::invalid("A fetch by metadata must have a filter"));
    };
    let token = wire::string(body, "paginationToken")?;
    let page = Page::read(wire::integer(body, "limit")?, limits::FETCH_BY_METADATA, token)?;
    let space = seen.spaces.get(&namespace);
    let records = space.into_iter().flat_map(|space| from(space, &page, ""));
    let records = records.filter(|(_, record)| select::matches(&filter, record));
    let (records, token) = page.cut(records, |(id, _)| (*id).clone());
    let units = records.len().div_ceil(10);
    let vectors = by_id(records.into_iter());
    let mut entries = vec![("vectors".to_owned(), vectors), named(&namespace), usage(units)];
    entries.extend(page::pagination(token));
    bounded(&Json::Object(entries))
}

/// The records of a namespace from the first on that may be on a page of those with a prefix.
fn from<'a>(
    space: &'a Space,
    page: &Page,
    prefix: &str,
) -> impl Iterator<Item = (&'a String, &'a Arc<Record>)> + use<'a> {
    let start = match &page.after {
        Some(after) if after.as_str() >= prefix => Bound::Excluded(after.as_str()),
        Some(_) | None => Bound::Included(prefix),
    };
    space.records.range::<str, _>((start, Bound::Unbounded))
}

/// `GET /vectors/list`
///
/// # Errors
/// What is wrong with it.
pub fn list(call: &Call, seen: &Contents) -> Result<Reply, Refusal> {
    let namespace = param_namespace(call)?;
    let prefix = call.param("prefix").unwrap_or_default();
    if !prefix.is_empty() {
        record::check_name("prefix", prefix)?;
    }
    let page = Page::read(limit(call)?, limits::LIST, call.param("paginationToken"))?;
    let space = seen.spaces.get(namespace);
    let records = space.into_iter().flat_map(|space| from(space, &page, prefix));
    let records = records.take_while(|(id, _)| id.starts_with(prefix));
    let (records, token) = page.cut(records, |(id, _)| (*id).clone());
    let ids = records.into_iter().map(|(id, _)| object([("id", text(id.as_str()))]));
    let mut entries = vec![("vectors".to_owned(), Json::Array(ids.collect()))];
    entries.extend(page::pagination(token));
    entries.extend([named(namespace), usage(1)]);
    Ok(Reply::json(200, &Json::Object(entries)))
}

/// The limit in a query string.
///
/// # Errors
/// When it is no whole number.
pub fn limit(call: &Call) -> Result<Option<i64>, Refusal> {
    let limit = call.param("limit").map(|limit| limit.parse().map_err(|_| (limit, ())));
    limit.transpose().map_err(|(limit, ())| wire::refused("limit", &text(limit), "a whole number"))
}

fn param_namespace(call: &Call) -> Result<&str, Refusal> {
    let name = contents::namespace(call.param("namespace"));
    record::check_name("Namespace", name)?;
    Ok(name)
}

/// `POST /describe_index_stats`
///
/// # Errors
/// What is wrong with it.
pub fn stats(call: &Call, spec: &Spec, seen: &Contents) -> Result<Reply, Refusal> {
    match wire::field(call.object()?, "filter") {
        None => {}
        Some(Json::Object(entries)) if entries.is_empty() => {}
        Some(_) => {
            return Err(Refusal::invalid(
                "Serverless and Starter indexes do not support describing index stats with metadata filtering",
            ));
        }
    }
    let spaces = seen.spaces.iter();
    let spaces = spaces.map(|(name, space)| (name.clone(), object([("vectorCount", whole(space.records.len()))])));
    let mut entries = vec![("namespaces".to_owned(), Json::Object(spaces.collect()))];
    let kind = match spec.kind {
        Kind::Dense { dimension, .. } => {
            entries.push(("dimension".to_owned(), whole(dimension)));
            "dense"
        }
        Kind::Sparse => "sparse",
    };
    let total: usize = seen.spaces.values().map(|space| space.records.len()).sum();
    entries.extend([
        ("indexFullness".to_owned(), whole(0)),
        ("totalVectorCount".to_owned(), whole(total)),
        ("metric".to_owned(), text(spec.metric.name())),
        ("vectorType".to_owned(), text(kind)),
    ]);
    Ok(Reply::json(200, &Json::Object(entries)))
}
