/* Every kind of condition at its edges, with a clock that stands still. */
#include "tests/unit/notify/support.h"

#include "certmgr/engine/plan.h"

static const char *level_text(const json_t *open, const char *key)
{
    static char text[40];
    const json_t *c = json_object_get(open, key);
    snprintf(text, sizeof(text), "%s%d", cm_json_bool(c, "hold", false) ? "hold " : "",
             (int)cm_json_int(c, "level", 0));
    return text;
}

#define KEY(kind) kind ":" ULID

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

static void test_server(void **state)
{
    (void)state;
    struct notice_rules rules = {.now_ms = NOW, .silent_after_ms = DAY};
    CM_AUTO_JSON open = json_object();
    notice_rules_server(&rules, "bravo", NOW - DAY, true, open);
    assert_int_equal(json_object_size(open), 0);
    notice_rules_server(&rules, "bravo", NOW - DAY - 1, true, open);
    const json_t *c = json_object_get(open, "silent:bravo");
    assert_string_equal(cm_json_str(c, "title"), "Server bravo is silent");
    assert_int_equal(cm_json_time(c, "since", 0), NOW - DAY - 1);
    assert_false(cm_json_bool(c, "hold", false));
    notice_rules_server(&rules, "charlie", NOW - 9 * DAY, false, open); /* just started */
    assert_string_equal(level_text(open, "silent:charlie"), "hold 1");
}

static void test_trust(void **state)
{
    (void)state;
    const struct {
        int64_t left;
        const char *level;
    } rows[] = {{30 * DAY, "0"},    {10 * DAY, "0"}, {10 * DAY - 1, "1"}, {6 * DAY - 1, "2"},
                {3 * DAY - 1, "3"}, {0, "4"},        {-DAY, "4"}};
    struct notice_rules rules = {.now_ms = NOW};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        CM_AUTO_JSON open = json_object();
        notice_rules_trust(&rules, NOW + rows[i].left, open);
        assert_string_equal(level_text(open, "trust:root"), rows[i].level);
    }
}

static void test_store(void **state)
{
    static const struct {
        struct notice_store store;
        const char *map, *scrub, *hold;
    } rows[] = {{{.map_percent = 69}, "0", "0", "0"},
                {{.map_percent = 70}, "1", "0", "0"},
                {{.map_percent = 90, .scrub_problems = 2}, "3", "3", "0"},
                {{.held_since_ms = NOW}, "0", "0", "3"}};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        CM_AUTO_JSON open = json_object();
        notice_rules_store(&rows[i].store, open);
        assert_string_equal(level_text(open, "store:map"), rows[i].map);
        assert_string_equal(level_text(open, "store:scrub"), rows[i].scrub);
        assert_string_equal(level_text(open, "store:hold"), rows[i].hold);
    }
}

static void test_stuck_reader(void **state)
{
    (void)state;
    CM_AUTO_JSON open = json_object();
    struct notice_store store = {.stuck_reader = 0};
    notice_rules_store(&store, open);
    assert_int_equal(json_object_size(open), 0);
    store.stuck_reader = 4711;
    notice_rules_store(&store, open);
    assert_string_equal(level_text(open, "store:reader"), "1");
    const json_t *c = json_object_get(open, "store:reader");
    assert_string_equal(cm_json_str(c, "kind"), "stuck_reader");
    assert_non_null(strstr(cm_json_str(c, "what"), "Process 4711"));
}

static void test_refused_documents(void **state)
{
    (void)state;
    CM_AUTO_JSON open = json_object();
    CM_AUTO_JSON newest =
        json_pack("{s:s,s:s,s:s,s:s}", "id", "receipt:x", "peer", "bravo", "reason",
                  "the signature does not fit", "at", "2026-11-22T02:16:42.000Z");
    struct notice_store store = {.refused = newest, .refused_count = 1};
    notice_rules_store(&store, open);
    assert_string_equal(level_text(open, "store:refused"), "1");
    const json_t *c = json_object_get(open, "store:refused");
    assert_string_equal(cm_json_str(c, "kind"), "documents_refused");
    assert_string_equal(cm_json_str(c, "title"), "A peer's document was refused");
    assert_string_equal(cm_json_str(c, "where"), "receipt:x, brought by bravo");
    assert_string_equal(cm_json_str(c, "what"), "the signature does not fit");
    store.refused_count = 3;
    notice_rules_store(&store, open);
    c = json_object_get(open, "store:refused");
    assert_string_equal(cm_json_str(c, "title"), "3 documents of peers were refused");
}

static void test_alarms(void **state)
{
    (void)state;
    CM_AUTO_JSON open = json_object();
    CM_AUTO_JSON clock = json_pack("{s:s,s:s,s:s}", "kind", "clock", "what", "It jumped", "since",
                                   "2026-11-22T02:16:42.000Z");
    CM_AUTO_JSON ca = json_pack("{s:s,s:s,s:s,s:s}", "kind", "ca", "what", "5 of 5", "directory",
                                "https://ca.example/dir", "hint", "look");
    notice_rules_alarm("alarm/clock", clock, open);
    notice_rules_alarm("alarm/ca/12", ca, open);
    assert_string_equal(level_text(open, "alarm/clock"), "3");
    const json_t *c = json_object_get(open, "alarm/ca/12");
    assert_string_equal(cm_json_str(c, "kind"), "ca_failing");
    assert_string_equal(cm_json_str(c, "where"), "https://ca.example/dir");
    assert_string_equal(cm_json_str(c, "what"), "5 of 5");
    assert_string_equal(cm_json_str(c, "path"), "/status");
}

static void test_cap(void **state)
{
    (void)state;
    struct notice_rules rules = {.now_ms = NOW, .silent_after_ms = 1};
    CM_AUTO_JSON open = json_object();
    for (int i = 0; i < NOTICE_OPEN_MAX + 10; i++) {
        char name[20];
        snprintf(name, sizeof(name), "s%d", i);
        notice_rules_server(&rules, name, 1, true, open);
    }
    assert_int_equal(json_object_size(open), NOTICE_OPEN_MAX);
}

static void test_second_manager(void **state)
{
    (void)state;
    CM_AUTO_JSON open = json_object();
    CM_AUTO_JSON told = json_pack("{s:s, s:s}", "id", "trust:root", "server", "beta");
    CM_AUTO_JSON foreign = json_pack("{s:s}", "id", "settings:fleet");
    notice_rules_second(NULL, open);
    assert_int_equal(json_object_size(open), 0);
    notice_rules_second(told, open);
    const json_t *c = json_object_get(open, "fleet:second_manager");
    assert_string_equal(cm_json_str(c, "severity"), "critical");
    assert_non_null(strstr(cm_json_str(c, "what"), "Server beta calls itself the manager"));
    json_object_clear(open);
    notice_rules_second(foreign, open);
    c = json_object_get(open, "fleet:second_manager");
    assert_non_null(strstr(cm_json_str(c, "what"), "settings:fleet"));
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
        cmocka_unit_test(test_server),
        cmocka_unit_test(test_trust),
        cmocka_unit_test(test_store),
        cmocka_unit_test(test_alarms),
        cmocka_unit_test(test_second_manager),
        cmocka_unit_test(test_stuck_reader),
        cmocka_unit_test(test_refused_documents),
        cmocka_unit_test(test_cap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
