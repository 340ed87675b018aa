//! Two hundred clients that poll and listen while a job runs. Takes a while and wants a quiet machine:
//! `cargo test --release -p anicrafter-server --test load -- --ignored --nocapture`.
#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use support::Running;

const CLIENTS: usize = 200;
/// Jobs one after the other.
const ROUNDS: u64 = 5;

fn memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:").map(str::to_owned)).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse().ok()).unwrap_or(0)
}

/// Runs a job of the demo, another one each time, and says how long it took.
fn job(studio: &Running, seed: u64) -> f64 {
    let mut request = studio.demo("human in a scene");
    request["seconds"] = Value::Null;
    request["job"] = serde_json::json!({ "sampling": { "seed": seed }, "input": { "end": 33 } });
    let began = Instant::now();
    let id = studio.ask("POST", "/v1/videos", Some(request))["id"].as_str().unwrap().to_owned();
    studio.wait_state(&id, "completed");
    began.elapsed().as_secs_f64()
}

#[test]
#[ignore = "takes a minute and wants a quiet machine"]
fn two_hundred_clients_while_a_job_runs() {
    let dir = tempfile::tempdir().unwrap();
    let studio = Arc::new(Running::start_real(&dir.path().join("library")));
    job(&studio, 0);
    let alone = (job(&studio, 1) + job(&studio, 2)) / 2.0;
    let memory = memory_kib();
    let (stop, slowest, asked) =
        (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|n| {
            let (studio, stop, slowest, asked) =
                (studio.clone(), stop.clone(), slowest.clone(), asked.clone());
            std::thread::spawn(move || {
                if n % 2 == 0 {
                    listen(&studio, &stop);
                    return;
                }
                while !stop.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    studio.ask("GET", "/v1/videos?limit=5", None);
                    slowest.fetch_max(began.elapsed().as_millis() as u64, Ordering::Relaxed);
                    asked.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(1000));
                }
            })
        })
        .collect();
    // Clients alone, once all of them are there: requests and listeners leave nothing behind.
    std::thread::sleep(Duration::from_secs(4));
    let quiet = memory_kib();
    std::thread::sleep(Duration::from_secs(12));
    let left = memory_kib().saturating_sub(quiet) / 1024;
    let (mut crowded, mut memory) = (0.0, vec![memory]);
    for round in 0..ROUNDS {
        crowded += job(&studio, 3 + round) / ROUNDS as f64;
        memory.push(memory_kib());
    }
    stop.store(true, Ordering::Relaxed);
    clients.into_iter().for_each(|client| client.join().unwrap());
    let mib: Vec<u64> = memory.iter().map(|kib| kib / 1024).collect();
    println!(
        "{CLIENTS} clients: the job took {crowded:.2} s, alone {alone:.2} s ({:+.1} %); {} requests, the slowest {} ms; {left} MiB more after twelve seconds of clients alone; memory after each job, the first without clients: {mib:?} MiB",
        100.0 * (crowded / alone - 1.0),
        asked.load(Ordering::Relaxed),
        slowest.load(Ordering::Relaxed)
    );
    assert!(asked.load(Ordering::Relaxed) > 100);
    assert!(left < 16, "{left} MiB more after twelve seconds of clients alone");
}

/// Reads events until it is told to stop.
fn listen(studio: &Running, stop: &AtomicBool) {
    let mut stream = TcpStream::connect(studio.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    write!(stream, "GET /v1/events HTTP/1.1\r\nHost: {}\r\n\r\n", studio.address).unwrap();
    let mut lines = BufReader::new(stream);
    let mut line = String::new();
    while !stop.load(Ordering::Relaxed) {
        line.clear();
        if lines.read_line(&mut line).is_ok_and(|n| n == 0) {
            panic!("a listener was hung up on");
        }
    }
}
