"""Runs the `ocelli` command for goldens and comparisons: convert once, then one request a call."""

import base64
import io
import json
import shlex
import subprocess
from pathlib import Path

import numpy as np

# Containers: nothing rounded, what `convert` does unasked, and the small one.
EXACT = ["--linear", "keep", "--vision", "f32", "--embedding", "f32"]
DEFAULT = []
SMALL = ["--linear", "keep", "--vision", "int8", "--embedding", "int8"]


def data_url(image, kind="PNG"):
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return f"data:image/{kind.lower()};base64," + base64.b64encode(buffer.getvalue()).decode()


class Cli:
    def __init__(self, command):
        self.command = shlex.split(command)

    def call(self, args, stdin=None):
        done = subprocess.run(self.command + args, input=stdin, capture_output=True, text=True, timeout=600)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(args[:6])} ended with {done.returncode}: {done.stderr[-2000:]}")
        return done.stdout

    def convert(self, source, out, flags):
        if not (Path(out) / "manifest.json").exists():
            self.call(["convert", str(source), str(out), *flags])

    def request(self, model, body, compute, dump=None, extra=()):
        """The chat.completion of a body, plus what --dump wrote when a folder is given."""
        args = ["run", "--model", str(model), "--request", "-", "--compute", compute, *extra]
        if dump:
            args += ["--dump", str(dump)]
        reply = json.loads(self.call(args, json.dumps(body)))
        if not dump:
            return reply, None, []
        prompt = json.loads((Path(dump) / "prompt.json").read_text())
        rows = [np.load(file) for file in sorted(Path(dump).glob("vision_*.npy"))]
        return reply, prompt, rows
