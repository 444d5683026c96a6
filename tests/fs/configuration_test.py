"""CONFIG while the daemon runs, and the rules and options that shape the tree.

Run by ctest; OCIREPOFS names the program."""

import json
import os
import re
import stat
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import yaml

import mount_case
from mount import repository, wait_until
from mount_case import MountTestCase, read_tree


class Configuration(MountTestCase):
    """CONFIG while the daemon runs."""

    def test_an_added_manifest_adds_a_directory(self):
        daemon = self.mounted("config-first", {"a": b"1"})
        digest = self.push("config-added", {"b": b"2"})
        with self.assertRaises(FileNotFoundError):
            os.stat(daemon.path("config-added"))
        daemon.write_config("n.yaml", repository("config-added", self.url("config-added")))
        daemon.wait_ready("config-added", digest)
        self.assertEqual(daemon.read("config-added", "b"), b"2")
        self.assertEqual(sorted(os.listdir(daemon.mountpoint)),
                         [".status", "config-added", "config-first"])

    def test_a_removed_manifest_removes_the_directory_and_not_its_open_files(self):
        daemon = self.mounted("config-removed", {"a": b"1", "d/b": b"2"})
        directory = os.open(daemon.path("config-removed"), os.O_RDONLY)
        self.addCleanup(os.close, directory)
        with open(daemon.path("config-removed", "a"), "rb") as held:
            daemon.remove_config("config-removed.yaml")
            wait_until("the directory to go",
                       lambda: not os.path.lexists(daemon.path("config-removed")))
            self.assertEqual(held.read(), b"1")
        self.assertEqual(os.listdir(daemon.mountpoint), [".status"])
        descriptor = os.open("d/b", os.O_RDONLY, dir_fd=directory)
        self.addCleanup(os.close, descriptor)
        self.assertEqual(os.read(descriptor, 10), b"2")

    def test_a_changed_spec_is_a_new_generation(self):
        daemon = self.mounted("config-changed", {"a.txt": b"1", "b.md": b"2"}, interval="1h")
        url = self.url("config-changed")
        daemon.write_config("config-changed.yaml",
                            repository("config-changed", url, interval="1h", ignore="*.md\n"))

        def changed():
            document = daemon.status("config-changed")
            return document["status"]["observedGeneration"] == 2 and document

        document = wait_until("generation 2", changed, explain=daemon.log)
        self.assertEqual(document["metadata"]["generation"], 2)
        self.assertEqual(document["status"]["observedIgnore"], "*.md\n")
        self.assertEqual(sorted(os.listdir(daemon.path("config-changed"))), [".status", "a.txt"])

    def test_a_changed_reference_is_fetched_at_once(self):
        daemon = self.mounted("config-ref", {"a": b"1"}, interval="1h")
        digest = self.push("config-ref", {"a": b"2"}, tag="2.0.0")
        daemon.write_config("config-ref.yaml", repository(
            "config-ref", self.url("config-ref"), interval="1h", ref={"tag": "2.0.0"}))
        daemon.wait_ready("config-ref", digest)
        self.assertEqual(daemon.read("config-ref", "a"), b"2")

    def test_the_same_manifest_written_again_changes_nothing(self):
        daemon = self.mounted("config-same", {"a": b"1"}, interval="1h")
        before = daemon.read("config-same", ".status")
        daemon.write_config("config-same.yaml", "# a comment\n", repository(
            "config-same", self.url("config-same"), interval="1h"))
        self.let_intervals_pass(daemon)
        self.assertEqual(daemon.read("config-same", ".status"), before)

    def check_broken(self, name, text, line):
        daemon = self.mounted(name, {"a": b"good"})
        daemon.write_config(f"{name}.yaml", text)
        place = re.compile(rf"{name}\.yaml:{line}\b")
        wait_until("the place of the error in .status",
                   lambda: place.search(daemon.read(name, ".status").decode()),
                   explain=lambda: daemon.explain(name))
        self.assertRegex(daemon.log(), place)
        self.assertEqual(daemon.read(name, "a"), b"good")
        digest = self.push(name, {"a": b"new"})
        daemon.write_config(f"{name}.yaml", repository(name, self.url(name)))
        daemon.wait_ready(name, digest)
        self.assertEqual(daemon.read(name, "a"), b"new")
        self.assertNotRegex(yaml.safe_dump(daemon.status(name)["status"]), place)

    def test_an_invalid_manifest_keeps_the_last_good_contents(self):
        self.check_broken("config-invalid",
                          "apiVersion: source.toolkit.fluxcd.io/v1\n"
                          "kind: OCIRepository\n"
                          "metadata:\n"
                          "  name: config-invalid\n"
                          "spec:\n"
                          f"  url: {self.url('config-invalid')}\n"
                          "  interval: sometimes\n", 7)

    def test_broken_yaml_keeps_the_last_good_contents(self):
        self.check_broken("config-syntax",
                          "apiVersion: source.toolkit.fluxcd.io/v1\n"
                          "kind: OCIRepository\n"
                          "metadata:\n"
                          "  name: config-syntax\n"
                          "spec: {url: [\n", r"\d+")

    def test_one_bad_manifest_leaves_the_others_alone(self):
        digest = self.push("config-good", {"a": b"1"})
        daemon = self.daemon()
        daemon.write_config("a.yaml", repository("bad", "https://example.org/not-oci"))
        daemon.write_config("b.yaml", repository("good", self.url("config-good")))
        daemon.write_config("c.yaml", {"apiVersion": "v1", "kind": "ConfigMap",
                                       "metadata": {"name": "skipped"}})
        daemon.start()
        daemon.wait_ready("good", digest)
        self.assertEqual(daemon.read("good", "a"), b"1")

    def test_a_list_in_json_is_read(self):
        digest = self.push("config-list", {"a": b"1"})
        daemon = self.daemon()
        items = [repository(name, self.url("config-list")) for name in ("one", "two")]
        document = {"apiVersion": "v1", "kind": "List", "items": items}
        daemon.write_config("list.json", json.dumps(document))
        daemon.start()
        daemon.wait_ready("one", digest)
        daemon.wait_ready("two", digest)

    def test_a_suspended_repository_keeps_its_contents(self):
        daemon = self.mounted("config-suspend", {"a": b"1"}, interval="100ms")
        url = self.url("config-suspend")
        daemon.write_config("config-suspend.yaml",
                            repository("config-suspend", url, interval="100ms", suspend=True))
        wait_until("generation 2 observed",
                   lambda: daemon.status("config-suspend")["status"]["observedGeneration"] == 2,
                   explain=lambda: daemon.explain("config-suspend"))
        digest = self.push("config-suspend", {"a": b"2"})
        self.let_intervals_pass(daemon)
        self.assertEqual(daemon.read("config-suspend", "a"), b"1")
        daemon.write_config("config-suspend.yaml",
                            repository("config-suspend", url, interval="100ms"))
        daemon.wait_ready("config-suspend", digest)

    def test_a_secret_that_is_named_is_refused_and_gives_no_value_away(self):
        daemon = self.mounted("config-secret", {"a": b"1"})
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "credentials"},
                  "type": "kubernetes.io/dockerconfigjson",
                  "stringData": {".dockerconfigjson": json.dumps({"auths": {
                      self.registry.host: {"username": "someone", "password": "hunter2-secret"}}})}}
        daemon.write_config("secret.yaml", secret)
        daemon.write_config("config-secret.yaml", repository(
            "config-secret", self.url("config-secret"), secretRef={"name": "credentials"}))
        stalled = daemon.wait_condition("config-secret", "Stalled", "True")
        self.assertIn("spec.secretRef: not supported yet", stalled["message"])
        self.assertEqual(daemon.read("config-secret", "a"), b"1")
        for text in (daemon.read("config-secret", ".status").decode(),
                     daemon.read(".status").decode(), daemon.log()):
            self.assertNotIn("hunter2", text)


