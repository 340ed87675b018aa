//! Which jobs can be run.

use super::{Blend, Job, Preset, Until};
use crate::models::Configs;
use crate::{Error, Result};
use conditioning::Strides;

/// Longest side of a video in pixels.
const LARGEST_SIDE: u32 = 16384;

impl Job {
    /// Checks everything that can be checked without looking at what a job reads, for as far as the job goes.
    ///
    /// # Errors
    /// [`Error::Option`] for the first setting that can't be honoured, [`Error::Overwrites`] for an output that is read.
    pub fn validate(&self) -> Result<()> {
        if let Some(replace) = &self.replace {
            replace.validate()?;
        }
        match self.output.until {
            None => self.validate_whole()?,
            Some(Until::Composite) => self.validate_composite()?,
            Some(Until::Masks | Until::Motion | Until::Plate) => self.validate_found()?,
        }
        self.check_outputs()
    }

    /// What the whole way to the video needs.
    pub(crate) fn validate_whole(&self) -> Result<()> {
        let refuse = |option, why: String| Err(Error::Option { option, why });
        let video = &self.video;
        // A folder of small weights that can't be read is named when the weights are looked at.
        let configs = Configs::of(&self.models).unwrap_or_else(|_| Configs::wan_2_1_i2v_14b());
        let strides = Strides::of(&configs.vae);
        let [_, _, patch] = configs.dit.patch_size;
        let unit = (strides.space * patch) as u32;
        for (option, size) in [("video.width", video.width), ("video.height", video.height)] {
            if size == 0 || !size.is_multiple_of(unit) {
                let nearest = ((size + unit / 2) / unit).max(1) * unit;
                return refuse(
                    option,
                    format!("must be a multiple of {unit}, got {size}; the nearest is {nearest}"),
                );
            }
        }
        let fitting = crate::windows::round_up(video.window, strides);
        if video.window != fitting {
            let time = strides.time;
            return refuse(
                "video.window",
                format!("must be {time}k + 1 frames, got {}; the next is {fitting}", video.window),
            );
        }
        if video.window <= strides.time {
            let least = strides.time + 1;
            return refuse("video.window", format!("must be at least {least} frames, got {}", video.window));
        }
        if video.overlap + 1 >= video.window {
            let most = video.window - 2;
            return refuse(
                "video.overlap",
                format!("must be at most {most} for windows of {}, got {}", video.window, video.overlap),
            );
        }
        self.validate_composite()?;
        if self.models.preset == Preset::AniCrafter
            && self.models.wan.is_none()
            && (self.models.anicrafter.is_none() || self.models.dit.is_empty())
        {
            return refuse(
                "models.wan",
                "the real weights are needed: name their folder (models.wan, --wan) and, where they lie elsewhere, AniCrafter's files (models.anicrafter, --anicrafter)"
                    .to_owned(),
            );
        }
        self.models.check_activations()?;
        if self.models.memory_gib.is_some_and(|gib| !(gib.is_finite() && gib > 0.0)) {
            return refuse("models.memory_gib", "must be a positive number".to_owned());
        }
        self.sampling.validate()
    }

    /// Checks what the avatar-background video alone needs: as [`Job::validate`], with any size that video can have, and
    /// without a word on models.
    ///
    /// # Errors
    /// [`Error::Option`] for the first setting that can't be honoured.
    pub(crate) fn validate_composite(&self) -> Result<()> {
        let refuse = |option, why: String| Err(Error::Option { option, why });
        let (input, video) = (&self.input, &self.video);
        self.light.validate()?;
        self.check_strokes()?;
        self.check_places()?;
        if (video.width == 0) != (video.height == 0) {
            return refuse("video.width", "give width and height, or neither of them".to_owned());
        }
        for (option, size) in [("video.width", video.width), ("video.height", video.height)] {
            if size > LARGEST_SIDE {
                return refuse(option, format!("must be at most {LARGEST_SIDE} pixels, got {size}"));
            }
        }
        if video.fps.is_some_and(|fps| !(fps.is_finite() && fps >= 0.0)) {
            return refuse("video.fps", "must be a positive number, or 0 for the background's".to_owned());
        }
        if input.stride == 0 {
            return refuse("input.stride", "must be at least 1".to_owned());
        }
        if input.end.is_some_and(|end| end <= input.start) {
            return refuse("input.end", format!("must lie after the start at {}", input.start));
        }
        let found = self.replace.is_some();
        if input.background.as_os_str().is_empty() && !found {
            return Err(no_background());
        }
        if input.actors.is_empty() {
            return Err(no_actors());
        }
        if input.actors.iter().any(|actor| actor.avatar.as_os_str().is_empty()) {
            return refuse("input.actors", "a motion has no avatar: give --avatar FILE".to_owned());
        }
        let unmoved = input.actors.iter().filter(|actor| actor.motion.as_os_str().is_empty()).count();
        if unmoved > usize::from(found) {
            let why = match found {
                true => format!(
                    "one motion is found in the raw video, {unmoved} avatars have none: give the others theirs"
                ),
                false => "an avatar has no motion: give --motion FILE".to_owned(),
            };
            return refuse("input.actors", why);
        }
        if input.actors.len() > 1 && video.blend == Blend::Reference {
            let why = "the reference's blend takes one avatar; set it to \"over\" for several".to_owned();
            return refuse("video.blend", why);
        }
        Ok(())
    }

    /// What is needed of a job that only finds something in a raw video.
    fn validate_found(&self) -> Result<()> {
        if self.replace.is_none() {
            let why = "masks, motion and plate are found in a raw video: give replace.video (--video FILE)";
            return Err(Error::Option { option: "output.until", why: why.to_owned() });
        }
        let extension = self.output.video.extension().map(|e| e.to_string_lossy().to_lowercase());
        if self.output.until == Some(Until::Motion)
            && !matches!(extension.as_deref(), None | Some("json" | "npz"))
        {
            let why = format!(
                "{}: a motion is written as .json, as .npz, or as a folder of frames (no extension)",
                self.output.video.display()
            );
            return Err(Error::Option { option: "output.video", why });
        }
        Ok(())
    }
}

/// What is said where there is nothing behind the avatar.
pub(crate) fn no_background() -> Error {
    let why = "a background is needed: give --background FILE or --scene FOLDER";
    Error::Option { option: "input.background", why: why.to_owned() }
}

/// What is said where there is nobody to show.
pub(crate) fn no_actors() -> Error {
    let why = "at least one avatar with a motion is needed: give --avatar FILE and --motion FILE (or --scene FOLDER)";
    Error::Option { option: "input.actors", why: why.to_owned() }
}
