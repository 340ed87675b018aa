//! What must hold for every picture, mask and size.
#![expect(clippy::unwrap_used, reason = "in a test, a failed unwrap is a failed test")]

use anicrafter_bg_mask::resample::{Filter, resample};
use anicrafter_bg_mask::{
    Layout, LockOptions, Occluder, Render, composite_layers, dilate, erode, fill_holes, grow,
    largest_components, lock_background, lock_mask, mix, over, reference_blend, resize,
};
use image::{GrayImage, RgbImage};
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};

fn picture(max: u32) -> impl Strategy<Value = RgbImage> {
    (1..max, 1..max).prop_flat_map(|(w, h)| picture_of(w, h))
}

fn picture_of(w: u32, h: u32) -> impl Strategy<Value = RgbImage> {
    vec(any::<u8>(), (w * h * 3) as usize).prop_map(move |bytes| RgbImage::from_raw(w, h, bytes).unwrap())
}

fn mask_of(w: u32, h: u32) -> impl Strategy<Value = GrayImage> {
    let byte = prop_oneof![6 => Just(0_u8), 1 => any::<u8>(), 1 => Just(255)];
    vec(byte, (w * h) as usize).prop_map(move |bytes| GrayImage::from_raw(w, h, bytes).unwrap())
}

fn mask(max: u32) -> impl Strategy<Value = GrayImage> {
    (1..max, 1..max).prop_flat_map(|(w, h)| mask_of(w, h))
}

fn filter() -> impl Strategy<Value = Filter> {
    prop_oneof![Just(Filter::Bilinear), Just(Filter::Bicubic), Just(Filter::Lanczos)]
}

/// Two pictures and a mask of one size.
fn trio(max: u32) -> impl Strategy<Value = (RgbImage, RgbImage, GrayImage)> {
    (1..max, 1..max).prop_flat_map(|(w, h)| (picture_of(w, h), picture_of(w, h), mask_of(w, h)))
}

