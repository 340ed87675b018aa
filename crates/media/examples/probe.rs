//! Reads a video to its end, says what it is, and compares it with raw RGB frames where such a file is given.
//!
//! `cargo run -p anicrafter-media --example probe -- IN.mp4 [RAW.rgb]`
#![expect(clippy::print_stdout, reason = "a command-line example")]

use std::io::Read;
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let input = arguments.next().ok_or("which video?")?;
    let mut raw = arguments.next().map(std::fs::File::open).transpose()?;
    let start = Instant::now();
    let reader = anicrafter_media::VideoReader::open(&input)?;
    println!("{:#?}", reader.info());
    let (mut n_frames, mut squares, mut n_bytes, mut worst) = (0_usize, 0_u64, 0_u64, f64::INFINITY);
    for frame in reader {
        let frame = frame?;
        n_frames += 1;
        if let Some(raw) = &mut raw {
            let mut expected = vec![0; frame.as_raw().len()];
            raw.read_exact(&mut expected)?;
            let pairs = frame.as_raw().iter().zip(&expected);
            let sum: u64 = pairs.map(|(&a, &b)| u64::from(a.abs_diff(b)).pow(2)).sum();
            worst = worst.min(psnr(sum, expected.len() as u64));
            squares += sum;
            n_bytes += expected.len() as u64;
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("{n_frames} frames in {seconds:.2} s, {:.1} ms each", seconds * 1e3 / n_frames.max(1) as f64);
    if let Some(mut raw) = raw {
        let left = raw.read_to_end(&mut Vec::new())?;
        println!("PSNR {:.2} dB, worst frame {worst:.2} dB, {left} raw bytes left", psnr(squares, n_bytes));
    }
    Ok(())
}

fn psnr(squares: u64, n: u64) -> f64 {
    10.0 * (255.0 * 255.0 * n as f64 / squares as f64).log10()
}
