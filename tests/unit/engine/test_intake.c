/* The manager answers requests: once, whoever signed them, with the outcome in the credential. */
#include "keyfile/maker.h"
#include "tests/unit/engine/harness.h"

static json_t *request(const char *ulid, const char *action, const char *credential,
                       int64_t base_serial, json_t *take_fields)
{
    json_t *doc = json_object();
    CM_AUTO_STR id = cm_asprintf("request:%s", ulid);
    cm_json_set_str(doc, "_id", id);
    cm_json_set_str(doc, "type", "request");
    cm_json_set_str(doc, "action", action);
    cm_json_set_str(doc, "credential", credential);
    cm_json_set_int(doc, "base_serial", base_serial);
    cm_json_set(doc, "fields", take_fields);
    cm_json_set(doc, "by",
                json_pack("{s:s,s:s,s:s}", "who", "eve", "via", "api", "server", "bravo"));
    cm_json_set_time(doc, "at", cm_now_ms());
    return doc;
}

/* A request as it comes from another server, its names still as typed. */
static json_t *foreign_fields(const char *name)
{
    return json_pack("{s:[s],s:s,s:s,s:s,s:[s],s:s,s:s,s:i,s:s}", "host_names", name, "provider",
                     "acme", "account", "ca", "key_type", "P-256", "servers", "bravo",
                     "keyring_file", "keyfile.kyr", "target", "default", "renew_days", 30,
                     "key_rollover", "keep");
}

static void put_request(struct h *h, const char *action, int64_t base, json_t *take_fields)
{
    char ulid[CM_ULID_TEXT];
    cm_ulid(ulid);
    if (!h->credential[0])
        cm_ulid(h->credential);
    h_put(h, request(ulid, action, h->credential, base, take_fields));
}

/* As it comes by replication, signed by another server. */
static void arrives_from(struct h *h, json_t *take_doc, const char *server)
{
    CM_AUTO_JSON doc = take_doc;
    struct cs_result res;
    struct cm_err err = CM_ERR_INIT;
    cm_json_set_str(cm_json_obj(doc, "by"), "server", server);
    cm_json_set_str(doc, "_rev", "1-a");
    cm_json_set_int(doc, "serial", cm_now_ms());
    cm_json_set(doc, "signature",
                json_pack("{s:s,s:s,s:s}", "by", server, "key", "0123456789abcdef0123456789abcdef",
                          "value", "AAAA"));
    OK(cs_put_replicated(h->store, doc, "hub", &res, &err), err);
    if (res.code != 0)
        fail_msg("%s", res.reason);
    h_turns(h, 50);
}

/* On a hub a member reads the number of a credential that is asked for, and asks before. */
static void the_number_of_a_credential_is_its_makers(void **state)
{
    struct h *h = *state;
    char ulid[CM_ULID_TEXT];
    h_account(h);
    kf_maker_ulid("bravo", h->credential);
    cm_ulid(ulid);
    arrives_from(h, request(ulid, "issue", h->credential, 0, foreign_fields("evil.example")),
                 "charlie");
    CM_AUTO_STR id = cm_asprintf("credential:%s", h->credential);
    CM_AUTO_JSON none = cs_get_body(h->store, id);
    assert_null(none);
    cm_ulid(ulid);
    arrives_from(h, request(ulid, "issue", h->credential, 0, foreign_fields("own.example")),
                 "bravo");
    CM_AUTO_JSON body = h_status(h, "issued");
    assert_true(cm_json_has_str(cm_json_arr(body, "host_names_ascii"), "own.example"));
}

static const char *error_text(const json_t *body)
{
    static char text[4096];
    CM_AUTO_STR dump = cm_json_dump(json_object_get(body, "error"), NULL);
    (void)cm_strcpy(text, sizeof(text), dump ? dump : "");
    return text;
}

