"""Switches revisions under walking readers: no walk through a held directory is ever torn, and no
absolute path ever goes back to an older revision. Run by ctest; OCIREPOFS names the program."""

import multiprocessing
import os
import sys
import time
import traceback
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import yaml

import mount
import registry
from mount import Daemon, repository

SECONDS = float(os.environ.get("OCIREPOFS_SWITCH_SECONDS", "20"))
MINIMUM_SWITCHES = int(SECONDS * 2)
DIRECTORIES = ("", "one", "two", "two/deep", "three")
FILES_PER_DIRECTORY = 6
BODY = b"a line that makes the file longer than a few bytes\n" * 20


def marker(number):
    return f"revision-{number}"


def revision(number):
    """Every file names its revision, and so does one name in every directory."""
    entries = {}
    for directory in DIRECTORIES:
        for index in range(FILES_PER_DIRECTORY):
            entries[os.path.join(directory, f"file{index}")] = b"%d\n" % number + BODY
        entries[os.path.join(directory, marker(number))] = b"%d\n" % number + BODY
    return entries


def read_number(path, dir_fd=None):
    descriptor = os.open(path, os.O_RDONLY, dir_fd=dir_fd)
    try:
        contents = os.read(descriptor, len(BODY) + 32)
    finally:
        os.close(descriptor)
    number, _, body = contents.partition(b"\n")
    if body != BODY:
        raise AssertionError(f"{path}: {len(contents)} bytes that are no revision's")
    return int(number)


def walk_held(directory, found, below=""):
    """Walks everything below an open directory, by names relative to open directories."""
    for name in os.listdir(directory):
        path = os.path.join(below, name)
        if path == ".status":
            continue
        info = os.stat(name, dir_fd=directory)
        if info.st_mode & 0o040000:
            descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=directory)
            try:
                walk_held(descriptor, found, path)
            finally:
                os.close(descriptor)
        else:
            found[path] = read_number(name, directory)


def held_reader(root, _):
    """One walk through a held directory; returns the one revision it saw."""
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        found = {}
        walk_held(descriptor, found)
    finally:
        os.close(descriptor)
    numbers = set(found.values())
    if len(numbers) != 1:
        raise AssertionError(f"torn walk: revisions {sorted(numbers)}")
    number = numbers.pop()
    if set(found) != set(revision(number)):
        raise AssertionError(f"torn listing of revision {number}: {sorted(found)}")
    return number


def absolute_reader(root, newest):
    """Reads absolute paths one after another; each is of the newest revision seen, or a newer."""
    for directory in DIRECTORIES:
        for index in range(FILES_PER_DIRECTORY):
            path = os.path.join(root, directory, f"file{index}")
            number = read_number(path)
            if number < newest:
                raise AssertionError(f"{path} went back from revision {newest} to {number}")
            newest = number
    return newest


def status_reader(root, newest):
    """.status is whole, agrees with the contents that were there before it, and never goes back."""
    before = max(newest, read_number(os.path.join(root, "file0")))
    with open(os.path.join(root, ".status")) as file:
        text = file.read()
    document = yaml.safe_load(text)
    number = int(document["status"]["artifact"]["metadata"][registry.REVISION])
    if "events" not in document or number < before:
        raise AssertionError(f"revision {before} was there, .status says {number}:\n{text}")
    return number


def run_reader(reader, root, stop, results):
    """Repeats a reader until told to stop; reports (walks, revisions seen, error)."""
    walks, seen, newest, error = 0, set(), 0, None
    try:
        while not stop.is_set():
            newest = reader(root, newest)
            seen.add(newest)
            walks += 1
    except BaseException:
        error = traceback.format_exc()
    results.put((reader.__name__, walks, seen, error))


class Switch(unittest.TestCase):
    READERS = (held_reader, held_reader, absolute_reader, status_reader)

    def setUp(self):
        self.registry = registry.Registry().start()
        self.addCleanup(self.registry.close)

    def push(self, number):
        return registry.push_artifact(self.registry.base_url, "switch", "latest",
                                      registry.make_layer(revision(number), level=1),
                                      annotations={registry.REVISION: str(number)})

    def test_readers_see_whole_revisions_in_order(self):
        digest = self.push(1)
        daemon = Daemon()
        self.addCleanup(daemon.close)
        daemon.write_config("s.yaml", repository("switch", self.registry.oci_url("switch"),
                                                 interval="100ms"))
        daemon.start()
        daemon.wait_ready("switch", digest)

        root = daemon.path("switch")
        context = multiprocessing.get_context("fork")
        stop, results = context.Event(), context.Queue()
        readers = [context.Process(target=run_reader, args=(reader, root, stop, results))
                   for reader in self.READERS]
        for process in readers:
            process.start()
        try:
            number, end = 1, time.monotonic() + SECONDS
            while time.monotonic() < end and all(process.is_alive() for process in readers):
                number += 1
                digest = self.push(number)
                daemon.wait_ready("switch", digest)
        finally:
            stop.set()
            reports = [results.get(timeout=mount.DEADLINE) for _ in readers]
            for process in readers:
                process.join()

        for name, walks, seen, error in reports:
            print(f"{name}: {walks} walks, {len(seen)} revisions", file=sys.stderr)
            self.assertIsNone(error, f"{name} after {walks} walks:\n{error}\n{daemon.log()}")
        self.assertGreaterEqual(number, MINIMUM_SWITCHES)
        for name, walks, seen, _ in reports:
            self.assertGreaterEqual(len(seen), MINIMUM_SWITCHES // 2, name)
        self.assertEqual(held_reader(root, 0), number)


if __name__ == "__main__":
    mount.require_fuse()
    unittest.main(verbosity=2)
