"""The code in README and pages runs, and what they say of the source is so."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from unittest import SkipTest

import numpy as np
import pandas as pd
import pytest
from sybil import Sybil
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser, SkipParser

from asllib.data import load_photos
from asllib.hands import read_landmarks
from asllib.letters import STATIC
from asllib.paths import cache_dir, project_root

ROOT = project_root()
DOCS = ROOT / "docs"
MADE = DOCS / "reference" / "commands.md"  # by the build, from the help texts
OUTSIDE = (ROOT / name for name in ("README.md", "CONTRIBUTING.md", "benchmarks/README.md"))
PAGES = sorted({*OUTSIDE, *DOCS.rglob("*.md")} - {MADE})
CARDS = [ROOT / "data" / "README.md", ROOT / "asllib" / "weights" / "README.md"]

# What is not run, by page: an invisible comment above the block gives the reason.
NOT_RUN = {
    "CONTRIBUTING.md": ["installs, tests and trains for minutes", "runs a notebook on the real data"],
    "README.md": ["installs packages, and starts a server that runs until Ctrl+C"],
    "benchmarks/README.md": ["measures for minutes"],
    "docs/cluster.md": ["servers that run until Ctrl+C", "needs a cluster"],
    "docs/live.md": ["a server that runs until Ctrl+C", "a server that runs until Ctrl+C", "needs a remote server"],
    "docs/photos.md": ["draws 48 synthetic signers and 300 films first: about 15 minutes"],
    "docs/reference/reproduce.md": ["trains for minutes", "trains for minutes"],
    "docs/tune.md": ["trains for minutes"],
    "docs/videos.md": ["needs the data, and trains for hours"],
    "docs/reference/installation.md": ["installs packages"],
    "docs/start.md": ["installs packages"],
}
SHOWN = {"text", "toctree", "include", "eval-rst", "javascript"}  # fences that hold no code that runs here


@pytest.fixture(scope="module")
def given(tmp_path_factory, keep_looks):
    """A folder with the files that the pages name, small and drawn, an empty data folder and a cache beside it."""
    from asllib.signer import render_word, write_letters, write_video

    root = tmp_path_factory.mktemp("docs")
    hand_model = cache_dir() / "signer"
    hand_model.mkdir(parents=True, exist_ok=True)
    (root / "cache").mkdir()
    (root / "cache" / "signer").symlink_to(hand_model)
    (root / "data").mkdir()
    (root / "here").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASLLIB_DATA", str(root / "data"))
        patch.setenv("ASLLIB_CACHE", str(root / "cache"))
        patch.setenv("ASLLIB_PROFILE", "ci")
        patch.chdir(root / "here")
        write_letters("my_photos", "".join(STATIC), signers=2, views=5, size=64)
        letters = load_photos("my_photos")
        truth = read_landmarks("my_photos/landmarks.csv").copy().assign(width=64, height=64)
        # A drawn hand knows its landmarks: nobody has to look for 240 hands in every way.
        keep_looks(letters, truth)
        write_letters("new_photos", "BDFLVW", signers=1, views=1, size=224, seed=1)
        shutil.copy(next(Path("new_photos/V").glob("*.jpg")), "photo.jpg")
        write_letters("recorded", "GHY", signers=1, views=5, size=64)
        manifest = pd.read_csv("recorded/manifest.csv")
        manifest.replace({"label": {"Y": "I love you"}}).to_csv("recorded/manifest.csv", index=False)
        write_video("film.mp4", render_word("ASL", signer=1, fps=15).frames, fps=15)
        yield root / "here"


@pytest.fixture
def here(given, monkeypatch):
    """The folder as it was given, without what another page made in it."""
    names = {"my_photos", "new_photos", "recorded", "photo.jpg", "film.mp4"}
    for path in given.iterdir():
        if path.name not in names:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    monkeypatch.chdir(given)
    return given


def run_shell(example) -> None:
    """Run each line of a block, which must be an ``asl`` command that ends well."""
    from asllib.cli import main

    for line in example.parsed.splitlines():
        arguments = shlex.split(line, comments=True)
        if not arguments:
            continue
        assert arguments[0] == "asl", f"{line}: not run here; mark the block with the reason"
        with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as ended:
            patch.setattr(sys, "argv", arguments)
            main()
        assert not ended.value.code, line


CODE = Sybil(
    parsers=[PythonCodeBlockParser(), CodeBlockParser(language="sh", evaluator=run_shell), SkipParser()],
    encoding="utf-8",
)


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in PAGES if "api" not in page.parts], ids=lambda path: str(path.relative_to(ROOT))
)
def test_the_code_of_a_page_runs(page, request):
    fences = re.findall(r"^ *```\{?([\w-]*)\}?.*$", page.read_text(encoding="utf-8"), re.M)
    assert set(fences[::2]) <= {"python", "sh", *SHOWN}, "name the language of each block: python, sh or text"
    document = CODE.parse(page)
    examples = [*document.examples()]
    if any(isinstance(example.parsed, str) for example in examples):
        request.getfixturevalue("here")
    skipped = []
    for example in examples:
        try:
            example.evaluate()
        except SkipTest as skip:
            skipped.append(str(skip))
    document.namespace.clear()  # trackers and widgets go now, not whenever the collector comes
    assert skipped == NOT_RUN.get(str(page.relative_to(ROOT)), [])


def test_every_block_is_seen():
    """Sybil finds as many blocks as there are fences."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        fences = re.findall(r"^ *```(?:python|sh)$", text, re.M)
        seen = [e for e in CODE.parse(page).examples() if isinstance(e.parsed, str)]
        assert len(seen) == len(fences) + text.count("<!-- invisible-code-block"), page


def source_text() -> str:
    """All of asllib's Python and JavaScript, strings that go on over lines put together."""
    files = sorted([*(ROOT / "asllib").rglob("*.py"), *(ROOT / "asllib").rglob("*.js")])
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    return re.sub(r'"\s*\n\s*f?"', "", text).replace('\\"', '"')


def messages() -> list[str]:
    pages = (DOCS / "reference" / name for name in ("troubleshooting.md", "installation.md"))
    lines = [line for page in pages for line in page.read_text(encoding="utf-8").splitlines()]
    return [re.match(r"\| `([^`]+)` \|", line)[1] for line in lines if line.startswith("| `")]


@pytest.mark.parametrize("message", messages())
def test_the_messages_of_the_table_are_those_of_the_source(message):
    pattern = "[^\n]*?".join(re.escape(part) for part in message.split("…"))
    assert re.search(pattern, source_text()), message


def test_the_tables_have_messages_and_a_foreign_one_would_be_seen():
    assert len(messages()) >= 20
    assert not re.search(re.escape("Camera refused: try again later."), source_text())


def test_figures_and_results_are_made_by_the_notebooks_that_are_named():
    text = (DOCS / "reference" / "reproduce.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\|[^|]*\| `?(\w*)`? ?\| \[(\w+)\]\([^)]*\) \| `?(\w*)`? ?\|", text, re.M)
    assert len(rows) == 10
    for figure, notebook, result in rows:
        source = (ROOT / "notebooks" / f"{notebook}.ipynb").read_text(encoding="utf-8")
        for name, folder in ((figure, "figures"), (result, "data/results")):
            if name:
                assert f'\\"{name}\\"' in source, (name, notebook)
                assert [*(ROOT / folder).glob(f"{name}.*")], name


def test_the_band_of_a_check_is_the_one_in_the_text():
    from moved import BAND

    text = (DOCS / "reference" / "reproduce.md").read_text(encoding="utf-8")
    assert re.search(r"moved by more\s+than ([\d.]+)", text)[1] == f"{BAND}"


def test_counts_in_the_data_card_are_those_of_the_audits():
    card = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    photos = json.loads((ROOT / "data" / "results" / "audit_photos.json").read_text())
    pixels = json.loads((ROOT / "data" / "results" / "audit_sign_mnist.json").read_text())
    assert f"{photos['rows']:,} in all" in card
    by_source = [int(n.replace(",", "")) for n in re.findall(r"\| ([\d,]+) photos", card)]
    assert len(by_source) == 4 and sum(by_source) == photos["rows"]
    train, test = re.search(r"([\d,]+) training and ([\d,]+) test images", card).groups()
    assert int(train.replace(",", "")) + int(test.replace(",", "")) == pixels["rows"]
    share = int(re.search(r"(\d+) % of the test images have a near copy", card)[1])
    assert share == round(100 * pixels["across"]["test in train"])


def test_relative_links_lead_somewhere():
    for page in [*PAGES, *CARDS, ROOT / "CHANGELOG.md"]:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
            if not target.startswith("http") and (page.parent / target).resolve() != MADE:
                assert (page.parent / target).exists(), (page, target)


def load_script(name: str):
    """A script of the pages as a module; docs/ is no package, and its numbers.py no module of Python."""
    spec = importlib.util.spec_from_file_location(f"docs_{name}", DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_numbers_of_the_pages_are_those_of_the_results():
    assert load_script("numbers").main(check=True) == [], "run 'python docs/numbers.py'"


def test_every_share_in_readme_and_cards_comes_from_a_result():
    """Percentages stand between the marks of docs/numbers.py; the paper's and the data card's own counts do not."""
    for page in (ROOT / "README.md", CARDS[1], DOCS / "accuracy.md", DOCS / "groups.md", DOCS / "videos.md"):
        text = re.sub(r"<!-- (?:number|table) .*?<!-- -->", "", page.read_text(encoding="utf-8"), flags=re.S)
        assert set(re.findall(r"[\d.]+ %", text)) <= {"40 %", "66.67 %"}, page


def test_no_number_begins_a_line():
    """There the comment would end the paragraph."""
    for page in [*PAGES, *CARDS]:
        assert not re.search(r"^ *<!-- number", page.read_text(encoding="utf-8"), re.M), page


@pytest.fixture
def small_site(tmp_path):
    """A page and two results."""
    numbers = load_script("numbers")
    (tmp_path / "data" / "results").mkdir(parents=True)
    found = {"films": {"a": 0.5, "b": 0.75}, "list": [1, 3], "seconds": 12.34}
    (tmp_path / "data" / "results" / "tracker.json").write_text(json.dumps(found))

    def fill(text: str, check: bool = False) -> tuple[str, list]:
        page = tmp_path / "README.md"
        page.write_text(text, encoding="utf-8")
        old = numbers.main(tmp_path, check)
        return page.read_text(encoding="utf-8"), old

    return numbers, fill, tmp_path / "data" / "results"


@pytest.mark.parametrize(
    ("mark", "written"),
    [
        ("tracker/films/a %", "50.0 %"),
        ("tracker/films/a error", "50.0 %"),
        ("tracker/films/* percent", "62.5"),
        ("tracker/films/* max 2", "0.75"),
        ("tracker/films/* min %", "50.0 %"),
        ("tracker/list/1 count", "3"),
        ("tracker/seconds s", "12.3 s"),
    ],
)
def test_a_number_is_filled_in(small_site, mark, written):
    _, fill, _ = small_site
    text = f"Of all films <!-- number {mark} -->1 %<!-- --> are read."
    new, old = fill(text)
    assert new == f"Of all films <!-- number {mark} -->{written}<!-- --> are read."
    assert [path.name for path in old] == ["README.md"]
    assert fill(new)[1] == []


def test_a_check_names_an_old_page_and_writes_nothing(small_site):
    _, fill, _ = small_site
    text = "<!-- number tracker/films/a % -->49.0 %<!-- -->"
    new, old = fill(text, check=True)
    assert new == text and len(old) == 1


def test_a_number_without_a_result_ends_in_one_line(small_site):
    _, fill, _ = small_site
    for path in ("tracker/films/c", "people/valid/default/mean", "tracker/films"):
        with pytest.raises(SystemExit, match=f"README.md: no result {path} in data/results"):
            fill(f"<!-- number {path} % --><!-- -->")


def test_a_row_waits_for_its_result(small_site, monkeypatch):
    numbers, fill, results = small_site
    rows = [
        "| who | right |",
        "| --- | --- |",
        "| a | {tracker/films/a %} |",
        "| people | {people/valid/default/mean %} |",
    ]
    monkeypatch.setitem(numbers.TABLES, "test", rows)
    text, _ = fill("<!-- table test --><!-- -->")
    assert "| a | 50.0 % |" in text and "people" not in text
    (results / "people.json").write_text(json.dumps({"valid": {"default": {"mean": 0.9}}}))
    text, old = fill(text)
    assert "| a | 50.0 % |\n| people | 90.0 % |\n" in text and old
    monkeypatch.setitem(numbers.TABLES, "test", [*rows[:2], ("| no | {people/none/mean %} |", rows[2])])
    assert fill(text)[0] == "<!-- table test -->\n\n| who | right |\n| --- | --- |\n| a | 50.0 % |\n\n<!-- -->"
    monkeypatch.setitem(numbers.TABLES, "test", [*rows[:2], "| no | {people/none/mean %} |"])
    assert fill(text)[0] == "<!-- table test -->\n\n<!-- -->"


def words(page: Path) -> int:
    """How many words a page has without tables of results, comments, code and addresses."""
    left_out = re.compile(r"<!-- table .*?<!-- -->|<!--.*?-->|^ *```.*?^ *```", re.S | re.M)
    text = left_out.sub("", page.read_text(encoding="utf-8"))
    return len(re.findall(r"\S*\w\S*", re.sub(r"\]\([^)]*\)", "]", text)))


@pytest.mark.parametrize(
    "page",
    [ROOT / "README.md", *CARDS, *(page for page in PAGES if DOCS in page.parents and page.name != "study.md")],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_a_page_is_short(page):
    assert words(page) <= 700


@pytest.mark.slow
def test_the_reading_picture_is_of_what_is_read(tmp_path, monkeypatch):
    from PIL import Image

    picture = load_script("picture")
    monkeypatch.setattr(picture, "figures_dir", lambda: tmp_path)
    monkeypatch.setattr(picture, "FRAME", (240, 180))
    said = []
    monkeypatch.setattr(picture, "beneath", lambda frame, text, *_: said.append(text) or Image.fromarray(frame))
    with Image.open(picture.draw_reading("V")) as made:
        assert made.n_frames > 10 and made.size == (240, 180)
    assert said[0] == "" and said[-1].strip() == "V"


@pytest.mark.slow
def test_the_left_hand_of_the_chart_mirrors_the_right(monkeypatch):
    letters = "BCGJQZ"  # still and drawn ones, turned and not: each takes as long as any other
    monkeypatch.setattr("asllib.letters.LETTERS", letters)
    picture = load_script("picture")
    (right, strokes), (left, mirrored) = (picture.photograph_letters(side) for side in ("right", "left"))
    assert right.shape == left.shape == (len(letters), picture.HAND, picture.HAND, 3)
    light = (right > right.mean((1, 2), keepdims=True)).any(-1), (left > left.mean((1, 2), keepdims=True)).any(-1)
    assert ((light[0] == light[1][:, :, ::-1]).mean((1, 2)) > (light[0] == light[1]).mean((1, 2))).all()
    assert strokes.keys() == {"J", "Z"}
    for letter, way in strokes.items():
        assert np.abs(way - (mirrored[letter] * [-1, 1] + [picture.HAND, 0])).max() < 2, letter
        assert way.min() > 0 and way.max() < picture.HAND, letter
        assert way[-1, 1] > way[0, 1] + 20, letter  # both end lower than they begin
    assert strokes["J"][-1, 0] > strokes["J"][0, 0]  # a viewer sees the hook of a right hand open to the right
    assert strokes["Z"][-1, 0] < strokes["Z"][0, 0]


@pytest.mark.parametrize(
    ("files", "most"), [("figures/reading.webp", 1.5e6), ("figures/alphabet.png", 6e5), ("docs/pictures/*.png", 4e4)]
)
def test_pictures_of_the_pages_are_small(files, most):
    found = [*ROOT.glob(files)]
    assert found and all(path.stat().st_size < most for path in found)


def test_the_badges_say_what_the_project_file_says(tmp_path, monkeypatch):
    picture = load_script("picture")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    monkeypatch.setattr(picture, "project_root", lambda: tmp_path)
    picture.draw_badges()
    made = {path.name: path.read_text() for path in (tmp_path / "docs" / "pictures").iterdir()}
    assert made == {path.name: path.read_text() for path in (DOCS / "pictures").glob("*.svg")}
    assert ">3.11+<" in made["python.svg"] and ">MIT<" in made["licence.svg"]


def test_versions_and_names_agree():
    import yaml

    import asllib

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == asllib.__version__
    holder = re.search(r"Copyright \(c\) \d+ (.+)", (ROOT / "LICENSE").read_text())[1]
    assert [author["name"] for author in citation["authors"]] == [holder]
    assert {reference["title"].split(":")[0] for reference in citation["references"]} == {
        "ASL to text",
        "Sign Language MNIST",
        "MediaPipe Hands",
    }


@pytest.mark.slow
def test_the_pages_are_built_without_a_warning(tmp_path):
    pytest.importorskip("sphinx", reason="no Sphinx here: pip install 'asllib[docs]'")
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-W",
        "--keep-going",
        "-q",
        "-d",
        tmp_path / "trees",
        DOCS,
        tmp_path / "out",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    commands = (tmp_path / "out" / "reference" / "commands.html").read_text(encoding="utf-8")
    for command in ("predict", "read", "train", "live", "doctor"):
        assert f'id="asl-{command}"' in commands
    names = (tmp_path / "out" / "reference" / "api" / "asllib.html").read_text(encoding="utf-8")
    assert 'id="asllib.load_recognizer"' in names and 'id="asllib.read_text"' in names
