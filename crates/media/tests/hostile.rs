//! Files that are cut off, scrambled or lying: an error, never a panic, never more memory than the file is large.
#![expect(clippy::unwrap_used, reason = "in a test, a failed unwrap is a failed test")]

use anicrafter_media::{
    AudioTrack, Error, FrameRate, ReadOptions, VideoReader, VideoWriter, Warning, WriteOptions,
};
use proptest::prelude::{ProptestConfig, any, prop_assert, proptest};
use std::path::Path;

const FIXTURE: &[u8] = include_bytes!("data/bframes.mp4");

fn own() -> ReadOptions {
    ReadOptions { ffmpeg: None, ..ReadOptions::default() }
}

/// Frames that are read at most.
const MOST: usize = 500;

/// Reads everything there is to read; the number of frames, or the first error.
fn read_all(bytes: &[u8]) -> anicrafter_media::Result<usize> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hostile.mp4");
    std::fs::write(&path, bytes).unwrap();
    // Whatever the sound track is, asking for it must not panic.
    drop(AudioTrack::open(&path, None).map(|a| a.map(|a| a.skip_s(0.5).duration_s())));
    let mut n = 0;
    // Times that were scrambled may let a frame last for long.
    for frame in VideoReader::open_with(&path, &own())?.take(MOST) {
        frame?;
        n += 1;
    }
    Ok(n)
}

fn find(kind: &[u8; 4]) -> usize {
    FIXTURE.windows(4).position(|w| w == kind).unwrap()
}

/// The fixture with the 32-bit number at `at` replaced.
fn with_u32(at: usize, value: u32) -> Vec<u8> {
    let mut bytes = FIXTURE.to_vec();
    bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
    bytes
}

#[test]
fn the_fixture_itself_is_fine() {
    assert_eq!(read_all(FIXTURE).unwrap(), 81);
}

#[test]
fn truncated_files_say_so() {
    for percent in [0, 1, 5] {
        let cut = &FIXTURE[..FIXTURE.len() * percent / 100];
        let error = read_all(cut).unwrap_err();
        assert!(matches!(error, Error::Malformed { .. } | Error::NoMedium { .. }), "{percent} %: {error:?}");
        assert!(error.to_string().contains("hostile.mp4"), "{error}");
    }
    // Behind the index there are the frames that there are, and a word about the others.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.mp4");
    let mut before = 0;
    for percent in [20, 50, 80] {
        std::fs::write(&path, &FIXTURE[..FIXTURE.len() * percent / 100]).unwrap();
        let reader = match VideoReader::open_with(&path, &own()) {
            Ok(reader) => reader,
            Err(Error::Malformed { detail, .. }) if detail.contains("cut off") && percent == 20 => continue,
            Err(error) => panic!("{percent} %: {error}"),
        };
        let said = reader.warnings().take();
        let n = reader.map(Result::unwrap).count();
        let as_said = matches!(said[..], [Warning::CutOff { expected: 81, got, .. }] if got == n as u64);
        assert!(as_said && n >= before && n < 81, "{percent} %: {n} frames, {said:?}");
        before = n;
    }
    assert!(before > 40);
}

#[test]
fn lying_counts_and_offsets_are_found_out() {
    // Full box: type, version and flags, then the count.
    for kind in [b"stts", b"stsc", b"stco", b"ctts", b"elst"] {
        for lie in [u32::MAX, 0x7fff_ffff, 1 << 28] {
            let error = read_all(&with_u32(find(kind) + 8, lie)).unwrap_err();
            assert!(matches!(error, Error::Malformed { .. }), "{kind:?} {lie}: {error:?}");
        }
    }
    // A sample size and count that would need 16 exabytes, and samples of size 0.
    let stsz = find(b"stsz");
    let mut bytes = with_u32(stsz + 8, u32::MAX);
    bytes[stsz + 12..stsz + 16].copy_from_slice(&u32::MAX.to_be_bytes());
    assert!(matches!(read_all(&bytes), Err(Error::Malformed { .. })));
    assert!(matches!(read_all(&with_u32(stsz + 12, u32::MAX)), Err(Error::Malformed { .. })));
    // A chunk beyond the end of the file, a time scale of zero, a box longer than the file.
    assert!(matches!(read_all(&with_u32(find(b"stco") + 12, u32::MAX - 9)), Err(Error::Malformed { .. })));
    assert!(matches!(read_all(&with_u32(find(b"mdhd") + 16, 0)), Err(Error::Malformed { .. })));
    assert!(matches!(read_all(&with_u32(find(b"moov") - 4, u32::MAX)), Err(Error::Malformed { .. })));
}

