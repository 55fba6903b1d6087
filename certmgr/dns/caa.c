/*
 * RFC 8659: the closest CAA record set upwards in the tree decides (section 3); issuewild goes
 * before issue for wildcards (4.3); a critical property nobody knows forbids (4.1); a server
 * failure is no "no" (Let's Encrypt refuses, too).  RFC 8657: parameters accounturi and
 * validationmethods.
 */
#include "certmgr/dns/caa.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/core/json.h"
#include "base/core/mem.h"
#include "certmgr/dns/zone.h"

#define CRITICAL   0x80
#define ISSUER_MAX 256
#define PARAM_MAX  1024

struct caa_check {
    struct dns_client *dns;
    struct dns_query *query; /* this or */
    struct caa_ask *ask;     /* that is under way */
    struct caa_memory *memory;
    bool fresh, kept; /* nothing kept will do; something kept was used */
    caa_fn done;
    void *arg;
    char *name, *account_uri, *method;
    json_t *identities;
    bool wildcard;
    const char *at; /* inside of name */
    unsigned hops;  /* CNAMEs followed from `at` */
    char *cname;    /* asked instead of `at`, or NULL */
};

static void check_free(struct caa_check *check)
{
    cm_free(check->name);
    cm_free(check->account_uri);
    cm_free(check->method);
    cm_free(check->cname);
    json_decref(check->identities);
    cm_free(check);
}

void caa_cancel(struct caa_check *check)
{
    if (!check)
        return;
    dns_cancel(check->query);
    caa_ask_cancel(check->ask);
    check_free(check);
}

static void finish(struct caa_check *check, const json_t *found, struct cm_err *err)
{
    if (err)
        cm_err_object(err, "name %s%s", check->wildcard ? "*." : "", check->name);
    check->done(check->arg, found, err);
    check_free(check);
}

/* ---- one property ------------------------------------------------------------------------- */

static const char *skip_blanks(const char *p)
{
    while (*p == ' ' || *p == '\t')
        p++;
    return p;
}

/* Next "tag=value" of the parameters (RFC 8659 4.2); false at the end, *bad when malformed. */
static bool next_param(const char **at, char tag[ISSUER_MAX], char value[PARAM_MAX], bool *bad)
{
    const char *p = skip_blanks(*at);
    if (*p == '\0')
        return false;
    size_t tag_len = strcspn(p, "=; \t");
    const char *equals = skip_blanks(p + tag_len);
    const char *start = *equals == '=' ? skip_blanks(equals + 1) : equals;
    size_t len = strcspn(start, "; \t");
    const char *rest = skip_blanks(start + len);
    *bad = *equals != '=' || tag_len == 0 || tag_len >= ISSUER_MAX || len >= PARAM_MAX ||
           (*rest != '\0' && *rest != ';');
    if (*bad)
        return false;
    snprintf(tag, ISSUER_MAX, "%.*s", (int)tag_len, p);
    snprintf(value, PARAM_MAX, "%.*s", (int)len, start);
    *at = *rest == ';' ? rest + 1 : rest;
    return true;
}

static bool lists(const char *methods, const char *method)
{
    size_t len = strlen(method);
    for (const char *p = methods; *p;) {
        size_t n = strcspn(p, ",");
        if (n == len && strncasecmp(p, method, n) == 0)
            return true;
        p += n + (p[n] == ',');
    }
    return false;
}

