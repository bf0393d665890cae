//! The root of mutations.

pub use async_graphql::EmptyMutation as Mutation;
