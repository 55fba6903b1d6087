/* The schema of every document type. */
#include "support.h"

#include "base/core/file.h"
#include "certstore/schema.h"

/* The corpus of the fuzz target holds one good document of every type. */
static json_t *sample(const char *name)
{
    char path[512], *text;
    size_t len;
    json_t *doc;
    snprintf(path, sizeof(path), CM_SOURCE_DIR "/tests/fuzz/corpus/document/%s.json", name);
    assert_int_equal(cm_file_read(path, 1 << 20, &text, &len, NULL), 0);
    assert_int_equal(cm_json_parse(text, len, &doc, NULL), 0);
    cm_free(text);
    json_object_del(doc, "_rev");
    json_object_del(doc, "_revisions");
    return doc;
}

static const char *const types[] = {"settings", "request", "credential", "keyfile",    "challenge",
                                    "receipt",  "account", "root",       "dnsaccount", "trust"};

static void accept(const json_t *doc, bool deleted)
{
    struct cm_err err = CM_ERR_INIT;
    if (cs_schema_check(doc, deleted, &err) < 0)
        fail_msg("%s: %s", cm_json_str(doc, "_id"), err.what);
}

/* Refused, and the message names the member. */
static void refuse(const json_t *doc, const char *member)
{
    struct cm_err err = CM_ERR_INIT;
    if (cs_schema_check(doc, false, &err) != CM_EMALF)
        fail_msg("%s: accepted in spite of %s", cm_json_str(doc, "_id"), member);
    if (!strstr(err.what, member))
        fail_msg("\"%s\" does not name %s", err.what, member);
    cm_err_fini(&err);
}

static void good_documents(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        CM_AUTO_JSON doc = sample(types[i]);
        accept(doc, false);
    }
    CM_AUTO_JSON tombstone = sample("tombstone");
    json_object_del(tombstone, "_deleted");
    accept(tombstone, true);
}

static void demands_what_every_document_has(void **state)
{
    (void)state;
    static const char *const members[] = {"_id", "type", "serial"};
    for (size_t t = 0; t < sizeof(types) / sizeof(types[0]); t++) {
        for (size_t m = 0; m < 3; m++) {
            CM_AUTO_JSON doc = sample(types[t]);
            json_object_del(doc, members[m]);
            refuse(doc, members[m]);
        }
        CM_AUTO_JSON doc = sample(types[t]);
        bool many = strcmp(types[t], "trust") == 0;
        json_object_del(doc, many ? "signatures" : "signature");
        refuse(doc, "signature");
        cm_json_set_str(doc, many ? "signatures" : "signature", "x");
        refuse(doc, "signature");
    }
    CM_AUTO_JSON doc = sample("settings");
    cm_json_set_int(doc, "serial", 0);
    refuse(doc, "serial");
    cm_json_set(doc, "serial", json_integer(9007199254740992));
    refuse(doc, "serial");
    cm_json_set_int(doc, "serial", 1);
    cm_json_set(doc, "signatures", json_array());
    refuse(doc, "signatures");
}

static void unknown_members_everywhere(void **state)
{
    (void)state;
    static const char *const inner[][2] = {{"request", "fields"},    {"request", "by"},
                                           {"credential", "health"}, {"credential", "error"},
                                           {"receipt", "error"},     {"account", "terms_agreed"},
                                           {"settings", "signature"}};
    for (size_t t = 0; t < sizeof(types) / sizeof(types[0]); t++) {
        CM_AUTO_JSON doc = sample(types[t]);
        cm_json_set_str(doc, "Not-Snake", "x");
        refuse(doc, "Not-Snake");
    }
    for (size_t i = 0; i < sizeof(inner) / sizeof(inner[0]); i++) {
        CM_AUTO_JSON doc = sample(inner[i][0]);
        cm_json_set_str(cm_json_obj(doc, inner[i][1]), "extra", "x");
        char name[64];
        snprintf(name, sizeof(name), "%s.extra", inner[i][1]);
        refuse(doc, name);
    }
}

