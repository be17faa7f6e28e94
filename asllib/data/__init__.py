"""Letters with their labels: where they come from, how they are split, what is wrong with them."""

from asllib.data.letterset import LetterSet, PhotoFiles, read_image
from asllib.data.photos import load_photos
from asllib.data.pixel_csv import read_pixel_csv, write_pixel_csv
from asllib.data.registry import SOURCES, find_photos, load_letters
from asllib.data.sign_mnist import fetch_sign_mnist, find_sign_mnist, load_sign_mnist
from asllib.data.splits import groups, leave_one_out, split, split_groups

__all__ = [
    "SOURCES",
    "LetterSet",
    "PhotoFiles",
    "fetch_sign_mnist",
    "find_photos",
    "find_sign_mnist",
    "groups",
    "leave_one_out",
    "load_letters",
    "load_photos",
    "load_sign_mnist",
    "read_image",
    "read_pixel_csv",
    "split",
    "split_groups",
    "write_pixel_csv",
]
