# Applies the patches that it is given to the copy of the repository in the directory `tree`.
#
# Each hunk is looked for in the unpatched file by its context and its removed lines, which have to be there exactly once:
# the line numbers say nothing, so that a change elsewhere in the file moves no hunk to a wrong place. All patches of Rust
# files go into the same files, whose lines they change independently of each other. A patch of a script in Lua, which
# has no switch, goes into a copy of the script for this mutant alone: src/mutant/NAME/FILE.

function fail(what) {
    print "tests/mutants: " what >"/dev/stderr"
    failed = 1
}

# How many lines the unpatched file has.
function length_of(file,    line, got) {
    if (file in lengths) { return lengths[file] }
    lengths[file] = 0
    while ((got = (getline line <(tree "/" file))) > 0) { text[file, ++lengths[file]] = line }
    if (got < 0) { fail(patch " changes " file ", which is not there") }
    close(tree "/" file)
    return lengths[file]
}

# Where the lines of the hunk that are to be there begin in the file, or 0.
function place_of(file,    all, at, line, found, place) {
    all = length_of(file)
    for (at = 1; at + wanted - 1 <= all; at++) {
        for (line = 1; line <= wanted && text[file, at + line - 1] "" == want[line] ""; line++) { }
        if (line > wanted) { found++; place = at }
    }
    if (found == 1) { return place }
    fail(patch " no longer applies: its hunk " header " is " (found ? "more than once" : "not") " in " file)
    return 0
}

# Makes what the hunk says of the file, in the layer of the mutant or, for Rust, in the one that all of them share.
function apply_hunk(    layer, at, i, kind, after) {
    layer = file ~ /\.lua$/ ? name : ""
    at = place_of(file)
    if (!at) { return }
    changed[layer, file] = 1
    for (i = 1; i <= size; i++) {
        kind = substr(hunk[i], 1, 1)
        if (kind == "+") {
            # In the place of a removed line, or before the next one.
            if (after) {
                instead[layer, file, after] = instead[layer, file, after] substr(hunk[i], 2) "\n"
            } else {
                before[layer, file, at] = before[layer, file, at] substr(hunk[i], 2) "\n"
            }
            continue
        }
        after = 0
        if (kind == "-") {
            if ((layer, file, at) in removed && removed[layer, file, at] != name) {
                fail(name ".patch and " removed[layer, file, at] ".patch change the same line of " file \
                    ": make one of the mistakes elsewhere, or apart from the line")
            }
            removed[layer, file, at] = name
            after = at
        }
        at++
    }
}

function end_patch() {
    if (patch == "") { return }
    if (left_old || left_new) { fail(patch " ends within its hunk " header ", or the numbers in that are wrong") }
    if (!hunks) { fail(patch " changes nothing") }
    if (needs_switch && !has_switch) { fail(patch " has no crate::mutant::is(\"" name "\")") }
}

FNR == 1 {
    end_patch()
    patch = FILENAME
    name = FILENAME
    sub(/.*\//, "", name)
    sub(/\.patch$/, "", name)
    file = ""
    hunks = left_old = left_new = needs_switch = has_switch = 0
    names[++count] = name
    if ($0 !~ /^# ./) { fail(patch " does not begin with a line that says what is wrong: # ...") }
}

left_old || left_new {
    kind = substr($0, 1, 1)
    if (kind == "\\") { next }
    # An editor may have taken the blank from an empty line.
    if (kind == "") { $0 = " "; kind = " " }
    if (kind !~ /[-+ ]/) {
        fail(patch " is no patch: " $0)
        left_old = left_new = 0
        next
    }
    if (kind == "+" && match($0, /mutant::is\("[A-Za-z0-9]*"\)/)) {
        if (substr($0, RSTART, RLENGTH) == "mutant::is(\"" name "\")") { has_switch = 1 } else {
            fail(patch " has the switch of another: " substr($0, RSTART, RLENGTH))
        }
    }
    hunk[++size] = $0
    if (kind != "+") { left_old--; want[++wanted] = substr($0, 2) }
    if (kind != "-") { left_new-- }
    if (left_old <= 0 && left_new <= 0) {
        left_old = left_new = 0
        if (file) { apply_hunk() }
    }
    next
}

/^\+\+\+ / {
    file = $2
    sub(/^b\//, "", file)
    if (file !~ /^src\/.*\.(rs|lua)$/) {
        fail(patch " changes " file ": only src/**/*.rs and src/**/*.lua can be")
        file = ""
    }
    if (file ~ /\.rs$/) { needs_switch = 1 }
}

/^@@ / {
    header = $2 " " $3
    left_old = $2
    left_new = $3
    if (!sub(/^-[0-9]+,/, "", left_old)) { left_old = 1 }
    if (!sub(/^\+[0-9]+,/, "", left_new)) { left_new = 1 }
    left_old += 0
    left_new += 0
    size = wanted = 0
    hunks++
}

END {
    end_patch()
    for (key in changed) {
        split(key, part, SUBSEP)
        layer = part[1]
        file = part[2]
        into = tree "/" file
        if (layer) {
            base = file
            sub(/.*\//, "", base)
            system("mkdir -p '" tree "/src/mutant/" layer "'")
            into = tree "/src/mutant/" layer "/" base
            scripts = scripts sprintf("    (\"%s\", \"%s\", include_str!(\"mutant/%s/%s\")),\n", layer, base, layer, base)
        }
        printf "" >into
        for (at = 1; at <= lengths[file] + 1; at++) {
            printf "%s", before[layer, file, at] >into
            if ((layer, file, at) in removed) {
                printf "%s", instead[layer, file, at] >into
            } else if (at <= lengths[file]) {
                print text[file, at] >into
            }
        }
        close(into)
    }
    if (failed) { exit 1 }
    # What switch.rs goes on with.
    print "\nconst NAMES: &[&str] = &["
    for (at = 1; at <= count; at++) { print "    \"" names[at] "\"," }
    print "];\n\nconst SCRIPTS: &[(&str, &str, &str)] = &[\n" scripts "];"
}
