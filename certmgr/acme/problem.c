/* From a refusal of the CA to an error object. */
#include "certmgr/acme/problem.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/core/clock.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "certmgr/acme/header.h"
#include "certmgr/acme/ident.h"
#include "certmgr/acme/text.h"

#define TYPE_PREFIX     "urn:ietf:params:acme:error:"
#define SUBPROBLEMS_MAX 3 /* shown; the document itself is kept whole */

const char *acme_problem_type(const json_t *problem)
{
    static const size_t prefix_len = sizeof(TYPE_PREFIX) - 1;
    const char *type = cm_json_str(problem, "type");
    if (!type || strncmp(type, TYPE_PREFIX, prefix_len) != 0)
        return NULL;
    return type + prefix_len;
}

bool acme_problem_is(const json_t *problem, const char *type)
{
    const char *found = acme_problem_type(problem);
    return found && strcmp(found, type) == 0;
}

/* "compound" says nothing by itself: the hardest of its reasons decides. */
static enum cm_retry hardest(const json_t *problem, enum acme_about about, enum cm_retry retry)
{
    size_t i;
    json_t *sub;
    json_array_foreach(cm_json_arr(problem, "subproblems"), i, sub)
    {
        enum cm_retry r = acme_problem_row(acme_problem_type(sub), about, 0)->retry;
        if (r == CM_RETRY_PERMANENT || (r == CM_RETRY_CONFIGURATION && retry != CM_RETRY_PERMANENT))
            retry = r;
    }
    return retry;
}

static void add_subproblems(struct cm_err *err, const json_t *problem, enum acme_about about)
{
    json_t *subs = cm_json_arr(problem, "subproblems");
    size_t count = json_array_size(subs);
    for (size_t i = 0; i < count && i < SUBPROBLEMS_MAX; i++) {
        const json_t *sub = json_array_get(subs, i);
        char name[ACME_TEXT_MAX];
        char type[ACME_TEXT_MAX];
        char detail[ACME_TEXT_MAX];
        const char *short_type = acme_problem_type(sub);
        acme_text(cm_json_str_or(cm_json_obj(sub, "identifier"), "value", "one reason"), name);
        acme_text(short_type ? short_type : cm_json_str_or(sub, "type", "unknown type"), type);
        acme_text(cm_json_str_or(sub, "detail", acme_problem_row(short_type, about, 0)->meaning),
                  detail);
        cm_err_cause(err, "%.120s: %.60s: %s", name, type, detail);
    }
    if (count > SUBPROBLEMS_MAX)
        cm_err_cause(err, "and %zu more reasons, see the problem document",
                     count - SUBPROBLEMS_MAX);
}

static void keep_document(struct cm_err *err, const json_t *problem)
{
    size_t len = 0;
    cm_free(cm_json_dump(problem, &len));
    if (len <= ACME_PROBLEM_MAX) {
        err->problem = json_deep_copy(problem);
        return;
    }
    char cut[ACME_TEXT_MAX];
    err->problem = json_object();
    acme_text(cm_json_str(problem, "type"), cut);
    cm_json_set_str(err->problem, "type", cut);
    acme_text(cm_json_str(problem, "detail"), cut);
    cm_json_set_str(err->problem, "detail", cut);
    cm_json_set_int(err->problem, "status", cm_json_int(problem, "status", 0));
    cm_json_set_bool(err->problem, "shortened", true);
}

static void first_link(void *arg, const char *target);

/* The new terms stand in a header field only: kept beside what the CA's document says. */
static void keep_terms(struct cm_err *err, const char *headers)
{
    char terms[ACME_TEXT_MAX] = "";
    acme_link_each(headers, "terms-of-service", first_link, terms);
    if (terms[0] != '\0' && acme_problem_is(err->problem, "userActionRequired"))
        cm_json_set_str(err->problem, "terms", terms);
}

static void first_link(void *arg, const char *target)
{
    char *out = arg;
    if (out[0] == '\0')
        acme_text(target, out);
}

