//! The frames just before: whoever is found late is followed back through them.

use crate::landmarks::Observation;
use crate::region::Region;
use image::RgbImage;
use std::collections::VecDeque;

/// At most so many frames of a shot are kept, and so many bytes of pictures.
const MOST: usize = 30;
const MOST_BYTES: usize = 256 << 20;

/// A frame, and who was seen in it.
#[derive(Debug)]
pub(crate) struct PastFrame {
    pub(crate) picture: RgbImage,
    /// By person.
    pub(crate) seen: Vec<(usize, Observation)>,
}

impl PastFrame {
    /// What was seen of somebody.
    pub(crate) fn of(&self, person: usize) -> Option<&Observation> {
        self.seen.iter().find(|(seen, _)| *seen == person).map(|(_, observation)| observation)
    }

    /// The faces of everybody but those.
    pub(crate) fn faces_besides(&self, those: &[usize]) -> Vec<Region> {
        let others = self.seen.iter().filter(|(person, _)| !those.contains(person));
        others.filter_map(|(_, observation)| Region::of_face(&observation.landmarks)).collect()
    }
}

/// The last frames of a shot, the newest first.
#[derive(Debug, Default)]
pub(crate) struct Past {
    frames: VecDeque<PastFrame>,
}

impl Past {
    /// A new shot begins.
    pub(crate) fn forget(&mut self) {
        self.frames.clear();
    }

    /// Keeps the newest frame, and forgets the oldest.
    pub(crate) fn push(&mut self, picture: &RgbImage, seen: Vec<(usize, Observation)>) {
        let most = (MOST_BYTES / picture.len().max(1)).clamp(1, MOST);
        self.frames.truncate(most - 1);
        self.frames.push_front(PastFrame { picture: picture.clone(), seen });
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.frames.len()
    }

    /// The frame so many before this one, from 1 on.
    pub(crate) fn before(&self, frames: usize) -> Option<&PastFrame> {
        self.frames.get(frames.checked_sub(1)?)
    }

    /// Somebody turned out to be in the frame so many before this one, or elsewhere in it.
    pub(crate) fn correct(&mut self, frames: usize, person: usize, observation: Observation) {
        if let Some(frame) = frames.checked_sub(1).and_then(|k| self.frames.get_mut(k)) {
            frame.seen.retain(|(seen, _)| *seen != person);
            frame.seen.push((person, observation));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_frames_are_kept() {
        let mut past = Past::default();
        for t in 0..40 {
            past.push(&RgbImage::from_pixel(4, 2, image::Rgb([t; 3])), Vec::new());
        }
        let at = |n: usize| past.before(n).map(|frame| frame.picture.get_pixel(0, 0)[0]);
        assert_eq!(
            (past.len(), at(0), at(1), at(MOST), at(MOST + 1)),
            (MOST, None, Some(39), Some(10), None)
        );
        past.forget();
        assert_eq!(past.len(), 0);
    }
}
