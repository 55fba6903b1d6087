/* Pages: what they show, what a form keeps after errors, and that nothing typed becomes markup. */
#include "tests/unit/web/rig.h"

#define EVIL         "\"><script>alert('x')</script>&"
#define EVIL_FORM    "%22%3E%3Cscript%3Ealert(%27x%27)%3C%2Fscript%3E%26"
#define EVIL_ESCAPED "&quot;&gt;&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;"

#define REFRESH "<noscript><meta http-equiv=\"refresh\" content=\"3\"></noscript>"

static size_t count_of(const char *text, const char *needle)
{
    size_t count = 0;

    for (const char *p = strstr(text, needle); p; p = strstr(p + 1, needle))
        count++;
    return count;
}

static void test_errors_keep_values(void **state)
{
    struct rig rig;
    struct reply reply;

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    rig_account(&rig, "pebble");
    doubles.field_errors = json_pack("[{s:s, s:s, s:s}, {s:s, s:s}]", "field", "host_names",
                                     "value", "-bad.example", "message", "begins with a hyphen",
                                     "field", "servers", "message", "choose at least one");
    rig_post(&rig, "/credentials",
             "host_names=ok.example%0A-bad.example&provider=acme&account=pebble&key_type=RSA-2048&"
             "servers=bravo.example.net&keyring_file=mine.kyr&renew_days=77&target=web",
             &reply);
    assert_status(&reply, 422);
    assert_has(&reply, "ok.example\n-bad.example</textarea>");
    assert_has(&reply, "<option value=\"RSA-2048\" selected>");
    assert_has(&reply, "name=\"servers\" value=\"bravo.example.net\" checked>");
    assert_has(&reply, "name=\"servers\" value=\"alpha.example.net\">");
    assert_has(&reply, "value=\"mine.kyr\"");
    assert_has(&reply, "value=\"77\"");
    assert_has(&reply, "value=\"web\"");
    /* the summary links to the fields, the fields point at their errors */
    assert_has(&reply, "<a href=\"#host_names\">");
    assert_has(&reply, "<a href=\"#servers\">");
    assert_has(&reply, "id=\"host_names-error\"");
    assert_has(&reply, "aria-describedby=\"host_names-hint host_names-error\"");
    assert_has(&reply, "aria-describedby=\"servers-hint servers-error\"");
    assert_has(&reply, "aria-invalid=\"true\"");
    assert_int_equal(count_of(reply.body, "begins with a hyphen"), 2);
    reply_fini(&reply);

    int calls = doubles.calls;
    rig_post(&rig, "/credentials", "host_names=a.example&renew_days=soon", &reply);
    assert_status(&reply, 422);
    assert_has(&reply, "id=\"renew_days-error\"");
    assert_has(&reply, "value=\"soon\"");
    assert_has(&reply, "begins with a hyphen"); /* together with the engine's */
    assert_int_equal(doubles.calls, calls);
    reply_fini(&reply);
    rig_stop(&rig);
}

