/* Checking documents against the tables of schema_rules.c. */
#include "certstore/schema.h"

#include <stdio.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "base/core/bytes.h"
#include "base/core/clock.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "certstore/schema_rules.h"
#include "certstore/store.h"

#define NAME_MAX_BYTES  64
#define HOST_MAX        253
#define LABEL_USUAL     64
#define SIGNATURES_MAX  16
#define SIGNATURE_VALUE 200
#define INT_EXACT_MAX   9007199254740991LL /* 2^53-1 */
#define DEPTH_MAX       8                  /* of tables within tables */

static const struct cs_member signature_members[] = {
    {.name = "by", .kind = CS_K_HOST, .flags = CS_M_REQUIRED},
    {.name = "key", .kind = CS_K_HEX, .flags = CS_M_REQUIRED, .max = 32},
    {.name = "value", .kind = CS_K_BASE64URL, .flags = CS_M_REQUIRED, .max = SIGNATURE_VALUE},
    {.name = NULL}};

static const struct cs_member one_signature = {
    .name = "signature", .kind = CS_K_OBJECT, .inner = signature_members};
static const struct cs_member many_signatures = {.name = "signatures",
                                                 .kind = CS_K_OBJECT,
                                                 .flags = CS_M_LIST,
                                                 .items = SIGNATURES_MAX,
                                                 .inner = signature_members};

/* ---- ids ----------------------------------------------------------------------------------------
 */

static const struct cs_rule *rule_of(const char *id)
{
    const char *colon = strchr(id, ':');
    if (!colon)
        return NULL;
    size_t len = (size_t)(colon - id);
    for (size_t i = 0; i < cs_rule_count; i++)
        if (strlen(cs_rules[i].type.name) == len && memcmp(cs_rules[i].type.name, id, len) == 0)
            return &cs_rules[i];
    return NULL;
}

const struct cs_type *cs_type_of(const char *id)
{
    const struct cs_rule *rule = rule_of(id);
    return rule ? &rule->type : NULL;
}

/* What a byte may be part of; NUL of nothing. */
enum { IN_LINE = 1, IN_BASE64 = 2, IN_BASE64URL = 4, IN_PEM = 8, IN_NAME = 16, IN_HOST = 32 };
#define ALNUM  (IN_LINE | IN_BASE64 | IN_BASE64URL | IN_PEM | LABELS)
#define LABELS (IN_NAME | IN_HOST)
static const uint8_t classes[256] = {['\n'] = IN_PEM,
                                     ['\r'] = IN_PEM,
                                     [' ' ... '*'] = IN_LINE | IN_PEM,
                                     ['+'] = IN_LINE | IN_BASE64 | IN_PEM,
                                     [','] = IN_LINE | IN_PEM,
                                     ['-'] = IN_LINE | IN_BASE64URL | IN_PEM | LABELS,
                                     ['.'] = IN_LINE | IN_PEM | LABELS,
                                     ['/'] = IN_LINE | IN_BASE64 | IN_PEM,
                                     ['0' ... '9'] = ALNUM,
                                     [':'] = IN_LINE | IN_PEM | IN_HOST,
                                     [';' ... '<'] = IN_LINE | IN_PEM,
                                     ['='] = IN_LINE | IN_BASE64 | IN_PEM,
                                     ['>' ... '@'] = IN_LINE | IN_PEM,
                                     ['A' ... 'Z'] = ALNUM,
                                     ['[' ... '^'] = IN_LINE | IN_PEM,
                                     ['_'] = IN_LINE | IN_BASE64URL | IN_PEM | LABELS,
                                     ['`'] = IN_LINE | IN_PEM,
                                     ['a' ... 'z'] = ALNUM,
                                     ['{' ... '~'] = IN_LINE | IN_PEM,
                                     [0x80 ... 0xff] = IN_LINE};

/* How many bytes from the first belong to the class. */
static size_t span(const char *text, size_t len, uint8_t in)
{
    size_t at = 0;
    while (at < len && classes[(unsigned char)text[at]] & in)
        at++;
    return at;
}

