//! Metadata filters of requests.

use crate::emulator::limits;
use crate::emulator::record::Record;
use crate::emulator::refusal::Refusal;
use crate::emulator::wire;
use crate::filter::Bounds;
use crate::filter::Filter;
use crate::json::Json;

/// What a filter of the service may be: only its lists are bounded, each by itself.
const BOUNDS: Bounds = Bounds { depth: 32, conditions: usize::MAX, values: usize::MAX, list: limits::FILTER_VALUES };

/// The filter of a request that selects by it: an empty one selects too much.
///
/// # Errors
/// When it is empty, or no filter.
pub fn filter(body: &Json, verb: &str) -> Result<Option<Filter>, Refusal> {
    let empty = || Refusal::invalid(format!("{verb} with empty metadata filter is not allowed"));
    match wire::field(body, "filter") {
        Some(Json::Object(entries)) if entries.is_empty() => Err(empty()),
        Some(json) => read(json).map(Some),
        None => Ok(None),
    }
}

/// A filter that narrows down; an empty one leaves everything.
///
/// # Errors
/// When it is no filter.
pub fn optional(body: &Json) -> Result<Option<Filter>, Refusal> {
    wire::field(body, "filter").map(read).transpose()
}

fn read(json: &Json) -> Result<Filter, Refusal> {
    let filter = Filter::parse_within(&["filter"], json, BOUNDS);
    filter.map_err(|error| Refusal::invalid(format!("Invalid filter: {error}")))
}

/// Whether a record fulfils a filter; one without metadata has no field.
#[must_use]
pub fn matches(filter: &Filter, record: &Record) -> bool {
    filter.matches(record.metadata.as_ref().unwrap_or(&Json::Null))
}
