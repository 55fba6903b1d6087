/* Changes of power in the fleet, as pages and API ask for them. */
#include "certmgr/app_power.h"

#include <string.h>

#include "base/core/json.h"
#include "base/core/mem.h"

static void port_invite(void *arg, const struct fleet_role *role, fleet_invite_fn done,
                        void *done_arg)
{
    struct app_power *power = arg;
    fleet_invite_as(power->fleet, role, done, done_arg);
}

static void port_role(void *arg, const struct fleet_role *role, fleet_done_fn done, void *done_arg)
{
    struct app_power *power = arg;
    fleet_set_role(power->fleet, role, done, done_arg);
}

/* Where nobody said anything, the addresses are those of our configuration. */
static void port_promote(void *arg, bool lost, const char *url, const char *ui_url,
                         fleet_done_fn done, void *done_arg)
{
    struct app_power *power = arg;
    const struct config *config = power->config;
    const struct kf_server *self = kf_trust_server(fleet_trust(power->fleet), config->name);
    CM_AUTO_STR own = cm_asprintf("https://%s:%d", config->ui_host, config->replication_port);
    CM_AUTO_STR own_ui = cm_asprintf("https://%s:%d", config->ui_host, config->ui_port);
    if (url == NULL && (self == NULL || self->url == NULL))
        url = own;
    if (ui_url == NULL && (self == NULL || self->ui_url == NULL))
        ui_url = own_ui;
    fleet_promote(power->fleet, lost, url, ui_url, done, done_arg);
}

static void port_threshold(void *arg, int64_t threshold, const json_t *signers, fleet_done_fn done,
                           void *done_arg)
{
    struct app_power *power = arg;
    fleet_threshold(power->fleet, threshold, signers, done, done_arg);
}

static void port_sign(void *arg, const json_t *document, fleet_done_fn done, void *done_arg)
{
    struct app_power *power = arg;
    fleet_cosign(power->fleet, document, false, done, done_arg);
}

static json_t *port_show(void *arg)
{
    struct app_power *power = arg;
    const struct kf_trust *trust = fleet_trust(power->fleet);
    json_t *view = json_object(), *names = json_array();
    for (size_t i = 0; i < kf_trust_count(trust); i++) {
        const struct kf_server *server = kf_trust_at(trust, i);
        if (server->state != KF_REMOVED && kf_trust_is_root_signer(trust, server->sign_id))
            json_array_append_new(names, json_string(server->name));
    }
    cm_json_set_int(view, "version", kf_trust_version(trust));
    cm_json_set_time(view, "expires_at", kf_trust_expires_ms(trust));
    cm_json_set_int(view, "threshold", (int64_t)kf_trust_threshold(trust));
    cm_json_set(view, "signers", names);
    cm_json_set(view, "proposal", fleet_proposal(power->fleet));
    return view;
}

/* ---- this server's keys, and those of others ---- */

static int port_rotate(void *arg, const char *who, struct cm_err *err)
{
    struct app_power *power = arg;
    return rotate_begin(power->rotate, who, err);
}

static int port_rotate_cancel(void *arg, struct cm_err *err)
{
    struct app_power *power = arg;
    return rotate_cancel(power->rotate, err);
}

static void port_rotate_order(void *arg, const char *name, const char *who, fleet_done_fn done,
                              void *done_arg)
{
    struct app_power *power = arg;
    rotate_order(power->fleet, name, who, done, done_arg);
}

static json_t *port_rotation(void *arg, const char *name)
{
    struct app_power *power = arg;
    json_t *view = rotate_of(power->store, fleet_trust(power->fleet), name);
    if (strcmp(name, power->config->name) != 0)
        return view;
    json_t *own = rotate_status(power->rotate);
    if (own != NULL && json_object_get(view, "waiting") != NULL)
        json_object_set(own, "waiting", json_object_get(view, "waiting"));
    json_decref(view);
    return own;
}

void app_power_init(struct app_power *power, const struct rotate_opts *opts)
{
    *power = (struct app_power){.fleet = opts->fleet, .store = opts->store, .config = opts->config};
    power->rotate = rotate_new(opts);
    if (fleet_is_manager(opts->fleet))
        rotate_serve(opts->loop, opts->store, opts->fleet, opts->agent);
}

struct web_power app_power_port(struct app_power *power)
{
    return (struct web_power){.arg = power,
                              .invite = port_invite,
                              .role = port_role,
                              .promote = port_promote,
                              .threshold = port_threshold,
                              .sign = port_sign,
                              .show = port_show,
                              .rotate = port_rotate,
                              .rotate_cancel = port_rotate_cancel,
                              .rotate_order = port_rotate_order,
                              .rotation = port_rotation};
}
