/* Pages of administration: servers, ACME accounts, settings, sessions. */
#include "tests/unit/web/rig.h"

#include "web-ui/ctx.h"
#include "web-ui/pages/choices.h"
#include "web-ui/presets.h"
#include "web-ui/user.h"

static json_t *two_signers(void *arg)
{
    (void)arg;
    return json_pack("{s:i, s:[s,s], s:{s:s, s:i, s:i}}", "threshold", 2, "signers", "alpha",
                     "beta", "proposal", "what", "<b>another role", "have", 1, "need", 2);
}

static void test_root_signers(void **state)
{
    struct rig rig;
    struct reply reply;

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    rig.web->env.power = (struct web_power){.show = two_signers};
    rig_get(&rig, "/servers", &reply);
    assert_has(&reply, "<dd>alpha, beta</dd>");
    assert_has(&reply, "<dd>2</dd>");
    assert_has(&reply, "&lt;b&gt;another role (1/2)");
    assert_has(&reply, "certmgr trust sign FILE");
    reply_fini(&reply);
    rig_stop(&rig);
}

static void test_servers(void **state)
{
    struct rig rig;
    struct reply reply;

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    rig_get(&rig, "/servers", &reply);
    assert_has(&reply, "alpha.example.net");
    assert_has(&reply, "this server");
    assert_has(&reply, "Removed");
    assert_has(&reply, "https://alpha.example.net:8444");
    reply_fini(&reply);
    rig_post(&rig, "/servers", "name=delta.example.net", &reply);
    assert_status(&reply, 200);
    assert_has(&reply, "certmgr join join-token-0123456789");
    assert_has(&reply, "delta.example.net");
    assert_string_equal(reply_header(&reply, "Cache-Control"), "no-store");
    assert_string_equal(doubles.name, "delta.example.net");
    reply_fini(&reply);
    cm_fail(&doubles.fail, CM_ECONFLICT, "the name is taken");
    rig_post(&rig, "/servers", "name=alpha.example.net", &reply);
    assert_status(&reply, 409);
    assert_has(&reply, "the name is taken");
    assert_has(&reply, "value=\"alpha.example.net\"");
    reply_fini(&reply);
    /* a fleet too large for check boxes gets a text area */
    static char names[DOUBLE_SERVERS][32];
    for (doubles.server_count = 0; doubles.server_count < FORM_SERVER_BOXES + 1;
         doubles.server_count++) {
        snprintf(names[doubles.server_count], 32, "s%zu.example", doubles.server_count);
        doubles.server[doubles.server_count] =
            (struct kf_server){.name = names[doubles.server_count]};
    }
    rig_get(&rig, "/credentials/new", &reply);
    assert_has(&reply, "<textarea id=\"servers\"");
    reply_fini(&reply);
    rig_stop(&rig);
}

static void test_server_removal(void **state)
{
    struct rig rig;
    struct reply reply;

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    rig_credential(&rig, ULID, "www.example.com", "issued", NULL, "bravo.example.net");
    rig_get(&rig, "/servers", &reply);
    assert_has(&reply, "href=\"/servers/bravo.example.net/remove\"");
    assert_has_not(&reply, "href=\"/servers/alpha.example.net/remove\"");   /* the manager */
    assert_has_not(&reply, "href=\"/servers/charlie.example.net/remove\""); /* removed */
    reply_fini(&reply);
    rig_get(&rig, "/servers/bravo.example.net/remove", &reply);
    assert_status(&reply, 200);
    assert_has(&reply, "Remove bravo.example.net from the fleet?");
    assert_has(&reply, "<a href=\"/credentials/" ULID "\">www.example.com</a>");
    reply_fini(&reply);
    rig_post(&rig, "/servers/bravo.example.net/remove", "", &reply);
    assert_status(&reply, 303);
    assert_string_equal(reply_header(&reply, "Location"), "/servers");
    assert_string_equal(doubles.name, "bravo.example.net");
    reply_fini(&reply);
    cm_fail(&doubles.fail, CM_EBUSY, "another change is under way");
    rig_post(&rig, "/servers/bravo.example.net/remove", "", &reply);
    assert_status(&reply, 503);
    assert_has(&reply, "another change is under way");
    reply_fini(&reply);
    int calls = doubles.calls;
    rig_post(&rig, "/servers/nobody/remove", "", &reply);
    assert_status(&reply, 404);
    assert_int_equal(doubles.calls, calls);
    reply_fini(&reply);
    rig_stop(&rig);
}

