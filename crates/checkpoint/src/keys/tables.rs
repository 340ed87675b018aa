//! The spellings themselves. Sources: the names in the published files, and the conversion scripts of diffusers
//! (`convert_wan_to_diffusers.py`), transformers (UMT5, CLIP) and llama.cpp (T5).
//! So are the extras that their files hold and nobody needs.

use super::{Model, Rule, Spelling};

pub(super) fn spellings(model: Model) -> &'static [Spelling] {
    match model {
        Model::Dit => DIT,
        Model::Vae => VAE,
        Model::T5 => T5,
        Model::Clip => CLIP,
        Model::Lhm => LHM,
        Model::Sapiens => SAPIENS,
    }
}

const fn rule(from: &'static str, to: &'static str) -> Rule {
    Rule { from, to, rest: &[] }
}

/// What all-in-one files and repacks put in front of their parts: with one model wanted, the rest is somebody else's.
const OTHER_PARTS: [&str; 10] = [
    "first_stage_model.",
    "vae.",
    "text_encoders.",
    "text_encoder.",
    "cond_stage_model.",
    "conditioner.",
    "clip_vision.",
    "image_encoder.",
    "model_ema.",
    "tokenizer.",
];

/// Last parts of names that are no weights of any model, wherever they stand: the tokenizer that ComfyUI keeps in the text
/// encoder's file.
const HARMLESS: [&str; 1] = ["spiece_model"];

/// Does the name belong to another part of an all-in-one file?
pub(super) fn is_other_part(name: &str) -> bool {
    OTHER_PARTS.iter().any(|part| name.starts_with(part))
}

/// Is the tensor needed by no model at all?
pub(super) fn is_harmless_anywhere(name: &str) -> bool {
    HARMLESS.iter().any(|last| name.rsplit('.').next() == Some(*last))
}

const DIT: &[Spelling] = &[
    Spelling {
        anchors: &[
            "condition_embedder.time_embedder.linear_1.weight",
            "condition_embedder.time_proj.weight",
            "condition_embedder.text_embedder.linear_1.weight",
        ],
        beside: &[],
        roots: &[],
        harmless: &[
            // Written by the conversion, read by nobody: the image tokens have no queries.
            "blocks.{}.attn2.norm_added_q.weight",
        ],
        aliases: &[],
        rules: &[
            rule("condition_embedder.time_embedder.linear_1.", "time_embedding.0."),
            rule("condition_embedder.time_embedder.linear_2.", "time_embedding.2."),
            rule("condition_embedder.text_embedder.linear_1.", "text_embedding.0."),
            rule("condition_embedder.text_embedder.linear_2.", "text_embedding.2."),
            rule("condition_embedder.time_proj.", "time_projection.1."),
            rule("condition_embedder.image_embedder.norm1.", "img_emb.proj.0."),
            rule("condition_embedder.image_embedder.ff.net.0.proj.", "img_emb.proj.1."),
            rule("condition_embedder.image_embedder.ff.net.2.", "img_emb.proj.3."),
            rule("condition_embedder.image_embedder.norm2.", "img_emb.proj.4."),
            rule("scale_shift_table", "head.modulation"),
            rule("proj_out.", "head.head."),
            Rule {
                from: "blocks.{}.",
                to: "blocks.{}.",
                rest: &[
                    ("scale_shift_table", "modulation"),
                    ("norm2.", "norm3."),
                    ("attn1.to_q.", "self_attn.q."),
                    ("attn1.to_k.", "self_attn.k."),
                    ("attn1.to_v.", "self_attn.v."),
                    ("attn1.to_out.0.", "self_attn.o."),
                    ("attn1.", "self_attn."),
                    ("attn2.to_q.", "cross_attn.q."),
                    ("attn2.to_k.", "cross_attn.k."),
                    ("attn2.to_v.", "cross_attn.v."),
                    ("attn2.to_out.0.", "cross_attn.o."),
                    ("attn2.add_k_proj.", "cross_attn.k_img."),
                    ("attn2.add_v_proj.", "cross_attn.v_img."),
                    ("attn2.norm_added_k.", "cross_attn.norm_k_img."),
                    ("attn2.", "cross_attn."),
                    ("ffn.net.0.proj.", "ffn.0."),
                    ("ffn.net.2.", "ffn.2."),
                ],
            },
        ],
    },
    Spelling {
        anchors: &[
            "patch_embedding.weight",
            "time_projection.1.weight",
            "head.modulation",
            "text_embedding.0.weight",
        ],
        beside: &["blocks."],
        roots: &[],
        harmless: &[],
        aliases: &[],
        rules: &[],
    },
];

