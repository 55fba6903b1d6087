/* Recipes in the store: proved before they are stored, who uses them, hosts let in only when they
 * are confirmed, removal. */
#include "tests/unit/engine/harness.h"

#include "certmgr/engine/dns.h"

#define SECRET "s3cret-t0ken"

static const struct eng_actor actor = {.who = "alice", .via = "ui"};

/* A recipe with these hosts; change: members that are put over it, or NULL (taken). */
static json_t *recipe(const char *base, json_t *take_hosts, json_t *take_change)
{
    json_t *out =
        json_pack("{s:i,s:i,s:s,s:s,s:s,s:o,s:[{s:s}],s:{s:s,s:{s:s}},s:{s:s},s:{s:{s:s},s:{s:s}}}",
                  "schema", 1, "revision", 1, "id", "own", "title", "Own", "base", base, "hosts",
                  take_hosts, "credentials", "name", "token", "auth", "kind", "headers", "set",
                  "Authorization", "Bearer {{cred.token}}", "txt", "mode", "single", "steps", "add",
                  "post", "/add", "delete", "del", "/gone");
    assert_non_null(out);
    if (take_change)
        json_object_update(out, take_change);
    json_decref(take_change);
    return out;
}

static json_t *plain(void)
{
    return recipe("https://api.example", json_pack("[s]", "api.example"), NULL);
}

static int store(struct h *h, const char *name, json_t *take_recipe, json_t *take_confirmed)
{
    eng_dns_recipe_put(h->engine, name, take_recipe, take_confirmed, &actor, h_on_done, h);
    json_decref(take_recipe);
    json_decref(take_confirmed);
    return h_done(h);
}

static int away(struct h *h, const char *name)
{
    eng_dns_recipe_delete(h->engine, name, &actor, h_on_done, h);
    return h_done(h);
}

static void use(struct h *h, const char *account, const char *provider, json_t *take_options)
{
    CM_AUTO_JSON fields =
        json_pack("{s:s,s:s,s:s,s:{s:s},s:o*}", "name", account, "kind", "recipe", "provider",
                  provider, "secrets", "token", SECRET, "options", take_options);
    CM_AUTO_STR domain = cm_asprintf("%s.example", account);
    cm_json_set_str(fields, "domains", domain);
    eng_dns_account_put(h->engine, fields, &actor, h_on_done, h);
    if (h_done(h) != 0)
        fail_msg("%s", h_line(h));
}

static json_t *stored(struct h *h, const char *name)
{
    CM_AUTO_JSON body = h_body(h, "dns-provider", name);
    return json_incref(json_object_get(body, "recipe"));
}

static void assert_said(struct h *h, const char *text)
{
    if (!strstr(h_line(h), text))
        fail_msg("\"%s\" does not say \"%s\"", h_line(h), text);
}

static void only_a_good_one_is_stored(void **state)
{
    struct h *h = *state;
    json_t *big = plain();
    assert_int_equal(store(h, "own", json_pack("{s:i}", "schema", 1), NULL), CM_EINVAL);
    assert_int_equal(store(h, "own", json_string("text"), NULL), CM_EINVAL);
    assert_int_equal(store(h, "no/name", plain(), NULL), CM_EINVAL);
    assert_said(h, "name: ");
    assert_int_equal(store(h, "own",
                           recipe("https://evil.example", json_pack("[s]", "api.example"), NULL),
                           NULL),
                     CM_EINVAL);
    assert_said(h, "/base");
    cm_json_set(big, "tests", json_array());
    for (int i = 0; i < 3; i++) {
        char text[50000];
        memset(text, 'x', sizeof(text) - 1);
        text[sizeof(text) - 1] = '\0';
        json_array_append_new(json_object_get(big, "tests"), json_string(text));
    }
    assert_int_equal(store(h, "own", big, NULL), CM_EINVAL);
    assert_said(h, "128 KiB");
    assert_null(stored(h, "own"));
    assert_null(eng_dns_recipe_view(h->engine, "own"));
    assert_int_equal(store(h, "own", plain(), NULL), 0);
    CM_AUTO_JSON now = stored(h, "own");
    CM_AUTO_JSON wanted = plain();
    assert_true(json_equal(now, wanted));
}

