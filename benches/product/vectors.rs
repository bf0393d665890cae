//! V1: the ten nearest of many vectors in the local index.

use std::time::Instant;

use corpusd::app::App;
use corpusd::clock::Clock;
use corpusd::config::Config;
use corpusd::filter::Filter;
use corpusd::index::VectorQuery;
use corpusd::index::VectorRecord;
use corpusd::json::Json;
use corpusd::json::Literals;

use crate::data;
use crate::median;

/// Fills an index with `count` vectors and searches it.
pub async fn search(count: usize) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut config = Config::default();
    config.database.url = format!("sqlite:{}", folder.path().join("index.db").display());
    let app = App::open(config, &Clock::system()).await.expect("the application opens");
    let index = app.cx().index().clone();
    for first in (0..count).step_by(500) {
        let records = (first..count.min(first + 500))
            .map(|seed| VectorRecord {
                id: format!("v{seed}"),
                values: data::vector(seed as u64),
                metadata: format!("{{\"shelf\":{}}}", seed % 100),
            })
            .collect();
        index.upsert("default", records).await.expect("the records are written");
    }
    let shelf = Json::parse(b"{\"shelf\":7}", Literals::Strict).expect("JSON");
    let shelf = Filter::parse(&["filter"], &shelf).expect("a filter");
    for (name, filter) in [("", None), (", filter 1 %", Some(shelf))] {
        let mut times = Vec::new();
        for seed in 0..20 {
            let query = VectorQuery {
                namespace: Some("default".to_owned()),
                vector: data::vector(1_000_000 + seed),
                top_k: 10,
                filter: filter.clone(),
                metadata: true,
            };
            let start = Instant::now();
            let found = index.query(query).await.expect("the search runs");
            times.push(start.elapsed().as_secs_f64() * 1000.0);
            assert_eq!(found.len(), 10);
        }
        println!("| V1, top 10 of {count}{name} | {:.2} ms | | | |", median(times));
    }
    app.close().await;
}