static void ids(void **state)
{
    (void)state;
    static const struct {
        const char *type, *id;
    } bad[] = {{"settings", "settings:"},
               {"settings", "settings:a/b"},
               {"settings", "settings:../x"},
               {"settings", "settings"},
               {"settings", "credential:" ULID_A},
               {"settings", "other:a"},
               {"settings", "set"},
               {"credential", "credential:x"},
               {"credential", "credential:" ULID_A "0"},
               {"trust", "trust:other"},
               {"root", "root:00"},
               {"receipt", "receipt:" ULID_A},
               {"receipt", "receipt:other.example:" ULID_A},
               {"receipt", "receipt:s1.example:" ULID_B},
               {"challenge", "challenge:" ULID_B}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CM_AUTO_JSON doc = sample(bad[i].type);
        cm_json_set_str(doc, "_id", bad[i].id);
        if (cs_schema_check(doc, false, NULL) != CM_EMALF)
            fail_msg("accepted: %s", bad[i].id);
    }
    CM_AUTO_JSON doc = sample("settings");
    cm_json_set_str(doc, "type", "credential");
    refuse(doc, "type");
}

static void values(void **state)
{
    (void)state;
    static const struct {
        const char *type, *member, *json;
    } bad[] = {
        {"settings", "renew_days", "\"30\""},
        {"settings", "renew_days", "-1"},
        {"settings", "renew_days", "1000000"},
        {"settings", "servers", "\"s1\""},
        {"settings", "servers", "[1]"},
        {"settings", "servers", "[\"a b\"]"},
        {"settings", "servers", "[\"../x\"]"},
        {"settings", "keyring_file", "\"../../etc/passwd\""},
        {"settings", "keyring_file", "\".hidden\""},
        {"settings", "keyring_file", "\"\""},
        {"credential", "status", "\"Issued\""},
        {"credential", "paused", "1"},
        {"credential", "not_after", "\"2027-01-02\""},
        {"credential", "fingerprint", "\"00ff\""},
        {"credential", "sealed_key", "\"a b\""},
        {"credential", "chain", "\"MIIB\""},
        {"credential", "health", "\"green\""},
        {"credential", "host_names_ascii", "[\"a.*.example\"]"},
        {"credential", "host_names_ascii", "[\"<b>\"]"},
        {"keyfile", "credential", "\"x\""},
        {"challenge", "tokens", "[{}]"},
        {"challenge", "tokens", "{}"},
        {"receipt", "state", "\"done\""},
        {"account", "jwk", "{\"x\":1.5}"},
        {"account", "directory", "\"https://a\\nb\""},
        {"account", "http_port", "65536"},
        {"dnsaccount", "domains", "1.5"},
        {"trust", "servers", "[{\"name\":\"m\"}]"},
        {"request", "action", "null"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        json_t *value;
        CM_AUTO_JSON doc = sample(bad[i].type);
        assert_int_equal(cm_json_parse_lax(bad[i].json, strlen(bad[i].json), &value, NULL), 0);
        cm_json_set(doc, bad[i].member, value);
        refuse(doc, bad[i].member);
    }
}

static void limits_of_lists(void **state)
{
    (void)state;
    CM_AUTO_JSON doc = sample("credential");
    json_t *names = json_array();
    for (int i = 0; i < 31; i++)
        json_array_append_new(names, json_string("a.example"));
    cm_json_set(doc, "host_names_ascii", json_incref(names));
    refuse(doc, "host_names_ascii");
    json_array_remove(names, 0);
    accept(doc, false);
    json_decref(names);
    doc = (json_decref(doc), sample("challenge"));
    cm_json_set(doc, "tokens", json_array()); /* emptied at the end of the order */
    accept(doc, false);
}

static void required_members(void **state)
{
    (void)state;
    static const struct {
        const char *type, *member;
    } required[] = {{"request", "action"},     {"request", "credential"}, {"credential", "status"},
                    {"keyfile", "leaf"},       {"keyfile", "sealed_key"}, {"keyfile", "servers"},
                    {"challenge", "tokens"},   {"receipt", "state"},      {"account", "directory"},
                    {"trust", "root_signers"}, {"trust", "servers"},      {"root", "pem"}};
    for (size_t i = 0; i < sizeof(required) / sizeof(required[0]); i++) {
        CM_AUTO_JSON doc = sample(required[i].type);
        json_object_del(doc, required[i].member);
        refuse(doc, required[i].member);
    }
}

static void directions(void **state)
{
    (void)state;
    static const struct {
        const char *id;
        bool down, up, by_manager;
    } rows[] = {{"request:x", false, true, false},    {"receipt:s:x", false, true, false},
                {"credential:x", true, false, true},  {"keyfile:x", true, false, true},
                {"challenge:x", true, false, true},   {"trust:root", true, false, true},
                {"account:x", true, false, true},     {"settings:global", true, false, true},
                {"root:x", true, false, true},        {"server:x", true, false, true},
                {"dns-account:x", true, false, true}, {"dns-provider:x", true, false, true},
                {"microca:x", true, false, true},     {"archive:x", true, false, true}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct cs_type *type = cs_type_of(rows[i].id);
        assert_non_null(type);
        assert_int_equal(type->down, rows[i].down);
        assert_int_equal(type->up, rows[i].up);
        assert_int_equal(type->by_manager, rows[i].by_manager);
    }
    assert_null(cs_type_of("_design/x"));
    assert_null(cs_type_of("credentials:x"));
    assert_null(cs_type_of("credential"));
    assert_null(cs_type_of(""));
}

static bool takes(json_t *doc, const char *member, const char *text)
{
    json_object_set_new(doc, member, json_string_nocheck(text));
    return cs_schema_check(doc, false, NULL) == 0;
}

static bool is_alnum(int c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static void every_byte_of_a_text(void **state)
{
    (void)state;
    CM_AUTO_JSON line = sample("credential");
    CM_AUTO_JSON base64 = json_copy(line);
    CM_AUTO_JSON url = json_copy(line);
    CM_AUTO_JSON pem = json_copy(line);
    for (int c = 1; c < 256; c++) {
        const char text[] = {'a', (char)c, 'b', '\0'};
        char armour[] = "-----BEGIN ?";
        armour[11] = (char)c;
        bool control = c < 0x20 || c == 0x7f;
        assert_int_equal(takes(line, "issuer", text), !control);
        assert_int_equal(takes(base64, "sealed_key", text),
                         is_alnum(c) || c == '+' || c == '/' || c == '=');
        assert_int_equal(takes(url, "csr", text), is_alnum(c) || c == '-' || c == '_');
        assert_int_equal(takes(pem, "chain", armour),
                         (!control && c < 0x80) || c == '\n' || c == '\r');
    }
    assert_true(takes(pem, "chain", ""));
    assert_false(takes(pem, "chain", "x"));
}

/* A name that ends early for everybody who reads it as text. */
static void no_text_holds_a_nul(void **state)
{
    (void)state;
    CM_AUTO_JSON settings = sample("settings");
    json_object_set_new(settings, "provider", json_stringn("acme\0x", 6));
    refuse(settings, "provider");
    CM_AUTO_JSON credential = sample("credential");
    json_object_set_new(credential, "host_names_ascii",
                        json_pack("[o]", json_stringn("a.example\0.evil", 15)));
    refuse(credential, "host_names_ascii");
    CM_AUTO_JSON failed = sample("credential");
    json_object_set_new(failed, "error", json_pack("{s:o}", "what", json_stringn("a\0b", 3)));
    refuse(failed, "what");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_documents),
        cmocka_unit_test(demands_what_every_document_has),
        cmocka_unit_test(unknown_members_everywhere),
        cmocka_unit_test(ids),
        cmocka_unit_test(values),
        cmocka_unit_test(no_text_holds_a_nul),
        cmocka_unit_test(every_byte_of_a_text),
        cmocka_unit_test(limits_of_lists),
        cmocka_unit_test(required_members),
        cmocka_unit_test(directions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
