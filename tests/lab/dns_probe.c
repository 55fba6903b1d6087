/*
 * dns-probe: the DNS library by hand, for tests against real name servers.  Never installed.
 *
 * One JSON question as argument, one JSON answer on stdout:
 *   {"resolver","dns_port","do":"add"|"delete","fqdn","value","options","secrets"}
 *   {…,"do":"wait","values":[{"fqdn","value"}],"resolvers","limit_s"}
 *   {…,"do":"place","fqdn"}
 *   {…,"do":"caa","fqdn","identities":[…],"account_uri","method"}
 */
#include <stdio.h>
#include <string.h>

#include "base/core/clock.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "certmgr/dns/caa.h"
#include "certmgr/dns/propagate.h"
#include "certmgr/dns/provider.h"
#include "certmgr/dns/zone.h"

struct probe {
    struct cm_loop *loop;
    json_t *answer;
};

static void finish(struct probe *probe, const struct cm_err *err)
{
    if (err)
        cm_json_set(probe->answer, "error", cm_err_to_json(err));
    cm_json_set_bool(probe->answer, "ok", err == NULL);
    cm_loop_stop(probe->loop);
}

static void on_trace(void *arg, const char *line)
{
    struct probe *probe = arg;
    json_array_append_new(cm_json_arr(probe->answer, "trace"), json_string(line));
}

static void on_done(void *arg, const json_t *record, const struct cm_err *err)
{
    (void)record;
    finish(arg, err);
}

static void on_waited(void *arg, const json_t *report, const struct cm_err *err)
{
    struct probe *probe = arg;
    cm_json_set(probe->answer, "report", json_deep_copy(report));
    finish(probe, err);
}

static void on_place(void *arg, const struct dns_place *place, const struct cm_err *err)
{
    struct probe *probe = arg;
    if (place) {
        json_t *servers = json_array();
        for (size_t i = 0; i < place->server_count; i++)
            json_array_append_new(servers, json_string(place->servers[i]));
        cm_json_set_str(probe->answer, "name", place->name);
        cm_json_set_str(probe->answer, "zone", place->zone);
        cm_json_set_str(probe->answer, "primary", place->primary);
        cm_json_set(probe->answer, "servers", servers);
        cm_json_set_int(probe->answer, "hops", place->hops);
        cm_json_set_bool(probe->answer, "wildcard", place->wildcard);
    }
    finish(probe, err);
}

static void on_caa(void *arg, const json_t *found, const struct cm_err *err)
{
    struct probe *probe = arg;
    cm_json_set(probe->answer, "found", found ? json_deep_copy(found) : json_null());
    finish(probe, err);
}

static bool start(struct probe *probe, const struct dnsp_env *env, const json_t *ask)
{
    const char *what = cm_json_str_or(ask, "do", ""), *fqdn = cm_json_str_or(ask, "fqdn", "");
    const char *value = cm_json_str_or(ask, "value", "");
    struct dnsp_account account = {.name = "probe",
                                   .kind = "rfc2136",
                                   .options = cm_json_obj(ask, "options"),
                                   .secrets = cm_json_obj(ask, "secrets")};
    struct dns_wait_options wait = {.authoritative = true,
                                    .resolvers = cm_json_str(ask, "resolvers"),
                                    .interval_s = 1,
                                    .limit_s = (int)cm_json_int(ask, "limit_s", 20)};
    struct caa_question caa = {.name = fqdn,
                               .identities = cm_json_arr(ask, "identities"),
                               .account_uri = cm_json_str(ask, "account_uri"),
                               .method = cm_json_str(ask, "method")};
    if (strcmp(what, "add") == 0)
        dnsp_add(env, &account, fqdn, value, on_trace, on_done, probe);
    else if (strcmp(what, "delete") == 0)
        dnsp_delete(env, &account, fqdn, value, NULL, on_trace, on_done, probe);
    else if (strcmp(what, "wait") == 0)
        dns_wait(env->loop, env->dns, cm_json_arr(ask, "values"), &wait, on_waited, probe);
    else if (strcmp(what, "place") == 0)
        dns_place_find(env->loop, env->dns, fqdn, on_place, probe);
    else if (strcmp(what, "caa") == 0)
        caa_check(env->loop, env->dns, &caa, on_caa, probe);
    else
        return false;
    return true;
}

int main(int argc, char **argv)
{
    struct cm_err err = CM_ERR_INIT;
    CM_AUTO_JSON ask = NULL;
    struct dns_client *dns = NULL;
    if (argc != 2 || cm_json_parse(argv[1], strlen(argv[1]), &ask, &err) < 0) {
        fprintf(stderr, "usage: dns-probe JSON\n");
        cm_err_fini(&err);
        return 2;
    }
    struct probe probe = {.loop = cm_loop_new(), .answer = json_object()};
    cm_json_set(probe.answer, "trace", json_array());
    if (dns_client_new(probe.loop, cm_json_str(ask, "resolver"), &dns, &err) < 0) {
        finish(&probe, &err);
    } else {
        dns_client_set_port(dns, (unsigned)cm_json_int(ask, "dns_port", DNS_PORT));
        struct dnsp_env env = {.loop = probe.loop, .dns = dns};
        int64_t began = cm_mono_ms();
        if (start(&probe, &env, ask))
            cm_loop_run(probe.loop);
        cm_json_set_int(probe.answer, "ms", cm_mono_ms() - began);
    }
    CM_AUTO_STR text = cm_json_dump(probe.answer, NULL);
    bool ok = cm_json_bool(probe.answer, "ok", false);
    printf("%s\n", text);
    json_decref(probe.answer);
    dns_client_free(dns);
    cm_loop_free(probe.loop);
    cm_err_fini(&err);
    return ok ? 0 : 1;
}
