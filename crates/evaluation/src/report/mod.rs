//! One self-contained page about a run: the result, four panels in sync, a before/after slider, the stage table, the
//! metrics and the settings. It needs no network and no other file.

mod raw_video;

pub use raw_video::{RawSection, RawVideo};

use crate::{Error, Result};
use crate::{Evaluation, Region};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// One stage of the table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageRow {
    /// The stage's name.
    pub name: String,
    /// Seconds.
    pub seconds: f64,
    /// The largest memory held until then, in bytes; 0 where unknown.
    pub peak_bytes: u64,
    /// Taken from the work folder?
    pub cached: bool,
}

/// What the page shows.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Headline.
    pub title: String,
    /// Plain words above everything: what the reader must know about this run.
    pub note: Option<String>,
    /// The reference picture (PNG or JPEG).
    pub reference: Option<PathBuf>,
    /// The body on black (mp4).
    pub body: Option<PathBuf>,
    /// The condition: avatar over background (mp4).
    pub condition: PathBuf,
    /// The result (mp4).
    pub result: PathBuf,
    /// What was found in a raw video, where there was one.
    pub raw: Option<RawSection>,
    /// What is known of the avatar's light, shadow and edges: name and value.
    pub light: Vec<(String, String)>,
    /// Frames a second, for the frame counter.
    pub fps: f64,
    /// The stages.
    pub stages: Vec<StageRow>,
    /// Metrics by name: "result against condition" …
    pub metrics: Vec<(String, Evaluation)>,
    /// The job as TOML.
    pub settings: String,
    /// Machine and build, line by line: name, value.
    pub environment: Vec<(String, String)>,
}

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

impl Report {
    /// The page's text.
    ///
    /// # Errors
    /// When a video can't be read.
    pub fn to_html(&self) -> Result<String> {
        let mut page = String::from("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n");
        page += "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n";
        page += &format!(
            "<title>{}</title>\n<style>\n{STYLE}</style></head>\n<body data-fps=\"{}\">\n",
            escape(&self.title),
            self.fps
        );
        page += &format!("<h1>{}</h1>\n", escape(&self.title));
        if let Some(note) = &self.note {
            page += &format!("<p class=\"note\">{}</p>\n", escape(note));
        }
        page += &self.panels()?;
        page += &self.slider()?;
        page += &self.raw_section();
        page += &self.light_table();
        page += &self.stage_table();
        page += &self.metric_tables();
        page += "<h2>Settings</h2>\n<pre id=\"settings\">";
        page += &escape(&self.settings);
        page += "</pre>\n<h2>Environment</h2>\n<table id=\"environment\">\n";
        for (name, value) in &self.environment {
            page += &format!("<tr><th>{}</th><td>{}</td></tr>\n", escape(name), escape(value));
        }
        page += "</table>\n<script>\n";
        page += SCRIPT;
        page += "</script></body></html>\n";
        Ok(page)
    }

    fn panels(&self) -> Result<String> {
        let mut out = String::from("<section id=\"panels\">\n");
        if let Some(reference) = &self.reference {
            let kind =
                if reference.extension().is_some_and(|e| e == "png") { "image/png" } else { "image/jpeg" };
            out += &format!(
                "<figure><img alt=\"reference picture\" src=\"{}\"><figcaption>reference</figcaption></figure>\n",
                embed(reference, kind)?
            );
        }
        let videos = [
            ("body", self.body.as_deref()),
            ("condition", Some(&*self.condition)),
            ("result", Some(&*self.result)),
        ];
        for (name, path) in videos {
            if let Some(path) = path {
                out += &format!(
                    "<figure><video id=\"{name}\" class=\"synced\" muted loop playsinline preload=\"auto\" src=\"{}\"></video><figcaption>{name}</figcaption></figure>\n",
                    embed(path, "video/mp4")?
                );
            }
        }
        out += "</section>\n<div id=\"controls\"><button id=\"play\" type=\"button\">Play</button>\n";
        out += "<input id=\"scrub\" type=\"range\" min=\"0\" max=\"1000\" value=\"0\" aria-label=\"position\">\n<output id=\"frame\">frame 0</output></div>\n";
        Ok(out)
    }

    fn slider(&self) -> Result<String> {
        let before = embed(&self.condition, "video/mp4")?;
        let after = embed(&self.result, "video/mp4")?;
        Ok(format!(
            "<h2>Before and after</h2>\n<div id=\"compare\"><video class=\"synced\" muted loop playsinline preload=\"auto\" src=\"{before}\"></video>\n\
             <video class=\"synced after\" muted loop playsinline preload=\"auto\" src=\"{after}\"></video><div class=\"bar\"></div>\n\
             <input id=\"split\" type=\"range\" min=\"0\" max=\"100\" value=\"50\" aria-label=\"before and after\"></div>\n"
        ))
    }

    fn raw_section(&self) -> String {
        let Some(raw) = &self.raw else { return String::new() };
        let mut out = String::from("<h2>The raw video</h2>\n<section id=\"raw\">\n");
        for (caption, picture) in &raw.strips {
            let caption = escape(caption);
            let _ = writeln!(
                out,
                "<figure><img alt=\"{caption}\" src=\"data:image/jpeg;base64,{}\"><figcaption>{caption}</figcaption></figure>",
                STANDARD.encode(picture)
            );
        }
        out += "</section>\n<table id=\"found\">\n";
        for (name, value) in &raw.figures {
            let _ = writeln!(out, "<tr><th>{}</th><td>{}</td></tr>", escape(name), escape(value));
        }
        out + "</table>\n"
    }

