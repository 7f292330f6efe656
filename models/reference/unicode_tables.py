"""Writes src/text/unicode_tables.inc: where the Hugging Face tokenizer's Unicode differs from utf8proc's.

Run: python models/reference/unicode_tables.py > src/text/unicode_tables.inc
Needs: pip install tokenizers==0.23.3 unicodedata2==18.0.0, and libutf8proc.so.2 (version 2.8.0 or later).

The classes are asked from the tokenizer's own regular expressions; the normaliser is probed with each character
that has a combining class or a canonical decomposition in the newest Unicode.
"""
import ctypes

import unicodedata2 as newest
from tokenizers import Regex, normalizers, pre_tokenizers

CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]


def matching(pattern):
    """Code points that match one character class."""
    split = pre_tokenizers.Split(Regex(f"[^{pattern}]+"), "removed")
    found = set()
    for i in range(0, len(CODE_POINTS), 4096):
        for piece, _ in split.pre_tokenize_str("".join(map(chr, CODE_POINTS[i : i + 4096]))):
            found.update(map(ord, piece))
    return found


def opaque():
    """Characters the tokenizer's NFC leaves alone although newer Unicode would reorder or compose them."""
    nfd = normalizers.NFD()
    found = set()
    for c in CODE_POINTS:
        char = chr(c)
        combining = newest.combining(char)
        if combining:
            probe = "\u0334" if combining != 1 else "\u0301"
            texts = ["a" + char + probe, "a" + probe + char]
            if any(nfd.normalize_str(t) != newest.normalize("NFD", t) for t in texts):
                found.add(c)
        parts = newest.decomposition(char)
        if parts and not parts.startswith("<") and nfd.normalize_str(char) != newest.normalize("NFD", char):
            found.add(c)
            found.add(int(parts.split()[0], 16))  # its first part must not compose into it either
    return found


def emit(name, comment, members):
    ranges = []
    for c in sorted(members):
        if ranges and ranges[-1][1] == c - 1:
            ranges[-1][1] = c
        else:
            ranges.append([c, c])
    print(f"\n// {comment}\nconstexpr Range {name}[] = {{")
    line = "   "
    for first, last in ranges:
        cell = f" {{0x{first:x}, 0x{last:x}}},"
        if len(line) + len(cell) > 100:
            print(line)
            line = "   "
        line += cell
    print(line + "\n};")


def main():
    library = ctypes.CDLL("libutf8proc.so.2")
    category = library.utf8proc_category
    unassigned = {c for c in CODE_POINTS if category(c) == 0}
    print("// Made by models/reference/unicode_tables.py; included by unicode.cc only.")
    emit("kLaterLetters", "Letters of Unicode 15.1 and 16.", matching(r"\p{L}") & unassigned)
    emit("kLaterNumbers", "Numbers of Unicode 15.1 and 16.", matching(r"\p{N}") & unassigned)
    emit("kOpaqueToNfc", "Characters younger than the normaliser (Unicode 9) that a newer one would change.", opaque())


if __name__ == "__main__":
    main()
