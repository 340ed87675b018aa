//! PyTorch files: what `torch.save` writes (see `data/make.py`), and hostile pickles.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use anicrafter_tensorfile::pickle::{Pickle, PickleError, Value};
use anicrafter_tensorfile::zip::ZipWriter;
use anicrafter_tensorfile::{Dtype, Error, TensorInfo, TensorSource, write_torch_with};
use proptest::prelude::*;
use std::borrow::Cow;

const STATE: &[u8] = include_bytes!("data/state.pth");
const STATE4: &[u8] = include_bytes!("data/state4.pth");
const LIST: &[u8] = include_bytes!("data/list.pth");
const LEGACY: &[u8] = include_bytes!("data/legacy.pth");

#[test]
fn reads_zip_and_legacy_files_alike() {
    for bytes in [STATE, STATE4, LEGACY] {
        let file = Pickle::parse(bytes).unwrap();
        let f32 = |name: &str| file.f32(name).unwrap();
        let first: Vec<f32> = (0..12_u8).map(f32::from).collect();
        assert_eq!(f32("model_state.a.weight"), (vec![3, 4], first));
        let turned = [0.0, 4.0, 8.0, 1.0, 5.0, 9.0, 2.0, 6.0, 10.0, 3.0, 7.0, 11.0].to_vec();
        assert_eq!(f32("model_state.a.transposed"), (vec![4, 3], turned));
        assert_eq!(f32("model_state.a.row"), (vec![4], vec![8.0, 9.0, 10.0, 11.0]));
        assert_eq!(file.i64("model_state.a.repeated").unwrap(), (vec![3, 2], vec![8, -1, 8, -1, 8, -1]));
        assert_eq!(file.i64("model_state.alpha").unwrap(), (vec![], vec![8]));
        assert_eq!(f32("model_state.b.bias"), (vec![3], vec![1.0, 2.0, -1.0]));
        assert_eq!(file.info("model_state.b.bias").unwrap().dtype, Dtype::BF16);
        assert_eq!(file.root().get("step").and_then(Value::as_i64), Some(7));
    }
    let fp8 = Pickle::parse(STATE).unwrap();
    assert_eq!(fp8.f32("fp8").unwrap(), (vec![2, 2], vec![1.0, 448.0, -1.0, 0.0]));
}

#[test]
fn reads_lists_of_anything() {
    let file = Pickle::parse(LIST).unwrap();
    let items = file.root().as_list().unwrap();
    assert_eq!(file.view(items[0].as_tensor().unwrap()).unwrap().to_f32(), [0.0, 1.0, 2.0, 3.0]);
    assert_eq!(
        (items[1].as_f64(), items[2].as_i64(), items[3].as_str()),
        (Some(0.25), Some(1), Some("text"))
    );
    assert_eq!(items[4], Value::None);
    assert_eq!(items[5], Value::Tuple(vec![Value::Bool(true), Value::Int(1 << 40)]));
    assert_eq!(items[6], Value::Bytes(vec![0, 255]));
    assert_eq!(items[7], Value::List(vec![Value::Str("x".to_owned())]));
}

#[test]
fn reads_joblib_and_newer_protocols() {
    let files: [&[u8]; 3] = [
        include_bytes!("data/joblib.pkl"),
        include_bytes!("data/joblib_zlib.pkl"),
        include_bytes!("data/protocol5.pkl"),
    ];
    for bytes in files {
        let file = Pickle::parse(bytes).unwrap();
        assert_eq!(file.i64("who").unwrap(), (vec![2], vec![3, 4]));
        let numbers = vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
        assert_eq!(file.f64("rows").unwrap(), (vec![2, 3], numbers.clone()));
        assert_eq!(file.f64("columns").unwrap(), (vec![2, 3], numbers));
        let objects = file.root().get("objects").and_then(Value::as_list).unwrap();
        assert_eq!(objects[0].get("x"), Some(&Value::Float(0.5)));
        assert_eq!(objects[1].as_str(), Some("text"));
        let list = file.root().get("list").and_then(Value::as_list).unwrap();
        assert_eq!((list[1].as_f64(), list[2].as_i64()), (Some(1.5), Some(7)));
    }
    let packed: &[u8] = include_bytes!("data/joblib_zlib.pkl");
    assert!(matches!(error(packed[..packed.len() / 2].to_vec()), PickleError::Packed { .. }));
}

