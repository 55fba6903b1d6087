/* Conditions of one credential, a function per kind; the thresholds are parts of a certificate's
 * life, so that six-day certificates and ten-year ones follow the same rules. */
#include "certmgr/notify/rules.h"

#include <stdio.h>
#include <string.h>

#include "base/core/clock.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "base/net/hostname.h"
#include "certmgr/engine/plan.h"
#include "certmgr/notify/condition.h"

static void look_at(int64_t *look_ms, int64_t now_ms, int64_t when_ms)
{
    if (when_ms > now_ms && when_ms < *look_ms)
        *look_ms = when_ms;
}

struct subject {
    const struct notice_rules *rules;
    const json_t *credential;
    const char *ulid, *status;
    char name[300]; /* "www.例え.jp and 2 more" */
    int64_t not_before, not_after;
    bool serves; /* a certificate exists that was neither revoked nor put away */
    json_t *open;
    int64_t *look_ms;
};

static void set_where(const struct subject *s, json_t *condition, const char *server)
{
    CM_AUTO_STR path = cm_asprintf("/credentials/%s", s->ulid);
    const char *account = cm_json_str_or(s->credential, "account", "");
    cm_json_set_str(condition, "path", path);
    if (server)
        condition_text(condition, "where",
                       cm_asprintf("server %s, credential %s", server, s->ulid));
    else
        condition_text(
            condition, "where",
            cm_asprintf("credential %s%s%s", s->ulid, account[0] ? ", account " : "", account));
}

static void read_name(struct subject *s)
{
    const json_t *names = cm_json_arr(s->credential, "host_names_ascii");
    const char *first = json_string_value(json_array_get(names, 0));
    char unicode[HOSTNAME_MAX] = "";
    hostname_to_unicode(first ? first : s->ulid, unicode, sizeof(unicode));
    if (json_array_size(names) > 1)
        snprintf(s->name, sizeof(s->name), "%s and %zu more", unicode, json_array_size(names) - 1);
    else
        snprintf(s->name, sizeof(s->name), "%s", unicode);
}

static bool status_is(const struct subject *s, const char *const *list)
{
    for (; *list; list++)
        if (strcmp(s->status, *list) == 0)
            return true;
    return false;
}

/* People bring its certificates. */
static bool by_hand(const struct subject *s)
{
    return strcmp(cm_json_str_or(s->credential, "provider", ""), "manual") == 0 &&
           !cm_json_bool(s->credential, "paused", false);
}

/* People bring its certificates, with their keys. */
static bool imported(const struct subject *s)
{
    return strcmp(cm_json_str_or(s->credential, "provider", ""), "import") == 0;
}

/* The CSR that waits for its certificate, or NULL. */
static const json_t *csr_of(const struct subject *s)
{
    const json_t *out = by_hand(s) ? cm_json_obj(s->credential, "csr_out") : NULL;
    return cm_json_str(out, "csr") ? out : NULL;
}

/* attempts counts the failed runs since the last success, also while the next one is under way. */
static void order_rule(const struct subject *s)
{
    static const char *const wanted[] = {"error", "waiting", "pending", "renew", NULL};
    char key[NOTICE_KEY_MAX];
    if (!status_is(s, wanted) || !json_object_get(s->credential, "attempts") || csr_of(s))
        return; /* without attempts: a refused request, told to who made it */
    int64_t attempts = cm_json_int(s->credential, "attempts", 0);
    const json_t *error = cm_json_obj(s->credential, "error");
    bool serving = s->serves && s->not_after > s->rules->now_ms;
    snprintf(key, sizeof(key), "order:%s", s->ulid);
    json_t *c =
        condition_open(s->open, key, "order_failed", serving ? CONDITION_OPEN : CONDITION_CRITICAL);
    if (!c)
        return;
    condition_text(c, "title", cm_asprintf("Order for %s failed", s->name));
    set_where(s, c, NULL);
    if (error)
        condition_error(c, error);
    else
        cm_json_set_str(c, "what", "The order failed; a new attempt is under way");
    if (attempts < 1)
        cm_json_set_bool(c, "hold", true); /* a new request: its outcome decides */
    else
        cm_json_set_int(c, "attempts", attempts);
}

