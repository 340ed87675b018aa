//! Tensors that belong to a quantised weight: its scales are bound to it, markers are understood, formats that nobody here
//! decodes are refused by name.
//!
//! A weight of 8 bits is stored as `weight / scale`; loaded without its scale it would be wrong by orders of magnitude.
//! Sources of the names and their meaning: ComfyUI (`scale_weight`, `weight_scale`, `scaled_fp8`, `comfy_quant`), LightX2V and
//! ModelOpt (`weight_scale`), DeepSeek-V3 (`weight_scale_inv`: multiplied too, in spite of its name), optimum-quanto (`weight._data`,
//! `weight._scale`), bitsandbytes (`SCB`, the largest magnitude of a row, for 127).

use crate::{Error, Result};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet};
use tensorfile::{Dtype, TensorSource};

/// Endings of scales, what stands in their place for the weight, and a factor.
const SCALES: [(&str, f32); 6] = [
    (".scale_weight", 1.0),
    (".weight_scale", 1.0),
    (".weight_scale_inv", 1.0),
    (".weight.scale", 1.0),
    (".weight._scale", 1.0),
    (".SCB", 1.0 / 127.0),
];

/// Endings of tensors that say nothing about the weight's numbers: formats as text, scales of activations.
const MARKERS: [&str; 6] =
    [".comfy_quant", ".input_scale", ".scale_input", ".output_scale", ".scale_output", ".weight_format"];

/// Last part of the name of the tensor that marks a whole file.
const FILE_MARKER: &str = "scaled_fp8";

/// Endings of the names of word embeddings.
const EMBEDDINGS: [&str; 4] =
    ["shared.weight", "embed_tokens.weight", "token_embedding.weight", "token_embd.weight"];

/// Endings of formats that aren't decoded.
const REFUSED: [(&str, &str); 18] = [
    (".weight_scale_2", "nvfp4"),
    (".weight_global_scale", "nvfp4 (compressed-tensors)"),
    (".weight_packed", "packed numbers (compressed-tensors)"),
    (".weight_zero_point", "whole numbers with a zero point"),
    (".weight._shift", "numbers of 2 or 4 bits (optimum-quanto)"),
    (".weight._zeropoint", "numbers of 2 or 4 bits (optimum-quanto)"),
    (".weight_qdata", "torchao's packed numbers"),
    (".qweight", "GPTQ or AWQ"),
    (".qzeros", "GPTQ or AWQ"),
    (".g_idx", "GPTQ"),
    (".wscales", "SVDQuant (Nunchaku)"),
    (".smooth_factor", "SVDQuant (Nunchaku)"),
    (".absmax", "4 bits of bitsandbytes"),
    (".quant_map", "4 bits of bitsandbytes"),
    (".nested_absmax", "4 bits of bitsandbytes"),
    (".bitsandbytes__nf4", "4 bits of bitsandbytes (nf4)"),
    (".bitsandbytes__fp4", "4 bits of bitsandbytes (fp4)"),
    (".weight_codebook", "numbers of a code book"),
];

/// The companions among a file's tensors.
#[derive(Debug, Default)]
pub(crate) struct Companions {
    /// The scale of each weight, by the file's names.
    scales: HashMap<String, Bound>,
    /// Weights that the file calls otherwise (`x.weight._data`), by the name that they stand for.
    renamed: HashMap<String, String>,
    /// Everything that isn't a weight of its own.
    taken: HashSet<String>,
    /// Beginnings of names below which a tensor marks all matrices of fp8 as scaled.
    marked_below: Vec<String>,
    /// Modules that ComfyUI marks as quantised.
    marked: HashSet<String>,
    /// Formats that aren't decoded, by module.
    refused: BTreeMap<String, String>,
}

#[derive(Debug)]
struct Bound {
    key: String,
    factor: f32,
}

/// A weight's scale, ready to be multiplied: one number for each block of rows and columns.
#[derive(Debug)]
pub(crate) struct Scale {
    pub(crate) values: Vec<f32>,
    pub(crate) rows_a_block: usize,
    pub(crate) columns_a_block: usize,
    pub(crate) blocks_a_row: usize,
}

