/* Login delays.  See throttle.h. */
#include "web-ui/throttle.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/core/bytes.h"
#include "base/core/clock.h"
#include "base/core/mem.h"

struct entry {
    uint8_t key[CM_SHA256_SIZE];
    unsigned failures; /* 0 = free */
    int64_t until_ms, last_ms;
};
struct table {
    struct entry entry[THROTTLE_ENTRIES];
};
struct web_throttle {
    struct table account, address;
};

struct web_throttle *web_throttle_new(void)
{
    return cm_calloc(1, sizeof(struct web_throttle));
}

void web_throttle_free(struct web_throttle *throttle)
{
    cm_free(throttle);
}

/* The client without its port; of an IPv6 address only the /64, which one client commands whole. */
static void address_key(const char *remote, uint8_t out[CM_SHA256_SIZE])
{
    char host[64] = "";
    struct in6_addr v6;
    const char *end = strrchr(remote, ':');
    size_t skip = remote[0] == '[' ? 1 : 0;
    size_t len = end ? (size_t)(end - remote) : strlen(remote);

    if (skip && len > 1)
        len--; /* the bracket before the colon */
    if (len > skip && len - skip < sizeof(host))
        memcpy(host, remote + skip, len - skip);
    if (inet_pton(AF_INET6, host, &v6) == 1 && !IN6_IS_ADDR_V4MAPPED(&v6))
        cm_sha256(&v6, 8, out);
    else
        cm_sha256(host, strlen(host), out);
}

static struct entry *find(struct table *table, const uint8_t *key)
{
    int64_t now = cm_mono_ms();

    for (size_t i = 0; i < THROTTLE_ENTRIES; i++) {
        struct entry *e = &table->entry[i];

        if (e->failures && now - e->last_ms > THROTTLE_FORGET_MS)
            e->failures = 0;
        if (e->failures && memcmp(e->key, key, CM_SHA256_SIZE) == 0)
            return e;
    }
    return NULL;
}

static struct entry *find_or_add(struct table *table, const uint8_t *key)
{
    struct entry *e = find(table, key);

    if (e)
        return e;
    e = &table->entry[0];
    for (size_t i = 0; i < THROTTLE_ENTRIES && e->failures; i++) {
        if (!table->entry[i].failures || table->entry[i].last_ms < e->last_ms)
            e = &table->entry[i];
    }
    memset(e, 0, sizeof(*e));
    memcpy(e->key, key, CM_SHA256_SIZE);
    return e;
}

static int64_t wait_of(struct table *table, const uint8_t *key)
{
    const struct entry *e = find(table, key);
    int64_t now = cm_mono_ms();

    return e && e->until_ms > now ? e->until_ms - now : 0;
}

static void count_failure(struct table *table, const uint8_t *key)
{
    struct entry *e = find_or_add(table, key);
    unsigned shift = e->failures < 16 ? e->failures : 16;
    int64_t delay = INT64_C(1000) << shift;

    e->failures++;
    e->last_ms = cm_mono_ms();
    e->until_ms = e->last_ms + (delay < THROTTLE_MAX_MS ? delay : THROTTLE_MAX_MS);
}

static void forget(struct table *table, const uint8_t *key)
{
    struct entry *e = find(table, key);

    if (e)
        e->failures = 0;
}

int64_t web_throttle_wait(struct web_throttle *throttle, const char *account, const char *remote)
{
    uint8_t key[CM_SHA256_SIZE];
    int64_t by_account, by_address;

    cm_sha256(account, strlen(account), key);
    by_account = wait_of(&throttle->account, key);
    address_key(remote, key);
    by_address = wait_of(&throttle->address, key);
    return by_account > by_address ? by_account : by_address;
}

void web_throttle_failed(struct web_throttle *throttle, const char *account, const char *remote)
{
    uint8_t key[CM_SHA256_SIZE];

    cm_sha256(account, strlen(account), key);
    count_failure(&throttle->account, key);
    address_key(remote, key);
    count_failure(&throttle->address, key);
}

void web_throttle_passed(struct web_throttle *throttle, const char *account, const char *remote)
{
    uint8_t key[CM_SHA256_SIZE];

    cm_sha256(account, strlen(account), key);
    forget(&throttle->account, key);
    address_key(remote, key);
    forget(&throttle->address, key);
}
