/* Records of every type from chosen servers; failures told apart; TCP, next server, kept answers.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include <ares.h>

#include "base/core/mem.h"
#include "base/net/dns.h"
#include "base/net/dns_parse.h"
#include "tests/unit/dns/fake_dns.h"

#define PORT   22340
#define FIRST  "127.0.22.50:22340"
#define SECOND "127.0.22.51:22340"

static const struct fake_rule rules[] = {
    {.name = "txt.test",
     .type = DNS_TXT,
     .answer = {"x.test NS ns.test", "txt.test TXT one", "txt.test TXT tw|o",
                "txt.test TXT \\\x01"}},
    {.name = "caa.test", .type = DNS_CAA, .answer = {"caa.test CAA 128 IssueWild ca.example; a=b"}},
    {.name = "soa.test", .type = DNS_SOA, .answer = {"soa.test SOA NS1.soa.test"}},
    {.name = "a.test", .type = DNS_A, .answer = {"a.test A 192.0.2.1", "a.test A 192.0.2.2"}},
    {.name = "a.test", .type = DNS_AAAA, .answer = {"a.test AAAA 2001:db8::1"}},
    {.name = "a.test", .type = DNS_CNAME, .authority = "test SOA ns.test"},
    {.name = "alias.test", .type = DNS_TXT, .answer = {"alias.test CNAME T.test", "t.test TXT x"}},
    {.name = "fail.test", .type = DNS_TXT, .rcode = 2},
    {.name = "refused.test", .type = DNS_TXT, .rcode = 5},
    {.name = "notimp.test", .type = DNS_TXT, .rcode = 4},
    {.name = "silent.test", .type = DNS_TXT, .rcode = FAKE_SILENT},
    {.name = "garbage.test", .type = DNS_TXT, .rcode = FAKE_GARBAGE},
    {.name = "cut.test", .type = DNS_TXT, .rcode = FAKE_CUT, .answer = {"cut.test TXT whole"}},
    {.name = "half.test", .type = DNS_TXT, .at = 1, .rcode = 5},
    {.name = "half.test", .type = DNS_TXT, .at = 2, .answer = {"half.test TXT second"}},
    {.name = NULL},
};

static struct cm_loop *loop;
static struct dns_client *dns;
static struct fake_dns fake;

struct outcome {
    int done;
    struct dns_reply reply; /* copies of what is asked for below */
    char text[4096];
    int code;
    char what[512];
};

static void on_reply(void *arg, const struct dns_reply *reply)
{
    struct outcome *o = arg;
    struct cm_err err = CM_ERR_INIT;
    o->done++;
    o->reply = *reply;
    for (size_t i = 0; i < reply->count; i++) {
        const struct dns_record *r = &reply->records[i];
        size_t len = strlen(o->text);
        snprintf(o->text + len, sizeof(o->text) - len, "%s %s %s%s%s;", r->name,
                 dns_type_text(r->type), r->tag ? r->tag : "", r->tag ? " " : "", r->text);
    }
    o->code = dns_reply_fail(reply, &err);
    snprintf(o->what, sizeof(o->what), "%s", err.what);
    cm_err_fini(&err);
}

static struct outcome ask_with(const struct dns_question *question)
{
    struct outcome o = {0};
    assert_non_null(dns_ask(dns, question, on_reply, &o));
    assert_int_equal(o.done, 0);
    while (o.done == 0)
        cm_loop_turn(loop, true);
    return o;
}

static struct outcome ask(const char *name, enum dns_type type, const char *servers)
{
    return ask_with(&(struct dns_question){.name = name, .type = type, .servers = servers});
}

static int setup(void **state)
{
    (void)state;
    fake_start(&fake, "127.0.22.50", PORT, rules);
    loop = cm_loop_new();
    return dns_client_new(loop, FIRST, &dns, NULL);
}

static int teardown(void **state)
{
    (void)state;
    dns_client_free(dns);
    cm_loop_free(loop);
    fake_stop(&fake);
    return 0;
}