static void views_tell_state_and_users(void **state)
{
    struct h *h = *state;
    assert_int_equal(store(h, "own", plain(), NULL), 0);
    use(h, "one", "own", NULL);
    CM_AUTO_JSON view = eng_dns_recipe_view(h->engine, "own");
    CM_AUTO_JSON shipped = eng_dns_recipe_view(h->engine, "duckdns");
    CM_AUTO_JSON all = eng_dns_recipes(h->engine);
    assert_true(cm_json_bool(view, "stored", false));
    assert_false(cm_json_bool(view, "shipped", true));
    assert_false(cm_json_bool(view, "unverified", true));
    assert_true(cm_json_bool(cm_json_obj(view, "lint"), "ok", false));
    assert_int_equal(cm_json_int(cm_json_obj(view, "lint"), "tests", -1), 0);
    assert_true(cm_json_has_str(cm_json_arr(view, "reach"), "api.example"));
    const json_t *user = json_array_get(cm_json_arr(view, "used_by"), 0);
    assert_string_equal(cm_json_str(user, "name"), "one");
    assert_int_equal(json_array_size(cm_json_arr(user, "lacks")), 0);
    assert_false(cm_json_bool(shipped, "stored", true));
    assert_true(cm_json_bool(shipped, "shipped", false));
    assert_true(cm_json_bool(shipped, "unverified", false));
    assert_int_equal(cm_json_int(cm_json_obj(shipped, "lint"), "tests", -1), 3);
    assert_null(json_object_get(shipped, "serial"));
    assert_string_equal(cm_json_str(json_array_get(all, 0), "name"), "own");
    CM_AUTO_STR text = cm_json_dump(view, NULL);
    assert_null(strstr(text, SECRET));
    /* A replacement that wants more than the account has says so. */
    json_t *more = json_pack("{s:[{s:s},{s:s}]}", "credentials", "name", "token", "name", "key");
    assert_int_equal(
        store(h, "own", recipe("https://api.example", json_pack("[s]", "api.example"), more), NULL),
        0);
    CM_AUTO_JSON after = eng_dns_recipe_view(h->engine, "own");
    user = json_array_get(cm_json_arr(after, "used_by"), 0);
    assert_int_equal(json_array_size(cm_json_arr(user, "lacks")), 1);
    assert_true(cm_json_has_str(cm_json_arr(user, "lacks"), "key"));
}

static json_t *to(const char *base, const char *host, const char *other)
{
    return recipe(base, other ? json_pack("[s,s]", host, other) : json_pack("[s]", host), NULL);
}

/* Nobody's secrets go to a host that nobody has confirmed. */
static void new_hosts_are_confirmed(void **state)
{
    struct h *h = *state;
    assert_int_equal(store(h, "own", plain(), NULL), 0);
    /* Nobody uses it: whatever host. */
    assert_int_equal(store(h, "own", to("https://b.example", "b.example", "api.example"), NULL), 0);
    use(h, "one", "own", NULL);
    use(h, "two", "own", NULL);
    CM_AUTO_JSON before = stored(h, "own");
    json_t *bad = to("https://evil.example", "evil.example", "worse.example");
    CM_AUTO_JSON widens = eng_dns_recipe_widens(h->engine, "own", bad);
    assert_int_equal(json_array_size(widens), 2);
    assert_int_equal(json_array_size(cm_json_arr(json_array_get(widens, 0), "hosts")), 2);
    assert_int_equal(store(h, "own", json_incref(bad), NULL), CM_ECONFLICT);
    assert_said(h, "one, two");
    assert_said(h, "evil.example, worse.example");
    /* The confirmation is of each host, not of anything. */
    assert_int_equal(
        store(h, "own", json_incref(bad), json_pack("[s,s]", "b.example", "evil.example")),
        CM_ECONFLICT);
    assert_null(strstr(h_line(h), "evil.example"));
    assert_said(h, "worse.example");
    CM_AUTO_JSON still = stored(h, "own");
    assert_true(json_equal(before, still));
    assert_int_equal(store(h, "own", bad, json_pack("[s,s]", "evil.example", "worse.example")), 0);
    /* Fewer hosts, or the same, are nobody's business. */
    assert_int_equal(store(h, "own", to("https://evil.example", "evil.example", NULL), NULL), 0);
}