/* A certificate that somebody wants revoked and that is still valid. */
static void revoke_rule(const struct subject *s)
{
    const json_t *error = cm_json_obj(s->credential, "error");
    const json_t *revocation = cm_json_obj(s->credential, "revocation");
    size_t holders = json_array_size(cm_json_arr(s->credential, "servers"));
    bool unheard = cm_json_int(revocation, "asked", 0) > (int64_t)holders; /* all of them, once */
    bool stolen = cm_json_int(revocation, "reason", 0) == 1;               /* keyCompromise */
    char key[NOTICE_KEY_MAX];
    if (!error && !unheard)
        return;
    snprintf(key, sizeof(key), "revoke:%s", s->ulid);
    json_t *c = condition_open(s->open, key, "revocation_failed",
                               stolen ? CONDITION_CRITICAL : CONDITION_OPEN);
    if (!c)
        return;
    condition_text(c, "title", cm_asprintf("Revocation of %s failed", s->name));
    set_where(s, c, NULL);
    if (error) {
        condition_error(c, error);
    } else {
        cm_json_set_str(c, "what", "No server with the key has sent the revocation to the CA");
        cm_json_set_str(c, "hint",
                        "Look whether certmgr runs on the servers with access and reaches the CA");
        cm_json_set_time(c, "next_at", cm_json_time(s->credential, "next_action_at", 0));
    }
    cm_json_set_time(c, "since", cm_json_time(revocation, "asked_at", 0));
    cm_json_set_int(c, "attempts", cm_json_int(s->credential, "attempts", 0));
}

static int renewal_level(const struct subject *s, bool automatic, int64_t point)
{
    int64_t now = s->rules->now_ms;
    int64_t life = s->not_after - s->not_before, left = s->not_after - now;
    bool late = automatic ? now - point > (s->not_after - point) / 10 : left < life / 3;
    if (!late)
        return 0;
    return left < life / 10 ? CONDITION_TENTH : left < life / 5 ? CONDITION_FIFTH : CONDITION_OPEN;
}

/* From the day on which its renewal was due: somebody has to go to the CA. */
static void csr_rule(const struct subject *s)
{
    const json_t *out = csr_of(s);
    int64_t now = s->rules->now_ms, life = s->not_after - s->not_before;
    int64_t left = s->not_after - now;
    char key[NOTICE_KEY_MAX], date[CM_TIME_TEXT];
    if (!out)
        return;
    look_at(s->look_ms, now, s->not_after - life / 5 + 1);
    look_at(s->look_ms, now, s->not_after - life / 10 + 1);
    look_at(s->look_ms, now, s->not_after);
    snprintf(key, sizeof(key), "csr:%s", s->ulid);
    json_t *c = condition_open(s->open, key, "csr_waits",
                               left < life / 10  ? CONDITION_TENTH
                               : left < life / 5 ? CONDITION_FIFTH
                                                 : CONDITION_OPEN);
    if (!c)
        return;
    cm_time_format(s->not_after, date);
    condition_text(c, "title", cm_asprintf("%s needs a new certificate, by hand", s->name));
    set_where(s, c, NULL);
    condition_text(c, "path", cm_asprintf("/credentials/%s/csr", s->ulid));
    condition_text(
        c, "what",
        cm_asprintf("The CSR waits for its certificate; the present one ends at %.19sZ", date));
    cm_json_set_str(c, "hint",
                    "Send the CSR to the CA and hand in the certificate that comes back");
    cm_json_set_time(c, "since", cm_json_time(out, "at", 0));
}

/* What to do about a certificate that nothing renews. */
static void set_way_on(const struct subject *s, json_t *condition)
{
    if (imported(s))
        condition_text(condition, "hint",
                       cm_asprintf("This certificate was imported and is not renewed by itself: "
                                   "import the next one: certmgr import FILE --credential %s",
                                   s->ulid));
    else
        cm_json_set_str(condition, "hint",
                        "This certificate is not renewed by itself: submit a request");
}

