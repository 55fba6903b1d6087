/* DNS-01 in the engine: choice per name, values and their journal, people, tests of accounts. */
#include "tests/unit/engine/fake_dns.h"

#include "certmgr/engine/job.h"

#define OWNER "_acme-challenge.example.com"

static const struct eng_actor actor = {.who = "ada", .via = "form"};
static struct dns_client *client;

static int setup(void **state)
{
    fake_reset();
    h_setup(state);
    struct h *h = *state;
    struct cm_err err = CM_ERR_INIT;
    OK(dns_client_new(h->loop, "127.0.23.9:23053", &client, &err), err); /* never asked */
    h->engine->env.dns = client;
    h_account(h);
    return 0;
}

static int teardown(void **state)
{
    struct h *h = *state;
    h_turns(h, 0);
    /* the engine ends before its client */
    eng_free(h->engine);
    h->engine = NULL;
    dns_client_free(client);
    h_teardown(state);
    fake_fini();
    return 0;
}

static void restart(struct h *h)
{
    h_restart(h);
    h->engine->env.dns = client;
}

static int put(struct h *h, json_t *take_fields)
{
    eng_dns_account_put(h->engine, take_fields, &actor, h_on_done, h);
    json_decref(take_fields);
    return h_done(h);
}

static void account(struct h *h, const char *name, const char *domains)
{
    if (put(h, json_pack("{s:s,s:s,s:s,s:{s:s}}", "name", name, "kind", "webhook", "domains",
                         domains, "secrets", "token", "s3cret")) != 0)
        fail_msg("%s", h_line(h));
}

static size_t journal(struct h *h)
{
    CM_AUTO_JSON all = dns_journal(h->engine, NULL);
    return json_object_size(all);
}

static bool is_clean(struct h *h)
{
    return journal(h) == 0 && fake_all() == 0 && fake.active == 0;
}

static bool has_call(const char *text)
{
    return cm_json_has_str(fake.calls, text);
}

/* ---- accounts -----------------------------------------------------------------------------------
 */

static char first_credential[CM_ULID_TEXT];

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
    eng_dns_recipe_put(h->engine, "cloudflare", own, &actor, h_on_done, h);
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

/* ---- values -------------------------------------------------------------------------------------
 */

static size_t seen_at_answer, journal_at_answer;

static void note_zone(void *arg)
{
    struct h *h = arg;
    seen_at_answer = fake_values(OWNER);
    journal_at_answer = journal(h);
}

static void two_values_at_one_name(void **state)
{
    struct h *h = *state;
    account(h, "main", "example.com");
    h->ca.on_answer = note_zone;
    h->ca.on_answer_arg = h;
    CM_AUTO_JSON body = h_issue(h, "*.example.com example.com");
    assert_int_equal(seen_at_answer, 2);
    assert_int_equal(journal_at_answer, 2);
    assert_string_equal(cm_json_str(fake.secrets, "token"), "s3cret");
    h_until(h, is_clean, "an empty zone");
    assert_int_equal(fake.crossed, 0);
    CM_AUTO_JSON challenge = h_body(h, "challenge", h->credential);
    assert_int_equal(json_array_size(cm_json_arr(challenge, "tokens")), 0);
}

static void mixed_order_and_cname(void **state)
{
    struct h *h = *state;
    account(h, "main", "example.com");
    account(h, "target", "acme.example.org");
    cm_json_set_str(fake.cname, "_acme-challenge.www.example.net", "w.acme.example.org");
    json_decref(h_issue(h, "www.example.com www.example.net www.example.org"));
    assert_true(has_call("add _acme-challenge.www.example.com"));
    assert_true(has_call("add w.acme.example.org"));
    assert_false(has_call("add _acme-challenge.www.example.net"));
    assert_false(has_call("add _acme-challenge.www.example.org")); /* http-01 */
    h_until(h, is_clean, "an empty zone");
}

static void a_refused_value_fails_the_order(void **state)
{
    struct h *h = *state;
    account(h, "main", "example.com");
    fake.fail_adds = 1;
    assert_int_equal(h_submit(h, h_fields("*.example.com example.com")), 0);
    CM_AUTO_JSON body = h_status(h, "error");
    CM_AUTO_STR text = cm_json_dump(cm_json_obj(body, "error"), NULL);
    assert_non_null(strstr(text, "the provider is away"));
    assert_non_null(strstr(text, OWNER));
    assert_int_equal(h->ca.answered, 0); /* the CA was not told */
}

/* Nobody knows whether it was set: looked for a few times, then let be; the account can go. */
static void an_addition_that_failed_is_no_burden(void **state)
{
    struct h *h = *state;
    account(h, "main", "example.com");
    h_turns(h, 100); /* the sweep of the start is over: this owner has no order */
    struct eng_dns_value value = {.owner = "01JDEXAMPE0000000000000001",
                                  .account = "main",
                                  .zone = "",
                                  .fqdn = OWNER,
                                  .value = "refused"};
    fake.fail_adds = fake.fail_deletes = 100;
    eng_dns_add(h->engine, &value, NULL, h_on_done, h);
    assert_int_equal(h_done(h), CM_EIO);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(journal(h), 1);
        assert_int_equal(eng_dns_journal_count(h->engine, "main"), i == 0 ? 1 : 0);
        eng_dns_release(h->engine, value.owner);
        h_turns(h, 20);
    }
    assert_int_equal(journal(h), 0);
    assert_int_equal(json_array_size(fake.calls), 6);
}

