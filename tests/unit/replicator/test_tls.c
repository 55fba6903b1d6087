/* Replication over mutual TLS with pinned keys, as between the servers of a fleet. */
#include "tests/unit/replicator/rig.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct identity {
    char cert[300], key[300], spki[65];
};

struct fixture {
    struct rig rig;
    struct node up, edge;
    struct identity manager, server, stranger;
    struct tls_server *tls;
    struct rp_client *client;
};

static void make_identity(struct identity *id, const char *dir, const char *name)
{
    snprintf(id->cert, sizeof(id->cert), "%s/%s.crt", dir, name);
    snprintf(id->key, sizeof(id->key), "%s/%s.key", dir, name);
    assert_int_equal(tls_identity_make(name, id->cert, id->key, NULL), 0);
    assert_int_equal(tls_spki_of_file(id->cert, id->spki, NULL), 0);
}

/* As the fleet does: only keys that the trust root lists get through the handshake. */
static bool peer_ok(void *arg, const char *spki)
{
    const struct fixture *f = arg;
    return strcmp(spki, f->server.spki) == 0 || strcmp(spki, f->stranger.spki) == 0;
}

static int setup(void **state)
{
    struct fixture *f = test_calloc(1, sizeof(*f));
    rig_open(&f->rig);
    node_start(&f->rig, &f->up, "up", false);
    node_start(&f->rig, &f->edge, "edge", false);
    make_identity(&f->manager, f->up.dir, "manager");
    make_identity(&f->server, f->edge.dir, "server");
    make_identity(&f->stranger, f->edge.dir, "stranger");
    const struct tls_server_opts opts = {.cert_file = f->manager.cert,
                                         .key_file = f->manager.key,
                                         .ask_client_cert = true,
                                         .peer_ok = peer_ok,
                                         .arg = f};
    assert_int_equal(tls_server_new(&opts, &f->tls, NULL), 0);
    node_stop(&f->up);
    f->up.tls = f->tls;
    f->up.spki_allowed = f->server.spki;
    node_listen(&f->up);
    f->edge.cert_file = f->server.cert;
    f->edge.key_file = f->server.key;
    f->edge.pin = f->manager.spki;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    node_close_store(&f->edge);
    node_close_store(&f->up);
    rp_client_free(f->client);
    node_close(&f->edge);
    node_close(&f->up);
    tls_server_free(f->tls);
    rig_close(&f->rig);
    test_free(f);
    return 0;
}

static void test_both_ways(void **state)
{
    struct fixture *f = *state;
    put_doc(&f->up, doc_settings("global", 10, 30), NULL);
    put_doc(&f->edge, doc_receipt("edge", ULID("AA"), 10, "served"), NULL);
    f->client = client_start(&f->edge, &f->up);
    client_settle(&f->edge, f->client);
    assert_true(same_leaves(&f->up, &f->edge, "settings:global"));
    assert_true(same_leaves(&f->up, &f->edge, "receipt:edge:" ULID("AA")));
    put_doc(&f->up, doc_settings("later", 10, 30), NULL);
    rig_sleep(&f->rig, 100);
    client_settle(&f->edge, f->client);
    assert_true(same_leaves(&f->up, &f->edge, "settings:later"));
}

static bool stuck(void *arg)
{
    CM_AUTO_JSON part = client_part(arg, "pull");
    return strcmp(cm_json_str(part, "state"), "waiting") == 0;
}

static void expect_refusal(struct fixture *f)
{
    put_doc(&f->up, doc_settings("global", 10, 30), NULL);
    f->client = client_start(&f->edge, &f->up);
    rig_wait(&f->rig, stuck, f->client);
    struct cs_doc doc;
    assert_int_equal(cs_get(f->edge.store, "settings:global", &doc, NULL), CM_ENOENT);
    CM_AUTO_JSON part = client_part(f->client, "pull");
    assert_string_equal(cm_json_str(cm_json_obj(part, "error"), "code"), "denied");
}

static void test_wrong_upstream(void **state)
{
    struct fixture *f = *state;
    f->edge.pin = f->stranger.spki;
    expect_refusal(f);
    assert_int_equal(f->up.requests, 0); /* refused before the first byte of a request */
}

static void test_no_peer(void **state)
{
    struct fixture *f = *state;
    f->edge.cert_file = f->stranger.cert;
    f->edge.key_file = f->stranger.key;
    expect_refusal(f);
}

/* Without a certificate one gets through the handshake (joining needs it), but reads nothing. */
static void test_no_certificate(void **state)
{
    struct fixture *f = *state;
    f->edge.cert_file = f->edge.key_file = NULL;
    expect_refusal(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_both_ways, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_upstream, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_peer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_certificate, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
