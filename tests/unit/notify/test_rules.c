/* Every kind of condition at its edges, with a clock that stands still. */
#include "tests/unit/notify/support.h"

#include "certmgr/engine/plan.h"

static void test_nothing_wrong(void **state)
{
    (void)state;
    static const char *const fine[] = {"issued", "draft", "revoked", "archived"};
    for (size_t i = 0; i < 4; i++) {
        int64_t look = INT64_MAX;
        CM_AUTO_JSON open = judge_at(NOW, credential(fine[i], 10), served(), &look);
        assert_int_equal(json_object_size(open), 0);
        if (i == 0)
            assert_true(look > NOW && look < NOW + 60 * DAY);
    }
    CM_AUTO_JSON fresh = judge_at(NOW, credential("pending", -1), json_array(), NULL);
    json_t *c = json_object_get(fresh, KEY("order"));
    assert_true(cm_json_bool(c, "hold", false)); /* cannot open by itself */
    assert_int_equal(json_object_size(fresh), 1);
}

static void test_order(void **state)
{
    (void)state;
    CM_AUTO_JSON first = judge_at(NOW, failed(credential("error", -1), 1), json_array(), NULL);
    const json_t *c = json_object_get(first, KEY("order"));
    assert_string_equal(cm_json_str(c, "kind"), "order_failed");
    assert_string_equal(cm_json_str(c, "severity"), "critical"); /* nothing serves */
    assert_string_equal(cm_json_str(c, "title"), "Order for www.例え.jp failed");
    assert_string_equal(cm_json_str(c, "where"), "credential " ULID ", account ca");
    assert_string_equal(cm_json_str(c, "what"), "The CA refused the order");
    assert_int_equal(json_array_size(cm_json_arr(c, "because")), 2);
    assert_string_equal(cm_json_str(c, "hint"), "Add an A record");
    assert_string_equal(cm_json_str(c, "path"), "/credentials/" ULID);
    assert_int_equal(cm_json_time(c, "next_at", 0), NOW + HOUR);
    /* A renewal's failure while the certificate serves. */
    CM_AUTO_JSON renewing = judge_at(NOW, failed(credential("error", 61), 1), served(), NULL);
    c = json_object_get(renewing, KEY("order"));
    assert_string_equal(cm_json_str(c, "severity"), "warning");
}

/* The next run, and a new request, neither open nor end it. */
static void test_order_between(void **state)
{
    (void)state;
    json_t *running = failed(credential("error", -1), 2);
    cm_json_set_str(running, "status", "waiting");
    json_object_del(running, "error");
    CM_AUTO_JSON open = judge_at(NOW, running, json_array(), NULL);
    assert_string_equal(level_text(open, KEY("order")), "3");
    CM_AUTO_JSON edited = judge_at(NOW, credential("renew", 10), served(), NULL);
    assert_string_equal(level_text(edited, KEY("order")), "hold 1");
    json_t *refused = failed(credential("error", -1), 0); /* told to who made it */
    json_object_del(refused, "attempts");
    CM_AUTO_JSON none = judge_at(NOW, refused, json_array(), NULL);
    assert_int_equal(json_object_size(none), 0);
}

static json_t *to_revoke(int reason)
{
    json_t *c = failed(credential("issued", 10), 1);
    cm_json_set_str(c, "status", "revoke_pending");
    cm_json_set(c, "revocation", json_pack("{s:i}", "reason", reason));
    cm_json_set_time(json_object_get(c, "revocation"), "asked_at", NOW - HOUR);
    return c;
}

