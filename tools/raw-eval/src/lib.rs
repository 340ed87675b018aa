//! What is found in a raw video, against the truth of a synthetic shot (`synth shots`): whose each pixel is, how people move,
//! how large their heads are, what stands in front, and whether bad frames are known to be bad.

mod body;

use anyhow::{Context as _, Result, ensure};
use body::Measured;
use image::{GrayImage, RgbImage};
use media::VideoReader;
use pipeline::{CancelToken, Context, Job, Preset, Quiet, Replace, Replaced, Stage, Who, replace};
use serde::{Deserialize, Serialize};
use smplx::{BodyModel, Motion};
use std::path::Path;

/// A byte from which on a pixel belongs to a matte.
const INSIDE: u8 = 128;
/// A matte is bad below this intersection over union.
pub const BAD: f64 = 0.7;
/// A pixel that changed by more than this is damaged, in bytes: encoding changes less.
const DAMAGED: u8 = 36;

/// What a shot's `truth.json` says.
#[derive(Debug, Deserialize)]
struct Truth {
    frames: usize,
    /// By person and frame: which of the first 22 joints are seen.
    seen: Vec<Vec<[bool; 22]>>,
}

/// A shot's figures.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    /// People in it, and how many were found.
    pub people: [usize; 2],
    /// Intersection over union of mattes, all people and frames: mean, and the worst frame's.
    pub iou: [f64; 2],
    /// Part of others' pixels that were damaged, where backgrounds were made.
    pub damaged: Option<f64>,
    /// Mean distance of seen joints, and the largest of unseen ones, in millimetres, after what one camera can't know (place and
    /// size) was taken out.
    pub seen_mm: f64,
    /// See `seen_mm`.
    pub unseen_mm: f64,
    /// Mean error of the head's height and width, as a part.
    pub head: [f64; 2],
    /// By frame: how many times as wide and as high as in truth the head is.
    pub head_ratios: Vec<[f64; 2]>,
    /// Intersection over union of what is in front of the person, where something is.
    pub in_front: Option<f64>,
    /// Part of what the person holds that is in their mattes: on average, and in the worst frame; where something is held.
    pub held: Option<[f64; 2]>,
    /// Part of the person that is wrongly taken for something in front.
    pub in_front_wrong: f64,
    /// How often a matte went over to somebody else.
    pub switches: usize,
    /// Bad frames, and those of them that were named.
    pub bad: [usize; 2],
    /// Good frames, and those of them that were named.
    pub good: [usize; 2],
    /// By frame of each person: intersection over union, score and reason.
    pub frames: Vec<Frame>,
}

/// A person's frame.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Frame {
    /// Who, from 1, and which frame.
    pub person: usize,
    /// See `person`.
    pub frame: usize,
    /// Intersection over union of the matte.
    pub iou: f64,
    /// The frame's score, if the person was found in it.
    pub score: Option<f64>,
    /// Why it is no better.
    pub reason: String,
}

#[derive(Debug, Default)]
struct Sums {
    iou: Vec<f64>,
    damaged: [f64; 2],
    in_front: [f64; 2],
    held: Vec<f64>,
    truly_in_front: f64,
    wrong: [f64; 2],
    measured: Measured,
}

