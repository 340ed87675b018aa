//! The whole job, stage by stage.

use crate::composite::{Compositor, gray, gray_to_rgb};
use crate::condition_files::{ConditionFiles, Meta};
use crate::conditions::{Clip, assemble_y, round};
use crate::denoise::{Start, Step, Watch, denoise, initial_noise, is_resumable};
use crate::job::{FirstFrame, Job};
use crate::models::ModelSet;
use crate::progress::{Context, Event, Stage, peak_memory};
use crate::report::StageRow;
use crate::windows::{Drift, Window, windows};
use crate::work::{
    Fingerprint, FrameFile, Slot, WorkDir, load_tensors, save_tensors, take, write_atomically,
};
use crate::{DetailTransfer, Error, Result};
use avatar_render::RendererChoice;
use candle_core::{Device, Tensor};
use dit::{Conditions, Rounding, pad_context};
use image::RgbImage;
use std::io::{BufWriter, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What a run made and measured.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The condition's files in the work folder.
    pub condition: ConditionFiles,
    /// The decoded windows, in order.
    pub decoded: Vec<(Window, PathBuf)>,
    /// Time and memory by stage.
    pub stages: Vec<StageRow>,
    /// Colour and difference where neighbouring windows overlap, before anything is corrected.
    pub drift: Vec<Drift>,
    /// Frames a second.
    pub fps: f64,
    /// How the weights want detail transfer to be done.
    pub detail_transfer: DetailTransfer,
}

/// Runs a job up to the decoded windows; what is finished in the work folder isn't done again.
///
/// # Errors
/// The first thing that goes wrong in any stage, or [`Error::Cancelled`].
pub fn animate(job: &Job, renderer: RendererChoice, context: Context<'_>) -> Result<Outcome> {
    job.validate()?;
    for advice in job.advice() {
        context.warn(advice);
    }
    let models = ModelSet::new(&job.models)?;
    if !models.is_trained() {
        context.warn("the small diffusion weights are untrained (no folder of weights was given): the person in the result is noise, not a restored picture");
    }
    let mut run = Run { job, models, work: WorkDir::open(job.work_dir())?, context, stages: Vec::new() };
    let (composite_key, condition) = run.composite(renderer)?;
    let text = run.text()?;
    let image = run.image(&composite_key, &condition)?;
    let content = match job.video.first_frame {
        FirstFrame::Keep => condition.len().saturating_sub(1),
        FirstFrame::Drop => condition.len(),
    };
    let mut decoded = Vec::new();
    for (n, window) in
        windows(content.max(1), job.video.window - 1, job.video.overlap).into_iter().enumerate()
    {
        let conditioned = run.condition(n, window, &composite_key, &condition)?;
        let latents = run.denoise(n, &conditioned, &text, &image)?;
        decoded.push((window, run.decode(n, &conditioned, &latents)?));
    }
    let drift = crate::finish::measure_drift(&decoded, condition.dimensions())?;
    let fps = condition.fps();
    let detail_transfer = run.models.detail_transfer().clone();
    Ok(Outcome { condition, decoded, stages: run.stages, drift, fps, detail_transfer })
}

/// Runs a job up to the condition video only.
///
/// # Errors
/// The first thing that goes wrong, or [`Error::Cancelled`].
pub fn composite(job: &Job, renderer: RendererChoice, context: Context<'_>) -> Result<ConditionFiles> {
    let models = ModelSet::new(&job.models)?;
    let mut run = Run { job, models, work: WorkDir::open(job.work_dir())?, context, stages: Vec::new() };
    Ok(run.composite(renderer)?.1)
}

/// Runs `make` unless its result is in the work folder, and keeps the books. Gives the result's folder.
pub(crate) fn run_stage(
    work: &WorkDir,
    context: Context<'_>,
    stage: Stage,
    window: usize,
    total: usize,
    key: &Fingerprint,
    make: impl FnOnce(&Path) -> Result<()>,
) -> Result<(PathBuf, StageRow)> {
    context.check()?;
    let slot: Slot = work.slot(stage, window, key);
    let cached = slot.is_finished();
    let start = Instant::now();
    context.tell(&Event::Started { stage, window, total });
    if !cached {
        let part = slot.begin()?;
        make(&part)?;
        slot.commit(&part)?;
    }
    let (seconds, peak_bytes) = (start.elapsed().as_secs_f64(), peak_memory());
    context.tell(&Event::Finished { stage, seconds, cached, peak_bytes });
    let name = if window == 0 {
        stage.name().to_owned()
    } else {
        format!("{} (window {})", stage.name(), window + 1)
    };
    Ok((slot.path().to_owned(), StageRow { name, seconds, peak_bytes, cached }))
}

