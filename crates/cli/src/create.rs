//! `anicrafter avatar create`.

use crate::progress::{Style, bar, cancel_on_ctrl_c};
use anyhow::{Context, Result, bail, ensure};
use image::GrayImage;
use indicatif::ProgressBar;
use lhm::{Part, Variant};
use pipeline::outputs::{Input, refuse_overwriting};
use pipeline::{
    Activations, CancelToken, CreatePlan, Dtype, LHM_LICENCE, LhmRequest, LhmSetup, PersonOptions, Subject,
    SubjectOptions, create_avatar, peak_memory,
};
use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Makes an avatar from one picture of a person with LHM: what the picture doesn't show comes from a network that was trained on
/// people from all sides. Its weights are for non-commercial research only and aren't part of this program.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The picture of the person (PNG, JPEG, WebP), upright, as much of the body in view as possible.
    #[arg(long)]
    picture: PathBuf,
    /// The folder with LHM's weights and Sapiens' (LHM's pretrained_models, a hub's cache, loose files); subfolders are looked
    /// through too.
    #[arg(long)]
    weights: PathBuf,
    /// The avatar: `.pth` as the original writes it, `.safetensors`, or `.ply` to look at only. Not needed with --dry-run.
    #[arg(short, long, required_unless_present = "dry_run")]
    output: Option<PathBuf>,
    /// Which model: mini, 500m or 1b (-HF files are of the same shape); where it isn't given, config.json beside the file says it.
    #[arg(long, value_parser = variant)]
    model: Option<Variant>,
    /// A picture of the same size, white on the person; where it isn't given, the picture's alpha, or what the embedded models
    /// find.
    #[arg(long)]
    mask: Option<PathBuf>,
    /// The head's box in pixels: left,top,right,bottom; where it isn't given, the embedded models find it.
    #[arg(long, value_delimiter = ',', num_args = 1, allow_hyphen_values = true)]
    head_box: Option<Vec<f32>>,
    /// A picture of the head to be used in place of what is cut out: a sharper one (the original sharpens it by another network).
    #[arg(long)]
    head_picture: Option<PathBuf>,
    /// The share of the body's height that is in view, 0 to 1; where it isn't given, it is reckoned from the pose that is found.
    #[arg(long)]
    body_ratio: Option<f32>,
    /// The person's ten SMPL-X shape coefficients, which the avatar carries along; zeros where they aren't given.
    #[arg(long, value_delimiter = ',', num_args = 1, allow_hyphen_values = true)]
    betas: Option<Vec<f32>>,
    /// Which person where several are in view, from 1: the largest first.
    #[arg(long, default_value_t = 1)]
    person: usize,
    /// Sapiens' file, where it doesn't lie in the folder.
    #[arg(long)]
    sapiens: Option<PathBuf>,
    /// SMPLX_NEUTRAL.npz, where it doesn't lie in the folder; without it the points stand on the embedded body.
    #[arg(long)]
    body: Option<PathBuf>,
    /// LHM's dense points (`1_40000.ply`), where they don't lie in the folder.
    #[arg(long, conflicts_with = "point_count")]
    points: Option<PathBuf>,
    /// Another number of points, spread evenly over the body: fewer are faster. The published models were trained with 20,000
    /// (mini) and 40,000.
    #[arg(long)]
    point_count: Option<usize>,
    /// What the matrices are held in: f32, bf16, q8 or q4. Activations stay f32.
    #[arg(long, value_enum, default_value_t = Dtype::F32)]
    dtype: Dtype,
    /// What quantised matrices (q8 or q4) are multiplied by: activations as they are, or rounded to 8 bits.
    #[arg(long, value_enum, default_value_t = Activations::Float)]
    activations: Activations,
    /// `cpu`, `cuda:N`, `metal` or `auto`.
    #[arg(long, default_value = "auto")]
    device: String,
    /// Also write the mask that was used.
    #[arg(long)]
    write_mask: Option<PathBuf>,
    /// Say what would be done and what it takes, and stop.
    #[arg(long)]
    dry_run: bool,
}

