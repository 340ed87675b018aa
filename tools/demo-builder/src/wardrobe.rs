//! What the character wears: colour and thickness by place on the body.

use crate::noise::{fractal, smoothstep, value};
use crate::surfaces::linear;
use crate::{Result, vec3};
use glam::{Vec2, Vec3};
use smplx::{BodyModel, Frame, N_JOINTS, Rotations};

/// Places on a body in its neutral pose by which clothes are cut.
#[derive(Clone, Debug)]
pub struct Anatomy {
    joints: [Vec3; N_JOINTS],
    /// The 51 landmarks: brows, nose, eyes, mouth.
    face: Vec<Vec3>,
    ground: f32,
}

/// A place on the skin.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Where it is in the neutral pose.
    pub at: Vec3,
    /// Unit normal.
    pub normal: Vec3,
    /// Shares of the joints that it follows, summed by part of the body.
    pub parts: Parts,
}

/// How much a place follows each part of the body; sums to 1.
#[derive(Clone, Copy, Debug, Default)]
pub struct Parts {
    /// Head, jaw.
    pub head: f32,
    /// An eyeball.
    pub eye: f32,
    /// Neck.
    pub neck: f32,
    /// Hands.
    pub hand: f32,
    /// Forearms and upper arms.
    pub arm: f32,
    /// Chest, belly, collar bones, pelvis.
    pub trunk: f32,
    /// Thighs and shanks.
    pub leg: f32,
    /// Feet.
    pub foot: f32,
}

impl Parts {
    /// Adds the share of a joint.
    pub fn add(&mut self, joint: usize, share: f32) {
        let part = match joint {
            15 | 22 => &mut self.head,
            23 | 24 => &mut self.eye,
            12 => &mut self.neck,
            20 | 21 | 25.. => &mut self.hand,
            16..=19 => &mut self.arm,
            1 | 2 | 4 | 5 => &mut self.leg,
            7 | 8 | 10 | 11 => &mut self.foot,
            _ => &mut self.trunk,
        };
        *part += share;
    }
}

/// How a place is dressed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cloth {
    /// Share of light that it reflects, linear.
    pub albedo: Vec3,
    /// How far it stands off the skin, in metres.
    pub thickness: f32,
    /// How densely points lie here, against plain clothes.
    pub density: f32,
}

impl Anatomy {
    /// Measures the neutral pose.
    ///
    /// # Errors
    /// When the body has no landmarks.
    pub fn new(model: &BodyModel) -> Result<Self> {
        let pose = smplx::neutral_pose();
        let posed = model.forward(&Frame { rotations: Rotations::AxisAngle(&pose), ..Frame::REST })?;
        let face = model.face_landmarks(&posed.vertices)?.into_iter().map(vec3).collect();
        let ground = posed.vertices.iter().map(|v| v[1]).fold(f32::INFINITY, f32::min);
        Ok(Self { joints: posed.joints.positions.map(vec3), face, ground })
    }

    /// What is worn at a place.
    #[must_use]
    pub fn cloth(&self, place: &Place) -> Cloth {
        let Place { at: p, parts, .. } = *place;
        if parts.eye > 0.5 {
            return self.eye(p);
        }
        if parts.head > 0.5 {
            return self.head(p);
        }
        let wrist = self.joints[20].x.abs();
        let sleeve_end = wrist - 0.012;
        if parts.arm + parts.hand > 0.5 {
            return if p.x.abs() > sleeve_end { self.hand(p) } else { self.jacket(place, wrist) };
        }
        let collar = self.joints[12].y + 0.035 + 0.25 * (self.joints[12].z - p.z).max(-0.05);
        if parts.neck + parts.head > 0.5 && p.y > collar {
            return skin(p, 0.0, 2.0);
        }
        let shoe_top = self.ground + 0.105;
        if p.y < shoe_top {
            return self.shoe(p);
        }
        let hem = self.joints[0].y - 0.075;
        if p.y < hem {
            return self.trousers(p);
        }
        self.jacket(place, wrist)
    }

    fn eye(&self, p: Vec3) -> Cloth {
        let middle = if p.x > 0.0 { self.joints[23] } else { self.joints[24] };
        let toward = (p - middle).normalize().z;
        let albedo = if toward > 0.982 {
            linear(0.05, 0.04, 0.04)
        } else if toward > 0.89 {
            linear(0.32, 0.21, 0.12)
        } else {
            linear(0.90, 0.88, 0.86)
        };
        // A little proud of the lids, whose own points are wide enough to hide it.
        Cloth { albedo, thickness: 0.0018, density: if toward > 0.4 { 40.0 } else { 12.0 } }
    }

