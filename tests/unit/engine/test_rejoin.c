/* Servers that were removed, and those that joined again with other keys. */
#include "tests/unit/engine/harness.h"

#include "certmgr/engine/recipients.h"
#include "keyfile/pkey.h"
#include "keyfile/seal.h"

enum { ALPHA, BRAVO, CHARLIE };

static const char *const names[] = {"alpha", "bravo", "charlie"};

/* ---- the fleet ---- */

static void set_trust(struct h *h, json_t *take_document)
{
    kf_trust_free(h->trust);
    h->trust = parse_root(take_document);
    json_decref(take_document);
}

static void remove_server(struct h *h, size_t i)
{
    struct cm_err err = CM_ERR_INIT;
    json_t *document;
    OK(kf_trust_mark_removed(&h->identity[ALPHA], h->trust, names[i], cm_now_ms(), &document, &err),
       err);
    set_trust(h, document);
    eng_rejoin_look(h->engine);
}

static void join(struct h *h, size_t i)
{
    h->trust = admit(&h->identity[ALPHA], h->trust, &h->identity[i]);
    eng_rejoin_look(h->engine);
}

static void join_with_new_keys(struct h *h, size_t i)
{
    char *dir = temp_dir();
    kf_identity_fini(&h->identity[i]);
    make_identity(dir, names[i], &h->identity[i]);
    remove_dir(dir);
    join(h, i);
}

/* ---- sealed keys ---- */

/* Something sealed for these servers as they are now (base64, owned). */
static char *sealed_for(struct h *h, const size_t *who, size_t count)
{
    struct cm_err err = CM_ERR_INIT;
    X509 *recipient[3] = {NULL};
    uint8_t *der, spki[KF_P256_SPKI_SIZE];
    size_t len;
    for (size_t i = 0; i < count; i++) {
        OK(kf_p256_spki_b64(h->identity[who[i]].seal_b64, spki, &err), err);
        OK(kf_recipient(spki, sizeof(spki), &recipient[i], &err), err);
    }
    OK(kf_seal("x", 1, recipient, count, &der, &len, &err), err);
    char *text = cm_b64(der, len);
    cm_free(der);
    for (size_t i = 0; i < count; i++)
        X509_free(recipient[i]);
    return text;
}

static void set_member(struct h *h, const char *type, const char *member, const char *value)
{
    json_t *body = h_body(h, type, h->credential);
    json_t *copy = json_deep_copy(body);
    json_decref(body);
    json_object_del(copy, "signature");
    cm_json_set_str(copy, member, value);
    h_put(h, copy);
}

/* An issued credential of bravo and charlie whose key is sealed for these two. */
static void issued_for_two(struct h *h)
{
    json_t *fields = h_fields("www.example.com");
    cm_json_set(fields, "servers", json_pack("[s,s]", "bravo", "charlie"));
    h_account(h);
    assert_int_equal(h_submit(h, fields), 0);
    json_decref(h_status(h, "issued"));
    CM_AUTO_STR sealed = sealed_for(h, (const size_t[]){BRAVO, CHARLIE}, 2);
    set_member(h, "credential", "sealed_key", sealed);
    set_member(h, "keyfile", "sealed_key", sealed);
}

static const json_t *last_op(struct h *h, const char *op)
{
    const json_t *found = NULL, *request;
    size_t i;
    json_array_foreach(h->ops, i, request)
    {
        if (strcmp(cm_json_str_or(request, "op", ""), op) == 0)
            found = request;
    }
    return found;
}

static bool two_keys(struct h *h)
{
    CM_AUTO_JSON body = h_body(h, "credential", h->credential);
    return cm_json_int(body, "key_generation", 0) == 2 &&
           strcmp(cm_json_str_or(body, "status", ""), "issued") == 0;
}

static bool is_seen_to(struct h *h)
{
    CM_AUTO_JSON value = cs_kv_get(h->store, "state", "sealed/bravo");
    return strcmp(cm_json_str_or(value, "seal", ""), h->identity[BRAVO].seal_b64) == 0;
}

/* ---- tests ---- */

static void who_joins_again_gets_a_new_key(void **state)
{
    struct h *h = *state;
    h_until(h, is_seen_to, "the first look");
    issued_for_two(h);
    remove_server(h, BRAVO);
    h_turns(h, 400);
    CM_AUTO_JSON gone = cs_kv_get(h->store, "state", "sealed/bravo");
    assert_null(gone);
    assert_int_equal(h_op_count(h, "key.create"), 1);
    join_with_new_keys(h, BRAVO);
    h_until(h, two_keys, "a certificate with a new key");
    assert_int_equal(h_op_count(h, "key.create"), 2);
    assert_false(is_seen_to(h)); /* until it was looked at again */
    eng_rejoin_look(h->engine);
    h_until(h, is_seen_to, "the second look");
    CM_AUTO_JSON steps = eng_steps(h->engine, h->credential);
    CM_AUTO_STR text = cm_json_dump(steps, NULL);
    assert_non_null(strstr(text, "Server bravo has other keys than before"));
    h_turns(h, 400);
    assert_int_equal(h_op_count(h, "key.create"), 2);
}

