/* Replication on the status page: the whole error of a direction, in both languages. */
#include "tests/unit/web/rig.h"

#include "web-ui/ctx.h"

static json_t *view; /* what the port tells */

static json_t *port_replication(void *arg)
{
    (void)arg;
    return json_deep_copy(view);
}

static void start(struct rig *rig, const char *directions)
{
    rig_start(rig);
    rig_sign_in(rig);
    rig->web->env.upstream = (struct web_upstream){.replication = port_replication};
    view = json_pack("{s:{s:s}, s:o, s:[]}", "upstream", "kind", "hub", "directions",
                     json_loads(directions, 0, NULL), "peers");
    assert_non_null(view);
}

static void stop(struct rig *rig)
{
    json_decref(view);
    rig_stop(rig);
}

static void get(struct rig *rig, const char *language, struct reply *ret)
{
    CM_AUTO_STR headers = cm_asprintf("%s" SAME "Accept-Language: %s\r\n", rig->cookie, language);

    rig_send(rig, false, "GET", "/status", headers, NULL, ret);
    assert_status(ret, 200);
}

#define ERROR                                                                                      \
    "{\"code\":\"network\",\"object\":\"peer https://hub.example/db\",\"what\":\"replication "     \
    "(pull) with https://hub.example/db has stopped\",\"causes\":[\"cannot connect to <hub>\"],"   \
    "\"hint\":\"Look at the user's name and password, or at the client certificate\","             \
    "\"attempts\":3,\"next_attempt_at\":\"2126-11-22T04:02:26.000Z\"}"
#define ROW(error)                                                                                 \
    "[{\"direction\":\"pull\",\"state\":\"waiting\",\"last_error_at\":\"2026-11-22T04:01:00."      \
    "000Z\","                                                                                      \
    "\"last_error\":" ERROR error "}]"

static void the_whole_error_is_shown(void **state)
{
    (void)state;
    struct rig rig;
    struct reply page;

    start(&rig, ROW(",\"error\":" ERROR));
    get(&rig, "en", &page);
    assert_has(&page, "What stops this direction: pull");
    assert_has(&page, "replication (pull) with https://hub.example/db has stopped");
    assert_has(&page, "peer https://hub.example/db</dd>");
    assert_has(&page, "cannot connect to &lt;hub&gt;");
    assert_has(&page, "Look at the user&#39;s name and password");
    assert_has(&page, "datetime=\"2126-11-22T04:02:26.000Z\"");
    reply_fini(&page);
    get(&rig, "ja", &page);
    assert_has(&page, "停止している方向: 受信");
    assert_has(&page, "https://hub.example/db とのレプリケーション (受信) が停止しました");
    assert_has(&page, "ユーザー名とパスワード、またはクライアント証明書を確認してください");
    assert_has(&page, "peer https://hub.example/db</dd>");
    assert_has(&page, "datetime=\"2126-11-22T04:02:26.000Z\"");
    reply_fini(&page);
    stop(&rig);
}

static void an_error_that_is_over_says_so(void **state)
{
    (void)state;
    struct rig rig;
    struct reply page;

    start(&rig, ROW(""));
    get(&rig, "en", &page);
    assert_has(&page, "Last error of this direction, over now: pull");
    assert_has_not(&page, "What stops this direction");
    assert_has(&page, "cannot connect to &lt;hub&gt;");
    reply_fini(&page);
    stop(&rig);
    start(&rig, "[{\"direction\":\"push\",\"state\":\"live\"}]");
    get(&rig, "en", &page);
    assert_has_not(&page, "error-object");
    reply_fini(&page);
    stop(&rig);
}

static void the_end_of_the_hubs_certificate_is_coloured(void **state)
{
    (void)state;
    struct rig rig;
    struct reply page;
    json_t *upstream;

    start(&rig, "[]");
    upstream = cm_json_obj(view, "upstream");
    cm_clock_fake(1798000000000, -1); /* 2026-12-23 */
    cm_json_set_str(upstream, "cert_not_after", "2027-01-01T00:00:00.000Z");
    cm_json_set_str(upstream, "cert_health", "green");
    rig_sign_in(&rig);
    get(&rig, "en", &page);
    assert_has(&page, "Client certificate until");
    assert_has(&page, "datetime=\"2027-01-01T00:00:00.000Z\"");
    assert_has_not(&page, "certmgr upstream set");
    reply_fini(&page);
    cm_json_set_str(upstream, "cert_health", "yellow");
    get(&rig, "en", &page);
    assert_has(&page, "notice tone-warn");
    assert_has(&page, "The client certificate for the hub ends soon.");
    reply_fini(&page);
    cm_json_set_str(upstream, "cert_health", "red");
    cm_json_set_str(upstream, "cert_not_after", "2026-12-01T00:00:00.000Z");
    get(&rig, "ja", &page);
    assert_has(&page, "notice tone-bad");
    assert_has(&page, "クライアント証明書の有効期限が切れた");
    reply_fini(&page);
    stop(&rig);
}

