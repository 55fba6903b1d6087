/*
 * What a person asks for in a credential, and what must be made anew when some of it changes: the
 * key, the certificate, or only the place of the keyring.
 */
#include "certmgr/engine/manual.h"

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *const asked[] = {"host_names", "host_names_ascii", "provider", "account",
                                    "key_type",   "servers",          "target",   "keyring_file",
                                    "renew_days", "key_rollover"};
static const char *const optional[] = {"alternate_chain",  "challenge", "profile",
                                       "profile_required", "paused",    "fallback_accounts",
                                       "exportable"};
/* A key is made for its names, type and servers (it is sealed to them), to leave or to stay. */
static const char *const of_key[] = {"host_names_ascii", "key_type", "servers", "exportable"};
static const char *const of_order[] = {"provider", "account", "alternate_chain", "profile"};
static const char *const of_account[] = {"account", "fallback_accounts"};
static const char *const of_place[] = {"keyring_file", "target"};
/* Besides the fields: what else an edit that does not know of it would undo. */
static const char *const decided[] = {"revocation", "rollover", "leaving"};

static bool differ(const json_t *a, const json_t *b, const char *const *members, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const json_t *one = json_object_get(a, members[i]), *other = json_object_get(b, members[i]);
        if (one != other && !json_equal(one, other))
            return true;
    }
    return false;
}

bool eng_key_differs(const json_t *a, const json_t *b)
{
    return differ(a, b, of_key, COUNT(of_key));
}

bool eng_order_differs(const json_t *a, const json_t *b)
{
    return eng_key_differs(a, b) || differ(a, b, of_order, COUNT(of_order));
}

bool eng_place_differs(const json_t *a, const json_t *b)
{
    return differ(a, b, of_place, COUNT(of_place));
}

static bool is_archived(const json_t *body)
{
    return strcmp(cm_json_str_or(body, "status", ""), "archived") == 0;
}

bool eng_is_stale(const json_t *body, int64_t base)
{
    int64_t serial = cm_json_int(body, "serial", 0), over = cm_json_int(body, "edited_over", -1);
    if (base == serial)
        return false;
    return over < 0 || base <= over || base > serial;
}

void eng_note_decision(const json_t *before, json_t *body)
{
    if (!before || differ(before, body, asked, COUNT(asked)) ||
        differ(before, body, optional, COUNT(optional)) ||
        differ(before, body, decided, COUNT(decided)) || is_archived(before) != is_archived(body))
        cm_json_set_int(body, "edited_over", cm_json_int(before, "serial", 0));
}

void eng_fields_take(json_t *body, const json_t *fields)
{
    if (body == fields)
        return;
    if (differ(body, fields, of_account, COUNT(of_account)))
        json_object_del(body, "fallback"); /* another choice begins anew */
    for (size_t i = 0; i < COUNT(asked); i++) {
        json_t *value = json_object_get(fields, asked[i]);
        if (value)
            json_object_set(body, asked[i], value);
    }
    if (eng_is_brought(body))
        json_object_del(body, "account");
    for (size_t i = 0; i < COUNT(optional); i++) {
        json_t *value = json_object_get(fields, optional[i]);
        if (value)
            json_object_set(body, optional[i], value);
        else
            json_object_del(body, optional[i]);
    }
}

void eng_place_take(json_t *keyfile, const json_t *credential)
{
    for (size_t i = 0; i < COUNT(of_place); i++) {
        json_t *value = json_object_get(credential, of_place[i]);
        if (value)
            json_object_set(keyfile, of_place[i], value);
    }
}
