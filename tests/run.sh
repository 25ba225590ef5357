#!/usr/bin/env bash
# Checks everything: format, lints, every feature alone, tests, documentation, models, soak, examples, simulation,
# mutants, battery.
#
#   tests/run.sh            everything, in its short form: 20 to 30 minutes on two processors
#   tests/run.sh --long     the same with longer soaks, deeper models and more random cases
#   tests/run.sh --quick    before a commit, three minutes where most is built: format, lints with every feature, whether
#                           the mutants' patches apply, and all tests but those on Redis, of which it runs a sample
#
# Needs Rust, git, a C compiler (cc), redis-cli and redis-server 7.0 or newer. It installs the last two with apt-get where
# it may. The tests start and stop servers of their own. Every step is run, also after one that failed, and says how long
# it took; then come the longest of them, what could not be run here, and in the last line how it went.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

long=false
quick=false
for argument in "$@"; do
    case "$argument" in
        --long) long=true ;;
        --quick) quick=true ;;
        -h | --help) sed -n '2,12s/^# \{0,1\}//p' tests/run.sh; exit 0 ;;
        *) echo "tests/run.sh: unknown argument $argument; there are --long and --quick" >&2; exit 2 ;;
    esac
done
if $long && $quick; then echo "tests/run.sh: --long and --quick are two different runs" >&2; exit 2; fi

soak_cycles=1000000
redis_soak_cycles=100000
fuzz_inputs=30000
seeds=2000
if $long; then
    soak_cycles=50000000
    redis_soak_cycles=2000000
    fuzz_inputs=3000000
    seeds=1000000
    export ORCHESTRIX_LOOM_DEEPER=1
    export PROPTEST_CASES=20000
    export ORCHESTRIX_FAILOVERS=25
fi
export CARGO_TERM_COLOR="${CARGO_TERM_COLOR:-never}"

log="$(mktemp)"
redis_pid=
redis_dir=
trap 'stop_redis; rm -f "$log"' EXIT
passed=0
failed=0
failures=()
not_run=()
times=()
begun=$SECONDS

# tests_in LOG WORD: how many tests have "N WORD" in the summaries of cargo test and of nextest.
tests_in() {
    { grep -E '^(test result: |     Summary )' "$1" || true; } | { grep -oE "[0-9]+ $2" || true; } |
        awk '{ sum += $1 } END { print sum + 0 }'
}

