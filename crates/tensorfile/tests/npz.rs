//! npy and npz: round trips, foreign layouts, hostile files.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use anicrafter_tensorfile::npy::{self, NpyError, NpyHeader};
use anicrafter_tensorfile::zip::{ZipArchive, ZipError, ZipWriter};
use anicrafter_tensorfile::{Dtype, Error, Npz, TensorSource, TensorView, write_npz, write_npz_bytes};
use proptest::prelude::*;

/// An npy array as another writer might lay it out.
fn npy(descr: &str, fortran: bool, shape: &str, data: &[u8]) -> Vec<u8> {
    let fortran = if fortran { "True" } else { "False" };
    let header = format!("{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n");
    let mut out = b"\x93NUMPY\x01\x00".to_vec();
    out.extend((header.len() as u16).to_le_bytes());
    out.extend(header.as_bytes());
    out.extend(data);
    out
}

fn zip(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (i, (name, bytes)) in entries.iter().enumerate() {
        if i % 2 == 0 { zip.stored(name, bytes, 1).unwrap() } else { zip.deflated(name, bytes).unwrap() }
    }
    zip.finish().unwrap().into_inner()
}

#[test]
fn every_type_and_order_comes_out_row_major_and_little_endian() {
    let big: Vec<u8> = [1.5_f64, -2.0].iter().flat_map(|x| x.to_be_bytes()).collect();
    let view = npy::parse(&npy("'>f8'", false, "(2,)", &big)).map(TensorView::into_owned);
    // The array borrowed above is a temporary; parse again with a name.
    drop(view);
    let bytes = npy("'>f8'", false, "(2,)", &big);
    assert_eq!(npy::parse(&bytes).unwrap().to_f64(), [1.5, -2.0]);

    // numpy.asfortranarray([[1, 2, 3], [4, 5, 6]]) lies as 1 4 2 5 3 6.
    let columns: Vec<u8> = [1_i16, 4, 2, 5, 3, 6].iter().flat_map(|x| x.to_le_bytes()).collect();
    let bytes = npy("'<i2'", true, "(2, 3)", &columns);
    let view = npy::parse(&bytes).unwrap();
    assert_eq!((view.shape(), view.to_i64().unwrap()), (&[2, 3][..], vec![1, 2, 3, 4, 5, 6]));

    let halves: Vec<u8> =
        [0.5_f32, 65504.0].iter().flat_map(|&x| half::f16::from_f32(x).to_le_bytes()).collect();
    let bytes = npy("'<f2'", false, "(2L,)", &halves);
    assert_eq!(npy::parse(&bytes).unwrap().to_f32(), [0.5, 65504.0]);

    let bytes = npy("'|b1'", false, "()", &[1]);
    let view = npy::parse(&bytes).unwrap();
    assert_eq!((view.shape().len(), view.to_i64().unwrap()), (0, vec![1]));

    let bytes = npy("'<u8'", false, "(1,)", &u64::MAX.to_le_bytes());
    assert!(matches!(
        npy::parse(&bytes).unwrap().to_i64(),
        Err(Error::OutOfRange { value: u64::MAX, index: 0 })
    ));
    let bytes = npy("'<f4'", false, "(1,)", &1_f32.to_le_bytes());
    assert!(matches!(npy::parse(&bytes).unwrap().to_i64(), Err(Error::NotIntegers { found: Dtype::F32 })));
}

#[test]
fn empty_axes_are_fine() {
    for fortran in [false, true] {
        let bytes = npy("'<f4'", fortran, "(3, 0, 2)", &[]);
        let view = npy::parse(&bytes).unwrap();
        assert!(view.is_empty());
        assert_eq!(view.shape(), [3, 0, 2]);
    }
}

