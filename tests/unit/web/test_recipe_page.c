/* Recipes of DNS providers: pages and API, the upload with and without a file, hosts that have to
 * be confirmed, text from outside. */
#include "tests/unit/web/rig.h"

#define TYPE "Content-Type: multipart/form-data; boundary=x7\r\n"
#define EVIL "<script>alert(1)</script>"
#define API  "/api/v1/dns-providers"
#define GOOD "{\"schema\":1,\"id\":\"own\"}"
#define HEAD "Content-Disposition: form-data; name="

/* The stored recipe "own", used by "office". */
static void own(void)
{
    doubles.recipe = json_pack(
        "{s:s,s:s,s:s,s:b,s:b,s:b,s:[{s:s,s:s}],s:[],s:[s],s:[{s:s,s:[s]}],s:{s:b,s:i,s:[s]},"
        "s:{s:i,s:s,s:i}}",
        "name", "own", "title", "Own " EVIL, "docs", "javascript:alert(1)", "unverified", 1,
        "stored", 1, "shipped", 0, "credentials", "name", "token", "title", EVIL, "options",
        "reach", "api.example", "used_by", "name", "office", "lacks", "key", "lint", "ok", 1,
        "tests", 2, "lines", "test <b>: passed", "recipe", "schema", 1, "id", EVIL, "revision", 7);
    assert_non_null(doubles.recipe);
}

static void widen(void)
{
    doubles.widens =
        json_pack("[{s:s,s:[s,s]}]", "account", "office", "hosts", "evil.example", "worse.example");
    doubles.fail.code = CM_ECONFLICT;
    snprintf(doubles.fail.what, sizeof(doubles.fail.what), "This recipe would send them away");
}

/* Sends the form as a browser does; parts: the text between its boundaries. */
static void upload(struct rig *rig, const char *token, const char *parts, struct reply *reply)
{
    CM_AUTO_STR headers = cm_asprintf("%s" SAME TYPE, rig->cookie);
    CM_AUTO_STR body =
        cm_asprintf("--x7\r\n" HEAD "\"csrf\"\r\n\r\n%s\r\n%s--x7--\r\n", token, parts);

    rig_send(rig, false, "POST", "/dns-recipes", headers, body, reply);
}

#define PART(name, text) "--x7\r\n" HEAD "\"" name "\"\r\n\r\n" text "\r\n"
#define FILE_PART(text)                                                                            \
    "--x7\r\n" HEAD "\"file\"; filename=\"a.json\"\r\nContent-Type: application/json\r\n\r\n" text \
    "\r\n"

static void pages_show_it_as_text(void **state)
{
    struct rig rig;
    struct reply reply;

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    own();
    rig_get(&rig, "/dns-recipes", &reply);
    assert_status(&reply, 200);
    assert_has(&reply, "href=\"/dns-recipes/own\"");
    assert_has(&reply, "href=\"/dns-accounts/office\"");
    assert_has(&reply, "unverified");
    assert_has_not(&reply, EVIL);
    reply_fini(&reply);
    rig_get(&rig, "/dns-recipes/own", &reply);
    assert_status(&reply, 200);
    assert_has_not(&reply, EVIL);
    assert_has(&reply, "&quot;id&quot;: &quot;&lt;script&gt;");
    assert_has_not(&reply, "href=\"javascript");
    assert_has(&reply, "test &lt;b&gt;: passed");
    assert_has(&reply, "</svg>unverified</span>");
    assert_has(&reply, "with 2 recorded tests");
    assert_has(&reply, "api.example");
    assert_has(&reply, "lacks key");
    assert_has_not(&reply, "action=\"/dns-recipes/own/remove\""); /* it is used */
    reply_fini(&reply);
    rig_get(&rig, "/dns-recipes/own/edit", &reply);
    assert_status(&reply, 200);
    assert_has(&reply, "&lt;script&gt;");
    assert_has_not(&reply, EVIL);
    assert_has(&reply, "enctype=\"multipart/form-data\"");
    reply_fini(&reply);
    rig_get(&rig, "/dns-recipes/nobody", &reply);
    assert_status(&reply, 404);
    reply_fini(&reply);
    rig_get(&rig, "/dns-recipes/nobody/edit", &reply);
    assert_status(&reply, 404);
    reply_fini(&reply);
    rig_get(&rig, "/dns-recipes/new", &reply);
    assert_has(&reply, "type=\"file\"");
    assert_has(&reply, "name=\"recipe\"");
    reply_fini(&reply);
    rig_stop(&rig);
}

