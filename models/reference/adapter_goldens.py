"""Writes tests/golden/adapters/: what PEFT computes in f32 with the adapters of the checkpoints.

  node models/reference/checkpoint.mjs build/checkpoints
  python models/reference/adapter_goldens.py build/checkpoints tests/golden/adapters

Needs peft==0.21.2 and accelerate==1.15.0 beside what README.md names.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file

from goldens import IMAGES, requests
from hf import Reference

TOKENS = 8
WANTED = ["text", "image_last"]


def with_new_names(folder):
    """PEFT drops tensors whose names are not the model's, with a warning: the old names are made new."""
    copy = Path(tempfile.mkdtemp())
    shutil.copy(folder / "adapter_config.json", copy)
    tensors = load_file(folder / "adapter_model.safetensors")
    renamed = {name.replace("base_model.model.model.layers.", "base_model.model.model.language_model.layers."): tensor
               for name, tensor in tensors.items()}
    save_file(renamed, copy / "adapter_model.safetensors")
    return copy


def golden(folder, adapter, images):
    reference = Reference(folder)
    plain = {name: reference.greedy(*reference.prepare({"messages": requests()[name]}, images), TOKENS)[0] for name in WANTED}
    path = with_new_names(folder / "adapters" / adapter)
    wrapped = PeftModel.from_pretrained(reference.model, path, autocast_adapter_dtype=True)
    used = {name: parameter for name, parameter in wrapped.named_parameters() if "lora_" in name}
    stored = load_file(path / "adapter_model.safetensors")
    assert len(used) == len(stored), (len(used), len(stored))
    for name, tensor in stored.items():
        assert torch.equal(used[name.replace(".weight", ".default.weight")].float(), tensor.float()), name
    out = []
    for name in WANTED:
        messages = requests()[name]
        tokens, rows, margins = reference.greedy(*reference.prepare({"messages": messages}, images), TOKENS)
        top = torch.topk(rows, 20, -1)
        out.append({"name": name, "messages": messages, "tokens": tokens, "margins": [round(m, 6) for m in margins],
                    "top_logprobs": [[round(v, 6) for v in row] for row in top.values.tolist()]})
        print(folder.name, adapter, name, tokens, "differs" if tokens != plain[name] else "SAME AS THE BASE")
    return out


if __name__ == "__main__":
    torch.set_num_threads(1)
    checkpoints, out = Path(sys.argv[1]), Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    images = Path(__file__).parent.parent.parent / "tests/golden/models"
    assert all((images / name).exists() for name in IMAGES)
    for profile in ["awq", "tied_bf16"]:
        adapters = {name: golden(checkpoints / profile, name, images) for name in ["all", "some"]}
        (out / f"{profile}.json").write_text(json.dumps(adapters, separators=(",", ":")) + "\n")
