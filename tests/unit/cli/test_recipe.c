/* Recipes of DNS providers from the command line: what is asked, and what people read. */
#include "tests/unit/cli/support.h"

#define API "/api/v1/dns-providers"

static struct place place;

static int setup(void **state)
{
    (void)state;
    place_init(&place);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    place_fini(&place);
    return 0;
}

static const char all[] =
    "{\"kinds\":[{\"kind\":\"exec\",\"title\":\"Program\",\"unverified\":false},"
    "{\"kind\":\"recipe\",\"title\":\"Recipe\",\"unverified\":false},"
    "{\"kind\":\"route53\",\"title\":\"Route "
    "53\",\"unverified\":true}],\"recipes\":[{\"name\":\"cloudflare\",\"title\":\"Cloudflare\","
    "\"unverified\":true,\"used_by\":[]},{\"name\":\"power\\u0007dns\",\"title\":\"PowerDNS\","
    "\"stored\":true,\"used_by\":[{\"name\":\"one\"},{\"name\":\"two\"}]}]}";

static void recipes_are_listed(void **state)
{
    static const struct route routes[] = {{"GET", API, 200, all}, {NULL, NULL, 0, NULL}};
    (void)state;
    place_serve(&place, routes);
    struct said *said = RUN(&place, "dns", "providers");
    assert_int_equal(said->status, CLI_OK);
    assert_string_equal(said->out,
                        "--kind exec       Program\n"
                        "--kind route53    Route 53  (unverified: never run live by us)\n"
                        "cloudflare        Cloudflare  (unverified: never run live by us)\n"
                        "power?dns         PowerDNS\n");
    said = RUN(&place, "dns", "recipe", "list");
    assert_int_equal(said->status, CLI_OK);
    assert_string_equal(said->out, "NAME                 ORIGIN   STATE      USED BY\n"
                                   "cloudflare           program  unverified -\n"
                                   "power?dns            stored   verified   one, two\n");
}

static void one_is_shown(void **state)
{
    static const struct route routes[] = {
        {"GET", API "/own", 200,
         "{\"name\":\"own\",\"title\":\"Own\",\"stored\":true,\"unverified\":true,"
         "\"reach\":[\"a.example\",\"b.example\"],\"credentials\":[{\"name\":\"token\"}],"
         "\"used_by\":[],\"lint\":{\"ok\":true,\"tests\":3},\"recipe\":{\"id\":\"own\"}}"},
        {NULL, NULL, 0, NULL}};
    (void)state;
    place_serve(&place, routes);
    struct said *said = RUN(&place, "dns", "recipe", "show", "own");
    assert_int_equal(said->status, CLI_OK);
    assert_has(said->out, "Origin         stored, unverified\n");
    assert_has(said->out, "Secrets go to  a.example, b.example\n");
    assert_has(said->out, "Credentials    token\n");
    assert_has(said->out, "Lint           passes, 3 recorded tests\n");
    assert_has(said->out, "  \"id\": \"own\"\n");
}

static void one_is_stored_and_removed(void **state)
{
    static const struct route routes[] = {
        {"PUT", API "/own?confirm_hosts=a.example&confirm_hosts=b.example%3A8443", 201,
         "{\"name\":\"own\"}"},
        {"PUT", API "/own", 409,
         "{\"title\":\"Conflict\",\"detail\":\"to "
         "evil.example\",\"error\":{\"code\":\"conflict\",\"what\":\"to evil.example\","
         "\"hint\":\"confirm each of these hosts\"}}"},
        {"DELETE", API "/own", 204, ""},
        {NULL, NULL, 0, NULL}};
    (void)state;
    place_serve(&place, routes);
    CM_AUTO_STR file = cm_asprintf("%s/own.json", place.root);
    assert_int_equal(cm_file_write(file, "{\"id\":\"own\"}", 12, 0600, NULL), 0);
    struct said *said = RUN(&place, "dns", "recipe", "add", "own", file);
    assert_int_not_equal(said->status, CLI_OK);
    assert_has(said->err, "to evil.example");
    said = RUN(&place, "dns", "recipe", "add", "own", file, "--confirm-host", "a.example",
               "--confirm-host", "b.example:8443");
    assert_int_equal(said->status, CLI_OK);
    assert_string_equal(said->out, "The recipe own is stored.\n");
    CM_AUTO_STR asked = place_asked(&place);
    assert_has(asked, "{\"id\":\"own\"}");
    said = RUN(&place, "dns", "recipe", "remove", "own");
    assert_int_equal(said->status, CLI_OK);
    assert_string_equal(said->out, "The recipe own is removed.\n");
}

static void wrong_words_are_usage_errors(void **state)
{
    (void)state;
    assert_int_equal(RUN(&place, "dns", "recipe")->status, CLI_USAGE);
    assert_int_equal(RUN(&place, "dns", "recipe", "own", "file")->status, CLI_USAGE);
    assert_int_equal(RUN(&place, "dns", "recipe", "add", "own")->status, CLI_USAGE);
    assert_int_equal(RUN(&place, "dns", "recipe", "show")->status, CLI_USAGE);
    assert_int_equal(RUN(&place, "dns", "recipe", "remove")->status, CLI_USAGE);
    assert_int_equal(RUN(&place, "dns", "recipe", "list", "x")->status, CLI_USAGE);
    assert_has(RUN(&place, "dns", "recipe", "add", "own", "/nowhere/x.json")->err, "/nowhere/x");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(recipes_are_listed),
        T(one_is_shown),
        T(one_is_stored_and_removed),
        T(wrong_words_are_usage_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