/* Everything typed into every form comes back escaped. */
static void test_xss_in_forms(void **state)
{
    static const struct {
        const char *path, *body;
        size_t fields; /* shown again */
    } forms[] = {
        {"/credentials",
         "host_names=" EVIL_FORM "&provider=" EVIL_FORM "&account=" EVIL_FORM "&key_type=" EVIL_FORM
         "&servers=" EVIL_FORM "&keyring_file=" EVIL_FORM "&renew_days=" EVIL_FORM
         "&target=" EVIL_FORM,
         4},
        {"/accounts",
         "name=" EVIL_FORM "&directory=" EVIL_FORM "&contacts=" EVIL_FORM "&ca_pem=" EVIL_FORM
         "&http_port=" EVIL_FORM,
         5},
        {"/servers", "name=" EVIL_FORM, 1},
    };
    struct rig rig;
    struct reply reply;

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    doubles.field_errors =
        json_pack("[{s:s, s:s, s:s}]", "field", EVIL, "value", EVIL, "message", EVIL);
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        cm_err_fini(&doubles.fail);
        cm_fail(&doubles.fail, CM_EINVAL, "%s", EVIL);
        rig_post(&rig, forms[i].path, forms[i].body, &reply);
        assert_true(reply.status >= 400);
        assert_has_not(&reply, "<script");
        assert_has_not(&reply, "alert('x')");
        assert_true(count_of(reply.body, EVIL_ESCAPED) >= forms[i].fields);
        reply_fini(&reply);
    }
    rig_send(&rig, false, "GET", "/login?next=/" EVIL_FORM, NULL, NULL, &reply);
    assert_has_not(&reply, "<script");
    reply_fini(&reply);
    rig_get(&rig, "/credentials?domain=" EVIL_FORM, &reply);
    assert_has_not(&reply, "<script");
    reply_fini(&reply);
    rig_get(&rig, "/" EVIL_FORM, &reply);
    assert_has_not(&reply, "<script");
    reply_fini(&reply);
    rig_stop(&rig);
}

/* Every string of every document that a page shows. */
static json_t *evil_view(void)
{
    CM_AUTO_JSON error =
        json_pack("{s:s, s:s, s:s, s:[s], s:s, s:{s:s}, s:i, s:s}", "code", EVIL, "object", EVIL,
                  "what", EVIL, "causes", EVIL, "hint", EVIL, "problem", "detail", EVIL, "attempts",
                  3, "next_attempt_at", EVIL);
    json_t *credential = json_object();
    static const char *const texts[] = {
        "provider",     "account",      "key_type",      "target",     "keyring_file",
        "requested_by", "fingerprint",  "issuer",        "not_before", "not_after",
        "status",       "requested_at", "next_action_at"};
    static const char *const lists[] = {"host_names", "host_names_ascii", "servers", "san",
                                        "san_unicode"};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        cm_json_set_str(credential, texts[i], EVIL);
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
        cm_json_set(credential, lists[i], json_pack("[s]", EVIL));
    cm_json_set(credential, "error", json_deep_copy(error));
    cm_json_set(credential, "health", json_pack("{s:s, s:[s]}", "color", EVIL, "causes", EVIL));
    return json_pack("{s:o, s:{s:s}, s:[{s:s, s:s, s:s, s:s, s:O}], s:[{s:s, s:s, s:s, s:s}], s:s}",
                     "credential", credential, "request", "at", EVIL, "receipts", "server", EVIL,
                     "state", EVIL, "fingerprint", EVIL, "at", EVIL, "error", error, "steps", "at",
                     EVIL, "level", EVIL, "text", EVIL, "server", EVIL, "next", EVIL);
}

static void test_xss_in_documents(void **state)
{
    static const char *const pages[] = {("/credentials/" ULID), "/servers", "/status",
                                        "/credentials/new"};
    struct rig rig;
    struct reply reply;

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    doubles.view = evil_view();
    doubles.server[1].name = EVIL;
    doubles.server[1].url = "javascript:alert('x')";
    doubles.server[1].ui_url = EVIL;
    json_decref(doubles.defaults);
    doubles.defaults = json_pack("{s:s, s:s, s:s, s:[s]}", "keyring_file", EVIL, "target", EVIL,
                                 "account", EVIL, "servers", EVIL);
    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
        rig_get(&rig, pages[i], &reply);
        assert_status(&reply, 200);
        assert_has_not(&reply, "<script>");
        assert_has_not(&reply, "href=\"javascript");
        assert_int_equal(count_of(reply.body, "<script"), i == 0 ? 1 : 0); /* our module */
        reply_fini(&reply);
    }
    rig_get(&rig, pages[0], &reply);
    assert_true(count_of(reply.body, EVIL_ESCAPED) >= 25);
    reply_fini(&reply);
    rig_stop(&rig);
}

