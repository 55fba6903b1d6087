/* Update messages byte by byte (RFC 2136 2.5, RFC 8945 4.2), keys, and what answers mean. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/core/clock.h"
#include "base/core/mem.h"
#include "base/net/dns_exchange.h"
#include "certmgr/dns/provider.h"
#include "certmgr/dns/rfc2136_packet.h"

#define SECRET "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="

static const struct rfc2136_key key = {
    .name = "key.example", .algorithm = "hmac-sha256", .secret = SECRET};
static const struct dnsp_change record = {.fqdn = "_acme-challenge.example.test",
                                          .value = "v\"1\\"};
static const struct rfc2136_update change = {
    .zone = "example.test", .ttl = 60, .changes = &record, .count = 1};

static bool holds(const struct rfc2136_packet *packet, const void *bytes, size_t len)
{
    return memmem(packet->wire, packet->len, bytes, len) != NULL;
}

static void an_added_record_stands_in_the_update_section(void **state)
{
    static const unsigned char header[] = {0x28, 0, 0, 1, 0, 0, 0, 1, 0, 1};
    static const unsigned char zone[] = "\7example\4test\0\0\6\0\1";
    static const unsigned char rdata[] = {0, 16, 0, 1, 0, 0, 0, 60, 0, 5, 4, 'v', '"', '1', '\\'};
    struct dnsp_change added = record;
    struct rfc2136_update adding = change;
    struct rfc2136_packet packet;
    (void)state;
    added.adding = true;
    adding.changes = &added;
    assert_int_equal(rfc2136_build(&adding, &key, &packet, NULL), 0);
    assert_memory_equal(packet.wire + 2, header, sizeof(header));
    assert_memory_equal(packet.wire + 12, zone, sizeof(zone) - 1);
    assert_true(holds(&packet, rdata, sizeof(rdata)));
    assert_true(holds(&packet, "\13hmac-sha256", 12));
    rfc2136_packet_free(&packet);
}

static void a_deleted_record_has_class_none(void **state)
{
    static const unsigned char rdata[] = {0, 16, 0, 254, 0, 0, 0, 0, 0, 5, 4, 'v', '"', '1', '\\'};
    struct rfc2136_packet packet;
    (void)state;
    assert_int_equal(rfc2136_build(&change, &key, &packet, NULL), 0);
    assert_true(holds(&packet, rdata, sizeof(rdata)));
    rfc2136_packet_free(&packet);
}

/* In order, and the names share what they have in common. */
static void several_changes_stand_in_one_message(void **state)
{
    static const unsigned char counts[] = {0x28, 0, 0, 1, 0, 0, 0, 3, 0, 1};
    const struct dnsp_change changes[] = {
        {.fqdn = "_acme-challenge.example.test", .value = "one", .adding = true},
        {.fqdn = "_acme-challenge.example.test", .value = "two", .adding = true},
        {.fqdn = "_acme-challenge.www.example.test", .value = "three"},
    };
    struct rfc2136_update update = {
        .zone = "example.test", .ttl = 60, .changes = changes, .count = 3};
    struct rfc2136_packet packet;
    (void)state;
    assert_int_equal(rfc2136_build(&update, &key, &packet, NULL), 0);
    assert_memory_equal(packet.wire + 2, counts, sizeof(counts));
    const unsigned char *one = memmem(packet.wire, packet.len, "\3one", 4);
    const unsigned char *two = memmem(packet.wire, packet.len, "\3two", 4);
    const unsigned char *three = memmem(packet.wire, packet.len, "\5three", 6);
    assert_true(one && one < two && two < three);
    assert_int_equal(one[-3], 60);
    assert_int_equal(two[-8] * 256 + two[-7], 1);       /* class IN */
    assert_int_equal(three[-8] * 256 + three[-7], 254); /* class NONE */
    rfc2136_packet_free(&packet);
}

