"""A throw-away OCI registry on the loopback interface, and what it takes to fill it.

Needs nothing beyond Python's standard library and Debian's `docker-registry`. As a program:

    registry.py serve STORAGE_DIRECTORY             prints the URL, serves until SIGTERM
    registry.py push URL REPOSITORY:TAG DIRECTORY   prints the digest
"""

import argparse
import datetime
import gzip
import hashlib
import http.client
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.parse

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
FLUX_CONFIG = "application/vnd.cncf.flux.config.v1+json"
FLUX_CONTENT = "application/vnd.cncf.flux.content.v1.tar+gzip"

CREATED = "org.opencontainers.image.created"
SOURCE = "org.opencontainers.image.source"
REVISION = "org.opencontainers.image.revision"
TITLE = "org.opencontainers.image.title"


class Symlink:
    """An entry of a layer that points at `target`."""

    def __init__(self, target):
        self.target = target


class Hardlink:
    """An entry of a layer that shares the contents of the earlier entry `target`."""

    def __init__(self, target):
        self.target = target


class Directory:
    """An entry of a layer for a directory; those above files need none."""

    def __init__(self, mode=0o755):
        self.mode = mode


def make_tar(entries, mtime=0, tar_format=tarfile.PAX_FORMAT):
    """The bytes of a tar with `entries` in their order: {path: what}.

    `what` is bytes, (bytes, mode), Symlink, Hardlink or Directory. Equal entries, equal bytes.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tar_format) as tar:
        for path, what in entries.items():
            info = tarfile.TarInfo(path)
            info.mtime = mtime
            info.mode = 0o644
            contents = b""
            if isinstance(what, Symlink):
                info.type, info.linkname, info.mode = tarfile.SYMTYPE, what.target, 0o777
            elif isinstance(what, Hardlink):
                info.type, info.linkname = tarfile.LNKTYPE, what.target
            elif isinstance(what, Directory):
                info.type, info.mode = tarfile.DIRTYPE, what.mode
            elif isinstance(what, tuple):
                contents, info.mode = what
            else:
                contents = what
            info.size = len(contents)
            tar.addfile(info, io.BytesIO(contents))
    return buffer.getvalue()


def compress(data, level=6):
    """gzip without a time stamp, so that equal data gives equal bytes."""
    return gzip.compress(data, compresslevel=level, mtime=0)


def make_layer(entries, mtime=0, level=6):
    """A deterministic tar.gz of `entries`, as make_tar takes them."""
    return compress(make_tar(entries, mtime), level)


def read_directory(directory):
    """The entries of a directory on disk, in the form make_tar takes, in path order."""
    entries = {}
    for parent, directories, files in os.walk(directory):
        directories.sort()
        below = os.path.relpath(parent, directory)
        if below != ".":
            entries[below] = Directory(os.stat(parent).st_mode & 0o777)
        for name in sorted(files + [d for d in directories
                                    if os.path.islink(os.path.join(parent, d))]):
            path = os.path.join(parent, name)
            key = os.path.normpath(os.path.join(below, name))
            if os.path.islink(path):
                entries[key] = Symlink(os.readlink(path))
            else:
                with open(path, "rb") as file:
                    entries[key] = (file.read(), os.stat(path).st_mode & 0o777)
    return entries


def make_layer_from_directory(directory, level=6):
    return make_layer(read_directory(directory), level=level)


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def sha256_of_file(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return "sha256:" + digest.hexdigest()


def _request(method, url, body=None, headers=None, expected=(200, 201, 202)):
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=300)
    try:
        target = parts.path + ("?" + parts.query if parts.query else "")
        connection.request(method, target, body=body, headers=headers or {})
        response = connection.getresponse()
        text = response.read()
        if response.status not in expected:
            raise RuntimeError(f"{method} {url}: HTTP {response.status} {text[:500]!r}")
        return response
    finally:
        connection.close()


def push_blob(base_url, repository, blob):
    """Uploads bytes, or the file of that path as a stream. Returns (digest, size)."""
    is_path = isinstance(blob, str)
    digest = sha256_of_file(blob) if is_path else sha256(blob)
    size = os.path.getsize(blob) if is_path else len(blob)
    url = f"{base_url}/v2/{repository}/blobs"
    if _request("HEAD", f"{url}/{digest}", expected=(200, 404)).status == 200:
        return digest, size
    location = _request("POST", f"{url}/uploads/", body=b"").getheader("Location")
    location = urllib.parse.urljoin(base_url, location)
    location += ("&" if "?" in location else "?") + "digest=" + digest
    headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
    if is_path:
        with open(blob, "rb") as file:
            _request("PUT", location, body=file, headers=headers)
    else:
        _request("PUT", location, body=blob, headers=headers)
    return digest, size


def push_manifest(base_url, repository, tag, manifest, media_type=OCI_MANIFEST):
    """Puts a manifest (a dict, or bytes as they are) under `tag`. Returns (digest, size)."""
    body = manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode()
    digest = sha256(body)
    _request("PUT", f"{base_url}/v2/{repository}/manifests/{tag or digest}", body=body,
             headers={"Content-Type": media_type})
    return digest, len(body)


def push_layers(base_url, repository, tag, layers, annotations=None,
                config_media_type=FLUX_CONFIG):
    """Pushes an artifact of several layers: [(bytes or path, media type, annotations)].

    `tag` may be None: the artifact is then only found by its digest. Returns (digest, size).
    """
    descriptors = []
    for blob, media_type, layer_annotations in layers:
        digest, size = push_blob(base_url, repository, blob)
        descriptor = {"mediaType": media_type, "digest": digest, "size": size}
        if layer_annotations:
            descriptor["annotations"] = layer_annotations
        descriptors.append(descriptor)
    config_digest, config_size = push_blob(base_url, repository, b"{}")
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": config_media_type, "digest": config_digest, "size": config_size},
        "layers": descriptors,
    }
    if annotations:
        manifest["annotations"] = annotations
    return push_manifest(base_url, repository, tag, manifest)


def push_artifact(base_url, repository, tag, layer, media_type=FLUX_CONTENT, annotations=None,
                  config_media_type=FLUX_CONFIG):
    """Pushes an artifact of one layer (bytes, or the path of a file). Returns its digest."""
    layers = [(layer, media_type, None)]
    return push_layers(base_url, repository, tag, layers, annotations, config_media_type)[0]


def push_index(base_url, repository, tag, children, annotations=None):
    """Pushes an index over [(digest, size, platform or None)]. Returns its digest."""
    manifests = []
    for digest, size, platform in children:
        descriptor = {"mediaType": OCI_MANIFEST, "digest": digest, "size": size}
        if platform:
            system, architecture = platform.split("/")
            descriptor["platform"] = {"os": system, "architecture": architecture}
        manifests.append(descriptor)
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests}
    if annotations:
        index["annotations"] = annotations
    return push_manifest(base_url, repository, tag, index, OCI_INDEX)[0]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Registry:
    """A `docker-registry` process. Its contents stay in `storage` over stop() and start()."""

    _CONFIG = """\
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage:
  filesystem: {{rootdirectory: "{storage}"}}
  delete: {{enabled: true}}
