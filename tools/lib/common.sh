# shellcheck shell=bash
# What the scripts of tools/ and .ci/ share: installing what is missing, and building. Sourced by bash, from the
# repository's root.

# Debian 12's packages, and why each is here.
ASSAY_PACKAGES=(
  g++ cmake ninja-build pkg-config                 # the build
  ccache mold                                      # a faster one
  libabsl-dev libprotobuf-dev protobuf-compiler libgrpc++-dev protobuf-compiler-grpc
  libsqlite3-dev libpq-dev libssl-dev libzstd-dev libjemalloc-dev libcli11-dev libtomlplusplus-dev libspdlog-dev
  libgtest-dev libgmock-dev libbenchmark-dev       # tests and benchmarks
  clang libclang-rt-14-dev                         # fuzzing
  clang-format clang-tidy shellcheck git           # tools/check
  postgresql                                       # servers of our own, in a temporary directory
  pgbouncer libfaketime locales                    # tests: a pooler, wrong clocks, databases with strange settings
)

say() { printf '%s\n' "$*" >&2; }
die() { say "$(basename "$0"): $*"; exit 1; }

# What tools/test takes; its --help says what each is.
TEST_LABELS=(check unit postgres simulation fuzz torture bench threads sanitize)

# refuse_unknown_labels ARGUMENT...: ends the script when one of those before `--` is no label.
refuse_unknown_labels() {
  local label
  for label in "$@"; do
    [[ "$label" == -- ]] && return
    [[ " ${TEST_LABELS[*]} " == *" $label "* ]] || die "there is no label $label; the labels are: ${TEST_LABELS[*]}"
  done
}

# Installs those that are not there. Never asks: without a terminal there is nobody to answer.
install_packages() {
  command -v dpkg-query >/dev/null || die "this needs Debian 12 or a relative of it (no dpkg here); elsewhere install the like of: ${ASSAY_PACKAGES[*]}"
  local missing=() package
  for package in "${ASSAY_PACKAGES[@]}"; do
    [[ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" == installed ]] || missing+=("$package")
  done
  ((${#missing[@]})) || return 0

  local as_root=()
  if ((EUID != 0)); then
    if ! command -v sudo >/dev/null; then
      die "these packages are missing and only root may install them; run: apt-get install ${missing[*]}"
    elif [[ -t 0 ]]; then
      as_root=(sudo)
    else
      sudo -n true 2>/dev/null || die "these packages are missing, and sudo wants a password; run: sudo apt-get install ${missing[*]}"
      as_root=(sudo -n)
    fi
  fi
  say "installing: ${missing[*]}"
  local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l apt-get -qq
    -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0)
  "${apt[@]}" update </dev/null >&2 || say "apt-get update failed; trying with the lists that are here"
  "${apt[@]}" install -y --no-install-recommends "${missing[@]}" </dev/null >&2 ||
    die "apt-get could not install: ${missing[*]}"
}

# build [target...]: for work and for tests. ASSAY_BUILD_DIR says where; `build` otherwise.
build() { build_preset dev "${ASSAY_BUILD_DIR:-build}" "$@"; }

# build_preset PRESET DIRECTORY [target...]: configures where that is needed, as CMakePresets.json has it, and builds.
# Sets BUILD_DIR.
build_preset() {
  local preset="$1"
  BUILD_DIR="$2"
  shift 2
  if [[ ! -f "$BUILD_DIR/build.ninja" ]]; then
    cmake --preset "$preset" -B "$BUILD_DIR" >&2 || die "cmake could not configure; to begin anew: rm -r $BUILD_DIR"
  fi
  # A compiler at work on gRPC's headers takes about a gigabyte.
  local jobs memory_mb
  jobs="$(nproc)"
  memory_mb="$(awk '/MemAvailable/ { print int($2 / 1024) }' /proc/meminfo)"
  ((jobs * 1200 > memory_mb)) && jobs=$((memory_mb / 1200))
  ((jobs < 1)) && jobs=1
  cmake --build "$BUILD_DIR" -j "$jobs" ${1:+--target "$@"} >&2 || die "the build failed; the first error is above"
}
