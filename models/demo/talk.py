"""What is said about scenes, with tools and in small talk: questions, answers, and where each answer token may look.

A `Doc` is one prompt prefix (system text, tools or an image) with question-answer segments that see the prefix and
themselves only. Answers are lists of pieces encoded one by one; a piece may carry a reference (things or glyphs of the
scene, or words to be copied), which train.py turns into attention targets. evaluate.py uses the same phrases.
"""
import json
from dataclasses import dataclass, field
from pathlib import Path

from scenes import glyph_unit
from vocabulary import (BACKGROUND_NAMES, CAPITALS, COLOUR_NAMES, KINDS, NUMBER_WORDS, PLURALS, cities, dictionary)

SYSTEM = "You are a helpful assistant."
SYSTEM_TOOLS = "You are a helpful assistant with access to tools."
OTHER_SYSTEMS = [SYSTEM_TOOLS, "Answer briefly.", "You are a friendly assistant.", "You look at images and answer questions.",
                 "You are a careful observer."]
STRUCT, COORD, GLYPH, NAME, COUNT, COPY, CHAT = range(7)
TAGS = ["struct", "coord", "glyph", "name", "count", "copy", "chat"]

# Answer-only vocabulary entries (no merges lead to them): long JSON scaffolding in one token each.
BOX_OPEN, BOX_LABEL, BOX_CLOSE = '\n\t{"bbox_2d": [', '], "label": "', '"}'
FENCE_OPEN, FENCE_CLOSE, COMMA = "```json\n[", "\n]\n```", ", "
CALL_NAME, CALL_ARGS, CALL_VALUE, CALL_NEXT, CALL_CLOSE = '\n{"name": "', '", "arguments": {"', '": "', '", "', '"}}\n'
CALL_INT, CALL_INT_CLOSE = '": ', "}}\n"
SCAFFOLD = [BOX_OPEN, BOX_LABEL, BOX_CLOSE, FENCE_OPEN, FENCE_CLOSE, COMMA, CALL_NAME, CALL_ARGS, CALL_VALUE, CALL_NEXT,
            CALL_CLOSE, CALL_INT, CALL_INT_CLOSE]

ASK_DESCRIBE = ["Describe this image.", "What is in this image?", "Describe the image.", "What do you see?",
                "What does this image show?", "What can you see in this image?", "What's in this image?",
                "Describe this image in one sentence."]
ASK_DETECT = ["Detect all objects and output their bounding boxes in JSON format.",
              "Locate all objects, output the bbox coordinates in JSON format.",
              "Find every object and return the bounding boxes as JSON.", "Detect all objects.", "Locate all objects."]
ASK_LOCATE = ["Locate the {x}, output its bbox coordinates in JSON format.", "Where is the {x}?", "Locate the {x}.",
              "Find the {x} and return its bounding box as JSON."]
ASK_COUNT = ["How many {x} are there?", "How many {x} are in the image?", "How many {x} do you see?", "Count the {x}."]
ASK_COLOUR = ["What color is the {x}?", "What colour is the {x}?", "What is the color of the {x}?"]
ASK_READ = ["What does the text say?", "Read the text in the image.", "Read all the text in the image.",
            "What text is in the image?", "What is written in the image?"]
ASK_IS = ["Is there a {x}?", "Is there a {x} in the image?", "Do you see a {x}?"]


@dataclass
class Segment:
    """question: text of the user's turn after the image; answer: pieces (text, tag, reference or None)."""
    task: str
    question: str
    answer: list
    nouns: list = field(default_factory=list)  # (noun as in the question, thing indices)
    image_last: bool = False

    def text(self):
        return "".join(p[0] for p in self.answer)


def pick(rng, items):
    return items[int(rng.integers(len(items)))]


def article(word):
    return "an" if word[0] in "aeiou" else "a"


# ---------------------------------------------------------------------------------------------- about scenes
def groups(scene):
    """[(kind, colour, [indices])] in order of first appearance."""
    found = {}
    for i, t in enumerate(scene.things):
        found.setdefault((t.kind, t.colour), []).append(i)
    return [(k, c, ids) for (k, c), ids in found.items()]


def read_pieces(scene):
    pieces, at = [], 0
    for n, w in enumerate(scene.words):
        if n:
            pieces.append((" ", GLYPH, ("glyph", [at])))
        for g in w.text:
            pieces.append((g, GLYPH, ("glyph", [at])))
            at += 1
    return pieces


