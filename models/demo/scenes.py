"""Scenes: layout of objects and words, the vector renderer, and the dense labels that training uses.

A scene lives in the pixel frame the model sees (sides are multiples of 28); `render` draws it at 1-3x and resizes it with
Pillow's bicubic, as a larger image from a user would be. `labels` needs no pixels: the language model can be trained on
them alone (oracle features). One unit is 28 x 28 px, one image token.
"""
import functools
import math
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vocabulary import (BACKGROUND_NAMES, BACKGROUNDS, COLOUR_NAMES, COLOURS, FONT_ROOT, FONTS, GLYPH_ID, GLYPHS, KINDS,
                        dictionary)

UNIT = 28
GRIDS = [(8, 8), (6, 9), (9, 6), (6, 10), (7, 7)]  # units high, wide
GRID_WEIGHTS = [0.52, 0.16, 0.12, 0.1, 0.1]
SLOTS = 3  # glyphs kept per unit


@dataclass
class Thing:
    kind: int
    colour: int
    box: tuple  # x1, y1, x2, y2 in px, exclusive right and bottom edges

    def centre_unit(self, wide):
        x, y = (self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2
        return int(y // UNIT) * wide + int(x // UNIT)


@dataclass
class Word:
    text: str
    font: int
    size: int
    ink: tuple
    x: float
    y: float  # top of the capitals
    glyph_boxes: list = field(default_factory=list)  # one (x1, y1, x2, y2) per character


@dataclass
class Scene:
    grid: tuple
    background: int
    things: list = field(default_factory=list)
    words: list = field(default_factory=list)

    @property
    def width(self):
        return self.grid[1] * UNIT

    @property
    def height(self):
        return self.grid[0] * UNIT


# ---------------------------------------------------------------------------------------------- shapes
def _star(points=5, inner=0.42):
    raw = [(math.sin(math.pi * i / points) * (1 if i % 2 == 0 else inner),
            -math.cos(math.pi * i / points) * (1 if i % 2 == 0 else inner)) for i in range(2 * points)]
    return _fit(raw)


def _fit(raw):
    xs, ys = [p[0] for p in raw], [p[1] for p in raw]
    return [((x - min(xs)) / (max(xs) - min(xs)), (y - min(ys)) / (max(ys) - min(ys))) for x, y in raw]


def _heart():
    return _fit([(16 * math.sin(t) ** 3, -(13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)))
                 for t in np.linspace(0, 2 * math.pi, 48)])


def _moon():
    outer = [(math.cos(t), math.sin(t)) for t in np.linspace(math.radians(50), math.radians(310), 40)]
    ex, ey = outer[-1]
    inner = [(0.5 + 0.78 * math.cos(t), 0.78 * math.sin(t)) for t in np.linspace(math.radians(280), math.radians(80), 30)]
    return _fit(outer + inner)


def _dark(c, f=0.6):
    return tuple(int(v * f) for v in c)


_POLYGONS = {
    "square": [(0, 0), (1, 0), (1, 1), (0, 1)], "triangle": [(0.5, 0), (1, 1), (0, 1)], "star": _star(),
    "heart": _heart(), "diamond": [(0.5, 0), (1, 0.5), (0.5, 1), (0, 0.5)],
    "cross": [(.33, 0), (.67, 0), (.67, .33), (1, .33), (1, .67), (.67, .67), (.67, 1), (.33, 1), (.33, .67), (0, .67),
              (0, .33), (.33, .33)],
    "moon": _moon(), "arrow": [(0, .3), (.55, .3), (.55, 0), (1, .5), (.55, 1), (.55, .7), (0, .7)]}
# width / height of the box; the default is 1
_ASPECT = {"moon": 0.8, "arrow": 1.3, "car": 1.7, "fish": 1.6, "tree": 0.8, "heart": 1.1, "diamond": 0.85}


def _draw_thing(draw, name, rgb, paper, box):
    """Draws one object so that its ink touches all four sides of `box` (float px of the canvas)."""
    x1, y1, x2, y2 = box
    w, h = x2 - x1, y2 - y1
    at = lambda x, y: (x1 + x * w, y1 + y * h)
    poly = lambda pts, c=rgb: draw.polygon([at(*p) for p in pts], fill=c)
    oval = lambda a, b, c, d, col=rgb: draw.ellipse([*at(a, b), *at(c, d)], fill=col)
    rect = lambda a, b, c, d, col=rgb: draw.rectangle([*at(a, b), *at(c, d)], fill=col)
    if name in _POLYGONS:
        poly(_POLYGONS[name])
    elif name == "circle":
        oval(0, 0, 1, 1)
    elif name == "ring":
        oval(0, 0, 1, 1)
        oval(.27, .27, .73, .73, paper)
    elif name == "house":
        rect(.1, .42, .9, 1)
        poly([(0, .45), (.5, 0), (1, .45)], _dark(rgb))
        rect(.4, .65, .6, 1, (250, 246, 230))
    elif name == "tree":
        rect(.41, .6, .59, 1, (120, 76, 40))
        oval(0, 0, 1, .72)
    elif name == "car":
        rect(0, .4, 1, .8)
        poly([(.2, .42), (.32, 0), (.7, 0), (.84, .42)])
        poly([(.3, .4), (.38, .12), (.64, .12), (.74, .4)], (226, 240, 250))
        oval(.12, .62, .36, 1, (50, 50, 54))
        oval(.64, .62, .88, 1, (50, 50, 54))
    elif name == "fish":
        oval(0, 0, .76, 1)
        poly([(.62, .5), (1, .04), (1, .96)])
        oval(.14, .3, .25, .46, (255, 255, 255))
    elif name == "flower":
        for k in range(5):
            cx, cy = .5 + .29 * math.sin(k * 2 * math.pi / 5), .5 - .29 * math.cos(k * 2 * math.pi / 5)
            oval(cx - .22, cy - .22, cx + .22, cy + .22)
        oval(.36, .36, .64, .64, (255, 244, 150) if rgb != COLOURS["yellow"] else (150, 90, 30))
    elif name == "cup":
        oval(.5, .16, 1, .72)
        oval(.62, .29, .88, .59, paper)
        poly([(0, 0), (.76, 0), (.68, 1), (.08, 1)])
    else:
        raise ValueError(f"unknown kind {name}")


# ---------------------------------------------------------------------------------------------- glyph metrics
@functools.cache
def _font(index, size):
    return ImageFont.truetype(FONT_ROOT + FONTS[index], size)


@functools.cache
def _metrics(index):
    """Per font, in em: advances of the glyphs and a space, top of the capitals below the drawing origin, cap height."""
    f = _font(index, 1000)
    top, bottom = f.getbbox("H")[1] / 1000, f.getbbox("H")[3] / 1000
    return {g: f.getlength(g) / 1000 for g in GLYPHS}, top, bottom - top


def set_word(text, font, size, ink, x, y):
    advance, _, cap = _metrics(font)
    word, at = Word(text, font, size, ink, x, y), x
    for g in text:
        word.glyph_boxes.append((at, y, at + advance[g] * size, y + cap * size))
        at += advance[g] * size
    return word


def word_extent(text, font, size):
    advance, _, cap = _metrics(font)
    return sum(advance[g] for g in text) * size, cap * size


# ---------------------------------------------------------------------------------------------- layout
def _inks(rng):
    return (20, 20, 24) if rng.random() < 0.6 else COLOURS[("red", "blue", "green", "purple", "black")[rng.integers(5)]]


def random_text(rng, held_out=False, longest=6):
    """A word to draw: dictionary word, digits, or (training only) a random string."""
    u = rng.random()
    if u < (0.65 if held_out else 0.42):
        pool = dictionary()[0][1 if held_out else 0]
        while True:
            w = pool[rng.integers(len(pool))]
            if len(w) <= longest:
                return w.upper()
    if u < (1.0 if held_out else 0.65):
        return "".join(str(d) for d in rng.integers(0, 10, rng.integers(1, 5)))
    pool = GLYPHS if rng.random() < 0.4 else GLYPHS[:26]
    return "".join(pool[i] for i in rng.integers(0, len(pool), rng.integers(2, min(longest, 6) + 1)))


def _free(box, taken, gap=5):
    return all(box[2] + gap <= t[0] or t[2] + gap <= box[0] or box[3] + gap <= t[1] or t[3] + gap <= box[1] for t in taken)


def _place(rng, w, h, scene, taken, tries=40):
    for _ in range(tries):
        if scene.width - w < 4 or scene.height - h < 4:
            return None
        x, y = int(rng.integers(2, scene.width - w - 1)), int(rng.integers(2, scene.height - h - 1))
        if _free((x, y, x + w, y + h), taken):
            return x, y
    return None


def _add_thing(rng, scene, taken, kind, colour, low, high):
    size = rng.uniform(low, high)
    aspect = _ASPECT.get(KINDS[kind], 1.0) ** 0.5
    w, h = max(26, round(size * aspect)), max(26, round(size / aspect))
    spot = _place(rng, w, h, scene, taken)
    if spot is None:
        return False
    box = (spot[0], spot[1], spot[0] + w, spot[1] + h)
    scene.things.append(Thing(int(kind), int(colour), box))
    taken.append(box)
    return True


def _add_words(rng, scene, taken, texts):
    font, size, ink = int(rng.integers(len(FONTS))), int(rng.integers(30, 43)), _inks(rng)
    extents = [word_extent(t, font, size) for t in texts]
    gap = 0.45 * size
    line = len(texts) == 1 or (rng.random() < 0.4 and sum(e[0] for e in extents) + gap < scene.width - 8)
    while max(e[0] for e in extents) > scene.width - 8 and size > 28:
        size -= 1
        extents = [word_extent(t, font, size) for t in texts]
    if max(e[0] for e in extents) > scene.width - 8:
        return False
    cap = extents[0][1]
    if line:
        w, h = sum(e[0] for e in extents) + gap * (len(texts) - 1), cap
    else:
        pitch = cap * rng.uniform(1.5, 2.0)
        w, h = max(e[0] for e in extents), cap + pitch * (len(texts) - 1)
    spot = _place(rng, math.ceil(w), math.ceil(h), scene, taken)
    if spot is None:
        return False
    x, y = spot[0], float(spot[1])
    left = x
    for t, e in zip(texts, extents):
        scene.words.append(set_word(t, font, size, ink, x, y))
        if line:
            x += e[0] + gap
        else:
            y += pitch
            x = left
    taken.append((spot[0], spot[1], spot[0] + math.ceil(w), spot[1] + math.ceil(h)))
    return True


def make_scene(rng, style, grid, held_out=False):
    """style: objects (1-4 different things), count (1-5 alike, perhaps others), text (1-2 words), mixed."""
    background = 0 if rng.random() < 0.45 else int(rng.integers(len(BACKGROUNDS)))
    scene, taken = Scene(grid, background), []
    if style in ("text", "mixed"):
        n = 1 if style == "mixed" else 1 + (rng.random() < 0.5)
        if not _add_words(rng, scene, taken, [random_text(rng, held_out) for _ in range(n)]):
            return make_scene(rng, style, grid, held_out)
    if style in ("objects", "mixed"):
        n = int(rng.integers(1, 5)) if style == "objects" else int(rng.integers(1, 3))
        seen = set()
        while len(scene.things) < n:
            pair = (int(rng.integers(len(KINDS))), int(rng.integers(len(COLOURS))))
            if pair in seen:
                continue
            seen.add(pair)
            if not _add_thing(rng, scene, taken, *pair, 38, 96 if n < 4 else 78):
                if scene.things:
                    break
                return make_scene(rng, style, grid, held_out)
    if style == "count":
        n, kind, colour = int(rng.integers(1, 6)), int(rng.integers(len(KINDS))), int(rng.integers(len(COLOURS)))
        high = 62 if n > 3 else 76
        for _ in range(n):
            _add_thing(rng, scene, taken, kind, colour, 34, high)
        other = int(rng.integers(len(KINDS)))
        if other != kind and rng.random() < 0.4:
            _add_thing(rng, scene, taken, other, int(rng.integers(len(COLOURS))), 34, 60)
        if not scene.things:
            return make_scene(rng, style, grid, held_out)
    _sort(scene)
    return scene


def _sort(scene):
    scene.things.sort(key=lambda t: t.centre_unit(scene.grid[1]))


def make_fill(rng, grid):
    """A canvas tiled with text lines and object rows: many labels per token, for the vision tower only."""
    scene = Scene(grid, 0 if rng.random() < 0.5 else int(rng.integers(len(BACKGROUNDS))))
    y = float(rng.integers(2, 14))
    texty = rng.random() < 0.7
    while y < scene.height - 28:
        x = float(rng.integers(2, 12))
        if rng.random() < (0.9 if texty else 0.15):
            font, size, ink = int(rng.integers(len(FONTS))), int(rng.integers(26, 45)), _inks(rng)
            cap = word_extent("H", font, size)[1]
            if y + cap > scene.height - 1:
                break
            while True:
                t = random_text(rng)
                w, _ = word_extent(t, font, size)
                if x + w > scene.width - 1:
                    t, w = t[:3], word_extent(t[:3], font, size)[0]
                    if x + w > scene.width - 1:
                        break
                scene.words.append(set_word(t, font, size, ink, x, y))
                x += w + rng.uniform(0.3, 0.7) * size
            y += cap * rng.uniform(1.35, 1.9)
        else:
            tallest = 0
            while x < scene.width - 30:
                kind, size = int(rng.integers(len(KINDS))), rng.uniform(34, 84)
                a = _ASPECT.get(KINDS[kind], 1.0) ** 0.5
                w, h = max(26, round(size * a)), max(26, round(size / a))
                if x + w > scene.width - 1 or y + h > scene.height - 1:
                    break
                scene.things.append(Thing(kind, int(rng.integers(len(COLOURS))), (int(x), int(y), int(x) + w, int(y) + h)))
                tallest = max(tallest, h)
                x += w + rng.uniform(4, 16)
            y += (tallest or 30) + rng.uniform(4, 14)
    _sort(scene)
    return scene


# ---------------------------------------------------------------------------------------------- pixels
def render(scene, rng, scale=None, noise=None):
    """-> uint8 [height, width, 3]; with `scale` given, the large image itself before the resize (for example files)."""
    keep_large = scale is not None
    s = scale or (1.0, 1.5, 2.0, 2.0, 3.0)[rng.integers(5)]
    W, H = round(scene.width * s), round(scene.height * s)
    paper = tuple(int(np.clip(c + rng.integers(-6, 7), 0, 255)) for c in BACKGROUNDS[BACKGROUND_NAMES[scene.background]])
    image = Image.new("RGB", (W, H), paper)
    draw = ImageDraw.Draw(image)
    for t in scene.things:
        base = COLOURS[COLOUR_NAMES[t.colour]]
        rgb = tuple(int(np.clip(c + rng.integers(-12, 13), 0, 255)) for c in base)
        x1, y1, x2, y2 = t.box
        _draw_thing(draw, KINDS[t.kind], rgb, paper, (x1 * s, y1 * s, x2 * s - 1, y2 * s - 1))
    for w in scene.words:
        _, top, _ = _metrics(w.font)
        font = _font(w.font, max(8, round(w.size * s)))
        for g, box in zip(w.text, w.glyph_boxes):  # glyph by glyph: the labels then hold exactly
            draw.text((box[0] * s, (w.y - top * w.size) * s), g, font=font, fill=w.ink)
    if not keep_large and s != 1.0:
        image = image.resize((scene.width, scene.height), Image.BICUBIC)
    pixels = np.asarray(image)
    if noise is None:
        noise = rng.uniform(1, 7) if rng.random() < 0.2 else 0
    if noise:
        pixels = np.clip(pixels + rng.normal(0, noise, pixels.shape), 0, 255).astype(np.uint8)
    return pixels


MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
STD = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)


