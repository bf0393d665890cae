//! The operations, as each edge spells them.

use serde_json::Value;
use serde_json::json;

use super::Case;
use super::Same;

const CREATE: &str = "mutation($input: CreateDocumentInput!) { createDocument(input: $input) { document { id title source metadata createdAt updatedAt deletedAt } } }";
const UPDATE: &str = "mutation($input: UpdateDocumentInput!) { updateDocument(input: $input) { document { id title source metadata createdAt updatedAt } } }";
const DELETE: &str = "mutation($input: DeleteDocumentInput!) { deleteDocument(input: $input) { id } }";
const RESTORE: &str =
    "mutation($input: RestoreDocumentInput!) { restoreDocument(input: $input) { document { title updatedAt } } }";
const DELETE_MANY: &str = "mutation($input: DeleteDocumentsInput!) { deleteDocuments(input: $input) { deletedCount failedCount outcomes { id error { code } } } }";
const DUPLICATE: &str = "mutation($input: DuplicateDocumentInput!) { duplicateDocument(input: $input) { document { id title } original { id } } }";
const DOCUMENTS: &str = "query($filter: DocumentFilter) { documents(filter: $filter) { nodes { id title source metadata createdAt updatedAt } totalCount } }";
const CREATE_CHUNKS: &str = "mutation($input: CreateChunksInput!) { createChunks(input: $input) { chunks { id document { id } chunkIndex text metadata createdAt updatedAt } } }";
const UPDATE_CHUNK: &str =
    "mutation($input: UpdateChunkInput!) { updateChunk(input: $input) { chunk { id text metadata updatedAt } } }";
const DELETE_CHUNK: &str = "mutation($input: DeleteChunkInput!) { deleteChunk(input: $input) { id } }";
const RESTORE_CHUNK: &str =
    "mutation($input: RestoreChunkInput!) { restoreChunk(input: $input) { chunk { text updatedAt } } }";
const CREATE_EMBEDDINGS: &str = "mutation($input: CreateEmbeddingsInput!) { createEmbeddings(input: $input) { embeddings { id chunk { id } model isSynced lastSyncedAt createdAt updatedAt vector } } }";
const UPDATE_EMBEDDING: &str = "mutation($input: UpdateEmbeddingInput!) { updateEmbedding(input: $input) { embedding { id vectorId isSynced updatedAt } } }";
const DELETE_EMBEDDING: &str = "mutation($input: DeleteEmbeddingInput!) { deleteEmbedding(input: $input) { id } }";

