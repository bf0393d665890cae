//! The sync engine in a world that a seed decides.
//!
//! A target of its own, beside `it`: it links neither the edges nor the application's tests, so it is
//! built in a fraction of the time, and its threads belong to the seeds alone.

#![expect(clippy::cast_possible_wrap, reason = "small numbers")]

mod broken;
mod checks;
mod clocks;
#[path = "../it/support/database.rs"]
mod database;
mod differential;
mod edits;
mod ports;
mod random;
mod reconcile;
mod remote;
mod restore;
mod scenarios;
mod seeds;
mod tables;
mod world;
