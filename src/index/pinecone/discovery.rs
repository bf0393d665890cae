//! Where the index is: looked up by name, remembered, looked up again when it does not seem to be there, and
//! created when it never was.
//!
//! An index is created once. When one that was written to is gone, what the slots say of
//! it is void: the target's generation moves on, so that whatever takes its place is
//! filled anew, and nothing is sent until somebody has made that place.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use reqwest::Method;
use tokio::sync::Mutex;

use crate::config::Metric;
use crate::index::IndexError;
use crate::index::IndexErrorKind;
use crate::index::IndexResult;
use crate::index::pinecone::answer::Answer;
use crate::index::pinecone::control;
use crate::index::pinecone::control::Description;
use crate::index::pinecone::control::Wanted;
use crate::index::pinecone::http::Http;
use crate::index::pinecone::wire::Stats;
use crate::store::Db;
use crate::store::targets;

/// How soon an index that is not ready is looked at again.
const SOON: Duration = Duration::from_secs(5);

/// An index that can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The root of its data plane.
    pub host: String,
    /// Numbers of a vector.
    pub dimension: Option<u32>,
    /// How it compares.
    pub metric: Option<Metric>,
}

/// What is configured of the index.
#[derive(Debug, Clone)]
pub struct Configured {
    /// Its name.
    pub name: String,
    /// The root of the control plane.
    pub controller: String,
    /// The root of its own data plane, when that is not to be looked up.
    pub host: Option<String>,
    /// Which dialect creates it.
    pub version: String,
    /// Where it is created.
    pub region: (String, String),
    /// How it compares.
    pub metric: Metric,
    /// Numbers of a vector.
    pub dimension: Option<u32>,
    /// What tells it from any other target.
    pub identity: String,
}

/// The way to the index.
#[derive(Debug)]
pub struct Discovery {
    pub(super) configured: Configured,
    db: Db,
    known: Mutex<Known>,
    /// How often it was looked for.
    looks: AtomicU64,
    /// Numbers of a vector that was accepted; 0 until one was.
    accepted: AtomicU32,
    /// That it is written to stands in the database.
    noted: AtomicBool,
}

#[derive(Debug, Default)]
struct Known {
    place: Option<Arc<Place>>,
    /// Something makes it likely that it is not there any more.
    doubted: bool,
    /// What the last look found instead.
    failed: Option<IndexError>,
}

impl Discovery {
    /// A way that nobody has gone yet.
    #[must_use]
    pub fn new(configured: Configured, db: Db) -> Self {
        Self {
            configured,
            db,
            known: Mutex::default(),
            looks: AtomicU64::new(0),
            accepted: AtomicU32::new(0),
            noted: AtomicBool::new(false),
        }
    }

    /// The dimension that both sides agree on.
    pub fn dimension(&self) -> Option<u32> {
        let accepted = Some(self.accepted.load(Ordering::Relaxed)).filter(|accepted| *accepted > 0);
        self.configured.dimension.or(accepted)
    }

    /// Takes note that a vector of that dimension was accepted.
    pub fn accepted(&self, dimension: u32) {
        self.accepted.store(dimension, Ordering::Relaxed);
    }

    /// Where the index is; nothing when there is none and never was.
    ///
    /// # Errors
    /// Why that cannot be told or used: of whatever was to be sent there, nothing was.
    pub async fn find(&self, http: &Http) -> IndexResult<Option<Arc<Place>>> {
        let before = self.looks.load(Ordering::Relaxed);
        let mut known = self.known.lock().await;
        if let Some(place) = known.place.clone().filter(|_| !known.doubted) {
            return Ok(Some(place));
        }
        // Who waited for somebody else's look does not look again.
        if let Some(error) = known.failed.clone().filter(|_| self.looks.load(Ordering::Relaxed) != before) {
            return Err(error);
        }
        let Some(old) = known.place.clone() else { return self.look_now(http, &mut known).await };
        // A control plane that does not answer says nothing about the index, and must not hold up what goes there.
        let patience = http.deadline() / 4;
        let found = tokio::time::timeout(patience, self.look_now(http, &mut known)).await;
        match found.unwrap_or_else(|_| Err(IndexError::new(IndexErrorKind::NotApplied, "the look-up takes long"))) {
            Err(error) if error.kind == IndexErrorKind::NotApplied => {
                *known = Known { place: Some(old.clone()), ..Known::default() };
                Ok(Some(old))
            }
            found => found,
        }
    }