#[test]
fn reads_tensors_in_an_array_of_objects() {
    let file = Pickle::parse(&include_bytes!("data/track.npy")[..]).unwrap();
    let pose: Vec<f32> = (0..24_u8).map(f32::from).collect();
    assert_eq!(file.f32("0.pose").unwrap(), (vec![2, 3, 4], pose));
    assert_eq!(file.f32("0.turned").unwrap(), (vec![3, 2], vec![0.0, 3.0, 1.0, 4.0, 2.0, 5.0]));
    assert_eq!(file.i64("0.frame").unwrap(), (vec![2], vec![5, 6]));
    // An array of numbers is no pickle.
    let numbers = anicrafter_tensorfile::TensorView::from_f32(&[1], &[1.0]).unwrap();
    let npy = anicrafter_tensorfile::npy::write(&numbers).unwrap();
    assert!(matches!(error(npy), PickleError::NotPickle));
}

#[test]
fn pickles_within_pickles_have_an_end() {
    // _load_from_bytes(b"…_load_from_bytes(b"…")…"), again and again.
    let mut inner = b"\x80\x02N.".to_vec();
    for _ in 0..50 {
        let mut outer = b"\x80\x02ctorch.storage\n_load_from_bytes\nB".to_vec();
        outer.extend((inner.len() as u32).to_le_bytes());
        outer.extend(&inner);
        outer.extend(b"\x85R.");
        inner = outer;
    }
    assert!(matches!(error(inner), PickleError::TooMuch { .. }));
}

#[test]
fn writes_what_it_reads() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("made.pth");
    let info = |dtype, shape: &[usize]| TensorInfo { dtype, shape: shape.to_vec() };
    let tensors = [
        ("a.b", info(Dtype::F32, &[2, 2])),
        ("zeros", info(Dtype::BF16, &[3, 1])),
        ("s", info(Dtype::I64, &[])),
    ];
    write_torch_with(&path, &tensors, |name, info| {
        Ok((name != "zeros").then(|| Cow::Owned(vec![1; info.dtype.bytes_for(info.len()).unwrap()])))
    })
    .unwrap();
    let file = Pickle::open(&path).unwrap();
    assert_eq!(file.names(), ["a.b", "zeros", "s"]);
    assert_eq!(file.tensor("a.b").unwrap().bytes(), [1; 16]);
    assert_eq!(file.f32("zeros").unwrap(), (vec![3, 1], vec![0.0; 3]));
    let error = write_torch_with(&path, &tensors, |_, _| Ok(Some(Cow::Borrowed(&[0_u8][..])))).unwrap_err();
    assert!(error.to_string().contains("a.b"), "{error}");
    let quantised = [("q", info(Dtype::Q8_0, &[32]))];
    let error = write_torch_with(&path, &quantised, |_, _| Ok(None)).unwrap_err();
    assert!(matches!(error.root(), Error::Pickle(PickleError::StorageType { .. })));
}

