/* The pass after a rotation: it ends when nothing on the disk needs the former keys, not before. */
#include "rotation.h"

#include "certmgr/fleet/rotate_internal.h"
#include "certstore/env.h"
#include "keyfile/envelope.h"
#include "keyfile/rewrap.h"

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
    CM_AUTO_STR sealed = sealed_text(seal, NULL);
    manager_puts(&alpha, json_pack("{s:s, s:s, s:i, s:s, s:s, s:s}", "_id", ACCOUNT, "type",
                                   "account", "serial", serial, "status", "new", "directory",
                                   "https://ca.example/directory", "sealed_key", sealed));
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

/* ---- a server that is no manager ---- */

static struct server beta;
static json_t *word; /* what it said at the beginning */

/* Its rotation is said to be through; the credential comes only now. */
static int setup_member(void **state)
{
    struct cm_err err = CM_ERR_INIT;
    bool ended = false;
    (void)state;
    disk_full = unreadable = unlisted = false;
    manager_init(&alpha, "alpha");
    member_init(&beta, "beta", &alpha);
    server_attach(&alpha);
    server_attach(&beta);
    SETTLE_UNTIL(&alpha, version_of(&alpha) == 2);
    word = rotation_word(&beta);
    json_t *request = json_pack("{s:s, s:O}", "op", "trust.rotate", "document", word);
    CM_AUTO_JSON reply = must(agent_now(&alpha, request));
    fleet_store_trust(alpha.fleet, cm_json_obj(reply, "document"), on_end, &ended);
    SETTLE_UNTIL(&alpha, ended);
    OK(fleet_adopt(beta.fleet, cm_json_obj(reply, "document"), &err), err);
    SETTLE_UNTIL(&beta, beta.agent.identity.former != NULL);
    snprintf(config.name, sizeof(config.name), "beta");
    work = (struct rotate){.opts = {.loop = beta.loop,
                                    .store = beta.store,
                                    .fleet = beta.fleet,
                                    .agent = agent_of(&beta),
                                    .config = &config},
                           .journal = json_pack("{s:s}", "state", "resealing")};
    work.timer = cm_timer_new(beta.loop, tick, &work);
    const struct kf_server *self = kf_trust_server(fleet_trust(beta.fleet), "beta");
    assert_int_equal(kf_seal_ski(self->old_seal_b64, work.old_ski, NULL), 0);
    cm_timer_start(work.timer, 0);
    SETTLE_UNTIL(&beta, is_over());
    return 0;
}

static int teardown_member(void **state)
{
    (void)state;
    cm_timer_free(work.timer);
    json_decref(work.journal);
    json_decref(word);
    cm_free(work.after);
    server_fini(&beta);
    server_fini(&alpha);
    return 0;
}

/* As rotate.c has it looked, some times. */
static void look_late(int times)
{
    for (int i = 0; i < times; i++) {
        if (work.passing)
            rotate_pass(&work);
        else
            rotate_pass_late(&work);
        settle(&beta);
    }
}

static bool lists_former(const char *text)
{
    struct kf_envelope envelope;
    uint8_t *der = NULL;
    assert_int_equal(kf_envelope_read(text, &der, &envelope, NULL), 0);
    bool yes = kf_envelope_lists(&envelope, work.old_ski);
    cm_free(der);
    return yes;
}

/* What beta said about credential number 1 (owned; NULL = nothing). */
static json_t *said(void)
{
    return cs_get_body(beta.store, "reseal:beta:01ARZ3NDEKTSV4RRFFQ69G0001");
}

static void pull(const json_t *body, int serial)
{
    json_t *copy = json_deep_copy(body);
    CM_AUTO_STR rev = cm_asprintf("%d-0000000000000000000000000000000a", serial);
    cm_json_set_int(copy, "serial", serial);
    CM_AUTO_JSON doc = signed_doc(&alpha, copy);
    assert_int_equal(replicate(&beta, doc, rev).code, 0);
    settle(&beta);
}

