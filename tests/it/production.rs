//! What is for development, and off in production: the schema, pages to try things on, similar names.

use corpusd::config::ServerConfig;
use serde_json::Value;
use serde_json::json;

use crate::support::TestApp;

const PAGES: [&str; 6] = ["/graphiql", "/docs", "/docs/", "/docs/swagger-ui.css", "/openapi.json", "/redoc"];
/// One unknown name of each kind that is answered with similar ones.
const UNKNOWN: [&str; 3] =
    ["{ servr { name } }", "{ documents(frst: 1) { totalCount } }", "{ server { name @specifiedBy(urll: \"x\") } }"];

async fn introspection(test: &TestApp) -> bool {
    let mut told = Vec::new();
    for query in
        ["{ __schema { queryType { name } } }", "{ ...f } fragment f on Query { __type(name: \"Chunk\") { name } }"]
    {
        let answer = test.graphql(query, Value::Null).await;
        if answer["errors"] != Value::Null {
            let error = &answer["errors"][0];
            assert_eq!(error["extensions"]["code"], "GRAPHQL_VALIDATION_FAILED", "{answer}");
            assert_eq!(error["message"], "This server does not tell its schema");
            assert_eq!(
                error["locations"],
                json!([{ "line": 1, "column": if query.starts_with("{ __") { 3 } else { 32 } }])
            );
            assert_eq!(answer.get("data"), None);
        }
        told.push(answer["data"].is_object());
    }
    assert_eq!(told[0], told[1]);
    told[0]
}

async fn pages(test: &TestApp) -> bool {
    let mut served = Vec::new();
    for path in PAGES {
        let status = test.rest("GET", path, None).await.status;
        served.push(matches!(status, 200 | 307));
        assert!(served[0] || status == 404, "{path}: {status}");
    }
    assert!(served.iter().all(|one| *one == served[0]), "{served:?}");
    served[0]
}

async fn suggestions(test: &TestApp) -> bool {
    let mut told = Vec::new();
    for query in UNKNOWN {
        let answer = test.graphql(query, Value::Null).await;
        assert!(answer.to_string().contains("Unknown "), "{answer}");
        told.push(answer.to_string().contains("Did you mean"));
    }
    assert!(told.iter().all(|one| *one == told[0]), "{told:?}");
    told[0]
}

#[tokio::test]
async fn production_turns_off_what_is_for_development_and_each_can_be_set_by_itself() {
    type Set = fn(&mut ServerConfig);
    let cases: [(Set, [bool; 3]); 5] = [
        (|_| {}, [true, true, true]),
        (|server| server.production = true, [false, false, false]),
        (|server| (server.production, server.introspection) = (true, Some(true)), [true, false, false]),
        (|server| (server.production, server.pages) = (true, Some(true)), [false, true, false]),
        (|server| server.suggestions = Some(false), [true, true, false]),
    ];
    for (set, on) in cases {
        let test = TestApp::with(|config| set(&mut config.server)).await;
        assert_eq!([introspection(&test).await, pages(&test).await, suggestions(&test).await], on);
        // Clients that keep what they read need to know what it is.
        let named = test.graphql("{ __typename server { __typename } }", Value::Null).await;
        assert_eq!(named["data"], json!({ "__typename": "Query", "server": { "__typename": "Server" } }));
    }
}
