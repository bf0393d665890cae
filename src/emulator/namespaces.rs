//! Namespaces of an index: list, create, describe, delete.

use std::ops::Bound;

use crate::emulator::backend::Decided;
use crate::emulator::backend::Plan;
use crate::emulator::call::Call;
use crate::emulator::contents;
use crate::emulator::contents::Contents;
use crate::emulator::contents::DEFAULT;
use crate::emulator::contents::Edit;
use crate::emulator::contents::Space;
use crate::emulator::limits;
use crate::emulator::page;
use crate::emulator::page::Page;
use crate::emulator::project::Project;
use crate::emulator::read;
use crate::emulator::record;
use crate::emulator::refusal::Kind;
use crate::emulator::refusal::Refusal;
use crate::emulator::reply::Reply;
use crate::emulator::wire;
use crate::emulator::wire::object;
use crate::emulator::wire::text;
use crate::emulator::wire::whole;
use crate::json::Json;

/// A namespace as answers show it; counts are strings on this wire.
fn shown(name: &str, space: &Space) -> Json {
    let mut entries =
        vec![("name".to_owned(), text(name)), ("record_count".to_owned(), text(space.records.len().to_string()))];
    entries.extend(space.schema.clone().map(|schema| ("schema".to_owned(), schema)));
    Json::Object(entries)
}

fn unknown(name: &str) -> Refusal {
    Refusal::new(Kind::NotFound, format!("Namespace '{name}' not found"))
}

/// `GET /namespaces`
///
/// # Errors
/// What is wrong with it.
pub fn list(call: &Call, seen: &Contents) -> Result<Reply, Refusal> {
    let prefix = call.param("prefix").unwrap_or_default();
    let page = Page::read(read::limit(call)?, limits::LIST, call.param("paginationToken"))?;
    let start = page.after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
    let named = |name: &String| name.starts_with(prefix);
    let spaces = seen.spaces.range::<str, _>((start, Bound::Unbounded)).filter(|(name, _)| named(name));
    let (spaces, token) = page.cut(spaces, |(name, _)| (*name).clone());
    let spaces = spaces.into_iter().map(|(name, space)| shown(name, space));
    let mut entries = vec![("namespaces".to_owned(), Json::Array(spaces.collect()))];
    entries.extend(page::pagination(token));
    entries.push(("total_count".to_owned(), whole(seen.spaces.keys().filter(|name| named(name)).count())));
    Ok(Reply::json(200, &Json::Object(entries)))
}

/// `GET /namespaces/{namespace}`
///
/// # Errors
/// When it is not there.
pub fn describe(call: &Call, seen: &Contents) -> Result<Reply, Refusal> {
    let name = contents::namespace(Some(&call.space));
    let space = seen.spaces.get(name).ok_or_else(|| unknown(name))?;
    Ok(Reply::json(200, &shown(name, space)))
}

/// `POST /namespaces`
///
/// # Errors
/// What is wrong with it, whatever the index.
pub fn create(call: &Call) -> Result<Plan, Refusal> {
    let body = call.object()?;
    let Some(name) = wire::string(body, "name")?.map(str::to_owned) else {
        return Err(Refusal::invalid("A namespace must have a name"));
    };
    record::check_name("Namespace", &name)?;
    if name == DEFAULT {
        return Err(Refusal::invalid(format!("Namespace '{DEFAULT}' is reserved, and cannot be created")));
    }
    let schema = wire::field(body, "schema").cloned();
    if let Some(schema) = &schema {
        check_schema(schema)?;
    }
    let index = call.index.clone();
    Ok(Box::new(move |project: &Project| {
        let found = project.ready(&index)?;
        if found.contents.spaces.contains_key(&name) {
            return Err(Refusal::new(Kind::Exists, format!("Namespace '{name}' already exists")));
        }
        if found.contents.spaces.len() >= limits::NAMESPACES {
            let message = format!("The index has {} namespaces, and may not have more", limits::NAMESPACES);
            return Err(Refusal::new(Kind::Quota, message));
        }
        let new = Space { schema: schema.clone(), ..Space::default() };
        let reply = Reply::json(200, &shown(&name, &new));
        Ok(Decided::edit(index, name, Some(Edit::Open { schema }), reply))
    }))
}

fn check_schema(schema: &Json) -> Result<(), Refusal> {
    let fields = wire::field(schema, "fields").unwrap_or(&Json::Null);
    let Json::Object(fields) = fields else {
        return Err(wire::refused("schema.fields", fields, "an object of fields"));
    };
    if fields.len() > limits::SCHEMA_FIELDS {
        return Err(Refusal::invalid(format!(
            "schema.fields must not have more than {} fields, but got {} of them",
            limits::SCHEMA_FIELDS,
            fields.len()
        )));
    }
    for (name, field) in fields {
        if wire::boolean(field, "filterable")? != Some(true) {
            return Err(Refusal::invalid(format!("schema.fields.{name}.filterable must be true")));
        }
    }
    Ok(())
}

/// `DELETE /namespaces/{namespace}`
pub fn delete(call: &Call) -> Plan {
    let (index, name) = (call.index.clone(), contents::namespace(Some(&call.space)).to_owned());
    Box::new(move |project: &Project| {
        if !project.ready(&index)?.contents.spaces.contains_key(&name) {
            return Err(unknown(&name));
        }
        Ok(Decided::edit(index, name, Some(Edit::Close), Reply::json(200, &object([]))))
    })
}
