"""The parts of `make bench` work on tiny inputs; nothing here is held to a time."""

import subprocess
import sys
from pathlib import Path

import baselines
import bench
import live
import numpy as np
import pytest
import scale
import study
import torch
import tracker
import words

from asllib.networks import build, parameter_count, preset
from asllib.train.loop import for_pixels

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def test_growth_is_fitted_and_drawn():
    sizes, memory = (10, 40, 160), {"peak_mb": 100.0, "worker_peak_mb": 300.0}
    rows = [{"items": n, "seconds": 0.01 * n, "cpu_s": 2e-4 * n**2, **memory} for n in sizes]
    found = scale.fitted(rows)
    exponents = [found[f"{what}_exponent"] for what in ("time", "cpu", "memory")]
    assert exponents == pytest.approx([1, 2, 0], abs=1e-6)
    assert (found["items_per_second"], found["base_mb"]) == pytest.approx((100, 100))
    figure = scale.growth_curves({"photos": {"rows": rows, **found}}, "made up")
    time, peak = (axis.lines[0] for axis in figure.axes)
    assert time.get_label() == peak.get_label() == "photos"
    assert time.get_ydata().tolist() == [row["cpu_s"] for row in rows] and set(peak.get_ydata()) == {300}
    assert figure.axes[0].get_xscale() == figure.axes[1].get_yscale() == "log"


