"""Python's Instructor: values of a pydantic model, by a tool or by a JSON schema."""

from typing import Literal

import instructor
import openai
from cells import asked, cancels, failing, image_content, keys, raised, run, server, use_up
from instructor.core import InstructorRetryException
from pydantic import BaseModel


class Place(BaseModel):
    city: Literal["Paris", "London"]
    known: bool


class Shape(BaseModel):
    color: Literal["yellow", "blue"]
    shape: Literal["star", "circle"]


def client(url=server, key=keys["good"], mode=instructor.Mode.TOOLS, kind=openai.OpenAI):
    return instructor.from_openai(kind(base_url=f"{url}/v1", api_key=key, max_retries=0), mode=mode)


def words(**more):
    return {
        **{"model": asked["model"], "messages": asked["messages"], "temperature": 0},
        **{"response_model": Place, "max_retries": 0, **more},
    }


def create(of=None, **more):
    return (of or client()).chat.completions.create(**words(**more))


def chat():
    assert "Paris" in create(response_model=None).choices[0].message.content


def stream():
    whole = create()
    *_, last = client().chat.completions.create_partial(**words())
    assert (last.city, last.known) == (whole.city, whole.known)


def tools():
    for mode in (instructor.Mode.TOOLS, instructor.Mode.TOOLS_STRICT):
        assert isinstance(create(client(mode=mode)), Place)


def image():
    messages = [{"role": "user", "content": image_content}]
    assert isinstance(create(messages=messages, response_model=Shape), Shape)


def json_schema():
    assert isinstance(create(client(mode=instructor.Mode.JSON_SCHEMA)), Place)


def fails(kind, said, of=None, **more):
    """It wraps what the client within raised, which is its cause."""
    error = raised((InstructorRetryException, openai.APIStatusError), lambda: create(of, **more))
    while error is not None and not isinstance(error, kind):
        error = error.__cause__ or error.__context__
    assert isinstance(error, kind) and said in str(error), error


def too_many():
    limited = client(key=keys["limited"])
    use_up(lambda: create(limited))
    fails(openai.RateLimitError, "may send 1 requests a minute", limited)


def abort():
    endless = {**asked["endless"], "response_model": None, "extra_body": {"ignore_eos": True}}
    del endless["ignore_eos"]

    async def ask():
        await client(kind=openai.AsyncOpenAI).chat.completions.create(**words(**endless))

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
