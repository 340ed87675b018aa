//! A headless browser over its debugging protocol, through two pipes: no driver and no library in between.
//!
//! The browser is `ANICRAFTER_BROWSER`; with `ANICRAFTER_REQUIRE_BROWSER=1` the first of Chromium, Chrome and Edge on the PATH does, and its
//! absence is a failure. Else the tests say that they were skipped.
#![allow(dead_code, reason = "each test takes what it needs")]

use serde_json::{Value, json};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Where the browser is; says why where there is none.
pub fn find() -> Option<PathBuf> {
    let required = std::env::var("ANICRAFTER_REQUIRE_BROWSER").is_ok_and(|v| v == "1");
    let found = named().or_else(|| on_path().filter(|_| required)).filter(|_| cfg!(unix));
    if found.is_none() {
        assert!(!required, "ANICRAFTER_REQUIRE_BROWSER is set, and no browser was found");
        println!("SKIPPED: no browser was named");
    }
    found
}

fn named() -> Option<PathBuf> {
    std::env::var_os("ANICRAFTER_BROWSER").map(PathBuf::from)
}

fn on_path() -> Option<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge"];
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    names.iter().flat_map(|name| folders.iter().map(move |f| f.join(name))).find(|file| file.is_file())
}

/// A browser with one page.
pub struct Browser {
    child: Child,
    to: File,
    from: Receiver<Value>,
    next: u64,
    session: String,
    /// What the page complained about.
    pub complaints: Vec<String>,
    _profile: tempfile::TempDir,
}

