/*
 * Templates: text with placeholders {{root.name|filter}}.
 *
 * The position decides how a value is escaped, and nothing turns that off: a name or an id that a
 * provider sent cannot become another path, another header or another JSON member.  The masked
 * rendering walks the same template and never sees a secret's text.
 */
#include <stdio.h>
#include <string.h>

#include "base/core/bytes.h"
#include "base/core/mem.h"
#include "base/net/url.h"
#include "certmgr/dns/recipe.h"

#define MASK "***"

enum { F_QUOTE = 1, F_DOT = 2, F_NODOT = 4, F_LOWER = 8, F_BASE64 = 16 };
static const struct {
    const char *name;
    unsigned bit;
} filters[] = {{"quote", F_QUOTE},
               {"dot", F_DOT},
               {"nodot", F_NODOT},
               {"lower", F_LOWER},
               {"base64", F_BASE64}};

void rcp_buf_wipe(struct cm_buf *buf)
{
    if (buf->data)
        cm_wipe(buf->data, buf->size);
    cm_buf_fini(buf);
}

static bool is_secret(const json_t *recipe, const char *credential)
{
    const json_t *all = cm_json_arr(recipe, "credentials");
    for (size_t i = 0; i < json_array_size(all); i++) {
        const json_t *one = json_array_get(all, i);
        if (strcmp(cm_json_str_or(one, "name", ""), credential) == 0)
            return cm_json_bool(one, "secret", true);
    }
    return true;
}

/* ---- reading ------------------------------------------------------------------------------- */

static const char *skip(const char *p)
{
    while (*p == ' ')
        p++;
    return p;
}

