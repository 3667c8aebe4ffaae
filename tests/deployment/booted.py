"""A systemd that runs the units of ``deploy/systemd``, in namespaces of its own.

Its files are those of a container, over the machine's, where systemd itself comes from. It knows
no other units than ours and empty targets, and has a branch of the control groups for itself. Only
the network is the machine's.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.deployment.units import FOLDER, PROGRAM
from tests.waiting import eventually

if TYPE_CHECKING:
    from typing import Self

SYSTEMD = Path("/usr/lib/systemd/systemd")
SECONDS = 60
TARGETS = ("sysinit", "basic", "shutdown", "network-online", "multi-user", "timers")
TARGET = "[Unit]\nDefaultDependencies=no\n"
LOG = "/var/log/ali1688.log"
USER_ADD = "useradd --system --home-dir /var/lib/ali1688 --shell /usr/sbin/nologin ali1688"

BOOT = f"""
set -e
tree=$1 folder=$2
mkdir "$folder/changes" "$folder/root"
mount -t tmpfs tmpfs "$folder/changes"
mkdir "$folder/changes/upper" "$folder/changes/work"
cd "$folder/root"
options="lowerdir=$tree:/,upperdir=$folder/changes/upper,workdir=$folder/changes/work"
mount -t overlay overlay -o "$options" .
cd "$folder/root"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount --rbind /dev dev
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs tmp
cp -r "$folder/units" units
ln -s venv opt/ali1688
chroot . {USER_ADD}
chroot . install --directory --owner=ali1688 --mode=0700 /var/lib/ali1688
mkdir old
pivot_root . old
umount --lazy old
# A root that is a chroot alone could not have namespaces of users.
exec env -i container=test SYSTEMD_UNIT_PATH=/units PATH=/usr/sbin:/usr/bin \\
    {SYSTEMD} --system --unit=basic.target --log-target=console --show-status=false
"""


class Booted:
    """A systemd; it ends with the ``with`` block.

    Args:
        tree: The files of a container of the worker's image.
        drop_ins: Lines that units have besides, by the name of the unit.
    """

    def __init__(self, tree: Path, drop_ins: dict[str, str]) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ali1688-systemd-"))
        self._group = Path("/sys/fs/cgroup") / "unified" / self.folder.name
        if not self._group.parent.exists():
            self._group = self._group.parents[1] / self.folder.name
        units = self.folder / "units"
        shutil.copytree(FOLDER, units)
        for name in TARGETS:
            (units / f"{name}.target").write_text(TARGET)
        for name, lines in {
            "service": f"[Service]\nStandardError=append:{LOG}\n",
            **drop_ins,
        }.items():
            (units / f"{name}.d").mkdir()
            # Of two with the same name, the one of the whole kind would not count.
            (units / f"{name}.d" / f"{name}.conf").write_text(lines)
        self._group.mkdir()
        self._outer = self._start(tree)
        self._pid = 0

    def _start(self, tree: Path) -> subprocess.Popen[bytes]:
        join = f'echo $$ > {self._group}/cgroup.procs && exec "$@"'
        unshare = ["unshare", *("--mount", "--pid", "--cgroup", "--ipc", "--uts"), "--fork"]
        boot = ["sh", "-c", BOOT, "sh", str(tree), str(self.folder)]
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                ["sh", "-c", join, "sh", *unshare, "--kill-child", *boot],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _is_ready(self) -> bool:
        assert self._outer.poll() is None, (self.folder / "log").read_text()
        children = Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children")
        self._pid = int(children.read_text() or 0)
        return (
            bool(self._pid)
            and (self.root / "run/systemd/private").exists()
            and not self.systemctl("is-active", "basic.target").returncode
        )

    def _is_gone(self) -> bool:
        """Remove its control groups; False while processes are in them."""
        folders = [*sorted(self._group.rglob("*/"), reverse=True), self._group]
        try:
            for folder in folders:
                folder.rmdir()
        except OSError:
            return False
        return True

    def __enter__(self) -> Self:
        try:
            eventually(self._is_ready)
        except BaseException:
            self.__exit__()
            raise
        return self

    @property
    def root(self) -> Path:
        """Its files, as it sees them."""
        return Path(f"/proc/{self._pid}/root")

    def __exit__(self, *_: object) -> None:
        self._outer.kill()
        self._outer.wait()
        with contextlib.suppress(OSError):
            (self._group / "cgroup.kill").write_text("1")
        eventually(self._is_gone)
        shutil.rmtree(self.folder)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command beside systemd."""
        enter = ["nsenter", "--target", str(self._pid), "--mount", "--pid", "--cgroup", "--root"]
        return subprocess.run(
            [*enter, "--wd", *command], capture_output=True, text=True, check=False, timeout=120
        )

    def scrapy(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command as the services' user, as docs/how-to/systemd.md does."""
        user = ["runuser", "-u", "ali1688", "--", "env", "-C", "/var/lib/ali1688"]
        return self.run(*user, PROGRAM, *arguments)

    def systemctl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``systemctl``."""
        return self.run("systemctl", *arguments)

    def state(self, unit: str, *names: str) -> dict[str, str]:
        """Return properties of a unit."""
        shown = self.systemctl("show", "--property", ",".join(names), unit).stdout
        return dict(line.split("=", 1) for line in shown.splitlines())

    def configure(self, values: dict[str, str]) -> None:
        """Write .env, as its user's own."""
        file = self.root / "var/lib/ali1688/.env"
        file.write_text("".join(f"{name}={value}\n" for name, value in values.items()))
        self.run("chown", "ali1688:ali1688", "/var/lib/ali1688/.env")
        self.run("chmod", "600", "/var/lib/ali1688/.env")

    @property
    def log(self) -> str:
        """What the services have logged."""
        file = self.root / LOG[1:]
        own = (self.folder / "log").read_text(errors="replace")
        return own + (file.read_text() if file.exists() else "")
