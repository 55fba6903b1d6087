/* Every shipped recipe proves itself, and the lint finds what is wrong with a broken one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "base/core/file.h"
#include "base/core/mem.h"
#include "certmgr/dns/recipe.h"
#include "certmgr/dns/shipped.h"

#define DIRECTORY CM_SOURCE_DIR "/packaging/dns"

static json_t *load(const char *file)
{
    struct cm_err err = CM_ERR_INIT;
    char *text = NULL;
    size_t len = 0;
    json_t *recipe = NULL;
    CM_AUTO_STR path = cm_asprintf("%s/%s", DIRECTORY, file);
    if (cm_file_read(path, RCP_BYTES_MAX, &text, &len, &err) < 0 ||
        cm_json_parse(text, len, &recipe, &err) < 0)
        fail_msg("%s: %s", file, err.what);
    cm_free(text);
    return recipe;
}

static void count_line(void *arg, const char *line)
{
    unsigned *count = arg;
    if (strstr(line, ": passed"))
        (*count)++;
}

static void every_shipped_recipe(void **state)
{
    DIR *dir = opendir(DIRECTORY);
    unsigned files = 0;
    (void)state;
    assert_non_null(dir);
    for (struct dirent *e = readdir(dir); e; e = readdir(dir)) {
        struct cm_err err = CM_ERR_INIT;
        char line[CM_ERR_TEXT_MAX];
        unsigned passed = 0;
        if (!strstr(e->d_name, ".json") || strstr(e->d_name, ".schema.json"))
            continue;
        json_t *recipe = load(e->d_name);
        int rc = dnsp_lint(recipe, count_line, &passed, &err);
        cm_err_line(&err, line, sizeof(line));
        if (rc < 0)
            fail_msg("%s: %s", e->d_name, line);
        CM_AUTO_STR name = cm_asprintf("%s.json", cm_json_str(recipe, "id"));
        assert_string_equal(name, e->d_name);
        assert_true(passed >= 2 && passed == json_array_size(json_object_get(recipe, "tests")));
        /* Only what ran live here may say so. */
        assert_int_equal(cm_json_bool(recipe, "unverified", true),
                         strcmp(e->d_name, "powerdns.json") != 0);
        json_decref(recipe);
        files++;
    }
    closedir(dir);
    assert_int_equal(files, 14);
}

static void they_are_part_of_the_program(void **state)
{
    (void)state;
    assert_int_equal(dnsp_shipped_count, 14);
    for (size_t i = 0; i < dnsp_shipped_count; i++) {
        const char *id = dnsp_shipped_all[i].name;
        CM_AUTO_STR file = cm_asprintf("%s.json", id);
        CM_AUTO_JSON there = load(file);
        CM_AUTO_JSON here = dnsp_shipped_recipe(id);
        assert_true(json_equal(here, there));
        assert_string_equal(cm_json_str(here, "id"), id);
        assert_non_null(cm_json_str(here, "title"));
    }
    assert_null(dnsp_shipped_recipe("none"));
}

/* Editors find the schema of the language by it. */
static void a_recipe_may_name_its_schema(void **state)
{
    struct cm_err err = CM_ERR_INIT;
    CM_AUTO_JSON recipe = load("cloudflare.json");
    (void)state;
    cm_json_set_str(recipe, "$schema", "recipe.schema.json");
    assert_int_equal(dnsp_lint(recipe, NULL, NULL, &err), 0);
}

/* A recipe with one thing changed: the lint names the place. */
static void expect_fault(const char *file, const char *pointer, json_t *take, const char *said)
{
    struct cm_err err = CM_ERR_INIT;
    char line[CM_ERR_TEXT_MAX * 2];
    json_t *recipe = load(file);
    const char *last = strrchr(pointer, '/');
    CM_AUTO_STR parent = cm_strndup(pointer, (size_t)(last - pointer));
    json_t *at = (json_t *)(uintptr_t)rcp_pointer(recipe, parent);
    assert_non_null(at);
    if (take)
        json_object_set_new(at, last + 1, take);
    else
        assert_int_equal(json_object_del(at, last + 1), 0);
    assert_int_equal(dnsp_lint(recipe, NULL, NULL, &err), CM_EINVAL);
    cm_err_line(&err, line, sizeof(line));
    if (!strstr(line, said))
        fail_msg("\"%s\" does not say \"%s\"", line, said);
    if (err.object[0] != '/' || !strstr(line, err.object))
        fail_msg("\"%s\" is not where \"%s\" stands", err.object, line);
    cm_err_fini(&err);
    json_decref(recipe);
}