#[test]
fn what_is_no_video_is_named() {
    assert!(matches!(read_all(&[0; 4096]), Err(Error::Malformed { .. })));
    for (bytes, what) in [
        (&b""[..], "an empty file"),
        (b"GIF89a..........", "decoding"),
        (b"\x1a\x45\xdf\xa3....", "Matroska"),
        (b"{\"frames\": []}", "a JSON file"),
    ] {
        let error = read_all(bytes).unwrap_err().to_string();
        assert!(error.contains(what) && error.contains("hostile.mp4"), "{error}");
    }
    let missing = VideoReader::open_with("no/such/file.mp4", &own());
    assert!(matches!(missing, Err(Error::Io { .. })));
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(VideoReader::open_with(folder.path(), &own()), Err(Error::NoPictures { .. })));
    std::fs::write(folder.path().join("a.png"), b"not a picture").unwrap();
    assert!(matches!(VideoReader::open_with(folder.path(), &own()), Err(Error::NoMedium { .. })));
}

#[test]
fn other_codecs_are_named_with_their_profile() {
    let hevc = |bytes: &mut Vec<u8>| {
        let at = find(b"avc1");
        // The first `avc1` is a brand of the file type box, the sample entry comes after `stsd`.
        let at = at.max(find(b"stsd") + 16);
        bytes[at..at + 4].copy_from_slice(b"hvc1");
    };
    let mut bytes = FIXTURE.to_vec();
    hevc(&mut bytes);
    let error = read_all(&bytes).unwrap_err();
    assert!(matches!(&error, Error::Unsupported { codec, .. } if codec.contains("HEVC")), "{error:?}");
    assert!(error.to_string().contains("hvc1"), "{error}");
    // High profile becomes "High 10" with the bit depths that follow it unreadable or wrong.
    let mut bytes = FIXTURE.to_vec();
    let sps = find(b"avcC") + 4 + 8;
    assert_eq!(bytes[sps] & 31, 7, "the parameter set is where it is expected");
    bytes[sps + 1] = 88;
    let error = read_all(&bytes).unwrap_err();
    assert!(matches!(&error, Error::Unsupported { profile, .. } if profile == "Extended"), "{error:?}");
}

#[test]
fn a_small_animation_of_huge_frames_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bomb.gif");
    // The whole picture is huge, or a frame is that is larger than the picture.
    for size in [[0xff, 0xff, 0xff, 0xff], [8, 0, 8, 0]] {
        let mut bytes = b"GIF89a".to_vec();
        bytes.extend(size);
        bytes.extend(b"\x80\0\0\0\0\0\0\0\0\x2c\0\0\0\0\xff\xff\xff\xff\0\x02\x02\x44\x01\0\x3b");
        std::fs::write(&path, bytes).unwrap();
        let opened = VideoReader::open(&path);
        assert!(matches!(opened, Err(Error::Picture { .. })), "{opened:?}");
    }
}

#[test]
fn a_playlist_opens_no_other_file() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret.mp4");
    std::fs::write(&secret, FIXTURE).unwrap();
    let playlist = folder.path().join("clip.m3u8");
    let text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1,\nfile://{}\n#", secret.display());
    // A byte that isn't text gets it past the look at its first bytes, to ffmpeg where there is one.
    for end in [&b"\n#EXT-X-ENDLIST\n"[..], b"\xff\n#EXT-X-ENDLIST\n"] {
        std::fs::write(&playlist, [text.as_bytes(), end].concat()).unwrap();
        let opened = VideoReader::open(&playlist);
        assert!(opened.is_err(), "{opened:?}");
    }
}

#[test]
fn a_program_that_is_no_ffmpeg_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.mp4");
    std::fs::write(&path, [0; 64]).unwrap();
    let options = ReadOptions { ffmpeg: Some("no-such-program-as-this".into()), ..ReadOptions::default() };
    assert!(matches!(VideoReader::open_with(&path, &options), Err(Error::Malformed { .. })));
    let write = WriteOptions { ffmpeg: options.ffmpeg, ..WriteOptions::new(FrameRate::whole(25)) };
    let refused = VideoWriter::create(folder.path().join("x.webm"), write);
    assert!(matches!(refused, Err(Error::UnsupportedOutput { .. })));
    assert!(AudioTrack::open(&path, Some(Path::new("no-such-program-as-this"))).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn scrambled_bytes_never_panic(edits in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..12)) {
        let mut bytes = FIXTURE.to_vec();
        // Half of the edits hit the index, where they hurt most.
        let (moov, mdat) = (find(b"moov"), find(b"mdat"));
        for (i, (at, byte)) in edits.iter().enumerate() {
            let at = if i % 2 == 0 { moov + at.index(mdat - moov) } else { at.index(bytes.len()) };
            bytes[at] = *byte;
        }
        if let Ok(n) = read_all(&bytes) {
            prop_assert!(n <= MOST);
        }
    }
}
