//! The queue over its whole life: pauses, ends of all kinds, restarts, a day of jobs.
#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use anicrafter_server::{Clock, Error, Options, Server};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use std::time::Duration;
use support::{FakeWorker, Running};

fn record(studio: &std::path::Path, id: &str) -> Value {
    let path = studio.join(".anicrafter/queue").join(format!("{id}.json"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn jobs_pause_go_on_and_end() {
    let dir = tempfile::tempdir().unwrap();
    let studio = Running::start(&dir.path().join("library"));
    let act = |id: &str, what: &str| studio.try_ask("POST", &format!("/v1/videos/{id}/{what}"), None);
    let first = studio.queue("hold");
    let second = studio.queue("1");
    let third = studio.queue("1");
    studio.wait_state(&first, "running");
    let waiting = studio.ask("GET", &format!("/v1/videos/{third}"), None);
    assert_eq!(waiting["queue_position"], 1);
    assert_eq!(act(&third, "first").json()["queue_position"], 0);
    // Paused: it stops, the next one runs, and it goes on later.
    assert_eq!(act(&first, "pause").status, 200);
    let paused = studio.wait_state(&first, "paused");
    assert_eq!((&paused["status"], &paused["error"]), (&json!("queued"), &Value::Null), "{paused}");
    studio.wait_state(&second, "completed");
    studio.wait_state(&third, "completed");
    assert_eq!(studio.worker.runs.load(Ordering::SeqCst), 3);
    assert_eq!(act(&first, "resume").status, 200);
    studio.let_go(&first);
    studio.wait_state(&first, "completed");
    for what in ["pause", "cancel", "resume", "first"] {
        let refused = act(&first, what);
        assert_eq!(refused.status, 409, "{what}: {}", refused.text());
    }
    // Cancelled while it runs, and while it waits.
    let running = studio.queue("hold");
    let waiting = studio.queue("1");
    studio.wait_state(&running, "running");
    act(&waiting, "cancel");
    act(&running, "cancel");
    let cancelled = studio.wait_state(&running, "cancelled");
    assert_eq!((&cancelled["status"], &cancelled["error"]["code"]), (&json!("failed"), &json!("cancelled")));
    studio.wait_state(&waiting, "cancelled");
    // Tried again, deleted while it runs.
    assert_eq!(act(&running, "resume").status, 200);
    studio.wait_state(&running, "running");
    studio.ask("DELETE", &format!("/v1/videos/{running}"), None);
    let gone = (0..200).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        studio.try_ask("GET", &format!("/v1/videos/{running}"), None).status == 404
    });
    assert!(gone && !studio.library.join("results").join(&running).exists());
    assert_eq!(studio.worker.most_busy.load(Ordering::SeqCst), 1);
}

#[test]
fn one_bad_job_stops_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let studio = Running::start(&dir.path().join("library"));
    let ids: Vec<String> =
        ["fail", "panic", "missing", "full", "1"].iter().map(|prompt| studio.queue(prompt)).collect();
    studio.wait_state(&ids[4], "completed");
    let code = |i: usize| studio.ask("GET", &format!("/v1/videos/{}", ids[i]), None)["error"]["code"].clone();
    assert_eq!((code(0), code(1), code(2)), (json!("failed"), json!("panicked"), json!("file_missing")));
    // A full disk is no fault of the job's: it waits for room.
    let full = studio.ask("GET", &format!("/v1/videos/{}", ids[3]), None);
    assert_eq!((&full["state"], &full["error"]["code"]), (&json!("paused"), &json!("no_room")), "{full}");
    assert!(full["error"]["message"].as_str().unwrap().contains("make room"), "{full}");
}

#[test]
fn a_file_that_vanished_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let library = dir.path().join("library");
    let studio = Running::start(&library);
    let mut request = studio.demo("1");
    request["paused"] = json!(true);
    let id = studio.ask("POST", "/v1/videos", Some(request))["id"].as_str().unwrap().to_owned();
    studio.stop();
    std::fs::remove_file(library.join("demo/background.mp4")).unwrap();
    // The real worker looks at its files before it begins.
    let studio = Running::start_real(&library);
    studio.ask("POST", &format!("/v1/videos/{id}/resume"), None);
    let failed = studio.wait_state(&id, "failed");
    assert!(failed["error"]["message"].as_str().unwrap().contains("background.mp4"), "{failed}");
}

