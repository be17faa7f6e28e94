import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch

import asllib
from asllib import cli
from asllib.data import write_pixel_csv
from asllib.hands import read_landmarks
from asllib.letters import STATIC
from asllib.networks import LandmarkCNN, LandmarkConfig, PixelCNN, PixelConfig
from asllib.networks.store import load_model, save_model

pytestmark = pytest.mark.usefixtures("no_data")

LABELS = np.array([n for n in range(25) if n != 9])


@pytest.fixture
def refused(asl):
    """Run the command, which must end with exit code 1 and one line on standard error; returns that line."""

    def run(*arguments) -> str:
        code, out, err = asl(*arguments)
        assert (code, out) == (1, "")
        lines = [line for line in err.replace("\r", "\n").splitlines() if line.strip() and "photo/s" not in line]
        assert len(lines) == 1 and lines[0].startswith("asl: ")
        return lines[0]

    return run


@pytest.fixture
def pixel_folder(tmp_path, blobs):
    folder = tmp_path / "pixels"
    folder.mkdir()
    write_pixel_csv(folder / "sign_mnist_train.csv", np.tile(blobs(24), (4, 1, 1)), np.tile(LABELS, 4))
    write_pixel_csv(folder / "sign_mnist_test.csv", blobs(24), LABELS)
    return folder


@pytest.fixture
def photo_folder(tmp_path):
    folder = tmp_path / "photos"
    for letter in "AB":
        (folder / letter).mkdir(parents=True)
        PIL.Image.new("RGB", (80, 60), (90, 90, 90)).save(folder / letter / "1.png")
    return folder


@pytest.fixture
def landmark_run(tmp_path):
    torch.manual_seed(0)
    return save_model(tmp_path / "landmark-run", LandmarkCNN(LandmarkConfig()), STATIC, {})


def test_data_list_names_the_sets_and_where_they_are(asl, tmp_path):
    code, out, err = asl("data", "list")
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()[::2]] == ["sign-mnist", "photos", "people", "synthetic"]
    code, out, _ = asl("data", "list", "--json", "-")
    rows = json.loads(out)
    assert code == 0 and [row["where"] for row in rows] == [*["not here"] * 3, "everywhere"]
    code, out, _ = asl("data", "list", "--json", tmp_path / "list.json")
    assert code == 0 and json.loads((tmp_path / "list.json").read_text()) == rows
    assert "synthetic" in out


@pytest.mark.slow
def test_a_run_from_data_to_a_report(asl, refused, pixel_folder, tmp_path):
    run = tmp_path / "run"
    code, out, _ = asl("train", "pixel", "--data", pixel_folder, "--out", run, "--epochs", 6, "--seed", 1)
    assert code == 0 and "pixel network" in out
    again = ("train", "pixel", "--data", pixel_folder, "--out", tmp_path / "again", "--epochs", 1, "--json", "-")
    code, out, _ = asl(*again)
    assert code == 0 and json.loads(out) == {"run": str(again[5]), **load_model(again[5])[1]}
    assert sorted(path.name for path in run.iterdir()) == ["card.json", "history.csv", "model.safetensors"]
    _, card = load_model(run)
    assert (card["preset"], card["seed"], card["alphabet"]) == ("best", 1, "".join(STATIC))
    assert card["data"]["rows"] == 120 and len(card["data"]["sha256"]) == 64
    assert len((run / "history.csv").read_text().splitlines()) == 1 + 6
    assert "holds a finished run" in refused("train", "pixel", "--data", pixel_folder, "--out", run)

    code, out, _ = asl("evaluate", "--model", run, "--data", pixel_folder, "--split", "test", "--json", "-")
    found = json.loads(out)
    assert code == 0
    assert list(found) == [
        "model", "data", "n", "hand_found", "accuracy", "interval", "by_letter", "by_source", "by_signer",
        "refused", "accuracy_said", "seen_in_training", "accuracy_unseen",
    ]  # fmt: skip
    assert (found["refused"], found["accuracy_said"]) == (0.0, found["accuracy"])
    assert (found["seen_in_training"], found["accuracy_unseen"]) == (0, found["accuracy"])
    assert found["n"] == 24 and found["hand_found"] == 1.0
    assert found["accuracy"] == pytest.approx(card["metrics"]["test_accuracy"], abs=1e-6)
    assert found["interval"][0] <= found["accuracy"] <= found["interval"][1]
    assert set(found["by_letter"]) == set(STATIC)
    unseen = found["accuracy"]
    code, out, err = asl("evaluate", "--model", run, "--data", pixel_folder)
    assert code == 0 and "of 120 right" in out
    assert err == f"asl: {run} was trained on 96 of these 120 images; of the others {unseen:.2%} are right\n"
    code, out, _ = asl("evaluate", "--model", run, "--data", pixel_folder, "--json", "-")
    found = json.loads(out)
    assert (found["seen_in_training"], found["accuracy_unseen"]) == (96, pytest.approx(unseen))
    code, out, err = asl("evaluate", "--model", run, "--data", pixel_folder, "--split", "train", "--json", "-")
    assert json.loads(out)["accuracy_unseen"] is None
    assert err == f"asl: {run} was trained on these images, or on others of the same set: expect less of new ones\n"
    assert "no image of" in refused("evaluate", "--model", run, "--data", pixel_folder, "--split", "none")


