"""The trainer: `train.py vision`, `train.py language`, then `train.py joint` (see README.md for the recipe).

Stages are limited by wall time, not by steps, so a shared machine shortens a run instead of delaying it: the learning
rates follow the clock. Each stage checkpoints and resumes by itself. The language stage sees no pixels: it learns to
answer from label vectors, mapped by a linear layer to which the vision tower is then fitted by least squares (`fit`).
"""
import argparse
import json
import os
import time

import numpy as np
import torch
import torch.distributed as dist

import batches
import losses
import network
import scenes
from optimiser import Optimiser, clip_grads
from tokenizer import Codec


class Clock:
    """Progress 0..1 of a stage that has `minutes` in all, over restarts."""

    def __init__(self, minutes, used=0.0):
        self.minutes, self.start = minutes, time.time() - used * 60

    def used(self):
        return (time.time() - self.start) / 60

    def progress(self):
        return min(1.0, self.used() / self.minutes)


def rate(progress, steps, warm=50, hold=0.4, floor=0.03):
    """Warm-up by steps, then flat, then linear decay over the rest of the time."""
    decay = 1.0 if progress < hold else max(floor, 1 - (progress - hold) / (1 - hold) * (1 - floor))
    return min(1.0, (steps + 1) / warm) * decay


def save(path, **content):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    torch.save(content, path + ".part")
    os.replace(path + ".part", path)


def log(run, name, row):
    line = json.dumps(row)
    print(line, flush=True)
    with open(os.path.join(run, name + ".log"), "a") as f:
        f.write(line + "\n")


def image_batch(rng, n_scene, n_fill, styles=("objects", "count", "text", "mixed"), weights=(0.4, 0.15, 0.25, 0.2)):
    grid = scenes.random_grid(rng)
    batch = [scenes.make_scene(rng, styles[rng.choice(len(styles), p=weights)], grid) for _ in range(n_scene)]
    batch += [scenes.make_fill(rng, grid) for _ in range(n_fill)]
    pixels = np.stack([scenes.render(s, rng) for s in batch])
    return grid, batch, torch.from_numpy(scenes.patchify(pixels))


def leaves(tensors):
    return {k: v.detach().clone().requires_grad_() for k, v in tensors.items()}


