"""The images of the Dockerfile, built by buildah without an engine, and containers of them.

buildah's isolation ``chroot`` needs root, and nothing that runs in the background. In the place of
``python:3.12-slim``, which a registry would have to bring, debootstrap makes a base of the
machine's own Debian or Ubuntu. The wheels are downloaded here, by the machine's own pip, and are
mounted while an image is built: the base's pip knows no index.

What buildah runs shares this machine's network and processes, and is killed when buildah is told to
end. What a test stops, or wants confined as deployments confine it, :class:`Confined` starts.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.requirements import Requirement

from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Self

ROOT = Path(__file__).parents[2]
SECONDS = 120

HOME = "/home/crawler"
BASE = "localhost/base"
BASE_PACKAGES = "python3,python3-venv,ca-certificates"
BASE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PIP_CONF = "[global]\nno-index = true\nfind-links = /wheels\n"
"""Of the base: pip installs what is mounted in this folder of the container, and asks no index."""

NOT_COPIED = (".git", ".venv", ".*_cache", "__pycache__", "node_modules", ".ali1688", "ali1688-*")

MARKER_VALUES = """
import json, os, platform, sys
print(json.dumps({
    "implementation_name": sys.implementation.name,
    "os_name": os.name,
    "platform_machine": platform.machine(),
    "platform_python_implementation": platform.python_implementation(),
    "platform_system": platform.system(),
    "python_full_version": platform.python_version(),
    "python_version": "%d.%d" % sys.version_info[:2],
    "sys_platform": sys.platform,
}))
"""

CONFINE = """
set -e
mount --bind "$1" "$1"
mount -o remount,bind,ro "$1"
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
mount -t tmpfs tmpfs "$1/tmp"
mount -t tmpfs -o uid=10001,gid=10001 tmpfs "$1/home/crawler"
if [ -n "$2" ]; then mount -t tmpfs -o uid=10001,gid=10001 tmpfs "$1$2"; fi
user=$3
cd "$1"
shift 3
exec chroot . /usr/bin/env -C /home/crawler setpriv --reuid="${user%:*}" --regid="${user#*:}" \\
    --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all "$@"
"""
"""As compose.yaml and the manifests of Kubernetes have it.

Nothing but /tmp, the home and the volumes can be written to; it has no rights, gets no new ones,
and is the first process of a tree of its own.
"""


class BuildError(AssertionError):
    """A step failed; the message is what was printed."""


def missing() -> str:
    """Return what keeps images from being built here, and what to do; empty if nothing does."""
    programs = [name for name in ("buildah", "debootstrap") if not shutil.which(name)]
    if programs:
        return f"images are built by {' and '.join(programs)}: apt install {' '.join(programs)}"
    return "" if os.geteuid() == 0 else "images are built as root: run this as root"


@dataclass(frozen=True)
class Image:
    """An image.

    Attributes:
        name: Its name in the store.
        config: What a container of it begins with, as Docker has it.
    """

    store: ImageStore
    name: str
    config: dict[str, Any]

    @property
    def command(self) -> list[str]:
        """What runs when nothing else is said."""
        return [*self.entrypoint, *(self.config["Cmd"] or ())]

    @property
    def entrypoint(self) -> list[str]:
        return list(self.config["Entrypoint"] or ())

    @property
    def environment(self) -> dict[str, str]:
        return dict(line.split("=", 1) for line in self.config["Env"])

    @contextlib.contextmanager
    def container(self) -> Iterator[Container]:
        """Make a container; it is removed at the end."""
        name = self.store.run("from", "--pull-never", self.name).strip()
        try:
            yield Container(self, name, Path(self.store.run("mount", name).strip()))
        finally:
            self.store.run("rm", name)


@dataclass(frozen=True)
class Container:
    """A container.

    Attributes:
        tree: Where its files are.
    """

    image: Image
    name: str
    tree: Path

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, as the image's user, on this machine's network."""
        return subprocess.run(
            self.arguments(*command, **environment),
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )

    def arguments(self, *command: str, **environment: str) -> list[str]:
        """The command line of buildah that runs a command."""
        variables = [f"--env={name}={value}" for name, value in environment.items()]
        run = ["run", "--isolation", "chroot", *variables, self.name]
        return [*self.image.store.buildah, *run, "--", *command]

    def start(self, log: Path, *command: str, volume: str = "", **environment: str) -> Confined:
        """Start a command that is confined, see :data:`CONFINE`; it writes to *log*."""
        return Confined.start(self, log, command, volume, environment)

    def stat(self, path: str) -> os.stat_result:
        """Return what is known of a file of it."""
        return (self.tree / path.lstrip("/")).stat()