def test_evaluate_says_how_much_predict_would_refuse(asl, pixel_folder, tmp_path):
    letters = asllib.load_letters(str(pixel_folder))
    model = PixelCNN(PixelConfig())
    unsure = asllib.load_recognizer(save_model(tmp_path / "unsure", model, STATIC, {})).read_set(letters).max(1)
    about = {"refuse_below": float(np.median(unsure))}
    run = save_model(tmp_path / "careful", model, STATIC, about)
    said = [p.letter for p in asllib.load_recognizer(run).predict(list(letters.images))]
    right = [letter == truth for letter, truth in zip(said, letters.letters, strict=True) if letter is not None]
    code, out, _ = asl("evaluate", "--model", run, "--data", pixel_folder, "--json", "-")
    found = json.loads(out)
    assert code == 0 and found["refused"] == pytest.approx(said.count(None) / 120) and 0.3 < found["refused"] < 0.7
    assert found["accuracy_said"] == pytest.approx(np.mean(right))
    code, out, _ = asl("evaluate", "--model", run, "--data", pixel_folder)
    rejected = f"{found['refused']:.1%} rejected: below the confidence threshold"
    assert f"{rejected}; of the rest {np.mean(right):.2%} right" in out


def test_predict_says_what_it_reads_in_each_file(asl, photo_folder, landmark_run):
    files = sorted(photo_folder.glob("*/*.png"))
    code, out, _ = asl("predict", *files, "--model", landmark_run, "--json", "-")
    assert code == 0
    assert json.loads(out) == [
        {"file": str(file), "letter": None, "confidence": 0.0, "hand_found": False} for file in files
    ]
    code, out, _ = asl("predict", *files, "--model", landmark_run)
    assert code == 0 and out.splitlines() == [f"{file}: no hand found" for file in files]


def test_predict_refuses_a_hand_without_a_letter_and_says_what_is_likeliest(asl, photo_folder, monkeypatch, one_hand):
    from asllib.read import recognizer

    said = []

    class Reader:
        alphabet = "".join(STATIC)

        def predict(self, images):
            sure = np.full(26, 0.02, np.float32)
            sure[2:4] = 0.5, 0.2
            (_,) = images  # one after the other: photos can be large
            said.append("C" if not said else None)
            return [recognizer.Prediction(said[-1], 0.5, sure, one_hand)]

    monkeypatch.setattr(recognizer, "load_recognizer", lambda name: Reader())
    files = sorted(photo_folder.glob("*/*.png"))
    code, out, _ = asl("predict", *files)
    assert code == 0
    assert out.splitlines() == [
        f"{files[0]}: C (50%), D (20%)",
        f"{files[1]}: a hand, but the model rejects it; likeliest C (50%), D (20%)",
    ]
    said.clear()
    code, out, _ = asl("predict", *files, "--json", "-")
    assert [(row["letter"], row["hand_found"]) for row in json.loads(out)] == [("C", True), (None, True)]


