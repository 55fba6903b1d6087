/* The upstream of this server: its settings and the client.  See upstream.h. */
#include <string.h>

#include "base/core/clock.h"
#include "base/core/json.h"
#include "base/core/log.h"
#include "base/core/mem.h"
#include "certmgr/hub_cert.h"
#include "certmgr/hub_settings.h"
#include "certmgr/upstream_internal.h"

#define AGAIN_MS   5000  /* the agent could not open the secret */
#define FOREIGN_MS 60000 /* a second manager is told so often */

/* ---- the client --------------------------------------------------------------------------- */

static void stop_client(struct upstream *u)
{
    rp_client_end(u->client);
    u->client = NULL;
    cm_err_fini(&u->err);
    cm_timer_stop(u->again);
}

/* Two managers write: nothing is lost, the higher serial counts, but a person must stop one. */
static void on_foreign(void *arg, const char *id)
{
    struct upstream *u = arg;
    int64_t now = cm_mono_ms();
    if (u->opts.held || (u->foreign_told_ms != 0 && now - u->foreign_told_ms < FOREIGN_MS))
        return;
    u->foreign_told_ms = now;
    CM_AUTO_JSON told = json_object();
    cm_json_set_str(told, "id", id);
    cm_json_set_time(told, "at", cm_now_ms());
    (void)cs_kv_put(u->opts.store, UPSTREAM_TABLE, UPSTREAM_FOREIGN, told, NULL);
    cm_log(CM_LOG_ERROR, "replicator", id,
           "another manager wrote it: this one was restored without a hold, or runs twice; stop "
           "one of them");
}

static void start_client(struct upstream *u, const struct rp_client_opts *opts)
{
    struct cm_err err = CM_ERR_INIT;
    if (rp_client_new(opts, &u->client, &err) != 0)
        cm_log_err(CM_LOG_ERROR, "replicator", &err);
    cm_err_fini(&err);
}

static void start_hub(struct upstream *u, const char *secret)
{
    struct hub_login login;
    hub_login(u->doc, secret, &login);
    u->is_hub = true;
    u->as_manager = fleet_is_manager(u->opts.fleet);
    struct rp_client_opts opts = {.loop = u->opts.loop,
                                  .store = u->opts.store,
                                  .http = u->opts.http,
                                  .url = cm_json_str(u->doc, "url"),
                                  .allow_http = u->opts.config->lab_http,
                                  .hub = true,
                                  .manager = u->as_manager,
                                  .heal = !u->opts.held,
                                  .authorization = login.authorization,
                                  .cert_pem = cm_json_str(u->doc, "cert_pem"),
                                  .key_pem = login.key_pem,
                                  .ca_pem = cm_json_str(u->doc, "ca_pem"),
                                  .on_foreign = on_foreign,
                                  .arg = u,
                                  .prove = fleet_prove,
                                  .prove_arg = u->opts.fleet};
    start_client(u, &opts);
    hub_login_fini(&login);
}

static void follow_manager(struct upstream *u)
{
    const struct kf_server *manager = kf_trust_manager(fleet_trust(u->opts.fleet));
    char url[400], cert[CONFIG_PATH_MAX + 32], key[CONFIG_PATH_MAX + 32];
    char pins[KF_PINS_TEXT];
    if (fleet_is_manager(u->opts.fleet)) {
        stop_client(u);
        return;
    }
    if (manager == NULL || manager->url == NULL)
        return;
    snprintf(url, sizeof(url), "%.380s/certstore", manager->url);
    kf_server_pins(manager, pins);
    if (u->client != NULL) {
        rp_client_retarget(u->client, url, pins);
        return;
    }
    config_tls_files(u->opts.config, cert, key, sizeof(cert));
    u->is_hub = false;
    struct rp_client_opts opts = {.loop = u->opts.loop,
                                  .store = u->opts.store,
                                  .http = u->opts.http,
                                  .url = url,
                                  .cert_file = cert,
                                  .key_file = key,
                                  .pin_spki = pins,
                                  .prove = fleet_prove,
                                  .prove_arg = u->opts.fleet};
    start_client(u, &opts);
}

/* ---- the secret --------------------------------------------------------------------------- */

