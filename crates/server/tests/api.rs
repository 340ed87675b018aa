//! Every endpoint, as a client sees it, with a worker that only pretends.
#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;
use support::{Running, video};

fn studio() -> (Running, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    (Running::start(&dir.path().join("library")), dir)
}

#[test]
fn a_job_from_request_to_result() {
    let (studio, _dir) = studio();
    let made = studio.ask("POST", "/v1/videos", Some(studio.demo("1")));
    let id = made["id"].as_str().unwrap();
    assert!(id.starts_with("video_") && made["object"] == "video" && made["status"] == "queued", "{made}");
    assert_eq!(
        (&made["model"], &made["size"], &made["seconds"]),
        (&json!("anicrafter-demo"), &json!("320x192"), &json!("1"))
    );
    assert_eq!(made["title"], "avatar in background");
    let done = studio.wait_state(id, "completed");
    assert_eq!(
        (&done["status"], &done["progress"], &done["frames"]),
        (&json!("completed"), &json!(100), &json!(16)),
        "{done}"
    );
    assert_eq!(done["warnings"], json!(["it was only a fake"]));
    assert_eq!(done["variants"], json!(["video", "thumbnail"]));
    let path = format!("/v1/videos/{id}/content");
    let whole = studio.send("GET", &path, &[], b"");
    assert_eq!(
        (whole.status, whole.header("content-type"), whole.body.as_slice()),
        (200, "video/mp4", video())
    );
    let part = studio.send("GET", &path, &[("Range", "bytes=4-7")], b"");
    assert_eq!((part.status, part.body.as_slice()), (206, &b"ftyp"[..]));
    let picture = studio.send("GET", &format!("{path}?variant=thumbnail"), &[], b"");
    assert_eq!((picture.status, picture.header("content-type")), (200, "image/jpeg"));
    let again = studio.send(
        "GET",
        &format!("{path}?variant=thumbnail"),
        &[("If-None-Match", picture.header("etag"))],
        b"",
    );
    assert_eq!((again.status, again.body.len()), (304, 0));
    assert_eq!(studio.try_ask("GET", &format!("{path}?variant=panels"), None).code(), "not_found");
    // Its settings, as a request and as a job file.
    let job = studio.ask("GET", &format!("/v1/videos/{id}/job"), None);
    assert_eq!(job["input"]["actors"][0]["avatar"], "demo/avatar.safetensors", "{job}");
    let toml = studio.send("GET", &format!("/v1/videos/{id}/job?format=toml"), &[], b"").text();
    assert!(
        toml.contains("../../demo/avatar.safetensors") && toml.contains("video = \"video.mp4\""),
        "{toml}"
    );
    // Taken up again, with a change.
    let remix = studio.ask(
        "POST",
        &format!("/v1/videos/{id}/remix"),
        Some(json!({ "prompt": "2", "job": { "sampling": { "seed": 5 } } })),
    );
    assert_eq!((&remix["remixed_from_video_id"], &remix["prompt"]), (&json!(id), &json!("2")), "{remix}");
    let second = remix["id"].as_str().unwrap();
    let job = studio.ask("GET", &format!("/v1/videos/{second}/job"), None);
    assert_eq!((&job["sampling"]["seed"], &job["input"]["end"]), (&json!(5), &json!(16)), "{job}");
    studio.wait_state(second, "completed");
    assert_eq!(
        studio.ask("DELETE", &format!("/v1/videos/{id}"), None),
        json!({ "id": id, "object": "video.deleted", "deleted": true })
    );
    assert_eq!(studio.try_ask("GET", &format!("/v1/videos/{id}"), None).status, 404);
    assert!(
        !studio.library.join("results").join(id).exists()
            && studio.library.join("results").join(second).exists()
    );
}

