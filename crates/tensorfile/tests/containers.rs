//! Safetensors, sharded and not, and GGUF: round trips and hostile files.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use anicrafter_tensorfile::gguf::{GgufError, GgufValue};
use anicrafter_tensorfile::safetensors::SafetensorsError as Bad;
use anicrafter_tensorfile::{
    Dtype, Error, Gguf, Safetensors, Shards, TensorInfo, TensorSource, TensorView, open, parse,
    safetensors_bytes, write_gguf_with, write_npz, write_safetensors, write_safetensors_with,
};
use proptest::prelude::*;
use std::borrow::Cow;
use std::collections::BTreeMap;

fn none() -> BTreeMap<String, String> {
    BTreeMap::new()
}

fn view(shape: &[usize], first: f32) -> TensorView<'static> {
    let n: usize = shape.iter().product();
    let numbers: Vec<f32> = (0..n).map(|i| first + i as f32).collect();
    TensorView::from_f32(shape, &numbers).unwrap()
}

fn raw(header: &str, body: &[u8]) -> Vec<u8> {
    let mut out = (header.len() as u64).to_le_bytes().to_vec();
    out.extend(header.bytes());
    out.extend(body);
    out
}

fn bad(bytes: Vec<u8>) -> Bad {
    match Safetensors::parse(bytes) {
        Err(Error::Safetensors(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_lie_of_a_header_has_its_error() {
    let t = |rest: &str| format!(r#"{{"a":{{{rest}}}}}"#);
    assert!(matches!(bad(vec![1, 2, 3]), Bad::TooShort { found: 3 }));
    assert!(matches!(bad(vec![0xff; 16]), Bad::HeaderLength { limit: 8, .. }));
    assert!(matches!(bad(raw("{", &[])), Bad::HeaderJson { .. }));
    assert!(matches!(bad(raw("[]", &[])), Bad::HeaderJson { .. }));
    assert!(matches!(bad(raw("{} {}", &[])), Bad::HeaderJson { .. }));
    let minus = t(r#""dtype":"F32","shape":[-1],"data_offsets":[0,4]"#);
    assert!(matches!(bad(raw(&minus, &[0; 4])), Bad::HeaderJson { .. }));
    let odd = t(r#""dtype":"F4","shape":[1],"data_offsets":[0,4]"#);
    assert!(matches!(bad(raw(&odd, &[0; 4])), Bad::UnknownDtype { dtype, .. } if dtype == "F4"));
    let far = t(r#""dtype":"F32","shape":[1],"data_offsets":[0,4]"#);
    assert!(matches!(bad(raw(&far, &[0; 3])), Bad::Cut { found, expected } if expected == found + 1));
    let back = t(r#""dtype":"F32","shape":[1],"data_offsets":[4,0]"#);
    assert!(matches!(bad(raw(&back, &[0; 4])), Bad::Offsets { .. }));
    let gap = t(r#""dtype":"F32","shape":[1],"data_offsets":[4,8]"#);
    assert!(matches!(bad(raw(&gap, &[0; 8])), Bad::Layout { expected: 0, found: 4, .. }));
    let over = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#;
    assert!(matches!(bad(raw(over, &[0; 12])), Bad::Layout { expected: 8, found: 4, .. }));
    let size = t(r#""dtype":"F32","shape":[3],"data_offsets":[0,8]"#);
    assert!(matches!(bad(raw(&size, &[0; 8])), Bad::Size { found: 8, .. }));
    let absurd = t(r#""dtype":"F32","shape":[4294967296,4294967296,4294967296],"data_offsets":[0,0]"#);
    assert!(matches!(bad(raw(&absurd, &[])), Bad::Size { .. }));
    let trailing = t(r#""dtype":"F32","shape":[1],"data_offsets":[0,4]"#);
    assert!(matches!(bad(raw(&trailing, &[0; 5])), Bad::TrailingBytes { found: 1 }));
    let twice = r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#;
    assert!(matches!(bad(raw(twice, &[0])), Bad::Duplicate { name } if name == "a"));
}

#[test]
fn safetensors_round_trip_keeps_bytes_and_metadata() {
    let meta = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    let steps = TensorView::from_i64(&[], &[7]).unwrap();
    let half = TensorView::new(Dtype::BF16, vec![2], vec![0x80, 0x3f, 0, 0x40]).unwrap();
    let bytes = safetensors_bytes(&[("w", view(&[2, 2], 1.0)), ("é\"", half), ("s", steps)], &meta).unwrap();
    let file = Safetensors::parse(bytes).unwrap();
    assert_eq!(file.metadata(), &meta);
    assert_eq!(file.f32("é\"").unwrap(), (vec![2], vec![1.0, 2.0]));
    assert_eq!(file.i64("s").unwrap(), (vec![], vec![7]));
    assert!(matches!(file.tensor("x"), Err(Error::NoSuchTensor { .. })));
    let twice = safetensors_bytes(&[("w", view(&[1], 0.0)), ("w", view(&[1], 0.0))], &none());
    assert!(matches!(twice, Err(Error::Safetensors(Bad::Duplicate { .. }))));
    let blocks = TensorView::new(Dtype::Q8_0, vec![32], vec![0; 34]).unwrap();
    let error = safetensors_bytes(&[("q", blocks)], &none()).unwrap_err();
    assert!(matches!(error.root(), Error::Safetensors(Bad::Unwritable { .. })));
}

#[test]
fn holes_cost_no_disk() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("big.safetensors");
    let infos = [
        ("huge", TensorInfo { dtype: Dtype::BF16, shape: vec![1 << 15, 1 << 15] }),
        ("small", TensorInfo { dtype: Dtype::F32, shape: vec![2] }),
    ];
    write_safetensors_with(&path, &infos, &none(), |name, _| {
        Ok((name == "small").then(|| Cow::Owned([1_f32.to_le_bytes(), 2_f32.to_le_bytes()].concat())))
    })
    .unwrap();
    assert!(std::fs::metadata(&path).unwrap().len() > 2 << 30);
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        assert!(std::fs::metadata(&path).unwrap().blocks() * 512 < 1 << 20);
    }
    let file = open(&path).unwrap();
    assert_eq!(file.f32("small").unwrap().1, [1.0, 2.0]);
    assert_eq!(file.tensor("huge").unwrap().bytes()[..4], [0; 4]);
    file.prefetch("small");
    file.release("huge");
    assert_eq!(file.f32("small").unwrap().1, [1.0, 2.0]);
    let wrong = write_safetensors_with(&path, &infos, &none(), |_, _| Ok(Some(Cow::Borrowed(&[1_u8][..]))));
    assert!(matches!(wrong.unwrap_err().root(), Error::Safetensors(Bad::Filled { found: 1, .. })));
}

#[test]
fn shards_with_and_without_an_index() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    write_safetensors(path("1.safetensors"), &[("a", view(&[2], 0.0))], &none()).unwrap();
    write_safetensors(path("2.safetensors"), &[("b", view(&[3], 5.0))], &none()).unwrap();
    let shards = Shards::open(&[path("1.safetensors"), path("2.safetensors")]).unwrap();
    assert_eq!((shards.names(), shards.f32("b").unwrap().1), (vec!["a", "b"], vec![5.0, 6.0, 7.0]));
    let twice = Shards::open(&[path("1.safetensors"), path("1.safetensors")]).unwrap_err();
    assert!(matches!(twice.root(), Error::Safetensors(Bad::Duplicate { .. })));

    let index = |map: &str| {
        std::fs::write(
            path("index.json"),
            format!(r#"{{"metadata":{{"total_size":20}},"weight_map":{map}}}"#),
        )
        .unwrap();
        Shards::open_index(path("index.json"))
    };
    let good = index(r#"{"a":"1.safetensors","b":"2.safetensors"}"#).unwrap();
    assert_eq!(good.info("b").unwrap().shape, [3]);
    let swapped = index(r#"{"a":"2.safetensors","b":"2.safetensors"}"#).unwrap_err();
    assert!(matches!(swapped.root(), Error::Safetensors(Bad::NotInShard { name, .. }) if name == "a"));
    let absent = index(r#"{"a":"3.safetensors"}"#).unwrap_err();
    assert!(matches!(absent.root(), Error::Io(_)) && absent.to_string().contains("3.safetensors"));
    for outside in ["../1.safetensors", "/etc/passwd", "a/b", "c:\\\\x", "..", ""] {
        let error = index(&format!(r#"{{"a":"{outside}"}}"#)).unwrap_err();
        assert!(matches!(error.root(), Error::Safetensors(Bad::ShardPath { .. })), "{outside}: {error}");
    }
    for broken in ["{}", "3", r#"{"a":1}"#] {
        assert!(matches!(index(broken).unwrap_err().root(), Error::Safetensors(Bad::Index { .. })));
    }
}

fn gguf(tensors: &[(&str, TensorInfo)], metadata: &[(&str, GgufValue)]) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.gguf");
    write_gguf_with(&path, metadata, tensors, |_, info| {
        Ok(Some(Cow::Owned((0..info.dtype.bytes_for(info.len()).unwrap()).map(|i| i as u8).collect())))
    })
    .unwrap();
    std::fs::read(path).unwrap()
}

fn info(dtype: Dtype, shape: &[usize]) -> TensorInfo {
    TensorInfo { dtype, shape: shape.to_vec() }
}

#[test]
fn gguf_round_trip_with_five_axes() {
    let metadata = [("general.architecture", GgufValue::Text("wan".to_owned())), ("n", GgufValue::Int(3))];
    let tensors = [
        ("patch_embedding.weight", info(Dtype::F16, &[4, 3, 1, 2, 2])),
        ("q", info(Dtype::Q4_0, &[2, 64])),
        ("half", info(Dtype::BF16, &[3])),
    ];
    let file = Gguf::parse(gguf(&tensors, &metadata)).unwrap();
    assert_eq!(file.get("general.architecture").and_then(GgufValue::as_str), Some("wan"));
    for (name, expected) in &tensors {
        assert_eq!(file.info(name).as_ref(), Some(expected));
        assert_eq!(file.tensor(name).unwrap().to_f32().len(), expected.len());
    }
}

fn bad_gguf(bytes: Vec<u8>) -> GgufError {
    match Gguf::parse(bytes) {
        Err(Error::Gguf(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_lie_of_a_gguf_has_its_error() {
    let good = gguf(&[("ab", info(Dtype::F32, &[4])), ("cd", info(Dtype::F32, &[4]))], &[]);
    let edit = |at: usize, with: &[u8]| {
        let mut bytes = good.clone();
        bytes[at..at + with.len()].copy_from_slice(with);
        bad_gguf(bytes)
    };
    assert!(matches!(edit(0, b"GGML"), GgufError::NotGguf));
    assert!(matches!(edit(4, &[0, 0, 0, 3]), GgufError::Version { .. }));
    assert!(matches!(edit(8, &[0xff; 8]), GgufError::Count { what: "tensors", .. }));
    assert!(matches!(edit(16, &[0xff; 8]), GgufError::Count { what: "metadata entries", .. }));
    // First tensor: name length at 24, name at 32, axes at 34, extent at 38, type at 46, offset at 50.
    assert!(matches!(edit(24, &[0xff; 8]), GgufError::Truncated { at: 32 }));
    assert!(matches!(edit(32, &[0xff]), GgufError::Text { at: 32 }));
    assert!(matches!(edit(34, &[9]), GgufError::Count { what: "axes of a tensor", .. }));
    assert!(matches!(edit(38, &[0xff; 8]), GgufError::Shape { .. }));
    assert!(matches!(edit(38, &[0, 1]), GgufError::Cut { expected, found } if expected > found));
    assert!(matches!(edit(46, &[16]), GgufError::TensorType { found: 16, .. }));
    assert!(matches!(edit(46, &[2]), GgufError::Shape { .. }));
    assert!(matches!(edit(50, &[0xff; 8]), GgufError::Range { .. }));
    assert!(matches!(edit(50, &[24]), GgufError::Overlap { .. }));
    // The second tensor's name: its length at 58, the name at 66.
    assert!(matches!(edit(66, b"ab"), GgufError::Duplicate { .. }));
    for end in 0..good.len() {
        assert!(Gguf::parse(good[..end].to_vec()).is_err(), "{end}");
    }
    let alignment = gguf(&[("ab", info(Dtype::F32, &[4]))], &[("general.alignment", GgufValue::Int(24))]);
    assert!(matches!(bad_gguf(alignment), GgufError::Alignment { found: 24 }));
    // An array nested in arrays: kind 9 at 4 levels and more.
    let mut nested = b"GGUF\x03\0\0\0".to_vec();
    nested.extend(0_u64.to_le_bytes());
    nested.extend(1_u64.to_le_bytes());
    nested.extend(1_u64.to_le_bytes());
    nested.extend(b"k");
    nested.extend(9_u32.to_le_bytes());
    for _ in 0..6 {
        nested.extend(9_u32.to_le_bytes());
        nested.extend(1_u64.to_le_bytes());
    }
    assert!(matches!(bad_gguf(nested), GgufError::ValueType { found: 9, .. }));
}

#[test]
fn recorded_original_shapes_are_restored() {
    // What converters write that can't store five axes: the shape beside the tensor.
    let stored = gguf(&[("p", info(Dtype::F32, &[4, 6]))], &[]);
    let with_shape = |shape: &[i32]| {
        let mut out = stored[..16].to_vec();
        out.extend(1_u64.to_le_bytes());
        let key = "comfy.gguf.orig_shape.p";
        out.extend((key.len() as u64).to_le_bytes());
        out.extend(key.bytes());
        out.extend(9_u32.to_le_bytes());
        out.extend(5_u32.to_le_bytes());
        out.extend((shape.len() as u64).to_le_bytes());
        out.extend(shape.iter().flat_map(|d| d.to_le_bytes()));
        // Tensor: name (8 + 1), axes 4, extents 16, type 4, offset 8.
        out.extend(&stored[24..24 + 41]);
        out.resize(out.len().next_multiple_of(32), 0);
        out.extend([0; 96]);
        Gguf::parse(out)
    };
    assert_eq!(with_shape(&[4, 3, 1, 1, 2]).unwrap().info("p").unwrap().shape, [4, 3, 1, 1, 2]);
    for wrong in [&[4, 3][..], &[-4, -6], &[]] {
        assert!(matches!(with_shape(wrong), Err(Error::Gguf(GgufError::OriginalShape { .. }))), "{wrong:?}");
    }
}

#[test]
fn files_are_known_by_what_they_hold() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("misnamed.bin");
    write_npz(&path, &[("x", view(&[2], 1.0))], false).unwrap();
    assert_eq!(open(&path).unwrap().names(), ["x"]);
    assert_eq!(parse(gguf(&[("g", info(Dtype::I8, &[3]))], &[])).unwrap().names(), ["g"]);
    assert_eq!(parse(include_bytes!("data/legacy.pth").as_slice()).unwrap().names().len(), 6);
    assert!(matches!(parse(b"anything".to_vec()), Err(Error::UnknownFormat)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn mutated_files_never_panic(which in 0_usize..2, flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8), cut in any::<prop::sample::Index>(), truncate: bool) {
        let mut bytes = if which == 0 {
            safetensors_bytes(&[("a", view(&[2, 3], 0.0)), ("b", view(&[1], 0.0))], &none()).unwrap()
        } else {
            gguf(&[("a", info(Dtype::Q5K, &[256])), ("b", info(Dtype::F16, &[3]))], &[("k", GgufValue::Bool(true))])
        };
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if truncate {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(file) = parse(bytes) {
            for name in file.names() {
                if let Ok(view) = file.tensor(name) {
                    drop(view.to_f32());
                }
            }
        }
    }

    #[test]
    fn any_quantised_bytes_decode(bytes in prop::collection::vec(any::<u8>(), 292)) {
        for dtype in [Dtype::Q4_0, Dtype::Q4_1, Dtype::Q5_0, Dtype::Q5_1, Dtype::Q8_0, Dtype::Q8_1, Dtype::Q2K, Dtype::Q3K, Dtype::Q4K, Dtype::Q5K, Dtype::Q6K, Dtype::Q8K, Dtype::IQ4NL, Dtype::IQ4XS] {
            let block = &bytes[..dtype.block_bytes()];
            let view = TensorView::new(dtype, vec![dtype.block_len()], block).unwrap();
            prop_assert_eq!(view.to_f32().len(), dtype.block_len());
        }
    }
}
