//! An avatar: Gaussians in its own pose and what it takes to pose them with a body.

use crate::{Colors, Error, Gaussians, Result, io, sh};
use smplx::{Affine, AvatarPoints, N_JOINTS, PointSkin, PosedPoints};
use std::path::Path;

/// What LHM stores beside the Gaussians.
#[derive(Clone, Debug, PartialEq)]
pub struct LhmBody {
    /// `[G]` query points on the body in the neutral pose, in metres.
    pub query: Vec<[f32; 3]>,
    /// `[G]` offsets of the centres from their query points.
    pub offset: Vec<[f32; 3]>,
    /// Transforms from the neutral to the zero pose, one for each joint.
    pub neutral_to_zero: Box<[Affine; N_JOINTS]>,
    /// The person's shape coefficients; empty where the query points carry the shape already (baked avatars).
    pub betas: Vec<f32>,
    /// Height of the body over the height of the picture, as LHM estimated it.
    pub body_ratio: f32,
    /// Did the picture show a face?
    pub has_face: bool,
}

/// A Gaussian avatar.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Avatar {
    /// The Gaussians in the avatar's own (LHM: neutral) pose.
    pub gaussians: Gaussians,
    /// What it takes to pose them; `None` for a plain cloud.
    pub lhm: Option<LhmBody>,
}

impl Avatar {
    /// Reads an avatar: LHM's `.pth`, this crate's `.safetensors`, or Gaussians without a body: a 3DGS `.ply`, SuperSplat's
    /// compressed `.ply`, `.splat`, `.spz`. The file's first bytes decide (for `.splat`, which has no mark, its name).
    ///
    /// Gaussians with a number that isn't finite are left out; [`Avatar::open_counting`] says how many.
    ///
    /// # Errors
    /// [`Error::File`] when the file is none of these, is damaged, or has no finite Gaussian; nothing in it is executed.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Ok(Self::open_counting(path)?.0)
    }

    /// As [`Avatar::open`], with the number of Gaussians that were left out.
    ///
    /// # Errors
    /// As [`Avatar::open`].
    pub fn open_counting(path: impl AsRef<Path>) -> Result<(Self, usize)> {
        io::open(path.as_ref())
    }

    /// Reads an avatar from memory.
    ///
    /// # Errors
    /// As [`Avatar::open`], but for the file's name. A `.splat` isn't recognised here.
    pub fn parse(bytes: Vec<u8>) -> Result<Self> {
        Ok(io::parse(bytes)?.0)
    }

    /// Writes a `.ply` (any splat viewer reads it; body data is left out), a `.safetensors` (everything) or a `.pth` (LHM's list,
    /// which the original's `torch.load` reads), by the name's ending.
    ///
    /// # Errors
    /// When the ending is another one, columns don't fit each other, or the file can't be written; for a `.pth` when there is no
    /// body data or colours depend on the direction.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        io::save(self, path.as_ref())
    }

    /// The avatar's points as the body's point chain wants them. `constrained` marks points that don't turn with the
    /// body (empty for none).
    ///
    /// # Errors
    /// [`Error::NoBody`] for a plain cloud.
    pub fn points<'a>(&'a self, constrained: &'a [bool]) -> Result<AvatarPoints<'a>> {
        let body = self.lhm.as_ref().ok_or(Error::NoBody)?;
        Ok(AvatarPoints {
            query: &body.query,
            offset: &body.offset,
            scaling: &self.gaussians.scales,
            rotation: &self.gaussians.rotations,
            neutral_to_zero: &body.neutral_to_zero,
            constrained,
        })
    }

    /// Puts posed points and the avatar's looks together, into buffers that are reused.
    ///
    /// Colours that depend on the direction are evaluated from `eye`, turned with each point's surroundings.
    ///
    /// # Errors
    /// When `skin` or `posed` belong to another avatar.
    pub fn pose(
        &self,
        skin: &PointSkin,
        posed: &PosedPoints,
        eye: [f32; 3],
        out: &mut Gaussians,
    ) -> Result<()> {
        let expected = self.gaussians.len();
        let length = |field, got| {
            if got == expected { Ok(()) } else { Err(Error::Length { field, expected, got }) }
        };
        self.gaussians.check()?;
        length("skin", skin.len())?;
        length("posed means", posed.means.len())?;
        length("posed rotations", posed.rotations.len())?;
        length("posed turns", posed.rigid.len())?;
        copy(&mut out.means, &posed.means);
        copy(&mut out.rotations, &posed.rotations);
        copy(&mut out.scales, skin.scaling());
        copy(&mut out.opacities, &self.gaussians.opacities);
        let mut rgb = match std::mem::replace(&mut out.colors, Colors::Rgb(Vec::new())) {
            Colors::Rgb(rgb) => rgb,
            Colors::Sh { .. } => Vec::new(),
        };
        match &self.gaussians.colors {
            Colors::Rgb(colors) => copy(&mut rgb, colors),
            Colors::Sh { degree, coefficients } => {
                let n = sh::n_coefficients(*degree) * 3;
                let points = posed.means.iter().zip(&posed.rigid).zip(coefficients.chunks_exact(n));
                rgb.clear();
                rgb.extend(points.map(|((mean, turn), c)| {
                    let seen = std::array::from_fn(|k| mean[k] - eye[k]);
                    sh::color(*degree, c, turn_back(*turn, seen))
                }));
            }
        }
        out.colors = Colors::Rgb(rgb);
        Ok(())
    }
}

