/* DNS-01 in the engine: accounts, choice per name, people, tests of accounts. */
#include "tests/unit/engine/dns_rig.h"

#include "certmgr/acme/proof.h"

/* ---- accounts -----------------------------------------------------------------------------------
 */

static void keeps_secrets_to_itself(void **state)
{
    struct h *h = *state;
    account(h, "main", "example.com 例え.jp");
    CM_AUTO_JSON view = eng_dns_account_view(h->engine, "main");
    CM_AUTO_STR text = cm_json_dump(view, NULL);
    assert_null(strstr(text, "s3cret"));
    assert_null(strstr(text, "sealed"));
    assert_true(cm_json_has_str(cm_json_arr(view, "secret_names"), "token"));
    assert_true(cm_json_has_str(cm_json_arr(view, "domains_ascii"), "xn--r8jz45g.jp"));
    assert_true(cm_json_bool(view, "unverified", false));
    /* An empty secret keeps what is there, and so does one that is not named. */
    assert_int_equal(put(h, json_pack("{s:s,s:{s:s,s:s}}", "name", "main", "secrets", "token", "",
                                      "more", "m0re")),
                     0);
    assert_int_equal(put(h, json_pack("{s:s,s:b}", "name", "main", "enabled", 1)), 0);
    CM_AUTO_JSON body = h_body(h, "dns-account", "main");
    uint8_t *secrets;
    size_t len;
    const char *sealed = cm_json_str(body, "sealed");
    assert_int_equal(cm_b64_decode(sealed, strlen(sealed), &secrets, &len), 0);
    assert_non_null(strstr((char *)secrets, "s3cret"));
    assert_non_null(strstr((char *)secrets, "m0re"));
    cm_free(secrets);
    /* Another provider gets nothing of it. */
    assert_int_equal(put(h, json_pack("{s:s,s:s}", "name", "main", "kind", "webhook")), 0);
    CM_AUTO_JSON same = h_body(h, "dns-account", "main");
    assert_non_null(cm_json_str(same, "sealed"));
    assert_int_equal(put(h, json_pack("{s:s,s:s}", "name", "main", "kind", "manual")), 0);
    CM_AUTO_JSON other = h_body(h, "dns-account", "main");
    assert_null(cm_json_str(other, "sealed"));
    assert_null(json_object_get(other, "secret_names"));
}

/* Recipes of the program need no storing; a stored one of the same name goes before. */
static void shipped_recipes_are_there(void **state)
{
    struct h *h = *state;
    CM_AUTO_JSON all = eng_dns_recipes(h->engine);
    CM_AUTO_JSON shipped = eng_dns_recipe(h->engine, "cloudflare");
    assert_true(json_array_size(all) >= 14);
    assert_non_null(shipped);
    assert_null(eng_dns_recipe(h->engine, "nobody"));
    json_t *own = json_deep_copy(shipped);
    cm_json_set_str(own, "title", "Ours");
    eng_dns_recipe_put(h->engine, "cloudflare", own, NULL, &actor, h_on_done, h);
    assert_int_equal(h_done(h), 0);
    json_decref(own);
    CM_AUTO_JSON now = eng_dns_recipe(h->engine, "cloudflare");
    CM_AUTO_JSON again = eng_dns_recipes(h->engine);
    assert_string_equal(cm_json_str(now, "title"), "Ours");
    assert_int_equal(json_array_size(again), json_array_size(all));
}

static void refuses_what_cannot_work(void **state)
{
    struct h *h = *state;
    account(h, "main", "example.com");
    static const struct {
        const char *fields, *text;
    } bad[] = {
        {"{\"name\":\"x\",\"kind\":\"nonsense\",\"domains\":\"a.example\"}", "kind: "},
        {"{\"name\":\"x\",\"kind\":\"webhook\",\"domains\":\"a.example\"}", "token: "},
        {"{\"name\":\"x\",\"kind\":\"manual\",\"domains\":\"\"}", "domains: "},
        {"{\"name\":\"x\",\"kind\":\"manual\",\"domains\":\"*.a.example\"}", "domains: "},
        {"{\"name\":\"x\",\"kind\":\"manual\",\"domains\":\"192.0.2.1\"}", "domains: "},
        {"{\"name\":\"x\",\"kind\":\"manual\",\"domains\":\"Example.COM\"}", "account main"},
        {"{\"name\":\"../x\",\"kind\":\"manual\",\"domains\":\"a.example\"}", "name: "},
        {"{\"name\":\"x\",\"kind\":\"manual\",\"domains\":\"a.example\",\"resolvers\":\"x y\"}",
         "resolvers: "},
        {"{\"name\":\"x\",\"kind\":\"manual\",\"domains\":\"a.example\",\"propagation\":"
         "{\"limit_s\":7201}}",
         "limit_s: "},
        {"{\"name\":\"x\",\"kind\":\"manual\",\"domains\":\"a.example\",\"options\":{\"a b\":1}}",
         "options: "},
        {"{\"name\":\"x\",\"kind\":\"recipe\",\"provider\":\"none\",\"domains\":\"a.example\"}",
         "kind: "},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        json_t *fields;
        assert_int_equal(cm_json_parse(bad[i].fields, strlen(bad[i].fields), &fields, NULL), 0);
        if (put(h, fields) != CM_EINVAL || !strstr(h_line(h), bad[i].text))
            fail_msg("%s: %s", bad[i].fields, h_line(h));
    }
    CM_AUTO_JSON none = h_body(h, "dns-account", "x");
    assert_null(none);
}

