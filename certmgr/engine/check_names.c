/* Host names and servers with access as people type them -> checked, folded, in ASCII. */
#include "certmgr/engine/dns.h"

#include <string.h>

#include "base/net/hostname.h"

static void note_folded(struct eng_check *check, json_t *said, const char *what, const char *name)
{
    if (json_object_get(said, name))
        return; /* once per name */
    json_object_set_new(said, name, json_true());
    CM_AUTO_STR text = cm_asprintf("duplicate %sfolded: %s", what, name);
    json_array_append_new(check->notes, json_string(text));
}

/* Does a DNS account cover it?  Where its challenge lies elsewhere (CNAME), the account names the
 * domain itself: what the DNS says then is found out before the order. */
static bool wildcard_ok(const struct eng_check *check, const char *ascii)
{
    char owner[DNS_OWNER_TEXT];
    eng_dns_owner(ascii, owner);
    return eng_dns_cover(check->engine, owner) != NULL;
}

/* Returns true when the name can be part of a request. */
static bool name_ok(struct eng_check *check, const char *typed, char ascii[HOSTNAME_MAX])
{
    enum hostname_kind kind = HOSTNAME_DNS;
    struct cm_err err = CM_ERR_INIT;
    int rc = hostname_to_ascii(typed, ascii, &kind, &err);
    if (rc != 0 && strncmp(typed, "*.", 2) == 0 && hostname_is_ip(typed + 2))
        eng_check_error(check, "host_names", typed,
                        "%.64s: an IP address has no wildcard, enter each address", typed);
    else if (rc != 0)
        eng_check_error(check, "host_names", typed, "%s", err.what);
    cm_err_fini(&err);
    if (rc == 0 && kind == HOSTNAME_WILDCARD && !wildcard_ok(check, ascii)) {
        eng_check_error(check, "host_names", typed,
                        "the wildcard %.200s can be proved by DNS-01 only: add a DNS account whose "
                        "domains name %.200s, or name the hosts one by one",
                        typed, typed + 2);
        return false;
    }
    return rc == 0;
}

void eng_check_names(struct eng_check *check)
{
    json_t *names = json_array(), *ascii_names = json_array();
    cm_json_set(check->out, "host_names", names);
    cm_json_set(check->out, "host_names_ascii", ascii_names);
    CM_AUTO_JSON typed = eng_split(json_object_get(check->in, "host_names"));
    CM_AUTO_JSON seen = json_object();
    CM_AUTO_JSON said = json_object();
    if (!typed) {
        eng_check_error(check, "host_names", NULL, "host names must be text");
        return;
    }
    if (json_array_size(typed) == 0)
        eng_check_error(check, "host_names", NULL, "enter at least one host name");
    if (json_array_size(typed) > ENG_NAMES_TYPED_MAX) {
        eng_check_error(check, "host_names", NULL,
                        "that are more than %d names: at most %d fit "
                        "into one certificate",
                        ENG_NAMES_TYPED_MAX, ENG_NAMES_MAX);
        return;
    }
    size_t i, distinct = 0;
    json_t *item;
    json_array_foreach(typed, i, item)
    {
        char ascii[HOSTNAME_MAX];
        if (!name_ok(check, json_string_value(item), ascii))
            continue;
        if (json_object_get(seen, ascii)) {
            note_folded(check, said, "", ascii);
            continue;
        }
        json_object_set_new(seen, ascii, json_true());
        if (++distinct > ENG_NAMES_MAX)
            continue;
        json_array_append(names, item);
        json_array_append_new(ascii_names, json_string(ascii));
    }
    if (distinct > ENG_NAMES_MAX)
        eng_check_error(check, "host_names", NULL,
                        "%zu different names: at most %d fit into one certificate, please split "
                        "the request",
                        distinct, ENG_NAMES_MAX);
}

static void check_server(struct eng_check *check, const char *name)
{
    const struct eng_env *env = &check->engine->env;
    const struct kf_server *server = kf_trust_server(env->trust(env->trust_arg), name);
    if (!server)
        eng_check_error(check, "servers", name, "there is no server \"%.63s\" in this fleet", name);
    else if (server->state != KF_ACTIVE)
        eng_check_error(check, "servers", name,
                        "the server %.63s is leaving the fleet and gets no new keys", name);
}

void eng_check_servers(struct eng_check *check)
{
    json_t *out = json_array();
    cm_json_set(check->out, "servers", out);
    CM_AUTO_JSON given = eng_split(json_object_get(check->in, "servers"));
    CM_AUTO_JSON said = json_object();
    if (!given) {
        eng_check_error(check, "servers", NULL, "servers with access must be a list of names");
        return;
    }
    if (json_array_size(given) == 0) {
        json_decref(given);
        given = eng_split(json_object_get(check->defaults, "servers"));
    }
    size_t i;
    json_t *item;
    json_array_foreach(given, i, item)
    {
        if (cm_json_has_str(out, json_string_value(item))) {
            note_folded(check, said, "server ", json_string_value(item));
            continue;
        }
        if (json_array_size(out) == ENG_SERVERS_MAX) {
            eng_check_error(check, "servers", NULL, "at most %d servers can share one private key",
                            ENG_SERVERS_MAX);
            return;
        }
        json_array_append(out, item);
        check_server(check, json_string_value(item));
    }
    if (json_array_size(out) == 0)
        eng_check_error(check, "servers", NULL,
                        "choose at least one server that may read the private key");
}
