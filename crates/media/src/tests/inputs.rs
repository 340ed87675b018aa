//! Inputs of the layouts that cameras, phones, browsers and editors write, made by our own encoder and muxer.

use crate::mp4::boxes::{Reader, boxed, container, full_box, words};
use crate::mp4::demux::Movie;
use crate::mp4::mux::{Muxer, TrackHeader, TrackKind};
use crate::{FrameRate, ReadOptions, VideoReader, VideoWriter, WriteOptions};
use image::{Rgb, RgbImage};
use std::path::{Path, PathBuf};

pub(super) const SIZE: (u32, u32) = (64, 48);

/// Reads without ever starting an external program.
pub(super) fn own() -> ReadOptions {
    ReadOptions { ffmpeg: None, ..ReadOptions::default() }
}

/// A grey picture whose brightness is its number: 16 + 4 n.
pub(super) fn numbered(n: usize) -> RgbImage {
    RgbImage::from_pixel(SIZE.0, SIZE.1, Rgb([16 + 4 * n as u8; 3]))
}

/// The number in a decoded picture.
pub(super) fn number(picture: &RgbImage) -> usize {
    let mean = picture.iter().map(|&b| f64::from(b)).sum::<f64>() / picture.len() as f64;
    ((mean - 16.0) / 4.0).round() as usize
}

/// The numbers of all pictures that come out.
pub(super) fn numbers(path: &Path) -> Vec<usize> {
    VideoReader::open_with(path, &own()).unwrap().map(|frame| number(&frame.unwrap())).collect()
}

/// `n` numbered pictures at 25 a second.
pub(super) fn video(folder: &Path, n: usize) -> PathBuf {
    let path = folder.join("plain.mp4");
    let options = WriteOptions { qp: 14, keyframe_interval: 10, ..WriteOptions::new(FrameRate::whole(25)) };
    let mut writer = VideoWriter::create(&path, options).unwrap();
    for i in 0..n {
        writer.push(&numbered(i)).unwrap();
    }
    writer.finish().unwrap();
    path
}

/// The same pictures with these lengths in milliseconds and a start (negative: late), and sound: one 16-bit mono sample every
/// sixteenth of a millisecond, `sound_ms` long and starting like `sound_start_ms` says.
pub(super) fn retimed(from: &Path, to: &Path, lengths_ms: &[u32], start_ms: i64, sound: Option<(i64, u32)>) {
    let mut movie = Movie::open(from).unwrap();
    let track = movie.track(b"vide").unwrap().clone();
    let mut muxer = Muxer::create(to).unwrap();
    let entry = track.entries[0].bytes.clone();
    let kind = TrackKind::Video(SIZE.0, SIZE.1);
    let picture_track = muxer.add_track(TrackHeader { kind, timescale: 1000, entry, start: start_ms });
    let mut bytes = Vec::new();
    for (sample, &length) in track.samples.iter().zip(lengths_ms) {
        movie.read_at(sample.offset, sample.size as usize, &mut bytes).unwrap();
        muxer.push(picture_track, &bytes, length, true).unwrap();
    }
    if let Some((start, ms)) = sound {
        let header =
            TrackHeader { kind: TrackKind::Audio, timescale: 16000, entry: pcm_entry(), start: start * 16 };
        let sound_track = muxer.add_track(header);
        let samples: Vec<u8> = (0..ms * 16).flat_map(|i| (i as u16).to_be_bytes()).collect();
        for piece in samples.chunks(2 * 1024) {
            muxer.push_alike(sound_track, piece, piece.len() as u32 / 2, 1, true).unwrap();
        }
    }
    muxer.finish().unwrap();
}

/// `twos`: big-endian, 16 bits, mono, 16 kHz.
fn pcm_entry() -> Vec<u8> {
    let mut out = vec![0, 0, 0, 0, 0, 0, 0, 1];
    out.extend([0; 8]);
    out.extend([0, 1, 0, 16, 0, 0, 0, 0]);
    out.extend(words([16000 << 16]));
    boxed(b"twos", &out)
}

