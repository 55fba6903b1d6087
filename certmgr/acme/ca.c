/* Life of the object that orders of one CA account share. */
#include "certmgr/acme/ca.h"

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
    cm_free(ca->url);
    cm_free(ca->kid);
    cm_free(ca);
}

void acme_ca_pause(struct acme_ca *ca, int64_t until_ms)
{
    int64_t latest = cm_add_sat(cm_now_ms(), ACME_FLOOR_SHARED_MAX_MS);
    if (until_ms > latest)
        until_ms = latest;
    if (until_ms > ca->floor_ms)
        ca->floor_ms = until_ms;
}
