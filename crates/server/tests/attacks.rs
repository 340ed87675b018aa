//! What somebody might try, each with what becomes of it.
#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use serde_json::json;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;
use support::{FakeWorker, Running, video};

fn studio() -> (Running, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("secret.txt"), b"outside of the library").unwrap();
    (Running::start(&dir.path().join("library")), dir)
}

/// A page of another site in the user's browser sends forms, pictures and scripts here.
#[test]
fn another_sites_page() {
    let (studio, _dir) = studio();
    studio.ask("POST", "/v1/demo", None);
    let own = studio.url();
    for headers in [
        vec![("Origin", "http://evil.example")],
        vec![("Origin", "null")],
        vec![("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "no-cors")],
        vec![("Sec-Fetch-Site", "same-site"), ("Sec-Fetch-Mode", "cors")],
    ] {
        for (method, path) in [
            ("POST", "/v1/demo"),
            ("GET", "/v1/files"),
            ("DELETE", "/v1/files/file_x"),
            ("GET", "/v1/events"),
        ] {
            let refused = studio.send(method, path, &headers, b"");
            assert_eq!(
                (refused.status, refused.code().as_str()),
                (403, "wrong_origin"),
                "{method} {path} {headers:?}"
            );
            assert!(refused.header("access-control-allow-origin").is_empty());
        }
    }
    assert_eq!(
        studio.send("POST", "/v1/demo", &[("Origin", &own), ("Sec-Fetch-Site", "same-origin")], b"").status,
        200
    );
    // A form that smuggles JSON in as plain text; a preflight.
    let smuggled = studio.send("POST", "/v1/videos", &[("Content-Type", "text/plain")], b"{}");
    assert_eq!((smuggled.status, smuggled.code().as_str()), (415, "not_json"));
    let preflight = studio.send("OPTIONS", "/v1/videos", &[("Access-Control-Request-Method", "POST")], b"");
    assert!(preflight.status >= 400 && preflight.header("access-control-allow-methods").is_empty());
}

/// A name of the attacker's is pointed to this machine once the page is loaded.
#[test]
fn dns_rebinding() {
    let (studio, _dir) = studio();
    for host in ["evil.example", "evil.example:8585", "127.0.0.1.nip.io", "localhost.evil.example", ""] {
        let refused = studio.send("GET", "/v1/studio", &[("Host", host)], b"");
        assert_eq!((refused.status, refused.code().as_str()), (403, "wrong_host"), "{host:?}");
    }
    let two = studio.raw(
        format!(
            "GET /v1/studio HTTP/1.1\r\nHost: {}\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
            studio.address
        )
        .as_bytes(),
    );
    assert!(two.status == 400 || two.status == 403, "{two:?}");
    let none = studio.raw(b"GET /v1/studio HTTP/1.1\r\nConnection: close\r\n\r\n");
    assert!(none.status == 400 || none.status == 403, "{none:?}");
}

/// Every answer tells the browser what to keep to.
#[test]
fn a_script_that_got_in_anyway() {
    let (studio, _dir) = studio();
    for path in ["/", "/api", "/page/app.js", "/v1/studio", "/nothing", "/openapi.json"] {
        let answer = studio.send("GET", path, &[], b"");
        let policy = answer.header("content-security-policy");
        assert!(
            policy.contains("default-src 'none'")
                && policy.contains("script-src 'self'")
                && !policy.contains("unsafe"),
            "{path}: {policy}"
        );
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("cross-origin-resource-policy"), "same-origin", "{path}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{path}");
    }
    // Files of the library are never pages or scripts of this server, whatever they are called.
    for (name, bytes) in [
        ("x.html", &b"<html><script>alert(1)</script></html>"[..]),
        ("x.svg", b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"),
        ("x.png", b"<script>alert(1)</script>"),
        ("x.js", b"alert(1)"),
    ] {
        let file = studio.form("/v1/files", &[("file", Some(name), bytes)]).json();
        let content =
            studio.send("GET", &format!("/v1/files/{}/content", file["id"].as_str().unwrap()), &[], b"");
        assert_eq!(
            (content.status, content.header("content-type")),
            (200, "application/octet-stream"),
            "{name}"
        );
        assert!(content.header("content-disposition").starts_with("attachment"), "{name}");
    }
    // A title is text.
    let mut request = studio.demo("1");
    request["title"] = json!("<img src=x onerror=alert(1)>\r\nSet-Cookie: a=b");
    let made = studio.ask("POST", "/v1/videos", Some(request));
    let id = made["id"].as_str().unwrap();
    studio.wait_state(id, "completed");
    let content = studio.send("GET", &format!("/v1/videos/{id}/content"), &[], b"");
    assert!(content.status == 200 && content.header("set-cookie").is_empty(), "{:?}", content.headers);
}

/// Paths that lead out, in every place that takes one.
#[test]
fn paths_that_lead_out() {
    let (studio, dir) = studio();
    studio.ask("POST", "/v1/demo", None);
    let secret = dir.path().join("secret.txt").display().to_string();
    let own = studio.library.join(".anicrafter/lock").display().to_string();
    let mut tried = vec![
        secret,
        own,
        "../secret.txt".into(),
        "demo/../../secret.txt".into(),
        "/etc/passwd".into(),
        ".anicrafter/lock".into(),
        "..\\secret.txt".into(),
        "file:///etc/passwd".into(),
        "http://169.254.169.254/latest".into(),
        "https://example.org/a.mp4".into(),
        "//server/share/a.mp4".into(),
        "concat:a|b".into(),
        "demo/motion.json\0.mp4".into(),
        "%2e%2e/secret.txt".into(),
        "demo%2fmotion.json".into(),
    ];
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(dir.path(), studio.library.join("out")).unwrap();
        std::os::unix::fs::symlink(dir.path().join("secret.txt"), studio.library.join("link.txt")).unwrap();
        tried.extend(["out/secret.txt".to_owned(), "link.txt".to_owned()]);
    }
    for path in &tried {
        for request in [
            json!({ "avatar": path, "motion": "demo/motion.json", "background": "demo/background.mp4" }),
            json!({ "avatar": "demo/avatar.safetensors", "motion": "demo/motion.json", "background": path }),
            json!({ "avatar": "demo/avatar.safetensors", "video": path }),
            json!({ "input_reference": path, "avatar": "demo/avatar.safetensors" }),
            json!({ "job": { "input": { "occluders": [path] } }, "avatar": "demo/avatar.safetensors", "motion": "demo/motion.json", "background": "demo/background.mp4" }),
            json!({ "job": { "models": { "wan": path } }, "avatar": "demo/avatar.safetensors", "motion": "demo/motion.json", "background": "demo/background.mp4" }),
            json!({ "job": { "models": { "lora": [{ "path": path }] } }, "avatar": "demo/avatar.safetensors", "motion": "demo/motion.json", "background": "demo/background.mp4" }),
        ] {
            for place in ["/v1/videos", "/v1/previews", "/v1/plan"] {
                let refused = studio.try_ask("POST", place, Some(request.clone()));
                assert_eq!(refused.status, 400, "{place} {request}: {}", refused.text());
                assert!(!refused.text().contains("outside of the library"), "{request}");
            }
        }
        let refused = studio.try_ask("POST", "/v1/avatars", Some(json!({ "picture": path })));
        assert_eq!(refused.status, 400, "{path}: {}", refused.text());
    }
    for path in [
        "/v1/files/../../secret.txt",
        "/v1/files/..%2f..%2fsecret.txt/content",
        "/v1/files/file_000000000000000000000000/content",
        "/page/..%2f..%2fCargo.toml",
        "/page/../../../etc/passwd",
        "/v1/videos/..%2f..%2f..%2fsecret.txt/content",
        "/v1/videos/%2e%2e/job?format=toml",
        "/v1/uploads/..%2f..%2flock",
        "/v1/previews/..%2f..%2fx/frames/0",
        "//etc/passwd",
        "/v1/videos/x/content?variant=../../job.toml",
    ] {
        let answer = studio.send("GET", path, &[], b"");
        assert!((400..500).contains(&answer.status), "{path}: {}", answer.status);
        assert!(!answer.text().contains("root:") && !answer.text().contains("outside of"), "{path}");
    }
    #[cfg(unix)]
    {
        // What leads out is listed, with why it can't be used, and can't be read.
        let files = studio.ask("GET", "/v1/files", None);
        let link = files["data"]
            .as_array()
            .unwrap()
            .iter()
            .find(|file| file["filename"] == "link.txt")
            .unwrap()
            .clone();
        assert!(link["problem"].as_str().unwrap().contains("leads out"), "{link}");
        let content =
            studio.try_ask("GET", &format!("/v1/files/{}/content", link["id"].as_str().unwrap()), None);
        assert_eq!(content.status, 404);
        assert!(!files.to_string().contains("secret.txt"));
    }
    assert!(dir.path().join("secret.txt").exists());
}

/// Names of uploads that would be something else than a file in the library.
#[test]
fn names_that_lead_out() {
    let (studio, dir) = studio();
    for (n, name) in [
        "../../evil.sh",
        "/etc/cron.d/evil",
        "C:\\evil.bat",
        ".anicrafter",
        "..",
        "results",
        "CON",
        "a\u{202e}gpj.exe",
        "x/../../y",
    ]
    .iter()
    .enumerate()
    {
        let sent = studio.try_ask("POST", "/v1/uploads", Some(json!({ "filename": name, "bytes": 1 })));
        let path = format!("/v1/uploads/{}", sent.json()["id"].as_str().unwrap());
        let done = studio.send("PATCH", &path, &[("Upload-Offset", "0")], b"x").json();
        let filename = done["file"]["filename"].as_str().unwrap();
        assert!(
            !filename.contains(['/', '\\']) && !filename.starts_with('.') && filename != "results",
            "{name}: {filename}"
        );
        assert!(studio.library.join(filename).is_file(), "{n}");
    }
    let around: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(around.len(), 2, "{around:?}");
}

/// Files that are small and would be huge, or lie about what they are.
#[test]
fn files_that_grow_when_they_are_opened() {
    let (studio, dir) = studio();
    // A PNG whose header promises 60000 × 60000 pixels.
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut header = b"IHDR".to_vec();
    header.extend(60_000u32.to_be_bytes());
    header.extend(60_000u32.to_be_bytes());
    header.extend([8, 2, 0, 0, 0]);
    png.extend(13u32.to_be_bytes());
    png.extend(&header);
    png.extend(crc(&header).to_be_bytes());
    png.extend([0, 0, 0, 0]);
    png.extend(b"IEND");
    png.extend(crc(b"IEND").to_be_bytes());
    // A GIF of 65535 × 65535, a safetensors whose header promises 2^60 bytes, nested JSON, a playlist that names other files.
    let mut gif = b"GIF89a\xff\xff\xff\xff\x80\0\0\0\0\0\0\0\0".to_vec();
    gif.extend(b"\x2c\0\0\0\0\xff\xff\xff\xff\0\x02\x02\x44\x01\0\x3b");
    let mut tensors = (1u64 << 60).to_le_bytes().to_vec();
    tensors.extend(b"{\"a\":1}");
    let nested = [b"[".repeat(200_000), b"]".repeat(200_000)].concat();
    let secret = dir.path().join("secret.mp4");
    std::fs::write(&secret, video()).unwrap();
    let playlist = format!(
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1,\nfile://{}\n#\u{ff}\n#EXT-X-ENDLIST\n",
        secret.display()
    );
    let mut bad = playlist.into_bytes();
    bad.push(0xff);
    for (name, bytes) in [
        ("bomb.png", png.as_slice()),
        ("bomb.gif", &gif),
        ("bomb.safetensors", &tensors),
        ("bomb.json", &nested),
        ("clip.m3u8", &bad),
        ("clip.mp4", &bad),
        ("random.npz", b"PK\x03\x04\x14\0\0\0\x08\0aaaaaaaaaaaaaaaaaaaaaaaaa.npy"),
        ("x.ply", b"ply\nformat binary_little_endian 1.0\nelement vertex 4000000000\nproperty float x\nend_header\n"),
    ] {
        let file = studio.form("/v1/files", &[("file", Some(name), bytes)]);
        assert_eq!(file.status, 200, "{name}: {}", file.text());
        let file = file.json();
        assert!(file["usable"] == false || file["kind"] == "weights", "{file}");
        let thumbnail = studio.try_ask("GET", &format!("/v1/files/{}/thumbnail", file["id"].as_str().unwrap()), None);
        assert!((400..500).contains(&thumbnail.status), "{name}: {}", thumbnail.status);
    }
    assert_eq!(studio.ask("GET", "/v1/studio", None)["object"], "studio");
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = !0u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

/// More than there is room or patience for.
#[test]
fn too_much_of_everything() {
    let dir = tempfile::tempdir().unwrap();
    let small = |options: anicrafter_server::Options| anicrafter_server::Options {
        largest_upload: 1 << 20,
        upload_idle: Duration::from_millis(300),
        ..options
    };
    let studio = Running::start_with(&dir.path().join("library"), small, FakeWorker::default());
    assert_eq!(
        studio.try_ask("POST", "/v1/uploads", Some(json!({ "filename": "a", "bytes": 1 << 21 }))).status,
        413
    );
    assert_eq!(studio.form("/v1/files", &[("file", Some("a.png"), &vec![1; 2 << 20])]).status, 413);
    let long = format!("{{\"prompt\":\"{}\"}}", "a".repeat(3 << 20));
    assert_eq!(
        studio.send("POST", "/v1/videos", &[("Content-Type", "application/json")], long.as_bytes()).status,
        413
    );
    assert_eq!(studio.form("/v1/videos", &[("prompt", None, &vec![b'a'; 3 << 20])]).status, 413);
    let deep = format!("{{\"job\":{}1{}}}", "{\"a\":".repeat(5000), "}".repeat(5000));
    assert_eq!(
        studio.send("POST", "/v1/videos", &[("Content-Type", "application/json")], deep.as_bytes()).status,
        400
    );
    // Headers without end.
    let many: String = (0..20_000).map(|i| format!("X-{i}: a\r\n")).collect();
    let refused = studio.raw(format!("GET / HTTP/1.1\r\nHost: {}\r\n{many}\r\n", studio.address).as_bytes());
    assert!(refused.status == 0 || refused.status >= 400, "{}", refused.status);
    // An upload that says nothing any more is given up; what came is kept.
    let begun = studio.ask("POST", "/v1/uploads", Some(json!({ "filename": "slow.png", "bytes": 100 })));
    let path = format!("/v1/uploads/{}", begun["id"].as_str().unwrap());
    let mut stream = TcpStream::connect(studio.address).unwrap();
    write!(stream, "PATCH {path} HTTP/1.1\r\nHost: {}\r\nUpload-Offset: 0\r\nContent-Length: 100\r\nConnection: close\r\n\r\nabc", studio.address).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert_eq!(studio.ask("GET", &path, None)["offset"], 3);
    // Two pieces at once: the second has to wait.
    let mut first = TcpStream::connect(studio.address).unwrap();
    write!(
        first,
        "PATCH {path} HTTP/1.1\r\nHost: {}\r\nUpload-Offset: 3\r\nContent-Length: 50\r\n\r\nabc",
        studio.address
    )
    .unwrap();
    std::thread::sleep(Duration::from_millis(100));
    let second = studio.send("PATCH", &path, &[("Upload-Offset", "3")], b"abc");
    assert_eq!((second.status, second.code().as_str()), (409, "upload_busy"));
    // Connections that say nothing keep nobody out.
    let idle: Vec<TcpStream> = (0..200).map(|_| TcpStream::connect(studio.address).unwrap()).collect();
    assert_eq!(studio.ask("GET", "/v1/studio", None)["object"], "studio");
    drop(idle);
    // A listener that never reads costs the others nothing.
    let mut deaf = TcpStream::connect(studio.address).unwrap();
    write!(deaf, "GET /v1/events HTTP/1.1\r\nHost: {}\r\n\r\n", studio.address).unwrap();
    let id = studio.queue("5");
    studio.wait_state(&id, "completed");
    // Many frames of a preview that isn't there.
    for n in 0..100 {
        assert_eq!(studio.try_ask("GET", &format!("/v1/previews/preview_x/frames/{n}"), None).status, 404);
    }
    for frame in ["-1", "x", "99999999999999999999"] {
        assert_eq!(
            studio.try_ask("GET", &format!("/v1/previews/preview_x/frames/{frame}"), None).status,
            400,
            "{frame}"
        );
    }
}

/// Who is refused before all was sent hears why, and may go on over the same connection; who sends without end is let go in peace.
#[test]
fn answers_before_the_end_of_a_request() {
    let (studio, _dir) = studio();
    let begun = studio.ask("POST", "/v1/uploads", Some(json!({ "filename": "a.png", "bytes": 100 })));
    let path = format!("/v1/uploads/{}", begun["id"].as_str().unwrap());
    let host = studio.address;
    let connect = || {
        let stream = TcpStream::connect(host).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream
    };
    let much = vec![b'a'; 8 << 20];
    for (request, status) in [
        (format!("PATCH {path} HTTP/1.1\r\nHost: {host}\r\nUpload-Offset: 7\r\n"), "409"),
        (format!("PATCH {path} HTTP/1.1\r\nHost: {host}\r\n"), "400"),
        (format!("PATCH {path} HTTP/1.1\r\nHost: {host}\r\nUpload-Offset: 0\r\n"), "413"),
        (format!("POST /v1/plan HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"), "413"),
        (format!("POST /v1/plan HTTP/1.1\r\nHost: {host}\r\n"), "415"),
        (format!("POST /nowhere HTTP/1.1\r\nHost: {host}\r\n"), "404"),
        (format!("PUT /v1/plan HTTP/1.1\r\nHost: {host}\r\n"), "405"),
        ("POST /v1/plan HTTP/1.1\r\nHost: evil.example\r\n".to_owned(), "403"),
    ] {
        let mut stream = connect();
        write!(stream, "{request}Content-Length: {}\r\n\r\n", much.len()).unwrap();
        stream.write_all(&much).unwrap();
        write!(stream, "GET /v1/studio HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
        let mut answers = String::new();
        stream.read_to_string(&mut answers).unwrap();
        assert!(answers.starts_with(&format!("HTTP/1.1 {status}")), "{request}: {answers}");
        assert!(answers.contains("\"object\":\"studio\""), "{request}: {answers}");
    }
    // More than is read for nothing: the answer comes, and the end of the connection with it.
    let mut stream = connect();
    write!(stream, "POST /v1/plan HTTP/1.1\r\nHost: {host}\r\nContent-Length: 99999999999\r\n\r\n").unwrap();
    for _ in 0..20 {
        stream.write_all(&much[..1 << 20]).unwrap();
    }
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 415") && answer.contains("connection: close"), "{answer}");
}

/// Bytes that aren't HTTP, or nearly.
#[test]
fn requests_that_are_none() {
    let (studio, _dir) = studio();
    let host = studio.address;
    for bytes in [
        b"\x16\x03\x01\x02\x00\x01\x00\x01".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        b"GET / HTTP/9.9\r\n\r\n".to_vec(),
        vec![0; 4096],
        format!("GET http://evil.example/v1/studio HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").into_bytes(),
        format!("POST /v1/videos HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n").into_bytes(),
        format!("POST /v1/videos HTTP/1.1\r\nHost: {host}\r\nContent-Length: -1\r\nConnection: close\r\n\r\n").into_bytes(),
        format!("GET /v1/files/%ff%fe/content HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").into_bytes(),
        format!("GET /v1/videos?limit=%00 HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").into_bytes(),
    ] {
        let answer = studio.raw(&bytes);
        assert!(answer.status == 0 || answer.status >= 400 || answer.text().contains("\"object\":\"studio\""), "{answer:?}");
    }
    assert_eq!(studio.ask("GET", "/v1/studio", None)["object"], "studio");
}

/// Random bytes and names, from a fixed seed: whatever comes, the server answers and the library keeps to itself.
#[test]
fn fuzzed_uploads_and_paths() {
    let (studio, dir) = studio();
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let marks: [&[u8]; 8] = [
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff",
        b"GIF89a",
        b"PK\x03\x04",
        b"ply\n",
        b"{",
        b"\0\0\0\x18ftypmp42",
        b"\x1a\x45\xdf\xa3",
    ];
    let letters: Vec<char> = "ab./\\%:\0\n ~$'\"<>é\u{202e}".chars().collect();
    for round in 0..40 {
        let mut bytes = marks[next() as usize % marks.len()].to_vec();
        bytes.extend((0..next() % 300).map(|_| next() as u8));
        let name: String = (0..1 + next() % 20).map(|_| letters[next() as usize % letters.len()]).collect();
        let begun =
            studio.try_ask("POST", "/v1/uploads", Some(json!({ "filename": name, "bytes": bytes.len() })));
        assert_eq!(begun.status, 200, "{name:?}: {}", begun.text());
        let path = format!("/v1/uploads/{}", begun.json()["id"].as_str().unwrap());
        let done = studio.send("PATCH", &path, &[("Upload-Offset", "0")], &bytes);
        assert_eq!(done.status, 200, "round {round} {name:?}: {}", done.text());
        let escaped: String = name.bytes().map(|b| format!("%{b:02x}")).collect();
        for path in [
            format!("/v1/files/{escaped}/content"),
            format!("/page/{escaped}"),
            format!("/v1/videos/{escaped}/job"),
        ] {
            let answer = studio.send("GET", &path, &[], b"");
            assert!((400..500).contains(&answer.status), "{path}: {}", answer.status);
        }
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    assert_eq!(studio.ask("GET", "/v1/studio", None)["object"], "studio");
}

/// Beyond this machine: nothing without the token, and what the page needs to ask for it.
#[test]
fn listening_elsewhere_without_the_token() {
    let dir = tempfile::tempdir().unwrap();
    let everywhere = |options| anicrafter_server::Options { listen: "0.0.0.0:0".parse().unwrap(), ..options };
    let mut studio = Running::start_with(&dir.path().join("library"), everywhere, FakeWorker::default());
    studio.address.set_ip("127.0.0.1".parse().unwrap());
    let token = studio.token.clone().unwrap();
    let document = anicrafter_server::openapi();
    let document = serde_json::to_value(&document).unwrap();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let refused = studio.send(
                &method.to_uppercase(),
                &path.replace("{id}", "x").replace("{frame}", "0"),
                &[],
                b"",
            );
            let open = path == "/v1/session";
            assert_eq!(refused.status == 401, !open, "{method} {path}: {}", refused.status);
        }
    }
    assert_eq!(studio.send("GET", "/", &[], b"").status, 200);
    let bearer = format!("Bearer {token}");
    assert_eq!(studio.send("GET", "/v1/files", &[("Authorization", &bearer)], b"").status, 200);
    let stored = std::fs::read_to_string(studio.library.join(".anicrafter/token")).unwrap();
    assert!(!stored.contains(&token[3..]), "the token itself is stored");
    let json = [("Content-Type", "application/json")];
    assert_eq!(studio.send("POST", "/v1/session", &json, br#"{"token":"ac-0"}"#).status, 401);
    let opened = studio.send("POST", "/v1/session", &json, format!(r#"{{"token":"{token}"}}"#).as_bytes());
    let cookie = opened.header("set-cookie").split(';').next().unwrap().to_owned();
    assert_eq!(studio.send("GET", "/v1/files", &[("Cookie", &cookie)], b"").status, 200);
    // The cookie alone doesn't let another site in.
    let crossing =
        studio.send("POST", "/v1/demo", &[("Cookie", &cookie), ("Origin", "http://evil.example")], b"");
    assert_eq!(crossing.status, 403);
}
