//! Readers of single values: what Pydantic accepts in its lax mode, and how it says no.
//!
//! A reader takes a JSON value (of a query parameter: a string) and gives what the
//! service takes, or everything that is wrong with it. Types and the service's rules
//! are checked in one go, so that a request learns all its flaws at once.

use crate::config::Limits;
use crate::error::Rule;
use crate::error::Step;
use crate::json::Json;
use crate::service::Patch;
use crate::service::rules;

/// One thing that is wrong with a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Flaw {
    /// Where, from `body`, `query` or `path` on once the request is read.
    pub at: Vec<Step>,
    /// Which rule is broken.
    pub rule: Rule,
    /// The value that breaks it.
    pub input: Json,
}

/// What a reader makes of a value.
pub type Read<T> = Result<T, Vec<Flaw>>;

/// How many flaws of one request are told.
pub const MOST_FLAWS: usize = 1000;
/// How many values a flawed input may hold to be told whole.
const TOLD_VALUES: usize = 1000;
/// How many bytes of text.
const TOLD_BYTES: usize = 100_000;

/// The flaw of a value itself; one that is very large is not repeated.
pub fn flaw<T>(rule: Rule, input: &Json) -> Read<T> {
    Err(vec![Flaw { at: Vec::new(), rule, input: told(input) }])
}

/// A flawed value as it is told: null in place of one that is very large.
#[must_use]
pub fn told(input: &Json) -> Json {
    let (mut values, mut bytes) = (TOLD_VALUES, TOLD_BYTES);
    if fits(input, &mut values, &mut bytes) { input.clone() } else { Json::Null }
}

/// Whether a value has no more parts and no more text than are left; what it has is taken away from that.
fn fits(value: &Json, values: &mut usize, bytes: &mut usize) -> bool {
    if !take(1, values) {
        return false;
    }
    match value {
        Json::Null | Json::Bool(_) => true,
        Json::Number(text) | Json::String(text) => take(text.len(), bytes),
        Json::Array(items) => items.iter().all(|item| fits(item, values, bytes)),
        Json::Object(entries) => entries.iter().all(|(key, item)| take(key.len(), bytes) && fits(item, values, bytes)),
    }
}

fn take(size: usize, left: &mut usize) -> bool {
    let rest = left.checked_sub(size);
    *left = rest.unwrap_or(0);
    rest.is_some()
}

fn below(step: Step, flaws: Vec<Flaw>) -> impl Iterator<Item = Flaw> {
    flaws.into_iter().map(move |mut flaw| {
        flaw.at.insert(0, step.clone());
        flaw
    })
}

/// Accepts every value.
///
/// # Errors
/// None: the shape of a rule without a rule.
pub const fn any(_: &str) -> Result<(), Rule> {
    Ok(())
}

/// A string that keeps `rule`.
pub fn string(rule: impl Fn(&str) -> Result<(), Rule>) -> impl Fn(&Json) -> Read<String> {
    move |value| match value.as_str() {
        None => flaw(Rule::StringType, value),
        Some(text) => match rule(text) {
            Ok(()) => Ok(text.to_owned()),
            Err(rule) => flaw(rule, value),
        },
    }
}

/// A whole number that keeps `rule`; also a string, a float without a fraction, or a boolean.
pub fn integer(rule: impl Fn(i64) -> Result<(), Rule>) -> impl Fn(&Json) -> Read<i64> {
    move |value| {
        let whole = match value {
            Json::Bool(yes) => Ok(i128::from(*yes)),
            Json::Number(text) => whole_number(text),
            Json::String(text) => whole_text(text).ok_or(Rule::IntParsing),
            Json::Null | Json::Array(_) | Json::Object(_) => Err(Rule::IntType),
        };
        let checked = whole.and_then(|whole| {
            let near = i64::try_from(whole).unwrap_or(if whole < 0 { i64::MIN } else { i64::MAX });
            rule(near)?;
            match i128::from(near) == whole {
                true => Ok(near),
                false if whole < 0 => Err(Rule::GreaterThanEqual(i64::MIN)),
                false => Err(Rule::LessThanEqual(i64::MAX)),
            }
        });
        checked.or_else(|rule| flaw(rule, value))
    }
}

/// A whole number from 0.
pub const fn natural(number: i64) -> Result<(), Rule> {
    if number < 0 { Err(Rule::GreaterThanEqual(0)) } else { Ok(()) }
}

