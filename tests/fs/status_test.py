""".status in both dialects, as a file, and while the registry is away.

Run by ctest; OCIREPOFS names the program."""

import hashlib
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import yaml

import mount_case
import registry
from mount import repository, wait_until
from mount_case import ANNOTATIONS, MountTestCase


class Status(MountTestCase):
    """.status in both dialects, and its behaviour as a file."""

    TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")

    def check_common(self, daemon, name, api, spec):
        """What both dialects share; returns (artifact, status, conditions by type)."""
        document = daemon.status(name)
        self.assertEqual(list(document),
                         ["apiVersion", "kind", "metadata", "spec", "status", "events"])
        self.assertEqual(document["apiVersion"], f"source.toolkit.fluxcd.io/{api}")
        self.assertEqual(document["kind"], "OCIRepository")
        self.assertEqual(document["metadata"]["name"], name)
        self.assertEqual(document["metadata"]["namespace"], "default")
        self.assertEqual(document["metadata"]["generation"], 1)
        self.assertEqual(document["spec"], spec)
        status = document["status"]
        artifact = status["artifact"]
        self.assertEqual(status["observedGeneration"], 1)
        self.assertRegex(artifact["lastUpdateTime"], self.TIME)
        self.assertEqual(artifact["metadata"], ANNOTATIONS)
        tarball = os.path.join(daemon.cache, artifact["path"])
        self.assertEqual(artifact["size"], os.path.getsize(tarball))
        self.assertEqual(artifact["url"], "file://" + tarball)
        self.assertTrue(os.path.samefile(status["url"].removeprefix("file://"), tarball))
        conditions = {}
        for condition in status["conditions"]:
            self.assertEqual(sorted(condition), ["lastTransitionTime", "message",
                                                 "observedGeneration", "reason", "status", "type"])
            self.assertRegex(condition["lastTransitionTime"], self.TIME)
            conditions[condition["type"]] = condition
        self.assertEqual(list(conditions), ["Ready", "ArtifactInStorage"])
        for condition in conditions.values():
            self.assertEqual((condition["status"], condition["reason"], condition["message"]),
                             ("True", "Succeeded",
                              f"stored artifact for digest '{artifact['revision']}'"))
        event = next(e for e in document["events"] if e["reason"] == "NewArtifact")
        self.assertEqual(
            (event["type"], event["count"], event["message"]),
            ("Normal", 1, f"stored artifact with revision '{artifact['revision']}' from "
             f"'{spec['url']}', origin source '{ANNOTATIONS[registry.SOURCE]}', "
             f"origin revision '{ANNOTATIONS[registry.REVISION]}'"))
        self.assertRegex(event["firstTimestamp"], self.TIME)
        self.assertRegex(event["lastTimestamp"], self.TIME)
        self.check_tarball(tarball, (artifact.get("digest") or artifact.get("checksum")))
        return artifact, status, conditions

    def check_tarball(self, tarball, checksum):
        with open(tarball, "rb") as file:
            contents = file.read()
        self.assertEqual(hashlib.sha256(contents).hexdigest(), checksum.removeprefix("sha256:"))
        listing = subprocess.run(["tar", "-tzf", tarball], check=True, stdout=subprocess.PIPE,
                                 text=True).stdout.split()
        self.assertEqual(listing, [".", "a", "b", "b/c"])

    def start(self, api, **spec):
        name = f"status-{api}"
        digest = self.push(name, {"a": b"1", "b/c": b"2"}, annotations=ANNOTATIONS)
        daemon = self.daemon()
        manifest = repository(name, self.url(name), api=api, **spec)
        daemon.write_config("s.yaml", manifest)
        daemon.start()
        daemon.wait_ready(name, digest)
        return daemon, name, digest.removeprefix("sha256:"), manifest["spec"]

    def test_v1beta2(self):
        daemon, name, digest, spec = self.start("v1beta2", timeout="30s")
        artifact, status, _ = self.check_common(daemon, name, "v1beta2", spec)
        self.assertEqual(artifact["revision"], f"latest/{digest}")
        self.assertEqual(artifact["path"], f"ocirepository/default/{name}/{digest}.tar.gz")
        self.assertRegex(artifact["checksum"], "^[0-9a-f]{64}$")
        self.assertNotIn("digest", artifact)
        self.assertEqual(status["contentConfigChecksum"],
                         "sha256:" + hashlib.sha256(b"").hexdigest())
        self.assertNotIn("observedIgnore", status)

    def test_v1(self):
        daemon, name, digest, spec = self.start("v1", ignore="# nothing\n",
                                                layerSelector={"operation": "extract"})
        artifact, status, _ = self.check_common(daemon, name, "v1", spec)
        self.assertEqual(artifact["revision"], f"latest@sha256:{digest}")
        self.assertRegex(artifact["digest"], "^sha256:[0-9a-f]{64}$")
        self.assertNotIn("checksum", artifact)
        self.assertEqual(status["observedIgnore"], "# nothing\n")
        self.assertEqual(status["observedLayerSelector"], {"operation": "extract"})
        self.assertNotIn("contentConfigChecksum", status)

    def test_odd_text_is_read_back_as_it_was(self):
        annotations = {f"text-{number}": text for number, text in enumerate(
            ["two\nlines", "ends in two\n\n", "  starts\nindented\n", "\nstarts empty", "=", "<<",
             "1:30", "0x10", "yes", "null", "- dash", "# hash", "a: b", "a #b", "tab\t", "", " ",
             "next\u0085line\n", "quote ' and \" \\", "{brace", "*star", "@at", "`tick", "%x"])}
        ignore = "  # not a comment\nno newline at the end"
        daemon = self.mounted("status-odd", {"a": b"1"}, annotations=annotations, ignore=ignore)
        document = daemon.status("status-odd")
        self.assertEqual(document["status"]["artifact"]["metadata"], annotations)
        self.assertEqual(document["spec"]["ignore"], ignore)

    def test_references(self):
        entries = {"a": b"1"}
        digest = self.push("status-refs", entries, tag="1.2.0")
        newer = self.push("status-refs", {"a": b"2"}, tag="1.10.0")
        self.push("status-refs", {"a": b"3"}, tag="2.0.0-rc.1")
        daemon = self.daemon()
        url = self.url("status-refs")
        daemon.write_config("r.yaml",
                            repository("by-tag", url, ref={"tag": "1.2.0"}),
                            repository("by-digest", url, ref={"digest": digest}),
                            repository("by-semver", url, ref={"semver": ">=1.0.0"}))
        daemon.start()
        revisions = {}
        for name in ("by-tag", "by-digest", "by-semver"):
            revisions[name] = daemon.wait_ready(name)["status"]["artifact"]["revision"]
        self.assertEqual(revisions, {"by-tag": f"1.2.0@{digest}", "by-digest": digest,
                                     "by-semver": f"1.10.0@{newer}"})
        self.assertEqual(daemon.read("by-semver", "a"), b"2")

    def test_the_reason_when_there_is_no_such_tag(self):
        self.push("status-missing", {"a": b"1"})
        daemon = self.daemon()
        daemon.write_config("m.yaml", repository("missing", self.url("status-missing"),
                                                 ref={"tag": "absent"}))
        daemon.start()
        condition = daemon.wait_condition("missing", "FetchFailed", "True",
                                          "failed to determine artifact digest: ")
        self.assertEqual(condition["reason"], "OCIArtifactPullFailed")
        self.assertEqual(daemon.condition("missing", "Ready")["status"], "False")
        self.assertEqual(os.listdir(daemon.path("missing")), [".status"])

    def test_a_failed_repository_keeps_its_last_good_contents(self):
        daemon = self.mounted("status-broken", {"a": b"good"})
        self.push_layer("status-broken", registry.compress(b"no tar at all " * 100))
        daemon.wait_condition("status-broken", "Ready", "False")
        self.assertEqual(daemon.read("status-broken", "a"), b"good")
        digest = self.push("status-broken", {"a": b"better"})
        daemon.wait_ready("status-broken", digest)
        self.assertEqual(daemon.read("status-broken", "a"), b"better")

    def test_size_and_text_agree_while_it_changes(self):
        daemon = self.mounted("status-size", {"a": b"0"}, interval="100ms")
        path = daemon.path("status-size", ".status")
        versions = set()

        def read_until(digest):
            text = self.read_whole(path)
            versions.add(text)
            return digest in text

        for number in range(20):
            digest = self.push("status-size", {"a": str(number).encode()})
            wait_until(f"revision {number}", lambda: read_until(digest), explain=daemon.log)
        self.assertGreaterEqual(len(versions), 20)

    def read_whole(self, path):
        with open(path) as file:
            size = os.fstat(file.fileno()).st_size
            text = file.read()
        self.assertEqual(len(text.encode()), size)
        document = yaml.safe_load(text)
        self.assertIn("events", document)
        return text

    def test_a_held_status_keeps_its_text(self):
        daemon = self.mounted("status-held", {"a": b"0"})
        with open(daemon.path("status-held", ".status")) as held:
            before = daemon.read("status-held", ".status").decode()
            daemon.wait_ready("status-held", self.push("status-held", {"a": b"1"}))
            self.assertEqual(held.read(), before)
        self.assertNotEqual(daemon.read("status-held", ".status").decode(), before)

    def test_an_unchanged_digest_changes_nothing(self):
        daemon = self.mounted("status-same", {"a": b"0"}, interval="100ms")
        before = (daemon.read("status-same", ".status"), os.stat(daemon.path("status-same")))
        self.let_intervals_pass(daemon)
        after = (daemon.read("status-same", ".status"), os.stat(daemon.path("status-same")))
        self.assertEqual(after[0], before[0])
        self.assertEqual(after[1].st_ino, before[1].st_ino)
        self.assertEqual(after[1].st_mtime_ns, before[1].st_mtime_ns)

    def test_the_table_lists_every_repository(self):
        daemon = self.mounted("status-table", {"a": b"0"})
        daemon.write_config("gone.yaml", repository("gone", self.url("status-gone")))
        daemon.wait_condition("gone", "Ready", "False")

        def rows():
            lines = daemon.read(".status").decode().splitlines()
            found = {line.split()[0]: line for line in lines[1:]}
            return found if "False" in found.get("gone", "") else None

        table = wait_until("the table to say that 'gone' failed", rows)
        self.assertEqual(sorted(table), ["gone", "status-table"])
        self.assertIn("True", table["status-table"])
        self.assertIn(self.url("status-table"), table["status-table"])
        self.assertEqual(daemon.read(".status").decode().splitlines()[0].split(),
                         ["NAME", "URL", "AGE", "READY", "STATUS"])


