/* Replies of _bulk_get, from text to documents that are ready to be put. */
#include "replicator/reading.h"

#include "base/core/json.h"
#include "base/core/mem.h"
#include "replicator/remedy.h"
#include "replicator/values.h"

struct rp_reading *rp_reading_new(struct rp_job *job, const struct http_result *res)
{
    const struct rp_client *client = job->client;
    struct rp_reading *reading = cm_calloc(1, sizeof(*reading));
    *reading = (struct rp_reading){.job = job, .policy = !client->lab, .hub = client->hub};
    reading->text = cm_memdup(res->body, res->body_len);
    reading->len = res->body_len;
    return reading;
}

/* One entry of a list: {"ok": document} or {"error": why}; anything else says nothing. */
static void add_entry(struct rp_reading *reading, const json_t *entry)
{
    json_t *doc = cm_json_obj(entry, "ok");
    const json_t *why = cm_json_obj(entry, "error");
    if (!doc && !why)
        return;
    if (reading->count == reading->size) {
        reading->size = reading->size ? 2 * reading->size : 8;
        reading->item = cm_realloc(reading->item, reading->size * sizeof(*reading->item));
    }
    struct rp_item *item = &reading->item[reading->count++];
    *item = (struct rp_item){.error = doc ? NULL : why};
    if (!doc)
        return;
    item->mark = reading->hub && rp_remedy_is_mark(doc);
    item->ready = cs_ready_new(json_incref(doc), reading->policy, CS_NO_PLACE);
}

static void add_list(struct rp_reading *reading, const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        add_entry(reading, json_array_get(list, i));
}

void rp_reading_run(struct rp_reading *reading, bool many)
{
    json_t *reply = NULL;
    if (rp_values_ok(reading->text, reading->len))
        (void)cm_json_parse_lax(reading->text, reading->len, &reply, NULL);
    cm_free(reading->text);
    reading->text = NULL;
    reading->reply = reply;
    if (!many) {
        add_list(reading, reply);
        return;
    }
    const json_t *results = cm_json_arr(reply, "results");
    for (size_t i = 0; i < json_array_size(results); i++)
        add_list(reading, cm_json_arr(json_array_get(results, i), "docs"));
}

size_t rp_reading_documents(const struct rp_reading *reading)
{
    size_t count = 0;
    for (size_t i = 0; i < reading->count; i++)
        count += reading->item[i].ready != NULL;
    return count;
}

/* A tombstone is signed as one, which its body does not show. */
static json_t *as_signed(const struct cs_ready *ready)
{
    json_t *body = (json_t *)(uintptr_t)cs_ready_body(ready);
    if (!cs_ready_deleted(ready))
        return json_incref(body);
    json_t *copy = json_copy(body); /* the signature in it is the same value */
    cm_json_set_bool(copy, "_deleted", true);
    return copy;
}

const json_t *rp_reading_signed(struct rp_reading *reading)
{
    json_decref(reading->docs);
    reading->docs = json_array();
    for (size_t i = 0; i < reading->count; i++)
        if (reading->item[i].ready)
            json_array_append_new(reading->docs, as_signed(reading->item[i].ready));
    return reading->docs;
}

void rp_reading_free(struct rp_reading *reading)
{
    for (size_t i = 0; i < reading->count; i++)
        if (reading->item[i].ready)
            cs_ready_free(reading->item[i].ready);
    cm_free(reading->item);
    cm_free(reading->text);
    json_decref(reading->docs);
    json_decref(reading->reply);
    cm_free(reading);
}

static void free_work(void *arg)
{
    rp_reading_free(arg);
}

static void freed(void *arg)
{
    (void)arg;
}

void rp_reading_drop(struct rp_reading *reading, struct cm_loop *loop)
{
    if (reading->count < RP_PROVE_MIN)
        rp_reading_free(reading);
    else
        cm_loop_work(loop, free_work, freed, reading);
}
