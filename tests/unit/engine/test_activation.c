/* From when on a new certificate is in force: what accounts and CAs want, and what responders say.
 */
#include "tests/unit/engine/harness.h"

#include "tests/unit/keyfile/ocsp_support.h"

#include "certmgr/engine/activation.h"
#include "keyfile/ocsp.h"

#define NOW    INT64_C(1800000000000)
#define SECOND INT64_C(1000)
#define JPRS   "https://acme.amecert.jprs.jp/DV/getDirectory"

/* ---- the rule ---------------------------------------------------------------------------------
 */

struct rule {
    struct test_ca ca;
    EVP_PKEY *key;
    struct kf_chain chain;
    json_t *account, *former;
};

static int rule_setup(void **state)
{
    struct rule *r = cm_calloc(1, sizeof(*r));
    ca_init(&r->ca);
    assert_int_equal(kf_pkey_generate(KF_KEY_P256, &r->key, NULL), 0);
    X509 *leaf = make_cert("leaf", r->key, "Test Middle", r->ca.middle_key, "DNS:a.example", 0, 60);
    ocsp_name(leaf, "http://ocsp.example/", r->ca.middle_key);
    r->chain = (struct kf_chain){.leaf = cert_pem(leaf),
                                 .intermediates = cm_strdup(r->ca.middle),
                                 .info = {.not_before_ms = NOW - 60 * SECOND}};
    X509_free(leaf);
    r->account = json_object();
    r->former = json_object();
    *state = r;
    return 0;
}

static int rule_teardown(void **state)
{
    struct rule *r = *state;
    kf_chain_fini(&r->chain);
    EVP_PKEY_free(r->key);
    ca_fini(&r->ca);
    json_decref(r->account);
    json_decref(r->former);
    cm_free(r);
    return 0;
}

/* in_s 0 = at once. */
static void expect(struct rule *r, int64_t in_s, const char *by)
{
    CM_AUTO_JSON activation = eng_activation_of(r->account, r->former, &r->chain, NOW);
    int64_t from = cm_json_time(activation, "from", NOW);
    if (from != NOW + in_s * SECOND || strcmp(cm_json_str_or(activation, "by", "none"), by) != 0)
        fail_msg("in %d s by %s", (int)((from - NOW) / SECOND),
                 cm_json_str_or(activation, "by", "none"));
    if (strcmp(by, "ocsp") == 0)
        assert_string_equal(cm_json_str(activation, "url"), "http://ocsp.example/");
}

static void the_account_says_else_the_preset(void **state)
{
    struct rule *r = *state;
    expect(r, 0, "none");
    cm_json_set_str(r->account, "directory", JPRS);
    expect(r, 600, "ocsp");
    cm_json_set_int(r->account, "activation_s", 900);
    expect(r, 900, "ocsp");
    cm_json_set_str(r->account, "activation", "delay");
    expect(r, 900, "delay");
    cm_json_set_str(r->account, "activation", "at_once");
    expect(r, 0, "none");
    cm_json_set_str(r->account, "activation", "ocsp");
    cm_json_set_str(r->account, "directory", "https://other.example/");
    json_object_del(r->account, "activation_s");
    expect(r, ENG_OCSP_WAIT_S, "ocsp");
}

static void without_a_responder_nobody_waits(void **state)
{
    struct rule *r = *state;
    cm_json_set_str(r->account, "directory", JPRS);
    cm_free(r->chain.leaf);
    r->chain.leaf = ca_leaf(&r->ca, r->key, "DNS:a.example");
    expect(r, 0, "none");
    cm_json_set_str(r->account, "activation", "delay");
    expect(r, 600, "delay");
}

static void a_certificate_that_begins_later_is_served_later(void **state)
{
    struct rule *r = *state;
    r->chain.info.not_before_ms = NOW + 7200 * SECOND;
    expect(r, 7200, "not_before");
    cm_json_set_str(r->account, "activation", "ocsp");
    expect(r, 7200, "ocsp");
}