const EXAMPLES: &str = "\
Examples:
  anicrafter avatar create --picture me.jpg --weights pretrained_models -o me_gaussian.pth
  anicrafter avatar create --picture me.jpg --weights LHM-500M-HF --sapiens sapiens_1b_epoch_173_torchscript.pt2 -o me.safetensors
  anicrafter avatar create --picture me.png --weights pretrained_models --head-box 420,80,560,240 --body-ratio 0.9 -o me.ply
  anicrafter models check pretrained_models";

/// A variant by its name.
pub(crate) fn variant(name: &str) -> Result<Variant, String> {
    let found = Variant::ALL.into_iter().find(|(own, _)| own.eq_ignore_ascii_case(name));
    found.map(|(_, variant)| variant).ok_or_else(|| {
        let names: Vec<&str> = Variant::ALL.iter().map(|(own, _)| *own).collect();
        format!("there is no such model; there are {}", names.join(", "))
    })
}

/// Refuses outputs that are inputs, or one another, and endings that nothing is written in.
fn check_outputs(args: &Args) -> Result<()> {
    let given = [
        ("--mask", &args.mask),
        ("--head-picture", &args.head_picture),
        ("--sapiens", &args.sapiens),
        ("--body", &args.body),
        ("--points", &args.points),
    ];
    let given = given.iter().filter_map(|(name, path)| Some(Input::file(name, path.as_deref()?)));
    let always = [Input::file("--picture", &args.picture), Input::file("--weights", &args.weights)];
    let inputs: Vec<Input<'_>> = always.into_iter().chain(given).collect();
    let outputs = [("--output", &args.output), ("--write-mask", &args.write_mask)];
    let outputs: Vec<(&str, &Path)> =
        outputs.iter().filter_map(|(name, path)| Some((*name, path.as_deref()?))).collect();
    refuse_overwriting(&inputs, &outputs)?;
    if let Some(output) = &args.output {
        let ending = output.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        ensure!(
            ["pth", "safetensors", "ply"].contains(&ending.as_str()),
            "--output {}: an avatar is written as .pth, .safetensors or .ply",
            output.display()
        );
        let folder = output.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        ensure!(folder.is_dir(), "--output {}: there is no folder {}", output.display(), folder.display());
    }
    Ok(())
}

pub(crate) fn run(args: &Args, style: Style) -> Result<()> {
    check_outputs(args)?;
    ensure!(args.person > 0, "--person: people are counted from 1");
    let betas = args.betas.clone().unwrap_or(vec![0.0; 10]);
    ensure!(
        betas.len() == 10 && betas.iter().all(|b| b.is_finite()),
        "--betas: ten numbers are wanted, {} were given",
        betas.len()
    );
    let quiet = style == Style::None;
    let say = |text: &str| {
        if !quiet && style != Style::Json {
            eprintln!("{text}");
        }
    };
    let device = pipeline::models::open_device(&args.device)?;
    let setup = LhmSetup::find(&LhmRequest {
        folder: args.weights.clone(),
        variant: args.model,
        sapiens: args.sapiens.clone(),
        body: args.body.clone(),
        points: args.points.clone(),
    })?;
    say(&setup.to_string());
    for note in &setup.notes {
        say(&format!("note: {note}"));
    }
    say(&format!("note: {LHM_LICENCE}"));
    let model = setup.model(args.dtype, args.activations, &device)?;
    let points = setup.points(args.point_count)?;
    let config = &setup.config;
    let subject = subject(args, config)?;
    let [left, top, right, bottom] = subject.body.person;
    say(&format!(
        "person         {} × {} pixels, {:.0} % of the body in view, {}",
        right - left,
        bottom - top,
        subject.body_ratio * 100.0,
        match subject.head_box {
            Some(head) if subject.has_head => format!("head at {:.0?}", head),
            _ if subject.has_head => "a head picture of its own".to_owned(),
            _ => "no head".to_owned(),
        }
    ));
    for note in &subject.notes {
        say(&format!("note: {note}"));
    }
    if let Some(path) = &args.write_mask {
        subject.mask.save(path).with_context(|| path.display().to_string())?;
    }
    say(&CreatePlan::new(config, args.dtype, points.positions.len(), &device)?.to_string());
    if args.dry_run {
        return Ok(());
    }
    let output = args.output.as_deref().context("--output is missing")?;
    let start = Instant::now();
    let mut watch = Watch::new(style, cancel_on_ctrl_c());
    let made = create_avatar(&model, &subject, &points, &betas, &mut watch);
    watch.end();
    let avatar = made.map_err(|error| match error {
        pipeline::Error::Cancelled => anyhow::Error::from(error),
        other => anyhow::Error::from(other).context(args.picture.display().to_string()),
    })?;
    avatar.save(output)?;
    if !quiet && style != Style::Json {
        println!("wrote {}", output.display());
        println!("  Gaussians     {}", avatar.gaussians.len());
        println!(
            "  time          {:.1} s, at most {} MiB of memory",
            start.elapsed().as_secs_f64(),
            peak_memory() >> 20
        );
    }
    Ok(())
}

