//! The page in a real headless browser: the whole job by clicks, from an empty folder to a result; what it looks like; whether
//! everybody can use it.
#![cfg(unix)]
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod support;
#[path = "support/browser.rs"]
mod with_browser;

use serde_json::json;
use std::path::{Path, PathBuf};
use support::Running;
use with_browser::{Browser, find};

fn demo(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/demo").join(name)
}

/// A clip to drop: the demo's composite, in which somebody walks.
fn raw_clip(folder: &Path) -> PathBuf {
    let mut job = pipeline::Job::condition_video();
    job.input.actors = vec![pipeline::Actor::new(demo("avatar.safetensors"), demo("motion.json"))];
    job.input.background = demo("background.mp4");
    job.input.end = Some(40);
    job.output.video = folder.join("walk raw.mp4");
    compose(&job);
    job.output.video
}

/// What the library makes of a job.
fn compose(job: &pipeline::Job) {
    let session = pipeline::Session::builder().renderer("cpu".parse().unwrap()).build().unwrap();
    let cancel = pipeline::CancelToken::new();
    session.run(job, pipeline::Context::new(&pipeline::Quiet, &cancel)).unwrap();
}

const PREVIEW_SHOWS: &str = "document.querySelector('#player img').naturalWidth > 0 && !document.querySelector('#player img').hidden && !document.querySelector('#player .bar button').disabled";

#[test]
fn from_an_empty_folder_to_a_result() {
    let Some(program) = find() else { return };
    let dir = tempfile::tempdir().unwrap();
    let library = dir.path().join("library");
    let studio = Running::start_real(&library);
    let mut page = Browser::open(&program);
    page.size(1280, 900);
    page.go(&studio.url());
    page.wait_for("!document.getElementById('empty').hidden", 10);
    page.screenshot("1-empty");
    page.click("#demo");
    page.wait_for("document.querySelectorAll('#cards .card').length === 4", 20);
    page.wait_for(
        "[...document.querySelectorAll('#cards img')].filter((i) => i.naturalWidth > 0).length === 4",
        30,
    );
    page.screenshot("2-library");
    // An avatar turns.
    page.click("[data-kind=avatar] button:nth-of-type(2)");
    page.wait_for("document.querySelector('#dialog .turn')", 10);
    page.click("#dialog-close");
    // What the demo brought in is taken up already: the composite plays.
    page.click("nav [data-view=make]");
    let shown = page.wait_for(PREVIEW_SHOWS, 20);
    println!("the composite of the demo after {:.1} s", shown.as_secs_f64());
    page.wait_for("document.querySelector('#player output').textContent.startsWith('frame 4')", 30);
    // It follows the switches.
    let before = page.eval("document.querySelector('#player img').src");
    page.click("#form input[type=checkbox]");
    page.wait_for(&format!("document.querySelector('#player img').src !== {before}"), 20);
    page.click("#form input[type=checkbox]");
    // The avatar steps aside.
    let before = page.eval("document.querySelector('#player img').src");
    page.click("#form details.wide summary");
    page.fill("To the right, in metres", "0.5");
    page.wait_for(&format!("document.querySelector('#player img').src !== {before}"), 20);
    page.wait_for(PREVIEW_SHOWS, 30);
    page.screenshot("3-aside");
    page.wait_for("document.querySelector('#plan dl')", 20);
    page.screenshot("3-make");
    // Short, so that the test is.
    page.eval("(() => { const l = [...document.querySelectorAll('#form label')].find((l) => l.firstChild.textContent === 'Stop before frame'); const i = l.querySelector('input'); i.value = '9'; i.dispatchEvent(new Event('change')); })()");
    page.wait_for("document.querySelector('#plan dl').innerText.includes('9 frames')", 20);
    page.click("#queue");
    page.wait_for("document.querySelector('.job[data-state=running], .job[data-state=completed]')", 20);
    page.wait_for("document.querySelector('.job progress')?.value > 0 || document.querySelector('.job[data-state=completed]')", 60);
    page.screenshot("4-running");
    page.wait_for("document.querySelector('.job[data-state=completed]')", 120);
    page.click(".job [data-action=open]");
    page.wait_for("document.querySelectorAll('#dialog video')[0].readyState >= 2 && document.querySelectorAll('#dialog video')[1].readyState >= 2", 20);
    page.eval("(() => { const s = document.querySelector('#dialog input[type=range]'); s.value = 30; s.dispatchEvent(new Event('input')); })()");
    let split = page.eval("document.querySelector('#dialog video.over').style.clipPath");
    assert!(split.as_str().unwrap().contains("70%"), "{split}");
    page.screenshot("5-result");
    page.click("#dialog-close");
    // Its settings are taken up again.
    page.click(".job [data-action=again]");
    page.wait_for("[...document.querySelectorAll('#form label')].find((l) => l.firstChild.textContent === 'To the right, in metres')?.querySelector('input').value === '0.5'", 20);
    page.wait_for("location.hash === '#make' && [...document.querySelectorAll('#form label')].find((l) => l.firstChild.textContent === 'Stop before frame').querySelector('input').value === '9'", 20);
    // What the page made is what the library makes of the same job.
    let id = studio.ask("GET", "/v1/videos", None)["data"][0]["id"].as_str().unwrap().to_owned();
    let mut job = pipeline::Job::read(&library.join("results").join(&id).join("job.toml")).unwrap();
    job.output.video = dir.path().join("own.mp4");
    job.output.work = None;
    compose(&job);
    let made = std::fs::read(library.join("results").join(&id).join("video.mp4")).unwrap();
    assert!(
        made == std::fs::read(dir.path().join("own.mp4")).unwrap(),
        "the page's video and the library's differ"
    );
    // The report runs apart from the studio, and plays.
    let report = format!("{}/v1/videos/{id}/content?variant=report", studio.url());
    page.call("Page.navigate", json!({ "url": report }));
    page.wait_for("document.querySelector('video')?.readyState >= 2", 30);
    assert_eq!(page.eval("self.origin"), json!("null"));
    page.screenshot("8-report");
    assert_eq!(page.complaints, Vec::<String>::new());
}

