/* What is said of a request before it is sent, at submit, and of a credential that contradicts
 * itself. */
#include "tests/unit/engine/harness.h"

#include "certmgr/acme/presets.h"

#define ECC "https://acme.ssl.com/sslcom-dv-ecc"
#define RSA "https://acme.ssl.com/sslcom-dv-rsa"

static const struct eng_actor ada = {.who = "ada", .via = "form"};
static json_t *rows;

static int teardown(void **state)
{
    acme_preset_test(NULL, 0);
    json_decref(rows);
    rows = NULL;
    return h_teardown(state);
}

static void account_at(struct h *h, const char *name, const char *directory)
{
    CM_AUTO_JSON fields =
        json_pack("{s:s,s:s,s:b}", "name", name, "directory", directory, "terms_agreed", 1);
    eng_account_put(h->engine, fields, &ada, h_on_done, h);
    if (h_done(h) != 0)
        fail_msg("%s", h_line(h));
}

static void by_hand(struct h *h, const char *domain)
{
    CM_AUTO_JSON fields =
        json_pack("{s:s,s:s,s:s}", "name", "people", "kind", "manual", "domains", domain);
    eng_dns_account_put(h->engine, fields, &ada, h_on_done, h);
    if (h_done(h) != 0)
        fail_msg("%s", h_line(h));
}

/* The first row of this id after asking about these names, or NULL. */
static const json_t *row(const char *id)
{
    size_t i;
    json_t *one;
    json_array_foreach(rows, i, one)
    {
        if (strcmp(cm_json_str_or(one, "id", ""), id) == 0)
            return one;
    }
    return NULL;
}

static const char *text(const char *id, const char *member)
{
    return cm_json_str_or(row(id), member, "");
}

static void ask(struct h *h, const char *credential, json_t *take_fields)
{
    json_decref(rows);
    rows = eng_advise(h->engine, credential, take_fields);
    json_decref(take_fields);
}

static json_t *with(json_t *fields, const char *member, const char *value)
{
    cm_json_set_str(fields, member, value);
    return fields;
}

/* SSL.com: one directory for each kind of key (A2). */
static void the_key_does_not_fit_the_directory(void **state)
{
    struct h *h = *state;
    account_at(h, "ca", ECC);
    ask(h, NULL, with(h_fields("a.example.com"), "key_type", "RSA-3072"));
    assert_string_equal(text("key_type_wrong", "result"), "fail");
    assert_non_null(strstr(text("key_type_wrong", "text"), "takes EC keys only"));
    assert_non_null(strstr(text("key_type_wrong", "text"), "RSA-3072 was chosen"));
    assert_non_null(strstr(text("key_type_wrong", "fix"), "an account at the other directory"));
    account_at(h, "other", RSA); /* then it is named */
    ask(h, NULL, with(h_fields("a.example.com"), "key_type", "RSA-3072"));
    assert_non_null(strstr(text("key_type_wrong", "fix"), "account \"other\", which takes RSA"));
    ask(h, NULL, with(h_fields("a.example.com"), "key_type", "P-384"));
    assert_null(row("key_type_wrong"));
    /* The second choice of a list is only a warning. */
    json_t *fields = with(h_fields("a.example.com"), "key_type", "P-256");
    cm_json_set(fields, "fallback_accounts", json_pack("[s]", "other"));
    ask(h, NULL, fields);
    assert_string_equal(text("key_type_wrong", "result"), "warn");
    assert_non_null(strstr(text("key_type_wrong", "text"), "(account other)"));
}

/* Thirty names (B1) are more than some profiles take. */
static void what_a_profile_does_not_take(void **state)
{
    struct h *h = *state;
    struct cm_buf names;
    account_at(h, "ca", "https://acme-v02.api.letsencrypt.org/directory");
    cm_buf_init(&names, 4096);
    for (int i = 0; i < 26; i++)
        cm_buf_printf(&names, "n%d.example.com ", i);
    ask(h, NULL, with(h_fields(cm_buf_str(&names)), "profile", "tlsserver"));
    assert_string_equal(text("profile_limit", "result"), "fail");
    assert_non_null(strstr(text("profile_limit", "text"), "25 names at most, and 26"));
    assert_non_null(strstr(text("profile_limit", "fix"), "another profile"));
    ask(h, NULL, h_fields(cm_buf_str(&names))); /* the usual one takes 100 */
    assert_null(row("profile_limit"));
    cm_buf_fini(&names);
    ask(h, NULL, h_fields("192.0.2.1"));
    assert_string_equal(text("profile_limit", "name"), "192.0.2.1");
    ask(h, NULL, with(h_fields("192.0.2.1"), "profile", "shortlived"));
    assert_null(row("profile_limit"));
}

