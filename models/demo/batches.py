"""Packs documents (one prefix, several question-answer segments) into fixed rows of tokens for the decoder.

train.py calls it. Segments of a document see the prefix and themselves, documents do not see each other, and positions
restart after the prefix, so one image or tool list pays for many answers. Queries that should look somewhere (an object's
centre, the unit with the next glyph, the word to copy) are listed in `queries`.
"""
from dataclasses import dataclass, field

import numpy as np
import torch

import talk

QUERIES = 112  # attention targets kept per row
TARGETS = 6


@dataclass
class Packed:
    """One document as flat token lists; seg 0 is the prefix; image_at is the index of the first image token or -1."""
    ids: list = field(default_factory=list)
    pos: list = field(default_factory=list)  # (t, h, w)
    seg: list = field(default_factory=list)
    learn: list = field(default_factory=list)  # tag of this token as an answer, -1 otherwise
    coord: list = field(default_factory=list)
    looks: list = field(default_factory=list)  # (query index, [key indices])
    image_at: int = -1
    next: int = 0

    def add(self, codec_ids, seg, tag=-1, coord=-1):
        for t in codec_ids:
            self.ids.append(t)
            self.pos.append((self.next,) * 3)
            self.next += 1
            self.seg.append(seg)
            self.learn.append(tag)
            self.coord.append(coord)

    def add_image(self, pad, grid, seg):
        self.image_at = len(self.ids)
        for y in range(grid[0]):
            for x in range(grid[1]):
                self.ids.append(pad)
                self.pos.append((self.next, self.next + y, self.next + x))
                self.seg.append(seg)
                self.learn.append(-1)
                self.coord.append(-1)
        self.next += max(grid)


def _find(haystack, needle, start, end):
    for i in range(end - len(needle), start - 1, -1):
        if tuple(haystack[i:i + len(needle)]) == tuple(needle):
            return i
    return -1


def add_question(doc, codec, segment, scene, start, seg):
    """Question tokens (user turn up to the assistant's) and their noun looks."""
    ids = codec.encode(segment.question)
    for noun, things in segment.nouns:
        at = _find(ids, codec.encode(" " + noun), 0, len(ids))
        if at >= 0 and doc.image_at >= 0:
            doc.looks.append((start + at, [doc.image_at + u for u in talk.things_units(scene, things)]))
    doc.add(ids, seg)


def add_answer(doc, codec, segment, scene, seg, spans):
    """Answer tokens with tags; spans: index ranges of the document where copied words may stand, best first."""
    units = talk.glyph_units(scene) if scene else []
    for text, tag, ref in segment.answer:
        ids = codec.piece(text, tag)
        first = len(doc.ids)
        doc.add(ids, seg, tag, int(text) if tag == talk.COORD else -1)
        if ref is None:
            continue
        if ref[0] == "copy":
            for a, b in spans:
                at = _find(doc.ids, ids, a, b)
                if at < 0:  # after a space or inside a longer piece only the tail of the split may agree
                    continue
                doc.looks += [(first + k - 1, [at + k]) for k in range(len(ids))]
                break
        else:
            where = talk.things_units(scene, ref[1]) if ref[0] == "thing" else [units[i] for i in ref[1]]
            keys = sorted({doc.image_at + u for u in where})[:TARGETS]
            doc.looks += [(first + k - 1, keys) for k in range(len(ids))]
    doc.add(codec.encode("<|im_end|>"), seg, talk.STRUCT)


def image_doc(codec, rng, scene, limit, chain=False):
    """Segments about one scene, either side by side after the image or, as a chain, turn after turn (text before image)."""
    weights = {"describe": 1.0, "detect": 0.6, "locate": 0.9, "count": 2.4, "colour": 0.9, "read": 1.0, "is": 1.2}
    doc = Packed()
    system = talk.SYSTEM if rng.random() < 0.88 else talk.pick(rng, talk.OTHER_SYSTEMS)
    pad = codec.encode(talk.IMAGE_PAD)[0]
    names, w = list(weights), np.array(list(weights.values()))
    if scene.words and not scene.things:
        w = np.array([1.0, 0, 0, 0.25, 0, 1.0, 0.15])
    once = {"describe", "detect", "read"}
    doc.add(codec.encode(talk.system_turn(system)), 0)
    user, tail = codec.encode(talk.USER), codec.encode(talk.END + talk.ASSISTANT)
    if not chain:
        doc.add(user + codec.encode(talk.IMAGE_OPEN), 0)
        doc.add_image(pad, scene.grid, 0)
        doc.add(codec.encode(talk.IMAGE_CLOSE), 0)
    base, seg = doc.next, 0
    fresh = 0
    most = 8 if scene.things else 3
    while fresh < most and w.sum() > 0:
        task = names[rng.choice(len(names), p=w / w.sum())]
        if task in once:
            w[names.index(task)] = 0
        s = talk.ask_scene(scene, rng, task)
        fresh += 1
        if s is None:
            continue
        kept = (len(doc.ids), len(doc.looks), doc.next, doc.image_at)
        if chain:
            doc.add(codec.encode(("" if seg == 0 else "\n") + talk.USER), 0)
            if seg == 0:  # the seed's order: words, then the image; nouns cannot look forward
                doc.add(codec.encode(s.question) + codec.encode(talk.IMAGE_OPEN), 0)
                doc.add_image(pad, scene.grid, 0)
                doc.add(codec.encode(talk.IMAGE_CLOSE), 0)
            else:
                add_question(doc, codec, s, scene, len(doc.ids), 0)
            doc.add(tail, 0)
            add_answer(doc, codec, s, scene, 0, [])
            seg = 1
        else:
            seg += 1
            doc.next = base
            add_question(doc, codec, s, scene, len(doc.ids), seg)
            doc.add(tail, seg)
            add_answer(doc, codec, s, scene, seg, [])
        if len(doc.ids) > limit:
            n, looks, doc.next, doc.image_at = kept
            for name in ("ids", "pos", "seg", "learn", "coord"):
                del getattr(doc, name)[n:]
            del doc.looks[looks:]
            break
    return doc


