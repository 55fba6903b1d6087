/*
 * Pre-flight: what can be known before the first request to a CA is made, name by name, each
 * trouble with its fix.
 */
#pragma once

#include "certmgr/engine/engine.h"

#define PREFLIGHT_MS        25000 /* all of it; what is not done by then is told as such */
#define PREFLIGHT_AT_ONCE   8     /* checks that run at a time */
#define PREFLIGHT_NAMES     6     /* names of one check looked at at a time */
#define PREFLIGHT_ADDRESSES 8     /* of a name; more are not asked */
#define PREFLIGHT_SCAN      1000 /* credentials of the first name looked through for the same set */

struct eng_preflight_opts {
    const char *credential;  /* being changed, or NULL */
    bool probe_dns;          /* write and remove a TXT value by each DNS account that is used */
    struct eng_actor actor;  /* for that */
    bool (*gone)(void *arg); /* is the person who asked away? NULL = stays */
};

/* report: {result: "ok"|"warn"|"fail", ms, checks: [{name ("" = all), what, id, result, text,
 * fix?, add?: [names on offer]}]} with what: name, set, billing, key_type, lifetime, renewal,
 * budget, directory, challenge, cname, caa, address, dns_probe, time.  NULL with field errors as of
 * eng_submit(), or with err: CM_EBUSY, CM_EDENIED (not the manager), CM_ECLOSED (engine stops,
 * person gone). */
typedef void (*eng_preflight_fn)(void *arg, const json_t *report, const json_t *field_errors,
                                 const struct cm_err *err);
/* fields as for eng_submit().  done once, never from inside. */
void eng_preflight(struct engine *engine, const json_t *fields,
                   const struct eng_preflight_opts *opts, eng_preflight_fn done, void *arg);
/* Engine: they end with CM_ECLOSED. */
void eng_preflights_stop(struct engine *engine);