impl Browser {
    pub fn open(program: &Path) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let (to, from) = (profile.path().join("to"), profile.path().join("from"));
        for pipe in [&to, &from] {
            assert!(Command::new("mkfifo").arg(pipe).status().unwrap().success());
        }
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--mute-audio",
            "--no-first-run",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-quic",
            "--remote-debugging-pipe",
            "--hide-scrollbars",
            "--force-color-profile=srgb",
        ];
        // The protocol's pipes are file descriptors 3 and 4.
        let line = format!(
            "exec '{}' {} --user-data-dir='{}' about:blank 3<'{}' 4>'{}'",
            program.display(),
            arguments.join(" "),
            profile.path().join("p").display(),
            to.display(),
            from.display()
        );
        let child = Command::new("sh")
            .args(["-c", &line])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let to = OpenOptions::new().write(true).open(to).unwrap();
        let from = OpenOptions::new().read(true).open(from).unwrap();
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            for message in BufReader::new(from).split(0) {
                let Ok(message) = message else { return };
                let Ok(value) = serde_json::from_slice(&message) else { continue };
                if sender.send(value).is_err() {
                    return;
                }
            }
        });
        let mut browser = Self {
            child,
            to,
            from: receiver,
            next: 0,
            session: String::new(),
            complaints: Vec::new(),
            _profile: profile,
        };
        let targets = browser.call("Target.getTargets", json!({}));
        let page = targets["targetInfos"]
            .as_array()
            .unwrap()
            .iter()
            .find(|target| target["type"] == "page")
            .unwrap()
            .clone();
        let attached =
            browser.call("Target.attachToTarget", json!({ "targetId": page["targetId"], "flatten": true }));
        browser.session = attached["sessionId"].as_str().unwrap().to_owned();
        for domain in ["Page", "Runtime", "DOM", "Network", "Log"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    /// Asks the browser something.
    pub fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.next += 1;
        let id = self.next;
        let mut message = json!({ "id": id, "method": method, "params": parameters });
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        self.to.write_all(message.to_string().as_bytes()).unwrap();
        self.to.write_all(&[0]).unwrap();
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let answer = self
                .from
                .recv_timeout(left)
                .unwrap_or_else(|_| panic!("the browser doesn't answer {method}"));
            if answer["id"] == id {
                assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
                return answer["result"].clone();
            }
            self.note(&answer);
        }
    }

    fn note(&mut self, event: &Value) {
        match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => {
                self.complaints.push(event["params"]["exceptionDetails"].to_string());
            }
            Some("Runtime.consoleAPICalled") if event["params"]["type"] == "error" => {
                self.complaints.push(event["params"]["args"].to_string());
            }
            Some("Log.entryAdded") if event["params"]["entry"]["level"] == "error" => {
                self.complaints.push(event["params"]["entry"].to_string());
            }
            _ => {}
        }
    }

    /// The value of an expression; promises are waited for.
    pub fn eval(&mut self, expression: &str) -> Value {
        let done = self.call("Runtime.evaluate", json!({ "expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true }));
        assert!(done["exceptionDetails"].is_null(), "{expression}: {}", done["exceptionDetails"]);
        done["result"]["value"].clone()
    }

    pub fn go(&mut self, address: &str) {
        self.call("Page.navigate", json!({ "url": address }));
        self.wait_for("document.documentElement.dataset.ready === 'yes'", 30);
    }

    pub fn size(&mut self, width: u32, height: u32) {
        self.call(
            "Emulation.setDeviceMetricsOverride",
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 }),
        );
    }

    pub fn dark(&mut self, dark: bool) {
        let value = if dark { "dark" } else { "light" };
        self.call(
            "Emulation.setEmulatedMedia",
            json!({ "features": [{ "name": "prefers-color-scheme", "value": value }] }),
        );
    }

    /// Waits until an expression holds; how long that took.
    pub fn wait_for(&mut self, expression: &str, seconds: u64) -> Duration {
        let began = Instant::now();
        let truth =
            format!("(() => {{ try {{ return Boolean({expression}); }} catch {{ return false; }} }})()");
        while self.eval(&truth) != json!(true) {
            assert!(began.elapsed() < Duration::from_secs(seconds), "it never came: {expression}\n{}\n{:?}", self.eval("document.querySelector('main').innerText + '\\n' + (document.getElementById('trouble')?.innerText ?? '')"), self.complaints);
            std::thread::sleep(Duration::from_millis(40));
        }
        began.elapsed()
    }

    /// A click with the mouse in the middle of an element, as a person does it.
    pub fn click(&mut self, selector: &str) {
        self.click_at(selector, 0.5, 0.5);
    }

    /// A click at a place of an element, in parts of its size.
    pub fn click_at(&mut self, selector: &str, x: f64, y: f64) {
        let [x, y] = self.place(selector, x, y);
        for kind in ["mousePressed", "mouseReleased"] {
            self.mouse(kind, x, y);
        }
    }

    /// Draws from one place of an element to another.
    pub fn drag(&mut self, selector: &str, from: [f64; 2], to: [f64; 2]) {
        let [x, y] = self.place(selector, from[0], from[1]);
        self.mouse("mousePressed", x, y);
        for step in 1..=8 {
            let t = f64::from(step) / 8.0;
            let [x, y] =
                self.place(selector, from[0] + t * (to[0] - from[0]), from[1] + t * (to[1] - from[1]));
            self.mouse("mouseMoved", x, y);
        }
        let [x, y] = self.place(selector, to[0], to[1]);
        self.mouse("mouseReleased", x, y);
    }

    fn mouse(&mut self, kind: &str, x: f64, y: f64) {
        self.call(
            "Input.dispatchMouseEvent",
            json!({ "type": kind, "x": x, "y": y, "button": "left", "buttons": 1, "clickCount": 1 }),
        );
    }

    fn place(&mut self, selector: &str, x: f64, y: f64) -> [f64; 2] {
        let selector = json!(selector);
        self.wait_for(&format!("document.querySelector({selector})?.getBoundingClientRect().width > 0 && !document.querySelector({selector}).disabled"), 20);
        let found = self.eval(&format!("(() => {{ const e = document.querySelector({selector}); e.scrollIntoView({{ block: 'center', behavior: 'instant' }}); const r = e.getBoundingClientRect(); return [r.left + r.width * {x}, r.top + r.height * {y}]; }})()"));
        [found[0].as_f64().unwrap(), found[1].as_f64().unwrap()]
    }

    /// Chooses an option by its text, as a person does it with the keyboard.
    pub fn choose(&mut self, label: &str, option: &str) {
        let (label, option) = (json!(label), json!(option));
        let done = self.eval(&format!(
            "(() => {{ const l = [...document.querySelectorAll('label')].find((l) => l.firstChild.textContent === {label} && l.offsetParent); const s = l?.querySelector('select'); const o = s && [...s.options].find((o) => o.textContent === {option}); if (!o) return false; s.value = o.value; s.dispatchEvent(new Event('change', {{ bubbles: true }})); return true; }})()"
        ));
        assert_eq!(done, json!(true), "there is no {option} to choose for {label}");
    }

    /// Fills a field in, and leaves it.
    pub fn fill(&mut self, label: &str, value: &str) {
        let (label, value) = (json!(label), json!(value));
        let done = self.eval(&format!(
            "(() => {{ const l = [...document.querySelectorAll('label')].find((l) => l.firstChild.textContent === {label} && l.offsetParent); const i = l?.querySelector('input'); if (!i) return false; i.value = {value}; i.dispatchEvent(new Event('change', {{ bubbles: true }})); return true; }})()"
        ));
        assert_eq!(done, json!(true), "there is no {label} to fill in");
    }

    /// Puts files into a file field.
    pub fn give_files(&mut self, selector: &str, files: &[PathBuf]) {
        let root = self.call("DOM.getDocument", json!({}))["root"]["nodeId"].clone();
        let node =
            self.call("DOM.querySelector", json!({ "nodeId": root, "selector": selector }))["nodeId"].clone();
        // A browser reads no file whose path leads up.
        let files: Vec<String> =
            files.iter().map(|file| file.canonicalize().unwrap().display().to_string()).collect();
        self.call("DOM.setFileInputFiles", json!({ "nodeId": node, "files": files }));
    }

    pub fn key(&mut self, key: &str, code: u32) {
        for kind in ["rawKeyDown", "keyUp"] {
            self.call(
                "Input.dispatchKeyEvent",
                json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code }),
            );
        }
    }

    /// A picture of the window, kept where `ANICRAFTER_SCREENSHOTS` says.
    pub fn screenshot(&mut self, name: &str) {
        let Some(folder) = std::env::var_os("ANICRAFTER_SCREENSHOTS") else { return };
        let shot = self.call("Page.captureScreenshot", json!({ "format": "png" }));
        let bytes = base64(shot["data"].as_str().unwrap());
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(Path::new(&folder).join(format!("{name}.png")), bytes).unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // A browser that is gone already is gone.
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

fn base64(text: &str) -> Vec<u8> {
    let value = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let mut out = Vec::new();
    for four in text.trim_end_matches('=').as_bytes().chunks(4) {
        let bits =
            four.iter().fold(0u32, |bits, c| bits << 6 | u32::from(value(*c))) << (6 * (4 - four.len()));
        out.extend(&bits.to_be_bytes()[1..four.len()]);
    }
    out
}
