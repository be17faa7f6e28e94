"""The ``asl`` command: each subcommand is a few calls of the library."""

import dataclasses
import io
import json
import os
import re
import shutil
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer import Argument, Option

import asllib.data
import asllib.hands
import asllib.read
from asllib.errors import InputError
from asllib.paths import cache_dir, digest, write_text

app = typer.Typer(
    help="American Sign Language fingerspelling to text.", no_args_is_help=True, add_completion=False,
    pretty_exceptions_enable=False,
)  # fmt: skip
data_app = typer.Typer(help="The data sets: list, fetch, check, draw.", no_args_is_help=True)
app.add_typer(data_app, name="data")

Json = Annotated[str | None, Option("--json", metavar="FILE", help="Write the result as JSON; - for stdout.")]
Data = Annotated[str, Option(help="A data set's name, or a folder.")]
Still = Annotated[str, Option(help="default, landmark, pixel, or a run folder.")]


def main() -> None:
    """Run the command; a bad input ends it with one line on stderr and exit code 1."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a console may lack letters that a path has
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            app()
        finally:
            _flush()
    except InputError as error:
        said = str(error)
    except SystemExit as ended:
        if ended.code == 130:  # Typer's answer to Ctrl+C
            print("asl: stopped", file=sys.stderr)
        raise
    except (ImportError, OSError) as error:  # a missing system library; a full disk, a folder without write permission
        if missing := re.search(r"(\S+): cannot open shared object file", str(error)):
            said = f"system library {missing[1]} is missing; 'asl doctor' says what to install"
        elif isinstance(error, ImportError):
            raise
        else:
            said = (f"{error.filename}: " if error.filename else "") + f"{error.strerror or error}"
    else:
        return
    print(f"asl: {said}", file=sys.stderr)
    raise SystemExit(1)


def _flush() -> None:
    """Flush the output while an error can still be reported; if that fails, drop the rest."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


def _emit(content: Any, target: str | None, text: str) -> None:
    """Print the text, or the JSON if it goes to stdout; write the JSON to its file."""
    document = json.dumps(content, indent=1)
    if target == "-":
        print(document)
    elif text:
        print(text)
    if target is not None and target != "-":
        write_text(Path(target), document + "\n")


def _version(wanted: bool) -> None:
    if wanted:
        print(f"asllib {asllib.__version__}")
        raise typer.Exit


@app.callback()
def _any_command(
    version: Annotated[bool, Option("--version", callback=_version, is_eager=True, help="Show the version.")] = False,
) -> None:
    pass


@data_app.command("list")
def data_list(json_file: Json = None) -> None:
    """Show the data sets, and which of them are on this machine."""
    found = (asllib.data.find_sign_mnist(), asllib.data.find_photos(), asllib.data.find_people(), "everywhere")
    sources = zip(asllib.data.SOURCES.items(), found, strict=True)
    rows = [{"name": name, "what": what, "where": str(where or "not here")} for (name, what), where in sources]
    _emit(rows, json_file, "\n".join(f"{r['name']:<11} {r['what']}\n{'':<11} {r['where']}" for r in rows))


@data_app.command("fetch")
def data_fetch(name: Annotated[str, Argument(help="sign-mnist")], json_file: Json = None) -> None:
    """Download a data set from its public source into the cache, checked by its hash."""
    if name != "sign-mnist":
        raise InputError(f"{name}: only sign-mnist can be fetched; photos are put into the data folder by hand")
    folder = str(asllib.data.find_sign_mnist() or asllib.data.fetch_sign_mnist())
    _emit({"name": name, "folder": folder}, json_file, folder)


@data_app.command("check")
def data_check(
    name: Annotated[str, Argument(help="A data set's name, or a folder.")],
    hands: Annotated[bool, Option(help="Look for hands in photos too (slower).")] = True,
    json_file: Json = None,
) -> None:
    """Audit a data set: counts, duplicates, foreign classes, photos without a usable hand."""
    from asllib.data.audit import audit, readable
    from asllib.evaluation import read_letters

    letters, unreadable = readable(asllib.load_letters(name))
    for line in unreadable:
        print(f"asl: {line}", file=sys.stderr)
    pixels = letters.images[0].ndim == 2
    recognizer = asllib.load_recognizer("pixel" if pixels else "landmark")
    looks = asllib.data.track(letters) if hands and not pixels else None
    read = read_letters(recognizer.read_set(letters), recognizer.alphabet) if hands or pixels else None
    found = audit(letters, read, None if looks is None else looks.tables[0])
    _emit(dataclasses.asdict(found) | {"unreadable": unreadable}, json_file, "\n".join(found.lines()))
    if unreadable:
        raise typer.Exit(1)


