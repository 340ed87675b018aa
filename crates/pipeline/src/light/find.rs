//! The light of a raw video, found on the person who is replaced in it.

use super::{Hole, Lights, ShotLight};
use crate::composite::{describe, gray, open_body};
use crate::job::Job;
use crate::progress::{Context, Stage};
use crate::report::StageRow;
use crate::stages::{Unit, run_stage};
use crate::work::{Fingerprint, WorkDir, read_json};
use crate::{Replaced, Result};
use avatar_render::{Camera, Mesh, MeshFrame, MeshOptions, Renderer, RendererChoice};
use image::{GrayImage, RgbImage};
use media::{ReadOptions, VideoReader};
use scene_light::{BodyParts, Footing, Ground, Probe, ShadowFrame, Soles};
use smplx::{BodyModel, Motion, MotionFrame};
use std::path::{Path, PathBuf};

/// Frames of a shot that are looked at.
const LOOKED_AT: usize = 48;
/// Frames of a shot in which a shadow is looked for.
const SHADOWED: usize = 8;
/// Places of the body that have to be seen.
const SEEN: usize = 4000;
/// Longest side of a picture in which a shadow is looked for.
const SIDE: u32 = 480;

/// Does the job look for a light in its raw video?
pub(crate) fn is_wanted(job: &Job) -> bool {
    job.light.source == crate::job::LightSource::Auto && !job.light.is_given()
}

/// The light file, where a job looks for one in its raw video: made, or found in the work folder.
///
/// # Errors
/// When a file can't be read or the work folder not be written.
fn find(job: &Job, found: &Replaced, context: Context<'_>) -> Result<Option<(PathBuf, StageRow)>> {
    let (Some(replace), Some(masks), Some(motion), true) =
        (&job.replace, &found.masks, &found.motion, is_wanted(job))
    else {
        return Ok(None);
    };
    let size = VideoReader::open(&replace.video)?.info().size();
    let hole = Hole { masks: masks.clone(), level: replace.mask_level(), grow_px: replace.grow_px_at(size) };
    let body = job.input.body.as_deref().map(Fingerprint::of_path).transpose()?;
    let key = Fingerprint::of(&(
        Fingerprint::of_path(&replace.video)?,
        Fingerprint::of_path(masks)?,
        Fingerprint::of_path(motion)?,
        body,
        &hole,
        replace.shadow > 0.0,
    ))?;
    let work = WorkDir::of(job)?;
    let frames = VideoReader::open(&replace.video)?.info().frames.unwrap_or(0);
    let (folder, row) = run_stage(&work, context, Unit::whole(Stage::Light, frames), &key, |part| {
        let model = open_body(job.input.body.as_deref())?;
        let seen = look(&replace.video, masks, motion, &model, frames, context)?;
        let mut shots = seen.into_iter().map(|shot| shot.light(&model, replace.shadow > 0.0));
        let shots = shots.by_ref().collect::<Result<Vec<_>>>()?;
        for shot in &shots {
            if shot.light.is_none() {
                context.warn(format!(
                    "the light of the shot that begins with frame {} can't be told from the person: the background's colours are taken",
                    shot.start
                ));
            }
        }
        Lights { shots, hole: Some(hole.clone()) }.write(&part.join("light.json"))
    })?;
    Ok(Some((folder.join("light.json"), row)))
}

/// Puts the light that a job looks for in its raw video into the job. Gives what that took.
///
/// # Errors
/// As [`find`].
pub(crate) fn fill(job: &mut Job, found: &Replaced, context: Context<'_>) -> Result<Option<StageRow>> {
    Ok(find(job, found, context)?.map(|(path, row)| {
        job.light.file = Some(path);
        row
    }))
}

/// What was seen of a shot.
struct Shot {
    start: usize,
    probe: Probe,
    up: [f32; 3],
    grounds: Vec<Ground>,
    /// Some of its frames, small.
    pictures: Vec<Small>,
}

/// A frame in which a shadow is looked for.
struct Small {
    picture: RgbImage,
    matte: GrayImage,
    body: Vec<[f32; 3]>,
    camera: smplx::Camera,
    /// Its number within the shot.
    within: usize,
}