struct opening {
    upstream_secret_fn done;
    void *arg;
};

static void on_opened(void *arg, const json_t *reply, const struct cm_err *err)
{
    struct opening *o = arg;
    o->done(o->arg, cm_json_str_or(reply, "value", ""), err);
    cm_free(o);
}

static void on_nothing(void *arg)
{
    on_opened(arg, NULL, NULL);
}

void upstream_open_secret(struct upstream *u, upstream_secret_fn done, void *arg)
{
    struct opening *o = cm_calloc(1, sizeof(*o));
    *o = (struct opening){.done = done, .arg = arg};
    if (!cm_json_str(u->doc, "sealed")) {
        cm_loop_defer(u->opts.loop, on_nothing, o);
        return;
    }
    json_t *request = json_object();
    cm_json_set_str(request, "op", "secret.open");
    cm_json_set_str(request, "purpose", "upstream");
    cm_json_set_str(request, "name", cm_json_str(u->doc, "url"));
    cm_json_set_str(request, "sealed", cm_json_str(u->doc, "sealed"));
    u->opts.agent.call(u->opts.agent.arg, request, on_opened, o);
}

struct waiting {
    struct upstream *u;
    uint64_t turn;
};

static void on_secret(void *arg, const char *secret, const struct cm_err *err)
{
    struct waiting w = *(struct waiting *)arg;
    struct upstream *u = w.u;
    cm_free(arg);
    if (w.turn != u->turn) /* set anew meanwhile */
        return;
    u->opening = false;
    cm_err_fini(&u->err);
    if (err == NULL) {
        start_hub(u, secret);
        return;
    }
    cm_err_copy(&u->err, err);
    cm_wrap(&u->err, CM_EIO, "the secret of the hub cannot be opened");
    cm_err_hint(&u->err, "Set the upstream again: certmgr upstream set");
    cm_log_err(CM_LOG_ERROR, "replicator", &u->err);
    cm_timer_start(u->again, AGAIN_MS);
}

/* ---- which one ---------------------------------------------------------------------------- */

void upstream_follow(struct upstream *u)
{
    bool manager = fleet_is_manager(u->opts.fleet);
    if (u->client && u->is_hub != (u->doc != NULL))
        stop_client(u);
    if (!u->doc) {
        follow_manager(u);
        return;
    }
    if (u->client && u->as_manager != manager) /* promoted, or no manager any more */
        stop_client(u);
    if (u->client || u->opening)
        return;
    struct waiting *w = cm_calloc(1, sizeof(*w));
    *w = (struct waiting){.u = u, .turn = u->turn};
    u->opening = true;
    upstream_open_secret(u, on_secret, w);
}

static void follow_again(void *arg)
{
    upstream_follow(arg);
}

static void look_at_cert(void *arg)
{
    struct upstream *u = arg;
    hub_cert_look(u->opts.store, u->doc, u->opts.config->name);
    cm_timer_start(u->look, HUB_CERT_LOOK_MS);
}

static void take(struct upstream *u, json_t *take_doc)
{
    u->turn++;
    u->opening = false;
    stop_client(u);
    json_decref(u->doc);
    u->doc = take_doc;
    look_at_cert(u);
    upstream_hear_all(u);
    upstream_follow(u);
}

/* ---- port --------------------------------------------------------------------------------- */

struct setting {
    struct upstream *u;
    json_t *doc;
    web_care_fn done;
    void *arg;
    struct cm_err err;
};

static void setting_end(void *arg)
{
    struct setting *s = arg;
    CM_AUTO_JSON view = s->err.code == 0 ? hub_settings_view(s->doc) : NULL;
    if (s->err.code == 0)
        take(s->u, json_incref(s->doc));
    s->done(s->arg, view, s->err.code == 0 ? NULL : &s->err);
    json_decref(s->doc);
    cm_err_fini(&s->err);
    cm_free(s);
}

static void on_stored(void *arg, int code, const struct cm_err *err)
{
    struct setting *s = arg;
    if (code < 0)
        cm_err_copy(&s->err, err);
    setting_end(s);
}

