/* Housekeeping: map limits, readers, copies, the scrub, incarnation and hold. */
#include "support.h"

#include <linux/magic.h>
#include <lmdb.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "base/core/file.h"
#include "certstore/internal.h"

#define SMALL_MAP (1u << 20)

static int setup(void **state)
{
    static struct rig rig;
    rig_open(&rig, true);
    *state = &rig;
    return 0;
}

static int teardown(void **state)
{
    rig_close(*state);
    return 0;
}

static void reopen_small(struct rig *rig)
{
    struct cs_opts opts = {.dir = rig->dir,
                           .map_size = SMALL_MAP,
                           .policy = true,
                           .verify = toy_verify,
                           .port_arg = rig};
    cs_close(rig->store);
    assert_int_equal(cs_open(&opts, &rig->store, NULL), 0);
}

/* ---- the map ----------------------------------------------------------------------------------
 */

/* Local values until so much of the map is in use. */
static void fill_to(struct rig *rig, int percent)
{
    CM_AUTO_JSON value = json_object();
    char *text = cm_malloc(8001);
    memset(text, 'x', 8000);
    text[8000] = '\0';
    cm_json_set_str(value, "text", text);
    cm_free(text);
    struct cs_stat stat = {0};
    for (int i = 0; stat.map_percent < percent; i++) {
        char key[32];
        snprintf(key, sizeof(key), "filler-%d", i);
        assert_int_equal(cs_kv_put(rig->store, "log", key, value, NULL), 0);
        commit(rig);
        assert_int_equal(cs_stat(rig->store, &stat, NULL), 0);
        assert_true(i < 1000);
    }
}

static json_t *rotation(const char *server, int64_t serial)
{
    json_t *doc = json_pack("{s:s, s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "type",
                            "rotation", "serial", (int)serial, "server", server, "state", "keys",
                            "seal", "AAAA", "sign", "AAAA", "tls", "AAAA", "proof_seal", "AAAA",
                            "proof_sign", "AAAA", "proof_tls", "AAAA", "at", TIME_A);
    CM_AUTO_STR id = cm_asprintf("rotation:%s", server);
    cm_json_set_str(doc, "_id", id);
    toy_sign(doc, false);
    return doc;
}

static json_t *receipt(const char *server, int64_t serial)
{
    json_t *doc = json_object();
    CM_AUTO_STR id = cm_asprintf("receipt:%s:" ULID_A, server);
    cm_json_set_str(doc, "_id", id);
    cm_json_set_str(doc, "type", "receipt");
    cm_json_set_int(doc, "serial", serial);
    cm_json_set_str(doc, "credential", ULID_A);
    cm_json_set_str(doc, "server", server);
    cm_json_set_str(doc, "state", "served");
    cm_json_set_str(doc, "at", TIME_A);
    toy_sign(doc, false);
    return doc;
}

/* A full map refuses what is new and still takes changes, receipts and replicated documents. */
static void full_map_keeps_the_fleet_alive(void **state)
{
    struct rig *rig = *state;
    struct cm_err err = CM_ERR_INIT;
    struct cs_result result;
    reopen_small(rig);
    assert_int_equal(put(rig, settings("old", 1, 10, false)).code, 0);
    commit(rig);
    fill_to(rig, CS_MAP_REFUSE);
    CM_AUTO_JSON fresh = settings("new", 2, 10, false);
    assert_int_equal(cs_put(rig->store, fresh, &result, &err), CM_EFULL);
    assert_non_null(strstr(err.what, "% full: nothing new is taken"));
    assert_non_null(strstr(err.hint, "still renewed"));
    cm_err_fini(&err);
    struct cs_result changed = put(rig, settings("old", 3, 11, false));
    assert_int_equal(changed.code, 0);
    struct cs_result reported = put(rig, receipt("alpha", 4));
    if (reported.code != 0)
        fail_msg("receipt: %s", reported.reason);
    struct cs_result rotated = put(rig, rotation("alpha", 6));
    if (rotated.code != 0)
        fail_msg("rotation: %s", rotated.reason);
    assert_int_equal(replicate(rig, at_rev(settings("far", 5, 1, false), "1-ab")).code, 0);
    commit(rig);
    assert_int_equal(days_of(rig, "settings:old"), 11);
    assert_int_equal(days_of(rig, "settings:new"), -1);
    assert_sound(rig, 4);
}

