"""Training losses besides the answer tokens: dense readings of the vision tower, readings of the decoder's image tokens.

All heads here are thrown away after training (demo-model recipe). Called by train.py; targets come from scenes.labels.
"""
import numpy as np
import torch
import torch.nn.functional as F

import network
from scenes import CENTRE, SLOTS, TEXT, UNIT, labels
from talk import TAGS
from vocabulary import BACKGROUNDS, COLOUR_NAMES, COLOURS, GLYPHS, KINDS


def stack_labels(scenes):
    """-> {name: tensor [B, U, ...]}; scenes of one grid."""
    rows = [labels(s) for s in scenes]
    out = {k: torch.from_numpy(np.stack([r[k] for r in rows])) for k in rows[0]}
    out["background"] = torch.tensor([s.background for s in scenes])[:, None].expand_as(out["state"])
    return out


def oracle_features(L, rng=None):
    """Label vectors [B, U, oracle_width]; with rng, as uncertain as a vision tower's readings."""
    B, U = L["state"].shape
    hot = lambda t, n: F.one_hot(t.clamp(min=0), n).float() * (t >= 0)[..., None]
    glyph = hot(L["glyph"], len(GLYPHS))
    parts = [hot(L["state"], 4), hot(L["kind"], len(KINDS)), hot(L["colour"], len(COLOURS)),
             hot(L["background"], len(BACKGROUNDS)), L["box"].float(), glyph.view(B, U, -1)]
    y = torch.cat(parts, -1)
    if rng is not None:
        g = torch.Generator().manual_seed(int(rng.integers(2 ** 62)))
        inked = (L["state"] > 0)[..., None].float()
        sizes = [0.08, 0.08, 0.05, 0.05, 0.03, 0.08]
        sigma = torch.cat([torch.full((p.shape[-1],), s) for p, s in zip(parts, sizes)])
        y = y + torch.randn(y.shape, generator=g) * sigma * (0.5 + inked)
    return y


def _ce(logits, target, weight):
    return (F.cross_entropy(logits.reshape(-1, logits.shape[-1]), target.reshape(-1).clamp(min=0), reduction="none")
            * weight.reshape(-1)).sum() / weight.sum().clamp(min=1)


def dense_loss(h, feats, patches, L):
    """Linear readings of the merger's inner features [B, U, 768] and of the patch states [B, P, 192]."""
    read = lambda k, x=feats: F.linear(x, h[f"dense.{k}.weight"], h[f"dense.{k}.bias"])
    inked, thing = (L["state"] > 0).float(), (L["kind"] >= 0).float()
    centre = (L["state"] == CENTRE).float()
    focus = thing + 2 * centre
    state = read("state")
    parts = {"state": _ce(state, L["state"], 0.3 + inked + 2 * centre)}
    kind, colour = read("kind"), read("colour")
    parts["kind"], parts["colour"] = _ce(kind, L["kind"], focus), _ce(colour, L["colour"], focus)
    parts["background"] = _ce(read("background"), L["background"], torch.ones_like(inked)) * 0.3
    box = read("box")
    parts["box"] = (F.smooth_l1_loss(box, L["box"], reduction="none", beta=0.1).mean(-1) * focus).sum() / focus.sum().clamp(min=1) * 3
    B, U = L["state"].shape
    glyph = read("glyph").view(B, U, SLOTS, -1)
    target = torch.where(L["glyph"] < 0, len(GLYPHS), L["glyph"])
    text = (L["state"] == TEXT).float()[..., None] * torch.tensor([1.0, 1.0, 0.5])
    parts["glyph"] = _ce(glyph, target, text)
    before = read("before")
    parts["before"] = _ce(before, L["before"], (L["before"] >= 0).float())
    pg = read("patch_glyph", patches)
    ptarget = torch.where(L["patch_glyph"] < 0, len(GLYPHS), L["patch_glyph"])
    parts["patch"] = _ce(pg, ptarget, 0.15 + (L["patch_glyph"] >= 0).float())
    with torch.no_grad():
        acc = lambda lg, t, m: float(((lg.argmax(-1) == t) & m).sum() / m.sum().clamp(min=1))
        c = L["state"] == CENTRE
        gm = L["glyph"] >= 0
        lt = torch.minimum(box, L["box"])
        inter = (lt[..., 0] + lt[..., 2]).clamp(min=0) * (lt[..., 1] + lt[..., 3]).clamp(min=0)
        area = lambda b: (b[..., 0] + b[..., 2]) * (b[..., 1] + b[..., 3])
        iou = inter / (area(box) + area(L["box"]) - inter).clamp(min=1e-3)
        stats = {"state": acc(state, L["state"], L["state"] > 0), "kind": acc(kind, L["kind"], c),
                 "colour": acc(colour, L["colour"], c), "iou": float((iou * c).sum() / c.sum().clamp(min=1)),
                 "glyph": acc(glyph, L["glyph"], gm), "before": acc(before, L["before"], L["before"] >= 0), "patch": acc(pg, L["patch_glyph"], L["patch_glyph"] >= 0)}
    return sum(parts.values()), stats


