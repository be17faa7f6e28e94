"""Who signs and how the camera sees it: drawn with a seed, then painted."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from asllib.signer import alphabet
from asllib.signer.contact import settle
from asllib.signer.hand import (
    FOREARM_RINGS,
    PHALANGES,
    THUMB,
    HandShape,
    hand_model,
    hand_shape,
    landmarks,
    orientation,
    pose_hand,
)
from asllib.signer.render import Camera, Light, render

# The ten tones of the Monk skin tone scale (E. Monk, 2019, skintone.google), sRGB.
MONK = tuple(
    tuple(int(code[k : k + 2], 16) for k in (0, 2, 4))
    for code in "f6ede4 f3e7db f7ead0 eadaba d7bd96 a07e56 825c43 604134 3a312a 292420".split()
)


@dataclass(frozen=True)
class Signer:
    """One person: everything that stays the same from picture to picture.

    Attributes
    ----------
    name : str
        ``synthetic-SEED-NUMBER``.
    phenotype : tuple of 6 floats
        Gender, age, muscle, weight, height, proportions, 0..1.
    tone : int
        1..10 on the Monk scale.
    tint : tuple of 3 floats
        Factors on the tone's linear colour, near 1.
    side : str
        ``"left"`` or ``"right"``, the signing hand.
    habit : tuple of floats
        Degrees added to every pose, in the order of ``alphabet.ANGLES``.
    inward : float
        0..1, how far the palm turns to the signer in the letters that point sideways (G, H, P, Q): 0 shows the
        palm to the camera, 1 the back of the hand.
    edge : float
        0..1, how much of the thumb's edge shows in C, G, H, O, P and X.
    """

    name: str
    phenotype: tuple[float, ...]
    tone: int
    tint: tuple[float, ...]
    side: str
    habit: tuple[float, ...]
    inward: float
    edge: float


@dataclass(frozen=True)
class Shot:
    """One picture's camera, light and surroundings.

    Attributes
    ----------
    yaw, pitch, roll : float
        Degrees of the camera around the hand: to the side, above, about its own axis.
    distance : float
        Metres from the hand.
    fill : float
        Part of the picture's shorter side that the hand's larger extent takes.
    place : tuple of 2 floats
        Where the hand's centre lies, fractions of width and height off the middle.
    light : tuple of 3 floats
        Direction towards the key light, unit length.
    key, sky, ground : tuple of 3 floats
        Linear colours of the key light and of what comes from above and below.
    exposure : float
        Factor on the linear picture.
    backdrop : int
        Seed of the background.
    clutter : float
        0 a flat wall .. 1 full of things.
    sleeve : float
        Metres of bare forearm below the wrist; 1 and more is a bare arm.
    cloth : tuple of 3 floats
        Linear colour of the sleeve.
    noise, blur : float
        Sensor noise (standard deviation, 0..255 scale) and blur (pixels at 224).
    smear : tuple of 2 floats
        Motion blur, pixels along x and y at 224.
    quality : int
        JPEG quality, 1..100.
    """

    yaw: float
    pitch: float
    roll: float
    distance: float
    fill: float
    place: tuple[float, float]
    light: tuple[float, float, float]
    key: tuple[float, ...]
    sky: tuple[float, ...]
    ground: tuple[float, ...]
    exposure: float
    backdrop: int
    clutter: float
    sleeve: float
    cloth: tuple[float, ...]
    noise: float
    blur: float
    smear: tuple[float, float]
    quality: int


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
        habit=tuple(alphabet.draw_habit(rng).tolist()),
        inward=float(np.clip(rng.choice([0.05, 0.8], p=[0.85, 0.15]) + rng.normal(0, 0.12), -0.15, 1.1)),
        edge=float(rng.random()),
    )


def letter_poses(people: Sequence[Signer], letters: Sequence[str], still: bool = True) -> np.ndarray:
    """(P, L, angles) degrees: how each signer makes each letter, habits included, fingers and thumb in contact."""
    import torch

    pairs = [(person, letter) for person in people for letter in letters]
    poses = np.stack([alphabet.letter_pose(letter, who.inward, who.edge, still) for who, letter in pairs])
    poses = alphabet.clip_to_limits(poses + np.array([who.habit for who, _ in pairs]))
    rows = [row for row in range(len(people)) for _ in letters]
    shapes = hand_shape(np.array([who.phenotype for who in people])).take(rows)
    # G may borrow Q's hand.
    touch = ["Q" if letter == "G" and who.edge > 0.5 and who.inward < 0.5 else letter for who, letter in pairs]
    settled = settle(shapes, torch.as_tensor(poses, dtype=torch.float32), touch, steps=80)
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
    """For each vertex of the hand 0..1: palm side, nail, crease of a joint."""
    model = hand_model()
    rest = hand_shape(np.full((1, 6), 0.5))
    points, heads, frames = rest.vertices[0].numpy(), rest.heads[0].numpy(), rest.rest[0].numpy()
    weights = model.weights.numpy()
    from asllib.signer.render import vertex_normals

    faces = model.faces.numpy()
    faces = faces[(faces < model.hand_vertices).all(1)]
    normals = vertex_normals(points[None].astype(np.float32), faces)[0]
    bone = weights.argmax(1)
    side = frames[bone][:, :, 2].copy()
    side[np.isin(bone, (0, 1, 5, 9, 13, 17))] = (0, 0, 1)
    facing = (normals * side).sum(1)
    palm = np.clip(0.5 + 1.2 * facing, 0, 1)
    nail, crease = np.zeros(len(points)), np.zeros(len(points))
    for k, bones in enumerate((THUMB, *PHALANGES.values())):
        last = bones[2]
        local = (points - heads[last]) @ frames[last]
        length = np.linalg.norm(rest.tips[0, k].numpy() - heads[last])
        mine = weights[:, last] > 0.6
        width = 0.62 * rest.radii[0, 3 * k + 2].item()
        nail += (
            mine
            * (local[:, 1] > 0.40 * length)
            * (local[:, 1] < 0.93 * length)
            * (facing < -0.45)
            * (abs(local[:, 0]) < width)
        )
        for joint in bones[1:]:
            near = np.linalg.norm(points - heads[joint], axis=1) < 0.016
            along = ((points - heads[joint]) @ frames[joint])[:, 1]
            crease += near * np.exp(-((along / 0.002) ** 2))
    return {"palm": palm, "nail": np.clip(nail, 0, 1), "crease": np.clip(crease, 0, 1)}


def paint_skin(signers: list[Signer], shots: list[Shot]) -> tuple[np.ndarray, np.ndarray]:
    """(B, V, 3) linear albedo and (B, V) gloss of the hand and forearm."""
    where = _skin_map()
    count = hand_model().hand_vertices
    loop = hand_model().loop.numpy()
    total = count + FOREARM_RINGS * len(loop)
    colour, gloss = np.empty((len(signers), total, 3)), np.full((len(signers), total), 0.06)
    ring = np.arange(total - count) // len(loop)
    cuffed = (ring + 1) * RING
    for b, (signer, shot) in enumerate(zip(signers, shots, strict=True)):
        dark = (signer.tone - 1) / 9
        # The scale's swatches are paler and greyer than hands, whose blood shows.
        tone = linear(MONK[signer.tone - 1]) * np.array([0.92, 0.70, 0.62]) * np.asarray(signer.tint)
        tone = np.maximum(tone, 0.035 * np.array([1.3, 0.95, 0.8]))
        inner = tone * np.array([1.05, 0.92, 0.92]) * (1 - 0.4 * dark) + 0.4 * dark * np.array([0.34, 0.19, 0.13])
        palm, nail, crease = (where[key][:, None] for key in ("palm", "nail", "crease"))
        skin = tone * (1 - palm) + inner * palm
        skin = skin * (1 - crease * np.array([0.18, 0.26, 0.28]))
        pale = 0.45 * tone + 0.55 * np.array([0.50, 0.30, 0.26])
        skin = skin * (1 - nail) + pale * nail
        colour[b, :count] = skin
        gloss[b, :count] += 0.22 * where["nail"]
        arm = skin[loop][np.arange(total - count) % len(loop)]
        cloth = cuffed > shot.sleeve
        colour[b, count:] = np.where(cloth[:, None], np.asarray(shot.cloth), arm)
        gloss[b, count:][cloth] = 0.0
    return colour.astype(np.float32), gloss.astype(np.float32)


RING = 0.24 / FOREARM_RINGS


def _dress(vertices: np.ndarray, shots: list[Shot]) -> None:
    """Widen the forearm's rings below the cuff, in place: a sleeve with an edge."""
    loop = len(hand_model().loop)
    rings = vertices[:, hand_model().hand_vertices :].reshape(len(vertices), FOREARM_RINGS, loop, 3)
    for b, shot in enumerate(shots):
        first = next((k for k in range(FOREARM_RINGS) if (k + 1) * RING > shot.sleeve), None)
        if first is None:
            continue
        centre = rings[b].mean(1, keepdims=True)
        rings[b, first:] = centre[first:] + (rings[b, first:] - centre[first:]) * 1.22
        if first:
            # The cuff's edge stands just outside the last bare ring.
            shift = (centre[first - 1] - centre[first]) * 0.97
            rings[b, first] += shift