#[test]
fn a_dropped_clip_moves_and_is_painted_on() {
    let Some(program) = find() else { return };
    let dir = tempfile::tempdir().unwrap();
    let clip = raw_clip(dir.path());
    let studio = Running::start_real(&dir.path().join("library"));
    let mut page = Browser::open(&program);
    page.size(1280, 900);
    page.go(&studio.url());
    page.give_files("#files", &[clip, demo("avatar.safetensors")]);
    page.wait_for("document.querySelectorAll('#cards .card').length === 2 && document.getElementById('uploads').children.length === 0", 30);
    let began = std::time::Instant::now();
    page.click("nav [data-view=make]");
    page.click("#form input[value=replace]");
    page.choose("Video", "walk raw.mp4");
    page.choose("Avatar", "avatar.safetensors");
    page.wait_for("document.querySelector('#people .person')", 20);
    page.click("#people .person");
    page.wait_for(PREVIEW_SHOWS, 60);
    let first = page.eval("document.querySelector('#player output').textContent");
    page.wait_for(&format!("document.querySelector('#player output').textContent !== {first}"), 20);
    println!("the composite of a raw clip moves after {:.1} s", began.elapsed().as_secs_f64());
    page.screenshot("6-replace");
    // A stroke of the brush stays in front of the person: by mouse, and another one by keyboard.
    page.click("#player [data-action=paint]");
    page.wait_for("document.querySelector('.easel').dataset.frame && document.querySelector('.easel img').naturalWidth > 0", 30);
    page.drag(".easel canvas", [0.3, 0.5], [0.7, 0.6]);
    page.screenshot("7-brush");
    for (key, code) in [("2", 50), (" ", 32), ("ArrowUp", 38), ("ArrowUp", 38), ("ArrowLeft", 37), (" ", 32)]
    {
        page.key(key, code);
    }
    let painted = page.eval("[document.querySelector('.easel').dataset.frame, document.querySelector('#player .screen').dataset.preview]");
    page.key("Enter", 13);
    page.wait_for(
        &format!(
            "document.querySelector('#strokes').innerText.startsWith('2 strokes on frame ' + {})",
            painted[0]
        ),
        5,
    );
    // The composite follows: it is another one.
    page.wait_for(
        &format!("document.querySelector('#player .screen').dataset.preview !== {}", painted[1]),
        60,
    );
    page.wait_for(PREVIEW_SHOWS, 60);
    // The masks have the strokes, on that frame and on those beside it.
    let frame: usize = painted[0].as_str().unwrap().parse().unwrap();
    let preview = page.eval("document.querySelector('#player .screen').dataset.preview");
    for n in [frame.saturating_sub(3), frame, (frame + 3).min(31)] {
        let path = format!("/v1/previews/{}/frames/{n}/masks", preview.as_str().unwrap());
        let masks = image::load_from_memory(&studio.send("GET", &path, &[], b"").body).unwrap().to_rgba8();
        let front = masks.pixels().filter(|p| p[0] > 200 && p[3] > 100).count();
        assert!(front * 100 > masks.pixels().len(), "frame {n}: {front}");
    }
    page.click("#queue");
    page.wait_for("document.querySelector('.job')", 20);
    let id = studio.ask("GET", "/v1/videos", None)["data"][0]["id"].as_str().unwrap().to_owned();
    let job = studio.ask("GET", &format!("/v1/videos/{id}/job"), None);
    assert_eq!(job["input"]["strokes"].as_array().unwrap().len(), 2, "{job}");
    assert_eq!(page.complaints, Vec::<String>::new());
    // What is refused before all of it was sent is heard of.
    for (address, method, status) in
        [("/v1/plan", "POST", 413), ("/v1/uploads/none", "PATCH", 400), ("/v1/files", "POST", 400)]
    {
        let fetched = format!(
            "fetch('{address}', {{ method: '{method}', headers: {{ 'Content-Type': 'application/json' }}, body: 'a'.repeat(9 << 20) }}).then((r) => r.status)"
        );
        assert_eq!(page.eval(&fetched), json!(status), "{address}");
    }
}

