//! The new composite of a clip, from what the pipeline would know.

use crate::recorded::{Frame, Recorded};
use anyhow::{Context, Result};
use avatar_render::{
    Camera, Frame as Splats, Mesh, MeshFrame, MeshOptions, Renderer, RendererChoice, SplatOptions,
};
use bg_mask::{Layout, Render};
use glam::Vec3;
use image::{GrayImage, RgbImage};
use scene_light::{
    BodyParts, CastOptions, Exposure, Ground, Harmonics, Levels, Probe, Probed, SceneLight, ShadowFrame,
    ShadowMap, Sun, View,
};

/// Where the light comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// A person was removed.
    Person,
    /// The sun's direction is given.
    Sun,
    /// Neither.
    Nothing,
    /// All of the truth: what there is to be reached.
    Truth,
}

/// Gains of linear light for the levels that are known.
pub type Gains = fn(&Levels) -> [f32; 3];

/// What is switched on.
#[derive(Clone, Copy, Debug)]
pub struct Switches {
    /// The avatar is shaded.
    pub shade: bool,
    /// Its brightness suits the scene's levels: by these gains.
    pub exposure: Option<Gains>,
    /// It throws shadows.
    pub shadow: bool,
}

impl Switches {
    /// What the pipeline does.
    pub const ALL: Self = Self { shade: true, exposure: Some(Exposure::gains), shadow: true };
}

/// Makes composites.
#[derive(Debug)]
pub struct Composer {
    renderer: Renderer,
    parts: BodyParts,
    faces: Vec<[u32; 3]>,
}

/// A composite, and what was found on the way.
#[derive(Debug)]
pub struct Composed {
    /// The frames.
    pub frames: Vec<RgbImage>,
    /// The light in the middle frame's axes.
    pub light: SceneLight,
    /// The probe, where there was a person.
    pub probed: Option<Probed>,
    /// Levels in the middle frame.
    pub levels: Levels,
    /// Angle between the sun and the truth's in degrees, where there is one.
    pub off: Option<f32>,
    /// Angle between the ground's normal and the truth's in degrees.
    pub tilt: f32,
}

impl Composer {
    /// For the embedded body.
    ///
    /// # Errors
    /// Never for the embedded body.
    pub fn new() -> Result<Self> {
        let (parts, faces) = crate::recorded::parts()?;
        Ok(Self { renderer: Renderer::new(RendererChoice::Cpu)?, parts, faces })
    }

    /// The light on the person who was there.
    ///
    /// # Errors
    /// When too little of the person is seen.
    pub fn probe(&mut self, recorded: &Recorded) -> Result<Probed> {
        let mut probe = Probe::new();
        let mut mesh = MeshFrame::new();
        for (i, f) in recorded.frames.iter().enumerate() {
            let camera = Camera::new(&f.camera, &smplx::AFFINE_IDENTITY)?;
            let body = Mesh { vertices: &f.body, faces: &self.faces };
            self.renderer.mesh(&body, &camera, &MeshOptions::default(), &mut mesh)?;
            let half = usize::from(2 * i >= recorded.frames.len());
            probe.add(&f.raw, &f.matte, (&self.parts, &f.body), mesh.depth(), &f.camera, half)?;
        }
        Ok(probe.solve()?)
    }

    /// The light as the removed person's shadow corrects it.
    fn corrected(
        &self,
        recorded: &Recorded,
        grounds: &[Ground],
        light: SceneLight,
        up: [f32; 3],
    ) -> Result<SceneLight> {
        let frames: Vec<ShadowFrame<'_>> = recorded
            .frames
            .iter()
            .zip(grounds)
            .step_by(3)
            .map(|(f, ground)| ShadowFrame {
                picture: &f.raw,
                matte: &f.matte,
                body: &f.body,
                camera: &f.camera,
                ground: *ground,
            })
            .collect();
        let found = scene_light::find_shadow(&frames, &self.faces, &light, up)?;
        Ok(found.map_or(light, |found| found.correct(&light, up)))
    }

    /// Does the background show a shadow where the avatar's would fall?
    fn has_shadow(&self, recorded: &Recorded, grounds: &[Ground], toward: [f32; 3]) -> Result<bool> {
        let mattes: Vec<GrayImage> = recorded.clip.mesh.iter().map(bg_mask::person_mask).collect();
        let frames: Vec<ShadowFrame<'_>> = recorded
            .frames
            .iter()
            .zip(grounds)
            .zip(&mattes)
            .step_by(3)
            .map(|((f, ground), matte)| ShadowFrame {
                picture: &f.plate,
                matte,
                body: &f.body,
                camera: &f.camera,
                ground: *ground,
            })
            .collect();
        Ok(scene_light::darkness(&frames, &self.faces, toward)?.is_some_and(|ratio| ratio < HAS_SHADOW))
    }

