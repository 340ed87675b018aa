//! Avatar files: round trips, and files that are damaged or lie.
#![allow(clippy::unwrap_used, reason = "tests")]

use anicrafter_avatar_render::{Avatar, Colors, Error, Gaussians, LhmBody, sh, synthetic};
use proptest::prelude::*;

fn plain(degree: u8) -> Avatar {
    let mut gaussians = synthetic::avatar(20, 2.0, 3);
    if degree > 0 {
        let n = 20 * sh::n_coefficients(degree) * 3;
        let mut random = synthetic::Random::new(5);
        let coefficients = (0..n).map(|_| random.within(-0.5, 0.5)).collect();
        gaussians.colors = Colors::Sh { degree, coefficients };
    }
    Avatar { gaussians, lhm: None }
}

fn with_body() -> Avatar {
    let mut avatar = plain(0);
    let query: Vec<[f32; 3]> = avatar.gaussians.means.iter().map(|m| [m[0] - 0.25, m[1], m[2]]).collect();
    let offset = vec![[0.25, 0.0, 0.0]; 20];
    let mut joint = smplx::AFFINE_IDENTITY;
    joint[1][3] = 0.125;
    avatar.lhm = Some(LhmBody {
        query,
        offset,
        neutral_to_zero: Box::new([joint; smplx::N_JOINTS]),
        betas: vec![0.5, -1.25, 3.0],
        body_ratio: 0.75,
        has_face: true,
    });
    avatar
}

fn bytes_of(avatar: &Avatar, ending: &str) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(format!("avatar.{ending}"));
    avatar.save(&path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(Avatar::open(&path).unwrap().gaussians.len(), avatar.gaussians.len());
    bytes
}

fn assert_near(a: &[f32], b: &[f32]) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        assert!((a - b).abs() <= 2e-6 * (1.0 + b.abs()), "{a} {b}");
    }
}

fn assert_same(a: &Gaussians, b: &Gaussians) {
    assert_eq!(a.means, b.means);
    assert_near(a.scales.as_flattened(), b.scales.as_flattened());
    assert_near(a.rotations.as_flattened(), b.rotations.as_flattened());
    assert_near(&a.opacities, &b.opacities);
    match (&a.colors, &b.colors) {
        (Colors::Rgb(a), Colors::Rgb(b)) => assert_near(a.as_flattened(), b.as_flattened()),
        (a, b) => assert_eq!(a, b),
    }
}

#[test]
fn an_independent_reader_sees_the_same_splats() {
    use ply_rs_bw::ply::{DefaultElement, Property};
    let avatar = plain(1);
    let bytes = bytes_of(&avatar, "ply");
    let parser = ply_rs_bw::parser::Parser::<DefaultElement>::new();
    let ply = parser.read_ply(&mut bytes.as_slice()).unwrap();
    let vertices = &ply.payload["vertex"];
    let g = &avatar.gaussians;
    assert_eq!(vertices.len(), g.len());
    for (i, vertex) in vertices.iter().enumerate() {
        let number = |name: &str| match vertex.get(name) {
            Some(Property::Float(x)) => *x,
            other => panic!("{name}: {other:?}"),
        };
        assert_eq!(["x", "y", "z"].map(number), g.means[i]);
        assert_near(&["scale_0", "scale_1", "scale_2"].map(|n| number(n).exp()), &g.scales[i]);
        assert_near(&["rot_0", "rot_1", "rot_2", "rot_3"].map(number), &g.rotations[i]);
        assert_near(&[1.0 / (1.0 + (-number("opacity")).exp())], &[g.opacities[i]]);
        // The coefficients behind the first lie channel by channel: three of red, three of green, three of blue.
        let Colors::Sh { coefficients, .. } = &g.colors else { panic!("degree 1 has harmonics") };
        let ours = &coefficients[12 * i..12 * (i + 1)];
        assert_eq!(["f_dc_0", "f_dc_1", "f_dc_2"].map(number), ours[..3]);
        for k in 0..9 {
            assert_eq!(number(&format!("f_rest_{k}")), ours[3 + 3 * (k % 3) + k / 3], "f_rest_{k}");
        }
    }
}

