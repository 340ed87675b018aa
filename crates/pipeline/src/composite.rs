//! The avatar-background video: avatars, motion and background, frame by frame.
//!
//! Ported from `run_pipeline.py` of the AniCrafter repository (the loop "Rendering Avatar"): the background is resized to
//! the video's size, the avatar rendered at the motion's own picture size with its camera, and blended.

use crate::job::{Blend, Fit, Job};
use crate::{Error, Result};
use avatar_render::{
    Avatar, Camera, Frame, Gaussians, Mesh, MeshFrame, MeshOptions, Renderer, RendererChoice, SplatOptions,
};
use bg_mask::resample::Filter;
use bg_mask::{ContactShadow, Layout, LightMatch, LightOptions, Occluder, Render};
use image::{GrayImage, RgbImage};
use media::VideoReader;
use smplx::{
    BodyModel, Gaps, Motion, MotionFrame, PointBinding, PointFrame, PointSkin, PosedPoints, Retarget,
    Rotations,
};
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

/// One avatar with its motion, ready to be posed.
struct Actor {
    avatar: Avatar,
    skin: PointSkin,
    betas: Vec<f32>,
    motion: Motion,
    posed: PosedPoints,
    gaussians: Gaussians,
    /// The last frame's render.
    splats: Frame,
}

/// Makes the condition frames, in order.
pub struct Compositor {
    body: BodyModel,
    actors: Vec<Actor>,
    renderer: Renderer,
    mesh: MeshFrame,
    background: Source,
    mesh_video: Option<Source>,
    occluders: Vec<Source>,
    light: Option<LightMatch>,
    settings: Settings,
    next: usize,
    frames: usize,
    fps: f64,
}

struct Settings {
    width: u32,
    height: u32,
    fit: Fit,
    blend: Blend,
    contact_shadow: bool,
    start: usize,
    stride: usize,
}

impl std::fmt::Debug for Compositor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compositor")
            .field("frames", &self.frames)
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

/// Pictures of which every `stride`-th is taken from `start` on.
struct Source {
    reader: media::Prefetch,
    at: usize,
    what: &'static str,
}

/// Frames decoded ahead of the renderer.
const DECODE_AHEAD: usize = 4;

impl Source {
    fn open(path: &Path, what: &'static str) -> Result<Self> {
        Ok(Self { reader: VideoReader::open(path)?.prefetch(DECODE_AHEAD), at: 0, what })
    }

    /// Frame `index` of the file; frames before it are passed over.
    fn frame(&mut self, index: usize) -> Result<RgbImage> {
        loop {
            let frame = self.reader.next().transpose()?.ok_or_else(|| Error::Mismatch {
                what: self.what,
                a: format!("{} frames", self.at),
                b: format!("frame {index} is needed"),
            })?;
            self.at += 1;
            if self.at == index + 1 {
                return Ok(frame);
            }
        }
    }
}

impl Source {
    /// Frame `index` as a matte of another size.
    fn matte(&mut self, index: usize, (w, h): (u32, u32)) -> Result<GrayImage> {
        Ok(gray(&bg_mask::resize(&self.frame(index)?, w, h, Filter::Bilinear)?))
    }
}

/// A frame's number, what it is seen through and what is behind the avatars.
struct At {
    index: usize,
    view: Camera,
    plate: RgbImage,
}

