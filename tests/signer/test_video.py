import cv2
import numpy as np
import pytest

from asllib.errors import InputError
from asllib.signer import render_idle, render_word, write_video


@pytest.mark.parametrize("word, said", [("A1", "'1'"), ("", "no letters"), ("  ", "no letters")])
def test_bad_words(word, said):
    with pytest.raises(ValueError, match=said):
        render_word(word)


def test_bad_rates_and_sizes():
    with pytest.raises(ValueError, match="above 0"):
        render_word("A", fps=0)
    with pytest.raises(ValueError, match="at least 28"):
        render_word("A", size=(320, 20))


@pytest.mark.slow
def test_film_has_frames_truth_and_files(tmp_path):
    film = render_word("AL", signer=1, fps=10, letters_per_second=3, size=(96, 72), seed=4)
    again = render_word("AL", signer=1, fps=10, letters_per_second=3, size=(96, 72), seed=4)
    assert film.frames.shape == (len(film), 72, 96, 3) and film.landmarks.shape == (len(film), 21, 3)
    assert [x for x in dict.fromkeys(film.letters) if x] == ["A", "L"] and film.signer == "synthetic-4-001"
    assert np.allclose(film.landmarks, again.landmarks, atol=1e-5)
    for name in ("film.mp4", "film.mjpeg"):
        path = write_video(tmp_path / name, film.frames, film.fps)
        reader, count = cv2.VideoCapture(str(path)), 0
        while reader.read()[0]:
            count += 1
        assert count == len(film)
    with pytest.raises(ValueError, match=r"\.mp4 or \.mjpeg"):
        write_video(tmp_path / "film.gif", film.frames)
    with pytest.raises(ValueError, match="uint8"):
        write_video(tmp_path / "film.mp4", film.frames.astype(float))
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot be written"):
        write_video(tmp_path / "file" / "film.mp4", film.frames)


def test_a_film_of_an_idle_hand_has_no_word():
    film = render_idle(0.5, signer=2, fps=8, size=(64, 48), seed=3)
    assert film.frames.shape == (4, 48, 64, 3) and film.word == "" and (film.positions == -1).all()
    assert film.frames[0].std() > 5
    with pytest.raises(InputError, match="must be above 0"):
        render_idle(0.0)
