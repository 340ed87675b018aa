//! Each kind of layout that people have, read without ffmpeg.

mod inputs;

use crate::mp4::boxes::{boxed, words};
use crate::mp4::demux::Movie;
use crate::{
    AudioTrack, Error, FrameRate, ReadOptions, Timing, VideoReader, VideoWriter, Warning, WriteOptions,
    convert, read_matte, read_picture, same_place,
};
use image::{Delay, Frame, GrayImage, ImageFormat, Luma, Rgb, RgbImage, Rgba, RgbaImage};
use inputs::{SIZE, edited, fragmented, number, numbered, numbers, own, retimed, video};
use std::path::Path;

#[test]
fn uneven_times_become_an_even_rate_and_sound_stays_in_step() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vfr.mp4");
    // 25 frames a second for 0.4 s, then 5.
    let lengths: Vec<u32> = (0..18).map(|i| if i < 10 { 40 } else { 200 }).collect();
    retimed(&video(folder.path(), 18), &path, &lengths, 0, Some((0, 2000)));
    let reader = VideoReader::open_with(&path, &own()).unwrap();
    assert_eq!((reader.info().frame_rate, reader.info().frames), (FrameRate::whole(25), Some(50)));
    let said = reader.warnings().take();
    assert!(matches!(said[..], [Warning::VariableRate { stored: 18, read: 50, dropped: 0, .. }]), "{said:?}");
    let expected: Vec<usize> =
        (0..50).map(|tick| if tick < 10 { tick } else { 10 + (tick - 10) / 5 }).collect();
    assert_eq!(numbers(&path), expected);
    // As stored, for who asks.
    let stored = ReadOptions { timing: Timing::AsStored, ..own() };
    assert_eq!(VideoReader::open_with(&path, &stored).unwrap().count(), 18);
    // At another rate the speed stays.
    let slow = ReadOptions { timing: Timing::EvenAt(FrameRate::whole(5)), ..own() };
    let slow: Vec<usize> =
        VideoReader::open_with(&path, &slow).unwrap().map(|f| number(&f.unwrap())).collect();
    assert_eq!(slow.len(), 10);
    assert_eq!(slow[2..], [10, 11, 12, 13, 14, 15, 16, 17]);
}

#[test]
fn late_pictures_and_late_sound_keep_their_distance() {
    let folder = tempfile::tempdir().unwrap();
    let plain = video(folder.path(), 10);
    let heard = |start_ms: i64, sound_ms: i64| {
        let path = folder.path().join("late.mp4");
        retimed(&plain, &path, &[40; 10], start_ms, Some((sound_ms, 1000)));
        assert_eq!(numbers(&path), (0..10).collect::<Vec<_>>());
        let reader = VideoReader::open_with(&path, &own()).unwrap();
        let start = reader.info().start_s;
        let out = folder.path().join("out.mp4");
        convert(&path, &out, WriteOptions::new(FrameRate::whole(1)), &own()).unwrap();
        let movie = Movie::open(&out).unwrap();
        let sound = movie.track(b"soun").unwrap();
        // The first edit may be a wait; the last one says where in the samples it starts.
        let wait: u64 = sound.edits.iter().filter(|e| e.media_time < 0).map(|e| e.duration).sum();
        let mut first = Vec::new();
        let media = sound.edits.last().unwrap().media_time as u64;
        crate::mp4::demux::read_at(
            &mut std::fs::File::open(&out).unwrap(),
            &out,
            sound.samples.runs[0].offset + 2 * media,
            2,
            &mut first,
        )
        .unwrap();
        let sample = u16::from_be_bytes([first[0], first[1]]);
        (start, f64::from(sample) / 16.0, wait as f64 * 1000.0 / f64::from(movie.timescale))
    };
    // (start of the pictures, first sound heard with them in ms, silence before it in ms)
    assert_eq!(heard(0, 0), (0.0, 0.0, 0.0));
    assert_eq!(heard(-200, 0), (0.2, 200.0, 0.0));
    assert_eq!(heard(0, 100), (0.0, 100.0, 0.0));
    assert_eq!(heard(0, -120), (0.0, 0.0, 120.0));
    assert_eq!(heard(-200, -320), (0.2, 0.0, 120.0));
}

#[test]
fn edit_lists_of_several_parts_are_cuts() {
    let folder = tempfile::tempdir().unwrap();
    let path = video(folder.path(), 30);
    let units = |frames: u32| frames * 10_000 / 25;
    edited(&path, &[b"trak", b"edts", b"elst"], &|_| {
        let part = |from: u32, n: u32| words([units(n), units(from), 0x1_0000]);
        [words([0, 2]), part(5, 4), part(20, 3)].concat()
    });
    assert_eq!(numbers(&path), [5, 6, 7, 8, 20, 21, 22]);
    edited(&path, &[b"trak", b"edts", b"elst"], &|_| {
        let part = |from: u32, n: u32| words([units(n), units(from), 0x1_0000]);
        [words([0, 2]), part(20, 4), part(5, 3)].concat()
    });
    let error = VideoReader::open_with(&path, &own()).unwrap_err().to_string();
    assert!(error.contains("edit list") && error.contains("needs ffmpeg"), "{error}");
}

