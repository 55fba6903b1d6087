/* Stages: rolling back, committing, superseding, two credentials for one keyring, repair. */
#include "deploy_support.h"

static char *staged(struct test_agent *a, const json_t *document)
{
    CM_AUTO_JSON reply = call(a, stage_request(document, "web"));
    assert_true(cm_json_bool(reply, "changed", false));
    return cm_strdup(cm_json_str(reply, "stage"));
}

static void rolls_back_to_the_one_before(void **state)
{
    (void)state;
    CM_AUTO_JSON one = body_for_server_1();
    CM_AUTO_JSON two = body_for_server_1();
    CM_AUTO_JSON first = resign(one);
    CM_AUTO_JSON second = resign(two);
    deploy(&f.server, first);
    CM_AUTO_STR before = read_data(&f.server, "site.kyr", 0600);

    CM_AUTO_STR stage = staged(&f.server, second);
    CM_AUTO_JSON swapped = call(&f.server, stage_op("deploy.swap", stage));
    assert_int_equal(cm_json_int(swapped, "previous", -1), 1);
    CM_AUTO_STR during = read_data(&f.server, "site.kyr", 0600);
    assert_string_not_equal(during, before);
    json_decref(call(&f.server, stage_op("deploy.rollback", stage)));
    CM_AUTO_STR after = read_data(&f.server, "site.kyr", 0600);
    assert_string_equal(after, before);
    assert_false(there(&f.server, ".certmgr/site/2"));
    refused(&f.server, stage_op("deploy.rollback", stage), "not_found", "unknown");
    /* What was rolled back is not remembered as deployed: the first may be deployed again. */
    CM_AUTO_JSON again = call(&f.server, stage_request(first, "web"));
    assert_false(cm_json_bool(again, "changed", true));
    deploy(&f.server, second);
}

static void rolls_back_the_very_first(void **state)
{
    (void)state;
    CM_AUTO_JSON body = body_for_server_1();
    CM_AUTO_JSON document = resign(body);
    CM_AUTO_STR unswapped = staged(&f.server, document);
    json_decref(call(&f.server, stage_op("deploy.rollback", unswapped)));
    CM_AUTO_STR stage = staged(&f.server, document);
    json_decref(call(&f.server, stage_op("deploy.swap", stage)));
    assert_true(there(&f.server, "site.kyr"));
    json_decref(call(&f.server, stage_op("deploy.rollback", stage)));
    assert_false(there(&f.server, "site.kyr"));
    assert_false(there(&f.server, "site"));
    deploy(&f.server, document);
}

static void a_newer_stage_supersedes(void **state)
{
    (void)state;
    CM_AUTO_JSON one = body_for_server_1();
    CM_AUTO_JSON two = body_for_server_1();
    CM_AUTO_JSON first = resign(one);
    CM_AUTO_JSON second = resign(two);
    CM_AUTO_STR old = staged(&f.server, first);
    CM_AUTO_STR new = staged(&f.server, second);
    refused(&f.server, stage_op("deploy.swap", old), "not_found", "stage the document again");
    json_decref(call(&f.server, stage_op("deploy.swap", new)));
    json_decref(call(&f.server, stage_op("deploy.commit", new)));
    CM_AUTO_STR cert = read_data(&f.server, "site/cert.pem", 0644);
    assert_string_equal(cert, cm_json_str(second, "leaf"));
    /* Stages do not outlive the agent; their directories go with the next commit. */
    CM_AUTO_JSON three = body_for_server_1();
    CM_AUTO_JSON third = resign(three);
    CM_AUTO_STR lost = staged(&f.server, third);
    agent_restart(&f.server);
    refused(&f.server, stage_op("deploy.swap", lost), "not_found", "unknown");
    deploy(&f.server, third);
}

static void keeps_three_generations(void **state)
{
    (void)state;
    for (int i = 1; i <= 5; i++) {
        CM_AUTO_JSON body = body_for_server_1();
        CM_AUTO_JSON document = resign(body);
        deploy(&f.server, document);
    }
    assert_false(there(&f.server, ".certmgr/site/2"));
    assert_true(there(&f.server, ".certmgr/site/3"));
    assert_true(there(&f.server, ".certmgr/site/5"));
}

/* Damaged, narrowed, widened or deleted: put back as it was. */
static void repairs_damage(void **state)
{
    (void)state;
    CM_AUTO_JSON body = body_for_server_1();
    CM_AUTO_JSON document = resign(body);
    deploy(&f.server, document);
    CM_AUTO_STR want = read_data(&f.server, "site.kyr", 0600);
    CM_AUTO_STR kyr = cm_asprintf("%s/site.kyr", f.server.data);
    CM_AUTO_STR dir = cm_asprintf("%s/site", f.server.data);
    CM_AUTO_STR key = cm_asprintf("%s/site/privkey.pem", f.server.data);
    for (int i = 0; i < 4; i++) {
        if (i == 0)
            assert_int_equal(truncate(kyr, 10), 0);
        else if (i == 1)
            assert_int_equal(chmod(key, 0644), 0);
        else if (i == 2)
            assert_int_equal(unlink(key), 0);
        else
            assert_int_equal(unlink(dir), 0);
        deploy(&f.server, document); /* asserts that something was to do */
        CM_AUTO_STR got = read_data(&f.server, "site.kyr", 0600);
        assert_string_equal(got, want);
        cm_free(read_data(&f.server, "site/privkey.pem", 0600));
    }
}

static void two_credentials_for_one_keyring(void **state)
{
    (void)state;
    static const char *const server[] = {"server-1"};
    CM_AUTO_JSON one = body_for_server_1();
    CM_AUTO_JSON first = resign(one);
    CM_AUTO_JSON two = new_body(OTHER, server, 1);
    CM_AUTO_JSON second = resign(two);
    deploy(&f.server, second);
    refused(&f.server, stage_request(first, "web"), "conflict", "belongs to credential:" OTHER);
    CM_AUTO_JSON renewed = resign(one); /* signed later: it has the file now */
    deploy(&f.server, renewed);
    refused(&f.server, stage_request(second, "web"), "conflict", "belongs to credential:" ULID);
}

static void refuses_foreign_files_and_full_tables(void **state)
{
    (void)state;
    CM_AUTO_JSON body = body_for_server_1();
    CM_AUTO_JSON document = resign(body);
    CM_AUTO_STR kyr = cm_asprintf("%s/site.kyr", f.server.data);
    OK(cm_file_write(kyr, "mine", 4, 0600, &f.err), f.err);
    refused(&f.server, stage_request(document, "web"), "conflict", "was not made by CertMgr");
    CM_AUTO_STR kept = read_data(&f.server, "site.kyr", 0600);
    assert_string_equal(kept, "mine");
    assert_int_equal(unlink(kyr), 0);
    /* Stages are bounded. */
    for (int i = 0; i < 128; i++) {
        char name[32];
        snprintf(name, sizeof(name), "n%d.kyr", i);
        cm_json_set_str(body, "keyring_file", name);
        CM_AUTO_JSON one = resign(body);
        cm_free(staged(&f.server, one));
    }
    cm_json_set_str(body, "keyring_file", "n128.kyr");
    CM_AUTO_JSON last = resign(body);
    refused(&f.server, stage_request(last, "web"), "busy", "not finished");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(rolls_back_to_the_one_before),
        TEST(rolls_back_the_very_first),
        TEST(a_newer_stage_supersedes),
        TEST(keeps_three_generations),
        TEST(repairs_damage),
        TEST(two_credentials_for_one_keyring),
        TEST(refuses_foreign_files_and_full_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
