import dataclasses

import numpy as np
import pandas as pd
import PIL.Image
import pytest
import torch

import asllib
from asllib.data import load_photos
from asllib.data.looks import track, without_pictures
from asllib.errors import InputError
from asllib.evaluation import NO_HAND, read_letters
from asllib.hands import ATTEMPTS, LOOKS, Hand
from asllib.hands.landmarks import image_columns, world_columns
from asllib.letters import FIRST_SIX, LETTERS, STATIC
from asllib.networks import LandmarkCNN, LandmarkConfig, PixelCNN, PixelConfig
from asllib.networks.default import DefaultConfig, DefaultNet
from asllib.networks.pixel import crop_set
from asllib.networks.store import save_model
from asllib.read import read_text
from asllib.read.recognizer import BLUE, load_recognizer, spread


@pytest.fixture
def pixel(tmp_path):
    torch.manual_seed(0)
    return load_recognizer(save_model(tmp_path / "pixel", PixelCNN(PixelConfig()), STATIC, {}))


@pytest.fixture
def landmark(tmp_path):
    torch.manual_seed(0)
    return load_recognizer(save_model(tmp_path / "landmark", LandmarkCNN(LandmarkConfig()), STATIC, {}))


@pytest.fixture
def joint(tmp_path):
    torch.manual_seed(0)
    return load_recognizer(save_model(tmp_path / "joint", DefaultNet(DefaultConfig()), STATIC, {}))


@pytest.fixture(scope="session")
def drawn(tmp_path_factory):
    """Six letters of one synthetic signer, as a folder of photos."""
    from asllib.signer import write_letters

    return load_photos(write_letters(tmp_path_factory.mktemp("drawn"), "BCLVWY", 1, 1))


def test_small_images_are_read_without_a_tracker(pixel, blobs):
    images = blobs(5)
    read = pixel.predict(list(images))
    assert len(read) == 5 and pixel._tracker is None
    for prediction in read:
        assert prediction.hand is None
        assert prediction.probabilities.shape == (26,) and prediction.probabilities.dtype == np.float32
        assert prediction.probabilities.sum() == pytest.approx(1, abs=1e-5)
        assert prediction.probabilities[9] == prediction.probabilities[25] == 0  # J and Z
        assert prediction.letter == LETTERS[prediction.probabilities.argmax()]
        assert prediction.confidence == pytest.approx(prediction.probabilities.max())
    assert pixel.predict([]) == []


def test_one_image_reads_the_same_as_a_set(pixel, blobs, letter_set):
    images = blobs(30)
    whole = pixel.read_set(letter_set(["A"] * 30, images))
    assert whole.shape == (30, 24)
    alone = np.stack([prediction.probabilities for prediction in pixel.predict(list(images))])
    np.testing.assert_allclose(alone, spread(whole, pixel.alphabet), atol=1e-5)


@pytest.mark.slow
def test_a_28x28_image_file_is_read_as_the_grey_image_it_is(pixel, landmark, blobs, tmp_path):
    images, root = blobs(6), tmp_path / "small"
    (root / "A").mkdir(parents=True)
    for number, image in enumerate(images):
        PIL.Image.fromarray(image).save(root / "A" / f"{number}.png")
    letters = load_photos(root)
    assert letters.images[0].shape == (28, 28, 3)
    known = np.stack([prediction.probabilities for prediction in pixel.predict(list(images))])
    alone = np.stack([prediction.probabilities for prediction in pixel.predict([*letters.images])])
    np.testing.assert_array_equal(alone, known)
    np.testing.assert_allclose(spread(pixel.read_set(letters), pixel.alphabet), known, atol=1e-5)
    assert pixel._tracker is None
    assert landmark.predict([letters.images[0]])[0].letter is None  # it needs a hand that the tracker finds

    PIL.Image.new("RGB", (90, 70)).save(root / "A" / "photo.png")  # a set with a photo is one of photos
    assert (pixel.read_set(load_photos(root), progress=False)[6] == 0).all()


def test_without_a_hand_there_is_no_letter(pixel, landmark):
    blank = np.full((120, 160, 3), 127, np.uint8)
    for recognizer in (pixel, landmark):
        (prediction,) = recognizer.predict([blank])
        assert prediction.letter is None and prediction.hand is None
        assert prediction.confidence == 0 and (prediction.probabilities == 0).all()


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((28, 28)),
        np.zeros((28, 28), np.float32),
        np.zeros((28, 28, 1), np.uint8),
        np.zeros((30, 30), np.uint8),
        np.zeros((50, 50, 3)),
        np.zeros((50, 50, 4), np.uint8),
        np.zeros((0, 50, 3), np.uint8),
        [[1, 2], [3, 4]],
        None,
        "photo.jpg",
    ],
)
def test_what_is_no_image_is_refused_in_one_line(pixel, landmark, image):
    for recognizer in (pixel, landmark):
        with pytest.raises(InputError) as error:
            recognizer.predict([image])
        assert "\n" not in str(error.value)


