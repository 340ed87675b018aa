//! Composites on held-out clips, without any diffusion: a table, a JSON file, and strips to look at.
#![expect(clippy::print_stdout, reason = "a command-line program")]

use anyhow::{Context, Result, ensure};
use clap::Parser;
use composite_eval::baselines::Fit;
use composite_eval::composite::{Composed, Composer, Known, Switches};
use composite_eval::fit::{self, ExposureFit};
use composite_eval::recorded::Recorded;
use composite_eval::scores::{Regions, Score, mean, pooled, score};
use image::{GenericImage, RgbImage};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use synth::{Maker, Split};

/// Measures composites on held-out clips.
#[derive(Parser)]
struct Args {
    /// Number of held-out clips.
    #[arg(long, default_value_t = 32)]
    count: u64,
    /// Number of training clips that the baselines are fitted on.
    #[arg(long, default_value_t = 32)]
    train: u64,
    /// Also fits the numbers of the exposure on so many training clips, and prints them.
    #[arg(long)]
    fit: Option<u64>,
    /// A line for each clip.
    #[arg(long)]
    lines: bool,
    /// Where table.json and the strips go.
    #[arg(long, default_value = "out/eval-composite")]
    output: PathBuf,
}

/// The rows of the table, in order.
const METHODS: [&str; 10] = [
    "raw composite",
    "fixed colour gain",
    "least-squares relighting",
    "over instead of the reference's blend",
    "exposure alone",
    "exposure and shadow, neither known",
    "sun's direction given",
    "light of a removed person",
    "light of a removed person, no shadow",
    "true light",
];

#[derive(Serialize)]
struct Row {
    person: f64,
    lead: (f64, f64),
    shadow: f64,
    whole: f64,
    ssim_person: f64,
    ssim_shadow: f64,
    ssim_whole: f64,
    flicker: f64,
}

/// Makes clips of a split on all cores and does something with each.
fn each<T: Send>(
    split: Split,
    count: u64,
    work: impl Fn(&mut Composer, Recorded) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let next = AtomicU64::new(0);
    let done = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let run = || -> Result<()> {
        let pool = rayon_pool()?;
        pool.install(|| {
            let (mut maker, mut composer) = (Maker::new()?, Composer::new()?);
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= count {
                    return Ok(());
                }
                let made = work(&mut composer, Recorded::make(&mut maker, 1, split, n)?)?;
                done.lock().unwrap_or_else(|e| e.into_inner()).push((n, made));
            }
        })
    };
    std::thread::scope(|scope| -> Result<()> {
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        for handle in handles {
            handle.join().map_err(|_| anyhow::anyhow!("a thread ended early"))??;
        }
        Ok(())
    })?;
    let mut done = done.into_inner().unwrap_or_else(|e| e.into_inner());
    done.sort_by_key(|(n, _)| *n);
    Ok(done.into_iter().map(|(_, made)| made).collect())
}

fn rayon_pool() -> Result<rayon::ThreadPool> {
    Ok(rayon::ThreadPoolBuilder::new().num_threads(1).build()?)
}

struct Done {
    name: String,
    scores: [Score; METHODS.len()],
    strip: RgbImage,
    line: String,
}

