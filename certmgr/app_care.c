/* Care of the server's own state.  See app_care.h. */
#include "certmgr/app_care.h"

#include <string.h>

#include "base/core/json.h"
#include "base/core/log.h"
#include "base/core/mem.h"
#include "base/core/step.h"
#include "certmgr/fleet/backup.h"
#include "certmgr/fleet/rotate.h"

#define SLICE_MS     250  /* between two slices of the scrub; it never hurries */
#define SCRUB_LOOK_S 3600 /* is a pass due? */
#define HELD_LOOK_MS 1000 /* has the upstream been caught up with? */

#define HOLD_TEXT "this server was restored from a backup and is on hold"

struct app_care {
    struct app_care_opts opts;
    struct hold *hold;
    struct cm_timer *tidy, *scrub, *look;
    bool scrub_now, copying;
};

/* ---- store -------------------------------------------------------------------------------------
 */

static void tidy(void *arg)
{
    struct app_care *care = arg;
    cs_care(care->opts.store);
    cm_timer_start(care->tidy, CS_CARE_MS);
}

static void scrub(void *arg)
{
    struct app_care *care = arg;
    struct cm_err err = CM_ERR_INIT;
    int rc = cs_scrub(care->opts.store, care->scrub_now, &err);
    if (rc < 0)
        cm_log_err(CM_LOG_ERROR, "store", &err);
    cm_err_fini(&err);
    care->scrub_now = false;
    cm_timer_start(care->scrub, rc == 1 ? SLICE_MS : SCRUB_LOOK_S * 1000);
}

static void port_scrub(void *arg)
{
    struct app_care *care = arg;
    care->scrub_now = true;
    cm_timer_start(care->scrub, 0);
}

/* ---- copies ------------------------------------------------------------------------------------
 */

struct copying {
    struct app_care *care;
    web_care_fn done;
    void *arg;
    json_t *result;
    char *path;
    struct cm_err err;
};

static void copied(void *arg)
{
    struct copying *c = arg;
    cm_step("backup.copied");
    c->care->copying = false;
    if (c->err.code == 0) {
        cm_json_set_str(c->result, "copy", c->path);
        cm_log(CM_LOG_INFO, "store", NULL, "a copy was made for a backup");
    } else {
        cm_log_err(CM_LOG_ERROR, "store", &c->err);
    }
    c->done(c->arg, c->err.code == 0 ? c->result : NULL, c->err.code == 0 ? NULL : &c->err);
    json_decref(c->result);
    cm_err_fini(&c->err);
    cm_free(c->path);
    cm_free(c);
}

static void copy_on_worker(void *arg)
{
    struct copying *c = arg;
    (void)cs_copy(c->care->opts.store, c->path, &c->err); /* told by c->err */
}

static void begin_copy(struct copying *c)
{
    cm_step("backup.sealed");
    c->path = backup_copy_path(c->care->opts.config);
    cm_json_set(c->result, "about", backup_about(c->care->opts.store, c->care->opts.config->name));
    cm_loop_work(c->care->opts.loop, copy_on_worker, copied, c);
}

static void on_sealed(void *arg, const json_t *reply, const struct cm_err *err)
{
    struct copying *c = arg;
    if (err) {
        cm_err_copy(&c->err, err);
        copied(c);
        return;
    }
    cm_json_set_str(c->result, "sealed", cm_json_str(reply, "sealed"));
    cm_json_set_str(c->result, "recovery", cm_json_str(reply, "recovery"));
    begin_copy(c);
}

static void refuse_later(void *arg)
{
    struct copying *c = arg;
    c->done(c->arg, NULL, &c->err);
    json_decref(c->result);
    cm_err_fini(&c->err);
    cm_free(c);
}

static void port_copy(void *arg, bool identity, web_care_fn done, void *done_arg)
{
    struct app_care *care = arg;
    struct copying *c = cm_calloc(1, sizeof(*c));
    *c = (struct copying){.care = care, .done = done, .arg = done_arg, .result = json_object()};
    if (care->copying) {
        cm_fail(&c->err, CM_EBUSY, "a backup is being made already");
        cm_loop_defer(care->opts.loop, refuse_later, c);
        return;
    }
    care->copying = true;
    if (identity)
        care->opts.agent.call(care->opts.agent.arg, json_pack("{s:s}", "op", "backup.seal"),
                              on_sealed, c);
    else
        begin_copy(c);
}

