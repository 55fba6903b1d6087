/* The form's fields: every mistake a person can make is told at its field, in words. */
#include "tests/unit/engine/harness.h"

struct row {
    const char *member;
    const char *json; /* value; "" = leave the member out */
    const char *field;
    const char *message; /* part of it */
};

static const struct row rows[] = {
    {"host_names", "\"\"", "host_names", "at least one host name"},
    {"host_names", "[]", "host_names", "at least one host name"},
    {"host_names", "42", "host_names", "must be text"},
    {"host_names", "[1]", "host_names", "must be text"},
    {"host_names", "\"*.example.com\"", "host_names", "DNS-01"},
    {"host_names", "\"*.192.0.2.1\"", "host_names", "no wildcard"},
    {"host_names", "\"192.0.2.256\"", "host_names", "IP address must be written in full"},
    {"host_names", "\"a_b.example.com\"", "host_names", ""},
    {"host_names", "\"-a.example.com\"", "host_names", ""},
    {"host_names", "\"localhost\"", "host_names", ""},
    {"host_names", "\"a..example.com\"", "host_names", ""},
    {"provider", "\"carrier-pigeon\"", "provider", "not known here"},
    {"account", "\"nobody\"", "account", "no ACME account \"nobody\""},
    {"account", "\"../root\"", "account", "no ACME account"},
    {"account", "\"fresh\"", "account", "terms of service"},
    {"key_type", "\"RSA-512\"", "key_type", "P-256, P-384, RSA-2048, RSA-3072 or RSA-4096"},
    {"alternate_chain", "7", "alternate_chain", "common name"},
    {"alternate_chain", "\"#9\"", "alternate_chain", "#0"},
    {"alternate_chain", "\"#\"", "alternate_chain", "#0"},
    {"alternate_chain", "\"sha256:12\"", "alternate_chain", "64 hexadecimal"},
    {"challenge", "\"dns-01\"", "challenge", "tls-alpn-01"},
    {"challenge", "7", "challenge", "tls-alpn-01"},
    {"profile", "\"short lived\"", "profile", "directory"},
    {"profile", "[]", "profile", "directory"},
    {"profile_required", "\"yes\"", "profile_required", "true or false"},
    {"alternate_chain", "\"a\\nb\"", "alternate_chain", "common name"},
    {"paused", "\"yes\"", "paused", "true or false"},
    {"key_rollover", "\"never\"", "key_rollover", "every_renewal"},
    {"servers", "[]", "servers", "at least one server"},
    {"servers", "7", "servers", "list of names"},
    {"servers", "[\"zulu\"]", "servers", "no server \"zulu\""},
    {"renew_days", "0", "renew_days", "from 1 to 365"},
    {"renew_days", "366", "renew_days", "from 1 to 365"},
    {"renew_days", "\"30.5\"", "renew_days", "from 1 to 365"},
    {"renew_days", "\"-1\"", "renew_days", "from 1 to 365"},
    {"renew_days", "[30]", "renew_days", "from 1 to 365"},
    {"keyring_file", "\"../x.kyr\"", "keyring_file", "ends in .kyr"},
    {"keyring_file", "\".x.kyr\"", "keyring_file", "ends in .kyr"},
    {"keyring_file", "\"-x.kyr\"", "keyring_file", "ends in .kyr"},
    {"keyring_file", "\"x.pem\"", "keyring_file", "ends in .kyr"},
    {"target", "\"a/b\"", "target", "1 to 63"},
};

static void each_mistake_is_told_at_its_field(void **state)
{
    struct h *h = *state;
    h_account(h);
    h_put(h, json_pack("{s:s,s:s,s:s,s:s}", "_id", "account:fresh", "type", "account", "directory",
                       "https://ca.example/dir", "status", "new"));
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        CM_AUTO_JSON fields = h_fields("www.example.com");
        CM_AUTO_JSON out = NULL;
        CM_AUTO_JSON errors = NULL;
        CM_AUTO_JSON notes = NULL;
        json_object_set_new(fields, rows[i].member,
                            json_loads(rows[i].json, JSON_DECODE_ANY, NULL));
        eng_check(h->engine, fields, &out, &errors, &notes);
        const json_t *error = json_array_get(errors, 0);
        if (json_array_size(errors) != 1 ||
            strcmp(cm_json_str_or(error, "field", ""), rows[i].field) != 0 ||
            !strstr(cm_json_str_or(error, "message", ""), rows[i].message)) {
            CM_AUTO_STR text = cm_json_dump(errors, NULL);
            fail_msg("%s = %s: %s", rows[i].member, rows[i].json, text);
        }
    }
}

