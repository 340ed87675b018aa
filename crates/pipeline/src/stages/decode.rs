//! Latents become frames: every window's result and, for detail transfer, its condition.

use super::{Done, Loaded, Run, flow, stopped};
use crate::models::Wanted;
use crate::progress::Stage;
use crate::windows::Window;
use crate::work::{Fingerprint, create_file, load_tensors, take};
use crate::{Error, Result};
use candle_core::Tensor;
use std::io::{BufWriter, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A decoded window on disk, 8-bit RGB frames one after the other ([`FrameFile`](crate::work::FrameFile)). Frame 0 is the
/// reference picture's.
#[derive(Clone, Debug)]
pub struct DecodedWindow {
    /// Which frames of the video it holds.
    pub window: Window,
    /// The result.
    pub frames: PathBuf,
    /// The condition, encoded and decoded: what detail transfer measures the autoencoder's loss by.
    pub condition: Option<PathBuf>,
}

/// The decoded frames in a stage's folder.
const FRAMES: &str = "frames.rgb";

impl Run<'_> {
    /// Every window's frames.
    pub(crate) fn decode(
        &mut self,
        windows: &[Window],
        conditioned: &[Done],
        denoised: &[Done],
    ) -> Result<Vec<DecodedWindow>> {
        let mut vae = Loaded::default();
        let mut decoded = Vec::with_capacity(windows.len());
        for (n, ((window, conditioned), denoised)) in
            windows.iter().zip(conditioned).zip(denoised).enumerate()
        {
            let frames = self.decode_window((n, windows.len()), denoised, &mut vae)?;
            // The condition has a result of its own: another seed doesn't decode it again.
            let condition = match self.job.output.detail_transfer {
                true => Some(self.decode_window((n, windows.len()), conditioned, &mut vae)?),
                false => None,
            };
            decoded.push(DecodedWindow { window: *window, frames, condition });
        }
        Ok(decoded)
    }

    fn decode_window(
        &mut self,
        n: (usize, usize),
        from: &Done,
        vae: &mut Loaded<Arc<vae::Vae>>,
    ) -> Result<PathBuf> {
        let decoder = (self.models.key(Wanted::Decoder)?, self.job.models.tiled_vae);
        let key = Fingerprint::of(&(&from.key, decoder))?;
        let done = self.stage(Stage::Decode, n, 1, key, |run, part| {
            let vae = vae.get(|| run.load(Wanted::Decoder, |models| models.vae(vae::Halves::Decoder)))?;
            let file = from.file();
            let latents = take(&mut load_tensors(&file, run.models.device())?, "latents", &file)?;
            let context = run.context;
            let mut observer = |done: usize, of: usize| {
                flow(context.advance(Stage::Decode, done as f64 / of.max(1) as f64, 1))
            };
            write_decoded(vae, &latents, run.job.models.tiled_vae, &part.join(FRAMES), &mut observer)
        })?;
        Ok(done.folder.join(FRAMES))
    }
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
    let mut file = BufWriter::with_capacity(1 << 20, create_file(path)?);
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
