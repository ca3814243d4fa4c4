"""``python draw_shapes.py FOLDER``: pictures of seven shapes, a folder for each, and their split."""

import random
import sys
from pathlib import Path

from PIL import Image, ImageDraw

SPLIT = {"train": ["disc", "ring", "square"], "val": ["frame", "cross"], "test": ["triangle", "bars"]}
PICTURES = 8


def draw(shape: str, rng: random.Random) -> Image.Image:
    """A black shape somewhere on white."""
    image = Image.new("L", (32, 32), 255)
    pen, size = ImageDraw.Draw(image), rng.randint(12, 20)
    x, y = rng.randint(1, 31 - size), rng.randint(1, 31 - size)
    box, middle = (x, y, x + size, y + size), (x + size // 2, y + size // 2)
    if shape in ("disc", "ring"):
        pen.ellipse(box, fill=0 if shape == "disc" else None, outline=0, width=3)
    elif shape in ("square", "frame"):
        pen.rectangle(box, fill=0 if shape == "square" else None, outline=0, width=3)
    elif shape == "cross":
        pen.line((x, middle[1], x + size, middle[1]), fill=0, width=4)
        pen.line((middle[0], y, middle[0], y + size), fill=0, width=4)
    elif shape == "triangle":
        pen.polygon(((x, y + size), (middle[0], y), (x + size, y + size)), fill=0)
    else:
        for place in range(x, x + size, 6):
            pen.line((place, y, place, y + size), fill=0, width=2)
    return image


def main(folder: Path) -> None:
    """Draw them."""
    rng = random.Random(0)
    rows = ["class,split"]
    for split, shapes in SPLIT.items():
        for shape in shapes:
            (folder / shape).mkdir(parents=True, exist_ok=True)
            rows.append(f"{shape},{split}")
            for number in range(PICTURES):
                draw(shape, rng).save(folder / shape / f"{number}.png")
    (folder / "split.csv").write_text("\n".join(rows) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
