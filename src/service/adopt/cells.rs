//! The rules of single values: times, vectors and metadata as Python wrote them.

use chrono::DateTime;
use chrono::NaiveDateTime;

use crate::json::Json;
use crate::json::Literals;
use crate::store::seed::Cell;
use crate::store::seed::Row;

/// The text of a cell; nothing is empty.
pub(super) fn plain(cell: &Cell) -> String {
    match cell {
        Cell::Null => String::new(),
        Cell::Text(text) | Cell::Broken(text) => text.clone(),
    }
}

/// The vector ids an embedding asks for, the best first: the client's, its own.
pub(super) fn vector_ids(row: &Row) -> Vec<String> {
    let mut ids = vec![plain(row.cell(4)), plain(row.cell(0))];
    ids.retain(|id| !id.is_empty());
    ids
}

/// Microseconds since 1970 of a naive UTC time, or of one with a zone.
pub(super) fn time(text: &str) -> Option<i64> {
    let text = text.trim();
    for format in ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f"] {
        if let Ok(time) = NaiveDateTime::parse_from_str(text, format) {
            return Some(time.and_utc().timestamp_micros());
        }
    }
    DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp_micros())
}

/// The numbers of a vector, or why there are none.
pub(super) fn vector(cell: &Cell, most: usize) -> Result<Vec<f32>, String> {
    let text = match cell {
        Cell::Null => return Err("its vector is null".to_owned()),
        Cell::Text(text) | Cell::Broken(text) => text,
    };
    let items = match Json::parse(text.as_bytes(), Literals::Python) {
        Ok(Json::Array(items)) => items,
        Ok(Json::Null) => return Err("its vector is a JSON null".to_owned()),
        Ok(Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Object(_)) => {
            return Err("its vector is no list".to_owned());
        }
        Err(error) => return Err(format!("its vector is no JSON: {error}")),
    };
    if items.is_empty() {
        return Err("its vector is empty".to_owned());
    }
    if items.len() > most {
        return Err(format!("its vector has {} numbers, more than {most}", items.len()));
    }
    let mut numbers = Vec::with_capacity(items.len());
    for (place, item) in items.iter().enumerate() {
        let Json::Number(digits) = item else { return Err(format!("number {place} of its vector is none: {item}")) };
        // Python held the number as f64.
        #[expect(clippy::cast_possible_truncation, reason = "a vector holds f32")]
        let number = digits.parse::<f64>().unwrap_or(f64::NAN) as f32;
        if !number.is_finite() {
            return Err(format!("number {place} of its vector is not finite: {digits}"));
        }
        numbers.push(number);
    }
    Ok(numbers)
}

/// Metadata as the text of a JSON object, and what had to be changed for that.
pub(super) fn metadata(cell: &Cell) -> (Option<String>, Vec<String>) {
    let mut changes = Vec::new();
    let text = match cell {
        Cell::Null => return (None, changes),
        Cell::Text(text) => text.as_str(),
        Cell::Broken(text) => {
            changes.push("its metadata is no UTF-8: what cannot be read became U+FFFD".to_owned());
            text
        }
    };
    let object = match Json::parse(text.as_bytes(), Literals::Python) {
        Ok(Json::Null) => return (None, changes),
        Ok(Json::Object(entries)) => Json::Object(entries),
        Ok(other) => {
            changes.push("its metadata is no object: it is kept under the key \"metadata\"".to_owned());
            Json::Object(vec![("metadata".to_owned(), other)])
        }
        Err(error) => {
            changes.push(format!("its metadata is no JSON ({error}): its text is kept under the key \"metadata\""));
            Json::Object(vec![("metadata".to_owned(), Json::String(text.to_owned()))])
        }
    };
    let object = storable(object, true, &mut changes);
    (Some(object.to_string()), changes)
}

