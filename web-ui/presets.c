/* Known CAs as JSON.  See presets.h. */
#include "web-ui/presets.h"

#include <string.h>

static json_t *reasons_json(unsigned reasons)
{
    json_t *list = json_array();

    for (int reason = 0; reason <= 10; reason++)
        if (reasons & 1u << reason)
            json_array_append_new(list, json_integer(reason));
    return list;
}

static json_t *caa_json(const char *names)
{
    json_t *list = json_array();

    for (const char *at = names ? names : ""; *at; at += strspn(at, " ")) {
        size_t len = strcspn(at, " ");
        json_array_append_new(list, json_stringn(at, len));
        at += len;
    }
    return list;
}

static json_t *limits_json(const struct acme_preset *row)
{
    static const char *const names[ACME_LIMIT_COUNT] = {"orders", "domain", "set", "failed"};
    json_t *list = json_array();

    for (int i = 0; i < ACME_LIMIT_COUNT; i++) {
        if (row->rate[i].count == 0)
            continue;
        json_t *limit = json_object();
        cm_json_set_str(limit, "limit", names[i]);
        cm_json_set_int(limit, "of", row->rate[i].count);
        cm_json_set_int(limit, "refill_ms", row->rate[i].refill_ms);
        json_array_append_new(list, limit);
    }
    return list;
}

static json_t *rules_json(const struct acme_preset *row)
{
    json_t *list = json_array();

    for (int i = 0; i < ACME_PROFILE_RULES && row->profile[i].name; i++) {
        json_t *rule = json_object();
        cm_json_set_str(rule, "name", row->profile[i].name);
        cm_json_set_int(rule, "names_max", row->profile[i].names_max);
        cm_json_set_bool(rule, "ip", row->profile[i].ip);
        json_array_append_new(list, rule);
    }
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
        cm_json_set_bool(preset, "one_fate", row->one_fate);
        cm_json_set(preset, "caa", caa_json(row->caa));
        cm_json_set(preset, "limits", limits_json(row));
        cm_json_set(preset, "profile_rules", rules_json(row));
        cm_json_set(preset, "reasons", reasons_json(row->reasons));
        cm_json_set_int(preset, "validity_days", row->validity_days);
        json_array_append_new(list, preset);
    }
    return list;
}
