//! The scene's light on the avatars and their shadow on the ground, from frame to frame.

use super::actor::{Actor, Actors};
use crate::Result;
use crate::job::{Job, Light};
use crate::light::{Hole, Lights, ShotLight};
use avatar_render::{Frame, Renderer};
use image::{GrayImage, RgbImage};
use scene_light::{
    BodyParts, CastOptions, Environment, Exposure, Footing, Ground, Levels, SceneLight, Shading, ShadowMap,
    Soles, SunOptions, View, cast,
};
use smplx::{BodyModel, Rotations};

/// Share of a new frame in the running levels.
const FOLLOW: f32 = 0.1;

/// Where the light comes from.
enum Source {
    /// One light for the whole video.
    One(SceneLight),
    /// A light for each shot.
    Shots(Lights),
    /// Not known but for the plate.
    Plate,
}

/// Light and shadow of all avatars.
pub(super) struct Lighting {
    settings: Light,
    from: Source,
    /// `[actor][frame of the motion]`.
    grounds: Vec<Vec<Ground>>,
    /// `None` for props, which have no surface that is known: they keep their light.
    shadings: Vec<Option<Shading>>,
    levels: Option<[[f32; 3]; 2]>,
    /// Of this frame: who stands between each actor's ground and the sun, and above it.
    maps: Vec<[Option<ShadowMap>; 2]>,
    scratch: Frame,
}

impl Lighting {
    /// For a job's actors; `None` where nothing of it is asked for.
    pub(super) fn open(job: &Job, body: &BodyModel, actors: &Actors) -> Result<Option<Self>> {
        let settings = &job.light;
        if !settings.is_on() && !settings.casts() {
            return Ok(None);
        }
        let grounds = actors.iter().map(|actor| ground(body, actor)).collect::<Result<Vec<_>>>()?;
        let up = grounds.first().and_then(|g| g.get(g.len() / 2)).map_or(scene_light::UP, |g| g.normal);
        let from = if !settings.is_on() {
            Source::One(SceneLight::even())
        } else if let Some(sun) = settings.sun {
            let (azimuth, elevation) = (sun.azimuth, sun.elevation);
            let (strength, warmth) = (settings.sun_strength, settings.sun_warmth);
            Source::One(SceneLight::from_sun(&SunOptions { azimuth, elevation, strength, warmth }, up)?)
        } else if let Some(path) = &settings.environment {
            Source::One(Environment::open(path)?.light(up, settings.environment_turn))
        } else if let Some(path) = &settings.file {
            Source::Shots(Lights::read(path)?)
        } else {
            Source::Plate
        };
        let parts = BodyParts::new(body)?;
        let shadings = actors.iter().map(|actor| actor.shading(body, &parts)).collect::<Result<_>>()?;
        Ok(Some(Self {
            settings: settings.clone(),
            from,
            grounds,
            shadings,
            levels: None,
            maps: Vec::new(),
            scratch: Frame::new(),
        }))
    }

    fn shot(&self, frame: usize) -> Option<&ShotLight> {
        match &self.from {
            Source::Shots(lights) => lights.at(frame),
            Source::One(_) | Source::Plate => None,
        }
    }

    /// The light of a frame, its mean being 1.
    fn light(&self, frame: usize, up: [f32; 3]) -> SceneLight {
        let found = match &self.from {
            Source::One(light) => Some(*light),
            Source::Shots(_) => self.shot(frame).and_then(|shot| shot.light),
            Source::Plate => None,
        };
        found.unwrap_or_else(|| SceneLight::of_any_sky(up))
    }

    /// Where the background was filled in, if that is known.
    pub(super) fn hole(&self) -> Option<&Hole> {
        match &self.from {
            Source::Shots(lights) => lights.hole.as_ref(),
            Source::One(_) | Source::Plate => None,
        }
    }

    /// Is the plate's own shadow to be left alone at a frame?
    pub(super) fn keeps_own_shadow(&self, frame: usize) -> bool {
        self.shot(frame).is_some_and(|shot| shot.own_shadow)
    }

