/*
 * Proves a recipe without a network: its recorded replies are played to the machine, and the
 * requests that it makes must be the recorded ones.
 */
#include <string.h>
#include <strings.h>

#include "base/core/mem.h"
#include "certmgr/dns/recipe_parse.h"

#define TURNS_MAX 200
#define TEST_TIME INT64_C(1767225600000) /* 2026-01-01, so that signed claims can be compared */
#define TEXT_MAX  400

static const struct rcp_member test_members[] = {
    {"name", T_TEXT, true},   {"action", T_TEXT, true},      {"fqdn", T_TEXT, true},
    {"value", T_TEXT, true},  {"credentials", T_OBJ, false}, {"options", T_OBJ, false},
    {"record", T_OBJ, false}, {"soa", T_TEXT, false},        {"exchange", T_LIST, true},
    {"expect", T_OBJ, false}, {"fails", T_TEXT, false},      {NULL, T_ANY, false}};
static const struct rcp_member pair_members[] = {
    {"request", T_OBJ, true}, {"reply", T_OBJ, true}, {NULL, T_ANY, false}};
static const struct rcp_member request_members[] = {
    {"method", T_TEXT, true}, {"url", T_TEXT, true},   {"headers", T_MAP, false},
    {"json", T_ANY, false},   {"form", T_TEXT, false}, {NULL, T_ANY, false}};
static const struct rcp_member reply_members[] = {{"status", T_COUNT, true},
                                                  {"headers", T_MAP, false},
                                                  {"json", T_ANY, false},
                                                  {"text", T_TEXT, false},
                                                  {NULL, T_ANY, false}};

struct play {
    struct rcp_parse *p;
    const char *pointer;
    const json_t *test, *exchange;
    size_t at;
};

/* ---- comparing ----------------------------------------------------------------------------- */

static int differs(struct play *play, const char *part, const char *want, const char *made)
{
    CM_AUTO_STR at = cm_asprintf("%s/exchange/%zu/request/%s", play->pointer, play->at, part);
    CM_AUTO_STR why =
        cm_asprintf("recorded %.*s, made %.*s", TEXT_MAX / 2, want, TEXT_MAX / 2, made);
    return rcpp_fail(play->p, at, why);
}

/* "*" in the recording stands for any text (a signature). */
static bool same_text(const char *want, const char *made)
{
    return strcmp(want, "*") == 0 || strcmp(want, made) == 0;
}

static const char *header_of(const struct rcp_request *r, const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < r->header_count; i++)
        if (strncasecmp(r->headers[i], name, len) == 0 && r->headers[i][len] == ':')
            return r->headers[i] + len + 1 + strspn(r->headers[i] + len + 1, " ");
    return "(no such header)";
}

static int compare_headers(struct play *play, const json_t *want, const struct rcp_request *made)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)want, name, value)
    {
        CM_AUTO_STR text = rcp_scalar(value);
        CM_AUTO_STR part = cm_asprintf("headers/%s", name);
        if (!text || !same_text(text, header_of(made, name)))
            return differs(play, part, text ? text : "(no text)", header_of(made, name));
    }
    return 0;
}

static int compare_body(struct play *play, const json_t *want, const struct rcp_request *made)
{
    const json_t *json = json_object_get(want, "json");
    const char *form = cm_json_str(want, "form");
    const char *body = made->body ? made->body : "";
    if (form)
        return same_text(form, body) ? 0 : differs(play, "form", form, body);
    if (!json)
        return made->body ? differs(play, "json", "(no body)", body) : 0;
    CM_AUTO_JSON is = NULL;
    if (cm_json_parse_lax(body, made->body_len, &is, NULL) == 0 && json_equal(is, json))
        return 0;
    CM_AUTO_STR copy = cm_json_dump(json, NULL);
    return differs(play, "json", copy, body);
}

