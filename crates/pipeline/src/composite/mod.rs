//! The avatar-background video: avatars, motion and background, frame by frame.
//!
//! Ported from `run_pipeline.py` of the AniCrafter repository (the loop "Rendering Avatar"): the background is resized to
//! the video's size, the avatar rendered at the motion's own picture size with its camera, and blended.

mod actor;
mod footage;
mod geometry;
mod layers;
mod lighting;
mod picture;

pub(crate) use lighting::describe;
pub use picture::{gray, gray_to_rgb};

use crate::job::Job;
use crate::job::check::no_background;
use crate::{Error, Result, Stage};
use actor::Actors;
use avatar_render::{Camera, Frame, Mesh, MeshFrame, MeshOptions, Renderer, RendererChoice, SplatOptions};
use bg_mask::resample::Filter;
pub(crate) use footage::Footage;
use geometry::{Geometry, Sizes};
use image::{GrayImage, RgbImage};
use layers::{CanvasAlpha, Cover, Layers, Shadows};
use lighting::Lighting;
use media::{Clock, FrameRate};
use picture::{in_front, resized};
use smplx::{BodyModel, Rotations};
use std::path::Path;

/// One frame of the condition.
#[derive(Clone, Debug)]
pub struct CompositeFrame {
    /// The background at the video's size.
    pub plate: RgbImage,
    /// The avatar over it.
    pub blend: RgbImage,
    /// The body on exact black.
    pub mesh: RgbImage,
    /// White on the avatar and the body.
    pub mask: GrayImage,
}

/// Makes the condition frames, in order.
pub struct Compositor {
    body: BodyModel,
    actors: Actors,
    renderer: Renderer,
    mesh: MeshFrame,
    background: Footage,
    mesh_video: Option<Footage>,
    occluders: Vec<Footage>,
    layers: Layers,
    lighting: Option<Lighting>,
    alpha: CanvasAlpha,
    hole: Option<(crate::light::Hole, Footage)>,
    geometry: Geometry,
    clock: Clock,
    next: usize,
    frames: usize,
    /// What is to be said of the inputs.
    said: Vec<String>,
}

impl std::fmt::Debug for Compositor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compositor")
            .field("frames", &self.frames)
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

/// A frame's number, its sizes, its camera and what is behind the avatars.
struct At {
    index: usize,
    sizes: Sizes,
    camera: smplx::Camera,
    /// Of the canvas's size.
    plate: RgbImage,
}

impl Compositor {
    /// Opens everything a job names.
    ///
    /// # Errors
    /// When the job says nothing that can be composed, a file can't be read, an avatar carries no body data, or a motion
    /// has no camera.
    pub fn open(job: &Job, renderer: RendererChoice) -> Result<Self> {
        job.validate_composite()?;
        if job.input.background.as_os_str().is_empty() {
            return Err(no_background());
        }
        let body = open_body(job.input.body.as_deref())?;
        let background = Footage::open(&job.input.background)?;
        let mut video = background.info().clone();
        let mut said = Vec::new();
        // One clock for all: the background's. Pictures have none, and take the motion's.
        let timed = !video.still && !job.input.background.is_dir();
        let own = timed.then_some(video.frame_rate);
        let (actors, rate) = Actors::open(job, &body, own, &video, &mut said)?;
        video.frame_rate = rate;
        let mesh_video =
            job.input.mesh_video.as_deref().map(|p| Footage::beside(p, &video, false)).transpose()?;
        let occluders = job.input.occluders.iter().map(|p| Footage::beside(p, &video, true));
        let occluders = occluders.collect::<Result<Vec<_>>>()?;
        let beside = mesh_video.iter().chain(&occluders).map(Footage::len);
        let ends = [background.len(), job.input.end].into_iter().chain(beside).flatten();
        let end = ends.fold(actors.frames(), usize::min);
        let start = job.input.start;
        let asked = job.video.fps.filter(|fps| *fps > 0.0).map(crate::frame_rate).transpose()?;
        let clock = Clock::new(rate, start, job.input.stride, asked);
        if start >= end {
            let what =
                format!("nothing is left: the inputs have {end} frames and the start is frame {start}");
            return Err(Error::Missing { stage: Stage::Composite, what });
        }
        let lighting = Lighting::open(job, &body, &actors)?;
        let hole = lighting.as_ref().and_then(Lighting::hole).cloned();
        let hole =
            hole.map(|hole| Ok::<_, Error>((hole.clone(), Footage::beside(&hole.masks, &video, true)?)));
        Ok(Self {
            body,
            actors,
            renderer: Renderer::new(renderer)?,
            mesh: MeshFrame::new(),
            background,
            mesh_video,
            occluders,
            layers: Layers::new(&job.video, job.light.edges())?,
            lighting,
            alpha: CanvasAlpha::default(),
            hole: hole.transpose()?,
            geometry: Geometry::new(&job.video, video.size()),
            clock,
            next: 0,
            frames: clock.frames(end),
            said,
        })
    }

