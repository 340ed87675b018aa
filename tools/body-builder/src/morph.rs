//! MakeHuman's morph targets: sparse vertex offsets, added with a weight.
//!
//! A body is described by *macro details* (sex, age, muscle, …), which blend several targets by products of their
//! weights, and by *measures*, which scale one pair of targets each. `macrodetails/macro.json` of the data lists the
//! ranges and combinations; they are few and fixed, so they are restated in [`Macro`] and in [`Macro::targets`].

use std::collections::BTreeMap;

use crate::Point;
use crate::base_mesh::METRES_PER_UNIT;
use crate::error::Error;
use crate::measures::Measure;
use crate::wheel::{MAKEHUMAN, Wheel};

/// Offsets of one target, in metres.
#[derive(Clone, Debug, Default)]
pub struct Morph(pub Vec<(usize, Point)>);

impl Morph {
    /// Adds the target to `vertices` with a weight.
    pub fn add_to(&self, vertices: &mut [Point], weight: f64) {
        for &(v, offset) in &self.0 {
            vertices[v] += offset * weight;
        }
    }

    /// Parses a `.target` file: lines of `vertex dx dy dz`, `#` starts a comment.
    ///
    /// # Errors
    /// A line is not of that form or names a vertex that does not exist.
    pub fn parse(text: &str, entry: &str, vertex_count: usize) -> Result<Self, Error> {
        let mut offsets = Vec::new();
        for (number, line) in text.lines().enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let bad = || {
                Error::malformed(entry, format!("line {}", number + 1), "a vertex and three numbers", line)
            };
            let mut words = line.split_ascii_whitespace();
            let vertex: usize = words.next().and_then(|w| w.parse().ok()).ok_or_else(bad)?;
            let mut offset = [0.0; 3];
            for x in &mut offset {
                *x = words.next().and_then(|w| w.parse().ok()).ok_or_else(bad)?;
            }
            if vertex >= vertex_count || words.next().is_some() {
                return Err(bad());
            }
            offsets.push((vertex, Point::from(offset) * METRES_PER_UNIT));
        }
        Ok(Self(offsets))
    }
}

/// MakeHuman's macro details, each 0..=1; 0.5 is the middle (age 0.5 is a young adult). The three races count a third
/// each; cup size and firmness are average, which has no target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Macro {
    /// 0 female, 1 male.
    pub gender: f64,
    /// 0.5 young, 1 old; children are not covered.
    pub age: f64,
    /// Muscularity.
    pub muscle: f64,
    /// Weight.
    pub weight: f64,
    /// Height.
    pub height: f64,
    /// 0 uncommon, 1 ideal proportions.
    pub proportions: f64,
}

impl Default for Macro {
    fn default() -> Self {
        Self { gender: 0.5, age: 0.5, muscle: 0.5, weight: 0.5, height: 0.5, proportions: 0.5 }
    }
}

