"""litellm, as it is told of a server that speaks OpenAI's dialect. It would fetch prices from the network when it is imported,
which LITELLM_LOCAL_MODEL_COST_MAP forbids."""

import json
from functools import partial

import litellm
from cells import asked, cancels, failing, image_content, is_picture_answer, keys
from cells import leaves, raised, run, server, use_up, weather_messages
from pydantic import BaseModel

litellm.telemetry = False
litellm.suppress_debug_info = True
endless = {
    **{key: asked["endless"][key] for key in ("max_tokens", "n", "temperature")},
    "extra_body": {"ignore_eos": True},
}


def words(url=server, key=keys["good"], model=asked["model"], **more):
    return {
        **{"model": f"openai/{model}", "api_base": f"{url}/v1", "api_key": key},
        **{"messages": asked["messages"], "temperature": 0, "max_retries": 0, **more},
    }


def create(**more):
    return litellm.completion(**words(**more))


class Place(BaseModel):
    city: str
    known: bool


def chat():
    answer = create()
    assert "Paris" in answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"


def stream():
    whole = create()
    chunks = list(create(stream=True, stream_options={"include_usage": True}))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    built = litellm.stream_chunk_builder(chunks)
    assert built.choices[0].message.content == text
    assert built.usage.completion_tokens == whole.usage.completion_tokens


def tools():
    asking = {"messages": weather_messages, "tools": [asked["weather"]]}
    first = create(**asking, tool_choice="required")
    (call,) = first.choices[0].message.tool_calls
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments) == {"location": "London"}
    built = litellm.stream_chunk_builder(
        list(create(**asking, tool_choice="required", stream=True))
    )
    (streamed,) = built.choices[0].message.tool_calls
    assert streamed.function.arguments == call.function.arguments
    result = {"role": "tool", "tool_call_id": call.id, "content": "15"}
    history = [*weather_messages, first.choices[0].message, result]
    second = create(messages=history, tools=asking["tools"])
    assert second.usage.prompt_tokens > first.usage.total_tokens


def image():
    answer = create(messages=[{"role": "user", "content": image_content}])
    assert is_picture_answer(answer.choices[0].message.content)


def json_schema():
    place = {"name": "place", "strict": True, "schema": asked["placeSchema"]}
    answer = create(response_format={"type": "json_schema", "json_schema": place})
    Place.model_validate_json(answer.choices[0].message.content)


def fails(kind, said, **more):
    for streamed in (False, True):
        error = raised(kind, partial(create, stream=streamed, **more))
        assert said in str(error), error


def too_many():
    use_up(lambda: create(key=keys["limited"], max_tokens=1))
    fails(litellm.RateLimitError, "may send 1 requests a minute", key=keys["limited"])


def abort():
    def begin():
        chunks = create(stream=True, **endless)
        next(chunks)
        return chunks.completion_stream.close

    leaves(begin)

    async def ask():
        await litellm.acompletion(**words(**endless))

    cancels(ask)


run(
    {
        "chat": chat,
        "stream": stream,
        "tools": tools,
        "image": image,
        "JSON schema": json_schema,
        "400": lambda: fails(
            litellm.BadRequestError, "temperature must be non-negative", temperature=-1
        ),
        "401": lambda: fails(litellm.AuthenticationError, "key is not known", key=keys["unknown"]),
        "404": lambda: fails(litellm.NotFoundError, "`nope` does not exist", model="nope"),
        "429": too_many,
        "500": lambda: fails(litellm.InternalServerError, "damaged", url=failing),
        "abort": abort,
    }
)
