//! Measures the demo's weights on held-out clips: a table, a JSON file, and strips to look at.
#![expect(clippy::print_stdout, reason = "a command-line program")]

mod baselines;
mod clip;
mod restore;
mod scores;

use anyhow::{Context, Result, ensure};
use bg_mask::{LockOptions, lock_background, person_mask};
use clap::Parser;
use clip::Clip;
use image::{GenericImage, RgbImage};
use pipeline::{Job, Preset};
use restore::Restorer;
use scores::{Regions, Score, mean, score};
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
    /// Denoising steps; the demo's own number if not given.
    #[arg(long)]
    steps: Option<usize>,
    /// Where table.json and the strips go.
    #[arg(long, default_value = "out/eval-demo")]
    output: PathBuf,
}

/// The rows of the table, in order.
const METHODS: [&str; 7] = [
    "raw composite",
    "fixed colour gain",
    "least-squares relighting",
    "VAE round trip of the target",
    "result, plain",
    "result, detail transfer",
    "result, detail transfer, background lock",
];
/// The result that counts.
const RESULT: usize = 5;

#[derive(Serialize)]
struct Table<'a> {
    clips: usize,
    steps: usize,
    methods: BTreeMap<&'a str, Row>,
    /// Person PSNR of the result over the composite, over the gain and over the relighting: mean and standard error.
    lead_over_composite: (f64, f64),
    lead_over_gain: (f64, f64),
    lead_over_relighting: (f64, f64),
    /// The same in the shadow's region, over the composite.
    shadow_lead_over_composite: (f64, f64),
    by_clip: Vec<(String, [Score; METHODS.len()])>,
}

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
    let restorer = Restorer::open(&args.weights)?;
    let mut sampling = Job::new(Preset::Demo).sampling;
    sampling.steps = args.steps.unwrap_or(sampling.steps);
    std::fs::create_dir_all(&args.output).with_context(|| args.output.display().to_string())?;
    let mut all = Vec::new();
    let mut strips = Vec::new();
    for (i, path) in clip::list(&args.clips)?.iter().enumerate() {
        let clip = clip::read(path)?;
        sampling.seed = i as u64;
        let restored = restorer.restore(&clip, &sampling)?;
        let each = |f: fn(&baselines::Relight, &RgbImage, &RgbImage) -> RgbImage| -> Vec<RgbImage> {
            clip.blend.iter().zip(&clip.normals).map(|(b, n)| f(&relight, b, n)).collect()
        };
        let detail = restore::detail(&clip, &restored);
        let locked = lock(&clip, &detail)?;
        let videos = [
            &clip.blend,
            &each(baselines::Relight::gain),
            &each(baselines::Relight::relight),
            &restored.round_trip,
            &restored.plain,
            &detail,
            &locked,
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
    let lead = |other: usize, f: fn(&Score) -> Option<f64>| {
        let gains: Vec<f64> = all.iter().filter_map(|(_, s)| Some(f(&s[RESULT])? - f(&s[other])?)).collect();
        mean(&gains)
    };
    let rows = METHODS.iter().enumerate().map(|(m, name)| {
        let row = Row {
            person: column(m, |s| Some(s.person)),
            shadow: column(m, |s| s.shadow),
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
        lead_over_composite: lead(0, |s| Some(s.person)),
        lead_over_gain: lead(1, |s| Some(s.person)),
        lead_over_relighting: lead(2, |s| Some(s.person)),
        shadow_lead_over_composite: lead(0, |s| s.shadow),
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
    lead("the composite, shadow", table.shadow_lead_over_composite);
}
