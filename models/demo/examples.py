"""Draws the example images of the demo command from the held-out generator: `examples.py OUT_DIR`.

The images show scenes that training never used (seeds and words of the held-out side); answers beside them are the truth,
not what the model says.
"""
import json
import os
import sys

import numpy as np

import heldout
import scenes
import talk
from vocabulary import COLOUR_NAMES, KINDS

SCALE = 2.0  # files are 448 px wide: the product's resize is part of the demonstration


def thing(kind, colour, x, y, size):
    aspect = scenes._ASPECT.get(kind, 1.0) ** 0.5
    w, h = round(size * aspect), round(size / aspect)
    return scenes.Thing(KINDS.index(kind), COLOUR_NAMES.index(colour), (x, y, x + w, y + h))


def chosen():
    """Four scenes, composed by hand; words are from the held-out side of the dictionary."""
    street = scenes.Scene((8, 8), 2, [thing("house", "red", 18, 60, 88), thing("tree", "green", 136, 66, 92),
                                      thing("car", "blue", 40, 176, 56)])
    shapes = scenes.Scene((6, 9), 0, [thing("star", "yellow", 24, 22, 64), thing("heart", "pink", 150, 30, 70),
                                      thing("circle", "purple", 84, 96, 60), thing("arrow", "orange", 174, 112, 56)])
    stars = scenes.Scene((8, 8), 3, [thing("star", "yellow", 18, 20, 56), thing("star", "yellow", 128, 34, 58),
                                     thing("star", "yellow", 40, 118, 60), thing("star", "yellow", 144, 144, 52)])
    words = [w for w in talk.dictionary()[0][1] if len(w) == 5]
    sign = scenes.Scene((6, 9), 0, [thing("cup", "green", 176, 76, 62)],
                        [scenes.set_word(words[len(words) // 2].upper(), 0, 34, (20, 20, 24), 24, 34.0),
                         scenes.set_word("2407", 0, 34, (20, 20, 24), 24, 84.0)])
    out = {"street": street, "shapes": shapes, "stars": stars, "sign": sign}
    for s in out.values():
        scenes._sort(s)
    return out


def main():
    out = sys.argv[1]
    os.makedirs(out, exist_ok=True)
    rng, truth = np.random.default_rng(heldout.SEED - 1), {}
    for name, scene in chosen().items():
        with open(os.path.join(out, name + ".png"), "wb") as f:
            f.write(heldout.png(scenes.render(scene, rng, scale=SCALE, noise=0)))
        truth[name + ".png"] = {"frame": [scene.width, scene.height], "describe": "".join(p[0] for p in talk.describe(scene)),
                                "things": [{"bbox_2d": list(t.box), "label": talk.thing_name(scene, i)} for i, t in enumerate(scene.things)],
                                "words": [w.text for w in scene.words]}
    with open(os.path.join(out, "truth.json"), "w", encoding="utf-8") as f:
        json.dump(truth, f, indent=1)
        f.write("\n")


if __name__ == "__main__":
    main()
