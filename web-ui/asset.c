/* Look-up of compiled-in files.  See asset.h. */
#include "web-ui/asset.h"

#include <string.h>

#include "base/core/mem.h"

const struct web_asset *web_asset(const char *name)
{
    for (size_t i = 0; i < web_asset_count; i++) {
        if (strcmp(web_assets[i].name, name) == 0)
            return &web_assets[i];
    }
    cm_bug(__FILE__, __LINE__, name);
}

const char *web_asset_url(const char *name)
{
    return web_asset(name)->url;
}

const struct web_asset *web_asset_at(const char *path)
{
    for (size_t i = 0; i < web_asset_count; i++) {
        if (strcmp(web_assets[i].url, path) == 0)
            return &web_assets[i];
    }
    return NULL;
}
