//! Estimators' files, written here instruction by instruction as Python's pickle would.

use super::*;
use crate::rotation::matrix_from_axis_angle;

/// A value to be pickled.
enum Py {
    Dict(Vec<(Py, Py)>),
    List(Vec<Py>),
    Str(&'static str),
    Int(u8),
    Array(Vec<usize>, Vec<f32>),
}

fn dict(entries: Vec<(&'static str, Py)>) -> Py {
    Py::Dict(entries.into_iter().map(|(key, value)| (Py::Str(key), value)).collect())
}

fn zeros(shape: &[usize]) -> Py {
    Py::Array(shape.to_vec(), vec![0.0; shape.iter().product()])
}

fn write(value: &Py, out: &mut Vec<u8>) {
    let text = |text: &str, out: &mut Vec<u8>| {
        out.extend([0x8c, text.len() as u8]);
        out.extend(text.as_bytes());
    };
    match value {
        Py::Dict(entries) => {
            out.extend(b"}(");
            for (key, value) in entries {
                write(key, out);
                write(value, out);
            }
            out.push(b'u');
        }
        Py::List(items) => {
            out.extend(b"](");
            items.iter().for_each(|item| write(item, out));
            out.push(b'e');
        }
        Py::Str(s) => text(s, out),
        Py::Int(n) => out.extend([b'K', *n]),
        Py::Array(shape, values) => {
            out.extend(b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85C\x01b\x87R(K\x01(");
            for extent in shape {
                out.push(b'J');
                out.extend((*extent as u32).to_le_bytes());
            }
            out.extend(b"tcnumpy\ndtype\n");
            text("f4", out);
            out.extend(b"\x89\x88\x87R(K\x03");
            text("<", out);
            out.extend(b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb\x89B");
            out.extend((4 * values.len() as u32).to_le_bytes());
            out.extend(values.iter().flat_map(|x| x.to_le_bytes()));
            out.extend(b"tb");
        }
    }
}

fn pickle(value: &Py) -> Vec<u8> {
    let mut out = vec![0x80, 4];
    write(value, &mut out);
    out.push(b'.');
    out
}

/// `numpy.save` of a dictionary: an array of objects without axes.
fn npy(value: &Py) -> Vec<u8> {
    let header = "{'descr': '|O', 'fortran_order': False, 'shape': (), }\n";
    let mut out = b"\x93NUMPY\x01\0".to_vec();
    out.extend((header.len() as u16).to_le_bytes());
    out.extend(header.as_bytes());
    out.extend([0x80, 4]);
    out.extend(b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85C\x01b\x87R(K\x01)cnumpy\ndtype\n\x8c\x02O8");
    out.extend(b"\x89\x88\x87R(K\x03\x8c\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?tb\x89](");
    write(value, &mut out);
    out.extend(b"etb.");
    out
}

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn put(&self, name: &str, bytes: &[u8]) -> std::path::PathBuf {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

fn options() -> OpenOptions {
    OpenOptions { picture_px: Some([640, 480]), ..OpenOptions::new(25.0) }
}

fn rows(t: usize, row: &[f32]) -> Py {
    Py::Array(vec![t, row.len()], row.repeat(t))
}

fn near(a: [f32; 3], b: [f32; 3]) -> bool {
    (0..3).all(|k| (a[k] - b[k]).abs() < 1e-4)
}

/// The mean SMPL-X body's pelvis at a frame.
fn pelvis(frame: &MotionFrame) -> [f32; 3] {
    std::array::from_fn(|k| frame.translation[k] + REST_PELVIS[k])
}

#[test]
fn gvhmr() {
    let files = Files::new();
    let mut body = [0.0; 63];
    body[5] = 0.25;
    let params = |x: f32| {
        dict(vec![
            ("global_orient", rows(3, &[3.0, 0.0, 0.1])),
            ("body_pose", rows(3, &body)),
            ("transl", rows(3, &[x, 0.5, 4.0])),
            ("betas", rows(3, &[0.5; 10])),
        ])
    };
    let k = rows(3, &[700.0, 0.0, 320.0, 0.0, 710.0, 240.0, 0.0, 0.0, 1.0]);
    let result = dict(vec![
        ("smpl_params_global", params(9.0)),
        ("smpl_params_incam", params(1.0)),
        ("K_fullimg", k),
        ("net_outputs", Py::List(Vec::new())),
    ]);
    let path = files.put("hmr4d_results.pt", &pickle(&result));
    for place in [path.as_path(), files.0.path()] {
        let opened = Motion::open_with(place, &options()).unwrap();
        let frame = &opened.motion.frames[2];
        assert_eq!((opened.motion.len(), opened.motion.fps), (3, 25.0));
        assert_eq!((frame.pose.root, frame.translation), ([3.0, 0.0, 0.1], [1.0, 0.5, 4.0]));
        assert_eq!((frame.pose.body[1][2], frame.betas[9]), (0.25, 0.5));
        let expected = Camera { focal_px: [700.0, 710.0], principal_px: [320.0, 240.0], size_px: [640, 480] };
        assert_eq!((frame.camera, opened.notes.is_empty()), (Some(expected), true));
    }
    let cut = dict(vec![("smpl_params_incam", dict(Vec::new()))]);
    let error = read(&files.put("cut.pt", &pickle(&cut)), &options()).unwrap_err().to_string();
    assert!(error.contains("GVHMR") && error.contains("global_orient"), "{error}");
}

#[test]
fn wham() {
    let files = Files::new();
    let mut pose = [0.0; 72];
    (pose[0], pose[65], pose[71]) = (3.1, 0.5, 0.75);
    let person = |ids: Vec<f32>| {
        dict(vec![
            ("pose", rows(ids.len(), &pose)),
            ("trans", rows(ids.len(), &[0.1, 0.2, 5.0])),
            ("frame_ids", Py::Array(vec![ids.len()], ids)),
        ])
    };
    let people = vec![
        (Py::Int(0), person(vec![0.0, 1.0])),
        (Py::Int(1), person(vec![2.0, 3.0, 4.0])),
        (Py::Int(2), person(vec![0.0, 3.0])),
    ];
    let path = files.put("wham_output.pkl", &pickle(&Py::Dict(people)));
    let opened = Motion::open_with(&path, &options()).unwrap();
    // The longest track, which begins in the third picture.
    assert_eq!((opened.motion.len(), opened.notes.len()), (5, 2));
    let frame = &opened.motion.frames[4];
    // The last joint that both bodies have is the right wrist; SMPL's whole hands are left out.
    assert_eq!((frame.pose.root[0], frame.pose.body[20][2], frame.pose.right_hand[0]), (3.1, 0.5, [0.0; 3]));
    assert!(near(pelvis(frame), [0.1 + SMPL_PELVIS[0], 0.2 + SMPL_PELVIS[1], 5.0 + SMPL_PELVIS[2]]));
    assert_eq!(frame.camera, Some(centred(800.0, [640, 480])));
    let second = OpenOptions { person: Some(2), ..options() };
    let error = Motion::open_with(&path, &second).unwrap_err();
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("frame 1"));
    let filled = Motion::open_with(&path, &OpenOptions { gaps: crate::Gaps::Fill, ..second }).unwrap();
    assert_eq!(filled.motion.len(), 4);
    let nobody = Motion::open_with(&path, &OpenOptions { person: Some(7), ..options() }).unwrap_err();
    assert!(std::error::Error::source(&nobody).unwrap().to_string().contains("0, 1, 2"));
    // Without the picture's size there is no camera, and it is said.
    let blind = Motion::open_with(&path, &OpenOptions::new(25.0)).unwrap();
    assert!(blind.motion.frames[0].camera.is_none() && blind.notes.iter().any(|n| n.contains("size")));
}

/// 24 rotation matrices: the root turned by `root`, the others at rest.
fn matrices(root: [f32; 3]) -> Vec<f32> {
    let flat = |m: Mat3| m.as_flattened().to_vec();
    let mut out = flat(matrix_from_axis_angle(root));
    for _ in 1..N_SMPL {
        out.extend(flat(crate::rotation::IDENTITY));
    }
    out
}

#[test]
fn tram() {
    let files = Files::new();
    let root = [2.8, 0.3, -0.2];
    let track = dict(vec![
        ("pred_rotmat", Py::Array(vec![2, 24, 3, 3], matrices(root).repeat(2))),
        ("pred_trans", Py::Array(vec![2, 1, 3], [0.0, 0.1, 3.0].repeat(2))),
        ("pred_shape", zeros(&[2, 10])),
        ("frame", Py::Array(vec![2], vec![0.0, 1.0])),
    ]);
    let path = files.put("seq/hps/hps_track_0.npy", &npy(&track));
    let alone = Motion::open_with(&path, &options()).unwrap();
    assert_eq!(alone.motion.frames[0].camera, Some(centred(800.0, [640, 480])));
    assert!(alone.notes.iter().any(|n| n.contains("camera.npy")));
    let camera = dict(vec![
        ("img_focal", Py::Array(Vec::new(), vec![555.0])),
        ("img_center", Py::Array(vec![2], vec![320.0, 240.0])),
    ]);
    files.put("seq/camera.npy", &npy(&camera));
    let opened = Motion::open_with(&path, &options()).unwrap();
    let frame = &opened.motion.frames[1];
    assert_eq!((frame.camera, opened.notes.len()), (Some(centred(555.0, [640, 480])), 0));
    assert!(near(frame.pose.root, root) && near(frame.pose.body[3], [0.0; 3]), "{:?}", frame.pose.root);
    assert!(near(pelvis(frame), [SMPL_PELVIS[0], 0.1 + SMPL_PELVIS[1], 3.0 + SMPL_PELVIS[2]]));
}

#[test]
fn humans_4d() {
    let files = Files::new();
    let body = || {
        let all = matrices([3.0, 0.0, 0.0]);
        dict(vec![
            ("global_orient", Py::Array(vec![1, 3, 3], all[..9].to_vec())),
            ("body_pose", Py::Array(vec![23, 3, 3], all[9..].to_vec())),
            ("betas", zeros(&[10])),
        ])
    };
    let picture = |ids: &[u8]| {
        dict(vec![
            ("tid", Py::List(ids.iter().map(|id| Py::Int(*id)).collect())),
            ("smpl", Py::List(ids.iter().map(|_| body()).collect())),
            (
                "camera",
                Py::List(ids.iter().map(|id| Py::Array(vec![3], vec![f32::from(*id), 0.0, 60.0])).collect()),
            ),
            ("size", Py::List(ids.iter().map(|_| Py::List(vec![Py::Int(120), Py::Int(200)])).collect())),
        ])
    };
    let result = dict(vec![("img/000001.jpg", picture(&[1, 2])), ("img/000002.jpg", picture(&[2]))]);
    let path = files.put("demo_x.pkl", &pickle(&result));
    let opened = Motion::open_with(&path, &options()).unwrap();
    assert_eq!((opened.motion.len(), opened.notes.len()), (2, 1));
    let frame = &opened.motion.frames[1];
    assert_eq!(frame.camera, Some(centred(200.0 * 5000.0 / 256.0, [200, 120])));
    assert!((pelvis(frame)[0] - 2.0 - SMPL_PELVIS[0]).abs() < 1e-5);
    // Both are before the camera, heads up in the picture.
    assert!(opened.motion.up()[1] < -0.9);
}

#[test]
fn folders_with_a_file_for_each_picture_and_person() {
    let files = Files::new();
    let frame = |x: f32| {
        let arrays: Vec<(&str, Vec<usize>, Vec<f32>)> = vec![
            ("global_orient", vec![1, 3], vec![3.1, 0.0, 0.0]),
            ("body_pose", vec![21, 3], vec![0.1; 63]),
            ("left_hand_pose", vec![15, 3], vec![0.2; 45]),
            ("jaw_pose", vec![1, 3], vec![0.3, 0.0, 0.0]),
            ("betas", vec![1, 10], vec![0.5; 10]),
            ("expression", vec![1, 10], vec![0.0; 10]),
            ("transl", vec![1, 3], vec![x, 0.0, 3.0]),
        ];
        let views: Vec<_> = arrays
            .iter()
            .map(|(name, shape, values)| (*name, tensorfile::TensorView::from_f32(shape, values).unwrap()))
            .collect();
        tensorfile::write_npz_bytes(&views, false).unwrap()
    };
    for (name, x) in [("00001_0", 1.0), ("00002_0", 2.0), ("00002_1", 7.0), ("00003_0", 3.0)] {
        files.put(&format!("out/smplx/{name}.npz"), &frame(x));
    }
    let folder = files.0.path().join("out");
    let opened = Motion::open_with(&folder, &options()).unwrap();
    let at: Vec<f32> = opened.motion.frames.iter().map(|f| f.translation[0]).collect();
    assert_eq!((at, opened.notes.len()), (vec![1.0, 2.0, 3.0], 2));
    let first = &opened.motion.frames[0];
    assert_eq!((first.pose.body[20], first.pose.left_hand[14], first.pose.jaw[0]), ([0.1; 3], [0.2; 3], 0.3));
    assert_eq!((first.betas.len(), first.camera), (10, Some(centred(800.0, [640, 480]))));
    for name in ["00001_0", "00002_0", "00003_0"] {
        files.put(&format!("out/meta/{name}.json"), br#"{"focal": [900, 901], "princpt": [300.5, 240]}"#);
    }
    let opened = Motion::open_with(folder.join("smplx"), &options()).unwrap();
    let camera = opened.motion.frames[1].camera.unwrap();
    assert_eq!((camera.focal_px, camera.principal_px), ([900.0, 901.0], [300.5, 240.0]));
    files.put("out/smplx/00002_0.npz", b"PK\x03\x04");
    let error = Motion::open_with(&folder, &options()).unwrap_err().to_string();
    assert!(error.contains("00002_0.npz"), "{error}");
}

#[test]
fn other_pickles_are_named_by_what_they_hold() {
    let files = Files::new();
    let shown = |name: &str, value: &Py| {
        let error = Motion::open(files.put(name, &pickle(value)), 25.0).unwrap_err();
        std::error::Error::source(&error).unwrap().to_string()
    };
    let poses = dict(vec![("thetas", zeros(&[3])), ("cams", zeros(&[3]))]);
    let text = shown("a.pkl", &poses);
    assert!(text.contains("thetas, cams") && text.contains("numpy.savez"), "{text}");
    let text = shown("b.pkl", &dict(vec![("v_template", zeros(&[3]))]));
    assert!(text.contains("body model"), "{text}");
}

/// One small file of each estimator.
fn seeds() -> Vec<Vec<u8>> {
    let gvhmr = dict(vec![
        (
            "smpl_params_incam",
            dict(vec![
                ("global_orient", rows(2, &[3.0, 0.0, 0.1])),
                ("body_pose", zeros(&[2, 63])),
                ("transl", rows(2, &[0.0, 0.5, 4.0])),
                ("betas", zeros(&[2, 10])),
            ]),
        ),
        ("K_fullimg", rows(2, &[700.0, 0.0, 320.0, 0.0, 710.0, 240.0, 0.0, 0.0, 1.0])),
    ]);
    let wham = dict(vec![
        ("pose", zeros(&[2, 72])),
        ("trans", zeros(&[2, 3])),
        ("frame_ids", Py::Array(vec![2], vec![0.0, 1.0])),
    ]);
    let tram = dict(vec![
        ("pred_rotmat", Py::Array(vec![1, 24, 3, 3], matrices([1.0, 0.0, 0.0]))),
        ("pred_trans", zeros(&[1, 1, 3])),
        ("frame", zeros(&[1])),
    ]);
    let body = dict(vec![
        ("global_orient", Py::Array(vec![1, 3, 3], matrices([1.0, 0.0, 0.0])[..9].to_vec())),
        ("body_pose", Py::Array(vec![23, 3, 3], matrices([1.0, 0.0, 0.0])[9..].to_vec())),
    ]);
    let picture = dict(vec![
        ("tid", Py::List(vec![Py::Int(1)])),
        ("smpl", Py::List(vec![body])),
        ("camera", Py::List(vec![zeros(&[3])])),
        ("size", Py::List(vec![Py::List(vec![Py::Int(9), Py::Int(7)])])),
    ]);
    vec![
        pickle(&gvhmr),
        pickle(&Py::Dict(vec![(Py::Int(0), wham)])),
        npy(&tram),
        pickle(&dict(vec![("a.jpg", picture)])),
    ]
}

/// `ANICRAFTER_MUTATIONS=100000` tries for longer.
fn cases() -> u32 {
    std::env::var("ANICRAFTER_MUTATIONS").ok().and_then(|n| n.parse().ok()).unwrap_or(200)
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(cases()))]

    #[test]
    fn mutated_files_never_panic(
        which in 0..4_usize,
        edits in proptest::collection::vec((proptest::prelude::any::<usize>(), proptest::prelude::any::<u8>()), 0..8),
        cut in proptest::prelude::prop_oneof![6 => proptest::prelude::Just(0_usize), 1 => 0_usize..3000],
    ) {
        let mut bytes = seeds().swap_remove(which);
        for (at, value) in edits {
            let n = bytes.len();
            bytes[at % n] = value;
        }
        bytes.truncate(bytes.len() - cut % bytes.len());
        for gaps in [crate::Gaps::Refuse, crate::Gaps::Fill] {
            if let Ok(file) = Pickle::parse(bytes.clone())
                && let Ok(opened) = of_pickle(Path::new("x.pkl"), &file, &OpenOptions { gaps, ..options() })
            {
                opened.motion.check().unwrap();
            }
        }
    }
}

#[test]
fn the_seeds_themselves_are_fine() {
    for seed in seeds() {
        of_pickle(Path::new("x.pkl"), &Pickle::parse(seed).unwrap(), &options()).unwrap();
    }
}
