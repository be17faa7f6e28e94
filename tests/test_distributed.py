"""Several processes train as one does: fit in double precision, and `asl train` under torchrun."""

import os
import runpy
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch

from asllib.data import write_pixel_csv
from asllib.distributed import parallel, share, started_together, world
from asllib.errors import InputError
from asllib.networks import PixelCNN, PixelConfig
from asllib.paths import project_root

ROOT = project_root()
LABELS = np.array([n for n in range(25) if n != 9])

# Double precision: in single precision Adam turns rounding into steps, since a bias before a batch normalisation has no
# gradient but rounding, and the curves part slowly, as they do with another number of threads.
FIT = """
import dataclasses, sys
import numpy as np, torch
from asllib.train.augment import ImageAugment, LandmarkAugment
from asllib.config import Training
from asllib.distributed import processes
from asllib.networks import LandmarkCNN, LandmarkConfig, PixelCNN, PixelConfig
from asllib.networks.default import JointConfig, JointNet
from asllib.train.examples import joint_prepare, landmark_prepare, pixel_examples, pixel_prepare
from asllib.train.loop import Examples, fit, set_seed

rng = np.random.default_rng(0)
labels = np.arange(50) % 6
pixels = pixel_examples(rng.integers(0, 256, (50, 28, 28), np.uint8), labels)
points = torch.from_numpy(rng.random((2, 50, 21, 3), np.float32))
landmarks = Examples((points[0], points[1] / 10, torch.arange(50) % 2 == 0, torch.ones(50)), torch.from_numpy(labels))
looks = torch.from_numpy(rng.normal(size=(50, 1152)).astype(np.float32))
joint = Examples((*landmarks.inputs, looks), landmarks.labels)
pixel = PixelConfig(channels=(8, 8, 16), hidden=32, batch_norm=True, dropout=0.3, classes=6)
cases = {
    "pixel": (PixelCNN, pixel, pixels, pixel_prepare(ImageAugment())),
    "landmark": (LandmarkCNN, LandmarkConfig(channels=(8, 8, 16)), landmarks, landmark_prepare(LandmarkAugment())),
    "joint": (JointNet, JointConfig(hidden=16), joint, joint_prepare(LandmarkAugment())),
}
settings = Training(epochs=4, learning_rate=4e-3, batch=19, one_cycle=True, weight_decay=0.05, smoothing=0.05)
with processes() as rank:
    for name, (network, config, examples, prepare) in cases.items():
        set_seed(0)
        model = network(config).double()
        wide = lambda inputs, generator: prepare(inputs, generator).double()
        valid = examples.subset(np.arange(40, 50))
        train = examples.subset(np.arange(40))
        history = fit(model, train, valid, wide, settings, seed=3, progress=False)
        found = {"weights": model.state_dict(), "history": dataclasses.asdict(history)}
        found["kinds"] = [type(layer).__name__ for layer in model.modules()]
        torch.save(found, f"{sys.argv[1]}/{name}-{sys.argv[2]}-{rank}.pt")
"""


def two_processes(*command) -> str:
    """Run Python with arguments as two processes that find each other on this machine; returns what they print."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, *torchrun, *map(str, command)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_two_processes_make_the_run_that_one_makes(tmp_path, monkeypatch):
    """40 items in batches of 19, 19 and 2: shares of unequal size, and the augmentation and dropout of one stream."""
    script = tmp_path / "fit.py"
    script.write_text(FIT)
    monkeypatch.setattr(sys, "argv", [str(script), str(tmp_path), "one"])
    runpy.run_path(str(script))
    two_processes(script, tmp_path, "two")
    for name in ("pixel", "landmark", "joint"):
        one, *two = (
            torch.load(tmp_path / f"{name}-{run}.pt", weights_only=True) for run in ("one-0", "two-0", "two-1")
        )
        assert one["history"]["train_loss"][0] > one["history"]["train_loss"][-1] > 0.5
        for other in two:
            assert other["kinds"] == one["kinds"]  # what was put in for the training is gone
            for curve in ("train_loss", "train_accuracy"):
                np.testing.assert_allclose(other["history"][curve], one["history"][curve], atol=1e-6)  # single in sums
            for key, tensor in one["weights"].items():
                torch.testing.assert_close(other["weights"][key], tensor, atol=1e-6, rtol=0, msg=f"{name} {key}")
            np.testing.assert_allclose(other["history"]["valid_loss"], one["history"]["valid_loss"], atol=1e-6)


@pytest.mark.slow
def test_asl_train_under_torchrun_writes_one_run_folder(tmp_path, blobs, asl):
    folder = tmp_path / "pixels"
    folder.mkdir()
    write_pixel_csv(folder / "sign_mnist_train.csv", blobs(96), np.tile(LABELS, 4))
    write_pixel_csv(folder / "sign_mnist_test.csv", blobs(24), LABELS)
    train = ("train", "pixel", "--data", folder, "--epochs", 3, "--out")
    code, said, _ = asl(*train, tmp_path / "1")
    assert code == 0 and "243,800 parameters" in said
    said = two_processes("-m", "asllib.cli", *train, tmp_path / "2").splitlines()
    assert len(said) == 1 and "243,800 parameters" in said[0]
    names = sorted(path.name for path in (tmp_path / "2").iterdir())
    assert names == ["card.json", "history.csv", "model.safetensors"]
    one, two = (pd.read_csv(tmp_path / n / "history.csv")["train_loss"].to_numpy() for n in "12")
    assert abs(one[0] - two[0]) < 1e-4 and abs(one - two).max() < 1e-2


def test_more_processes_than_gpus_is_told_in_one_line(monkeypatch):
    from asllib import distributed

    monkeypatch.setattr(distributed, "started_together", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setenv("LOCAL_RANK", "1")
    with pytest.raises(InputError, match="2 processes or more, and 1 GPU here; use --nproc-per-node 1"):
        distributed.processes().__enter__()


def test_one_process_is_left_as_it_is():
    model = PixelCNN(PixelConfig(batch_norm=True))
    with parallel(model) as same:
        assert same is model and world() == 1 and share(7) == slice(0, 7) and not started_together()


@pytest.mark.parametrize(("n", "processes"), [(128, 2), (19, 2), (1, 2), (7, 3)])
def test_shares_hold_each_item_once(monkeypatch, n, processes):
    from asllib import distributed

    monkeypatch.setattr(distributed, "world", lambda: processes)
    held = []
    for number in range(processes):
        monkeypatch.setattr(distributed, "rank", lambda number=number: number)
        held += range(n)[share(n)]
    assert held == list(range(n))
