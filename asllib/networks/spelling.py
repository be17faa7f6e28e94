"""The spelling network: the landmark network on each moment of a film, then convolutions along time."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from asllib.config import Training
from asllib.hands.features import landmark_features, mirror_left, palm_size, true_aspect
from asllib.letters import LETTERS
from asllib.networks.landmark import LandmarkCNN, LandmarkConfig
from asllib.networks.store import Network

SIGNS: tuple[str, ...] = (*LETTERS, "space", "del")  # all that one hand shows while it spells
NEITHER = 0  # the output, and the handshape, that says: none of the signs
POINTS = 9  # numbers a landmark
MOVEMENT = 5  # numbers a moment beside the hand's shape


@dataclass(frozen=True)
class SpellingConfig:
    """Shape of the spelling network."""

    signs: tuple[str, ...] = SIGNS  # told apart, as handshapes and in time, beside "neither", which is output 0
    channels: int = 112  # width of every layer along time
    hidden: int = 192  # width of the fully connected layer of the handshape part
    dilations: tuple[int, ...] = (1, 2, 4, 8)  # steps between the three moments that each convolution in time sees
    dropout: float = 0.1  # share of a layer's features that is zeroed in training
    delay: int = 3  # moments that an answer comes late: what the network sees of the time after it

    @property
    def classes(self) -> int:
        """Signs that it tells apart; there is one output more, "neither"."""
        return len(self.signs)

    @property
    def memory(self) -> int:
        """Moments that one answer depends on."""
        return 1 + 2 * sum(self.dilations)


_SHAPES = Training(30, 4e-3, 14, one_cycle=True, warm_up=0.2, weight_decay=0.05, clip_norm=5.0)
_CLIPS = Training(16, 4e-3, 16, one_cycle=True, warm_up=0.15, weight_decay=0.02, clip_norm=5.0)


@dataclass(frozen=True)
class SpellingPreset:
    """The spelling network, its training and its films; each film of a kind is of another synthetic signer."""

    network: SpellingConfig = SpellingConfig()
    shapes: Training = _SHAPES  # of the handshape part, on drawn batches of single moments
    training: Training = _CLIPS  # then of the rest, on clips
    films: int = 300  # of random letters
    sharp: int = 150  # the same, filmed as large as the live cell sends them
    slower: int = 200  # as large, of signers who spell more slowly too
    strokes: int = 100  # of words in which every second letter is J or Z
    idle: int = 200  # of idle hands
    pieced: float = 0.6  # share of each batch that is pieced together from hands of people and of drawn signers
    signers: int = 48  # whose still letters, and handshapes that are no letter, are among the still hands


class SpellingNet(Network):
    """The handshape of each moment, then convolutions that look back in time, each adding to what it is given.

    The first part is the landmark network with one more output, "none of them". It is trained first, on single moments
    and still photos; what it reads goes on beside a few numbers on where the hand points and how it moves. No
    convolution looks ahead in time, so that the network can answer while the hand still moves.
    """

    name, Config, presets = "spelling", SpellingConfig, {"best": SpellingPreset()}

    def __init__(self, config: SpellingConfig) -> None:
        super().__init__()
        self.config = config
        width, shapes = config.channels, 1 + len(config.signs)
        self.pose = nn.Conv1d(POINTS * 21, 24, 1)
        self.enter = nn.Sequential(nn.Conv1d(shapes + 24 + MOVEMENT, width, 1), nn.BatchNorm1d(width), nn.ReLU())
        self.back = nn.ModuleList(
            nn.Sequential(nn.Conv1d(width, width, 3, dilation=d), nn.BatchNorm1d(width), nn.ReLU())
            for d in config.dilations
        )
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Conv1d(width, shapes, 1)
        self.hand = LandmarkCNN(LandmarkConfig(features=POINTS, hidden=config.hidden, classes=shapes))
        # A sign is first of all the handshape of that moment; time has to say the rest.
        self.copy = nn.Conv1d(shapes, shapes, 1, bias=False)
        with torch.no_grad():
            self.copy.weight.zero_()
            self.copy.weight[1:, 1:, 0].fill_diagonal_(6.0)

    def prepare(self, inputs: tuple[Tensor, ...], augment: None = None, generator: Generator | None = None) -> Tensor:
        """Turn landmarks and world (B, T, 21, 3), left (B, T) and aspect (B,) into features (B, C, T)."""
        return moment_features(*inputs)

    def handshapes(self, features: Tensor) -> Tensor:
        """Turn features (B, C, T) into logits of the handshapes (B, 1 + signs, T), "none of them" first."""
        batch, _, steps = features.shape
        hands = features[:, :-MOVEMENT].transpose(1, 2).reshape(batch * steps, 21, -1).transpose(1, 2)  # (B * T, 9, 21)
        return self.hand(hands).unflatten(0, (batch, steps)).transpose(1, 2)

    def see(self, features: Tensor, embedding: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Turn features (B, C, T) into what is seen (B, channels, T), and probabilities of the handshapes.

        Every moment is seen for itself. ``embedding``, log-probabilities (B, signs, T) by the hand's embedding, decides
        with the landmarks which sign it is, and not whether it is one: that is left to the landmarks, which have seen
        far more hands that show none.
        """
        shapes = self.handshapes(features).softmax(1)
        if embedding is not None:
            none, some = shapes[:, :1], shapes[:, 1:] * embedding.exp()
            shapes = torch.cat([none, (1 - none) * some / some.sum(1, keepdim=True).clamp_min(1e-9)], 1)
        shapes = shapes * features[:, -1:]
        pose = self.pose(features[:, :-MOVEMENT])
        return self.enter(torch.cat([pose, features[:, -MOVEMENT:], shapes], 1)), shapes

    def along(self, seen: Tensor, shapes: Tensor, past: list[Tensor] | None = None) -> Tensor:
        """Turn what was seen into logits (B, 1 + signs, T), of a whole film, or of the next moments of one.

        ``past`` starts as an empty list and keeps, in place, what each layer still needs of the moments before, so that
        nothing is computed twice.
        """
        alone, past = past is not None and seen.shape[2] == 1, [] if past is None else past
        if not past:
            past += [seen.new_zeros(*seen.shape[:2], 2 * dilation) for dilation in self.config.dilations]
            past += [shapes.new_zeros(*shapes.shape[:2], self.config.delay)]

        def after_past(layer: int, new: Tensor) -> Tensor:
            longer = torch.cat([past[layer], new], 2)
            past[layer] = longer[:, :, new.shape[2] :]
            return longer

        x = self.dropout(seen)  # (B, channels, T)
        for i, (layer, dilation) in enumerate(zip(self.back, self.config.dilations, strict=True)):
            convolution, *rest = layer.children()
            assert isinstance(convolution, nn.Conv1d)
            longer = after_past(i, x)
            if alone:  # only three moments meet: seven times faster without dilation
                new = F.conv1d(longer[:, :, ::dilation], convolution.weight, convolution.bias)
            else:
                new = convolution(longer)
            for part in rest:
                new = part(new)
            x = x + self.dropout(new)
        return self.head(x) + self.copy(after_past(-1, shapes)[:, :, : shapes.shape[2]])

    def forward(self, features: Tensor) -> Tensor:
        """Turn features (B, C, T) into logits (B, 1 + signs, T)."""
        return self.along(*self.see(features))