#[test]
fn root_parents_keep_their_number() {
    let parents: Vec<u8> = [u32::MAX, 0, 0].iter().flat_map(|x| x.to_le_bytes()).collect();
    let wide: Vec<u8> = [i64::from(u32::MAX), 0, 0].iter().flat_map(|x| x.to_le_bytes()).collect();
    let bytes = zip(&[
        ("narrow.npy", npy("'<u4'", false, "(3,)", &parents)),
        ("wide.npy", npy("'<i8'", false, "(3,)", &wide)),
    ]);
    let npz = Npz::parse(bytes).unwrap();
    assert_eq!(npz.i64("narrow").unwrap(), npz.i64("wide").unwrap());
    assert_eq!(npz.i64("wide").unwrap().1[0], 4_294_967_295);
}

#[test]
fn objects_are_listed_but_not_read() {
    let gender: Vec<u8> = "neutral".chars().flat_map(|c| u32::from(c).to_le_bytes()).collect();
    let bytes = zip(&[
        ("part2num.npy", npy("'|O'", false, "()", b"\x80\x02}q\x00.")),
        ("v.npy", npy("'<f4'", false, "(1,)", &2_f32.to_le_bytes())),
        ("gender.npy", npy("'<U7'", false, "()", &gender)),
        ("records.npy", npy("[('a', '<f4'), ('b', '<i4', (2,))]", false, "(0,)", &[])),
        ("readme.txt", b"not an array".to_vec()),
    ]);
    let npz = Npz::parse(bytes).unwrap();
    assert_eq!(npz.names(), ["v"]);
    assert_eq!(npz.headers().count(), 4);
    assert_eq!(npz.text("gender").unwrap(), "neutral");
    let error = npz.tensor("part2num").unwrap_err();
    assert!(matches!(error.root(), Error::Npy(NpyError::Unsupported { descr }) if descr == "|O"), "{error}");
    assert!(error.to_string().contains("part2num"));
    assert!(matches!(npz.text("v").unwrap_err().root(), Error::Npy(NpyError::Unsupported { .. })));
    assert!(matches!(npz.tensor("nothing"), Err(Error::NoSuchTensor { .. })));
}

#[test]
fn writes_files_that_it_reads() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.npz");
    let view = TensorView::from_f32(&[2, 1], &[1.0, 2.0]).unwrap();
    write_npz(&path, &[("a", view.clone())], false).unwrap();
    write_npz(&path, &[("b", view)], true).unwrap();
    assert_eq!(Npz::open(&path).unwrap().f32("b").unwrap(), (vec![2, 1], vec![1.0, 2.0]));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file may stay");
    let bf16 = TensorView::new(Dtype::BF16, vec![1], vec![0, 0]).unwrap();
    let error = write_npz_bytes(&[("c", bf16)], true).unwrap_err();
    assert!(matches!(error.root(), Error::Npy(NpyError::Unsupported { .. })));
    let error = Npz::open(dir.path().join("absent.npz")).unwrap_err();
    assert!(matches!(error.root(), Error::Io(_)) && error.to_string().contains("absent.npz"));
    assert!(matches!(Npz::open(dir.path()).unwrap_err().root(), Error::NotAFile));
}

fn npy_error(bytes: &[u8]) -> NpyError {
    match npy::parse(bytes) {
        Err(Error::Npy(e)) => e,
        other => panic!("{other:?}"),
    }
}