static json_t *issued_view(const char *receipt_state)
{
    json_t *view = json_pack(
        "{s:{s:s, s:[s], s:[s], s:[s], s:s, s:s, s:s, s:[s], s:[s]}, s:{}, s:[], s:[{s:s, s:s, "
        "s:s}], s:s}",
        "credential", "status", "issued", "host_names", "日本語.example", "host_names_ascii",
        "xn--wgv71a119e.example", "servers", "bravo.example.net", "fingerprint",
        "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff", "not_after",
        "2030-01-01T00:00:00.000Z", "issuer", "CN=Pebble Intermediate", "san",
        "xn--wgv71a119e.example", "san_unicode", "日本語.example", "request", "receipts", "steps",
        "at", "2026-11-22T02:16:42.123Z", "level", "warn", "text", "TXT value removed at <a>",
        "next", "Renewal on 2029-12-02");

    if (receipt_state)
        json_array_append_new(
            cm_json_arr(view, "receipts"),
            json_pack("{s:s, s:s, s:s, s:s}", "server", "bravo.example.net", "state", receipt_state,
                      "at", "2026-11-22T02:17:00.000Z", "fingerprint",
                      "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"));
    return view;
}

/* What comes next, and why, in the reader's language; times as everywhere; what has no code stays
 * English and says so. */
static void test_told(void **state)
{
    struct rig rig;
    struct reply reply;

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    doubles.view = issued_view("failed");
    cm_json_set(doubles.view, "next_told",
                json_pack("{s:s, s:s, s:s, s:{s:s, s:s, s:i, s:s}}", "code", "renewal", "text",
                          "Next: renewal", "at", "2029-12-02T00:00:00.000Z", "why", "code",
                          "before_expiry", "text", "30 days before expiry", "count", 30, "unit",
                          "days"));
    cm_json_set(cm_json_obj(doubles.view, "credential"), "health",
                json_pack("{s:s, s:[s, s], s:[{s:s, s:s, s:s, s:s}, {s:s, s:s}]}", "color",
                          "yellow", "causes", "a", EVIL, "told", "code", "deployment_failed",
                          "text", "the deployment on bravo.example.net failed: no reason given",
                          "server", "bravo.example.net", "what", EVIL, "code", "other", "text",
                          EVIL));
    rig_get(&rig, "/credentials/" ULID, &reply);
    assert_has(&reply, "<p>Next: renewal <time datetime=\"2029-12-02T00:00:00.000Z\">");
    assert_has(&reply, "2029-12-02 00:00 UTC");
    assert_has(&reply, "(30 days before expiry)</p>");
    assert_has(&reply, "The deployment on bravo.example.net failed: " EVIL_ESCAPED);
    assert_has(&reply, "<p><span lang=\"en\">" EVIL_ESCAPED "</span></p>");
    assert_has_not(&reply, "<script>");
    reply_fini(&reply);
    CM_AUTO_STR headers = cm_asprintf("%sAccept-Language: ja\r\n", rig.cookie);
    rig_send(&rig, false, "GET", "/credentials/" ULID, headers, NULL, &reply);
    assert_has(&reply, "<p>次の処理: 更新 <time datetime=\"2029-12-02T00:00:00.000Z\">");
    assert_has(&reply, "(有効期限の 30 日前)</p>");
    assert_has(&reply, "<p>bravo.example.net への配布に失敗しました: 理由は示されていません</p>");
    assert_has(&reply, "<p>&lt;a&gt; の TXT 値を削除しました</p>"); /* the step log */
    assert_has_not(&reply, "Next: renewal");
    reply_fini(&reply);
    rig_stop(&rig);
}

