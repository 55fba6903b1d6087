/* What a peer's unwelcome answer means.  See failure.h. */
#include "replicator/failure.h"

#include <string.h>

#include "base/core/clock.h"
#include "base/core/json.h"
#include "replicator/job.h"

#define PLACE_MAX  256 /* of the URL that a redirection names */
#define CODING_MAX 32

bool rp_reply_no_database(const struct http_result *res)
{
    if (res->err->code != 0 || res->status != 404)
        return false;
    CM_AUTO_JSON body = rp_reply_json(res);
    const char *reason = cm_json_str_or(body, "reason", "");
    return strcmp(reason, "Database does not exist.") == 0 || strcmp(reason, "no_db_file") == 0;
}

/* Redirections are not followed: the password would go wherever they lead. */
static void redirected(const struct http_result *res, const char *what, struct cm_err *err)
{
    char place[PLACE_MAX];
    cm_fail(err, CM_EPEER, "%s the peer: HTTP %d %s", what, res->status, "");
    if (http_header_get(res->headers, "Location", 0, place, sizeof(place)))
        cm_err_hint(err,
                    "It sends to %s, which is not followed: set the URL of the database itself",
                    place);
    err->retry = CM_RETRY_CONFIGURATION;
}

static void hint(const struct http_result *res, const json_t *body, struct cm_err *err)
{
    char coding[CODING_MAX];
    /* A proxy that misses a client certificate says 400 (nginx), and not in JSON. */
    if (err->code == CM_EDENIED || (res->status == 400 && !body))
        cm_err_hint(err, "Look at the user's name and password, or at the client certificate");
    else if (rp_reply_no_database(res))
        cm_err_hint(err, "Create the database on the hub, then try again");
    else if (res->status == 407)
        cm_err_hint(err, "A proxy in between wants a login: take the way to the hub out of it");
    else if (http_header_get(res->headers, "Content-Encoding", 0, coding, sizeof(coding)))
        cm_err_hint(err,
                    "It answers compressed (%s), which was not asked for: switch that off there",
                    coding);
    else if (res->status >= 200 && res->status < 300)
        cm_err_hint(err, "Look whether the URL leads to the database, and what is in between (a "
                         "proxy, a login page)");
}

int64_t rp_failure_explain(const struct http_result *res, bool hub, const char *what,
                           struct cm_err *err)
{
    int64_t now = cm_now_ms(), at = 0;
    CM_AUTO_JSON body = rp_reply_json(res);
    if (res->err->code != 0)
        cm_err_copy(err, res->err);
    else if (res->status >= 300 && res->status < 400)
        redirected(res, what, err);
    else if (res->status >= 200 && res->status < 300)
        cm_fail(err, CM_EPEER, "%s the peer: it does not answer as a CouchDB does (HTTP %d)", what,
                res->status);
    else
        cm_fail(err, res->status == 401 || res->status == 403 ? CM_EDENIED : CM_EPEER,
                "%s the peer: HTTP %d %s", what, res->status, cm_json_str_or(body, "reason", ""));
    if (hub && res->err->code == 0)
        hint(res, body, err);
    if (res->status == 429 || res->status == 503)
        at = http_retry_after(res->headers, now);
    if (at <= now)
        return 0;
    return at - now < RP_TIMEOUT_MAX ? at - now : RP_TIMEOUT_MAX;
}
