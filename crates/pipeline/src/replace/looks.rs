//! The second look at a raw video: with everybody's motion known, each pixel is given to somebody or to nobody.

use super::assign::{Assigner, Somebody, times_share};
use super::bodies::Bodies;
use super::occluders::{Guess, Steady};
use super::people::Seen;
use super::score::{Checks, Looked, speed};
use crate::{Error, Result};
use image::{GrayImage, RgbImage, imageops};
use mocap::{Evidence, Segmentation, Sighting};
use smplx::Motion;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::mpsc::SyncSender;

/// Longer side of the small pictures in which pixels are given to people.
const SMALL: u32 = 400;
/// A share of a small pixel from which on it is the person's.
const MINE: f32 = 0.5;

/// Where pictures go: evidence until the stage is done, and what it makes.
pub(super) struct Folders {
    part: PathBuf,
}

/// Names of the folders: of the replaced people's mattes, of everybody else's, and of what is in front.
pub(super) const MATTES: &str = "mattes";
pub(super) const OTHERS: &str = "others";
pub(super) const IN_FRONT: &str = "in-front";
const EVIDENCE: &str = "evidence";

impl Folders {
    pub(super) fn make(part: &Path) -> Result<Self> {
        for name in [MATTES, OTHERS, IN_FRONT, EVIDENCE] {
            let folder = part.join(name);
            let fail = |source| Error::Io { path: folder.clone(), source };
            if folder.exists() {
                // Left by a run that was stopped: of another length, perhaps.
                std::fs::remove_dir_all(&folder).map_err(fail)?;
            }
            std::fs::create_dir_all(&folder).map_err(fail)?;
        }
        Ok(Self { part: part.to_owned() })
    }

    /// Without the evidence, and without layers that show nothing: others' and in front.
    pub(super) fn finish(&self, shown: [bool; 2]) -> Result<()> {
        let empty =
            [OTHERS, IN_FRONT].into_iter().zip(shown).filter(|(_, shown)| !shown).map(|(name, _)| name);
        for name in std::iter::once(EVIDENCE).chain(empty) {
            let folder = self.part.join(name);
            std::fs::remove_dir_all(&folder).map_err(|source| Error::Io { path: folder, source })?;
        }
        Ok(())
    }

    pub(super) fn evidence(&self, frame: usize, track: usize) -> PathBuf {
        self.part.join(EVIDENCE).join(format!("{frame:06}-{track}.png"))
    }

    pub(super) fn picture(&self, of: &str, frame: usize) -> PathBuf {
        self.part.join(of).join(format!("{frame:06}.png"))
    }

    /// Takes a sighting's probabilities as one picture: the person's own above anybody's.
    pub(super) fn take_evidence(&self, sighting: &mut Sighting) -> GrayImage {
        let Evidence { own, anybody } = &mut sighting.evidence;
        let mut both = std::mem::take(&mut own.likely);
        both.append(&mut anybody.likely);
        let side = Segmentation::SIDE as u32;
        GrayImage::from_raw(side, 2 * side, both).unwrap_or_default()
    }

    /// The evidence as it was.
    pub(super) fn read_evidence(&self, frame: usize, track: usize, places: &Evidence) -> Result<Evidence> {
        let both = open(&self.evidence(frame, track))?.into_raw();
        let (own, anybody) = both.split_at(both.len() / 2);
        let of = |place: &Segmentation, likely: &[u8]| Segmentation {
            region: place.region,
            likely: likely.to_vec(),
        };
        Ok(Evidence { own: of(&places.own, own), anybody: of(&places.anybody, anybody) })
    }
}

pub(super) fn open(path: &Path) -> Result<GrayImage> {
    let read = image::open(path);
    read.map(|picture| picture.to_luma8())
        .map_err(|e| Error::Damaged { path: path.to_owned(), why: e.to_string() })
}

/// Looks at frame after frame.
pub(super) struct Looks<'a> {
    bodies: Bodies<'a>,
    folders: &'a Folders,
    size: [u32; 2],
    small: [u32; 2],
    reduced: u32,
    fps: f32,
    assigner: Assigner,
    steady: Steady,
    /// Frames whose layer isn't decided yet: the matte, and who is in front.
    waiting: VecDeque<(GrayImage, GrayImage)>,
    layers: usize,
    /// Others and layers in front were seen at all.
    shown: [bool; 2],
    /// By person and frame.
    checks: Vec<Vec<Option<Checks>>>,
    before: Vec<Option<(usize, super::bodies::Body)>>,
    one_only: bool,
}