    async fn look_now(&self, http: &Http, known: &mut Known) -> IndexResult<Option<Arc<Place>>> {
        let found = self.look(http).await;
        self.looks.fetch_add(1, Ordering::Relaxed);
        match found {
            Ok(place) => {
                *known = Known { place: place.clone(), ..Known::default() };
                Ok(place)
            }
            Err(error) => {
                known.failed = Some(error.clone());
                Err(error)
            }
        }
    }

    /// The same for a write, and creates it where it never was. From now on one that is missing was lost.
    ///
    /// # Errors
    /// As [`Discovery::find`].
    pub async fn find_or_create(&self, http: &Http, dimension: u32) -> IndexResult<Arc<Place>> {
        let place = self.found_or_created(http, dimension).await?;
        if !self.noted.load(Ordering::Relaxed) {
            let identity = self.configured.identity.clone();
            let noted = self.db.write(move |tx| {
                let identity = identity.clone();
                Box::pin(async move { Ok(targets::note_written(tx, &identity).await?) })
            });
            noted.await.map_err(|_| unknown())?;
            self.noted.store(true, Ordering::Relaxed);
        }
        Ok(place)
    }

    async fn found_or_created(&self, http: &Http, dimension: u32) -> IndexResult<Arc<Place>> {
        if let Some(place) = self.find(http).await? {
            return Ok(place);
        }
        let mut known = self.known.lock().await;
        let place = match known.place.clone() {
            // Somebody else was faster.
            Some(place) => place,
            None => self.create(http, dimension).await?,
        };
        *known = Known { place: Some(place.clone()), ..Known::default() };
        Ok(place)
    }

    /// Takes note that the index may be elsewhere.
    pub async fn doubt(&self) {
        self.known.lock().await.doubted = true;
    }

    /// Whether the index is still where it was, after a 404 from there.
    ///
    /// # Errors
    /// Where it is gone; [`IndexErrorKind::NotApplied`] when it has moved, so that the next request goes there.
    pub async fn confirm(&self, http: &Http, place: &Place) -> IndexResult<()> {
        let mut known = self.known.lock().await;
        known.doubted = true;
        match self.look_now(http, &mut known).await? {
            Some(found) if found.host == place.host => Ok(()),
            Some(_) => Err(IndexError::new(IndexErrorKind::NotApplied, "the index has another host now")),
            None => Err(self.gone()),
        }
    }

    /// Takes note that the index is not the one that was written to: its dimension or its metric is another.
    ///
    /// # Errors
    /// When the database does not take the note.
    pub async fn replaced(&self) -> IndexResult<()> {
        self.doubt().await;
        self.void().await
    }

    async fn look(&self, http: &Http) -> IndexResult<Option<Arc<Place>>> {
        if let Some(host) = &self.configured.host {
            return self.inspect(http, host).await.map(Some);
        }
        let answer = self.ask(http, Method::GET, &self.url(&self.configured.name), None).await?;
        if answer.is_no_such_index() {
            let identity = self.configured.identity.clone();
            let written = targets::was_written(self.db.read(), &identity).await.map_err(|_| unknown())?;
            if !written {
                return Ok(None);
            }
            self.void().await?;
            return Err(self.gone());
        }
        self.usable(&answer).map(Some)
    }

    /// Asks the index itself, where the control plane has no part in it.
    async fn inspect(&self, http: &Http, host: &str) -> IndexResult<Arc<Place>> {
        let url = format!("{host}/describe_index_stats");
        let stats: Stats = self.ask(http, Method::POST, &url, Some(b"{}".to_vec())).await?.read().map_err(before)?;
        let metric = stats.metric.as_deref().and_then(control::metric_named);
        Ok(Arc::new(Place { host: host.to_owned(), dimension: stats.dimension, metric }))
    }

