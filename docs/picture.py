"""Draw the pictures of the README and the pages: ``python docs/picture.py``, or with the names of some.

``reading``: the reader at work on a drawn signer, ``figures/reading.webp``. ``alphabet``: all letters by a right and a
left hand, ``figures/alphabet.png``. ``groups``: how well groups of photos are read, ``figures/groups.png``.
``notebooks``: a small picture of each notebook out of its figures, ``docs/pictures/NN.png``. ``badges``: what
pyproject.toml says of Python and the licence, ``docs/pictures/NAME.svg``.
"""

import json
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

if __name__ == "__main__":  # numbers.py beside this file would hide Python's own module of that name
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from asllib.paths import figures_dir, project_root, replacing, results_dir, write_text

BLUE, ORANGE, INK, GREY, PAPER = (0, 103, 163), (213, 94, 0), (34, 34, 34), (110, 110, 110), (255, 255, 255)

WORD, SIGNER, FPS = "HELLO", 4, 15
FRAME, BAR = (400, 300), 84  # pixels of the film, and of the text beneath
SURE = 0.5  # confidence from which the letter of the moment is shown

HAND, GAP, COLUMNS = 132, 6, 5  # pixels of a hand and between letters; letters a row
EXTENT = {"still": 0.21, "J": 0.24, "Z": 0.27}  # metres that a picture of a hand shows
# Signers turn some letters differently. These turns, (inward, edge) of scene.Signer, show the fingers best.
TURNS = {"C": (0.0, 0.8), "G": (1.0, 0.0), "H": (1.0, 0.0), "O": (0.0, 0.8), "P": (1.6, 0.0), "Q": (1.9, 0.0)}
TURNS |= {"X": (0.0, 0.5)}
CAPTION = """Seen from the front: in each pair
the right hand, then the left hand.
Orange: the way of the fingertip
in J and Z, from dot to arrow."""
TIPS = {"J": 20, "Z": 8}  # the landmark that draws the letter

# Of each notebook a figure, and the part of it that is shown: left, top, right, bottom as fractions.
SMALL_SIZE = 240, 120
SMALL = {
    "01": ("photos_by_source.png", (0.0, 0.0, 0.83, 0.49)),
    "02": ("preprocessing_steps.png", (0.0, 0.0, 1.0, 0.8)),
    "03": ("fig5_landmarks.png", (0.0, 0.0, 0.83, 0.49)),
    "04": ("fig8_all_models.png", (0.0, 0.0, 0.525, 0.68)),
    "05": ("fig8_all_models.png", (0.525, 0.0, 1.0, 0.68)),
    "06": ("unseen_people.png", (0.0, 0.0, 1.0, 0.9)),
    "07": ("synthetic/live.webp", (0.0, 0.18, 1.0, 0.99)),
    "08": ("synthetic/spelling_film.png", (0.0, 0.0, 1.0, 0.86)),
    "09": ("synthetic/own_signs_recorded.png", (0.0, 0.0, 0.6, 0.88)),
}


BADGE = """<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="20" role="img" aria-label="{name}: {value}">
<title>{name}: {value}</title>
<rect width="{width}" height="20" rx="3" fill="#0067a3"/><rect width="{left}" height="20" rx="3" fill="#444"/>
<g fill="#fff" font-family="DejaVu Sans,Verdana,sans-serif" font-size="11">
<text x="7" y="14">{name}</text><text x="{text}" y="14">{value}</text></g>
</svg>
"""


def font(size: int, bold: bool = True) -> ImageFont.FreeTypeFont:
    """DejaVu Sans as Matplotlib brings it, so that pictures do not depend on the system's fonts."""
    import matplotlib

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), size)


def read_frames(frames: np.ndarray, fps: float) -> Iterator[Image.Image]:
    """Read a film (F, H, W, 3) and draw each frame with the hand's landmarks, and the text so far beneath it."""
    from asllib.hands import draw_hand
    from asllib.read import TextReader

    reader = TextReader()
    for number, frame in enumerate(frames):
        seen = reader.read(frame, number / fps)
        drawn = draw_hand(frame, seen.hand)
        yield beneath(drawn, seen.text, seen.letter if seen.confidence >= SURE else None, seen.confidence)
    reader.finish()  # what the last frames showed
    yield beneath(drawn, reader.text, None, 0.0)