static json_t *check(struct h *h, json_t *take_fields, size_t errors_wanted, json_t **ret_notes)
{
    json_t *out = NULL, *notes = NULL;
    CM_AUTO_JSON errors = NULL;
    eng_check(h->engine, take_fields, &out, &errors, &notes);
    json_decref(take_fields);
    if (json_array_size(errors) != errors_wanted) {
        CM_AUTO_STR text = cm_json_dump(errors, NULL);
        fail_msg("%s", text);
    }
    if (ret_notes)
        *ret_notes = notes;
    else
        json_decref(notes);
    return out;
}

static void all_mistakes_are_told_at_once(void **state)
{
    struct h *h = *state;
    CM_AUTO_JSON fields = json_pack("{s:s,s:s,s:[s],s:i}", "host_names", "*.a.example a_b.example",
                                    "account", "none", "servers", "zulu", "renew_days", 0);
    CM_AUTO_JSON out = check(h, json_incref(fields), 5, NULL);
    assert_non_null(out);
}

static void addresses_are_names(void **state)
{
    struct h *h = *state;
    h_account(h);
    CM_AUTO_JSON fields = h_fields("192.0.2.1 2001:DB8:0::1, [2001:db8::1] www.example.com");
    cm_json_set_str(fields, "challenge", "tls-alpn-01");
    cm_json_set_str(fields, "profile", "shortlived");
    cm_json_set_bool(fields, "profile_required", true);
    CM_AUTO_JSON out = check(h, json_incref(fields), 0, NULL);
    const json_t *ascii = cm_json_arr(out, "host_names_ascii");
    assert_int_equal(json_array_size(ascii), 3);
    assert_string_equal(json_string_value(json_array_get(ascii, 0)), "192.0.2.1");
    assert_string_equal(json_string_value(json_array_get(ascii, 1)), "2001:db8::1");
    assert_string_equal(cm_json_str(out, "challenge"), "tls-alpn-01");
    assert_string_equal(cm_json_str(out, "profile"), "shortlived");
    assert_true(cm_json_bool(out, "profile_required", false));
}

static void chains_are_named_in_three_ways(void **state)
{
    static const char *const names[][2] = {
        {" ISRG Root X2 ", "ISRG Root X2"},
        {" #1 ", "#1"},
        {"SHA256:AB:CD:0000000000000000000000000000000000000000000000000000:00:00:00:EF",
         "sha256:abcd0000000000000000000000000000000000000000000000000000000000ef"}};
    struct h *h = *state;
    h_account(h);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        CM_AUTO_JSON fields = h_fields("www.example.com");
        cm_json_set_str(fields, "alternate_chain", names[i][0]);
        CM_AUTO_JSON out = check(h, json_incref(fields), 0, NULL);
        assert_string_equal(cm_json_str(out, "alternate_chain"), names[i][1]);
    }
}

static void names_are_split_converted_and_folded(void **state)
{
    struct h *h = *state;
    h_account(h);
    CM_AUTO_JSON notes = NULL;
    /* blanks, commas, lines; ideographic comma and blank; full-width stop; dot at the end; case */
    CM_AUTO_JSON out =
        check(h,
              h_fields("WWW.Example.com\n www.example.com,www.example.com. "
                       "\xe4\xbe\x8b\xe3\x81\x88.\xe3\x83\x86\xe3\x82\xb9\xe3\x83\x88"
                       "\xe3\x80\x81www\xef\xbc\x8e"
                       "example\xe3\x80\x82net\xe3\x80\x80"
                       "b\xc3\xbc"
                       "cher.example"),
              0, &notes);
    CM_AUTO_JSON wanted = json_pack("[s,s,s,s]", "www.example.com", "xn--r8jz45g.xn--zckzah",
                                    "www.example.net", "xn--bcher-kva.example");
    assert_true(json_equal(cm_json_arr(out, "host_names_ascii"), wanted));
    assert_int_equal(json_array_size(cm_json_arr(out, "host_names")), 4);
    assert_string_equal(json_string_value(json_array_get(cm_json_arr(out, "host_names"), 0)),
                        "WWW.Example.com");
    assert_int_equal(json_array_size(notes), 1); /* folded twice, said once */
    assert_string_equal(json_string_value(json_array_get(notes, 0)),
                        "duplicate folded: www.example.com");
}

