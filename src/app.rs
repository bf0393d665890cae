//! The assembled application: what the edges receive.

use std::sync::Arc;

use crate::clock::Clock;
use crate::config::Config;
use crate::index;
use crate::service::Ctx;
use crate::store::connect;
use crate::store::connect::OpenError;

/// The id of the default target in `sync_targets`.
const DEFAULT_TARGET: i64 = 1;

/// Everything that is running.
#[derive(Debug, Clone)]
pub struct App {
    cx: Ctx,
}

impl App {
    /// Opens the database of `config` and assembles the application around it.
    ///
    /// # Errors
    /// What [`connect::open`] says.
    pub async fn open(config: Config, clock: &Clock) -> Result<Self, OpenError> {
        let db = connect::open(&config.database, clock).await?;
        let index = index::open(&config, &db).await?;
        Ok(Self { cx: Ctx::new(db, Arc::new(config), index, DEFAULT_TARGET) })
    }

    /// The context of the service functions.
    #[must_use]
    pub const fn cx(&self) -> &Ctx {
        &self.cx
    }

    /// Finishes what is under way and closes the database.
    pub async fn close(&self) {
        self.cx.db().close().await;
    }
}
