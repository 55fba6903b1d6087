/* The lock file's blocks are there before LMDB writes into it through a map. */
#include "support.h"

#include <errno.h>

#include "certstore/lockfile.h"

static struct {
    char dir[96], path[128];
    int number; /* errno of fallocate(); 0 = as it is */
    int calls;
} f;

int __real_fallocate(int fd, int mode, off_t offset, off_t len);
int __wrap_fallocate(int fd, int mode, off_t offset, off_t len);

int __wrap_fallocate(int fd, int mode, off_t offset, off_t len)
{
    f.calls++;
    assert_int_equal(mode, 0);
    assert_int_equal(offset, 0);
    assert_int_equal(len, CS_LOCK_BYTES);
    if (f.number == 0)
        return __real_fallocate(fd, mode, offset, len);
    errno = f.number;
    return -1;
}

static int setup(void **state)
{
    (void)state;
    memset(&f, 0, sizeof(f));
    assert_non_null(scratch_dir(f.dir, sizeof(f.dir), "lockfile"));
    snprintf(f.path, sizeof(f.path), "%s/lock.mdb", f.dir);
    return 0;
}

static int teardown(void **state)
{
    struct rig rig = {0};
    (void)state;
    snprintf(rig.dir, sizeof(rig.dir), "%s", f.dir);
    rig_close(&rig);
    return 0;
}

static int try_open(bool create, struct cs_store **ret, struct cm_err *err)
{
    return cs_open(&(struct cs_opts){.dir = f.dir, .create = create, .map_size = 16u << 20}, ret,
                   err);
}

static void a_full_disk_is_told(void **state)
{
    static const int full[] = {ENOSPC, EDQUOT};
    struct cs_store *store = NULL;
    struct cm_err err = CM_ERR_INIT;
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        f.number = full[i];
        assert_int_equal(try_open(true, &store, &err), CM_EFULL);
        assert_null(store);
        assert_non_null(strstr(err.what, "the disk of the certificate store is full"));
        assert_int_equal(strncmp(err.hint, "Free space on the file system of ", 33), 0);
        cm_err_fini(&err);
    }
    f.number = 0;
    assert_int_equal(try_open(true, &store, NULL), 0);
    cs_close(store);
}

/* What a file system cannot do is no reason to stay away; LMDB's own size is kept. */
static void anything_else_is_left_to_lmdb(void **state)
{
    struct cs_store *store = NULL;
    struct stat st;
    (void)state;
    f.number = EOPNOTSUPP;
    assert_int_equal(try_open(true, &store, NULL), 0);
    cs_close(store);
    assert_int_equal(f.calls, 1);
    assert_int_equal(stat(f.path, &st), 0);
    assert_int_equal(st.st_size, CS_LOCK_BYTES); /* made by LMDB alone */
}

/* Closing a file that LMDB has open would give up its locks (fcntl(2)). */
static void a_lock_file_that_has_its_blocks_is_left_alone(void **state)
{
    struct cs_store *store = NULL;
    struct stat st;
    (void)state;
    assert_int_equal(try_open(true, &store, NULL), 0);
    assert_int_equal(f.calls, 1);
    assert_int_equal(stat(f.path, &st), 0);
    assert_int_equal(st.st_size, CS_LOCK_BYTES);
    if (st.st_blocks * 512 >= CS_LOCK_BYTES) { /* else a file system that packs */
        assert_int_equal(cs_lock_reserve(f.dir, true, NULL), 0);
        assert_int_equal(f.calls, 1);
    }
    cs_close(store);
}

static void nothing_is_made_where_no_store_is(void **state)
{
    struct cs_store *store = NULL;
    (void)state;
    assert_int_equal(try_open(false, &store, NULL), CM_ENOENT);
    assert_int_equal(f.calls, 0);
    assert_int_equal(access(f.path, F_OK), -1);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_full_disk_is_told),
        T(anything_else_is_left_to_lmdb),
        T(a_lock_file_that_has_its_blocks_is_left_alone),
        T(nothing_is_made_where_no_store_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