#[test]
fn ply_round_trip() {
    for degree in 0..=3 {
        let avatar = plain(degree);
        assert_same(&Avatar::parse(bytes_of(&avatar, "ply")).unwrap().gaussians, &avatar.gaussians);
    }
}

#[test]
fn safetensors_round_trip_is_exact() {
    for avatar in [plain(0), plain(2), plain(3), with_body()] {
        assert_eq!(Avatar::parse(bytes_of(&avatar, "safetensors")).unwrap(), avatar);
    }
}

#[test]
fn ply_of_other_writers() {
    let names = "x y z f_dc_0 f_dc_1 f_dc_2 opacity scale_0 scale_1 scale_2 rot_0 rot_1 rot_2 rot_3";
    let properties: String = names.split(' ').map(|n| format!("property double {n}\n")).collect();
    let values = [1.0, -2.0, 3.5, 0.0, 1.0, -9.0, 0.0, -1.0, -2.0, -3.0, 0.0, 0.0, 0.0, -2.0];
    let text: String = values.map(|v| v.to_string()).join(" ");
    let header = |format: &str| {
        format!(
            "ply\r\nformat {format} 1.0\r\ncomment made by hand\nelement other 2\nproperty uchar a\n\
             property short b\nelement vertex 1\n{properties}element face 1\nproperty list uchar int i\nend_header\n"
        )
    };
    let ascii = format!("{}1 2\n3 4\n{text}\n3 0 0 0\n", header("ascii")).into_bytes();
    let mut little = header("binary_little_endian").into_bytes();
    little.extend([0; 6]);
    little.extend(values.iter().flat_map(|v: &f64| v.to_le_bytes()));
    let mut big = header("binary_big_endian").into_bytes();
    big.extend([0; 6]);
    big.extend(values.iter().flat_map(|v: &f64| v.to_be_bytes()));
    for bytes in [ascii, little, big] {
        let g = Avatar::parse(bytes).unwrap().gaussians;
        assert_eq!((g.means[0], g.opacities[0], g.rotations[0]), ([1.0, -2.0, 3.5], 0.5, [0., 0., 0., -1.]));
        let Colors::Rgb(rgb) = &g.colors else { panic!("degree 0 is read as colours") };
        assert_near(&rgb[0], &[0.5, 0.782_094_8, 0.0]);
        assert_near(&g.scales[0], &[(-1.0_f32).exp(), (-2.0_f32).exp(), (-3.0_f32).exp()]);
    }
}

#[test]
fn lying_plys() {
    let ply = String::from_utf8_lossy(&bytes_of(&plain(0), "ply")[..40]).into_owned();
    assert!(ply.starts_with("ply\nformat binary_little_endian 1.0\n"));
    let header = |count: &str, properties: &str| {
        format!("ply\nformat binary_little_endian 1.0\nelement vertex {count}\n{properties}end_header\n")
            .into_bytes()
    };
    let all = "x y z f_dc_0 f_dc_1 f_dc_2 opacity scale_0 scale_1 scale_2 rot_0 rot_1 rot_2 rot_3";
    let all: String = all.split(' ').map(|n| format!("property float {n}\n")).collect();
    let refused = |bytes: Vec<u8>, part: &str| match Avatar::parse(bytes) {
        Err(error @ (Error::Ply(_) | Error::HarmonicCount { .. })) => {
            assert!(error.to_string().contains(part), "{error}");
        }
        other => panic!("{other:?}"),
    };
    refused(header("18446744073709551615", &all), "don't fit");
    refused(header("1000000000", &all), "don't fit");
    refused(header("99999999999999999999999", &all), "count");
    refused(header("-1", &all), "count");
    refused(header("0", "property float x\n"), "no property \"y\"");
    refused(header("1", "property list uchar int x\n"), "list");
    refused(header("1", "property quaternion x\n"), "type");
    refused(header("0", &format!("{all}property float f_rest_0\n")), "1 properties");
    refused(b"ply\nformat ascii 2.0\nend_header\n".to_vec(), "no format");
    refused(b"ply\nformat ascii 1.0\nend_header\n".to_vec(), "vertex");
    refused(b"ply\nformat ascii 1.0\nelement vertex 4\n".to_vec(), "no end");
    assert_eq!(Avatar::parse(header("0", &all)).unwrap().gaussians.len(), 0);
    let mut nan = header("1", &all);
    nan.extend([0xff; 14 * 4]);
    assert!(matches!(Avatar::parse(nan), Err(Error::NotFinite { field: "mean", index: 0 })));
}