/* A revocation that fails; its renewal and deployment are nobody's concern any more. */
static void test_revocation(void **state)
{
    (void)state;
    CM_AUTO_JSON open = judge_at(NOW, to_revoke(4), json_array(), NULL);
    const json_t *c = json_object_get(open, KEY("revoke"));
    assert_int_equal(json_object_size(open), 1);
    assert_string_equal(cm_json_str(c, "kind"), "revocation_failed");
    assert_string_equal(cm_json_str(c, "severity"), "warning");
    assert_string_equal(cm_json_str(c, "title"), "Revocation of www.例え.jp failed");
    assert_string_equal(cm_json_str(c, "what"), "The CA refused the order");
    assert_string_equal(cm_json_str(c, "path"), "/credentials/" ULID);
    assert_int_equal(cm_json_time(c, "since", 0), NOW - HOUR);
    CM_AUTO_JSON stolen = judge_at(NOW, to_revoke(1), json_array(), NULL);
    assert_string_equal(level_text(stolen, KEY("revoke")), "3");
    /* Under way: nothing to tell, until every holder was asked in vain. */
    json_t *asked = to_revoke(0);
    json_object_del(asked, "error");
    size_t holders = json_array_size(cm_json_arr(asked, "servers"));
    cm_json_set_int(json_object_get(asked, "revocation"), "asked", (int64_t)holders);
    CM_AUTO_JSON none = judge_at(NOW, json_deep_copy(asked), json_array(), NULL);
    assert_int_equal(json_object_size(none), 0);
    cm_json_set_int(json_object_get(asked, "revocation"), "asked", (int64_t)holders + 1);
    CM_AUTO_JSON unheard = judge_at(NOW, asked, json_array(), NULL);
    c = json_object_get(unheard, KEY("revoke"));
    assert_non_null(strstr(cm_json_str(c, "what"), "No server with the key"));
}

