/* CSR out, certificate in, by hand: through the engine, with the former certificate left alone. */
#include "tests/unit/engine/harness.h"

#include "certmgr/engine/manual.h"

static const struct eng_actor ada = {.who = "ada", .via = "form"};

static json_t *credential(struct h *h)
{
    return h_body(h, "credential", h->credential);
}

static json_t *manual_fields(const char *names)
{
    json_t *fields = h_fields(names);
    json_object_del(fields, "account");
    cm_json_set_str(fields, "provider", "manual");
    return fields;
}

static bool csr_is_out(struct h *h)
{
    CM_AUTO_JSON body = credential(h);
    return body && eng_csr_waits(body);
}

/* hex SHA-256 of the key of the CSR that is out (static). */
static const char *key_out(struct h *h)
{
    static char text[65];
    CM_AUTO_JSON body = credential(h);
    (void)cm_strcpy(text, sizeof(text),
                    cm_json_str_or(cm_json_obj(body, "csr_out"), "public_key_sha256", ""));
    return text;
}

/* What the CA makes of the CSR that people see; from and to around now. */
static char *signed_csr(struct h *h, const char *sans, long from_s, long to_s)
{
    CM_AUTO_JSON view = eng_view(h->engine, h->credential);
    const json_t *out = cm_json_obj(cm_json_obj(view, "credential"), "csr_out");
    const char *pem = cm_json_str_or(out, "csr", "");
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509_REQ *req = PEM_read_bio_X509_REQ(bio, NULL, NULL, NULL);
    assert_non_null(req);
    EVP_PKEY *key = X509_REQ_get_pubkey(req);
    X509 *leaf = make_cert("leaf", key, "Test Middle", h->ca.keys.middle_key, sans, from_s, to_s);
    char *text = cert_pem(leaf);
    X509_free(leaf);
    EVP_PKEY_free(key);
    X509_REQ_free(req);
    BIO_free(bio);
    assert_null(json_object_get(out, "sealed_key")); /* people see no key, sealed or not */
    return text;
}

static void on_put(void *arg, const char *id, const json_t *errors, const json_t *notes,
                   const struct cm_err *err)
{
    struct h *h = arg;
    (void)id;
    json_decref(h->errors);
    json_decref(h->notes);
    h->errors = json_deep_copy(errors);
    h->notes = json_deep_copy(notes);
    h_on_done(h, err);
}

static int hand_in(struct h *h, const char *text)
{
    eng_certificate_put(h->engine, h->credential, text, strlen(text), &ada, on_put, h);
    return h_done(h);
}

static void hand_in_good(struct h *h, const char *leaf)
{
    CM_AUTO_STR text = cm_asprintf("%s%s%s", leaf, h->ca.keys.middle, h->ca.keys.root);
    if (hand_in(h, text) != 0)
        fail_msg("%s", h_line(h));
}

static void ask_csr(struct h *h, const char *names)
{
    assert_int_equal(h_submit(h, manual_fields(names)), 0);
    h_until(h, csr_is_out, "the CSR");
}