    /// Number of frames of the video.
    #[must_use]
    pub fn len(&self) -> usize {
        self.frames
    }

    /// Is there no frame?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames == 0
    }

    /// Frames a second of the video.
    #[must_use]
    pub fn fps(&self) -> f64 {
        self.clock.rate().as_f64()
    }

    /// Frames a second of the video, as a fraction.
    #[must_use]
    pub fn rate(&self) -> FrameRate {
        self.clock.rate()
    }

    /// Passes on what there is to say of the inputs: frames that were lost, rates that were changed.
    pub fn tell_warnings(&mut self, context: crate::Context<'_>) {
        self.said.drain(..).for_each(|text| context.warn(text));
        let footage = [&self.background].into_iter().chain(&self.mesh_video).chain(&self.occluders);
        footage.for_each(|footage| crate::finish::warn_of(footage.warnings(), context));
    }

    /// Width and height of the video in pixels.
    #[must_use]
    pub fn size(&self) -> (u32, u32) {
        self.geometry.video()
    }

    /// What renders the avatar.
    #[must_use]
    pub fn renderer(&self) -> String {
        self.renderer.name()
    }

    /// The first avatar from the front, on white: stands in for a character picture.
    ///
    /// # Errors
    /// When rendering fails.
    pub fn portrait(&mut self, width: u32, height: u32) -> Result<RgbImage> {
        let actor = &mut self.actors.first;
        let rest = [[0.0; 3]; smplx::N_JOINTS];
        // The body's own axes are x left, y up, z forward; half a turn about x makes them the camera's.
        let mut pose = rest;
        pose[0] = [std::f32::consts::PI, 0.0, 0.0];
        let focal = height as f32 * 1.6;
        // The pelvis lies 0.35 below the origin in the body's axes, and comes to lie a little above the middle.
        actor.pose(&self.body, &pose, [0.0, 0.27, 3.5])?;
        let camera = Camera::pinhole(
            [width as usize, height as usize],
            [focal; 2],
            [width as f32 / 2.0, height as f32 / 2.0],
            &smplx::AFFINE_IDENTITY,
        )?;
        let options = SplatOptions { background: [1.0; 3], ..SplatOptions::default() };
        let mut splats = Frame::new();
        self.renderer.splat(&actor.gaussians, &camera, &options, &mut splats)?;
        RgbImage::from_raw(width, height, splats.to_rgb8())
            .ok_or(Error::Internal("a render of the wrong size"))
    }

    /// Which of the background's frames is behind a frame of the video.
    #[must_use]
    pub fn source_frame(&self, frame: usize) -> usize {
        self.clock.frame(frame)
    }

    /// Passes over `frames` frames without rendering them. A light that is matched starts where frames are made.
    pub fn skip(&mut self, frames: usize) {
        self.next = self.frames.min(self.next + frames);
    }

    /// The next frame, or `None` after the last.
    ///
    /// # Errors
    /// When an input ends early or can't be decoded, or a frame can't be rendered.
    pub fn next_frame(&mut self) -> Result<Option<CompositeFrame>> {
        let Some(at) = self.advance()? else { return Ok(None) };
        let mesh = self.mesh_frame(&at)?;
        let mut cover = Cover::default();
        let blend = self.blend(&at, &mut cover)?;
        let mask = bg_mask::union(cover.of(&self.actors, at.sizes)?, &bg_mask::person_mask(&mesh))?;
        let frame = CompositeFrame {
            plate: self.geometry.fitted(at.plate)?,
            blend: self.geometry.fitted(blend)?,
            mesh: self.geometry.fitted(mesh)?,
            mask: self.geometry.fitted_mask(mask)?,
        };
        Ok(Some(self.occlude(at.index, frame)?))
    }

    /// The next frame's blend alone: as [`Compositor::next_frame`], without rendering what nobody looks at.
    ///
    /// # Errors
    /// As [`Compositor::next_frame`].
    pub fn next_blend(&mut self) -> Result<Option<RgbImage>> {
        let Some(at) = self.advance()? else { return Ok(None) };
        let blend = self.blend(&at, &mut Cover::default())?;
        let mut blend = self.geometry.fitted(blend)?;
        if !self.occluders.is_empty() {
            let plate = self.geometry.fitted(at.plate)?;
            for occluder in &mut self.occluders {
                let matte = occluder.matte(at.index, plate.dimensions())?;
                blend = in_front(&blend, &matte, &plate)?;
            }
        }
        Ok(Some(blend))
    }

    /// Reads the next frame's background and camera; None after the last.
    fn advance(&mut self) -> Result<Option<At>> {
        if self.next == self.frames {
            return Ok(None);
        }
        let index = self.clock.frame(self.next);
        let Some(raw) = self.background.frame(index)? else {
            // Fewer frames than its header promised: the shorter input ends the video.
            self.said.push(format!(
                "the background ends early: the video has {} of {} frames",
                self.next, self.frames
            ));
            self.frames = self.next;
            return if self.next > 0 { Ok(None) } else { Err(nothing_left(index)) };
        };
        self.next += 1;
        let camera = self.actors.camera(index)?;
        let sizes = self.geometry.sizes(camera.size_px);
        Ok(Some(At { index, sizes, camera, plate: resized(raw, sizes.canvas)? }))
    }

    /// The avatars over the plate, at the canvas's size.
    fn blend(&mut self, at: &At, cover: &mut Cover) -> Result<RgbImage> {
        let view = view(&at.camera, at.sizes.render)?;
        for actor in self.actors.iter_mut() {
            actor.pose_at(&self.body, at.index)?;
        }
        if let Some(lighting) = &mut self.lighting {
            // What they cover is taken from the frame before: nothing that counts changes from one to the next.
            if self.actors.iter().any(|actor| actor.splats.width() == 0) {
                splat(&mut self.renderer, &mut self.actors, &view)?;
            }
            if !self.alpha.is_of(at.sizes.canvas) {
                self.alpha.update(&self.actors, at.sizes);
            }
            let seen = (&at.plate, self.alpha.values());
            lighting.shade(&mut self.actors, &mut self.renderer, at.index, seen)?;
        }
        splat(&mut self.renderer, &mut self.actors, &view)?;
        if self.lighting.is_some() || self.layers.edges() {
            self.alpha.update(&self.actors, at.sizes);
        }
        let place = self.shadow_place(at)?;
        let camera = at.camera.resized(at.sizes.canvas);
        let shadows = self.lighting.as_ref().map(|lighting| Shadows {
            lighting,
            camera: &camera,
            frame: at.index,
            place: place.as_ref(),
        });
        self.layers.over((&self.actors, &self.alpha), &at.plate, at.sizes, cover, shadows)
    }

    /// Where the sun's shadow counts: where the background was filled in, if it shows the shadow of who was there; `None` for
    /// everywhere.
    fn shadow_place(&mut self, at: &At) -> Result<Option<GrayImage>> {
        let keeps = self.lighting.as_ref().is_some_and(|lighting| lighting.keeps_own_shadow(at.index));
        let Some((hole, masks)) = self.hole.as_mut().filter(|_| keeps) else { return Ok(None) };
        let [w, h] = at.sizes.canvas;
        let matte = masks.matte(at.index, (w, h))?;
        let white = bg_mask::mask_from_bytes(
            w,
            h,
            matte.iter().map(|m| if *m >= hole.level { 255 } else { 0 }).collect(),
        )?;
        let soft = hole.grow_px / 3.0;
        Ok(Some(bg_mask::grow(&white, hole.grow_px - soft, 2.0 * soft)?))
    }

    /// What is known of the light and the shadow, in words: name and value.
    #[must_use]
    pub fn light_notes(&self) -> Vec<(String, String)> {
        let mut notes = self.lighting.as_ref().map(Lighting::notes).unwrap_or_default();
        if self.layers.edges() {
            notes.push(("edges".to_owned(), "the background's blur and grain".to_owned()));
        }
        notes
    }

    /// The body on black at the canvas's size: read where a video is given, else rendered, all actors together.
    fn mesh_frame(&mut self, at: &At) -> Result<RgbImage> {
        let [w, h] = at.sizes.canvas;
        if let Some(video) = &mut self.mesh_video {
            let frame = video.needed(at.index)?;
            return Ok(bg_mask::resize(&frame, w, h, Filter::Lanczos)?);
        }
        let (mut vertices, mut faces) = (Vec::new(), Vec::new());
        for actor in self.actors.iter() {
            let frame = actor.frame(at.index)?;
            let pose = frame.pose.full();
            let Some(betas) = actor.betas() else { continue };
            let posed = self.body.forward(&smplx::Frame {
                betas,
                expression: &[],
                rotations: Rotations::AxisAngle(&pose),
                translation: frame.translation,
            })?;
            let offset = vertices.len() as u32;
            vertices.extend(posed.vertices);
            faces.extend(self.body.faces().iter().map(|f| f.map(|v| v + offset)));
        }
        let mesh = Mesh { vertices: &vertices, faces: &faces };
        let view = view(&at.camera, at.sizes.canvas)?;
        self.renderer.mesh(&mesh, &view, &MeshOptions::default(), &mut self.mesh)?;
        RgbImage::from_raw(w, h, self.mesh.rgb8().to_vec())
            .ok_or(Error::Internal("a render of the wrong size"))
    }

    /// Puts what stays in front back over the person.
    fn occlude(&mut self, index: usize, mut frame: CompositeFrame) -> Result<CompositeFrame> {
        for occluder in &mut self.occluders {
            let matte = occluder.matte(index, frame.plate.dimensions())?;
            frame.blend = in_front(&frame.blend, &matte, &frame.plate)?;
            for ((mask, mesh), matte) in
                frame.mask.pixels_mut().zip(frame.mesh.pixels_mut()).zip(matte.pixels())
            {
                if matte[0] >= 128 {
                    mask.0 = [0];
                    mesh.0 = [0; 3];
                }
            }
        }
        Ok(frame)
    }
}

/// Renders all actors as they are posed.
fn splat(renderer: &mut Renderer, actors: &mut Actors, view: &Camera) -> Result<()> {
    for actor in actors.iter_mut() {
        renderer.splat(&actor.gaussians, view, &SplatOptions::default(), &mut actor.splats)?;
    }
    Ok(())
}

fn nothing_left(index: usize) -> Error {
    let what = format!("nothing is left: the background ends before frame {index}");
    Error::Missing { stage: Stage::Composite, what }
}

/// The motion's camera at a size.
fn view(camera: &smplx::Camera, size: [u32; 2]) -> Result<Camera> {
    let camera = if camera.size_px == size { *camera } else { camera.resized(size) };
    Ok(Camera::new(&camera, &smplx::AFFINE_IDENTITY)?)
}

/// The body of a file, or the embedded one.
///
/// # Errors
/// When the file can't be read or isn't a body.
pub fn open_body(path: Option<&Path>) -> Result<BodyModel> {
    Ok(match path {
        Some(path) => BodyModel::open(path)?,
        None => BodyModel::from_bytes(anicrafter_assets::BODY.to_vec())?,
    })
}
