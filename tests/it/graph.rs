//! Reading the graph: one statement a level, whatever the number of rows.

use std::collections::HashSet;

use corpusd::service::Delete;
use corpusd::service::chunks::NewChunk;
use corpusd::service::documents;
use corpusd::service::documents::NewDocument;
use corpusd::service::embeddings::NewEmbedding;
use serde_json::Value;
use serde_json::json;

use crate::support::TestApp;

const Q1: &str = "query($n: Int!) { documents(first: $n) { nodes { id title chunks(first: 10) { nodes {
    id chunkIndex text embeddings { id model isSynced } } } } } }";

/// `count` documents, each with `chunks` chunks of one embedding.
pub async fn fill(test: &TestApp, count: usize, chunks: usize) {
    for i in 0..count {
        test.clock.advance(std::time::Duration::from_millis(1));
        let chunk = |n: usize| NewChunk {
            id: Some(format!("d{i:02}c{n:02}")),
            chunk_index: Some(i64::try_from(n / 2).expect("a small number")),
            text: format!("Text {n} of {i}"),
            embeddings: vec![NewEmbedding {
                id: Some(format!("d{i:02}e{n:02}")),
                vector: vec![0.1, 0.5, 1.0e-7],
                model: Some(if n.is_multiple_of(2) { "even" } else { "odd" }.to_owned()),
                vector_id: None,
            }],
            ..NewChunk::default()
        };
        let new = NewDocument {
            id: Some(format!("d{i:02}")),
            title: format!("Title {:02}", (i * 7) % count),
            source: (i % 2 == 0).then(|| format!("Source {i}")),
            metadata: corpusd::json::Json::parse(
                format!(r#"{{"n":{i},"tags":["t{}","x"],"even":{}}}"#, i % 3, i % 2 == 0).as_bytes(),
                corpusd::json::Literals::Strict,
            )
            .ok(),
            chunks: (0..chunks).map(chunk).collect(),
            ..NewDocument::default()
        };
        documents::create(test.cx(), new).await.expect("as made");
    }
}

/// The data of an answer without errors.
pub async fn data(test: &TestApp, query: &str, variables: Value) -> Value {
    let answer = test.graphql(query, variables).await;
    assert_eq!(answer.get("errors"), None, "{answer}");
    answer["data"].clone()
}

/// The code of an answer's first error.
pub async fn code(test: &TestApp, query: &str, variables: Value) -> String {
    let answer = test.graphql(query, variables).await;
    answer["errors"][0]["extensions"]["code"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

async fn statements(test: &TestApp, query: &str, variables: Value) -> Vec<String> {
    test.cx().db().statements().listen();
    data(test, query, variables).await;
    test.cx().db().statements().heard()
}

#[tokio::test]
async fn a_document_is_read_by_id_with_its_metadata_as_stored() {
    let test = TestApp::new().await;
    let metadata = corpusd::json::Json::parse(
        br#"{"b":12345678901234567890123,"a":[1.50,null]}"#,
        corpusd::json::Literals::Strict,
    );
    let new = NewDocument { id: Some("d1".into()), title: "A".into(), metadata: metadata.ok(), ..Default::default() };
    documents::create(test.cx(), new).await.unwrap();
    let query = json!({"query": "{ document(id: \"d1\") { title metadata id createdAt source } none: document(id: \"x\") { id } }"});
    let answer = test.send("POST", "/graphql", "application/json", query.to_string()).await;
    assert_eq!(
        answer.text,
        r#"{"data":{"document":{"title":"A","metadata":{"b":12345678901234567890123,"a":[1.50,null]},"id":"d1","createdAt":"2026-01-01T00:00:00Z","source":null},"none":null},"extensions":{"cost":{"requested":2,"limit":10000}}}"#
    );
}

#[tokio::test]
async fn the_nested_query_is_three_statements_whatever_its_size() {
    let test = TestApp::new().await;
    fill(&test, 12, 4).await;
    for first in [1, 5, 12] {
        let heard = statements(&test, Q1, json!({"n": first})).await;
        assert_eq!(heard.len(), 3, "{heard:#?}");
        assert!(heard.iter().all(|sql| !sql.contains("e.vector,") && !sql.ends_with("e.vector")), "{heard:#?}");
    }
    let all = data(&test, Q1, json!({"n": 12})).await;
    let documents = all["documents"]["nodes"].as_array().unwrap();
    assert_eq!(documents.len(), 12);
    for (i, document) in documents.iter().enumerate() {
        assert_eq!(document["id"], format!("d{i:02}"));
        let chunks = document["chunks"]["nodes"].as_array().unwrap();
        let ids: Vec<&str> = chunks.iter().map(|chunk| chunk["id"].as_str().unwrap()).collect();
        assert_eq!(ids, (0..4).map(|n| format!("d{i:02}c{n:02}")).collect::<Vec<_>>());
        assert_eq!(chunks[1]["embeddings"], json!([{"id": format!("d{i:02}e01"), "model": "odd", "isSynced": false}]));
    }
}

#[tokio::test]
async fn every_field_below_a_list_is_one_statement_for_all_rows() {
    let test = TestApp::new().await;
    fill(&test, 6, 3).await;
    for (fields, count) in [
        ("stats { chunkCount embeddingCount }", 2),
        ("stats { totalTextLength averageChunkLength }", 2),
        ("sync { state total held }", 2),
        ("chunks { totalCount }", 3),
        ("a: chunks(first: 1) { nodes { id } } b: chunks(last: 1) { nodes { id } } ...F", 3),
        ("chunks { nodes { document { title } } }", 3),
        ("chunks { nodes { embeddingCount } }", 3),
        ("chunks { nodes { previous { id } next { id document { id } } } }", 5),
        ("chunks { nodes { embeddings { vector } } }", 3),
        ("chunks { nodes { embeddings { ... on Embedding { vectorBase64 } } } }", 3),
        ("chunks { nodes { embeddings { sync { state } chunk { id } } } }", 5),
    ] {
        let query = format!(
            "query($n: Int!) {{ documents(first: $n) {{ nodes {{ id {fields} }} }} }}
            fragment F on Document {{ a: chunks(first: 1) {{ nodes {{ id }} }} }}"
        );
        let query = if fields.contains("...F") { query } else { query.split("fragment").next().unwrap().to_owned() };
        for first in [1, 6] {
            let heard = statements(&test, &query, json!({"n": first})).await;
            assert_eq!(heard.len(), count, "{fields}: {heard:#?}");
        }
    }
    let heard = statements(&test, "{ embeddings { nodes { id vector } } }", json!({})).await;
    assert_eq!(heard.len(), 2, "{heard:#?}");
}

#[tokio::test]
async fn the_parts_of_each_parent_are_its_own() {
    let test = TestApp::new().await;
    fill(&test, 3, 5).await;
    let query = "{ documents { nodes { id stats { chunkCount embeddingCount totalTextLength averageChunkLength }
        sync { state total held percentage }
        first: chunks(first: 2) { nodes { id previous { id } next { id } document { id } } pageInfo { hasNextPage hasPreviousPage } totalCount }
        last: chunks(last: 2) { nodes { id } pageInfo { hasNextPage hasPreviousPage } }
        odd: chunks(filter: { chunkIndex: { gte: 1 }, text: { contains: \"TEXT 3\" } }) { totalCount nodes { id embeddings(model: \"odd\") { id } none: embeddings(model: \"x\") { id } embeddingCount } } } } }";
    let all = data(&test, query, json!({})).await;
    let document = &all["documents"]["nodes"][1];
    assert_eq!(
        *document,
        json!({
            "id": "d01",
            "stats": {"chunkCount": 5, "embeddingCount": 5, "totalTextLength": 55, "averageChunkLength": 11.0},
            "sync": {"state": "UNSYNCED", "total": 5, "held": 5, "percentage": 0.0},
            "first": {
                "nodes": [
                    {"id": "d01c00", "previous": null, "next": {"id": "d01c01"}, "document": {"id": "d01"}},
                    {"id": "d01c01", "previous": {"id": "d01c00"}, "next": {"id": "d01c02"}, "document": {"id": "d01"}},
                ],
                "pageInfo": {"hasNextPage": true, "hasPreviousPage": false},
                "totalCount": 5,
            },
            "last": {
                "nodes": [{"id": "d01c03"}, {"id": "d01c04"}],
                "pageInfo": {"hasNextPage": false, "hasPreviousPage": true},
            },
            "odd": {
                "totalCount": 1,
                "nodes": [{"id": "d01c03", "embeddings": [{"id": "d01e03"}], "none": [], "embeddingCount": 1}],
            },
        })
    );
}

#[tokio::test]
async fn a_vector_is_the_shortest_text_that_reads_back() {
    let test = TestApp::new().await;
    fill(&test, 1, 1).await;
    let query = json!({"query": "{ embedding(id: \"d00e00\") { vector vectorBase64 dimension vectorId lastSyncedAt
        sync { target namespace vectorId state wantRevision lastError { code } } chunk { id document { id } } } }"});
    let answer = test.send("POST", "/graphql", "application/json", query.to_string()).await;
    assert_eq!(
        answer.text,
        r#"{"data":{"embedding":{"vector":[0.1,0.5,1e-7],"vectorBase64":"zczMPQAAAD+Vv9Yz","dimension":3,"vectorId":"d00e00","lastSyncedAt":null,"sync":{"target":"asktemoc","namespace":"default","vectorId":"d00e00","state":"HELD","wantRevision":0,"lastError":null},"chunk":{"id":"d00c00","document":{"id":"d00"}}}},"extensions":{"cost":{"requested":25,"limit":10000}}}"#
    );
}

#[tokio::test]
async fn nodes_come_in_the_order_of_their_ids_with_null_for_what_is_not_there() {
    let test = TestApp::new().await;
    fill(&test, 2, 2).await;
    documents::delete(test.cx(), "d01", Delete::Soft).await.unwrap();
    let query = "query($ids: [ID!]!) { nodes(ids: $ids) { id __typename ... on Chunk { document { id } } } node(id: \"d01c00\") { id } }";
    let found = data(&test, query, json!({"ids": ["d00e00", "x", "d00c01", "d01", "d00", "d00c01", "d01c01"]})).await;
    let chunk = json!({"id": "d00c01", "__typename": "Chunk", "document": {"id": "d00"}});
    assert_eq!(
        found["nodes"],
        json!([
            {"id": "d00e00", "__typename": "Embedding"},
            null,
            chunk,
            null,
            {"id": "d00", "__typename": "Document"},
            chunk,
            null,
        ])
    );
    assert_eq!(found["node"], Value::Null);
    let many: Vec<String> = (0..101).map(|i| i.to_string()).collect();
    assert_eq!(code(&test, query, json!({"ids": many})).await, "BAD_USER_INPUT");
}

#[tokio::test]
async fn what_is_deleted_is_read_only_where_it_is_asked_for() {
    let test = TestApp::new().await;
    fill(&test, 2, 2).await;
    documents::delete(test.cx(), "d01", Delete::Soft).await.unwrap();
    let query = "{ live: document(id: \"d01\") { id } gone: document(id: \"d01\", includeDeleted: true) {
            deletedAt chunks { nodes { id document { id } embeddings { id chunk { id } } } } sync { state } stats { chunkCount } }
        chunk(id: \"d01c00\") { id } embedding(id: \"d01e00\") { id }
        a: documents { totalCount } b: documents(filter: { deleted: DELETED }) { totalCount nodes { id } }
        c: documents(filter: { deleted: ALL }) { totalCount } embeddings { totalCount } }";
    let found = data(&test, query, json!({})).await;
    assert_eq!(found["live"], Value::Null);
    assert_eq!(found["chunk"], Value::Null);
    assert_eq!(found["embedding"], Value::Null);
    assert_eq!(
        found["gone"]["chunks"]["nodes"][0],
        json!({"id": "d01c00", "document": {"id": "d01"},
        "embeddings": [{"id": "d01e00", "chunk": {"id": "d01c00"}}]})
    );
    assert_eq!(found["gone"]["sync"]["state"], "EMPTY");
    assert_eq!(found["gone"]["stats"]["chunkCount"], 0);
    assert_eq!(found["a"]["totalCount"], 1);
    assert_eq!(found["b"], json!({"totalCount": 1, "nodes": [{"id": "d01"}]}));
    assert_eq!(found["c"]["totalCount"], 2);
    assert_eq!(found["embeddings"]["totalCount"], 2);
    let nested = "{ documents(filter: { and: [{ deleted: ALL }] }) { totalCount } }";
    assert_eq!(code(&test, nested, json!({})).await, "BAD_USER_INPUT");
}

#[tokio::test]
async fn filters_mean_what_they_say() {
    let test = TestApp::new().await;
    fill(&test, 6, 2).await;
    let query = "query($f: DocumentFilter) { documents(filter: $f) { totalCount nodes { id } } }";
    for (filter, ids) in [
        (json!({}), vec![0, 1, 2, 3, 4, 5]),
        (json!({"id": {"in": ["d01", "d04", "x"]}}), vec![1, 4]),
        (json!({"id": {"in": []}}), vec![]),
        (json!({"id": {"startsWith": "d0", "contains": "3"}}), vec![3]),
        (json!({"namespace": {"eq": "default"}}), vec![0, 1, 2, 3, 4, 5]),
        (json!({"namespace": {"eq": "other"}}), vec![]),
        (json!({"title": {"startsWith": "tITLE", "contains": "e 0"}}), vec![0, 1, 2, 3, 4, 5]),
        (json!({"source": {"contains": "SOURCE 2"}}), vec![2]),
        (json!({"not": {"source": {"contains": "source"}}}), vec![1, 3, 5]),
        (json!({"or": [{"id": {"eq": "d05"}}, {"source": {"eq": "Source 0"}}]}), vec![0, 5]),
        (json!({"or": []}), vec![]),
        (json!({"and": []}), vec![0, 1, 2, 3, 4, 5]),
        (json!({"createdAt": {"gte": "2026-01-01T00:00:00.003Z", "lt": "2026-01-01T01:00:00.005+01:00"}}), vec![2, 3]),
        (json!({"updatedAt": {"lt": "2026-01-01T00:00:00.002Z"}}), vec![0]),
        (json!({"metadata": {"n": {"$gte": 2, "$lt": 4.5}}}), vec![2, 3, 4]),
        (json!({"metadata": {"n": 3}}), vec![3]),
        (json!({"metadata": {"n": "3"}}), vec![]),
        (json!({"metadata": {"n": {"$in": [1, 5, "x"]}}}), vec![1, 5]),
        (json!({"metadata": {"n": {"$nin": [1, 5]}, "even": false}}), vec![3]),
        (json!({"metadata": {"tags": "t1"}}), vec![1, 4]),
        (json!({"metadata": {"tags": {"$ne": "t1"}}}), vec![0, 2, 3, 5]),
        (json!({"metadata": {"missing": {"$ne": 1}, "n": {"$lte": 0}}}), vec![0]),
        (json!({"metadata": {"missing": {"$exists": true}}}), vec![]),
        (json!({"metadata": {"$or": [{"n": 0}, {"$and": [{"even": true}, {"n": {"$gt": 3}}]}]}}), vec![0, 4]),
        (json!({"anyChunk": {"text": {"contains": "of 3"}, "chunkIndex": {"eq": 0}}}), vec![3]),
        (json!({"anyChunk": {"chunkIndex": {"gte": 1}}}), vec![]),
        (json!({"sync": ["UNSYNCED"]}), vec![0, 1, 2, 3, 4, 5]),
        (json!({"sync": ["SYNCED", "EMPTY"]}), vec![]),
        (json!({"not": {"sync": ["SYNCED"]}, "id": {"eq": "d02"}}), vec![2]),
    ] {
        let found = data(&test, query, json!({"f": filter})).await;
        let want: Vec<Value> = ids.iter().map(|i| json!({"id": format!("d{i:02}")})).collect();
        assert_eq!(found["documents"], json!({"totalCount": ids.len(), "nodes": want}), "{filter}");
    }
    for filter in
        [json!({"metadata": {"a": {"$regex": "x"}}}), json!({"metadata": []}), json!({"title": {"eq": "a\u{0}"}})]
    {
        assert_eq!(code(&test, query, json!({"f": filter})).await, "BAD_USER_INPUT", "{filter}");
    }
    let embeddings = "query($f: EmbeddingFilter) { embeddings(filter: $f) { totalCount nodes { id } } }";
    for (filter, count) in [
        (json!({}), 12),
        (json!({"documentId": "d02"}), 2),
        (json!({"chunkId": "d02c01"}), 1),
        (json!({"documentId": "d01", "chunkId": "d02c01"}), 0),
        (json!({"model": "odd"}), 6),
        (json!({"synced": true}), 0),
        (json!({"synced": false, "documentId": "d02"}), 2),
        (json!({"state": "HELD"}), 12),
        (json!({"state": "PENDING"}), 0),
    ] {
        let found = data(&test, embeddings, json!({"f": filter})).await;
        assert_eq!(found["embeddings"]["totalCount"], count, "{filter}");
        assert_eq!(found["embeddings"]["nodes"].as_array().map(Vec::len), Some(usize::try_from(count).unwrap()));
    }
}

#[tokio::test]
async fn the_corpus_at_a_glance_is_a_fixed_number_of_statements() {
    let test = TestApp::new().await;
    fill(&test, 3, 2).await;
    let query = "{ overview { documents chunks embeddings sync { state total } }
        namespaces { name documents chunks embeddings sync { total held } }
        activity(days: 1, first: 2) { documents { id } chunks { id document { id } } embeddings { id } }
        targets { name kind state metric index namespace syncedThrough lagSeconds inDoubt coverage { total } }
        syncSlots { totalCount nodes { vectorId } } syncJobs { totalCount nodes { id } }
        server { name database startedAt } }";
    let found = data(&test, query, json!({})).await;
    assert_eq!(
        found["overview"],
        json!({"documents": 3, "chunks": 6, "embeddings": 6, "sync": {"state": "UNSYNCED", "total": 6}})
    );
    assert_eq!(
        found["namespaces"],
        json!([{"name": "default", "documents": 3, "chunks": 6, "embeddings": 6, "sync": {"total": 6, "held": 6}}])
    );
    assert_eq!(found["activity"]["documents"], json!([{"id": "d02"}, {"id": "d01"}]));
    assert_eq!(found["activity"]["chunks"][0]["document"]["id"], "d02");
    assert_eq!(found["activity"]["embeddings"].as_array().map(Vec::len), Some(2));
    assert_eq!(found["syncSlots"], json!({"totalCount": 0, "nodes": []}));
    assert_eq!(found["server"]["name"], "corpusd");
    let before = statements(&test, query, json!({})).await.len();
    fill_more(&test).await;
    assert_eq!(statements(&test, query, json!({})).await.len(), before);
}

async fn fill_more(test: &TestApp) {
    for i in 0..5 {
        let new = NewDocument { title: format!("More {i}"), namespace: Some(format!("n{i}")), ..Default::default() };
        documents::create(test.cx(), new).await.expect("as made");
    }
}

#[tokio::test]
async fn a_failing_field_that_may_not_be_null_takes_its_parent_with_it() {
    let test = TestApp::new().await;
    fill(&test, 1, 1).await;
    let answer = test
        .graphql(
            "{ document(id: \"d00\") { title chunks(first: 0) { totalCount } } other: document(id: \"d00\") { id } }",
            json!({}),
        )
        .await;
    assert_eq!(answer["data"], json!({"document": null, "other": {"id": "d00"}}));
    assert_eq!(answer["errors"][0]["path"], json!(["document", "chunks"]));
    assert_eq!(answer["errors"][0]["extensions"]["code"], "BAD_USER_INPUT");
    assert_eq!(answer["errors"][0]["extensions"]["fields"][0]["field"], "first");
}

#[tokio::test]
async fn search_hits_are_read_on_as_one_level() {
    let test = TestApp::new().await;
    fill(&test, 3, 2).await;
    let query = "{ search(input: { text: \"text 1\", mode: TEXT }) { stale hits { score textRank snippet chunk { id previous { id } embeddings { id } } document { id title } } } }";
    let heard = statements(&test, query, json!({})).await;
    let found = data(&test, query, json!({})).await;
    let hits = found["search"]["hits"].as_array().unwrap();
    let ids: HashSet<&str> = hits.iter().map(|hit| hit["chunk"]["id"].as_str().unwrap()).collect();
    assert_eq!(ids, HashSet::from(["d00c01", "d01c01", "d02c01"]));
    assert!(hits.iter().all(|hit| hit["chunk"]["embeddings"].as_array().map(Vec::len) == Some(1)));
    let below = heard.iter().filter(|sql| sql.contains("p.key")).count();
    assert_eq!(below, 2, "{heard:#?}");
}
