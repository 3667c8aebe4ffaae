"""Every statistic that the code counts is a metric, of a name that its table says."""

from __future__ import annotations

from itertools import chain

from ali1688_spider.monitoring.counted_metrics import COUNTED_METRICS, LEFT_OUT, metric_of
from ali1688_spider.statistics.sums import COUNTED, GAUGES
from tests.monitoring.counted import statistics_of_the_code


def is_counted(statistic: str) -> bool:
    return statistic.startswith(COUNTED) and statistic not in GAUGES


def test_every_statistic_of_the_code_has_a_metric() -> None:
    statistics = statistics_of_the_code()
    assert len(statistics) > 90
    without = {each for each in statistics if is_counted(each) and metric_of(each) is None}
    assert without <= set(LEFT_OUT)


def test_every_known_statistic_is_one_that_the_code_counts() -> None:
    statistics = statistics_of_the_code()
    for name in chain.from_iterable(metric.statistics for metric in COUNTED_METRICS):
        beginning = name if name[-1] == "/" else "none"
        assert name in statistics or any(each.startswith(beginning) for each in statistics), name


def test_known_values_of_a_label_are_those_that_the_code_has() -> None:
    for each in statistics_of_the_code():
        if is_counted(each) and (found := metric_of(each)):
            metric, value = found
            assert value in metric.values or metric.label == "exception", each