impl Compositor {
    /// Opens everything a job names.
    ///
    /// # Errors
    /// When a file can't be read, an avatar carries no body data, or a motion has no camera.
    pub fn open(job: &Job, renderer: RendererChoice) -> Result<Self> {
        let body = open_body(job.input.body.as_deref())?;
        let background = Source::open(&job.input.background, "background")?;
        let info = background.reader.info();
        let (fps, length) = (info.frame_rate.as_f64(), info.frames);
        let own_body = job.input.body.is_some();
        let mut actors = Vec::new();
        for actor in &job.input.actors {
            let motion = read_motion(&actor.motion, fps as f32)?;
            let first = motion.frames.first().ok_or(Error::Internal("a motion without frames"))?;
            if first.camera.is_none() {
                let what =
                    format!("{} has no camera: add focal, princpt and img_size_wh", actor.motion.display());
                return Err(Error::Missing { stage: crate::Stage::Composite, what });
            }
            actors.push(Actor::new(&body, Avatar::open(&actor.avatar)?, motion, own_body)?);
        }
        let mesh_video =
            job.input.mesh_video.as_deref().map(|p| Source::open(p, "mesh video")).transpose()?;
        let occluders =
            job.input.occluders.iter().map(|p| Source::open(p, "occluder")).collect::<Result<Vec<_>>>()?;
        let end = actors.iter().map(|a| a.motion.len()).chain(length).chain(job.input.end).min().unwrap_or(0);
        let (start, stride) = (job.input.start, job.input.stride.max(1));
        if start >= end {
            let what =
                format!("nothing is left: the inputs have {end} frames and the start is frame {start}");
            return Err(Error::Missing { stage: crate::Stage::Composite, what });
        }
        let light = job.video.match_light.then(|| LightMatch::new(LightOptions::default())).transpose()?;
        Ok(Self {
            body,
            actors,
            renderer: Renderer::new(renderer)?,
            mesh: MeshFrame::new(),
            background,
            mesh_video,
            occluders,
            light,
            settings: Settings {
                width: job.video.width,
                height: job.video.height,
                fit: job.video.fit,
                blend: job.video.blend,
                contact_shadow: job.video.contact_shadow,
                start,
                stride,
            },
            next: 0,
            frames: (end - start).div_ceil(stride),
            fps: job.video.fps.unwrap_or(fps / stride as f64),
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
        self.fps
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
        let actor = self.actors.first_mut().ok_or(Error::Internal("a job without an actor"))?;
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

    /// The next frame, or `None` after the last.
    ///
    /// # Errors
    /// When an input ends early or can't be decoded, or a frame can't be rendered.
    pub fn next_frame(&mut self) -> Result<Option<CompositeFrame>> {
        let Some(at) = self.advance()? else { return Ok(None) };
        let mesh = self.mesh_frame(at.index, &at.view)?;
        let (blend, mask) = self.blend(&at, true)?;
        let (w, h, fit) = (self.settings.width, self.settings.height, self.settings.fit);
        let size = at.plate.dimensions();
        let mask = bg_mask::union(
            &fit_mask(mask.ok_or(Error::Internal("a mask that wasn't made"))?, size)?,
            &fit_mask(bg_mask::person_mask(&mesh), size)?,
        )?;
        let frame = CompositeFrame {
            plate: fitted(at.plate, w, h, fit)?,
            blend: fitted(blend, w, h, fit)?,
            mesh: fitted(mesh, w, h, fit)?,
            mask: if size == (w, h) { mask } else { gray(&fitted(gray_to_rgb(&mask), w, h, fit)?) },
        };
        Ok(Some(self.occlude(at.index, frame)?))
    }

    /// The next frame's blend alone: as [`Compositor::next_frame`], without rendering what nobody looks at.
    ///
    /// # Errors
    /// As [`Compositor::next_frame`].
    pub fn next_blend(&mut self) -> Result<Option<RgbImage>> {
        let Some(at) = self.advance()? else { return Ok(None) };
        let (blend, _) = self.blend(&at, false)?;
        let (w, h, fit) = (self.settings.width, self.settings.height, self.settings.fit);
        let mut blend = fitted(blend, w, h, fit)?;
        if !self.occluders.is_empty() {
            let plate = fitted(at.plate, w, h, fit)?;
            for occluder in &mut self.occluders {
                let matte = occluder.matte(at.index, (w, h))?;
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
        let index = self.settings.start + self.next * self.settings.stride;
        self.next += 1;
        let raw = self.background.frame(index)?;
        let camera = self.actors[0].motion.frames[index].camera.ok_or_else(|| no_camera(index))?;
        let render_size = self.render_size(&camera);
        let camera = if render_size == camera.size_px { camera } else { camera.resized(render_size) };
        let view = Camera::new(&camera, &smplx::AFFINE_IDENTITY)?;
        // The plate at the size that the blend gives back.
        let [w, h] = match self.settings.fit {
            Fit::Stretch => [self.settings.width, self.settings.height],
            Fit::Crop | Fit::Pad => render_size,
        };
        Ok(Some(At { index, view, plate: resized(raw, w, h)? }))
    }

    /// The reference renders at the motion's own size; where that isn't asked for, at the video's.
    fn render_size(&self, camera: &smplx::Camera) -> [u32; 2] {
        match (self.settings.fit, self.settings.blend) {
            (Fit::Stretch, Blend::Over) => [self.settings.width, self.settings.height],
            _ => camera.size_px,
        }
    }

    /// The avatars over the plate, and their mask at the render's size where it is wanted.
    fn blend(&mut self, at: &At, with_mask: bool) -> Result<(RgbImage, Option<GrayImage>)> {
        let size = (at.view.width() as u32, at.view.height() as u32);
        for actor in &mut self.actors {
            let frame = &actor.motion.frames[at.index];
            let (pose, translation) = (frame.pose.full(), frame.translation);
            actor.pose(&self.body, &pose, translation)?;
            self.renderer.splat(&actor.gaussians, &at.view, &SplatOptions::default(), &mut actor.splats)?;
        }
        let alpha_of = |splats: &Frame| -> Result<GrayImage> {
            Ok(bg_mask::alpha_mask(&Render::new(size, splats.color(), Layout::Interleaved, splats.alpha())?))
        };
        let mut mask = None;
        if with_mask || self.light.is_some() || self.settings.contact_shadow {
            let mut all = GrayImage::new(size.0, size.1);
            for actor in &self.actors {
                all = bg_mask::union(&all, &alpha_of(&actor.splats)?)?;
            }
            mask = Some(all);
        }
        let on_plate = |mask: &Option<GrayImage>| {
            let mask = mask.clone().ok_or(Error::Internal("a mask that wasn't made"))?;
            fit_mask(mask, at.plate.dimensions())
        };
        // Colours that differ from the render's own.
        let mut lit: Vec<Vec<f32>> = Vec::new();
        if let Some(light) = &mut self.light {
            let gains = light.update(&at.plate, &on_plate(&mask)?)?;
            for actor in &self.actors {
                let mut color = actor.splats.color().to_vec();
                bg_mask::apply_gains(&mut color, actor.splats.alpha(), gains)?;
                lit.push(color);
            }
        }
        let mut plate = at.plate.clone();
        if self.settings.contact_shadow {
            let on_plate = on_plate(&mask)?;
            let contacts = bg_mask::contacts_of(&on_plate, (plate.width() * plate.height() / 2000) as usize);
            bg_mask::cast_contact_shadow(&mut plate, &contacts, &ContactShadow::default())?;
        }
        let depths: Vec<Vec<f32>> = match self.actors.as_slice() {
            [_] => Vec::new(),
            several => several.iter().map(|a| a.splats.mean_depth()).collect(),
        };
        let mut renders = Vec::with_capacity(self.actors.len());
        for (i, actor) in self.actors.iter().enumerate() {
            let color = lit.get(i).map_or(actor.splats.color(), Vec::as_slice);
            let render = Render::new(size, color, Layout::Interleaved, actor.splats.alpha())?;
            renders.push(match depths.get(i) {
                Some(depth) => render.with_depth(depth)?,
                None => render,
            });
        }
        let blended = match (self.settings.blend, renders.as_slice()) {
            (Blend::Reference, [render]) => bg_mask::reference_blend(render, &plate)?,
            (Blend::Reference, _) => {
                let why = "the reference's blend takes one avatar; set it to \"over\" for several".to_owned();
                return Err(Error::Option { option: "video.blend", why });
            }
            (Blend::Over, renders) => {
                let mut plate = resized(plate, size.0, size.1)?;
                if let [render] = renders {
                    bg_mask::over_in_place(render, &mut plate)?;
                    plate
                } else {
                    bg_mask::composite_layers(&plate, renders, &[])?
                }
            }
        };
        Ok((blended, mask))
    }

    /// The body on black: read where a video is given, else rendered, all actors together.
    fn mesh_frame(&mut self, index: usize, view: &Camera) -> Result<RgbImage> {
        let (w, h) = (self.settings.width, self.settings.height);
        if let Some(video) = &mut self.mesh_video {
            let frame = video.frame(index)?;
            let (w, h) = if self.settings.fit == Fit::Stretch {
                (w, h)
            } else {
                (view.width() as u32, view.height() as u32)
            };
            return Ok(bg_mask::resize(&frame, w, h, Filter::Lanczos)?);
        }
        let camera = self.actors[0].motion.frames[index].camera.ok_or_else(|| no_camera(index))?;
        let size = if self.settings.fit == Fit::Stretch {
            [w, h]
        } else {
            [view.width() as u32, view.height() as u32]
        };
        let camera = if camera.size_px == size { camera } else { camera.resized(size) };
        let view = Camera::new(&camera, &smplx::AFFINE_IDENTITY)?;
        let (mut vertices, mut faces) = (Vec::new(), Vec::new());
        for actor in &self.actors {
            let frame = &actor.motion.frames[index];
            let pose = frame.pose.full();
            let posed = self.body.forward(&smplx::Frame {
                betas: &actor.betas,
                expression: &[],
                rotations: Rotations::AxisAngle(&pose),
                translation: frame.translation,
            })?;
            let offset = vertices.len() as u32;
            vertices.extend(posed.vertices);
            faces.extend(self.body.faces().iter().map(|f| f.map(|v| v + offset)));
        }
        let mesh = Mesh { vertices: &vertices, faces: &faces };
        self.renderer.mesh(&mesh, &view, &MeshOptions::default(), &mut self.mesh)?;
        RgbImage::from_raw(size[0], size[1], self.mesh.rgb8().to_vec())
            .ok_or(Error::Internal("a render of the wrong size"))
    }

    /// Puts what stays in front back over the person.
    fn occlude(&mut self, index: usize, mut frame: CompositeFrame) -> Result<CompositeFrame> {
        let (w, h) = frame.plate.dimensions();
        for occluder in &mut self.occluders {
            let matte = occluder.matte(index, (w, h))?;
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

/// The plate's own pixels back over a blend, where the matte is white.
fn in_front(blend: &RgbImage, matte: &GrayImage, plate: &RgbImage) -> Result<RgbImage> {
    Ok(bg_mask::composite_layers(blend, &[], &[Occluder { matte, color: Some(plate) }])?)
}

fn no_camera(index: usize) -> Error {
    let what = format!("frame {index} of the motion has no camera: add focal, princpt and img_size_wh");
    Error::Missing { stage: crate::Stage::Composite, what }
}

impl Actor {
    fn new(body: &BodyModel, avatar: Avatar, motion: Motion, own_body: bool) -> Result<Self> {
        let points = avatar.points(&[])?;
        let betas: Vec<f32> = avatar.lhm.as_ref().map(|l| l.betas.clone()).unwrap_or_default();
        let (skin, betas) = if own_body && !betas.is_empty() {
            // The reference's route: weights of the nearest vertex of the neutral template.
            let pose = smplx::neutral_pose();
            let neutral =
                body.forward(&smplx::Frame { rotations: Rotations::AxisAngle(&pose), ..smplx::Frame::REST })?;
            let binding = PointBinding::nearest_vertex(points.query, &neutral.vertices)?;
            (PointSkin::new(body, binding, &points, &betas)?, betas)
        } else {
            let fitted = Retarget::new(body, &points)?;
            (fitted.skin, fitted.betas)
        };
        Ok(Self {
            avatar,
            skin,
            betas,
            motion,
            posed: PosedPoints::default(),
            gaussians: Gaussians::default(),
            splats: Frame::new(),
        })
    }

    fn pose(
        &mut self,
        body: &BodyModel,
        pose: &[[f32; 3]; smplx::N_JOINTS],
        translation: [f32; 3],
    ) -> Result<()> {
        let frame = PointFrame { rotations: Rotations::AxisAngle(pose), expression: &[], translation };
        self.skin.pose_into(body, &frame, &mut self.posed)?;
        self.avatar.pose(&self.skin, &self.posed, [0.0; 3], &mut self.gaussians)?;
        Ok(())
    }
}

/// Reads a motion by what it is: a folder of frame files, an AMASS `.npz`, our own single file, or one frame's file.
///
/// # Errors
/// When it can't be read or is incomplete.
pub fn read_motion(path: &Path, fps: f32) -> Result<Motion> {
    if path.is_dir() {
        return Ok(Motion::read_json_folder(path, fps, Gaps::Refuse)?);
    }
    if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("npz")) {
        return Ok(Motion::read_npz(path)?);
    }
    let text = std::fs::read(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
    let one_frame = serde_json::from_slice::<serde_json::Value>(&text)
        .is_ok_and(|keys| keys.get("frames").is_none() && keys.get("format").is_none());
    if one_frame {
        return Ok(Motion::new(fps, vec![MotionFrame::from_json(&text, 0)?])?);
    }
    Ok(Motion::from_json(&text)?)
}

/// Brings a picture that was composed at the motion's own size to the video's.
fn fitted(image: RgbImage, w: u32, h: u32, fit: Fit) -> Result<RgbImage> {
    let (iw, ih) = image.dimensions();
    if (iw, ih) == (w, h) {
        return Ok(image);
    }
    match fit {
        Fit::Stretch => Ok(bg_mask::resize(&image, w, h, Filter::Lanczos)?),
        Fit::Crop => {
            let scale = f64::min(f64::from(iw) / f64::from(w), f64::from(ih) / f64::from(h));
            let (cw, ch) = ((f64::from(w) * scale).round() as u32, (f64::from(h) * scale).round() as u32);
            let (cw, ch) = (cw.clamp(1, iw), ch.clamp(1, ih));
            let cut = image::imageops::crop_imm(&image, (iw - cw) / 2, (ih - ch) / 2, cw, ch).to_image();
            Ok(bg_mask::resize(&cut, w, h, Filter::Lanczos)?)
        }
        Fit::Pad => Ok(bg_mask::pad_image_to_aspect_ratio(&image, w, h, image::Rgb([0; 3]))?),
    }
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

/// A picture at another size; the same picture where it has that size.
fn resized(image: RgbImage, w: u32, h: u32) -> Result<RgbImage> {
    if image.dimensions() == (w, h) { Ok(image) } else { Ok(bg_mask::resize(&image, w, h, Filter::Lanczos)?) }
}

/// A mask as a grey picture in three equal channels.
#[must_use]
pub fn gray_to_rgb(mask: &GrayImage) -> RgbImage {
    let mut out = RgbImage::new(mask.width(), mask.height());
    for (out, &m) in out.as_chunks_mut::<3>().0.iter_mut().zip(mask.as_raw()) {
        *out = [m; 3];
    }
    out
}

/// A mask out of its three-channel form.
#[must_use]
pub fn gray(mask: &RgbImage) -> GrayImage {
    let mut out = GrayImage::new(mask.width(), mask.height());
    for (out, rgb) in out.iter_mut().zip(mask.as_raw().as_chunks::<3>().0) {
        *out = rgb[0];
    }
    out
}

fn fit_mask(mask: GrayImage, (w, h): (u32, u32)) -> Result<GrayImage> {
    if mask.dimensions() == (w, h) {
        return Ok(mask);
    }
    Ok(gray(&bg_mask::resize(&gray_to_rgb(&mask), w, h, Filter::Bilinear)?))
}