static void test_detail(void **state)
{
    struct rig rig;
    struct reply reply;

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    doubles.view = issued_view("served");
    rig_get(&rig, "/credentials/" ULID, &reply);
    assert_status(&reply, 200);
    assert_has(&reply, "日本語.example");
    assert_has(&reply, "<code>xn--wgv71a119e.example</code>");
    assert_has(&reply, "Issued");
    assert_has(&reply, "Served on the wire");
    assert_has(&reply, "0011223344556677</code>");
    assert_has(&reply, "CN=Pebble Intermediate");
    assert_has(&reply, "datetime=\"2026-11-22T02:16:42.123Z\"");
    assert_has(&reply, "2026-11-22 02:16:42 UTC");
    assert_has(&reply, "TXT value removed at &lt;a&gt;");
    assert_has(&reply, "Renewal on 2029-12-02");
    assert_has_not(&reply, "http-equiv=\"refresh\""); /* at rest */
    assert_has(&reply, "data-events=\"/api/v1/credentials/" ULID "/events\"");
    assert_has(&reply, "<script type=\"module\" src=\"/assets/live.");
    reply_fini(&reply);
    rig_send(&rig, false, "GET", "/credentials/" ULID, NULL, NULL, &reply);
    assert_status(&reply, 303); /* not without login */
    reply_fini(&reply);
    rig_stop(&rig);
}

static void test_refresh_while_in_motion(void **state)
{
    static const struct {
        const char *status, *receipt;
        bool moves;
    } rows[] = {
        {"pending", NULL, true},       {"waiting", NULL, true},        {"renew", "served", true},
        {"issued", NULL, true},        {"issued", "replicated", true}, {"issued", "opened", true},
        {"issued", "deployed", false}, {"issued", "served", false},    {"issued", "failed", false},
        {"error", NULL, false},        {"expired", NULL, false},       {"revoked", NULL, false},
    };
    struct rig rig;
    struct reply reply;

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        json_decref(doubles.view);
        doubles.view = issued_view(rows[i].receipt);
        cm_json_set_str(cm_json_obj(doubles.view, "credential"), "status", rows[i].status);
        rig_get(&rig, "/credentials/" ULID, &reply);
        assert_int_equal(strstr(reply.body, REFRESH) != NULL, rows[i].moves);
        assert_null(reply_header(&reply, "Refresh")); /* would fight with the module */
        reply_fini(&reply);
        rig_get(&rig, "/credentials/" ULID "?live=0", &reply);
        assert_has_not(&reply, REFRESH); /* a person can stop it (WCAG 2.2.2) */
        reply_fini(&reply);
    }
    rig_stop(&rig);
}

static void test_error_object_and_retry(void **state)
{
    struct rig rig;
    struct reply reply;

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    doubles.view = issued_view(NULL);
    cm_json_set_str(cm_json_obj(doubles.view, "credential"), "status", "error");
    cm_json_set(cm_json_obj(doubles.view, "credential"), "error",
                json_pack("{s:s, s:s, s:[s], s:s, s:{s:s, s:s}, s:i, s:s}", "code", "peer", "what",
                          "The order was refused", "causes", "the CA could not reach port 80",
                          "hint", "Open port 80", "problem", "type",
                          "urn:ietf:params:acme:error:connection", "detail",
                          "Fetching <b>: refused", "attempts", 2, "next_attempt_at",
                          "2030-01-01T00:00:00.000Z"));
    rig_get(&rig, "/credentials/" ULID, &reply);
    assert_has(&reply, "The order was refused");
    assert_has(&reply, "the CA could not reach port 80");
    assert_has(&reply, "Open port 80");
    assert_has(&reply, "urn:ietf:params:acme:error:connection");
    assert_has(&reply, "Fetching &lt;b&gt;: refused");
    assert_has(&reply, "datetime=\"2030-01-01T00:00:00.000Z\"");
    assert_has(&reply, "action=\"/credentials/" ULID "/retry\"");
    reply_fini(&reply);
    rig_post(&rig, "/credentials/" ULID "/retry", "", &reply);
    assert_status(&reply, 303);
    assert_string_equal(reply_header(&reply, "Location"), "/credentials/" ULID);
    assert_string_equal(doubles.name, ULID);
    reply_fini(&reply);
    cm_fail(&doubles.fail, CM_ENOENT, "there is no credential %s", ULID);
    rig_post(&rig, "/credentials/" ULID "/retry", "", &reply);
    assert_status(&reply, 404);
    assert_has(&reply, "there is no credential");
    reply_fini(&reply);
    rig_stop(&rig);
}

