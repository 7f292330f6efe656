"""Measures the demo model on the held-out prompts (greedy), with PyTorch or through the product's command line.

  evaluate.py --backend torch  --checkpoint HF_DIR [--quantise none|int4] [--count 100] [--json OUT]
  evaluate.py --backend ocelli --model CONTAINER_DIR [--command "node build/js/cli/main.js"] [--count 100] [--json OUT]

Both backends get the same chat-completions bodies; the first runs Hugging Face's Qwen2.5-VL in f32 on the images resized
as the product does (Pillow bicubic), the second pipes each body into `ocelli run --request -`.
"""
import argparse
import base64
import io
import json
import math
import re
import shlex
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import heldout


def parse_call(text):
    """The first hermes tool call of an answer as {"name", "arguments"}, or None."""
    m = re.search(r"<tool_call>(.*?)</tool_call>", text, re.S)
    try:
        return json.loads(m.group(1)) if m else None
    except ValueError:
        return None


def smart_resize(h, w, low, high, f=28):
    """Qwen2.5-VL's target size (spec section 5.1)."""
    H, W = max(f, round(h / f) * f), max(f, round(w / f) * f)
    if H * W > high:
        b = math.sqrt(h * w / high)
        H, W = max(f, math.floor(h / b / f) * f), max(f, math.floor(w / b / f) * f)
    elif H * W < low:
        b = math.sqrt(low / (h * w))
        H, W = math.ceil(h * b / f) * f, math.ceil(w * b / f) * f
    return H, W


class TorchBackend:
    def __init__(self, checkpoint, quantise):
        import torch
        from transformers import AutoTokenizer, Qwen2_5_VLForConditionalGeneration
        import network
        self.torch = torch
        torch.set_num_threads(1)
        self.tok = AutoTokenizer.from_pretrained(checkpoint)
        self.model = Qwen2_5_VLForConditionalGeneration.from_pretrained(checkpoint, dtype=torch.float32).eval()
        with open(checkpoint + "/preprocessor_config.json", encoding="utf-8") as f:
            limits = json.load(f)
        self.low, self.high = limits["min_pixels"], limits["max_pixels"]
        self.pad = self.tok.convert_tokens_to_ids("<|image_pad|>")
        if quantise == "int4":
            with torch.no_grad():
                for name, p in self.model.named_parameters():
                    if p.dim() < 2:
                        continue
                    flat = p.view(p.shape[0], -1)
                    if "language_model.layers" in name:
                        p.copy_(network.fake_quant(flat, 4, 128).view_as(p))
                    elif flat.shape[1] % 64 == 0:  # embedding and vision tower: 8 bits in groups of 64
                        p.copy_(network.fake_quant(flat, 8, 64).view_as(p))

    def __call__(self, body):
        import numpy as np
        from PIL import Image
        import scenes
        torch = self.torch
        patches, grids = [], []
        for message in body["messages"]:
            for part in message["content"] if isinstance(message["content"], list) else []:
                if part["type"] == "image_url":
                    image = Image.open(io.BytesIO(base64.b64decode(part["image_url"]["url"].split(",", 1)[1]))).convert("RGB")
                    h, w = smart_resize(image.height, image.width, self.low, self.high)
                    if (w, h) != image.size:
                        image = image.resize((w, h), Image.BICUBIC)
                    x = torch.from_numpy(scenes.patchify(np.asarray(image)[None]))[0].view(-1, 3, 1, 14, 14)
                    patches.append(x.expand(-1, -1, 2, -1, -1).reshape(len(x), 1176))
                    grids.append([1, h // 14, w // 14])
        text = self.tok.apply_chat_template(body["messages"], tools=body.get("tools"), add_generation_prompt=True, tokenize=False)
        for g in grids:
            text = text.replace("<|image_pad|>", "<|IMG|>" * (g[1] * g[2] // 4), 1)
        ids = torch.tensor([self.tok(text.replace("<|IMG|>", "<|image_pad|>"))["input_ids"]])
        extra = {"pixel_values": torch.cat(patches), "image_grid_thw": torch.tensor(grids),
                 "mm_token_type_ids": (ids == self.pad).long()} if patches else {}
        with torch.no_grad():
            out = self.model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False,
                                      max_new_tokens=body["max_tokens"], **extra)[0, ids.shape[1]:]
        answer = self.tok.decode(out.tolist(), skip_special_tokens=True)
        return answer, parse_call(answer)


class OcelliBackend:
    def __init__(self, command, model):
        self.argv = shlex.split(command) + ["run", "--request", "-"] + (["--model", model] if model else [])

    def __call__(self, body):
        done = subprocess.run(self.argv, input=json.dumps({"model": "demo"} | body).encode(), stdout=subprocess.PIPE)
        if done.returncode:
            raise SystemExit(f"{shlex.join(self.argv)} ended with status {done.returncode}")
        message = json.loads(done.stdout)["choices"][0]["message"]
        call = None
        if message.get("tool_calls"):
            f = message["tool_calls"][0]["function"]
            try:
                call = {"name": f["name"], "arguments": json.loads(f["arguments"])}
            except ValueError:
                call = None
        return message.get("content") or "", call


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", choices=["torch", "ocelli"], required=True)
    parser.add_argument("--checkpoint", help="Hugging Face directory (torch)")
    parser.add_argument("--quantise", choices=["none", "int4"], default="none", help="simulate the container (torch)")
    parser.add_argument("--model", help="container directory (ocelli); the embedded model without it")
    parser.add_argument("--command", default="node build/js/cli/main.js", help="how to start the product's command line")
    parser.add_argument("--count", type=int, default=100, help="prompts a task")
    parser.add_argument("--jobs", type=int, default=1, help="commands that run at once (ocelli)")
    parser.add_argument("--tasks", default=",".join(heldout.TASKS))
    parser.add_argument("--show", type=int, default=0, help="print so many answers a task")
    parser.add_argument("--json", help="write the figures here")
    args = parser.parse_args()
    if args.backend == "torch" and not args.checkpoint:
        parser.error("--backend torch needs --checkpoint")
    answer = (TorchBackend(args.checkpoint, args.quantise) if args.backend == "torch"
              else OcelliBackend(args.command, args.model))
    prompts = heldout.prompts(args.count, args.tasks.split(","))
    results, shown, began = [], {}, time.time()
    with ThreadPoolExecutor(args.jobs if args.backend == "ocelli" else 1) as pool:
        for i, (prompt, (text, call)) in enumerate(zip(prompts, pool.map(lambda p: answer(p["body"]), prompts))):
            results.append((prompt, text, call))
            shown[prompt["task"]] = shown.get(prompt["task"], 0) + 1
            if shown[prompt["task"]] <= args.show:
                print(f"[{prompt['task']}] want {prompt['expect']['text']!r}\n{' ' * len(prompt['task'])}    got {text or call!r}")
            if i % 25 == 24:
                print(f"{i + 1} of {len(prompts)} prompts, {time.time() - began:.0f} s", file=sys.stderr)
    figures = heldout.score(results)
    print("| metric | value | n | goal |\n|---|---|---|---|")
    for name in sorted(figures):
        goal = heldout.GOALS.get(name)
        print(f"| {name} | {figures[name][0]:.3f} | {figures[name][1]} | {goal if goal is not None else ''} |")
    if args.json:
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump({"backend": args.backend, "quantise": args.quantise, "prompts_per_task": args.count, "seed": heldout.SEED,
                       "figures": {k: {"value": round(v[0], 4), "n": v[1]} for k, v in sorted(figures.items())}}, f, indent=1)
            f.write("\n")


if __name__ == "__main__":
    main()
