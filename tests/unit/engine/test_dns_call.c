/* Values that wait for the same DNS account and zone go to the provider together. */
#include "tests/unit/engine/dns_rig.h"

#define FIRST "01JDEXAMPE00000000000000"

static unsigned told, failed;

static void on_told(void *arg, const struct cm_err *err)
{
    (void)arg;
    told++;
    failed += err != NULL;
}

static void on_durable(void *arg, int code, const struct cm_err *err)
{
    (void)err;
    assert_int_equal(code, 0);
    *(bool *)arg = true;
}

/* All wishes so far are in the journal, so they may run. */
static void until_durable(struct h *h)
{
    bool durable = false;
    cs_after_commit(h->engine->env.store, on_durable, &durable);
    while (!durable)
        h_turns(h, 1);
}

static void add_at(struct h *h, int number, const char *fqdn, const char *zone)
{
    char owner[48], text[32];
    snprintf(owner, sizeof(owner), FIRST "%02d", number);
    snprintf(text, sizeof(text), "value-%d", number);
    struct eng_dns_value value = {
        .owner = owner, .account = "main", .zone = zone, .fqdn = fqdn, .value = text};
    eng_dns_add(h->engine, &value, NULL, on_told, NULL);
}

static void add(struct h *h, int number)
{
    char fqdn[64];
    snprintf(fqdn, sizeof(fqdn), "_acme-challenge.h%d.example.com", number);
    add_at(h, number, fqdn, "example.com");
}

/* A first call is under way, and stays so: whatever is wished for now gathers. */
static struct h *begin(void **state)
{
    struct h *h = *state;
    account(h, "main", "example.com");
    h_turns(h, 100);            /* the sweep of the start is over: these owners have no order */
    cm_clock_fake(-1, 1000000); /* no call gets old, however slow the machine is */
    fake.together = true;
    fake.held = true;
    told = failed = 0;
    add(h, 0);
    while (fake.active == 0)
        h_turns(h, 1);
    return h;
}

static void release(struct h *h, int number)
{
    char owner[48];
    snprintf(owner, sizeof(owner), FIRST "%02d", number);
    eng_dns_release(h->engine, owner);
}

/* The calls under way end, and those after them. */
static void let_go(struct h *h, unsigned count)
{
    until_durable(h);
    fake.held = false;
    for (int i = 0; i < 5000 && told < count; i++)
        h_turns(h, 1);
    assert_int_equal(told, count);
    assert_int_equal(fake.crossed, 0);
}

/* No call waits for company; what gathers meanwhile goes with the next. */
static void what_gathers_goes_together(void **state)
{
    struct h *h = begin(state);
    for (int i = 1; i < 10; i++)
        add(h, i);
    let_go(h, 10);
    assert_int_equal(failed, 0);
    assert_int_equal(fake_all(), 10);
    assert_int_equal(fake.messages, 2);
    assert_int_equal(fake.largest, 9);
    assert_int_equal(fake.most, 1);
    for (int i = 0; i < 10; i++)
        release(h, i);
    h_until(h, is_clean, "an empty zone");
    assert_int_equal(fake.messages, 3);
}

/* By the number of values, and by their bytes. */
static void a_call_is_limited(void **state)
{
    struct h *h = begin(state);
    for (int i = 1; i <= DNSP_TOGETHER_MAX + 1; i++)
        add(h, i);
    let_go(h, DNSP_TOGETHER_MAX + 2);
    assert_int_equal(fake.messages, 3);
    assert_int_equal(fake.largest, DNSP_TOGETHER_MAX);
    fake.messages = 0;
    fake.largest = 0;
    fake.held = true;
    for (int i = 40; i < 50; i++) {
        char fqdn[DNS_OWNER_TEXT];
        snprintf(fqdn, sizeof(fqdn), "%0*d.%0*d.%0*d.example.com", 63, i, 63, i, 63, i);
        add_at(h, i, fqdn, "example.com");
    }
    let_go(h, DNSP_TOGETHER_MAX + 12);
    assert_int_equal(fake.largest, DNSP_TOGETHER_BYTES / (3 * 64 + 11 + 8));
    assert_int_equal(failed, 0);
}

/* Another zone is another message, side by side; a zone that nobody knows is nobody's company. */
static void zones_do_not_mix(void **state)
{
    struct h *h = begin(state);
    add(h, 1);
    add(h, 2);
    add_at(h, 3, "_acme-challenge.a.deep.example.com", "deep.example.com");
    while (fake.messages < 2)
        h_turns(h, 1);
    add_at(h, 4, "_acme-challenge.b.deep.example.com", "deep.example.com");
    add_at(h, 5, "_acme-challenge.c.deep.example.com", "deep.example.com");
    add_at(h, 6, "_acme-challenge.d.example.com", "");
    add_at(h, 7, "_acme-challenge.e.example.com", "");
    while (fake.messages < 4) /* these two wait for nobody */
        h_turns(h, 1);
    let_go(h, 8);
    assert_int_equal(fake.messages, 6);
    assert_int_equal(fake.largest, 2);
    assert_int_equal(fake.most, DNS_PARALLEL);
}