/* Names that the CA refused can be left out: offered as a form, never done. */
static void test_issue_without(void **state)
{
    struct rig rig;
    struct reply reply;
    json_t *credential;

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    doubles.view = issued_view(NULL);
    credential = cm_json_obj(doubles.view, "credential");
    cm_json_set_str(credential, "status", "error");
    cm_json_set(credential, "host_names",
                json_pack("[s, s, s]", "good.example", "日本語.example", "*.bad.example"));
    cm_json_set(credential, "host_names_ascii",
                json_pack("[s, s, s]", "good.example", "xn--wgv71a119e.example", "*.bad.example"));
    cm_json_set(credential, "error",
                json_pack("{s:s, s:s, s:[s, s]}", "code", "peer", "what", "The order was refused",
                          "names", "xn--wgv71a119e.example", "*.bad.example"));
    rig_get(&rig, "/credentials/" ULID, &reply);
    assert_has(&reply, "href=\"/credentials/" ULID "/edit?without=refused\"");
    assert_has(&reply, "<bdi>*.bad.example</bdi>");
    reply_fini(&reply);
    rig_get(&rig, "/credentials/" ULID "/edit?without=refused", &reply);
    assert_status(&reply, 200);
    assert_has(&reply, ">\ngood.example\n</textarea>");
    assert_has(&reply, "Nothing changes until you save");
    reply_fini(&reply);
    rig_get(&rig, "/credentials/" ULID "/edit", &reply); /* the usual form has them all */
    assert_has(&reply, "日本語.example\n*.bad.example\n</textarea>");
    reply_fini(&reply);
    /* all of them: nothing would remain */
    cm_json_set(cm_json_obj(credential, "error"), "names",
                json_pack("[s, s, s]", "good.example", "xn--wgv71a119e.example", "*.bad.example"));
    rig_get(&rig, "/credentials/" ULID, &reply);
    assert_has_not(&reply, "without=refused");
    reply_fini(&reply);
    rig_get(&rig, "/credentials/" ULID "/edit?without=refused", &reply);
    assert_has(&reply, "good.example\n日本語.example\n*.bad.example\n</textarea>");
    reply_fini(&reply);
    rig_stop(&rig);
}

static void test_renewal_by_hand(void **state)
{
    struct rig rig;
    struct reply reply;

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    rig_post(&rig, "/credentials/" ULID "/renew", "new_key=1", &reply);
    assert_status(&reply, 303);
    assert_string_equal(reply_header(&reply, "Location"), "/credentials/" ULID);
    assert_string_equal(doubles.name, ULID);
    assert_true(doubles.new_key);
    reply_fini(&reply);
    rig_post(&rig, "/credentials/nope/renew", "", &reply);
    assert_status(&reply, 404);
    reply_fini(&reply);
    /* several, one of them twice: a row per name */
    doubles.calls = 0;
    rig_post(&rig, "/credentials/renew",
             "view=expiry&id=" ULID "&id=01J00000000000000000000009&id=" ULID "&id=..%2Fx", &reply);
    assert_status(&reply, 303);
    assert_string_equal(reply_header(&reply, "Location"), "/credentials?view=expiry&renewed=2");
    assert_int_equal(doubles.calls, 2);
    assert_false(doubles.new_key);
    reply_fini(&reply);
    rig_get(&rig, "/credentials?view=expiry&renewed=2", &reply);
    assert_has(&reply, "Renewal asked for: 2");
    assert_has(&reply, "CAs limit how many they issue");
    reply_fini(&reply);
    rig_get(&rig, "/credentials?view=expiry&renewed=<b>", &reply);
    assert_status(&reply, 200);
    assert_has_not(&reply, "Renewal asked for");
    reply_fini(&reply);
    rig_post(&rig, "/credentials/renew", "view=nope", &reply);
    assert_string_equal(reply_header(&reply, "Location"), "/credentials?view=host&renewed=0");
    reply_fini(&reply);
    cm_fail(&doubles.fail, CM_ENOENT, "there is no credential %s", ULID);
    rig_post(&rig, "/credentials/renew", "id=" ULID, &reply);
    assert_status(&reply, 404);
    reply_fini(&reply);
    rig_stop(&rig);
}

