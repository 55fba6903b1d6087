/* CAA around an order: before each one at any CA of a list, and the explanation of a refusal. */
#include "tests/unit/engine/harness.h"

#include "certmgr/acme/presets.h"
#include "certmgr/dns/caa_memory.h"
#include "certmgr/engine/preflight.h"
#include "tests/unit/dns/fake_dns.h"

#define PORT 23120

static const struct fake_rule rules[] = {
    {.name = "first.test", .type = DNS_CAA, .answer = {"first.test CAA 0 issue first.example"}},
    {.name = "both.test",
     .type = DNS_CAA,
     .answer = {"both.test CAA 0 issue first.example", "both.test CAA 0 issue second.example"}},
    {.name = "broken.test", .type = DNS_CAA, .rcode = 2},
    {.name = "slow.test", .type = DNS_CAA, .rcode = FAKE_SILENT},
    {.name = "mended.test", .type = DNS_CAA, .answer = {"mended.test CAA 0 issue other.example"}},
    {.name = "mended.test",
     .type = DNS_CAA,
     .answer = {"mended.test CAA 0 issue first.example"},
     .after = 1},
    {.name = "web.test",
     .type = DNS_CAA,
     .answer = {"web.test CAA 0 issue first.example; validationmethods=http-01"}},
    {.name = "records.test",
     .type = DNS_CAA,
     .answer = {"records.test CAA 0 issue first.example; validationmethods=dns-01"}},
    {.name = "account.test",
     .type = DNS_CAA,
     .answer = {"account.test CAA 0 issue first.example; accounturi=https://ca.example/another"}},
    {.name = NULL},
};

static const struct eng_actor actor = {.who = "ada", .via = "form"};
static struct fake_dns fake;
static struct dns_client *dns;
static struct h_ca second;
static char directory[128];
static json_t *report;

/* Put before the loop's by the linker: an order's patience, which is without end on a slow machine
 * and short when a test waits for its end. */
static int64_t patience_ms;
void __real_cm_timer_start(struct cm_timer *timer, int64_t ms);
void __wrap_cm_timer_start(struct cm_timer *timer, int64_t ms);
void __wrap_cm_timer_start(struct cm_timer *timer, int64_t ms)
{
    bool limit = ms == ENG_CAA_MS || ms == CAA_SILENT_MS;
    __real_cm_timer_start(timer, !limit ? ms : patience_ms ? patience_ms : H_SECONDS * 1000);
}

/* The DNS server is in the loop, as every peer where waits are skipped (skip.h): a thread that got
 * no processor for some milliseconds would have been silent for seconds. */
static struct cm_watch *watch[FAKE_ADDRESSES];

static void on_question(void *arg, int events)
{
    static unsigned char out[FAKE_ANSWER];
    (void)events;
    fake_serve_udp(&fake, (int)((struct cm_watch **)arg - watch), out);
}

static int setup(void **state)
{
    assert_int_equal(h_setup(state), 0);
    struct h *h = *state;
    fake_open(&fake, "127.0.203.20", PORT, rules);
    for (int i = 0; i < FAKE_ADDRESSES; i++) {
        watch[i] = cm_watch_new(h->loop, fake.udp[i], on_question, &watch[i]);
        cm_watch_set(watch[i], CM_WATCH_READ);
    }
    assert_int_equal(dns_client_new(h->loop, "127.0.203.20:23120", &dns, NULL), 0);
    h->engine->env.dns = dns;
    h_ca_start(&second, h->loop);
    snprintf(directory, sizeof(directory), "%s/dir", second.base);
    return 0;
}

static int teardown(void **state)
{
    struct h *h = *state;
    acme_preset_test(NULL, 0);
    patience_ms = 0;
    json_decref(report);
    report = NULL;
    h_ca_stop(&second);
    eng_free(h->engine);
    h->env.dns = NULL;
    h->engine = eng_new(&h->env);
    dns_client_free(dns);
    for (int i = 0; i < FAKE_ADDRESSES; i++)
        cm_watch_free(watch[i]);
    h_turns(h, 0); /* libuv lets go of the descriptors */
    fake_close(&fake);
    return h_teardown(state);
}

