"""Every form in which a layer may come.

Run by ctest; OCIREPOFS names the program."""

import json
import os
import subprocess
import sys
import tarfile
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import mount_case
import registry
from mount import repository
from mount_case import CREATED, MountTestCase
from registry import Directory


class Layers(MountTestCase):
    """What may come as a layer."""

    ENTRIES = {"a": b"first\n", "d/b": b"second\n", "e": (b"run\n", 0o755)}

    def check(self, name, digest, **spec):
        daemon = self.daemon()
        daemon.write_config("l.yaml", repository(name, self.url(name), **spec))
        daemon.start()
        daemon.wait_ready(name, digest)
        self.assertEqual(daemon.read(name, "a"), b"first\n")
        self.assertEqual(daemon.read(name, "d", "b"), b"second\n")
        self.assertTrue(os.access(daemon.path(name, "e"), os.X_OK))
        self.assertEqual(sorted(os.listdir(daemon.path(name))), [".status", "a", "d", "e"])
        return daemon

    def check_layer(self, name, layer, media_type=registry.FLUX_CONTENT):
        digest = self.push_layer(name, layer, media_type=media_type)
        self.check(name, digest)

    def test_gzip(self):
        self.check_layer("layer-gzip", registry.make_layer(self.ENTRIES))

    def test_gzip_of_several_members(self):
        tar = registry.make_tar(self.ENTRIES)
        layer = registry.compress(tar[:700]) + registry.compress(tar[700:])
        self.check_layer("layer-members", layer)

    def test_gnu_and_ustar(self):
        for name, tar_format in (("gnu", tarfile.GNU_FORMAT), ("ustar", tarfile.USTAR_FORMAT)):
            layer = registry.compress(registry.make_tar(self.ENTRIES, tar_format=tar_format))
            self.check_layer(f"layer-{name}", layer)

    def test_names_with_a_leading_dot(self):
        entries = {".": Directory(), **{"./" + name: what for name, what in self.ENTRIES.items()}}
        self.check_layer("layer-dot", registry.make_layer(entries))

    def test_plain_tar(self):
        self.check_layer("layer-tar", registry.make_tar(self.ENTRIES),
                         "application/vnd.oci.image.layer.v1.tar")

    def test_zstd(self):
        layer = subprocess.run(["zstd", "-q", "-c"], input=registry.make_tar(self.ENTRIES),
                               stdout=subprocess.PIPE, check=True).stdout
        self.check_layer("layer-zstd", layer, "application/vnd.oci.image.layer.v1.tar+zstd")

    def test_equal_contents_give_an_equal_tarball(self):
        """However the layer was compressed, and in whatever order it came."""
        backwards = dict(reversed(self.ENTRIES.items()))
        layers = [registry.make_layer(self.ENTRIES), registry.make_layer(backwards, mtime=12345),
                  registry.make_tar(self.ENTRIES)]
        checksums = set()
        for number, layer in enumerate(layers):
            name = f"layer-equal-{number}"
            digest = self.push_layer(name, layer)
            checksums.add(self.check(name, digest).status(name)["status"]["artifact"]["digest"])
        self.assertEqual(len(checksums), 1, checksums)

    def test_an_empty_layer(self):
        digest = self.push("layer-empty", {})
        daemon = self.daemon()
        daemon.write_config("l.yaml", repository("empty", self.url("layer-empty")))
        daemon.start()
        daemon.wait_ready("empty", digest)
        self.assertEqual(os.listdir(daemon.path("empty")), [".status"])

    def test_what_is_no_archive_is_refused_with_the_reason(self):
        self.push_layer("layer-text", b"just text\n" * 200)
        daemon = self.daemon()
        daemon.write_config("l.yaml", repository("text", self.url("layer-text")))
        daemon.start()
        condition = daemon.wait_condition("text", "FetchFailed", "True",
                                          "failed to extract layer contents from artifact")
        self.assertEqual(condition["reason"], "OCIArtifactLayerOperationFailed")

    def test_names_that_leave_the_root_are_refused(self):
        for number, path in enumerate(("../outside", "/absolute", "a/../../outside")):
            name = f"layer-evil-{number}"
            self.push(name, {"a": b"x", path: b"evil"})
            daemon = self.daemon()
            daemon.write_config("l.yaml", repository(name, self.url(name)))
            daemon.start()
            daemon.wait_condition(name, "FetchFailed", "True")
            self.assertEqual(os.listdir(daemon.path(name)), [".status"])

    def test_the_child_for_linux_amd64_is_taken_from_an_index(self):
        url, name = self.registry.base_url, "layer-index"
        children = []
        for platform in ("linux/arm64", "linux/amd64", "windows/amd64"):
            entries = self.ENTRIES if platform == "linux/amd64" else {"wrong": platform.encode()}
            layers = [(registry.make_layer(entries), registry.FLUX_CONTENT, None)]
            child = registry.push_layers(url, name, None, layers, {"platform": platform})
            children.append((*child, platform))
        digest = registry.push_index(url, name, "latest", children)
        daemon = self.check(name, digest)
        artifact = daemon.status(name)["status"]["artifact"]
        self.assertEqual(artifact["revision"], f"latest@{digest}")
        self.assertEqual(artifact["metadata"], {"platform": "linux/amd64"})

    def test_an_index_without_that_platform_is_refused(self):
        url, name = self.registry.base_url, "layer-no-platform"
        layers = [(registry.make_layer(self.ENTRIES), registry.FLUX_CONTENT, None)]
        child = registry.push_layers(url, name, None, layers)
        registry.push_index(url, name, "latest", [(*child, "linux/arm64")])
        daemon = self.following(name)
        condition = daemon.wait_condition(name, "FetchFailed", "True", "no child with platform")
        self.assertEqual(condition["reason"], "OCIArtifactPullFailed")

    def several_layers(self, name):
        layers = [(b'{"not": "an archive"}', "application/json", {registry.TITLE: "data.json"}),
                  (registry.make_layer(self.ENTRIES), "application/vnd.example.tar+gzip", None)]
        return registry.push_layers(self.registry.base_url, name, "latest", layers)[0]

    def test_the_layer_of_the_selected_media_type_is_taken(self):
        digest = self.several_layers("layer-selected")
        self.check("layer-selected", digest,
                   layerSelector={"mediaType": "application/vnd.example.tar+gzip"})

    def test_a_media_type_that_no_layer_has_is_refused(self):
        self.several_layers("layer-unselected")
        daemon = self.daemon()
        daemon.write_config("l.yaml", repository(
            "unselected", self.url("layer-unselected"),
            layerSelector={"mediaType": "application/vnd.absent"}))
        daemon.start()
        daemon.wait_condition(
            "unselected", "FetchFailed", "True",
            "failed to find layer with media type 'application/vnd.absent' in artifact")

    def test_a_copied_archive_is_kept_as_it_is_and_shown_unfiltered(self):
        layer = registry.make_layer({"a.png": b"png", "b": b"x"})
        digest = self.push_layer("layer-copy", layer)
        daemon = self.daemon()
        daemon.write_config("l.yaml", repository("copy", self.url("layer-copy"),
                                                 layerSelector={"operation": "copy"}))
        daemon.start()
        artifact = daemon.wait_ready("copy", digest)["status"]["artifact"]
        self.assertEqual(sorted(os.listdir(daemon.path("copy"))), [".status", "a.png", "b"])
        self.assertEqual(artifact["digest"], registry.sha256(layer))
        with open(os.path.join(daemon.cache, artifact["path"]), "rb") as file:
            self.assertEqual(file.read(), layer)

    def test_a_copied_layer_that_is_no_archive_is_one_file(self):
        digest = self.several_layers("layer-file")
        daemon = self.daemon()
        daemon.write_config("l.yaml", repository(
            "file", self.url("layer-file"),
            layerSelector={"operation": "copy", "mediaType": "application/json"}))
        daemon.start()
        daemon.wait_ready("file", digest)
        self.assertEqual(sorted(os.listdir(daemon.path("file"))), [".status", "data.json"])
        self.assertEqual(daemon.read("file", "data.json"), b'{"not": "an archive"}')


