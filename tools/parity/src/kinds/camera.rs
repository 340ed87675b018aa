//! `camera`: a frame's JSON → camera matrices, fields of view and the parameters handed on.

use anyhow::{Context, Result};
use smplx::{AFFINE_IDENTITY, MotionFrame, affine_to_4x4};
use testkit::{Case, Checker};

/// Expression coefficients that the reference hands on, all zero.
const N_EXPRESSION: usize = 100;

/// Runs the case.
///
/// # Errors
/// When the case can't be read.
pub fn run(case: &Case, checker: &mut Checker<'_>) -> Result<()> {
    let plane = |key: &str| case.config()[key].as_f64().with_context(|| format!("config has no {key}"));
    let (near, far) = (plane("znear")? as f32, plane("zfar")? as f32);
    for (number, (name, run)) in case.named_runs()?.into_iter().enumerate() {
        let file = run["file"].as_str().context("a run without a file")?;
        let frame = MotionFrame::from_json(&std::fs::read(case.dir.join(file))?, number)?;
        let camera = frame.camera.context("the frame has no camera")?;
        let matrices = camera.matrices(&AFFINE_IDENTITY, near, far);
        let w2c = affine_to_4x4(&AFFINE_IDENTITY);
        let rotation = smplx::linear(&AFFINE_IDENTITY);
        let mut check = |what: &str, shape: &[usize], values: &[f32]| {
            checker.f32(&format!("{name}.{what}"), shape, values);
        };
        check("w2c", &[4, 4], w2c.as_flattened());
        check("R", &[3, 3], rotation.as_flattened());
        check("T", &[3], &[0.0; 3]);
        check("K", &[3, 3], camera.intrinsics().as_flattened());
        check("world_view_transform", &[4, 4], matrices.world_view.as_flattened());
        check("projection_matrix", &[4, 4], matrices.projection.as_flattened());
        check("full_proj_transform", &[4, 4], matrices.full.as_flattened());
        check("camera_center", &[3], &matrices.center);
        let betas = case.input_f32(name, "esti_shape")?;
        check("param.betas", &betas.shape, &betas.data);
        let pose = &frame.pose;
        check("param.root_pose", &[3], &pose.root);
        check("param.body_pose", &[21, 3], pose.body.as_flattened());
        check("param.jaw_pose", &[3], &pose.jaw);
        check("param.leye_pose", &[3], &pose.left_eye);
        check("param.reye_pose", &[3], &pose.right_eye);
        check("param.lhand_pose", &[15, 3], pose.left_hand.as_flattened());
        check("param.rhand_pose", &[15, 3], pose.right_hand.as_flattened());
        check("param.trans", &[3], &frame.translation);
        check("param.focal", &[2], &camera.focal_px);
        check("param.princpt", &[2], &camera.principal_px);
        check("param.img_size_wh", &[2], &camera.size_px.map(|n| n as f32));
        check("param.expr", &[N_EXPRESSION], &[0.0; N_EXPRESSION]);
        checker.f64(&format!("{name}.fov"), &[2], &camera.fov());
        checker.f64(&format!("{name}.tanfov"), &[2], &camera.tan_half_fov());
        checker.i64(&format!("{name}.image_wh"), &[2], &camera.size_px.map(i64::from));
    }
    Ok(())
}
