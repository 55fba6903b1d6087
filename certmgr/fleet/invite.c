/*
 * Inviting and admitting servers on the manager.  The agent keeps the invitations, checks the proof
 * and signs the new trust root; here are only the store and the wire.
 */
#include "base/core/bytes.h"
#include "base/core/json.h"
#include "base/core/log.h"
#include "base/core/mem.h"
#include "base/core/step.h"
#include "certmgr/fleet/fleet_internal.h"

#include <string.h>

/* ---- invite ---- */

struct inviting {
    struct fleet *fleet;
    char name[KF_NAME_MAX];
    fleet_invite_fn done;
    void *arg;
};

/* One line a person can copy: base64url of a small JSON object. */
static char *token_text(const struct inviting *in, const struct kf_server *self,
                        const json_t *reply)
{
    CM_AUTO_JSON token = json_object();
    cm_step("invite.answer");
    cm_json_set_int(token, "v", 1);
    cm_json_set_str(token, "url", self->url);
    cm_json_set_str(token, "spki", self->tls_spki);
    cm_json_set_str(token, "name", in->name);
    cm_json_set_str(token, "secret", cm_json_str(reply, "secret"));
    cm_json_set_str(token, "expires_at", cm_json_str(reply, "expires_at"));
    size_t len = 0;
    char *text = cm_json_dump(token, &len);
    char *line = cm_b64url(text, len);
    cm_free_secret(text, len);
    return line;
}

static void on_invited(void *arg, const json_t *reply, const struct cm_err *err)
{
    struct inviting *in = arg;
    struct cm_err why = CM_ERR_INIT;
    const struct kf_server *self = kf_trust_server(in->fleet->trust, in->fleet->self);
    if (err == NULL && (self == NULL || self->url == NULL)) {
        cm_fail(&why, CM_EDENIED, "the trust root has no replication URL of this server");
        err = &why;
    } else if (err == NULL &&
               (cm_json_str(reply, "secret") == NULL || cm_json_str(reply, "expires_at") == NULL)) {
        cm_fail(&why, CM_EPEER, "the key agent returned no invitation");
        err = &why;
    }
    if (err != NULL) {
        in->done(in->arg, NULL, NULL, err);
    } else {
        char *line = token_text(in, self, reply);
        in->done(in->arg, line, cm_json_str(reply, "expires_at"), NULL);
        cm_free_secret(line, strlen(line));
    }
    cm_err_fini(&why);
    cm_free(in);
}

void fleet_invite(struct fleet *fleet, const char *name, fleet_invite_fn done, void *arg)
{
    fleet_invite_as(fleet, &(struct fleet_role){.name = name}, done, arg);
}

void fleet_invite_as(struct fleet *fleet, const struct fleet_role *role, fleet_invite_fn done,
                     void *arg)
{
    struct cm_err held = CM_ERR_INIT;
    if (fleet_refuses_held(fleet, &held)) {
        done(arg, NULL, NULL, &held);
        cm_err_fini(&held);
        return;
    }
    struct inviting *in = cm_calloc(1, sizeof(*in));
    *in = (struct inviting){.fleet = fleet, .done = done, .arg = arg};
    /* A name too long is cut here and refused by the agent's rule for names. */
    (void)cm_strcpy(in->name, sizeof(in->name), role->name);
    json_t *request = json_object();
    cm_json_set_str(request, "op", "trust.invite");
    cm_json_set_str(request, "name", role->name);
    if (role->standby)
        cm_json_set_bool(request, "standby", true);
    cm_json_set_str(request, "url", role->url);
    cm_json_set_str(request, "ui_url", role->ui_url);
    cm_json_set_int(request, "ttl_s", FLEET_INVITE_S);
    fleet->agent.call(fleet->agent.arg, request, on_invited, in);
}

/* ---- POST /join ---- */

struct joining {
    struct fleet *fleet;
    struct http_exchange *ex; /* NULL: the client went away */
    json_t *document;
};

static void join_free(struct joining *j)
{
    json_decref(j->document);
    cm_free(j);
}

static void reply_json(struct http_exchange *ex, int status, const json_t *body)
{
    size_t len = 0;
    CM_AUTO_STR text = cm_json_dump(body, &len);
    http_ex_header(ex, "Cache-Control", "no-store");
    http_ex_reply(ex, status, "application/json", text, len);
}

