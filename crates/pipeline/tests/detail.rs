//! Detail transfer: its arithmetic, and the file that small weights keep its numbers in.
#![allow(clippy::unwrap_used, reason = "tests")]

use anicrafter_pipeline::{DetailFrame, DetailTransfer, EdgeRing, Error};
use image::{Rgb, RgbImage};

fn flat(v: [u8; 3]) -> RgbImage {
    RgbImage::from_pixel(24, 12, Rgb(v))
}

/// Something on the left half of a background of 50.
fn half(left: u8) -> RgbImage {
    RgbImage::from_fn(24, 12, |x, _| Rgb([if x < 12 { left } else { 50 }; 3]))
}

#[test]
fn the_default_gives_back_what_decoding_lost() {
    let (decoded, decoded_condition) = (flat([120, 0, 250]), flat([100, 10, 200]));
    let (condition, black) = (flat([103, 5, 230]), flat([0; 3]));
    for plate in [&condition, &black] {
        let frame = DetailFrame {
            condition: &condition,
            plate,
            body: &black,
            decoded_condition: &decoded_condition,
            decoded: &decoded,
        };
        let out = DetailTransfer::default().apply(&frame).unwrap();
        assert!(out.pixels().all(|p| p.0 == [123, 0, 255]));
    }
}

#[test]
fn inside_edge_and_background_have_their_own_rules() {
    let (condition, plate, base) = (half(100), flat([50; 3]), flat([60; 3]));
    // The body is beneath the avatar but for the upper half of the frame.
    let body = RgbImage::from_fn(24, 12, |x, y| Rgb([if x < 12 && y >= 6 { 200 } else { 0 }; 3]));
    // The difference is 40 on the avatar and 16 or −4 beside it, 6 on average.
    let decoded =
        RgbImage::from_fn(
            24,
            12,
            |x, _| Rgb([[100, 76, 56][if x < 12 { 0 } else { 1 + x as usize % 2 }]; 3]),
        );
    let frame = DetailFrame {
        condition: &condition,
        plate: &plate,
        body: &body,
        decoded_condition: &base,
        decoded: &decoded,
    };
    let ring = |difference, plate| EdgeRing { difference, plate };
    // Rings are two pixels wide here.
    let detail = DetailTransfer {
        inside: 0.5,
        edge: vec![ring(0.0, 1.0), ring(0.25, 0.4)],
        outside: 0.5,
        sigma: 4.0,
        height: 6,
    };
    let out = detail.apply(&frame).unwrap();
    let row = |picture: &RgbImage, y| (0..24).map(|x| picture.get_pixel(x, y)[0]).collect::<Vec<u8>>();
    // The background, then 100 + 10 − 20, then 100 + 20; on the body there is no edge.
    assert_eq!(row(&out, 2)[5..12], [120, 120, 120, 90, 90, 50, 50]);
    assert_eq!(row(&out, 9)[5..12], [120; 7]);
    // Half of about 6 beside it; nothing of the avatar's 40 runs over.
    assert!(row(&out, 2)[12..].iter().all(|v| (52..=54).contains(v)), "{:?}", row(&out, 2));
    // Columns are unequal without smoothing.
    let rough = DetailTransfer { sigma: 0.0, ..detail.clone() }.apply(&frame).unwrap();
    assert_eq!(row(&rough, 2)[20..22], [58, 48]);
    // A ring is one pixel wide in a frame of the given height.
    let thin = DetailTransfer { height: 12, ..detail }.apply(&frame).unwrap();
    assert_eq!(row(&thin, 2)[8..12], [120, 120, 90, 50]);
}

#[test]
fn smoothing_grows_with_the_frame() {
    let peak = |side: u32| {
        let plate = RgbImage::from_pixel(side, side, Rgb([50; 3]));
        let mut decoded = plate.clone();
        decoded.put_pixel(side / 2, side / 2, Rgb([250; 3]));
        let frame = DetailFrame {
            condition: &plate,
            plate: &plate,
            body: &plate,
            decoded_condition: &plate,
            decoded: &decoded,
        };
        let detail = DetailTransfer { sigma: 3.0, height: 64, ..DetailTransfer::default() };
        detail.change(&frame).unwrap().into_iter().fold(0.0, f32::max)
    };
    // The peak of a Gaussian of twice the width is a quarter.
    assert!((peak(64) / peak(128) - 4.0).abs() < 0.1, "{} {}", peak(64), peak(128));
}

#[test]
fn a_file_beside_the_weights_is_read_and_checked() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(DetailTransfer::beside(folder.path()).unwrap(), DetailTransfer::default());
    let edge = vec![EdgeRing { difference: 0.25, plate: 0.5 }];
    let own = DetailTransfer { inside: 0.75, edge, sigma: 10.0, ..DetailTransfer::default() };
    own.save(folder.path()).unwrap();
    assert_eq!(DetailTransfer::beside(folder.path()).unwrap(), own);
    let path = folder.path().join("detail.json");
    let good = std::fs::read_to_string(&path).unwrap();
    for (from, to) in [("0.75", "9.0"), ("0.5", "-9.0"), ("192", "0"), ("10.0", "-1.0")] {
        std::fs::write(&path, good.replace(from, to)).unwrap();
        let error = DetailTransfer::beside(folder.path()).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{to}: {error}");
    }
    std::fs::write(&path, good.replace("inside", "insight")).unwrap();
    assert!(matches!(DetailTransfer::beside(folder.path()), Err(Error::Checkpoint(_))));
    let wild = DetailTransfer { outside: f32::NAN, ..own };
    assert!(matches!(wild.save(folder.path()), Err(Error::Damaged { .. })));
}

#[test]
fn pictures_of_different_sizes_are_refused() {
    let (a, b) = (flat([1; 3]), RgbImage::new(4, 4));
    let frame = DetailFrame { condition: &a, plate: &a, body: &a, decoded_condition: &b, decoded: &a };
    let error = DetailTransfer::default().apply(&frame).unwrap_err();
    assert!(matches!(error, Error::Mismatch { .. }), "{error}");
}