@dataclass(frozen=True)
class Confined:
    """A command in a container, as process 1 of its own tree.

    Attributes:
        pid: Its number on this machine.
    """

    outer: subprocess.Popen[bytes]
    log_file: Path
    pid: int

    @classmethod
    def start(
        cls,
        container: Container,
        log_file: Path,
        command: Sequence[str],
        volume: str,
        environment: Mapping[str, str],
    ) -> Self:
        image = container.image
        shell = ["sh", "-c", CONFINE, "sh", str(container.tree), volume, image.config["User"]]
        with log_file.open("wb") as log:
            outer = subprocess.Popen(
                ["unshare", "--mount", "--pid", "--fork", "--kill-child", *shell, *command],
                env={"PATH": BASE_PATH, "HOME": "/home/crawler"}
                | image.environment
                | dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        children = Path(f"/proc/{outer.pid}/task/{outer.pid}/children")

        def child() -> int:
            assert outer.poll() is None, log_file.read_text()
            return int(children.read_text() or 0)

        return cls(outer, log_file, eventually(child))

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    @property
    def status(self) -> dict[str, list[str]]:
        """What the kernel knows of it."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return {name: value.split() for name, _, value in (line.partition(":") for line in lines)}

    def send(self, number: int) -> None:
        """Send a signal."""
        os.kill(self.pid, number)

    def wait(self) -> int:
        """Return its exit code when it has ended."""
        return self.outer.wait(SECONDS)

    def kill(self) -> None:
        """Kill it, and all that it started."""
        self.outer.kill()
        self.outer.wait()


class ImageStore:
    """Images, in a folder of their own; the ``with`` block ends with its removal."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ali1688-images-"))
        self.wheels = self.folder / "wheels"
        store = ["--root", str(self.folder / "root"), "--runroot", str(self.folder / "run")]
        self.buildah = ["buildah", *store]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        for mount in reversed(mounts):
            if mount.startswith(f"{self.folder}/"):
                _run(["umount", "--lazy", mount])
        shutil.rmtree(self.folder)

    def run(self, *arguments: str) -> str:
        """Run buildah; return what it printed.

        Raises:
            BuildError: It failed.
        """
        return _run([*self.buildah, *arguments])

    def make_base(self, requirements: Path) -> None:
        """Make the base, and have the wheels of *requirements* for it."""
        release = platform.freedesktop_os_release()
        container = self.run("from", "scratch").strip()
        tree = self.run("mount", container).strip()
        include = f"--include={BASE_PACKAGES}"
        _run(["debootstrap", "--variant=minbase", include, release["VERSION_CODENAME"], tree])
        _run(["chroot", tree, "apt-get", "clean"])
        (Path(tree) / "etc" / "pip.conf").write_text(PIP_CONF)
        values = json.loads(_run(["chroot", tree, "python3", "-c", MARKER_VALUES]))
        self._download(requirements, values)
        self.run("config", "--env", f"PATH={BASE_PATH}", container)
        self.run("commit", "--quiet", "--rm", container, BASE)

    def _download(self, requirements: Path, values: dict[str, str]) -> None:
        """Download what *requirements* say for a Python with these values of markers.

        pip itself would take the markers of the Python that it runs on.
        """
        file = self.folder / "requirements.txt"
        with file.open("w") as lines:
            for line in requirements.read_text().replace("\\\n", "").splitlines():
                requirement, *hashes = line.partition("#")[0].split(" --hash=")
                if not requirement.strip():
                    continue
                wanted = Requirement(requirement)
                if wanted.marker is None or wanted.marker.evaluate(values):
                    options = " ".join(f"--hash={each.strip()}" for each in hashes)
                    lines.write(f"{wanted.name}{wanted.specifier} {options}\n")
        version = values["python_full_version"]
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
        pip += ["--only-binary", ":all:", "--python-version", version, "--dest", str(self.wheels)]
        _run([*pip, "--requirement", str(file)])

    def build(self, checkout: Path, target: str) -> Image:
        """Build an image of the Dockerfile of *checkout*.

        Raises:
            BuildError: A step failed.
        """
        name = f"localhost/{target}"
        self.run(
            *("build", "--isolation", "chroot", "--format", "docker", "--layers", "--pull-never"),
            *("--build-arg", f"BASE={BASE}", "--volume", f"{self.wheels}:/wheels:ro"),
            *("--target", target, "--tag", name, str(checkout)),
        )
        inspected = json.loads(self.run("inspect", "--type", "image", name))
        return Image(self, name, inspected["Docker"]["config"])


def copy_checkout(folder: Path) -> Path:
    """Copy what a build may see, and much that it should not take."""
    checkout = folder / "checkout"
    shutil.copytree(ROOT, checkout, ignore=shutil.ignore_patterns(*NOT_COPIED), symlinks=True)
    return checkout


def _run(command: Sequence[str]) -> str:
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        raise BuildError(f"{' '.join(command)}\n{run.stdout}\n{run.stderr}")
    return run.stdout