# ---------------------------------------------------------------------------------------------- decoder
READ_LAYER, POINTER_LAYERS = 3, (3, 4)  # image tokens are read before layer 3; head 0 of layers 3 and 4 points
WEIGHTS = torch.tensor([0.5, 1.0, 1.5, 1.5, 2.5, 1.5, 0.7])  # by tag


class Rows:
    """Token ids that the losses name, from a codec."""

    def __init__(self, codec):
        one = lambda s: codec.encode(s)[0]
        self.numbers = torch.tensor(codec.numbers)
        self.kinds = torch.tensor([one(" " + k) for k in KINDS])
        self.colours = torch.tensor([one(" " + c) for c in COLOUR_NAMES])
        self.glyphs = torch.tensor([one(g) for g in GLYPHS])
        self.reading = torch.tensor([one(g) for g in GLYPHS + " "])


def fourier_numbers(p, rows, seed=3, scale=14.0):
    """Number tokens start as random Fourier features of their value: near values, near vectors."""
    g = torch.Generator().manual_seed(seed)
    D = p["model.embed_tokens.weight"].shape[1]
    w, b = torch.randn(D, generator=g) / scale, torch.rand(D, generator=g) * 6.2832
    value = torch.arange(len(rows.numbers))[:, None].float()
    with torch.no_grad():
        p["model.embed_tokens.weight"][rows.numbers[10:]] = (torch.cos(value * w + b) * (2 / D) ** 0.5)[10:]


def near(value, count, sigma=3.0):
    """Soft targets over 0..count-1 around value [n]."""
    d = torch.arange(count)[None] - value[:, None]
    return torch.softmax(-0.5 * (d / sigma) ** 2, -1)


def answer_loss(p, A, final, rows, sigma=3.0):
    at = (A["learn"] >= 0).nonzero()
    h = final[at[:, 0], at[:, 1] - 1]
    logits = network.linear(h, p["model.embed_tokens.weight"]).float()
    lp = torch.log_softmax(logits, -1)
    tag, ids, coord = A["learn"][at[:, 0], at[:, 1]], A["ids"][at[:, 0], at[:, 1]], A["coord"][at[:, 0], at[:, 1]]
    nll = -lp.gather(1, ids[:, None])[:, 0]
    c = coord >= 0
    if c.any():
        soft = -(lp[c][:, rows.numbers] * near(coord[c], len(rows.numbers), sigma)).sum(-1)
        nll = nll.masked_scatter(c, soft)
    w = WEIGHTS[tag]
    loss = (nll * w).sum() / w.sum()
    with torch.no_grad():
        best = logits.argmax(-1)
        stats = {}
        for i, name in enumerate(TAGS):
            m = tag == i
            if name == "coord":
                value = {int(t): v for v, t in enumerate(rows.numbers.tolist())}
                got = [abs(value.get(int(b), 999) - int(v)) for b, v in zip(best[m], coord[m])]
                stats["coord_px"] = float(np.mean(np.minimum(got, 60))) if got else float("nan")
            else:
                stats[name] = float((best[m] == ids[m]).float().mean()) if m.any() else float("nan")
    return loss, stats


def pointer_loss(p, A, kept, cos, sin):
    keys = A["keys"]
    used = keys[..., 0] >= 0
    allowed = A["mask"][:, 0].gather(1, A["q"][..., None].expand(-1, -1, A["mask"].shape[-1]))
    total = 0.0
    for layer in POINTER_LAYERS:
        s = network.head_scores(p, kept[layer], layer, 0, cos, sin, A["q"]) + allowed
        lp = torch.log_softmax(s, -1).gather(2, keys.clamp(min=0)).masked_fill(keys < 0, -1e9)
        total = total - (torch.logsumexp(lp, -1) * used).sum() / used.sum().clamp(min=1)
    return total / len(POINTER_LAYERS)


