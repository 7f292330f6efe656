"""The Qwen2.5-VL architecture at 8 M parameters, as pure functions over a dict of tensors, plus the training-only heads.

train.py, export.py and evaluate.py call it. Parameter names are those of the released checkpoints, so export is a copy.
The surprises: the patch layer is kept as one 588-wide half (a still image fills both temporal halves alike), and all
matmuls run in `compute_dtype` (bf16 on the tile unit while training, f32 while evaluating) with f32 residual streams.
"""
import math

import torch
import torch.nn.functional as F

CONFIG = {
    "hidden": 256, "layers": 6, "heads": 4, "kv_heads": 2, "head_dim": 64, "ffn": 640, "vocab": 2048,
    "mrope": [4, 12, 16], "theta": 50.0, "eps": 1e-6,
    "v_hidden": 192, "v_depth": 6, "v_heads": 3, "v_ffn": 512, "v_full": [1, 3, 5], "window": 4,
    "min_pixels": 37632, "max_pixels": 50176}
C = CONFIG
compute_dtype = torch.bfloat16


def set_compute_dtype(dtype):
    global compute_dtype
    compute_dtype = dtype


# ---------------------------------------------------------------------------------------------- parameters
def init_parameters(seed=0):
    """-> {name: f32 leaf}, names as in the released checkpoints; neighbour-looking heads in ViT blocks 0-3."""
    g = torch.Generator().manual_seed(seed)
    p = {}

    def mat(name, out, inn, gain=1.0, bias=False):
        p[name + ".weight"] = torch.randn(out, inn, generator=g) * gain / math.sqrt(inn)
        if bias:
            p[name + ".bias"] = torch.zeros(out)

    D, F_, kv = C["hidden"], C["ffn"], C["kv_heads"] * C["head_dim"]
    p["model.embed_tokens.weight"] = torch.randn(C["vocab"], D, generator=g) / math.sqrt(D)
    deep = 1 / math.sqrt(2 * C["layers"])
    for i in range(C["layers"]):
        n = f"model.layers.{i}."
        p[n + "input_layernorm.weight"], p[n + "post_attention_layernorm.weight"] = torch.ones(D), torch.ones(D)
        mat(n + "self_attn.q_proj", D, D, bias=True)
        mat(n + "self_attn.k_proj", kv, D, bias=True)
        mat(n + "self_attn.v_proj", kv, D, bias=True)
        mat(n + "self_attn.o_proj", D, D, deep)
        mat(n + "mlp.gate_proj", F_, D)
        mat(n + "mlp.up_proj", F_, D)
        mat(n + "mlp.down_proj", D, F_, deep)
    p["model.norm.weight"] = torch.ones(D)
    E, I = C["v_hidden"], C["v_ffn"]
    mat("visual.patch_embed.proj", E, 588)
    deep = 1 / math.sqrt(2 * C["v_depth"])
    for i in range(C["v_depth"]):
        n = f"visual.blocks.{i}."
        p[n + "norm1.weight"], p[n + "norm2.weight"] = torch.ones(E), torch.ones(E)
        mat(n + "attn.qkv", 3 * E, E, 0.5, bias=True)
        mat(n + "attn.proj", E, E, deep, bias=True)
        mat(n + "mlp.gate_proj", I, E, bias=True)
        mat(n + "mlp.up_proj", I, E, bias=True)
        mat(n + "mlp.down_proj", E, I, deep, bias=True)
    p["visual.merger.ln_q.weight"] = torch.ones(E)
    mat("visual.merger.mlp.0", 4 * E, 4 * E, bias=True)
    mat("visual.merger.mlp.2", D, 4 * E, bias=True)
    _look_at_neighbours(p)
    return p


