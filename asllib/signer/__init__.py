"""A synthetic signer: any letter or word as photos or video of a human hand, with exact landmarks.

Nothing heavy is imported here; the first call imports torch, anny and warp and prepares the hand model.
"""

from asllib.signer.letters import SyntheticShots, iter_letters, render_letters, write_letters

__all__ = ["SyntheticShots", "iter_letters", "render_letters", "write_letters"]
