"""Who signs and how the camera sees it: drawn with a seed, then painted."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import torch
from scipy.spatial.transform import Rotation

from asllib.signer.alphabet import clip_to_limits, draw_habit, hand_of, letter_pose
from asllib.signer.contact import settle
from asllib.signer.hand import (
    DIGITS,
    FOREARM_LENGTH,
    FOREARM_RINGS,
    HandShape,
    hand_model,
    hand_shape,
    landmarks,
    orientation,
    pose_hand,
)
from asllib.signer.render import Camera, Light, render, vertex_normals

# The ten tones of the Monk skin tone scale (E. Monk, 2019, skintone.google), sRGB.
MONK = tuple(
    tuple(bytes.fromhex(code))
    for code in "f6ede4 f3e7db f7ead0 eadaba d7bd96 a07e56 825c43 604134 3a312a 292420".split()
)
RING = FOREARM_LENGTH / FOREARM_RINGS


@dataclass(frozen=True)
class Signer:
    """One person: everything that stays the same from picture to picture."""

    name: str  # synthetic-SEED-NUMBER
    phenotype: tuple[float, ...]  # gender, age, muscle, weight, height, proportions, 0..1
    tone: int  # 1..10 on the Monk scale
    tint: tuple[float, ...]  # factors on the tone's linear colour, near 1
    side: str  # "left" or "right", the signing hand
    habit: tuple[float, ...]  # degrees added to every pose, in the order of ``alphabet.ANGLES``
    inward: float  # 0..1, as in ``letter_pose``: how far the palm turns to the signer in G, H, P, Q
    edge: float  # 0..1, how much of the thumb's edge shows in C, G, H, O, P, X


@dataclass(frozen=True)
class Shot:
    """One picture's camera, light and surroundings; colours are linear."""

    yaw: float  # degrees of the camera around the hand, to the side
    pitch: float  # above it
    roll: float  # about its own axis
    distance: float  # metres from the hand
    fill: float  # part of the picture's shorter side that the hand's larger extent takes
    place: tuple[float, ...]  # where the hand's centre lies, fractions of width and height off the middle
    light: tuple[float, ...]  # unit vector towards the key light
    key: tuple[float, ...]  # colour of the key light
    sky: tuple[float, ...]  # of what comes from above
    ground: tuple[float, ...]  # and from below
    exposure: float  # factor on the linear picture
    backdrop: int  # seed of the background
    clutter: float  # 0 a flat wall .. 1 full of things
    sleeve: float  # metres of bare forearm below the wrist; 1 and more is a bare arm
    cloth: tuple[float, ...]  # colour of the sleeve
    noise: float  # of the sensor, standard deviation on the scale 0..255
    blur: float  # pixels in a picture of 224
    smear: tuple[float, ...]  # motion blur along x and y, pixels in a picture of 224
    quality: int  # of the JPEG, 1..100


@dataclass(frozen=True)
class Pictures:
    """What ``photograph`` takes; landmarks as in ``SyntheticShots``."""

    images: np.ndarray  # (B, H, W, 3) uint8 RGB
    landmarks: np.ndarray  # (B, 21, 3) float32
    world: np.ndarray  # (B, 21, 3) float32


def draw_signer(seed: int, number: int) -> Signer:
    """The person ``number`` of the set ``seed``; the same two numbers give the same person."""
    rng = np.random.default_rng([seed, number, 101])
    # The first ten signers of a set have ten different tones, so that a small set spans the scale.
    order = np.random.default_rng([seed, 100]).permutation(10)
    age = rng.uniform(0.45, 1.0) if rng.random() > 0.12 else rng.uniform(0.3, 0.45)
    phenotype = (rng.uniform(0, 1), age, *rng.uniform(0.15, 0.85, 2), *rng.uniform(0.1, 0.9, 2))
    return Signer(
        name=f"synthetic-{seed}-{number:03d}",
        phenotype=tuple(float(v) for v in phenotype),
        tone=int(order[number % 10]) + 1,
        tint=tuple(rng.normal(1, [0.06, 0.04, 0.05]).tolist()),
        side="left" if rng.random() < 0.25 else "right",
        habit=tuple(draw_habit(rng).tolist()),
        inward=float(np.clip(rng.choice([0.05, 0.8], p=[0.85, 0.15]) + rng.normal(0, 0.12), -0.15, 1.1)),
        edge=float(rng.random()),
    )