def test_data_check_audits_photos_and_the_hands_in_them(asl, photo_folder):
    code, out, _ = asl("data", "check", photo_folder)
    assert code == 0 and "photos without a hand: 2" in out
    code, out, _ = asl("data", "check", photo_folder, "--no-hands", "--json", "-")
    found = json.loads(out)
    assert code == 0 and (found["rows"], found["no_hand"], found["exact"]) == (2, None, 2)


def test_data_check_goes_on_after_a_photo_that_cannot_be_read(asl, photo_folder):
    good = sorted(photo_folder.glob("*/*.png"))
    good[0].with_name("broken.jpg").write_bytes(b"no photo")
    code, out, err = asl("data", "check", photo_folder, "--no-hands", "--json", "-")
    found = json.loads(out)
    assert (code, found["rows"], len(found["unreadable"])) == (1, 2, 1)
    assert "broken.jpg: not a readable image" in found["unreadable"][0] and found["unreadable"][0] in err
    for path in good:
        path.unlink()
    code, out, err = asl("data", "check", photo_folder, "--no-hands")
    assert (code, out) == (1, "") and "none of its 1 images can be read" in err


def test_json_on_stdout_is_json_alone_where_the_synthetic_signer_takes_the_place_of_data(
    asl, letter_set, blobs, monkeypatch
):
    from asllib.data import registry

    monkeypatch.setattr(registry, "load_synthetic", lambda pixels: letter_set(["A", "B"], blobs(2)))
    code, out, err = asl("data", "check", "auto", "--no-hands", "--json", "-")
    assert code == 0 and json.loads(out)["rows"] == 2
    assert "the synthetic signer takes its place" in err


def test_a_photo_without_a_hand_counts_as_wrong(asl, photo_folder, landmark_run):
    code, out, _ = asl("evaluate", "--model", landmark_run, "--data", photo_folder, "--json", "-")
    found = json.loads(out)
    assert (code, found["n"], found["hand_found"], found["accuracy"]) == (0, 2, 0.0, 0.0)


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "parquet"])
def test_extract_writes_a_row_a_photo(asl, photo_folder, tmp_path, ending):
    out = tmp_path / f"landmarks.{ending}"
    code, said, _ = asl("extract", photo_folder, "--out", out)
    assert code == 0 and "2 photos, a hand in 0" in said
    table = read_landmarks(out)
    assert table["file"].tolist() == ["A/1.png", "B/1.png"] and table["label"].tolist() == ["A", "B"]
    assert (table["score"] == 0).all()


def test_extract_and_fetch_say_as_json_what_they_wrote(asl, photo_folder, pixel_folder, tmp_path, monkeypatch):
    code, out, _ = asl("extract", photo_folder, "--out", tmp_path / "landmarks.csv", "--json", "-")
    assert code == 0
    assert json.loads(out) == {"file": str(tmp_path / "landmarks.csv"), "n": 2, "hand_found": 0.0}
    monkeypatch.setenv("ASLLIB_DATA", str(pixel_folder))
    code, out, _ = asl("data", "fetch", "sign-mnist", "--json", tmp_path / "fetched.json")
    assert code == 0 and out == f"{pixel_folder}\n"
    assert json.loads((tmp_path / "fetched.json").read_text()) == {"name": "sign-mnist", "folder": str(pixel_folder)}


@pytest.mark.slow
def test_render_says_as_json_what_it_drew(asl, tmp_path):
    size = ("--letters", "AB", "--signers", 1, "--views", 1, "--size", 64)
    code, out, _ = asl("data", "render", *size, "--out", tmp_path / "drawn", "--json", "-")
    assert code == 0 and json.loads(out) == {"folder": str(tmp_path / "drawn"), "pictures": 2}
    assert len([*(tmp_path / "drawn").glob("*/*.jpg")]) == 2


@pytest.mark.slow
def test_render_draws_a_letter_that_is_named_twice_once(asl, tmp_path):
    size = ("--letters", "aA", "--signers", 1, "--views", 1, "--size", 64)
    code, out, _ = asl("data", "render", *size, "--out", tmp_path / "drawn")
    assert code == 0 and "1 pictures" in out
    assert len([*(tmp_path / "drawn").glob("*/*.jpg")]) == 1


