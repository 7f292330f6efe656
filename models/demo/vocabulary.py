"""The closed world of the demo model: kinds, colours, backgrounds, glyphs, names, and the held-out split.

Used by scenes.py (what is drawn), talk.py (what is said) and tokenizer.py. The surprise: the split between training and
held-out words and names is a hash of the word itself, so no list of either has to be kept.
"""
import functools
import re
import zlib
import zoneinfo

KINDS = ["circle", "square", "triangle", "star", "heart", "diamond", "cross", "ring",
         "moon", "arrow", "house", "tree", "car", "fish", "flower", "cup"]
PLURALS = [k + ("es" if k == "cross" else "s") for k in KINDS]
PLURALS[KINDS.index("fish")] = "fishes"

COLOURS = {"red": (222, 42, 42), "orange": (246, 142, 30), "yellow": (246, 214, 40), "green": (44, 160, 66),
           "blue": (44, 92, 214), "purple": (138, 58, 182), "pink": (246, 134, 180), "black": (28, 28, 32)}
COLOUR_NAMES = list(COLOURS)
BACKGROUNDS = {"white": (255, 255, 255), "gray": (196, 198, 202), "light blue": (200, 226, 248),
               "beige": (243, 232, 208)}
BACKGROUND_NAMES = list(BACKGROUNDS)

GLYPHS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
GLYPH_ID = {g: i for i, g in enumerate(GLYPHS)}
FONTS = ["dejavu/DejaVuSans-Bold.ttf", "dejavu/DejaVuSans.ttf", "liberation/LiberationSans-Bold.ttf",
         "dejavu/DejaVuSansMono-Bold.ttf"]
FONT_ROOT = "/usr/share/fonts/truetype/"
WORD_LIST = "/usr/share/dict/american-english"  # Debian package wamerican (SCOWL)

NUMBER_WORDS = ["no", "a", "two", "three", "four", "five"]
COORD_MAX = 336  # integers 0..COORD_MAX are single answer tokens

_RUDE = re.compile(r"fuck|shit|cunt|nigg|fag|rape|slut|whore|cock|dick|piss|tit|ass|nazi|porn|sex|anal|homo|spic|kike|"
                   r"coon|dyke|bitch|damn|hell|crap|arse|wank|penis|vagin|bastard|turd|cum|jew|negro", re.I)


def is_held_out(word):
    """One word in sixteen is never seen in training."""
    return zlib.crc32(word.lower().encode()) % 16 == 0


@functools.cache
def dictionary():
    """(train words, held-out words) of 2..7 lower-case ASCII letters, and the same for capitalised names."""
    words, names = [], []
    with open(WORD_LIST, encoding="utf-8") as f:
        for line in f:
            w = line.strip()
            if _RUDE.search(w) or not w.isascii() or not w.isalpha():
                continue
            if w.islower() and 2 <= len(w) <= 7:
                words.append(w)
            elif w[0].isupper() and w[1:].islower() and 4 <= len(w) <= 11:
                names.append(w)
    split = lambda xs: ([x for x in xs if not is_held_out(x)], [x for x in xs if is_held_out(x)])
    return split(words), split(names)


@functools.cache
def cities():
    """(train, held-out) city names from the time zone database."""
    found = set()
    for zone in zoneinfo.available_timezones():
        parts = zone.split("/")
        if len(parts) > 1 and parts[0] in ("Africa", "America", "Asia", "Europe", "Australia", "Pacific", "Atlantic"):
            name = parts[-1].replace("_", " ")
            if name.isascii() and name.replace(" ", "").isalpha() and not name.isupper() and len(name) > 3:
                found.add(name)
    known = set(CAPITALS.values()) | set(TOWNS)
    test = sorted(n for n in found if zlib.crc32(n.encode()) % 5 == 0 and n not in known)
    held = set(test)
    train = sorted(n for n in found - known if n not in held) + sorted(known)
    return train, test


TOWNS = ["San Francisco", "Boston", "Seattle", "Houston", "Dallas", "Miami", "Munich", "Hamburg", "Milan", "Naples",
         "Barcelona", "Seville", "Porto", "Lyon", "Nice", "Geneva", "Basel", "Krakow", "Osaka", "Kyoto", "Mumbai",
         "Bangalore", "Rio de Janeiro", "Salvador", "Cape Town", "Lagos", "Melbourne", "Perth", "Montreal"]

CAPITALS = {"France": "Paris", "Germany": "Berlin", "Italy": "Rome", "Spain": "Madrid", "Portugal": "Lisbon",
            "Austria": "Vienna", "Greece": "Athens", "Ireland": "Dublin", "Norway": "Oslo", "Sweden": "Stockholm",
            "Denmark": "Copenhagen", "Finland": "Helsinki", "Poland": "Warsaw", "Hungary": "Budapest",
            "Belgium": "Brussels", "the Netherlands": "Amsterdam", "Switzerland": "Bern", "England": "London",
            "Russia": "Moscow", "Japan": "Tokyo", "China": "Beijing", "India": "New Delhi", "Brazil": "Brasilia",
            "Canada": "Ottawa", "Mexico": "Mexico City", "Egypt": "Cairo", "Kenya": "Nairobi", "Peru": "Lima",
            "Australia": "Canberra", "Argentina": "Buenos Aires", "Turkey": "Ankara", "Iceland": "Reykjavik"}
