from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pymongo
import pytest
from bson import Decimal128

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def database(mongo_server_uri: str) -> Iterator[str]:
    name = f"test_report_{uuid.uuid4().hex[:12]}"
    now = datetime.now(UTC)
    with pymongo.MongoClient[dict[str, Any]](mongo_server_uri) as client:
        client[name]["products"].insert_many(
            {
                "_id": number,
                "product_id": number,
                "name": f"连衣裙 {number}",
                "price": Decimal128("9.90"),
                "stock": 5,
                "fetched_at": now,
            }
            for number in (1, 2, 3)
        )
        client[name]["product_changes"].insert_many(
            {
                "_id": f"{days}",
                "product_id": 1,
                "sku_id": None,
                "field": "price",
                "old": Decimal128(old),
                "new": Decimal128(new),
                "at": now - timedelta(days=days),
            }
            for days, old, new in ((1, "12.50", "9.90"), (20, "99.00", "12.50"))
        )
        yield name
        client.drop_database(name)


@pytest.fixture
def report(
    run_command: Callable[..., int], mongo_server_uri: str, database: str
) -> Callable[..., int]:
    def run(*arguments: str, uri: str = mongo_server_uri) -> int:
        return run_command("report", *arguments, MONGO_URI=uri, MONGO_DATABASE=database)

    return run


def test_report(
    report: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report("week.html") == 0
    assert capsys.readouterr() == ("Report of 7 days written to week.html\n", "")
    html = (tmp_path / "week.html").read_text()
    assert html.startswith("<!doctype html>\n")
    assert "Of 3 products 1 became cheaper and 0 dearer." in html
    assert "连衣裙 1 (1), from ¥12.50 to ¥9.90 (\u221220.8 %)" in html
    assert [path.name for path in tmp_path.iterdir()] == ["week.html"]


def test_longer_report(report: Callable[..., int], tmp_path: Path) -> None:
    assert report("month.html", "--days", "30") == 0
    assert "from ¥99.00 to ¥9.90 (\u221290.0 %)" in (tmp_path / "month.html").read_text()


def test_report_of_hours(
    report: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report("day.html", "--hours", "25") == 0
    assert capsys.readouterr().out == "Report of 25 hours written to day.html\n"
    html = (tmp_path / "day.html").read_text()
    assert "from ¥12.50 to ¥9.90 (\u221220.8 %)" in html
    assert "Hour by hour" in html
    assert report("hour.html", "--hours", "1") == 0
    assert capsys.readouterr().out == "Report of 1 hour written to hour.html\n"
    assert "Of 3 products none has another price than on " in (tmp_path / "hour.html").read_text()


def test_a_period_is_of_days_or_of_hours(
    report: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert report("a.html", "--days", "2", "--hours", "3") == 2
    assert "argument --hours: not allowed with argument --days" in capsys.readouterr().err


def test_chosen_products(report: Callable[..., int], tmp_path: Path) -> None:
    chosen = "3, https://detail.1688.com/offer/2.html,77,3"
    assert report("some.html", "--products", chosen) == 0
    html = (tmp_path / "some.html").read_text()
    assert re.findall("<h3>.*>(.+)</a>", html) == ["连衣裙 3", "连衣裙 2"]
    assert "Not stored: 77." in html


def test_standard_output(
    report: Callable[..., int], capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert report("-") == 0
    out, error = capfdbinary.readouterr()
    assert out.startswith(b"<!doctype html>\n")
    assert out.endswith(b"</html>\n")
    assert error == b""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.html", "--days", "0"], "--days is 0: say a number from 1 to 366"),
        (["a.html", "--days", "367"], "--days is 367: say a number from 1 to 366"),
        (["a.html", "--hours", "0"], "--hours is 0: say a number from 1 to 168, or use --days"),
        (["a.html", "--hours", "169"], "--hours is 169: say a number from 1 to 168, or use "),
        (["a.html", "--products", "1,x"], "--products: 'x' is neither a product id nor "),
        (["a.html", "--products", ",".join(map(str, range(1, 52)))], "--products names 51: say 50"),
        (["none/a.html"], "none/a.html cannot be written: No such file or directory"),
    ],
)
def test_wrong_arguments_are_one_sentence(
    report: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    arguments: list[str],
    message: str,
) -> None:
    assert report(*arguments) == 1
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith(f"Error: {message}")
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_error_says_that_no_database_is_there(
    report: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert report("a.html", uri="") == 1
    assert capsys.readouterr().err.startswith("Error: MONGO_URI is empty, so no products are ")
    assert list(tmp_path.iterdir()) == []


def test_one_file_is_asked_for(
    report: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert report() == 2
    assert report("a.html", "b.html") == 2
    assert capsys.readouterr().err.count("say one FILE; scrapy report -h lists the options") == 2
