/*
 * Looks again and again at every server that did not show all values yet.
 *
 * First the servers of each name are found (again at the next look when that failed for the
 * moment), then each pair of name and server is a target.  A target that showed all values is not
 * asked again: a server does not unlearn.  Resolvers keep a "no" for a long time, so they are asked
 * only when the zone's own servers show everything.
 */
#include "certmgr/dns/propagate.h"

#include <stdio.h>
#include <string.h>

#include "base/core/clock.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "certmgr/dns/authority.h"

#define INTERVAL_S   2
#define FIRST_MS     250 /* pause after the first look, doubled up to the interval */
#define LIMIT_S      600
#define LIMIT_MAX_S  7200
#define TARGETS_MAX  2000
#define AT_ONCE      64
#define RESOLVER_MAX 80

struct name {
    struct dns_wait *wait;
    struct dns_authority *authority;
    const char *fqdn; /* inside of the values */
    bool found, with_resolvers;
};

struct target {
    struct dns_wait *wait;
    struct dns_query *query;
    const char *fqdn;
    char *at;    /* name that is asked, after CNAMEs */
    char *label; /* "ns1.example.com (192.0.2.1)" */
    char *asked; /* NULL: not asked, see said; "": the client's resolver */
    bool recursive, skipped, seen;
    int64_t ms;
    char said[96];
};

struct dns_wait {
    struct cm_loop *loop;
    struct dns_client *dns;
    struct cm_timer *timer;
    dns_wait_fn done;
    void *arg;
    json_t *values;
    bool authoritative, resolver;
    char *resolvers;
    int64_t began, interval_ms, limit_ms, fixed_ms;
    struct name *names;
    size_t name_count, finding;
    struct target *targets;
    size_t target_count, target_size, next, asking;
    unsigned looks;
    bool own_first;    /* this look leaves the resolvers out */
    struct cm_err err; /* of finding the servers */
};

static void find_all(struct dns_wait *wait);
static void pump(struct dns_wait *wait);
static void look(struct dns_wait *wait);

/* ---- end ---------------------------------------------------------------------------------- */

static void wait_free(struct dns_wait *wait)
{
    for (size_t i = 0; i < wait->target_count; i++) {
        cm_free(wait->targets[i].at);
        cm_free(wait->targets[i].label);
        cm_free(wait->targets[i].asked);
    }
    cm_timer_free(wait->timer);
    cm_free(wait->targets);
    cm_free(wait->names);
    cm_free(wait->resolvers);
    json_decref(wait->values);
    cm_err_fini(&wait->err);
    cm_free(wait);
}

void dns_wait_cancel(struct dns_wait *wait)
{
    if (!wait)
        return;
    for (size_t i = 0; i < wait->name_count; i++)
        dns_authority_cancel(wait->names[i].authority);
    for (size_t i = 0; i < wait->target_count; i++)
        dns_cancel(wait->targets[i].query);
    wait_free(wait);
}

static json_t *report_of(const struct dns_wait *wait)
{
    json_t *report = json_array();
    for (size_t i = 0; i < wait->target_count; i++) {
        const struct target *t = &wait->targets[i];
        json_t *line = json_object();
        cm_json_set_str(line, "name", t->at);
        cm_json_set_str(line, "server", t->label);
        cm_json_set_bool(line, "seen", t->seen);
        cm_json_set_int(line, "ms", t->ms);
        cm_json_set_str(line, "said", t->said);
        if (t->skipped)
            cm_json_set_bool(line, "skipped", true);
        json_array_append_new(report, line);
    }
    return report;
}

static void finish(struct dns_wait *wait, const struct cm_err *err)
{
    CM_AUTO_JSON report = report_of(wait);
    wait->done(wait->arg, report, err);
    wait_free(wait);
}

static void time_is_up(struct dns_wait *wait)
{
    struct cm_err err = CM_ERR_INIT;
    size_t missing = 0;
    const struct target *first = NULL;
    for (size_t i = 0; i < wait->target_count; i++)
        if (!wait->targets[i].seen && !wait->targets[i].skipped) {
            missing++;
            first = first ? first : &wait->targets[i];
        }
    long long s = (cm_mono_ms() - wait->began) / 1000;
    cm_fail(&err, CM_ETIMEOUT,
            "after %lld s the TXT values of %.200s are not seen at %zu of %zu "
            "DNS servers",
            s, first ? first->at : wait->names[0].fqdn, missing, wait->target_count);
    for (size_t i = 0; i < wait->target_count; i++) {
        const struct target *t = &wait->targets[i];
        if (!t->seen && !t->skipped)
            cm_err_cause(&err, "%s: %s", t->label, t->said);
    }
    cm_err_hint(&err, "if the servers are only slow, give the DNS account more time to wait");
    err.retry = CM_RETRY_TRANSIENT;
    finish(wait, &err);
    cm_err_fini(&err);
}

/* ---- looks -------------------------------------------------------------------------------- */