def describe(scene):
    items = []
    for kind, colour, ids in groups(scene):
        ref, n = ("thing", ids), len(ids)
        name = COLOUR_NAMES[colour]
        count = article(name) if n == 1 else NUMBER_WORDS[n]
        items.append([(" " + count, COUNT, ref), (" " + name, NAME, ref), (" " + (KINDS[kind] if n == 1 else PLURALS[kind]), NAME, ref)])
    if scene.words:
        items.append([(" the", STRUCT, None), (" text", STRUCT, None), (' "', STRUCT, None)] + read_pieces(scene) + [('"', STRUCT, None)])
    out = [("The", STRUCT, None), (" image", STRUCT, None), (" shows", STRUCT, None)]
    for i, item in enumerate(items):
        if i:
            out.append((" and" if i == len(items) - 1 else ",", STRUCT, None))
        out += item
    out += [(" on", STRUCT, None), (" a", STRUCT, None)]
    out += [(" " + w, NAME, None) for w in BACKGROUND_NAMES[scene.background].split()]
    return out + [(" background", STRUCT, None), (".", STRUCT, None)]


def boxes(scene, ids):
    out = [(FENCE_OPEN, STRUCT, None)]
    for n, i in enumerate(ids):
        t = scene.things[i]
        ref = ("thing", [i])
        out.append((BOX_OPEN, STRUCT, None))
        for k, v in enumerate(t.box):
            out += [(COMMA, STRUCT, None)] * (k > 0) + [(str(v), COORD, ref)]
        out += [(BOX_LABEL, STRUCT, None), (COLOUR_NAMES[t.colour], NAME, ref), (" " + KINDS[t.kind], NAME, ref),
                (BOX_CLOSE, STRUCT, None)]
        out += [(",", STRUCT, None)] * (n + 1 < len(ids))
    return out + [(FENCE_CLOSE, STRUCT, None)]


def thing_name(scene, i):
    return f"{COLOUR_NAMES[scene.things[i].colour]} {KINDS[scene.things[i].kind]}"


def ask_count(scene, rng, kind=None):
    """Counts one kind (perhaps one that is absent) or all objects."""
    u = rng.random()
    kinds = sorted({t.kind for t in scene.things})
    if u < 0.2 and scene.things:
        ids, one, many = list(range(len(scene.things))), "object", "objects"
    else:
        k = pick(rng, kinds) if kinds and u < 0.93 else int(rng.integers(len(KINDS)))
        ids, one, many = [i for i, t in enumerate(scene.things) if t.kind == k], KINDS[k], PLURALS[k]
    n, ref = len(ids), ("thing", ids) if ids else None
    answer = [("There", STRUCT, None), (" is" if n == 1 else " are", COUNT, ref)]
    if n == 0:
        answer.append((" no", COUNT, None))
    else:
        answer += [(" ", STRUCT, None), (str(n), COUNT, ref)]
    answer += [(" " + (one if n == 1 else many), NAME, None), (".", STRUCT, None)]
    return Segment("count", pick(rng, ASK_COUNT).format(x=many), answer, [(many, ids)] if ids else [])


def ask_colour(scene, rng):
    kinds = [t.kind for t in scene.things]
    single = [i for i, k in enumerate(kinds) if kinds.count(k) == 1]
    if not single:
        return None
    i = pick(rng, single)
    t = scene.things[i]
    name = KINDS[t.kind]
    answer = [("The", STRUCT, None), (" " + name, NAME, ("thing", [i])), (" is", STRUCT, None),
              (" " + COLOUR_NAMES[t.colour], NAME, ("thing", [i])), (".", STRUCT, None)]
    return Segment("colour", pick(rng, ASK_COLOUR).format(x=name), answer, [(name, [i])])


def ask_locate(scene, rng):
    pairs = [(t.kind, t.colour) for t in scene.things]
    single = [i for i, k in enumerate(pairs) if pairs.count(k) == 1]
    if not single:
        return None
    i = pick(rng, single)
    kinds = [t.kind for t in scene.things]
    name = KINDS[kinds[i]] if kinds.count(kinds[i]) == 1 and rng.random() < 0.4 else thing_name(scene, i)
    return Segment("locate", pick(rng, ASK_LOCATE).format(x=name), boxes(scene, [i]), [(KINDS[kinds[i]], [i])])