class Images(MountTestCase):
    """Container images as skopeo pushes them."""

    ENTRIES = {"etc/config": b"image\n", "bin/tool": (b"tool\n", 0o755)}

    def write_image_layout(self, directory):
        """An OCI layout with one runnable-looking image, tagged `image`."""
        blobs = os.path.join(directory, "blobs", "sha256")
        os.makedirs(blobs)

        def store(data, media_type):
            digest = registry.sha256(data)
            with open(os.path.join(blobs, digest.removeprefix("sha256:")), "wb") as file:
                file.write(data)
            return {"mediaType": media_type, "digest": digest, "size": len(data)}

        tar = registry.make_tar(self.ENTRIES)
        config = {"architecture": "amd64", "os": "linux", "config": {},
                  "created": CREATED,
                  "rootfs": {"type": "layers", "diff_ids": [registry.sha256(tar)]},
                  "history": [{"created": CREATED, "created_by": "test"}]}
        manifest = {
            "schemaVersion": 2,
            "mediaType": registry.OCI_MANIFEST,
            "config": store(json.dumps(config).encode(),
                            "application/vnd.oci.image.config.v1+json"),
            "layers": [store(registry.compress(tar),
                             "application/vnd.oci.image.layer.v1.tar+gzip")],
        }
        descriptor = store(json.dumps(manifest).encode(), registry.OCI_MANIFEST)
        descriptor["annotations"] = {"org.opencontainers.image.ref.name": "image"}
        with open(os.path.join(directory, "index.json"), "w") as file:
            json.dump({"schemaVersion": 2, "manifests": [descriptor]}, file)
        with open(os.path.join(directory, "oci-layout"), "w") as file:
            json.dump({"imageLayoutVersion": "1.0.0"}, file)

    def check_copied(self, name, manifest_format, media_type):
        with tempfile.TemporaryDirectory() as directory:
            self.write_image_layout(directory)
            subprocess.run(["skopeo", "copy", "--quiet", "--insecure-policy", "--format",
                            manifest_format, "--dest-tls-verify=false", f"oci:{directory}:image",
                            f"docker://{self.registry.host}/{name}:latest"], check=True)
        raw = subprocess.run(["skopeo", "inspect", "--raw", "--tls-verify=false",
                              f"docker://{self.registry.host}/{name}:latest"], check=True,
                             stdout=subprocess.PIPE).stdout
        self.assertEqual(json.loads(raw)["mediaType"], media_type)
        daemon = self.following(name)
        daemon.wait_ready(name, registry.sha256(raw))
        self.assertEqual(daemon.read(name, "etc", "config"), b"image\n")
        self.assertTrue(os.access(daemon.path(name, "bin", "tool"), os.X_OK))

    def test_an_oci_image(self):
        self.check_copied("image-oci", "oci", registry.OCI_MANIFEST)

    def test_a_docker_schema_2_image(self):
        self.check_copied("image-docker", "v2s2",
                          "application/vnd.docker.distribution.manifest.v2+json")


if __name__ == "__main__":
    mount_case.main()