/* Value of the hidden field "version" of a page. */
static char *version_of(const struct reply *reply)
{
    const char *at = strstr(reply->body, "name=\"version\" value=\"");

    assert_non_null(at);
    at += strlen("name=\"version\" value=\"");
    return cm_strndup(at, strcspn(at, "\""));
}

static void test_account_list(void **state)
{
    struct rig rig;
    struct reply reply;

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    rig_get(&rig, "/accounts", &reply);
    assert_has(&reply, "No ACME account yet");
    reply_fini(&reply);
    rig_account(&rig, "pebble");
    rig_get(&rig, "/accounts", &reply);
    assert_has(&reply, "<a href=\"/accounts/pebble\">pebble</a>");
    assert_has(&reply, "ops@example.com");
    assert_has_not(&reply, "c2VjcmV0");
    reply_fini(&reply);
    rig_stop(&rig);
}

static void test_account_presets(void **state)
{
    struct rig rig;
    struct reply reply;

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    for (size_t i = 0; i < acme_preset_count; i++) {
        CM_AUTO_STR path = cm_asprintf("/accounts/new?preset=%s", acme_presets[i].name);
        CM_AUTO_STR value = cm_asprintf("value=\"%s\"", acme_presets[i].directory);
        CM_AUTO_STR terms = cm_asprintf("<a href=\"%s\"", acme_presets[i].terms);

        rig_get(&rig, path, &reply);
        assert_has(&reply, value);
        assert_has(&reply, terms);
        reply_fini(&reply);
    }
    rig_get(&rig, "/accounts/new?preset=other", &reply);
    assert_has_not(&reply, "value=\"https://");
    reply_fini(&reply);
    rig_stop(&rig);
}

static void test_account_new(void **state)
{
    struct rig rig;
    struct reply reply;

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    rig_account(&rig, "pebble");
    rig_post(&rig, "/accounts",
             "name=le&directory=https://ca.example/dir&contacts=a@example.com%0Ab@example.com&"
             "ca_pem=&http_port=5002&tls_port=5001&challenge=tls-alpn-01&terms_agreed=1&"
             "activation=ocsp&activation_s=900",
             &reply);
    assert_status(&reply, 303);
    reply_fini(&reply);
    assert_string_equal(cm_json_str(doubles.fields, "activation"), "ocsp");
    assert_int_equal(cm_json_int(doubles.fields, "activation_s", 0), 900);
    assert_int_equal(json_array_size(cm_json_arr(doubles.fields, "contacts")), 2);
    assert_int_equal(cm_json_int(doubles.fields, "http_port", 0), 5002);
    assert_int_equal(cm_json_int(doubles.fields, "tls_port", 0), 5001);
    assert_string_equal(cm_json_str(doubles.fields, "challenge"), "tls-alpn-01");
    assert_true(cm_json_bool(doubles.fields, "terms_agreed", false));
    assert_false(cm_json_bool(doubles.fields, "self_check", true));
    assert_null(json_object_get(doubles.fields, "ca_pem"));
    int calls = doubles.calls;
    rig_post(&rig, "/accounts",
             "name=le&directory=&http_port=0&tls_port=x&challenge=tls-alpn-01&activation=delay&"
             "activation_s=86401",
             &reply);
    assert_status(&reply, 422);
    assert_has(&reply, "id=\"activation_s-error\"");
    assert_has(&reply, "<option value=\"delay\" selected");
    assert_has(&reply, "id=\"directory-error\"");
    assert_has(&reply, "id=\"http_port-error\"");
    assert_has(&reply, "id=\"tls_port-error\"");
    assert_has(&reply, "<option value=\"tls-alpn-01\" selected");
    assert_has(&reply, "id=\"terms_agreed-error\"");
    assert_has(&reply, "value=\"le\"");
    reply_fini(&reply);
    /* A new account never replaces one that is there. */
    rig_post(&rig, "/accounts", "name=pebble&directory=https://x/&terms_agreed=1", &reply);
    assert_status(&reply, 409);
    assert_has(&reply, "There is one of this name already");
    assert_has(&reply, "<input id=\"name\" name=\"name\"");
    assert_int_equal(doubles.calls, calls);
    reply_fini(&reply);
    /* What the engine refuses stands at its field. */
    cm_fail(&doubles.fail, CM_EINVAL, "contacts: \"x\" is no mail address");
    rig_post(&rig, "/accounts", "name=le&directory=https://x/&contacts=x&terms_agreed=1", &reply);
    assert_status(&reply, 422);
    assert_has(&reply, "<a href=\"#contacts\">");
    assert_has(&reply, "id=\"contacts-error\"");
    reply_fini(&reply);
    rig_stop(&rig);
}