def test_render_refuses_the_folder_that_one_is_in_before_it_draws(refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert ".: the folder that you are in" in refused("data", "render", "--out", ".")


def test_the_version_is_the_packages(asl):
    assert asl("--version") == (0, f"asllib {asllib.__version__}\n", "")


def test_every_command_but_live_has_json():
    from typer.main import get_command

    def commands(group):
        for name, command in group.commands.items():
            yield from commands(command) if hasattr(command, "commands") else [(name, command)]

    options = {
        name: {option for p in command.params for option in p.opts} for name, command in commands(get_command(cli.app))
    }
    without = [name for name, named in options.items() if "--json" not in named]
    assert without == ["live"]


def test_spelling_takes_no_data(refused, photo_folder, tmp_path):
    assert "leave out --data" in refused("train", "spelling", "--data", photo_folder, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_extract_refuses_what_it_cannot_write_before_it_begins(refused, photo_folder, tmp_path):
    assert "give an ending" in refused("extract", photo_folder, "--out", tmp_path / "landmarks.txt")


def test_a_file_that_is_no_image_stops_extract_and_costs_predict_a_line(
    asl, refused, photo_folder, landmark_run, tmp_path
):
    (photo_folder / "A" / "0.png").write_text("not an image")
    out = tmp_path / "landmarks.csv"
    assert "0.png: not a readable image" in refused("extract", photo_folder, "--out", out, "--workers", 1)
    assert not out.exists()
    files = sorted((photo_folder / "A").iterdir())
    code, said, err = asl("predict", *files, "--model", landmark_run, "--json", "-")
    assert code == 1 and err.count("\n") == 1 and err.startswith("asl: ") and "0.png: not a readable image" in err
    bad, good = json.loads(said)
    assert bad["file"] == str(files[0]) and "not a readable image" in bad["error"]
    assert good == {"file": str(files[1]), "letter": None, "confidence": 0.0, "hand_found": False}
    code, said, _ = asl("predict", photo_folder, "--model", landmark_run)
    assert code == 1 and said.splitlines() == [
        f"{photo_folder / name}: no hand found" for name in ("A/1.png", "B/1.png")
    ]
    assert "no such file" in refused("predict", tmp_path / "none.jpg", "--model", landmark_run)


@pytest.mark.parametrize(
    ("row", "column", "value", "said"),
    [(2, 0, "9", "row 2, label is 9"), (1, 0, "25", "row 1, label is 25"), (3, 7, "256", "row 3, pixel7 is '256'"),
     (3, 7, "-1", "row 3, pixel7 is '-1'"), (3, 7, "x", "row 3, pixel7 is 'x'"), (24, 784, None, "row 24 has 784")],
)  # fmt: skip
def test_a_damaged_csv_stops_every_command_and_nothing_is_written(
    refused, pixel_folder, landmark_run, tmp_path, row, column, value, said
):
    path = pixel_folder / "sign_mnist_test.csv"
    lines = [line.split(",") for line in path.read_text().splitlines()]
    lines[row][column : column + 1] = [] if value is None else [value]
    path.write_text("\n".join(map(",".join, lines)))
    for arguments in (
        ("data", "check", pixel_folder),
        ("train", "pixel", "--data", pixel_folder, "--out", tmp_path / "run"),
        ("evaluate", "--model", landmark_run, "--data", pixel_folder),
    ):
        line = refused(*arguments)
        assert said in line and "sign_mnist_test.csv" in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("data", "check", "{}/none"), "neither a data set"),
        (("data", "check", "{}/empty"), "no photos"),
        (("data", "check", "sign-mnist-2"), "neither a data set"),
        (("data", "fetch", "photos"), "only sign-mnist can be fetched"),
        (("train", "audio", "--out", "{}/run"), "no network 'audio'"),
        (("train", "pixel", "--preset", "worst", "--out", "{}/run"), "no preset 'worst'"),
        (("evaluate", "--model", "{}/none"), "nor a run folder"),
        (("predict", "{}/none.jpg", "--model", "{}/empty"), "nor a run folder"),
    ],
)
def test_a_bad_input_is_one_line_and_exit_1(refused, tmp_path, arguments, said):
    (tmp_path / "empty").mkdir()
    assert said in refused(*(argument.format(tmp_path) for argument in arguments))
    assert not (tmp_path / "run").exists()