static json_t *issue_by_hand(struct h *h, const char *names, const char *sans)
{
    ask_csr(h, names);
    CM_AUTO_STR leaf = signed_csr(h, sans, -60, 90 * 86400);
    hand_in_good(h, leaf);
    return h_status(h, "issued");
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

static void out_and_in(void **state)
{
    struct h *h = *state;
    ask_csr(h, "www.example.com *.example.com"); /* a wildcard without any DNS account */
    CM_AUTO_JSON waiting = credential(h);
    assert_string_equal(cm_json_str(waiting, "status"), "waiting");
    assert_null(json_object_get(waiting, "account"));
    assert_null(json_object_get(waiting, "next_action_at"));
    assert_int_equal(h->ca.new_orders, 0);
    CM_AUTO_STR leaf =
        signed_csr(h, "DNS:www.example.com,DNS:*.example.com,DNS:more.example", -60, 90 * 86400);
    CM_AUTO_STR text = cm_asprintf("Hello\n%s\n%s%s", h->ca.keys.middle, leaf, h->ca.keys.root);
    assert_int_equal(hand_in(h, text), 0);
    assert_true(json_array_size(h->notes) >= 3); /* order, text around, one name more */
    CM_AUTO_JSON body = h_status(h, "issued");
    CM_AUTO_STR chain = cm_asprintf("%s%s", leaf, h->ca.keys.middle);
    assert_string_equal(cm_json_str(body, "chain"), chain);
    assert_string_equal(cm_json_str(body, "root"), h->ca.keys.root);
    assert_null(json_object_get(body, "csr_out"));
    assert_null(json_object_get(body, "issued_by"));
    assert_string_equal(cm_json_str(cm_json_obj(body, "health"), "color"), "green");
    assert_true(cm_json_time(body, "next_action_at", 0) > cm_now_ms() + INT64_C(86400000) * 50);
    h_turns(h, 50);
    CM_AUTO_JSON keyfile = h_body(h, "keyfile", h->credential);
    assert_string_equal(cm_json_str(keyfile, "leaf"), leaf);
    assert_string_equal(cm_json_str(keyfile, "intermediates"), h->ca.keys.middle);
    assert_true(
        json_equal(json_object_get(keyfile, "sealed_key"), json_object_get(body, "sealed_key")));
    assert_true(json_equal(json_object_get(keyfile, "servers"), json_object_get(body, "servers")));
    assert_true(is_told(h, "A certificate was handed in"));
    assert_true(is_told(h, "names more than was asked for: more.example"));
    CM_AUTO_JSON order = cs_kv_get(h->store, "order", h->credential);
    assert_null(order);
}

static void what_is_wrong_is_said_at_the_field(void **state)
{
    struct h *h = *state;
    ask_csr(h, "www.example.com");
    CM_AUTO_STR other = signed_csr(h, "DNS:other.example", -60, 3600);
    CM_AUTO_STR old = signed_csr(h, "DNS:www.example.com", -7200, -60);
    CM_AUTO_STR alone = signed_csr(h, "DNS:www.example.com", -60, 3600);
    const struct {
        const char *text, *said;
    } rows[] = {{other, "does not name www.example.com"},
                {old, "has expired at"},
                {alone, "issuer \"Test Middle\" is missing"},
                {h->ca.keys.middle, "only certificates of CAs"},
                {"nothing", "no certificate in the text"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(hand_in(h, rows[i].text), CM_EINVAL);
        const json_t *error = json_array_get(h->errors, 0);
        assert_string_equal(cm_json_str(error, "field"), "certificate");
        if (!strstr(cm_json_str_or(error, "message", ""), rows[i].said))
            fail_msg("%s", cm_json_str_or(error, "message", ""));
    }
    CM_AUTO_JSON body = credential(h);
    assert_string_equal(cm_json_str(body, "status"), "waiting"); /* nothing came of it */
}

static void the_manager_looks_again(void **state)
{
    struct h *h = *state;
    ask_csr(h, "www.example.com");
    CM_AUTO_STR id = cm_asprintf("request:%s", "01HZZZZZZZZZZZZZZZZZZZZZZR");
    CM_AUTO_STR leaf = signed_csr(h, "DNS:other.example", -60, 3600);
    CM_AUTO_STR text = cm_asprintf("%s%s", leaf, h->ca.keys.middle);
    h_put(h, json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:{s:s}}", "_id", id, "type", "request", "action",
                       "certificate", "credential", h->credential, "certificate", text, "at",
                       "2100-01-01T00:00:00.000Z", "by", "who", "mallory"));
    h_turns(h, 100);
    assert_true(is_told(h, "The certificate that was handed in was refused"));
    assert_true(is_told(h, "does not name www.example.com"));
    CM_AUTO_JSON body = credential(h);
    assert_string_equal(cm_json_str(body, "status"), "waiting");
}

static void a_new_csr_leaves_what_serves_alone(void **state)
{
    struct h *h = *state;
    CM_AUTO_JSON first = issue_by_hand(h, "www.example.com", "DNS:www.example.com");
    static const char *const kept[] = {"chain", "sealed_key", "csr", "fingerprint", "not_after"};
    eng_renew(h->engine, h->credential, false, &ada, h_on_done, h);
    assert_int_equal(h_done(h), 0);
    h_until(h, csr_is_out, "the CSR of the kept key");
    assert_string_equal(key_out(h), cm_json_str(first, "public_key_sha256"));
    eng_renew(h->engine, h->credential, true, &ada, h_on_done, h);
    assert_int_equal(h_done(h), 0);
    h_turns(h, 50);
    h_until(h, csr_is_out, "the CSR of a new key");
    assert_string_not_equal(key_out(h), cm_json_str(first, "public_key_sha256"));
    CM_AUTO_JSON body = credential(h);
    assert_string_equal(cm_json_str(body, "status"), "renew");
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
        assert_true(json_equal(json_object_get(first, kept[i]), json_object_get(body, kept[i])));
    assert_int_equal(cm_json_int(body, "key_generation", 0), 1);
    eng_renew(h->engine, h->credential, false, &ada, h_on_done, h); /* and back again */
    assert_int_equal(h_done(h), 0);
    h_turns(h, 50);
    h_until(h, csr_is_out, "the CSR of the kept key");
    assert_string_equal(key_out(h), cm_json_str(first, "public_key_sha256"));
}

