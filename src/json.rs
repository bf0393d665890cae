//! JSON as it was written.
//!
//! A tree that keeps the order of keys and the digits of every number, because
//! metadata must come back as it went in (20-digit integers included) and because
//! an error has to name the field or the offset it is about. Of a key that
//! appears twice the last value counts, at the place of the first, as in Python.
//! Numbers are text here: whoever needs a value parses it and names its bounds.

pub mod envelope;

use std::fmt;
use std::fmt::Write as _;

/// How deep arrays and objects may nest.
pub const MAX_DEPTH: usize = 128;

/// One JSON value.
#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, digit for digit; with [`Literals::Python`] also `NaN`, `Infinity`, `-Infinity`.
    Number(String),
    /// A string, unescaped.
    String(String),
    /// An array.
    Array(Vec<Json>),
    /// An object, keys in their order, each once.
    Object(Vec<(String, Json)>),
}

/// Which bare words are values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Literals {
    /// RFC 8259.
    Strict,
    /// Also `NaN`, `Infinity` and `-Infinity`, as Python's `json` writes and reads them.
    Python,
}

/// Why a text is not JSON, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonError {
    /// Byte offset into the text.
    pub offset: usize,
    /// What was expected or refused.
    pub reason: &'static str,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Python's own wording of some reasons ends with the word.
        write!(f, "{} at offset {}", self.reason.trim_end_matches(" at"), self.offset)
    }
}

/// Makes values of another kind from the same reading, without a [`Json`] in between.
pub trait Build {
    /// What is made.
    type Value;
    /// What one object's entries gather in.
    type Entries: Default;

    /// `null`
    fn null(&self) -> Self::Value;
    /// `true` or `false`
    fn bool(&self, value: bool) -> Self::Value;
    /// A number, or why it is refused.
    ///
    /// # Errors
    /// The reason.
    fn number(&self, digits: &str) -> Result<Self::Value, &'static str>;
    /// A string, unescaped.
    fn string(&self, text: String) -> Self::Value;
    /// An array.
    fn array(&self, items: Vec<Self::Value>) -> Self::Value;
    /// One entry of an object; a key that came before keeps its place and takes the value.
    ///
    /// # Errors
    /// The reason for which the key is refused.
    fn entry(&self, entries: &mut Self::Entries, key: String, value: Self::Value) -> Result<(), &'static str>;
    /// An object.
    fn object(&self, entries: Self::Entries) -> Self::Value;
}

/// Reads one value that fills the whole text.
///
/// # Errors
/// As [`Json::parse`], and what `builder` refuses, with the offset behind it.
pub fn build<B: Build>(text: &[u8], literals: Literals, builder: &B) -> Result<B::Value, JsonError> {
    let mut reader = Reader { text, at: 0, literals, builder };
    reader.space();
    let value = reader.value(0)?;
    reader.space();
    if reader.at < text.len() { Err(reader.error("Extra data")) } else { Ok(value) }
}

/// Builds [`Json`].
struct Tree;

/// Up to how many entries an object is looked through for a key that came before.
const FEW: usize = 16;

/// The entries of an object under way; only large objects need the index to find a key that came before.
#[derive(Default)]
struct TreeEntries {
    entries: Vec<(String, Json)>,
    seen: std::collections::HashMap<String, usize>,
}

impl TreeEntries {
    /// Where the key stands; one that is new will stand at the end.
    fn place(&mut self, key: &str) -> Option<usize> {
        if self.entries.len() < FEW {
            return self.entries.iter().position(|(name, _)| name == key);
        }
        if self.seen.is_empty() {
            self.seen.extend(self.entries.iter().map(|(name, _)| name.clone()).zip(0..));
        }
        let found = self.seen.get(key).copied();
        if found.is_none() {
            self.seen.insert(key.to_owned(), self.entries.len());
        }
        found
    }
}

impl Build for Tree {
    type Value = Json;
    type Entries = TreeEntries;

    fn null(&self) -> Json {
        Json::Null
    }

    fn bool(&self, value: bool) -> Json {
        Json::Bool(value)
    }

    fn number(&self, digits: &str) -> Result<Json, &'static str> {
        Ok(Json::Number(digits.to_owned()))
    }

    fn string(&self, text: String) -> Json {
        Json::String(text)
    }

    fn array(&self, items: Vec<Json>) -> Json {
        Json::Array(items)
    }

    fn entry(&self, object: &mut TreeEntries, key: String, value: Json) -> Result<(), &'static str> {
        match object.place(&key) {
            Some(place) => object.entries[place].1 = value,
            None => object.entries.push((key, value)),
        }
        Ok(())
    }

    fn object(&self, entries: TreeEntries) -> Json {
        Json::Object(entries.entries)
    }
}