static void failed_validation_leaves_nothing(void **state)
{
    struct h *h = *state;
    account(h, "main", "example.com");
    h->ca.fail_validation = true;
    assert_int_equal(h_submit(h, h_fields("*.example.com")), 0);
    json_decref(h_status(h, "error"));
    h_until(h, is_clean, "an empty zone");
    assert_true(has_call("delete " OWNER));
}

static bool has_removing(struct h *h)
{
    CM_AUTO_JSON all = dns_journal(h->engine, NULL);
    const char *key;
    json_t *entry;
    json_object_foreach(all, key, entry)
    {
        if (dns_journal_is(entry, "removing") && cm_json_int(entry, "attempts", 0) == 1)
            return true;
    }
    return false;
}

static void removal_is_tried_until_it_is_gone(void **state)
{
    struct h *h = *state;
    account(h, "main", "example.com");
    fake.fail_deletes = 1;
    json_decref(h_issue(h, "example.com"));
    h_until(h, has_removing, "a removal that failed");
    assert_int_equal(fake_values(OWNER), 1);
    /* Its account stays as long as that. */
    eng_dns_account_delete(h->engine, "main", false, &actor, h_on_done, h);
    assert_int_equal(h_done(h), CM_ECONFLICT);
    /* It survives the process, and waits its time. */
    restart(h);
    cm_clock_fake(cm_now_ms() + DNS_RETRY_MS + 1000, -1);
    h_until(h, is_clean, "an empty zone");
    cm_clock_fake(-1, -1);
    eng_dns_account_delete(h->engine, "main", false, &actor, h_on_done, h);
    assert_int_equal(h_done(h), 0);
    CM_AUTO_JSON gone = eng_dns_account_view(h->engine, "main");
    assert_null(gone);
}

static bool is_written(struct h *h)
{
    (void)h;
    return fake_all() > 0;
}

/* Killed while the values are waited for: the order goes on, and the zone is empty at its end. */
static void a_kill_leaves_nothing(void **state)
{
    struct h *h = *state;
    account(h, "main", "example.com");
    fake.delay_ms = 30;
    assert_int_equal(h_submit(h, h_fields("*.example.com example.com")), 0);
    h_until(h, is_written, "a value");
    restart(h);
    json_decref(h_status(h, "issued"));
    h_until(h, is_clean, "an empty zone");
    assert_int_equal(h->ca.new_orders, 1);
}

/* The value was written, its order is gone for good: the sweep of the start takes it away. */
static void sweeps_what_belongs_to_nobody(void **state)
{
    struct h *h = *state;
    account(h, "main", "example.com");
    struct eng_dns_value value = {.owner = "01JDEXAMPE0000000000000000",
                                  .account = "main",
                                  .zone = "",
                                  .fqdn = OWNER,
                                  .value = "left-behind"};
    eng_dns_add(h->engine, &value, NULL, h_on_done, h);
    assert_int_equal(h_done(h), 0);
    json_object_set_new(json_object_get(fake.zone, OWNER), "of-others", json_true());
    restart(h);
    while (journal(h) > 0)
        h_turns(h, 50);
    assert_int_equal(fake_values(OWNER), 1); /* not ours, not touched */
}

static bool all_set(struct h *h)
{
    (void)h;
    return fake_all() == 40;
}

/* Many at once: never two calls for one name, never more than DNS_PARALLEL for the account. */
static void calls_are_few_and_in_order(void **state)
{
    struct h *h = *state;
    account(h, "main", "example.com");
    h_turns(h, 100); /* the sweep of the start is over: these owners have no order */
    fake.delay_ms = 2;
    for (int i = 0; i < 40; i++) {
        char owner[48], fqdn[64], text[32];
        snprintf(owner, sizeof(owner), "01JDEXAMPE00000000000000%02d", i);
        snprintf(fqdn, sizeof(fqdn), "_acme-challenge.h%d.example.com", i % 8);
        snprintf(text, sizeof(text), "value-%d", i);
        struct eng_dns_value value = {
            .owner = owner, .account = "main", .zone = "", .fqdn = fqdn, .value = text};
        eng_dns_add(h->engine, &value, NULL, NULL, NULL);
    }
    h_until(h, all_set, "forty values");
    assert_int_equal(fake.crossed, 0);
    assert_in_range(fake.most, 2, DNS_PARALLEL);
    for (int i = 0; i < 40; i++) {
        char owner[48];
        snprintf(owner, sizeof(owner), "01JDEXAMPE00000000000000%02d", i);
        eng_dns_release(h->engine, owner);
    }
    h_until(h, is_clean, "an empty zone");
    assert_int_equal(fake.crossed, 0);
}