def test_the_landmark_network_needs_photos(landmark, letter_set, blobs, no_data):
    with pytest.raises(InputError):
        landmark.predict([blobs(1)[0]])
    with pytest.raises(InputError):
        landmark.read_set(letter_set(["A"], blobs(1)), progress=False)


@pytest.mark.slow
def test_photos_are_read_one_by_one_as_they_are_as_a_set(pixel, landmark, joint, drawn, no_data):
    looks = track(drawn, progress=False)
    assert looks.found.mean() >= 0.5
    for recognizer in (landmark, pixel, joint):
        whole = recognizer.read_set(drawn, progress=False)
        alone = recognizer.predict([drawn.images[i] for i in range(len(drawn))])
        assert [prediction.hand is not None for prediction in alone] == looks.found.tolist()
        together = np.stack([prediction.probabilities for prediction in alone])
        np.testing.assert_allclose(together, spread(whole, recognizer.alphabet), atol=1e-3)
        read = read_letters(whole, recognizer.alphabet)
        assert read.tolist() == [prediction.letter or NO_HAND for prediction in alone]
    images, found = crop_set(drawn, looks)
    assert images.shape == (len(LOOKS), 6, 28, 28) and images.dtype == np.uint8
    assert found.any(0).tolist() == looks.found.tolist()
    assert images[found].std((1, 2)).min() > 5 and (images[~found] == 0).all()


def test_the_pixel_network_takes_the_mean_of_the_looks_that_found_a_hand(pixel, letter_set, hands, monkeypatch):
    landmarks, world = hands(3)
    columns = [*image_columns(), *world_columns()]
    found = pd.DataFrame(np.concatenate([landmarks, world], 1).reshape(3, 126), columns=columns)
    found = found.assign(file=list("abc"), label="A", side="left", score=0.9)
    lost = found.assign(score=[0.9, 0.0, 0.0])
    none = found.assign(score=[0.0, 0.0, 0.0])
    photos = letter_set("ABC", np.random.default_rng(0).integers(0, 256, (3, 90, 120, 3), np.uint8))
    looks = without_pictures([found.assign(score=[0.9, 0.9, 0.0]), lost, none])
    monkeypatch.setattr("asllib.read.recognizer.track", lambda letters, progress: looks)
    said = pixel.read_set(photos)
    assert said.sum(1) == pytest.approx([1, 1, 0], abs=1e-5)


@pytest.mark.slow
def test_a_mirrored_photo_gives_the_same_letter_with_nearly_the_same_confidence(drawn):
    recognizer, compared = load_recognizer("default"), []
    for i in range(len(drawn)):
        there, back = recognizer.predict([drawn.images[i], np.ascontiguousarray(drawn.images[i][:, ::-1])])
        if there.letter is not None:
            compared.append(np.abs(there.probabilities - back.probabilities).max())
    assert len(compared) >= 4 and np.mean(np.array(compared) < 0.1) > 0.8


@pytest.mark.slow
def test_a_hand_that_shows_no_letter_for_sure_is_refused(tmp_path, drawn):
    torch.manual_seed(0)
    model = DefaultNet(DefaultConfig())
    sure = load_recognizer(save_model(tmp_path / "sure", model, STATIC, {"refuse_below": 0.0}))
    careful = load_recognizer(save_model(tmp_path / "careful", model, STATIC, {"refuse_below": 0.999}))
    images = [drawn.images[i] for i in range(len(drawn))]
    for said, refused in zip(sure.predict(images), careful.predict(images), strict=True):
        assert refused.letter is None and (refused.hand is None) == (said.hand is None)
        assert (said.letter is None) == (said.hand is None)
        np.testing.assert_array_equal(refused.probabilities, said.probabilities)


def test_the_embedding_of_each_look_counts_if_there_is_one(joint, hands, rng):
    landmarks, world = hands(4)
    blind = [Hand(landmarks[i], world[i], "right", 1.0) for i in range(4)]
    seen = [dataclasses.replace(hand, embedding=np.float32(rng.normal(size=1152))) for hand in blind]
    said, alone = joint.probabilities(seen, 4 / 3), joint.probabilities(blind, 4 / 3)
    assert said.shape == alone.shape == (24,) and said.sum() == pytest.approx(1, abs=1e-5)
    assert np.abs(said - alone).max() > 1e-3
    mixed = [*seen[:2], *blind[2:]]
    each = [joint.probabilities([hand], 4 / 3) for hand in mixed]
    np.testing.assert_allclose(joint.probabilities(mixed, 4 / 3), np.mean(each, 0), atol=1e-5)


