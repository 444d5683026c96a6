#!/usr/bin/env bash
# Builds ocirepofs and runs it: without arguments a demonstration, else the mount that they ask for.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
program="$root/build/release/ocirepofs"
# shellcheck source=tests/support/packages.sh
. "$root/tests/support/packages.sh"

usage() {
  cat <<'END'
usage: ./run.sh                                  a demonstration, at ./mnt, until Ctrl-C
       ./run.sh CONFIG MOUNTPOINT [OPTIONS]      mounts CONFIG, as `ocirepofs` does
       ./run.sh --help

Installs the Debian packages that are missing, builds build/release/ocirepofs, and runs it.
Needs /dev/fuse, and root or sudo where packages are missing.
END
}

# Says so only where there is something to do, and shows the compiler's output only where it fails.
build() {
  local log
  log="$(mktemp)"
  cd "$root"
  if [[ ! -f build/release/build.ninja ]]; then
    echo "configuring..." >&2
    cmake --preset release >"$log" 2>&1 || { cat "$log" >&2 && rm -f "$log" && return 1; }
  fi
  if ! ninja -C build/release -n ocirepofs | grep -q 'no work to do'; then
    echo "building..." >&2
    cmake --build --preset release --target ocirepofs >"$log" 2>&1 ||
      { cat "$log" >&2 && rm -f "$log" && return 1; }
  fi
  rm -f "$log"
  cd "$OLDPWD"
}

# The demonstration: a registry of its own on loopback, an artifact in it, and a mount of that.

write_revision() {  # write_revision DIRECTORY NUMBER
  mkdir -p "$1/deploy" "$1/bin"
  cat >"$1/deploy/app.yaml" <<END
apiVersion: apps/v1
kind: Deployment
metadata:
  name: demo
spec:
  replicas: $2
END
  printf '#!/bin/sh\necho "hello from revision %s"\n' "$2" >"$1/bin/hello"
  chmod 755 "$1/bin/hello"
  echo "revision $2" >"$1/version.txt"
  ln -sfn deploy/app.yaml "$1/app.yaml"
  echo "left out by the default ignore rules" >"$1/screenshot.png"
}

push_revision() {  # push_revision NUMBER
  write_revision "$work/artifact" "$1"
  python3 "$root/tests/support/registry.py" push "$url" demo/config:latest "$work/artifact" \
    --source https://git.example.org/demo --revision "main@sha1:000000$1" >/dev/null
}

show() {
  printf '\n$ %s\n' "$*"
  (cd "$root" && "$@")
}

clean_up() {
  trap - EXIT INT TERM
  if mountpoint -q "$mnt"; then
    "$program" unmount "$mnt" >/dev/null 2>&1 || fusermount3 -u -z "$mnt" || true
  fi
  if [[ -n "$registry_pid" ]]; then
    kill "$registry_pid" 2>/dev/null || true
    wait "$registry_pid" 2>/dev/null || true
  fi
  rm -rf "$work"
  if ((made_mnt)); then rmdir "$mnt" 2>/dev/null || true; fi
}

wait_for() {  # wait_for SECONDS WHAT COMMAND…
  local end=$((SECONDS + $1)) what="$2"
  shift 2
  until "$@" 2>/dev/null; do
    if ((SECONDS >= end)); then
      echo "run.sh: gave up waiting for $what" >&2
      [[ ! -f "$mnt/demo/.status" ]] || cat "$mnt/demo/.status" >&2
      return 1
    fi
    sleep 0.05
  done
}

demonstrate() {
  mnt="$root/mnt" registry_pid="" made_mnt=0
  if [[ ! -c /dev/fuse ]]; then
    echo "run.sh: there is no /dev/fuse here; in a container, pass --device /dev/fuse" \
      "--cap-add SYS_ADMIN" >&2
    return 1
  fi
  if mountpoint -q "$mnt"; then
    echo "run.sh: $mnt is mounted already; 'build/release/ocirepofs unmount mnt' frees it" >&2
    return 1
  fi
  work="$(mktemp -d "${TMPDIR:-/tmp}/ocirepofs-demo.XXXXXX")"
  trap clean_up EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  if [[ ! -d "$mnt" ]]; then
    mkdir "$mnt"
    made_mnt=1
  fi

  python3 "$root/tests/support/registry.py" serve "$work/registry" >"$work/url" &
  registry_pid=$!
  wait_for 20 "the registry" test -s "$work/url"
  url="$(cat "$work/url")"

  mkdir "$work/config"
  cat >"$work/config/demo.yaml" <<END
apiVersion: source.toolkit.fluxcd.io/v1
kind: OCIRepository
metadata:
  name: demo
spec:
  interval: 2s
  url: oci://${url#http://}/demo/config
  ref:
    tag: latest
END
  echo "a registry runs at $url; this manifest names an artifact in it, demo/config:latest:"
  show cat "$work/config/demo.yaml"
  push_revision 1

  "$program" "$work/config" "$mnt" -o "cache=$work/cache"
  wait_for 20 "the first revision" test -f "$mnt/demo/version.txt"
  show find mnt
  show cat mnt/demo/version.txt
  show cat mnt/demo/.status

  printf '\npushing a second revision; it is seen here within the interval of 2 s...\n'
  push_revision 2
  wait_for 20 "the second revision" grep -qx 'revision 2' "$mnt/demo/version.txt"
  show cat mnt/demo/version.txt
  show mnt/demo/bin/hello
  show cat mnt/.status

  printf '\nmounted at %s until Ctrl-C; have a look from another terminal\n' "$mnt"
  # A shell runs its traps only between commands, and `wait` is one that a signal ends.
  wait "$registry_pid"
}

case "${1-}" in
  -h | --help)
    usage
    ;;
  "")
    install_packages "${build_packages[@]}" "${demo_packages[@]}"
    build
    demonstrate
    ;;
  *)
    install_packages "${build_packages[@]}"
    build
    exec "$program" "$@"
    ;;
esac