static void a_request_from_another_server_is_answered(void **state)
{
    struct h *h = *state;
    h_account(h);
    put_request(h, "issue", 0,
                foreign_fields("b\xc3\xbc"
                               "cher.example"));
    CM_AUTO_JSON body = h_status(h, "issued");
    assert_string_equal(cm_json_str(body, "requested_by"), "eve");
    assert_non_null(json_object_get(body, "requested_at"));
    assert_true(cm_json_has_str(cm_json_arr(body, "host_names_ascii"), "xn--bcher-kva.example"));
    assert_true(cm_json_has_str(cm_json_arr(body, "host_names"), "b\xc3\xbc"
                                                                 "cher.example"));
}

static void no_request_is_trusted(void **state)
{
    struct h *h = *state;
    h_account(h);
    json_t *fields = foreign_fields("*.example.com");
    json_object_set_new(fields, "servers", json_pack("[s]", "zulu"));
    json_object_set_new(fields, "renew_days", json_integer(0));
    cm_json_set_str(fields, "keyring_file", "x.sh");
    put_request(h, "issue", 0, fields);
    CM_AUTO_JSON body = h_status(h, "error");
    assert_non_null(strstr(error_text(body), "DNS-01"));
    assert_non_null(strstr(error_text(body), "zulu"));
    assert_non_null(strstr(error_text(body), "renew_days"));
    assert_null(json_object_get(body, "next_action_at"));
    assert_null(json_object_get(body, "keyring_file"));
    assert_true(eng_is_refused(body));
    h_turns(h, 50);
    assert_int_equal(h->ca.new_orders, 0);
    CM_AUTO_JSON view = eng_view(h->engine, h->credential);
    assert_non_null(strstr(cm_json_str_or(view, "next", ""), "Refused"));
}

static void a_refused_request_holds_no_file(void **state)
{
    struct h *h = *state;
    h_account(h);
    put_request(h, "issue", 0, foreign_fields("*.example.com"));
    json_decref(h_status(h, "error"));
    h->credential[0] = '\0';
    put_request(h, "issue", 0, foreign_fields("www.example.com"));
    CM_AUTO_JSON body = h_status(h, "issued");
    assert_string_equal(cm_json_str(body, "keyring_file"), "keyfile.kyr");
}

static void two_requests_at_once_do_not_share_a_file(void **state)
{
    struct h *h = *state;
    h_account(h);
    char first[CM_ULID_TEXT], second[CM_ULID_TEXT], ulid[CM_ULID_TEXT];
    cm_ulid(first);
    cm_ulid(second);
    cm_ulid(ulid);
    /* Both reach the manager in one batch. */
    cs_publish(h->store, request(ulid, "issue", first, 0, foreign_fields("a.example.com")), 0, NULL,
               NULL);
    cm_ulid(ulid);
    cs_publish(h->store, request(ulid, "issue", second, 0, foreign_fields("b.example.com")), 0,
               NULL, NULL);
    memcpy(h->credential, first, sizeof(first));
    json_decref(h_status(h, "issued"));
    memcpy(h->credential, second, sizeof(second));
    CM_AUTO_JSON b = h_status(h, "error");
    assert_non_null(strstr(error_text(b), "keyfile.kyr on server bravo belongs to"));
}

static unsigned submitted;

static void on_submitted(void *arg, const char *credential, const json_t *errors,
                         const json_t *notes, const struct cm_err *err)
{
    (void)errors;
    (void)notes;
    assert_null(err);
    memcpy(arg, credential, CM_ULID_TEXT);
    submitted++;
}

