import io
import sys
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest

from asllib.data import load_letters, load_photos, read_image
from asllib.errors import InputError
from asllib.files import find_photo_files


def save(path, color=(200, 30, 30), size=(40, 30)):
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.new("RGB", size, color).save(path)
    return path


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "mine"
    for name, color in {
        "A/1.png": (250, 0, 0),
        "A/2.jpg": (0, 250, 0),
        "b/1.jpeg": (0, 0, 250),
        "space/1.PNG": (9, 9, 9),
    }.items():
        save(folder / name, color)
    (folder / "A" / "notes.txt").write_text("not a photo")
    return folder


def manifest(folder, text: str | bytes):
    (folder / "manifest.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def test_a_folder_a_letter(folder):
    letters = load_photos(folder)
    assert list(letters.table["file"]) == ["A/1.png", "A/2.jpg", "b/1.jpeg", "space/1.PNG"]
    assert letters.letters.tolist() == ["A", "A", "B", "space"]
    assert letters.name == "mine" and set(letters.table["source"]) == {"mine"}
    assert letters.table["original"].is_unique and set(letters.table["split"]) == {""}
    assert letters.images[0].shape == (30, 40, 3) and letters.images[0].dtype == np.uint8
    assert letters.images[0][0, 0].tolist() == [250, 0, 0]  # RGB, not BGR
    assert letters.only().letters.tolist() == ["A", "A", "B"]
    assert load_letters(str(folder)).sha256() == letters.sha256()


def test_photos_of_every_format_are_read_and_what_else_is_there_is_counted(tmp_path, capsys):
    for ending in ("JPG", "jfif", "webp", "bmp", "tif", "gif", "avif", "png"):
        save(tmp_path / "A" / f"1.{ending}")
    for name in ("1.svg", "2.SVG", "Thumbs.db", ".hidden"):
        (tmp_path / "A" / name).write_bytes(b"x")
    letters = load_photos(tmp_path)
    assert len(letters) == 8
    for image in letters.images:
        assert image.shape == (30, 40, 3) and np.abs(image.mean((0, 1)) - (200, 30, 30)).max() < 8
    assert capsys.readouterr().err == f"{tmp_path}: 3 files left out: 1 .db, 2 .svg\n"


def test_photos_of_telephones_are_read_or_the_package_is_named(tmp_path, monkeypatch):
    (tmp_path / "A").mkdir()
    heic = Path(__file__).with_name("red.heic")  # 40x30, a white stripe of 10 columns at its left
    for name in ("IMG_1.HEIC", "2.heif", "renamed.jpg"):
        (tmp_path / "A" / name).write_bytes(heic.read_bytes())
    letters = load_photos(tmp_path)
    assert len(letters) == 3
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "pi_heif", None)
        with pytest.raises(InputError, match=r"1\.HEIC: HEIC needs a package: pip install 'asllib\[heic\]'"):
            letters.images[1]
    pytest.importorskip("pi_heif")
    for image in letters.images:
        assert image.shape == (30, 40, 3)
        assert image[:, :9].min() > 230 and np.abs(image[:, 12:].mean((0, 1)) - (200, 30, 30)).max() < 8


def test_names_of_folders_that_plainly_mean_a_letter_are_read_so(tmp_path, capsys):
    names = {"letter_C": "C", "Letter-k": "K", "D (1)": "D", "D": "D", "E - Copy": "E", "digit 7": "7", "3": "3"}
    names |= {"my sign": "my sign", "I love you (2)": "I love you (2)", "sign 1": "sign 1", "copy": "copy"}
    for name in names:
        save(tmp_path / name / "1.png")
    table = load_photos(tmp_path).table
    assert {Path(file).parts[0]: label for file, label in zip(table["file"], table["label"], strict=True)} == names
    assert capsys.readouterr().err == ""


def test_parts_of_a_set_hold_letters_and_what_has_none_is_named(tmp_path, capsys):
    """The layout of a well-known set of the alphabet: train/train/A/.., test/test/A_test.jpg."""
    outer = tmp_path / "set"
    for name in ("asl_train/asl_train/A/1.png", "asl_train/asl_train/B/2.png", "asl_test/asl_test/A_test.png"):
        save(outer / "archive" / name)
    for name in ("archive/asl_train/loose.png", "archive/asl_train/asl_train/A/more/3.png"):
        save(outer / name)
    letters = load_photos(outer)
    assert letters.table[["label", "split"]].to_numpy().tolist() == [["A", "train"], ["B", "train"]]
    said = capsys.readouterr().err
    assert said.startswith(f"{outer}: photos left out, in no letter's folder: 3 (") and said.count("\n") == 1
    for part, split in {"Training": "train", "val": "valid", "Validation set": "valid", "my-test": "test"}.items():
        save(tmp_path / "plain" / part / "A" / "1.png")
        table = load_photos(tmp_path / "plain").table
        assert table.loc[table["file"].str.startswith(part), ["label", "split"]].to_numpy().tolist() == [["A", split]]


