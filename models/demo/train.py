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
        opt.step(args.muon_lr * r, args.adam_lr * r)
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
    return ("objects", "count", "text", "mixed")[rng.choice(4, p=(0.3, 0.29, 0.25, 0.16))]


def flat_images(docs, places, scene_labels, length):
    """Indices of the image tokens in the packed rows, and their labels, for the documents that found room."""
    index, flat = [], {}
    for doc, at, L in zip(docs, places, scene_labels):
        if at is None or doc.image_at < 0:
            continue
        n = len(L["state"])
        index.append(at[0] * length + at[1] + doc.image_at + torch.arange(n))
        for k in ("state", "kind", "colour", "background", "box", "glyph", "rank", "alike", "same", "place", "before", "abs"):
            flat.setdefault(k, []).append(L[k])
    return torch.cat(index), {k: torch.cat(v) for k, v in flat.items()}


def oracle_batch(codec, rng, rows, length, share):
    """Documents about scenes without pixels, mixed with text documents, filling row by row."""
    docs, scene_labels = [], []
    for _ in range(rows):
        room = length
        while room > 130:
            if not docs or rng.random() < share:
                grid = scenes.random_grid(rng)
                scene = scenes.make_scene(rng, image_style(rng), grid)
                doc = batches.image_doc(codec, rng, scene, room, rng.random() < 0.25)
                L = losses.stack_labels([scene])
                L["abs"] = losses.absolute_boxes(L, grid)
                label = {k: v[0] for k, v in L.items()}
            else:
                doc, label = batches.text_doc(codec, rng, room), {"state": []}
            if len(doc.ids) > room or not any(t >= 0 for t in doc.learn):
                room -= 20
                continue
            docs.append(doc)
            scene_labels.append(label)
            room -= len(doc.ids)
    A, places, full = batches.pack(docs, rows, length)
    index, L = flat_images(docs, places, scene_labels, length)
    return A, index, L, full


def join(rank, args):
    """Starts one rank of a run on several processes of one thread each."""
    torch.set_num_threads(1)
    if not args.eager:
        network.compile_blocks()
    os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
    os.environ.setdefault("MASTER_PORT", "29517")
    dist.init_process_group("gloo", rank=rank, world_size=args.ranks)


def together(clock, stop_file):
    """Progress as rank 0 sees it; 1 when the run should stop."""
    turn = torch.tensor([1.0 if os.path.exists(stop_file) else clock.progress()])
    dist.broadcast(turn, 0)
    return float(turn[0])


def average_gradients(p, ranks):
    """Over the given parameters, the same on every rank; one without a gradient on this rank counts as zero."""
    flat = torch.cat([(t.grad if t.grad is not None else torch.zeros_like(t)).reshape(-1) for t in p.values()])
    dist.all_reduce(flat)
    at = 0
    for t in p.values():
        t.grad = flat[at:at + t.numel()].view_as(t) / ranks
        at += t.numel()


def run_language(rank, args):
    """The decoder alone: label vectors stand for images, so no pixels and no vision tower are needed."""
    join(rank, args)
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
    clock, rng = Clock(args.minutes, used), np.random.default_rng(args.seed + 7 + 100000 * rank + opt.steps)
    last_save, window, began = time.time(), [], time.time()
    while (progress := together(clock, os.path.join(args.run, "stop_language"))) < 1:
        A, index, L, full = oracle_batch(codec, rng, args.rows, args.length, 0.6)
        y = losses.oracle_features({k: v[None] for k, v in L.items()}, rng)[0]
        embeds = torch.nn.functional.linear(y, p["oracle.weight"])
        loss, stats = losses.talk_loss(p, p, A, (index, embeds), L, rows)
        opt.zero_grad()
        loss.backward()
        average_gradients(p, args.ranks)
        stats |= {"loss": float(loss.detach()), "norm": clip_grads(p, 5.0), "full": full}
        r = rate(progress, opt.steps)
        opt.step(args.muon_lr * r, args.adam_lr * r, rank=rank, ranks=args.ranks)
        window.append(stats)
        if opt.steps % 50 == 0:
            if rank == 0:
                row = {k: round(float(np.nanmean([w[k] for w in window])), 3) for k in window[0]}
                log(args.run, "language", {"step": opt.steps, "min": round(clock.used(), 1),
                                           "s": round((time.time() - began) / len(window), 3), "rate": round(r, 3)} | row)
            window, began = [], time.time()
        if rank == 0 and time.time() - last_save > 120:
            save(path, params=p, used=clock.used(), optimiser={"state": opt.state, "steps": opt.steps})
            last_save = time.time()
    if rank == 0:
        save(path, params=p, used=clock.used(), optimiser={"state": opt.state, "steps": opt.steps})
    dist.barrier()
    dist.destroy_process_group()


