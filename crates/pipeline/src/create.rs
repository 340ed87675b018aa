//! An avatar from one picture with LHM: files, what of the picture is given or found, the plan, the run.

use crate::job::{Activations, Dtype};
use crate::models::held;
use crate::{Error, Person, PersonOptions, Result};
use avatar_render::Avatar;
use candle_core::{DType, Device, Tensor};
use checkpoint::{Checkpoint, LhmFiles, Model, Report, open_strictly};
use image::{GrayImage, RgbImage};
use lhm::{Config, HeadPicture, Input, QueryPoints, Storage, Variant, Workload};
use nn::{Attention, Inputs, Linear, Precision, Weights};
use smplx::BodyModel;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// Where LHM's files are; what isn't said is looked for in the folder.
#[derive(Clone, Debug, Default)]
pub struct LhmRequest {
    /// The folder with the weights: as the original's download script lays them out, a hub's cache, or loose files.
    pub folder: PathBuf,
    /// Which model; `None` for what `config.json` beside the file says.
    pub variant: Option<Variant>,
    /// Sapiens' file, where it lies elsewhere.
    pub sapiens: Option<PathBuf>,
    /// The SMPL-X body's file, where it lies elsewhere.
    pub body: Option<PathBuf>,
    /// The dense points' file, where it lies elsewhere.
    pub points: Option<PathBuf>,
}

/// LHM's files, chosen and compared with what the network needs.
#[derive(Debug)]
pub struct LhmSetup {
    /// The hyperparameters.
    pub config: Config,
    /// The network's file.
    pub model: PathBuf,
    /// Sapiens' file.
    pub sapiens: PathBuf,
    /// The body's file; `None` for the embedded body.
    pub body: Option<PathBuf>,
    /// The dense points' file; `None` where points are spread over the body.
    pub points: Option<PathBuf>,
    /// What in this choice the user should know.
    pub notes: Vec<String>,
    reports: [Report; 2],
    checkpoints: [Arc<Checkpoint>; 2],
}

/// What stands about LHM's licences wherever its weights are named.
pub const LHM_LICENCE: &str =
    "LHM's and Sapiens' weights (CC BY-NC 4.0) and SMPL-X's files are for non-commercial research only";

impl LhmSetup {
    /// Finds the files and compares them, by their headers, with what the network needs.
    ///
    /// # Errors
    /// When a file is missing, there are several, or tensors are missing, unknown or of another shape: all of them are named.
    pub fn find(request: &LhmRequest) -> Result<Self> {
        let files = LhmFiles::find(&request.folder)?;
        let chosen = choose(&files.models, request.variant);
        let sapiens = match (&request.sapiens, &files.sapiens[..]) {
            (Some(given), _) => Ok(given.clone()),
            (None, [one]) => Ok(one.clone()),
            (None, []) => Err("there is no Sapiens encoder (sapiens_1b_epoch_173_torchscript.pt2); name its file with --sapiens"
                .to_owned()),
            (None, several) => {
                Err(format!("there are several Sapiens encoders:{}\nname one with --sapiens", list(several)))
            }
        };
        // Everything that is wrong is said at once; what Sapiens must be like is known without LHM's configuration.
        let config =
            chosen.as_ref().map_or_else(|_| Config::variant(Variant::B1), |(_, config)| config.clone());
        let json = serde_json::to_value(&config).map_err(|e| Error::Settings(e.to_string()))?;
        let opened = |model: Model, config: &serde_json::Value, path: &Path| {
            open_strictly(model, config, &[path]).map_err(|e| format!("{}: {e}", path.display()))
        };
        let model = chosen.and_then(|(path, _)| Ok((opened(Model::Lhm, &json, &path)?, path)));
        let sapiens =
            sapiens.and_then(|path| Ok((opened(Model::Sapiens, &json["fine_encoder"], &path)?, path)));
        let (((model_file, model_report), model), ((sapiens_file, sapiens_report), sapiens)) =
            match (model, sapiens) {
                (Ok(model), Ok(sapiens)) => (model, sapiens),
                (model, sapiens) => {
                    let mut why: Vec<String> = [model.err(), sapiens.err()].into_iter().flatten().collect();
                    if files.models.is_empty() || files.sapiens.is_empty() {
                        why.extend(files.broken.iter().map(|(_, why)| format!("can't be read: {why}")));
                    }
                    return Err(Error::Damaged { path: request.folder.clone(), why: why.join("\n") });
                }
            };
        let mut notes = Vec::new();
        let body = request.body.clone().or(files.bodies.first().cloned());
        let wanted = config.dense_sample_pts;
        let found = files.points.iter().find(|(n, _)| *n == wanted).map(|(_, path)| path.clone());
        let points = match (&request.points, &body) {
            (Some(given), _) => Some(given.clone()),
            (None, Some(_)) => found,
            (None, None) => None,
        };
        if body.is_none() {
            notes.push(
                "there is no SMPLX_NEUTRAL.npz: the points stand on the embedded body, which the network wasn't trained on".to_owned(),
            );
        }
        if points.is_none() {
            notes
                .push(format!("there is no 1_{wanted}.ply: {wanted} points are spread evenly over the body"));
        }
        Ok(Self {
            config,
            model,
            sapiens,
            body,
            points,
            notes,
            reports: [model_report, sapiens_report],
            checkpoints: [Arc::new(model_file), Arc::new(sapiens_file)],
        })
    }

