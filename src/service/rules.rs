//! The rules of single values, each once: both edges and every command use these.
//!
//! A rule takes the value and gives the broken [`Rule`], if any. Lengths are in
//! characters where the contract says so (Pydantic counts characters), sizes in bytes.

use std::collections::HashMap;

use crate::config::Limits;
use crate::error::FieldError;
use crate::error::Rule;
use crate::json::Json;
use crate::service::MetadataMode;
use crate::service::Patch;

/// The greatest chunk index: what fits GraphQL's `Int`.
pub const MAX_CHUNK_INDEX: i64 = i32::MAX as i64;

/// Gathers broken rules of a command.
#[derive(Debug, Default)]
pub struct Check {
    /// What was found so far.
    pub errors: Vec<FieldError>,
}

impl Check {
    /// Notes the outcome of a rule about `field`.
    pub fn that(&mut self, field: &str, outcome: Result<(), Rule>) -> &mut Self {
        if let Err(rule) = outcome {
            self.errors.push(FieldError::new(field, rule));
        }
        self
    }

    /// Notes the outcome of a rule about a patch of `field`, which cannot be cleared.
    pub fn patch<T>(&mut self, field: &str, patch: &Patch<T>, rule: impl Fn(&T) -> Result<(), Rule>) -> &mut Self {
        match patch {
            Patch::Keep => self,
            Patch::Clear => self.that(field, sentence("cannot be cleared")),
            Patch::Set(value) => self.that(field, rule(value)),
        }
    }

    /// Notes the outcome of a command that is item `index` of the list `field`.
    pub fn inside(&mut self, field: &str, index: usize, item: Self) -> &mut Self {
        self.errors.extend(item.errors.into_iter().map(|error| error.inside(field, index)));
        self
    }

    /// `value`, when nothing was found.
    ///
    /// # Errors
    /// [`crate::error::Error::Invalid`] with everything that was found.
    pub fn finish<T>(self, value: T) -> crate::error::Result<T> {
        if self.errors.is_empty() { Ok(value) } else { Err(crate::error::Error::Invalid(self.errors)) }
    }
}

fn sentence(text: impl Into<String>) -> Result<(), Rule> {
    Err(Rule::Value(text.into()))
}

/// An id that a row can have at all; U+0000 cannot even be asked for on PostgreSQL.
///
/// # Errors
/// [`crate::error::Error::NotFound`].
pub fn known(id: &str, what: &'static str) -> crate::error::Result<()> {
    if id.contains('\0') { Err(crate::error::Error::not_found(what, id)) } else { Ok(()) }
}

/// A number from `least` to `greatest`.
///
/// # Errors
/// The rule.
pub const fn between(value: i64, least: i64, greatest: i64) -> Result<(), Rule> {
    if value < least {
        return Err(Rule::GreaterThanEqual(least));
    }
    if value > greatest { Err(Rule::LessThanEqual(greatest)) } else { Ok(()) }
}

/// No U+0000: PostgreSQL cannot store it.
fn no_nul(text: &str) -> Result<(), Rule> {
    if text.contains('\0') { sentence("must not contain U+0000") } else { Ok(()) }
}

fn characters(text: &str, min: u64, max: u64) -> Result<(), Rule> {
    let length = text.chars().count() as u64;
    if length < min {
        return Err(Rule::StringTooShort(min));
    }
    if length > max { Err(Rule::StringTooLong(max)) } else { no_nul(text) }
}

/// The items of one list of a command.
///
/// # Errors
/// The broken rule.
pub const fn batch(items: usize, limits: &Limits) -> Result<(), Rule> {
    if items > limits.batch {
        return Err(Rule::TooLong { max: limits.batch as u64, actual: items as u64 });
    }
    Ok(())
}

/// A title: 1 to 255 characters.
///
/// # Errors
/// The broken rule.
pub fn title(text: &str) -> Result<(), Rule> {
    characters(text, 1, 255)
}

/// A text to search for: at least one character.
///
/// # Errors
/// The broken rule.
pub fn search(text: &str) -> Result<(), Rule> {
    if text.is_empty() { Err(Rule::StringTooShort(1)) } else { no_nul(text) }
}

/// A source: at most 512 characters.
///
/// # Errors
/// The broken rule.
pub fn source(text: &str) -> Result<(), Rule> {
    characters(text, 0, 512)
}

/// A model's name: at most 100 characters.
///
/// # Errors
/// The broken rule.
pub fn model(text: &str) -> Result<(), Rule> {
    characters(text, 0, 100)
}

/// A chunk's text: at least one character, at most the configured bytes.
///
/// # Errors
/// The broken rule.
pub fn text(text: &str, limits: &Limits) -> Result<(), Rule> {
    if text.is_empty() {
        return Err(Rule::StringTooShort(1));
    }
    if text.len() > limits.text_bytes {
        return sentence(format!("must not be larger than {} bytes", limits.text_bytes));
    }
    no_nul(text)
}

/// A place in reading order: 0 to 2,147,483,647.
///
/// # Errors
/// The broken rule.
pub const fn chunk_index(index: i64) -> Result<(), Rule> {
    if index < 0 {
        return Err(Rule::GreaterThanEqual(0));
    }
    if index > MAX_CHUNK_INDEX { Err(Rule::LessThanEqual(MAX_CHUNK_INDEX)) } else { Ok(()) }
}