/* Does this issue or issuewild property let our CA, account and method through? */
static bool permits(const struct caa_check *check, const char *text)
{
    char issuer[ISSUER_MAX], tag[ISSUER_MAX], value[PARAM_MAX];
    const char *p = skip_blanks(text);
    size_t len = strcspn(p, "; \t");
    const char *rest = skip_blanks(p + len);
    if (len == 0 || len >= sizeof(issuer) || (*rest != '\0' && *rest != ';'))
        return false;
    snprintf(issuer, sizeof(issuer), "%.*s", (int)len, p);
    bool ours = json_array_size(check->identities) == 0;
    for (size_t i = 0; i < json_array_size(check->identities) && !ours; i++) {
        const char *identity = json_string_value(json_array_get(check->identities, i));
        ours = identity && strcasecmp(identity, issuer) == 0;
    }
    bool bad = false, accounts = false;
    for (rest += *rest == ';'; ours && next_param(&rest, tag, value, &bad);) {
        if (strcasecmp(tag, "accounturi") == 0) { /* RFC 8657 3: two of them fit nobody */
            ours = !accounts && (!check->account_uri || strcmp(value, check->account_uri) == 0);
            accounts = true;
        } else if (strcasecmp(tag, "validationmethods") == 0) {
            ours = !check->method || lists(value, check->method);
        }
    }
    return ours && !bad;
}

/* ---- the record set ----------------------------------------------------------------------- */

static bool is_known(const char *tag)
{
    static const char *const known[] = {"issue",        "issuewild",    "iodef",   "issuemail",
                                        "contactemail", "contactphone", "issuevmc"};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strcmp(tag, known[i]) == 0)
            return true;
    return false;
}

static const char *tag_of(const json_t *record)
{
    return json_string_value(json_array_get(record, 1));
}

static const char *value_of(const json_t *record)
{
    return json_string_value(json_array_get(record, 2));
}

static json_int_t flags_of(const json_t *record)
{
    return json_integer_value(json_array_get(record, 0));
}

static json_t *found_of(const struct caa_check *check, const json_t *records)
{
    json_t *found = json_object(), *texts = json_array(), *record;
    size_t i;
    cm_json_set_str(found, "at", check->at);
    json_array_foreach(records, i, record)
    {
        CM_AUTO_STR text =
            cm_asprintf("%d %s \"%s\"", (int)flags_of(record), tag_of(record), value_of(record));
        json_array_append_new(texts, json_string(text));
    }
    cm_json_set(found, "records", texts);
    return found;
}

/* The CA's names as a person writes them into a record: "a.example" or "b.example". */
static void identities_text(const struct caa_check *check, char *out, size_t size)
{
    size_t len = 0;
    out[0] = '\0';
    for (size_t i = 0; i < json_array_size(check->identities) && len < size; i++) {
        const char *identity = json_string_value(json_array_get(check->identities, i));
        len += (size_t)snprintf(out + len, size - len, "%s\"%s\"", i > 0 ? " or " : "",
                                identity ? identity : "");
    }
}

static void forbid(struct caa_check *check, const json_t *found, const char *critical)
{
    struct cm_err err = CM_ERR_INIT;
    char ca[CM_ERR_OBJECT_MAX];
    const json_t *record;
    size_t i;
    identities_text(check, ca, sizeof(ca));
    if (critical)
        cm_fail(&err, CM_EDENIED,
                "CAA at %s has the critical property \"%.60s\", which CAs do not know: none may "
                "issue for %s%s",
                check->at, critical, check->wildcard ? "*." : "", check->name);
    else
        cm_fail(&err, CM_EDENIED, "CAA at %s does not let the CA (%s) issue for %s%s", check->at,
                ca[0] ? ca : "any", check->wildcard ? "*." : "", check->name);
    json_array_foreach(cm_json_arr(found, "records"), i, record)
        cm_err_cause(&err, "%s CAA %s", check->at, json_string_value(record));
    if (critical)
        cm_err_hint(&err, "take that record away");
    else
        cm_err_hint(&err, "add the record: %s CAA 0 %s %s%s%s", check->at,
                    check->wildcard ? "issuewild" : "issue", ca[0] ? ca : "the CA's name",
                    check->account_uri ? "; an accounturi in it has to be " : "",
                    check->account_uri ? check->account_uri : "");
    err.retry = CM_RETRY_CONFIGURATION;
    finish(check, found, &err);
    cm_err_fini(&err);
}

static void climb(struct caa_check *check);

static void start(struct caa_check *check)
{
    check->at = check->name;
    check->hops = 0;
    cm_free(check->cname);
    check->cname = NULL;
    climb(check);
}