static void test_account_edit(void **state)
{
    struct rig rig;
    struct reply reply;

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    rig_account(&rig, "pebble");
    rig_get(&rig, "/accounts/none", &reply);
    assert_status(&reply, 404);
    reply_fini(&reply);
    rig_get(&rig, "/accounts/pebble", &reply);
    assert_status(&reply, 200);
    assert_has(&reply, "value=\"https://ca.example/dir\"");
    assert_has(&reply, "\nops@example.com</textarea>");
    assert_has(&reply, "type=\"hidden\" name=\"name\" value=\"pebble\"");
    CM_AUTO_STR version = version_of(&reply);
    reply_fini(&reply);
    CM_AUTO_STR body = cm_asprintf(
        "name=pebble&version=%s&directory=https://ca.example/new&terms_agreed=1", version);
    rig_post(&rig, "/accounts", body, &reply);
    assert_status(&reply, 303);
    assert_string_equal(cm_json_str(doubles.fields, "directory"), "https://ca.example/new");
    reply_fini(&reply);
    /* Somebody else was faster: nothing is lost on either side. */
    rig_account(&rig, "pebble");
    int calls = doubles.calls;
    rig_post(&rig, "/accounts", body, &reply);
    assert_status(&reply, 409);
    assert_has(&reply, "Somebody else has changed it");
    assert_has(&reply, "value=\"https://ca.example/new\"");
    assert_int_equal(doubles.calls, calls);
    reply_fini(&reply);
    rig_stop(&rig);
}

static void test_settings(void **state)
{
    struct rig rig;
    struct reply reply;

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    rig_account(&rig, "pebble");
    rig_get(&rig, "/settings", &reply);
    assert_status(&reply, 200);
    assert_has(&reply, "<option value=\"pebble\" selected>pebble</option>");
    assert_has(&reply, "value=\"keyfile.kyr\"");
    assert_has(&reply, "name=\"servers\" value=\"bravo.example.net\">");
    CM_AUTO_STR version = version_of(&reply);
    reply_fini(&reply);
    CM_AUTO_STR body = cm_asprintf("version=%s&provider=acme&account=pebble&key_type=RSA-2048&"
                                   "servers=bravo.example.net&keyring_file=a.kyr&renew_days=20",
                                   version);
    rig_post(&rig, "/settings", body, &reply);
    assert_status(&reply, 303);
    reply_fini(&reply);
    assert_string_equal(cm_json_str(doubles.fields, "key_type"), "RSA-2048");
    assert_int_equal(cm_json_int(doubles.fields, "renew_days", 0), 20);
    assert_true(cm_json_has_str(cm_json_arr(doubles.fields, "servers"), "bravo.example.net"));
    assert_null(json_object_get(doubles.fields, "host_names"));
    int calls = doubles.calls;
    cm_json_set_int(doubles.defaults, "renew_days", 31);
    rig_post(&rig, "/settings", body, &reply);
    assert_status(&reply, 409);
    assert_has(&reply, "Somebody else has changed it");
    assert_has(&reply, "value=\"20\"");
    reply_fini(&reply);
    rig_post(&rig, "/settings", "renew_days=soon", &reply);
    assert_status(&reply, 422);
    assert_has(&reply, "id=\"renew_days-error\"");
    assert_int_equal(doubles.calls, calls);
    reply_fini(&reply);
    rig_stop(&rig);
}