static void renewal_rule(const struct subject *s)
{
    if (csr_of(s)) {
        csr_rule(s);
        return;
    }
    int64_t now = s->rules->now_ms, life = s->not_after - s->not_before;
    bool automatic =
        by_hand(s) || (strcmp(cm_json_str_or(s->credential, "provider", ""), "acme") == 0 &&
                       !cm_json_bool(s->credential, "paused", false));
    int64_t point = automatic ? eng_plan_renewal(s->credential) : s->not_after - life / 3;
    const int64_t looks[] = {automatic ? point + (s->not_after - point) / 10 + 1 : point + 1,
                             s->not_after - life / 5 + 1, s->not_after - life / 10 + 1,
                             s->not_after};
    for (size_t i = 0; i < sizeof(looks) / sizeof(looks[0]); i++)
        look_at(s->look_ms, now, looks[i]);
    int level = renewal_level(s, automatic, point);
    char key[NOTICE_KEY_MAX], date[CM_TIME_TEXT];
    if (level == 0)
        return;
    snprintf(key, sizeof(key), "renewal:%s", s->ulid);
    json_t *c = condition_open(s->open, key, "renewal_missed", level);
    if (!c)
        return;
    cm_time_format(s->not_after, date);
    condition_text(c, "title", cm_asprintf("Renewal of %s is overdue", s->name));
    set_where(s, c, NULL);
    condition_text(c, "what",
                   cm_asprintf("The certificate ends at %.19sZ and has not been renewed", date));
    if (!automatic)
        set_way_on(s, c);
    cm_json_set_time(c, "since", point);
    cm_json_set_time(c, "next_at", cm_json_time(s->credential, "next_action_at", 0));
}

/* The CA says why it wants this certificate replaced: a revocation is near, most of the time. */
static void ari_rule(const struct subject *s)
{
    const json_t *ari = cm_json_obj(s->credential, "ari");
    const char *url = cm_json_str(ari, "explanation_url");
    char key[NOTICE_KEY_MAX];
    if (!url)
        return;
    snprintf(key, sizeof(key), "ari:%s", s->ulid);
    json_t *c = condition_open(s->open, key, "ca_explains", CONDITION_OPEN);
    if (!c)
        return;
    condition_text(c, "title", cm_asprintf("The CA wants the certificate of %s renewed", s->name));
    set_where(s, c, NULL);
    condition_text(c, "what", cm_asprintf("It gives its reason at %.300s", url));
    cm_json_set_str(c, "hint", "It is renewed at the time that the CA proposes; read why");
    cm_json_set_time(c, "next_at", cm_json_time(s->credential, "next_action_at", 0));
}

static void expired_rule(const struct subject *s)
{
    char key[NOTICE_KEY_MAX], date[CM_TIME_TEXT];
    snprintf(key, sizeof(key), "expired:%s", s->ulid);
    json_t *c = condition_open(s->open, key, "expired", CONDITION_OVER);
    if (!c)
        return;
    cm_time_format(s->not_after, date);
    condition_text(c, "title", cm_asprintf("The certificate of %s has expired", s->name));
    set_where(s, c, NULL);
    condition_text(c, "what", cm_asprintf("It ended at %.19sZ; clients refuse it", date));
    cm_json_set_time(c, "since", s->not_after);
    cm_json_set_time(c, "next_at", cm_json_time(s->credential, "next_action_at", 0));
    if (imported(s))
        set_way_on(s, c);
}

/* ---- deployment ------------------------------------------------------------------------------ */

static const json_t *receipt_of(const json_t *receipts, const char *server)
{
    size_t i;
    json_t *receipt;
    json_array_foreach(receipts, i, receipt)
    {
        if (strcmp(cm_json_str_or(receipt, "server", ""), server) == 0)
            return receipt;
    }
    return NULL;
}

