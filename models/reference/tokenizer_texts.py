"""Texts that try a Qwen2.5 tokenizer: made from a seed, shared by the fixture and the wide comparison.

texts(seed, count) yields byte strings; some are not valid UTF-8, and some spell added tokens.
"""
import random
import unicodedata

VECTORS = [  # specification 6.5 and what it takes to break a hand-written splitter
    "Hello, world! 123", "\n", "\n\n", "\r\n\r\n", "  \n", "   x", "hello   world  ", "a\tb", "你好,世界。", "été",
    "e\u0301te\u0301", "\U0001F600", "don't DON'T I'LL", "3.14159", "x=[1,2];\n", "it’s", "\u00a0x", "'\u017f",
    "ｆｕｌｌ", "١٢٣", "नमस्ते", "\U0001F1EB\U0001F1F7", "Ω≈ç√", '{"bbox_2d": [12, 34, 560, 781], "label": "cat"}',
    "```json\n", "", " ", "  ", "\t\n \r x", " \u3000 \n\u2028x", "'RE'Ve'lL'D'm", "''s 's'", "'ſſ", "a'S", "a 's",
    " '", "'", "\r", " \r \n ", "\n a", "\n  a", "a  ", "a \n", "!!\r\n\r\nx", " !!", "  !!", "\t!!", "\ta", "\na",
    "1a2b", " 1", "①②Ⅻ½", "\u0301", "a\u0301\u0323", "a\u0323\u0301", "\u1100\u1161\u11a8", "\uac00\u11a8", "\ufb01",
    "\u2126\u212a\u212b", "\u0344", "\u0958", "\u2adc", "\U0001d15e", "\ufeffx", "\u200b", "a\u200db", "\u0085x",
    "\x1c\x1d", "\x00", "\x7f", "👩‍👩‍👧‍👦", "👍🏽", "<|im_start|>user", "a<|im_end|>\n<|im_end|>", "<tool_call>{}</tool_call>",
    "<|im_start", "<|im_start|<|im_end|>", " <|endoftext|> ", "<tool_response>x</tool_response>", "\u1e9b\u0323",
    "q\u0307\u0323", "\u0f71\u0f72\u0f74", "ﷺ", "\u0f43", "\U00011938", "\U00011935\U00011930", "\u07fd\u0301",
    "\U000105d2\u0307", "\u1c8a", "\U00013460", "\U0001ccf1", "a" * 70, "ab" * 60, " " * 50, "=" * 80, "\n" * 40,
    "你" * 50, "\u0301\u0323" * 30, "a" + "\u0345\u0301\u0323\u0334" * 12,
]

RAW = [b"\xff", b"a\xc3", b"\xe2\x82", b"\xf0\x9f\x98", b"\xed\xa0\x80x", b"\xc0\xaf", b"\xf4\x90\x80\x80", b"\xe0\x80\x80",
       b"\xf8\x88\x80\x80\x80", b"a\xe2\x28\xa1b", b"\x80\x80", b"\xf0\x28\x8c\xbc", b"ok\xc3\x28<|im_end|>\xfe"]

POOLS = [
    "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789", " ", " \t\n\r", "\r\n", ".,;:!?-_()[]{}\"'`",
    "'stremvdlSTREMVDLſ ", "äöüßéèêñçøåæœ", "абвгдежзийклмн", "αβγδεζηθ", "\u0300\u0301\u0302\u0308\u0323\u0327\u0331\u0345",
    "你好世界中文字日本語の", "한국어\u1100\u1161\u11a8\u11a9", "١٢٣٤०१२३", "ก็ิีึืุูเแโ", "नमस्तेिीुू", "שלום\u05b0\u05b1\u05bc", "مرحبا\u064b\u064c",
    "😀😂👍🏽\u200d❤️🇫🇷", "\u00a0\u1680\u2000\u2003\u2009\u2028\u2029\u202f\u205f\u3000\u0085\x0b\x0c", "\x00\x01\x1b\x1c\x1f\x7f\u200b\ufeff",
    "①Ⅻ½²³¼〇㊿", "ﬁﬂﬀﷺ㎏℡", "+-*/=<>&|^%$#@~\\", "ÅΩK\u212b\u2126\u212a", "\u0958\u0f43\u2adc\U0001d15e\ufb1d",
]

WORDS = ("the of and to in is it that for was on are as with his they at be this have from or had by word but what some "
         "can out other were all there when up use your how said an each she def return import class function "
         "const let var if else while print self None true false null json http www com image box point "
         "Straße café naïve façade Zürich Москва привет 東京 日本 こんにちは 안녕하세요 مرحبا שלום नमस्ते").split()


def any_char(rng):
    while True:
        c = rng.choice((rng.randrange(0x80), rng.randrange(0x800), rng.randrange(0x10000), rng.randrange(0x20000),
                        rng.randrange(0x110000)))
        if not 0xD800 <= c < 0xE000:
            return chr(c)


def one(rng):
    kind = rng.randrange(8)
    length = rng.choice((1, 2, 3, 5, 8, 13, 21, 40))
    if kind == 0:
        return "".join(rng.choice(rng.choice(POOLS)) for _ in range(length))
    if kind == 1:  # runs
        return "".join(rng.choice(pool) for pool in rng.choices(POOLS, k=4) for _ in range(rng.randrange(1, 7)))
    if kind == 2:
        return "".join(any_char(rng) for _ in range(length))
    if kind == 3:
        return "".join(rng.choice(WORDS) + rng.choice((" ", "  ", ", ", "\n", "'s ", ". ", "_", "\r\n", "\t", "")) for _ in range(length))
    if kind == 4:
        text = "".join(rng.choice(WORDS + list("éñ한각")) + rng.choice(POOLS[11]) for _ in range(length))
        return unicodedata.normalize(rng.choice(("NFC", "NFD", "NFKD")), text)
    if kind == 5:
        added = ("<|im_start|>", "<|im_end|>", "<tool_call>", "</tool_call>", "<|image_pad|>", "<|endoftext|>", "<|im_", "end|>")
        return "".join(rng.choice(added) if rng.random() < 0.4 else rng.choice(rng.choice(POOLS)) for _ in range(length))
    if kind == 6:  # spacing and newlines between everything
        return "".join(rng.choice((" ", "\n", "\r", "\t", "\u3000", "\u2028", "a", "1", "!", "'", "é", "\u0301")) for _ in range(length))
    return "".join(rng.choice("abcdefgh ") * rng.randrange(1, 30) for _ in range(3))


def texts(seed, count):
    rng = random.Random(seed)
    yield from (text.encode() for text in VECTORS)
    yield from RAW
    for i in range(count):
        data = one(rng).encode()
        if i % 12 == 11 and data:  # damage a few
            spoiled = bytearray(data)
            for _ in range(rng.randrange(1, 4)):
                spoiled[rng.randrange(len(spoiled))] = rng.randrange(256)
            data = bytes(spoiled)
        yield data
