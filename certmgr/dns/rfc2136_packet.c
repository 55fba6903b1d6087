/* Update messages: made, signed, and their answers judged. */
#include "certmgr/dns/rfc2136_packet.h"

#include <inttypes.h>
#include <string.h>
#include <strings.h>

/* <ldns/keys.h> names these types of OpenSSL without declaring them. */
typedef struct rsa_st RSA;
typedef struct dsa_st DSA;
#include <ldns/ldns.h>

#include "base/core/bytes.h"
#include "base/core/clock.h"
#include "base/core/mem.h"
#include "base/net/dns.h"

#define FUDGE_S      300 /* RFC 8945 10 */
#define TEXT_MAX     255
#define HMAC_KEY_MAX 512
#define TSIG_ERROR   5 /* fields of the TSIG record (RFC 8945 4.2) */
#define TSIG_OTHER   6
#define TSIG_BADSIG  16
#define TSIG_BADKEY  17
#define TSIG_BADTIME 18

/* What libldns 1.8 signs with (its SHA-384 is spelled wrongly inside), but MD5. */
int rfc2136_key_check(const struct rfc2136_key *key, struct cm_err *err)
{
    static const char *const good[] = {"hmac-sha256", "hmac-sha512", "hmac-sha1"};
    bool known = false;
    uint8_t *bytes = NULL;
    size_t len = 0;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        known = known || strcasecmp(key->algorithm, good[i]) == 0;
    if (strcasecmp(key->algorithm, "hmac-md5") == 0)
        return cm_fail(err, CM_EINVAL,
                       "algorithm: HMAC-MD5 is broken and not used; make a key with "
                       "hmac-sha256 at the name server");
    if (!known)
        return cm_fail(err, CM_EINVAL,
                       "algorithm: \"%.40s\" is none of hmac-sha256, hmac-sha512, hmac-sha1",
                       key->algorithm);
    ldns_rdf *name = ldns_dname_new_frm_str(key->name);
    ldns_rdf_deep_free(name);
    if (!name || key->name[0] == '\0')
        return cm_fail(err, CM_EINVAL, "key_name: \"%.60s\" is not the name of a TSIG key",
                       key->name);
    if (cm_b64_decode(key->secret, strlen(key->secret), &bytes, &len) < 0 || len == 0 ||
        len > HMAC_KEY_MAX) {
        cm_free_secret(bytes, len);
        return cm_fail(err, CM_EINVAL,
                       "tsig_secret: not a TSIG secret (base64, as in the name server's key file)");
    }
    cm_free_secret(bytes, len);
    return 0;
}

/* ---- making ------------------------------------------------------------------------------- */

static ldns_rr *record_of(const struct dnsp_change *change, uint32_t ttl)
{
    uint8_t text[1 + TEXT_MAX];
    size_t len = strlen(change->value);
    ldns_rdf *owner = ldns_dname_new_frm_str(change->fqdn);
    if (!owner || len > TEXT_MAX) {
        ldns_rdf_deep_free(owner);
        return NULL;
    }
    text[0] = (uint8_t)len;
    memcpy(text + 1, change->value, len);
    ldns_rr *rr = ldns_rr_new();
    ldns_rr_set_owner(rr, owner);
    ldns_rr_set_type(rr, LDNS_RR_TYPE_TXT);
    /* Class NONE: that very record goes, others of the name stay (RFC 2136 2.5.4). */
    ldns_rr_set_class(rr, change->adding ? LDNS_RR_CLASS_IN : LDNS_RR_CLASS_NONE);
    ldns_rr_set_ttl(rr, change->adding ? ttl : 0);
    ldns_rr_push_rdf(rr, ldns_rdf_new_frm_data(LDNS_RDF_TYPE_STR, len + 1, text));
    return rr;
}

/* All records, or NULL; then *ret_bad is the one that cannot be sent. */
static ldns_rr_list *records_of(const struct rfc2136_update *update,
                                const struct dnsp_change **ret_bad)
{
    ldns_rr_list *records = ldns_rr_list_new();
    for (size_t i = 0; i < update->count; i++) {
        ldns_rr *rr = record_of(&update->changes[i], update->ttl);
        if (!rr) {
            *ret_bad = &update->changes[i];
            ldns_rr_list_deep_free(records);
            return NULL;
        }
        ldns_rr_list_push_rr(records, rr);
    }
    return records;
}

