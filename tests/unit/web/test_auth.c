/* Set-up links, login, delays, sessions. */
#include "tests/unit/web/rig.h"

#include "base/core/bytes.h"
#include "web-ui/password.h"
#include "web-ui/throttle.h"

static const char *cookie_of(const struct reply *reply)
{
    static char line[200];
    const char *set = reply_header(reply, "Set-Cookie");

    assert_non_null(set);
    snprintf(line, sizeof(line), "Cookie: %.*s\r\n", (int)strcspn(set, ";"), set);
    return line;
}

static void open_post(struct rig *rig, const char *target, const char *cookie, const char *body,
                      struct reply *reply)
{
    CM_AUTO_STR headers = cm_asprintf("%s" SAME FORM, cookie);

    rig_send(rig, false, "POST", target, headers, body, reply);
}

/* Makes the user by a set-up link, as a person does; cookie = the first session's. */
static void set_up(struct rig *rig, char cookie[200])
{
    char *token = NULL;
    struct reply reply;
    CM_AUTO_STR body = NULL;

    assert_int_equal(web_setup_token(rig->store, &token, NULL), 0);
    body = cm_asprintf("token=%s&name=" USER "&password=correct+horse+battery&"
                       "password2=correct+horse+battery",
                       token);
    open_post(rig, "/setup", "", body, &reply);
    assert_status(&reply, 303);
    assert_string_equal(reply_header(&reply, "Location"), "/credentials");
    snprintf(cookie, 200, "%s", cookie_of(&reply));
    reply_fini(&reply);
    cm_free(token);
}

static int status_with(struct rig *rig, const char *cookie)
{
    struct reply reply;
    int status;

    rig_send(rig, false, "GET", "/servers", cookie, NULL, &reply);
    status = reply.status;
    reply_fini(&reply);
    return status;
}

static void test_setup(void **state)
{
    static const struct {
        const char *fields, *message;
    } bad[] = {
        {"name=&password=long+enough+password&password2=long+enough+password", "id=\"name-error\""},
        {"name=a/b&password=long+enough+password&password2=long+enough+password",
         "id=\"name-error\""},
        {"name=bob&password=short&password2=short", "id=\"password-error\""},
        {"name=bob&password=long+enough+password&password2=another+password",
         "id=\"password2-error\""},
        {"name=same-as-the-name&password=same-as-the-name&password2=same-as-the-name",
         "id=\"password-error\""},
    };
    struct rig rig;
    struct reply reply;
    char *token = NULL;
    char key[CM_SHA256_HEX];
    CM_AUTO_STR get = NULL;

    (void)state;
    rig_start(&rig);
    assert_int_equal(web_setup_token(rig.store, &token, NULL), 0);
    get = cm_asprintf("/setup?token=%s", token);
    rig_get(&rig, get, &reply);
    assert_status(&reply, 200);
    assert_has(&reply, "autocomplete=\"new-password\"");
    reply_fini(&reply);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CM_AUTO_STR body = cm_asprintf("token=%s&%s", token, bad[i].fields);

        open_post(&rig, "/setup", "", body, &reply);
        assert_status(&reply, 422);
        assert_has(&reply, bad[i].message);
        assert_has(&reply, "role=\"alert\"");
        assert_has_not(&reply, "long enough password"); /* never sent back */
        reply_fini(&reply);
    }
    CM_AUTO_STR body = cm_asprintf("token=%s&name=bob&password=twelve+chars+ok&"
                                   "password2=twelve+chars+ok",
                                   token);
    cm_sha256_hex(token, strlen(token), key);
    CM_AUTO_JSON record = cs_kv_get(rig.store, "setup", key);
    assert_non_null(record); /* only the hash is a key */
    open_post(&rig, "/setup", "", body, &reply);
    assert_status(&reply, 303);
    assert_int_equal(status_with(&rig, cookie_of(&reply)), 200);
    reply_fini(&reply);
    open_post(&rig, "/setup", "", body, &reply); /* works once */
    assert_status(&reply, 404);
    reply_fini(&reply);
    rig_get(&rig, get, &reply);
    assert_status(&reply, 404);
    reply_fini(&reply);
    CM_AUTO_JSON user = cs_kv_get(rig.store, "user", "bob");
    assert_memory_equal(cm_json_str(user, "argon2"), "$argon2id$v=19$m=65536,t=3,p=1$", 31);
    cm_free(token);
    rig_stop(&rig);
}