class Rules(MountTestCase):
    """spec.ignore, .sourceignore and mount options that change what is shown."""

    def names(self, daemon, name):
        return sorted(path for path, what in read_tree(daemon.path(name)).items()
                      if what[0] == "file")

    def test_spec_ignore_replaces_the_defaults(self):
        daemon = self.mounted("rules-spec", {"a.png": b"", "b.md": b"", ".gitignore": b""},
                              ignore="*.md\n")
        self.assertEqual(self.names(daemon, "rules-spec"), ["a.png"])

    def test_a_sourceignore_counts_in_its_directory(self):
        entries = {"sub/.sourceignore": b"*.txt\n", "sub/a.txt": b"", "a.txt": b"", "a.png": b""}
        daemon = self.mounted("rules-file", entries)
        self.assertEqual(self.names(daemon, "rules-file"), ["a.png", "a.txt", "sub/.sourceignore"])

    def test_a_late_sourceignore_counts_too(self):
        entries = {"a.txt": b"a", "keep.txt": b"k", ".sourceignore": b"*.txt\n!keep.txt\n"}
        daemon = self.mounted("rules-late", entries)
        self.assertEqual(self.names(daemon, "rules-late"), [".sourceignore", "keep.txt"])

    def test_owner_and_umask_are_options(self):
        daemon = self.mounted("rules-owner", {"run": (b"", 0o755), "a": b""},
                              "uid=1234", "gid=4321", "umask=027")
        modes = {}
        for name in ("", "run", "a", ".status"):
            info = os.stat(daemon.path("rules-owner", name))
            self.assertEqual((info.st_uid, info.st_gid), (1234, 4321))
            modes[name] = oct(stat.S_IMODE(info.st_mode))
        self.assertEqual(modes, {"": "0o550", "run": "0o550", "a": "0o440", ".status": "0o440"})

    def test_a_status_file_of_the_artifact_gives_way(self):
        daemon = self.mounted("rules-status", {".status": b"mine\n", "a": b"",
                                               "sub/.status": b"kept\n"})
        self.assertEqual(daemon.status("rules-status")["kind"], "OCIRepository")
        self.assertEqual(daemon.read("rules-status", "sub", ".status"), b"kept\n")

    def test_namespaced_layout(self):
        self.push("rules-layout", {"a": b"x"})
        daemon = self.daemon("layout=namespaced")
        url = self.url("rules-layout")
        daemon.write_config("a.yaml", repository("same", url, namespace="one"),
                            repository("same", url, namespace="two"))
        daemon.start()
        for namespace in ("one", "two"):
            daemon.wait_ready(os.path.join(namespace, "same"))
            self.assertEqual(daemon.read(namespace, "same", "a"), b"x")

    def test_the_same_name_twice_is_an_error_of_the_later(self):
        self.push("rules-twice", {"a": b"x"})
        daemon = self.daemon()
        url = self.url("rules-twice")
        daemon.write_config("a.yaml", repository("same", url, namespace="one"))
        daemon.write_config("b.yaml", repository("same", url, namespace="two"))
        daemon.start()
        self.assertEqual(daemon.wait_ready("same")["metadata"]["namespace"], "one")
        self.assertIn("layout=namespaced", daemon.log())

    def test_too_many_files_are_refused(self):
        self.push("rules-limit", {f"f{i}": b"" for i in range(20)})
        daemon = self.daemon("max_files=10")
        daemon.write_config("a.yaml", repository("limit", self.url("rules-limit")))
        daemon.start()
        daemon.wait_condition("limit", "Ready", "False", "10")
        self.assertEqual(os.listdir(daemon.path("limit")), [".status"])

    def test_an_allowed_other_user_may_read(self):
        daemon = self.mounted("rules-other", {"a": b"x"}, "allow_other")
        os.chmod(daemon.work, 0o755)
        result = subprocess.run(["cat", daemon.path("rules-other", "a")], user=65534,
                                stdout=subprocess.PIPE, check=True)
        self.assertEqual(result.stdout, b"x")


if __name__ == "__main__":
    mount_case.main()
