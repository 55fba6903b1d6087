/* The life of a call: told later, once, never after cancelling; exec's words; the gate's order. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include <string.h>

#include "base/core/clock.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "certmgr/dns/recipe_gate.h"

#include "certmgr/dns/provider.h"

static struct cm_loop *loop;
static struct {
    unsigned done, lines;
    int code;
    char what[600], line[400];
    json_t *record;
} seen;

static void on_done(void *arg, const json_t *record, const struct cm_err *err)
{
    (void)arg;
    seen.done++;
    seen.code = err ? err->code : 0;
    seen.record = json_deep_copy(record);
    if (err)
        cm_err_line(err, seen.what, sizeof(seen.what));
}

static void on_line(void *arg, const char *line)
{
    (void)arg;
    seen.lines++;
    (void)cm_strcpy(seen.line, sizeof(seen.line), line);
}

static void forget(void)
{
    json_decref(seen.record);
    memset(&seen, 0, sizeof(seen));
}

static void turn_until(const unsigned *count, unsigned want)
{
    while (*count < want)
        cm_loop_turn(loop, true);
}

static void failures_are_told_later(void **state)
{
    struct dnsp_env env = {.loop = loop};
    struct dnsp_account account = {.name = "a", .kind = "magic"};
    (void)state;
    forget();
    dnsp_add(&env, &account, "a.example", "v", on_line, on_done, NULL);
    assert_int_equal(seen.done, 0);
    turn_until(&seen.done, 1);
    assert_int_equal(seen.code, CM_EINVAL);
    assert_non_null(strstr(seen.what, "magic"));
    account.kind = "manual";
    dnsp_add(&env, &account, "a.example.", "v", on_line, on_done, NULL);
    turn_until(&seen.done, 2);
    assert_int_equal(seen.code, CM_EINVAL);
    struct dnsp_call *call = dnsp_add(&env, &account, "", "v", on_line, on_done, NULL);
    dnsp_cancel(call);
    cm_loop_turn(loop, false);
    assert_int_equal(seen.done, 2);
}

/* Before anything is sent: each change is looked at. */
static void one_bad_change_of_several(void **state)
{
    CM_AUTO_JSON options = json_pack("{s:s}", "key_name", "k");
    CM_AUTO_JSON secrets = json_pack("{s:s}", "tsig_secret", "AAAA");
    struct dnsp_env env = {.loop = loop};
    struct dnsp_account account = {
        .name = "a", .kind = "rfc2136", .options = options, .secrets = secrets};
    const struct dnsp_change changes[] = {{.fqdn = "a.example", .value = "v", .adding = true},
                                          {.fqdn = "b.example", .value = ""}};
    (void)state;
    forget();
    dnsp_change(&env, &account, changes, 2, on_line, on_done, NULL);
    assert_int_equal(seen.done, 0);
    turn_until(&seen.done, 1);
    assert_int_equal(seen.code, CM_EINVAL);
    assert_non_null(strstr(seen.what, "0 bytes"));
}

static void by_hand(void **state)
{
    struct dnsp_env env = {.loop = loop};
    struct dnsp_account account = {.name = "a", .kind = "manual"};
    (void)state;
    forget();
    dnsp_add(&env, &account, "_acme-challenge.a.example", "v", on_line, on_done, NULL);
    assert_string_equal(seen.line, "by hand: add TXT _acme-challenge.a.example \"v\"");
    turn_until(&seen.done, 1);
    assert_true(seen.code == 0 && cm_json_bool(seen.record, "manual", false));
    dnsp_delete(&env, &account, "a.example", "v", NULL, on_line, on_done, NULL);
    forget();
    turn_until(&seen.done, 1);
    assert_int_equal(seen.code, 0);
}

static void the_table(void **state)
{
    size_t count = 0;
    (void)state;
    for (const struct dnsp_kind *k = dnsp_kind_at(0); k; k = dnsp_kind_at(++count)) {
        assert_ptr_equal(dnsp_kind_find(k->name), k);
        assert_true(k->title && (k->change || (k->add && k->del)));
    }
    assert_int_equal(count, 6);
    struct dnsp_account account = {.kind = "recipe"};
    CM_AUTO_JSON single = json_pack("{s:{s:s}, s:b}", "txt", "mode", "single", "unverified", 1);
    assert_false(dnsp_one_value(&account));
    account.recipe = single;
    assert_true(dnsp_one_value(&account) && dnsp_unverified(&account));
    assert_int_equal(dnsp_together(&account), 1);
    account = (struct dnsp_account){.kind = "rfc2136"};
    assert_int_equal(dnsp_together(&account), DNSP_TOGETHER_MAX);
    account = (struct dnsp_account){.kind = "route53"};
    assert_true(dnsp_unverified(&account));
    assert_int_equal(dnsp_check(&account, NULL), CM_EINVAL);
}

