import dataclasses

import numpy as np
import pytest

import asllib
from asllib import config
from asllib.data import drawn, find_photos, load_letters, write_pixel_csv
from asllib.errors import InputError
from asllib.letters import LETTERS, STATIC


@pytest.fixture
def tiny_signer(no_data, monkeypatch):
    """The synthetic set at its smallest: 4 signers, one picture of each letter."""
    monkeypatch.setattr(drawn, "SIZE", 96)
    small = dataclasses.replace(config.PROFILES["ci"], signers=4, views=1)
    monkeypatch.setitem(config.PROFILES, "ci", small)
    monkeypatch.setenv("ASLLIB_PROFILE", "ci")
    return no_data


@pytest.mark.slow
def test_without_data_the_synthetic_signer_takes_its_place_and_says_so_in_one_line(tiny_signer, capsys, monkeypatch):
    photos = load_letters()
    out, err = capsys.readouterr()
    said = [line for line in err.splitlines() if line.startswith("No ")]
    assert out == ""  # where a program may read JSON
    assert len(said) == 1 and "synthetic signer" in said[0]
    assert photos.synthetic and photos.name == "synthetic signer"
    assert sorted(photos.letters) == sorted(LETTERS * 4)
    assert photos.images[0].shape == (96, 96, 3)
    assert photos.table["signer"].nunique() == 4

    pixels = load_letters("auto", pixels=True)
    assert pixels.images.shape == (96, 28, 28) and pixels.images.dtype == np.uint8
    assert sorted(pixels.letters) == sorted(STATIC * 4)
    test = pixels.table["split"] == "test"
    assert test.sum() == 24
    assert not set(pixels.table["signer"][test]) & set(pixels.table["signer"][~test])
    assert pixels.images.std((1, 2)).min() > 2  # a hand in each, no blank picture
    assert (pixels.images[:, 0, 0] == pixels.images[:, -1, -1]).all()  # and nothing around it

    monkeypatch.setitem(config.PROFILES, "ci", dataclasses.replace(config.PROFILES["ci"], added=1))
    more = load_letters("auto", pixels=True)
    assert more.images.shape == (96 + 96, 28, 28) and (more.images[:96] == pixels.images).all()
    assert sorted(more.letters[96:]) == sorted(STATIC * 4)
    assert set(more.table["split"][96:]) == {"train"}
    assert not set(more.table["signer"][96:]) & set(pixels.table["signer"])

    capsys.readouterr()
    again = load_letters("synthetic")
    assert capsys.readouterr() == ("", "")  # from the cache, and asked for: nothing to say
    assert again.sha256() == photos.sha256()
    assert not list((tiny_signer / "data").iterdir())


def test_real_data_that_is_there_is_taken(no_data, capsys):
    import PIL.Image

    folder = no_data / "data" / "photos"
    (folder / "A").mkdir(parents=True)
    PIL.Image.new("RGB", (30, 30)).save(folder / "A" / "1.png")
    assert find_photos() is None  # other folders may be called so: the manifest marks it
    with pytest.raises(InputError, match=r"no photos in .* manifest\.csv"):
        load_letters("photos")
    (folder / "manifest.csv").write_text("file,label\nA/1.png,A\n")
    assert find_photos() == folder.resolve()
    letters = load_letters()
    assert (len(letters), letters.synthetic, letters.name) == (1, False, "photos of the letters")
    assert len(load_letters("photos")) == 1

    for split in ("train", "test"):
        path = no_data / "data" / f"sign_mnist_{split}.csv"
        write_pixel_csv(path, np.zeros((2, 28, 28), np.uint8), np.array([0, 1]))
    assert load_letters("auto", pixels=True).name == "Sign Language MNIST"
    assert capsys.readouterr() == ("", "")


def test_an_unknown_name_is_refused_in_one_line(no_data):
    with pytest.raises(InputError, match=r"^nonsense: neither a data set \(sign-mnist, photos") as error:
        asllib.load_letters("nonsense")
    assert "\n" not in str(error.value)


def test_a_data_folder_that_is_not_there_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("ASLLIB_DATA", str(tmp_path / "gone"))
    for name in ("auto", "photos", "sign-mnist"):
        with pytest.raises(InputError, match=r"ASLLIB_DATA=.*gone: no such folder"):
            load_letters(name)


@pytest.mark.slow
def test_two_processes_that_draw_the_same_set_both_have_it(no_data):
    from asllib.signer import write_letters

    def second(folder):
        assert len(drawn.cached_drawing("one", "drawn", first)) == 1
        first(folder)

    def first(folder):
        write_letters(folder, "A", signers=1, views=1, size=64)

    assert len(drawn.cached_drawing("one", "drawn", second)) == 1