/* However many values a call takes: one datagram, with long names and a long signature. */
static void a_full_call_is_one_datagram(void **state)
{
    static const struct rfc2136_key longest = {
        .name = "a-key-with-quite-a-long-name.of-this-host.dns.example.test",
        .algorithm = "hmac-sha512",
        .secret = SECRET};
    static const char *const middles[] = {"", ".a.much.longer.name.that.is.written"};
    (void)state;
    for (size_t f = 0; f < 2; f++) {
        struct dnsp_change changes[DNSP_TOGETHER_MAX];
        char names[DNSP_TOGETHER_MAX][80];
        struct rfc2136_update update = {.zone = "example.test", .ttl = 60, .changes = changes};
        struct rfc2136_packet packet;
        size_t bytes = 0;
        while (update.count < DNSP_TOGETHER_MAX) {
            struct dnsp_change *at = &changes[update.count];
            snprintf(names[update.count], sizeof(names[0]), "_acme-challenge.h%02zu%s.example.test",
                     update.count, middles[f]);
            *at = (struct dnsp_change){.fqdn = names[update.count],
                                       .value = "LPJNul-wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ",
                                       .adding = true};
            bytes += dnsp_change_size(at->fqdn, at->value);
            if (bytes > DNSP_TOGETHER_BYTES)
                break;
            update.count++;
        }
        assert_in_range(update.count, 7, DNSP_TOGETHER_MAX);
        assert_int_equal(rfc2136_build(&update, &longest, &packet, NULL), 0);
        assert_in_range(packet.len, 600, DNS_UDP_MAX);
        rfc2136_packet_free(&packet);
    }
}

static void names_that_cannot_be_sent_are_refused(void **state)
{
    struct dnsp_change nowhere = {.fqdn = "a..b", .value = "v"};
    struct rfc2136_update bad = change;
    struct rfc2136_packet packet;
    (void)state;
    bad.zone = "a..b";
    assert_int_equal(rfc2136_build(&bad, &key, &packet, NULL), CM_EINVAL);
    bad = change;
    bad.changes = &nowhere;
    assert_int_equal(rfc2136_build(&bad, &key, &packet, NULL), CM_EINVAL);
    const struct dnsp_change mixed[] = {record, nowhere};
    struct cm_err err = CM_ERR_INIT;
    bad.changes = mixed;
    bad.count = 2;
    assert_int_equal(rfc2136_build(&bad, &key, &packet, &err), CM_EINVAL);
    assert_non_null(strstr(err.what, "name a..b in zone"));
    cm_err_fini(&err);
}

static void keys_are_checked(void **state)
{
    static const struct {
        struct rfc2136_key key;
        const char *text;
    } bad[] = {
        {{"k", "hmac-md5", SECRET}, "HMAC-MD5 is broken"},
        {{"k", "hmac-sha3", SECRET}, "\"hmac-sha3\" is none of"},
        {{"", "hmac-sha256", SECRET}, "key_name"},
        {{"a..b", "hmac-sha256", SECRET}, "key_name"},
        {{"k", "hmac-sha256", "not base64!"}, "tsig_secret"},
        {{"k", "hmac-sha256", ""}, "tsig_secret"},
    };
    struct cm_err err = CM_ERR_INIT;
    (void)state;
    assert_int_equal(rfc2136_key_check(&key, &err), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(rfc2136_key_check(&bad[i].key, &err), CM_EINVAL);
        assert_non_null(strstr(err.what, bad[i].text));
        assert_null(strstr(err.what, SECRET));
        cm_err_fini(&err);
    }
}

/* An answer to the packet: its header and zone section, rcode, and a TSIG record with this error
 * and other data when error >= 0. */
static size_t answer_of(const struct rfc2136_packet *packet, int rcode, int error,
                        const unsigned char *other, size_t other_len, unsigned char *out)
{
    static const unsigned char owner[] = "\3key\7example\0\0\372\0\377\0\0\0\0";
    static const unsigned char algorithm[] = "\13hmac-sha256\0\0\0\0\0\0\0\1\54\0\0";
    size_t at = 12 + 14 + 4;
    memcpy(out, packet->wire, at);
    out[2] = 0xa8;
    out[3] = (unsigned char)rcode;
    memset(out + 6, 0, 6);
    if (error < 0)
        return at;
    out[11] = 1;
    memcpy(out + at, owner, sizeof(owner) - 1);
    at += sizeof(owner) - 1;
    size_t rdata = sizeof(algorithm) - 1 + 6 + other_len;
    out[at++] = 0;
    out[at++] = (unsigned char)rdata;
    memcpy(out + at, algorithm, sizeof(algorithm) - 1);
    at += sizeof(algorithm) - 1;
    memcpy(out + at, packet->wire, 2);
    out[at + 2] = 0;
    out[at + 3] = (unsigned char)error;
    out[at + 4] = 0;
    out[at + 5] = (unsigned char)other_len;
    if (other_len > 0)
        memcpy(out + at + 6, other, other_len);
    return at + 6 + other_len;
}