static void the_former_one_is_not_served_beyond_its_end(void **state)
{
    struct rule *r = *state;
    cm_json_set_str(r->account, "directory", JPRS);
    cm_json_set_str(r->former, "chain", "pem");
    cm_json_set_time(r->former, "not_after", NOW + 100 * SECOND);
    expect(r, 100, "ocsp");
    cm_json_set_time(r->former, "not_after", NOW - SECOND);
    expect(r, 0, "none");
    cm_json_set_time(r->former, "not_after", NOW + 5000 * SECOND);
    expect(r, 600, "ocsp");
    cm_json_set(r->former, "revocation", json_object());
    expect(r, 0, "none");
    r->chain.info.not_before_ms = NOW + 50 * SECOND;
    expect(r, 50, "ocsp");
}

static void fields_are_checked(void **state)
{
    (void)state;
    static const struct {
        const char *fields, *complaint; /* NULL = good */
    } rows[] = {
        {"{}", NULL},
        {"{\"activation\":\"\",\"activation_s\":\"\"}", NULL},
        {"{\"activation\":\"ocsp\"}", NULL},
        {"{\"activation\":\"delay\",\"activation_s\":\"600\"}", NULL},
        {"{\"activation\":\"delay\",\"activation_s\":86400}", NULL},
        {"{\"activation\":\"delay\"}", "activation_s: say"},
        {"{\"activation\":\"later\"}", "activation: choose"},
        {"{\"activation\":1}", "activation: choose"},
        {"{\"activation_s\":86401}", "activation_s: a whole"},
        {"{\"activation_s\":-1}", "activation_s: a whole"},
        {"{\"activation_s\":\"10 min\"}", "activation_s: a whole"},
        {"{\"activation_s\":true}", "activation_s: a whole"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        CM_AUTO_JSON fields = json_loads(rows[i].fields, 0, NULL);
        CM_AUTO_JSON members = json_pack("{s:s,s:i}", "activation", "delay", "activation_s", 5);
        struct cm_err err = CM_ERR_INIT;
        assert_non_null(fields);
        if (rows[i].complaint)
            REFUSED(eng_activation_check(fields, members, &err), CM_EINVAL, rows[i].complaint, err);
        else
            OK(eng_activation_check(fields, members, &err), err);
        cm_err_fini(&err);
    }
}

/* ---- with a responder -------------------------------------------------------------------------
 */

enum says { SAYS_GOOD, SAYS_UNKNOWN, SAYS_UNAUTHORIZED, SAYS_BROKEN, SAYS_HUGE, SAYS_NOTHING };

static struct {
    struct http_listener *listener;
    char url[80];
    enum says says;
    unsigned asked;
    struct h *h;
    struct http_exchange *held;
} responder;

static X509 *present_leaf(void)
{
    CM_AUTO_JSON body = h_body(responder.h, "credential", responder.h->credential);
    return ocsp_cert(cm_json_str_or(body, "chain", ""));
}

static void reply_status(struct http_exchange *ex, int status)
{
    struct test_ca *ca = &responder.h->ca.keys;
    struct ocsp_say say = {.status = status, .from_s = -5};
    X509 *leaf = present_leaf(), *issuer = ocsp_cert(ca->middle);
    size_t size;
    unsigned char *der = ocsp_answer(leaf, issuer, ca->middle_key, &say, &size);
    http_ex_reply(ex, 200, "application/ocsp-response", (char *)der, size);
    OPENSSL_free(der);
    X509_free(leaf);
    X509_free(issuer);
}

static void respond(void *arg, struct http_exchange *ex)
{
    static const char unauthorized[] = {0x30, 0x03, 0x0a, 0x01, 0x06};
    const struct http_request *req = http_ex_request(ex);
    (void)arg;
    assert_true(req->body_len > 50 && req->body[0] == 0x30);
    responder.asked++;
    switch (responder.says) {
    case SAYS_GOOD:
        reply_status(ex, V_OCSP_CERTSTATUS_GOOD);
        break;
    case SAYS_UNKNOWN:
        reply_status(ex, V_OCSP_CERTSTATUS_UNKNOWN);
        break;
    case SAYS_UNAUTHORIZED:
        http_ex_reply(ex, 200, "application/ocsp-response", unauthorized, sizeof(unauthorized));
        break;
    case SAYS_BROKEN:
        http_ex_reply(ex, 200, "application/ocsp-response", "0\x82\x01", 3);
        break;
    case SAYS_HUGE: {
        CM_AUTO_STR big = cm_calloc(1, KF_OCSP_REPLY_MAX + 2);
        memset(big, 'x', KF_OCSP_REPLY_MAX + 1);
        http_ex_reply(ex, 200, "application/ocsp-response", big, KF_OCSP_REPLY_MAX + 1);
        break;
    }
    case SAYS_NOTHING:
        responder.held = ex; /* as a responder that hangs */
        break;
    }
}

static int64_t body_limit(void *arg, const struct http_request *req)
{
    (void)arg;
    (void)req;
    return 4096;
}

static int setup(void **state)
{
    int rc = h_setup(state);
    struct h *h = *state;
    struct cm_err err = CM_ERR_INIT;
    struct http_listen_opts opts = {
        .address = "127.0.0.1:0", .fd = -1, .limit = body_limit, .handler = respond};
    memset(&responder, 0, sizeof(responder));
    responder.h = h;
    OK(http_listen(h->loop, &opts, &responder.listener, &err), err);
    snprintf(responder.url, sizeof(responder.url), "http://%s/ocsp",
             http_listener_address(responder.listener));
    h->ca.ocsp = responder.url;
    h_account(h);
    return rc;
}

static int teardown(void **state)
{
    http_listener_free(responder.listener);
    return h_teardown(state);
}

static void wish(struct h *h, const char *mode, int seconds)
{
    json_t *account = h_body(h, "account", "ca");
    cm_json_set_str(account, "activation", mode);
    cm_json_set_int(account, "activation_s", seconds);
    h_put(h, account);
}

static bool was_asked(struct h *h)
{
    (void)h;
    return responder.asked > 0;
}

static const char *wanted_by;

static bool is_by(struct h *h)
{
    CM_AUTO_JSON body = h_body(h, "credential", h->credential);
    return strcmp(cm_json_str_or(cm_json_obj(body, "activation"), "by", ""), wanted_by) == 0;
}

static void until_by(struct h *h, const char *by)
{
    wanted_by = by;
    h_until(h, is_by, by);
}

/* Milliseconds from now until servers begin to serve; 0 = they do. */
static int64_t held_ms(struct h *h)
{
    CM_AUTO_JSON keyfile = h_body(h, "keyfile", h->credential);
    assert_non_null(keyfile);
    int64_t from = cm_json_time(keyfile, "serve_from", 0);
    return from ? from - cm_now_ms() : 0;
}

/* The next question comes now. */
static void ask_now(struct h *h)
{
    eng_activation_stop(h->engine);
    responder.asked = 0;
    eng_activation_start(h->engine);
}

static bool is_told(struct h *h, const char *text)
{
    CM_AUTO_JSON view = eng_view(h->engine, h->credential);
    size_t i;
    json_t *step;
    json_array_foreach(cm_json_arr(view, "steps"), i, step)
    {
        if (strstr(cm_json_str_or(step, "text", ""), text))
            return true;
    }
    return false;
}

static void good_brings_it_into_force(void **state)
{
    struct h *h = *state;
    responder.says = SAYS_UNKNOWN;
    wish(h, "ocsp", 600);
    json_decref(h_issue(h, "www.example.com"));
    assert_true(held_ms(h) > 590 * SECOND && held_ms(h) <= 600 * SECOND);
    h_until(h, was_asked, "the question");
    h_turns(h, 50);
    assert_true(is_told(h, "does not know it yet; the certificate is in force as soon as"));
    assert_true(held_ms(h) > 590 * SECOND);
    responder.says = SAYS_GOOD;
    ask_now(h);
    until_by(h, "good");
    h_turns(h, 20);
    assert_int_equal(held_ms(h), 0);
    assert_true(is_told(h, "says good: the certificate is in force"));
    ask_now(h);
    h_turns(h, 50);
    assert_int_equal(responder.asked, 0); /* nobody asks any more */
    CM_AUTO_JSON gone = cs_kv_get(h->store, "ocsp", h->credential);
    assert_null(gone);
}

static void what_is_no_answer_is_waited_out(void **state)
{
    struct h *h = *state;
    static const struct {
        enum says says;
        const char *told;
    } rows[] = {{SAYS_UNAUTHORIZED, "does not answer about it yet"},
                {SAYS_BROKEN, "cannot be asked (The OCSP responder's answer is none"},
                {SAYS_HUGE, "cannot be asked ("}};
    wish(h, "ocsp", 600);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        CM_AUTO_STR name = cm_asprintf("www%zu.example.com", i);
        responder.says = rows[i].says;
        responder.asked = 0;
        json_decref(h_issue(h, name));
        h_until(h, was_asked, "the question");
        h_turns(h, 50);
        assert_true(is_told(h, rows[i].told));
        assert_true(held_ms(h) > 590 * SECOND);
    }
    responder.says = SAYS_GOOD;
    ask_now(h);
    until_by(h, "good"); /* the last of them, at least */
}

