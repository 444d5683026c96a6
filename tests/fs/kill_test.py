"""Kills the daemon at random points of its pulls: what a new one shows is one whole revision, and
never an older one than was seen before. Run by ctest; OCIREPOFS names the program."""

import hashlib
import json
import os
import random
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import mount
import registry
from mount import Daemon, repository, wait_until

KILLS = int(os.environ.get("OCIREPOFS_KILLS", "30"))
SEED = int(os.environ.get("OCIREPOFS_SEED", str(random.SystemRandom().randrange(1 << 32))))
FILES = 40
NAME = "killed"


def revision(number):
    """Some megabytes that can't be compressed, so that a pull takes a while."""
    chance = random.Random(number)
    entries = {"number": b"%d\n" % number}
    for index in range(FILES):
        size = chance.choice([0, 100, 5000, 300_000, 1_000_000])
        entries[f"directory{index % 4}/file{index}"] = chance.randbytes(size)
    return entries


def digests(entries):
    return {path: hashlib.sha256(data).hexdigest() for path, data in entries.items()}


def read_held(directory, below=""):
    """{path: digest of the contents} of everything below an open directory."""
    found = {}
    for name in os.listdir(directory):
        path = os.path.join(below, name)
        if path == ".status":
            continue
        descriptor = os.open(name, os.O_RDONLY, dir_fd=directory)
        try:
            if os.fstat(descriptor).st_mode & 0o040000:
                found.update(read_held(descriptor, path))
            else:
                with open(os.dup(descriptor), "rb") as file:
                    found[path] = hashlib.sha256(file.read()).hexdigest()
        finally:
            os.close(descriptor)
    return found


class Kill(unittest.TestCase):
    def setUp(self):
        print(f"OCIREPOFS_SEED={SEED}", file=sys.stderr)
        self.chance = random.Random(SEED)
        self.registry = registry.Registry().start()
        self.addCleanup(self.registry.close)
        self.daemon = Daemon()
        self.addCleanup(self.daemon.close)
        self.daemon.write_config("k.yaml", repository(NAME, self.registry.oci_url(NAME),
                                                      interval="100ms"))
        self.pushed = {}  # revision number: the digests of its files

    def push(self, number):
        entries = revision(number)
        self.pushed[number] = digests(entries)
        return registry.push_artifact(self.registry.base_url, NAME, "latest",
                                      registry.make_layer(entries, level=0))

    def visible(self):
        """The number of the revision that is shown, byte for byte; 0 for an empty directory."""
        descriptor = os.open(self.daemon.path(NAME), os.O_RDONLY | os.O_DIRECTORY)
        try:
            found = read_held(descriptor)
        finally:
            os.close(descriptor)
        if not found:
            return 0
        for number, expected in self.pushed.items():
            if found == expected:
                return number
        names = [set(expected) == set(found) for expected in self.pushed.values()]
        self.fail(f"{len(found)} files that are no revision's (names fit one: {any(names)})\n"
                  + self.daemon.log())

    def test_a_killed_daemon_leaves_a_whole_revision_or_none(self):
        # The first pulls, into an empty cache, are killed as well: 0 is right until something was.
        number, newest, pull_time, seen = 1, 0, 0.2, set()
        self.push(number)
        for _ in range(KILLS):
            self.daemon.start()
            shown = self.visible()
            self.assertGreaterEqual(shown, newest, f"went back\n{self.daemon.log()}")
            newest = shown
            seen.add(shown)
            if newest == number:
                number += 1
                begin = time.monotonic()
                self.push(number)
                pull_time = max(pull_time, time.monotonic() - begin)
            # Not a wait for anything: the point of the pull at which the daemon dies.
            time.sleep(self.chance.uniform(0, 1.5 * pull_time))
            self.daemon.kill()
        self.assertGreaterEqual(len(seen), 3, "the pulls never ended before the kills")

        digest = self.push(number + 1)
        self.daemon.start()
        self.daemon.wait_ready(NAME, digest)
        self.assertEqual(self.visible(), number + 1)
        self.assertEqual(self.daemon.stop(), 0)

        # A last clean start removes what the kills and the older revisions left.
        self.daemon.start()
        status = self.daemon.wait_ready(NAME, digest)
        self.check_cache(status["status"]["artifact"]["path"])
        self.assertEqual(self.daemon.stop(), 0)
        self.check_cache(status["status"]["artifact"]["path"])

    def check_cache(self, artifact):
        """The cache holds the current revision, the one before it, and nothing else."""
        directory = os.path.dirname(artifact)
        expected = {"lock", artifact, artifact.removesuffix(".tar.gz") + ".idx",
                    os.path.join(directory, "record.json"),
                    os.path.join(directory, "latest.tar.gz")}
        with open(os.path.join(self.daemon.cache, directory, "record.json")) as record:
            previous = json.load(record)["previousStem"]
        self.assertNotEqual(previous, "")
        expected |= {os.path.join(directory, previous + suffix) for suffix in (".tar.gz", ".idx")}

        def present():
            return {os.path.relpath(os.path.join(parent, name), self.daemon.cache)
                    for parent, _, files in os.walk(self.daemon.cache) for name in files}

        wait_until("a clean cache", lambda: present() == expected, 10,
                   lambda: f"left over: {present() - expected}, missing: {expected - present()}")


if __name__ == "__main__":
    mount.require_fuse()
    unittest.main(verbosity=2)
