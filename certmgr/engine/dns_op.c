/*
 * One operation: its place in the queue, what the provider's answer means for the journal, and how
 * people hear of it.
 */
#include "certmgr/engine/dns_work.h"

#include <stdio.h>
#include <string.h>

#define UNSURE_TRIES 5 /* removals of a value whose addition failed */

void dns_op_take(struct dns_op *op, json_t *entry)
{
    json_incref(entry);
    json_decref(op->entry);
    op->entry = entry;
    op->name = cm_json_str_or(entry, "account", "");
    op->zone = cm_json_str_or(entry, "zone", "");
    op->fqdn = cm_json_str_or(entry, "fqdn", "");
    op->value = cm_json_str_or(entry, "value", "");
}

struct dns_op *dns_op_new(struct engine *engine, const char *key, json_t *entry, bool adding)
{
    struct dns_op *op = cm_calloc(1, sizeof(*op));
    *op = (struct dns_op){.engine = engine, .adding = adding, .since_ms = cm_mono_ms()};
    dns_op_take(op, entry);
    (void)cm_strcpy(op->key, sizeof(op->key), key);
    snprintf(op->owner, sizeof(op->owner), "%.*s", (int)strcspn(key, "/"), key);
    *engine->dns->last = op;
    engine->dns->last = &op->next;
    return op;
}

static void unlink_op(struct dns_op *op)
{
    struct eng_dns *dns = op->engine->dns;
    for (struct dns_op **at = &dns->ops; *at; at = &(*at)->next) {
        if (*at == op) {
            *at = op->next;
            break;
        }
    }
    dns->last = &dns->ops;
    while (*dns->last)
        dns->last = &(*dns->last)->next;
}

static void op_free(struct dns_op *op)
{
    json_decref(op->entry);
    eng_dns_unref(op->account);
    cm_free(op);
}

void dns_op_end(struct dns_op *op, const struct cm_err *err)
{
    struct engine *engine = op->engine;
    CM_BUG_ON(op->call);
    unlink_op(op);
    if (op->wish)
        dns_wish_end(op->wish);
    if (op->done)
        op->done(op->arg, err);
    op_free(op);
    eng_dns_work_turn(engine);
}

/* ---- outcome ------------------------------------------------------------------------------ */

static void step(const struct dns_op *op, int level, const char *text)
{
    if (cm_ulid_ok(op->owner))
        eng_step(op->engine, op->owner, level, "%s", text);
    else
        cm_log(level, "engine", op->owner, "%s", text);
}

/* When a removal failed: later again, and people are told. */
static void remove_later(struct dns_op *op, const struct cm_err *err)
{
    struct engine *engine = op->engine;
    CM_AUTO_JSON entry = dns_journal_get(engine, op->key);
    if (!entry || !dns_journal_is(entry, "removing"))
        return;
    int64_t attempts = cm_json_int(entry, "attempts", 0) + 1;
    int64_t pause = DNS_RETRY_MS;
    for (int64_t i = 1; i < attempts && pause < DNS_RETRY_MAX_MS; i++)
        pause *= 2;
    pause = pause > DNS_RETRY_MAX_MS ? DNS_RETRY_MAX_MS : pause;
    if (cm_json_bool(entry, "unsure", false) && attempts >= UNSURE_TRIES) {
        dns_journal_forget(engine, op->key);
        CM_AUTO_STR end = cm_asprintf("A TXT value that DNS account %s could not set at %s is not "
                                      "looked for any more: %s",
                                      op->name, op->fqdn, err->what);
        step(op, CM_LOG_WARN, end);
        return;
    }
    cm_json_set_int(entry, "attempts", attempts);
    cm_json_set_time(entry, "next_at", cm_now_ms() + pause);
    dns_journal_put(engine, op->key, entry);
    CM_AUTO_STR text =
        cm_asprintf("The TXT value at %s could not be removed by DNS account %s (attempt %d; again "
                    "in %d min): %s",
                    op->fqdn, op->name, (int)attempts, (int)(pause / 60000), err->what);
    step(op, CM_LOG_WARN, text);
    if (!cm_timer_active(engine->dns->sweep) || pause < DNS_SWEEP_MS)
        cm_timer_start(engine->dns->sweep, pause);
}

static void added(struct dns_op *op, const json_t *record)
{
    CM_AUTO_JSON entry = dns_journal_get(op->engine, op->key);
    if (!entry)
        return;
    if (dns_journal_is(entry, "adding"))
        cm_json_set_str(entry, "state", "set");
    if (record)
        cm_json_set(entry, "record", json_deep_copy(record));
    dns_journal_put(op->engine, op->key, entry);
    CM_AUTO_STR text = cm_asprintf("TXT value set at %s by DNS account %s (%d ms)", op->fqdn,
                                   op->name, (int)(cm_mono_ms() - op->since_ms));
    step(op, CM_LOG_INFO, text);
}

void dns_op_answer(struct dns_op *op, const json_t *record, const struct cm_err *err)
{
    struct cm_err why = CM_ERR_INIT;
    if (err) {
        cm_err_copy(&why, err);
        cm_wrap(&why, err->code, "DNS account %s could not %s the TXT value at %s", op->name,
                op->adding ? "set" : "remove", op->fqdn);
    }
    if (!err && op->adding) {
        added(op, record);
    } else if (!err) {
        dns_journal_forget(op->engine, op->key);
        CM_AUTO_STR text = cm_asprintf("TXT value removed at %s", op->fqdn);
        step(op, CM_LOG_INFO, text);
    } else if (!op->adding) {
        remove_later(op, err);
    }
    dns_op_end(op, err ? &why : NULL);
    cm_err_fini(&why);
}

void dns_op_fail(struct dns_op *op, const struct cm_err *err)
{
    if (!op->adding)
        remove_later(op, err);
    dns_op_end(op, err);
}
