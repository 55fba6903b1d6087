/* Wires the front.  Every port handed to a lower layer is one small function here. */
#include "certmgr/app.h"

#include "base/core/json.h"
#include "base/core/log.h"
#include "base/core/mem.h"
#include "base/core/step.h"
#include "base/net/dns.h"
#include "base/net/http_client.h"
#include "base/net/http_server.h"
#include "base/net/loop.h"
#include "certmgr/agent_alarm.h"
#include "certmgr/agent_link.h"
#include "certmgr/app_care.h"
#include "certmgr/app_commit.h"
#include "certmgr/app_listen.h"
#include "certmgr/app_power.h"
#include "certmgr/challenge/challenge.h"
#include "certmgr/control.h"
#include "certmgr/engine/deploy.h"
#include "certmgr/engine/engine.h"
#include "certmgr/fleet/fleet.h"
#include "certmgr/fleet/rotate.h"
#include "certmgr/fleet/seek.h"
#include "certmgr/fleet/succession.h"
#include "certmgr/notify/notify.h"
#include "certmgr/upstream.h"
#include "replicator/replicator.h"
#include "web-ui/sentence.h"
#include "web-ui/web.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

/* Another role begins with another start of the front; whoever asked for it is answered before. */
#define ROLE_CHANGE_MS 300

struct app {
    const struct config *config;
    struct cm_loop *loop;
    struct control *control;
    struct agent_link *link;
    struct agent_alarm *agent_alarm; /* NULL until the store is open */
    struct http_client *http;
    struct dns_client *dns;
    struct cs_store *store;
    struct fleet *fleet;
    struct engine *engine;
    struct deployer *deployer;
    struct rp_server *rp_server;
    struct upstream *upstream;
    struct app_care *care;
    struct app_power power;
    struct seek *seek;
    struct succession *succession;
    struct cm_timer *role_timer;
    struct notifier *notifier; /* on the manager */
    struct web *web;
    struct app_listeners *listeners;
    struct app_commit *commit;
    struct dep_target targets[CONFIG_TARGETS_MAX];
    char ui_url[320];
    bool greeted, ready, manager; /* manager: what this front was started as */
    int status;
};

static void stop(struct app *app, int status)
{
    if (status != 0)
        app->status = status;
    cm_loop_stop(app->loop);
}

static void fail_start(struct app *app, struct cm_err *err)
{
    cm_log_err(CM_LOG_ERROR, "app", err);
    stop(app, 1);
}

/* ---- ports of the store ---- */

static void port_verify(void *arg, const json_t *body, bool deleted, struct cs_verdict *ret)
{
    struct app *app = arg;
    fleet_verify(app->fleet, body, deleted, ret);
}

static void port_sign(void *arg, json_t *take_body, bool deleted, cs_signed_fn done, void *done_arg)
{
    struct app *app = arg;
    fleet_sign(app->fleet, take_body, deleted, done, done_arg);
}

static void on_store_lost(void *arg)
{
    stop(arg, 1);
}

/* ---- replication ---- */

static bool port_peer(void *arg, const struct http_request *req, struct rp_peer *ret)
{
    struct app *app = arg;
    const struct kf_server *server =
        req->peer_spki != NULL ? kf_trust_by_tls(fleet_trust(app->fleet), req->peer_spki) : NULL;
    if (server == NULL)
        return false;
    *ret = (struct rp_peer){.name = server->name, .manager = server->manager};
    return true;
}

/* A trust root that lay in the store at the start comes before there is anything to retarget. */
static void on_trust_change(void *arg)
{
    struct app *app = arg;
    if (!app->ready)
        return;
    if (fleet_is_manager(app->fleet) != app->manager) {
        cm_log(CM_LOG_WARN, "app", NULL, "server %s is %s now", app->config->name,
               app->manager ? "no manager any more" : "the manager");
        cm_timer_start(app->role_timer, ROLE_CHANGE_MS);
        return;
    }
    upstream_follow(app->upstream);
    seek_now(app->seek);
    succession_look(app->succession);
    rotate_look(app->power.rotate);
}

