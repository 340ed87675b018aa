//! The autoencoder's tensors: its blocks are numbered by configuration, which patterns can't say.

use super::{Manifest, field};
use crate::{Error, Result};
use serde_json::Value;
use std::collections::BTreeMap;

/// Extents that a configuration may have, well beyond any model.
const MAX_LEVELS: usize = 8;
const MAX_BLOCKS: usize = 64;

/// Collects names and shapes.
#[derive(Default)]
struct Names(BTreeMap<String, Vec<usize>>);

impl Names {
    fn conv(&mut self, name: &str, c_out: usize, c_in: usize, kernel: &[usize]) {
        self.0.insert(format!("{name}.weight"), [&[c_out, c_in], kernel].concat());
        self.0.insert(format!("{name}.bias"), vec![c_out]);
    }

    fn gamma(&mut self, name: &str, c: usize, ones: usize) {
        self.0.insert(format!("{name}.gamma"), [vec![c], vec![1; ones]].concat());
    }

    fn residual(&mut self, name: &str, c_in: usize, c_out: usize) {
        self.gamma(&format!("{name}.residual.0"), c_in, 3);
        self.conv(&format!("{name}.residual.2"), c_out, c_in, &[3, 3, 3]);
        self.gamma(&format!("{name}.residual.3"), c_out, 3);
        self.conv(&format!("{name}.residual.6"), c_out, c_out, &[3, 3, 3]);
        if c_in != c_out {
            self.conv(&format!("{name}.shortcut"), c_out, c_in, &[1, 1, 1]);
        }
    }

    fn attention(&mut self, name: &str, c: usize) {
        self.gamma(&format!("{name}.norm"), c, 2);
        self.conv(&format!("{name}.to_qkv"), 3 * c, c, &[1, 1]);
        self.conv(&format!("{name}.proj"), c, c, &[1, 1]);
    }

    fn middle(&mut self, name: &str, c: usize) {
        self.residual(&format!("{name}.middle.0"), c, c);
        self.attention(&format!("{name}.middle.1"), c);
        self.residual(&format!("{name}.middle.2"), c, c);
    }
}

/// `config[name]`, or what all published Wan 2.1 autoencoders have.
fn list<T>(config: &Value, name: &str, default: &[T], read: impl Fn(&Value) -> Option<T>) -> Result<Vec<T>>
where
    T: Clone,
{
    let wrong = || Error::ConfigField(name.to_owned());
    match &config[name] {
        Value::Null => Ok(default.to_vec()),
        Value::Array(values) if values.len() <= MAX_LEVELS => {
            values.iter().map(|v| read(v).ok_or_else(wrong)).collect()
        }
        _ => Err(wrong()),
    }
}

/// All tensors, under the names of `Wan2.1_VAE.pth`.
pub(super) fn manifest(config: &Value) -> Result<Manifest> {
    let (dim, z) = (field(config, "dim")?, field(config, "z_dim")?);
    let extent =
        |v: &Value| v.as_u64().and_then(|n| usize::try_from(n).ok()).filter(|n| (1..=64).contains(n));
    let mult = list(config, "dim_mult", &[1, 2, 4, 4], extent)?;
    let temporal = list(config, "temperal_downsample", &[false, true, true], Value::as_bool)?;
    let scales = list(config, "attn_scales", &[], Value::as_f64)?;
    let blocks = match &config["num_res_blocks"] {
        Value::Null => 2,
        _ => field(config, "num_res_blocks")?,
    };
    let Some((&top, lower)) = mult.split_last().filter(|_| blocks <= MAX_BLOCKS) else {
        return Err(Error::ConfigField("dim_mult".to_owned()));
    };
    if temporal.len() != lower.len() {
        return Err(Error::ConfigField("temperal_downsample".to_owned()));
    }
    let attends = |level: i32| scales.contains(&0.5_f64.powi(level));
    let (first, last) = (dim * mult[0], dim * top);
    let mut names = Names::default();

    names.conv("encoder.conv1", dim, 3, &[3, 3, 3]);
    let (mut c, mut n) = (dim, 0);
    let mut next = |stack: &str| {
        n += 1;
        format!("{stack}.{}", n - 1)
    };
    for (level, m) in mult.iter().enumerate() {
        for _ in 0..blocks {
            names.residual(&next("encoder.downsamples"), c, dim * m);
            c = dim * m;
            if attends(level as i32) {
                names.attention(&next("encoder.downsamples"), c);
            }
        }
        if let Some(&temporal) = temporal.get(level) {
            let at = next("encoder.downsamples");
            names.conv(&format!("{at}.resample.1"), c, c, &[3, 3]);
            if temporal {
                names.conv(&format!("{at}.time_conv"), c, c, &[3, 1, 1]);
            }
        }
    }
    names.middle("encoder", last);
    names.gamma("encoder.head.0", last, 3);
    names.conv("encoder.head.2", 2 * z, last, &[3, 3, 3]);
    names.conv("conv1", 2 * z, 2 * z, &[1, 1, 1]);

    names.conv("conv2", z, z, &[1, 1, 1]);
    names.conv("decoder.conv1", last, z, &[3, 3, 3]);
    names.middle("decoder", last);
    (c, n) = (last, 0);
    let mut next = |stack: &str| {
        n += 1;
        format!("{stack}.{}", n - 1)
    };
    for (level, m) in mult.iter().enumerate().rev() {
        for _ in 0..=blocks {
            names.residual(&next("decoder.upsamples"), c, dim * m);
            c = dim * m;
            // The reference starts the decoder's scale one step too high.
            if attends(level as i32 - 1) {
                names.attention(&next("decoder.upsamples"), c);
            }
        }
        if level > 0 {
            let at = next("decoder.upsamples");
            names.conv(&format!("{at}.resample.1"), c / 2, c, &[3, 3]);
            if temporal[level - 1] {
                names.conv(&format!("{at}.time_conv"), 2 * c, c, &[3, 1, 1]);
            }
            c /= 2;
        }
    }
    names.gamma("decoder.head.0", first, 3);
    names.conv("decoder.head.2", 3, first, &[3, 3, 3]);
    Ok(Manifest { tensors: names.0 })
}
