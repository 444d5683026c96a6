"""Includes point down only: fs → fetch → cache → conf. Link order cannot stop a header.

Run by ctest."""

import os
import re
import unittest

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
LAYERS = ["fs", "fetch", "cache", "conf"]  # each may include itself and those behind it
INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)', re.MULTILINE)


def sources(layer):
    for parent, _, names in os.walk(os.path.join(ROOT, layer)):
        for name in names:
            if name.endswith((".cc", ".h")):
                yield os.path.relpath(os.path.join(parent, name), ROOT)


def includes(source):
    """(what is included, whether in quotes), in order."""
    with open(os.path.join(ROOT, source)) as file:
        for quoted, angled in INCLUDE.findall(file.read()):
            yield quoted or angled, bool(quoted)


class Layers(unittest.TestCase):
    def each_include(self):
        for layer in LAYERS:
            for source in sources(layer):
                for name, quoted in includes(source):
                    yield layer, source, name, quoted

    def test_every_layer_has_sources(self):
        for layer in LAYERS:
            self.assertTrue(list(sources(layer)), layer)

    def test_includes_point_down_only(self):
        upward = []
        for layer, source, name, quoted in self.each_include():
            allowed = LAYERS[LAYERS.index(layer):]
            if quoted and name.split("/")[0] not in allowed:
                upward.append(f'{source} includes "{name}"')
        self.assertEqual(upward, [])

    def test_quotes_are_for_files_below_the_root_and_for_nothing_else(self):
        wrong = []
        for _, source, name, quoted in self.each_include():
            if quoted != os.path.exists(os.path.join(ROOT, name)) or ".." in name.split("/"):
                wrong.append(f"{source} includes {name}")
        self.assertEqual(wrong, [])

    def test_what_each_layer_does_not_know(self):
        # conf: no cache, network or FUSE; cache: no network or FUSE; fetch: no FUSE.
        foreign = {"conf": r"curl|archive|fuse|isa-l|sys/socket|netinet|netdb",
                   "cache": r"curl|fuse|sys/socket|netinet|netdb",
                   "fetch": r"fuse"}
        wrong = []
        for layer, source, name, quoted in self.each_include():
            if not quoted and layer in foreign and re.search(foreign[layer], name):
                wrong.append(f"{source} includes <{name}>")
        self.assertEqual(wrong, [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