/* Pulled after it had said that nothing needs the former keys: sealed anew as long as it has them.
 * A key that is in use goes first, that of a CSR that is out in the pass after that. */
static void what_comes_late_is_sealed_anew(void **state)
{
    (void)state;
    const struct kf_server *self = kf_trust_server(fleet_trust(beta.fleet), "beta");
    CM_AUTO_STR key = sealed_text(self->old_seal_b64, NULL);
    CM_AUTO_STR next = sealed_text(self->old_seal_b64, NULL);
    look_late(10);
    assert_false(work.passing);
    CM_AUTO_JSON nothing = said();
    assert_null(nothing);

    CM_AUTO_JSON credential = credential_of("beta", 1, key);
    cm_json_set(credential, "csr_out", json_pack("{s:s}", "sealed_key", next));
    pull(credential, 1);
    look_late(20);
    CM_AUTO_JSON first = said();
    assert_non_null(first);
    assert_false(lists_former(cm_json_str(first, "sealed_key")));
    look_late(20);
    CM_AUTO_JSON same = said(); /* it is the manager's turn */
    assert_true(json_equal(first, same));

    cm_json_set_str(credential, "sealed_key", cm_json_str(first, "sealed_key"));
    pull(credential, 2); /* taken over */
    look_late(20);
    CM_AUTO_JSON second = said();
    assert_string_not_equal(cm_json_str(first, "sealed_key"), cm_json_str(second, "sealed_key"));
    assert_false(lists_former(cm_json_str(second, "sealed_key")));
    cm_json_set_str(cm_json_obj(credential, "csr_out"), "sealed_key",
                    cm_json_str(second, "sealed_key"));
    pull(credential, 3);
    look_late(20);
    assert_int_equal(cm_json_int(work.journal, "left", -1), 0);
    assert_int_equal(work.passed, cs_seq(beta.store));
}

/* The rotation itself has it looked at, in the life that said "resealed" and in the next. */
static void a_rotation_goes_on_looking(void **state)
{
    static struct cm_loop *loop; /* a rotation lives as long as the process */
    static struct rotate *rotate;
    struct cm_err err = CM_ERR_INIT;
    (void)state;
    CM_AUTO_STR dir = cm_asprintf("%s/state", beta.dir);
    snprintf(config.state_dir, sizeof(config.state_dir), "%s", dir);
    CM_AUTO_JSON journal = json_deep_copy(word);
    cm_json_set_str(journal, "state", "resealed");
    OK(cs_kv_put(beta.store, "state", "rotation", journal, &err), err);
    loop = cm_loop_new();
    struct rotate_opts opts = work.opts;
    opts.loop = loop;
    rotate = rotate_new(&opts);
    CM_AUTO_JSON told = NULL;
    SETTLE_UNTIL(&beta, (cm_loop_turn(loop, false), json_decref(told),
                         told = cs_get_body(beta.store, "rotation:beta"), told != NULL));
    assert_string_equal(cm_json_str(told, "state"), "resealed");
    const struct kf_server *self = kf_trust_server(fleet_trust(beta.fleet), "beta");
    CM_AUTO_STR key = sealed_text(self->old_seal_b64, NULL);
    CM_AUTO_JSON credential = credential_of("beta", 1, key);
    pull(credential, 1);
    rotate_look(rotate); /* else within a second */
    CM_AUTO_JSON anew = NULL;
    SETTLE_UNTIL(&beta, (cm_loop_turn(loop, false), json_decref(anew), anew = said()) != NULL);
    assert_false(lists_former(cm_json_str(anew, "sealed_key")));
    CM_AUTO_JSON view = rotate_status(rotate);
    assert_string_equal(cm_json_str(view, "state"), "resealed");
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
        cmocka_unit_test_setup_teardown(a_rotation_goes_on_looking, setup_member, teardown_member),
        cmocka_unit_test_setup_teardown(what_comes_late_is_sealed_anew, setup_member,
                                        teardown_member),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
