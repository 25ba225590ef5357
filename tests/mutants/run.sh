#!/usr/bin/env bash
# Makes the mistakes of tests/mutants/*.patch one after the other, and requires that tests catch each of them.
#
#   tests/mutants/run.sh                  all of them
#   tests/mutants/run.sh --only NAME      this one
#   tests/mutants/run.sh --json FILE      writes the results there as well
#
# tests/mutants/mutants.txt says which checks have to fail for which mutant. All of them have to pass without any, and
# with it each has to fail by a panic of the test: one that does not run, times out or aborts has caught nothing. A check of
# the simulation is so many seeds, one of which has to violate a property.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

only=
json=
while [ "$#" -gt 0 ]; do
    case "$1" in
        --only | --json)
            if [ "$#" -lt 2 ]; then echo "tests/mutants/run.sh: $1 needs a value" >&2; exit 2; fi
            if [ "$1" = --only ]; then only="$2"; else json="$2"; fi
            shift 2
            ;;
        -h | --help) sed -n '2,9s/^# \{0,1\}//p' tests/mutants/run.sh; exit 0 ;;
        *) echo "tests/mutants/run.sh: unknown argument $1; there are --only NAME and --json FILE" >&2; exit 2 ;;
    esac
done

at_once=4
longest=60
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

# The mutants with what is wrong in each, one "name<tab>what" a line.
tree="$(tests/mutants/tree.sh)"
for patch in tests/mutants/*.patch; do
    printf '%s\t%s\n' "$(basename "$patch" .patch)" "$(sed -n '1s/^# *//p' "$patch")"
done >"$work/known"
grep -Ev '^ *(#|$)' tests/mutants/mutants.txt | awk '{ print $1 "\t" $2 "\t" $3 }' >"$work/table"
if [ -n "$only" ]; then
    awk -F '\t' -v only="$only" '$1 == only' "$work/table" >"$work/chosen"
    if [ ! -s "$work/chosen" ]; then
        echo "tests/mutants/run.sh: no mutant is called $only; there are: $(cut -f 1 "$work/known" | xargs)" >&2
        exit 2
    fi
    mv "$work/chosen" "$work/table"
fi

# One build for all of them. Its dependencies are those of the other builds: another number of codegen units, which
# nothing else is built with, tells cargo that this package alone is another.
target="$(cd "$tree/.." && pwd)"
cd "$tree"
build=(test --no-run --all-features --target-dir "$target")
build+=(--config 'profile.test.package.orchestrix-locking.codegen-units=255')
targets=()
for binary in $(cut -f 2 "$work/table" | sort -u); do
    case "$binary" in
        lib) targets+=(--lib) ;;
        simulation) ;;
        *) targets+=(--test "$binary") ;;
    esac
done
if grep -q "$(printf '\tsimulation\t')" "$work/table" &&
    ! cargo build --release -p simulation --target-dir "$target/simulation-mutants" >"$work/build" 2>&1; then
    cat "$work/build"
    echo "tests/mutants/run.sh: the simulation could not be built" >&2
    exit 1
fi
if [ "${#targets[@]}" -gt 0 ] && ! cargo "${build[@]}" "${targets[@]}" >"$work/build" 2>&1; then
    cat "$work/build"
    echo "tests/mutants/run.sh: the mutants could not be built" >&2
    exit 1
fi

# The file of a test binary, as the build named it.
file_of() {
    local source="tests/$1(/main)?\.rs"
    if [ "$1" = lib ]; then source='unittests src/lib\.rs'; fi
    grep -E "^ *Executable $source \(" "$work/build" | sed 's/.*(\(.*\))$/\1/'
}

# The same for a check of the simulation, whose test is a number of seeds.
run_simulation() {
    local begun verdict status=0 log="$work/$1.log" mutant=()
    if [ "$2" != - ]; then mutant=("ORCHESTRIX_MUTANT=$2"); fi
    begun="$(date +%s%N)"
    env -u ORCHESTRIX_MUTANT "${mutant[@]}" timeout "$longest" "$target/simulation-mutants/release/simulation" --seeds "$4" >"$log" 2>&1 || status=$?
    if [ "$status" -eq 124 ]; then
        verdict="ran out of time"
    elif [ "$status" -eq 0 ]; then
        verdict=passed
    elif [ "$status" -eq 1 ] && grep -qE '^seed [0-9]+: ' "$log"; then
        verdict=failed
    else
        verdict="ended with status $status"
    fi
    printf '%s\t%s\n' "$verdict" "$((($(date +%s%N) - begun) / 1000000))" >"$work/$1.result"
}