/* In the place of the program's recipe, and by the default of an option. */
static void other_ways_to_a_host_count(void **state)
{
    struct h *h = *state;
    CM_AUTO_JSON options = json_loads("{\"options\":[{\"name\":\"server\",\"base\":true,"
                                      "\"default\":\"https://other.example\"}]}",
                                      0, NULL);
    CM_AUTO_JSON fields =
        json_pack("{s:s,s:s,s:s,s:s,s:{s:s},s:{s:s}}", "name", "duck", "kind", "recipe", "provider",
                  "duckdns", "domains", "x.duckdns.org", "secrets", "token",
                  "01234567-89ab-cdef-0123-456789abcdef", "options", "domain", "x.duckdns.org");
    eng_dns_account_put(h->engine, fields, &actor, h_on_done, h);
    assert_int_equal(h_done(h), 0);
    assert_int_equal(store(h, "duckdns", plain(), NULL), CM_ECONFLICT);
    assert_said(h, "api.example");
    assert_int_equal(store(h, "own", plain(), NULL), 0);
    use(h, "one", "own", NULL);
    assert_int_equal(
        store(h, "own",
              recipe("https://api.example", json_pack("[s]", "api.example"), json_incref(options)),
              NULL),
        CM_ECONFLICT);
    assert_said(h, "other.example");
    assert_int_equal(
        store(h, "own",
              recipe("https://api.example", json_pack("[s]", "api.example"), json_incref(options)),
              json_pack("[s]", "other.example")),
        0);
}

static void a_used_one_stays(void **state)
{
    struct h *h = *state;
    assert_int_equal(away(h, "own"), CM_ENOENT);
    assert_int_equal(away(h, "cloudflare"), CM_ENOENT);
    assert_int_equal(store(h, "own", plain(), NULL), 0);
    use(h, "one", "own", NULL);
    assert_int_equal(away(h, "own"), CM_ECONFLICT);
    assert_said(h, "one");
    eng_dns_account_delete(h->engine, "one", true, &actor, h_on_done, h);
    assert_int_equal(h_done(h), 0);
    assert_int_equal(away(h, "own"), 0);
    assert_null(eng_dns_recipe_view(h->engine, "own"));
    assert_int_equal(store(h, "own", plain(), NULL), 0); /* and again */
    CM_AUTO_JSON view = eng_dns_recipe_view(h->engine, "own");
    assert_true(cm_json_bool(view, "stored", false));
}

static void the_lint_tells_where(void **state)
{
    (void)state;
    CM_AUTO_JSON bad = plain();
    json_object_del(cm_json_obj(bad, "steps"), "delete");
    CM_AUTO_JSON found = eng_dns_recipe_lint(bad);
    CM_AUTO_JSON none = eng_dns_recipe_lint(NULL);
    assert_false(cm_json_bool(found, "ok", true));
    assert_string_equal(cm_json_str(found, "pointer"), "/steps");
    assert_non_null(strstr(cm_json_str(cm_json_obj(found, "error"), "what"), "lacks delete"));
    assert_false(cm_json_bool(none, "ok", true));
}