static int status_of(const struct cm_err *err)
{
    switch (err->code) {
    case CM_EINVAL:
    case CM_EMALF:
    case CM_ELIMIT:
        return 400;
    case CM_EDENIED:
    case CM_ENOENT: /* no such invitation: the same as a wrong proof */
        return 403;
    case CM_ECONFLICT:
        return 409;
    default:
        return 503;
    }
}

/* What is wrong inside is for the log: whoever asks here has proved nothing yet. */
static void reply_err(struct http_exchange *ex, const struct cm_err *err)
{
    CM_AUTO_JSON body = json_object();
    struct cm_err inside = CM_ERR_INIT;
    int status = status_of(err);
    if (status == 503 && err->retry != CM_RETRY_CONFIGURATION) {
        cm_fail(&inside, CM_EBUSY, "the manager cannot admit servers at present; see its log");
        err = &inside;
    }
    cm_json_set(body, "error", cm_err_to_json(err));
    reply_json(ex, status, body);
    cm_err_fini(&inside);
}

static void on_join_stored(void *arg, const struct cm_err *err)
{
    struct joining *j = arg;
    cm_step("admit.answer");
    if (err != NULL)
        cm_log_err(CM_LOG_WARN, "fleet", err);
    if (j->ex != NULL && err != NULL) {
        reply_err(j->ex, err);
    } else if (j->ex != NULL) {
        CM_AUTO_JSON body = json_pack("{s:O}", "document", j->document);
        reply_json(j->ex, 200, body);
    }
    join_free(j);
}

static void on_admitted(void *arg, const json_t *reply, const struct cm_err *err)
{
    struct joining *j = arg;
    struct cm_err open = CM_ERR_INIT;
    cm_step("admit.signed");
    if (err == NULL && fleet_keep_proposal(j->fleet, "a server joins", reply, &open)) {
        cm_err_hint(&open, "Root signers have to agree: \"certmgr trust propose FILE\" on the "
                           "manager, \"certmgr trust sign FILE\" on another. Then give the same "
                           "command again, with the same token.");
        fleet_say_proposed(j->fleet, &open, on_join_stored, j);
        cm_err_fini(&open);
        return;
    }
    if (err != NULL) {
        on_join_stored(j, err);
        return;
    }
    j->document = json_deep_copy(cm_json_obj(reply, "document"));
    fleet_store_trust(j->fleet, j->document, on_join_stored, j);
}

static void on_join_closed(void *arg)
{
    ((struct joining *)arg)->ex = NULL;
}

/* Members of the body, all strings; handed to the agent as they are, which checks each strictly. */
static const char *const join_members[] = {"name", "seal", "sign", "tls", "proof"};

void fleet_handle_join(void *arg, struct http_exchange *ex)
{
    struct fleet *fleet = arg;
    const struct http_request *req = http_ex_request(ex);
    CM_AUTO_JSON body = NULL;
    struct cm_err err = CM_ERR_INIT;
    if (req->head.method != HTTP_POST) {
        http_ex_header(ex, "Allow", "POST");
        http_ex_reply(ex, 405, NULL, NULL, 0);
        return;
    }
    json_t *request = json_pack("{s:s}", "op", "trust.admit");
    int rv = cm_json_parse(req->body, req->body_len, &body, &err);
    for (size_t i = 0; rv == 0 && i < sizeof(join_members) / sizeof(join_members[0]); i++) {
        const char *value = cm_json_str(body, join_members[i]);
        if (value == NULL)
            rv = cm_fail(&err, CM_EMALF, "/join: member \"%s\" is missing", join_members[i]);
        else
            cm_json_set_str(request, join_members[i], value);
    }
    if (rv != 0) {
        reply_err(ex, &err);
        cm_err_fini(&err);
        json_decref(request);
        return;
    }
    if (fleet_refuses_held(fleet, &err)) {
        reply_err(ex, &err);
        cm_err_fini(&err);
        json_decref(request);
        return;
    }
    struct joining *j = cm_calloc(1, sizeof(*j));
    *j = (struct joining){.fleet = fleet, .ex = ex};
    http_ex_on_close(ex, on_join_closed, j);
    cm_step("admit.asked");
    fleet->agent.call(fleet->agent.arg, request, on_admitted, j);
}
