//! The assembled application: what the edges receive.

use std::sync::Arc;

use crate::clock::Clock;
use crate::config::Config;
use crate::error::Error;
use crate::index;
use crate::index::VectorIndex;
use crate::index::counted::Counted;
use crate::metrics::Metrics;
use crate::service::Ctx;
use crate::store::Db;
use crate::store::connect;
use crate::store::connect::OpenError;
use crate::store::targets;
use crate::store::targets::Configured;
use crate::sync::StartError;
use crate::sync::SyncHandle;

/// The id of the default target in `sync_targets`.
const DEFAULT_TARGET: i64 = 1;

/// Everything that is running.
#[derive(Debug, Clone)]
pub struct App {
    cx: Ctx,
    sync: SyncHandle,
}

impl App {
    /// Opens the database of `config` and assembles the application around it. The sync engine stands still
    /// until [`App::start_sync`].
    ///
    /// # Errors
    /// What [`connect::open`] says.
    pub async fn open(config: Config, clock: &Clock) -> Result<Self, OpenError> {
        let db = connect::open(&config.database, clock).await?;
        let index = index::open(&config, &db).await?;
        Self::assemble(config, db, index).await
    }

    /// Assembles the application around an open database and any index.
    ///
    /// # Errors
    /// What the database says.
    pub async fn assemble(config: Config, db: Db, index: Arc<dyn VectorIndex>) -> Result<Self, OpenError> {
        let target = Arc::new(Configured {
            name: config.index.name.clone(),
            kind: index.kind().to_owned(),
            identity: targets::identity(index.kind(), index.place(), &config.index.name),
            dimension: config.index.dimension.and_then(|dimension| i32::try_from(dimension).ok()),
            metric: index.metric().name().to_owned(),
        });
        db.write(move |tx| {
            let target = target.clone();
            Box::pin(async move { Ok(targets::configure(tx, DEFAULT_TARGET, &target).await?) })
        })
        .await
        .map_err(|error| database(&error))?;
        let metrics = Arc::new(Metrics::default());
        let index = Arc::new(Counted::new(index, metrics.clone()));
        let cx = Ctx::new(db, Arc::new(config), index, metrics, DEFAULT_TARGET);
        let sync = SyncHandle::new(cx.clone());
        Ok(Self { cx, sync })
    }

    /// Starts the sync engine: what a server does, and nobody else beside it.
    ///
    /// # Errors
    /// [`StartError::Locked`] when another process serves the same SQLite file.
    pub async fn start_sync(&self) -> Result<(), StartError> {
        self.sync.start().await?;
        self.cx.db().listen();
        Ok(())
    }

    /// The sync engine.
    #[must_use]
    pub const fn sync(&self) -> &SyncHandle {
        &self.sync
    }

    /// The context of the service functions.
    #[must_use]
    pub const fn cx(&self) -> &Ctx {
        &self.cx
    }

    /// Finishes what is under way and closes the database.
    pub async fn close(&self) {
        self.sync.stop().await;
        self.cx.db().close().await;
    }
}

fn database(error: &Error) -> OpenError {
    OpenError::Database(sea_orm::DbErr::Custom(format!("{error:?}")))
}
