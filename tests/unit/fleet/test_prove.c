/* Signatures checked on worker threads: which verdicts hold, for whom, and for how long. */
#include "tests/unit/fleet/support.h"

#include <pthread.h>

#define DOCS 100 /* several shares of work */

static struct server alpha;

static int setup(void **state)
{
    (void)state;
    manager_init(&alpha, "alpha");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    server_fini(&alpha);
    return 0;
}

static json_t *document(int serial)
{
    return signed_doc(&alpha, json_pack("{s:s, s:s, s:i}", "_id", "settings:a", "type", "settings",
                                        "serial", serial));
}

struct outcome {
    json_t *docs;  /* borrowed */
    json_t *asked; /* about these, when they are others */
    int calls;
    bool alive; /* the fleet is there */
    bool proven[DOCS + 10], valid[DOCS + 10];
    cm_fn first; /* done inside, before anything is asked */
};

static const json_t *at(void *arg, size_t i)
{
    const struct outcome *o = arg;
    return json_array_get(o->docs, i);
}

static void look(void *arg)
{
    struct outcome *o = arg;
    o->calls++;
    if (o->first != NULL)
        o->first(o);
    for (size_t i = 0; i < json_array_size(o->docs) && o->alive; i++) {
        const json_t *doc = json_array_get(o->asked ? o->asked : o->docs, i);
        bool deleted = cm_json_bool(doc, "_deleted", false);
        struct cs_verdict v;
        o->proven[i] = fleet_is_proven(alpha.fleet, doc, deleted);
        assert_false(fleet_is_proven(alpha.fleet, doc, !deleted));
        fleet_verify(alpha.fleet, doc, deleted, &v);
        o->valid[i] = v.valid;
    }
}

static struct cs_proof proof_over(struct outcome *o)
{
    return (struct cs_proof){.count = json_array_size(o->docs), .doc = at, .done = look, .arg = o};
}

static void prove(struct outcome *o)
{
    const struct cs_proof proof = proof_over(o);
    fleet_prove(alpha.fleet, &proof);
    assert_int_equal(o->calls, 0); /* never from inside */
    while (o->calls == 0)
        cm_loop_turn(alpha.loop, true);
    assert_int_equal(o->calls, 1);
}

static void good_documents_are_proven_and_no_others(void **state)
{
    (void)state;
    CM_AUTO_JSON docs = json_array();
    struct outcome o = {.docs = docs, .alive = true};
    for (int i = 0; i < DOCS; i++)
        json_array_append_new(docs, document(i + 1));
    json_t *changed = document(1);
    cm_json_set_int(changed, "serial", 999);
    json_t *tombstone = document(2); /* signed as alive */
    cm_json_set_bool(tombstone, "_deleted", true);
    json_t *bare = document(3);
    json_object_del(bare, "signature");
    json_t *empty = json_object();
    json_t *bad[] = {changed, tombstone, bare, empty,
                     json_deep_copy(kf_trust_document(fleet_trust(alpha.fleet)))};
    for (size_t i = 0; i < 5; i++)
        json_array_append_new(docs, bad[i]);
    /* Members of the protocol are not signed. */
    cm_json_set_str(json_array_get(docs, 0), "_rev", "1-a");
    prove(&o);
    for (size_t i = 0; i < DOCS; i++)
        assert_true(o.proven[i] && o.valid[i]);
    for (size_t i = DOCS; i < DOCS + 5; i++)
        assert_false(o.proven[i]);
    for (size_t i = DOCS; i < DOCS + 4; i++)
        assert_false(o.valid[i]);
    assert_true(o.valid[DOCS + 4]); /* the trust root has its own rules */
    /* The verdicts end with the call. */
    assert_false(fleet_is_proven(alpha.fleet, json_array_get(docs, 0), false));
}

static void an_equal_document_elsewhere_is_not_proven(void **state)
{
    (void)state;
    CM_AUTO_JSON docs = json_array();
    json_array_append_new(docs, document(1));
    CM_AUTO_JSON other = json_deep_copy(docs);
    struct outcome o = {.docs = docs, .asked = other, .alive = true};
    prove(&o);
    assert_false(o.proven[0]);
    assert_true(o.valid[0]); /* verified as ever */
}

struct also {
    struct outcome o; /* first: at() and look() get it */
    pthread_t loop;
    pthread_t got[DOCS + 2];
    int calls[DOCS + 2];
    bool away[DOCS + 2], good[DOCS + 2];
};

static const json_t *at_some(void *arg, size_t i)
{
    struct also *a = arg;
    a->got[i] = pthread_self();
    return i == DOCS + 1 ? NULL : at(arg, i);
}