/// A zip as PyTorch lays it out, of any pickle and storages.
fn archive(pickle: &[u8], storages: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    zip.stored("a/data.pkl", pickle, 1).unwrap();
    for (key, bytes) in storages {
        zip.stored(&format!("a/data/{key}"), bytes, 1).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn error(bytes: Vec<u8>) -> PickleError {
    match Pickle::parse(bytes) {
        Err(Error::Pickle(error)) => error,
        Err(Error::Tensor { cause, .. }) => match *cause {
            Error::Pickle(error) => error,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

/// A pickle of one f32 tensor: its storage of `elements`, first element, sizes and strides as protocol 0 numbers.
fn tensor(elements: i64, offset: i64, sizes: &[i64], strides: &[i64]) -> Vec<u8> {
    let list = |numbers: &[i64]| numbers.iter().map(|n| format!("I{n}\n")).collect::<String>();
    format!(
        "\u{80}\u{2}ctorch._utils\n_rebuild_tensor_v2\n((Vstorage\nctorch\nFloatStorage\nV0\nVcpu\nI{elements}\ntQI{offset}\n({}t({}tI00\nNtR.",
        list(sizes),
        list(strides)
    )
    .replace('\u{80}', "?")
    .into_bytes()
    .into_iter()
    .enumerate()
    .map(|(i, b)| if i == 0 { 0x80 } else { b })
    .collect()
}

#[test]
fn calls_are_refused_by_name() {
    let calls: [(&[u8], &str); 6] = [
        (b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R.", "os.system"),
        (b"\x80\x02cbuiltins\neval\nX\x01\x00\x00\x001\x85R.", "builtins.eval"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x02ls\x85R.", "os.system"),
        (b"\x80\x02cargparse\nNamespace\n)\x81}b.", "argparse.Namespace"),
        // A pickle within a pickle is read as data too.
        (
            b"\x80\x02ctorch.storage\n_load_from_bytes\nC\x17\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R.\x85R.",
            "os.system",
        ),
        (b"\x80\x02](cos\nsystem\ne.", "os.system"),
    ];
    for (pickle, name) in calls {
        for bytes in [pickle.to_vec(), archive(pickle, &[])] {
            assert!(matches!(error(bytes), PickleError::Forbidden { global } if global == name), "{name}");
        }
    }
    // INST and OBJ, the old ways to call.
    assert!(matches!(
        error(b"\x80\x02(ios\nsystem\n.".to_vec()),
        PickleError::Opcode { opcode: b'i', at: 3 }
    ));
    assert!(matches!(error(b"\x80\x02(cos\nsystem\no.".to_vec()), PickleError::Opcode { opcode: b'o', .. }));
}

#[test]
fn tensors_stay_inside_their_storages() {
    let bytes = 1.5_f32.to_le_bytes().repeat(6);
    let good = Pickle::parse(archive(&tensor(6, 0, &[2, 3], &[3, 1]), &[("0", &bytes)])).unwrap();
    assert_eq!(good.f32("").unwrap(), (vec![2, 3], vec![1.5; 6]));
    let bad = |pickle: Vec<u8>| error(archive(&pickle, &[("0", &bytes)]));
    assert!(matches!(bad(tensor(6, 1, &[2, 3], &[3, 1])), PickleError::OutOfStorage { available: 6, .. }));
    assert!(matches!(bad(tensor(6, 0, &[2, 4], &[3, 1])), PickleError::OutOfStorage { .. }));
    assert!(matches!(bad(tensor(6, 0, &[2], &[i64::MAX])), PickleError::OutOfStorage { .. }));
    assert!(matches!(bad(tensor(6, i64::MAX, &[1], &[1])), PickleError::OutOfStorage { .. }));
    assert!(matches!(bad(tensor(6, 0, &[i64::MAX, i64::MAX], &[0, 0])), PickleError::OutOfStorage { .. }));
    assert!(matches!(bad(tensor(6, 0, &[1 << 40], &[0])), PickleError::Expanded { .. }));
    assert!(matches!(bad(tensor(6, 0, &[-1], &[1])), PickleError::Arguments { .. }));
    assert!(matches!(bad(tensor(6, 0, &[2, 3], &[1])), PickleError::Arguments { .. }));
    assert!(matches!(bad(tensor(7, 0, &[6], &[1])), PickleError::Storage { expected: 28, found: 24, .. }));
    assert!(matches!(bad(tensor(i64::MAX, 0, &[6], &[1])), PickleError::Storage { found: 24, .. }));
    let missing = error(archive(&tensor(6, 0, &[6], &[1]), &[]));
    assert!(matches!(missing, PickleError::Storage { found: 0, .. }));
}

#[test]
fn broken_pickles_name_their_cause() {
    assert!(matches!(error(b"hello".to_vec()), PickleError::NotPickle));
    assert!(matches!(error(b"\x80\x02]".to_vec()), PickleError::Truncated { .. }));
    assert!(matches!(error(b"\x80\x02X\xff\xff\xff\xffa".to_vec()), PickleError::Truncated { .. }));
    assert!(matches!(
        error(b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\xffa".to_vec()),
        PickleError::Truncated { .. }
    ));
    assert!(matches!(error(b"\x80\x02.".to_vec()), PickleError::Broken { .. }));
    assert!(matches!(error(b"\x80\x02e.".to_vec()), PickleError::Broken { .. }));
    assert!(matches!(error(b"\x80\x02h\x07.".to_vec()), PickleError::Broken { .. }));
    assert!(matches!(error(b"\x80\x02}(K\x01u.".to_vec()), PickleError::Broken { .. }));
    assert!(matches!(error(b"\x80\x02NK\x01a.".to_vec()), PickleError::Broken { .. }));
    assert!(matches!(error(b"\x80\x02X\x01\x00\x00\x00\xff.".to_vec()), PickleError::Broken { .. }));
    assert!(matches!(error(b"\x80\x09N.".to_vec()), PickleError::Broken { .. }));
    let mut other = STATE.to_vec();
    let at = other.windows(6).position(|w| w == b"little").unwrap();
    other[at..at + 6].copy_from_slice(b"middle");
    assert!(Pickle::parse(other).is_err());
}

#[test]
fn explosions_are_cut_short() {
    // A list that contains itself.
    let cycle = b"\x80\x02]q\x00h\x00a.".to_vec();
    assert!(matches!(error(cycle), PickleError::TooMuch { what: "levels", .. }));

    // "Billion laughs": each list holds the previous one ten times.
    let mut laughs = b"\x80\x02]q\x00(K\x01K\x02e".to_vec();
    for level in 1..40_u8 {
        laughs.extend([b']', b'q', level, b'(']);
        for _ in 0..10 {
            laughs.extend([b'h', level - 1]);
        }
        laughs.push(b'e');
    }
    laughs.push(b'.');
    assert!(matches!(error(laughs), PickleError::TooMuch { what: "bytes of objects", .. }));

    // One large list copied over and over.
    let mut copies = b"\x80\x02](".to_vec();
    copies.extend([b'N'].repeat(100_000));
    copies.extend(b"eq\x00");
    for _ in 0..100_000 {
        copies.extend(b"cbuiltins\nlist\nh\x00\x85R0");
    }
    copies.push(b'.');
    assert!(matches!(error(copies), PickleError::TooMuch { what: "bytes of copies", .. }));
}

#[test]
fn legacy_files_may_lie() {
    let mut short = LEGACY.to_vec();
    short.truncate(short.len() - 1);
    assert!(matches!(error(short), PickleError::Storage { .. }));
    for end in 0..LEGACY.len() {
        assert!(Pickle::parse(LEGACY[..end].to_vec()).is_err(), "{end}");
    }
    // The number of elements in front of the last storage.
    let mut lie = LEGACY.to_vec();
    let at = lie.len() - 6 - 8;
    lie[at + 7] = 0x7f;
    assert!(matches!(error(lie), PickleError::Storage { .. }));
}

#[test]
fn numpy_numbers_and_arrays_are_data() {
    // numpy.float64(0.5) and numpy.arange(3, dtype="int16"), protocol 2.
    let scalar = b"\x80\x02cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(X\x02\x00\x00\x00f8K\x00K\x01tR\
        (K\x03X\x01\x00\x00\x00<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\
        c_codecs\nencode\n(X\x09\x00\x00\x00\x00\x00\x00\x00\x00\x00\xc3\xa0?X\x06\x00\x00\x00latin1tRtR.";
    assert_eq!(Pickle::parse(scalar.to_vec()).unwrap().root().as_f64(), Some(0.5));
    let array = b"\x80\x02cnumpy._core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tC\x01btR\
        (K\x01(K\x03tcnumpy\ndtype\n(X\x02\x00\x00\x00i2K\x00K\x01tR(K\x03X\x01\x00\x00\x00<NNNK\x00K\x00K\x00tb\
        \x89C\x06\x00\x00\x01\x00\x02\x00tb.";
    let file = Pickle::parse(array.to_vec()).unwrap();
    assert_eq!(file.i64("").unwrap(), (vec![3], vec![0, 1, 2]));
}

/// A TorchScript module's pickle: `__torch__.Net` with a child, a parameter in each, and flags.
fn script() -> Vec<u8> {
    let parameter = |key: &str| {
        let mut bytes = tensor(2, 0, &[2], &[1]);
        // Without the protocol in front and the end behind, under its own key.
        bytes.pop();
        String::from_utf8(bytes.split_off(2)).unwrap().replace("V0\n", &format!("V{key}\n"))
    };
    let (a, b) = (parameter("0"), parameter("1"));
    let text = |s: &str| format!("V{s}\n");
    let body = [
        "c__torch__\nNet\n)?}(".to_owned(),
        text("training") + "I00\n",
        text("weight") + &a,
        text("child")
            + "c__torch__.torch.nn.modules.linear.___torch_mangle_3\nLinear\n)?}("
            + &text("bias")
            + &b
            + "ub",
        text("sizes") + "ctorch.jit._pickle\nbuild_intlist\n(](K\x01K\x02etR",
        "ub.".to_owned(),
    ]
    .concat();
    let mut pickle = b"\x80\x02".to_vec();
    pickle.extend(body.bytes().map(|byte| if byte == b'?' { 0x81 } else { byte }));
    pickle
}

/// A TorchScript archive around a module's pickle, whose parameters are 1, 2 and 3, 4.
fn torchscript(pickle: &[u8]) -> Vec<u8> {
    let numbers = |x: f32, y: f32| [x.to_le_bytes(), y.to_le_bytes()].concat();
    archive(pickle, &[("0", &numbers(1.0, 2.0)), ("1", &numbers(3.0, 4.0))])
}

#[test]
fn torchscript_modules_are_what_they_hold() {
    let file = Pickle::parse(torchscript(&script())).unwrap();
    assert_eq!(file.names(), ["weight", "child.bias"]);
    assert_eq!(file.f32("child.bias").unwrap(), (vec![2], vec![3.0, 4.0]));
    assert_eq!(file.root().get("training").and_then(Value::as_i64), Some(0));
    assert_eq!(file.root().get("sizes"), Some(&Value::List(vec![Value::Int(1), Value::Int(2)])));
}

#[test]
fn torchscript_classes_stay_names() {
    // With arguments it would be a call; a second state, or the state of a class, isn't data.
    for pickle in [
        &b"\x80\x02c__torch__\nNet\nK\x01\x85\x81."[..],
        b"\x80\x02c__torch__\nNet\nK\x01\x85R.",
        b"\x80\x02c__torch__\nNet\n}b.",
        b"\x80\x02c__torch__\nNet\n.",
        b"\x80\x02c__torch__evil\nNet\n)\x81}b.",
        b"\x80\x02c__torch__\nNet\n)\x81}(X\x01\x00\x00\x00acos\nsystem\nub.",
    ] {
        assert!(matches!(error(archive(pickle, &[])), PickleError::Forbidden { .. }), "{pickle:?}");
    }
    let twice = b"\x80\x02c__torch__\nNet\n)\x81}b}b.";
    assert!(matches!(error(archive(twice, &[])), PickleError::Broken { .. }));
    // A module that holds itself has no end.
    let itself = b"\x80\x02c__torch__\nNet\n)\x81q\x00}(X\x01\x00\x00\x00ah\x00ub.";
    assert!(matches!(error(archive(itself, &[])), PickleError::TooMuch { .. }));
}

/// `ANICRAFTER_MUTATIONS=100000` tries for longer.
fn cases() -> u32 {
    std::env::var("ANICRAFTER_MUTATIONS").ok().and_then(|n| n.parse().ok()).unwrap_or(400)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn mutations_never_panic(which in 0_usize..5, flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8), cut in any::<prop::sample::Index>(), truncate: bool) {
        let scripted = torchscript(&script());
        let mut bytes = [STATE, STATE4, LIST, LEGACY, &scripted][which].to_vec();
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if truncate {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(file) = Pickle::parse(bytes) {
            for name in file.names() {
                drop(file.tensor(name));
            }
        }
    }

    /// The archive is sound, so that every change reaches the pickle's machine.
    #[test]
    fn mutated_scripts_never_panic(flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8), cut in any::<prop::sample::Index>(), truncate: bool) {
        let mut pickle = script();
        for (at, value) in flips {
            let at = at.index(pickle.len());
            pickle[at] = value;
        }
        if truncate {
            pickle.truncate(cut.index(pickle.len()));
        }
        if let Ok(file) = Pickle::parse(torchscript(&pickle)) {
            for name in file.names() {
                drop(file.tensor(name));
            }
        }
    }

    #[test]
    fn arbitrary_programs_never_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut bytes = b"\x80\x02".to_vec();
        bytes.extend(body);
        drop(Pickle::parse(bytes));
    }
}
