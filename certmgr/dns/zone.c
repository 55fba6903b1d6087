/*
 * CNAMEs one by one, then the zone: the SOA that comes with "no such record" names it at once; else
 * the names are asked upwards.  Names of registries are never taken for a zone of ours.
 *
 * A DNAME above a name is a CNAME of it (RFC 6672 3.1), which servers make and send along: nothing
 * can be written below a DNAME, so it is followed like any other.
 */
#include "certmgr/dns/zone.h"

#include <stdio.h>
#include <string.h>

#include "base/core/bytes.h"
#include "base/core/mem.h"
#include "base/net/domain.h"

#define CHALLENGE_LABEL "_acme-challenge."
#define NAME_TEXT_MAX   253 /* RFC 1035 3.1, as text without escapes */
#define CNAME_KEEP_S    5   /* finding, writing and waiting ask the same within seconds */
#define ZONE_KEEP_S     60  /* SOA and NS of a zone serve the orders of a minute */

struct dns_find {
    struct dns_client *dns;
    struct dns_query *query;
    dns_place_fn done;
    void *arg;
    char *chain[DNS_CNAME_MAX + 1]; /* chain[hops] is the name now */
    unsigned hops;
    bool wildcard;
    char *target;     /* where the CNAME leads that may come from a wildcard */
    const char *walk; /* inside of the name */
    char *zone, *primary;
    char *servers[DNS_SERVERS_MAX];
    size_t server_count;
};

static void walk_up(struct dns_find *find);
static void follow(struct dns_find *find);

static const char *name_of(const struct dns_find *find)
{
    return find->chain[find->hops];
}

static void find_free(struct dns_find *find)
{
    for (unsigned i = 0; i <= find->hops; i++)
        cm_free(find->chain[i]);
    for (size_t i = 0; i < find->server_count; i++)
        cm_free(find->servers[i]);
    cm_free(find->target);
    cm_free(find->zone);
    cm_free(find->primary);
    cm_free(find);
}

void dns_place_cancel(struct dns_find *find)
{
    if (!find)
        return;
    dns_cancel(find->query);
    find_free(find);
}

static void finish(struct dns_find *find, struct cm_err *err)
{
    struct dns_place place = {
        .name = name_of(find),
        .zone = find->zone,
        .primary = find->primary,
        .servers = (const char *const *)find->servers,
        .server_count = find->server_count,
        .hops = find->hops,
        .wildcard = find->wildcard,
    };
    if (err)
        cm_err_object(err, "name %s", find->chain[0]);
    find->done(find->arg, err ? NULL : &place, err);
    find_free(find);
}

static void finish_failed(struct dns_find *find, struct cm_err *err)
{
    finish(find, err);
    cm_err_fini(err);
}

/* Ends the search when the question could not be answered. */
static bool failed(struct dns_find *find, const struct dns_reply *reply)
{
    struct cm_err err = CM_ERR_INIT;
    find->query = NULL;
    if (dns_reply_fail(reply, &err) == 0)
        return false;
    cm_wrap(&err, CM_EPEER, "cannot find the DNS zone of %s", name_of(find));
    finish_failed(find, &err);
    return true;
}

static void ask(struct dns_find *find, const char *name, enum dns_type type, unsigned keep_s,
                dns_reply_fn fn)
{
    struct dns_question question = {
        .name = name, .type = type, .keep_s = keep_s, .keep_no = type == DNS_CNAME};
    find->query = dns_ask(find->dns, &question, fn, find);
}

static bool is_under(const char *name, const char *zone)
{
    size_t n = strlen(name), z = strlen(zone);
    return n >= z && strcmp(name + n - z, zone) == 0 && (n == z || name[n - z - 1] == '.');
}

static const struct dns_record *record_at(const struct dns_reply *reply, const char *name,
                                          enum dns_type type)
{
    for (size_t i = 0; i < reply->count; i++)
        if (reply->records[i].type == type && strcmp(reply->records[i].name, name) == 0)
            return &reply->records[i];
    return NULL;
}