def beneath(frame: np.ndarray, text: str, letter: str | None, confidence: float) -> Image.Image:
    """A frame (H, W, 3), beneath it the text so far, to its right the letter that the hand shows now."""
    height, width = frame.shape[:2]
    page = Image.new("RGB", (width, height + BAR), PAPER)
    page.paste(Image.fromarray(frame), (0, 0))
    draw = ImageDraw.Draw(page)
    middle = height + BAR // 2
    text = text.strip()
    draw.text((16, middle), text, INK, font(48), anchor="lm")
    if text:
        end = 20 + draw.textlength(text, font(48))
        draw.line([(end, middle - 24), (end, middle + 24)], BLUE, 3)
    if letter:
        draw.text((width - 16, middle), f"{letter}  {confidence:.0%}", BLUE, font(24, bold=False), anchor="rm")
    return page


def draw_reading(word: str = WORD) -> Path:
    """Film a drawn signer who spells a word, read the film, and write what is read as a moving picture."""
    from asllib.signer import render_word

    film = render_word(word, signer=SIGNER, fps=FPS, size=FRAME)
    pages = list(read_frames(film.frames, FPS))
    path = figures_dir() / "reading.webp"
    times = [round(1000 / FPS)] * (len(pages) - 1) + [2500]
    with replacing(path) as temporary:
        rest = {"save_all": True, "append_images": pages[1:], "duration": times, "loop": 0}
        pages[0].save(temporary, "WEBP", quality=60, method=6, **rest)
    return path


