//! LHM's and Sapiens' tensors: the last layer has others than those before it, which patterns can't say.
//!
//! Sources: the classes of aigc3d/LHM (commit b31e76a), whose element count is that of the published file, and of
//! facebookresearch/sapiens (3e829ac).

use super::{Manifest, field};
use crate::{Error, Result};
use serde_json::Value;
use std::collections::BTreeMap;

/// Layers that a configuration may have, well beyond any model.
const MAX_LAYERS: usize = 512;
/// Sines and cosines of a point.
const WAVES: usize = 48;

/// Collects names and shapes below a prefix.
#[derive(Default)]
struct Names(BTreeMap<String, Vec<usize>>);

impl Names {
    fn add(&mut self, name: impl Into<String>, shape: &[usize]) {
        self.0.insert(name.into(), shape.to_vec());
    }

    fn linear(&mut self, name: &str, out: usize, from: usize) {
        self.add(format!("{name}.weight"), &[out, from]);
        self.add(format!("{name}.bias"), &[out]);
    }

    fn conv(&mut self, name: &str, out: usize, from: usize, kernel: usize) {
        self.add(format!("{name}.weight"), &[out, from, kernel, kernel]);
        self.add(format!("{name}.bias"), &[out]);
    }

    fn norm(&mut self, name: &str, d: usize) {
        self.add(format!("{name}.weight"), &[d]);
        self.add(format!("{name}.bias"), &[d]);
    }

    /// DINOv2 with registers, and the head that fuses its levels.
    fn dinov2(&mut self, at: &str, config: &Value) -> Result<()> {
        let get = |name: &str| field(config, name);
        let (d, patch) = (get("embed_dim")?, get("patch_size")?.max(1));
        let (wide, stored) = (d * get("mlp_ratio")?, get("img_size")? / patch);
        let model = format!("{at}.model");
        self.add(format!("{model}.cls_token"), &[1, 1, d]);
        self.add(format!("{model}.pos_embed"), &[1, 1 + stored * stored, d]);
        let registers = get("num_register_tokens")?;
        if registers > 0 {
            self.add(format!("{model}.register_tokens"), &[1, registers, d]);
        }
        self.conv(&format!("{model}.patch_embed.proj"), d, 3, patch);
        for i in 0..layers(get("depth")?, "depth")? {
            let block = format!("{model}.blocks.{i}");
            for (n, part) in ["1", "2"].into_iter().enumerate() {
                self.norm(&format!("{block}.norm{part}"), d);
                self.add(format!("{block}.ls{part}.gamma"), &[d]);
                let (out, from) = if n == 0 { (wide, d) } else { (d, wide) };
                self.linear(&format!("{block}.mlp.fc{part}"), out, from);
            }
            self.linear(&format!("{block}.attn.qkv"), 3 * d, d);
            self.linear(&format!("{block}.attn.proj"), d, d);
        }
        self.norm(&format!("{model}.norm"), d);
        let levels = config["intermediate_layer_idx"].as_array().map_or(0, Vec::len);
        for i in 0..layers(levels, "intermediate_layer_idx")? {
            self.conv(&format!("{at}.fusion_head.projects.{i}"), d, d, 1);
        }
        self.conv(&format!("{at}.fusion_head.output_conv"), get("encoder_feat_dim")?, levels * d, 1);
        Ok(())
    }

    /// A block of points and picture tokens.
    fn joint(&mut self, at: &str, d: usize, head: usize, last: bool) {
        self.linear(&format!("{at}.norm1.linear"), 6 * d, d);
        self.linear(&format!("{at}.norm1_context.linear"), if last { 2 * d } else { 6 * d }, d);
        for norm in ["norm_q", "norm_k", "norm_added_q", "norm_added_k"] {
            self.add(format!("{at}.attn.{norm}.weight"), &[head]);
        }
        for linear in ["to_q", "to_k", "to_v", "add_q_proj", "add_k_proj", "add_v_proj", "to_out.0"] {
            self.linear(&format!("{at}.attn.{linear}"), d, d);
        }
        if !last {
            self.linear(&format!("{at}.attn.to_add_out"), d, d);
        }
        for ff in ["ff", "ff_context"].into_iter().take(if last { 1 } else { 2 }) {
            self.linear(&format!("{at}.{ff}.net.0.proj"), 4 * d, d);
            self.linear(&format!("{at}.{ff}.net.2"), d, 4 * d);
        }
    }
}

