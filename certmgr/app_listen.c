/* Which service answers on which listener. */
#include "certmgr/app_listen.h"

#include "base/core/json.h"
#include "base/core/log.h"
#include "base/core/mem.h"
#include "base/net/http_server.h"
#include "certmgr/challenge/challenge.h"
#include "certmgr/challenge/tlsalpn.h"
#include "certmgr/fleet/exchange.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LISTENERS_MAX 8
#define JOIN_BODY_MAX 8192

struct entry {
    char name[32], address[CONFIG_PATH_MAX + 8], error[400];
    int fd; /* waiting to be opened; -1 = none */
    struct http_listener *listener;
    struct tls_alpn *alpn; /* instead, of the TLS-ALPN-01 listener */
};

struct app_listeners {
    struct entry entry[LISTENERS_MAX];
    size_t count;
    bool started;
    struct app_services services;
    struct tls_server *ui_tls, *peer_tls;
    struct ch_tlsalpn *answers; /* while that listener is open */
};

/* ---- the replication listener: peers by their key; /join alone needs none, and /trust answers
 * removed servers, too ---- */

static bool is_join(const struct http_request *req)
{
    return strcmp(req->head.path, "/join") == 0;
}

static bool is_trust(const struct http_request *req)
{
    return strcmp(req->head.path, "/trust") == 0;
}

static int64_t replication_limit(void *arg, const struct http_request *req)
{
    struct app_listeners *all = arg;
    if (is_join(req))
        return JOIN_BODY_MAX;
    if (is_trust(req))
        return fleet_knows_tls(all->services.fleet, req->peer_spki) ? FLEET_TRUST_BODY : 0;
    return rp_server_limit(all->services.replication, req);
}

static void replication_handle(void *arg, struct http_exchange *ex)
{
    struct app_listeners *all = arg;
    if (is_join(http_ex_request(ex)))
        fleet_handle_join(all->services.fleet, ex);
    else if (is_trust(http_ex_request(ex)))
        fleet_handle_trust(all->services.fleet, ex);
    else
        rp_server_handle(all->services.replication, ex);
}

static void replication_too_large(void *arg, struct http_exchange *ex)
{
    struct app_listeners *all = arg;
    rp_server_too_large(all->services.replication, ex);
}

/* TLS handshake: exactly the keys that the trust root lists.  Those of removed servers reach /trust
 * alone: the replication routes ask for an active one again. */
static bool peer_ok(void *arg, const char *spki_hex)
{
    struct app_listeners *all = arg;
    return fleet_knows_tls(all->services.fleet, spki_hex);
}

/* ---- opening ---- */

static int configure(struct app_listeners *all, const char *name, struct http_listen_opts *opts)
{
    struct app_services *s = &all->services;
    if (strcmp(name, "ui") == 0) {
        opts->tls = all->ui_tls;
        opts->limit = web_limit;
        opts->too_large = web_too_large;
        opts->handler = web_handle;
        opts->arg = s->web;
    } else if (strcmp(name, "api") == 0) {
        opts->limit = web_limit;
        opts->too_large = web_too_large;
        opts->handler = web_handle;
        opts->arg = s->web;
    } else if (strcmp(name, "challenge") == 0) {
        ch_http01_opts(opts, s->store);
    } else if (strcmp(name, "replication") == 0 && s->replication != NULL) {
        opts->tls = all->peer_tls;
        opts->limit = replication_limit;
        opts->too_large = replication_too_large;
        opts->handler = replication_handle;
        opts->arg = all;
    } else {
        return -1;
    }
    return 0;
}

static int open_alpn(struct app_listeners *all, struct entry *e, struct cm_err *err)
{
    if (!all->answers)
        all->answers = ch_tlsalpn_new(all->services.store);
    return tls_alpn_listen(all->services.loop, e->fd, ch_tlsalpn_find, all->answers, &e->alpn, err);
}

static void open_entry(struct app_listeners *all, struct entry *e)
{
    struct http_listen_opts opts = {.fd = e->fd};
    struct cm_err err = CM_ERR_INIT;
    int rv = 0;
    if (e->fd < 0)
        return;
    if (strcmp(e->name, "tls_challenge") == 0) {
        rv = open_alpn(all, e, &err);
    } else if (configure(all, e->name, &opts) != 0) {
        close(e->fd); /* a port this role has no use for: clients are refused */
    } else {
        rv = http_listen(all->services.loop, &opts, &e->listener, &err);
    }
    if (rv != 0) {
        cm_err_line(&err, e->error, sizeof(e->error));
        cm_log_err(CM_LOG_ERROR, "listener", &err);
    }
    e->fd = -1;
    cm_err_fini(&err);
}

void app_listeners_add(struct app_listeners *all, const char *name, const char *address,
                       int take_fd, const char *error)
{
    struct entry *e = NULL;
    for (size_t i = 0; i < all->count; i++)
        if (strcmp(all->entry[i].name, name) == 0)
            e = &all->entry[i];
    if (e == NULL && all->count < LISTENERS_MAX) {
        e = &all->entry[all->count++];
        e->fd = -1;
        cm_strcpy(e->name, sizeof(e->name), name);
    }
    if (e == NULL || e->listener != NULL || e->alpn != NULL || e->fd >= 0) {
        if (take_fd >= 0)
            close(take_fd);
        return;
    }
    e->fd = take_fd;
    cm_strcpy(e->address, sizeof(e->address), address);
    cm_strcpy(e->error, sizeof(e->error), error != NULL ? error : "");
    if (all->started)
        open_entry(all, e);
}

static int open_tls(struct app_listeners *all, struct cm_err *err)
{
    char cert[CONFIG_PATH_MAX + 32], key[CONFIG_PATH_MAX + 32];
    config_tls_files(all->services.config, cert, key, sizeof(cert));
    struct tls_server_opts ui = {.cert_file = cert, .key_file = key};
    struct tls_server_opts peer = {.cert_file = cert,
                                   .key_file = key,
                                   .ask_client_cert = true,
                                   .peer_ok = peer_ok,
                                   .arg = all};
    int rv = tls_server_new(&ui, &all->ui_tls, err);
    if (rv == 0)
        rv = tls_server_new(&peer, &all->peer_tls, err);
    return rv == 0 ? 0 : cm_wrap(err, rv, "the server's TLS identity cannot be used");
}

int app_listeners_start(struct app_listeners *all, const struct app_services *services,
                        struct cm_err *err)
{
    all->services = *services;
    int rv = open_tls(all, err);
    if (rv != 0)
        return rv;
    all->started = true;
    for (size_t i = 0; i < all->count; i++)
        open_entry(all, &all->entry[i]);
    return 0;
}

json_t *app_listeners_status(const struct app_listeners *all)
{
    json_t *v = json_array();
    for (size_t i = 0; i < all->count; i++) {
        const struct entry *e = &all->entry[i];
        const char *state = e->listener != NULL || e->alpn != NULL ? "open"
                            : e->error[0] != '\0'                  ? "failed"
                                                                   : "unused";
        json_t *row =
            json_pack("{s:s, s:s, s:s}", "name", e->name, "address", e->address, "state", state);
        if (e->error[0] != '\0')
            cm_json_set_str(row, "error", e->error);
        json_array_append_new(v, row);
    }
    return v;
}

struct app_listeners *app_listeners_new(void)
{
    return cm_calloc(1, sizeof(struct app_listeners));
}
