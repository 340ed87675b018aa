//! Everybody in a raw video: who is in view when, their motion, whose each pixel is, what stands in front, and how far all of
//! that can be trusted.

use super::bars::Bars;
use super::folders::{Folders, IN_FRONT, MATTES, OTHERS, open, save};
use super::looks::{Findings, Looks};
use super::mend::mend;
use super::people::{Person, Seen};
use super::prepare::Preparer;
use super::score::judge;
use super::small::{Sizes, SmallPictures};
use super::{DECODE_AHEAD, to_json};
use crate::job::{Replace, Who};
use crate::work::write_atomically;
use crate::{Context, Error, Result, Stage};
use image::GrayImage;
use media::VideoReader;
use mocap::{FitOptions, Sighting, TrackOptions, Tracker};
use smplx::{BodyModel, Motion};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// What the masks stage writes beside the mattes.
pub(super) const SEEN: &str = "people.json";

/// Parts of the stage's time: finding everybody, fitting bodies, and giving pixels to people.
const PARTS: [f64; 3] = [0.62, 0.10, 0.28];

/// The motion of a person beside the mattes.
pub(super) fn motion_file(person: usize) -> String {
    format!("motion-{}.json", person + 1)
}

pub(super) fn track(
    settings: &Replace,
    body: &BodyModel,
    part: &Path,
    total: usize,
    context: Context<'_>,
) -> Result<()> {
    let folders = Folders::make(part)?;
    let (mut seen, pictures) = find(settings, &folders, total, context)?;
    let motions = fit(body, &mut seen, total, context)?;
    let mut motions = look(body, &mut seen, motions, &folders, &pictures, total, context)?;
    let (bars, inner) = (seen.bars, seen.size);
    seen.surround();
    for (n, motion) in motions.iter_mut().enumerate().filter(|(n, _)| seen.is_present(*n)) {
        motion
            .frames
            .iter_mut()
            .filter_map(|frame| frame.camera.as_mut())
            .for_each(|camera| bars.surround_view(camera, inner));
        write_atomically(&part.join(motion_file(n)), motion.to_json().as_bytes())?;
    }
    write_atomically(&part.join(SEEN), &to_json(&seen)?)
}

/// Finds everybody in every frame; what the networks say of their pixels goes to the disk, and small pictures do.
fn find(
    settings: &Replace,
    folders: &Folders,
    total: usize,
    context: Context<'_>,
) -> Result<(Seen, SmallPictures)> {
    let bars = Bars::find(&settings.video, context)?;
    let reader = VideoReader::open(&settings.video)?;
    let (size, fps) = (reader.info().size().into(), reader.info().frame_rate.as_f64());
    let said = reader.warnings();
    let mut tracker = Tracker::new(TrackOptions::default())?;
    let mut sightings: Vec<Vec<Sighting>> = Vec::new();
    let mut cuts = Vec::new();
    let mut pictures = SmallPictures::create(folders.small_pictures(), Sizes::new(bars.inner(size)))?;
    in_background(|to_disk| {
        for (n, frame) in reader.prefetch(DECODE_AHEAD).enumerate() {
            let frame = bars.crop(frame?);
            pictures.push(&frame)?;
            let tracked = tracker.next_frame(&frame)?;
            cuts.push(tracked.cut);
            sightings.push(Vec::new());
            for (t, mut sighting) in tracked.into_sightings() {
                let evidence = folders.take_evidence(&mut sighting);
                if to_disk.send((folders.evidence(t, sighting.person), evidence)).is_err() {
                    // The writer stopped, and says why.
                    return Ok(());
                }
                sightings[t].push(sighting);
            }
            context.advance(Stage::Masks, (n + 1) as f64 * PARTS[0], total)?;
        }
        Ok(())
    })?;
    crate::finish::warn_of(&said, context);
    let who = match settings.person {
        Who::At { frame, place } => Who::At { frame, place: bars.place_within(place, size) },
        who => who,
    };
    let seen = Seen::new(bars.inner(size), fps, cuts, sightings, tracker.reunited(), who)?;
    let everybody = seen.people.iter().flat_map(|person| person.frames.iter().flatten());
    let focal_px = settings.focal_px.unwrap_or_else(|| mocap::usual_focal_px(seen.size, everybody));
    Ok((Seen { bars, focal_px: Some(focal_px), ..seen }, pictures.finish()))
}