static void shared_values_stay_for_the_other(void **state)
{
    struct h *h = *state;
    account(h, "main", "example.com");
    h_turns(h, 100); /* the sweep of the start is over: these owners have no order */
    struct eng_dns_value one = {.owner = "01JDEXAMPE0000000000000001",
                                .account = "main",
                                .zone = "",
                                .fqdn = OWNER,
                                .value = "same"};
    struct eng_dns_value two = one;
    two.owner = "01JDEXAMPE0000000000000002";
    eng_dns_add(h->engine, &one, NULL, h_on_done, h);
    assert_int_equal(h_done(h), 0);
    eng_dns_add(h->engine, &two, NULL, h_on_done, h);
    assert_int_equal(h_done(h), 0);
    eng_dns_release(h->engine, one.owner);
    h_turns(h, 20);
    assert_int_equal(fake_values(OWNER), 1);
    assert_int_equal(journal(h), 1);
    eng_dns_release(h->engine, two.owner);
    h_until(h, is_clean, "an empty zone");
}

/* Name and wildcard, and a name below: one TXT value after the other, in one order. */
static void one_value_at_a_time_in_one_order(void **state)
{
    struct h *h = *state;
    account(h, "main", "example.com");
    fake.one_value = true;
    assert_int_equal(h_submit(h, h_fields("*.example.com example.com a.example.com")), 0);
    CM_AUTO_JSON body = h_status(h, "issued");
    h_until(h, is_clean, "an empty zone");
    assert_int_equal(h->ca.new_orders, 1);
    assert_int_equal(fake.fullest, 1);
    assert_int_equal(fake.crossed, 0);
    assert_int_equal(json_array_size(fake.calls), 6); /* each value set once and removed once */
}

static bool both_are_issued(struct h *h)
{
    CM_AUTO_JSON one = h_body(h, "credential", first_credential);
    CM_AUTO_JSON two = h_body(h, "credential", h->credential);
    return strcmp(cm_json_str_or(one, "status", ""), "issued") == 0 &&
           strcmp(cm_json_str_or(two, "status", ""), "issued") == 0;
}

/* Two credentials at an account that holds one value: the second one waits for its turn. */
static void one_value_at_a_time_for_two_orders(void **state)
{
    struct h *h = *state;
    account(h, "main", "example.com");
    fake.one_value = true;
    fake.delay_ms = 5;
    assert_int_equal(h_submit(h, h_fields("*.example.com example.com")), 0);
    (void)cm_strcpy(first_credential, sizeof(first_credential), h->credential);
    assert_int_equal(h_submit(h, h_fields("*.b.example.com b.example.com")), 0);
    h_until(h, both_are_issued, "both certificates");
    h_until(h, is_clean, "an empty zone");
    assert_int_equal(h->ca.new_orders, 2);
    assert_int_equal(fake.fullest, 1);
    assert_int_equal(json_array_size(fake.calls), 8);
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
    assert_int_equal(eng_dns_test(h->engine, "main", NULL, &actor, &err), 0);
    assert_int_equal(eng_dns_test(h->engine, "main", NULL, &actor, &err), CM_ECONFLICT);
    cm_err_fini(&err);
    h_until(h, is_tested, "the end of the test");
    CM_AUTO_JSON report = eng_dns_test_view(h->engine, "main");
    CM_AUTO_STR text = cm_json_dump(report, NULL);
    assert_true(cm_json_bool(report, "ok", false));
    assert_true(cm_json_int(report, "seen_ms", -1) >= 0);
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
    CM_AUTO_JSON one = h_issue(h, "*.a.example.com");
    assert_int_equal(fake.start_ms, 8000);
    assert_in_range(eng_dns_measure(h->engine, "main"), 0, DNS_START_MIN_MS);
    CM_AUTO_JSON two = h_issue(h, "*.b.example.com");
    assert_int_equal(fake.start_ms, 0);
    eng_dns_measured(h->engine, "main", INT64_C(7200000));
    CM_AUTO_JSON three = h_issue(h, "*.c.example.com");
    assert_int_equal(fake.start_ms, DNS_START_MAX_MS);
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
        TEST(wildcards_need_an_account),
        TEST(two_values_at_one_name),
        TEST(mixed_order_and_cname),
        TEST(a_refused_value_fails_the_order),
        TEST(an_addition_that_failed_is_no_burden),
        TEST(failed_validation_leaves_nothing),
        TEST(removal_is_tried_until_it_is_gone),
        TEST(a_kill_leaves_nothing),
        TEST(sweeps_what_belongs_to_nobody),
        TEST(calls_are_few_and_in_order),
        TEST(shared_values_stay_for_the_other),
        TEST(one_value_at_a_time_in_one_order),
        TEST(one_value_at_a_time_for_two_orders),
        TEST(people_write_and_go_on),
        TEST(tests_an_account),
        TEST(a_wait_begins_where_the_last_one_ended),
        TEST(a_test_ends_with_the_engine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
