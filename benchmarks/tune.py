"""Search with Optuna for better settings around the preset "best" of the pixel or the landmark network.

python benchmarks/tune.py landmark --data FOLDER --trials 50

Needs the extra ``tune``. The same command goes on with a search that was stopped, or shares its work; docs/tune.md says
more. The summary goes to data/results/tune_NETWORK.json, of a folder of one's own to tune_NETWORK-FOLDER.json.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import sys
import warnings
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.distributions import CategoricalDistribution as Choice
from optuna.distributions import FloatDistribution as Range
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from tqdm.auto import tqdm

from asllib.config import Preset
from asllib.data import groups, split
from asllib.data.audit import near_duplicate_groups, thumbnails
from asllib.data.letterset import LetterSet
from asllib.data.looks import track
from asllib.errors import InputError
from asllib.networks.pixel import small_set
from asllib.networks.store import preset as find_preset
from asllib.paths import cache_dir, digest
from asllib.results import save_result
from asllib.train.loop import Examples, History, epochs_for, for_pixels, hand_examples, train
from asllib.train.run import parts, pixel_set, training_sets

_ENDED = (TrialState.COMPLETE, TrialState.PRUNED)
_TRAINING = {
    "training.learning_rate": Range(5e-4, 2e-2, log=True),
    "training.weight_decay": Range(1e-3, 0.3, log=True),
    "training.batch": Choice((64, 128, 256)),
}
# The setting's place in the preset -> where it is searched. Smoothing is left out: it raises the loss that is searched
# for, whatever it does to what is read.
SPACES: dict[str, dict[str, BaseDistribution]] = {
    "pixel": {
        **_TRAINING, "network.dropout": Range(0, 0.5),
        "augment.turn": Range(0, 20), "augment.shift": Range(0, 0.2), "augment.zoom": Range(0, 0.2),
    },
    "landmark": {
        **_TRAINING, "network.dropout": Range(0, 0.6), "network.hidden": Choice((64, 128, 256)),
        "augment.turn": Range(0, 30), "augment.tilt": Range(0, 45),
        "augment.stretch": Range(0, 0.3), "augment.jitter": Range(0, 0.06),
    },
}  # fmt: skip


def tune(
    network: str, trials: int, data: str = "auto", storage: str | None = None, epochs: int | None = None, seed: int = 0
) -> dict[str, Any]:
    """Search around the preset "best" of "pixel" or "landmark" for the lowest validation loss.

    The preset itself is the first trial; trial k has the seed ``seed + k``, and those that fall behind the median of
    the others are pruned. ``trials`` counts them all: the same call goes on with a study that was stopped, and several
    at once share one whose log lies in the folder ``storage``, else the cache. The test part of ``data`` is not used.

    Returns ``summarise``, which is also written among the results, and ``best``, the best settings as code. InputError
    if the data does not do.
    """
    preset, space = find_preset(network, "best"), SPACES[network]
    letters, fitting, deciding = tuning_parts(network, training_sets(network, preset, data)[0])
    epochs = epochs or epochs_for(preset.training, len(fitting))
    about = f"{preset} {space} {letters.sha256()} {epochs} {seed}"
    folder = cache_dir() if storage is None else Path(storage).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        study_name=f"{network}-{digest(about)[:16]}",
        storage=JournalStorage(JournalFileBackend(str(folder / "studies.log"))),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=epochs // 3),
        load_if_exists=True,
    )
    known = len(study.get_trials(states=_ENDED))
    study.sampler = optuna.samplers.TPESampler(seed=seed + known)  # one that goes on does not draw the same again
    if not any("preset" in trial.user_attrs for trial in study.get_trials(states=(*_ENDED, TrialState.WAITING))):
        study.enqueue_trial(values_of(preset, space), user_attrs={"preset": True})
    with tqdm(total=trials, initial=known, unit="trial") as bar:
        while len(study.get_trials(states=_ENDED)) < trials:  # others may share the study
            trial = study.ask(space)
            settings, how = with_values(preset, trial.params), {"seed": seed + trial.number, "epochs": epochs}
            try:
                _, history = train(settings, fitting, deciding, **how, progress=False, on_epoch=partial(_report, trial))
                study.tell(trial, history.valid_loss[-1])
            except optuna.TrialPruned:
                study.tell(trial, state=TrialState.PRUNED)
            bar.update()
    summary = {"network": network, "epochs": epochs, **summarise(study)}
    usual = ("auto", "synthetic", "sign-mnist" if network == "pixel" else "photos")
    own = "" if data in usual else f"-{Path(data).resolve().name}"  # takes no other search's place
    save_result(f"tune_{network}{own}", summary, letters, seed)
    return {**summary, "best": as_code(with_values(preset, summary["best_parameters"]))}


def _report(trial: optuna.Trial, history: History) -> None:
    """Tell a trial how an epoch went; TrialPruned ends one without hope."""
    loss = history.valid_loss[-1]
    trial.report(loss, len(history) - 1)
    trial.set_user_attr("accuracy", history.valid_accuracy[-1])
    if not math.isfinite(loss) or trial.should_prune():
        raise optuna.TrialPruned


def tuning_parts(network: str, letters: LetterSet) -> tuple[LetterSet, Examples, Examples]:
    """Split a set for a search: the set without its test part, the examples to train on, those to decide by.

    A set with an official test has no validation part: 30 % of its training part become one, by signer where ten or
    more are known, else such that near duplicates of one photo stay together.
    """
    part, looks = parts(letters), None
    if network == "landmark" or small_set(letters.images) is None:  # of the whole set, as `asl train` keeps it
        looks = track(letters).subset(part != "test")
    letters, part = letters.subset(part != "test"), part[part != "test"]
    if not (part == "valid").any():
        family = groups(letters, "signer")
        if len(np.unique(family)) < 10:
            family = near_duplicate_groups(thumbnails(letters.images))
        part = np.where(split(letters, family) == "valid", "valid", "train")
    if network == "landmark" and looks is not None:
        fit, decide = (hand_examples(looks.subset(part == p), letters.labels()[part == p]) for p in ("train", "valid"))
    else:
        pixels = pixel_set(dataclasses.replace(letters, table=letters.table.assign(split=part)), looks)
        fit, decide = (for_pixels(pixels.subset((pixels.table["split"] == p).to_numpy())) for p in ("train", "valid"))
    return letters, fit, decide


def with_values(preset: Preset, values: Mapping[str, Any]) -> Preset:
    """Put values into a preset; a name is the part of the preset and the setting: "training.batch"."""
    for name, value in values.items():
        part, setting = name.split(".")
        changed = dataclasses.replace(getattr(preset, part), **{setting: value})
        preset = dataclasses.replace(preset, **{part: changed})  # type: ignore[arg-type]  # any part of it
    return preset


def values_of(preset: Preset, names: Mapping[str, Any]) -> dict[str, Any]:
    """Read the settings of these names from a preset, as ``with_values`` puts them."""
    return {name: getattr(getattr(preset, name.split(".")[0]), name.split(".")[1]) for name in names}


def as_code(preset: Preset) -> str:
    """A preset as it would be written in its network's module, numbers to 3 digits, defaults left out."""

    def code(value: Any) -> str:
        if not dataclasses.is_dataclass(value):
            return f"{value:.3g}" if isinstance(value, float) else repr(value)
        given = [f for f in dataclasses.fields(value) if getattr(value, f.name) != f.default]
        return f"{type(value).__name__}({', '.join(f'{f.name}={code(getattr(value, f.name))}' for f in given)})"

    lines = [f"    {code(getattr(preset, name))}," for name in ("network", "training", "augment")]
    return "\n".join(['"best": Preset(', *lines, "),"])