static void test_setup_expires_and_is_bounded(void **state)
{
    struct rig rig;
    struct reply reply;
    char *token = NULL;
    int64_t now = cm_now_ms();

    (void)state;
    rig_start(&rig);
    cm_clock_fake(now, 0);
    assert_int_equal(web_setup_token(rig.store, &token, NULL), 0);
    CM_AUTO_STR get = cm_asprintf("/setup?token=%s", token);
    cm_free(token);
    cm_clock_fake(now + SETUP_TOKEN_S * 1000LL - 1000, 0);
    rig_get(&rig, get, &reply);
    assert_status(&reply, 200);
    reply_fini(&reply);
    cm_clock_fake(now + SETUP_TOKEN_S * 1000LL, 0);
    rig_get(&rig, get, &reply);
    assert_status(&reply, 404);
    reply_fini(&reply);
    for (int i = 0; i < SETUP_LINKS_MAX; i++) { /* the expired one does not count */
        assert_int_equal(web_setup_token(rig.store, &token, NULL), 0);
        cm_free(token);
    }
    assert_int_equal(web_setup_token(rig.store, &token, NULL), CM_ELIMIT);
    assert_null(token);
    rig_stop(&rig);
}

static void test_login_and_logout(void **state)
{
    struct rig rig;
    struct reply reply;
    char first[200], second[200], csrf[80];

    (void)state;
    rig_start(&rig);
    set_up(&rig, first);
    open_post(&rig, "/login", first, "name=" USER "&password=correct+horse+battery&next=/status",
              &reply);
    assert_status(&reply, 303);
    assert_string_equal(reply_header(&reply, "Location"), "/status");
    const char *flags = reply_header(&reply, "Set-Cookie");
    assert_memory_equal(flags, "__Host-certmgr=", 15);
    assert_non_null(strstr(flags, "; Path=/; Secure; HttpOnly; SameSite=Strict"));
    assert_null(strstr(flags, "Domain"));
    snprintf(second, sizeof(second), "%s", cookie_of(&reply));
    reply_fini(&reply);
    assert_string_not_equal(first, second);
    assert_int_equal(status_with(&rig, first), 303); /* the old id ended at the login */
    assert_int_equal(status_with(&rig, second), 200);

    rig_send(&rig, false, "GET", "/servers", second, NULL, &reply);
    snprintf(csrf, sizeof(csrf), "csrf=%.43s", strstr(reply.body, "name=\"csrf\" value=\"") + 19);
    reply_fini(&reply);
    open_post(&rig, "/logout", second, csrf, &reply);
    assert_status(&reply, 303);
    assert_non_null(strstr(reply_header(&reply, "Set-Cookie"), "Max-Age=0"));
    reply_fini(&reply);
    assert_int_equal(status_with(&rig, second), 303);
    rig_stop(&rig);
}

/* A planted id is never taken over: the login gives a new one (fixation). */
static void test_fixation(void **state)
{
    static const char planted[] =
        "Cookie: __Host-certmgr=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\n";
    struct rig rig;
    struct reply reply;
    char cookie[200];

    (void)state;
    rig_start(&rig);
    set_up(&rig, cookie);
    open_post(&rig, "/login", planted, "name=" USER "&password=correct+horse+battery", &reply);
    assert_status(&reply, 303);
    assert_null(strstr(reply_header(&reply, "Set-Cookie"), "AAAAAAAAAAAAAAAA"));
    reply_fini(&reply);
    assert_int_equal(status_with(&rig, planted), 303);
    rig_stop(&rig);
}