def test_a_sign_that_is_called_train_is_no_part(tmp_path):
    for name in ("train/1.png", "bus/1.png"):
        save(tmp_path / name)
    assert sorted(load_photos(tmp_path).letters) == ["bus", "train"]


def test_a_folder_and_a_file_stand_for_photos(tmp_path, capsys):
    paths = [save(tmp_path / name) for name in ("A/1.png", "B/deep/2.jpg")]
    (tmp_path / "notes.txt").write_text("x")
    assert find_photo_files(tmp_path) == paths
    assert capsys.readouterr().err == f"{tmp_path}: 1 file left out: 1 .txt\n"
    for one in (tmp_path / "none.png", Path("https://a.b/c.png?size=1")):
        assert find_photo_files(one) == [one]
    (tmp_path / "C").mkdir()
    with pytest.raises(InputError, match="no photos"):
        find_photo_files(tmp_path / "C")


def test_the_hash_changes_with_a_photo_of_the_same_name(folder):
    before = load_photos(folder).sha256()
    save(folder / "A" / "1.png", (251, 0, 0))
    assert load_photos(folder).sha256() != before


def test_a_manifest_says_more_than_folders(folder):
    manifest(folder, "label,file,signer,original,split\nC,A/1.png,ann,one,train\nD,b/1.jpeg,bob,two,test\n")
    letters = load_photos(folder, "named")
    assert letters.name == "named" and letters.letters.tolist() == ["C", "D"]
    assert letters.table.loc[1].tolist() == ["b/1.jpeg", "D", "mine", "bob", "two", "test"]
    assert letters.images[1][0, 0, 2] > 200


def test_what_a_manifest_leaves_blank_is_as_if_it_had_no_such_column(folder):
    """Else all photos of no original were one, and a copy of one of them another."""
    rows = "A/1.png,A,,,\nA/2.jpg,A, ,,A/1.png\nb/1.jpeg,B,phone,ann,\n"
    table = load_photos(manifest(folder, f"file,label,source,signer,original\n{rows}")).table
    assert table["original"].tolist() == ["A/1.png", "A/1.png", "b/1.jpeg"]
    assert table["source"].tolist() == ["mine", "mine", "phone"]
    assert table["signer"].tolist() == ["unknown", "unknown", "ann"]


def test_blanks_around_a_folders_name_are_no_part_of_the_sign(tmp_path):
    for name in ("A ", " b", "my sign"):
        save(tmp_path / "mine" / name / "1.png")
    assert sorted(load_photos(tmp_path / "mine").letters) == ["A", "B", "my sign"]


def test_a_label_called_na_stays_a_label(folder):
    assert load_photos(manifest(folder, "file,label\nA/1.png,NA\n")).letters.tolist() == ["NA"]


def test_subsets_keep_images_and_rows_together(folder):
    letters = load_photos(folder)
    part = letters.subset(np.array([2, 0]))
    assert part.letters.tolist() == ["B", "A"]
    assert part.images[0].argmax(-1).max() == 2 and part.images[1][0, 0].tolist() == [250, 0, 0]
    masked = letters.subset(np.array([False, True, False, False]))
    assert len(masked) == 1 and masked.images.files == ("A/2.jpg",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file\nA/1.png\n", "column label is missing; it has file"),
        ("label\nA\n", "column file is missing; it has label"),
        ("file;label\nA/1.png;A\n", "semicolons stand between"),
        ("file,label\nA/1.png,A\nA/2.jpg,\n", "row 2 has no label"),
        ("file,label\nA/1.png,A\n,A\n", "row 2 has no file"),
        ("file,label\nA/1.png,A\nA/2.jpg\n", "row 2 has 1 values instead of 2"),
        ("file,label\nA/1.png,A\nA/3.jpg,A\n", "row 2, A/3.jpg: no such file"),
        ("file,label\nA,A\n", "row 1, A: no such file"),
        ("file,label\nA/1.png,A\n../outside.png,A\n", "row 2, ../outside.png: no such file in"),
        ("file,label\nA/../../outside.png,A\n", "row 1, A/../../outside.png: no such file in"),
        ("file,label\n/etc/hostname,A\n", "row 1, /etc/hostname: no such file in"),
        ("file,label\nlink.png,A\n", "row 1, link.png: no such file in"),
        ("file,label\nlinked/outside.png,A\n", "row 1, linked/outside.png: no such file in"),
        (f"file,label\n{'x' * 300}.png,A\n", "row 1"),
        ("file,label\na\0b.png,A\n", "row 1"),
        ("file,label\nA/1.png,A\nA/2.jpg,A\0\n", "row 2 is not UTF-8"),
        ("file,label\nnone/../A/1.png,A\n", "row 1, none/../A/1.png: no such file"),
        ("file,label\nA/1.png,A\nA/2.jpg,A,x,y\n", "row 2 has 4 values instead of 2"),
        ('file,label\n"A/1.png,A\n', "row 1 has 1 values"),
        ("", "an empty file"),
        ("file,label,label\nA/1.png,A,B\n", "column 'label' comes 2 times"),
        ("file,label\nA/1.png, \n", "row 1 has no label"),
        (b"\xff\xfe\x00\x01", "not a readable CSV"),
        ("file,label\n", "no photos"),
    ],
)  # fmt: skip
def test_a_bad_manifest_is_refused_in_one_line(folder, text, said):
    outside = save(folder.parent / "outside.png")
    (folder / "link.png").symlink_to(outside)
    (folder / "linked").symlink_to(folder.parent)
    with pytest.raises(InputError) as error:
        load_photos(manifest(folder, text))
    assert said in str(error.value) and "\n" not in str(error.value)
    assert str(folder) in str(error.value)


