/*
 * The rows of the decoder.  One row = one meaning; the first row that matches wins, so special
 * cases stand before the general one of the same type.
 */
#include "certmgr/acme/problem.h"

#include <string.h>

#define OPERATOR "Operator"
#define DNS      "Owner of the DNS zone"
#define SERVER   "Owner of the web server"
#define CERTMGR  "CertMgr"
#define CA       "The CA"

static const struct acme_problem_row rows[] = {
    {"accountDoesNotExist", ACME_ABOUT_ANY, 0, CM_EPEER, CM_RETRY_REPAIR, CERTMGR,
     "The CA does not know the account that signed the request",
     "CertMgr looks the account up by its key and registers it again when it is really gone. If "
     "this "
     "stays, check the directory URL of the account."},
    {"alreadyRevoked", ACME_ABOUT_ANY, 0, CM_ECONFLICT, CM_RETRY_NONE, "Nobody",
     "The certificate is revoked already", "Nothing is left to do: the revocation is in force."},
    {"badCSR", ACME_ABOUT_ANY, 0, CM_EPEER, CM_RETRY_PERMANENT, OPERATOR,
     "The CA does not accept the certificate signing request",
     "The order stays ready. Choose another key type or size, or other names, and submit again."},
    {"badNonce", ACME_ABOUT_ANY, 0, CM_EPEER, CM_RETRY_REPAIR, CERTMGR,
     "The CA refused one nonce after the other",
     "CertMgr repeats such requests by itself; the next run begins with fresh nonces."},
    {"badPublicKey", ACME_ABOUT_ANY, 0, CM_EHUMAN, CM_RETRY_CONFIGURATION, OPERATOR,
     "The CA does not accept this kind of public key",
     "Choose another key type for the certificate; some CAs have one directory URL for each "
     "algorithm. The account's own key is P-256."},
    {"badSignatureAlgorithm", ACME_ABOUT_ANY, 0, CM_EHUMAN, CM_RETRY_CONFIGURATION, OPERATOR,
     "The CA does not accept the algorithm of the account key",
     "Every ACME CA has to take ES256 (RFC 8555 6.2), which accounts here sign with: report that "
     "to the CA, or choose another one."},
    {"badRevocationReason", ACME_ABOUT_ANY, 0, CM_EHUMAN, CM_RETRY_CONFIGURATION, OPERATOR,
     "The CA does not accept the reason of the revocation",
     "Choose another reason: 0 unspecified, 1 key compromise, 4 superseded, 5 no longer used."},
    {"caa", ACME_ABOUT_ANY, 0, CM_EHUMAN, CM_RETRY_CONFIGURATION, DNS,
     "A CAA record in the DNS forbids this CA to issue for the name",
     "Add this CA to the CAA records of the name or of its parent domains, or choose another CA."},
    {"connection", ACME_ABOUT_ANY, 0, CM_EPEER, CM_RETRY_TRANSIENT, SERVER,
     "The CA could not connect to the host to check the challenge",
     "Check from outside that port 80 of every address of the name (A and AAAA) answers; look at "
     "firewalls and at an IPv6 address that no server listens on."},
    {"dns", ACME_ABOUT_ANY, 0, CM_EPEER, CM_RETRY_TRANSIENT, DNS,
     "The CA could not look the name up in the DNS",
     "Check that the name exists in the public DNS and that all of its name servers answer; with "
     "DNSSEC, check the signatures."},
    {"tls", ACME_ABOUT_ANY, 0, CM_EPEER, CM_RETRY_TRANSIENT, SERVER,
     "The CA met a TLS error while it checked the challenge",
     "Check the TLS port of the name, and where redirects of port 80 lead."},
    {"incorrectResponse", ACME_ABOUT_ANY, 0, CM_EPEER, CM_RETRY_TRANSIENT, SERVER,
     "The CA read something else than the expected answer to the challenge",
     "Check that /.well-known/acme-challenge/ of every server of this name leads to a CertMgr "
     "challenge listener."},
    {"unauthorized", ACME_ABOUT_CHALLENGE, 0, CM_EPEER, CM_RETRY_CONFIGURATION, SERVER,
     "The CA read something else than the expected answer to the challenge",
     "Check that the name points to a server of this fleet and that /.well-known/acme-challenge/ "
     "of "
     "every address leads to a CertMgr challenge listener."},
    {"unauthorized", ACME_ABOUT_REVOCATION, 0, CM_EDENIED, CM_RETRY_CONFIGURATION, OPERATOR,
     "The CA does not revoke this certificate for the account",
     "The certificate was issued to another account, or has ended. Its own key can revoke it, "
     "too."},
    {"unauthorized", ACME_ABOUT_ANY, 0, CM_EDENIED, CM_RETRY_CONFIGURATION, OPERATOR,
     "The account may not do this at the CA",
     "The account may be deactivated, or this name, profile or order is not open to it. Check the "
     "account at the CA, or register a new one."},
    {"externalAccountRequired", ACME_ABOUT_ANY, 0, CM_EHUMAN, CM_RETRY_CONFIGURATION, OPERATOR,
     "The CA registers accounts only for its customers",
     "Get a key identifier and HMAC key (external account binding) from the CA or its reseller, or "
     "choose a CA that needs none."},
    {"invalidContact", ACME_ABOUT_ANY, 0, CM_EHUMAN, CM_RETRY_CONFIGURATION, OPERATOR,
     "The CA does not accept a contact address of the account",
     "Correct the mail addresses of the account: one address each, of a domain that receives "
     "mail."},
    {"unsupportedContact", ACME_ABOUT_ANY, 0, CM_EHUMAN, CM_RETRY_CONFIGURATION, OPERATOR,
     "The CA does not accept this kind of contact address",
     "Use plain mail addresses (mailto:) as contacts of the account."},
    {"malformed", ACME_ABOUT_ANY, 405, CM_EPEER, CM_RETRY_PERMANENT, "The makers of CertMgr",
     "The CA does not allow this method at that URL",
     "This is an error of CertMgr or of the CA's directory: report it with the step log."},
    {"malformed", ACME_ABOUT_ANY, 415, CM_EPEER, CM_RETRY_PERMANENT, "The makers of CertMgr",
     "The CA does not accept the content type of the request",
     "This is an error of CertMgr or of the CA: report it with the step log."},
    {"malformed", ACME_ABOUT_ACCOUNT, 0, CM_EHUMAN, CM_RETRY_PERMANENT, OPERATOR,
     "The CA could not use the registration",
     "Check the account: contacts (some CAs want one to six, none twice), agreement to the terms, "
     "and "
     "the external account binding."},
    {"malformed", ACME_ABOUT_REVOCATION, 0, CM_EPEER, CM_RETRY_PERMANENT, OPERATOR,
     "The CA does not know the certificate, or it has ended",
     "Read the CA's own words: the certificate may be of another CA, or have ended; then nothing "
     "is "
     "left to revoke."},
    {"malformed", ACME_ABOUT_ANY, 0, CM_EPEER, CM_RETRY_PERMANENT, OPERATOR,
     "The CA could not use the request",
     "Read the CA's own words: a host name may be invalid, or the order has expired or is in "
     "another "
     "state. A new request begins with a new order."},
    {"orderNotReady", ACME_ABOUT_ANY, 0, CM_EPEER, CM_RETRY_REPAIR, CERTMGR,
     "The CA is not ready to take the signing request yet",
     "CertMgr asks again by itself and goes on with the same order."},
    {"rejectedIdentifier", ACME_ABOUT_ANY, 0, CM_EPEER, CM_RETRY_PERMANENT, OPERATOR,
     "The CA does not issue for one of the names",
     "Remove the rejected name from the request, or choose another CA for it."},
    {"unsupportedIdentifier", ACME_ABOUT_ANY, 0, CM_EPEER, CM_RETRY_PERMANENT, OPERATOR,
     "The CA does not issue for this kind of name",
     "Remove the name from the request, or choose another CA for it."},
    {"serverInternal", ACME_ABOUT_ANY, 0, CM_EPEER, CM_RETRY_TRANSIENT, CA,
     "The CA had an internal error",
     "CertMgr tries again by itself; look at the status page of the CA if it lasts."},
    {"rateLimited", ACME_ABOUT_ANY, 0, CM_EPEER, CM_RETRY_TRANSIENT, CERTMGR,
     "A rate limit of the CA is used up",
     "CertMgr tries again when the CA allows it. Starting runs by hand before that only costs more "
     "of "
     "the limit."},
    {"userActionRequired", ACME_ABOUT_ANY, 0, CM_EHUMAN, CM_RETRY_CONFIGURATION, OPERATOR,
     "The CA wants a person to act first, as a rule to agree to new terms of service",
     "Open the page that the CA names, then agree to the terms in the account."},
    {"agreementRequired", ACME_ABOUT_ANY, 0, CM_EHUMAN, CM_RETRY_CONFIGURATION, OPERATOR,
     "The CA wants agreement to its terms of service",
     "Read the terms of service of the CA and agree to them in the account."},
    {"alreadyReplaced", ACME_ABOUT_ANY, 0, CM_ECONFLICT, CM_RETRY_REPAIR, CERTMGR,
     "Another order replaces the same certificate already",
     "CertMgr orders again without naming the replaced certificate."},
    {"invalidProfile", ACME_ABOUT_ANY, 0, CM_EHUMAN, CM_RETRY_CONFIGURATION, OPERATOR,
     "The CA does not offer the requested profile",
     "Choose one of the profiles of this CA, or none."},
    {"conflict", ACME_ABOUT_ANY, 0, CM_ECONFLICT, CM_RETRY_TRANSIENT, CERTMGR,
     "Another request to the CA is in the way", "CertMgr tries again by itself."},
    {"compound", ACME_ABOUT_ANY, 0, CM_EPEER, CM_RETRY_TRANSIENT, OPERATOR,
     "The CA refuses for several reasons at once",
     "Read each reason below; a name that cannot be mended can be removed from the request."},
    /* By HTTP status, for unknown types and for replies that are no problem document. */
    {NULL, ACME_ABOUT_ANY, 408, CM_EPEER, CM_RETRY_TRANSIENT, CERTMGR,
     "The CA gave up waiting for the request", "CertMgr tries again by itself."},
    {NULL, ACME_ABOUT_ANY, 429, CM_EPEER, CM_RETRY_TRANSIENT, CERTMGR,
     "A rate limit of the CA is used up", "CertMgr tries again when the CA allows it."},
    {NULL, ACME_ABOUT_ANY, 500, CM_EPEER, CM_RETRY_TRANSIENT, CA,
     "The CA, or a proxy before it, had an internal error",
     "CertMgr tries again by itself; look at the status page of the CA if it lasts."},
    {NULL, ACME_ABOUT_ANY, 404, CM_EPEER, CM_RETRY_CONFIGURATION, OPERATOR,
     "The CA does not have this page", "Check the directory URL of the account."},
    {NULL, ACME_ABOUT_ANY, 300, CM_EPEER, CM_RETRY_CONFIGURATION, OPERATOR,
     "The CA answered with a redirect, which is not followed",
     "Set the directory URL of the account to the final address of the CA."},
    {NULL, ACME_ABOUT_ANY, 401, CM_EDENIED, CM_RETRY_CONFIGURATION, OPERATOR,
     "The CA denies the request", "Check the account at the CA, and proxies on the way to it."},
    {NULL, ACME_ABOUT_ANY, 403, CM_EDENIED, CM_RETRY_CONFIGURATION, OPERATOR,
     "The CA denies the request", "Check the account at the CA, and proxies on the way to it."},
    {NULL, ACME_ABOUT_ANY, 400, CM_EPEER, CM_RETRY_CONFIGURATION, OPERATOR,
     "The CA refuses the request",
     "Read the CA's own words and change the request or the account."},
    {NULL, ACME_ABOUT_ANY, 0, CM_EPEER, CM_RETRY_TRANSIENT, CERTMGR,
     "The CA gave an answer that makes no sense here", "CertMgr tries again by itself."},
};

const struct acme_problem_row *acme_problem_row(const char *type, enum acme_about about, int status)
{
    const size_t count = sizeof(rows) / sizeof(rows[0]);
    for (size_t i = 0; type && i < count; i++) {
        if (rows[i].type && strcmp(rows[i].type, type) == 0 &&
            (rows[i].about == ACME_ABOUT_ANY || rows[i].about == about) &&
            (rows[i].status == 0 || rows[i].status == status))
            return &rows[i];
    }
    int group = status / 100 * 100;
    for (size_t i = 0; i < count; i++) {
        if (!rows[i].type && (rows[i].status == status || rows[i].status == group))
            return &rows[i];
    }
    return &rows[count - 1];
}