    fn head(&self, p: Vec3) -> Cloth {
        let eyes = (self.joints[23] + self.joints[24]) / 2.0;
        let (up, back, aside) = (p.y - eyes.y, eyes.z - p.z, p.x.abs());
        // Height of the hairline over the eyes: high at the forehead, sideburns, low at the nape.
        let line = 0.068
            - 0.075 * smoothstep(0.015, 0.075, back)
            - 0.09 * smoothstep(0.085, 0.13, back)
            - 0.16 * (aside - 0.02).max(0.0) * smoothstep(0.06, 0.0, back);
        let ragged = line + 0.010 * fractal(p * 90.0, 2, 0.0);
        let ear = aside > 0.070 && back > 0.055 && back < 0.125 && up.abs() < 0.04;
        if up > ragged && !ear {
            let deep = smoothstep(0.0, 0.035, up - line);
            let strand = fractal(p * Vec3::new(190.0, 60.0, 70.0), 3, 0.0);
            let albedo = linear(0.23, 0.14, 0.085) * (1.0 + 0.75 * strand);
            let locks = value(p * Vec3::new(70.0, 45.0, 45.0));
            return Cloth { albedo, thickness: (0.006 + 0.018 * locks) * (0.25 + 0.75 * deep), density: 3.2 };
        }
        let mut cloth = skin(p, 0.0, 8.0);
        let flat = p.truncate();
        let front = back < 0.03;
        let brow = [0..5, 5..10].into_iter().any(|r| near_line(flat, &self.face[r], 0.0048));
        if front && brow {
            cloth.albedo = linear(0.24, 0.15, 0.10);
        } else if front && inside(flat, &self.face[31..43]) {
            cloth.albedo = cloth.albedo.lerp(linear(0.66, 0.33, 0.31), 0.75);
        } else if front {
            let cheek = [-1.0, 1.0].map(|s| (flat - Vec2::new(s * 0.042, eyes.y - 0.045)).length());
            let blush = 1.0 - smoothstep(0.008, 0.032, cheek[0].min(cheek[1]));
            cloth.albedo = cloth.albedo.lerp(linear(0.80, 0.50, 0.42), 0.35 * blush);
            // Lids are fine and darken at their edges.
            let ring = |reach| [19..25, 25..31].into_iter().any(|r| near_ring(flat, &self.face[r], reach));
            if ring(0.006) {
                cloth.density = 30.0;
            }
            if ring(0.0013) {
                cloth.albedo *= 0.3;
            }
        }
        cloth
    }

    fn hand(&self, p: Vec3) -> Cloth {
        skin(p, 0.0, 2.2)
    }

    fn jacket(&self, place: &Place, wrist: f32) -> Cloth {
        let Place { at: p, parts, normal } = *place;
        let weave = 0.10 * ((p.x * 900.0).sin() * (p.y * 900.0).sin()) + 0.16 * fractal(p * 38.0, 3, 0.0);
        let teal = linear(0.10, 0.40, 0.44);
        let (mustard, cream) = (linear(0.93, 0.67, 0.20), linear(0.92, 0.88, 0.78));
        let navy = linear(0.10, 0.14, 0.21);
        let (hem, neck) = (self.joints[0].y - 0.075, self.joints[12].y);
        let chest = self.joints[9].y + 0.015;
        let on_arm = parts.arm + parts.hand > 0.5;
        let mut albedo = teal;
        let mut thickness = 0.012 + 0.004 * fractal(p * Vec3::new(9.0, 16.0, 9.0), 3, 0.0);
        let mut density = 1.1;
        if on_arm {
            let shoulder = self.joints[16].x.abs();
            let along = (p.x.abs() - shoulder) / (wrist - shoulder);
            if (0.30..0.42).contains(&along) {
                albedo = mustard;
            } else if (0.42..0.45).contains(&along) {
                albedo = cream;
            }
            if along > 0.93 {
                albedo = navy;
                thickness -= 0.003;
            } else {
                // The sleeve is loose and gathers at the cuff.
                thickness += 0.006 * smoothstep(0.93, 0.75, along);
            }
            density = 1.3;
        } else {
            if (chest - 0.075..chest).contains(&p.y) {
                albedo = mustard;
            } else if (chest..chest + 0.018).contains(&p.y) {
                albedo = cream;
            }
            let from_edge = [chest - 0.075, chest, chest + 0.018].map(|y| (p.y - y).abs());
            if from_edge.into_iter().any(|d| d < 0.012) {
                density = 2.4;
            }
            if normal.z > 0.1 && p.x.abs() < 0.025 {
                density = 3.0;
            }
            if normal.z > 0.1 && p.x.abs() < 0.007 {
                albedo = linear(0.74, 0.75, 0.76);
            } else if p.y < hem + 0.055 {
                albedo = navy;
                density = 1.8;
            } else {
                let bell = smoothstep(chest, hem + 0.06, p.y);
                thickness += 0.012 * bell;
            }
            if p.y > neck - 0.012 {
                // The collar stands off the neck.
                albedo = navy;
                thickness = 0.016;
                density = 2.2;
            }
        }
        Cloth { albedo: albedo * (1.0 + weave), thickness, density }
    }

