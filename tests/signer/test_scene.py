from dataclasses import replace

import numpy as np
import pytest

from asllib.signer.alphabet import INDEX, STYLES
from asllib.signer.scene import backdrop, draw_shot, draw_signer, letter_poses


def test_signers_span_the_skin_tones_and_persist():
    people = [draw_signer(0, k) for k in range(10)]
    assert sorted(person.tone for person in people) == list(range(1, 11))
    assert draw_signer(0, 4) == people[4] != draw_signer(1, 4)
    assert {draw_signer(0, k).side for k in range(20)} == {"left", "right"}


def test_a_signer_keeps_one_style_of_a_letter():
    person = next(who for who in (draw_signer(0, k) for k in range(40)) if who.styles.get("M") == "M hanging")
    alone, among = (letter_poses([person], letters)[0] for letters in ("M", "AMX"))
    assert np.allclose(alone[0], among[1], atol=0.5)
    pitch = INDEX["pitch"]
    assert alone[0, pitch] == pytest.approx(STYLES["M hanging"].angles[INDEX["pitch"]] + person.habit[pitch])
    without = letter_poses([replace(person, styles={})], "M")[0]
    assert np.abs(without[0] - alone[0])[:pitch].max() > 30


def test_shots_stay_within_the_asked_angle():
    rng = np.random.default_rng(0)
    tilts = [np.hypot(s.yaw, s.pitch) for s in (draw_shot(rng, 35) for _ in range(300))]
    assert 30 < max(tilts) <= 35 and 20 < np.mean(tilts) < 27


def test_backdrops_go_from_flat_to_cluttered():
    flat, full = backdrop(3, 0.0, (96, 64)), backdrop(3, 1.0, (96, 64))
    assert flat.shape == full.shape == (64, 96, 3)
    assert np.abs(np.diff(full, axis=1)).mean() > 3 * np.abs(np.diff(flat, axis=1)).mean()
    assert (full == backdrop(3, 1.0, (96, 64))).all()
