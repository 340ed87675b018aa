//! Plates of small scenes whose background is known.

use super::*;
use image::{Luma, Rgb};

/// A textured wall, seen from an offset.
fn wall(x: f32, y: f32) -> [f32; 3] {
    let a = (x * 0.21).sin() * (y * 0.17).cos()
        + 0.5 * (x * 0.53 + y * 0.31).sin()
        + 0.4 * (x * 0.07 - y * 0.11).cos();
    let b = (x * 0.11 + 1.0).cos() * (y * 0.23).sin();
    [128.0 + 50.0 * a, 120.0 + 40.0 * b, 100.0 + 30.0 * a - 20.0 * b]
}

fn background(t: usize, speed: f32) -> RgbImage {
    let shift = t as f32 * speed;
    RgbImage::from_fn(240, 160, |x, y| Rgb(wall(x as f32 + shift, y as f32 + 0.3 * shift).map(|v| v as u8)))
}

/// A person's box that walks across, with its hole.
fn scene(t: usize, speed: f32, walk: f32) -> (RgbImage, GrayImage) {
    let mut frame = background(t, speed);
    let left = 40.0 + walk * t as f32;
    let inside = |x: u32, y: u32, grow: f32| {
        x as f32 >= left - grow
            && (x as f32) < left + 30.0 + grow
            && y as f32 >= 60.0 - grow
            && (y as f32) < 130.0 + grow
    };
    for (x, y, p) in frame.enumerate_pixels_mut() {
        if inside(x, y, 0.0) {
            *p = Rgb([220, 30, 40]);
        }
    }
    (frame, GrayImage::from_fn(240, 160, |x, y| Luma([if inside(x, y, 4.0) { 255 } else { 0 }])))
}

/// PSNR inside the holes, and each plate.
fn run(frames: usize, speed: f32, walk: f32) -> (f64, Vec<Plate>) {
    let mut builder = PlateBuilder::new(PlateOptions { window: 16, ..PlateOptions::default() }).unwrap();
    let mut plates = Vec::new();
    for t in 0..frames {
        let (frame, hole) = scene(t, speed, walk);
        builder.push(frame, &hole, false).unwrap();
        while let Some(plate) = builder.next_plate().unwrap() {
            plates.push(plate);
        }
    }
    builder.close();
    while let Some(plate) = builder.next_plate().unwrap() {
        plates.push(plate);
    }
    let (mut sum, mut n) = (0.0, 0.0);
    for (t, plate) in plates.iter().enumerate() {
        let (truth, (_, hole)) = (background(t, speed), scene(t, speed, walk));
        for ((p, q), m) in plate.picture.pixels().zip(truth.pixels()).zip(hole.iter()) {
            if *m > 0 {
                sum += (0..3).map(|k| (f64::from(p[k]) - f64::from(q[k])).powi(2)).sum::<f64>();
                n += 3.0;
            } else {
                assert_eq!(p, q, "frame {t}: a pixel outside of the hole changed");
            }
        }
    }
    (10.0 * (255.0_f64.powi(2) / (sum / n).max(1e-9)).log10(), plates)
}

#[test]
fn a_moving_camera_sees_behind_the_person() {
    let (psnr, plates) = run(28, 1.3, 4.0);
    assert_eq!(plates.len(), 28);
    assert!(psnr > 30.0, "{psnr:.1} dB");
    assert!(plates.iter().all(|p| p.seen > 0.95 && !p.still));
}

#[test]
fn a_camera_that_stands_still_takes_the_median() {
    let (psnr, plates) = run(24, 0.0, 4.0);
    assert!(plates.iter().filter(|p| p.still).count() > 18);
    assert!(psnr > 38.0, "{psnr:.1} dB");
}

#[test]
fn what_is_never_seen_is_invented_and_stays() {
    let (_, plates) = run(12, 0.0, 0.0);
    assert!(plates.iter().all(|p| p.seen < 0.2));
    // No red is left, and nothing flickers.
    let red = |p: &RgbImage| p.pixels().filter(|p| p[0] > 200 && p[1] < 60).count();
    assert_eq!(plates.iter().map(|p| red(&p.picture)).sum::<usize>(), 0);
    let hole = scene(0, 0.0, 0.0).1;
    for pair in plates.windows(2) {
        let mut change = 0.0;
        for ((a, b), m) in pair[0].picture.pixels().zip(pair[1].picture.pixels()).zip(hole.iter()) {
            if *m > 0 {
                change += f64::from(a[0].abs_diff(b[0]));
            }
        }
        let n = hole.iter().filter(|m| **m > 0).count() as f64;
        assert!(change / n < 3.0, "{}", change / n);
    }
}

