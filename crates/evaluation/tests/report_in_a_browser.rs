//! The report page in a real headless browser: it loads, plays in sync, scrubs and compares.
//!
//! The browser is the first of Chromium, Chrome and Edge on the PATH, or `ANICRAFTER_BROWSER`. Without one the test says
//! that it was skipped; `ANICRAFTER_REQUIRE_BROWSER=1` makes that a failure.
#![allow(clippy::unwrap_used, reason = "tests")]

use anicrafter_evaluation::report::{Report, StageRow};
use image::{Rgb, RgbImage};
use media::{FrameRate, VideoWriter, WriteOptions};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

const FPS: u32 = 15;
const FRAMES: u32 = 30;
const SIZE: (u32, u32) = (160, 96);

/// What a reader does with the page, and what it then shows.
const READER: &str = include_str!("support/reader.js");

fn browser() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("ANICRAFTER_BROWSER") {
        return Some(named.into());
    }
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge"];
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let on_path = names.iter().flat_map(|name| folders.iter().map(move |f| f.join(name)));
    let known = [
        "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
        r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    ];
    on_path.chain(known.map(PathBuf::from)).find(|file| file.is_file())
}

/// A bar that moves from left to right over a plain colour.
fn write_video(path: &Path, color: [u8; 3]) {
    let mut writer = VideoWriter::create(path, WriteOptions::new(FrameRate::whole(FPS))).unwrap();
    for f in 0..FRAMES {
        let at = f * SIZE.0 / FRAMES;
        let pixel = |x: u32, _| if x.abs_diff(at) < 6 { Rgb([255; 3]) } else { Rgb(color) };
        writer.push(&RgbImage::from_fn(SIZE.0, SIZE.1, pixel)).unwrap();
    }
    writer.finish().unwrap();
}

fn page(folder: &Path) -> String {
    let file = |name: &str| folder.join(name);
    RgbImage::from_pixel(SIZE.0, SIZE.1, Rgb([240; 3])).save(file("r.png")).unwrap();
    for (name, color) in [("m.mp4", [0; 3]), ("c.mp4", [20, 60, 200]), ("o.mp4", [200, 40, 20])] {
        write_video(&file(name), color);
    }
    let stage = |name: &str, seconds| StageRow {
        name: name.to_owned(),
        seconds,
        peak_bytes: 300 << 20,
        cached: false,
    };
    let report = Report {
        title: "A page <that> is looked at".to_owned(),
        note: Some("A note & its sign".to_owned()),
        reference: Some(file("r.png")),
        body: Some(file("m.mp4")),
        condition: file("c.mp4"),
        result: file("o.mp4"),
        fps: f64::from(FPS),
        stages: vec![stage("composite", 1.5), stage("denoise", 4.5)],
        settings: "[video]\nwidth = 160".to_owned(),
        environment: vec![("threads".to_owned(), "2".to_owned())],
        ..Report::default()
    };
    let html = report.to_html().unwrap();
    html.replace("</body>", &format!("<script>{READER}</script></body>"))
}

/// Serves the page to whoever asks; gives back the body of the first POST.
fn serve(listener: &TcpListener, page: &str) -> String {
    loop {
        let (mut stream, _) = listener.accept().unwrap();
        if let Some(posted) = answer(&mut stream, page) {
            return posted;
        }
    }
}

fn answer(stream: &mut TcpStream, page: &str) -> Option<String> {
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut request = String::new();
    reader.read_line(&mut request).ok()?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 || line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let posted = request.starts_with("POST").then(|| {
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        String::from_utf8(body).ok()
    });
    let body = if request.starts_with("GET / ") { page } else { "" };
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nConnection: close\r\n";
    // A browser that hangs up early is no concern of the test's: the POST is.
    let _ = write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len());
    posted.flatten()
}

fn numbers(found: &Value, name: &str) -> Vec<f64> {
    let list = found[name].as_array().unwrap_or_else(|| panic!("{name} is missing in {found}"));
    list.iter().map(|x| x.as_f64().unwrap_or_else(|| panic!("{name}: {x}"))).collect()
}

/// Are all within `tolerance` of the first?
fn together(times: &[f64], tolerance: f64) -> bool {
    times.iter().all(|t| (t - times[0]).abs() <= tolerance)
}

#[test]
fn a_reader_plays_scrubs_and_compares() {
    let Some(browser) = browser() else {
        let required = std::env::var("ANICRAFTER_REQUIRE_BROWSER").is_ok_and(|v| v == "1");
        assert!(!required, "ANICRAFTER_REQUIRE_BROWSER is set, and no browser was found");
        println!("SKIPPED: no browser was found");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let page = page(folder.path());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/", listener.local_addr().unwrap());
    let (sender, found) = channel();
    std::thread::spawn(move || {
        // The receiver is gone only where the test has already failed.
        let _ = sender.send(serve(&listener, &page));
    });
    let mut child = Command::new(&browser)
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--mute-audio", "--no-first-run"])
        .args(["--autoplay-policy=no-user-gesture-required", "--window-size=1200,900"])
        .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
        .arg(&address)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let found = found.recv_timeout(Duration::from_secs(120));
    child.kill().unwrap();
    child.wait().unwrap();
    let found: Value = serde_json::from_str(&found.expect("the page never answered")).unwrap();
    println!("{}: {found}", browser.display());
    assert!(found["error"].is_null(), "{found}");

    let seconds = f64::from(FRAMES) / f64::from(FPS);
    let half_a_frame = 0.5 / f64::from(FPS) + 1e-3;
    // Body, condition and result, and the pair to compare.
    assert_eq!(numbers(&found, "durations").len(), 5);
    assert!(numbers(&found, "durations").iter().all(|d| (d - seconds).abs() < 0.1), "{found}");

    let scrubbed = numbers(&found, "scrubbed");
    assert!((scrubbed[0] - seconds / 2.0).abs() < 0.05 && together(&scrubbed, 1e-3), "{found}");
    assert_eq!(found["scrubbedFrame"], "frame 15");
    // The result's own red where the bar isn't, and white where it is.
    let (plain, bar) = (numbers(&found, "plain"), numbers(&found, "bar"));
    assert!(plain[0] > 150.0 && plain[1] < 90.0, "{found}");
    assert!(bar.iter().all(|x| *x > 200.0), "{found}");

    assert_eq!(found["playing"], true);
    assert_eq!(found["playLabel"], "Pause");
    let played = numbers(&found, "played");
    assert!((played[0] - scrubbed[0]).abs() > 0.1, "{found}");
    assert!(together(&played, 3.0 * half_a_frame), "{found}");
    assert_eq!(found["paused"], true);
    assert_eq!(found["pauseLabel"], "Play");
    assert!(together(&numbers(&found, "stopped"), half_a_frame), "{found}");

    assert_eq!(found["split"], "inset(0px 0px 0px 20%)");
    assert_eq!(found["title"], "A page <that> is looked at");
    assert_eq!(found["stageRows"], 4);
    assert_eq!(found["requests"], 0, "the page reaches out");
    assert_eq!(found["overflows"], false, "the page is wider than its window");
}
