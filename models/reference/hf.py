"""The reference: Hugging Face's Qwen2.5-VL in f32 on a checkpoint directory, AWQ ones dequantised exactly.

Used by goldens.py and compare.py. Nothing here knows ocelli; prompts are rendered from the model's chat template
(spec: chat_template.json of Qwen2.5-VL), images go through the Pillow image processor.
"""

import base64
import io
import json
import math
from pathlib import Path

import jinja2
import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoConfig, Qwen2_5_VLForConditionalGeneration, Qwen2Tokenizer
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

TEMPLATE = (
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}<|im_start|>system\n"
    "You are a helpful assistant.<|im_end|>\n{% endif %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if 'image_url' in part %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}<|im_start|>assistant\n"
)
AWQ_PLACE = [0, 4, 1, 5, 2, 6, 3, 7]  # nibble of column 8c + j


def unpack_awq(words):
    """[R, C/8] int32 -> [R, C] codes 0..15."""
    shifts = torch.tensor([4 * place for place in AWQ_PLACE])
    return ((words.unsqueeze(-1) >> shifts) & 15).reshape(words.shape[0], -1)


def load_state(folder):
    state = {}
    for file in sorted(Path(folder).glob("*.safetensors")):
        state.update(load_file(file))
    out = {}
    for name, tensor in state.items():
        if name.endswith(".qweight"):
            base = name[: -len(".qweight")]
            codes = unpack_awq(tensor)
            zeros = unpack_awq(state[base + ".qzeros"]).repeat_interleave(128, 0)
            scales = state[base + ".scales"].float().repeat_interleave(128, 0)
            out[base + ".weight"] = ((codes - zeros).float() * scales).T.contiguous()
        elif not name.endswith((".qzeros", ".scales")):
            out[name] = tensor.float() if tensor.is_floating_point() else tensor
    return out


def canonical(name):
    for old, new in (("model.language_model.", "model.language_model."), ("model.visual.", "model.visual."),
                     ("lm_head.", "lm_head."), ("visual.", "model.visual."), ("model.", "model.language_model.")):
        if name.startswith(old):
            return new + name[len(old):]
    return name


