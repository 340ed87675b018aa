//! Measures the demo's weights on held-out clips: a table, a JSON file, and strips to look at.
#![expect(clippy::print_stdout, reason = "a command-line program")]

mod calibrate;
mod lit;
mod restore;

use anyhow::{Context, Result, ensure};
use bg_mask::{LockOptions, lock_background, person_mask};
use clap::Parser;
use composite_eval::baselines;
use composite_eval::clip::{self, Clip};
use composite_eval::scores::{Regions, Score, mean, pooled, score};
use image::{GenericImage, RgbImage};
use lit::Lit;
use pipeline::{DetailTransfer, Job, Preset};
use restore::Restorer;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Measures the demo's weights on held-out clips.
#[derive(Parser)]
struct Args {
    /// Held-out clips (`synth clips --split val`).
    #[arg(long)]
    clips: PathBuf,
    /// Training clips that the baselines are fitted on.
    #[arg(long)]
    train: PathBuf,
    /// The weights' folder.
    #[arg(long, default_value = "assets/demo/weights")]
    weights: PathBuf,
    /// Clips of the training's kind that the weights haven't seen: detail transfer is fitted on them and written to the
    /// weights' folder before anything is measured.
    #[arg(long)]
    calibrate: Option<PathBuf>,
    /// Takes composites with the scene's light and shadow as conditions, the sun's direction being given, as the demo's are.
    #[arg(long)]
    lit: bool,
    /// With --calibrate: so many rings of the avatar's edge are fitted too. These clips' avatars have a fringe there; others'
    /// lose hair and hems.
    #[arg(long, default_value_t = 0, requires = "calibrate")]
    edge: usize,
    /// Denoising steps; the demo's own number if not given.
    #[arg(long)]
    steps: Option<usize>,
    /// Where table.json and the strips go.
    #[arg(long, default_value = "out/eval-demo")]
    output: PathBuf,
}

/// What the clips were made from: `cargo xtask eval-demo` says the same.
const HELD_OUT: (u64, synth::Split) = (1, synth::Split::Val);
const CALIBRATION: (u64, synth::Split) = (4242, synth::Split::Train);

/// The rows of the table, in order.
const METHODS: [&str; 9] = [
    "raw composite",
    "fixed colour gain",
    "least-squares relighting",
    "VAE round trip of the target",
    "result, plain",
    "result, whole difference",
    "result, whole difference, background lock",
    "result, detail transfer",
    "result, detail transfer, background lock",
];
/// The result that counts.
const RESULT: usize = 7;
/// The same without what was fitted.
const WHOLE: usize = 5;
/// A condition nearer to the target than this in the shadow's region has the shadow already: its plate kept it.
const HAS_SHADOW: f64 = 30.0;

#[derive(Serialize)]
struct Table<'a> {
    clips: usize,
    steps: usize,
    methods: BTreeMap<&'a str, Row>,
    /// Person PSNR of the result over the composite, over the gain and over the relighting: mean and standard error.
    lead_over_composite: (f64, f64),
    lead_over_gain: (f64, f64),
    lead_over_relighting: (f64, f64),
    lead_over_whole_difference: (f64, f64),
    /// The same in the shadow's region, over the composite, in the clips whose condition lacks the shadow, and how many
    /// those are.
    shadow_lead_over_composite: (f64, f64),
    clips_that_lack_the_shadow: usize,
    by_clip: Vec<(String, [Score; METHODS.len()])>,
}

/// Means over the clips; in the shadow's region the PSNR of the mean squared error, since a condition that has the shadow is
/// right to the last bit there and its PSNR would outweigh all others.
#[derive(Serialize)]
struct Row {
    person: f64,
    shadow: f64,
    whole: f64,
    ssim_person: f64,
    ssim_whole: f64,
    flicker: f64,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let mut fit = baselines::Fit::default();
    for path in clip::list(&args.train)? {
        fit.add(&clip::read(&path)?);
    }
    let relight = fit.solve();
    let mut sampling = Job::new(Preset::Demo).sampling;
    sampling.steps = args.steps.unwrap_or(sampling.steps);
    let mut lit = args.lit.then(Lit::new).transpose()?;
    let mut restorer = Restorer::open(&args.weights)?;
    if let Some(folder) = &args.calibrate {
        let mut calibration = calibrate::Calibration::new(args.edge);
        for (i, path) in clip::list(folder)?.iter().enumerate() {
            let clip = lit::read(path, lit.as_mut(), CALIBRATION)?;
            sampling.seed = i as u64;
            calibration.add(&clip, &restorer.restore(&clip, &sampling, false)?)?;
        }
        let detail = calibration.solve()?;
        println!("{detail:?}");
        detail.save(&args.weights)?;
        restorer = Restorer::open(&args.weights)?;
    }
    let (whole, own) = (DetailTransfer::default(), restorer.detail_transfer().clone());
    std::fs::create_dir_all(&args.output).with_context(|| args.output.display().to_string())?;
    let mut all = Vec::new();
    let mut strips = Vec::new();
    for (i, path) in clip::list(&args.clips)?.iter().enumerate() {
        let clip = lit::read(path, lit.as_mut(), HELD_OUT)?;
        sampling.seed = i as u64;
        let restored = restorer.restore(&clip, &sampling, true)?;
        let each = |f: fn(&baselines::Relight, &RgbImage, &RgbImage) -> RgbImage| -> Vec<RgbImage> {
            clip.blend.iter().zip(&clip.normals).map(|(b, n)| f(&relight, b, n)).collect()
        };
        let difference = restore::detail(&clip, &restored, &whole)?;
        let detail = restore::detail(&clip, &restored, &own)?;
        let videos = [
            &clip.blend,
            &each(baselines::Relight::gain),
            &each(baselines::Relight::relight),
            &restored.round_trip,
            &restored.plain,
            &difference,
            &lock(&clip, &difference)?,
            &detail,
            &lock(&clip, &detail)?,
        ];
        let regions = Regions::of(&clip);
        let scores = videos.map(|video| score(video, &clip, &regions));
        println!(
            "{} person: composite {:.2} result {:.2} relighting {:.2}",
            clip.name, scores[0].person, scores[RESULT].person, scores[2].person
        );
        strips.push((scores[RESULT].person - scores[0].person, strip(&clip, &detail)?));
        all.push((clip.name, scores));
    }
    ensure!(!all.is_empty(), "no clips");
    strips.sort_by(|a, b| b.0.total_cmp(&a.0));
    let picks = [("best", 0), ("median", strips.len() / 2), ("worst", strips.len() - 1)];
    for (name, at) in picks {
        let path = args.output.join(format!("{name}.png"));
        strips[at].1.save(&path).with_context(|| path.display().to_string())?;
    }
    let table = tabulate(all, sampling.steps);
    print(&table);
    let path = args.output.join("table.json");
    std::fs::write(&path, serde_json::to_vec_pretty(&table)?).with_context(|| path.display().to_string())?;
    println!(
        "\n{} and best.png, median.png, worst.png beside it (condition | result | target)",
        path.display()
    );
    Ok(())
}

