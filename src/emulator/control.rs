//! The control plane: list, create, describe, configure and delete an index.

use crate::emulator::backend::Decided;
use crate::emulator::backend::Plan;
use crate::emulator::call::Call;
use crate::emulator::dialect;
use crate::emulator::dialect::Dialect;
use crate::emulator::limits;
use crate::emulator::project::Change;
use crate::emulator::project::Index;
use crate::emulator::project::Project;
use crate::emulator::project::Spec;
use crate::emulator::refusal::Kind;
use crate::emulator::refusal::Refusal;
use crate::emulator::reply::Reply;
use crate::emulator::wire;
use crate::emulator::wire::object;
use crate::json::Json;

fn dialect(call: &Call) -> Dialect {
    Dialect::of(call.header("x-pinecone-api-version"))
}

/// Where the data of an index is.
fn host(base: &str, name: &str) -> String {
    format!("{base}/i/{name}")
}

fn shown(call: &Call, spec: &Spec, ready: bool) -> Json {
    dialect(call).model(spec, &host(&call.base, &spec.name), ready)
}

fn find<'a>(project: &'a Project, name: &str) -> Result<&'a Index, Refusal> {
    project.indexes.get(name).ok_or_else(|| Refusal::new(Kind::NotFound, format!("Resource {name} not found")))
}

/// `GET /indexes`
#[must_use]
pub fn list(call: &Call, project: &Project) -> Reply {
    let indexes = project.indexes.values().map(|index| shown(call, &index.spec, project.is_ready(index)));
    Reply::json(200, &object([("indexes", Json::Array(indexes.collect()))]))
}

/// `GET /indexes/{index}`
///
/// # Errors
/// When it is not there.
pub fn describe(call: &Call, project: &Project) -> Result<Reply, Refusal> {
    let index = find(project, &call.index)?;
    Ok(Reply::json(200, &shown(call, &index.spec, project.is_ready(index))))
}

/// `POST /indexes`
///
/// # Errors
/// What is wrong with it, whatever there is.
pub fn create(call: &Call) -> Result<Plan, Refusal> {
    let spec = dialect::read(call.object()?)?;
    // As the service says it: it has only begun.
    let reply = Reply::json(201, &shown(call, &spec, false));
    Ok(Box::new(move |project: &Project| {
        if project.indexes.contains_key(&spec.name) {
            return Err(Refusal::new(Kind::Exists, "Resource already exists."));
        }
        if project.indexes.len() >= limits::INDEXES {
            let message = format!("The project has {} serverless indexes, and may not have more", limits::INDEXES);
            return Err(Refusal::new(Kind::Quota, message));
        }
        Ok(Decided::index(Change::Index(spec), reply))
    }))
}

/// `PATCH /indexes/{index}`
///
/// # Errors
/// What is wrong with it, whatever there is.
pub fn configure(call: &Call) -> Result<Plan, Refusal> {
    let body = call.object()?.clone();
    let protection = dialect::protection(&body)?;
    for (field, message) in [
        ("embed", "Integrated inference is"),
        ("schema", "Changing the schema of an index is"),
        ("deployment", "Moving an index is"),
    ] {
        if wire::field(&body, field).is_some() {
            return Err(Refusal::new(Kind::Unimplemented, format!("{message} not emulated")));
        }
    }
    dialect::check_capacity(&body)?;
    if let Some(spec) = wire::field(&body, "spec") {
        if wire::field(spec, "pod").is_some() {
            return Err(Refusal::invalid("Configuring pods of a serverless index is not possible"));
        }
        dialect::check_object("spec", spec)?;
        if let Some(serverless) = wire::field(spec, "serverless") {
            dialect::check_object("spec.serverless", serverless)?;
            dialect::check_capacity(serverless)?;
        }
    }
    let name = call.index.clone();
    let dialect = dialect(call);
    let host = host(&call.base, &name);
    Ok(Box::new(move |project: &Project| {
        let index = find(project, &name)?;
        let spec = Spec {
            protected: protection.unwrap_or(index.spec.protected),
            tags: dialect::merged_tags(&index.spec.tags, &body)?,
            ..index.spec.clone()
        };
        let reply = Reply::json(202, &dialect.model(&spec, &host, project.is_ready(index)));
        Ok(Decided::index(Change::Index(spec), reply))
    }))
}

/// `DELETE /indexes/{index}`
pub fn delete(call: &Call) -> Plan {
    let name = call.index.clone();
    Box::new(move |project: &Project| {
        if find(project, &name)?.spec.protected {
            return Err(Refusal::new(
                Kind::Forbidden,
                "Deletion protection is enabled for this index. Disable deletion protection before retrying.",
            ));
        }
        Ok(Decided::index(Change::Drop(name), Reply::text(202, "")))
    })
}
