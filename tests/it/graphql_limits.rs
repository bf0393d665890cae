//! Limits of a GraphQL document: what is just within one is answered, what is just beyond it is refused.

use corpusd::config::GraphqlLimits;
use serde_json::Value;
use serde_json::json;

use crate::support::TestApp;

/// One limit.
struct Row {
    /// Its name in `extensions.of`.
    of: &'static str,
    code: &'static str,
    default: usize,
    set: fn(&mut GraphqlLimits, usize),
    /// A document that has so many of it.
    document: fn(usize) -> String,
}

const PARSE: &str = "GRAPHQL_PARSE_FAILED";
const VALIDATION: &str = "GRAPHQL_VALIDATION_FAILED";

const LIMITS: [Row; 10] = [
    Row {
        of: "bytes",
        code: PARSE,
        default: 65_536,
        set: |limits, most| limits.bytes = most,
        document: |count| format!("{{ __typename }} #é{}", "x".repeat(count - 18)),
    },
    Row { of: "tokens", code: PARSE, default: 4_000, set: |limits, most| limits.tokens = most, document: tokens },
    Row {
        of: "operations",
        code: VALIDATION,
        default: 10,
        set: |limits, most| limits.operations = most,
        document: |count| each(count, |i| format!("query A{i} {{ __typename }}")),
    },
    Row {
        of: "fragments",
        code: VALIDATION,
        default: 50,
        set: |limits, most| limits.fragments = most,
        document: |count| {
            let spreads = each(count, |i| format!("...f{i}"));
            format!("{{ server {{ {spreads} }} }} {}", each(count, |i| format!("fragment f{i} on Server {{ name }}")))
        },
    },
    Row {
        of: "variables",
        code: VALIDATION,
        default: 100,
        set: |limits, most| limits.variables = most,
        document: |count| {
            let (declared, used) =
                (each(count, |i| format!("$v{i}: String! = \"x\"")), each(count, |i| format!("$v{i}")));
            format!("query({declared}) {{ documents(filter: {{ id: {{ in: [{used}] }} }}) {{ totalCount }} }}")
        },
    },
    Row {
        of: "directives",
        code: VALIDATION,
        default: 50,
        set: |limits, most| limits.directives = most,
        document: |count| {
            let (one, more) = ("@include(if: true)", each(count - 1, |_| "name @skip(if: false)".to_owned()));
            format!("{{ server {{ ...f {more} }} }} fragment f on Server {{ version {one} }}")
        },
    },
    Row {
        of: "aliases",
        code: VALIDATION,
        default: 50,
        set: |limits, most| limits.aliases = most,
        document: |count| format!("{{ server {{ {} }} }}", each(count, |i| format!("a{i}: name"))),
    },
    Row {
        of: "rootFields",
        code: VALIDATION,
        default: 20,
        set: |limits, most| limits.root_fields = most as u64,
        document: |count| {
            let half = each(count / 2, |_| "__typename".to_owned());
            let rest = each(count - 2 * (count / 2), |_| "__typename".to_owned());
            format!("{{ ...f ...on Query {{ {half} }} {rest} }} fragment f on Query {{ {half} }}")
        },
    },
    Row {
        of: "selections",
        code: VALIDATION,
        default: 2_000,
        set: |limits, most| limits.selections = most as u64,
        // The list, its spreads, and three of each fragment; a few plain names make the number up.
        document: |count| {
            let (spreads, rest) = ((count - 1) / 4, (count - 1) % 4);
            let (spreads, rest) = (each(spreads, |_| "...f".to_owned()), each(rest, |_| "version".to_owned()));
            format!("{{ server {{ {spreads} {rest} }} }} fragment f on Server {{ name database startedAt }}")
        },
    },
    Row {
        of: "depth",
        code: VALIDATION,
        default: 12,
        set: |limits, most| limits.depth = u32::try_from(most).expect("a small number"),
        document: |count| {
            let between = count - 2;
            format!("{{ chunk(id: \"x\") {{ {} id {} }} }}", "next { ".repeat(between), " }".repeat(between))
        },
    },
];

fn each(count: usize, one: impl Fn(usize) -> String) -> String {
    (0..count).map(one).collect::<Vec<_>>().join(" ")
}

/// So many tokens: conditions of nine each, and names of one.
fn tokens(count: usize) -> String {
    let conditions = (count / 20).min(200);
    let filter = each(conditions, |_| "{ title: { contains: \"a b\" } }".to_owned());
    let lists: String =
        ["a", "b"].map(|alias| format!("{alias}: documents(filter: {{ or: [{filter}] }}) {{ totalCount }} ")).concat();
    let rest = count - (1 + 2 * (16 + 9 * conditions) + 3 + 1);
    format!("{{ {lists} server {{ {} }} }}", each(rest, |_| "name".to_owned()))
}

