import dataclasses

import numpy as np
import pandas as pd
import PIL.Image
import pytest
import torch

from asllib.errors import InputError
from asllib.evaluation import read_letters
from asllib.hands.landmarks import landmark_columns
from asllib.hands.look import Hand
from asllib.hands.stream import Stream
from asllib.letters import FIRST_SIX, NO_LETTER, STATIC
from asllib.networks import DefaultConfig, DefaultNet, PixelConfig, preset
from asllib.networks.store import load_model
from asllib.paths import cache_dir
from asllib.read import TextReader
from asllib.read.recognizer import load_recognizer
from asllib.train import run as module
from asllib.train.loop import join

SMALL = dataclasses.replace(preset("default", "best"), network=DefaultConfig(classes=6), alphabet=FIRST_SIX, signers=1)
SMALL = dataclasses.replace(SMALL, films=2)


@pytest.fixture(scope="module")
def drawn_once(tmp_path_factory):
    """Photos of six letters by five signers, and a cache beside them: who looks first looks for all."""
    from asllib.signer import write_letters

    root = tmp_path_factory.mktemp("drawn")
    (root / "cache").mkdir()
    (root / "cache" / "signer").symlink_to(cache_dir() / "signer")  # as the fixture no_data
    return write_letters(root / "photos", "ABCDEF", signers=5, views=2, size=160)


@pytest.fixture
def drawn_photos(drawn_once, no_data, monkeypatch):
    """That folder, with its cache in the place of the user's, and an empty data folder."""
    monkeypatch.setenv("ASLLIB_CACHE", str(drawn_once.parent / "cache"))
    return drawn_once


@pytest.mark.slow
def test_the_default_network_learns_from_photos_and_from_synthetic_signers(drawn_photos, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "preset", lambda network, name: SMALL)
    card = module.train_run("default", "best", str(drawn_photos), tmp_path / "run", epochs=8)
    assert card["network"] == "default" and card["alphabet"] == "ABCDEF"
    assert 0 < card["refuse_below"] < 1 and "refuse_below" not in card["metrics"]
    assert card["metrics"]["test_accuracy"] >= 0.5
    assert isinstance(load_model(tmp_path / "run")[0], DefaultNet)

    added = join(module.drawn_examples(SMALL, doubts=True))
    assert added.inputs[4].shape == (len(added), 1152)
    counts = np.bincount(added.labels.numpy() + 1, minlength=7)  # the first is NO_LETTER
    assert NO_LETTER == -1 and counts[0] > 18 and (counts[1:] > 4).all()


def test_a_letter_that_a_film_holds_weighs_the_same_however_long_it_is_held(hands, monkeypatch):
    landmarks, world = hands(7)
    landmarks[2] = np.nan  # lost for a moment
    positions, embeddings = np.array([0, 0, 0, -1, 1, 2, 3]), np.arange(7 * 1152, dtype=np.float16).reshape(7, 1152)
    left = np.array([True] * 7)
    film = Stream(np.arange(7) / 15, landmarks, world, left, 4 / 3, "BJFQ", positions, embeddings=embeddings)
    monkeypatch.setattr(module, "films", lambda plans: [film] * len(plans))
    examples = module.film_examples(1, FIRST_SIX)
    assert examples.labels.tolist() == [1, 1, 5]  # B twice, F once; J and Q are none of the six
    assert examples.weights.tolist() == [module.HELD / 2, module.HELD / 2, module.HELD]
    np.testing.assert_array_equal(examples.inputs[0].numpy(), landmarks[[0, 1, 5]])
    assert (examples.inputs[4].numpy() == embeddings[[0, 1, 5]]).all() and examples.inputs[2].all()


@pytest.mark.slow
def test_no_letters_are_drawn_for_digits(drawn_photos):
    digits = dataclasses.replace(SMALL, network=DefaultConfig(classes=2), alphabet=("1", "2"))
    (others,) = module.drawn_examples(digits, doubts=True)
    assert (others.labels == NO_LETTER).all() and len(others)


@pytest.mark.slow
def test_the_pixel_network_learns_from_every_look_and_from_added_sets(drawn_photos, tmp_path, monkeypatch):
    settings = dataclasses.replace(
        preset("pixel", "people"),
        network=PixelConfig(classes=6, batch_norm=True, standardise=True),
        alphabet=FIRST_SIX,
        signers=1,
        added=(str(drawn_photos),),
    )
    monkeypatch.setattr(module, "preset", lambda network, name: settings)
    card = module.train_run("pixel", "people", str(drawn_photos), tmp_path / "run", epochs=2)
    assert card["synthetic_signers"] == 1
    assert card["metrics"]["test_accuracy"] == card["metrics"]["photos_test_accuracy"]  # the same photos

    letters = module.load_letters(str(drawn_photos))
    crops = module.pixel_set(letters)
    assert crops.images.shape == (int(module.crop_set(letters, module.track(letters))[1].sum()), 28, 28)
    assert 60 < len(crops) <= 240 and set(crops.table["original"]) <= set(letters.table["original"])