static void faults_are_named(void **state)
{
    (void)state;
    expect_fault("cloudflare.json", "/schema", json_integer(2), "/schema: must be 1");
    expect_fault("cloudflare.json", "/more", json_true(), "/more: is not a member");
    expect_fault("cloudflare.json", "/base", json_string("/v1"), "/base: must begin with https://");
    expect_fault("cloudflare.json", "/steps/add/reply", json_string("xml"), "one of: json text");
    expect_fault("cloudflare.json", "/steps/find/paging", json_pack("{s:s}", "nxt", "/x"),
                 "/steps/find/paging/nxt: is not a member");
    expect_fault("cloudflare.json", "/steps/add/error", json_pack("{s:i}", "text", 1),
                 "/steps/add/error/text: must be a JSON pointer");
    expect_fault("cloudflare.json", "/gone", json_pack("{s:[i],s:i}", "status", 404, "equals", 1),
                 "/gone: must be a predicate");
    expect_fault("cloudflare.json", "/gone", json_pack("{s:s,s:i}", "pointer", "/x", "begins", 1),
                 "/gone: must be a predicate");
    expect_fault("cloudflare.json", "/gone",
                 json_pack("{s:s,s:s,s:b}", "pointer", "/x", "begins", "a", "exists", 1),
                 "/gone: must be a predicate");
    expect_fault("cloudflare.json", "/steps/add/post", json_string("/{{zone}}"),
                 "{{zone}} is not known here");
    expect_fault("desec.json", "/tests/0/options", json_pack("{s:s}", "zone", "other.example"),
                 "/tests/0: _acme");
    expect_fault("cloudflare.json", "/txt", NULL, "lacks \"txt\"");
    expect_fault("cloudflare.json", "/steps/delete", NULL, "lacks delete");
    expect_fault("gandi.json", "/steps/put", NULL, "mode set needs find and put");
    expect_fault("cloudflare.json", "/txt/mode", json_string("many"), "one of: sep set single");
    expect_fault("cloudflare.json", "/steps/add/get", json_string("/x"), "exactly one of");
    expect_fault("cloudflare.json", "/steps/find/get", json_string("/x?y=1"),
                 "queries go to query");
    expect_fault("cloudflare.json", "/steps/find/get", json_string("https://evil.example/x"),
                 "not in hosts");
    expect_fault("cloudflare.json", "/steps/find/get", json_string("http://api.cloudflare.com/"),
                 "https://");
    expect_fault("cloudflare.json", "/base", json_string("https://{{opt.ttl}}/x"), "not in hosts");
    expect_fault("cloudflare.json", "/auth/kind", json_string("magic"), "one of: headers basic");
    expect_fault("cloudflare.json", "/auth/set/Authorization", json_string("Bearer {{cred.tokn}}"),
                 "/auth/set/Authorization: {{cred.tokn}} is not known here");
    expect_fault("cloudflare.json", "/auth/set/Host", json_string("x"), "header names");
    expect_fault("cloudflare.json", "/auth/set/X-A", json_string("a\r\nX-B: c"), "one-line");
    expect_fault("cloudflare.json", "/ok/pointer", json_string("success"), "predicate");
    expect_fault("cloudflare.json", "/steps/zone/iterate", json_string("guess"), "suffix soa");
    expect_fault("cloudflare.json", "/limits/retry", json_pack("[i]", 42), "HTTP statuses");
}

