/* jansson with limits and error text; the rest of the product uses jansson's json_t itself. */
#pragma once

#include "base/core/buf.h"
#include "base/core/err.h"

#define CM_JSON_DEPTH_MAX 32
#define CM_JSON_INT_MAX   INT64_C(9007199254740991) /* 2^53-1: exact in every JSON reader */

void cm_json_free(json_t **v);
#define CM_AUTO_JSON __attribute__((cleanup(cm_json_free))) json_t *

/* Parses one complete JSON value: UTF-8, duplicate members refused, depth <= CM_JSON_DEPTH_MAX,
 * integers within +-(2^53-1), no NUL in strings; reals refused unless allow_real.  Returns 0,
 * CM_EMALF or CM_ELIMIT. */
int cm_json_parse(const char *text, size_t len, json_t **ret, struct cm_err *err);
int cm_json_parse_lax(const char *text, size_t len, json_t **ret,
                      struct cm_err *err); /* reals ok */

/* Takes the text of one object apart without reading all of it: the values of its array member
 * `list` as texts inside of `text` (*ret, owned: cm_free) and its other members (*ret_rest, owned).
 * True promises: when cm_json_parse_lax() takes each of these texts, it takes the whole, and the
 * other way round.  False (nothing is returned) when that is not certain or there are more than
 * max. */
struct cm_json_span {
    const char *at;
    size_t len;
};
bool cm_json_split(const char *text, size_t len, const char *list, size_t max,
                   struct cm_json_span **ret, size_t *ret_count, json_t **ret_rest);

/* Is it one JSON value by the grammar alone (RFC 8259, UTF-8)?  There may be in it what the reader
 * refuses: numbers of any size, names twice, halves of surrogate pairs, any depth. */
bool cm_json_wellformed(const char *text, size_t len);
/* The same of an array or object, whose values or members (from the name's quote on) are returned
 * as texts inside of `text` (*ret, owned: cm_free).  False (nothing is returned): it is none, or
 * has more than max. */
bool cm_json_parts(const char *text, size_t len, size_t max, struct cm_json_span **ret,
                   size_t *ret_count);

/* Getters: NULL / fallback when absent or of another type; borrowed results. */
const char *cm_json_str(const json_t *obj, const char *key);
const char *cm_json_str_or(const json_t *obj, const char *key, const char *fallback);
int64_t cm_json_int(const json_t *obj, const char *key, int64_t fallback);
bool cm_json_bool(const json_t *obj, const char *key, bool fallback);
json_t *cm_json_obj(const json_t *obj, const char *key);
json_t *cm_json_arr(const json_t *obj, const char *key);
/* Milliseconds of an RFC 3339 member; fallback when absent or malformed. */
int64_t cm_json_time(const json_t *obj, const char *key, int64_t fallback);
/* Is `text` one of the strings of the array? */
bool cm_json_has_str(const json_t *arr, const char *text);

/* Setters on an object (value copied). */
void cm_json_set_str(json_t *obj, const char *key, const char *value); /* NULL removes the member */
void cm_json_set_int(json_t *obj, const char *key, int64_t value);
void cm_json_set_bool(json_t *obj, const char *key, bool value);
void cm_json_set_time(json_t *obj, const char *key, int64_t ms); /* 0 removes the member */
void cm_json_set(json_t *obj, const char *key, json_t *take);    /* steals take; NULL removes */

/* Releases a value; texts in it that nobody else holds are wiped first.  NULL is allowed. */
void cm_json_free_secret(json_t *take);

/* Compact text of a value; the caller frees with cm_free. */
char *cm_json_dump(const json_t *v, size_t *ret_len);
/* Appends the same text. */
void cm_json_put(const json_t *v, struct cm_buf *out);

/* Appends a quoted string, escaped as RFC 8785 section 3.2.2.2 has it; text is UTF-8. */
void cm_json_put_string(struct cm_buf *out, const char *text, size_t len);
/* RFC 8785 canonical JSON (members sorted by UTF-16 code units, minimal escapes); integers only.
 * Appends to out.  Returns 0, CM_EINVAL (a real or an integer out of range) or CM_ELIMIT. */
int cm_json_canonical(const json_t *v, struct cm_buf *out, struct cm_err *err);
/* The same of an object with only those members that keep() wants, and one more that it must not
 * have. */
struct cm_json_extra {
    const char *key;
    const json_t *value;
    size_t at; /* returned: where in out its key begins */
};
int cm_json_canonical_view(const json_t *obj, bool (*keep)(const char *key),
                           struct cm_json_extra *extra, struct cm_buf *out, struct cm_err *err);
