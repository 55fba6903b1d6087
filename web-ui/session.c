/* Sessions in the store.  See session.h. */
#include "web-ui/session.h"

#include <stdio.h>
#include <string.h>

#include "base/core/clock.h"
#include "base/core/log.h"
#include "base/core/mem.h"
#include "web-ui/user.h"
#include "web-ui/web.h"

#define COOKIE_FLAGS "; Path=/; Secure; HttpOnly; SameSite=Strict"

static bool expired(const json_t *record)
{
    int64_t now = cm_now_ms();

    return now - cm_json_time(record, "seen_at", 0) > WEB_SESSION_IDLE_S * INT64_C(1000) ||
           now - cm_json_time(record, "created_at", 0) > WEB_SESSION_MAX_S * INT64_C(1000);
}

struct sweep {
    const char *user; /* NULL = expired ones and the oldest */
    json_t *doomed;   /* keys */
    size_t kept;
    char oldest[CM_SHA256_HEX];
    int64_t oldest_ms;
};

static int sweep_one(void *arg, const char *key, const json_t *value)
{
    struct sweep *sweep = arg;
    int64_t seen = cm_json_time(value, "seen_at", 0);
    bool doomed =
        sweep->user ? strcmp(cm_json_str_or(value, "user", ""), sweep->user) == 0 : expired(value);

    if (doomed) {
        json_array_append_new(sweep->doomed, json_string(key));
        return 0;
    }
    if (sweep->kept == 0 || seen < sweep->oldest_ms) {
        sweep->oldest_ms = seen;
        (void)cm_strcpy(sweep->oldest, sizeof(sweep->oldest), key);
    }
    sweep->kept++;
    return 0;
}

static void sweep_table(struct cs_store *store, const char *user)
{
    struct sweep sweep = {.user = user, .doomed = json_array()};
    size_t i;
    json_t *key;

    cs_kv_each(store, "session", "", sweep_one, &sweep);
    if (!user && sweep.kept >= WEB_SESSIONS_MAX)
        json_array_append_new(sweep.doomed, json_string(sweep.oldest));
    json_array_foreach(sweep.doomed, i, key)(void)
        cs_kv_del(store, "session", json_string_value(key), NULL);
    json_decref(sweep.doomed);
}

int web_session_start(struct cs_store *store, const char *user, char cookie[SESSION_COOKIE_MAX],
                      struct cm_err *err)
{
    uint8_t random[32];
    char key[CM_SHA256_HEX];
    CM_AUTO_STR id = NULL;
    CM_AUTO_JSON record = json_object();

    sweep_table(store, NULL);
    cm_random(random, sizeof(random));
    id = cm_b64url(random, sizeof(random));
    cm_wipe(random, sizeof(random));
    cm_sha256_hex(id, strlen(id), key);
    cm_json_set_str(record, "user", user);
    cm_json_set_time(record, "created_at", cm_now_ms());
    cm_json_set_time(record, "seen_at", cm_now_ms());
    snprintf(cookie, SESSION_COOKIE_MAX, SESSION_COOKIE "=%s" COOKIE_FLAGS, id);
    return cs_kv_put(store, "session", key, record, err);
}

const char *web_session_gone(void)
{
    return SESSION_COOKIE "=" COOKIE_FLAGS "; Max-Age=0";
}

/* Our cookie's value in one Cookie field; false when absent or not of our shape. */
static bool cookie_value(const char *field, char id[SESSION_ID_TEXT])
{
    const size_t name_len = sizeof(SESSION_COOKIE) - 1;

    for (const char *p = field; *p;) {
        size_t len = strcspn(p, ";");

        if (len == name_len + 1 + SESSION_ID_TEXT - 1 &&
            strncmp(p, SESSION_COOKIE "=", name_len + 1) == 0) {
            memcpy(id, p + name_len + 1, SESSION_ID_TEXT - 1);
            id[SESSION_ID_TEXT - 1] = '\0';
            return true;
        }
        p += len;
        p += strspn(p, "; ");
    }
    return false;
}

static void touch(struct cs_store *store, const char *key, json_t *record)
{
    if (cm_now_ms() - cm_json_time(record, "seen_at", 0) < SESSION_SEEN_S * INT64_C(1000))
        return;
    cm_json_set_time(record, "seen_at", cm_now_ms());
    (void)cs_kv_put(store, "session", key, record, NULL); /* the next request tries again */
}

static void derive_csrf(const char *id, char out[SESSION_ID_TEXT])
{
    static const char label[] = "certmgr form token v1";
    uint8_t mac[CM_SHA256_SIZE];
    CM_AUTO_STR text = NULL;

    cm_hmac_sha256(id, strlen(id), label, sizeof(label) - 1, mac);
    text = cm_b64url(mac, sizeof(mac));
    (void)cm_strcpy(out, SESSION_ID_TEXT, text);
}