/* ---- choice -------------------------------------------------------------------------------------
 */

static const char *chosen(struct h *h, const char *name, const struct dns_place *place)
{
    static char text[600];
    CM_AUTO_JSON choice = eng_choose_dns(h->engine, name, place);
    if (!choice)
        return "-";
    snprintf(text, sizeof(text), "%s %s", cm_json_str(choice, "account"),
             cm_json_str(choice, "fqdn"));
    return text;
}

static void longest_domain_decides(void **state)
{
    struct h *h = *state;
    account(h, "wide", "example.com example.net");
    account(h, "deep", "shop.example.com");
    account(h, "target", "acme.example.org");
    account(h, "all", "example.org"); /* before and behind those that are longer */
    account(h, "off", "example.info");
    assert_int_equal(put(h, json_pack("{s:s,s:b}", "name", "off", "enabled", 0)), 0);
    static const struct {
        const char *name, *want;
    } table[] = {
        {"example.com", "wide " OWNER},
        {"*.example.com", "wide " OWNER},
        {"www.example.com", "wide _acme-challenge.www.example.com"},
        {"shop.example.com", "deep _acme-challenge.shop.example.com"},
        {"a.b.shop.example.com", "deep _acme-challenge.a.b.shop.example.com"},
        {"workshop.example.com", "wide _acme-challenge.workshop.example.com"},
        {"www.example.org", "all _acme-challenge.www.example.org"},
        {"www.acme.example.org", "target _acme-challenge.www.acme.example.org"},
        {"notexample.com", "-"},
        {"com", "-"},
        {"www.example.info", "-"},
        {"192.0.2.1", "-"},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        assert_string_equal(chosen(h, table[i].name, NULL), table[i].want);
    /* CNAMEs: the target's account writes at the target; else the one that claims the name. */
    struct dns_place there = {.name = "x.acme.example.org", .zone = "example.org", .hops = 1};
    assert_string_equal(chosen(h, "www.example.com", &there), "target x.acme.example.org");
    assert_string_equal(chosen(h, "www.foreign.example", &there), "target x.acme.example.org");
    struct dns_place elsewhere = {.name = "x.nobody.example", .zone = "nobody.example", .hops = 1};
    assert_string_equal(chosen(h, "www.example.com", &elsewhere), "wide x.nobody.example");
    assert_string_equal(chosen(h, "www.foreign.example", &elsewhere), "-");
}

/* Names without such an account: the request's own choice, else its ACME account's, else http-01.
 */
static void others_as_request_and_account_say(void **state)
{
    struct h *h = *state;
    static const struct {
        const char *request, *account, *want;
    } table[] = {{NULL, NULL, ACME_HTTP01},
                 {NULL, ACME_TLSALPN, ACME_TLSALPN},
                 {ACME_HTTP01, ACME_TLSALPN, ACME_HTTP01},
                 {ACME_TLSALPN, ACME_HTTP01, ACME_TLSALPN},
                 {ACME_TLSALPN, NULL, ACME_TLSALPN},
                 {"of-next-year", ACME_TLSALPN, ACME_TLSALPN}};
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        CM_AUTO_JSON credential = json_pack("{s:s*}", "challenge", table[i].request);
        CM_AUTO_JSON body = json_pack("{s:s*}", "challenge", table[i].account);
        CM_AUTO_JSON order =
            json_pack("{s:{s:{s:s}}}", "challenges", "dns.example.com", "account", "main");
        struct eng_account account = {.body = body};
        struct job job = {
            .engine = h->engine, .credential = credential, .order = order, .account = &account};
        assert_string_equal(eng_challenge_type(&job, "www.example.com"), table[i].want);
        assert_string_equal(eng_challenge_type(&job, "dns.example.com"), ACME_DNS01);
    }
}

