//! Avatars by LHM over the API, with a small network of random numbers: files, plan, progress, result, and what goes wrong.
#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "support/lhm.rs"]
mod lhm;
mod support;

use serde_json::{Value, json};
use std::time::{Duration, Instant};
use support::Running;

fn until_over(studio: &Running, id: &str) -> Value {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let making = studio.ask("GET", &format!("/v1/avatars/{id}"), None);
        if matches!(making["status"].as_str(), Some("completed" | "failed")) {
            return making;
        }
        assert!(Instant::now() < until, "{making}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn lhm_makes_an_avatar_with_the_users_weights() {
    let dir = tempfile::tempdir().unwrap();
    let (studio, weights) = lhm::studio(dir.path());
    studio.ask("POST", "/v1/demo", None);
    let wanted = json!({
        "picture": "demo/character.png", "name": "me", "method": "lhm", "weights": weights.display().to_string(),
    });
    let plan = studio.ask("POST", "/v1/avatars/plan", Some(wanted.clone()));
    assert!(plan["licence"].as_str().unwrap().contains("non-commercial"), "{plan}");
    assert!(plan["seconds"].as_f64().unwrap() > 0.0 && plan["peak_bytes"].as_u64().unwrap() > 0, "{plan}");
    assert!(plan["points"].as_u64().unwrap() >= 400 && plan["head_in_view"] == true, "{plan}");
    assert!(plan["files"][0].as_str().unwrap().contains("model.safetensors"), "{plan}");
    // It waits for the job that runs, and jobs wait for it.
    let running = studio.queue("hold");
    studio.wait_state(&running, "running");
    let begun = studio.ask("POST", "/v1/avatars", Some(wanted.clone()));
    let id = begun["id"].as_str().unwrap();
    let stopped = studio.ask("POST", "/v1/avatars", Some(wanted.clone()));
    let stopped = stopped["id"].as_str().unwrap();
    assert_eq!(studio.ask("GET", &format!("/v1/avatars/{id}"), None)["status"], "queued");
    studio.ask("DELETE", &format!("/v1/avatars/{stopped}"), None);
    assert_eq!(studio.try_ask("GET", &format!("/v1/avatars/{stopped}"), None).status, 404);
    studio.let_go(&running);
    let made = until_over(&studio, id);
    assert_eq!(
        (&made["status"], &made["file"]["filename"]),
        (&json!("completed"), &json!("me.safetensors")),
        "{made}"
    );
    assert_eq!((&made["file"]["kind"], &made["file"]["usable"]), (&json!("avatar"), &json!(true)), "{made}");
    assert_eq!(studio.ask("GET", "/v1/avatars", None)["data"].as_array().unwrap().len(), 1);
    // What it is stays what it was made of: the avatar turns.
    let file = made["file"]["id"].as_str().unwrap();
    let turned = studio.send("GET", &format!("/v1/files/{file}/turntable?count=4&height=64"), &[], b"");
    assert_eq!(turned.status, 200, "{}", turned.text());
    for (change, about) in [
        (json!({ "weights": "demo" }), "weights"),
        (json!({ "weights": "/etc" }), "weights"),
        (json!({ "weights": "" }), "weights"),
        (json!({ "variant": "9b" }), "variant"),
        (json!({ "dtype": "f8" }), "dtype"),
        (json!({ "method": "magic" }), "method"),
        (json!({ "picture": "demo/background.mp4" }), "picture"),
        (json!({ "method": "bake" }), "weights"),
    ] {
        let mut wrong = wanted.clone();
        wrong.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let refused = studio.try_ask("POST", "/v1/avatars", Some(wrong));
        assert_eq!(
            (refused.status, refused.json()["error"]["param"].as_str()),
            (400, Some(about)),
            "{change}"
        );
    }
}