static void the_next_one_replaces_the_former(void **state)
{
    struct h *h = *state;
    CM_AUTO_JSON first = issue_by_hand(h, "www.example.com", "DNS:www.example.com");
    eng_renew(h->engine, h->credential, true, &ada, h_on_done, h);
    assert_int_equal(h_done(h), 0);
    h_until(h, csr_is_out, "the CSR");
    CM_AUTO_STR leaf = signed_csr(h, "DNS:www.example.com", -30, 80 * 86400);
    /* The intermediate is known from the certificate before. */
    assert_int_equal(hand_in(h, leaf),
                     CM_EINVAL); /* but its root is not trusted: the text misses it */
    eng_root_put(h->engine, h->ca.keys.root, h_on_done, h);
    assert_int_equal(h_done(h), 0);
    if (hand_in(h, leaf) != 0)
        fail_msg("%s", h_line(h));
    CM_AUTO_JSON body = h_status(h, "issued");
    assert_int_equal(cm_json_int(body, "key_generation", 0), 2);
    assert_string_not_equal(cm_json_str(body, "fingerprint"), cm_json_str(first, "fingerprint"));
    h_turns(h, 50);
    CM_AUTO_JSON keyfile = h_body(h, "keyfile", h->credential);
    assert_string_equal(cm_json_str(keyfile, "leaf"), leaf);
    CM_AUTO_STR name = cm_asprintf("%s-%.16s", h->credential, cm_json_str(first, "fingerprint"));
    CM_AUTO_JSON archived = h_body(h, "archive", name);
    assert_string_equal(cm_json_str(archived, "why"), "replaced");
    assert_int_equal(hand_in(h, leaf), CM_EINVAL);
    assert_non_null(strstr(h_line(h), "has already"));
}

static void one_that_begins_later_waits(void **state)
{
    struct h *h = *state;
    ask_csr(h, "www.example.com");
    CM_AUTO_STR leaf = signed_csr(h, "DNS:www.example.com", 3600, 90 * 86400);
    hand_in_good(h, leaf);
    CM_AUTO_JSON body = h_status(h, "issued");
    assert_string_equal(cm_json_str(cm_json_obj(body, "activation"), "by"), "not_before");
    h_turns(h, 50);
    CM_AUTO_JSON keyfile = h_body(h, "keyfile", h->credential);
    assert_true(cm_json_time(keyfile, "serve_from", 0) > cm_now_ms() + 3500000);
}

/* Killed between the two documents: the next start finishes it. */
static void a_kill_in_between_is_made_up_for(void **state)
{
    struct h *h = *state;
    ask_csr(h, "www.example.com");
    CM_AUTO_STR leaf = signed_csr(h, "DNS:www.example.com", -60, 90 * 86400);
    CM_AUTO_STR text = cm_asprintf("%s%s%s", leaf, h->ca.keys.middle, h->ca.keys.root);
    eng_certificate_put(h->engine, h->credential, text, strlen(text), &ada, on_put, h);
    json_decref(h_status(h, "issued"));
    h_restart(h);
    h_turns(h, 100);
    CM_AUTO_JSON keyfile = h_body(h, "keyfile", h->credential);
    assert_string_equal(cm_json_str_or(keyfile, "leaf", ""), leaf);
    h->called = false;
}

