/* The worker's queue: quick keys do not wait behind slow ones. */
#include "support.h"

#include <poll.h>
#include <semaphore.h>

#include "base/core/clock.h"
#include "keyfile/agent_work.h"

static sem_t begun, go;

static void slow(struct kfa_job *job)
{
    (void)job;
    sem_post(&begun);
    sem_wait(&go);
}

static void quick(struct kfa_job *job)
{
    (void)job;
}

static void push(struct kfa_work *work, int64_t id, enum kf_key_type type,
                 void (*run)(struct kfa_job *job))
{
    struct kfa_job *job = kfa_job_new();
    job->id = id;
    job->type = type;
    job->run = run;
    assert_int_equal(kfa_work_push(work, job, NULL), 0);
}

static int64_t pop(struct kfa_work *work)
{
    struct kfa_job *job;
    while (!(job = kfa_work_pop(work))) {
        struct pollfd fd = {.fd = kfa_work_fd(work), .events = POLLIN};
        assert_int_equal(poll(&fd, 1, 10000), 1);
    }
    int64_t id = job->id;
    kfa_job_free(job);
    return id;
}

static void quick_keys_overtake_slow_ones(void **state)
{
    (void)state;
    struct kfa_work *work;
    sem_init(&begun, 0, 0);
    sem_init(&go, 0, 0);
    assert_int_equal(kfa_work_new(&work, NULL), 0);
    push(work, 1, KF_KEY_RSA4096, slow);
    sem_wait(&begun); /* it runs: nothing overtakes it */
    push(work, 2, KF_KEY_RSA2048, quick);
    push(work, 3, KF_KEY_P384, quick);
    push(work, 4, KF_KEY_RSA3072, quick);
    push(work, 5, KF_KEY_P256, quick);
    sem_post(&go);
    static const int64_t order[] = {1, 3, 5, 2, 4};
    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++)
        assert_int_equal(pop(work), order[i]);
    kfa_work_free(work);
    sem_destroy(&begun);
    sem_destroy(&go);
}

/* What the front is told of a key that never comes. */
static void the_running_job_is_timed(void **state)
{
    (void)state;
    struct kfa_work *work;
    sem_init(&begun, 0, 0);
    sem_init(&go, 0, 0);
    cm_clock_fake(1000, 5000);
    assert_int_equal(kfa_work_new(&work, NULL), 0);
    assert_int_equal(kfa_work_running_ms(work), 0);
    push(work, 1, KF_KEY_RSA4096, slow);
    sem_wait(&begun);
    cm_clock_fake(1000, 5000 + 300000);
    assert_int_equal(kfa_work_running_ms(work), 300000);
    sem_post(&go);
    assert_int_equal(pop(work), 1);
    assert_int_equal(kfa_work_running_ms(work), 0);
    push(work, 2, KF_KEY_RSA4096, slow);
    sem_wait(&begun);
    assert_int_equal(kfa_work_running_ms(work), 0); /* each by itself */
    sem_post(&go);
    assert_int_equal(pop(work), 2);
    cm_clock_fake(-1, -1);
    kfa_work_free(work);
    sem_destroy(&begun);
    sem_destroy(&go);
}

static void what_waits_is_dropped_at_the_end(void **state)
{
    (void)state;
    struct kfa_work *work;
    sem_init(&begun, 0, 0);
    sem_init(&go, 0, 1);
    assert_int_equal(kfa_work_new(&work, NULL), 0);
    push(work, 1, KF_KEY_RSA4096, slow);
    for (int i = 2; i < 20; i++)
        push(work, i, i % 2 ? KF_KEY_RSA2048 : KF_KEY_P256, quick);
    kfa_work_free(work); /* the sanitizer would tell of a leak */
    sem_destroy(&begun);
    sem_destroy(&go);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quick_keys_overtake_slow_ones),
        cmocka_unit_test(the_running_job_is_timed),
        cmocka_unit_test(what_waits_is_dropped_at_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
