"""Writes tests/golden/images: small encoded pictures, and what Pillow makes of them.

Run by hand after a change of the cases (see tests/golden/images/README.md); the C++ tests read the
result. Pictures are made from a formula, so that the same script gives the same files again as long as
the encoders do; expectations are FNV-1a hashes of RGB bytes.
"""

import io
import json
import pathlib
import shutil
import struct
import subprocess
import sys
import zlib

import numpy as np
import PIL
from PIL import Image, ImageOps, features

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden" / "images"


def fnv1a(data: bytes) -> str:
    value = 0xCBF29CE484222325
    for byte in data:
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


def noise(width: int, height: int, channels: int, seed: int) -> np.ndarray:
    """[height, width, channels] u8 of a 32-bit linear congruential generator; resize_test.cc has the same."""
    values, state = bytearray(), seed
    for _ in range(width * height * channels):
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
        values.append(state >> 24)
    return np.frombuffer(bytes(values), np.uint8).reshape(height, width, channels)


def waves(width: int, height: int, channels: int) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    planes = [128 + 90 * np.sin(x * (0.21 + 0.05 * c) + y * 0.13) + 30 * ((x // 5 + y // 7 + c) % 2) for c in range(channels)]
    return np.clip(np.stack(planes, -1), 0, 255).astype(np.uint8)


def reference(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    image = ImageOps.exif_transpose(image)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGB", image.size, (255, 255, 255))
        white.paste(image, mask=image.getchannel("A"))
        image = white
    return image.convert("RGB")


class Cases:
    def __init__(self) -> None:
        self.rows: list[dict] = []

    def add(self, name: str, data: bytes, rgb: np.ndarray | None = None) -> None:
        """rgb replaces Pillow's answer where ocelli differs on purpose."""
        (OUT / name).write_bytes(data)
        pixels = np.asarray(reference(data)) if rgb is None else rgb
        height, width, _ = pixels.shape
        self.rows.append({"file": name, "width": width, "height": height, "fnv1a": fnv1a(pixels.tobytes())})


def encode(image: Image.Image, kind: str, **options) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def orientation(value: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


def jpegs(cases: Cases) -> None:
    picture = Image.fromarray(waves(65, 67, 3))
    for quality, sampling in [(10, "4:2:0"), (50, "4:2:2"), (75, "4:2:0"), (90, "4:4:4"), (95, "4:2:2"), (100, "4:2:0")]:
        name = f"q{quality}_{sampling.replace(':', '')}"
        cases.add(f"{name}.jpg", encode(picture, "JPEG", quality=quality, subsampling=sampling))
        cases.add(f"{name}_progressive.jpg", encode(picture, "JPEG", quality=quality, subsampling=sampling, progressive=True))
    for width, height in [(1, 1), (2, 3), (3, 2), (4, 5), (5, 4), (6, 17), (17, 6), (16, 16), (33, 9)]:
        image = Image.fromarray(noise(width, height, 3, width * 100 + height))
        cases.add(f"edge_{width}x{height}.jpg", encode(image, "JPEG", quality=92, subsampling="4:2:0"))
        cases.add(f"edge_{width}x{height}_422.jpg", encode(image, "JPEG", quality=92, subsampling="4:2:2"))
    cases.add("restart.jpg", encode(picture, "JPEG", quality=80, restart_marker_blocks=3))
    cases.add("restart_progressive.jpg", encode(picture, "JPEG", quality=80, restart_marker_rows=1, progressive=True))
    cases.add("grey.jpg", encode(picture.convert("L"), "JPEG", quality=85))
    cases.add("grey_progressive.jpg", encode(picture.convert("L"), "JPEG", quality=85, progressive=True))
    cases.add("rgb_adobe.jpg", encode(picture, "JPEG", quality=85, keep_rgb=True))
    ink = encode(Image.fromarray(waves(40, 30, 4), "CMYK"), "JPEG", quality=85)
    cases.add("cmyk.jpg", ink)
    transform = ink.index(b"Adobe") + 11
    cases.add("ycck.jpg", ink[:transform] + b"\2" + ink[transform + 1 :])
    cases.add("cmyk_no_adobe.jpg", ink[: transform - 15] + ink[transform + 1 :])
    ppm = b"P6 65 67 255\n" + np.asarray(picture).tobytes()
    for sampling in ["1x2", "4x1", "1x4", "4x2", "2x2,1x2,2x1", "1x1,2x2,2x2"]:
        data = subprocess.run(["cjpeg", "-quality", "85", "-sample", sampling], input=ppm, capture_output=True, check=True).stdout
        cases.add(f"sample_{sampling.replace(',', '_')}.jpg", data)
    small = Image.fromarray(waves(20, 12, 3))
    for value in range(1, 9):
        cases.add(f"exif_{value}.jpg", encode(small, "JPEG", quality=90, exif=orientation(value)))


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def png(width: int, height: int, color: int, depth: int, interlaced: bool, between: bytes = b"", piece: int = 0) -> bytes:
    """A PNG of pseudo-random samples whose rows go through all five filters."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color]
    passes = ADAM7 if interlaced else [(0, 0, 1, 1)]
    raw, seed = b"", color * 100 + depth
    for x, y, step_x, step_y in passes:
        columns, rows = (width - x + step_x - 1) // step_x, (height - y + step_y - 1) // step_y
        if columns <= 0:
            continue
        row_bytes = (columns * channels * depth + 7) // 8
        for row in range(max(rows, 0)):
            raw += bytes([row % 5]) + noise(row_bytes, 1, 1, seed := seed + 1).tobytes()
    packed = zlib.compress(raw)
    pieces = [packed[i : i + piece] for i in range(0, len(packed), piece)] if piece else [packed]
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, int(interlaced))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + between + b"".join(chunk(b"IDAT", p) for p in pieces) + chunk(b"IEND", b"")


def pngs(cases: Cases) -> None:
    for color, depths in {0: [1, 2, 4, 8], 2: [8, 16], 3: [1, 2, 4, 8], 4: [8, 16], 6: [8, 16]}.items():
        for depth in depths:
            for interlaced in [False, True]:
                between = b""
                if color == 3:
                    between = chunk(b"PLTE", noise(1 << depth, 1, 3, 9).tobytes())
                    if interlaced:
                        between += chunk(b"tRNS", noise(max(1, (1 << depth) // 2), 1, 1, 5).tobytes())
                name = f"color{color}_{depth}{'_interlaced' if interlaced else ''}.png"
                cases.add(name, png(13, 11, color, depth, interlaced, between, piece=50 if interlaced else 0))
    cases.add("short_palette.png", png(13, 11, 3, 4, False, chunk(b"PLTE", noise(5, 1, 3, 2).tobytes())))
    cases.add("key_grey.png", png(13, 11, 0, 8, False, chunk(b"tRNS", b"\0" + noise(1, 1, 1, 9).tobytes())))
    key = noise(39, 1, 1, 209)[0, :3, 0]
    cases.add("key_rgb.png", png(13, 11, 2, 8, False, chunk(b"tRNS", b"".join(b"\0" + bytes([v]) for v in key))))
    for value in range(1, 9):
        exif = b"MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1" + struct.pack(">H", value) + b"\0\0\0\0\0\0"
        cases.add(f"exif_{value}.png", png(7, 4, 2, 8, False, chunk(b"eXIf", exif)))
    grey = (noise(9, 7, 1, 1)[..., 0].astype(np.uint16) << 8) | noise(9, 7, 1, 2)[..., 0]
    high = np.repeat((grey >> 8).astype(np.uint8)[..., None], 3, -1)
    cases.add("grey_16.png", encode(Image.fromarray(grey), "PNG"), high)


def others(cases: Cases) -> None:
    picture = Image.fromarray(waves(37, 23, 3))
    few = picture.quantize(20)
    for interlaced in [0, 1]:
        cases.add(f"palette{interlaced}.gif", encode(few, "GIF", interlace=interlaced))
        cases.add(f"transparent{interlaced}.gif", encode(few, "GIF", interlace=interlaced, transparency=3))
    cases.add("grey.gif", encode(picture.convert("L"), "GIF"))
    frames = [Image.fromarray(noise(16, 12, 3, seed)) for seed in range(3)]
    cases.add("animated.gif", encode(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    moved = bytearray(encode(few, "GIF", transparency=2))
    at = moved.index(b"\x2c\0\0\0\0" + struct.pack("<HH", 37, 23))
    moved[at + 1 : at + 5] = struct.pack("<HH", 5, 3)
    moved[6:10] = struct.pack("<HH", 39, 40)
    cases.add("frame_beyond_screen.gif", bytes(moved))

    for mode in ["1", "L", "RGB", "RGBA"]:
        cases.add(f"mode_{mode}.bmp", encode(picture.convert(mode), "BMP"))
    cases.add("mode_P.bmp", encode(few, "BMP"))
    for name, bits, compression, masks, height in [
        ("555", 16, 0, (), 5), ("565", 16, 3, (0xF800, 0x7E0, 0x1F), 5), ("32", 32, 0, (), 5), ("top_down", 24, 0, (), -5),
        ("alpha", 32, 3, (0xFF0000, 0xFF00, 0xFF, 0xFF000000), 5)]:
        data = noise((9 * bits + 31) // 32 * 4 * 5, 1, 1, bits).tobytes()
        extra = struct.pack(f"<{len(masks)}I", *masks)
        header_bytes = 56 if len(masks) == 4 else 40
        at = 54 + len(extra)
        cases.add(f"{name}.bmp", b"BM" + struct.pack("<IHHI", at + len(data), 0, 0, at)
                  + struct.pack("<IiiHHIIiiII", header_bytes, 9, height, 1, bits, compression, len(data), 0, 0, 0, 0) + extra + data)
    runs = {8: b"\5\7\0\4\1\2\3\4\0\0" + b"\0\3\x09\x08\x07\0\2\6\0\0" + b"\0\2\2\0\7\1\0\0\0\1",
            4: b"\5\x7a\0\4\x12\x34\0\0" + b"\0\3\x98\x70\2\x6b\0\0" + b"\0\2\2\0\7\x1c\0\0\0\1"}
    for bits, data in runs.items():
        palette = noise(1 << bits, 1, 4, bits).tobytes()
        at = 54 + len(palette)
        cases.add(f"rle{bits}.bmp", b"BM" + struct.pack("<IHHI", at + len(data), 0, 0, at)
                  + struct.pack("<IiiHHIIiiII", 40, 9, 3, 1, bits, {8: 1, 4: 2}[bits], len(data), 0, 0, 1 << bits, 0) + palette + data)

    clear = Image.fromarray(np.concatenate([waves(37, 23, 3), noise(37, 23, 1, 3)], -1))
    for name, image in [("rgb", picture), ("rgba", clear)]:
        cases.add(f"{name}_lossless.webp", encode(image, "WEBP", lossless=True, exact=True))
        cases.add(f"{name}_lossy.webp", encode(image, "WEBP", quality=60, exif=orientation(6)))
    cases.add("animated.webp", encode(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True))


def resizes() -> list[dict]:
    sizes = [(8, 1, 5, 1), (1, 1, 28, 28), (1, 200, 28, 196), (100, 100, 112, 112), (65, 67, 56, 56), (200, 90, 196, 84),
             (90, 200, 84, 196), (30, 300, 28, 56), (300, 30, 28, 28), (40, 40, 56, 28), (40, 40, 28, 56), (57, 31, 57, 28),
             (57, 31, 28, 31), (57, 31, 57, 31), (50, 93, 40, 73), (50, 93, 40, 72), (640, 5, 84, 28), (3, 5, 280, 252)]
    seed = 1
    for _ in range(42):
        seed = (seed * 1664525 + 1013904223) & 0xFFFFFFFF
        sizes.append((1 + (seed >> 8) % 90, 1 + (seed >> 14) % 90, 1 + (seed >> 20) % 90, 1 + (seed >> 25) % 90))
    rows = []
    for width, height, to_width, to_height in sizes:
        image = Image.fromarray(noise(width, height, 3, width * 1000 + height))
        resized = image.resize((to_width, to_height), Image.Resampling.BICUBIC)
        rows.append({"from": [width, height], "to": [to_width, to_height], "fnv1a": fnv1a(np.asarray(resized).tobytes())})
    return rows


def main() -> int:
    if shutil.which("cjpeg") is None:
        print("cjpeg is missing: install libjpeg-turbo-progs", file=sys.stderr)
        return 1
    OUT.mkdir(parents=True, exist_ok=True)
    for old in OUT.iterdir():
        if old.suffix in (".jpg", ".png", ".gif", ".bmp", ".webp"):
            old.unlink()
    cases = Cases()
    jpegs(cases)
    pngs(cases)
    others(cases)
    lines = {"pillow": PIL.__version__, "libjpeg_turbo": features.version("libjpeg_turbo"), "webp": features.version("webp")}
    text = json.dumps(lines)[:-1]
    for name, rows in {"images": cases.rows, "resizes": resizes()}.items():
        text += f', "{name}": [\n' + ",\n".join(json.dumps(row) for row in rows) + "\n]"
    (OUT / "expected.json").write_text(text + "}\n")
    total = sum(path.stat().st_size for path in OUT.iterdir())
    print(f"{len(cases.rows)} images, {total} bytes in {OUT}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
