"""What is written about the program is what it does: `--help`, man/ocirepofs.8 and README.md.

Run by ctest; OCIREPOFS names the program."""

import glob
import os
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
MANUAL = os.path.join(ROOT, "man", "ocirepofs.8")


def read(path):
    with open(path) as file:
        return file.read()


def run(*command):
    return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=60)


def program(*arguments):
    return run(os.environ["OCIREPOFS"], *arguments)


def help_options():
    """{name: default} of the mount options that --help lists."""
    text = program("--help").stdout
    table = text.split("Mount options (-o):\n")[1].split("\n\n")[0]
    options = {}
    for line in table.splitlines():
        name, default = re.fullmatch(r"([a-z_]+)(?:=\S+)? .* \((.+)\)", line).groups()
        options[name] = default
    return options


def manual_options():
    """{name: its description} of the mount options in the manual, macros left out."""
    section = read(MANUAL).split(".Ss Mount options\n")[1].split("\n.El\n")[0]
    options = {}
    for item in re.split(r"^\.It ", section, flags=re.MULTILINE)[1:]:
        head, body = item.split("\n", 1)
        text = re.sub(r"^\.[A-Z][a-z] ", "", body, flags=re.MULTILINE).replace("\n", " ")
        for name in re.findall(r"Cm ([a-z_]+)(?= Ns = | *$)", head):
            options[name] = re.sub(r" ([,.;])(?= |$)", r"\1", text)
    return options


class Options(unittest.TestCase):
    # How the manual says the defaults that are not a word of their own.
    PHRASES = {
        "no limit": "The default is no limit.",
        "the daemon's": "The default is those of the daemon.",
        "off": None,  # a switch is off where it is not given
    }

    def test_the_manual_lists_those_of_the_help(self):
        self.assertEqual(sorted(manual_options()), sorted(help_options()))

    def test_in_the_same_order(self):
        self.assertEqual(list(manual_options()), list(help_options()))

    def test_with_the_same_defaults(self):
        manual = manual_options()
        for name, default in help_options().items():
            if name == "cache":
                continue
            with self.subTest(option=name):
                phrase = self.PHRASES.get(default, f"The default is {default}.")
                if phrase is None:
                    self.assertNotIn("default is", manual[name])
                elif name == "layout":
                    self.assertIn(f"With {default}, the default,", manual[name])
                else:
                    self.assertIn(phrase, manual[name])

    def test_the_cache_is_where_the_manual_says(self):
        text = manual_options()["cache"]
        self.assertIn("/var/cache/ocirepofs for root", text)
        self.assertIn("$XDG_CACHE_HOME/ocirepofs or ~/.cache/ocirepofs for others", text)
        if os.geteuid() == 0:
            self.assertEqual(help_options()["cache"], "/var/cache/ocirepofs")


class Verbs(unittest.TestCase):
    def help_verbs(self):
        section = program("--help").stdout.split("Subcommands:\n")[1].split("\n\n")[0]
        return re.findall(r"^  ([a-z]+)", section, re.MULTILINE)

    def test_the_manual_has_each(self):
        manual = read(MANUAL)
        synopsis = manual.split(".Sh SYNOPSIS\n")[1].split(".Sh")[0]
        described = manual.split("The commands are:\n")[1].split("\n.El\n")[0]
        items = re.findall(r"^\.It (?:Op )?Cm ([a-z]+)", described, re.MULTILINE)
        self.assertEqual(re.findall(r"^\.Cm ([a-z]+)", synopsis, re.MULTILINE), self.help_verbs())
        self.assertEqual(items, self.help_verbs())

    def test_the_manual_has_no_flag_that_the_program_lacks(self):
        options = read(MANUAL).split("The options are:\n")[1].split("\n.El\n")[0]
        heads = re.findall(r"^\.It (Fl .*)", options, re.MULTILINE)
        flags = [flag for head in heads for flag in re.findall(r"Fl (\S+)", head)]
        self.assertEqual(flags, ["f", "o", "h", "-help", "-version"])
        texts = program("--help").stdout + program("mount", "--help").stdout
        for flag in flags:
            self.assertRegex(texts, rf"(?m)^ +(-\w,)?-{flag}\b")

    def test_version(self):
        version = re.search(r"project\(ocirepofs VERSION (\S+)", read(f"{ROOT}/CMakeLists.txt"))[1]
        self.assertEqual(program("--version").stdout, f"ocirepofs {version}\n")

    def test_exit_statuses(self):
        manual = read(MANUAL).split(".Sh EXIT STATUS\n")[1].split("\n.El\n")[0]
        statuses = re.findall(r"^\.It (\d+)", manual, re.MULTILINE)
        said = re.search(r"Exit status: (.*)\.", program("--help").stdout)[1]
        self.assertEqual(re.findall(r"\d+", said), statuses)


