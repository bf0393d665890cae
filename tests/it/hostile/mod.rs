//! Bad input on both edges: a 4xx that names the field (or the offset), and nothing half written.

mod odd;

use corpusd::index::VectorRecord;

use crate::parity::rows;
use crate::parity::world;
use crate::support::Answer;
use crate::support::TestApp;

/// One bad request and what its answer must say.
struct Attack {
    name: String,
    method: &'static str,
    path: String,
    body: Vec<u8>,
    says: &'static str,
}

fn rest(method: &'static str, path: &str, body: impl Into<Vec<u8>>, says: &'static str) -> Attack {
    let body = body.into();
    let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
    Attack { name: format!("{method} {path} {shown}"), method, path: path.to_owned(), body, says }
}

fn graphql(query: &str, variables: &str, says: &'static str) -> Attack {
    let query = serde_json::Value::from(query).to_string();
    let body = format!(r#"{{"query":{query},"variables":{variables}}}"#);
    let name = format!("GraphQL {query} {}", variables.chars().take(120).collect::<String>());
    Attack { name, method: "POST", path: "/graphql".to_owned(), body: body.into_bytes(), says }
}

/// Sends each; the rows are the same after it as before.
async fn repel(test: &TestApp, attacks: Vec<Attack>) {
    let before = rows(test).await;
    let mut wrong = Vec::new();
    for Attack { name, method, path, body, says } in attacks {
        let answer = test.send(method, &path, "application/json", body).await;
        let told = if path.starts_with("/graphql") { told_by_graphql(&answer) } else { told_by_rest(&answer) };
        let shown: String = answer.text.chars().take(400).collect();
        match told {
            None => wrong.push(format!("{name} is not refused: {} {shown}", answer.status)),
            Some(told) if !told.iter().any(|told| told.contains(says)) => {
                wrong.push(format!("{name} says {told:?}, not {says}: {} {shown}", answer.status));
            }
            Some(_) => {}
        }
        if rows(test).await != before {
            wrong.push(format!("{name} left something behind"));
            break;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The code and the fields of a refusal; nothing when it is none, or a defect.
fn told_by_graphql(answer: &Answer) -> Option<Vec<String>> {
    let body = answer.json();
    let errors = body["errors"].as_array().filter(|errors| answer.status < 500 && !errors.is_empty())?;
    let mut told = Vec::new();
    for error in errors {
        let code = error["extensions"]["code"].as_str().filter(|code| *code != "INTERNAL")?;
        told.push(code.to_owned());
        let fields = error["extensions"]["fields"].as_array();
        told.extend(fields.into_iter().flatten().filter_map(|field| Some(field["field"].as_str()?.to_owned())));
        // What is no JSON has no fields, but a place.
        told.extend(error["message"].as_str().filter(|message| message.contains(" at offset ")).map(str::to_owned));
    }
    Some(told)
}

/// The kinds and places of a refusal; its sentence where it has none.
fn told_by_rest(answer: &Answer) -> Option<Vec<String>> {
    let body = Some(answer.json()).filter(|_| (400..500).contains(&answer.status))?;
    let Some(details) = body["detail"].as_array() else { return Some(vec![body["detail"].as_str()?.to_owned()]) };
    let mut told = Vec::new();
    for detail in details {
        told.push(detail["type"].as_str()?.to_owned());
        told.push(detail["loc"].to_string());
    }
    Some(told)
}

fn deep(levels: usize) -> String {
    format!("{}1{}", "[".repeat(levels), "]".repeat(levels))
}

fn numbers(count: usize) -> String {
    format!("[{}]", vec!["0.5"; count].join(","))
}

#[tokio::test]
async fn bad_documents_are_refused_over_rest() {
    let test = world().await;
    let mut attacks = Vec::new();
    let long = format!(r#"{{"title":"{}"}}"#, "x".repeat(256));
    let far = format!(r#"{{"title":"T","source":"{}"}}"#, "x".repeat(513));
    let big = format!(r#"{{"title":"T","metadata":{{"k":"{}"}}}}"#, "x".repeat(70_000));
    let nested = format!(r#"{{"title":"T","metadata":{{"k":{}}}}}"#, deep(1000));
    for (body, says) in [
        (r#"{"title":"a\u0000b"}"#, "title"),
        (r#"{"title":""}"#, "title"),
        (r#"{"title":1}"#, "title"),
        (r#"{"title":null}"#, "title"),
        (r#"{"title":["T"]}"#, "title"),
        (r#"{"title":{}}"#, "title"),
        ("{}", "title"),
        (long.as_str(), "title"),
        (r#"{"title":"T","source":"\u0000"}"#, "source"),
        (r#"{"title":"T","source":7}"#, "source"),
        (far.as_str(), "source"),
        (r#"{"title":"T","metadata":[]}"#, "metadata"),
        (r#"{"title":"T","metadata":"x"}"#, "metadata"),
        (r#"{"title":"T","metadata":{"k":"\u0000"}}"#, "metadata"),
        (r#"{"title":"T","metadata":{"\u0000":1}}"#, "metadata"),
        (r#"{"title":"T","metadata":{"k":NaN}}"#, "metadata"),
        (r#"{"title":"T","metadata":{"$k":1}}"#, "metadata"),
        (r#"{"title":"T","metadata":{"_cd_rev":1}}"#, "metadata"),
        (r#"{"title":"T","metadata":{"k":{"$serde_json::private::RawValue":"1"}}}"#, "metadata"),
        (big.as_str(), "metadata"),
        (nested.as_str(), "json_invalid"),
        (r#"{"title":"\ud800"}"#, "json_invalid"),
        (r#"{"title":"\udc00\ud800"}"#, "json_invalid"),
        (r#"{"title":"T""#, "json_invalid"),
        (r#"{"title":'T'}"#, "json_invalid"),
        ("{\"title\":\"a\tb\"}", "json_invalid"),
        ("[1]", "body"),
        ("7", "body"),
        ("\"T\"", "body"),
        ("null", "body"),
        ("", "body"),
    ] {
        attacks.push(rest("POST", "/api/documents", body, says));
        // A change may leave out what a new document must have.
        if !matches!(body, "{}" | r#"{"title":null}"#) {
            attacks.push(rest("PUT", "/api/documents/d1", body, says));
        }
    }
    attacks.push(rest("POST", "/api/documents", b"{\"title\":\"\xff\"}".to_vec(), "json_invalid"));
    for (path, says) in [
        ("/api/documents?skip=-1", "skip"),
        ("/api/documents?limit=-1", "limit"),
        ("/api/documents?limit=x", "limit"),
        ("/api/documents?limit=1.5", "limit"),
        ("/api/documents?skip=9223372036854775808", "skip"),
        ("/api/documents?limit=-99999999999999999999999999999999999999999999", "limit"),
        ("/api/documents?include_deleted=maybe", "include_deleted"),
        ("/api/documents/%00", "not found"),
        ("/api/documents/%FF", "Not Found"),
        ("/api/documents/d1/chunks?skip=-1", "skip"),
        ("/api/dashboard/search?query=%00", "query"),
        ("/api/dashboard/search", "query"),
        ("/api/dashboard/search?query=a&limit=-1", "limit"),
        ("/api/dashboard/activity?days=-1", "days"),
        ("/api/dashboard/activity?limit=NaN", "limit"),
        ("/api/dashboard/document/d1/export?include_vectors=2", "include_vectors"),
        ("/api/embeddings/e1?include_vector=x", "include_vector"),
    ] {
        attacks.push(rest("GET", path, "", says));
    }
    attacks.push(rest("DELETE", "/api/documents/d1?hard_delete=maybe", "", "hard_delete"));
    attacks.push(rest("PUT", "/api/documents/d1?metadata_mode=other", "{}", "metadata_mode"));
    for body in [r#"{"query":""}"#, r#"{"query":1}"#, r#"{"query":"\u0000"}"#, "{}"] {
        attacks.push(rest("POST", "/api/documents/search", body, "query"));
    }
    for body in [r#"{"doc_ids":"d1"}"#, r#"{"doc_ids":[1]}"#, r#"{"ids":["d1"]}"#, r#"{"doc_ids":[null]}"#] {
        attacks.push(rest("POST", "/api/dashboard/documents/batch-delete", body, "doc_ids"));
    }
    repel(&test, attacks).await;
}

#[tokio::test]
async fn bad_chunks_and_vectors_are_refused_over_rest() {
    let test = world().await;
    let record = VectorRecord { id: "x".to_owned(), values: vec![1.0, 0.0], metadata: "{}".to_owned() };
    test.cx().index().upsert("default", vec![record]).await.expect("the index learns its dimension");
    let mut attacks = Vec::new();
    let large = format!(r#"{{"chunk_index":0,"text":"{}"}}"#, "x".repeat(1_000_001));
    for (body, says) in [
        (r#"{"chunk_index":-1,"text":"t"}"#, "chunk_index"),
        (r#"{"chunk_index":2147483648,"text":"t"}"#, "chunk_index"),
        (r#"{"chunk_index":9223372036854775808,"text":"t"}"#, "chunk_index"),
        (r#"{"chunk_index":-9223372036854775809,"text":"t"}"#, "chunk_index"),
        (r#"{"chunk_index":1e400,"text":"t"}"#, "chunk_index"),
        (r#"{"chunk_index":1.5,"text":"t"}"#, "chunk_index"),
        (r#"{"chunk_index":NaN,"text":"t"}"#, "chunk_index"),
        (r#"{"chunk_index":"x","text":"t"}"#, "chunk_index"),
        (r#"{"chunk_index":null,"text":"t"}"#, "chunk_index"),
        (r#"{"chunk_index":[],"text":"t"}"#, "chunk_index"),
        (r#"{"text":"t"}"#, "chunk_index"),
        (r#"{"chunk_index":0}"#, "text"),
        (r#"{"chunk_index":0,"text":""}"#, "text"),
        (r#"{"chunk_index":0,"text":7}"#, "text"),
        (r#"{"chunk_index":0,"text":"a\u0000"}"#, "text"),
        (r#"{"chunk_index":0,"text":"t","metadata":7}"#, "metadata"),
        (large.as_str(), "text"),
    ] {
        attacks.push(rest("POST", "/api/documents/d1/chunks", body, says));
        // The first of the batch is good, and must not stay.
        let batch = format!(r#"{{"chunks":[{{"chunk_index":0,"text":"good"}},{body}]}}"#);
        attacks.push(rest("POST", "/api/documents/d1/chunks/batch", batch, says));
    }
    let many = format!("[{}]", vec![r#"{"chunk_index":0,"text":"t"}"#; 1001].join(","));
    attacks.push(rest("POST", "/api/documents/d1/chunks/batch", many, "body"));
    for (vector, says) in [
        ("[]".to_owned(), "vector"),
        (numbers(20_001), "vector"),
        ("[NaN]".to_owned(), "vector"),
        ("[1,Infinity]".to_owned(), "vector"),
        ("[-Infinity]".to_owned(), "vector"),
        ("[1e400]".to_owned(), "vector"),
        ("[1e39]".to_owned(), "vector"),
        ("[\"x\"]".to_owned(), "vector"),
        ("[null]".to_owned(), "vector"),
        ("[[1]]".to_owned(), "vector"),
        ("{\"0\":1}".to_owned(), "vector"),
        ("\"1\"".to_owned(), "vector"),
        ("7".to_owned(), "vector"),
    ] {
        attacks.push(rest("POST", "/api/chunks/c1/embeddings", format!(r#"{{"vector":{vector}}}"#), says));
        attacks.push(rest("PUT", "/api/embeddings/e1", format!(r#"{{"vector":{vector}}}"#), says));
        if vector != "[]" {
            attacks.push(rest("POST", "/api/pinecone/search", format!(r#"{{"vector":{vector}}}"#), says));
        }
    }
    attacks.push(rest("POST", "/api/pinecone/search", r#"{"vector":[1,2,3]}"#, "vector"));
    for top_k in ["0", "-1", "x", "9223372036854775808", "1.5"] {
        attacks.push(rest("POST", &format!("/api/pinecone/search?top_k={top_k}"), "[1,0]", "top_k"));
    }
    let name = format!(r#"{{"vector":[1],"model":"{}"}}"#, "m".repeat(101));
    attacks.push(rest("POST", "/api/chunks/c1/embeddings", name, "model"));
    attacks.push(rest("POST", "/api/chunks/c1/embeddings", r#"{"vector":[1],"model":"\u0000"}"#, "model"));
    attacks.push(rest("POST", "/api/chunks/c1/embeddings", r#"{"vector":[1],"model":3}"#, "model"));
    let id = format!(r#"{{"pinecone_id":"{}"}}"#, "v".repeat(513));
    for body in [
        r#"{"pinecone_id":"a\u0000"}"#,
        r#"{"pinecone_id":"a\n"}"#,
        r#"{"pinecone_id":"é"}"#,
        r#"{"pinecone_id":1}"#,
        &id,
    ] {
        attacks.push(rest("PUT", "/api/embeddings/e1", body, "pinecone_id"));
    }
    for body in [r#"["a\u0000"]"#, r#"["é"]"#, r#"[""]"#, "[1]", "7"] {
        attacks.push(rest("DELETE", "/api/pinecone/vectors", body, "body"));
    }
    attacks.push(rest("POST", "/api/pinecone/export/unsynced?batch_size=-1", "", "batch_size"));
    for (query, says) in [
        ("mode=mend", "mode"),
        ("mode=", "mode"),
        ("mode=%00", "mode"),
        ("remove_legacy=perhaps", "remove_legacy"),
        ("remove_legacy=true", "remove_legacy"),
        ("mode=check&remove_legacy=1", "remove_legacy"),
    ] {
        attacks.push(rest("POST", &format!("/api/pinecone/reconcile?{query}"), "", says));
    }
    for query in ["wait_for=-1", "wait_for=x", "wait_for=9223372036854775808", "wait_ms=-1", "wait_ms=60001"] {
        let says = query.split('=').next().unwrap_or_default();
        attacks.push(rest("POST", &format!("/api/pinecone/search?{query}"), "[1,0]", says));
    }
    attacks.push(rest("POST", "/api/pinecone/export/unsynced?batch_size=x", "", "batch_size"));
    attacks.push(rest("POST", "/api/pinecone/export/batch", r#"{"embedding_ids":7}"#, "embedding_ids"));
    repel(&test, attacks).await;
}

#[tokio::test]
async fn bad_input_is_refused_over_graphql() {
    let test = world().await;
    let record = VectorRecord { id: "x".to_owned(), values: vec![1.0, 0.0], metadata: "{}".to_owned() };
    test.cx().index().upsert("default", vec![record]).await.expect("the index learns its dimension");
    let mut attacks = Vec::new();
    let create = "mutation($input: CreateDocumentInput!) { createDocument(input: $input) { document { id } } }";
    let long = format!(r#""title":"{}""#, "x".repeat(256));
    let nested = format!(r#""title":"T","metadata":{{"k":{}}}"#, deep(1000));
    let vector = format!(r#""title":"T","chunks":[{{"text":"t","embeddings":[{{"vector":{}}}]}}]"#, numbers(20_001));
    for (fields, says) in [
        (r#""title":"a\u0000""#, "title"),
        (r#""title":"""#, "title"),
        (r#""title":1"#, "title"),
        (r#""title":null"#, "title"),
        (r#""title":["T"]"#, "title"),
        (r#""source":"s""#, "title"),
        (long.as_str(), "title"),
        (r#""title":"T","id":"a\u0000""#, "id"),
        (r#""title":"T","id":"a\n""#, "id"),
        (r#""title":"T","id":"""#, "id"),
        (r#""title":"T","namespace":"a\u0007""#, "namespace"),
        (r#""title":"T","namespace":"""#, "namespace"),
        (r#""title":"T","namespace":"é""#, "namespace"),
        (r#""title":"T","namespace":"__default__""#, "namespace"),
        (r#""title":"T","source":"\u0000""#, "source"),
        (r#""title":"T","metadata":[]"#, "input.metadata"),
        (r#""title":"T","metadata":7"#, "input.metadata"),
        (r#""title":"T","metadata":{"k":1e30}"#, "input.metadata"),
        (r#""title":"T","chunks":[{"text":"t","metadata":"x"}]"#, "input.chunks.0.metadata"),
        (r#""title":"T","chunks":[7]"#, "input"),
        (r#""title":"T","chunks":7"#, "input"),
        (r#""title":"T","other":1"#, "GRAPHQL_VALIDATION_FAILED"),
        (r#""title":"T","metadata":{"k":"\u0000"}"#, "metadata"),
        (r#""title":"T","metadata":{"k":123456789012345678901}"#, "metadata"),
        (r#""title":"T","metadata":{"_cd_rev":1}"#, "metadata"),
        (r#""title":"T","metadata":{"k":{"$serde_json::private::RawValue":"1"}}"#, "metadata"),
        (r#""title":"T","chunks":[{"text":"good"},{"text":""}]"#, "text"),
        (r#""title":"T","chunks":[{"text":"good"},{"text":"\u0000"}]"#, "text"),
        (r#""title":"T","chunks":[{"text":"t","chunkIndex":-1}]"#, "chunkIndex"),
        (r#""title":"T","chunks":[{"text":"t","chunkIndex":2147483648}]"#, "chunkIndex"),
        (r#""title":"T","chunks":[{"text":"t","chunkIndex":1.5}]"#, "chunkIndex"),
        (r#""title":"T","chunks":[{"text":"t","id":"\u0001"}]"#, "id"),
        (r#""title":"T","chunks":[{"text":"t","embeddings":[{"vector":[]}]}]"#, "vector"),
        (r#""title":"T","chunks":[{"text":"t","embeddings":[{"vector":[1e39]}]}]"#, "vector"),
        (r#""title":"T","chunks":[{"text":"t","embeddings":[{"vector":["x"]}]}]"#, "vector"),
        (r#""title":"T","chunks":[{"text":"t","embeddings":[{"vector":"!"}]}]"#, "vector"),
        (r#""title":"T","chunks":[{"text":"t","embeddings":[{"vector":"AAA="}]}]"#, "vector"),
        (r#""title":"T","chunks":[{"text":"t","embeddings":[{"vector":[1],"vectorId":"é"}]}]"#, "vectorId"),
        (r#""title":"T","chunks":[{"text":"t","embeddings":[{"vector":[1],"id":"a\u0000"}]}]"#, "id"),
        (vector.as_str(), "vector"),
        // What is no JSON at all is refused with its place.
        (nested.as_str(), "offset"),
        (r#""title":"\ud800""#, "offset"),
        (r#""title":"T","metadata":{"k":NaN}"#, "offset"),
        (r#""title":"T","metadata":{"k":Infinity}"#, "offset"),
    ] {
        attacks.push(graphql(create, &format!(r#"{{"input":{{{fields}}}}}"#), says));
    }
    let over = "mutation($input: CreateEmbeddingsInput!) { createEmbeddings(input: $input) { embeddings { id } } }";
    let over = graphql(
        over,
        r#"{"input":{"embeddings":[{"chunkId":"c1","vector":[1]},{"chunkId":"c1","vector":[1e400]}]}}"#,
        "vector",
    );
    attacks.push(over);
    let long = "x".repeat(256);
    let many = numbers(20_001);
    let list = |item: &str| vec![item; 1001].join(",");
    let large = "x".repeat(1_000_001);
    for (mutation, fields, says) in [
        ("updateDocument", r#""id":"d1","title":"""#.to_owned(), "input.title"),
        ("updateDocument", format!(r#""id":"d1","title":"{long}""#), "input.title"),
        ("updateDocument", r#""id":"d1","metadata":"x""#.to_owned(), "input.metadata"),
        ("updateDocument", r#""id":"d1","metadata":{"$k":1}"#.to_owned(), "input.metadata"),
        ("updateDocument", r#""id":"d1","namespace":null"#.to_owned(), "input.namespace"),
        ("updateDocument", r#""id":"d1","metadataMode":"OTHER""#.to_owned(), "input.metadataMode"),
        ("updateDocument", r#""title":"T""#.to_owned(), "input.id"),
        ("duplicateDocument", format!(r#""id":"d1","title":"{long}""#), "title"),
        ("deleteDocuments", r#""ids":[7,null]"#.to_owned(), "input.ids"),
        ("deleteDocument", r#""id":"d1","mode":1"#.to_owned(), "input.mode"),
        (
            "createChunks",
            r#""documentId":"d1","chunks":[{"text":"good"},{"text":"\u0000"}]"#.to_owned(),
            "input.chunks.1.text",
        ),
        (
            "createChunks",
            r#""documentId":"d1","chunks":[{"text":"t","chunkIndex":2147483648}]"#.to_owned(),
            "input.chunks.0.chunkIndex",
        ),
        (
            "createChunks",
            r#""documentId":"d1","chunks":[{"text":"t","chunkIndex":9223372036854775808}]"#.to_owned(),
            "input.chunks.0.chunkIndex",
        ),
        (
            "createChunks",
            r#""documentId":"d1","chunks":[{"text":"t","metadata":[1]}]"#.to_owned(),
            "input.chunks.0.metadata",
        ),
        ("updateChunk", r#""id":"c1","text":null"#.to_owned(), "input.text"),
        ("updateChunk", r#""id":"c1","text":"""#.to_owned(), "input.text"),
        ("updateChunk", r#""id":"c1","chunkIndex":-1"#.to_owned(), "input.chunkIndex"),
        ("updateChunk", r#""id":"c1","chunkIndex":"x""#.to_owned(), "input.chunkIndex"),
        ("updateChunk", r#""id":"c1","metadata":7"#.to_owned(), "input.metadata"),
        (
            "createEmbeddings",
            format!(r#""embeddings":[{{"chunkId":"c1","vector":[1]}},{{"chunkId":"c1","vector":{many}}}]"#),
            "input.embeddings.1.vector",
        ),
        (
            "createEmbeddings",
            r#""embeddings":[{"chunkId":"c1","vector":[1]},{"chunkId":"c1","vector":"!"}]"#.to_owned(),
            "input.embeddings.1.vector",
        ),
        (
            "createEmbeddings",
            r#""embeddings":[{"chunkId":"c1","vector":{"0":1}}]"#.to_owned(),
            "input.embeddings.0.vector",
        ),
        (
            "createEmbeddings",
            r#""embeddings":[{"chunkId":"c1","vector":[1],"model":"\u0000"}]"#.to_owned(),
            "input.embeddings.0.model",
        ),
        (
            "createEmbeddings",
            r#""embeddings":[{"chunkId":"c1","vector":[1]},{"chunkId":"no","vector":[1]}]"#.to_owned(),
            "NOT_FOUND",
        ),
        ("updateEmbedding", r#""id":"e1","vector":[]"#.to_owned(), "input.vector"),
        ("updateEmbedding", r#""id":"e1","vector":null"#.to_owned(), "input.vector"),
        ("updateEmbedding", r#""id":"e1","vector":[null]"#.to_owned(), "input.vector"),
        ("updateEmbedding", r#""id":"e1","vector":[-1e39]"#.to_owned(), "input.vector"),
        ("updateEmbedding", r#""id":"e1","vector":[1e400]"#.to_owned(), "variables.input.vector.0"),
        ("updateEmbedding", format!(r#""id":"e1","vector":{many}"#), "input.vector"),
        ("updateEmbedding", r#""id":"e1","vectorId":"a\n""#.to_owned(), "input.vectorId"),
        ("createDocument", format!(r#""title":"T","metadata":{{"k":"{}"}}"#, &large[..70_000]), "input.metadata"),
        ("createDocument", format!(r#""title":"T","chunks":[{{"text":"{large}"}}]"#), "input.chunks.0.text"),
        ("createDocument", format!(r#""title":"T","chunks":[{}]"#, list(r#"{"text":"t"}"#)), "input.chunks"),
        ("createChunks", format!(r#""documentId":"d1","chunks":[{}]"#, list(r#"{"text":"t"}"#)), "input.chunks"),
        (
            "createEmbeddings",
            format!(r#""embeddings":[{}]"#, list(r#"{"chunkId":"c1","vector":[1]}"#)),
            "input.embeddings",
        ),
        ("deleteDocuments", format!(r#""ids":[{}]"#, list(r#""d1""#)), "input.ids"),
        ("startSync", r#""scope":{"unsynced":false}"#.to_owned(), "input.scope.unsynced"),
        ("startSync", r#""scope":{"embeddingIds":7.5}"#.to_owned(), "input.scope.embeddingIds"),
        ("deleteVectors", r#""vectorIds":["a","\u0000"]"#.to_owned(), "input.vectorIds"),
        ("retryQuarantined", r#""vectorIds":7.5"#.to_owned(), "input.vectorIds"),
        ("retryQuarantined", r#""vectorIds":["a","\u0000"]"#.to_owned(), "input.vectorIds"),
        ("retryQuarantined", format!(r#""vectorIds":[{}]"#, list(r#""v""#)), "input.vectorIds"),
        ("reconcile", r#""mode":"MEND""#.to_owned(), "input.mode"),
        ("reconcile", r#""removeLegacy":true"#.to_owned(), "input.removeLegacy"),
        ("reconcile", r#""mode":"REPAIR","removeLegacy":"x""#.to_owned(), "input.removeLegacy"),
    ] {
        let kind = format!("{}{}Input", mutation[..1].to_uppercase(), &mutation[1..]);
        let query = format!("mutation($input: {kind}!) {{ {mutation}(input: $input) {{ __typename }} }}");
        attacks.push(graphql(&query, &format!(r#"{{"input":{{{fields}}}}}"#), says));
    }
    for (query, variables, says) in [
        ("{ documents(first: -1) { totalCount } }", "{}", "first"),
        ("{ documents(first: 0) { totalCount } }", "{}", "first"),
        ("{ documents(first: 101) { totalCount } }", "{}", "first"),
        ("{ documents(first: 2147483648) { totalCount } }", "{}", "first"),
        ("{ documents(first: 9223372036854775808) { totalCount } }", "{}", "first"),
        ("{ documents(first: 1, last: 1) { totalCount } }", "{}", "last"),
        ("{ documents(last: 101) { totalCount } }", "{}", "last"),
        ("{ documents(after: \"x\") { totalCount } }", "{}", "after"),
        ("{ documents(before: \"\") { totalCount } }", "{}", "before"),
        ("query($n: Int) { documents(first: $n) { totalCount } }", r#"{"n":"x"}"#, "first"),
        ("{ documents(filter: { title: { contains: \"\\u0000\" } }) { totalCount } }", "{}", "filter.title.contains"),
        ("{ documents(filter: { namespace: { eq: \"\\u0000\" } }) { totalCount } }", "{}", "filter.namespace.eq"),
        ("{ documents(filter: { id: { in: [\"a\", \"\\u0000\"] } }) { totalCount } }", "{}", "filter.id.in.1"),
        (
            "{ documents(filter: { or: [{}, { not: { source: { startsWith: \"\\u0000\" } } }] }) { totalCount } }",
            "{}",
            "filter.or.1.not.source.startsWith",
        ),
        (
            "{ documents(filter: { and: [{ anyChunk: { text: { eq: \"\\u0000\" } } }] }) { totalCount } }",
            "{}",
            "filter.and.0.anyChunk.text.eq",
        ),
        (
            "query($m: JSON) { documents(filter: { not: { metadata: $m } }) { totalCount } }",
            r#"{"m":{"k":{"$regex":"x"}}}"#,
            "filter.not.metadata.k.$regex",
        ),
        ("{ documents(filter: { not: { deleted: ALL } }) { totalCount } }", "{}", "filter.not.deleted"),
        ("{ embeddings(filter: { model: \"\\u0000\" }) { totalCount } }", "{}", "filter.model"),
        ("{ embeddings(filter: { chunkId: \"\\u0000\" }) { totalCount } }", "{}", "filter.chunkId"),
        ("{ syncSlots(filter: { documentId: \"\\u0000\" }) { totalCount } }", "{}", "filter.documentId"),
        (
            "query($s: [SlotState!]) { syncSlots(filter: { state: $s }) { totalCount } }",
            &format!(r#"{{"s":[{}]}}"#, list(r#""PENDING""#)),
            "filter.state",
        ),
        (
            "query($s: [SyncJobState!]) { syncJobs(filter: { state: $s }) { totalCount } }",
            &format!(r#"{{"s":[{}]}}"#, list(r#""RUNNING""#)),
            "filter.state",
        ),
        ("{ documents(filter: { createdAt: { gte: \"yesterday\" } }) { totalCount } }", "{}", "gte"),
        (
            "query($m: JSON) { documents(filter: { metadata: $m }) { totalCount } }",
            r#"{"m":{"k":{"$regex":"x"}}}"#,
            "metadata",
        ),
        ("query($m: JSON) { documents(filter: { metadata: $m }) { totalCount } }", r#"{"m":7}"#, "metadata"),
        ("{ search(input: { mode: TEXT }) { took } }", "{}", "text"),
        ("{ search(input: { text: \"\", mode: TEXT }) { took } }", "{}", "text"),
        ("{ search(input: { mode: VECTOR }) { took } }", "{}", "vector"),
        ("{ search(input: { text: \"a\", first: 101 }) { took } }", "{}", "first"),
        ("{ search(input: { text: \"a\", first: -1 }) { took } }", "{}", "first"),
        ("{ search(input: { vector: [], mode: VECTOR }) { took } }", "{}", "vector"),
        ("{ search(input: { vector: [1, 2, 3], mode: VECTOR }) { took } }", "{}", "vector"),
        ("{ search(input: { text: \"a\", waitFor: \"x\" }) { took } }", "{}", "waitFor"),
        ("{ search(input: { text: \"a\", waitFor: \"+1\" }) { took } }", "{}", "waitFor"),
        ("{ search(input: { text: \"a\", waitFor: \"01\" }) { took } }", "{}", "waitFor"),
        ("{ search(input: { text: \"a\", waitFor: \"-0\" }) { took } }", "{}", "waitFor"),
        ("{ search(input: { text: \"a\", waitMs: -1 }) { took } }", "{}", "waitMs"),
        ("{ activity(days: -1) { documents { id } } }", "{}", "days"),
        ("{ activity(first: -1) { documents { id } } }", "{}", "first"),
        ("mutation { startSync(input: { scope: {} }) { started } }", "{}", "scope"),
        ("mutation { deleteVectors(input: { vectorIds: [\"é\"] }) { deletedCount } }", "{}", "vectorIds"),
        (
            "mutation { updateEmbedding(input: { id: \"e1\", vectorId: \"e2\" }) { embedding { id } } }",
            "{}",
            "CONFLICT",
        ),
        ("mutation { updateDocument(input: { id: \"d1\", title: null }) { document { id } } }", "{}", "title"),
        (
            "mutation { updateDocument(input: { id: \"d1\", title: \"T\", ifRevision: 999 }) { document { id } } }",
            "{}",
            "CONFLICT",
        ),
        ("mutation { deleteDocument(input: { id: \"a\\u0000\" }) { id } }", "{}", "NOT_FOUND"),
        ("{ document(id: [1]) { id } }", "{}", "id"),
        ("{ nothing }", "{}", "GRAPHQL_VALIDATION_FAILED"),
        ("{", "{}", "GRAPHQL_PARSE_FAILED"),
    ] {
        attacks.push(graphql(query, variables, says));
    }
    repel(&test, attacks).await;
}

#[tokio::test]
async fn a_body_of_64_megabytes_is_refused_by_both_edges() {
    let test = world().await;
    let before = rows(&test).await;
    let text = "x".repeat(64 << 20);
    let rest = test.send("POST", "/api/documents", "application/json", format!(r#"{{"title":"{text}"}}"#)).await;
    assert_eq!((rest.status, rest.json()["code"].as_str()), (413, Some("PAYLOAD_TOO_LARGE")));
    let graphql = test.send("POST", "/graphql", "application/json", format!(r#"{{"query":"{text}"}}"#)).await;
    assert_eq!(graphql.status, 413, "{}", graphql.text.chars().take(200).collect::<String>());
    assert!(graphql.text.contains("PAYLOAD_TOO_LARGE"), "{}", graphql.text.chars().take(200).collect::<String>());
    assert_eq!(rows(&test).await, before);
}