#[test]
fn files_of_other_kinds() {
    assert!(matches!(Avatar::parse(b"GIF89a".to_vec()), Err(Error::NotAnAvatar { .. })));
    assert!(matches!(Avatar::parse(Vec::new()), Err(Error::NotAnAvatar { .. })));
    assert!(matches!(Avatar::open("/does/not/exist.ply"), Err(Error::Io { .. })));
    assert!(matches!(plain(0).save("avatar.obj"), Err(Error::UnknownFormat { .. })));
    // os.system("true"): refused, not run.
    let code = b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R.".to_vec();
    assert!(matches!(Avatar::parse(code), Err(Error::Container(_))));
    // An honest pickle of something else: [1, 2].
    assert!(matches!(Avatar::parse(b"\x80\x02]q\x00(K\x01K\x02e.".to_vec()), Err(Error::Lhm { .. })));
    // A safetensors file of something else.
    let mut other = 2_u64.to_le_bytes().to_vec();
    other.extend(b"{}");
    assert!(matches!(Avatar::parse(other), Err(Error::Metadata { .. })));
    assert!(matches!(plain(0).points(&[]), Err(Error::NoBody)));
}

/// A `.spz` of two Gaussians, version 2, degree 1: the second lies at (1, -0.5, 0), is opaque and turned half about y.
fn spz_data() -> Vec<u8> {
    let mut data = Vec::new();
    data.extend(0x5053_474e_u32.to_le_bytes());
    data.extend(2_u32.to_le_bytes());
    data.extend(2_u32.to_le_bytes());
    data.extend([1, 12, 0, 0]);
    let fixed = |x: f32| ((x * 4096.0) as i32).to_le_bytes();
    for x in [0.0, 0.0, 0.0, 1.0, -0.5, 0.0] {
        data.extend(&fixed(x)[..3]);
    }
    data.extend([0, 255]);
    data.extend([0, 0, 0, 255, 128, 0]);
    data.extend([160, 160, 160, 144, 160, 176]);
    data.extend([128, 128, 128, 128, 255, 128]);
    data.extend([128; 9]);
    data.extend([0, 128, 128, 128, 128, 128, 128, 128, 255]);
    data
}

fn spz() -> Vec<u8> {
    repacked(&spz_data())
}

