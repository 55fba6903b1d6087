/* DNS answers and codes in words. */
#include <stdio.h>

#include "base/net/dns.h"

const char *dns_status_text(enum dns_status status)
{
    static const char *const text[] = {
        [DNS_OK] = "found",
        [DNS_NODATA] = "no such record",
        [DNS_NXDOMAIN] = "no such name",
        [DNS_SERVFAIL] = "server failure (SERVFAIL)",
        [DNS_REFUSED] = "refused (REFUSED)",
        [DNS_TIMEOUT] = "no answer in time",
        [DNS_UNREACHABLE] = "cannot be reached",
        [DNS_BROKEN] = "an answer that makes no sense",
        [DNS_INVALID] = "not a valid name or server",
        [DNS_ENDED] = "ended from this side",
    };
    return (size_t)status < sizeof(text) / sizeof(text[0]) ? text[status] : "unknown";
}

const char *dns_type_text(unsigned type)
{
    switch (type) {
    case DNS_A:
        return "A";
    case DNS_NS:
        return "NS";
    case DNS_CNAME:
        return "CNAME";
    case DNS_SOA:
        return "SOA";
    case DNS_TXT:
        return "TXT";
    case DNS_AAAA:
        return "AAAA";
    case DNS_DNAME:
        return "DNAME";
    case DNS_CAA:
        return "CAA";
    default:
        return "other";
    }
}

const char *dns_rcode_text(unsigned rcode)
{
    static const char *const text[] = {"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN",
                                       "NOTIMP",  "REFUSED", "YXDOMAIN", "YXRRSET",
                                       "NXRRSET", "NOTAUTH", "NOTZONE"};
    static const char *const tsig[] = {"BADSIG",  "BADKEY", "BADTIME", "BADMODE",
                                       "BADNAME", "BADALG", "BADTRUNC"};
    if (rcode < sizeof(text) / sizeof(text[0]))
        return text[rcode];
    return rcode >= 16 && rcode < 23 ? tsig[rcode - 16] : "unknown code";
}

static int fail(const struct dns_reply *reply, struct cm_err *err)
{
    const char *who = reply->servers, *type = dns_type_text(reply->type), *name = reply->name;
    switch (reply->status) {
    case DNS_OK:
    case DNS_NODATA:
    case DNS_NXDOMAIN:
        return 0;
    case DNS_SERVFAIL:
        cm_fail(err, CM_EPEER, "%s could not find out the %s records of %s (SERVFAIL)", who, type,
                name);
        cm_err_hint(err, "the zone's servers are unreachable or its DNSSEC signatures are wrong: "
                         "check the zone's delegation");
        return CM_EPEER;
    case DNS_REFUSED:
        cm_fail(err, CM_EPEER, "%s refused to answer for the %s records of %s (REFUSED)", who, type,
                name);
        cm_err_hint(err, "let this server ask it, or choose another resolver");
        return CM_EPEER;
    case DNS_TIMEOUT:
        return cm_fail(err, CM_ETIMEOUT, "%s gave no answer for the %s records of %s in time", who,
                       type, name);
    case DNS_UNREACHABLE:
        return cm_fail(err, CM_ENET, "%s cannot be reached to ask for the %s records of %s", who,
                       type, name);
    case DNS_INVALID:
        return cm_fail(err, CM_EINVAL, "\"%.80s\" at \"%.80s\" is no valid DNS question", name,
                       who);
    case DNS_ENDED:
        return cm_fail(err, CM_ECLOSED, "the look-up of the %s records of %s was ended", type,
                       name);
    case DNS_BROKEN:
        break;
    }
    return cm_fail(err, CM_EPEER, "%s gave no usable answer for the %s records of %s (%s)", who,
                   type, name, dns_rcode_text(reply->rcode));
}

int dns_reply_fail(const struct dns_reply *reply, struct cm_err *err)
{
    int rv = fail(reply, err);
    if (err && rv < 0 && rv != CM_EINVAL)
        err->retry = CM_RETRY_TRANSIENT;
    return rv;
}