static void judge(struct caa_check *check, const json_t *records)
{
    const char *critical = NULL;
    bool wild = false, restricted = false, allowed = false;
    size_t i;
    json_t *r;
    json_array_foreach(records, i, r)
    {
        wild = wild || (check->wildcard && strcmp(tag_of(r), "issuewild") == 0);
        if ((flags_of(r) & CRITICAL) && !is_known(tag_of(r)))
            critical = tag_of(r);
    }
    json_array_foreach(records, i, r)
    {
        if (strcmp(tag_of(r), wild ? "issuewild" : "issue") != 0)
            continue;
        restricted = true;
        allowed = allowed || permits(check, value_of(r));
    }
    bool denied = critical || (restricted && !allowed);
    if (denied && check->kept) { /* it may have been mended meanwhile */
        check->fresh = true;
        check->kept = false;
        start(check);
        return;
    }
    CM_AUTO_JSON found = found_of(check, records);
    if (denied)
        forbid(check, found, critical);
    else
        finish(check, found, NULL);
}

/* ---- the climb ---------------------------------------------------------------------------- */

static void fail(struct caa_check *check, struct cm_err *err)
{
    cm_wrap(err, CM_EPEER, "cannot see whether CAA lets a CA issue for %s", check->name);
    cm_err_hint(err, "CAs refuse to issue while the CAA look-up of a name fails");
    finish(check, NULL, err);
}

static void on_answer(struct caa_check *check, const json_t *records, const char *next)
{
    if (json_array_size(records) > 0) {
        judge(check, records);
        return;
    }
    char *cname = next && check->hops < DNS_CNAME_MAX ? cm_strdup(next) : NULL;
    cm_free(check->cname);
    check->cname = cname;
    if (cname) {
        check->hops++;
    } else { /* the parent of the name, not of a CNAME's target (RFC 8659 3) */
        const char *dot = strchr(check->at, '.');
        check->at = dot ? dot + 1 : "";
        check->hops = 0;
    }
    if (check->at[0] == '\0')
        finish(check, NULL, NULL);
    else
        climb(check);
}

static void on_reply(void *arg, const struct dns_reply *reply)
{
    struct caa_check *check = arg;
    struct cm_err err = CM_ERR_INIT;
    CM_AUTO_JSON records = NULL;
    const char *cname;
    check->query = NULL;
    if (caa_reply_read(reply, &records, &cname, &err) < 0)
        fail(check, &err);
    else
        on_answer(check, records, cname);
    cm_err_fini(&err);
}

static void on_seen(void *arg, const struct caa_seen *seen)
{
    struct caa_check *check = arg;
    struct cm_err err = CM_ERR_INIT;
    check->ask = NULL;
    check->kept = check->kept || seen->kept;
    if (seen->err) {
        cm_err_copy(&err, seen->err);
        fail(check, &err);
    } else {
        on_answer(check, seen->records, seen->cname);
    }
    cm_err_fini(&err);
}

static void climb(struct caa_check *check)
{
    const char *name = check->cname ? check->cname : check->at;
    if (check->memory)
        check->ask = caa_memory_ask(check->memory, name, check->fresh, on_seen, check);
    else
        check->query = dns_ask(check->dns, &(struct dns_question){.name = name, .type = DNS_CAA},
                               on_reply, check);
}

struct caa_check *caa_check(struct cm_loop *loop, struct dns_client *dns,
                            const struct caa_question *question, caa_fn done, void *arg)
{
    struct caa_check *check = cm_calloc(1, sizeof(*check));
    const char *name = question->name;
    (void)loop;
    check->wildcard = strncmp(name, "*.", 2) == 0;
    check->dns = dns;
    check->memory = question->memory;
    check->done = done;
    check->arg = arg;
    check->name = cm_strdup(check->wildcard ? name + 2 : name);
    check->account_uri = question->account_uri ? cm_strdup(question->account_uri) : NULL;
    check->method = question->method ? cm_strdup(question->method) : NULL;
    check->identities = json_deep_copy(question->identities);
    start(check);
    return check;
}
