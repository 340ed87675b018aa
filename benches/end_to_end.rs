//! The demo's job, stage by stage, as a user's run takes it: guards what the benches of single crates can't see.
//!
//! `cargo bench -p benches`. Each stage is timed inside a run of the whole job: its own clock starts when its inputs lie in
//! the work folder, and loading its weights counts.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use pipeline::models::ModelCache;
use pipeline::work::WorkDir;
use pipeline::{Actor, CancelToken, Context, Job, Preset, Quiet, Stage, animate, composite::Compositor};
use std::path::Path;
use std::time::Duration;

/// Frames of the condition.
const FRAMES: usize = 9;

fn job(work: &Path) -> Job {
    let scene = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/demo");
    let mut job = Job::new(Preset::Demo);
    job.input.actors = vec![Actor::new(scene.join("avatar.safetensors"), scene.join("motion.json"))];
    job.input.background = scene.join("background.mp4");
    job.input.character = Some(scene.join("character.png"));
    job.input.end = Some(FRAMES);
    job.video.window = FRAMES;
    job.video.overlap = 1;
    job.sampling.steps = 1;
    job.output.work = Some(work.to_owned());
    job
}

/// Background decoded, body posed, avatar splatted and blended, mesh and mask rendered.
fn composite(c: &mut Criterion) {
    let work = tempfile::tempdir().expect("a temporary folder");
    let job = job(work.path());
    let mut group = c.benchmark_group("end_to_end");
    group.sample_size(10).throughput(Throughput::Elements(FRAMES as u64));
    group.bench_function("composite", |b| {
        b.iter(|| {
            let renderer = "cpu".parse().expect("a renderer");
            let mut compositor = Compositor::open(&job, renderer).expect("the demo scene");
            while compositor.next_frame().expect("a frame of the demo").is_some() {}
        });
    });
    group.finish();
}

/// One step of the transformer over the clip, and the autoencoder's decoding of it.
fn model_stages(c: &mut Criterion) {
    let work = tempfile::tempdir().expect("a temporary folder");
    let job = job(work.path());
    let folder = WorkDir::open(work.path()).expect("a work folder");
    let mut group = c.benchmark_group("end_to_end");
    group.sample_size(10).throughput(Throughput::Elements(FRAMES as u64));
    for (name, stage) in [("denoise step", Stage::Denoise), ("decode", Stage::Decode)] {
        group.bench_function(name, |b| {
            b.iter_custom(|n| {
                let mut seconds = 0.0;
                for _ in 0..n {
                    folder.forget_from(stage).expect("removable results");
                    let renderer = "cpu".parse().expect("a renderer");
                    let cancel = CancelToken::new();
                    let outcome = animate(&job, renderer, &ModelCache::none(), Context::new(&Quiet, &cancel))
                        .expect("the demo");
                    let of_stage = outcome.stages.iter().filter(|s| s.name == stage.name());
                    seconds += of_stage.map(|s| s.seconds).sum::<f64>();
                }
                Duration::from_secs_f64(seconds)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, composite, model_stages);
criterion_main!(benches);
