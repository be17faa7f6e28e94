"""Search for better settings around the presets: what ``asl tune`` does, with Optuna."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from asllib.config import SPACES, Preset, Range
from asllib.config import preset as find_preset
from asllib.data import SOURCES, groups, split_groups
from asllib.data.audit import near_duplicate_groups, thumbnails
from asllib.data.letterset import LetterSet
from asllib.errors import InputError, first_line
from asllib.paths import cache_dir
from asllib.read.recognizer import small_set
from asllib.results import data_card, save_result
from asllib.train.examples import epochs_for, for_pixels, landmark_examples, track, train
from asllib.train.loop import Examples, History
from asllib.train.run import load_for, parts, pixel_set

if TYPE_CHECKING:
    import optuna

HEARTBEAT = 30  # seconds between the signs of life of a trial; after four times as long it counts as dead


def tune(
    network: str,
    trials: int,
    *,
    data: str = "auto",
    storage: str | None = None,
    epochs: int | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Search around the preset "best" for the lowest validation loss.

    The summary is written among the results, as ``tune_NETWORK.json``, or ``tune_NETWORK-NAME.json`` for a folder NAME.

    The preset itself is the first trial. Trials that fall behind the median of the others are pruned. Processes and
    machines that are started with the same arguments and one storage share the work; each ends when all trials have
    ended. A study that was stopped goes on with the next call.

    Parameters
    ----------
    network
        "pixel" or "landmark".
    trials
        Of the whole study, pruned ones included.
    data
        A data set's name, or a folder. Its test part is dropped before anything else is done, see ``tuning_parts``.
    storage
        A folder for ``studies.db`` (SQLite), or an SQL database's URL; by default the cache folder. Several machines
        need a database server: SQLite locks no file on a network's disk.
    epochs
        Of each trial, in the place of the preset's.
    seed
        Trial k draws its settings, weights, order and augmentation with ``seed + k``.

    Returns
    -------
    dict
        The summary, see ``summarise``, and ``best``, the best settings as code.

    Raises
    ------
    InputError
        If there is no search space for the network, the storage cannot be opened, or the data does not do.
    """
    import optuna

    if network not in SPACES:
        raise InputError(f"no search space for the {network!r} network; choose {' or '.join(SPACES)}")
    preset, space = find_preset(network, "best"), SPACES[network]
    letters, fitting, deciding = tuning_parts(network, load_for(network, preset, data))
    epochs = epochs or epochs_for(preset.training, len(fitting))
    card = data_card(letters)
    about = {"preset": repr(preset), "space": repr(space), "data": card["sha256"], "epochs": epochs, "seed": seed}
    name = f"{network}-{hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]}"
    url = storage_url(storage)
    with _database_errors(url), warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # what finds the trials that died
        study = open_study(name, url, seed, epochs)

        def evaluate(trial: optuna.Trial) -> float:
            return _evaluate(trial, preset, space, fitting, deciding, epochs, seed)

        _search(study, evaluate, trials, values_of(preset, space))
        summary = {"network": network, "epochs": epochs, **summarise(study)}
    save_result(result_name(network, data), summary, letters, seed)
    return {**summary, "best": as_code(network, with_values(preset, summary["best_parameters"]))}


def result_name(network: str, data: str) -> str:
    """Name of a search's summary: one on other data, such as somebody's own folder, takes no other's place."""
    usual = ("auto", "synthetic", "sign-mnist" if network == "pixel" else "photos")
    if data in usual:
        return f"tune_{network}"
    return f"tune_{network}-{data if data in SOURCES else Path(data).resolve().name}"


def tuning_parts(network: str, letters: LetterSet) -> tuple[LetterSet, Examples, Examples]:
    """Split a set for a search: the set without its test part, the examples to train on, those to decide by.

    The test part, the official one or the tenth that ``asl train`` tests on, is in none of the three. A set with an
    official test has no validation part: 30 % of its training part become one, by signer where ten or more are
    known, else such that near duplicates of one photo stay together.
    """
    part, looks = parts(letters), None
    if network == "landmark" or small_set(letters.images) is None:
        looks = track(letters)  # of the whole set, so that what `asl train` found is taken from the cache
        looks = looks.subset(part != "test")
    letters, part = letters.subset(part != "test"), part[part != "test"]
    if not (part == "valid").any():
        family = groups(letters, "signer")
        if len(np.unique(family)) < 10:
            family = near_duplicate_groups(thumbnails(letters.images))
        part = np.where(split_groups(letters.letters, family) == "valid", "valid", "train")
    if network == "landmark":
        assert looks is not None
        labels = letters.labels()
        fit, decide = (landmark_examples(looks.subset(part == p), labels[part == p]) for p in ("train", "valid"))
    else:
        pixels = pixel_set(dataclasses.replace(letters, table=letters.table.assign(split=part)), looks)
        fit, decide = (for_pixels(pixels.subset((pixels.table["split"] == p).to_numpy())) for p in ("train", "valid"))
    return letters, fit, decide


