//! Changes as the log keeps them. Vectors are base64 of little-endian f32.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use crate::config::Metric;
use crate::emulator::contents::Edit;
use crate::emulator::project::Change;
use crate::emulator::project::Kind;
use crate::emulator::project::Spec;
use crate::emulator::record::Record;
use crate::emulator::record::Sparse;
use crate::emulator::wire;
use crate::emulator::wire::object;
use crate::emulator::wire::text;
use crate::emulator::wire::whole;
use crate::json::Json;
use crate::store::vector;

/// The JSON of a change.
#[must_use]
pub fn write(change: &Change) -> Json {
    match change {
        Change::Index(spec) => object([("index", write_spec(spec))]),
        Change::Drop(name) => object([("drop", text(name.as_str()))]),
        Change::Edit { index, namespace, edit } => {
            let (what, with) = match edit {
                Edit::Open { schema } => ("open", schema.clone().unwrap_or(Json::Null)),
                Edit::Close => ("close", Json::Null),
                Edit::Put(records) => {
                    ("put", Json::Array(records.iter().map(|(id, record)| write_record(id, record)).collect()))
                }
                Edit::Remove(ids) => ("remove", Json::Array(ids.iter().map(|id| text(id.as_str())).collect())),
                Edit::Clear => ("clear", Json::Null),
                Edit::Count(seen) => ("count", whole(seen)),
            };
            object([("in", text(index.as_str())), ("space", text(namespace.as_str())), (what, with)])
        }
    }
}

/// The change that JSON tells of.
#[must_use]
pub fn read(json: &Json) -> Option<Change> {
    let Json::Object(entries) = json else { return None };
    if let Some(spec) = json.get("index") {
        return read_spec(spec).map(Change::Index);
    }
    if let Some(name) = json.get("drop") {
        return Some(Change::Drop(name.as_str()?.to_owned()));
    }
    let (index, namespace) = (json.get("in")?.as_str()?.to_owned(), json.get("space")?.as_str()?.to_owned());
    let (what, with) = entries.get(2)?;
    let edit = match (what.as_str(), with) {
        ("open", Json::Null) => Edit::Open { schema: None },
        ("open", schema) => Edit::Open { schema: Some(schema.clone()) },
        ("close", _) => Edit::Close,
        ("put", Json::Array(records)) => Edit::Put(records.iter().map(read_record).collect::<Option<_>>()?),
        ("remove", Json::Array(ids)) => {
            Edit::Remove(ids.iter().map(|id| id.as_str().map(str::to_owned)).collect::<Option<_>>()?)
        }
        ("clear", _) => Edit::Clear,
        ("count", Json::Number(seen)) => Edit::Count(seen.parse().ok()?),
        _ => return None,
    };
    Some(Change::Edit { index, namespace, edit })
}

fn write_spec(spec: &Spec) -> Json {
    let (dimension, sparse) = match spec.kind {
        Kind::Dense { dimension, sparse } => (dimension, sparse),
        Kind::Sparse => (0, true),
    };
    let tags = spec.tags.iter().map(|(key, value)| (key.clone(), text(value.as_str())));
    object([
        ("name", text(spec.name.as_str())),
        ("dimension", whole(dimension)),
        ("sparse", Json::Bool(sparse)),
        ("metric", text(spec.metric.name())),
        ("cloud", text(spec.cloud.as_str())),
        ("region", text(spec.region.as_str())),
        ("protected", Json::Bool(spec.protected)),
        ("tags", Json::Object(tags.collect())),
    ])
}

fn read_spec(json: &Json) -> Option<Spec> {
    let string = |name: &str| json.get(name)?.as_str().map(str::to_owned);
    let is = |name: &str| json.get(name) == Some(&Json::Bool(true));
    let metric = string("metric")?;
    let mut metrics = [Metric::Cosine, Metric::Dotproduct, Metric::Euclidean].into_iter();
    let Json::Object(tags) = json.get("tags")? else { return None };
    let tags = tags.iter().map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
    Some(Spec {
        name: string("name")?,
        kind: match json.get("dimension").and_then(wire::digits)?.parse().ok()? {
            0 => Kind::Sparse,
            dimension => Kind::Dense { dimension, sparse: is("sparse") },
        },
        metric: metrics.find(|own| own.name() == metric)?,
        cloud: string("cloud")?,
        region: string("region")?,
        protected: is("protected"),
        tags: tags.collect::<Option<BTreeMap<_, _>>>()?,
    })
}

fn write_record(id: &str, record: &Record) -> Json {
    let numbers = |numbers: &[f32]| text(STANDARD_NO_PAD.encode(vector::to_bytes(numbers)));
    let mut entries = vec![("id".to_owned(), text(id)), ("v".to_owned(), numbers(&record.values))];
    if let Some(sparse) = &record.sparse {
        entries.push(("si".to_owned(), Json::Array(sparse.indices.iter().map(whole).collect())));
        entries.push(("sv".to_owned(), numbers(&sparse.values)));
    }
    entries.extend(record.metadata.clone().map(|metadata| ("m".to_owned(), metadata)));
    Json::Object(entries)
}

fn read_record(json: &Json) -> Option<(String, Arc<Record>)> {
    let numbers = |json: &Json| STANDARD_NO_PAD.decode(json.as_str()?).ok().map(|bytes| vector::from_bytes(&bytes));
    let sparse = match (json.get("si"), json.get("sv")) {
        (Some(Json::Array(indices)), Some(values)) => {
            let indices = indices.iter().map(|index| wire::digits(index)?.parse().ok());
            Some(Sparse { indices: indices.collect::<Option<_>>()?, values: numbers(values)? })
        }
        _ => None,
    };
    let record = Record { values: numbers(json.get("v")?)?, sparse, metadata: json.get("m").cloned() };
    Some((json.get("id")?.as_str()?.to_owned(), Arc::new(record)))
}