type Blend = [(&'static str, f64); 2];

impl Macro {
    /// Names of the targets (relative to `targets/`, without ending) and their weights; weights of zero are left out.
    #[must_use]
    pub fn targets(&self) -> Vec<(String, f64)> {
        let gender = [("female", 1.0 - self.gender), ("male", self.gender)];
        let old = (self.age * 2.0 - 1.0).clamp(0.0, 1.0);
        let age = [("young", 1.0 - old), ("old", old)];
        let muscle = around_average(self.muscle, ["minmuscle", "averagemuscle", "maxmuscle"]);
        let weight = around_average(self.weight, ["minweight", "averageweight", "maxweight"]);
        let height = around_none(self.height, ["minheight", "maxheight"]);
        let proportions = around_none(self.proportions, ["uncommonproportions", "idealproportions"]);

        let mut targets = Vec::new();
        let mut push = |name: String, weight: f64| {
            if weight > 0.0 {
                targets.push((name, weight));
            }
        };
        for (g, wg) in gender {
            for (a, wa) in age {
                for race in ["african", "asian", "caucasian"] {
                    push(format!("macrodetails/{race}-{g}-{a}"), wg * wa / 3.0);
                }
                for (m, wm) in muscle {
                    for (k, wk) in weight {
                        let (stem, w) = (format!("{g}-{a}-{m}-{k}"), wg * wa * wm * wk);
                        push(format!("macrodetails/universal-{stem}"), w);
                        push(format!("macrodetails/height/{stem}-{}", height.0), w * height.1);
                        push(format!("macrodetails/proportions/{stem}-{}", proportions.0), w * proportions.1);
                    }
                }
            }
        }
        targets
    }
}

fn around_average(value: f64, [low, middle, high]: [&'static str; 3]) -> Blend {
    let t = value.clamp(0.0, 1.0) * 2.0;
    if t <= 1.0 { [(low, 1.0 - t), (middle, t)] } else { [(middle, 2.0 - t), (high, t - 1.0)] }
}

fn around_none(value: f64, [low, high]: [&'static str; 2]) -> (&'static str, f64) {
    let t = value.clamp(0.0, 1.0) * 2.0 - 1.0;
    if t < 0.0 { (low, -t) } else { (high, t) }
}

/// Every target that the recipe can ask for, by name.
#[derive(Debug)]
pub struct Morphs(BTreeMap<String, Morph>);

impl Morphs {
    /// Reads the adult macro targets and those of the measures.
    ///
    /// # Errors
    /// An entry is missing or damaged.
    pub fn read(wheel: &mut Wheel, vertex_count: usize) -> Result<Self, Error> {
        let root = format!("{MAKEHUMAN}/targets");
        let mut names = Vec::new();
        for folder in ["macrodetails", "macrodetails/height", "macrodetails/proportions"] {
            for entry in wheel.list(&format!("{root}/{folder}")) {
                let name = entry.strip_prefix(&root).and_then(|n| n.strip_suffix(".target.gz"));
                names.extend(name.map(|n| n.trim_start_matches('/').to_owned()));
            }
        }
        names.retain(|n| !n.contains("-baby") && !n.contains("-child"));
        names.extend(Measure::ALL.iter().flat_map(|m| m.targets()));

        let mut morphs = BTreeMap::new();
        for name in names {
            let entry = format!("{root}/{name}.target.gz");
            morphs.insert(name, Morph::parse(&wheel.read_text(&entry)?, &entry, vertex_count)?);
        }
        Ok(Self(morphs))
    }

    /// The target of that name. Combinations that MakeHuman leaves out (the average ones) are no offset at all.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Morph> {
        self.0.get(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_six_races_and_the_average_body() {
        let targets = Macro::default().targets();
        let races: f64 = targets.iter().filter(|(n, _)| n.ends_with("-young")).map(|(_, w)| w).sum();
        assert!((races - 1.0).abs() < 1e-12);
        assert!(!targets.iter().any(|(n, _)| n.contains("height/") || n.contains("proportions/")));
    }

    #[test]
    fn weights_of_a_combination_sum_to_one() {
        let body = Macro { gender: 0.3, age: 0.8, muscle: 0.7, weight: 0.2, height: 0.9, proportions: 0.1 };
        let sum: f64 = body.targets().iter().filter(|(n, _)| n.contains("universal-")).map(|(_, w)| w).sum();
        assert!((sum - 1.0).abs() < 1e-12);
        let tall: f64 = body.targets().iter().filter(|(n, _)| n.contains("-maxheight")).map(|(_, w)| w).sum();
        assert!((tall - 0.8).abs() < 1e-12);
    }

    #[test]
    fn a_vertex_beyond_the_mesh_is_an_error() {
        assert!(Morph::parse("# c\n2 1 .5 0\n", "t", 3).unwrap().0[0].1.x > 0.09);
        assert!(Morph::parse("3 1 .5 0\n", "t", 3).is_err());
        assert!(Morph::parse("2 1 .5\n", "t", 3).is_err());
    }
}
