//! corpusd keeps a corpus for retrieval: documents, their chunks, the chunks'
//! embeddings, and a vector index that is provably in step with them.
//!
//! The crate is a house of floors; nothing points upwards:
//!
//! ```text
//! floor 8  cli                     parse arguments, load the configuration, call one function
//! floor 7  server                  router, middleware, graceful shutdown
//! floor 6  graphql, rest, emulator the edges; none knows another exists
//! floor 5  app                     the assembled application; what the edges receive
//! floor 4  sync                    claim, plan, push, record, report
//! floor 3  service                 one function for each thing a caller can ask for
//! floor 2  index                   vector targets
//! floor 1  store                   SQL
//! floor 0  entity config capacity credentials error clock json filter lexical metrics parsing quota text telemetry
//! ```

pub mod app;
pub mod capacity;
pub mod cli;
pub mod clock;
pub mod config;
pub mod credentials;
pub mod emulator;
pub mod entity;
pub mod error;
pub mod filter;
pub mod graphql;
pub mod index;
pub mod json;
pub mod lexical;
pub mod metrics;
pub mod parsing;
pub mod quota;
pub mod rest;
pub mod server;
pub mod service;
pub mod store;
pub mod sync;
pub mod telemetry;
pub mod text;