def with_values(preset: Preset, values: Mapping[str, Any]) -> Preset:
    """Put values into a preset; a name is the part of the preset and the setting: "training.batch"."""
    for name, value in values.items():
        part, setting = name.split(".")
        preset = dataclasses.replace(
            preset, **{part: dataclasses.replace(getattr(preset, part), **{setting: value})}
        )  # fmt: skip
    return preset


def values_of(preset: Preset, names: Mapping[str, Any]) -> dict[str, Any]:
    """Read the settings of these names from a preset, as ``with_values`` puts them."""
    return {name: getattr(getattr(preset, name.split(".")[0]), name.split(".")[1]) for name in names}


def as_code(network: str, preset: Preset) -> str:
    """A preset as it would be written in ``asllib/config.py``, numbers to 3 digits, defaults left out."""

    def code(value: Any) -> str:
        if not dataclasses.is_dataclass(value):
            return f"{value:.3g}" if isinstance(value, float) else repr(value)
        given = [f for f in dataclasses.fields(value) if getattr(value, f.name) != f.default]
        return f"{type(value).__name__}({', '.join(f'{f.name}={code(getattr(value, f.name))}' for f in given)})"

    lines = [f"    {code(getattr(preset, name))}," for name in ("network", "training", "augment")]
    return "\n".join([f'("{network}", "best"): Preset(', *lines, "),"])


def storage_url(storage: str | None) -> str:
    """URL of a database: itself, or the file ``studies.db`` in a folder, by default the cache folder."""
    import sqlalchemy

    if storage is not None and "://" in storage:
        return storage
    folder = cache_dir() if storage is None else Path(storage).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    url = sqlalchemy.URL.create("sqlite", database=str(folder / "studies.db"))  # which quotes "?" and "%"
    return url.render_as_string()