def summarise(study: optuna.Study) -> dict[str, Any]:
    """What was found: validation losses, None for no number; ``history`` has a row for each trial that ended.

    ``importance`` (parameter -> share) has the most important first, and nothing below 4 complete trials.
    """
    trials, complete = study.get_trials(states=_ENDED), study.get_trials(states=(TrialState.COMPLETE,))
    if not complete:
        raise InputError("every trial was pruned: the loss was not a number, even the preset's; check the data")
    history = [
        {"number": one.number, "state": one.state.name.lower(), "epochs": (one.last_step or 0) + 1, "value": one.value}
        | {"accuracy": one.user_attrs["accuracy"]}
        for one in trials
    ]
    preset = next((trial for trial in complete if "preset" in trial.user_attrs), None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that few trials tell little
        importance = optuna.importance.get_param_importances(study) if len(complete) >= 4 else {}
    return {
        "best_value": study.best_value,
        "best_accuracy": study.best_trial.user_attrs["accuracy"],
        "best_parameters": study.best_params,
        "preset_value": preset and preset.value,
        "preset_accuracy": preset and preset.user_attrs["accuracy"],
        "importance": importance,
        "trials": len(trials),
        "complete": len(complete),
        "pruned": len(trials) - len(complete),
        "history": history,
        "optuna": optuna.__version__,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", choices=SPACES)
    parser.add_argument("--trials", type=int, default=50, help="trials in all, also of other processes and runs")
    parser.add_argument("--data", default="auto", help="a data set's name, or a folder; its test part is not used")
    parser.add_argument("--storage", help="a folder that machines can share; by default the cache")
    parser.add_argument("--epochs", type=int, help="epochs of a trial; by default the preset's")
    parser.add_argument("--seed", type=int, default=0, help="trial k has this seed + k")
    try:
        found = tune(**vars(parser.parse_args()))
    except InputError as error:
        sys.exit(f"tune.py: {error}")
    print(f"{found['trials']} trials of {found['epochs']} epochs, {found['pruned']} pruned; validation:")
    for name in ("best", "preset"):
        if found[f"{name}_value"] is not None:
            print(f"  {name:<7} loss {found[f'{name}_value']:.4f}, accuracy {found[f'{name}_accuracy']:.2%}")
    for name, share in found["importance"].items():
        print(f"  {name:<24} {share:.0%} of the difference")
    print(found["best"])


if __name__ == "__main__":
    main()
