//! What a file is, by its contents, and why it can't be used.

use avatar_render::Avatar;
use media::{VideoReader, picture_files};
use pipeline::Job;
use serde::Serialize;
use smplx::Motion;
use sniff::Kind;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use utoipa::ToSchema;

/// Pixels that a picture or frame has at most: larger ones would take gigabytes when they are decoded.
const MOST_PIXELS: u64 = 64 << 20;
/// Bytes of an avatar's file at most.
const LARGEST_AVATAR: u64 = 1 << 30;
/// Bytes of a motion's or job's file at most.
const LARGEST_TEXT: u64 = 512 << 20;
/// Frames a second of what doesn't say.
const USUAL_FPS: f32 = 30.0;

/// What a file of the library is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum FileKind {
    /// Gaussians with a body: somebody who can be moved.
    Avatar,
    /// One picture.
    Picture,
    /// A video, or a folder of pictures.
    Video,
    /// How somebody moves.
    Motion,
    /// Weights of a model.
    Weights,
    /// A job file.
    Job,
    /// Something else.
    #[default]
    Unknown,
}

/// What is known of a file, as far as it has such a thing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct Facts {
    /// What it is, in words.
    pub what: String,
    /// Width in pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Height in pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// Number of frames.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frames: Option<usize>,
    /// Frames a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fps: Option<f64>,
    /// Length in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// Is there sound?
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sound: Option<bool>,
    /// Number of Gaussians.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gaussians: Option<usize>,
    /// Does a motion say how it is seen?
    #[serde(skip_serializing_if = "Option::is_none")]
    pub camera: Option<bool>,
    /// What to know before using it.
    pub notes: Vec<String>,
}

type Found = (FileKind, Facts, Option<String>);

/// Does a folder count as one thing: pictures of a video, frames of a motion, weights of a model?
pub(super) fn is_one_thing(folder: &Path) -> bool {
    let names: Vec<String> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().is_file())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| !name.starts_with('.'))
        .take(100_000)
        .collect();
    let ends = |name: &str, endings: &[&str]| {
        name.rsplit_once('.').is_some_and(|(_, e)| endings.iter().any(|known| known.eq_ignore_ascii_case(e)))
    };
    let numbered = |endings: &[&str]| {
        let all = names.iter().filter(|name| ends(name, endings));
        // Frames are numbered; a folder of other pictures is a folder.
        all.filter(|name| name.chars().any(|c| c.is_ascii_digit())).count()
    };
    let weights = names.iter().any(|name| {
        ["model_index.json", "configuration.json"].contains(&name.as_str())
            || name.ends_with(".safetensors.index.json")
    });
    let all_but_few = |count: usize| count >= 3 && count * 10 >= names.len() * 9;
    weights
        || all_but_few(numbered(&["png", "jpg", "jpeg", "webp", "bmp"]))
        || all_but_few(numbered(&["json"]))
}

/// Looks into a file or folder. Whatever is in it, this comes back.
pub(super) fn inspect(path: &Path, bytes: u64) -> Found {
    let looked = catch_unwind(AssertUnwindSafe(|| look(path, bytes)));
    looked.unwrap_or_else(|_| unusable("a file that this program's reader gave up on; please report it"))
}

fn unusable(why: impl Into<String>) -> Found {
    (FileKind::Unknown, Facts::default(), Some(why.into()))
}

fn look(path: &Path, bytes: u64) -> Found {
    if path.is_dir() {
        return folder(path);
    }
    let kind = match Kind::of_file(path) {
        Ok(kind) => kind,
        Err(error) => return unusable(format!("it can't be read: {error}")),
    };
    let what = kind.to_string();
    match kind {
        Kind::Png | Kind::Jpeg | Kind::Gif | Kind::Webp | Kind::Bmp => video(path, what),
        Kind::Mp4 | Kind::Matroska | Kind::Avi | Kind::MpegTs | Kind::Flv | Kind::Ogg | Kind::Asf => {
            video(path, what)
        }
        Kind::Ply | Kind::CompressedPly | Kind::Spz | Kind::Splat => avatar(path, bytes, what),
        Kind::Safetensors | Kind::TorchZip => match avatar(path, bytes, what.clone()) {
            (FileKind::Avatar, facts, problem) => (FileKind::Avatar, facts, problem),
            _ => weights(what),
        },
        Kind::Gguf => weights(what),
        Kind::Json | Kind::Npz if bytes > LARGEST_TEXT => {
            unusable(format!("{what} of {} MiB: {} are the most", bytes >> 20, LARGEST_TEXT >> 20))
        }
        Kind::Npz => motion(path, what),
        Kind::Json => match motion(path, what.clone()) {
            found @ (_, _, None) => found,
            refused => job(path).unwrap_or(refused),
        },
        Kind::Text => job(path).unwrap_or_else(|| {
            unusable("a text: neither avatar, picture, video, motion nor job file (.toml, .json)")
        }),
        other => {
            let advice = other.advice().map(|advice| format!(": {advice}")).unwrap_or_default();
            unusable(format!("{what}{advice}"))
        }
    }
}