def fit(p, oracle, batches_wanted=8, seed=77):
    """Least-squares start of the last vision layer: merger features -> the embeddings the decoder was raised on."""
    rng = np.random.default_rng(seed)
    xx, xy = torch.zeros(769, 769), torch.zeros(769, 256)
    compiled, network.COMPILED_GRIDS = network.COMPILED_GRIDS, set()  # its shapes are used only here
    with torch.no_grad():
        for _ in range(batches_wanted):
            grid, batch, patches = image_batch(rng, 16, 0)
            _, feats, _ = network.vision(p, patches, grid)
            L = losses.stack_labels(batch)
            w = (0.3 + (L["state"] > 0).float() + 2 * (L["state"] == scenes.CENTRE).float()).reshape(-1, 1)
            y = torch.nn.functional.linear(losses.oracle_features(L), oracle).reshape(-1, 256)
            x = torch.cat([feats.reshape(-1, 768), torch.ones(y.shape[0], 1)], 1)
            xx += (x * w).t() @ x
            xy += (x * w).t() @ y
        solution = torch.linalg.solve(xx + 1e-2 * xx.diagonal().mean() * torch.eye(769), xy).t()
        error = ((x @ solution.t() - y).square() * w).sum() / (y.square() * w).sum()
    network.COMPILED_GRIDS = compiled
    return solution[:, :768].contiguous(), solution[:, 768].contiguous(), float(error)


def joint_batch(codec, rng, args):
    grid = scenes.random_grid(rng)
    batch = [scenes.make_scene(rng, image_style(rng), grid) for _ in range(args.images)]
    docs = [batches.image_doc(codec, rng, s, args.length, rng.random() < 0.3) for s in batch]
    fills = [scenes.make_fill(rng, grid) for _ in range(args.fills)]
    pixels = np.stack([scenes.render(s, rng) for s in batch + fills])
    spare = args.rows * args.length - sum(len(d.ids) for d in docs)
    while spare > 150:
        docs.append(batches.text_doc(codec, rng, args.length))
        spare -= len(docs[-1].ids)
    A, places, full = batches.pack(docs, args.rows, args.length)
    L = losses.stack_labels(batch + fills)
    L["abs"] = losses.absolute_boxes(L, grid)
    each = [{k: v[i] for k, v in L.items()} if i < len(batch) else {"state": []} for i in range(len(docs))]
    index, flat = flat_images(docs, places, each, args.length)
    seated = [i for i in range(len(batch)) if places[i] is not None and docs[i].image_at >= 0]
    return grid, torch.from_numpy(scenes.patchify(pixels)), L, A, index, flat, seated, full