impl Scale {
    /// The scale of one row, a number for each of its blocks.
    pub(crate) fn row(&self, row: usize) -> &[f32] {
        &self.values[row / self.rows_a_block * self.blocks_a_row..][..self.blocks_a_row]
    }

    /// The scale of some rows by themselves.
    pub(crate) fn of_rows(&self, rows: &[u32]) -> Self {
        let values = rows.iter().flat_map(|row| self.row(*row as usize)).copied().collect();
        Self { values, rows_a_block: 1, ..*self }
    }
}

impl Companions {
    pub(crate) fn of(source: &dyn TensorSource) -> Self {
        let mut found = Self::default();
        let all = source.names();
        let names: HashSet<&str> = all.iter().copied().collect();
        for name in &all {
            if let Some(plain) = name.strip_suffix("._data").filter(|plain| !names.contains(plain)) {
                found.renamed.insert(plain.to_owned(), (*name).to_owned());
            }
        }
        for name in all {
            if let Some((module, format)) = strip(name, &REFUSED) {
                let module = module.split(".weight.quant_state").next().unwrap_or(module);
                found.refused.insert(module.trim_end_matches(".weight").to_owned(), (*format).to_owned());
            }
            if let Some(module) = MARKERS.iter().find_map(|end| name.strip_suffix(end)) {
                found.taken.insert(name.to_owned());
                if name.ends_with(".comfy_quant") {
                    found.marked.insert(module.to_owned());
                }
                if let Some(format) = unknown_format(source, name) {
                    found.refused.insert(module.to_owned(), format);
                }
            }
            if name.rsplit('.').next() == Some(FILE_MARKER) {
                found.taken.insert(name.to_owned());
                found.marked_below.push(name.trim_end_matches(FILE_MARKER).to_owned());
            }
            let Some((module, factor)) = strip(name, &SCALES) else { continue };
            let weight = format!("{module}.weight");
            let key = found.renamed.get(&weight).cloned().unwrap_or(weight);
            // A scale of nothing is left to be named as unused.
            if !names.contains(key.as_str()) {
                continue;
            }
            if found.scales.insert(key, Bound { key: name.to_owned(), factor: *factor }).is_some() {
                found.refused.insert(module.to_owned(), "numbers with two scales".to_owned());
            }
            found.taken.insert(name.to_owned());
        }
        found
    }

    /// The names that a model sees: without companions, weights under the names that they stand for.
    pub(crate) fn weights<'a>(&'a self, source: &'a dyn TensorSource) -> Vec<&'a str> {
        let back: HashMap<&str, &str> =
            self.renamed.iter().map(|(plain, key)| (key.as_str(), plain.as_str())).collect();
        let kept = source.names().into_iter().filter(|name| !self.taken.contains(*name));
        kept.map(|name| back.get(name).copied().unwrap_or(name)).collect()
    }

    /// The file's name for a weight.
    pub(crate) fn key<'a>(&'a self, name: &'a str) -> &'a str {
        self.renamed.get(name).map_or(name, String::as_str)
    }