#[test]
fn broken_arrays_name_their_cause() {
    assert!(matches!(npy_error(b"nonsense"), NpyError::NotNpy));
    assert!(matches!(npy_error(b"\x93NUMPY\x09\x00\x00\x00"), NpyError::Version { major: 9, minor: 0 }));
    assert!(matches!(npy_error(b"\x93NUMPY\x01\x00\xff\xff{"), NpyError::Header { what: "it is truncated" }));
    assert!(matches!(npy_error(b"\x93NUMPY\x02\x00\xff\xff\xff\xff{"), NpyError::Header { .. }));
    assert!(matches!(npy_error(&npy("'<f4'", false, "(2,)", &[0; 4])), NpyError::Size { found: 4, .. }));
    assert!(matches!(npy_error(&npy("'<f4'", false, "(1,)", &[0; 8])), NpyError::Size { found: 8, .. }));
    let absurd = "(9223372036854775807, 9223372036854775807)";
    assert!(matches!(npy_error(&npy("'<f4'", false, absurd, &[])), NpyError::Size { .. }));
    let hidden = "(0, 9223372036854775807, 9223372036854775807)";
    assert!(matches!(npy_error(&npy("'<f4'", false, hidden, &[])), NpyError::Size { .. }));
    assert!(matches!(
        npy_error(&npy("'<f4'", false, "(99999999999999999999999,)", &[])),
        NpyError::Header { .. }
    ));
    assert!(matches!(npy_error(&npy("'<f4'", false, "(-1,)", &[])), NpyError::Header { .. }));
    assert!(matches!(npy_error(&npy("'<c8'", false, "(1,)", &[0; 8])), NpyError::Unsupported { .. }));
    assert!(matches!(npy_error(&npy("''", false, "(1,)", &[0; 8])), NpyError::Unsupported { .. }));
    assert!(matches!(npy_error(&npy("'é'", false, "(1,)", &[0; 8])), NpyError::Unsupported { .. }));
    assert!(matches!(npy_error(&npy("[['", false, "(1,)", &[0; 8])), NpyError::Header { .. }));
}

fn zip_error(bytes: Vec<u8>) -> ZipError {
    match ZipArchive::parse(bytes.into()) {
        Err(e) => e,
        Ok(archive) => panic!("{archive:?}"),
    }
}

#[test]
fn broken_archives_name_their_cause() {
    let good = zip(&[
        ("a.npy", npy("'<f4'", false, "(2,)", &[7; 8])),
        ("b.npy", npy("'<f4'", false, "(2,)", &[7; 8])),
    ]);
    assert!(matches!(zip_error(Vec::new()), ZipError::NoDirectory));
    assert!(matches!(zip_error(good[..good.len() - 5].to_vec()), ZipError::NoDirectory));
    let directory = good.len() - 22;

    let mut lying = good.clone();
    lying[directory + 10] = 0xff;
    assert!(matches!(zip_error(lying), ZipError::BrokenRecord { what: "directory", .. }));

    let start = u32::from_le_bytes(good[directory + 16..directory + 20].try_into().unwrap()) as usize;
    let second = start + 46 + 5;
    let mut overlapping = good.clone();
    let local: Vec<u8> = good[start + 42..start + 46].to_vec();
    overlapping.splice(second + 42..second + 46, local);
    assert!(matches!(zip_error(overlapping), ZipError::Overlap { name } if name == "b.npy"));

    let mut twice = good.clone();
    twice[second + 46] = b'a';
    assert!(matches!(zip_error(twice), ZipError::Duplicate { name } if name == "a.npy"));

    let mut encrypted = good.clone();
    encrypted[start + 8] |= 1;
    assert!(matches!(zip_error(encrypted), ZipError::Unsupported { .. }));

    let mut huge = good.clone();
    huge[second + 20..second + 24].copy_from_slice(&0x7fff_ffff_u32.to_le_bytes());
    assert!(matches!(zip_error(huge), ZipError::BrokenRecord { what: "local header or data", .. }));

    let mut name = good.clone();
    name[start + 46] = 0xff;
    assert!(matches!(zip_error(name), ZipError::Name { index: 0 }));

    // The bytes of a stored array are changed: its checksum tells.
    let mut flipped = good.clone();
    let at = good.windows(8).position(|w| w == [7; 8]).unwrap();
    flipped[at] ^= 1;
    let error = Npz::parse(flipped).unwrap().tensor("a").unwrap_err();
    assert!(matches!(error.root(), Error::Zip(ZipError::Checksum { .. })));
}