def moment_features(landmarks: Tensor, world: Tensor, left: Tensor, aspect: Tensor) -> Tensor:
    """The spelling network's inputs (B, C, T) float32, C = 9 x 21 + 5: hands at even moments.

    They are those of ``landmark_features``, landmark by landmark; then the wrist's movement since the moment before (x,
    y, in palm sizes), how much the palm grew (logarithm), how much the shape changed (5 times the root mean square
    movement of the points from the wrist), and whether there is a hand. All are 0 without one.

    ``landmarks`` (B, T, 21, 3) are NaN where there is no hand, ``world`` and ``left`` (B, T) bool are as for
    ``landmark_features``, and ``aspect`` (B,) is width / height.
    """
    found = torch.isfinite(landmarks[:, :, 0, 0])  # (B, T)
    landmarks, aspect = landmarks.nan_to_num(), aspect[:, None]
    hands = landmark_features(landmarks, world, left, aspect).transpose(2, 3)  # (B, T, 21, 9)
    points = true_aspect(landmarks, aspect)
    size, wrist = palm_size(points)[..., None].clamp_min(1e-3), points[:, :, 0]  # (B, T, 1), (B, T, 3)
    move = mirror_left(((wrist - _shift(wrist)) / size)[..., None, :], left)[:, :, 0, :2]
    grow = (size / _shift(size)).log()
    flat = hands[..., :2]
    # 5 times the root mean square movement of the 21 points
    change = torch.linalg.vector_norm(flat - _shift(flat), dim=(2, 3))[..., None] * (5 / 21**0.5)  # (B, T, 1)
    motion = torch.cat([move, grow, change], -1).clamp(-2, 2) * (found & _shift(found))[..., None]
    features = torch.cat([hands.flatten(2), motion, torch.ones_like(grow)], -1) * found[..., None]
    return features.transpose(1, 2).clamp(-5, 5).contiguous()  # (B, C, T)


def _shift(x: Tensor) -> Tensor:
    """Each moment's value at the moment before; the first keeps its own."""
    return torch.cat([x[:, :1], x[:, :-1]], 1)
