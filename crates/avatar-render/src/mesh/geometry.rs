//! From triangles in the world to triangles on the image: normals, near-plane clipping, fixed-point positions.

use super::Mesh;
use crate::Camera;

/// Nothing nearer than this is drawn, in metres.
const NEAR: f32 = 0.01;
/// Positions are multiples of 1/256 of a sample, so that edge tests are exact and neighbours share their edges.
pub(crate) const SUBPIXEL: i64 = 256;
/// Positions further out than this many samples are moved there.
const FAR_OUT: f32 = (1 << 20) as f32;

/// A corner in camera space.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Corner {
    pub(crate) position: [f32; 3],
    pub(crate) normal: [f32; 3],
}

/// A triangle on the image, counter-clockwise or clockwise as it comes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScreenTriangle {
    /// Fixed-point sample positions; sample (i, j) sits at multiples of [`SUBPIXEL`].
    pub(crate) at: [[i64; 2]; 3],
    pub(crate) inverse_z: [f32; 3],
    pub(crate) normal: [[f32; 3]; 3],
}

/// Area-weighted normals of the vertices, not normalised, into `out`.
fn vertex_normals(mesh: &Mesh<'_>, out: &mut Vec<[f32; 3]>) {
    out.clear();
    out.resize(mesh.vertices.len(), [0.0; 3]);
    for face in mesh.faces {
        let [a, b, c] = face.map(|v| mesh.vertices[v as usize]);
        let (u, v) = (sub(b, a), sub(c, a));
        let n = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
        for &v in face {
            for (sum, x) in out[v as usize].iter_mut().zip(n) {
                *sum += x;
            }
        }
    }
}

/// Brings positions and normals into camera space. What isn't finite is moved behind the camera.
fn to_view(mesh: &Mesh<'_>, normals: &[[f32; 3]], camera: &Camera, out: &mut Vec<Corner>) {
    let m = camera.view_from_world();
    let turn = |v: [f32; 3]| -> [f32; 3] {
        std::array::from_fn(|r| m[r] * v[0] + m[4 + r] * v[1] + m[8 + r] * v[2])
    };
    out.clear();
    out.extend(mesh.vertices.iter().zip(normals).map(|(&p, &n)| {
        let turned = turn(p);
        let position: [f32; 3] = std::array::from_fn(|r| turned[r] + m[12 + r]);
        let finite = position.iter().all(|x| x.is_finite());
        let position = if finite { position } else { [0.0, 0.0, -1.0] };
        Corner { position, normal: normalized(turn(n)) }
    }));
}

/// Clips a triangle at the near plane and hands what is left, none to two triangles, to `emit`.
fn clip(corners: [Corner; 3], mut emit: impl FnMut([Corner; 3])) {
    let inside = corners.map(|c| c.position[2] > NEAR);
    match inside.iter().filter(|i| **i).count() {
        0 => {}
        3 => emit(corners),
        n => {
            // Turn so that the odd one out comes first.
            let odd = (0..3).find(|&i| inside[i] == (n == 1)).unwrap_or(0);
            let [a, b, c] = [0, 1, 2].map(|i| corners[(odd + i) % 3]);
            let (ab, ac) = (cut(a, b), cut(a, c));
            if n == 1 {
                emit([a, ab, ac]);
            } else {
                emit([ab, b, c]);
                emit([ab, c, ac]);
            }
        }
    }
}

/// The point of an edge on the near plane.
fn cut(a: Corner, b: Corner) -> Corner {
    let t = (NEAR - a.position[2]) / (b.position[2] - a.position[2]);
    let mix = |x: [f32; 3], y: [f32; 3]| std::array::from_fn(|k| x[k] + t * (y[k] - x[k]));
    let mut position: [f32; 3] = mix(a.position, b.position);
    position[2] = NEAR;
    Corner { position, normal: mix(a.normal, b.normal) }
}

/// From camera space to the image, at `samples` samples along a pixel's side.
struct Projection {
    /// Pixel = `scale · x / z + shift`.
    scale: [f32; 2],
    shift: [f32; 2],
}

impl Projection {
    /// Reads focal lengths and principal point out of the projection matrix; the view has to be rigid.
    fn new(camera: &Camera, samples: usize) -> Self {
        let (clip, view) = (camera.clip_from_world(), camera.view_from_world());
        // Row r of clip_from_view is row r of clip_from_world times the transposed view axes.
        let element =
            |row: usize, axis: usize| -> f32 { (0..3).map(|k| clip[4 * k + row] * view[4 * k + axis]).sum() };
        let s = samples as f32;
        let size = [camera.width() as f32, camera.height() as f32];
        let scale = std::array::from_fn(|i| 0.5 * size[i] * element(i, i) * s);
        let shift = std::array::from_fn(|i| {
            let pixel = 0.5 * ((element(i, 2) + 1.0) * size[i] - 1.0);
            // A pixel's samples lie around its centre: (sample + 0.5) / s - 0.5.
            s * (pixel + 0.5) - 0.5
        });
        Self { scale, shift }
    }

    fn triangle(&self, corners: &[Corner; 3]) -> ScreenTriangle {
        let fixed = |c: &Corner| -> [i64; 2] {
            std::array::from_fn(|i| {
                let at = self.scale[i] * c.position[i] / c.position[2] + self.shift[i];
                (at.clamp(-FAR_OUT, FAR_OUT) * SUBPIXEL as f32).round() as i64
            })
        };
        let [a, b, c] = corners;
        ScreenTriangle {
            at: [fixed(a), fixed(b), fixed(c)],
            inverse_z: [1.0 / a.position[2], 1.0 / b.position[2], 1.0 / c.position[2]],
            normal: [a.normal, b.normal, c.normal],
        }
    }
}

fn sub(a: [f32; 3], b: [f32; 3]) -> [f32; 3] {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

/// A unit vector; towards the viewer where there is no direction.
pub(super) fn normalized(v: [f32; 3]) -> [f32; 3] {
    let norm = (v[0] * v[0] + v[1] * v[1] + v[2] * v[2]).sqrt();
    if norm > 0.0 && norm.is_finite() { v.map(|x| x / norm) } else { [0.0, 0.0, -1.0] }
}

/// The stages before rasterization, which both back ends share; buffers are reused.
#[derive(Debug, Default)]
pub(crate) struct Setup {
    normals: Vec<[f32; 3]>,
    corners: Vec<Corner>,
    pub(crate) triangles: Vec<ScreenTriangle>,
}

impl Setup {
    /// Fills `triangles` for a mesh that has been checked.
    pub(crate) fn run(&mut self, mesh: &Mesh<'_>, camera: &Camera, samples: usize) {
        vertex_normals(mesh, &mut self.normals);
        to_view(mesh, &self.normals, camera, &mut self.corners);
        self.triangles.clear();
        let projection = Projection::new(camera, samples);
        for face in mesh.faces {
            clip(face.map(|v| self.corners[v as usize]), |corners| {
                self.triangles.push(projection.triangle(&corners));
            });
        }
    }
}