static const char *word(const char *p, char out[RCP_NAME_MAX])
{
    size_t n = 0;
    while ((*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') || *p == '_') {
        if (n + 1 >= RCP_NAME_MAX)
            return NULL;
        out[n++] = *p++;
    }
    out[n] = '\0';
    return n > 0 ? p : NULL;
}

static unsigned filter_bit(const char *name)
{
    for (size_t i = 0; i < sizeof(filters) / sizeof(filters[0]); i++)
        if (strcmp(filters[i].name, name) == 0)
            return filters[i].bit;
    return 0;
}

/* p stands behind "{{"; returns what follows "}}", or NULL. */
static const char *read_hole(const char *p, struct rcp_hole *hole)
{
    char filter[RCP_NAME_MAX];
    *hole = (struct rcp_hole){0};
    p = word(skip(p), hole->root);
    if (p && *p == '.')
        p = word(p + 1, hole->name);
    while (p) {
        p = skip(p);
        if (p[0] == '}' && p[1] == '}')
            return p + 2;
        if (*p != '|' || !(p = word(skip(p + 1), filter)))
            return NULL;
        unsigned bit = filter_bit(filter);
        if (bit == 0)
            return NULL;
        hole->filters |= bit;
    }
    return NULL;
}

int rcp_holes(const char *text, rcp_hole_fn fn, void *arg, struct cm_err *err)
{
    struct rcp_hole hole;
    if (strlen(text) > RCP_TEMPLATE_MAX)
        return cm_fail(err, CM_ELIMIT, "a template is longer than %d bytes", RCP_TEMPLATE_MAX);
    for (const char *p = strstr(text, "{{"); p; p = strstr(p, "{{")) {
        p = read_hole(p + 2, &hole);
        if (!p)
            return cm_fail(err, CM_EINVAL,
                           "\"%.80s\" holds a placeholder that is not root.name|filter in double "
                           "braces, with the "
                           "filters quote, dot, nodot, lower, base64",
                           text);
        int rc = fn ? fn(arg, &hole, err) : 0;
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* Recursion: bounded by the depth that cm_json_parse allows. */
int rcp_holes_in(const json_t *v, rcp_hole_fn fn, void *arg, struct cm_err *err)
{
    const char *key;
    json_t *member;
    int rc = json_is_string(v) ? rcp_holes(json_string_value(v), fn, arg, err) : 0;
    for (size_t i = 0; i < json_array_size(v) && rc == 0; i++)
        rc = rcp_holes_in(json_array_get(v, i), fn, arg, err);
    json_object_foreach((json_t *)(uintptr_t)v, key, member)
    {
        if (rc == 0)
            rc = rcp_holes_in(member, fn, arg, err);
    }
    return rc;
}

/* Is the text exactly one placeholder? */
static bool is_one(const char *text, struct rcp_hole *hole)
{
    if (strncmp(text, "{{", 2) != 0)
        return false;
    const char *end = read_hole(text + 2, hole);
    return end && *end == '\0';
}

static const json_t *look_up(const struct rcp_vars *vars, const struct rcp_hole *hole)
{
    const json_t *v = json_object_get(vars->values, hole->root);
    if (hole->name[0])
        v = json_object_get(v, hole->name);
    return json_is_null(v) ? NULL : v;
}

static bool hole_secret(const struct rcp_vars *vars, const struct rcp_hole *hole)
{
    if (strcmp(hole->root, "login") == 0)
        return true;
    return strcmp(hole->root, "cred") == 0 && is_secret(vars->recipe, hole->name);
}

/* ---- filters and escapes ------------------------------------------------------------------- */

char *rcp_quote(const char *text)
{
    struct cm_buf out;
    cm_buf_init(&out, RCP_BODY_MAX);
    cm_buf_putc(&out, '"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            cm_buf_putc(&out, '\\');
        cm_buf_putc(&out, *text);
    }
    cm_buf_putc(&out, '"');
    return cm_buf_take(&out, NULL);
}

/* Filters work in a fixed order: lower, dot or nodot, quote, base64. */
static char *filtered(char *take, unsigned bits)
{
    char *text = take;
    size_t len = strlen(text);
    if (bits & F_LOWER)
        for (size_t i = 0; i < len; i++)
            if (text[i] >= 'A' && text[i] <= 'Z')
                text[i] = (char)(text[i] + 32);
    if ((bits & F_NODOT) && len > 0 && text[len - 1] == '.')
        text[len - 1] = '\0';
    char *next = NULL;
    if ((bits & F_DOT) && (len == 0 || text[len - 1] != '.'))
        next = cm_asprintf("%s.", text);
    if (next) {
        cm_free_secret(text, len);
        text = next;
    }
    if (bits & F_QUOTE) {
        next = rcp_quote(text);
        cm_free_secret(text, strlen(text));
        text = next;
    }
    if (bits & F_BASE64) {
        next = cm_b64(text, strlen(text));
        cm_free_secret(text, strlen(text));
        text = next;
    }
    return text;
}

static int put_escaped(struct cm_buf *out, const char *text, enum rcp_pos pos, struct cm_err *err)
{
    switch (pos) {
    case RCP_PATH:
        if (text[0] == '\0')
            return cm_fail(err, CM_EINVAL, "a value in the path of a request is empty");
        url_encode(out, text);
        break;
    case RCP_QUERY:
    case RCP_FORM:
        url_encode(out, text);
        break;
    case RCP_HEADER:
        for (const char *p = text; *p; p++)
            if ((unsigned char)*p < 0x20 || *p == 0x7f)
                return cm_fail(err, CM_EINVAL,
                               "a value in a header holds a line end or another control byte");
        cm_buf_puts(out, text);
        break;
    case RCP_TEXT:
        cm_buf_puts(out, text);
        break;
    }
    return 0;
}

static int put_hole(struct cm_buf *out, const struct rcp_hole *hole, const struct rcp_vars *vars,
                    enum rcp_pos pos, bool masked, struct cm_err *err)
{
    const json_t *v = look_up(vars, hole);
    if (!v)
        return cm_fail(err, CM_EINVAL, "placeholder %s%s%s has no value here", hole->root,
                       hole->name[0] ? "." : "", hole->name);
    if (masked && hole_secret(vars, hole)) {
        cm_buf_puts(out, MASK);
        return 0;
    }
    char *text = rcp_scalar(v);
    if (!text)
        return cm_fail(err, CM_EINVAL,
                       "placeholder %s.%s is a list or an object: it fits only alone in JSON",
                       hole->root, hole->name);
    text = filtered(text, hole->filters);
    int rc = put_escaped(out, text, pos, err);
    cm_free_secret(text, strlen(text));
    return rc;
}

int rcp_text(struct cm_buf *out, const char *text, const struct rcp_vars *vars, enum rcp_pos pos,
             bool masked, struct cm_err *err)
{
    struct rcp_hole hole;
    if (is_one(text, &hole) && !look_up(vars, &hole))
        return RCP_UNSET;
    const char *p = text;
    for (const char *open = strstr(p, "{{"); open; open = strstr(p, "{{")) {
        CM_AUTO_STR before = cm_strndup(p, (size_t)(open - p));
        if (pos == RCP_QUERY || pos == RCP_FORM)
            url_encode(out, before);
        else
            cm_buf_puts(out, before);
        p = read_hole(open + 2, &hole);
        if (!p)
            return cm_fail(err, CM_EINVAL, "a template is malformed");
        int rc = put_hole(out, &hole, vars, pos, masked, err);
        if (rc < 0)
            return rc;
    }
    if (pos == RCP_QUERY || pos == RCP_FORM)
        url_encode(out, p);
    else
        cm_buf_puts(out, p);
    return out->failed ? cm_fail(err, CM_ELIMIT, "a request is longer than %zu bytes", out->max)
                       : 0;
}

/* ---- JSON ---------------------------------------------------------------------------------- */

/* The JSON string of a text; escapes by hand, so that no copy of a secret stays in a library. */
static void put_json_text(struct cm_buf *out, const char *text)
{
    cm_buf_putc(out, '"');
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (*p == '"' || *p == '\\') {
            cm_buf_putc(out, '\\');
            cm_buf_putc(out, (char)*p);
        } else if (*p == '\n') {
            cm_buf_puts(out, "\\n");
        } else if (*p < 0x20) {
            cm_buf_printf(out, "\\u%04x", *p);
        } else {
            cm_buf_putc(out, (char)*p);
        }
    }
    cm_buf_putc(out, '"');
}

static void put_dump(struct cm_buf *out, const json_t *v)
{
    if (json_is_string(v)) {
        put_json_text(out, json_string_value(v));
        return;
    }
    size_t len;
    char *text = cm_json_dump(v, &len);
    cm_buf_add(out, text, len);
    cm_free_secret(text, len);
}

static int put_json_string(struct cm_buf *out, const char *text, const struct rcp_vars *vars,
                           bool masked, struct cm_err *err)
{
    struct rcp_hole hole;
    if (is_one(text, &hole) && hole.filters == 0) {
        const json_t *v = look_up(vars, &hole);
        if (!v)
            return RCP_UNSET;
        if (masked && hole_secret(vars, &hole))
            cm_buf_puts(out, "\"" MASK "\"");
        else
            put_dump(out, v);
        return 0;
    }
    struct cm_buf plain;
    cm_buf_init(&plain, RCP_BODY_MAX);
    int rc = rcp_text(&plain, text, vars, RCP_TEXT, masked, err);
    if (rc == 0)
        put_json_text(out, cm_buf_str(&plain));
    rcp_buf_wipe(&plain);
    return rc;
}

static int put_json(struct cm_buf *out, const json_t *v, const struct rcp_vars *vars, bool masked,
                    unsigned depth, struct cm_err *err);

static int put_members(struct cm_buf *out, const json_t *obj, bool *first,
                       const struct rcp_vars *vars, bool masked, unsigned depth, struct cm_err *err)
{
    const char *key;
    json_t *member;
    json_object_foreach((json_t *)(uintptr_t)obj, key, member)
    {
        struct cm_buf one;
        cm_buf_init(&one, RCP_BODY_MAX);
        int rc = put_json(&one, member, vars, masked, depth + 1, err);
        if (rc == 0) {
            if (!*first)
                cm_buf_putc(out, ',');
            *first = false;
            put_json_text(out, key);
            cm_buf_putc(out, ':');
            cm_buf_puts(out, cm_buf_str(&one));
        }
        rcp_buf_wipe(&one);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* Recursion: the depth of a recipe is bounded by cm_json_parse and checked here once more. */
static int put_json(struct cm_buf *out, const json_t *v, const struct rcp_vars *vars, bool masked,
                    unsigned depth, struct cm_err *err)
{
    int rc = 0;
    bool first = true;
    if (depth > CM_JSON_DEPTH_MAX)
        return cm_fail(err, CM_ELIMIT, "a body is nested deeper than %d", CM_JSON_DEPTH_MAX);
    if (json_is_string(v))
        return put_json_string(out, json_string_value(v), vars, masked, err);
    if (json_is_object(v)) {
        cm_buf_putc(out, '{');
        rc = put_members(out, v, &first, vars, masked, depth, err);
        cm_buf_putc(out, '}');
    } else if (json_is_array(v)) {
        cm_buf_putc(out, '[');
        for (size_t i = 0; i < json_array_size(v) && rc == 0; i++) {
            if (i > 0)
                cm_buf_putc(out, ',');
            rc = put_json(out, json_array_get(v, i), vars, masked, depth + 1, err);
        }
        cm_buf_putc(out, ']');
        if (rc == RCP_UNSET)
            rc = cm_fail(err, CM_EINVAL, "a placeholder in a list has no value here");
    } else {
        put_dump(out, v);
    }
    return rc;
}

int rcp_json(struct cm_buf *out, const json_t *value, const json_t *more,
             const struct rcp_vars *vars, bool masked, struct cm_err *err)
{
    int rc;
    if (!more) {
        rc = put_json(out, value, vars, masked, 0, err);
    } else {
        bool first = true;
        cm_buf_putc(out, '{');
        rc = put_members(out, more, &first, vars, masked, 0, err);
        if (rc == 0)
            rc = put_members(out, value, &first, vars, masked, 0, err);
        cm_buf_putc(out, '}');
    }
    if (rc == 0 && out->failed)
        rc = cm_fail(err, CM_ELIMIT, "a request is longer than %zu bytes", out->max);
    return rc;
}

int rcp_value(const json_t *value, const struct rcp_vars *vars, json_t **ret, struct cm_err *err)
{
    struct cm_buf text;
    *ret = NULL;
    cm_buf_init(&text, RCP_BODY_MAX);
    int rc = rcp_json(&text, value, NULL, vars, false, err);
    if (rc == 0)
        rc = cm_json_parse_lax(cm_buf_str(&text), text.len, ret, err);
    rcp_buf_wipe(&text);
    return rc;
}

/* ---- second barrier ------------------------------------------------------------------------ */

static void scrub_one(char *text, const char *secret)
{
    size_t len = secret ? strlen(secret) : 0;
    if (len < 4)
        return;
    for (char *p = strstr(text, secret); p; p = strstr(p, secret)) {
        memcpy(p, MASK, 3);
        memmove(p + 3, p + len, strlen(p + len) + 1);
        p += 3;
    }
}

void rcp_scrub(char *text, const struct rcp_vars *vars)
{
    const char *key;
    json_t *member;
    json_object_foreach(json_object_get(vars->values, "cred"), key, member)
    {
        if (is_secret(vars->recipe, key))
            scrub_one(text, json_string_value(member));
    }
    json_object_foreach(json_object_get(vars->values, "login"), key, member)
    {
        scrub_one(text, json_string_value(member));
    }
}
