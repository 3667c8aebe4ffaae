"""The files of ``deploy/prometheus``: valid, tested, and of one mind with ``scrapy status``."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

import ali1688_spider
from ali1688_spider.monitoring import problems
from ali1688_spider.monitoring.metrics import descriptions
from ali1688_spider.monitoring.problems import PROBLEM_NAMES
from ali1688_spider.shutdown import ENDED_EARLY

FOLDER = Path(ali1688_spider.__file__).parents[1] / "deploy" / "prometheus"
RULES = (FOLDER / "rules.yml").read_text()
TESTS = (FOLDER / "rules_test.yml").read_text()
ALERTS = re.findall(r"- alert: (\w+)", RULES)
ABOUT_THE_DASHBOARD = {"DashboardAway"}
"""An alert that is no problem which the dashboard could show."""

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is missing: apt-get install prometheus"
)


def promtool(*arguments: str, folder: Path = FOLDER) -> str:
    done = subprocess.run(
        ["promtool", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rule(alert: str) -> str:
    return RULES.partition(f"- alert: {alert}\n")[2].partition("- alert: ")[0]


def test_each_problem_has_an_alert_of_its_name() -> None:
    assert len(ALERTS) == len(set(ALERTS))
    assert set(ALERTS) == {*PROBLEM_NAMES, *ABOUT_THE_DASHBOARD}


def test_each_alert_says_how_bad_it_is_and_what_to_do() -> None:
    for alert in ALERTS:
        assert re.search(r"severity: (critical|warning|info)\n", rule(alert))
        assert re.search(r"summary: .+\n +description: .+\.", rule(alert))


def test_each_alert_is_tested() -> None:
    assert set(re.findall(r"alertname: (\w+)", TESTS)) == set(ALERTS)


def test_alerts_have_the_limits_of_the_problems() -> None:
    limits = {
        "NoWorker": f"for: {problems.UNATTENDED_SECONDS / 60:.0f}m",
        "ErrorShare": f"> {problems.ERROR_SHARE}",
        "WebhookWaits": f"> {problems.WEBHOOK_WAIT.total_seconds():.0f}",
        "FreshnessLow": f"< {problems.LEAST_FRESH}",
        "TokenEnds": f"< {problems.TOKEN_DAYS * 86_400}",
        "CrawlKilled": f"< {problems.KILLED_WITHIN.total_seconds():.0f}",
    }
    for alert, limit in limits.items():
        assert limit in rule(alert)
    least = f"[{problems.STALLED_MINUTES}m])) >= {problems.LEAST_CALLS}"
    assert least in rule("ErrorShare")
    assert all(reason in rule("CrawlEndedEarly") for reason in ENDED_EARLY)


def test_metrics_of_the_rules_exist() -> None:
    names = {each.name for each in descriptions()}
    for text in (RULES, TESTS):
        assert set(re.findall(r"\bali1688_\w+", text)) <= names


@needs_promtool
def test_the_rules_are_valid() -> None:
    assert f"{len(ALERTS)} rules found" in promtool("check", "rules", "rules.yml")


@needs_promtool
def test_the_configuration_is_valid(tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path, dirs_exist_ok=True)
    (tmp_path / "dashboard_token").write_text("a token")
    assert "prometheus.yml is valid" in promtool(
        "check", "config", "prometheus.yml", folder=tmp_path
    )


@needs_promtool
def test_each_alert_comes_when_it_should_and_not_else() -> None:
    assert "SUCCESS" in promtool("test", "rules", "rules_test.yml")