const RESIDUAL: &[(&str, &str)] = &[
    ("norm1.", "residual.0."),
    ("conv1.", "residual.2."),
    ("norm2.", "residual.3."),
    ("conv2.", "residual.6."),
    ("conv_shortcut.", "shortcut."),
];

const fn residual(from: &'static str, to: &'static str) -> Rule {
    Rule { from, to, rest: RESIDUAL }
}

const VAE: &[Spelling] = &[
    Spelling {
        anchors: &["decoder.conv_in.weight", "encoder.conv_in.weight"],
        beside: &["decoder.up_blocks.", "encoder.down_blocks."],
        roots: &[],
        harmless: &[],
        aliases: &[],
        rules: &[
            rule("quant_conv.", "conv1."),
            rule("post_quant_conv.", "conv2."),
            rule("encoder.conv_in.", "encoder.conv1."),
            rule("decoder.conv_in.", "decoder.conv1."),
            rule("encoder.norm_out.", "encoder.head.0."),
            rule("decoder.norm_out.", "decoder.head.0."),
            rule("encoder.conv_out.", "encoder.head.2."),
            rule("decoder.conv_out.", "decoder.head.2."),
            residual("encoder.mid_block.resnets.0.", "encoder.middle.0."),
            rule("encoder.mid_block.attentions.0.", "encoder.middle.1."),
            residual("encoder.mid_block.resnets.1.", "encoder.middle.2."),
            residual("decoder.mid_block.resnets.0.", "decoder.middle.0."),
            rule("decoder.mid_block.attentions.0.", "decoder.middle.1."),
            residual("decoder.mid_block.resnets.1.", "decoder.middle.2."),
            residual("encoder.down_blocks.{}.", "encoder.downsamples.{}."),
            residual("decoder.up_blocks.0.resnets.{}.", "decoder.upsamples.{}."),
            rule("decoder.up_blocks.0.upsamplers.0.", "decoder.upsamples.3."),
            residual("decoder.up_blocks.1.resnets.0.", "decoder.upsamples.4."),
            residual("decoder.up_blocks.1.resnets.1.", "decoder.upsamples.5."),
            residual("decoder.up_blocks.1.resnets.2.", "decoder.upsamples.6."),
            rule("decoder.up_blocks.1.upsamplers.0.", "decoder.upsamples.7."),
            residual("decoder.up_blocks.2.resnets.0.", "decoder.upsamples.8."),
            residual("decoder.up_blocks.2.resnets.1.", "decoder.upsamples.9."),
            residual("decoder.up_blocks.2.resnets.2.", "decoder.upsamples.10."),
            rule("decoder.up_blocks.2.upsamplers.0.", "decoder.upsamples.11."),
            residual("decoder.up_blocks.3.resnets.0.", "decoder.upsamples.12."),
            residual("decoder.up_blocks.3.resnets.1.", "decoder.upsamples.13."),
            residual("decoder.up_blocks.3.resnets.2.", "decoder.upsamples.14."),
        ],
    },
    Spelling {
        anchors: &["decoder.conv1.weight", "encoder.conv1.weight"],
        beside: &[],
        roots: &[],
        harmless: &[],
        aliases: &[],
        rules: &[],
    },
];

const T5: &[Spelling] = &[
    Spelling {
        anchors: &["shared.weight", "encoder.embed_tokens.weight", "encoder.final_layer_norm.weight"],
        beside: &["encoder.block."],
        roots: &[],
        harmless: &[
            // The other half of a whole UMT5, for writing text.
            "decoder.",
            "lm_head.weight",
        ],
        aliases: &[("encoder.embed_tokens.weight", "shared.weight")],
        rules: &[
            rule("shared.", "token_embedding."),
            rule("encoder.embed_tokens.", "token_embedding."),
            rule("encoder.final_layer_norm.", "norm."),
            Rule {
                from: "encoder.block.{}.layer.0.",
                to: "blocks.{}.",
                rest: &[
                    ("SelfAttention.relative_attention_bias.", "pos_embedding.embedding."),
                    ("SelfAttention.", "attn."),
                    ("layer_norm.", "norm1."),
                ],
            },
            Rule {
                from: "encoder.block.{}.layer.1.",
                to: "blocks.{}.",
                rest: &[
                    ("DenseReluDense.wi_0.", "ffn.gate.0."),
                    ("DenseReluDense.wi_1.", "ffn.fc1."),
                    ("DenseReluDense.wo.", "ffn.fc2."),
                    ("layer_norm.", "norm2."),
                ],
            },
        ],
    },
    Spelling {
        anchors: &["token_embd.weight", "enc.output_norm.weight"],
        beside: &["enc.blk."],
        roots: &[],
        harmless: &["dec.", "output.weight"],
        aliases: &[],
        rules: &[
            rule("token_embd.", "token_embedding."),
            rule("enc.output_norm.", "norm."),
            Rule {
                from: "enc.blk.{}.",
                to: "blocks.{}.",
                rest: &[
                    ("attn_norm.", "norm1."),
                    ("attn_rel_b.", "pos_embedding.embedding."),
                    ("attn_q.", "attn.q."),
                    ("attn_k.", "attn.k."),
                    ("attn_v.", "attn.v."),
                    ("attn_o.", "attn.o."),
                    ("ffn_norm.", "norm2."),
                    ("ffn_gate.", "ffn.gate.0."),
                    ("ffn_up.", "ffn.fc1."),
                    ("ffn_down.", "ffn.fc2."),
                ],
            },
        ],
    },
    Spelling {
        anchors: &["token_embedding.weight"],
        // The CLIP file's text tower has a token embedding too.
        beside: &["blocks.0.ffn.gate.", "blocks.0.pos_embedding.", "pos_embedding."],
        roots: &[],
        harmless: &[],
        aliases: &[],
        rules: &[],
    },
];

