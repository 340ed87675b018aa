//! The clock of a result: which frame of its background, which pose and which sound belong to its k-th frame.

use crate::rate::FrameRate;

/// Maps a result's frames to frames of its background. A motion that was brought to the background's rate has the same
/// numbers, and sound starts at [`Clock::start_s`] of the background.
///
/// # Examples
/// ```
/// use anicrafter_media::{Clock, FrameRate};
/// // From frame 10 of a video of 30 frames a second, at 12 a second: the speed stays.
/// let clock = Clock::new(FrameRate::whole(30), 10, 1, Some(FrameRate::whole(12)));
/// assert_eq!((0..5).map(|k| clock.frame(k)).collect::<Vec<_>>(), [10, 12, 15, 17, 20]);
/// assert_eq!(clock.frames(40), 12);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    background: FrameRate,
    start: usize,
    stride: usize,
    rate: FrameRate,
}

impl Clock {
    /// From frame `start` on every `stride`-th frame (0 is taken as 1). Without `rate`, the result has just these frames; with
    /// it, they are repeated or left out so that the speed stays.
    #[must_use]
    pub fn new(background: FrameRate, start: usize, stride: usize, rate: Option<FrameRate>) -> Self {
        let stride = stride.max(1);
        let own = FrameRate::reduced(
            background.num().into(),
            u64::from(background.den()).saturating_mul(stride as u64),
        );
        Self { background, start, stride, rate: rate.unwrap_or(own) }
    }

    /// Frames a second of the result.
    #[must_use]
    pub fn rate(&self) -> FrameRate {
        self.rate
    }

    /// The background's frame at the result's frame `k`.
    #[must_use]
    pub fn frame(&self, k: usize) -> usize {
        let (background, rate) = (self.background, self.rate);
        // k · (background / rate) / stride, rounded down.
        let num = k as u128 * u128::from(background.num()) * u128::from(rate.den());
        let den = u128::from(background.den()) * u128::from(rate.num()) * self.stride as u128;
        let steps = usize::try_from(num / den.max(1)).unwrap_or(usize::MAX);
        steps.saturating_mul(self.stride).saturating_add(self.start)
    }

    /// Number of the result's frames where the background has `end` frames.
    #[must_use]
    pub fn frames(&self, end: usize) -> usize {
        let steps = end.saturating_sub(self.start).div_ceil(self.stride) as u128;
        // The least k whose frame would be the first one after the end.
        let num =
            steps * u128::from(self.background.den()) * u128::from(self.rate.num()) * self.stride as u128;
        let den = u128::from(self.background.num()) * u128::from(self.rate.den());
        usize::try_from(num.div_ceil(den.max(1))).unwrap_or(usize::MAX)
    }

    /// When the result starts on the background's clock, in seconds: so much of its sound is left out.
    #[must_use]
    pub fn start_s(&self) -> f64 {
        self.background.seconds_of(self.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_and_their_number_agree() {
        let rates = [
            FrameRate::whole(25),
            FrameRate::reduced(30000, 1001),
            FrameRate::whole(15),
            FrameRate::whole(60),
        ];
        for background in rates {
            for wanted in [None, Some(rates[0]), Some(rates[1]), Some(rates[2]), Some(rates[3])] {
                for (start, stride, end) in [(0, 1, 50), (7, 1, 50), (7, 3, 50), (0, 2, 1), (10, 4, 10)] {
                    let clock = Clock::new(background, start, stride, wanted);
                    let n = clock.frames(end);
                    let inside: Vec<usize> =
                        (0..200).map(|k| clock.frame(k)).take_while(|&f| f < end).collect();
                    assert_eq!(n, inside.len(), "{background} {wanted:?} {start} {stride} {end}");
                    if wanted.is_none() {
                        assert!(inside.iter().enumerate().all(|(k, &f)| f == start + k * stride));
                    }
                }
            }
        }
    }
}