static void other_names_take_another_csr(void **state)
{
    struct h *h = *state;
    ask_csr(h, "www.example.com");
    CM_AUTO_STR before = cm_strdup(key_out(h));
    CM_AUTO_JSON fields = json_pack("{s:s}", "host_names", "www.example.com mail.example.com");
    CM_AUTO_JSON body = credential(h);
    eng_change(h->engine, h->credential, fields, cm_json_int(body, "serial", 0), &ada, on_put, h);
    assert_int_equal(h_done(h), 0);
    h_turns(h, 50);
    h_until(h, csr_is_out, "the CSR");
    assert_string_not_equal(key_out(h), before);
    CM_AUTO_JSON settings = json_pack("{s:i}", "renew_days", 10);
    CM_AUTO_STR kept = cm_strdup(key_out(h));
    CM_AUTO_JSON now = credential(h);
    eng_change(h->engine, h->credential, settings, cm_json_int(now, "serial", 0), &ada, on_put, h);
    assert_int_equal(h_done(h), 0);
    h_turns(h, 50);
    assert_string_equal(key_out(h), kept); /* this takes no other one */
    CM_AUTO_JSON after = credential(h);
    assert_string_equal(cm_json_str(after, "status"), "waiting");
}

static void an_acme_credential_takes_none(void **state)
{
    struct h *h = *state;
    h_account(h);
    json_decref(h_issue(h, "www.example.com"));
    assert_int_equal(hand_in(h, h->ca.keys.middle), CM_ECONFLICT);
    assert_non_null(strstr(h_line(h), "come from an ACME CA"));
}

static void from_acme_to_people_with_the_same_key(void **state)
{
    struct h *h = *state;
    h_account(h);
    CM_AUTO_JSON first = h_issue(h, "www.example.com");
    CM_AUTO_JSON fields = json_pack("{s:s}", "provider", "manual");
    eng_change(h->engine, h->credential, fields, 0, &ada, on_put, h);
    assert_int_equal(h_done(h), 0);
    h_until(h, csr_is_out, "the CSR");
    assert_string_equal(key_out(h), cm_json_str(first, "public_key_sha256"));
    CM_AUTO_JSON body = credential(h);
    assert_string_equal(cm_json_str(body, "fingerprint"), cm_json_str(first, "fingerprint"));
    assert_null(json_object_get(body, "account"));
    CM_AUTO_STR leaf = signed_csr(h, "DNS:www.example.com", -30, 80 * 86400);
    hand_in_good(h, leaf);
    json_decref(h_status(h, "issued"));
    assert_int_equal(h->ca.new_orders, 1);
    struct eng_revocation wish = {.after = "keep"};
    eng_revoke(h->engine, h->credential, &wish, &ada, h_on_done, h);
    assert_int_equal(h_done(h), CM_ECONFLICT); /* nobody to ask */
    assert_non_null(strstr(h_line(h), "revoked where it was issued"));
}

static bool is_renewed_by_hand(struct h *h)
{
    CM_AUTO_JSON body = credential(h);
    return cm_json_str(body, "chain") && eng_csr_waits(body);
}

static void the_csr_comes_in_time(void **state)
{
    struct h *h = *state;
    ask_csr(h, "www.example.com");
    CM_AUTO_STR leaf =
        signed_csr(h, "DNS:www.example.com", -7200, 1800); /* a third is left: less */
    hand_in_good(h, leaf);
    h_until(h, is_renewed_by_hand, "the CSR for the renewal");
    CM_AUTO_JSON body = credential(h);
    assert_string_equal(cm_json_str(body, "status"), "renew");
    assert_string_equal(key_out(h), cm_json_str(body, "public_key_sha256")); /* kept */
}

static void an_agent_that_is_away(void **state)
{
    struct h *h = *state;
    h->away = 1;
    h->away_op = "key.create";
    ask_csr(h, "www.example.com");
    CM_AUTO_JSON body = credential(h);
    assert_string_equal(cm_json_str(body, "status"), "waiting");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        H_TEST(out_and_in),
        H_TEST(what_is_wrong_is_said_at_the_field),
        H_TEST(the_manager_looks_again),
        H_TEST(a_new_csr_leaves_what_serves_alone),
        H_TEST(the_next_one_replaces_the_former),
        H_TEST(one_that_begins_later_waits),
        H_TEST(a_kill_in_between_is_made_up_for),
        H_TEST(other_names_take_another_csr),
        H_TEST(an_acme_credential_takes_none),
        H_TEST(from_acme_to_people_with_the_same_key),
        H_TEST(the_csr_comes_in_time),
        H_TEST(an_agent_that_is_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
