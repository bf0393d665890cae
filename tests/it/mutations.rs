//! Mutations over GraphQL: what they take, answer and refuse.

use serde_json::Value;
use serde_json::json;

use crate::support::TestApp;

async fn run(test: &TestApp, name: &str, kind: &str, selection: &str, input: Value) -> Value {
    let query = format!("mutation($input: {kind}!) {{ {name}(input: $input) {{ {selection} }} }}");
    test.graphql(&query, json!({ "input": input })).await
}

#[tokio::test]
async fn a_document_is_created_changed_cleared_and_its_revision_is_told() {
    let test = TestApp::new().await;
    let input = json!({ "id": "d", "title": "A", "source": "s", "metadata": { "b": 1.5, "a": [null, "x"] } });
    let made = run(&test, "createDocument", "CreateDocumentInput", "document { id revision metadata }", input).await;
    assert_eq!(
        made["data"]["createDocument"]["document"],
        json!({ "id": "d", "revision": 1, "metadata": { "b": 1.5, "a": [null, "x"] } })
    );
    assert_eq!(made["extensions"]["corpusRevision"], "1");
    let change = |input: Value| {
        run(&test, "updateDocument", "UpdateDocumentInput", "document { title source metadata revision }", input)
    };
    let kept = change(json!({ "id": "d", "title": "B" })).await;
    assert_eq!(kept["data"]["updateDocument"]["document"]["source"], "s");
    let cleared = change(json!({ "id": "d", "source": null, "metadata": { "c": null } })).await;
    let document = &cleared["data"]["updateDocument"]["document"];
    assert_eq!(
        (&document["source"], &document["metadata"]),
        (&Value::Null, &json!({ "b": 1.5, "a": [null, "x"], "c": null }))
    );
    let replaced = change(json!({ "id": "d", "metadata": { "z": 1 }, "metadataMode": "REPLACE" })).await;
    assert_eq!(replaced["data"]["updateDocument"]["document"]["metadata"], json!({ "z": 1 }));
    let emptied = change(json!({ "id": "d", "metadata": null })).await;
    assert_eq!(emptied["data"]["updateDocument"]["document"]["metadata"], json!({}));
    let stale = change(json!({ "id": "d", "title": "C", "ifRevision": 1 })).await;
    assert_eq!(stale["errors"][0]["extensions"]["code"], "CONFLICT");
    assert_eq!(stale["extensions"].get("corpusRevision"), None);
    for field in ["title", "namespace"] {
        let refused = change(json!({ "id": "d", field: null })).await;
        assert_eq!(refused["errors"][0]["extensions"]["code"], "BAD_USER_INPUT", "{refused}");
        assert_eq!(refused["errors"][0]["extensions"]["fields"][0]["field"], format!("input.{field}"));
    }
}

