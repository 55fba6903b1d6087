/*
 * A disk that is full for a while: what was acknowledged is done when there is space again.
 */
#include "tests/unit/engine/harness.h"

#include <string.h>

/* As a server of the fleet pushed it: this one has not been asked. */
static json_t *request(const char *credential)
{
    char ulid[CM_ULID_TEXT];
    cm_ulid(ulid);
    CM_AUTO_STR id = cm_asprintf("request:%s", ulid);
    json_t *doc = json_object();
    cm_json_set_str(doc, "_id", id);
    cm_json_set_str(doc, "type", "request");
    cm_json_set_str(doc, "credential", credential);
    cm_json_set_str(doc, "action", "issue");
    cm_json_set_int(doc, "base_serial", 0);
    cm_json_set(doc, "fields",
                json_pack("{s:[s],s:s,s:s,s:s,s:[s],s:s,s:s,s:i,s:s}", "host_names",
                          "www.example.com", "provider", "acme", "account", "ca", "key_type",
                          "P-256", "servers", "bravo", "keyring_file", "keyfile.kyr", "target",
                          "default", "renew_days", 30, "key_rollover", "keep"));
    cm_json_set_time(doc, "at", cm_now_ms());
    cm_json_set(doc, "by",
                json_pack("{s:s,s:s,s:s}", "who", "ada", "via", "form", "server", "bravo"));
    return doc;
}

static void is_answered_later(struct h *h, int code)
{
    h_account(h);
    cm_ulid(h->credential);
    h_put(h, request(h->credential));
    h->sign_code = code;
    h->sign_away = 1; /* the first write is the intake's answer */
    CM_AUTO_JSON body = h_status(h, "issued");
    assert_int_equal(h->sign_away, 0);
    assert_int_equal(cm_json_int(body, "attempts", -1), 0);
    assert_int_equal(h->ca.new_orders, 1);
}

static void a_request_waits_for_space(void **state)
{
    is_answered_later(*state, CM_EFULL);
}

static void a_request_waits_for_a_store_that_failed(void **state)
{
    is_answered_later(*state, CM_EIO);
}

static bool is_removed(struct h *h)
{
    CM_AUTO_JSON credential = h_body(h, "credential", h->credential);
    CM_AUTO_JSON keyfile = h_body(h, "keyfile", h->credential);
    return !credential && !keyfile;
}

/* Request and answer are written; keyfile, archive and credential follow. */
static void a_removal_is_ended_when_there_is_space(void **state)
{
    struct h *h = *state;
    struct eng_actor actor = {.who = "ada", .via = "cli"};
    h_account(h);
    for (unsigned written = 2; written <= 4; written++) {
        CM_AUTO_STR name = cm_asprintf("www%u.example.com", written);
        json_decref(h_issue(h, name));
        h_turns(h, 20);
        h->sign_skip = written;
        h->sign_away = 1;
        h->sign_code = CM_EFULL;
        eng_put_away(h->engine, h->credential, true, &actor, h_on_done, h);
        assert_int_equal(h_done(h), 0);
        h_until(h, is_removed, "the credential and its key to be removed");
        assert_int_equal(h->sign_away, 0);
    }
}

static char before[CM_SHA256_HEX]; /* fingerprint of the certificate to be replaced */

static int count_id(void *arg, const char *key, const char *id)
{
    size_t *count = arg;
    (void)key;
    (void)id;
    (*count)++;
    return 0;
}

static bool is_archived(struct h *h)
{
    size_t count = 0;
    cs_each(h->store, CS_BY_TYPE, "archive", NULL, NULL, count_id, &count);
    return count > 0;
}

static bool is_renewed(struct h *h)
{
    CM_AUTO_JSON keyfile = h_body(h, "keyfile", h->credential);
    CM_AUTO_JSON credential = h_body(h, "credential", h->credential);
    const char *present = cm_json_str_or(credential, "fingerprint", "");
    return strcmp(present, before) != 0 && h->sign_away == 0 &&
           strcmp(present, cm_json_str_or(keyfile, "fingerprint", "")) == 0;
}

/* Request, answer, token, certificate and keyfile are written; the record of the one that was
 * replaced is not, and only the archive still has it. */
static void a_replaced_certificate_is_kept_when_there_is_space(void **state)
{
    struct h *h = *state;
    struct eng_actor actor = {.who = "ada", .via = "cli"};
    h_account(h);
    CM_AUTO_JSON first = h_issue(h, "www.example.com");
    snprintf(before, sizeof(before), "%s", cm_json_str(first, "fingerprint"));
    h_turns(h, 20);
    h->sign_skip = 5;
    h->sign_away = 1;
    h->sign_code = CM_EFULL;
    eng_renew(h->engine, h->credential, false, &actor, h_on_done, h);
    assert_int_equal(h_done(h), 0);
    h_until(h, is_renewed, "the renewal");
    assert_false(is_archived(h));
    CM_AUTO_JSON body = h_status(h, "issued");
    assert_null(cm_json_obj(body, "error"));
    h_until(h, is_archived, "the former certificate to be kept");
    CM_AUTO_STR name = cm_asprintf("%s-%.16s", h->credential, before);
    CM_AUTO_JSON kept = h_body(h, "archive", name);
    assert_string_equal(cm_json_str(kept, "why"), "replaced");
    assert_string_equal(cm_json_str(kept, "fingerprint"), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        H_TEST(a_request_waits_for_space),
        H_TEST(a_request_waits_for_a_store_that_failed),
        H_TEST(a_removal_is_ended_when_there_is_space),
        H_TEST(a_replaced_certificate_is_kept_when_there_is_space),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
