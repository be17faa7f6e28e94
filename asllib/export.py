"""Networks as self-contained ONNX files, with preparation, labels and confidence threshold."""

import json
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import asllib
from asllib.errors import InputError
from asllib.hands.look import WIDTH
from asllib.hands.pixels import SIDE
from asllib.hands.stream import RATE
from asllib.lazy import extra
from asllib.networks.default import DefaultNet
from asllib.networks.pixel import PixelCNN
from asllib.networks.spelling import SpellingNet
from asllib.networks.store import Network, load_model
from asllib.paths import write_bytes

with extra("export"):
    import onnx
    import onnxruntime
    from onnx_ir.passes.common import ClearMetadataAndDocStringPass

OPSET = 23  # the newest that PyTorch 2.13 writes; ONNX Runtime 1.32 and onnxruntime-web 1.30 read it
TOLERANCE = 1e-4  # largest allowed difference of a probability from PyTorch's


class WholeModel(nn.Module):
    """A network with its preparation and the softmax: raw inputs -> probabilities."""

    def __init__(self, model: Network) -> None:
        super().__init__()
        self.model = model.eval()

    def forward(self, *inputs: Tensor) -> Tensor:
        """Turn the tensors of ``sample_inputs`` into probabilities (N, classes); (N, T, classes) along time."""
        probabilities = self.model(self.model.prepare(inputs)).softmax(1)
        return probabilities.transpose(1, 2) if probabilities.ndim == 3 else probabilities


def sample_inputs(model: nn.Module, n: int, steps: int = 40, seed: int = 0) -> dict[str, Tensor]:
    """Make random inputs of realistic size for n images, hands or films, by their names in the file.

    ``image`` (n, 28, 28) uint8; or ``landmarks`` and ``world`` (n, 21, 3) float32, ``left`` (n,) bool, ``aspect`` (n,)
    float32, and for ``default`` ``embedding`` (n, 1152) float32. Of ``spelling`` ``landmarks`` and ``world`` are
    (n, steps, 21, 3), NaN at moments without a hand, and ``left`` is (n, steps). The same seed makes the same.
    """
    generator = torch.Generator().manual_seed(seed)
    if isinstance(model, PixelCNN):
        coarse = torch.rand(n, 1, 7, 7, generator=generator)
        return {"image": (255 * F.interpolate(coarse, (SIDE, SIDE), mode="bilinear"))[:, 0].to(torch.uint8)}
    number, along = torch.arange(n), torch.linspace(0, 1, steps)[:, None, None]
    first, last = 0.05 * torch.randn(2, n, 21, 3, generator=generator)  # metres
    moving = isinstance(model, SpellingNet)
    world = torch.lerp(first[:, None], last[:, None], along) if moving else first
    left = (number % 2 == 1)[:, None].repeat(1, steps) if moving else number % 2 == 1
    if moving:
        world[:, steps // 2 : steps // 2 + 3] = torch.nan  # the hand is lost for a moment
    inputs = {"landmarks": 2 * world + torch.tensor([0.5, 0.6, 0.0]), "world": world, "left": left}
    inputs["aspect"] = torch.tensor([4 / 3, 1, 9 / 16])[number % 3]
    if isinstance(model, DefaultNet):
        noise = torch.randn(n, WIDTH, generator=generator)
        inputs["embedding"] = (model.mean + model.std * noise).clamp_min(0).detach()
    return inputs


def export_onnx(name: str | Path, out: str | Path) -> dict[str, Any]:
    """Write a shipped network or a run folder as an ONNX file that takes raw inputs, see docs/export.md.

    The returned ``difference`` is the largest difference of a probability between ONNX Runtime and PyTorch. InputError
    if it is too large, or there is no such network; no file is written.
    """
    out = Path(out)
    if out.suffix != ".onnx":
        raise InputError(f"{out}: use a name that ends in .onnx")
    model, card = load_model(name)
    whole = WholeModel(model)
    logging.disable(logging.WARNING)  # about torchvision, which is not used, and about a preparation that is done
    try:
        graph = _trace(whole)
    finally:
        logging.disable(logging.NOTSET)
    _add_facts(graph, model, card)
    content = graph.SerializeToString()
    difference = _compare(content, whole)
    if not difference <= TOLERANCE:
        said = f"differ from PyTorch's by {difference:.2g}, at most {TOLERANCE:g} is allowed; no file was written"
        raise InputError(f"{name}: ONNX Runtime's probabilities {said}")
    write_bytes(out, content)
    about = {"file": str(out), "model": str(name), "network": card["network"], "opset": OPSET}
    about |= {"inputs": list(sample_inputs(model, 1)), "classes": len(labels(model, card))}
    return {**about, "bytes": len(content), "difference": difference}


def labels(model: nn.Module, card: dict[str, Any]) -> list[str]:
    """Names of the outputs, in order: letters and signs; of ``spelling`` "neither" first."""
    return ["neither", *model.config.signs] if isinstance(model, SpellingNet) else list(card["alphabet"])


def _trace(whole: WholeModel) -> onnx.ModelProto:
    inputs = sample_inputs(whole.model, 3)
    moving = isinstance(whole.model, SpellingNet)
    sizes = tuple({0: "n", 1: "t"} if moving and tensor.ndim > 1 else {0: "n"} for tensor in inputs.values())
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            whole, tuple(inputs.values()), dynamo=True, opset_version=OPSET, input_names=list(inputs),
            output_names=["probabilities"], dynamic_shapes=(sizes,), verbose=False,
        )  # fmt: skip
    assert program is not None  # dynamo=True returns a program
    ClearMetadataAndDocStringPass()(program.model)  # removes the paths of source files
    return program.model_proto


def _add_facts(graph: onnx.ModelProto, model: nn.Module, card: dict[str, Any]) -> None:
    """Add labels, threshold and other facts to the file: as metadata, and as outputs for JavaScript."""
    names, threshold = labels(model, card), float(card.get("refuse_below", 0.0))
    facts = {name: card[name] for name in ("network", "weights_sha256")} | {"asllib_version": asllib.__version__}
    facts |= {"labels": json.dumps(names), "refuse_below": repr(threshold), "licence": "MIT"}
    if isinstance(model, SpellingNet):
        # One moment more than an answer depends on: the first moment of a window has no movement.
        facts |= {"moments_per_second": f"{RATE:g}", "window": str(model.config.memory + 1)}
        facts["delay"] = str(model.config.delay)
    onnx.helper.set_model_props(graph, facts)
    outputs = {"labels": np.array(names, object), "refuse_below": np.array([threshold], np.float32)}
    for name, values in outputs.items():
        constant = onnx.numpy_helper.from_array(values, name)
        graph.graph.initializer.append(constant)
        graph.graph.output.append(onnx.helper.make_tensor_value_info(name, constant.data_type, values.shape))
    onnx.checker.check_model(graph, full_check=True)


def _compare(content: bytes, whole: WholeModel) -> float:
    """Largest difference of a probability between ONNX Runtime and PyTorch, for several items and one."""
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    largest = 0.0
    for n, steps in ((32, 60), (1, 40), (1, 1)):
        inputs = sample_inputs(whole.model, n, steps, seed=n)
        said = session.run(["probabilities"], {name: tensor.numpy() for name, tensor in inputs.items()})[0]
        with torch.inference_mode():
            wanted = whole(*inputs.values()).numpy()
        largest = float(np.maximum(largest, np.abs(said - wanted).max()))  # NaN stays NaN
    return largest
