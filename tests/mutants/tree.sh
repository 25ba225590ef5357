#!/usr/bin/env bash
# Makes a copy of the repository in which every patch of tests/mutants is applied, and prints where it is.
#
#   tests/mutants/tree.sh                 target/mutants, or mutants below $CARGO_TARGET_DIR
#
# Fails if a patch does not apply, and if tests/mutants/mutants.txt and the patches do not name the same mutants. What
# has not changed since the last time is left as it is, so that it is not built again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
if [ "$#" -gt 0 ]; then sed -n '2,7s/^# \{0,1\}//p' tests/mutants/tree.sh; exit 2; fi

differing="$(diff <(cd tests/mutants && printf '%s\n' *.patch | sed 's/\.patch$//' | sort) \
    <(grep -Ev '^ *(#|$)' tests/mutants/mutants.txt | awk '{ print $1 }' | sort -u) || true)"
if [ -n "$differing" ]; then
    sed -n 's/^< \(.*\)/tests\/mutants: \1.patch has no check in tests\/mutants\/mutants.txt/p
        s/^> \(.*\)/tests\/mutants: tests\/mutants\/mutants.txt has a check for \1, of which there is no patch/p' \
        <<<"$differing" >&2
    exit 1
fi

mkdir -p "${CARGO_TARGET_DIR:-target}"
tree="$(cd "${CARGO_TARGET_DIR:-target}" && pwd)/mutants"
new="$tree.new"
rm -rf "$new"
mkdir -p "$new" "$tree"
git ls-files --cached --others --exclude-standard -z | while IFS= read -r -d '' file; do
    if [ -f "$file" ]; then printf '%s\0' "$file"; fi
done | tar -c --null -T - | tar -x -C "$new"
{ cat tests/mutants/switch.rs; awk -v tree="$new" -f tests/mutants/apply.awk tests/mutants/*.patch; } >"$new.rs"
mv "$new.rs" "$new/src/mutant.rs"
echo 'mod mutant;' >>"$new/src/lib.rs"
sed -i.unpatched 's/\binclude_str!(/crate::mutant::script!(/' "$new/src/redis/protocol/mod.rs"
rm "$new/src/redis/protocol/mod.rs.unpatched"

# As new as they are where they differ, and as old as they were where they do not.
(cd "$new" && find . -type f) | while IFS= read -r file; do
    if ! cmp -s "$new/$file" "$tree/$file"; then
        mkdir -p "$(dirname "$tree/$file")"
        cp "$new/$file" "$tree/$file"
        touch "$tree/$file"
    fi
done
(cd "$tree" && find . -type f) | while IFS= read -r file; do
    if [ ! -e "$new/$file" ]; then rm "$tree/$file"; fi
done
rm -rf "$new"
echo "$tree"