/* Account "ca" at the first CA, "second" at the other, whose CAA name is known. */
static void accounts(struct h *h)
{
    static struct acme_preset known = {.caa = "second.example"};
    known.directory = directory;
    acme_preset_test(&known, 1);
    h_account(h);
    CM_AUTO_JSON fields = json_pack("{s:s,s:s,s:b,s:b}", "name", "second", "directory", directory,
                                    "terms_agreed", 1, "self_check", 0);
    eng_account_put(h->engine, fields, &actor, h_on_done, h);
    assert_int_equal(h_done(h), 0);
}

/* Account "ca" at a CA whose CAA name is "first.example". */
static void known_account(struct h *h)
{
    static char own[128];
    static struct acme_preset known = {.caa = "first.example"};
    snprintf(own, sizeof(own), "%s/dir", h->ca.base);
    known.directory = own;
    acme_preset_test(&known, 1);
    h_account(h);
}

static json_t *asked(const char *name)
{
    json_t *fields = h_fields(name);
    cm_json_set(fields, "fallback_accounts", json_pack("[s]", "second"));
    return fields;
}

static unsigned wanted_attempts;

static bool has_failed(struct h *h)
{
    CM_AUTO_JSON body = h_body(h, "credential", h->credential);
    return cm_json_int(body, "attempts", 0) == wanted_attempts && h->engine->job_count == 0;
}

static int make_due(void *arg, json_t *body, struct cm_err *err)
{
    (void)arg;
    (void)err;
    cm_json_set_time(body, "next_action_at", cm_now_ms() - 1000);
    return 0;
}

static void on_edited(void *arg, const struct cs_doc *doc, const struct cm_err *err)
{
    (void)doc;
    h_on_done(arg, err);
}

static void run_again(struct h *h)
{
    CM_AUTO_STR id = cm_asprintf("credential:%s", h->credential);
    eng_edit(h->engine, id, "credential", make_due, on_edited, h);
    assert_int_equal(h_done(h), 0);
}

/* The first CA refuses in a way that only a person can mend; the second one's turn has come. */
static void first_fails(struct h *h, const char *name)
{
    h->ca.refuse_orders = 100;
    h->ca.refuse_type = "externalAccountRequired";
    assert_int_equal(h_submit(h, asked(name)), 0);
    wanted_attempts = 1;
    h_until(h, has_failed, "the first failure");
    run_again(h);
}

static void the_second_ca_is_not_asked_for_what_it_may_not(void **state)
{
    struct h *h = *state;
    accounts(h);
    first_fails(h, "www.first.test");
    wanted_attempts = 2;
    h_until(h, has_failed, "the second failure");
    CM_AUTO_JSON body = h_body(h, "credential", h->credential);
    const json_t *error = cm_json_obj(body, "error");
    assert_non_null(strstr(cm_json_str(error, "what"), "second.example"));
    assert_non_null(strstr(cm_json_str(error, "what"), "first.test"));
    assert_string_equal(cm_json_str(error, "retry"), cm_retry_name(CM_RETRY_CONFIGURATION));
    assert_int_equal(second.new_orders, 0);
    assert_int_equal(second.accounts, 0);
    assert_string_equal(eng_turn_account(body), "ca"); /* the list is at its end */
}

static void what_it_may_is_ordered(void **state)
{
    static const char *const names[] = {"www.both.test", "www.broken.test", "www.none.test"};
    struct h *h = *state;
    accounts(h);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        first_fails(h, names[i]);
        CM_AUTO_JSON body = h_status(h, "issued");
        assert_string_equal(eng_issuer_account(body), "second");
    }
    assert_true(fake.questions > 0);
}

/* The CA that people chose: it hears nothing of what it may not issue, and all of what it may as
 * soon as the record is mended, whatever was seen before. */
