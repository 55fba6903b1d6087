/* secret.seal and secret.open: what comes back, to whom, and everything that does not. */
#include "agent_support.h"

#define ULID "01JDEXAMPE0000000000000000"

static struct {
    char *dir;
    struct test_agent manager, server;
    struct cm_err err;
} f;

static int setup(void **state)
{
    (void)state;
    f.dir = temp_dir();
    f.err = CM_ERR_INIT;
    agent_init(&f.manager, f.dir, "manager");
    agent_init(&f.server, f.dir, "server");
    agent_start(&f.manager);
    agent_start(&f.server);
    json_decref(agent_found(&f.manager, "manager"));
    json_decref(agent_join(&f.manager, &f.server, "server-1"));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    agent_fini(&f.manager);
    agent_fini(&f.server);
    remove_dir(f.dir);
    return 0;
}

static json_t *seal(const char *purpose, const char *name, const char *value, const char *whom)
{
    return json_pack("{s:s,s:s,s:s,s:s,s:s}", "op", "secret.seal", "purpose", purpose, "name", name,
                     "value", value, "for", whom);
}

static json_t *open_it(const char *purpose, const char *name, const char *sealed)
{
    return json_pack("{s:s,s:s,s:s,s:s}", "op", "secret.open", "purpose", purpose, "name", name,
                     "sealed", sealed);
}

static void gives(struct test_agent *a, const char *purpose, const char *name, const char *sealed,
                  const char *want)
{
    CM_AUTO_JSON reply = call(a, open_it(purpose, name, sealed));
    assert_string_equal(cm_json_str(reply, "value"), want);
}

static void comes_back(void **state)
{
    (void)state;
    const char *value = "{\"token\": \"s3cret \xe6\x97\xa5\\n\"}\n\nfor: managers\n";
    CM_AUTO_JSON managers = call(&f.manager, seal("dns", "example zones", value, "managers"));
    gives(&f.manager, "dns", "example zones", cm_json_str(managers, "sealed"), value);
    CM_AUTO_JSON own = call(&f.server, seal("upstream", "proxy", "", "self"));
    gives(&f.server, "upstream", "proxy", cm_json_str(own, "sealed"), "");
    /* The text lies in the envelope only: it outlives the agent. */
    agent_restart(&f.manager);
    gives(&f.manager, "dns", "example zones", cm_json_str(managers, "sealed"), value);
    /* Not in the clear anywhere in it. */
    uint8_t *der;
    size_t len;
    const char *text = cm_json_str(managers, "sealed");
    assert_int_equal(cm_b64_decode(text, strlen(text), &der, &len), 0);
    assert_null(memmem(der, len, "s3cret", 6));
    cm_free(der);
}

static void is_bound(void **state)
{
    (void)state;
    struct test_agent *m = &f.manager;
    CM_AUTO_JSON reply = call(m, seal("dns", "a", "value", "managers"));
    const char *sealed = cm_json_str(reply, "sealed");
    refused(m, open_it("notify", "a", sealed), "denied", "bound to secret:dns");
    refused(m, open_it("dns", "b", sealed), "denied", "bound to name a");
    refused(m, open_it("dns", "a", "!!"), "malformed", "base64");
    refused(m, open_it("dns", "a", "AAAA"), "malformed", "envelope");
    refused(&f.server, open_it("dns", "a", sealed), "denied", "not a recipient");
    CM_AUTO_JSON own = call(m, seal("dns", "a", "mine", "self"));
    refused(&f.server, open_it("dns", "a", cm_json_str(own, "sealed")), "denied",
            "not a recipient");
}

static void refuses(void **state)
{
    (void)state;
    struct test_agent *m = &f.manager;
    static const char *const purposes[] = {"", "account", "credential", "dns\n", "key", "DNS"};
    for (size_t i = 0; i < sizeof(purposes) / sizeof(purposes[0]); i++) {
        refused(m, seal(purposes[i], "a", "v", "managers"), "denied", "not a purpose");
        refused(m, open_it(purposes[i], "a", "AAAA"), "denied", "not a purpose");
    }
    refused(m, seal("dns", "", "v", "self"), "malformed", "sealed text");
    refused(m, seal("dns", "a\nfor: self", "v", "self"), "malformed", "sealed text");
    refused(m, seal("dns", "a", "v", "everybody"), "invalid", "managers");
    refused(&f.server, seal("dns", "a", "v", "managers"), "denied", "not a manager");
    char *big = cm_calloc(1, (32u << 10) + 2);
    memset(big, 'x', (32u << 10) + 1);
    refused(m, seal("dns", "a", big, "self"), "limit", "at most");
    big[32u << 10] = '\0';
    CM_AUTO_JSON reply = call(m, seal("dns", "a", big, "managers"));
    gives(m, "dns", "a", cm_json_str(reply, "sealed"), big);
    cm_free(big);
}

/* Keys never come out of this door, and texts are no keys. */
static void keys_stay_inside(void **state)
{
    (void)state;
    struct test_agent *m = &f.manager;
    const char *dir = "https://ca.example/directory";
    CM_AUTO_JSON account = call(
        m, json_pack("{s:s,s:s,s:s}", "op", "account.create", "account", "main", "directory", dir));
    CM_AUTO_JSON key = call(m, json_pack("{s:s,s:s,s:i,s:s,s:[s],s:[s]}", "op", "key.create",
                                         "credential", ULID, "generation", 1, "key_type", "P-256",
                                         "names", "a.b", "servers", "manager"));
    refused(m, open_it("dns", "main", cm_json_str(account, "sealed_key")), "denied",
            "bound to account:main");
    refused(m, open_it("dns", ULID, cm_json_str(key, "sealed_key")), "denied",
            "bound to credential:");
    CM_AUTO_JSON text = call(m, seal("dns", "main", "v", "managers"));
    refused(m,
            json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s}", "op", "jws.sign", "account", "main",
                      "directory", dir, "sealed_key", cm_json_str(text, "sealed"), "url",
                      "https://ca.example/x", "nonce", "n", "payload", ""),
            "denied", "bound to secret:dns");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(comes_back),
        TEST(is_bound),
        TEST(refuses),
        TEST(keys_stay_inside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