static void never_good_is_served_at_the_latest_time(void **state)
{
    struct h *h = *state;
    responder.says = SAYS_UNKNOWN;
    wish(h, "ocsp", 1);
    json_decref(h_issue(h, "www.example.com"));
    ask_now(h);
    until_by(h, "limit");
    h_turns(h, 20);
    assert_true(held_ms(h) <= 0); /* the document itself was not written again */
    assert_true(is_told(h, "has not said good in time: the certificate is in force nevertheless"));
}

static void a_hanging_responder_delays_nothing_else(void **state)
{
    struct h *h = *state;
    responder.says = SAYS_NOTHING;
    wish(h, "ocsp", 600);
    json_decref(h_issue(h, "www.example.com"));
    h_until(h, was_asked, "the question");
    json_decref(h_issue(h, "other.example.com"));
    h_turns(h, 50);
    assert_true(held_ms(h) > 590 * SECOND);
}

static void a_restart_goes_on_asking(void **state)
{
    struct h *h = *state;
    responder.says = SAYS_UNKNOWN;
    wish(h, "ocsp", 600);
    json_decref(h_issue(h, "www.example.com"));
    h_until(h, was_asked, "the question");
    h_restart(h);
    responder.says = SAYS_GOOD;
    until_by(h, "good");
    assert_int_equal(held_ms(h), 0);
}