def reading_loss(p, h, x, L, rows):
    """Image tokens inside the decoder, x [N, D] (flat over documents), L flat labels with absolute boxes [N, 4] px."""
    x = network.rms_norm(x, 1.0)
    E = p["model.embed_tokens.weight"]
    read = lambda k: F.linear(x, h[f"lm.{k}.weight"], h[f"lm.{k}.bias"])
    thing, centre = (L["kind"] >= 0).float(), (L["state"] == CENTRE).float()
    focus = thing + 2 * centre
    mean = lambda v, w: (v * w).sum() / w.sum().clamp(min=1)
    box = read("box")
    # empty units have a box of no size at their centre: every image token has to know where it is
    loss = 15 * mean(F.smooth_l1_loss(box, L["abs"] / 224, reduction="none", beta=0.02).mean(-1), focus + 0.3)
    rank, place = read("rank"), read("place")
    loss = loss + 0.3 * (_ce(rank, L["rank"].clamp(max=4), centre) + _ce(read("alike"), L["alike"].clamp(max=4), centre))
    loss = loss + 0.3 * _ce(read("same"), L["same"].clamp(max=4), centre)
    loss = loss + 0.3 * _ce(place, L["place"], (L["place"] >= 0).float())
    scale = h["align.scale"]
    align = _ce(scale * (x @ E[rows.kinds].t()), L["kind"], focus) + _ce(scale * (x @ E[rows.colours].t()), L["colour"], focus)
    m = L["state"] == CENTRE
    if m.any():
        numbers = E[rows.numbers].t()
        for i in range(4):
            lp = torch.log_softmax(scale * ((x[m] @ h[f"align.coord{i}.weight"].t()) @ numbers), -1)
            align = align - 0.25 * (lp * near(L["abs"][m][:, i], len(rows.numbers))).sum(-1).mean()
    g = L["state"] == TEXT
    if g.any():
        letters = E[rows.glyphs].t()
        for i in range(SLOTS):
            t = L["glyph"][g][:, i]
            align = align + (1.0, 0.6, 0.1)[i] * _ce(scale * ((x[g] @ h[f"align.glyph{i}.weight"].t()) @ letters), t, (t >= 0).float())
        # the key of reading on: which glyph was said before the one in this unit
        b = scale * ((x[g] @ h["align.before.weight"].t()) @ E[rows.reading].t())
        align = align + _ce(b, L["before"][g], (L["before"][g] >= 0).float())
    with torch.no_grad():
        acc = lambda lg, t, k: float(((lg.argmax(-1) == t) & k).sum() / k.sum().clamp(min=1))
        stats = {"lm_rank": acc(rank, L["rank"], m), "lm_place": acc(place, L["place"], L["place"] >= 0),
                 "lm_before": acc(b, L["before"][g], L["before"][g] >= 0) if g.any() else float("nan"),
                 "lm_px": float(((box * 224 - L["abs"]).abs().mean(-1) * centre).sum() / centre.sum().clamp(min=1))}
    return loss, align, stats


def absolute_boxes(L, grid):
    """Boxes in px of the frame from the per-unit offsets, [B, U, 4]."""
    n = torch.arange(grid[0] * grid[1])
    cx, cy = (n % grid[1]) * UNIT + 14.0, (n // grid[1]) * UNIT + 14.0
    b = L["box"] * UNIT
    return torch.stack([cx - b[..., 0], cy - b[..., 1], cx + b[..., 2], cy + b[..., 3]], -1)


def talk_loss(p, h, A, images, L, rows, sigma=3.0):
    """Answers, pointers and readings of one packed batch.

    images: (flat token indices [N], embeddings [N, D]); L: flat labels [N, ...] with "abs". -> loss, stats
    """
    R, T = A["ids"].shape
    emb = p["model.embed_tokens.weight"][A["ids"]].reshape(R * T, -1)
    emb = emb.index_copy(0, images[0], images[1]).view(R, T, -1)
    cos, sin = network.rope_tables(A["pos"])
    final, kept = network.decoder(p, emb, A["mask"], cos, sin, keep=set(POINTER_LAYERS) | {READ_LAYER})
    answers, stats = answer_loss(p, A, final, rows, sigma)
    points = pointer_loss(p, A, kept, cos, sin)
    reading, align, more = reading_loss(p, h, kept[READ_LAYER].reshape(R * T, -1)[images[0]], L, rows)
    stats |= more | {"answers": float(answers.detach()), "point": float(points.detach()), "align": float(align.detach())}
    return answers + 0.35 * points + 0.3 * reading + 0.25 * align, stats