    fn light_table(&self) -> String {
        if self.light.is_empty() {
            return String::new();
        }
        let mut out = String::from("<h2>Light, shadow and edges</h2>\n<table id=\"light\">\n");
        for (name, value) in &self.light {
            let _ = writeln!(out, "<tr><th>{}</th><td>{}</td></tr>", escape(name), escape(value));
        }
        out + "</table>\n"
    }

    fn stage_table(&self) -> String {
        let before = self.raw.as_ref().map_or(&[][..], |raw| &raw.stages);
        let total: f64 = before.iter().chain(&self.stages).map(|s| s.seconds).sum();
        let mut out = String::from(
            "<h2>Stages</h2>\n<table id=\"stages\"><tr><th>stage</th><th>seconds</th><th>share</th><th>peak memory so far</th></tr>\n",
        );
        for s in before.iter().chain(&self.stages) {
            let share = if total > 0.0 { 100.0 * s.seconds / total } else { 0.0 };
            let memory = if s.peak_bytes > 0 {
                format!("{:.0} MiB", s.peak_bytes as f64 / 1048576.0)
            } else {
                "–".to_owned()
            };
            let from = if s.cached { " (from the work folder)" } else { "" };
            let _ = writeln!(
                out,
                "<tr><td>{}{from}</td><td>{:.2}</td><td>{share:.0} %</td><td>{memory}</td></tr>",
                escape(&s.name),
                s.seconds
            );
        }
        let _ = writeln!(
            out,
            "<tr class=\"total\"><td>total</td><td>{total:.2}</td><td></td><td></td></tr></table>"
        );
        out
    }

    fn metric_tables(&self) -> String {
        let mut out = String::new();
        for (name, e) in &self.metrics {
            let _ = writeln!(
                out,
                "<h2>{}</h2>\n<table class=\"metrics\"><tr><th>region</th><th>share</th><th>PSNR dB</th><th>SSIM</th><th>L1</th><th>ΔE</th></tr>",
                escape(name)
            );
            for region in Region::ALL {
                if let Some(s) = e.regions.get(&region) {
                    let psnr = if s.psnr.is_finite() { format!("{:.2}", s.psnr) } else { "equal".to_owned() };
                    let _ = writeln!(
                        out,
                        "<tr><td>{}</td><td>{:.1} %</td><td>{psnr}</td><td>{:.4}</td><td>{:.2}</td><td>{:.2}</td></tr>",
                        format!("{region:?}").to_lowercase(),
                        100.0 * s.share,
                        s.ssim,
                        s.l1,
                        s.delta_e
                    );
                }
            }
            let _ = writeln!(
                out,
                "</table>\n<p>{} frames; flicker {:.2} against {:.2}</p>",
                e.frames, e.flicker, e.reference_flicker
            );
        }
        out
    }
}

fn embed(path: &Path, kind: &str) -> Result<String> {
    let bytes = std::fs::read(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
    Ok(format!("data:{kind};base64,{}", STANDARD.encode(bytes)))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_holds_everything_and_escapes_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, name).unwrap();
            path
        };
        let report = Report {
            title: "a <b> & c".to_owned(),
            note: Some("untrained".to_owned()),
            reference: Some(file("r.png")),
            body: Some(file("m.mp4")),
            condition: file("c.mp4"),
            result: file("o.mp4"),
            raw: Some(RawSection {
                strips: vec![("who is <taken> out".to_owned(), b"strip".to_vec())],
                figures: vec![("cuts".to_owned(), "3".to_owned())],
                stages: vec![StageRow {
                    name: "masks".to_owned(),
                    seconds: 1.5,
                    peak_bytes: 0,
                    cached: true,
                }],
            }),
            light: vec![("sun".to_owned(), "left & <low>".to_owned())],
            fps: 15.0,
            stages: vec![StageRow {
                name: "decode".to_owned(),
                seconds: 2.0,
                peak_bytes: 1 << 30,
                cached: false,
            }],
            settings: "[video]\nwidth = 16".to_owned(),
            environment: vec![("threads".to_owned(), "2".to_owned())],
            ..Report::default()
        };
        let html = report.to_html().unwrap();
        assert!(html.contains("a &lt;b&gt; &amp; c") && !html.contains("a <b> & c"));
        assert!(html.contains("who is &lt;taken&gt; out") && html.contains("<th>cuts</th><td>3</td>"));
        assert!(html.contains("<th>sun</th><td>left &amp; &lt;low&gt;</td>"));
        assert!(html.contains("masks (from the work folder)") && html.contains("<td>3.50</td>"));
        for part in ["r.png", "m.mp4", "c.mp4", "o.mp4", "strip"] {
            assert!(html.contains(&STANDARD.encode(part)), "{part} isn't embedded");
        }
        assert!(html.contains("1024 MiB") && html.contains("width = 16") && html.contains("untrained"));
        assert!(!html.contains("http"), "the page must not reach out");
    }

    #[test]
    fn a_missing_video_is_named() {
        let report = Report { condition: "none.mp4".into(), ..Report::default() };
        assert!(matches!(report.to_html(), Err(Error::Io { path, .. }) if path.ends_with("none.mp4")));
    }
}