http: {{addr: "127.0.0.1:{port}"}}
"""

    def __init__(self, storage=None):
        self._own_storage = storage is None
        self._storage = storage or tempfile.mkdtemp(prefix="ocirepofs-registry-")
        self._port = free_port()
        self._process = None

    @property
    def host(self):
        return f"127.0.0.1:{self._port}"

    @property
    def base_url(self):
        return f"http://{self.host}"

    def oci_url(self, repository):
        return f"oci://{self.host}/{repository}"

    def start(self, deadline=20):
        """Returns once /v2/ answers. After stop() the same port is used again."""
        os.makedirs(self._storage, exist_ok=True)
        config = os.path.join(self._storage, "config.yml")
        with open(config, "w") as file:
            file.write(self._CONFIG.format(storage=self._storage, port=self._port))
        log_path = os.path.join(self._storage, "registry.log")
        with open(log_path, "ab") as log:
            self._process = subprocess.Popen(["docker-registry", "serve", config],
                                             stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        end = time.monotonic() + deadline
        while True:
            if self._process.poll() is not None or time.monotonic() > end:
                self.stop()
                with open(log_path) as log:
                    raise RuntimeError("docker-registry did not start:\n" + log.read()[-2000:])
            try:
                _request("GET", self.base_url + "/v2/")
                return self
            except (OSError, http.client.HTTPException):
                time.sleep(0.02)

    def stop(self):
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def close(self):
        """stop(), and removes a storage directory that start() had to make."""
        self.stop()
        if self._own_storage:
            shutil.rmtree(self._storage, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, *unused):
        self.close()


def _serve(arguments):
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *unused: sys.exit(0))
    registry = Registry(arguments.storage)
    try:
        print(registry.start().base_url, flush=True)
        while True:
            signal.pause()
    finally:
        registry.close()


def _push(arguments):
    repository, separator, tag = arguments.target.rpartition(":")
    if not separator:
        raise SystemExit(f"registry.py: '{arguments.target}' is not REPOSITORY:TAG")
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    annotations = {CREATED: arguments.created or now}
    if arguments.source:
        annotations[SOURCE] = arguments.source
    if arguments.revision:
        annotations[REVISION] = arguments.revision
    layer = make_layer_from_directory(arguments.directory)
    print(push_artifact(arguments.url, repository, tag, layer, annotations=annotations))


def main():
    parser = argparse.ArgumentParser(description="A registry on loopback, for tests and the demo.")
    commands = parser.add_subparsers(required=True)
    serve = commands.add_parser("serve", help="serve STORAGE until SIGTERM; prints the URL")
    serve.add_argument("storage")
    serve.set_defaults(run=_serve)
    push = commands.add_parser("push", help="push a directory as an artifact; prints the digest")
    push.add_argument("url", help="http://127.0.0.1:5000")
    push.add_argument("target", metavar="REPOSITORY:TAG")
    push.add_argument("directory")
    push.add_argument("--created", help="RFC 3339 time, default: now")
    push.add_argument("--source")
    push.add_argument("--revision")
    push.set_defaults(run=_push)
    arguments = parser.parse_args()
    arguments.run(arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main())
