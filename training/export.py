"""Writes trained weights in the published checkpoints' names, in f16, with their configuration, and a golden of them.

    python export.py --state OUT --to ../assets/demo/weights --golden ../fixtures/goldens-trained
"""

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import save_file

import wan
from config import CLIP, DIT, PROMPT_IDS, T5, VAE


def stacked(params, prefix):
    return {k.removeprefix(prefix): v for k, v in params.items() if k.startswith(prefix)}


def shards(to, tensors, count=2):
    """The tensors by name in `count` files of about the same size, each in a folder of its own."""
    whole, parts, done = sum(t.numel() for t in tensors.values()), [{} for _ in range(count)], 0
    for key in sorted(tensors):
        parts[done * count // whole][key] = tensors[key]
        done += tensors[key].numel()
    return [(to / f"dit-{i}" / f"dit-{i:05}-of-{count:05}.safetensors", part) for i, part in enumerate(parts, 1)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--state", required=True, help="folder with vae.pt and dit.pt")
    parser.add_argument("--to", required=True)
    parser.add_argument("--golden")
    args = parser.parse_args()
    to, state = Path(args.to), Path(args.state)
    to.mkdir(parents=True, exist_ok=True)
    vae = torch.load(state / "vae.pt", map_location="cpu")
    params = torch.load(state / "dit.pt", map_location="cpu")["params"]
    half = lambda tensors: {k: v.detach().half().contiguous() for k, v in tensors.items()}
    files = {
        "vae": half(vae["params"]),
        "dit": half(stacked(params, "dit.")),
        "anicrafter": half({k: v for k, v in params.items() if k.startswith(("blend_embedding.", "smplx_embedding."))}),
        # The published file's temperature is part of its strict list; no stage reads it.
        "clip": half({"visual." + k: v for k, v in stacked(params, "clip.").items()} | {"log_scale": torch.zeros(())}),
        "t5": half(wan.t5_init(T5, 3)),
    }
    total = 0
    for name, tensors in files.items():
        for key, tensor in tensors.items():
            assert tensor.isfinite().all(), f"{name}: {key} isn't finite in f16"
        # The transformer goes into two packages: the registry takes at most 10 MB each.
        for path, part in shards(to, tensors) if name == "dit" else [(to / f"{name}.safetensors", tensors)]:
            path.parent.mkdir(exist_ok=True)
            save_file(part, path)
            total += path.stat().st_size
    numbers = lambda t: [round(float(v), 6) for v in t]
    config = {
        "dit": DIT,
        "vae": VAE | {"mean": numbers(vae["mean"]), "std": numbers(vae["std"])},
        "text": T5,
        "image": CLIP,
    }
    (to / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    print(f"{total} bytes in {to}")
    if args.golden:
        golden(files, config, Path(args.golden))


@torch.no_grad()
def golden(files, config, folder):
    """Inputs and outputs of the rounded weights in f32, small enough to keep."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: {k: v.float() for k, v in tensors.items()} for name, tensors in files.items()}
    draw = torch.Generator().manual_seed(7)
    grid = (2, 6, 8)
    x = torch.randn((1, DIT["out_dim"], *grid), generator=draw)
    y = torch.randn((1, DIT["in_dim"] - DIT["out_dim"], *grid), generator=draw)
    context = torch.nn.functional.pad(wan.t5_forward(weights["t5"], T5, PROMPT_IDS), (0, 0, 0, DIT["text_len"] - len(PROMPT_IDS)))
    picture = torch.rand((1, 3, 48, 64), generator=draw) * 2 - 1
    clip = {k.removeprefix("visual."): v for k, v in weights["clip"].items() if k != "log_scale"}
    feature = wan.clip_forward(clip, CLIP, picture)
    frames = torch.rand((1, 8, 48, 64, 4), generator=draw) * 2 - 1
    stacks = [stacked(weights["anicrafter"], p) for p in ("blend_embedding.", "smplx_embedding.")]
    tokens = wan.condition_tokens(*(wan.embedder_forward(s, frames) for s in stacks))
    timestep = torch.tensor([937.5])
    velocity = wan.dit_forward(weights["dit"], DIT, x, timestep, context, feature, y, tokens)
    video = torch.rand((1, 5, 48, 64, 3), generator=draw) * 2 - 1
    mean, std = (torch.tensor(config["vae"][k]) for k in ("mean", "std"))
    latents = wan.to_latents(wan.vae_encode_raw(weights["vae"], VAE, video), mean, std)
    decoded = wan.vae_decode_raw(weights["vae"], VAE, wan.from_latents(latents, mean, std)).clamp(-1, 1)
    tensors = {
        "x": x,
        "y": y,
        "timestep": timestep,
        "context": context,
        "picture": picture,
        "clip_feature": feature,
        "frames": frames.permute(0, 4, 1, 2, 3),
        "tokens": tokens,
        "velocity": velocity,
        "video": video.permute(0, 4, 1, 2, 3),
        "latents": latents,
        "decoded": decoded.permute(0, 4, 1, 2, 3),
    }
    save_file({k: v.contiguous() for k, v in tensors.items()}, folder / "trained.safetensors")


if __name__ == "__main__":
    main()