/* ---- exec ---------------------------------------------------------------------------------- */

static struct {
    dnsp_exec_fn done;
    void *arg;
    char text[400];
} ran;

static void fake_exec(void *arg, const char *name, const char *const *argv, size_t argc,
                      const json_t *env, dnsp_exec_fn done, void *done_arg)
{
    struct cm_buf text;
    (void)arg;
    cm_buf_init(&text, sizeof(ran.text));
    cm_buf_puts(&text, name);
    for (size_t i = 0; i < argc; i++)
        cm_buf_printf(&text, " %s", argv[i]);
    CM_AUTO_STR vars = cm_json_dump(env, NULL);
    cm_buf_printf(&text, " %s", vars);
    (void)cm_strcpy(ran.text, sizeof(ran.text), cm_buf_str(&text));
    cm_buf_fini(&text);
    ran.done = done;
    ran.arg = done_arg;
}

static void programs_by_name(void **state)
{
    struct dnsp_env env = {.loop = loop, .exec = fake_exec};
    CM_AUTO_JSON options = json_pack("{s:s}", "program", "my-dns");
    CM_AUTO_JSON secrets = json_pack("{s:s}", "api_key", "secret-key");
    struct dnsp_account account = {
        .name = "a", .kind = "exec", .options = options, .secrets = secrets};
    (void)state;
    forget();
    dnsp_add(&env, &account, "x.example", "-v", on_line, on_done, NULL);
    assert_string_equal(ran.text,
                        "my-dns present -- x.example -v {\"CERTMGR_CRED_API_KEY\":\"secret-key\"}");
    ran.done(ran.arg, 3, "no such zone", NULL);
    turn_until(&seen.done, 1);
    assert_non_null(strstr(seen.what, "status 3"));
    assert_non_null(strstr(seen.what, "no such zone"));
    dnsp_delete(&env, &account, "x.example", "-v", NULL, on_line, on_done, NULL);
    assert_memory_equal(ran.text, "my-dns cleanup -- ", 18);
    ran.done(ran.arg, 1, "key secret-key is bad", NULL);
    turn_until(&seen.done, 2);
    assert_null(strstr(seen.what, "secret-key"));
    struct dnsp_call *call = dnsp_add(&env, &account, "x.example", "v", on_line, on_done, NULL);
    dnsp_cancel(call);
    ran.done(ran.arg, 0, "", NULL); /* the program ends after the cancel */
    cm_loop_turn(loop, false);
    assert_int_equal(seen.done, 2);
    json_object_set_new(options, "program", json_string("../x"));
    assert_int_equal(dnsp_check(&account, NULL), CM_EINVAL);
}

/* ---- gate ---------------------------------------------------------------------------------- */

static void on_leave(void *arg)
{
    (*(unsigned *)arg)++;
}

static void the_gate_counts(void **state)
{
    unsigned a = 0, b = 0, c = 0;
    (void)state;
    struct gate_pass *pa = gate_ask(loop, "one", 1, 0, on_leave, &a);
    struct gate_pass *pb = gate_ask(loop, "one", 1, 0, on_leave, &b);
    struct gate_pass *pc = gate_ask(loop, "two", 1, 0, on_leave, &c);
    assert_int_equal(a + b + c, 0); /* never from inside */
    turn_until(&a, 1);
    turn_until(&c, 1);
    assert_int_equal(b, 0);
    gate_leave(pa);
    turn_until(&b, 1);
    pa = gate_ask(loop, "one", 1, 0, on_leave, &a);
    gate_leave(pa); /* stops waiting */
    gate_leave(pb);
    gate_leave(pc);
    cm_loop_turn(loop, false);
    assert_int_equal(a, 1);
    /* The interval counts between beginnings. */
    int64_t start = cm_mono_ms();
    unsigned n = 0;
    for (int i = 0; i < 3; i++) {
        struct gate_pass *p = gate_ask(loop, "slow", 4, 20, on_leave, &n);
        turn_until(&n, (unsigned)i + 1);
        gate_leave(p);
    }
    assert_true(cm_mono_ms() - start >= 40);
}

static int set_up(void **state)
{
    (void)state;
    loop = cm_loop_new();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    forget();
    cm_loop_free(loop);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failures_are_told_later),
        cmocka_unit_test(one_bad_change_of_several),
        cmocka_unit_test(by_hand),
        cmocka_unit_test(the_table),
        cmocka_unit_test(programs_by_name),
        cmocka_unit_test(the_gate_counts),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