struct Run<'a> {
    job: &'a Job,
    models: ModelSet,
    work: WorkDir,
    context: Context<'a>,
    stages: Vec<StageRow>,
}

/// A finished stage with its fingerprint.
struct Done {
    key: Fingerprint,
    folder: PathBuf,
}

impl Done {
    fn file(&self) -> PathBuf {
        self.folder.join("tensors.safetensors")
    }
}

impl Run<'_> {
    /// Runs `make` unless its result is there, and keeps the books.
    fn stage(
        &mut self,
        stage: Stage,
        window: usize,
        total: usize,
        key: Fingerprint,
        make: impl FnOnce(&Self, &Path) -> Result<()>,
    ) -> Result<Done> {
        let work = self.work.clone();
        let part = |part: &Path| make(self, part);
        let (folder, row) = run_stage(&work, self.context, stage, window, total, &key, part)?;
        self.stages.push(row);
        Ok(Done { key, folder })
    }

    fn rounding(&self) -> Rounding {
        if self.job.sampling.bf16_latents { Rounding::Bf16 } else { Rounding::None }
    }

    fn model_key(&self) -> Result<Fingerprint> {
        let mut files = Vec::new();
        let m = &self.job.models;
        for path in m
            .wan
            .iter()
            .chain(&m.anicrafter)
            .chain(&m.demo)
            .chain(&m.dit)
            .chain(m.lora.iter().map(|l| &l.path))
        {
            files.push(Fingerprint::of_path(path)?);
        }
        // Where and how weights are held changes rounding only through their type.
        let strengths: Vec<f64> = m.lora.iter().map(|l| l.strength).collect();
        Fingerprint::of(&(m.preset, m.dtype, m.activations, &m.device, strengths, m.tiled_vae, files))
    }

    fn composite(&mut self, renderer: RendererChoice) -> Result<(Fingerprint, ConditionFiles)> {
        let input = &self.job.input;
        let mut files = vec![Fingerprint::of_path(&input.background)?];
        for actor in &input.actors {
            files.push(Fingerprint::of_path(&actor.avatar)?);
            files.push(Fingerprint::of_path(&actor.motion)?);
        }
        for path in [&input.character, &input.character_mask, &input.mesh_video, &input.body]
            .into_iter()
            .flatten()
            .chain(&input.occluders)
        {
            files.push(Fingerprint::of_path(path)?);
        }
        // Neither the windows nor the rate change a condition frame.
        let video =
            crate::job::Video { window: 0, overlap: 0, match_windows: false, ..self.job.video.clone() };
        let key = Fingerprint::of(&(input, video, files, format!("{renderer:?}")))?;
        let job = self.job;
        let done = self.stage(Stage::Composite, 0, 0, key, |run, part| {
            let compositor = Compositor::open(job, renderer)?;
            write_condition(job, compositor, part, run.context)
        })?;
        Ok((done.key, ConditionFiles::open(&done.folder)?))
    }

    fn text(&mut self) -> Result<Done> {
        let prompt = &self.job.prompt;
        let with_negative = self.job.sampling.cfg_scale != 1.0;
        let negative = with_negative.then_some(&prompt.negative);
        let saved = prompt.embeddings.as_deref().map(Fingerprint::of_path).transpose()?;
        let key = Fingerprint::of(&(&prompt.positive, negative, saved, self.model_key()?))?;
        self.stage(Stage::Text, 0, 1 + usize::from(with_negative), key, |run, part| {
            let file = part.join("tensors.safetensors");
            if let Some(saved) = &run.job.prompt.embeddings {
                let mut tensors = load_tensors(saved, &Device::Cpu)?;
                let positive = take(&mut tensors, "positive", saved)?;
                let negative = with_negative.then(|| take(&mut tensors, "negative", saved)).transpose()?;
                let mut list = vec![("positive", &positive)];
                list.extend(negative.as_ref().map(|n| ("negative", n)));
                return save_tensors(&file, &list);
            }
            let (tokenizer, encoder) = run.models.text()?;
            let rows = run.models.context_rows();
            let encode = |text: &str| -> Result<Tensor> {
                let tokens = tokenizer.tokenize(text, rows)?;
                if tokens.truncated {
                    run.context.warn(format!(
                        "the prompt is longer than {rows} tokens and was cut: {:.60}…",
                        tokens.text
                    ));
                }
                Ok(encoder.encode(&tokens.ids, rows)?)
            };
            let positive = encode(&run.job.prompt.positive)?;
            run.context.advance(Stage::Text, 1.0, 1 + usize::from(with_negative))?;
            let negative = negative.map(|text| encode(text)).transpose()?;
            let mut list = vec![("positive", &positive)];
            list.extend(negative.as_ref().map(|n| ("negative", n)));
            save_tensors(&file, &list)
        })
    }

    fn image(&mut self, composite: &Fingerprint, condition: &ConditionFiles) -> Result<Done> {
        let key = Fingerprint::of(&(composite, self.model_key()?))?;
        let reference = condition.reference()?;
        self.stage(Stage::Image, 0, 1, key, |run, part| {
            let (w, h) = (reference.width() as usize, reference.height() as usize);
            let planes = bg_mask::to_planes(&reference, bg_mask::Scaling::PreprocessImage);
            let picture = Tensor::from_vec(planes, (1, 3, h, w), run.models.device())?;
            let feature = round(&run.models.image()?.encode(&picture)?, run.rounding())?;
            save_tensors(&part.join("tensors.safetensors"), &[("clip_feature", &feature)])
        })
    }

    fn condition(
        &mut self,
        n: usize,
        window: Window,
        composite: &Fingerprint,
        files: &ConditionFiles,
    ) -> Result<Done> {
        let key = Fingerprint::of(&(composite, window, self.model_key()?, self.job.output.detail_transfer))?;
        self.stage(Stage::Condition, n, 3, key, |run, part| {
            let reference = files.reference()?;
            let (blend, mesh) = (padded(&mut files.blend()?, window)?, padded(&mut files.mesh()?, window)?);
            let clip = Clip { reference: &reference, blend: &blend, mesh: &mesh };
            let device = run.models.device();
            let mask = clip.latent_mask()?;
            run.context.advance(Stage::Condition, 0.1, 3)?;
            let tokens = clip.tokens(&run.models.embedders()?, run.rounding(), device)?;
            run.context.advance(Stage::Condition, 1.0, 3)?;
            let video = round(&clip.blend_tensor(device)?, run.rounding())?;
            let halves =
                if run.job.output.detail_transfer { vae::Halves::Both } else { vae::Halves::Encoder };
            let vae = run.models.vae(halves)?;
            let context = run.context;
            let mut observer = |done: usize, of: usize| {
                let done = 1.0 + done as f64 / of.max(1) as f64;
                flow(context.advance(Stage::Condition, done, 3))
            };
            let latents = if run.job.models.tiled_vae {
                vae.encode_tiled(&video, &vae::Tiles::default(), &mut observer)
            } else {
                vae.encode(&video, &mut observer)
            };
            let latents = round(&stopped(latents)?, run.rounding())?;
            let y = assemble_y(&mask, &latents, run.rounding())?;
            save_tensors(&part.join("tensors.safetensors"), &[("y", &y), ("tokens", &tokens)])?;
            if run.job.output.detail_transfer {
                let mut again = |done: usize, of: usize| {
                    let done = 2.0 + done as f64 / of.max(1) as f64;
                    flow(context.advance(Stage::Condition, done, 3))
                };
                write_decoded(
                    &vae,
                    &latents,
                    run.job.models.tiled_vae,
                    &part.join("decoded.rgb"),
                    &mut again,
                )?;
            }
            Ok(())
        })
    }

    fn denoise(&mut self, n: usize, conditioned: &Done, text: &Done, image: &Done) -> Result<Done> {
        let sampling = &self.job.sampling;
        let key = Fingerprint::of(&(&conditioned.key, &text.key, &image.key, sampling))?;
        self.stage(Stage::Denoise, n, sampling.steps, key, |run, part| {
            let device = run.models.device();
            let load = |done: &Done, name| take(&mut load_tensors(&done.file(), device)?, name, &done.file());
            let (y, tokens) = (load(conditioned, "y")?, load(conditioned, "tokens")?);
            let feature = load(image, "clip_feature")?;
            let context_of = |name| -> Result<Tensor> {
                Ok(pad_context(&round(&load(text, name)?, run.rounding())?, run.models.context_rows())?)
            };
            let positive = context_of("positive")?;
            let negative = (sampling.cfg_scale != 1.0).then(|| context_of("negative")).transpose()?;
            let channels = run.models.vae_config().z_dim;
            let (_, _, t, h, w) = y.dims5()?;
            let start = match saved_latents(part, device)? {
                Some(start) if is_resumable(sampling) => start,
                _ => {
                    // Every window has noise of its own.
                    let seed = sampling.seed.wrapping_add((n as u64) << 20);
                    Start { latents: initial_noise(seed, [1, channels, t, h, w], device)?, step: 0 }
                }
            };
            let model = run.models.transformer()?;
            let with = |context, add_condition| Conditions {
                context,
                clip_feature: Some(&feature),
                y: Some(&y),
                add_condition,
            };
            let branches = (with(&positive, Some(&tokens)), negative.as_ref().map(|n| with(n, None)));
            let mut watch = DenoiseWatch { run, part, window: n };
            let latents = denoise(&model, &branches.0, branches.1.as_ref(), start, sampling, &mut watch)?;
            save_tensors(&part.join("tensors.safetensors"), &[("latents", &latents)])
        })
    }

    fn decode(&mut self, n: usize, conditioned: &Done, latents: &Done) -> Result<PathBuf> {
        let detail = self.job.output.detail_transfer;
        let key = Fingerprint::of(&(&latents.key, detail))?;
        let done = self.stage(Stage::Decode, n, 1, key, |run, part| {
            let device = run.models.device();
            let latents = take(&mut load_tensors(&latents.file(), device)?, "latents", &latents.file())?;
            let vae = run.models.vae(vae::Halves::Decoder)?;
            let context = run.context;
            let mut observer = |done: usize, of: usize| {
                flow(context.advance(Stage::Decode, done as f64 / of.max(1) as f64, 1))
            };
            write_decoded(&vae, &latents, run.job.models.tiled_vae, &part.join("frames.rgb"), &mut observer)?;
            if detail {
                let from = conditioned.folder.join("decoded.rgb");
                std::fs::copy(&from, part.join("condition.rgb"))
                    .map_err(|source| Error::Io { path: from, source })?;
            }
            Ok(())
        })?;
        Ok(done.folder)
    }
}

