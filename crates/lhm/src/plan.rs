//! What an avatar will take, before anything runs: arithmetic, memory, reading.
//!
//! Pure arithmetic over the hyperparameters; the number of parameters is exact, memory is an estimate of the peak.

use crate::Config;
use crate::transformer::ROWS;

/// How matrices are held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Storage {
    /// Four bytes a number.
    #[default]
    F32,
    /// Two bytes a number.
    Bf16,
    /// Blocks of 32 numbers in 34 bytes.
    Q8,
}

impl Storage {
    fn bytes(self, numbers: u64) -> u64 {
        match self {
            Self::F32 => 4 * numbers,
            Self::Bf16 => 2 * numbers,
            Self::Q8 => numbers.div_ceil(32) * 34,
        }
    }
}

/// What is to be computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Workload {
    /// How matrices are held.
    pub storage: Storage,
    /// Number of points; `None` for the configuration's.
    pub points: Option<usize>,
}

/// What it takes. Sizes in bytes, arithmetic in floating-point operations (a multiply-add counts as 2).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// Number of points.
    pub points: usize,
    /// Number of picture tokens.
    pub tokens: usize,
    /// Parameters of the network in LHM's file.
    pub parameters: u64,
    /// Parameters of Sapiens.
    pub sapiens_parameters: u64,
    /// Arithmetic of Sapiens.
    pub body_flops: f64,
    /// Arithmetic of DINOv2.
    pub head_flops: f64,
    /// Arithmetic of the transformer.
    pub points_flops: f64,
    /// Of that, attention.
    pub attention_flops: f64,
    /// Weights that are read from their files; each is read once.
    pub read_bytes: u64,
    /// Weights that are held at once: the largest block's.
    pub weight_bytes: u64,
    /// Everything at the peak, which is the transformer's.
    pub peak_bytes: u64,
}

impl Plan {
    /// All arithmetic.
    #[must_use]
    pub fn flops(&self) -> f64 {
        self.body_flops + self.head_flops + self.points_flops
    }
}

/// A vision transformer: (parameters of a block, arithmetic of a block over so many tokens).
fn vit_block(dim: usize, hidden: usize, tokens: usize, scales: bool) -> (u64, f64) {
    let (d, h) = (dim as u64, hidden as u64);
    let matrices = 4 * d * d + 2 * d * h;
    let vectors = 4 * d + d + h + 4 * d + if scales { 2 * d } else { 0 };
    let (l, df) = (tokens as f64, dim as f64);
    (matrices + vectors, 2.0 * l * matrices as f64 + 4.0 * l * l * df)
}

