"""The held-out prompts (fixed seed) and how answers are scored; evaluate.py and examples.py use it.

Scenes come from seeds training never uses, words and place names from the held-out side of the hash split. Images are PNG
bytes at one to three times the model's frame, so the product's own resize is part of what is measured.
"""
import base64
import io
import json
import re

import numpy as np
from PIL import Image

import scenes
import talk
from vocabulary import COLOUR_NAMES, KINDS, NUMBER_WORDS, PLURALS

SEED = 990001
STYLE = {"describe": ("objects", "objects", "mixed", "count"), "detect": ("objects", "objects", "count", "mixed"),
         "locate": ("objects", "mixed"), "read": ("text", "text", "mixed"), "count": ("count", "count", "objects"),
         "colour": ("objects", "mixed"), "is": ("objects", "count")}
TASKS = list(STYLE) + ["call", "call_other", "chat"]


def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def prompts(count, tasks=TASKS):
    """-> [{task, body (a chat-completions request), expect}]; `count` prompts a task."""
    out = []
    for t, task in enumerate(TASKS):
        if task not in tasks:
            continue
        rng = np.random.default_rng(SEED + 1000 * t)
        n = 0
        while n < count:
            if task in STYLE:
                scene = scenes.make_scene(rng, talk.pick(rng, STYLE[task]), scenes.random_grid(rng), held_out=True)
                segment = talk.ask_scene(scene, rng, task)
                image = png(scenes.render(scene, rng, scale=(1.0, 1.5, 2.0, 3.0)[rng.integers(4)]))
                first = rng.random() < 0.5
                if segment is None:
                    continue
                url = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + base64.b64encode(image).decode()}}
                text = {"type": "text", "text": segment.question}
                body = {"messages": [{"role": "user", "content": [url, text] if first else [text, url]}]}
                expect = {"text": segment.text(), "things": [(talk.thing_name(scene, i), t.box) for i, t in enumerate(scene.things)],
                          "words": [w.text for w in scene.words]}
            elif task == "chat":
                segment = talk.talk_fact(rng)
                body, expect = {"messages": [{"role": "user", "content": segment.question}]}, {"text": segment.text()}
            else:
                if task == "call":
                    tools = [(talk.WEATHER, talk.ASK_WEATHER)]
                    system = talk.SYSTEM_TOOLS
                else:  # function names never seen: verb + held-out noun
                    system, nouns = talk.SYSTEM, talk.dictionary()[0][1]
                    tools = [talk._noun_tool(rng, talk.pick(rng, nouns)) for _ in range(int(rng.integers(1, 4)))]
                tool, questions = talk.pick(rng, tools)
                segment = talk.call(tool, questions, rng, held_out=True)
                body = {"messages": [{"role": "system", "content": system}, {"role": "user", "content": segment.question}],
                        "tools": [x[0] for x in tools]}
                call = re.search(r"<tool_call>(.*)</tool_call>", segment.text(), re.S).group(1)
                expect = {"text": segment.text(), "call": json.loads(call)}
            body |= {"temperature": 0, "max_tokens": 160}
            out.append({"task": task, "body": body, "expect": expect})
            n += 1
    return out


# ---------------------------------------------------------------------------------------------- scoring
_NAME = re.compile(r"\b(a|an|%s) (%s) (%s)\b" % ("|".join(NUMBER_WORDS[2:]), "|".join(COLOUR_NAMES), "|".join(PLURALS + KINDS)))


def names_in(text):
    """Set of "colour kind" named in a description."""
    single = lambda w: KINDS[PLURALS.index(w)] if w in PLURALS else w
    return {f"{c} {single(k)}" for _, c, k in _NAME.findall(text)}


def boxes_in(text):
    """[(label, box)] of a fenced JSON answer, or None when it is not valid."""
    m = re.search(r"```json\s*(.*?)```", text, re.S)
    try:
        items = json.loads(m.group(1) if m else text)
        return [(str(i["label"]), [float(v) for v in i["bbox_2d"]]) for i in items if len(i["bbox_2d"]) == 4]
    except (ValueError, TypeError, KeyError):
        return None


def overlap(a, b):
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if w <= 0 or h <= 0:
        return 0.0
    area = lambda r: (r[2] - r[0]) * (r[3] - r[1])
    return w * h / (area(a) + area(b) - w * h)


def edits(a, b):
    row = list(range(len(b) + 1))
    for i, x in enumerate(a):
        last, row[0] = row[0], i + 1
        for j, y in enumerate(b):
            last, row[j + 1] = row[j + 1], min(row[j + 1] + 1, row[j] + 1, last + (x != y))
    return row[-1]


def match(found, truth):
    """Greedy one-to-one matching by IoU among equal labels -> [iou per truth box]."""
    pairs = sorted(((overlap(f[1], t[1]), i, j) for i, f in enumerate(found) for j, t in enumerate(truth) if f[0] == t[0]), reverse=True)
    used_f, ious = set(), {}
    for v, i, j in pairs:
        if i not in used_f and j not in ious:
            used_f.add(i)
            ious[j] = v
    return [ious.get(j, 0.0) for j in range(len(truth))]


def score(results):
    """results: [(prompt, answer text, call or None)] -> {metric: (value, n)}."""
    sums = {}

    def add(name, value, weight=1):
        s = sums.setdefault(name, [0.0, 0])
        s[0], s[1] = s[0] + value, s[1] + weight

    f1 = [0, 0, 0]
    for prompt, text, call in results:
        task, expect = prompt["task"], prompt["expect"]
        exact = float((text or "").strip() == expect["text"])
        if task == "describe":
            add("describe: same set of names", float(names_in(text) == {n for n, _ in expect["things"]}))
            add("describe: sentence exact", exact)
        elif task in ("detect", "locate"):
            found = boxes_in(text)
            truth = boxes_in(expect["text"])
            add(f"{task}: valid JSON", float(found is not None))
            ious = match(found or [], truth)
            if task == "detect":
                f1[0] += sum(v > 0.5 for v in ious)
                f1[1] += len(found or [])
                f1[2] += len(truth)
                for v in ious:
                    add("detect: mean IoU", v)
            else:
                add("locate: IoU > 0.5", float(ious[0] > 0.5))
        elif task == "read":
            got, want = text.split(), expect["text"].split()
            add("read: words", sum(a == b for a, b in zip(got, want)), len(want))
            add("read: characters", len(expect["text"]) - min(len(expect["text"]), edits(text, expect["text"])), len(expect["text"]))
        elif task in ("call", "call_other"):
            name = "tool call: never-seen places" if task == "call" else "tool call: never-seen functions"
            add(name, float(call == expect["call"]))
        else:
            add({"count": "counting", "colour": "colour", "is": "yes/no", "chat": "small talk"}[task], exact)
    if f1[2]:
        sums["detect: F1 at IoU 0.5"] = [2 * f1[0], f1[1] + f1[2]]
    return {k: (v[0] / max(1, v[1]), v[1]) for k, v in sums.items()}


GOALS = {"describe: same set of names": .85, "detect: F1 at IoU 0.5": .70, "read: words": .60, "read: characters": .85,
         "counting": .80, "colour": .95, "tool call: never-seen places": .95}