static void change_role(void *arg)
{
    cm_step("role.change");
    stop(arg, 0);
}

/* Is the upstream one that answers? */
static bool port_upstream_ok(void *arg)
{
    struct app *app = arg;
    CM_AUTO_JSON status = upstream_status(app->upstream);
    const char *state = cm_json_str_or(cm_json_obj(status, "pull"), "state", "");
    return strcmp(state, "live") == 0 || strcmp(state, "replicating") == 0;
}

static void make_seek(struct app *app)
{
    char cert[CONFIG_PATH_MAX + 32], key[CONFIG_PATH_MAX + 32];
    config_tls_files(app->config, cert, key, sizeof(cert));
    struct seek_opts opts = {.loop = app->loop,
                             .http = app->http,
                             .store = app->store,
                             .fleet = app->fleet,
                             .self = app->config->name,
                             .cert_file = cert,
                             .key_file = key,
                             .upstream_ok = port_upstream_ok,
                             .arg = app};
    app->seek = seek_new(&opts);
    app->role_timer = cm_timer_new(app->loop, change_role, app);
}

/* What was refused under an expired trust root may lie anywhere before the checkpoint. */
static void on_fed(void *arg)
{
    struct app *app = arg;
    if (app->upstream != NULL)
        upstream_again(app->upstream);
    else /* a manager still asks the others who is one */
        rp_again_note(app->store);
}

static bool port_wants_back(void *arg, const char *peer)
{
    struct app *app = arg;
    return app_care_wants_back(app->care, peer);
}

static void port_gave_back(void *arg, const char *peer)
{
    struct app *app = arg;
    app_care_gave_back(app->care, peer);
}

static void port_take_back(void *arg, const char *peer)
{
    struct app *app = arg;
    app_care_take_back(app->care, peer);
}

static void port_brought(void *arg, const char *peer, const json_t *body)
{
    struct app *app = arg;
    app_care_brought(app->care, peer, body);
}

/* ---- care ---- */

static bool port_caught_up(void *arg)
{
    struct app *app = arg;
    return app->upstream != NULL && upstream_caught_up(app->upstream);
}

static void port_restart(void *arg)
{
    stop(arg, 0);
}

static void make_upstream(struct app *app)
{
    struct upstream_opts opts = {.loop = app->loop,
                                 .store = app->store,
                                 .http = app->http,
                                 .fleet = app->fleet,
                                 .agent = agent_link_port(app->link),
                                 .config = app->config,
                                 .held = app_care_held(app->care)};
    app->upstream = upstream_new(&opts);
}

/* Another TLS key, or another sealed secret: whoever uses it reads it at the start. */
static void port_anew(void *arg)
{
    struct app *app = arg;
    cm_timer_start(app->role_timer, ROLE_CHANGE_MS);
}

static void make_power(struct app *app)
{
    struct rotate_opts opts = {.loop = app->loop,
                               .store = app->store,
                               .fleet = app->fleet,
                               .agent = agent_link_port(app->link),
                               .config = app->config,
                               .secret_table = UPSTREAM_TABLE,
                               .secret_key = UPSTREAM_KEY,
                               .restart = port_anew,
                               .arg = app};
    app_power_init(&app->power, &opts);
}

static void make_care(struct app *app)
{
    struct app_care_opts opts = {.loop = app->loop,
                                 .store = app->store,
                                 .fleet = app->fleet,
                                 .agent = agent_link_port(app->link),
                                 .config = app->config,
                                 .caught_up = port_caught_up,
                                 .restart = port_restart,
                                 .arg = app};
    app->care = app_care_new(&opts);
}

/* ---- status page ---- */

