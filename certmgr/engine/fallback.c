/*
 * Whose turn it is among a credential's accounts (reference/acme.md 2.2 item 5): after some failed
 * runs in a row, or one that only a person can mend, the next attempt is made at the next account's
 * CA.  A certificate ends that: the next renewal begins with the first again.
 *
 * The credential keeps `fallback` {account, failures} while runs fail.
 */
#include <string.h>

#include "certmgr/engine/internal.h"

#define FAILURES_MAX 3 /* in a row at one CA */

const char *eng_turn_account(const json_t *credential)
{
    const char *first = cm_json_str_or(credential, "account", "");
    const char *turn = cm_json_str(cm_json_obj(credential, "fallback"), "account");
    return turn && cm_json_has_str(cm_json_arr(credential, "fallback_accounts"), turn) ? turn
                                                                                       : first;
}

const char *eng_issuer_account(const json_t *credential)
{
    const char *issuer = cm_json_str(cm_json_obj(credential, "issued_by"), "account");
    return issuer ? issuer : cm_json_str_or(credential, "account", "");
}

/* The account after this one; NULL = it was the last. */
static const char *after(const json_t *credential, const char *turn)
{
    const json_t *list = cm_json_arr(credential, "fallback_accounts");
    bool found = strcmp(cm_json_str_or(credential, "account", ""), turn) == 0;
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        if (found)
            return json_string_value(item);
        found = strcmp(json_string_value(item), turn) == 0;
    }
    return NULL;
}

bool eng_turn_failed(json_t *credential, enum cm_retry class)
{
    if (json_array_size(cm_json_arr(credential, "fallback_accounts")) == 0) {
        json_object_del(credential, "fallback");
        return false;
    }
    const char *turn = eng_turn_account(credential);
    int64_t failures = cm_json_int(cm_json_obj(credential, "fallback"), "failures", 0) + 1;
    const char *next = NULL;
    if (failures >= FAILURES_MAX || class == CM_RETRY_CONFIGURATION ||
        class == CM_RETRY_PERMANENT) {
        next = after(credential, turn);
        turn = next ? next : cm_json_str_or(credential, "account", "");
        failures = 0;
    }
    json_t *state = json_object();
    cm_json_set_str(state, "account", turn);
    cm_json_set_int(state, "failures", failures);
    cm_json_set(credential, "fallback", state);
    return next != NULL;
}