/// Writes pictures on a thread of its own while `work` makes them.
pub(super) fn in_background(
    work: impl FnOnce(&std::sync::mpsc::SyncSender<(PathBuf, GrayImage)>) -> Result<()>,
) -> Result<()> {
    let (to_disk, written) = std::sync::mpsc::sync_channel::<(PathBuf, GrayImage)>(2 * DECODE_AHEAD);
    std::thread::scope(|scope| {
        let writer = scope.spawn(move || -> Result<()> {
            for (path, picture) in written {
                save(&picture, &path)?;
            }
            Ok(())
        });
        let worked = work(&to_disk);
        drop(to_disk);
        writer.join().unwrap_or(Err(Error::Internal("the writer of masks panicked"))).and(worked)
    })
}

/// Takes item after item while a thread of its own makes the next ones.
fn ahead<T: Send>(
    items: &mut (dyn Iterator<Item = Result<T>> + Send),
    mut take: impl FnMut(usize, T) -> Result<()>,
) -> Result<()> {
    let (send, made) = std::sync::mpsc::sync_channel(DECODE_AHEAD);
    std::thread::scope(|scope| {
        // It ends when nobody takes them any more.
        let maker = scope.spawn(move || items.map(|item| send.send(item)).all(|sent| sent.is_ok()));
        let taken = made.into_iter().enumerate().try_for_each(|(n, item)| take(n, item?));
        let panicked = |_| Error::Internal("the thread that prepares frames panicked");
        maker.join().map_err(panicked)?;
        taken
    })
}

/// Fits a body to everybody.
fn fit(body: &BodyModel, seen: &mut Seen, total: usize, context: Context<'_>) -> Result<Vec<Motion>> {
    let (people, frames) = (seen.people.len() as f64, seen.cuts.len() as f64);
    let mut motions = Vec::new();
    for n in 0..seen.people.len() {
        let begun = PARTS[0] * frames + PARTS[1] * frames * n as f64 / people;
        motions.push(fit_one(body, seen, n, &mut |done| {
            context.advance(Stage::Masks, begun + PARTS[1] * done / people, total)
        })?);
    }
    Ok(motions)
}