/* Where the CA sends people: Link rel=help (6.6), `instance` and the terms (6.7, 7.3.3). */
static void add_pages(struct cm_err *err, const json_t *problem, const char *headers)
{
    char page[ACME_TEXT_MAX] = "";
    char terms[ACME_TEXT_MAX] = "";
    const char *instance = cm_json_str(problem, "instance");
    if (acme_problem_is(problem, "userActionRequired") && instance)
        acme_text(instance, page);
    if (page[0] == '\0')
        acme_link_each(headers, "help", first_link, page);
    if (page[0] != '\0')
        cm_err_cause(err, "The CA points to %s", page);
    if (err->code == CM_EHUMAN)
        acme_link_each(headers, "terms-of-service", first_link, terms);
    if (terms[0] != '\0' && strcmp(terms, page) != 0)
        cm_err_cause(err, "The terms of service are at %s", terms);
}

/* What the CA would take instead (RFC 8555 6.2). */
static void add_algorithms(struct cm_err *err, const json_t *problem)
{
    char list[ACME_TEXT_MAX] = "";
    char shown[ACME_TEXT_MAX];
    size_t i;
    size_t len = 0;
    json_t *name;
    if (!acme_problem_is(problem, "badSignatureAlgorithm"))
        return;
    json_array_foreach(cm_json_arr(problem, "algorithms"), i, name)
    {
        if (!json_is_string(name) || len >= sizeof(list) / 2)
            continue;
        len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%.40s", len ? ", " : "",
                                json_string_value(name));
    }
    acme_text(list, shown);
    if (shown[0] != '\0')
        cm_err_cause(err, "The CA takes: %s", shown);
}

static bool in_name(char c)
{
    return isalnum((unsigned char)c) || c == '-' || c == '_' || c == '*';
}

/* Does the name stand in a sentence, not as part of another name? */
static bool says_name(const char *text, const char *name)
{
    size_t len = strlen(name);
    for (const char *p = text; (p = strcasestr(p, name)) != NULL; p++) {
        bool begins = p == text || (!in_name(p[-1]) && p[-1] != '.');
        bool ends = !in_name(p[len]) && !(p[len] == '.' && in_name(p[len + 1]));
        if (begins && ends)
            return true;
    }
    return false;
}

void acme_problem_names(struct cm_err *err, const json_t *names)
{
    bool refused = acme_problem_is(err->problem, "rejectedIdentifier") ||
                   acme_problem_is(err->problem, "unsupportedIdentifier");
    const char *detail = cm_json_str_or(err->problem, "detail", "");
    size_t i, k;
    json_t *sub, *name;
    json_array_foreach(cm_json_arr(err->problem, "subproblems"), i, sub)
    {
        const json_t *ident = cm_json_obj(sub, "identifier");
        json_array_foreach(names, k, name)
        {
            if (acme_ident_is(ident, json_string_value(name)))
                cm_err_name(err, json_string_value(name));
        }
    }
    json_array_foreach(names, k, name)
    {
        if (refused && !cm_json_arr(err->problem, "subproblems") &&
            says_name(detail, json_string_value(name)))
            cm_err_name(err, json_string_value(name));
    }
}

int acme_problem_fail(struct cm_err *err, const json_t *problem, int status, const char *headers,
                      enum acme_about about, const char *what)
{
    if (!json_is_object(problem))
        problem = NULL;
    const char *type = acme_problem_type(problem);
    const struct acme_problem_row *row = acme_problem_row(type, about, status);
    char shown[ACME_TEXT_MAX];
    char number[32] = "";
    if (!err)
        return row->code;
    if (status != 0)
        snprintf(number, sizeof(number), "%sHTTP %d", problem ? ", " : "", status);
    acme_text(type ? type : cm_json_str_or(problem, "type", problem ? "no type" : ""), shown);
    cm_fail(err, row->code, "The CA refused %s (%s%s)", what, shown, number);
    err->retry = hardest(problem, about, row->retry);
    cm_err_cause(err, "%s", row->meaning);
    if (cm_json_str(problem, "detail")) {
        acme_text(cm_json_str(problem, "detail"), shown);
        cm_err_cause(err, "The CA says: %s", shown);
    }
    add_subproblems(err, problem, about);
    add_algorithms(err, problem);
    add_pages(err, problem, headers);
    cm_err_hint(err, "%s: %s", row->who, row->hint);
    if (problem) {
        keep_document(err, problem);
        keep_terms(err, headers);
    }
    int64_t after = acme_retry_after(headers, cm_now_ms());
    if (after > 0)
        err->next_attempt_ms = after;
    return err->code;
}
