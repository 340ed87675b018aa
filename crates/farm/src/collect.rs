//! The videos of a farm in one folder, with a page that shows them all.

use crate::status::{ShotStatus, State, Status, seconds_text};
use crate::{Error, Farm, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{FilterType, resize};
use image::{DynamicImage, RgbImage};
use media::VideoReader;
use pipeline::work::{copy_atomically, write_atomically};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Width of a thumbnail in pixels.
const WIDTH: u32 = 240;
/// Thumbnails of a shot.
const PICTURES: usize = 3;
/// The page's file.
const PAGE: &str = "index.html";

/// What was gathered.
#[derive(Clone, Debug, PartialEq)]
pub struct Collected {
    /// The page.
    pub page: PathBuf,
    /// The files that were copied.
    pub files: Vec<PathBuf>,
    /// The shots that aren't done.
    pub missing: Vec<String>,
}

/// Copies the results of all shots that are done into a folder, under the shots' names, and writes a page with pictures of them
/// and the state of the others. The page holds its pictures and needs no network; it links to the files beside it.
///
/// # Errors
/// When a file can't be read or written. A result that can't be shown is copied all the same.
pub fn collect(farm: &Farm, to: &Path) -> Result<Collected> {
    std::fs::create_dir_all(to).map_err(Error::io(to))?;
    let status = Status::of(farm)?;
    let (mut files, mut missing, mut cards) = (Vec::new(), Vec::new(), String::new());
    for (shot, own) in status.shots.iter().zip(&farm.shots) {
        let result = shot.video.as_deref().filter(|video| shot.done && video.is_file());
        let mut card = Card { shot, file: None, pictures: Vec::new(), facts: Vec::new() };
        if let Some(video) = result {
            let name = match video.extension() {
                Some(extension) => format!("{}.{}", shot.name, extension.to_string_lossy()),
                None => shot.name.clone(),
            };
            let path = to.join(&name);
            if !media::same_place(video, &path) {
                copy_atomically(video, &path)?;
            }
            files.push(path);
            card.file = Some(name);
            match look(video) {
                Ok(seen) => (card.pictures, card.facts) = seen,
                Err(error) => card.facts.push(format!("no pictures: {error}")),
            }
            card.facts.extend(own.says.iter().map(|(column, cell)| format!("{column}: {cell}")));
        } else if !shot.done {
            missing.push(shot.name.clone());
        } else if let Some(video) = &shot.video {
            card.facts.push(format!("stays where it is: {}", video.display()));
        }
        cards += &card.html();
    }
    let name = farm.root().file_name().unwrap_or_default().to_string_lossy().into_owned();
    let page = to.join(PAGE);
    write_atomically(&page, html(&name, &status, &cards).as_bytes())?;
    Ok(Collected { page, files, missing })
}

/// Pictures of a video, as JPEG, and what it is like.
fn look(video: &Path) -> Result<(Vec<Vec<u8>>, Vec<String>)> {
    let reader = VideoReader::open(video)?;
    let info = reader.info().clone();
    let (width, height) = info.size();
    let known = info.frames;
    let wanted = |n: usize| {
        known.is_none_or(|all| (0..PICTURES).any(|i| n == i * all.saturating_sub(1) / (PICTURES - 1)))
    };
    let (mut pictures, mut count) = (Vec::new(), 0);
    for (n, frame) in reader.enumerate() {
        let frame = frame?;
        // Where nobody knows how many there are: the first ones.
        if wanted(n) && pictures.len() < PICTURES {
            pictures.push(thumbnail(&frame)?);
        }
        count = n + 1;
    }
    let seconds = count as f64 / info.frame_rate.as_f64().max(1e-9);
    Ok((pictures, vec![format!("{width} × {height}, {count} frames, {seconds:.1} s")]))
}

fn thumbnail(frame: &RgbImage) -> Result<Vec<u8>> {
    let (width, height) = frame.dimensions();
    // A small one is shown as large as the others, with its pixels to be seen.
    let filter = if width < WIDTH { FilterType::Nearest } else { FilterType::Triangle };
    let tall = (u64::from(height) * u64::from(WIDTH) / u64::from(width.max(1))).max(1) as u32;
    let small = resize(frame, WIDTH, tall, filter);
    let mut bytes = Vec::new();
    let fail = |error: image::ImageError| Error::Damaged { path: "thumbnail".into(), why: error.to_string() };
    DynamicImage::from(small)
        .write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, 82))
        .map_err(fail)?;
    Ok(bytes)
}