def run_vision(args):
    """The vision tower alone, on dense labels."""
    path = os.path.join(args.run, "vision.pt")
    p = {k: v for k, v in network.init_parameters().items() if k.startswith("visual.") and "mlp.2" not in k}
    p |= {k: v for k, v in network.init_heads().items() if k.startswith("dense.")}
    p, used, state = leaves(p), 0.0, None
    if os.path.exists(path):
        saved = torch.load(path)
        p, used, state = leaves(saved["params"]), saved["used"], saved["optimiser"]
    opt = Optimiser(p)
    if state:
        opt.state, opt.steps = state["state"], state["steps"]
    q = dict(p)
    q["visual.merger.mlp.2.weight"], q["visual.merger.mlp.2.bias"] = torch.zeros(256, 768), torch.zeros(256)
    clock, rng = Clock(args.minutes, used), np.random.default_rng(args.seed + opt.steps)
    last_save, window, began = time.time(), [], time.time()
    while clock.progress() < 1 and not os.path.exists(os.path.join(args.run, "stop_vision")):
        grid, batch, patches = image_batch(rng, args.batch // 2, args.batch - args.batch // 2)
        L = losses.stack_labels(batch)
        _, feats, states = network.vision(q, patches, grid)
        loss, stats = losses.dense_loss(p, feats, states, L)
        opt.zero_grad()
        loss.backward()
        stats |= {"loss": float(loss.detach()), "norm": clip_grads(p, 5.0)}
        r = rate(clock.progress(), opt.steps)
        opt.step(args.muon_lr * r, 2e-3 * r)
        window.append(stats)
        if opt.steps % 50 == 0:
            row = {k: round(float(np.mean([w[k] for w in window])), 3) for k in window[0]}
            log(args.run, "vision", {"step": opt.steps, "min": round(clock.used(), 1),
                                     "s": round((time.time() - began) / len(window), 3), "rate": round(r, 3)} | row)
            window, began = [], time.time()
        if time.time() - last_save > 120:
            save(path, params=p, used=clock.used(), optimiser={"state": opt.state, "steps": opt.steps})
            last_save = time.time()
    save(path, params=p, used=clock.used(), optimiser={"state": opt.state, "steps": opt.steps})


def image_style(rng):
    return ("objects", "count", "text", "mixed")[rng.choice(4, p=(0.34, 0.2, 0.28, 0.18))]


def flat_images(docs, places, scene_labels, length):
    """Indices of the image tokens in the packed rows, and their labels, for the documents that found room."""
    index, flat = [], {}
    for doc, at, L in zip(docs, places, scene_labels):
        if at is None or doc.image_at < 0:
            continue
        n = len(L["state"])
        index.append(at[0] * length + at[1] + doc.image_at + torch.arange(n))
        for k in ("state", "kind", "colour", "background", "box", "glyph", "rank", "alike", "place", "abs"):
            flat.setdefault(k, []).append(L[k])
    return torch.cat(index), {k: torch.cat(v) for k, v in flat.items()}


def oracle_batch(codec, rng, rows, length, share):
    """Documents about scenes without pixels, filling `share` of the rows, and text documents for the rest."""
    docs, scene_labels = [], []
    budget = int(rows * length * share)
    while budget > 0:
        grid = scenes.random_grid(rng)
        scene = scenes.make_scene(rng, image_style(rng), grid)
        docs.append(batches.image_doc(codec, rng, scene, length, rng.random() < 0.25))
        L = losses.stack_labels([scene])
        L["abs"] = losses.absolute_boxes(L, grid)
        scene_labels.append({k: v[0] for k, v in L.items()})
        budget -= len(docs[-1].ids)
    budget = int(rows * length * (1.0 - share))
    while budget > 0:
        docs.append(batches.text_doc(codec, rng, length))
        scene_labels.append({"state": []})
        budget -= len(docs[-1].ids)
    order = rng.permutation(len(docs))
    docs, scene_labels = [docs[i] for i in order], [scene_labels[i] for i in order]
    A, places, full = batches.pack(docs, rows, length)
    index, L = flat_images(docs, places, scene_labels, length)
    return A, index, L, full


def run_language(args):
    """The decoder alone: label vectors stand for images, so no pixels and no vision tower are needed."""
    path = os.path.join(args.run, "language.pt")
    codec = Codec(args.run)
    rows = losses.Rows(codec)
    p = {k: v for k, v in network.init_parameters().items() if k.startswith("model.")}
    losses.fourier_numbers(p, rows)
    p |= {k: v for k, v in network.init_heads().items() if not k.startswith("dense.")}
    p, used, state = leaves(p), 0.0, None
    if os.path.exists(path):
        saved = torch.load(path)
        p, used, state = leaves(saved["params"]), saved["used"], saved["optimiser"]
    opt = Optimiser(p)
    if state:
        opt.state, opt.steps = state["state"], state["steps"]
    clock, rng = Clock(args.minutes, used), np.random.default_rng(args.seed + 7 + opt.steps)
    last_save, window, began = time.time(), [], time.time()
    while clock.progress() < 1 and not os.path.exists(os.path.join(args.run, "stop_language")):
        A, index, L, full = oracle_batch(codec, rng, args.rows, args.length, 0.6)
        y = losses.oracle_features({k: v[None] for k, v in L.items()}, rng)[0]
        embeds = torch.nn.functional.linear(y, p["oracle.weight"])
        loss, stats = losses.talk_loss(p, p, A, (index, embeds), L, rows)
        opt.zero_grad()
        loss.backward()
        stats |= {"loss": float(loss.detach()), "norm": clip_grads(p, 5.0), "full": full}
        r = rate(clock.progress(), opt.steps)
        opt.step(args.muon_lr * r, 2e-3 * r)
        window.append(stats)
        if opt.steps % 50 == 0:
            row = {k: round(float(np.nanmean([w[k] for w in window])), 3) for k in window[0]}
            log(args.run, "language", {"step": opt.steps, "min": round(clock.used(), 1),
                                       "s": round((time.time() - began) / len(window), 3), "rate": round(r, 3)} | row)
            window, began = [], time.time()
        if time.time() - last_save > 120:
            save(path, params=p, used=clock.used(), optimiser={"state": opt.state, "steps": opt.steps})
            last_save = time.time()
    save(path, params=p, used=clock.used(), optimiser={"state": opt.state, "steps": opt.steps})


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage", choices=["vision", "language", "joint"])
    parser.add_argument("--run", default="runs/demo", help="folder of checkpoints and logs")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--length", type=int, default=384)
    parser.add_argument("--muon-lr", type=float, default=0.01)
    parser.add_argument("--seed", type=int, default=1000)
    parser.add_argument("--eager", action="store_true", help="do not compile the blocks")
    args = parser.parse_args()
    os.makedirs(args.run, exist_ok=True)
    torch.set_num_threads(1)
    if not args.eager:
        network.compile_blocks()
    {"vision": run_vision, "language": run_language}[args.stage](args)


if __name__ == "__main__":
    main()
