/* Which certificate answers a server name: live tokens of the right kind, from any document. */
#include "tests/unit/challenge/support.h"

#include "base/core/bytes.h"
#include "certmgr/challenge/tlsalpn.h"

#define A    "01HZZZZZZZZZZZZZZZZZZZZZZA"
#define B    "01HZZZZZZZZZZZZZZZZZZZZZZB"
#define NOW  INT64_C(1794794400000) /* 2026-11-16T02:00:00Z */
#define LIVE "2026-11-16T02:10:00Z"
#define LATE "2026-11-16T02:20:00Z"
#define DEAD "2026-11-16T01:59:59Z"

struct fixture {
    char *dir;
    struct cs_store *store;
    struct ch_tlsalpn *answers;
};

static int setup(void **state)
{
    struct fixture *f = cm_calloc(1, sizeof(*f));
    cm_clock_fake(NOW, 1000);
    f->dir = temp_dir();
    f->store = open_store(f->dir);
    f->answers = ch_tlsalpn_new(f->store);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    ch_tlsalpn_free(f->answers);
    cs_close(f->store);
    remove_dir(f->dir);
    cm_free(f);
    cm_clock_fake(-1, -1);
    return 0;
}

/* One token of each row: host, token, expiry; all of this kind. */
static json_t *alpn(const char *const (*rows)[4])
{
    json_t *tokens = make_tokens(rows);
    size_t i;
    json_t *token;
    json_array_foreach(tokens, i, token)
    {
        cm_json_set_str(token, "type", "tls-alpn-01");
    }
    return tokens;
}

/* Does the certificate for this server name hold the digest of that answer? */
static bool answers(struct fixture *f, const char *sni, const char *answer)
{
    const struct tls_alpn_cert *cert = ch_tlsalpn_find(f->answers, sni);
    uint8_t digest[32], *der = NULL;
    size_t len = 0;
    if (!cert)
        return false;
    cm_sha256(answer, strlen(answer), digest);
    assert_int_equal(tls_alpn_cert_der(cert, &der, &len), 0);
    bool has = memmem(der, len, digest, sizeof(digest)) != NULL;
    cm_free(der);
    return has;
}

static void live_tokens_of_this_kind(void **state)
{
    struct fixture *f = *state;
    json_t *tokens = alpn((const char *const[][4]){{"www.example.com", "t1", "t1.thumb", LIVE},
                                                   {"old.example.com", "t2", "t2.thumb", DEAD},
                                                   {"192.0.2.1", "t3", "t3.thumb", LIVE},
                                                   {"2001:db8::1", "t4", "t4.thumb", LIVE},
                                                   {NULL}});
    json_t *http =
        make_tokens((const char *const[][4]){{"http.example.com", "t5", "t5.thumb", LIVE}, {NULL}});
    json_array_extend(tokens, http);
    json_decref(http);
    put_challenge(f->store, A, tokens);
    assert_true(answers(f, "www.example.com", "t1.thumb"));
    assert_true(answers(f, "WWW.example.com", "t1.thumb"));
    assert_true(answers(f, "1.2.0.192.in-addr.arpa", "t3.thumb"));
    assert_true(answers(
        f, "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", "t4.thumb"));
    static const char *const none[] = {"old.example.com",       "http.example.com", "example.com",
                                       "www.example.com.",      "192.0.2.1",        "",
                                       "2.2.0.192.in-addr.arpa"};
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        if (ch_tlsalpn_find(f->answers, none[i]))
            fail_msg("\"%s\" is answered", none[i]);
    }
    cm_clock_fake(NOW + 600000, 1000); /* the moment it ends, it has ended */
    assert_null(ch_tlsalpn_find(f->answers, "www.example.com"));
}

static void made_once(void **state)
{
    struct fixture *f = *state;
    put_challenge(
        f->store, A,
        alpn((const char *const[][4]){{"www.example.com", "t1", "t1.thumb", LIVE}, {NULL}}));
    const struct tls_alpn_cert *first = ch_tlsalpn_find(f->answers, "www.example.com");
    assert_ptr_equal(ch_tlsalpn_find(f->answers, "www.example.com"), first);
    assert_int_equal(ch_tlsalpn_made(f->answers), 1);
    /* a new order, a new token, a new certificate */
    put_challenge(
        f->store, A,
        alpn((const char *const[][4]){{"www.example.com", "t9", "t9.thumb", LIVE}, {NULL}}));
    assert_true(answers(f, "www.example.com", "t9.thumb"));
    assert_int_equal(ch_tlsalpn_made(f->answers), 2);
    /* emptied: gone */
    put_challenge(f->store, A, json_array());
    assert_null(ch_tlsalpn_find(f->answers, "www.example.com"));
}

/* Two orders for one name: one at a time, and the same one on every server. */
static void the_one_that_ends_first(void **state)
{
    struct fixture *f = *state;
    put_challenge(
        f->store, A,
        alpn((const char *const[][4]){{"www.example.com", "tA", "tA.thumb", LATE}, {NULL}}));
    put_challenge(
        f->store, B,
        alpn((const char *const[][4]){{"www.example.com", "tB", "tB.thumb", LIVE}, {NULL}}));
    assert_true(answers(f, "www.example.com", "tB.thumb"));
    put_challenge(f->store, B, json_array());
    assert_true(answers(f, "www.example.com", "tA.thumb"));
}

/* What was there before the listener opened counts, too; and many hosts do not fill the memory. */
static void found_at_the_start_and_bounded(void **state)
{
    struct fixture *f = *state;
    json_t *tokens = json_array();
    for (int i = 0; i < CH_ALPN_CERTS + 10; i++)
        json_array_append_new(tokens,
                              json_pack("{s:o, s:s, s:o, s:o, s:s}", "host",
                                        json_sprintf("h%d.example.com", i), "type", "tls-alpn-01",
                                        "token", json_sprintf("t%d", i), "key_authorization",
                                        json_sprintf("t%d.thumb", i), "expires_at", LIVE));
    put_challenge(f->store, A, tokens);
    ch_tlsalpn_free(f->answers);
    f->answers = ch_tlsalpn_new(f->store);
    for (int i = 0; i < CH_ALPN_CERTS + 10; i++) {
        CM_AUTO_STR host = cm_asprintf("h%d.example.com", i);
        CM_AUTO_STR answer = cm_asprintf("t%d.thumb", i);
        assert_true(answers(f, host, answer));
    }
    assert_true(answers(f, "h0.example.com", "t0.thumb")); /* made anew */
    assert_int_equal(ch_tlsalpn_made(f->answers), CH_ALPN_CERTS + 11);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(live_tokens_of_this_kind, setup, teardown),
        cmocka_unit_test_setup_teardown(made_once, setup, teardown),
        cmocka_unit_test_setup_teardown(the_one_that_ends_first, setup, teardown),
        cmocka_unit_test_setup_teardown(found_at_the_start_and_bounded, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
