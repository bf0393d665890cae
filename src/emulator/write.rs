//! Upsert, update and delete: a request is read first, without looking at the index,
//! and decided then, while nothing else is written. All of it happens, or nothing.

use std::sync::Arc;

use crate::config::Metric;
use crate::emulator::backend::Decided;
use crate::emulator::backend::Plan;
use crate::emulator::call::Call;
use crate::emulator::contents;
use crate::emulator::contents::Contents;
use crate::emulator::contents::Edit;
use crate::emulator::limits;
use crate::emulator::metadata;
use crate::emulator::project::Index;
use crate::emulator::project::Kind;
use crate::emulator::project::Project;
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
use crate::emulator::wire::whole;
use crate::filter::Filter;
use crate::json::Json;

/// The namespace of a body, checked.
///
/// # Errors
/// When no namespace can have that name.
pub fn namespace(body: &Json) -> Result<String, Refusal> {
    let name = contents::namespace(wire::string(body, "namespace")?);
    record::check_name("Namespace", name)?;
    Ok(name.to_owned())
}

/// `POST /vectors/upsert`
///
/// # Errors
/// What is wrong with it, whatever the index.
pub fn upsert(call: &Call) -> Result<Plan, Refusal> {
    let body = call.object()?;
    let namespace = namespace(body)?;
    let vectors = wire::array(body, "vectors")?.unwrap_or_default();
    if vectors.is_empty() {
        return Err(Refusal::invalid("An upsert must contain at least one vector"));
    }
    if vectors.len() > limits::UPSERT {
        return Err(Refusal::invalid(format!(
            "An upsert must not contain more than {} vectors, but got {} of them",
            limits::UPSERT,
            vectors.len()
        )));
    }
    let mut records = Vec::with_capacity(vectors.len());
    for (i, vector) in vectors.iter().enumerate() {
        let (id, read) = record::read(&format!("vectors[{i}]"), vector)?;
        records.push((id, Arc::new(read)));
    }
    let index = call.index.clone();
    Ok(Box::new(move |project: &Project| {
        let found = project.ready(&index)?;
        for (id, record) in &records {
            check_vector(&found.spec, id, &record.values, record.sparse.as_ref(), Whole::Record)?;
        }
        check_room(&found.contents, &namespace)?;
        let reply = Reply::json(200, &object([("upsertedCount", whole(records.len()))]));
        Ok(Decided::edit(index, namespace, Some(Edit::Put(records)), reply))
    }))
}

/// Whether a vector is all that a record has, or what an update brings.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whole {
    Record,
    Patch,
}

/// Whether the vectors of a record fit the index.
fn check_vector(spec: &Spec, id: &str, values: &[f32], sparse: Option<&Sparse>, whole: Whole) -> Result<(), Refusal> {
    check_dense(spec, values)?;
    record::check_not_zero(id, values)?;
    check_sparse(spec, sparse)?;
    if whole == Whole::Patch {
        return Ok(());
    }
    match spec.kind {
        Kind::Dense { .. } if values.is_empty() => {
            Err(Refusal::invalid(format!("A vector of a dense index must have values. Vector ID '{id}' has none")))
        }
        Kind::Sparse if sparse.is_none() => Err(Refusal::invalid(format!(
            "A vector of a sparse index must have sparse values. Vector ID '{id}' has none"
        ))),
        Kind::Dense { .. } | Kind::Sparse => Ok(()),
    }
}

/// Whether a dense vector, if there is one, fits the index.
///
/// # Errors
/// When it does not.
pub fn check_dense(spec: &Spec, values: &[f32]) -> Result<(), Refusal> {
    match spec.kind {
        _ if values.is_empty() => Ok(()),
        Kind::Dense { dimension, .. } if usize::try_from(dimension) == Ok(values.len()) => Ok(()),
        Kind::Dense { dimension, .. } => Err(Refusal::invalid(format!(
            "Vector dimension {} does not match the dimension of the index {dimension}",
            values.len()
        ))),
        Kind::Sparse => Err(Refusal::invalid("Index configuration does not support dense values - it is sparse")),
    }
}

/// Whether a sparse vector, if there is one, fits the index.
///
/// # Errors
/// When it does not.
pub fn check_sparse(spec: &Spec, sparse: Option<&Sparse>) -> Result<(), Refusal> {
    match spec.kind {
        _ if sparse.is_none() => Ok(()),
        Kind::Sparse => Ok(()),
        Kind::Dense { sparse: true, .. } if spec.metric == Metric::Dotproduct => Ok(()),
        Kind::Dense { .. } => Err(Refusal::invalid(
            "Index configuration does not support sparse values - only indices that are sparse or using dotproduct \
             are supported",
        )),
    }
}

/// Whether the namespace exists, or may be made.
fn check_room(contents: &Contents, namespace: &str) -> Result<(), Refusal> {
    if contents.spaces.len() >= limits::NAMESPACES && !contents.spaces.contains_key(namespace) {
        return Err(Refusal::new(
            refusal::Kind::Quota,
            format!("The index has {} namespaces, and may not have more", limits::NAMESPACES),
        ));
    }
    Ok(())
}

