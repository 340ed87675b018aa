"""Fits the colours of the latents (a linear map to RGB, for rough previews without a decoder) and writes them into the weights' configuration.

    python colours.py --weights ../assets/demo/weights VIDEO...
"""

import argparse
import json
import subprocess
from pathlib import Path

import torch
from safetensors.torch import load_file

import wan

HEIGHT, WIDTH = 192, 320


def frames(path):
    """`[T, H, W, 3]` in -1..1, T of the form 4k + 1."""
    command = ["ffmpeg", "-v", "error", "-i", path, "-vf", f"scale={WIDTH}:{HEIGHT}", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(command, check=True, capture_output=True).stdout
    video = torch.frombuffer(bytearray(raw), dtype=torch.uint8).reshape(-1, HEIGHT, WIDTH, 3)
    return video[: (len(video) - 1) // 4 * 4 + 1].float() / 127.5 - 1


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", required=True)
    parser.add_argument("videos", nargs="+")
    args = parser.parse_args()
    file = Path(args.weights) / "config.json"
    config = json.loads(file.read_text())
    vae = config["vae"]
    weights = {k: v.float() for k, v in load_file(Path(args.weights) / "vae.safetensors").items()}
    mean, std = torch.tensor(vae["mean"]), torch.tensor(vae["std"])
    rows, colours = [], []
    for path in args.videos:
        video = frames(path)
        latents = wan.to_latents(wan.vae_encode_raw(weights, vae, video[None]), mean, std)[0]  # [z, T', h, w]
        # A latent frame stands for four frames; the first for one.
        seen = torch.cat([video[:1], video[1:].unflatten(0, (-1, 4)).mean(1)])
        seen = torch.nn.functional.interpolate(seen.permute(0, 3, 1, 2), size=latents.shape[-2:], mode="area")
        rows.append(latents.flatten(1).T)
        colours.append(seen.permute(1, 0, 2, 3).flatten(1).T)
    rows, colours = torch.cat(rows).double(), torch.cat(colours).double()
    rows = torch.cat([rows, torch.ones_like(rows[:, :1])], 1)
    fitted = torch.linalg.lstsq(rows, colours).solution
    error = (rows @ fitted - colours).pow(2).mean().sqrt()
    print(f"{len(rows)} latents, root mean square error {error:.4f} of colours from -1 to 1 (spread {colours.std():.4f})")
    numbers = lambda t: [round(float(v), 4) for v in t]
    vae["colours"] = {"map": [numbers(row) for row in fitted[:-1]], "bias": numbers(fitted[-1])}
    file.write_text(json.dumps(config, indent=1) + "\n")


if __name__ == "__main__":
    main()
