/* What a credential says of a request that was refused.  See refusal.h. */
#include "certmgr/engine/refusal.h"

#include "base/core/json.h"

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
