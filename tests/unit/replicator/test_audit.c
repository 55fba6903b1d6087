/* A member of a hub is the first to post a version that everybody knows, with another text: see
 * replicator/audit.c. */
#include "tests/unit/replicator/rig.h"

#include <string.h>

#include "base/core/mem.h"
#include "replicator/job.h"

#define DOC "settings:default"

struct fixture {
    struct rig rig;
    struct node hub, manager, late;
    struct rp_client *of_manager, *of_late;
    json_t *race;   /* stored by the hub before the first documents that are posted */
    unsigned asked; /* by it */
    bool hides;     /* there is no _bulk_get */
};

static void plant(struct fixture *f, json_t *doc)
{
    struct cs_result res;
    assert_int_equal(cs_put_replicated(f->hub.store, doc, "evil", &res, NULL), 0);
    assert_int_equal(res.code, 0);
    assert_int_equal(cs_commit(f->hub.store, NULL), 0);
}

static bool answer(void *arg, const struct http_request *req, struct http_exchange *ex)
{
    struct fixture *f = arg;
    static const char text[] = "{\"error\":\"method_not_allowed\"}";
    if (strstr(req->head.path, "/_bulk_docs") && f->race) {
        plant(f, f->race);
        cm_json_free(&f->race);
    }
    /* The audit asks without options, the pull with. */
    if (!strstr(req->head.path, "/_bulk_get") || req->head.query[0])
        return false;
    f->asked++;
    if (f->hides)
        http_ex_reply(ex, 405, "application/json", text, sizeof(text) - 1);
    return f->hides;
}

static int setup(void **state)
{
    struct fixture *f = test_calloc(1, sizeof(*f));
    rig_open(&f->rig);
    node_start(&f->rig, &f->hub, "hub", true);
    node_start(&f->rig, &f->manager, "manager", false);
    node_start(&f->rig, &f->late, "late", false);
    f->hub.answer = answer;
    f->hub.answer_arg = f;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    rp_client_end(f->of_manager);
    rp_client_end(f->of_late);
    node_close(&f->late);
    node_close(&f->manager);
    node_close(&f->hub);
    rig_close(&f->rig);
    cm_json_free(&f->race);
    test_free(f);
    return 0;
}

static struct rp_client *join(struct fixture *f, struct node *node, bool manager)
{
    struct cm_err err = CM_ERR_INIT;
    struct rp_client *client = NULL;
    const struct rp_client_opts opts = {.loop = f->rig.loop,
                                        .store = node->store,
                                        .http = f->rig.http,
                                        .url = f->hub.url,
                                        .allow_http = true,
                                        .hub = true,
                                        .manager = manager,
                                        .heal = manager};
    if (rp_client_new(&opts, &client, &err) < 0)
        fail_msg("rp_client_new: %s", err.what);
    return client;
}

static int64_t late_days(struct fixture *f)
{
    CM_AUTO_JSON body = cs_get_body(f->late.store, DOC);
    return cm_json_int(body, "renew_days", -1);
}

static bool late_has_it(void *arg)
{
    return late_days(arg) == 30;
}

static bool late_has_the_next(void *arg)
{
    return late_days(arg) == 40;
}

static bool is_over(void *arg)
{
    struct fixture *f = arg;
    CM_AUTO_JSON place = cs_kv_get(f->manager.store, "state", "hub_audit");
    return f->asked > 0 && place == NULL && rp_heal_waits(f->of_manager) == 0;
}

/* The manager's version, signed by it, under its name: what a member makes of that. */
static json_t *known(struct fixture *f)
{
    json_t *doc = NULL;
    put_doc(&f->manager, doc_settings("default", 1000, 30), NULL);
    assert_int_equal(cs_read_rev(f->manager.store, DOC, NULL, true, false, &doc, NULL), 0);
    return doc;
}

/* Who is new finds the signed version, and everybody the next one. */
static void assert_put_right(struct fixture *f, int64_t healed)
{
    rig_wait(&f->rig, is_over, f);
    f->of_late = join(f, &f->late, false);
    rig_wait(&f->rig, late_has_it, f);
    CM_AUTO_JSON hub = NULL;
    assert_int_equal(cs_read_rev(f->hub.store, DOC, NULL, false, false, &hub, NULL), 0);
    assert_int_equal(cm_json_int(hub, "renew_days", -1), 30);
    CM_AUTO_JSON status = rp_client_status(f->of_manager);
    assert_int_equal(cm_json_int(status, "healed", -1), healed);
    put_doc(&f->manager, doc_settings("default", 2000, 40), NULL);
    rig_wait(&f->rig, late_has_the_next, f);
}

static void another_text_under_a_known_name(void **state)
{
    struct fixture *f = *state;
    CM_AUTO_JSON doc = known(f);
    cm_json_set_int(doc, "renew_days", 1);
    plant(f, doc);
    f->of_manager = join(f, &f->manager, true);
    assert_put_right(f, 1);
}

static void a_tombstone_under_a_known_name(void **state)
{
    struct fixture *f = *state;
    CM_AUTO_JSON doc = known(f);
    cm_json_set_bool(doc, "_deleted", true);
    plant(f, doc);
    f->of_manager = join(f, &f->manager, true);
    assert_put_right(f, 1);
}

/* The manager has asked, and the member is faster than what it sends then. */
static void faster_than_the_manager(void **state)
{
    struct fixture *f = *state;
    f->race = known(f);
    cm_json_set_int(f->race, "renew_days", 1);
    f->of_manager = join(f, &f->manager, true);
    assert_put_right(f, 1);
}

static void a_hub_without_bulk_get(void **state)
{
    struct fixture *f = *state;
    f->hides = true;
    f->race = known(f);
    cm_json_set_int(f->race, "renew_days", 1);
    f->of_manager = join(f, &f->manager, true);
    assert_put_right(f, 1);
}

/* An audit that a restart of the manager interrupted goes on; what is right is left alone. */
static void goes_on_after_a_restart(void **state)
{
    struct fixture *f = *state;
    CM_AUTO_JSON yes = json_pack("{s:s}", "after", "");
    json_decref(known(f));
    f->of_manager = join(f, &f->manager, true);
    rig_wait(&f->rig, is_over, f);
    rp_client_end(f->of_manager);
    unsigned asked = f->asked;
    f->of_manager = join(f, &f->manager, true); /* nothing new, and nothing to compare */
    client_settle(&f->manager, f->of_manager);
    rig_sleep(&f->rig, 100);
    assert_int_equal(f->asked, asked);
    rp_client_end(f->of_manager);
    assert_int_equal(cs_kv_put(f->manager.store, "state", "hub_audit", yes, NULL), 0);
    f->asked = 0;
    f->of_manager = join(f, &f->manager, true);
    rig_wait(&f->rig, is_over, f);
    assert_put_right(f, 0);
}

/* More than one page; a member spoiled the last of them. */
static void page_after_page(void **state)
{
    struct fixture *f = *state;
    CM_AUTO_JSON doc = known(f);
    for (int i = 0; i < 250; i++) {
        CM_AUTO_STR name = cm_asprintf("a%03d", i);
        put_doc(&f->manager, doc_settings(name, 10, i), NULL);
    }
    f->race = json_incref(doc);
    cm_json_set_int(f->race, "renew_days", 1);
    f->of_manager = join(f, &f->manager, true);
    assert_put_right(f, 1);
    assert_in_range(f->asked, 3, 4);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(another_text_under_a_known_name), T(a_tombstone_under_a_known_name),
        T(faster_than_the_manager),         T(a_hub_without_bulk_get),
        T(goes_on_after_a_restart),         T(page_after_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
