"""What a mount shows of an artifact, compared with tar, and that nothing can change it.

Run by ctest; OCIREPOFS names the program."""

import errno
import fnmatch
import hashlib
import io
import mmap
import os
import random
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import mount_case
import registry
from mount import Daemon, repository
from mount_case import ANNOTATIONS, CREATED_SECONDS, MountTestCase, read_tree
from registry import Directory, Hardlink, Symlink


class Contents(MountTestCase):
    """The mount against the same layer, extracted by tar and filtered by the default rules."""

    VERSION_CONTROL = {".git/", ".gitignore", ".gitmodules", ".gitattributes"}
    DEFAULTS = {
        "*.jpg", "*.jpeg", "*.gif", "*.png", "*.wmv", "*.flv", "*.tar.gz", "*.zip",
        ".github/", ".circleci/", ".travis.yml", ".gitlab-ci.yml", "appveyor.yml", ".drone.yml",
        "cloudbuild.yaml", "codeship-services.yml", "codeship-steps.yml", ".goreleaser.yml",
        ".sops.yaml", ".flux.yaml",
    }
    LONG_NAME = "n" * 255
    DEEP = "/".join("abcdefghijklmnopqrst") + "/" + "d" * 120
    BIG = random.Random(1).randbytes((3 << 20) + 12345)

    ENTRIES = {
        "README.md": b"# sample\n",
        "empty": b"",
        "empty-directory": Directory(),
        "deploy": Directory(0o750),
        "deploy/app.yaml": (b"kind: Deployment\n", 0o600),
        "deploy/app.yaml.d/10-first.yaml": b"first: true\n",
        "bin/run.sh": (b"#!/bin/sh\necho run\n", 0o755),
        "bin/setuid": (b"#!/bin/sh\n", 0o4755),
        "world-writable": (b"w\n", 0o666),
        "Übergröße/naïve-ファイル.txt": "grüße\n".encode(),
        "emoji/🚀": b"launch\n",
        "with space/and\nnewline": b"odd\n",
        LONG_NAME: b"long\n",
        DEEP + "/leaf": b"deep\n",
        "big": BIG,
        "exact-block": b"\xff" * 4096,
        "one-mebibyte": bytes(range(256)) * 4096,
        "escape": Directory(),
        "links/relative": Symlink("../README.md"),
        "links/sibling": Symlink("relative"),
        "links/directory": Symlink("../deploy"),
        "links/dangling": Symlink("not-there"),
        "hard/original": b"shared contents\n",
        "hard/other": Hardlink("hard/original"),
        ".hidden/.file": b"hidden\n",
        # What the rules leave out.
        ".gitignore": b"*.yaml\n",
        ".git/config": b"[core]\n",
        "vendor/.gitattributes": b"* text\n",
        "photo.jpg": b"jpg",
        "photo.JPG": b"kept: the rules are case-sensitive\n",
        "docs/picture.png": b"png",
        "docs/archive.tar.gz": b"gz",
        "docs/text.md": b"text\n",
        ".github/workflows/ci.yaml": b"on: push\n",
        "sub/.travis.yml": b"language: c\n",
        "sub/.sops.yaml": b"creation_rules: []\n",
    }
    # Links that leave the artifact: in the layer, but neither extracted nor shown.
    ESCAPING = {
        "escape/absolute": Symlink("/etc/passwd"),
        "escape/upwards": Symlink("../../etc/passwd"),
    }

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.reference = tempfile.mkdtemp(prefix="ocirepofs-reference-")
        cls.addClassCleanup(shutil.rmtree, cls.reference)
        with tarfile.open(fileobj=io.BytesIO(registry.make_tar(cls.ENTRIES))) as tar:
            tar.extractall(cls.reference)
        cls.daemon = Daemon()
        cls.addClassCleanup(cls.daemon.close)
        cls.digest = cls.push("contents", {**cls.ENTRIES, **cls.ESCAPING}, annotations=ANNOTATIONS)
        cls.daemon.write_config("c.yaml", repository("contents", cls.url("contents")))
        cls.daemon.start()
        cls.daemon.wait_ready("contents", cls.digest)
        cls.root = cls.daemon.path("contents")

    @classmethod
    def is_excluded(cls, path, is_directory):
        """The default rules, all of which hold for any component at any depth."""
        components = path.split("/")
        for index, component in enumerate(components):
            below_directory = is_directory or index < len(components) - 1
            for rule in cls.VERSION_CONTROL | cls.DEFAULTS:
                if rule.endswith("/") and not below_directory:
                    continue
                if fnmatch.fnmatchcase(component, rule.rstrip("/")):
                    return True
        return False

    def expected(self):
        return {path: what for path, what in read_tree(self.reference).items()
                if not self.is_excluded(path, what[0] == "directory")}

    def test_every_file_is_that_of_the_extracted_layer(self):
        self.assertEqual(read_tree(self.root), self.expected())

    def test_the_reference_itself_was_filtered(self):
        self.assertNotIn("photo.jpg", self.expected())
        self.assertIn("photo.JPG", self.expected())
        self.assertIn("vendor", self.expected())
        self.assertEqual(self.expected()["hard/other"], self.expected()["hard/original"])

    def test_the_root_lists_the_contents_and_its_status(self):
        top = {path for path in self.expected() if "/" not in path}
        self.assertEqual(sorted(os.listdir(self.root)), sorted(top | {".status"}))

    def test_the_mountpoint_lists_the_repository_and_the_table(self):
        self.assertEqual(sorted(os.listdir(self.daemon.mountpoint)), [".status", "contents"])

    def test_find_sees_what_the_kernel_lists(self):
        found = subprocess.run(["find", self.root, "-mindepth", "1", "-print0"], check=True,
                               stdout=subprocess.PIPE).stdout.decode().split("\0")[:-1]
        expected = [os.path.join(self.root, path) for path in [*self.expected(), ".status"]]
        self.assertEqual(sorted(found), sorted(expected))

    def test_modes_are_0444_and_0555(self):
        modes = {}
        for parent, directories, files in os.walk(self.root):
            for name in directories + files:
                info = os.lstat(os.path.join(parent, name))
                key = os.path.relpath(os.path.join(parent, name), self.root)
                if not stat.S_ISLNK(info.st_mode):
                    modes[key] = oct(stat.S_IMODE(info.st_mode))
        executable = {"bin/run.sh", "bin/setuid"}
        expected = {}
        for path, (kind, _, _) in self.expected().items():
            if kind != "link":
                expected[path] = oct(0o555 if kind == "directory" or path in executable else 0o444)
        expected[".status"] = oct(0o444)
        self.assertEqual(modes, expected)

    def test_the_owner_is_that_of_the_daemon(self):
        info = os.stat(os.path.join(self.root, "README.md"))
        self.assertEqual((info.st_uid, info.st_gid), (os.getuid(), os.getgid()))

    def test_the_time_is_when_the_artifact_was_created(self):
        times = {key: os.lstat(os.path.join(self.root, key)).st_mtime for key in self.expected()}
        self.assertEqual({key: t for key, t in times.items() if t != CREATED_SECONDS}, {})
        self.assertEqual(os.stat(self.root).st_mtime, CREATED_SECONDS)

    def test_sizes_are_those_of_the_files(self):
        for path, (kind, _, _) in self.expected().items():
            if kind == "file":
                self.assertEqual(os.stat(os.path.join(self.root, path)).st_size,
                                 os.stat(os.path.join(self.reference, path)).st_size, path)

    def test_a_link_leads_to_its_target(self):
        with open(os.path.join(self.root, "links", "directory", "app.yaml")) as file:
            self.assertEqual(file.read(), "kind: Deployment\n")
        with open(os.path.join(self.root, "links", "sibling")) as file:
            self.assertEqual(file.read(), "# sample\n")

    def test_links_out_of_the_artifact_are_not_there(self):
        self.assertEqual(os.listdir(os.path.join(self.root, "escape")), [])

    def test_a_name_that_is_not_there_is_enoent(self):
        for path in ("nothing", "deploy/nothing", "photo.jpg", "é" * 100):
            with self.assertRaises(FileNotFoundError):
                os.stat(os.path.join(self.root, path))
        with self.assertRaises(NotADirectoryError):
            os.stat(os.path.join(self.root, "README.md", "below"))
        with self.assertRaises(OSError) as raised:
            os.stat(os.path.join(self.root, "x" * 256))
        self.assertEqual(raised.exception.errno, errno.ENAMETOOLONG)

    def test_random_reads_give_the_bytes_of_that_place(self):
        chance = random.Random(7)
        descriptor = os.open(os.path.join(self.root, "big"), os.O_RDONLY)
        self.addCleanup(os.close, descriptor)
        for _ in range(500):
            offset = chance.randrange(len(self.BIG) + 5000)
            length = chance.choice([1, 100, 4096, 70000, 300000])
            self.assertEqual(os.pread(descriptor, length, offset),
                             self.BIG[offset:offset + length])

    def test_reads_without_the_page_cache_give_the_same(self):
        descriptor = os.open(os.path.join(self.root, "big"), os.O_RDONLY)
        self.addCleanup(os.close, descriptor)
        chance = random.Random(8)
        for _ in range(50):
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            offset = chance.randrange(len(self.BIG))
            self.assertEqual(os.pread(descriptor, 10000, offset),
                             self.BIG[offset:offset + 10000])

    def test_a_mapping_shows_the_file(self):
        with open(os.path.join(self.root, "big"), "rb") as file:
            with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapping:
                self.assertEqual(len(mapping), len(self.BIG))
                self.assertEqual(hashlib.sha256(mapping).digest(),
                                 hashlib.sha256(self.BIG).digest())

    def test_a_script_of_the_artifact_runs(self):
        result = subprocess.run([os.path.join(self.root, "bin", "run.sh")], check=True,
                                stdout=subprocess.PIPE)
        self.assertEqual(result.stdout, b"run\n")

    def test_tar_of_the_mount_reads_to_its_end(self):
        archive = subprocess.run(["tar", "-C", self.root, "-cf", "-", "."], check=True,
                                 stdout=subprocess.PIPE).stdout
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            names = {os.path.normpath(name) for name in tar.getnames()}
        self.assertEqual(names, {*self.expected(), ".", ".status"})

    def test_the_annotations_are_extended_attributes(self):
        attributes = {name: os.getxattr(self.root, name).decode()
                      for name in os.listxattr(self.root)}
        expected = {"user." + name: value for name, value in ANNOTATIONS.items()}
        expected["user.ocirepofs.revision"] = f"latest@{self.digest}"
        expected["user.ocirepofs.digest"] = self.digest
        self.assertEqual(attributes, expected)

    def test_an_extended_attribute_that_is_not_there_is_enodata(self):
        with self.assertRaises(OSError) as raised:
            os.getxattr(self.root, "user.nothing")
        self.assertEqual(raised.exception.errno, errno.ENODATA)


