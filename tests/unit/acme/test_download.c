/* The chain, and the choice among the CA's alternates. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/core/mem.h"
#include "tests/unit/acme/fake_ca.h"

#define PEM(text) "-----BEGIN CERTIFICATE-----\n" text "\n-----END CERTIFICATE-----\n"
#define LINKS                                                                                      \
    "Link: </cert/0/1>;rel=\"alternate\"\r\n"                                                      \
    "Link: </cert/0/2>;rel=\"alternate\"\r\n"                                                      \
    "Link: </cert/0/3>;rel=\"alternate\"\r\n"

static void alternates_are_listed(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    f.cert_links =
        "Link: </cert/0/1>;rel=\"alternate\"\r\n"
        "Link: <https://ca.test/cert/0/2>; title=\"a, b\"; rel=alternate, "
        "<https://ca.test/up>;rel=\"up\", <https://ca.test/cert/0/3>; rel=\"up alternate\"\r\n"
        "link: <http://ca.test/plain>;rel=\"alternate\"\r\n"
        "Link: </cert/0/1>;rel=\"alternate\"\r\n"
        "Link: <relative>;rel=\"alternate\"\r\n";
    fake_issue(&f, 1);
    json_t *urls = cm_json_arr(f.chain, "alternates");
    assert_int_equal(json_array_size(urls), 3);
    assert_string_equal(json_string_value(json_array_get(urls, 0)), FAKE_BASE "/cert/0/1");
    assert_string_equal(json_string_value(json_array_get(urls, 1)), FAKE_BASE "/cert/0/2");
    assert_string_equal(json_string_value(json_array_get(urls, 2)), FAKE_BASE "/cert/0/3");
    assert_int_equal(f.count[FAKE_CERT] + f.count[FAKE_UNKNOWN], 1); /* none is downloaded */
    fake_fini(&f);
}

static void an_unusable_chain(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    f.cert_body = "-----BEGIN PRIVATE KEY-----\nTUlJQg==\n-----END PRIVATE KEY-----\n";
    fake_start(&f, 1);
    fake_run(&f);
    assert_null(f.chain);
    assert_int_equal(f.err.code, CM_EPEER);
    /* the next run asks for the same certificate again, not for another one */
    f.cert_body = NULL;
    fake_issue(&f, 1);
    assert_int_equal(f.orders_made, 1);
    assert_int_equal(f.finalized, 1);
    fake_fini(&f);
}

/* /cert/0/1 is gone, /cert/0/2 is no certificate, /cert/0/3 is a chain. */
static bool serve_alternates(struct fake *f, const struct fake_req *req, struct fake_reply *r)
{
    (void)f;
    const char *path = req->url + strlen(FAKE_BASE);
    if (strcmp(path, "/cert/0/1") == 0)
        fake_problem(r, 404, "malformed", "gone");
    else if (strcmp(path, "/cert/0/2") == 0)
        fake_body(r, "<html>");
    else if (strcmp(path, "/cert/0/3") == 0)
        fake_body(r, PEM("VGhpcmQ="));
    else
        return false;
    return true;
}

static void the_wished_chain_is_found(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    f.cert_links = LINKS;
    f.cert_body = PEM("Rmlyc3Q=");
    f.before = serve_alternates;
    f.wanted = "VGhpcmQ=";
    fake_issue(&f, 1);
    assert_string_equal(cm_json_str(f.chain, "chain"), PEM("VGhpcmQ="));
    assert_int_equal(f.shown, 3); /* two that cannot be had count */
    assert_int_equal(f.finalized, 1);
    assert_non_null(strstr(cm_buf_str(&f.log), "Alternate chain 1 could not be downloaded"));
    assert_non_null(strstr(cm_buf_str(&f.log), "Alternate chain 2 could not be downloaded"));
    fake_fini(&f);
}

static void the_default_chain_when_it_is_wished(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    f.cert_links = LINKS;
    f.cert_body = PEM("Rmlyc3Q=");
    f.wanted = "Rmlyc3Q=";
    fake_issue(&f, 1);
    assert_string_equal(cm_json_str(f.chain, "chain"), PEM("Rmlyc3Q="));
    assert_int_equal(f.count[FAKE_CERT], 1);
    fake_fini(&f);
}

static void the_default_chain_when_none_is_right(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    f.cert_links = LINKS;
    f.cert_body = PEM("Rmlyc3Q=");
    f.before = serve_alternates;
    f.wanted = "Zm91cnRo";
    fake_issue(&f, 1);
    assert_string_equal(cm_json_str(f.chain, "chain"), PEM("Rmlyc3Q="));
    assert_non_null(strstr(cm_buf_str(&f.log), "None of the CA's chains"));
    fake_fini(&f);

    fake_init(&f);
    f.cert_body = PEM("Rmlyc3Q=");
    f.wanted = "Zm91cnRo";
    fake_issue(&f, 1);
    assert_string_equal(cm_json_str(f.chain, "chain"), PEM("Rmlyc3Q="));
    assert_non_null(strstr(cm_buf_str(&f.log), "no alternate chain"));
    fake_fini(&f);
}

/* A CA that offers chains without end is not followed without end. */
static bool serve_many(struct fake *f, const struct fake_req *req, struct fake_reply *r)
{
    (void)f;
    if (!strstr(req->url, "/other/"))
        return false;
    fake_body(r, PEM("T3RoZXI="));
    return true;
}

static void alternates_are_bounded(void **state)
{
    (void)state;
    struct fake f;
    struct cm_buf links;
    cm_buf_init(&links, 65536);
    for (int i = 0; i < 100; i++)
        cm_buf_printf(&links, "Link: </other/%d>;rel=\"alternate\"\r\n", i);
    fake_init(&f);
    f.cert_links = cm_buf_str(&links);
    f.before = serve_many;
    f.wanted = "nothing";
    fake_issue(&f, 1);
    assert_int_equal(f.count[FAKE_UNKNOWN], 8);
    fake_fini(&f);
    cm_buf_fini(&links);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alternates_are_listed),
        cmocka_unit_test(an_unusable_chain),
        cmocka_unit_test(the_wished_chain_is_found),
        cmocka_unit_test(the_default_chain_when_it_is_wished),
        cmocka_unit_test(the_default_chain_when_none_is_right),
        cmocka_unit_test(alternates_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