/// The value of digits, at the edge of the type when they are more than it holds.
fn digits(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let size = digits.parse::<i128>().unwrap_or(i128::MAX);
    Some(if negative { -size } else { size })
}

#[expect(clippy::cast_possible_truncation, reason = "a cast of a float to an integer stops at the type's edges")]
fn whole_number(text: &str) -> Result<i128, Rule> {
    if let Some(whole) = digits(text) {
        return Ok(whole);
    }
    match text.parse::<f64>() {
        Ok(number) if !number.is_finite() => Err(Rule::FiniteNumber),
        Ok(number) if number.fract() != 0.0 => Err(Rule::IntFromFloat),
        Ok(number) => Ok(number as i128),
        // `NaN`, `Infinity` and `-Infinity` are the only numbers that are no Rust literal.
        Err(_) => Err(Rule::FiniteNumber),
    }
}

fn whole_text(text: &str) -> Option<i128> {
    let text = text.trim();
    let text = match text.split_once('.') {
        Some((whole, zeros)) if !zeros.is_empty() && zeros.bytes().all(|byte| byte == b'0') => whole,
        Some(_) => return None,
        None => text,
    };
    digits(&without_underscores(text)?)
}

/// Numbers in text may have single underscores inside, as in Python.
fn without_underscores(text: &str) -> Option<String> {
    let misplaced = text.starts_with('_') || text.ends_with('_') || text.contains("__");
    (!misplaced).then(|| text.replace('_', ""))
}

/// True or false, in the spellings of a query.
pub fn boolean(value: &Json) -> Read<bool> {
    let parsed = match value {
        Json::Bool(yes) => Ok(*yes),
        Json::String(text) => match text.to_ascii_lowercase().as_str() {
            "1" | "on" | "t" | "true" | "y" | "yes" => Ok(true),
            "0" | "off" | "f" | "false" | "n" | "no" => Ok(false),
            _ => Err(Rule::BoolParsing),
        },
        Json::Number(text) => match text.parse::<f64>() {
            Ok(0.0) => Ok(false),
            Ok(1.0) => Ok(true),
            Ok(_) | Err(_) => Err(Rule::BoolParsing),
        },
        Json::Null | Json::Array(_) | Json::Object(_) => Err(Rule::BoolType),
    };
    parsed.or_else(|rule| flaw(rule, value))
}

/// A number that is finite as an f32; also a string, or a boolean.
pub fn number(value: &Json) -> Read<f32> {
    let parsed = match value {
        Json::Bool(yes) => Ok(if *yes { 1.0 } else { 0.0 }),
        // Python's bare words parse in Rust too.
        Json::Number(text) => text.parse::<f32>().map_err(|_| Rule::FloatType),
        Json::String(text) => {
            without_underscores(text.trim()).and_then(|text| text.parse::<f32>().ok()).ok_or(Rule::FloatParsing)
        }
        Json::Null | Json::Array(_) | Json::Object(_) => Err(Rule::FloatType),
    };
    match parsed {
        Ok(number) if number.is_finite() => Ok(number),
        Ok(_) => flaw(Rule::FiniteNumber, value),
        Err(rule) => flaw(rule, value),
    }
}

/// A list, each item read by `item`.
pub fn list<T>(item: impl Fn(&Json) -> Read<T>) -> impl Fn(&Json) -> Read<Vec<T>> {
    move |value| {
        let Json::Array(items) = value else { return flaw(Rule::ListType, value) };
        let mut read = Vec::with_capacity(items.len());
        let mut flaws = Vec::new();
        for (index, value) in items.iter().enumerate() {
            match item(value) {
                Ok(item) => read.push(item),
                Err(found) => flaws.extend(below(Step::Index(index), found)),
            }
            if flaws.len() >= MOST_FLAWS {
                break;
            }
        }
        if flaws.is_empty() { Ok(read) } else { Err(flaws) }
    }
}

/// A list of at most `max` items.
pub fn list_upto<T>(max: usize, item: impl Fn(&Json) -> Read<T>) -> impl Fn(&Json) -> Read<Vec<T>> {
    let read = list(item);
    move |value| match value {
        Json::Array(items) if items.len() > max => {
            flaw(Rule::TooLong { max: max as u64, actual: items.len() as u64 }, value)
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) | Json::Object(_) => {
            read(value)
        }
    }
}