static void defaults_of_two_requests_at_once_are_told_apart(void **state)
{
    struct h *h = *state;
    struct eng_actor actor = {.who = "ada", .via = "api"};
    char first[CM_ULID_TEXT], second[CM_ULID_TEXT];
    h_account(h);
    /* Nobody asked for a file name: the manager chooses, for it knows of both. */
    CM_AUTO_JSON a = h_fields("a.example.com");
    CM_AUTO_JSON b = h_fields("b.example.com");
    submitted = 0;
    eng_submit(h->engine, a, &actor, on_submitted, first);
    eng_submit(h->engine, b, &actor, on_submitted, second);
    while (submitted < 2)
        cm_loop_turn(h->loop, true);
    memcpy(h->credential, first, sizeof(first));
    CM_AUTO_JSON one = h_status(h, "issued");
    memcpy(h->credential, second, sizeof(second));
    CM_AUTO_JSON two = h_status(h, "issued");
    assert_string_equal(cm_json_str(one, "keyring_file"), "keyfile.kyr");
    assert_string_equal(cm_json_str(two, "keyring_file"), "b.example.com.kyr");
}

static void a_stale_request_is_an_edit_conflict(void **state)
{
    struct h *h = *state;
    h_account(h);
    CM_AUTO_JSON before = h_issue(h, "www.example.com");
    h_turns(h, 20);
    put_request(h, "issue", 0, foreign_fields("other.example.com")); /* test_fields.c has more */
    h_turns(h, 50);
    CM_AUTO_JSON body = h_body(h, "credential", h->credential);
    assert_string_equal(cm_json_str(body, "status"), "issued"); /* what serves goes on serving */
    assert_non_null(strstr(error_text(body), "conflict"));
    assert_true(json_equal(json_object_get(body, "host_names_ascii"),
                           json_object_get(before, "host_names_ascii")));
    assert_int_equal(h->ca.new_orders, 1);
}

static void each_request_is_answered_once(void **state)
{
    struct h *h = *state;
    h_account(h);
    CM_AUTO_JSON before = h_issue(h, "www.example.com");
    h_turns(h, 20);
    CM_AUTO_JSON settled = h_body(h, "credential", h->credential);
    int64_t serial = cm_json_int(settled, "serial", 0);
    /* A restart looks at all requests again, also without the local memory of the answer. */
    CM_AUTO_STR key = cm_asprintf("request/%s", cm_json_str(before, "request"));
    CM_AUTO_JSON answer = cs_kv_get(h->store, "state", key);
    assert_non_null(answer);
    assert_int_equal(cs_kv_del(h->store, "state", key, NULL), 0);
    h_restart(h);
    h_turns(h, 100);
    CM_AUTO_JSON after = h_body(h, "credential", h->credential);
    assert_int_equal(cm_json_int(after, "serial", 0), serial);
    assert_int_equal(h->ca.new_orders, 1);
}

static void a_retry_is_answered_once_too(void **state)
{
    struct h *h = *state;
    struct eng_actor actor = {.who = "ada", .via = "cli"};
    h_account(h);
    h->ca.fail_validation = true;
    assert_int_equal(h_submit(h, h_fields("www.example.com")), 0);
    json_decref(h_status(h, "error"));
    eng_retry(h->engine, h->credential, &actor, h_on_done, h);
    assert_int_equal(h_done(h), 0);
    while (h->ca.new_orders < 2)
        cm_loop_turn(h->loop, true);
    CM_AUTO_JSON second = h_status(h, "error");
    assert_int_equal(cm_json_int(second, "attempts", 0), 2);
    CM_AUTO_STR key = cm_asprintf("request/%s", cm_json_str(second, "request"));
    h_turns(h, 50);
    assert_int_equal(cs_kv_del(h->store, "state", key, NULL), 0);
    h_restart(h);
    h_turns(h, 100);
    assert_int_equal(h->ca.new_orders, 2);
}

