/* Inviting, admitting over a real listener, removing. */
#include "tests/unit/fleet/support.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/net/http_client.h"
#include "base/net/http_server.h"

static struct server alpha, beta;
static struct http_listener *listener;
static struct http_client *client;

static int64_t limit(void *arg, const struct http_request *req)
{
    (void)arg;
    (void)req;
    return 8192;
}

static int setup(void **state)
{
    struct cm_err err = CM_ERR_INIT;
    (void)state;
    manager_init(&alpha, "alpha");
    server_attach(&alpha);
    server_init(&beta, "beta");
    struct http_listen_opts opts = {.address = "127.0.0.1:0",
                                    .fd = -1,
                                    .limit = limit,
                                    .handler = fleet_handle_join,
                                    .arg = alpha.fleet};
    OK(http_listen(alpha.loop, &opts, &listener, &err), err);
    client = http_client_new(alpha.loop);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    http_client_free(client);
    http_listener_free(listener);
    server_fini(&alpha);
    server_fini(&beta);
    return 0;
}

/* ---- invitations ---- */

struct invitation {
    int calls, code;
    char what[200];
    json_t *token; /* decoded */
    char expires_at[CM_TIME_TEXT];
};

static void on_invited(void *arg, const char *token, const char *expires_at,
                       const struct cm_err *err)
{
    struct invitation *in = arg;
    uint8_t *bytes = NULL;
    size_t len = 0;
    in->calls++;
    in->code = err != NULL ? err->code : 0;
    cm_strcpy(in->what, sizeof(in->what), err != NULL ? err->what : "");
    if (err != NULL) {
        assert_null(token);
        return;
    }
    assert_null(strpbrk(token, "\r\n =+/")); /* one word that a person can copy */
    assert_int_equal(cm_b64url_decode(token, strlen(token), &bytes, &len), 0);
    assert_int_equal(cm_json_parse((char *)bytes, len, &in->token, NULL), 0);
    cm_free(bytes);
    cm_strcpy(in->expires_at, sizeof(in->expires_at), expires_at);
}

static struct invitation invite(const char *name)
{
    struct invitation in = {0};
    fleet_invite(alpha.fleet, name, on_invited, &in);
    assert_int_equal(in.calls, 0);
    deliver(&alpha);
    assert_int_equal(in.calls, 1);
    return in;
}

static void a_token_holds_what_the_other_server_needs(void **state)
{
    (void)state;
    int64_t now = 1800000000000;
    cm_clock_fake(now, 0);
    struct invitation in = invite("beta");
    assert_int_equal(in.code, 0);
    const struct kf_server *self = kf_trust_server(fleet_trust(alpha.fleet), "alpha");
    assert_int_equal(json_object_size(in.token), 6);
    assert_int_equal(cm_json_int(in.token, "v", 0), 1);
    assert_string_equal(cm_json_str(in.token, "url"), "https://alpha.example:8444");
    assert_string_equal(cm_json_str(in.token, "spki"), self->tls_spki);
    assert_string_equal(cm_json_str(in.token, "name"), "beta");
    assert_int_equal(strlen(cm_json_str(in.token, "secret")), 22); /* 128 bit */
    assert_string_equal(cm_json_str(in.token, "expires_at"), in.expires_at);
    assert_int_equal(cm_json_time(in.token, "expires_at", 0), now + FLEET_INVITE_S * 1000);
    struct invitation again = invite("beta");
    assert_string_not_equal(cm_json_str(in.token, "secret"), cm_json_str(again.token, "secret"));
    json_decref(in.token);
    json_decref(again.token);
}

