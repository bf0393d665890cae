//! The service's published limits, in one place.

/// Vectors of an upsert.
pub const UPSERT: usize = 1000;
/// Ids of a delete or a fetch.
pub const IDS: usize = 1000;
/// Ids of a page of `list`, and names of a page of namespaces.
pub const LIST: usize = 100;
/// Records of a page of `fetch_by_metadata`.
pub const FETCH_BY_METADATA: usize = 10_000;
/// Matches of a query.
pub const TOP_K: i64 = 10_000;
/// Bytes of the answer to a query or a fetch.
pub const ANSWER: usize = 4 * 1024 * 1024;
/// Values of one `$in` or `$nin`.
pub const FILTER_VALUES: usize = 10_000;
/// Namespaces of an index.
pub const NAMESPACES: usize = 100_000;
/// Fields of a namespace's schema.
pub const SCHEMA_FIELDS: usize = 50;
/// Indexes of a project.
pub const INDEXES: usize = 200;
/// Characters of an index's name.
pub const INDEX_NAME: usize = 45;
/// Numbers of a dense vector.
pub const DIMENSION: i64 = 20_000;
/// Tags of an index.
pub const TAGS: usize = 20;
/// Characters of a tag's key.
pub const TAG_KEY: usize = 80;
/// Characters of a tag's value.
pub const TAG_VALUE: usize = 120;
