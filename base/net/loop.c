/*
 * The event loop on libuv: timers, deferred functions, descriptor watches, worker jobs, signals.
 *
 * libuv closes handles asynchronously, so timers and watches are freed by their close callback.
 * Two traps of libuv 1.44 are handled here: a timer armed with 0 inside its own callback would
 * never leave the timer phase (zero delays go through the idle phase instead), and the loop's
 * cached time is old after a long callback (delays are counted from the real time).
 */
#include "base/net/loop.h"

#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <uv.h>

#include "base/core/mem.h"

struct link {
    struct link *prev, *next;
};

struct deferred {
    struct deferred *next;
    cm_fn fn;
    void *arg;
};

struct cm_loop {
    uv_loop_t uv;
    uv_async_t keep;       /* keeps the loop waiting when nothing else is registered */
    uv_prepare_t prepare;  /* after timers, before the poll */
    uv_check_t check;      /* after the poll */
    uv_idle_t idle;        /* active while work is left: then the poll does not block */
    uv_signal_t signal[2]; /* SIGTERM, SIGINT */
    cm_fn term_fn;
    void *term_arg;
    struct deferred *defer_first, **defer_end;
    struct link soon; /* timers due in the next idle phase */
    bool stopped;
};

struct cm_timer {
    uv_timer_t uv;
    struct link soon; /* linked while armed with 0 */
    struct cm_loop *loop;
    cm_fn fn;
    void *arg;
};

struct cm_watch {
    uv_poll_t uv;
    cm_watch_fn fn;
    void *arg;
    int events;
    bool freed;
};

struct job {
    uv_work_t uv;
    cm_fn work, done;
    void *arg;
};

static void link_init(struct link *link)
{
    link->prev = link->next = link;
}

static bool link_empty(const struct link *link)
{
    return link->next == link;
}

static void link_remove(struct link *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    link_init(link);
}

static void link_append(struct link *head, struct link *link)
{
    link->prev = head->prev;
    link->next = head;
    head->prev->next = link;
    head->prev = link;
}

static void on_idle(uv_idle_t *idle);

static void update_idle(struct cm_loop *loop)
{
    if (loop->defer_first || !link_empty(&loop->soon))
        uv_idle_start(&loop->idle, on_idle);
    else
        uv_idle_stop(&loop->idle);
}

/* ---- deferred functions ----------------------------------------------------------------- */

/* Runs what is queued now; what these functions defer runs in the next phase, so a function that
 * always defers itself cannot starve input. */
static void run_deferred(struct cm_loop *loop)
{
    struct deferred *batch = loop->defer_first;
    if (!batch)
        return;
    loop->defer_first = NULL;
    loop->defer_end = &loop->defer_first;
    while (batch) {
        struct deferred *item = batch;
        batch = item->next;
        item->fn(item->arg);
        cm_free(item);
    }
    update_idle(loop);
}

void cm_loop_defer(struct cm_loop *loop, cm_fn fn, void *arg)
{
    struct deferred *item = cm_malloc(sizeof(*item));
    *item = (struct deferred){.fn = fn, .arg = arg};
    *loop->defer_end = item;
    loop->defer_end = &item->next;
    update_idle(loop);
}

static void on_prepare(uv_prepare_t *prepare)
{
    run_deferred(prepare->data);
}

static void on_check(uv_check_t *check)
{
    run_deferred(check->data);
}

/* ---- the loop --------------------------------------------------------------------------- */

static void on_keep(uv_async_t *async)
{
    (void)async;
}

struct cm_loop *cm_loop_new(void)
{
    struct cm_loop *loop = cm_calloc(1, sizeof(*loop));
    loop->defer_end = &loop->defer_first;
    link_init(&loop->soon);
    CM_BUG_ON(uv_loop_init(&loop->uv) != 0);
    CM_BUG_ON(uv_async_init(&loop->uv, &loop->keep, on_keep) != 0);
    uv_prepare_init(&loop->uv, &loop->prepare);
    uv_check_init(&loop->uv, &loop->check);
    uv_idle_init(&loop->uv, &loop->idle);
    for (size_t i = 0; i < 2; i++)
        uv_signal_init(&loop->uv, &loop->signal[i]);
    loop->prepare.data = loop->check.data = loop->idle.data = loop;
    uv_prepare_start(&loop->prepare, on_prepare);
    uv_check_start(&loop->check, on_check);
    /* A peer that goes away must give EPIPE to the writer, not end the process. */
    signal(SIGPIPE, SIG_IGN);
    return loop;
}

