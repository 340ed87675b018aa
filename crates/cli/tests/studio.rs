//! `anicrafter studio` as a program: killed while it works, started again, and in the end the same bytes as the command line's.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

#[path = "../../server/tests/support/browser.rs"]
mod browser;
#[allow(dead_code, reason = "the tests share more than this one takes")]
mod support;

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use support::scene;

struct Studio {
    child: Child,
    address: String,
}

impl Studio {
    fn start(library: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_anicrafter"))
            .args(["studio", "--no-open", "--port", "0", "--renderer", "cpu", "--library"])
            .arg(library)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().rsplit_once("http://").unwrap().1.trim_end_matches('/').to_owned();
        Self { child, address }
    }

    fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{method} {path}: {answer}");
        serde_json::from_str(body).unwrap()
    }

    fn wait(&self, id: &str, wanted: impl Fn(&Value) -> bool) {
        let until = Instant::now() + Duration::from_secs(120);
        loop {
            let video = self.ask("GET", &format!("/v1/videos/{id}"), None);
            if wanted(&video) {
                return;
            }
            assert!(Instant::now() < until, "{video}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// As the system does when there is no memory left: at once, without a word.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Studio {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

#[test]
fn jobs_survive_a_kill_and_end_with_the_command_lines_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let library = dir.path().join("library");
    std::fs::create_dir_all(&library).unwrap();
    for name in ["avatar.safetensors", "motion.json", "background.mp4", "character.png"] {
        std::fs::copy(scene().join(name), library.join(name)).unwrap();
    }
    let request = |seed: u64| {
        json!({
            "avatar": "avatar.safetensors", "motion": "motion.json", "background": "background.mp4", "character": "character.png",
            "size": "80x48", "job": {
                "video": { "window": 5, "overlap": 1 }, "input": { "end": 7 },
                "sampling": { "steps": 6, "seed": seed }, "output": { "save_every": 1 }
            }
        })
    };
    let studio = Studio::start(&library);
    let ids: Vec<String> = (1..=2)
        .map(|seed| studio.ask("POST", "/v1/videos", Some(request(seed)))["id"].as_str().unwrap().to_owned())
        .collect();
    studio.wait(&ids[0], |video| video["details"]["stage"] == "denoise" || video["status"] == "completed");
    studio.kill();
    let studio = Studio::start(&library);
    for id in &ids {
        studio.wait(id, |video| video["status"] == "completed");
        let variants = studio.ask("GET", &format!("/v1/videos/{id}"), None)["variants"].clone();
        for variant in ["video", "panels", "report", "condition", "thumbnail"] {
            let many = variants.as_array().unwrap().iter().filter(|named| *named == variant).count();
            assert_eq!(many, 1, "{variant}: {variants}");
        }
    }
    // Ended in order, it says nothing of an error.
    let pid = studio.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let mut studio = studio;
    assert!(studio.child.wait().unwrap().success());
    compare_with_the_command_line(&library, &ids, dir.path());
}

fn compare_with_the_command_line(library: &Path, ids: &[String], scratch: &Path) {
    for id in ids {
        let folder = library.join("results").join(id);
        let own = scratch.join(format!("{id}.mp4"));
        let output = Command::new(env!("CARGO_BIN_EXE_anicrafter"))
            .args(["animate", "--progress", "none", "--renderer", "cpu", "--job"])
            .arg(folder.join("job.toml"))
            .arg("--output")
            .arg(&own)
            .arg("--work")
            .arg(scratch.join("work"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", support::text(&output.stderr));
        assert!(
            std::fs::read(folder.join("video.mp4")).unwrap() == std::fs::read(&own).unwrap(),
            "{id}: other bytes"
        );
    }
}

/// From an empty folder by clicks: two jobs are queued, the page is closed, the program is killed and started again.
#[test]
fn jobs_that_were_queued_by_clicks_survive_a_kill() {
    let Some(program) = browser::find() else { return };
    let dir = tempfile::tempdir().unwrap();
    let library = dir.path().join("library");
    let studio = Studio::start(&library);
    {
        let mut page = browser::Browser::open(&program);
        page.size(1280, 900);
        page.go(&format!("http://{}/", studio.address));
        page.click("#demo");
        page.wait_for("document.querySelectorAll('#cards .card').length === 4", 30);
        for seed in ["1", "2"] {
            page.click("nav [data-view=make]");
            page.wait_for("document.querySelector('#form select')", 10);
            for (label, value) in
                [("Size", "80x48"), ("Stop before frame", "9"), ("Steps", "6"), ("Seed", seed)]
            {
                page.fill(label, value);
            }
            page.wait_for("document.querySelector('#plan dl')?.innerText.includes('9 frames') && !document.querySelector('#queue').disabled", 30);
            page.click("#queue");
            page.wait_for(&format!("document.querySelectorAll('.job').length === {seed}"), 20);
        }
        assert_eq!(page.complaints, Vec::<String>::new());
    }
    let list = studio.ask("GET", "/v1/videos?order=asc", None);
    let ids: Vec<String> = list["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|video| video["id"].as_str().unwrap().to_owned())
        .collect();
    studio.wait(&ids[0], |video| video["details"]["stage"] == "denoise" || video["status"] == "completed");
    studio.kill();
    let studio = Studio::start(&library);
    for id in &ids {
        studio.wait(id, |video| video["status"] == "completed");
    }
    drop(studio);
    compare_with_the_command_line(&library, &ids, dir.path());
}

#[test]
fn beyond_this_machine_a_token_is_shown_once() {
    let dir = tempfile::tempdir().unwrap();
    let start = || {
        let mut child = Command::new(env!("CARGO_BIN_EXE_anicrafter"))
            .args(["studio", "--no-open", "--port", "0", "--listen", "0.0.0.0", "--library"])
            .arg(dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        while !said.contains("Ctrl-C") {
            assert!(lines.read_line(&mut said).unwrap() > 0, "{said}");
        }
        child.kill().unwrap();
        child.wait().unwrap();
        said
    };
    let first = start();
    let token = first.lines().find_map(|line| line.strip_prefix("token")).unwrap().trim().to_owned();
    assert!(token.len() > 60 && first.contains("TLS"), "{first}");
    assert!(!start().contains(&token));
    assert!(!std::fs::read_to_string(dir.path().join(".anicrafter/token")).unwrap().contains(&token));
}
