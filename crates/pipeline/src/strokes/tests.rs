//! What strokes do to masks: followed, lost, cut off, and who has the last word.

use super::*;
use crate::progress::Quiet;
use image::{Rgb, RgbImage};
use shared::{corrected, frames, level, stroke};

mod shared {
    use super::*;

    /// A textured ground with a textured square on it, which is at `x` on each frame.
    pub(super) fn frames(folder: &Path, places: &[i64]) -> PathBuf {
        let video = folder.join("video");
        std::fs::create_dir_all(&video).unwrap();
        let noise = |x: u32, y: u32, seed: u32| {
            (x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(40_503) ^ seed).wrapping_mul(2_246_822_519) >> 25
        };
        let square =
            RgbImage::from_fn(40, 40, |x, y| Rgb([190 + (noise(x / 4, y / 4, 7) / 2) as u8, 230, 60]));
        for (n, place) in places.iter().enumerate() {
            let mut frame = RgbImage::from_fn(256, 144, |x, y| {
                let level = 40 + noise(x / 5, y / 5, 3) as u8;
                Rgb([level, level, 120])
            });
            image::imageops::overlay(&mut frame, &square, *place, 50);
            frame.save(video.join(name(n))).unwrap();
        }
        video
    }

    pub(super) fn stroke(frame: usize, part: StrokePart, x: f32, y: f32) -> Stroke {
        Stroke { frame, part, width: 0.06, points: vec![[x / 256.0, y / 144.0]], reach: None }
    }

    pub(super) fn corrected(
        strokes: &[Stroke],
        video: &Path,
        masks: Option<&Path>,
        cuts: &[bool],
    ) -> (Corrected, tempfile::TempDir) {
        let work = tempfile::tempdir().unwrap();
        let cancel = crate::CancelToken::new();
        let canvas = Canvas { video, masks, in_front: &[], cuts, end: None };
        let found =
            correct(strokes, &canvas, &WorkDir::open(work.path()).unwrap(), Context::new(&Quiet, &cancel));
        (found.unwrap(), work)
    }

    pub(super) fn level(folder: &Path, frame: usize, x: u32, y: u32) -> u8 {
        image::open(folder.join(name(frame))).unwrap().to_luma8().get_pixel(x, y)[0]
    }
}

#[test]
fn a_stroke_goes_with_what_it_was_painted_on() {
    let dir = tempfile::tempdir().unwrap();
    let places: Vec<i64> = (0..12).map(|n| 40 + 7 * n).collect();
    let video = frames(dir.path(), &places);
    // On the square in the middle of the video: it is followed both ways.
    let middle = 40.0 + 7.0 * 5.0 + 20.0;
    let (made, _work) = corrected(&[stroke(5, StrokePart::Front, middle, 70.0)], &video, None, &[]);
    for (n, place) in places.iter().enumerate() {
        let x = *place as u32 + 20;
        assert_eq!(level(&made.in_front, n, x, 70), 255, "frame {n}");
        assert_eq!(level(&made.in_front, n, x + 60, 70), 0, "frame {n}");
    }
}

#[test]
fn what_stands_still_keeps_its_paint_and_what_is_hidden_loses_it() {
    let dir = tempfile::tempdir().unwrap();
    let places: Vec<i64> = (0..16).map(|n| 40 + 9 * n).collect();
    let video = frames(dir.path(), &places);
    let (made, _work) = corrected(
        &[stroke(0, StrokePart::Front, 20.0, 20.0), stroke(0, StrokePart::Front, 120.0, 70.0)],
        &video,
        None,
        &[],
    );
    for n in 0..16 {
        assert_eq!(level(&made.in_front, n, 20, 20), 255, "frame {n}");
    }
    // The square comes over the second one.
    assert_eq!(level(&made.in_front, 0, 120, 70), 255);
    assert_eq!(level(&made.in_front, 8, 120, 70), 0);
}

#[test]
fn strokes_say_whose_pixels_are_and_the_nearest_has_the_last_word() {
    let dir = tempfile::tempdir().unwrap();
    let video = frames(dir.path(), &[40; 6]);
    let masks = dir.path().join("masks");
    std::fs::create_dir(&masks).unwrap();
    for n in 0..6 {
        // Left half the person's.
        GrayImage::from_fn(256, 144, |x, _| image::Luma([if x < 128 { 255 } else { 0 }]))
            .save(masks.join(name(n)))
            .unwrap();
    }
    let strokes = [
        stroke(0, StrokePart::Background, 60.0, 100.0),
        stroke(0, StrokePart::Person, 200.0, 100.0),
        stroke(5, StrokePart::Front, 60.0, 100.0),
        Stroke { reach: Some(0), ..stroke(2, StrokePart::Front, 100.0, 30.0) },
    ];
    let (made, _work) = corrected(&strokes, &video, Some(&masks), &[]);
    let mask = made.masks.unwrap();
    let at = |folder: &Path, n: usize, x: u32, y: u32| level(folder, n, x, y);
    assert_eq!([at(&mask, 0, 60, 100), at(&mask, 0, 200, 100), at(&mask, 0, 10, 10)], [0, 255, 255]);
    assert_eq!([at(&made.in_front, 1, 60, 100), at(&made.in_front, 4, 60, 100)], [0, 255]);
    // Not carried on at all.
    assert_eq!([1, 2, 3].map(|n| at(&made.in_front, n, 100, 30)), [0, 255, 0]);
    assert_eq!([1, 2, 3].map(|n| at(&mask, n, 100, 30)), [255, 0, 255]);
}

#[test]
fn a_cut_ends_a_stroke() {
    let dir = tempfile::tempdir().unwrap();
    let video = frames(dir.path(), &[40; 6]);
    let cuts = [true, false, false, true, false, false];
    let (made, _work) = corrected(&[stroke(1, StrokePart::Front, 60.0, 70.0)], &video, None, &cuts);
    let levels: Vec<u8> = (0..6).map(|n| level(&made.in_front, n, 60, 70)).collect();
    assert_eq!(levels, [255, 255, 255, 0, 0, 0]);
    let (made, _work) = corrected(&[stroke(4, StrokePart::Front, 60.0, 70.0)], &video, None, &cuts);
    let levels: Vec<u8> = (0..6).map(|n| level(&made.in_front, n, 60, 70)).collect();
    assert_eq!(levels, [0, 0, 0, 255, 255, 255]);
}

#[test]
fn a_stroke_after_the_end_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let video = frames(dir.path(), &[40; 3]);
    let cancel = crate::CancelToken::new();
    let canvas = Canvas { video: &video, masks: None, in_front: &[], cuts: &[], end: None };
    let work = WorkDir::open(dir.path().join("work")).unwrap();
    let strokes = [stroke(3, StrokePart::Front, 60.0, 70.0)];
    let refused = correct(&strokes, &canvas, &work, Context::new(&Quiet, &cancel)).unwrap_err();
    assert!(refused.to_string().contains("frame 3: the video has 3 frames"), "{refused}");
}
