//! The emulator of Pinecone's API, over real sockets.

mod data;
mod faults;
mod indexes;
