//! Odd ids and texts where they are only compared: nothing is found, nothing fails, nothing changes.

use serde_json::json;

use crate::parity::rows;
use crate::parity::world;

/// Every place of the schema that takes an id (`$i`) or a text to compare with (`$s`).
const ODD_PLACES: [&str; 36] = [
    "query($i: ID!) { document(id: $i) { id } }",
    "query($i: ID!) { document(id: $i, includeDeleted: true) { id } }",
    "query($i: ID!) { chunk(id: $i) { id } }",
    "query($i: ID!) { embedding(id: $i) { id } }",
    "query($i: ID!) { node(id: $i) { id } }",
    "query($i: ID!) { nodes(ids: [$i, \"d1\"]) { id } }",
    "query($i: ID!) { syncJob(id: $i) { state } }",
    "query($i: ID!) { embeddings(filter: { documentId: $i }) { totalCount } }",
    "query($i: ID!) { embeddings(filter: { chunkId: $i }) { totalCount nodes { id } } }",
    "query($s: String!) { embeddings(filter: { model: $s }) { totalCount } }",
    "query($i: ID!) { syncSlots(filter: { documentId: $i }) { totalCount } }",
    "query($s: String!) { documents(filter: { id: { in: [$s] } }) { totalCount } }",
    "query($s: String!) { documents(filter: { title: { startsWith: $s } }) { totalCount nodes { id } } }",
    "query($s: String!) { documents(filter: { source: { contains: $s } }) { totalCount } }",
    "query($s: String!) { documents(filter: { namespace: { eq: $s } }) { totalCount } }",
    "query($s: String!) { documents(filter: { anyChunk: { text: { contains: $s } } }) { totalCount } }",
    "query($s: String!) { document(id: \"d1\") { chunks(filter: { text: { contains: $s } }) { totalCount } } }",
    "query($s: String!) { documents(after: $s) { totalCount } }",
    "query($s: String!) { search(input: { text: $s, mode: TEXT }) { hits { score } } }",
    "query($s: String!) { search(input: { text: \"a\", mode: TEXT, model: $s }) { hits { score } } }",
    "query($s: String!) { search(input: { vector: [1, 0], mode: VECTOR, filter: { namespace: $s } }) { took } }",
    "query($i: ID!) { search(input: { vector: [1, 0], mode: VECTOR, filter: { documentIds: [$i] } }) { took } }",
    "mutation($i: ID!) { updateDocument(input: { id: $i, title: \"T\" }) { document { id } } }",
    "mutation($i: ID!) { deleteDocuments(input: { ids: [$i], mode: HARD }) { failedCount } }",
    "mutation($i: ID!) { restoreDocument(input: { id: $i }) { document { id } } }",
    "mutation($i: ID!) { duplicateDocument(input: { id: $i }) { document { id } } }",
    "mutation($i: ID!) { createChunks(input: { documentId: $i, chunks: [{ text: \"t\" }] }) { chunks { id } } }",
    "mutation($i: ID!) { updateChunk(input: { id: $i, text: \"t\" }) { chunk { id } } }",
    "mutation($i: ID!) { deleteChunk(input: { id: $i, mode: HARD }) { id } }",
    "mutation($i: ID!) { restoreChunk(input: { id: $i }) { chunk { id } } }",
    "mutation($i: ID!) { createEmbeddings(input: { embeddings: [{ chunkId: $i, vector: [1] }] }) { embeddings { id } } }",
    "mutation($i: ID!) { deleteEmbedding(input: { id: $i }) { id } }",
    "mutation($i: ID!) { cancelSync(input: { jobId: $i }) { job { id } } }",
    "mutation($i: ID!) { startSync(input: { scope: { documentId: $i } }) { started } }",
    "mutation($i: ID!) { updateEmbedding(input: { id: $i, vector: [1] }) { embedding { id } } }",
    "mutation($i: ID!) { startSync(input: { scope: { embeddingIds: [$i] } }) { started } }",
];

#[tokio::test]
async fn odd_ids_and_texts_find_nothing_and_fail_nowhere() {
    let test = world().await;
    let before = rows(&test).await;
    let long = "x".repeat(20_000);
    let mut wrong = Vec::new();
    for odd in ["", "\0", "a\0b", "\u{7f}\n", "\u{202e}\u{10ffff}", "%", "_", "\\", "'; --", "$1", "?", &long] {
        let shown: String = odd.chars().take(20).collect();
        for query in ODD_PLACES {
            let told = test.graphql(query, json!({ "i": odd, "s": odd })).await;
            for error in told["errors"].as_array().into_iter().flatten() {
                let code = error["extensions"]["code"].as_str().unwrap_or_default();
                let known = ["BAD_USER_INPUT", "BAD_CURSOR", "NOT_FOUND"].contains(&code);
                if !known {
                    wrong.push(format!("{query} with {shown:?}: {told}"));
                }
            }
        }
        for (path, field) in [
            ("/api/documents/search", "query"),
            ("/api/dashboard/documents/batch-delete", "doc_ids"),
            ("/api/pinecone/export/batch", "embedding_ids"),
        ] {
            let value = if field == "query" { json!(odd) } else { json!([odd]) };
            let answer = test.rest("POST", path, Some(json!({ field: value }))).await;
            if answer.status >= 500 {
                wrong.push(format!("{path} with {shown:?}: {}", answer.text));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(rows(&test).await, before);
}