/* How far verdicts are decided anew: shown while there is such a pass, hidden before the first. */
static void verdicts_decided_anew_are_shown(void **state)
{
    (void)state;
    struct rig rig;
    struct reply page;

    start(&rig, "[]");
    get(&rig, "en", &page);
    assert_has_not(&page, "Signatures judged anew");
    reply_fini(&page);
    assert_int_equal(cs_rejudge_begin(rig.store, NULL), 0);
    get(&rig, "en", &page);
    assert_has(&page, "Signatures judged anew");
    assert_has(&page, "Of at most");
    reply_fini(&page);
    assert_int_equal(cs_rejudge(rig.store, NULL), 0);
    get(&rig, "ja", &page);
    assert_has(&page, "署名の再判定");
    assert_has(&page, "無効になった版");
    assert_has_not(&page, "最大対象数");
    reply_fini(&page);
    stop(&rig);
}

/* ---- what needs a look ---- */

static json_t *services, *held;

static json_t *port_services(void *arg)
{
    (void)arg;
    return json_deep_copy(services);
}

static json_t *port_hold(void *arg)
{
    (void)arg;
    return json_deep_copy(held);
}

/* The page as this server's services are; text is in it, not_there (or NULL) is not. */
static void look(struct rig *rig, const char *language, const char *now, const char *text,
                 const char *not_there)
{
    struct reply page;

    json_decref(services);
    services = json_loads(now, 0, NULL);
    assert_non_null(services);
    rig->web->env.status = port_services;
    get(rig, language, &page);
    assert_has(&page, text);
    if (not_there)
        assert_has_not(&page, not_there);
    reply_fini(&page);
}

#define WELL "All is well: nothing here needs a look."
#define SILENT(seconds)                                                                            \
    "{\"agent_connected\":true,\"upstream\":{\"kind\":\"manager\",\"pull\":{\"state\":"            \
    "\"waiting\","                                                                                 \
    "\"error\":{\"what\":\"x\"}" seconds "}}}"

static void what_needs_a_look_is_said_first(void **state)
{
    (void)state;
    struct rig rig;

    start(&rig, "[]");
    doubles.trust_expires_ms = cm_now_ms() + 86400000;
    look(&rig, "en", "{\"agent_connected\":true,\"peers\":[{\"peer\":\"b\",\"feed\":true}]}", WELL,
         "tone-bad");
    look(&rig, "en", "{\"agent_connected\":false}", "The key agent is away", WELL);
    look(&rig, "en",
         "{\"listeners\":[{\"name\":\"ui\",\"address\":\"[::]:8443\",\"error\":\"<taken>\"}]}",
         "The port [::]:8443 could not be opened: &lt;taken&gt;", WELL);
    look(
        &rig, "en",
        "{\"peers\":[{\"peer\":\"b\",\"feed\":false,\"lag_seconds\":59},{\"peer\":\"c\",\"feed\":"
        "false},{\"peer\":\"d\",\"feed\":false,\"through\":\"hub\"},{\"peer\":\"e\",\"feed\":false,"
        "\"lag_seconds\":60}]}",
        "Not connected: c, e.", WELL);
    look(&rig, "ja", "{\"task\":{}}", "正常です。", "tone-bad");
    doubles.trust_expires_ms = cm_now_ms();
    look(&rig, "en", "{}", "The trust root has expired", WELL);
    stop(&rig);
    json_decref(services);
    services = NULL;
}

/* A standby shows its own status, for the manager that would show it may be the one that is lost.
 */
static void a_standby_tells_of_a_lost_manager(void **state)
{
    (void)state;
    struct rig rig;
    struct kf_server *self = &doubles.server[0];

    start(&rig, "[]");
    doubles.trust_expires_ms = cm_now_ms() + 86400000;
    doubles.manager = self->manager = false;
    self->standby = true;
    look(&rig, "en", SILENT(",\"lag_seconds\":59"), WELL, "take its place");
    look(&rig, "en", SILENT(",\"lag_seconds\":60"),
         "This standby can take its place: <a href=\"/manager\">", WELL);
    look(&rig, "ja", SILENT(""), "しばらく応答していません", WELL);
    stop(&rig);
    json_decref(services);
    services = NULL;
}

static void the_hold_is_told(void **state)
{
    (void)state;
    struct rig rig;

    start(&rig, "[]");
    doubles.trust_expires_ms = cm_now_ms() + 86400000;
    rig.web->env.care.hold = port_hold;
    held = json_pack("{s:b, s:s, s:[s,s], s:[s]}", "active", 1, "backup_at",
                     "2026-11-22T04:00:00.000Z", "waiting", "<b>", "c", "answered", "d");
    look(&rig, "en", "{}", "<dt>Have not answered</dt><dd>&lt;b&gt;, c</dd>", WELL);
    look(&rig, "ja", "{}", "応答済みのサーバー", "保留は終わり");
    json_object_set_new(held, "active", json_false());
    look(&rig, "en", "{}", "The hold is over", "action=\"/status/hold-release\"");
    json_decref(held);
    held = NULL;
    stop(&rig);
    json_decref(services);
    services = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_whole_error_is_shown),
        cmocka_unit_test(an_error_that_is_over_says_so),
        cmocka_unit_test(verdicts_decided_anew_are_shown),
        cmocka_unit_test(what_needs_a_look_is_said_first),
        cmocka_unit_test(a_standby_tells_of_a_lost_manager),
        cmocka_unit_test(the_hold_is_told),
        cmocka_unit_test(the_end_of_the_hubs_certificate_is_coloured),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
