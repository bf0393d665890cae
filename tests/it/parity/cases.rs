//! The operations, as each edge spells them.

use serde_json::Value;
use serde_json::json;

use super::Case;
use super::Same;

const CREATE: &str = "mutation($input: CreateDocumentInput!) { createDocument(input: $input) { document { id title source metadata createdAt updatedAt deletedAt } } }";
const UPDATE: &str = "mutation($input: UpdateDocumentInput!) { updateDocument(input: $input) { document { id title source metadata createdAt updatedAt } } }";
const DELETE: &str = "mutation($input: DeleteDocumentInput!) { deleteDocument(input: $input) { id } }";
const DELETE_MANY: &str = "mutation($input: DeleteDocumentsInput!) { deleteDocuments(input: $input) { deletedCount failedCount outcomes { id error { code } } } }";

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

pub fn index() -> Vec<Case> {
    const START: &str = "mutation($input: StartSyncInput!) { startSync(input: $input) { started job { state } } }";
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
    ]
}
