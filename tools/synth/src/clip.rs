//! One clip: a person drawn from a seed, its motion in a scene, and what the pipeline would be given of both.

use crate::avatar::Baked;
use crate::figure::{Figure, PosedFigure};
use crate::layout::{FRAMES, Part, SIZE};
use crate::light::{Film, Light};
use crate::look::Look;
use crate::motion::{Kind, Mover, Pose};
use crate::plate::Plate;
use crate::random::Random;
use crate::render::{Actor, Painter, Picture, Scene};
use crate::template::Template;
use crate::track::Track;
use crate::view::View;
use crate::{Error, Result, Split, portrait, scenes};
use avatar_render::{
    Frame as Splats, Gaussians, Mesh, MeshFrame, MeshOptions, MeshRenderer, SplatOptions, SplatRenderer,
};
use bg_mask::{Layout, Render};
use glam::Quat;
use image::RgbImage;
use smplx::BodyModel;

/// Frames a second.
pub const FPS: f32 = 15.0;

/// A clip's bytes, part by part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clip {
    parts: [Vec<u8>; 7],
}

impl Clip {
    /// The bytes of a part, in its shape.
    #[must_use]
    pub fn part(&self, part: Part) -> &[u8] {
        &self.parts[part as usize]
    }

    /// The file's bytes with some parts.
    #[must_use]
    pub fn bytes(&self, parts: &[Part]) -> Vec<u8> {
        parts.iter().flat_map(|p| self.part(*p)).copied().collect()
    }
}

/// What a frame is made of, beside what its clip holds. Everything is in the world's axes.
#[derive(Debug)]
pub struct Watched<'a> {
    /// The camera.
    pub view: &'a View,
    /// The scene's light.
    pub light: &'a Light,
    /// The avatar, posed by the estimated motion.
    pub gaussians: &'a Gaussians,
    /// The normal of the avatar's surface at each Gaussian.
    pub normals: &'a [[f32; 3]],
    /// The body by the estimated motion.
    pub guessed: &'a PosedFigure,
    /// The body's model.
    pub model: &'a BodyModel,
    /// The body's shape.
    pub betas: &'a [f32],
    /// `[H, W, 3]` the background as the pipeline gets it.
    pub plate: &'a [u8],
    /// The same scene with another person in it.
    pub other: &'a Picture,
}

/// Makes clips. Keep it: its buffers are reused.
#[derive(Debug)]
pub struct Maker {
    template: Template,
    painter: Painter,
    picture: Picture,
    posed: PosedFigure,
    guessed: PosedFigure,
    splatter: SplatRenderer,
    splats: Splats,
    gaussians: Gaussians,
    mesher: MeshRenderer,
    mesh: MeshFrame,
}

impl Maker {
    /// Loads the body.
    ///
    /// # Errors
    /// Never for the body that is embedded.
    pub fn new() -> Result<Self> {
        Ok(Self {
            template: Template::new()?,
            painter: Painter::default(),
            picture: Picture::default(),
            posed: PosedFigure::default(),
            guessed: PosedFigure::default(),
            splatter: SplatRenderer::new(),
            splats: Splats::new(),
            gaussians: Gaussians::default(),
            mesher: MeshRenderer::new(),
            mesh: MeshFrame::new(),
        })
    }

    /// Makes clip `n` of a split: the same bytes for the same seed, whatever was made before. `parts` says which parts
    /// are wanted; the others stay empty.
    ///
    /// # Errors
    /// When a renderer fails, which it doesn't for what is drawn here.
    pub fn clip(&mut self, seed: u64, split: Split, n: u64, parts: &[Part]) -> Result<Clip> {
        self.make(seed, split, n, parts, None)
    }