/* How long this account's values are waited for, with this `propagation` of its own (taken). */
static struct dns_wait_options waits(struct h *h, const char *name, json_t *take_propagation)
{
    CM_AUTO_JSON fields = json_pack("{s:s,s:o}", "name", name, "propagation", take_propagation);
    eng_dns_account_put(h->engine, fields, &actor, h_on_done, h);
    if (h_done(h) != 0)
        fail_msg("%s", h_line(h));
    struct eng_dns_account *account = eng_dns_account(h->engine, name);
    struct dns_wait_options options = eng_dns_wait_options(account);
    if (options.resolvers)
        options.resolvers = "some"; /* the account's own goes with it */
    eng_dns_unref(account);
    return options;
}

/* Gandi, say, shows values after half an hour: a recipe's times count where the account has none.
 */
static void a_recipe_says_how_long_to_wait(void **state)
{
    struct h *h = *state;
    const char *const name = "slow";
    json_t *change = json_pack("{s:{s:s,s:i,s:i}}", "propagation", "method", "authoritative",
                               "interval_s", 30, "limit_s", 2400);
    assert_int_equal(store(h, "own",
                           recipe("https://api.example", json_pack("[s]", "api.example"), change),
                           NULL),
                     0);
    use(h, name, "own", NULL);
    struct dns_wait_options got = waits(h, name, json_object());
    assert_int_equal(got.limit_s, 2400);
    assert_int_equal(got.interval_s, 30);
    assert_true(got.authoritative && !got.resolver && got.fixed_s == 0);
    assert_int_equal(waits(h, name, json_pack("{s:i}", "limit_s", 90)).limit_s, 90);
    /* D4: an hour and more can be set. */
    assert_int_equal(waits(h, name, json_pack("{s:i}", "limit_s", 7200)).limit_s, 7200);
    assert_int_equal(waits(h, name, json_pack("{s:i}", "fixed_s", 3600)).fixed_s, 3600);
    use(h, "shipped", "gandi", NULL);
    assert_int_equal(waits(h, "shipped", json_object()).limit_s, 2400);
}

/* Its way, too, but not against what the account chose. */
static void a_recipe_says_how_to_wait(void **state)
{
    struct h *h = *state;
    struct dns_client *client;
    struct cm_err err = CM_ERR_INIT;
    OK(dns_client_new(h->loop, "127.0.23.9:23053", &client, &err), err); /* never asked */
    h->engine->env.dns = client;
    static const char *const names[] = {"fixed", "recursive"};
    for (size_t i = 0; i < 2; i++) {
        json_t *change = json_pack("{s:{s:s,s:i}}", "propagation", "method", names[i], "wait_s",
                                   DNS_SECONDS_MAX + 1);
        json_t *hosts = json_pack("[s]", "api.example");
        json_t *text = recipe("https://api.example", hosts, change);
        assert_int_equal(store(h, names[i], text, NULL), 0);
        use(h, names[i], names[i], NULL);
    }
    assert_int_equal(waits(h, "fixed", json_object()).fixed_s, DNS_SECONDS_MAX);
    assert_int_equal(waits(h, "fixed", json_pack("{s:i}", "fixed_s", 5)).fixed_s, 5);
    struct dns_wait_options got = waits(h, "recursive", json_object());
    assert_true(got.resolver && !got.authoritative && got.fixed_s == 0);
    static const char *const own[] = {"{\"resolvers\":\"192.0.2.1:53\"}", "{\"fixed_s\":5}",
                                      "{\"authoritative\":false,\"resolvers\":\"192.0.2.1:53\"}"};
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        json_t *propagation = json_loads(own[i], 0, NULL);
        got = waits(h, "recursive", propagation);
        assert_false(got.resolver);
        assert_true(got.resolvers || got.fixed_s == 5);
    }
    eng_free(h->engine); /* before its client */
    h->engine = NULL;
    dns_client_free(client);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, h_setup, h_teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(only_a_good_one_is_stored),
        TEST(views_tell_state_and_users),
        TEST(new_hosts_are_confirmed),
        TEST(other_ways_to_a_host_count),
        TEST(a_used_one_stays),
        TEST(the_lint_tells_where),
        TEST(a_recipe_says_how_long_to_wait),
        TEST(a_recipe_says_how_to_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
