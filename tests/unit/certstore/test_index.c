/* Host-name, fingerprint and due indexes over effective revisions. */
#include "support.h"

#include "certstore/index.h"

static char seen[8192];
static char last_key[512], last_id[512];

static int setup(void **state)
{
    static struct rig rig;
    rig_open(&rig, true);
    *state = &rig;
    return 0;
}

static int teardown(void **state)
{
    rig_close(*state);
    return 0;
}

static int on_entry(void *arg, const char *key, const char *id)
{
    int *stop_after = arg;
    char line[1100];
    const char *name = strrchr(id, ':');
    snprintf(line, sizeof(line), "%s>%s;", key, name ? name + strlen(name) - 1 : id);
    strncat(seen, line, sizeof(seen) - strlen(seen) - 1);
    snprintf(last_key, sizeof(last_key), "%s", key);
    snprintf(last_id, sizeof(last_id), "%s", id);
    return stop_after && --*stop_after == 0 ? CM_ENOENT : 0;
}

static const char *walk(struct rig *rig, enum cs_index index, const char *prefix)
{
    seen[0] = '\0';
    assert_int_equal(cs_each(rig->store, index, prefix, NULL, NULL, on_entry, NULL), 0);
    return seen;
}

static json_t *strings(const char *comma_separated)
{
    json_t *all = json_array();
    for (const char *at = comma_separated; *at;) {
        size_t len = strcspn(at, ",");
        json_array_append_new(all, json_stringn(at, len));
        at += at[len] ? len + 1 : len;
    }
    return all;
}

static void credential(struct rig *rig, const char *ulid, int64_t serial, const char *hosts,
                       const char *servers, const char *status, const char *not_after)
{
    json_t *doc = json_object();
    char id[64];
    snprintf(id, sizeof(id), "credential:%s", ulid);
    cm_json_set_str(doc, "_id", id);
    cm_json_set_str(doc, "type", "credential");
    cm_json_set_int(doc, "serial", serial);
    cm_json_set(doc, "host_names_ascii", strings(hosts));
    cm_json_set(doc, "servers", strings(servers));
    cm_json_set_str(doc, "status", status);
    cm_json_set_str(doc, "not_after", not_after);
    toy_sign(doc, false);
    struct cs_result result = put(rig, doc);
    if (result.code < 0)
        fail_msg("%s", result.reason);
}

static void host_key(const char *name, const char *expected)
{
    CM_AUTO_STR key = cs_host_key(name);
    assert_string_equal(key, expected);
}

static void reverses_labels(void **state)
{
    (void)state;
    host_key("www.Example.com", "com.example.www");
    host_key("*.example.com", "com.example.*");
    host_key("localhost", "localhost");
    host_key("", "");
    host_key("a.", ".a");
}

static void follows_the_effective_leaf(void **state)
{
    struct rig *rig = *state;
    credential(rig, ULID_A, 1, "www.example.com,*.example.com,www.example.com", "s2,s1", "pending",
               NULL);
    credential(rig, ULID_B, 1, "mail.example.org", "s1", "issued", TIME_A);
    /* The open batch shows its own entries. */
    assert_string_equal(walk(rig, CS_BY_HOST, NULL),
                        "com.example.*>0;com.example.www>0;org.example.mail>1;");
    commit(rig);
    assert_string_equal(walk(rig, CS_BY_HOST, "com.example."),
                        "com.example.*>0;com.example.www>0;");
    assert_string_equal(walk(rig, CS_BY_SERVER, NULL), "s1>0;s1>1;s2>0;");
    assert_string_equal(walk(rig, CS_BY_SERVER, "s2"), "s2>0;");
    assert_string_equal(walk(rig, CS_BY_STATUS, NULL), "issued>1;pending>0;");
    assert_string_equal(walk(rig, CS_BY_EXPIRY, NULL), TIME_A ">1;");
    assert_string_equal(walk(rig, CS_BY_TYPE, "credential"), "credential>0;credential>1;");
    assert_string_equal(walk(rig, CS_BY_TYPE, "settings"), "");
    credential(rig, ULID_A, 2, "www.example.com", "s3", "issued", TIME_A);
    commit(rig);
    assert_string_equal(walk(rig, CS_BY_HOST, "com"), "com.example.www>0;");
    assert_string_equal(walk(rig, CS_BY_SERVER, NULL), "s1>1;s3>0;");
    assert_string_equal(walk(rig, CS_BY_STATUS, NULL), "issued>0;issued>1;");
    assert_string_equal(walk(rig, CS_BY_EXPIRY, NULL), TIME_A ">0;" TIME_A ">1;");
    assert_sound(rig, 2);
    /* A tombstone takes everything out. */
    json_t *gone =
        json_pack("{s:s,s:s,s:i}", "_id", "credential:" ULID_A, "type", "credential", "serial", 3);
    toy_sign(gone, true);
    cm_json_set_bool(gone, "_deleted", true);
    assert_int_equal(put(rig, gone).code, 0);
    commit(rig);
    assert_string_equal(walk(rig, CS_BY_TYPE, NULL), "credential>1;");
    assert_string_equal(walk(rig, CS_BY_STATUS, NULL), "issued>1;");
    assert_sound(rig, 2);
}

