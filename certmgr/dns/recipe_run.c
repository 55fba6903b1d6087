/*
 * Kind "recipe": the machine's wishes done on the loop.
 *
 * Redirects are never followed and a POST is never sent twice unasked (base/net/http_client.h); a
 * token that a login fetched is kept for later calls of the same account with the same secrets.
 */
#include <string.h>

#include "base/core/bytes.h"
#include "base/core/clock.h"
#include "base/core/mem.h"
#include "certmgr/dns/recipe.h"
#include "certmgr/dns/recipe_gate.h"
#include "certmgr/dns/sign.h"
#include "certmgr/dns/zone.h"

#define LOGINS_MAX      32
#define PARALLEL_USUAL  4
#define TIMEOUT_USUAL_S 30

struct run {
    struct dnsp_call *call;
    bool adding;
    struct rcp_machine *machine;
    const struct rcp_request *request;
    struct http_call *http;
    struct dns_find *find;
    struct cm_timer *timer;
    struct gate_pass *turn, *pass; /* of the whole call (serial); of one request */
    char *login_key;
};

/* ---- kept logins --------------------------------------------------------------------------- */

static struct kept {
    char *key;
    json_t *login;
    int64_t until_ms; /* monotonic */
} kept[LOGINS_MAX];

static void kept_drop(struct kept *k)
{
    const char *name;
    json_t *v;
    json_object_foreach(k->login, name, v)
    {
        char *text = (char *)(uintptr_t)json_string_value(v);
        if (text && k->login->refcount == 1)
            cm_wipe(text, strlen(text));
    }
    cm_json_free(&k->login);
    cm_free(k->key);
    *k = (struct kept){0};
}

static struct kept *kept_find(const char *key)
{
    struct kept *found = NULL;
    for (size_t i = 0; i < LOGINS_MAX; i++) {
        if (kept[i].key && kept[i].until_ms <= cm_mono_ms())
            kept_drop(&kept[i]);
        if (kept[i].key && strcmp(kept[i].key, key) == 0)
            found = &kept[i];
    }
    return found;
}

static void kept_put(const char *key, const json_t *login, int64_t life_ms)
{
    struct kept *k = kept_find(key);
    for (size_t i = 0; i < LOGINS_MAX && !k; i++)
        if (!kept[i].key)
            k = &kept[i];
    if (!k)
        k = &kept[0];
    kept_drop(k);
    *k = (struct kept){
        .key = cm_strdup(key), .login = json_deep_copy(login), .until_ms = cm_mono_ms() + life_ms};
}

/* Another secret or another recipe is another login. */
static char *login_key(const struct dnsp_account *account)
{
    char hex[CM_SHA256_HEX];
    CM_AUTO_JSON all =
        json_pack("{s:O*, s:O*, s:O*}", "secrets", account->secrets, "options", account->options,
                  "auth", json_object_get(account->recipe, "auth"));
    char *text = json_dumps(all, JSON_SORT_KEYS | JSON_COMPACT);
    cm_sha256_hex(text ? text : "", text ? strlen(text) : 0, hex);
    if (text)
        cm_free_secret(text, strlen(text));
    return cm_asprintf("%s %s", account->name, hex);
}

/* ---- doing --------------------------------------------------------------------------------- */

static void go_on(struct run *run);

static const json_t *limits_of(const struct run *run)
{
    return cm_json_obj(run->call->account.recipe, "limits");
}

static void run_free(struct run *run)
{
    if (run->http)
        http_call_cancel(run->http);
    if (run->find)
        dns_place_cancel(run->find);
    gate_leave(run->pass);
    gate_leave(run->turn);
    cm_timer_free(run->timer);
    rcp_machine_free(run->machine);
    cm_free(run->login_key);
    cm_free(run);
}

static void finish(struct run *run)
{
    struct dnsp_call *call = run->call;
    struct cm_err err = CM_ERR_INIT;
    json_t *record = NULL;
    int64_t life;
    const json_t *login = rcp_login(run->machine, &life);
    int rc = rcp_result(run->machine, &record, &err);
    if (login && rc == 0)
        kept_put(run->login_key, login, life);
    run_free(run);
    dnsp_finish(call, record, rc < 0 ? &err : NULL);
    cm_err_fini(&err);
}

static void on_http(void *arg, const struct http_result *res)
{
    struct run *run = arg;
    run->http = NULL;
    gate_leave(run->pass);
    run->pass = NULL;
    if (res->err->code) {
        rcp_lost(run->machine, res->err);
    } else {
        struct rcp_reply reply = {.status = res->status,
                                  .headers = res->headers,
                                  .body = res->body,
                                  .body_len = res->body_len};
        rcp_replied(run->machine, &reply);
    }
    go_on(run);
}

