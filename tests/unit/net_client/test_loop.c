/* The event loop: timers, deferred functions, watches, workers, signals. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/core/clock.h"
#include "base/core/mem.h"
#include "base/net/loop.h"

static struct cm_loop *loop;
static char trace[256];
/* Arguments are void *, so the words are not constant. */
static char text_late[] = "late";
static char text_early[] = "early";
static char text_never[] = "never";
static char text_first[] = "first";
static char text_second[] = "second";
static char text_too_late[] = "too late";

static void note(const char *what)
{
    size_t len = strlen(trace);
    snprintf(trace + len, sizeof(trace) - len, "%s ", what);
}

static int setup(void **state)
{
    (void)state;
    loop = cm_loop_new();
    trace[0] = '\0';
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cm_loop_free(loop);
    return 0;
}

static void note_text(void *arg)
{
    note(arg);
}

static void stop(void *arg)
{
    (void)arg;
    cm_loop_stop(loop);
}

static void timers_fire_once_in_order(void **state)
{
    (void)state;
    struct cm_timer *late = cm_timer_new(loop, note_text, text_late);
    struct cm_timer *early = cm_timer_new(loop, note_text, text_early);
    struct cm_timer *never = cm_timer_new(loop, note_text, text_never);
    struct cm_timer *end = cm_timer_new(loop, stop, NULL);
    int64_t begin = cm_mono_ms();
    cm_timer_start(late, 20);
    cm_timer_start(early, 5);
    cm_timer_start(never, 1);
    cm_timer_stop(never);
    cm_timer_start(end, 40);
    assert_true(cm_timer_active(late));
    assert_false(cm_timer_active(never));
    cm_loop_run(loop);
    assert_true(cm_mono_ms() - begin >= 40);
    assert_string_equal(trace, "early late ");
    assert_false(cm_timer_active(late));
    cm_timer_free(late);
    cm_timer_free(early);
    cm_timer_free(never);
    cm_timer_free(end);
    cm_timer_free(NULL);
}

static void delays_count_from_now_after_a_long_callback(void **state)
{
    (void)state;
    struct cm_timer *end = cm_timer_new(loop, stop, NULL);
    cm_loop_turn(loop, false); /* the loop's cached time is from here */
    nanosleep(&(struct timespec){.tv_nsec = 60000000}, NULL);
    int64_t begin = cm_mono_ms();
    cm_timer_start(end, 30);
    cm_loop_run(loop);
    assert_true(cm_mono_ms() - begin >= 29);
    cm_timer_free(end);
}

struct rearm {
    struct cm_timer *timer;
    int count;
};

static void rearm_zero(void *arg)
{
    struct rearm *r = arg;
    r->count++;
    cm_timer_start(r->timer, 0);
}

/* With libuv 1.44's own timers this would never return. */
static void zero_delays_do_not_starve_the_loop(void **state)
{
    (void)state;
    struct rearm r = {0};
    r.timer = cm_timer_new(loop, rearm_zero, &r);
    struct cm_timer *end = cm_timer_new(loop, stop, NULL);
    cm_timer_start(r.timer, 0);
    assert_true(cm_timer_active(r.timer));
    cm_timer_start(end, 20);
    cm_loop_run(loop);
    assert_true(r.count > 0);
    cm_loop_turn(loop, false);
    int before = r.count;
    for (int i = 1; i <= 20; i++) {
        cm_loop_turn(loop, false);
        assert_int_equal(r.count, before + i); /* once per turn */
    }
    cm_timer_free(r.timer);
    cm_timer_free(end);
}

static struct cm_timer *victim[3];

static void free_all(void *arg)
{
    (void)arg;
    note("free");
    for (size_t i = 0; i < 3; i++)
        cm_timer_free(victim[i]);
}

