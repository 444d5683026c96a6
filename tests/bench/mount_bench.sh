#!/usr/bin/env bash
# Compares a mount with an extracted tree and with squashfuse; see mount_bench.py --help.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
# shellcheck source=../support/packages.sh
. "$root/tests/support/packages.sh"
install_packages "${build_packages[@]}" "${bench_packages[@]}" python3-yaml

if [[ -z "${OCIREPOFS-}" ]]; then
  (cd "$root" && cmake --preset release >/dev/null &&
    cmake --build --preset release --target ocirepofs >&2)
  export OCIREPOFS="$root/build/release/ocirepofs"
fi
exec /usr/bin/python3 "$root/tests/bench/mount_bench.py" "$@"