/* A Cyrillic a in a Latin word, typed or as it is sent. */
static void names_that_look_like_others(void **state)
{
    struct h *h = *state;
    h_account(h);
    ask(h, NULL, h_fields("www.example.com p\u0430ypal.example"));
    assert_string_equal(text("name_scripts", "name"), "xn--pypal-4ve.example");
    assert_string_equal(text("name_scripts", "result"), "warn");
    assert_string_equal(text("name_scripts", "text"),
                        "In \"p\u0430ypal\", Latin and Cyrillic letters are mixed: the name looks "
                        "like another one");
    assert_non_null(strstr(text("name_scripts", "fix"), "in one script"));
    ask(h, NULL, h_fields("xn--pypal-4ve.example"));
    assert_non_null(row("name_scripts"));
    ask(h, NULL, h_fields("b\u00fccher.example \u043f\u0440\u0438\u043c\u0435\u0440.example"));
    assert_null(row("name_scripts"));
}

/* What only a registry has is no name of anybody's; private suffixes and own top levels are. */
static void names_of_registries(void **state)
{
    struct h *h = *state;
    static const struct {
        const char *names, *named;
    } cases[] = {{"co.uk", "co.uk"},
                 {"www.example.co.uk *.co.jp", "*.co.jp"},
                 {"example.co.uk", NULL},
                 {"duckdns.org", NULL},
                 {"printer.lan", NULL}};
    h_account(h);
    by_hand(h, "co.jp"); /* a wildcard is proved by dns-01 alone */
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ask(h, NULL, h_fields(cases[i].names));
        if (!cases[i].named) {
            assert_null(row("name_registry"));
            continue;
        }
        assert_string_equal(text("name_registry", "name"), cases[i].named);
        assert_string_equal(text("name_registry", "result"), "warn");
        assert_non_null(strstr(text("name_registry", "fix"), "Check the spelling"));
    }
}

/* Each class, and the name that changes it (B7). */
static void the_class_that_is_paid_for(void **state)
{
    struct h *h = *state;
    static const struct {
        const char *names, *class, *changer;
    } cases[] = {
        {"example.com", "\"Basic\"", NULL},
        {"example.com www.example.com", "\"Basic\"", NULL},
        {"mail.example.com example.com", "\"Premium\"", "example.com"},
        {"example.com www.example.com a.example.com b.example.com", "\"Premium\"", "a.example.com"},
        {"example.com a.example.com b.example.com c.example.com d.example.com",
         "\"Multi-domain UCC/SAN\"", "d.example.com"},
        {"example.com example.net", "\"Multi-domain UCC/SAN\"", "example.net"},
    };
    account_at(h, "ca", ECC);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ask(h, NULL, h_fields(cases[i].names));
        assert_non_null(strstr(text("billing_class", "text"), cases[i].class));
        if (cases[i].changer)
            assert_string_equal(text("billing_changed", "name"), cases[i].changer);
        else
            assert_null(row("billing_changed"));
    }
    account_at(h, "free", "https://acme-v02.api.letsencrypt.org/directory");
    ask(h, NULL, with(h_fields("example.com example.net"), "account", "free"));
    assert_null(row("billing_class"));
}

/* A change of what is issued: from class to class, names that go (B6, B7). */
static void what_a_change_costs(void **state)
{
    struct h *h = *state;
    static char directory[128];
    h_account(h);
    json_decref(h_issue(h, "example.com, www.example.com"));
    snprintf(directory, sizeof(directory), "%s/dir", h->ca.base);
    struct acme_preset known = {.directory = directory, .one_fate = true};
    acme_preset_test(&known, 1);
    ask(h, h->credential, json_pack("{s:s}", "host_names", "example.com"));
    assert_string_equal(text("fate_dropped", "name"), "www.example.com");
    assert_string_equal(text("fate_dropped", "result"), "warn");
    assert_null(row("one_fate")); /* said when it was asked for */
    ask(h, h->credential, json_pack("{s:i}", "renew_days", 20));
    assert_null(row("fate_dropped"));
    ask(h, NULL, with(h_fields("a.example.jp, b.example.jp"), "keyring_file", "other.kyr"));
    assert_string_equal(text("one_fate", "result"), "warn");
    account_at(h, "paid", ECC);
    ask(h, h->credential,
        json_pack("{s:s,s:s}", "account", "paid", "host_names", "example.com, example.net"));
    assert_non_null(strstr(text("billing_changed", "text"), "from the class \"Basic\" to \"Multi"));
}