static void test_next_stays_here(void **state)
{
    static const char *const bad[] = {"//evil.example",      "https://evil.example",
                                      "/\\evil.example",     "javascript:alert(1)",
                                      "/login?next=/login",  "evil",
                                      "/a%0d%0aSet-Cookie:x"};
    struct rig rig;
    struct reply reply;

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig); /* signed in: GET /login goes straight on */
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CM_AUTO_STR target = cm_asprintf("/login?next=%s", bad[i]);

        rig_get(&rig, target, &reply);
        if (reply.status == 400) { /* a backslash does not even pass the parser */
            reply_fini(&reply);
            continue;
        }
        assert_status(&reply, 303);
        assert_string_equal(reply_header(&reply, "Location"), "/credentials");
        reply_fini(&reply);
    }
    rig_send(&rig, false, "GET", "/credentials?view=status", NULL, NULL, &reply);
    assert_string_equal(reply_header(&reply, "Location"),
                        "/login?next=%2Fcredentials%3Fview%3Dstatus");
    reply_fini(&reply);
    rig_send(&rig, false, "GET", "/login?next=%2Fcredentials%3Fview%3Dstatus", NULL, NULL, &reply);
    assert_has(&reply, "name=\"next\" value=\"/credentials?view=status\"");
    reply_fini(&reply);
    rig_stop(&rig);
}

static void try_login(struct rig *rig, const char *name, const char *password, struct reply *reply)
{
    CM_AUTO_STR body = cm_asprintf("name=%s&password=%s", name, password);

    open_post(rig, "/login", "", body, reply);
}

static void test_wrong_password_delays(void **state)
{
    struct rig rig;
    struct reply known, unknown, reply;
    char cookie[200];
    int64_t now = cm_now_ms();

    (void)state;
    rig_start(&rig);
    set_up(&rig, cookie);
    cm_clock_fake(now, 1000000);
    try_login(&rig, USER, "wrong", &known);
    assert_status(&known, 401);
    assert_has(&known, "Name or password is wrong.");
    assert_null(reply_header(&known, "Set-Cookie"));
    try_login(&rig, USER, "correct+horse+battery", &reply); /* too early, though right */
    assert_status(&reply, 429);
    assert_string_equal(reply_header(&reply, "Retry-After"), "1");
    reply_fini(&reply);
    cm_clock_fake(now, 1001000);
    try_login(&rig, "nobody", "wrong", &unknown);
    assert_status(&unknown, 401);
    assert_has(&unknown, "Name or password is wrong.");
    reply_fini(&unknown);
    try_login(&rig, "nobody", "wrong", &reply); /* the address failed twice: 2 s */
    assert_status(&reply, 429);
    assert_string_equal(reply_header(&reply, "Retry-After"), "2");
    reply_fini(&reply);
    cm_clock_fake(now, 1003000);
    try_login(&rig, USER, "correct+horse+battery", &reply);
    assert_status(&reply, 303);
    reply_fini(&reply);
    try_login(&rig, USER, "wrong", &reply); /* counted from the start again */
    assert_status(&reply, 401);
    reply_fini(&reply);
    reply_fini(&known);
    rig_stop(&rig);
}

