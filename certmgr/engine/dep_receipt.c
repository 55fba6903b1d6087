/* Receipts: what this server says about one credential; written only when something changed. */
#include "certmgr/engine/dep_run.h"

#include <stdio.h>
#include <string.h>

#include "certmgr/acme/retry.h"
#include "keyfile/cert.h"

const char *dep_goal(const struct dep_place *place)
{
    return place->check ? "served" : place->has_reload ? "reloaded" : "deployed";
}

static bool same(const json_t *a, const json_t *b, const char *member)
{
    return json_equal(json_object_get(a, member), json_object_get(b, member));
}

bool dep_receipt_good(const struct dep_place *place, const json_t *receipt, const json_t *document)
{
    return strcmp(cm_json_str_or(receipt, "state", ""), dep_goal(place)) == 0 &&
           strcmp(cm_json_str_or(receipt, "target", ""), place->name) == 0 &&
           same(receipt, document, "fingerprint") && same(receipt, document, "key_generation");
}

/* How often this very certificate failed here before. */
static unsigned attempts_before(const json_t *receipt, const json_t *document)
{
    if (!same(receipt, document, "fingerprint"))
        return 0;
    return (unsigned)cm_json_int(cm_json_obj(receipt, "error"), "attempts", 0);
}

/* As usual, but sooner for a certificate that is valid for minutes. */
static int64_t next_attempt(const char *id, const json_t *document, unsigned attempts)
{
    struct kf_cert_info info;
    int64_t now = cm_now_ms(), most = INT64_MAX;
    if (kf_cert_info(cm_json_str_or(document, "leaf", ""), &info, NULL) == 0) {
        most = eng_plan_retry_max(info.not_before_ms, info.not_after_ms);
        kf_cert_info_fini(&info);
    }
    int64_t next = acme_next_attempt_ms(now, attempts, CM_RETRY_TRANSIENT, eng_seed(id), 0);
    return next - now > most ? now + most : next;
}

struct publication {
    json_t *members;
    cs_published_fn done;
    void *arg;
};

static int edit_receipt(void *arg, json_t *body, struct cm_err *unused)
{
    struct publication *pub = arg;
    (void)unused;
    const char *key;
    json_t *value;
    bool changed = json_object_get(body, "error") && !json_object_get(pub->members, "error");
    json_object_foreach(pub->members, key, value)
    {
        changed =
            changed || (strcmp(key, "at") != 0 && !json_equal(json_object_get(body, key), value));
    }
    if (!changed)
        return 1;
    json_object_del(body, "error");
    json_object_update(body, pub->members);
    return 0;
}

static void on_published(void *arg, const struct cs_doc *doc, const struct cm_err *err)
{
    struct publication *pub = arg;
    pub->done(pub->arg, doc, err);
    json_decref(pub->members);
    cm_free(pub);
}

void dep_report(struct deployer *deployer, const char *ulid, struct dep_report *report,
                cs_published_fn done, void *arg)
{
    struct publication *pub = cm_calloc(1, sizeof(*pub));
    pub->done = done;
    pub->arg = arg;
    json_t *members = pub->members = json_object();
    cm_json_set_str(members, "server", deployer->env.self);
    cm_json_set_str(members, "credential", ulid);
    cm_json_set_str(members, "state", report->state);
    cm_json_set_str(members, "target", report->target);
    cm_json_set_time(members, "at", cm_now_ms());
    static const char *const from_document[] = {"fingerprint", "key_generation"};
    for (size_t i = 0; i < sizeof(from_document) / sizeof(from_document[0]); i++) {
        json_t *value = json_object_get(report->document, from_document[i]);
        if (value)
            json_object_set(members, from_document[i], value);
    }
    CM_AUTO_STR id = cm_asprintf("receipt:%s:%s", deployer->env.self, ulid);
    if (report->err) {
        CM_AUTO_JSON before = cs_get_body(deployer->env.store, id);
        report->err->attempts = attempts_before(before, report->document) + 1;
        report->err->retry = CM_RETRY_TRANSIENT;
        report->err->next_attempt_ms = next_attempt(id, report->document, report->err->attempts);
        cm_json_set(members, "error", cm_err_to_json(report->err));
    }
    eng_edit(deployer->engine, id, "receipt", edit_receipt, on_published, pub);
}