static void invitations_are_refused_with_the_agents_reason(void **state)
{
    (void)state;
    char longer[200];
    memset(longer, 'a', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    assert_int_equal(invite("alpha").code, CM_ECONFLICT);
    assert_int_equal(invite("Beta/../x").code, CM_EINVAL);
    assert_int_equal(invite("").code, CM_EINVAL);
    assert_int_equal(invite("\xff").code, CM_EINVAL);
    assert_int_equal(invite(longer).code, CM_EINVAL); /* not cut to a shorter name */
    alpha.fail_op = "trust.invite";
    assert_int_equal(invite("beta").code, CM_ETIMEOUT);
}

/* ---- POST /join ---- */

struct answer {
    int calls, status;
    json_t *body;
};

static void on_answer(void *arg, const struct http_result *res)
{
    struct answer *a = arg;
    a->calls++;
    a->status = res->status;
    if (res->body_len > 0)
        assert_int_equal(cm_json_parse(res->body, res->body_len, &a->body, NULL), 0);
}

static void post(struct answer *a, const char *method, const char *body)
{
    struct cm_err err = CM_ERR_INIT;
    const char *headers[] = {"Content-Type: application/json", NULL};
    CM_AUTO_STR url = cm_asprintf("http://%s/join", http_listener_address(listener));
    struct http_call_opts opts = {.method = method,
                                  .url = url,
                                  .headers = headers,
                                  .body = body,
                                  .body_len = body != NULL ? strlen(body) : 0,
                                  .allow_http = true,
                                  .reply_max = 1u << 20};
    *a = (struct answer){0};
    assert_non_null(http_call(client, &opts, on_answer, a, &err));
}

static struct answer posted(const char *method, const char *body)
{
    struct answer a;
    post(&a, method, body);
    SETTLE_UNTIL(&alpha, a.calls == 1);
    return a;
}

static char *join_body(const struct keys *k, const char *name, const char *proof)
{
    CM_AUTO_JSON body = json_pack("{s:s, s:s, s:s, s:s, s:s}", "name", name, "seal", k->seal,
                                  "sign", k->sign, "tls", k->tls, "proof", proof);
    return cm_json_dump(body, NULL);
}

static const char *error_text(const struct answer *a)
{
    return cm_json_str_or(cm_json_obj(a->body, "error"), "what", "(none)");
}

static void the_right_proof_is_admitted(void **state)
{
    (void)state;
    struct invitation in = invite("beta");
    struct keys k = keys_of(&beta);
    CM_AUTO_STR proof = proof_of(cm_json_str(in.token, "secret"), "beta", &k);
    CM_AUTO_STR body = join_body(&k, "beta", proof);
    struct answer a = posted("POST", body);
    assert_int_equal(a.status, 200);
    assert_int_equal(version_of(&alpha), 2);
    CM_AUTO_JSON stored = cs_get_body(alpha.store, "trust:root");
    assert_true(json_equal(stored, cm_json_obj(a.body, "document")));
    assert_int_equal(kept_version(&alpha), 2);
    assert_int_equal(alpha.changes, 1);
    const struct kf_server *server = kf_trust_server(fleet_trust(alpha.fleet), "beta");
    assert_non_null(server);
    assert_string_equal(server->tls_b64, k.tls);
    assert_false(server->manager);
    /* The reply was lost: the same keys are answered again, without a new version. */
    struct answer again = posted("POST", body);
    assert_int_equal(again.status, 200);
    assert_true(json_equal(again.body, a.body));
    assert_int_equal(stored_version(&alpha), 2);
    assert_int_equal(alpha.changes, 1);
    json_decref(a.body);
    json_decref(again.body);
    json_decref(in.token);
    cm_free(k.tls);
}

static void the_document_is_durable_before_the_answer(void **state)
{
    (void)state;
    struct invitation in = invite("beta");
    struct keys k = keys_of(&beta);
    struct answer a;
    CM_AUTO_STR proof = proof_of(cm_json_str(in.token, "secret"), "beta", &k);
    CM_AUTO_STR body = join_body(&k, "beta", proof);
    int asked = alpha.asked;
    post(&a, "POST", body);
    struct timespec pause = {.tv_nsec = 2000000};
    for (int i = 0; i < WAIT_TURNS && alpha.asked == asked; i++) {
        cm_loop_turn(alpha.loop, false);
        nanosleep(&pause, NULL);
    }
    deliver(&alpha); /* the agent has answered, nothing is committed yet */
    for (int i = 0; i < 50; i++) {
        cm_loop_turn(alpha.loop, false);
        nanosleep(&pause, NULL);
    }
    assert_int_equal(a.calls, 0);
    assert_int_equal(version_of(&alpha), 1);
    SETTLE_UNTIL(&alpha, a.calls == 1);
    assert_int_equal(a.status, 200);
    json_decref(a.body);
    json_decref(in.token);
    cm_free(k.tls);
}

static void a_wrong_proof_is_denied(void **state)
{
    (void)state;
    struct invitation in = invite("beta");
    struct keys k = keys_of(&beta), other = keys_of(&alpha);
    CM_AUTO_STR proof = proof_of(cm_json_str(in.token, "secret"), "beta", &k);
    CM_AUTO_STR swapped = proof_of(cm_json_str(in.token, "secret"), "beta", &other);
    struct {
        const char *name, *proof;
    } const rows[] = {{"beta", swapped},
                      {"beta", ""},
                      {"beta", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"},
                      {"gamma", proof}}; /* nobody invited gamma */
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        CM_AUTO_STR body = join_body(&k, rows[i].name, rows[i].proof);
        struct answer a = posted("POST", body);
        assert_int_equal(a.status, 403);
        assert_non_null(strstr(error_text(&a), "invit"));
        json_decref(a.body);
    }
    assert_int_equal(version_of(&alpha), 1);
    assert_int_equal(stored_version(&alpha), 1);
    CM_AUTO_STR body = join_body(&k, "beta", proof); /* the invitation is still good */
    struct answer a = posted("POST", body);
    assert_int_equal(a.status, 200);
    json_decref(a.body);
    json_decref(in.token);
    cm_free(k.tls);
    cm_free(other.tls);
}

static void an_expired_invitation_is_denied(void **state)
{
    (void)state;
    int64_t now = cm_now_ms();
    cm_clock_fake(now, 0);
    struct invitation in = invite("beta");
    struct keys k = keys_of(&beta);
    CM_AUTO_STR proof = proof_of(cm_json_str(in.token, "secret"), "beta", &k);
    CM_AUTO_STR body = join_body(&k, "beta", proof);
    cm_clock_fake(now + FLEET_INVITE_S * 1000 + 1, 0);
    struct answer a = posted("POST", body);
    assert_int_equal(a.status, 403);
    assert_int_equal(version_of(&alpha), 1);
    json_decref(a.body);
    json_decref(in.token);
    cm_free(k.tls);
}

static void malformed_bodies_are_refused_before_the_agent(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "{",
        "[]",
        "\"x\"",
        "{}",
        "{\"name\":\"beta\",\"seal\":\"a\",\"sign\":\"b\",\"tls\":\"c\"}",
        "{\"name\":\"beta\",\"seal\":1,\"sign\":\"b\",\"tls\":\"c\",\"proof\":\"d\"}",
        "{\"name\":\"beta\",\"name\":\"x\",\"seal\":\"a\",\"sign\":\"b\",\"tls\":\"\",\"proof\":1}",
        "{\"name\":\"be\\u0000ta\",\"seal\":\"a\",\"sign\":\"b\",\"tls\":\"c\",\"proof\":\"d\"}",
    };
    int asked = alpha.asked;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct answer a = posted("POST", bad[i]);
        assert_int_equal(a.status, 400);
        assert_string_not_equal(error_text(&a), "(none)");
        json_decref(a.body);
    }
    struct answer a = posted("GET", NULL);
    assert_int_equal(a.status, 405);
    json_decref(a.body);
    assert_int_equal(alpha.asked, asked);
}