impl<'a> Looks<'a> {
    fn reduced(size: [u32; 2]) -> u32 {
        size[0].max(size[1]).div_ceil(SMALL).max(1)
    }

    pub(super) fn small_size(size: [u32; 2]) -> [u32; 2] {
        size.map(|n| n.div_ceil(Self::reduced(size)))
    }

    pub(super) fn new(seen: &Seen, bodies: Bodies<'a>, folders: &'a Folders) -> Self {
        let small = Self::small_size(seen.size);
        let (people, frames) = (seen.people.len(), seen.cuts.len());
        Self {
            bodies,
            folders,
            size: seen.size,
            small,
            reduced: Self::reduced(seen.size),
            fps: seen.fps as f32,
            assigner: Assigner::default(),
            steady: Steady::new(seen.fps as f32, small[0] as usize),
            waiting: VecDeque::new(),
            shown: [false; 2],
            layers: 0,
            checks: vec![vec![None; frames]; people],
            before: vec![None; people],
            one_only: people == 1,
        }
    }

    /// Everybody who is seen in a frame, with what the networks say at the picture's size.
    fn everybody(
        &self,
        n: usize,
        seen: &Seen,
        motions: &[Motion],
    ) -> Result<(Vec<Somebody>, Vec<GrayImage>)> {
        let size = (self.size[0], self.size[1]);
        let (mut people, mut likely) = (Vec::new(), Vec::new());
        for (p, person) in seen.people.iter().enumerate() {
            let Some(places) = &person.evidence[n] else { continue };
            let evidence = self.folders.read_evidence(n, person.track, places)?;
            let body = self.bodies.draw(&motions[p].frames[n])?;
            let own = evidence.own.spread(size, self.reduced);
            let anybody = evidence.anybody.spread(size, self.reduced);
            people.push(Somebody::new(p, own, anybody, body));
            likely.push(evidence.matte(size));
        }
        Ok((people, likely))
    }

    pub(super) fn next_frame(
        &mut self,
        n: usize,
        frame: &RgbImage,
        seen: &Seen,
        motions: &[Motion],
        to_disk: &SyncSender<(PathBuf, GrayImage)>,
    ) -> Result<()> {
        let (people, mut likely) = self.everybody(n, seen, motions)?;
        let small = if people.len() > 1 {
            imageops::thumbnail(frame, self.small[0], self.small[1])
        } else {
            RgbImage::new(self.small[0], self.small[1])
        };
        let shares = self.assigner.shares(&small, &people);
        // With several, a pixel is as likely somebody's as the surest network says.
        if let [first, rest @ ..] = &mut likely[..] {
            for other in rest.iter() {
                first.iter_mut().zip(other.iter()).for_each(|(a, b)| *a = (*a).max(*b));
            }
            rest.iter_mut().for_each(|other| other.clone_from(first));
        }
        let (w, h) = (self.size[0], self.size[1]);
        let (mut mine, mut others) = (GrayImage::new(w, h), GrayImage::new(w, h));
        let mut in_front = GrayImage::new(w, h);
        let replaced = |p: usize| seen.replaced.contains(&p);
        let depth = |p: &Somebody| p.body.as_ref().map_or(f32::INFINITY, super::bodies::Body::mean_depth);
        let far = people.iter().filter(|p| replaced(p.person)).map(depth).fold(0.0, f32::max);
        for ((somebody, share), mut matte) in people.iter().zip(&shares).zip(likely) {
            times_share(&mut matte, share, self.small, self.reduced)?;
            let to = if replaced(somebody.person) { &mut mine } else { &mut others };
            to.iter_mut().zip(matte.iter()).for_each(|(a, b)| *a = (*a).max(*b));
            if !replaced(somebody.person) && depth(somebody) < far {
                in_front.iter_mut().zip(matte.iter()).for_each(|(a, b)| *a = (*a).max(*b));
            }
        }
        self.inspect(n, &people, &shares, seen);
        if !self.one_only {
            self.shown[0] |= others.iter().any(|b| *b > 0);
            send(to_disk, self.folders.picture(OTHERS, n), others)?;
        }
        self.waiting.push_back((mine, in_front));
        while let Some(layer) = self.steady.next(false) {
            self.write_layer(layer, to_disk)?;
        }
        Ok(())
    }

