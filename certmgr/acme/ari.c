/* Renewal information.  See ari.h. */
#include "certmgr/acme/ari.h"

#include <string.h>

#include "base/core/clock.h"
#include "base/core/json.h"
#include "base/core/num.h"
#include "certmgr/acme/text.h"

int acme_ari_read(const json_t *reply, struct acme_ari *ret, struct cm_err *err)
{
    const json_t *window = cm_json_obj(reply, "suggestedWindow");
    const char *start = cm_json_str(window, "start"), *end = cm_json_str(window, "end");
    const char *url = cm_json_str(reply, "explanationURL");
    *ret = (struct acme_ari){0};
    if (!start || !end || cm_time_parse(start, &ret->start_ms) != 0 ||
        cm_time_parse(end, &ret->end_ms) != 0)
        return cm_fail(err, CM_EMALF, "The CA's renewal information has no window");
    if (ret->end_ms <= ret->start_ms)
        return cm_fail(err, CM_EMALF,
                       "The window of the CA's renewal information ends (%.40s) before it begins "
                       "(%.40s)",
                       end, start);
    if (url && acme_url_check(url, false, NULL) == 0)
        ret->explanation = url;
    return 0;
}

int64_t acme_ari_choose(const struct acme_ari *window, uint64_t random)
{
    uint64_t span = (uint64_t)(window->end_ms - window->start_ms);
    return window->start_ms + (int64_t)(random % (span + 1));
}

int64_t acme_ari_next(int64_t now_ms, int64_t retry_after_ms, unsigned failures)
{
    int64_t pause = ACME_ARI_CHECK_MS;
    if (retry_after_ms > 0)
        pause = retry_after_ms - now_ms;
    else if (failures > 0 && failures < 10) /* 1, 2, 4 … minutes, then 6 hours (4.3.3) */
        pause = cm_mul_sat(ACME_ARI_CHECK_MIN_MS, INT64_C(1) << (failures - 1));
    if (pause < ACME_ARI_CHECK_MIN_MS)
        pause = ACME_ARI_CHECK_MIN_MS;
    if (pause > ACME_ARI_CHECK_MAX_MS)
        pause = ACME_ARI_CHECK_MAX_MS;
    return cm_add_sat(now_ms, pause);
}
