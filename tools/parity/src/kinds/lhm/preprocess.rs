//! `lhm_preprocess`: picture and mask to the body picture, a head's box to the head picture.

use super::{box_of, mask, number, picture, samples};
use anyhow::{Context, Result, bail};
use lhm::{PictureConfig, body_picture, head_picture};
use serde_json::Value;
use testkit::{Case, Checker};

pub(in crate::kinds) fn run(case: &Case, check: &mut Checker<'_>) -> Result<()> {
    for (name, run) in case.named_runs()? {
        match run["kind"].as_str() {
            Some("body") => body(case, check, name, run)?,
            Some("head") => head(case, check, name, run)?,
            other => bail!("run {name} is of kind {other:?}"),
        }
    }
    Ok(())
}

/// The case's constants, and the run's own.
fn config(case: &Case, run: &Value) -> Result<PictureConfig> {
    let mut config: PictureConfig = serde_json::from_value(case.config().clone()).context("config")?;
    let set = |key: &str, value: &mut u32| {
        if let Some(n) = run[key].as_u64() {
            *value = n as u32;
        }
    };
    set("max_tgt_size", &mut config.max_tgt_size);
    set("render_tgt_size", &mut config.render_tgt_size);
    set("multiply", &mut config.multiply);
    set("size", &mut config.src_head_size);
    Ok(config)
}

fn body(case: &Case, check: &mut Checker<'_>, name: &str, run: &Value) -> Result<()> {
    let (rgb, mask) = (picture(case.input_u8(name, "picture_u8")?)?, mask(case.input_u8(name, "mask_u8")?)?);
    let out = body_picture(&rgb, &mask, &config(case, run)?)?;
    let (h, w) = (out.height, out.width);
    check.i64(&format!("{name}.bbox"), &[4], &out.person.map(i64::from));
    check.i64(&format!("{name}.size"), &[2], &[h as i64, w as i64]);
    if run["sampled"].as_bool() == Some(true) {
        let index = case.input_i64(name, "sample_index")?.data;
        let n = index.len();
        check.f32(&format!("{name}.image_samples"), &[3, n], &samples(&out.rgb, h * w, &index));
        check.f32(&format!("{name}.mask_samples"), &[1, n], &samples(&out.mask, h * w, &index));
    } else {
        check.f32(&format!("{name}.image"), &[1, 3, h, w], &out.rgb);
        let mask = format!("{name}.mask");
        if check.expects(&mask) {
            check.f32(&mask, &[1, 1, h, w], &out.mask);
        }
    }
    Ok(())
}

fn head(case: &Case, check: &mut Checker<'_>, name: &str, run: &Value) -> Result<()> {
    let of = run["of"].as_str().with_context(|| format!("run {name} has no picture"))?;
    let (rgb, mask) = (picture(case.input_u8(of, "picture_u8")?)?, mask(case.input_u8(of, "mask_u8")?)?);
    let out = head_picture(&rgb, &mask, box_of(&case.input_f32(name, "box")?)?, &config(case, run)?)?;
    let side = number(run, "size")?;
    check.i64(&format!("{name}.expanded"), &[4], &out.enlarged);
    check.i64(&format!("{name}.have_head"), &[1], &[i64::from(out.pixels.is_some())]);
    check.u8(&format!("{name}.head_u8"), &[side, side, 3], &out.pixels.unwrap_or(vec![0; side * side * 3]));
    Ok(())
}
