//! MakeHuman's measures: pairs of targets that lengthen, widen or thicken one part of the body.
//!
//! The first [`Measure::SAMPLED`] of them vary in the shape space together with the macro details. All of them can be
//! set in the proportions of the mean body (see [`crate::proportions`]).

/// One measure, -1 (`decr`) to 1 (`incr`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(usize)]
pub enum Measure {
    /// Distance of the shoulders.
    ShoulderDistance,
    /// Length of the upper arms.
    UpperArmLength,
    /// Length of the forearms.
    ForearmLength,
    /// Length of the thighs.
    ThighLength,
    /// Length of the shins.
    ShinLength,
    /// Height of the neck.
    NeckHeight,
    /// From the nape to the waist.
    NapeToWaist,
    /// From the waist to the hips.
    WaistToHip,
    /// Chest girth.
    BustGirth,
    /// Waist girth.
    WaistGirth,
    /// Hip girth.
    HipGirth,
    /// Thigh girth.
    ThighGirth,
    /// Calf girth.
    CalfGirth,
    /// Upper arm girth.
    UpperArmGirth,
    /// Neck girth.
    NeckGirth,
    /// Width of the head.
    HeadWidth,
    /// Height of the head.
    HeadHeight,
    /// Depth of the head.
    HeadDepth,
    /// Depth of the torso.
    TorsoDepth,
    /// Width of the torso.
    TorsoWidth,
    /// Height of the torso.
    TorsoHeight,
    /// Depth of the hips.
    HipDepth,
    /// Width of the hips.
    HipWidth,
    /// Size of the hands.
    HandSize,
    /// Length of the fingers.
    FingerLength,
    /// Size of the feet.
    FootSize,
    /// Thickness of the forearms.
    ForearmFat,
    /// Fat of the upper arms.
    UpperArmFat,
    /// Muscles of the shoulders.
    ShoulderMuscle,
    /// Knee girth.
    KneeGirth,
    /// Ankle girth.
    AnkleGirth,
    /// Wrist girth.
    WristGirth,
}

/// Names of a measure's targets: `{stem}-decr` and `{stem}-incr`, for each stem.
const STEMS: [&[&str]; Measure::COUNT] = [
    &["torso/measure-shoulder-dist"],
    &["arms/measure-upperarm-length"],
    &["arms/measure-lowerarm-length"],
    &["legs/measure-upperleg-height"],
    &["legs/measure-lowerleg-height"],
    &["neck/measure-neck-height"],
    &["torso/measure-napetowaist-dist"],
    &["torso/measure-waisttohip-dist"],
    &["torso/measure-bust-circ"],
    &["torso/measure-waist-circ"],
    &["torso/measure-hips-circ"],
    &["legs/measure-thigh-circ"],
    &["legs/measure-calf-circ"],
    &["arms/measure-upperarm-circ"],
    &["neck/measure-neck-circ"],
    &["head/head-scale-horiz"],
    &["head/head-scale-vert"],
    &["head/head-scale-depth"],
    &["torso/torso-scale-depth"],
    &["torso/torso-scale-horiz"],
    &["torso/torso-scale-vert"],
    &["hip/hip-scale-depth"],
    &["hip/hip-scale-horiz"],
    &["hands/l-hand-scale", "hands/r-hand-scale"],
    &["hands/l-hand-fingers-length", "hands/r-hand-fingers-length"],
    &["feet/l-foot-scale", "feet/r-foot-scale"],
    &["arms/l-lowerarm-fat", "arms/r-lowerarm-fat"],
    &["arms/l-upperarm-fat", "arms/r-upperarm-fat"],
    &["arms/l-upperarm-shoulder-muscle", "arms/r-upperarm-shoulder-muscle"],
    &["legs/measure-knee-circ"],
    &["feet/measure-ankle-circ"],
    &["hands/measure-wrist-circ"],
];

impl Measure {
    /// How many measures there are.
    pub const COUNT: usize = 32;
    /// How many of them vary in the shape space.
    pub const SAMPLED: usize = 12;

    /// All measures, in order.
    pub const ALL: [Self; Self::COUNT] = [
        Self::ShoulderDistance,
        Self::UpperArmLength,
        Self::ForearmLength,
        Self::ThighLength,
        Self::ShinLength,
        Self::NeckHeight,
        Self::NapeToWaist,
        Self::WaistToHip,
        Self::BustGirth,
        Self::WaistGirth,
        Self::HipGirth,
        Self::ThighGirth,
        Self::CalfGirth,
        Self::UpperArmGirth,
        Self::NeckGirth,
        Self::HeadWidth,
        Self::HeadHeight,
        Self::HeadDepth,
        Self::TorsoDepth,
        Self::TorsoWidth,
        Self::TorsoHeight,
        Self::HipDepth,
        Self::HipWidth,
        Self::HandSize,
        Self::FingerLength,
        Self::FootSize,
        Self::ForearmFat,
        Self::UpperArmFat,
        Self::ShoulderMuscle,
        Self::KneeGirth,
        Self::AnkleGirth,
        Self::WristGirth,
    ];

    /// Targets of the measure set to `value` and their weights.
    pub fn weighted_targets(self, value: f64) -> impl Iterator<Item = (String, f64)> {
        let side = if value < 0.0 { "decr" } else { "incr" };
        STEMS[self as usize].iter().map(move |stem| (format!("{stem}-{side}"), value.abs()))
    }

    /// All targets of the measure.
    pub fn targets(self) -> impl Iterator<Item = String> {
        STEMS[self as usize].iter().flat_map(|stem| [format!("{stem}-decr"), format!("{stem}-incr")])
    }
}
