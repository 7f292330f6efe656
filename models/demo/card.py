"""Puts the measured figures into README.md: `card.py`, after evaluate.py wrote figures/{torch_f32,torch_int4,ocelli}.json.

A column without a file says so; nothing here measures or rounds in the model's favour.
"""
import json
import os
import re

import heldout

HERE = os.path.dirname(os.path.abspath(__file__))
COLUMNS = {"torch_f32": "PyTorch f32", "torch_int4": "PyTorch, rounding simulated", "ocelli": "shipped container, wasm"}


def main():
    data = {}
    for name in COLUMNS:
        path = os.path.join(HERE, "figures", name + ".json")
        if os.path.exists(path):
            with open(path, encoding="utf-8") as f:
                data[name] = json.load(f)
    metrics = sorted({m for d in data.values() for m in d["figures"]}, key=lambda m: (m not in heldout.GOALS, m))
    lines = ["| metric | goal | " + " | ".join(COLUMNS.values()) + " |", "|---|---|" + "---|" * len(COLUMNS)]
    for m in metrics:
        cells = [f"{data[c]['figures'][m]['value']:.2f}" if c in data else "not measured" for c in COLUMNS]
        goal = heldout.GOALS.get(m)
        lines.append(f"| {m} | {'' if goal is None else format(goal, '.2f')} | " + " | ".join(cells) + " |")
    counts = {c: data[c]["prompts_per_task"] for c in data}
    lines.append("\nPrompts a task: " + ", ".join(f"{COLUMNS[c]} {n}" for c, n in counts.items()) + ".")
    path = os.path.join(HERE, "README.md")
    with open(path, encoding="utf-8") as f:
        text = f.read()
    text = re.sub(r"<!-- figures -->.*?<!-- end of figures -->", "<!-- figures -->\n" + "\n".join(lines) + "\n<!-- end of figures -->",
                  text, flags=re.S)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


if __name__ == "__main__":
    main()
