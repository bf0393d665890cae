//! What a record carries: metadata made from the rows, and the hash that tells one payload from another.
//!
//! Pure. The same rows make the same bytes on every machine: keys are sorted, and
//! nothing of the moment is hashed (`_cd_rev` and `_cd_hash` are added afterwards).

use std::collections::BTreeMap;

use xxhash_rust::xxh3::Xxh3Default;

use crate::clock::naive_iso;
use crate::json::Json;
use crate::json::Literals;
use crate::json::is_beyond_f64;
use crate::json::write_string;
use crate::store::record::Rows;
use crate::sync::preflight::Refusal;

/// Grows when the same rows make another record than before: everything is sent again.
const FORMAT: u8 = 1;
/// Room for `_cd_rev` and `_cd_hash`, which the hash itself does not cover.
const LABELS: usize = 100;
/// The key that says that `text` is not the whole text.
const CUT: &str = "_cd_text_cut";

/// The payload of a record that should not be there.
pub const ABSENT: &str = "absent";

/// A record's metadata and hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// Sorted, flat, without labels.
    canonical: String,
    /// 32 hexadecimal digits.
    pub hash: String,
}

impl Payload {
    /// The metadata as it is sent, labelled with the revision of the slot.
    #[must_use]
    pub fn metadata(&self, want_rev: i64) -> String {
        let open = self.canonical.strip_suffix('}').unwrap_or(&self.canonical);
        format!("{open},\"_cd_hash\":\"{}\",\"_cd_rev\":{want_rev}}}", self.hash)
    }
}

/// Makes the payload of a record, at most `limit` bytes of metadata.
///
/// # Errors
/// `metadata_type` for a value no index takes, `metadata_too_large` when it is too large without the text.
pub fn payload(rows: &Rows, corpus: &str, limit: usize) -> Result<Payload, Refusal> {
    let mut entries = BTreeMap::new();
    for text in [rows.chunk_metadata.as_deref(), rows.document_metadata.as_deref()] {
        add_user_metadata(&mut entries, text)?;
    }
    let string = |text: &str| Json::String(text.to_owned());
    for (key, value) in [
        ("embedding_id", string(&rows.embedding_id)),
        ("chunk_id", string(&rows.chunk_id)),
        ("document_id", string(&rows.document_id)),
        ("document_title", string(&rows.title)),
        ("document_source", string(rows.source.as_deref().unwrap_or_default())),
        ("chunk_index", Json::Number(rows.chunk_index.to_string())),
        ("created_at", string(&naive_iso(rows.chunk_created_at))),
        ("_cd_doc", string(&rows.document_id)),
        ("_cd_corpus", string(corpus)),
    ] {
        put(&mut entries, key, value);
    }
    put(&mut entries, "text", string(""));
    let rest = text_of(&entries).len() + LABELS;
    let room = limit.checked_sub(rest).ok_or_else(|| {
        Refusal::new("metadata_too_large", format!("metadata has {rest} bytes without the text; {limit} are taken"))
    })?;
    let fits = escaped_prefix(&rows.text, room);
    if fits < rows.text.len() || rows.text_cut {
        let room = room.saturating_sub(CUT.len() + "\"\":true,".len());
        put(&mut entries, "text", string(&rows.text[..escaped_prefix(&rows.text, room)]));
        put(&mut entries, CUT, Json::Bool(true));
    } else {
        put(&mut entries, "text", string(&rows.text));
    }
    let canonical = text_of(&entries);
    Ok(Payload { hash: hash(&rows.vector, &canonical), canonical })
}

fn hash(vector: &[u8], canonical: &str) -> String {
    let mut hasher = Xxh3Default::new();
    hasher.update(&[FORMAT]);
    hasher.update(&(vector.len() as u64).to_le_bytes());
    hasher.update(vector);
    hasher.update(canonical.as_bytes());
    format!("{:032x}", hasher.digest128())
}

fn put(entries: &mut BTreeMap<String, Json>, key: &str, value: Json) {
    entries.insert(key.to_owned(), value);
}

/// The object of these entries, keys sorted.
fn text_of(entries: &BTreeMap<String, Json>) -> String {
    let mut out = String::from("{");
    for (key, value) in entries {
        if out.len() > 1 {
            out.push(',');
        }
        write_string(key, &mut out);
        out.push(':');
        value.write(&mut out);
    }
    out.push('}');
    out
}

/// Adds one level of user metadata: the later one wins, and ours over both.
fn add_user_metadata(entries: &mut BTreeMap<String, Json>, text: Option<&str>) -> Result<(), Refusal> {
    let Some(text) = text else { return Ok(()) };
    let parsed = Json::parse(text.as_bytes(), Literals::Python)
        .map_err(|error| Refusal::new("metadata_type", format!("metadata is no JSON: {error}")))?;
    let Json::Object(given) = parsed else { return Ok(()) };
    for (key, value) in given {
        // An adopted row may have keys that the API refuses.
        if key.starts_with("_cd_") || key.starts_with('$') {
            continue;
        }
        let value = match value {
            // A null over a value takes the value away.
            Json::Null => {
                entries.remove(&key);
                continue;
            }
            Json::Number(digits) if !digits.parse::<f64>().is_ok_and(f64::is_finite) => {
                return Err(Refusal::new("metadata_type", format!("{key}: {digits} is not a number an index takes")));
            }
            // An index keeps numbers as 64-bit floats; what would not come back as it was travels as text.
            Json::Number(digits) if is_beyond_f64(&digits) => Json::String(digits),
            Json::Bool(_) | Json::Number(_) | Json::String(_) => value,
            Json::Array(ref items) if items.iter().all(|item| item.as_str().is_some()) => value,
            Json::Array(_) | Json::Object(_) => Json::String(value.to_string()),
        };
        put(entries, &key, value);
    }
    Ok(())
}