struct uv_loop_s *cm_loop_uv(struct cm_loop *loop)
{
    return &loop->uv;
}

void cm_loop_run(struct cm_loop *loop)
{
    while (!loop->stopped)
        uv_run(&loop->uv, UV_RUN_ONCE);
    loop->stopped = false;
}

void cm_loop_turn(struct cm_loop *loop, bool wait)
{
    uv_run(&loop->uv, wait ? UV_RUN_ONCE : UV_RUN_NOWAIT);
}

void cm_loop_stop(struct cm_loop *loop)
{
    loop->stopped = true;
    uv_stop(&loop->uv); /* so that the present turn does not block any more */
}

static void must_be_closing(uv_handle_t *handle, void *arg)
{
    (void)arg;
    /* An open handle here is a timer, watch or server that its owner forgot to free. */
    CM_BUG_ON(!uv_is_closing(handle));
}

void cm_loop_free(struct cm_loop *loop)
{
    if (!loop)
        return;
    while (loop->defer_first)
        run_deferred(loop);
    uv_close((uv_handle_t *)&loop->keep, NULL);
    uv_close((uv_handle_t *)&loop->prepare, NULL);
    uv_close((uv_handle_t *)&loop->check, NULL);
    uv_close((uv_handle_t *)&loop->idle, NULL);
    for (size_t i = 0; i < 2; i++)
        uv_close((uv_handle_t *)&loop->signal[i], NULL);
    uv_walk(&loop->uv, must_be_closing, NULL);
    while (uv_run(&loop->uv, UV_RUN_DEFAULT) != 0)
        ;
    CM_BUG_ON(uv_loop_close(&loop->uv) != 0);
    cm_free(loop);
}

/* ---- timers ----------------------------------------------------------------------------- */

static void on_timer(uv_timer_t *uv)
{
    struct cm_timer *timer = uv->data;
    timer->fn(timer->arg);
}

struct cm_timer *cm_timer_new(struct cm_loop *loop, cm_fn fn, void *arg)
{
    struct cm_timer *timer = cm_calloc(1, sizeof(*timer));
    timer->loop = loop;
    timer->fn = fn;
    timer->arg = arg;
    link_init(&timer->soon);
    uv_timer_init(&loop->uv, &timer->uv);
    timer->uv.data = timer;
    return timer;
}

void cm_timer_start(struct cm_timer *timer, int64_t ms)
{
    cm_timer_stop(timer);
    if (ms <= 0) {
        link_append(&timer->loop->soon, &timer->soon);
        update_idle(timer->loop);
        return;
    }
    /* The loop's time must not be updated inside the timer phase (other timers would become due
     * again and again), so the lag is added to the delay instead. */
    uint64_t now = uv_hrtime() / 1000000, cached = uv_now(&timer->loop->uv);
    uint64_t lag = now > cached ? now - cached : 0;
    uv_timer_start(&timer->uv, on_timer, (uint64_t)ms + lag, 0);
}

void cm_timer_stop(struct cm_timer *timer)
{
    link_remove(&timer->soon);
    uv_timer_stop(&timer->uv);
}

bool cm_timer_active(const struct cm_timer *timer)
{
    return !link_empty(&timer->soon) || uv_is_active((const uv_handle_t *)&timer->uv);
}

static void on_timer_closed(uv_handle_t *uv)
{
    cm_free(uv->data);
}

void cm_timer_free(struct cm_timer *timer)
{
    if (!timer)
        return;
    cm_timer_stop(timer);
    uv_close((uv_handle_t *)&timer->uv, on_timer_closed);
}

/* Fires the timers armed with 0 before this phase; those armed by them wait for the next turn. */
static void on_idle(uv_idle_t *idle)
{
    struct cm_loop *loop = idle->data;
    struct link batch;
    link_init(&batch);
    while (!link_empty(&loop->soon)) {
        struct link *link = loop->soon.next;
        link_remove(link);
        link_append(&batch, link);
    }
    /* A callback may stop or free any other timer of the batch: it then unlinks itself. */
    while (!link_empty(&batch)) {
        struct link *link = batch.next;
        link_remove(link);
        struct cm_timer *timer =
            (struct cm_timer *)(void *)((char *)link - offsetof(struct cm_timer, soon));
        timer->fn(timer->arg);
    }
    update_idle(loop);
}

