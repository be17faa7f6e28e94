"""Say what is missing on this machine, and how to fix it."""

import ctypes
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version

from asllib.errors import InputError, first_line
from asllib.paths import cache_dir, data_dir

# Shared system libraries that wheels need -> the Debian package that has them.
LIBRARIES = {
    "libGL.so.1": ("libgl1", "OpenCV"),
    "libglib-2.0.so.0": ("libglib2.0-0", "OpenCV"),
    "libxcb.so.1": ("libxcb1", "OpenCV"),
    "libEGL.so.1": ("libegl1", "MediaPipe"),
    "libGLESv2.so.2": ("libgles2", "MediaPipe"),
}
DISK_GB = 2


@dataclass(frozen=True)
class Finding:
    """The result of one check: whether all is well, what was checked, and how to fix it if not."""

    ok: bool
    what: str
    mend: str = ""
    needed: bool = True  # False if only some uses need it

    def __str__(self) -> str:
        mark = "ok     " if self.ok else "MISSING" if self.needed else "absent "
        return f"{mark} {self.what}" + ("" if self.ok else f"\n        -> {self.mend}")


def examine() -> Iterator[Finding]:
    """Yield the findings one by one, quick checks first; change nothing."""
    yield Finding(sys.version_info >= (3, 11), f"Python {platform.python_version()}", "install Python 3.11 or later")
    for look in (_packages, _libraries, _tracker, _data, _machine):
        try:
            yield from look()
        except ImportError as error:
            yield Finding(False, f"not looked at: {first_line(error)}", "install the packages that are missing above")
        except InputError as error:  # a missing folder, a broken file
            yield Finding(False, look.__name__.strip("_"), str(error))


def _packages() -> Iterator[Finding]:
    """Check required packages and those of extras, except extras for work on asllib itself."""
    from packaging.requirements import Requirement

    for wanted in map(Requirement, requires("asllib") or []):
        named, found = re.search(r"extra == .(\w+)", str(wanted.marker)), _version(wanted.name)
        extra = named[1] if named else ""
        if extra in ("all", "docs", "test") or (found and wanted.specifier.contains(found, prereleases=True)):
            continue
        wrong = f"package {wanted.name} is {found or 'missing'}, {wanted.specifier} is needed"
        package = f"asllib[{extra}]" if extra else f"{wanted.name}{wanted.specifier}"
        yield Finding(False, wrong, f"run 'pip install \"{package}\"'", needed=not extra)
    both = {name: _version(name) for name in ("opencv-python", "opencv-contrib-python")}
    if None not in both.values() and len(set(both.values())) > 1:
        wrong = f"two versions of OpenCV overwrite each other: {both}"
        yield Finding(False, wrong, "install opencv-python and opencv-contrib-python at one version")
    yield Finding(True, "packages: looked at all that asllib and its extras require")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _libraries() -> Iterator[Finding]:
    for library, (package, user) in LIBRARIES.items() if sys.platform == "linux" else ():
        try:
            ctypes.CDLL(library)
        except OSError:
            yield Finding(False, f"system library {library} is missing ({user} needs it)", f"apt-get install {package}")
    yield Finding(True, "system libraries: looked at those of OpenCV and MediaPipe")


def _tracker() -> Iterator[Finding]:
    import numpy as np

    from asllib.hands import HandTracker, hand_crop, look_at, model_file

    model_file()
    image = np.zeros((64, 64, 3), np.uint8)
    for what, package, start in (
        ("finding a hand: MediaPipe", "mediapipe", lambda: HandTracker().detect(image)),
        ("following a hand: LiteRT", "ai-edge-litert", lambda: look_at(image, hand_crop(np.eye(21, 3), 64, 64))),
    ):
        try:
            start()
        except Exception as error:  # a broken installation may raise anything: that is the finding
            mend = f"install the missing system libraries above, then 'pip install --force-reinstall {package}'"
            yield Finding(False, f"{what} does not start ({type(error).__name__}: {first_line(error)})", mend)
        else:
            yield Finding(True, f"{what} starts, model file checked")


def _data() -> Iterator[Finding]:
    from asllib.data import find_photos, find_sign_mnist

    folder = data_dir()
    for name, found, how in (
        ("Sign Language MNIST", find_sign_mnist(), "'asl data fetch sign-mnist'"),
        ("photos", find_photos(), "data/README.md says where they come from"),
    ):
        mend = f"the synthetic signer takes its place; for the real data: {how}"
        yield Finding(found is not None, f"{name} in {found or folder}", mend, needed=False)


def _machine() -> Iterator[Finding]:
    folder = cache_dir()
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(existing).free / 1e9
    mend = f"free some space, or set ASLLIB_CACHE to a folder elsewhere; {DISK_GB} GB are used"
    yield Finding(free > DISK_GB, f"{free:.0f} GB free for the cache in {folder}", mend)
