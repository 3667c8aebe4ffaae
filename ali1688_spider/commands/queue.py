"""``scrapy queue``: what waits in the queue of the workers, and how to pause and clear it."""

from __future__ import annotations

import argparse
import contextlib
import getpass
import json
import os
import re
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING

from scrapy.spiderloader import get_spider_loader

from ali1688_spider.exceptions import ConfigurationError, MalformedMessageError
from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.project_command import ProjectCommand, confirm, print_table, rough_time
from ali1688_spider.scheduling.queue import open_queue
from ali1688_spider.scheduling.start_list import READER_SECONDS
from ali1688_spider.spiders.watch import WatchSpider

if TYPE_CHECKING:
    from ali1688_spider.scheduling.queue import LeaseQueue
    from ali1688_spider.scheduling.steering import QueueStatus, WorkerStatus

AT_ONCE = 1000
MOST_SHOWN = 10_000
_DURATION = re.compile(r"(\d{1,6})([smhd])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Command(ProjectCommand):
    usage = "status|pause|resume|peek|clear [--spider SPIDER] [options]"
    summary = "Show, pause and clear the queue of the workers"
    description = (
        "status: what is in the queue, and which workers are there. pause: the workers of the "
        "spider take no new calls, and those that run come to their end; resume: they go on. "
        "peek: the calls that come next. clear: empties the queue and the start list; calls that "
        "run come to their end and are not queued again, nor is what they lead to."
    )

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        add = parser.add_argument
        add("--spider", default="product", help="whose queue (default: product)")
        add("--json", action="store_true", help="status: as JSON")
        text = "pause: end it by itself after a time such as 90s, 30m, 2h or 1d"
        add("--for", dest="duration", default="", metavar="TIME", help=text)
        add("--reason", default="", metavar="TEXT", help="pause: what the workers' logs say")
        text = f"peek: so many calls (default: 20, at most {MOST_SHOWN})"
        add("--limit", type=int, default=20, metavar="N", help=text)
        add("--yes", action="store_true", help="clear: without asking")
        text = "clear: write the calls into a new file first, one a line, for -a calls_file=FILE "
        text += "(products also for scrapy push --file FILE)"
        add("--save", default="", metavar="FILE", help=text)

    def execute(self, args: list[str], opts: argparse.Namespace) -> None:
        actions: dict[str, Callable[[LeaseQueue, argparse.Namespace], None]] = {
            "status": _status,
            "pause": _pause,
            "resume": _resume,
            "peek": _peek,
            "clear": _clear,
        }
        if len(args) != 1 or args[0] not in actions:
            raise ConfigurationError(f"say what to do: {', '.join(actions)}")
        spiders = sorted(get_spider_loader(self.settings).list())
        if opts.spider not in spiders:
            known = ", ".join(spiders)
            raise ConfigurationError(f"--spider is {opts.spider!r}: say one of {known}")
        with contextlib.closing(open_queue(self.settings, opts.spider)) as queue:
            actions[args[0]](queue, opts)


def _status(queue: LeaseQueue, opts: argparse.Namespace) -> None:
    status = queue.steering.status()
    if opts.json:
        print(json.dumps(_as_json(opts.spider, status), ensure_ascii=False))
        return
    counts, waited = status.counts, status.oldest_waiting
    oldest = "" if waited is None else f", the oldest for {rough_time(waited)}"
    due = f", the next in {rough_time(counts.next_due)}" if counts.next_due else ""
    print(f"The queue of {opts.spider} is {status.pause or 'not paused'}.")
    print(f"Ready:    {counts.ready + status.overdue:,}{oldest}")
    print(f"Delayed:  {counts.delayed - status.overdue:,}{due}")
    print(f"Leased:   {counts.leased:,}")
    print(f"Messages: {counts.messages:,}")
    if not status.workers:
        print("No worker is there.")
        return
    alive = sum(worker.is_alive for worker in status.workers)
    columns = ("worker", "host", "leased", "last heard of", "")
    title = "1 worker is alive" if alive == 1 else f"{alive:,} workers are alive"
    print_table(title, columns, [_row(worker) for worker in status.workers])


def _row(worker: WorkerStatus) -> tuple[str, ...]:
    heard = "?" if worker.last_heard is None else f"{rough_time(worker.last_heard)} ago"
    state = "" if worker.is_alive else "silent: its calls go to others"
    return worker.name, worker.host, f"{worker.leased:,}", heard, state


def _as_json(spider: str, status: QueueStatus) -> dict[str, object]:
    counts = status.counts
    return {
        "spider": spider,
        "ready": counts.ready,
        "delayed": counts.delayed,
        "leased": counts.leased,
        "messages": counts.messages,
        "overdue": status.overdue,
        "next_due_seconds": counts.next_due,
        "oldest_waiting_seconds": status.oldest_waiting,
        "paused": status.pause and asdict(status.pause),
        "workers": [
            {
                "name": worker.name,
                "host": worker.host,
                "pid": worker.pid,
                "leased": worker.leased,
                "last_heard_seconds": worker.last_heard,
                "alive": worker.is_alive,
            }
            for worker in status.workers
        ],
    }


def _pause(queue: LeaseQueue, opts: argparse.Namespace) -> None:
    seconds = 0
    if opts.duration:
        match = _DURATION.fullmatch(opts.duration)
        seconds = int(match[1]) * _SECONDS[match[2]] if match else 0
        if not seconds:
            raise ConfigurationError(
                f"--for is {opts.duration!r}: say for how long, such as 90s, 30m, 2h or 1d"
            )
    pause = queue.steering.pause(_user(), opts.reason, seconds)
    print(
        f"The queue of {opts.spider} is {pause}. Calls that run come to their end; "
        f"`scrapy queue resume --spider {opts.spider}` ends the pause."
    )


def _user() -> str:
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # in a container whose user has no name
        name = f"user {os.getuid()}"
    return f"{name}@{socket.gethostname()}"


def _resume(queue: LeaseQueue, opts: argparse.Namespace) -> None:
    was_paused = queue.steering.resume()
    print(f"The queue of {opts.spider} {'is resumed' if was_paused else 'was not paused'}.")


def _peek(queue: LeaseQueue, opts: argparse.Namespace) -> None:
    if opts.limit < 1:
        raise ConfigurationError("--limit is below 1: say how many calls at most")
    if opts.limit > MOST_SHOWN:
        raise ConfigurationError(
            f"--limit is {opts.limit}: say {MOST_SHOWN} at most, as the workers wait for Redis "
            "meanwhile"
        )
    counts, calls = queue.counts(), queue.steering.peek(opts.limit)
    if not calls:
        print("No call waits.")
    else:
        rows = [
            (
                call.message.decode(errors="backslashreplace")[:200],
                f"{call.priority}",
                f"{call.attempts}",
                f"in {rough_time(call.due_in)}" if call.due_in else "now",
            )
            for call in calls
        ]
        title = f"The next of {counts.ready + counts.delayed:,} calls that wait"
        print_table(title, ("call", "priority", "tries", "due"), rows)
    if counts.messages:
        print(f"{counts.messages:,} messages of producers wait for a worker to read them.")


def _clear(queue: LeaseQueue, opts: argparse.Namespace) -> None:
    if opts.spider == WatchSpider.name:
        raise ConfigurationError(
            "the queue of watch is the schedule of what is watched: take products out of it with "
            "scrapy unwatch"
        )
    counts = queue.counts()
    waiting = f"{counts.ready + counts.delayed:,} calls and {counts.messages:,} messages"
    if not confirm(f"Remove {waiting} from the queue of {opts.spider}?", yes=opts.yes):
        print("Nothing is removed.")
        return
    with _new_file(opts.save) as file:
        _Clearing(queue, file).run()
    if opts.save:
        print(f"They are in {opts.save}.")


@contextlib.contextmanager
def _new_file(name: str) -> Iterator[IO[bytes] | None]:
    """Open a file that is not there yet; None without a name."""
    if not name:
        yield None
        return
    try:
        file = Path(name).open("xb")  # noqa: SIM115  # closed below
    except FileExistsError:
        raise ConfigurationError(f"{name} is there already: name another file") from None
    except OSError as error:
        raise ConfigurationError(f"{name} cannot be written: {error.strerror}") from None
    with file:
        yield file


class _Clearing:
    """Empties a queue in portions, each of which is in *file* before it leaves the queue.

    Messages are read into the queue first, as a worker reads them. Calls that workers make at the
    time are in the file as well: nobody knows whether their worker still lives.
    """

    def __init__(self, queue: LeaseQueue, file: IO[bytes] | None) -> None:
        self._queue = queue
        self._file = file
        self._removed = 0
        self._leased: set[bytes] = set()

    def run(self) -> None:
        """Empty the queue, and say how much was in it."""
        try:
            self._read_messages()
            self._end_leases()
            # What was leased between two looks may have come back.
            while self._remove_waiting():
                self._end_leases()
        finally:
            print(f"{self._removed:,} calls removed.")
        if self._leased:
            said = "come to their end, and are not queued again"
            also = "; they are in the file, too, in case that one does not" if self._file else ""
            print(f"{len(self._leased):,} that workers have {said}{also}.")

    def _end_leases(self) -> None:
        leased = [call for call in self._queue.steering.end_leases() if call not in self._leased]
        self._leased.update(leased)
        if leased and self._file is not None:
            _save(leased, self._file)

    def _read_messages(self) -> None:
        deadline = time.monotonic() + 2 * READER_SECONDS
        while self._queue.counts().messages:
            batch = self._queue.start_list.read()
            if batch is not None:
                for message, reason in batch.malformed:
                    _say_unsaved(message, reason)
                if batch.malformed:
                    self._queue.start_list.remove(batch)
            elif time.monotonic() > deadline:
                raise ConfigurationError("a worker reads the messages at present: run this again")
            else:
                time.sleep(0.1)  # for the worker that reads them

    def _remove_waiting(self) -> int:
        before = self._removed
        while calls := self._queue.steering.peek(AT_ONCE):
            messages = [call.message for call in calls]
            if self._file is not None:
                _save(messages, self._file)
            self._removed += self._queue.steering.remove(messages)
        return self._removed - before


def _save(messages: Sequence[bytes], file: IO[bytes]) -> None:
    """Write calls into the file, and this to the disk."""
    lines = []
    for message in messages:
        try:
            ApiCall.decode(message)
            lines.append(message + b"\n")
        except MalformedMessageError as error:
            _say_unsaved(message, str(error))
    try:
        file.writelines(lines)
        file.flush()
        os.fsync(file.fileno())
    except OSError as error:
        raise ConfigurationError(
            f"{file.name} cannot be written: {error.strerror}; the calls that are not in it are "
            "still queued"
        ) from None


def _say_unsaved(message: bytes, reason: str) -> None:
    text = ascii(message.decode(errors="backslashreplace"))[:200]
    print(f"Removed: {text}, which asks for no call: {reason}", file=sys.stderr)