static void every_refusal_is_explained(void **state)
{
    static const struct {
        int rcode, error, code;
        enum cm_retry retry;
        const char *what, *hint;
    } rows[] = {
        {1, -1, CM_EPEER, CM_RETRY_PERMANENT, "(FORMERR)", "dynamic updates"},
        {2, -1, CM_EPEER, CM_RETRY_TRANSIENT, "(SERVFAIL)", "journal"},
        {3, -1, CM_EPEER, CM_RETRY_CONFIGURATION, "(NXDOMAIN)", "zone"},
        {4, -1, CM_EPEER, CM_RETRY_CONFIGURATION, "(NOTIMP)", "primary server"},
        {5, -1, CM_EDENIED, CM_RETRY_CONFIGURATION, "refused the update", "update-policy"},
        {9, -1, CM_EPEER, CM_RETRY_CONFIGURATION, "not the server of this zone", "primary"},
        {10, -1, CM_EPEER, CM_RETRY_CONFIGURATION, "(NOTZONE)", "option zone"},
        {7, -1, CM_EPEER, CM_RETRY_TRANSIENT, "YXRRSET (7)", ""},
        {9, 16, CM_EDENIED, CM_RETRY_CONFIGURATION, "(BADSIG)", "copy the secret"},
        {9, 17, CM_EDENIED, CM_RETRY_CONFIGURATION, "(BADKEY)", "key_name"},
        {9, 18, CM_EDENIED, CM_RETRY_CONFIGURATION, "(BADTIME)", "clocks"},
        {9, 22, CM_EPEER, CM_RETRY_TRANSIENT, "BADTRUNC (22)", ""},
    };
    struct rfc2136_packet packet;
    struct cm_err err = CM_ERR_INIT;
    unsigned char answer[512];
    (void)state;
    assert_int_equal(rfc2136_build(&change, &key, &packet, NULL), 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t len = answer_of(&packet, rows[i].rcode, rows[i].error, NULL, 0, answer);
        int rv = rfc2136_judge(&change, &key, &packet, "ns1.test:53", answer, len, &err);
        assert_int_equal(rv, rows[i].code);
        assert_int_equal(err.retry, rows[i].retry);
        assert_non_null(strstr(err.what, rows[i].what));
        assert_non_null(strstr(err.what, "ns1.test:53"));
        assert_non_null(strstr(err.hint, rows[i].hint));
        assert_non_null(strstr(err.cause[0], "key.example (hmac-sha256)"));
        cm_err_fini(&err);
    }
    rfc2136_packet_free(&packet);
}

static void a_wrong_clock_is_told_in_seconds(void **state)
{
    static const unsigned char theirs[] = {0, 0, 0x65, 0x53, 0xf1, 0x00}; /* 1700000000 */
    struct rfc2136_packet packet;
    struct cm_err err = CM_ERR_INIT;
    unsigned char answer[512];
    (void)state;
    assert_int_equal(rfc2136_build(&change, &key, &packet, NULL), 0);
    size_t len = answer_of(&packet, 9, 18, theirs, sizeof(theirs), answer);
    cm_clock_fake(INT64_C(1700001000) * 1000, 0);
    rfc2136_judge(&change, &key, &packet, "ns1.test:53", answer, len, &err);
    cm_clock_fake(-1, -1);
    assert_string_equal(err.cause[1], "its clock is 1000 s behind this host's");
    cm_err_fini(&err);
    rfc2136_packet_free(&packet);
}

