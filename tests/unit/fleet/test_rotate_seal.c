/* The pass after a rotation: it ends when nothing on the disk needs the former keys, not before. */
#include "rotation.h"

#include "certmgr/fleet/rotate_internal.h"
#include "certstore/env.h"
#include "keyfile/envelope.h"
#include "keyfile/ossl.h"
#include "keyfile/rewrap.h"
#include "keyfile/seal.h"

#define ACCOUNT "account:a"

static struct server alpha;
static struct config config;
static struct rotate work;
static bool disk_full, unreadable, unlisted;

/* ---- a store that fails ---- */

int __real_cs_txn_commit(struct cs_txn *txn, struct cm_err *err);
int __wrap_cs_txn_commit(struct cs_txn *txn, struct cm_err *err);
int __real_cs_peek(struct cs_store *store, const char *id, struct cs_doc *ret, struct cm_err *err);
int __wrap_cs_peek(struct cs_store *store, const char *id, struct cs_doc *ret, struct cm_err *err);
int __real_cs_docs(struct cs_store *store, const char *from, bool descending, size_t limit,
                   cs_change_fn fn, void *arg, struct cm_err *err);
int __wrap_cs_docs(struct cs_store *store, const char *from, bool descending, size_t limit,
                   cs_change_fn fn, void *arg, struct cm_err *err);

int __wrap_cs_txn_commit(struct cs_txn *txn, struct cm_err *err)
{
    if (!disk_full)
        return __real_cs_txn_commit(txn, err);
    cs_txn_abort(txn);
    return cm_fail(err, CM_EFULL, "the disk is full");
}

int __wrap_cs_peek(struct cs_store *store, const char *id, struct cs_doc *ret, struct cm_err *err)
{
    if (unreadable && strcmp(id, ACCOUNT) == 0)
        return cm_fail(err, CM_EIO, "the text of document %s is damaged", id);
    return __real_cs_peek(store, id, ret, err);
}

int __wrap_cs_docs(struct cs_store *store, const char *from, bool descending, size_t limit,
                   cs_change_fn fn, void *arg, struct cm_err *err)
{
    if (unlisted)
        return cm_fail(err, CM_EIO, "a document of the store is damaged");
    return __real_cs_docs(store, from, descending, limit, fn, arg, err);
}

/* ---- a manager in the middle of a rotation ---- */

static bool is_over(void)
{
    return strcmp(cm_json_str_or(work.journal, "state", ""), "resealed") == 0;
}

static void tick(void *arg)
{
    if (!is_over())
        rotate_pass(arg);
}

static void on_end(void *arg, const struct cm_err *err)
{
    *(bool *)arg = true;
    assert_null(err);
}

/* The account's key, sealed for this one. */
static void put_account(const char *seal, int serial)
{
    struct cm_err err = CM_ERR_INIT;
    struct cs_result result;
    KF_AUTO(x509) X509 *recipient = NULL;
    uint8_t spki[KF_P256_SPKI_SIZE], *der = NULL;
    size_t len = 0;
    OK(kf_p256_spki_b64(seal, spki, &err), err);
    OK(kf_recipient(spki, sizeof(spki), &recipient, &err), err);
    OK(kf_seal("the key", 7, &recipient, 1, &der, &len, &err), err);
    CM_AUTO_STR sealed = cm_b64(der, len);
    cm_free(der);
    CM_AUTO_JSON doc =
        signed_doc(&alpha, json_pack("{s:s, s:s, s:i, s:s, s:s, s:s}", "_id", ACCOUNT, "type",
                                     "account", "serial", serial, "status", "new", "directory",
                                     "https://ca.example/directory", "sealed_key", sealed));
    OK(cs_put(alpha.store, doc, &result, &err), err);
    assert_int_equal(result.code, 0);
}

static bool needs_the_former_key(void)
{
    CM_AUTO_JSON body = cs_get_body(alpha.store, ACCOUNT);
    const char *text = cm_json_str(body, "sealed_key");
    struct kf_envelope envelope;
    uint8_t *der = NULL;
    size_t len = 0;
    assert_int_equal(cm_b64_decode(text, strlen(text), &der, &len), 0);
    assert_int_equal(kf_envelope_check(der, len, &envelope, NULL), 0);
    bool yes = kf_envelope_lists(&envelope, work.old_ski);
    cm_free(der);
    return yes;
}