def _look_at_neighbours(p):
    """Rotary phases in the q/k biases make a head prefer the patch at a fixed offset (rows, cols)."""
    left, right, up, down = (0, -1), (0, 1), (-1, 0), (1, 0)
    plan = [(left, right, up), (down, left, right), (up, down, left), (right, up, down)]
    inv = 10000 ** (-torch.arange(16) / 16.0)
    for block, heads in enumerate(plan):
        bias = p[f"visual.blocks.{block}.attn.qkv.bias"].view(3, C["v_heads"], 64)
        for head, (dr, dc) in enumerate(heads):
            amp = 6.0 * inv.clamp(max=1) ** 0.25 * (inv > 0.02)
            phase = torch.cat([-inv * dr, -inv * dc])
            amp = torch.cat([amp, amp])
            bias[0, head, :32] = amp
            bias[1, head, :32], bias[1, head, 32:] = amp * torch.cos(phase), amp * torch.sin(phase)


def init_heads(seed=1):
    """Training-only heads. dense.*: linear reading of the merger's inner features; lm.*: of decoder layer 2's output."""
    from scenes import SLOTS
    from vocabulary import BACKGROUNDS, COLOURS, GLYPHS, KINDS
    g = torch.Generator().manual_seed(seed)
    mat = lambda o, i: torch.randn(o, i, generator=g) / math.sqrt(i)
    E, D = C["v_hidden"], C["hidden"]
    sizes = {"state": 4, "kind": len(KINDS), "colour": len(COLOURS), "background": len(BACKGROUNDS), "box": 4,
             "glyph": SLOTS * (len(GLYPHS) + 1), "before": len(GLYPHS) + 1}
    h = {f"dense.{k}.weight": 0.1 * mat(n, 4 * E) for k, n in sizes.items()}
    h |= {f"dense.{k}.bias": torch.zeros(n) for k, n in sizes.items()}
    h["dense.patch_glyph.weight"], h["dense.patch_glyph.bias"] = 0.1 * mat(len(GLYPHS) + 1, E), torch.zeros(len(GLYPHS) + 1)
    h["oracle.weight"] = torch.randn(D, oracle_width(), generator=g) / math.sqrt(D) * 0.8
    for k, n in {"box": 4, "rank": 5, "alike": 5, "same": 5, "place": 16}.items():
        h[f"lm.{k}.weight"], h[f"lm.{k}.bias"] = 0.1 * mat(n, D), torch.zeros(n)
    for k in [f"coord{i}" for i in range(4)] + [f"glyph{i}" for i in range(SLOTS)] + ["before"]:
        h[f"align.{k}.weight"] = torch.eye(D) * 0.5 + 0.5 * mat(D, D)
    h["align.scale"] = torch.tensor(1.0)
    return h


def oracle_width():
    from scenes import SLOTS
    from vocabulary import BACKGROUNDS, COLOURS, GLYPHS, KINDS
    return 4 + len(KINDS) + len(COLOURS) + len(BACKGROUNDS) + 4 + SLOTS * len(GLYPHS)


# ---------------------------------------------------------------------------------------------- pieces
def rms_norm(x, w):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + C["eps"]) * w


def linear(x, w, b=None):
    return F.linear(x.to(compute_dtype), w.to(compute_dtype), None if b is None else b.to(compute_dtype))


def rotate(x, cos, sin):
    """Half-split rotary; x [..., T, 64], cos/sin [..., T, 32] f32."""
    a, b = x.float().chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1).to(compute_dtype)


def attend(q, k, v, mask):
    s = torch.matmul(q, k.transpose(-1, -2)).float() * 0.125
    if mask is not None:
        s = s + mask
    s = s - s.amax(-1, keepdim=True).detach()
    e = s.exp()
    return torch.matmul((e / e.sum(-1, keepdim=True)).to(compute_dtype), v)


