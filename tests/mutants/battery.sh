#!/usr/bin/env bash
# Runs the battery against mistakes of tests/mutants/*.patch, and requires that it rejects each for the property that it breaks.
#
#   tests/mutants/battery.sh                  all that it can be asked about
#   tests/mutants/battery.sh --only NAME      this one
#   tests/mutants/battery.sh --json FILE      writes the results there as well
#
# Which they are, under which faults, and what has to be violated, is said in tests/battery/src/commands/mutants.rs.
set -euo pipefail
if [ "${1:-}" = -h ] || [ "${1:-}" = --help ]; then sed -n '2,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0; fi
tree="$("$(dirname "${BASH_SOURCE[0]}")/tree.sh")"
target="$(cd "$tree/.." && pwd)"

# Dependencies are those of the builds of tests/run.sh, whose features are those of the simulation too. Another number of
# codegen units, which nothing else is built with, tells cargo that these two packages alone are others.
build=(build --release -p battery -p simulation --bin battery --manifest-path "$tree/Cargo.toml" --target-dir "$target")
for package in orchestrix-locking battery; do
    build+=(--config "profile.release.package.$package.codegen-units=15")
done
executable="$(cargo "${build[@]}" --message-format json-render-diagnostics |
    sed -n 's/.*"executable":"\([^"]*\)".*/\1/p')"
if [ ! -x "$executable" ]; then echo "tests/mutants/battery.sh: the battery could not be built" >&2; exit 1; fi

# The file is the same as that of the other build, which may be made meanwhile.
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cp "$executable" "$work/battery"
status=0
"$work/battery" mutants "$@" || status=$?
exit "$status"
