//! `anicrafter eval`.

use anyhow::{Context, Result};
use evaluation::{evaluate, to_table};
use media::VideoReader;
use pipeline::outputs::{Input, refuse_overwriting};
use std::path::PathBuf;

/// Compares two videos.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The video to judge.
    a: PathBuf,
    /// What it is compared with.
    b: PathBuf,
    /// A person mask, white on the person: a video or a folder of pictures.
    #[arg(long)]
    mask: Option<PathBuf>,
    /// Half width of the band around the mask's edge, in pixels.
    #[arg(long, default_value_t = 6)]
    seam: u32,
    /// Frames at which a new window starts.
    #[arg(long, value_delimiter = ',')]
    boundaries: Vec<usize>,
    /// Writes the figures as JSON to this file too.
    #[arg(long)]
    json: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    if let Some(json) = &args.json {
        let mask = args.mask.as_deref().map(|path| Input::frames("--mask", path));
        let videos = [Input::frames("the first video", &args.a), Input::frames("the second video", &args.b)];
        let inputs: Vec<Input<'_>> = videos.into_iter().chain(mask).collect();
        refuse_overwriting(&inputs, &[("--json", json)])?;
    }
    let open = |path: &PathBuf| -> Result<_> {
        let reader = VideoReader::open(path).with_context(|| path.display().to_string())?;
        Ok(reader.map(|frame| Ok::<_, pipeline::Error>(frame?)))
    };
    let masks = match &args.mask {
        Some(path) => Some(open(path)?.map(|frame| Ok(pipeline::gray(&frame?)))),
        None => None,
    };
    let result = evaluate(open(&args.a)?, open(&args.b)?, masks, args.seam, &args.boundaries)?;
    print!("{}", to_table(&result));
    if let Some(path) = &args.json {
        pipeline::work::write_atomically(path, serde_json::to_string_pretty(&result)?.as_bytes())?;
    }
    Ok(())
}
