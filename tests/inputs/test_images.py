"""Photos, frames of the live cell, films: every damage is read right or refused in one line, none fills the memory."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from damage import broken_bytes, outcome, refused, tries
from hypothesis import given
from hypothesis import strategies as st

from asllib.data import load_photos, read_image
from asllib.errors import InputError
from asllib.live.session import decode
from asllib.read.video import iter_frames
from asllib.signer import write_video

pytestmark = pytest.mark.slow

NOISE = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)


def encoded(kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.fromarray(NOISE).save(buffer, kind, **options)
    return buffer.getvalue()


EXIF = PIL.Image.Exif()
EXIF[0x0112] = 6
SOUND = {"jpg": encoded("JPEG", exif=EXIF), "png": encoded("PNG"), "webp": encoded("WEBP", lossless=True)}
SOUND["heic"] = (Path(__file__).parents[1] / "data" / "red.heic").read_bytes()


def bomb(side: int) -> bytes:
    """A PNG of a few hundred kilobytes at most that says side x side grey pixels; its data end early."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(10_000_000), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@tries(100)
@given(data=st.data(), kind=st.sampled_from(sorted(SOUND)))
def test_a_damaged_photo(place, data, kind):
    path = place / f"photo.{kind}"
    path.write_bytes(data.draw(broken_bytes(SOUND[kind])))
    image = outcome("photo", path, read_image, path)
    assert refused(image) or (image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8)


@pytest.mark.parametrize("kind", ["png", "webp"])
def test_an_undamaged_photo_is_read_right_whatever_its_ending(tmp_path, kind):
    (tmp_path / "photo.jpg").write_bytes(SOUND[kind])
    np.testing.assert_array_equal(read_image(tmp_path / "photo.jpg"), NOISE)


@pytest.mark.parametrize("kind", ["EPS", "PDF", "ICO"])
def test_formats_that_nobody_needs_are_not_opened(tmp_path, kind):
    (tmp_path / "photo.jpg").write_bytes(encoded(kind))
    assert "no known format" in str(outcome("photo", tmp_path / "photo.jpg", read_image, tmp_path / "photo.jpg"))


def test_a_pipe_is_no_photo_and_is_not_waited_for(tmp_path):
    (tmp_path / "A").mkdir()
    os.mkfifo(tmp_path / "A" / "0.png")
    assert refused(outcome("photo", tmp_path / "A" / "0.png", read_image, tmp_path / "A" / "0.png"))
    assert refused(outcome("image folder", tmp_path, load_photos, tmp_path))


@tries(60)
@given(data=st.data())
def test_a_damaged_frame_of_the_live_cell(data):
    frame = outcome("live frame", "frame", decode, [data.draw(broken_bytes(SOUND["jpg"]))])
    assert refused(frame) or (frame.ndim == 3 and frame.dtype == np.uint8 and max(frame.shape) <= 1920)


LIMITED = """\
import resource, sys
from pathlib import Path
from asllib.data import read_image
from asllib.errors import InputError
from asllib.live.session import decode
import cv2
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 100_000_000,) * 2)
for read in (read_image, lambda path: decode([path.read_bytes()])):
    for path in sys.argv[1:]:
        try:
            read(Path(path))
        except InputError as error:
            print(error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_an_image_bomb_is_refused_by_its_header_within_100_megabytes(tmp_path):
    paths = [tmp_path / f"{side}.png" for side in (60_000, 12_000)]
    for path, side in zip(paths, (60_000, 12_000), strict=True):
        path.write_bytes(bomb(side))
        assert path.stat().st_size < 200_000
    run = subprocess.run([sys.executable, "-c", LIMITED, *map(str, paths)], capture_output=True, text=True, timeout=120)
    lines = run.stdout.splitlines()
    assert run.returncode == 0 and run.stderr == "" and len(lines) == 5, run.stderr[-500:]
    assert "60000.png" in lines[0] and "12000x12000 pixels" in lines[1]
    assert all(line.startswith("frame: ") for line in lines[2:4])


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    frames = np.stack([np.full((48, 64, 3), 20 * i, np.uint8) for i in range(8)])
    return {name: write_video(folder / f"film.{name}", frames, fps=10).read_bytes() for name in ("mp4", "mjpeg")}


@tries(40)
@given(data=st.data(), kind=st.sampled_from(["mp4", "mjpeg"]))
def test_a_damaged_film(place, films, data, kind):
    path = place / f"film.{kind}"
    path.write_bytes(data.draw(broken_bytes(films[kind])))

    def read():
        return [moment for (moment, frame), _ in zip(iter_frames(path), range(100), strict=False) if frame.size]

    times = outcome("film", path, read)
    assert refused(times) or (len(times) >= 1 and (np.diff(times) > 0).all())


@pytest.mark.parametrize("name", ["film.mp4", "film.m3u8", "film.avi", "film.sdp", "film.mpd"])
@pytest.mark.parametrize(
    "what", ["#EXTM3U\n#EXTINF:1,\n{0}\n", "ffconcat version 1.0\nfile {0}\n", "v=0\nm=video {0}\n"]
)
def test_a_playlist_is_no_film(tmp_path, films, name, what):
    (tmp_path / "other.mp4").write_bytes(films["mp4"])
    (tmp_path / name).write_text(what.format("other.mp4"))
    assert refused(outcome("film", tmp_path / name, lambda: next(iter_frames(tmp_path / name))))


def test_a_numbered_picture_stands_for_itself_alone(tmp_path, films):
    for name in ("frame_%d.mjpeg", "frame_0.mjpeg", "frame_1.mjpeg"):
        (tmp_path / name).write_bytes(films["mjpeg"])
    assert len(list(iter_frames(tmp_path / "frame_%d.mjpeg"))) == 8


def test_frames_of_too_many_pixels_are_refused_before_they_are_unpacked(tmp_path):
    buffer = io.BytesIO()
    PIL.Image.new("L", (10_000, 6_000)).save(buffer, "JPEG", quality=1)
    (tmp_path / "film.mjpeg").write_bytes(buffer.getvalue())
    with pytest.raises(InputError, match="10000x6000 pixels"):
        next(iter_frames(tmp_path / "film.mjpeg"))