/* Offers (B3): a wildcard's base is missed, a www is perhaps. */
static void names_that_can_be_added(void **state)
{
    struct h *h = *state;
    h_account(h);
    by_hand(h, "example.com");
    ask(h, NULL, h_fields("*.example.com"));
    assert_string_equal(text("wildcard_base", "result"), "warn");
    assert_string_equal(
        json_string_value(json_array_get(cm_json_arr(row("wildcard_base"), "add"), 0)),
        "example.com");
    ask(h, NULL, h_fields("www.example.net"));
    assert_string_equal(text("name_beside", "result"), "ok");
    assert_string_equal(
        json_string_value(json_array_get(cm_json_arr(row("name_beside"), "add"), 0)),
        "example.net");
    ask(h, NULL, h_fields("www.example.net example.net"));
    assert_null(row("name_beside"));
    ask(h, NULL, h_fields("-bad-"));
    assert_null(rows); /* errors come first */
}

/* D8: records by hand, and nobody there at night. */
static void records_by_hand_and_renewal_by_itself(void **state)
{
    struct h *h = *state;
    h_account(h);
    by_hand(h, "hand.example");
    ask(h, NULL, h_fields("a.hand.example, b.hand.example, a.example"));
    assert_non_null(strstr(text("by_hand", "text"), "2 of 3 names"));
    assert_non_null(strstr(text("by_hand", "text"), "DNS account people"));
    assert_string_equal(text("by_hand", "result"), "warn");
    json_t *paused = h_fields("a.hand.example");
    cm_json_set_bool(paused, "paused", true);
    ask(h, NULL, paused);
    assert_null(row("by_hand"));
    json_t *csr = h_fields("a.hand.example"); /* no CA is shown a record: a person takes the CSR */
    cm_json_set_str(csr, "provider", "manual");
    ask(h, NULL, csr);
    assert_null(row("by_hand"));
    ask(h, NULL, h_fields("a.example"));
    assert_null(row("by_hand"));
}

static bool says(const json_t *notes, const char *words)
{
    size_t i;
    json_t *note;
    json_array_foreach(notes, i, note)
    {
        if (strstr(json_string_value(note), words))
            return true;
    }
    return false;
}

/* The answer to a submit says it, to whoever asked; the credential goes on saying it. */
static void said_at_submit_and_afterwards(void **state)
{
    struct h *h = *state;
    h_account(h);
    by_hand(h, "hand.example");
    assert_int_equal(h_submit(h, h_fields("*.hand.example")), 0);
    assert_true(says(h->notes, "The name is proved by a TXT record that people write"));
    assert_true(says(h->notes, "or pause the renewal"));
    assert_true(says(h->notes, "*.hand.example does not contain hand.example"));
    CM_AUTO_JSON view = NULL;
    for (int i = 0; i < 200 && !cm_json_arr(view, "contradictions"); i++) {
        h_turns(h, 10);
        json_decref(view);
        view = eng_view(h->engine, h->credential);
    }
    const json_t *first = json_array_get(cm_json_arr(view, "contradictions"), 0);
    assert_string_equal(cm_json_str_or(first, "id", ""), "by_hand");
    assert_int_equal(json_array_size(cm_json_arr(view, "contradictions")), 1);
    account_at(h, "paid", ECC);
    json_t *fields = with(h_fields("shop.example.com"), "account", "paid");
    cm_json_set_str(fields, "key_type", "RSA-2048");
    cm_json_set_str(fields, "keyring_file", "paid.kyr");
    assert_int_equal(h_submit(h, fields), 0); /* a warning, no refusal */
    assert_true(says(h->notes, "takes EC keys only"));
    assert_true(says(h->notes, "bills this as \"Basic\""));
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, h_setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_key_does_not_fit_the_directory),
        TEST(what_a_profile_does_not_take),
        TEST(the_class_that_is_paid_for),
        TEST(names_that_look_like_others),
        TEST(names_of_registries),
        TEST(what_a_change_costs),
        TEST(names_that_can_be_added),
        TEST(records_by_hand_and_renewal_by_itself),
        TEST(said_at_submit_and_afterwards),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
