//! The command: what it prints, and how it ends.

use std::fs;

use serde_json::json;

use crate::support::http;
use crate::support::process::Serving;
use crate::support::process::corpusd;
use crate::support::process::run;

#[tokio::test]
async fn the_command_prints_its_address_alone_and_ends_well_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let args = ["emulate-pinecone", "--port", "0", "--data", data.to_str().unwrap(), "--api-key", "k"];
    let serving = Serving::start(corpusd(folder.path(), &args)).await;
    assert_eq!(serving.printed, [""; 0]);
    assert!(serving.address.starts_with("http://127.0.0.1:"), "{}", serving.address);
    let client = http().build().unwrap();
    let ask =
        |key: &'static str, path: &str| client.get(format!("{}{path}", serving.address)).header("api-key", key).send();
    assert_eq!(ask("k", "/indexes").await.unwrap().status(), 200);
    assert_eq!(ask("other", "/indexes").await.unwrap().status(), 401);
    // Faults were not allowed.
    for path in ["/_faults", "/_requests"] {
        assert_eq!(ask("k", path).await.unwrap().status(), 404);
    }
    assert_eq!(serving.stop().await.code(), Some(0));
    assert!(data.join("emulator.log").is_file());
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let args = ["emulate-pinecone", "--port", "0", "--data", data.to_str().unwrap()];
    let client = http().build().unwrap();
    let post = |address: &str, path: &str, body: serde_json::Value| {
        client.post(format!("{address}{path}")).header("api-key", "k").body(body.to_string()).send()
    };
    let place = json!({"serverless": {"cloud": "aws", "region": "us-east-1"}});
    let mut serving = Serving::start(corpusd(folder.path(), &args)).await;
    let made = post(&serving.address, "/indexes", json!({"name": "kb", "dimension": 2, "spec": place})).await;
    assert_eq!(made.unwrap().status(), 201);
    for round in 0..3 {
        for n in 0..10 {
            let vectors = json!([{"id": format!("{round}-{n}"), "values": [1, n]}]);
            let written = post(&serving.address, "/i/kb/vectors/upsert", json!({ "vectors": vectors })).await;
            assert_eq!(written.unwrap().status(), 200);
        }
        serving.child.kill().await.unwrap();
        serving = Serving::start(corpusd(folder.path(), &args)).await;
        let stats = post(&serving.address, "/i/kb/describe_index_stats", json!({})).await.unwrap();
        let stats: serde_json::Value = stats.json().await.unwrap();
        assert_eq!(stats["totalVectorCount"], (round + 1) * 10);
    }
    assert_eq!(serving.stop().await.code(), Some(0));
}

#[tokio::test]
async fn the_command_takes_a_plan_of_faults_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let plan = folder.path().join("plan.json");
    fs::write(&plan, r#"{"faults": [{"operation": "list_indexes", "status": 503}]}"#).unwrap();
    let plan = plan.to_str().unwrap();
    let args = ["emulate-pinecone", "--port", "0", "--allow-faults", "--faults", plan];
    let serving = Serving::start(corpusd(folder.path(), &args)).await;
    let client = http().build().unwrap();
    let ask = || client.get(format!("{}/indexes", serving.address)).header("api-key", "k").send();
    assert_eq!(ask().await.unwrap().status(), 503);
    assert_eq!(ask().await.unwrap().status(), 200);
    assert_eq!(serving.stop().await.code(), Some(0));
    let told = |args: &'static [&'static str]| {
        let folder = folder.path();
        async move {
            let output = run(folder, args).await;
            (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
        }
    };
    fs::write(plan, r#"{"faults": [{"operation": "upset"}]}"#).unwrap();
    let (code, text) = told(&["emulate-pinecone", "--allow-faults", "--faults", "plan.json"]).await;
    assert!(code == Some(2) && text.contains("no operation 'upset'"), "{text}");
    let (code, text) = told(&["emulate-pinecone", "--faults", "plan.json"]).await;
    assert!(code == Some(2) && text.contains("--allow-faults"), "{text}");
}