proptest! {
    #[test]
    fn resizing_to_the_same_size_is_a_copy(image in picture(20), filter in filter()) {
        prop_assert_eq!(&resize(&image, image.width(), image.height(), filter).unwrap(), &image);
    }

    #[test]
    fn resizing_works_for_every_size_and_mirrors(image in picture(24), w in 1..40_u32, h in 1..40_u32, filter in filter()) {
        let out = resize(&image, w, h, filter).unwrap();
        prop_assert_eq!(out.dimensions(), (w, h));
        let mirrored = image::imageops::flip_vertical(&image);
        let from_mirrored = image::imageops::flip_vertical(&resize(&mirrored, w, h, filter).unwrap());
        // Weights are computed anew from the other side, so a sum may round the other way.
        for (a, b) in out.as_raw().iter().zip(from_mirrored.as_raw()) {
            prop_assert!(a.abs_diff(*b) <= 1);
        }
    }

    #[test]
    fn a_triangle_filter_never_leaves_the_range(bytes in vec(90..140_u8, 30), n in 1..50_u32) {
        let out = resample(&bytes, 1, (30, 1), (n, 1), Filter::Bilinear).unwrap();
        let (low, high) = (*bytes.iter().min().unwrap(), *bytes.iter().max().unwrap());
        prop_assert!(out.iter().all(|x| (low..=high).contains(x)));
    }

    #[test]
    fn nothing_over_a_plate_is_the_plate_and_something_solid_hides_it((front, plate, _) in trio(12)) {
        let n = (plate.width() * plate.height()) as usize;
        let size = plate.dimensions();
        let zeros = vec![0.0; 3 * n];
        let nothing = Render::new(size, &zeros, Layout::Planar, &zeros[..n]).unwrap();
        prop_assert_eq!(&over(&nothing, &plate).unwrap(), &plate);
        let color: Vec<f32> = front.as_raw().iter().map(|&x| f32::from(x) / 255.0).collect();
        let ones = vec![1.0; n];
        let solid = Render::new(size, &color, Layout::Interleaved, &ones).unwrap();
        prop_assert_eq!(&over(&solid, &plate).unwrap(), &front);
        prop_assert_eq!(&composite_layers(&plate, &[nothing, solid], &[]).unwrap(), &front);
        let full = GrayImage::from_pixel(size.0, size.1, image::Luma([255]));
        let occluder = Occluder { matte: &full, color: None };
        prop_assert_eq!(&composite_layers(&plate, &[solid], &[occluder]).unwrap(), &plate);
    }

    #[test]
    fn no_render_makes_blending_panic(values in vec(prop_oneof![any::<f32>(), Just(f32::NAN)], 16), plate in picture_of(2, 2)) {
        let render = Render::new((2, 2), &values[..12], Layout::Planar, &values[12..]).unwrap();
        over(&render, &plate).unwrap();
        reference_blend(&render, &plate).unwrap();
        composite_layers(&plate, &[render, render.with_depth(&values[..4]).unwrap()], &[]).unwrap();
    }

    #[test]
    fn dilation_grows_with_the_radius_and_undoes_no_erosion(mask in mask(24), r in 0.0..6.0_f32, more in 0.0..6.0_f32) {
        let small = dilate(&mask, r).unwrap();
        let large = dilate(&mask, r + more).unwrap();
        let eroded = erode(&mask, r).unwrap();
        let opened = dilate(&eroded, r).unwrap();
        for (i, &byte) in mask.as_raw().iter().enumerate() {
            prop_assert!(large.as_raw()[i] >= small.as_raw()[i]);
            prop_assert!(byte < 128 || small.as_raw()[i] == 255);
            prop_assert!(eroded.as_raw()[i] == 0 || byte >= 128);
            prop_assert!(opened.as_raw()[i] == 0 || byte >= 128, "opening stays within the mask");
        }
    }

    #[test]
    fn growing_lies_between_two_dilations(mask in mask(24), d in 0.0..5.0_f32, f in 0.0..5.0_f32) {
        let (inner, outer) = (dilate(&mask, d).unwrap(), dilate(&mask, d + f).unwrap());
        for ((&inner, &outer), &grown) in inner.as_raw().iter().zip(outer.as_raw()).zip(grow(&mask, d, f).unwrap().as_raw()) {
            prop_assert!(inner <= grown && grown <= outer);
        }
    }

    #[test]
    fn pieces_are_a_part_and_holes_an_addition(mask in mask(16), n in 0..4_usize) {
        let kept = largest_components(&mask, n);
        let filled = fill_holes(&mask, 30);
        for (i, &byte) in mask.as_raw().iter().enumerate() {
            prop_assert!(kept.as_raw()[i] == byte || kept.as_raw()[i] == 0);
            prop_assert!(filled.as_raw()[i] == byte || filled.as_raw()[i] == 255);
        }
    }

    #[test]
    fn mixing_keeps_both_ends((front, back, mask) in trio(14)) {
        let out = mix(&front, &back, &mask).unwrap();
        for (i, &m) in mask.as_raw().iter().enumerate() {
            for c in 3 * i..3 * i + 3 {
                let (f, b, o) = (front.as_raw()[c], back.as_raw()[c], out.as_raw()[c]);
                prop_assert!(o >= f.min(b) && o <= f.max(b));
                prop_assert!(m != 255 || o == f);
                prop_assert!(m != 0 || o == b);
            }
        }
    }

    #[test]
    fn the_lock_leaves_untouched_pixels_bit_for_bit((generated, source, person) in trio(30), d in 0.0..4.0_f32, f in 0.0..4.0_f32, reach in 0.0..8.0_f32) {
        let options = LockOptions { dilate_px: d, feather_px: f, shadow_reach_px: reach, shadow_darkening: 0.2 };
        let mask = lock_mask(&generated, &source, &person, &options).unwrap();
        let out = lock_background(&generated, &source, &person, &options).unwrap();
        let farthest = dilate(&person, d + f + reach + d).unwrap();
        for (i, &m) in mask.as_raw().iter().enumerate() {
            let pixel = 3 * i..3 * i + 3;
            if m == 0 {
                prop_assert_eq!(&out.as_raw()[pixel.clone()], &source.as_raw()[pixel.clone()]);
            }
            if person.as_raw()[i] >= 128 {
                prop_assert_eq!(&out.as_raw()[pixel.clone()], &generated.as_raw()[pixel]);
            }
            prop_assert!(m == 0 || farthest.as_raw()[i] == 255, "the mask reaches too far");
        }
    }
}
