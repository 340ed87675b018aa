//! Videos written and read back: as many frames, the same pictures within the codec's loss, sound, clean-up.

use anicrafter_media::{
    AudioTrack, Error, FrameRate, PictureFormat, ReadOptions, VideoReader, VideoWriter, WriteOptions,
    Written, picture_files, read_picture, write_picture,
};
use image::{Rgb, RgbImage};
use std::path::{Path, PathBuf};

/// A smooth picture that moves, different in every frame.
fn frame(width: u32, height: u32, index: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let wave = |k: f32, phase: f32| (127.5 + 100.0 * (k + phase).sin()) as u8;
        let (x, y, t) = (x as f32 / 17.0, y as f32 / 13.0, index as f32 / 5.0);
        Rgb([wave(x, t), wave(y, -t), wave(x + y, 2.0)])
    })
}

fn write(path: &Path, n: u32, size: (u32, u32), options: WriteOptions) -> anicrafter_media::Result<Written> {
    let mut writer = VideoWriter::create(path, options)?;
    for i in 0..n {
        writer.push(&frame(size.0, size.1, i))?;
    }
    writer.finish()
}

fn psnr(a: &RgbImage, b: &RgbImage) -> f64 {
    assert_eq!(a.dimensions(), b.dimensions());
    let squares: u64 = a.iter().zip(b.iter()).map(|(x, y)| u64::from(x.abs_diff(*y)).pow(2)).sum();
    10.0 * (65025.0 * a.len() as f64 / squares.max(1) as f64).log10()
}

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/bframes.mp4")
}

/// Reads without ever starting an external program.
fn own() -> ReadOptions {
    ReadOptions { ffmpeg: None, ..ReadOptions::default() }
}

#[test]
fn eighty_one_in_eighty_one_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.mp4");
    let rate = FrameRate::new(30000, 1001).unwrap();
    let written = write(&path, 81, (160, 96), WriteOptions::new(rate)).unwrap();
    assert_eq!(written, Written { frames: 81, width: 160, height: 96 });
    let reader = VideoReader::open_with(&path, &own()).unwrap();
    assert_eq!(reader.info().frames, Some(81));
    assert_eq!(reader.info().frame_rate, rate);
    assert_eq!(reader.info().size(), (160, 96));
    assert_eq!(reader.info().color, Some(anicrafter_media::color::ColorSpace::BT709));
    let mut n = 0;
    for (i, decoded) in reader.enumerate() {
        let quality = psnr(&decoded.unwrap(), &frame(160, 96, i as u32));
        assert!(quality > 32.0, "frame {i}: {quality} dB");
        n += 1;
    }
    assert_eq!(n, 81);
}

#[test]
fn a_finer_quantiser_gives_a_better_picture_from_the_first_frame_on() {
    let folder = tempfile::tempdir().unwrap();
    let quality = |qp: u8| {
        let path = folder.path().join(format!("{qp}.mp4"));
        let options = WriteOptions { qp, ..WriteOptions::new(FrameRate::whole(25)) };
        write(&path, 3, (128, 128), options).unwrap();
        let size = std::fs::metadata(&path).unwrap().len();
        let first = VideoReader::open_with(&path, &own()).unwrap().next().unwrap().unwrap();
        (psnr(&first, &frame(128, 128, 0)), size)
    };
    let (fine, middle, coarse) = (quality(12), quality(24), quality(40));
    assert!(fine.0 > middle.0 && middle.0 > coarse.0 + 3.0, "{fine:?} {middle:?} {coarse:?}");
    assert!(fine.1 > middle.1 && middle.1 > coarse.1, "{fine:?} {middle:?} {coarse:?}");
}

