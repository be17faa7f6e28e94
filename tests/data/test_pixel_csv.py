import gzip

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asllib.data.sign_mnist import PIXEL_COLUMNS, read_pixel_csv, write_pixel_csv
from asllib.errors import InputError

HEADER = ",".join(["label", *PIXEL_COLUMNS])


def rows_of(n: int = 4) -> list[list[str]]:
    """Rows of text as they stand in a sound file: labels 0, 1, 2, ..; pixels counting up."""
    return [[str(label), *(str((label * 7 + i) % 256) for i in range(784))] for label in range(n)]


def text_of(rows: list[list[str]], header: str = HEADER) -> str:
    return "\n".join([header, *(",".join(row) for row in rows)]) + "\n"


def changed(row: int, column: int, value: str) -> bytes:
    """A sound file but for one value; rows count from 1, as in the messages."""
    rows = rows_of()
    rows[row - 1][column] = value
    return text_of(rows).encode()


def refuse(path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        read_pixel_csv(path)
    message = str(error.value)
    assert "\n" not in message and message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


@pytest.mark.parametrize("name", ["set.csv", "set.csv.gz"])
def test_what_is_written_is_read_again(tmp_path, rng, name):
    labels = np.array([n for n in range(25) if n != 9])
    images = rng.integers(0, 256, (24, 28, 28), np.uint8)
    write_pixel_csv(tmp_path / name, images, labels)
    read, found = read_pixel_csv(tmp_path / name)
    assert read.dtype == np.uint8 and found.dtype == np.int64
    np.testing.assert_array_equal(read, images)
    np.testing.assert_array_equal(found, labels)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    if name.endswith(".gz"):
        assert (tmp_path / name).read_bytes()[:2] == b"\x1f\x8b"


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000), n=st.integers(1, 9))
def test_any_images_come_back(tmp_path_factory, seed, n):
    rng = np.random.default_rng(seed)
    images, labels = rng.integers(0, 256, (n, 28, 28), np.uint8), rng.integers(10, 25, n)
    path = tmp_path_factory.mktemp("csv") / "set.csv"
    write_pixel_csv(path, images, labels)
    read, found = read_pixel_csv(path)
    assert (read == images).all() and (found == labels).all()


def test_pixel_29_is_the_first_of_the_second_row(tmp_path):
    row = ["3", *["0"] * 784]
    row[29] = "200"
    (tmp_path / "set.csv").write_text(text_of([row]))
    images, labels = read_pixel_csv(tmp_path / "set.csv")
    assert labels.tolist() == [3]
    assert images[0, 1, 0] == 200 and images.sum() == 200


