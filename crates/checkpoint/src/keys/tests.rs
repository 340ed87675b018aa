//! Names of the ecosystem and what they become.

use super::*;
use crate::Error;
use std::collections::BTreeMap;

fn one(model: Model, names: &[&str]) -> BTreeMap<String, Parts> {
    name_tensors(model, names, None).unwrap().by_name
}

#[test]
fn prefixes_come_from_the_anchor() {
    for prefix in ["", "model.", "model.diffusion_model.", "a.b.c."] {
        let names = [
            format!("{prefix}patch_embedding.weight"),
            format!("{prefix}blocks.3.ffn.0.bias"),
            "x.y".to_owned(),
        ];
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let named = name_tensors(Model::Dit, &names, None).unwrap();
        assert!(named.by_name.contains_key("blocks.3.ffn.0.bias"), "{prefix}");
        assert_eq!(named.outside.len(), usize::from(!prefix.is_empty()));
    }
    let two = ["ema", "model"]
        .map(|p| ["patch_embedding.weight", "blocks.0.x"].map(|n| format!("{p}.{n}")))
        .concat();
    let two: Vec<&str> = two.iter().map(String::as_str).collect();
    assert!(matches!(name_tensors(Model::Dit, &two, None), Err(Error::SeveralModels { .. })));
    let chosen = name_tensors(Model::Dit, &two, Some("ema.")).unwrap();
    assert_eq!(chosen.by_name["patch_embedding.weight"], ["ema.patch_embedding.weight"]);
    assert!(chosen.outside.is_empty(), "{:?}", chosen.outside);
    assert!(
        matches!(name_tensors(Model::Vae, &two, None), Err(Error::NotThisModel { holds, .. }) if holds == ["Wan transformer"])
    );
    assert!(matches!(
        name_tensors(Model::Vae, &["xdecoder.conv1.weight"], None),
        Err(Error::NotThisModel { .. })
    ));
}

#[test]
fn diffusers_names_become_wan_names() {
    let dit = [
        ("condition_embedder.time_proj.weight", "time_projection.1.weight"),
        ("condition_embedder.text_embedder.linear_2.bias", "text_embedding.2.bias"),
        ("condition_embedder.image_embedder.ff.net.0.proj.weight", "img_emb.proj.1.weight"),
        ("condition_embedder.image_embedder.norm2.bias", "img_emb.proj.4.bias"),
        ("patch_embedding.weight", "patch_embedding.weight"),
        ("blocks.17.attn1.to_out.0.weight", "blocks.17.self_attn.o.weight"),
        ("blocks.17.attn2.add_k_proj.bias", "blocks.17.cross_attn.k_img.bias"),
        ("blocks.17.attn2.norm_added_k.weight", "blocks.17.cross_attn.norm_k_img.weight"),
        ("blocks.17.norm2.weight", "blocks.17.norm3.weight"),
        ("blocks.17.ffn.net.0.proj.weight", "blocks.17.ffn.0.weight"),
        ("blocks.17.ffn.net.2.bias", "blocks.17.ffn.2.bias"),
        ("blocks.17.scale_shift_table", "blocks.17.modulation"),
        ("scale_shift_table", "head.modulation"),
        ("proj_out.weight", "head.head.weight"),
    ];
    let mut names: Vec<&str> = dit.iter().map(|(from, _)| *from).collect();
    names.push("condition_embedder.time_embedder.linear_1.weight");
    let named = one(Model::Dit, &names);
    for (from, to) in dit {
        assert_eq!(named.get(to), Some(&vec![from.to_owned()]), "{from}");
        assert_eq!(to_own(Model::Dit, from), to);
        let other = (from != to).then_some(from);
        assert_eq!(to_others(Model::Dit, to), Vec::from_iter(other));
    }
    let vae = [
        ("decoder.conv_in.weight", "decoder.conv1.weight"),
        ("quant_conv.bias", "conv1.bias"),
        ("post_quant_conv.weight", "conv2.weight"),
        ("encoder.down_blocks.3.conv_shortcut.weight", "encoder.downsamples.3.shortcut.weight"),
        ("encoder.down_blocks.5.time_conv.bias", "encoder.downsamples.5.time_conv.bias"),
        ("encoder.mid_block.resnets.1.norm2.gamma", "encoder.middle.2.residual.3.gamma"),
        ("decoder.mid_block.attentions.0.to_qkv.weight", "decoder.middle.1.to_qkv.weight"),
        ("decoder.up_blocks.1.resnets.2.conv2.weight", "decoder.upsamples.6.residual.6.weight"),
        ("decoder.up_blocks.1.resnets.0.conv_shortcut.bias", "decoder.upsamples.4.shortcut.bias"),
        ("decoder.up_blocks.2.upsamplers.0.resample.1.weight", "decoder.upsamples.11.resample.1.weight"),
        ("decoder.norm_out.gamma", "decoder.head.0.gamma"),
        ("encoder.conv_out.weight", "encoder.head.2.weight"),
    ];
    let named = one(Model::Vae, &vae.map(|(from, _)| from));
    for (from, to) in vae {
        assert_eq!(named.get(to), Some(&vec![from.to_owned()]), "{from}");
    }
}

