"""Runs a model in wasmtime: the single-thread module and a host in Python, no JavaScript.

    python3 main.py MODULE CONTAINER [BODY [IMAGE]]

MODULE is st-simd128/ocelli.wasm or st-relaxed's, CONTAINER a folder with manifest.json. BODY is a chat-completions body
as JSON; "-" reads it from standard input; its image parts, {"type": "image"}, are the file IMAGE. The answer is
written as it comes; with --events one event of the core a line instead. The functions are those of src/abi/ocelli.h.
"""

import json
import struct
import sys
from pathlib import Path

import wasmtime

ABI_VERSION = 3
DEFAULT_BODY = {"messages": [{"role": "user", "content": "What is the capital of France?"}], "temperature": 0}


class CoreError(Exception):
    """What the core reports; `code` and `message` are meant for the user."""


class Core:
    """The module's functions; bytes go in as (pointer, length), results come back through out pointers."""

    def __init__(self, module_file):
        config = wasmtime.Config()
        config.wasm_relaxed_simd = True
        engine = wasmtime.Engine(config)
        self.store = wasmtime.Store(engine)
        module = wasmtime.Module.from_file(engine, module_file)
        # The module imports nothing; an import would be missing here.
        self.exports = wasmtime.Instance(self.store, module, []).exports(self.store)
        self.memory = self.exports["memory"]
        self.exports["_initialize"](self.store)
        if self.raw("abi_version") != ABI_VERSION:
            raise CoreError(f"{module_file} has another ABI version than {ABI_VERSION}")
        if self.raw("self_test") != 1:
            raise CoreError(f"{module_file} computes wrong values here; take the other one")
        self.out = self.raw("alloc", 16)

    def raw(self, name, *values):
        # Pointers are unsigned: memory goes past 2 GiB.
        signed = [value - (1 << 32) if value >= 1 << 31 else value for value in values]
        result = self.exports[f"ocelli_{name}"](self.store, *signed)
        return None if result is None else result & 0xFFFFFFFF

    def read(self, address, length):
        return bytes(self.memory.read(self.store, address, address + length))

    def word(self, index):
        return struct.unpack("<I", self.read(self.out + 4 * index, 4))[0]

    def check(self, status):
        if status == 0:
            return
        self.raw("last_error", self.out, self.out + 4)
        error = json.loads(self.read(self.word(0), self.word(1)))
        raise CoreError(f"{error['code']}: {error['message']}")

    def call(self, name, *values):
        """Calls a function; bytes among the values are handed in as pointer and length."""
        given = []
        words = []
        for value in values:
            if isinstance(value, bytes):
                given.append(self.raw("alloc", max(1, len(value))))
                if given[-1] == 0:
                    raise CoreError(f"no memory for {len(value)} bytes")
                self.memory.write(self.store, value, given[-1])
                words += [given[-1], len(value)]
            else:
                words.append(value)
        try:
            self.check(self.raw(name, *words))
        finally:
            for address in given:
                self.raw("free", address)


def open_engine(core, container):
    """Opens an engine and places every shard of the container."""
    text = (container / "manifest.json").read_bytes()
    core.call("open", text, b"{}", core.out)
    engine = core.word(0)
    for index, shard in enumerate(json.loads(text)["shards"]):
        core.call("shard_reserve", engine, index, core.out, core.out + 4)
        address, size = core.word(0), core.word(1)
        data = (container / f"{shard['sha256']}.safetensors").read_bytes()
        if len(data) != size:
            raise CoreError(f"shard {shard['sha256']} has {len(data)} bytes, the manifest says {size}")
        core.memory.write(core.store, data, address)
        core.call("shard_commit", engine, index)  # checks the hash
    core.call("ready", engine)
    return engine


def put_images(core, engine, body, image):
    """Gives the core the image, and each image part of the body its handle."""
    for message in body["messages"]:
        for part in message["content"] if isinstance(message["content"], list) else []:
            if part.get("type") == "image":
                core.call("media_put", engine, image.read_bytes(), core.out)
                part["media"] = core.word(0)


def events(core, engine, body):
    """Opens a request and yields its events as they come."""
    core.call("request_open", engine, json.dumps(body).encode(), core.out)
    request = core.word(0)
    while True:
        core.call("step", engine, core.out)
        while True:
            core.call("next_event", engine, core.out, core.out + 4)
            if core.word(1) == 0:
                break
            event = json.loads(core.read(core.word(0), core.word(1)))
            yield event
            if event["type"] in ("done", "error"):
                core.call("request_close", engine, request)
                return


def main():
    words = [word for word in sys.argv[1:] if word != "--events"]
    if len(words) < 2:
        sys.exit(__doc__)
    module, container, text, image = (words + [None, None])[:4]
    body = DEFAULT_BODY if text is None else json.loads(sys.stdin.read() if text == "-" else text)
    core = Core(module)
    engine = open_engine(core, Path(container))
    if image is not None:
        put_images(core, engine, body, Path(image))
    for event in events(core, engine, body):
        if "--events" in sys.argv:
            print(json.dumps(event), flush=True)
        elif event["type"] == "delta":
            print(event.get("text", ""), end="", flush=True)
        elif event["type"] == "error":
            raise CoreError(event["message"])
    if "--events" not in sys.argv:
        print()
    core.call("close", engine)


if __name__ == "__main__":
    try:
        main()
    except CoreError as error:
        sys.exit(f"ocelli: {error}")