#[test]
fn b_frames_come_out_in_order_and_all_of_them() {
    // The fixture counts its frames in a grey ramp: its README says how it was made.
    let reader = VideoReader::open_with(fixture(), &own()).unwrap();
    assert_eq!(reader.info().frames, Some(81));
    assert_eq!(reader.info().frame_rate, FrameRate::whole(25));
    assert!(reader.info().has_audio);
    let mut n = 0;
    for (i, decoded) in reader.enumerate() {
        let decoded = decoded.unwrap();
        let expected = 16.0 + 2.0 * i as f64;
        let mean = decoded.iter().map(|&x| f64::from(x)).sum::<f64>() / decoded.len() as f64;
        assert!((mean - expected).abs() < 3.0, "frame {i}: {mean} instead of {expected}");
        n += 1;
    }
    assert_eq!(n, 81);
}

#[test]
fn sound_is_carried_over_and_ends_with_the_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let source = AudioTrack::open(fixture(), None).unwrap().unwrap();
    assert!((source.duration_s() - 3.24).abs() < 0.1, "{}", source.duration_s());
    let path = folder.path().join("short.mp4");
    let options = WriteOptions { audio: Some(source), ..WriteOptions::new(FrameRate::whole(25)) };
    write(&path, 30, (64, 64), options).unwrap();
    let copy = AudioTrack::open(&path, None).unwrap().unwrap();
    assert!((copy.duration_s() - 1.2).abs() < 0.05, "{}", copy.duration_s());
    let reader = VideoReader::open_with(&path, &own()).unwrap();
    assert!(reader.info().has_audio);
    assert_eq!(reader.count(), 30);

    let skipped = AudioTrack::open(fixture(), None).unwrap().unwrap().skip_s(2.0);
    assert!((skipped.duration_s() - 1.24).abs() < 0.1, "{}", skipped.duration_s());
    let path = folder.path().join("tail.mp4");
    let options = WriteOptions { audio: Some(skipped), ..WriteOptions::new(FrameRate::whole(25)) };
    write(&path, 50, (64, 64), options).unwrap();
    let copy = AudioTrack::open(&path, None).unwrap().unwrap();
    assert!((copy.duration_s() - 1.24).abs() < 0.1, "{}", copy.duration_s());
    let silent = folder.path().join("silent.mp4");
    write(&silent, 1, (64, 64), WriteOptions::new(FrameRate::whole(25))).unwrap();
    assert!(AudioTrack::open(&silent, None).unwrap().is_none());
    assert!(AudioTrack::open(folder.path(), None).unwrap().is_none());
}

#[test]
fn files_start_fast() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fast.mp4");
    write(&path, 5, (64, 48), WriteOptions::new(FrameRate::whole(30))).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let find = |kind: &[u8]| bytes.windows(4).position(|w| w == kind).unwrap();
    assert!(find(b"moov") < find(b"mdat"));
}

#[test]
fn nothing_is_left_of_what_was_not_finished() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("half.mp4");
    let mut writer = VideoWriter::create(&path, WriteOptions::new(FrameRate::whole(30))).unwrap();
    writer.push(&frame(64, 48, 0)).unwrap();
    assert!(!path.exists());
    drop(writer);
    let mut background =
        VideoWriter::create(&path, WriteOptions::new(FrameRate::whole(30))).unwrap().in_background(1);
    background.push(frame(64, 48, 0)).unwrap();
    drop(background);
    // The thread ends by itself; wait for it to put its file away.
    for _ in 0..200 {
        if std::fs::read_dir(folder.path()).unwrap().count() == 0 {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("a temporary file was left behind");
}

#[test]
fn sizes_and_options_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.mp4");
    let options = || WriteOptions::new(FrameRate::whole(30));
    let sized = |w, h| write(&path, 1, (w, h), options());
    for (w, h) in [(63, 64), (64, 63), (0, 0), (8, 64), (3842, 64), (3000, 3000)] {
        assert!(matches!(sized(w, h), Err(Error::VideoSize { .. })), "{w}x{h}");
    }
    assert!(matches!(write(&path, 0, (64, 64), options()), Err(Error::NoFrames { .. })));
    let mut writer = VideoWriter::create(&path, options()).unwrap();
    writer.push(&frame(64, 64, 0)).unwrap();
    assert!(matches!(writer.push(&frame(64, 32, 1)), Err(Error::FrameSize { frame: 1, .. })));
    drop(writer);
    let bad = WriteOptions { qp: 52, ..options() };
    assert!(matches!(VideoWriter::create(&path, bad), Err(Error::Option { name: "qp", .. })));
    let bad = WriteOptions { keyframe_interval: 0, ..options() };
    assert!(matches!(VideoWriter::create(&path, bad), Err(Error::Option { .. })));
    let nowhere = folder.path().join("no/such/folder/x.mp4");
    assert!(matches!(VideoWriter::create(&nowhere, options()), Err(Error::Io { .. })));
    let webm = WriteOptions { ffmpeg: None, ..options() };
    let refused = VideoWriter::create(folder.path().join("x.webm"), webm);
    assert!(matches!(refused, Err(Error::UnsupportedOutput { .. })));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "something was left behind");
}

