"""A synthetic signer: any letter or word as photos or video of a human hand, with exact landmarks."""

from asllib.signer.alphabet import STYLES
from asllib.signer.letters import SyntheticShots, find_signer, render_letters, write_letters
from asllib.signer.motion import SignedWord, render_idle, render_word, write_video

__all__ = [
    "STYLES", "SignedWord", "SyntheticShots", "find_signer", "render_idle", "render_letters", "render_word",
    "write_letters", "write_video",
]  # fmt: skip
