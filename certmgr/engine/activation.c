/* When a certificate comes into force, as the account and its CA want it.  See activation.h. */
#include "certmgr/engine/activation.h"

#include <string.h>

#include "base/core/num.h"
#include "certmgr/acme/presets.h"
#include "keyfile/ocsp.h"

static const char *const modes[] = {"at_once", "delay", "ocsp"};

static bool is_mode(const char *word)
{
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
        if (strcmp(modes[i], word) == 0)
            return true;
    return false;
}

/* Seconds as a number or as people type them; absent or empty: *ret = 0. */
static int read_seconds(const json_t *value, int64_t *ret)
{
    const char *text = json_string_value(value);
    *ret = 0;
    if (!value || json_is_null(value) || (text && !*text))
        return 0;
    if (json_is_integer(value))
        *ret = json_integer_value(value);
    else if (!text || cm_num_i64(text, 0, ENG_ACTIVATION_MAX_S, ret) != 0)
        return CM_EINVAL;
    return *ret >= 0 && *ret <= ENG_ACTIVATION_MAX_S ? 0 : CM_EINVAL;
}

int eng_activation_check(const json_t *fields, json_t *members, struct cm_err *err)
{
    const json_t *value = json_object_get(fields, "activation");
    const char *word = json_string_value(value);
    int64_t seconds;
    json_object_del(members, "activation");
    json_object_del(members, "activation_s");
    if (read_seconds(json_object_get(fields, "activation_s"), &seconds) != 0)
        return cm_fail(err, CM_EINVAL, "activation_s: a whole number of seconds from 0 to %d",
                       ENG_ACTIVATION_MAX_S);
    if (value && !json_is_null(value) && (!word || (*word && !is_mode(word))))
        return cm_fail(err, CM_EINVAL, "activation: choose at_once, delay or ocsp");
    if (word && strcmp(word, "delay") == 0 && seconds == 0)
        return cm_fail(err, CM_EINVAL,
                       "activation_s: say after how many seconds a certificate is in force");
    cm_json_set_str(members, "activation", word && *word ? word : NULL);
    if (seconds > 0)
        cm_json_set_int(members, "activation_s", seconds);
    return 0;
}

/* ---- one certificate --------------------------------------------------------------------------
 */

struct wish {
    const char *mode;
    int64_t ms;
};

static struct wish wish_of(const json_t *account)
{
    const struct acme_preset *preset = acme_preset_of(cm_json_str(account, "directory"));
    int64_t known = preset ? preset->activation_s : 0;
    struct wish wish = {.mode = cm_json_str(account, "activation"),
                        .ms = cm_json_int(account, "activation_s", known) * 1000};
    if (!wish.mode)
        wish.mode = wish.ms > 0 ? "ocsp" : "at_once";
    if (strcmp(wish.mode, "ocsp") == 0 && wish.ms == 0)
        wish.ms = INT64_C(1000) * ENG_OCSP_WAIT_S;
    if (strcmp(wish.mode, "at_once") == 0)
        wish.ms = 0;
    return wish;
}

/* Until when the former certificate can be served; 0 = there is none that is worth waiting. */
static int64_t former_end(const json_t *former, int64_t now_ms)
{
    int64_t end = cm_json_time(former, "not_after", 0);
    if (!cm_json_str(former, "chain"))
        return INT64_MAX; /* nothing is served: nothing ends */
    return end > now_ms && !cm_json_obj(former, "revocation") ? end : 0;
}

/* Has the chain a responder that can be asked?  A chain of one certificate cannot be asked about.
 */
static bool has_responder(const struct kf_chain *chain, char url[KF_OCSP_URL_MAX])
{
    return *chain->intermediates && kf_ocsp_url(chain->leaf, strlen(chain->leaf), url, NULL) == 0;
}

json_t *eng_activation_of(const json_t *account, const json_t *former, const struct kf_chain *chain,
                          int64_t now_ms)
{
    struct wish wish = wish_of(account);
    bool ocsp = strcmp(wish.mode, "ocsp") == 0;
    char url[KF_OCSP_URL_MAX] = "";
    if (ocsp && !has_responder(chain, url)) {
        ocsp = false; /* nobody can be asked: nobody will complain either */
        wish.ms = 0;
    }
    int64_t from = now_ms + wish.ms, end = former_end(former, now_ms);
    if (from > end)
        from = end;
    if (from < chain->info.not_before_ms)
        from = chain->info.not_before_ms;
    if (from <= now_ms)
        return NULL;
    json_t *activation = json_object();
    cm_json_set_time(activation, "from", from);
    cm_json_set_str(activation, "by",
                    ocsp                                ? "ocsp"
                    : from == chain->info.not_before_ms ? "not_before"
                                                        : "delay");
    cm_json_set_str(activation, "url", ocsp ? url : NULL);
    return activation;
}

void eng_activation_place(json_t *keyfile, const json_t *activation)
{
    int64_t from = cm_json_time(activation, "from", 0);
    json_object_del(keyfile, "serve_from");
    if (from > cm_now_ms())
        cm_json_set_time(keyfile, "serve_from", from);
}
