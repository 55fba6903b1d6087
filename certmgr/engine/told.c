/* The sentences of view and health, their codes, and their arguments.  See told.h. */
#include "certmgr/engine/told.h"

#include <string.h>

#include "base/core/buf.h"
#include "base/core/clock.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "base/core/num.h"

#define SENTENCE_MAX 2048

/* As they are written by plan.c, guard.c, life.c and the jobs; a time may follow.  A sentence that
 * is not listed is shown as it is. */
static const struct {
    const char *code, *text;
    bool at; /* the text ends with a time */
} known[] = {
    {"draft", "a draft waits to be submitted", false},
    {"refused", "refused: waits for a corrected request", false},
    {"servers_change", "the list of servers is being changed", false},
    {"revoked", "the certificate was revoked", false},
    {"expired", "the certificate has expired", false},
    {"archived", "archived", false},
    {"no_dates", "the certificate has no dates", false},
    {"to_revoke", "the certificate is to be revoked", false},
    {"person", "waits for a person", false},
    {"paused", "paused", false},
    {"after_failure", "next attempt after the failure", false},
    {"open_order", "goes on with the open order", false},
    {"dry_run", "a dry run was asked for", false},
    {"staging_first", "the CA's staging is tried first after the failures", false},
    {"turn", "the request is waiting for its turn", false},
    {"before_attempt", "before the next attempt to renew it", false},
    {"ca_proposes", "the time that the CA proposes", false},
    {"clock", "this server's clock cannot be believed", false},
    {"ca_fails", "many renewals at this CA fail; one is tried every 10 minutes", false},
    {"never_issued", "no certificate could be issued yet", false},
    {"serves_until", "the renewal failed; the present certificate serves until ", true},
    {"ended_at", "the renewal failed and the certificate expired at ", true},
    {"no_root",
     "the root certificate of the chain was not found: the keyring file is written without it; add "
     "the CA's root to the trusted roots",
     false},
};

static const struct {
    const char *code, *text; /* {at} and {why} are replaced */
} nexts[ENG_NEXT_COUNT] = {
    [ENG_NEXT_MANAGER] = {"manager", "Next: the manager takes the request up"},
    [ENG_NEXT_WORKING] = {"working", "Working on it: {why}"},
    [ENG_NEXT_LIMIT] = {"limit", "Waits for the CA's limit until {at} ({why})"},
    [ENG_NEXT_HELD] = {"held", "Held back: {why}"},
    [ENG_NEXT_REFUSED] = {"refused", "Refused: correct the fields and submit the request again"},
    [ENG_NEXT_ORDER] = {"order", "Next: the order, as soon as there is a free place ({why})"},
    [ENG_NEXT_ATTEMPT] = {"attempt", "Next: another attempt at {at} ({why})"},
    [ENG_NEXT_RENEWAL] = {"renewal", "Next: renewal at {at} ({why})"},
    [ENG_NEXT_TRIAL] = {"dry_run", "Next: a dry run at the CA's staging at {at} ({why})"},
    [ENG_NEXT_REVOKING] = {"revoking", "Working on it: the CA is asked to revoke the certificate"},
    [ENG_NEXT_REVOCATION] = {"revocation",
                             "Next: the CA is asked at {at} to revoke the certificate"},
    [ENG_NEXT_END] = {"end", "The certificate ends at {at} ({why})"},
    [ENG_NEXT_NOTHING] = {"nothing", "Nothing is planned: {why}"},
};

/* "30 days before expiry" */
static bool is_span(const char *text, json_t *told)
{
    static const char *const units[] = {"days", "hours", "minutes", "seconds"};
    size_t digits = strspn(text, "0123456789");
    int64_t count = 0;
    if (digits == 0 || digits > 9 || text[digits] != ' ')
        return false;
    CM_AUTO_STR number = cm_strndup(text, digits);
    if (cm_num_i64(number, 0, INT64_MAX, &count) < 0)
        return false;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        size_t len = strlen(units[i]);
        if (strncmp(text + digits + 1, units[i], len) != 0 ||
            strcmp(text + digits + 1 + len, " before expiry") != 0)
            continue;
        cm_json_set_int(told, "count", count);
        cm_json_set_str(told, "unit", units[i]);
        return true;
    }
    return false;
}

static const char *code_of(const char *text, json_t *told)
{
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        size_t len = strlen(known[i].text);
        int64_t at;
        if (!known[i].at && strcmp(text, known[i].text) == 0)
            return known[i].code;
        if (known[i].at && strncmp(text, known[i].text, len) == 0 &&
            cm_time_parse(text + len, &at) == 0) {
            cm_json_set_time(told, "at", at);
            return known[i].code;
        }
    }
    return is_span(text, told) ? "before_expiry" : "other";
}

json_t *eng_told(const char *text)
{
    json_t *told = json_object();
    cm_json_set_str(told, "code", code_of(text, told));
    cm_json_set_str(told, "text", text);
    return told;
}

static void add_sentence(struct cm_buf *out, const char *text, const char *at, const char *why)
{
    while (*text) {
        if (strncmp(text, "{at}", 4) == 0) {
            cm_buf_puts(out, at);
            text += 4;
        } else if (strncmp(text, "{why}", 5) == 0) {
            cm_buf_puts(out, why);
            text += 5;
        } else {
            cm_buf_putc(out, *text++);
        }
    }
}

json_t *eng_next_told(enum eng_next next, int64_t at_ms, const char *why)
{
    json_t *told = json_object();
    struct cm_buf text;
    char at[CM_TIME_TEXT];
    cm_time_format(at_ms, at);
    cm_buf_init(&text, SENTENCE_MAX);
    add_sentence(&text, nexts[next].text, at, why ? why : "");
    cm_json_set_str(told, "code", nexts[next].code);
    cm_json_set_str(told, "text", cm_buf_str(&text));
    cm_json_set_time(told, "at", at_ms);
    cm_json_set(told, "why", why ? eng_told(why) : NULL);
    cm_buf_fini(&text);
    return told;
}
