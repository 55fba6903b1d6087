/*
 * Names that mix scripts whose letters look alike: Latin, Greek and Cyrillic in one label, as in
 * "p\u0430ypal.example" with a Cyrillic a.  Advice, no rule: each script by itself is fine (UTS #39
 * 5.1 has more; that table of confusables is not worth its megabytes here).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct script_mix {
    const char *label; /* inside of the name */
    size_t len;
    const char *one, *other; /* "Latin", "Greek", "Cyrillic"; static */
};

/* Does one label of this name (Unicode, UTF-8, labels separated by dots) mix such scripts?  The
 * first one that does.  Digits, hyphens and letters of other scripts mix with everything. */
bool script_mixed(const char *name, struct script_mix *ret);