def test_crops_are_in_the_part_of_their_photo_whatever_the_manifest_says(letter_set, monkeypatch):
    """A source's own split covers some photos alone; networks of all kinds split the same photos by original."""
    photos = letter_set(
        list("ABCDEF") * 40,
        images=np.zeros((240, 40, 40, 3), np.uint8),
        original=[f"{i // 2}.png" for i in range(240)],
        split=["train", "valid", "test", ""] * 60,
    )
    found = np.random.default_rng(0).random((4, 240)) < 0.8  # of four looks
    monkeypatch.setattr(module, "track", lambda letters: None)
    monkeypatch.setattr(module, "crop_set", lambda letters, looks: (np.zeros((4, 240, 28, 28), np.uint8), found))
    crops = module.pixel_parts(photos)
    part = crops.table["split"]
    assert crops.images.shape == (found.sum(), 28, 28) and set(part) == {"train", "valid", "test"}
    of_photo = dict(zip(photos.table["file"], module.parts(photos), strict=True))
    assert [of_photo[file] for file in crops.table["file"]] == part.tolist()
    official = letter_set(list("ABC") * 2, split=["train"] * 3 + ["test"] * 3)
    same = module.pixel_parts(official)
    assert same.images is official.images and same.table["split"].tolist() == ["train"] * 3 + ["test"] * 3


@pytest.mark.parametrize(("name", "pixels"), [("best", True), ("people", False)])
def test_the_preset_people_learns_from_photos_of_people_where_no_data_is_named(monkeypatch, letter_set, name, pixels):
    asked = []

    def load(data, *, pixels=False):
        asked.append((data, pixels))
        return letter_set(list(STATIC))

    monkeypatch.setattr(module, "load_letters", load)
    for data in ("auto", "synthetic"):
        module.training_sets("pixel", preset("pixel", name), data)
    assert [one for one in asked if one[0] in ("auto", "synthetic")] == [("auto", pixels), ("synthetic", pixels)]


def test_what_a_network_was_trained_on_is_known_by_the_hash_in_its_card(letter_set):
    images = np.random.default_rng(0).integers(0, 256, (40, 30, 30, 3), np.uint8)
    photos = letter_set(["A", "B"] * 20, images, split="test")  # the set's own split, which networks of photos ignore
    part = module.parts(photos)
    assert set(part) == {"train", "valid", "test"}

    def card(network, patience=None, **more):
        data = {"sha256": photos.sha256()}
        return {"network": network, "training": {"patience": patience}, "data": data, **more}

    def seen(card, letters=photos):
        return module.trained_on(card, letters).tolist()

    assert seen(card("landmark")) == (part != "test").tolist()
    assert seen(card("landmark", patience=4)) == (part != "test").tolist()  # the validation part says when to stop
    assert seen(card("default")) == seen(card("pixel")) == (part != "test").tolist()
    assert seen(card("landmark", teaching={})) == [True] * 40  # more cannot be said
    assert seen(card("default", data={"sha256": "0"})) == seen({"network": "default"}) == [False] * 40
    assert seen({"network": "default", "data": 5, "added": None}) == [False] * 40

    # Taught a third sign, by photos of its own: of the same photos and more, those of A and B were learned from.
    more = letter_set(["A", "B", "J"] * 10, np.random.default_rng(1).integers(0, 256, (30, 30, 30, 3), np.uint8))
    two = more.only(["A", "B"]).sha256()
    taught = card("landmark", data={"sha256": "0"}, teaching={}, added=[{"sha256": two, "alphabet": "AB"}])
    assert seen(taught, more) == [True, True, False] * 10

    small = letter_set(["A", "B"] * 20, split=["train", "test"] * 20)
    added = card("pixel", added=[{"sha256": "0"}, {"sha256": small.sha256()}])
    assert seen(added, small) == [True, False] * 20