class Offline(MountTestCase):
    """The registry goes away and comes back."""

    def test_a_restart_without_a_registry_serves_from_the_cache(self):
        own = registry.Registry().start()
        self.addCleanup(own.close)
        layer = registry.make_layer({"a": b"cached", "d/b": b"too"})
        digest = registry.push_artifact(own.base_url, "offline", "latest", layer,
                                        annotations=ANNOTATIONS)
        daemon = self.daemon()
        daemon.write_config("o.yaml", repository("offline", own.oci_url("offline")))
        daemon.start()
        before = daemon.wait_ready("offline", digest)
        daemon.stop()
        own.stop()

        daemon.start()
        self.assertEqual(daemon.read("offline", "a"), b"cached")
        self.assertEqual(daemon.read("offline", "d", "b"), b"too")
        after = daemon.status("offline")
        self.assertEqual(after["status"]["artifact"], before["status"]["artifact"])
        self.assertEqual(after["metadata"], before["metadata"])
        self.assertIn("NewArtifact", [event["reason"] for event in after["events"]])
        daemon.wait_condition("offline", "Ready", "False", own.host)
        self.assertEqual(daemon.read("offline", "a"), b"cached")

        own.start()
        digest = registry.push_artifact(own.base_url, "offline", "latest",
                                        registry.make_layer({"a": b"fresh"}))
        daemon.wait_ready("offline", digest)
        self.assertEqual(daemon.read("offline", "a"), b"fresh")
        self.assertEqual(daemon.condition("offline", "FetchFailed"), {})

    def test_without_cache_or_registry_there_is_an_empty_directory(self):
        own = registry.Registry()
        self.addCleanup(own.close)
        daemon = self.daemon()
        daemon.write_config("o.yaml", repository("nowhere", own.oci_url("nowhere")))
        daemon.start()
        self.assertEqual(os.listdir(daemon.path("nowhere")), [".status"])
        daemon.wait_condition("nowhere", "FetchFailed", "True", own.host)


if __name__ == "__main__":
    mount_case.main()
