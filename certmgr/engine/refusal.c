/* What a credential says of a request that was refused.  See refusal.h. */
#include "certmgr/engine/refusal.h"

#include <string.h>

#include "base/core/json.h"
#include "certmgr/engine/internal.h"

void eng_refusal(const json_t *errors, struct cm_err *ret)
{
    cm_fail(ret, CM_EINVAL, "The request was refused");
    ret->retry = CM_RETRY_PERMANENT;
    size_t i;
    json_t *error;
    json_array_foreach(errors, i, error)
    {
        if (i == CM_ERR_CAUSES_MAX)
            break;
        cm_err_cause(ret, "%s: %s", cm_json_str_or(error, "field", "request"),
                     cm_json_str_or(error, "message", "not accepted"));
    }
    cm_err_hint(ret, "Correct the fields and submit the request again");
}

void eng_refusal_stale(const json_t *body, struct cm_err *ret)
{
    cm_fail(ret, CM_ECONFLICT,
            "The request was refused: someone else changed the credential in the meantime");
    cm_err_hint(ret, "Look at the present state (%s) and submit again",
                cm_json_str_or(body, "status", "new"));
    ret->retry = CM_RETRY_PERMANENT;
}

void eng_refusal_unwritable(const struct cm_err *cause, struct cm_err *ret)
{
    cm_fail(ret, CM_EINVAL, "The request was refused: what it asks for makes no valid document");
    ret->retry = CM_RETRY_PERMANENT;
    cm_err_cause(ret, "%s", cause->what);
    for (unsigned i = 0; i < cause->cause_count && i + 1 < CM_ERR_CAUSES_MAX; i++)
        cm_err_cause(ret, "%s", cause->cause[i]);
    cm_err_hint(ret, "Correct the fields and submit the request again");
}

void eng_refusal_fields(json_t *body, json_t *fields, const json_t *errors)
{
    size_t i;
    json_t *error;
    json_array_foreach(errors, i, error)
    {
        const char *field = cm_json_str_or(error, "field", "");
        if (strcmp(field, "host_names") != 0 && strcmp(field, "servers") != 0)
            json_object_del(fields, field);
    }
    static const char *const lists[] = {"host_names", "host_names_ascii", "servers"};
    for (i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
        if (json_array_size(cm_json_arr(fields, lists[i])) == 0)
            json_object_del(fields, lists[i]);
    eng_fields_take(body, fields);
}
