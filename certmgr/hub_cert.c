/* When the client certificate for the hub ends.  See hub_cert.h. */
#include "certmgr/hub_cert.h"

#include "base/core/clock.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "certmgr/fleet/alarm.h"
#include "keyfile/cert.h"

#define DAY_MS INT64_C(86400000)

#define LEVEL_SOON   1
#define LEVEL_SOONER 2
#define LEVEL_URGENT 3
#define LEVEL_OVER   4

struct life {
    int64_t from, to;
};

static bool within(int64_t left, int64_t share, int64_t days)
{
    return left < (share < days * DAY_MS ? share : days * DAY_MS);
}

int hub_cert_level(int64_t not_before_ms, int64_t not_after_ms, int64_t now_ms)
{
    int64_t life = not_after_ms - not_before_ms, left = not_after_ms - now_ms;
    if (left <= 0)
        return LEVEL_OVER;
    if (within(left, life / 10, HUB_CERT_DAYS_URGENT))
        return LEVEL_URGENT;
    if (within(left, life / 5, HUB_CERT_DAYS_SOONER))
        return LEVEL_SOONER;
    return within(left, life / 3, HUB_CERT_DAYS_SOON) ? LEVEL_SOON : 0;
}

/* False: there is none, or it cannot be read. */
static bool read_life(const json_t *doc, struct life *ret)
{
    const char *pem = cm_json_str(doc, "cert_pem");
    struct kf_cert_info info = {0};
    if (!pem || kf_cert_info(pem, &info, NULL) != 0)
        return false;
    *ret = (struct life){.from = info.not_before_ms, .to = info.not_after_ms};
    kf_cert_info_fini(&info);
    return true;
}

void hub_cert_show(const json_t *doc, int64_t now_ms, json_t *view)
{
    struct life life;
    if (!read_life(doc, &life))
        return;
    int level = hub_cert_level(life.from, life.to, now_ms);
    cm_json_set_time(view, "cert_not_before", life.from);
    cm_json_set_time(view, "cert_not_after", life.to);
    cm_json_set_str(view, "cert_health",
                    level >= LEVEL_URGENT ? "red"
                    : level > 0           ? "yellow"
                                          : "green");
}

void hub_cert_look(struct cs_store *store, const json_t *doc, const char *self)
{
    struct life life = {0};
    char date[CM_TIME_TEXT];
    int level = read_life(doc, &life) ? hub_cert_level(life.from, life.to, cm_now_ms()) : 0;
    if (level == 0) {
        fleet_alarm_clear(store, HUB_CERT_ALARM);
        return;
    }
    cm_time_format(life.to, date);
    CM_AUTO_STR where = cm_asprintf("server %s, hub %.200s", self, cm_json_str_or(doc, "url", ""));
    CM_AUTO_STR what = level == LEVEL_OVER
                           ? cm_asprintf("It ended at %.19sZ: the hub does not let this server in, "
                                         "so nothing is replicated",
                                         date)
                           : cm_asprintf("It ends at %.19sZ; after that the hub does not let this "
                                         "server in, and nothing is replicated",
                                         date);
    const char *hint = "Get a new one from whoever runs the hub, and set it on this server: "
                       "certmgr upstream set URL --cert FILE --key FILE";
    if (cm_json_str(doc, "user"))
        hint = "Get a new one from whoever runs the hub, and set it on this server: "
               "certmgr upstream set URL --cert FILE --key FILE --user NAME --password-file FILE";
    fleet_alarm_raise(store,
                      &(struct fleet_alarm){
                          .key = HUB_CERT_ALARM,
                          .kind = "hub_certificate",
                          .level = level,
                          .title = level == LEVEL_OVER
                                       ? "The client certificate for the hub has expired"
                                       : "The client certificate for the hub is about to expire",
                          .where = where,
                          .what = what,
                          .hint = hint});
}
