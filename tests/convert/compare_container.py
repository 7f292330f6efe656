"""Compares a container with the Hugging Face folder it was made from, by other code than ours: files are opened
by the safetensors library, layouts undone with numpy as models/FORMAT.md states them.

usage: python tests/convert/compare_container.py HF_DIR CONTAINER [TOLERANCE]
TOLERANCE: largest error as a part of the matrix's largest value (default 0: equal). AWQ matrices must be equal.
"""
import hashlib
import json
import re
import sys
from pathlib import Path

import numpy as np
from safetensors import safe_open

hf_dir, container, tolerance = Path(sys.argv[1]), Path(sys.argv[2]), float((sys.argv + ["0"])[3])


def canonical(name):
    return re.sub(r"^model\.(?=visual\.)", "", re.sub(r"^model\.language_model\.", "model.", name))


source = {}
for path in sorted(hf_dir.glob("*.safetensors")):
    with safe_open(path, "pt") as file:
        source.update({canonical(name): file.get_tensor(name) for name in file.keys()})

manifest = json.loads((container / "manifest.json").read_text())
stored = {}
for shard in manifest["shards"]:
    path = container / f"{shard['sha256']}.safetensors"
    data = path.read_bytes()
    assert len(data) == shard["bytes"] and hashlib.sha256(data).hexdigest() == shard["sha256"], path
    with safe_open(path, "pt") as file:
        stored.update({name: file.get_tensor(name) for name in file.keys()})
assert {path.name for path in container.iterdir()} == {"manifest.json"} | {
    f"{shard['sha256']}.safetensors" for shard in manifest["shards"]}


def rows(name, k):
    """[padded n, k] f64 of one part."""
    if name + ".dense" in stored:
        return stored[name + ".dense"].double().permute(0, 2, 1).reshape(-1, k).numpy()
    u4 = name + ".u4" in stored
    codes = stored[name + (".u4" if u4 else ".u8")].numpy()
    tiles, cells, _ = codes.shape
    codes = codes.reshape(tiles, cells, 8, 4).astype(np.int32)
    if u4:
        codes = np.concatenate([codes & 15, codes >> 4], axis=3)
    codes = codes.transpose(0, 2, 1, 3).reshape(tiles * 8, -1)
    group = 128 if u4 else 64

    def spread(tensor):
        return tensor.double().permute(0, 2, 1).reshape(tiles * 8, -1).numpy().repeat(group, axis=1)

    zeros = spread(stored[name + ".zeros"]) if u4 else 128
    values = (codes - zeros) * spread(stored[name + ".scales"])
    assert not values[:, k:].any(), name
    return values[:, :k]


def matrix(name, k):
    parts = sorted({key.rsplit(".", 1)[0] for key in stored if key.startswith(name + "#")},
                   key=lambda key: int(key.split("#")[1]))
    return np.concatenate([rows(part, k) for part in parts or [name]])


def unpack_awq(words):
    order = [0, 4, 1, 5, 2, 6, 3, 7]
    words = words.numpy().astype(np.uint32)
    return np.stack([(words >> (4 * place)) & 15 for place in order], axis=2).reshape(words.shape[0], -1).astype(int)


matrices = vectors = awq = 0
worst = 0.0
for name, tensor in source.items():
    stem, kind = name.rsplit(".", 1)
    if name == "lm_head.weight" and manifest["config"]["text"]["tied"]:
        continue
    if kind == "bias" or tensor.ndim == 1:
        got = stored[name if kind == "bias" else stem].double().numpy()
        want = tensor.double().numpy()
        assert (got[:len(want)] == want).all() and not got[len(want):].any(), name
        vectors += 1
    elif kind == "weight":
        want = tensor.double().reshape(tensor.shape[0], -1).numpy()
        got = matrix(stem, want.shape[1])
        assert got.shape[0] == -(-len(want) // 8) * 8 and not got[len(want):].any(), name
        error = np.abs(got[:len(want)] - want).max() / max(np.abs(want).max(), 1e-30)
        assert error <= tolerance, (name, error)
        worst = max(worst, error)
        matrices += 1
    elif kind == "qweight":
        zeros = unpack_awq(source[stem + ".qzeros"]).repeat(128, axis=0)
        scales = source[stem + ".scales"].double().numpy().repeat(128, axis=0)
        want = ((unpack_awq(tensor) - zeros) * scales).T
        assert (matrix(stem, want.shape[1]) == want).all(), name
        awq += 1
print(f"{matrices} matrices (largest error {worst:.2e}), {awq} AWQ matrices, {vectors} vectors, "
      f"{len(manifest['shards'])} shards: as in the source")
