//! Keyset pages through the schema: whole lists by pages, from both ends, while rows are written.

use corpusd::service::documents;
use corpusd::service::documents::NewDocument;
use serde_json::Value;
use serde_json::json;

use crate::graph::code;
use crate::graph::data;
use crate::graph::fill;
use crate::support::TestApp;

const PAGE: &str = "query($first: Int, $after: String, $last: Int, $before: String, $order: DocumentOrder) {
    documents(first: $first, after: $after, last: $last, before: $before, orderBy: $order) {
        totalCount edges { cursor node { id } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }";

fn ids(page: &Value) -> Vec<String> {
    let edges = page["documents"]["edges"].as_array().expect("as made");
    edges.iter().map(|edge| edge["node"]["id"].as_str().expect("as made").to_owned()).collect()
}

/// The whole list by pages of `size`, from the start or from the end.
async fn walk(test: &TestApp, order: &Value, size: usize, backward: bool) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut cursor = Value::Null;
    loop {
        let variables = if backward {
            json!({"last": size, "before": cursor, "order": order})
        } else {
            json!({"first": size, "after": cursor, "order": order})
        };
        let page = data(test, PAGE, variables).await;
        let info = &page["documents"]["pageInfo"];
        let edges = page["documents"]["edges"].as_array().expect("as made");
        assert_eq!(info["startCursor"], edges.first().map_or(Value::Null, |edge| edge["cursor"].clone()));
        assert_eq!(info["endCursor"], edges.last().map_or(Value::Null, |edge| edge["cursor"].clone()));
        let more = if backward {
            found.splice(0..0, ids(&page));
            cursor = info["startCursor"].clone();
            &info["hasPreviousPage"]
        } else {
            found.extend(ids(&page));
            cursor = info["endCursor"].clone();
            &info["hasNextPage"]
        };
        if *more == json!(false) {
            return found;
        }
        assert_eq!(edges.len(), size);
    }
}

#[tokio::test]
async fn pages_from_both_ends_are_the_whole_list_in_every_order() {
    let test = TestApp::new().await;
    fill(&test, 11, 0).await;
    for field in ["CREATED_AT", "UPDATED_AT", "TITLE"] {
        for direction in ["ASC", "DESC"] {
            let order = json!({"field": field, "direction": direction});
            let whole = ids(&data(&test, PAGE, json!({"first": 100, "order": order})).await);
            assert_eq!(whole.len(), 11);
            for size in [1, 3, 10, 11, 12] {
                assert_eq!(walk(&test, &order, size, false).await, whole, "{order} {size}");
                assert_eq!(walk(&test, &order, size, true).await, whole, "{order} {size}");
            }
        }
    }
    let created = ids(&data(&test, PAGE, json!({})).await);
    assert_eq!(created, (0..11).map(|i| format!("d{i:02}")).collect::<Vec<_>>());
    let titles = ids(&data(&test, PAGE, json!({"first": 2, "order": {"field": "TITLE"}})).await);
    assert_eq!(titles, ["d00", "d08"]);
}

#[tokio::test]
async fn a_page_stays_where_it_is_while_rows_are_inserted() {
    let test = TestApp::new().await;
    fill(&test, 6, 0).await;
    let order = json!({"field": "TITLE", "direction": "ASC"});
    let before = ids(&data(&test, PAGE, json!({"first": 100, "order": order})).await);
    let page = data(&test, PAGE, json!({"first": 3, "order": order})).await;
    let cursor = page["documents"]["pageInfo"]["endCursor"].clone();
    for title in ["A", "Title 00", "Title 02", "Z"] {
        let new = NewDocument { title: title.to_owned(), ..NewDocument::default() };
        documents::create(test.cx(), new).await.unwrap();
    }
    let rest = ids(&data(&test, PAGE, json!({"first": 100, "after": cursor, "order": order})).await);
    let old: Vec<String> = rest.into_iter().filter(|id| before.contains(id)).collect();
    assert_eq!(old, before[3..]);
}

