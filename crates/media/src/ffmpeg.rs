//! The external ffmpeg program: found, asked for its version, and run with its complaints kept.

use crate::error::{Error, IoContext, Result};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// An ffmpeg that answered.
#[derive(Clone, Debug)]
pub(crate) struct Ffmpeg {
    program: std::path::PathBuf,
    /// Since version 5.1 the option for "as many frames out as in" has another name.
    has_fps_mode: bool,
}

impl Ffmpeg {
    /// None where there is no such program.
    pub(crate) fn find(program: &Path) -> Option<Self> {
        let mut version = Command::new(program);
        let output = version.arg("-version").stdin(Stdio::null()).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let first = text.lines().next()?.strip_prefix("ffmpeg version ")?;
        Some(Self { program: program.to_owned(), has_fps_mode: !older_than_5_1(first) })
    }

    /// The arguments that keep ffmpeg from repeating or dropping frames.
    pub(crate) fn every_frame(&self) -> [&'static str; 2] {
        if self.has_fps_mode { ["-fps_mode", "passthrough"] } else { ["-vsync", "passthrough"] }
    }

    /// Starts it, quiet but for errors, which go to a temporary file.
    pub(crate) fn start(
        &self,
        path: &Path,
        stdin: Stdio,
        stdout: Stdio,
        arguments: impl FnOnce(&mut Command),
    ) -> Result<Running> {
        let complaints = tempfile::tempfile().at(path, "creating a temporary file")?;
        let stderr = complaints.try_clone().at(path, "creating a temporary file")?;
        let mut command = Command::new(&self.program);
        command.args(["-hide_banner", "-nostdin", "-loglevel", "error"]);
        arguments(&mut command);
        let child = command.stdin(stdin).stdout(stdout).stderr(stderr).spawn().at(path, "starting ffmpeg")?;
        Ok(Running { child, complaints })
    }
}

fn older_than_5_1(version: &str) -> bool {
    // "4.4.2-0ubuntu…", "n4.4", "9.0.2-static"; development builds ("N-12345-g…") count as new.
    let digits = version.trim_start_matches('n');
    let mut parts = digits.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    match (parts.next(), parts.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) < (5, 1),
        (Some(Ok(major)), _) => major < 5,
        _ => false,
    }
}

/// A started ffmpeg; killed when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) child: Child,
    complaints: std::fs::File,
}

impl Running {
    /// Waits for its end and returns what it complained about, if it did; an unsuccessful end is an error with its last words.
    pub(crate) fn wait(&mut self, path: &Path) -> Result<Option<String>> {
        let status = self.child.wait().at(path, "waiting for ffmpeg")?;
        let said = self.last_words();
        if status.success() {
            return Ok(said);
        }
        let detail = said.unwrap_or_else(|| status.to_string());
        Err(Error::Ffmpeg { path: path.to_owned(), detail })
    }

    /// Everything that it printed for people, up to 64 KiB.
    pub(crate) fn log(&mut self) -> String {
        let mut bytes = Vec::new();
        let read = self
            .complaints
            .seek(SeekFrom::Start(0))
            .and_then(|_| (&self.complaints).take(1 << 16).read_to_end(&mut bytes));
        // A log that can't be read says nothing.
        if read.is_ok() { String::from_utf8_lossy(&bytes).into_owned() } else { String::new() }
    }

    fn last_words(&mut self) -> Option<String> {
        let text = self.log();
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
        let last = lines.get(lines.len().saturating_sub(3)..)?.join("; ");
        let more = lines.len().saturating_sub(3);
        match (lines.is_empty(), more) {
            (true, _) => None,
            (_, 0) => Some(last),
            _ => Some(format!("{last} (and {more} more lines)")),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            // It may end by itself in this very moment; either way it is gone afterwards.
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

/// The containers that ffmpeg may take a file for. Playlists and scripts aren't among them: they name other files and addresses.
const CONTAINERS: &str = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,live_flv,ogg,asf,gif,apng,webp_pipe,\
                          h264,hevc,av1,obu,ivf,m4v,mjpeg,mxf,nut,rm,dv,wtv,yuv4mpegpipe,swf,vc1,amv,wav,mp3,aac,flac,aiff,caf,png_pipe,\
                          jpeg_pipe,tiff_pipe,exr_pipe,avif";

/// Names an input. Whatever is in the file, ffmpeg opens no other one and no address.
pub(crate) fn input_file(command: &mut Command, path: &Path) {
    command
        .args(["-protocol_whitelist", "file", "-format_whitelist", CONTAINERS, "-i"])
        .arg(file_argument(path));
}

/// The path as ffmpeg must see it: a name such as `-x.mp4` or `a:b.mp4` isn't an option or a protocol.
pub(crate) fn file_argument(path: &Path) -> std::ffi::OsString {
    let mut argument = std::ffi::OsString::from("file:");
    argument.push(path);
    argument
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for old in ["4.4.2-0ubuntu0.22.04.1", "n4.4", "3.4", "5.0.1"] {
            assert!(older_than_5_1(old), "{old}");
        }
        for new in ["5.1", "9.0.2-static https://", "N-109542-g7bf85d2", "n7.1", "git-2024"] {
            assert!(!older_than_5_1(new), "{new}");
        }
    }

    #[test]
    fn absent_programs_are_no_error() {
        assert!(Ffmpeg::find(Path::new("no-such-program-as-this")).is_none());
    }
}
