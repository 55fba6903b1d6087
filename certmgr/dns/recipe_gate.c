/*
 * Limits of a provider account over all its calls.
 *
 * Calls do not know each other, so the accounts' counters live here, in this process.  An idle
 * account is remembered only as long as its interval lasts.
 */
#include "certmgr/dns/recipe_gate.h"

#include <string.h>

#include "base/core/clock.h"
#include "base/core/mem.h"

struct gate {
    struct gate *next;
    char *key;
    int64_t parallel, interval_ms, last_ms;
    size_t held;
    struct gate_pass *first, *last; /* waiting */
    struct cm_timer *timer;         /* only while somebody waits */
    bool inside;
};
struct gate_pass {
    struct gate *gate;
    struct gate_pass *next;
    cm_fn fn;
    void *arg;
    bool held;
};

static struct gate *gates;

static bool idle(const struct gate *g)
{
    return g->held == 0 && !g->first && !g->inside;
}

/* Forgets accounts that are idle beyond their interval, or all idle ones when there are many. */
static void forget(void)
{
    size_t count = 0;
    for (struct gate **at = &gates; *at;) {
        struct gate *g = *at;
        bool over = cm_mono_ms() - g->last_ms >= g->interval_ms || ++count > GATE_ACCOUNTS_MAX;
        if (idle(g) && over) {
            *at = g->next;
            cm_timer_free(g->timer);
            cm_free(g->key);
            cm_free(g);
        } else {
            at = &g->next;
        }
    }
}

static void schedule(struct gate *g);

static void on_timer(void *arg)
{
    struct gate *g = arg;
    g->inside = true;
    while (g->first && (int64_t)g->held < g->parallel &&
           cm_mono_ms() - g->last_ms >= g->interval_ms) {
        struct gate_pass *pass = g->first;
        g->first = pass->next;
        if (!g->first)
            g->last = NULL;
        pass->held = true;
        g->held++;
        g->last_ms = cm_mono_ms();
        pass->fn(pass->arg); /* may ask and leave */
    }
    g->inside = false;
    schedule(g);
}

static void schedule(struct gate *g)
{
    if (g->inside)
        return;
    if (!g->first) {
        cm_timer_free(g->timer);
        g->timer = NULL;
    } else if ((int64_t)g->held < g->parallel) {
        int64_t wait = g->interval_ms - (cm_mono_ms() - g->last_ms);
        cm_timer_start(g->timer, wait > 0 ? wait : 0);
    }
}

static struct gate *gate_of(const char *key)
{
    struct gate *g = gates;
    while (g && strcmp(g->key, key) != 0)
        g = g->next;
    if (g)
        return g;
    g = cm_calloc(1, sizeof(*g));
    g->key = cm_strdup(key);
    g->last_ms = cm_mono_ms() - GATE_INTERVAL_MAX;
    g->next = gates;
    gates = g;
    return g;
}

struct gate_pass *gate_ask(struct cm_loop *loop, const char *key, int64_t parallel,
                           int64_t interval_ms, cm_fn fn, void *arg)
{
    forget();
    struct gate *g = gate_of(key);
    struct gate_pass *pass = cm_calloc(1, sizeof(*pass));
    *pass = (struct gate_pass){.gate = g, .fn = fn, .arg = arg};
    g->parallel = parallel > 0 ? parallel : 1;
    g->interval_ms = interval_ms < GATE_INTERVAL_MAX ? interval_ms : GATE_INTERVAL_MAX;
    if (g->last)
        g->last->next = pass;
    else
        g->first = pass;
    g->last = pass;
    if (!g->timer)
        g->timer = cm_timer_new(loop, on_timer, g);
    schedule(g);
    return pass;
}

void gate_leave(struct gate_pass *pass)
{
    if (!pass)
        return;
    struct gate *g = pass->gate;
    if (pass->held) {
        g->held--;
    } else {
        struct gate_pass *before = NULL;
        for (struct gate_pass *p = g->first; p && p != pass; p = p->next)
            before = p;
        *(before ? &before->next : &g->first) = pass->next;
        if (g->last == pass)
            g->last = before;
    }
    cm_free(pass);
    schedule(g);
}