def _hands(signers: Sequence[Signer]) -> HandShape:
    """Hands at rest, one for each entry; who comes several times is worked out once."""
    people = list(dict.fromkeys(signers))
    return hand_shape(np.array([who.phenotype for who in people])).take([people.index(who) for who in signers])


def letter_poses(people: Sequence[Signer], letters: Sequence[str], still: bool = True) -> np.ndarray:
    """(P, L, angles) degrees: how each signer makes each letter, habits included, fingers and thumb in contact."""
    pairs = [(who, letter) for who in people for letter in letters]
    poses = np.stack([letter_pose(letter, who.inward, who.edge, still) for who, letter in pairs])
    poses = clip_to_limits(poses + np.array([who.habit for who, _ in pairs]))
    touch = [hand_of(letter, who.inward, who.edge) for who, letter in pairs]
    settled = settle(_hands([who for who, _ in pairs]), torch.as_tensor(poses, dtype=torch.float32), touch, steps=80)
    return settled.numpy().astype(np.float64).reshape(len(people), len(letters), -1)


def draw_shot(rng: np.random.Generator, angle: float = 35.0) -> Shot:
    """Settings of one picture: the camera at most ``angle`` degrees from the front, all else at random."""
    tilt, around = angle * np.sqrt(rng.random()), rng.uniform(0, 2 * np.pi)
    light = np.array([rng.normal(0, 0.7), rng.uniform(0.1, 1.0), rng.uniform(0.35, 1.2)])
    warm = rng.normal(0, 0.10)
    strength, fill_light = rng.uniform(0.5, 1.15), rng.uniform(0.25, 0.6)
    tone = np.array([1 + warm, 1.0, 1 - warm])
    hue = rng.uniform(0.02, 0.6) * rng.dirichlet([2, 2, 2]) * 2
    return Shot(
        yaw=float(tilt * np.cos(around)),
        pitch=float(tilt * np.sin(around)),
        roll=float(rng.normal(0, 7)),
        distance=float(np.exp(rng.uniform(np.log(0.35), np.log(1.3)))),
        fill=float(rng.uniform(0.42, 0.78)),
        place=tuple(rng.uniform(-0.10, 0.10, 2).tolist()),
        light=tuple((light / np.linalg.norm(light)).tolist()),
        key=tuple((strength * tone).tolist()),
        sky=tuple((fill_light * (2 - tone)).tolist()),
        ground=tuple((fill_light * rng.uniform(0.35, 0.8) * rng.normal(1, 0.08, 3)).tolist()),
        exposure=float(np.exp(rng.normal(0, 0.22))),
        backdrop=int(rng.integers(2**31)),
        clutter=float(rng.random()),
        sleeve=float(rng.uniform(0.01, 0.12)) if rng.random() < 0.5 else 1.0,
        cloth=tuple(np.clip(hue, 0.01, 0.8).tolist()),
        noise=float(abs(rng.normal(0, 3.5))),
        blur=float(rng.uniform(0.35, 1.0)),
        smear=(0.0, 0.0),
        quality=int(rng.integers(55, 96)),
    )


def linear(colour) -> np.ndarray:
    """sRGB 0..255 -> linear 0..1."""
    part = np.asarray(colour, np.float64) / 255
    return np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)


@lru_cache(maxsize=1)
def _skin_map() -> dict[str, np.ndarray]:
    """For each vertex of the hand 0..1, (V, 1): palm side, nail, crease of a joint."""
    model = hand_model()
    rest = hand_shape(np.full((1, 6), 0.5))
    points, heads, frames = rest.vertices[0].numpy(), rest.heads[0].numpy(), rest.rest[0].numpy()
    weights, faces = model.weights.numpy(), model.faces.numpy()
    normals = vertex_normals(points[None], faces[(faces < len(points)).all(1)])[0]
    bone = weights.argmax(1)
    side = frames[bone][:, :, 2]
    side[np.isin(bone, (0, 1, 5, 9, 13, 17))] = (0, 0, 1)
    facing = (normals * side).sum(1)
    nail, crease = np.zeros(len(points)), np.zeros(len(points))
    for k, (_, middle, last) in enumerate(DIGITS):
        local = (points - heads[last]) @ frames[last]
        length = np.linalg.norm(rest.tips[0, k].numpy() - heads[last])
        width = 0.62 * rest.radii[0, 3 * k + 2].item()
        along = (local[:, 1] > 0.40 * length) & (local[:, 1] < 0.93 * length)
        nail += (weights[:, last] > 0.6) & along & (facing < -0.45) & (abs(local[:, 0]) < width)
        for joint in (middle, last):
            near = np.linalg.norm(points - heads[joint], axis=1) < 0.016
            along = ((points - heads[joint]) @ frames[joint])[:, 1]
            crease += near * np.exp(-((along / 0.002) ** 2))
    parts = {"palm": 0.5 + 1.2 * facing, "nail": nail, "crease": crease}
    return {name: np.clip(part, 0, 1)[:, None] for name, part in parts.items()}


