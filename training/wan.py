"""Wan 2.1 with AniCrafter's conditioning in PyTorch, for training the project's small weights.

Every model is a dictionary of parameters under the names of the published checkpoints, and a function that reads
them. Videos are handled as whole clips; `vae_encode` and `vae_decode` give what the chunk-by-chunk passes of the
Rust crates give, since their first-frame rules are followed here too.

Dimension letters: B batch, T frames, C channels, H/W height/width, L tokens, D width, N heads, K elements of a head.
"""

import math

import torch
import torch.nn.functional as F

# ---------------------------------------------------------------------------------------------------------- parameters


class Scope:
    """A place in a tree of parameters: `scope["a"]["b"]("weight")` is the parameter `a.b.weight`."""

    def __init__(self, params, prefix=""):
        self.params, self.prefix = params, prefix

    def __getitem__(self, name):
        return Scope(self.params, f"{self.prefix}{name}.")

    def __call__(self, name):
        return self.params[self.prefix + name]

    def has(self, name):
        return self.prefix + name in self.params


class Init:
    """Makes the parameters of a model from a seed."""

    def __init__(self, seed):
        self.params, self.generator = {}, torch.Generator().manual_seed(seed)

    def normal(self, name, shape, std):
        self.params[name] = torch.randn(shape, generator=self.generator) * std

    def const(self, name, shape, value):
        self.params[name] = torch.full(shape, float(value))

    def linear(self, name, d_in, d_out, std=None, bias=True):
        self.normal(f"{name}.weight", (d_out, d_in), d_in**-0.5 if std is None else std)
        if bias:
            self.const(f"{name}.bias", (d_out,), 0.0)

    def conv(self, name, c_in, c_out, kernel, gain=1.0):
        fan_in = c_in * math.prod(kernel)
        self.normal(f"{name}.weight", (c_out, c_in, *kernel), gain * fan_in**-0.5)
        self.const(f"{name}.bias", (c_out,), 0.0)


# ------------------------------------------------------------------------------------------------------------ autoencoder