/* ---- descriptors ------------------------------------------------------------------------ */

static void on_poll(uv_poll_t *uv, int status, int events);

static void watch_apply(struct cm_watch *watch)
{
    int wanted = (watch->events & CM_WATCH_READ ? UV_READABLE : 0) |
                 (watch->events & CM_WATCH_WRITE ? UV_WRITABLE : 0);
    if (wanted)
        CM_BUG_ON(uv_poll_start(&watch->uv, wanted, on_poll) != 0);
    else
        uv_poll_stop(&watch->uv);
}

static void on_poll(uv_poll_t *uv, int status, int events)
{
    struct cm_watch *watch = uv->data;
    if (status == 0) {
        watch->fn(watch->arg, (events & UV_READABLE ? CM_WATCH_READ : 0) |
                                  (events & UV_WRITABLE ? CM_WATCH_WRITE : 0));
        return;
    }
    /* An error on the descriptor: libuv stopped the handle.  The owner meets the error in its next
     * read or write; a freed watch stays valid until its close callback. */
    watch->fn(watch->arg, watch->events);
    if (!watch->freed)
        watch_apply(watch);
}

struct cm_watch *cm_watch_new(struct cm_loop *loop, int fd, cm_watch_fn fn, void *arg)
{
    struct cm_watch *watch = cm_calloc(1, sizeof(*watch));
    watch->fn = fn;
    watch->arg = arg;
    CM_BUG_ON(uv_poll_init(&loop->uv, &watch->uv, fd) != 0);
    watch->uv.data = watch;
    return watch;
}

void cm_watch_set(struct cm_watch *watch, int events)
{
    /* Starting a started handle anew costs system calls, and changes nothing. */
    if (events == watch->events && (events == 0 || uv_is_active((const uv_handle_t *)&watch->uv)))
        return;
    watch->events = events;
    watch_apply(watch);
}

static void on_watch_closed(uv_handle_t *uv)
{
    cm_free(uv->data);
}

void cm_watch_free(struct cm_watch *watch)
{
    if (!watch)
        return;
    watch->freed = true;
    uv_close((uv_handle_t *)&watch->uv, on_watch_closed);
}

/* ---- worker threads --------------------------------------------------------------------- */

/* Four threads that check signatures would leave the loop, which feeds them and answers everybody,
 * a fifth of the processors.  On Linux a thread has a nice value of its own (setpriority(2),
 * "C library/kernel differences"); failing, the work is only less polite. */
static void yield_to_loop(void)
{
    static _Thread_local bool done;
    if (!done)
        (void)setpriority(PRIO_PROCESS, (id_t)gettid(),
                          getpriority(PRIO_PROCESS, (id_t)gettid()) + CM_LOOP_WORK_NICE);
    done = true;
}

static void job_work(uv_work_t *uv)
{
    struct job *job = uv->data;
    yield_to_loop();
    job->work(job->arg);
}

static void job_done(uv_work_t *uv, int status)
{
    struct job *job = uv->data;
    (void)status; /* jobs are never cancelled */
    job->done(job->arg);
    cm_free(job);
}

void cm_loop_work(struct cm_loop *loop, cm_fn work, cm_fn done, void *arg)
{
    struct job *job = cm_malloc(sizeof(*job));
    *job = (struct job){.work = work, .done = done, .arg = arg};
    job->uv.data = job;
    CM_BUG_ON(uv_queue_work(&loop->uv, &job->uv, job_work, job_done) != 0);
}

/* ---- signals ---------------------------------------------------------------------------- */

static void on_signal(uv_signal_t *uv, int number)
{
    struct cm_loop *loop = uv->data;
    (void)number;
    loop->term_fn(loop->term_arg);
}

void cm_loop_on_term(struct cm_loop *loop, cm_fn fn, void *arg)
{
    static const int numbers[2] = {SIGTERM, SIGINT};
    loop->term_fn = fn;
    loop->term_arg = arg;
    for (size_t i = 0; i < 2; i++) {
        loop->signal[i].data = loop;
        CM_BUG_ON(uv_signal_start(&loop->signal[i], on_signal, numbers[i]) != 0);
    }
}
