//! The condition video's frames one by one, before anything is written.

use crate::composite::{Compositor, Footage};
use crate::job::Job;
use crate::progress::{Context, Stage};
use crate::replace::replace;
use crate::{Error, Result};
use avatar_render::RendererChoice;
use image::{GrayImage, RgbImage};
use std::path::PathBuf;

/// A job's condition video, open at any of its frames: made by [`crate::Session::open_preview`].
///
/// Frames are rendered as they are asked for; in order they cost least.
#[derive(Debug)]
pub struct Preview {
    /// What the frames are made of: the job with what was found in its raw video.
    job: Job,
    renderer: RendererChoice,
    compositor: Compositor,
    /// The frame that the compositor makes next.
    next: usize,
    size: (u32, u32),
    frames: usize,
    fps: f64,
    /// The raw video, or the background.
    source: PathBuf,
    /// Masks of who is replaced.
    masks: Option<PathBuf>,
}

/// A frame of a raw video or background as it came in, with what is known of its pixels.
#[derive(Clone, Debug)]
pub struct SourceFrame {
    /// Its number in the file, from 0: what strokes name.
    pub number: usize,
    /// The frame.
    pub picture: RgbImage,
    /// White on the person who is replaced, if anybody is: a probability where it was found, not painted or brought along.
    pub person: Option<GrayImage>,
    /// White on what stays in front of the avatars.
    pub in_front: GrayImage,
}

impl Preview {
    /// Opens everything that the job names. In a raw video, masks, motion and background are found first, or taken from the
    /// work folder.
    pub(crate) fn open(job: &Job, renderer: RendererChoice, context: Context<'_>) -> Result<Self> {
        let (job, source, masks) = match &job.replace {
            Some(raw) => {
                let made = replace(job, Stage::Plate, context)?;
                let mut filled = made.fill(job);
                crate::light::find::fill(&mut filled, &made, context)?;
                (filled, raw.video.clone(), made.masks)
            }
            None => (crate::strokes::fill(job, context)?.0, job.input.background.clone(), None),
        };
        let mut compositor = Compositor::open(&job, renderer)?;
        compositor.tell_warnings(context);
        let (size, frames, fps) = (compositor.size(), compositor.len(), compositor.fps());
        Ok(Self { job, renderer, compositor, next: 0, size, frames, fps, source, masks })
    }

    /// Number of frames.
    #[must_use]
    pub fn len(&self) -> usize {
        self.frames
    }

    /// Is there no frame?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames == 0
    }

    /// Frames a second.
    #[must_use]
    pub fn fps(&self) -> f64 {
        self.fps
    }

    /// Width and height in pixels.
    #[must_use]
    pub fn size(&self) -> (u32, u32) {
        self.size
    }

    /// Frame `frame`, counted from 0: the same pixels as in the condition video.
    ///
    /// # Errors
    /// When there is no such frame, an input can't be decoded, or rendering fails.
    pub fn frame(&mut self, frame: usize) -> Result<RgbImage> {
        if frame >= self.frames {
            let what = format!("frame {frame} was asked for, the video has {}, counted from 0", self.frames);
            return Err(Error::Missing { stage: Stage::Composite, what });
        }
        if frame < self.next {
            self.compositor = Compositor::open(&self.job, self.renderer)?;
            self.next = 0;
        }
        if self.job.video.match_light || self.job.light.is_on() || self.job.light.edges() {
            // The light follows the frames before.
            while self.next < frame {
                self.made()?;
            }
        } else {
            self.compositor.skip(frame - self.next);
            self.next = frame;
        }
        self.made()
    }

    /// Which frame of the raw video, or of the background, is under a frame of the video.
    #[must_use]
    pub fn source_frame(&self, frame: usize) -> usize {
        self.compositor.source_frame(frame)
    }

    /// What lies under a frame of the video: that frame of the raw video, or of the background, with its masks.
    ///
    /// # Errors
    /// When there is no such frame, or an input can't be decoded.
    pub fn source(&self, frame: usize) -> Result<SourceFrame> {
        if frame >= self.frames {
            let what = format!("frame {frame} was asked for, the video has {}, counted from 0", self.frames);
            return Err(Error::Missing { stage: Stage::Composite, what });
        }
        let mut video = Footage::open(&self.source)?;
        let info = video.info().clone();
        let number = if info.still { 0 } else { self.compositor.source_frame(frame) };
        let picture = video.needed(number)?;
        let size = picture.dimensions();
        let matte = |path: &PathBuf| Footage::beside(path, &info, true)?.matte(number, size);
        let person = self.masks.as_ref().map(matte).transpose()?;
        let mut in_front = GrayImage::new(size.0, size.1);
        for path in &self.job.input.occluders {
            in_front.iter_mut().zip(matte(path)?.iter()).for_each(|(a, b)| *a = (*a).max(*b));
        }
        Ok(SourceFrame { number, picture, person, in_front })
    }

    fn made(&mut self) -> Result<RgbImage> {
        let made = self.compositor.next_blend()?;
        let Some(made) = made else {
            // A file that promised more frames than it has.
            let what = format!("the video ends before frame {}", self.next);
            self.frames = self.next;
            return Err(Error::Missing { stage: Stage::Composite, what });
        };
        self.next += 1;
        Ok(made)
    }
}