fn folder(path: &Path) -> Found {
    if picture_files(path).is_ok_and(|files| files.len() > 1) {
        return video(path, "a folder of pictures".to_owned());
    }
    match Motion::open(path, USUAL_FPS) {
        Ok(found) => moving(&found, "a folder of motion parameters".to_owned()),
        Err(_) => weights("a folder of weights".to_owned()),
    }
}

fn video(path: &Path, what: String) -> Found {
    let reader = match VideoReader::open(path) {
        Ok(reader) => reader,
        Err(error) => return unusable(without_path(&error.to_string(), path)),
    };
    let info = reader.info();
    if u64::from(info.width) * u64::from(info.height) > MOST_PIXELS {
        let (w, h) = info.size();
        return unusable(format!("{w}×{h} pixels: {} million are the most", MOST_PIXELS >> 20));
    }
    let notes = reader.warnings().take().into_iter().map(|warning| without_path(&warning.to_string(), path));
    let facts = Facts {
        what,
        width: Some(info.width),
        height: Some(info.height),
        notes: notes.collect(),
        ..Facts::default()
    };
    if info.still {
        return (FileKind::Picture, facts, None);
    }
    let fps = info.frame_rate.as_f64();
    let facts = Facts {
        frames: info.frames,
        fps: Some(fps),
        seconds: info.frames.map(|frames| frames as f64 / fps),
        sound: Some(info.has_audio),
        ..facts
    };
    (FileKind::Video, facts, None)
}

fn avatar(path: &Path, bytes: u64, what: String) -> Found {
    if bytes > LARGEST_AVATAR {
        return unusable(format!("{what} of {} MiB: too large for an avatar", bytes >> 20));
    }
    match Avatar::open(path) {
        Ok(avatar) => {
            let facts = Facts { what, gaussians: Some(avatar.gaussians.len()), ..Facts::default() };
            let problem = avatar.lhm.is_none().then(|| {
                "Gaussians without body data: they can be looked at, but not moved. Take the .pth or .safetensors of the avatar"
                    .to_owned()
            });
            (FileKind::Avatar, facts, problem)
        }
        Err(error) => unusable(without_path(&error.to_string(), path)),
    }
}

fn weights(what: String) -> Found {
    let notes = vec!["name it in a job's models to use it".to_owned()];
    (FileKind::Weights, Facts { what, notes, ..Facts::default() }, None)
}

fn motion(path: &Path, what: String) -> Found {
    match Motion::open(path, USUAL_FPS) {
        Ok(motion) => moving(&motion, what),
        Err(error) => unusable(without_path(&error.to_string(), path)),
    }
}

fn moving(motion: &Motion, what: String) -> Found {
    let camera = motion.frames.first().is_some_and(|frame| frame.camera.is_some());
    let size = motion.frames.first().and_then(|frame| frame.camera).map(|camera| camera.size_px);
    let fps = f64::from(motion.fps);
    let facts = Facts {
        what,
        width: size.map(|size| size[0]),
        height: size.map(|size| size[1]),
        frames: Some(motion.len()),
        fps: Some(fps),
        seconds: Some(motion.len() as f64 / fps),
        camera: Some(camera),
        ..Facts::default()
    };
    let problem = (!camera).then(|| {
        "a motion without a camera: add focal, princpt and img_size_wh, so that it is known how the body is seen"
            .to_owned()
    });
    (FileKind::Motion, facts, problem)
}

fn job(path: &Path) -> Option<Found> {
    let ending = path.extension()?.to_str()?.to_ascii_lowercase();
    if !["toml", "json"].contains(&ending.as_str()) {
        return None;
    }
    match Job::read(path) {
        Ok(_) => {
            let facts = Facts { what: "a job file".to_owned(), ..Facts::default() };
            Some((FileKind::Job, facts, None))
        }
        Err(error) if ending == "toml" => Some(unusable(without_path(&error.to_string(), path))),
        Err(_) => None,
    }
}

/// An error's words without the folder that the file lies in: the file's name says enough.
fn without_path(text: &str, path: &Path) -> String {
    let folder = path.parent().map(|folder| format!("{}{}", folder.display(), std::path::MAIN_SEPARATOR));
    folder.map_or_else(|| text.to_owned(), |folder| text.replace(&folder, ""))
}
