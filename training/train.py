"""Trains the small weights: first the autoencoder, then the transformer with its condition embedders.

    python train.py --clips DIR --val DIR --out DIR --vae-seconds 150 --dit-seconds 300

Both stages are bounded by time, not by steps: learning rates follow the share of the time that is used up. Training goes
on from a former state with --vae-from and --dit-from. Clips are read while the generator still makes them.
"""

import argparse
import json
import math
import random
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

import wan
from clips import Clips, pixels, shifted
from config import CLIP, DIT, PROMPT_IDS, T5, VAE


def log(out, **values):
    line = json.dumps({k: (round(v, 5) if isinstance(v, float) else v) for k, v in values.items()})
    print(line, flush=True)
    with open(out / "log.jsonl", "a") as file:
        file.write(line + "\n")


def to_device(params, device):
    return {k: v.to(device).requires_grad_(v.is_floating_point()) for k, v in params.items()}


class Trainer:
    """AdamW over a dictionary of parameters, with a moving average."""

    def __init__(self, params, lr, decay=0.999, frozen=lambda name: False):
        self.params, self.lr, self.decay = params, lr, decay
        live = [v for k, v in params.items() if not frozen(k)]
        for k, v in params.items():
            v.requires_grad_(not frozen(k))
        matrices, others = [v for v in live if v.dim() >= 2], [v for v in live if v.dim() < 2]
        groups = [{"params": matrices, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}]
        self.live = live
        self.optimizer = torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.98), fused=live[0].is_cuda)
        self.average = {k: v.detach().clone() for k, v in params.items()}
        self.steps = 0

    def step(self, loss, progress):
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.live, 1.0)
        warm = min(1.0, (self.steps + 1) / 50)
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr * warm * (0.5 + 0.5 * math.cos(math.pi * min(progress, 1.0))) + 1e-6
        self.optimizer.step()
        self.steps += 1
        # Short at first, so that the average forgets the start.
        decay = min(self.decay, (1 + self.steps) / (20 + self.steps))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.values()), [v.detach() for v in self.params.values()], 1 - decay)
        return norm


# ------------------------------------------------------------------------------------------------------------ autoencoder


