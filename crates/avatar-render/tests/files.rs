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
    assert!(matches!(Avatar::parse(b"GIF89a".to_vec()), Err(Error::UnknownFormat { .. })));
    assert!(matches!(Avatar::parse(Vec::new()), Err(Error::UnknownFormat { .. })));
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn damage_never_panics(cut in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), to in any::<u8>(), kind in 0..3_usize) {
        let avatar = if kind == 2 { with_body() } else { plain(kind as u8) };
        let mut bytes = bytes_of(&avatar, if kind == 2 { "safetensors" } else { "ply" });
        let i = at.index(bytes.len());
        bytes[i] = to;
        let _ = Avatar::parse(bytes.clone());
        bytes.truncate(cut.index(bytes.len()));
        prop_assert!(Avatar::parse(bytes).is_err());
    }
}