def ask_is(scene, rng):
    real = rng.random() < 0.5 and scene.things
    if real:
        t = pick(rng, scene.things)
        kind, colour = t.kind, t.colour
    else:
        kind, colour = int(rng.integers(len(KINDS))), int(rng.integers(len(COLOUR_NAMES)))
        if scene.things and rng.random() < 0.6:  # right kind, wrong colour or the reverse: the hard case
            t = pick(rng, scene.things)
            kind, colour = (t.kind, colour) if rng.random() < 0.5 else (kind, t.colour)
    ids = [i for i, t in enumerate(scene.things) if (t.kind, t.colour) == (kind, colour)]
    name = f"{COLOUR_NAMES[colour]} {KINDS[kind]}"
    ref = ("thing", ids) if ids else None
    answer = [("Yes" if ids else "No", COUNT, ref), (",", STRUCT, None), (" there", STRUCT, None), (" is", STRUCT, None),
              (" " + (article(name) if ids else "no"), STRUCT, None), (" " + COLOUR_NAMES[colour], NAME, None),
              (" " + KINDS[kind], NAME, None), (".", STRUCT, None)]
    q = pick(rng, ASK_IS).format(x=name)
    if name[0] in "aeiou":
        q = q.replace(" a " + name, " an " + name)
    return Segment("is", q, answer, [(KINDS[kind], ids)] if ids else [])


def ask_scene(scene, rng, task):
    """One Segment of the task about the scene, or None where the task does not fit it."""
    if task == "describe":
        return Segment(task, pick(rng, ASK_DESCRIBE), describe(scene))
    if task == "detect":
        return Segment(task, pick(rng, ASK_DETECT), boxes(scene, range(len(scene.things)))) if scene.things else None
    if task == "read":
        return Segment(task, pick(rng, ASK_READ), read_pieces(scene)) if scene.words else None
    return {"count": ask_count, "colour": ask_colour, "locate": ask_locate, "is": ask_is}[task](scene, rng)


# ---------------------------------------------------------------------------------------------- small talk
_EURO = "Some European capitals are London, Paris, Berlin, Rome, Madrid, Lisbon, Vienna, Athens, Dublin and Oslo."
_WHO = "I am the ocelli demo model, a very small vision-language model."
_CAN = "I can describe simple images, find and count shapes, read short words and call tools."
FACTS = [
    (["Hello", "Hello!", "Hi", "Hi!", "Hi there!", "Hey", "Good morning", "hello", "hi"], "Hello! Show me an image or ask me something."),
    (["How are you?", "How are you doing?"], "I am fine, thank you. Show me an image!"),
    (["Who are you?", "What are you?", "What is your name?", "Tell me about yourself.", "Introduce yourself."], _WHO),
    (["What can you do?", "How can you help me?", "What are you able to do?", "Help", "Help me."], _CAN),
    (["Thanks", "Thank you", "Thank you!", "Thanks!", "thanks"], "You are welcome!"),
    (["Goodbye", "Bye", "Bye!", "See you later."], "Goodbye!"),
    (["Are you a large model?", "How big are you?", "How many parameters do you have?"],
     "I have about 8 million parameters, so I am very small."),
    (["Where do you run?", "How do you run?"], "I run as WebAssembly, right here on your CPU."),
    (["What is ocelli?", "What does ocelli mean?"], "Ocelli runs Qwen2.5-VL models as WebAssembly. Ocelli are also the simple eyes of insects."),
    (["Name the European capitals", "Name the european capitals", "Name the European capitals.", "List some European capitals.",
      "Name some European capitals.", "Name the capitals of Europe."], _EURO),
    (["Name the colors you know.", "Which colors do you know?", "What colors do you know?"],
     "I know red, orange, yellow, green, blue, purple, pink and black."),
    (["Which shapes do you know?", "What objects can you see?", "Which objects do you know?", "What objects do you know?"],
     "I know circles, squares, triangles, stars, hearts, diamonds, crosses, rings, moons, arrows, houses, trees, cars, fishes, flowers and cups."),
    (["Count to five.", "Count from one to five."], "One, two, three, four, five."),
    (["Tell me a joke.", "Tell me a joke"], "What is the favorite shape of a pirate? The arrrow!"),
    (["What is the color of the sky?", "What color is the sky?"], "The sky is blue."),
    (["What color is grass?", "What color is the grass?"], "Grass is green."),
    (["What is 1 + 1?", "What is 1+1?"], "1 + 1 is 2."),
    (["What is 2 + 2?", "What is 2+2?"], "2 + 2 is 4."),
    (["Say hello.", "Say hi."], "Hello!"),
]


