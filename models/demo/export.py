"""Writes a trained run as a Hugging Face directory: `export.py RUN_CHECKPOINT TOKENIZER_DIR OUT_DIR [--dtype bf16|f32]`.

The names and shapes are those of the released Qwen2.5-VL checkpoints; the one change is the patch layer, whose single
temporal half is split into two equal halves of half the weight (a still image fills both frames).
"""
import argparse
import json
import os
import shutil

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer

import network

HERE = os.path.dirname(os.path.abspath(__file__))


def tensors(params, dtype):
    out = {}
    for name, t in params.items():
        if not name.startswith(("model.", "visual.")):
            continue
        t = t.detach().float()
        if name == "visual.patch_embed.proj.weight":
            half = t.view(t.shape[0], 3, 1, 14, 14) / 2
            t = torch.cat([half, half], 2)
        out[name] = t.to(dtype).contiguous()
    return out


def config(tok):
    C, token = network.CONFIG, tok.token_to_id
    return {
        "architectures": ["Qwen2_5_VLForConditionalGeneration"], "model_type": "qwen2_5_vl", "torch_dtype": "bfloat16",
        "vocab_size": C["vocab"], "hidden_size": C["hidden"], "intermediate_size": C["ffn"],
        "num_hidden_layers": C["layers"], "num_attention_heads": C["heads"], "num_key_value_heads": C["kv_heads"],
        "hidden_act": "silu", "max_position_embeddings": 2048, "max_window_layers": C["layers"], "initializer_range": 0.02,
        "rms_norm_eps": C["eps"], "use_cache": True, "use_sliding_window": False, "sliding_window": 32768,
        "tie_word_embeddings": True, "attention_dropout": 0.0, "rope_theta": C["theta"],
        "rope_scaling": {"type": "mrope", "mrope_section": C["mrope"]},
        "bos_token_id": token("<|endoftext|>"), "eos_token_id": token("<|im_end|>"), "pad_token_id": token("<|endoftext|>"),
        "vision_start_token_id": token("<|vision_start|>"), "vision_end_token_id": token("<|vision_end|>"),
        "vision_token_id": token("<|vision_pad|>"), "image_token_id": token("<|image_pad|>"),
        "video_token_id": token("<|video_pad|>"),
        "vision_config": {
            "model_type": "qwen2_5_vl", "depth": C["v_depth"], "hidden_size": C["v_hidden"], "hidden_act": "silu",
            "intermediate_size": C["v_ffn"], "num_heads": C["v_heads"], "in_channels": 3, "in_chans": 3, "patch_size": 14,
            "spatial_patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2, "tokens_per_second": 2,
            "window_size": C["window"] * 28, "fullatt_block_indexes": C["v_full"], "out_hidden_size": C["hidden"]}}


def export(params, tokenizer_dir, out, dtype=torch.bfloat16):
    os.makedirs(out, exist_ok=True)
    tok = Tokenizer.from_file(os.path.join(tokenizer_dir, "tokenizer.json"))
    shutil.copy(os.path.join(tokenizer_dir, "tokenizer.json"), os.path.join(out, "tokenizer.json"))
    save_file(tensors(params, dtype), os.path.join(out, "model.safetensors"), metadata={"format": "pt"})
    end, pad = tok.token_to_id("<|im_end|>"), tok.token_to_id("<|endoftext|>")
    with open(os.path.join(HERE, "chat_template.jinja"), encoding="utf-8") as f:
        template = f.read()
    model = json.loads(tok.to_str())
    added = {str(t["id"]): {k: t[k] for k in ("content", "lstrip", "normalized", "rstrip", "single_word", "special")}
             for t in model["added_tokens"]}
    files = {
        "config.json": config(tok),
        "generation_config.json": {"bos_token_id": pad, "pad_token_id": pad, "eos_token_id": [end, pad], "do_sample": False,
                                   "temperature": 0.0, "repetition_penalty": 1.0, "max_new_tokens": 256},
        "preprocessor_config.json": {
            "min_pixels": network.CONFIG["min_pixels"], "max_pixels": network.CONFIG["max_pixels"], "patch_size": 14,
            "temporal_patch_size": 2, "merge_size": 2, "image_mean": [0.48145466, 0.4578275, 0.40821073],
            "image_std": [0.26862954, 0.26130258, 0.27577711], "resample": 3, "do_resize": True, "do_rescale": True,
            "do_normalize": True, "do_convert_rgb": True, "rescale_factor": 1 / 255,
            "image_processor_type": "Qwen2VLImageProcessor", "processor_class": "Qwen2_5_VLProcessor"},
        "tokenizer_config.json": {
            "tokenizer_class": "Qwen2Tokenizer", "add_bos_token": False, "add_prefix_space": False, "bos_token": None,
            "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "unk_token": None, "errors": "replace",
            "clean_up_tokenization_spaces": False, "split_special_tokens": False, "model_max_length": 2048,
            "added_tokens_decoder": added, "chat_template": template},
        "chat_template.json": {"chat_template": template},
        "vocab.json": model["model"]["vocab"],
    }
    for name, content in files.items():
        with open(os.path.join(out, name), "w", encoding="utf-8") as f:
            json.dump(content, f, indent=None if name == "vocab.json" else 2, ensure_ascii=False)
            f.write("\n")
    with open(os.path.join(out, "merges.txt"), "w", encoding="utf-8") as f:
        f.write("#version: 0.2\n")
        for m in model["model"]["merges"]:
            f.write((m if isinstance(m, str) else " ".join(m)) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint")
    parser.add_argument("tokenizer")
    parser.add_argument("out")
    parser.add_argument("--dtype", choices=["bf16", "f32"], default="bf16")
    args = parser.parse_args()
    saved = torch.load(args.checkpoint, map_location="cpu")
    export(saved["params"], args.tokenizer, args.out, {"bf16": torch.bfloat16, "f32": torch.float32}[args.dtype])