/* Takes the document apart, as whoever reads it ahead does. */
static void take_apart(void *arg, size_t i, bool good, const char *text, size_t len)
{
    struct also *a = arg;
    CM_AUTO_JSON read = NULL;
    json_t *doc = json_array_get(a->o.docs, i);
    if (good) {
        assert_int_equal(cm_json_parse(text, len, &read, NULL), 0);
        cm_json_set_str(read, "_rev", "1-a");
        assert_true(json_equal(read, doc));
    } else {
        assert_null(text);
    }
    a->calls[i]++;
    a->good[i] = good;
    a->away[i] = !pthread_equal(pthread_self(), a->loop);
    assert_true(pthread_equal(pthread_self(), a->got[i]));
    json_object_del(doc, "_rev");
    cm_json_set_int(doc, "serial", 7);
}

/* Also what nobody signed, what is not there, and after the check: that it is not the same any more
 * changes nothing. */
static void each_document_is_handed_over_once_after_its_check(void **state)
{
    (void)state;
    CM_AUTO_JSON docs = json_array();
    struct also a = {.o = {.docs = docs, .alive = true}, .loop = pthread_self()};
    for (int i = 0; i < DOCS; i++) {
        json_array_append_new(docs, document(i + 1));
        cm_json_set_str(json_array_get(docs, (size_t)i), "_rev", "1-a");
    }
    json_array_append_new(docs, json_object());
    json_array_append_new(docs, json_object());
    const struct cs_proof proof = {
        .count = DOCS + 2, .doc = at_some, .also = take_apart, .done = look, .arg = &a};
    fleet_prove(alpha.fleet, &proof);
    while (a.o.calls == 0)
        cm_loop_turn(alpha.loop, true);
    for (size_t i = 0; i < DOCS + 2; i++) {
        assert_int_equal(a.calls[i], 1);
        assert_true(a.away[i]);
        assert_int_equal(a.good[i], i < DOCS);
        assert_int_equal(a.o.proven[i], i < DOCS);
    }
}

static void expire(void *arg)
{
    (void)arg;
    cm_clock_fake(kf_trust_expires_ms(fleet_trust(alpha.fleet)), 0);
}

static void a_proof_does_not_outlive_the_trust_root(void **state)
{
    (void)state;
    CM_AUTO_JSON docs = json_array();
    struct outcome o = {.docs = docs, .alive = true, .first = expire};
    json_array_append_new(docs, document(1));
    prove(&o);
    assert_true(o.proven[0]);
    assert_false(o.valid[0]);
}

/* Another fleet of the same names and other keys takes the place of the trust root. */
static void exchange(void *arg)
{
    struct server stranger;
    struct cm_err err = CM_ERR_INIT;
    (void)arg;
    manager_init(&stranger, "alpha");
    kf_trust_free(alpha.fleet->trust);
    OK(kf_trust_parse(kf_trust_document(fleet_trust(stranger.fleet)), &alpha.fleet->trust, &err),
       err);
    server_fini(&stranger);
}

static void a_signer_with_another_key_is_refused_after_all(void **state)
{
    (void)state;
    CM_AUTO_JSON docs = json_array();
    struct outcome o = {.docs = docs, .alive = true, .first = exchange};
    json_array_append_new(docs, document(1));
    prove(&o);
    assert_true(o.proven[0]);
    assert_false(o.valid[0]);
}

/* While the check runs, its signer is taken out of the trust root that it goes by. */
static void the_trust_root_may_be_replaced_meanwhile(void **state)
{
    (void)state;
    CM_AUTO_JSON docs = json_array();
    struct outcome o = {.docs = docs, .alive = true};
    for (int i = 0; i < DOCS; i++)
        json_array_append_new(docs, document(i + 1));
    const struct cs_proof proof = proof_over(&o);
    fleet_prove(alpha.fleet, &proof);
    exchange(&o);
    while (o.calls == 0)
        cm_loop_turn(alpha.loop, true);
    for (size_t i = 0; i < DOCS; i++) {
        assert_true(o.proven[i]);
        assert_false(o.valid[i]);
    }
}

static void an_empty_list_is_answered_too(void **state)
{
    (void)state;
    CM_AUTO_JSON docs = json_array();
    struct outcome o = {.docs = docs, .alive = true};
    prove(&o);
}

static void the_fleet_may_end_before_its_proofs(void **state)
{
    (void)state;
    CM_AUTO_JSON docs = json_array();
    struct outcome o = {.docs = docs};
    for (int i = 0; i < DOCS; i++)
        json_array_append_new(docs, document(i + 1));
    const struct cs_proof proof = proof_over(&o);
    fleet_prove(alpha.fleet, &proof);
    server_close(&alpha);
    while (o.calls == 0)
        cm_loop_turn(alpha.loop, true);
    assert_int_equal(o.calls, 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(good_documents_are_proven_and_no_others),
        T(an_equal_document_elsewhere_is_not_proven),
        T(each_document_is_handed_over_once_after_its_check),
        T(a_proof_does_not_outlive_the_trust_root),
        T(a_signer_with_another_key_is_refused_after_all),
        T(the_trust_root_may_be_replaced_meanwhile),
        T(an_empty_list_is_answered_too),
        T(the_fleet_may_end_before_its_proofs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