static int setup(void **state)
{
    bool ended = false;
    (void)state;
    disk_full = unreadable = unlisted = false;
    manager_init(&alpha, "alpha");
    server_attach(&alpha);
    CM_AUTO_JSON word = rotation_word(&alpha);
    json_t *request = json_pack("{s:s, s:O}", "op", "trust.rotate", "document", word);
    CM_AUTO_JSON reply = must(agent_now(&alpha, request));
    fleet_store_trust(alpha.fleet, cm_json_obj(reply, "document"), on_end, &ended);
    SETTLE_UNTIL(&alpha, ended && alpha.agent.identity.former != NULL);
    const struct kf_server *self = kf_trust_server(fleet_trust(alpha.fleet), "alpha");
    put_account(self->old_seal_b64, 7); /* before the new keys came */
    settle(&alpha);
    snprintf(config.name, sizeof(config.name), "alpha");
    work = (struct rotate){.opts = {.loop = alpha.loop,
                                    .store = alpha.store,
                                    .fleet = alpha.fleet,
                                    .agent = agent_of(&alpha),
                                    .config = &config},
                           .journal = json_pack("{s:s}", "state", "resealing")};
    work.timer = cm_timer_new(alpha.loop, tick, &work);
    assert_int_equal(kf_seal_ski(self->old_seal_b64, work.old_ski, NULL), 0);
    assert_true(needs_the_former_key());
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cm_timer_free(work.timer);
    server_fini(&alpha);
    json_decref(work.journal);
    cm_free(work.after);
    return 0;
}

/* Some turns of the loop in which nothing is committed. */
static void turn(int times)
{
    struct timespec pause = {.tv_nsec = 2000000};
    for (int i = 0; i < times; i++) {
        cm_loop_turn(alpha.loop, false);
        deliver(&alpha);
        nanosleep(&pause, NULL);
    }
}

static void all_is_sealed_anew(void **state)
{
    (void)state;
    cm_timer_start(work.timer, 0);
    SETTLE_UNTIL(&alpha, is_over());
    assert_false(needs_the_former_key());
    assert_int_equal(work.open, 0);
}

/* What the disk had no room for is not sealed anew, however often it is looked at before. */
static void a_full_disk_keeps_the_former_keys(void **state)
{
    struct cm_err err = CM_ERR_INIT;
    (void)state;
    cm_timer_start(work.timer, 0);
    for (int i = 0; i < WAIT_TURNS && needs_the_former_key(); i++)
        turn(1);
    assert_false(needs_the_former_key()); /* in the open batch */
    turn(60);
    assert_false(is_over());
    disk_full = true;
    assert_int_equal(cs_commit(alpha.store, &err), CM_EFULL);
    cm_err_fini(&err);
    disk_full = false;
    assert_true(needs_the_former_key());
    turn(1);
    assert_false(is_over());
    SETTLE_UNTIL(&alpha, is_over());
    assert_false(needs_the_former_key());
}

/* Nor is what others wrote, and the disk had no room for. */
static void a_full_disk_takes_back_what_others_sealed(void **state)
{
    struct cm_err err = CM_ERR_INIT;
    (void)state;
    put_account(kf_trust_server(fleet_trust(alpha.fleet), "alpha")->seal_b64, 8);
    assert_false(needs_the_former_key()); /* in the open batch */
    cm_timer_start(work.timer, 0);
    turn(20);
    assert_false(is_over());
    disk_full = true;
    assert_int_equal(cs_commit(alpha.store, &err), CM_EFULL);
    cm_err_fini(&err);
    disk_full = false;
    turn(20);
    assert_false(is_over());
    assert_true(needs_the_former_key());
    cm_timer_start(work.timer, 0);
    SETTLE_UNTIL(&alpha, is_over());
    assert_false(needs_the_former_key());
}

/* Who cannot read everything does not know that nothing needs them. */
static void what_cannot_be_read_keeps_them(void **state)
{
    bool *const failures[] = {&unreadable, &unlisted};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        *failures[i] = true;
        for (int k = 0; k < 20; k++) {
            rotate_pass(&work);
            settle(&alpha);
        }
        assert_false(is_over());
        assert_non_null(strstr(cm_json_str_or(work.journal, "error", ""), "is damaged"));
        *failures[i] = false;
    }
    cm_timer_start(work.timer, 0);
    SETTLE_UNTIL(&alpha, is_over());
    assert_false(needs_the_former_key());
    assert_null(json_object_get(work.journal, "error"));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(all_is_sealed_anew),
        T(a_full_disk_keeps_the_former_keys),
        T(a_full_disk_takes_back_what_others_sealed),
        T(what_cannot_be_read_keeps_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