static void success_counts_only_when_signed(void **state)
{
    struct rfc2136_packet packet;
    struct cm_err err = CM_ERR_INIT;
    unsigned char answer[512];
    (void)state;
    assert_int_equal(rfc2136_build(&change, &key, &packet, NULL), 0);
    size_t len = answer_of(&packet, 0, -1, NULL, 0, answer);
    assert_int_equal(rfc2136_judge(&change, &key, &packet, "ns", answer, len, &err), CM_EDENIED);
    assert_non_null(strstr(err.what, "not signed with key key.example"));
    cm_err_fini(&err);
    len = answer_of(&packet, 0, 0, NULL, 0, answer); /* a TSIG record without signature */
    assert_int_equal(rfc2136_judge(&change, &key, &packet, "ns", answer, len, &err), CM_EDENIED);
    cm_err_fini(&err);
    assert_int_equal(rfc2136_judge(&change, &key, &packet, "ns", answer, 12, &err), CM_EMALF);
    cm_err_fini(&err);
    answer[2] = 0x84; /* of a query */
    assert_int_equal(rfc2136_judge(&change, &key, &packet, "ns", answer, len, &err), CM_EMALF);
    cm_err_fini(&err);
    rfc2136_packet_free(&packet);
}

static void accounts_are_checked(void **state)
{
    static const struct {
        const char *options, *secrets, *text; /* NULL = good */
    } rows[] = {
        {"{\"key_name\":\"k\"}", "{\"tsig_secret\":\"" SECRET "\"}", NULL},
        {"{\"key_name\":\"k\",\"server\":\"ns1.test\"}", "{\"tsig_secret\":\"AAAA\"}", NULL},
        {"{\"key_name\":\"k\",\"server\":\"ns1.test:5353\"}", "{\"tsig_secret\":\"AAAA\"}", NULL},
        {"{\"key_name\":\"k\",\"server\":\"[::1]:53\"}", "{\"tsig_secret\":\"AAAA\"}", NULL},
        {"{\"key_name\":\"k\",\"server\":\"::1\"}", "{\"tsig_secret\":\"AAAA\"}", NULL},
        {"{\"key_name\":\"k\",\"server\":\"ns1:0\"}", "{\"tsig_secret\":\"AAAA\"}", "server:"},
        {"{\"key_name\":\"k\",\"server\":\"ns1:x\"}", "{\"tsig_secret\":\"AAAA\"}", "server:"},
        {"{\"key_name\":\"k\",\"server\":\":53\"}", "{\"tsig_secret\":\"AAAA\"}", "server:"},
        {"{\"key_name\":\"k\",\"server\":\"[::1\"}", "{\"tsig_secret\":\"AAAA\"}", "server:"},
        {"{\"key_name\":\"k\",\"ttl\":0}", "{\"tsig_secret\":\"AAAA\"}", "ttl:"},
        {"{\"key_name\":\"k\",\"algorithm\":\"hmac-md5\"}", "{\"tsig_secret\":\"AAAA\"}",
         "algorithm:"},
        {"{}", "{\"tsig_secret\":\"AAAA\"}", "key_name:"},
        {"{\"key_name\":\"k\"}", "{}", "tsig_secret:"},
        {"{\"key_name\":\"k\"}", "{\"tsig_secret\":\"A\"}", "tsig_secret:"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct cm_err err = CM_ERR_INIT;
        json_t *options = json_loads(rows[i].options, 0, NULL);
        json_t *secrets = json_loads(rows[i].secrets, 0, NULL);
        struct dnsp_account account = {
            .name = "n", .kind = "rfc2136", .options = options, .secrets = secrets};
        int rv = dnsp_check(&account, &err);
        if (rv != (rows[i].text ? CM_EINVAL : 0) ||
            (rows[i].text && strncmp(err.what, rows[i].text, strlen(rows[i].text)) != 0))
            fail_msg("row %zu: %d %s", i, rv, err.what);
        cm_err_fini(&err);
        json_decref(options);
        json_decref(secrets);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_added_record_stands_in_the_update_section),
        cmocka_unit_test(a_deleted_record_has_class_none),
        cmocka_unit_test(several_changes_stand_in_one_message),
        cmocka_unit_test(a_full_call_is_one_datagram),
        cmocka_unit_test(names_that_cannot_be_sent_are_refused),
        cmocka_unit_test(keys_are_checked),
        cmocka_unit_test(every_refusal_is_explained),
        cmocka_unit_test(a_wrong_clock_is_told_in_seconds),
        cmocka_unit_test(success_counts_only_when_signed),
        cmocka_unit_test(accounts_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
