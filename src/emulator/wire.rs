//! Making and reading the JSON of the wire.
//!
//! Numbers of vectors go out from f32 in their shortest form, numbers of metadata as
//! f64 (`3` comes back as `3.0`), as the service does it.

use std::fmt;

use crate::emulator::refusal::Refusal;
use crate::json::Json;

/// An object of these entries.
pub fn object<const N: usize>(entries: [(&str, Json); N]) -> Json {
    Json::Object(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// A string.
pub fn text(text: impl Into<String>) -> Json {
    Json::String(text.into())
}

/// A whole number.
pub fn whole(number: impl fmt::Display) -> Json {
    Json::Number(number.to_string())
}

/// A number of a vector or a score.
pub fn single(number: f32) -> Json {
    Json::Number(format!("{number:?}"))
}

/// A number of metadata.
pub fn double(number: f64) -> Json {
    Json::Number(format!("{number:?}"))
}

/// A value as a message shows it: compact, and cut where it gets long.
pub fn shown(json: &Json) -> String {
    const SHOWN: usize = 80;
    let mut text = json.to_string();
    if let Some((cut, _)) = text.char_indices().nth(SHOWN) {
        text.truncate(cut);
        text.push('…');
    }
    text
}

/// The digits of a number.
pub fn digits(json: &Json) -> Option<&str> {
    match json {
        Json::Number(digits) => Some(digits),
        Json::Null | Json::Bool(_) | Json::String(_) | Json::Array(_) | Json::Object(_) => None,
    }
}

/// The value under `key`; a null is as good as none.
pub fn field<'a>(object: &'a Json, key: &str) -> Option<&'a Json> {
    object.get(key).filter(|value| **value != Json::Null)
}

/// The string under `key`.
///
/// # Errors
/// When it is no string.
pub fn string<'a>(object: &'a Json, key: &str) -> Result<Option<&'a str>, Refusal> {
    field(object, key).map(|value| value.as_str().ok_or_else(|| refused(key, value, "a string"))).transpose()
}

/// The boolean under `key`.
///
/// # Errors
/// When it is none.
pub fn boolean(object: &Json, key: &str) -> Result<Option<bool>, Refusal> {
    match field(object, key) {
        None => Ok(None),
        Some(Json::Bool(bool)) => Ok(Some(*bool)),
        Some(value) => Err(refused(key, value, "true or false")),
    }
}

/// The whole number under `key`; `5.0` is one.
///
/// # Errors
/// When it is none.
pub fn integer(object: &Json, key: &str) -> Result<Option<i64>, Refusal> {
    let Some(value) = field(object, key) else { return Ok(None) };
    let number = digits(value).and_then(|digits| digits.strip_suffix(".0").unwrap_or(digits).parse().ok());
    number.map(Some).ok_or_else(|| refused(key, value, "a whole number"))
}

/// The array under `key`.
///
/// # Errors
/// When it is none.
pub fn array<'a>(object: &'a Json, key: &str) -> Result<Option<&'a [Json]>, Refusal> {
    match field(object, key) {
        None => Ok(None),
        Some(Json::Array(items)) => Ok(Some(items)),
        Some(value) => Err(refused(key, value, "an array")),
    }
}

/// The strings of the array under `key`.
///
/// # Errors
/// When it is no array of strings.
pub fn strings(object: &Json, key: &str) -> Result<Option<Vec<String>>, Refusal> {
    let Some(items) = array(object, key)? else { return Ok(None) };
    let items = items.iter().enumerate().map(|(i, item)| {
        item.as_str().map(str::to_owned).ok_or_else(|| refused(&format!("{key}[{i}]"), item, "a string"))
    });
    items.collect::<Result<_, _>>().map(Some)
}

/// The numbers of an array, as f32.
///
/// # Errors
/// When one is no number, or beyond an f32.
pub fn singles(place: &str, items: &[Json]) -> Result<Vec<f32>, Refusal> {
    let items = items.iter().enumerate().map(|(i, item)| {
        let refused = || refused(&format!("{place}[{i}]"), item, "a number in the range of a 32-bit float");
        let Json::Number(digits) = item else { return Err(refused()) };
        digits.parse::<f32>().ok().filter(|number| number.is_finite()).ok_or_else(refused)
    });
    items.collect()
}

/// Says that what stands at `place` is not what has to stand there.
pub fn refused(place: &str, value: &Json, wanted: &str) -> Refusal {
    Refusal::invalid(format!("{place}: invalid value {}, expected {wanted}", shown(value)))
}