#[test]
fn one_of_two_people_is_clicked_on() {
    let Some(program) = find() else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut job = pipeline::Job::condition_video();
    job.input.actors = [-0.7, 0.7]
        .map(|right_m| pipeline::Actor {
            place: pipeline::GroundPlace { right_m, ..pipeline::GroundPlace::default() },
            ..pipeline::Actor::new(demo("avatar.safetensors"), demo("motion.json"))
        })
        .into();
    job.input.background = demo("background.mp4");
    job.input.end = Some(16);
    job.output.video = dir.path().join("two.mp4");
    compose(&job);
    let studio = Running::start_real(&dir.path().join("library"));
    let mut page = Browser::open(&program);
    page.size(1280, 900);
    page.go(&studio.url());
    page.give_files("#files", &[job.output.video, demo("avatar.safetensors")]);
    page.wait_for("document.querySelectorAll('#cards .card').length === 2 && document.getElementById('uploads').children.length === 0", 30);
    page.click("nav [data-view=make]");
    page.click("#form input[value=replace]");
    page.choose("Video", "two.mp4");
    page.choose("Avatar", "avatar.safetensors");
    page.wait_for("document.querySelectorAll('#people .person').length === 2", 30);
    for right in [true, false] {
        let side = if right { ">" } else { "<" };
        page.eval(&format!("[...document.querySelectorAll('#people .person')].find((p) => parseFloat(p.style.left) {side} 50).id = 'wanted'"));
        page.click("#wanted");
        page.wait_for(
            &format!(
                "parseFloat(document.querySelector('#people [aria-pressed=true]').style.left) {side} 50"
            ),
            5,
        );
        page.wait_for(PREVIEW_SHOWS, 60);
        page.screenshot(if right { "6-right" } else { "6-left" });
        let before = studio.ask("GET", "/v1/videos", None)["data"].as_array().unwrap().len();
        page.click("#queue");
        page.wait_for(&format!("document.querySelectorAll('.job').length === {}", before + 1), 20);
        let id = studio.ask("GET", "/v1/videos", None)["data"][0]["id"].as_str().unwrap().to_owned();
        let job = studio.ask("GET", &format!("/v1/videos/{id}/job"), None);
        let who: pipeline::Who = job["replace"]["person"].as_str().unwrap().parse().unwrap();
        let pipeline::Who::At { place: [x, _], .. } = who else { panic!("{job}") };
        assert_eq!(x > 0.5, right, "{job}");
        page.click("nav [data-view=make]");
    }
    assert_eq!(page.complaints, Vec::<String>::new());
}