static void every_type_is_read(void **state)
{
    (void)state;
    struct outcome o = ask("TXT.test", DNS_TXT, NULL);
    assert_int_equal(o.reply.status, DNS_OK);
    assert_true(o.reply.authoritative);
    assert_string_equal(o.text, "x.test NS ns.test;txt.test TXT one;txt.test TXT two;"
                                "txt.test TXT \\\\\\001;");
    assert_string_equal(ask("caa.test", DNS_CAA, NULL).text,
                        "caa.test CAA issuewild ca.example; a=b;");
    assert_string_equal(ask("soa.test", DNS_SOA, NULL).text, "soa.test SOA ns1.soa.test;");
    assert_string_equal(ask("a.test", DNS_A, NULL).text, "a.test A 192.0.2.1;a.test A 192.0.2.2;");
    assert_string_equal(ask("a.test", DNS_AAAA, NULL).text, "a.test AAAA 2001:db8::1;");
    assert_string_equal(ask("alias.test", DNS_TXT, NULL).text,
                        "alias.test CNAME t.test;t.test TXT x;");
}

static void failures_are_told_apart(void **state)
{
    static const struct {
        const char *name;
        enum dns_status status;
        int code;
        const char *what;
    } rows[] = {
        {"nothing.test", DNS_NXDOMAIN, 0, ""},
        {"a.test", DNS_NODATA, 0, ""},
        {"fail.test", DNS_SERVFAIL, CM_EPEER, "SERVFAIL"},
        {"refused.test", DNS_REFUSED, CM_EPEER, "REFUSED"},
        {"notimp.test", DNS_BROKEN, CM_EPEER, "NOTIMP"},
        {"silent.test", DNS_TIMEOUT, CM_ETIMEOUT, "in time"},
        {"garbage.test", DNS_BROKEN, CM_EPEER, "no usable answer"},
        {"a..b", DNS_INVALID, CM_EINVAL, "no valid DNS question"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        bool silent = rows[i].status == DNS_TIMEOUT;
        fake_hurry = silent ? 20 : 1;
        struct outcome o = ask(rows[i].name, DNS_TXT, silent ? SECOND : NULL);
        if (o.reply.status != rows[i].status || o.code != rows[i].code ||
            !strstr(o.what, rows[i].what))
            fail_msg("%s: status %d, %s", rows[i].name, o.reply.status, o.what);
    }
    struct outcome o = ask("a.test", DNS_TXT, "127.0.22.58:22998");
    assert_int_equal(o.reply.status, DNS_UNREACHABLE);
    assert_int_equal(ask("a.test", DNS_TXT, "no list").reply.status, DNS_INVALID);
    o = ask("a.test", DNS_CNAME, NULL);
    assert_int_equal(o.reply.status, DNS_NODATA);
    assert_int_equal(o.reply.authority_count, 1);
}

static void a_cut_answer_comes_over_tcp(void **state)
{
    (void)state;
    int before = fake.over_tcp;
    assert_string_equal(ask("cut.test", DNS_TXT, NULL).text, "cut.test TXT whole;");
    assert_int_equal(fake.over_tcp - before, 1);
}

static void the_next_server_helps_but_a_single_one_is_believed(void **state)
{
    (void)state;
    assert_string_equal(ask("half.test", DNS_TXT, FIRST "," SECOND).text, "half.test TXT second;");
    assert_int_equal(ask("half.test", DNS_TXT, FIRST).reply.status, DNS_REFUSED);
    assert_int_equal(ask("fail.test", DNS_TXT, FIRST "," SECOND).reply.status, DNS_SERVFAIL);
}

static void answers_are_kept_only_when_asked_to(void **state)
{
    struct dns_question question = {.name = "a.test", .type = DNS_A, .keep_s = 30};
    (void)state;
    int before = fake.questions;
    assert_string_equal(ask_with(&question).text, "a.test A 192.0.2.1;a.test A 192.0.2.2;");
    assert_string_equal(ask_with(&question).text, "a.test A 192.0.2.1;a.test A 192.0.2.2;");
    assert_int_equal(fake.questions - before, 1);
    question.keep_s = 0;
    ask_with(&question);
    assert_int_equal(fake.questions - before, 2);
    question = (struct dns_question){.name = "nothing.test", .type = DNS_A, .keep_s = 30};
    ask_with(&question);
    ask_with(&question);
    assert_int_equal(fake.questions - before, 4); /* "no" is not kept */
    question = (struct dns_question){.name = "a.test", .type = DNS_CNAME, .keep_s = 30};
    ask_with(&question);
    ask_with(&question);
    assert_int_equal(fake.questions - before, 6);
    question.keep_no = true;
    ask_with(&question);
    assert_int_equal(ask_with(&question).reply.status, DNS_NODATA);
    assert_int_equal(fake.questions - before, 7);
}

static void many_server_lists_do_not_pile_up(void **state)
{
    (void)state;
    for (int i = 1; i <= 150; i++) {
        char servers[128];
        snprintf(servers, sizeof(servers), FIRST ",127.0.22.%d:22997", 100 + i);
        assert_int_equal(ask("a.test", DNS_A, servers).reply.status, DNS_OK);
    }
}

static void a_cancelled_question_is_not_answered(void **state)
{
    struct outcome o = {0};
    (void)state;
    dns_cancel(dns_ask(dns, &(struct dns_question){.name = "a.test", .type = DNS_A}, on_reply, &o));
    dns_cancel(NULL);
    ask("a.test", DNS_A, NULL);
    assert_int_equal(o.done, 0);
}

static void the_end_of_the_client_ends_questions(void **state)
{
    struct dns_client *other = NULL;
    struct outcome o = {0};
    (void)state;
    assert_int_equal(dns_client_new(loop, FIRST, &other, NULL), 0);
    assert_int_equal(dns_client_port(other), DNS_PORT);
    dns_client_set_port(other, 5353);
    assert_int_equal(dns_client_port(other), 5353);
    dns_ask(other, &(struct dns_question){.name = "silent.test", .type = DNS_TXT}, on_reply, &o);
    dns_client_free(other);
    assert_int_equal(o.done, 1);
    assert_int_equal(o.reply.status, DNS_ENDED);
    assert_int_equal(o.code, CM_ECLOSED);
}

/* ---- bytes ---------------------------------------------------------------------------------- */

static void malformed_messages_are_refused(void **state)
{
    static const unsigned char head[] = {0, 1, 0x85, 0x80, 0, 0, 0, 1, 0, 0, 0, 0};
    static const struct {
        const char *bytes;
        size_t len;
    } rows[] = {
        {"", 0},                                     /* a record is announced */
        {"\1a\0\0\20\0\1\0\0\0\1\0\2\3a", 15},       /* string longer than the data */
        {"\1a\0\0\1\0\1\0\0\0\1\0\3\1\2\3", 16},     /* address of 3 bytes */
        {"\1a\0\0\1\0\1\0\0\0\1\0\5\1\2\3", 16},     /* data longer than the message */
        {"\1a\0\1\1\0\1\0\0\0\1\0\2\0\0", 15},       /* CAA without tag */
        {"\1a\0\1\1\0\1\0\0\0\1\0\3\0\2x", 16},      /* CAA tag too long */
        {"\300\14\0\5\0\1\0\0\0\1\0\0", 12},         /* name that points at itself */
        {"\1a\0\0\5\0\1\0\0\0\1\0\4\1b\0\0", 17},    /* bytes after a CNAME's target */
        {"\1a\0\0\6\0\1\0\0\0\1\0\2\0\0", 15},       /* SOA without numbers */
        {"\100a\0\0\1\0\1\0\0\0\1\0\4\1\2\3\4", 18}, /* reserved label type */
    };
    struct dns_reply reply;
    (void)state;
    assert_int_equal(dns_parse(head, 11, DNS_A, &reply, NULL), CM_EMALF);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        unsigned char msg[64];
        memcpy(msg, head, sizeof(head));
        memcpy(msg + sizeof(head), rows[i].bytes, rows[i].len);
        if (dns_parse(msg, sizeof(head) + rows[i].len, DNS_A, &reply, NULL) != CM_EMALF)
            fail_msg("row %zu", i);
        assert_int_equal(reply.status, DNS_BROKEN);
        assert_int_equal(reply.count, 0);
    }
    unsigned char many[12] = {0, 1, 0x85, 0x80, 0, 0, 2, 1};
    assert_int_equal(dns_parse(many, sizeof(many), DNS_A, &reply, NULL), CM_ELIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_is_read),
        cmocka_unit_test(failures_are_told_apart),
        cmocka_unit_test(a_cut_answer_comes_over_tcp),
        cmocka_unit_test(the_next_server_helps_but_a_single_one_is_believed),
        cmocka_unit_test(answers_are_kept_only_when_asked_to),
        cmocka_unit_test(many_server_lists_do_not_pile_up),
        cmocka_unit_test(a_cancelled_question_is_not_answered),
        cmocka_unit_test(the_end_of_the_client_ends_questions),
        cmocka_unit_test(malformed_messages_are_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