static void who_comes_back_with_its_keys_gets_nothing(void **state)
{
    struct h *h = *state;
    issued_for_two(h);
    remove_server(h, BRAVO);
    join(h, BRAVO);
    h_until(h, is_seen_to, "the look");
    CM_AUTO_JSON body = h_body(h, "credential", h->credential);
    assert_string_equal(cm_json_str(body, "status"), "issued");
    assert_int_equal(h_op_count(h, "key.create"), 1);
}

/* It was away while the others got a new key: its old keys do not open that. */
static void who_missed_a_key_gets_the_next(void **state)
{
    struct h *h = *state;
    issued_for_two(h);
    h_until(h, is_seen_to, "the first look");
    remove_server(h, BRAVO);
    h_turns(h, 400);
    CM_AUTO_STR sealed = sealed_for(h, (const size_t[]){CHARLIE}, 1);
    set_member(h, "credential", "sealed_key", sealed);
    set_member(h, "keyfile", "sealed_key", sealed);
    join(h, BRAVO);
    h_until(h, two_keys, "a certificate with a new key");
}

/* Its keys are replaced: the former ones (old) count as well, or (NULL) not any more. */
static void set_keys(struct h *h, size_t i, const json_t *old)
{
    json_t *document = json_deep_copy(kf_trust_document(h->trust)), *server;
    size_t k;
    json_array_foreach(cm_json_arr(document, "servers"), k, server)
    {
        if (strcmp(cm_json_str_or(server, "name", ""), names[i]) != 0)
            continue;
        if (old == NULL) {
            json_object_del(server, "old");
            continue;
        }
        json_object_set(server, "old", (json_t *)(uintptr_t)old);
        cm_json_set_str(server, "seal", h->identity[i].seal_b64);
        cm_json_set_str(server, "sign", h->identity[i].sign_b64);
        CM_AUTO_STR tls = fresh_spki();
        cm_json_set_str(server, "tls", tls);
    }
    set_trust(h, document);
    eng_rejoin_look(h->engine);
}

static bool seen_with_former(struct h *h)
{
    CM_AUTO_JSON value = cs_kv_get(h->store, "state", "sealed/bravo");
    return is_seen_to(h) && cm_json_bool(value, "former", false);
}

/* As long as the former key counts nothing is to be done; what is sealed for it alone when it goes
 * gets a new key. */
static void what_is_left_for_a_former_key_gets_the_next(void **state)
{
    struct h *h = *state;
    issued_for_two(h);
    h_until(h, is_seen_to, "the first look");
    const struct kf_server *bravo = kf_trust_server(h->trust, "bravo");
    CM_AUTO_JSON old = json_pack("{s:s, s:s, s:s}", "seal", bravo->seal_b64, "sign",
                                 bravo->sign_b64, "tls", bravo->tls_b64);
    char *dir = temp_dir();
    kf_identity_fini(&h->identity[BRAVO]);
    make_identity(dir, "bravo", &h->identity[BRAVO]);
    remove_dir(dir);
    set_keys(h, BRAVO, old);
    h_until(h, seen_with_former, "the look with both keys");
    assert_int_equal(h_op_count(h, "key.create"), 1);
    set_keys(h, BRAVO, NULL);
    h_until(h, two_keys, "a certificate with a new key");
    assert_int_equal(h_op_count(h, "key.create"), 2);
}

/* An order that the CA has is finished with its key: it is looked at until then. */
static void an_order_under_way_is_looked_at_again(void **state)
{
    struct h *h = *state;
    issued_for_two(h);
    h_until(h, is_seen_to, "the first look");
    remove_server(h, BRAVO);
    h_turns(h, 400);
    CM_AUTO_STR only = sealed_for(h, (const size_t[]){CHARLIE}, 1);
    CM_AUTO_JSON order = json_pack("{s:s}", "sealed_key", only);
    assert_int_equal(cs_kv_put(h->store, "order", h->credential, order, NULL), 0);
    join(h, BRAVO);
    h_turns(h, 400);
    assert_false(is_seen_to(h));
    assert_int_equal(cs_kv_del(h->store, "order", h->credential, NULL), 0);
    eng_rejoin_look(h->engine);
    h_until(h, is_seen_to, "the look after its end");
}

