"""Find and load data sets by name."""

import sys
from pathlib import Path

from asllib.data.drawn import load_synthetic
from asllib.data.letterset import LetterSet, load_photos
from asllib.data.people_set import load_people
from asllib.data.sign_mnist import fetch_sign_mnist, find_sign_mnist, load_sign_mnist
from asllib.errors import InputError
from asllib.paths import data_dir

SOURCES = {
    "sign-mnist": "34,627 grey 28x28 images of the 24 still letters, CC0 (Kaggle datamunge/sign-language-mnist)",
    "photos": "colour photos of the letters with a manifest.csv, in the data folder",
    "people": "colour photos of the letters by 37 more signers; its split keeps them apart",
    "synthetic": "the synthetic signer: drawn on this machine, nothing to download",
}


def load_letters(name: str = "auto", *, pixels: bool = False) -> LetterSet:
    """Load a set of letters; InputError if it is missing or damaged.

    ``name`` is "sign-mnist" (downloaded if missing), "photos", "people", "synthetic", a folder, or "auto": real data
    if there is any, else the synthetic signer. With ``pixels``, "synthetic" and "auto" give 28x28 grey images.
    """
    if name == "auto":
        found, name = (find_sign_mnist(), "sign-mnist") if pixels else (find_photos(), "photos")
        if found is None:
            said = f"No {name} in {data_dir()}: the synthetic signer takes its place ('asl data list' says more)."
            print(said, file=sys.stderr)  # stdout is for results, which may be JSON
            name = "synthetic"
    if name == "sign-mnist":
        return load_sign_mnist(find_sign_mnist() or fetch_sign_mnist())
    if name == "photos":
        folder = find_photos()
        if folder is None:
            raise InputError(f"no photos in {data_dir() / 'photos'}; put LETTER folders and a manifest.csv there")
        return load_photos(folder, "photos of the letters")
    if name == "people":
        return load_people()
    if name == "synthetic":
        return load_synthetic(pixels)
    folder = Path(name)
    if not folder.is_dir():
        raise InputError(f"{name}: neither a data set ({', '.join(SOURCES)}, auto) nor a folder")
    pixel_files = (*folder.glob("sign_mnist_*.csv*"), *folder.glob("sign_mnist_*/sign_mnist_*.csv*"))
    return load_sign_mnist(folder) if pixel_files else load_photos(folder)


def find_photos() -> Path | None:
    """Folder ``photos`` in the data folder, or None."""
    folder = data_dir() / "photos"
    return folder if (folder / "manifest.csv").is_file() else None