/* A certificate by hand: people are told from the day on which the CSR is made, and again. */
static void test_a_csr_waits(void **state)
{
    (void)state;
    static const struct {
        int64_t age_days; /* of 90 */
        const char *level;
    } rows[] = {{60, "1"}, {73, "2"}, {82, "3"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        json_t *c = credential("renew", (int)rows[i].age_days), *receipts = json_array();
        cm_json_set_str(c, "provider", "manual");
        cm_json_set_int(c, "attempts", 0);
        json_t *out = json_pack("{s:s}", "csr", "AAAA");
        cm_json_set_time(out, "at", NOW - DAY);
        cm_json_set(c, "csr_out", out);
        json_array_append_new(receipts, receipt("bravo", "served", PRINT));
        json_array_append_new(receipts, receipt("charlie", "served", PRINT));
        int64_t look = INT64_MAX;
        CM_AUTO_JSON open = judge_at(NOW, c, receipts, &look);
        assert_int_equal(json_object_size(open), 1);
        assert_string_equal(level_text(open, KEY("csr")), rows[i].level);
        const json_t *told = json_object_get(open, KEY("csr"));
        assert_string_equal(cm_json_str(told, "kind"), "csr_waits");
        assert_string_equal(cm_json_str(told, "path"), "/credentials/" ULID "/csr");
        assert_int_equal(cm_json_time(told, "since", 0), NOW - DAY);
        assert_true(look > NOW && look < NOW + 90 * DAY);
    }
    json_t *first = credential("waiting", 1); /* the first one: who asked for it knows */
    cm_json_set_str(first, "provider", "manual");
    cm_json_set_int(first, "attempts", 0);
    json_object_del(first, "chain");
    cm_json_set(first, "csr_out", json_pack("{s:s}", "csr", "AAAA"));
    CM_AUTO_JSON none = judge_at(NOW, first, json_array(), NULL);
    assert_int_equal(json_object_size(none), 0);
}

/* RFC 9773 4.2: the reason that the CA gives is for people. */
static void test_the_ca_explains(void **state)
{
    (void)state;
    json_t *c = credential("issued", 10);
    cm_json_set(c, "ari", json_pack("{s:s}", "explanation_url", "https://ca.example/why"));
    CM_AUTO_JSON open = judge_at(NOW, c, served(), NULL);
    const json_t *told = json_object_get(open, KEY("ari"));
    assert_string_equal(cm_json_str(told, "kind"), "ca_explains");
    assert_non_null(strstr(cm_json_str(told, "what"), "https://ca.example/why"));
    assert_int_equal(json_object_size(open), 1);
}

static void test_more_names(void **state)
{
    (void)state;
    json_t *c = failed(credential("error", -1), 1);
    json_array_append_new(cm_json_arr(c, "host_names_ascii"), json_string("b.example"));
    json_array_append_new(cm_json_arr(c, "host_names_ascii"), json_string("c.example"));
    CM_AUTO_JSON open = judge_at(NOW, c, json_array(), NULL);
    assert_string_equal(cm_json_str(json_object_get(open, KEY("order")), "title"),
                        "Order for www.例え.jp and 2 more failed");
}

/* Renewal: late by a tenth of what was left, then less than 1/5, then 1/10 of the life. */
static void test_renewal_levels(void **state)
{
    (void)state;
    json_t *c = credential("issued", 10);
    int64_t point = eng_plan_renewal(c), end = NOW + 80 * DAY;
    json_decref(c);
    assert_true(point > NOW && point <= end - 30 * DAY);
    const struct {
        int64_t at;
        const char *level;
    } rows[] = {
        {point, "0"},
        {point + (end - point) / 10, "0"},
        {point + (end - point) / 10 + 1, "1"},
        {end - 18 * DAY, "1"},
        {end - 18 * DAY + 1, "2"},
        {end - 9 * DAY, "2"},
        {end - 9 * DAY + 1, "3"},
        {end - 1, "3"},
        {end, "0"}, /* then it is expired */
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        CM_AUTO_JSON open = judge_at(rows[i].at, credential("issued", 10), served(), NULL);
        if (strcmp(level_text(open, KEY("renewal")), rows[i].level) != 0)
            fail_msg("row %zu: level %s", i, level_text(open, KEY("renewal")));
        assert_string_equal(level_text(open, KEY("expired")), rows[i].at == end ? "4" : "0");
    }
}

/* Looking only when look_ms says so finds every step of the table above. */
static void test_look_times(void **state)
{
    (void)state;
    int64_t now = NOW, end = NOW + 80 * DAY;
    char seen[40] = "";
    for (int i = 0; i < 10 && now < end + DAY; i++) {
        int64_t look = INT64_MAX;
        CM_AUTO_JSON open = judge_at(now, credential("issued", 10), served(), &look);
        strncat(seen,
                json_object_get(open, KEY("expired")) ? "E" : level_text(open, KEY("renewal")),
                sizeof(seen) - strlen(seen) - 1);
        assert_true(look > now);
        now = look;
    }
    assert_string_equal(seen, "0123E");
}

/* A renewal point late in the life does not warn before it. */
static void test_renewal_late_point(void **state)
{
    (void)state;
    json_t *c = credential("issued", 85); /* 5 days left, 5.6 % */
    cm_json_set_int(c, "renew_days", 3);
    CM_AUTO_JSON open = judge_at(NOW, c, served(), NULL);
    assert_int_equal(json_object_size(open), 0);
}

/* No CA would be asked by a request: the next certificate comes as the present one did. */
static void says_import(const json_t *condition)
{
    const char *hint = cm_json_str_or(condition, "hint", "");
    assert_non_null(strstr(hint, "certmgr import FILE --credential " ULID));
    assert_null(strstr(hint, "submit a request"));
}

/* What nobody renews by itself warns from a third of the life on. */
static void test_renewal_by_hand(void **state)
{
    (void)state;
    const struct {
        int64_t age;
        const char *level;
    } rows[] = {{59, "0"}, {61, "1"}, {73, "2"}, {82, "3"}};
    for (size_t i = 0; i < 4; i++) {
        json_t *paused = credential("issued", rows[i].age), *imported = json_deep_copy(paused);
        cm_json_set_bool(paused, "paused", true);
        cm_json_set_str(imported, "provider", "import");
        CM_AUTO_JSON one = judge_at(NOW, paused, served(), NULL);
        CM_AUTO_JSON two = judge_at(NOW, imported, served(), NULL);
        assert_string_equal(level_text(one, KEY("renewal")), rows[i].level);
        assert_string_equal(level_text(two, KEY("renewal")), rows[i].level);
        if (i > 0)
            assert_non_null(
                strstr(cm_json_str(json_object_get(one, KEY("renewal")), "hint"), "by itself"));
        if (i > 0)
            says_import(json_object_get(two, KEY("renewal")));
    }
}

static void test_expired(void **state)
{
    (void)state;
    CM_AUTO_JSON open = judge_at(NOW, credential("expired", 91), json_array(), NULL);
    const json_t *c = json_object_get(open, KEY("expired"));
    assert_int_equal(json_object_size(open), 1); /* nothing about renewal or deployment any more */
    assert_string_equal(cm_json_str(c, "severity"), "critical");
    assert_int_equal(cm_json_time(c, "since", 0), NOW - DAY);
    assert_null(cm_json_str(c, "hint"));
    json_t *imported = credential("expired", 91);
    cm_json_set_str(imported, "provider", "import");
    CM_AUTO_JSON over = judge_at(NOW, imported, json_array(), NULL);
    says_import(json_object_get(over, KEY("expired")));
    CM_AUTO_JSON revoked = judge_at(NOW, credential("revoked", 91), json_array(), NULL);
    assert_int_equal(json_object_size(revoked), 0);
}

static void test_deploy(void **state)
{
    (void)state;
    const struct {
        const char *receipt, *fingerprint; /* NULL = none */
        int64_t issued_ago, written_ago;
        const char *level;
    } rows[] = {
        {"served", PRINT, 2 * HOUR, 2 * HOUR, "0"},
        {"reloaded", PRINT, 2 * HOUR, 2 * HOUR, "0"},
        {"deployed", PRINT, 2 * HOUR, 2 * HOUR, "0"},
        {"failed", PRINT, 1, 1, "1"},
        {"failed", "bb", 1, 1, "1"}, /* of the certificate before: not well yet */
        {"served", "bb", HOUR - 1, HOUR - 1, "hold 1"},
        {"served", "bb", HOUR, HOUR, "1"},
        {"opened", PRINT, HOUR, HOUR, "1"},
        {"replicated", PRINT, HOUR - 1, HOUR - 1, "hold 1"},
        {NULL, NULL, HOUR - 1, HOUR - 1, "hold 1"},
        {NULL, NULL, HOUR, HOUR, "1"},
        {NULL, NULL, 30 * DAY, HOUR - 1, "hold 1"}, /* a server was added just now */
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        json_t *c = credential("issued", 1), *receipts = json_array();
        cm_json_set_time(c, "issued_at", NOW - rows[i].issued_ago);
        cm_json_set_int(c, "serial", NOW - rows[i].written_ago);
        json_array_append_new(receipts, receipt("charlie", "served", PRINT)); /* somebody else */
        if (rows[i].receipt)
            json_array_append_new(receipts, receipt("bravo", rows[i].receipt, rows[i].fingerprint));
        int64_t look = INT64_MAX;
        CM_AUTO_JSON open = judge_at(NOW, c, receipts, &look);
        if (strcmp(level_text(open, KEY("deploy") ":bravo"), rows[i].level) != 0)
            fail_msg("row %zu: %s", i, level_text(open, KEY("deploy") ":bravo"));
        assert_int_equal(json_object_size(open), rows[i].level[0] != '0');
        if (rows[i].level[0] == 'h')
            assert_int_equal(look, NOW + 1);
    }
}

static void test_deploy_waits_for_the_time_in_force(void **state)
{
    (void)state;
    static const struct {
        int64_t from;
        const char *level;
    } rows[] = {{NOW + HOUR, "hold 1"}, {NOW - HOUR + 1, "hold 1"}, {NOW - HOUR, "1"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        json_t *c = credential("issued", 1), *receipts = json_array();
        json_t *activation = json_object();
        cm_json_set_time(activation, "from", rows[i].from);
        cm_json_set(c, "activation", activation);
        cm_json_set_time(c, "issued_at", NOW - 5 * HOUR);
        cm_json_set_int(c, "serial", NOW - 5 * HOUR);
        json_array_append_new(receipts, receipt("charlie", "served", PRINT));
        json_array_append_new(receipts, receipt("bravo", "served", "bb"));
        CM_AUTO_JSON open = judge_at(NOW, c, receipts, NULL);
        assert_string_equal(level_text(open, KEY("deploy") ":bravo"), rows[i].level);
    }
}

static void test_deploy_words(void **state)
{
    (void)state;
    CM_AUTO_JSON open = judge_at(NOW, credential("issued", 1),
                                 json_pack("[o]", receipt("bravo", "failed", PRINT)), NULL);
    const json_t *c = json_object_get(open, KEY("deploy") ":bravo");
    assert_string_equal(cm_json_str(c, "title"), "Deployment of www.例え.jp on bravo failed");
    assert_string_equal(cm_json_str(c, "where"), "server bravo, credential " ULID);
    assert_string_equal(cm_json_str(c, "what"), "The reload command failed");
    assert_int_equal(cm_json_time(c, "since", 0), NOW - HOUR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_wrong),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_order_between),
        cmocka_unit_test(test_more_names),
        cmocka_unit_test(test_revocation),
        cmocka_unit_test(test_a_csr_waits),
        cmocka_unit_test(test_the_ca_explains),
        cmocka_unit_test(test_renewal_levels),
        cmocka_unit_test(test_look_times),
        cmocka_unit_test(test_renewal_late_point),
        cmocka_unit_test(test_renewal_by_hand),
        cmocka_unit_test(test_expired),
        cmocka_unit_test(test_deploy),
        cmocka_unit_test(test_deploy_waits_for_the_time_in_force),
        cmocka_unit_test(test_deploy_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