/// A shot on the page.
struct Card<'a> {
    shot: &'a ShotStatus,
    file: Option<String>,
    pictures: Vec<Vec<u8>>,
    facts: Vec<String>,
}

impl Card<'_> {
    fn html(&self) -> String {
        let name = escape(&self.shot.name);
        let mut out = String::from("<article>\n");
        if !self.pictures.is_empty() {
            out += "<div class=\"strip\">";
            for (n, picture) in self.pictures.iter().enumerate() {
                // Writing to a string can't fail.
                let _ = write!(
                    out,
                    "<img alt=\"{name}, picture {}\" src=\"data:image/jpeg;base64,{}\">",
                    n + 1,
                    STANDARD.encode(picture)
                );
            }
            out += "</div>\n";
        }
        let _ = match &self.file {
            Some(file) => writeln!(out, "<h2><a href=\"{}\">{name}</a></h2>", escape(&link(file))),
            None => writeln!(out, "<h2>{name}</h2>"),
        };
        for fact in &self.facts {
            let _ = writeln!(out, "<p>{}</p>", escape(fact));
        }
        let seconds: f64 = self.shot.tasks.iter().map(|task| task.seconds).sum();
        if seconds > 0.0 {
            let _ = writeln!(out, "<p>{} of machine time</p>", seconds_text(seconds));
        }
        if !self.shot.done {
            let done = self.shot.tasks.iter().filter(|task| task.state == State::Done).count();
            let _ = writeln!(out, "<p class=\"open\">{done} of {} tasks are done</p>", self.shot.tasks.len());
            for task in self.shot.tasks.iter().filter(|task| task.state != State::Done) {
                if let Some(reason) = &task.reason {
                    let _ = writeln!(out, "<p class=\"open\">{}: {}</p>", task.group.name(), escape(reason));
                }
            }
            if let Some(trouble) = &self.shot.trouble {
                let _ = writeln!(out, "<p class=\"open\">{}</p>", escape(trouble));
            }
        }
        out + "</article>\n"
    }
}

const STYLE: &str = "\
:root { color-scheme: light dark; --line: #8884; --open: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --open: #ff8a80; } }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 1560px; padding: 0 1.2rem; }
h1 { font-size: 1.5rem; margin: 0 0 .2rem; }
main { display: grid; gap: 1.2rem; grid-template-columns: repeat(auto-fill, minmax(min(420px, 100%), 1fr)); margin-top: 1.4rem; }
article { border: 1px solid var(--line); border-radius: 8px; overflow: hidden; padding-bottom: .6rem; }
.strip { display: flex; gap: 2px; }
.strip img { display: block; flex: 1; height: auto; min-width: 0; }
h2 { font-size: 1.05rem; margin: .6rem .8rem .1rem; overflow-wrap: anywhere; }
p { margin: .1rem .8rem; overflow-wrap: anywhere; }
header p { margin: 0; }
.open { color: var(--open); }
";

fn html(name: &str, status: &Status, cards: &str) -> String {
    let name = escape(name);
    let shots = status.shots.len();
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{name}: {shots} shots</title>\n<style>\n{STYLE}</style></head>\n<body>\n\
         <header><h1>{name}</h1>\n<p>{} of {shots} shots are done; {} of machine time</p></header>\n<main>\n{cards}</main>\n\
         </body></html>\n",
        status.done(),
        seconds_text(3600.0 * status.machine_hours)
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

/// A file's name as a link: shots' names need no care, an ending may.
fn link(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    name.bytes().map(|b| if plain(b) { (b as char).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_place_on_the_page() {
        assert_eq!(escape("<b a='\"'>&"), "&lt;b a=&#39;&quot;&#39;&gt;&amp;");
        assert_eq!(link("a-1.mp4"), "a-1.mp4");
        assert_eq!(link("a.\"é"), "a.%22%C3%A9");
    }
}