static void keys_that_are_none_are_refused_by_the_agent(void **state)
{
    (void)state;
    struct invitation in = invite("beta");
    char x[] = "x", y[] = "y", z[] = "z";
    struct keys k = {.seal = x, .sign = y, .tls = z};
    CM_AUTO_STR proof = proof_of(cm_json_str(in.token, "secret"), "beta", &k);
    CM_AUTO_STR body = join_body(&k, "beta", proof);
    struct answer a = posted("POST", body);
    assert_int_equal(a.status, 400);
    assert_int_equal(version_of(&alpha), 1);
    json_decref(a.body);
    json_decref(in.token);
}

/* Strangers are not told what is wrong inside, nor where things lie. */
static void inner_failures_are_for_the_log_only(void **state)
{
    (void)state;
    struct keys k = keys_of(&beta);
    CM_AUTO_STR body = join_body(&k, "beta", "proof");
    alpha.fail_op = "trust.admit";
    struct answer a = posted("POST", body);
    assert_int_equal(a.status, 503);
    CM_AUTO_STR text = cm_json_dump(a.body, NULL);
    assert_null(strstr(text, "/var/lib"));
    assert_string_equal(error_text(&a), "the manager cannot admit servers at present; see its log");
    json_decref(a.body);
    cm_free(k.tls);
}

static int raw_post(const char *body)
{
    struct sockaddr_in sa = {.sin_family = AF_INET};
    const char *address = http_listener_address(listener);
    char *end = NULL;
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    sa.sin_port = htons((uint16_t)strtol(strrchr(address, ':') + 1, &end, 10));
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    dprintf(fd, "POST /join HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n%s", strlen(body),
            body);
    return fd;
}