static void a_form_stores(void **state)
{
    struct rig rig;
    struct reply reply;

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    /* As text, without a script and without a file; the name is the recipe's. */
    upload(&rig, rig.csrf, PART("name", "") FILE_PART("") PART("recipe", GOOD), &reply);
    assert_status(&reply, 303);
    assert_string_equal(reply_header(&reply, "Location"), "/dns-recipes/own");
    assert_string_equal(doubles.name, "own");
    assert_string_equal(doubles.who, USER);
    assert_int_equal(cm_json_int(doubles.fields, "schema", 0), 1);
    reply_fini(&reply);
    /* A file counts, not the text. */
    upload(&rig, rig.csrf, PART("name", "other") FILE_PART("{\"schema\":2}") PART("recipe", GOOD),
           &reply);
    assert_status(&reply, 303);
    assert_string_equal(doubles.name, "other");
    assert_int_equal(cm_json_int(doubles.fields, "schema", 0), 2);
    reply_fini(&reply);
    /* The plain form of other programs. */
    rig_post(&rig, "/dns-recipes", "name=third&recipe=%7B%22schema%22%3A3%7D", &reply);
    assert_status(&reply, 303);
    assert_int_equal(doubles.calls, 3);
    reply_fini(&reply);
    rig_stop(&rig);
}

static void nothing_bad_is_stored(void **state)
{
    static const struct {
        const char *parts, *text;
        int status;
    } rows[] = {
        {PART("recipe", " \r\n"), "Choose a file", 422},
        {PART("recipe", "{\r\n\"a\":<b>}"), "JSON does not parse (line 2, column", 422},
        {PART("recipe", "{\"id\":\"<b>\"}"), "recipe x: /steps/&lt;b&gt;: wrong", 422},
        {PART("recipe", "{}") PART("check", "1"), "It does not pass.", 422},
        {PART("recipe", GOOD) PART("check", "1"), "It passes, with 1 recorded tests.", 200},
        {PART("name", "own") PART("recipe", GOOD), "There is one of this name already", 409},
        {PART("name", "own") PART("version", "0000") PART("recipe", GOOD), "Somebody else has",
         409},
    };
    struct rig rig;
    struct reply reply;

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    own();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        upload(&rig, rig.csrf, rows[i].parts, &reply);
        assert_status(&reply, rows[i].status);
        assert_has(&reply, rows[i].text);
        assert_has_not(&reply, "<b>");
        if (rows[i].status == 422)
            assert_has(&reply, "id=\"recipe-error\"");
        reply_fini(&reply);
    }
    upload(&rig, "wrong", PART("name", "x") PART("recipe", GOOD), &reply);
    assert_status(&reply, 403);
    reply_fini(&reply);
    CM_AUTO_STR headers = cm_asprintf("%s" SAME TYPE, rig.cookie);
    rig_send(&rig, false, "POST", "/dns-recipes", headers, PART("recipe", GOOD), &reply); /* cut */
    assert_status(&reply, 400);
    reply_fini(&reply);
    rig_send(&rig, false, "POST", "/dns-accounts", headers, PART("csrf", "") "--x7--", &reply);
    assert_status(&reply, 415); /* other forms have no file */
    reply_fini(&reply);
    assert_int_equal(doubles.calls, 0);
    rig_stop(&rig);
}

static void limits_hold(void **state)
{
    struct rig rig;
    struct reply reply;
    size_t size = (128u << 10) + 1;
    char *text = cm_malloc(size + 1);

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    memset(text, ' ', size);
    memcpy(text, GOOD, strlen(GOOD));
    text[size] = '\0';
    CM_AUTO_STR more = cm_asprintf(FILE_PART("%s"), text);
    upload(&rig, rig.csrf, more, &reply);
    assert_status(&reply, 422);
    assert_has(&reply, "It has more than 128 KiB.");
    reply_fini(&reply);
    text[size - 1] = '\0';
    CM_AUTO_STR most = cm_asprintf(FILE_PART("%s") PART("name", "x"), text);
    upload(&rig, rig.csrf, most, &reply);
    assert_status(&reply, 303);
    reply_fini(&reply);
    CM_AUTO_STR four = cm_asprintf(PART("a", "%s") PART("b", "%s") PART("c", "%s") PART("d", "%s"),
                                   text, text, text, text);
    upload(&rig, rig.csrf, four, &reply);
    assert_status(&reply, 413);
    reply_fini(&reply);
    cm_free(text);
    rig_stop(&rig);
}

