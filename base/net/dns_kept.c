/* One list of answers for each hash of a name, the newest in front; each look drops what is old. */
#include "base/net/dns_kept.h"

#include <string.h>
#include <strings.h>

#include "base/core/clock.h"
#include "base/core/mem.h"

#define FNV_START 2166136261u /* FNV-1a: names are not chosen against us, and lists are short */
#define FNV_PRIME 16777619u

struct dns_kept {
    struct dns_kept *next;
    char *name, *servers;
    unsigned type;
    int64_t at_ms, until_ms;
    uint8_t *wire;
    size_t len;
};

static void kept_free(struct dns_kept *kept)
{
    cm_free(kept->name);
    cm_free(kept->servers);
    cm_free(kept->wire);
    cm_free(kept);
}

void dns_keeper_clear(struct dns_keeper *keeper)
{
    for (size_t i = 0; i < DNS_KEPT_LISTS; i++) {
        while (keeper->list[i]) {
            struct dns_kept *kept = keeper->list[i];
            keeper->list[i] = kept->next;
            kept_free(kept);
        }
    }
}

static struct dns_kept **list_of(struct dns_keeper *keeper, const char *name)
{
    uint32_t hash = FNV_START;
    for (const char *p = name; *p; p++) {
        char c = *p >= 'A' && *p <= 'Z' ? (char)(*p - 'A' + 'a') : *p;
        hash = (hash ^ (uint8_t)c) * FNV_PRIME;
    }
    return &keeper->list[(hash ^ hash >> 16) % DNS_KEPT_LISTS];
}

static bool is_for(const struct dns_kept *kept, const struct dns_asked *asked)
{
    const char *a = kept->servers, *b = asked->servers;
    return kept->type == asked->type && strcasecmp(kept->name, asked->name) == 0 &&
           (a && b ? strcmp(a, b) == 0 : a == b);
}

/* What is too old, the oldest when there are more than `room`, and what `instead` replaces. */
static void drop(struct dns_kept **at, int64_t now, size_t room, const struct dns_asked *instead)
{
    for (size_t n = 0; *at;) {
        struct dns_kept *kept = *at;
        if (kept->until_ms <= now || n >= room || (instead && is_for(kept, instead))) {
            *at = kept->next;
            kept_free(kept);
        } else {
            at = &kept->next;
            n++;
        }
    }
}

void dns_keep(struct dns_keeper *keeper, const struct dns_asked *asked, unsigned ttl_s,
              const uint8_t *wire, size_t len)
{
    struct dns_kept **list = list_of(keeper, asked->name);
    int64_t now = cm_mono_ms();
    if (ttl_s == 0 || len > DNS_KEPT_BYTES)
        return;
    drop(list, now, DNS_KEPT_EACH - 1, asked);
    struct dns_kept *kept = cm_calloc(1, sizeof(*kept));
    *kept = (struct dns_kept){
        .next = *list,
        .name = cm_strdup(asked->name),
        .servers = asked->servers ? cm_strdup(asked->servers) : NULL,
        .type = asked->type,
        .at_ms = now,
        .until_ms = now + (int64_t)ttl_s * 1000,
        .wire = cm_memdup(wire, len),
        .len = len,
    };
    *list = kept;
}

const uint8_t *dns_kept(struct dns_keeper *keeper, const struct dns_asked *asked, unsigned age_s,
                        size_t *ret_len)
{
    struct dns_kept **list = list_of(keeper, asked->name);
    int64_t now = cm_mono_ms();
    drop(list, now, DNS_KEPT_EACH, NULL);
    for (struct dns_kept *kept = *list; kept; kept = kept->next) {
        if (is_for(kept, asked)) {
            *ret_len = kept->len;
            return kept->at_ms + (int64_t)age_s * 1000 > now ? kept->wire : NULL;
        }
    }
    return NULL;
}
