"""Writes tests/golden/models/: what Hugging Face computes in f32 on the checkpoints of profiles.json.

  node models/reference/checkpoint.mjs build/checkpoints
  python models/reference/goldens.py build/checkpoints tests/golden/models

The suites read these files natively (tests/golden) and through every wasm variant (tests/js).
"""

import base64
import json
import sys
from pathlib import Path

import torch

from hf import Reference, random_image

TOKENS = 12
IMAGES = {"field.png": (84, 112, 1), "strip.jpg": (336, 64, 2), "photo.jpg": (230, 250, 3), "dot.png": (20, 20, 4)}


def requests():
    image = lambda name: {"type": "image_url", "image_url": {"url": f"file:{name}"}}
    text = lambda words: {"type": "text", "text": words}
    return {
        "text": [{"role": "user", "content": "Name the european capitals"}],
        "image_first": [{"role": "user", "content": [image("photo.jpg"), text("What is in this image?")]}],
        "image_last": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": [text("Describe: "), image("strip.jpg")]}],
        "two_images": [{"role": "user", "content": [image("field.png"), text(" and "), image("dot.png"), text("?")]}],
        "turns": [{"role": "user", "content": [image("field.png"), text("hi")]}, {"role": "assistant", "content": "Hello."},
                  {"role": "user", "content": [text("again"), image("strip.jpg")]}],
    }


def floats(rows):
    return base64.b64encode(rows.float().numpy().tobytes()).decode()


def golden(folder, images):
    reference, rounded = Reference(folder), Reference(folder, torch.bfloat16)
    out = []
    for name, messages in requests().items():
        body = {"messages": messages}
        ids, pixels, grids = reference.prepare(body, images)
        tokens, rows, margins = reference.greedy(ids, pixels, grids, TOKENS)
        positions, delta = reference.positions(ids, grids)
        top = torch.topk(rows, 20, -1)
        full = torch.cat([ids, torch.tensor([tokens])], 1)
        bf16 = torch.log_softmax(rounded.logits(full, pixels, grids)[ids.shape[1] - 1:-1].double(), -1)
        out.append({
            "name": name, "messages": messages, "prompt_token_ids": ids[0].tolist(), "positions": positions.tolist(),
            "rope_delta": delta, "image_grid_thw": grids.tolist() if grids is not None else [],
            "vision_f32": floats(reference.vision(pixels, grids)) if pixels is not None else "",
            "tokens": tokens, "margins": [round(m, 6) for m in margins], "top_ids": top.indices.tolist(),
            "top_logprobs": [[round(v, 6) for v in row] for row in top.values.tolist()],
            "kl_bf16": float((rows.exp() * (rows - bf16)).sum(-1).mean()),
        })
        print(folder.name, name, tokens, f"KL bf16 {out[-1]['kl_bf16']:.5f}")
    return out


if __name__ == "__main__":
    torch.set_num_threads(1)
    checkpoints, out = Path(sys.argv[1]), Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    for name, (width, height, seed) in IMAGES.items():
        picture = random_image(width, height, seed)
        picture.save(out / name, **({"quality": 90} if name.endswith("jpg") else {}))
    for folder in sorted(checkpoints.iterdir()):
        text = json.dumps({"profile": folder.name, "requests": golden(folder, out)}, separators=(",", ":"))
        (out / f"{folder.name}.json").write_text(text + "\n")