static void what_is_paused_stays(void **state)
{
    struct h *h = *state;
    issued_for_two(h);
    CM_AUTO_JSON body = h_body(h, "credential", h->credential);
    json_t *paused = json_deep_copy(body);
    json_object_del(paused, "signature");
    cm_json_set_bool(paused, "paused", true);
    h_put(h, paused);
    remove_server(h, BRAVO);
    join_with_new_keys(h, BRAVO);
    h_until(h, is_seen_to, "the look");
    CM_AUTO_JSON after = h_body(h, "credential", h->credential);
    assert_string_equal(cm_json_str(after, "status"), "issued");
    assert_non_null(cm_json_str(after, "csr"));
}

/* What a removed server could open is known to it: the next certificate has another key, for the
 * servers that are left. */
static void the_next_key_is_not_for_who_was_removed(void **state)
{
    struct h *h = *state;
    issued_for_two(h);
    remove_server(h, BRAVO);
    set_member(h, "credential", "status", "renew");
    set_member(h, "credential", "next_action_at", "2026-01-01T00:00:00.000Z");
    h_until(h, two_keys, "the renewal");
    CM_AUTO_JSON wanted = json_pack("[s]", "charlie");
    assert_true(json_equal(json_object_get(last_op(h, "key.create"), "servers"), wanted));
    CM_AUTO_JSON steps = eng_steps(h->engine, h->credential);
    CM_AUTO_STR text = cm_json_dump(steps, NULL);
    assert_non_null(strstr(text, "server bravo can open it, and was removed"));
}

static void recipients_are_told_apart(void **state)
{
    struct h *h = *state;
    CM_AUTO_STR sealed = sealed_for(h, (const size_t[]){BRAVO}, 1);
    CM_AUTO_JSON both = json_pack("[s,s]", "bravo", "charlie");
    CM_AUTO_JSON one = json_pack("[s]", "bravo");
    assert_true(eng_recipient(kf_trust_server(h->trust, "bravo"), sealed));
    assert_false(eng_recipient(kf_trust_server(h->trust, "charlie"), sealed));
    assert_true(eng_recipient(kf_trust_server(h->trust, "charlie"), "AAAA"));
    assert_true(eng_recipient(kf_trust_server(h->trust, "charlie"), ""));
    assert_null(eng_recipient_wrong(h->engine, one, sealed));
    assert_null(eng_recipient_wrong(h->engine, both, NULL));
    assert_string_equal(eng_recipient_wrong(h->engine, both, sealed)->name, "charlie");
    remove_server(h, CHARLIE);
    assert_null(eng_recipient_wrong(h->engine, both, sealed));
    CM_AUTO_JSON left = eng_recipients(h->engine, both);
    assert_true(json_equal(left, one));
    remove_server(h, BRAVO);
    assert_string_equal(eng_recipient_wrong(h->engine, both, sealed)->name, "bravo");
    CM_AUTO_JSON all = eng_recipients(h->engine, both);
    assert_true(json_equal(all, both));
}

static bool is_sealed_anew(struct h *h)
{
    CM_AUTO_JSON body = h_body(h, "keyfile", h->credential);
    return strcmp(cm_json_str_or(body, "sealed_key", ""), "bmV3") == 0;
}

/* The manager can open an imported key: the same one is sealed for the server's new keys. */
static void an_imported_key_is_sealed_anew(void **state)
{
    struct h *h = *state;
    issued_for_two(h);
    set_member(h, "credential", "provider", "import");
    remove_server(h, BRAVO);
    join_with_new_keys(h, BRAVO);
    h_until(h, is_sealed_anew, "the key for its new keys");
    json_decref(h_status(h, "issued"));
    assert_int_equal(h_op_count(h, "key.create"), 1);
    assert_int_equal(h_op_count(h, "key.rewrap"), 1);
}

/* The look is not over before the key is there, so a restart in between begins it again. */
static void killed_on_the_way(void **state)
{
    struct h *h = *state;
    issued_for_two(h);
    h_until(h, is_seen_to, "the first look");
    remove_server(h, BRAVO);
    h_turns(h, 400);
    h->away = 1000;
    h->away_op = "key.create";
    join_with_new_keys(h, BRAVO);
    h_turns(h, 400);
    assert_false(two_keys(h));
    assert_false(is_seen_to(h));
    h->away = 0;
    h_restart(h);
    h_until(h, two_keys, "a certificate with a new key");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        H_TEST(who_joins_again_gets_a_new_key),
        H_TEST(who_comes_back_with_its_keys_gets_nothing),
        H_TEST(who_missed_a_key_gets_the_next),
        H_TEST(what_is_left_for_a_former_key_gets_the_next),
        H_TEST(an_order_under_way_is_looked_at_again),
        H_TEST(what_is_paused_stays),
        H_TEST(the_next_key_is_not_for_who_was_removed),
        H_TEST(recipients_are_told_apart),
        H_TEST(an_imported_key_is_sealed_anew),
        H_TEST(killed_on_the_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