/* The other one, by its button; neither a second time nor somebody else's. */
static void end_one_of_them(struct rig *rig, const char *other_line)
{
    struct reply reply;
    char foreign[SESSION_COOKIE_MAX], path[128], key[CM_SHA256_HEX];

    rig_get(rig, "/sessions", &reply);
    const char *at = strstr(reply.body, "action=\"/sessions/");
    while (at && strncmp(at, "action=\"/sessions/end\"", 22) == 0)
        at = strstr(at + 1, "action=\"/sessions/");
    assert_non_null(at);
    snprintf(path, sizeof(path), "%.*s", (int)strcspn(at + 8, "\""), at + 8);
    assert_null(strstr(at + 1, "action=\"/sessions/")); /* this one has none */
    reply_fini(&reply);
    rig_post(rig, path, "", &reply);
    assert_status(&reply, 303);
    assert_string_equal(reply_header(&reply, "Location"), "/sessions");
    reply_fini(&reply);
    rig_send(rig, false, "GET", "/servers", other_line, NULL, &reply);
    assert_status(&reply, 303);
    assert_string_equal(reply_header(&reply, "Location"), "/login?next=%2Fservers");
    reply_fini(&reply);
    rig_get(rig, "/servers", &reply);
    assert_status(&reply, 200);
    reply_fini(&reply);
    rig_post(rig, path, "", &reply);
    assert_status(&reply, 404);
    reply_fini(&reply);
    assert_int_equal(web_session_start(rig->store, "somebody", foreign, NULL), 0);
    CM_AUTO_STR id = cm_strndup(strchr(foreign, '=') + 1, SESSION_ID_TEXT - 1);
    cm_sha256_hex(id, strlen(id), key);
    snprintf(path, sizeof(path), "/sessions/%s/end", key);
    rig_post(rig, path, "", &reply);
    assert_status(&reply, 404);
    CM_AUTO_JSON kept = cs_kv_get(rig->store, "session", key);
    assert_non_null(kept);
    reply_fini(&reply);
}

/* Somebody else is signed out everywhere; we stay, and nobody is not found. */
static void test_sessions_of_others(void **state)
{
    struct rig rig;
    struct reply reply;
    char theirs[SESSION_COOKIE_MAX];

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    rig_get(&rig, "/sessions", &reply);
    assert_null(strstr(reply.body, "/sessions/end-user")); /* nobody else */
    reply_fini(&reply);
    assert_int_equal(web_user_put(rig.store, "grace", "$argon2id$x", NULL), 0);
    rig_get(&rig, "/sessions", &reply);
    assert_has(&reply, "<th scope=\"row\">grace</th><td>0</td>");
    assert_null(strstr(reply.body, "/sessions/end-user"));
    reply_fini(&reply);
    for (int i = 0; i < 2; i++)
        assert_int_equal(web_session_start(rig.store, "grace", theirs, NULL), 0);
    CM_AUTO_STR line = cm_asprintf("Cookie: %.*s\r\n", (int)strcspn(theirs, ";"), theirs);
    rig_send(&rig, false, "GET", "/servers", line, NULL, &reply);
    assert_status(&reply, 200);
    reply_fini(&reply);
    rig_get(&rig, "/sessions", &reply);
    assert_has(&reply, "<th scope=\"row\">grace</th><td>2</td>");
    assert_has(&reply, "name=\"user\" value=\"grace\"");
    assert_has(&reply, "aria-label=\"End all sessions: grace\"");
    assert_null(strstr(reply.body, "name=\"user\" value=\"" USER "\""));
    reply_fini(&reply);
    rig_post(&rig, "/sessions/end-user", "user=nobody", &reply);
    assert_status(&reply, 404);
    reply_fini(&reply);
    rig_post(&rig, "/sessions/end-user", "user=grace", &reply);
    assert_status(&reply, 303);
    assert_string_equal(reply_header(&reply, "Location"), "/sessions");
    reply_fini(&reply);
    rig_send(&rig, false, "GET", "/servers", line, NULL, &reply);
    assert_status(&reply, 303);
    reply_fini(&reply);
    rig_get(&rig, "/servers", &reply);
    assert_status(&reply, 200);
    reply_fini(&reply);
    rig_stop(&rig);
}