/* Targets that did not show all values, without or with the resolvers. */
static size_t open_targets(const struct dns_wait *wait, bool resolvers)
{
    size_t open = 0;
    for (size_t i = 0; i < wait->target_count; i++)
        open += !wait->targets[i].seen && !wait->targets[i].skipped &&
                (resolvers || !wait->targets[i].recursive);
    return open;
}

static void pause_then_look(struct dns_wait *wait)
{
    int64_t left = wait->began + wait->limit_ms - cm_mono_ms();
    int64_t pause = (int64_t)FIRST_MS << (wait->looks < 10 ? wait->looks : 10);
    wait->looks++;
    pause = pause < wait->interval_ms ? pause : wait->interval_ms;
    cm_timer_start(wait->timer, pause < left ? pause : left);
}

static void look_over(struct dns_wait *wait)
{
    if (open_targets(wait, true) == 0)
        finish(wait, NULL);
    else if (wait->own_first && open_targets(wait, false) == 0)
        look(wait);
    else if (cm_mono_ms() - wait->began >= wait->limit_ms)
        time_is_up(wait);
    else
        pause_then_look(wait);
}

/* Are all wanted values of this target's name in the answer? */
static void compare(struct target *t, const struct dns_reply *reply)
{
    size_t wanted = 0, there = 0, all = 0, i;
    json_t *value;
    for (size_t k = 0; k < reply->count; k++)
        all += reply->records[k].type == DNS_TXT;
    json_array_foreach(t->wait->values, i, value)
    {
        const char *text = cm_json_str_or(value, "value", "");
        bool hit = false;
        if (strcmp(cm_json_str_or(value, "fqdn", ""), t->fqdn) != 0)
            continue;
        for (size_t k = 0; k < reply->count && !hit; k++)
            hit = reply->records[k].type == DNS_TXT && strcmp(reply->records[k].text, text) == 0;
        wanted++;
        there += hit;
    }
    t->seen = there == wanted;
    if (t->seen)
        snprintf(t->said, sizeof(t->said), "all values");
    else if (reply->status != DNS_OK || all == 0)
        snprintf(t->said, sizeof(t->said), "%s",
                 reply->status == DNS_OK ? "a CNAME to elsewhere" : dns_status_text(reply->status));
    else
        snprintf(t->said, sizeof(t->said), "%zu of %zu values, %zu others", there, wanted,
                 all - there);
}

static void on_txt(void *arg, const struct dns_reply *reply)
{
    struct target *t = arg;
    struct dns_wait *wait = t->wait;
    t->query = NULL;
    compare(t, reply);
    t->ms = cm_mono_ms() - wait->began;
    wait->asking--;
    pump(wait);
}

static void pump(struct dns_wait *wait)
{
    while (wait->next < wait->target_count && wait->asking < AT_ONCE) {
        struct target *t = &wait->targets[wait->next++];
        if (t->seen || t->skipped || !t->asked || (t->recursive && wait->own_first))
            continue;
        wait->asking++;
        t->query = dns_ask(wait->dns,
                           &(struct dns_question){.name = t->at,
                                                  .type = DNS_TXT,
                                                  .servers = t->asked[0] ? t->asked : NULL,
                                                  .authoritative = !t->recursive},
                           on_txt, t);
    }
    if (wait->asking == 0)
        look_over(wait);
}

/* ---- targets ------------------------------------------------------------------------------ */

static struct target *add_target(struct dns_wait *wait, const char *fqdn, const char *at)
{
    if (wait->target_count == TARGETS_MAX)
        return NULL;
    if (wait->target_count == wait->target_size) { /* nobody is asked while targets are added */
        wait->target_size = wait->target_size > 0 ? 2 * wait->target_size : 16;
        wait->targets = cm_realloc(wait->targets, wait->target_size * sizeof(*wait->targets));
    }
    struct target *t = &wait->targets[wait->target_count++];
    *t = (struct target){.wait = wait, .fqdn = fqdn, .at = cm_strdup(at)};
    return t;
}

static void add_authority(struct name *name, const struct dns_place *place,
                          const struct dns_authority_server *servers, size_t count)
{
    size_t routable = 0;
    for (size_t i = 0; i < count; i++)
        routable += servers[i].routable;
    for (size_t i = 0; i < count; i++) {
        const struct dns_authority_server *server = &servers[i];
        struct target *t = add_target(name->wait, name->fqdn, place->name);
        if (!t)
            return;
        t->label = cm_asprintf("%s (%s)", server->host, server->address ? server->address : "?");
        if (server->routable)
            t->asked = cm_strdup(server->asked);
        t->skipped = !server->routable && routable > 0;
        snprintf(t->said, sizeof(t->said), "%s",
                 server->address ? "this host has no way to it" : "its name has no address");
    }
}

/* at: its addresses, len of it; none: the client's own. */
static void add_resolver(struct dns_wait *wait, const char *fqdn, const char *at, size_t len)
{
    struct target *t = add_target(wait, fqdn, fqdn);
    if (!t)
        return;
    t->asked = cm_strndup(at, len);
    t->label =
        len == 0 ? cm_strdup("the resolver")
                 : cm_asprintf("resolver %.*s", (int)(len < RESOLVER_MAX ? len : RESOLVER_MAX), at);
    t->recursive = true;
    snprintf(t->said, sizeof(t->said), "not asked before the zone's own servers agree");
}

