"""Runs the models of wan.py on golden cases of the original code: `python check_goldens.py ../fixtures/goldens`."""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

import wan

def check(case, name, got, outputs, tolerances):
    want = outputs[name].float()
    tolerance = tolerances[name]["atol"]
    worst = (got.float().reshape(want.shape) - want).abs().max().item()
    print(f"{case:16} {name:32} {worst:.2e} of {tolerance:.2e} {'PASS' if worst <= tolerance else 'FAIL'}")
    return worst <= tolerance


def frames(x):
    return ((x.float() / 255 - 0.5) / 0.5).unsqueeze(0)  # [1, F, H, W, 3]


def main(root):
    good = True
    for folder in sorted(Path(root).iterdir()):
        if not (folder / "case.json").is_file() or not (folder / "weights.safetensors").is_file():
            if folder.name != "mask":
                continue
        case = json.loads((folder / "case.json").read_text())
        kind, config, tolerances = case["kind"], case["config"], case["tolerances"]
        if kind not in ("dit", "dit_t2v", "vae", "condition_embed", "clip", "t5", "mask"):
            continue
        inputs, outputs = load_file(folder / "inputs.safetensors"), load_file(folder / "outputs.safetensors")
        weights = load_file(folder / "weights.safetensors") if kind != "mask" else {}
        weights = {k: v.float() for k, v in weights.items()}
        for run in case["runs"]:
            name = run["name"]
            get = lambda key: inputs.get(f"{name}.{key}", inputs.get(key))
            if kind == "vae" and not run["tiled"]:
                mean, std = (torch.tensor(config[k]) for k in ("mean", "std"))
                if run["op"] == "encode":
                    x = wan.vae_encode_raw(weights, config, get("in").permute(0, 2, 3, 4, 1))
                    x = wan.to_latents(x, mean, std)
                else:
                    x = wan.vae_decode_raw(weights, config, wan.from_latents(get("in"), mean, std))
                    x = x.clamp(-1, 1).permute(0, 4, 1, 2, 3)
                good &= check(folder.name, f"{name}.out", x, outputs, tolerances)
            if kind == "dit" and config["has_image_input"]:
                x = wan.dit_forward(
                    weights, config, get("x"), get("timestep"), get("context"), get("clip_feature").float(), get("y"), get("add_condition")
                )
                good &= check(folder.name, f"{name}.out", x, outputs, tolerances)
            if kind == "clip":
                params = {k.removeprefix("visual."): v for k, v in weights.items()}
                picture = outputs[f"{name}.preprocessed"]
                good &= check(folder.name, f"{name}.out", wan.clip_forward(params, config, picture), outputs, tolerances)
            if kind == "t5":
                ids = get("ids")[0][: int(get("mask").sum())].tolist()
                x = wan.t5_forward(weights, config, ids)
                x = torch.nn.functional.pad(x, (0, 0, 0, get("ids").shape[1] - len(ids)))
                good &= check(folder.name, f"{name}.out", x, outputs, tolerances)
            if kind == "condition_embed":
                clip = [torch.cat([get("ref_u8")[None], get(key)[:-1]]) for key in ("blend_u8", "smplx_u8")]
                both = wan.embedder_inputs(frames(clip[0]), frames(clip[1]))
                stack = lambda prefix: {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
                parts = [wan.embedder_forward(stack(p), x, 0) for p, x in zip(("blend_embedding.", "smplx_embedding."), both)]
                good &= check(folder.name, f"{name}.condition", wan.condition_tokens(*parts), outputs, tolerances)
            if kind == "mask":
                mesh = torch.cat([get("ref_u8")[None], get("smplx_u8")[:-1]])
                mask = wan.latent_mask(frames(mesh))
                good &= check(folder.name, f"{name}.y", torch.cat([mask, get("blend_latents")], 1), outputs, tolerances)
    return 0 if good else 1


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    sys.exit(main(sys.argv[1]))
