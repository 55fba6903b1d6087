/* The pages of the store's map that count as memory of the process. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "certstore/env.h"

#define VALUES     400
#define VALUE_SIZE 40000u
#define LIMIT_KIB  6000 /* 1.5 MiB, what comes between two looks, what the kernel counts late */

/* KiB of the mapped file that this process has in its tables. */
static long resident(void)
{
    FILE *f = fopen("/proc/self/smaps", "re");
    assert_non_null(f);
    char line[512];
    long sum = 0, kib;
    bool ours = false;
    while (fgets(line, sizeof(line), f)) {
        if (strchr(line, '-') && strchr(line, '-') < strchr(line, ' '))
            ours = strstr(line, "/data.mdb") != NULL;
        else if (ours && strncmp(line, "Rss:", 4) == 0) {
            kib = strtol(line + 4, NULL, 10);
            sum += kib;
        }
    }
    fclose(f);
    return sum;
}

static void key_of(struct cs_key *key, int i)
{
    char name[16];
    snprintf(name, sizeof(name), "value %d", i);
    cs_key_begin(key, CS_T_KV);
    cs_key_text(key, name);
}

static void fill(struct cs_env *env)
{
    struct cs_txn txn;
    struct cs_key key;
    void *room;
    assert_int_equal(cs_txn_begin(env, true, &txn, NULL), 0);
    for (int i = 0; i < VALUES; i++) {
        key_of(&key, i);
        assert_int_equal(cs_txn_put(&txn, &key, VALUE_SIZE, &room, NULL), 0);
        memset(room, 'a' + i % 26, VALUE_SIZE);
    }
    assert_int_equal(cs_txn_commit(&txn, NULL), 0);
}

/* Returns the most that was resident. */
static long read_all(struct cs_env *env)
{
    long most = 0;
    struct cs_txn txn;
    struct cs_key key;
    struct cs_slice value;
    assert_int_equal(cs_txn_begin(env, false, &txn, NULL), 0);
    for (int i = 0; i < VALUES; i++) {
        key_of(&key, i);
        assert_int_equal(cs_txn_get(&txn, &key, &value, NULL), 0);
        assert_int_equal(value.len, VALUE_SIZE);
        const char *text = value.data;
        for (size_t at = 0; at < VALUE_SIZE; at += 1000)
            assert_int_equal(text[at], 'a' + i % 26);
        long now = i % 20 == 19 ? resident() : 0;
        most = now > most ? now : most;
    }
    cs_txn_abort(&txn);
    return most;
}

static void pages_are_given_up_and_come_back(void **state)
{
    char dir[] = "/tmp/certmgr-resident-XXXXXX";
    struct cs_env *env;
    (void)state;
    assert_non_null(mkdtemp(dir));
    assert_int_equal(cs_env_open(dir, (size_t)64 << 20, true, &env, NULL), 0);
    assert_non_null(env->map);
    assert_int_equal(env->map_len, (size_t)64 << 20);
    assert_true(env->statm_fd >= 0);
    fill(env);
    assert_true(resident() <= LIMIT_KIB); /* inside one transaction, too */
    int statm_fd = env->statm_fd;
    env->statm_fd = -1; /* nothing is given up by somebody who cannot know */
    assert_true(read_all(env) > 2 * LIMIT_KIB);
    env->statm_fd = statm_fd;
    cs_env_look(env);
    assert_true(resident() < 100);
    assert_true(read_all(env) <= LIMIT_KIB);
    cs_env_close(env);
    const char *const files[] = {"data.mdb", "lock.mdb", "store.lock"};
    for (size_t i = 0; i < 3; i++) {
        char path[64];
        snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
        assert_int_equal(unlink(path), 0);
    }
    assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_are_given_up_and_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
