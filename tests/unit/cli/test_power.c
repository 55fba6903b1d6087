/* trust threshold and trust sign: what is said to whoever carries a change from signer to signer.
 */
#include "tests/unit/cli/support.h"

#include "base/core/file.h"
#include "base/core/mem.h"

#define API "/api/v1"

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

static struct said *threshold_of(const char *signers)
{
    CM_AUTO_STR reply = cm_asprintf("{\"waiting\":\"1 of 2\",\"hint\":\"carry it\",\"proposal\":"
                                    "{\"document\":{\"root_signers\":[%s]}}}",
                                    signers);
    const struct route routes[] = {{"PUT", API "/trust/threshold", 202, reply},
                                   {NULL, NULL, 0, NULL}};
    place_fini(&place);
    place_init(&place);
    place_serve(&place, routes);
    struct said *said = RUN(&place, "trust", "threshold", "2", "--signer", "b");
    assert_int_equal(said->status, CLI_WAITING);
    assert_has(said->out, "1 of 2\ncarry it\n");
    return said;
}

static void a_rule_without_a_spare_is_warned_of(void **state)
{
    (void)state;
    assert_has(threshold_of("\"a\",\"b\"")->err, "all 2 root signers have to sign then");
    assert_string_equal(threshold_of("\"a\",\"b\",\"c\"")->err, "");
}

/* A promotion may lead there, too: the lost manager signs no more. */
static void a_promotion_without_a_spare_is_warned_of(void **state)
{
    static const struct route routes[] = {
        {"POST", API "/manager/promote", 202,
         "{\"waiting\":\"1 of 2\",\"hint\":\"carry it\",\"proposal\":{\"document\":"
         "{\"threshold\":2,\"root_signers\":[\"a\",\"b\"]}}}"},
        {"GET", API "/trust", 200,
         "{\"version\":7,\"threshold\":2,\"signers\":[\"bravo\",\"carol\"]}"},
        {NULL, NULL, 0, NULL}};
    (void)state;
    place_serve(&place, routes);
    struct said *said = RUN(&place, "manager", "promote", "--lost");
    assert_int_equal(said->status, CLI_WAITING);
    assert_has(said->err, "all 2 root signers have to sign then");
    assert_has(said->err, "certmgr trust threshold 2 --signer NAME");
    said = RUN(&place, "trust", "show");
    assert_has(said->out, "All of them have to sign: if one is lost");
}

/* What the file holds afterwards, and what is said. */
/* What the former keys of a server are kept for, and what comes then. */
static void a_rotation_tells_what_it_waits_for(void **state)
{
    static const struct route routes[] = {
        {"GET", API "/servers/bravo/rotation", 200,
         "{\"state\":\"resealed\",\"stuck\":false,\"waiting\":{\"documents\":3,\"first\":"
         "\"keyfile:x\",\"since\":\"2026-11-22T00:00:00.000Z\",\"until\":"
         "\"2026-11-23T00:00:00.000Z\"}}"},
        {"GET", API "/servers/carol/rotation", 200, "{\"state\":\"resealed\",\"stuck\":false}"},
        {NULL, NULL, 0, NULL}};
    (void)state;
    place_serve(&place, routes);
    struct said *said = RUN(&place, "server", "rotate", "bravo", "--status");
    assert_int_equal(said->status, CLI_OK);
    assert_has(said->out, "have 3 documents sealed anew");
    assert_has(said->out, "the first is keyfile:x\n");
    assert_has(said->out, "at the latest on 2026-11-23T00:00:00.000Z");
    said = RUN(&place, "server", "rotate", "carol", "--status");
    assert_string_equal(said->out, "State:    resealed\n");
}

static void sign(int status, const char *reply, int wanted, const char *said_text, const char *kept)
{
    const struct route routes[] = {{"POST", API "/trust/signatures", status, reply},
                                   {NULL, NULL, 0, NULL}};
    char *text = NULL;
    size_t len = 0;
    place_fini(&place);
    place_init(&place);
    place_serve(&place, routes);
    CM_AUTO_STR file = cm_asprintf("%s/change.json", place.root);
    assert_int_equal(cm_file_write(file, "{\"v\":1}", 7, 0644, NULL), 0);
    struct said *said = RUN(&place, "trust", "sign", file);
    assert_int_equal(said->status, wanted);
    assert_has(said->out, said_text);
    assert_int_equal(cm_file_read(file, 4096, &text, &len, NULL), 0);
    assert_string_equal(text, kept);
    cm_free(text);
}

static void the_signature_goes_with_the_file(void **state)
{
    (void)state;
    sign(200, "{\"version\":2,\"manager\":\"else\",\"document\":{\"v\":2}}", CLI_OK,
         "take the file there: certmgr trust sign FILE\n", "{\"v\":2}");
    sign(202, "{\"waiting\":\"2 of 3\",\"hint\":\"h\",\"proposal\":{\"document\":{\"v\":3}}}",
         CLI_WAITING, "change.json has this signature, too.", "{\"v\":3}");
    sign(409, "{\"title\":\"no\",\"status\":409,\"detail\":\"not above\"}", CLI_CONFLICT, "",
         "{\"v\":1}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_rule_without_a_spare_is_warned_of, setup, teardown),
        cmocka_unit_test_setup_teardown(a_rotation_tells_what_it_waits_for, setup, teardown),
        cmocka_unit_test_setup_teardown(a_promotion_without_a_spare_is_warned_of, setup, teardown),
        cmocka_unit_test_setup_teardown(the_signature_goes_with_the_file, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
