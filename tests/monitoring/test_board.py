"""The board for Grafana: a file that can be imported, about metrics that there are."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import ali1688_spider
from ali1688_spider.monitoring.metrics import descriptions

FILE = Path(ali1688_spider.__file__).parents[1] / "deploy" / "grafana" / "dashboard.json"
BOARD = json.loads(FILE.read_text())
PANELS: list[dict[str, Any]] = BOARD["panels"]
GRAPHS = [panel for panel in PANELS if panel["type"] != "row"]
EXPRESSIONS = [target["expr"] for panel in GRAPHS for target in panel["targets"]]
COLUMNS = 24


def test_panels_have_ids_and_titles_of_their_own() -> None:
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    assert BOARD["id"] is None  # an import gives it one
    assert BOARD["uid"]
    assert all(panel["title"] and panel["description"] for panel in GRAPHS)


def test_panels_lie_side_by_side() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in PANELS:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= COLUMNS
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not taken & cells, panel["title"]
        taken |= cells


def test_the_source_of_the_data_is_chosen_on_the_board() -> None:
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    variables = {each["name"]: each for each in BOARD["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert variables["spider"]["datasource"] == chosen
    for panel in GRAPHS:
        assert panel["datasource"] == chosen
        assert all(target["datasource"] == chosen for target in panel["targets"])
        references = [target["refId"] for target in panel["targets"]]
        assert len(set(references)) == len(references)


def test_metrics_of_the_board_exist() -> None:
    kinds = {each.name: each.kind for each in descriptions()}
    for expression in EXPRESSIONS:
        for name, window in re.findall(r"\b(ali1688_\w+)(?:{[^}]*})?(\[)?", expression):
            assert (kinds[name] == "counter") == bool(window), expression


def test_the_board_is_formatted_as_a_machine_writes_it() -> None:
    assert json.dumps(BOARD, indent=2, ensure_ascii=False) + "\n" == FILE.read_text()