#[test]
fn text_and_image_encoders_of_other_libraries() {
    let t5 = [
        ("shared.weight", "token_embedding.weight"),
        (
            "encoder.block.7.layer.0.SelfAttention.relative_attention_bias.weight",
            "blocks.7.pos_embedding.embedding.weight",
        ),
        ("encoder.block.7.layer.1.DenseReluDense.wi_0.weight", "blocks.7.ffn.gate.0.weight"),
        ("encoder.block.7.layer.1.layer_norm.weight", "blocks.7.norm2.weight"),
        ("encoder.final_layer_norm.weight", "norm.weight"),
    ];
    let named = one(Model::T5, &t5.map(|(from, _)| from));
    for (from, to) in t5 {
        assert_eq!(named.get(to), Some(&vec![from.to_owned()]), "{from}");
    }
    let gguf = [
        ("token_embd.weight", "token_embedding.weight"),
        ("enc.blk.2.ffn_up.weight", "blocks.2.ffn.fc1.weight"),
        ("enc.output_norm.weight", "norm.weight"),
    ];
    let named = one(Model::T5, &gguf.map(|(from, _)| from));
    for (from, to) in gguf {
        assert_eq!(named.get(to), Some(&vec![from.to_owned()]), "{from}");
    }
    let clip = [
        "vision_model.embeddings.class_embedding",
        "vision_model.encoder.layers.0.self_attn.v_proj.weight",
        "vision_model.encoder.layers.0.self_attn.q_proj.weight",
        "vision_model.encoder.layers.0.self_attn.k_proj.weight",
        "vision_model.encoder.layers.0.mlp.fc2.bias",
    ];
    let named = one(Model::Clip, &clip);
    assert_eq!(named["visual.transformer.0.attn.to_qkv.weight"], [clip[2], clip[3], clip[1]]);
    assert_eq!(named["visual.transformer.0.mlp.2.bias"], [clip[4]]);
    assert_eq!(named["visual.cls_embedding"], [clip[0]]);
}

#[test]
fn two_names_for_one_tensor_are_refused() {
    let names = ["condition_embedder.time_embedder.linear_1.weight", "proj_out.weight", "head.head.weight"];
    assert!(
        matches!(name_tensors(Model::Dit, &names, None), Err(Error::Ambiguous { name, .. }) if name == "head.head.weight")
    );
}

#[test]
fn parts_are_found_in_all_in_one_files() {
    let names = [
        "model.diffusion_model.patch_embedding.weight",
        "model.diffusion_model.blocks.0.ffn.0.weight",
        "text_encoders.umt5xxl.transformer.shared.weight",
        "text_encoders.umt5xxl.transformer.encoder.block.0.layer.1.DenseReluDense.wo.weight",
        "text_encoders.umt5xxl.logit_scale",
        "text_encoders.umt5xxl.spiece_model",
        "vae.decoder.conv1.weight",
        "vae.conv2.bias",
        "clip_vision.vision_model.embeddings.class_embedding",
        "clip_vision.vision_model.embeddings.patch_embedding.weight",
        "clip_vision.visual_projection.weight",
    ];
    for (model, own) in [(Model::Dit, 2), (Model::T5, 2), (Model::Vae, 2), (Model::Clip, 2)] {
        let named = name_tensors(model, &names, None).unwrap();
        assert_eq!((named.by_name.len(), named.outside.len()), (own, 0), "{model:?}: {named:?}");
    }
    // The image encoder beside a transformer without any prefix.
    let names = [
        "patch_embedding.weight",
        "blocks.0.ffn.0.weight",
        "visual.cls_embedding",
        "visual.patch_embedding.weight",
    ];
    for model in [Model::Dit, Model::Clip] {
        let named = name_tensors(model, &names, None).unwrap();
        assert_eq!((named.by_name.len(), named.outside.len()), (2, 0), "{model:?}: {named:?}");
    }
    // One lost tensor doesn't hide a model.
    let lost = ["blocks.0.ffn.0.weight", "head.modulation", "text_embedding.0.weight"];
    assert_eq!(name_tensors(Model::Dit, &lost, None).unwrap().by_name.len(), 3);
}

#[test]
fn extras_that_nobody_needs_are_known_by_spelling() {
    let dit = [
        "condition_embedder.time_proj.weight",
        "blocks.3.attn2.norm_added_q.weight",
        "blocks.3.attn2.norm_added_z.weight",
    ];
    let named = name_tensors(Model::Dit, &dit, None).unwrap();
    assert_eq!(named.harmless, ["blocks.3.attn2.norm_added_q.weight"]);
    assert!(named.by_name.contains_key("blocks.3.cross_attn.norm_added_z.weight"));

    let t5 = [
        "shared.weight",
        "encoder.embed_tokens.weight",
        "encoder.block.0.layer.0.layer_norm.weight",
        "spiece_model",
        "decoder.block.0.x",
        "lm_head.weight",
    ];
    let named = name_tensors(Model::T5, &t5, None).unwrap();
    assert_eq!((named.by_name.len(), named.harmless.len()), (2, 4), "{named:?}");
    assert_eq!(named.by_name["token_embedding.weight"], ["shared.weight"]);
    let named = name_tensors(Model::T5, &t5[1..], None).unwrap();
    assert_eq!(named.by_name["token_embedding.weight"], ["encoder.embed_tokens.weight"]);

    let clip = [
        "vision_model.embeddings.class_embedding",
        "vision_model.embeddings.position_ids",
        "visual_projection.weight",
        "text_model.x",
        "logit_scale",
    ];
    let named = name_tensors(Model::Clip, &clip, None).unwrap();
    assert_eq!((named.by_name.len(), named.harmless.len()), (1, 4), "{named:?}");
}