fn layers(n: usize, name: &str) -> Result<usize> {
    if n <= MAX_LAYERS { Ok(n) } else { Err(Error::ConfigField(name.to_owned())) }
}

/// What the network needs of LHM's file. `config` is the flat configuration with `encoder` in it.
pub(super) fn lhm(config: &Value) -> Result<Manifest> {
    let get = |name: &str| field(config, name);
    let (d, cond) = (get("transformer_dim")?, get("fine_encoder_feat_dim")?);
    let head = d / get("transformer_heads")?.max(1);
    let mut names = Names::default();
    names.dinov2("encoder", &config["encoder"])?;
    names.linear("pcl_embed.mlp", d, WAVES + 3);
    names.norm("pcl_embed.norm", d);
    names.linear("motion_embed_mlp.0", cond / 2, cond);
    names.linear("motion_embed_mlp.2", 2 * d, cond / 2);
    names.linear("transformer.linear_cond_proj", d, cond);
    names.norm("transformer.norm", d);
    let n = layers(get("transformer_layers")?, "transformer_layers")?;
    for i in 0..n {
        for block in ["head_dit", "body_dit"] {
            names.joint(&format!("transformer.layers.{i}.{block}"), d, head, i + 1 == n);
        }
    }
    let mlp = &config["gs_mlp_network_config"];
    let (wide, hidden) =
        (field(mlp, "n_neurons")?, layers(field(mlp, "n_hidden_layers")?, "n_hidden_layers")?);
    for i in 0..=hidden {
        let (out, from) = (if i == hidden { d } else { wide }, if i == 0 { d } else { wide });
        names.linear(&format!("renderer.mlp_net.layers.{}", 2 * i), out, from);
    }
    let fixed = |name: &str| config[name].as_bool().unwrap_or(false);
    let outs = [
        ("xyz", 3, false),
        ("scaling", 3, false),
        ("shs", 3, false),
        ("opacity", 1, fixed("fix_opacity")),
        ("rotation", 4, fixed("fix_rotation")),
    ];
    for (name, n, _) in outs.into_iter().filter(|(_, _, fixed)| !fixed) {
        names.linear(&format!("renderer.gs_net.out_layers.{name}"), n, d);
    }
    Ok(Manifest { tensors: names.0 })
}

/// Sapiens' encoder, below `backbone`.
pub(super) fn sapiens(config: &Value) -> Result<Manifest> {
    let get = |name: &str| field(config, name);
    let arch = |name: &str| field(&config["arch"], name);
    let (d, wide) = (arch("embed_dims")?, arch("feedforward_channels")?);
    let patch = get("patch_size")?.max(1);
    let class = config["with_cls_token"].as_bool().unwrap_or(true);
    let mut names = Names::default();
    if class {
        names.add("backbone.cls_token", &[1, 1, d]);
    }
    let grid = get("img_size")? / patch;
    names.add("backbone.pos_embed", &[1, usize::from(class) + grid * grid, d]);
    names.conv("backbone.patch_embed.projection", d, 3, patch);
    for i in 0..layers(arch("num_layers")?, "num_layers")? {
        let layer = format!("backbone.layers.{i}");
        names.norm(&format!("{layer}.ln1"), d);
        names.norm(&format!("{layer}.ln2"), d);
        names.linear(&format!("{layer}.attn.qkv"), 3 * d, d);
        names.linear(&format!("{layer}.attn.proj"), d, d);
        names.linear(&format!("{layer}.ffn.layers.0.0"), wide, d);
        names.linear(&format!("{layer}.ffn.layers.1"), d, wide);
    }
    if config["final_norm"].as_bool().unwrap_or(true) {
        names.norm("backbone.ln1", d);
    }
    Ok(Manifest { tensors: names.0 })
}
