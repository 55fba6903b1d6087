/* Known CAs as JSON.  See presets.h. */
#include "web-ui/presets.h"

static json_t *reasons_json(unsigned reasons)
{
    json_t *list = json_array();

    for (int reason = 0; reason <= 10; reason++)
        if (reasons & 1u << reason)
            json_array_append_new(list, json_integer(reason));
    return list;
}

json_t *web_presets_json(void)
{
    json_t *list = json_array();

    for (size_t i = 0; i < acme_preset_count; i++) {
        const struct acme_preset *row = &acme_presets[i];
        json_t *preset = json_object();

        cm_json_set_str(preset, "name", row->name);
        cm_json_set_str(preset, "title", row->title);
        cm_json_set_str(preset, "directory", row->directory);
        cm_json_set_str(preset, "terms", row->terms);
        cm_json_set_bool(preset, "test", row->test);
        cm_json_set_str(preset, "staging", row->staging);
        cm_json_set_bool(preset, "eab", row->eab);
        cm_json_set_int(preset, "eab_days", row->eab_days);
        cm_json_set_int(preset, "contact_min", row->contact_min);
        cm_json_set_int(preset, "contact_max", row->contact_max);
        cm_json_set_str(preset, "key_type", row->key_type);
        cm_json_set_str(preset, "other_key", row->other_key);
        cm_json_set_int(preset, "activation_s", row->activation_s);
        cm_json_set_bool(preset, "billing", row->billing);
        cm_json_set_bool(preset, "ari", row->ari);
        cm_json_set_bool(preset, "profiles", row->profiles);
        cm_json_set_bool(preset, "rollover", row->rollover);
        cm_json_set(preset, "reasons", reasons_json(row->reasons));
        cm_json_set_int(preset, "validity_days", row->validity_days);
        json_array_append_new(list, preset);
    }
    return list;
}
