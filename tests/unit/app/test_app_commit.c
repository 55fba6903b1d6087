/* When the front commits: at once when alone, in pauses under load. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include <ftw.h>

#include "base/core/clock.h"
#include "base/core/json.h"
#include "certmgr/app_commit.h"
#include "tests/unit/scratch.h"

struct place {
    char dir[128];
    struct cm_loop *loop;
    struct app_commit *commit;
    struct cs_store *store;
    int lost, done[4]; /* done[i]: which commit write i was part of */
    int commits;
    int64_t done_ms[4];
};

struct write {
    struct place *place;
    int index;
};

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static void on_lost(void *arg)
{
    ((struct place *)arg)->lost++;
}

static int setup(void **state)
{
    static struct place place;
    place = (struct place){0};
    assert_non_null(scratch_dir(place.dir, sizeof(place.dir), "commit"));
    place.loop = cm_loop_new();
    place.commit = app_commit_new(place.loop, on_lost, &place);
    struct cs_opts opts = {.dir = place.dir,
                           .map_size = 1 << 24,
                           .create = true,
                           .arm = app_commit_arm,
                           .arm_arg = place.commit};
    assert_int_equal(cs_open(&opts, &place.store, NULL), 0);
    app_commit_store(place.commit, place.store);
    *state = &place;
    return 0;
}

static int teardown(void **state)
{
    struct place *place = *state;
    cs_close(place->store);
    app_commit_free(place->commit);
    cm_loop_free(place->loop);
    nftw(place->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return 0;
}

static void on_committed(void *arg, int code, const struct cm_err *err)
{
    struct write *write = arg;
    struct place *place = write->place;
    assert_int_equal(code, 0);
    assert_null(err);
    place->done[write->index] = ++place->commits;
    place->done_ms[write->index] = cm_mono_ms();
}

static void put(struct write *write)
{
    CM_AUTO_JSON value = json_pack("{s:i}", "n", write->index);
    assert_int_equal(cs_kv_put(write->place->store, "state", "row", value, NULL), 0);
    cs_after_commit(write->place->store, on_committed, write);
}

static void wait_for(struct place *place, int index)
{
    while (place->done[index] == 0)
        cm_loop_turn(place->loop, true);
}

static void alone_it_comes_with_the_turn_then_after_a_pause(void **state)
{
    struct place *place = *state;
    struct write write[3];
    for (int i = 0; i < 3; i++)
        write[i] = (struct write){place, i};
    put(&write[0]);
    assert_int_equal(place->done[0], 0); /* never from inside */
    cm_loop_turn(place->loop, false);
    assert_int_not_equal(place->done[0], 0);
    put(&write[1]);
    wait_for(place, 1);
    assert_true(place->done_ms[1] >= place->done_ms[0] + app_commit_pause(0, 1));
    put(&write[2]);
    app_commit_now(place->commit); /* the end of the process */
    assert_int_not_equal(place->done[2], 0);
    assert_int_equal(place->lost, 0);
}

static void the_pause_grows_with_disk_and_load_up_to_a_limit(void **state)
{
    static const struct {
        int64_t took;
        size_t waiting;
        int64_t pause;
    } rows[] = {{0, 0, 2},     {0, 1, 2},          {0, 7, 7},        {1, 1, 3},
                {3, 2, 9},     {3, 11, 11},        {4, 0, 12},       {60000, 0, 12},
                {0, 5000, 12}, {INT64_MAX, 0, 12}, {0, SIZE_MAX, 12}};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(app_commit_pause(rows[i].took, rows[i].waiting), rows[i].pause);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(alone_it_comes_with_the_turn_then_after_a_pause, setup,
                                        teardown),
        cmocka_unit_test(the_pause_grows_with_disk_and_load_up_to_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