def test_a_link_that_stays_inside_is_taken(folder):
    (folder / "same.png").symlink_to(folder / "A" / "1.png")
    assert len(load_photos(manifest(folder, "file,label\nsame.png,A\n"))) == 1


def test_an_empty_folder_and_one_that_is_not_there(tmp_path):
    for folder, said in ((tmp_path, "no photos"), (tmp_path / "none", "no such folder")):
        with pytest.raises(InputError, match=said) as error:
            load_photos(folder)
        assert "\n" not in str(error.value)
    (tmp_path / "A").mkdir()
    (tmp_path / "A" / "a.svg").touch()
    with pytest.raises(InputError, match="no photos"):
        load_photos(tmp_path)


def cut_off_jpeg() -> bytes:
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (100, 100, 3), np.uint8)
    PIL.Image.fromarray(noise).save(buffer, "JPEG")
    return buffer.getvalue()[:4000]


@pytest.mark.parametrize("content", [b"", b"not an image", bytes(1000), cut_off_jpeg()])
def test_a_file_that_is_no_image_is_refused_when_it_is_read(tmp_path, content):
    (tmp_path / "A").mkdir()
    (tmp_path / "A" / "bad.jpg").write_bytes(content)
    letters = load_photos(tmp_path)
    with pytest.raises(InputError, match=r"bad\.jpg: not a readable image") as error:
        letters.images[0]
    assert "\n" not in str(error.value)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_missing_image_and_one_of_too_many_pixels(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_image(tmp_path / "none.jpg")
    with pytest.raises(InputError, match="a folder; name a file in it"):
        read_image(tmp_path)
    with pytest.raises(InputError, match=r"https://a\.b/c\.jpg: an address of the web; download it"):
        read_image("https://a.b/c.jpg")
    bomb = tmp_path / "bomb.png"
    PIL.Image.new("1", (20_000, 6_000)).save(bomb)
    assert bomb.stat().st_size < 100_000
    with pytest.raises(InputError, match="20000x6000 pixels"):
        read_image(bomb)


def test_photos_come_upright_and_in_three_channels(tmp_path):
    ramp = np.zeros((20, 60, 3), np.uint8)
    ramp[:, :30] = 240  # light on the left
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a right angle
    PIL.Image.fromarray(ramp).save(tmp_path / "turned.jpg", exif=exif)
    image = read_image(tmp_path / "turned.jpg")
    assert image.shape == (60, 20, 3)
    assert image[:25].mean() > 230 and image[35:].mean() < 10  # light on top
    for mode in ("L", "RGBA", "P", "1"):
        PIL.Image.fromarray(ramp).convert(mode).save(tmp_path / f"{mode}.png")
        assert read_image(tmp_path / f"{mode}.png").shape == (20, 60, 3)
    cv2.imwrite(str(tmp_path / "gray16.png"), np.full((20, 60), 40_000, np.uint16))
    assert read_image(tmp_path / "gray16.png").shape == (20, 60, 3)


def test_the_real_photos_are_complete(real_data):
    letters = load_photos(real_data / "photos")
    counts = letters.table["source"].value_counts()
    assert {name: int(n) for name, n in counts.items()} == {
        "davidlee": 1728, "keptsecret": 2000, "t32rahman": 260, "massey": 520,
    }  # fmt: skip
    assert letters.table.loc[letters.table["source"] == "davidlee", "original"].nunique() == 720
    assert len(letters.only()) < len(letters)
    assert letters.images[0].ndim == 3


def test_labels_of_a_manifest_are_taken_as_folders_are(folder):
    text = "file,label\nA/1.png,a\nA/2.jpg,B \nspace/1.PNG, space\n"
    assert load_photos(manifest(folder, text)).letters.tolist() == ["A", "B", "space"]


def test_grey_of_sixteen_bits_keeps_its_brightness(tmp_path):
    from PIL import Image

    Image.fromarray(np.full((8, 6), 128 * 257, np.uint16)).save(tmp_path / "grey.png")
    image = read_image(tmp_path / "grey.png")
    assert image.shape == (8, 6, 3) and (image == 128).all()