static void pages_by_cursor(void **state)
{
    struct rig *rig = *state;
    credential(rig, ULID_A, 1, "a.example,b.example,c.example", "s1", "pending", NULL);
    credential(rig, ULID_B, 1, "b.example,c.example,d.example", "s1", "pending", NULL);
    commit(rig);
    char all[8192] = "";
    char key[512] = "", id[512] = "";
    for (int page = 0; page < 10; page++) {
        int stop_after = 2;
        seen[0] = '\0';
        int rc = cs_each(rig->store, CS_BY_HOST, "example", page ? key : NULL, page ? id : NULL,
                         on_entry, &stop_after);
        strncat(all, seen, sizeof(all) - strlen(all) - 1);
        snprintf(key, sizeof(key), "%s", last_key);
        snprintf(id, sizeof(id), "%s", last_id);
        /* What fn returns comes back unchanged, also when it looks like an error of ours. */
        if (rc == 0)
            break;
        assert_int_equal(rc, CM_ENOENT);
        strncat(all, "|", sizeof(all) - strlen(all) - 1);
    }
    assert_string_equal(all, "example.a>0;example.b>0;|example.b>1;example.c>0;|"
                             "example.c>1;example.d>1;|");
    /* A cursor from before the prefix starts at the prefix, one from behind gives nothing. */
    seen[0] = '\0';
    assert_int_equal(cs_each(rig->store, CS_BY_HOST, "example.d", "example.a", "x", on_entry, NULL),
                     0);
    assert_string_equal(seen, "example.d>1;");
    seen[0] = '\0';
    assert_int_equal(cs_each(rig->store, CS_BY_HOST, "example.a", "example.b", "x", on_entry, NULL),
                     0);
    assert_string_equal(seen, "");
}

static void tokens_and_credentials(void **state)
{
    struct rig *rig = *state;
    json_t *doc = json_pack("{s:s,s:s,s:i,s:s,s:[{s:s,s:s,s:s,s:s,s:s},{s:s,s:s,s:s,s:s,s:s}]}",
                            "_id", "challenge:" ULID_A, "type", "challenge", "serial", 1,
                            "credential", ULID_A, "tokens", "host", "a.example", "type", "http-01",
                            "token", "tok-2", "key_authorization", "tok-2.x", "expires_at", TIME_A,
                            "host", "b.example", "type", "http-01", "token", "tok-1",
                            "key_authorization", "tok-1.x", "expires_at", TIME_A);
    toy_sign(doc, false);
    assert_int_equal(put(rig, doc).code, 0);
    doc = json_pack("{s:s,s:s,s:i,s:s,s:s,s:s,s:s}", "_id", "receipt:s1.example:" ULID_A, "type",
                    "receipt", "serial", 1, "server", "s1.example", "credential", ULID_A, "state",
                    "served", "at", TIME_A);
    toy_sign(doc, false);
    assert_int_equal(put(rig, doc).code, 0);
    doc = json_pack("{s:s,s:s,s:i,s:s,s:s,s:s}", "_id", "request:" ULID_B, "type", "request",
                    "serial", 1, "action", "issue", "credential", ULID_A, "at", TIME_A);
    toy_sign(doc, false);
    assert_int_equal(put(rig, doc).code, 0);
    commit(rig);
    assert_string_equal(walk(rig, CS_BY_TOKEN, NULL), "tok-1>0;tok-2>0;");
    assert_string_equal(walk(rig, CS_BY_CREDENTIAL, ULID_A), ULID_A ">0;" ULID_A ">1;");
    assert_string_equal(walk(rig, CS_BY_HOST, NULL), "");
    /* Emptied at the end of the order. */
    doc = json_pack("{s:s,s:s,s:i,s:s,s:[]}", "_id", "challenge:" ULID_A, "type", "challenge",
                    "serial", 2, "credential", ULID_A, "tokens");
    toy_sign(doc, false);
    assert_int_equal(put(rig, doc).code, 0);
    commit(rig);
    assert_string_equal(walk(rig, CS_BY_TOKEN, NULL), "");
    assert_sound(rig, 3);
}

static void lists_all_without_policy(void **state)
{
    (void)state;
    struct rig lab;
    struct cs_result result;
    rig_open(&lab, false);
    static const char *const ids[] = {"b", "a", "_design/x"};
    for (size_t i = 0; i < 3; i++) {
        CM_AUTO_JSON doc = json_pack("{s:s,s:s}", "_id", ids[i], "status", "issued");
        assert_int_equal(cs_put_edit(lab.store, doc, &result, NULL), 0);
    }
    commit(&lab);
    assert_string_equal(walk(&lab, CS_BY_TYPE, NULL), ">_design/x;>a;>b;");
    assert_string_equal(walk(&lab, CS_BY_STATUS, NULL), "");
    assert_sound(&lab, 3);
    rig_close(&lab);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(reverses_labels),        T(follows_the_effective_leaf), T(pages_by_cursor),
        T(tokens_and_credentials), T(lists_all_without_policy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
