/*
 * `certmgr upstream test`: asks the upstream who it is and for its database, with the settings that
 * replication uses.  A refusal is a result, not a failure of the test.
 */
#include <string.h>

#include "base/core/json.h"
#include "base/core/mem.h"
#include "certmgr/hub_settings.h"
#include "certmgr/upstream_internal.h"

#define ASK_MS       15000
#define ASK_BODY_MAX (64u << 10)
#define PLACE_MAX    256 /* of the URL that a redirection names */

struct asking {
    struct upstream *u;
    web_care_fn done;
    void *arg;
    json_t *result;
    json_t
        *doc; /* of the settings that the secret belongs to, whatever is set meanwhile; or NULL */
    char *secret;
    bool database; /* the second question */
    struct cm_err err;
};

static void ask(struct asking *a);

static void end(void *arg)
{
    struct asking *a = arg;
    cm_json_set_bool(a->result, "ok", a->err.code == 0);
    cm_json_set(a->result, "error", cm_err_to_json(&a->err));
    a->done(a->arg, a->result, NULL);
    json_decref(a->result);
    json_decref(a->doc);
    if (a->secret)
        cm_free_secret(a->secret, strlen(a->secret));
    cm_err_fini(&a->err);
    cm_free(a);
}

/* Not followed: the password would go wherever it leads. */
static void sent_elsewhere(const struct http_result *res, struct cm_err *err)
{
    char place[PLACE_MAX];
    if (http_header_get(res->headers, "Location", 0, place, sizeof(place)))
        cm_err_hint(err,
                    "It sends to %s, which is not followed: set the URL of the database itself",
                    place);
}

static void refused(struct asking *a, const struct http_result *res, const json_t *body)
{
    const char *what = a->database ? "the database" : "the server";
    cm_fail(&a->err, res->status == 401 || res->status == 403 ? CM_EDENIED : CM_EPEER,
            "%s answers HTTP %d %.200s", what, res->status, cm_json_str_or(body, "reason", ""));
    if (res->status >= 300 && res->status < 400)
        sent_elsewhere(res, &a->err);
    else if (res->status == 404 && a->database)
        cm_err_hint(&a->err, "Create the database on the hub, then try again");
    else if (a->err.code == CM_EDENIED || (res->status == 400 && !body)) /* 400: nginx */
        cm_err_hint(&a->err, "Look at the user's name and password, or at the client certificate");
}

/* The members that say something, as far as the peer gives them. */
static json_t *some(const json_t *body, const char *const *names)
{
    json_t *view = json_object();
    for (; *names; names++)
        if (json_object_get(body, *names))
            json_object_set(view, *names, json_object_get(body, *names));
    return view;
}

static void on_answer(void *arg, const struct http_result *res)
{
    static const char *const of_server[] = {"couchdb", "express-pouchdb", "version", "uuid", NULL};
    static const char *const of_db[] = {"db_name", "doc_count", "doc_del_count", "update_seq",
                                        NULL};
    struct asking *a = arg;
    json_t *parsed = NULL;
    if (res->err->code == 0)
        (void)cm_json_parse_lax(res->body, res->body_len, &parsed, NULL);
    CM_AUTO_JSON body = parsed;
    if (res->err->code != 0)
        cm_err_copy(&a->err, res->err);
    else if (res->status != 200)
        refused(a, res, body);
    else if (!json_is_object(body) || (a->database && !json_object_get(body, "update_seq") &&
                                       !cm_json_str(body, "db_name"))) {
        cm_fail(&a->err, CM_EPEER, "the upstream does not answer as a CouchDB does");
        cm_err_hint(&a->err, "Look whether the URL leads to the database, and what is in between "
                             "(a proxy, a login page)");
    } else
        cm_json_set(a->result, a->database ? "database" : "server",
                    some(body, a->database ? of_db : of_server));
    if (a->err.code != 0 || a->database) {
        end(a);
        return;
    }
    a->database = true;
    ask(a);
}

static void ask(struct asking *a)
{
    struct upstream *u = a->u;
    char pins[KF_PINS_TEXT];
    char cert[CONFIG_PATH_MAX + 32], key[CONFIG_PATH_MAX + 32];
    const struct kf_server *manager = kf_trust_manager(fleet_trust(u->opts.fleet));
    const char *url = cm_json_str_or(a->result, "url", "");
    const char *db = strrchr(url, '/') + 1;
    CM_AUTO_STR target =
        a->database ? cm_asprintf("%s/", url) : cm_strndup(url, (size_t)(db - url));
    struct http_call_opts opts = {.url = target,
                                  .timeout_ms = ASK_MS,
                                  .reply_max = ASK_BODY_MAX,
                                  .allow_http = u->opts.config->lab_http,
                                  .no_keep = true};
    struct hub_login login = {0};
    if (a->doc)
        hub_login(a->doc, a->secret, &login);
    char *header =
        login.authorization ? cm_asprintf("Authorization: %s", login.authorization) : NULL;
    const char *headers[] = {"Accept: application/json", header, NULL};
    opts.headers = headers;
    opts.ca_pem = cm_json_str(a->doc, "ca_pem");
    opts.cert_pem = cm_json_str(a->doc, "cert_pem");
    opts.key_pem = login.key_pem;
    if (!a->doc) {
        config_tls_files(u->opts.config, cert, key, sizeof(cert));
        opts.cert_file = cert;
        opts.key_file = key;
        kf_server_pins(manager, pins);
        opts.pin_spki = pins;
    }
    bool sent = http_call(u->opts.http, &opts, on_answer, a, &a->err) != NULL;
    if (header)
        cm_free_secret(header, strlen(header));
    hub_login_fini(&login);
    if (!sent)
        cm_loop_defer(u->opts.loop, end, a);
}

static void on_secret(void *arg, const char *secret, const struct cm_err *err)
{
    struct asking *a = arg;
    if (err) {
        cm_err_copy(&a->err, err);
        end(a);
        return;
    }
    a->secret = cm_strdup(secret);
    ask(a);
}

void upstream_test(void *arg, web_care_fn done, void *done_arg)
{
    struct upstream *u = arg;
    const struct kf_server *manager = kf_trust_manager(fleet_trust(u->opts.fleet));
    struct asking *a = cm_calloc(1, sizeof(*a));
    *a = (struct asking){
        .u = u, .done = done, .arg = done_arg, .result = json_object(), .doc = json_incref(u->doc)};
    if (!u->doc && (fleet_is_manager(u->opts.fleet) || !manager || !manager->url)) {
        cm_fail(&a->err, CM_ENOENT, "this server has no upstream");
        cm_loop_defer(u->opts.loop, end, a);
        return;
    }
    CM_AUTO_STR url = u->doc ? cm_strdup(cm_json_str_or(u->doc, "url", ""))
                             : cm_asprintf("%s/certstore", manager->url);
    cm_json_set_str(a->result, "url", url);
    upstream_open_secret(u, on_secret, a);
}
