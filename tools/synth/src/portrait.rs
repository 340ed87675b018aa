//! The character picture: the person standing, photographed in a light of its own.

use crate::Result;
use crate::figure::{Figure, PosedFigure};
use crate::light::{Film, Light, Weather};
use crate::motion::Pose;
use crate::random::Random;
use crate::render::{Actor, Painter, Scene};
use crate::template::Template;
use crate::view::View;
use crate::world::World;
use glam::{Quat, Vec3};
use image::{GrayImage, RgbImage};
use smplx::N_JOINTS;

/// Width and height of the picture.
const SIZE: [u32; 2] = [256, 400];

/// A photographed person.
#[derive(Debug)]
pub struct Portrait {
    /// The picture.
    pub picture: RgbImage,
    /// White on the person.
    pub mask: GrayImage,
    /// `[H, W]` 1/z of the person, 0 elsewhere.
    pub near: Vec<f32>,
    /// The camera.
    pub view: View,
    /// The pose in which the person stood.
    pub pose: Pose,
}

/// Photographs a person.
///
/// # Errors
/// Never for a sound figure.
pub fn take(random: &mut Random, t: &Template, figure: &Figure, painter: &mut Painter) -> Result<Portrait> {
    let pose = standing(random, figure);
    let mut posed = PosedFigure::default();
    figure.stand(t, &pose, &mut posed)?;
    let mut light = Light::random(random, Weather::Overcast);
    // Mostly soft light from the front; sometimes whatever there was.
    let natural = random.chance(0.3);
    if natural {
        let weather = random.pick(&[Weather::Sunny, Weather::Hazy, Weather::Indoor, Weather::Evening]);
        light = Light::random(random, weather);
    } else {
        light.sun = Vec3::new(0.8 * random.signed(), random.range(0.5, 1.4), 1.0).normalize();
        light.sun_color = Vec3::ONE * random.range(0.15, 0.9);
        light.softness = 0.15;
    }
    light.rim.1 = Vec3::ZERO;
    light.bounce(Vec3::splat(random.range(0.2, 0.6)));
    let film = Film::random(random, &light);
    let view = frame_it(random, &posed);
    let scene = Scene { world: World::default(), light, film };
    let actor = Actor { template: t, figure, posed: &posed };
    let back = if random.chance(0.6) {
        Vec3::splat(random.range(235.0, 255.0))
    } else {
        Vec3::new(random.range(20.0, 230.0), random.range(20.0, 230.0), random.range(20.0, 230.0))
    };
    let (picture, cover) = painter.alone(&scene, &actor, &view, back);
    let [w, h] = SIZE;
    let near = (0..(w * h) as usize).map(|i| painter.person_near(i % w as usize, i / w as usize)).collect();
    let mask = cover.iter().map(|c| (c * 255.0) as u8).collect();
    let whole = "a picture of the wrong size";
    Ok(Portrait {
        picture: RgbImage::from_raw(w, h, picture).ok_or(crate::Error::Internal(whole))?,
        mask: GrayImage::from_raw(w, h, mask).ok_or(crate::Error::Internal(whole))?,
        near,
        view,
        pose,
    })
}

/// Arms a little out, legs a little apart, turned a little.
fn standing(random: &mut Random, figure: &Figure) -> Pose {
    let mut local = [Quat::IDENTITY; N_JOINTS];
    local[0] = Quat::from_rotation_y(random.range(-0.35, 0.35));
    let spread = random.range(0.95, 1.3);
    for (side, hip, collar, shoulder, elbow) in [(1.0, 1, 13, 16, 18), (-1.0, 2, 14, 17, 19)] {
        local[hip] = Quat::from_rotation_z(side * random.range(0.02, 0.16));
        local[collar] = Quat::from_rotation_z(-0.06 * side);
        local[shoulder] = Quat::from_rotation_z(-side * (spread + random.range(-0.05, 0.05)))
            * Quat::from_rotation_y(-side * random.range(-0.1, 0.2));
        local[elbow] = Quat::from_rotation_y(-side * random.range(0.05, 0.5));
    }
    for joint in 25..55 {
        let side = if joint < 40 { 1.0 } else { -1.0 };
        local[joint] = Quat::from_rotation_z(-side * 0.2);
    }
    local[15] = Quat::from_rotation_y(0.2 * random.signed()) * Quat::from_rotation_x(0.08 * random.signed());
    Pose { local, pelvis: Vec3::new(0.0, figure.joints[0].y - figure.ground, 0.0) }
}

/// A camera in front that takes the whole person.
fn frame_it(random: &mut Random, posed: &PosedFigure) -> View {
    let low = posed.vertices.iter().copied().reduce(Vec3::min).unwrap_or_default();
    let high = posed.vertices.iter().copied().reduce(Vec3::max).unwrap_or_default();
    let middle = (low + high) / 2.0;
    let away = random.range(2.6, 4.5);
    let eye = Vec3::new(middle.x, middle.y + random.range(-0.2, 0.6), middle.z + away);
    let [w, h] = SIZE.map(|n| n as f32);
    let need = f32::max((high.y - low.y) / h, (high.x - low.x) / w) * 1.08;
    let focal = (away - (high.z - middle.z)) / need;
    View::look_at(eye, middle, 0.0, focal, SIZE)
}
