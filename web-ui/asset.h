/* Files compiled into the program (assets/), served under names that carry their hash. */
#pragma once

#include <stddef.h>

struct web_asset {
    const char *name; /* "app.css" */
    const char *url;  /* "/assets/app.0123456789ab.css" */
    const char *type;
    const unsigned char *data;
    size_t size;
};
/* Made by cmake/Embed.cmake. */
extern const struct web_asset web_assets[];
extern const size_t web_asset_count;

/* By file name; a missing one is a bug. */
const struct web_asset *web_asset(const char *name);
const char *web_asset_url(const char *name);
/* By URL path; NULL = 404. */
const struct web_asset *web_asset_at(const char *path);