static void test_throttle(void **state)
{
    struct web_throttle *throttle = web_throttle_new();
    int64_t expected = 1000;
    int64_t mono = 5000;

    (void)state;
    cm_clock_fake(1, mono);
    for (int i = 0; i < 12; i++) {
        web_throttle_failed(throttle, "alice", "192.0.2.1:1000");
        assert_int_equal(web_throttle_wait(throttle, "alice", "198.51.100.7:5"), expected);
        assert_int_equal(web_throttle_wait(throttle, "bob", "192.0.2.1:2000"), expected);
        assert_int_equal(web_throttle_wait(throttle, "bob", "198.51.100.7:5"), 0);
        mono += expected;
        cm_clock_fake(1, mono);
        assert_int_equal(web_throttle_wait(throttle, "alice", "192.0.2.1:1"), 0);
        expected = expected * 2 < THROTTLE_MAX_MS ? expected * 2 : THROTTLE_MAX_MS;
    }
    web_throttle_failed(throttle, "carol", "[2001:db8::1]:9");
    assert_int_equal(web_throttle_wait(throttle, "x", "[2001:db8::ffff]:1"), 1000); /* same /64 */
    assert_int_equal(web_throttle_wait(throttle, "x", "[2001:db8:0:1::1]:1"), 0);
    web_throttle_passed(throttle, "carol", "[2001:db8::1]:9");
    assert_int_equal(web_throttle_wait(throttle, "carol", "[2001:db8::1]:9"), 0);
    web_throttle_failed(throttle, "alice", "192.0.2.1:1");
    cm_clock_fake(1, mono + THROTTLE_FORGET_MS + 1);
    web_throttle_failed(throttle, "alice", "192.0.2.1:1"); /* forgotten: from the start */
    assert_int_equal(web_throttle_wait(throttle, "alice", "192.0.2.1:1"), 1000);
    for (int i = 0; i < 3 * THROTTLE_ENTRIES; i++) { /* bounded: the oldest makes room */
        char name[32];

        snprintf(name, sizeof(name), "user%d", i);
        web_throttle_failed(throttle, name, "203.0.113.9:1");
    }
    assert_true(web_throttle_wait(throttle, "user3071", "-") > 0);
    web_throttle_free(throttle);
    cm_clock_fake(-1, -1);
}

static void test_sessions_end(void **state)
{
    struct rig rig;
    int64_t now = cm_now_ms();

    (void)state;
    rig_start(&rig);
    cm_clock_fake(now, 1);
    rig_sign_in(&rig);
    cm_clock_fake(now + WEB_SESSION_IDLE_S * 1000LL, 1);
    assert_int_equal(status_with(&rig, rig.cookie), 200);
    cm_clock_fake(now + 2 * WEB_SESSION_IDLE_S * 1000LL, 1); /* the last use counts */
    assert_int_equal(status_with(&rig, rig.cookie), 200);
    cm_clock_fake(now + 3 * WEB_SESSION_IDLE_S * 1000LL + 1, 1);
    assert_int_equal(status_with(&rig, rig.cookie), 303); /* idle */
    cm_clock_fake(now, 1);
    assert_int_equal(status_with(&rig, rig.cookie), 303); /* and gone for good */

    rig_sign_in(&rig);
    for (int64_t at = 0; at <= WEB_SESSION_MAX_S; at += WEB_SESSION_IDLE_S) {
        cm_clock_fake(now + at * 1000, 1);
        assert_int_equal(status_with(&rig, rig.cookie), 200);
    }
    cm_clock_fake(now + WEB_SESSION_MAX_S * 1000LL + 1, 1);
    assert_int_equal(status_with(&rig, rig.cookie), 303); /* absolute */
    cm_clock_fake(now, 1);
    rig_sign_in(&rig);
    assert_int_equal(cs_kv_del(rig.store, "user", USER, NULL), 0);
    assert_int_equal(status_with(&rig, rig.cookie), 303); /* the user is gone */
    rig_stop(&rig);
}

static int count_one(void *arg, const char *key, const json_t *value)
{
    (void)key;
    (void)value;
    (*(int *)arg)++;
    return 0;
}

static void test_sessions_are_bounded(void **state)
{
    struct rig rig;
    char cookie[SESSION_COOKIE_MAX];
    int count = 0;
    int64_t now = cm_now_ms();

    (void)state;
    rig_start(&rig);
    cm_clock_fake(now, 1);
    rig_sign_in(&rig);                               /* the oldest */
    for (int i = 0; i < WEB_SESSIONS_MAX - 5; i++) { /* as web_session_start() keeps them */
        CM_AUTO_JSON record = json_pack("{s:s}", "user", USER);
        CM_AUTO_STR key = cm_asprintf("%064x", i);
        cm_json_set_time(record, "created_at", now + i + 1);
        cm_json_set_time(record, "seen_at", now + i + 1);
        assert_int_equal(cs_kv_put(rig.store, "session", key, record, NULL), 0);
    }
    for (int i = WEB_SESSIONS_MAX - 5; i < WEB_SESSIONS_MAX + 5; i++) {
        cm_clock_fake(now + i + 1, 1);
        assert_int_equal(web_session_start(rig.store, USER, cookie, NULL), 0);
    }
    cs_kv_each(rig.store, "session", "", count_one, &count);
    assert_int_equal(count, WEB_SESSIONS_MAX);
    assert_int_equal(status_with(&rig, rig.cookie), 303);
    web_session_end_all(rig.store, USER);
    count = 0;
    cs_kv_each(rig.store, "session", "", count_one, &count);
    assert_int_equal(count, 0);
    rig_stop(&rig);
}

