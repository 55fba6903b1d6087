/* See doubles.h. */
#include "tests/unit/web/doubles.h"

#include <string.h>

#include "base/core/json.h"
#include "base/core/mem.h"

struct doubles doubles;

void doubles_start(struct cm_loop *loop)
{
    memset(&doubles, 0, sizeof(doubles));
    doubles.loop = loop;
    doubles.manager = true;
    doubles.trust_expires_ms = INT64_MAX;
    doubles.server[0] = (struct kf_server){.name = "alpha.example.net",
                                           .manager = true,
                                           .url = "https://alpha.example.net:8444",
                                           .ui_url = "https://alpha.example.net:8443"};
    doubles.server[1] = (struct kf_server){.name = "bravo.example.net"};
    doubles.server[2] = (struct kf_server){.name = "charlie.example.net", .state = KF_REMOVED};
    doubles.server_count = 3;
    doubles.defaults =
        json_pack("{s:s, s:s, s:s, s:i, s:[], s:s}", "provider", "acme", "account", "pebble",
                  "key_type", "P-256", "renew_days", 30, "servers", "keyring_file", "keyfile.kyr");
}

void doubles_stop(void)
{
    json_decref(doubles.defaults);
    json_decref(doubles.view);
    json_decref(doubles.field_errors);
    json_decref(doubles.notes);
    json_decref(doubles.advice);
    json_decref(doubles.advice_before);
    json_decref(doubles.recipe);
    json_decref(doubles.widens);
    json_decref(doubles.confirmed);
    json_decref(doubles.report);
    json_decref(doubles.fields);
    cm_free(doubles.pem);
    cm_err_fini(&doubles.fail);
}

/* ---- later answers ---- */

struct later {
    eng_submit_fn submit;
    eng_done_fn done;
    fleet_invite_fn invite;
    void *arg;
};

static void answer(void *arg)
{
    struct later later = *(struct later *)arg;
    const struct cm_err *err = doubles.fail.code ? &doubles.fail : NULL;
    CM_AUTO_JSON none = json_array();

    cm_free(arg);
    if (later.submit)
        later.submit(later.arg, err ? NULL : "01J00000000000000000000000",
                     doubles.field_errors ? doubles.field_errors : none,
                     doubles.notes ? doubles.notes : none, err);
    else if (later.invite)
        later.invite(later.arg, err ? NULL : "join-token-0123456789",
                     err ? NULL : "2030-01-01T00:00:00.000Z", err);
    else
        later.done(later.arg, err);
}

#define HELD_MAX 8
static struct later *held[HELD_MAX];
static size_t held_count;

static void answer_later(struct later later)
{
    struct later *copy = cm_memdup(&later, sizeof(later));

    doubles.calls++;
    if (doubles.hold && held_count < HELD_MAX)
        held[held_count++] = copy;
    else
        cm_loop_defer(doubles.loop, answer, copy);
}

void doubles_release(void)
{
    doubles.hold = false;
    while (held_count > 0)
        cm_loop_defer(doubles.loop, answer, held[--held_count]);
}

static void keep(const json_t *fields, const struct eng_actor *actor)
{
    json_decref(doubles.fields);
    doubles.fields = json_deep_copy(fields);
    if (actor) {
        cm_strcpy(doubles.who, sizeof(doubles.who), actor->who);
        cm_strcpy(doubles.via, sizeof(doubles.via), actor->via);
    }
}

/* ---- engine ---- */

void eng_check(struct engine *engine, const json_t *fields, json_t **ret_fields,
               json_t **ret_errors, json_t **ret_notes)
{
    (void)engine;
    *ret_fields = json_deep_copy(fields);
    *ret_errors = doubles.field_errors ? json_deep_copy(doubles.field_errors) : json_array();
    *ret_notes = json_array();
}

void eng_submit(struct engine *engine, const json_t *fields, const struct eng_actor *actor,
                eng_submit_fn done, void *arg)
{
    (void)engine;
    keep(fields, actor);
    if (json_array_size(doubles.field_errors) > 0 && !doubles.fail.code)
        cm_fail(&doubles.fail, CM_EINVAL, "the request has errors");
    answer_later((struct later){.submit = done, .arg = arg});
}

void eng_retry(struct engine *engine, const char *credential, const struct eng_actor *actor,
               eng_done_fn done, void *arg)
{
    (void)engine;
    keep(NULL, actor);
    cm_strcpy(doubles.name, sizeof(doubles.name), credential);
    answer_later((struct later){.done = done, .arg = arg});
}

void eng_dry_run(struct engine *engine, const char *credential, const struct eng_actor *actor,
                 eng_done_fn done, void *arg)
{
    (void)engine;
    keep(NULL, actor);
    cm_strcpy(doubles.name, sizeof(doubles.name), credential);
    answer_later((struct later){.done = done, .arg = arg});
}

void eng_renew(struct engine *engine, const char *credential, bool new_key,
               const struct eng_actor *actor, eng_done_fn done, void *arg)
{
    (void)engine;
    keep(NULL, actor);
    doubles.new_key = new_key;
    cm_strcpy(doubles.name, sizeof(doubles.name), credential);
    answer_later((struct later){.done = done, .arg = arg});
}

