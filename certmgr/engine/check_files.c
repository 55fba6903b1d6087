/*
 * Keyring file names: safe, and used by one live credential only on each server and target.
 *
 * A table "server/target/file" -> credential is kept in memory, filled once and then by the change
 * listener.  An entry is a hint: what it points to is read again before anything is refused.
 */
#include "certmgr/engine/internal.h"

#include <stdio.h>
#include <string.h>

#include "keyfile/keyring.h"

bool eng_file_name_ok(const char *name)
{
    return name[0] != '-' && kf_keyring_name_ok(name); /* ids and options begin otherwise */
}

/* Does this credential still claim its files? */
static bool live(const json_t *body)
{
    const char *status = cm_json_str_or(body, "status", "");
    return body && strcmp(status, "archived") != 0 && !eng_is_refused(body);
}

static char *file_key(const char *server, const char *target, const char *file)
{
    return cm_asprintf("%s/%s/%s", server, target, file);
}

static void note_body(struct engine *engine, const char *ulid, const json_t *body)
{
    const char *target = cm_json_str(body, "target"), *file = cm_json_str(body, "keyring_file");
    if (!live(body) || !target || !file)
        return;
    size_t i;
    json_t *server;
    json_array_foreach(cm_json_arr(body, "servers"), i, server)
    {
        const char *name = json_string_value(server);
        CM_AUTO_STR key = name ? file_key(name, target, file) : NULL;
        if (key)
            json_object_set_new(engine->files, key, json_string(ulid));
    }
}

static int on_credential(void *arg, const char *key, const char *id)
{
    struct engine *engine = arg;
    (void)key;
    const char *ulid = eng_id_name(id, "credential:");
    CM_AUTO_JSON body = ulid ? cs_peek_body(engine->env.store, id) : NULL;
    if (body)
        note_body(engine, ulid, body);
    return 0;
}

void eng_files_note(struct engine *engine, const char *ulid)
{
    if (!engine->files)
        return; /* read as a whole at the first question */
    char id[CS_ID_MAX + 1];
    snprintf(id, sizeof(id), "credential:%s", ulid);
    CM_AUTO_JSON body = cs_peek_body(engine->env.store, id);
    note_body(engine, ulid, body);
}

void eng_files_free(struct engine *engine)
{
    json_decref(engine->files);
    json_decref(engine->claims);
    engine->files = engine->claims = NULL;
}

void eng_files_claim(struct engine *engine, const char *ulid, const json_t *fields)
{
    if (!engine->claims)
        engine->claims = json_object();
    json_object_set_new(engine->claims, ulid, json_deep_copy(fields));
}

void eng_files_unclaim(struct engine *engine, const char *ulid)
{
    json_object_del(engine->claims, ulid);
}

static bool uses(const json_t *body, const char *server, const char *target, const char *file)
{
    return strcmp(cm_json_str_or(body, "target", ""), target) == 0 &&
           strcmp(cm_json_str_or(body, "keyring_file", ""), file) == 0 &&
           cm_json_has_str(cm_json_arr(body, "servers"), server);
}

/* The other live credential that uses this file there (body owned by the caller), or NULL. */
static json_t *user_of(struct eng_check *check, const char *server, const char *target,
                       const char *file)
{
    struct engine *engine = check->engine;
    const char *claimer;
    json_t *claim;
    json_object_foreach(engine->claims, claimer, claim)
    {
        if ((!check->credential || strcmp(claimer, check->credential) != 0) &&
            uses(claim, server, target, file))
            return json_incref(claim);
    }
    CM_AUTO_STR key = file_key(server, target, file);
    const char *ulid = cm_json_str(engine->files, key);
    if (!ulid || (check->credential && strcmp(ulid, check->credential) == 0))
        return NULL;
    char id[CS_ID_MAX + 1];
    snprintf(id, sizeof(id), "credential:%s", ulid);
    json_t *body = cs_get_body(engine->env.store, id);
    if (live(body) && uses(body, server, target, file))
        return body;
    json_decref(body);
    return NULL;
}

/* First clash of the file on any of the servers; *ret_server is borrowed. */
static json_t *clash(struct eng_check *check, const char *file, const char **ret_server)
{
    const char *target = cm_json_str_or(check->out, "target", "");
    size_t i;
    json_t *server;
    json_array_foreach(cm_json_arr(check->out, "servers"), i, server)
    {
        *ret_server = json_string_value(server);
        json_t *other = user_of(check, *ret_server, target, file);
        if (other)
            return other;
    }
    return NULL;
}

/* "www.example.com" -> "www.example.com.kyr", "*.example.com" -> "wildcard.example.com.kyr",
 * "2001:db8::1" -> "ip-2001-db8--1.kyr"; cut so that it stays a good name. */
static void file_from_host(const char *host, char out[ENG_FILE_NAME_MAX + 1])
{
    bool wildcard = host[0] == '*', v6 = strchr(host, ':') != NULL;
    CM_AUTO_STR name = cm_asprintf("%s%s",
                                   wildcard ? "wildcard"
                                   : v6     ? "ip-"
                                            : "",
                                   host + wildcard);
    for (char *colon = name; (colon = strchr(colon, ':')) != NULL;)
        *colon = '-';
    snprintf(out, ENG_FILE_NAME_MAX + 1, "%.*s.kyr", ENG_FILE_NAME_MAX - 4, name);
}

void eng_check_file(struct eng_check *check)
{
    struct engine *engine = check->engine;
    if (!engine->files) {
        engine->files = json_object();
        cs_each(engine->env.store, CS_BY_TYPE, "credential", NULL, NULL, on_credential, engine);
    }
    bool given = false;
    char file[ENG_FILE_NAME_MAX + 1];
    const char *text = eng_check_text(check, "keyring_file", &given);
    cm_json_set_str(check->out, "keyring_file", text);
    if (!eng_file_name_ok(text)) {
        eng_check_error(check, "keyring_file", text,
                        "a keyring file name has at most %d small letters, digits, dots, hyphens "
                        "or underscores, and ends in .kyr",
                        ENG_FILE_NAME_MAX);
        return;
    }
    (void)cm_strcpy(file, sizeof(file), text);
    const char *server = "";
    CM_AUTO_JSON other = clash(check, file, &server);
    if (!other)
        return;
    const json_t *names = cm_json_arr(check->out, "host_names_ascii");
    const char *first = json_string_value(json_array_get(names, 0));
    if (!given && !first)
        return; /* the names are wrong, which is said; with good ones the file is no trouble */
    if (!given) {
        /* The default is for the first certificate; the next ones are called after their host. */
        char usual[ENG_FILE_NAME_MAX + 1];
        (void)cm_strcpy(usual, sizeof(usual), file);
        file_from_host(first, file);
        json_t *second = clash(check, file, &server);
        if (!second) {
            cm_json_set_str(check->out, "keyring_file", file);
            CM_AUTO_STR note =
                cm_asprintf("keyring file: %s is in use already, so %s is taken", usual, file);
            json_array_append_new(check->notes, json_string(note));
            return;
        }
        json_decref(other);
        other = second;
    }
    const char *host = json_string_value(json_array_get(cm_json_arr(other, "host_names_ascii"), 0));
    eng_check_error(check, "keyring_file", file,
                    "%s on server %s belongs to the certificate of %s already: choose another "
                    "file name",
                    file, server, host ? host : "another request");
}
