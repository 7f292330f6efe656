"""Compares the `ocelli` command with Hugging Face on any checkpoint directory, with fresh images and questions.

  python models/reference/compare.py HF_DIR --ocelli "node build/js/cli/main.js" [--tokens 24] [--seed N] [--work DIR]

Prints one line a request and a verdict; exits with 1 when a bound of README.md is broken.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from cli import DEFAULT, EXACT, SMALL, Cli, data_url
from hf import Reference, random_image


def requests_for(seed):
    def image(w, h, n):
        return {"type": "image_url", "image_url": {"url": data_url(random_image(w, h, seed * 100 + n))}}

    def text(words):
        return {"type": "text", "text": words}

    user = lambda *parts: {"role": "user", "content": list(parts) if len(parts) > 1 else parts[0]["text"]}
    return {
        "text": [user(text("Name the european capitals"))],
        "system": [{"role": "system", "content": "Be brief."}, user(text("What is 12 + 30?\n\nAnswer: "))],
        "image": [user(text("What is in this image?"), image(150, 100, 1))],
        "wide": [user(image(336, 168, 2), text("describe"))],
        "two": [user(image(84, 196, 3), text("and "), image(300, 60, 4), text("Which is larger?"))],
        "turns": [user(image(230, 250, 5), text("hi")), {"role": "assistant", "content": "Hello."},
                  user(text("again"), image(56, 56, 6))],
    }


def ids_of(reply):
    return reply["choices"][0]["token_ids"]


def id_of(entry):
    return int(entry["token"].removeprefix("token_id:"))


def kl(reference, rows):
    """Mean KL(reference || rows) over steps, from full log-probabilities."""
    return float((reference.exp() * (reference - rows)).sum(-1).mean())


def top_kl(reference, entries):
    """The same from top-20 lists: the rest of the vocabulary counts as one class."""
    total = 0.0
    for row, entry in zip(reference, entries):
        p_rest, q_rest = 1.0, 1.0
        for top in entry["top_logprobs"]:
            token = id_of(top)
            p, q = float(row[token].exp()), float(np.exp(top["logprob"]))
            total += p * (np.log(max(p, 1e-30)) - top["logprob"])
            p_rest, q_rest = p_rest - p, q_rest - q
        if p_rest > 1e-9:
            total += p_rest * (np.log(p_rest) - np.log(max(q_rest, 1e-9)))
    return total / len(entries)


def compare(folder, command, tokens, seed, work):
    cli, reference = Cli(command), Reference(folder)
    rounded = Reference(folder, torch.bfloat16)
    exact, plain, small = Path(work) / "exact", Path(work) / "default", Path(work) / "small"
    cli.convert(folder, exact, EXACT)
    cli.convert(folder, plain, DEFAULT)
    cli.convert(folder, small, SMALL)
    worst = {"ids": 0, "positions": 0, "vision": 0.0, "tokens": 0, "logprob": 0.0, "vision_fast": 0.0,
             "steps": 0, "agree": 0, "clear": 0}
    kl_fast, kl_bf16 = [], []
    for name, messages in requests_for(seed).items():
        body = {"messages": messages, "temperature": 0, "repetition_penalty": 1.0, "max_tokens": tokens,
                "logprobs": True, "top_logprobs": 20, "return_token_ids": True,
                "return_tokens_as_token_ids": True}
        ids, pixels, grids = reference.prepare(body)
        expected, rows, margins = reference.greedy(ids, pixels, grids, tokens)
        body["max_tokens"] = len(expected)
        positions, delta = reference.positions(ids, grids)
        with tempfile.TemporaryDirectory() as dump:
            reply, prompt, vision = cli.request(exact, body, "reference", dump)
        worst["ids"] += prompt["prompt_token_ids"] != ids[0].tolist()
        worst["positions"] += prompt["positions"] != positions.tolist() or prompt["rope_delta"] != delta
        vision_error = 0.0
        merged = reference.vision(pixels, grids).numpy() if pixels is not None else None
        if merged is not None:
            vision_error = float(np.linalg.norm(np.concatenate(vision) - merged) / np.linalg.norm(merged))
        # Tokens until the first one whose margin is too small to promise anything.
        wrong, difference = 0, 0.0
        for step, token in enumerate(ids_of(reply)):
            entry = reply["choices"][0]["logprobs"]["content"][step]
            for top in entry["top_logprobs"]:
                difference = max(difference, abs(top["logprob"] - float(rows[step][id_of(top)])))
            if token != expected[step]:
                wrong += margins[step] > 1e-3
                break
        with tempfile.TemporaryDirectory() as dump:
            forced, _, _ = cli.request(plain, {**body, "forced_token_ids": expected}, "fast", dump)
        with tempfile.TemporaryDirectory() as dump:
            _, _, vision_small = cli.request(small, {**body, "max_tokens": 1}, "fast", dump)
        fast_error = 0.0
        if merged is not None:
            fast_error = float(np.linalg.norm(np.concatenate(vision_small) - merged) / np.linalg.norm(merged))
        entries = forced["choices"][0]["logprobs"]["content"]
        full = torch.cat([ids, torch.tensor([expected])], 1)
        rows_bf16 = torch.log_softmax(rounded.logits(full, pixels, grids)[ids.shape[1] - 1:-1].double(), -1)
        kl_fast.append(top_kl(rows, entries))
        kl_bf16.append(kl(rows, rows_bf16))
        for margin, entry, token in zip(margins, entries, rows.argmax(-1).tolist()):
            if margin > 0.5:
                worst["clear"] += 1
                worst["agree"] += id_of(entry["top_logprobs"][0]) == token
        worst["tokens"] += wrong
        worst["steps"] += len(expected)
        worst["logprob"] = max(worst["logprob"], difference)
        worst["vision"] = max(worst["vision"], vision_error)
        worst["vision_fast"] = max(worst["vision_fast"], fast_error)
        print(f"{name:8} prompt {ids.shape[1]:4}  vision {vision_error:.1e} fast {fast_error:.2%}  "
              f"logprob {difference:.1e}  wrong {wrong}  KL fast {kl_fast[-1]:.5f} bf16 {kl_bf16[-1]:.5f}", flush=True)
    kl_fast, kl_bf16 = float(np.mean(kl_fast)), float(np.mean(kl_bf16))
    agree = worst["agree"] / max(worst["clear"], 1)
    checks = {
        "prompt ids identical": worst["ids"] == 0, "positions equal": worst["positions"] == 0,
        f"vision rows {worst['vision']:.1e} <= 1e-3": worst["vision"] <= 1e-3,
        f"wrong tokens {worst['tokens']} with margin > 1e-3": worst["tokens"] == 0,
        f"logprob difference {worst['logprob']:.1e} <= 1e-3": worst["logprob"] <= 1e-3,
        f"vision rows, fast {worst['vision_fast']:.2%} <= 3 %": worst["vision_fast"] <= 0.03,
        f"KL fast {kl_fast:.5f} <= KL of Hugging Face bf16 {kl_bf16:.5f}": kl_fast <= kl_bf16,
        f"top token agrees in {agree:.1%} of {worst['clear']} clear steps": agree >= 0.95,
    }
    for text, holds in checks.items():
        print("ok  " if holds else "FAIL", text)
    return all(checks.values())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--ocelli", default="node build/js/cli/main.js")
    parser.add_argument("--tokens", type=int, default=24)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--work")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        sys.exit(0 if compare(args.folder, args.ocelli, args.tokens, args.seed, args.work or scratch) else 1)
