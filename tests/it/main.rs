//! One test binary: each module is one noun, each test one sentence.

mod architecture;
mod dashboard;
mod documents;
mod graph;
mod local_index;
mod pinecone_rest;
mod process;
mod rest_documents;
mod rest_openapi;
mod support;
mod transport;
