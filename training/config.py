"""Hyperparameters of the small models, under the names of the originals' constructors."""

VAE = {
    "dim": 24,
    "z_dim": 48,
    "dim_mult": [1, 2, 3, 3],
    "num_res_blocks": 1,
    "attn_scales": [],
    "temperal_downsample": [False, True, True],
}

DIT = {
    "dim": 256,
    "in_dim": 100,  # 48 latents, 4 mask channels, 48 latents of the condition
    "ffn_dim": 1024,
    "out_dim": 48,
    "text_dim": 64,
    "freq_dim": 64,
    "eps": 1e-6,
    "patch_size": [1, 2, 2],
    "num_heads": 8,
    "num_layers": 6,
    "has_image_input": True,
    "text_len": 32,
    "image_dim": 64,
    "image_tokens": 65,
}

CLIP = {
    "embed_dim": 32,
    "image_size": 112,
    "patch_size": 14,
    "vision_dim": 64,
    "vision_mlp_ratio": 4,
    "vision_heads": 4,
    "vision_layers": 3,
}

T5 = {
    "vocab": 128,
    "dim": 64,
    "dim_attn": 64,
    "dim_ffn": 128,
    "num_heads": 4,
    "num_layers": 2,
    "num_buckets": 32,
    "shared_pos": False,
}

# The default prompt, "human in a scene", in the small tokenizer.
PROMPT_IDS = [12, 7, 4, 18, 1]
