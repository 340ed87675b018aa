//! Frames decoded by an external ffmpeg, through a pipe.

use super::VideoInfo;
use crate::error::{Error, IoContext, Result};
use crate::ffmpeg::{Ffmpeg, Running, file_argument};
use crate::orientation::Orientation;
use crate::rate::FrameRate;
use image::RgbImage;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Stdio};

/// A running decoder.
#[derive(Debug)]
pub(super) struct FfmpegSource {
    path: PathBuf,
    running: Running,
    pipe: ChildStdout,
    size: (u32, u32),
    n_read: usize,
}

impl FfmpegSource {
    /// None where there is no ffmpeg.
    pub(super) fn open(path: &Path, program: &Path, upright: bool) -> Result<Option<(VideoInfo, Self)>> {
        let Some(ffmpeg) = Ffmpeg::find(program) else { return Ok(None) };
        let (size, frame_rate) = probe(&ffmpeg, path, upright)?;
        let mut running = ffmpeg.start(path, Stdio::null(), Stdio::piped(), |command| {
            input(command, path, upright);
            command.args(["-map", "0:v:0", "-an", "-sn"]).args(ffmpeg.every_frame());
            command.args(["-sws_flags", "bilinear+accurate_rnd+full_chroma_int"]);
            command.args(["-f", "rawvideo", "-pix_fmt", "rgb24", "-"]);
        })?;
        let Some(pipe) = running.child.stdout.take() else {
            return Err(Error::Ffmpeg { path: path.to_owned(), detail: "no output pipe".to_owned() });
        };
        let info = VideoInfo {
            width: size.0,
            height: size.1,
            frame_rate,
            frames: None,
            orientation: Orientation::default(),
            color: None,
            codec: "decoded by ffmpeg".to_owned(),
            has_audio: false,
        };
        Ok(Some((info, Self { path: path.to_owned(), running, pipe, size, n_read: 0 })))
    }

    pub(super) fn next_frame(&mut self) -> Result<Option<RgbImage>> {
        let mut frame = RgbImage::new(self.size.0, self.size.1);
        let bytes: &mut [u8] = &mut frame;
        let mut filled = 0;
        while filled < bytes.len() {
            let n = self.pipe.read(&mut bytes[filled..]).at(&self.path, "reading from ffmpeg")?;
            if n == 0 {
                break;
            }
            filled += n;
        }
        if filled == bytes.len() {
            self.n_read += 1;
            return Ok(Some(frame));
        }
        self.running.wait(&self.path)?;
        match (filled, self.n_read) {
            (0, 0) => Err(Error::NoFrames { path: self.path.clone() }),
            (0, _) => Ok(None),
            _ => Err(Error::Ffmpeg {
                path: self.path.clone(),
                detail: format!("frame {} is incomplete", self.n_read),
            }),
        }
    }
}

fn input(command: &mut std::process::Command, path: &Path, upright: bool) {
    if !upright {
        command.arg("-noautorotate");
    }
    command.arg("-i").arg(file_argument(path));
}

/// Size and frame rate, from the header that ffmpeg writes in front of a y4m stream.
fn probe(ffmpeg: &Ffmpeg, path: &Path, upright: bool) -> Result<((u32, u32), FrameRate)> {
    let mut running = ffmpeg.start(path, Stdio::null(), Stdio::piped(), |command| {
        input(command, path, upright);
        command.args(["-map", "0:v:0", "-frames:v", "1", "-pix_fmt", "yuv444p", "-f", "yuv4mpegpipe", "-"]);
    })?;
    let mut header = Vec::new();
    if let Some(mut pipe) = running.child.stdout.take() {
        let mut block = [0; 4096];
        loop {
            let n = pipe.read(&mut block).at(path, "reading from ffmpeg")?;
            if n == 0 {
                break;
            }
            if header.len() < 512 {
                header.extend_from_slice(&block[..n]);
            }
        }
    }
    running.wait(path)?;
    let line = header.split(|&b| b == b'\n').next().unwrap_or(&[]);
    parse_y4m(&String::from_utf8_lossy(line)).ok_or_else(|| Error::NoVideo { path: path.to_owned() })
}

fn parse_y4m(header: &str) -> Option<((u32, u32), FrameRate)> {
    let fields = header.strip_prefix("YUV4MPEG2 ")?;
    let field = |letter: char| fields.split(' ').find_map(|f| f.strip_prefix(letter));
    let (width, height) = (field('W')?.parse().ok()?, field('H')?.parse().ok()?);
    if width == 0 || height == 0 || u64::from(width) * u64::from(height) > 1 << 28 {
        return None;
    }
    let rate = field('F')?.parse().unwrap_or(FrameRate::whole(30));
    Some(((width, height), rate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_header() {
        let header = "YUV4MPEG2 W64 H48 F30000:1001 Ip A1:1 C444 XYSCSS=444";
        assert_eq!(parse_y4m(header), Some(((64, 48), FrameRate::new(30000, 1001).unwrap())));
        assert_eq!(parse_y4m("YUV4MPEG2 W0 H48 F30:1"), None);
        assert_eq!(parse_y4m("YUV4MPEG2 W99999999 H99999999 F30:1"), None);
        assert_eq!(parse_y4m("nonsense"), None);
    }
}