#[test]
fn bombs_cost_nothing() {
    // Ten million zeros in ten kilobytes: refused by the limit before anything is inflated.
    let zeros = npy("'|u1'", false, "(10000000,)", &vec![0; 10_000_000]);
    let bomb = zip(&[("a.npy", npy("'|u1'", false, "(0,)", &[])), ("bomb.npy", zeros)]);
    assert!(bomb.len() < 20_000);
    let npz = Npz::parse(bomb.clone()).unwrap().with_limit(1_000_000);
    let error = npz.tensor("bomb").unwrap_err();
    assert!(matches!(error.root(), Error::Zip(ZipError::TooLarge { limit: 1_000_000, .. })), "{error}");
    assert_eq!(Npz::parse(bomb).unwrap().tensor("bomb").unwrap().len(), 10_000_000);

    // A directory that promises a terabyte for a few bytes: the array's header contradicts it at once.
    let mut lie = zip(&[
        ("a.npy", npy("'|u1'", false, "(0,)", &[])),
        ("b.npy", npy("'|u1'", false, "(3,)", &[1, 2, 3])),
    ]);
    let at = lie.windows(5).rposition(|w| w == b"b.npy").unwrap() - 46;
    lie[at + 24..at + 28].copy_from_slice(&0xfff0_0000_u32.to_le_bytes());
    let error = Npz::parse(lie).unwrap_err();
    assert!(matches!(error.root(), Error::Npy(NpyError::Size { .. })), "{error}");
}

#[test]
fn headers_may_be_cut_anywhere() {
    let whole = npy("'<f4'", false, "(2,)", &[0; 8]);
    for end in 0..whole.len() {
        assert!(npy::parse(&whole[..end]).is_err(), "{end}");
    }
    assert_eq!(NpyHeader::parse(&whole).unwrap().descr, "<f4");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn round_trip(shape in prop::collection::vec(0_usize..5, 0..4), deflate: bool, seed: u32) {
        let n: usize = shape.iter().product();
        let numbers: Vec<f32> = (0..n).map(|i| (i as f32).mul_add(0.25, seed as f32)).collect();
        let view = TensorView::from_f32(&shape, &numbers).unwrap();
        let bytes = write_npz_bytes(&[("x", view.clone()), ("y", view)], deflate).unwrap();
        let npz = Npz::parse(bytes).unwrap();
        prop_assert_eq!(npz.f32("y").unwrap(), (shape, numbers));
    }

    #[test]
    fn fortran_order_is_a_transposition(rows in 1_usize..6, columns in 1_usize..6, planes in 1_usize..4) {
        let at = |i: usize, j: usize, k: usize| (i * 100 + j * 10 + k) as u16;
        let mut data = Vec::new();
        for k in 0..planes { for j in 0..columns { for i in 0..rows {
            data.extend(at(i, j, k).to_le_bytes());
        } } }
        let bytes = npy("'<u2'", true, &format!("({rows}, {columns}, {planes})"), &data);
        let got = npy::parse(&bytes).unwrap().to_i64().unwrap();
        let mut want = Vec::new();
        for i in 0..rows { for j in 0..columns { for k in 0..planes {
            want.push(i64::from(at(i, j, k)));
        } } }
        prop_assert_eq!(got, want);
    }

    #[test]
    fn mutations_never_panic(flips in prop::collection::vec((0_usize..2000, any::<u8>()), 1..6), cut in 0_usize..2000) {
        let view = TensorView::from_f32(&[3, 5], &[0.5; 15]).unwrap();
        let mut bytes = zip(&[("a.npy", npy::write(&view).unwrap()), ("b.npy", npy::write(&view).unwrap())]);
        for (at, value) in flips {
            let n = bytes.len();
            bytes[at % n] = value;
        }
        bytes.truncate(cut.max(20));
        if let Ok(npz) = Npz::parse(bytes) {
            for name in npz.names() {
                drop(npz.tensor(name));
            }
        }
    }
}
