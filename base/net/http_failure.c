/* libcurl's codes -> our error object: which host, what happened, what a person can check. */
#include "base/net/http_failure.h"

#include <curl/curl.h>
#include <string.h>

static const struct {
    CURLcode curl;
    int code;
    enum cm_retry retry;
    const char *what; /* about the host */
    const char *hint;
} reasons[] = {
    {CURLE_COULDNT_RESOLVE_HOST, CM_ENET, CM_RETRY_TRANSIENT, "the name cannot be resolved",
     "check the host name and the resolver of this server"},
    {CURLE_COULDNT_CONNECT, CM_ENET, CM_RETRY_TRANSIENT, "no connection is possible",
     "check that the service runs there and that no firewall is in the way"},
    {CURLE_OPERATION_TIMEDOUT, CM_ETIMEOUT, CM_RETRY_TRANSIENT, "no complete answer in time",
     "check that the service runs there and that no firewall is in the way"},
    {CURLE_PEER_FAILED_VERIFICATION, CM_EDENIED, CM_RETRY_CONFIGURATION,
     "its TLS certificate is not trusted",
     "check the host name, the clock of this server and the CA bundle set for this connection"},
    {CURLE_SSL_PINNEDPUBKEYNOTMATCH, CM_EDENIED, CM_RETRY_CONFIGURATION,
     "it presents another public key than the one on record",
     "check that the address leads to the right server and that its identity was not replaced"},
    {CURLE_SSL_CONNECT_ERROR, CM_ENET, CM_RETRY_TRANSIENT, "the TLS handshake failed",
     "check that the port speaks TLS 1.2 or newer and accepts this server"},
    {CURLE_SSL_CACERT_BADFILE, CM_EINVAL, CM_RETRY_CONFIGURATION,
     "the CA bundle for it cannot be read", "check the path and the permissions of the CA bundle"},
    {CURLE_SSL_CERTPROBLEM, CM_EINVAL, CM_RETRY_CONFIGURATION,
     "our client certificate or key cannot be used",
     "check that certificate and key file exist, are readable and belong together"},
    {CURLE_GOT_NOTHING, CM_ENET, CM_RETRY_TRANSIENT, "it closed the connection without an answer",
     "check the log of the service there"},
    /* of ours: a request that must not be sent twice (http_call_opts.once) */
    {CURLE_ABORTED_BY_CALLBACK, CM_ENET, CM_RETRY_TRANSIENT,
     "it closed the connection without an answer", "check the log of the service there"},
    {CURLE_PARTIAL_FILE, CM_ENET, CM_RETRY_TRANSIENT, "the connection broke within the answer",
     "check the network path and the log of the service there"},
    {CURLE_SEND_ERROR, CM_ENET, CM_RETRY_TRANSIENT, "the connection broke while sending",
     "check the network path and the log of the service there"},
    {CURLE_RECV_ERROR, CM_ENET, CM_RETRY_TRANSIENT, "the connection broke while receiving",
     "check the network path and the log of the service there"},
    {CURLE_WEIRD_SERVER_REPLY, CM_ENET, CM_RETRY_TRANSIENT, "the answer is not HTTP",
     "check that the port is the one of the HTTP service"},
    {CURLE_UNSUPPORTED_PROTOCOL, CM_ENET, CM_RETRY_TRANSIENT, "the answer is not HTTP/1",
     "check that the port is the one of the HTTP service"},
    {CURLE_FILESIZE_EXCEEDED, CM_ELIMIT, CM_RETRY_TRANSIENT,
     "the answer is longer than allowed here", "check that the address is the right one"},
};

/* What is wrong with the server's certificate, by libcurl's words (its code is one for all), and
 * what helps against just that. */
static const struct {
    const char *part;
    const char *hint;
} untrusted[] = {
    {"certificate has expired", "have the certificate of that server renewed; if it was, the clock "
                                "of this server is wrong"},
    {"certificate is not yet valid", "check the clock of this server, and from when on the "
                                     "certificate of that server is valid"},
    {"subject name", "use the name that the certificate was made for, or have one made for the "
                     "name used here"},
    {"issuer certificate", "give the certificate of the CA that issued it as the CA bundle of this "
                           "connection; the server has to send the intermediate ones itself"},
    {"self-signed certificate", "give the certificate of the CA that issued it as the CA bundle of "
                                "this connection; the server has to send the intermediate ones "
                                "itself"},
};

static const char *hint_of(int curl, const char *why, const char *general)
{
    for (size_t i = 0; i < sizeof(untrusted) / sizeof(untrusted[0]); i++)
        if (curl == CURLE_PEER_FAILED_VERIFICATION && strstr(why, untrusted[i].part))
            return untrusted[i].hint;
    return general;
}

static void explain_fault(const struct http_failure *failure, struct cm_err *err)
{
    if (failure->fault == CM_ELIMIT)
        cm_fail(err, CM_ELIMIT, "host %s port %d: the answer is longer than allowed here",
                failure->host, failure->port);
    else if (failure->fault == CM_ETIMEOUT)
        cm_fail(err, CM_ETIMEOUT, "host %s port %d: no byte came for %d ms", failure->host,
                failure->port, failure->silence_ms);
    else
        cm_fail(err, CM_ECLOSED, "host %s port %d: the call was ended from this side",
                failure->host, failure->port);
    if (failure->fault != CM_ECLOSED)
        err->retry = CM_RETRY_TRANSIENT;
}

static void explain_code(const struct http_failure *failure, struct cm_err *err)
{
    size_t i = 0;
    while (i < sizeof(reasons) / sizeof(reasons[0]) && (int)reasons[i].curl != failure->curl)
        i++;
    bool known = i < sizeof(reasons) / sizeof(reasons[0]);
    const char *why = failure->why[0] ? failure->why : curl_easy_strerror((CURLcode)failure->curl);
    if (failure->curl == CURLE_OPERATION_TIMEDOUT && failure->connect_ms > 0)
        cm_fail(err, CM_ETIMEOUT, "host %s port %d: no connection within %d ms", failure->host,
                failure->port, failure->connect_ms);
    else if (failure->curl == CURLE_OPERATION_TIMEDOUT)
        cm_fail(err, CM_ETIMEOUT, "host %s port %d: no complete answer within %d ms", failure->host,
                failure->port, failure->timeout_ms);
    else
        cm_fail(err, known ? reasons[i].code : CM_ENET, "host %s port %d: %s", failure->host,
                failure->port, known ? reasons[i].what : "the call failed");
    cm_err_cause(err, "%s", why);
    /* In TLS 1.3 the refusal of our certificate arrives as an alert while reading. */
    if (failure->client_cert && strstr(why, "alert"))
        cm_err_hint(err,
                    "the server refused our TLS certificate: check that it is not expired, and "
                    "that the server trusts its issuer or lists this server as a member of the "
                    "fleet");
    else if (strstr(why, "alert certificate required")) /* RFC 8446 section 6.2 */
        cm_err_hint(err, "the server demands a client certificate: set one for this connection");
    else
        cm_err_hint(err, "%s",
                    known ? hint_of(failure->curl, why, reasons[i].hint)
                          : "check the network path to this host");
    err->retry = known ? reasons[i].retry : CM_RETRY_TRANSIENT;
}

void http_failure_explain(const struct http_failure *failure, struct cm_err *err)
{
    if (failure->fault)
        explain_fault(failure, err);
    else
        explain_code(failure, err);
    cm_err_object(err, "host %s", failure->host);
}