#[tokio::test]
async fn both_cursors_bound_a_page() {
    let test = TestApp::new().await;
    fill(&test, 6, 0).await;
    let all = data(&test, PAGE, json!({})).await;
    let cursor = |i: usize| all["documents"]["edges"][i]["cursor"].clone();
    let between = data(&test, PAGE, json!({"after": cursor(0), "before": cursor(4)})).await;
    assert_eq!(ids(&between), ["d01", "d02", "d03"]);
    let last = data(&test, PAGE, json!({"last": 2, "after": cursor(0), "before": cursor(4)})).await;
    assert_eq!(ids(&last), ["d02", "d03"]);
    assert_eq!(last["documents"]["totalCount"], 6);
}

#[tokio::test]
async fn a_cursor_of_another_list_or_of_nobody_is_refused() {
    let test = TestApp::new().await;
    fill(&test, 2, 1).await;
    let titles = data(&test, PAGE, json!({"order": {"field": "TITLE"}})).await;
    let foreign = titles["documents"]["pageInfo"]["startCursor"].clone();
    for cursor in [foreign.clone(), json!(""), json!("x"), json!("WzEsMl0"), json!("é")] {
        assert_eq!(code(&test, PAGE, json!({"after": cursor})).await, "BAD_CURSOR");
        assert_eq!(code(&test, PAGE, json!({"last": 1, "before": cursor})).await, "BAD_CURSOR");
    }
    let chunks = "query($c: String) { document(id: \"d00\") { chunks(after: $c) { totalCount } } }";
    assert_eq!(code(&test, chunks, json!({"c": foreign})).await, "BAD_CURSOR");
    let descending = json!({"field": "TITLE", "direction": "DESC"});
    assert_eq!(code(&test, PAGE, json!({"after": foreign, "order": descending})).await, "BAD_CURSOR");
}

#[tokio::test]
async fn sizes_are_1_to_100_and_one_of_first_and_last() {
    let test = TestApp::new().await;
    for variables in [
        json!({"first": 0}),
        json!({"first": 101}),
        json!({"first": -1}),
        json!({"last": 0}),
        json!({"last": 101}),
        json!({"first": 1, "last": 1}),
    ] {
        assert_eq!(code(&test, PAGE, variables.clone()).await, "BAD_USER_INPUT", "{variables}");
    }
    fill(&test, 25, 0).await;
    for variables in [json!({}), json!({"first": null, "last": null})] {
        assert_eq!(ids(&data(&test, PAGE, variables).await).len(), 20);
    }
}

#[tokio::test]
async fn chunks_of_each_document_are_paged_by_their_own_cursors() {
    let test = TestApp::new().await;
    fill(&test, 2, 7).await;
    let query = "query($first: Int, $after: String, $last: Int, $before: String) { document(id: \"d01\") {
        chunks(first: $first, after: $after, last: $last, before: $before) {
            edges { cursor node { id } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } }";
    let page = |variables| async { data(&test, query, variables).await["document"]["chunks"].clone() };
    let ids = |page: &Value| -> Vec<String> {
        page["edges"].as_array().unwrap().iter().map(|edge| edge["node"]["id"].as_str().unwrap().to_owned()).collect()
    };
    let whole: Vec<String> = (0..7).map(|n| format!("d01c{n:02}")).collect();
    let (mut forward, mut cursor) = (Vec::new(), Value::Null);
    loop {
        let found = page(json!({"first": 3, "after": cursor})).await;
        forward.extend(ids(&found));
        cursor = found["pageInfo"]["endCursor"].clone();
        if found["pageInfo"]["hasNextPage"] == json!(false) {
            break;
        }
    }
    assert_eq!(forward, whole);
    let (mut backward, mut cursor) = (Vec::new(), Value::Null);
    loop {
        let found = page(json!({"last": 2, "before": cursor})).await;
        backward.splice(0..0, ids(&found));
        cursor = found["pageInfo"]["startCursor"].clone();
        if found["pageInfo"]["hasPreviousPage"] == json!(false) {
            break;
        }
    }
    assert_eq!(backward, whole);
    let own = page(json!({"first": 1})).await["pageInfo"]["endCursor"].clone();
    let other = "query($c: String) { document(id: \"d00\") { chunks(after: $c) { nodes { id } } } }";
    assert_eq!(code(&test, other, json!({"c": own})).await, "BAD_CURSOR");
    let several = "query($c: String) { documents { nodes { chunks(before: $c) { nodes { id } } } } }";
    assert_eq!(code(&test, several, json!({"c": own})).await, "BAD_CURSOR");
}