#[test]
fn fragments_are_read_after_an_index_and_without_one() {
    let folder = tempfile::tempdir().unwrap();
    let plain = video(folder.path(), 25);
    for keep in [0, 10] {
        let path = folder.path().join("fragments.mp4");
        fragmented(&plain, &path, keep, 6);
        assert_eq!(numbers(&path), (0..25).collect::<Vec<_>>(), "{keep} in the index");
        // Cut off within the last fragment's data.
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        let reader = VideoReader::open_with(&path, &own()).unwrap();
        assert!(matches!(reader.warnings().take()[..], [Warning::CutOff { expected: 25, got: 24, .. }]));
        assert_eq!(reader.count(), 24);
    }
}

#[test]
fn several_sample_descriptions_are_followed() {
    let folder = tempfile::tempdir().unwrap();
    let path = video(folder.path(), 12);
    edited(&path, &[b"trak", b"mdia", b"minf", b"stbl", b"stsd"], &|stsd| {
        [&stsd[..4], &words([2]), &stsd[8..], &stsd[8..]].concat()
    });
    assert_eq!(numbers(&path), (0..12).collect::<Vec<_>>());
}

#[test]
fn pixels_that_are_not_square_are_made_square() {
    let folder = tempfile::tempdir().unwrap();
    let path = video(folder.path(), 3);
    edited(&path, &[b"trak", b"mdia", b"minf", b"stbl", b"stsd"], &|stsd| {
        let entry = [&stsd[16..], &boxed(b"pasp", &words([4, 3]))].concat();
        [&stsd[..8], &boxed(b"avc1", &entry)].concat()
    });
    let reader = VideoReader::open_with(&path, &own()).unwrap();
    assert_eq!(reader.info().size(), (86, SIZE.1));
    assert!(matches!(reader.warnings().take()[..], [Warning::PixelAspect { ratio: (4, 3), .. }]));
    assert_eq!(reader.map(|f| f.unwrap().dimensions()).collect::<Vec<_>>(), [(86, SIZE.1); 3]);
}

#[test]
fn a_damaged_picture_ends_with_what_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    let path = video(folder.path(), 20);
    let movie = Movie::open(&path).unwrap();
    let sample = movie.track(b"vide").unwrap().samples.iter().nth(10).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    // Behind the length and the first bytes of the slice, so that it still looks like one.
    let from = sample.offset as usize + 12;
    bytes[from..from + 24].iter_mut().for_each(|b| *b ^= 0x5a);
    std::fs::write(&path, bytes).unwrap();
    let results: Vec<_> = VideoReader::open_with(&path, &own()).unwrap().collect();
    let error = results.last().unwrap().as_ref().unwrap_err().to_string();
    assert!(error.contains("H.264 frame") && error.contains("needs ffmpeg"), "{error}");
    assert!(!error.contains("Backtrace"), "{error}");
    assert!(results.len() <= 12);
}

#[test]
fn uncompressed_sound_costs_what_it_is_long() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pcm.mov");
    let seconds = 20;
    retimed(&video(folder.path(), 20), &path, &[1000; 20], 0, Some((0, seconds * 1000)));
    let bytes = std::fs::metadata(&path).unwrap().len();
    let movie = Movie::open(&path).unwrap();
    assert_eq!(movie.track(b"soun").unwrap().samples.runs.len(), 1, "one run, however many samples");
    let out = folder.path().join("out.mp4");
    convert(&path, &out, WriteOptions::new(FrameRate::whole(1)), &own()).unwrap();
    let copied = std::fs::metadata(&out).unwrap().len();
    assert!(copied < bytes + bytes / 10, "{copied} bytes of {bytes}");
    let track = AudioTrack::open(&out, None).unwrap().unwrap();
    assert!((track.duration_s() - f64::from(seconds)).abs() < 1e-3);
}

