"""The pages of what happens: errors, statistics, metrics and the sandbox."""

from __future__ import annotations

from collections.abc import Iterator

from ali1688_spider import sandbox as sandbox_package
from ali1688_spider.gateway.errors import CallError
from ali1688_spider.monitoring.counted_metrics import COUNTED_METRICS, LEFT_OUT, CountedMetric
from ali1688_spider.monitoring.metrics import descriptions
from ali1688_spider.project_command import EXIT_CODES
from ali1688_spider.shutdown import CLOSE_REASONS
from docs.generator.markdown import code, definitions, page, summary, table

GAUGES = {
    "ali1688/clock/skew_seconds": "How far the gateway's clock is ahead of the machine's.",
    "ali1688/watch/fraction_fresh": "Which part of the watched products is fresh, 0 to 1.",
    "ali1688/search/found": "How many products the platform says that the search has.",
}
RECEIVER = {
    "wrong_signature": "Posts whose signature is wrong.",
    "store_away": "Messages that could not be kept: the platform posts them again.",
    "too_long": "Posts that were too long.",
    "too_slow": "Posts that took too long.",
    "cut_off": "Posts that ended too early.",
}
"""What ``scrapy receive`` counts beside the messages."""


def _error_classes(base: type[CallError] = CallError) -> Iterator[type[CallError]]:
    for error in base.__subclasses__():
        if "error_class" in vars(error):
            yield error
        yield from _error_classes(error)


def errors() -> str:
    """Return the page of errors, close reasons and exit codes."""
    reasons = [
        (code(name), each.exit_code, each.meaning, each.advice)
        for name, each in CLOSE_REASONS.items()
    ]
    rows = [
        (
            code(error.error_class),
            summary(error),
            error.action.value.replace("the error's close_reason", f"`{error.close_reason}`"),
            error.advice,
        )
        for error in _error_classes()
    ]
    return page(
        "Errors, close reasons and exit codes",
        "## Exit codes",
        table(("code", "meaning"), [(code(number), text) for number, text in EXIT_CODES.items()]),
        """
        ## Close reasons

        A crawl ends with one. It is in the last lines of the log, in the statistic
        `finish_reason`, in MongoDB's collection `crawls`, and on the dashboard. The exit code is
        that of `scrapy crawl`. Other reasons of Scrapy (its setting `CLOSESPIDER_ERRORCOUNT`, for
        example) give exit code 1.
        """,
        table(("reason", "exit code", "meaning", "what to do"), reasons),
        """
        ## Errors of calls

        The class is the end of the statistic `ali1688/errors/{class}`. A call is tried
        `ALI1688_MAX_ATTEMPTS` times before it is given up; an error that is not the call's own,
        such as a gateway that is away, costs it no try.
        """,
        table(("class", "what happened", "what is done", "what you can do"), rows),
    )


def _statistics_of(metric: CountedMetric) -> Iterator[str]:
    for name in metric.statistics:
        if name[-1] != "/":
            yield name
        else:
            yield from (name + value for value in metric.known)
            if not metric.known:
                yield f"{name}{{{metric.label}}}"


def statistics() -> str:
    """Return the page of statistics."""
    rows = [
        ("<br>".join(map(code, _statistics_of(each))), each.help, code(f"{each.name}_total"))
        for each in COUNTED_METRICS
    ]
    received = [(code(f"ali1688/hints/{name}"), text) for name, text in RECEIVER.items()]
    left_out = [(code(name), text) for name, text in LEFT_OUT.items() if name not in GAUGES]
    return page(
        "Statistics",
        """
        Scrapy's statistics of a crawl: it logs them at its end, `ALI1688_STATS_FILE` gets them as
        JSON, and MongoDB's collection `crawls` has them while it runs. Over Redis all crawls add
        them up, for `scrapy status`, the dashboard and the [metrics](metrics.md). Scrapy has more
        statistics, which its documentation describes.
        """,
        table(("statistic", "meaning", "metric"), rows),
        """
        ## Not added up

        These are values of the moment, or sums of others.
        """,
        table(
            ("statistic", "meaning"),
            [*((code(name), text) for name, text in GAUGES.items()), *left_out],
        ),
        """
        ## The receiver

        `scrapy receive` counts its messages under the names `ali1688/hints/…` above, and these.
        It writes them to `ALI1688_STATS_FILE` when it ends; they are not added up over Redis.
        """,
        table(("statistic", "meaning"), received),
    )


def metrics() -> str:
    """Return the page of metrics."""
    rows = [
        (
            code(each.name),
            each.kind,
            ", ".join(map(code, each.labels)),
            each.unit,
            each.help,
        )
        for each in descriptions()
    ]
    return page(
        "Metrics",
        """
        What `/metrics` of `scrapy dashboard` tells Prometheus. Times are in seconds, moments in
        seconds since 1970. What cannot be known, since Redis or MongoDB is away, has no series.
        Counters are sums over all crawls that use the same Redis, by spider; with them come the
        gauges of queues, workers and quota. A crawl adds what it counted every five seconds.
        """,
        table(("metric", "type", "labels", "unit", "meaning"), rows),
    )


def sandbox() -> str:
    """Return the page of the sandbox."""
    return page(
        "The sandbox",
        """
        `scrapy sandbox` is a local gateway that behaves as the real one does where that hurts.
        [Commands](commands.md#scrapy-sandbox) has its options. `scrapy sandbox --env` prints the
        `.env` that reaches it. By hand: set `ALI1688_GATEWAY` to `http://127.0.0.1:8080/openapi`
        (`param2`), `http://127.0.0.1:8080/router/json` (`router`) or
        `http://127.0.0.1:8080/router/rest` (`top`), the app key `1000000` and the secret `test123`.

        - Products have the ids from 610000000001 on.
        - A search tells of 2000 rows at most. A word such as `杯子`, `手机` or `cup` finds the
          first 240 products whose name or category contains it. A keyword that ends in a number
          finds that many products: `杯子95` those of all categories, `保温杯7300` those of one.
        - 610000000066 has the prices of the platform's documentation: one piece 4.80, from two
          pieces on 4.05 each.
        - The only product pool is 174316138, of all curated goods.
        - `alibaba.cross.*` shows only products that the app has a relation to; the APIs of curated
          goods return all products of a call or none.
        - An authorization code lives two minutes.

        ## Addresses

        While it runs, it is watched and controlled through these addresses. Bodies are JSON
        objects; a wrong one gives the status 400 and `{"error": "…"}`.
        """,
        table(("request", "does"), definitions(sandbox_package.__doc__ or "")),
    )
