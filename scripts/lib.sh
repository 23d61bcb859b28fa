# Shared by scripts/demo, scripts/test and scripts/package: what has to be installed, and building.
# Sourced, not run.

set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cd "$root"

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
die() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }

# Debian 12, Ubuntu 22.04 and 24.04 name all of these alike.
build_packages=(
  g++ cmake ninja-build pkg-config
  libsqlite3-dev libzstd-dev libxxhash-dev libdw-dev libelf-dev liblzma-dev libbz2-dev zlib1g-dev
  libcli11-dev libfmt-dev nlohmann-json3-dev libexpected-dev robin-map-dev
  libglfw3-dev libimgui-dev libgl-dev libegl-dev libstb-dev
)
# To draw without a screen.
run_packages=(libegl1 libgl1 libgl1-mesa-dri fonts-dejavu-core sqlite3)
# No browser: Debian's chromium and what it needs are 81 MB to fetch and 290 MB and more to unpack, for each
# run of CI, and Ubuntu's is a stub of a snap that starts in no container. Where one is installed, faces.page
# drives it; elsewhere that test says that it was left out. All that needs no browser (escaping, the numbers
# in a page, that it asks for nothing) is tested without.
test_packages=(
  libgtest-dev libgmock-dev libbenchmark-dev libunwind-dev python3 libpython3-dev git xvfb xauth xdotool python3-xlib clang-format
  libjemalloc-dev libtcmalloc-minimal4 libmimalloc-dev
)

# Tests that no sanitized build runs, as a regular expression; scripts/test says why.
not_sanitized='hazard\.(python_stacks|attach|modules|stacks|max_size|ranks)'

# Installs what is missing of the named packages; says nothing when nothing is.
need_packages() {
  local missing=() package
  command -v dpkg-query >/dev/null || die "needs a Debian or Ubuntu system (dpkg) to install what is missing; see README.md for the list"
  for package in "$@"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return
  say "installing ${missing[*]}"
  local sudo=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || die "not root and no sudo: have an administrator install: ${missing[*]}"
    sudo=(sudo)
  fi
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -q
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"
}

# build PRESET [TARGET…]: configures once, builds what changed.
build() {
  local preset=$1 targets=() target
  shift
  for target in "$@"; do targets+=(--target "$target"); done
  if [ ! -f "build/$preset/build.ninja" ]; then
    cmake --preset "$preset"
  fi
  cmake --build --preset "$preset" -- -k 0 --quiet ${targets[@]+"${targets[@]}"} 2>/dev/null ||
    cmake --build --preset "$preset" ${targets[@]+"${targets[@]}"}
}