static json_t *port_status(void *arg)
{
    struct app *app = arg;
    json_t *v = json_object();
    cm_json_set(v, "upstream", upstream_status(app->upstream));
    if (app->rp_server != NULL)
        cm_json_set(v, "peers", upstream_peers(app->upstream));
    if (app->notifier != NULL)
        cm_json_set(v, "notices", notifier_status(app->notifier));
    cm_json_set(v, "listeners", app_listeners_status(app->listeners));
    cm_json_set_bool(v, "agent_connected", agent_link_answers(app->link));
    return v;
}

/* ---- notices ---- */

static const struct kf_trust *port_trust(void *arg)
{
    struct app *app = arg;
    return fleet_trust(app->fleet);
}

static json_t *port_peers(void *arg)
{
    struct app *app = arg;
    return upstream_peers(app->upstream);
}

static void port_notify_test(void *arg, const char *who, web_notify_fn done, void *done_arg)
{
    struct app *app = arg;
    notifier_test(app->notifier, who, done, done_arg);
}

static char *port_say(const char *language, const char *english)
{
    return web_say_plain(strcmp(language, "ja") == 0 ? WEB_JA : WEB_EN, english);
}

static void make_notifier(struct app *app)
{
    struct notifier_opts opts = {.loop = app->loop,
                                 .store = app->store,
                                 .http = app->http,
                                 .config = &app->config->notify,
                                 .self = app->config->name,
                                 .ui_url = app->ui_url,
                                 .trust = port_trust,
                                 .trust_arg = app,
                                 .peers = port_peers,
                                 .peers_arg = app,
                                 .say = port_say};
    app->notifier = notifier_new(&opts);
}

/* ---- start, in the order of app.h ---- */

static int open_store(struct app *app, struct cm_err *err)
{
    char dir[CONFIG_PATH_MAX + 32];
    config_store_dir(app->config, dir, sizeof(dir));
    struct cs_opts opts = {.dir = dir,
                           .policy = true,
                           .verify = port_verify,
                           .sign = port_sign,
                           .port_arg = app,
                           .arm = app_commit_arm,
                           .arm_arg = app->commit};
    int rv = cs_open(&opts, &app->store, err);
    app_commit_store(app->commit, app->store);
    if (rv == 0)
        app->agent_alarm = agent_alarm_new(app->loop, app->store, app->config->name);
    return rv == 0 ? 0 : cm_wrap(err, rv, "the certificate store cannot be opened");
}

static int make_fleet(struct app *app, struct cm_err *err)
{
    CM_AUTO_JSON trust = cs_kv_get(app->store, "state", "trust");
    if (trust == NULL)
        return cm_fail(err, CM_ENOENT,
                       "this server belongs to no fleet yet: run \"certmgr init\" or "
                       "\"certmgr join TOKEN\", or bring it back with \"certmgr restore\"");
    struct fleet_opts opts = {.loop = app->loop,
                              .agent = agent_link_port(app->link),
                              .self = app->config->name,
                              .trust = trust};
    int rv = fleet_new(&opts, &app->fleet, err);
    if (rv == 0)
        rv = rotate_take_tls(app->config, fleet_trust(app->fleet), err);
    if (rv == 0) {
        fleet_attach(app->fleet, app->store, on_trust_change, app);
        fleet_on_fed(app->fleet, on_fed, app);
    }
    return rv;
}

static void task_hook(void *arg, const char *step, eng_hook_fn done, void *done_arg)
{
    struct dep_hooks hooks = control_hooks(arg);
    hooks.run(hooks.arg, "", step, done, done_arg);
}