static void the_chosen_ca_is_looked_at_first(void **state)
{
    struct h *h = *state;
    known_account(h);
    assert_int_equal(h_submit(h, h_fields("www.mended.test")), 0);
    wanted_attempts = 1;
    h_until(h, has_failed, "the denial");
    CM_AUTO_JSON body = h_body(h, "credential", h->credential);
    const json_t *error = cm_json_obj(body, "error");
    assert_non_null(strstr(cm_json_str(error, "what"), "CAA at mended.test does not let the CA"));
    assert_non_null(strstr(cm_json_str(error, "hint"), "CAA 0 issue \"first.example\""));
    assert_string_equal(cm_json_str(error, "retry"), cm_retry_name(CM_RETRY_CONFIGURATION));
    assert_int_equal(h->ca.accounts + h->ca.new_orders, 0);
    run_again(h); /* the record was kept for a minute: a "no" is not believed */
    json_decref(h_status(h, "issued"));
    assert_int_equal(h->ca.new_orders, 1);
}

/* RFC 8657: an order is proved by what the record allows. */
static void the_way_of_proof_counts(void **state)
{
    struct h *h = *state;
    known_account(h);
    json_decref(h_issue(h, "www.web.test"));
    json_t *fields = h_fields("www.records.test");
    cm_json_set_str(fields, "keyring_file", "records.kyr");
    assert_int_equal(h_submit(h, fields), 0);
    wanted_attempts = 1;
    h_until(h, has_failed, "the denial");
    assert_int_equal(h->ca.new_orders, 1);
}

/* RFC 8657 3: records for another account are not for this one, once its URL is known. */
static void the_account_counts(void **state)
{
    struct h *h = *state;
    known_account(h);
    json_decref(h_issue(h, "www.web.test"));
    json_t *fields = h_fields("www.account.test");
    cm_json_set_str(fields, "keyring_file", "account.kyr");
    assert_int_equal(h_submit(h, fields), 0);
    wanted_attempts = 1;
    h_until(h, has_failed, "the denial");
    assert_int_equal(h->ca.new_orders, 1);
}

/* RFC 8555 9.7.6: what its directory says goes before what was known of the CA. */
static void the_directory_names_the_ca(void **state)
{
    struct h *h = *state;
    h->ca.caa = "renamed.example";
    known_account(h);
    assert_int_equal(h_submit(h, h_fields("www.first.test")), 0);
    wanted_attempts = 1;
    h_until(h, has_failed, "the denial");
    assert_int_equal(h->ca.new_orders, 0);
    CM_AUTO_JSON body = h_body(h, "credential", h->credential);
    CM_AUTO_STR text = cm_json_dump(cm_json_obj(body, "error"), NULL);
    assert_non_null(strstr(text, "renamed.example"));
}

/* One question per name and one for what they share; no second look while that is fresh. */
static void questions_of_many_orders(void **state)
{
    struct h *h = *state;
    known_account(h);
    for (int i = 0; i < 10; i++) {
        CM_AUTO_STR name = cm_asprintf("n%d.first.test", i);
        CM_AUTO_STR file = cm_asprintf("n%d.kyr", i);
        json_t *fields = h_fields(name);
        cm_json_set_str(fields, "keyring_file", file);
        assert_int_equal(h_submit(h, fields), 0);
        json_decref(h_status(h, "issued"));
    }
    assert_int_equal(caa_memory_questions(h->engine->caa), 10 + 1);
    assert_int_equal(fake.questions, 10 + 1);
    assert_int_equal(h->ca.new_orders, 10);
}

/* What cannot be seen is the CA's to judge: an order waits for a moment at most. */
static void what_is_not_seen_holds_nothing_up(void **state)
{
    struct h *h = *state;
    patience_ms = 50;
    known_account(h);
    json_decref(h_issue(h, "www.slow.test"));
    CM_AUTO_JSON steps = eng_steps(h->engine, h->credential);
    CM_AUTO_STR text = cm_json_dump(steps, NULL);
    assert_non_null(strstr(text, "CAA could not be looked up for 1 of 1 names"));
}

