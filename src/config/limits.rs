//! What a request may ask for.

/// What a request may ask for.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of a request body.
    pub body_bytes: usize,
    /// Bytes of a chunk's text.
    pub text_bytes: usize,
    /// Bytes of one metadata object.
    pub metadata_bytes: usize,
    /// Items of one batch.
    pub batch: usize,
    /// Numbers of one vector.
    pub dimension: usize,
    /// Rows of one REST page.
    pub rest_page: u64,
    /// Rows of one GraphQL page.
    pub graphql_page: u64,
    /// What a GraphQL document may be.
    pub graphql: GraphqlLimits,
}

/// What a GraphQL document may be, before and after it is parsed, and what may come of it.
#[derive(Debug, Clone)]
pub struct GraphqlLimits {
    /// `CORPUSD_GRAPHQL_BYTES` of its text.
    pub bytes: usize,
    /// `CORPUSD_GRAPHQL_TOKENS` of its text.
    pub tokens: usize,
    /// `CORPUSD_GRAPHQL_OPERATIONS`
    pub operations: usize,
    /// `CORPUSD_GRAPHQL_FRAGMENTS` that it defines.
    pub fragments: usize,
    /// `CORPUSD_GRAPHQL_VARIABLES` that it declares.
    pub variables: usize,
    /// `CORPUSD_GRAPHQL_DIRECTIVES`, as they are written.
    pub directives: usize,
    /// `CORPUSD_GRAPHQL_ALIASES`, as they are written.
    pub aliases: usize,
    /// `CORPUSD_GRAPHQL_ROOT_FIELDS` of one operation, fragments unfolded.
    pub root_fields: u64,
    /// `CORPUSD_GRAPHQL_SELECTIONS` of all operations, fragments unfolded.
    pub selections: u64,
    /// `CORPUSD_GRAPHQL_DEPTH`: how deep fields nest, fragments unfolded.
    pub depth: u32,
    /// `CORPUSD_GRAPHQL_COST`: points of one operation.
    pub cost: u64,
    /// `CORPUSD_GRAPHQL_VALUES`: values of its arguments, as often as they are read.
    pub values: u64,
    /// `CORPUSD_GRAPHQL_ERRORS` that one answer tells.
    pub errors: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 10_000_000,
            text_bytes: 1_000_000,
            metadata_bytes: 65_536,
            batch: 1000,
            dimension: 20_000,
            rest_page: 10_000,
            graphql_page: 100,
            graphql: GraphqlLimits::default(),
        }
    }
}

impl Default for GraphqlLimits {
    fn default() -> Self {
        Self {
            bytes: 65_536,
            tokens: 4_000,
            operations: 10,
            fragments: 50,
            variables: 100,
            directives: 50,
            aliases: 50,
            root_fields: 20,
            selections: 2_000,
            depth: 12,
            cost: 10_000,
            values: 2_000_000,
            errors: 20,
        }
    }
}
