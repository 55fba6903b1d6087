/* The manager's look through its own store before it forgets a server's former keys. */
#include "rotation.h"

#include "certmgr/fleet/alarm.h"
#include "certmgr/fleet/rotate_internal.h"
#include "certstore/env.h"

static struct server alpha;
static struct rotate_wait *wait;
static struct kf_server beta; /* as the trust root lists it in the middle of its rotation */
static char *former, *present;
static struct rotate_found found;
static int looks;
static bool disk_full, knows; /* knows: the last look came to a result */
static size_t peeks;
static const char *damaged; /* the store cannot read this document */

int __real_cs_peek(struct cs_store *store, const char *id, struct cs_doc *ret, struct cm_err *err);
int __wrap_cs_peek(struct cs_store *store, const char *id, struct cs_doc *ret, struct cm_err *err);

int __wrap_cs_peek(struct cs_store *store, const char *id, struct cs_doc *ret, struct cm_err *err)
{
    peeks++;
    if (damaged != NULL && strcmp(id, damaged) == 0)
        return cm_fail(err, CM_EIO, "the text of document %s is damaged", id);
    return __real_cs_peek(store, id, ret, err);
}

int __real_cs_txn_commit(struct cs_txn *txn, struct cm_err *err);
int __wrap_cs_txn_commit(struct cs_txn *txn, struct cm_err *err);

int __wrap_cs_txn_commit(struct cs_txn *txn, struct cm_err *err)
{
    if (!disk_full)
        return __real_cs_txn_commit(txn, err);
    cs_txn_abort(txn);
    return cm_fail(err, CM_EFULL, "the disk is full");
}

static void on_found(void *arg, const char *server, const struct rotate_found *what)
{
    (void)arg;
    assert_string_equal(server, "beta");
    knows = what != NULL;
    if (what != NULL)
        found = *what;
    looks++;
}