fn flow(result: Result<()>) -> ControlFlow<()> {
    if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
}

/// A VAE that was stopped was stopped by the caller.
fn stopped<T>(result: vae::Result<T>) -> Result<T> {
    result.map_err(|e| if matches!(e, vae::Error::Cancelled { .. }) { Error::Cancelled } else { e.into() })
}

/// The window's frames and one more, which the model's shift loses; the last one is repeated as often as needed.
fn padded(file: &mut FrameFile, window: Window) -> Result<Vec<RgbImage>> {
    let mut frames = Vec::with_capacity(window.padded + 1);
    for i in 0..=window.padded {
        let index = (window.start + i).min(window.start + window.len - 1);
        frames.push(file.frame(index)?);
    }
    Ok(frames)
}

fn write_condition(job: &Job, mut compositor: Compositor, part: &Path, context: Context<'_>) -> Result<()> {
    let (w, h) = (job.video.width, job.video.height);
    let reference = match &job.input.character {
        Some(path) => character(path, job.input.character_mask.as_deref(), w, h)?,
        None => {
            context.warn("no character picture: the reference frame is the avatar seen from the front");
            compositor.portrait(w, h)?
        }
    };
    let total = compositor.len();
    context.tell(&Event::Started { stage: Stage::Composite, window: 0, total });
    let create = |name: &str| -> Result<(PathBuf, BufWriter<std::fs::File>)> {
        let path = part.join(name);
        let file = std::fs::File::create(&path).map_err(|source| Error::Io { path: path.clone(), source })?;
        Ok((path, BufWriter::with_capacity(1 << 20, file)))
    };
    let mut files = [create("plate.rgb")?, create("blend.rgb")?, create("mesh.rgb")?, create("mask.rgb")?];
    let mut done = 0;
    while let Some(frame) = compositor.next_frame()? {
        let mask = gray_to_rgb(&frame.mask);
        let pictures: [&[u8]; 4] =
            [frame.plate.as_raw(), frame.blend.as_raw(), frame.mesh.as_raw(), mask.as_raw()];
        for ((path, file), bytes) in files.iter_mut().zip(pictures) {
            file.write_all(bytes).map_err(|source| Error::Io { path: path.clone(), source })?;
        }
        done += 1;
        context.advance(Stage::Composite, done as f64, total)?;
    }
    for (path, file) in files {
        let io = |source| Error::Io { path: path.clone(), source };
        file.into_inner().map_err(|e| io(e.into_error()))?.sync_all().map_err(io)?;
    }
    media::write_picture(part.join("reference.png"), &reference, media::PictureFormat::Png)?;
    let meta =
        Meta { frames: done, width: w, height: h, fps: compositor.fps(), renderer: compositor.renderer() };
    let json = serde_json::to_vec_pretty(&meta).map_err(|e| Error::Settings(e.to_string()))?;
    write_atomically(&part.join("meta.json"), &json)
}

