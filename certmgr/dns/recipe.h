/*
 * DNS provider recipes: declarative JSON documents (docs/dns-providers.md) that describe how one
 * provider's HTTP API adds and removes TXT values.  No code, no expressions: pointers (RFC 6901),
 * equality and templates.
 *
 * A recipe is checked as a whole (rcp_check) before anything of it is used; the machine
 * (recipe_machine.c) then asks for one thing at a time and has no socket of its own, so that the
 * lint can play recorded replies to it.
 */
#pragma once

#include "base/core/buf.h"
#include "base/core/json.h"
#include "certmgr/dns/provider.h"

#define RCP_BYTES_MAX    (128u << 10) /* of one recipe's text */
#define RCP_TEMPLATE_MAX 2048
#define RCP_NAME_MAX     32  /* of a credential, option or saved member */
#define RCP_ITEMS_MAX    500 /* records or zones looked at in one list */
#define RCP_PAGES_MAX    10
#define RCP_TRIES_MAX    4   /* of one request, when the provider is busy */
#define RCP_RETRY_MAX_S  120 /* Retry-After beyond this ends the call */
#define RCP_BODY_MAX     (64u << 10)

/* Proves a recipe offline: its schema, that every placeholder is known in its step, that the mode's
 * steps are there, and every recorded exchange of tests[] (requests compared, replies played back).
 * trace: a line per request and test; may be NULL.  Returns 0, or CM_EINVAL naming the place (JSON
 * pointer, which is the error's object, too). */
int dnsp_lint(const json_t *recipe, dnsp_trace_fn trace, void *arg, struct cm_err *err);

/* ---- recipe_parse.c ---- */
/* Schema, members, templates in their places; CM_EINVAL with the JSON pointer of what is wrong. */
int rcp_check(const json_t *recipe, struct cm_err *err);
/* An account's options and secrets against what the recipe asks for. */
int rcp_check_account(const json_t *recipe, const json_t *options, const json_t *secrets,
                      struct cm_err *err);
/* ---- recipe_pattern.c: [A-Za-z0-9_-]{10,200}, a subset of HTML's pattern: literals, "." and
 * classes, each with ? * + {n} {n,m}; no groups, no alternatives ---- */
#define RCP_PATTERN_MAX 200
bool rcp_pattern_ok(const char *pattern);
bool rcp_pattern_match(const char *pattern, const char *text); /* the whole text */

/* ---- recipe_template.c ---- */
enum rcp_pos { RCP_TEXT, RCP_PATH, RCP_QUERY, RCP_HEADER, RCP_FORM };
struct rcp_vars {
    const json_t *recipe;
    json_t *values; /* {"cred":{…},"opt":{…},"zone":{…},"name":{…},"value":…} */
};
struct rcp_hole {
    char root[RCP_NAME_MAX], name[RCP_NAME_MAX]; /* name "" when there is no dot */
    unsigned filters;
};
/* Calls fn for each placeholder; a non-zero return of fn stops and is returned. */
typedef int (*rcp_hole_fn)(void *arg, const struct rcp_hole *hole, struct cm_err *err);
int rcp_holes(const char *text, rcp_hole_fn fn, void *arg, struct cm_err *err);
/* The same for every text inside a JSON value. */
int rcp_holes_in(const json_t *v, rcp_hole_fn fn, void *arg, struct cm_err *err);
#define RCP_UNSET 1
/* Appends the text, escaped for its position; masked: secrets become ***.  Returns 0, RCP_UNSET
 * when the template is exactly one placeholder without a value (the member is left out), or
 * CM_EINVAL / CM_ELIMIT. */
int rcp_text(struct cm_buf *out, const char *text, const struct rcp_vars *vars, enum rcp_pos pos,
             bool masked, struct cm_err *err);
/* Appends JSON text; more: members added to the outermost object, or NULL. */
int rcp_json(struct cm_buf *out, const json_t *value, const json_t *more,
             const struct rcp_vars *vars, bool masked, struct cm_err *err);
/* The value of a template as JSON (its type kept when it is exactly one placeholder). */
int rcp_value(const json_t *value, const struct rcp_vars *vars, json_t **ret, struct cm_err *err);
/* Replaces every secret (credentials and login values of 4 bytes or more) by ***, in place. */
void rcp_scrub(char *text, const struct rcp_vars *vars);
void rcp_buf_wipe(struct cm_buf *buf); /* for buffers that held secrets */

/* ---- recipe_url.c ---- */
/* Appends base + target (or an absolute https target). */
int rcp_url(struct cm_buf *out, const char *target, const struct rcp_vars *vars, bool masked,
            struct cm_err *err);
/* Is this complete URL https (or, in the laboratory, http to a loopback address) and on an allowed
 * host, without dot segments? */
int rcp_url_allowed(const char *url, const struct rcp_vars *vars, bool lab_http,
                    struct cm_err *err);
/* Where requests can go with these options (NULL = none set): "host", or "host:port" for another
 * port than 443, each once (owned). */
json_t *rcp_reach(const json_t *recipe, const json_t *options);
bool rcp_is_loopback(const char *host);
/* The option that replaces `base`, or NULL. */
const char *rcp_base_option(const json_t *recipe);

