"""Commands that are killed at any moment and run again, full disks, and places that cannot be written to.

``--faults 50`` kills each command fifty times; by default once.
"""

import gzip
import hashlib
import http.server
import io
import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import PIL.Image
import pytest
import torch
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from safetensors.torch import load_file

from asllib.data import load_photos, write_pixel_csv
from asllib.hands import landmark_columns, read_landmarks
from asllib.letters import STATIC

sys.path.append(str(Path(__file__).parent))
import faults_child

pytestmark = pytest.mark.slow

SEED = 0
LIMIT = 300  # seconds, for a command that hangs
FINISHED = re.compile("holds a finished run|is there already")  # what a command says that was killed at its very end


class Commands:
    """Runs commands of ``faults_child`` in processes that begin with all slow imports done."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.log, self.environment = folder / "log.txt", environment
        self.context = multiprocessing.get_context("forkserver")
        slow = ["asllib.train.run", "asllib.live.recording", "asllib.signer.scene", "kagglehub", "anny", "pooch", "cv2"]
        slow += ["tune", "optuna.storages", "optuna.importance"]
        self.context.set_forkserver_preload(["faults_child", *slow])

    def start(self, arguments, environment=None, **limits):
        environment = self.environment | (environment or {})
        process = self.context.Process(
            target=faults_child.run, args=(arguments, environment, self.log), kwargs=limits, daemon=False
        )
        process.start()
        return process

    def run(self, arguments, environment=None, **limits) -> tuple[int, str, float]:
        """Exit code, last line of the log and seconds of a command that is left alone."""
        begun = time.monotonic()
        process = self.start(arguments, environment, **limits)
        process.join(LIMIT)
        if process.exitcode is None:
            kill(process)
            pytest.fail(f"{arguments}: not done after {LIMIT} s: {self.log.read_text()[-500:]}")
        lines = [line for line in re.split(r"[\r\n]+", self.log.read_text()) if line.strip()]
        return process.exitcode, lines[-1] if lines else "", time.monotonic() - begun

    def killed(self, arguments, seconds: float, environment=None) -> bool:
        """Kill a command after some seconds with all processes that it started; False if it was done before."""
        process = self.start(arguments, environment)
        process.join(seconds)
        if process.exitcode is None:
            kill(process)
        process.join(LIMIT)
        return process.exitcode == -signal.SIGKILL


def kill(process) -> None:
    with suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL)
        os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def commands(tmp_path_factory):
    from asllib.paths import cache_dir

    folder = tmp_path_factory.mktemp("faults")
    for name in ("cache", "data", "kaggle"):
        (folder / name).mkdir()
    hand_model = cache_dir() / "signer"  # as the fixture no_data
    hand_model.mkdir(parents=True, exist_ok=True)
    (folder / "cache" / "signer").symlink_to(hand_model)
    made = Commands(
        folder,
        {
            "ASLLIB_DATA": str(folder / "data"),
            "ASLLIB_CACHE": str(folder / "cache"),
            "ASLLIB_PROFILE": "ci",
            "OMP_NUM_THREADS": "1",
            "KAGGLE_API_ENVIRONMENT": "LOCALHOST",
            "KAGGLE_CONFIG_DIR": str(folder / "kaggle"),
        },
    )
    made.run(("data", "list"))  # the slow imports are no part of what is timed
    return made


@pytest.fixture
def faults(commands, request, tmp_path):
    """Kill a command at random moments, run it on until it ends, and compare with a run that was left alone.

    ``arguments(out)`` are the command's; ``same(out, whole)`` compares; ``rest(out)`` looks at what a kill left, may
    return what is to be called when the command has ended.
    """

    def run(arguments, same, rest=lambda out: None, environment=lambda out: {}) -> None:
        rng = np.random.default_rng(SEED)
        name = arguments(Path("out"))[0]
        whole = tmp_path / "whole"
        code, said, seconds = commands.run(arguments(whole), environment(whole))
        assert code == 0, said
        kills = episode = 0
        wanted = request.config.getoption("--faults")
        while kills < wanted:
            episode += 1
            out = tmp_path / f"killed-{episode}"
            moments, left = [], []
            while kills < wanted and (not moments or rng.random() < 0.5):
                moments.append(float(rng.uniform(0, seconds)))
                if not commands.killed(arguments(out), moments[-1], environment(out)):
                    break
                kills += 1
                left.append(rest(out))
            print(f"{name} {episode}: seed {SEED}, killed after {moments} of {seconds:.3f} s")  # shown on failure
            code, said, _ = commands.run(arguments(out), environment(out))
            assert code == 0 or FINISHED.search(said), said
            assert names(out) == names(whole)
            same(out, whole)
            for before in left:
                if before is not None:
                    before()
        print(f"{name}: {kills} kills, {episode} times to the end")

    return run


def names(path: Path) -> list[str]:
    """Files below a folder but for temporary ones, which nothing takes for data: hidden, or named by pooch."""
    if path.is_file():
        return []
    files = (file.relative_to(path) for file in path.rglob("*") if file.is_file())
    return sorted(str(file) for file in files if not any(part.startswith((".", "tmp")) for part in file.parts))


def same_files(out: Path, whole: Path) -> None:
    for name in names(whole):
        assert (out / name).read_bytes() == (whole / name).read_bytes(), name


# Downloads


class Slow(http.server.BaseHTTPRequestHandler):
    """Sends files of the server in small pieces, from where it is asked to; speaks as Kaggle's server besides."""

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path.endswith("/GetDataset"):
            self.answer(200, b'{"currentVersionNumber": 1}', ("Content-Type", "application/json"))
        else:
            self.answer(302, b"", ("Location", f"/{request['fileName']}.zip"))

    def do_GET(self):
        content = self.server.files[self.path]
        first = int(re.sub(r"\D", "", self.headers.get("Range", "0")))
        self.answer(206 if first else 200, content[first:], ("Accept-Ranges", "bytes"))

    def answer(self, status, content, header):
        self.send_response(status)
        self.send_header(*header)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        with suppress(OSError):  # the other side was killed
            for start in range(0, len(content), 1 << 17):
                self.wfile.write(content[start : start + (1 << 17)])
                time.sleep(0.01)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def server():
    """Two made-up files of 4 MB, each in a zip archive as Kaggle sends them."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    server.daemon_threads = True
    rng = np.random.default_rng(0)
    server.tables = {split: rng.bytes(2 << 20).hex().encode() for split in ("train", "test")}
    server.files = {"/model": server.tables["train"]}
    for split, content in server.tables.items():
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr(f"sign_mnist_{split}.csv", content)
        server.files[f"/sign_mnist_{split}.csv.zip"] = archive.getvalue()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.url = f"http://127.0.0.1:{server.server_port}"
    yield server
    server.shutdown()
    server.server_close()


def own_cache(out: Path) -> dict[str, str]:
    return {"ASLLIB_CACHE": str(out), "KAGGLEHUB_CACHE": f"{out}-kaggle"}


def test_a_killed_download_of_a_set_is_whole_in_the_end(faults, server):
    def same(out, whole):
        for split, content in server.tables.items():
            assert gzip.decompress((out / "sign-mnist" / f"sign_mnist_{split}.csv.gz").read_bytes()) == content

    hashes = {split: hashlib.sha256(content).hexdigest() for split, content in server.tables.items()}
    faults(lambda out: ("fetch_set", server.url, hashes), same, environment=own_cache)


@pytest.mark.parametrize("moment", ["before", "while"])
def test_a_download_that_was_killed_as_it_was_unpacked_is_made_anew(commands, server, tmp_path, moment):
    cache = tmp_path / "cache"
    folder = Path(f"{cache}-kaggle") / "datasets/datamunge/sign-language-mnist/versions/1"
    folder.mkdir(parents=True)
    archive, content = server.files["/sign_mnist_test.csv.zip"], server.tables["test"]
    (folder / "sign_mnist_test.csv").write_bytes(archive if moment == "before" else content[: 1 << 20])
    hashes = {"test": hashlib.sha256(content).hexdigest()}
    code, said, _ = commands.run(("fetch_set", server.url, hashes), own_cache(cache))
    assert code == 0, said
    assert gzip.decompress((cache / "sign-mnist" / "sign_mnist_test.csv.gz").read_bytes()) == content


# Pictures and landmarks


@pytest.fixture(scope="module")
def drawn(commands):
    """72 pictures of the synthetic signer: more than are done without a pool."""
    out = commands.log.parent / "drawn"
    code, said, _ = commands.run(
        ("data", "render", "--out", out, "--letters", "BLY", "--signers", 1, "--views", 24, "--size", 64)
    )
    assert code == 0, said
    return out


def test_a_killed_rendering_is_whole_or_not_there(faults):
    def rest(out):
        if out.exists():
            assert len(load_photos(out)) == 12

    def arguments(out):
        return "data", "render", "--out", out, "--letters", "AB", "--signers", 1, "--views", 6, "--size", 48

    faults(arguments, same_files, rest)


def test_a_killed_extraction_finds_the_same_hands_in_the_end(faults, drawn):
    def table(out):
        return out.with_suffix(".csv")

    def same(out, whole):
        pd.testing.assert_frame_equal(read_landmarks(table(out)), read_landmarks(table(whole)))
        assert (read_landmarks(table(out))["score"] > 0).mean() > 0.5

    def rest(out):
        if table(out).exists():
            assert len(read_landmarks(table(out))) == 72

    faults(lambda out: ("extract", drawn, "--out", table(out), "--workers", 2), same, rest)


def test_the_processes_of_a_killed_extraction_end_too(commands, drawn, tmp_path):
    arguments = ("extract", drawn, "--out", tmp_path / "table.csv", "--workers", 2)
    process = commands.start(arguments, {"ASLLIB_CACHE": str(tmp_path)})
    last = time.monotonic() + LIMIT
    while not list(tmp_path.glob("extract/*/*.parquet")) and time.monotonic() < last:
        time.sleep(0.02)
    os.killpg(process.pid, 0)
    os.kill(process.pid, signal.SIGKILL)  # it alone
    process.join(LIMIT)
    assert process.exitcode == -signal.SIGKILL
    with pytest.raises(ProcessLookupError):  # no process of its group is left
        while time.monotonic() < last:
            os.killpg(process.pid, 0)
            time.sleep(0.1)


# Networks


@pytest.fixture(scope="module")
def pixels(commands):
    folder = commands.log.parent / "pixels"
    folder.mkdir()
    rng = np.random.default_rng(0)
    labels = np.array([n for n in range(25) if n != 9])
    for split, n in (("train", 240), ("test", 24)):
        write_pixel_csv(
            folder / f"sign_mnist_{split}.csv", rng.integers(0, 256, (n, 28, 28), np.uint8), np.resize(labels, n)
        )
    return folder


@pytest.fixture(scope="module")
def photos(commands, keep_looks):
    """Plain photos of 24 letters, and in the cache the hands that a tracker would have found in them."""
    folder = commands.log.parent / "photos"
    rng = np.random.default_rng(0)
    for letter in STATIC:
        (folder / letter).mkdir(parents=True)
        for number in range(10):
            PIL.Image.new("RGB", (8, 8), tuple(rng.integers(0, 256, 3).tolist())).save(
                folder / letter / f"{number}.png"
            )
    letters = load_photos(folder)
    table = pd.DataFrame(rng.uniform(0.2, 0.8, (240, 127)).astype(np.float32), columns=landmark_columns()[3:])
    table = table.assign(file=letters.table["file"], label=letters.letters, side="right", width=8, height=8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASLLIB_CACHE", str(commands.log.parent / "cache"))
        keep_looks(letters, table)
    return folder


@pytest.mark.parametrize(("network", "epochs"), [("pixel", 8), ("landmark", 20)])
def test_a_killed_training_ends_with_the_same_weights(faults, commands, request, network, epochs):
    data = request.getfixturevalue({"pixel": "pixels", "landmark": "photos"}[network])

    def same(out, whole):
        expected = load_file(whole / "model.safetensors")
        found = load_file(out / "model.safetensors")
        assert found.keys() == expected.keys()
        for name, tensor in expected.items():
            torch.testing.assert_close(found[name], tensor, atol=1e-6, rtol=0)
        cards = [json.loads((folder / "card.json").read_text()) for folder in (out, whole)]
        assert cards[0].pop("metrics") == pytest.approx(cards[1].pop("metrics"), abs=1e-6)
        for card in cards:
            del card["weights_sha256"]  # of weights that may differ by a hair
        assert cards[0] == cards[1]
        tables = [pd.read_csv(folder / "history.csv") for folder in (out, whole)]
        assert len(tables[0]) == epochs
        pd.testing.assert_frame_equal(*tables, atol=1e-6)

    def rest(out):
        assert not (out / "card.json").exists() or (out / "model.safetensors").is_file()
        if not (out / "checkpoint.pt").is_file() or (out / "card.json").is_file():
            return None
        done = len(torch.load(out / "checkpoint.pt", weights_only=True)["values"]["history"]["train_loss"])
        assert 1 <= done <= epochs

        def gone_on_with():  # the first state of the progress bar, unless there was nothing more to do
            shown = re.search(rf"(\d+)/{epochs}\b", commands.log.read_text())
            assert shown is None or int(shown[1]) >= done

        return gone_on_with

    faults(lambda out: ("train", network, "--data", data, "--out", out, "--epochs", epochs), same, rest)


def test_a_killed_search_goes_on_with_what_it_had_tried(faults, pixels):
    trials = 4

    def tried(out):
        """Trials of the one study in the folder, also those of a file that a killed process left half a line in."""
        storage = JournalStorage(JournalFileBackend(str(out / "studies.log")))
        return [trial for study in storage.get_all_studies() for trial in storage.get_all_trials(study._study_id)]

    def drawn(out):
        """Number -> loss of the trials whose settings were drawn; the preset's is run again if it was killed."""
        preset = {trial.number for trial in tried(out) if "preset" in trial.user_attrs}
        return {number: value for number, value in ended(out)[0].items() if number not in preset}

    def ended(out):
        """Number -> loss of the trials that ended, and the numbers of the others that are not given up."""
        trials = tried(out)
        over = {
            trial.number: trial.value for trial in trials if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)
        }
        return over, [trial.number for trial in trials if trial.state in (TrialState.RUNNING, TrialState.WAITING)]

    def same(out, whole):
        found, others = ended(out)
        assert len(found) == trials and set(found).isdisjoint(others)  # those that a killed process left
        ours, expected = drawn(out), drawn(whole)
        assert len(ours) == len(expected) == trials - 1
        written = json.loads(next(out.rglob("tune_pixel*.json")).read_text())
        assert written["best_value"] == min(found.values()) and written["trials"] == trials
        assert written["preset_value"] in found.values()
        assert {row["number"] for row in written["history"]} == found.keys()

    def rest(out):
        if not (out / "studies.log").is_file():
            return None
        known, _ = ended(out)

        def kept():
            now, _ = ended(out)
            assert {number: now[number] for number in known} == known

        return kept

    faults(lambda out: ("search", pixels, out, trials), same, rest)


