/* Public Suffix List: the copy built into libpsl, or the system's newer file. */
#include "base/net/domain.h"

#include <libpsl.h>
#include <string.h>

#include "base/core/mem.h"
#include "base/net/hostname.h"

/* Loaded once and kept for the life of the process; psl_latest() takes the newest of both. */
static const psl_ctx_t *list(void)
{
    static const psl_ctx_t *loaded;
    if (!loaded) {
        loaded = psl_latest(NULL);
        if (!loaded)
            loaded = psl_builtin();
        CM_BUG_ON(!loaded);
    }
    return loaded;
}

const char *domain_registered(const char *ascii)
{
    if (hostname_is_ip(ascii))
        return ascii;
    if (strncmp(ascii, "*.", 2) == 0)
        ascii += 2;
    return psl_registrable_domain(list(), ascii);
}

bool domain_is_registry(const char *ascii)
{
    return psl_is_public_suffix2(list(), ascii, PSL_TYPE_ICANN | PSL_TYPE_NO_STAR_RULE) == 1;
}