static void an_agent_that_is_away_is_asked_again(void **state)
{
    struct h *h = *state;
    responder.says = SAYS_UNKNOWN;
    wish(h, "ocsp", 600);
    json_decref(h_issue(h, "www.example.com"));
    h_until(h, was_asked, "the question");
    h->sign_away = 1;
    responder.says = SAYS_GOOD;
    ask_now(h);
    until_by(h, "good");
    assert_int_equal(held_ms(h), 0);
}

static void a_delay_is_only_waited_for(void **state)
{
    struct h *h = *state;
    wish(h, "delay", 300);
    CM_AUTO_JSON body = h_issue(h, "www.example.com");
    assert_string_equal(cm_json_str(cm_json_obj(body, "activation"), "by"), "delay");
    assert_true(held_ms(h) > 290 * SECOND && held_ms(h) <= 300 * SECOND);
    h_turns(h, 50);
    assert_int_equal(responder.asked, 0);
}

static void the_next_certificate_has_its_own(void **state)
{
    struct h *h = *state;
    static const struct eng_actor ada = {.who = "ada", .via = "form"};
    responder.says = SAYS_UNKNOWN;
    wish(h, "ocsp", 600);
    json_decref(h_issue(h, "www.example.com"));
    h_until(h, was_asked, "the question");
    wish(h, "at_once", 0);
    eng_renew(h->engine, h->credential, false, &ada, h_on_done, h);
    assert_int_equal(h_done(h), 0);
    until_by(h, "");
    assert_int_equal(held_ms(h), 0);
    ask_now(h);
    h_turns(h, 50);
    assert_int_equal(responder.asked, 0);
}

#define RULE(fn) cmocka_unit_test_setup_teardown(fn, rule_setup, rule_teardown)
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RULE(the_account_says_else_the_preset),
        RULE(without_a_responder_nobody_waits),
        RULE(a_certificate_that_begins_later_is_served_later),
        RULE(the_former_one_is_not_served_beyond_its_end),
        cmocka_unit_test(fields_are_checked),
        TEST(good_brings_it_into_force),
        TEST(what_is_no_answer_is_waited_out),
        TEST(never_good_is_served_at_the_latest_time),
        TEST(a_hanging_responder_delays_nothing_else),
        TEST(a_restart_goes_on_asking),
        TEST(an_agent_that_is_away_is_asked_again),
        TEST(a_delay_is_only_waited_for),
        TEST(the_next_certificate_has_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