/* ---- servers ------------------------------------------------------------------------------ */

static void on_ns(void *arg, const struct dns_reply *reply)
{
    struct dns_find *find = arg;
    if (failed(find, reply))
        return;
    for (size_t i = 0; i < reply->count && find->server_count < DNS_SERVERS_MAX; i++)
        if (reply->records[i].type == DNS_NS && strcmp(reply->records[i].name, find->zone) == 0)
            find->servers[find->server_count++] = cm_strdup(reply->records[i].text);
    if (find->server_count > 0) {
        finish(find, NULL);
        return;
    }
    struct cm_err err = CM_ERR_INIT;
    cm_fail(&err, CM_EPEER, "the DNS names no servers (NS) of zone %s", find->zone);
    err.retry = CM_RETRY_CONFIGURATION;
    finish_failed(find, &err);
}

static void take_zone(struct dns_find *find, const struct dns_record *soa)
{
    find->zone = cm_strdup(soa->name);
    find->primary = cm_strdup(soa->text);
    ask(find, find->zone, DNS_NS, ZONE_KEEP_S, on_ns);
}

/* ---- zone --------------------------------------------------------------------------------- */

static void no_zone(struct dns_find *find, const char *stop)
{
    struct cm_err err = CM_ERR_INIT;
    if (stop[0] != '\0')
        cm_fail(&err, CM_ENOENT,
                "no DNS zone holds %s: below the registry \"%s\" none has a SOA "
                "record",
                name_of(find), stop);
    else
        cm_fail(&err, CM_ENOENT, "no DNS zone holds %s: no name above it has a SOA record",
                name_of(find));
    cm_err_hint(&err, "check the spelling, and that the domain is registered and delegated");
    err.retry = CM_RETRY_CONFIGURATION;
    finish_failed(find, &err);
}

/* The SOA of a negative answer is that of the zone which denies (RFC 2308 3). */
static const struct dns_record *denying_soa(const struct dns_reply *reply, const char *name)
{
    for (size_t i = 0; i < reply->count; i++)
        if (reply->records[i].type == DNS_CNAME)
            return NULL; /* then it is the zone of the target */
    for (size_t i = 0; i < reply->authority_count; i++)
        if (reply->authority[i].type == DNS_SOA && is_under(name, reply->authority[i].name))
            return &reply->authority[i];
    return NULL;
}

/* Goes on with the zone of this SOA, unless a registry's or the root's answered. */
static void take_or_refuse(struct dns_find *find, const struct dns_record *soa)
{
    if (soa->name[0] == '\0' || domain_is_registry(soa->name))
        no_zone(find, soa->name);
    else
        take_zone(find, soa);
}

static void on_soa(void *arg, const struct dns_reply *reply)
{
    struct dns_find *find = arg;
    if (failed(find, reply))
        return;
    const struct dns_record *soa = record_at(reply, find->walk, DNS_SOA);
    if (!soa)
        soa = denying_soa(reply, find->walk);
    if (soa) {
        take_or_refuse(find, soa);
        return;
    }
    const char *dot = strchr(find->walk, '.');
    find->walk = dot ? dot + 1 : "";
    walk_up(find);
}

static void walk_up(struct dns_find *find)
{
    if (find->walk[0] == '\0' || domain_is_registry(find->walk))
        no_zone(find, find->walk);
    else
        ask(find, find->walk, DNS_SOA, ZONE_KEEP_S, on_soa);
}

/* ---- CNAMEs ------------------------------------------------------------------------------- */