/* No resolver at all, as on a machine without DNS. */
static void no_resolver_holds_nothing_up(void **state)
{
    struct h *h = *state;
    struct dns_client *none;
    assert_int_equal(dns_client_new(h->loop, "127.0.203.20:23129", &none, NULL), 0);
    h->engine->env.dns = none;
    known_account(h);
    json_decref(h_issue(h, "www.first.test"));
    json_t *fields = h_fields("other.first.test");
    cm_json_set_str(fields, "keyring_file", "other.kyr");
    assert_int_equal(h_submit(h, fields), 0);
    json_decref(h_status(h, "issued"));
    assert_int_equal(caa_memory_questions(h->engine->caa), 1); /* not even asked any more */
    caa_memory_free(h->engine->caa);
    h->engine->caa = NULL;
    h->engine->env.dns = dns;
    dns_client_free(none);
}

static bool has_cause(const json_t *error, const char *words)
{
    size_t i;
    json_t *cause;
    json_array_foreach(cm_json_arr(error, "causes"), i, cause)
    {
        if (strstr(json_string_value(cause), words))
            return true;
    }
    return false;
}

/* E:caa: the records found and the CA's own names, beside its words. */
static void a_refusal_is_explained(void **state)
{
    struct h *h = *state;
    accounts(h);
    h->ca.refuse_orders = 100;
    h->ca.refuse_type = "caa";
    assert_int_equal(h_submit(h, h_fields("www.first.test, first.test")), 0);
    CM_AUTO_JSON body = h_status(h, "error");
    const json_t *error = cm_json_obj(body, "error");
    assert_true(has_cause(error, "first.test CAA 0 issue \"first.example\""));
    assert_true(has_cause(error, "does not say which names in CAA records are its own"));
    assert_string_equal(cm_json_str(error, "retry"), cm_retry_name(CM_RETRY_CONFIGURATION));
    struct acme_preset known = {.caa = "ca.example"};
    CM_AUTO_STR own = cm_asprintf("%s/dir", h->ca.base);
    known.directory = own;
    acme_preset_test(&known, 1);
    json_t *fields = h_fields("www.none.test");
    cm_json_set_str(fields, "keyring_file", "none.kyr");
    assert_int_equal(h_submit(h, fields), 0);
    CM_AUTO_JSON other = h_status(h, "error");
    error = cm_json_obj(other, "error");
    assert_true(has_cause(error, "The CA's names in CAA records: ca.example"));
    assert_true(has_cause(error, "From here no CAA record is seen"));
}

static void on_report(void *arg, const json_t *found, const json_t *errors,
                      const struct cm_err *err)
{
    (void)errors;
    json_decref(report);
    report = json_deep_copy(found);
    h_on_done(arg, err);
}

/* The check looks at every CA of the list; what the second may not is a warning. */
static void the_check_asks_for_each_ca(void **state)
{
    struct h *h = *state;
    struct eng_preflight_opts opts = {.actor = actor};
    size_t i, rows = 0;
    json_t *row;
    accounts(h);
    CM_AUTO_JSON fields = asked("www.first.test");
    eng_preflight(h->engine, fields, &opts, on_report, h);
    assert_int_equal(h_done(h), 0);
    json_array_foreach(cm_json_arr(report, "checks"), i, row)
    {
        if (strcmp(cm_json_str_or(row, "what", ""), "caa") != 0)
            continue;
        bool later = rows++ > 0;
        const char *id = later ? "caa_denied" : "caa_unknown";
        assert_string_equal(cm_json_str(row, "id"), id);
        assert_string_equal(cm_json_str(row, "result"), "warn");
        assert_int_equal(strncmp(cm_json_str(row, "text"), "second: ", 8) == 0, later);
    }
    assert_int_equal(rows, 2);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_second_ca_is_not_asked_for_what_it_may_not),
        TEST(what_it_may_is_ordered),
        TEST(the_chosen_ca_is_looked_at_first),
        TEST(the_way_of_proof_counts),
        TEST(the_account_counts),
        TEST(the_directory_names_the_ca),
        TEST(questions_of_many_orders),
        TEST(what_is_not_seen_holds_nothing_up),
        TEST(no_resolver_holds_nothing_up),
        TEST(a_refusal_is_explained),
        TEST(the_check_asks_for_each_ca),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