/* What a restart is for: the advice of a store that is nearly full. */
static void the_next_start_makes_room_for_a_store_that_grew(void **state)
{
    struct rig *rig = *state;
    struct cs_stat before = {0}, after = {0};
    CM_AUTO_STR data = cm_asprintf("%s/data.mdb", rig->dir);
    struct cs_opts opts = {.dir = rig->dir, .policy = true, .verify = toy_verify, .port_arg = rig};
    cs_close(rig->store);
    assert_int_equal(cs_open(&opts, &rig->store, NULL), 0);
    assert_int_equal(cs_stat(rig->store, &before, NULL), 0);
    cs_close(rig->store);
    assert_int_equal(truncate(data, before.map_size / 2 + 1), 0); /* sparse */
    assert_int_equal(cs_open(&opts, &rig->store, NULL), 0);
    assert_int_equal(cs_stat(rig->store, &after, NULL), 0);
    assert_int_equal(after.map_size, 2 * before.map_size);
}

/* Room that was freed counts as room again. */
static void freed_room_is_used_again(void **state)
{
    struct rig *rig = *state;
    struct cs_stat stat;
    reopen_small(rig);
    fill_to(rig, CS_MAP_REFUSE);
    for (int i = 0; i < 1000; i++) {
        char key[32];
        snprintf(key, sizeof(key), "filler-%d", i);
        assert_int_equal(cs_kv_del(rig->store, "log", key, NULL), 0);
    }
    commit(rig);
    put(rig, settings("a", 1, 1, false));
    commit(rig);
    cs_care(rig->store);
    assert_int_equal(cs_stat(rig->store, &stat, NULL), 0);
    assert_in_range(stat.map_percent, 0, CS_MAP_WARN);
    assert_int_equal(put(rig, settings("b", 2, 1, false)).code, 0);
    commit(rig);
}

/* ---- readers ----------------------------------------------------------------------------------
 */

/* A foreign reader (somebody's mdb_dump) that holds a snapshot until it is killed. */
static pid_t hold_snapshot(const struct rig *rig)
{
    int ready[2];
    char byte = 0;
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        MDB_env *env = NULL;
        MDB_txn *txn = NULL;
        if (mdb_env_create(&env) != 0 || mdb_env_set_mapsize(env, 64u << 20) != 0 ||
            mdb_env_open(env, rig->dir, MDB_NOTLS, 0600) != 0 ||
            mdb_txn_begin(env, NULL, MDB_RDONLY, &txn) != 0)
            _exit(1);
        (void)!write(ready[1], "r", 1);
        for (;;)
            pause();
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return child;
}

static int64_t commits(struct rig *rig, int64_t serial, int count)
{
    struct cs_stat stat;
    for (int i = 0; i < count; i++) {
        for (int k = 0; k < 4; k++) {
            char name[32];
            snprintf(name, sizeof(name), "d%d", k);
            serial++;
            put(rig, settings(name, serial, serial % 3000, false));
        }
        commit(rig);
    }
    assert_int_equal(cs_stat(rig->store, &stat, NULL), 0);
    return stat.file_size;
}

static void dead_reader_is_freed(void **state)
{
    struct rig *rig = *state;
    int64_t base = commits(rig, 0, 300);
    pid_t child = hold_snapshot(rig);
    int64_t held = commits(rig, 10000, 300);
    assert_true(held > 2 * base); /* the snapshot pins every page that was replaced */
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    cs_care(rig->store);
    int64_t after = commits(rig, 20000, 300);
    assert_true(after <= held + held / 10);
    assert_sound(rig, 4);
}

static int64_t stuck(struct rig *rig)
{
    struct cs_stat stat;
    assert_int_equal(cs_stat(rig->store, &stat, NULL), 0);
    return stat.stuck_reader;
}