    /// Shades the actors as they are posed. `alpha` is what they covered of the plate when they were last rendered.
    pub(super) fn shade(
        &mut self,
        actors: &mut Actors,
        renderer: &mut Renderer,
        frame: usize,
        (plate, alpha): (&RgbImage, &[f32]),
    ) -> Result<()> {
        self.maps.clear();
        let shot = self.shot(frame);
        let person = shot.and_then(|shot| shot.person);
        let fits = !shot.is_some_and(|shot| shot.absolute);
        for (i, actor) in actors.iter_mut().enumerate() {
            let ground = at(&self.grounds[i], frame);
            let light = self.light(frame, ground.normal);
            let mut map = |toward| ShadowMap::render(renderer, &actor.gaussians, toward, &mut self.scratch);
            let sun = light.sun.map(|s| map(s.toward)).transpose()?.flatten();
            let sky = if self.settings.casts() { map(ground.normal)? } else { None };
            if let (true, Some(shading)) = (self.settings.is_on(), &mut self.shadings[i]) {
                let (gaussians, turns) = actor.gaussians_and_turns();
                if i == 0 {
                    let avatar = Levels::of_avatar(gaussians, shading.turned(turns)?);
                    if let (Some(avatar), Some(plate)) = (avatar, Levels::around(plate, alpha)) {
                        let new = [avatar, plate].map(|level| level.map(f32::ln));
                        let old = self.levels.unwrap_or(new);
                        self.levels = Some(std::array::from_fn(|k| {
                            std::array::from_fn(|c| old[k][c] + FOLLOW * (new[k][c] - old[k][c]))
                        }));
                    }
                }
                let gains = self.levels.filter(|_| fits).map_or([1.0; 3], |levels| {
                    let [avatar, plate] = levels.map(|level| level.map(f32::exp));
                    Exposure::gains(&Levels { avatar, plate, person })
                });
                let light = light.scaled(gains).softened(self.settings.strength);
                shading.apply(gaussians, turns, &light, sun.as_ref())?;
            }
            self.maps.push([sun, sky]);
        }
        Ok(())
    }

    /// The actors' shadows on the plate. `place` says where the sun's counts, where that isn't everywhere.
    pub(super) fn cast(
        &self,
        plate: &mut RgbImage,
        camera: &smplx::Camera,
        frame: usize,
        place: Option<&GrayImage>,
    ) -> Result<()> {
        if !self.settings.casts() {
            return Ok(());
        }
        for (maps, grounds) in self.maps.iter().zip(&self.grounds) {
            let ground = at(grounds, frame);
            let light = self.light(frame, ground.normal);
            let options = CastOptions { strength: self.settings.shadow_strength, ..CastOptions::default() };
            let view = View { camera, ground: &ground };
            let [sun, sky] = maps.each_ref().map(Option::as_ref);
            cast(plate, &view, &light, [sun, sky], place, &options)?;
        }
        Ok(())
    }

    /// What is known of the light, in words.
    pub(super) fn notes(&self) -> Vec<(String, String)> {
        let mut notes = Vec::new();
        let mut add = |name: &str, value: String| notes.push((name.to_owned(), value));
        let from = match &self.from {
            _ if !self.settings.is_on() => "as the avatar was made",
            Source::One(_) if self.settings.sun.is_some() => "a sun given by hand",
            Source::One(_) => "the surroundings' picture",
            Source::Shots(_) => "found in the video",
            Source::Plate => "the background around the avatar",
        };
        add("light", from.to_owned());
        let up = self.grounds.first().and_then(|g| g.first()).map_or(scene_light::UP, |g| g.normal);
        if let Some(sun) = self.light(0, up).sun {
            add("sun", describe(sun.toward, up));
            let share = scene_light::luma(self.light(0, up).sun_share(up));
            add("the sun's share of the light on the ground", format!("{:.0} %", 100.0 * share));
        }
        for (name, value) in self.shot(0).into_iter().flat_map(|shot| &shot.notes) {
            add(name, value.clone());
        }
        add("shadow on the ground", if self.settings.casts() { "thrown" } else { "none" }.to_owned());
        notes
    }
}

/// Where a direction lies, in words.
pub(crate) fn describe(toward: [f32; 3], up: [f32; 3]) -> String {
    let high = (0..3).map(|k| toward[k] * up[k]).sum::<f32>().clamp(-1.0, 1.0).asin().to_degrees();
    let azimuth = toward[0].atan2(toward[2]).to_degrees();
    format!("azimuth {azimuth:.0}°, elevation {high:.0}° (0° is where the camera looks, 90° right)")
}

fn at(grounds: &[Ground], frame: usize) -> Ground {
    let level = Ground { normal: scene_light::UP, height: -1.0 };
    grounds.get(frame).or(grounds.last()).copied().unwrap_or(level)
}

/// The ground under an actor in each frame of its motion.
fn ground(body: &BodyModel, actor: &Actor) -> Result<Vec<Ground>> {
    let betas = actor.betas().unwrap_or(&[]);
    let soles = Soles::new(body, betas)?;
    let footing = |frame: &smplx::MotionFrame| -> Result<Footing> {
        let pose = frame.pose.full();
        let posed = body.joints(&smplx::Frame {
            betas,
            expression: &[],
            rotations: Rotations::AxisAngle(&pose),
            translation: frame.translation,
        })?;
        let feet: [f32; 3] = std::array::from_fn(|k| 0.5 * (posed.positions[7][k] + posed.positions[8][k]));
        let upright = std::array::from_fn(|k| posed.positions[12][k] - feet[k]);
        Ok(Footing { soles: soles.posed(&posed, frame.translation), upright })
    };
    let frames = actor.motion.frames.iter().map(footing).collect::<Result<Vec<_>>>()?;
    Ok(Ground::track(&frames))
}
