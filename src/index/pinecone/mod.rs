//! An index of Pinecone, over HTTP.
//!
//! [`http`] does one exchange, [`answer`] says what it means, [`discovery`] knows where
//! the index is, [`control`] and [`wire`] have the bodies of the two planes. Nothing is
//! asked before something is needed: a server starts whether the service answers or
//! not. Nothing is tried again here either, that is the engine's part.

pub mod answer;
pub mod control;
pub mod discovery;
pub mod http;
pub mod region;
pub mod retry_after;
pub mod wire;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use reqwest::Method;
use serde::de::DeserializeOwned;

use crate::config::Config;
use crate::config::Metric;
use crate::config::Secret;
use crate::index::IdPage;
use crate::index::IndexError;
use crate::index::IndexErrorKind;
use crate::index::IndexLimits;
use crate::index::IndexResult;
use crate::index::IndexStats;
use crate::index::Match;
use crate::index::Rates;
use crate::index::VectorIndex;
use crate::index::VectorQuery;
use crate::index::VectorRecord;
use crate::index::Written;
use crate::index::pinecone::answer::Answer;
use crate::index::pinecone::discovery::Configured;
use crate::index::pinecone::discovery::Discovery;
use crate::index::pinecone::discovery::Place;
use crate::index::pinecone::http::Http;
use crate::index::pinecone::wire::encoded;
use crate::store::Db;
use crate::store::targets;

/// Bytes of a body that the service takes.
const BODY: usize = 2_000_000;
/// What one request may hold. Bytes are planned by the usual length of a number, so there is room below [`BODY`].
const LIMITS: IndexLimits = IndexLimits {
    upsert_records: 1000,
    upsert_bytes: 1_800_000,
    delete_ids: 1000,
    metadata_bytes: 40_960,
    query_namespaces: Some(16),
    rates: Some(PUBLISHED),
};
/// What the service publishes for a namespace.
const PUBLISHED: Rates = Rates { requests: 100, upsert_bytes: 50_000_000, delete_ids: 5_000 };
/// Ids of one fetch, and the bytes they may make of its URL.
const FETCH: (usize, usize) = (100, 4_000);
/// Ids of one page of a listing.
const PAGE: usize = 100;
/// How the default namespace, which is nobody's of ours, may be called.
const DEFAULT_NAMESPACE: &str = "__default__";

/// An index of Pinecone.
#[derive(Debug)]
pub struct PineconeIndex {
    http: Http,
    discovery: Discovery,
    /// What tells it from others: where it is looked up, or where it is.
    place: String,
    limits: IndexLimits,
}

impl PineconeIndex {
    /// The index that `config` names, with this key. Nothing is sent.
    ///
    /// # Errors
    /// A sentence, when the settings cannot be sent.
    pub fn new(config: &Config, key: Secret, db: &Db) -> Result<Self, String> {
        let index = &config.index;
        let pinecone = &index.pinecone;
        let deadline = config.sync.request_timeout;
        let http = Http::new(key, &pinecone.api_version, deadline, db.clock().clone())?;
        let place = pinecone.index_host.clone().unwrap_or_else(|| pinecone.controller_host.clone());
        let configured = Configured {
            name: index.name.clone(),
            controller: pinecone.controller_host.clone(),
            host: pinecone.index_host.clone(),
            version: pinecone.api_version.clone(),
            region: region::of(pinecone),
            metric: index.metric,
            dimension: index.dimension,
            identity: targets::identity(KIND, Some(&place), &index.name),
        };
        let rates = Some(share(PUBLISHED, pinecone.share));
        let discovery = Discovery::new(configured, db.clone());
        Ok(Self { http, discovery, place, limits: IndexLimits { rates, ..LIMITS } })
    }

    /// An exchange with the index itself.
    async fn ask(&self, place: &Place, method: Method, path: &str, body: Option<Vec<u8>>) -> IndexResult<Answer> {
        let asked = self.http.exchange(method, &format!("{}{path}", place.host), body).await;
        if asked.as_ref().is_err_and(|error| error.kind == IndexErrorKind::NotApplied) {
            self.discovery.doubt().await;
        }
        let answer = asked?;
        if answer.status == 404 {
            // A stale or wrong host says the same: only an index that is still described can say it.
            self.discovery.confirm(&self.http, place).await?;
        }
        Ok(answer)
    }