#[test]
fn what_was_taken_in_survives_the_end_of_the_program() {
    let dir = tempfile::tempdir().unwrap();
    let library = dir.path().join("library");
    let studio = Running::start(&library);
    let done = studio.queue("1");
    studio.wait_state(&done, "completed");
    let running = studio.queue("hold");
    let waiting = studio.queue("1");
    let mut request = studio.demo("1");
    request["paused"] = json!(true);
    let paused = studio.ask("POST", "/v1/videos", Some(request))["id"].as_str().unwrap().to_owned();
    studio.wait_state(&running, "running");
    assert_eq!(record(&library, &running)["state"], "running");
    // Ended in order: the running job stops and waits for the next start.
    studio.stop();
    assert_eq!(
        (&record(&library, &running)["state"], &record(&library, &running)["crashes"]),
        (&json!("queued"), &json!(0))
    );
    // Ended by force: on disk it still says that it runs. And somebody's hand was in the folder.
    let path = library.join(".anicrafter/queue").join(format!("{running}.json"));
    let mut text = record(&library, &running);
    text["state"] = json!("running");
    std::fs::write(&path, text.to_string()).unwrap();
    std::fs::write(library.join(".anicrafter/queue/video_broken.json"), b"{ half a rec").unwrap();
    std::fs::write(library.join("results").join(&running).join("go"), b"").unwrap();
    let studio = Running::start(&library);
    studio.wait_state(&running, "completed");
    studio.wait_state(&waiting, "completed");
    let list = studio.ask("GET", "/v1/videos?order=asc", None);
    let states: Vec<&str> =
        list["data"].as_array().unwrap().iter().map(|video| video["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["completed", "completed", "completed", "paused"]);
    let of = |id: &str| studio.ask("GET", &format!("/v1/videos/{id}"), None);
    assert!(
        of(&running)["started_at"].as_u64() <= of(&waiting)["started_at"].as_u64(),
        "the job that ran goes on first"
    );
    assert_eq!(of(&paused)["state"], "paused");
    assert!(library.join(".anicrafter/queue/video_broken.damaged").exists());
}

#[test]
fn a_job_that_ends_the_program_is_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    let library = dir.path().join("library");
    let studio = Running::start(&library);
    let mut request = studio.demo("hold");
    request["paused"] = json!(true);
    let id = studio.ask("POST", "/v1/videos", Some(request))["id"].as_str().unwrap().to_owned();
    studio.stop();
    let path = library.join(".anicrafter/queue").join(format!("{id}.json"));
    let crash = |times: u32| {
        let mut text = record(&library, &id);
        (text["state"], text["crashes"]) = (json!("running"), json!(times));
        std::fs::write(&path, text.to_string()).unwrap();
    };
    crash(1);
    let studio = Running::start(&library);
    studio.wait_state(&id, "running");
    studio.stop();
    crash(2);
    let studio = Running::start(&library);
    let failed = studio.ask("GET", &format!("/v1/videos/{id}"), None);
    assert_eq!(
        (&failed["state"], &failed["error"]["code"]),
        (&json!("failed"), &json!("stopped_the_server")),
        "{failed}"
    );
    // Somebody who knows better may try it again.
    studio.ask("POST", &format!("/v1/videos/{id}/resume"), None);
    studio.wait_state(&id, "running");
}

#[test]
fn a_library_belongs_to_one_studio() {
    let dir = tempfile::tempdir().unwrap();
    let studio = Running::start(&dir.path().join("library"));
    let options = Options { listen: "127.0.0.1:0".parse().unwrap(), ..Options::new(studio.library.clone()) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let second = runtime.block_on(Server::open(options));
    assert!(matches!(second, Err(Error::Locked { .. })), "{second:?}");
}

#[test]
fn the_folder_can_be_moved() {
    let dir = tempfile::tempdir().unwrap();
    let studio = Running::start(&dir.path().join("library"));
    let id = studio.queue("1");
    studio.wait_state(&id, "completed");
    studio.stop();
    let moved = dir.path().join("elsewhere");
    std::fs::rename(dir.path().join("library"), &moved).unwrap();
    let studio = Running::start(&moved);
    assert_eq!(studio.send("GET", &format!("/v1/videos/{id}/content"), &[], b"").body, support::video());
    let again = studio.ask("POST", &format!("/v1/videos/{id}/remix"), Some(json!({})));
    studio.wait_state(again["id"].as_str().unwrap(), "completed");
}

/// A day of the queue: jobs of half an hour by a clock that stands until they move it, among them ones that fail, panic, are
/// paused, cancelled and deleted.
#[test]
fn a_day_of_jobs() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::standing_at_ms(1_800_000_000_000);
    let began = clock.now_s();
    let worker = FakeWorker { clock: Some(clock.clone()), ..FakeWorker::default() };
    let own = clock.clone();
    let with_clock = |options| Options { clock: own, ..options };
    let studio = Running::start_with(&dir.path().join("library"), with_clock, worker);
    let request = studio.demo("day");
    let mut ended = 0;
    let mut n = 0;
    while clock.now_s() - began < 24 * 3600 {
        let ids: Vec<String> = (0..8)
            .map(|i| {
                let mut request = request.clone();
                request["prompt"] = json!(match (n + i) % 13 {
                    3 => "fail",
                    7 => "panic",
                    11 => "full",
                    _ => "day",
                });
                studio.ask("POST", "/v1/videos", Some(request))["id"].as_str().unwrap().to_owned()
            })
            .collect();
        n += 8;
        studio.try_ask("POST", &format!("/v1/videos/{}/cancel", ids[5]), None);
        studio.try_ask("POST", &format!("/v1/videos/{}/pause", ids[6]), None);
        for id in &ids {
            let video =
                studio.wait_for(id, |video| !matches!(video["state"].as_str(), Some("queued" | "running")));
            let prompt = video["prompt"].as_str().unwrap();
            let fits = match video["state"].as_str().unwrap() {
                "completed" => prompt == "day",
                "failed" => prompt == "fail" || prompt == "panic",
                "paused" => prompt == "full" || *id == ids[6],
                "cancelled" => *id == ids[5],
                _ => false,
            };
            assert!(fits, "{video}");
            ended += 1;
        }
        // Most are deleted, as people do.
        for id in &ids[1..] {
            studio.ask("DELETE", &format!("/v1/videos/{id}"), None);
        }
    }
    assert!(ended >= 48, "{ended} jobs in a day");
    assert_eq!(studio.worker.most_busy.load(Ordering::SeqCst), 1);
    let left = studio.ask("GET", "/v1/videos?limit=100", None)["data"].as_array().unwrap().len();
    assert_eq!(left, (n / 8).min(100));
    let on_disk = |folder: &str| std::fs::read_dir(studio.library.join(folder)).unwrap().count();
    assert_eq!(
        (on_disk("results"), on_disk(".anicrafter/queue"), on_disk(".anicrafter/work")),
        (n / 8, n / 8, 0)
    );
}