/// Works out what an avatar takes.
#[must_use]
pub fn plan(config: &Config, work: &Workload) -> Plan {
    let linear = |a: usize, b: usize| (a * b + b) as u64;
    let (e, s, c) = (&config.encoder, &config.fine_encoder, config);
    let (d, wide) = (c.transformer_dim, c.fine_encoder_feat_dim);

    let body_tokens = s.n_patches();
    let (layer, layer_flops) =
        vit_block(s.arch.embed_dims, s.arch.feedforward_channels, body_tokens + 1, false);
    let first = usize::from(s.with_cls_token);
    let patch = linear(3 * s.patch_size * s.patch_size, s.arch.embed_dims);
    let around = (first + first + body_tokens) * s.arch.embed_dims
        + if s.final_norm { 2 * s.arch.embed_dims } else { 0 };
    let sapiens_parameters = s.arch.num_layers as u64 * layer + patch + around as u64;
    let patch_flops =
        |patch: usize, dim: usize, tokens: usize| 2.0 * (3 * patch * patch * dim * tokens) as f64;
    let body_flops =
        s.arch.num_layers as f64 * layer_flops + patch_flops(s.patch_size, s.arch.embed_dims, body_tokens);

    let head_tokens = e.n_patches();
    let special = 1 + e.num_register_tokens;
    let (block, block_flops) = vit_block(e.embed_dim, e.embed_dim * e.mlp_ratio, head_tokens + special, true);
    let levels = e.intermediate_layer_idx.len();
    let stored = (e.img_size / e.patch_size.max(1)).pow(2);
    let dino = e.depth as u64 * block
        + linear(3 * e.patch_size * e.patch_size, e.embed_dim)
        + ((1 + 1 + stored + e.num_register_tokens + 2) * e.embed_dim) as u64
        + levels as u64 * linear(e.embed_dim, e.embed_dim)
        + linear(levels * e.embed_dim, e.encoder_feat_dim);
    let fused = 2.0 * (head_tokens * levels * e.embed_dim * (e.embed_dim + e.encoder_feat_dim)) as f64;
    let blocks = e.intermediate_layer_idx.last().map_or(0, |l| l + 1);
    let head_flops =
        blocks as f64 * block_flops + patch_flops(e.patch_size, e.embed_dim, head_tokens) + fused;

    let n = work.points.unwrap_or(c.dense_sample_pts);
    let head_points = n - (n as f64 * 0.75) as usize;
    let t = c.transformer();
    let (layers, head) = (t.num_layers as u64, (d / t.num_heads.max(1)) as u64);
    let ff = linear(d, t.ff_mult * d) + linear(t.ff_mult * d, d);
    // Two modulations, eight products and four norms of heads, two feed-forward layers.
    let joint = 2 * linear(d, 6 * d) + 8 * linear(d, d) + 4 * head + 2 * ff;
    let dropped = linear(d, 6 * d) - linear(d, 2 * d) + linear(d, d) + ff;
    let transformer = 2 * (layers * joint - dropped) + linear(t.cond_dim, d) + 2 * d as u64;
    let mlp = &c.heads.mlp_network_config;
    let inner = (mlp.n_hidden_layers.max(1) - 1) as u64 * linear(mlp.n_neurons, mlp.n_neurons);
    let outs = 3 + 3 + 3 + usize::from(!c.heads.fix_opacity) + if c.heads.fix_rotation { 0 } else { 4 };
    let small = linear(crate::EMBED_HIDDEN + 3, d)
        + 2 * d as u64
        + linear(wide, wide / 2)
        + linear(wide / 2, 2 * d)
        + linear(d, mlp.n_neurons)
        + inner
        + linear(mlp.n_neurons, d)
        + linear(d, outs);
    // The table of frequencies is in the file too.
    let frequencies = 3 * (crate::EMBED_HIDDEN / 2) as u64;

    let (mut attention_flops, mut rest) = (0.0, 0.0);
    for (points, tokens) in [(head_points, head_tokens), (n, body_tokens)] {
        let (p, k, df) = (points as f64, tokens as f64, d as f64);
        let asking = p * layers as f64 + k * (layers as f64 - 1.0);
        attention_flops += 4.0 * asking * (p + k) * df;
        let products = 2.0 * df * df * (2.0 + 2.0 * t.ff_mult as f64);
        rest += asking * products + 2.0 * 2.0 * df * df * (p + k) * layers as f64;
    }
    rest += 2.0 * ((body_tokens + head_tokens) * t.cond_dim * d) as f64;

    // Points, keys and values of points and tokens, one chunk's intermediates, the tokens.
    let (n64, d64) = (n as u64, d as u64);
    let tokens = (body_tokens + head_tokens) as u64;
    let rows = ROWS.min(n) as u64;
    let activations = 4 * d64 * (n64 + 2 * (n64 + tokens) + tokens + rows * (1 + t.ff_mult as u64).max(4));
    let picture = u64::from(c.preprocess.size().0).pow(2) * 3 * 4 * 3;
    let weight_bytes = work.storage.bytes(joint.max(layer).max(block));
    let parameters = dino + transformer + small + frequencies;
    Plan {
        points: n,
        tokens: tokens as usize,
        parameters,
        sapiens_parameters,
        body_flops,
        head_flops,
        points_flops: attention_flops + rest,
        attention_flops,
        // Files hold f32.
        read_bytes: 4 * (parameters + sapiens_parameters),
        weight_bytes,
        peak_bytes: activations + weight_bytes + picture + BASE_BYTES,
    }
}

/// The program itself, the picture, the body and what the allocator keeps.
const BASE_BYTES: u64 = 400 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Variant;

    #[test]
    fn counts_the_published_models_exactly() {
        // `network_parameters` of the files' manifest.
        for (variant, parameters) in
            [(Variant::Mini, 442_314_582), (Variant::M500, 668_992_854), (Variant::B1, 1_424_587_094)]
        {
            let plan = plan(&Config::variant(variant), &Workload::default());
            assert_eq!(plan.parameters, parameters, "{variant:?}");
        }
    }

    #[test]
    fn arithmetic_is_that_of_the_layers() {
        let of = |variant| plan(&Config::variant(variant), &Workload::default());
        // The layers' own counts, in TFLOP; ours are smaller by the queries of the last layer's tokens, which nobody needs.
        for (variant, points, attention) in
            [(Variant::Mini, 6.5, 5.1), (Variant::M500, 49.2, 42.3), (Variant::B1, 147.7, 126.9)]
        {
            let plan = of(variant);
            let shares = [plan.points_flops / 1e12 / points, plan.attention_flops / 1e12 / attention];
            assert!(shares.iter().all(|share| (0.9..1.0).contains(share)), "{variant:?}: {shares:?}");
        }
        let plan = of(Variant::B1);
        assert!((plan.body_flops / 1e12 - 13.4).abs() < 0.2, "{}", plan.body_flops / 1e12);
        assert!((plan.head_flops / 1e12 - 0.74).abs() < 0.05, "{}", plan.head_flops / 1e12);
        assert_eq!(plan.tokens, 5120);
    }
}