def test_weights_that_are_not_the_cards_are_refused(refused, landmark_run, photo_folder):
    weights = landmark_run / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    assert "sha256" in refused("evaluate", "--model", landmark_run, "--data", photo_folder)


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("data", "nonsense"),
        ("predict",),
        ("evaluate",),
        ("train", "pixel"),
        ("train", "pixel", "--out", "run", "--epochs", "0"),
        ("train", "pixel", "--out", "run", "--seed", "one"),
        ("export", "pixel", "--format", "tflite"),
        ("doctor", "--nonsense"),
    ],
)
def test_wrong_usage_is_exit_2(asl, arguments):
    code, out, err = asl(*arguments)
    assert (code, out) == (2, "") and "Usage" in err and "Traceback" not in err


@pytest.mark.parametrize("arguments", [(), ("data",), ("train",), ("evaluate",), ("predict",), ("doctor",)])
def test_every_command_explains_itself(asl, arguments):
    code, out, _ = asl(*arguments, "--help")
    assert code == 0 and "Usage" in out


def test_doctor_says_how_to_mend_what_is_missing(asl):
    code, out, err = asl("doctor")
    marks = [line.split()[0] for line in out.splitlines() if not line.startswith(" ")]
    assert {"ok", "MISSING", "absent", "Everything"} >= set(marks) and marks.count("ok") > 3
    assert (code == 1) == ("MISSING" in marks) == err.startswith("asl: ")
    for line, following in zip(out.splitlines(), [*out.splitlines()[1:], ""], strict=True):
        if line.startswith(("MISSING", "absent")):
            assert following.strip().startswith("-> ")


def test_doctor_goes_on_where_a_package_is_missing(monkeypatch, no_data):
    from asllib import doctor

    monkeypatch.setitem(sys.modules, "asllib.data", None)
    monkeypatch.setattr(doctor, "_tracker", lambda: iter(()))
    *_, data, room = doctor.examine()
    assert not data.ok and "asllib.data" in data.what and "\n" not in data.what and "missing above" in data.mend
    assert room.ok and "free for the cache" in room.what


@pytest.mark.parametrize(
    ("broken", "package", "says"),
    [
        ("asllib.hands.tracker._landmarker", "mediapipe", [False, True]),
        ("asllib.hands.look._network", "ai-edge-litert", [True, False]),
    ],
)
def test_doctor_tells_apart_what_finds_and_what_follows_a_hand(monkeypatch, broken, package, says):
    from asllib import doctor

    def fail(*_):
        raise ImportError("libEGL.so.1: cannot open\nsecond line")

    assert [finding.ok for finding in doctor._tracker()] == [True, True]
    monkeypatch.setattr(broken, fail)
    found = list(doctor._tracker())
    assert [finding.ok for finding in found] == says
    missing = found[says.index(False)]
    assert missing.what.endswith("does not start (ImportError: libEGL.so.1: cannot open)")
    assert missing.mend.endswith(f"--force-reinstall {package}'") and missing.needed


def test_doctor_gives_its_findings_as_json_too(asl, monkeypatch, tmp_path):
    from asllib import doctor

    findings = [
        doctor.Finding(True, "one"),
        doctor.Finding(False, "two", "mend it"),
        doctor.Finding(False, "x", "y", False),
    ]
    monkeypatch.setattr(doctor, "examine", lambda: iter(findings))
    code, out, err = asl("doctor", "--json", "-")
    assert code == 1 and err == "asl: 1 thing to mend, see above\n"
    assert json.loads(out) == [
        {"ok": True, "what": "one", "mend": "", "needed": True},
        {"ok": False, "what": "two", "mend": "mend it", "needed": True},
        {"ok": False, "what": "x", "mend": "y", "needed": False},
    ]
    code, out, _ = asl("doctor", "--json", tmp_path / "doctor.json")
    assert code == 1 and out.startswith("ok      one\nMISSING two\n")
    assert len(json.loads((tmp_path / "doctor.json").read_text())) == 3


