//! LHM's files at full size without their contents, and an avatar from a picture with a small network of random weights.

#[path = "support/small_lhm.rs"]
mod small_lhm;

use anicrafter_pipeline::{
    Activations, CreatePlan, Dtype, Error, LhmRequest, LhmSetup, Subject, SubjectOptions, create_avatar,
    open_body,
};
use avatar_render::Avatar;
use candle_core::Device;
use checkpoint::{LhmFiles, Manifest, Model, write_lhm_skeleton};
use image::{GrayImage, Luma, Rgb, RgbImage};
use lhm::{Config, Part, Unfit, Variant};
use std::ops::ControlFlow;
use std::path::Path;

#[test]
fn the_published_models_tensors_are_counted() {
    // Counts of the originals' classes; the table of frequencies (72 numbers) is made anew and not read.
    for (variant, tensors, parameters) in [
        (Variant::Mini, 497, 442_314_510),
        (Variant::M500, 689, 668_992_782),
        (Variant::B1, 1329, 1_424_587_022),
    ] {
        let config = serde_json::to_value(Config::variant(variant)).unwrap();
        let manifest = Manifest::of(Model::Lhm, &config).unwrap();
        assert_eq!(manifest.parameters(), parameters, "{variant:?}");
        assert_eq!(manifest.tensors.len(), tensors, "{variant:?}");
        let plan = lhm::plan(&Config::variant(variant), &lhm::Workload::default());
        let sapiens = Manifest::of(Model::Sapiens, &config["fine_encoder"]).unwrap();
        assert_eq!((plan.sapiens_parameters, sapiens.tensors.len()), (sapiens.parameters(), 486));
    }
}

fn request(folder: &Path) -> LhmRequest {
    LhmRequest { folder: folder.to_owned(), ..LhmRequest::default() }
}

#[test]
fn full_size_files_are_found_and_compared() {
    for variant in [Variant::M500, Variant::B1] {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::variant(variant);
        write_lhm_skeleton(dir.path(), &serde_json::to_value(&config).unwrap()).unwrap();
        let setup = LhmSetup::find(&request(dir.path())).unwrap();
        assert_eq!(setup.config, config);
        let text = setup.to_string();
        assert!(
            text.contains(if variant == Variant::B1 {
                "LHM-1B: 1329 tensors"
            } else {
                "LHM-500M: 689 tensors"
            }),
            "{text}"
        );
        assert!(text.contains("6 besides that nothing needs") && setup.notes.len() == 2, "{text}");

        // Another model than its configuration says: every tensor that doesn't fit is named.
        let other = LhmRequest { variant: Some(Variant::Mini), ..request(dir.path()) };
        let error = LhmSetup::find(&other).unwrap_err().to_string();
        assert!(
            error.contains("transformer.layers.2.head_dit") || error.contains("transformer.layers.*"),
            "{error}"
        );

        std::fs::remove_file(LhmFiles::find(dir.path()).unwrap().sapiens.remove(0)).unwrap();
        let error = LhmSetup::find(&request(dir.path())).unwrap_err().to_string();
        assert!(
            error.contains("sapiens_1b_epoch_173_torchscript.pt2") && error.contains("--sapiens"),
            "{error}"
        );
    }
}

/// A figure of blocks, and its mask.
fn picture() -> (RgbImage, SubjectOptions) {
    let inside = |x: u32, y: u32| {
        (38..62).contains(&x) && (20..140).contains(&y) || (30..70).contains(&x) && (50..80).contains(&y)
    };
    let picture = RgbImage::from_fn(100, 160, |x, y| {
        if inside(x, y) { Rgb([(y * 2) as u8, 90, (x * 3) as u8]) } else { Rgb([200, 220, 210]) }
    });
    let mask = GrayImage::from_fn(100, 160, |x, y| Luma([if inside(x, y) { 255 } else { 0 }]));
    let options = SubjectOptions {
        mask: Some(mask),
        head_box: Some([42.0, 26.0, 58.0, 46.0]),
        body_ratio: Some(0.93),
        ..SubjectOptions::default()
    };
    (picture, options)
}