class ReadOnly(MountTestCase):
    """Every attempt to change anything is EROFS."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.daemon = Daemon()
        cls.addClassCleanup(cls.daemon.close)
        cls.push("readonly", {"file": b"x", "directory/other": b"y", "link": Symlink("file")})
        cls.daemon.write_config("r.yaml", repository("ro", cls.url("readonly")))
        cls.daemon.start()
        cls.daemon.wait_ready("ro")

    def assert_read_only(self, change, *arguments, **keywords):
        with self.assertRaises(OSError) as raised:
            change(*arguments, **keywords)
        self.assertEqual(errno.errorcode[raised.exception.errno], "EROFS",
                         f"{change.__name__}{arguments}")

    def test_files_of_the_artifact(self):
        path = self.daemon.path("ro", "file")
        for flags in (os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_TRUNC, os.O_WRONLY | os.O_APPEND):
            self.assert_read_only(os.open, path, flags)
        self.assert_read_only(os.truncate, path, 0)
        self.assert_read_only(os.chmod, path, 0o600)
        self.assert_read_only(os.chown, path, 1, 1)
        self.assert_read_only(os.utime, path, (0, 0))
        self.assert_read_only(os.unlink, path)
        self.assert_read_only(os.rename, path, path + "-new")
        self.assert_read_only(os.link, path, path + "-new")
        self.assert_read_only(os.setxattr, path, "user.x", b"y")
        self.assert_read_only(os.removexattr, path, "user.x")

    def test_directories(self):
        for parent in (self.daemon.mountpoint, self.daemon.path("ro"),
                       self.daemon.path("ro", "directory")):
            path = os.path.join(parent, "new")
            self.assert_read_only(os.open, path, os.O_CREAT | os.O_WRONLY)
            self.assert_read_only(os.mkdir, path)
            self.assert_read_only(os.symlink, "target", path)
            self.assert_read_only(os.mkfifo, path)
            self.assert_read_only(os.chmod, parent, 0o700)
            self.assert_read_only(os.setxattr, parent, "user.x", b"y")
        self.assert_read_only(os.rmdir, self.daemon.path("ro", "directory"))
        self.assert_read_only(os.rename, self.daemon.path("ro", "directory"),
                              self.daemon.path("ro", "moved"))
        self.assert_read_only(os.rmdir, self.daemon.path("ro"))

    def test_the_status(self):
        for path in (self.daemon.path(".status"), self.daemon.path("ro", ".status")):
            self.assert_read_only(os.open, path, os.O_WRONLY | os.O_TRUNC)
            self.assert_read_only(os.unlink, path)
            self.assert_read_only(os.chmod, path, 0o600)

    def test_nothing_has_changed(self):
        self.assertEqual(sorted(os.listdir(self.daemon.path("ro"))),
                         [".status", "directory", "file", "link"])
        self.assertEqual(self.daemon.read("ro", "file"), b"x")

    def test_the_mount_is_read_only_without_setuid_or_devices(self):
        with open("/proc/self/mountinfo") as mounts:
            options = [line.split()[5].split(",") for line in mounts
                       if line.split()[4] == self.daemon.mountpoint]
        self.assertEqual(len(options), 1)
        self.assertLessEqual({"ro", "nosuid", "nodev"}, set(options[0]))


if __name__ == "__main__":
    mount_case.main()