static void placeholders_are_known_in_their_step(void **state)
{
    (void)state;
    expect_fault("cloudflare.json", "/steps/find/query/name", json_string("{{zone.candidate}}"),
                 "/steps/find/query/name: {{zone.candidate}} is not known here");
    expect_fault("cloudflare.json", "/steps/add/json/content", json_string("{{values}}"),
                 "{{values}} is not known");
    expect_fault("cloudflare.json", "/steps/delete/del", json_string("/x/{{record.uid}}"),
                 "{{record.uid}} is not known");
    expect_fault("cloudflare.json", "/steps/zone/query/name", json_string("{{value}}"),
                 "{{value}} is not known");
    expect_fault("cloudflare.json", "/steps/add/json/content", json_string("{{value|upper}}"),
                 "filters");
    expect_fault("cloudflare.json", "/steps/add/json/content", json_string("{{value"), "filters");
    expect_fault("duckdns.json", "/steps/add/query/txt", json_string("{{name.relative}}"),
                 "{{name.relative}} is not known");
    expect_fault("google.json", "/steps/find/query/type", json_string("{{login.token}}"),
                 "{{login.token}} is not known");
}

static void recordings_are_compared(void **state)
{
    (void)state;
    expect_fault("cloudflare.json", "/tests/0/exchange/0/request/url", json_string("https://x/"),
                 "exchange/0/request/url: recorded https://x/, made https://api");
    expect_fault("cloudflare.json", "/tests/0/exchange/4/request/json/ttl", json_integer(1),
                 "exchange/4/request/json");
    expect_fault("cloudflare.json", "/tests/0/exchange/0/request/headers/Authorization",
                 json_string("Bearer other"), "headers/Authorization");
    expect_fault("cloudflare.json", "/tests/0/exchange/0/request/method", json_string("POST"),
                 "request/method");
    expect_fault("cloudflare.json", "/tests/0/exchange", json_array(), "another is made");
    expect_fault("cloudflare.json", "/tests/4/fails", json_string("something else"), "9109");
    expect_fault("cloudflare.json", "/tests/0/expect/record/id", json_string("other"),
                 "not the expected one");
    expect_fault("duckdns.json", "/tests/0/exchange/0/reply/text", json_string("KO"), "KO");
}

/* A recorded test of a recipe that asks too much: the lint plays it until it ends by itself. */
static void expect_end(const json_t *recipe, const char *fqdn, json_t *take_reply, unsigned asked,
                       const char *fails)
{
    struct cm_err err = CM_ERR_INIT;
    char line[CM_ERR_TEXT_MAX];
    CM_AUTO_JSON copy = json_deep_copy(recipe);
    json_t *exchange = json_array();
    for (unsigned i = 0; i < asked; i++)
        json_array_append_new(exchange,
                              json_pack("{s:{s:s,s:s},s:{s:i,s:O}}", "request", "method", "GET",
                                        "url", "*", "reply", "status", 200, "json", take_reply));
    json_decref(take_reply);
    json_object_set_new(copy, "tests",
                        json_pack("[{s:s,s:s,s:s,s:s,s:o,s:s}]", "name", "bounded", "action", "add",
                                  "fqdn", fqdn, "value", "v", "exchange", exchange, "fails",
                                  fails));
    if (dnsp_lint(copy, NULL, NULL, &err) < 0) {
        cm_err_line(&err, line, sizeof(line));
        fail_msg("%u requests for %s: %s", asked, fqdn, line);
    }
}

static json_t *walker(const char *iterate, json_t *take_paging)
{
    json_t *recipe = json_loads(
        "{\"schema\":1,\"id\":\"w\",\"title\":\"W\",\"revision\":1,\"base\":\"https://a.example\","
        "\"hosts\":[\"a.example\"],\"txt\":{\"mode\":\"sep\"},\"steps\":{\"zone\":{\"get\":\"/z\","
        "\"query\":{\"n\":\"{{zone.candidate}}\"},\"items\":\"/zones\",\"name\":\"/n\","
        "\"save\":{\"id\":\"/id\"}},\"add\":{\"post\":\"/{{zone.id}}\"},"
        "\"delete\":{\"del\":\"/{{zone.id}}\"}}}",
        0, NULL);
    json_t *zone = json_object_get(json_object_get(recipe, "steps"), "zone");
    assert_non_null(zone);
    if (strcmp(iterate, "suffix") == 0)
        json_object_del(zone, "name");
    json_object_set_new(zone, "iterate", json_string(iterate));
    if (take_paging)
        json_object_set_new(zone, "paging", take_paging);
    return recipe;
}