    /// Judges the frame, and guesses what is in front.
    fn inspect(&mut self, n: usize, people: &[Somebody], shares: &[Vec<f32>], seen: &Seen) {
        let pixels = self.small[0] as usize * self.small[1] as usize;
        let any: Vec<f32> = (0..pixels)
            .map(|i| {
                let of = |p: &Somebody| f32::from(p.own.as_raw()[i].max(p.anybody.as_raw()[i])) / 255.0;
                people.iter().map(of).fold(0.0, f32::max)
            })
            .collect();
        let mut guessed = Guess::default();
        for (k, somebody) in people.iter().enumerate() {
            let person = &seen.people[somebody.person];
            let matte: Vec<f32> = if people.len() == 1 {
                any.iter().zip(&shares[k]).map(|(a, s)| a * s).collect()
            } else {
                (0..pixels).map(|i| any[i] * shares[k][i]).collect()
            };
            let taken: Vec<bool> = (0..pixels)
                .map(|i| shares.iter().enumerate().any(|(l, s)| l != k && any[i] * s[i] > MINE))
                .collect();
            let confidence = &person.confidence[n];
            if seen.replaced.contains(&somebody.person) {
                let guess = Guess::new(somebody, &any, &taken, confidence);
                guessed.join(guess);
            }
            let hidden: Vec<bool> =
                (0..pixels).map(|i| taken[i] || guessed.pixels.get(i) == Some(&2) && any[i] < 0.1).collect();
            let mut checks = Checks::new(&Looked {
                somebody,
                matte: &matte,
                taken: &hidden,
                confidence,
                familiar: person.familiar[n].unwrap_or(1.0),
                detected: person.frames[n].as_ref().map_or(0.0, |o| o.score),
                residual_px: person.residual_px[n],
                reduced: self.reduced as f32,
            });
            if let (Some((t, before)), Some(body)) = (&self.before[somebody.person], &somebody.body)
                && t + 1 == n
                && !seen.cuts[n]
            {
                checks.speed = speed(before, body, confidence, self.fps);
            }
            self.before[somebody.person] = somebody.body.clone().map(|body| (n, body));
            self.checks[somebody.person][n] = Some(checks);
        }
        self.steady.push(guessed);
    }

    fn write_layer(
        &mut self,
        layer: Option<Vec<u8>>,
        to_disk: &SyncSender<(PathBuf, GrayImage)>,
    ) -> Result<()> {
        let n = self.layers;
        self.layers += 1;
        let (w, h) = (self.size[0], self.size[1]);
        let (mut mine, mut out) =
            self.waiting.pop_front().ok_or(Error::Internal("a layer without its frame"))?;
        if let Some(layer) = layer {
            let ones: Vec<f32> = layer.iter().map(|b| f32::from(*b) / 255.0).collect();
            let mut things = GrayImage::from_pixel(w, h, image::Luma([255]));
            times_share(&mut things, &ones, self.small, self.reduced)?;
            out.iter_mut().zip(things.iter()).for_each(|(a, b)| *a = (*a).max(*b));
            mine.iter_mut().zip(things.iter()).for_each(|(m, b)| *m = (*m).min(255 - *b));
        }
        self.shown[1] |= out.iter().any(|b| *b > 0);
        send(to_disk, self.folders.picture(MATTES, n), mine)?;
        send(to_disk, self.folders.picture(IN_FRONT, n), out)
    }

    /// The layers of the last frames.
    pub(super) fn finish(&mut self, to_disk: &SyncSender<(PathBuf, GrayImage)>) -> Result<()> {
        while let Some(layer) = self.steady.next(true) {
            self.write_layer(layer, to_disk)?;
        }
        Ok(())
    }

    /// The checks by person and frame, and whether others and layers in front were seen at all.
    pub(super) fn into_checks(self) -> (Vec<Vec<Option<Checks>>>, [bool; 2]) {
        (self.checks, self.shown)
    }
}

fn send(to_disk: &SyncSender<(PathBuf, GrayImage)>, path: PathBuf, picture: GrayImage) -> Result<()> {
    // Where the writer stopped, it says why itself.
    to_disk.send((path, picture)).map_err(|_| Error::Internal("the writer of masks stopped"))
}