/// Asks; a document of several operations is asked for its first.
async fn ask(test: &TestApp, document: &str) -> Value {
    let name = document.contains("query A0").then_some("A0");
    let body = json!({ "query": document, "operationName": name });
    test.send("POST", "/graphql", "application/json", body.to_string()).await.json()
}

/// What is limited, the limit, the code, and whether a place is told.
fn refusal(answer: &Value) -> (Option<&str>, Option<u64>, Option<&str>, bool) {
    let error = &answer["errors"][0];
    let extensions = &error["extensions"];
    let located = error["locations"][0]["line"].as_u64().is_some_and(|line| line > 0);
    (extensions["of"].as_str(), extensions["limit"].as_u64(), extensions["code"].as_str(), located)
}

#[tokio::test]
async fn a_document_at_a_limit_is_answered_and_one_beyond_is_refused_by_its_name() {
    let test = TestApp::new().await;
    for row in LIMITS {
        let within = ask(&test, &(row.document)(row.default)).await;
        assert_eq!(within["errors"], Value::Null, "{}", row.of);
        let beyond = ask(&test, &(row.document)(row.default + 1)).await;
        let limit = Some(row.default as u64);
        assert_eq!(refusal(&beyond), (Some(row.of), limit, Some(row.code), row.of != "bytes"), "{beyond}");
        assert_eq!(beyond.get("data"), None, "{}", row.of);
    }
}

#[tokio::test]
async fn each_limit_of_a_document_is_a_setting() {
    for row in LIMITS {
        let most = row.default * 3 / 4;
        let test = TestApp::with(|config| (row.set)(&mut config.limits.graphql, most)).await;
        let within = ask(&test, &(row.document)(most)).await;
        assert_eq!(within["errors"], Value::Null, "{}", row.of);
        let beyond = ask(&test, &(row.document)(most + 1)).await;
        assert_eq!((refusal(&beyond).0, refusal(&beyond).1), (Some(row.of), Some(most as u64)), "{beyond}");
    }
}

#[tokio::test]
async fn a_kilobyte_of_fragments_that_unfold_without_end_is_refused_before_it_is_unfolded() {
    let test = TestApp::new().await;
    let doubling: String = (0..20).map(|i| format!(" fragment f{i} on Server {{ ...f{0} ...f{0} }}", i + 1)).collect();
    let query = format!("{{ server {{ ...f0 }} }}{doubling} fragment f20 on Server {{ name }}");
    assert!(query.len() < 1_024, "{}", query.len());
    let answer = ask(&test, &query).await;
    assert_eq!(refusal(&answer), (Some("selections"), Some(2_000), Some(VALIDATION), true), "{answer}");
    // The number is told, so that it was reckoned and not counted: three times two to the power of 20.
    let told = answer["errors"][0]["message"].as_str().unwrap_or_default();
    assert!(told.contains(" 3145728 selections"), "{told}");
}

/// What GraphiQL, Apollo, Relay's and The Guild's generators send: graphql-js with every option on.
const INTROSPECTION: &str = "query IntrospectionQuery {
  __schema {
    description
    queryType { name kind } mutationType { name kind } subscriptionType { name kind }
    types { ...FullType }
    directives { name description isRepeatable locations args(includeDeprecated: true) { ...InputValue } }
  }
}
fragment FullType on __Type {
  kind name description specifiedByURL isOneOf
  fields(includeDeprecated: true) {
    name description
    args(includeDeprecated: true) { ...InputValue }
    type { ...TypeRef }
    isDeprecated deprecationReason
  }
  inputFields(includeDeprecated: true) { ...InputValue }
  interfaces { ...TypeRef }
  enumValues(includeDeprecated: true) { name description isDeprecated deprecationReason }
  possibleTypes { ...TypeRef }
}
fragment InputValue on __InputValue {
  name description type { ...TypeRef } defaultValue isDeprecated deprecationReason
}
fragment TypeRef on __Type {
  kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name
  ofType { kind name ofType { kind name ofType { kind name ofType { kind name } } } } } } } } }
}";

#[tokio::test]
async fn the_introspection_of_common_tools_is_answered_in_full() {
    let test = TestApp::new().await;
    let answer = ask(&test, INTROSPECTION).await;
    assert_eq!(answer["errors"], Value::Null);
    let types = answer["data"]["__schema"]["types"].as_array().map_or(0, Vec::len);
    assert!(types > 80, "{types}");
}
