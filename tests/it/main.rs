//! One test binary: each module is one noun, each test one sentence.

mod adopt;
mod architecture;
mod chunks;
mod dashboard;
mod documents;
mod duplicate;
mod embeddings;
mod graph;
mod import;
mod kill;
mod local_index;
mod migrations;
mod mutations;
mod pinecone_rest;
mod process;
mod rest_chunks;
mod rest_documents;
mod rest_embeddings;
mod rest_hostile;
mod rest_openapi;
mod rest_validation;
mod subscriptions;
mod support;
mod transport;
mod writer;