#[test]
fn animations_are_videos() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.gif");
    let mut encoder = image::codecs::gif::GifEncoder::new(std::fs::File::create(&path).unwrap());
    for (i, ms) in [100, 100, 300, 100].into_iter().enumerate() {
        let picture = RgbaImage::from_pixel(20, 10, Rgba([50 * i as u8, 0, 0, 255]));
        encoder.encode_frame(Frame::from_parts(picture, 0, 0, Delay::from_numer_denom_ms(ms, 1))).unwrap();
    }
    drop(encoder);
    let reader = VideoReader::open_with(&path, &own()).unwrap();
    assert_eq!((reader.info().frame_rate, reader.info().frames), (FrameRate::whole(10), Some(6)));
    let reds: Vec<u8> = reader.prefetch(1).map(|f| f.unwrap().get_pixel(0, 0)[0]).collect();
    assert_eq!(reds, [0, 50, 100, 100, 100, 150]);
}

#[test]
fn pictures_stand_upright_whatever_they_are_called() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("photo.png");
    let side = RgbImage::from_fn(32, 16, |x, _| Rgb([if x < 16 { 255 } else { 0 }, 0, 0]));
    let mut jpeg = std::io::Cursor::new(Vec::new());
    side.write_to(&mut jpeg, ImageFormat::Jpeg).unwrap();
    let jpeg = jpeg.into_inner();
    // Orientation 6: the camera was held upright, a quarter turn clockwise is due.
    let mut exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0".to_vec();
    let mut segment = vec![0xff, 0xe1];
    segment.extend((exif.len() as u16 + 2).to_be_bytes());
    segment.append(&mut exif);
    std::fs::write(&path, [&jpeg[..2], &segment, &jpeg[2..]].concat()).unwrap();
    let upright = read_picture(&path).unwrap();
    assert_eq!(upright.dimensions(), (16, 32));
    assert!(upright.get_pixel(8, 4)[0] > 200 && upright.get_pixel(8, 28)[0] < 50);
    let reader = VideoReader::open(&path).unwrap();
    assert_eq!((reader.info().size(), reader.info().still), ((16, 32), true));
    // Other formats, and what is none.
    for (format, name) in [(ImageFormat::WebP, "x.webp"), (ImageFormat::Bmp, "x.jpg")] {
        let path = folder.path().join(name);
        side.save_with_format(&path, format).unwrap();
        assert_eq!(read_picture(&path).unwrap(), side, "{name}");
    }
    for (bytes, what) in
        [(&b"<!DOCTYPE html>"[..], "web page"), (b"version https://git-lfs.github.com", "git lfs pull")]
    {
        std::fs::write(&path, bytes).unwrap();
        for error in [read_picture(&path).unwrap_err(), VideoReader::open(&path).unwrap_err()] {
            let error = error.to_string();
            assert!(error.contains(what) && error.matches("photo.png").count() == 1, "{error}");
        }
    }
}

#[test]
fn a_matte_is_alpha_where_alpha_varies() {
    let folder = tempfile::tempdir().unwrap();
    let save = |name: &str, pixel: &dyn Fn(u32) -> [u8; 4]| {
        let path = folder.path().join(name);
        RgbaImage::from_fn(4, 1, |x, _| Rgba(pixel(x))).save(&path).unwrap();
        path
    };
    let row = |path: &Path| read_matte(path).unwrap().into_raw();
    assert_eq!(row(&save("a.png", &|x| [255, 255, 255, 80 * x as u8])), [0, 80, 160, 240]);
    assert_eq!(
        row(&save("b.png", &|x| [80 * x as u8; 4].map(|v| v)).with_file_name("a.png")),
        [0, 80, 160, 240]
    );
    assert_eq!(row(&save("opaque.png", &|x| [[0, 0, 0, 255], [255; 4]][x as usize % 2])), [0, 255, 0, 255]);
    assert_eq!(row(&save("empty.png", &|_| [255, 255, 255, 0])), [0; 4]);
    assert_eq!(row(&save("sloppy.png", &|x| [[0; 4], [255, 255, 255, 0]][x as usize % 2])), [0, 255, 0, 255]);
    let gray = folder.path().join("gray.png");
    GrayImage::from_pixel(2, 1, Luma([77])).save(&gray).unwrap();
    assert_eq!(row(&gray), [77, 77]);
    // In a sequence alpha stays the matte once it has varied.
    let frames = tempfile::tempdir().unwrap();
    for (i, alphas) in [[0, 255], [255, 255]].into_iter().enumerate() {
        let picture = RgbaImage::from_fn(2, 1, |x, _| Rgba([9, 9, 9, alphas[x as usize]]));
        picture.save(frames.path().join(format!("{i}.png"))).unwrap();
    }
    let options = ReadOptions { matte: true, ..own() };
    let mattes: Vec<_> =
        VideoReader::open_with(frames.path(), &options).unwrap().map(|f| f.unwrap().into_raw()).collect();
    assert_eq!(mattes, [vec![0, 0, 0, 255, 255, 255], vec![255; 6]]);
}

