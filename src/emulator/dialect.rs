//! The two dialects in which the control plane speaks of an index.
//!
//! Up to 2026-04 an index has `dimension`, `metric` and `spec`; from 2026-07 on it has
//! `schema.fields` and `deployment`. A new index may come in either, whatever version
//! the request names; answers follow the version.

use std::collections::BTreeMap;

use crate::config::Metric;
use crate::emulator::limits;
use crate::emulator::project::Kind;
use crate::emulator::project::Spec;
use crate::emulator::refusal;
use crate::emulator::refusal::Refusal;
use crate::emulator::wire;
use crate::emulator::wire::object;
use crate::emulator::wire::text;
use crate::emulator::wire::whole;
use crate::json::Json;

/// The field of a schema that holds the dense vectors.
const DENSE: &str = "_values";
/// The field of a schema that holds the sparse vectors.
const SPARSE: &str = "_sparse_values";

/// The regions that exist here; the service has them too.
const REGIONS: [(&str, &[&str]); 3] = [
    ("aws", &["us-east-1", "us-west-2", "eu-west-1", "eu-central-1", "ap-southeast-1"]),
    ("gcp", &["us-central1", "europe-west4"]),
    ("azure", &["eastus2", "germanywestcentral"]),
];

/// How an index is spoken of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// With a dimension, a metric and a spec.
    Classic,
    /// With a schema and a deployment.
    Schema,
}

impl Dialect {
    /// The dialect of an API version; without one, the older.
    #[must_use]
    pub fn of(version: Option<&str>) -> Self {
        if version.is_some_and(|version| version.trim() >= "2026-07") { Self::Schema } else { Self::Classic }
    }

    /// An index as an answer shows it.
    #[must_use]
    pub fn model(self, spec: &Spec, host: &str, ready: bool) -> Json {
        let tags = spec.tags.iter().map(|(key, value)| (key.clone(), text(value.as_str())));
        let tags = if spec.tags.is_empty() { Json::Null } else { Json::Object(tags.collect()) };
        let state = if ready { "Ready" } else { "Initializing" };
        let status = object([("ready", Json::Bool(ready)), ("state", text(state))]);
        let protection = text(if spec.protected { "enabled" } else { "disabled" });
        let capacity = object([("mode", text("OnDemand")), ("status", object([("state", text("Ready"))]))]);
        let mut entries = vec![("name".to_owned(), text(spec.name.as_str()))];
        let mut put = |name: &str, json: Json| entries.push((name.to_owned(), json));
        match self {
            Self::Classic => {
                let kind = match spec.kind {
                    Kind::Dense { dimension, .. } => {
                        put("dimension", whole(dimension));
                        "dense"
                    }
                    Kind::Sparse => "sparse",
                };
                put("metric", text(spec.metric.name()));
                put("vector_type", text(kind));
                let place = [("cloud", text(spec.cloud.as_str())), ("region", text(spec.region.as_str()))];
                let [cloud, region] = place;
                put("spec", object([("serverless", object([cloud, region, ("read_capacity", capacity)]))]));
            }
            Self::Schema => {
                let mut fields = Vec::new();
                let sparse = object([("type", text("sparse_vector"))]);
                match spec.kind {
                    Kind::Dense { dimension, sparse: beside } => {
                        let dense = object([
                            ("type", text("dense_vector")),
                            ("dimension", whole(dimension)),
                            ("metric", text(spec.metric.name())),
                        ]);
                        fields.push((DENSE.to_owned(), dense));
                        fields.extend(beside.then(|| (SPARSE.to_owned(), sparse)));
                    }
                    Kind::Sparse => fields.push((SPARSE.to_owned(), sparse)),
                }
                put("schema", object([("fields", Json::Object(fields))]));
                put(
                    "deployment",
                    object([
                        ("deployment_type", text("managed")),
                        ("cloud", text(spec.cloud.as_str())),
                        ("region", text(spec.region.as_str())),
                    ]),
                );
                put("read_capacity", capacity);
            }
        }
        put("host", text(host));
        put("deletion_protection", protection);
        put("tags", tags);
        put("status", status);
        Json::Object(entries)
    }
}

fn unprocessable(what: &str) -> Refusal {
    let message = format!("Failed to deserialize the JSON body into the target type: {what}");
    Refusal::new(refusal::Kind::Unprocessable, message)
}

fn unimplemented(what: &str) -> Refusal {
    Refusal::new(refusal::Kind::Unimplemented, format!("{what} not emulated"))
}

/// A wrong type is a body of another shape, to the control plane.
fn shaped<T>(read: Result<T, Refusal>) -> Result<T, Refusal> {
    read.map_err(|refusal| unprocessable(&refusal.message))
}