/* ---- recovery key ------------------------------------------------------------------------------
 */

struct changing {
    web_care_fn done;
    void *arg;
    struct app_care *care;
};

static void on_recovery(void *arg, const struct cm_err *err)
{
    struct changing *c = arg;
    CM_AUTO_JSON result = json_object();
    cm_json_set_int(result, "version", kf_trust_version(fleet_trust(c->care->opts.fleet)));
    c->done(c->arg, err ? NULL : result, err);
    cm_free(c);
}

static void port_recovery(void *arg, const char *spki, web_care_fn done, void *done_arg)
{
    struct app_care *care = arg;
    struct changing *c = cm_calloc(1, sizeof(*c));
    *c = (struct changing){.done = done, .arg = done_arg, .care = care};
    fleet_recovery(care->opts.fleet, spki, on_recovery, c);
}

/* ---- hold --------------------------------------------------------------------------------------
 */

/* Restored from a backup made before its keys were replaced: nobody will ever answer. */
static bool is_shut_out(const struct app_care *care)
{
    return hold_active(care->hold) &&
           rotate_is_copy(care->opts.config, fleet_trust(care->opts.fleet));
}

static json_t *port_hold(void *arg)
{
    const struct app_care *care = arg;
    json_t *view = hold_status(care->hold);
    if (is_shut_out(care))
        cm_json_set_bool(view, "keys_replaced", true);
    return view;
}

static int port_release(void *arg, const char *who, struct cm_err *err)
{
    const struct app_care *care = arg;
    if (is_shut_out(care)) {
        cm_fail(
            err, CM_ECONFLICT,
            "the keys of server %.63s were replaced after this backup was made: nobody accepts it",
            care->opts.config->name);
        cm_err_hint(err, "Restore a backup made since then, or promote a standby (certmgr manager "
                         "promote --lost)");
        return CM_ECONFLICT;
    }
    return hold_release(care->hold, who, err);
}

static void on_released(void *arg)
{
    struct app_care *care = arg;
    care->opts.restart(care->opts.arg);
}

static void look(void *arg)
{
    struct app_care *care = arg;
    if (!app_care_held(care))
        return;
    if (care->opts.caught_up(care->opts.arg))
        hold_caught_up(care->hold);
    cm_timer_start(care->look, HELD_LOOK_MS);
}

bool app_care_held(const struct app_care *care)
{
    return hold_active(care->hold);
}

bool app_care_wants_back(void *arg, const char *peer)
{
    const struct app_care *care = arg;
    return hold_wants(care->hold, peer);
}

void app_care_gave_back(void *arg, const char *peer)
{
    struct app_care *care = arg;
    hold_answered(care->hold, peer);
}

void app_care_take_back(void *arg, const char *peer)
{
    struct app_care *care = arg;
    hold_take_back(care->hold, peer);
}

void app_care_brought(void *arg, const char *peer, const json_t *body)
{
    struct app_care *care = arg;
    hold_brought(care->hold, peer, body);
}

/* ---- life --------------------------------------------------------------------------------------
 */

bool app_care_busy(const struct app_care *care)
{
    return care->copying;
}

struct web_care app_care_port(struct app_care *care)
{
    return (struct web_care){.arg = care,
                             .hold = port_hold,
                             .release = port_release,
                             .scrub = port_scrub,
                             .copy = port_copy,
                             .recovery = port_recovery};
}

struct app_care *app_care_new(const struct app_care_opts *opts)
{
    struct app_care *care = cm_calloc(1, sizeof(*care));
    care->opts = *opts;
    struct hold_opts hold = {.store = opts->store,
                             .self = opts->config->name,
                             .trust = fleet_trust,
                             .trust_arg = opts->fleet,
                             .released = on_released,
                             .arg = care};
    care->hold = hold_new(&hold);
    if (app_care_held(care)) {
        cs_set_hold(opts->store, HOLD_TEXT);
        fleet_set_hold(opts->fleet, true);
    }
    backup_remove_copies(opts->config);
    care->tidy = cm_timer_new(opts->loop, tidy, care);
    care->scrub = cm_timer_new(opts->loop, scrub, care);
    care->look = cm_timer_new(opts->loop, look, care);
    cm_timer_start(care->tidy, 0);
    cm_timer_start(care->scrub, SLICE_MS);
    cm_timer_start(care->look, HELD_LOOK_MS);
    return care;
}