static void an_edit_with_the_right_serial_changes_names_and_key(void **state)
{
    struct h *h = *state;
    h_account(h);
    CM_AUTO_JSON before = h_issue(h, "www.example.com");
    h_turns(h, 20);
    CM_AUTO_JSON settled = h_body(h, "credential", h->credential);
    put_request(h, "issue", cm_json_int(settled, "serial", 0), foreign_fields("new.example.com"));
    while (h->ca.downloads < 2)
        cm_loop_turn(h->loop, true);
    CM_AUTO_JSON after = h_status(h, "issued");
    assert_true(cm_json_has_str(cm_json_arr(after, "san"), "new.example.com"));
    assert_int_equal(cm_json_int(after, "key_generation", 0), 2);
    assert_false(json_equal(json_object_get(before, "public_key_sha256"),
                            json_object_get(after, "public_key_sha256")));
}

static void requests_wait_for_an_absent_agent(void **state)
{
    struct h *h = *state;
    h_account(h);
    char ulid[CM_ULID_TEXT];
    cm_ulid(ulid);
    cm_ulid(h->credential);
    h_put(h, request(ulid, "issue", h->credential, 0, foreign_fields("www.example.com")));
    h->sign_away = 1;
    CM_AUTO_JSON body = h_status(h, "issued");
    assert_int_equal(cm_json_int(body, "attempts", -1), 0);
}

static void a_retry_of_nothing_is_refused(void **state)
{
    struct h *h = *state;
    struct eng_actor actor = {.who = "ada", .via = "cli"};
    eng_retry(h->engine, "01HZZZZZZZZZZZZZZZZZZZZZZZ", &actor, h_on_done, h);
    assert_int_equal(h_done(h), CM_ENOENT);
    eng_retry(h->engine, "../x", &actor, h_on_done, h);
    assert_int_equal(h_done(h), CM_EINVAL);
}

static void a_retry_of_an_issued_certificate_orders_nothing(void **state)
{
    struct h *h = *state;
    struct eng_actor actor = {.who = "ada", .via = "cli"};
    h_account(h);
    json_decref(h_issue(h, "www.example.com"));
    h_turns(h, 20);
    eng_retry(h->engine, h->credential, &actor, h_on_done, h);
    assert_int_equal(h_done(h), 0);
    h_turns(h, 50);
    CM_AUTO_JSON after = h_body(h, "credential", h->credential);
    assert_string_equal(cm_json_str(after, "status"), "issued");
    assert_int_equal(h->ca.new_orders, 1);
}

/* ---- changes
 * ----------------------------------------------------------------------------------- */

static void change(struct h *h, json_t *take_fields, int64_t base)
{
    struct eng_actor actor = {.who = "grace", .via = "api"};
    char ulid[CM_ULID_TEXT] = "";
    submitted = 0;
    eng_change(h->engine, h->credential, take_fields, base, &actor, on_submitted, ulid);
    while (submitted == 0)
        cm_loop_turn(h->loop, true);
    json_decref(take_fields);
    assert_string_equal(ulid, h->credential);
    h_turns(h, 50);
}

static void settings_change_without_an_order(void **state)
{
    struct h *h = *state;
    h_account(h);
    CM_AUTO_JSON before = h_issue(h, "www.example.com");
    h_turns(h, 20);
    change(
        h,
        json_pack("{s:i,s:s,s:b}", "renew_days", 10, "key_rollover", "every_renewal", "paused", 1),
        0);
    CM_AUTO_JSON paused = h_body(h, "credential", h->credential);
    assert_string_equal(cm_json_str(paused, "status"), "issued");
    assert_true(cm_json_bool(paused, "paused", false));
    assert_int_equal(cm_json_int(paused, "renew_days", 0), 10);
    assert_true(json_equal(json_object_get(paused, "next_action_at"),
                           json_object_get(paused, "not_after")));
    assert_true(
        json_equal(json_object_get(paused, "host_names"), json_object_get(before, "host_names")));
    change(h, json_pack("{s:b}", "paused", 0), cm_json_int(paused, "serial", 0));
    CM_AUTO_JSON after = h_body(h, "credential", h->credential);
    assert_null(json_object_get(after, "paused"));
    int64_t left = cm_json_time(after, "not_after", 0) - cm_json_time(after, "next_action_at", 0);
    assert_true(left >= INT64_C(10) * 86400000 && left < INT64_C(12) * 86400000);
    assert_int_equal(h->ca.new_orders, 1);
    assert_string_equal(cm_json_str(after, "requested_by"), "grace");
}