# step NAME COMMAND...: runs a command, counts its tests, or itself as one check where it has none.
step() {
    local name="$1" start=$SECONDS status=0 good bad
    shift
    echo "==> $name"
    "$@" >"$log" 2>&1 || status=$?
    good="$(tests_in "$log" passed)"
    bad="$(tests_in "$log" failed)"
    if [ "$((good + bad))" -eq 0 ]; then
        if [ "$status" -eq 0 ]; then good=1; fi
    fi
    if [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; then bad=1; fi
    passed=$((passed + good))
    failed=$((failed + bad))
    times+=("$((SECONDS - start)) s  $name")
    if [ "$status" -eq 0 ]; then
        echo "    ok, $good passed, $((SECONDS - start)) s"
    else
        cat "$log"
        echo "    FAILED with status $status, $good passed, $bad failed, $((SECONDS - start)) s"
        failures+=("$name")
    fi
}

# matching COMMAND...: as the command, but it is a failure if its filter finds no test.
matching() {
    local ran status=0
    "$@" 2>&1 | tee "$log.matching" || status=$?
    ran="$(tests_in "$log.matching" passed)"
    rm -f "$log.matching"
    if [ "$status" -ne 0 ]; then return "$status"; fi
    if [ "$ran" -eq 0 ]; then
        echo "no test was run"
        return 1
    fi
}

# Installs the parts of the toolchain that a minimal installation leaves out.
component() {
    if cargo "$1" --version >/dev/null 2>&1; then return 0; fi
    if command -v rustup >/dev/null 2>&1 && rustup component add "$2"; then return 0; fi
    echo "tests/run.sh: cargo $1 is missing; install the toolchain's component $2" >&2
    exit 2
}

# Installs redis-server where that needs no password. Does not start it, and stops none that is there.
install_redis() {
    local as_root=()
    if command -v redis-server >/dev/null 2>&1; then return 0; fi
    if [ "$(id -u)" -ne 0 ]; then as_root=(sudo -n); fi
    if command -v apt-get >/dev/null 2>&1 && ${as_root[@]+"${as_root[@]}"} true 2>/dev/null; then
        echo "==> installing redis-server"
        if ${as_root[@]+"${as_root[@]}"} env DEBIAN_FRONTEND=noninteractive sh -c \
            'apt-get update && apt-get install -y --no-install-recommends redis-server' >"$log" 2>&1; then
            return 0
        fi
        cat "$log"
    fi
    echo "tests/run.sh: redis-server is missing and can't be installed from here; install it with your system's" \
        "package manager, on Debian and Ubuntu: apt-get install redis-server" >&2
    exit 2
}

# The tests set options that came with 7.0, and the simulation models that version. Clients and servers may be installed apart.
redis_server() {
    local version
    install_redis
    version="$(redis-server --version 2>/dev/null || true)"
    if [ "$(sed -n 's/.* v=\([0-9][0-9]*\)\..*/\1/p' <<<"$version")" -ge 7 ] 2>/dev/null; then
        if command -v redis-cli >/dev/null 2>&1; then return 0; fi
        echo "tests/run.sh: redis-cli is missing; install it with your system's package manager, on Debian and Ubuntu:" \
            "apt-get install redis-tools" >&2
    else
        echo "tests/run.sh: the tests need redis-server 7.0 or newer; this one is: ${version:-of an unknown version}" >&2
    fi
    exit 2
}

# Two for each processor, since most of them wait for leases to end rather than work.
unit_and_integration_tests() {
    local at_once=$((2 * $(nproc 2>/dev/null || echo 2)))
    if cargo nextest --version >/dev/null 2>&1; then
        cargo nextest run --all-features --lib --tests --no-fail-fast --test-threads "$at_once"
    else
        RUST_TEST_THREADS="$at_once" cargo test --all-features --lib --tests --no-fail-fast
    fi
}

# Everything that needs no server, the conformance kit on Redis, and of the other tests on Redis those about some of the
# subjects.
quick_tests() {
    local at_once=$((2 * $(nproc 2>/dev/null || echo 2))) whole=(--lib) name
    local sample=(batching cancelling close fairness interop late_calls lease_length)
    sample+=(outages::answers outages::messages outages::restarts one_server)
    for name in architecture memory layer http observe conformance_memory conformance_naive conformance_own_provider; do
        whole+=(--test "$name")
    done
    if cargo nextest --version >/dev/null 2>&1; then
        cargo nextest run --all-features "${whole[@]}" --test redis --test conformance_redis --no-fail-fast \
            --test-threads "$at_once" \
            -E "not binary(/^(conformance_)?redis$/) or test(/^($(IFS='|'; echo "${sample[*]}"))::/)"
    else
        RUST_TEST_THREADS="$at_once" cargo test --all-features "${whole[@]}" --no-fail-fast &&
            RUST_TEST_THREADS="$at_once" cargo test --all-features --test redis --test conformance_redis --no-fail-fast -- \
                "${sample[@]/%/::}"
    fi
}

# With the oldest compiler that Cargo.toml promises, where it is installed.
oldest_rust() {
    local version toolchain
    version="$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)"
    toolchain="$(rustup toolchain list 2>/dev/null | grep -oE "^${version//./\\.}(\.[0-9]+)?-[^ ]+" | head -n 1)" || true
    if [ -z "$toolchain" ]; then
        echo "==> Rust $version"
        echo "    NOT RUN: that toolchain is not installed (rustup toolchain install $version)"
        not_run+=("Rust $version, the oldest that is promised (that toolchain is not installed)")
        return
    fi
    step "Rust $version" env RUSTUP_TOOLCHAIN="$toolchain" cargo check --all-features
}

# The models are unit tests in which loom stands in for the mutex, the atomics and the clock. The flag is theirs alone, so
# that everything they depend on is the one that the other tests have built.
# What the short form would gain by a higher level of optimisation it would lose to the compiler.
build_models() {
    local level=1
    if $long; then level=3; fi
    cargo rustc --lib --profile test --all-features --message-format json-render-diagnostics -- \
        --cfg orchestrix_loom -C opt-level="$level" -C debuginfo=0 |
        sed -n 's/.*"executable":"\([^"]*\)".*/\1/p'
}

# Each model in a process of its own, one for each processor: threads of one process would wait for each other's memory.
# Adds up what they explored, and fails if one failed or if it is less than a million executions.
loom_models() {
    local models least=1000000 begun=$SECONDS count executions status=0
    models="$(build_models)"
    if [ ! -x "$models" ]; then echo "the models were not built"; return 1; fi
    "$models" --list --format terse loom_ | sed -n 's/: test$//p' |
        xargs -P "$(nproc 2>/dev/null || echo 2)" -n 1 "$models" --exact --nocapture >"$log.models" 2>&1 || status=$?
    cat "$log.models"
    read -r count executions < <(awk '/^loom model / { sum += $4; count += 1 } END { print count + 0, sum + 0 }' "$log.models")
    rm -f "$log.models"
    echo "loom: $executions executions in $count models"
    if [ "$status" -ne 0 ]; then return 1; fi
    if [ "$executions" -lt "$least" ]; then echo "$least were expected"; return 1; fi
    if [ -n "${ORCHESTRIX_EVIDENCE:-}" ]; then
        mkdir -p "$ORCHESTRIX_EVIDENCE"
        printf '{"models":%s,"executions":%s,"seconds":%s}\n' "$count" "$executions" "$((SECONDS - begun))" \
            >"$ORCHESTRIX_EVIDENCE/loom.json"
    fi
}

# As the other tests are built: a release build of all that they need takes longer than the cycles of the short form.
soak() {
    local as_built=(--all-features)
    if $long; then as_built=(--release); fi
    ORCHESTRIX_SOAK_CYCLES="$soak_cycles" matching cargo test "${as_built[@]}" --test memory soak -- --nocapture
}

redis_soak() {
    ORCHESTRIX_REDIS_SOAK_CYCLES="$redis_soak_cycles" \
        matching cargo test --all-features --test redis redis_cycles -- --nocapture
}

fuzzed_functions() {
    ORCHESTRIX_FUZZ_INPUTS="$fuzz_inputs" matching cargo test --all-features --lib fuzzed_functions -- --nocapture
}

# In one go, with the features of `cargo run --example`, so that several are linked at the same time.
build_examples() {
    cargo build --quiet --examples
}

# Starts an example as the README says, and looks at its exit code. One that hangs is a failure.
example() {
    timeout 300 cargo run --quiet --example "$1" -- --once
}

# The port is a guess: where it is taken, the server ends at once, and the next guess is made.
start_redis() {
    local port deadline=$((SECONDS + 30))
    redis_dir="$(mktemp -d)"
    while [ "$SECONDS" -lt "$deadline" ]; do
        port=$((10000 + RANDOM % 20000))
        redis-server --bind 127.0.0.1 --port "$port" --unixsocket "$redis_dir/socket" --dir "$redis_dir" \
            --save "" --appendonly no --loglevel warning </dev/null >"$redis_dir/log" 2>&1 &
        redis_pid=$!
        # Asked over its own socket: at the port another server could answer.
        while kill -0 "$redis_pid" 2>/dev/null && [ "$SECONDS" -lt "$deadline" ]; do
            if [ "$(redis-cli -s "$redis_dir/socket" PING 2>/dev/null)" = PONG ]; then
                REDIS_URL="redis://127.0.0.1:$port"
                return 0
            fi
            sleep 0.02
        done
        kill -KILL "$redis_pid" 2>/dev/null || true
        wait "$redis_pid" || true
        redis_pid=
    done
    cat "$redis_dir/log"
    echo "no redis-server for the example"
    stop_redis
    return 1
}

# Also at the end of the script, however it ends.
stop_redis() {
    if [ -n "$redis_pid" ]; then
        kill -KILL "$redis_pid" 2>/dev/null || true
        wait "$redis_pid" 2>/dev/null || true
        redis_pid=
    fi
    if [ -n "$redis_dir" ]; then
        rm -rf "$redis_dir"
        redis_dir=
    fi
}

# As example, with a server of its own at $REDIS_URL.
example_with_redis() {
    local status=0
    start_redis || return 1
    REDIS_URL="$REDIS_URL" example "$1" || status=$?
    stop_redis
    return "$status"
}

# What may be among the dependencies. Never without a word: where it cannot be checked, a line says so at the end too.
dependencies() {
    if ! cargo deny --version >/dev/null 2>&1; then
        echo "==> dependencies"
        echo "    NOT RUN: cargo-deny is not installed (cargo install cargo-deny --locked)"
        not_run+=("dependencies: licences, bans, sources and known weaknesses (cargo-deny is not installed)")
        return
    fi
    step "dependencies: licences, bans, sources" cargo deny check licenses bans sources
    # Needs a database from the network.
    if cargo deny fetch db >"$log" 2>&1; then
        step "dependencies: known weaknesses" cargo deny check advisories
    else
        echo "==> dependencies: known weaknesses"
        echo "    NOT RUN: the database of known weaknesses cannot be fetched"
        not_run+=("dependencies: known weaknesses (their database cannot be fetched)")
    fi
}

# with_figures NAME COMMAND...: runs a command that takes --json FILE, and has it write its figures to NAME.json in the
# directory $ORCHESTRIX_EVIDENCE, where that is set.
with_figures() {
    local name="$1"
    shift
    if [ -z "${ORCHESTRIX_EVIDENCE:-}" ]; then
        "$@"
        return
    fi
    mkdir -p "$ORCHESTRIX_EVIDENCE"
    "$@" --json "$ORCHESTRIX_EVIDENCE/$name.json"
}

# Both at once, also where one would do: features are then the same for both, and what they depend on is built once.
optimised=(--release -p battery -p simulation)

# As `cargo run --release -p NAME`, of one of the two.
run_optimised() {
    local name="$1"
    shift
    cargo build "${optimised[@]}" || return
    "${CARGO_TARGET_DIR:-target}/release/$name" "$@"
}

# Real processes under faults.
battery() {
    run_optimised battery "$@"
}

# What became of everything. The exit code is 0 if nothing failed.
summary() {
    local name
    echo
    echo "$((SECONDS - begun)) s, of which the longest steps took:"
    printf '%s\n' "${times[@]}" | sort -rn | head -n 8 | sed 's/^/    /'
    for name in ${failures[@]+"${failures[@]}"}; do
        echo "failed: $name"
    done
    for name in ${not_run[@]+"${not_run[@]}"}; do
        echo "not run: $name"
    done
    echo "$passed passed, $failed failed"
    [ "${#failures[@]}" -eq 0 ]
}

component fmt rustfmt
component clippy clippy
redis_server

step "format" cargo fmt --all --check
step "lints, every feature" cargo clippy --all-features --all-targets -- -D warnings
step "mutants apply" tests/mutants/tree.sh
if $quick; then
    step "tests, and a sample of those on Redis" quick_tests
    summary
    exit
fi
step "lints, battery and simulation" cargo clippy --all-targets -p battery -p simulation -- -D warnings
step "lints, no feature" cargo clippy --no-default-features -- -D warnings
for feature in memory redis http axum tonic tracing metrics serde conformance; do
    step "lints, $feature alone" cargo clippy --no-default-features --features "$feature" -- -D warnings
done
oldest_rust
dependencies
step "tests" unit_and_integration_tests
step "documentation tests" cargo test --all-features --doc
step "documentation" env RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --all-features
# A link to what a feature adds leads nowhere without it.
step "documentation, default features" env RUSTDOCFLAGS="-D warnings" cargo doc --no-deps
step "documentation, no feature" env RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --no-default-features
step "documentation of what is private" env RUSTDOCFLAGS="-D warnings" \
    cargo doc --no-deps --all-features --document-private-items
step "examples" build_examples
for path in examples/*.rs; do
    name="$(basename "$path" .rs)"
    case "$name" in
        redis | axum_redis) step "example $name" example_with_redis "$name" ;;
        *) step "example $name" example "$name" ;;
    esac
done
step "loom models" loom_models
step "soak, $soak_cycles cycles" soak
step "soak on Redis, $redis_soak_cycles cycles" redis_soak
step "fuzz targets, $fuzz_inputs inputs each" fuzzed_functions
step "battery and simulation, tests" cargo test "${optimised[@]}"
step "simulation, $seeds seeds" with_figures simulation run_optimised simulation --seeds "$seeds"
step "mutants" with_figures mutants tests/mutants/run.sh
if $long; then
    step "battery, an hour" with_figures run_long battery run --seconds 4000
    step "battery on a Sentinel set, ten minutes" with_figures run_sentinel battery run --topology sentinel --seconds 600
    step "battery on a cluster, ten minutes" with_figures run_cluster battery run --topology cluster --seconds 600
else
    step "battery" with_figures run_short battery run
    step "battery on a Sentinel set" with_figures run_sentinel battery run --topology sentinel
    step "battery on a cluster" with_figures run_cluster battery run --topology cluster
fi
step "control" with_figures control battery control
step "battery, mutants" with_figures battery_mutants tests/mutants/battery.sh
step "package" cargo package --list --allow-dirty
summary