static void wildcards_need_an_account(void **state)
{
    struct h *h = *state;
    assert_int_not_equal(h_submit(h, h_fields("*.example.com")), 0);
    CM_AUTO_STR text = cm_json_dump(h->errors, NULL);
    assert_non_null(strstr(text, "DNS account"));
    account(h, "main", "example.com");
    json_decref(h_issue(h, "example.com"));
    assert_int_equal(h_submit(h, h_fields("*.example.com")), 0);
    CM_AUTO_JSON body = h_status(h, "issued");
    assert_string_equal(cm_json_str(body, "keyring_file"), "wildcard.example.com.kyr");
    h_until(h, is_clean, "an empty zone");
}

static bool is_over(struct h *h)
{
    return h->engine->job_count == 0;
}

/* No account names its domain, but its challenge lies in the zone of one. */
static void a_wildcard_may_be_proved_elsewhere(void **state)
{
    struct h *h = *state;
    account(h, "main", "example.com");
    json_object_set_new(fake.cname, "_acme-challenge.other.example",
                        json_string("other.example.com"));
    assert_int_equal(h_submit(h, h_fields("*.other.example")), 0);
    CM_AUTO_STR notes = cm_json_dump(h->notes, NULL);
    assert_non_null(strstr(notes, "no DNS account names other.example"));
    json_decref(h_status(h, "issued"));
    assert_true(has_call("add other.example.com"));
    h_until(h, is_clean, "an empty zone");
    /* Where no CNAME leads to one, nothing is ordered. */
    unsigned orders = h->ca.new_orders;
    assert_int_equal(h_submit(h, h_fields("*.lost.example")), 0);
    CM_AUTO_JSON body = h_status(h, "error");
    const json_t *error = cm_json_obj(body, "error");
    assert_non_null(strstr(cm_json_str(error, "what"), "no DNS account covers lost.example"));
    assert_string_equal(cm_json_str(error, "retry"), cm_retry_name(CM_RETRY_CONFIGURATION));
    h_until(h, is_over, "the job to end");
    assert_int_equal(h->ca.new_orders, orders);
}

/* ---- people, tests ------------------------------------------------------------------------------
 */

static bool asks_people(struct h *h)
{
    CM_AUTO_JSON view = eng_view(h->engine, h->credential);
    return cm_json_arr(view, "manual") != NULL;
}

static bool tells_problem(struct h *h)
{
    CM_AUTO_JSON view = eng_view(h->engine, h->credential);
    return cm_json_str(view, "manual_problem") != NULL;
}

static void people_write_and_go_on(void **state)
{
    struct h *h = *state;
    struct cm_err err = CM_ERR_INIT;
    assert_int_equal(put(h, json_pack("{s:s,s:s,s:s}", "name", "hand", "kind", "manual", "domains",
                                      "example.com")),
                     0);
    assert_int_equal(h_submit(h, h_fields("*.example.com example.com")), 0);
    h_until(h, asks_people, "a question to people");
    assert_int_equal(h->engine->asking, 1);
    CM_AUTO_JSON view = eng_view(h->engine, h->credential);
    assert_int_equal(json_array_size(cm_json_arr(view, "manual")), 2);
    /* Said too early: looked up, not believed. */
    assert_int_equal(eng_dns_go_on(h->engine, h->credential, &actor, &err), 0);
    h_until(h, tells_problem, "what is missing");
    assert_int_equal(h->ca.answered, 0);
    size_t i;
    json_t *record;
    json_t *values = json_object();
    json_array_foreach(cm_json_arr(view, "manual"), i, record)
    {
        assert_string_equal(cm_json_str(record, "fqdn"), OWNER);
        json_object_set_new(values, cm_json_str(record, "value"), json_true());
    }
    json_object_set_new(fake.zone, OWNER, values);
    assert_int_equal(eng_dns_go_on(h->engine, h->credential, &actor, &err), 0);
    json_decref(h_status(h, "issued"));
    assert_int_equal(h->engine->asking, 0);
    assert_int_equal(json_array_size(fake.calls), 0); /* nobody else wrote */
    assert_int_equal(eng_dns_go_on(h->engine, h->credential, &actor, &err), CM_ECONFLICT);
    cm_err_fini(&err);
}

static bool is_tested(struct h *h)
{
    CM_AUTO_JSON report = eng_dns_test_view(h->engine, "main");
    return report && !cm_json_bool(report, "running", true);
}