fn main() -> Result<()> {
    let args = Args::parse();
    std::fs::create_dir_all(&args.output).with_context(|| args.output.display().to_string())?;
    if let Some(count) = args.fit {
        for (name, known) in
            [("WITHOUT", Known::Nothing), ("WITHOUT (sun given)", Known::Sun), ("WITH_PERSON", Known::Person)]
        {
            let rows = each(Split::Train, count, |composer, recorded| fit::row(composer, &recorded, known))?;
            let mut fit = ExposureFit::default();
            rows.into_iter().flatten().for_each(|row| fit.add(&row));
            println!("{name}: {:?}", fit.solve(known == Known::Person));
        }
    }
    let clips = each(Split::Train, args.train, |_, recorded| Ok(recorded.clip))?;
    let mut baselines = Fit::default();
    clips.iter().for_each(|clip| baselines.add(clip));
    drop(clips);
    let relight = baselines.solve();
    let done = each(Split::Val, args.count, |composer, recorded| {
        let clip = &recorded.clip;
        let by =
            |f: fn(&composite_eval::baselines::Relight, &RgbImage, &RgbImage) -> RgbImage| -> Vec<RgbImage> {
                clip.blend.iter().zip(&clip.normals).map(|(b, n)| f(&relight, b, n)).collect()
            };
        let all = Switches::ALL;
        let mut compose = |known, switches| composer.compose(&recorded, known, switches);
        let plain = Switches { shade: false, exposure: None, shadow: false };
        let over = compose(Known::Nothing, plain)?;
        let exposed = compose(Known::Nothing, Switches { exposure: all.exposure, ..plain })?;
        let neither = compose(Known::Nothing, all)?;
        let sun = compose(Known::Sun, all)?;
        let person = compose(Known::Person, all)?;
        let unshadowed = compose(Known::Person, Switches { shadow: false, ..all })?;
        let truth = compose(Known::Truth, all)?;
        let videos: [&[RgbImage]; METHODS.len()] = [
            &clip.blend,
            &by(composite_eval::baselines::Relight::gain),
            &by(composite_eval::baselines::Relight::relight),
            &over.frames,
            &exposed.frames,
            &neither.frames,
            &sun.frames,
            &person.frames,
            &unshadowed.frames,
            &truth.frames,
        ];
        let regions = Regions::of(clip);
        let scores = videos.map(|video| score(video, clip, &regions));
        let strip = strip(&[&clip.blend, &neither.frames, &sun.frames, &person.frames, &clip.target])?;
        let line = line(&clip.name, &scores, &person, &truth, &recorded);
        Ok(Done { name: clip.name.clone(), scores, strip, line })
    })?;
    ensure!(!done.is_empty(), "no clips");
    if args.lines {
        done.iter().for_each(|d| println!("{}", d.line));
    }
    let rows: Vec<(&str, Row)> = METHODS.iter().enumerate().map(|(m, name)| (*name, row(&done, m))).collect();
    println!(
        "\n{} clips; PSNR in dB, flicker over the target's\n\n{:<40}{:>8}{:>16}{:>8}{:>8}{:>8}{:>8}{:>8}{:>9}",
        done.len(),
        "",
        "person",
        "lead",
        "shadow",
        "whole",
        "SSIM p",
        "SSIM s",
        "SSIM w",
        "flicker"
    );
    for (name, r) in &rows {
        println!(
            "{name:<40}{:>8.2}{:>+9.2} ± {:.2}{:>8.2}{:>8.2}{:>8.3}{:>8.3}{:>8.3}{:>9.2}",
            r.person,
            r.lead.0,
            r.lead.1,
            r.shadow,
            r.whole,
            r.ssim_person,
            r.ssim_shadow,
            r.ssim_whole,
            r.flicker
        );
    }
    let by_clip: BTreeMap<&str, [Score; METHODS.len()]> =
        done.iter().map(|d| (d.name.as_str(), d.scores)).collect();
    let table = serde_json::json!({"methods": rows, "by_clip": by_clip});
    let path = args.output.join("table.json");
    std::fs::write(&path, serde_json::to_vec_pretty(&table)?).with_context(|| path.display().to_string())?;
    let mut order: Vec<&Done> = done.iter().collect();
    order.sort_by(|a, b| gain(b).total_cmp(&gain(a)));
    for (i, d) in order.iter().enumerate() {
        d.strip.save(args.output.join(format!("{i:02}-{}.png", d.name)))?;
    }
    println!(
        "\n{}, and strips beside it, best first: raw composite | neither known | sun given | removed person | truth",
        path.display()
    );
    Ok(())
}

/// What the removed person's light brings.
fn gain(d: &Done) -> f64 {
    d.scores[7].person - d.scores[0].person
}

fn row(done: &[Done], m: usize) -> Row {
    let column =
        |f: fn(&Score) -> Option<f64>| -> Vec<f64> { done.iter().filter_map(|d| f(&d.scores[m])).collect() };
    let leads: Vec<f64> = done.iter().map(|d| d.scores[m].person - d.scores[0].person).collect();
    Row {
        person: mean(&column(|s| Some(s.person))).0,
        lead: mean(&leads),
        shadow: pooled(&column(|s| s.shadow)),
        whole: mean(&column(|s| Some(s.whole))).0,
        ssim_person: mean(&column(|s| Some(s.ssim_person))).0,
        ssim_shadow: mean(&column(|s| s.ssim_shadow)).0,
        ssim_whole: mean(&column(|s| Some(s.ssim_whole))).0,
        flicker: mean(&column(|s| Some(s.flicker))).0,
    }
}

fn line(name: &str, scores: &[Score], person: &Composed, truth: &Composed, recorded: &Recorded) -> String {
    let l = &recorded.light;
    let share = l.sun_color.element_sum() / (l.sun_color.element_sum() + l.sky.element_sum());
    let probed = person.probed.map_or(String::new(), |p| {
        format!("agree {:.2} explained {:.2} strength {:.2}", p.agreement, p.explained, p.strength)
    });
    let found = person.light.sun.map_or(0.0, |s| scene_light::luma(s.color));
    let real = truth.light.sun.map_or(0.0, |s| scene_light::luma(s.color));
    let db: Vec<String> = scores.iter().map(|s| format!("{:.1}", s.person)).collect();
    let shadow: Vec<String> =
        scores.iter().map(|s| s.shadow.map_or("–".to_owned(), |s| format!("{s:.1}"))).collect();
    format!(
        "{name} person {} shadow {} | sun share {share:.2} off {:.0}° tilt {:.1}° sun {found:.2} of {real:.2} {probed}",
        db.join(" "),
        shadow.join(" "),
        person.off.unwrap_or(-1.0),
        person.tilt,
    )
}

/// Two frames of each video, side by side.
fn strip(videos: &[&[RgbImage]]) -> Result<RgbImage> {
    let first = videos.first().and_then(|v| v.first()).context("no frames")?;
    let (w, h) = first.dimensions();
    let mut out = RgbImage::new(w * videos.len() as u32, 2 * h);
    for (column, video) in videos.iter().enumerate() {
        for (row, f) in [2, video.len() - 3].into_iter().enumerate() {
            out.copy_from(&video[f], column as u32 * w, row as u32 * h)?;
        }
    }
    Ok(out)
}