static void another_file_name_moves_the_keyring_only(void **state)
{
    struct h *h = *state;
    h_account(h);
    CM_AUTO_JSON before = h_issue(h, "www.example.com");
    h_turns(h, 20);
    change(h, json_pack("{s:s,s:s}", "keyring_file", "other.kyr", "target", "mail"), 0);
    CM_AUTO_JSON keyfile = h_body(h, "keyfile", h->credential);
    assert_string_equal(cm_json_str(keyfile, "keyring_file"), "other.kyr");
    assert_string_equal(cm_json_str(keyfile, "target"), "mail");
    assert_true(json_equal(json_object_get(keyfile, "fingerprint"),
                           json_object_get(before, "fingerprint")));
    assert_int_equal(h->ca.new_orders, 1);
}

static void names_and_servers_change_with_a_new_key(void **state)
{
    struct h *h = *state;
    h_account(h);
    json_decref(h_issue(h, "www.example.com"));
    h_turns(h, 20);
    change(h,
           json_pack("{s:s,s:[s]}", "host_names", "www.example.com new.example.com", "servers",
                     "charlie"),
           0);
    h_until_downloads(h, 2);
    CM_AUTO_JSON after = h_status(h, "issued");
    assert_true(cm_json_has_str(cm_json_arr(after, "san"), "new.example.com"));
    assert_int_equal(cm_json_int(after, "key_generation", 0), 2);
    CM_AUTO_JSON keyfile = h_body(h, "keyfile", h->credential);
    assert_true(cm_json_has_str(cm_json_arr(keyfile, "servers"), "charlie"));
    assert_int_equal(json_array_size(cm_json_arr(keyfile, "servers")), 1);
}

static void a_change_in_the_middle_of_an_order_is_not_lost(void **state)
{
    struct h *h = *state;
    h_account(h);
    h->away_op = "jws.sign";
    h->away = 1;
    assert_int_equal(h_submit(h, h_fields("www.example.com")), 0);
    while (h_op_count(h, "jws.sign") == 0)
        cm_loop_turn(h->loop, true);
    change(h, json_pack("{s:s}", "host_names", "right.example.com"), 0);
    h_turns(h, 3000);
    while (h->engine->job_count > 0)
        cm_loop_turn(h->loop, true);
    CM_AUTO_JSON after = h_status(h, "issued");
    assert_true(cm_json_has_str(cm_json_arr(after, "san"), "right.example.com"));
    CM_AUTO_JSON keyfile = h_body(h, "keyfile", h->credential);
    assert_true(cm_json_has_str(cm_json_arr(keyfile, "names"), "right.example.com"));
}

static void on_refused(void *arg, const char *credential, const json_t *errors, const json_t *notes,
                       const struct cm_err *err)
{
    (void)notes;
    assert_null(credential);
    assert_int_equal(err->code, arg ? CM_EINVAL : CM_ENOENT);
    assert_int_equal(json_array_size(errors), arg ? 1 : 0);
    submitted++;
}

static void a_change_is_checked_at_its_fields(void **state)
{
    struct h *h = *state;
    struct eng_actor actor = {.who = "grace", .via = "api"};
    h_account(h);
    json_decref(h_issue(h, "www.example.com"));
    CM_AUTO_JSON bad = json_pack("{s:i}", "renew_days", 0);
    submitted = 0;
    eng_change(h->engine, h->credential, bad, 0, &actor, on_refused, h);
    eng_change(h->engine, "01HZZZZZZZZZZZZZZZZZZZZZZZ", bad, 0, &actor, on_refused, NULL);
    assert_int_equal(submitted, 0); /* never from inside */
    while (submitted < 2)
        cm_loop_turn(h->loop, true);
}