class Manual(unittest.TestCase):
    def test_mandoc_finds_no_fault(self):
        lint = run("mandoc", "-T", "lint", MANUAL)
        faults = [line for line in lint.stdout.splitlines() if "mandoc.db" not in line]
        self.assertEqual(faults, [])

    def test_it_renders(self):
        text = run("mandoc", "-T", "ascii", MANUAL)
        self.assertEqual(text.returncode, 0, text.stderr)
        self.assertIn("OCIREPOFS(8)", text.stdout)


class Examples(unittest.TestCase):
    def assert_valid(self, text):
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            file.write(text)
            file.flush()
            result = program("validate", file.name)
        self.assertEqual((result.returncode, result.stderr), (0, ""), text)
        count = text.count("kind: OCIRepository")
        self.assertIn(f"{count} OCIRepository manifest{'s' if count != 1 else ''} valid, 0 errors",
                      result.stdout)

    def test_each_file_of_conf_examples(self):
        files = glob.glob(f"{ROOT}/conf/examples/*")
        self.assertTrue(files)
        for path in files:
            with self.subTest(file=os.path.basename(path)):
                self.assert_valid(read(path))

    def test_conf_examples_as_one_configuration(self):
        result = program("validate", f"{ROOT}/conf/examples")
        self.assertEqual((result.returncode, result.stderr), (0, ""))

    def test_those_of_the_readme(self):
        blocks = re.findall(r"```yaml\n(.*?)```", read(f"{ROOT}/README.md"), re.DOTALL)
        self.assertTrue(blocks)
        for block in blocks:
            self.assert_valid(block)

    def test_those_of_the_manual(self):
        blocks = re.findall(r"^\.Bd -literal.*?\n(.*?)\n\.Ed", read(MANUAL), re.DOTALL | re.M)
        manifests = [block for block in blocks if "kind:" in block]
        self.assertTrue(manifests)
        for block in manifests:
            self.assert_valid(block.replace("\\e", "\\") + "\n")


class Limits(unittest.TestCase):
    """What is said not to work yet is refused, and everything that is refused is said."""

    MANIFEST = """
apiVersion: source.toolkit.fluxcd.io/v1
kind: OCIRepository
metadata:
  name: a
spec:
  url: oci://registry.example.com/a
  interval: 5m
  {}
"""
    FIELDS = {
        "secretRef": "secretRef: {name: a}",
        "serviceAccountName": "serviceAccountName: a",
        "certSecretRef": "certSecretRef: {name: a}",
        "proxySecretRef": "proxySecretRef: {name: a}",
        "verify": "verify: {provider: cosign}",
        "provider": "provider: aws",
    }

    def validate(self, line):
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            file.write(self.MANIFEST.format(line))
            file.flush()
            return program("validate", file.name)

    def test_unsupported_fields_are_those_of_the_manual_and_the_readme(self):
        section = read(MANUAL).split(".Ss Manifests\n")[1].split("not supported yet")[0]
        in_manual = set(re.findall(r"^\.Li (\w+) ?,?$", section.split("The fields\n")[1], re.M))
        readme = read(f"{ROOT}/README.md")
        sentence = re.search(r"a manifest with (.*?) is refused", readme, re.S)[1]
        refused = {field for field, line in self.FIELDS.items()
                   if "not supported yet" in self.validate(line).stderr}
        self.assertEqual(in_manual, refused)
        self.assertEqual(set(re.findall(r"`(\w+)`", sentence)), refused)

    def test_other_fields_are_taken(self):
        for line in ("insecure: true", "suspend: true", "timeout: 30s", "provider: generic",
                     "layerSelector: {operation: copy}", "ref: {semver: 1.x, semverFilter: '.*'}"):
            with self.subTest(line=line):
                self.assertEqual(self.validate(line).returncode, 0)


class Readme(unittest.TestCase):
    def test_its_links_lead_somewhere(self):
        links = re.findall(r"\]\(([^)#]+)\)", read(f"{ROOT}/README.md"))
        local = [link for link in links if "://" not in link]
        self.assertTrue(local)
        for link in local:
            self.assertTrue(os.path.exists(os.path.join(ROOT, link)), link)

    def test_the_fstab_line_is_that_of_the_manual(self):
        line = "/etc/ocirepofs /mnt/oci fuse.ocirepofs ro,allow_other,_netdev 0 0"
        self.assertIn(line, read(f"{ROOT}/README.md"))
        self.assertIn(line, read(MANUAL))

    def test_its_libraries_are_those_that_are_installed(self):
        packages = set(re.findall(r"\b(lib[a-z0-9+-]+-dev|nlohmann-json3-dev)\b",
                                  read(f"{ROOT}/README.md")))
        script = read(f"{ROOT}/tests/support/packages.sh")
        for package in packages:
            self.assertRegex(script, rf"(?<![\w-]){re.escape(package)}(?![\w-])")


if __name__ == "__main__":
    if not os.environ.get("OCIREPOFS"):
        sys.exit("OCIREPOFS does not name the program to test")
    unittest.main(verbosity=2)
