//! The motion of those who are replaced, and what is known about it.

use super::masks::motion_file;
use super::people::Seen;
use super::{REPORT, to_json};
use crate::work::{copy_atomically, write_atomically};
use crate::{Context, Result, Stage};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What is said about a fitted motion beside the motion itself.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct MotionReport {
    /// Frames in which nobody was seen, and whether the body was moved across.
    pub(super) gaps: Vec<mocap::Gap>,
    /// Joints of `confidence` in order.
    pub(super) joints: Vec<String>,
    /// How sure each joint is in each frame, 0..1.
    pub(super) confidence: Vec<Vec<f32>>,
    /// Mean distance of the sure landmarks from the body in each frame, in pixels.
    pub(super) residual_px: Vec<f32>,
}

/// Name of the n-th replaced person's motion.
pub(super) fn name(n: usize) -> String {
    if n == 0 { "motion.json".to_owned() } else { format!("motion-{}.json", n + 1) }
}

/// Takes the motions of those who are replaced out of the masks stage's folder.
pub(super) fn choose(seen: &Seen, folder: &Path, part: &Path, context: Context<'_>) -> Result<()> {
    let total = seen.cuts.len();
    for (n, person) in seen.replaced.iter().enumerate() {
        copy_atomically(&folder.join(motion_file(*person)), &part.join(name(n)))?;
        let person = &seen.people[*person];
        warn_of_gaps(&person.gaps, context);
        if n == 0 {
            let report = MotionReport {
                gaps: person.gaps.clone(),
                joints: smplx::JOINT_NAMES[..22].iter().map(ToString::to_string).collect(),
                confidence: person.confidence.clone(),
                residual_px: person.residual_px.clone(),
            };
            write_atomically(&part.join(REPORT), &to_json(&report)?)?;
        }
        context.advance(Stage::Motion, (total * (n + 1)) as f64 / seen.replaced.len() as f64, total)?;
    }
    Ok(())
}

fn warn_of_gaps(gaps: &[mocap::Gap], context: Context<'_>) {
    for gap in gaps {
        let frames = format!("frames {} to {}", gap.frames.start, gap.frames.end.saturating_sub(1));
        context.warn(if gap.bridged {
            format!("{frames}: nobody was seen, the motion is carried across")
        } else {
            format!("{frames}: nobody was seen for long, the avatar is out of view")
        });
    }
}