    /// The composite of a clip.
    ///
    /// # Errors
    /// When a renderer fails.
    pub fn compose(&mut self, recorded: &Recorded, known: Known, switches: Switches) -> Result<Composed> {
        let frames = &recorded.frames;
        let middle = frames.get(frames.len() / 2).context("a clip without frames")?;
        let footings: Vec<_> = frames.iter().map(|f| f.footing).collect();
        let grounds = Ground::track(&footings);
        let up = grounds[frames.len() / 2].normal;
        let probed = match known {
            Known::Person => self.probe(recorded).ok().filter(Probed::is_sure),
            _ => None,
        };
        let light = match (known, &probed) {
            (Known::Person, Some(probed)) => self.corrected(recorded, &grounds, probed.light(up), up)?,
            (Known::Sun, _) => given(middle.sun, up)?,
            (Known::Truth, _) => truth(recorded, middle),
            _ => SceneLight::of_any_sky(up),
        };
        // A background that shows the shadow already gets no second one.
        let has_shadow = match &light.sun {
            Some(sun) if switches.shadow => self.has_shadow(recorded, &grounds, sun.toward)?,
            _ => false,
        };
        let mut out = Vec::new();
        let (mut splats, mut scratch) = (Splats::new(), Splats::new());
        let mut levels = Levels { avatar: [0.2; 3], plate: [0.2; 3], person: probed.map(|p| p.level) };
        let mut logs: Option<[[f32; 3]; 2]> = None;
        for (frame, ground) in frames.iter().zip(&grounds) {
            let camera = Camera::new(&frame.camera, &smplx::AFFINE_IDENTITY)?;
            let mut gaussians = frame.gaussians.clone();
            let mut map = |toward: [f32; 3], gaussians| {
                ShadowMap::render(&mut self.renderer, gaussians, toward, &mut scratch)
            };
            let sun = match light.sun {
                Some(sun) if switches.shadow => map(sun.toward, &gaussians)?,
                _ => None,
            };
            let sky = if switches.shadow { map(ground.normal, &gaussians)? } else { None };
            if switches.exposure.is_some() {
                self.renderer.splat(&gaussians, &camera, &SplatOptions::default(), &mut splats)?;
                let avatar = Levels::of_avatar(&gaussians, &frame.normals);
                let plate = Levels::around(&frame.plate, splats.alpha());
                if let (Some(avatar), Some(plate)) = (avatar, plate) {
                    let new = [avatar, plate].map(|l| l.map(f32::ln));
                    let old = logs.unwrap_or(new);
                    let mixed: [[f32; 3]; 2] = std::array::from_fn(|k| {
                        std::array::from_fn(|c| old[k][c] + 0.1 * (new[k][c] - old[k][c]))
                    });
                    logs = Some(mixed);
                    [levels.avatar, levels.plate] = mixed.map(|l| l.map(f32::exp));
                }
            }
            let gain = switches.exposure.map_or([1.0; 3], |gains| gains(&levels));
            if switches.shade {
                scene_light::shade(&mut gaussians, &frame.normals, &light.scaled(gain), sun.as_ref())?;
            } else {
                scene_light::shade(&mut gaussians, &frame.normals, &SceneLight::even().scaled(gain), None)?;
            }
            let mut plate = frame.plate.clone();
            if switches.shadow {
                let view = View { camera: &frame.camera, ground };
                let maps = [sun.as_ref().filter(|_| !has_shadow), sky.as_ref()];
                scene_light::cast(&mut plate, &view, &light, maps, None, &CastOptions::default())?;
            }
            self.renderer.splat(&gaussians, &camera, &SplatOptions::default(), &mut splats)?;
            let size = (plate.width(), plate.height());
            let render = Render::new(size, splats.color(), Layout::Interleaved, splats.alpha())?;
            bg_mask::over_in_place(&render, &mut plate)?;
            out.push(plate);
        }
        let angle = |a: [f32; 3], b: [f32; 3]| {
            Vec3::from_array(a).dot(Vec3::from_array(b)).clamp(-1.0, 1.0).acos().to_degrees()
        };
        let off = light.sun.map(|s| angle(s.toward, middle.sun));
        Ok(Composed { frames: out, light, probed, levels, off, tilt: angle(up, middle.up) })
    }
}

/// A background that is darker than this where the shadow would fall, for what is beside it, has one.
const HAS_SHADOW: f32 = 0.85;

/// A light of which only the direction is known.
fn given(toward: [f32; 3], up: [f32; 3]) -> Result<SceneLight> {
    let usual = SceneLight::from_sun(&scene_light::SunOptions::default(), up)?;
    let sun = usual.sun.map(|s| Sun { toward, ..s });
    Ok(SceneLight { sun, ..usual })
}

fn truth(recorded: &Recorded, frame: &Frame) -> SceneLight {
    let l = &recorded.light;
    let ambient = Harmonics::gradient(frame.up, l.ground.to_array(), l.sky.to_array());
    let sun = Sun { toward: frame.sun, color: l.sun_color.to_array(), softness: l.softness };
    SceneLight { ambient, sun: Some(sun) }.of_mean_one()
}