def open_study(name: str, url: str, seed: int, epochs: int) -> optuna.Study:
    """Make a study in a database, or open it if it is there."""
    import optuna

    class Sampler(optuna.samplers.TPESampler):
        """Draws by the trial's number, so that processes that share a study do not draw the same."""

        def before_trial(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
            super().__init__(seed=(seed + trial.number) % 2**32)

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.create_study(
        study_name=name,
        storage=_open_database(url),
        sampler=Sampler(seed=seed),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=epochs // 3),
        load_if_exists=True,
    )


def _open_database(url: str) -> optuna.storages.RDBStorage:
    import optuna
    import sqlalchemy

    waits = {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {}  # for others to end their writing
    tries = 5
    while True:
        try:
            return optuna.storages.RDBStorage(
                url, engine_kwargs=waits, heartbeat_interval=HEARTBEAT, grace_period=4 * HEARTBEAT
            )
        except ImportError as error:
            raise InputError(f"--storage: {error.__cause__}; install the driver that the URL names") from None
        except sqlalchemy.exc.SQLAlchemyError:
            tries -= 1
            if not tries:
                raise
            time.sleep(0.3)  # another process that started now may be making the same tables


def summarise(study: optuna.Study) -> dict[str, Any]:
    """What was found: values are validation losses, lower is better.

    Returns
    -------
    dict
        ``best_value``, ``best_accuracy``, ``best_parameters``; ``preset_value``, ``preset_accuracy``;
        ``importance`` (parameter -> share, most important first; empty below 4 complete trials); ``trials``,
        ``complete``, ``pruned``; ``history``, one row a trial that ended: ``number, state, value, accuracy, epochs``,
        of a pruned one the last that it reached; ``optuna``, the version.
    """
    import optuna
    from optuna.trial import TrialState

    complete = study.get_trials(states=(TrialState.COMPLETE,))
    if not complete:
        raise InputError(
            "every trial was pruned: the loss was no number, even with the preset's settings; check the data"
        )
    rows = [_row(trial) for trial in study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED))]
    preset = next((trial for trial in complete if "preset" in trial.user_attrs), None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that few trials tell little
        importance = optuna.importance.get_param_importances(study) if len(complete) >= 4 else {}
    return {
        "best_value": study.best_value,
        "best_accuracy": study.best_trial.user_attrs["accuracy"],
        "best_parameters": study.best_params,
        "preset_value": None if preset is None else preset.value,
        "preset_accuracy": None if preset is None else preset.user_attrs["accuracy"],
        "importance": importance,
        "trials": len(rows),
        "complete": len(complete),
        "pruned": len(rows) - len(complete),
        "history": rows,
        "optuna": optuna.__version__,
    }


def _row(trial: optuna.trial.FrozenTrial) -> dict[str, Any]:
    last = max(trial.intermediate_values, default=-1)
    value = trial.intermediate_values.get(last)
    return {
        "number": trial.number,
        "state": trial.state.name.lower(),
        "value": None if value is None or not math.isfinite(value) else value,
        "accuracy": trial.user_attrs.get("accuracy"),
        "epochs": last + 1,
    }


class _OneTooMany(Exception):
    """Ends a trial that does not count."""


def _search(study: optuna.Study, evaluate: Callable, trials: int, first: dict[str, Any]) -> None:
    """Run trials until so many have ended, here or in other processes; the values given are the first trial's."""
    import optuna
    from optuna.trial import TrialState
    from tqdm.auto import tqdm

    ended, alive = (TrialState.COMPLETE, TrialState.PRUNED), (TrialState.RUNNING, TrialState.WAITING)

    def counted(trial: optuna.Trial) -> float:
        """Evaluate a trial, unless others began the last ones in the same moment."""
        known = study.get_trials(deepcopy=False, states=ended + alive)
        if sum(other.number < trial.number for other in known) >= trials:
            raise _OneTooMany
        return evaluate(trial)

    seen: set[int] = set()
    storage: Any = study._storage
    with tqdm(total=trials, unit="trial") as bar:
        while True:
            optuna.storages.fail_stale_trials(study)
            known = study.get_trials(deepcopy=False, states=ended + alive)
            for trial in known:
                if trial.state == TrialState.RUNNING and trial.number not in seen:
                    # Optuna waits for ever for one that was killed before its first sign of life: this is one.
                    storage.record_heartbeat(trial._trial_id)
                    seen.add(trial.number)
            bar.n = sum(trial.state in ended for trial in known)
            done = [trial.value for trial in known if trial.value is not None and trial.state == TrialState.COMPLETE]
            bar.set_postfix({"best loss": f"{min(done):.4f}"} if done else {})
            if bar.n >= trials:
                return
            if sum(trial.state != TrialState.WAITING for trial in known) >= trials:
                bar.set_description("waiting for the trials of other processes")  # one that died is run again here
                time.sleep(1)
                continue
            if not any("preset" in trial.user_attrs for trial in known):
                study.enqueue_trial(first, user_attrs={"preset": True})
            study.optimize(counted, n_trials=1, catch=(_OneTooMany,))


def _evaluate(
    trial: optuna.Trial,
    preset: Preset,
    space: Mapping[str, Range | tuple],
    fitting: Examples,
    deciding: Examples,
    epochs: int,
    seed: int,
) -> float:
    import optuna

    values = {
        name: trial.suggest_float(name, where.low, where.high, log=where.log)
        if isinstance(where, Range)
        else trial.suggest_categorical(name, where)
        for name, where in space.items()
    }

    def on_epoch(history: History) -> None:
        loss = history.valid_loss[-1]
        trial.report(loss, len(history) - 1)
        trial.set_user_attr("accuracy", history.valid_accuracy[-1])
        if not math.isfinite(loss) or trial.should_prune():
            raise optuna.TrialPruned

    settings = with_values(preset, values)
    _, history = train(settings, fitting, deciding, seed=seed + trial.number, epochs=epochs, on_epoch=on_epoch)
    return history.valid_loss[-1]


@contextlib.contextmanager
def _database_errors(url: str) -> Iterator[None]:
    """Say in one line what is wrong with a database, without the password that its URL may hold."""
    import optuna
    import sqlalchemy

    try:
        shown = sqlalchemy.engine.make_url(url).render_as_string(hide_password=True)
    except sqlalchemy.exc.ArgumentError:
        raise InputError(
            "--storage: not the URL of a database; write it as DIALECT://USER:PASSWORD@HOST/NAME"
        ) from None
    try:
        yield
    except (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.OptunaError) as error:
        reason = first_line(error.__cause__ or error)
        raise InputError(f"{shown}: {reason}; give a folder or the URL of a database with --storage") from error
