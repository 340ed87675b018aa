//! People in numbered pictures: everybody's mattes as pictures, landmarks and motion of the first as JSON.
//!
//! `cargo run -p anicrafter-mocap --example track -- frames/ out/ [FPS]`
#![expect(clippy::print_stdout, reason = "an example")]

use anicrafter_mocap::{FitOptions, TrackOptions, Tracker, fit};
use std::path::PathBuf;
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [frames, out, rest @ ..] = arguments.as_slice() else {
        return Err("usage: track FRAMES OUT [FPS]".into());
    };
    let fps: f32 = rest.first().map_or(Ok(25.0), |text| text.to_string_lossy().parse())?;
    std::fs::create_dir_all(out)?;
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(frames)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    files.sort();
    let mut tracker = Tracker::new(TrackOptions::default())?;
    let (mut seen, mut cuts, mut size, mut seconds) = (Vec::new(), Vec::new(), [0, 0], 0.0);
    for file in &files {
        let frame = image::open(file)?.to_rgb8();
        size = [frame.width(), frame.height()];
        let start = Instant::now();
        let tracked = tracker.next_frame(&frame)?;
        seconds += start.elapsed().as_secs_f64();
        cuts.push(tracked.cut);
        seen.push(None);
        for (n, sighting) in tracked.into_sightings() {
            let name = format!("{n:06}-{}.png", sighting.person + 1);
            sighting.evidence.matte(frame.dimensions()).save(out.join(name))?;
            if sighting.person == 0 {
                seen[n] = Some(sighting.observation);
            }
        }
    }
    println!("{} frames tracked in {seconds:.2} s", seen.len());
    let body = smplx::BodyModel::from_bytes(anicrafter_assets::BODY)?;
    let start = Instant::now();
    let fitted = fit(&body, &seen, &cuts, &FitOptions::new(fps, size))?;
    println!("fitted in {:.2?}; gaps {:?}", start.elapsed(), fitted.gaps);
    std::fs::write(out.join("motion.json"), fitted.motion.to_json())?;
    std::fs::write(out.join("landmarks.json"), serde_json::to_vec(&seen)?)?;
    Ok(())
}
