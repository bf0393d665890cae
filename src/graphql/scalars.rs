//! The scalars: times, JSON as stored, vectors as one text.
//!
//! JSON and vectors leave through async-graphql's raw-value escape: an object with
//! one reserved key whose text is put into the answer as it is. Input that could
//! reach that escape is refused, here and in the service's rules.

use async_graphql::InputValueError;
use async_graphql::InputValueResult;
use async_graphql::Name;
use async_graphql::Number;
use async_graphql::Scalar;
use async_graphql::ScalarType;
use async_graphql::Value;
use async_graphql::indexmap::IndexMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::clock::rfc3339;
use crate::json;
use crate::json::Literals;
use crate::store::vector;

/// The key of the escape.
const RAW: &str = "$serde_json::private::RawValue";

/// `text`, valid JSON, as a value that is put into the answer as it is.
fn raw(text: String) -> Value {
    Value::Object(IndexMap::from([(Name::new(RAW), Value::String(text))]))
}

/// A time in RFC 3339. Written in UTC with `Z` and microseconds; read with any offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DateTime(pub i64);

impl DateTime {
    /// A time that is stored in milliseconds.
    #[must_use]
    pub const fn of_ms(ms: i64) -> Self {
        Self(ms.saturating_mul(1000))
    }
}

/// A time in RFC 3339. Written in UTC with `Z` and microseconds; read with any offset.
#[Scalar(name = "DateTime", specified_by_url = "https://scalars.graphql.org/andimarek/date-time")]
impl ScalarType for DateTime {
    fn parse(value: Value) -> InputValueResult<Self> {
        let Value::String(text) = &value else { return Err(InputValueError::expected_type(value)) };
        match chrono::DateTime::parse_from_rfc3339(text) {
            Ok(at) => Ok(Self(at.timestamp_micros())),
            Err(_) => Err(InputValueError::custom("not an RFC 3339 time with an offset")),
        }
    }

    fn is_valid(value: &Value) -> bool {
        Self::parse(value.clone()).is_ok()
    }

    fn to_value(&self) -> Value {
        Value::String(rfc3339(self.0))
    }
}

/// Any JSON object. Emitted as stored, with the order of its keys and the digits of its numbers.
#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    /// The text of a column; nothing there reads as `{}`.
    Stored(Option<String>),
    /// What a caller gave.
    Given(json::Json),
}

impl Json {
    /// What a caller gave.
    #[must_use]
    pub fn given(self) -> json::Json {
        match self {
            Self::Given(value) => value,
            Self::Stored(text) => text
                .and_then(|text| json::Json::parse(text.as_bytes(), Literals::Python).ok())
                .unwrap_or(json::Json::Object(Vec::new())),
        }
    }
}

/// Any JSON object. Emitted as stored, with the order of its keys and the digits of its numbers.
#[Scalar(name = "JSON", specified_by_url = "https://www.rfc-editor.org/rfc/rfc8259")]
impl ScalarType for Json {
    fn parse(value: Value) -> InputValueResult<Self> {
        if !matches!(value, Value::Object(_)) {
            return Err(InputValueError::custom("must be an object"));
        }
        Ok(Self::Given(tree(value).map_err(InputValueError::custom)?))
    }

    // Asked before `parse`, with the path of the field, which `parse` cannot name.
    fn is_valid(value: &Value) -> bool {
        matches!(value, Value::Object(_)) && fits(value)
    }

    fn to_value(&self) -> Value {
        let text = match self {
            Self::Stored(None) => return Value::Object(IndexMap::new()),
            Self::Stored(Some(text)) if text == "{}" => return Value::Object(IndexMap::new()),
            Self::Stored(Some(text)) => text.clone(),
            Self::Given(value) => value.to_string(),
        };
        // Rows of the older application may hold what only Python calls JSON.
        if text.contains("NaN") || text.contains("Infinity") {
            let mut value = json::Json::parse(text.as_bytes(), Literals::Python).unwrap_or(json::Json::Null);
            without_words(&mut value);
            return raw(value.to_string());
        }
        raw(text)
    }
}

fn without_words(value: &mut json::Json) {
    match value {
        json::Json::Number(digits) if digits.ends_with(['N', 'y']) => *value = json::Json::Null,
        json::Json::Array(items) => items.iter_mut().for_each(without_words),
        json::Json::Object(entries) => entries.iter_mut().for_each(|(_, value)| without_words(value)),
        json::Json::Null | json::Json::Bool(_) | json::Json::Number(_) | json::Json::String(_) => {}
    }
}