@pytest.mark.parametrize("how", ["windows", "gzip windows", "no last line end", "empty line", "mark", "quotes"])
def test_harmless_variants_are_read(tmp_path, how):
    text = text_of(rows_of())
    path = tmp_path / "set.csv"
    if how == "windows":
        path.write_bytes(text.replace("\n", "\r\n").encode())
    elif how == "gzip windows":
        path = tmp_path / "set.csv.gz"
        path.write_bytes(gzip.compress(text.replace("\n", "\r\n").encode()))
    elif how == "no last line end":
        path.write_text(text.rstrip("\n"))
    elif how == "mark":
        path.write_text(text, encoding="utf-8-sig")
    elif how == "quotes":
        path.write_text(text.replace(HEADER, ",".join(f'"{name}"' for name in HEADER.split(","))))
    else:
        path.write_text(text.replace("\n2,", "\n\n2,"))
    images, labels = read_pixel_csv(path)
    assert labels.tolist() == [0, 1, 2, 3]
    assert images[2].ravel()[:3].tolist() == [14, 15, 16]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (changed(3, 0, "9"), "row 3, label is 9;"),
        (changed(2, 0, "25"), "row 2, label is 25;"),
        (changed(2, 0, "255"), "row 2, label is 255;"),
        (changed(4, 0, "999"), "row 4, label is '999'"),
        (changed(4, 0, "-1"), "row 4, label is '-1'"),
        (changed(1, 0, "A"), "row 1, label is 'A'; expected a number"),
        (changed(3, 5, "256"), "row 3, pixel5 is '256'"),
        (changed(3, 784, "-1"), "row 3, pixel784 is '-1'"),
        (changed(1, 1, "abc"), "row 1, pixel1 is 'abc'"),
        (changed(2, 100, ""), "row 2, pixel100 is ''"),
        (changed(2, 100, "nan"), "row 2, pixel100 is 'nan'"),
        (changed(2, 100, "1.5"), "row 2, pixel100 is '1.5'"),
        (changed(2, 100, "1e2"), "row 2, pixel100 is '1e2'"),
        (changed(2, 100, "107.0"), "row 2, pixel100 is '107.0'"),
        (changed(2, 100, "٣"), "row 2, pixel100 is '٣'"),
        (text_of([*rows_of(2), rows_of(3)[2] + ["1"]]).encode(), "row 3 has 786 values"),
        (text_of([rows_of(1)[0][:-1], *rows_of(2)]).encode(), "row 1 has 784 values"),
        (text_of(rows_of(3))[:-1500].encode(), "row 3 has"),
        (text_of(rows_of(3)).replace("\n1,", "\n\n1,").encode()[:-1500], "row 3 has"),
        (HEADER.encode() + b"\n", "no rows"),
        (HEADER.encode(), "not a pixel CSV"),
        (b"", "an empty file"),
        (b"\n\n\n", "an empty file"),
        (bytes(3000), "row 0 is not UTF-8"),
        (bytes(range(256)) * 20, "row 0 is not UTF-8"),
        (text_of(rows_of()).encode() + b"\xe4\xff", "row 5 is not UTF-8"),
        (text_of(rows_of(), HEADER.replace(",pixel400,", ",")).encode(), "column pixel400 is missing (1 in all)"),
        (text_of(rows_of(), HEADER.replace("pixel784", "pixel783")).encode(), "column 'pixel783' comes 2 times"),
        (text_of(rows_of(), HEADER + ",more").encode(), "786 columns"),
        (text_of(rows_of()[1:], ",".join(rows_of(1)[0])).encode(), "column '0' comes 5 times"),
        (text_of(rows_of()).replace(",", ";").encode(), "semicolons"),
        (gzip.compress(text_of(rows_of()).encode()), "not a readable CSV"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_refused_in_one_line(tmp_path, content, said):
    assert said in refuse(tmp_path / "set.csv", content)


def test_columns_in_another_order_are_read_by_their_names(tmp_path):
    rows, order = rows_of(), np.random.default_rng(0).permutation(785)
    (tmp_path / "set.csv").write_text(text_of(rows))
    shuffled = [[row[i] for i in order] for row in rows]
    (tmp_path / "other.csv").write_text(text_of(shuffled, ",".join(HEADER.split(",")[i] for i in order)))
    for read, expected in zip(
        read_pixel_csv(tmp_path / "other.csv"), read_pixel_csv(tmp_path / "set.csv"), strict=True
    ):
        np.testing.assert_array_equal(read, expected)


@pytest.mark.parametrize("kept", [5, 40, 0.5, 0.99, -4])
def test_a_truncated_gzip_is_refused(tmp_path, kept):
    content = gzip.compress(text_of(rows_of(30)).encode())
    end = kept if isinstance(kept, int) else int(kept * len(content))
    said = refuse(tmp_path / "set.csv.gz", content[:end])
    assert "end-of-stream" in said


def test_no_changed_byte_of_a_gzip_ends_in_anything_but_one_line(tmp_path, rng):
    sound = gzip.compress(text_of(rows_of(3)).encode())
    for place in rng.integers(10, len(sound), 60):
        content = bytearray(sound)
        content[place] ^= 0x55
        refuse(tmp_path / "set.csv.gz", bytes(content))


def test_a_gzip_that_is_none_and_a_file_that_is_not_there(tmp_path):
    assert "Not a gzipped file" in refuse(tmp_path / "set.csv.gz", text_of(rows_of()).encode())
    for path, said in ((tmp_path / "missing.csv", "no such file"), (tmp_path, "a folder; name a file in it")):
        with pytest.raises(InputError, match=said):
            read_pixel_csv(path)


def test_nothing_half_written_is_left(tmp_path):
    (tmp_path / "set.csv").mkdir()  # cannot be replaced by a file
    with pytest.raises(InputError, match=r"set\.csv: cannot be written"):
        write_pixel_csv(tmp_path / "set.csv", np.zeros((2, 28, 28), np.uint8), np.array([0, 1]))
    assert [path.name for path in tmp_path.iterdir()] == ["set.csv"]


@pytest.fixture
def plain(tmp_path, rng):
    """Bytes of a pixel CSV of 48 rows, and its rows."""
    labels = np.array([n for n in range(25) if n != 9]).repeat(2)
    images = rng.integers(0, 256, (48, 28, 28), np.uint8)
    write_pixel_csv(tmp_path / "plain.csv", images, labels)
    return (tmp_path / "plain.csv").read_bytes(), np.column_stack([labels, images.reshape(48, -1)])


@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
@pytest.mark.parametrize("change", ["as it is", "mark", "quotes", "no last end", "leading zeros", "empty lines"])
def test_other_ways_to_write_the_same_file_are_read_alike(plain, tmp_path, ending, change):
    content, rows = plain
    lines = content.splitlines()
    if change == "quotes":
        lines[1] = b",".join(b'"%s"' % value for value in lines[1].split(b","))
    if change == "leading zeros":
        lines[1] = b",".join(b"%03d" % int(value) for value in lines[1].split(b","))
    if change == "empty lines":
        lines[5:5] = [b"", b""]
    content = (b"\xef\xbb\xbf" if change == "mark" else b"") + ending.join(lines)
    content += b"" if change == "no last end" else ending
    (tmp_path / "changed.csv").write_bytes(content)
    images, labels = read_pixel_csv(tmp_path / "changed.csv")
    np.testing.assert_array_equal(np.column_stack([labels, images.reshape(48, -1)]), rows)
