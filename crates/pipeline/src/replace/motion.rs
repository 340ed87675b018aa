//! The landmarks become SMPL-X parameters and a camera.

use super::masks::Seen;
use super::{REPORT, to_json};
use crate::composite::open_body;
use crate::job::Job;
use crate::work::{read_json, write_atomically};
use crate::{Context, Result, Stage};
use mocap::{FitOptions, Fitted};
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;
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

pub(super) fn fit_motion(
    job: &Job,
    focal_px: Option<f32>,
    seen: &Path,
    part: &Path,
    context: Context<'_>,
) -> Result<()> {
    let seen: Seen = read_json(seen)?;
    let body = open_body(job.input.body.as_deref())?;
    let options = FitOptions { focal_px, ..FitOptions::new(seen.fps as f32, seen.size) };
    let total = seen.frames.len();
    let mut stopped = Ok(());
    let fitted = mocap::fit_watched(&body, &seen.frames, &seen.cuts, &options, &mut |done| {
        stopped = context.advance(Stage::Motion, done, total);
        if stopped.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    stopped?;
    let fitted = fitted?;
    warn_of_gaps(&fitted, context);
    let report = MotionReport {
        gaps: fitted.gaps,
        joints: smplx::JOINT_NAMES[..22].iter().map(ToString::to_string).collect(),
        confidence: fitted.confidence.iter().map(|c| c.to_vec()).collect(),
        residual_px: fitted.residual_px,
    };
    write_atomically(&part.join(REPORT), &to_json(&report)?)?;
    write_atomically(&part.join("motion.json"), fitted.motion.to_json().as_bytes())
}

fn warn_of_gaps(fitted: &Fitted, context: Context<'_>) {
    for gap in &fitted.gaps {
        let frames = format!("frames {} to {}", gap.frames.start, gap.frames.end.saturating_sub(1));
        context.warn(if gap.bridged {
            format!("{frames}: nobody was seen, the motion is carried across")
        } else {
            format!("{frames}: nobody was seen for long, the avatar is out of view")
        });
    }
}