/// The background lock as the pipeline applies it.
fn lock(clip: &Clip, video: &[RgbImage]) -> Result<Vec<RgbImage>> {
    let options = LockOptions::for_height(clip.reference.height());
    let frames = video.iter().zip(&clip.plate).zip(&clip.mesh);
    frames.map(|((v, p), m)| Ok(lock_background(v, p, &person_mask(m), &options)?)).collect()
}

/// Three frames of condition, result and target.
fn strip(clip: &Clip, result: &[RgbImage]) -> Result<RgbImage> {
    let (w, h) = clip.reference.dimensions();
    let mut out = RgbImage::new(3 * w, 3 * h);
    for (row, f) in [0, clip.blend.len() / 2, clip.blend.len() - 1].into_iter().enumerate() {
        for (column, video) in [&clip.blend[..], result, &clip.target[..]].into_iter().enumerate() {
            out.copy_from(&video[f], column as u32 * w, row as u32 * h)?;
        }
    }
    Ok(out)
}

fn tabulate<'a>(all: Vec<(String, [Score; METHODS.len()])>, steps: usize) -> Table<'a> {
    let column = |m: usize, f: fn(&Score) -> Option<f64>| -> f64 {
        mean(&all.iter().filter_map(|(_, s)| f(&s[m])).collect::<Vec<_>>()).0
    };
    let lead = |other: usize| {
        let gains: Vec<f64> = all.iter().map(|(_, s)| s[RESULT].person - s[other].person).collect();
        mean(&gains)
    };
    let shadow_gains: Vec<f64> = all
        .iter()
        .filter_map(|(_, s)| Some((s[0].shadow?, s[RESULT].shadow?)))
        .filter_map(|(before, after)| (before < HAS_SHADOW).then_some(after - before))
        .collect();
    let rows = METHODS.iter().enumerate().map(|(m, name)| {
        let row = Row {
            person: column(m, |s| Some(s.person)),
            shadow: pooled(&all.iter().filter_map(|(_, s)| s[m].shadow).collect::<Vec<_>>()),
            whole: column(m, |s| Some(s.whole)),
            ssim_person: column(m, |s| Some(s.ssim_person)),
            ssim_whole: column(m, |s| Some(s.ssim_whole)),
            flicker: column(m, |s| Some(s.flicker)),
        };
        (*name, row)
    });
    Table {
        clips: all.len(),
        steps,
        methods: rows.collect(),
        lead_over_composite: lead(0),
        lead_over_gain: lead(1),
        lead_over_relighting: lead(2),
        lead_over_whole_difference: lead(WHOLE),
        shadow_lead_over_composite: mean(&shadow_gains),
        clips_that_lack_the_shadow: shadow_gains.len(),
        by_clip: all,
    }
}

fn print(table: &Table<'_>) {
    println!("\n{} clips, {} steps; PSNR in dB, flicker over the target's\n", table.clips, table.steps);
    println!(
        "{:<42}{:>8}{:>8}{:>8}{:>8}{:>8}{:>9}",
        "", "person", "shadow", "whole", "SSIM p", "SSIM w", "flicker"
    );
    for name in METHODS {
        let Some(r) = table.methods.get(name) else { continue };
        println!(
            "{name:<42}{:>8.2}{:>8.2}{:>8.2}{:>8.3}{:>8.3}{:>9.2}",
            r.person, r.shadow, r.whole, r.ssim_person, r.ssim_whole, r.flicker
        );
    }
    let lead = |name: &str, (m, e): (f64, f64)| {
        println!("result with detail transfer over {name}: {m:+.2} ± {e:.2} dB");
    };
    println!();
    lead("the composite, person", table.lead_over_composite);
    lead("the fixed gain, person", table.lead_over_gain);
    lead("least-squares relighting, person", table.lead_over_relighting);
    lead("the whole difference, person", table.lead_over_whole_difference);
    lead(
        &format!(
            "the composite, shadow, {} clips whose condition lacks it",
            table.clips_that_lack_the_shadow
        ),
        table.shadow_lead_over_composite,
    );
}