#[test]
fn nobody_who_stays_is_copied_into_the_hole() {
    // A red person who stays stands still beside the hole of one who stands still too.
    let beside = |x: u32, y: u32, grow: u32| {
        (72 - grow..110 + grow).contains(&x) && (50 - grow..130 + grow).contains(&y)
    };
    let hole = scene(0, 0.0, 0.0).1;
    let mut builder = PlateBuilder::new(PlateOptions { window: 16, ..PlateOptions::default() }).unwrap();
    let mut plates = Vec::new();
    for _ in 0..10 {
        let mut frame = scene(0, 0.0, 0.0).0;
        for (x, y, p) in frame.enumerate_pixels_mut().filter(|(x, y, _)| beside(*x, *y, 0)) {
            *p = Rgb([200 + ((x + y) % 9) as u8, 30, 40]);
        }
        let others = GrayImage::from_fn(240, 160, |x, y| Luma([if beside(x, y, 2) { 255 } else { 0 }]));
        builder.push_beside(frame, &hole, Some(&others), false).unwrap();
        while let Some(plate) = builder.next_plate().unwrap() {
            plates.push(plate);
        }
    }
    builder.close();
    while let Some(plate) = builder.next_plate().unwrap() {
        plates.push(plate);
    }
    for plate in &plates {
        let in_hole = plate.picture.enumerate_pixels().filter(|(x, y, _)| hole.get_pixel(*x, *y)[0] > 0);
        let red = in_hole.filter(|(_, _, p)| p[0] > 185 && p[1] < 70).count();
        assert_eq!(red, 0);
        assert!(plate.picture.get_pixel(90, 90)[0] >= 200, "who stays is gone");
    }
}

#[test]
fn a_changing_light_leaves_no_seams() {
    // The camera stands still and its exposure rises: what frames show of a place differs by up to 28.
    let lit = |mut picture: RgbImage, t: usize| {
        picture.iter_mut().for_each(|v| *v = v.saturating_add(t as u8));
        picture
    };
    let mut builder = PlateBuilder::new(PlateOptions { window: 28, ..PlateOptions::default() }).unwrap();
    let mut plates = Vec::new();
    for t in 0..28 {
        let (frame, hole) = scene(t, 0.0, 4.0);
        builder.push(lit(frame, t), &hole, false).unwrap();
        while let Some(plate) = builder.next_plate().unwrap() {
            plates.push(plate);
        }
    }
    builder.close();
    while let Some(plate) = builder.next_plate().unwrap() {
        plates.push(plate);
    }
    let mut worst = 0.0_f64;
    for (t, plate) in plates.iter().enumerate().filter(|(_, plate)| plate.still) {
        let (truth, hole) = (lit(background(t, 0.0), t), scene(t, 0.0, 4.0).1);
        let pixels = plate.picture.pixels().zip(truth.pixels()).zip(hole.iter()).filter(|(_, m)| **m > 0);
        let off: Vec<f64> = pixels.map(|((p, q), _)| f64::from(p[0].abs_diff(q[0]))).collect();
        worst = worst.max(off.iter().sum::<f64>() / off.len() as f64);
    }
    assert!(worst < 1.5, "{worst:.2}");
}

#[test]
fn frames_without_holes_pass_and_sizes_are_checked() {
    let mut builder = PlateBuilder::new(PlateOptions::default()).unwrap();
    let frame = background(0, 0.0);
    builder.push(frame.clone(), &GrayImage::new(240, 160), false).unwrap();
    assert!(builder.push(frame.clone(), &GrayImage::new(239, 160), false).is_err());
    assert!(builder.push(RgbImage::new(100, 100), &GrayImage::new(100, 100), false).is_err());
    assert!(builder.next_plate().unwrap().is_none());
    builder.close();
    assert_eq!(builder.next_plate().unwrap().unwrap().picture, frame);
    assert!(PlateBuilder::new(PlateOptions { window: 0, ..PlateOptions::default() }).is_err());
}
