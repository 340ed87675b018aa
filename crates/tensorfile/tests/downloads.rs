//! What downloads leave behind, and what PyTorch writes beside plain tensors.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use anicrafter_tensorfile::gguf::GgufError;
use anicrafter_tensorfile::pickle::{Pickle, PickleError};
use anicrafter_tensorfile::safetensors::SafetensorsError;
use anicrafter_tensorfile::zip::ZipWriter;
use anicrafter_tensorfile::{
    Dtype, Error, Gguf, Npz, Safetensors, Shards, TensorInfo, TensorSource, TensorView, open, parse,
    safetensors_bytes, write_gguf_with,
};
use std::borrow::Cow;
use std::collections::BTreeMap;

const LFS: &[u8] = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 5368709120\n";

fn small() -> Vec<u8> {
    let view = TensorView::from_f32(&[100], &[1.5; 100]).unwrap();
    safetensors_bytes(&[("w", view)], &BTreeMap::new()).unwrap()
}

#[test]
fn what_isnt_a_tensor_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.safetensors");
    let mut tar = vec![0_u8; 600];
    tar[257..262].copy_from_slice(b"ustar");
    let impostors: [(&[u8], &str, &str); 10] = [
        (LFS, "Git LFS pointer, not the file itself (which has 5368709120 bytes)", "git lfs pull"),
        (b"<!DOCTYPE html><html><title>Access denied</title></html>", "a web page", "download it again"),
        (b" \n<html>", "a web page", "download it again"),
        (b"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>", "XML", "refused"),
        (b"\x89PNG\r\n\x1a\n and more", "a PNG picture", "file of tensors"),
        (b"", "an empty file", "again"),
        (br#"{"error":"Invalid credentials"}"#, "a JSON file", "answer"),
        (&[0; 4096], "zeros", "again"),
        (&tar, "a tar archive", "unpack"),
        (b"\x1f\x8b\x08\x00 and more", "a gzip file", "unpack"),
    ];
    for (bytes, kind, advice) in impostors {
        std::fs::write(&path, bytes).unwrap();
        // Whatever the reader was told to expect.
        for error in [
            open(&path).unwrap_err(),
            Safetensors::open(&path).unwrap_err(),
            Gguf::open(&path).unwrap_err(),
            Npz::open(&path).unwrap_err(),
            Pickle::open(&path).unwrap_err(),
        ] {
            let text = error.to_string();
            assert!(matches!(error.root(), Error::NotTensors { .. }), "{text}");
            for part in ["model.safetensors", kind, advice] {
                assert!(text.contains(part), "{text:?} lacks {part:?}");
            }
        }
    }
}