impl Json {
    /// Reads one value that fills the whole text.
    ///
    /// # Errors
    /// The offset and the reason, when the text is no JSON, nests deeper than
    /// [`MAX_DEPTH`], or holds half of a surrogate pair.
    pub fn parse(text: &[u8], literals: Literals) -> Result<Self, JsonError> {
        build(text, literals, &Tree)
    }

    /// The value under `key`, when this is an object that has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Object(entries) => entries.iter().find(|(name, _)| name == key).map(|(_, value)| value),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::String(_) | Self::Array(_) => None,
        }
    }

    /// The text of a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Array(_) | Self::Object(_) => None,
        }
    }

    /// Compact JSON: no spaces, non-ASCII unescaped, numbers digit for digit.
    pub fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(true) => out.push_str("true"),
            Self::Bool(false) => out.push_str("false"),
            Self::Number(digits) => out.push_str(digits),
            Self::String(text) => write_string(text, out),
            Self::Array(items) => {
                out.push('[');
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    item.write(out);
                }
                out.push(']');
            }
            Self::Object(entries) => {
                out.push('{');
                for (i, (key, value)) in entries.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    write_string(key, out);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

/// Whether these are the digits of a whole number that a 64-bit float does not hold for certain: beyond 2^53.
#[must_use]
pub fn is_beyond_f64(digits: &str) -> bool {
    const LARGEST: u64 = 1 << 53;
    let whole = digits.strip_prefix('-').unwrap_or(digits);
    whole.bytes().all(|byte| byte.is_ascii_digit()) && whole.parse::<u64>().map_or(true, |number| number > LARGEST)
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        self.write(&mut out);
        f.write_str(&out)
    }
}

/// Writes `text` as a JSON string, quotes included.
pub fn write_string(text: &str, out: &mut String) {
    out.push('"');
    let mut clean = 0;
    for (i, byte) in text.bytes().enumerate() {
        let short = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0x08 => "\\b",
            0x0c => "\\f",
            0..0x20 => "",
            _ => continue,
        };
        out.push_str(&text[clean..i]);
        clean = i + 1;
        if short.is_empty() {
            // A `String` takes every write.
            let _ = write!(out, "\\u{byte:04x}");
        } else {
            out.push_str(short);
        }
    }
    out.push_str(&text[clean..]);
    out.push('"');
}

struct Reader<'a, B> {
    text: &'a [u8],
    at: usize,
    literals: Literals,
    builder: &'a B,
}