const CLIP: &[Spelling] = &[
    Spelling {
        anchors: &[
            "vision_model.embeddings.class_embedding",
            "vision_model.embeddings.patch_embedding.weight",
        ],
        beside: &[],
        roots: &["vision_model.", "visual_projection.", "text_model.", "text_projection.", "logit_scale"],
        harmless: &[
            "vision_model.embeddings.position_ids",
            "visual_projection.",
            "text_model.",
            "text_projection.",
            "logit_scale",
        ],
        aliases: &[],
        rules: &[
            rule("vision_model.embeddings.class_embedding", "visual.cls_embedding"),
            rule("vision_model.embeddings.patch_embedding.", "visual.patch_embedding."),
            rule("vision_model.embeddings.position_embedding.weight", "visual.pos_embedding"),
            rule("vision_model.pre_layrnorm.", "visual.pre_norm."),
            rule("vision_model.post_layernorm.", "visual.post_norm."),
            Rule {
                from: "vision_model.encoder.layers.{}.",
                to: "visual.transformer.{}.",
                rest: &[
                    ("layer_norm1.", "norm1."),
                    ("layer_norm2.", "norm2."),
                    ("self_attn.q_proj.", "attn.to_qkv#0."),
                    ("self_attn.k_proj.", "attn.to_qkv#1."),
                    ("self_attn.v_proj.", "attn.to_qkv#2."),
                    ("self_attn.out_proj.", "attn.proj."),
                    ("mlp.fc1.", "mlp.0."),
                    ("mlp.fc2.", "mlp.2."),
                ],
            },
        ],
    },
    // The published file holds the text tower too, with a patch embedding of the image tower alone.
    Spelling {
        anchors: &["visual.cls_embedding", "visual.pos_embedding"],
        beside: &[],
        roots: &["visual.", "textual.", "log_scale"],
        harmless: &[],
        aliases: &[],
        rules: &[],
    },
];

/// `state_dict` of `ModelHumanLRMSapdinoBodyHeadSD3_5` (aigc3d/LHM b31e76a).
const LHM: &[Spelling] = &[Spelling {
    anchors: &[
        "transformer.linear_cond_proj.weight",
        "renderer.mlp_net.layers.0.weight",
        "pcl_embed.mlp.weight",
    ],
    beside: &["transformer.layers."],
    roots: &[],
    harmless: &[
        // Buffers of the body, which the body's own file has; a loss of the training; a table of constants.
        "renderer.smplx_model.",
        "id_face_net.",
        "pcl_embed.basis",
        // What the DINOv2 hub's file has besides.
        "encoder.model.mask_token",
        // Sapiens is a file of its own; training checkpoints hold it too.
        "fine_encoder.",
    ],
    aliases: &[],
    rules: &[],
}];

/// Names of facebookresearch/sapiens' pretraining code. The TorchScript files have them below `backbone`, which is their name
/// here; state dicts of the encoder alone have them at the root.
const SAPIENS: &[Spelling] = &[Spelling {
    anchors: &["patch_embed.projection.weight", "layers.0.ffn.layers.0.0.weight"],
    beside: &["layers.0.ln1."],
    roots: &["cls_token", "pos_embed", "patch_embed.", "layers.", "ln1."],
    // The pretraining's other half.
    harmless: &["neck.", "head.", "decode_head.", "data_preprocessor."],
    aliases: &[],
    rules: &[
        rule("cls_token", "backbone.cls_token"),
        rule("pos_embed", "backbone.pos_embed"),
        rule("patch_embed.", "backbone.patch_embed."),
        rule("layers.", "backbone.layers."),
        rule("ln1.", "backbone.ln1."),
    ],
}];
