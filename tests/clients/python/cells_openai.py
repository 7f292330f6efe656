"""OpenAI's Python client. It is asked to hold every reply to its types, which OpenAI generates from its OpenAPI document."""

import json
from functools import partial

import openai
from cells import asked, cancels, failing, image_content, is_picture_answer, keys
from cells import leaves, raised, run, server, use_up, weather_messages
from pydantic import BaseModel

model, messages = asked["model"], asked["messages"]
endless = {
    **{key: asked["endless"][key] for key in ("max_tokens", "n", "temperature")},
    "extra_body": {"ignore_eos": True},
}


def client(url=server, key=keys["good"], kind=openai.OpenAI):
    strict = {"_strict_response_validation": True, "max_retries": 0}
    return kind(base_url=f"{url}/v1", api_key=key, **strict)


def create(of=None, **more):
    words = {"model": model, "messages": messages, "temperature": 0, **more}
    return (of or client()).chat.completions.create(**words)


class Place(BaseModel):
    city: str
    known: bool


def chat():
    answer = create()
    assert "Paris" in answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop" and answer._request_id


def stream():
    whole, text, usage = create(), "", None
    for chunk in create(stream=True, stream_options={"include_usage": True}):
        usage = chunk.usage
        text += (chunk.choices[0].delta.content or "") if chunk.choices else ""
    assert text == whole.choices[0].message.content
    assert usage == whole.usage
    with client().chat.completions.stream(model=model, messages=messages, temperature=0) as events:
        assert events.get_final_completion().choices[0].message.content == text


def tools():
    words = {"messages": weather_messages, "tools": [asked["weather"]]}
    words["tool_choice"] = "required"
    first = create(**words)
    (call,) = first.choices[0].message.tool_calls
    assert first.choices[0].finish_reason == "tool_calls"
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments) == {"location": "London"}
    with client().chat.completions.stream(model=model, temperature=0, **words) as events:
        (streamed,) = events.get_final_completion().choices[0].message.tool_calls
    assert streamed.function.arguments == call.function.arguments
    result = {"role": "tool", "tool_call_id": call.id, "content": '{"temperature": 15}'}
    history = [*weather_messages, first.choices[0].message, result]
    second = create(messages=history, tools=words["tools"])
    assert second.usage.prompt_tokens > first.usage.total_tokens


def image():
    answer = create(messages=[{"role": "user", "content": image_content}])
    assert is_picture_answer(answer.choices[0].message.content)


def json_schema():
    place = {"name": "place", "strict": True, "schema": asked["placeSchema"]}
    answer = create(response_format={"type": "json_schema", "json_schema": place})
    Place.model_validate_json(answer.choices[0].message.content)
    words = {"model": model, "messages": messages, "temperature": 1.5, "max_tokens": 400}
    try:
        answer = client().chat.completions.parse(**words, response_format=Place)
        assert isinstance(answer.choices[0].message.parsed, Place)
    except openai.LengthFinishReasonError:
        pass  # The embedded model may write a name without end; the client then says so.


def fails(kind, words, of=None, **more):
    for streamed in (False, True):
        error = raised(kind, partial(create, of, stream=streamed, **more))
        assert words in str(error), error


def too_many():
    limited = client(key=keys["limited"])
    use_up(lambda: create(limited, max_tokens=1))
    fails(openai.RateLimitError, "may send 1 requests a minute", limited)


def abort():
    def begin():
        chunks = create(stream=True, **endless)
        next(chunks)
        return chunks.close

    leaves(begin)

    async def ask():
        await create(client(kind=openai.AsyncOpenAI), **endless)

    cancels(ask)


run(
    {
        "chat": chat,
        "stream": stream,
        "tools": tools,
        "image": image,
        "JSON schema": json_schema,
        "400": lambda: fails(
            openai.BadRequestError, "temperature must be non-negative", temperature=-1
        ),
        "401": lambda: fails(
            openai.AuthenticationError, "key is not known", client(key=keys["unknown"])
        ),
        "404": lambda: fails(openai.NotFoundError, "`nope` does not exist", model="nope"),
        "429": too_many,
        "500": lambda: fails(openai.InternalServerError, "damaged", client(failing)),
        "abort": abort,
    }
)
