//! Pages of ids, records and namespaces.

use serde_json::Value;
use serde_json::json;

use crate::support::pinecone::Bench;

fn names(page: &Value, list: &str, name: &str) -> Vec<String> {
    page[list].as_array().expect("a list").iter().map(|item| item[name].as_str().expect("text").to_owned()).collect()
}

#[tokio::test]
async fn ids_come_in_bytewise_order_a_page_at_a_time() {
    let bench = Bench::with_index("cosine").await;
    let ids: Vec<String> = (0..250).map(|n| format!("d#{n}")).chain(["D#1".to_owned(), "e".to_owned()]).collect();
    let vectors: Vec<Value> = ids.iter().map(|id| json!({"id": id, "values": [1, 0, 0]})).collect();
    bench.upsert("a", json!(vectors)).await;
    let mut expected: Vec<String> = ids.into_iter().filter(|id| id.starts_with("d#")).collect();
    expected.sort();
    let (mut found, mut sizes, mut token) = (Vec::new(), Vec::new(), String::new());
    loop {
        let path = format!("/i/kb/vectors/list?namespace=a&prefix=d%23&paginationToken={token}");
        let page = bench.get(&path).await.json();
        let ids = names(&page, "vectors", "id");
        sizes.push(ids.len());
        found.extend(ids);
        match page["pagination"]["next"].as_str() {
            Some(next) => next.clone_into(&mut token),
            None => break,
        }
    }
    assert_eq!((found, sizes), (expected, vec![100, 100, 50]));
    assert_eq!(bench.listed("namespace=a&limit=2").await, ["D#1", "d#0"]);
    // A prefix is only that: `d#1` is one of `d#10` too.
    assert_eq!(bench.listed("namespace=a&prefix=d%231&limit=3").await, ["d#1", "d#10", "d#100"]);
    let last = bench.get("/i/kb/vectors/list?namespace=a&prefix=e").await.json();
    assert_eq!(last, json!({"vectors": [{"id": "e"}], "namespace": "a", "usage": {"readUnits": 1}}));
}

#[tokio::test]
async fn a_page_goes_on_after_the_last_id_whatever_was_deleted_meanwhile() {
    let bench = Bench::with_index("cosine").await;
    let vectors: Vec<Value> = (0..5).map(|n| json!({"id": n.to_string(), "values": [1, 0, 0]})).collect();
    bench.upsert("", json!(vectors)).await;
    let page = bench.get("/i/kb/vectors/list?limit=2").await.json();
    let token = page["pagination"]["next"].as_str().unwrap();
    bench.kb("/vectors/delete", &json!({"ids": ["1", "2"]})).await;
    assert_eq!(bench.listed(&format!("limit=2&paginationToken={token}")).await, ["3", "4"]);
}

#[tokio::test]
async fn records_that_fulfil_a_filter_come_a_page_at_a_time() {
    let bench = Bench::with_index("cosine").await;
    let vectors: Vec<Value> =
        (0..7).map(|n| json!({"id": n.to_string(), "values": [1, 0, 0], "metadata": {"odd": n % 2 == 1}})).collect();
    bench.upsert("a", json!(vectors)).await;
    let mut body = json!({"namespace": "a", "filter": {"odd": true}, "limit": 2});
    let first = bench.kb("/vectors/fetch_by_metadata", &body).await.json();
    assert_eq!(first["vectors"].as_object().unwrap().keys().collect::<Vec<_>>(), ["1", "3"]);
    assert_eq!(first["vectors"]["1"]["metadata"], json!({"odd": true}));
    body["paginationToken"] = first["pagination"]["next"].clone();
    let last = bench.kb("/vectors/fetch_by_metadata", &body).await.json();
    assert_eq!(last["vectors"].as_object().unwrap().keys().collect::<Vec<_>>(), ["5"]);
    assert_eq!(last.get("pagination"), None);
}

#[tokio::test]
async fn namespaces_come_a_page_at_a_time_with_their_number() {
    let bench = Bench::with_index("cosine").await;
    for name in ["b", "a2", "a1"] {
        bench.upsert(name, json!([{"id": "x", "values": [1, 0, 0]}])).await;
    }
    let page = bench.get("/i/kb/namespaces?limit=2").await.json();
    assert_eq!((names(&page, "namespaces", "name"), &page["total_count"]), (vec!["a1".into(), "a2".into()], &json!(3)));
    let token = page["pagination"]["next"].as_str().unwrap();
    let page = bench.get(&format!("/i/kb/namespaces?limit=2&paginationToken={token}")).await.json();
    assert_eq!(page, json!({"namespaces": [{"name": "b", "record_count": "1"}], "total_count": 3}),);
    let page = bench.get("/i/kb/namespaces?prefix=a").await.json();
    assert_eq!((names(&page, "namespaces", "name").len(), &page["total_count"]), (2, &json!(2)));
}
