"""Compares this network with Hugging Face's on random parameters: `check_export.py TOKENIZER_DIR WORK_DIR`.

Fails when logits of a text + image prompt differ; run it after any change of network.py or export.py.
"""
import sys

import numpy as np
import torch
from transformers import AutoTokenizer, Qwen2_5_VLForConditionalGeneration

import batches
import export
import network
import scenes
import talk
from tokenizer import Codec


def main():
    tokenizer_dir, work = sys.argv[1:3]
    torch.set_num_threads(1)
    network.set_compute_dtype(torch.float32)
    codec, rng = Codec(tokenizer_dir), np.random.default_rng(1)
    p = network.init_parameters(3)
    for k in p:
        if k.endswith("bias"):
            p[k] += 0.1 * torch.randn_like(p[k])
    export.export(p, tokenizer_dir, work, torch.float32)
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(work, dtype=torch.float32).eval()
    hf_tok = AutoTokenizer.from_pretrained(work)
    messages = [{"role": "user", "content": "What is the weather in London?"}]
    text = hf_tok.apply_chat_template(messages, tools=[talk.WEATHER], add_generation_prompt=True, tokenize=False)
    assert text == (talk.system_turn(talk.SYSTEM, [talk.WEATHER]) + talk.USER + messages[0]["content"] + talk.END + talk.ASSISTANT)
    assert tuple(hf_tok(text)["input_ids"]) == codec.encode(text), "tokenizers disagree"
    for grid in scenes.GRIDS:
        scene = scenes.make_scene(rng, "mixed", grid)
        patches = torch.from_numpy(scenes.patchify(scenes.render(scene, rng)[None]))
        doc = batches.image_doc(codec, rng, scene, 300, chain=True)
        A, places, _ = batches.pack([doc], 1, len(doc.ids))
        with torch.no_grad():
            img, _, _ = network.vision(p, patches, grid)
            emb = p["model.embed_tokens.weight"][A["ids"]]
            n = img.shape[1]
            emb[0, doc.image_at:doc.image_at + n] = img[0]
            cos, sin = network.rope_tables(A["pos"])
            final, _ = network.decoder(p, emb, A["mask"], cos, sin)
            ours = network.linear(final, p["model.embed_tokens.weight"])
            both = patches[0].view(-1, 3, 1, 14, 14).expand(-1, -1, 2, -1, -1).reshape(len(patches[0]), 1176)
            theirs = model(input_ids=A["ids"], pixel_values=both, attention_mask=torch.ones_like(A["ids"]),
                           mm_token_type_ids=(A["ids"] == codec.encode(talk.IMAGE_PAD)[0]).long(),
                           image_grid_thw=torch.tensor([[1, grid[0] * 2, grid[1] * 2]])).logits
        gap = (ours - theirs).abs().max().item()
        print(grid, "largest logit gap", gap, "of", theirs.abs().max().item())
        if gap > 2e-3:
            raise SystemExit("networks disagree")


if __name__ == "__main__":
    main()