def _paint(signer: Signer, shot: Shot) -> tuple[np.ndarray, np.ndarray]:
    """(V, 3) linear albedo and (V,) gloss of a hand and its forearm."""
    palm, nail, crease = (_skin_map()[name] for name in ("palm", "nail", "crease"))
    dark = (signer.tone - 1) / 9
    # The scale's swatches are paler and greyer than hands, whose blood shows.
    tone = linear(MONK[signer.tone - 1]) * np.array([0.92, 0.70, 0.62]) * np.asarray(signer.tint)
    tone = np.maximum(tone, 0.035 * np.array([1.3, 0.95, 0.8]))
    inner = tone * np.array([1.05, 0.92, 0.92]) * (1 - 0.4 * dark) + 0.4 * dark * np.array([0.34, 0.19, 0.13])
    skin = tone * (1 - palm) + inner * palm
    skin = skin * (1 - crease * np.array([0.18, 0.26, 0.28]))
    pale = 0.45 * tone + 0.55 * np.array([0.50, 0.30, 0.26])
    skin = skin * (1 - nail) + pale * nail
    arm = np.tile(skin[hand_model().loop.numpy()], (FOREARM_RINGS, 1))
    ring = np.repeat(np.arange(FOREARM_RINGS), len(arm) // FOREARM_RINGS)
    clothed = (ring + 1) * RING > shot.sleeve
    arm[clothed] = shot.cloth
    return np.concatenate([skin, arm]), np.concatenate([0.06 + 0.22 * nail[:, 0], np.where(clothed, 0, 0.06)])


def _dress(vertices: np.ndarray, shots: Sequence[Shot]) -> None:
    """Widen the forearm's rings below the cuff, in place: a sleeve with an edge."""
    arm = vertices[:, len(hand_model().weights) :]
    for rings, shot in zip(arm.reshape(len(arm), FOREARM_RINGS, -1, 3), shots, strict=True):
        first = next((k for k in range(FOREARM_RINGS) if (k + 1) * RING > shot.sleeve), FOREARM_RINGS)
        centre = rings.mean(1, keepdims=True)
        rings[first:] = centre[first:] + (rings[first:] - centre[first:]) * 1.22
        if 0 < first < FOREARM_RINGS:
            # The cuff's edge stands just outside the last bare ring.
            rings[first] += (centre[first - 1] - centre[first]) * 0.97


def backdrop(seed: int, clutter: float, size: tuple[int, int]) -> np.ndarray:
    """(height, width, 3) float32 linear colour of a background: from a plain wall, 0, to a crowded room, 1.

    The same seed gives the same room at any ``size`` (width, height).
    """
    rng = np.random.default_rng([seed, 7])
    width, height = size
    scale = max(size) / 224
    base = rng.uniform(0.08, 0.85) * (1 + rng.normal(0, 0.12, 3))
    ramp = np.linspace(-0.5, 0.5, width) * rng.normal(0, 0.3)
    ramp = ramp + np.linspace(-0.5, 0.5, height)[:, None] * rng.normal(0, 0.3)
    room = np.clip(base * (1 + ramp[..., None]), 0.02, 1).astype(np.float32)
    if clutter < 0.15:
        return room
    kind = rng.integers(4)
    if kind == 0:  # boards or blinds
        period, slope = rng.uniform(8, 40) * scale, rng.normal(0, 0.5)
        rows = np.arange(height)[:, None] + slope * np.arange(width)
        rows = rows if rng.random() < 0.5 else rows.T if width == height else rows
        board = np.sin(2 * np.pi * rows / period)
        room *= (1 + rng.uniform(0.05, 0.3) * np.sign(board) * abs(board) ** 0.3)[..., None].astype(np.float32)
    elif kind == 1:  # a floor line and a darker lower half
        cut = int(height * rng.uniform(0.4, 0.8))
        room[cut:] *= (rng.uniform(0.3, 0.9) * (1 + rng.normal(0, 0.1, 3))).astype(np.float32)
    for _ in range(int(rng.integers(2, 4) + clutter * 14)):
        _draw_thing(room, rng, scale)
    if rng.random() < 0.35:  # the signer's own body behind the hand
        shirt = (rng.uniform(0.02, 0.6) * np.clip(1 + rng.normal(0, 0.3, 3), 0.2, 2)).tolist()
        middle = (int(width * rng.uniform(0.1, 0.9)), int(height * rng.uniform(0.9, 1.3)))
        axes = (int(width * rng.uniform(0.4, 0.7)), int(height * rng.uniform(0.5, 0.8)))
        cv2.ellipse(room, middle, axes, 0, 0, 360, shirt, -1, cv2.LINE_AA)
    cv2.GaussianBlur(room, (0, 0), rng.uniform(0.3, 5) * scale, dst=room)
    grain = rng.normal(0, rng.uniform(0, 0.12), (max(2, height // 4), max(2, width // 4))).astype(np.float32)
    return room * (1 + cv2.resize(grain, size, interpolation=cv2.INTER_CUBIC))[..., None]


def _draw_thing(room: np.ndarray, rng: np.random.Generator, scale: float) -> None:
    """Draw a box, an ellipse or a bar somewhere into the room."""
    colour = (rng.uniform(0.02, 0.9) * np.clip(1 + rng.normal(0, 0.35, 3), 0.1, 2)).clip(0.01, 1).tolist()
    x, y = (rng.uniform(0, 1, 2) * room.shape[1::-1]).tolist()
    w, h = (rng.gamma(2, 16, 2) * scale).tolist()
    angle = rng.uniform(0, 180) if rng.random() < 0.3 else 0.0
    kind = rng.random()
    if kind < 0.55:
        corners = cv2.boxPoints(((x, y), (w, h), angle))
        cv2.fillPoly(room, [corners.astype(np.int32)], colour, cv2.LINE_AA)
    elif kind < 0.85:
        axes = (int(w / 2) + 1, int(h / 2) + 1)
        cv2.ellipse(room, (int(x), int(y)), axes, angle, 0, 360, colour, -1, cv2.LINE_AA)
    else:
        end = (int(x + rng.normal(0, 90) * scale), int(y + rng.normal(0, 90) * scale))
        cv2.line(room, (int(x), int(y)), end, colour, max(1, int(rng.uniform(1, 6) * scale)), cv2.LINE_AA)


def photograph(
    poses: np.ndarray,
    signers: Sequence[Signer],
    shots: Sequence[Shot],
    size: tuple[int, int],
    seeds: Sequence[int],
    frame: tuple[float, np.ndarray] | None = None,
    offset: np.ndarray | None = None,
    steps: int = 6,
) -> Pictures:
    """Take B pictures.

    Parameters
    ----------
    poses
        (B, angles) degrees.
    signers, shots, seeds
        B people, settings, and seeds of the sensor's noise.
    size
        (width, height) in pixels.
    frame
        Metres that fill the picture's chosen part, and the place (3,) that the camera looks at; by default each
        hand's own.
    offset
        (B, 3) metres that the hand is moved in the world.
    steps
        How many steps of pushing fingers out of each other.
    """
    place, vertices, joints = _hold(poses, signers, np.zeros((len(poses), 3)) if offset is None else offset, steps)
    if frame is None:
        low, high = joints.min(1), joints.max(1)
        extent, look = (high - low).max(1) + 0.015, ((low + high) / 2)[:, None]
    else:
        extent, look = frame
    turns = Rotation.from_euler("yxz", [(shot.yaw, shot.pitch, shot.roll) for shot in shots], degrees=True)
    vertices, joints = (  # in the camera's axes
        np.einsum("bij,bvj->bvi", turns.as_matrix(), points - look) for points in (vertices, joints)
    )
    distance = np.array([shot.distance for shot in shots])
    focal = np.array([shot.fill for shot in shots]) * min(size) / extent * distance
    camera = Camera(distance, focal, (np.array([shot.place for shot in shots]) + 0.5) * size)
    pictures = _light_up(vertices.astype(np.float32), place, signers, shots, camera, size)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        images = np.stack(list(pool.map(_develop, pictures, shots, seeds)))
    # MediaPipe's z: depth from the wrist, in units of the width, nearer is smaller.
    depth = -(joints[..., 2] - joints[:, :1, 2]) * (focal / distance)[:, None] / size[0]
    flat = np.concatenate([camera.project(joints) / size, depth[..., None]], -1)
    world = (joints - joints.mean(1, keepdims=True)) * np.array([1, -1, -1])
    return Pictures(images, flat.astype(np.float32), world.astype(np.float32))


def _hold(
    poses: np.ndarray, signers: Sequence[Signer], offset: np.ndarray, steps: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Skin at rest (B, V, 3), then skin with forearm and the tracker's points (B, 21, 3) as held in the world."""
    shapes = _hands(signers)
    pose = settle(shapes, torch.as_tensor(poses, dtype=torch.float32), steps=steps)
    with torch.no_grad():
        posed = pose_hand(shapes, pose)
    assert posed.vertices is not None
    turn = orientation(pose).numpy()
    mirror = np.array([(-1 if who.side == "left" else 1, 1, 1) for who in signers])[:, None]
    vertices, joints = (
        (np.einsum("bij,bvj->bvi", turn, points.numpy()) + offset[:, None]) * mirror
        for points in (posed.vertices, landmarks(posed.joints))
    )
    return shapes.vertices.numpy(), vertices, joints


def _light_up(
    vertices: np.ndarray,
    place: np.ndarray,
    signers: Sequence[Signer],
    shots: Sequence[Shot],
    camera: Camera,
    size: tuple[int, int],
) -> np.ndarray:
    """Paint and ray-cast hands (B, V, 3) in the camera's axes whose skin lies at ``place`` at rest."""
    _dress(vertices, shots)
    place = np.concatenate([place, vertices[:, place.shape[1] :] * 0.5], 1)
    albedo, gloss = (np.stack(parts) for parts in zip(*map(_paint, signers, shots), strict=True))
    light = Light(*(np.array([getattr(shot, name) for shot in shots]) for name in ("light", "key", "sky", "ground")))
    left = np.array([who.side == "left" for who in signers])
    return render(vertices, hand_model().faces.numpy(), left, albedo, gloss, place, camera, light, size)


def _develop(picture: np.ndarray, shot: Shot, seed: int) -> np.ndarray:
    """Linear colour with coverage -> the photograph: background, lens, sensor, compression."""
    height, width = picture.shape[:2]
    scale = min(height, width) / 224
    room = backdrop(shot.backdrop, shot.clutter, (width, height)) * (np.asarray(shot.sky) + 0.4).astype(np.float32)
    cover = picture[..., 3:]
    scene = picture[..., :3] + room * (1 - cover)
    scene = cv2.GaussianBlur(scene, (0, 0), max(0.35, shot.blur * scale))
    right, down = shot.smear
    length = float(np.hypot(right, down)) * scale
    if length > 1:
        scene = cv2.filter2D(scene, -1, _smear_kernel(length, np.arctan2(-down, right)))
    scene = np.clip(scene * shot.exposure, 0, None)
    # A camera's curve: straight in the dark, a shoulder in the light.
    scene = scene * (1 + scene / 2.2) / (1 + scene)
    encoded = np.power(scene, 1 / 2.2, dtype=np.float32) * 255
    rng = np.random.default_rng([seed, 11])
    encoded += rng.standard_normal(encoded.shape, dtype=np.float32) * np.float32(shot.noise)
    done = np.clip(encoded, 0, 255).astype(np.uint8)
    _, data = cv2.imencode(".jpg", done[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, shot.quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[..., ::-1]


def _smear_kernel(length: float, angle: float) -> np.ndarray:
    half = int(np.ceil(length / 2))
    kernel = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
    for t in np.linspace(-length / 2, length / 2, 4 * half + 1):
        kernel[round(half - t * np.sin(angle)), round(half + t * np.cos(angle))] += 1
    return kernel / kernel.sum()