fn tree(value: Value) -> Result<json::Json, &'static str> {
    Ok(match value {
        Value::Null => json::Json::Null,
        Value::Boolean(yes) => json::Json::Bool(yes),
        Value::Number(number) => json::Json::Number(digits(&number)?),
        Value::String(text) => json::Json::String(text),
        Value::Enum(name) => json::Json::String(name.as_str().to_owned()),
        Value::Binary(_) => return Err("must not hold binary data"),
        Value::List(items) => json::Json::Array(items.into_iter().map(tree).collect::<Result<_, _>>()?),
        Value::Object(entries) => json::Json::Object(
            entries
                .into_iter()
                .map(|(key, value)| Ok((key.as_str().to_owned(), tree(value)?)))
                .collect::<Result<_, &'static str>>()?,
        ),
    })
}

/// Whether [`tree`] takes it.
fn fits(value: &Value) -> bool {
    match value {
        Value::Null | Value::Boolean(_) | Value::String(_) | Value::Enum(_) => true,
        Value::Number(number) => digits(number).is_ok(),
        Value::Binary(_) => false,
        Value::List(items) => items.iter().all(fits),
        Value::Object(entries) => entries.values().all(fits),
    }
}

/// Digits of a number that lost none on its way here.
fn digits(number: &Number) -> Result<String, &'static str> {
    if let Some(float) = number.as_f64().filter(|_| number.is_f64())
        && float.fract() == 0.0
        && float.abs() >= 9_223_372_036_854_775_808.0
    {
        return Err("whole numbers beyond 64 bits are not taken here, but over REST");
    }
    Ok(number.to_string())
}

/// A dense vector of f32. Written as a JSON array of finite numbers, or as a base64 string
/// of little-endian f32. Read as a JSON array whose numbers are the shortest text that
/// reads back to the same f32.
#[derive(Debug, Clone, PartialEq)]
pub enum Vector {
    /// The bytes of a column.
    Stored(Vec<u8>),
    /// What a caller gave; numbers beyond f32 are infinite and refused by the rules.
    Given(Vec<f32>),
}

impl Vector {
    /// The numbers.
    #[must_use]
    pub fn numbers(self) -> Vec<f32> {
        match self {
            Self::Stored(bytes) => vector::from_bytes(&bytes),
            Self::Given(numbers) => numbers,
        }
    }
}

/// A dense vector of f32. Written as a JSON array of finite numbers, or as a base64 string of little-endian f32.
/// Read as a JSON array whose numbers are the shortest text that reads back to the same f32.
#[Scalar(name = "Vector", specified_by_url = "https://www.rfc-editor.org/rfc/rfc8259")]
impl ScalarType for Vector {
    fn parse(value: Value) -> InputValueResult<Self> {
        match value {
            Value::List(items) => {
                let mut numbers = Vec::with_capacity(items.len());
                for (i, item) in items.iter().enumerate() {
                    let Value::Number(number) = item else {
                        return Err(InputValueError::custom(format!("item {i} is not a number")));
                    };
                    numbers.push(single(number));
                }
                Ok(Self::Given(numbers))
            }
            Value::String(text) => {
                let Ok(bytes) = STANDARD.decode(text.as_bytes()) else {
                    return Err(InputValueError::custom("not base64"));
                };
                if bytes.len() % 4 != 0 {
                    return Err(InputValueError::custom("not a whole number of f32"));
                }
                Ok(Self::Given(vector::from_bytes(&bytes)))
            }
            Value::Null
            | Value::Number(_)
            | Value::Boolean(_)
            | Value::Binary(_)
            | Value::Enum(_)
            | Value::Object(_) => Err(InputValueError::custom("must be an array of numbers, or base64")),
        }
    }

    // Asked before `parse`, with the path of the field, which `parse` cannot name.
    fn is_valid(value: &Value) -> bool {
        match value {
            Value::List(items) => items.iter().all(|item| matches!(item, Value::Number(_))),
            Value::String(text) => STANDARD.decode(text.as_bytes()).is_ok_and(|bytes| bytes.len() % 4 == 0),
            Value::Null
            | Value::Number(_)
            | Value::Boolean(_)
            | Value::Binary(_)
            | Value::Enum(_)
            | Value::Object(_) => false,
        }
    }

    fn to_value(&self) -> Value {
        let text = match self {
            Self::Stored(bytes) => serde_json::to_string(&vector::from_bytes(bytes)),
            Self::Given(numbers) => serde_json::to_string(numbers),
        };
        text.map_or(Value::Null, raw)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the nearest f32; infinite when beyond, and then refused")]
fn single(number: &Number) -> f32 {
    number.as_f64().map_or(f32::NAN, |number| number as f32)
}

/// The base64 form of a stored vector.
#[must_use]
pub fn base64_of(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}