#[test]
fn a_background_writer_reports_the_first_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.mp4");
    let broken = || {
        let mut writer =
            VideoWriter::create(&path, WriteOptions::new(FrameRate::whole(30))).unwrap().in_background(1);
        writer.push(frame(64, 64, 0)).unwrap();
        writer.push(frame(64, 32, 0)).unwrap();
        writer
    };
    assert!(matches!(broken().finish(), Err(Error::FrameSize { frame: 1, .. })));
    // Who goes on pushing is told the same, and no more than that afterwards.
    let mut writer = broken();
    let first = (0..100).find_map(|_| writer.push(frame(64, 64, 0)).err());
    assert!(matches!(first, Some(Error::FrameSize { frame: 1, .. })), "{first:?}");
    assert!(matches!(writer.push(frame(64, 64, 0)), Err(Error::Thread { .. })));
}

#[test]
fn sequences_come_back_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let frames = folder.path().join("frames");
    let written = write(&frames, 12, (31, 17), WriteOptions::new(FrameRate::whole(30))).unwrap();
    assert_eq!(written.frames, 12);
    let again = VideoWriter::create(&frames, WriteOptions::new(FrameRate::whole(30)));
    assert!(matches!(again, Err(Error::NotEmpty { .. })));
    let reader = VideoReader::open(&frames).unwrap();
    assert_eq!((reader.info().frames, reader.info().size()), (Some(12), (31, 17)));
    for (i, picture) in reader.prefetch(3).enumerate() {
        assert_eq!(picture.unwrap(), frame(31, 17, i as u32));
    }
    let numbered = folder.path().join("jpg/a_%02d.jpg");
    write(&numbered, 11, (32, 16), WriteOptions::new(FrameRate::whole(30))).unwrap();
    let files = picture_files(folder.path().join("jpg")).unwrap();
    assert_eq!(files.len(), 11);
    assert!(files[10].ends_with("a_10.jpg"));
    assert!(psnr(&read_picture(&files[4]).unwrap(), &frame(32, 16, 4)) > 25.0);
    // One picture of another size in the middle.
    write_picture(&files[5], &frame(8, 8, 0), PictureFormat::Jpeg(90)).unwrap();
    let results: Vec<_> = VideoReader::open(folder.path().join("jpg")).unwrap().collect();
    assert_eq!(results.len(), 6);
    assert!(matches!(results[5], Err(Error::FrameSize { frame: 5, .. })));
}

#[test]
fn a_single_picture_is_a_video_of_one_frame() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one.png");
    write_picture(&path, &frame(9, 7, 0), PictureFormat::Png).unwrap();
    let frames: Vec<_> = VideoReader::open(&path).unwrap().map(Result::unwrap).collect();
    assert_eq!(frames, [frame(9, 7, 0)]);
    assert!(write_picture(&path, &RgbImage::new(0, 0), PictureFormat::Png).is_err());
}