# run NUMBER MUTANT BINARY TEST: runs one check, without a mutant where that is "-". Writes what became of it, and how
# long it took, as "verdict<tab>milliseconds". Only a test that fails counts as failed, and outside the unit tests only by a
# panic in the code of the tests or of the conformance kit: an assertion, an `expect` or an `unwrap`.
run() {
    local begun executable verdict status=0 log="$work/$1.log"
    if [ "$3" = simulation ]; then
        run_simulation "$@"
        return
    fi
    executable="$(file_of "$3")"
    begun="$(date +%s%N)"
    if [ "$2" = - ]; then
        env -u ORCHESTRIX_MUTANT timeout "$longest" "$executable" --exact "$4" >"$log" 2>&1 || status=$?
    else
        ORCHESTRIX_MUTANT="$2" timeout "$longest" "$executable" --exact "$4" >"$log" 2>&1 || status=$?
    fi
    if [ "$status" -eq 124 ]; then
        verdict="ran out of time"
    elif ! grep -qE '^running 1 test$' "$log"; then
        verdict="no such test"
    elif [ "$status" -eq 0 ]; then
        verdict=passed
    elif [ "$status" -ne 101 ] || ! grep -qE '^test result: FAILED' "$log"; then
        verdict="ended with status $status"
    elif [ "$3" = lib ] || grep -qE 'panicked at (tests|src/conformance)/' "$log"; then
        verdict=failed
    else
        verdict="failed, and not by a panic of its own"
    fi
    printf '%s\t%s\n' "$verdict" "$((($(date +%s%N) - begun) / 1000000))" >"$work/$1.result"
}

# run_all FILE: runs the checks of a table, some at a time, and puts verdicts and times beside them in FILE.done.
run_all() {
    local number=0 mutant binary test
    rm -f "$work"/*.result "$work"/*.log
    while IFS=$'\t' read -r mutant binary test; do
        number=$((number + 1))
        while [ "$(jobs -rp | wc -l)" -ge "$at_once" ]; do wait -n || true; done
        run "$number" "$mutant" "$binary" "$test" &
    done <"$1"
    wait
    number=0
    while IFS= read -r line; do
        number=$((number + 1))
        printf '%s\t%s\n' "$line" "$(cat "$work/$number.result")"
    done <"$1" >"$1.done"
}

cut -f 2,3 "$work/table" | sort -u | sed 's/^/-\t/' >"$work/checks"
run_all "$work/checks"
sound=true
number=0
while IFS=$'\t' read -r _ binary test verdict milliseconds; do
    number=$((number + 1))
    if [ "$verdict" != passed ]; then
        cat "$work/$number.log"
        echo "without any mutant, $binary $test: $verdict after $milliseconds ms"
        sound=false
    fi
done <"$work/checks.done"
if ! $sound; then exit 1; fi

run_all "$work/table"
killed=0
number=0
survivors=" "
entries=()
printf '%-32s %-100s %-9s %s\n' mutant check outcome seconds
while IFS=$'\t' read -r mutant binary test verdict milliseconds; do
    number=$((number + 1))
    outcome=killed
    if [ "$verdict" != failed ]; then outcome=SURVIVED; fi
    seconds="$((milliseconds / 1000)).$(printf '%03d' $((milliseconds % 1000)))"
    printf '%-32s %-100s %-9s %s\n' "$mutant" "$binary $test" "$outcome" "$seconds"
    if [ "$outcome" = SURVIVED ]; then
        survivors="$survivors$mutant "
        echo "    the check $verdict:"
        tail -n 12 "$work/$number.log" | sed 's/^/    /'
    fi
    what="$(awk -F '\t' -v name="$mutant" '$1 == name { print $2 }' "$work/known" | sed 's/["\\]/\\&/g')"
    entries+=("$(printf '{"mutant": "%s", "what": "%s", "check": "%s %s", "killed": %s, "seconds": %s}' "$mutant" \
        "$what" "$binary" "$test" "$([ "$outcome" = killed ] && echo true || echo false)" "$seconds")")
done <"$work/table.done"

all=0
for mutant in $(cut -f 1 "$work/table" | uniq); do
    all=$((all + 1))
    case "$survivors" in
        *" $mutant "*) ;;
        *) killed=$((killed + 1)) ;;
    esac
done
if [ -n "$json" ]; then
    { echo "["; printf '  %s\n' "${entries[@]}" | sed '$!s/$/,/'; echo "]"; } >"$json"
fi
echo "$killed of $all mutants killed"
[ "$killed" -eq "$all" ]