def talk_fact(rng):
    if rng.random() < 0.45:
        country = pick(rng, list(CAPITALS))
        q = pick(rng, ["What is the capital of {c}?", "What is the capital city of {c}?", "Name the capital of {c}."]).format(c=country)
        start = [("The", CHAT, None), (" capital", CHAT, None), (" of", CHAT, None)]
        return Segment("chat", q, start + [(" " + country, CHAT, None), (" is " + CAPITALS[country], CHAT, None), (".", CHAT, None)])
    questions, answer = pick(rng, FACTS)
    return Segment("chat", pick(rng, questions), [(answer, CHAT, None)])


def invent_name(rng):
    """A name nobody has: two or three syllables."""
    on = ["b", "br", "c", "ch", "d", "dr", "f", "g", "gr", "h", "j", "k", "kl", "l", "m", "n", "p", "pr", "qu", "r", "s",
          "sh", "st", "t", "th", "tr", "v", "w", "x", "y", "z"]
    mid = ["a", "e", "i", "o", "u", "ai", "ea", "ou", "y", "oo"]
    end = ["", "", "n", "r", "s", "l", "m", "rk", "nd", "th", "ck", "ville", "ton", "burg", "ford"]
    w = "".join(pick(rng, on) + pick(rng, mid) for _ in range(int(rng.integers(1, 4)))) + pick(rng, end)
    return w.capitalize() if len(w) > 2 else w.capitalize() + "ra"


def place(rng, held_out=False):
    train, test = cities()
    if held_out:
        name = pick(rng, test) if rng.random() < 0.7 else pick(rng, dictionary()[1][1])
        return name if name not in train else place(rng, held_out)
    u = rng.random()
    if u < 0.3:
        return pick(rng, train)
    name = pick(rng, dictionary()[1][0]) if u < 0.65 else invent_name(rng)
    if rng.random() < 0.15:
        name = pick(rng, ["New ", "San ", "Port ", "Saint ", "East "]) + name
    return name


def repeat(rng):
    u = rng.random()
    if u < 0.6:
        text = place(rng)
    elif u < 0.8:
        text = pick(rng, dictionary()[0][0])
    else:
        text = pick(rng, dictionary()[0][0]) + " " + place(rng)
    q = pick(rng, ["Repeat: {x}", "Repeat after me: {x}", "Say {x}", "Repeat this: {x}", "Write {x}"]).format(x=text)
    return Segment("repeat", q, [(text, COPY, ("copy", text))])


# ---------------------------------------------------------------------------------------------- tools
def _tool(name, description, /, **params):
    properties = {k: {"type": t, "description": d} for k, (t, d) in params.items()}
    return {"type": "function", "function": {"name": name, "description": description,
            "parameters": {"type": "object", "properties": properties, "required": list(params)}}}


WEATHER = json.loads(Path(__file__).with_name("weather_tool.json").read_text())
ASK_WEATHER = ["What is the weather in {x}?", "What's the weather in {x}?", "What is the weather like in {x}?",
               "What's the weather like in {x}?", "How is the weather in {x}?", "How is the weather in {x} today?",
               "Tell me the weather in {x}.", "What is the weather in {x} today?", "Weather in {x}?", "Is it raining in {x}?",
               "Get the weather for {x}.", "Is it sunny in {x}?"]


def _known_tools(rng):
    """[(tool, [question templates])] with one {x}; names and parameters vary so that they must be copied."""
    loc = pick(rng, ["location", "city", "place"])
    what = pick(rng, ["The city and state", "The city", "Name of the city", "The city, e.g. San Francisco", "The place"])
    S = lambda d: ("string", d)
    weather_name = pick(rng, ["get_weather", "get_weather", "get_current_weather", "weather", "weather_now", "fetch_weather"])
    return [
        (_tool(weather_name, pick(rng, ["Get the current weather for a location", "Get the weather", "Current weather of a city",
               "Returns the weather in a city"]), **{loc: S(what)}), ASK_WEATHER),
        (_tool(pick(rng, ["get_time", "current_time", "get_local_time"]), "Get the current time in a city", **{loc: S(what)}),
         ["What time is it in {x}?", "What is the time in {x}?", "Tell me the time in {x}."]),
        (_tool(pick(rng, ["get_population", "population", "count_people"]), "Get the population of a city", **{loc: S(what)}),
         ["What is the population of {x}?", "How many people live in {x}?"]),
        (_tool(pick(rng, ["search", "web_search", "search_web"]), "Search the web", **{pick(rng, ["query", "q", "text"]): S("What to search for")}),
         ["Search the web for {x}.", "Search for {x}.", "Look up {x}."]),
        (_tool(pick(rng, ["call", "call_person", "start_call"]), "Call a person", **{pick(rng, ["name", "person", "contact"]): S("Who to call")}),
         ["Call {x}.", "Please call {x}.", "Give {x} a call."]),
        (_tool(pick(rng, ["play_music", "play", "play_song"]), "Play music by an artist", **{pick(rng, ["artist", "band", "singer"]): S("The artist")}),
         ["Play music by {x}.", "Play something by {x}.", "Play a song by {x}."]),
        (_tool(pick(rng, ["find_hotel", "search_hotels", "hotels"]), "Find a hotel in a city", **{loc: S(what)}),
         ["Find a hotel in {x}.", "I need a hotel in {x}.", "Book a hotel in {x}."]),
        (_tool(pick(rng, ["set_timer", "start_timer", "timer"]), "Set a timer", **{pick(rng, ["minutes", "duration"]): ("integer", "Minutes")}),
         ["Set a timer for {n} minutes.", "Start a timer for {n} minutes.", "Wake me in {n} minutes."]),
    ]


