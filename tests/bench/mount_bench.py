"""Measures ocirepofs beside the same tree extracted on the disk and beside squashfuse_ll.

Runs are interleaved, results are medians, the output is Markdown. Needs root (to drop the kernel's
caches, and to mount), about 6 GiB below WORK, and some minutes; the corpora are made once a WORK.
"""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import corpus
import mount
import registry
from mount import Daemon, repository, wait_until

PARTS = ("warm", "cold", "pull", "memory", "many")
TREE_WORKLOADS = {
    "find": "find . -type f | wc -l",
    "ls -lR": "ls -lR . >/dev/null",
    "grep -r": "grep -r no-such-word-anywhere . || true",
    "tar": "tar -cf - . | cat >/dev/null",
}
FILE_WORKLOADS = {"cat of 1 file": "cat large.bin >/dev/null"}
REQUESTS = re.compile(r"requests (lookup=\d+ .*total=\d+)")


def run_timed(command, directory):
    begin = time.monotonic()
    subprocess.run(["sh", "-c", command], cwd=directory, check=True, stdout=subprocess.DEVNULL,
                   env={**os.environ, "LC_ALL": "C"})
    return time.monotonic() - begin


def drop_caches():
    """Drops them, and lets what that sets off (inodes being forgotten, write-back) come to an end."""
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w") as file:
        file.write("3\n")
    time.sleep(0.5)


def worker(daemon):
    """The process that serves: the one of the daemon's that answers SIGUSR1; None if none does."""
    for pid in mount.processes_naming(daemon.mountpoint):
        with open(f"/proc/{pid}/status") as file:
            caught = int(re.search(r"^SigCgt:\s*(\w+)", file.read(), re.MULTILINE).group(1), 16)
        if caught & (1 << 9):
            return pid
    return None


def request_counts(daemon):
    """{kind: number since the start}, as the daemon logs them on SIGUSR1; {} without a worker."""
    pid = worker(daemon)
    if pid is None:
        return {}

    def lines():
        with open(daemon.log_path) as file:
            return REQUESTS.findall(file.read())

    before = len(lines())
    os.kill(pid, 10)
    wait_until("the request counts in the log", lambda: len(lines()) > before, 10)
    return {kind: int(n) for kind, n in re.findall(r"(\w+)=(\d+)", lines()[-1])}


def memory_of(daemon):
    """(VmRSS, RssAnon) in KiB, over all of the daemon's processes."""
    resident = anonymous = 0
    for pid in mount.processes_naming(daemon.mountpoint):
        with open(f"/proc/{pid}/status") as file:
            sizes = dict(re.findall(r"^(VmRSS|RssAnon):\s*(\d+)", file.read(), re.MULTILINE))
        resident += int(sizes.get("VmRSS", 0))
        anonymous += int(sizes.get("RssAnon", 0))
    return resident, anonymous