static void test_sessions(void **state)
{
    struct rig rig;
    struct reply reply;
    char other[SESSION_COOKIE_MAX];

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    assert_int_equal(web_session_start(rig.store, USER, other, NULL), 0);
    CM_AUTO_STR other_line = cm_asprintf("Cookie: %.*s\r\n", (int)strcspn(other, ";"), other);
    rig_get(&rig, "/sessions", &reply);
    assert_status(&reply, 200);
    const char *first = strstr(reply.body, "<tr><th scope=\"row\">");
    assert_non_null(first);
    assert_non_null(strstr(first + 1, "<tr><th scope=\"row\">")); /* two of them */
    assert_has(&reply, "this session");
    reply_fini(&reply);
    end_one_of_them(&rig, other_line);
    assert_int_equal(web_session_start(rig.store, USER, other, NULL), 0);
    CM_AUTO_STR third_line = cm_asprintf("Cookie: %.*s\r\n", (int)strcspn(other, ";"), other);
    rig_send(&rig, false, "GET", "/servers", third_line, NULL, &reply);
    assert_status(&reply, 200);
    reply_fini(&reply);
    rig_post(&rig, "/sessions/end", "", &reply);
    assert_status(&reply, 303);
    assert_string_equal(reply_header(&reply, "Location"), "/login");
    assert_non_null(strstr(reply_header(&reply, "Set-Cookie"), "Max-Age=0"));
    reply_fini(&reply);
    rig_get(&rig, "/servers", &reply);
    assert_status(&reply, 303);
    reply_fini(&reply);
    rig_send(&rig, false, "GET", "/servers", third_line, NULL, &reply);
    assert_status(&reply, 303);
    reply_fini(&reply);
    rig_stop(&rig);
}

static void test_manager_page(void **state)
{
    struct rig rig;
    struct reply reply;

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    rig_get(&rig, "/manager", &reply);
    assert_has(&reply, "Server alpha.example.net is the manager");
    assert_has(&reply, "No server is a standby");
    assert_has_not(&reply, "name=\"confirm\"");
    reply_fini(&reply);
    rig_post(&rig, "/manager", "confirm=1", &reply); /* nothing to promote */
    assert_status(&reply, 303);
    reply_fini(&reply);
    doubles.manager = doubles.server[0].manager = false;
    doubles.server[0].standby = true;
    rig_get(&rig, "/manager", &reply);
    assert_has(&reply, "This server is a standby");
    assert_has(&reply, "name=\"confirm\"");
    reply_fini(&reply);
    rig_post(&rig, "/manager", "lost=1", &reply);
    assert_status(&reply, 422);
    assert_has(&reply, "Confirm that this server is to be the manager");
    reply_fini(&reply);
    rig_get(&rig, "/", &reply);
    assert_string_equal(reply_header(&reply, "Location"), "/manager");
    reply_fini(&reply);
    rig_get(&rig, "/credentials", &reply); /* the manager's */
    assert_status(&reply, 303);
    assert_non_null(strstr(reply_header(&reply, "Location"), "https://"));
    reply_fini(&reply);
    rig_stop(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_root_signers),       cmocka_unit_test(test_servers),
        cmocka_unit_test(test_server_removal),     cmocka_unit_test(test_account_list),
        cmocka_unit_test(test_account_presets),    cmocka_unit_test(test_account_new),
        cmocka_unit_test(test_account_edit),       cmocka_unit_test(test_settings),
        cmocka_unit_test(test_manager_page),       cmocka_unit_test(test_sessions),
        cmocka_unit_test(test_sessions_of_others),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