static void on_pass(void *arg)
{
    struct run *run = arg;
    struct cm_err err = CM_ERR_INIT;
    const struct rcp_request *r = run->request;
    struct http_call_opts opts = {
        .method = r->method,
        .url = r->url,
        .headers = (const char *const *)r->headers,
        .body = r->body,
        .body_len = r->body_len,
        .timeout_ms = (int)cm_json_int(limits_of(run), "timeout_s", TIMEOUT_USUAL_S) * 1000,
        .reply_max = DNSP_REPLY_MAX,
        .allow_http = run->call->env->lab_http,
        .once = strcmp(r->method, "POST") == 0 || strcmp(r->method, "PATCH") == 0,
    };
    run->http = http_call(run->call->env->http, &opts, on_http, run, &err);
    if (run->http)
        return;
    gate_leave(run->pass);
    run->pass = NULL;
    rcp_lost(run->machine, &err);
    cm_err_fini(&err);
    go_on(run);
}

static void on_place(void *arg, const struct dns_place *place, const struct cm_err *err)
{
    struct run *run = arg;
    run->find = NULL;
    rcp_zone_found(run->machine, place ? place->zone : NULL, err);
    go_on(run);
}

static void on_pause(void *arg)
{
    go_on(arg);
}

static void go_on(struct run *run)
{
    const struct dnsp_env *env = run->call->env;
    const json_t *limits = limits_of(run);
    int64_t pause;
    switch (rcp_next(run->machine, &run->request, &pause)) {
    case RCP_ASK_SEND:
        run->pass = gate_ask(env->loop, run->call->account.name,
                             cm_json_int(limits, "parallel", PARALLEL_USUAL),
                             cm_json_int(limits, "min_interval_ms", 0), on_pass, run);
        break;
    case RCP_ASK_SOA:
        run->find = dns_place_find(env->loop, env->dns, run->call->fqdn, on_place, run);
        break;
    case RCP_ASK_PAUSE:
        cm_timer_start(run->timer, pause);
        break;
    case RCP_ASK_DONE:
        finish(run);
        break;
    }
}

/* The call's turn has come: only now, so that it finds the login of the call before it. */
static void on_begin(void *arg)
{
    struct run *run = arg;
    struct dnsp_call *call = run->call;
    struct cm_err err = CM_ERR_INIT;
    const struct kept *login = kept_find(run->login_key);
    struct rcp_job job = {
        .recipe = call->account.recipe,
        .options = call->account.options,
        .secrets = call->account.secrets,
        .fqdn = call->fqdn,
        .value = call->value,
        .adding = run->adding,
        .record = call->record,
        .login = login ? login->login : NULL,
        .sign = sign_rs256,
        .now_ms = cm_now_ms(),
        .lab_http = call->env->lab_http,
        .trace = call->trace,
        .trace_arg = call->arg,
    };
    if (rcp_machine_new(&job, &run->machine, &err) == 0) {
        cm_timer_free(run->timer);
        run->timer = cm_timer_new(call->env->loop, on_pause, run);
        go_on(run);
        return;
    }
    run_free(run);
    dnsp_finish(call, NULL, &err);
    cm_err_fini(&err);
}

static void *begin(struct dnsp_call *call, bool adding)
{
    struct run *run = cm_calloc(1, sizeof(*run));
    run->call = call;
    run->adding = adding;
    run->login_key = login_key(&call->account);
    if (cm_json_bool(limits_of(run), "serial", false)) {
        CM_AUTO_STR key = cm_asprintf("%s (calls)", call->account.name);
        run->turn = gate_ask(call->env->loop, key, 1, 0, on_begin, run);
    } else {
        run->timer = cm_timer_new(call->env->loop, on_begin, run);
        cm_timer_start(run->timer, 0);
    }
    return run;
}

static void *recipe_add(struct dnsp_call *call)
{
    return begin(call, true);
}

static void *recipe_delete(struct dnsp_call *call)
{
    return begin(call, false);
}

static void recipe_cancel(void *state)
{
    run_free(state);
}

static int recipe_check(const struct dnsp_account *account, struct cm_err *err)
{
    if (!account->recipe)
        return cm_fail(err, CM_EINVAL, "provider: the recipe of the account is missing");
    int rc = rcp_check(account->recipe, err);
    return rc < 0 ? rc
                  : rcp_check_account(account->recipe, account->options, account->secrets, err);
}

const struct dnsp_kind dnsp_recipe = {
    .name = "recipe",
    .title = "HTTP API described by a recipe",
    .check = recipe_check,
    .add = recipe_add,
    .del = recipe_delete,
    .cancel = recipe_cancel,
};
