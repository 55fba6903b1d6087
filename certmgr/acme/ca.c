/* Life of the object that orders of one CA account share. */
#include "certmgr/acme/ca.h"

#include <string.h>

#include "base/core/clock.h"
#include "base/core/mem.h"
#include "base/core/num.h"

struct acme_ca *acme_ca_new(const char *directory)
{
    struct acme_ca *ca = cm_calloc(1, sizeof(*ca));
    ca->url = cm_strdup(directory);
    return ca;
}

void acme_ca_free(struct acme_ca *ca)
{
    if (!ca)
        return;
    acme_directory_fini(&ca->directory);
    for (unsigned i = 0; i < ACME_KNOWN_ORDERS; i++)
        cm_free(ca->known[i]);
    cm_free(ca->url);
    cm_free(ca->kid);
    cm_free(ca);
}

const struct acme_directory *acme_ca_directory(const struct acme_ca *ca)
{
    return &ca->directory;
}

void acme_ca_pause(struct acme_ca *ca, int64_t until_ms)
{
    int64_t latest = cm_add_sat(cm_now_ms(), ACME_FLOOR_SHARED_MAX_MS);
    if (until_ms > latest)
        until_ms = latest;
    if (until_ms > ca->floor_ms)
        ca->floor_ms = until_ms;
}

void acme_ca_know_order(struct acme_ca *ca, const char *url)
{
    if (acme_ca_knows_order(ca, url))
        return;
    char **place = &ca->known[ca->known_next++ % ACME_KNOWN_ORDERS];
    cm_free(*place);
    *place = cm_strdup(url);
}

bool acme_ca_knows_order(const struct acme_ca *ca, const char *url)
{
    for (unsigned i = 0; i < ACME_KNOWN_ORDERS; i++) {
        if (ca->known[i] && strcmp(ca->known[i], url) == 0)
            return true;
    }
    return false;
}