/// A list that is the body itself, or stands in it under `name`; of any other body, `otherwise` is said.
pub fn list_or<T>(
    name: &'static str,
    otherwise: Rule,
    list: impl Fn(&Json) -> Read<Vec<T>>,
) -> impl Fn(&Json) -> Read<Vec<T>> {
    move |value| match value {
        Json::Array(_) => list(value),
        Json::Object(_) => object(|fields| fields.required(name, &list))(value),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => flaw(otherwise.clone(), value),
    }
}

/// A vector.
pub fn vector(limits: &Limits) -> impl Fn(&Json) -> Read<Vec<f32>> {
    let read = list_upto(limits.dimension, number);
    move |value| match read(value) {
        Ok(numbers) if numbers.is_empty() => flaw(Rule::TooShort { min: 1, actual: 0 }, value),
        other => other,
    }
}

/// Metadata.
pub fn metadata(limits: &Limits) -> impl Fn(&Json) -> Read<Json> {
    |value| match rules::metadata(value, limits) {
        Err(rule) => flaw(rule, value),
        Ok(()) if holds_word(value) => {
            flaw(Rule::Value("numbers must be finite: JSON has no NaN and no Infinity".to_owned()), value)
        }
        Ok(()) => Ok(value.clone()),
    }
}

/// What a patch does with a field in REST, where absent and null both leave it.
pub fn keep_or<T>(value: Option<T>) -> Patch<T> {
    value.map_or(Patch::Keep, Patch::Set)
}

/// Whether a number in `value` is one of Python's bare words.
fn holds_word(value: &Json) -> bool {
    match value {
        Json::Null | Json::Bool(_) | Json::String(_) => false,
        Json::Number(text) => text.ends_with(['N', 'y']),
        Json::Array(items) => items.iter().any(holds_word),
        Json::Object(entries) => entries.iter().any(|(_, value)| holds_word(value)),
    }
}

/// The same value with numbers beyond a double, which clients cannot read, replaced by `instead`:
/// `1e400`, and Python's bare words.
pub fn strict(value: Json, instead: &impl Fn(String) -> Json) -> Json {
    match value {
        Json::Number(text) if !text.parse::<f64>().is_ok_and(f64::is_finite) => instead(text),
        Json::Array(items) => Json::Array(items.into_iter().map(|item| strict(item, instead)).collect()),
        Json::Object(entries) => {
            Json::Object(entries.into_iter().map(|(key, item)| (key, strict(item, instead))).collect())
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => value,
    }
}

/// An object, made by `build` from its fields; unknown fields are ignored.
pub fn object<T>(build: impl Fn(&mut Fields<'_>) -> Option<T>) -> impl Fn(&Json) -> Read<T> {
    move |value| {
        let Json::Object(_) = value else { return flaw(Rule::ModelAttributesType, value) };
        let mut fields = Fields { of: value, flaws: Vec::new() };
        match build(&mut fields) {
            Some(made) if fields.flaws.is_empty() => Ok(made),
            _ => Err(fields.flaws),
        }
    }
}

/// The fields of an object, and what is wrong with those that were read.
#[derive(Debug)]
pub struct Fields<'a> {
    of: &'a Json,
    flaws: Vec<Flaw>,
}

impl Fields<'_> {
    /// A field that must be there; nothing when it is flawed.
    pub fn required<T>(&mut self, name: &str, read: impl Fn(&Json) -> Read<T>) -> Option<T> {
        match self.of.get(name) {
            Some(value) => self.note(name, read(value)),
            None => self.note(name, flaw(Rule::Missing, self.of)),
        }
    }

    /// A field that may be absent or null; nothing then, or when it is flawed.
    pub fn optional<T>(&mut self, name: &str, read: impl Fn(&Json) -> Read<T>) -> Option<T> {
        match self.of.get(name) {
            None | Some(Json::Null) => None,
            Some(value) => self.note(name, read(value)),
        }
    }

    /// Whether the field is there, null or not.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.of.get(name).is_some()
    }

    fn note<T>(&mut self, name: &str, read: Read<T>) -> Option<T> {
        match read {
            Ok(value) => Some(value),
            Err(found) => {
                self.flaws.extend(below(Step::Field(name.to_owned()), found));
                None
            }
        }
    }
}