def vision_block(x, mask, cos, sin, parts: int, n1, n2, wqkv, bqkv, wp, bp, wg, bg, wu, bu, wd, bd):
    """x [B, P, E] f32; with parts > 1 attention stays inside P/parts consecutive rows; mask [P, P] or None."""
    B, P, E = x.shape
    H = E // 64
    qkv = linear(rms_norm(x, n1), wqkv, bqkv).view(B, P, 3, H, 64).permute(2, 0, 3, 1, 4)
    q, k, v = rotate(qkv[0], cos, sin), rotate(qkv[1], cos, sin), qkv[2]
    if parts > 1:
        q, k, v = (t.reshape(B, H, parts, P // parts, 64) for t in (q, k, v))
    o = attend(q, k, v, mask).reshape(B, H, P, 64).transpose(1, 2).reshape(B, P, E)
    x = x + linear(o, wp, bp).float()
    y = rms_norm(x, n2)
    return x + linear(F.silu(linear(y, wg, bg).float()) * linear(y, wu, bu).float(), wd, bd).float()


def decoder_block(x, mask, cos, sin, n1, wq, bq, wk, bk, wv, bv, wo, n2, wg, wu, wd):
    """x [B, T, D] f32, mask [B, 1, T, T] additive, cos/sin [B, 1, T, 32]."""
    B, T, D = x.shape
    y = rms_norm(x, n1)
    q = rotate(linear(y, wq, bq).view(B, T, 4, 64).transpose(1, 2), cos, sin)
    k = rotate(linear(y, wk, bk).view(B, T, 2, 64).transpose(1, 2), cos, sin)
    v = linear(y, wv, bv).view(B, T, 2, 64).transpose(1, 2)
    o = attend(q.reshape(B, 2, 2, T, 64), k.unsqueeze(2), v.unsqueeze(2), mask.unsqueeze(1))
    x = x + linear(o.reshape(B, 4, T, 64).transpose(1, 2).reshape(B, T, D), wo).float()
    y = rms_norm(x, n2)
    return x + linear(F.silu(linear(y, wg).float()) * linear(y, wu).float(), wd).float()


compiled_vision_block, compiled_decoder_block = vision_block, decoder_block
COMPILED_GRIDS = {(8, 8), (6, 9), (9, 6)}  # the rarer grids run eagerly: each shape costs half a minute to compile


def compile_blocks():
    global compiled_vision_block, compiled_decoder_block
    compiled_vision_block = torch.compile(vision_block, dynamic=False)
    compiled_decoder_block = torch.compile(decoder_block, dynamic=False)


_VISION = ["norm1.weight", "norm2.weight", "attn.qkv.weight", "attn.qkv.bias", "attn.proj.weight", "attn.proj.bias",
           "mlp.gate_proj.weight", "mlp.gate_proj.bias", "mlp.up_proj.weight", "mlp.up_proj.bias",
           "mlp.down_proj.weight", "mlp.down_proj.bias"]
_DECODER = ["input_layernorm.weight", "self_attn.q_proj.weight", "self_attn.q_proj.bias", "self_attn.k_proj.weight",
            "self_attn.k_proj.bias", "self_attn.v_proj.weight", "self_attn.v_proj.bias", "self_attn.o_proj.weight",
            "post_attention_layernorm.weight", "mlp.gate_proj.weight", "mlp.up_proj.weight", "mlp.down_proj.weight"]


# ---------------------------------------------------------------------------------------------- vision tower
_GRID_CACHE = {}


def grid_tables(grid):
    """(unit order by window, its inverse, cos, sin, window mask or None, equal windows) of one grid of units."""
    if grid not in _GRID_CACHE:
        gh, gw = grid
        w = C["window"]
        order, window = [], []
        for wy in range(0, gh, w):
            for wx in range(0, gw, w):
                for y in range(wy, min(gh, wy + w)):
                    for x in range(wx, min(gw, wx + w)):
                        order.append(y * gw + x)
                        window.append((wy, wx))
        unit = torch.tensor(order).repeat_interleave(4)
        s = torch.arange(4).repeat(len(order))
        row, col = unit // gw * 2 + s // 2, unit % gw * 2 + s % 2
        inv = 10000 ** (-torch.arange(16) / 16.0)
        angle = torch.cat([row[:, None] * inv, col[:, None] * inv], 1)
        ids = torch.tensor([a * 1000 + b for a, b in window]).repeat_interleave(4)
        equal = gh % w == 0 and gw % w == 0
        mask = None if equal else torch.where(ids[:, None] == ids[None], 0.0, -1e9)
        order = torch.tensor(order)
        _GRID_CACHE[grid] = (order, torch.argsort(order), angle.cos(), angle.sin(), mask, (gh // w) * (gw // w) if equal else 1)
    return _GRID_CACHE[grid]


def vision(p, patches, grid):
    """patches [B, P, 588] in merge order -> (image tokens [B, U, D], merger features [B, U, 4E], patch states [B, P, E])."""
    order, inverse, cos, sin, mask, parts = grid_tables(grid)
    B, P, _ = patches.shape
    U = P // 4
    x = linear(patches.view(B, U, 4, 588)[:, order].reshape(B, P, 588), p["visual.patch_embed.proj.weight"]).float()
    for i in range(C["v_depth"]):
        full = i in C["v_full"]
        weights = [p[f"visual.blocks.{i}.{n}"] for n in _VISION]
        block = compiled_vision_block if grid in COMPILED_GRIDS else vision_block
        x = block(x, None if full else mask, cos, sin, 1 if full else parts, *weights)
    x = rms_norm(x, p["visual.merger.ln_q.weight"]).view(B, U, 4, -1)[:, inverse]
    h = F.gelu(linear(x.reshape(B, U, -1), p["visual.merger.mlp.0.weight"], p["visual.merger.mlp.0.bias"]).float())
    out = linear(h, p["visual.merger.mlp.2.weight"], p["visual.merger.mlp.2.bias"]).float()
    return out, h, x.reshape(B, P, -1)


# ---------------------------------------------------------------------------------------------- decoder
def rope_tables(pos):
    """pos [3, B, T] -> cos, sin [B, 1, T, 32]: axis t, h, w for consecutive sections of the frequencies."""
    inv = C["theta"] ** (-torch.arange(32) / 32.0)
    axis = torch.repeat_interleave(torch.arange(3), torch.tensor(C["mrope"]))
    angle = pos.float()[axis].permute(1, 2, 0) * inv
    return angle.cos().unsqueeze(1), angle.sin().unsqueeze(1)


def decoder(p, h, mask, cos, sin, keep=()):
    """h [B, T, D] f32 -> (final normed states, {layer: its input} for the layers in `keep`)."""
    kept = {}
    for i in range(C["layers"]):
        if i in keep:
            kept[i] = h
        h = compiled_decoder_block(h, mask, cos, sin, *[p[f"model.layers.{i}.{n}"] for n in _DECODER])
    return rms_norm(h, p["model.norm.weight"]), kept


def head_scores(p, x, layer, head, cos, sin, rows):
    """Attention logits of one head for chosen queries: x [B, T, D], rows [B, R] -> [B, R, T]."""
    n = f"model.layers.{layer}."
    y = rms_norm(x, p[n + "input_layernorm.weight"])
    q = linear(y, p[n + "self_attn.q_proj.weight"][head * 64:head * 64 + 64], p[n + "self_attn.q_proj.bias"][head * 64:head * 64 + 64])
    kv = head // 2
    k = linear(y, p[n + "self_attn.k_proj.weight"][kv * 64:kv * 64 + 64], p[n + "self_attn.k_proj.bias"][kv * 64:kv * 64 + 64])
    q, k = rotate(q, cos[:, 0], sin[:, 0]), rotate(k, cos[:, 0], sin[:, 0])
    q = q.gather(1, rows[..., None].expand(-1, -1, 64))
    return torch.matmul(q, k.transpose(1, 2)).float() * 0.125


# ---------------------------------------------------------------------------------------------- quantisation
def fake_quant(w, bits=4, group=128):
    """Round-to-nearest asymmetric groups along the inputs (spec 2.1), straight through in the backward pass."""
    out, inn = w.shape
    v = w.detach().view(out, inn // group, group)
    top = 2 ** bits - 1
    lo, hi = v.amin(-1, keepdim=True), v.amax(-1, keepdim=True)
    s = ((hi - lo).clamp(min=1e-5) / top).half().float()
    z = (-torch.round(lo / s)).clamp(0, top)
    q = ((torch.round(v / s) + z).clamp(0, top) - z) * s
    return w + (q.view(out, inn) - w).detach()


def quantised(p, bits=4):
    """The decoder's linears replaced by their int4 g128 values (gradients go straight through)."""
    return {k: fake_quant(v, bits) if k.startswith("model.layers.") and v.dim() == 2 else v for k, v in p.items()}
