//! Takes what masks show out of numbered pictures.
//!
//! `cargo run -p anicrafter-bg-mask --example plate -- frames/ masks/ out/ [THRESHOLD [GROW]]`
#![expect(clippy::print_stdout, reason = "an example")]

use anicrafter_bg_mask::{PlateBuilder, PlateOptions, dilate};
use std::path::{Path, PathBuf};
use std::time::Instant;

fn files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    files.retain(|f| f.extension().is_some_and(|e| e == "png" || e == "jpg"));
    files.sort();
    Ok(files)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [frames, masks, out, rest @ ..] = arguments.as_slice() else {
        return Err("usage: plate FRAMES MASKS OUT [THRESHOLD [GROW]]".into());
    };
    let number = |i: usize, default: f32| rest.get(i).map_or(Ok(default), |t| t.to_string_lossy().parse());
    let (threshold, grow) = (number(0, 64.0)?, number(1, 25.0)?);
    std::fs::create_dir_all(out)?;
    let mut builder = PlateBuilder::new(PlateOptions::default())?;
    let (mut done, mut seconds) = (0, 0.0);
    let mut drain = |builder: &mut PlateBuilder| -> Result<f64, Box<dyn std::error::Error>> {
        let mut spent = 0.0;
        loop {
            let start = Instant::now();
            let Some(plate) = builder.next_plate()? else { return Ok(spent) };
            spent += start.elapsed().as_secs_f64();
            println!("frame {done}: {:.1} % seen, still {}", plate.seen * 100.0, plate.still);
            plate.picture.save(out.join(format!("{done:06}.png")))?;
            done += 1;
        }
    };
    for (frame, mask) in files(frames)?.iter().zip(files(masks)?) {
        let frame = image::open(frame)?.to_rgb8();
        let mut mask = image::open(mask)?.to_luma8();
        mask.iter_mut().for_each(|v| *v = if f32::from(*v) >= threshold { 255 } else { 0 });
        let start = Instant::now();
        builder.push(frame, &dilate(&mask, grow)?, false)?;
        seconds += start.elapsed().as_secs_f64();
        seconds += drain(&mut builder)?;
    }
    builder.close();
    seconds += drain(&mut builder)?;
    println!("{seconds:.2} s");
    Ok(())
}