static void tests_an_account(void **state)
{
    struct h *h = *state;
    struct cm_err err = CM_ERR_INIT;
    account(h, "main", "example.com");
    assert_int_equal(eng_dns_test(h->engine, "nobody", NULL, &actor, &err), CM_ENOENT);
    cm_err_fini(&err);
    fake.delay_ms = 5; /* so that there is a time to measure */
    assert_int_equal(eng_dns_test(h->engine, "main", NULL, &actor, &err), 0);
    assert_int_equal(eng_dns_test(h->engine, "main", NULL, &actor, &err), CM_ECONFLICT);
    cm_err_fini(&err);
    h_until(h, is_tested, "the end of the test");
    CM_AUTO_JSON report = eng_dns_test_view(h->engine, "main");
    CM_AUTO_STR text = cm_json_dump(report, NULL);
    assert_true(cm_json_bool(report, "ok", false));
    assert_true(cm_json_int(report, "seen_ms", -1) > 0);
    assert_int_equal(eng_dns_measure(h->engine, "main"), cm_json_int(report, "seen_ms", -1));
    fake.delay_ms = 0;
    assert_non_null(strstr(text, "asked the provider"));
    assert_null(strstr(text, "s3cret"));
    assert_true(is_clean(h));
    assert_true(has_call("add " OWNER) && has_call("delete " OWNER));
    /* Not seen: told, and taken away all the same. */
    fake.blind = true;
    assert_int_equal(eng_dns_test(h->engine, "main", "www.example.com", &actor, &err), 0);
    h_until(h, is_tested, "the end of the test");
    CM_AUTO_JSON failed = eng_dns_test_view(h->engine, "main");
    assert_false(cm_json_bool(failed, "ok", true));
    assert_string_equal(cm_json_str(failed, "fqdn"), "_acme-challenge.www.example.com");
    assert_true(is_clean(h));
    cm_err_fini(&err);
}

/* What was measured is where the next wait begins to look; each run measures again. */
static void a_wait_begins_where_the_last_one_ended(void **state)
{
    struct h *h = *state;
    account(h, "main", "example.com");
    assert_int_equal(eng_dns_measure(h->engine, "main"), 0);
    eng_dns_measured(h->engine, "main", 10000);
    CM_AUTO_JSON view = eng_dns_account_view(h->engine, "main");
    assert_int_equal(cm_json_int(view, "measured_ms", 0), 10000);
    json_decref(h_issue(h, "*.a.example.com"));
    assert_int_equal(fake.start_ms, 8000);
    assert_in_range(eng_dns_measure(h->engine, "main"), 0, DNS_START_MIN_MS);
    json_decref(h_issue(h, "*.b.example.com"));
    assert_int_equal(fake.start_ms, 0);
    eng_dns_measured(h->engine, "main", INT64_C(7200000));
    json_decref(h_issue(h, "*.c.example.com"));
    assert_int_equal(fake.start_ms, DNS_START_MAX_MS);
}

/* Behind split horizon an account sees its zone through resolvers of its own: to find it, to write
 * and to look.  Others go on as before. */
static void own_resolvers_of_an_account(void **state)
{
    struct h *h = *state;
    account(h, "main", "example.com");
    account(h, "inside", "example.net");
    assert_int_equal(
        put(h, json_pack("{s:s,s:s}", "name", "inside", "resolvers", "127.0.23.8:23053")), 0);
    struct eng_dns_account *inside = eng_dns_account(h->engine, "inside");
    struct dns_client *own = eng_dns_resolver(inside);
    assert_non_null(own);
    assert_ptr_not_equal(own, client);
    json_decref(h_issue(h, "*.a.example.net"));
    assert_ptr_equal(fake.finder, own);
    assert_ptr_equal(fake.waiter, own);
    h_until(h, is_clean, "an empty zone");
    assert_ptr_equal(fake.caller, own);
    eng_dns_unref(inside);
    json_decref(h_issue(h, "*.a.example.com"));
    assert_ptr_equal(fake.finder, client);
    assert_ptr_equal(fake.waiter, client);
    h_until(h, is_clean, "an empty zone");
    assert_ptr_equal(fake.caller, client);
}

static void a_test_ends_with_the_engine(void **state)
{
    struct h *h = *state;
    struct cm_err err = CM_ERR_INIT;
    account(h, "main", "example.com");
    fake.delay_ms = 20;
    for (int ms = 0; ms <= 40; ms += 20) { /* in its call, in its wait */
        assert_int_equal(eng_dns_test(h->engine, "main", NULL, &actor, &err), 0);
        h_turns(h, ms);
        restart(h);
    }
    while (!is_clean(h))
        h_turns(h, 50);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(keeps_secrets_to_itself),
        TEST(shipped_recipes_are_there),
        TEST(refuses_what_cannot_work),
        TEST(longest_domain_decides),
        TEST(others_as_request_and_account_say),
        TEST(wildcards_need_an_account),
        TEST(a_wildcard_may_be_proved_elsewhere),
        TEST(people_write_and_go_on),
        TEST(tests_an_account),
        TEST(a_wait_begins_where_the_last_one_ended),
        TEST(own_resolvers_of_an_account),
        TEST(a_test_ends_with_the_engine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