    /// The body, and the points on it.
    ///
    /// # Errors
    /// When a file can't be read, or there are fewer than four points.
    pub fn points(&self, count: Option<usize>) -> Result<QueryPoints> {
        let body = crate::open_body(self.body.as_deref())?;
        let dense = match (&self.points, count) {
            (Some(path), None) => read_points(path)?,
            _ => lhm::scatter(&body, count.unwrap_or(self.config.dense_sample_pts))?,
        };
        Ok(QueryPoints::new(&body, &dense)?)
    }

    /// The network, its matrices held as `dtype` says, quantised ones multiplied by `activations`.
    ///
    /// # Errors
    /// When the configuration isn't LHM's, activations of 8 bits are asked for without quantised matrices, or matrices of 8 bits on a
    /// device that isn't the CPU.
    pub fn model(&self, dtype: Dtype, activations: Activations, device: &Device) -> Result<lhm::Model> {
        let inputs = match activations {
            Activations::Float => Inputs::Float,
            Activations::Int8 if dtype.is_blocks() => Inputs::Int8,
            Activations::Int8 if dtype == Dtype::Int8 => Inputs::Float,
            Activations::Int8 => {
                let why = "int8 needs quantised weights: take dtype q8 or q4".to_owned();
                return Err(Error::Option { option: "activations", why });
            }
        };
        if dtype == Dtype::Int8 && !device.is_cpu() {
            let why = "int8 is for the CPU: take device cpu, or another dtype".to_owned();
            return Err(Error::Option { option: "dtype", why });
        }
        let [model, sapiens] =
            self.checkpoints.clone().map(|file| weights(file, dtype, device).with_inputs(inputs));
        Ok(lhm::Model::new(&self.config, &model, &sapiens)?)
    }
}

impl fmt::Display for LhmSetup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.config.published().map_or("LHM of its own size", |variant| match variant {
            Variant::Mini => "LHM-MINI",
            Variant::M500 => "LHM-500M",
            Variant::B1 => "LHM-1B",
        });
        let line = |report: &Report| {
            format!("{} tensors, {} besides that nothing needs", report.loaded.len(), report.ignored.len())
        };
        writeln!(f, "LHM            {} ({name}: {})", self.model.display(), line(&self.reports[0]))?;
        writeln!(f, "Sapiens        {} ({})", self.sapiens.display(), line(&self.reports[1]))?;
        let path = |path: &Option<PathBuf>, other: &str| {
            path.as_ref().map_or(other.to_owned(), |p| p.display().to_string())
        };
        writeln!(f, "body           {}", path(&self.body, "the embedded one"))?;
        write!(f, "points         {}", path(&self.points, "spread over the body"))
    }
}

