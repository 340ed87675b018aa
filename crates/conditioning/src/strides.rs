//! How many frames and pixels make a latent.

/// Frames and pixels to a latent of a VAE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strides {
    /// Frames to a latent frame. The first frame has a latent frame for itself.
    pub time: usize,
    /// Pixels to a latent, down and across.
    pub space: usize,
}

impl Strides {
    /// The strides of a VAE.
    #[must_use]
    pub fn of(config: &vae::Config) -> Self {
        Self { time: config.temporal_factor(), space: config.spatial_factor() }
    }

    /// Copies of the first frame that stand in front of it, so that it fills a group of `time` frames like all others.
    #[must_use]
    pub fn leading(self) -> usize {
        self.time - 1
    }

    /// The least number of frames behind the reference picture that are at least `frames` and whole latent frames.
    #[must_use]
    pub fn whole(self, frames: usize) -> usize {
        frames.next_multiple_of(self.time)
    }
}