/// Runs the stages up to the motion or the background on a shot's folder and measures what came out.
///
/// # Errors
/// When a file of the shot is missing, or the stages fail.
pub fn measure(folder: &Path, work: &Path, until: Stage) -> Result<Figures> {
    let truth: Truth = serde_json::from_slice(&read(&folder.join("truth.json"))?)?;
    let body = BodyModel::from_bytes(anicrafter_assets::BODY.to_vec())?;
    let people = truth.seen.len();
    let mattes =
        (1..=people).map(|p| grays(&folder.join(format!("person-{p}")))).collect::<Result<Vec<_>>>()?;
    let pictures = frames(&folder.join("frames"))?;
    let in_front = grays(&folder.join("in-front"))?;
    let held = grays(&folder.join("held"))?;
    ensure!(pictures.len() == truth.frames, "{} frames of {}", pictures.len(), truth.frames);
    let mut figures = Figures { people: [people, 0], ..Figures::default() };
    let mut sums = Sums::default();
    let mut found_of = vec![false; people];
    let mut wanted = 1;
    loop {
        let Some(found) = run(folder, work, wanted, until)? else { break };
        if wanted == 1 {
            let seen = seen_in(&found)?;
            let listed = seen["people"].as_array().context("no people")?;
            let is_seen = |person: &&serde_json::Value| {
                person["frames"].as_array().is_some_and(|frames| frames.iter().any(|frame| !frame.is_null()))
            };
            figures.people[1] = listed.iter().filter(is_seen).count();
        }
        wanted += 1;
        let masks = grays(found.masks.as_deref().context("no masks")?)?;
        // Whose the track is: of whoever it covers best.
        let ious: Vec<Vec<f64>> = mattes
            .iter()
            .map(|truth| truth.iter().zip(&masks).map(|(t, m)| iou(t, m, |_| true)).collect())
            .collect();
        let total = |p: usize| ious[p].iter().sum::<f64>();
        let Some(p) = (0..people).filter(|p| !found_of[*p]).max_by(|a, b| total(*a).total_cmp(&total(*b)))
        else {
            continue;
        };
        found_of[p] = true;
        let mut last = p;
        for t in 0..truth.frames {
            let best = (0..people).max_by(|a, b| ious[*a][t].total_cmp(&ious[*b][t])).unwrap_or(p);
            if best != last && ious[best][t] > 0.5 {
                figures.switches += 1;
                last = best;
            }
        }
        judge(&mut figures, p, &ious[p], &mattes[p], &found)?;
        sums.iou.extend(visible(&mattes[p], &ious[p]));
        if until == Stage::Plate {
            damage(&mut sums, &found, &pictures, &mattes, p)?;
        }
        front(&mut sums, &found, &in_front, &mattes[p])?;
        if p == 0 {
            sums.held = held.iter().zip(&masks).filter_map(|(truth, mask)| covered(truth, mask)).collect();
        }
        let motion = Motion::open(found.motion.as_deref().context("no motion")?, 12.0)?;
        let true_motion = Motion::open(folder.join(format!("person-{}.json", p + 1)), 12.0)?;
        sums.measured.add(&body, &true_motion, &motion, &truth.seen[p], |t| {
            mattes[p][t].iter().any(|b| *b >= INSIDE) && masks[t].iter().any(|b| *b >= INSIDE)
        })?;
    }
    for (p, _) in found_of.iter().enumerate().filter(|(_, found)| !**found) {
        sums.iou.extend(visible(&mattes[p], &vec![0.0; truth.frames]));
    }
    figures.iou = [
        sums.iou.iter().sum::<f64>() / sums.iou.len().max(1) as f64,
        sums.iou.iter().copied().fold(1.0, f64::min),
    ];
    let share = |[part, all]: [f64; 2]| if all > 0.0 { part / all } else { 0.0 };
    figures.damaged = (until == Stage::Plate).then(|| share(sums.damaged));
    // Shots without anything in front have no such figure: what is wrongly said to be is in the next one.
    figures.in_front = (sums.truly_in_front > 200.0).then(|| share(sums.in_front));
    figures.in_front_wrong = share(sums.wrong);
    figures.held = (!sums.held.is_empty()).then(|| {
        let mean = sums.held.iter().sum::<f64>() / sums.held.len() as f64;
        [mean, sums.held.iter().copied().fold(1.0, f64::min)]
    });
    (figures.seen_mm, figures.unseen_mm) = sums.measured.pose_mm();
    figures.head = sums.measured.head();
    figures.head_ratios = sums.measured.ratios().to_vec();
    Ok(figures)
}