/// The model's file and what its configuration is.
fn choose(models: &[PathBuf], variant: Option<Variant>) -> Result<(PathBuf, Config), String> {
    let configured = |path: &Path| match variant {
        Some(variant) => Ok(Config::variant(variant)),
        None => read_config(path),
    };
    match models {
        [] => {
            Err("there is no LHM model: no file with tensors like transformer.linear_cond_proj.weight"
                .to_owned())
        }
        [one] => Ok((one.clone(), configured(one)?)),
        several => {
            // The one whose own config.json says that it is what was asked for.
            let fits = |path: &&PathBuf| {
                variant.is_some() && read_config(path).is_ok_and(|config| config.published() == variant)
            };
            match several.iter().filter(fits).collect::<Vec<_>>()[..] {
                [one] => Ok((one.clone(), configured(one)?)),
                _ => Err(format!(
                    "there are several LHM models:{}\nname one of them as the folder",
                    list(several)
                )),
            }
        }
    }
}

fn read_config(model: &Path) -> Result<Config, String> {
    let path = model.with_file_name("config.json");
    let text = std::fs::read_to_string(&path).map_err(|e| {
        format!("{}: {e}. Without it, say which model it is with --model mini, 500m or 1b", path.display())
    })?;
    let wrong = |e: &dyn fmt::Display| {
        format!("{}: {e}. Is it LHM's? Say which model it is with --model mini, 500m or 1b", path.display())
    };
    let json: serde_json::Value = serde_json::from_str(&text).map_err(|e| wrong(&e))?;
    Config::from_json(&json).map_err(|e| wrong(&e))
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| format!("\n  {}", path.display())).collect()
}

fn read_points(path: &Path) -> Result<Vec<[f32; 3]>> {
    let bytes = std::fs::read(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
    smplx::ply_points(&bytes).map_err(|e| Error::Damaged { path: path.to_owned(), why: e.to_string() })
}

fn weights(file: Arc<Checkpoint>, dtype: Dtype, device: &Device) -> Weights {
    let compute = if dtype == Dtype::Bf16 { DType::BF16 } else { DType::F32 };
    Weights::new(held(file, dtype), compute, device)
}

/// What is known of the picture besides its pixels; what isn't is found.
#[derive(Clone, Debug, Default)]
pub struct SubjectOptions {
    /// White on the person, of the picture's size.
    pub mask: Option<GrayImage>,
    /// Left, top, right, bottom of the head in pixels.
    pub head_box: Option<[f32; 4]>,
    /// A picture of the head to be used in place of the cut: a sharper one.
    pub head_picture: Option<RgbImage>,
    /// The share of the body's height that is in view.
    pub body_ratio: Option<f32>,
    /// Which person where there are several, and the picture's focal length.
    pub person: PersonOptions,
}

/// A picture with everything that LHM wants of it.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The person on white.
    pub body: lhm::BodyPicture,
    /// `[1, 3, H, W]` the head.
    pub head: Tensor,
    /// Does it show one?
    pub has_head: bool,
    /// White on the person.
    pub mask: GrayImage,
    /// The head's box, where there is one.
    pub head_box: Option<[f32; 4]>,
    /// The share of the body's height that is in view.
    pub body_ratio: f32,
    /// What the user should know.
    pub notes: Vec<String>,
}