/// Fits a body to one person, and keeps what is said of it.
pub(super) fn fit_one(
    body: &BodyModel,
    seen: &mut Seen,
    person: usize,
    advance: &mut dyn FnMut(f64) -> Result<()>,
) -> Result<Motion> {
    let options = FitOptions { focal_px: seen.focal_px, ..FitOptions::new(seen.fps as f32, seen.size) };
    let mut stopped = Ok(());
    let Seen { people, cuts, .. } = seen;
    let Person { frames, .. } = &people[person];
    let fitted = mocap::fit_watched(body, frames, cuts, &options, &mut |done| {
        stopped = advance(done);
        if stopped.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    stopped?;
    let fitted = fitted?;
    let person = &mut people[person];
    person.gaps = fitted.gaps;
    person.confidence = fitted.confidence.iter().map(|c| c.to_vec()).collect();
    person.residual_px = fitted.residual_px;
    Ok(fitted.motion)
}

/// Gives pixels to people, finds what stands in front, judges, and mends what can be mended.
fn look(
    body: &BodyModel,
    seen: &mut Seen,
    mut motions: Vec<Motion>,
    folders: &Folders,
    pictures: &SmallPictures,
    total: usize,
    context: Context<'_>,
) -> Result<Vec<Motion>> {
    let frames = seen.cuts.len() as f64;
    let (begun, whole) = ((PARTS[0] + PARTS[1]) * frames, frames);
    let mut shown = look_once(body, seen, &motions, folders, pictures, &mut |done| {
        context.advance(Stage::Masks, begun + PARTS[2] * done, total)
    })?;
    if seen.forget_phantoms() {
        folders.empty()?;
        // Once more without them; how long that takes wasn't foreseen.
        let advance = &mut |_| context.advance(Stage::Masks, whole, total);
        shown = look_once(body, seen, &motions, folders, pictures, advance)?;
    }
    for n in seen.replaced.clone() {
        if let Some(motion) = mend(body, seen, n, folders)? {
            motions[n] = motion;
        }
    }
    if seen.bars.any() {
        shown[1] = true;
        surround(seen, folders)?;
    }
    folders.finish(shown)?;
    Ok(motions)
}

/// Mattes between bars become mattes of the whole picture: nobody is in the bars, and the bars are in front of everybody.
fn surround(seen: &Seen, folders: &Folders) -> Result<()> {
    for t in 0..seen.cuts.len() {
        for (name, byte) in [(MATTES, 0), (OTHERS, 0), (IN_FRONT, 255)] {
            let path = folders.picture(name, t);
            if path.is_file() {
                save(&seen.bars.surround_matte(&open(&path)?, byte), &path)?;
            }
        }
    }
    Ok(())
}

/// Gives pixels to people and judges; says whether others and layers in front were seen at all.
fn look_once(
    body: &BodyModel,
    seen: &mut Seen,
    motions: &[Motion],
    folders: &Folders,
    pictures: &SmallPictures,
    advance: &mut dyn FnMut(f64) -> Result<()>,
) -> Result<[bool; 2]> {
    let mut preparer = Preparer::new(body, seen, motions, folders);
    let mut looks = Looks::new(seen, folders);
    let mut prepare = pictures.read()?.enumerate().map(|(n, picture)| preparer.next_frame(n, picture?));
    in_background(|to_disk| {
        ahead(&mut prepare, |n, prepared| {
            looks.next_frame(prepared, to_disk)?;
            advance((n + 1) as f64)
        })?;
        looks.finish(to_disk)
    })?;
    let Findings { checks, holding, shown } = looks.into_findings();
    for (n, (checks, holding)) in checks.into_iter().zip(holding).enumerate() {
        let person = &mut seen.people[n];
        person.holding = holding;
        person.verdicts = judge(&checks, &seen.cuts, seen.fps as f32);
        person.checks = checks;
        person.mark_lost(seen.size, &seen.cuts, seen.fps);
    }
    Ok(shown)
}

/// Says who is there, who is replaced, and what was cut.
pub(super) fn warn_of_people(seen: &Seen, who: Who, context: Context<'_>) {
    let count = seen.present().count();
    if count > 1 {
        let what = match who {
            Who::All => "all of them are replaced".to_owned(),
            Who::At { .. } => "the one at that place is replaced, the others stay".to_owned(),
            Who::One(n) => format!("person {n} is replaced, the others stay (choose with --person)"),
        };
        let listed: Vec<String> =
            seen.present().map(|(n, p)| format!("{}: {}", n + 1, p.in_view())).collect();
        context.warn(format!("{count} people are in view; {what} ({})", listed.join("; ")));
    }
    if seen.passed > 0 {
        context.warn(format!(
            "{} more were seen in so few frames, or so doubtfully, that nobody can be followed there; they stay",
            seen.passed
        ));
    }
    if seen.bars.any() {
        context.warn(format!("the picture has bars ({}): they stay as they are", seen.bars.in_words()));
    }
    let cuts = seen.cuts.iter().filter(|c| **c).count();
    if cuts > 0 {
        context.warn(format!(
            "{cuts} cut(s) in the video: each shot is taken by itself, and people are known again by their clothes"
        ));
    }
    for n in &seen.replaced {
        let holding = seen.people[*n].holding;
        if holding > 0 {
            context.warn(format!(
                "person {}: what hangs on a hand in {holding} frame(s) goes with the person; an avatar's hands are empty",
                n + 1
            ));
        }
        let mended = seen.people[*n].mended.len();
        if mended > 0 {
            context.warn(format!(
                "person {}: {mended} doubtful frame(s) were mended from their neighbours",
                n + 1
            ));
        }
    }
}