@pytest.mark.slow
def test_the_installed_command_ends_without_a_traceback(tmp_path):
    code = "from asllib.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "data", "check", str(tmp_path)], capture_output=True, text=True, timeout=300
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("asl: ") and done.stderr.count("\n") == 1 and "no photos" in done.stderr


# The commands of a list, each as if it were the process's only one, but for what it has imported.
ONE_BY_ONE = """
import json, sys
from asllib.cli import main
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["asl", *arguments]
    sys.stdout.reconfigure(errors="strict")
    code = 0
    try:
        main()
    except SystemExit as ended:
        code = ended.code or 0
    print("ended with", code, flush=True)
    print("ended", file=sys.stderr, flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_console_without_a_paths_letters_shows_escapes(tmp_path, encoding):
    photo = tmp_path / "\u014c\U0001f590.png"
    PIL.Image.new("RGB", (80, 60), (90, 90, 90)).save(photo)
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    commands = (
        (("predict", photo, tmp_path / "none\u014c.jpg"), 1, "\\u014c\\U0001f590.png: no hand found"),
        (("data", "check", photo), 1, "\\u014c\\U0001f590.png: neither a data set"),
        (("--help",), 0, "fingerspelling"),
    )
    arguments = json.dumps([[*map(str, given)] for given, *_ in commands])
    command = [sys.executable, "-c", ONE_BY_ONE, arguments]
    done = subprocess.run(command, capture_output=True, encoding=encoding, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    ends = re.split(r"^ended with (\d+)\n", done.stdout, flags=re.M)
    errors = done.stderr.split("ended\n")
    assert len(ends) == 2 * len(commands) + 1 and len(errors) == len(commands) + 1
    for (_, code, said), out, ended, err in zip(commands, ends[::2], ends[1::2], errors, strict=False):
        assert int(ended) == code and "Traceback" not in err, err
        assert said in out + err


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="no such signals")
def test_a_command_that_is_stopped_says_so(tmp_path):
    # What is started in the background by a shell ignores the signal.
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"{heed}; from asllib.cli import main; main()"
    draw = ("data", "render", "--signers", "8", "--out", str(tmp_path / "drawn"))
    with subprocess.Popen([sys.executable, "-c", code, *draw], stderr=subprocess.PIPE, text=True) as command:
        seen = ""
        while "photo/s" not in seen:  # it draws
            seen += command.stderr.read(1)
            assert command.poll() is None
        command.send_signal(signal.SIGINT)
        said = command.communicate(timeout=120)[1]
    assert command.returncode == 130
    assert said.splitlines()[-1] == "asl: stopped" and "Traceback" not in said
    assert not (tmp_path / "drawn").exists()


@pytest.mark.parametrize(
    ("error", "named"),
    [
        ("ImportError('libGL.so.1: cannot open shared object file: No such file or directory')", "libGL.so.1"),
        ("OSError('libEGL.so.1: cannot open shared object file: No such file or directory')", "libEGL.so.1"),
    ],
)
@pytest.mark.slow
def test_a_library_that_the_system_lacks_is_one_line_and_the_doctor_goes_on(photo_folder, error, named):
    (photo_folder / "bad" / "cv2").mkdir(parents=True)
    (photo_folder / "bad" / "cv2" / "__init__.py").write_text(f"raise {error}")
    path = os.pathsep.join([str(photo_folder / "bad"), str(Path(asllib.__file__).parents[1])])

    def run(*arguments):
        command = [sys.executable, "-m", "asllib.cli", *arguments]
        return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path})

    done = run("predict", photo_folder / "A" / "1.png")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"asl: system library {named} is missing; 'asl doctor' says what to install\n"
    done = run("doctor")
    assert done.returncode == 1 and "Traceback" not in done.stderr and "MediaPipe does not start" in done.stdout