/// The value without what JSON or the corpus has no place for.
fn storable(value: Json, top: bool, changes: &mut Vec<String>) -> Json {
    match value {
        Json::Number(word) if matches!(word.as_str(), "NaN" | "Infinity" | "-Infinity") => {
            changes.push(format!("the number {word} in its metadata, which JSON does not have, became a string"));
            Json::String(word)
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => value,
        Json::Array(items) => Json::Array(items.into_iter().map(|item| storable(item, false, changes)).collect()),
        Json::Object(entries) => {
            let kept = |key: &str| {
                let reserved =
                    (top && (key.starts_with("_cd_") || key.starts_with('$'))) || key.starts_with("$serde_json::");
                if reserved { format!("x{key}") } else { key.to_owned() }
            };
            let mut named: Vec<(String, Json)> = Vec::with_capacity(entries.len());
            for (key, value) in entries {
                let mut name = kept(&key);
                if name != key {
                    while named.iter().any(|(other, _)| *other == name) {
                        name.insert(0, 'x');
                    }
                    changes.push(format!("the reserved key {key:?} of its metadata became {name:?}"));
                }
                named.push((name, storable(value, false, changes)));
            }
            Json::Object(named)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Cell {
        Cell::Text(text.to_owned())
    }

    #[test]
    fn times_are_read_in_every_form_the_old_tables_hold() {
        for (text, us) in [
            ("2025-11-13 09:30:00.250011", 1_763_026_200_250_011),
            ("2025-11-13 09:30:00", 1_763_026_200_000_000),
            ("2025-11-13T09:30:00.5", 1_763_026_200_500_000),
            ("2025-11-13T10:30:00+01:00", 1_763_026_200_000_000),
            ("1969-12-31 23:59:59.999999", -1),
        ] {
            assert_eq!(time(text), Some(us), "{text}");
        }
        for wrong in ["", "yesterday", "2025-13-01 00:00:00", "1763026200", "infinity"] {
            assert_eq!(time(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_vector_is_finite_numbers_or_a_reason() {
        assert_eq!(vector(&text("[0, -1, 1e-07, 0.30000000000000004]"), 4), Ok(vec![0.0, -1.0, 1e-7, 0.3]));
        for (cell, reason) in [
            (Cell::Null, "its vector is null"),
            (text("null"), "its vector is a JSON null"),
            (text("[]"), "its vector is empty"),
            (text("[1, NaN]"), "number 1 of its vector is not finite: NaN"),
            (text("[1e39]"), "number 0 of its vector is not finite: 1e39"),
            (text("[\"1\"]"), "number 0 of its vector is none: \"1\""),
            (text("{}"), "its vector is no list"),
            (text("[1,2,3,4,5]"), "its vector has 5 numbers, more than 4"),
            (text("[1"), "its vector is no JSON: Expecting ',' delimiter at offset 2"),
        ] {
            assert_eq!(vector(&cell, 4), Err(reason.to_owned()));
        }
    }

    #[test]
    fn metadata_keeps_its_digits_and_order_and_says_what_it_lost() {
        for (given, kept, changes) in [
            (
                r#"{"b": 12345678901234567890, "a": [1e+300, -0.0]}"#,
                r#"{"b":12345678901234567890,"a":[1e+300,-0.0]}"#,
                0,
            ),
            (r#"{"x": NaN, "y": {"z": -Infinity}}"#, r#"{"x":"NaN","y":{"z":"-Infinity"}}"#, 2),
            (r#"{"_cd_rev": 1, "$a": 2, "n": {"$a": 1}}"#, r#"{"x_cd_rev":1,"x$a":2,"n":{"$a":1}}"#, 2),
            (r#"{"a": {"$serde_json::private::RawValue": 1}}"#, r#"{"a":{"x$serde_json::private::RawValue":1}}"#, 1),
            ("[1]", r#"{"metadata":[1]}"#, 1),
            ("{broken", r#"{"metadata":"{broken"}"#, 1),
        ] {
            let (metadata, notes) = metadata(&text(given));
            assert_eq!((metadata.as_deref(), notes.len()), (Some(kept), changes), "{given}");
        }
        assert_eq!(metadata(&Cell::Null), (None, vec![]));
        assert_eq!(metadata(&text("null")), (None, vec![]));
    }
}
