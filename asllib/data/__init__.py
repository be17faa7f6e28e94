"""Letters with their labels: their sources, splits and faults."""

from asllib.lazy import attach

_MODULES = {
    "letterset": ("LetterSet", "PhotoFiles", "load_photos", "read_image"),
    "looks": ("Looks", "track", "without_pictures"),
    "people_set": ("find_people", "load_people", "load_sequences", "signer_weights"),
    "registry": ("SOURCES", "find_photos", "load_letters"),
    "sign_mnist": ("fetch_sign_mnist", "find_sign_mnist", "load_sign_mnist", "read_pixel_csv", "write_pixel_csv"),
    "splits": ("groups", "leave_one_out", "leave_people_out", "people", "split"),
}

__getattr__, __dir__, __all__ = attach(__name__, _MODULES)