static void a_client_that_vanishes_is_admitted_all_the_same(void **state)
{
    (void)state;
    struct invitation in = invite("beta");
    struct keys k = keys_of(&beta);
    CM_AUTO_STR proof = proof_of(cm_json_str(in.token, "secret"), "beta", &k);
    CM_AUTO_STR body = join_body(&k, "beta", proof);
    int asked = alpha.asked;
    alpha.hold = true;
    int fd = raw_post(body);
    SETTLE_UNTIL(&alpha, alpha.asked > asked);
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(fd); /* while the agent thinks */
    SETTLE_UNTIL(&alpha, http_listener_connections(listener) == 0);
    alpha.hold = false;
    settle(&alpha);
    assert_int_equal(stored_version(&alpha), 2);
    struct answer a = posted("POST", body); /* comes again for its document */
    assert_int_equal(a.status, 200);
    json_decref(a.body);
    json_decref(in.token);
    cm_free(k.tls);
}

static void two_servers_join_in_one_turn(void **state)
{
    (void)state;
    struct server gamma;
    server_init(&gamma, "gamma");
    struct invitation ib = invite("beta"), ig = invite("gamma");
    struct keys kb = keys_of(&beta), kg = keys_of(&gamma);
    CM_AUTO_STR pb = proof_of(cm_json_str(ib.token, "secret"), "beta", &kb);
    CM_AUTO_STR pg = proof_of(cm_json_str(ig.token, "secret"), "gamma", &kg);
    CM_AUTO_STR bb = join_body(&kb, "beta", pb);
    CM_AUTO_STR bg = join_body(&kg, "gamma", pg);
    struct answer a, b;
    int asked = alpha.asked;
    alpha.hold = true;
    post(&a, "POST", bb);
    post(&b, "POST", bg);
    SETTLE_UNTIL(&alpha, alpha.asked == asked + 2);
    alpha.hold = false;
    SETTLE_UNTIL(&alpha, a.calls == 1 && b.calls == 1);
    assert_int_equal(a.status, 200);
    assert_int_equal(b.status, 200);
    assert_int_equal(version_of(&alpha), 3);
    assert_int_equal(stored_version(&alpha), 3);
    assert_non_null(kf_trust_server(fleet_trust(alpha.fleet), "beta"));
    assert_non_null(kf_trust_server(fleet_trust(alpha.fleet), "gamma"));
    json_decref(a.body);
    json_decref(b.body);
    json_decref(ib.token);
    json_decref(ig.token);
    cm_free(kb.tls);
    cm_free(kg.tls);
    server_fini(&gamma);
}

/* ---- remove ---- */

struct done {
    int calls, code;
};

static void on_done(void *arg, const struct cm_err *err)
{
    struct done *d = arg;
    d->calls++;
    d->code = err != NULL ? err->code : 0;
}

static void a_removed_server_is_no_peer_any_more(void **state)
{
    (void)state;
    struct done removed = {0};
    struct cm_err err = CM_ERR_INIT;
    CM_AUTO_JSON document = admit(&alpha, &beta);
    fleet_store_trust(alpha.fleet, document, on_done, &removed);
    settle(&alpha);
    assert_true(removed.calls == 1 && removed.code == 0);
    CM_AUTO_STR spki = cm_strdup(kf_trust_server(fleet_trust(alpha.fleet), "beta")->tls_spki);
    assert_non_null(kf_trust_by_tls(fleet_trust(alpha.fleet), spki));
    fleet_remove(alpha.fleet, "beta", on_done, &removed);
    settle(&alpha);
    assert_true(removed.calls == 2 && removed.code == 0);
    assert_int_equal(version_of(&alpha), 3);
    assert_int_equal(alpha.changes, 2);
    assert_null(kf_trust_by_tls(fleet_trust(alpha.fleet), spki));
    fleet_remove(alpha.fleet, "alpha", on_done, &removed); /* not ourselves */
    settle(&alpha);
    assert_true(removed.calls == 3 && removed.code == CM_EDENIED);
    fleet_remove(alpha.fleet, "nobody", on_done, &removed);
    settle(&alpha);
    assert_true(removed.calls == 4 && removed.code != 0);
    assert_int_equal(version_of(&alpha), 3);
    cm_err_fini(&err);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_token_holds_what_the_other_server_needs),
        T(invitations_are_refused_with_the_agents_reason),
        T(the_right_proof_is_admitted),
        T(the_document_is_durable_before_the_answer),
        T(a_wrong_proof_is_denied),
        T(an_expired_invitation_is_denied),
        T(malformed_bodies_are_refused_before_the_agent),
        T(keys_that_are_none_are_refused_by_the_agent),
        T(inner_failures_are_for_the_log_only),
        T(a_client_that_vanishes_is_admitted_all_the_same),
        T(two_servers_join_in_one_turn),
        T(a_removed_server_is_no_peer_any_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