/* ---- recipe_reply.c ---- */
struct rcp_reply {
    int status;
    const char *headers; /* raw block or "" */
    const char *body;
    size_t body_len;
};
/* RFC 6901; NULL when there is nothing. */
const json_t *rcp_pointer(const json_t *v, const char *pointer);
bool rcp_pointer_ok(const char *pointer);
/* Does a predicate (or one of a list) hold?  doc may be NULL. */
bool rcp_holds(const json_t *predicate, int status, const json_t *doc);
/* A predicate of the step, else of the recipe, else NULL. */
const json_t *rcp_rule(const json_t *recipe, const json_t *step, const char *name);
/* JSON, or text as one string when the recipe says "reply": "text". */
int rcp_reply_parse(const json_t *recipe, const json_t *step, const struct rcp_reply *reply,
                    json_t **ret, struct cm_err *err);
/* What the provider said, for people, scrubbed of secrets. */
int rcp_reply_fail(const struct rcp_vars *vars, const json_t *step, const char *what,
                   const struct rcp_reply *reply, const json_t *doc, struct cm_err *err);
/* Copies save pointers from doc into obj ("record.id" and "id" are the same). */
void rcp_save(const json_t *save, const json_t *doc, json_t *obj);
/* Number, boolean or string as text for comparing; NULL for others.  Freed with cm_free. */
char *rcp_scalar(const json_t *v);
/* Appends the items of a list that fit `where` to ret; each as {"item","value","id"}. */
int rcp_items(const json_t *step, const json_t *doc, const struct rcp_vars *vars, json_t *ret,
              struct cm_err *err);
/* A TXT value as people mean it: character-strings in quotes joined, else as it is. */
char *rcp_unquote(const char *text);
char *rcp_quote(const char *text);

/* ---- recipe_request.c ---- */
#define RCP_HEADERS_MAX 24
struct rcp_request {
    const char *method;
    char *url;                          /* may hold secrets, as headers and body may */
    char *headers[RCP_HEADERS_MAX + 1]; /* "Name: value", NULL at the end */
    size_t header_count;
    char *body; /* NULL = none */
    size_t body_len;
    char *shown; /* for people: secrets masked */
};
struct rcp_page {
    const char *next; /* complete URL, or NULL */
    const char *name; /* query parameter, or NULL */
    const char *value;
};
int rcp_request_build(struct rcp_request *ret, const json_t *step, const struct rcp_vars *vars,
                      bool with_auth, const struct rcp_page *page, bool lab_http,
                      struct cm_err *err);
void rcp_request_fini(struct rcp_request *request);

/* ---- recipe_auth.c ---- */
/* RS256 over text; *ret is base64url.  A port, so that the lint needs no key. */
typedef int (*rcp_sign_fn)(const char *key_pem, const char *text, char **ret, struct cm_err *err);
/* The step that fetches a token, or NULL when the kind needs none. */
json_t *rcp_login_step(const struct rcp_vars *vars, rcp_sign_fn sign, int64_t now_ms,
                       struct cm_err *err);
bool rcp_needs_login(const json_t *recipe);
/* Headers, query and body members that every request carries; each may be NULL. */
void rcp_auth_parts(const json_t *recipe, const json_t **headers, const json_t **query,
                    const json_t **body);
/* The Authorization line of kind basic and of fetched tokens, or NULL (cm_free_secret). */
int rcp_auth_line(const struct rcp_vars *vars, char **ret, struct cm_err *err);
/* Takes what a login answered: fills login.x and tells its life in ms (0 = this call only). */
int rcp_login_take(struct rcp_vars *vars, const json_t *doc, int64_t *ret_life_ms,
                   struct cm_err *err);

/* ---- recipe_set.c: whole sets read, merged, written ---- */
bool rcp_set_has(const json_t *found, const char *value);
/* Items to write: all that were found (as they came), with or without our value. */
json_t *rcp_set_with(const json_t *found, const struct rcp_vars *vars, struct cm_err *err);
json_t *rcp_set_without(const json_t *found, const char *value);
/* Is every foreign value of before still there? */
bool rcp_set_kept(const json_t *before, const json_t *after, const char *value);

/* ---- recipe_machine.c ---- */
struct rcp_job {
    const json_t *recipe, *options, *secrets;
    const char *fqdn, *value;
    bool adding;
    const json_t *record; /* of the add, or NULL */
    const json_t *login;  /* kept from an earlier call, or NULL */
    rcp_sign_fn sign;
    int64_t now_ms;
    bool lab_http;
    dnsp_trace_fn trace;
    void *trace_arg;
};
enum rcp_ask {
    RCP_ASK_SEND,  /* send `request`, then rcp_replied() or rcp_lost() */
    RCP_ASK_SOA,   /* find the zone by DNS, then rcp_zone_found() */
    RCP_ASK_PAUSE, /* come back after pause_ms */
    RCP_ASK_DONE,  /* rcp_result() */
};
struct rcp_machine;
/* The job's members outlive the machine.  The recipe and the account are checked. */
int rcp_machine_new(const struct rcp_job *job, struct rcp_machine **ret, struct cm_err *err);
void rcp_machine_free(struct rcp_machine *m);
enum rcp_ask rcp_next(struct rcp_machine *m, const struct rcp_request **request, int64_t *pause_ms);
void rcp_replied(struct rcp_machine *m, const struct rcp_reply *reply);
void rcp_lost(struct rcp_machine *m, const struct cm_err *err);
void rcp_zone_found(struct rcp_machine *m, const char *zone, const struct cm_err *err);
/* 0 and the record for the journal (owned by the caller; NULL when there is none), or the failure.
 */
int rcp_result(struct rcp_machine *m, json_t **ret_record, struct cm_err *err);
/* The login to keep for later calls and its life, or NULL. */
const json_t *rcp_login(const struct rcp_machine *m, int64_t *ret_life_ms);