static void make_engine(struct app *app)
{
    struct eng_env env = {.loop = app->loop,
                          .store = app->store,
                          .http = app->http,
                          .dns = app->dns,
                          .agent = agent_link_port(app->link),
                          .self = app->config->name,
                          .manager = fleet_is_manager(app->fleet),
                          .held = app_care_held(app->care),
                          .lab_http = app->config->lab_http,
                          .trust = fleet_trust,
                          .trust_arg = app->fleet,
                          .dns_exec = control_exec,
                          .dns_exec_arg = app->control,
                          .orders_max = app->config->orders.open_max,
                          .has_before = app->config->orders.before.argv[0] != NULL,
                          .has_after = app->config->orders.after.argv[0] != NULL,
                          .task_hook = task_hook,
                          .task_hook_arg = app->control};
    struct dep_hooks hooks = control_hooks(app->control);
    struct dep_wire wire = dep_wire_tls(app->loop);
    for (size_t i = 0; i < app->config->target_count; i++) {
        const struct config_target *t = &app->config->target[i];
        app->targets[i] = (struct dep_target){.name = t->files.name,
                                              .has_test = t->test.argv[0] != NULL,
                                              .has_reload = t->reload.argv[0] != NULL,
                                              .check = t->check[0] != '\0' ? t->check : NULL};
    }
    app->engine = eng_new(&env);
    if (app_care_held(app->care))
        return; /* nothing is deployed either; the release begins anew */
    app->deployer =
        dep_new(&env, app->engine, app->targets, app->config->target_count, &hooks, &wire);
}

static void make_servers(struct app *app)
{
    struct rp_server_opts rp = {.loop = app->loop,
                                .store = app->store,
                                .db = "certstore",
                                .peer = port_peer,
                                .arg = app,
                                .wants_back = port_wants_back,
                                .gave_back = port_gave_back,
                                .take_back = port_take_back,
                                .brought = port_brought,
                                .prove = fleet_prove,
                                .prove_arg = app->fleet};
    struct web_env web = {.loop = app->loop,
                          .store = app->store,
                          .engine = app->engine,
                          .fleet = app->fleet,
                          .self = app->config->name,
                          .socket_group = app->config->socket_group[0] != '\0',
                          .ui_url = app->ui_url,
                          .status = port_status,
                          .status_arg = app,
                          .care = app_care_port(app->care),
                          .upstream = upstream_port(app->upstream),
                          .power = app_power_port(&app->power)};
    snprintf(app->ui_url, sizeof(app->ui_url), "https://%s:%d", app->config->ui_host,
             app->config->ui_port);
    if (fleet_is_manager(app->fleet)) {
        app->rp_server = rp_server_new(&rp);
        upstream_serves(app->upstream, app->rp_server);
        make_notifier(app);
        web.notify_test = port_notify_test;
        web.notify_arg = app;
    }
    app->web = web_new(&web);
    upstream_follow(app->upstream);
}

/* What is done as the trust root says: with a manager that may have been replaced meanwhile, only
 * after the others were asked (seek_first). */
static void start_services(void *arg)
{
    struct app *app = arg;
    struct cm_err err = CM_ERR_INIT;
    app->manager = fleet_is_manager(app->fleet);
    make_power(app);
    make_care(app);
    make_upstream(app);
    make_engine(app);
    make_servers(app);
    struct app_services services = {.config = app->config,
                                    .loop = app->loop,
                                    .store = app->store,
                                    .fleet = app->fleet,
                                    .web = app->web,
                                    .replication = app->rp_server};
    app->succession = succession_new(app->loop, app->store, app->fleet, agent_link_port(app->link));
    app->ready = true;
    cm_log(CM_LOG_INFO, "app", NULL, "server %s is up (%s)", app->config->name,
           app->manager ? "manager" : "server");
    if (app_listeners_start(app->listeners, &services, &err) != 0)
        fail_start(app, &err);
    cm_err_fini(&err);
    seek_start(app->seek);
    succession_look(app->succession);
}

static int start(struct app *app, struct cm_err *err)
{
    const char *resolver = app->config->resolver[0] != '\0' ? app->config->resolver : NULL;
    int rv = dns_client_new(app->loop, resolver, &app->dns, err);
    if (rv == 0)
        dns_client_set_port(app->dns, (unsigned)app->config->dns_port);
    if (rv == 0)
        rv = open_store(app, err);
    if (rv == 0)
        rv = make_fleet(app, err);
    if (rv != 0)
        return rv;
    app->http = http_client_new(app->loop);
    make_seek(app);
    seek_first(app->seek, start_services, app);
    return 0;
}