static bool find_by_id(struct cs_store *store, const char *id, struct web_session *ret)
{
    CM_AUTO_JSON record = NULL;
    CM_AUTO_JSON user = NULL;
    const char *name;

    cm_sha256_hex(id, strlen(id), ret->key);
    record = cs_kv_get(store, "session", ret->key);
    if (!record)
        return false;
    name = cm_json_str_or(record, "user", "");
    user = cs_kv_get(store, "user", name);
    if (expired(record) || !user) {
        (void)cs_kv_del(store, "session", ret->key, NULL);
        return false;
    }
    if (cm_strcpy(ret->user, sizeof(ret->user), name) < 0)
        return false;
    touch(store, ret->key, record);
    derive_csrf(id, ret->csrf);
    return true;
}

void web_session_find(struct cs_store *store, const struct http_head *head, struct web_session *ret)
{
    memset(ret, 0, sizeof(*ret));
    for (size_t i = 0; i < head->field_count && !ret->valid; i++) {
        char id[SESSION_ID_TEXT];

        if (strcmp(head->field[i].name, "cookie") == 0 && cookie_value(head->field[i].value, id)) {
            ret->valid = find_by_id(store, id, ret);
            cm_wipe(id, sizeof(id));
        }
    }
}

bool web_session_alive(struct cs_store *store, const struct web_session *session)
{
    CM_AUTO_JSON record = NULL;
    CM_AUTO_JSON user = NULL;

    if (session->root || !session->valid)
        return session->root;
    record = cs_kv_get(store, "session", session->key);
    user = cs_kv_get(store, "user", session->user);
    return record && user && !expired(record);
}

int web_session_end(struct cs_store *store, const struct web_session *session, struct cm_err *err)
{
    return session->key[0] ? cs_kv_del(store, "session", session->key, err) : 0;
}

void web_session_end_all(struct cs_store *store, const char *user)
{
    sweep_table(store, user);
}

bool web_session_end_one(struct cs_store *store, const struct web_session *session, const char *id)
{
    CM_AUTO_JSON record = strlen(id) == CM_SHA256_HEX - 1 ? cs_kv_get(store, "session", id) : NULL;

    return record && strcmp(cm_json_str_or(record, "user", ""), session->user) == 0 &&
           cs_kv_del(store, "session", id, NULL) == 0;
}

struct listing {
    const struct web_session *session;
    json_t *rows;
};

static int list_one(void *arg, const char *key, const json_t *value)
{
    struct listing *listing = arg;
    int64_t seen = cm_json_time(value, "seen_at", 0);
    json_t *row;
    size_t at = 0;

    if (strcmp(cm_json_str_or(value, "user", ""), listing->session->user) != 0 || expired(value))
        return 0;
    row = json_object();
    cm_json_set_str(row, "id", key);
    cm_json_set_str(row, "created_at", cm_json_str(value, "created_at"));
    cm_json_set_str(row, "seen_at", cm_json_str(value, "seen_at"));
    cm_json_set_bool(row, "current", strcmp(key, listing->session->key) == 0);
    while (at < json_array_size(listing->rows) &&
           cm_json_time(json_array_get(listing->rows, at), "seen_at", 0) >= seen)
        at++;
    json_array_insert_new(listing->rows, at, row);
    return 0;
}

json_t *web_session_list(struct cs_store *store, const struct web_session *session)
{
    struct listing listing = {.session = session, .rows = json_array()};

    cs_kv_each(store, "session", "", list_one, &listing);
    return listing.rows;
}

bool web_session_end_user(struct cs_store *store, const struct web_session *by, const char *user)
{
    CM_AUTO_JSON found = web_user_name_ok(user) ? cs_kv_get(store, "user", user) : NULL;

    if (!found)
        return false;
    sweep_table(store, user);
    cm_log(CM_LOG_INFO, "web", NULL, "%s ended the sessions of %s", by->user, user);
    return true;
}

static int add_person(void *arg, const char *key, const json_t *value)
{
    json_t *row = json_object();

    cm_json_set_str(row, "name", key);
    cm_json_set_str(row, "role", cm_json_str_or(value, "role", "administrator"));
    cm_json_set_str(row, "created_at", cm_json_str(value, "created_at"));
    cm_json_set_int(row, "sessions", 0);
    json_object_set_new(arg, key, row);
    return 0;
}

static int count_session(void *arg, const char *key, const json_t *value)
{
    json_t *row = json_object_get(arg, cm_json_str_or(value, "user", ""));
    int64_t seen = cm_json_time(value, "seen_at", 0);

    (void)key;
    if (!row || expired(value))
        return 0;
    cm_json_set_int(row, "sessions", cm_json_int(row, "sessions", 0) + 1);
    if (seen > cm_json_time(row, "seen_at", 0))
        cm_json_set_time(row, "seen_at", seen);
    return 0;
}

json_t *web_session_people(struct cs_store *store)
{
    CM_AUTO_JSON people = json_object();
    json_t *rows = json_array(), *row;
    const char *name;

    cs_kv_each(store, "user", "", add_person, people); /* in the order of the names */
    cs_kv_each(store, "session", "", count_session, people);
    json_object_foreach(people, name, row)
    {
        json_array_append(rows, row);
    }
    return rows;
}