@data_app.command("render")
def data_render(
    out: Annotated[Path, Option(help="The folder to write.")],
    letters: Annotated[str, Option(help="Some of A-Z.")] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    signers: Annotated[int, Option(help="Number of signers.")] = 8,
    views: Annotated[int, Option(help="Pictures of each letter by each signer.")] = 12,
    size: Annotated[int, Option(help="Pixels of a picture's side, at least 28.")] = 224,
    seed: Annotated[int, Option(help="The same seed gives the same set.")] = 0,
    json_file: Json = None,
) -> None:
    """Photograph the synthetic signer: pictures, manifest.csv and true landmarks."""
    from asllib.data.drawn import draw_letters

    letters = "".join(dict.fromkeys(letters.upper()))  # a repeated letter would repeat its pictures
    draw_letters(out, letters, signers, views, size, seed)
    pictures = len(letters) * signers * views
    _emit({"folder": str(out), "pictures": pictures}, json_file, f"{out}: {pictures:,} pictures")


@app.command()
def extract(
    folder: Annotated[str, Argument(help="A folder of photos, or a data set's name.")],
    out: Annotated[Path, Option(help="Where to write: .csv, .csv.gz or .parquet.")],
    workers: Annotated[int | None, Option(min=1, help="Number of processes; by default one for each core.")] = None,
    cluster: Annotated[str | None, Option(metavar="ADDRESS", help="Use the Dask cluster of this scheduler.")] = None,
    json_file: Json = None,
) -> None:
    """Find the hand in each photo and write the landmarks. The same command continues a stopped run."""
    from asllib.parallel import cluster as dask_cluster

    if cluster is not None and workers is not None:
        raise InputError(f"--workers {workers} is for this machine and --cluster {cluster} for others; leave out one")
    letters, found = asllib.load_letters(folder), []
    kept = cache_dir() / "extract" / digest(out.absolute())[:16]  # finished parts, until all are finished

    def counted(parts):
        for part in parts:
            found.append(int((part["score"] > 0).sum()))
            yield part

    with nullcontext() if cluster is None else dask_cluster(cluster) as executor:
        parts = asllib.hands.iter_landmarks(
            letters.images, letters.table["file"].array, letters.letters,
            workers=workers, executor=executor, checkpoint=kept,
        )  # fmt: skip
        asllib.hands.write_landmarks(counted(parts), out)
    shutil.rmtree(kept, ignore_errors=True)
    share = sum(found) / len(letters)
    text = f"{out}: {len(letters):,} photos, a hand in {sum(found):,} ({share:.1%})"
    _emit({"file": str(out), "n": len(letters), "hand_found": share}, json_file, text)


@app.command()
def train(
    network: Annotated[str, Argument(help="default, landmark, pixel or spelling.")],
    out: Annotated[Path, Option(help="The run folder to write.")],
    preset: Annotated[str, Option(help="best or paper; of pixel and landmark also people.")] = "best",
    data: Data = "auto",
    alphabet: Annotated[str, Option(help="Which labels of a folder: letters, digits, both, or all.")] = "letters",
    seed: Annotated[int, Option(min=0, help="Seed for weights, order and augmentation.")] = 0,
    epochs: Annotated[int | None, Option(min=1, help="Number of epochs; by default the preset's.")] = None,
    json_file: Json = None,
) -> None:
    """Train a network on a set. The same command continues a stopped run."""
    from asllib.train.run import train_run

    card = train_run(network, preset, data, out, alphabet=alphabet, seed=seed, epochs=epochs)
    metrics = ", ".join(f"{n} {x:.3f}" if n == "loss" else f"{n} {x:.2%}" for n, x in card["metrics"].items())
    text = f"{out}: {card['network']} network, {card['parameters']:,} parameters; {metrics}"
    _emit({"run": str(out), **card}, json_file, text)


