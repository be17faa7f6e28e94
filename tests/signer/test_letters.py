import subprocess
import sys

import cv2
import numpy as np
import pandas as pd
import pytest

from asllib.errors import InputError
from asllib.signer import find_signer, render_letters, write_letters
from asllib.signer.scene import draw_signer


def test_arrays_fit_together(alphabet_shots):
    shots = alphabet_shots
    assert len(shots) == 52 and shots.images.shape == (52, 224, 224, 3) and shots.images.dtype == np.uint8
    assert shots.landmarks.shape == shots.world.shape == (52, 21, 3)
    assert "".join(shots.labels[:26]) == "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    assert sorted(set(shots.signers)) == ["synthetic-3-000", "synthetic-3-001"]
    assert np.isfinite(shots.landmarks).all() and (shots.landmarks[:, 0, 2] == 0).all()
    assert shots.images.std((1, 2, 3)).min() > 5


def test_a_signer_is_found_by_a_style():
    number = find_signer("T far out", seed=3)
    assert draw_signer(3, number).styles["T"] == "T far out"
    assert not any(draw_signer(3, before).styles.get("T") == "T far out" for before in range(number))
    with pytest.raises(InputError, match="'T sideways' is not a style of a letter: use A out, "):
        find_signer("T sideways")


@pytest.mark.slow
def test_the_same_seed_gives_the_same_set():
    a, b = (render_letters("AV", signers=2, views=2, size=64, seed=5) for _ in range(2))
    assert (a.images == b.images).mean() > 0.999 and np.allclose(a.landmarks, b.landmarks, atol=1e-5)
    other = render_letters("AV", signers=2, views=2, size=64, seed=6)
    assert not np.allclose(a.landmarks, other.landmarks, atol=1e-2)


@pytest.mark.slow
def test_a_larger_set_begins_with_the_smaller_one():
    small = render_letters("AS", signers=2, views=1, size=64, seed=5)
    large = render_letters("AS", signers=3, views=2, size=64, seed=5)
    # Signer, letter, view: the first view of each letter of the first two.
    assert np.allclose(small.landmarks, large.landmarks[:8:2], atol=1e-4)


def test_folder_has_photos_manifest_and_landmarks(tmp_path):
    out = write_letters(tmp_path / "set", letters="AB", signers=1, views=2, size=48, seed=2)
    manifest = pd.read_csv(out / "manifest.csv")
    assert list(manifest) == ["file", "label", "source", "signer", "original", "width", "height"]
    assert len(manifest) == 4 and set(manifest.source) == {"synthetic"} and set(manifest.width) == {48}
    table = pd.read_csv(out / "landmarks.csv")
    assert list(table.columns[:7]) == ["file", "label", "side", "score", "x0", "y0", "z0"]
    assert list(table.columns[-3:]) == ["wx20", "wy20", "wz20"] and table.shape[1] == 4 + 126
    for file in manifest.file:
        assert cv2.imread(str(out / file)).shape == (48, 48, 3)
    assert not list(out.rglob("*.part"))


@pytest.mark.parametrize(
    "wrong, said",
    [
        ({"letters": "A1"}, "'1' is not a letter"),
        ({"letters": ""}, "no letters"),
        ({"signers": 0}, "signers is 0"),
        ({"views": -1}, "views is -1"),
        ({"size": 27}, "size is 27"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_bad_input_is_one_clear_line(wrong, said):
    with pytest.raises(ValueError, match=said) as error:
        render_letters(**{"letters": "A", "signers": 1, "views": 1, **wrong})
    assert "\n" not in str(error.value)


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot be written"):
        write_letters(tmp_path / "file", letters="A", signers=1, views=1, size=28)


def test_import_is_light():
    code = "import sys, asllib.signer; print([m for m in ('torch', 'anny', 'warp') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