static void add_resolvers(struct dns_wait *wait, const char *fqdn)
{
    if (wait->resolver)
        add_resolver(wait, fqdn, "", 0);
    for (const char *p = wait->resolvers; p && *p;) {
        size_t len = strcspn(p, ",");
        if (len > 0)
            add_resolver(wait, fqdn, p, len);
        p += len + (p[len] == ',');
    }
}

static void look(struct dns_wait *wait)
{
    wait->next = 0;
    wait->own_first = open_targets(wait, false) > 0;
    wait->asking++; /* so that the look does not end inside pump() */
    pump(wait);
    if (--wait->asking == 0)
        look_over(wait);
}

/* All names answered: go on, look for them again, or give up. */
static void found_all(struct dns_wait *wait)
{
    if (wait->err.code == 0) {
        look(wait);
    } else if (wait->err.retry == CM_RETRY_TRANSIENT &&
               cm_mono_ms() - wait->began < wait->limit_ms) {
        pause_then_look(wait);
    } else {
        cm_wrap(&wait->err, CM_EPEER, "cannot find the DNS servers to look at");
        finish(wait, &wait->err);
    }
}

static void on_authority(void *arg, const struct dns_place *place,
                         const struct dns_authority_server *servers, size_t count,
                         const struct cm_err *err)
{
    struct name *name = arg;
    struct dns_wait *wait = name->wait;
    name->authority = NULL;
    if (err) {
        cm_err_fini(&wait->err);
        cm_err_copy(&wait->err, err);
    } else {
        name->found = true;
        add_authority(name, place, servers, count);
    }
    if (--wait->finding == 0)
        found_all(wait);
}

static void find_all(struct dns_wait *wait)
{
    cm_err_fini(&wait->err);
    wait->finding = 1;
    for (size_t i = 0; i < wait->name_count; i++) {
        struct name *name = &wait->names[i];
        if (name->found)
            continue;
        if (!name->with_resolvers)
            add_resolvers(wait, name->fqdn);
        name->with_resolvers = true;
        name->found = !wait->authoritative;
        if (name->found)
            continue;
        wait->finding++;
        name->authority = dns_authority_find(wait->loop, wait->dns, name->fqdn, on_authority, name);
    }
    if (--wait->finding == 0)
        found_all(wait);
}

static void on_timer(void *arg)
{
    struct dns_wait *wait = arg;
    if (json_array_size(wait->values) > DNS_WAIT_VALUES_MAX) {
        cm_fail(&wait->err, CM_ELIMIT, "%zu TXT values cannot be waited for at once, %d at most",
                json_array_size(wait->values), DNS_WAIT_VALUES_MAX);
        finish(wait, &wait->err);
    } else if (wait->fixed_ms > 0)
        finish(wait, NULL);
    else if (wait->target_count == 0 || wait->err.code != 0)
        find_all(wait);
    else
        look(wait);
}

/* ---- public ------------------------------------------------------------------------------- */

static void take_names(struct dns_wait *wait)
{
    json_t *value;
    size_t i;
    wait->names = cm_calloc(json_array_size(wait->values) + 1, sizeof(*wait->names));
    json_array_foreach(wait->values, i, value)
    {
        const char *fqdn = cm_json_str_or(value, "fqdn", "");
        size_t k = 0;
        while (k < wait->name_count && strcmp(wait->names[k].fqdn, fqdn) != 0)
            k++;
        if (k == wait->name_count)
            wait->names[wait->name_count++] = (struct name){.wait = wait, .fqdn = fqdn};
    }
}

struct dns_wait *dns_wait(struct cm_loop *loop, struct dns_client *dns, const json_t *values,
                          const struct dns_wait_options *options, dns_wait_fn done, void *arg)
{
    int limit_s = options->limit_s > 0 ? options->limit_s : LIMIT_S;
    struct dns_wait *wait = cm_calloc(1, sizeof(*wait));
    *wait = (struct dns_wait){
        .loop = loop,
        .dns = dns,
        .done = done,
        .arg = arg,
        .values = json_deep_copy(values),
        .authoritative = options->authoritative,
        .resolver = options->resolver,
        .resolvers =
            options->resolvers && options->resolvers[0] ? cm_strdup(options->resolvers) : NULL,
        .began = cm_mono_ms(),
        .interval_ms = (options->interval_s > 0 ? options->interval_s : INTERVAL_S) * 1000,
        .limit_ms = (limit_s < LIMIT_MAX_S ? limit_s : LIMIT_MAX_S) * 1000,
        .fixed_ms = options->fixed_s > 0 ? (int64_t)options->fixed_s * 1000 : 0,
    };
    take_names(wait);
    wait->timer = cm_timer_new(loop, on_timer, wait);
    int64_t start = options->start_ms < wait->limit_ms ? options->start_ms : wait->limit_ms;
    cm_timer_start(wait->timer, wait->fixed_ms > 0 ? wait->fixed_ms : start);
    return wait;
}