/* The box names accounts and hosts; only what is confirmed in it goes on to the engine. */
static void new_hosts_need_the_box(void **state)
{
    struct rig rig;
    struct reply reply;

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    widen();
    upload(&rig, rig.csrf, PART("name", "mine") FILE_PART(GOOD), &reply);
    assert_status(&reply, 409);
    assert_int_equal(json_array_size(doubles.confirmed), 0);
    assert_has(&reply, "Secrets would go to new hosts");
    assert_has(&reply, ">office</a>");
    assert_has(&reply, "name=\"confirm_hosts\" value=\"evil.example,worse.example\"");
    assert_has_not(&reply, "checked");
    assert_has(&reply, "&quot;schema&quot;:1"); /* the file is kept as text */
    reply_fini(&reply);
    cm_err_fini(&doubles.fail);
    upload(&rig, rig.csrf,
           PART("name", "mine") PART("recipe", GOOD)
               PART("confirm_hosts", "evil.example,worse.example"),
           &reply);
    assert_status(&reply, 303);
    assert_int_equal(json_array_size(doubles.confirmed), 2);
    assert_true(cm_json_has_str(doubles.confirmed, "worse.example"));
    reply_fini(&reply);
    rig_stop(&rig);
}

static void removing_needs_the_version(void **state)
{
    struct rig rig;
    struct reply reply;

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    own();
    json_array_clear(cm_json_arr(doubles.recipe, "used_by"));
    rig_get(&rig, "/dns-recipes/own", &reply);
    assert_has(&reply, "action=\"/dns-recipes/own/remove\"");
    const char *at = strstr(reply.text, "name=\"version\" value=\"");
    assert_non_null(at);
    CM_AUTO_STR good =
        cm_asprintf("sure=1&version=%.32s", at + strlen("name=\"version\" value=\""));
    reply_fini(&reply);
    rig_post(&rig, "/dns-recipes/own/remove", "sure=1&version=0", &reply);
    assert_status(&reply, 409);
    assert_int_equal(doubles.calls, 0);
    reply_fini(&reply);
    rig_post(&rig, "/dns-recipes/own/remove", good + strlen("sure=1&"), &reply);
    assert_status(&reply, 422);
    assert_has(&reply, "id=\"sure-error\"");
    assert_has(&reply, "Confirm that this recipe is to be removed.");
    assert_int_equal(doubles.calls, 0);
    reply_fini(&reply);
    rig_post(&rig, "/dns-recipes/own/remove", good, &reply);
    assert_status(&reply, 303);
    assert_string_equal(doubles.name, "own");
    reply_fini(&reply);
    doubles.fail.code = CM_ECONFLICT;
    snprintf(doubles.fail.what, sizeof(doubles.fail.what), "Recipe own is used by one");
    rig_post(&rig, "/dns-recipes/own/remove", good, &reply);
    assert_status(&reply, 409);
    assert_has(&reply, "used by one");
    reply_fini(&reply);
    rig_post(&rig, "/dns-recipes/nobody/remove", "version=", &reply);
    assert_status(&reply, 404);
    reply_fini(&reply);
    rig_stop(&rig);
}

static unsigned times_in(const char *text, const char *part)
{
    unsigned count = 0;
    for (; (text = strstr(text, part)) != NULL; text++)
        count++;
    return count;
}

/* The tile of what is chosen, and no other: of the kind, of a recipe, and after a refusal. */
static void the_chosen_kind_is_marked(void **state)
{
    static const char *const rows[][2] = {
        {"/dns-accounts/new", "?kind=rfc2136\" aria-current=\"true\">"},
        {"/dns-accounts/new?kind=manual", "?kind=manual\" aria-current=\"true\">"},
        {"/dns-accounts/new?kind=recipe&provider=own",
         "?kind=recipe&amp;provider=own\" aria-current=\"true\">"},
    };
    struct rig rig;
    struct reply reply;

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    own();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        rig_get(&rig, rows[i][0], &reply);
        assert_has(&reply, rows[i][1]);
        assert_int_equal(times_in(reply.text, "aria-current=\"true\""), 1);
        reply_fini(&reply);
    }
    rig_stop(&rig);
}

static void removing_an_account_wants_a_word(void **state)
{
    struct rig rig;
    struct reply reply;

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    rig_get(&rig, "/dns-accounts/spare", &reply);
    assert_has(&reply, "name=\"sure\"");
    reply_fini(&reply);
    rig_post(&rig, "/dns-accounts/spare/remove", "", &reply);
    assert_status(&reply, 422);
    assert_has(&reply, "id=\"sure-error\"");
    assert_has(&reply, "Confirm that this DNS account is to be removed.");
    assert_int_equal(doubles.calls, 0);
    reply_fini(&reply);
    rig_post(&rig, "/dns-accounts/spare/remove", "sure=1", &reply);
    assert_status(&reply, 303);
    assert_string_equal(doubles.name, "spare");
    reply_fini(&reply);
    rig_post(&rig, "/dns-accounts/nobody/remove", "", &reply);
    assert_status(&reply, 404);
    reply_fini(&reply);
    rig_stop(&rig);
}