def vae_batch(clips, n, size, frames, dtype):
    """Random crops: `[B, 1 + frames, size, size, 3]`. Half of them start with a reference picture, as clips do; most are
    about the person."""
    out = []
    for i in torch.randint(clips.count, (n,)).tolist():
        video = clips.data["target" if random.random() < 0.7 else "blend"][i]
        total, h, w = video.shape[:3]
        start = random.randrange(total - frames)
        if random.random() < 0.6:
            y, x = (c + random.randrange(-32, 33) for c in clips.person[i])
        else:
            y, x = random.randrange(h), random.randrange(w)
        y = max(0, min(h - size, y - size // 2)) // 8 * 8
        x = max(0, min(w - size, x - size // 2)) // 8 * 8
        part = video[start : start + frames + 1, y : y + size, x : x + size]
        if random.random() < 0.5:
            part = torch.cat([clips.data["reference"][i][y : y + size, x : x + size][None], part[1:]])
        out.append(part.flip(2) if random.random() < 0.5 else part)
    return pixels(torch.stack(out), dtype)


def train_vae(args, clips, device, out):
    params = to_device(wan.vae_init(VAE, 1), device)
    # With the encoder held, the latents stay what the transformer has learned.
    held = ("encoder.", "conv1.") if args.decoder_only else ()
    trainer = Trainer(params, args.vae_lr, frozen=lambda name: name.startswith(held))
    if args.vae_from:
        for k, v in load_vae(args.vae_from, device).items():
            params[k].data.copy_(v)
            trainer.average[k].copy_(v)
    start, dtype = time.time(), torch.bfloat16 if device.type == "cuda" else torch.float32
    error = saved = 0.0
    while (spent := time.time() - start) < args.vae_seconds:
        video = vae_batch(clips, args.vae_batch, args.vae_crop, 8, dtype)
        with torch.set_grad_enabled(not args.decoder_only):
            z = wan.vae_encode_raw(params, VAE, video)
        noisy = z + 0.03 * torch.randn_like(z)
        y = wan.vae_decode_raw(params, VAE, noisy)
        difference = (y.float() - video.float())
        mse = difference.square().mean()
        loss = mse + 0.03 * difference.abs().mean() + 1e-5 * z.float().square().mean()
        trainer.step(loss, spent / args.vae_seconds)
        if trainer.steps % 50 == 0 or trainer.steps in (1, 5, 20):
            error = mse.item()
            log(out, stage="vae", step=trainer.steps, seconds=spent, psnr=10 * math.log10(4 / error), clips=clips.count)
        if spent - saved > 300:
            torch.save({"params": trainer.average}, out / "vae.tmp")
            (out / "vae.tmp").rename(out / "vae.pt")
            saved = spent
    params = {k: v.detach() for k, v in trainer.average.items()}
    torch.save({"params": params}, out / "vae.pt")
    return params


@torch.no_grad()
def latent_statistics(params, clips, device, dtype, n=64):
    """Mean and deviation of each latent channel, and how much each channel weighs in pixels."""
    zs, weights = [], []
    for i in range(min(n, clips.count)):
        video = pixels(shifted(clips, "target" if i % 4 else "blend", slice(i, i + 1)), dtype)
        zs.append(wan.vae_encode_raw(params, VAE, video).float())
    z = torch.cat(zs)
    mean, std = z.mean((0, 1, 2, 3)), z.std((0, 1, 2, 3))
    part = torch.cat(zs[:8])[:, :3, 4:16, 12:28]
    base = wan.vae_decode_raw(params, VAE, part.to(dtype)).float()
    for c in range(z.shape[-1]):
        moved = part.clone()
        moved[..., c] += 0.5 * std[c] * torch.randn_like(moved[..., c])
        weights.append((wan.vae_decode_raw(params, VAE, moved.to(dtype)).float() - base).square().mean())
    weight = torch.stack(weights)
    return mean, std, (weight / weight.mean()).clamp(0.05, 20.0)


# ------------------------------------------------------------------------------------------------------------ transformer


class Latents:
    """Normalised latents of targets and conditions, made once a clip."""

    def __init__(self, vae, stats, clips, dtype):
        self.vae, self.stats, self.clips, self.dtype, self.count = vae, stats, clips, dtype, 0
        f, h, w = clips.data["target"].shape[1:4]
        shape = (clips.capacity, VAE["z_dim"], 1 + f // 4, h // 8, w // 8)
        self.target, self.blend = (torch.empty(shape, dtype=dtype, device=clips.device) for _ in range(2))

    @torch.no_grad()
    def more(self, n):
        """Encodes up to n clips that are new."""
        new = slice(self.count, min(self.clips.count, self.count + n))
        if new.start == new.stop:
            return
        for name, store in (("target", self.target), ("blend", self.blend)):
            z = wan.vae_encode_raw(self.vae, VAE, pixels(shifted(self.clips, name, new), self.dtype))
            store[new] = wan.to_latents(z, *self.stats).to(self.dtype)
        self.count = new.stop


def identity_start(params):
    """The prediction starts as noisy latents minus the condition's latents: nearly the velocity if nothing had to be
    restored."""
    d, z = DIT["dim"], DIT["out_dim"]
    weight, head = params["patch_embedding.weight"], params["head.head.weight"]
    weight[: 4 * z] *= 0.1
    head *= 0.1
    for c in range(z):
        for i in range(2):
            for k in range(2):
                j = (c * 2 + i) * 2 + k
                weight[j, c, 0, i, k] += 0.7
                weight[j, z + 4 + c, 0, i, k] -= 0.7
                head[(i * 2 + k) * z + c, j] += 1.45
    assert 4 * z <= d


def embed(params, blend, mesh):
    both = wan.embedder_inputs(blend, mesh)
    parts = []
    for stack, x in zip(("blend_embedding.", "smplx_embedding."), both):
        own = {k.removeprefix(stack): v for k, v in params.items() if k.startswith(stack)}
        parts.append(checkpoint(wan.embedder_forward, own, x, use_reentrant=False))
    return wan.condition_tokens(*parts)


def compiled_or_not(function, **options):
    """The compiled function; the plain one as soon as compiling fails."""
    state = {"f": torch.compile(function, **options)}

    def call(*args):
        try:
            return state["f"](*args)
        except torch.cuda.OutOfMemoryError:
            raise
        except Exception as error:  # noqa: BLE001: whatever the compiler raises
            if state["f"] is function:
                raise
            print(f"{function.__name__} isn't compiled: {str(error)[:300]}", flush=True)
            state["f"] = function
            return function(*args)

    return call


def make_block(compiled):
    if not compiled:
        return wan.dit_block
    inner = compiled_or_not(wan.dit_block, dynamic=False)

    def block(x, at, *rest):
        own = {k[len(at.prefix) :]: v for k, v in at.params.items() if k.startswith(at.prefix)}
        return inner(x, wan.Scope(own), *rest)

    return block


class Model:
    """Transformer, condition embedders and image tower as one dictionary of parameters."""

    def __init__(self, device, compiled=False):
        dit = wan.dit_init(DIT, 2)
        identity_start(dit)
        parts = {"dit.": dit, "clip.": wan.clip_init(CLIP, 4)}
        parts["blend_embedding."] = wan.embedder_init(DIT["dim"], 5)
        parts["smplx_embedding."] = wan.embedder_init(DIT["dim"], 6)
        self.params = to_device({p + k: v for p, d in parts.items() for k, v in d.items()}, device)
        t5 = wan.t5_init(T5, 3)
        context = wan.t5_forward(t5, T5, PROMPT_IDS)
        self.t5 = t5
        self.context = F.pad(context, (0, 0, 0, DIT["text_len"] - context.shape[1])).to(device)
        self.block = make_block(compiled)

    @staticmethod
    def frozen(name):
        prefix, _, rest = name.partition(".")
        return prefix.endswith("embedding") and wan.embedder_frozen(rest)

    def conditions(self, params, reference, blend, mesh):
        """reference `[B, H, W, 3]`, blend and mesh shifted `[B, F, H, W, 3]` → image features, condition tokens."""
        clip = {k.removeprefix("clip."): v for k, v in params.items() if k.startswith("clip.")}
        return wan.clip_forward(clip, CLIP, reference.permute(0, 3, 1, 2)), embed(params, blend, mesh)

    def velocity(self, params, x, timestep, feature, y, tokens):
        dit = {k.removeprefix("dit."): v for k, v in params.items() if k.startswith("dit.")}
        return wan.dit_forward(dit, DIT, x, timestep, self.context, feature, y, tokens, self.block)


def shift_sigma(s, shift=5.0):
    return shift * s / (1 + (shift - 1) * s)


def save_parts(params, folder, n=3):
    """The state in f16, in a few files of moderate size."""
    names = list(params)
    for i in range(n):
        part = folder / f"dit{i}.pt"
        torch.save({k: params[k].detach().half().cpu() for k in names[i::n]}, part.with_suffix(".tmp"))
        part.with_suffix(".tmp").rename(part)


def load_parts(folder, device):
    """A state of `save_parts`, or exported weights."""
    folder = Path(folder)
    if shards := sorted(folder.glob("**/dit*.safetensors")):
        from safetensors.torch import load_file

        paths = [(path, "dit.") for path in shards] + [(folder / f"{name}.safetensors", "") for name in ("anicrafter", "clip")]
        files = {prefix + k: v for path, prefix in paths for k, v in load_file(path).items()}
        files.pop("visual.log_scale", None), files.pop("log_scale", None)
        return {k.replace("visual.", "clip.", 1): v.float().to(device) for k, v in files.items()}
    parts = [torch.load(p, map_location=device) for p in sorted(folder.glob("dit?.pt"))]
    return {k: v.float() for part in parts for k, v in part.items()}


def load_vae(path, device):
    """A `vae.pt`, or the exported file of that name in a folder."""
    if Path(path).suffix == ".safetensors":
        from safetensors.torch import load_file

        return {k: v.float().to(device) for k, v in load_file(path).items()}
    return torch.load(path, map_location=device)["params"]


def known_statistics(path, device):
    """The latents' mean and deviation that belong to a `vae.pt` or to exported weights."""
    path = Path(path)
    if path.suffix == ".safetensors":
        values = json.loads((path.parent / "config.json").read_text())["vae"]
        return tuple(torch.tensor(values[k], device=device) for k in ("mean", "std"))
    values = torch.load(path, map_location=device)
    return values["mean"], values["std"]


def train_dit(args, model, latents, weight, device, out):
    clips, dtype = latents.clips, latents.dtype
    if args.dit_from:
        for k, v in load_parts(args.dit_from, device).items():
            model.params[k].data.copy_(v)
    trainer = Trainer(model.params, args.dit_lr, frozen=Model.frozen)
    start, running, saved = time.time(), None, 0.0
    while (spent := time.time() - start) < args.dit_seconds:
        latents.more(4)
        n = min(args.batch, latents.count)
        index = torch.randint(latents.count, (n,), device=device)
        target, z_blend = latents.target[index].float(), latents.blend[index].float()
        blend, mesh = (pixels(shifted(clips, name, index), dtype) for name in ("blend", "mesh"))
        mask = wan.latent_mask(mesh)
        feature, tokens = model.conditions(model.params, blend[:, 0], blend, mesh)
        sigma = shift_sigma(torch.rand(n, device=device))
        sigma = torch.where(torch.rand(n, device=device) < args.pure, torch.ones_like(sigma), sigma.clamp(min=0.02))
        noise = torch.randn_like(target)
        s = sigma.view(-1, 1, 1, 1, 1)
        x = (1 - s) * target + s * noise
        v = model.velocity(model.params, x, sigma * 1000, feature, torch.cat([mask, z_blend], 1), tokens)
        person = 1 - mask.mean(1, keepdim=True)  # [B, 1, T, h, w]
        importance = (1 + args.person * person) * weight.view(1, -1, 1, 1, 1)
        importance[:, :, 0] *= 0.1
        # The same error in the clean latents counts about the same at every noise level.
        loss = ((v - (noise - target)).square() * importance * s.clamp(min=0.3)).mean()
        trainer.step(loss, spent / args.dit_seconds)
        if trainer.steps % 50 == 0 or trainer.steps in (1, 5, 20):
            value = loss.item()
            running = value if running is None else 0.7 * running + 0.3 * value
            log(out, stage="dit", step=trainer.steps, seconds=spent, loss=running, clips=latents.count, made=clips.count)
            if args.parts and spent - saved > 40:
                save_parts(trainer.average, Path(args.parts))
                saved = spent
    model.params = {k: v.detach() for k, v in trainer.average.items()}
    torch.save({"params": model.params}, out / "dit.pt")
    if args.parts:
        save_parts(model.params, Path(args.parts))


# -------------------------------------------------------------------------------------------------------------- measuring


@torch.no_grad()
def sample(model, params, stats, z_blend, mask, feature, tokens, steps, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(z_blend.shape, generator=generator).to(z_blend.device)
    sigmas = [shift_sigma(1 - i / steps) for i in range(steps)] + [0.0]
    y = torch.cat([mask, z_blend], 1)
    for now, then in zip(sigmas, sigmas[1:]):
        timestep = torch.full((x.shape[0],), now * 1000, device=x.device)
        x = x + model.velocity(params, x, timestep, feature, y, tokens) * (then - now)
    return wan.from_latents(x, *stats)


def psnr(a, b, mask=None):
    error = (a.float() - b.float()).square().mean(-1)
    error = error.mean() if mask is None else (error * mask).sum() / mask.sum().clamp(min=1)
    return 10 * torch.log10(255**2 / error.clamp(min=1e-6)).item()


def to_bytes(x):
    """Shifted clip -1..1 `[B, F, H, W, 3]` → bytes without the first frame `[B, F - 1, H, W, 3]`."""
    return ((x.float().clamp(-1, 1) + 1) * 127.5).floor()[:, 1:]


@torch.no_grad()
def evaluate(vae, model, stats, val, out, dtype, steps=(1, 2, 4)):
    """PSNR over held-out clips; strips of condition, result and target."""
    from PIL import Image

    rows, strips = [], {}
    for i in range(val.count):
        index = torch.tensor([i])
        blend, mesh = (pixels(shifted(val, n, index), dtype) for n in ("blend", "mesh"))
        target = val.data["target"][i : i + 1].float()
        composite = val.data["blend"][i : i + 1].float()
        person = (val.data["mesh"][i : i + 1] > 1).any(-1).float()  # [1, F, H, W]
        person = F.max_pool2d(person, 13, 1, 6)
        encode = lambda video: wan.vae_encode_raw(vae, VAE, video).float()
        decode = lambda z: wan.vae_decode_raw(vae, VAE, z.to(dtype))
        z_blend, z_target = encode(blend), encode(pixels(shifted(val, "target", index), dtype))
        norm = lambda z: wan.to_latents(z, *stats)
        base = to_bytes(decode(z_blend))
        trip = to_bytes(decode(z_target))
        mask = wan.latent_mask(mesh)
        feature, tokens = model.conditions(model.params, blend[:, 0], blend, mesh)
        row = {"composite": psnr(composite, target, person), "composite_whole": psnr(composite, target)}
        row |= {"trip": psnr(trip, target, person), "trip_whole": psnr(trip, target)}
        best = (composite + trip - base).clamp(0, 255)
        row |= {"ceiling": psnr(best, target, person)}
        for n in steps:
            z = sample(model, model.params, stats, norm(z_blend), mask, feature, tokens, n, i)
            plain = to_bytes(decode(z))
            detail = (composite + plain - base).clamp(0, 255)
            row |= {f"plain_{n}": psnr(plain, target, person), f"plain_{n}_whole": psnr(plain, target)}
            row |= {f"detail_{n}": psnr(detail, target, person), f"detail_{n}_whole": psnr(detail, target)}
            if n == steps[-1] and i < 12:
                frame = 8
                pictures = [composite, base, plain, detail, target]
                strips[i] = torch.cat([p[0, frame] for p in pictures], 1)
        rows.append(row)
    table = {k: sum(r[k] for r in rows) / len(rows) for k in rows[0]}
    log(out, stage="eval", clips=len(rows), **table)
    sheet = torch.cat([strips[i] for i in sorted(strips)]).byte().cpu().numpy()
    Image.fromarray(sheet).save(out / "strips.png")
    return table


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", required=True, help="folder of training clips, may still be growing")
    parser.add_argument("--val", required=True, help="folder of held-out clips")
    parser.add_argument("--out", required=True)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--capacity", type=int, default=6500)
    parser.add_argument("--val-count", type=int, default=32)
    parser.add_argument("--first", type=int, default=64, help="clips that must be there before training starts")
    parser.add_argument("--vae-seconds", type=float, default=150)
    parser.add_argument("--vae-batch", type=int, default=24)
    parser.add_argument("--vae-crop", type=int, default=96)
    parser.add_argument("--vae-lr", type=float, default=2e-3)
    parser.add_argument("--decoder-only", action="store_true", help="hold the encoder of --vae-from, and so the latents")
    parser.add_argument("--dit-seconds", type=float, default=300)
    parser.add_argument("--dit-lr", type=float, default=1e-3)
    parser.add_argument("--batch", type=int, default=48)
    parser.add_argument("--pure", type=float, default=0.4, help="share of samples that start from pure noise")
    parser.add_argument("--person", type=float, default=4.0, help="additional weight of the person's region")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--remove", action="store_true", help="delete clips once they are in memory")
    parser.add_argument("--vae-from", help="a vae.pt or vae.safetensors to go on from")
    parser.add_argument("--dit-from", help="a folder of dit0.pt … or of exported weights to go on from")
    parser.add_argument("--parts", help="a folder where the transformer's state is left every 40 seconds, as dit0.pt …")
    args = parser.parse_args()
    if args.decoder_only and not args.vae_from:
        parser.error("--decoder-only goes on from --vae-from")
    out, device = Path(args.out), torch.device(args.device)
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    random.seed(0)
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = True
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32

    if args.compile:
        torch._dynamo.config.recompile_limit = 64
    if device.type == "cuda":
        # Clips take at most half of the card.
        args.capacity = min(args.capacity, int(0.5 * torch.cuda.get_device_properties(0).total_memory / 9.5e6))
    wan.choose_convolution(device, dtype)
    clips = Clips(args.clips, device, args.capacity)
    clips.follow(args.remove)
    clips.wait(args.first)
    vae = train_vae(args, clips, device, out)
    mean, std, weight = latent_statistics(vae, clips, device, dtype)
    stats = mean, std = known_statistics(args.vae_from, device) if args.decoder_only else (mean, std)
    for folder in {out, Path(args.parts or out)}:
        torch.save({"params": vae, "mean": mean, "std": std, "weight": weight}, folder / "vae.pt")
    log(out, stage="latents", weight_min=weight.min().item(), weight_max=weight.max().item())
    model = Model(device, args.compile)
    latents = Latents(vae, stats, clips, dtype)
    while latents.count < min(args.first, clips.count):
        latents.more(4)
    train_dit(args, model, latents, weight, device, out)
    clips.stop = True
    val = Clips(args.val, device, args.val_count)
    val.fill()
    model.block = wan.dit_block
    evaluate(vae, model, stats, val, out, dtype)


if __name__ == "__main__":
    main()