static void a_name_that_is_refused_harms_nobody(void **state)
{
    struct h *h = begin(state);
    fake.refused = "_acme-challenge.h2.example.com";
    for (int i = 1; i < 5; i++)
        add(h, i);
    let_go(h, 5);
    assert_int_equal(failed, 1);
    assert_int_equal(fake_all(), 4);
    assert_int_equal(fake_values("_acme-challenge.h2.example.com"), 0);
    assert_int_equal(fake.messages, 6); /* the first one, four together, four times one */
    /* Removals alike; the name is taken now. */
    fake.refused = "_acme-challenge.h1.example.com";
    fake.messages = 0;
    for (int i = 0; i < 5; i++)
        release(h, i);
    while (journal(h) > 1)
        h_turns(h, 1);
    assert_int_equal(fake_all(), 1);
    assert_int_equal(fake_values("_acme-challenge.h1.example.com"), 1);
    while (fake.messages < 6 || fake.active > 0)
        h_turns(h, 1);
    assert_int_equal(fake.messages, 6); /* five together, five times one */
}

/* No answer is no reason to ask value by value: all have failed, and are looked for. */
static void silence_is_not_repeated(void **state)
{
    struct h *h = begin(state);
    fake.held = false;
    let_go(h, 1);
    fake.held = true;
    add_at(h, 9, "_acme-challenge.h9.example.com", "example.com");
    while (fake.active == 0)
        h_turns(h, 1);
    for (int i = 1; i < 5; i++)
        add(h, i);
    fake.fail_adds = 2;
    fake.refusal = CM_ETIMEOUT;
    let_go(h, 6);
    assert_int_equal(failed, 5);
    assert_int_equal(fake.messages, 3);
    assert_int_equal(journal(h), 6);
    for (int i = 0; i < 10; i++)
        release(h, i);
    h_until(h, is_clean, "an empty journal");
}

/* Name and wildcard share a message; a value that is set and one that goes never do. */
static void one_name_in_order(void **state)
{
    struct h *h = begin(state);
    add_at(h, 1, OWNER, "example.com");
    add_at(h, 2, OWNER, "example.com");
    let_go(h, 3);
    assert_int_equal(fake.messages, 2);
    assert_int_equal(fake_values(OWNER), 2);
    fake.held = true;
    release(h, 0);
    while (fake.active == 0)
        h_turns(h, 1);
    release(h, 1);
    release(h, 2);
    add_at(h, 3, OWNER, "example.com");
    let_go(h, 4);
    assert_int_equal(fake.messages, 5);
    assert_int_equal(fake_values(OWNER), 1);
    release(h, 3);
    h_until(h, is_clean, "an empty zone");
}

/* A kill before the commit must leave nothing at the provider that nobody knows of: no call before
 * its entry is on the disk, alone or beside others. */
static void no_call_before_its_entry_is_durable(void **state)
{
    struct h *h = *state;
    account(h, "main", "example.com");
    h_turns(h, 100);
    told = failed = 0;
    for (int together = 0; together < 2; together++) {
        fake.together = together;
        fake.messages = 0;
        json_array_clear(fake.calls);
        h->commits_held = true;
        add(h, together);
        assert_int_equal(journal(h), 1 + together);
        h_turns(h, 50);
        assert_int_equal(json_array_size(fake.calls), 0);
        assert_int_equal(fake.messages + fake.active, 0);
        h->commits_held = false;
        OK(cs_commit(h->store, &h->err), h->err);
        for (int i = 0; i < 5000 && told < (unsigned)together + 1; i++)
            h_turns(h, 1);
        assert_int_equal(told, together + 1);
        assert_int_equal(failed, 0);
    }
    for (int i = 0; i < 2; i++)
        release(h, i);
    h_until(h, is_clean, "an empty zone");
}

