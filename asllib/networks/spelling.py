"""The motion network: the landmark network on each moment, then convolutions along time.

It reads signs that move and signs in a row, from the landmarks of a hand.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asllib.hands.features import KNUCKLES, TIPS
from asllib.networks.landmark import LandmarkCNN, LandmarkConfig

NEITHER = 0  # the output that says: none of the signs
# Without an eye for handshapes the network sees which fingers are out and where their tips go, nothing else: that
# differs least between people, trackers and the synthetic hand.
DRAWN = 8 + 4 + 1  # how the four tips move, x and y, how far each is from its knuckle, how short the palm looks
PALM_MEMORY = 20  # moments
MOVEMENT = 5  # numbers a moment beside the hand's shape


@dataclass(frozen=True)
class MotionConfig:
    """Shape of the motion network.

    Attributes
    ----------
    signs
        What it tells apart, besides "neither", which is its output 0.
    shapes
        Handshapes that its first part tells apart, besides "none of them"; without any there is no such part.
    solid
        Whether it sees world landmarks too; sets of landmarks from elsewhere may have none.
    channels
        Width of every layer along time.
    hidden
        Width of the fully connected layer of the first part.
    dilations
        Steps between the three moments that each convolution along time sees.
    dropout
        Share of a layer's features that is zeroed in training.
    delay
        Steps that an answer comes after its moment: what the network sees of the time after it.
    """

    signs: tuple[str, ...] = ("J", "Z")
    shapes: tuple[str, ...] = ()
    solid: bool = False
    channels: int = 80
    hidden: int = 128
    dilations: tuple[int, ...] = (1, 2, 4, 8)
    dropout: float = 0.1
    delay: int = 3

    @property
    def points(self) -> int:
        """Numbers a landmark, see ``asllib.networks.moments``."""
        return 9 if self.solid else 6

    @property
    def features(self) -> int:
        """Numbers a moment, see ``asllib.networks.moments``."""
        return self.points * 21 + MOVEMENT

    @property
    def classes(self) -> int:
        """Outputs: the signs and "neither"."""
        return len(self.signs) + 1

    @property
    def context(self) -> int:
        """Moments before it that must be looked at again to see one."""
        return 0 if self.shapes else PALM_MEMORY + 1

    @property
    def memory(self) -> int:
        """Steps that one answer depends on."""
        return 1 + 2 * sum(self.dilations) + self.context


class MotionNet(nn.Module):
    """The handshape of each moment, then convolutions that look back in time, each adding to what it is given.

    The first part is the landmark network with one more output, "none of them". It is trained first, on single moments
    and still photos; what it says goes on beside a few numbers on where the hand points and how it moves. No
    convolution looks ahead in time, so that the network can answer while the hand still moves.
    """

    def __init__(self, config: MotionConfig) -> None:
        super().__init__()
        self.config = config
        width, shapes = config.channels, len(config.shapes) + bool(config.shapes)
        self.pose = nn.Conv1d(config.points * 21 if config.shapes else DRAWN, 24, 1)
        self.enter = nn.Sequential(nn.Conv1d(shapes + 24 + MOVEMENT, width, 1), nn.BatchNorm1d(width), nn.ReLU())
        self.back = nn.ModuleList(
            nn.Sequential(nn.Conv1d(width, width, 3, dilation=d), nn.BatchNorm1d(width), nn.ReLU())
            for d in config.dilations
        )
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Conv1d(width, config.classes, 1)
        if not config.shapes:
            return
        self.hand = LandmarkCNN(LandmarkConfig(features=config.points, hidden=config.hidden, classes=shapes))
        # A sign that is a handshape is first of all what the eye saw at that moment; time has to say the rest.
        self.copy = nn.Conv1d(shapes, config.classes, 1, bias=False)
        with torch.no_grad():
            self.copy.weight.zero_()
            for place, sign in enumerate(config.signs, 1):
                if sign in config.shapes:
                    self.copy.weight[place, 1 + config.shapes.index(sign)] = 6.0

    def handshapes(self, features: Tensor) -> Tensor:
        """Turn features (B, C, T) into logits of the handshapes (B, 1 + shapes, T), "none of them" first."""
        batch, _, steps = features.shape
        hands = features[:, :-MOVEMENT].transpose(1, 2).reshape(batch * steps, 21, -1).transpose(1, 2)  # (B * T, 9, 21)
        return self.hand(hands).unflatten(0, (batch, steps)).transpose(1, 2)

    def drawing(self, features: Tensor) -> Tensor:
        """Turn features (B, C, T) into how the fingertips move and how far the fingers are out (B, DRAWN, T).

        The unit is the largest palm of the last second: a hand that tips to the viewer looks short and is not.
        """
        points = features[:, :-MOVEMENT].unflatten(1, (21, -1))[:, :, :2]  # (B, 21, 2, T)
        knuckles, tips = points[:, KNUCKLES], points[:, TIPS]  # (B, 4, 2, T)
        found = features[:, -1:]
        both = found * F.pad(found, (1, 0))[..., :-1]
        grown = features[:, -3:-2]  # (B, 1, T)
        size = grown.cumsum(2)
        # In two dimensions: the export of max_pool1d fixes the number of moments.
        largest = F.max_pool2d(F.pad(size, (PALM_MEMORY, 0), mode="replicate"), (1, PALM_MEMORY + 1), 1)
        short = (size - largest).exp() * found  # (B, 1, T), 1 for a hand that is not tipped
        before = F.pad(tips, (1, 0))[..., :-1] * (-grown).exp()[:, None]
        moved = (tips - before + features[:, None, -MOVEMENT : -MOVEMENT + 2]) * short[:, None]
        out = (tips - knuckles).norm(dim=2) * short  # (B, 4, T)
        return torch.cat([3 * moved.flatten(1, 2) * both, out, short], 1)

    def look(self, features: Tensor, looks: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Turn features (B, C, T) into what is seen (B, channels, T), and probabilities of the handshapes.

        With handshapes every moment is seen for itself: one that was looked at need not be looked at again. What
        embeddings say of them, ``looks``, logarithms (B, shapes, T), decides with the landmarks which one it is, and
        not whether it is one: that is left to the landmarks, which have seen far more hands that show none.
        """
        pose = features[:, :-MOVEMENT] if self.config.shapes else self.drawing(features)
        seen = [self.pose(pose), features[:, -MOVEMENT:]]
        shapes = features[:, :0]
        if self.config.shapes:
            shapes = self.handshapes(features).softmax(1)
            if looks is not None:
                none, some = shapes[:, :1], shapes[:, 1:] * looks.exp()
                shapes = torch.cat([none, (1 - none) * some / some.sum(1, keepdim=True).clamp_min(1e-9)], 1)
            shapes = shapes * features[:, -1:]
            seen.append(shapes)
        return self.enter(torch.cat(seen, 1)), shapes

    def along(self, seen: Tensor, shapes: Tensor) -> Tensor:
        """Turn what was seen into logits (B, classes, T)."""
        x = self.dropout(seen)  # (B, channels, T)
        for layer, dilation in zip(self.back, self.config.dilations, strict=True):
            x = x + self.dropout(layer(F.pad(x, (2 * dilation, 0))))
        if not self.config.shapes:
            return self.head(x)
        return self.head(x) + self.copy(F.pad(shapes, (self.config.delay, 0))[:, :, : shapes.shape[2]])

    def step(self, seen: Tensor, shapes: Tensor, past: list[Tensor]) -> Tensor:
        """Do the same as ``along``, moment by moment: what was seen (B, channels, 1) to logits (B, classes, 1).

        ``past`` starts as an empty list and keeps, in place, what each layer still needs of the moments before, so that
        nothing is computed twice.
        """
        if not past:
            past += [seen.new_zeros(*seen.shape[:2], 2 * dilation) for dilation in self.config.dilations]
            past += [shapes.new_zeros(*shapes.shape[:2], self.config.delay)]

        def after_past(layer: int, new: Tensor) -> Tensor:
            longer = torch.cat([past[layer], new], 2)
            past[layer] = longer[:, :, 1:]
            return longer

        x = seen  # (B, channels, 1)
        for i, (layer, dilation) in enumerate(zip(self.back, self.config.dilations, strict=True)):
            convolution, *rest = layer.children()
            assert isinstance(convolution, nn.Conv1d)
            # Only three moments meet: one product, many times faster than a dilated convolution of all.
            three = after_past(i, x)[:, :, ::dilation]  # (B, channels, 3)
            new = F.linear(three.flatten(1), convolution.weight.flatten(1), convolution.bias)[:, :, None]
            for part in rest:
                new = part(new)
            x = x + new
        if not self.config.shapes:
            return self.head(x)
        return self.head(x) + self.copy(after_past(-1, shapes)[:, :, :1])

    def forward(self, features: Tensor) -> Tensor:
        """Turn features (B, C, T) into logits (B, classes, T)."""
        return self.along(*self.look(features))