/* A process that lives and reads one snapshot for long is named; one that goes on is not. */
static void stuck_reader_is_told(void **state)
{
    struct rig *rig = *state;
    int64_t mono = 1000000;
    cm_clock_fake(-1, mono);
    commits(rig, 0, 3);
    cs_care(rig->store);
    assert_int_equal(stuck(rig), 0);
    pid_t child = hold_snapshot(rig);
    cs_care(rig->store);
    cm_clock_fake(-1, mono += CS_READER_MAX_MS - 1);
    commits(rig, 1000, 3);
    cs_care(rig->store);
    assert_int_equal(stuck(rig), 0);
    cm_clock_fake(-1, mono += 1);
    cs_care(rig->store);
    assert_int_equal(stuck(rig), child);
    CM_AUTO_JSON shown = cs_stat_json(rig->store);
    assert_int_equal(cm_json_int(shown, "stuck_reader", 0), child);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    cs_care(rig->store);
    assert_int_equal(stuck(rig), 0);
    /* Another one begins anew. */
    child = hold_snapshot(rig);
    cs_care(rig->store);
    assert_int_equal(stuck(rig), 0);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    cm_clock_fake(-1, -1);
}

/* ---- copies -----------------------------------------------------------------------------------
 */

static void copy_is_a_whole_store(void **state)
{
    struct rig *rig = *state;
    struct rig copy = {.policy = true};
    struct cm_err err = CM_ERR_INIT;
    put(rig, settings("a", 1, 7, false));
    commit(rig);
    put(rig, settings("b", 2, 8, false)); /* not durable yet: not in the copy */
    snprintf(copy.dir, sizeof(copy.dir), "%.200s-copy", rig->dir);
    assert_int_equal(mkdir(copy.dir, 0700), 0);
    CM_AUTO_STR path = cm_asprintf("%s/data.mdb", copy.dir);
    assert_int_equal(cs_copy(rig->store, path, &err), 0);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    /* Never over something that is there. */
    assert_true(cs_copy(rig->store, path, &err) < 0);
    assert_non_null(strstr(err.what, "data.mdb"));
    cm_err_fini(&err);
    rig_open_with(&copy, NULL);
    assert_string_equal(cs_uuid(copy.store), cs_uuid(rig->store));
    assert_int_equal(days_of(&copy, "settings:a"), 7);
    assert_int_equal(days_of(&copy, "settings:b"), -1);
    assert_sound(&copy, 1);
    rig_close(&copy);
}

static void no_room_for_a_copy(void **state)
{
    struct rig *rig = *state;
    struct cm_err err = CM_ERR_INIT;
    put(rig, settings("a", 1, 7, false));
    commit(rig);
    CM_AUTO_STR path = cm_asprintf("%s/copy", rig->dir);
    struct rlimit old, small = {.rlim_cur = 4096, .rlim_max = RLIM_INFINITY};
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small.rlim_max = old.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    int rc = cs_copy(rig->store, path, &err);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_true(rc < 0);
    assert_false(cm_path_exists(path)); /* half a copy is none */
    cm_err_fini(&err);
    assert_sound(rig, 1);
}

/* ---- the scrub --------------------------------------------------------------------------------
 */

static void scrub_all(struct rig *rig)
{
    int rc = 1;
    for (int i = 0; rc == 1; i++) {
        rc = cs_scrub(rig->store, i == 0, NULL);
        commit(rig);
        assert_true(i < 1000);
    }
    assert_int_equal(rc, 0);
}

static size_t scrub_problems(struct rig *rig)
{
    CM_AUTO_JSON status = cs_scrub_status(rig->store);
    return json_array_size(cm_json_arr(status, "problems"));
}

static void scrub_finds_damage(void **state)
{
    struct rig *rig = *state;
    struct cs_txn txn;
    struct cs_key key;
    for (int64_t i = 1; i <= 300; i++) {
        char name[32];
        snprintf(name, sizeof(name), "n%lld", (long long)i);
        put(rig, settings(name, i, 10, false));
    }
    commit(rig);
    scrub_all(rig);
    assert_int_equal(scrub_problems(rig), 0);
    CM_AUTO_JSON status = cs_scrub_status(rig->store);
    assert_string_equal(cm_json_str(status, "state"), "idle");
    struct cs_stat stat;
    assert_int_equal(cs_stat(rig->store, &stat, NULL), 0);
    /* Each record once; the places that are kept meanwhile and the result are records, too. */
    assert_in_range(cm_json_int(status, "records", 0), stat.records - 2, stat.records);
    assert_int_equal(cs_scrub(rig->store, false, NULL), 0); /* not due for a week */
    int64_t now = cm_now_ms();
    cm_clock_fake(now + CS_SCRUB_EVERY_S * INT64_C(1000) + 1000, -1);
    assert_int_equal(cs_scrub(rig->store, false, NULL), 1);
    scrub_all(rig);
    cm_clock_fake(now, -1); /* it was done "in the future": the clock was wrong, not the store */
    assert_int_equal(cs_scrub(rig->store, false, NULL), 1);
    cm_clock_fake(-1, -1);
    commit(rig);

    cs_key_begin(&key, CS_T_SEQ);
    cs_key_u64(&key, 200);
    assert_int_equal(cs_txn_begin(rig->store->env, true, &txn, NULL), 0);
    assert_int_equal(cs_txn_del(&txn, &key, NULL), 0);
    assert_int_equal(cs_txn_commit(&txn, NULL), 0);
    scrub_all(rig);
    assert_int_equal(scrub_problems(rig), 1);
}

