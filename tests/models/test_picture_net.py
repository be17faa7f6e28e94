"""The picture network alone."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from asllib.models.picture_net import SIDE, PictureConfig, PictureNet
from asllib.spelling.pictures import as_input


@pytest.mark.parametrize("width", [8, 24])
def test_a_batch_gives_one_row_a_picture(width):
    model = PictureNet(PictureConfig(width=width, classes=7)).eval()
    pictures = torch.rand(5, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        several, features = model(pictures), model.features(pictures)
        one = model(pictures[3:4])
    assert several.shape == (5, 7) and several.isfinite().all()
    assert features.shape == (5, model.config.features) == (5, 8 * width)
    torch.testing.assert_close(one, several[3:4], atol=1e-5, rtol=1e-4)


def test_bytes_become_numbers_from_0_to_1_and_colours_and_places_count():
    model = PictureNet(PictureConfig()).eval()
    picture = np.random.default_rng(0).integers(0, 60, (1, SIDE, SIDE, 3), np.uint8)
    picture[0, 20:60, 10:50, 0] = 230  # a red patch at the left
    inputs = as_input(torch.from_numpy(picture))
    assert inputs.shape == (1, 3, SIDE, SIDE)
    np.testing.assert_allclose(inputs[0, 1].numpy(), picture[0, ..., 1] / np.float32(255), atol=1e-6)
    with torch.no_grad():
        said, colours, mirrored = (
            model(as_input(torch.from_numpy(np.ascontiguousarray(one))))
            for one in (picture, picture[..., ::-1], picture[:, :, ::-1])
        )
    assert (said - colours).abs().max() > 1e-5 and (said - mirrored).abs().max() > 1e-5


@pytest.mark.slow
def test_it_learns_where_a_thumb_lies():
    """Two letters that differ by a small bar on a large disc, at the left or at the right."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 96)
    pictures = np.full((96, SIDE, SIDE, 3), 60, np.uint8)
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE // 2
    pictures[:, x**2 + y**2 < 40**2] = 160
    for i, label in enumerate(labels):
        across, down = (30 if label else 70) + rng.integers(-4, 5), 40 + rng.integers(-4, 5)
        pictures[i, down : down + 30, across : across + 8] = 220
    inputs, targets = as_input(torch.from_numpy(pictures)), torch.from_numpy(labels)
    torch.manual_seed(0)
    model = PictureNet(PictureConfig(width=16, dropout=0.0, classes=2)).train()
    optimiser = torch.optim.AdamW(model.parameters(), 3e-3)
    for step in range(60):
        rows = slice(16 * (step % 4), 16 * (step % 4) + 16)
        loss = F.cross_entropy(model(inputs[rows]), targets[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        right = model.eval()(inputs[64:]).argmax(1) == targets[64:]
    assert right.float().mean() > 0.9