#[test]
fn outputs_never_replace_inputs_and_say_what_they_leave_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sound.mp4");
    retimed(&video(folder.path(), 5), &path, &[40; 5], 0, Some((0, 200)));
    let options = || WriteOptions::new(FrameRate::whole(25));
    let error = convert(&path, &folder.path().join("./sound.mp4"), options(), &own()).unwrap_err();
    assert!(matches!(error, Error::OutputIsInput { .. }), "{error:?}");
    assert!(same_place(folder.path(), &folder.path().join("frame_%05d.png")));
    assert!(!same_place(&path, &folder.path().join("other.mp4")));
    let frames = folder.path().join("frames");
    let (written, warnings) = convert(&path, &frames, options(), &own()).unwrap();
    assert_eq!(written.frames, 5);
    assert!(matches!(warnings.take()[..], [Warning::NoSound { .. }]));
    // A folder of something else is named.
    let odd = tempfile::tempdir().unwrap();
    std::fs::write(odd.path().join("a.heic"), b"\0\0\0\x18ftypheic....mif1heic").unwrap();
    let error = VideoReader::open_with(odd.path(), &own()).unwrap_err().to_string();
    assert!(error.contains("1 × a HEIC picture"), "{error}");
    let mut writer = VideoWriter::create(folder.path().join("x.mp4"), options()).unwrap();
    writer.push(&numbered(0)).unwrap();
    assert!(writer.warnings().take().is_empty());
}

#[test]
fn masks_of_stored_frames_go_with_them() {
    let folder = tempfile::tempdir().unwrap();
    let from = video(folder.path(), 6);
    let uneven = folder.path().join("uneven.mp4");
    retimed(&from, &uneven, &[40, 40, 120, 40, 80, 40], 0, None);
    let reader = VideoReader::open_with(&uneven, &own()).unwrap();
    assert_eq!(reader.info().shown.as_ref().map(|s| s.stored), Some(6));
    let video_numbers = numbers(&uneven);
    assert_eq!(video_numbers, [0, 1, 2, 2, 2, 3, 4, 4, 5]);
    // Six masks, as a program that counts stored frames makes them.
    let masks = VideoReader::open_with(&from, &own()).unwrap().alongside(reader.info());
    assert_eq!(masks.info().frames, Some(9));
    assert_eq!(masks.map(|frame| number(&frame.unwrap())).collect::<Vec<_>>(), video_numbers);
    // Of another number, or for an even video, they stay as they are.
    let even = VideoReader::open_with(&from, &own()).unwrap();
    let plain = VideoReader::open_with(&from, &own()).unwrap().alongside(even.info());
    assert_eq!(plain.info().frames, Some(6));
}

/// `ANICRAFTER_MUTATIONS=100000` tries for longer.
fn cases() -> u32 {
    std::env::var("ANICRAFTER_MUTATIONS").ok().and_then(|n| n.parse().ok()).unwrap_or(64)
}

/// A file whose samples lie in the index and in fragments, small enough to be made once and changed often.
fn hybrid() -> &'static [u8] {
    static BYTES: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    BYTES.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hybrid.mp4");
        fragmented(&video(folder.path(), 8), &path, 2, 3);
        std::fs::read(path).unwrap()
    })
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(cases()))]

    /// Every box header and every word of the fragments may lie.
    #[test]
    fn changed_fragments_never_panic(
        edits in proptest::collection::vec((proptest::prelude::any::<usize>(), proptest::prelude::any::<u32>(), 0..4_u32), 1..6),
        cut in proptest::prelude::prop_oneof![5 => proptest::prelude::Just(0_usize), 1 => 0_usize..2000],
    ) {
        let good = hybrid();
        let fragments: Vec<usize> = (0..good.len() - 4).filter(|&i| &good[i..i + 4] == b"moof").collect();
        let mut bytes = good.to_vec();
        for (at, word, how) in edits {
            // Half of the edits hit what describes fragments, where they hurt most.
            let at = match how {
                0 | 1 => fragments[at % fragments.len()] - 4 + at / 7 % 120,
                _ => at % bytes.len(),
            };
            let word = if how == 1 { word % 64 } else { word };
            let end = (at + 4).min(bytes.len());
            if how == 3 { bytes[at] = word as u8 } else { bytes[at..end].copy_from_slice(&word.to_be_bytes()[..end - at]) }
        }
        bytes.truncate(bytes.len() - cut % bytes.len());
        let mut file = tempfile::Builder::new().suffix(".mp4").tempfile().unwrap();
        std::io::Write::write_all(&mut file, &bytes).unwrap();
        if let Ok(reader) = VideoReader::open_with(file.path(), &own()) {
            // Frames that last may be many; the first thousand are enough to see them all.
            for frame in reader.take(1000) {
                if frame.is_err() { break }
            }
        }
        drop(AudioTrack::open(file.path(), None));
    }
}