/* Killed in the middle, the pass goes on where it was. */
static void scrub_survives_a_restart(void **state)
{
    struct rig *rig = *state;
    for (int64_t i = 1; i <= 300; i++) {
        char name[32];
        snprintf(name, sizeof(name), "n%lld", (long long)i);
        put(rig, settings(name, i, 10, false));
    }
    commit(rig);
    assert_int_equal(cs_scrub(rig->store, true, NULL), 1);
    commit(rig);
    rig_reopen(rig);
    CM_AUTO_JSON status = cs_scrub_status(rig->store);
    assert_string_equal(cm_json_str(status, "state"), "running");
    assert_int_equal(cm_json_int(status, "records", 0), CS_SCRUB_SLICE);
    assert_int_equal(cs_scrub(rig->store, false, NULL), 1);
}

/* ---- incarnation and hold ---------------------------------------------------------------------
 */

static void new_incarnation(void **state)
{
    struct rig *rig = *state;
    char uuid[40], epoch[16];
    put(rig, settings("a", 1, 7, false));
    commit(rig);
    snprintf(uuid, sizeof(uuid), "%s", cs_uuid(rig->store));
    snprintf(epoch, sizeof(epoch), "%s", cs_epoch(rig->store));
    assert_int_equal(cs_renew_epoch(rig->store, NULL), 0);
    assert_string_equal(cs_uuid(rig->store), uuid);
    assert_string_not_equal(cs_epoch(rig->store), epoch);
    snprintf(epoch, sizeof(epoch), "%s", cs_epoch(rig->store));
    rig_reopen(rig);
    assert_string_equal(cs_epoch(rig->store), epoch);
    assert_sound(rig, 1);
}

static void not_within_a_batch(void **state)
{
    struct rig *rig = *state;
    put(rig, settings("a", 1, 7, false));
    assert_int_equal(cs_renew_epoch(rig->store, NULL), CM_EBUSY);
}

static struct cm_err told;

static void on_published(void *arg, const struct cs_doc *doc, const struct cm_err *err)
{
    (void)arg;
    assert_null(doc);
    cm_err_copy(&told, err);
}

static void nothing_is_published_on_hold(void **state)
{
    struct rig *rig = *state;
    cs_set_hold(rig->store, "this manager was restored");
    json_t *doc = json_object();
    cm_json_set_str(doc, "_id", "settings:x");
    cs_publish(rig->store, doc, -1, on_published, NULL);
    assert_int_equal(told.code, CM_EBUSY);
    assert_string_equal(told.what, "this manager was restored");
    cm_err_fini(&told);
    /* What others signed is taken all the same. */
    assert_int_equal(replicate(rig, at_rev(settings("far", 5, 1, false), "1-ab")).code, 0);
}

static void network_file_systems(void **state)
{
    (void)state;
    assert_string_equal(cs_fs_refused(NFS_SUPER_MAGIC), "NFS");
    assert_string_equal(cs_fs_refused(0xFF534D42UL), "CIFS");
    assert_null(cs_fs_refused(EXT4_SUPER_MAGIC));
    assert_null(cs_fs_refused(TMPFS_MAGIC));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(full_map_keeps_the_fleet_alive),
        T(freed_room_is_used_again),
        T(the_next_start_makes_room_for_a_store_that_grew),
        T(dead_reader_is_freed),
        T(stuck_reader_is_told),
        T(copy_is_a_whole_store),
        T(no_room_for_a_copy),
        T(scrub_finds_damage),
        T(scrub_survives_a_restart),
        T(new_incarnation),
        T(not_within_a_batch),
        T(nothing_is_published_on_hold),
        T(network_file_systems),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
