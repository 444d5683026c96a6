"""What the test cases over a real mount have in common: a registry a class, daemons that end."""

import calendar
import hashlib
import os
import stat
import time
import unittest

import mount
import registry
from mount import Daemon, repository

CREATED = "2023-05-06T07:08:09Z"
CREATED_SECONDS = calendar.timegm(time.strptime(CREATED, "%Y-%m-%dT%H:%M:%SZ"))
ANNOTATIONS = {
    registry.CREATED: CREATED,
    registry.SOURCE: "https://git.example.org/config",
    registry.REVISION: "main@sha1:0123456789abcdef",
}


def read_tree(root):
    """{path below root: (kind, executable, contents digest or link target)}, .status left out."""
    tree = {}
    for parent, directories, files in os.walk(root):
        for name in directories + files:
            path = os.path.join(parent, name)
            key = os.path.relpath(path, root)
            if key == ".status":
                continue
            info = os.lstat(path)
            if stat.S_ISLNK(info.st_mode):
                tree[key] = ("link", False, os.readlink(path))
            elif stat.S_ISDIR(info.st_mode):
                tree[key] = ("directory", True, None)
            else:
                with open(path, "rb") as file:
                    digest = hashlib.sha256(file.read()).hexdigest()
                tree[key] = ("file", bool(info.st_mode & 0o111), digest)
    return tree


class MountTestCase(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.registry = registry.Registry().start()
        cls.addClassCleanup(cls.registry.close)

    @classmethod
    def push(cls, name, entries, tag="latest", **options):
        """Pushes `entries` as a Flux artifact; returns its digest."""
        return cls.push_layer(name, registry.make_layer(entries), tag, **options)

    @classmethod
    def push_layer(cls, name, layer, tag="latest", **options):
        return registry.push_artifact(cls.registry.base_url, name, tag, layer, **options)

    @classmethod
    def url(cls, name):
        return cls.registry.oci_url(name)

    def daemon(self, *options, **arguments):
        """A daemon that is not started yet, and that ends with the test."""
        daemon = Daemon(options, **arguments)
        self.addCleanup(daemon.close)
        return daemon

    def mounted(self, name, entries, *options, api="v1", annotations=None, **spec):
        """A running daemon that shows one artifact as `name`, configured by `name`.yaml."""
        daemon = self.daemon(*options)
        digest = self.push(name, entries, annotations=annotations)
        daemon.write_config(f"{name}.yaml", repository(name, self.url(name), api=api, **spec))
        daemon.start()
        daemon.wait_ready(name, digest)
        return daemon

    def following(self, name, **spec):
        """A running daemon that has been told of `name`, ready or not."""
        daemon = self.daemon()
        daemon.write_config(f"{name}.yaml", repository(name, self.url(name), **spec))
        return daemon.start()

    def let_intervals_pass(self, daemon):
        """Returns when another repository was added to CONFIG and followed through five intervals
        of 100 ms, so that whatever was due before has happened."""
        for number in range(5):
            digest = self.push("marker", {"number": f"{self.id()} {number}".encode()})
            if number == 0:
                manifest = repository("marker", self.url("marker"), interval="100ms")
                daemon.write_config("marker.yaml", manifest)
            daemon.wait_ready("marker", digest)


def main():
    mount.require_fuse()
    unittest.main(verbosity=2)
