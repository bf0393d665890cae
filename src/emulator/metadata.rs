//! Metadata: a flat object of strings, numbers, booleans and lists of strings.
//!
//! Numbers are kept as f64, so `3` comes back as `3.0` and a whole number beyond
//! 2^53 comes back as another.

use crate::emulator::refusal::Refusal;
use crate::emulator::wire;
use crate::json::Json;

/// Bytes of one record's metadata, as compact JSON.
const BYTES: usize = 40_960;

/// Reads the metadata in the field `name`; an empty object is as good as none.
///
/// # Errors
/// When it is not flat, or too large.
pub fn read(name: &str, json: Option<&Json>) -> Result<Option<Json>, Refusal> {
    let Some(json) = json else { return Ok(None) };
    let Json::Object(entries) = json else { return Err(wire::refused(name, json, "an object")) };
    check_size(json)?;
    let entries = entries.iter().map(|(key, value)| Ok((key.clone(), read_value(key, value)?)));
    let entries = entries.collect::<Result<Vec<_>, Refusal>>()?;
    Ok(if entries.is_empty() { None } else { Some(Json::Object(entries)) })
}

fn read_value(key: &str, value: &Json) -> Result<Json, Refusal> {
    let refused = || {
        Refusal::invalid(format!(
            "Metadata value must be a string, number, boolean or list of strings, got '{}' for field '{key}'",
            wire::shown(value)
        ))
    };
    if key.starts_with('$') {
        return Err(Refusal::invalid(format!("Metadata key must not start with '$', got '{key}'")));
    }
    match value {
        Json::String(_) | Json::Bool(_) => Ok(value.clone()),
        Json::Number(digits) => match digits.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(wire::double(number)),
            Ok(_) | Err(_) => Err(refused()),
        },
        Json::Array(items) if items.iter().all(|item| item.as_str().is_some()) => Ok(value.clone()),
        Json::Array(_) | Json::Null | Json::Object(_) => Err(refused()),
    }
}

/// Refuses what is too large for one record.
///
/// # Errors
/// When it is.
pub fn check_size(json: &Json) -> Result<(), Refusal> {
    let size = json.to_string().len();
    if size > BYTES {
        return Err(Refusal::invalid(format!(
            "metadata size is {size} bytes, which exceeds the limit of {BYTES} bytes per vector"
        )));
    }
    Ok(())
}

/// `metadata` with the fields of `patch` over its own: a field can be set so, and never removed.
#[must_use]
pub fn merged(metadata: Option<&Json>, patch: &Json) -> Json {
    let mut entries = match metadata {
        Some(Json::Object(entries)) => entries.clone(),
        _ => Vec::new(),
    };
    if let Json::Object(patch) = patch {
        for (key, value) in patch {
            match entries.iter_mut().find(|(own, _)| own == key) {
                Some(entry) => entry.1 = value.clone(),
                None => entries.push((key.clone(), value.clone())),
            }
        }
    }
    Json::Object(entries)
}