/// The picture, with what the arguments say of it.
fn subject(args: &Args, config: &lhm::Config) -> Result<Subject> {
    let image = crate::bake::open(&args.picture)?;
    let mask = match &args.mask {
        Some(path) => Some(crate::bake::open(path)?.to_luma8()),
        None if image.color().has_alpha() => seen_through(&bg_mask::split_alpha(&image.to_rgba8()).1),
        None => None,
    };
    let head_box = match args.head_box.as_deref() {
        None => None,
        Some(&[left, top, right, bottom]) => Some([left, top, right, bottom]),
        Some(other) => {
            bail!("--head-box: four numbers are wanted (left,top,right,bottom), {} were given", other.len())
        }
    };
    let head_picture = args
        .head_picture
        .as_deref()
        .map(|path| anyhow::Ok(crate::bake::open(path)?.to_rgb8()))
        .transpose()?;
    let options = SubjectOptions {
        mask,
        head_box,
        head_picture,
        body_ratio: args.body_ratio,
        person: PersonOptions { person: args.person - 1, focal_px: None },
    };
    // The pose that is looked for is of the embedded body, whatever body the points stand on.
    let body = pipeline::open_body(None)?;
    Subject::new(&image.to_rgb8(), &options, config, &body)
        .with_context(|| args.picture.display().to_string())
}

/// An alpha channel that hides something; one that is opaque everywhere is no mask.
fn seen_through(alpha: &GrayImage) -> Option<GrayImage> {
    alpha.iter().any(|a| *a < 128).then(|| alpha.clone())
}

/// Shows how far the run is, and stops it.
struct Watch {
    style: Style,
    cancel: CancelToken,
    part: Option<(Part, Instant)>,
    bar: Option<ProgressBar>,
}

impl Watch {
    fn new(style: Style, cancel: CancelToken) -> Self {
        let style = match style {
            Style::Auto if !std::io::stderr().is_terminal() => Style::Plain,
            other => other,
        };
        Self { style, cancel, part: None, bar: None }
    }

    fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        if let Some((part, start)) = self.part.take()
            && matches!(self.style, Style::Auto | Style::Plain)
        {
            eprintln!(
                "{:<14} {:.1} s  peak {} MiB",
                part.name(),
                start.elapsed().as_secs_f64(),
                peak_memory() >> 20
            );
        }
    }

    fn begin(&mut self, part: Part) {
        self.end();
        self.part = Some((part, Instant::now()));
        if self.style == Style::Auto {
            let look = "{msg:14} [{bar:36}] {percent:>3}% {elapsed} (about {eta} left)";
            self.bar = Some(bar(look, 1000).with_message(part.name()));
        }
    }
}

impl lhm::Observer for Watch {
    fn progress(&mut self, part: Part, done: f64) -> ControlFlow<()> {
        if self.part.is_none_or(|(current, _)| current != part) {
            self.begin(part);
        }
        if let Some(bar) = &self.bar {
            bar.set_position((done * 1000.0) as u64);
        }
        if self.style == Style::Json {
            println!("{{\"event\":\"advanced\",\"part\":\"{}\",\"done\":{done:.4}}}", part.name());
        }
        if self.cancel.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}