static void on_hello(void *arg, const json_t *reply, const struct cm_err *err)
{
    struct app *app = arg;
    struct cm_err why = CM_ERR_INIT;
    if (err != NULL) {
        cm_err_copy(&why, err);
        cm_wrap(&why, CM_EBUSY, "the key agent does not greet");
        fail_start(app, &why);
    } else if (strcmp(cm_json_str_or(reply, "name", ""), app->config->name) != 0) {
        cm_fail(&why, CM_EINVAL,
                "the identity in %s belongs to server \"%s\", but [server] name is \"%s\"",
                app->config->state_dir, cm_json_str_or(reply, "name", ""), app->config->name);
        fail_start(app, &why);
    } else if (start(app, &why) != 0) {
        fail_start(app, &why);
    }
    cm_err_fini(&why);
}

/* ---- what the supervisor says ---- */

static void on_agent(void *arg, int take_fd)
{
    struct app *app = arg;
    agent_link_connect(app->link, take_fd);
    if (app->greeted)
        return;
    app->greeted = true;
    struct kf_agent agent = agent_link_port(app->link);
    agent.call(agent.arg, json_pack("{s:s}", "op", "hello"), on_hello, app);
}

static void on_agent_hung(void *arg, int64_t ms, bool working)
{
    struct app *app = arg;
    control_agent_hung(app->control, ms, working);
    agent_alarm_raise(app->agent_alarm, ms, working);
}

static void on_listener(void *arg, const char *name, const char *address, int take_fd,
                        const char *error)
{
    struct app *app = arg;
    app_listeners_add(app->listeners, name, address, take_fd, error);
}

static void on_supervisor_gone(void *arg)
{
    stop(arg, 0);
}

static void on_term(void *arg)
{
    stop(arg, 0);
}

/* Crash-only: every process may be killed at any moment, so a stop is a commit and an exit. Nothing
 * is freed; the same path as a kill, only without the last loop turn being lost. */
static void finish(struct app *app)
{
    if (app->ready)
        app_commit_now(app->commit);
    if (app->care == NULL || !app_care_busy(app->care))
        cs_close(app->store);
    fflush(NULL);
    _exit(app->status);
}

/* Every peer, person and CA is a connection; the supervisor and its hooks keep the usual limit. */
static void raise_file_limit(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur >= files.rlim_max)
        return;
    files.rlim_cur = files.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &files) != 0)
        cm_log(CM_LOG_WARN, "app", NULL, "the limit of open files cannot be raised: %s",
               cm_errno_text(errno));
}

int app_run(const struct config *config, int channel_fd)
{
    struct app app = {.config = config};
    struct control_events events = {
        .arg = &app, .agent = on_agent, .listener = on_listener, .closed = on_supervisor_gone};
    struct rlimit no_core = {0, 0};
    enum cm_level level = CM_LOG_INFO;
    (void)cm_level_parse(config->log_level, &level); /* checked by main */
    cm_log_init("front", level);
    (void)setrlimit(RLIMIT_CORE, &no_core); /* it holds the TLS identity key */
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    (void)signal(SIGPIPE, SIG_IGN);
    raise_file_limit();
    app.loop = cm_loop_new();
    app.commit = app_commit_new(app.loop, on_store_lost, &app);
    app.link = agent_link_new(app.loop);
    agent_link_on_hung(app.link, on_agent_hung, &app);
    app.listeners = app_listeners_new();
    app.control = control_new(app.loop, channel_fd, &events);
    cm_loop_on_term(app.loop, on_term, &app);
    cm_loop_run(app.loop);
    finish(&app);
    return app.status;
}