static void a_paused_credential_is_not_renewed_by_hand(void **state)
{
    struct h *h = *state;
    struct eng_actor actor = {.who = "ada", .via = "cli"};
    h_account(h);
    json_decref(h_issue(h, "www.example.com"));
    h_turns(h, 20);
    change(h, json_pack("{s:b}", "paused", 1), 0);
    eng_renew(h->engine, h->credential, false, &actor, h_on_done, h);
    assert_int_equal(h_done(h), CM_ECONFLICT); /* said where it is asked for */
    assert_non_null(strstr(h_line(h), "the credential is paused"));
    put_request(h, "renew", 0, NULL); /* a server that does not know of the pause */
    h_turns(h, 50);
    CM_AUTO_JSON steps = eng_steps(h->engine, h->credential);
    CM_AUTO_STR text = cm_json_dump(steps, NULL);
    assert_non_null(strstr(text, "the credential is paused"));
    assert_int_equal(h->ca.new_orders, 1);
}

static void a_retry_of_a_refused_request_checks_it_again(void **state)
{
    struct h *h = *state;
    struct eng_actor actor = {.who = "ada", .via = "cli"};
    /* The account comes too late. */
    put_request(h, "issue", 0, foreign_fields("www.example.com"));
    CM_AUTO_JSON refused = h_status(h, "error");
    assert_non_null(strstr(error_text(refused), "no ACME account"));
    h_account(h);
    eng_retry(h->engine, h->credential, &actor, h_on_done, h);
    assert_int_equal(h_done(h), 0);
    CM_AUTO_JSON body = h_status(h, "issued");
    assert_null(json_object_get(body, "error"));
}

static void a_server_that_is_no_manager_answers_nothing(void **state)
{
    struct h *h = *state;
    h_account(h);
    eng_free(h->engine);
    h->env.manager = false;
    h->engine = eng_new(&h->env);
    assert_int_equal(h_submit(h, h_fields("www.example.com")), 0);
    h_turns(h, 50);
    assert_null(h_body(h, "credential", h->credential));
    CM_AUTO_JSON view = eng_view(h->engine, h->credential);
    const json_t *credential = cm_json_obj(view, "credential");
    assert_string_equal(cm_json_str(credential, "status"), "pending");
    assert_true(cm_json_has_str(cm_json_arr(credential, "host_names_ascii"), "www.example.com"));
    assert_non_null(strstr(cm_json_str_or(view, "next", ""), "manager"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        H_TEST(a_request_from_another_server_is_answered),
        H_TEST(the_number_of_a_credential_is_its_makers),
        H_TEST(no_request_is_trusted),
        H_TEST(a_refused_request_holds_no_file),
        H_TEST(two_requests_at_once_do_not_share_a_file),
        H_TEST(defaults_of_two_requests_at_once_are_told_apart),
        H_TEST(a_stale_request_is_an_edit_conflict),
        H_TEST(each_request_is_answered_once),
        H_TEST(a_retry_is_answered_once_too),
        H_TEST(an_edit_with_the_right_serial_changes_names_and_key),
        H_TEST(requests_wait_for_an_absent_agent),
        H_TEST(a_retry_of_nothing_is_refused),
        H_TEST(a_retry_of_an_issued_certificate_orders_nothing),
        H_TEST(a_retry_of_a_refused_request_checks_it_again),
        H_TEST(settings_change_without_an_order),
        H_TEST(another_file_name_moves_the_keyring_only),
        H_TEST(names_and_servers_change_with_a_new_key),
        H_TEST(a_change_in_the_middle_of_an_order_is_not_lost),
        H_TEST(a_change_is_checked_at_its_fields),
        H_TEST(a_paused_credential_is_not_renewed_by_hand),
        H_TEST(a_server_that_is_no_manager_answers_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