    /// The same clip, with what its frames were made of handed over one by one, and another person of the same build in the same
    /// place and motion.
    ///
    /// # Errors
    /// As [`Maker::clip`].
    pub fn clip_watched(
        &mut self,
        seed: u64,
        split: Split,
        n: u64,
        parts: &[Part],
        watch: &mut dyn FnMut(Watched<'_>),
    ) -> Result<Clip> {
        self.make(seed, split, n, parts, Some(watch))
    }

    fn make(
        &mut self,
        seed: u64,
        split: Split,
        n: u64,
        parts: &[Part],
        mut watch: Option<&mut dyn FnMut(Watched<'_>)>,
    ) -> Result<Clip> {
        let mut random = Random::new(seed, &[split as u64 + 1, n]);
        let t = &self.template;
        let look = Look::random(&mut random.fork(), split);
        let shape = &mut random.fork();
        let betas: Vec<f32> = (0..10).map(|_| (0.9 * shape.normal()).clamp(-2.0, 2.0)).collect();
        let figure = Figure::new(t, look, betas)?;
        let portrait = portrait::take(&mut random.fork(), t, &figure, &mut self.painter)?;
        let mut avatar_random = random.fork();
        let baked = Baked::new(&mut avatar_random, t, &figure, &portrait)?;

        let (world, light) = scenes::build(&mut random.fork(), split);
        let film = Film::random(&mut random.fork(), &light);
        let scene = Scene { world, light, film };
        let mut move_random = random.fork();
        let kind = move_random.pick(Kind::of(split));
        let heading = heading(&mut move_random);
        let mover = Mover::random(&mut move_random, kind, &figure.joints, figure.ground, heading);
        let track =
            Track::random(&mut random.fork(), &mover, figure.height, [SIZE[1] as u32, SIZE[0] as u32]);
        let plate = Plate::random(&mut random.fork());
        let mut wrong = Wrong::random(&mut random.fork());
        let mut plate_random = random.fork();
        let detour = random.chance(0.3);
        // A stream of its own, so that nobody else changes.
        let other = match watch {
            Some(_) => {
                let mut random = Random::new(seed, &[split as u64 + 1, n, 1]);
                let look = Look::random(&mut random, split);
                Some(Figure::new(&self.template, look, figure.betas.clone())?)
            }
            None => None,
        };
        let (mut other_posed, mut other_picture) = (PosedFigure::default(), Picture::default());
        let mut surface = Vec::new();

        let mut clip = Clip::default();
        clip.parts[Part::Reference as usize] =
            bg_mask::reference_frame(&portrait.picture, &portrait.mask, SIZE[1] as u32, SIZE[0] as u32)?
                .into_raw();
        for index in 0..FRAMES {
            let time = (index as f32 - 0.5 * (FRAMES - 1) as f32) / FPS;
            let view = track.view(time);
            let pose = mover.pose(time);
            let t = &self.template;
            figure.stand(t, &pose, &mut self.posed)?;
            let actor = Actor { template: t, figure: &figure, posed: &self.posed };
            self.painter.frame(&scene, &actor, &view, &mut self.picture);
            let guessed = wrong.apply(&pose, time);
            figure.pose(t, &guessed, &baked.thickness, &mut self.guessed)?;
            baked.pose(&self.guessed, &mut self.gaussians);

            let normals = parts.contains(&Part::Normals);
            let options = MeshOptions { normals, ..MeshOptions::default() };
            let mesh = Mesh { vertices: &self.guessed.bare, faces: t.model.faces() };
            self.mesher.render(&mesh, &view.camera(1)?, &options, &mut self.mesh)?;
            let scale = if detour { 2 } else { 1 };
            self.splatter.render(
                &self.gaussians,
                &view.camera(scale)?,
                &SplatOptions::default(),
                &mut self.splats,
            )?;

            let person = self.person_mask(scale as usize);
            let size = [SIZE[1], SIZE[0]];
            let background =
                plate.frame(&self.picture.empty, &self.picture.shaded, &person, size, &mut plate_random);
            let blend = self.blend(&background, scale as usize)?;
            if let (Some(watch), Some(other)) = (&mut watch, &other) {
                let t = &self.template;
                other.stand(t, &pose, &mut other_posed)?;
                let actor = Actor { template: t, figure: other, posed: &other_posed };
                self.painter.frame(&scene, &actor, &view, &mut other_picture);
                baked.normals(&self.guessed, &mut surface);
                watch(Watched {
                    view: &view,
                    light: &scene.light,
                    gaussians: &self.gaussians,
                    normals: &surface,
                    guessed: &self.guessed,
                    model: &t.model,
                    betas: &figure.betas,
                    plate: &background,
                    other: &other_picture,
                });
            }
            let mut add = |part: Part, bytes: &[u8]| {
                if parts.contains(&part) {
                    clip.parts[part as usize].extend_from_slice(bytes);
                }
            };
            add(Part::Blend, &blend);
            add(Part::Mesh, self.mesh.rgb8());
            add(Part::Target, &self.picture.full);
            add(Part::Plate, &background);
            add(Part::Shadow, &self.picture.shadow);
            if normals {
                let encoded: Vec<u8> =
                    self.mesh.normals().as_chunks::<3>().0.iter().flat_map(encode).collect();
                add(Part::Normals, &encoded);
            }
        }
        Ok(clip)
    }

    /// Where the person is seen, its body is, or its avatar.
    fn person_mask(&self, scale: usize) -> Vec<bool> {
        let [h, w] = SIZE;
        let alpha = self.splats.alpha();
        (0..w * h)
            .map(|i| {
                let (x, y) = (i % w, i / w);
                self.picture.cover[i] > 0.1
                    || self.mesh.depth()[i] > 0.0
                    || alpha[y * scale * w * scale + x * scale] > 0.1
            })
            .collect()
    }

    /// The avatar over the plate by the reference's blend, at the splats' size and back. Only the part of the picture that
    /// the avatar covers takes part: elsewhere the way there and back changes nothing that matters.
    fn blend(&self, plate: &[u8], scale: usize) -> Result<Vec<u8>> {
        let [h, w] = SIZE;
        let covered = self.splats.covered();
        let mut out = plate.to_vec();
        if covered.is_empty() {
            return Ok(out);
        }
        let margin = if scale > 1 { 8 } else { 0 };
        let (x0, y0) =
            ((covered.x0 / scale).saturating_sub(margin), (covered.y0 / scale).saturating_sub(margin));
        let x1 = (covered.x1.div_ceil(scale) + margin).min(w);
        let y1 = (covered.y1.div_ceil(scale) + margin).min(h);
        let (cw, ch) = (x1 - x0, y1 - y0);
        let mut cut = Vec::with_capacity(3 * cw * ch);
        for y in y0..y1 {
            cut.extend_from_slice(&plate[3 * (y * w + x0)..3 * (y * w + x1)]);
        }
        let whole = || Error::Internal("a picture of the wrong size");
        let cut = RgbImage::from_raw(cw as u32, ch as u32, cut).ok_or_else(whole)?;
        let (mut color, mut alpha) = (Vec::new(), Vec::new());
        let row = w * scale;
        for y in y0 * scale..y1 * scale {
            let span = y * row + x0 * scale..y * row + x1 * scale;
            color.extend_from_slice(&self.splats.color()[3 * span.start..3 * span.end]);
            alpha.extend_from_slice(&self.splats.alpha()[span]);
        }
        let size = ((cw * scale) as u32, (ch * scale) as u32);
        let render = Render::new(size, &color, Layout::Interleaved, &alpha)?;
        let blended = bg_mask::reference_blend(&render, &cut)?;
        for (y, line) in (y0..y1).zip(blended.as_raw().chunks_exact(3 * cw)) {
            out[3 * (y * w + x0)..3 * (y * w + x1)].copy_from_slice(line);
        }
        Ok(out)
    }
}

fn encode(n: &[f32; 3]) -> [u8; 3] {
    if *n == [0.0; 3] { [0; 3] } else { n.map(|x| ((x + 1.0) * 127.5).round() as u8) }
}

/// Mostly towards the camera, sometimes aside or away.
fn heading(random: &mut Random) -> f32 {
    match random.below(10) {
        0..=5 => random.range(-0.9, 0.9),
        6 | 7 => random.pick(&[-1.0, 1.0]) * random.range(0.9, 2.0),
        8 => std::f32::consts::PI + random.range(-0.8, 0.8),
        _ => random.range(-3.1, 3.1),
    }
}

/// What an estimated motion gets wrong.
struct Wrong {
    turns: Vec<[f32; 4]>,
    shift: [f32; 3],
}

impl Wrong {
    fn random(random: &mut Random) -> Self {
        let size = if random.chance(0.4) { 0.0 } else { random.range(0.01, 0.06) };
        let turns = (0..22).map(|_| [random.normal(), random.normal(), random.normal(), random.unit()]);
        let turns = turns.map(|[x, y, z, p]| [size * x, size * y, size * z, p]).collect();
        let far = 0.25 * size;
        Self { turns, shift: [random.normal() * far, random.normal() * far, 3.0 * random.normal() * far] }
    }

    fn apply(&mut self, pose: &Pose, time: f32) -> Pose {
        let mut pose = pose.clone();
        for (local, [x, y, z, phase]) in pose.local.iter_mut().zip(&self.turns) {
            let k = 0.6 + 0.4 * (std::f32::consts::TAU * (time * 1.3 + phase)).sin();
            *local *= Quat::from_scaled_axis(glam::Vec3::new(*x, *y, *z) * k);
        }
        // The root shows most.
        pose.local[0] = pose.local[0].normalize();
        pose.pelvis += glam::Vec3::from_array(self.shift);
        pose
    }
}