#[test]
fn spz_is_unpacked() {
    let g = Avatar::parse(spz()).unwrap().gaussians;
    assert_eq!((g.means[1], g.opacities[1]), ([1.0, -0.5, 0.0], 1.0));
    assert_near(&g.scales[1], &[(-1.0_f32).exp(), 1.0, 1.0_f32.exp()]);
    assert!((g.rotations[1][2] - 1.0).abs() < 1e-2, "{:?}", g.rotations[1]);
    let Colors::Sh { degree: 1, coefficients } = &g.colors else { panic!("degree 1 has harmonics") };
    assert_near(&coefficients[12..16], &[0.5 / 0.15, (128.0 / 255.0 - 0.5) / 0.15, -0.5 / 0.15, -1.0]);
    // Cut, promising more than there is, of another version, of something else.
    let good = spz();
    for (bytes, word) in [(good[..good.len() - 9].to_vec(), "damaged"), (b"\x1f\x8b\x08".to_vec(), "damaged")]
    {
        let error = Avatar::parse(bytes).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn splat_is_known_by_its_name() {
    let mut bytes = Vec::new();
    for x in [0.5_f32, 1.0, -2.0, 0.01, 0.02, 0.03] {
        bytes.extend(x.to_le_bytes());
    }
    bytes.extend([255, 0, 51, 204, 128, 128, 255, 128]);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.splat");
    std::fs::write(&path, &bytes).unwrap();
    let g = Avatar::open(&path).unwrap().gaussians;
    assert_eq!((g.means[0], g.scales[0], g.opacities[0]), ([0.5, 1.0, -2.0], [0.01, 0.02, 0.03], 0.8));
    assert_eq!((g.colors, g.rotations[0]), (Colors::Rgb(vec![[1.0, 0.0, 0.2]]), [0.0, 0.0, 1.0, 0.0]));
    std::fs::write(&path, &bytes[..31]).unwrap();
    let error = Avatar::open(&path).unwrap_err();
    assert!(matches!(error, Error::File { .. }));
}

/// SuperSplat's `.ply` with harmonics; all Gaussians but the last lie in their chunk's lower corner.
fn compressed(chunks: usize, vertices: u32) -> Vec<u8> {
    let bounds = ["x", "y", "z", "scale_x", "scale_y", "scale_z", "r", "g", "b"];
    let [low, high] = ["min_", "max_"].map(|end| bounds.map(|name| format!("{end}{name}")));
    let chunk: String = low.iter().chain(&high).map(|name| format!("property float {name}\n")).collect();
    let packed =
        ["position", "rotation", "scale", "color"].map(|n| format!("property uint packed_{n}\n")).concat();
    let sh: String = (0..9).map(|i| format!("property uchar f_rest_{i}\n")).collect();
    let mut bytes = format!(
            "ply\nformat binary_little_endian 1.0\nelement chunk {chunks}\n{chunk}element vertex {vertices}\n{packed}element sh {vertices}\n{sh}end_header\n"
        )
        .into_bytes();
    for _ in 0..chunks {
        for x in [
            -1.0_f32, 0.0, 2.0, -5.0, -5.0, -5.0, 0.0, 0.0, 0.5, 1.0, 4.0, 3.0, -3.0, -3.0, -3.0, 1.0, 1.0,
            1.0,
        ] {
            bytes.extend(x.to_le_bytes());
        }
    }
    let no_turn = 511_u32 << 20 | 511 << 10 | 511;
    for i in 0..vertices {
        let position = if i == vertices - 1 { u32::MAX } else { 0 };
        for word in [position, no_turn, u32::MAX, 0xff00_0080] {
            bytes.extend(word.to_le_bytes());
        }
    }
    for _ in 0..vertices {
        bytes.extend([0, 255, 127, 128, 128, 128, 128, 128, 255]);
    }
    bytes
}

#[test]
fn compressed_ply_is_unpacked() {
    // More than a chunk of 256.
    let g = Avatar::parse(compressed(2, 300)).unwrap().gaussians;
    assert_eq!((g.len(), g.means[0], g.means[299]), (300, [-1.0, 0.0, 2.0], [1.0, 4.0, 3.0]));
    assert_near(&g.scales[7], &[(-3.0_f32).exp(); 3]);
    assert_near(&g.rotations[7], &[1.0, -0.000_691, -0.000_691, -0.000_691]);
    assert_near(&[g.opacities[7]], &[128.0 / 255.0]);
    let Colors::Sh { degree: 1, coefficients } = &g.colors else { panic!("degree 1 has harmonics") };
    assert_near(&[g.color_from(0, g.means[0])[2]], &[0.5]);
    // The three coefficients of red are the first three bytes.
    assert_near(&[coefficients[3], coefficients[6], coefficients[11]], &[-4.0, 4.0, 4.0]);
    assert!(matches!(
        Avatar::parse(compressed(1, 300)),
        Err(Error::Length { field: "chunk", expected: 2, got: 1 })
    ));
    let cut = compressed(2, 300);
    assert!(Avatar::parse(cut[..cut.len() - 1].to_vec()).is_err());
}

#[test]
fn gaussians_that_are_not_finite_are_left_out_and_counted() {
    let mut avatar = plain(2);
    avatar.gaussians.means[3][1] = f32::NAN;
    avatar.gaussians.scales[7][0] = f32::INFINITY;
    if let Colors::Sh { coefficients, .. } = &mut avatar.gaussians.colors {
        coefficients[27 * 9 + 4] = f32::NAN;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("holes.ply");
    std::fs::write(&path, ply_with(&avatar.gaussians)).unwrap();
    let (read, left_out) = Avatar::open_counting(&path).unwrap();
    assert_eq!((read.gaussians.len(), left_out), (17, 3));
    assert_eq!(read.gaussians.means[3], avatar.gaussians.means[4]);
    read.gaussians.check().unwrap();
    read.gaussians.check_finite().unwrap();
}

/// A `.ply` as [`Avatar::save`] would write it if it wrote what isn't finite.
fn ply_with(g: &Gaussians) -> Vec<u8> {
    let Colors::Sh { coefficients, .. } = &g.colors else { panic!("harmonics") };
    let mut text = format!("ply\nformat ascii 1.0\nelement vertex {}\n", g.len());
    let names = "x y z opacity scale_0 scale_1 scale_2 rot_0 rot_1 rot_2 rot_3 f_dc_0 f_dc_1 f_dc_2";
    for name in names.split(' ').map(str::to_owned).chain((0..24).map(|i| format!("f_rest_{i}"))) {
        text += &format!("property float {name}\n");
    }
    text += "end_header\n";
    for i in 0..g.len() {
        let mut row = g.means[i].to_vec();
        row.push(0.5);
        row.extend(g.scales[i].map(f32::ln));
        row.extend(g.rotations[i]);
        row.extend(&coefficients[27 * i..27 * (i + 1)]);
        let words: Vec<String> = row.iter().map(ToString::to_string).collect();
        text += &(words.join(" ") + "\n");
    }
    text.into_bytes()
}

#[test]
fn what_is_no_avatar_is_named() {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes, word) in [
        ("a.ply", b"".as_slice(), "empty"),
        ("b.pth", b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        ("c.pth", b"<!DOCTYPE html><html>", "web page"),
        ("d.ksplat", &[0, 1, 0, 0, 9], "ksplat"),
        ("e.sog", b"PK\x03\x04aaaa", "sog"),
        ("f.glb", b"glTF\x02\0\0\0", "glTF"),
        ("g.ply", b"ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nproperty uchar red\nend_header\n1 2\n", "points"),
    ] {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let error = Avatar::open(&path).unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(error.to_string().contains(name) && cause.contains(word) && !cause.contains(name), "{error}: {cause}");
    }
}

/// `ANICRAFTER_MUTATIONS=100000` tries for longer.
fn cases() -> u32 {
    std::env::var("ANICRAFTER_MUTATIONS").ok().and_then(|n| n.parse().ok()).unwrap_or(64)
}

/// As the unpacked bytes of a file of this kind, packed again, so that changes reach more than a checksum.
fn repacked(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut packed, bytes).unwrap();
    packed.finish().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn damaged_splat_files_never_panic(
        edits in prop::collection::vec((any::<usize>(), any::<u8>()), 0..6),
        cut in prop_oneof![4 => Just(0_usize), 1 => 0_usize..2000],
        kind in 0..3_usize,
    ) {
        let mut bytes = if kind == 0 { spz_data() } else { compressed(1, 3) };
        for (at, value) in edits {
            let n = bytes.len();
            bytes[at % n] = value;
        }
        bytes.truncate(bytes.len() - cut % bytes.len());
        let read = Avatar::parse(if kind == 0 { repacked(&bytes) } else { bytes });
        if let Ok(avatar) = read {
            avatar.gaussians.check().unwrap();
            avatar.gaussians.check_finite().unwrap();
        }
    }

    #[test]
    fn damage_never_panics(cut in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), to in any::<u8>(), kind in 0..4_usize) {
        let avatar = if kind == 2 { with_body() } else { plain((kind % 2) as u8) };
        let mut bytes = match kind {
            3 => spz(),
            2 => bytes_of(&avatar, "safetensors"),
            _ => bytes_of(&avatar, "ply"),
        };
        let mut changed = bytes.clone();
        changed[at.index(bytes.len())] = to;
        let _ = Avatar::parse(changed.clone());
        // A changed number of splats may be a true one for what is left.
        changed.truncate(cut.index(bytes.len()));
        let _ = Avatar::parse(changed);
        bytes.truncate(cut.index(bytes.len()));
        prop_assert!(Avatar::parse(bytes).is_err());
    }
}
