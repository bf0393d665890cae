//! The emulator of Pinecone's API, over real sockets.

mod data;
mod durable;
mod faults;
mod filters;
mod indexes;
mod lag;
mod limits;
mod namespaces;
mod paging;
mod process;