/// Reads the body of a create, in either dialect.
///
/// # Errors
/// What the service refuses, and what this server has not.
pub fn read(body: &Json) -> Result<Spec, Refusal> {
    let name = shaped(wire::string(body, "name"))?.ok_or_else(|| unprocessable("missing field `name`"))?;
    check_name(name)?;
    if wire::field(body, "source_collection").is_some() || wire::field(body, "source_backup_id").is_some() {
        return Err(unimplemented("Collections and backups are"));
    }
    let ((kind, metric), place) = match wire::field(body, "schema") {
        Some(schema) => (schema_kind(schema)?, wire::field(body, "deployment")),
        None => (classic_kind(body)?, None),
    };
    let (cloud, region) = match (place, wire::field(body, "schema")) {
        (Some(deployment), _) => managed(deployment)?,
        // The newer dialect has a place to begin with.
        (None, Some(_)) => ("aws".to_owned(), "us-east-1".to_owned()),
        (None, None) => serverless(wire::field(body, "spec").ok_or_else(|| unprocessable("missing field `spec`"))?)?,
    };
    check_capacity(body)?;
    Ok(Spec {
        name: name.to_owned(),
        kind,
        metric,
        cloud,
        region,
        protected: protection(body)?.unwrap_or(false),
        tags: merged_tags(&BTreeMap::new(), body)?,
    })
}

fn check_name(name: &str) -> Result<(), Refusal> {
    if name.is_empty() || name.len() > limits::INDEX_NAME {
        return Err(Refusal::invalid(format!(
            "Name must be between 1 and {} characters long, but got {} of them",
            limits::INDEX_NAME,
            name.len()
        )));
    }
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !name.chars().all(allowed) || name.starts_with('-') || name.ends_with('-') {
        return Err(Refusal::invalid(
            "Name must consist of lower case alphanumeric characters or '-', and must start and end with an \
             alphanumeric character",
        ));
    }
    Ok(())
}

fn metric(object: &Json) -> Result<Option<Metric>, Refusal> {
    match shaped(wire::string(object, "metric"))? {
        None => Ok(None),
        Some(name) => {
            let all = [Metric::Cosine, Metric::Dotproduct, Metric::Euclidean];
            let found = all.into_iter().find(|metric| metric.name() == name);
            found.map(Some).ok_or_else(|| {
                unprocessable(&format!("unknown variant `{name}`, expected one of `cosine`, `euclidean`, `dotproduct`"))
            })
        }
    }
}

fn dimension(object: &Json) -> Result<Option<u32>, Refusal> {
    let Some(dimension) = shaped(wire::integer(object, "dimension"))? else { return Ok(None) };
    if !(1..=limits::DIMENSION).contains(&dimension) {
        return Err(Refusal::invalid(format!(
            "Dimension must be between 1 and {}, but got {dimension}",
            limits::DIMENSION
        )));
    }
    Ok(u32::try_from(dimension).ok())
}

fn dense(object: &Json) -> Result<(u32, Metric), Refusal> {
    let dimension = dimension(object)?.ok_or_else(|| Refusal::invalid("Dense indexes must have a dimension"))?;
    Ok((dimension, metric(object)?.unwrap_or_default()))
}

fn classic_kind(body: &Json) -> Result<(Kind, Metric), Refusal> {
    match shaped(wire::string(body, "vector_type"))?.unwrap_or("dense") {
        "dense" => {
            let (dimension, metric) = dense(body)?;
            Ok((Kind::Dense { dimension, sparse: metric == Metric::Dotproduct }, metric))
        }
        "sparse" if dimension(body)?.is_some() => Err(Refusal::invalid("Sparse indexes must not have a dimension")),
        "sparse" => match metric(body)? {
            None | Some(Metric::Dotproduct) => Ok((Kind::Sparse, Metric::Dotproduct)),
            Some(Metric::Cosine | Metric::Euclidean) => {
                Err(Refusal::invalid("Sparse indexes must have the metric dotproduct"))
            }
        },
        other => Err(unprocessable(&format!("unknown variant `{other}`, expected `dense` or `sparse`"))),
    }
}

fn schema_kind(schema: &Json) -> Result<(Kind, Metric), Refusal> {
    let Some(Json::Object(fields)) = wire::field(schema, "fields") else {
        return Err(unprocessable("missing field `fields`"));
    };
    if let Some((other, _)) = fields.iter().find(|(name, _)| name != DENSE && name != SPARSE) {
        return Err(unimplemented(&format!("Document indexes, which have fields such as '{other}', are")));
    }
    let typed = |name: &str, wanted: &str| match schema.get("fields").and_then(|fields| wire::field(fields, name)) {
        None => Ok(None),
        Some(field) if shaped(wire::string(field, "type"))? == Some(wanted) => Ok(Some(field)),
        Some(_) => Err(Refusal::invalid(format!("The field '{name}' must be of the type {wanted}"))),
    };
    match (typed(DENSE, "dense_vector")?, typed(SPARSE, "sparse_vector")?) {
        (Some(field), sparse) => {
            let (dimension, metric) = dense(field)?;
            if sparse.is_some() && metric != Metric::Dotproduct {
                return Err(Refusal::invalid("An index with sparse values must have the metric dotproduct"));
            }
            Ok((Kind::Dense { dimension, sparse: sparse.is_some() }, metric))
        }
        (None, Some(_)) => Ok((Kind::Sparse, Metric::Dotproduct)),
        (None, None) => Err(Refusal::invalid("The schema must have at least one field")),
    }
}