/* Nor by the turn of another one, or in its company. */
static void nor_in_the_company_of_others(void **state)
{
    struct h *h = begin(state);
    for (int round = 0; round < 2; round++) {
        unsigned others = round == 0 ? 2 : 4; /* that end before */
        fake.together = round == 0;
        add(h, 2 * round + 1);
        until_durable(h);
        h->commits_held = true;
        add(h, 2 * round + 2);
        fake.held = false;
        for (int i = 0; i < 5000 && told < others; i++)
            h_turns(h, 1);
        h_turns(h, 50);
        assert_int_equal(told, others);
        assert_int_equal(fake_all(), others);
        fake.held = round == 0; /* the next round begins as this one did */
        h->commits_held = false;
        OK(cs_commit(h->store, &h->err), h->err);
        while (fake.held && fake.active == 0)
            h_turns(h, 1);
    }
    let_go(h, 5);
    assert_int_equal(failed, 0);
    for (int i = 0; i < 5; i++)
        release(h, i);
    h_until(h, is_clean, "an empty zone");
}

/* The provider has made the changes, nobody wrote that down: all of them are found again. */
static void a_kill_between_update_and_journal(void **state)
{
    struct h *h = begin(state);
    for (int i = 1; i < 9; i++)
        add(h, i);
    until_durable(h);
    fake.held = false;
    while (fake.messages < 2)
        cm_loop_turn(h->loop, true);
    assert_int_equal(fake.largest, 8);
    json_object_set_new(fake.zone, OWNER, json_pack("{s:b}", "of-others", 1));
    CM_AUTO_JSON before = dns_journal(h->engine, NULL);
    restart(h); /* cancels the call, whose changes arrive all the same */
    const char *key;
    json_t *entry;
    size_t adding = 0;
    json_object_foreach(before, key, entry)
    {
        struct dnsp_change change = {.fqdn = cm_json_str(entry, "fqdn"),
                                     .value = cm_json_str(entry, "value"),
                                     .adding = true};
        adding += dns_journal_is(entry, "adding");
        fake_apply(&change);
    }
    assert_int_equal(adding, 8);
    assert_int_equal(fake_all(), 10);
    fake.messages = 0;
    while (journal(h) > 0)
        h_turns(h, 50);
    assert_int_equal(fake_all(), 1); /* not ours, not touched */
    assert_int_equal(fake.messages, 1);
}

/* A wish that is taken back while its call is under way ends with it, not before. */
static void taken_back_under_way(void **state)
{
    struct h *h = begin(state);
    for (int i = 1; i < 4; i++)
        add(h, i);
    until_durable(h);
    for (int i = 0; i < 4; i++)
        release(h, i);
    assert_int_equal(told, 3); /* what had not begun has ended */
    assert_int_equal(failed, 3);
    let_go(h, 4);
    assert_int_equal(failed, 3);
    h_until(h, is_clean, "an empty zone");
}

static void on_told_release(void *arg, const struct cm_err *err)
{
    on_told(NULL, err);
    eng_dns_release(arg, FIRST "21");
}

/* Who is told first takes the whole order back, as a job that failed does. */
static void told_in_the_middle(void **state)
{
    struct h *h = begin(state);
    struct eng_dns_value value = {
        .owner = FIRST "21", .account = "main", .zone = "example.com", .fqdn = OWNER};
    fake.held = false;
    let_go(h, 1);
    fake.held = true;
    fake.fail_adds = 1;
    fake.refusal = CM_ETIMEOUT;
    static const char *const values[] = {"one", "two", "three"};
    for (size_t i = 0; i < 3; i++) {
        value.value = values[i];
        eng_dns_add(h->engine, &value, NULL, on_told_release, h->engine);
    }
    let_go(h, 4);
    assert_int_equal(failed, 3);
    release(h, 0);
    h_until(h, is_clean, "an empty journal");
}

/* One call that gets no answer for long holds up nobody but its own values. */
static void a_silent_call_holds_up_nobody(void **state)
{
    struct h *h = begin(state);
    cm_clock_fake(-1, -1);
    int64_t began = cm_mono_ms();
    add(h, 1);
    add(h, 2);
    while (fake.messages < 2)
        h_turns(h, 1);
    assert_true(cm_mono_ms() - began < 60 * DNS_GATHER_MS); /* by its own timer */
    assert_int_equal(fake.active, 2);
    assert_int_equal(fake.largest, 2);
    let_go(h, 3);
    assert_int_equal(failed, 0);
}

static int over(void **state)
{
    cm_clock_fake(-1, -1);
    return teardown(state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, over)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_gathers_goes_together),
        TEST(a_call_is_limited),
        TEST(zones_do_not_mix),
        TEST(a_name_that_is_refused_harms_nobody),
        TEST(silence_is_not_repeated),
        TEST(one_name_in_order),
        TEST(no_call_before_its_entry_is_durable),
        TEST(nor_in_the_company_of_others),
        TEST(a_kill_between_update_and_journal),
        TEST(taken_back_under_way),
        TEST(told_in_the_middle),
        TEST(a_silent_call_holds_up_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