static bool is_label(const char *text, size_t len, size_t max)
{
    if (len == 0 || len > max || text[0] == '.' || text[0] == '-')
        return false;
    return span(text, len, IN_NAME) == len;
}

/* Names, wildcards, address literals: what must not get through here is anything that could act
 * as a path, a separator or markup; whether a CA takes the name is not this file's matter. */
static bool is_host(const char *text, size_t len)
{
    if (len == 0 || len > HOST_MAX || text[0] == '.' || text[0] == '-')
        return false;
    size_t star = text[0] == '*';
    return span(text + star, len - star, IN_HOST) == len - star;
}

static bool is_hex(const char *text, size_t digits)
{
    return strlen(text) == digits && strspn(text, "0123456789abcdef") == digits;
}

static bool name_ok(enum cs_naming naming, const char *name)
{
    const char *colon;
    switch (naming) {
    case CS_N_ULID:
        return cm_ulid_ok(name);
    case CS_N_LABEL:
        return is_label(name, strlen(name), NAME_MAX_BYTES);
    case CS_N_HOST:
        return is_host(name, strlen(name));
    case CS_N_ROOT:
        return strcmp(name, "root") == 0;
    case CS_N_HEX64:
        return is_hex(name, 64);
    case CS_N_HOST_ULID:
        colon = strrchr(name, ':');
        return colon && is_host(name, (size_t)(colon - name)) && cm_ulid_ok(colon + 1);
    }
    return false;
}

/* ---- values
 * -------------------------------------------------------------------------------------- */

/* Most of most documents, so sixteen bytes at a time: ' ' to '~' (a byte above is negative). */
static size_t span_pem(const char *text, size_t len)
{
    size_t at = 0;
#ifdef __SSE2__
    for (; at + 16 <= len; at += 16) {
        __m128i b = _mm_loadu_si128((const __m128i *)(const void *)(text + at));
        __m128i ends = _mm_or_si128(_mm_cmpeq_epi8(b, _mm_set1_epi8('\n')),
                                    _mm_cmpeq_epi8(b, _mm_set1_epi8('\r')));
        __m128i prints = _mm_andnot_si128(_mm_cmpeq_epi8(b, _mm_set1_epi8(0x7f)),
                                          _mm_cmpgt_epi8(b, _mm_set1_epi8(' ' - 1)));
        if (_mm_movemask_epi8(_mm_or_si128(ends, prints)) != 0xffff)
            break;
    }
#endif
    return at + span(text + at, len - at, IN_PEM);
}

/* Armour is ASCII; an empty text is allowed where a chain has no intermediates. */
static bool is_pem(const char *text, size_t len)
{
    return (len == 0 || strncmp(text, "-----BEGIN ", 11) == 0) && span_pem(text, len) == len;
}

static bool is_word(const char *text, const char *const *words)
{
    for (; *words; words++)
        if (strcmp(text, *words) == 0)
            return true;
    return false;
}

/* No fraction and no huge integer anywhere; depth is bounded by the parser. */
static bool is_exact(const json_t *v, unsigned depth)
{
    const char *key;
    json_t *item;
    if (json_is_real(v) || depth > CM_JSON_DEPTH_MAX)
        return false;
    if (json_is_integer(v))
        return json_integer_value(v) <= INT_EXACT_MAX && json_integer_value(v) >= -INT_EXACT_MAX;
    for (size_t i = 0; i < json_array_size(v); i++)
        if (!is_exact(json_array_get(v, i), depth + 1))
            return false;
    json_object_foreach((json_t *)(uintptr_t)v, key, item)
    {
        if (!is_exact(item, depth + 1))
            return false;
    }
    return true;
}

static bool any_ok(const json_t *v, int64_t max)
{
    if (!is_exact(v, 0))
        return false;
    size_t len;
    CM_AUTO_STR text = cm_json_dump(v, &len);
    (void)text; /* only its length matters */
    return (int64_t)len <= max;
}