static bool receipt_done(const struct subject *s, const json_t *receipt)
{
    static const char *const done[] = {"deployed", "reloaded", "served"};
    const char *state = cm_json_str_or(receipt, "state", "");
    bool right = false;
    for (size_t i = 0; i < sizeof(done) / sizeof(done[0]); i++)
        right = right || strcmp(state, done[i]) == 0;
    return right && strcmp(cm_json_str_or(receipt, "fingerprint", ""),
                           cm_json_str_or(s->credential, "fingerprint", "")) == 0;
}

/* The deployment of this certificate is due: after the last change of the document (a server may
 * have been added long after the issuance; a serial is the wall clock of the writing), and not
 * before the certificate is in force. */
static int64_t deploy_due(const struct subject *s)
{
    int64_t issued = cm_json_time(s->credential, "issued_at", 0);
    int64_t written = cm_json_int(s->credential, "serial", 0);
    int64_t from = cm_json_time(cm_json_obj(s->credential, "activation"), "from", 0);
    if (from > issued)
        issued = from;
    return (issued > written ? issued : written) + s->rules->deploy_after_ms;
}

static void deploy_rule(const struct subject *s, const char *server, const json_t *receipt)
{
    int64_t due = deploy_due(s);
    bool failed = strcmp(cm_json_str_or(receipt, "state", ""), "failed") == 0;
    char key[NOTICE_KEY_MAX];
    if (receipt_done(s, receipt))
        return;
    look_at(s->look_ms, s->rules->now_ms, due);
    snprintf(key, sizeof(key), "deploy:%s:%.63s", s->ulid, server);
    json_t *c = condition_open(s->open, key, "deploy_failed", CONDITION_OPEN);
    if (!c)
        return;
    set_where(s, c, server);
    if (failed) {
        condition_text(c, "title", cm_asprintf("Deployment of %s on %s failed", s->name, server));
        condition_error(c, cm_json_obj(receipt, "error"));
        cm_json_set_time(c, "since", cm_json_time(receipt, "at", 0));
        return;
    }
    condition_text(c, "title", cm_asprintf("%s is not deployed on %s", s->name, server));
    cm_json_set_str(c, "what", "The server has not confirmed the present certificate");
    condition_text(c, "hint",
                   cm_asprintf("Look whether certmgr runs on %s and reaches the manager", server));
    cm_json_set_time(c, "since", cm_json_time(s->credential, "issued_at", 0));
    if (s->rules->now_ms < due)
        cm_json_set_bool(c, "hold", true); /* after a failure: not well before it is confirmed */
}

static void deploy_rules(const struct subject *s, const json_t *receipts)
{
    size_t i;
    json_t *value;
    json_array_foreach(cm_json_arr(s->credential, "servers"), i, value)
    {
        const char *name = json_string_value(value);
        const struct kf_server *server =
            name && s->rules->trust ? kf_trust_server(s->rules->trust, name) : NULL;
        if (name && (!s->rules->trust || (server && server->state == KF_ACTIVE)))
            deploy_rule(s, name, receipt_of(receipts, name));
    }
}

void notice_rules_credential(const struct notice_rules *rules, const json_t *credential,
                             const json_t *receipts, json_t *open, int64_t *look_ms)
{
    static const char *const away[] = {"draft", "revoked", "archived", NULL};
    const char *id = cm_json_str_or(credential, "_id", "");
    struct subject s = {.rules = rules,
                        .credential = credential,
                        .ulid = strncmp(id, "credential:", 11) == 0 ? id + 11 : id,
                        .status = cm_json_str_or(credential, "status", ""),
                        .not_before = cm_json_time(credential, "not_before", 0),
                        .not_after = cm_json_time(credential, "not_after", 0),
                        .open = open,
                        .look_ms = look_ms};
    if (status_is(&s, away))
        return;
    read_name(&s);
    if (strcmp(s.status, "revoke_pending") == 0) {
        revoke_rule(&s);
        return;
    }
    s.serves = cm_json_str(credential, "chain") && s.not_after > s.not_before;
    order_rule(&s);
    if (!s.serves)
        return;
    if (s.not_after <= rules->now_ms) {
        expired_rule(&s);
        return;
    }
    renewal_rule(&s);
    ari_rule(&s);
    deploy_rules(&s, receipts);
}
