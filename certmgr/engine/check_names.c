/* Host names and servers with access as people type them -> checked, folded, in ASCII. */
#include "certmgr/engine/dns.h"

#include <string.h>

#include "base/net/hostname.h"
#include "certmgr/engine/companions.h"

static void note_folded(struct eng_check *check, json_t *said, const char *what, const char *name)
{
    if (json_object_get(said, name))
        return; /* once per name */
    json_object_set_new(said, name, json_true());
    CM_AUTO_STR text = cm_asprintf("duplicate %sfolded: %s", what, name);
    json_array_append_new(check->notes, json_string(text));
}

/* Does a DNS account cover it?  Where none names it, its challenge may lie elsewhere (CNAME): that
 * is found out before the order (choose.c) and by the check, and said here. */
static bool wildcard_ok(const struct eng_check *check, const char *typed, const char *ascii)
{
    char owner[DNS_OWNER_TEXT];
    eng_dns_owner(ascii, owner);
    const char *provider = eng_check_text(check, "provider", NULL);
    /* What people bring: its CA decides how it is proved. */
    if (strcmp(provider, "manual") == 0 || strcmp(provider, "import") == 0 ||
        eng_dns_cover(check->engine, owner))
        return true;
    if (!eng_dns_any(check->engine))
        return false;
    CM_AUTO_STR text = cm_asprintf("no DNS account names %.200s: for the wildcard %.200s, "
                                   "_acme-challenge has to be a CNAME to a domain of one",
                                   typed + 2, typed);
    json_array_append_new(check->notes, json_string(text));
    return true;
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
    if (rc == 0 && kind == HOSTNAME_WILDCARD && !wildcard_ok(check, typed, ascii)) {
        eng_check_error(check, "host_names", typed,
                        "the wildcard %.200s can be proved by DNS-01 only: add a DNS account whose "
                        "domains name %.200s, or name the hosts one by one",
                        typed, typed + 2);
        return false;
    }
    return rc == 0;
}

/* The names of a request as they are collected: typed and ASCII side by side, each once. */
struct names {
    struct eng_check *check;
    json_t *typed, *ascii; /* of the fields */
    json_t *seen;          /* {ascii: true} */
    size_t distinct;
};

static bool take_name(struct names *names, const char *typed, const char *ascii)
{
    if (json_object_get(names->seen, ascii))
        return false;
    json_object_set_new(names->seen, ascii, json_true());
    if (++names->distinct <= ENG_NAMES_MAX) {
        json_array_append_new(names->typed, json_string(typed));
        json_array_append_new(names->ascii, json_string(ascii));
    }
    return true;
}

/* `add_base`: the base of wildcards, names without or with www. */
static void add_companions(struct names *names)
{
    struct eng_check *check = names->check;
    const json_t *wanted = json_object_get(check->in, "add_base");
    size_t i;
    json_t *one;
    if (wanted && !json_is_boolean(wanted) && !json_is_null(wanted))
        eng_check_error(check, "add_base", NULL, "add_base is true or false");
    if (!json_is_true(wanted))
        return;
    CM_AUTO_JSON asked = json_deep_copy(names->ascii);
    CM_AUTO_JSON more = eng_companions(asked);
    json_array_foreach(more, i, one)
    {
        const char *name = cm_json_str_or(one, "name", "");
        char unicode[1024];
        hostname_to_unicode(name, unicode, sizeof(unicode));
        if (take_name(names, unicode, name))
            json_array_append_new(check->notes,
                                  json_sprintf("added with %s: %s", cm_json_str(one, "of"), name));
    }
}

void eng_check_names(struct eng_check *check)
{
    CM_AUTO_JSON typed = eng_split(json_object_get(check->in, "host_names"));
    CM_AUTO_JSON seen = json_object();
    CM_AUTO_JSON said = json_object();
    struct names names = {
        .check = check, .typed = json_array(), .ascii = json_array(), .seen = seen};
    cm_json_set(check->out, "host_names", names.typed);
    cm_json_set(check->out, "host_names_ascii", names.ascii);
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
    size_t i;
    json_t *item;
    json_array_foreach(typed, i, item)
    {
        char ascii[HOSTNAME_MAX];
        if (name_ok(check, json_string_value(item), ascii) &&
            !take_name(&names, json_string_value(item), ascii))
            note_folded(check, said, "", ascii);
    }
    add_companions(&names);
    if (names.distinct > ENG_NAMES_MAX)
        eng_check_error(check, "host_names", NULL,
                        "%zu different names: at most %d fit into one certificate, please split "
                        "the request",
                        names.distinct, ENG_NAMES_MAX);
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