def vae_blocks(config):
    """The modules of `downsamples` and `upsamples`: (kind, c_in, c_out) in the checkpoint's order."""
    dim, mult, temporal = config["dim"], config["dim_mult"], config["temperal_downsample"]
    down, up = [], []
    c = dim
    for level, m in enumerate(mult):
        for _ in range(config["num_res_blocks"]):
            down.append(("res", c, dim * m))
            c = dim * m
        if level < len(temporal):
            down.append(("down3d" if temporal[level] else "down2d", c, c))
    c = dim * mult[-1]
    for level in reversed(range(len(mult))):
        for _ in range(config["num_res_blocks"] + 1):
            up.append(("res", c, dim * mult[level]))
            c = dim * mult[level]
        if level > 0:
            up.append(("up3d" if temporal[level - 1] else "up2d", c, c // 2))
            c //= 2
    return down, up


def vae_init(config, seed):
    init, z = Init(seed), config["z_dim"]

    def res(name, c_in, c_out):
        init.const(f"{name}.residual.0.gamma", (c_in, 1, 1, 1), 1.0)
        init.conv(f"{name}.residual.2", c_in, c_out, (3, 3, 3), 1.4)
        init.const(f"{name}.residual.3.gamma", (c_out, 1, 1, 1), 1.0)
        init.conv(f"{name}.residual.6", c_out, c_out, (3, 3, 3), 0.05)
        if c_in != c_out:
            init.conv(f"{name}.shortcut", c_in, c_out, (1, 1, 1))

    def middle(name, c):
        res(f"{name}.middle.0", c, c)
        init.const(f"{name}.middle.1.norm.gamma", (c, 1, 1), 1.0)
        init.conv(f"{name}.middle.1.to_qkv", c, 3 * c, (1, 1))
        init.conv(f"{name}.middle.1.proj", c, c, (1, 1), 0.05)
        res(f"{name}.middle.2", c, c)

    def stack(name, blocks):
        for i, (kind, c_in, c_out) in enumerate(blocks):
            at = f"{name}.{i}"
            if kind == "res":
                res(at, c_in, c_out)
            else:
                init.conv(f"{at}.resample.1", c_in, c_out, (3, 3))
            if kind == "down3d":
                init.conv(f"{at}.time_conv", c_in, c_in, (3, 1, 1))
            if kind == "up3d":
                init.conv(f"{at}.time_conv", c_in, 2 * c_in, (3, 1, 1))

    down, up = vae_blocks(config)
    dim, top = config["dim"], config["dim"] * config["dim_mult"][-1]
    init.conv("encoder.conv1", 3, dim, (3, 3, 3))
    stack("encoder.downsamples", down)
    middle("encoder", top)
    init.const("encoder.head.0.gamma", (top, 1, 1, 1), 1.0)
    init.conv("encoder.head.2", top, 2 * z, (3, 3, 3))
    init.conv("conv1", 2 * z, 2 * z, (1, 1, 1))
    init.conv("conv2", z, z, (1, 1, 1))
    init.conv("decoder.conv1", z, top, (3, 3, 3))
    middle("decoder", top)
    stack("decoder.upsamples", up)
    last = config["dim"] * config["dim_mult"][0]
    init.const("decoder.head.0.gamma", (last, 1, 1, 1), 1.0)
    init.conv("decoder.head.2", last, 3, (3, 3, 3))
    return init.params


# Videos and feature maps are `[B, T, H, W, C]` in memory: libraries are fastest with channels last, and a norm over
# channels reads one row.

CONV3D = True  # one 3-D convolution, or three frames' channels through a 2-D one: see `choose_convolution`


def frames_conv(x, weight, bias, pad=0, stride=1):
    """A convolution of every frame: x `[B, T, H, W, C]`, weight `[O, C, kh, kw]`."""
    b, t = x.shape[:2]
    weight, bias = weight.to(x.dtype), bias.to(x.dtype)
    if weight.shape[-1] == 1:
        return F.linear(x, weight.flatten(1), bias)
    y = F.conv2d(x.flatten(0, 1).permute(0, 3, 1, 2), weight, bias, stride=stride, padding=pad)
    return y.permute(0, 2, 3, 1).contiguous().unflatten(0, (b, t))


def time_conv(x, weight, bias, stride=1, stride_t=1):
    """A 3×3×3 convolution without padding in time: x `[B, T + 2, H, W, C]`."""
    if CONV3D:
        y = F.conv3d(
            x.permute(0, 4, 1, 2, 3), weight.to(x.dtype), bias.to(x.dtype), stride=(stride_t, stride, stride), padding=(0, 1, 1)
        )
        return y.permute(0, 2, 3, 4, 1).contiguous()
    n = (x.shape[1] - 3) // stride_t + 1
    taps = torch.cat([x[:, k : k + stride_t * (n - 1) + 1 : stride_t] for k in range(3)], -1)
    return frames_conv(taps, weight.permute(0, 2, 1, 3, 4).flatten(1, 2), bias, pad=1, stride=stride)


def causal_conv(x, at):
    """A 3×3×3 convolution that sees two frames back."""
    before = x.new_zeros(x.shape[0], 2, *x.shape[2:])
    return time_conv(torch.cat([before, x], 1), at("weight"), at("bias"))


def pointwise(x, at):
    return F.linear(x, at("weight").flatten(1).to(x.dtype), at("bias").to(x.dtype))


def norm_silu(x, gamma):
    return F.silu(channel_norm(x, gamma))


def channel_norm(x, gamma):
    """RMS norm over channels: `x / max(|x|, 1e-12) · sqrt(C) · gamma`."""
    return F.rms_norm(x, x.shape[-1:], gamma.flatten().to(x.dtype), 1e-20)


def residual_block(x, at):
    path = at["residual"]
    y = causal_conv(norm_silu(x, path["0"]("gamma")), path["2"])
    y = causal_conv(norm_silu(y, path["3"]("gamma")), path["6"])
    return y + (pointwise(x, at["shortcut"]) if at["shortcut"].has("weight") else x)


def frame_attention(x, at):
    qkv = pointwise(channel_norm(x, at["norm"]("gamma")), at["to_qkv"])
    q, k, v = qkv.flatten(0, 1).flatten(1, 2).unsqueeze(1).chunk(3, -1)  # [B·T, 1, H·W, C]
    y = F.scaled_dot_product_attention(q, k, v).reshape(x.shape)
    return x + pointwise(y, at["proj"])


def middle_blocks(x, at):
    return residual_block(frame_attention(residual_block(x, at["0"]), at["1"]), at["2"])


def downsample(x, at, temporal):
    y = F.pad(x, (0, 0, 0, 1, 0, 1))
    y = frames_conv(y, at["resample.1"]("weight"), at["resample.1"]("bias"), stride=2)
    t = x.shape[1]
    if not temporal or t == 1:
        return y
    # Frame 0 stands alone; then every second frame sees itself and two before it.
    w = at["time_conv"]("weight")[..., 0, 0]  # [C, C, 3]
    n = (t - 1) // 2
    taps = torch.cat([y[:, k : k + 2 * n - 1 : 2] for k in range(3)], -1)
    late = F.linear(taps, w.permute(0, 2, 1).flatten(1).to(x.dtype), at["time_conv"]("bias").to(x.dtype))
    return torch.cat([y[:, :1], late], 1)


def upsample(x, at, temporal):
    t = x.shape[1]
    if temporal and t > 1:
        # Frame 0 stays single and isn't seen by the others.
        w = at["time_conv"]("weight")[..., 0, 0]  # [2·C, C, 3]
        rest = x[:, 1:]
        padded = torch.cat([x.new_zeros(x.shape[0], 2, *x.shape[2:]), rest], 1)
        taps = torch.cat([padded[:, k : k + t - 1] for k in range(3)], -1)
        pairs = F.linear(taps, w.permute(0, 2, 1).flatten(1).to(x.dtype), at["time_conv"]("bias").to(x.dtype))
        pairs = pairs.unflatten(-1, (2, -1)).movedim(-2, 2).flatten(1, 2)  # even and odd frames in turn
        x = torch.cat([x[:, :1], pairs], 1)
    b, t = x.shape[:2]
    y = F.interpolate(x.flatten(0, 1).permute(0, 3, 1, 2), scale_factor=2, mode="nearest")
    y = y.permute(0, 2, 3, 1).contiguous().unflatten(0, (b, t))
    return frames_conv(y, at["resample.1"]("weight"), at["resample.1"]("bias"), pad=1)


def run_blocks(x, at, blocks):
    for i, (kind, _, _) in enumerate(blocks):
        block = at[str(i)]
        if kind == "res":
            x = residual_block(x, block)
        elif kind.startswith("down"):
            x = downsample(x, block, kind == "down3d")
        else:
            x = upsample(x, block, kind == "up3d")
    return x


def vae_encode_raw(params, config, video):
    """`[B, T, H, W, 3]` in -1..1 → the mean of the latents, not normalised, `[B, T', H/8, W/8, z]`."""
    root = Scope(params)
    at = root["encoder"]
    x = causal_conv(video, at["conv1"])
    x = run_blocks(x, at["downsamples"], vae_blocks(config)[0])
    x = middle_blocks(x, at["middle"])
    x = causal_conv(norm_silu(x, at["head"]["0"]("gamma")), at["head"]["2"])
    return pointwise(x, root["conv1"])[..., : config["z_dim"]]


def vae_decode_raw(params, config, latents):
    """The inverse, not clamped."""
    root = Scope(params)
    at = root["decoder"]
    x = causal_conv(pointwise(latents, root["conv2"]), at["conv1"])
    x = middle_blocks(x, at["middle"])
    x = run_blocks(x, at["upsamples"], vae_blocks(config)[1])
    return causal_conv(norm_silu(x, at["head"]["0"]("gamma")), at["head"]["2"])


def to_latents(z, mean, std):
    """What the VAE gives `[B, T, h, w, z]` → normalised latents `[B, z, T, h, w]`, f32."""
    return ((z.float() - mean) / std).permute(0, 4, 1, 2, 3)


def from_latents(x, mean, std):
    return x.permute(0, 2, 3, 4, 1) * std + mean


def choose_convolution(device, dtype):
    """Times both ways of a 3×3×3 convolution, forward and backward, and keeps the faster."""
    global CONV3D
    if device.type != "cuda":
        return
    times = {}
    x = torch.randn(8, 11, 96, 96, 24, device=device, dtype=dtype, requires_grad=True)
    weight = torch.randn(24, 24, 3, 3, 3, device=device, requires_grad=True)
    bias = torch.zeros(24, device=device)
    for way in (True, False):
        CONV3D = way
        for n in (2, 6):
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            for _ in range(n):
                time_conv(x, weight, bias).sum().backward()
            end.record()
            torch.cuda.synchronize()
            times[way] = start.elapsed_time(end) / n
    CONV3D = times[True] < times[False]
    print(f"3-D convolution {times[True]:.2f} ms, three frames in a 2-D one {times[False]:.2f} ms", flush=True)


# ------------------------------------------------------------------------------------------------------------- transformer


def dit_init(config, seed):
    init, d = Init(seed), config["dim"]
    patch = math.prod(config["patch_size"])
    init.normal("patch_embedding.weight", (d, config["in_dim"], *config["patch_size"]), (config["in_dim"] * patch) ** -0.5)
    init.const("patch_embedding.bias", (d,), 0.0)
    init.linear("text_embedding.0", config["text_dim"], d)
    init.linear("text_embedding.2", d, d)
    init.linear("time_embedding.0", config["freq_dim"], d)
    init.linear("time_embedding.2", d, d)
    init.linear("time_projection.1", d, 6 * d, std=0.02)
    image = config["image_dim"]
    for name, width in (("img_emb.proj.0", image), ("img_emb.proj.4", d)):
        init.const(f"{name}.weight", (width,), 1.0)
        init.const(f"{name}.bias", (width,), 0.0)
    init.linear("img_emb.proj.1", image, image)
    init.linear("img_emb.proj.3", image, d)
    out = 0.2 * d**-0.5 / (2 * config["num_layers"]) ** 0.5  # blocks start nearly as the identity
    for i in range(config["num_layers"]):
        at = f"blocks.{i}"
        for kind, names in (("self_attn", "qkv"), ("cross_attn", ("q", "k", "v", "k_img", "v_img"))):
            for name in names:
                init.linear(f"{at}.{kind}.{name}", d, d)
            init.linear(f"{at}.{kind}.o", d, d, std=out)
        for norm in ("self_attn.norm_q", "self_attn.norm_k", "cross_attn.norm_q", "cross_attn.norm_k", "cross_attn.norm_k_img"):
            init.const(f"{at}.{norm}.weight", (d,), 1.0)
        init.const(f"{at}.norm3.weight", (d,), 1.0)
        init.const(f"{at}.norm3.bias", (d,), 0.0)
        init.linear(f"{at}.ffn.0", d, config["ffn_dim"])
        init.linear(f"{at}.ffn.2", config["ffn_dim"], d, std=0.2 * config["ffn_dim"] ** -0.5 / (2 * config["num_layers"]) ** 0.5)
        init.normal(f"{at}.modulation", (1, 6, d), 0.02)
        init.params[f"{at}.modulation"][0, 2] += 1.0  # open gates
        init.params[f"{at}.modulation"][0, 5] += 1.0
    init.normal("head.modulation", (1, 2, d), 0.02)
    init.linear("head.head", d, config["out_dim"] * patch, std=0.5 * d**-0.5)
    return init.params


def rope_table(config, grid, device):
    """Cosines and sines `[L, K/2]` of the tokens of a grid (t, h, w)."""
    k = config["dim"] // config["num_heads"]
    side = k // 3
    parts = []
    for axis, size in enumerate((k - 2 * side, side, side)):
        frequency = 10000.0 ** (-torch.arange(0, size, 2, dtype=torch.float64) / size)
        angle = torch.arange(grid[axis], dtype=torch.float64)[:, None] * frequency
        view = [1, 1, 1, -1]
        view[axis] = grid[axis]
        parts.append(angle.view(view).expand(*grid, -1))
    angle = torch.cat(parts, -1).flatten(0, 2)
    return angle.cos().float().to(device), angle.sin().float().to(device)


def rms_norm(x, weight, eps):
    x = x.float()
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * weight


def layer_norm(x, eps, weight=None, bias=None):
    return F.layer_norm(x.float(), x.shape[-1:], weight, bias, eps)


def linear(x, at):
    dtype = torch.bfloat16 if x.is_cuda else x.dtype
    return F.linear(x.to(dtype), at("weight").to(dtype), at("bias").to(dtype))


def rotate(x, cos, sin):
    """Turns adjacent pairs of `[B, L, N, K]`, f32."""
    a, b = x[..., 0::2], x[..., 1::2]
    cos, sin = cos[None, :, None], sin[None, :, None]
    return torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2)


def heads(x, n):
    return x.unflatten(-1, (n, -1)).transpose(1, 2)  # [B, N, L, K]


def attend(q, k, v, dtype):
    y = F.scaled_dot_product_attention(q.to(dtype), k.to(dtype), v.to(dtype))
    return y.transpose(1, 2).flatten(2)  # [B, L, D]


def dit_block(x, at, t_mod, text, image, rope, n, eps):
    """x `[B, L, D]` f32, t_mod `[B, 6, D]`."""
    shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = (at("modulation") + t_mod).unsqueeze(2).unbind(1)  # [B, 1, D]
    half = torch.bfloat16 if x.is_cuda else x.dtype

    attn = at["self_attn"]
    y = layer_norm(x, eps) * (1 + scale_a) + shift_a
    q = rms_norm(linear(y, attn["q"]), attn["norm_q"]("weight"), eps)
    k = rms_norm(linear(y, attn["k"]), attn["norm_k"]("weight"), eps)
    q, k = (rotate(v.unflatten(-1, (n, -1)), *rope).transpose(1, 2) for v in (q, k))
    x = x + gate_a * linear(attend(q, k, heads(linear(y, attn["v"]), n), half), attn["o"]).float()

    attn = at["cross_attn"]
    y = layer_norm(x, eps, at["norm3"]("weight"), at["norm3"]("bias"))
    q = heads(rms_norm(linear(y, attn["q"]), attn["norm_q"]("weight"), eps), n)
    k = heads(rms_norm(linear(text, attn["k"]), attn["norm_k"]("weight"), eps), n)
    words = attend(q, k, heads(linear(text, attn["v"]), n), half)
    k = heads(rms_norm(linear(image, attn["k_img"]), attn["norm_k_img"]("weight"), eps), n)
    picture = attend(q, k, heads(linear(image, attn["v_img"]), n), half)
    x = x + linear(words + picture, attn["o"]).float()

    y = layer_norm(x, eps) * (1 + scale_m) + shift_m
    y = F.gelu(linear(y, at["ffn"]["0"]), approximate="tanh")
    return x + gate_m * linear(y, at["ffn"]["2"]).float()


def timestep_embedding(timestep, width):
    """Cosines first. timestep `[B]` in 0..1000 → `[B, width]`."""
    half = width // 2
    frequency = 10000.0 ** (-torch.arange(half, dtype=torch.float64, device=timestep.device) / half)
    angle = timestep.double()[:, None] * frequency
    return torch.cat([angle.cos(), angle.sin()], 1).float()


def patchify(x, patch):
    """`[B, C, T, H, W]` → `[B, L, C·patch]`, in the order of a convolution's weights."""
    b, c, t, h, w = x.shape
    pt, ph, pw = patch
    x = x.reshape(b, c, t // pt, pt, h // ph, ph, w // pw, pw)
    return x.permute(0, 2, 4, 6, 1, 3, 5, 7).reshape(b, -1, c * pt * ph * pw)


def unpatchify(x, patch, grid, c):
    """`[B, L, patch·C]` (channel last) → `[B, C, T, H, W]`."""
    (t, h, w), (pt, ph, pw) = grid, patch
    x = x.reshape(x.shape[0], t, h, w, pt, ph, pw, c)
    return x.permute(0, 7, 1, 4, 2, 5, 3, 6).reshape(x.shape[0], c, t * pt, h * ph, w * pw)


def dit_forward(params, config, x, timestep, context, clip_feature, y, condition, block=dit_block):
    """The velocity. x `[B, C, T, H, W]` f32, timestep `[B]`, context `[B or 1, rows, text_dim]`, condition `[B, L, D]`."""
    root, eps, n = Scope(params), config["eps"], config["num_heads"]
    time, text_in = root["time_embedding"], root["text_embedding"]
    t = linear(F.silu(linear(timestep_embedding(timestep, config["freq_dim"]), time["0"])), time["2"]).float()  # [B, D]
    t_mod = linear(F.silu(t), root["time_projection"]["1"]).float().unflatten(1, (6, -1))
    text = linear(F.gelu(linear(context, text_in["0"]), approximate="tanh"), text_in["2"])
    text = text.expand(x.shape[0], -1, -1)
    proj = root["img_emb"]["proj"]
    image = layer_norm(clip_feature, 1e-5, proj["0"]("weight"), proj["0"]("bias"))
    image = linear(F.gelu(linear(image, proj["1"])), proj["3"])
    image = layer_norm(image, 1e-5, proj["4"]("weight"), proj["4"]("bias"))

    patch = config["patch_size"]
    x = torch.cat([x, y.to(x.dtype)], 1)
    grid = [s // p for s, p in zip(x.shape[2:], patch)]
    tokens = patchify(x, patch)
    dtype = torch.bfloat16 if x.is_cuda else x.dtype
    weight = root["patch_embedding"]("weight").flatten(1)
    tokens = F.linear(tokens.to(dtype), weight.to(dtype), root["patch_embedding"]("bias").to(dtype)).float()
    if condition is not None:
        tokens = tokens + condition.float()
    rope = rope_table(config, grid, x.device)
    for i in range(config["num_layers"]):
        tokens = block(tokens, root["blocks"][str(i)], t_mod, text, image, rope, n, eps)
    shift, scale = (root["head"]("modulation") + t.unsqueeze(1)).unsqueeze(2).unbind(1)
    out = linear(layer_norm(tokens, eps) * (1 + scale) + shift, root["head"]["head"]).float()
    return unpatchify(out, patch, grid, config["out_dim"])


# ------------------------------------------------------------------------------------------------ condition embedders

EMBEDDER_STRIDES = [(1, 1), (1, 1), (1, 1), (1, 2), (2, 2), (2, 2)]  # (time, space) of the 3×3×3 layers
N_POINTWISE = 3  # layers whose kernels are kept at their middle element


def embedder_init(dim, seed):
    """A stack whose first three layers look at single pixels only: they spread the four channels over sixteen soft
    thresholds and stay as they are. At full resolution they are nearly all of the stack's cost."""
    init = Init(seed)
    c_in = 4
    for i in range(len(EMBEDDER_STRIDES)):
        name = f"{2 * i}"
        if i < N_POINTWISE:
            init.const(f"{name}.weight", (16, c_in, 3, 3, 3), 0.0)
            matrix = torch.randn((16, c_in), generator=init.generator) * (1.6 if i == 0 else 1.4) * c_in**-0.5
            init.params[f"{name}.weight"][:, :, 1, 1, 1] = matrix
            init.normal(f"{name}.bias", (16,), 0.5)
        else:
            init.conv(name, c_in, 16, (3, 3, 3), 1.6)
        c_in = 16
    init.conv(f"{2 * len(EMBEDDER_STRIDES)}", 16, dim, (1, 2, 2), 0.2)
    return init.params


def embedder_frozen(name):
    return int(name.split(".")[0]) // 2 < N_POINTWISE


def embedder_forward(params, x, n_pointwise=N_POINTWISE):
    """x `[B, F + 3, H, W, 4]` → `[B, T, H/16, W/16, D]`. Of the first `n_pointwise` layers only the kernels' middle
    elements are read (the others are zero)."""
    at = Scope(params)
    for i, (stride_t, stride) in enumerate(EMBEDDER_STRIDES):
        layer = at[f"{2 * i}"]
        if i < n_pointwise:
            with torch.no_grad():
                weight = layer("weight")[:, :, 1, 1, 1].to(x.dtype)
                x = F.silu(F.linear(x, weight, layer("bias").to(x.dtype)))
            continue
        x = F.silu(time_conv(F.pad(x, (0, 0, 0, 0, 0, 0, 1, 1)), layer("weight"), layer("bias"), stride, stride_t))
    layer = at[f"{2 * len(EMBEDDER_STRIDES)}"]
    return frames_conv(x, layer("weight")[:, :, 0], layer("bias"), stride=2)


def embedder_inputs(blend, mesh):
    """The shifted clips `[B, F, H, W, 3]` in -1..1 → the inputs of the two stacks `[B, F + 3, H, W, 4]`: the mask (1 on
    background) first, frame 0 four times."""
    mask = (mesh <= -0.99).all(-1, keepdim=True).to(mesh.dtype)
    mask[:, 0] = 1.0
    repeat = lambda x: torch.cat([x[:, :1]] * 3 + [x], 1)
    mask = repeat(mask)
    return torch.cat([mask, repeat(blend)], -1), torch.cat([mask, repeat(mesh)], -1)


def condition_tokens(blend, mesh):
    """Two `[B, T, h, w, D]` → `[B, T·h·w, D]`."""
    return (blend.float() + mesh.float()).flatten(1, 3)


def latent_mask(mesh, factor=8):
    """The shifted mesh clip `[B, F, H, W, 3]` → the model's four mask channels `[B, 4, T, h, w]`."""
    b, f, h, w, _ = mesh.shape
    mask = (mesh[:, 1:, ::factor, ::factor] <= -0.99).all(-1).float()  # [B, F - 1, h, w]
    size = min(h, w) // 16
    size += 1 - size % 2
    sigma = 0.3 * ((size - 1) * 0.5 - 1) + 0.8
    at = torch.arange(size, device=mesh.device, dtype=torch.float32) - (size - 1) / 2
    bell = torch.exp(-0.5 * (at / sigma) ** 2)
    bell = bell / bell.sum()
    pad = size // 2
    mask = F.pad(mask, (pad, pad, pad, pad), mode="reflect").flatten(0, 1).unsqueeze(1)
    mask = F.conv2d(F.conv2d(mask, bell.view(1, 1, 1, -1)), bell.view(1, 1, -1, 1)).squeeze(1)
    mask = mask.unflatten(0, (b, (f - 1) // 4, 4))  # [B, T - 1, 4, h, w]
    return torch.cat([torch.ones_like(mask[:, :1]), mask], 1).transpose(1, 2)


# -------------------------------------------------------------------------------------------------- picture and prompt

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


def clip_init(config, seed):
    init, d = Init(seed), config["vision_dim"]
    p, side = config["patch_size"], config["image_size"] // config["patch_size"]
    init.normal("cls_embedding", (1, 1, d), 0.5)
    init.normal("pos_embedding", (1, 1 + side * side, d), 0.3)
    init.normal("patch_embedding.weight", (d, 3, p, p), (3 * p * p) ** -0.5)
    names = ["pre_norm", "post_norm"]
    for i in range(config["vision_layers"]):
        at = f"transformer.{i}"
        names += [f"{at}.norm1", f"{at}.norm2"]
        init.linear(f"{at}.attn.to_qkv", d, 3 * d)
        init.linear(f"{at}.attn.proj", d, d, std=0.3 * d**-0.5)
        wide = d * config["vision_mlp_ratio"]
        init.linear(f"{at}.mlp.0", d, wide)
        init.linear(f"{at}.mlp.2", wide, d, std=0.3 * wide**-0.5)
    for name in names:
        init.const(f"{name}.weight", (d,), 1.0)
        init.const(f"{name}.bias", (d,), 0.0)
    init.normal("head", (d, config["embed_dim"]), d**-0.5)
    return init.params


def clip_forward(params, config, picture):
    """Pictures `[B, 3, H, W]` in -1..1 → `[B, 1 + patches, D]`; the last block isn't run."""
    at, n = Scope(params), config["vision_heads"]
    size = config["image_size"]
    x = F.interpolate(picture.float(), (size, size), mode="bicubic", align_corners=False) * 0.5 + 0.5
    mean, std = (torch.tensor(v, device=x.device).view(3, 1, 1) for v in (CLIP_MEAN, CLIP_STD))
    x = (x - mean) / std
    x = F.conv2d(x, at["patch_embedding"]("weight"), stride=config["patch_size"]).flatten(2).transpose(1, 2)
    x = torch.cat([at("cls_embedding").expand(x.shape[0], -1, -1), x], 1) + at("pos_embedding")
    norm = lambda x, at: layer_norm(x, 1e-5, at("weight"), at("bias"))
    x = norm(x, at["pre_norm"])
    for i in range(config["vision_layers"] - 1):
        block = at["transformer"][str(i)]
        q, k, v = (heads(part, n) for part in linear(norm(x, block["norm1"]), block["attn"]["to_qkv"]).chunk(3, -1))
        x = x + linear(attend(q, k, v, q.dtype), block["attn"]["proj"]).float()
        y = F.gelu(linear(norm(x, block["norm2"]), block["mlp"]["0"]))
        x = x + linear(y, block["mlp"]["2"]).float()
    return x


def t5_init(config, seed):
    init, d, wide = Init(seed), config["dim"], config["dim_ffn"]
    init.normal("token_embedding.weight", (config["vocab"], d), 1.0)
    for i in range(config["num_layers"]):
        at = f"blocks.{i}"
        for name in "qkv":
            init.linear(f"{at}.attn.{name}", d, config["dim_attn"], std=0.5 * d**-0.5, bias=False)
        init.linear(f"{at}.attn.o", config["dim_attn"], d, bias=False)
        init.linear(f"{at}.ffn.gate.0", d, wide, bias=False)
        init.linear(f"{at}.ffn.fc1", d, wide, bias=False)
        init.linear(f"{at}.ffn.fc2", wide, d, bias=False)
        init.const(f"{at}.norm1.weight", (d,), 1.0)
        init.const(f"{at}.norm2.weight", (d,), 1.0)
        init.normal(f"{at}.pos_embedding.embedding.weight", (config["num_buckets"], config["num_heads"]), 0.5)
    init.const("norm.weight", (d,), 1.0)
    return init.params


def t5_forward(params, config, ids):
    """Token ids (L) → `[1, L, D]`, f32."""
    at, n, eps = Scope(params), config["num_heads"], 1e-6
    x = at["token_embedding"]("weight")[torch.tensor(ids)].unsqueeze(0)
    length, half = len(ids), config["num_buckets"] // 2
    distance = torch.arange(length)[None] - torch.arange(length)[:, None]
    exact, far = half // 2, distance.abs().clamp(min=1).float()
    log = exact + (torch.log(far / exact) / math.log(128 / exact) * (half - exact)).long()
    bucket = torch.where(distance.abs() < exact, distance.abs(), log.clamp(max=half - 1)) + half * (distance > 0)
    for i in range(config["num_layers"]):
        block = at["blocks"][str(i)]
        bias = block["pos_embedding"]["embedding"]("weight")[bucket].permute(2, 0, 1)
        y = rms_norm(x, block["norm1"]("weight"), eps)
        q, k, v = (heads(F.linear(y, block["attn"][p]("weight")), n) for p in "qkv")
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=bias[None], scale=1.0).transpose(1, 2).flatten(2)
        x = x + F.linear(y, block["attn"]["o"]("weight"))
        y = rms_norm(x, block["norm2"]("weight"), eps)
        gate = F.gelu(F.linear(y, block["ffn"]["gate"]["0"]("weight")), approximate="tanh")
        x = x + F.linear(F.linear(y, block["ffn"]["fc1"]("weight")) * gate, block["ffn"]["fc2"]("weight"))
    return rms_norm(x, at["norm"]("weight"), eps)