impl Subject {
    /// Cuts person and head out of a picture, and finds what isn't given with the embedded models.
    ///
    /// # Errors
    /// When nobody is in view, or the picture doesn't serve: wider than high, too little of the body.
    pub fn new(
        picture: &RgbImage,
        options: &SubjectOptions,
        config: &Config,
        body: &BodyModel,
    ) -> Result<Self> {
        let head_known = options.head_box.is_some() || options.head_picture.is_some();
        let missing = options.mask.is_none() || !head_known || options.body_ratio.is_none();
        let found: Option<Person> =
            if missing { Some(crate::find_person(picture, body, &options.person)?) } else { None };
        let mut notes = Vec::new();
        let ratio = options.body_ratio.or(found.as_ref().map(|p| p.body_ratio)).unwrap_or(1.0);
        lhm::check_body_ratio(ratio, &config.preprocess)?;
        let head_box = match options.head_box {
            Some(given) => Some(given),
            None => found.as_ref().and_then(|p| p.head).map(|head| {
                let fitted = with_room(head, config.preprocess.head_scale);
                if fitted != head {
                    notes.push(
                        "the head is near the picture's edge: its cut is smaller than usual".to_owned(),
                    );
                }
                fitted
            }),
        };
        let mask = options.mask.clone().or(found.map(|p| p.mask)).unwrap_or_default();
        let cut = lhm::body_picture(picture, &mask, &config.preprocess)?;
        let black =
            HeadPicture { enlarged: [0; 4], size: config.preprocess.src_head_size as usize, pixels: None };
        let (head, has_head) = match (&options.head_picture, head_box) {
            (Some(own), _) => {
                let (pixels, h, w) = HeadPicture::of_picture(own);
                (Tensor::from_vec(pixels, (1, 3, h, w), &Device::Cpu)?, true)
            }
            (None, Some(head_box)) => {
                let head = lhm::head_picture(picture, &mask, head_box, &config.preprocess)?;
                if head.pixels.is_none() {
                    notes.push(format!(
                        "the head's enlarged box {:?} leaves the picture, so that the original sees no head: give a picture with more \
                         room above it, or another --head-box",
                        head.enlarged
                    ));
                }
                (head.to_tensor(&Device::Cpu)?, head.pixels.is_some())
            }
            (None, None) => {
                notes.push(
                    "no head is in view: the model is shown none. Name its place with --head-box".to_owned(),
                );
                (black.to_tensor(&Device::Cpu)?, false)
            }
        };
        Ok(Self { body: cut, head, has_head, mask, head_box, body_ratio: ratio, notes })
    }

    /// What the network is given.
    #[must_use]
    pub fn input<'a>(&'a self, betas: &'a [f32]) -> Input<'a> {
        Input {
            body: &self.body,
            head: self.head.clone(),
            has_head: self.has_head,
            betas,
            body_ratio: self.body_ratio,
        }
    }
}

/// A head's box, made smaller about its middle where its enlarged square would leave the picture at the left or above: there the
/// original sees no head at all, which a box that was found needn't suffer. Much smaller than the head it isn't made.
fn with_room(head: [f32; 4], enlarge: f32) -> [f32; 4] {
    const LEAST: f32 = 0.6;
    let [left, top, right, bottom] = head;
    let (cx, cy) = ((left + right) / 2.0, (top + bottom) / 2.0);
    let half = ((right - left) * (bottom - top)).max(0.0).sqrt() * enlarge / 2.0;
    let shrink = cx.min(cy) / half;
    if !(LEAST..1.0).contains(&shrink) {
        return head;
    }
    let about = |at: f32, middle: f32| middle + (at - middle) * shrink;
    [about(left, cx), about(top, cy), about(right, cx), about(bottom, cy)]
}

/// What a run takes on this machine.
#[derive(Clone, Copy, Debug)]
pub struct CreatePlan {
    /// Arithmetic and memory.
    pub work: lhm::Plan,
    /// Seconds that the arithmetic takes at the speed that was measured.
    pub seconds: f64,
}

impl CreatePlan {
    /// Works out what a run takes. A product and an attention of a fraction of a second are timed for it.
    ///
    /// # Errors
    /// When the device fails.
    pub fn new(config: &Config, dtype: Dtype, points: usize, device: &Device) -> Result<Self> {
        let storage = match dtype {
            Dtype::F32 => Storage::F32,
            Dtype::Bf16 => Storage::Bf16,
            Dtype::Q8 | Dtype::Q4 | Dtype::Int8 => Storage::Q8,
        };
        let work = lhm::plan(config, &Workload { storage, points: Some(points) });
        let speed = Speed::measure(dtype, device)?;
        let products = work.flops() - work.attention_flops;
        Ok(Self { work, seconds: products / speed.products + work.attention_flops / speed.attention })
    }
}

