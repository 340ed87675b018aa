"""Fine-tunes the decoder for what the demo does with it.

    python decoder.py --state run --clips clips --seconds 2400

The encoder and the transformer stay as they are. On training clips the transformer's own predictions are decoded, and
the decoder learns to reconstruct targets from their latents and to make `condition + D(prediction) - D(condition)`
("detail transfer") as close to the target as it can. Runs on a CPU in under an hour; the state is written every few
minutes.
"""

import argparse
import math
import random
import time
from pathlib import Path

import torch

import wan
from clips import Clips, pixels, shifted
from config import VAE
from train import Model, Trainer, load_parts, log, sample


@torch.no_grad()
def prepare(vae, stats, model, clips, i, steps):
    """Latents of a clip's target, condition and prediction, as the VAE gives them `[T, h, w, z]`."""
    at = slice(i, i + 1)
    blend, mesh = (pixels(shifted(clips, n, at), torch.float32) for n in ("blend", "mesh"))
    z_blend = wan.vae_encode_raw(vae, VAE, blend)
    z_target = wan.vae_encode_raw(vae, VAE, pixels(shifted(clips, "target", at), torch.float32))
    feature, tokens = model.conditions(model.params, blend[:, 0], blend, mesh)
    mask = wan.latent_mask(mesh)
    z = sample(model, model.params, stats, wan.to_latents(z_blend, *stats), mask, feature, tokens, steps, 1000 + i)
    return z_target[0], z_blend[0], z[0]


def crop(clips, made, i, size, latent_frames):
    """A random window of a clip: three latents, condition and target in pixels, the body's place."""
    z = made[i]
    total, h, w = z[0].shape[:3]
    start = random.randrange(1, total - latent_frames + 1)
    y, x = (c + random.randrange(-28, 29) for c in clips.person[i])
    if random.random() < 0.15:
        y, x = random.randrange(8 * h), random.randrange(8 * w)
    y, x = (max(0, min(n - size, c // 8 - size // 2)) for n, c in ((h, y), (w, x)))
    latents = [v[start - 1 : start + latent_frames, y : y + size, x : x + size] for v in z]
    # The window's first latent frame stands alone and only leads in; its pixels don't count.
    frames = slice(4 * (start - 1), 4 * (start - 1 + latent_frames))
    window = lambda name: clips.data[name][i, frames, 8 * y : 8 * (y + size), 8 * x : 8 * (x + size)]
    return latents, window("blend"), window("target"), window("mesh")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--state", required=True, help="folder of vae.pt and dit.pt or dit0.pt …; vae.pt is rewritten")
    parser.add_argument("--clips", required=True)
    parser.add_argument("--count", type=int, default=96)
    parser.add_argument("--seconds", type=float, default=2400)
    parser.add_argument("--steps", type=int, default=1, help="denoising steps of the predictions")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--size", type=int, default=9, help="latents to a crop's side")
    parser.add_argument("--lr", type=float, default=6e-4)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    random.seed(0)
    state, device = Path(args.state), torch.device("cpu")
    saved = torch.load(state / "vae.pt", map_location=device)
    vae, stats = {k: v.float() for k, v in saved["params"].items()}, (saved["mean"], saved["std"])
    model = Model(device)
    model.params = load_parts(state, device)
    clips = Clips(args.clips, device, args.count)
    clips.fill()
    trainer = Trainer(vae, args.lr, decay=0.995, frozen=lambda name: not name.startswith(("decoder.", "conv2.")))
    trainer.steps = 20
    made, start, kept, sums = [], time.time(), time.time(), [0.0, 0.0, 0.0, 0]
    while (spent := time.time() - start) < args.seconds:
        # A few clips at first, then more and more of them.
        while len(made) < clips.count and len(made) < 8 + spent / args.seconds * 2 * args.count:
            made.append(prepare(vae, stats, model, clips, len(made), args.steps))
        loss = 0.0
        for _ in range(args.batch):
            latents, blend, target, mesh = crop(clips, made, random.randrange(len(made)), args.size, 2)
            z = torch.stack(latents)
            decoded = wan.vae_decode_raw(vae, VAE, z)[:, 1:]  # the lead-in's single frame is left out
            blend, target = pixels(blend, torch.float32), pixels(target, torch.float32)
            weight = 1 + 2 * (mesh > 1).any(-1, keepdim=True).float()
            detail = blend + decoded[2] - decoded[1]
            trip = (decoded[0] - target).square()
            transfer = (detail - target).square()
            condition = (decoded[1] - blend).square()
            loss = loss + (weight * (transfer + 0.5 * trip + 0.25 * condition)).mean() / args.batch
            sums[0] += trip.mean().item()
            sums[1] += transfer.mean().item()
            sums[2] += (blend - target).square().mean().item()
            sums[3] += 1
        trainer.step(loss, spent / args.seconds)
        if trainer.steps % 20 == 0:
            trip, transfer, before = (10 * math.log10(4 * sums[3] / s) for s in sums[:3])
            log(state, stage="decoder", step=trainer.steps, seconds=spent, trip=trip, detail=transfer, composite=before, clips=len(made))
            sums = [0.0, 0.0, 0.0, 0]
        if time.time() - kept > 240 or spent + 10 > args.seconds:
            kept = time.time()
            params = {k: v.detach().clone() for k, v in trainer.average.items()}
            torch.save(saved | {"params": params}, state / "vae.tmp")
            (state / "vae.tmp").rename(state / "vae.pt")
    params = {k: v.detach() for k, v in trainer.average.items()}
    torch.save(saved | {"params": params}, state / "vae.pt")


if __name__ == "__main__":
    main()