static void on_sealed(void *arg, const json_t *reply, const struct cm_err *err)
{
    struct setting *s = arg;
    struct cs_store *store = s->u->opts.store;
    if (err) {
        cm_err_copy(&s->err, err);
        cm_wrap(&s->err, CM_EIO, "the secret of the hub could not be sealed");
        setting_end(s);
        return;
    }
    cm_json_set_str(s->doc, "sealed", cm_json_str(reply, "sealed"));
    if (cs_kv_put(store, UPSTREAM_TABLE, UPSTREAM_KEY, s->doc, &s->err) < 0)
        setting_end(s);
    else
        cs_after_commit(store, on_stored, s);
}

static void on_no_secret(void *arg)
{
    on_sealed(arg, NULL, NULL);
}

static void port_set(void *arg, const json_t *settings, web_care_fn done, void *done_arg)
{
    struct upstream *u = arg;
    char *secret = NULL;
    struct setting *s = cm_calloc(1, sizeof(*s));
    *s = (struct setting){.u = u, .done = done, .arg = done_arg};
    if (hub_settings_check(settings, u->opts.config->lab_http, &s->doc, &secret, &s->err) < 0) {
        cm_loop_defer(u->opts.loop, setting_end, s);
        return;
    }
    if (!secret) {
        cm_loop_defer(u->opts.loop, on_no_secret, s);
        return;
    }
    json_t *request = json_object();
    cm_json_set_str(request, "op", "secret.seal");
    cm_json_set_str(request, "purpose", "upstream");
    cm_json_set_str(request, "name", cm_json_str(s->doc, "url"));
    cm_json_set_str(request, "value", secret);
    cm_free_secret(secret, strlen(secret));
    cm_json_set_str(request, "for", "self");
    u->opts.agent.call(u->opts.agent.arg, request, on_sealed, s);
}

static int port_remove(void *arg, struct cm_err *err)
{
    struct upstream *u = arg;
    if (!u->doc)
        return cm_fail(err, CM_ENOENT, "no hub is set here: the manager is the upstream");
    int rc = cs_kv_del(u->opts.store, UPSTREAM_TABLE, UPSTREAM_KEY, err);
    if (rc == 0)
        take(u, NULL);
    return rc;
}

static json_t *port_show(void *arg)
{
    struct upstream *u = arg;
    const struct kf_server *manager = kf_trust_manager(fleet_trust(u->opts.fleet));
    if (u->doc)
        return hub_settings_view(u->doc);
    json_t *view = json_object();
    bool self = fleet_is_manager(u->opts.fleet);
    cm_json_set_str(view, "kind", self ? "none" : "manager");
    cm_json_set_str(view, "url", !self && manager ? manager->url : NULL);
    return view;
}

struct web_upstream upstream_port(struct upstream *u)
{
    return (struct web_upstream){.arg = u,
                                 .replication = upstream_replication,
                                 .show = port_show,
                                 .set = port_set,
                                 .remove = port_remove,
                                 .test = upstream_test};
}

/* ---- life --------------------------------------------------------------------------------- */

struct upstream *upstream_new(const struct upstream_opts *opts)
{
    struct upstream *u = cm_calloc(1, sizeof(*u));
    u->opts = *opts;
    u->again = cm_timer_new(opts->loop, follow_again, u);
    u->doc = cs_kv_get(opts->store, UPSTREAM_TABLE, UPSTREAM_KEY);
    u->look = cm_timer_new(opts->loop, look_at_cert, u);
    cm_timer_start(u->look, 0);
    u->heard = json_object();
    cs_listen(opts->store, upstream_hear, u);
    upstream_hear_all(u);
    return u;
}

void upstream_serves(struct upstream *u, struct rp_server *server)
{
    u->server = server;
}

void upstream_again(struct upstream *u)
{
    if (u->client != NULL)
        rp_client_again(u->client);
    else /* the hub's secret is not opened yet, or the role changes */
        rp_again_note(u->opts.store);
}

bool upstream_caught_up(const struct upstream *u)
{
    CM_AUTO_JSON status = u->client != NULL ? rp_client_status(u->client) : NULL;
    return strcmp(cm_json_str_or(cm_json_obj(status, "pull"), "state", ""), "live") == 0;
}
