/* Known ACME directories.  See presets.h. */
#include "web-ui/presets.h"

#include <string.h>

#define LE_TERMS "https://letsencrypt.org/repository/"

const struct web_preset web_presets[] = {
    {"letsencrypt", "Let's Encrypt", "https://acme-v02.api.letsencrypt.org/directory", LE_TERMS,
     false},
    {"letsencrypt-staging", "Let's Encrypt (staging)",
     "https://acme-staging-v02.api.letsencrypt.org/directory", LE_TERMS, true},
};
const size_t web_preset_count = sizeof(web_presets) / sizeof(web_presets[0]);

const struct web_preset *web_preset(const char *name)
{
    for (size_t i = 0; name && i < web_preset_count; i++) {
        if (strcmp(web_presets[i].name, name) == 0)
            return &web_presets[i];
    }
    return NULL;
}

const struct web_preset *web_preset_of(const char *directory)
{
    for (size_t i = 0; directory && i < web_preset_count; i++) {
        if (strcmp(web_presets[i].directory, directory) == 0)
            return &web_presets[i];
    }
    return NULL;
}

json_t *web_presets_json(void)
{
    json_t *list = json_array();

    for (size_t i = 0; i < web_preset_count; i++) {
        json_t *preset = json_object();

        cm_json_set_str(preset, "name", web_presets[i].name);
        cm_json_set_str(preset, "title", web_presets[i].title);
        cm_json_set_str(preset, "directory", web_presets[i].directory);
        cm_json_set_str(preset, "terms", web_presets[i].terms);
        cm_json_set_bool(preset, "test", web_presets[i].test);
        json_array_append_new(list, preset);
    }
    return list;
}