static void test_edit(void **state)
{
    static const char *const change =
        "base_serial=77&host_names=a.example%0Ab.example&provider=acme&account=pebble"
        "&key_type=P-384&keyring_file=a.kyr&target=&alternate_chain=&renew_days=9"
        "&key_rollover=every_renewal&paused=1&servers=alpha.example.net"
        "&challenge=tls-alpn-01&profile=shortlived&profile_required=1";
    struct rig rig;
    struct reply reply;

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    rig_account(&rig, "pebble");
    rig_get(&rig, "/credentials/" ULID "/edit", &reply);
    assert_status(&reply, 404); /* nothing of that name */
    reply_fini(&reply);
    doubles.view = issued_view("served");
    cm_json_set_int(json_object_get(doubles.view, "credential"), "serial", 77);
    rig_get(&rig, "/credentials/" ULID, &reply);
    assert_has(&reply, "href=\"/credentials/" ULID "/edit\"");
    reply_fini(&reply);
    rig_get(&rig, "/credentials/" ULID "/edit", &reply);
    assert_status(&reply, 200);
    assert_has(&reply, "action=\"/credentials/" ULID "/edit\"");
    assert_has(&reply, "name=\"base_serial\" value=\"77\"");
    assert_has(&reply, "日本語.example\n");
    reply_fini(&reply);
    rig_post(&rig, "/credentials/" ULID "/edit", change, &reply);
    assert_status(&reply, 303);
    assert_string_equal(reply_header(&reply, "Location"), "/credentials/" ULID);
    assert_string_equal(doubles.name, ULID);
    assert_int_equal(doubles.base_serial, 77);
    assert_true(cm_json_bool(doubles.fields, "paused", false));
    assert_string_equal(cm_json_str(doubles.fields, "key_rollover"), "every_renewal");
    assert_string_equal(cm_json_str(doubles.fields, "challenge"), "tls-alpn-01");
    assert_string_equal(cm_json_str(doubles.fields, "profile"), "shortlived");
    assert_true(cm_json_bool(doubles.fields, "profile_required", false));
    assert_string_equal(cm_json_str(doubles.fields, "target"), ""); /* taken away */
    assert_int_equal(cm_json_int(doubles.fields, "renew_days", 0), 9);
    reply_fini(&reply);
    /* another change was first: what was typed stays, and saving again is a decision */
    cm_fail(&doubles.fail, CM_ECONFLICT, "somebody else was faster");
    cm_json_set_int(json_object_get(doubles.view, "credential"), "serial", 78);
    rig_post(&rig, "/credentials/" ULID "/edit", change, &reply);
    assert_status(&reply, 409);
    assert_has(&reply, "somebody else was faster");
    assert_has(&reply, "a.example\nb.example");
    assert_has(&reply, "name=\"base_serial\" value=\"78\"");
    reply_fini(&reply);
    rig_post(&rig, "/credentials/" ULID "/edit", "host_names=a.example", &reply);
    assert_status(&reply, 400); /* without the version looked at */
    reply_fini(&reply);
    rig_stop(&rig);
}