impl fmt::Display for CreatePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let p = &self.work;
        let gib = |bytes: u64| bytes as f64 / (1_u64 << 30) as f64;
        writeln!(f, "points         {} with {} picture tokens", p.points, p.tokens)?;
        writeln!(
            f,
            "arithmetic     {:.1} TFLOP: body {:.1}, head {:.1}, points {:.1} ({:.0} % attention)",
            p.flops() / 1e12,
            p.body_flops / 1e12,
            p.head_flops / 1e12,
            p.points_flops / 1e12,
            100.0 * p.attention_flops / p.points_flops.max(1.0)
        )?;
        writeln!(
            f,
            "memory         about {:.1} GiB, layer by layer; {:.1} GiB are read",
            gib(p.peak_bytes),
            gib(p.read_bytes)
        )?;
        write!(f, "time           about {}", duration(self.seconds))
    }
}

fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 1.0 => "a second".to_owned(),
        s if s < 90.0 => format!("{s:.0} seconds"),
        s => format!("{:.0} minutes", s / 60.0),
    }
}

/// Floating-point operations a second.
struct Speed {
    products: f64,
    attention: f64,
}

impl Speed {
    fn measure(dtype: Dtype, device: &Device) -> Result<Self> {
        const ROWS: usize = 1024;
        const WIDTH: usize = 1024;
        let half = dtype == Dtype::Bf16;
        let ones = |rows: usize| Tensor::ones((1, rows, WIDTH), DType::F32, device);
        let weight = Tensor::ones((WIDTH, WIDTH), if half { DType::BF16 } else { DType::F32 }, device)?;
        let linear = Linear::new(weight, None)?;
        let (x, keys) = (ones(ROWS)?, ones(2 * ROWS)?);
        let precision = if half { Precision::Bf16 } else { Precision::F32 };
        let attention = Attention { precision, ..Attention::new(WIDTH / 64) };
        let timed = |run: &dyn Fn() -> candle_core::Result<Tensor>| -> Result<f64> {
            // The first time warms up.
            run()?;
            let start = Instant::now();
            run()?.flatten_all()?.get(0)?.to_scalar::<f32>()?;
            Ok(start.elapsed().as_secs_f64().max(1e-6))
        };
        let width = WIDTH as f64;
        let products = 2.0 * ROWS as f64 * width * width / timed(&|| linear.forward(&x))?;
        let scores = 4.0 * (2 * ROWS * 2 * ROWS) as f64 * width;
        Ok(Self { products, attention: scores / timed(&|| attention.forward(&keys, &keys, &keys))? })
    }
}

/// Makes the avatar.
///
/// # Errors
/// [`Error::Cancelled`] when the observer wants no more; when a weight is damaged.
pub fn create_avatar(
    model: &lhm::Model,
    subject: &Subject,
    points: &QueryPoints,
    betas: &[f32],
    observer: &mut dyn lhm::Observer,
) -> Result<Avatar> {
    Ok(model.avatar(&subject.input(betas), points, observer)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_found_head_at_the_edge_is_cut_smaller() {
        let enlarged = |[l, t, r, b]: [f32; 4]| {
            let half = ((r - l) * (b - t)).sqrt() * 1.65 / 2.0;
            [(l + r) / 2.0 - half, (t + b) / 2.0 - half]
        };
        let inside = [150.0, 80.0, 230.0, 170.0];
        assert_eq!(with_room(inside, 1.65), inside);
        let high = [150.0, 10.0, 230.0, 110.0];
        assert!(enlarged(high)[1] < 0.0);
        let fitted = with_room(high, 1.65);
        assert!(enlarged(fitted)[1].abs() < 1e-3 && fitted[0] > high[0] && fitted[1] > high[1], "{fitted:?}");
        // Half of it outside: nothing to be done.
        let above = [150.0, -60.0, 230.0, 40.0];
        assert_eq!(with_room(above, 1.65), above);
    }
}
