//! `splat`: Gaussians on the image, with every instruction set that this machine has.

use anyhow::{Context, Result, ensure};
use avatar_render::{Camera, Colors, Frame, Gaussians, Level, SplatOptions, SplatRenderer, splat};
use serde_json::Value;
use testkit::{Case, Checker, Outliers};

/// A pixel may flip a 1/255 or 1e-4 decision: the case's note.
const FLIPS: Outliers = Outliers { share: 0.001, atol: 0.01 };

/// Runs every run of the case.
pub fn run(case: &Case, checker: &mut Checker<'_>) -> Result<()> {
    for (name, run) in case.named_runs()? {
        let scene = Scene::read(case, name, run)?;
        let (width, height) = (scene.camera.width(), scene.camera.height());
        let frame = splat::reference::render(&scene.gaussians, &scene.camera, &scene.options)?;
        compare_frame(checker, name, &frame);
        for level in Level::supported() {
            let mut renderer = SplatRenderer::with_level(level).context("an instruction set went away")?;
            let mut frame = Frame::new();
            renderer.render(&scene.gaussians, &scene.camera, &scene.options, &mut frame)?;
            ensure!((frame.width(), frame.height()) == (width, height), "the frame has another size");
            compare_frame(checker, name, &frame);
            compare_projected(checker, name, renderer.projected());
        }
    }
    Ok(())
}

struct Scene {
    gaussians: Gaussians,
    camera: Camera,
    options: SplatOptions,
}

impl Scene {
    fn read(case: &Case, name: &str, run: &Value) -> Result<Self> {
        let input = |tensor: &str| Ok::<_, anyhow::Error>(case.input_f32(name, tensor)?.data);
        let scalar = |key: &str| {
            run[key].as_f64().map(|x| x as f32).with_context(|| format!("run {name} has no number {key:?}"))
        };
        let side = |key: &str| {
            let side = run[key].as_u64().with_context(|| format!("run {name} has no {key:?}"))?;
            Ok::<_, anyhow::Error>(usize::try_from(side)?)
        };
        ensure!(run["sh_degree"].as_u64().unwrap_or(0) == 0, "the case's colours are precomputed");
        let gaussians = Gaussians {
            means: rows(&input("means3D")?),
            scales: rows(&input("scales")?),
            rotations: rows(&input("rotations")?),
            opacities: input("opacities")?,
            colors: Colors::Rgb(rows(&input("colors")?)),
        };
        let camera = Camera::from_matrices(
            [side("image_width")?, side("image_height")?],
            rows(&input("viewmatrix")?).first().copied().context("no view matrix")?,
            rows(&input("projmatrix")?).first().copied().context("no projection matrix")?,
            [scalar("tanfovx")?, scalar("tanfovy")?],
        )?;
        let background = rows(&input("bg")?).first().copied().context("no background")?;
        let options =
            SplatOptions { background, scale_modifier: scalar("scale_modifier")?, contributors: true };
        Ok(Self { gaussians, camera, options })
    }
}

fn rows<const N: usize>(flat: &[f32]) -> Vec<[f32; N]> {
    flat.as_chunks::<N>().0.to_vec()
}

fn compare_frame(checker: &mut Checker<'_>, run: &str, frame: &Frame) {
    let (w, h) = (frame.width(), frame.height());
    let planes: Vec<f32> = (0..3).flat_map(|c| frame.color().iter().skip(c).step_by(3).copied()).collect();
    checker.f32_with_outliers(&format!("{run}.color"), &[3, h, w], &planes, FLIPS);
    checker.f32_with_outliers(&format!("{run}.alpha"), &[1, h, w], frame.alpha(), FLIPS);
    checker.f32_with_outliers(&format!("{run}.depth"), &[1, h, w], frame.depth(), FLIPS);
    let counts: Vec<i64> = frame.contributors().iter().map(|&n| n.into()).collect();
    checker.i64(&format!("{run}.contributors"), &[h, w], &counts);
}

fn compare_projected(checker: &mut Checker<'_>, run: &str, projected: &[splat::Projected]) {
    let n = projected.len();
    let radii: Vec<i64> = projected.iter().map(|p| p.radius.into()).collect();
    checker.i64(&format!("{run}.radii"), &[n], &radii);
    let means: Vec<f32> = projected.iter().flat_map(|p| p.mean_px).collect();
    checker.f32(&format!("{run}.means2D"), &[n, 2], &means);
    let conics: Vec<f32> = projected.iter().flat_map(|p| p.conic).collect();
    checker.f32(&format!("{run}.conic"), &[n, 3], &conics);
}
