# Sourced by the scripts at the root: the Debian packages that each of them needs, and the function
# that installs those of them that are missing.
# shellcheck shell=bash disable=SC2034  # the lists are used by the scripts that source this

build_packages=(cmake ninja-build g++ pkg-config libfuse3-dev fuse3 libcurl4-openssl-dev libssl-dev
  libarchive-dev libisal-dev libzstd-dev nlohmann-json3-dev libyaml-cpp-dev libre2-dev
  libexpected-dev libcli11-dev libspdlog-dev)
test_packages=(libgtest-dev libgmock-dev docker-registry skopeo attr python3
  python3-yaml strace mandoc openssl zstd)
demo_packages=(docker-registry python3)
bench_packages=(docker-registry python3 squashfuse squashfs-tools)

# install_packages NAME…: silent, and without apt, when all of them are there.
install_packages() {
  local missing=() package installed
  installed="$(dpkg-query -W -f '${Package} ${Status}\n' "$@" 2>/dev/null || true)"
  for package in "$@"; do
    grep -qxF "$package install ok installed" <<<"$installed" || missing+=("$package")
  done
  ((${#missing[@]})) || return 0

  local as_root=()
  if ((EUID != 0)); then
    if ! command -v sudo >/dev/null; then
      echo "these packages are missing, and neither root nor sudo is there to install them:" \
        "${missing[*]}" >&2
      return 1
    fi
    as_root=(sudo)
  fi

  echo "installing ${missing[*]}" >&2
  local log
  log="$(mktemp)"
  local install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -y
    --no-install-recommends install "${missing[@]}")
  # The package lists are fetched only where those at hand don't lead to the packages.
  if ! "${install[@]}" >"$log" 2>&1 </dev/null; then
    if ! { "${as_root[@]}" apt-get -qq update && "${install[@]}"; } >"$log" 2>&1 </dev/null; then
      echo "apt-get failed:" >&2
      cat "$log" >&2
      rm -f "$log"
      return 1
    fi
  fi
  rm -f "$log"
}