fn character(path: &Path, mask: Option<&Path>, w: u32, h: u32) -> Result<RgbImage> {
    let (picture, mask) = match mask {
        Some(mask) => (media::read_picture(path)?, gray(&media::read_picture(mask)?)),
        None => {
            let decoded = image::open(path)
                .map_err(|e| Error::Damaged { path: path.to_owned(), why: e.to_string() })?;
            if !decoded.color().has_alpha() {
                let what = format!(
                    "{} has no alpha channel: name a mask with character_mask (--character-mask)",
                    path.display()
                );
                return Err(Error::Missing { stage: Stage::Composite, what });
            }
            bg_mask::split_alpha(&decoded.to_rgba8())
        }
    };
    Ok(bg_mask::reference_frame(&picture, &mask, w, h)?)
}

/// Decodes latents to 8-bit frames on disk.
fn write_decoded(
    vae: &vae::Vae,
    latents: &Tensor,
    tiled: bool,
    path: &Path,
    observer: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<()> {
    let io = |source| Error::Io { path: path.to_owned(), source };
    let mut file = BufWriter::with_capacity(1 << 20, std::fs::File::create(path).map_err(io)?);
    let mut write = |frames: &Tensor| -> Result<()> {
        let (_, f, h, w) = frames.dims4()?;
        for i in 0..f {
            let planes = frames.narrow(1, i, 1)?.flatten_all()?.to_vec1::<f32>()?;
            file.write_all(bg_mask::from_planes(&planes, w as u32, h as u32)?.as_raw()).map_err(io)?;
        }
        Ok(())
    };
    if tiled {
        let mut observer = observer;
        write(&stopped(vae.decode_tiled(latents, &vae::Tiles::default(), &mut observer))?.get(0)?)?;
    } else {
        let mut stream = vae.decode_stream()?;
        let t = latents.dim(2)?;
        for i in 0..t {
            write(&stream.push(&latents.get(0)?.narrow(1, i, 1)?.contiguous()?)?)?;
            if observer(i + 1, t).is_break() {
                return Err(Error::Cancelled);
            }
        }
    }
    file.into_inner().map_err(|e| io(e.into_error()))?.sync_all().map_err(io)
}

/// The furthest latents that an interrupted loop left.
fn saved_latents(part: &Path, device: &Device) -> Result<Option<Start>> {
    let entries = std::fs::read_dir(part).map_err(|source| Error::Io { path: part.to_owned(), source })?;
    let steps = entries.filter_map(|entry| {
        let name = entry.ok()?.file_name().into_string().ok()?;
        name.strip_prefix("step-")?.strip_suffix(".safetensors")?.parse::<usize>().ok()
    });
    let Some(step) = steps.max() else { return Ok(None) };
    let path = part.join(format!("step-{step}.safetensors"));
    let latents = take(&mut load_tensors(&path, device)?, "latents", &path)?;
    Ok(Some(Start { latents, step }))
}

struct DenoiseWatch<'a, 'b> {
    run: &'a Run<'b>,
    part: &'a Path,
    window: usize,
}

impl Watch for DenoiseWatch<'_, '_> {
    fn block(&mut self, step: usize, block: usize, of: usize) -> ControlFlow<()> {
        let done = step as f64 + block as f64 / of.max(1) as f64;
        flow(self.run.context.advance(Stage::Denoise, done, self.run.job.sampling.steps))
    }

    fn step(&mut self, step: &Step<'_>) -> Result<()> {
        let (output, done) = (&self.run.job.output, step.index + 1);
        let due = |every: usize| every > 0 && done.is_multiple_of(every);
        if due(output.save_every)
            && done < self.run.job.sampling.steps
            && is_resumable(&self.run.job.sampling)
        {
            save_tensors(&self.part.join(format!("step-{done}.safetensors")), &[("latents", step.latents)])?;
        }
        if due(output.preview_every) && step.latents.dim(1)? == 16 {
            let path = self.run.work.root().join(format!("preview-{:03}-{done:03}.png", self.window));
            write_preview(step.latents, &path)?;
            self.run.context.tell(&Event::Preview { step: done, path });
        }
        Ok(())
    }
}

/// A rough picture of the middle frame, straight from the latents.
fn write_preview(latents: &Tensor, path: &Path) -> Result<()> {
    let rgb = vae::preview::rgb(latents)?;
    let (_, _, t, h, w) = rgb.dims5()?;
    let planes = rgb.narrow(2, t / 2, 1)?.flatten_all()?.to_vec1::<f32>()?;
    let small = bg_mask::from_planes(&planes, w as u32, h as u32)?;
    let large =
        image::imageops::resize(&small, 8 * w as u32, 8 * h as u32, image::imageops::FilterType::Triangle);
    Ok(media::write_picture(path, &large, media::PictureFormat::Png)?)
}