@app.command()
def evaluate(
    model: Still,
    data: Data = "auto",
    split: Annotated[str | None, Option(help="Only this part of the set's own split.")] = None,
    json_file: Json = None,
) -> None:
    """Read a whole set and report the accuracy; a photo without a found hand counts as wrong.

    The likeliest letter counts, even if 'asl predict' would reject the hand; the report has the share of such hands.
    """
    import numpy as np

    from asllib.evaluation import read_letters, report, report_lines
    from asllib.train.run import trained_on

    recognizer = asllib.load_recognizer(model)
    # As in training: a network of small images gets synthetic letters as small images.
    small = data == "auto" or (data == "synthetic" and "added" not in recognizer.card)
    whole = asllib.load_letters(data, pixels=recognizer.kind == "pixel" and small)
    letters = whole.only(recognizer.alphabet)
    chosen = np.full(len(letters), True) if split is None else (letters.table["split"] == split).to_numpy()
    if not chosen.any():
        where = f" in split {split!r}" if split else ""
        raise InputError(f"{data}: no image of {', '.join(recognizer.alphabet)}{where}")
    seen, letters = trained_on(recognizer.card, letters)[chosen], letters.subset(chosen)
    probabilities = recognizer.read_set(letters)
    right = read_letters(probabilities, recognizer.alphabet) == letters.letters
    found = {"model": model, "data": letters.name}
    found |= report(letters.table, probabilities, recognizer.alphabet, recognizer.refuse_below)
    unseen = None if seen.all() else float(right[~seen].mean())
    found |= {"seen_in_training": int(seen.sum()), "accuracy_unseen": unseen}
    _emit(found, json_file, "\n".join(report_lines(found)))
    said = f"on {seen.sum():,} of these {len(seen):,} images; of the others {unseen or 0:.2%} are right"
    if unseen is None:
        said = "on these images, or on others of the same set: expect less of new ones"
    if seen.any():
        print(f"asl: {model} was trained {said}", file=sys.stderr)
    if foreign := sorted(set(whole.letters) - set(recognizer.alphabet)):
        others = np.isin(whole.letters, foreign).sum()
        print(f"asl: {others:,} images left out, of what {model} does not read: {', '.join(foreign)}", file=sys.stderr)


@app.command()
def predict(
    files: Annotated[list[Path], Argument(help="Photos of one hand each, or folders of them.")],
    model: Still = "default",
    json_file: Json = None,
) -> None:
    """Read the letter in each photo. If a photo cannot be read, the others still are, and the exit code is 1."""
    from asllib.files import find_photo_files
    from asllib.hands.look import points_up
    from asllib.read.recognizer import signs

    recognizer = asllib.load_recognizer(model)

    def said(file: Path, p: asllib.Prediction) -> str:
        if p.hand is None and p.letter is None:
            return "no hand found"
        names, best = signs(recognizer.alphabet), (-p.probabilities).argsort(kind="stable")[:3].tolist()
        shown = [(names[k], p.probabilities[k]) for k in best if k == best[0] or p.probabilities[k] >= 0.05]
        likeliest = ", ".join(f"{name} ({share:.0%})" for name, share in shown)
        if p.letter:
            return likeliest
        height, width = asllib.data.read_image(file).shape[:2]
        if p.hand is not None and not points_up(p.hand, width / height):
            return "a hand that does not point up, and the model rejects it; if the photo lies on its side, turn it"
        return f"a hand, but the model rejects it; likeliest {likeliest}"

    rows: list[dict[str, Any]] = []
    lines = []
    # One after the other, since decoded photos are large; printed once all are read.
    for file in [file for given in files for file in find_photo_files(given)]:
        try:
            (p,) = recognizer.predict([file])
        except InputError as error:
            print(f"asl: {error}", file=sys.stderr)
            rows.append({"file": str(file), "error": str(error)})
            continue
        found = p.hand is not None
        rows.append({"file": str(file), "letter": p.letter, "confidence": p.confidence, "hand_found": found})
        lines.append(f"{file}: {said(file, p)}")
    _emit(rows, json_file, "\n".join(lines))
    if any("error" in row for row in rows):
        raise typer.Exit(1)


