"""The trees that the benchmark reads. Seeded: the same on every machine. Made once a directory."""

import io
import os
import random
import shutil
import subprocess
import tarfile

WORDS_SEED = 1
BUFFER_SIZE = 8 << 20


def _text(seed, size):
    """Words of a made-up vocabulary, in lines: compresses about as configuration does."""
    chance = random.Random(seed)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(chance.choices(letters, k=chance.randint(2, 11))) for _ in range(500)]
    pieces, total = [], 0
    while total < size:
        line = "  " * chance.randint(0, 3) + " ".join(chance.choices(words, k=8)) + "\n"
        pieces.append(line)
        total += len(line)
    return "".join(pieces)[:size].encode()


def _directories(chance, count):
    """Paths of `count` directories, of which those with files lie four to six levels deep."""
    leaves = []
    tops = [f"team-{i:02}" for i in range(8)]
    while len(leaves) < count:
        depth = chance.randint(4, 6)
        parts = [chance.choice(tops)]
        for level in range(1, depth - 1):
            parts.append(f"{'abcdef'[level]}{chance.randrange(2)}")
        parts.append(f"unit-{len(leaves):05}")
        leaves.append("/".join(parts))
    return leaves


def small_files(count, directories, smallest, largest, seed):
    """Yields (path, contents) in path order."""
    chance = random.Random(seed)
    buffer = _text(WORDS_SEED, BUFFER_SIZE)
    leaves = _directories(chance, directories)
    paths = sorted(f"{leaves[i % len(leaves)]}/config-{i:06}.yaml" for i in range(count))
    for path in paths:
        size = chance.randint(smallest, largest)
        offset = chance.randrange(BUFFER_SIZE - size)
        header = f"# {path}\n".encode()
        yield path, (header + buffer[offset:offset + size])[:size]


def large_file(path, size, seed):
    """Half of it random, half of it text, by the mebibyte."""
    chance = random.Random(seed)
    buffer = _text(WORDS_SEED, BUFFER_SIZE)
    with open(path, "wb") as file:
        for number in range(size >> 20):
            offset = chance.randrange(BUFFER_SIZE - (1 << 20))
            block = buffer[offset:offset + (1 << 20)]
            file.write(chance.randbytes(1 << 20) if number % 2 else block)


def write_tar_gz(entries, path):
    """A tar.gz of (path, contents), with its directories, without a tree on the disk."""
    gzip = subprocess.Popen(["gzip", "-n", "-6"], stdin=subprocess.PIPE, stdout=open(path, "wb"))
    known = set()
    with tarfile.open(fileobj=gzip.stdin, mode="w|", format=tarfile.USTAR_FORMAT) as tar:
        for name, contents in entries:
            parent, missing = os.path.dirname(name), []
            while parent and parent not in known:
                missing.append(parent)
                known.add(parent)
                parent = os.path.dirname(parent)
            for directory in reversed(missing):
                info = tarfile.TarInfo(directory)
                info.type, info.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(info)
            info = tarfile.TarInfo(name)
            info.size = len(contents)
            tar.addfile(info, io.BytesIO(contents))
    gzip.stdin.close()
    if gzip.wait() != 0:
        raise RuntimeError("gzip failed")


class Corpus:
    """One tree below `work`: NAME.tar.gz, and, where asked for, the extracted tree and a squashfs."""

    def __init__(self, work, name, make):
        self.name = name
        self.tarball = os.path.join(work, f"{name}.tar.gz")
        self.tree = os.path.join(work, f"{name}.tree")
        self.squashfs = os.path.join(work, f"{name}.squashfs")
        if not os.path.exists(self.tarball):
            print(f"making {self.tarball}...", flush=True)
            make(self.tarball + ".new")
            os.rename(self.tarball + ".new", self.tarball)

    def extract(self):
        if not os.path.exists(self.tree):
            new = self.tree + ".new"
            shutil.rmtree(new, ignore_errors=True)
            os.mkdir(new)
            subprocess.run(["tar", "-xzf", self.tarball, "-C", new], check=True)
            os.rename(new, self.tree)

    def make_squashfs(self):
        """With mksquashfs's defaults."""
        self.extract()
        if not os.path.exists(self.squashfs):
            new = self.squashfs + ".new"
            subprocess.run(["mksquashfs", self.tree, new, "-noappend", "-quiet", "-no-progress"],
                           check=True, stdout=subprocess.DEVNULL)
            os.rename(new, self.squashfs)


def small(work, files):
    """S: files of 1 to 16 KiB, a dozen a directory."""
    def make(path):
        write_tar_gz(small_files(files, files * 4 // 50, 1 << 10, 16 << 10, 2), path)
    return Corpus(work, f"S-{files}", make)


def many(work, files):
    """M: the same shape with files of at most 1 KiB, for what a file costs in memory."""
    def make(path):
        write_tar_gz(small_files(files, files * 4 // 50, 64, 1 << 10, 3), path)
    return Corpus(work, f"M-{files}", make)


def large(work, mebibytes):
    """L: one file."""
    def make(path):
        plain = path + ".plain"
        large_file(plain, mebibytes << 20, 4)
        subprocess.run(["tar", "-C", work, "--transform", "s,.*,large.bin,", "-czf", path,
                        "--owner=0", "--group=0", "--mtime=@0", os.path.basename(plain)],
                       check=True)
        os.unlink(plain)
    return Corpus(work, f"L-{mebibytes}", make)