static ldns_pkt *message_of(const struct rfc2136_update *update, struct cm_err *err)
{
    const struct dnsp_change *bad = &update->changes[0];
    ldns_rdf *zone = ldns_dname_new_frm_str(update->zone);
    ldns_rr_list *records = zone ? records_of(update, &bad) : NULL;
    ldns_pkt *pkt = NULL;
    if (records)
        pkt = ldns_update_pkt_new(zone, LDNS_RR_CLASS_IN, NULL, records, NULL); /* takes the zone */
    else
        ldns_rdf_deep_free(zone);
    ldns_rr_list_deep_free(records);
    if (!pkt)
        cm_fail(err, CM_EINVAL, "no DNS update can be made of name %.100s in zone %.100s",
                bad->fqdn, update->zone);
    return pkt;
}

int rfc2136_build(const struct rfc2136_update *update, const struct rfc2136_key *key,
                  struct rfc2136_packet *ret, struct cm_err *err)
{
    uint16_t id;
    uint8_t *wire = NULL;
    size_t len = 0;
    *ret = (struct rfc2136_packet){0};
    ldns_pkt *pkt = message_of(update, err);
    if (!pkt)
        return CM_EINVAL;
    cm_random(&id, sizeof(id));
    ldns_pkt_set_id(pkt, id);
    ldns_pkt_set_rd(pkt, false); /* RFC 2136 2.2: zero */
    CM_AUTO_STR algorithm = cm_asprintf("%s.", key->algorithm);
    ldns_status status = ldns_pkt_tsig_sign(pkt, key->name, key->secret, FUDGE_S, algorithm, NULL);
    if (status == LDNS_STATUS_OK)
        status = ldns_pkt2wire(&wire, pkt, &len);
    if (status == LDNS_STATUS_OK) {
        ret->wire = cm_memdup(wire, len);
        ret->len = len;
        ret->mac = ldns_rdf_clone(ldns_rr_rdf(ldns_pkt_tsig(pkt), 3));
    }
    LDNS_FREE(wire);
    ldns_pkt_free(pkt);
    if (status != LDNS_STATUS_OK)
        return cm_fail(err, CM_ECRYPTO, "cannot sign the DNS update: %s",
                       ldns_get_errorstr_by_id(status));
    return 0;
}

void rfc2136_packet_free(struct rfc2136_packet *packet)
{
    cm_free(packet->wire);
    ldns_rdf_deep_free(packet->mac);
    *packet = (struct rfc2136_packet){0};
}

/* ---- judging ------------------------------------------------------------------------------ */

struct words {
    unsigned code;
    int error;
    enum cm_retry retry;
    const char *what, *hint;
};

static const struct words rcodes[] = {
    {1, CM_EPEER, CM_RETRY_PERMANENT, "did not understand the update (FORMERR)",
     "check that it takes dynamic updates (RFC 2136)"},
    {2, CM_EPEER, CM_RETRY_TRANSIENT, "could not do the update (SERVFAIL)",
     "look into its log; often it may not write the zone's file or journal"},
    {3, CM_EPEER, CM_RETRY_CONFIGURATION, "says that a name does not exist (NXDOMAIN)",
     "check the option zone"},
    {4, CM_EPEER, CM_RETRY_CONFIGURATION, "does not take dynamic updates (NOTIMP)",
     "name the zone's primary server in the option server"},
    {5, CM_EDENIED, CM_RETRY_CONFIGURATION, "refused the update (REFUSED)",
     "let the key change this name there (allow-update or update-policy of the zone), and name the "
     "zone's primary server in the option server"},
    {9, CM_EPEER, CM_RETRY_CONFIGURATION, "is not the server of this zone (NOTAUTH)",
     "name the zone's primary server in the option server, or correct the option zone"},
    {10, CM_EPEER, CM_RETRY_CONFIGURATION, "says the name is outside of the zone (NOTZONE)",
     "correct the option zone, or leave it out"},
};
static const struct words tsig_errors[] = {
    {TSIG_BADSIG, CM_EDENIED, CM_RETRY_CONFIGURATION,
     "does not accept the signature (BADSIG): the TSIG secret is another one there",
     "copy the secret of that key from the name server again"},
    {TSIG_BADKEY, CM_EDENIED, CM_RETRY_CONFIGURATION, "does not know the TSIG key (BADKEY)",
     "check key_name and algorithm; both have to be as in the name server's configuration"},
    {TSIG_BADTIME, CM_EDENIED, CM_RETRY_CONFIGURATION,
     "finds the signature too old or too new (BADTIME)",
     "set the clocks of both hosts; they may differ by 5 minutes"},
};

static const struct words *words_of(const struct words *table, size_t count, unsigned code)
{
    for (size_t i = 0; i < count; i++)
        if (table[i].code == code)
            return &table[i];
    return NULL;
}