static json_t *many_names(int count)
{
    struct cm_buf text;
    cm_buf_init(&text, 1 << 20);
    for (int i = 0; i < count; i++)
        cm_buf_printf(&text, "www%d.example.com ", i);
    json_t *fields = h_fields(cm_buf_str(&text));
    cm_buf_fini(&text);
    return fields;
}

static void thirty_names_and_not_one_more(void **state)
{
    struct h *h = *state;
    h_account(h);
    CM_AUTO_JSON thirty = check(h, many_names(ENG_NAMES_MAX), 0, NULL);
    assert_int_equal(json_array_size(cm_json_arr(thirty, "host_names_ascii")), 30);
    CM_AUTO_JSON more = check(h, many_names(ENG_NAMES_MAX + 1), 1, NULL);
    assert_true(json_array_size(cm_json_arr(more, "host_names_ascii")) <= 30);
    CM_AUTO_JSON flood = check(h, many_names(ENG_NAMES_TYPED_MAX + 1), 1, NULL);
    assert_non_null(flood);
    /* errors are bounded, too */
    struct cm_buf text;
    cm_buf_init(&text, 1 << 16);
    for (int i = 0; i < 500; i++)
        cm_buf_printf(&text, "-bad%d.example.com ", i);
    json_decref(check(h, h_fields(cm_buf_str(&text)), ENG_CHECK_ERRORS, NULL));
    cm_buf_fini(&text);
}

static void a_duplicate_server_is_folded(void **state)
{
    struct h *h = *state;
    h_account(h);
    json_t *fields = h_fields("www.example.com");
    json_object_set_new(fields, "servers", json_string("bravo alpha bravo"));
    CM_AUTO_JSON notes = NULL;
    CM_AUTO_JSON out = check(h, fields, 0, &notes);
    CM_AUTO_JSON wanted = json_pack("[s,s]", "bravo", "alpha");
    assert_true(json_equal(cm_json_arr(out, "servers"), wanted));
    assert_string_equal(json_string_value(json_array_get(notes, 0)),
                        "duplicate server folded: bravo");
}

static void a_server_that_left_gets_no_key(void **state)
{
    struct h *h = *state;
    h_account(h);
    json_t *doc;
    struct cm_err err = CM_ERR_INIT;
    OK(kf_trust_mark_removed(&h->identity[0], h->trust, "bravo", cm_now_ms(), &doc, &err), err);
    kf_trust_free(h->trust);
    h->trust = parse_root(doc);
    json_decref(doc);
    CM_AUTO_JSON out = check(h, h_fields("www.example.com"), 1, NULL);
    assert_non_null(out);
}

static void defaults_come_from_the_settings(void **state)
{
    struct h *h = *state;
    h_account(h);
    CM_AUTO_JSON settings = json_pack("{s:[s],s:s,s:i,s:s}", "servers", "charlie", "key_type",
                                      "RSA-2048", "renew_days", 14, "keyring_file", "web.kyr");
    eng_settings_put(h->engine, settings, h_on_done, h);
    if (h_done(h) != 0)
        fail_msg("%s", h_line(h));
    CM_AUTO_JSON defaults = eng_defaults(h->engine);
    assert_string_equal(cm_json_str(defaults, "account"), "ca"); /* the only one there is */
    CM_AUTO_JSON out = check(h, json_pack("{s:s}", "host_names", "www.example.com"), 0, NULL);
    assert_string_equal(cm_json_str(out, "account"), "ca");
    assert_string_equal(cm_json_str(out, "provider"), "acme");
    assert_string_equal(cm_json_str(out, "key_type"), "RSA-2048");
    assert_string_equal(cm_json_str(out, "keyring_file"), "web.kyr");
    assert_string_equal(cm_json_str(out, "target"), "default");
    assert_int_equal(cm_json_int(out, "renew_days", 0), 14);
    assert_true(cm_json_has_str(cm_json_arr(out, "servers"), "charlie"));
    CM_AUTO_JSON typed = check(
        h, json_pack("{s:s,s:s}", "host_names", "www.example.com", "renew_days", "7"), 0, NULL);
    assert_int_equal(cm_json_int(typed, "renew_days", 0), 7);
}

/* ---- keyring files
 * --------------------------------------------------------------------------------- */

