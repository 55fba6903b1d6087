/*
 * One DNS message into records.  Compressed names are expanded by c-ares, everything else is read
 * here, because its parsers want fixed record orders and drop what lies beside (SOA of negative
 * answers, CNAMEs, critical flags).
 */
#include "base/net/dns_parse.h"

#include <ares.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/core/buf.h"
#include "base/core/mem.h"

#define HEADER_SIZE 12
#define TEXT_MAX    (4u * 65536u) /* one TXT, every byte escaped */

struct reader {
    const uint8_t *wire;
    size_t len, at;
};

static uint32_t number(const uint8_t *p, size_t size)
{
    uint32_t n = 0;
    for (size_t i = 0; i < size; i++)
        n = n << 8 | p[i];
    return n;
}

static void lower(char *text)
{
    for (char *p = text; *p; p++)
        if (*p >= 'A' && *p <= 'Z')
            *p = (char)(*p - 'A' + 'a');
}

/* A name at r->at, expanded, lower case; NULL when malformed. */
static char *take_name(struct reader *r)
{
    char *text = NULL;
    long size = 0;
    if (r->at >= r->len ||
        ares_expand_name(r->wire + r->at, r->wire, (int)r->len, &text, &size) != ARES_SUCCESS)
        return NULL;
    char *name = cm_strdup(text);
    ares_free_string(text);
    lower(name);
    r->at += (size_t)size;
    return name;
}

static void add_escaped(struct cm_buf *buf, const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (p[i] == '\\')
            cm_buf_puts(buf, "\\\\");
        else if (p[i] >= 0x20 && p[i] < 0x7f)
            cm_buf_putc(buf, (char)p[i]);
        else
            cm_buf_printf(buf, "\\%03u", p[i]);
    }
}

/* The character-strings of a TXT, joined (RFC 1035 3.3.14). */
static bool read_txt(struct dns_record *record, const uint8_t *p, size_t len)
{
    struct cm_buf buf;
    cm_buf_init(&buf, TEXT_MAX);
    size_t at = 0;
    while (at < len && p[at] < len - at) {
        add_escaped(&buf, p + at + 1, p[at]);
        at += 1u + p[at];
    }
    record->text = cm_buf_take(&buf, NULL);
    return at == len;
}

/* RFC 8659 4.1: flags, length of the tag, tag, value. */
static bool read_caa(struct dns_record *record, const uint8_t *p, size_t len)
{
    if (len < 2 || p[1] == 0 || p[1] > len - 2)
        return false;
    struct cm_buf buf;
    cm_buf_init(&buf, TEXT_MAX);
    record->flags = p[0];
    add_escaped(&buf, p + 2, p[1]);
    record->tag = cm_buf_take(&buf, NULL);
    lower(record->tag);
    add_escaped(&buf, p + 2 + p[1], len - 2 - p[1]);
    record->text = cm_buf_take(&buf, NULL);
    cm_buf_fini(&buf);
    return true;
}

static bool read_address(struct dns_record *record, const uint8_t *p, size_t len)
{
    char text[INET6_ADDRSTRLEN];
    bool v6 = record->type == DNS_AAAA;
    if (len != (v6 ? 16u : 4u) || !inet_ntop(v6 ? AF_INET6 : AF_INET, p, text, sizeof(text)))
        return false;
    record->text = cm_strdup(text);
    return true;
}

/* Names in here may point backwards, never beyond the end of the data. */
static bool read_names(struct dns_record *record, struct reader data)
{
    record->text = take_name(&data);
    if (!record->text)
        return false;
    if (record->type != DNS_SOA)
        return data.at == data.len;
    char *mailbox = take_name(&data);
    bool ok = mailbox && data.len - data.at == 20;
    cm_free(mailbox);
    if (!ok)
        return false;
    record->minimum = number(data.wire + data.at + 16, 4);
    return true;
}