static char *ulid_number(int i)
{
    return cm_asprintf("01J0000000000000000000%04d", i);
}

static void test_list_pages(void **state)
{
    struct rig rig;
    struct reply reply;

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    rig_get(&rig, "/credentials", &reply);
    assert_has(&reply, "No TLS Credentials yet");
    reply_fini(&reply);
    for (int i = 0; i < 120; i++) {
        CM_AUTO_STR ulid = ulid_number(i);
        CM_AUTO_STR host = cm_asprintf("h%03d.example.com", i);

        rig_credential(&rig, ulid, host, i % 2 ? "issued" : "error",
                       i % 2 ? "2030-01-01T00:00:00.000Z" : NULL, "bravo.example.net");
    }
    rig_credential(&rig, "01J00000000000000000009999", "www.example.com2.net", "issued", NULL,
                   "bravo.example.net");
    size_t seen = 0, pages = 0;
    CM_AUTO_STR target = cm_strdup("/credentials?view=host&domain=example.com");
    while (target) {
        rig_get(&rig, target, &reply);
        assert_status(&reply, 200);
        assert_has_not(&reply, "example.com2");
        seen += count_of(reply.body, "<th scope=\"row\">");
        pages++;
        const char *next = strstr(reply.body, "rel=\"next\"");
        cm_free(target);
        target = NULL;
        if (next) {
            const char *href = next;
            while (strncmp(href, "href=\"", 6) != 0)
                href--;
            target = cm_strndup(href + 6, strcspn(href + 6, "\""));
            for (char *amp = strstr(target, "&amp;"); amp; amp = strstr(amp + 1, "&amp;"))
                memmove(amp + 1, amp + 5, strlen(amp + 5) + 1);
        }
        reply_fini(&reply);
    }
    assert_int_equal(seen, 120);
    assert_int_equal(pages, 3);
    rig_get(&rig, "/credentials?view=expiry", &reply);
    assert_int_equal(count_of(reply.body, "<th scope=\"row\">"), 50);
    reply_fini(&reply);
    rig_get(&rig, "/credentials?view=server", &reply);
    assert_has(&reply, "<td>bravo.example.net</td>");
    reply_fini(&reply);
    rig_get(&rig, "/credentials?view=status", &reply);
    assert_has(&reply, "tone-bad");
    reply_fini(&reply);
    rig_stop(&rig);
}

static void test_status_and_languages(void **state)
{
    struct rig rig;
    struct reply reply;

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    rig_get(&rig, "/status", &reply);
    assert_has(&reply, "challenge&lt;b&gt;");
    assert_has(&reply, "0.0.0.0:80");
    assert_has(&reply, "<html lang=\"en\">");
    assert_has(&reply, "<a class=\"skip\" href=\"#main\">");
    assert_has(&reply, "<main id=\"main\"");
    reply_fini(&reply);
    CM_AUTO_STR headers = cm_asprintf("%sAccept-Language: ja-JP,ja;q=0.9,en;q=0.8\r\n", rig.cookie);
    rig_send(&rig, false, "GET", "/credentials/new", headers, NULL, &reply);
    assert_has(&reply, "<html lang=\"ja\">");
    assert_has(&reply, "要求の送信");
    assert_has(&reply, "アクセスできるサーバー");
    reply_fini(&reply);
    rig_stop(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_errors_keep_values),
        cmocka_unit_test(test_xss_in_forms),
        cmocka_unit_test(test_xss_in_documents),
        cmocka_unit_test(test_told),
        cmocka_unit_test(test_detail),
        cmocka_unit_test(test_refresh_while_in_motion),
        cmocka_unit_test(test_error_object_and_retry),
        cmocka_unit_test(test_issue_without),
        cmocka_unit_test(test_renewal_by_hand),
        cmocka_unit_test(test_edit),
        cmocka_unit_test(test_list_pages),
        cmocka_unit_test(test_status_and_languages),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