fn serverless(spec: &Json) -> Result<(String, String), Refusal> {
    if let Some(serverless) = wire::field(spec, "serverless") {
        check_capacity(serverless)?;
        if wire::field(serverless, "source_collection").is_some() {
            return Err(unimplemented("Collections are"));
        }
        return region(serverless);
    }
    if wire::field(spec, "pod").is_some() || wire::field(spec, "byoc").is_some() {
        return Err(unimplemented("Indexes of pods, and in clouds of one's own, are"));
    }
    Err(unprocessable("spec: missing field `serverless`"))
}

fn managed(deployment: &Json) -> Result<(String, String), Refusal> {
    match shaped(wire::string(deployment, "deployment_type"))? {
        Some("managed") => region(deployment),
        Some("pod" | "byoc") => Err(unimplemented("Indexes of pods, and in clouds of one's own, are")),
        Some(other) => Err(unprocessable(&format!("unknown variant `{other}`, expected `managed`"))),
        None => Err(unprocessable("missing field `deployment_type`")),
    }
}

fn region(place: &Json) -> Result<(String, String), Refusal> {
    let read = |name: &str| {
        let value = shaped(wire::string(place, name))?;
        value.map(str::to_owned).ok_or_else(|| unprocessable(&format!("missing field `{name}`")))
    };
    let (cloud, region) = (read("cloud")?, read("region")?);
    let known = REGIONS.iter().any(|(name, regions)| *name == cloud && regions.contains(&region.as_str()));
    if !known {
        let message = format!("Resource cloud: {cloud} region: {region} not found.");
        return Err(Refusal::new(refusal::Kind::NotFound, message));
    }
    Ok((cloud, region))
}

/// Refuses what is no object where one has to stand.
///
/// # Errors
/// When it is none.
pub fn check_object(place: &str, json: &Json) -> Result<(), Refusal> {
    if matches!(json, Json::Object(_)) { Ok(()) } else { shaped(Err(wire::refused(place, json, "an object"))) }
}

/// Refuses capacity that would have to be bought.
///
/// # Errors
/// When it is not on demand.
pub fn check_capacity(object: &Json) -> Result<(), Refusal> {
    match wire::field(object, "read_capacity") {
        None => Ok(()),
        Some(capacity) if shaped(wire::string(capacity, "mode"))? == Some("OnDemand") => Ok(()),
        Some(_) => Err(unimplemented("Dedicated read capacity is")),
    }
}

/// `deletion_protection` of a body.
///
/// # Errors
/// When it is neither `enabled` nor `disabled`.
pub fn protection(body: &Json) -> Result<Option<bool>, Refusal> {
    match shaped(wire::string(body, "deletion_protection"))? {
        None => Ok(None),
        Some("enabled") => Ok(Some(true)),
        Some("disabled") => Ok(Some(false)),
        Some(other) => Err(unprocessable(&format!("unknown variant `{other}`, expected `enabled` or `disabled`"))),
    }
}

/// The tags of an index with those of a body over them; an empty value removes one.
///
/// # Errors
/// When a tag breaks a limit.
pub fn merged_tags(tags: &BTreeMap<String, String>, body: &Json) -> Result<BTreeMap<String, String>, Refusal> {
    let mut merged = tags.clone();
    let patch = match wire::field(body, "tags") {
        None => return Ok(merged),
        Some(Json::Object(patch)) => patch,
        Some(other) => return Err(unprocessable(&wire::refused("tags", other, "an object").message)),
    };
    for (key, value) in patch {
        let Json::String(value) = value else {
            return Err(unprocessable(&wire::refused(&format!("tags.{key}"), value, "a string").message));
        };
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if key.is_empty() || key.len() > limits::TAG_KEY || !key.chars().all(allowed) {
            return Err(Refusal::invalid(format!(
                "Tag keys must be 1 to {} alphanumeric characters, '_' or '-'",
                limits::TAG_KEY
            )));
        }
        if value.chars().count() > limits::TAG_VALUE {
            return Err(Refusal::invalid(format!(
                "Tag values must not be longer than {} characters",
                limits::TAG_VALUE
            )));
        }
        if value.is_empty() {
            merged.remove(key);
        } else {
            merged.insert(key.clone(), value.clone());
        }
    }
    if merged.len() > limits::TAGS {
        return Err(Refusal::invalid(format!("An index must not have more than {} tags", limits::TAGS)));
    }
    Ok(merged)
}