/// Rewrites the box at `path` within `moov`, in the first track; the index moves to the end, so that no offset changes.
pub(super) fn edited(file: &Path, path: &[&[u8; 4]], edit: &dyn Fn(&[u8]) -> Vec<u8>) {
    let bytes = std::fs::read(file).unwrap();
    let mut out = Vec::new();
    let mut moov = Vec::new();
    let mut top = Reader::new(&bytes);
    while let Some((kind, payload)) = top.child() {
        if kind.0 == *b"moov" {
            moov = boxed(b"moov", &rebuilt(payload.rest(), path, edit));
            out.extend(boxed(b"free", payload.rest()));
        } else {
            out.extend(boxed(&kind.0, payload.rest()));
        }
    }
    out.extend(moov);
    std::fs::write(file, out).unwrap();
}

fn rebuilt(payload: &[u8], path: &[&[u8; 4]], edit: &dyn Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let Some((&next, rest)) = path.split_first() else { return edit(payload) };
    let mut out = Vec::new();
    let mut children = Reader::new(payload);
    let mut found = false;
    while let Some((kind, child)) = children.child() {
        let body = if !found && kind.0 == *next {
            found = true;
            rebuilt(child.rest(), rest, edit)
        } else {
            child.rest().to_vec()
        };
        out.extend(boxed(&kind.0, &body));
    }
    assert!(found, "no {next:?} box");
    out
}

/// The samples from number `keep` on in fragments of `each` samples, as a browser's recorder writes them. With `keep` = 0 the
/// index has no samples at all.
pub(super) fn fragmented(from: &Path, to: &Path, keep: usize, each: usize) {
    let mut movie = Movie::open(from).unwrap();
    let track = movie.track(b"vide").unwrap().clone();
    let samples: Vec<_> = track.samples.iter().collect();
    let mut muxer = Muxer::create(to).unwrap();
    let kind = TrackKind::Video(SIZE.0, SIZE.1);
    let entry = track.entries[0].bytes.clone();
    let index = muxer.add_track(TrackHeader { kind, timescale: track.timescale, entry, start: 0 });
    let mut bytes = Vec::new();
    for sample in &samples[..keep] {
        movie.read_at(sample.offset, sample.size as usize, &mut bytes).unwrap();
        muxer.push(index, &bytes, sample.duration, true).unwrap();
    }
    muxer.finish().unwrap();
    // An open edit, and defaults for the fragments.
    edited(to, &[b"trak", b"edts", b"elst"], &|_| [words([0, 1]), words([0, 0, 0x1_0000])].concat());
    edited(to, &[], &|moov| {
        let trex = full_box(b"trex", 0, 0, &words([1, 1, samples[0].duration, 0, 0]));
        [moov, &container(b"mvex", &[trex])].concat()
    });
    let mut out = std::fs::read(to).unwrap();
    let mut time = samples[..keep].iter().map(|s| s.duration).sum::<u32>();
    for group in samples[keep..].chunks(each) {
        let mut data = Vec::new();
        let mut sizes = Vec::new();
        for sample in group {
            movie.read_at(sample.offset, sample.size as usize, &mut bytes).unwrap();
            data.extend_from_slice(&bytes);
            sizes.push(sample.size);
        }
        let moof = |data_offset: u32| {
            let tfhd = full_box(b"tfhd", 0, 0x2_0000, &words([1]));
            let tfdt = full_box(b"tfdt", 0, 0, &words([time]));
            let head = words([group.len() as u32, data_offset]);
            let trun = full_box(b"trun", 0, 0x201, &[head, words(sizes.iter().copied())].concat());
            container(
                b"moof",
                &[full_box(b"mfhd", 0, 0, &words([1])), container(b"traf", &[tfhd, tfdt, trun])],
            )
        };
        let len = moof(0).len() as u32;
        out.extend(moof(len + 8));
        out.extend(boxed(b"mdat", &data));
        time += group.iter().map(|s| s.duration).sum::<u32>();
    }
    std::fs::write(to, out).unwrap();
}
