//! What step caches save and cost: the demo's trained weights on the demo's first frames, each cache at three settings, against
//! the same loop without one. Prints the table of docs/step-caches.md.
//!
//! `cargo run --release -p anicrafter-pipeline --example step_caches`, from the checkout's root.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use anicrafter_pipeline::denoise::{Sampling, Start, Step, StepCacheName, StepCacheSettings, Watch, denoise};
use anicrafter_pipeline::models::ModelSet;
use anicrafter_pipeline::work::FrameFile;
use anicrafter_pipeline::{Actor, CancelToken, Context, Error, Job, Preset, Quiet, composite};
use candle_core::{Device, Tensor};
use conditioning::{Clip, ClipConditions, Conditioner, Strides};
use dit::{Conditions, pad_context};
use std::ops::ControlFlow;
use std::path::Path;

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

/// The demo's first nine frames at 160×96, composed anew.
fn demo_job(work: &Path) -> Job {
    let demo = |name: &str| Path::new("assets/demo").join(name);
    let mut job = Job::new(Preset::Demo);
    job.models.demo = Some(demo("weights"));
    job.models.device = "cpu".to_owned();
    job.input.actors = vec![Actor::new(demo("avatar.safetensors"), demo("motion.json"))];
    job.input.background = demo("background.mp4");
    job.input.character = Some(demo("character.png"));
    job.input.end = Some(8);
    (job.video.width, job.video.height, job.video.window) = (160, 96, 9);
    job.output.work = Some(work.to_owned());
    job
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let work = std::env::temp_dir().join(format!("step-caches-{}", std::process::id()));
    let job = demo_job(&work);
    let files = composite(&job, "cpu".parse()?, Context::new(&Quiet, &CancelToken::new()))?;
    let (mut blend, mut mesh) = (files.blend()?, files.mesh()?);
    let read =
        |frames: &mut FrameFile| -> Result<Vec<_>, Error> { (0..8).map(|i| frames.frame(i)).collect() };
    let (reference, blend, mesh) = (files.reference()?, read(&mut blend)?, read(&mut mesh)?);
    std::fs::remove_dir_all(&work)?;

    let models = ModelSet::new(&job.models)?;
    let (model, vae) = (models.transformer()?, models.vae(vae::Halves::Both)?);
    let (tokenizer, text) = models.text()?;
    let rows = models.context_rows();
    let context =
        pad_context(&text.encode(&tokenizer.tokenize(&job.prompt.positive, rows)?.ids, rows)?, rows)?;
    let clip = Clip::new(&reference, &blend, &mesh, Strides::of(vae.config()))?;
    let embedders = models.embedders()?;
    let conditioner = Conditioner::new(&embedders, &vae)?;
    let ClipConditions { latents, y, tokens, .. } =
        conditioner.condition(&clip, &Device::Cpu, &mut |_| ControlFlow::Continue(()))?;
    let planes = bg_mask::to_planes(&reference, bg_mask::Scaling::PreprocessImage);
    let picture = Tensor::from_vec(planes, (1, 3, 96, 160), &Device::Cpu)?;
    let feature = models.image()?.encode(&picture)?;
    let conditions = Conditions {
        context: &context,
        clip_feature: Some(&feature),
        y: Some(&y),
        add_condition: Some(&tokens),
    };
    let shape: [usize; 5] = latents.dims().try_into()?;
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