static int setup(void **state)
{
    (void)state;
    manager_init(&alpha, "alpha");
    server_attach(&alpha);
    former = fresh_spki();
    present = fresh_spki();
    beta = (struct kf_server){
        .name = "beta", .state = KF_ACTIVE, .seal_b64 = present, .old_seal_b64 = former};
    looks = 0;
    damaged = NULL;
    disk_full = false;
    wait = rotate_wait_new(alpha.loop, alpha.store, on_found, NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rotate_wait_free(wait);
    cm_free(former);
    cm_free(present);
    server_fini(&alpha);
    return 0;
}

/* One whole look; how many turns it took. */
static int look(void)
{
    struct timespec pause = {.tv_nsec = 2000000};
    int before = looks, turns = 0;
    assert_true(rotate_wait_look(wait, &beta));
    assert_false(rotate_wait_look(wait, &beta)); /* one at a time */
    for (; looks == before && turns < WAIT_TURNS; turns++) {
        size_t so_far = peeks;
        cm_loop_turn(alpha.loop, false);
        assert_true(peeks - so_far <= 2 * ROTATE_WAIT_SLICE);
        struct cm_err err = CM_ERR_INIT;
        bool open = cs_waiting(alpha.store) > 0;
        assert_int_equal(cs_commit(alpha.store, &err), disk_full && open ? CM_EFULL : 0);
        cm_err_fini(&err);
        disk_full = disk_full && !open; /* it has room again */
        if (looks == before)
            nanosleep(&pause, NULL);
    }
    assert_int_equal(looks, before + 1);
    return turns;
}

static void put(int n, const char *seal, const char *other)
{
    CM_AUTO_STR sealed = sealed_text(seal, other);
    manager_puts(&alpha, credential_of("beta", n, sealed));
}

static void put_keyfile(int n, const char *sealed)
{
    CM_AUTO_STR ulid = cm_asprintf("01ARZ3NDEKTSV4RRFFQ69G%04d", n);
    CM_AUTO_STR id = cm_asprintf("keyfile:%s", ulid);
    json_t *body =
        json_pack("{s:s, s:s, s:s, s:[s], s:s, s:i}", "_id", id, "type", "keyfile", "credential",
                  ulid, "servers", "beta", "keyring_file", "www", "key_generation", 1);
    static const char *const texts[] = {"leaf", "intermediates"};
    for (size_t i = 0; i < 2; i++)
        cm_json_set_str(body, texts[i],
                        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    CM_AUTO_STR hash = cm_asprintf("%064d", n);
    cm_json_set_str(body, "public_key_sha256", hash);
    cm_json_set_str(body, "fingerprint", hash);
    cm_json_set_time(body, "not_after", cm_now_ms() + DAY_MS);
    cm_json_set_int(body, "serial", cm_now_ms());
    cm_json_set_str(body, "sealed_key", sealed);
    manager_puts(&alpha, body);
}

static json_t *credential(int n)
{
    CM_AUTO_STR id = cm_asprintf("credential:01ARZ3NDEKTSV4RRFFQ69G%04d", n);
    return cs_get_body(alpha.store, id);
}

/* ---- what counts ---- */

static void what_only_the_former_key_opens_counts(void **state)
{
    (void)state;
    CM_AUTO_STR other = fresh_spki();
    CM_AUTO_STR only = sealed_text(former, other);
    look();
    assert_int_equal(found.count, 0);
    assert_string_equal(found.first, "");
    put(1, present, other);
    put(2, former, present);
    put(3, other, NULL);
    json_t *elsewhere = credential_of("beta2", 4, only); /* beta was taken out of it */
    manager_puts(&alpha, elsewhere);
    look();
    assert_int_equal(found.count, 0);
    put(5, former, other);
    put_keyfile(5, only);
    look();
    assert_int_equal(found.count, 2);
    assert_non_null(strstr(found.first, "credential:01ARZ3NDEKTSV4RRFFQ69G0005"));
}

/* A CSR that is out has a key of its own. */
static void so_does_a_csr_that_is_out(void **state)
{
    (void)state;
    CM_AUTO_STR good = sealed_text(present, NULL);
    CM_AUTO_STR only = sealed_text(former, NULL);
    json_t *body = credential_of("beta", 1, good);
    cm_json_set(body, "csr_out", json_pack("{s:s}", "sealed_key", only));
    manager_puts(&alpha, body);
    look();
    assert_int_equal(found.count, 1);
}

/* An order is finished with the key that the CA has seen; before that the key is made anew. */
static void so_does_an_order_at_a_ca(void **state)
{
    (void)state;
    CM_AUTO_STR only = sealed_text(former, NULL);
    CM_AUTO_JSON order = json_pack("{s:s, s:{}}", "sealed_key", only, "acme");
    put(1, present, NULL);
    assert_int_equal(cs_kv_put(alpha.store, "order", "01ARZ3NDEKTSV4RRFFQ69G0001", order, NULL), 0);
    look();
    assert_int_equal(found.count, 0);
    cm_json_set_str(cm_json_obj(order, "acme"), "order_url", "https://ca.example/order/1");
    assert_int_equal(cs_kv_put(alpha.store, "order", "01ARZ3NDEKTSV4RRFFQ69G0001", order, NULL), 0);
    look();
    assert_int_equal(found.count, 1);
}

/* What is damaged may need the former key. */
static void so_does_what_cannot_be_read(void **state)
{
    (void)state;
    put(1, present, NULL);
    damaged = "credential:01ARZ3NDEKTSV4RRFFQ69G0001";
    look();
    assert_int_equal(found.count, 1);
    assert_string_equal(found.first, damaged);
}

/* Of accounts only who may open them is asked. */
static void the_managers_secrets_count_for_a_standby(void **state)
{
    (void)state;
    CM_AUTO_STR only = sealed_text(former, NULL);
    manager_puts(&alpha, json_pack("{s:s, s:s, s:i, s:s, s:s, s:s}", "_id", "account:a", "type",
                                   "account", "serial", 7, "status", "new", "directory",
                                   "https://ca.example/directory", "sealed_key", only));
    json_t *import = credential_of("gamma", 1, only);
    cm_json_set_str(import, "provider", "import");
    manager_puts(&alpha, import);
    json_t *ordered = credential_of("gamma", 2, only);
    manager_puts(&alpha, ordered);
    look();
    assert_int_equal(found.count, 0);
    beta.standby = true;
    look();
    assert_int_equal(found.count, 2);
    assert_string_equal(found.first, "account:a");
}

/* Sealed anew in a batch that the disk had no room for: nothing is known of it. */
static void what_the_disk_took_back_is_no_result(void **state)
{
    struct cm_err err = CM_ERR_INIT;
    (void)state;
    put(1, former, NULL);
    OK(cs_commit(alpha.store, &err), err);
    CM_AUTO_JSON before = credential(1);
    json_t *anew = json_deep_copy(before);
    CM_AUTO_STR sealed = sealed_text(present, NULL);
    json_object_del(anew, "signature");
    cm_json_set_int(anew, "serial", cm_json_int(anew, "serial", 0) + 1);
    cm_json_set_str(anew, "sealed_key", sealed);
    manager_puts(&alpha, anew);
    disk_full = true;
    look();
    assert_false(knows);
    look();
    assert_true(knows);
    assert_int_equal(found.count, 1);
}

/* ---- who helps ---- */

/* The manager can open the key of an import: it is asked for at once, and only once. */
static void an_import_is_sealed_anew_by_the_manager(void **state)
{
    (void)state;
    CM_AUTO_STR only = sealed_text(former, NULL);
    json_t *import = credential_of("beta", 1, only);
    cm_json_set_str(import, "provider", "import");
    manager_puts(&alpha, import);
    put(2, former, NULL);
    look();
    assert_int_equal(found.count, 2);
    settle(&alpha);
    CM_AUTO_JSON asked = credential(1);
    assert_string_equal(cm_json_str(asked, "status"), "update_servers");
    look();
    settle(&alpha);
    CM_AUTO_JSON again = credential(1);
    assert_true(json_equal(asked, again));
    CM_AUTO_JSON ordered = credential(2);
    assert_string_equal(cm_json_str(ordered, "status"), "issued");
}

/* ---- how much ---- */

static void a_large_store_is_looked_at_in_steps(void **state)
{
    (void)state;
    CM_AUTO_STR only = sealed_text(former, NULL);
    for (int n = 0; n < 2 * ROTATE_WAIT_SLICE + 1; n++)
        manager_puts(&alpha, credential_of("beta", n, only));
    assert_true(look() > 2);
    assert_int_equal(found.count, 2 * ROTATE_WAIT_SLICE + 1);
}

/* ---- how long ---- */

static bool stays(size_t count)
{
    struct rotate_found what = {.count = count};
    if (count > 0)
        cm_strcpy(what.first, sizeof(what.first), "credential:x");
    return rotate_wait_note(alpha.store, &beta, &what);
}

static json_t *left_alarm(void)
{
    CM_AUTO_JSON all = fleet_alarms(alpha.store);
    return json_incref(json_array_get(all, 0));
}

static bool has_record(void)
{
    CM_AUTO_JSON record = cs_kv_get(alpha.store, "state", "rotation_wait:beta");
    return record != NULL;
}

static void it_waits_a_day_and_then_tells(void **state)
{
    int64_t now = cm_now_ms();
    (void)state;
    cm_clock_fake(now, -1);
    assert_false(stays(0));
    assert_null(rotate_wait_of(alpha.store, &beta));
    assert_true(stays(3));
    CM_AUTO_JSON view = rotate_wait_of(alpha.store, &beta);
    assert_int_equal(cm_json_int(view, "documents", 0), 3);
    assert_string_equal(cm_json_str(view, "first"), "credential:x");
    assert_int_equal(cm_json_time(view, "since", 0), now);
    assert_int_equal(cm_json_time(view, "until", 0), now + ROTATE_WAIT_MS);
    cm_clock_fake(now + ROTATE_WAIT_MS - 1, -1);
    assert_true(stays(2)); /* in another life, too: all of it is in the store */
    rotate_wait_watch(alpha.store, &beta);
    cm_clock_fake(now + ROTATE_WAIT_MS, -1);
    assert_false(stays(2));
    rotate_wait_watch(alpha.store, &beta);
    assert_null(left_alarm()); /* the keys are there still */
    beta.old_seal_b64 = NULL;
    rotate_wait_watch(alpha.store, &beta);
    CM_AUTO_JSON alarm = left_alarm();
    assert_string_equal(cm_json_str(alarm, "kind"), "rotation_left");
    assert_non_null(strstr(cm_json_str_or(alarm, "what", ""), "2 documents"));
    assert_false(has_record());
    rotate_watch(alpha.store, fleet_trust(alpha.fleet));
    CM_AUTO_JSON kept = left_alarm();
    assert_non_null(kept);
    cm_clock_fake(now + ROTATE_WAIT_MS + ROTATE_LEFT_MS, -1);
    rotate_watch(alpha.store, fleet_trust(alpha.fleet));
    assert_null(left_alarm());
}

static void each_rotation_has_its_own_day(void **state)
{
    int64_t now = cm_now_ms();
    (void)state;
    CM_AUTO_STR next = fresh_spki();
    cm_clock_fake(now, -1);
    assert_true(stays(1));
    cm_clock_fake(now - DAY_MS, -1); /* put back: it waits no longer for that */
    assert_true(stays(1));
    cm_clock_fake(now, -1);
    assert_false(stays(1));
    beta.old_seal_b64 = next; /* the rotation after that */
    assert_null(rotate_wait_of(alpha.store, &beta));
    assert_true(stays(1));
    assert_false(stays(0));
    assert_false(has_record());
}

/* Nobody waits for a server that was removed, and nothing is told of it. */
static void a_removed_server_is_forgotten(void **state)
{
    int64_t now = cm_now_ms();
    (void)state;
    cm_clock_fake(now, -1);
    assert_true(stays(1));
    cm_clock_fake(now + ROTATE_WAIT_MS, -1);
    assert_false(stays(1));
    beta.state = KF_REMOVED;
    rotate_wait_watch(alpha.store, &beta);
    assert_false(has_record());
    assert_null(left_alarm());
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(what_only_the_former_key_opens_counts),
        T(so_does_a_csr_that_is_out),
        T(so_does_an_order_at_a_ca),
        T(so_does_what_cannot_be_read),
        T(the_managers_secrets_count_for_a_standby),
        T(what_the_disk_took_back_is_no_result),
        T(an_import_is_sealed_anew_by_the_manager),
        T(a_large_store_is_looked_at_in_steps),
        T(it_waits_a_day_and_then_tells),
        T(each_rotation_has_its_own_day),
        T(a_removed_server_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