fn case(
    name: &'static str,
    (method, path, body): (&'static str, &'static str, Value),
    (query, variables): (&'static str, Value),
    same: Same,
) -> Case {
    // A mutation's input is its only variable.
    let variables = if query.starts_with("mutation") { json!({ "input": variables }) } else { variables };
    Case { name, rest: (method, path, body), graphql: (query, variables), same }
}

pub fn documents() -> Vec<Case> {
    let long = "x".repeat(256);
    let created: Same = Same::Done(&[
        ("/id", "/createDocument/document/id"),
        ("/title", "/createDocument/document/title"),
        ("/source", "/createDocument/document/source"),
        ("/metadata", "/createDocument/document/metadata"),
        ("/created_at", "/createDocument/document/createdAt"),
        ("/updated_at", "/createDocument/document/updatedAt"),
    ]);
    let new = json!({ "title": "Grüße", "source": "s", "metadata": { "k": [1, null, { "deep": true }] } });
    let listed: &[(&str, &str)] = &[
        ("/*/id", "/documents/nodes/*/id"),
        ("/*/title", "/documents/nodes/*/title"),
        ("/*/source", "/documents/nodes/*/source"),
        ("/*/metadata", "/documents/nodes/*/metadata"),
        ("/*/created_at", "/documents/nodes/*/createdAt"),
    ];
    let mut cases = vec![
        case("creating a document", ("POST", "/api/documents", new.clone()), (CREATE, new), created),
        case(
            "creating a document of nothing but a title",
            ("POST", "/api/documents", json!({ "title": "T" })),
            (CREATE, json!({ "title": "T" })),
            Same::Done(&[
                ("/source", "/createDocument/document/source"),
                ("/metadata", "/createDocument/document/metadata"),
            ]),
        ),
        case(
            "reading a document",
            ("GET", "/api/documents/d1", Value::Null),
            (
                "{ document(id: \"d1\") { id title source metadata createdAt updatedAt stats { chunkCount } } }",
                json!({}),
            ),
            Same::Done(&[
                ("/id", "/document/id"),
                ("/metadata", "/document/metadata"),
                ("/updated_at", "/document/updatedAt"),
                ("/chunk_count", "/document/stats/chunkCount"),
            ]),
        ),
        case(
            "reading a deleted document",
            ("GET", "/api/documents/d9", Value::Null),
            ("{ document(id: \"d9\") { id } }", json!({})),
            Same::Absent("/document"),
        ),
        case("listing documents", ("GET", "/api/documents", Value::Null), (DOCUMENTS, json!({})), Same::Done(listed)),
        case(
            "listing deleted documents too",
            ("GET", "/api/documents?include_deleted=true", Value::Null),
            (DOCUMENTS, json!({ "filter": { "deleted": "ALL" } })),
            Same::Done(listed),
        ),
        case(
            "searching documents",
            ("POST", "/api/documents/search", json!({ "query": "ON" })),
            (
                DOCUMENTS,
                json!({ "filter": { "or": [{ "title": { "contains": "ON" } }, { "source": { "contains": "ON" } }] } }),
            ),
            Same::Done(&[("/results/*/id", "/documents/nodes/*/id"), ("/count", "/documents/totalCount")]),
        ),
        case(
            "searching for a wildcard",
            ("POST", "/api/documents/search", json!({ "query": "_" })),
            (DOCUMENTS, json!({ "filter": { "title": { "contains": "_" } } })),
            Same::Done(&[("/results", "/documents/nodes")]),
        ),
        case(
            "changing a document",
            ("PUT", "/api/documents/d1", json!({ "title": "New", "metadata": { "a": null, "z": 2 } })),
            (UPDATE, json!({ "id": "d1", "title": "New", "metadata": { "a": null, "z": 2 } })),
            Same::Done(&[
                ("/title", "/updateDocument/document/title"),
                ("/source", "/updateDocument/document/source"),
                ("/metadata", "/updateDocument/document/metadata"),
                ("/created_at", "/updateDocument/document/createdAt"),
                ("/updated_at", "/updateDocument/document/updatedAt"),
            ]),
        ),
        case(
            "replacing a document's metadata",
            ("PUT", "/api/documents/d1?metadata_mode=replace", json!({ "metadata": { "z": 2 } })),
            (UPDATE, json!({ "id": "d1", "metadata": { "z": 2 }, "metadataMode": "REPLACE" })),
            Same::Done(&[("/metadata", "/updateDocument/document/metadata")]),
        ),
        case(
            "changing nothing",
            ("PUT", "/api/documents/d1", json!({})),
            (UPDATE, json!({ "id": "d1" })),
            Same::Done(&[("/updated_at", "/updateDocument/document/updatedAt")]),
        ),
        case(
            "changing a deleted document",
            ("PUT", "/api/documents/d9", json!({ "title": "New" })),
            (UPDATE, json!({ "id": "d9", "title": "New" })),
            Same::Refused("NOT_FOUND", None),
        ),
        case(
            "restoring a document",
            ("POST", "/api/documents/d9/restore", Value::Null),
            (RESTORE, json!({ "id": "d9" })),
            Same::Done(&[
                ("/title", "/restoreDocument/document/title"),
                ("/updated_at", "/restoreDocument/document/updatedAt"),
            ]),
        ),
        case(
            "restoring a document that is not there",
            ("POST", "/api/documents/none/restore", Value::Null),
            (RESTORE, json!({ "id": "none" })),
            Same::Refused("NOT_FOUND", None),
        ),
        case(
            "soft-deleting a document",
            ("DELETE", "/api/documents/d1", Value::Null),
            (DELETE, json!({ "id": "d1" })),
            Same::Done(&[]),
        ),
        case(
            "soft-deleting a document again",
            ("DELETE", "/api/documents/d9", Value::Null),
            (DELETE, json!({ "id": "d9", "mode": "SOFT" })),
            Same::Done(&[]),
        ),
        case(
            "hard-deleting a document",
            ("DELETE", "/api/documents/d1?hard_delete=true", Value::Null),
            (DELETE, json!({ "id": "d1", "mode": "HARD" })),
            Same::Done(&[]),
        ),
        case(
            "deleting an unknown document",
            ("DELETE", "/api/documents/no", Value::Null),
            (DELETE, json!({ "id": "no" })),
            Same::Refused("NOT_FOUND", None),
        ),
        case(
            "duplicating a document",
            ("POST", "/api/dashboard/document/d1/duplicate", Value::Null),
            (DUPLICATE, json!({ "id": "d1" })),
            Same::Done(&[
                ("/duplicate_id", "/duplicateDocument/document/id"),
                ("/duplicate_title", "/duplicateDocument/document/title"),
                ("/original_id", "/duplicateDocument/original/id"),
            ]),
        ),
        case(
            "duplicating a document under another title",
            ("POST", "/api/dashboard/document/d1/duplicate?new_title=Two", Value::Null),
            (DUPLICATE, json!({ "id": "d1", "title": "Two" })),
            Same::Done(&[("/duplicate_title", "/duplicateDocument/document/title")]),
        ),
        case(
            "duplicating a deleted document",
            ("POST", "/api/dashboard/document/d9/duplicate", Value::Null),
            (DUPLICATE, json!({ "id": "d9" })),
            Same::Refused("NOT_FOUND", None),
        ),
        case(
            "deleting many documents",
            ("POST", "/api/dashboard/documents/batch-delete", json!({ "doc_ids": ["d1", "no", "d2", "d1"] })),
            (DELETE_MANY, json!({ "ids": ["d1", "no", "d2", "d1"] })),
            Same::Done(&[
                ("/deleted_count", "/deleteDocuments/deletedCount"),
                ("/failed_count", "/deleteDocuments/failedCount"),
            ]),
        ),
        case(
            "hard-deleting many documents",
            ("POST", "/api/dashboard/documents/batch-delete?hard_delete=true", json!(["d1", "d9"])),
            (DELETE_MANY, json!({ "ids": ["d1", "d9"], "mode": "HARD" })),
            Same::Done(&[
                ("/deleted_count", "/deleteDocuments/deletedCount"),
                ("/failed_count", "/deleteDocuments/failedCount"),
            ]),
        ),
    ];
    let flawed = [
        ("an empty title", json!({ "title": "" }), "title"),
        ("a long title", json!({ "title": long }), "title"),
        ("a title with U+0000", json!({ "title": "a\0" }), "title"),
        ("a long source", json!({ "title": "T", "source": "x".repeat(513) }), "source"),
        ("metadata that is no object", json!({ "title": "T", "metadata": [1] }), "metadata"),
        ("metadata with a reserved key", json!({ "title": "T", "metadata": { "_cd_rev": 1 } }), "metadata"),
        ("metadata with U+0000", json!({ "title": "T", "metadata": { "k": ["\0"] } }), "metadata"),
    ];
    for (name, new, field) in flawed {
        let mut change = new.clone();
        change["id"] = json!("d1");
        cases.push(case(
            name,
            ("POST", "/api/documents", new.clone()),
            (CREATE, new.clone()),
            Same::Refused("BAD_USER_INPUT", Some(field)),
        ));
        cases.push(case(
            name,
            ("PUT", "/api/documents/d1", new),
            (UPDATE, change),
            Same::Refused("BAD_USER_INPUT", Some(field)),
        ));
    }
    cases
}

pub fn chunks() -> Vec<Case> {
    let one = json!({ "chunk_index": 7, "text": "New text", "metadata": { "p": 1 } });
    let same_one = json!({ "chunkIndex": 7, "text": "New text", "metadata": { "p": 1 } });
    let two = json!({ "chunks": [{ "chunk_index": 5, "text": "five" }, { "chunk_index": 5, "text": "another" }] });
    let same_two = json!({ "documentId": "d1", "chunks": [{ "chunkIndex": 5, "text": "five" }, { "chunkIndex": 5, "text": "another" }] });
    let mut cases = vec![
        case(
            "creating a chunk",
            ("POST", "/api/documents/d1/chunks", one.clone()),
            (CREATE_CHUNKS, json!({ "documentId": "d1", "chunks": [same_one.clone()] })),
            Same::Done(&[
                ("/id", "/createChunks/chunks/0/id"),
                ("/document_id", "/createChunks/chunks/0/document/id"),
                ("/chunk_index", "/createChunks/chunks/0/chunkIndex"),
                ("/text", "/createChunks/chunks/0/text"),
                ("/metadata", "/createChunks/chunks/0/metadata"),
                ("/created_at", "/createChunks/chunks/0/createdAt"),
                ("/updated_at", "/createChunks/chunks/0/updatedAt"),
            ]),
        ),
        case(
            "creating chunks",
            ("POST", "/api/documents/d1/chunks/batch", two),
            (CREATE_CHUNKS, same_two),
            Same::Done(&[("/*/id", "/createChunks/chunks/*/id"), ("/*/text", "/createChunks/chunks/*/text")]),
        ),
        case(
            "creating no chunks",
            ("POST", "/api/documents/d1/chunks/batch", json!([])),
            (CREATE_CHUNKS, json!({ "documentId": "d1", "chunks": [] })),
            Same::Done(&[("", "/createChunks/chunks")]),
        ),
        case(
            "creating a chunk below a deleted document",
            ("POST", "/api/documents/d9/chunks", one.clone()),
            (CREATE_CHUNKS, json!({ "documentId": "d9", "chunks": [same_one.clone()] })),
            Same::Refused("NOT_FOUND", None),
        ),
        case(
            "a batch with one flawed chunk",
            ("POST", "/api/documents/d1/chunks/batch", json!([one, { "chunk_index": 1, "text": "" }])),
            (CREATE_CHUNKS, json!({ "documentId": "d1", "chunks": [same_one, { "chunkIndex": 1, "text": "" }] })),
            Same::Refused("BAD_USER_INPUT", Some("text")),
        ),
        case(
            "listing chunks",
            ("GET", "/api/documents/d1/chunks", Value::Null),
            (
                "{ document(id: \"d1\") { chunks(first: 100) { nodes { id chunkIndex text metadata updatedAt } } } }",
                json!({}),
            ),
            Same::Done(&[
                ("/*/id", "/document/chunks/nodes/*/id"),
                ("/*/chunk_index", "/document/chunks/nodes/*/chunkIndex"),
                ("/*/text", "/document/chunks/nodes/*/text"),
                ("/*/metadata", "/document/chunks/nodes/*/metadata"),
                ("/*/updated_at", "/document/chunks/nodes/*/updatedAt"),
            ]),
        ),
        case(
            "listing chunks of a deleted document",
            ("GET", "/api/documents/d9/chunks", Value::Null),
            ("{ document(id: \"d9\") { chunks { nodes { id } } } }", json!({})),
            Same::Absent("/document"),
        ),
        case(
            "reading a chunk",
            ("GET", "/api/chunks/c2", Value::Null),
            ("{ chunk(id: \"c2\") { id text chunkIndex metadata document { id } embeddingCount } }", json!({})),
            Same::Done(&[
                ("/text", "/chunk/text"),
                ("/chunk_index", "/chunk/chunkIndex"),
                ("/metadata", "/chunk/metadata"),
                ("/document_id", "/chunk/document/id"),
                ("/embedding_count", "/chunk/embeddingCount"),
            ]),
        ),
        case(
            "reading a chunk of a deleted document",
            ("GET", "/api/documents/chunks/c9", Value::Null),
            ("{ chunk(id: \"c9\") { id } }", json!({})),
            Same::Absent("/chunk"),
        ),
        case(
            "changing a chunk",
            ("PUT", "/api/chunks/c1", json!({ "text": "Changed", "metadata": { "q": null } })),
            (UPDATE_CHUNK, json!({ "id": "c1", "text": "Changed", "metadata": { "q": null } })),
            Same::Done(&[
                ("/text", "/updateChunk/chunk/text"),
                ("/metadata", "/updateChunk/chunk/metadata"),
                ("/updated_at", "/updateChunk/chunk/updatedAt"),
            ]),
        ),
        case(
            "restoring a chunk that was not deleted",
            ("POST", "/api/chunks/c2/restore", Value::Null),
            (RESTORE_CHUNK, json!({ "id": "c2" })),
            Same::Done(&[("/text", "/restoreChunk/chunk/text"), ("/updated_at", "/restoreChunk/chunk/updatedAt")]),
        ),
        case(
            "soft-deleting a chunk",
            ("DELETE", "/api/chunks/c2", Value::Null),
            (DELETE_CHUNK, json!({ "id": "c2" })),
            Same::Done(&[]),
        ),
        case(
            "hard-deleting a chunk",
            ("DELETE", "/api/documents/chunks/c2?hard_delete=yes", Value::Null),
            (DELETE_CHUNK, json!({ "id": "c2", "mode": "HARD" })),
            Same::Done(&[]),
        ),
        case(
            "deleting a chunk below a deleted document",
            ("DELETE", "/api/chunks/c9", Value::Null),
            (DELETE_CHUNK, json!({ "id": "c9" })),
            Same::Refused("NOT_FOUND", None),
        ),
    ];
    let flawed = [
        ("an empty text", json!({ "text": "" }), "text"),
        ("a text with U+0000", json!({ "text": "\0" }), "text"),
        ("metadata that is no object", json!({ "metadata": "x" }), "metadata"),
    ];
    for (name, change, field) in flawed {
        let mut same = change.clone();
        same["id"] = json!("c1");
        let refused = Same::Refused("BAD_USER_INPUT", Some(field));
        cases.push(case(name, ("PUT", "/api/chunks/c1", change), (UPDATE_CHUNK, same), refused));
    }
    cases.push(case(
        "a negative index",
        ("POST", "/api/documents/d1/chunks", json!({ "chunk_index": -1, "text": "t" })),
        (CREATE_CHUNKS, json!({ "documentId": "d1", "chunks": [{ "chunkIndex": -1, "text": "t" }] })),
        Same::Refused("BAD_USER_INPUT", Some("chunk_index")),
    ));
    cases
}

pub fn embeddings() -> Vec<Case> {
    let new = |vector: Value| json!({ "embeddings": [{ "chunkId": "c1", "vector": vector, "model": "m" }] });
    let mut cases = vec![
        case(
            "creating an embedding",
            ("POST", "/api/chunks/c1/embeddings", json!({ "vector": [0.1, -2, 3e3], "model": "m" })),
            (CREATE_EMBEDDINGS, new(json!([0.1, -2, 3e3]))),
            Same::Done(&[
                ("/id", "/createEmbeddings/embeddings/0/id"),
                ("/chunk_id", "/createEmbeddings/embeddings/0/chunk/id"),
                ("/model", "/createEmbeddings/embeddings/0/model"),
                ("/is_synced", "/createEmbeddings/embeddings/0/isSynced"),
                ("/last_synced_at", "/createEmbeddings/embeddings/0/lastSyncedAt"),
                ("/created_at", "/createEmbeddings/embeddings/0/createdAt"),
                ("/updated_at", "/createEmbeddings/embeddings/0/updatedAt"),
            ]),
        ),
        case(
            "creating an embedding without a model",
            ("POST", "/api/chunks/c1/embeddings", json!({ "vector": [1], "model": null })),
            (CREATE_EMBEDDINGS, json!({ "embeddings": [{ "chunkId": "c1", "vector": [1] }] })),
            Same::Done(&[("/model", "/createEmbeddings/embeddings/0/model")]),
        ),
        case(
            "creating an embedding of an unknown chunk",
            ("POST", "/api/documents/chunks/no/embeddings", json!({ "vector": [1] })),
            (CREATE_EMBEDDINGS, json!({ "embeddings": [{ "chunkId": "no", "vector": [1] }] })),
            Same::Refused("NOT_FOUND", None),
        ),
        case(
            "reading an embedding",
            ("GET", "/api/embeddings/e3?include_vector=true", Value::Null),
            ("{ embedding(id: \"e3\") { id chunk { id } model isSynced lastSyncedAt createdAt vector } }", json!({})),
            Same::Done(&[
                ("/id", "/embedding/id"),
                ("/chunk_id", "/embedding/chunk/id"),
                ("/model", "/embedding/model"),
                ("/is_synced", "/embedding/isSynced"),
                ("/last_synced_at", "/embedding/lastSyncedAt"),
                ("/created_at", "/embedding/createdAt"),
                ("/vector", "/embedding/vector"),
            ]),
        ),
        case(
            "reading an embedding below a deleted document",
            ("GET", "/api/embeddings/e9", Value::Null),
            ("{ embedding(id: \"e9\") { id } }", json!({})),
            Same::Absent("/embedding"),
        ),
        case(
            "changing a vector",
            ("PUT", "/api/embeddings/e1", json!({ "vector": [9, 9] })),
            (UPDATE_EMBEDDING, json!({ "id": "e1", "vector": [9, 9] })),
            Same::Done(&[
                ("/is_synced", "/updateEmbedding/embedding/isSynced"),
                ("/updated_at", "/updateEmbedding/embedding/updatedAt"),
            ]),
        ),
        case(
            "changing a vector id",
            ("PUT", "/api/documents/embeddings/e1", json!({ "pinecone_id": "vector-1" })),
            (UPDATE_EMBEDDING, json!({ "id": "e1", "vectorId": "vector-1" })),
            Same::Done(&[("/pinecone_id", "/updateEmbedding/embedding/vectorId")]),
        ),
        case(
            "taking another embedding's vector id",
            ("PUT", "/api/embeddings/e1", json!({ "pinecone_id": "e2" })),
            (UPDATE_EMBEDDING, json!({ "id": "e1", "vectorId": "e2" })),
            Same::Refused("CONFLICT", None),
        ),
        case(
            "a vector id that is not ASCII",
            ("PUT", "/api/embeddings/e1", json!({ "pinecone_id": "é" })),
            (UPDATE_EMBEDDING, json!({ "id": "e1", "vectorId": "é" })),
            Same::Refused("BAD_USER_INPUT", Some("vector_id")),
        ),
        case(
            "deleting an embedding",
            ("DELETE", "/api/documents/embeddings/e1", Value::Null),
            (DELETE_EMBEDDING, json!({ "id": "e1" })),
            Same::Done(&[]),
        ),
        case(
            "deleting an unknown embedding",
            ("DELETE", "/api/embeddings/no", Value::Null),
            (DELETE_EMBEDDING, json!({ "id": "no" })),
            Same::Refused("NOT_FOUND", None),
        ),
    ];
    let flawed = [
        ("an empty vector", json!([])),
        ("a number beyond f32", json!([1, 1e39])),
        ("a long vector", json!(vec![1; 20_001])),
        ("a vector of words", json!(["x"])),
    ];
    for (name, vector) in flawed {
        cases.push(case(
            name,
            ("POST", "/api/chunks/c1/embeddings", json!({ "vector": vector })),
            (CREATE_EMBEDDINGS, new(vector.clone())),
            Same::Refused("BAD_USER_INPUT", Some("vector")),
        ));
        cases.push(case(
            name,
            ("PUT", "/api/embeddings/e1", json!({ "vector": vector })),
            (UPDATE_EMBEDDING, json!({ "id": "e1", "vector": vector })),
            Same::Refused("BAD_USER_INPUT", Some("vector")),
        ));
    }
    cases
}

pub fn dashboard() -> Vec<Case> {
    const OVERVIEW: &str = "{ overview { documents chunks embeddings sync { synced percentage } } }";
    const STATS: &str = "{ document(id: \"d1\") { id title source createdAt updatedAt stats { chunkCount embeddingCount \
                         syncedEmbeddings unsyncedEmbeddings totalTextLength averageChunkLength syncPercentage } } }";
    const FULL: &str = "{ document(id: \"d1\") { id title metadata chunks(first: 100) { nodes { id chunkIndex text metadata \
                        embeddings { id model isSynced dimension vector } } } } }";
    const ACTIVITY: &str = "{ activity(days: 1, first: 100) { documents { id title updatedAt } chunks { id document { id } updatedAt } \
                            embeddings { id chunk { id } updatedAt isSynced } } }";
    vec![
        case(
            "the sync status",
            ("GET", "/api/dashboard/sync-status", Value::Null),
            (OVERVIEW, json!({})),
            Same::Done(&[
                ("/total_documents", "/overview/documents"),
                ("/total_chunks", "/overview/chunks"),
                ("/total_embeddings", "/overview/embeddings"),
                ("/synced_embeddings", "/overview/sync/synced"),
                ("/sync_percentage", "/overview/sync/percentage"),
            ]),
        ),
        case(
            "the overview",
            ("GET", "/api/dashboard/overview", Value::Null),
            (
                "{ documents { nodes { id title source createdAt updatedAt stats { chunkCount embeddingCount syncedEmbeddings } } totalCount } }",
                json!({}),
            ),
            Same::Done(&[
                ("/documents/*/id", "/documents/nodes/*/id"),
                ("/documents/*/title", "/documents/nodes/*/title"),
                ("/documents/*/source", "/documents/nodes/*/source"),
                ("/documents/*/created_at", "/documents/nodes/*/createdAt"),
                ("/documents/*/updated_at", "/documents/nodes/*/updatedAt"),
                ("/documents/*/chunks", "/documents/nodes/*/stats/chunkCount"),
                ("/documents/*/embeddings", "/documents/nodes/*/stats/embeddingCount"),
                ("/documents/*/synced", "/documents/nodes/*/stats/syncedEmbeddings"),
                ("/total_documents", "/documents/totalCount"),
            ]),
        ),
        case(
            "the statistics of a document",
            ("GET", "/api/dashboard/document/d1/stats", Value::Null),
            (STATS, json!({})),
            Same::Done(&[
                ("/document_id", "/document/id"),
                ("/title", "/document/title"),
                ("/source", "/document/source"),
                ("/created_at", "/document/createdAt"),
                ("/updated_at", "/document/updatedAt"),
                ("/chunk_count", "/document/stats/chunkCount"),
                ("/embedding_count", "/document/stats/embeddingCount"),
                ("/synced_embeddings", "/document/stats/syncedEmbeddings"),
                ("/unsynced_embeddings", "/document/stats/unsyncedEmbeddings"),
                ("/total_text_length", "/document/stats/totalTextLength"),
                ("/average_chunk_length", "/document/stats/averageChunkLength"),
                ("/sync_percentage", "/document/stats/syncPercentage"),
            ]),
        ),
        case(
            "the statistics of an empty document",
            ("GET", "/api/dashboard/document/d2/stats", Value::Null),
            ("{ document(id: \"d2\") { stats { averageChunkLength syncPercentage } } }", json!({})),
            Same::Done(&[
                ("/average_chunk_length", "/document/stats/averageChunkLength"),
                ("/sync_percentage", "/document/stats/syncPercentage"),
            ]),
        ),
        case(
            "the statistics of a deleted document",
            ("GET", "/api/dashboard/document/d9/stats", Value::Null),
            ("{ document(id: \"d9\") { stats { chunkCount } } }", json!({})),
            Same::Absent("/document"),
        ),
        case(
            "a whole document",
            ("GET", "/api/dashboard/document/d1/export?include_vectors=true", Value::Null),
            (FULL, json!({})),
            Same::Done(&[
                ("/document/id", "/document/id"),
                ("/document/metadata", "/document/metadata"),
                ("/chunks/*/id", "/document/chunks/nodes/*/id"),
                ("/chunks/*/index", "/document/chunks/nodes/*/chunkIndex"),
                ("/chunks/*/text", "/document/chunks/nodes/*/text"),
                ("/chunks/*/metadata", "/document/chunks/nodes/*/metadata"),
                ("/chunks/*/embeddings/*/id", "/document/chunks/nodes/*/embeddings/*/id"),
                ("/chunks/*/embeddings/*/model", "/document/chunks/nodes/*/embeddings/*/model"),
                ("/chunks/*/embeddings/*/is_synced", "/document/chunks/nodes/*/embeddings/*/isSynced"),
                ("/chunks/*/embeddings/*/vector_length", "/document/chunks/nodes/*/embeddings/*/dimension"),
                ("/chunks/*/embeddings/*/vector", "/document/chunks/nodes/*/embeddings/*/vector"),
            ]),
        ),
        case(
            "searching texts",
            ("GET", "/api/dashboard/search?query=pASSAGE", Value::Null),
            (
                "{ search(input: { text: \"pASSAGE\", mode: TEXT }) { hits { chunk { id text chunkIndex } document { id title } } } }",
                json!({}),
            ),
            Same::Done(&[
                ("/results/*/chunk_id", "/search/hits/*/chunk/id"),
                ("/results/*/full_text", "/search/hits/*/chunk/text"),
                ("/results/*/document_title", "/search/hits/*/document/title"),
            ]),
        ),
        case(
            "searching texts for a percent sign",
            ("GET", "/api/dashboard/search?query=100%25", Value::Null),
            ("{ search(input: { text: \"100%\", mode: TEXT }) { hits { chunk { id } } } }", json!({})),
            Same::Done(&[("/results/*/chunk_id", "/search/hits/*/chunk/id")]),
        ),
        case(
            "searching for U+0000",
            ("GET", "/api/dashboard/search?query=a%00", Value::Null),
            (
                "query($text: String) { search(input: { text: $text, mode: TEXT }) { hits { score } } }",
                json!({ "text": "a\0" }),
            ),
            Same::Refused("BAD_USER_INPUT", None),
        ),
        case(
            "what changed lately",
            ("GET", "/api/dashboard/activity?days=1", Value::Null),
            (ACTIVITY, json!({})),
            Same::Done(&[
                ("/documents/*/id", "/activity/documents/*/id"),
                ("/documents/*/title", "/activity/documents/*/title"),
                ("/documents/*/updated_at", "/activity/documents/*/updatedAt"),
                ("/chunks/*/id", "/activity/chunks/*/id"),
                ("/chunks/*/document_id", "/activity/chunks/*/document/id"),
                ("/embeddings/*/id", "/activity/embeddings/*/id"),
                ("/embeddings/*/chunk_id", "/activity/embeddings/*/chunk/id"),
                ("/embeddings/*/is_synced", "/activity/embeddings/*/isSynced"),
            ]),
        ),
    ]
}

pub fn index() -> Vec<Case> {
    const START: &str = "mutation($input: StartSyncInput!) { startSync(input: $input) { started job { state } } }";
    const RECONCILE: &str =
        "mutation($input: ReconcileInput!) { reconcile(input: $input) { job { state report { checked } } } }";
    const CANCEL: &str = "mutation($input: CancelSyncInput!) { cancelSync(input: $input) { job { id } } }";
    const REMOVE: &str = "mutation($input: DeleteVectorsInput!) { deleteVectors(input: $input) { deletedCount } }";
    vec![
        case(
            "exporting a document",
            ("POST", "/api/pinecone/export/document/d1", Value::Null),
            (START, json!({ "scope": { "documentId": "d1" } })),
            Same::Done(&[]),
        ),
        case(
            "exporting a deleted document",
            ("POST", "/api/pinecone/export/document/d9", Value::Null),
            (START, json!({ "scope": { "documentId": "d9" } })),
            Same::Refused("NOT_FOUND", None),
        ),
        case(
            "exporting everything",
            ("POST", "/api/pinecone/export/unsynced", Value::Null),
            (START, json!({ "scope": { "unsynced": true } })),
            Same::Done(&[]),
        ),
        case(
            "exporting embeddings",
            ("POST", "/api/pinecone/export/batch", json!({ "embedding_ids": ["e2", "no", "e9"] })),
            (START, json!({ "scope": { "embeddingIds": ["e2", "no", "e9"] } })),
            Same::Done(&[]),
        ),
        case(
            "exporting unknown embeddings",
            ("POST", "/api/pinecone/export/batch", json!(["no"])),
            (START, json!({ "scope": { "embeddingIds": ["no"] } })),
            Same::Refused("NOT_FOUND", None),
        ),
        case(
            "removing records",
            ("DELETE", "/api/pinecone/vectors", json!(["e1", "foreign"])),
            (REMOVE, json!({ "vectorIds": ["e1", "foreign"] })),
            Same::Done(&[]),
        ),
        case(
            "removing a record whose id no index takes",
            ("DELETE", "/api/pinecone/vectors", json!({ "vector_ids": ["\u{e9}"] })),
            (REMOVE, json!({ "vectorIds": ["\u{e9}"] })),
            Same::Refused("BAD_USER_INPUT", Some("vector_ids")),
        ),
        case(
            "comparing the index",
            ("POST", "/api/pinecone/reconcile", Value::Null),
            (RECONCILE, json!({})),
            Same::Done(&[]),
        ),
        case(
            "mending the index",
            ("POST", "/api/pinecone/reconcile?mode=repair&remove_legacy=true", Value::Null),
            (RECONCILE, json!({ "mode": "REPAIR", "removeLegacy": true })),
            Same::Done(&[]),
        ),
        case(
            "removing what is left by a check that mends nothing",
            ("POST", "/api/pinecone/reconcile?mode=check&remove_legacy=true", Value::Null),
            (RECONCILE, json!({ "mode": "CHECK", "removeLegacy": true })),
            Same::Refused("BAD_USER_INPUT", Some("remove_legacy")),
        ),
        case(
            "listing jobs",
            ("GET", "/api/sync/jobs", Value::Null),
            ("{ syncJobs { nodes { id } } }", json!({})),
            Same::Done(&[("", "/syncJobs/nodes")]),
        ),
        case(
            "reading a job that is not there",
            ("GET", "/api/sync/jobs/none", Value::Null),
            ("{ syncJob(id: \"none\") { id } }", json!({})),
            Same::Absent("/syncJob"),
        ),
        case(
            "cancelling a job that is not there",
            ("DELETE", "/api/sync/jobs/none", Value::Null),
            (CANCEL, json!({ "jobId": "none" })),
            Same::Refused("NOT_FOUND", None),
        ),
        case(
            "how far the index is in step",
            ("GET", "/api/sync/targets", Value::Null),
            ("{ targets { name metric dimension lagSeconds inDoubt } }", json!({})),
            Same::Done(&[
                ("/*/name", "/targets/*/name"),
                ("/*/metric", "/targets/*/metric"),
                ("/*/dimension", "/targets/*/dimension"),
                ("/*/lag_seconds", "/targets/*/lagSeconds"),
                ("/*/in_doubt", "/targets/*/inDoubt"),
            ]),
        ),
        case(
            "what the index says of itself",
            ("GET", "/api/pinecone/index/stats", Value::Null),
            ("{ targets { stats { dimension totalVectorCount indexFullness } } }", json!({})),
            Same::Done(&[
                ("/stats/dimension", "/targets/0/stats/dimension"),
                ("/stats/total_vector_count", "/targets/0/stats/totalVectorCount"),
                ("/stats/index_fullness", "/targets/0/stats/indexFullness"),
            ]),
        ),
        case(
            "searching an index without a body",
            ("GET", "/api/pinecone/search?query_vector=1&query_vector=0", Value::Null),
            ("{ search(input: { vector: [1, 0], mode: VECTOR }) { hits { score } } }", json!({})),
            Same::Done(&[("/matches", "/search/hits")]),
        ),
        case(
            "searching an index that holds nothing",
            ("POST", "/api/pinecone/search", json!({ "vector": [1, 0] })),
            ("{ search(input: { vector: [1, 0], mode: VECTOR }) { hits { score } } }", json!({})),
            Same::Done(&[("/matches", "/search/hits")]),
        ),
    ]
}
