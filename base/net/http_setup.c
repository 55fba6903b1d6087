/* See http_setup.h. */
#include "base/net/http_setup.h"

#include <curl/curl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/core/bytes.h"
#include "base/core/mem.h"
#include "base/net/hostname.h"
#include "base/net/url.h"

#define REQUEST_HEADERS_MAX 64

static void add_line(struct curl_slist **list, const char *line)
{
    struct curl_slist *longer = curl_slist_append(*list, line);
    CM_BUG_ON(!longer);
    *list = longer;
}

static int set_headers(struct http_setup *setup, const struct http_call_opts *opts,
                       struct cm_err *err)
{
    bool has_type = false;
    for (size_t i = 0; opts->headers && opts->headers[i]; i++) {
        const char *line = opts->headers[i];
        const char *colon = strchr(line, ':');
        if (i >= REQUEST_HEADERS_MAX)
            return cm_fail(err, CM_EINVAL, "more than %d request headers", REQUEST_HEADERS_MAX);
        if (!colon || colon == line || strpbrk(line, "\r\n"))
            return cm_fail(err, CM_EINVAL, "a request header is not one \"Name: value\" line");
        has_type = has_type || strncasecmp(line, "Content-Type:", 13) == 0;
        add_line(&setup->headers, line);
    }
    add_line(&setup->headers, "Expect:"); /* no 100-continue round trip */
    if (!has_type)
        add_line(&setup->headers, "Content-Type:"); /* libcurl would invent one for POST */
    HTTP_SET(setup, HTTPHEADER, setup->headers);
    return 0;
}

static int set_method(struct http_setup *setup, const struct http_call_opts *opts,
                      struct cm_err *err)
{
    static const char *const known[] = {"GET", "POST", "HEAD", "PUT", "PATCH", "DELETE"};
    const char *method = opts->method ? opts->method : "GET";
    size_t i = 0;
    while (i < sizeof(known) / sizeof(known[0]) && strcmp(method, known[i]) != 0)
        i++;
    if (i == sizeof(known) / sizeof(known[0]))
        return cm_fail(err, CM_EINVAL, "unknown HTTP method \"%.20s\"", method);
    bool sends = strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0;
    if (!sends && opts->body)
        return cm_fail(err, CM_EINVAL, "%s requests have no body", method);
    if (strcmp(method, "HEAD") == 0)
        HTTP_SET(setup, NOBODY, 1L);
    if (!sends)
        return 0;
    setup->body_len = opts->body ? opts->body_len : 0;
    setup->body = cm_memdup(opts->body ? opts->body : "", setup->body_len);
    HTTP_SET(setup, POST, 1L);
    HTTP_SET(setup, CUSTOMREQUEST, method);
    HTTP_SET(setup, POSTFIELDSIZE_LARGE, (curl_off_t)setup->body_len);
    HTTP_SET(setup, POSTFIELDS, setup->body);
    return 0;
}

/* "sha256//<base64>", or two of them: the key on record and the one that it replaces. */
static int set_pin(struct http_setup *setup, const struct http_call_opts *opts, struct cm_err *err)
{
    const char *hex = opts->pin_spki;
    struct cm_buf pins;
    size_t len = strlen(hex);
    int rc = 0;
    cm_buf_init(&pins, 256);
    for (const char *at = hex; rc == 0 && at <= hex + len; at += CM_SHA256_HEX) {
        uint8_t digest[CM_SHA256_SIZE];
        char one[CM_SHA256_HEX];
        snprintf(one, sizeof(one), "%s", at);
        rc = cm_hex_decode(one, digest, sizeof(digest));
        CM_AUTO_STR base64 = cm_b64(digest, sizeof(digest));
        cm_buf_printf(&pins, "%ssha256//%s", at == hex ? "" : ";", base64);
    }
    if (rc < 0) {
        cm_buf_fini(&pins);
        return cm_fail(err, CM_EINVAL, "the pinned key of %.200s is not a SHA-256 in hex",
                       opts->url);
    }
    CM_AUTO_STR pin = cm_strdup(cm_buf_str(&pins));
    cm_buf_fini(&pins);
    HTTP_SET(setup, PINNEDPUBLICKEY, pin);
    HTTP_SET(setup, SSL_VERIFYPEER, 0L);
    HTTP_SET(setup, SSL_VERIFYHOST, 0L);
    return 0;
}

/* libcurl copies it; only its type is not const. */
static struct curl_blob blob_of(const char *pem)
{
    return (struct curl_blob){
        .data = (void *)(uintptr_t)pem, .len = strlen(pem), .flags = CURL_BLOB_COPY};
}