static void api(struct rig *rig, const char *method, const char *tail, const char *match,
                const char *body, struct reply *reply)
{
    CM_AUTO_STR headers =
        cm_asprintf("%s" SAME JSON "%s%s%s", rig->cookie, match ? "If-Match: " : "",
                    match ? match : "", match ? "\r\n" : "");
    CM_AUTO_STR path = cm_asprintf(API "%s", tail);

    rig_send(rig, false, method, path, headers, body, reply);
}

static void the_api_is_conditional(void **state)
{
    struct rig rig;
    struct reply reply;

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    api(&rig, "PUT", "/mine", NULL, GOOD, &reply);
    assert_int_equal(doubles.calls, 1); /* a new one needs no tag */
    reply_fini(&reply);
    own();
    api(&rig, "GET", "/own", NULL, NULL, &reply);
    assert_status(&reply, 200);
    assert_has(&reply, "\"reach\":[\"api.example\"]");
    CM_AUTO_STR tag = cm_strdup(reply_header(&reply, "ETag"));
    reply_fini(&reply);
    api(&rig, "PUT", "/own", NULL, GOOD, &reply);
    assert_status(&reply, 428);
    reply_fini(&reply);
    api(&rig, "PUT", "/own", "\"00000000000000000000000000000000\"", GOOD, &reply);
    assert_status(&reply, 412);
    reply_fini(&reply);
    assert_int_equal(doubles.calls, 1);
    api(&rig, "PUT", "/own", tag, GOOD, &reply);
    assert_status(&reply, 200);
    reply_fini(&reply);
    widen();
    api(&rig, "PUT", "/own?confirm_hosts=a.example,b.example", tag, GOOD, &reply);
    assert_status(&reply, 409);
    assert_has(&reply, "application/problem+json");
    assert_has(&reply, "secrets of DNS account office would go to worse.example");
    assert_int_equal(json_array_size(doubles.confirmed), 2);
    reply_fini(&reply);
    doubles.fail.code = CM_EINVAL;
    snprintf(doubles.fail.object, sizeof(doubles.fail.object), "/steps/add");
    snprintf(doubles.fail.what, sizeof(doubles.fail.what), "recipe own: /steps/add: wrong");
    api(&rig, "PUT", "/own", tag, GOOD, &reply);
    assert_status(&reply, 422);
    assert_has(&reply, "\"pointer\":\"#/steps/add\"");
    reply_fini(&reply);
    cm_err_fini(&doubles.fail);
    api(&rig, "DELETE", "/own", NULL, NULL, &reply);
    assert_status(&reply, 428);
    reply_fini(&reply);
    api(&rig, "DELETE", "/own", tag, NULL, &reply);
    assert_status(&reply, 204);
    reply_fini(&reply);
    api(&rig, "DELETE", "/nobody", tag, NULL, &reply);
    assert_status(&reply, 404);
    reply_fini(&reply);
    int calls = doubles.calls;
    api(&rig, "POST", "/lint", NULL, "{}", &reply);
    assert_status(&reply, 200);
    assert_has(&reply, "\"ok\":false");
    assert_int_equal(doubles.calls, calls);
    reply_fini(&reply);
    rig_stop(&rig);
}

/* Nobody who is not signed in sees or does anything. */
static void strangers_are_sent_away(void **state)
{
    struct rig rig;
    struct reply reply;

    (void)state;
    rig_start(&rig);
    own();
    rig_get(&rig, "/dns-recipes/own", &reply);
    assert_status(&reply, 303);
    reply_fini(&reply);
    api(&rig, "PUT", "/own", "*", GOOD, &reply);
    assert_status(&reply, 401);
    reply_fini(&reply);
    api(&rig, "DELETE", "/own", "*", NULL, &reply);
    assert_status(&reply, 401);
    reply_fini(&reply);
    upload(&rig, "", PART("recipe", GOOD), &reply);
    assert_status(&reply, 303);
    assert_has(&reply, "/login");
    reply_fini(&reply);
    assert_int_equal(doubles.calls, 0);
    rig_stop(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_show_it_as_text),
        cmocka_unit_test(a_form_stores),
        cmocka_unit_test(nothing_bad_is_stored),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(new_hosts_need_the_box),
        cmocka_unit_test(removing_needs_the_version),
        cmocka_unit_test(the_chosen_kind_is_marked),
        cmocka_unit_test(removing_an_account_wants_a_word),
        cmocka_unit_test(the_api_is_conditional),
        cmocka_unit_test(strangers_are_sent_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
