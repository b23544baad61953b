"""Tables as spreadsheets, statistics offices and pandas write them: read right, or refused in one line that helps."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from raw_folders import series

from genfoundry.data.dataset import Dataset
from genfoundry.data.readers import time_csv
from genfoundry.errors import UserError
from genfoundry.onboarding.inspect import inspect_data

DAYS = [date(2023, 1, 1) + timedelta(i) for i in range(60)]
VALUES = [1200.5 + 0.25 * i + i * i for i in range(60)]
FIRST = (date(2023, 1, 1) - date(1970, 1, 1)).days


def comma(value: float) -> str:
    return f"{value:.2f}".replace(".", ",")


def written(path: Path, text: str | bytes) -> Path:
    (path / "x.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    return path / "x.csv"


def lines(cell: Callable[[date, float], str], head: str = "date,value") -> str:
    return "\n".join([head, *(cell(d, v) for d, v in zip(DAYS, VALUES, strict=True))]) + "\n"


PLAIN = lines(lambda d, v: f"{d},{v:.2f}")
SAME = {  # what all hold the same 60 days and values
    "semicolons": lines(lambda d, v: f"{d:%d.%m.%Y};{comma(v)}", "Datum;Wert"),
    "a comma in a name": lines(lambda d, v: f"{d:%d.%m.%Y};{comma(v)}", "Datum;Wert, EUR"),
    "quoted decimal commas": lines(lambda d, v: f'{d}, "{comma(v)}"'),
    "thousands": lines(lambda d, v: f'{d},"{v:,.2f}"'),
    "points between thousands": lines(
        lambda d, v: f"{d};" + f"{v:,.2f}".translate(str.maketrans(",.", ".,")), "date;value"
    ),
    "spaces between thousands": lines(lambda d, v: f"{d};" + f"{v:,.2f}".replace(",", "\u202f"), "date;value"),
    "tabs": PLAIN.replace(",", "\t"),
    "sep": f"sep=;\n{PLAIN.replace(',', ';')}",
    "sep of a comma": f'"sep=,"\n{PLAIN}',
    "mark": f"\ufeff{PLAIN}",
    "carriage returns": PLAIN.replace("\n", "\r"),
    "Windows": PLAIN.replace("\n", "\r\n"),
    "empty lines": PLAIN.replace("\n", "\n\n"),
    "comments": f"# of a station\n{PLAIN}# the end\n",
    "names behind a #": f"# note\n# {PLAIN}",
    "last cell empty": PLAIN.replace("\n", ",\n"),
    "last cell empty below": PLAIN.replace("\n", ",\n").replace("value,", "value"),
    "American dates": lines(lambda d, v: f"{d:%m/%d/%Y},{v:.2f}"),
    "British dates": lines(lambda d, v: f"{d:%d/%m/%Y},{v:.2f}"),
    "named months": lines(lambda d, v: f"{d:%d-%b-%Y},{v:.2f}"),
    "slashes": lines(lambda d, v: f"{d:%Y/%m/%d},{v:.2f}"),
    "digits": lines(lambda d, v: f"{d:%Y%m%d},{v:.2f}"),
    "short": lines(lambda d, v: f"{d.year}-{d.month}-{d.day},{v:.2f}"),
    "newest first": "date,value\n" + "\n".join(PLAIN.splitlines()[:0:-1]),
    "rows twice": PLAIN + PLAIN.splitlines()[-1] + "\n",
    "index of pandas": "".join(f"{i - 1 if i else ''},{line}\n" for i, line in enumerate(PLAIN.splitlines())),
}
SAME |= {code: PLAIN.encode(code) for code in ("utf-16", "utf-16-le", "utf-16-be", "utf-32")}  # type: ignore[dict-item]


@pytest.mark.parametrize("form", SAME)
def test_one_table_in_many_forms(form: str, tmp_path: Path) -> None:
    found = time_csv.read_series(written(tmp_path, SAME[form]))
    assert found.unit == "days" and len(found.names) == 1
    np.testing.assert_array_equal(found.rows[:, 0], FIRST + np.arange(60))
    np.testing.assert_array_equal(found.rows[:, 1], [float(f"{v:.2f}") for v in VALUES])


def test_what_is_unusual_is_noted(tmp_path: Path) -> None:
    assert time_csv.read_series(written(tmp_path, PLAIN)).notes == ()
    for form, note in {
        "semicolons": "cells are separated by semicolons",
        "quoted decimal commas": "numbers have a decimal comma",
        "thousands": "numbers have commas between thousands",
        "American dates": "times are MM/DD/YYYY",
        "newest first": "rows are newest first and are read in reverse",
        "rows twice": "1 rows that stand twice are taken once",
        "comments": "2 lines that begin with # are left out",
        "index of pandas": "the unnamed first column counts rows and is left out",
        "utf-16": "the file is UTF-16",
        "sep": "line 1 is sep=;",
    }.items():
        assert note in time_csv.read_series(written(tmp_path, SAME[form])).notes, form


MONTHS = [
    "{y}{m:02}",
    "{y}M{m:02}",
    "{y}-{m:02}",
    "{y}M{m}",
    "{b}-{y}",
    "{b} {y}",
    "{m:02}/{y}",
    "{y}/{m:02}",
    "{y} {b}",
]
MONTHS += ["{y}.{m:02}", "{f} {y}", "{m}.{y}", "{y}-M{m:02}"]


@pytest.mark.parametrize("form", MONTHS)
def test_months(form: str, tmp_path: Path) -> None:
    """Whole months, the same distance over the end of a year."""
    months = [datetime(2019 + i // 12, i % 12 + 1, 1) for i in range(30)]
    cells = [form.format(y=d.year, m=d.month, b=d.strftime("%b"), f=d.strftime("%B")) for d in months]
    text = "period,value\n" + "".join(f"{cell},{i}\n" for i, cell in enumerate(cells))
    assert time_csv.read_series(written(tmp_path, text), "months").rows[:, 0].tolist() == list(range(588, 618))
    if form != "{y}-{m:02}":  # an ISO date is the first of a month, as before
        assert time_csv.read_series(written(tmp_path, text)).unit == "months"


@pytest.mark.parametrize("form", ["{y}Q{q}", "{y}-Q{q}", "Q{q} {y}", "{q}Q{y}"])
def test_quarters(form: str, tmp_path: Path) -> None:
    cells = [form.format(y=2019 + i // 4, q=i % 4 + 1) for i in range(9)]
    found = time_csv.read_series(written(tmp_path, "t,a\n" + "".join(f"{cell},{i}\n" for i, cell in enumerate(cells))))
    assert found.unit == "months" and found.rows[:, 0].tolist() == [588 + 3 * i for i in range(9)]


def test_times_with_a_decimal_comma(tmp_path: Path) -> None:
    text = "t;a\n0;1,5\n0,25;2,5\n0,5;3,5\n"
    assert time_csv.read_series(written(tmp_path, text)).rows.tolist() == [[0, 1.5], [0.25, 2.5], [0.5, 3.5]]


def test_numbers_stay_numbers(tmp_path: Path) -> None:
    """Spreadsheet days, seconds since 1970, years and counters that only look like months."""
    for times in (range(44927, 44990), range(1577836800, 1578000000, 3600), range(1900, 1990), range(200001, 200090)):
        found = time_csv.read_series(written(tmp_path, "t,a\n" + "".join(f"{t},{i}\n" for i, t in enumerate(times))))
        assert found.unit == "number" and found.rows[:, 0].tolist() == list(times)


def test_hours(tmp_path: Path) -> None:
    """Digits, American halves of a day, and offsets from UTC over the end of summer time."""
    start = datetime(2024, 10, 27)
    forms = {"%Y%m%d%H": 1, "%m/%d/%Y %I:%M %p": 1, "%d.%m.%Y %H:%M": 1, "%Y-%m-%dT%H:%M:%SZ": 1}
    base = (start - datetime(1970, 1, 1)).total_seconds()
    for form in forms:
        rows = [f"{start + timedelta(hours=h):{form}},{h}" for h in range(48)]
        found = time_csv.read_series(written(tmp_path, "\n".join(["t,a", *rows])))
        assert found.unit == "seconds" and found.rows[:, 0].tolist() == [base + 3600 * h for h in range(48)], form
    text = "t,a\n2024-10-27T02:00:00+02:00,1\n2024-10-27T02:00:00+01:00,2\n2024-10-27T03:00:00+01:00,3\n"
    assert np.diff(time_csv.read_series(written(tmp_path, text)).rows[:, 0]).tolist() == [3600, 3600]


def long(stacked: bool, *, name: str = "station", names: tuple[str, ...] = ("1", "2")) -> str:
    rows = [(d, n, v) for d, v in zip(DAYS, VALUES, strict=True) for n in names]
    rows.sort(key=lambda row: row[1] if stacked else "")
    return f"date,{name},value\n" + "".join(f"{d},{n},{v}\n" for d, n, v in rows)


REFUSED = {
    "underscore": ("t,a\n1,12_34\n", r":2: column a: expected a number, got '12_34'; write 1234 or 12.34"),
    "underscore in a time": ("t,a\n1_0,1\n", r":2: column t: expected a time .*, got '1_0'"),
    "percent": ("t,a\n1,12%\n", r":2: column a: expected a number, got '12%'; take % out of the cells"),
    "currency": ("t,a\n1,$12.5\n", r":2: column a: expected a number, got '\$12.5'; take \$ out of the cells"),
    "infinite": ("t,a\n1,-inf\n", r":2: column a: expected a number, got '-inf'; write a finite number"),
    "comma or thousands": ('t,a\n1,"1,234"\n2,"2,345"\n', "expected a clear decimal mark, got '1,234', 1234 or 1.234"),
    "both marks": ('t,a\n1,"1,5"\n2,1.5\n', "got a point in '1.5' and a comma in '1,5'"),
    "commas without quotes": ("t,a\n2020-01-01,1203,45\n", r":2: expected 2 cells, .* got 3; is a comma the decimal"),
    "day or month": ("t,a\n01/02/2020,1\n01/03/2020,2\n", "DD/MM/YYYY and MM/DD/YYYY; write dates as YYYY-MM-DD"),
    "a year of two digits": ("t,a\n01.02.20,1\n", "two digits may lie in two centuries"),
    "total": ("t,a\n2020-01-01,1\nTotal,5\n", r":3: column t: expected a time .*, got 'Total'; .*delete the line"),
    "note": ("t,a\n2020-01-01,1\nSource: us\n", r":3: expected 2 cells, .* got 1; delete the line if it is a note"),
    "units": ("t,a\n,degrees\n2020-01-01,1\n", r":2: .*a second line of names or units, , degrees; delete it"),
    "no names": ("2020-01-01,1\n2020-01-02,2\n", r":1: .*names the columns, .*, got a row, 2020-01-01, 1"),
    "NUL": ("t,a\n1,\x002\n2,3\n", r":2: a NUL character"),
    "offsets of some": ("t,a\n2020-01-01T00:00Z,1\n2020-01-01T01:00,2\n", r":3: .*all times or none with an offset"),
    "set back": (
        "t,a\n2024-10-27 01:00,1\n2024-10-27 02:00,2\n2024-10-27 02:00,3\n2024-10-27 03:00,4\n",
        r":4: column t: time 2024-10-27 02:00 repeats: clocks are set back .* write times in UTC",
    ),
    "a bad month": ("t,a\n" + "".join(f"{201900 + i % 12 + 1 + 100 * (i // 12)},1\n" for i in range(36)) + "202213,1\n",
                    r":38: column t: expected a time \(YYYYMM, as elsewhere\), got '202213'"),
    "words": ("t,s,a\n1,Kiel,1\n2,Ulm,2\n", r":2: column s: expected a number, got 'Kiel'; columns: \[a\] in the data"),
    "a row number": ("t,id,a\n1,1,5\n2,2,7\n3,3,6\n", r"got row numbers in column id; columns: \[a\] in the data"),
    "times in the second column": ("n,day,a\n1,2020-01-01,5\n", r"column day: .* times are expected in the first"),
    "wide": ("country,2019,2020\nDE,1,2\nFR,3,4\n", r"got times in the header \(2019, 2020, .*transpose the"),
    "long": (long(False), r":3: column date: time 2023-01-01 repeats .*: long format, 2 series .* by station \(1, 2\)"),
    "stacked": (long(True), r":62: column date: .*long format, 2 series .* by station \(1, 2\); give each a column"),
    "long with names": (long(True, names=("Kiel", "Ulm", "Bonn", "Jena")), r"4 series .*\(Bonn, Jena, Kiel, ...\)"),
    "two names": (
        "d,c,s,v\n" + "".join(f"200{i},{c},{s},{i + c}\n" for i in range(8) for c in (1, 2) for s in "FM"),
        r"long format, 4 series .* named by c and s \(1 F, 1 M, 2 F, ...\)",
    ),
    "short series": (
        "d,s,v\n" + "".join(f"200{i},S{s},{i * s}\n" for s in range(30) for i in (0, 1)), "30 series .* named by s",
    ),
    "a column without a name": ("t,a,\n1,1,2\n", r":1: .*got none for column 3"),
    "two values for a time": ("t,a\n1,1\n1,2\n2,3\n", r":3: column t: expected one row for each time, got several"),
    "no line of names": ("Jan-2019,1.5\nFeb-2019,2.5\n", r":1: .*names the columns, .*, got a row, Jan-2019, 1.5"),
    "two notes above": ("Station,Zurich\nUnit,C\nt,a\n1,1\n", r":2: .*got 'Unit'; .*line of names is first"),
    "a note above": ("; note\nt,a\n2020-01-01,1\n", r":2: .*delete it \(or line 1, if that is a note\)"),
    "no time": ("a,b\n5,1\n3,2\n9,3\n1,4\n", r":3: column a: 3 after a larger number.*; is a a time\?"),
    "hours to 24": (
        "date,hour,v\n2019-01-01,23,1\n2019-01-01,24,2\n",
        r":3: column hour: expected a time of day, HH:MM or a whole hour from 0 to 23, got '24'",
    ),
    "flags alone": ("t,a\n1,True\n2,False\n", r":2: column a: expected a number, got 'True'; write 1 and 0"),
    "a sign": ("t,a\n1,3\n2,*\n3,4\n", r":3: column a: expected a number, got '\*'; leave the cell empty"),
    "a damaged gzip": (b"\x1f\x8b\x08\x00rest", r"x\.csv: truncated or damaged"),
    "a workbook": (b"PK\x03\x04rest", r"x\.csv: expected text, got a zip file or a workbook"),
    "binary": (b"a\x00\xff\xfe\x01", r"x\.csv: byte 2 is not UTF-8, .*is it binary\?"),
    "unsorted": ("t,a\n2,1\n1,2\n3,3\n", r":3: column t: expected times that grow, got 1 after .*: sort the rows"),
}  # fmt: skip


def test_a_table_that_is_packed_whatever_its_name(tmp_path: Path) -> None:
    packed = gzip.compress(b"t,a\n1,3\n2,4\n")
    assert time_csv.read_series(written(tmp_path, packed)).rows.tolist() == [[1, 3], [2, 4]]


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_wrong_is_one_line(case: str, tmp_path: Path) -> None:
    text, says = REFUSED[case]
    with pytest.raises(UserError, match=says) as refused:
        time_csv.read_series(written(tmp_path, text))
    assert "\n" not in str(refused.value)
    assert case in ("unsorted",) or "sort the rows" not in str(refused.value)


def test_times_in_several_columns(tmp_path: Path) -> None:
    hours = [f"2023-01-0{1 + h // 24},{{}},{h}" for h in range(48)]
    for name, form in (("hour", "{}"), ("time", "{:02}:00"), ("Time", "{}:00")):
        rows = (row.format(form.format(h % 24)) for h, row in enumerate(hours))
        found = time_csv.read_series(written(tmp_path, "\n".join([f"date,{name},a", *rows])))
        assert found.unit == "seconds" and found.rows[:, 0].tolist() == [86400 * FIRST + 3600 * h for h in range(48)]
    days = lines(lambda d, v: f"{d.year},{d.month},{d.day},{v:.2f}", "Year,Month,Day,value")
    found = time_csv.read_series(written(tmp_path, days))
    assert found.unit == "days" and found.rows[:, 0].tolist() == list(range(FIRST, FIRST + 60))
    daily = lines(lambda d, v: f"{d},{d.day % 24},{v:.2f}", "date,hour,value")  # of the peak, say
    assert time_csv.read_series(written(tmp_path, daily)).names == ("hour", "value")


HOURS = [datetime(2019, 1, 12) + timedelta(hours=i) for i in range(50)]
TIMED = {  # the same 50 hours: what stands before the value, and the names of it
    "AM and PM": ("date,time", "{t:%Y-%m-%d},{t:%I:%M %p}"),
    "American": ("date,time", "{t:%m/%d/%Y},{t:%I:%M:%S %p}"),
    "without colons": ("date,time", "{t:%Y-%m-%d},{t:%H%M}"),
    "with points": ("Datum,Zeit", "{t:%d.%m.%Y},{t:%H.%M.%S}"),
    "hr": ("dteday,hr", "{t:%Y-%m-%d},{t.hour}"),
    "parts": ("year,month,day,hour", "{t.year},{t.month},{t.day},{t.hour}"),
    "numbered parts": ("No,year,month,day,hour", "{i},{t.year},{t.month},{t.day},{t.hour}"),
    "numbered": ("id,time", "{i},{t:%Y-%m-%d %H:%M}"),
    "two counts": ("Unnamed: 0.1,Unnamed: 0,date", "{i},{i},{t:%Y-%m-%d %H:%M}"),
    "midnight as a date": ("date", "{short}"),
    "hours alone": ("date", "{t:%Y-%m-%d %H}"),
}


@pytest.mark.parametrize("form", TIMED)
def test_hours_in_many_forms(form: str, tmp_path: Path) -> None:
    head, cell = TIMED[form]
    rows = [
        cell.format(t=t, i=i + 1, short=f"{t:%Y-%m-%d %H:%M}" if t.hour else f"{t:%Y-%m-%d}") + f",{i}.5"
        for i, t in enumerate(HOURS)
    ]
    read = time_csv.read_series(written(tmp_path, "\n".join([f"{head},v", *rows]) + "\n"))
    assert read.names == ("v",)
    np.testing.assert_array_equal(read.rows[:, 0], 1547251200.0 + 3600 * np.arange(50))
    np.testing.assert_array_equal(read.rows[:, 1], np.arange(50) + 0.5)


PARTS = {
    "day first": ("day,month,year", "{d.day},{d.month},{d.year}"),
    "short names": ("yr,mo,dy", "{d.year},{d.month},{d.day}"),
    "the date last": ("", ""),
    "a year and its day": ("date", "{d:%Y%j}"),
}


@pytest.mark.parametrize("form", PARTS)
def test_days_in_many_forms(form: str, tmp_path: Path) -> None:
    days = [date(2022, 11, 20) + timedelta(i) for i in range(60)]
    head, cell = PARTS[form]
    rows = [f"{cell.format(d=d)},{v}" if cell else f"{v},{d}" for d, v in zip(days, VALUES, strict=True)]
    read = time_csv.read_series(written(tmp_path, "\n".join([f"{head},v" if cell else "v,date", *rows]) + "\n"))
    assert read.names == ("v",)
    np.testing.assert_array_equal(read.rows[:, 0], (days[0] - date(1970, 1, 1)).days + np.arange(60))
    np.testing.assert_array_equal(read.rows[:, 1], VALUES)


@pytest.mark.parametrize(
    ("head", "cell"), [("date", "{y}{w:02}"), ("date", "{y}W{w:02}"), ("date", "{y}-W{w:02}"), ("year,week", "{y},{w}")]
)
def test_weeks(head: str, cell: str, tmp_path: Path) -> None:
    mondays = [date(2019, 1, 7) + timedelta(7 * i) for i in range(110)]
    rows = [f"{cell.format(y=d.isocalendar()[0], w=d.isocalendar()[1])},{i}" for i, d in enumerate(mondays)]
    read = time_csv.read_series(written(tmp_path, "\n".join([f"{head},v", *rows]) + "\n"))
    np.testing.assert_array_equal(read.rows[:, 0], (mondays[0] - date(1970, 1, 1)).days + 7 * np.arange(110))


@pytest.mark.parametrize("cell", ["{y},{m}", "{y},{n}", "{y},M{m:02}"])
def test_a_year_and_a_month(cell: str, tmp_path: Path) -> None:
    names = [f"{date(2000, m, 1):%b}" for m in range(1, 13)]
    rows = [f"{cell.format(y=2000 + i // 12, m=i % 12 + 1, n=names[i % 12])},{i}" for i in range(30)]
    read = time_csv.read_series(written(tmp_path, "\n".join(["year,month,v", *rows]) + "\n"))
    assert (read.unit, read.names) == ("months", ("v",))
    np.testing.assert_array_equal(read.rows[:, 0], 360 + np.arange(30))


@pytest.mark.parametrize("word", ["", "NA", "n/a", "-", "NULL", "#N/A", "..", ".", ":", "n.a.", "\\N", "1.#QNAN"])
def test_words_for_a_missing_value(word: str, tmp_path: Path) -> None:
    found = time_csv.read_series(written(tmp_path, f"t,a\n1,{word}\n2,-3\n"))
    assert np.isnan(found.rows[0, 1]) and found.rows[1, 1] == -3


def test_a_later_file_is_read_as_the_series_is(tmp_path: Path) -> None:
    """Two rows tell neither days from months nor a decimal comma from thousands."""
    base = time_csv.read_series(written(tmp_path, lines(lambda d, v: f"{d:%d/%m/%Y};{comma(v)}", "date;value")))
    more = written(tmp_path, "date;value\n02/03/2023;1,234\n03/03/2023;1,235\n")
    with pytest.raises(UserError):
        time_csv.read_series(more)
    found = time_csv.read_series(more, base.unit, (), base)
    assert found.rows.tolist() == [[FIRST + 60, 1.234], [FIRST + 61, 1.235]]


def test_a_folder_of_tables_and_a_column_to_leave_out(tmp_path: Path, prepare: Callable[..., Dataset]) -> None:
    (tmp_path / "raw").mkdir()
    for name in "ab":
        (tmp_path / f"raw/{name}.csv").write_text(PLAIN)
    with pytest.raises(UserError, match=r"expected one .csv file, got 2 \(a.csv, b.csv\): .*of its own"):
        prepare(series())
    (tmp_path / "raw/b.csv").unlink()
    (tmp_path / "raw/a.csv").write_text(lines(lambda d, v: f"{d},7,{v}", "date,site,value"))
    with pytest.raises(
        UserError,
        match=r"site: expected values that vary, got 7 all through train; columns: \[value\] .* leaves it out",
    ):
        prepare(series())
    assert prepare(series(columns=("value",))).meta["names"] == ["value"]


@pytest.mark.parametrize(
    ("code", "shown"), [("-999", "-999"), ("-99.9", "-99.9"), ("9999", "9999"), ("1e20", r"1e\+20")]
)
def test_a_code_for_a_missing_value_is_not_learnt(code: str, shown: str, tmp_path: Path) -> None:
    cells = [code if i in (7, 30) else f"{10 + i % 9}" for i in range(60)]
    path = written(tmp_path, "\n".join(["t,a", *(f"{i},{cell}" for i, cell in enumerate(cells))]) + "\n")
    with pytest.raises(UserError, match=rf":9: column a: {shown} \(2 in all\), but all others are 10 to 18; leave"):
        inspect_data(tmp_path)
    written(tmp_path, path.read_text().replace(f",{code}\n", ",99\n"))
    assert inspect_data(tmp_path).entry["modality"] == "series"  # 99 may be a value


def test_ids_are_no_values(tmp_path: Path) -> None:
    rows = [f"{d},{v:.2f},{1001 + i},{(7 * i) % 60}" for i, (d, v) in enumerate(zip(DAYS, VALUES, strict=True))]
    written(tmp_path, "\n".join(["date,value,id,order_id", *rows]) + "\n")
    assert inspect_data(tmp_path).entry["columns"] == ["value"]