class Reference:
    def __init__(self, folder, dtype=torch.float32):
        folder = Path(folder)
        config = AutoConfig.from_pretrained(folder)
        if hasattr(config, "quantization_config"):
            del config.quantization_config
        config._attn_implementation = "eager"
        # The constructor makes parameters in the config's dtype: dequantised weights would be rounded to it.
        for part in (config, config.text_config, config.vision_config):
            part.dtype = torch.float32
        model = Qwen2_5_VLForConditionalGeneration(config)
        state = {canonical(name): tensor for name, tensor in load_state(folder).items()}
        missing, unexpected = model.load_state_dict(state, strict=False)
        missing = [name for name in missing if not name.startswith("lm_head")]
        assert not missing and not unexpected, (missing, unexpected)
        model.tie_weights()
        assert all(p.dtype == torch.float32 for p in model.parameters())
        frequencies = {name: buffer.clone() for name, buffer in model.named_buffers() if "inv_freq" in name}
        self.model = model.eval().to(dtype)
        for name, _ in self.model.named_buffers():  # stay f32, as from_pretrained keeps them
            if name in frequencies:
                owner, key = name.rsplit(".", 1)
                self.model.get_submodule(owner)._buffers[key] = frequencies[name]
        self.dtype = dtype
        self.config = config
        self.tokenizer = Qwen2Tokenizer.from_pretrained(folder)
        self.processor = Qwen2VLImageProcessorPil.from_pretrained(folder)
        generation = json.loads((folder / "generation_config.json").read_text())
        eos = generation["eos_token_id"]
        self.eos = eos if isinstance(eos, list) else [eos]

    def prepare(self, body, folder="."):
        """Chat body -> ids, pixel values, grids. Images are data URLs or files below `folder`."""
        images = []
        for message in body["messages"]:
            if isinstance(message["content"], list):
                for part in message["content"]:
                    if "image_url" in part:
                        images.append(load_image(part["image_url"]["url"], folder))
        text = jinja2.Template(TEMPLATE, keep_trailing_newline=True).render(messages=body["messages"])
        ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        kwargs = body.get("mm_processor_kwargs", {})
        pixels, grids = None, None
        if images:
            if kwargs:
                size = {"shortest_edge": kwargs.get("min_pixels", self.processor.size["shortest_edge"]),
                        "longest_edge": kwargs.get("max_pixels", self.processor.size["longest_edge"])}
                batch = self.processor(images=images, return_tensors="pt", size=size)
            else:
                batch = self.processor(images=images, return_tensors="pt")
            pixels, grids = batch["pixel_values"], batch["image_grid_thw"]
            expanded, image = [], 0
            for token in ids:
                if token == self.config.image_token_id:
                    expanded += [token] * int(grids[image].prod() // 4)
                    image += 1
                else:
                    expanded.append(token)
            ids = expanded
        return torch.tensor([ids]), pixels, grids

    def positions(self, ids, grids):
        types = (ids == self.config.image_token_id).int()
        position, delta = self.model.model.get_rope_index(ids, mm_token_type_ids=types, image_grid_thw=grids)
        return position[:, 0], int(delta)

    @torch.no_grad()
    def vision(self, pixels, grids):
        out = self.model.model.visual(pixels.to(self.dtype), grid_thw=grids)
        rows = out.pooler_output if hasattr(out, "pooler_output") else out
        return torch.cat(list(rows)) if isinstance(rows, (list, tuple)) else rows

    @torch.no_grad()
    def logits(self, ids, pixels, grids):
        """All logits [T, V] f32 of a sequence whose first image pads take the images."""
        kwargs = {}
        if pixels is not None:
            kwargs = {"pixel_values": pixels.to(self.dtype), "image_grid_thw": grids,
                      "mm_token_type_ids": (ids == self.config.image_token_id).int()}
        return self.model(input_ids=ids, use_cache=False, **kwargs).logits[0].float()

    def greedy(self, ids, pixels, grids, tokens):
        """Greedy continuation, log-probabilities [n, V] and margins between the two best logits."""
        prompt = ids.shape[1]
        rows, margins = [], []
        for _ in range(tokens):
            logits = self.logits(ids, pixels, grids)[-1]
            top = torch.topk(logits, 2)
            # Random models may choose an image pad; the reference would then look for another image.
            if rows and int(top.indices[0]) == self.config.image_token_id:
                break
            rows.append(torch.log_softmax(logits.double(), -1))
            margins.append(float(top.values[0] - top.values[1]))
            ids = torch.cat([ids, top.indices[:1][None]], 1)
            if int(top.indices[0]) in self.eos:
                break
        return ids[0, prompt:].tolist(), torch.stack(rows), margins


def load_image(url, folder):
    if url.startswith("data:"):
        data = base64.b64decode(url.split(",", 1)[1])
    else:
        data = (Path(folder) / url.removeprefix("file:")).read_bytes()
    return Image.open(io.BytesIO(data)).convert("RGB")


def random_image(width, height, seed):
    """Smooth colour fields with shapes and noise: not flat, not pure noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    planes = []
    for _ in range(3):
        value = np.zeros((height, width))
        for _ in range(4):
            fx, fy, phase = rng.uniform(0.005, 0.12), rng.uniform(0.005, 0.12), rng.uniform(0, 2 * math.pi)
            value += np.sin(x * fx + y * fy + phase)
        planes.append(value)
    pixels = np.stack(planes, -1) * 45 + 128 + rng.normal(0, 12, (height, width, 3))
    for _ in range(3):
        top, left = int(rng.integers(0, height)), int(rng.integers(0, width))
        pixels[top:top + height // 4, left:left + width // 4] = rng.uniform(0, 255, 3)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