static void timers_may_be_freed_in_callbacks(void **state)
{
    (void)state;
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < 3; i++) {
            victim[i] = cm_timer_new(loop, free_all, NULL);
            cm_timer_start(victim[i], round); /* both the idle and the timer phase */
        }
        nanosleep(&(struct timespec){.tv_nsec = 3000000}, NULL);
        for (int i = 0; i < 3; i++)
            cm_loop_turn(loop, false);
    }
    assert_string_equal(trace, "free free ");
}

static void defer_again(void *arg)
{
    int *left = arg;
    note("defer");
    if (--*left > 0)
        cm_loop_defer(loop, defer_again, left);
}

static void timer_defers(void *arg)
{
    note("timer");
    cm_loop_defer(loop, defer_again, arg);
}

static void deferred_functions_run_before_the_loop_waits(void **state)
{
    (void)state;
    int left = 1;
    cm_loop_defer(loop, note_text, text_first);
    cm_loop_defer(loop, note_text, text_second);
    cm_loop_turn(loop, false);
    assert_string_equal(trace, "first second ");
    trace[0] = '\0';
    struct cm_timer *a = cm_timer_new(loop, timer_defers, &left);
    cm_timer_start(a, 0);
    cm_loop_turn(loop, false);
    assert_string_equal(trace, "timer defer "); /* within the same turn */
    cm_timer_free(a);
}

static void deferring_again_never_blocks(void **state)
{
    (void)state;
    int left = 50;
    struct cm_timer *alarm = cm_timer_new(loop, note_text, text_too_late);
    cm_timer_start(alarm, 5000);
    cm_loop_defer(loop, defer_again, &left);
    for (int i = 0; i < 100 && left > 0; i++)
        cm_loop_turn(loop, true); /* would wait for the alarm if work were forgotten */
    assert_int_equal(left, 0);
    assert_null(strstr(trace, "too late"));
    cm_timer_free(alarm);
}