static bool read_record(struct reader *r, struct dns_record *record)
{
    record->name = take_name(r);
    if (!record->name || r->at > r->len || r->len - r->at < 10)
        return false;
    const uint8_t *head = r->wire + r->at;
    size_t size = number(head + 8, 2);
    record->type = number(head, 2);
    record->ttl = number(head + 4, 4);
    if (record->ttl > INT32_MAX) /* RFC 2181 8 */
        record->ttl = 0;
    r->at += 10;
    if (size > r->len - r->at)
        return false;
    const uint8_t *data = r->wire + r->at;
    struct reader names = {.wire = r->wire, .len = r->at + size, .at = r->at};
    r->at += size;
    switch (record->type) {
    case DNS_A:
    case DNS_AAAA:
        return read_address(record, data, size);
    case DNS_TXT:
        return read_txt(record, data, size);
    case DNS_CAA:
        return read_caa(record, data, size);
    case DNS_NS:
    case DNS_CNAME:
    case DNS_DNAME:
    case DNS_SOA:
        return read_names(record, names);
    default:
        return true;
    }
}

static void free_records(struct dns_record *records, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        cm_free(records[i].name);
        cm_free(records[i].text);
        cm_free(records[i].tag);
    }
    cm_free(records);
}

static bool read_section(struct reader *r, size_t wanted, struct dns_record **records,
                         size_t *count)
{
    if (wanted == 0)
        return true;
    *records = cm_calloc(wanted, sizeof(**records));
    while (*count < wanted) {
        struct dns_record *record = *records + (*count)++;
        if (!read_record(r, record))
            return false;
    }
    return true;
}

void dns_parse_free(struct dns_reply *reply)
{
    free_records(reply->records, reply->count);
    free_records(reply->authority, reply->authority_count);
    reply->records = reply->authority = NULL;
    reply->count = reply->authority_count = 0;
}

static enum dns_status status_of(const struct dns_reply *reply, unsigned type)
{
    switch (reply->rcode) {
    case 0:
        for (size_t i = 0; i < reply->count; i++)
            if (reply->records[i].type == type || reply->records[i].type == DNS_CNAME)
                return DNS_OK;
        return DNS_NODATA;
    case 2:
        return DNS_SERVFAIL;
    case 3: /* a chain of CNAMEs that leads to nothing says so, too (RFC 6604 3) */
        return DNS_NXDOMAIN;
    case 5:
        return DNS_REFUSED;
    default:
        return DNS_BROKEN;
    }
}

int dns_parse(const uint8_t *wire, size_t len, unsigned type, struct dns_reply *reply,
              struct cm_err *err)
{
    *reply = (struct dns_reply){.status = DNS_BROKEN, .type = type};
    if (len < HEADER_SIZE || len > UINT16_MAX)
        return cm_fail(err, CM_EMALF, "the DNS answer has %zu bytes", len);
    reply->rcode = wire[3] & 0x0f;
    reply->authoritative = (wire[2] & 0x04) != 0;
    size_t questions = number(wire + 4, 2), answers = number(wire + 6, 2);
    size_t authorities = number(wire + 8, 2);
    if (answers > DNS_RECORDS_MAX || authorities > DNS_RECORDS_MAX || questions > 1)
        return cm_fail(err, CM_ELIMIT, "the DNS answer has %zu records, more than %d", answers,
                       DNS_RECORDS_MAX);
    struct reader r = {.wire = wire, .len = len, .at = HEADER_SIZE};
    if (questions == 1) {
        char *name = take_name(&r);
        cm_free(name);
        if (!name || r.at > len || len - r.at < 4)
            return cm_fail(err, CM_EMALF, "the question in the DNS answer is malformed");
        r.at += 4;
    }
    if (!read_section(&r, answers, &reply->records, &reply->count) ||
        !read_section(&r, authorities, &reply->authority, &reply->authority_count)) {
        dns_parse_free(reply);
        return cm_fail(err, CM_EMALF, "a record in the DNS answer is malformed");
    }
    reply->status = status_of(reply, type);
    return 0;
}