#[tokio::test]
async fn broken_rules_are_named_as_the_caller_wrote_the_fields() {
    let test = TestApp::new().await;
    let input = json!({
        "title": "",
        "chunks": [{ "text": "ok" }, { "text": "", "chunkIndex": -1, "embeddings": [{ "vector": [] }, { "vector": [1e300] }] }],
    });
    let refused = run(&test, "createDocument", "CreateDocumentInput", "document { id }", input).await;
    let error = &refused["errors"][0];
    assert_eq!(error["extensions"]["code"], "BAD_USER_INPUT");
    let mut fields: Vec<&str> = error["extensions"]["fields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|field| field["field"].as_str().unwrap())
        .collect();
    fields.sort_unstable();
    let expected = [
        "input.chunks.1.chunkIndex",
        "input.chunks.1.embeddings.0.vector",
        "input.chunks.1.embeddings.1.vector",
        "input.chunks.1.text",
        "input.title",
    ];
    assert_eq!(fields, expected);
    assert!(error["message"].as_str().unwrap().contains("input.chunks.1.chunkIndex: "), "{error}");
    // Nothing half written.
    assert_eq!(corpusd::store::log::revision(test.cx().read()).await.unwrap(), 0);
}

#[tokio::test]
async fn a_batch_of_deletions_reports_each_in_order() {
    let test = TestApp::new().await;
    for id in ["a", "b"] {
        run(&test, "createDocument", "CreateDocumentInput", "document { id }", json!({ "id": id, "title": id })).await;
    }
    let answer = run(
        &test,
        "deleteDocuments",
        "DeleteDocumentsInput",
        "outcomes { id error { code message } } deletedCount failedCount",
        json!({ "ids": ["b", "none", "a", "b"], "mode": "HARD" }),
    )
    .await;
    let expected = json!({
        "outcomes": [
            { "id": "b", "error": null },
            { "id": "none", "error": { "code": "NOT_FOUND", "message": "Document not found" } },
            { "id": "a", "error": null },
        ],
        "deletedCount": 2, "failedCount": 1,
    });
    assert_eq!(answer["data"]["deleteDocuments"], expected);
}

#[tokio::test]
async fn a_deleted_document_is_restored_and_a_copy_has_its_own_ids() {
    let test = TestApp::new().await;
    let input = json!({ "id": "d", "title": "A", "chunks": [{ "id": "c", "text": "t", "embeddings": [{ "id": "e", "vector": [1, 2] }] }] });
    run(&test, "createDocument", "CreateDocumentInput", "document { id }", input).await;
    let deleted = run(&test, "deleteDocument", "DeleteDocumentInput", "id mode", json!({ "id": "d" })).await;
    assert_eq!(deleted["data"]["deleteDocument"], json!({ "id": "d", "mode": "SOFT" }));
    let gone = run(&test, "duplicateDocument", "DuplicateDocumentInput", "document { id }", json!({ "id": "d" })).await;
    assert_eq!(gone["errors"][0]["extensions"]["code"], "NOT_FOUND");
    let back =
        run(&test, "restoreDocument", "RestoreDocumentInput", "document { id deletedAt }", json!({ "id": "d" })).await;
    assert_eq!(back["data"]["restoreDocument"]["document"], json!({ "id": "d", "deletedAt": null }));
    let copied = run(
        &test,
        "duplicateDocument",
        "DuplicateDocumentInput",
        "document { id title } original { id }",
        json!({ "id": "d", "title": "B" }),
    )
    .await;
    let copied = &copied["data"]["duplicateDocument"];
    assert_eq!((&copied["document"]["title"], &copied["original"]["id"]), (&json!("B"), &json!("d")));
    assert_ne!(copied["document"]["id"], "d");
}

#[tokio::test]
async fn a_sync_is_started_once_for_its_scope_and_cancelled() {
    let test = TestApp::new().await;
    let input = json!({ "id": "d", "title": "A", "chunks": [{ "text": "t", "embeddings": [{ "id": "e", "vector": [1, 2] }] }] });
    run(&test, "createDocument", "CreateDocumentInput", "document { id }", input).await;
    let start = |scope: Value| {
        run(&test, "startSync", "StartSyncInput", "started job { id kind total }", json!({ "scope": scope }))
    };
    for scope in [json!({ "documentId": "d" }), json!({ "embeddingIds": ["e"] }), json!({ "unsynced": true })] {
        let first = start(scope).await["data"]["startSync"].clone();
        assert_eq!((&first["started"], &first["job"]["kind"]), (&json!(true), &json!("EXPORT")), "{first}");
        let query = "query($id: ID!) { syncJob(id: $id) { id } }";
        let found = test.graphql(query, json!({ "id": first["job"]["id"] })).await;
        assert_eq!(found["data"]["syncJob"]["id"], first["job"]["id"], "{found}");
        let ended =
            run(&test, "cancelSync", "CancelSyncInput", "job { id }", json!({ "jobId": first["job"]["id"] })).await;
        assert_eq!(ended["data"]["cancelSync"]["job"]["id"], first["job"]["id"]);
    }
    assert_eq!(start(json!({ "documentId": "none" })).await["errors"][0]["extensions"]["code"], "NOT_FOUND");
    let refused = start(json!({ "unsynced": false })).await;
    assert_eq!(refused["errors"][0]["extensions"]["fields"][0]["field"], "input.scope.unsynced");
    // Exactly one of the scopes.
    for scope in [json!({}), json!({ "unsynced": true, "documentId": "d" }), json!({ "documentId": null })] {
        let told = start(scope).await;
        let code = told["errors"][0]["extensions"]["code"].as_str().unwrap_or_default();
        assert!(["GRAPHQL_VALIDATION_FAILED", "BAD_USER_INPUT"].contains(&code), "{told}");
    }
    assert_eq!(
        run(&test, "cancelSync", "CancelSyncInput", "job { id }", json!({ "jobId": "none" })).await["errors"][0]["extensions"]
            ["code"],
        "NOT_FOUND"
    );
}

#[tokio::test]
async fn chunks_are_created_changed_deleted_and_restored() {
    let test = TestApp::new().await;
    run(&test, "createDocument", "CreateDocumentInput", "document { id }", json!({ "id": "d", "title": "A" })).await;
    let input = json!({ "documentId": "d", "chunks": [{ "id": "b", "text": "two", "chunkIndex": 7 }, { "id": "a", "text": "one" }] });
    let made =
        run(&test, "createChunks", "CreateChunksInput", "chunks { id chunkIndex document { revision } }", input).await;
    let expected = json!([
        { "id": "b", "chunkIndex": 7, "document": { "revision": 2 } },
        { "id": "a", "chunkIndex": 8, "document": { "revision": 2 } },
    ]);
    assert_eq!(made["data"]["createChunks"]["chunks"], expected);
    let change =
        |input: Value| run(&test, "updateChunk", "UpdateChunkInput", "chunk { chunkIndex text metadata }", input);
    let changed = change(json!({ "id": "a", "text": "1", "metadata": { "k": 1 } })).await;
    assert_eq!(
        changed["data"]["updateChunk"]["chunk"],
        json!({ "chunkIndex": 8, "text": "1", "metadata": { "k": 1 } })
    );
    for field in ["text", "chunkIndex"] {
        let refused = change(json!({ "id": "a", field: null })).await;
        assert_eq!(refused["errors"][0]["extensions"]["fields"][0]["field"], format!("input.{field}"), "{refused}");
    }
    let deleted = run(&test, "deleteChunk", "DeleteChunkInput", "id mode", json!({ "id": "a" })).await;
    assert_eq!(deleted["data"]["deleteChunk"], json!({ "id": "a", "mode": "SOFT" }));
    assert_eq!(change(json!({ "id": "a", "text": "2" })).await["errors"][0]["extensions"]["code"], "NOT_FOUND");
    let back = run(&test, "restoreChunk", "RestoreChunkInput", "chunk { id deletedAt }", json!({ "id": "a" })).await;
    assert_eq!(back["data"]["restoreChunk"]["chunk"], json!({ "id": "a", "deletedAt": null }));
    let none = json!({ "documentId": "none", "chunks": [{ "text": "t" }] });
    let refused = run(&test, "createChunks", "CreateChunksInput", "chunks { id }", none).await;
    assert_eq!(refused["errors"][0]["extensions"]["code"], "NOT_FOUND");
}

#[tokio::test]
async fn embeddings_are_created_changed_cleared_and_deleted() {
    let test = TestApp::new().await;
    let input = json!({ "id": "d", "title": "A", "chunks": [{ "id": "c", "text": "t" }] });
    run(&test, "createDocument", "CreateDocumentInput", "document { id }", input).await;
    let selection = "embeddings { id model dimension vector vectorBase64 vectorId isSynced chunk { id } }";
    let new = json!({ "embeddings": [
        { "chunkId": "c", "id": "e", "vector": [0.1, -2], "model": "m", "vectorId": "v" },
        { "chunkId": "c", "id": "f", "vector": "AACAPwAAAMA=" },
    ] });
    let made = run(&test, "createEmbeddings", "CreateEmbeddingsInput", selection, new).await;
    let expected = json!([
        { "id": "e", "model": "m", "dimension": 2, "vector": [0.1, -2.0], "vectorBase64": "zczMPQAAAMA=", "vectorId": "v", "isSynced": false, "chunk": { "id": "c" } },
        { "id": "f", "model": null, "dimension": 2, "vector": [1.0, -2.0], "vectorBase64": "AACAPwAAAMA=", "vectorId": "f", "isSynced": false, "chunk": { "id": "c" } },
    ]);
    assert_eq!(made["data"]["createEmbeddings"]["embeddings"], expected, "{made}");
    let change = |input: Value| {
        run(&test, "updateEmbedding", "UpdateEmbeddingInput", "embedding { model vector vectorId }", input)
    };
    let changed = change(json!({ "id": "e", "vector": [3], "model": null, "vectorId": null })).await;
    assert_eq!(
        changed["data"]["updateEmbedding"]["embedding"],
        json!({ "model": null, "vector": [3.0], "vectorId": "e" }),
        "{changed}"
    );
    assert_eq!(change(json!({ "id": "e", "vectorId": "f" })).await["errors"][0]["extensions"]["code"], "CONFLICT");
    let refused = change(json!({ "id": "e", "vector": null })).await;
    assert_eq!(refused["errors"][0]["extensions"]["fields"][0]["field"], "input.vector", "{refused}");
    let deleted = run(&test, "deleteEmbedding", "DeleteEmbeddingInput", "id", json!({ "id": "e" })).await;
    assert_eq!(deleted["data"]["deleteEmbedding"], json!({ "id": "e" }));
    let again = run(&test, "deleteEmbedding", "DeleteEmbeddingInput", "id", json!({ "id": "e" })).await;
    assert_eq!(again["errors"][0]["extensions"]["code"], "NOT_FOUND");
}

#[tokio::test]
async fn vectors_to_delete_are_checked_and_none_is_nothing_to_wait_for() {
    let test = TestApp::new().await;
    let delete =
        |ids: Value| run(&test, "deleteVectors", "DeleteVectorsInput", "deletedCount", json!({ "vectorIds": ids }));
    assert_eq!(delete(json!([])).await["data"]["deleteVectors"]["deletedCount"], 0);
    assert_eq!(delete(json!(["é"])).await["errors"][0]["extensions"]["code"], "BAD_USER_INPUT");
}