    async fn create(&self, http: &Http, dimension: u32) -> IndexResult<Arc<Place>> {
        let configured = &self.configured;
        let (cloud, region) = &configured.region;
        let dimension = configured.dimension.unwrap_or(dimension);
        let wanted = Wanted { name: &configured.name, dimension, metric: configured.metric, cloud, region };
        tracing::info!(
            index = configured.name,
            dimension,
            metric = configured.metric.name(),
            cloud,
            region,
            "creating the index"
        );
        let body = control::create(&wanted, &configured.version);
        let created = http.exchange(Method::POST, &self.url(""), Some(body)).await;
        match created {
            Ok(answer) if answer.is_success() => {}
            // Somebody created it meanwhile: this process, perhaps, by a request whose answer was lost.
            Ok(answer) if answer.status == 409 => {}
            Ok(answer) => {
                let error = answer.refusal();
                if error.kind != IndexErrorKind::InDoubt {
                    let detail = format!("the index {} cannot be created: {}", configured.name, error.detail);
                    return Err(before(IndexError { detail, ..error }));
                }
            }
            Err(error) if error.kind == IndexErrorKind::InDoubt => {}
            Err(error) => return Err(error),
        }
        let answer = self.ask(http, Method::GET, &self.url(&configured.name), None).await?;
        self.usable(&answer)
    }

    /// The place that an answer describes, when it can be used.
    fn usable(&self, answer: &Answer) -> IndexResult<Arc<Place>> {
        let name = &self.configured.name;
        if !answer.is_success() {
            return Err(before(answer.refusal()));
        }
        let fault = |text: String| Err(IndexError::new(IndexErrorKind::TargetFault, text));
        match control::read(&answer.body) {
            None => Err(IndexError::new(
                IndexErrorKind::NotApplied,
                "what the control plane says of the index cannot be read",
            )),
            Some(Err(why)) => fault(format!("the index {name} cannot be used: {why}")),
            Some(Ok(found)) if control::is_lost(&found.state) => fault(format!("the index {name} is {}", found.state)),
            Some(Ok(found)) if !found.ready || found.host.is_empty() => Err(IndexError {
                retry_after: Some(SOON),
                ..IndexError::new(
                    IndexErrorKind::RateLimited,
                    format!("the index {name} is not ready yet: {}", found.state),
                )
            }),
            Some(Ok(Description { host, dimension, metric, .. })) => Ok(Arc::new(Place { host, dimension, metric })),
        }
    }

    async fn ask(&self, http: &Http, method: Method, url: &str, body: Option<Vec<u8>>) -> IndexResult<Answer> {
        http.exchange(method, url, body).await.map_err(before)
    }

    fn url(&self, name: &str) -> String {
        let slash = if name.is_empty() { "" } else { "/" };
        format!("{}/indexes{slash}{name}", self.configured.controller)
    }

    fn gone(&self) -> IndexError {
        let Configured { name, metric, .. } = &self.configured;
        let numbers = self.dimension().map(|dimension| format!("{dimension} numbers, ")).unwrap_or_default();
        let detail =
            format!("the index {name} is gone: create it again ({numbers}{}), and it is filled", metric.name());
        IndexError::new(IndexErrorKind::TargetFault, detail)
    }

    /// What was acknowledged is not there any more: the target's next generation begins, once for each loss.
    async fn void(&self) -> IndexResult<()> {
        let identity = self.configured.identity.clone();
        let voided = self.db.write(move |tx| {
            let identity = identity.clone();
            Box::pin(async move { Ok(targets::void(tx, &identity).await?) })
        });
        if voided.await.map_err(|_| unknown())?.value {
            tracing::warn!(index = self.configured.name, "the index is not the one that was written to");
        }
        Ok(())
    }
}

/// What an error of the way to the index means for what was to be sent there: nothing of it was.
fn before(error: IndexError) -> IndexError {
    let kind = match error.kind {
        IndexErrorKind::InDoubt => IndexErrorKind::NotApplied,
        IndexErrorKind::Rejected | IndexErrorKind::TooLarge => IndexErrorKind::TargetFault,
        kind @ (IndexErrorKind::NotApplied | IndexErrorKind::RateLimited | IndexErrorKind::TargetFault) => kind,
    };
    IndexError { kind, ..error }
}

fn unknown() -> IndexError {
    IndexError::new(IndexErrorKind::NotApplied, "the database does not tell whether the index was written to")
}