    fn trousers(&self, p: Vec3) -> Cloth {
        let hip = if p.x > 0.0 { self.joints[1] } else { self.joints[2] };
        let ankle = if p.x > 0.0 { self.joints[7] } else { self.joints[8] };
        let down = ((hip.y - p.y) / (hip.y - ankle.y)).clamp(0.0, 1.0);
        let axis = hip.lerp(ankle, down);
        let out = (p - axis) * Vec3::new(p.x.signum(), 0.0, 1.0);
        let twill =
            0.10 * ((p.x + p.y) * 800.0).sin() + 0.20 * fractal(p * Vec3::new(40.0, 14.0, 40.0), 4, 0.0);
        let worn =
            0.35 * smoothstep(0.03, 0.09, out.z) * smoothstep(0.25, 0.45, down) * smoothstep(0.75, 0.5, down);
        let mut albedo = linear(0.19, 0.24, 0.37) * (1.0 + twill + worn);
        if out.x > 0.02 && out.z.abs() < 0.006 {
            albedo *= 0.55;
        }
        let cuff = p.y < self.ground + 0.135;
        if cuff {
            albedo = linear(0.30, 0.36, 0.50) * (1.0 + twill);
        }
        let fold = 0.005 * fractal(p * Vec3::new(10.0, 26.0, 10.0), 3, 0.0) * smoothstep(0.3, 1.0, down);
        // Straight legs: thicker where the leg is thin.
        let thickness = 0.008 + 0.016 * smoothstep(0.35, 1.0, down) + fold;
        Cloth { albedo, thickness, density: if cuff { 1.6 } else { 1.0 } }
    }

    fn shoe(&self, p: Vec3) -> Cloth {
        let up = p.y - self.ground;
        let foot = if p.x > 0.0 { self.joints[10] } else { self.joints[11] };
        let tip = p.z - foot.z;
        let grain = 1.0 + 0.10 * fractal(p * 60.0, 3, 0.0);
        let laces = (p.x - foot.x).abs() < 0.022 && (-0.055..0.01).contains(&tip) && up > 0.045;
        let albedo = if up < 0.022 {
            linear(0.90, 0.89, 0.85)
        } else if laces && ((p.z * 95.0).sin() > 0.1) {
            linear(0.93, 0.92, 0.88)
        } else if tip > 0.045 {
            linear(0.86, 0.85, 0.81)
        } else if (tip + 0.06).abs() < 0.012 || tip < -0.15 {
            linear(0.90, 0.64, 0.19)
        } else {
            linear(0.70, 0.21, 0.17)
        };
        let thickness = if up < 0.02 { 0.012 } else { 0.009 };
        Cloth { albedo: albedo * grain, thickness, density: 2.0 }
    }
}

fn skin(p: Vec3, thickness: f32, density: f32) -> Cloth {
    let albedo = linear(0.84, 0.62, 0.50) * (1.0 + 0.07 * fractal(p * 60.0, 3, 0.0));
    Cloth { albedo, thickness, density }
}

/// Distance of a point from a segment.
fn from_segment(p: Vec2, a: Vec2, b: Vec2) -> f32 {
    let along = ((p - a).dot(b - a) / (b - a).length_squared().max(1e-12)).clamp(0.0, 1.0);
    (p - a - (b - a) * along).length()
}

fn near_line(p: Vec2, line: &[Vec3], reach: f32) -> bool {
    line.windows(2).any(|w| from_segment(p, w[0].truncate(), w[1].truncate()) < reach)
}

fn near_ring(p: Vec2, ring: &[Vec3], reach: f32) -> bool {
    near_line(p, ring, reach)
        || match ring {
            [first, .., last] => from_segment(p, last.truncate(), first.truncate()) < reach,
            _ => false,
        }
}

/// Is a point inside a polygon?
fn inside(p: Vec2, ring: &[Vec3]) -> bool {
    let mut within = false;
    for (i, a) in ring.iter().enumerate() {
        let b = ring[(i + 1) % ring.len()];
        if (a.y > p.y) != (b.y > p.y) && p.x < (b.x - a.x) * (p.y - a.y) / (b.y - a.y) + a.x {
            within = !within;
        }
    }
    within
}