/// An id of a document, a chunk or a job: 1 to 512 bytes without control characters.
///
/// # Errors
/// The broken rule.
pub fn id(text: &str) -> Result<(), Rule> {
    if text.is_empty() {
        return Err(Rule::StringTooShort(1));
    }
    if text.len() > 512 {
        return sentence("must not be longer than 512 bytes");
    }
    if text.chars().any(char::is_control) { sentence("must not contain control characters") } else { Ok(()) }
}

/// An id of an embedding or a record: as [`id`], and ASCII, because the index takes no other.
///
/// # Errors
/// The broken rule.
pub fn ascii_id(text: &str) -> Result<(), Rule> {
    id(text)?;
    if text.is_ascii() { Ok(()) } else { sentence("must be ASCII") }
}

/// A key that makes a request repeatable: 1 to 255 characters, as [`id`] otherwise.
///
/// # Errors
/// The broken rule.
pub fn idempotency_key(text: &str) -> Result<(), Rule> {
    id(text)?;
    if text.chars().count() <= 255 { Ok(()) } else { Err(Rule::StringTooLong(255)) }
}

/// A namespace: as [`ascii_id`]; the index's names for its unnamed one are refused.
///
/// # Errors
/// The broken rule.
pub fn namespace(text: &str) -> Result<(), Rule> {
    ascii_id(text)?;
    if text == "__default__" { sentence("must not be __default__") } else { Ok(()) }
}

/// A vector: 1 to the configured count of numbers, each finite. (A number beyond f32 is infinite as f32.)
///
/// # Errors
/// The broken rule.
pub fn vector(numbers: &[f32], limits: &Limits) -> Result<(), Rule> {
    if numbers.is_empty() {
        return Err(Rule::TooShort { min: 1, actual: 0 });
    }
    if numbers.len() > limits.dimension {
        return Err(Rule::TooLong { max: limits.dimension as u64, actual: numbers.len() as u64 });
    }
    if numbers.iter().all(|number| number.is_finite()) { Ok(()) } else { Err(Rule::FiniteNumber) }
}

/// Metadata: an object whose keys do not start with `_cd_` or `$`, without U+0000, of the configured size at most.
///
/// # Errors
/// The broken rule.
pub fn metadata(value: &Json, limits: &Limits) -> Result<(), Rule> {
    let Json::Object(entries) = value else { return Err(Rule::DictType) };
    for (key, _) in entries {
        if key.starts_with("_cd_") || key.starts_with('$') {
            return sentence("keys starting with _cd_ or $ are reserved");
        }
    }
    storable(value)?;
    metadata_size(&value.to_string(), limits)
}

/// Metadata as text: of the configured size at most.
///
/// # Errors
/// The broken rule.
fn metadata_size(text: &str, limits: &Limits) -> Result<(), Rule> {
    if text.len() > limits.metadata_bytes {
        return sentence(format!("must not be larger than {} bytes", limits.metadata_bytes));
    }
    Ok(())
}

/// No U+0000 in any string, no number that is not finite (as f64), and no `$serde_json::` key at any depth
/// (async-graphql would read it as raw JSON).
fn storable(value: &Json) -> Result<(), Rule> {
    match value {
        Json::Null | Json::Bool(_) => Ok(()),
        Json::Number(digits) => {
            if digits.parse::<f64>().is_ok_and(f64::is_finite) {
                Ok(())
            } else {
                Err(Rule::FiniteNumber)
            }
        }
        Json::String(text) => no_nul(text),
        Json::Array(items) => items.iter().try_for_each(storable),
        Json::Object(entries) => entries.iter().try_for_each(|(key, value)| {
            if key.starts_with("$serde_json::") {
                return sentence("keys starting with $serde_json:: are reserved");
            }
            no_nul(key)?;
            storable(value)
        }),
    }
}

/// Stored metadata after a patch; its size is that of the result, unless nothing changes.
///
/// # Errors
/// [`crate::error::Error::Invalid`] when the result is too large.
pub fn patched_metadata(
    stored: Option<&String>,
    patch: &Patch<Json>,
    mode: MetadataMode,
    limits: &Limits,
) -> crate::error::Result<Option<String>> {
    let text = match (patch, mode) {
        (Patch::Keep, _) => return Ok(stored.cloned()),
        (Patch::Clear, _) => "{}".to_owned(),
        (Patch::Set(given), MetadataMode::Replace) => given.to_string(),
        (Patch::Set(given), MetadataMode::Merge) => merge_metadata(stored.map(String::as_str), given).to_string(),
    };
    if stored != Some(&text) {
        metadata_size(&text, limits).map_err(|rule| crate::error::Error::invalid("metadata", rule))?;
    }
    Ok(Some(text))
}

/// `given` over `stored` key by key; stored keys keep their places, new ones follow.
#[must_use]
pub fn merge_metadata(stored: Option<&str>, given: &Json) -> Json {
    let stored = stored.and_then(|text| Json::parse(text.as_bytes(), crate::json::Literals::Python).ok());
    match (stored, given) {
        (Some(Json::Object(mut entries)), Json::Object(given)) => {
            let places: HashMap<String, usize> =
                entries.iter().enumerate().map(|(place, (key, _))| (key.clone(), place)).collect();
            for (key, value) in given {
                match places.get(key) {
                    Some(&place) => entries[place].1 = value.clone(),
                    None => entries.push((key.clone(), value.clone())),
                }
            }
            Json::Object(entries)
        }
        (_, given) => given.clone(),
    }
}