#[test]
fn half_a_file_says_how_much_there_should_be() {
    let whole = small();
    for len in [20, whole.len() - 1] {
        match parse(whole[..len].to_vec()) {
            Err(Error::Safetensors(SafetensorsError::Cut { expected, found })) => {
                assert_eq!(found, len as u64);
                assert!(expected > found && expected <= whole.len() as u64, "{expected}");
            }
            other => panic!("{other:?}"),
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.gguf");
    let info = TensorInfo { dtype: Dtype::F32, shape: vec![100] };
    write_gguf_with(&path, &[], &[("w", info)], |_, _| Ok(Some(Cow::Owned(vec![0; 400])))).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let cut = Gguf::parse(whole[..whole.len() - 100].to_vec());
    assert!(
        matches!(cut, Err(Error::Gguf(GgufError::Cut { expected, found })) if expected > found),
        "{cut:?}"
    );
}

#[test]
fn one_bad_shard_of_many_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let index = path("model.safetensors.index.json");
    std::fs::write(path("a.safetensors"), small()).unwrap();
    std::fs::write(path("b.safetensors"), LFS).unwrap();
    std::fs::write(&index, r#"{"weight_map":{"w":"a.safetensors","x":"b.safetensors"}}"#).unwrap();
    let text = Shards::open_index(&index).unwrap_err().to_string();
    assert!(text.contains("b.safetensors") && text.contains("LFS"), "{text}");
    std::fs::write(&index, LFS).unwrap();
    let text = Shards::open_index(&index).unwrap_err().to_string();
    assert!(text.contains("index.json") && text.contains("LFS"), "{text}");
    // The shards of an index may be of any format.
    std::fs::write(path("b.bin"), include_bytes!("data/legacy.pth")).unwrap();
    let map = r#"{"weight_map":{"w":"a.safetensors","model_state.a.row":"b.bin"}}"#;
    std::fs::write(path("pytorch_model.bin.index.json"), map).unwrap();
    let shards = Shards::open_index(path("pytorch_model.bin.index.json")).unwrap();
    assert_eq!(shards.f32("model_state.a.row").unwrap().1, [8.0, 9.0, 10.0, 11.0]);
}

#[test]
fn metadata_may_hold_more_than_text() {
    let header = r#"{"__metadata__":{"a":"b","n":3,"o":{"x":1},"z":null},"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#;
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.bytes());
    bytes.push(7);
    let file = Safetensors::parse(bytes).unwrap();
    assert_eq!(file.metadata_text("a").unwrap(), "b");
    assert_eq!(file.metadata_text("o").unwrap(), r#"{"x":1}"#);
    assert_eq!(file.metadata_text("absent"), None);
}

/// A PyTorch file of one f32 tensor of two numbers, rebuilt by `wrapped` around the plain call.
fn torch(before: &str, after: &str) -> Vec<u8> {
    let plain = "((Vstorage\nctorch\nFloatStorage\nV0\nVcpu\nI2\ntQI0\n(I2\nt(I1\ntI00\nNt";
    let pickle = [b"\x80\x02", before.as_bytes(), plain.as_bytes(), after.as_bytes(), b"."].concat();
    let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    zip.stored("a/data.pkl", &pickle, 1).unwrap();
    zip.stored("a/data/0", &[1.5_f32.to_le_bytes(), 2.5_f32.to_le_bytes()].concat(), 1).unwrap();
    zip.finish().unwrap().into_inner()
}

#[test]
fn tensors_with_attributes_are_tensors() {
    let with = |class: &str, inner: &str| {
        torch(
            &format!("ctorch._tensor\n_rebuild_from_type_v2\n(ctorch._utils\n{inner}\nctorch\n{class}\n"),
            "}VAuthor\nI1\nstR",
        )
    };
    let file = Pickle::parse(with("Tensor", "_rebuild_tensor_v2")).unwrap();
    assert_eq!(file.f32("").unwrap(), (vec![2], vec![1.5, 2.5]));
    let forbidden = |bytes: Vec<u8>| match Pickle::parse(bytes) {
        Err(Error::Pickle(PickleError::Forbidden { global })) => global,
        other => panic!("{other:?}"),
    };
    assert_eq!(forbidden(with("Mine", "_rebuild_tensor_v2")), "torch.Mine");
    assert_eq!(forbidden(with("Tensor", "call_anything")), "torch._utils.call_anything");
}

#[test]
fn archives_without_checksums_are_read() {
    let mut bytes = torch("ctorch._utils\n_rebuild_tensor_v2\n", "R");
    let crc = |bytes: &[u8], signature: &[u8]| {
        let at: Vec<usize> = (0..bytes.len() - 4).filter(|&i| bytes[i..].starts_with(signature)).collect();
        at
    };
    for at in crc(&bytes, b"PK\x01\x02") {
        bytes[at + 16..at + 20].fill(0);
    }
    assert_eq!(Pickle::parse(bytes.clone()).unwrap().f32("").unwrap().1, [1.5, 2.5]);
    for at in crc(&bytes, b"PK\x01\x02") {
        bytes[at + 16..at + 20].fill(1);
    }
    assert!(matches!(Pickle::parse(bytes), Err(Error::Zip(_))), "a wrong checksum is an error still");
}

#[test]
fn iq4_decodes_to_ggufs_numbers() {
    // From gguf-py 0.19 for the bytes 11 + 37 i, the scale 0.25.
    let first_last_sums = [
        (Dtype::IQ4NL, [-8.75, 6.25, 28.25, -12.25], [-26.0, -16.25, -8.75, 0.25], -64.25, -1665.5),
        (Dtype::IQ4XS, [16.25, -0.25, -17.25, 20.75], [416.0, 196.0, 88.0, -4.0], -2751.25, -520_032.25),
    ];
    for (dtype, first, last, sum, weighted) in first_last_sums {
        let mut bytes: Vec<u8> = (0..dtype.block_bytes()).map(|i| (i * 37 + 11) as u8).collect();
        bytes[..2].copy_from_slice(&[0x00, 0x34]);
        let numbers = TensorView::new(dtype, vec![dtype.block_len()], bytes).unwrap().to_f32();
        assert_eq!((&numbers[..4], &numbers[numbers.len() - 4..]), (&first[..], &last[..]), "{dtype}");
        assert_eq!(numbers.iter().sum::<f32>(), sum);
        let at = |(i, x): (usize, &f32)| i as f64 * f64::from(*x);
        assert_eq!(numbers.iter().enumerate().map(at).sum::<f64>(), weighted);
    }
}