def test_small_pictures_in_files_are_learned_from_as_they_are_read(tmp_path):
    from PIL import Image

    rng = np.random.default_rng(0)
    for letter in FIRST_SIX:
        (tmp_path / letter).mkdir()
        for number in range(3):
            Image.fromarray(rng.integers(0, 256, (28, 28), np.uint8)).save(tmp_path / letter / f"{number}.png")
    letters = module.load_letters(str(tmp_path))
    small = module.pixel_set(letters)
    assert small.images.shape == (18, 28, 28) and small.letters.tolist() == letters.letters.tolist()
    assert (small.images[4] == letters.images[4][..., 0]).all()


@pytest.mark.parametrize("network", ["pixel", "landmark"])
def test_a_set_without_a_hand_is_told(network):
    from asllib.train.loop import Examples, train

    shape = (0, 28, 28) if network == "pixel" else (0, 21, 3)
    nothing = Examples((torch.zeros(shape),), torch.zeros(0, dtype=torch.long))
    with pytest.raises(InputError, match="no hand was found in what is to be trained on"):
        train(preset(network, "best"), nothing, nothing, progress=False)


@pytest.fixture
def own_folder(no_data, tmp_path, hands, keep_looks):
    """Maker of a folder of plain photos, a dozen a label, in whose places the cache holds a handshape a label."""

    def make(labels, learned) -> str:
        folder, rng = tmp_path / "mine", np.random.default_rng(0)
        for label in labels:
            (folder / label).mkdir(parents=True)
            for number in range(12):
                color = tuple(rng.integers(0, 256, 3).tolist())
                PIL.Image.new("RGB", (8, 8), color).save(folder / label / f"{number}.png")
        letters = module.load_letters(str(folder)).only(learned)
        shapes = dict(zip(sorted(labels), zip(*hands(len(labels)), strict=True), strict=True))
        points = np.array([np.concatenate(shapes[label]).ravel() for label in letters.letters])
        points += rng.normal(0, 0.001, points.shape)
        table = pd.DataFrame(np.column_stack([np.ones(len(letters)), points]), columns=landmark_columns()[3:])
        keep_looks(letters, table.astype(np.float32).assign(side="right", width=8, height=8))
        return str(folder)

    return make


TEN = "0123456789"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("labels", "alphabet", "learned", "said"),
    [
        ("ABL", "letters", "ABL", "no photos of C, D, E,"),
        (TEN, "digits", TEN, ""),
        ("BVW269", "digits", "269", "36 photos left out, of B, V, W (--alphabet digits)"),
        ("VW26", "both", "VW26", "no photos of A, B,"),
        (["A", "J", "hello"], "all", ["A", "J", "hello"], ""),
    ],
)
def test_a_network_is_trained_on_the_labels_of_a_folder(
    own_folder, tmp_path, capsys, hands, labels, alphabet, learned, said
):
    folder, run = own_folder(labels, learned), tmp_path / "run"
    card = module.train_run("landmark", "best", folder, run, alphabet=alphabet, epochs=30)
    assert [*card["alphabet"]] == [*learned]
    err = capsys.readouterr().err
    assert said in err and (("left out" in err, "no photos of" in err) == (False, False) if not said else True)
    recognizer = load_recognizer(run)
    letters = module.load_letters(folder).only(learned)
    read = read_letters(recognizer.read_set(letters, progress=False), recognizer.alphabet)
    assert (read == letters.letters).mean() > 0.95
    landmarks, world = hands(len(labels))
    place = sorted(labels).index(learned[-1])
    hand = Hand(landmarks[place], world[place], "right", 1.0)
    reader = TextReader(recognizer)
    for frame in range(30):
        reader.read_hand(hand, frame / 15, 1.0)
    assert reader.text.strip() == learned[-1]


@pytest.mark.parametrize(
    ("labels", "alphabet", "said"),
    [
        (
            "0123",
            "letters",
            "0 labels with --alphabet letters where 2 to 60 are needed; choose another, it has 0, 1, 2, 3",
        ),
        (["A", "1"], "digits", "1 labels with --alphabet digits"),
        ([f"sign {number}" for number in range(61)], "all", "61 labels"),
        ("AB", "numbers", "alphabet numbers: choose one of letters, digits, both, all"),
    ],
)
def test_labels_that_cannot_be_learned_are_refused(letter_set, labels, alphabet, said):
    with pytest.raises(InputError, match=said):
        module.own_labels(preset("landmark", "best"), letter_set([*labels]), alphabet)


def test_a_named_set_has_letters(tmp_path):
    with pytest.raises(InputError, match="alphabet digits: only folders have a choice; photos has letters"):
        module.train_run("landmark", "best", "photos", tmp_path / "run", alphabet="digits")
