//! What an operation costs, and that one which costs too much is refused before anything is read.

use std::collections::BTreeSet;

use serde_json::Value;
use serde_json::json;

use crate::parity::world;
use crate::support::TestApp;

fn points(answer: &Value) -> u64 {
    answer["extensions"]["cost"]["requested"].as_u64().unwrap_or_else(|| panic!("{answer}"))
}

#[tokio::test]
async fn an_object_is_a_point_and_a_list_is_as_many_as_its_page() {
    let test = TestApp::new().await;
    let none = json!({});
    for (query, variables, cost) in [
        ("{ __typename __schema { queryType { name } } }", none.clone(), 0),
        ("{ server { name version } }", none.clone(), 1),
        ("{ documents { totalCount pageInfo { hasNextPage } nodes { id title metadata } } }", none.clone(), 20),
        ("{ documents(first: 7) { edges { cursor node { id } } } }", none.clone(), 7),
        ("{ documents(last: 7) { totalCount } }", none.clone(), 7),
        ("query($n: Int = 7) { documents(first: $n) { totalCount } }", none.clone(), 7),
        ("query($n: Int = 7) { documents(first: $n) { totalCount } }", json!({ "n": 3 }), 3),
        ("query($n: Int) { documents(first: $n) { totalCount } }", none.clone(), 20),
        ("{ documents { nodes { id stats { chunkCount } chunks(first: 10) { nodes { id } } } } }", none.clone(), 240),
        (
            "{ documents { nodes { ...d } } } fragment d on Document { chunks(first: 10) { nodes { embeddings { id } } } }",
            none.clone(),
            20 * (1 + 10 * (1 + 5)),
        ),
        (
            "{ chunk(id: \"x\") { embeddings { vector vectorBase64 } } embeddings(first: 3) { nodes { vector } } }",
            none.clone(),
            1 + 5 * (1 + 10 + 10) + 3 * (1 + 10),
        ),
        (
            "{ search(input: { text: \"a\", mode: TEXT }) { took hits { score chunk { id } document { id } } } }",
            none.clone(),
            100 + 10 * (1 + 1 + 1),
        ),
        (
            "query($i: SearchInput!) { search(input: $i) { hits { score } } }",
            json!({ "i": { "text": "a", "mode": "TEXT", "first": 2 } }),
            102,
        ),
        ("{ nodes(ids: [\"a\", \"b\", \"c\"]) { id ... on Document { sync { state } } } }", none.clone(), 6),
        ("{ activity(first: 5) { documents { id } chunks { document { id } } } }", none.clone(), 1 + 5 + 5 * 2),
        (
            "mutation($i: CreateChunksInput!) { createChunks(input: $i) { chunks { id } } }",
            json!({ "i": { "documentId": "x", "chunks": [{ "text": "a" }, { "text": "b" }] } }),
            1 + 2,
        ),
    ] {
        let answer = test.graphql(query, variables).await;
        assert_eq!(points(&answer), cost, "{query}");
        assert_eq!(answer["extensions"]["cost"]["limit"], 10_000, "{query}");
    }
}

#[tokio::test]
async fn only_the_operation_that_is_executed_counts() {
    let test = TestApp::new().await;
    let query = "query A { documents(first: 100) { totalCount } } query B { server { name } }";
    for (name, cost) in [("A", 100), ("B", 1)] {
        let body = json!({ "query": query, "operationName": name }).to_string();
        let answer = test.send("POST", "/graphql", "application/json", body).await.json();
        assert_eq!(points(&answer), cost);
    }
}

#[tokio::test]
async fn pages_in_pages_are_answered_at_the_limit_and_refused_beyond_before_anything_is_read() {
    let nested = |first: u64| {
        format!("{{ documents(first: 100) {{ nodes {{ chunks(first: {first}) {{ nodes {{ id }} }} }} }} }}")
    };
    let test = TestApp::new().await;
    let within = test.graphql(&nested(99), Value::Null).await;
    assert_eq!((&within["errors"], points(&within)), (&Value::Null, 10_000));
    test.cx().db().statements().listen();
    let beyond = test.graphql(&nested(100), Value::Null).await;
    assert!(test.cx().db().statements().heard().is_empty());
    let error = &beyond["errors"][0];
    let told = json!({ "code": "COST_EXCEEDED", "of": "cost", "limit": 10_000, "cost": 10_100 });
    assert_eq!((&error["extensions"], &error["locations"]), (&told, &json!([{ "line": 1, "column": 1 }])));
    assert_eq!(beyond.get("data"), None);
    let higher = TestApp::with(|config| config.limits.graphql.cost = 10_100).await;
    assert_eq!(higher.graphql(&nested(100), Value::Null).await["errors"], Value::Null);
    // A mutation that would answer with too much is not carried out.
    let create = "mutation($i: CreateDocumentInput!) { createDocument(input: $i) { document { chunks(first: 100) {
        nodes { embeddings { vector vectorBase64 } } } } } }";
    let refused = test.graphql(create, json!({ "i": { "title": "T" } })).await;
    assert_eq!(refused["errors"][0]["extensions"]["code"], "COST_EXCEEDED");
    let count = test.graphql("{ documents(first: 1) { totalCount } }", Value::Null).await;
    assert_eq!(count["data"]["documents"]["totalCount"], 0);
}