#[test]
fn a_picture_becomes_an_avatar() {
    let dir = tempfile::tempdir().unwrap();
    small_lhm::write(dir.path());
    let setup = LhmSetup::find(&request(dir.path())).unwrap();
    let (body, points) = (open_body(None).unwrap(), setup.points(None).unwrap());
    let (picture, options) = picture();
    let subject = Subject::new(&picture, &options, &setup.config, &body).unwrap();
    assert!(subject.has_head && subject.notes.is_empty());
    let betas = [0.5; 10];
    let mut parts = Vec::new();
    let mut watch = |part: Part, done: f64| {
        assert!((0.0..=1.0).contains(&done), "{part:?} {done}");
        if parts.last() != Some(&part) {
            parts.push(part);
        }
        ControlFlow::Continue(())
    };
    let model = setup.model(Dtype::F32, Activations::Float, &Device::Cpu).unwrap();
    let avatar = create_avatar(&model, &subject, &points, &betas, &mut watch).unwrap();
    assert_eq!(parts, Part::ALL);
    assert_eq!(avatar.gaussians.len(), 400);

    let path = dir.path().join("me_gaussian.pth");
    avatar.save(&path).unwrap();
    let back = Avatar::open(&path).unwrap();
    assert_eq!(back, avatar);
    let lhm = back.lhm.unwrap();
    assert_eq!((lhm.betas.as_slice(), lhm.body_ratio, lhm.has_face), (&betas[..], 0.93, true));

    // Matrices of half precision and in blocks say nearly the same.
    for (dtype, activations, reach) in [
        (Dtype::Bf16, Activations::Float, 0.02),
        (Dtype::Q8, Activations::Float, 0.02),
        (Dtype::Q8, Activations::Int8, 0.04),
    ] {
        let model = setup.model(dtype, activations, &Device::Cpu).unwrap();
        let other = create_avatar(&model, &subject, &points, &betas, &mut ()).unwrap();
        let pairs = avatar.gaussians.means.as_flattened().iter().zip(other.gaussians.means.as_flattened());
        let worst = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        println!("{dtype:?}, {activations:?}: {worst} m");
        assert!(worst > 0.0 && worst < reach, "{dtype:?}, {activations:?}: {worst} m");
    }
    let refused = setup.model(Dtype::F32, Activations::Int8, &Device::Cpu);
    assert!(matches!(refused, Err(Error::Option { option: "activations", .. })));

    let mut stop = |part: Part, _: f64| {
        if part == Part::Points { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    assert!(matches!(create_avatar(&model, &subject, &points, &betas, &mut stop), Err(Error::Cancelled)));
    let plan = CreatePlan::new(&setup.config, Dtype::F32, 400, &Device::Cpu).unwrap();
    assert!(plan.seconds > 0.0 && plan.to_string().contains("TFLOP"));
}

#[test]
fn pictures_that_do_not_serve_are_refused() {
    let (config, body) = (small_lhm::config(), open_body(None).unwrap());
    let (picture, options) = picture();
    let refuse = |options: &SubjectOptions| match Subject::new(&picture, options, &config, &body) {
        Err(Error::Avatar(lhm::Error::Picture(why))) => why,
        other => panic!("{other:?}"),
    };
    let little = SubjectOptions { body_ratio: Some(0.08), ..options.clone() };
    assert!(matches!(refuse(&little), Unfit::TooLittle { .. }));
    let empty = SubjectOptions { mask: Some(GrayImage::new(100, 160)), ..options.clone() };
    assert_eq!(refuse(&empty), Unfit::Nobody);
    let wide = GrayImage::from_fn(100, 160, |_, y| Luma([if y > 100 { 255 } else { 0 }]));
    assert!(matches!(refuse(&SubjectOptions { mask: Some(wide), ..options.clone() }), Unfit::TooWide { .. }));
    let above = SubjectOptions { head_box: Some([42.0, 0.0, 58.0, 12.0]), ..options.clone() };
    let subject = Subject::new(&picture, &above, &config, &body).unwrap();
    assert!(!subject.has_head && subject.notes[0].contains("leaves the picture"));
    // Nobody is found where nothing is given.
    assert!(matches!(
        Subject::new(&picture, &SubjectOptions::default(), &config, &body),
        Err(Error::Person(_))
    ));
}

#[test]
fn damaged_weights_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    small_lhm::write(dir.path());
    let model = dir.path().join("model.safetensors");
    let bytes = std::fs::read(&model).unwrap();
    std::fs::write(&model, &bytes[..bytes.len() / 2]).unwrap();
    let error = LhmSetup::find(&request(dir.path())).unwrap_err().to_string();
    assert!(error.contains("there is no LHM model") && error.contains("can't be read"), "{error}");

    // Numbers that aren't any end the run and are named.
    let mut nan = bytes.clone();
    let end = nan.len();
    nan[end - 4096..].chunks_exact_mut(4).for_each(|x| x.copy_from_slice(&f32::NAN.to_le_bytes()));
    std::fs::write(&model, nan).unwrap();
    let setup = LhmSetup::find(&request(dir.path())).unwrap();
    let (picture, options) = picture();
    let subject = Subject::new(&picture, &options, &setup.config, &open_body(None).unwrap()).unwrap();
    let model = setup.model(Dtype::F32, Activations::Float, &Device::Cpu).unwrap();
    let made = create_avatar(&model, &subject, &setup.points(None).unwrap(), &[0.0; 10], &mut ());
    assert!(matches!(made, Err(Error::Avatar(lhm::Error::NotFinite { .. }))), "{made:?}");
}
