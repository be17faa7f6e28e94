"""What test_faults.py kills: a command in a process group of its own, with the slow imports done before it starts."""

import os
import resource
import sys


def run(arguments, environment, log, file_size=None):
    """Run ``asl ARGUMENTS``, or the function of this file that is named first; no file grows beyond ``file_size``."""
    os.setpgid(0, 0)  # the processes that it starts are killed with it
    os.environ.update(environment)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(out, 1)
    os.dup2(out, 2)
    if file_size is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))
    functions = (fetch_set, search, record, film, write_film)
    command = {function.__name__: function for function in functions}.get(arguments[0])
    if command is not None:
        command(*arguments[1:])
    else:
        asl(*arguments)


def asl(*arguments):
    from asllib.cli import main

    sys.argv = ["asl", *map(str, arguments)]
    main()


def fetch_set(url, hashes):
    """Download a made-up Sign Language MNIST from a server that speaks as Kaggle's."""
    import kagglesdk.kaggle_http_client as kaggle

    from asllib.data import sign_mnist

    kaggle.get_endpoint = lambda environment: url
    sign_mnist.SHA256 = hashes
    asl("data", "fetch", "sign-mnist")


def search(data, folder, trials):
    """Tune a small network; the study and its result go to one folder."""
    import tune

    from asllib import results
    from asllib.config import Preset, Training
    from asllib.networks import PixelCNN, PixelConfig

    training = Training(epochs=2, learning_rate=4e-3, batch=128, one_cycle=True, weight_decay=0.01)
    network = PixelConfig(channels=(4, 4, 8), hidden=16, batch_norm=True)
    PixelCNN.presets["best"] = Preset(network, training, PixelCNN.presets["best"].augment)
    results.results_dir = lambda: folder
    tune.tune("pixel", trials, data=str(data), storage=str(folder), epochs=2)


def film(path, frames):
    """Write a film with what was read in it."""
    import numpy as np

    from asllib.errors import InputError
    from asllib.read import annotated_video
    from asllib.read.reader import FrameReading

    rng = np.random.default_rng(0)
    try:
        with annotated_video(path, 15) as write:
            for number in range(frames):
                frame = rng.integers(0, 256, (120, 160, 3), np.uint8)
                write(number / 15, frame, FrameReading(None, None, 0.0, np.zeros(26), (), ""))
    except InputError as error:
        raise SystemExit(f"asl: {error}") from None


def write_film(path, frames):
    """Write a film as the synthetic signer's are written."""
    import numpy as np

    from asllib.errors import InputError
    from asllib.signer import write_video

    try:
        write_video(path, np.random.default_rng(0).integers(0, 256, (frames, 120, 160, 3), np.uint8), 15)
    except InputError as error:
        raise SystemExit(f"asl: {error}") from None


class StillHand:
    """In the tracker's place: always the same hand, so that a frame is kept each second."""

    def __init__(self, video):
        import numpy as np

        from asllib.hands.look import Hand

        points = np.random.default_rng(0).uniform(0.3, 0.7, (21, 3)).astype(np.float32)
        points[0, :2], points[9, :2] = (0.5, 0.7), (0.5, 0.4)
        self.hand = Hand(points, points - 0.5, "right", 0.9)

    def detect(self, frame, milliseconds):
        return self.hand


def record(folder, per_sign):
    """Record two signs as the live cell does, as fast as frames can be answered."""
    import cv2
    import numpy as np

    from asllib.live import recording

    recording.HandTracker = StillHand
    frame = cv2.imencode(".jpg", np.random.default_rng(0).integers(100, 256, (48, 64, 3), np.uint8))[1].tobytes()
    session = recording.RecordingSession(folder, ["A", "thank you"], per_sign)
    session.answer({"type": "start", "view": "v", "time": 0.0})
    for number in range(1, 100_000):
        message = {"type": "frame", "view": "v", "id": number, "time": number / 4}
        reply, _ = session.answer(message, [frame])
        if reply["type"] == "error":
            raise SystemExit(f"asl: {reply['message']}")
        if reply["sign"] is None:
            break
    session.close()