static bool text_ok(const struct cs_member *m, const char *text, size_t len)
{
    int64_t ms;
    size_t max = m->max > 0 ? (size_t)m->max : LABEL_USUAL;
    switch (m->kind) {
    case CS_K_TEXT:
        return len <= max;
    case CS_K_LINE:
        return len <= max && span(text, len, IN_LINE) == len;
    case CS_K_LABEL:
        return is_label(text, len, max);
    case CS_K_HOST:
        return is_host(text, len);
    case CS_K_WORD:
        return is_word(text, m->words);
    case CS_K_TIME:
        return cm_time_parse(text, &ms) == 0;
    case CS_K_ULID:
        return cm_ulid_ok(text);
    case CS_K_HEX:
        return is_hex(text, max);
    case CS_K_BASE64:
        return len <= max && span(text, len, IN_BASE64) == len;
    case CS_K_BASE64URL:
        return len <= max && span(text, len, IN_BASE64URL) == len;
    case CS_K_PEM:
        return len <= max && is_pem(text, len);
    default:
        return false;
    }
}

/* Where in a document a member is; its text is made when there is something to say. */
struct place {
    const struct place *up; /* NULL: a member of the document itself */
    const char *name;
};

static char *place_text(const struct place *place)
{
    CM_AUTO_STR before = place->up ? place_text(place->up) : NULL;
    return cm_asprintf("%s%s%.60s", before ? before : "", before ? "." : "", place->name);
}

static int bad_member(const struct place *place, const char *what, struct cm_err *err)
{
    CM_AUTO_STR path = place_text(place);
    return cm_fail(err, CM_EMALF, "member %s %s", path, what);
}

static int check_members(const json_t *obj, const struct cs_member *table, bool top,
                         const struct place *up, unsigned depth, struct cm_err *err);

static int check_value(const struct cs_member *m, const json_t *v, const struct place *place,
                       unsigned depth, struct cm_err *err)
{
    bool ok;
    switch (m->kind) {
    case CS_K_INT:
        ok = json_is_integer(v) && json_integer_value(v) >= 0 &&
             json_integer_value(v) <= (m->max > 0 ? m->max : INT_EXACT_MAX);
        break;
    case CS_K_BOOL:
        ok = json_is_boolean(v);
        break;
    case CS_K_ANY:
        ok = any_ok(v, m->max);
        break;
    case CS_K_OBJECT:
        if (json_is_object(v))
            return check_members(v, m->inner, false, place, depth + 1, err);
        ok = false;
        break;
    default:
        /* A NUL inside would end the text early for everybody else. */
        ok = json_is_string(v) && strlen(json_string_value(v)) == json_string_length(v) &&
             text_ok(m, json_string_value(v), json_string_length(v));
    }
    return ok ? 0 : bad_member(place, "has a value that is not allowed", err);
}

static int check_member(const struct cs_member *m, const json_t *v, const struct place *place,
                        unsigned depth, struct cm_err *err)
{
    char what[64];
    if ((m->flags & CS_M_LIST) == 0)
        return check_value(m, v, place, depth, err);
    if (!json_is_array(v))
        return bad_member(place, "must be a list", err);
    if (json_array_size(v) > m->items) {
        snprintf(what, sizeof(what), "has more than %zu items", m->items);
        return bad_member(place, what, err);
    }
    int rc = 0;
    for (size_t i = 0; i < json_array_size(v) && rc == 0; i++)
        rc = check_value(m, json_array_get(v, i), place, depth, err);
    return rc;
}