/// Finds one person; `None` where there are fewer.
fn run(folder: &Path, work: &Path, wanted: usize, until: Stage) -> Result<Option<Replaced>> {
    let mut job = Job::new(Preset::Demo);
    job.replace = Some(Replace {
        video: folder.join("frames"),
        person: Who::One(wanted),
        force: true,
        ..Replace::default()
    });
    job.output.work = Some(work.join(wanted.to_string()));
    let cancel = CancelToken::new();
    match replace(&job, until, Context::new(&Quiet, &cancel)) {
        Ok(found) => Ok(Some(found)),
        Err(pipeline::Error::Person(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What the masks stage says of everybody.
fn seen_in(found: &Replaced) -> Result<serde_json::Value> {
    let file = found.masks.as_deref().and_then(Path::parent).context("no masks")?.join("people.json");
    Ok(serde_json::from_slice(&read(&file)?)?)
}

/// Which frames the scores name.
fn judge(figures: &mut Figures, p: usize, ious: &[f64], truth: &[GrayImage], found: &Replaced) -> Result<()> {
    let seen = seen_in(found)?;
    let index = seen["replaced"][0].as_u64().context("nobody is replaced")? as usize;
    let verdicts = &seen["people"][index]["verdicts"];
    for (t, iou) in ious.iter().enumerate() {
        if truth[t].iter().filter(|b| **b >= INSIDE).count() < 100 {
            continue;
        }
        let verdict = &verdicts[t];
        let (score, reason) = (verdict["score"].as_f64(), verdict["reason"].as_str().unwrap_or_default());
        // Where nobody was found, the gap is told.
        let named = score.is_none_or(|score| score < 0.5);
        let counts = if *iou < BAD { &mut figures.bad } else { &mut figures.good };
        counts[0] += 1;
        counts[1] += usize::from(named);
        figures.frames.push(Frame { person: p + 1, frame: t, iou: *iou, score, reason: reason.to_owned() });
    }
    Ok(())
}

/// Others' pixels that the background lost.
fn damage(
    sums: &mut Sums,
    found: &Replaced,
    pictures: &[RgbImage],
    mattes: &[Vec<GrayImage>],
    p: usize,
) -> Result<()> {
    let plates = frames(found.plate.as_deref().context("no background")?)?;
    for (t, (picture, plate)) in pictures.iter().zip(&plates).enumerate() {
        for (_, other) in mattes.iter().enumerate().filter(|(q, _)| *q != p) {
            for (x, y, byte) in other[t].enumerate_pixels() {
                if byte[0] < 250 || x >= plate.width() || y >= plate.height() {
                    continue;
                }
                let (a, b) = (picture.get_pixel(x, y), plate.get_pixel(x, y));
                let far = (0..3).any(|k| a[k].abs_diff(b[k]) > DAMAGED);
                sums.damaged[0] += f64::from(u8::from(far));
                sums.damaged[1] += 1.0;
            }
        }
    }
    Ok(())
}

/// What is in front, within the person's whole outline.
fn front(sums: &mut Sums, found: &Replaced, truth: &[GrayImage], matte: &[GrayImage]) -> Result<()> {
    let layers = match &found.in_front {
        Some(folder) => grays(folder)?,
        None => truth.iter().map(|t| GrayImage::new(t.width(), t.height())).collect(),
    };
    for ((truth, layer), matte) in truth.iter().zip(&layers).zip(matte) {
        for ((t, l), m) in truth.iter().zip(layer.iter()).zip(matte.iter()) {
            let (hidden, said, person) = (*t >= INSIDE, *l >= INSIDE, *m >= INSIDE);
            if hidden || person {
                sums.in_front[0] += f64::from(u8::from(hidden && said));
                sums.in_front[1] += f64::from(u8::from(hidden || said));
            }
            sums.truly_in_front += f64::from(u8::from(hidden));
            if person {
                sums.wrong[0] += f64::from(u8::from(said));
                sums.wrong[1] += 1.0;
            }
        }
    }
    Ok(())
}

/// Part of what is white in `truth` that a mask covers; `None` where hardly anything is.
fn covered(truth: &GrayImage, mask: &GrayImage) -> Option<f64> {
    let (mut all, mut both) = (0, 0);
    for (_, m) in truth.iter().zip(mask.iter()).filter(|(t, _)| **t >= INSIDE) {
        all += 1;
        both += usize::from(*m >= INSIDE);
    }
    (all >= 50).then(|| both as f64 / all as f64)
}

fn visible<'a>(truth: &'a [GrayImage], ious: &'a [f64]) -> impl Iterator<Item = f64> + 'a {
    let enough = |matte: &GrayImage| matte.iter().filter(|b| **b >= INSIDE).count() >= 100;
    truth.iter().zip(ious).filter(move |(matte, _)| enough(matte)).map(|(_, iou)| *iou)
}

fn iou(a: &GrayImage, b: &GrayImage, of: impl Fn(usize) -> bool) -> f64 {
    let (mut both, mut either) = (0, 0);
    for (i, (a, b)) in a.iter().zip(b.iter()).enumerate() {
        let (a, b) = (*a >= INSIDE, *b >= INSIDE);
        if of(i) {
            both += usize::from(a && b);
            either += usize::from(a || b);
        }
    }
    both as f64 / either.max(1) as f64
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| path.display().to_string())
}

fn frames(path: &Path) -> Result<Vec<RgbImage>> {
    Ok(VideoReader::open(path)?.collect::<Result<_, _>>()?)
}

fn grays(path: &Path) -> Result<Vec<GrayImage>> {
    Ok(frames(path)?.into_iter().map(|f| pipeline::gray(&f)).collect())
}

impl Figures {
    /// The head of the table that [`Figures::row`] fills.
    #[must_use]
    pub fn head_row() -> String {
        format!(
            "{:<16} {:>7} {:>11} {:>8} {:>7} {:>8} {:>11} {:>9} {:>7} {:>11} {:>8} {:>9} {:>9}",
            "shot",
            "people",
            "IoU (min)",
            "damaged",
            "seen",
            "unseen",
            "head h w",
            "in front",
            "wrong",
            "held (min)",
            "switches",
            "bad",
            "good"
        )
    }

    /// One line.
    #[must_use]
    pub fn row(&self, name: &str) -> String {
        let percent = |v: f64| format!("{:.1} %", 100.0 * v);
        format!(
            "{name:<16} {:>7} {:>11} {:>8} {:>4.0} mm {:>5.0} mm {:>11} {:>9} {:>7} {:>11} {:>8} {:>9} {:>9}",
            format!("{}/{}", self.people[1], self.people[0]),
            format!("{:.3} ({:.2})", self.iou[0], self.iou[1]),
            self.damaged.map_or_else(|| "–".to_owned(), percent),
            self.seen_mm,
            self.unseen_mm,
            format!("{:.1} {:.1} %", 100.0 * self.head[0], 100.0 * self.head[1]),
            self.in_front.map_or_else(|| "–".to_owned(), |v| format!("{v:.3}")),
            percent(self.in_front_wrong),
            self.held.map_or_else(|| "–".to_owned(), |[mean, least]| format!("{mean:.2} ({least:.2})")),
            self.switches,
            format!("{}/{}", self.bad[1], self.bad[0]),
            format!("{}/{}", self.good[1], self.good[0]),
        )
    }
}
