#!/usr/bin/env bash
# Builds everything and runs every test. Arguments go to ctest: ./test.sh -R mount
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=tests/support/packages.sh
. tests/support/packages.sh

if [[ "${1-}" == --help || "${1-}" == -h ]]; then
  cat <<'END'
usage: ./test.sh [CTEST-OPTIONS]      for example -R mount, or --rerun-failed

Installs the Debian packages that are missing, builds the preset `dev`, and runs the tests.
Those that need root or /dev/fuse are reported as skipped where it is missing.
END
  exit 0
fi

install_packages "${build_packages[@]}" "${test_packages[@]}"
cmake --preset dev
cmake --build --preset dev
ctest --preset dev -j2 "$@"