/* Using a set-up link for a name that exists: new password, other sessions end. */
static void test_new_password(void **state)
{
    struct rig rig;
    char first[200], second[200];

    (void)state;
    rig_start(&rig);
    set_up(&rig, first);
    set_up(&rig, second);
    assert_int_equal(status_with(&rig, first), 303);
    assert_int_equal(status_with(&rig, second), 200);
    rig_stop(&rig);
}

static int finished, closed;

static void count_done(void *arg, bool matches, const char *encoded, const struct cm_err *err)
{
    (void)arg;
    (void)encoded;
    assert_false(matches);
    if (err && err->code == CM_ECLOSED)
        closed++;
    finished++;
}

static void test_hashing_is_bounded(void **state)
{
    struct cm_loop *loop = cm_loop_new();
    struct web_passwords *pool = web_passwords_new(loop);
    struct cm_err err = CM_ERR_INIT;

    (void)state;
    finished = closed = 0;
    for (int i = 0; i < WEB_LOGIN_JOBS_MAX + PASSWORD_QUEUE_MAX; i++)
        assert_int_equal(web_password_check(pool, "x", NULL, count_done, NULL, NULL), 0);
    assert_int_equal(web_password_check(pool, "x", NULL, count_done, NULL, &err), CM_EBUSY);
    assert_int_equal(web_password_hash(pool, "x", count_done, NULL, NULL), CM_EBUSY);
    cm_err_fini(&err);
    while (finished == 0)
        cm_loop_turn(loop, true);
    assert_int_equal(web_password_check(pool, "x", NULL, count_done, NULL, NULL), 0);
    web_passwords_free(pool); /* what waits ends now, what runs ends when it is done */
    assert_true(closed >= PASSWORD_QUEUE_MAX - 1);
    while (finished < WEB_LOGIN_JOBS_MAX + PASSWORD_QUEUE_MAX + 1)
        cm_loop_turn(loop, true);
    cm_loop_free(loop);
}

/* Clients that go away in the middle of a login leave nothing behind (LeakSanitizer looks). */
static void test_vanished_clients(void **state)
{
    struct rig rig;
    struct reply reply;

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    for (int i = 0; i < 5; i++)
        rig_send_and_vanish(&rig, "POST", "/login", SAME FORM, "name=a&password=b");
    CM_AUTO_STR headers = cm_asprintf("%s" SAME FORM, rig.cookie);
    CM_AUTO_STR body = cm_asprintf("csrf=%s&host_names=a.example", rig.csrf);
    rig_send_and_vanish(&rig, "POST", "/credentials", headers, body);
    rig_get(&rig, "/livez", &reply);
    assert_status(&reply, 200);
    reply_fini(&reply);
    rig_stop(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_setup),
        cmocka_unit_test(test_setup_expires_and_is_bounded),
        cmocka_unit_test(test_login_and_logout),
        cmocka_unit_test(test_fixation),
        cmocka_unit_test(test_next_stays_here),
        cmocka_unit_test(test_wrong_password_delays),
        cmocka_unit_test(test_throttle),
        cmocka_unit_test(test_sessions_end),
        cmocka_unit_test(test_sessions_are_bounded),
        cmocka_unit_test(test_new_password),
        cmocka_unit_test(test_hashing_is_bounded),
        cmocka_unit_test(test_vanished_clients),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