static int compare(struct play *play, const struct rcp_request *made)
{
    const json_t *want = cm_json_obj(json_array_get(play->exchange, play->at), "request");
    if (!want) {
        CM_AUTO_STR why = cm_asprintf("holds %zu requests, but another is made: %.*s",
                                      json_array_size(play->exchange), TEXT_MAX, made->shown);
        CM_AUTO_STR at = cm_asprintf("%s/exchange", play->pointer);
        return rcpp_fail(play->p, at, why);
    }
    if (strcmp(cm_json_str_or(want, "method", ""), made->method) != 0)
        return differs(play, "method", cm_json_str_or(want, "method", ""), made->shown);
    if (!same_text(cm_json_str_or(want, "url", ""), made->url))
        return differs(play, "url", cm_json_str_or(want, "url", ""), made->url);
    int rc = compare_headers(play, cm_json_obj(want, "headers"), made);
    return rc < 0 ? rc : compare_body(play, want, made);
}

/* ---- playing ------------------------------------------------------------------------------- */

static void answer(struct play *play, struct rcp_machine *m)
{
    const json_t *rec = cm_json_obj(json_array_get(play->exchange, play->at++), "reply");
    const json_t *json = json_object_get(rec, "json");
    struct cm_buf head;
    const char *name;
    json_t *value;
    size_t len = 0;
    cm_buf_init(&head, RCP_BODY_MAX);
    cm_buf_puts(&head, "HTTP/1.1 200 recorded\r\n");
    json_object_foreach(cm_json_obj(rec, "headers"), name, value)
    {
        CM_AUTO_STR text = rcp_scalar(value);
        cm_buf_printf(&head, "%s: %s\r\n", name, text ? text : "");
    }
    CM_AUTO_STR body = json ? cm_json_dump(json, &len) : cm_strdup(cm_json_str_or(rec, "text", ""));
    struct rcp_reply reply = {.status = (int)cm_json_int(rec, "status", 0),
                              .headers = cm_buf_str(&head),
                              .body = body,
                              .body_len = strlen(body)};
    rcp_replied(m, &reply);
    cm_buf_fini(&head);
}

static int not_signed(const char *key_pem, const char *text, char **ret, struct cm_err *err)
{
    (void)key_pem;
    (void)text;
    (void)err;
    *ret = cm_strdup("signature");
    return 0;
}

/* Every member of want is in have. */
static bool holds_all(const json_t *have, const json_t *want)
{
    const char *key;
    json_t *member;
    if (!json_is_object(want))
        return json_equal(have, want);
    json_object_foreach((json_t *)(uintptr_t)want, key, member)
    {
        if (!holds_all(json_object_get(have, key), member))
            return false;
    }
    return true;
}

static int judge_end(struct play *play, struct rcp_machine *m)
{
    struct cm_err err = CM_ERR_INIT;
    json_t *record = NULL;
    const char *fails = cm_json_str(play->test, "fails");
    const json_t *expect = cm_json_obj(play->test, "expect");
    char line[CM_ERR_TEXT_MAX];
    int rc = rcp_result(m, &record, &err), verdict = 0;
    cm_err_line(&err, line, sizeof(line));
    if (rc < 0 && (!fails || !strstr(line, fails)))
        verdict = rcpp_fail(play->p, play->pointer, line);
    else if (rc == 0 && fails)
        verdict = rcpp_fail(play->p, play->pointer, "should fail, but ends well");
    else if (play->at < json_array_size(play->exchange))
        verdict = rcpp_fail(play->p, play->pointer, "ends before every recorded request was made");
    else if (expect && !holds_all(record, expect))
        verdict =
            rcpp_fail(play->p, play->pointer, "the record for deleting is not the expected one");
    json_decref(record);
    cm_err_fini(&err);
    return verdict;
}

