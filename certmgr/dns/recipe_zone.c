/* Zones of a recipe: by suffix, from a list, by DNS, or as the account says. */
#include <string.h>
#include <strings.h>

#include "base/core/mem.h"
#include "base/net/domain.h"
#include "certmgr/dns/recipe_machine.h"

void rcpm_set_zone(struct rcp_machine *m, const char *zone)
{
    const json_t *names_rule = cm_json_obj(m->job.recipe, "names");
    const char *apex = cm_json_str_or(names_rule, "apex", "@");
    const char *form = cm_json_str_or(names_rule, "record", "fqdn");
    bool dot = strcmp(cm_json_str_or(names_rule, "zone", "plain"), "dot") == 0;
    size_t len = strlen(m->job.fqdn), zone_len = strlen(zone);
    CM_AUTO_STR written = cm_asprintf("%s%s", zone, dot ? "." : "");
    CM_AUTO_STR relative =
        len > zone_len + 1 ? cm_strndup(m->job.fqdn, len - zone_len - 1) : cm_strdup(apex);
    CM_AUTO_STR dotted = cm_asprintf("%s.", m->job.fqdn);
    cm_json_set_str(rcpm_sub(m, "zone"), "name", written);
    cm_json_set_str(rcpm_sub(m, "name"), "relative", relative);
    cm_json_set_str(rcpm_sub(m, "name"), "record",
                    strcmp(form, "relative") == 0 ? relative
                    : strcmp(form, "dot") == 0    ? dotted
                                                  : m->job.fqdn);
}

bool rcpm_below(const char *fqdn, const char *zone)
{
    size_t len = strlen(fqdn), zone_len = strlen(zone);
    return zone_len > 0 && zone_len <= len && strcasecmp(fqdn + len - zone_len, zone) == 0 &&
           (zone_len == len || fqdn[len - zone_len - 1] == '.');
}

/* A zone name as the provider writes it, without its dot. */
char *rcpm_plain_zone(const char *text)
{
    size_t len = strlen(text);
    return cm_strndup(text, len > 0 && text[len - 1] == '.' ? len - 1 : len);
}

/* Options that tell about the zone ("zone": "name" or "zone": "id") spare the look-up. */
void rcpm_take_zone_options(struct rcp_machine *m)
{
    const json_t *all = cm_json_arr(m->job.recipe, "options");
    for (size_t i = 0; i < json_array_size(all); i++) {
        const json_t *one = json_array_get(all, i);
        const char *part = cm_json_str(one, "zone");
        json_t *v = part ? json_object_get(rcpm_sub(m, "opt"), cm_json_str(one, "name")) : NULL;
        if (!v || (json_is_string(v) && json_string_length(v) == 0))
            continue;
        if (strcmp(part, "name") == 0 && json_is_string(v)) {
            CM_AUTO_STR zone = rcpm_plain_zone(json_string_value(v));
            rcpm_set_zone(m, zone);
        } else {
            json_object_set(rcpm_sub(m, "zone"), part, v);
        }
    }
}

static int names_zone(void *arg, const struct rcp_hole *hole, struct cm_err *err)
{
    (void)arg;
    (void)err;
    return (strcmp(hole->root, "zone") == 0 && strcmp(hole->name, "name") == 0) ||
           (strcmp(hole->root, "name") == 0 && strcmp(hole->name, "fqdn") != 0);
}

/* Everything that the steps name is known; a zone's id may do without its name. */
bool rcpm_zone_known(struct rcp_machine *m)
{
    const json_t *step = rcpm_step(m, "zone");
    const char *iterate = cm_json_str_or(step, "iterate", "none"), *key;
    json_t *pointer;
    if (strcmp(iterate, "none") != 0 && !json_object_get(rcpm_sub(m, "zone"), "name") &&
        (!cm_json_obj(step, "save") || rcp_holes_in(m->steps, names_zone, NULL, NULL) != 0))
        return false;
    json_object_foreach(cm_json_obj(step, "save"), key, pointer)
    {
        if (!json_object_get(rcpm_sub(m, "zone"), key))
            return false;
    }
    return true;
}

void rcpm_next_candidate(struct rcp_machine *m)
{
    struct cm_err err = CM_ERR_INIT;
    const char *dot = strchr(m->candidate, '.');
    m->tries = 0;
    m->candidate = dot ? dot + 1 : "";
    if (m->candidate[0] && !domain_is_registry(m->candidate))
        return;
    cm_fail(&err, CM_ENOENT, "no zone for %s in this account", m->job.fqdn);
    cm_err_hint(&err, "check that the provider hosts the zone and that the credentials may see it");
    err.retry = CM_RETRY_CONFIGURATION;
    rcpm_fail(m, &err);
}

/* The longest zone of the list that the name is below. */
static void choose_zone(struct rcp_machine *m)
{
    const json_t *step = rcpm_step(m, "zone"), *best = NULL;
    size_t best_len = 0;
    CM_AUTO_STR best_name = NULL;
    for (size_t i = 0; i < json_array_size(m->found); i++) {
        const json_t *item = json_object_get(json_array_get(m->found, i), "item");
        const char *text = json_string_value(rcp_pointer(item, cm_json_str_or(step, "name", "")));
        CM_AUTO_STR zone = rcpm_plain_zone(text ? text : "");
        if (rcpm_below(m->job.fqdn, zone) && strlen(zone) > best_len) {
            best = item;
            best_len = strlen(zone);
            cm_free(best_name);
            best_name = cm_strdup(zone);
        }
    }
    if (!best) {
        m->candidate = "";
        rcpm_next_candidate(m);
        return;
    }
    rcp_save(cm_json_obj(step, "save"), best, rcpm_sub(m, "zone"));
    rcpm_set_zone(m, best_name);
    rcpm_after_zone(m);
}

void rcpm_zone_answered(struct rcp_machine *m, const json_t *doc)
{
    const json_t *step = rcpm_step(m, "zone"), *from = doc;
    const char *iterate = cm_json_str_or(step, "iterate", "none");
    struct cm_err err = CM_ERR_INIT;
    if (strcmp(iterate, "list") == 0) {
        choose_zone(m);
        return;
    }
    if (cm_json_str(step, "items"))
        from = json_object_get(json_array_get(m->found, 0), "item");
    json_t *save = cm_json_obj(step, "save");
    rcp_save(save, from, rcpm_sub(m, "zone"));
    bool suffix = strcmp(iterate, "suffix") == 0;
    bool whole = from || !cm_json_str(step, "items");
    const char *key;
    json_t *pointer;
    json_object_foreach(save, key, pointer)
    {
        whole = whole && json_object_get(rcpm_sub(m, "zone"), key);
    }
    if (whole) {
        if (suffix)
            rcpm_set_zone(m, m->candidate);
        rcpm_after_zone(m);
    } else if (suffix && !json_object_get(rcpm_sub(m, "zone"), "name")) {
        json_array_clear(m->found);
        rcpm_next_candidate(m);
    } else {
        cm_fail(&err, CM_EPEER, "zone: the provider's reply lacks what the recipe saves");
        rcpm_fail(m, &err);
    }
}