@app.command()
def read(
    videos: Annotated[list[Path], Argument(help="Videos (.mp4, .mov, .mjpeg, ..) or landmarks (.csv, .parquet).")],
    fps: Annotated[float | None, Option(help="Frames a second, if the file does not say it.")] = None,
    aspect: Annotated[float | None, Option(help="Width / height of landmarks' frames, if the file lacks it.")] = None,
    model: Annotated[str, Option(help="spelling, default, landmark, pixel, or a run folder.")] = "spelling",
    correct: Annotated[bool, Option("--correct", help="Replace what was read by likelier words.")] = False,
    name: Annotated[list[str] | None, Option(help="A name that is never corrected; may be repeated.")] = None,
    srt: Annotated[Path | None, Option(help="Write subtitles (.srt).")] = None,
    annotated: Annotated[Path | None, Option(help="Write the video (.mp4) with hand and text drawn in.")] = None,
    json_file: Json = None,
) -> None:
    """Read the letters that a video spells, with their times.

    Several videos are read one after the other. If one cannot be read, the others still are, and the exit code is 1.
    """
    from asllib.hands.landmarks import TABLES
    from asllib.read.video import frame_rate

    video, several = videos[0], len(videos) > 1
    if several and (srt or annotated):
        raise InputError(f"{srt or annotated}: --srt and --annotated are for one video")
    if annotated is not None and annotated.resolve() == video.resolve():
        raise InputError(f"{annotated}: the film itself; name another file")
    if srt is not None and srt.suffix.lower() != ".srt":
        raise InputError(f"{srt}: use a name that ends in .srt")
    if annotated is not None and video.name.endswith(TABLES):
        raise InputError(f"{video}: landmarks have no picture to draw into; leave out --annotated")
    network = asllib.read.load_network(model)
    film = nullcontext() if annotated is None else asllib.read.annotated_video(annotated, fps or frame_rate(video))
    rows: list[dict[str, Any]] = []
    for video in videos:
        try:
            with film as on_frame:
                found = asllib.read_text(
                    video, network, fps=fps, aspect=aspect, correct=correct, names=name or (), progress=True,
                    on_frame=on_frame,
                )  # fmt: skip
        except InputError as error:
            if not several:
                raise
            print(f"asl: {error}", file=sys.stderr)
            rows.append({"video": str(video), "error": str(error)})
            continue
        if srt is not None:
            asllib.read.write_subtitles(srt, found)
        letters = asllib.read.letters_json(found.letters)
        rows.append({"video": str(video), "text": found.text, "letters": letters})
        said = found.text or ("no letter was read" if found.hand_found else "no hand was found")
        if json_file != "-":
            print(f"{video}: {said}" if several else said, flush=True)
            for one in letters if not several else ():
                print(f"  {one['start_s']:6.2f} s  {one['letter']}  {one['confidence']:.0%}")
        elif not found.text:
            print(f"asl: {video}: {said}", file=sys.stderr)
    _emit(rows if several else {key: rows[0][key] for key in ("text", "letters")}, json_file, "")
    if any("error" in row for row in rows):
        raise typer.Exit(1)


@app.command()
def export(
    model: Annotated[str, Argument(help="default, landmark, pixel, spelling, or a run folder.")],
    format: Annotated[Literal["onnx"], Option(help="The file's format.")] = "onnx",
    out: Annotated[Path | None, Option(help="The file to write; by default MODEL.onnx.")] = None,
    json_file: Json = None,
) -> None:
    """Write a network as one file for browsers, phones and other languages, and check its answers."""
    from asllib.export import export_onnx

    out = out or Path(f"{Path(model).resolve().name}.onnx")
    found = export_onnx(model, out)
    text = (
        f"{out}: {found['bytes'] / 1e6:.2f} MB, {found['network']} network of {found['classes']} classes; takes "
        f"{', '.join(found['inputs'])}; differs from PyTorch by {found['difference']:.1g} at most"
    )
    _emit(found, json_file, text)


@app.command()
def live(
    source: Annotated[str | None, Argument(help="A film, or the number of this machine's camera.")] = None,
    model: Annotated[str | None, Option(help="By default spelling; else a network or a run folder.")] = None,
    port: Annotated[int, Option(min=1024, max=65535, help="Port of the page.")] = 8866,
    browser: Annotated[bool, Option(help="Open the page in a browser.")] = True,
) -> None:
    """Show letters to the camera and read text, on a page in the browser. The default is the browser's camera."""
    from asllib.live.server import reader_cell, serve

    number = int(source) if source is not None and source.isdecimal() and len(source) < 4 else source
    serve(reader_cell(number, model), port, browser)


@app.command()
def reproduce(json_file: Json = None) -> None:
    """Run the numbered notebooks: train the paper's two networks, draw the notebooks' figures, write their results."""
    from asllib.reproduce import reproduce

    found = reproduce(lambda line: print(line, file=sys.stderr if json_file == "-" else sys.stdout))
    _emit(found, json_file, f"Figures: {found['figures']}; results: {found['results']}")


@app.command()
def doctor(json_file: Json = None) -> None:
    """Say what is missing on this machine and how to fix it."""
    from asllib.doctor import examine

    broken, findings = 0, []
    for finding in examine():
        if json_file != "-":  # at once: the next check may end the process
            print(finding)
        findings.append(dataclasses.asdict(finding))
        broken += finding.needed and not finding.ok
    _emit(findings, json_file, "" if broken else "Everything that is needed is here.")
    if broken:
        raise InputError(f"{broken} thing{'s' if broken > 1 else ''} to mend, see above")


if __name__ == "__main__":
    main()
