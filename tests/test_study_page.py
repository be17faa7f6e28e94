"""The tables of ``docs/study.md`` are those of the results."""

import study_page


def test_the_page_shows_what_was_measured():
    page = study_page.PAGE.read_text(encoding="utf-8")
    assert study_page.written(page) == page, "run python benchmarks/study_page.py"
    assert all(f"<!-- table: {name} -->" in page for name in study_page.tables())


def test_another_number_on_the_page_would_be_seen():
    page = study_page.PAGE.read_text(encoding="utf-8")
    row = next(line for line in page.splitlines() if line.startswith(f"| {study_page.DEFAULT} |"))
    changed = page.replace(row, row.replace("0", "1"), 1)
    assert changed != page and study_page.written(changed) == page
