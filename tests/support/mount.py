"""Runs the daemon for tests: configuration, cache, mountpoint, start, stop and kill.

Waiting is polling with a deadline; nothing here sleeps in the hope that something has happened.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import yaml

DEADLINE = 30  # seconds until a test gives up on something that takes milliseconds
SKIPPED = 77   # the exit status that ctest reports as "skipped"
API = "source.toolkit.fluxcd.io"


def require_fuse():
    """Ends the program as skipped, with the reason, where nothing can be mounted."""
    reason = None
    if not os.environ.get("OCIREPOFS"):
        reason = "OCIREPOFS does not name the program to test"
    elif not os.access("/dev/fuse", os.R_OK | os.W_OK):
        reason = "/dev/fuse can't be opened here"
    elif os.geteuid() != 0:
        reason = "mounting with allow_other and cleaning up after a kill need root"
    elif not shutil.which("docker-registry"):
        reason = "docker-registry is not installed"
    if reason:
        print(f"skipped: {reason}", file=sys.stderr)
        sys.exit(SKIPPED)


def program():
    return os.path.abspath(os.environ["OCIREPOFS"])


def wait_until(what, condition, deadline=DEADLINE, explain=None):
    """Polls until `condition()` is true and returns its value; a failure says what was awaited."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            detail = f"\n{explain()}" if explain else ""
            raise AssertionError(f"waited {deadline} s for {what}{detail}")
        time.sleep(0.01)


def is_mounted(path):
    path = os.path.realpath(path)
    with open("/proc/self/mountinfo") as mounts:
        return any(line.split()[4] == path for line in mounts)


def clean_mount(path):
    """Detaches whatever is still mounted at `path`, dead or alive."""
    while is_mounted(path):
        subprocess.run(["umount", "-l", path], check=True)


def processes_naming(path):
    """The process IDs whose command line has `path` as an argument, this program's excepted."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            with open(f"/proc/{entry}/cmdline", "rb") as file:
                arguments = file.read().split(b"\0")
        except OSError:
            continue
        if path.encode() in arguments:
            found.append(int(entry))
    return found


def repository(name, url, api="v1", interval="500ms", namespace=None, annotations=None, **spec):
    """An OCIRepository manifest as a dict."""
    metadata = {"name": name}
    if namespace:
        metadata["namespace"] = namespace
    if annotations:
        metadata["annotations"] = annotations
    return {
        "apiVersion": f"{API}/{api}",
        "kind": "OCIRepository",
        "metadata": metadata,
        "spec": {"url": url, "interval": interval, **spec},
    }


class Daemon:
    """One ocirepofs on directories of its own below `work`, which close() removes."""

    def __init__(self, options=(), work=None, cache=None):
        self.work = work or tempfile.mkdtemp(prefix="ocirepofs-test-")
        self._own_work = work is None
        self.config = os.path.join(self.work, "config")
        self.cache = cache or os.path.join(self.work, "cache")
        self.mountpoint = os.path.join(self.work, "mnt")
        self.log_path = os.path.join(self.work, "daemon.log")
        self._options = ["cache=" + self.cache, *options]
        self._process = None
        for directory in (self.config, self.mountpoint):
            os.makedirs(directory, exist_ok=True)

    # Configuration

    def write_config(self, name, *documents):
        """Replaces one file of CONFIG in one step. Documents are dicts, or text as it is."""
        parts = [d if isinstance(d, str) else yaml.safe_dump(d, sort_keys=False) for d in documents]
        temporary = os.path.join(self.config, f".{name}.new")
        with open(temporary, "w") as file:
            file.write("---\n".join(parts))
        os.rename(temporary, os.path.join(self.config, name))

    def remove_config(self, name):
        os.unlink(os.path.join(self.config, name))

    # Processes

    def command(self, *arguments):
        options = ",".join(self._options)
        return [program(), self.config, self.mountpoint, "-o", options, *arguments]

    def start(self, deadline=DEADLINE):
        """Starts it in the foreground of a session of its own; returns once it is mounted."""
        with open(self.log_path, "ab") as log:
            self._process = subprocess.Popen(self.command("-f"), stdin=subprocess.DEVNULL,
                                             stdout=log, stderr=log, start_new_session=True)
        wait_until("the mount", lambda: is_mounted(self.mountpoint) or not self.is_running(),
                   deadline, self.log)
        if not self.is_running():
            raise AssertionError(f"the daemon ended with {self._process.returncode}\n{self.log()}")
        return self

    @property
    def pid(self):
        return self._process.pid

    def is_running(self):
        return self._process is not None and self._process.poll() is None

    def wait_exit(self, deadline=DEADLINE):
        """Returns the exit status of a daemon that was told to end, or fails."""
        try:
            status = self._process.wait(deadline)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {deadline} s\n{self.log()}") from None
        self._process = None
        return status

    def stop(self, deadline=DEADLINE):
        """SIGTERM; returns the exit status once the process has ended and nothing is mounted."""
        self._process.send_signal(signal.SIGTERM)
        status = self.wait_exit(deadline)
        wait_until("the unmount", lambda: not is_mounted(self.mountpoint), 5, self.log)
        return status

    def kill(self):
        """SIGKILL to the daemon and to every child that it has, then cleans the dead mount."""
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.wait()
        self._process = None
        clean_mount(self.mountpoint)

    def close(self):
        if self.is_running():
            self.kill()
        clean_mount(self.mountpoint)
        if self._own_work:
            shutil.rmtree(self.work, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, *unused):
        self.close()

    # What it shows

    def log(self):
        try:
            with open(self.log_path) as file:
                return "log: " + file.read()[-4000:]
        except OSError:
            return "no log"

    def path(self, *parts):
        return os.path.join(self.mountpoint, *parts)

    def read(self, *parts):
        with open(self.path(*parts), "rb") as file:
            return file.read()

    def status(self, name):
        """The parsed .status of a repository; {} while there is none."""
        try:
            return yaml.safe_load(self.read(name, ".status")) or {}
        except (FileNotFoundError, NotADirectoryError):
            return {}

    def condition(self, name, kind):
        """The condition of that type, {} when absent."""
        for condition in self.status(name).get("status", {}).get("conditions", []):
            if condition["type"] == kind:
                return condition
        return {}

    def explain(self, name):
        return f"{yaml.safe_dump(self.status(name), sort_keys=False)}{self.log()}"

    def wait_ready(self, name, revision=None, deadline=DEADLINE):
        """Waits until `name` is Ready, with `revision` (a digest or a tag will do) in its artifact.

        Returns the parsed .status.
        """
        wanted = (revision or "").removeprefix("sha256:")

        def ready():
            status = self.status(name)
            conditions = {c["type"]: c for c in status.get("status", {}).get("conditions", [])}
            artifact = status.get("status", {}).get("artifact") or {}
            is_ready = conditions.get("Ready", {}).get("status") == "True"
            return status if is_ready and wanted in artifact.get("revision", "") else None

        what = f"{name} to be ready" + (f" with {revision}" if revision else "")
        return wait_until(what, ready, deadline, lambda: self.explain(name))

    def wait_condition(self, name, kind, status="True", containing="", deadline=DEADLINE):
        """Waits for a condition with that status whose message contains the text; returns it."""

        def reached():
            condition = self.condition(name, kind)
            fits = condition.get("status") == status and containing in condition.get("message", "")
            return condition if fits else None

        return wait_until(f"{name} to have {kind}={status} with '{containing}'", reached, deadline,
                          lambda: self.explain(name))