static void chain_failed(struct dns_find *find, const char *next, const char *why)
{
    struct cm_err err = CM_ERR_INIT;
    char text[CM_ERR_TEXT_MAX];
    size_t len = 0;
    text[0] = '\0';
    for (unsigned i = 0; i <= find->hops && len < sizeof(text); i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s -> ", find->chain[i]);
    cm_fail(&err, CM_EPEER, "the CNAME records of %s %s", find->chain[0], why);
    cm_err_cause(&err, "%s%s", text, next);
    cm_err_hint(&err, "correct the CNAME records; at most %d are followed", DNS_CNAME_MAX);
    err.retry = CM_RETRY_CONFIGURATION;
    finish_failed(find, &err);
}

static void hop(struct dns_find *find, const char *target)
{
    for (unsigned i = 0; i <= find->hops; i++)
        if (strcmp(find->chain[i], target) == 0) {
            chain_failed(find, target, "lead back to themselves");
            return;
        }
    if (find->hops == DNS_CNAME_MAX) {
        chain_failed(find, target, "are too many");
        return;
    }
    char *next = cm_strdup(target);
    find->chain[++find->hops] = next;
    follow(find);
}

/* What the name becomes by a DNAME above it (RFC 6672 2.2); owned, NULL = none, or one that is too
 * long: then servers answer YXDOMAIN. */
static char *by_dname(const struct dns_reply *reply, const char *name)
{
    for (size_t i = 0; i < reply->count; i++) {
        const struct dns_record *dname = &reply->records[i];
        size_t len = strlen(name), above = strlen(dname->name);
        if (dname->type != DNS_DNAME || len == above || !is_under(name, dname->name))
            continue;
        char *target = cm_asprintf("%.*s%s", (int)(len - above), name, dname->text);
        if (strlen(target) <= NAME_TEXT_MAX)
            return target;
        cm_free(target);
    }
    return NULL;
}

/* Owned; NULL = the name is no alias. */
static char *target_of(const struct dns_reply *reply, const char *name)
{
    const struct dns_record *cname = record_at(reply, name, DNS_CNAME);
    return cname ? cm_strdup(cname->text) : by_dname(reply, name);
}

/* The neighbour nobody created: does it lead to the same place?  Then a wildcard's CNAME answers
 * for both.  What a DNAME makes of the two names differs. */
static void on_neighbour(void *arg, const struct dns_reply *reply)
{
    struct dns_find *find = arg;
    if (failed(find, reply))
        return;
    CM_AUTO_STR target = target_of(reply, reply->name);
    find->wildcard = target && strcmp(target, find->target) == 0;
    if (!find->wildcard) {
        hop(find, find->target);
        return;
    }
    find->walk = strchr(name_of(find), '.') + 1; /* a wildcard's name is below its zone's */
    walk_up(find);
}

static void on_cname(void *arg, const struct dns_reply *reply)
{
    struct dns_find *find = arg;
    const char *name = name_of(find);
    if (failed(find, reply))
        return;
    CM_AUTO_STR target = target_of(reply, name);
    const struct dns_record *soa = denying_soa(reply, name);
    const size_t label = sizeof(CHALLENGE_LABEL) - 1;
    if (target && find->hops == 0 && strncmp(name, CHALLENGE_LABEL, label) == 0) {
        uint8_t random[8];
        char hex[2 * sizeof(random) + 1];
        cm_random(random, sizeof(random));
        cm_hex(random, sizeof(random), hex);
        find->target = cm_strdup(target);
        CM_AUTO_STR neighbour = cm_asprintf("_%s.%s", hex, name + label);
        ask(find, neighbour, DNS_CNAME, 0, on_neighbour);
    } else if (target) {
        hop(find, target);
    } else if (soa) {
        take_or_refuse(find, soa);
    } else {
        find->walk = name;
        walk_up(find);
    }
}

static void follow(struct dns_find *find)
{
    ask(find, name_of(find), DNS_CNAME, CNAME_KEEP_S, on_cname);
}

struct dns_find *dns_place_find(struct cm_loop *loop, struct dns_client *dns, const char *name,
                                dns_place_fn done, void *arg)
{
    struct dns_find *find = cm_calloc(1, sizeof(*find));
    (void)loop;
    *find = (struct dns_find){.dns = dns, .done = done, .arg = arg};
    find->chain[0] = cm_strdup(name);
    for (char *p = find->chain[0]; *p; p++)
        if (*p >= 'A' && *p <= 'Z')
            *p = (char)(*p - 'A' + 'a');
    follow(find);
    return find;
}