void eng_roll_over(struct engine *engine, const char *credential, int reason,
                   const struct eng_actor *actor, eng_done_fn done, void *arg)
{
    (void)engine;
    keep(NULL, actor);
    doubles.rollover = reason;
    cm_strcpy(doubles.name, sizeof(doubles.name), credential);
    answer_later((struct later){.done = done, .arg = arg});
}

void eng_change(struct engine *engine, const char *credential, const json_t *fields,
                int64_t base_serial, const struct eng_actor *actor, eng_submit_fn done, void *arg)
{
    (void)engine;
    keep(fields, actor);
    doubles.base_serial = base_serial;
    if (json_array_size(doubles.field_errors) > 0)
        cm_fail(&doubles.fail, CM_EINVAL, "the request has errors");
    cm_strcpy(doubles.name, sizeof(doubles.name), credential);
    answer_later((struct later){.submit = done, .arg = arg});
}

void eng_certificate_put(struct engine *engine, const char *credential, const char *text,
                         size_t len, const struct eng_actor *actor, eng_submit_fn done, void *arg)
{
    (void)engine;
    CM_AUTO_JSON kept = json_object();
    if (strlen(text) != len)
        cm_bug(__FILE__, __LINE__, "length");
    cm_json_set_str(kept, "certificate", text);
    keep(kept, actor);
    if (json_array_size(doubles.field_errors) > 0)
        cm_fail(&doubles.fail, CM_EINVAL, "the certificate cannot be used");
    cm_strcpy(doubles.name, sizeof(doubles.name), credential);
    answer_later((struct later){.submit = done, .arg = arg});
}

void eng_revoke(struct engine *engine, const char *credential, const struct eng_revocation *wish,
                const struct eng_actor *actor, eng_done_fn done, void *arg)
{
    (void)engine;
    CM_AUTO_JSON kept = json_pack("{s:i, s:b, s:s}", "reason", wish->reason, "key", wish->key,
                                  "after", wish->after);
    keep(kept, actor);
    cm_strcpy(doubles.name, sizeof(doubles.name), credential);
    answer_later((struct later){.done = done, .arg = arg});
}

void eng_put_away(struct engine *engine, const char *credential, bool remove,
                  const struct eng_actor *actor, eng_done_fn done, void *arg)
{
    (void)engine;
    CM_AUTO_JSON kept = json_pack("{s:b}", "remove", remove);
    keep(kept, actor);
    cm_strcpy(doubles.name, sizeof(doubles.name), credential);
    answer_later((struct later){.done = done, .arg = arg});
}

void eng_account_put(struct engine *engine, const json_t *fields, const struct eng_actor *actor,
                     eng_done_fn done, void *arg)
{
    (void)engine;
    keep(fields, actor);
    answer_later((struct later){.done = done, .arg = arg});
}

void eng_root_put(struct engine *engine, const char *pem, eng_done_fn done, void *arg)
{
    (void)engine;
    cm_free(doubles.pem);
    doubles.pem = cm_strdup(pem);
    answer_later((struct later){.done = done, .arg = arg});
}

void eng_settings_put(struct engine *engine, const json_t *fields, eng_done_fn done, void *arg)
{
    (void)engine;
    keep(fields, NULL);
    answer_later((struct later){.done = done, .arg = arg});
}

json_t *eng_defaults(struct engine *engine)
{
    (void)engine;
    return json_deep_copy(doubles.defaults);
}

json_t *eng_view(struct engine *engine, const char *credential)
{
    (void)engine;
    (void)credential;
    return doubles.view ? json_deep_copy(doubles.view) : NULL;
}

json_t *eng_status(struct engine *engine)
{
    (void)engine;
    return json_pack("{s:i, s:i, s:s}", "jobs", 1, "waiting", 2, "next_due_at",
                     "2030-01-01T00:00:00.000Z");
}

/* ---- fleet and trust root ---- */

const struct kf_trust *fleet_trust(void *fleet)
{
    return fleet;
}

bool fleet_is_manager(const struct fleet *fleet)
{
    (void)fleet;
    return doubles.manager;
}

void fleet_invite(struct fleet *fleet, const char *name, fleet_invite_fn done, void *arg)
{
    (void)fleet;
    cm_strcpy(doubles.name, sizeof(doubles.name), name);
    answer_later((struct later){.invite = done, .arg = arg});
}

void fleet_remove(struct fleet *fleet, const char *name, fleet_done_fn done, void *arg)
{
    (void)fleet;
    cm_strcpy(doubles.name, sizeof(doubles.name), name);
    answer_later((struct later){.done = done, .arg = arg});
}

size_t kf_trust_count(const struct kf_trust *trust)
{
    (void)trust;
    return doubles.server_count;
}

const struct kf_server *kf_trust_at(const struct kf_trust *trust, size_t i)
{
    (void)trust;
    return &doubles.server[i];
}

const struct kf_server *kf_trust_manager(const struct kf_trust *trust)
{
    (void)trust;
    return doubles.no_manager ? NULL : &doubles.server[0];
}

const json_t *kf_trust_document(const struct kf_trust *trust)
{
    (void)trust;
    return NULL;
}

int64_t kf_trust_version(const struct kf_trust *trust)
{
    (void)trust;
    return 7;
}

int64_t kf_trust_expires_ms(const struct kf_trust *trust)
{
    (void)trust;
    return doubles.trust_expires_ms;
}