/* However long a name or a provider's list is, one value costs so many requests and no more, and
 * nobody is asked about the names of a registry. */
static void every_walk_ends(void **state)
{
    (void)state;
    CM_AUTO_JSON suffix = walker("suffix", NULL);
    CM_AUTO_JSON list = walker("list", json_pack("{s:s}", "query", "page"));
    CM_AUTO_JSON longer = walker("list", json_pack("{s:s,s:i}", "query", "page", "max", 3));
    CM_AUTO_JSON endless = walker("list", json_pack("{s:s,s:i}", "query", "page", "max", 100));
    json_t *none = json_pack("{s:[]}", "zones");
    json_t *others = json_pack("{s:[{s:s,s:s}]}", "zones", "n", "other.example", "id", "1");
    /* _acme-challenge.www.example.co.uk, www.example.co.uk, example.co.uk */
    expect_end(suffix, "_acme-challenge.www.example.co.uk", json_incref(none), 3, "no zone for");
    expect_end(suffix,
               "_acme-challenge.a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.r.s.t.u.v.w.x.example.com",
               json_incref(none), DNSP_REQUESTS_MAX, "more than 20 requests");
    expect_end(list, "_acme-challenge.example.com", json_incref(others), RCP_PAGES_MAX,
               "no zone for");
    expect_end(longer, "_acme-challenge.example.com", json_incref(others), 3, "no zone for");
    expect_end(endless, "_acme-challenge.example.com", json_incref(others), DNSP_REQUESTS_MAX,
               "more than 20 requests");
    json_decref(none);
    json_decref(others);
}

/* Where an account's secrets can go: the recipe's hosts and the account's own base. */
static void reach_is_told(void **state)
{
    static const struct {
        const char *recipe, *options, *hosts;
    } rows[] = {
        {"{\"hosts\":[\"a.example\",\"b.example\",\"a.example\"],\"base\":\"https://a.example\"}",
         "{}", "a.example b.example "},
        {"{\"hosts\":[\"a.example\"],\"options\":[{\"name\":\"server\",\"base\":true}]}", NULL,
         "a.example "},
        {"{\"hosts\":[\"a.example\"],\"options\":[{\"name\":\"server\",\"base\":true}]}",
         "{\"server\":\"https://own.example/v1\"}", "a.example own.example "},
        {"{\"hosts\":[\"a.example\"],\"options\":[{\"name\":\"server\",\"base\":true}]}",
         "{\"server\":\"https://a.example:8443/v1\"}", "a.example a.example:8443 "},
        {"{\"hosts\":[],\"options\":[{\"name\":\"server\",\"base\":true,\"default\":\"https://"
         "d.example\"}]}",
         "{\"server\":\"\"}", "d.example "},
        /* An option that is no base reaches nothing. */
        {"{\"hosts\":[\"a.example\"],\"options\":[{\"name\":\"server\"}]}",
         "{\"server\":\"https://own.example\"}", "a.example "},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        CM_AUTO_JSON recipe = json_loads(rows[i].recipe, 0, NULL);
        CM_AUTO_JSON options = rows[i].options ? json_loads(rows[i].options, 0, NULL) : NULL;
        CM_AUTO_JSON hosts = rcp_reach(recipe, options);
        char got[200] = "";
        size_t k, len = 0;
        json_t *host;
        json_array_foreach(hosts, k, host)
        {
            len += (size_t)snprintf(got + len, sizeof(got) - len, "%s ", json_string_value(host));
        }
        assert_string_equal(got, rows[i].hosts);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_shipped_recipe),
        cmocka_unit_test(they_are_part_of_the_program),
        cmocka_unit_test(a_recipe_may_name_its_schema),
        cmocka_unit_test(faults_are_named),
        cmocka_unit_test(placeholders_are_known_in_their_step),
        cmocka_unit_test(recordings_are_compared),
        cmocka_unit_test(reach_is_told),
        cmocka_unit_test(every_walk_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