def test_a_table_of_landmarks_is_read_without_pictures(joint, hands, letter_set, monkeypatch):
    landmarks, world = hands(3)
    columns = [*image_columns(), *world_columns()]
    table = pd.DataFrame(np.concatenate([landmarks, world], 1).reshape(3, 126), columns=columns)
    table = table.assign(file=list("abc"), label="A", side="right", score=0.9, width=120, height=90)
    photos = letter_set("ABC", np.zeros((3, 90, 120, 3), np.uint8))
    monkeypatch.setattr("asllib.read.recognizer.track", lambda letters, progress: without_pictures([table]))
    said = joint.read_set(photos)
    alone = [joint.probabilities([Hand(landmarks[i], world[i], "right", 0.9)], 120 / 90) for i in range(3)]
    np.testing.assert_allclose(said, alone, atol=1e-5)


def test_the_pixel_network_alone_needs_the_image(pixel, landmark, joint, hands, blobs):
    landmarks, world = hands(1)
    hand = Hand(landmarks[0], world[0], "right", 1.0)
    with pytest.raises(InputError, match="no picture for a pixel network"):
        pixel.probabilities([hand], 1.0)
    image = np.repeat(blobs(1, 120)[0][..., None], 3, 2)
    for recognizer in (pixel, landmark, joint):
        assert recognizer.probabilities([hand], 1.0, image).sum() == pytest.approx(1, abs=1e-5)
    np.testing.assert_array_equal(landmark.probabilities([hand], 1.0, image), landmark.probabilities([hand], 1.0))


def test_probabilities_of_an_alphabet_go_to_their_letters():
    full = spread(np.array([[0.2, 0.3, 0.5]]), "BKY")
    assert full.shape == (1, 26) and full.dtype == np.float32
    assert full[0, [1, 10, 24]] == pytest.approx([0.2, 0.3, 0.5])
    assert full.sum() == pytest.approx(1)


def test_a_recognizer_of_six_letters_reads_only_these(tmp_path, blobs):
    folder = save_model(tmp_path / "six", PixelCNN(PixelConfig(classes=6)), FIRST_SIX, {"seed": 1})
    recognizer = asllib.load_recognizer(str(folder))
    assert recognizer.alphabet == "ABCDEF" and recognizer.kind == "pixel" and recognizer.card["seed"] == 1
    assert {prediction.letter for prediction in recognizer.predict(list(blobs(40)))} <= set("ABCDEF")


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(InputError, match="nor a run folder"):
        asllib.load_recognizer(tmp_path)


@pytest.mark.slow
def test_the_shipped_pixel_network_reads_the_official_test(real_data):
    from asllib.data import load_sign_mnist

    letters = load_sign_mnist(real_data / "sign-mnist")
    part = letters.subset(np.flatnonzero(letters.table["split"] == "test")[::5])
    recognizer = load_recognizer("pixel")
    read = read_letters(recognizer.read_set(part), recognizer.alphabet)
    assert (read == part.letters).mean() >= 0.995


@pytest.mark.slow
@pytest.mark.parametrize("name", ["default", "landmark"])
def test_the_shipped_networks_read_photos(real_data, name):
    photos = load_photos(real_data / "photos").only().thin(1)
    some = photos.subset(np.arange(0, len(photos), 4))
    read = load_recognizer(name).predict([some.images[i] for i in range(len(some))])
    assert np.mean([p.letter == letter for p, letter in zip(read, some.letters, strict=True)]) >= 0.8


def test_a_file_stands_for_its_photo_and_a_prediction_prints_as_one_line(landmark, tmp_path, one_hand):
    PIL.Image.new("RGB", (80, 60), (90, 90, 90)).save(tmp_path / "grey.png")
    for given in (str(tmp_path / "grey.png"), [tmp_path / "grey.png"]):
        (prediction,) = landmark.predict(given)
        assert str(prediction) == "no hand found"
    with pytest.raises(InputError, match="no such file"):
        landmark.predict("none.jpg")
    assert str(dataclasses.replace(prediction, letter="W", confidence=0.66, hand=one_hand)) == "W (66%)"
    assert str(dataclasses.replace(prediction, confidence=0.4, hand=one_hand)) == "rejected (40%)"


@pytest.mark.slow
def test_a_hand_that_looks_blue_is_told_once(landmark, drawn, capsys):
    """As skin does in an array whose red and blue are swapped."""
    images = [drawn.images[i] for i in range(3)]
    landmark.predict(images)
    assert capsys.readouterr().err == ""
    landmark.predict([image[..., ::-1] for image in images])
    assert capsys.readouterr().err == BLUE + "\n" and "[..., ::-1]" in BLUE
    grey = [np.repeat(image.mean(2, keepdims=True), 3, 2).astype(np.uint8) for image in images]
    landmark.predict(grey)
    read_text([(0.0, images[0])])
    assert capsys.readouterr().err == ""
    read_text([(0.1 * i, images[0][..., ::-1].copy()) for i in range(2 * len(ATTEMPTS))])
    assert capsys.readouterr().err.count(BLUE) == 1
