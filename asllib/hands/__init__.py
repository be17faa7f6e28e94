"""Hands: find them with MediaPipe, store their 21 landmarks, compute features, draw them."""

from asllib.lazy import attach

_MODULES = {
    "landmarks": (
        "CONNECTIONS", "FINGERS", "FINGER_COLORS", "LANDMARK_NAMES", "PARENTS", "SIZE_COLUMNS",
        "check_landmarks", "draw_hand", "image_columns", "landmark_arrays", "landmark_columns",
        "read_landmarks", "world_columns", "write_landmarks",
    ),
    "tracker": ("ATTEMPTS", "LOOKS", "Attempt", "HandTracker", "table_hands"),
    "extract": ("extract_landmarks", "iter_landmarks"),
    "look": ("Crop", "Hand", "cut", "hand_crop", "look_at", "model_file"),
    "features": ("landmark_features", "landmark_inputs"),
}  # fmt: skip

__getattr__, __dir__, __all__ = attach(__name__, _MODULES)