impl<B: Build> Reader<'_, B> {
    fn error(&self, reason: &'static str) -> JsonError {
        JsonError { offset: self.at, reason }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn word(&mut self, word: &str) -> bool {
        let found = self.text[self.at..].starts_with(word.as_bytes());
        if found {
            self.at += word.len();
        }
        found
    }

    fn value(&mut self, depth: usize) -> Result<B::Value, JsonError> {
        match self.peek() {
            Some(b'{' | b'[') if depth >= MAX_DEPTH => Err(self.error("Nested too deep")),
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => self.string().map(|text| self.builder.string(text)),
            Some(b'-' | b'0'..=b'9') => {
                if self.literals == Literals::Python && self.word("-Infinity") {
                    return self.builder.number("-Infinity").map_err(|reason| self.error(reason));
                }
                self.number()
            }
            Some(_) => self.literal(),
            None => Err(self.error("Expecting value")),
        }
    }

    fn literal(&mut self) -> Result<B::Value, JsonError> {
        if self.word("true") {
            return Ok(self.builder.bool(true));
        }
        if self.word("false") {
            return Ok(self.builder.bool(false));
        }
        if self.word("null") {
            return Ok(self.builder.null());
        }
        if self.literals == Literals::Python {
            for word in ["NaN", "Infinity"] {
                if self.word(word) {
                    return self.builder.number(word).map_err(|reason| self.error(reason));
                }
            }
        }
        Err(self.error("Expecting value"))
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start { Err(self.error("Expecting a digit")) } else { Ok(()) }
    }

    fn number(&mut self) -> Result<B::Value, JsonError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        // Only ASCII was passed over.
        let digits = std::str::from_utf8(&self.text[start..self.at]).unwrap_or_default();
        self.builder.number(digits).map_err(|reason| JsonError { offset: start, reason })
    }

    fn string(&mut self) -> Result<String, JsonError> {
        let open = self.at;
        self.at += 1;
        let mut out = String::new();
        loop {
            let start = self.at;
            while matches!(self.peek(), Some(byte) if byte != b'"' && byte != b'\\' && byte >= 0x20) {
                self.at += 1;
            }
            match std::str::from_utf8(&self.text[start..self.at]) {
                Ok(part) => out.push_str(part),
                Err(error) => {
                    self.at = start + error.valid_up_to();
                    return Err(self.error("Invalid UTF-8"));
                }
            }
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => out.push(self.escape()?),
                Some(_) => return Err(self.error("Invalid control character at")),
                None => return Err(JsonError { offset: open, reason: "Unterminated string starting at" }),
            }
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        let start = self.at;
        self.at += 2;
        let plain = match self.text.get(start + 1) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let mut code = self.hex()?;
                if (0xd800..0xdc00).contains(&code) && self.word("\\u") {
                    let low = self.hex()?;
                    if (0xdc00..0xe000).contains(&low) {
                        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
                    }
                }
                return char::from_u32(code).ok_or(JsonError { offset: start, reason: "Lone surrogate" });
            }
            _ => return Err(JsonError { offset: start, reason: "Invalid \\escape" }),
        };
        Ok(plain)
    }

    fn hex(&mut self) -> Result<u32, JsonError> {
        let error = JsonError { offset: self.at - 1, reason: "Invalid \\uXXXX escape" };
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            code = code * 16 + digit.ok_or_else(|| error.clone())?;
            self.at += 1;
        }
        Ok(code)
    }

    fn array(&mut self, depth: usize) -> Result<B::Value, JsonError> {
        self.at += 1;
        let mut items = Vec::new();
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(self.builder.array(items));
        }
        loop {
            self.space();
            items.push(self.value(depth + 1)?);
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(self.builder.array(items));
                }
                _ => return Err(self.error("Expecting ',' delimiter")),
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<B::Value, JsonError> {
        self.at += 1;
        let mut entries = B::Entries::default();
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(self.builder.object(entries));
        }
        loop {
            self.space();
            if self.peek() != Some(b'"') {
                return Err(self.error("Expecting property name enclosed in double quotes"));
            }
            let key = self.string()?;
            self.space();
            if self.peek() != Some(b':') {
                return Err(self.error("Expecting ':' delimiter"));
            }
            self.at += 1;
            self.space();
            let value = self.value(depth + 1)?;
            self.builder.entry(&mut entries, key, value).map_err(|reason| self.error(reason))?;
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(self.builder.object(entries));
                }
                _ => return Err(self.error("Expecting ',' delimiter")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_beyond_2_to_the_53_are_told_apart() {
        for digits in ["9007199254740993", "-9007199254740993", "123456789012345678901", "18446744073709551616"] {
            assert!(is_beyond_f64(digits), "{digits}");
        }
        for digits in ["0", "-7", "9007199254740992", "-9007199254740992", "1.5", "1e300", "9007199254740993.5"] {
            assert!(!is_beyond_f64(digits), "{digits}");
        }
    }

    fn parse(text: &str) -> Result<String, JsonError> {
        Json::parse(text.as_bytes(), Literals::Strict).map(|value| value.to_string())
    }

    #[test]
    fn a_value_comes_back_as_it_was_written() {
        for (text, back) in [
            (
                r#"{"b": 123456789012345678901234567890, "a": 1e-07}"#,
                r#"{"b":123456789012345678901234567890,"a":1e-07}"#,
            ),
            (r#"[ ]"#, "[]"),
            (r#"{"a":1,"b":2,"a":{"x":[true,false,null]}}"#, r#"{"a":{"x":[true,false,null]},"b":2}"#),
            (r#""\ud83d\ude00 \u00e9 \u0000 \/""#, "\"😀 é \\u0000 /\""),
        ] {
            assert_eq!(parse(text).as_deref(), Ok(back));
        }
    }

    #[test]
    fn what_is_no_json_is_refused_with_its_offset() {
        for (text, offset) in [
            ("", 0),
            ("{", 1),
            ("[1,]", 3),
            ("01", 1),
            ("1.", 2),
            ("\"\\ud800\"", 1),
            ("\"\\ud800\\u0041\"", 1),
            ("NaN", 0),
            ("\"a\nb\"", 2),
            ("{\"a\" 1}", 5),
            ("[1] x", 4),
            ("-", 1),
            ("\"\\u12g4\"", 2),
            ("nul", 0),
        ] {
            assert_eq!(parse(text).map_err(|error| error.offset), Err(offset), "{text}");
        }
        assert_eq!(Json::parse(b"\"\xff\"", Literals::Strict).map_err(|error| error.offset), Err(1));
        let deep = "[".repeat(1000);
        assert_eq!(parse(&deep).map_err(|error| error.reason), Err("Nested too deep"));
    }

    #[test]
    fn python_words_are_values_only_when_asked_for() {
        let read = Json::parse(b"[NaN, Infinity, -Infinity]", Literals::Python).map(|value| value.to_string());
        assert_eq!(read.as_deref(), Ok("[NaN,Infinity,-Infinity]"));
        assert!(parse("[-Infinity]").is_err());
    }
}