/// `POST /vectors/update`: one record by its id, or metadata by a filter.
///
/// # Errors
/// What is wrong with it, whatever the index.
pub fn update(call: &Call) -> Result<Plan, Refusal> {
    let body = call.object()?;
    let namespace = namespace(body)?;
    let values = record::dense("values", wire::field(body, "values"))?;
    let sparse = record::sparse("sparseValues", wire::field(body, "sparseValues"))?;
    let patch = metadata::read("setMetadata", wire::field(body, "setMetadata"))?;
    let filter = select::filter(body, "Update")?;
    let dry = wire::boolean(body, "dryRun")?.unwrap_or(false);
    let index = call.index.clone();
    match (wire::string(body, "id")?, filter) {
        (Some(_), Some(_)) => Err(Refusal::invalid("An update must have an id or a filter, not both")),
        (None, None) => Err(Refusal::invalid("An update must have an id or a filter")),
        (Some(id), None) => {
            record::check_id(id)?;
            let id = id.to_owned();
            Ok(Box::new(move |project: &Project| {
                let found = project.ready(&index)?;
                check_vector(&found.spec, &id, values.as_deref().unwrap_or_default(), sparse.as_ref(), Whole::Patch)?;
                let record = found.contents.spaces.get(&namespace).and_then(|space| space.records.get(&id));
                let edit = record.map(|record| {
                    let mut record = patched(record, patch.as_ref())?;
                    if let Some(values) = values {
                        record.values = values;
                    }
                    record.sparse = sparse.or(record.sparse);
                    Ok(Edit::Put(vec![(id, Arc::new(record))]))
                });
                let reply = Reply::json(200, &object([]));
                Ok(Decided::edit(index, namespace, edit.transpose()?, reply))
            }))
        }
        (None, Some(filter)) => {
            if values.is_some() || sparse.is_some() {
                return Err(Refusal::invalid("An update by filter changes metadata only, and must not have values"));
            }
            let Some(patch) = patch else {
                return Err(Refusal::invalid("An update by filter must have setMetadata"));
            };
            Ok(Box::new(move |project: &Project| {
                let found = project.ready(&index)?;
                let records = matching(found, &namespace, &filter);
                let matched = records.len();
                let edit = if dry || matched == 0 {
                    None
                } else {
                    let records = records.into_iter();
                    let records = records.map(|(id, record)| Ok((id, Arc::new(patched(&record, Some(&patch))?))));
                    Some(Edit::Put(records.collect::<Result<_, Refusal>>()?))
                };
                let reply = Reply::json(200, &object([("matchedRecords", whole(matched))]));
                Ok(Decided::edit(index, namespace, edit, reply))
            }))
        }
    }
}

/// A record with more metadata.
fn patched(record: &Record, patch: Option<&Json>) -> Result<Record, Refusal> {
    let mut record = record.clone();
    if let Some(patch) = patch {
        let merged = metadata::merged(record.metadata.as_ref(), patch);
        metadata::check_size(&merged)?;
        record.metadata = Some(merged);
    }
    Ok(record)
}

/// The records of a namespace that fulfil a filter.
fn matching(index: &Index, namespace: &str, filter: &Filter) -> Vec<(String, Arc<Record>)> {
    let space = index.contents.spaces.get(namespace);
    let records = space.into_iter().flat_map(|space| &space.records);
    let records = records.filter(|(_, record)| select::matches(filter, record));
    records.map(|(id, record)| (id.clone(), record.clone())).collect()
}

/// What a delete is of.
enum Doomed {
    Ids(Vec<String>),
    Matching(Filter),
    All,
}

/// `POST /vectors/delete`: by ids, by filter, or all.
///
/// # Errors
/// What is wrong with it, whatever the index.
pub fn delete(call: &Call) -> Result<Plan, Refusal> {
    let body = call.object()?;
    let namespace = namespace(body)?;
    let ids = wire::strings(body, "ids")?.filter(|ids| !ids.is_empty());
    let filter = select::filter(body, "Delete")?;
    let doomed = match (wire::boolean(body, "deleteAll")?.unwrap_or(false), ids, filter) {
        (true, None, None) => Doomed::All,
        (true, ..) => return Err(Refusal::invalid("A delete of all must not have ids or a filter")),
        // The service lets the filter win over the ids.
        (false, _, Some(filter)) => Doomed::Matching(filter),
        (false, Some(ids), None) => {
            if ids.len() > limits::IDS {
                return Err(Refusal::invalid(format!(
                    "A delete must not have more than {} ids, but got {} of them",
                    limits::IDS,
                    ids.len()
                )));
            }
            ids.iter().try_for_each(|id| record::check_id(id))?;
            Doomed::Ids(ids)
        }
        (false, None, None) => return Err(Refusal::invalid("A delete must have ids, a filter or deleteAll")),
    };
    let index = call.index.clone();
    Ok(Box::new(move |project: &Project| {
        let found = project.ready(&index)?;
        if !found.contents.spaces.contains_key(&namespace) {
            return Err(Refusal::new(refusal::Kind::NotFound, "Namespace not found"));
        }
        let edit = match doomed {
            Doomed::Ids(ids) => Edit::Remove(ids),
            Doomed::Matching(filter) => {
                let ids = matching(found, &namespace, &filter);
                Edit::Remove(ids.into_iter().map(|(id, _)| id).collect())
            }
            Doomed::All => Edit::Clear,
        };
        Ok(Decided::edit(index, namespace, Some(edit), Reply::json(200, &object([]))))
    }))
}