#[tokio::test]
async fn what_a_variable_holds_counts_as_often_as_it_is_read() {
    let test = TestApp::with(|config| config.limits.graphql.values = 1_000).await;
    // An object, its object, its list, and the items; ten times for each use, and twice more below the list.
    let filter = json!({ "id": { "in": vec!["x"; 97] } });
    let query = |uses: usize| {
        let uses: String = (0..uses).map(|i| format!(" a{i}: documents(filter: $f) {{ totalCount }}")).collect();
        format!("query($f: DocumentFilter) {{ {uses} }}")
    };
    assert_eq!(test.graphql(&query(10), json!({ "f": filter })).await["errors"], Value::Null);
    let refused = test.graphql(&query(11), json!({ "f": filter })).await;
    let extensions = &refused["errors"][0]["extensions"];
    assert_eq!((&extensions["code"], &extensions["of"]), (&json!("COST_EXCEEDED"), &json!("values")));
    let below =
        "query($f: ChunkFilter) { documents(first: 100) { nodes { chunks(first: 1, filter: $f) { totalCount } } } }";
    let words = |count: usize| json!({ "f": { "text": { "in": vec!["x"; count] } } });
    assert_eq!(test.graphql(below, words(5)).await["errors"], Value::Null);
    assert_eq!(test.graphql(below, words(6)).await["errors"][0]["extensions"]["of"], "values");
}

#[tokio::test]
async fn every_list_of_the_schema_is_known_to_the_reckoning() {
    // Whoever adds one says in `cost.rs` how long it is, and here that it was done.
    let known = [
        "Activity.chunks",
        "Activity.documents",
        "Activity.embeddings",
        "AuditEntry.deeds",
        "Chunk.embeddings",
        "CreateChunksPayload.chunks",
        "CreateEmbeddingsPayload.embeddings",
        "DeleteDocumentsPayload.outcomes",
        "Document.chunks",
        "IndexStats.namespaces",
        "Query.apiKeys",
        "Query.auditLog",
        "Query.documents",
        "Query.embeddings",
        "Query.namespaces",
        "Query.nodes",
        "Query.syncJobs",
        "Query.syncSlots",
        "Query.targets",
        "ReconcileReport.findings",
        "SearchResult.hits",
    ];
    let test = TestApp::new().await;
    let kind = "kind name ofType { kind name ofType { kind name ofType { kind name } } }";
    let query = format!("{{ __schema {{ types {{ name kind fields {{ name type {{ {kind} }} }} }} }} }}");
    let schema = test.graphql(&query, Value::Null).await;
    let mut found = BTreeSet::new();
    for object in schema["data"]["__schema"]["types"].as_array().expect("types") {
        let name = object["name"].as_str().expect("a name");
        // Connections and edges are parts of what was counted.
        if name.starts_with("__") || name.ends_with("Connection") {
            continue;
        }
        for field in object["fields"].as_array().into_iter().flatten() {
            let kinds = std::iter::successors(Some(&field["type"]), |kind| {
                Some(&kind["ofType"]).filter(|below| !below.is_null())
            });
            let names: Vec<(&str, &str)> = kinds
                .map(|kind| (kind["kind"].as_str().unwrap_or_default(), kind["name"].as_str().unwrap_or_default()))
                .collect();
            let (last, list) = (names.last().expect("a type"), names.iter().any(|(kind, _)| *kind == "LIST"));
            let objects = matches!(last.0, "OBJECT" | "INTERFACE" | "UNION");
            if objects && (list || last.1.ends_with("Connection")) {
                found.insert(format!("{name}.{}", field["name"].as_str().expect("a name")));
            }
        }
    }
    assert_eq!(found, known.map(str::to_owned).into_iter().collect());
}

#[tokio::test]
async fn an_answer_tells_twenty_errors_and_how_many_there_were_besides() {
    let test = world().await;
    let names = |count: usize| (0..count).map(|i| format!("nothing{i}")).collect::<Vec<_>>().join(" ");
    let ids = |count: usize| vec!["d1"; count];
    let below = "query($i: [ID!]!) { nodes(ids: $i) { ... on Document { chunks(first: 0) { totalCount } } } }";
    for (count, told, omitted) in [(19, 19, Value::Null), (20, 20, Value::Null), (50, 20, json!(30))] {
        let unknown = test.graphql(&format!("{{ server {{ {} }} }}", names(count)), Value::Null).await;
        let failing = test.graphql(below, json!({ "i": ids(count) })).await;
        assert_eq!(failing["data"]["nodes"].as_array().map(Vec::len), Some(count));
        for (answer, code) in [(unknown, "GRAPHQL_VALIDATION_FAILED"), (failing, "BAD_USER_INPUT")] {
            let errors = answer["errors"].as_array().expect("errors");
            assert_eq!(errors.len(), told);
            assert!(errors.iter().all(|error| error["extensions"]["code"] == code), "{answer}");
            assert_eq!(errors[told - 1]["extensions"].get("omitted").unwrap_or(&Value::Null), &omitted);
        }
    }
    let few = TestApp::with(|config| config.limits.graphql.errors = 1).await;
    let answer = few.graphql(&format!("{{ server {{ {} }} }}", names(3)), Value::Null).await;
    assert_eq!(answer["errors"].as_array().map(Vec::len), Some(1));
}