static int64_t cpu_ms(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000 +
           (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1000;
}

static void an_idle_loop_sleeps(void **state)
{
    (void)state;
    int left = 1;
    struct cm_timer *end = cm_timer_new(loop, stop, NULL);
    cm_loop_defer(loop, defer_again, &left);
    cm_timer_start(end, 200);
    int64_t begin = cpu_ms();
    cm_loop_run(loop);
    assert_true(cpu_ms() - begin < 100);
    cm_timer_free(end);
}

static void stop_is_remembered(void **state)
{
    (void)state;
    cm_loop_stop(loop);
    cm_loop_run(loop); /* returns at once */
    cm_loop_stop(loop);
    cm_loop_run(loop);
}

struct reader {
    struct cm_watch *watch;
    int fd, calls;
    bool drain, free_self;
};

static void on_readable(void *arg, int events)
{
    struct reader *r = arg;
    char byte;
    r->calls++;
    if (events & CM_WATCH_WRITE)
        note("write");
    if (events & CM_WATCH_READ)
        note("read");
    if (r->drain)
        note(read(r->fd, &byte, 1) == 1 ? "byte" : "none");
    if (r->free_self)
        cm_watch_free(r->watch);
}

static void watches_are_level_triggered(void **state)
{
    (void)state;
    int fd[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
    struct reader r = {.fd = fd[0]};
    r.watch = cm_watch_new(loop, fd[0], on_readable, &r);
    assert_int_equal(write(fd[1], "x", 1), 1);
    cm_loop_turn(loop, false);
    assert_int_equal(r.calls, 0); /* nothing was asked for yet */
    cm_watch_set(r.watch, CM_WATCH_READ);
    cm_loop_turn(loop, false);
    cm_loop_turn(loop, false);
    assert_string_equal(trace, "read read ");
    cm_watch_set(r.watch, 0);
    cm_loop_turn(loop, false);
    assert_int_equal(r.calls, 2);
    r.drain = true;
    cm_watch_set(r.watch, CM_WATCH_READ | CM_WATCH_WRITE);
    cm_loop_turn(loop, false);
    assert_string_equal(trace, "read read write read byte ");
    cm_watch_set(r.watch, CM_WATCH_READ);
    cm_loop_turn(loop, false);
    assert_int_equal(r.calls, 3);
    cm_watch_free(r.watch);
    cm_watch_free(NULL);
    close(fd[0]);
    close(fd[1]);
}

static void a_watch_may_free_itself_and_the_number_come_back(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        int fd[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
        struct reader r = {.fd = fd[0], .free_self = true};
        r.watch = cm_watch_new(loop, fd[0], on_readable, &r);
        cm_watch_set(r.watch, CM_WATCH_WRITE);
        cm_loop_turn(loop, true);
        assert_int_equal(r.calls, 1);
        close(fd[0]);
        close(fd[1]);
    }
}

static void errors_on_the_descriptor_reach_the_owner(void **state)
{
    (void)state;
    int fd[2];
    assert_int_equal(pipe(fd), 0);
    struct reader r = {.fd = fd[1], .free_self = true};
    close(fd[0]); /* the write end now has POLLERR */
    r.watch = cm_watch_new(loop, fd[1], on_readable, &r);
    cm_watch_set(r.watch, CM_WATCH_WRITE);
    cm_loop_turn(loop, true);
    assert_int_equal(r.calls, 1);
    assert_string_equal(trace, "write ");
    assert_int_equal(write(fd[1], "x", 1), -1); /* SIGPIPE does not end a process with a loop */
    close(fd[1]);
}

struct job {
    pthread_t worker, owner;
    int nice;
    bool done;
};

static void job_work(void *arg)
{
    struct job *job = arg;
    job->worker = pthread_self();
    job->nice = getpriority(PRIO_PROCESS, (id_t)gettid());
}

static void job_done(void *arg)
{
    struct job *job = arg;
    job->owner = pthread_self();
    job->done = true;
    cm_loop_stop(loop);
}

static void work_leaves_the_loop_thread(void **state)
{
    (void)state;
    struct job job = {0};
    cm_loop_work(loop, job_work, job_done, &job);
    assert_false(job.done);
    cm_loop_run(loop);
    assert_true(job.done);
    assert_true(pthread_equal(job.owner, pthread_self()));
    assert_false(pthread_equal(job.worker, pthread_self()));
}

static void work_gives_way_to_the_loop(void **state)
{
    (void)state;
    int own = getpriority(PRIO_PROCESS, 0);
    int nicer = own + CM_LOOP_WORK_NICE < 19 ? own + CM_LOOP_WORK_NICE : 19;
    for (int i = 0; i < 16; i++) { /* more than there are threads: once for each is enough */
        struct job job = {0};
        cm_loop_work(loop, job_work, job_done, &job);
        cm_loop_run(loop);
        assert_int_equal(job.nice, nicer);
    }
    assert_int_equal(getpriority(PRIO_PROCESS, (id_t)gettid()), own);
}

static void signals_arrive_on_the_loop(void **state)
{
    (void)state;
    cm_loop_on_term(loop, stop, NULL);
    raise(SIGTERM);
    cm_loop_run(loop);
    raise(SIGINT);
    cm_loop_run(loop);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(timers_fire_once_in_order),
        TEST(delays_count_from_now_after_a_long_callback),
        TEST(zero_delays_do_not_starve_the_loop),
        TEST(timers_may_be_freed_in_callbacks),
        TEST(deferred_functions_run_before_the_loop_waits),
        TEST(deferring_again_never_blocks),
        TEST(an_idle_loop_sleeps),
        TEST(stop_is_remembered),
        TEST(watches_are_level_triggered),
        TEST(a_watch_may_free_itself_and_the_number_come_back),
        TEST(errors_on_the_descriptor_reach_the_owner),
        TEST(work_leaves_the_loop_thread),
        TEST(work_gives_way_to_the_loop),
        TEST(signals_arrive_on_the_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
