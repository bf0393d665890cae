//! What a target cannot hold is refused here, alone, before anything is sent (sync.md section 5).
//!
//! Pure.

use crate::index::IndexLimits;
use crate::index::VectorRecord;
use crate::store::record::Rows;
use crate::store::vector;
use crate::sync::payload;

/// Bytes of one number on a wire, as a rule: `-0.012345678,`. An index that has a limit measures what it is about to
/// send, and answers that it is too large; printing every number twice to know before costs more.
const NUMBER: usize = 13;

/// Why a record is not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The code of sync.md section 5.
    pub code: &'static str,
    /// One line.
    pub text: String,
}

impl Refusal {
    /// A refusal.
    #[must_use]
    pub const fn new(code: &'static str, text: String) -> Self {
        Self { code, text }
    }
}

/// A record that may be sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Ready {
    /// The record.
    pub record: VectorRecord,
    /// Its payload hash.
    pub hash: String,
    /// Its size on a wire, nearly.
    pub bytes: usize,
}

/// What a check needs to know of the target.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// The corpus's id.
    pub corpus: &'a str,
    /// What one request may hold.
    pub limits: IndexLimits,
    /// The dimension, once known.
    pub dimension: Option<u32>,
}

/// Makes the record of a slot.
///
/// # Errors
/// The first rule that it breaks.
pub fn check(rows: &Rows, namespace: &str, vector_id: &str, want_rev: i64, rules: Rules<'_>) -> Result<Ready, Refusal> {
    for (what, id) in [("id", vector_id), ("namespace", namespace)] {
        if id.is_empty() || id.len() > 512 || !id.is_ascii() || id.contains('\0') {
            return Err(Refusal::new("bad_id", format!("the {what} must be 1 to 512 ASCII characters")));
        }
    }
    let values = vector::from_bytes(&rows.vector);
    if let Some(at) = values.iter().position(|number| !number.is_finite()) {
        return Err(Refusal::new("vector_not_finite", format!("number {at} of the vector is not finite")));
    }
    if let Some(dimension) = rules.dimension
        && values.len() != dimension as usize
    {
        let text = format!("the vector has {} numbers, those of the index have {dimension}", values.len());
        return Err(Refusal::new("dimension_mismatch", text));
    }
    if values.iter().all(|number| *number == 0.0) {
        return Err(Refusal::new("vector_zero", "every number of the vector is zero".to_owned()));
    }
    let payload = payload::payload(rows, rules.corpus, rules.limits.metadata_bytes)?;
    let metadata = payload.metadata(want_rev);
    let bytes = vector_id.len() + values.len() * NUMBER + metadata.len() + 64;
    if bytes > rules.limits.upsert_bytes {
        let text = format!("the record has {bytes} bytes, a request takes {}", rules.limits.upsert_bytes);
        return Err(Refusal::new("record_too_large", text));
    }
    Ok(Ready { record: VectorRecord { id: vector_id.to_owned(), values, metadata }, hash: payload.hash, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: IndexLimits = IndexLimits {
        upsert_records: 10,
        upsert_bytes: 10_000,
        delete_ids: 10,
        metadata_bytes: 4_000,
        query_namespaces: None,
        rates: None,
    };

    fn code(vector: &[f32], id: &str, dimension: Option<u32>) -> Option<&'static str> {
        let rows = Rows { vector: vector::to_bytes(vector), ..Rows::default() };
        check(&rows, "n", id, 1, Rules { corpus: "c", limits: LIMITS, dimension }).err().map(|refusal| refusal.code)
    }

    #[test]
    fn each_rule_has_its_code() {
        let long = "x".repeat(513);
        let wide = vec![1.0; 800];
        for (vector, id, dimension, found) in [
            (&[1.0, 2.0][..], "a", None, None),
            (&[1.0, 2.0], "a", Some(2), None),
            (&[1.0, 2.0], "a", Some(3), Some("dimension_mismatch")),
            (&[1.0, f32::NAN], "a", Some(2), Some("vector_not_finite")),
            (&[f32::INFINITY], "a", None, Some("vector_not_finite")),
            (&[0.0, -0.0], "a", None, Some("vector_zero")),
            (&[1.0], "ä", None, Some("bad_id")),
            (&[1.0], "", None, Some("bad_id")),
            (&[1.0], &long, None, Some("bad_id")),
            (&wide, "a", None, Some("record_too_large")),
        ] {
            assert_eq!(code(vector, id, dimension), found);
        }
    }

    #[test]
    fn a_record_may_have_as_many_bytes_as_a_request_takes_and_an_id_512() {
        let id = "x".repeat(512);
        let rows = Rows { vector: vector::to_bytes(&[1.0, 2.0, 3.0]), ..Rows::default() };
        let with = |upsert_bytes| {
            let limits = IndexLimits { upsert_bytes, ..LIMITS };
            check(&rows, "n", &id, 1, Rules { corpus: "c", limits, dimension: None })
        };
        let ready = with(10_000).unwrap();
        assert_eq!(ready.bytes, 512 + 3 * 13 + ready.record.metadata.len() + 64);
        assert_eq!(with(ready.bytes), Ok(ready.clone()));
        assert_eq!(with(ready.bytes - 1).unwrap_err().code, "record_too_large");
    }
}
