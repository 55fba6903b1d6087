/* Patterns of credentials and options: a subset of HTML's pattern attribute, so that the form and
 * the check agree.  Matching never goes back and is linear in the text. */
#include <string.h>

#include "certmgr/dns/recipe.h"

#define ATOMS_MAX  64
#define REPEAT_MAX 4096

struct atom {
    const char *at; /* literal, '.', or behind '[' */
    size_t len;     /* of a class */
    bool is_class;
    unsigned min, max;
};

static const char *number(const char *p, unsigned *ret)
{
    if (*p < '0' || *p > '9')
        return NULL;
    for (*ret = 0; *p >= '0' && *p <= '9'; p++) {
        *ret = *ret * 10 + (unsigned)(*p - '0');
        if (*ret > REPEAT_MAX)
            return NULL;
    }
    return p;
}

static const char *read_repeat(const char *p, struct atom *a)
{
    a->min = a->max = 1;
    if (*p == '?' || *p == '*' || *p == '+') {
        a->min = *p == '+';
        a->max = *p == '?' ? 1 : REPEAT_MAX;
        return p + 1;
    }
    if (*p != '{')
        return p;
    p = number(p + 1, &a->min);
    if (!p)
        return NULL;
    a->max = a->min;
    if (*p == ',')
        p = number(p + 1, &a->max);
    return p && *p == '}' && a->max >= a->min && a->max > 0 ? p + 1 : NULL;
}

static const char *read_atom(const char *p, struct atom *a)
{
    *a = (struct atom){.at = p};
    if (*p == '[') {
        const char *end = strchr(p + 1, ']');
        if (!end || end == p + 1 || p[1] == '^')
            return NULL;
        a->at = p + 1;
        a->len = (size_t)(end - p - 1);
        a->is_class = true;
        p = end + 1;
    } else if (*p == '\\' && p[1] && strchr(".[]{}()*+?|^$\\/-", p[1])) {
        a->at = p + 1;
        a->len = 1;
        p += 2;
    } else if (strchr("]{}()*+?|^$\\", *p)) {
        return NULL;
    } else {
        a->len = *p == '.' ? 0 : 1;
        p++;
    }
    return read_repeat(p, a);
}

static bool takes(const struct atom *a, char c)
{
    if (!a->is_class)
        return a->len == 0 || *a->at == c;
    for (size_t i = 0; i < a->len; i++) {
        if (i + 2 < a->len && a->at[i + 1] == '-') {
            if (c >= a->at[i] && c <= a->at[i + 2])
                return true;
            i += 2;
        } else if (a->at[i] == c) {
            return true;
        }
    }
    return false;
}

static size_t compile(const char *pattern, struct atom atoms[ATOMS_MAX])
{
    size_t n = 0;
    if (strlen(pattern) > RCP_PATTERN_MAX)
        return 0;
    while (*pattern) {
        if (n == ATOMS_MAX)
            return 0;
        pattern = read_atom(pattern, &atoms[n++]);
        if (!pattern)
            return 0;
    }
    return n;
}

bool rcp_pattern_ok(const char *pattern)
{
    struct atom atoms[ATOMS_MAX];
    return compile(pattern, atoms) > 0;
}

/* Greedy, which is whole for patterns whose neighbouring atoms take different characters; where
 * they overlap, an atom gives back what the rest needs at least. */
bool rcp_pattern_match(const char *pattern, const char *text)
{
    struct atom atoms[ATOMS_MAX];
    size_t n = compile(pattern, atoms), left = strlen(text), need = 0;
    for (size_t i = 0; i < n; i++)
        need += atoms[i].min;
    for (size_t i = 0; i < n; i++) {
        unsigned got = 0;
        need -= atoms[i].min;
        while (got < atoms[i].max && left > need && takes(&atoms[i], *text)) {
            got++;
            text++;
            left--;
        }
        if (got < atoms[i].min)
            return false;
    }
    return n > 0 && left == 0;
}