def test_a_killed_recording_keeps_every_photo_that_counted(faults):
    def rest(out):
        if not (out / "manifest.csv").is_file():
            return None
        files = pd.read_csv(out / "manifest.csv")["file"].tolist()
        written = {file: (out / file).stat().st_mtime_ns for file in files}

        def kept():
            assert {file: (out / file).stat().st_mtime_ns for file in files} == written

        return kept

    faults(lambda out: ("record", out, 12), same_files, rest)


# Full disks and places that cannot be written to


def one_line(code: int, said: str) -> str:
    assert code == 1 and said.startswith("asl: ") and "Traceback" not in said
    return said


def test_a_full_disk_is_one_line_and_leaves_what_was_there(commands, drawn, pixels, tmp_path):
    """No file may grow beyond some bytes: what the system says differs from a full disk's answer, not where."""

    def full(*arguments, environment=None):
        code, _, _ = commands.run(arguments, environment, file_size=2000)
        lines = commands.log.read_text().replace("\r", "\n").splitlines()
        assert "Traceback" not in "".join(lines)
        said = [line for line in lines if line.startswith("asl: ")]
        assert code == 1 and len(said) == 1 and "File too large" in said[0], lines[-3:]
        return said[0]

    table = tmp_path / "table.csv"
    table.write_text("earlier")
    full("extract", drawn, "--out", table, "--workers", 1)
    assert table.read_text() == "earlier"
    assert str(tmp_path / "set") in full("data", "render", "--out", tmp_path / "set", "--letters", "A", "--views", 1)
    # An empty cache cannot be filled either, which costs time and no more.
    arguments = ("train", "pixel", "--data", pixels, "--out", tmp_path / "run", "--epochs", 1)
    assert "checkpoint.pt" in full(*arguments, environment=own_cache(commands.log.parent / "full"))
    assert "me-0001.jpg" in full("record", tmp_path / "mine", 3)
    assert names(tmp_path) == ["mine/manifest.csv", "table.csv"]
    code, said, _ = commands.run(("record", tmp_path / "mine", 3))
    assert code == 0 and len(load_photos(tmp_path / "mine")) == 6, said
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()]