def patchify(pixels):
    """uint8 [B, H, W, 3] -> f32 [B, P, 588] in merge order (unit raster, 2x2 patches inside), one temporal half."""
    b, h, w, _ = pixels.shape
    x = (pixels.astype(np.float32) / 255 - MEAN) / STD
    x = x.reshape(b, h // 28, 2, 14, w // 28, 2, 14, 3).transpose(0, 1, 4, 2, 5, 7, 3, 6)
    return np.ascontiguousarray(x).reshape(b, (h // 14) * (w // 14), 588)


# ---------------------------------------------------------------------------------------------- labels
BACK, PART, CENTRE, TEXT = range(4)


def labels(scene):
    """Dense targets per unit (raster order): state, kind, colour, box [l, t, r, b] from the unit's centre in units,
    glyphs [SLOTS] (-1 none), ordinals of the object (of all, of its kind and colour, of its kind) and of the unit's first glyph, the glyph read before that one; per patch
    (merge order): glyph."""
    gh, gw = scene.grid
    n = gh * gw
    out = {"state": np.zeros(n, np.int64), "kind": np.full(n, -1), "colour": np.full(n, -1),
           "box": np.zeros((n, 4), np.float32), "glyph": np.full((n, SLOTS), -1), "rank": np.full(n, -1),
           "alike": np.full(n, -1), "same": np.full(n, -1), "place": np.full(n, -1), "before": np.full(n, -1),
           "patch_glyph": np.full((gh * 2, gw * 2), -1)}
    seen = {}
    for rank, t in enumerate(scene.things):
        x1, y1, x2, y2 = t.box
        c = t.centre_unit(gw)
        for r in range(max(0, int((y1 + 14) // 28)), min(gh, int((y2 - 14) // 28) + 1)):
            for q in range(max(0, int((x1 + 14) // 28)), min(gw, int((x2 - 14) // 28) + 1)):
                _mark(out, r * gw + q, t, gw, PART)
        _mark(out, c, t, gw, CENTRE)
        seen[t.kind, t.colour] = seen.get((t.kind, t.colour), -1) + 1
        seen[t.kind] = seen.get(t.kind, -1) + 1
        out["rank"][c], out["alike"][c], out["same"][c] = rank, seen[t.kind, t.colour], seen[t.kind]
    place, before = 0, -1
    for w in scene.words:
        before = len(GLYPHS) if place else -1  # the space between words
        for g, (x1, y1, x2, y2) in zip(w.text, w.glyph_boxes):
            u = glyph_unit((x1, y1, x2, y2), scene.grid)
            out["state"][u] = TEXT
            free = np.flatnonzero(out["glyph"][u] < 0)
            if len(free):
                out["glyph"][u, free[0]] = GLYPH_ID[g]
                if free[0] == 0:
                    out["place"][u], out["before"][u] = min(place, 15), before
            place, before = place + 1, GLYPH_ID[g]
            for r in range(max(0, math.ceil((y1 - 7) / 14)), min(gh * 2, math.ceil((y2 - 7) / 14))):
                for q in range(max(0, math.ceil((x1 - 7) / 14)), min(gw * 2, math.ceil((x2 - 7) / 14))):
                    out["patch_glyph"][r, q] = GLYPH_ID[g]
    out["patch_glyph"] = out["patch_glyph"].reshape(gh, 2, gw, 2).transpose(0, 2, 1, 3).reshape(-1)
    return out


def glyph_unit(box, grid):
    gh, gw = grid
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return min(gh - 1, max(0, int(y // UNIT))) * gw + min(gw - 1, max(0, int(x // UNIT)))


def _mark(out, u, t, gw, state):
    cx, cy = (u % gw) * UNIT + 14, (u // gw) * UNIT + 14
    out["state"][u], out["kind"][u], out["colour"][u] = state, t.kind, t.colour
    out["box"][u] = ((cx - t.box[0]) / UNIT, (cy - t.box[1]) / UNIT, (t.box[2] - cx) / UNIT, (t.box[3] - cy) / UNIT)


def random_grid(rng):
    return GRIDS[rng.choice(len(GRIDS), p=GRID_WEIGHTS)]