#[test]
fn a_rough_look_shows_while_the_model_runs() {
    let Some(program) = find() else { return };
    let dir = tempfile::tempdir().unwrap();
    let studio = Running::start_real(&dir.path().join("library"));
    let mut request = studio.demo("human in a scene");
    request["seconds"] = serde_json::Value::Null;
    request["job"] = json!({ "sampling": { "steps": 10 }, "input": { "end": 17 } });
    let mut page = Browser::open(&program);
    page.go(&format!("{}/#videos", studio.url()));
    let id = studio.ask("POST", "/v1/videos", Some(request))["id"].as_str().unwrap().to_owned();
    page.wait_for(
        "document.querySelector('.job[data-state=running] img[alt^=\"A rough look\"]')?.naturalWidth > 0",
        120,
    );
    page.screenshot("4-rough-look");
    studio.ask("POST", &format!("/v1/videos/{id}/cancel"), None);
    assert_eq!(page.complaints, Vec::<String>::new());
}

#[test]
fn the_queue_outlives_the_page_and_two_tabs_agree() {
    let Some(program) = find() else { return };
    let dir = tempfile::tempdir().unwrap();
    let studio = Running::start(&dir.path().join("library"));
    let first = studio.queue("hold");
    let second = studio.queue("1");
    {
        let mut page = Browser::open(&program);
        page.go(&format!("{}/#videos", studio.url()));
        page.wait_for("document.querySelectorAll('.job').length === 2", 10);
    }
    // The page is closed; another one sees how far it is, and hears of what is done elsewhere.
    let mut page = Browser::open(&program);
    page.go(&format!("{}/#videos", studio.url()));
    page.wait_for("document.querySelector('.job[data-state=running] progress')", 10);
    page.click(".job[data-state=queued] [data-action=pause]");
    studio.wait_state(&second, "paused");
    page.wait_for("document.querySelector('.job[data-state=paused]')", 10);
    studio.ask("POST", &format!("/v1/videos/{second}/resume"), None);
    page.wait_for("!document.querySelector('.job[data-state=paused]')", 10);
    studio.let_go(&first);
    page.wait_for("document.querySelectorAll('.job[data-state=completed]').length === 2", 60);
    studio.ask("DELETE", &format!("/v1/videos/{first}"), None);
    page.wait_for("document.querySelectorAll('.job').length === 1", 10);
    assert_eq!(page.complaints, Vec::<String>::new());
}

/// Looks for what some people can't use, with axe-core.
fn nothing_serious(page: &mut Browser, axe: &str, name: &str) {
    page.eval(&format!("{axe}; undefined"));
    let found = page.eval("axe.run(document, { resultTypes: ['violations'] }).then((r) => r.violations.map((v) => [v.impact, v.id, v.nodes.length, v.nodes[0].html, v.nodes[0].failureSummary]))");
    let found = found.as_array().unwrap();
    let serious: Vec<_> =
        found.iter().filter(|v| matches!(v[0].as_str(), Some("serious" | "critical"))).collect();
    assert!(serious.is_empty(), "{name}: {serious:#?}");
    println!("axe {name}: no serious finding, {} others", found.len());
}