static void a_file_in_use_there_is_refused(void **state)
{
    struct h *h = *state;
    h_account(h);
    CM_AUTO_JSON first = h_issue(h, "www.example.com");
    assert_string_equal(cm_json_str(first, "keyring_file"), "keyfile.kyr");

    json_t *same = h_fields("shop.example.com");
    cm_json_set_str(same, "keyring_file", "keyfile.kyr");
    CM_AUTO_JSON errors = NULL;
    CM_AUTO_JSON notes = NULL;
    CM_AUTO_JSON out = NULL;
    eng_check(h->engine, same, &out, &errors, &notes);
    json_decref(same);
    const char *message = cm_json_str_or(json_array_get(errors, 0), "message", "");
    assert_non_null(strstr(message, "www.example.com"));
    assert_non_null(strstr(message, "alpha"));

    /* Another target or other servers are no clash. */
    json_t *elsewhere = h_fields("shop.example.com");
    cm_json_set_str(elsewhere, "keyring_file", "keyfile.kyr");
    json_object_set_new(elsewhere, "servers", json_pack("[s]", "charlie"));
    CM_AUTO_JSON a = check(h, elsewhere, 0, NULL);
    json_t *other_target = h_fields("shop.example.com");
    cm_json_set_str(other_target, "keyring_file", "keyfile.kyr");
    cm_json_set_str(other_target, "target", "mail");
    CM_AUTO_JSON b = check(h, other_target, 0, NULL);
    assert_non_null(a);
    assert_non_null(b);

    /* Nobody asked for a name: the second certificate is called after its host. */
    CM_AUTO_JSON said = NULL;
    CM_AUTO_JSON c = check(h, h_fields("shop.example.com"), 0, &said);
    assert_string_equal(cm_json_str(c, "keyring_file"), "shop.example.com.kyr");
    assert_non_null(strstr(json_string_value(json_array_get(said, 0)), "keyfile.kyr"));

    /* An IPv6 address has colons, which no file name has. */
    CM_AUTO_JSON ip = check(h, h_fields("2001:db8::1"), 0, NULL);
    assert_string_equal(cm_json_str(ip, "keyring_file"), "ip-2001-db8--1.kyr");
    assert_true(eng_file_name_ok(cm_json_str(ip, "keyring_file")));

    /* A wrong host name is the one mistake then: the file would have been chosen. */
    json_t *bad = h_fields("localhost");
    CM_AUTO_JSON mistakes = NULL;
    CM_AUTO_JSON nothing = NULL;
    CM_AUTO_JSON unsaid = NULL;
    eng_check(h->engine, bad, &nothing, &mistakes, &unsaid);
    json_decref(bad);
    assert_int_equal(json_array_size(mistakes), 1);
    assert_string_equal(cm_json_str(json_array_get(mistakes, 0), "field"), "host_names");
}

static int archive(void *arg, json_t *body, struct cm_err *err)
{
    (void)arg;
    (void)err;
    cm_json_set_str(body, "status", "archived");
    return 0;
}

static void on_edited(void *arg, const struct cs_doc *doc, const struct cm_err *err)
{
    (void)doc;
    h_on_done(arg, err);
}

static void an_archived_credential_gives_its_file_back(void **state)
{
    struct h *h = *state;
    h_account(h);
    json_decref(h_issue(h, "www.example.com"));
    CM_AUTO_STR id = cm_asprintf("credential:%s", h->credential);
    eng_edit(h->engine, id, "credential", archive, on_edited, h);
    assert_int_equal(h_done(h), 0);
    json_t *same = h_fields("shop.example.com");
    cm_json_set_str(same, "keyring_file", "keyfile.kyr");
    CM_AUTO_JSON out = check(h, same, 0, NULL);
    assert_non_null(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        H_TEST(each_mistake_is_told_at_its_field),
        H_TEST(all_mistakes_are_told_at_once),
        H_TEST(addresses_are_names),
        H_TEST(chains_are_named_in_three_ways),
        H_TEST(names_are_split_converted_and_folded),
        H_TEST(thirty_names_and_not_one_more),
        H_TEST(a_duplicate_server_is_folded),
        H_TEST(a_server_that_left_gets_no_key),
        H_TEST(defaults_come_from_the_settings),
        H_TEST(a_file_in_use_there_is_refused),
        H_TEST(an_archived_credential_gives_its_file_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