static int drive(struct play *play, struct rcp_machine *m)
{
    const struct rcp_request *request;
    const char *soa = cm_json_str(play->test, "soa");
    int64_t pause;
    for (unsigned turn = 0; turn < TURNS_MAX; turn++) {
        switch (rcp_next(m, &request, &pause)) {
        case RCP_ASK_SEND:
            if (compare(play, request) < 0)
                return CM_EINVAL;
            answer(play, m);
            break;
        case RCP_ASK_SOA:
            rcp_zone_found(m, soa, NULL);
            break;
        case RCP_ASK_PAUSE:
            break;
        case RCP_ASK_DONE:
            return judge_end(play, m);
        }
    }
    return rcpp_fail(play->p, play->pointer, "does not end");
}

static int check_pairs(struct play *play)
{
    for (size_t i = 0; i < json_array_size(play->exchange); i++) {
        const json_t *pair = json_array_get(play->exchange, i);
        CM_AUTO_STR at = cm_asprintf("%s/exchange/%zu", play->pointer, i);
        CM_AUTO_STR request = cm_asprintf("%s/request", at);
        CM_AUTO_STR reply = cm_asprintf("%s/reply", at);
        if (rcpp_object(play->p, at, pair, pair_members) < 0 ||
            rcpp_object(play->p, request, cm_json_obj(pair, "request"), request_members) < 0 ||
            rcpp_object(play->p, reply, cm_json_obj(pair, "reply"), reply_members) < 0)
            return CM_EINVAL;
    }
    return 0;
}

static int run_test(struct play *play, dnsp_trace_fn trace, void *arg)
{
    const json_t *t = play->test;
    struct rcp_machine *m = NULL;
    struct rcp_job job = {
        .recipe = play->p->recipe,
        .options = cm_json_obj(t, "options"),
        .secrets = cm_json_obj(t, "credentials"),
        .fqdn = cm_json_str(t, "fqdn"),
        .value = cm_json_str(t, "value"),
        .adding = strcmp(cm_json_str_or(t, "action", ""), "add") == 0,
        .record = cm_json_obj(t, "record"),
        .sign = not_signed,
        .now_ms = TEST_TIME,
        .trace = trace,
        .trace_arg = arg,
    };
    if (rcp_check_account(job.recipe, job.options, job.secrets, play->p->err) < 0 ||
        rcp_machine_new(&job, &m, play->p->err) < 0) {
        int rc = cm_wrap(play->p->err, CM_EINVAL, "recipe %s: test %.60s: %s",
                         cm_json_str_or(job.recipe, "id", ""), play->p->test, play->pointer);
        cm_err_object(play->p->err, "%s", play->pointer);
        return rc;
    }
    int rc = drive(play, m);
    rcp_machine_free(m);
    return rc;
}

int dnsp_lint(const json_t *recipe, dnsp_trace_fn trace, void *arg, struct cm_err *err)
{
    struct rcp_parse p = {.recipe = recipe, .err = err};
    const json_t *tests = cm_json_arr(recipe, "tests");
    if (rcp_check(recipe, err) < 0)
        return CM_EINVAL;
    if (json_array_size(tests) == 0 && trace)
        trace(arg, "no recorded tests: nothing shows that the requests are right");
    for (size_t i = 0; i < json_array_size(tests); i++) {
        const json_t *test = json_array_get(tests, i);
        CM_AUTO_STR at = cm_asprintf("/tests/%zu", i);
        if (rcpp_object(&p, at, test, test_members) < 0 ||
            rcpp_choice(&p, at, test, "action", "add delete") < 0)
            return CM_EINVAL;
        struct play play = {
            .p = &p, .pointer = at, .test = test, .exchange = cm_json_arr(test, "exchange")};
        p.test = cm_json_str(test, "name");
        if (check_pairs(&play) < 0 || run_test(&play, trace, arg) < 0)
            return CM_EINVAL;
        CM_AUTO_STR line = cm_asprintf("test %.60s: passed", cm_json_str(test, "name"));
        p.test = NULL;
        if (trace)
            trace(arg, line);
    }
    return 0;
}