def text_doc(codec, rng, limit):
    """Tool calls under one tool list, small talk, or words to repeat."""
    doc, u = Packed(), rng.random()
    if u < 0.6:
        system, tools = talk.tool_set(rng)
        make = lambda: talk.call(*talk.pick(rng, tools), rng) if rng.random() < 0.92 else talk.talk_fact(rng)
        prefix = talk.system_turn(system, [t[0] for t in tools])
        count = 6
    else:
        system = talk.SYSTEM if rng.random() < 0.8 else talk.pick(rng, talk.OTHER_SYSTEMS)
        prefix, count = talk.system_turn(system), int(rng.integers(3, 8))
        make = (lambda: talk.repeat(rng)) if u < 0.82 else (lambda: talk.talk_fact(rng))
    doc.add(codec.encode(prefix) if u >= 0.6 else codec.tok.encode(prefix, add_special_tokens=False).ids, 0)
    doc.add(codec.encode(talk.USER), 0)
    prefix_end, base = len(doc.ids), doc.next
    for seg in range(1, count + 1):
        s = make()
        n, looks = len(doc.ids), len(doc.looks)
        doc.next = base
        doc.add(codec.encode(s.question), seg)
        question_end = len(doc.ids)
        doc.add(codec.encode(talk.END + talk.ASSISTANT), seg)
        add_answer(doc, codec, s, None, seg, [(n, question_end), (0, prefix_end)])
        if len(doc.ids) > limit:
            for name in ("ids", "pos", "seg", "learn", "coord"):
                del getattr(doc, name)[n:]
            del doc.looks[looks:]
            break
    return doc


def pack(docs, rows, length):
    """First fit of documents into [rows, length]; -> tensors and, per document, (row, offset) or None if it did not fit."""
    used = [0] * rows
    A = {"ids": np.zeros((rows, length), np.int64), "pos": np.zeros((3, rows, length), np.int64),
         "seg": np.zeros((rows, length), np.int64), "doc": np.full((rows, length), -1),
         "learn": np.full((rows, length), -1), "coord": np.full((rows, length), -1),
         "q": np.zeros((rows, QUERIES), np.int64), "keys": np.full((rows, QUERIES, TARGETS), -1)}
    A["doc"][:] = -1 - np.arange(length)  # padding sees itself only
    looks, places = [[] for _ in range(rows)], []
    for d, doc in enumerate(docs):
        n = len(doc.ids)
        r = next((r for r in range(rows) if used[r] + n <= length), None)
        places.append(None if r is None else (r, used[r]))
        if r is None:
            continue
        a, b = used[r], used[r] + n
        A["ids"][r, a:b], A["seg"][r, a:b], A["doc"][r, a:b] = doc.ids, doc.seg, d
        A["learn"][r, a:b], A["coord"][r, a:b] = doc.learn, doc.coord
        A["pos"][:, r, a:b] = np.array(doc.pos).T
        looks[r] += [(a + q, [a + k for k in keys]) for q, keys in doc.looks]
        used[r] = b
    for r, items in enumerate(looks):
        if len(items) > QUERIES:
            items = [items[i] for i in np.random.permutation(len(items))[:QUERIES]]
        for j, (q, keys) in enumerate(items):
            A["q"][r, j] = q
            A["keys"][r, j, :len(keys[:TARGETS])] = keys[:TARGETS]
    A = {k: torch.from_numpy(v) for k, v in A.items()}
    same = A["doc"][:, :, None] == A["doc"][:, None]
    seen = (A["seg"][:, None] == 0) | (A["seg"][:, :, None] == A["seg"][:, None])
    order = torch.ones(length, length).tril().bool()
    A["mask"] = torch.where(same & seen & order, 0.0, -1e9)[:, None]
    return A, places, sum(used) / (rows * length)