static unsigned field16(const ldns_rr *tsig, size_t index)
{
    const ldns_rdf *rdf = ldns_rr_rdf(tsig, index);
    return rdf && ldns_rdf_size(rdf) == 2 ? ldns_rdf2native_int16(rdf) : 0;
}

/* The server's clock in the other data of BADTIME: 48 bits of seconds after a length. */
static void add_clock(const ldns_rr *tsig, struct cm_err *err)
{
    const ldns_rdf *other = ldns_rr_rdf(tsig, TSIG_OTHER);
    int64_t theirs = 0;
    if (!err || !other || ldns_rdf_size(other) != 8)
        return;
    for (size_t i = 2; i < 8; i++)
        theirs = theirs * 256 + ldns_rdf_data(other)[i];
    int64_t ahead = theirs - cm_now_ms() / 1000;
    cm_err_cause(err, "its clock is %" PRId64 " s %s this host's", ahead < 0 ? -ahead : ahead,
                 ahead < 0 ? "behind" : "ahead of");
}

static void tell_changes(const struct rfc2136_update *update, const struct rfc2136_key *key,
                         struct cm_err *err)
{
    const struct dnsp_change *change = &update->changes[0];
    if (update->count == 1)
        cm_err_cause(err, "%s TXT record %s in zone %s with key %s (%s)",
                     change->adding ? "adding the" : "taking away the", change->fqdn, update->zone,
                     key->name, key->algorithm);
    else
        cm_err_cause(err,
                     "changing %zu TXT records together, first %s, in zone %s with key %s (%s)",
                     update->count, change->fqdn, update->zone, key->name, key->algorithm);
}

static int explain(const struct rfc2136_update *update, const struct rfc2136_key *key,
                   const char *server, unsigned rcode, const ldns_rr *tsig, struct cm_err *err)
{
    unsigned code = tsig ? field16(tsig, TSIG_ERROR) : 0;
    const struct words *words =
        code != 0 ? words_of(tsig_errors, sizeof(tsig_errors) / sizeof(*tsig_errors), code)
                  : words_of(rcodes, sizeof(rcodes) / sizeof(*rcodes), rcode);
    int error = words ? words->error : CM_EPEER;
    if (words)
        cm_fail(err, error, "name server %s %s", server, words->what);
    else
        cm_fail(err, error, "name server %s answered the update with %s (%u)", server,
                dns_rcode_text(code ? code : rcode), code ? code : rcode);
    tell_changes(update, key, err);
    if (code == TSIG_BADTIME)
        add_clock(tsig, err);
    if (words)
        cm_err_hint(err, "%s", words->hint);
    cm_err_object(err, "zone %s", update->zone);
    if (err)
        err->retry = words ? words->retry : CM_RETRY_TRANSIENT;
    return error;
}

static bool signed_by(ldns_pkt *pkt, const struct rfc2136_key *key,
                      const struct rfc2136_packet *packet, const uint8_t *answer, size_t len)
{
    const ldns_rr *tsig = ldns_pkt_tsig(pkt);
    if (!tsig || ldns_rr_rd_count(tsig) <= TSIG_OTHER)
        return false;
    /* The algorithm is ours to choose, not the answer's. */
    char *theirs = ldns_rdf2str(ldns_rr_rdf(tsig, 0));
    CM_AUTO_STR ours = cm_asprintf("%s.", key->algorithm);
    bool same = theirs && strcasecmp(theirs, ours) == 0;
    LDNS_FREE(theirs);
    return same && ldns_pkt_tsig_verify(pkt, answer, len, key->name, key->secret, packet->mac);
}

int rfc2136_judge(const struct rfc2136_update *update, const struct rfc2136_key *key,
                  const struct rfc2136_packet *packet, const char *server, const uint8_t *answer,
                  size_t len, struct cm_err *err)
{
    ldns_pkt *pkt = NULL;
    int rv = 0;
    ldns_status status = ldns_wire2pkt(&pkt, answer, len);
    if (status != LDNS_STATUS_OK || ldns_pkt_get_opcode(pkt) != LDNS_PACKET_UPDATE) {
        ldns_pkt_free(pkt);
        return cm_fail(err, CM_EMALF, "name server %s sent an answer that is none to an update",
                       server);
    }
    unsigned rcode = ldns_pkt_get_rcode(pkt);
    if (rcode != 0) {
        rv = explain(update, key, server, rcode, ldns_pkt_tsig(pkt), err);
    } else if (!signed_by(pkt, key, packet, answer, len)) {
        rv = cm_fail(err, CM_EDENIED,
                     "name server %s says the update is done, but its answer is not signed with "
                     "key %s",
                     server, key->name);
        cm_err_hint(err, "something between this host and the name server changes answers");
    }
    ldns_pkt_free(pkt);
    return rv;
}
