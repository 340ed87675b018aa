//! Pictures of a body file at rest and in a few poses, for looking at: front, side, back, a hand, the face, a foot.
//!
//! ```text
//! cargo run -p body-builder --example render_body -- BODY.npz OUT_FOLDER
//! ```

#[path = "support/raster.rs"]
mod raster;

use std::error::Error;
use std::path::PathBuf;

use image::{Rgb, RgbImage};
use raster::Raster;
use smplx::{BodyModel, Frame, JOINT_NAMES, N_JOINTS, Rotations};

/// A picture: name, centre and height of what is seen [m], and the turn about y and x of the body [degrees].
type View = (&'static str, [f32; 3], f32, [f32; 2]);

const VIEWS: [View; 8] = [
    ("front", [0.0, -0.44, 0.0], 1.9, [0.0, 0.0]),
    ("side", [0.0, -0.44, 0.0], 1.9, [-90.0, 0.0]),
    ("back", [0.0, -0.44, 0.0], 1.9, [180.0, 0.0]),
    ("face", [0.0, 0.28, 0.08], 0.34, [0.0, 0.0]),
    ("profile", [0.0, 0.28, 0.04], 0.34, [-90.0, 0.0]),
    ("hand", [0.76, 0.035, -0.05], 0.26, [0.0, 90.0]),
    ("palm", [0.76, 0.035, -0.05], 0.26, [0.0, -90.0]),
    ("feet", [0.0, -1.22, 0.0], 0.5, [-35.0, 25.0]),
];

/// A pose: name and the joints that turn, as axis times angle [degrees].
type Pose = (&'static str, &'static [(&'static str, [f32; 3])]);

const POSES: [Pose; 4] = [
    ("arms_down", &[("left_shoulder", [0.0, 0.0, -75.0]), ("right_shoulder", [0.0, 0.0, 75.0])]),
    ("arms_up", &[("left_shoulder", [0.0, 0.0, 70.0]), ("right_shoulder", [0.0, 0.0, -70.0])]),
    (
        "bent",
        &[
            ("left_shoulder", [0.0, 0.0, -70.0]),
            ("right_shoulder", [0.0, -60.0, 40.0]),
            ("left_elbow", [0.0, -100.0, 0.0]),
            ("right_elbow", [0.0, 90.0, 0.0]),
            ("left_hip", [-80.0, 0.0, 0.0]),
            ("left_knee", [90.0, 0.0, 0.0]),
            ("right_knee", [40.0, 0.0, 0.0]),
            ("head", [0.0, 35.0, 0.0]),
            ("jaw", [15.0, 0.0, 0.0]),
        ],
    ),
    ("fists", &[]),
];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [body, out] = &arguments[..] else {
        return Err("usage: render_body BODY.npz OUT_FOLDER".into());
    };
    std::fs::create_dir_all(out)?;
    let model = BodyModel::open(body)?;
    let rest = model.forward(&Frame::REST)?.vertices;
    for (name, centre, height, turn) in VIEWS {
        render(&model, &rest, centre, height, turn).save(out.join(format!("rest_{name}.png")))?;
    }
    for (name, joints) in POSES {
        let mut pose = [[0.0f32; 3]; N_JOINTS];
        for (joint, degrees) in joints {
            let j = JOINT_NAMES.iter().position(|n| n == joint).ok_or(*joint)?;
            pose[j] = degrees.map(f32::to_radians);
        }
        if name == "fists" {
            for (j, p) in
                pose.iter_mut().enumerate().skip(25).filter(|(j, _)| !JOINT_NAMES[*j].contains("thumb"))
            {
                *p = [0.0, 0.0, if j < 40 { -1.2 } else { 1.2 }];
            }
        }
        let posed = model.forward(&Frame { rotations: Rotations::AxisAngle(&pose), ..Frame::REST })?.vertices;
        for (view, turn) in [("front", 0.0), ("left", -60.0), ("back", 180.0)] {
            let picture = render(&model, &posed, [0.0, -0.1, 0.0], 1.2, [turn, 0.0]);
            picture.save(out.join(format!("{name}_{view}.png")))?;
        }
        if name == "fists" {
            render(&model, &posed, VIEWS[5].1, VIEWS[5].2, [-20.0, 60.0]).save(out.join("fist.png"))?;
        }
    }
    for e in 0..model.n_expressions() {
        let mut expression = vec![0.0; e];
        expression.push(1.0);
        let face = model.forward(&Frame { expression: &expression, ..Frame::REST })?.vertices;
        render(&model, &face, VIEWS[3].1, VIEWS[3].2, [0.0, 0.0])
            .save(out.join(format!("expression_{e}.png")))?;
    }
    for s in 0..model.n_betas() {
        for (sign, value) in [("minus", -2.0), ("plus", 2.0)] {
            let mut betas = vec![0.0; s];
            betas.push(value);
            let shaped = model.forward(&Frame { betas: &betas, ..Frame::REST })?.vertices;
            let picture = render(&model, &shaped, VIEWS[0].1, 2.3, [0.0, 0.0]);
            picture.save(out.join(format!("shape_{s}_{sign}.png")))?;
        }
    }
    Ok(())
}

/// An orthographic picture; positive depth is away from the viewer, who looks along -z at the turned body.
fn render(
    model: &BodyModel,
    vertices: &[[f32; 3]],
    centre: [f32; 3],
    height: f32,
    turn: [f32; 2],
) -> RgbImage {
    const SIZE: u32 = 640;
    let scale = SIZE as f32 / height;
    let [(sy, cy), (sx, cx)] = turn.map(|d| d.to_radians().sin_cos());
    let turned: Vec<[f32; 3]> = vertices
        .iter()
        .map(|v| {
            let p: [f32; 3] = std::array::from_fn(|i| v[i] - centre[i]);
            let (x, z) = (cy * p[0] + sy * p[2], cy * p[2] - sy * p[0]);
            [x, cx * p[1] - sx * z, sx * p[1] + cx * z]
        })
        .collect();
    let middle = SIZE as f32 / 2.0;
    let pixels: Vec<[f32; 3]> =
        turned.iter().map(|p| [middle + scale * p[0], middle - scale * p[1], -p[2]]).collect();
    let mut raster = Raster::new(SIZE, SIZE);
    raster.mesh(model.faces(), &pixels, &turned, [0.0, 0.0, 1.0]);
    RgbImage::from_fn(SIZE, SIZE, |x, y| {
        let pixel = y as usize * raster.width + x as usize;
        let grey = if raster.depth[pixel].is_finite() { (raster.shade[pixel] * 235.0) as u8 } else { 255 };
        Rgb([grey; 3])
    })
}