fn look(
    video: &Path,
    masks: &Path,
    motion: &Path,
    model: &BodyModel,
    total: usize,
    context: Context<'_>,
) -> Result<Vec<Shot>> {
    let reader = VideoReader::open(video)?;
    let rate = reader.info().frame_rate.as_f64();
    let (w, h) = reader.info().size();
    let motion = Motion::open(motion, rate as f32)?;
    let mut mattes = VideoReader::open_with(masks, &ReadOptions { matte: true, ..ReadOptions::default() })?;
    let starts = shot_starts(masks, motion.len());
    let parts = BodyParts::new(model)?;
    let mut renderer = Renderer::new(RendererChoice::Cpu)?;
    let mut mesh = MeshFrame::new();
    let mut shots = Vec::new();
    for (i, start) in starts.iter().enumerate() {
        let end = starts.get(i + 1).copied().unwrap_or(motion.len());
        let footings =
            motion.frames[*start..end].iter().map(|f| footing(model, f)).collect::<Result<Vec<_>>>()?;
        let grounds = Ground::track(&footings);
        let up = grounds.get(grounds.len() / 2).map_or(scene_light::UP, |g| g.normal);
        shots.push(Shot { start: *start, probe: Probe::new(), up, grounds, pictures: Vec::new() });
    }
    for (n, picture) in reader.enumerate() {
        let picture = picture?;
        let Some(matte) = mattes.next().transpose()? else { break };
        let (Some(frame), Some(at)) = (motion.frames.get(n), starts.iter().rposition(|s| *s <= n)) else {
            break;
        };
        let length = starts.get(at + 1).copied().unwrap_or(motion.len()) - starts[at];
        let within = n - starts[at];
        context.advance(Stage::Light, (n + 1) as f64, total)?;
        if !within.is_multiple_of(length.div_ceil(LOOKED_AT).max(1)) {
            continue;
        }
        let Some(camera) = frame.camera else { continue };
        let camera = if camera.size_px == [w, h] { camera } else { camera.resized([w, h]) };
        let matte = gray(&if matte.dimensions() == (w, h) {
            matte
        } else {
            bg_mask::resize(&matte, w, h, bg_mask::resample::Filter::Bilinear)?
        });
        if matte.iter().all(|m| *m == 0) {
            continue;
        }
        let mut pose = Default::default();
        let posed = model.forward(&with_pose(frame, &mut pose))?;
        let view = Camera::new(&camera, &smplx::AFFINE_IDENTITY)?;
        let body = Mesh { vertices: &posed.vertices, faces: model.faces() };
        renderer.mesh(&body, &view, &MeshOptions::default(), &mut mesh)?;
        let shot = &mut shots[at];
        let half = usize::from(2 * within >= length);
        shot.probe.add(&picture, &matte, (&parts, &posed.vertices), mesh.depth(), &camera, half)?;
        if within.is_multiple_of(length.div_ceil(SHADOWED).max(1)) || length < SHADOWED {
            let scale = (f64::from(SIDE) / f64::from(w.max(h))).min(1.0);
            let small = [w, h].map(|n| ((f64::from(n) * scale) as u32).max(2));
            let filter = bg_mask::resample::Filter::Bilinear;
            let picture = bg_mask::resize(&picture, small[0], small[1], filter)?;
            let matte = crate::composite::gray_to_rgb(&matte);
            let matte = gray(&bg_mask::resize(&matte, small[0], small[1], filter)?);
            let camera = camera.resized(small);
            shot.pictures.push(Small { picture, matte, body: posed.vertices, camera, within });
        }
    }
    Ok(shots)
}

fn with_pose<'a>(frame: &'a MotionFrame, pose: &'a mut Pose) -> smplx::Frame<'a> {
    frame.as_frame(&mut pose.0)
}

/// The buffer of a frame's rotations.
struct Pose([[f32; 3]; smplx::N_JOINTS]);

impl Default for Pose {
    fn default() -> Self {
        Self([[0.0; 3]; smplx::N_JOINTS])
    }
}

fn footing(model: &BodyModel, frame: &MotionFrame) -> Result<Footing> {
    let mut pose = Pose::default();
    let betas = frame.betas.clone();
    let joints = model.joints(&with_pose(frame, &mut pose))?;
    let soles = Soles::new(model, &betas)?.posed(&joints, frame.translation);
    let feet: [f32; 3] = std::array::from_fn(|k| 0.5 * (joints.positions[7][k] + joints.positions[8][k]));
    Ok(Footing { soles, upright: std::array::from_fn(|k| joints.positions[12][k] - feet[k]) })
}

/// The first frames of the shots, as the masks' stage noted them; one shot where nothing is noted.
fn shot_starts(masks: &Path, frames: usize) -> Vec<usize> {
    let noted: Option<serde_json::Value> = read_json(&masks.with_file_name("people.json")).ok();
    let cuts = noted.as_ref().and_then(|n| n["cuts"].as_array()).map_or(&[][..], Vec::as_slice);
    let starts =
        cuts.iter().enumerate().filter(|(n, cut)| *n > 0 && *n < frames && cut.as_bool() == Some(true));
    std::iter::once(0).chain(starts.map(|(n, _)| n)).collect()
}

impl Shot {
    /// The shot's light. The person's own shadow is looked for unless the background was made without it.
    fn light(self, model: &BodyModel, shadow_is_gone: bool) -> Result<ShotLight> {
        let mut notes = Vec::new();
        let mut add = |name: &str, value: String| notes.push((name.to_owned(), value));
        let probed = self.probe.solve();
        let mut light = match &probed {
            Ok(found) => {
                add("places of the body that were seen", found.seen.to_string());
                add("directions in both halves of the shot agree by", format!("{:.2}", found.agreement));
                (found.seen >= SEEN && found.is_sure()).then(|| found.light(self.up))
            }
            Err(why) => {
                add("light", why.to_string());
                None
            }
        };
        let mut own_shadow = false;
        if let Some(found) = &light {
            let frames: Vec<ShadowFrame<'_>> = self
                .pictures
                .iter()
                .map(|small| ShadowFrame {
                    picture: &small.picture,
                    matte: &small.matte,
                    body: &small.body,
                    camera: &small.camera,
                    ground: self.grounds[small.within],
                })
                .collect();
            let seen = scene_light::find_shadow(&frames, model.faces(), found, self.up)?;
            own_shadow = seen.is_some() && !shadow_is_gone;
            let value = match &seen {
                Some(s) => format!(
                    "found, {:.0} % darker than beside it: {}",
                    100.0 * (1.0 - s.darker),
                    if own_shadow { "kept" } else { "taken out of the background" }
                ),
                None => "not found".to_owned(),
            };
            add("the person's own shadow", value);
            light = seen.map(|s| s.correct(found, self.up)).or(light);
        }
        if let Some(sun) = light.and_then(|l| l.sun) {
            add("sun in this shot", describe(sun.toward, self.up));
        }
        let person = light.and(probed.ok()).map(|p| p.level);
        Ok(ShotLight { start: self.start, light, person, absolute: false, own_shadow, notes })
    }
}