/// The tool is axe-core: its file in `ANICRAFTER_AXE`, or where npm puts it.
#[test]
fn everybody_can_use_the_page() {
    let Some(program) = find() else { return };
    let named = std::env::var_os("ANICRAFTER_AXE").map(PathBuf::from);
    let axe = named
        .into_iter()
        .chain(
            ["node_modules/axe-core/axe.min.js", "../../node_modules/axe-core/axe.min.js"].map(PathBuf::from),
        )
        .find(|file| file.is_file());
    if axe.is_none() {
        println!(
            "SKIPPED in part: axe-core isn't there (npm install axe-core, ANICRAFTER_AXE names its file)"
        );
    }
    let axe = axe.map(|file| std::fs::read_to_string(file).unwrap());
    let dir = tempfile::tempdir().unwrap();
    let library = dir.path().join("library");
    std::fs::create_dir_all(&library).unwrap();
    std::fs::write(library.join("not a video.mp4"), b"<!DOCTYPE html>").unwrap();
    let studio = Running::start(&library);
    let done = studio.queue("1");
    studio.wait_state(&done, "completed");
    let failed = studio.queue("fail");
    studio.wait_state(&failed, "failed");
    let mut page = Browser::open(&program);
    for (width, height, dark) in [(1280, 900, false), (390, 844, false), (390, 844, true)] {
        page.size(width, height);
        page.dark(dark);
        for view in ["#library", "#make", "#videos", "/api"] {
            let name =
                format!("{}-{width}{}", view.trim_start_matches(['#', '/']), if dark { "-dark" } else { "" });
            // Another part of the same page wouldn't be loaded anew.
            page.call("Page.navigate", json!({ "url": "about:blank" }));
            let address = if view == "/api" {
                format!("{}/api", studio.url())
            } else {
                format!("{}/{view}", studio.url())
            };
            page.go(&address);
            if view == "#make" {
                page.wait_for("document.querySelector('#form select')", 10);
                page.choose("Avatar", "avatar.safetensors");
                page.choose("Motion", "motion.json");
                page.choose("Background", "background.mp4");
                page.wait_for(PREVIEW_SHOWS, 30);
            }
            if view == "#library" {
                page.wait_for(
                    "[...document.querySelectorAll('#cards img')].filter((i) => i.complete).length >= 4",
                    20,
                );
            }
            let wider = page.eval("document.documentElement.scrollWidth - innerWidth");
            assert!(wider.as_f64().unwrap() <= 0.0, "{name} is wider than its window by {wider}");
            page.screenshot(&name);
            if let Some(axe) = &axe {
                nothing_serious(&mut page, axe, &name);
            }
        }
        // What opens over a view: each dialog, and what it is opened and known by.
        for (view, button, shows) in [
            ("#library", "Turn round: avatar.safetensors", ".turn"),
            ("#library", "Look: background.mp4", ".film"),
            ("#library", "Make an avatar: character.png", "fieldset"),
            ("#library", "Delete: character.png", "button.danger"),
            ("#videos", "Open", "a[download]"),
        ] {
            let name = format!("{button}-{width}{}", if dark { "-dark" } else { "" });
            page.call("Page.navigate", json!({ "url": "about:blank" }));
            page.go(&format!("{}/{view}", studio.url()));
            let labelled = format!("main button[aria-label^='{button}']");
            page.click(&labelled);
            page.wait_for(&format!("document.querySelector('#dialog {shows}')"), 10);
            let wider = page.eval("document.getElementById('dialog').scrollWidth - innerWidth");
            assert!(wider.as_f64().unwrap() <= 0.0, "{name} is wider than its window by {wider}");
            page.screenshot(&name.replace([' ', ':'], "-"));
            if let Some(axe) = &axe {
                nothing_serious(&mut page, axe, &name);
            }
        }
    }
    // By keyboard alone: every control that is seen can be reached, and says what it is.
    page.size(1280, 900);
    page.call("Page.navigate", json!({ "url": "about:blank" }));
    page.go(&format!("{}/#videos", studio.url()));
    page.wait_for("document.querySelectorAll('.job').length === 2", 10);
    let controls = page.eval("[...document.querySelectorAll('a[href], button, input, select')].filter((e) => e.offsetParent && !e.disabled).length").as_u64().unwrap();
    let mut reached = std::collections::BTreeSet::new();
    for _ in 0..controls + 3 {
        page.key("Tab", 9);
        let name = page.eval("(() => { const e = document.activeElement; return (e.getAttribute('aria-label') ?? e.textContent ?? '').trim(); })()");
        reached.insert(name.to_string());
    }
    assert!(reached.iter().any(|name| name.contains("Open avatar in background")), "{reached:?}");
    assert!(
        reached.iter().any(|name| name.contains("Delete"))
            && reached.iter().any(|name| name.contains("Try again")),
        "{reached:?}"
    );
    assert_eq!(page.complaints, Vec::<String>::new());
}