/* Members that every document has; checked before the type's own. */
static bool is_common(const char *name)
{
    static const char *const names[] = {"_id", "type", "serial", "signature", "signatures"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (name[0] == names[i][0] && strcmp(name, names[i]) == 0)
            return true;
    return false;
}

static int check_members(const json_t *obj, const struct cs_member *table, bool top,
                         const struct place *up, unsigned depth, struct cm_err *err)
{
    const char *name;
    json_t *value;
    size_t required = 0;
    int rc = 0;
    if (depth > DEPTH_MAX)
        return bad_member(up, "is nested too deeply", err);
    json_object_foreach((json_t *)(uintptr_t)obj, name, value)
    {
        if (top && is_common(name))
            continue;
        const struct cs_member *m = table;
        while (m->name && (m->name[0] != name[0] || strcmp(m->name, name) != 0))
            m++;
        required += (m->flags & CS_M_REQUIRED) != 0;
        const struct place place = {.up = up, .name = name};
        rc = m->name ? check_member(m, value, &place, depth, err)
                     : bad_member(&place, "is unknown", err);
        if (rc < 0)
            return rc;
    }
    for (const struct cs_member *m = table; m->name; m++)
        required -= (m->flags & CS_M_REQUIRED) != 0;
    if (required == 0) /* a name is in an object once */
        return 0;
    for (const struct cs_member *m = table; m->name; m++)
        if (m->flags & CS_M_REQUIRED && !json_object_get(obj, m->name))
            return bad_member(&(struct place){.up = up, .name = m->name}, "is missing", err);
    return 0;
}

/* Types whose rules arrive with their feature. */
static int check_free(const json_t *body, struct cm_err *err)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)body, name, value)
    {
        size_t len = strlen(name);
        if (strcmp(name, "_id") != 0 &&
            (len == 0 || len > NAME_MAX_BYTES || name[0] < 'a' || name[0] > 'z' ||
             strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != len))
            return cm_fail(err, CM_EMALF, "member %.60s is not written in snake_case", name);
        if (!is_exact(value, 0))
            return cm_fail(err, CM_EMALF, "member %s holds a number that is not an exact integer",
                           name);
    }
    return 0;
}

/* ---- documents
 * ------------------------------------------------------------------------------------ */

static int check_signatures(const json_t *body, const struct cs_rule *rule, struct cm_err *err)
{
    bool many = rule->naming == CS_N_ROOT;
    const struct cs_member *m = many ? &many_signatures : &one_signature;
    const char *other = many ? "signature" : "signatures";
    const json_t *value = json_object_get(body, m->name);
    if (json_object_get(body, other))
        return cm_fail(err, CM_EMALF, "member %s does not belong into this type", other);
    if (!value || (many && json_array_size(value) == 0))
        return cm_fail(err, CM_EMALF, "member %s is missing", m->name);
    return check_member(m, value, &(struct place){.name = m->name}, 0, err);
}

/* Where the id repeats what a member says, they must agree: indexes and people go by either. */
static int check_agreement(const char *id, const json_t *body, const struct cs_rule *rule,
                           struct cm_err *err)
{
    const char *name = strchr(id, ':') + 1;
    const char *credential = cm_json_str(body, "credential");
    if (strcmp(rule->type.name, "challenge") == 0 && strcmp(name, credential) != 0)
        return cm_fail(err, CM_EMALF, "member credential does not agree with _id");
    if (rule->naming != CS_N_HOST_ULID)
        return 0;
    CM_AUTO_STR expected = cm_asprintf("%s:%s", cm_json_str(body, "server"), credential);
    if (strcmp(name, expected) != 0)
        return cm_fail(err, CM_EMALF, "members server and credential do not agree with _id");
    return 0;
}

int cs_schema_check(const json_t *body, bool deleted, struct cm_err *err)
{
    const char *id = cm_json_str(body, "_id");
    const char *type = cm_json_str(body, "type");
    if (!id || strlen(id) > CS_ID_MAX)
        return cm_fail(err, CM_EMALF, "member _id is missing or too long");
    const struct cs_rule *rule = rule_of(id);
    if (!rule)
        return cm_fail(err, CM_EMALF, "member _id names no known document type");
    if (!name_ok(rule->naming, strchr(id, ':') + 1))
        return cm_fail(err, CM_EMALF, "member _id has a name that its type does not allow");
    if (!type || strcmp(type, rule->type.name) != 0)
        return cm_fail(err, CM_EMALF, "member type does not agree with _id");
    const json_t *serial = json_object_get(body, "serial");
    if (!json_is_integer(serial) || json_integer_value(serial) < 1 ||
        json_integer_value(serial) > INT_EXACT_MAX)
        return cm_fail(err, CM_EMALF, "member serial must be an integer from 1");
    int rc = check_signatures(body, rule, err);
    if (rc < 0)
        return rc;
    if (deleted || !rule->member)
        return check_free(body, err);
    rc = check_members(body, rule->member, true, NULL, 0, err);
    return rc < 0 ? rc : check_agreement(id, body, rule, err);
}