def test_a_path_below_a_file_is_one_line(asl, no_data, tmp_path):
    below, photos = tmp_path / "file", tmp_path / "photos"
    below.write_text("earlier")
    for letter in "AB":
        (photos / letter).mkdir(parents=True)
        PIL.Image.new("RGB", (8, 8)).save(photos / letter / "1.png")
    for arguments in (
        ("data", "list", "--json", below / "list.json"),
        ("data", "render", "--out", below / "set", "--letters", "A", "--signers", 1, "--views", 1, "--size", 28),
        ("extract", photos, "--out", below / "table.csv"),
        ("train", "landmark", "--out", below / "run"),  # said before it draws what it would learn from
    ):
        code, _, err = asl(*arguments)
        assert code == 1 and str(below) in one_line(code, err.splitlines()[-1])
    assert below.read_text() == "earlier"


def test_devices_are_written_to_and_stay_devices(asl, no_data):
    assert "No space left" in one_line(*asl("data", "list", "--json", "/dev/full")[::2])
    assert asl("data", "list", "--json", "/dev/null")[0] == 0
    assert all(Path("/dev", name).is_char_device() for name in ("full", "null"))


def test_a_full_standard_output_is_one_line(commands):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "asllib.cli", "data", "list"], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert "No space left" in one_line(done.returncode, done.stderr) and done.stderr.count("\n") == 1