    /// An exchange that reads something; nothing where the index does not know the namespace.
    async fn read<T: DeserializeOwned>(
        &self,
        place: &Place,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> IndexResult<Option<(T, Answer)>> {
        let answer = self.ask(place, method, path, body).await?;
        if answer.is_unknown_name() {
            return Ok(None);
        }
        Ok(Some((answer.read()?, answer)))
    }

    async fn put(&self, namespace: &str, records: Vec<VectorRecord>) -> IndexResult<Written> {
        let Some(first) = records.first() else { return Ok(Written::default()) };
        let dimension = u32::try_from(first.values.len()).unwrap_or(u32::MAX);
        let place = self.discovery.find_or_create(&self.http, dimension).await?;
        self.fits(&place, &records).await?;
        let count = records.len() as u64;
        let body = wire::upsert(namespace, &records);
        drop(records);
        if body.len() > BODY {
            let text = format!("{count} records make {} bytes, a request takes {BODY}", body.len());
            return Err(IndexError::new(IndexErrorKind::TooLarge, text));
        }
        let answer = self.ask(&place, Method::POST, "/vectors/upsert", Some(body)).await?;
        let upserted: wire::Upserted = match answer.read() {
            Err(error) if error.detail.contains("does not match the dimension of the index") => {
                self.discovery.replaced().await?;
                return Err(error);
            }
            read => read?,
        };
        if upserted.upserted_count != count {
            let text = format!("Pinecone says it took {} of {count} records", upserted.upserted_count);
            return Err(IndexError::new(IndexErrorKind::InDoubt, text));
        }
        self.discovery.accepted(dimension);
        Ok(Written { lsn: answer.written })
    }

    /// Whether the index is what the records were made for. What it is cannot be changed: either it took the
    /// place of another one, or a setting is wrong.
    async fn fits(&self, place: &Place, records: &[VectorRecord]) -> IndexResult<()> {
        let Configured { name, metric, dimension, .. } = &self.discovery.configured;
        let of_index = place.dimension.map(|dimension| dimension as usize);
        let wrong = match (of_index, records.iter().find(|record| Some(record.values.len()) != of_index)) {
            (Some(theirs), Some(record)) => {
                let ours = record.values.len();
                let hint = if dimension.is_none() {
                    format!("; CORPUSD_DIMENSION={theirs} sends only those that fit")
                } else {
                    String::new()
                };
                Some(format!("the index {name} takes vectors of {theirs} numbers, those to be sent have {ours}{hint}"))
            }
            (None, _) | (Some(_), None) => None,
        };
        let wrong = wrong.or_else(|| {
            let theirs = place.metric.filter(|theirs| theirs != metric)?;
            let (theirs, ours) = (theirs.name(), metric.name());
            Some(format!("the index {name} compares by {theirs}, CORPUSD_METRIC says {ours}"))
        });
        match wrong {
            None => Ok(()),
            Some(text) => {
                self.discovery.replaced().await?;
                Err(IndexError::new(IndexErrorKind::TargetFault, text))
            }
        }
    }

    async fn remove(&self, namespace: &str, ids: &[String]) -> IndexResult<Written> {
        let Some(place) = self.discovery.find(&self.http).await?.filter(|_| !ids.is_empty()) else {
            return Ok(Written::default());
        };
        let body = wire::delete(namespace, ids);
        let answer = self.ask(&place, Method::POST, "/vectors/delete", Some(body)).await?;
        let bare = answer.is_success() && answer.broken.is_none() && answer.body.is_empty();
        // The index is there, and says that it has no such namespace: so it has none of its records.
        if !answer.is_unknown_name() && !bare {
            let _: wire::Nothing = answer.read()?;
        }
        Ok(Written { lsn: answer.written })
    }

    async fn search(&self, query: VectorQuery) -> IndexResult<Vec<Match>> {
        let Some(namespace) = query.namespace.clone() else {
            return Err(IndexError::new(IndexErrorKind::Rejected, "one namespace is searched at a time"));
        };
        let Some(place) = self.discovery.find(&self.http).await? else { return Ok(Vec::new()) };
        if let Some(dimension) = place.dimension.filter(|dimension| *dimension as usize != query.vector.len()) {
            let text = format!("the index holds vectors of {dimension} numbers, this has {}", query.vector.len());
            return Err(IndexError::new(IndexErrorKind::Rejected, text));
        }
        let metric = place.metric.unwrap_or(self.discovery.configured.metric);
        let asked = self.read::<wire::Matches>(&place, Method::POST, "/query", Some(wire::query(&namespace, &query)));
        let Some((found, _)) = asked.await? else { return Ok(Vec::new()) };
        let made = found.matches.into_iter().map(|scored| Match {
            namespace: namespace.clone(),
            id: scored.id,
            score: wire::score(metric, scored.score),
            metadata: scored.metadata.map_or_else(|| "{}".to_owned(), |metadata| metadata.get().to_owned()),
        });
        Ok(made.collect())
    }

    async fn get(&self, namespace: &str, ids: &[String]) -> IndexResult<Vec<VectorRecord>> {
        let Some(place) = self.discovery.find(&self.http).await? else { return Ok(Vec::new()) };
        let mut records = Vec::with_capacity(ids.len());
        for path in fetches(namespace, ids) {
            let Some((fetched, _)) = self.read::<wire::Fetched>(&place, Method::GET, &path, None).await? else {
                return Ok(Vec::new());
            };
            records.extend(fetched.vectors.into_iter().map(|(id, vector)| VectorRecord {
                id,
                values: vector.values,
                metadata: vector.metadata.map_or_else(|| "{}".to_owned(), |metadata| metadata.get().to_owned()),
            }));
        }
        Ok(records)
    }

    async fn page(&self, namespace: &str, page: Option<&str>, limit: usize) -> IndexResult<IdPage> {
        let Some(place) = self.discovery.find(&self.http).await? else { return Ok(IdPage::default()) };
        let mut path = format!("/vectors/list?namespace={}&limit={}", encoded(namespace), limit.clamp(1, PAGE));
        if let Some(token) = page {
            path.push_str("&paginationToken=");
            path.push_str(&encoded(token));
        }
        let Some((listed, _)) = self.read::<wire::Listed>(&place, Method::GET, &path, None).await? else {
            return Ok(IdPage::default());
        };
        let next = listed.pagination.unwrap_or_default().next.filter(|token| !token.is_empty());
        Ok(IdPage { ids: listed.vectors.into_iter().map(|named| named.id).collect(), next })
    }

    async fn figures(&self) -> IndexResult<IndexStats> {
        let Some(place) = self.discovery.find(&self.http).await? else {
            let dimension = self.discovery.configured.dimension.unwrap_or(0);
            return Ok(IndexStats { dimension, ..IndexStats::default() });
        };
        let answer = self.ask(&place, Method::POST, "/describe_index_stats", Some(b"{}".to_vec())).await?;
        let stats: wire::Stats = answer.read()?;
        let mut namespaces: Vec<(String, u64)> = stats
            .namespaces
            .into_iter()
            .map(|(name, summary)| {
                let name = if name.is_empty() { DEFAULT_NAMESPACE.to_owned() } else { name };
                (name, summary.vector_count)
            })
            .collect();
        namespaces.sort();
        let dimension = stats.dimension.or(place.dimension).unwrap_or(0);
        Ok(IndexStats { dimension, fullness: stats.index_fullness, namespaces })
    }

    /// Asks for one match and takes the number that comes beside it.
    async fn seen(&self, namespace: &str) -> IndexResult<Option<i64>> {
        let Some(place) = self.discovery.find(&self.http).await? else { return Ok(None) };
        let Some(dimension) = place.dimension.or_else(|| self.discovery.dimension()) else { return Ok(None) };
        let mut vector = vec![0.0; dimension as usize];
        if let Some(first) = vector.first_mut() {
            *first = 1.0;
        }
        let query = VectorQuery { namespace: None, vector, top_k: 1, filter: None, metadata: false };
        let body = wire::query(namespace, &query);
        let asked = self.read::<wire::Matches>(&place, Method::POST, "/query", Some(body)).await?;
        Ok(asked.and_then(|(_, answer)| answer.indexed))
    }

    /// Looks whether the index is there, and makes it where its dimension is known beforehand.
    async fn prepare(&self) -> IndexResult<()> {
        match self.discovery.configured.dimension {
            Some(dimension) => self.discovery.find_or_create(&self.http, dimension).await.map(|_| ()),
            None => self.discovery.find(&self.http).await.map(|_| ()),
        }
    }

    /// The outcome of an operation, with an error that may be shown.
    async fn shown<T>(&self, outcome: impl Future<Output = IndexResult<T>>) -> IndexResult<T> {
        outcome.await.map_err(|error| IndexError { detail: self.http.one_line(&error.detail), ..error })
    }
}

/// The name of this kind of index.
const KIND: &str = "pinecone";

/// The part of the published rates that is used.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of small numbers, kept in range")]
fn share(published: Rates, share: f64) -> Rates {
    let part = |number: u32| (f64::from(number) * share).clamp(1.0, f64::from(u32::MAX)) as u32;
    Rates {
        requests: part(published.requests),
        upsert_bytes: part(published.upsert_bytes),
        delete_ids: part(published.delete_ids),
    }
}

/// The paths that fetch these ids, each of a length that every server takes.
fn fetches(namespace: &str, ids: &[String]) -> Vec<String> {
    let mut paths: Vec<(String, usize)> = Vec::new();
    for id in ids {
        let id = encoded(id);
        match paths.last_mut() {
            Some((path, count)) if *count < FETCH.0 && path.len() + id.len() + 5 <= FETCH.1 => {
                path.push_str("&ids=");
                path.push_str(&id);
                *count += 1;
            }
            _ => paths.push((format!("/vectors/fetch?namespace={}&ids={id}", encoded(namespace)), 1)),
        }
    }
    paths.into_iter().map(|(path, _)| path).collect()
}

impl VectorIndex for PineconeIndex {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn place(&self) -> Option<&str> {
        Some(&self.place)
    }

