/* The built-in look at a TLS port, against a real listener. */
#include "tests/unit/engine/harness.h"

#include "certmgr/engine/deploy.h"

struct seen {
    bool called;
    char fingerprint[65];
    struct cm_err err;
};

static void on_look(void *arg, const char *fingerprint, const struct cm_err *err)
{
    struct seen *seen = arg;
    assert_false(seen->called);
    seen->called = true;
    assert_true((fingerprint != NULL) == (err == NULL));
    if (fingerprint)
        (void)cm_strcpy(seen->fingerprint, sizeof(seen->fingerprint), fingerprint);
    else
        cm_err_copy(&seen->err, err);
}

static void look(struct h *h, const char *address, struct seen *seen)
{
    struct dep_wire wire = dep_wire_tls(h->loop);
    *seen = (struct seen){.called = false};
    wire.look(wire.arg, address, "www.example.com", on_look, seen);
    assert_false(seen->called); /* never from inside */
    while (!seen->called)
        cm_loop_turn(h->loop, true);
}

static void handle(void *arg, struct http_exchange *ex)
{
    (void)arg;
    http_ex_reply(ex, 204, NULL, NULL, 0);
}

static struct http_listener *serve(struct h *h, struct tls_server **ret_tls, char fingerprint[65])
{
    struct cm_err err = CM_ERR_INIT;
    struct http_listener *listener;
    CM_AUTO_STR cert = cm_asprintf("%s/cert.pem", h->dir);
    CM_AUTO_STR key = cm_asprintf("%s/key.pem", h->dir);
    OK(tls_identity_make("www.example.com", cert, key, &err), err);
    struct tls_server_opts tls = {.cert_file = cert, .key_file = key};
    OK(tls_server_new(&tls, ret_tls, &err), err);
    struct http_listen_opts opts = {
        .address = "127.0.0.1:0", .fd = -1, .tls = *ret_tls, .handler = handle};
    OK(http_listen(h->loop, &opts, &listener, &err), err);
    char *pem;
    size_t len;
    OK(cm_file_read(cert, 65536, &pem, &len, &err), err);
    BIO *bio = BIO_new_mem_buf(pem, (int)len);
    X509 *x509 = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    uint8_t digest[32];
    unsigned size;
    X509_digest(x509, EVP_sha256(), digest, &size);
    cm_hex(digest, sizeof(digest), fingerprint);
    X509_free(x509);
    BIO_free(bio);
    cm_free(pem);
    return listener;
}

static void sees_the_served_leaf(void **state)
{
    struct h *h = *state;
    struct tls_server *tls;
    char fingerprint[65];
    struct http_listener *listener = serve(h, &tls, fingerprint);
    struct seen seen;
    look(h, http_listener_address(listener), &seen);
    assert_string_equal(seen.fingerprint, fingerprint);
    http_listener_free(listener);
    tls_server_free(tls);
}

static void names_what_is_wrong(void **state)
{
    struct h *h = *state;
    struct seen seen;
    look(h, "127.0.0.1:1", &seen); /* nobody listens there */
    assert_int_equal(seen.err.code, CM_ENET);
    assert_non_null(strstr(seen.err.what, "127.0.0.1:1"));
    cm_err_fini(&seen.err);
    look(h, h->ca.base + strlen("http://"), &seen); /* no TLS */
    assert_int_equal(seen.err.code, CM_EPEER);
    cm_err_fini(&seen.err);
    static const char *const bad[] = {"www.example.com:443", "127.0.0.1", "127.0.0.1:0",
                                      "127.0.0.1:99999",     ":443",      ""};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        look(h, bad[i], &seen);
        assert_int_equal(seen.err.code, CM_EINVAL);
        cm_err_fini(&seen.err);
    }
}

static void a_cancelled_look_answers_nobody(void **state)
{
    struct h *h = *state;
    struct tls_server *tls;
    char fingerprint[65];
    struct http_listener *listener = serve(h, &tls, fingerprint);
    struct dep_wire wire = dep_wire_tls(h->loop);
    struct seen seen = {.called = false};
    wire.look(wire.arg, http_listener_address(listener), "www.example.com", on_look, &seen);
    cm_loop_turn(h->loop, false);
    wire.cancel(wire.arg, &seen);
    h_turns(h, 50);
    assert_false(seen.called);
    http_listener_free(listener);
    tls_server_free(tls);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        H_TEST(sees_the_served_leaf),
        H_TEST(names_what_is_wrong),
        H_TEST(a_cancelled_look_answers_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
