//! Clips as a whole: the same bytes whatever was made before and on however many threads, the file's layout, what the
//! parts say about each other, and that the splits have nothing in common.

use synth::layout::{self, FRAMES, SIZE};
use synth::{Clip, Maker, Part, Split};

const PIXELS: usize = SIZE[0] * SIZE[1];

fn clips(numbers: std::ops::Range<u64>, split: Split) -> Vec<Clip> {
    let mut maker = Maker::new().expect("the embedded body loads");
    numbers.map(|n| maker.clip(7, split, n, &Part::ALL).expect("a clip is made")).collect()
}

#[test]
fn a_clip_depends_on_its_number_alone() {
    let made = clips(0..3, Split::Train);
    let again = Maker::new().unwrap().clip(7, Split::Train, 2, &Part::ALL).unwrap();
    assert!(made[2] == again);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let alone = pool.install(|| Maker::new().unwrap().clip(7, Split::Train, 1, &Part::ALL).unwrap());
    assert!(made[1] == alone);
    // Leaving parts out doesn't change the others.
    let fewer = [Part::Reference, Part::Blend, Part::Mesh, Part::Target];
    let less = Maker::new().unwrap().clip(7, Split::Train, 2, &fewer).unwrap();
    for part in fewer {
        assert!(less.part(part) == again.part(part), "{}", part.name());
    }
    assert!(less.part(Part::Plate).is_empty());
    assert!(made[0].part(Part::Target) != made[1].part(Part::Target));
}

#[test]
fn the_file_is_laid_out_as_described() {
    let clip = clips(3..4, Split::Val).remove(0);
    for parts in [&Part::ALL[..], &[Part::Blend, Part::Shadow]] {
        let bytes = clip.bytes(parts);
        let described = layout::describe(parts);
        assert_eq!(described["bytes"], bytes.len());
        for (part, field) in parts.iter().zip(described["fields"].as_array().unwrap()) {
            assert_eq!(field["name"], part.name());
            let offset = field["offset"].as_u64().unwrap() as usize;
            assert!(bytes[offset..offset + part.bytes()] == *clip.part(*part));
            assert_eq!(Part::from_name(part.name()), Some(*part));
        }
    }
    assert_eq!(Part::from_name("sound"), None);
}

/// Mean over pixels and channels of the size of the difference where a test holds, and how many pixels that are.
fn difference(a: &[u8], b: &[u8], test: impl Fn(usize) -> bool) -> (f64, usize) {
    let (mut sum, mut count) = (0.0, 0);
    for i in (0..a.len() / 3).filter(|i| test(*i)) {
        sum += (0..3).map(|k| f64::from(a[3 * i + k].abs_diff(b[3 * i + k]))).sum::<f64>() / 3.0;
        count += 1;
    }
    (sum / count.max(1) as f64, count)
}

#[test]
fn parts_agree() {
    let (mut clean, mut shadows) = (0, 0);
    for clip in clips(10..22, Split::Train) {
        let [blend, mesh, target, plate, normals, shadow] =
            [Part::Blend, Part::Mesh, Part::Target, Part::Plate, Part::Normals, Part::Shadow]
                .map(|p| clip.part(p));
        for f in 0..FRAMES {
            let covered = |i: usize| mesh[3 * i] > 1;
            let frame = f * PIXELS;
            let bodies = (frame..frame + PIXELS).filter(|i| covered(*i)).count();
            assert!(bodies > PIXELS / 100, "nobody in frame {f}");
            for i in frame..frame + PIXELS {
                assert_eq!(covered(i), normals[3 * i..3 * i + 3] != [0; 3]);
            }
        }
        // Away from the body, its avatar and its shadow, target, plate and blend are one picture.
        let near = near(mesh, 24);
        let away = |i: usize| !near[i] && shadow[i] == 0;
        let (to_blend, n) = difference(plate, blend, away);
        assert!(n > PIXELS && to_blend < 0.5, "{to_blend}");
        let (to_target, _) = difference(plate, target, away);
        assert!(to_target < 1.0, "{to_target}");
        let inside = |i: usize| mesh[3 * i] > 1;
        assert!(difference(plate, target, inside).0 > 4.0);
        if to_target < 0.02 {
            clean += 1;
        }
        // Where there is shadow, the target is darker than the plate.
        let dark: Vec<usize> = (0..shadow.len()).filter(|i| shadow[*i] > 20 && !near[*i]).collect();
        if dark.len() > 200 {
            shadows += 1;
            let luma =
                |p: &[u8]| dark.iter().map(|i| f64::from(p[3 * i + 1])).sum::<f64>() / dark.len() as f64;
            let kept = difference(plate, target, |i| shadow[i] > 20 && !near[i]).0 < 1.0;
            assert!(kept || luma(target) < luma(plate) - 5.0);
        }
    }
    assert!(clean >= 3 && shadows >= 2, "{clean} clean plates, {shadows} shadows");
}

/// Pixels within a distance of the mesh.
fn near(mesh: &[u8], reach: usize) -> Vec<bool> {
    let [h, w] = SIZE;
    let mut out = vec![false; mesh.len() / 3];
    for i in (0..out.len()).filter(|i| mesh[3 * i] > 1) {
        let (f, x, y) = (i / PIXELS, i % PIXELS % w, i % PIXELS / w);
        for y in y.saturating_sub(reach)..(y + reach + 1).min(h) {
            let row = f * PIXELS + y * w;
            out[row + x.saturating_sub(reach)..row + (x + reach + 1).min(w)].fill(true);
        }
    }
    out
}

#[test]
fn the_splits_have_nothing_in_common() {
    let (train, val) = (clips(0..2, Split::Train), clips(0..2, Split::Val));
    for a in &train {
        for b in &val {
            assert!(a.part(Part::Reference) != b.part(Part::Reference));
            assert!(a.part(Part::Mesh) != b.part(Part::Mesh));
        }
    }
    let scenes = [Split::Train, Split::Val].map(synth::scenes::Kind::of);
    assert!(scenes[0].iter().all(|k| !scenes[1].contains(k)));
    let motions = [Split::Train, Split::Val].map(synth::motion::Kind::of);
    assert!(motions[0].iter().all(|k| !motions[1].contains(k)));
    let mut patterns = [Vec::new(), Vec::new()];
    let mut textures = [Vec::new(), Vec::new()];
    for (i, split) in [Split::Train, Split::Val].into_iter().enumerate() {
        let mut random = synth::random::Random::new(1, &[i as u64]);
        for _ in 0..300 {
            patterns[i]
                .push(std::mem::discriminant(&synth::cloth::Cloth::random(&mut random, split, 0.0).pattern));
            textures[i].push(synth::material::Material::thing(&mut random, split).family);
        }
    }
    assert!(patterns[0].iter().all(|p| !patterns[1].contains(p)));
    let shared: Vec<_> = textures[0].iter().filter(|t| textures[1].contains(t)).collect();
    assert!(shared.iter().all(|t| **t == synth::material::Family::Plain), "{shared:?}");
}
