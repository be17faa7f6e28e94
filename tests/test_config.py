import dataclasses

import pytest

from asllib import config, paths
from asllib.config import PAPER_RATES, profile
from asllib.errors import InputError
from asllib.letters import FIRST_SIX, STATIC
from asllib.networks import ImageAugment, LandmarkAugment, build, preset
from asllib.networks.store import SHIPPED, network_class


@pytest.mark.parametrize("name", SHIPPED)
def test_every_network_is_found_by_its_name_and_has_presets(name):
    network = network_class(name)
    assert network.name == name and "best" in network.presets
    assert name not in ("pixel", "landmark") or "paper" in network.presets
    for settings in network.presets.values():
        assert type(build(settings.network)) is network
        assert name == "spelling" or settings.network.classes == len(settings.alphabet)


@pytest.mark.parametrize("network", ["pixel", "landmark"])
def test_the_papers_hyperparameters(network):
    settings = preset(network, "paper")
    assert settings.alphabet == FIRST_SIX and settings.augment is None
    training = settings.training
    assert training.learning_rate in PAPER_RATES and training.batch in (16, 32)
    assert training.patience in (2, 4) and training.min_delta == 1e-4 and training.epochs == 1000
    assert not training.one_cycle and training.smoothing == training.weight_decay == 0


def test_the_best_presets_read_24_letters_and_augment():
    for network, kind in (("pixel", ImageAugment), ("landmark", LandmarkAugment)):
        settings = preset(network, "best")
        assert settings.alphabet == STATIC and isinstance(settings.augment, kind)
        assert settings.training.patience is None  # the official test must not choose when to stop


def test_settings_cannot_be_changed_by_accident():
    with pytest.raises(dataclasses.FrozenInstanceError):
        preset("pixel", "best").training.epochs = 1


def test_an_unknown_preset_or_network_names_those_there_are():
    with pytest.raises(InputError, match="there are: paper, best, people"):
        preset("pixel", "worst")
    with pytest.raises(InputError, match="there are: default, pixel, landmark, spelling"):
        preset("audio", "best")


@pytest.mark.parametrize("name", ["ci", "paper"])
def test_the_profile_is_named_by_the_environment(monkeypatch, name):
    monkeypatch.setenv("ASLLIB_PROFILE", name)
    assert profile() is config.PROFILES[name]
    assert profile().name == name and profile().signers >= 10


def test_the_default_profile_and_an_unknown_one(monkeypatch):
    for empty in (None, ""):
        monkeypatch.delenv("ASLLIB_PROFILE", raising=False)
        if empty is not None:
            monkeypatch.setenv("ASLLIB_PROFILE", empty)
        assert profile().name == "paper"
    monkeypatch.setenv("ASLLIB_PROFILE", "huge")
    with pytest.raises(InputError, match="ASLLIB_PROFILE=huge: choose one of ci, paper"):
        profile()


def test_paths_do_not_depend_on_the_working_directory(monkeypatch, tmp_path):
    monkeypatch.delenv("ASLLIB_DATA", raising=False)
    before = (paths.project_root(), paths.data_dir(), paths.results_dir(), paths.figures_dir())
    monkeypatch.chdir(tmp_path)
    assert (paths.project_root(), paths.data_dir(), paths.results_dir(), paths.figures_dir()) == before
    assert paths.data_dir() == paths.project_root() / "data"
    assert paths.results_dir() == paths.data_dir() / "results"


def test_the_environment_names_data_and_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("ASLLIB_DATA", str(tmp_path))
    monkeypatch.setenv("ASLLIB_CACHE", str(tmp_path / "later"))
    assert paths.data_dir() == tmp_path.resolve()
    assert paths.cache_dir() == tmp_path / "later"


def test_a_text_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a" / "b.txt"
    paths.write_text(path, "one")
    paths.write_text(path, "zwölf")
    assert path.read_text(encoding="utf-8") == "zwölf"
    with pytest.raises(UnicodeEncodeError):
        paths.write_text(path, "\ud800")
    assert path.read_text(encoding="utf-8") == "zwölf"
    assert [file.name for file in path.parent.iterdir()] == ["b.txt"]