def test_sides_take_turns_and_every_other_round_goes_backwards():
    calls = []
    seconds = bench.take_turns({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 3)
    assert calls == list("abbaab") and [len(values) for values in seconds.values()] == [3, 3]


def test_rows_say_how_many_times_better_and_whether_the_floor_is_held():
    row = bench.row
    faster = row("x", "y", 2.0, 8.0, "s", least=5)
    assert faster["ratio"] == 4 and faster["held"] is False and faster["floor"] == {"ratio": 5}
    more = row("x", "y", 30.0, 20.0, "photos/s", least=1.5, more_is_better=True)
    assert more["ratio"] == 1.5 and more["held"] is True
    assert row("x", None, 1.3, None, "GB", most=1.2)["held"] is False
    assert row("x", None, 41.0, None, "pictures/s", least_value=40)["held"] is True
    assert row("x", "y", 1.0, 2.0, "ms")["held"] is None


@pytest.mark.slow
def test_the_peak_of_a_process_is_its_own():
    run_process = bench.run_process
    little, much = run_process(["-c", "pass"])[1], run_process(["-c", "x = b'1' * 300_000_000"])[1]
    assert 0 < little < 0.1 and 0.27 < much - little < 0.3  # not that of the tests, which is larger
    with pytest.raises(SystemExit, match="ended with 3"):
        run_process(["-c", "raise SystemExit(3)"])


def test_loading_is_compared_on_the_same_numbers(tmp_path, monkeypatch, blobs):
    from asllib.data import load_sign_mnist, write_pixel_csv

    labels = np.array([n for n in range(25) if n != 9])
    for seed, split in enumerate(("train", "test")):
        write_pixel_csv(tmp_path / f"sign_mnist_{split}.csv", blobs(24, seed=seed), labels)
    monkeypatch.setenv("ASLLIB_DATA", str(tmp_path))
    images, found = baselines.load_by_pandas(tmp_path)
    with bench.empty_cache():
        letters = load_sign_mnist(tmp_path)
    torch.testing.assert_close(images[:, 0], torch.from_numpy(letters.images).float() / 255)
    assert found.tolist() == [*labels] * 2
    first, later = bench.bench_loading(rounds=1)
    assert first["theirs"] == later["theirs"] > 0 and min(first["ours"], later["ours"]) > 0


@pytest.mark.slow
def test_a_letter_and_a_live_frame_are_read_as_the_library_has_them():
    letter = [str(bench.HERE / "test_letter.py"), "--benchmark-disable", "-q", "-p", "no:cacheprovider"]
    subprocess.run([sys.executable, "-m", "pytest", *letter], check=True, timeout=120)
    (frame,) = bench.bench_live(frames=20)
    assert frame["ours"] > 0 and frame["theirs"] > 0


def test_the_other_training_has_the_same_network_and_learns(letter_set, static_letters, blobs):
    settings = preset("pixel", "best")
    examples = for_pixels(letter_set(static_letters(48), blobs(48)))
    network, optimiser = baselines.plain_network(settings)
    assert parameter_count(network) == parameter_count(build(settings.network))
    batches = baselines.loader(examples, settings)
    images, labels = next(iter(batches))
    assert (
        images.shape == (48, 1, 28, 28)
        and images.dtype == torch.float32
        and sorted(labels.tolist()) == sorted(examples.labels.tolist())
    )
    losses = [baselines.train_by_loader(network, optimiser, batches, settings) for _ in range(12)]
    assert losses[-1] < 0.7 * losses[0]


def test_its_images_are_changed_as_much_as_ours(letter_set, blobs):
    from asllib.networks import augment_images

    settings, n = preset("pixel", "best"), 600
    picture = blobs(1).repeat(n, axis=0)
    theirs = next(iter(torch.utils.data.DataLoader(
        baselines.Images(for_pixels(letter_set(["A"] * n, picture)), settings), n
    )))[0]  # fmt: skip
    plain = torch.from_numpy(picture)[:, None].float() / 255
    ours = augment_images(plain, settings.augment, torch.Generator().manual_seed(0))
    for measure in (lambda x: (x - plain).square().mean().sqrt(), lambda x: x.std((1, 2, 3)).std()):
        assert float(measure(theirs)) == pytest.approx(float(measure(ours)), rel=0.15)


def test_the_loop_over_photos_finds_nearly_the_same_landmarks(tmp_path):
    import cv2

    from asllib.data import PhotoFiles
    from asllib.hands import extract_landmarks, image_columns
    from asllib.hands.tracker import ATTEMPTS
    from asllib.signer import render_letters

    pictures = [*render_letters("BV", signers=1, views=1).images, np.zeros((64, 64, 3), np.uint8)]
    for i, picture in enumerate(pictures):
        cv2.imwrite(str(tmp_path / f"{i}.jpg"), picture[..., ::-1])
    photos = PhotoFiles(tmp_path, ("0.jpg", "1.jpg", "2.jpg"))
    with baselines.plain_landmarker() as landmarker:
        loop = baselines.hands_by_loop(landmarker, photos.paths)
    ours = extract_landmarks(photos, attempts=ATTEMPTS[:1], progress=False)[image_columns()]
    assert loop.notna().all(axis=1).tolist() == ours.notna().all(axis=1).tolist() == [True, True, False]
    distances = (loop - ours)[:2].filter(regex="^[xy]").abs()
    assert distances.median(axis=1).max() < 0.03 and distances.max(axis=None) > 1e-4  # a second look is nearer


def test_frames_are_averaged_within_a_clip():
    """Two frames of three say A, one is sure of B, so a single frame is right more often than the mean of three."""
    a, b, none = np.zeros((3, 24), np.float32)
    a[0], a[1], b[0], b[1] = 0.6, 0.4, 0.1, 0.9
    clips = [("A", np.stack([a, b, a] * 2), "one"), ("B", np.stack([b] * 5), "two"), ("A", np.stack([a] * 2), "short")]
    found = study.average_frames(clips, (1, 3))
    assert (found["clips"], found["frames"]) == (2, 11)  # the short one is in neither
    assert found["mean_of"][1]["accuracy"] == pytest.approx((4 / 6 + 1) / 2)
    assert found["mean_of"][3]["accuracy"] == pytest.approx((0 + 1) / 2)  # clips count alike, whatever their length
    lost = study.average_frames([("A", np.stack([none, a, none]), "one")], (1, 3))["mean_of"]
    assert (lost[1]["accuracy"], lost[3]["accuracy"]) == (pytest.approx(1 / 3), 1.0)  # no hand says nothing


def test_networks_are_trained_once_and_seeds_are_summed_up(monkeypatch):
    places, trained = np.arange(6), []
    subject = study.Study.__new__(study.Study)
    subject.seed, subject.trained = 0, {}
    monkeypatch.setattr(study, "train", lambda *_, seed, **__: (trained.append(seed) or f"seed {seed}", None))
    for seed in (None, 0, 1):
        for learn in (places < 3, places < 3, places < 4):
            assert subject.train("default", "best", lambda: None, learn, seed) == f"seed {seed or 0}"
    assert trained == [0, 0, 1, 1]

    def run(_, learn, read, only):
        right = {"x": 0.8 + 0.1 * learn.keywords["seed"], "y": 0.6}
        return {"protocols": {only: {name: {"accuracy": value} for name, value in right.items()}}}

    monkeypatch.setattr(study, "run_photos", run)
    found = study.run_seeds(subject, [0, 1])[study.JOINT]
    assert found["by_seed"][1] == pytest.approx({"x": 0.9, "y": 0.6, "mean of sources": 0.75})
    assert found["mean"] == pytest.approx({"x": 0.85, "y": 0.6, "mean of sources": 0.725})
    assert found["standard_deviation"]["x"] == pytest.approx(0.1 / 2**0.5)


@pytest.mark.slow
def test_the_live_cell_is_measured_and_held_to_its_floors(blobs):
    import cv2

    film = [cv2.imencode(".jpg", np.repeat(picture[..., None], 3, 2))[1].tobytes() for picture in blobs(4, 64)]
    values = live.measure(film, 12, "landmark")
    assert values["frames"] == 12 and values["hand_found"] == 0 and values["model"] == "landmark"
    assert 0 < values["own_ms"]["median"] < values["server_ms"]["median"] <= values["server_ms"]["p95"]
    data = live.film_set(film, Path("some/hello.mjpeg"))
    assert len(data) == 4 and not data.synthetic and live.film_set(film, None).synthetic

    line = "24 frames a second · delay 40 ms (12 ms of it reading) · 3 lost"
    page = live.page_numbers(f"..\n{line}\n")
    assert page == {
        "browser_frames_a_second": 24, "browser_delay_ms": 40, "browser_reading_ms": 12, "browser_lost": 3
    }  # fmt: skip
    assert live.page_numbers("1 skipped") is None
    fine = {"server_ms": {"p95": 20.0}, "own_ms": {"p95": 2.0}, "memory_mb": 1.0, **page}
    assert live.missed(fine) == []
    slow = {**fine, "memory_mb": 21.0, "browser_frames_a_second": 19}
    assert [line.partition(":")[0] for line in live.missed(slow)] == ["memory_mb", "browser_frames_a_second"]
    assert len(live.missed({name: fine[name] for name in live.MOST})) == 1  # no browser, no number


@pytest.mark.slow
def test_photos_are_made_harder_in_each_way(blobs):
    photo = np.repeat(blobs(1, 96)[0][..., None], 3, 2)
    photo[:30] = 255  # the upper edge
    changed = dict(tracker.changes(photo, 1))
    assert len(changed) == 11 and all(image.dtype == np.uint8 for image in changed.values())
    np.testing.assert_array_equal(changed["as it is"], photo)
    for share in (50, 25):
        assert changed[f"room, {share} % of its height"].shape == (1080, 1920, 3)
    assert np.ptp(changed["grey"], axis=2).max() == 0
    assert changed["gamma 5"].mean() < photo.mean() < changed["twice over-exposed"].mean()
    assert changed["blue cast"][..., 2].mean() > 1.5 * changed["blue cast"][..., 0].mean()
    assert changed["noise, sd 25"].astype(int)[50:].std() > photo[50:].astype(int).std()
    assert changed["turned by 180 degrees"][-30:].min() == 255
    assert changed["turned by 90 degrees"][:, :30].min() == 255


def test_a_film_of_a_tight_crop_is_filled_by_the_hand(one_hand):
    image = np.zeros((300, 400, 3), np.uint8)
    points = (one_hand.landmarks[:, :2] * (400, 300)).astype(int)
    image[points[:, 1].min() : points[:, 1].max(), points[:, 0].min() : points[:, 0].max()] = 200
    frames = list(tracker.tight_film(image, one_hand, 0))
    assert len(frames) == tracker.SECOND and frames[0].shape == (200, 200, 3)
    for frame in frames:
        rows, columns = np.nonzero(frame[..., 0] > 100)
        assert 150 < max(np.ptp(rows), np.ptp(columns)) < 190
    assert np.abs(frames[0].astype(int) - frames[-1]).mean() > 1  # it shakes


def test_a_second_hand_is_put_beside_the_first():
    word, other = np.full((12, 60, 90, 3), 50, np.uint8), np.full((8, 60, 90, 3), 200, np.uint8)
    alone = np.stack(list(tracker.beside(word, other, None)))
    assert alone.shape == (12, 60, 150, 3) and alone.max() == 50
    shown = {how: (np.stack(list(tracker.beside(word, other, how)))[..., 0] == 200) for how in tracker.SECONDS}
    assert not any(part[:, :, :90].any() for part in shown.values())  # never over the hand that spells
    assert shown["at rest"][:, 15:].any((1, 2)).all() and not shown["at rest"][:, :15].any()
    comes = shown["enters and leaves"].any((1, 2))
    assert not comes[0] and comes[4:9].all()
    behind = shown["of a second person behind"]
    assert behind.any((1, 2)).all() and behind.sum() < 0.4 * shown["at rest"].sum()


@pytest.mark.slow
def test_words_in_films_are_read_in_each_way(tmp_path):
    from asllib.errors import InputError
    from asllib.signer import render_word, write_video

    rows = ["file,text,signer"]
    for number, (text, signer) in enumerate((("HI", "ann"), ("b-y 2", "ben"))):
        letters = words.letters_of(text)
        write_video(tmp_path / f"{number}.mp4", render_word(letters, signer=2, fps=15).frames, fps=15)
        rows.append(f"{number}.mp4,{text},{signer}")
    (tmp_path / "manifest.csv").write_text("\n".join(rows) + "\n")
    found = words.measure(tmp_path)
    assert found["others"] == {"spaces": 1, "digits": 1, "other signs": 1}
    assert [row["word"] for row in found["read"]] == ["HI", "BY"]
    assert [row["with embedding"] for row in found["read"]] == ["HI", "BY"]
    low, middle, high = found["letters_a_second"]
    assert 0.5 < low <= middle <= high < 5
    for way in words.WAYS:
        assert found[way]["letters"] == 4 and set(found[way]["by_signer"]) == {"ann", "ben"}
    (tmp_path / "manifest.csv").write_text("file,text,signer\nnone.mp4,HI,ann\n")
    with pytest.raises(InputError, match=r"none\.mp4: no such file"):
        words.measure(tmp_path)
    (tmp_path / "manifest.csv").write_text("file,label\n0.mp4,HI\n")
    with pytest.raises(InputError, match="column text is missing"):
        words.measure(tmp_path)