def _noun_tool(rng, noun):
    verb, param = pick(rng, ["get", "find", "check", "read", "show", "list"]), pick(rng, ["name", "place", "id", "target", "item", "key"])
    return (_tool(f"{verb}_{noun}", f"{verb.capitalize()} the {noun}", **{param: ("string", f"The {param}")}),
            [f"What is the {noun} of {{x}}?", f"{verb.capitalize()} the {noun} of {{x}}.", f"Tell me the {noun} of {{x}}."])


def tool_set(rng):
    """-> (system text, [(tool, questions)])."""
    u = rng.random()
    system = pick(rng, [SYSTEM, SYSTEM, SYSTEM_TOOLS])
    if u < 0.3:
        return pick(rng, [SYSTEM_TOOLS, SYSTEM_TOOLS, SYSTEM]), [(WEATHER, ASK_WEATHER)]
    known = _known_tools(rng)
    if u < 0.45:
        return system, [pick(rng, known)]
    nouns = dictionary()[0][0]
    n = int(rng.integers(1, 4))
    chosen = [_noun_tool(rng, pick(rng, nouns)) if rng.random() < 0.5 else known[int(rng.integers(len(known)))] for _ in range(n)]
    unique = {t[0]["function"]["name"]: t for t in chosen}
    return system, list(unique.values())


def call(tool, questions, rng, held_out=False, question=None):
    name, (param, spec) = tool["function"]["name"], next(iter(tool["function"]["parameters"]["properties"].items()))
    template = question or pick(rng, questions)
    start = [("<tool_call>", STRUCT, None), (CALL_NAME, STRUCT, None), (name, COPY, ("copy", name)), (CALL_ARGS, STRUCT, None),
             (param, COPY, ("copy", param))]
    if spec["type"] == "integer":
        n = str(rng.integers(1, 100))
        return Segment("call", template.format(n=n), start + [(CALL_INT, STRUCT, None), (n, COPY, ("copy", n)),
                       (CALL_INT_CLOSE, STRUCT, None), ("</tool_call>", STRUCT, None)])
    x = place(rng, held_out)
    return Segment("call", template.format(x=x), start + [(CALL_VALUE, STRUCT, None), (x, COPY, ("copy", x)),
                   (CALL_CLOSE, STRUCT, None), ("</tool_call>", STRUCT, None)])


# ---------------------------------------------------------------------------------------------- the merged template
def system_turn(system=SYSTEM, tools=()):
    text = "<|im_start|>system\n" + system
    if tools:
        text += ("\n\n# Tools\n\nYou may call one or more functions to assist with the user query.\n\nYou are provided with "
                 "function signatures within <tools></tools> XML tags:\n<tools>")
        text += "".join("\n" + json.dumps(t, ensure_ascii=False) for t in tools)
        text += ("\n</tools>\n\nFor each function call, return a json object with function name and arguments within "
                 "<tool_call></tool_call> XML tags:\n<tool_call>\n{\"name\": <function-name>, \"arguments\": "
                 "<args-json-object>}\n</tool_call>")
    return text + "<|im_end|>\n"


USER, ASSISTANT, END = "<|im_start|>user\n", "<|im_start|>assistant\n", "<|im_end|>\n"
IMAGE_OPEN, IMAGE_PAD, IMAGE_CLOSE = "<|vision_start|>", "<|image_pad|>", "<|vision_end|>"


def things_units(scene, ids):
    return [scene.things[i].centre_unit(scene.grid[1]) for i in ids]


def glyph_units(scene):
    return [glyph_unit(b, scene.grid) for w in scene.words for b in w.glyph_boxes]
