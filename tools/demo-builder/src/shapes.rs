//! The solids of which the street is made: where a ray meets them and how far a point is from them.

use crate::surfaces::Surface;
use glam::Vec3;

/// The form of a solid.
#[derive(Clone, Copy, Debug)]
pub enum Form {
    /// A box along the axes.
    Box {
        /// Its middle.
        center: Vec3,
        /// Half its size.
        half: Vec3,
    },
    /// An upright cylinder.
    Pole {
        /// Middle of its foot.
        foot: Vec3,
        /// Its radius.
        radius: f32,
        /// Its height.
        height: f32,
    },
    /// An ellipsoid along the axes.
    Egg {
        /// Its middle.
        center: Vec3,
        /// Half its size.
        half: Vec3,
    },
}

/// A form with a surface.
#[derive(Clone, Copy, Debug)]
pub struct Solid {
    /// Its form.
    pub form: Form,
    /// What it is covered with.
    pub surface: Surface,
}

/// Where a ray enters a solid.
#[derive(Clone, Copy, Debug)]
pub struct Hit {
    /// Multiple of the ray's direction.
    pub t: f32,
    /// Unit normal.
    pub normal: Vec3,
}

/// Rays start this far from where they were.
const NEAR: f32 = 1e-3;

impl Form {
    /// A box from its two corners.
    #[must_use]
    pub fn block(low: [f32; 3], high: [f32; 3]) -> Self {
        let (low, high) = (Vec3::from_array(low), Vec3::from_array(high));
        Self::Box { center: (low + high) / 2.0, half: (high - low) / 2.0 }
    }

    /// A sphere that holds the form.
    #[must_use]
    pub fn bounds(&self) -> (Vec3, f32) {
        match *self {
            Self::Box { center, half } => (center, half.length()),
            Self::Egg { center, half } => (center, half.max_element()),
            Self::Pole { foot, radius, height } => {
                (foot + Vec3::Y * height / 2.0, (radius * radius + height * height / 4.0).sqrt())
            }
        }
    }

    /// Where a ray from `from` along `ray` enters the form, if it does before `limit`.
    #[must_use]
    pub fn enter(&self, from: Vec3, ray: Vec3, limit: f32) -> Option<Hit> {
        let hit = match *self {
            Self::Box { center, half } => {
                let inverse = ray.recip();
                let (n, k) = ((center - from) * inverse, half * inverse.abs());
                let (enter, leave) = (n - k, n + k);
                let t = enter.max_element();
                if t > leave.min_element() {
                    return None;
                }
                let axis = enter.max_position();
                Hit { t, normal: -Vec3::AXES[axis] * ray[axis].signum() }
            }
            Self::Egg { center, half } => {
                let (o, d) = ((from - center) / half, ray / half);
                let (a, b, c) = (d.dot(d), o.dot(d), o.dot(o) - 1.0);
                let root = b * b - a * c;
                if root < 0.0 {
                    return None;
                }
                let t = (-b - root.sqrt()) / a;
                Hit { t, normal: ((o + d * t) / half).normalize() }
            }
            Self::Pole { foot, radius, height } => {
                let o = from - foot;
                let (a, b, c) = (
                    ray.x * ray.x + ray.z * ray.z,
                    o.x * ray.x + o.z * ray.z,
                    o.x * o.x + o.z * o.z - radius * radius,
                );
                let root = b * b - a * c;
                if root < 0.0 {
                    return None;
                }
                let t = (-b - root.sqrt()) / a;
                let y = o.y + ray.y * t;
                if (0.0..=height).contains(&y) {
                    let at = o + ray * t;
                    Hit { t, normal: Vec3::new(at.x, 0.0, at.z) / radius }
                } else {
                    // From above through the lid.
                    let t = (height - o.y) / ray.y;
                    let at = o + ray * t;
                    if ray.y >= 0.0 || at.x * at.x + at.z * at.z > radius * radius {
                        return None;
                    }
                    Hit { t, normal: Vec3::Y }
                }
            }
        };
        (hit.t > NEAR && hit.t < limit).then_some(hit)
    }

    /// Distance of a point outside; about that for an ellipsoid.
    #[must_use]
    pub fn distance(&self, p: Vec3) -> f32 {
        match *self {
            Self::Box { center, half } => ((p - center).abs() - half).max(Vec3::ZERO).length(),
            Self::Egg { center, half } => {
                (((p - center) / half).length() - 1.0).max(0.0) * half.min_element()
            }
            Self::Pole { foot, radius, height } => {
                let o = p - foot;
                let aside = ((o.x * o.x + o.z * o.z).sqrt() - radius).max(0.0);
                let above = (o.y - height).max(-o.y).max(0.0);
                (aside * aside + above * above).sqrt()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rays_stop_on_the_surface() {
        let forms = [
            Form::block([-1.0, 0.0, -1.0], [1.0, 2.0, 0.5]),
            Form::Pole { foot: Vec3::ZERO, radius: 0.7, height: 2.0 },
            Form::Egg { center: Vec3::Y, half: Vec3::new(0.8, 1.0, 0.6) },
        ];
        let from = Vec3::new(0.4, 3.0, 5.0);
        for form in forms {
            let ray = Vec3::new(0.1, 0.9, 0.1) - from;
            let hit = form.enter(from, ray, 10.0).unwrap();
            assert!(form.distance(from + ray * hit.t) < 1e-4 && form.distance(from) > 3.0, "{form:?}");
            assert!((hit.normal.length() - 1.0).abs() < 1e-4 && hit.normal.dot(ray) < 0.0);
            assert!(form.enter(from, -ray, 10.0).is_none() && form.enter(from, ray, hit.t * 0.9).is_none());
        }
    }
}