@pytest.mark.parametrize("writer", ["film", "write_film"])
def test_a_film_that_does_not_fit_is_refused(commands, tmp_path, writer):
    path = tmp_path / "film.mp4"
    path.write_bytes(b"earlier")
    code, said, _ = commands.run((writer, path, 40), file_size=20_000)
    assert code == 1 and "of 40 frames could be written" in said
    assert list(tmp_path.iterdir()) == [path] and path.read_bytes() == b"earlier"
    getattr(faults_child, writer)(path, 40)
    assert cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FRAME_COUNT) == 40


MOUNTS = {
    "No space left on device": 'mount -t tmpfs -o size=32k tmpfs "$PLACE" && printf earlier > "$PLACE/table.csv"',
    "Read-only file system": 'mount --bind "$PLACE" "$PLACE" && mount -o remount,bind,ro "$PLACE"',
}


@pytest.mark.parametrize("reason", MOUNTS)
@pytest.mark.parametrize("what", ["extraction", "training", "rendering", "film"])
def test_a_disk_that_takes_nothing_keeps_what_was_there(commands, request, tmp_path, what, reason):
    """A real disk of 32 kB, or a read-only one, in a namespace of its own."""
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode:
        pytest.skip("this system gives no namespace to mount in")
    place = tmp_path / "place"
    place.mkdir()
    (place / "table.csv").write_text("earlier")
    asl = ["-m", "asllib.cli"]
    if what == "extraction":
        drawn = request.getfixturevalue("drawn")
        arguments = [*asl, "extract", drawn, "--out", place / "table.csv", "--workers", "1"]
    elif what == "training":
        pixels = request.getfixturevalue("pixels")
        arguments = [*asl, "train", "pixel", "--data", pixels, "--out", place / "run", "--epochs", "1"]
    elif what == "rendering":
        arguments = [*asl, "data", "render", "--out", place / "set", "--letters", "AB", "--signers", "1"]
    else:
        arguments = ["-c", f"import faults_child; faults_child.write_film({str(place / 'film.mp4')!r}, 40)"]
    after = '; code=$?; find "$PLACE" -type f; cat "$PLACE/table.csv"; exit $code'
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", f'{MOUNTS[reason]} && "$@"{after}', "sh", sys.executable, *arguments],
        env={**os.environ, **commands.environment, "PLACE": str(place), "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True, text=True, timeout=LIMIT,
    )  # fmt: skip
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr[-2000:]
    said = [line for line in done.stderr.replace("\r", "\n").splitlines() if line.startswith("asl: ")]
    if (what, reason) == ("film", "No space left on device"):
        reason = "of 40 frames could be written"
    assert len(said) == 1 and reason in said[0] and str(place) in said[0]
    assert done.stdout.splitlines()[-2:] == [str(place / "table.csv"), "earlier"]
    assert done.stdout.count(str(place)) == 1  # no other file is there
    assert (place / "table.csv").read_text() == "earlier"


def test_half_written_photos_are_no_photos(tmp_path):
    (tmp_path / "A").mkdir()
    for name in ("1.png", ".123-2.png", "._1.png"):
        PIL.Image.new("RGB", (8, 8)).save(tmp_path / "A" / name)
    (tmp_path / ".hidden").mkdir()
    PIL.Image.new("RGB", (8, 8)).save(tmp_path / ".hidden" / "1.png")
    assert load_photos(tmp_path).table["file"].tolist() == ["A/1.png"]