def print_table(title, header, rows):
    print(f"\n### {title}\n\n| {' | '.join(header)} |\n|{'---|' * len(header)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    sys.stdout.flush()


def seconds(value):
    return f"{value:.3f}" if value < 1 else f"{value:.2f}"


class Bench:
    def __init__(self, arguments):
        self.arguments = arguments
        self.work = os.path.abspath(arguments.work)
        os.makedirs(self.work, exist_ok=True)
        self.registry = registry.Registry(os.path.join(self.work, "registry"))
        self.options = [f"max_files={2 * max(arguments.files, arguments.many_files)}",
                        "max_size=16G"]
        self.daemons = []
        self.squashfs_mounts = set()

    def close(self):
        self.registry.close()
        for daemon in self.daemons:
            daemon.close()
            shutil.rmtree(daemon.work, ignore_errors=True)
        for directory in self.squashfs_mounts:
            mount.clean_mount(directory)
            os.rmdir(directory)

    # What is measured

    def daemon(self, name):
        work = os.path.join(self.work, name)
        if os.path.isdir(work):
            mount.clean_mount(os.path.join(work, "mnt"))
            shutil.rmtree(work)
        daemon = Daemon(self.options, work=work)
        self.daemons.append(daemon)
        return daemon

    def end(self, daemon):
        daemon.stop()
        self.daemons.remove(daemon)
        shutil.rmtree(daemon.work)

    def push(self, source):
        return registry.push_artifact(self.registry.base_url, source.name.lower(), "latest",
                                      source.tarball)

    def manifest(self, source):
        name = source.name.lower()
        # Nothing is filtered: the other two show everything as well.
        return repository(name, self.registry.oci_url(name), interval="1h", ignore="/nothing\n")

    def follow(self, daemon, source):
        digest = self.push(source)
        daemon.write_config(f"{source.name.lower()}.yaml", self.manifest(source))
        daemon.wait_ready(source.name.lower(), digest, deadline=600)

    def mount_squashfs(self, source):
        directory = os.path.join(self.work, f"{source.name}.squashfuse")
        os.makedirs(directory, exist_ok=True)
        mount.clean_mount(directory)
        subprocess.run(["squashfuse_ll", source.squashfs, directory], check=True)
        self.squashfs_mounts.add(directory)
        return directory

    # The parts

    def reading(self, cold):
        """Walks and reads of all three, warm or cold."""
        small = corpus.small(self.work, self.arguments.files)
        large = corpus.large(self.work, self.arguments.mebibytes)
        daemon = self.daemon("reading").start()
        for source, workloads in ((small, TREE_WORKLOADS), (large, FILE_WORKLOADS)):
            source.make_squashfs()
            self.follow(daemon, source)
            places = {
                "disk": source.tree,
                "squashfuse_ll": self.mount_squashfs(source),
                "ocirepofs": daemon.path(source.name.lower()),
            }
            times = {(w, p): [] for w in workloads for p in places}
            counts = {w: [] for w in workloads}
            for _ in range(self.arguments.runs):
                for workload, command in workloads.items():
                    for place, directory in places.items():
                        if cold:
                            drop_caches()
                        else:
                            # Just before: a kernel that reclaims idle pages would take some back
                            # while the others have their turn.
                            run_timed(command, directory)
                        is_ours = place == "ocirepofs"
                        before = request_counts(daemon) if is_ours else {}
                        times[workload, place].append(run_timed(command, directory))
                        if is_ours:
                            after = request_counts(daemon)
                            counts[workload].append({k: after[k] - before[k] for k in after})
            self.print_reading(f"{source.name}, {'cold' if cold else 'warm'}", list(places),
                               times, counts)
        self.end(daemon)

    def print_reading(self, title, places, times, counts):
        rows = []
        for workload in counts:
            medians = {p: statistics.median(times[workload, p]) for p in places}
            row = [workload] + [seconds(medians[p]) for p in places]
            row += [f"{medians['ocirepofs'] / medians[p]:.2f}" for p in ("disk", "squashfuse_ll")]
            spread = statistics.quantiles(times[workload, "ocirepofs"], n=4)
            row.append(f"{seconds(spread[0])} to {seconds(spread[2])}")
            last = counts[workload][-1]
            row.append(" ".join(f"{k}={n}" for k, n in last.items() if n) or ("0" if last else "-"))
            rows.append(row)
        header = ["workload", *(f"{p}, s" for p in places), "ratio to disk",
                  "ratio to squashfuse_ll", "quartiles, s", "requests"]
        print_table(title, header, rows)

    def pull(self):
        """From a manifest that appears in CONFIG to a tree that can be read, against tar -xzf."""
        rows = []
        for source in (corpus.small(self.work, self.arguments.files),
                       corpus.large(self.work, self.arguments.mebibytes)):
            digest = self.push(source)
            name = source.name.lower()
            ours, theirs = [], []
            for _ in range(min(self.arguments.runs, 5)):
                daemon = self.daemon("pull").start()
                os.sync()
                begin = time.monotonic()
                daemon.write_config("pull.yaml", self.manifest(source))
                daemon.wait_ready(name, digest, deadline=600)
                ours.append(time.monotonic() - begin)
                self.end(daemon)

                target = os.path.join(self.work, "untar")
                os.mkdir(target)
                os.sync()
                theirs.append(run_timed(f"tar -xzf {source.tarball} -C . && sync -f .", target))
                shutil.rmtree(target)
            mine, other = statistics.median(ours), statistics.median(theirs)
            rows.append([source.name, seconds(other), seconds(mine), f"{mine / other:.2f}"])
        print_table("digest to readable tree, with the download from loopback",
                    ["artifact", "tar -xzf and sync, s", "ocirepofs, s", "ratio"], rows)

    def memory(self):
        rows = []
        for source in (corpus.small(self.work, self.arguments.files),
                       corpus.many(self.work, self.arguments.many_files)):
            daemon = self.daemon("memory").start()
            samples = [("started", memory_of(daemon))]
            self.follow(daemon, source)
            samples.append(("pulled", memory_of(daemon)))
            root = daemon.path(source.name.lower())
            for workload in ("find", "ls -lR", "grep -r"):
                run_timed(TREE_WORKLOADS[workload], root)
            samples.append(("walked and read", memory_of(daemon)))
            daemon.stop()
            daemon.start()
            run_timed(TREE_WORKLOADS["ls -lR"], root)
            samples.append(("restarted and walked", memory_of(daemon)))
            for when, (resident, anonymous) in samples:
                rows.append([source.name, when, f"{resident / 1024:.1f}",
                             f"{anonymous / 1024:.1f}"])
            self.end(daemon)
        print_table("memory of the daemon", ["artifact", "when", "VmRSS, MiB", "RssAnon, MiB"],
                    rows)

    def many(self):
        """Mounting with many repositories in the cache, and no registry."""
        count = self.arguments.repositories
        names = [f"repository-{number:04}" for number in range(count)]
        daemon = self.daemon("many")
        digests = {}
        for name in names:
            entries = {f"deploy/file-{i:02}.yaml": f"{name} {i}\n".encode() * 20 for i in range(20)}
            digests[name] = registry.push_artifact(self.registry.base_url, name, "latest",
                                                   registry.make_layer(entries))
            daemon.write_config(f"{name}.yaml", repository(
                name, self.registry.oci_url(name), interval="1h"))
        begin = time.monotonic()
        daemon.start()
        for name in names:
            daemon.wait_ready(name, digests[name], deadline=600)
        pulled = time.monotonic() - begin
        daemon.stop()
        self.registry.stop()

        mounted, listed, resident = [], [], []
        for _ in range(self.arguments.runs):
            begin = time.monotonic()
            subprocess.run(daemon.command(), check=True, stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL)
            mounted.append(time.monotonic() - begin)
            found = subprocess.run(["ls", daemon.mountpoint], check=True,
                                   stdout=subprocess.PIPE).stdout.split()
            daemon.read(names[-1], "deploy", "file-00.yaml")
            listed.append(time.monotonic() - begin)
            if len(found) != count:
                raise RuntimeError(f"{len(found)} of {count} repositories are there")
            resident.append(memory_of(daemon))
            subprocess.run([mount.program(), "unmount", daemon.mountpoint], check=True)
            wait_until("the daemon's end",
                       lambda: not mount.processes_naming(daemon.mountpoint))
        self.registry.start()
        rows = [["all pulled from loopback, s", seconds(pulled)],
                ["mount command returns, s", seconds(statistics.median(mounted))],
                ["listed, and a file of the last one read, s",
                 seconds(statistics.median(listed))],
                ["VmRSS, MiB", f"{statistics.median(r for r, _ in resident) / 1024:.1f}"],
                ["RssAnon, MiB", f"{statistics.median(a for _, a in resident) / 1024:.1f}"]]
        print_table(f"{count} repositories in the cache, the registry stopped",
                    ["measure", "median"], rows)

    def run(self):
        print(f"{describe_machine(self.work)}; {self.arguments.runs} runs each", flush=True)
        self.registry.start()
        parts = {"warm": lambda: self.reading(False), "cold": lambda: self.reading(True),
                 "pull": self.pull, "memory": self.memory, "many": self.many}
        for part in self.arguments.only:
            parts[part]()


def describe_machine(work):
    with open("/proc/cpuinfo") as file:
        model = re.search(r"^model name\s*:\s*(.*)$", file.read(), re.MULTILINE)
    kind = subprocess.run(["findmnt", "-n", "-o", "FSTYPE", "-T", work], check=True,
                          stdout=subprocess.PIPE, text=True).stdout.strip()
    with open("/proc/meminfo") as file:
        memory = int(re.search(r"MemTotal:\s*(\d+)", file.read()).group(1)) >> 20
    return (f"{os.cpu_count()} CPUs ({model.group(1) if model else 'unknown'}), {memory} GiB, "
            f"Linux {os.uname().release}, the disk is {kind}")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", metavar="WORK", help="a directory on the disk to compare with")
    parser.add_argument("--only", default=",".join(PARTS), metavar="PARTS",
                        help=f"some of {','.join(PARTS)} (default: all)")
    parser.add_argument("--runs", type=int, default=7, help="runs of each measurement")
    parser.add_argument("--files", type=int, default=50_000, help="files of corpus S")
    parser.add_argument("--many-files", type=int, default=500_000, help="files of corpus M")
    parser.add_argument("--mebibytes", type=int, default=1024, help="size of corpus L")
    parser.add_argument("--repositories", type=int, default=1000, help="for the part `many`")
    arguments = parser.parse_args()
    arguments.only = arguments.only.split(",")
    for part in arguments.only:
        if part not in PARTS:
            parser.error(f"'{part}' is none of {', '.join(PARTS)}")
    if arguments.runs < 2:
        parser.error("a median needs at least 2 runs")
    if os.geteuid() != 0:
        parser.error("needs root: to drop the kernel's caches, and to mount")
    if not os.environ.get("OCIREPOFS"):
        parser.error("OCIREPOFS does not name the program; mount_bench.sh builds and names it")
    return arguments


def main():
    bench = Bench(parse_arguments())
    try:
        bench.run()
    finally:
        bench.close()


if __name__ == "__main__":
    main()
