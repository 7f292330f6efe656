"""Builds the demo tokenizer: Qwen2.5's byte-level pipeline with a small vocabulary (`tokenizer.py OUT_DIR`).

Run once before training; the result is a Hugging Face tokenizer.json. Two surprises: merges that would hold a capital are
dropped, so that a name splits alike wherever it stands; and answer-only entries (the integers, JSON scaffolding) have no
merges, so prompts never produce them while answers spend one token on each.
"""
import collections
import functools
import json
import os
import sys

import numpy as np
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

import network
import talk
from scenes import make_scene
from vocabulary import BACKGROUND_NAMES, COLOUR_NAMES, COORD_MAX, KINDS, PLURALS

PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>",
           "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
           "<|image_pad|>", "<|video_pad|>"]
PLAIN = ["<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>", "<|repo_name|>",
         "<|file_sep|>"]


def _pre_tokenizer():
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(PATTERN), behavior="isolated", invert=False),
                                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def byte_symbols():
    """The 256 byte characters in Qwen's id order: printable bytes first, then the shifted ones by code point."""
    printable = list(range(0x21, 0x7F)) + list(range(0xA1, 0xAD)) + list(range(0xAE, 0x100))
    rest = [b for b in range(256) if b not in printable]
    return {b: chr(b) for b in printable} | {b: chr(256 + i) for i, b in enumerate(rest)}


def to_symbols(text):
    table = byte_symbols()
    return "".join(table[b] for b in text.encode())


def corpus():
    rng = np.random.default_rng(5)
    lines = []
    for i in range(1500):
        scene = make_scene(rng, ("objects", "count", "text", "mixed")[i % 4], (8, 8))
        scene.words = [] if i % 3 else scene.words
        for task in ("describe", "count", "colour", "locate", "is", "read"):
            s = talk.ask_scene(scene, rng, task)
            if s:
                lines.append(s.question)
                if task != "locate":
                    lines.append("".join(p[0] for p in s.answer if p[1] != talk.GLYPH))
    for c in COLOUR_NAMES + KINDS:
        lines += [c] * 30
    for c in KINDS + PLURALS + COLOUR_NAMES + " ".join(BACKGROUND_NAMES).split():
        lines += [" " + c] * 60
    for _ in range(500):
        system, tools = talk.tool_set(rng)
        lines.append(talk.system_turn(system, [t[0] for t in tools]))
        for _, questions in tools:
            lines.append(talk.pick(rng, questions).replace("{x}", "").replace("{n}", ""))
        s = talk.talk_fact(rng)
        lines += [s.question, s.text()]
    for s in talk.OTHER_SYSTEMS + talk.ASK_DETECT * 20:
        lines.append(s)
    words, _ = talk.dictionary()
    lines += [w for w in words[0] if int.from_bytes(w[:2].encode()) % 7 == 0]
    return lines


def build():
    tok = Tokenizer(models.BPE(byte_fallback=False))
    tok.normalizer, tok.pre_tokenizer, tok.decoder = normalizers.NFC(), _pre_tokenizer(), decoders.ByteLevel()
    specials = SPECIAL + PLAIN
    dead = [to_symbols(s) for s in talk.SCAFFOLD] + [str(n) for n in range(10, COORD_MAX + 1)]
    room = network.CONFIG["vocab"] - len(specials) - len(dead) - 24
    lines = list(corpus())
    for s in specials:
        lines = [x.replace(s, "\n") for x in lines]
    tok.train_from_iterator(lines, trainers.BpeTrainer(vocab_size=room, initial_alphabet=sorted(byte_symbols().values()),
                                                       show_progress=False))
    learnt = json.loads(tok.to_str())["model"]
    vocab = {c: i for i, c in enumerate(byte_symbols().values())}
    merges = []
    for pair in learnt["merges"]:
        a, b = pair if isinstance(pair, list) else pair.split(" ")
        if any("A" <= ch <= "Z" for ch in a + b) or a not in vocab or b not in vocab or (a + b) in vocab:
            continue
        merges.append((a, b))
        vocab[a + b] = len(vocab)
    for d in dead:
        if d not in vocab:
            vocab[d] = len(vocab)
    final = Tokenizer(models.BPE(vocab=vocab, merges=merges, byte_fallback=False))
    final.normalizer, final.pre_tokenizer, final.decoder = normalizers.NFC(), _pre_tokenizer(), decoders.ByteLevel()
    final.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in SPECIAL])
    final.add_tokens([AddedToken(s, special=False, normalized=False) for s in PLAIN])
    if final.get_vocab_size() > network.CONFIG["vocab"]:
        raise SystemExit(f"tokenizer has {final.get_vocab_size()} entries, the model only {network.CONFIG['vocab']} rows")
    return final


class Codec:
    """encode() with a cache; entry() for answer-only pieces, which are looked up rather than encoded."""

    def __init__(self, path):
        self.tok = Tokenizer.from_file(os.path.join(path, "tokenizer.json"))
        self.entries = {s: self.tok.token_to_id(to_symbols(s)) for s in talk.SCAFFOLD}
        self.numbers = [self.tok.token_to_id(str(n)) for n in range(COORD_MAX + 1)]

    @functools.lru_cache(maxsize=50000)  # noqa: B019  one Codec lives as long as its process
    def encode(self, text):
        return tuple(self.tok.encode(text, add_special_tokens=False).ids)

    def piece(self, text, tag):
        if tag == talk.COORD:
            return (self.numbers[int(text)],)
        if tag == talk.STRUCT and text in self.entries:
            return (self.entries[text],)
        return self.encode(text)

    def decode(self, ids):
        return self.tok.decode(list(ids), skip_special_tokens=False)


if __name__ == "__main__":
    out = sys.argv[1]
    os.makedirs(out, exist_ok=True)
    built = build()
    built.save(os.path.join(out, "tokenizer.json"))
    print("entries", built.get_vocab_size(), collections.Counter(len(t) for t in built.get_vocab()).most_common(3))
