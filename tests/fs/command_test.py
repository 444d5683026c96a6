"""The command line: mounting, unmounting, and refusing to.

Run by ctest; OCIREPOFS names the program."""

import os
import re
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import mount
import mount_case
from mount import repository, wait_until
from mount_case import MountTestCase


class CommandLine(MountTestCase):
    """Mounting, unmounting, and refusing to."""

    def run_program(self, *arguments):
        return subprocess.run([mount.program(), *arguments], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              timeout=mount.DEADLINE)

    def daemonise(self, daemon):
        result = subprocess.run(daemon.command(), stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                timeout=mount.DEADLINE)
        self.addCleanup(self.end, daemon)
        return result

    def end(self, daemon):
        for pid in mount.processes_naming(daemon.mountpoint):
            os.kill(pid, signal.SIGKILL)

    def configured(self, name):
        digest = self.push(name, {"a": b"x"})
        daemon = self.daemon()
        daemon.write_config("c.yaml", repository(name, self.url(name)))
        return daemon, digest

    def wait_ended(self, daemon, deadline=mount.DEADLINE):
        wait_until("the unmount", lambda: not mount.is_mounted(daemon.mountpoint), deadline)
        wait_until("the daemon's end", lambda: not mount.processes_naming(daemon.mountpoint),
                   deadline)

    def test_the_mount_command_returns_when_the_tree_can_be_read(self):
        daemon, digest = self.configured("command")
        result = self.daemonise(daemon)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertTrue(mount.is_mounted(daemon.mountpoint))
        self.assertEqual(sorted(os.listdir(daemon.mountpoint)), [".status", "command"])
        self.assertEqual(daemon.status("command")["kind"], "OCIRepository")
        daemon.wait_ready("command", digest)
        for pid in mount.processes_naming(daemon.mountpoint):
            os.kill(pid, signal.SIGTERM)
        self.wait_ended(daemon)

    def test_cached_contents_are_there_when_it_returns(self):
        daemon, digest = self.configured("command-cached")
        daemon.start()
        daemon.wait_ready("command-cached", digest)
        daemon.stop()
        self.assertEqual(self.daemonise(daemon).returncode, 0)
        self.assertEqual(daemon.read("command-cached", "a"), b"x")

    def test_unmount_ends_the_daemon_and_frees_the_cache(self):
        daemon, digest = self.configured("command-unmount")
        self.assertEqual(self.daemonise(daemon).returncode, 0)
        daemon.wait_ready("command-unmount", digest)
        result = self.run_program("unmount", daemon.mountpoint)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertFalse(mount.is_mounted(daemon.mountpoint))
        self.wait_ended(daemon)
        daemon.start()
        self.assertEqual(daemon.read("command-unmount", "a"), b"x")

    def test_unmount_of_what_is_not_mounted_says_so(self):
        with tempfile.TemporaryDirectory() as directory:
            result = self.run_program("unmount", directory)
        self.assertEqual(result.returncode, 1)
        self.assertIn(directory, result.stderr)

    def test_sigterm_and_sigint_unmount(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            daemon, digest = self.configured("command-signal")
            daemon.start()
            daemon.wait_ready("command-signal", digest)
            os.kill(daemon.pid, number)
            self.assertEqual(daemon.wait_exit(10), 0, daemon.log())
            self.assertFalse(mount.is_mounted(daemon.mountpoint))

    def test_a_busy_mount_is_left_within_five_seconds(self):
        daemon, digest = self.configured("command-busy")
        daemon.start()
        daemon.wait_ready("command-busy", digest)
        descriptor = os.open(daemon.path("command-busy"), os.O_RDONLY)
        self.addCleanup(os.close, descriptor)
        with open(daemon.path("command-busy", "a")):
            os.kill(daemon.pid, signal.SIGTERM)
            daemon.wait_exit(5)
            self.assertFalse(mount.is_mounted(daemon.mountpoint))

    def test_a_missing_config_is_named(self):
        with tempfile.TemporaryDirectory() as directory:
            result = self.run_program(directory + "/no-such-config", directory,
                                      "-o", f"cache={directory}/cache")
            self.assertFalse(mount.is_mounted(directory))
        self.assertEqual(result.returncode, 1)
        self.assertIn("no-such-config", result.stderr)

    def test_a_missing_mountpoint_is_named(self):
        daemon = self.daemon()
        os.rmdir(daemon.mountpoint)
        result = self.daemonise(daemon)
        self.assertEqual(result.returncode, 1)
        self.assertIn(daemon.mountpoint, result.stderr)
        with open(daemon.mountpoint, "w"):
            pass
        result = self.daemonise(daemon)
        self.assertEqual(result.returncode, 1)
        self.assertIn(daemon.mountpoint, result.stderr)
        self.assertEqual(mount.processes_naming(daemon.mountpoint), [])

    def test_a_bad_option_is_wrong_usage(self):
        for option in ("no_such_option", "max_files=many"):
            result = self.run_program("/etc", "/mnt", "-o", option)
            self.assertEqual(result.returncode, 2, option)
            self.assertIn(option.split("=")[0], result.stderr)

    def test_options_of_every_mount_are_accepted(self):
        daemon, digest = self.configured("command-fstab")
        daemon._options += ["ro", "nodev", "_netdev", "noauto", "x-systemd.automount"]
        daemon.start()
        daemon.wait_ready("command-fstab", digest)

    def test_help_and_version_go_to_standard_output(self):
        for option in ("--help", "--version"):
            result = self.run_program(option)
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            self.assertIn("ocirepofs", result.stdout)
        self.assertIn("max_files", self.run_program("--help").stdout)

    def test_no_arguments_are_wrong_usage(self):
        result = self.run_program()
        self.assertEqual((result.returncode, result.stdout), (2, ""))
        self.assertNotEqual(result.stderr, "")

    def test_a_second_daemon_on_the_cache_is_refused(self):
        first, digest = self.configured("command-lock")
        self.assertEqual(self.daemonise(first).returncode, 0)
        first.wait_ready("command-lock", digest)
        second = self.daemon(cache=first.cache)
        result = self.daemonise(second)
        self.assertEqual(result.returncode, 1)
        self.assertFalse(mount.is_mounted(second.mountpoint))
        self.assertIn(first.cache, result.stderr)
        holders = {str(pid) for pid in mount.processes_naming(first.mountpoint)}
        self.assertTrue(holders & set(re.findall(r"\d+", result.stderr)),
                        f"{result.stderr!r} names none of {holders}")
        self.assertEqual(first.read("command-lock", "a"), b"x")

    def test_validate_names_file_and_line(self):
        daemon, _ = self.configured("command-validate")
        result = self.run_program("validate", daemon.config)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        bad = repository("bad", "https://example.org/not-oci")
        daemon.write_config("z.yaml", repository("good", "oci://example.org/good"), bad)
        result = self.run_program("validate", daemon.config)
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stdout + result.stderr, r"z\.yaml:\d+:\d+: .*url")


if __name__ == "__main__":
    mount_case.main()
