//! What step caches save and cost: the demo's trained weights on the clip of `fixtures/trained`, each cache at three settings,
//! against the same loop without one. Prints the table of docs/step-caches.md.
//!
//! `cargo run --release -p anicrafter-pipeline --example step_caches`, from the checkout's root.

use anicrafter_pipeline::denoise::{Sampling, Start, Step, StepCacheName, StepCacheSettings, Watch, denoise};
use anicrafter_pipeline::models::ModelSet;
use anicrafter_pipeline::{Job, Preset};
use candle_core::{Device, Tensor};
use dit::Conditions;

/// Counts the steps in which the transformer ran.
#[derive(Default)]
struct Calls(usize);

impl Watch for Calls {
    fn step(&mut self, step: &Step<'_>) -> anicrafter_pipeline::Result<()> {
        self.0 += usize::from(step.cache.iter().any(|(computed, _)| *computed));
        Ok(())
    }
}

fn settings() -> Vec<(String, StepCacheSettings)> {
    let of = StepCacheSettings::of;
    let mut all = Vec::new();
    for threshold in [0.1, 0.2, 0.3] {
        let tea = StepCacheSettings { threshold: Some(threshold), ..of(StepCacheName::Tea) };
        all.push((format!("TeaCache {threshold}"), tea));
    }
    for threshold in [0.02, 0.05, 0.1] {
        let easy = StepCacheSettings { threshold: Some(threshold), ..of(StepCacheName::Easy) };
        all.push((format!("EasyCache {threshold}"), easy));
    }
    for order in [1, 2] {
        for interval in [2, 3, 4] {
            let (interval, order) = (Some(interval), Some(order));
            let name = format!("Taylor, degree {}, every {}", order.unwrap_or(0), interval.unwrap_or(0));
            all.push((name, StepCacheSettings { interval, order, ..of(StepCacheName::Taylor) }));
        }
    }
    all
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut job = Job::new(Preset::Demo);
    job.models.demo = Some("assets/demo/weights".into());
    job.models.device = "cpu".to_owned();
    let models = ModelSet::new(&job.models)?;
    let (model, vae) = (models.transformer()?, models.vae(vae::Halves::Decoder)?);
    let clip = candle_core::safetensors::load("fixtures/trained/trained.safetensors", &Device::Cpu)?;
    let conditions = Conditions {
        context: &clip["context"],
        clip_feature: Some(&clip["clip_feature"]),
        y: Some(&clip["y"]),
        add_condition: Some(&clip["tokens"]),
    };
    let shape: [usize; 5] = clip["x"].dims().try_into()?;
    let run = |sampling: &Sampling| -> Result<(usize, Tensor), Box<dyn std::error::Error>> {
        let mut calls = Calls::default();
        let start = Start::noise(0, shape, &Device::Cpu)?;
        let latents = denoise(&model, &conditions, None, start, sampling, &mut calls)?;
        Ok((calls.0, vae.decode(&latents, &mut ())?))
    };
    println!("| cache | 20 steps: calls | saved | PSNR, dB | 50 steps: calls | saved | PSNR, dB |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    let at = |steps, step_cache| Sampling { steps, step_cache, ..job.sampling.clone() };
    let exact = [20, 50].map(|steps| run(&at(steps, None)));
    let [short, long] = exact;
    let exact = [(20, short?.1), (50, long?.1)];
    for (name, settings) in settings() {
        let mut row = format!("| {name} |");
        for (steps, exact) in &exact {
            let (calls, video) = run(&at(*steps, Some(settings.clone())))?;
            let saved = 100.0 * (steps - calls) as f64 / *steps as f64;
            row += &format!(" {calls} | {saved:.0} % | {:.1} |", psnr(&video, exact)?);
        }
        println!("{row}");
    }
    Ok(())
}

/// Of videos in -1 to 1.
fn psnr(a: &Tensor, b: &Tensor) -> candle_core::Result<f64> {
    let error = f64::from((a - b)?.sqr()?.mean_all()?.to_scalar::<f32>()?);
    Ok(10.0 * (4.0 / error).log10())
}