#[test]
fn lists_come_in_pages() {
    let (studio, _dir) = studio();
    let ids: Vec<String> = (0..5).map(|_| studio.queue("1")).collect();
    let ids_of = |list: &Value| -> Vec<String> {
        list["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|video| video["id"].as_str().unwrap().to_owned())
            .collect()
    };
    let newest = studio.ask("GET", "/v1/videos?limit=2", None);
    assert_eq!(ids_of(&newest), [ids[4].clone(), ids[3].clone()]);
    assert_eq!((&newest["has_more"], &newest["last_id"]), (&json!(true), &json!(ids[3])));
    let next = studio.ask("GET", &format!("/v1/videos?limit=3&after={}", ids[3]), None);
    assert_eq!((ids_of(&next).len(), &next["has_more"]), (3, &json!(false)));
    assert_eq!(ids_of(&studio.ask("GET", "/v1/videos?order=asc", None)), ids);
    for wrong in ["limit=0", "limit=101", "order=up", "after=video_x"] {
        let refused = studio.try_ask("GET", &format!("/v1/videos?{wrong}"), None);
        assert_eq!((refused.status, refused.code().as_str()), (400, "invalid_value"), "{wrong}");
    }
}

#[test]
fn a_form_brings_its_files_along() {
    let (studio, _dir) = studio();
    let text = |name, text: &'static str| (name, None, text.as_bytes());
    let made = studio.form(
        "/v1/videos",
        &[
            text("model", "anicrafter-demo"),
            text("prompt", "1"),
            ("avatar", Some("me.safetensors"), anicrafter_demo::AVATAR),
            ("motion", Some("walk.json"), anicrafter_demo::MOTION),
            ("background", Some("street.mp4"), anicrafter_demo::BACKGROUND),
            ("input_reference", Some("me.png"), anicrafter_demo::CHARACTER),
            text("job", r#"{"sampling":{"seed":3}}"#),
        ],
    );
    assert_eq!(made.status, 200, "{}", made.text());
    let made = made.json();
    let id = made["id"].as_str().unwrap();
    let job = studio.ask("GET", &format!("/v1/videos/{id}/job"), None);
    assert_eq!(
        (&job["input"]["character"], &job["sampling"]["seed"]),
        (&json!("me.png"), &json!(3)),
        "{job}"
    );
    studio.wait_state(id, "completed");
    assert_eq!(std::fs::read(studio.library.join("street.mp4")).unwrap(), anicrafter_demo::BACKGROUND);
    for (parts, param) in [
        (vec![text("colour", "red")], ""),
        (vec![text("prompt", "a"), text("prompt", "b")], "prompt"),
        (vec![("prompt", Some("a.txt"), &b"a"[..])], "prompt"),
        (vec![text("job", "{")], "job"),
    ] {
        let refused = studio.form("/v1/videos", &parts);
        assert_eq!(refused.status, 400, "{}", refused.text());
        assert_eq!(refused.json()["error"]["param"].as_str().unwrap_or_default(), param);
    }
}

#[test]
fn what_is_wrong_with_a_job_is_said_at_once() {
    let (studio, _dir) = studio();
    let good = studio.demo("1");
    let wrong = |change: Value| {
        let mut request = good.clone();
        request.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let refused = studio.try_ask("POST", "/v1/videos", Some(request));
        assert_eq!(refused.status, 400, "{change}: {}", refused.text());
        let error = refused.json()["error"].clone();
        assert!(error["message"].as_str().is_some_and(|message| message.len() > 10), "{error}");
        format!("{} {}", error["param"].as_str().unwrap_or("-"), error["code"].as_str().unwrap())
    };
    assert_eq!(wrong(json!({ "model": "sora" })), "model invalid_value");
    assert_eq!(wrong(json!({ "size": "large" })), "size invalid_value");
    assert_eq!(wrong(json!({ "size": "321x192" })), "video.width invalid_value");
    assert_eq!(wrong(json!({ "seconds": "-1" })), "seconds invalid_value");
    assert_eq!(wrong(json!({ "seconds": true })), "- invalid_json");
    assert_eq!(wrong(json!({ "avatar": "nobody.safetensors" })), "job invalid_value");
    assert_eq!(wrong(json!({ "job": { "video": { "widht": 3 } } })), "- invalid_json");
    assert_eq!(wrong(json!({ "colour": "red" })), "- invalid_json");
    assert_eq!(
        wrong(json!({ "job": { "output": { "video": "/tmp/x.mp4" } } })),
        "job.output.video invalid_value"
    );
    assert_eq!(wrong(json!({ "model": "anicrafter" })), "models.wan invalid_value");
    assert!(studio.ask("GET", "/v1/videos", None)["data"].as_array().unwrap().is_empty());
    let plan = studio.ask("POST", "/v1/plan", Some(json!({ "model": "anicrafter", "avatar": "demo/avatar.safetensors", "motion": "demo/motion.json", "background": "demo/background.mp4" })));
    assert_eq!(plan["ok"], false);
    assert!(plan["problems"].to_string().contains("wan"), "{plan}");
}

#[test]
fn a_plan_says_what_a_job_takes() {
    let (studio, _dir) = studio();
    let request = studio.demo("1");
    let plan = studio.ask("POST", "/v1/plan", Some(request.clone()));
    assert_eq!(
        (&plan["ok"], &plan["frames"], &plan["windows"]),
        (&json!(true), &json!(16), &json!(1)),
        "{plan}"
    );
    assert!(plan["weight_bytes"].as_u64().unwrap() > 1000 && plan["disk_bytes"].as_u64().unwrap() > 1000);
    assert!(plan["stages"].as_array().unwrap().len() > 4, "{plan}");
    assert!(plan["total_seconds"].as_f64().is_some_and(|seconds| seconds > 0.0), "{plan}");
    let id = studio.ask("POST", "/v1/videos", Some(request.clone()))["id"].as_str().unwrap().to_owned();
    studio.wait_state(&id, "completed");
    let plan = studio.ask("POST", "/v1/plan", Some(request));
    let known = |name: &str| {
        let stages = plan["stages"].as_array().unwrap();
        stages.iter().find(|stage| stage["name"] == name).unwrap()["expected_seconds"].as_f64()
    };
    let near = |name: &str| known(name).is_some_and(|seconds| (seconds - 1.0).abs() < 1e-6);
    assert!(near("denoise") && near("decode"), "{plan}");
}

#[test]
fn a_preview_is_the_composite() {
    let (studio, _dir) = studio();
    let request = studio.demo("1");
    let opened = studio.ask("POST", "/v1/previews", Some(request.clone()));
    let id = opened["id"].as_str().unwrap();
    let path = format!("/v1/previews/{id}");
    let ready = (0..500).map(|_| {
        std::thread::sleep(Duration::from_millis(20));
        studio.ask("GET", &path, None)
    });
    let ready = ready.into_iter().find(|info| info["status"] != "opening").unwrap();
    assert_eq!(
        (&ready["status"], &ready["frames"], &ready["width"]),
        (&json!("ready"), &json!(16), &json!(320)),
        "{ready}"
    );
    let frame = studio.send("GET", &format!("{path}/frames/3"), &[], b"");
    assert_eq!((frame.status, frame.header("content-type")), (200, "image/jpeg"));
    let shown = image::load_from_memory(&frame.body).unwrap().to_rgb8();
    // The same pixels as the session's own, but for the JPEG.
    let mut job = pipeline::Job::new(pipeline::Preset::Demo);
    let demo = |name: &str| studio.library.join("demo").join(name);
    job.input.actors = vec![pipeline::Actor::new(demo("avatar.safetensors"), demo("motion.json"))];
    job.input.background = demo("background.mp4");
    let own = pipeline::Session::builder()
        .renderer("cpu".parse().unwrap())
        .build()
        .unwrap()
        .preview(&job, 3)
        .unwrap();
    let off: f64 =
        own.iter().zip(shown.iter()).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / own.len() as f64;
    assert!(shown.dimensions() == own.dimensions() && off < 3.0, "{off}");
    assert_eq!(studio.try_ask("GET", &format!("{path}/frames/99"), None).status, 404);
    // A switch makes another one; the same request finds the first.
    assert_eq!(studio.ask("POST", "/v1/previews", Some(request.clone()))["id"], id);
    let mut lit = request;
    lit["job"] = json!({ "video": { "match_light": true } });
    let other = studio.ask("POST", "/v1/previews", Some(lit));
    assert_ne!(other["id"], id);
    let broken = json!({ "avatar": "demo/avatar.safetensors" });
    assert_eq!(studio.try_ask("POST", "/v1/previews", Some(broken)).status, 400);
}

/// Strokes correct what stays in front, are carried on to other frames, and stay with the job.
#[test]
fn strokes_are_followed_previewed_and_kept() {
    let (studio, _dir) = studio();
    let plain = studio.demo("1");
    let mut painted = plain.clone();
    // Across the middle of the picture, where the person walks.
    let stroke = json!({ "frame": 2, "part": "front", "width": 0.2, "points": [[0.3, 0.6], [0.7, 0.6]] });
    painted["job"] = json!({ "input": { "strokes": [stroke] } });
    let open = |request: &Value| {
        let id = studio.ask("POST", "/v1/previews", Some(request.clone()))["id"].as_str().unwrap().to_owned();
        let path = format!("/v1/previews/{id}");
        let until = std::time::Instant::now() + Duration::from_secs(60);
        loop {
            let info = studio.ask("GET", &path, None);
            if info["status"] == "ready" {
                return path;
            }
            assert!(info["status"] == "opening" && std::time::Instant::now() < until, "{info}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let picture = |path: &str| {
        let answer = studio.send("GET", path, &[], b"");
        assert_eq!(answer.status, 200, "{}", answer.text());
        (image::load_from_memory(&answer.body).unwrap(), answer)
    };
    let (before, after) = (open(&plain), open(&painted));
    assert_ne!(before, after);
    for frame in [2, 7] {
        let (source, answer) = picture(&format!("{after}/frames/{frame}/source"));
        assert_eq!(answer.header("source-frame"), frame.to_string());
        let (masks, _) = picture(&format!("{after}/frames/{frame}/masks"));
        let (source, masks) = (source.to_rgb8(), masks.to_rgba8());
        assert_eq!(source.dimensions(), masks.dimensions());
        let painted = masks.pixels().filter(|p| p[3] > 100).count();
        let all = masks.pixels().len();
        assert!(painted * 20 > all && painted * 3 < all, "frame {frame}: {painted} of {all}");
        let (none, _) = picture(&format!("{before}/frames/{frame}/masks"));
        assert!(none.to_rgba8().pixels().all(|p| p[3] == 0));
        // The composite follows: there is the background where the person was.
        let of = |path: &str| picture(&format!("{path}/frames/{frame}")).0.to_rgb8();
        let changed =
            of(&before).pixels().zip(of(&after).pixels()).filter(|(a, b)| a[0].abs_diff(b[0]) > 40).count();
        assert!(changed > 200, "frame {frame}: {changed}");
    }
    let id = studio.ask("POST", "/v1/videos", Some(painted))["id"].as_str().unwrap().to_owned();
    let job = studio.ask("GET", &format!("/v1/videos/{id}/job"), None);
    assert_eq!(job["input"]["strokes"][0]["points"], json!([[0.3, 0.6], [0.7, 0.6]]), "{job}");
    let job = pipeline::Job::read(&studio.library.join("results").join(&id).join("job.toml")).unwrap();
    assert_eq!(job.input.strokes.len(), 1);
    for (wrong, word) in [
        (json!({ "frame": 0, "part": "person", "width": 0.1, "points": [[0.5, 0.5]] }), "nobody is replaced"),
        (json!({ "frame": 0, "part": "front", "width": 0.0, "points": [[0.5, 0.5]] }), "width"),
        (json!({ "frame": 0, "part": "front", "width": 0.1, "points": [] }), "points"),
        (json!({ "frame": 0, "part": "sky", "width": 0.1, "points": [[0.5, 0.5]] }), "sky"),
    ] {
        let mut request = plain.clone();
        request["job"] = json!({ "input": { "strokes": [wrong] } });
        let refused = studio.try_ask("POST", "/v1/videos", Some(request));
        assert!(refused.status == 400 && refused.text().contains(word), "{word}: {}", refused.text());
    }
}

/// Where no picture can be made of a file, a page can ask for a sign in its place; whoever doesn't ask hears why.
#[test]
fn what_has_no_picture_has_a_sign() {
    let (studio, _dir) = studio();
    // A header without its frames.
    std::fs::write(studio.library.join("cut.mp4"), &video()[..4000]).unwrap();
    std::fs::write(studio.library.join("notes.txt"), "nothing").unwrap();
    for file in studio.ask("GET", "/v1/files", None)["data"].as_array().unwrap() {
        let path = format!("/v1/files/{}/thumbnail", file["id"].as_str().unwrap());
        let refused = studio.send("GET", &path, &[], b"");
        assert!(refused.status >= 400 && refused.json()["error"]["message"].is_string(), "{file}");
        let sign = studio.send("GET", &format!("{path}?placeholder=true"), &[], b"");
        assert_eq!((sign.status, sign.header("content-type")), (200, "image/svg+xml"), "{file}");
    }
    let gone = studio.send("GET", "/v1/videos/video_x/preview?placeholder=true", &[], b"");
    assert_eq!(gone.status, 404);
}

#[test]
fn the_library_says_what_files_are_and_why_not() {
    let (studio, _dir) = studio();
    studio.ask("POST", "/v1/demo", None);
    let put = |name: &str, bytes: &[u8]| std::fs::write(studio.library.join(name), bytes).unwrap();
    put("page.mp4", b"<!DOCTYPE html><html>404</html>");
    put("empty.png", b"");
    put("note.txt", b"hello");
    put("job.toml", b"[sampling]\nseed = 3\n");
    put("broken.toml", b"[sampling]\nsede = 3\n");
    put("cut.mp4", &video()[..20_000]);
    std::fs::create_dir(studio.library.join("frames")).unwrap();
    for n in 0..3 {
        image::RgbImage::new(32, 16).save(studio.library.join(format!("frames/{n:03}.png"))).unwrap();
    }
    // A slow machine looks into them one after the other.
    let list = (0..100).map(|_| studio.ask("GET", "/v1/files", None)).find(|list| list["checking"] == 0);
    let list = list.unwrap();
    let file = |name: &str| {
        let data = list["data"].as_array().unwrap();
        data.iter().find(|file| file["filename"] == name).unwrap_or_else(|| panic!("{name}: {list}")).clone()
    };
    for (name, kind) in [
        ("demo/avatar.safetensors", "avatar"),
        ("demo/motion.json", "motion"),
        ("demo/background.mp4", "video"),
        ("demo/character.png", "picture"),
        ("frames", "video"),
        ("job.toml", "job"),
    ] {
        let file = file(name);
        assert_eq!((&file["kind"], &file["usable"]), (&json!(kind), &json!(true)), "{file}");
    }
    assert_eq!(file("demo/background.mp4")["facts"]["frames"], 49);
    assert_eq!(file("demo/avatar.safetensors")["facts"]["gaussians"], 30000);
    for (name, said) in [
        ("page.mp4", "web page"),
        ("empty.png", "empty"),
        ("note.txt", "text"),
        ("broken.toml", "sede"),
        ("cut.mp4", ""),
    ] {
        let file = file(name);
        let problem = file["problem"].as_str().unwrap_or_default();
        assert!(
            file["usable"] == false && problem.contains(said) && !problem.contains("/library/"),
            "{file}"
        );
    }
    let of_kind = studio.ask("GET", "/v1/files?kind=video", None);
    assert_eq!(of_kind["data"].as_array().unwrap().len(), 2);
    let id = |name: &str| file(name)["id"].as_str().unwrap().to_owned();
    for (name, look) in [
        ("demo/avatar.safetensors", "thumbnail"),
        ("demo/avatar.safetensors", "turntable?count=3&height=32"),
        ("demo/motion.json", "thumbnail"),
        ("demo/background.mp4", "thumbnail"),
        ("demo/background.mp4", "frames/48"),
        ("demo/background.mp4", "strip?count=4&height=32"),
        ("demo/character.png", "thumbnail"),
        ("frames", "thumbnail"),
    ] {
        let picture = studio.send("GET", &format!("/v1/files/{}/{look}", id(name)), &[], b"");
        assert_eq!(
            (picture.status, picture.header("content-type")),
            (200, "image/jpeg"),
            "{name} {look}: {}",
            picture.text()
        );
        let decoded = image::load_from_memory(&picture.body).unwrap().to_rgb8();
        assert!(
            decoded.pixels().any(|p| p != decoded.get_pixel(0, 0)) || name == "frames",
            "{name} {look} is of one colour"
        );
    }
    assert_eq!(studio.try_ask("GET", &format!("/v1/files/{}/thumbnail", id("job.toml")), None).status, 404);
    assert_eq!(
        studio.try_ask("GET", &format!("/v1/files/{}/strip?count=0", id("demo/background.mp4")), None).status,
        400
    );
    assert_eq!(
        studio.try_ask("GET", &format!("/v1/files/{}/frames/49", id("demo/background.mp4")), None).status,
        404
    );
    // A copy of the file itself, and its end.
    let content = studio.send("GET", &format!("/v1/files/{}/content", id("note.txt")), &[], b"");
    assert!(
        content.body == b"hello" && content.header("content-disposition").starts_with("attachment"),
        "{content:?}"
    );
    studio.ask("DELETE", &format!("/v1/files/{}", id("note.txt")), None);
    assert!(!studio.library.join("note.txt").exists());
}

#[test]
fn an_upload_goes_on_where_it_broke_off() {
    let (studio, _dir) = studio();
    let bytes = video();
    let begun =
        studio.ask("POST", "/v1/uploads", Some(json!({ "filename": "../street.mp4", "bytes": bytes.len() })));
    let path = format!("/v1/uploads/{}", begun["id"].as_str().unwrap());
    let piece = |offset: usize, bytes: &[u8]| {
        studio.send("PATCH", &path, &[("Upload-Offset", &offset.to_string())], bytes)
    };
    assert_eq!(piece(0, &bytes[..1000]).json()["offset"], 1000);
    // A piece that breaks off leaves what came.
    let mut head = format!(
        "PATCH {path} HTTP/1.1\r\nHost: {}\r\nUpload-Offset: 1000\r\nContent-Length: 5000\r\n\r\n",
        studio.address
    )
    .into_bytes();
    head.extend(&bytes[1000..3000]);
    {
        use std::io::Write;
        let mut stream = std::net::TcpStream::connect(studio.address).unwrap();
        stream.write_all(&head).unwrap();
        std::thread::sleep(Duration::from_millis(150));
    }
    let offset = (0..100).find_map(|_| {
        std::thread::sleep(Duration::from_millis(20));
        let offset = studio.ask("GET", &path, None)["offset"].as_u64().unwrap() as usize;
        (offset == 3000).then_some(offset)
    });
    assert_eq!(offset, Some(3000));
    let wrong = piece(1000, &bytes[1000..]);
    assert_eq!((wrong.status, wrong.code().as_str()), (409, "wrong_offset"));
    let done = piece(3000, &bytes[3000..]);
    let file = done.json()["file"].clone();
    assert_eq!(
        (&file["filename"], &file["kind"]),
        (&json!("street.mp4"), &json!("video")),
        "{}",
        done.text()
    );
    assert_eq!(std::fs::read(studio.library.join("street.mp4")).unwrap(), bytes);
    assert_eq!(studio.try_ask("GET", &path, None).status, 404);
    // The same name again is another file.
    let again = studio.form("/v1/files", &[("file", Some("street.mp4"), bytes)]).json();
    assert_eq!(again["filename"], "street (2).mp4");
    assert_eq!(studio.try_ask("GET", "/v1/videos?limit=x", None).code(), "invalid_request");
    // Too much is refused, and given up uploads leave nothing.
    let small = studio.ask("POST", "/v1/uploads", Some(json!({ "filename": "a.png", "bytes": 10 })));
    let path = format!("/v1/uploads/{}", small["id"].as_str().unwrap());
    let over = studio.send("PATCH", &path, &[("Upload-Offset", "0")], &[7; 64]);
    assert_eq!(over.status, 413, "{}", over.text());
    studio.ask("DELETE", &path, None);
    assert_eq!(std::fs::read_dir(studio.library.join(".anicrafter/uploads")).unwrap().count(), 0);
}

#[test]
fn listeners_hear_of_every_end() {
    let (studio, _dir) = studio();
    // Each step takes as long as listeners wait, so that none is passed over unheard.
    let id = studio.queue("200");
    let events = studio.send("GET", &format!("/v1/videos/{id}/events"), &[], b"").text();
    let videos: Vec<Value> =
        events.lines().filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok()).collect();
    let progress: Vec<u64> = videos.iter().map(|video| video["progress"].as_u64().unwrap()).collect();
    assert!(progress.len() > 2 && progress.is_sorted(), "{progress:?}");
    assert_eq!(videos.last().unwrap()["status"], "completed", "{events}");
    assert!(videos.iter().any(|video| video["details"]["stage"] == "denoise"));
    assert_eq!(studio.try_ask("GET", "/v1/videos/video_none/events", None).status, 404);
}

#[test]
fn an_avatar_from_a_picture_and_people_in_pictures() {
    let (studio, _dir) = studio();
    studio.ask("POST", "/v1/demo", None);
    let made = studio.ask(
        "POST",
        "/v1/avatars",
        Some(json!({ "picture": "demo/character.png", "name": "../me", "points": 2000 })),
    );
    assert_eq!(
        (&made["file"]["filename"], &made["file"]["kind"], &made["report"]["gaussians"]),
        (&json!("me.safetensors"), &json!("avatar"), &json!(2000)),
        "{made}"
    );
    assert!(made["report"]["outline"].as_f64().unwrap() > 0.5, "{made}");
    let files = studio.ask("GET", "/v1/files?kind=picture", None);
    let picture = files["data"][0]["id"].as_str().unwrap();
    let people = studio.ask("GET", &format!("/v1/files/{picture}/people"), None);
    assert_eq!(people["data"].as_array().unwrap().len(), 1, "{people}");
    let [x, y] = [0, 1].map(|i| people["data"][0]["centre"][i].as_f64().unwrap());
    assert!(
        x > 0.0 && x < people["width"].as_f64().unwrap() && y > 0.0 && y < people["height"].as_f64().unwrap(),
        "{people}"
    );
    for wrong in [
        json!({ "picture": "demo/motion.json" }),
        json!({ "picture": "demo/character.png", "person": 9 }),
        json!({ "picture": "demo/character.png", "points": 1 }),
    ] {
        let refused = studio.try_ask("POST", "/v1/avatars", Some(wrong.clone()));
        assert_eq!(refused.status, 400, "{wrong}: {}", refused.text());
    }
}

/// Every route that is documented is there, and everything that is there is documented.
#[test]
fn the_document_and_the_server_agree() {
    let (studio, _dir) = studio();
    let document = studio.ask("GET", "/openapi.json", None);
    let methods = ["get", "post", "put", "patch", "delete"];
    let mut paths = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        paths += 1;
        let concrete = path.replace("{id}", "none").replace("{frame}", "0");
        let documented: BTreeSet<&str> = item.as_object().unwrap().keys().map(String::as_str).collect();
        for method in methods {
            // Listeners would be listened to for ever.
            if concrete == "/v1/events" && method == "get" {
                continue;
            }
            let answer = studio.send(&method.to_uppercase(), &concrete, &[], b"");
            let there = answer.status != 405
                && !(answer.status == 404 && answer.text().contains("nothing at this address"));
            assert_eq!(
                there,
                documented.contains(method),
                "{method} {path}: {} {}",
                answer.status,
                answer.text()
            );
            if answer.status >= 400 {
                let error = &answer.json()["error"];
                assert!(
                    error["message"].is_string() && error["code"].is_string(),
                    "{method} {path}: {error}"
                );
            }
        }
    }
    assert!(paths > 20, "{paths}");
    // Answers are what the document says: no field more, no field less.
    let id = studio.queue("1");
    studio.wait_state(&id, "completed");
    let file = studio.ask("GET", "/v1/files", None)["data"][0]["id"].as_str().unwrap().to_owned();
    for (path, concrete) in [
        ("/v1/videos", "/v1/videos".to_owned()),
        ("/v1/videos/{id}", format!("/v1/videos/{id}")),
        ("/v1/files", "/v1/files".to_owned()),
        ("/v1/files/{id}", format!("/v1/files/{file}")),
        ("/v1/studio", "/v1/studio".to_owned()),
        ("/v1/settings", "/v1/settings".to_owned()),
    ] {
        let schema =
            &document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"];
        conforms(&document, schema, &studio.ask("GET", &concrete, None), path);
    }
}

/// Has a value the fields that a schema says, and no others?
fn conforms(document: &Value, schema: &Value, value: &Value, at: &str) {
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.rsplit('/').next().unwrap();
        return conforms(document, &document["components"]["schemas"][name], value, at);
    }
    for several in ["oneOf", "allOf", "anyOf"] {
        if let Some(options) = schema[several].as_array() {
            let own = options.iter().find(|one| one["type"] != "null").unwrap();
            if !value.is_null() {
                conforms(document, own, value, at);
            }
            return;
        }
    }
    if let (Some(properties), Some(fields)) = (schema["properties"].as_object(), value.as_object()) {
        for (name, field) in fields {
            let known = properties.get(name).unwrap_or_else(|| panic!("{at}.{name} isn't in the document"));
            conforms(document, known, field, &format!("{at}.{name}"));
        }
        for required in schema["required"].as_array().into_iter().flatten() {
            assert!(fields.contains_key(required.as_str().unwrap()), "{at} lacks {required}");
        }
    }
    if let (Some(items), Some(values)) = (schema.get("items"), value.as_array()) {
        values.iter().for_each(|value| conforms(document, items, value, &format!("{at}[]")));
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => return,
    };
    let own = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let fits = kinds.contains(&own) || (own == "integer" && kinds.contains(&"number"));
    // A setting that is nothing is left out of a job file.
    assert!(fits || own == "null", "{at} is {value}, the document says {kinds:?}");
}