    /// Can the tensors of a model be decoded? Looks at types and shapes, reads nothing.
    pub(crate) fn check_all<'k>(
        &self,
        source: &dyn TensorSource,
        keys: impl Iterator<Item = &'k String> + Clone,
    ) -> Result<()> {
        // The tensor that tells a format may be all that there is of a weight (`x.qweight`).
        for (module, format) in &self.refused {
            let inside = |key: &String| key.strip_prefix(module.as_str()).is_some_and(|r| r.starts_with('.'));
            if keys.clone().any(inside) {
                return Err(Error::Quantisation { tensor: module.clone(), format: format.clone() });
            }
        }
        keys.clone().try_for_each(|key| self.check(source, key))?;
        // Where matrices of fp8 have scales, one without lost it. Embeddings of words aren't scaled by anybody.
        let scaled = keys.clone().any(|key| self.scales.contains_key(key));
        let marked = |key: &String| self.marked_below.iter().any(|p| key.starts_with(p.as_str()));
        let lost = |key: &&String| {
            let info = source.info(key).filter(|i| matches!(i.dtype, Dtype::F8E4M3 | Dtype::F8E5M2));
            info.is_some_and(|i| i.shape.len() > 1)
                && key.ends_with(".weight")
                && !EMBEDDINGS.iter().any(|e| key.ends_with(e))
                && !self.scales.contains_key(*key)
                && (scaled || marked(key))
        };
        let mut keys = keys;
        match keys.find(lost) {
            Some(key) => Err(Error::Quantisation {
                tensor: key.clone(),
                format: "fp8 without a scale in a file of scaled weights".to_owned(),
            }),
            None => Ok(()),
        }
    }

    /// Can the weight be decoded? Looks at types and shapes, reads nothing.
    pub(crate) fn check(&self, source: &dyn TensorSource, key: &str) -> Result<()> {
        let plain = key.strip_suffix("._data").unwrap_or(key);
        let module = plain.rsplit_once('.').map_or(plain, |(module, _)| module);
        let refuse = |format: &str| Error::Quantisation { tensor: key.to_owned(), format: format.to_owned() };
        if let Some(format) = self.refused.get(module) {
            return Err(refuse(format));
        }
        let Some(info) = source.info(key) else { return Ok(()) };
        let Some(bound) = self.scales.get(key) else {
            // Whole numbers are no weights by themselves. Vectors of them are counters and positions.
            return if info.dtype.is_integer() && info.shape.len() > 1 && plain.ends_with("weight") {
                Err(refuse(&format!("whole numbers ({}) without a scale", info.dtype)))
            } else if self.marked.contains(module) && matches!(info.dtype, Dtype::F8E4M3 | Dtype::F8E5M2) {
                Err(refuse(&format!("{} without the scale that its comfy_quant speaks of", info.dtype)))
            } else {
                Ok(())
            };
        };
        let scale = source.info(&bound.key).unwrap_or_else(|| info.clone());
        match (info.dtype, scale.dtype) {
            (Dtype::U8 | Dtype::Bool, Dtype::F8E4M3) => return Err(refuse("nvfp4")),
            (Dtype::U8 | Dtype::Bool, _) => return Err(refuse("packed numbers (U8)")),
            (_, Dtype::F8E8M0 | Dtype::U8) => return Err(refuse("mxfp8 (scales that are powers of two)")),
            (own, _) if own.is_quantized() => return Err(refuse(&format!("{own} with a second scale"))),
            (_, Dtype::F16 | Dtype::BF16 | Dtype::F32 | Dtype::F64) => {}
            (_, other) => return Err(refuse(&format!("numbers with scales of {other}"))),
        }
        blocks(&info.shape, &scale.shape).map(drop).ok_or_else(|| Error::ScaleShape {
            tensor: key.to_owned(),
            shape: info.shape,
            scale: bound.key.clone(),
            found: scale.shape,
        })
    }

    /// The weight's scale, read from the file; `None` where it has none.
    pub(crate) fn scale(&self, source: &dyn TensorSource, key: &str) -> Result<Option<Scale>> {
        self.check(source, key)?;
        let (Some(bound), Some(info)) = (self.scales.get(key), source.info(key)) else { return Ok(None) };
        let (shape, mut values) = source.f32(&bound.key)?;
        let Some([rows_a_block, columns_a_block, blocks_a_row]) = blocks(&info.shape, &shape) else {
            return Ok(None);
        };
        values.iter_mut().for_each(|x| *x *= bound.factor);
        if let Some(bad) = values.iter().find(|x| !x.is_finite()) {
            let tensor = key.to_owned();
            return Err(Error::Quantisation { tensor, format: format!("numbers with a scale of {bad}") });
        }
        Ok(Some(Scale { values, rows_a_block, columns_a_block, blocks_a_row }))
    }
}

fn strip<'n, T>(name: &'n str, endings: &'static [(&str, T)]) -> Option<(&'n str, &'static T)> {
    endings.iter().find_map(|(end, what)| Some((name.strip_suffix(end)?, what)))
}

