//! A record: what an index keeps under an id, and how one is read from the wire.

use std::collections::HashSet;

use crate::emulator::metadata;
use crate::emulator::refusal::Refusal;
use crate::emulator::wire;
use crate::json::Json;

/// Characters of an id, of a namespace's name and of a prefix.
const NAME: usize = 512;
/// Numbers of a sparse vector.
const SPARSE: usize = 2048;
/// Below it a number counts as zero.
const ZERO: f32 = 1e-8;

/// What an index keeps under an id.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Record {
    /// The dense vector; empty in a sparse index.
    pub values: Vec<f32>,
    /// The sparse vector.
    pub sparse: Option<Sparse>,
    /// A flat object; its numbers are written as f64.
    pub metadata: Option<Json>,
}

/// A sparse vector, ordered by index.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sparse {
    /// Where its numbers stand.
    pub indices: Vec<u32>,
    /// Its numbers.
    pub values: Vec<f32>,
}

impl Sparse {
    /// The dot product with another.
    #[must_use]
    pub fn dot(&self, other: &Self) -> f64 {
        let (mut sum, mut i, mut j) = (0.0, 0, 0);
        while let (Some(own), Some(their)) = (self.indices.get(i), other.indices.get(j)) {
            match own.cmp(their) {
                std::cmp::Ordering::Less => i += 1,
                std::cmp::Ordering::Greater => j += 1,
                std::cmp::Ordering::Equal => {
                    sum += f64::from(self.values[i]) * f64::from(other.values[j]);
                    i += 1;
                    j += 1;
                }
            }
        }
        sum
    }
}

/// Checks an id.
///
/// # Errors
/// When no record can have it.
pub fn check_id(id: &str) -> Result<(), Refusal> {
    check_name("Vector ID", id)
}

/// Checks a name of `what`: 1 to 512 ASCII characters, none of them NUL.
///
/// # Errors
/// When it breaks the rule.
pub fn check_name(what: &str, name: &str) -> Result<(), Refusal> {
    let shown = || wire::shown(&wire::text(name));
    if name.is_empty() {
        return Err(Refusal::invalid(format!("{what} must not be empty")));
    }
    if !name.is_ascii() {
        return Err(Refusal::invalid(format!("{what} must be ASCII, but got {}", shown())));
    }
    if name.len() > NAME {
        return Err(Refusal::invalid(format!(
            "{what} must not be longer than {NAME} characters, but got {} of them",
            name.len()
        )));
    }
    if name.contains('\0') {
        return Err(Refusal::invalid(format!("{what} must not contain NUL, but got {}", shown())));
    }
    Ok(())
}

/// Reads one entry of `vectors`.
///
/// # Errors
/// What the service would refuse about it, whatever the index.
pub fn read(place: &str, json: &Json) -> Result<(String, Record), Refusal> {
    let Json::Object(_) = json else { return Err(wire::refused(place, json, "an object")) };
    let id = match wire::field(json, "id") {
        None => return Err(Refusal::invalid(format!("{place}.id: Vector ID must not be empty"))),
        Some(Json::String(id)) => id.clone(),
        Some(other) => return Err(wire::refused(&format!("{place}.id"), other, "a string")),
    };
    check_id(&id)?;
    let values = dense(&format!("{place}.values"), wire::field(json, "values"))?;
    let sparse = sparse(&format!("{place}.sparseValues"), wire::field(json, "sparseValues"))?;
    let metadata = metadata::read("metadata", wire::field(json, "metadata"))?;
    Ok((id, Record { values: values.unwrap_or_default(), sparse, metadata }))
}

/// Reads a dense vector.
///
/// # Errors
/// When it is no list of numbers in the range of an f32.
pub fn dense(place: &str, json: Option<&Json>) -> Result<Option<Vec<f32>>, Refusal> {
    match json {
        None => Ok(None),
        Some(Json::Array(items)) if items.is_empty() => Ok(None),
        Some(Json::Array(items)) => wire::singles(place, items).map(Some),
        Some(other) => Err(wire::refused(place, other, "an array of numbers")),
    }
}

/// Refuses a dense vector without a direction.
///
/// # Errors
/// When all its numbers are as good as zero.
pub fn check_not_zero(id: &str, values: &[f32]) -> Result<(), Refusal> {
    if !values.is_empty() && values.iter().all(|number| number.abs() < ZERO) {
        return Err(Refusal::invalid(format!(
            "Dense vectors must contain at least one non-zero value. Vector ID '{id}' contains only zeros"
        )));
    }
    Ok(())
}

/// Reads a sparse vector.
///
/// # Errors
/// When it is no two lists of one length, or breaks a limit.
pub fn sparse(place: &str, json: Option<&Json>) -> Result<Option<Sparse>, Refusal> {
    let Some(json) = json else { return Ok(None) };
    let Json::Object(_) = json else { return Err(wire::refused(place, json, "an object of indices and values")) };
    let at = |what: &str| format!("{place}.{what}");
    let indices = wire::array(json, "indices")?.unwrap_or_default();
    let values = wire::singles(&at("values"), wire::array(json, "values")?.unwrap_or_default())?;
    if indices.len() != values.len() {
        return Err(Refusal::invalid(format!(
            "{place}: Sparse vector must have as many indices as values, but got {} and {}",
            indices.len(),
            values.len()
        )));
    }
    if indices.is_empty() {
        return Err(Refusal::invalid(format!("{place}: Sparse vector must contain at least one value")));
    }
    if indices.len() > SPARSE {
        return Err(Refusal::invalid(format!(
            "{place}: Sparse vector must not contain more than {SPARSE} values, but got {} of them",
            indices.len()
        )));
    }
    let mut pairs = Vec::with_capacity(indices.len());
    for (i, (index, value)) in indices.iter().zip(values).enumerate() {
        let read =
            wire::digits(index).and_then(|digits| digits.strip_suffix(".0").unwrap_or(digits).parse::<u32>().ok());
        let read = read.ok_or_else(|| wire::refused(&at(&format!("indices[{i}]")), index, "a 32-bit index"))?;
        pairs.push((read, value));
    }
    let distinct: HashSet<u32> = pairs.iter().map(|(index, _)| *index).collect();
    if distinct.len() < pairs.len() {
        return Err(Refusal::invalid(format!("{place}: Sparse vector must not contain an index twice")));
    }
    pairs.sort_unstable_by_key(|(index, _)| *index);
    let (indices, values) = pairs.into_iter().unzip();
    Ok(Some(Sparse { indices, values }))
}

/// The JSON of a record as an answer holds it.
#[must_use]
pub fn write(id: &str, record: &Record, values: bool, metadata: bool) -> Vec<(String, Json)> {
    let mut entries = vec![("id".to_owned(), wire::text(id))];
    let numbers = |numbers: &[f32]| Json::Array(numbers.iter().map(|number| wire::single(*number)).collect());
    entries.push(("values".to_owned(), numbers(if values { &record.values } else { &[] })));
    if values && let Some(sparse) = &record.sparse {
        let indices = Json::Array(sparse.indices.iter().map(wire::whole).collect());
        let json = wire::object([("indices", indices), ("values", numbers(&sparse.values))]);
        entries.push(("sparseValues".to_owned(), json));
    }
    if metadata && let Some(metadata) = &record.metadata {
        entries.push(("metadata".to_owned(), metadata.clone()));
    }
    entries
}
