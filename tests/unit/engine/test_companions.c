/* The names beside those that were asked for, and their way into a request. */
#include "tests/unit/engine/harness.h"

#include "certmgr/engine/companions.h"

/* "name<of name<of" of the companions. */
static const char *offered(const char *names)
{
    static char text[500];
    CM_AUTO_JSON typed = json_string(names);
    CM_AUTO_JSON list = eng_split(typed);
    CM_AUTO_JSON found = eng_companions(list);
    size_t i, at = 0;
    json_t *one;
    text[0] = '\0';
    json_array_foreach(found, i, one)
    {
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s<%s", i ? " " : "",
                               cm_json_str(one, "name"), cm_json_str(one, "of"));
    }
    return text;
}

static void both_ways(void **state)
{
    (void)state;
    assert_string_equal(offered("*.example.com"), "example.com<*.example.com");
    assert_string_equal(offered("www.example.com"), "example.com<www.example.com");
    assert_string_equal(offered("example.com"), "www.example.com<example.com");
    assert_string_equal(offered("*.example.com example.com"), "");
    assert_string_equal(offered("example.com www.example.com"), "");
    assert_string_equal(offered("www.shop.example.co.uk"),
                        "shop.example.co.uk<www.shop.example.co.uk");
    assert_string_equal(offered("mail.example.com"), "");
    assert_string_equal(offered("*.example.com www.example.com"), "example.com<*.example.com");
    assert_string_equal(offered("*.co.uk www.com 192.0.2.1 2001:db8::1"), "");
    assert_string_equal(offered("*.a.example.com example.net"),
                        "a.example.com<*.a.example.com www.example.net<example.net");
}

/* Asked for by one word, they are names of the request. */
static void added_when_wanted(void **state)
{
    struct h *h = *state;
    h_account(h);
    json_t *fields = h_fields("www.example.com, example.net");
    cm_json_set_bool(fields, "add_base", true);
    CM_AUTO_JSON checked = NULL;
    CM_AUTO_JSON errors = NULL;
    CM_AUTO_JSON notes = NULL;
    eng_check(h->engine, fields, &checked, &errors, &notes);
    assert_int_equal(json_array_size(errors), 0);
    CM_AUTO_JSON want =
        json_pack("[s,s,s,s]", "www.example.com", "example.net", "example.com", "www.example.net");
    assert_true(json_equal(cm_json_arr(checked, "host_names_ascii"), want));
    assert_int_equal(json_array_size(cm_json_arr(checked, "host_names")), 4);
    assert_null(json_object_get(checked, "add_base")); /* done: the manager adds nothing more */
    assert_string_equal(json_string_value(json_array_get(notes, 0)),
                        "added with www.example.com: example.com");
    json_decref(fields);
    /* They count: thirty and not one more. */
    fields = h_fields("");
    json_t *names = json_array();
    for (int i = 0; i < 30; i++)
        json_array_append_new(names, json_sprintf("www.d%d.com", i));
    cm_json_set(fields, "host_names", names);
    cm_json_set_bool(fields, "add_base", true);
    CM_AUTO_JSON checked2 = NULL;
    CM_AUTO_JSON errors2 = NULL;
    CM_AUTO_JSON notes2 = NULL;
    eng_check(h->engine, fields, &checked2, &errors2, &notes2);
    assert_non_null(strstr(cm_json_str(json_array_get(errors2, 0), "message"), "60 different"));
    cm_json_set_str(fields, "add_base", "yes");
    CM_AUTO_JSON checked3 = NULL;
    CM_AUTO_JSON errors3 = NULL;
    CM_AUTO_JSON notes3 = NULL;
    eng_check(h->engine, fields, &checked3, &errors3, &notes3);
    assert_string_equal(cm_json_str(json_array_get(errors3, 0), "field"), "add_base");
    json_decref(fields);
}

/* A name in another script keeps its script. */
static void in_its_own_script(void **state)
{
    struct h *h = *state;
    h_account(h);
    json_t *fields = h_fields("www.\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e.jp");
    cm_json_set_bool(fields, "add_base", true);
    CM_AUTO_JSON checked = NULL;
    CM_AUTO_JSON errors = NULL;
    CM_AUTO_JSON notes = NULL;
    eng_check(h->engine, fields, &checked, &errors, &notes);
    json_decref(fields);
    const json_t *typed = cm_json_arr(checked, "host_names");
    assert_string_equal(json_string_value(json_array_get(typed, 1)),
                        "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e.jp");
    assert_string_equal(
        json_string_value(json_array_get(cm_json_arr(checked, "host_names_ascii"), 1)),
        "xn--wgv71a119e.jp");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ways),
        H_TEST(added_when_wanted),
        H_TEST(in_its_own_script),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
