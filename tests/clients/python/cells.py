"""Runs a Python client's cells, a line of JSON for each: {"cell", "error"}. Started by ../python.test.mjs, which gives
addresses, keys and questions as JSON on standard input."""

import asyncio
import json
import re
import sys
import threading
import time
import traceback
import urllib.request

given = json.load(sys.stdin)
server, failing, keys = given["server"], given["failing"], given["keys"]
asked = given["asked"]

image_content = [
    {"type": "image_url", "image_url": {"url": asked["pictureUrl"]}},
    {"type": "text", "text": asked["picturePrompt"]},
]
weather_messages = [{"role": "user", "content": asked["weatherPrompt"]}]


def is_picture_answer(text):
    return re.search(asked["pictureAnswer"], text) is not None


def run(cells):
    """`cells` maps the name of each to a function that raises when the client does not do it."""
    for name, cell in cells.items():
        try:
            cell()
            error = None
        except BaseException:
            error = traceback.format_exc()
        print(json.dumps({"cell": name, "error": error}), flush=True)


def raised(kind, work):
    """The exception of this kind that `work` ends with."""
    try:
        work()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__} was raised")


def use_up(work):
    """Calls with the key that is let in once a minute; whoever came before may have used it up."""
    try:
        work()
    except Exception as error:
        assert "requests a minute" in str(error), error


def _measured(pattern):
    """The value of a line of /metrics; 0 where there is none."""
    with urllib.request.urlopen(f"{server}/metrics") as reply:
        found = re.search(f"^vllm:{pattern} (\\S+)$", reply.read().decode(), re.MULTILINE)
    return float(found[1]) if found else 0


def _endings():
    """How many choices a leaving client has ended, and how many went on to their limit."""
    line = 'request_success_total.*finished_reason="%s"}'
    return _measured(line % "abort"), _measured(line % "length")


def _computes():
    return _measured("gpu_cache_usage_perc.*") > 0


def leaves(begin):
    """That generation stops when a client leaves: `begin` starts an endless answer and returns what has it leave."""
    aborted, at_limit = _endings()
    leave = begin()
    while not _computes():
        assert _endings()[1] == at_limit, "it was answered too soon"
        time.sleep(0.005)
    leave()
    while _computes():
        time.sleep(0.02)
    ended, longest = _endings()
    assert ended > aborted and longest == at_limit, (ended - aborted, longest - at_limit)


def cancels(ask):
    """The same for a coroutine that is cancelled while it waits for a whole answer."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def begin():
        answer = asyncio.run_coroutine_threadsafe(ask(), loop)

        def leave():
            assert answer.cancel(), "it was answered too soon"

        return leave

    leaves(begin)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
