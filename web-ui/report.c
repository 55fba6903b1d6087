/* The period of a report.  See report.h. */
#include "web-ui/report.h"

#include "base/core/clock.h"
#include "base/core/num.h"
#include "certmgr/engine/report.h"

bool web_report_since(const struct web_ctx *ctx, int64_t *ret_ms)
{
    const char *text = web_form_get(&ctx->query, "hours");
    int64_t hours = REPORT_HOURS;

    if (text && cm_num_i64(text, 1, WEB_REPORT_HOURS_MAX, &hours) != 0)
        return false;
    *ret_ms = cm_now_ms() - hours * INT64_C(3600000);
    return true;
}