    fn limits(&self) -> IndexLimits {
        self.limits
    }

    fn metric(&self) -> Metric {
        self.discovery.configured.metric
    }

    /// As configured, else as an accepted vector had it: what the index is for was not asked of it then.
    fn dimension(&self) -> Option<u32> {
        self.discovery.dimension()
    }

    fn upsert<'a>(&'a self, namespace: &'a str, records: Vec<VectorRecord>) -> BoxFuture<'a, IndexResult<Written>> {
        self.shown(self.put(namespace, records)).boxed()
    }

    fn delete<'a>(&'a self, namespace: &'a str, ids: &'a [String]) -> BoxFuture<'a, IndexResult<Written>> {
        self.shown(self.remove(namespace, ids)).boxed()
    }

    fn query(&self, query: VectorQuery) -> BoxFuture<'_, IndexResult<Vec<Match>>> {
        self.shown(self.search(query)).boxed()
    }

    fn fetch<'a>(&'a self, namespace: &'a str, ids: &'a [String]) -> BoxFuture<'a, IndexResult<Vec<VectorRecord>>> {
        self.shown(self.get(namespace, ids)).boxed()
    }

    fn list<'a>(
        &'a self,
        namespace: &'a str,
        page: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, IndexResult<IdPage>> {
        self.shown(self.page(namespace, page, limit)).boxed()
    }

    fn stats(&self) -> BoxFuture<'_, IndexResult<IndexStats>> {
        self.shown(self.figures()).boxed()
    }

    fn visible_lsn<'a>(&'a self, namespace: &'a str) -> BoxFuture<'a, IndexResult<Option<i64>>> {
        self.shown(self.seen(namespace)).boxed()
    }

    fn warm(&self) -> BoxFuture<'_, IndexResult<()>> {
        self.shown(self.prepare()).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fetch_asks_for_a_hundred_ids_at_most_and_keeps_its_url_short() {
        let ids: Vec<String> = (0..250).map(|number| format!("id-{number}")).collect();
        let paths = fetches("a b", &ids);
        assert_eq!(paths.len(), 3);
        assert!(paths[0].starts_with("/vectors/fetch?namespace=a%20b&ids=id-0&ids=id-1&"), "{}", paths[0]);
        assert_eq!(paths.iter().map(|path| path.matches("&ids=").count()).sum::<usize>(), 250);
        let long: Vec<String> = (0..20).map(|number| format!("{}{number}", "#".repeat(500))).collect();
        let paths = fetches("n", &long);
        assert!(paths.len() == 10 && paths.iter().all(|path| path.len() <= FETCH.1), "{}", paths.len());
    }

    #[test]
    fn a_share_of_the_rates_is_never_nothing() {
        assert_eq!(share(PUBLISHED, 0.8), Rates { requests: 80, upsert_bytes: 40_000_000, delete_ids: 4_000 });
        assert_eq!(share(PUBLISHED, 0.001).requests, 1);
        assert_eq!(share(PUBLISHED, 1000.0).upsert_bytes, u32::MAX);
    }
}