def photograph_letters(side: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Every letter by one hand, seen from the front in even light.

    Returns images (26, HAND, HAND, 3) uint8, and for J and Z the way of the fingertip in its image, (N, 2) pixels.
    """
    import torch

    from asllib.letters import LETTERS
    from asllib.signer.hand import MIDDLING, hand_shape, hold
    from asllib.signer.motion import word_motion
    from asllib.signer.render import photograph
    from asllib.signer.scene import Shot, Signer, letter_poses

    habit = (0.0,) * 27
    signer = Signer("chart", MIDDLING, tone=5, tint=(1, 1, 1), side=side, habit=habit, inward=0.0, edge=0.0)
    light = {"light": (-0.35, 0.55, 0.76), "key": (0.85,) * 3, "sky": (0.5,) * 3, "ground": (0.35,) * 3}
    room = {"exposure": 1.0, "backdrop": 9, "clutter": 0.0, "sleeve": 1.0, "cloth": (0.5,) * 3}
    shot = Shot(0.0, 0.0, 0.0, 1.2, 1.0, (0.0, 0.0), **light, **room, noise=0.0, blur=0.35, quality=100)
    who = [replace(signer, inward=turn[0], edge=turn[1]) for turn in (TURNS.get(name, (0.0, 0.0)) for name in LETTERS)]
    poses = np.stack([letter_poses([one], [name], still=False)[0, 0] for one, name in zip(who, LETTERS, strict=True)])

    def shoot(poses: np.ndarray, places: np.ndarray, frame: tuple[float, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        count = len(poses)
        return photograph(poses, who[:1] * count, [shot] * count, (HAND, HAND), [0] * count, frame, places)[:2]

    def middles(poses: np.ndarray, places: np.ndarray) -> np.ndarray:
        """(B, 1, 3) metres: where the hands are; a left hand is photographed as the mirror image of a right one."""
        shapes = hand_shape([MIDDLING] * len(poses))
        joints = hold(shapes, torch.as_tensor(poses, dtype=torch.float32))[1] + places[:, None]
        joints[..., 0] *= -1 if side == "left" else 1
        return ((joints.min(1) + joints.max(1)) / 2)[:, None]

    still = np.zeros((len(poses), 3))
    images, _ = shoot(poses, still, (EXTENT["still"], middles(poses, still)))
    ways = {}
    for letter, tip in TIPS.items():
        motion = word_motion(letter)
        drawn = motion.positions == 0
        poses, places = motion.poses[drawn], motion.offsets[drawn]
        ends = middles(poses, places)
        middle = (ends.min(0) + ends.max(0))[None] / 2
        middle[..., 1] += 0.02
        pictures, landmarks = shoot(poses, places, (EXTENT[letter], middle))
        images[LETTERS.index(letter)] = pictures[0]
        ways[letter] = landmarks[:, tip, :2] * HAND
    return images, ways


def draw_arrow(draw: ImageDraw.ImageDraw, way: np.ndarray) -> None:
    """Draw a way (N, 2) in pixels with a dot where it begins and a head where it ends."""
    last = way[-1] - way[np.linalg.norm(way - way[-1], axis=1) > 8][-1]
    ahead = last / np.linalg.norm(last)
    aside = np.array([-ahead[1], ahead[0]])
    head = [tuple(way[-1] + 5 * ahead), *(tuple(way[-1] - 8 * ahead + 7 * turn * aside) for turn in (-1, 1))]
    line, begin = [tuple(point) for point in way], way[0]
    for color, more in ((PAPER, 2), (ORANGE, 0)):
        draw.line(line, color, 4 + 2 * more, joint="curve")
        draw.polygon(head, color, color, 2 * more)
        draw.ellipse([*(begin - 5 - more), *(begin + 5 + more)], color)


def draw_alphabet() -> Path:
    """Draw the chart of all letters: right hand and left hand, seen from the front."""
    from asllib.letters import LETTERS

    hands = [photograph_letters(side) for side in ("right", "left")]
    wide, high = 2 * HAND + GAP, HAND + 30
    rows = -(-len(LETTERS) // COLUMNS)
    page = Image.new("RGB", (COLUMNS * (wide + 2 * GAP), rows * (high + GAP)), PAPER)
    for place, letter in enumerate(LETTERS):
        x, y = place % COLUMNS * (wide + 2 * GAP) + GAP, place // COLUMNS * (high + GAP)
        ImageDraw.Draw(page).text((x + 2, y + 15), letter, INK, font(24), anchor="lm")
        for number, (images, ways) in enumerate(hands):
            picture = Image.fromarray(images[place])
            if letter in ways:
                draw_arrow(ImageDraw.Draw(picture), ways[letter])
            page.paste(picture, (x + number * (HAND + GAP), y + 30))
    x, y = len(LETTERS) % COLUMNS * (wide + 2 * GAP) + 2 * GAP, (rows - 1) * (high + GAP) + 40
    ImageDraw.Draw(page).text((x, y), CAPTION, GREY, font(20, bold=False), spacing=10)
    path = figures_dir() / "alphabet.png"
    with replacing(path) as temporary:
        page.quantize(200, dither=Image.Dither.NONE).save(temporary, "PNG", optimize=True)
    return path


def draw_groups() -> Path:
    """Draw how well ``default`` reads photos of validation signers, in thirds of what is measured in a picture."""
    import pandas as pd

    from asllib import plots

    found = json.loads((results_dir() / "people.json").read_text(encoding="utf-8"))["groups"]["validation"]
    rows = [
        {"name": f"{name}: {group}", "network": "default", "accuracy": one["mean"]}
        | dict(zip(("low", "high"), one["interval"], strict=True))
        for name, groups in found.items()
        for group, one in groups.items()
    ]
    path = figures_dir() / "groups.png"
    figure = plots.accuracy_bars(
        pd.DataFrame(rows), "Data: people, signers held out for validation; means over signers"
    )
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
    return path


def draw_notebooks() -> Path:
    """Cut a small picture of each notebook out of one of its figures."""
    folder = project_root() / "docs" / "pictures"
    folder.mkdir(exist_ok=True)
    for number, (figure, part) in SMALL.items():
        picture = Image.open(figures_dir() / figure)
        picture.seek(getattr(picture, "n_frames", 1) // 2)
        whole = np.array(picture.size * 2) * part
        small = picture.convert("RGB").crop(tuple(whole.astype(int)))
        small.thumbnail(SMALL_SIZE, Image.Resampling.LANCZOS)
        page = Image.new("RGB", SMALL_SIZE, PAPER)
        page.paste(small, ((SMALL_SIZE[0] - small.width) // 2, (SMALL_SIZE[1] - small.height) // 2))
        with replacing(folder / f"{number}.png") as temporary:
            page.quantize(96, dither=Image.Dither.NONE).save(temporary, "PNG", optimize=True)
    return folder


def draw_badges() -> Path:
    """Write which Python is needed, and the licence, each as a small picture."""
    project = tomllib.loads((project_root() / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    folder = project_root() / "docs" / "pictures"
    python = project["requires-python"].removeprefix(">=") + "+"
    for name, value in (("python", python), ("licence", project["license"])):
        left, right = (round(font(11, bold=False).getlength(text)) + 14 for text in (name, value))
        badge = BADGE.format(name=name, value=value, left=left, text=left + 7, width=left + right)
        write_text(folder / f"{name}.svg", badge)
    return folder


def main() -> None:
    """Draw the pictures that are named, or all of them."""
    draw = {
        "reading": draw_reading, "alphabet": draw_alphabet, "groups": draw_groups, "notebooks": draw_notebooks,
        "badges": draw_badges,
    }  # fmt: skip
    unknown = set(sys.argv[1:]) - set(draw)
    if unknown:
        sys.exit(f"{', '.join(sorted(unknown))}: no such picture; there are {', '.join(draw)}")
    for name in sys.argv[1:] or draw:
        print(draw[name]())


if __name__ == "__main__":
    main()