def run_joint(rank, args):
    """Vision tower and decoder together on two ranks, gradients averaged; the last part with int4 weights in the loop."""
    join(rank, args)
    path = os.path.join(args.run, "joint.pt")
    codec = Codec(args.run)
    rows = losses.Rows(codec)
    used, state = 0.0, None
    if os.path.exists(path):
        saved = torch.load(path)
        new = {k: v for k, v in network.init_heads().items() if not k.startswith("oracle")}
        p, used, state = new | saved["params"], saved["used"], saved["optimiser"]
    else:
        seen = torch.load(os.path.join(args.run, "vision.pt"))
        spoken = torch.load(os.path.join(args.run, "language.pt"))
        p = {k: v.detach() for k, v in (seen["params"] | spoken["params"]).items()}
        w, b, error = fit(p | {"visual.merger.mlp.2.weight": torch.zeros(256, 768), "visual.merger.mlp.2.bias": torch.zeros(256)},
                          p.pop("oracle.weight"))
        p["visual.merger.mlp.2.weight"], p["visual.merger.mlp.2.bias"] = w, b
        if rank == 0:
            print("fit: unexplained share of the image embeddings", round(error, 4), flush=True)
        state = {"state": {}, "steps": 0}
        for part in (seen, spoken):  # momenta carry over
            state["state"] |= {k: v for k, v in part["optimiser"]["state"].items() if k in p}
    p = leaves(p)
    opt = Optimiser(p)
    if state:
        opt.state.update(state["state"])
        opt.steps = state["steps"]
    clock, rng = Clock(args.minutes, used), np.random.default_rng(args.seed + 100000 * (rank + 1) + opt.steps)
    last_save, window, began = time.time(), [], time.time()
    heads = p
    while (progress := together(clock, os.path.join(args.run, "stop_joint"))) < 1:
        grid, patches, L, A, index, flat, seated, full = joint_batch(codec, rng, args)
        quantising = progress > args.quantise_from
        q = network.quantised(p) if quantising else p
        images, feats, states = network.vision(q, patches, grid)
        frozen = opt.steps % args.tower_every != 0  # the tower is ahead: most steps spare its backward pass
        if frozen:
            images = images.detach()
        loss, stats = losses.talk_loss(q, heads, A, (index, images[seated].reshape(-1, images.shape[-1])), flat, rows,
                                       3.0 if progress < 0.5 else 2.0)
        dense, seen_stats = losses.dense_loss(heads, feats, states, L)
        opt.zero_grad()
        (loss if frozen else loss + 0.3 * dense).backward()
        moving = {n: t for n, t in p.items() if not (frozen and n.startswith(("visual.", "dense.")))}
        average_gradients(moving, args.ranks)
        stats |= {"v_" + k: seen_stats[k] for k in ("state", "kind", "iou", "glyph", "before")}
        stats |= {"loss": float(loss.detach()), "norm": clip_grads(moving, 3.0), "full": full}
        r = rate(progress, opt.steps, warm=30, hold=0.3, floor=0.02)
        opt.step(args.muon_lr * r, args.adam_lr * r, lambda n: 0.7 if n.startswith("visual.") else 1.0, rank, args.ranks)
        window.append(stats)
        if opt.steps % 25 == 0:
            if rank == 0:
                row = {k: round(float(np.nanmean([w[k] for w in window])), 3) for k in window[0]}
                log(args.run, "joint", {"step": opt.steps, "min": round(clock.used(), 1), "q": quantising,
                                        "s": round((time.time() - began) / len(window), 3), "rate": round(r, 3)} | row)
            window, began = [], time.time()
        if rank == 0 and time.time() - last_save > 180:
            save(path, params=p, used=clock.used(), optimiser={"state": opt.state, "steps": opt.steps})
            last_save = time.time()
    if rank == 0:
        save(path, params=p, used=clock.used(), optimiser={"state": opt.state, "steps": opt.steps})
    dist.barrier()
    dist.destroy_process_group()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage", choices=["vision", "language", "joint"])
    parser.add_argument("--run", default="runs/demo", help="folder of checkpoints and logs")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--length", type=int, default=384)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--images", type=int, default=8, help="scenes with questions, per rank and step (joint)")
    parser.add_argument("--fills", type=int, default=2, help="label-only canvases, per rank and step (joint)")
    parser.add_argument("--tower-every", type=int, default=2, help="train the vision tower on every n-th step (joint)")
    parser.add_argument("--quantise-from", type=float, default=0.75, help="progress at which int4 rounding enters")
    parser.add_argument("--adam-lr", type=float, default=2e-3)
    parser.add_argument("--muon-lr", type=float, default=0.01)
    parser.add_argument("--seed", type=int, default=1000)
    parser.add_argument("--eager", action="store_true", help="do not compile the blocks")
    args = parser.parse_args()
    os.makedirs(args.run, exist_ok=True)
    if args.stage != "vision":
        stage = {"language": run_language, "joint": run_joint}[args.stage]
        return torch.multiprocessing.spawn(stage, (args,), nprocs=args.ranks)
    torch.set_num_threads(1)
    if not args.eager:
        network.compile_blocks()
    run_vision(args)


if __name__ == "__main__":
    main()
