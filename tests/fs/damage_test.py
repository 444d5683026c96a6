"""What the cache holds rots, or is taken away, under a running daemon and across a restart."""

import errno
import glob
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import mount_case
from mount import wait_until
from mount_case import MountTestCase

SIZE = 300_000
CONTENTS = bytes(i * 7 % 251 for i in range(SIZE))


def drop_caches():
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w") as file:
        file.write("3\n")


class Damage(MountTestCase):
    def tarball(self, daemon, name):
        found = [path for path in glob.glob(f"{daemon.cache}/ocirepository/default/{name}/*.tar.gz")
                 if not os.path.islink(path)]
        self.assertEqual(len(found), 1)
        return found[0]

    def flip_a_bit(self, path, offset):
        with open(path, "r+b") as file:
            file.seek(offset)
            byte = file.read(1)[0]
            file.seek(offset)
            file.write(bytes([byte ^ 0x10]))

    def read_through_damage(self, daemon, name):
        """Reads until all of it can be read; whatever is read in between is right, or EIO."""

        def attempt():
            try:
                data = daemon.read(name, "file")
            except OSError as error:
                self.assertEqual(error.errno, errno.EIO)
                return None
            self.assertEqual(data, CONTENTS)
            return data

        wait_until("the file to be readable again", attempt)

    def test_a_flipped_bit_is_never_read_and_the_artifact_is_pulled_again(self):
        daemon = self.mounted("damage-flip", {"file": CONTENTS}, interval="1h")
        self.flip_a_bit(self.tarball(daemon, "damage-flip"), 150_000)
        drop_caches()
        with self.assertRaises(OSError) as raised:
            daemon.read("damage-flip", "file")
        self.assertEqual(raised.exception.errno, errno.EIO)
        self.read_through_damage(daemon, "damage-flip")
        reasons = [event["reason"] for event in daemon.status("damage-flip")["events"]]
        self.assertIn("ArtifactVerificationFailed", reasons)
        self.assertEqual(daemon.status("damage-flip")["status"]["conditions"][0]["status"], "True")

    def test_a_damaged_index_is_noticed_at_the_start(self):
        daemon = self.mounted("damage-index", {"file": CONTENTS}, interval="1h")
        daemon.stop()
        self.flip_a_bit(self.tarball(daemon, "damage-index").replace(".tar.gz", ".idx"), 120)
        daemon.start()
        wait_until("the file", lambda: os.path.exists(daemon.path("damage-index", "file")))
        self.assertEqual(daemon.read("damage-index", "file"), CONTENTS)

    def test_a_tarball_cut_short_is_noticed_at_the_start(self):
        daemon = self.mounted("damage-short", {"file": CONTENTS}, interval="1h")
        daemon.stop()
        tarball = self.tarball(daemon, "damage-short")
        os.truncate(tarball, os.path.getsize(tarball) - 1)
        daemon.start()
        wait_until("the file", lambda: os.path.exists(daemon.path("damage-short", "file")))
        self.assertEqual(daemon.read("damage-short", "file"), CONTENTS)

    def test_an_artifact_taken_out_of_the_cache_comes_back(self):
        daemon = self.mounted("damage-gone", {"file": CONTENTS}, interval="200ms")
        tarball = self.tarball(daemon, "damage-gone")
        os.unlink(tarball)
        # What is mounted holds it open, and is read all the while.
        self.assertEqual(daemon.read("damage-gone", "file"), CONTENTS)
        wait_until("the tarball to be back", lambda: os.path.exists(tarball))
        self.assertEqual(daemon.read("damage-gone", "file"), CONTENTS)


if __name__ == "__main__":
    mount_case.main()
