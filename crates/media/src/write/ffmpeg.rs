//! Frames encoded by an external ffmpeg, through a pipe.

use super::WriteOptions;
use crate::audio::IN_TIME;
use crate::error::{Error, IoContext, Result};
use crate::ffmpeg::{Ffmpeg, Running, file_argument, input_file};
use crate::warning::{Warning, Warnings};
use image::RgbImage;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tempfile::TempPath;

/// An encoder that is started with the first frame, whose size it needs.
#[derive(Debug)]
pub(super) struct FfmpegSink {
    path: PathBuf,
    ffmpeg: Ffmpeg,
    options: WriteOptions,
    warnings: Warnings,
    running: Option<(Running, TempPath)>,
}

impl FfmpegSink {
    pub(super) fn create(path: &Path, mut options: WriteOptions, warnings: &Warnings) -> Result<Self> {
        let ffmpeg = options.ffmpeg.as_deref().and_then(Ffmpeg::find).ok_or_else(|| {
            let format = path.extension().unwrap_or_default().to_string_lossy().into_owned();
            let reason = "no ffmpeg was found; mp4, m4v, mov and numbered png or jpg work without".to_owned();
            Error::UnsupportedOutput { path: path.to_owned(), format, reason }
        })?;
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        if matches!(extension.as_str(), "gif" | "apng" | "webp") && options.audio.take().is_some() {
            let why = format!("a .{extension} file has no place for it");
            warnings.push(Warning::NoSound { path: path.to_owned(), why });
        }
        Ok(Self { path: path.to_owned(), ffmpeg, options, warnings: warnings.clone(), running: None })
    }

    pub(super) fn push(&mut self, frame: &RgbImage) -> Result<()> {
        if self.running.is_none() {
            self.running = Some(self.start(frame.dimensions())?);
        }
        let Some((running, _)) = &mut self.running else { return Ok(()) };
        let Some(pipe) = &mut running.child.stdin else { return Ok(()) };
        if let Err(error) = pipe.write_all(frame.as_raw()) {
            // A closed pipe means that ffmpeg gave up; its own words say why.
            running.child.stdin = None;
            let said = running.wait(&self.path)?;
            let error = match said {
                Some(said) => std::io::Error::other(said),
                None => error,
            };
            return Err(error).at(&self.path, "writing to ffmpeg");
        }
        Ok(())
    }

    fn start(&self, (width, height): (u32, u32)) -> Result<(Running, TempPath)> {
        let extension = self.path.extension().unwrap_or_default().to_string_lossy().into_owned();
        let folder = self.path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let out = tempfile::Builder::new()
            .prefix(".writing-")
            .suffix(&format!(".{extension}"))
            .tempfile_in(folder)
            .at(&self.path, "creating a temporary file beside it")?
            .into_temp_path();
        let options = &self.options;
        let running = self.ffmpeg.start(&self.path, Stdio::piped(), Stdio::null(), |command| {
            command.args(["-y", "-f", "rawvideo", "-pix_fmt", "rgb24"]);
            command.args(["-video_size", &format!("{width}x{height}")]);
            command.args(["-framerate", &options.frame_rate.to_string(), "-i", "-"]);
            if let Some(audio) = &options.audio {
                let (source, start) = audio.source();
                // The start is a time on the file's own clock.
                command.args(["-seek_timestamp", "1", "-ss", &format!("{start:.6}")]);
                input_file(command, source);
                command.args(["-map", "0:v:0", "-map", "1:a:0"]);
                // Sound ends with the pictures, and pictures don't end with the sound.
                command.args(["-af", &format!("{IN_TIME}:first_pts=0,apad"), "-shortest"]);
            }
            command.args(["-g", &options.keyframe_interval.to_string()]);
            match extension.to_ascii_lowercase().as_str() {
                "gif" | "apng" | "webp" => {
                    command.args(["-loop", "0"]);
                }
                "webm" | "mkv" => {
                    command.args(["-crf", &options.qp.to_string(), "-b:v", "0", "-pix_fmt", "yuv420p"]);
                }
                _ => {
                    // 1 (finest) to 31 is the scale of the codecs that are left.
                    let scale = (u32::from(options.qp).saturating_sub(12) / 2).clamp(1, 31);
                    command.args(["-qscale:v", &scale.to_string()]);
                }
            }
            command.arg(file_argument(&out));
        })?;
        Ok((running, out))
    }

    pub(super) fn finish(self) -> Result<()> {
        let Some((mut running, out)) = self.running else { return Err(Error::NoFrames { path: self.path }) };
        running.child.stdin = None;
        if let Some(said) = running.wait(&self.path)? {
            self.warnings.push(Warning::Ffmpeg { path: self.path.clone(), said });
        }
        #[cfg(unix)]
        {
            // Temporary files are private; the result is as readable as its folder's other files usually are.
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(&out, std::fs::Permissions::from_mode(0o644))
                .at(&self.path, "setting permissions")?;
        }
        out.persist(&self.path).map_err(|e| e.error).at(&self.path, "renaming the finished file")
    }
}
