"""A letter from the landmarks of one hand: the landmark network, and a random forest. Run by ``bench.py``."""

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier

from asllib import load_recognizer
from asllib.hands import Hand, landmark_features

pytestmark = pytest.mark.benchmark(group="letter", min_rounds=200, disable_gc=True)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def hands():
    """Points at random: the time does not depend on what they show."""
    rng = np.random.default_rng(0)
    points, labels = rng.random((2400, 2, 21, 3), np.float32), np.arange(2400) % 24
    points[:, :, :, 0] += labels[:, None, None] / 24  # something to learn, so that trees end
    return points, labels


def test_network(benchmark, hands):
    """From landmarks to probabilities, features and all."""
    landmarks, world = hands[0][0]
    said = benchmark(load_recognizer("landmark").probabilities, [Hand(landmarks, world, "right", 1.0)], 4 / 3)
    assert said.shape == (24,) and abs(said.sum() - 1) < 1e-5


def test_forest(benchmark, hands):
    """From the same features, already made, to probabilities."""
    points, labels = hands
    left, aspect = torch.zeros(len(points), dtype=torch.bool), torch.ones(len(points))
    features = landmark_features(torch.from_numpy(points[:, 0]), torch.from_numpy(points[:, 1]), left, aspect)
    features = features.flatten(1).numpy()
    forest = RandomForestClassifier(100, random_state=0).fit(features, labels)
    said = benchmark(forest.predict_proba, features[:1])
    assert said.shape == (1, 24)