def backdrop(seed: int, clutter: float, size: tuple[int, int]) -> np.ndarray:
    """A procedural background, from a plain wall to a crowded room.

    Parameters
    ----------
    seed : int
        The same seed gives the same room at any size.
    clutter : float
        0..1.
    size : (width, height)
        Pixels.

    Returns
    -------
    (height, width, 3) float32
        Linear colour, 0 and up.
    """
    rng = np.random.default_rng([seed, 7])
    width, height = size
    scale = max(size) / 224
    base = rng.uniform(0.08, 0.85) * (1 + rng.normal(0, 0.12, 3))
    ramp = np.linspace(-0.5, 0.5, width)[None] * rng.normal(0, 0.3) + np.linspace(-0.5, 0.5, height)[
        :, None
    ] * rng.normal(0, 0.3)
    room = np.clip(base[None, None] * (1 + ramp[..., None]), 0.02, 1).astype(np.float32)
    room = np.ascontiguousarray(room)
    if clutter < 0.15:
        return room
    kind = rng.integers(4)
    if kind == 0:  # boards or blinds
        period, slope = rng.uniform(8, 40) * scale, rng.normal(0, 0.5)
        rows = np.arange(height)[:, None] + slope * np.arange(width)[None]
        rows = rows if rng.random() < 0.5 else rows.T if width == height else rows
        board = np.sin(2 * np.pi * rows / period)
        room *= (1 + rng.uniform(0.05, 0.3) * np.sign(board) * abs(board) ** 0.3)[..., None].astype(np.float32)
    elif kind == 1:  # a floor line and a darker lower half
        cut = int(height * rng.uniform(0.4, 0.8))
        room[cut:] *= (rng.uniform(0.3, 0.9) * (1 + rng.normal(0, 0.1, 3))).astype(np.float32)
    things = int(rng.integers(2, 4) + clutter * 14)
    for _ in range(things):
        colour = (rng.uniform(0.02, 0.9) * np.clip(1 + rng.normal(0, 0.35, 3), 0.1, 2)).clip(0.01, 1).tolist()
        x, y = rng.uniform(0, 1, 2) * (width, height)
        w, h = rng.gamma(2, 16, 2) * scale
        angle = rng.uniform(0, 180) if rng.random() < 0.3 else 0
        pick = rng.random()
        if pick < 0.55:
            corners = cv2.boxPoints(((float(x), float(y)), (float(w), float(h)), float(angle)))
            cv2.fillPoly(room, [corners.astype(np.int32)], colour, cv2.LINE_AA)
        elif pick < 0.85:
            middle, axes = (int(x), int(y)), (int(w / 2) + 1, int(h / 2) + 1)
            cv2.ellipse(room, middle, axes, angle, 0, 360, colour, -1, cv2.LINE_AA)
        else:
            end = (int(x + rng.normal(0, 90) * scale), int(y + rng.normal(0, 90) * scale))
            cv2.line(room, (int(x), int(y)), end, colour, max(1, int(rng.uniform(1, 6) * scale)), cv2.LINE_AA)
    if rng.random() < 0.35:  # the signer's own body behind the hand
        shirt = (rng.uniform(0.02, 0.6) * np.clip(1 + rng.normal(0, 0.3, 3), 0.2, 2)).tolist()
        middle = (int(width * rng.uniform(0.1, 0.9)), int(height * rng.uniform(0.9, 1.3)))
        axes = (int(width * rng.uniform(0.4, 0.7)), int(height * rng.uniform(0.5, 0.8)))
        cv2.ellipse(room, middle, axes, 0, 0, 360, shirt, -1, cv2.LINE_AA)
    soft = rng.uniform(0.3, 5) * scale
    room = cv2.GaussianBlur(room, (0, 0), soft)
    grain = rng.normal(0, rng.uniform(0, 0.12), (max(2, height // 4), max(2, width // 4))).astype(np.float32)
    return room * (1 + cv2.resize(grain, size, interpolation=cv2.INTER_CUBIC))[..., None]


@dataclass(frozen=True)
class Pictures:
    """``images`` (B, H, W, 3) uint8 RGB, ``landmarks`` (B, 21, 3), ``world`` (B, 21, 3) in metres."""

    images: np.ndarray
    landmarks: np.ndarray
    world: np.ndarray


def _view(shots: list[Shot]) -> np.ndarray:
    """(B, 3, 3) from the world to the camera's axes."""
    out = []
    for shot in shots:
        a, b, c = np.deg2rad([shot.yaw, shot.pitch, shot.roll])
        side = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
        above = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
        lens = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
        out.append(lens @ above @ side)
    return np.stack(out)


def photograph(
    poses: np.ndarray,
    signers: list[Signer],
    shapes: HandShape,
    shots: list[Shot],
    size: tuple[int, int],
    seeds: list[int],
    frame: tuple[np.ndarray, np.ndarray] | None = None,
    offset: np.ndarray | None = None,
    steps: int = 6,
) -> Pictures:
    """Take B pictures.

    Parameters
    ----------
    poses : (B, angles) float
        Degrees.
    signers, shots : lists of B
        Who and how.
    shapes : HandShape
        B hands at rest, one a picture.
    size : (width, height)
        Pixels.
    seeds : list of B ints
        Of the sensor's noise.
    frame : (extent (B,), centre (B, 3)), optional
        Metres that fill the picture's chosen part, and what the camera looks at; by default each hand's own.
    offset : (B, 3), optional
        Metres that the hand is moved in the world, for strokes.
    steps : int
        How many steps of pushing fingers out of each other.
    """
    import torch

    pose = settle(shapes, torch.as_tensor(np.asarray(poses, np.float32)), steps=steps)
    with torch.no_grad():
        posed = pose_hand(shapes, pose)
        turn = orientation(pose)
    flip = np.array([[1.0 if s.side == "right" else -1.0, 1, 1] for s in signers])[:, None]

    def place(points):
        moved = np.einsum("bij,bvj->bvi", turn.numpy(), points.numpy())
        if offset is not None:
            moved = moved + offset[:, None]
        return moved * flip

    vertices, joints = place(posed.vertices), place(landmarks(posed.joints))
    view = _view(shots)
    if frame is None:
        low, high = joints.min(1), joints.max(1)
        frame = ((high - low).max(1) + 0.015, (low + high) / 2)
    extent, look = frame
    vertices = np.einsum("bij,bvj->bvi", view, vertices - look[:, None]).astype(np.float32)
    joints = np.einsum("bij,bvj->bvi", view, joints - look[:, None])
    _dress(vertices, shots)
    width, height = size
    distance = np.array([s.distance for s in shots])
    fill = np.array([s.fill for s in shots])
    camera = Camera(
        distance=distance,
        focal=fill * min(size) / extent * distance,
        centre=np.array([[0.5 + s.place[0], 0.5 + s.place[1]] for s in shots]) * size,
    )
    light = Light(*(np.array([getattr(s, n) for s in shots]) for n in ("light", "key", "sky", "ground")))
    colour, gloss = paint_skin(signers, shots)
    texture = np.zeros_like(vertices)
    count = hand_model().hand_vertices
    texture[:, :count] = shapes.vertices.numpy()
    texture[:, count:] = vertices[:, count:] * 0.5
    faces = hand_model().faces.numpy()
    left = np.array([s.side == "left" for s in signers])
    picture = np.empty((len(shots), height, width, 4), np.float32)
    for mask, corners in ((~left, faces), (left, faces[:, ::-1].copy())):
        if mask.any():
            picture[mask] = render(
                vertices[mask], corners, colour[mask], texture[mask], gloss[mask],
                Camera(camera.distance[mask], camera.focal[mask], camera.centre[mask]),
                Light(light.direction[mask], light.key[mask], light.sky[mask], light.ground[mask]), size,
            )  # fmt: skip
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        images = np.stack(list(pool.map(_develop, picture, shots, seeds)))
    flat = camera.project(joints) / size
    # MediaPipe's z: depth from the wrist, in units of the width, nearer is smaller.
    depth = -(joints[..., 2] - joints[:, :1, 2]) * (camera.focal / distance)[:, None] / width
    world = (joints - joints.mean(1, keepdims=True)) * np.array([1, -1, -1])
    return Pictures(
        images,
        np.concatenate([flat, depth[..., None]], -1).astype(np.float32),
        world.astype(np.float32),
    )


def _develop(picture: np.ndarray, shot: Shot, seed: int) -> np.ndarray:
    """Linear colour with coverage -> the photograph: background, lens, sensor, compression."""
    height, width = picture.shape[:2]
    scale = min(height, width) / 224
    room = backdrop(shot.backdrop, shot.clutter, (width, height)) * (np.asarray(shot.sky) + 0.4).astype(np.float32)
    cover = picture[..., 3:]
    scene = picture[..., :3] + room * (1 - cover)
    scene = cv2.GaussianBlur(scene, (0, 0), max(0.35, shot.blur * scale))
    length = float(np.hypot(*shot.smear)) * scale
    if length > 1:
        scene = cv2.filter2D(scene, -1, _smear_kernel(length, np.arctan2(-shot.smear[1], shot.smear[0])))
    scene = np.clip(scene * shot.exposure, 0, None)
    # A camera's curve: straight in the dark, a shoulder in the light.
    scene = scene * (1 + scene / 2.2) / (1 + scene)
    encoded = np.power(scene, 1 / 2.2, dtype=np.float32) * 255
    rng = np.random.default_rng([seed, 11])
    encoded += rng.standard_normal(encoded.shape, dtype=np.float32) * np.float32(shot.noise)
    done = np.clip(encoded, 0, 255).astype(np.uint8)
    ok, data = cv2.imencode(".jpg", done[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, shot.quality])
    return cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1] if ok else done


def _smear_kernel(length: float, angle: float) -> np.ndarray:
    half = int(np.ceil(length / 2))
    kernel = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
    for t in np.linspace(-length / 2, length / 2, 4 * half + 1):
        kernel[round(half - t * np.sin(angle)), round(half + t * np.cos(angle))] += 1
    return kernel / kernel.sum()
