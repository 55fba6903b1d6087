/* Connections per client address: a small hash table with a secret seed. */
#include "base/net/http_conn.h"

#include <netinet/in.h>
#include <string.h>

#include "base/core/bytes.h"
#include "base/core/mem.h"

#define CAPS_BUCKETS 1024u

struct http_caps_entry {
    struct http_caps_entry *next;
    struct http_addr addr;
    int count;
};

void http_caps_init(struct http_caps *caps)
{
    caps->bucket = cm_calloc(CAPS_BUCKETS, sizeof(*caps->bucket));
    cm_random(&caps->seed, sizeof(caps->seed));
}

void http_caps_fini(struct http_caps *caps)
{
    for (size_t i = 0; i < CAPS_BUCKETS; i++) {
        while (caps->bucket[i] != NULL) {
            struct http_caps_entry *entry = caps->bucket[i];
            caps->bucket[i] = entry->next;
            cm_free(entry);
        }
    }
    cm_free(caps->bucket);
}

struct http_addr http_addr_of(const struct sockaddr *sa)
{
    struct http_addr addr = {{0}};

    if (sa->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, sa, sizeof(in));
        addr.key[10] = addr.key[11] = 0xff;
        memcpy(addr.key + 12, &in.sin_addr, 4);
    } else if (sa->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, sa, sizeof(in6));
        bool mapped = IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr);
        memcpy(addr.key, &in6.sin6_addr, mapped ? 16 : 8);
    }
    return addr;
}

static uint64_t mix(uint64_t x)
{
    x ^= x >> 33;
    x *= UINT64_C(0xff51afd7ed558ccd);
    x ^= x >> 33;
    x *= UINT64_C(0xc4ceb9fe1a85ec53);
    return x ^ (x >> 33);
}

/* The link that points at the entry of addr, or at the NULL where it belongs. */
static struct http_caps_entry **find(struct http_caps *caps, const struct http_addr *addr)
{
    uint64_t half[2];
    memcpy(half, addr->key, sizeof(half));

    uint64_t hash = mix(mix(half[0] ^ caps->seed) ^ half[1]);
    struct http_caps_entry **link = &caps->bucket[hash % CAPS_BUCKETS];
    while (*link != NULL && memcmp((*link)->addr.key, addr->key, HTTP_ADDR_KEY) != 0)
        link = &(*link)->next;
    return link;
}

bool http_caps_take(struct http_caps *caps, const struct http_addr *addr, int max)
{
    struct http_caps_entry **link = find(caps, addr);

    if (*link == NULL) {
        *link = cm_calloc(1, sizeof(**link));
        (*link)->addr = *addr;
    }
    if ((*link)->count >= max)
        return false;
    (*link)->count++;
    return true;
}

void http_caps_give(struct http_caps *caps, const struct http_addr *addr)
{
    struct http_caps_entry **link = find(caps, addr);
    struct http_caps_entry *entry = *link;

    CM_BUG_ON(entry == NULL || entry->count <= 0);
    if (--entry->count > 0)
        return;
    *link = entry->next;
    cm_free(entry);
}