/// ComfyUI's `comfy_quant`: JSON that says how the module is stored. `None` where it is understood.
fn unknown_format(source: &dyn TensorSource, name: &str) -> Option<String> {
    if name.ends_with(".weight_format") {
        // bitsandbytes: 0 is rows as they are; other layouts are the graphics processor's.
        let plain = source.i64(name).is_ok_and(|(_, n)| n.iter().all(|n| *n == 0));
        return (!plain).then(|| "bitsandbytes' layout for graphics processors".to_owned());
    }
    if !name.ends_with(".comfy_quant") {
        return None;
    }
    let parsed = source.tensor(name).ok().and_then(|t| serde_json::from_slice::<Value>(t.bytes()).ok());
    let Some(Value::Object(entries)) = parsed else {
        return Some("a format that its comfy_quant doesn't name".to_owned());
    };
    let format = entries.get("format").and_then(Value::as_str).unwrap_or("(none)");
    let known = ["float8_e4m3fn", "float8_e5m2", "int8"].iter().any(|f| format.starts_with(f));
    if !known {
        return Some(format.to_owned());
    }
    const UNDERSTOOD: [&str; 6] =
        ["format", "full_precision_matrix_mult", "group_size", "block_size", "orig_dtype", "orig_shape"];
    let odd = entries.iter().find(|(key, value)| {
        !UNDERSTOOD.contains(&key.as_str()) && !matches!(value, Value::Null | Value::Bool(false))
    });
    odd.map(|(key, value)| format!("{format} with {key}: {value}"))
}

/// Rows and columns that share a scale, and scales in a row of blocks; the weight counts as a matrix of its first axis by all
/// others. `None` where the shapes have nothing to do with each other.
fn blocks(weight: &[usize], scale: &[usize]) -> Option<[usize; 3]> {
    let rows = weight.first().copied().unwrap_or(1).max(1);
    let columns = (weight.iter().skip(1).product::<usize>()).max(1);
    let mut scale = scale;
    while let [rest @ .., 1] = scale
        && rest.len() > 1
    {
        scale = rest;
    }
    match *scale {
        _ if scale.iter().product::<usize>() == 1 => Some([rows, columns, 1]),
        [n] if n == rows => Some([1, columns, 1]),
        // Weights with more than two axes have one scale a row at most.
        [n, 1] if n == rows => Some([1, columns, 1]),
        [a, b] if weight.len() == 2 && a > 0 && b > 0 => Some([step(rows, a)?, step(columns, b)?, b]),
        _ => None,
    }
}

/// How many of `extent` elements share one of `count` scales. The last block may be shorter where blocks are of 128, as they
/// are wherever both axes are cut.
fn step(extent: usize, count: usize) -> Option<usize> {
    if extent.div_ceil(128) == count && count > 1 {
        return Some(128);
    }
    extent.is_multiple_of(count).then(|| extent / count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_of_every_shape() {
        let w: &[usize] = &[256, 512];
        for (scale, expected) in [
            (&[][..], Some([256, 512, 1])),
            (&[1], Some([256, 512, 1])),
            (&[1, 1], Some([256, 512, 1])),
            (&[256], Some([1, 512, 1])),
            (&[256, 1], Some([1, 512, 1])),
            (&[256, 1, 1], Some([1, 512, 1])),
            (&[1, 512], Some([256, 1, 512])),
            (&[2, 4], Some([128, 128, 4])),
            (&[256, 16], Some([1, 32, 16])),
            (&[256, 16, 1], Some([1, 32, 16])),
            (&[512], None),
            (&[3, 1], None),
            (&[0], None),
        ] {
            assert_eq!(blocks(w, scale), expected, "{scale:?}");
        }
        assert_eq!(blocks(&[192, 300], &[2, 3]), Some([128, 128, 3]));
        assert_eq!(blocks(&[8, 3, 3], &[8]), Some([1, 9, 1]));
        assert_eq!(blocks(&[8, 3, 3], &[8, 3]), None);
        assert_eq!(blocks(&[4], &[4]), Some([1, 1, 1]));
        assert_eq!(blocks(&[4], &[]), Some([4, 1, 1]));
    }
}