/// How many bytes of `text` make at most `room` bytes inside a JSON string, cut between characters.
fn escaped_prefix(text: &str, room: usize) -> usize {
    if text.len() * 6 <= room {
        return text.len();
    }
    let mut used = 0;
    let mut one = String::new();
    for (at, letter) in text.char_indices() {
        one.clear();
        write_string(letter.encode_utf8(&mut [0; 4]), &mut one);
        used += one.len() - 2;
        if used > room {
            return at;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Rows {
        Rows {
            embedding_id: "e".to_owned(),
            vector: vec![0, 0, 128, 63],
            chunk_id: "c".to_owned(),
            text: "Text".to_owned(),
            document_id: "d".to_owned(),
            title: "Title".to_owned(),
            ..Rows::default()
        }
    }

    #[test]
    fn reserved_keys_win_nulls_go_and_nested_values_and_long_numbers_become_text() {
        let rows = Rows {
            chunk_metadata: Some(
                r#"{"a":1,"text":"forged","n":{"x":[1]},"gone":1,"l":["p","q"],"m":["p",1]}"#.to_owned(),
            ),
            document_metadata: Some(r#"{"a":123456789012345678901,"gone":null,"document_id":"forged"}"#.to_owned()),
            ..rows()
        };
        let payload = payload(&rows, "corpus", 40_960).unwrap();
        assert_eq!(
            payload.metadata(7),
            format!(
                r#"{{"_cd_corpus":"corpus","_cd_doc":"d","a":"123456789012345678901","chunk_id":"c","chunk_index":0,"created_at":"1970-01-01T00:00:00","document_id":"d","document_source":"","document_title":"Title","embedding_id":"e","l":["p","q"],"m":"[\"p\",1]","n":"{{\"x\":[1]}}","text":"Text","_cd_hash":"{}","_cd_rev":7}}"#,
                payload.hash
            )
        );
    }

    #[test]
    fn the_hash_tells_vector_and_metadata_but_not_the_revision() {
        let one = payload(&rows(), "corpus", 40_960).unwrap();
        assert_eq!(one.hash, payload(&rows(), "corpus", 40_960).unwrap().hash);
        let other = Rows { vector: vec![0, 0, 0, 64], ..rows() };
        assert_ne!(one.hash, payload(&other, "corpus", 40_960).unwrap().hash);
        let other = Rows { title: "Another".to_owned(), ..rows() };
        assert_ne!(one.hash, payload(&other, "corpus", 40_960).unwrap().hash);
    }

    #[test]
    fn a_long_text_is_cut_on_a_character_and_flagged() {
        let rows = Rows { text: "é\"".repeat(40_000), ..rows() };
        let payload = payload(&rows, "corpus", 4_096).unwrap();
        let metadata = payload.metadata(i64::MAX);
        assert!(metadata.len() <= 4_096 && metadata.len() > 4_050, "{}", metadata.len());
        let read: serde_json::Value = serde_json::from_str(&metadata).unwrap();
        assert_eq!(read["_cd_text_cut"], true);
        assert!(rows.text.starts_with(read["text"].as_str().unwrap()));
    }

    #[test]
    fn metadata_that_no_index_takes_is_refused_with_its_code() {
        let nan = Rows { chunk_metadata: Some("{\"a\":NaN}".to_owned()), ..rows() };
        assert_eq!(payload(&nan, "corpus", 4_096).unwrap_err().code, "metadata_type");
        let large = Rows { chunk_metadata: Some(format!("{{\"a\":\"{}\"}}", "x".repeat(5_000))), ..rows() };
        assert_eq!(payload(&large, "corpus", 4_096).unwrap_err().code, "metadata_too_large");
    }

    #[test]
    fn the_hash_of_the_same_rows_is_the_same_in_every_version() {
        // Another means that every record is sent again: let FORMAT grow, and tell of it.
        assert_eq!(payload(&rows(), "corpus", 40_960).unwrap().hash, "61a613c35167c51a1843cd3bba9ef5ed");
    }

    #[test]
    fn the_room_for_the_text_is_used_to_its_last_byte() {
        let bare = payload(&Rows { text: String::new(), ..rows() }, "corpus", 40_960).unwrap();
        let limit = bare.canonical.len() + LABELS + 50;
        let text = |text: String| {
            let made = payload(&Rows { text, ..rows() }, "corpus", limit).unwrap();
            let read: serde_json::Value = serde_json::from_str(&made.metadata(1)).unwrap();
            (read["text"].as_str().unwrap().to_owned(), read[CUT] == true)
        };
        // 20 bytes tell that it was cut.
        for (letter, whole, cut) in [("x", 50, 30), ("\"", 25, 15), ("€", 16, 10), ("\u{1}", 8, 5)] {
            assert_eq!(text(letter.repeat(whole)), (letter.repeat(whole), false), "{letter:?}");
            assert_eq!(text(letter.repeat(whole + 1)), (letter.repeat(cut), true), "{letter:?}");
        }
    }

    #[test]
    fn keys_that_only_an_adopted_row_can_have_are_left_out() {
        let rows = Rows { chunk_metadata: Some(r#"{"_cd_x":1,"$y":1,"_c":1,"z":1}"#.to_owned()), ..rows() };
        let metadata = payload(&rows, "corpus", 40_960).unwrap().metadata(1);
        let read: serde_json::Value = serde_json::from_str(&metadata).unwrap();
        assert_eq!(["_cd_x", "$y", "_c", "z"].map(|key| read.get(key).is_some()), [false, false, true, true]);
    }
}