static int set_tls(struct http_setup *setup, const struct http_call_opts *opts, struct cm_err *err)
{
    HTTP_SET(setup, SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (opts->ca_pem) {
        struct curl_blob blob = blob_of(opts->ca_pem);
        HTTP_SET(setup, CAINFO_BLOB, &blob);
        HTTP_SET(setup, CAPATH, NULL);
    } else if (opts->ca_bundle) {
        HTTP_SET(setup, CAINFO, opts->ca_bundle);
        HTTP_SET(setup, CAPATH, NULL); /* else the system's directory would count as well */
    }
    if (opts->cert_file)
        HTTP_SET(setup, SSLCERT, opts->cert_file);
    if (opts->key_file)
        HTTP_SET(setup, SSLKEY, opts->key_file);
    if (opts->cert_pem && opts->key_pem) {
        /* Copied by libcurl as long as the handle lives. */
        struct curl_blob cert = blob_of(opts->cert_pem), key = blob_of(opts->key_pem);
        HTTP_SET(setup, SSLCERT_BLOB, &cert);
        HTTP_SET(setup, SSLKEY_BLOB, &key);
    }
    if (opts->insecure) {
        HTTP_SET(setup, SSL_VERIFYPEER, 0L);
        HTTP_SET(setup, SSL_VERIFYHOST, 0L);
        HTTP_SET(setup, FRESH_CONNECT, 1L);
        HTTP_SET(setup, FORBID_REUSE, 1L);
    }
    return opts->pin_spki ? set_pin(setup, opts, err) : 0;
}

/* libcurl's connections belong to the host of their URL, so the address is made that. */
static int set_any_host(struct http_setup *setup, const struct http_call_opts *opts,
                        struct cm_err *err)
{
    struct url url;
    int rc = url_parse(opts->url, &url, err);
    if (rc < 0)
        return rc;
    if (url.https || !opts->resolve || !hostname_is_ip(opts->resolve))
        return cm_fail(err, CM_EINVAL, "only a call of http to an address can be for any host");
    bool v6 = strchr(opts->resolve, ':') != NULL, v6_host = strchr(url.host, ':') != NULL;
    CM_AUTO_STR there = cm_asprintf("http://%s%s%s:%d%s", v6 ? "[" : "", opts->resolve,
                                    v6 ? "]" : "", url.port, url.path);
    CM_AUTO_STR port = url.port == 80 ? cm_strdup("") : cm_asprintf(":%d", url.port);
    CM_AUTO_STR host =
        cm_asprintf("Host: %s%s%s%s", v6_host ? "[" : "", url.host, v6_host ? "]" : "", port);
    add_line(&setup->headers, host);
    HTTP_SET(setup, URL, there); /* copied */
    HTTP_SET(setup, MAXAGE_CONN, HTTP_ANY_HOST_S);
    return 0;
}

/* RFC 5482: else a connection that lost its way is repeated into for minutes. */
static int on_socket(void *arg, curl_socket_t fd, curlsocktype purpose)
{
    (void)arg;
    (void)purpose;
    unsigned unheard = HTTP_UNHEARD_MS;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unheard, sizeof(unheard));
    return CURL_SOCKOPT_OK;
}

static int set_target(struct http_setup *setup, const struct http_call_opts *opts,
                      struct cm_err *err)
{
    HTTP_SET(setup, URL, opts->url);
    HTTP_SET(setup, PROTOCOLS_STR, opts->allow_http ? "http,https" : "https");
    HTTP_SET(setup, DISALLOW_USERNAME_IN_URL, 1L);
    HTTP_SET(setup, PATH_AS_IS, 1L);
    HTTP_SET(setup, FOLLOWLOCATION, 0L);
    if (!opts->unix_socket)
        HTTP_SET(setup, SOCKOPTFUNCTION, on_socket);
    if (opts->unix_socket &&
        curl_easy_setopt(setup->easy, CURLOPT_UNIX_SOCKET_PATH, opts->unix_socket) != CURLE_OK)
        return cm_fail(err, CM_EINVAL, "socket path %s cannot be used", opts->unix_socket);
    if (opts->any_host)
        return set_any_host(setup, opts, err);
    if (!opts->resolve)
        return 0;
    if (!hostname_is_ip(opts->resolve))
        return cm_fail(err, CM_EINVAL, "\"%.100s\" is not an IP address to connect to",
                       opts->resolve);
    bool v6 = strchr(opts->resolve, ':') != NULL;
    CM_AUTO_STR rule = cm_asprintf("::%s%s%s:", v6 ? "[" : "", opts->resolve, v6 ? "]" : "");
    add_line(&setup->connect_to, rule);
    HTTP_SET(setup, CONNECT_TO, setup->connect_to);
    return 0;
}

int http_setup(struct http_setup *setup, const struct http_call_opts *opts, struct cm_err *err)
{
    int rc = set_target(setup, opts, err);
    if (rc == 0)
        rc = set_method(setup, opts, err);
    if (rc == 0)
        rc = set_headers(setup, opts, err);
    return rc == 0 ? set_tls(setup, opts, err) : rc;
}

void http_setup_fini(struct http_setup *setup)
{
    curl_easy_cleanup(setup->easy);
    curl_slist_free_all(setup->headers);
    curl_slist_free_all(setup->connect_to);
    cm_free_secret(setup->body, setup->body_len);
}