impl Avatar {
    /// Moves and turns the Gaussians as a whole, as a prop without a body moves, into a buffer that is reused.
    ///
    /// Colours that depend on the direction are evaluated from `eye`. `to` is a rigid transform of the avatar's axes (y up).
    ///
    /// # Errors
    /// When columns don't fit each other.
    pub fn place(&self, to: &Affine, eye: [f32; 3], out: &mut Gaussians) -> Result<()> {
        self.gaussians.check()?;
        let turn = smplx::rotation::quat_from_matrix(&smplx::linear(to));
        let g = &self.gaussians;
        out.means.clear();
        out.means.extend(g.means.iter().map(|m| smplx::transform_point(to, *m)));
        out.rotations.clear();
        out.rotations.extend(g.rotations.iter().map(|q| smplx::rotation::quat_mul(turn, *q)));
        copy(&mut out.scales, &g.scales);
        copy(&mut out.opacities, &g.opacities);
        let rgb = match &g.colors {
            Colors::Rgb(colors) => colors.clone(),
            Colors::Sh { degree, coefficients } => {
                let n = sh::n_coefficients(*degree) * 3;
                let colored = out.means.iter().zip(coefficients.chunks_exact(n));
                let color = |(mean, c): (&[f32; 3], &[f32])| {
                    let seen = std::array::from_fn(|k| mean[k] - eye[k]);
                    sh::color(*degree, c, turn_back(turn, seen))
                };
                colored.map(color).collect()
            }
        };
        out.colors = Colors::Rgb(rgb);
        Ok(())
    }
}

fn copy<T: Copy>(to: &mut Vec<T>, from: &[T]) {
    to.clear();
    to.extend_from_slice(from);
}

/// `v` turned by the inverse of a unit quaternion (w, x, y, z).
fn turn_back([w, x, y, z]: [f32; 4], v: [f32; 3]) -> [f32; 3] {
    let u = [-x, -y, -z];
    let cross = |a: [f32; 3], b: [f32; 3]| {
        [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
    };
    let t = cross(u, v).map(|c| 2.0 * c);
    let twice = cross(u, t);
    std::array::from_fn(|k| v[k] + w * t[k] + twice[k])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prop_is_moved_as_a_whole() {
        let mut gaussians = crate::synthetic::avatar(5, 1.0, 1);
        gaussians.colors = Colors::Sh { degree: 1, coefficients: (0..60).map(|i| i as f32 / 60.0).collect() };
        let prop = Avatar { gaussians, lhm: None };
        // A quarter turn about z, then two metres forward.
        let to = [[0.0, -1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 2.0]];
        let mut out = Gaussians::default();
        prop.place(&to, [0.0, 0.0, 2.0], &mut out).unwrap();
        let Colors::Rgb(rgb) = &out.colors else { panic!("colours are evaluated") };
        for i in 0..5 {
            let [x, y, z] = prop.gaussians.means[i];
            assert!((0..3).all(|k| (out.means[i][k] - [-y, x, z + 2.0][k]).abs() < 1e-5));
            // The eye was moved along, so it sees the colour that it saw before.
            let before = prop.gaussians.color_from(i, [0.0; 3]);
            assert!((0..3).all(|k| (rgb[i][k] - before[k]).abs() < 1e-5));
        }
    }

    #[test]
    fn turning_back_undoes_a_quarter_turn() {
        let half = std::f32::consts::FRAC_1_SQRT_2;
        // A quarter turn around z takes x to y; back takes y to x.
        let v = turn_back([half, 0.0, 0.0, half], [0.0, 2.0, 5.0]);
        assert!((v[0] - 2.0).abs() < 1e-5 && v[1].abs() < 1e-5 && (v[2] - 5.0).abs() < 1e-5, "{v:?}");
    }
}
