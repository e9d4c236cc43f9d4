"""The transcribed tables: their schema, and what can be derived from their numbers."""

import pytest

from companion import lecture, tables

HEADER = ",".join(tables.PUBLISHED)
ROW = "P,Table 1,Slide,M,1,0,0,MNIST,centred-28,error,1.29,,"
RECORD = "05_hard_attention/mnist/paper/centred-28/ram-6"
LECTURE = {
    "daquar": 1,
    "msr_daily": 11,
    "ntu_glimpse_clouds": 18 * 3 + 1,
    "ntu_hands": 12 * 3 + 1,
    "nucla": 7 * 4 + 6 + 2,  # two stand there again, beside the strict protocol
    "ram": 24,
    "sbu": 12,
    "wildcat": 1,
}


def test_the_tables_of_the_lecture_and_of_single_papers_are_there():
    assert {name: len(rows) for name, rows in tables.published().items()} == LECTURE


@pytest.mark.parametrize("name", LECTURE)
def test_the_slide_is_one_of_the_lecture_that_names_the_table(name):
    slides = {topic.slide for topic in lecture.TOPICS if name in topic.tables}
    assert set(tables.published()[name]["slide"]) <= slides


@pytest.mark.parametrize("name", ["ntu_hands", "ntu_glimpse_clouds", "nucla"])
def test_printed_averages_are_the_means_of_their_columns_unless_the_note_says_otherwise(name):
    printed = tables.published()[name].drop_duplicates(["method", "protocol"])
    wide = printed.pivot(index="method", columns="protocol", values="published")
    notes = tables.published()[name].query("protocol == 'average'").set_index("method")["note"]
    wide = wide.dropna()
    off = (wide.drop(columns="average").mean(axis=1) - wide["average"]).abs() > 0.05 + 1e-9
    noted = {method for method, note in notes.items() if "which rounds to" in note}
    assert set(wide.index[off]) == noted


def test_both_ntu_tables_print_the_same_numbers_for_the_same_method():
    one, other = (
        rows.assign(method=rows["method"].str.replace(r" \[\d+\]$", "", regex=True)).set_index(
            ["method", "protocol"]
        )["published"]
        for rows in (tables.published()[name] for name in ("ntu_hands", "ntu_glimpse_clouds"))
    )
    both = one.index.intersection(other.index)
    assert len(both) == 9 * 3 + 1
    assert (one[both] == other[both]).all()


def test_every_row_of_ram_names_the_records_that_reproduce_it():
    rows = tables.published()["ram"]
    assert rows["record"].str.startswith("05_hard_attention/mnist/paper/").all()
    assert rows["record"].is_unique
    assert rows["note"].str.startswith("arXiv v1").all()


def table(folder, *lines):
    path = folder / "t.csv"
    path.write_text("\n".join([*lines, ""]))
    return path


def test_a_good_table_is_read(tmp_path):
    table(tmp_path, HEADER, ROW, f"P,Table 1,Slide,N,1,0,0,MNIST,centred-28,error,1.3,{RECORD},why")
    rows = tables.published(tmp_path)["t"]
    assert list(rows["published"]) == [1.29, 1.3]
    assert list(rows["record"]) == ["", RECORD]


CELLS = {  # column -> cells that are refused there
    "paper": ["", " P"],
    "method": [""],
    "pose": ["X", "", "2"],
    "depth": ["true"],
    "dataset": ["ImageNet"],
    "protocol": ["", "a/b"],
    "metric": ["top 1"],
    "published": ["", "-", "nan", "101", "1.234", "1e1"],
    "record": [
        "ram-6",
        RECORD.replace("paper", "quick"),
        RECORD.replace("paper", "huge"),
        RECORD.replace("mnist", "digits"),
        RECORD.replace("centred-28", "cluttered-60"),
        RECORD.replace("ram-6", "../x"),
    ],
}


@pytest.mark.parametrize(("column", "cell"), [(c, cell) for c, cells in CELLS.items() for cell in cells])
def test_a_wrong_cell_is_refused_by_file_row_and_column(tmp_path, column, cell):
    cells = ROW.split(",")
    cells[tables.PUBLISHED.index(column)] = cell
    path = table(tmp_path, HEADER, ROW.replace(",M,", ",other,"), ",".join(cells))
    with pytest.raises(ValueError) as refused:
        tables.published(tmp_path)
    assert str(refused.value).startswith(f"{path}, row 3, column '{column}': ")


STRICT = RECORD.replace("centred-28", "centred-28-strict")


def test_a_number_stands_twice_if_the_second_record_is_of_the_strict_protocol(tmp_path):
    again = ROW.replace("1.29,,", f"1.29,{STRICT},")
    table(tmp_path, HEADER, ROW.replace("1.29,,", f"1.29,{RECORD},"), again)
    assert list(tables.published(tmp_path)["t"]["record"]) == [RECORD, STRICT]
    table(tmp_path, HEADER, ROW, again.replace("1.29", "1.3"))
    with pytest.raises(ValueError, match="row 3, column 'published': 1.3 is 1.29 in a row above"):
        tables.published(tmp_path)
    table(tmp_path, HEADER, ROW, ROW.replace("1.29,,", f"1.29,{RECORD},"))
    with pytest.raises(ValueError, match="row 3, column 'method': .* stands there twice"):
        tables.published(tmp_path)


LINES = {
    "row 1, column 'table': the header says 'slide'": [HEADER.replace("table,", ""), ROW],
    "row 1, column 'note': 12 cells, not 13": [HEADER.removesuffix(",note"), ROW],
    "row 2, column 'note': 12 cells, not 13": [HEADER, ROW.removesuffix(",")],
    "row 2, column 'note': 14 cells, not 13": [HEADER, ROW + "one, two"],
    "row 3, column 'paper': 0 cells, not 13": [HEADER, ROW, ""],
    "row 3, column 'method': M, MNIST, centred-28, error stands there twice": [HEADER, ROW, ROW],
    "row 2, column 'paper': the table has no rows": [HEADER],
    "is not CSV in UTF-8": [HEADER, ROW + '"open'],
}


@pytest.mark.parametrize("sentence", LINES)
def test_a_malformed_line_is_refused(tmp_path, sentence):
    path = table(tmp_path, *LINES[sentence])
    with pytest.raises(ValueError) as refused:
        tables.published(tmp_path)
    assert str(refused.value).startswith(str(path))
    assert sentence in str(refused.value)


def test_other_encodings_are_refused(tmp_path):
    table(tmp_path, HEADER, ROW).write_bytes(f"{HEADER}\n{ROW}é\n".encode("latin-1"))
    with pytest.raises(ValueError, match="t.csv is not CSV in UTF-8"):
        tables.published(tmp_path)
